#!/usr/bin/env python3
"""bai-cluster itself: up, env, status, down, run; side by side, again after kills, interrupted, for root and for others."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

from bai import BIN, Cluster, IS_ROOT, alive, check, equal, need_root, processes, run_tests, test

CLUSTER = os.path.join(BIN, "bai-cluster")


def bai_cluster(*words, ok=True, **more):
    done = subprocess.run([CLUSTER, *words], text=True, capture_output=True, timeout=100, check=False, **more)
    if ok is not None:
        check((done.returncode == 0) == ok, f"bai-cluster {' '.join(words)}: {done.returncode}: {done.stderr.strip()}")
    return done


def scratch():
    path = tempfile.mkdtemp(prefix="p")
    os.chmod(path, 0o777)
    return path


@test
def up_status_env_down(_):
    top = scratch()
    place = os.path.join(top, "x")
    bai_cluster("up", "--dir", place, "--nodes", "2", "--cpus", "3", "--memory", "1G")
    state = json.loads(bai_cluster("status", "--json", "--dir", place).stdout)
    equal((state["up"], state["nodes"], state["nodes_ready"]), (True, 2, 2), "state")
    equal([p["name"] for p in state["processes"]], ["munged", "ctld", "n1", "n2"], "processes")
    for process in state["processes"]:
        with open(f"{place}/run/{process['name']}.pid", encoding="utf-8") as f:
            equal(int(f.read()), process["pid"], process["name"])
    env = bai_cluster("env", "--dir", place).stdout
    shell = subprocess.run(["bash", "-c", f'{env}\ncommand -v bai-submit; bai-submit --wait --wrap "true" && bai-queue -h -t all -o %T'],
                           text=True, capture_output=True, cwd=top, check=False, env={"PATH": "/usr/bin:/bin"})
    equal(shell.stdout.splitlines()[-1], "COMPLETED", shell.stderr)
    check("already" in bai_cluster("up", "--dir", place).stdout, "up again does not say that it runs")
    different = bai_cluster("up", "--dir", place, "--nodes", "7", ok=False)
    check("2 nodes" in different.stderr, different.stderr)
    pids = [p["pid"] for p in state["processes"]]
    attempts = os.path.realpath(f"{place}/agents/n1/attempts")
    check(os.path.isdir(attempts), "the node has no place for its steps' files")
    bai_cluster("down", "--dir", place)
    check(not os.path.exists(os.path.dirname(attempts)), "files are left in memory")
    check(not [p for p in pids if alive(p)], "processes are left")
    equal(os.listdir(top), [name for name in os.listdir(top) if name.endswith(".out")], "files left")
    check("no cluster" in bai_cluster("status", "--dir", place, ok=False).stderr, "status of nothing")
    shutil.rmtree(top)


@test
def kept_state_comes_back(_):
    top = scratch()
    place = os.path.join(top, "x")
    bai_cluster("up", "--dir", place, "--nodes", "1", "--keep")
    env = dict(os.environ, BAI_CONF=place + "/bai.conf")
    first = subprocess.run([BIN + "/bai-submit", "--parsable", "--wait", "-o", "/dev/null", "--wrap", "true"], env=env, text=True, capture_output=True, check=True).stdout
    with open(place + "/settings", encoding="utf-8") as f:
        settings = f.read()
    bai_cluster("down", "--dir", place)
    check(os.path.exists(place + "/bai.conf"), "files are gone")
    check(not processes(place), "processes are left")
    bai_cluster("up", "--dir", place)
    with open(place + "/settings", encoding="utf-8") as f:
        equal(f.read(), settings, "settings (the port among them)")
    second = subprocess.run([BIN + "/bai-submit", "--parsable", "-o", "/dev/null", "--wrap", "true"], env=env, text=True, capture_output=True, check=True).stdout
    check(int(second) > int(first), f"job {second} after {first}")
    bai_cluster("down", "--dir", place)
    shutil.rmtree(top)


@test
def two_side_by_side(_):
    top = scratch()
    for name in "ab":
        bai_cluster("up", "--dir", f"{top}/{name}", "--nodes", "1")
    ids = []
    for name in "ab":
        env = dict(os.environ, BAI_CONF=f"{top}/{name}/bai.conf")
        ids.append(subprocess.run([BIN + "/bai-submit", "--parsable", "--wait", "-o", "/dev/null", "--wrap", "true"], env=env, text=True,
                                  capture_output=True, check=True).stdout)
    equal(ids, ["1\n", "1\n"], "first jobs")
    bai_cluster("down", "--dir", f"{top}/a")
    check(json.loads(bai_cluster("status", "--json", "--dir", f"{top}/b").stdout)["up"], "the other one went down, too")
    bai_cluster("down", "--dir", f"{top}/b")
    equal(os.listdir(top), [], "files left")
    shutil.rmtree(top)


@test
def up_starts_what_was_killed(_):
    top = scratch()
    place = os.path.join(top, "x")
    bai_cluster("up", "--dir", place, "--nodes", "2")
    for names in (["ctld"], ["n1"], ["munged"], ["n2", "ctld", "munged", "n1"]) * 4:  # up comes before they are quite dead
        for name in names:
            with open(f"{place}/run/{name}.pid", encoding="utf-8") as f:
                os.kill(int(f.read()), signal.SIGKILL)
        bai_cluster("up", "--dir", place)
        check(json.loads(bai_cluster("status", "--json", "--dir", place).stdout)["up"], f"not whole after {names}")
    bai_cluster("down", "--dir", place)
    shutil.rmtree(top)


@test
def a_foreign_process_is_never_signalled(_):
    top = scratch()
    place = os.path.join(top, "x")
    bai_cluster("up", "--dir", place, "--nodes", "1")
    with open(f"{place}/run/n1.pid", encoding="utf-8") as f:
        os.kill(int(f.read()), signal.SIGKILL)
    other = subprocess.Popen(["sleep", "1000"])
    with open(f"{place}/run/n1.pid", "w", encoding="utf-8") as f:
        f.write(f"{other.pid}\n")
    bai_cluster("down", "--dir", place)
    check(other.poll() is None, "down ended a process that is not the cluster's")
    other.kill()
    other.wait()
    shutil.rmtree(top)


@test
def run_passes_status_and_environment(_):
    top = scratch()
    env = dict(os.environ, TMPDIR=top)
    done = bai_cluster("run", "--nodes", "1", "--", "bash", "-c", 'bai-submit --wait --wrap "exit 3" >/dev/null; exit $(( $? + 10 ))', ok=None, env=env, cwd=top)
    equal(done.returncode, 13, "exit status")
    equal(bai_cluster("run", "--nodes", "1", "--", "/no/such/program", ok=None, env=env).returncode, 127, "exit status without a program")
    equal(bai_cluster("run", "--nodes", "1", "--", "sh", "-c", "kill -USR1 $$", ok=None, env=env).returncode, 128 + 10, "exit status after a signal")
    equal([n for n in os.listdir(top) if not n.endswith(".out")], [], "files left")
    check(not processes(top), "processes are left")
    shutil.rmtree(top)


@test
def run_leaves_nothing_when_interrupted(_):
    for how in ("group", "term"):  # its own stages: interrupts.py
        top = scratch()
        env = dict(os.environ, TMPDIR=top)
        script = 'bai-submit -o begun --wrap "echo begun; sleep 4711 & setsid sleep 4711 & wait" && until [ -s begun ]; do sleep 0.02; done; echo ready; sleep 60'
        process = subprocess.Popen([CLUSTER, "run", "--nodes", "2", "--", "bash", "-c", script], env=env, cwd=top, stdout=subprocess.PIPE,
                                   text=True, start_new_session=True)
        while "ready" not in process.stdout.readline():
            check(process.poll() is None, "it ended early")
        if how == "group":
            os.killpg(process.pid, signal.SIGINT)  # as the terminal does
        else:
            process.send_signal(signal.SIGTERM)
        process.stdout.read()
        check(process.wait(30) != 0, "exit status 0")
        equal(os.listdir(top), ["begun"], f"files left after {how}")
        check(not processes(top), f"processes are left after {how}: {processes(top)}")
        check(not processes("sleep 4711"), "the job's processes are left")
        shutil.rmtree(top)


@test
def a_long_directory_name(_):
    top = scratch()
    place = os.path.join(top, "long" * 25)
    bai_cluster("up", "--dir", place, "--nodes", "1")
    env = dict(os.environ, BAI_CONF=place + "/bai.conf")
    subprocess.run([BIN + "/bai-submit", "--wait", "-o", "/dev/null", "--wrap", "true"], env=env, capture_output=True, check=True)
    bai_cluster("down", "--dir", place)
    equal(os.listdir(top), [], "files left")
    shutil.rmtree(top)


@test
def an_ordinary_user_has_one_too(_):
    if not IS_ROOT:
        return  # all tests are that
    top = scratch()
    words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--", CLUSTER, "run", "--nodes", "2", "--", "bash", "-c",
             'bai-submit --wait -o out.txt --wrap "id -u" >/dev/null && cat out.txt']
    done = subprocess.run(words, env=dict(os.environ, TMPDIR=top, HOME=top), cwd=top, text=True, capture_output=True, timeout=60, check=False)
    equal((done.stdout, done.returncode), ("65534\n", 0), done.stderr)
    shutil.rmtree(top)


@test
def what_is_missing_is_said_with_its_remedy(_):
    top = scratch()
    for words, text in ((["up", "--nodes", "0"], "--nodes"), (["up", "--store", "oracle"], "sqlite"), (["sideways"], "sideways"), ([], "up"),
                        (["up", "--dir", "with space"], "--dir"), (["run"], "command"), (["up", "--nodse", "3"], "--nodes"), (["status", "--nodes", "3"], "--nodes")):
        done = bai_cluster(*words, ok=False, cwd=top)
        equal(done.returncode, 2, f"exit status of {words}")
        check(text in done.stderr, f"{words}: {done.stderr}")
    refused = bai_cluster("down", "--json", "--dir", top + "/none", ok=False)
    equal((refused.returncode, json.loads(refused.stderr)["error"]["code"]), (1, "no_cluster"), "JSON error")
    equal(os.listdir(top), [], "files left")
    shutil.rmtree(top)


@test
def postgresql_as_root_is_unprivileged(_):
    need_root()
    if not os.path.isdir("/usr/lib/postgresql"):
        from bai import Skip  # pylint: disable=import-outside-toplevel
        raise Skip("no PostgreSQL server")
    cluster = Cluster(nodes=1, store="postgresql")
    cluster.up()
    try:
        check(os.stat(f"/proc/{cluster.pid('postgres')}").st_uid != 0, "it runs as root")
        cluster.await_state(cluster.submit("-o", "/dev/null", script="true"), "COMPLETED")
    finally:
        cluster.down()
    equal(sorted(os.listdir(cluster.top)), ["w"], "files left")
    cluster.remove()


if __name__ == "__main__":
    sys.exit(run_tests())

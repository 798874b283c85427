#!/usr/bin/env python3
"""bai-cluster interrupted or killed at every stage of up, run and down: no process and no file is left, or the next call puts it right.
Several at once on one directory: one cluster, never two."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

from bai import BIN, IS_ROOT, SLOW, TESTS, Skip, alive, await_true, check, equal, program, run_tests, test

CLUSTER = os.path.join(BIN, "bai-cluster")
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
WAYS = [(signal.SIGINT, "-"), (signal.SIGINT, ""), (signal.SIGTERM, ""), (signal.SIGHUP, "-")]  # "-": to the whole group, as a terminal does
SIZE = ["--nodes", "2", "--cpus", "2", "--memory", "1G"]
POSTGRES = ("cluster.initdb_started", "cluster.postgres_started")
GOING = ("cluster.going_down", "cluster.processes_ended")  # too late for an interrupt to change anything


def scratch():
    path = tempfile.mkdtemp(prefix="i")
    os.chmod(path, 0o777)
    return path


def left_of(top):
    """{pid: command line} of processes that were started with a path below `top`, or work there."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as f:
                line = f.read().replace(b"\0", b" ").decode(errors="replace")
            if (top in line or os.readlink(f"/proc/{entry}/cwd").startswith(top)) and alive(entry):
                found[int(entry)] = line
        except OSError:
            pass
    return found


def cluster(*words, point="", before=(), cwd="/tmp", **more):
    env = dict(os.environ, BAI_CRASH_POINT=point, **more)
    return subprocess.run([*before, CLUSTER, *words], env=env, cwd=cwd, text=True, capture_output=True, timeout=60 * SLOW, check=False, start_new_session=True)


def store_of(point):
    if point not in POSTGRES:
        return []
    if not os.path.isdir("/usr/lib/postgresql"):
        raise Skip("no PostgreSQL server")
    return ["--store", "postgresql"]


def interrupted(point, verb, signum, to, before=()):
    """One bai-cluster that gets the signal at that point; then all must be gone."""
    top = scratch()
    place = os.path.join(top, "deep/er/x")
    words = [verb, "--dir", place, *SIZE, *store_of(point)]
    if verb == "run":
        words += ["--", "sh", "-c", "sleep 300" if point == "cluster.command_started" else "true"]
    what = f"{verb} at {point} by {to}{signum.name} as {before[1:2]}"
    done = cluster(*words, point=f"{point}={to}{int(signum)}", before=before, cwd=top)
    check(point in done.stderr, f"{what}: not reached: {done.stderr}")
    if point in GOING:
        equal(done.returncode, 0, f"exit status of {what}")
    elif point == "cluster.command_started":
        check(done.returncode > 128, f"exit status of {what}: {done.returncode}")
    else:
        equal(done.returncode, 128 + signum, f"exit status of {what}: {done.stderr}")
    equal(left_of(top), {}, f"processes left after {what}")
    equal([os.path.join(d, f) for d, ds, fs in os.walk(top) for f in ds + fs], [], f"files left after {what}")
    os.rmdir(top)


def killed(point, verb):
    """One bai-cluster that is killed there. What is left can be taken down, and can be brought up."""
    for after in ("down", "up"):
        top = scratch()
        place = os.path.join(top, "x")
        words = [verb, "--dir", place]
        if verb == "down":
            equal(cluster("up", "--dir", place, *SIZE).returncode, 0, "up before")
        else:
            words += [*SIZE, *store_of(point)]
        if verb == "run":
            words += ["--", "true"]
        done = cluster(*words, point=point)
        equal(done.returncode, -signal.SIGKILL, f"{verb} to {point}: {done.stderr}")
        if after == "up":
            done = cluster("up", "--dir", place, *store_of(point))
            equal((done.returncode, done.stderr), (0, ""), f"up after a kill of {verb} at {point}")
            state = json.loads(cluster("status", "--json", "--dir", place).stdout)
            check(state["up"], f"not whole: {state}")
            nodes = sorted(line.partition(" -N ")[2].split()[0] for line in left_of(top).values() if " -N " in line)
            equal(nodes, sorted(p["name"] for p in state["processes"] if p["name"][0] == "n"), "agents")
        done = cluster("down", "--dir", place)
        equal((done.returncode, done.stderr), (0, ""), f"down after a kill of {verb} at {point}")
        equal(left_of(top), {}, f"processes left of {verb} at {point}")
        equal(os.listdir(top), [], f"files left of {verb} at {point}")
        os.rmdir(top)


def together(jobs):
    """Runs all of (function, arguments), several at once; raises what the first that failed raised."""
    with ThreadPoolExecutor(4) as pool:
        for result in [pool.submit(function, *arguments) for function, *arguments in jobs]:
            result.result()


def points():
    return [p for p in subprocess.run([program("bai-ctld"), "--crash-points"], text=True, capture_output=True, check=True).stdout.split() if p.startswith("cluster.")]


def at(point):
    def one(_):
        verbs = ("run",) if point in (*GOING, "cluster.command_started") else ("up", "run")
        jobs = [(interrupted, point, verb, signum, to) for verb in verbs for signum, to in (WAYS[:1] if point in POSTGRES and verb == "run" else WAYS)]
        if IS_ROOT:
            jobs += [(interrupted, point, verb, *WAYS[0], NOBODY) for verb in verbs]
        jobs += [(killed, point, "down" if point in GOING else verbs[0])]
        together(jobs)
    one.__name__ = point
    return one


STAGES = [at(point) for point in points()]


@test
def one_that_waits_for_another_can_be_interrupted(_):
    top = scratch()
    place = os.path.join(top, "x")
    held = subprocess.Popen([CLUSTER, "up", "--dir", place, *SIZE], env=dict(os.environ, BAI_CRASH_POINT="cluster.ready=" + str(int(signal.SIGSTOP))),
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        check("cluster.ready" in held.stderr.readline(), "the point was not reached")
        for verb in ("up", "down"):
            waits = subprocess.Popen([CLUSTER, verb, "--dir", place])
            await_true(lambda pid=waits.pid: any(os.readlink(f"/proc/{pid}/fd/{fd}").endswith("/x/lock") for fd in os.listdir(f"/proc/{pid}/fd")), "it to wait")
            waits.send_signal(signal.SIGINT)
            equal(waits.wait(10 * SLOW), 130, f"exit status of {verb}")
    finally:
        held.send_signal(signal.SIGCONT)
        held.stderr.read()
        equal(held.wait(20 * SLOW), 0, "up")
    equal(cluster("down", "--dir", place).returncode, 0, "down")
    equal((left_of(top), os.listdir(top)), ({}, []), "left")
    shutil.rmtree(top)


@test
def several_at_once_make_one_cluster(_):
    top = scratch()
    place = os.path.join(top, "x")
    for store in ("sqlite", "postgresql") if os.path.isdir("/usr/lib/postgresql") else ("sqlite",):
        with ThreadPoolExecutor(4) as pool:
            done = [f.result() for f in [pool.submit(cluster, "up", "--dir", place, *SIZE, "--store", store) for _ in range(4)]]
        equal([(d.returncode, d.stderr) for d in done], [(0, "")] * 4, "up")
        equal(sum("already" not in d.stdout for d in done), 1, "who made it")
        daemons = [line.split()[0].rpartition("/")[2] for line in left_of(top).values() if line.split()[0].startswith("/") and "/initdb" not in line]
        equal(sorted(d for d in daemons if d.startswith("bai-")), ["bai-agentd", "bai-agentd", "bai-ctld"], "daemons")
        equal(daemons.count("munged"), 1, "munged")
        with ThreadPoolExecutor(4) as pool:
            done = [f.result() for f in [pool.submit(cluster, "down", "--dir", place) for _ in range(4)]]
        equal(sorted(d.returncode for d in done), [0, 1, 1, 1], "down")
        equal((left_of(top), os.listdir(top)), ({}, []), "left")
    shutil.rmtree(top)


@test
def ups_and_downs_mixed_end_in_order(_):
    top = scratch()
    place = os.path.join(top, "x")
    with ThreadPoolExecutor(4) as pool:
        done = [f.result() for f in [pool.submit(cluster, verb, "--dir", place) for verb in ("up", "down", "up", "down") * 4]]
    for one in done:
        check(one.returncode == 0 or "no cluster" in one.stderr, one.stderr)
    cluster("down", "--dir", place)
    equal((left_of(top), os.listdir(top)), ({}, []), "left")
    shutil.rmtree(top)


def killed_parts(before=()):
    """A job outlives the end of all that bai-cluster started, an interrupted start, and is accounted for when all is up again."""
    top = scratch()
    place = os.path.join(top, "x")
    cluster("up", "--dir", place, *SIZE, before=before)
    env = dict(os.environ, BAI_CONF=place + "/bai.conf")

    def bai(*words):
        return subprocess.run([*before, os.path.join(BIN, words[0]), *words[1:]], env=env, cwd=top, text=True, capture_output=True, check=True).stdout.strip()
    job = bai("bai-submit", "--parsable", "-o", "out", "--wrap", "echo begun; while [ ! -e go ]; do sleep 0.05; done; echo ended")
    await_true(lambda: os.path.exists(top + "/out") and "begun" in open(top + "/out", encoding="utf-8").read(), "the job")  # pylint: disable=consider-using-with
    shepherds = {pid for pid, line in left_of(top).items() if "bai-stepd" in line}

    def kill(names):
        for name in names:
            with open(f"{place}/run/{name}.pid", encoding="utf-8") as f:
                os.kill(int(f.read()), signal.SIGKILL)
    everything = ("munged", "ctld", "n1", "n2")
    kill(everything)
    for point in ("cluster.munged_started", "cluster.ctld_started", "cluster.agent_started", "cluster.ready"):
        done = cluster("up", "--dir", place, point=f"{point}=2", before=before)
        equal(done.returncode, 130, f"up at {point}: {done.stderr}")
        equal(set(left_of(top)) & shepherds, shepherds, "the job's shepherd")
        state = json.loads(cluster("status", "--json", "--dir", place, before=before).stdout)
        equal([p["pid"] for p in state["processes"]], [None] * 4, f"processes after {point}")
    for names in (everything, ("n1", "ctld"), ("munged", "n2")):
        equal(cluster("up", "--dir", place, before=before).returncode, 0, "up")
        check(json.loads(cluster("status", "--json", "--dir", place, before=before).stdout)["up"], "not whole")
        equal(bai("bai-queue", "-h", "-o", "%T", "-j", job), "RUNNING", "state")
        kill(names)
    equal(cluster("up", "--dir", place, before=before).returncode, 0, "up")
    with open(top + "/go", "w", encoding="utf-8"):
        pass
    await_true(lambda: bai("bai-queue", "-h", "-t", "all", "-o", "%T", "-j", job) == "COMPLETED", "the job's end")
    equal(cluster("down", "--dir", place, before=before).returncode, 0, "down")
    equal((left_of(top), sorted(os.listdir(top))), ({}, ["go", "out"]), "left")
    shutil.rmtree(top)


@test
def up_brings_back_what_was_killed_and_an_interrupted_up_changes_nothing(_):
    killed_parts()


@test
def the_same_as_an_ordinary_user(_):
    if not IS_ROOT:
        raise Skip("all tests are that")
    killed_parts(NOBODY)


@test
def a_directory_that_holds_something_else_is_left_alone(_):
    top = scratch()
    os.mkdir(top + "/log")
    with open(top + "/log/precious", "w", encoding="utf-8"):
        pass
    for verb in ("up", "run", "down"):
        done = cluster(verb, "--dir", top, *(["--", "true"] if verb == "run" else []))
        equal(done.returncode, 1, f"exit status of {verb}")
        check("something else" in done.stderr or "no cluster" in done.stderr, done.stderr)
    equal([(d, sorted(ds + fs)) for d, ds, fs in os.walk(top)], [(top, ["log"]), (top + "/log", ["precious"])], "files")
    shutil.rmtree(top)


@test
def what_was_told_to_ignore_a_hangup_ignores_it(_):
    """nohup bai-cluster run"""
    top = scratch()
    code = "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    done = subprocess.run([sys.executable, "-c", code, CLUSTER, "run", "--dir", top + "/x", *SIZE, "--", "touch", top + "/done"], text=True, capture_output=True,
                          timeout=60 * SLOW, check=False, start_new_session=True, env=dict(os.environ, BAI_CRASH_POINT="cluster.ctld_started=-1"))
    equal((done.returncode, done.stderr), (0, "cluster.ctld_started\n"), "run")
    equal(os.listdir(top), ["done"], "files")
    shutil.rmtree(top)


if __name__ == "__main__":
    sys.exit(run_tests(only=STAGES + TESTS))

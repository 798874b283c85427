#!/usr/bin/env python3
"""What holds jobs in their place: memory, processes, escapees; that the kernel's kill is told apart; what they used; what is not enforced."""
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys

from bai import BIN, Cluster, Skip, alive, await_true, check, equal, need_root, processes, run_tests, test

HOG = "exec python3 -c 'import time; x = bytearray({mib} << 20); print(\"has it\", flush=True); time.sleep({s})'"
SETTINGS = ("MaxProcessesPerJob=40", "JobAcctGatherFrequency=1")


def limits(c, node="n1"):
    """What a node does not enforce; empty when it enforces all."""
    return {words[0]: " ".join(words[1:]) for words in
            (line.split() for line in c.run("bai-info", "--limits", "-N", "-h").stdout.splitlines())}[node].strip("-")


def need(c, what):
    """Skips where the machine has no such cgroup controller to give."""
    need_root()
    missing = limits(c)
    if what in missing.partition(":")[0]:
        raise Skip(f"not enforced here: {missing}")


def record(c, job):
    return c.accounting()[job][-1]


def steps(c, job):
    rows = c.run("bai-acct", f"--jobs={job}", "-n", "-P", "-o", "JobID,State,ExitCode,MaxRSS,AveCPU,MaxDiskWrite,MaxDiskRead").stdout
    return {words[0]: words[1:] for words in (line.split("|") for line in rows.splitlines())}


places = set()  # names of the agents' directories


def learn_places(c):
    for node in c.nodes:
        job = c.submit("-w", node, "-o", "where.txt", script="cat /proc/self/cgroup")
        c.await_state(job, "COMPLETED")
        places.update(re.findall(r"/(bai-n[0-9]+-[0-9a-f]{8})", c.read("where.txt")))


def cgroups_of(job):
    """The directories of a job of ours, the inner ones first."""
    out = []
    for place in places:
        out += subprocess.run(["find", "/sys/fs/cgroup", "-depth", "-type", "d", "-path", f"*/{place}*/*-{job}.*"], text=True,
                              capture_output=True, check=False).stdout.split()
    return out


def reread(c, *lines):
    """The nodes' own keys are read again when an agent is told to."""
    if lines:
        with open(c.conf, "a", encoding="utf-8") as f:
            f.write("".join(line + "\n" for line in lines))
    for node in c.nodes:
        before = c.log(node).count("node's own keys were read")
        os.kill(c.pid(node), signal.SIGHUP)
        await_true(lambda: c.log(node).count("node's own keys were read") > before, f"{node} to read its keys")


@test
def the_nodes_own_keys_are_read(c):
    reread(c)
    learn_places(c)


@test
def a_memory_hog_is_out_of_memory(c):
    need(c, "memory")
    job = c.submit("--mem=60", "-o", "hog.txt", script=HOG.format(mib=200, s=60))
    done = c.await_state(job, "OUT_OF_MEMORY")
    equal((done["reason"], done["exit_code"], done["signal"]), ("OutOfMemory", 0, 125), "its end")
    check("has it" not in c.read("hog.txt"), "it got the memory")
    equal(record(c, job)["state"], "OUT_OF_MEMORY", "state in accounting")


@test
def a_kill_is_not_out_of_memory(c):
    job = c.submit("--mem=60", "-o", "/dev/null", script="kill -9 $$")
    done = c.await_state(job, "FAILED")
    equal(done["signal"], 9, "signal")
    job = c.submit("--mem=200", "-o", "/dev/null", script=HOG.format(mib=50, s=0))
    c.await_state(job, "COMPLETED")


@test
def a_child_that_is_killed_for_memory_is_not_hidden_by_its_script(c):
    need(c, "memory")
    job = c.submit("--mem=60", "-o", "/dev/null", script=HOG.format(mib=200, s=0).replace("exec ", "") + "; exit 0")
    c.await_state(job, "OUT_OF_MEMORY")


@test
def the_steps_of_a_job_share_its_memory(c):
    need(c, "memory")
    with open(c.path("one.py"), "w", encoding="utf-8") as f:
        f.write("import sys, time\nx = bytearray(70 << 20)\nprint('has it', flush=True)\ntime.sleep(60)\n")
    job = c.submit("--mem=120", "-n2", "-o", "share.txt",
                   script="bai-run -n1 --overlap --mem=0 -o a.txt python3 one.py & bai-run -n1 --overlap --mem=0 -o b.txt python3 one.py & wait")
    await_true(lambda: any(row[0] == "OUT_OF_MEMORY" for row in steps(c, job).values()), "a step to run out of memory", 30)
    c.run("bai-cancel", str(job))
    c.await_end_of(job)


@test
def a_fork_bomb_stays_small(c):
    need(c, "processes")
    job = c.submit("-o", "bomb.txt", script="""
i=0; while [ $i -lt 200 ]; do echo $i >count.txt; sleep 987 & i=$((i + 1)); done 2>errors.txt""")
    c.await_state(job, "FAILED")
    check("fork" in c.read("errors.txt").lower(), c.read("errors.txt"))
    check(20 < int(c.read("count.txt")) < 40, f"it made {c.read('count.txt')} processes")
    check(not processes("sleep 987"), "its processes live on")


@test
def an_escapee_is_ended_and_counted(c):
    job = c.submit("--mem=100", "-o", "escape.txt", script="""
env -i setsid sh -c '(python3 -c "import time
end = time.process_time() + 1
while time.process_time() < end: pass
open(\\"burnt\\", \\"w\\").close()
time.sleep(986)" &) ' & wait
while [ ! -e burnt ]; do sleep 0.1; done""")
    done = c.await_state(job, "COMPLETED")
    check(not [line for line in processes("time.sleep(986)").values()], "it lives on")
    used = record(c, done["job_id"])
    check(used["user_cpu_us"] + used["system_cpu_us"] > 900_000, f"its processor time is not counted: {used}")


@test
def nothing_of_a_job_is_left_in_the_hierarchies(c):
    need_root()
    job = c.submit("--mem=60", "-o", "/dev/null", script="true")
    c.await_state(job, "COMPLETED")
    await_true(lambda: not cgroups_of(job), "its cgroups to be removed")


@test
def a_deleted_directory_does_no_harm(c):
    """The directories above a job's are taken away while nothing runs; a job's own, while its processes were moved out by root."""
    need(c, "memory")
    for place in places:
        subprocess.run(f"rmdir /sys/fs/cgroup/{place}* /sys/fs/cgroup/*/{place}*", shell=True, capture_output=True, check=False)
    job = c.submit("--mem=60", "-w", "n1", "-o", "moved.txt", script="echo here; sleep 985")
    c.await_text("moved.txt", "here")
    dirs = cgroups_of(job)
    check(dirs, "it has no cgroups")
    for folder in dirs:
        top = folder.split("/bai-")[0]
        if os.path.exists(folder + "/cgroup.procs"):
            with open(folder + "/cgroup.procs", encoding="utf-8") as f:
                for pid in f.read().split():
                    with open(top + "/cgroup.procs", "w", encoding="utf-8") as out:
                        out.write(pid)
        os.rmdir(folder)
    c.run("bai-cancel", str(job))
    c.await_state(job, "CANCELLED")
    check(not processes("sleep 985"), "its processes live on")


@test
def a_killed_shepherd_leaves_nothing(c):
    job = c.submit("--mem=60", "-o", "lost.txt", script="(env -i setsid sleep 984 &); echo here; sleep 984")
    c.await_text("lost.txt", "here")
    pid = next(iter(c.shepherds(job)))
    os.kill(pid, 9)
    c.await_state(job, "FAILED")
    if not limits(c):
        check(not processes("sleep 984"), "its processes live on")
        await_true(lambda: not cgroups_of(job), "its cgroups to be removed")
    for left in processes("sleep 984"):
        os.kill(left, 9)


@test
def what_a_step_used_is_in_accounting(c):
    with open(c.path("use.py"), "w", encoding="utf-8") as f:
        f.write("""import time
x = bytearray(40 << 20)
open('/dev/null', 'wb', buffering=0).write(bytes(3 << 20))
end = time.process_time() + 1
while time.process_time() < end: pass
""")
    job = c.submit("--mem=400", "-n2", "-o", "use.txt", script="bai-run -n2 python3 use.py")
    c.await_state(job, "COMPLETED")
    row = steps(c, job)[f"{job}.0"]
    kib = int(row[2].rstrip("K").split(".")[0]) * (1024 if row[2].endswith("M") else 1)
    check(40 << 10 <= kib < 80 << 10, f"MaxRSS {row[2]}")
    equal(row[3], "00:00:01", "AveCPU")
    check(row[4], "MaxDiskWrite")
    told = [step for step in json_steps(c, job) if step["step_id"] == "0"][0]
    check(told["max_write_bytes"] >= 3 << 20, f"{told}")
    check(told["sum_rss_kib"] >= 80 << 10, f"{told}")


def json_steps(c, job):
    rows = json.loads(c.run("bai-acct", f"--jobs={job}", "--json").stdout)["jobs"]
    return [step for row in rows for step in row.get("steps", [])]


@test
def reconfigured_limits_count_for_the_next_job(c):
    need(c, "memory")
    reread(c, "ConstrainRAMSpace=no")
    try:
        job = c.submit("--mem=60", "-o", "/dev/null", script=HOG.format(mib=100, s=0))
        c.await_state(job, "COMPLETED")
    finally:
        reread(c, "ConstrainRAMSpace=yes")
    job = c.submit("--mem=60", "-o", "/dev/null", script=HOG.format(mib=100, s=0))
    c.await_state(job, "OUT_OF_MEMORY")


@test
def a_user_without_root_is_told_and_runs_all_the_same(c):
    need_root()
    user = pwd.getpwnam("nobody")
    top = os.path.join(c.top, "nobody")
    os.mkdir(top)
    os.chown(top, user.pw_uid, user.pw_gid)
    folder = os.path.join(top, "d")
    env = dict(c.env, BAI_CONF=os.path.join(folder, "bai.conf"), HOME=top)
    env.pop("XDG_RUNTIME_DIR", None)

    def run(*words):
        done = subprocess.run(["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--", *words], env=env,
                              cwd=top, text=True, capture_output=True, timeout=120, check=False)
        equal(done.returncode, 0, f"{words}: {done.stderr}")
        return done.stdout
    run(os.path.join(BIN, "bai-cluster"), "up", "--dir", folder, "--nodes", "1", "--cpus", "2", "--memory", "1G")
    try:
        check("memory, devices: the agent is not root" in run("bai-info", "--limits"), run("bai-info", "--limits"))
        run("bai-submit", "--wait", "--mem=60", "-o", "out.txt", "--wrap", HOG.format(mib=100, s=0))
        with open(os.path.join(top, "out.txt"), encoding="utf-8") as f:
            equal(f.read(), "has it\n", "output")
    finally:
        run(os.path.join(BIN, "bai-cluster"), "down", "--dir", folder)
        shutil.rmtree(top, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(run_tests(Cluster(nodes=2, cpus=4, memory="2G"), settings=SETTINGS))

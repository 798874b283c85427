#!/usr/bin/env python3
"""What running steps use, asked of their nodes: bai-stat, and sstat."""
import json
import os
import signal
import subprocess
import sys

from bai import SLOW, Cluster, await_true, check, equal, need_root, run_tests, test
from bai_slurm import NAMES

MIB = 1024
# Takes memory and touches it, burns some processor time, and waits to be ended.
EATER = """import os, sys, time
held = bytearray(int(sys.argv[1]) << 20)
held[::4096] = b"x" * len(held[::4096])
while time.process_time() < float(sys.argv[2]): pass
open(sys.argv[3] + os.environ.get("BAI_PROCID", ""), "w").close()
while True: time.sleep(60)
"""
SELF = {}


def eater(c):
    path = c.path("eater.py")
    if not os.path.exists(path):
        with open(path, "w", encoding="utf-8") as f:
            f.write(EATER)
        os.chmod(path, 0o644)
    return path


def start(c):
    """A job on both nodes: a batch script that waits for a step of 3 tasks; once all of them have what they want."""
    if "job" not in SELF or c.job(SELF["job"])["state"] != "RUNNING":
        for rank in range(3):
            if os.path.exists(c.path(f"ready{rank}")):
                os.unlink(c.path(f"ready{rank}"))
        script = f"srun() {{ bai-run --overlap \"$@\"; }}; srun -n3 -N2 -m cyclic {sys.executable} {eater(c)} 40 1.2 ready"
        SELF["job"] = c.submit("-N2", "-n4", "-o", "eat.out", script=script)
        for rank in range(3):
            await_true(lambda name=f"ready{rank}": os.path.exists(c.path(name)), f"task {rank}", 60)
    return SELF["job"]


def stat(c, *words, **more):
    return c.run("bai-stat", *words, **more)


def rows(c, *words):
    return [line.split("|") for line in stat(c, "-n", "-P", *words).stdout.splitlines()]


@test
def memory_and_processor_time_are_seen_where_they_are(c):
    job = start(c)
    (row,) = rows(c, "-j", str(job), "--noconvert", "-o",
                  "jobid,ntasks,mincpu,averss,maxrss,maxrssnode,maxrsstask,maxvmsize,nodelist,maxdiskread")
    equal((row[0], row[1], row[8]), (f"{job}.0", "3", "n[1-2]"), "the step")
    check(row[2] >= "00:00:01", f"each task burnt a second: {row}")
    for column in (3, 4):
        check(40 << 20 <= int(row[column]) < 200 << 20, f"40 MiB and what python needs: {row}")
    check(row[5] in ("n1", "n2") and row[6] in ("0", "1", "2"), f"where: {row}")
    check(int(row[7]) >= int(row[4]) and int(row[9]) > 0, f"address space and reading: {row}")


@test
def json_has_each_node_and_its_processes(c):
    job = start(c)
    reply = json.loads(stat(c, "--json", "-a", "-j", str(job)).stdout)
    equal([s["display_id"] for s in reply["steps"]], [f"{job}.batch", f"{job}.0"], "the steps")
    step = reply["steps"][1]
    equal([(n["node"], n["tasks"], n["cpu_us"]["most_task"] in (0, 2)) for n in step["nodes"]], [("n1", 2, True), ("n2", 1, False)],
          "tasks go cyclic: 0 and 2 on n1, 1 on n2")
    for node in step["nodes"]:
        check(node["cpu_us"]["least"] >= 1_000_000, f"processor time: {node}")
        check(node["rss_kib"]["least"] >= 40 * MIB, f"memory: {node}")
        equal(node["processes"], len(node["pids"]), "its processes are named")
        for pid in node["pids"]:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                check(b"eater.py" in f.read(), f"{pid} is no task's")
    # The look is a new one each time.
    script = reply["steps"][0]["nodes"][0]
    equal((script["node"], script["tasks"]), ("n1", 1), "the batch script")


@test
def what_is_meant_by_a_job(c):
    job = start(c)
    equal([r[0] for r in rows(c, "-j", str(job), "-o", "jobid")], [f"{job}.0"], "the lowest step")
    equal([r[0] for r in rows(c, "-j", f"{job}.batch", "-o", "jobid")], [f"{job}.batch"], "the script")
    equal([r[0] for r in rows(c, "-a", str(job), "-o", "jobid")], [f"{job}.batch", f"{job}.0"], "all")
    array = c.submit("-a", "3-4", "-n1", "-o", "/dev/null", script="sleep 600")
    c.await_state(f"{array}_4", "RUNNING")
    c.await_state(f"{array}_3", "RUNNING")
    equal(sorted(r[0] for r in rows(c, "-j", str(array), "-o", "jobid")), [f"{array}_3.batch", f"{array}_4.batch"], "an array's tasks")
    equal([r[0] for r in rows(c, "-j", f"{array}_4", "-o", "jobid")], [f"{array}_4.batch"], "one of them")
    c.run("bai-cancel", str(array))
    for words, says in ((["-j", "99999"], "99999: Invalid job id specified"), (["-j", f"{job}.7"], "not found running"),
                        (["-j", f"{array}_9"], "No steps running")):
        done = stat(c, *words, ok=False)
        check(says in done.stderr, f"{words}: {done.stderr}")
        equal(done.returncode, 1, "status")
    held = c.submit("-H", script="true")
    check(f"No steps running for job {held}" in stat(c, "-j", str(held), ok=False).stderr, "a job that waits")
    both = stat(c, "-n", "-P", "-o", "jobid", "-j", f"{held},{job}", ok=False)
    equal(both.stdout, f"{job}.0\n", "what can be had is shown")
    c.run("bai-cancel", str(held))


@test
def sstats_bytes(c):
    job = start(c)
    sstat = os.path.join(NAMES, "sstat")
    done = c.run(sstat, "-j", str(job), "-o", "jobid,maxrssnode%4,ntasks%-6,avecpufreq,reqcpufreqmin,consumedenergy")
    (row,) = rows(c, "-j", str(job), "-o", "maxrssnode")
    equal(done.stdout, "JobID        MaxR NTasks AveCPUFreq ReqCPUFreqMin ConsumedEnergy \n"
          "------------ ---- ------ ---------- ------------- -------------- \n"
          f"{f'{job}.0':12} {row[0]:>4} {'3':6} {'0':>10} {'Unknown':>13} {'0':>14} \n", "columns")
    header = c.run(sstat, "-j", f"{job}.batch").stdout.splitlines()[0]
    check(header.startswith("JobID         MaxVMSize  MaxVMSizeNode  MaxVMSizeTask  AveVMSize     MaxRSS MaxRSSNode MaxRSSTask     AveRSS MaxPages"), header)
    check(header.endswith("TRESUsageOutMin TRESUsageOutMinNode TRESUsageOutMinTask TRESUsageOutTot "), header)
    equal(c.run(sstat, "-p", "-j", f"{job}.batch", "-o", "jobid,ntasks").stdout, f"JobID|NTasks|\n{job}.batch|1|\n", "-p")
    pids = c.run(sstat, "-i", "-n", "-P", "-j", f"{job}.0").stdout.strip().split("|")
    equal((pids[0], pids[1], len(pids[2].split(","))), (f"{job}.0", "n[1-2]", 3), "-i")
    for words, out, err in ((("-j", "99999"), "JobID        \n------------ \n", "sstat: error: couldn't get steps for job 99999\n"),
                            (("-j", f"{job}.9", "-n"), "", f"sstat: error: StepId={job}.9 not found running.\n")):
        done = c.run(sstat, "-o", "jobid", *words)
        equal((done.stdout, done.stderr), (out, err), " ".join(words))
    done = c.run(sstat, "-j", str(job), "-o", "foo", ok=False)
    equal((done.stderr, done.returncode), ('sstat: error: Invalid field requested: "foo"\n', 1), "an unknown field")


@test
def a_stranger_is_refused(c):
    need_root()
    job = start(c)
    done = stat(c, "-j", str(job), ok=False, user=(65534, 65534))
    equal(done.returncode, 1, "status")
    check("Access/permission denied" in done.stderr, done.stderr)
    check(f"{job}.0" not in done.stdout, done.stdout)


@test
def a_node_that_does_not_answer_is_named(c):
    job = start(c)
    agent = c.pid("n2")
    os.kill(agent, signal.SIGSTOP)
    try:
        done = stat(c, "-n", "-P", "-j", str(job), "-o", "ntasks,maxrssnode,nodelist", ok=False)
        equal((done.stdout, done.returncode), ("2|n1|n[1-2]\n", 1), "the others' figures")
        equal(done.stderr, f"bai-stat: {job}.0: n2 does not respond: what it uses is not in these figures\n", "who is missing")
        reply = json.loads(stat(c, "--json", "-j", str(job), ok=False).stdout)
        equal([n.get("missing") for n in reply["steps"][0]["nodes"]], [None, "not responding"], "in JSON")
    finally:
        os.kill(agent, signal.SIGCONT)
    await_true(lambda: stat(c, "-j", str(job), ok=None).returncode == 0, "n2 to answer again")
    # One that is dead is not waited for.
    c.kill("n2")
    await_true(lambda: "n2 does not respond" in stat(c, "-j", str(job), ok=None).stderr, "its session's end to be seen")
    c.up()
    await_true(lambda: stat(c, "-j", str(job), ok=None).returncode == 0, "the new agent to ask the old shepherds")


@test
def a_shepherd_that_does_not_answer_holds_nobody_up(c):
    job = start(c)
    (shepherd,) = [pid for pid, line in c.shepherds(job).items() if line.endswith(".0") and "/n2/" in line]
    os.kill(shepherd, signal.SIGSTOP)
    try:
        for _ in range(2):
            done = stat(c, "-n", "-P", "-j", str(job), "-o", "ntasks", ok=False)
            equal(done.stdout, "2\n", "the others' figures")
            check("n2 does not respond" in done.stderr, done.stderr)
        # Its agent, meanwhile, does its work.
        other = c.submit("-w", "n2", "-n1", "-o", "/dev/null", script="true")
        c.await_state(other, "COMPLETED")
    finally:
        os.kill(shepherd, signal.SIGCONT)
    await_true(lambda: stat(c, "-j", str(job), ok=None).returncode == 0, "it to answer again")


@test
def iterating_ends_with_the_step(c):
    job = start(c)
    watching = subprocess.Popen(["bai-stat", "-r", "1", "-P", "-a", "-j", str(job), "-o", "jobid"], env=c.env, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    equal(watching.stdout.readline(), "JobID\n", "the header, once")
    equal([watching.stdout.readline() for _ in range(4)], [f"{job}.batch\n", f"{job}.0\n"] * 2, "two rounds")
    c.run("bai-cancel", str(job))
    c.await_end_of(job)
    out, err = watching.communicate(timeout=30 * SLOW)
    equal(watching.returncode, 0, f"status: {err}")
    check("JobID" not in out, out)
    check("No steps running" in err, err)


if __name__ == "__main__":
    sys.exit(run_tests(Cluster(nodes=2, cpus=4)))

#!/usr/bin/env python3
"""kill -9 of every daemon at every state of a job, and under a stream of submissions: nothing acknowledged is lost, nothing runs twice."""
import itertools
import os
import shutil
import signal
import sys

from bai import Cluster, alive, await_true, check, equal, processes, run_tests, test
from bai_stream import Stream, balance

MARK = f"77{os.getpid()}"  # seconds to sleep: finds a job's processes
numbers = itertools.count(1)


def step_processes(c):
    return {pid: line for pid, line in processes(f"sleep {MARK}").items()}


def kill_agent_group(c, name, only_stepd=False):
    """The agent (unless only_stepd), its shepherds and everything that they own, all at once."""
    pids = [] if only_stepd else [c.pid(name)]
    pids += [pid for pid, line in c.shepherds().items() if f"/agents/{name}/" in line]
    if not only_stepd:
        pids += list(step_processes(c))
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    for pid in pids:
        c.await_end(pid)


def nurseries(c):
    """What forks the agents' shepherds."""
    found = []
    for pid in processes("bai-stepd --nursery"):
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            if int(f.read().rpartition(")")[2].split()[1]) in (c.pid("n1"), c.pid("n2")):
                found.append(pid)
    return found


def start_sleeper(c, words=(), trap=""):
    """A job on n1 that sleeps until it is ended; the job's id once it runs."""
    out = f"sleeper-{next(numbers)}.txt"
    job = c.submit("-w", "n1", "-o", out, *words, script=f"{trap}\necho $BAI_JOB_ID $BAI_JOB_ATTEMPT >> ran\nsleep {MARK} & echo ready\nwait; wait; wait")
    c.await_text(out, "ready")
    await_true(lambda: step_processes(c), "the job's process")
    return job


@test
def controller_under_a_stream(c):
    stream = Stream(c)
    for _ in range(4):
        stream.await_more(8)
        c.kill("ctld")
        c.up()
    stream.await_more(5)
    ids = stream.stop()
    check(len(ids) >= 30, f"only {len(ids)} submissions; {stream.errors[:2]}")
    balance(c, ids)


@test
def agents_under_a_stream(c):
    stream = Stream(c)
    for name in ("n1", "n2", "n1"):
        stream.await_more(6)
        c.kill(name)
        c.up()
    ids = stream.stop()
    balance(c, ids)


@test
def controller_and_agents_together_under_a_stream(c):
    stream = Stream(c)
    for _ in range(2):
        stream.await_more(6)
        for name in ("ctld", "n1", "n2"):
            c.kill(name)
        c.up()
    ids = stream.stop()
    balance(c, ids)


@test
def everything_at_once_under_a_stream(c):
    stream = Stream(c, script='#!/bin/sh\necho "$BAI_JOB_ID $BAI_JOB_ATTEMPT" >> ran\nsleep 0.05\n')
    for _ in range(2):
        stream.await_more(8)
        c.kill("ctld")
        kill_agent_group(c, "n1")
        kill_agent_group(c, "n2")
        c.up()
    ids = stream.stop()
    balance(c, ids, allow=("COMPLETED", "FAILED", "NODE_FAIL"))


@test
def controller_while_pending(c):
    job = c.submit("--hold", "-o", "/dev/null", script='echo "$BAI_JOB_ID $BAI_JOB_ATTEMPT" >> ran')
    c.kill("ctld")
    c.up()
    c.await_state(job, "PENDING")
    c.run("bai-control", "release", str(job))
    balance(c, [job])


@test
def controller_while_running(c):
    job = start_sleeper(c)
    c.kill("ctld")
    check(step_processes(c), "the job noticed")
    c.up()
    equal(c.await_state(job, "RUNNING")["attempt"], 1, "attempt")
    check(step_processes(c), "the job noticed")
    c.run("bai-cancel", str(job))
    c.await_state(job, "CANCELLED")
    await_true(lambda: not step_processes(c), "the end of its processes")


@test
def job_ends_while_the_controller_is_away(c):
    job = c.submit("-o", "away.txt", script='echo "$BAI_JOB_ID $BAI_JOB_ATTEMPT" >> ran; echo ready; while [ ! -e go ]; do sleep 0.05; done; exit 5')
    c.await_text("away.txt", "ready")
    c.kill("ctld")
    with open(c.path("go"), "w", encoding="utf-8"):
        pass
    c.up()
    done = c.await_state(job, "FAILED")
    equal(done["exit_code"], 5, "exit code")
    os.unlink(c.path("go"))


@test
def job_ends_while_the_agent_is_away(c):
    job = c.submit("-w", "n1", "-o", "away2.txt", script='echo "$BAI_JOB_ID $BAI_JOB_ATTEMPT" >> ran; echo ready; while [ ! -e go2 ]; do sleep 0.05; done; exit 6')
    c.await_text("away2.txt", "ready")
    c.kill("n1")
    with open(c.path("go2"), "w", encoding="utf-8"):
        pass
    await_true(lambda: not c.shepherds(), "the end of the shepherd")
    c.up()
    done = c.await_state(job, "FAILED")
    equal(done["exit_code"], 6, "exit code")


@test
def what_shepherds_saved_outlives_the_rest(c):
    job = c.submit("-w", "n1", "-o", "away3.txt", script='echo "$BAI_JOB_ID $BAI_JOB_ATTEMPT" >> ran; echo ready; while [ ! -e go3 ]; do sleep 0.05; done; exit 7')
    c.await_text("away3.txt", "ready")
    c.kill("n1")
    with open(c.path("go3"), "w", encoding="utf-8"):
        pass
    await_true(lambda: not c.shepherds(), "the end of the shepherd")
    shutil.rmtree(os.path.realpath(f"{c.dir}/agents/n1/attempts"))  # as a reboot does
    c.up()
    done = c.await_state(job, "FAILED")
    equal(done["exit_code"], 7, "exit code")


@test
def nurseries_under_a_stream(c):
    sleeper = start_sleeper(c)
    stream = Stream(c)
    for _ in range(6):
        stream.await_more(4)
        check(nurseries(c), "nobody forks shepherds")
        for pid in nurseries(c):
            os.kill(pid, signal.SIGKILL)
    ids = stream.stop()
    # A step that was just being asked for fails.
    balance(c, ids, allow=("COMPLETED", "FAILED"))
    equal(c.job(sleeper)["state"], "RUNNING", "state of a job that ran all the while")
    c.run("bai-cancel", str(sleeper))
    c.await_state(sleeper, "CANCELLED")


@test
def controller_while_completing(c):
    job = start_sleeper(c, trap="trap '' TERM")
    c.run("bai-cancel", str(job))
    c.await_state(job, "COMPLETING")
    c.kill("ctld")
    c.up()
    c.await_state(job, "CANCELLED")
    await_true(lambda: not step_processes(c), "the end of its processes")


@test
def agent_while_running(c):
    job = start_sleeper(c)
    c.kill("n1")
    check(step_processes(c), "the job died with the agent")
    c.up()
    equal(c.await_state(job, "RUNNING")["attempt"], 1, "attempt")
    c.run("bai-cancel", str(job))
    c.await_state(job, "CANCELLED")
    await_true(lambda: not step_processes(c), "the end of its processes")


@test
def agent_while_completing(c):
    job = start_sleeper(c, trap="trap '' TERM")
    c.run("bai-cancel", str(job))
    c.await_state(job, "COMPLETING")
    c.kill("n1")
    c.up()
    c.await_state(job, "CANCELLED")
    await_true(lambda: not step_processes(c), "the end of its processes")


@test
def cancelled_while_the_agent_is_away(c):
    job = start_sleeper(c)
    c.kill("n1")
    c.run("bai-cancel", str(job))
    c.up()
    c.await_state(job, "CANCELLED")
    await_true(lambda: not step_processes(c), "the end of its processes")


@test
def shepherd_while_running(c):
    job = start_sleeper(c)
    kill_agent_group(c, "n1", only_stepd=True)
    done = c.await_state(job, "FAILED")
    check("bai-stepd" in done.get("detail", "") or "shepherd" in done.get("detail", ""), f"the reason is {done['reason']} {done.get('detail')}")
    await_true(lambda: not step_processes(c), "the end of what it left")


@test
def agent_group_while_running(c):
    job = start_sleeper(c)
    kill_agent_group(c, "n1")
    c.up()
    c.await_state(job, ("FAILED", "NODE_FAIL"))
    check(not step_processes(c), "processes are left")


@test
def agent_and_shepherd_but_not_the_job(c):
    job = start_sleeper(c)
    pids = [c.pid("n1"), *c.shepherds()]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for pid in pids:
        c.await_end(pid)
    c.up()
    c.await_state(job, ("FAILED", "NODE_FAIL"))
    await_true(lambda: not step_processes(c), "the end of what they left")


@test
def munged_stops_and_comes_back(c):
    stream = Stream(c, threads=1)
    stream.await_more(3)
    pid = c.kill("munged")
    check(not alive(pid))
    done = c.run("bai-queue", ok=False)
    check("munge" in done.stderr, done.stderr)
    c.up()
    stream.await_more(3)
    balance(c, stream.stop())


@test
def down_ends_running_jobs(c):
    start_sleeper(c)
    start_sleeper(c, trap="trap '' TERM")
    c.down()
    check(not step_processes(c), "processes are left")
    check(not c.shepherds(), "shepherds are left")
    check(not os.path.exists(c.dir), f"left: {os.path.exists(c.dir) and os.listdir(c.dir)}")


if __name__ == "__main__":
    sys.exit(run_tests(Cluster(nodes=2, cpus=4), settings=("KillWait=2",)))

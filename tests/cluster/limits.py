#!/usr/bin/env python3
"""Limits: time limits with their warning signals, deadlines, script and array sizes, the number of jobs."""
import sys

from bai import Cluster, await_true, check, equal, run_tests, test

jobs = {}


@test
def jobs_with_a_limit_of_one_minute_start(c):
    """The shortest limit is a minute, so all of them wait for it together."""
    jobs["polite"] = c.submit("-t", "1", "-o", "polite.txt", script="trap 'echo told; exit 0' TERM; echo ready; while :; do sleep 0.1; done")
    jobs["stubborn"] = c.submit("-t", "0:30", "-o", "stubborn.txt", script="trap '' TERM; echo ready; while :; do sleep 0.1; done")
    jobs["warned"] = c.submit("-t", "1", "--signal=B:USR1@50", "-o", "warned.txt",
                              script="trap 'echo warned; exit 0' USR1; echo ready; while :; do sleep 0.1; done")
    jobs["stood"] = c.submit("-t", "1", "-o", "stood.txt", script="echo ready; while :; do sleep 0.1; done")
    jobs["away"] = c.submit("-t", "1", "-o", "away.txt", script="echo ready; exec sleep 600")
    for name in jobs:
        c.await_text(name + ".txt", "ready")
    equal(c.job(jobs["stubborn"])["time_limit_s"], 60, "a limit of 30 s is rounded up to minutes")


@test
def a_limit_does_not_run_while_a_job_is_suspended(c):
    c.run("bai-control", "suspend", str(jobs["stood"]))
    await_true(lambda: c.job(jobs["stood"]).get("suspended_s", 0) >= 5, "five seconds of standstill")
    c.run("bai-control", "resume", str(jobs["stood"]))


@test
def a_script_that_is_too_large_is_refused(c):
    done = c.run("bai-submit", stdin="#!/bin/sh\n" + "# filler\n" * 700_000, ok=False)
    check("MaxScriptSize" in done.stderr or "large" in done.stderr, done.stderr)


@test
def an_array_that_is_too_large_is_refused(c):
    done = c.run("bai-submit", "--array=0-5000000", "--wrap", "true", ok=False)
    check("MaxArraySize" in done.stderr or "array" in done.stderr.lower(), done.stderr)


@test
def more_jobs_than_maxjobcount_are_refused(c):
    c.configure("MaxJobCount=10")
    try:
        held, refusal = [], ""
        for _ in range(12):
            done = c.run("bai-submit", "--parsable", "--hold", "--wrap", "true", ok=None)
            if done.returncode:
                refusal = done.stderr
                break
            held.append(done.stdout.strip())
        check("MaxJobCount" in refusal, f"{len(held)} jobs were taken; {refusal}")
        c.run("bai-cancel", *held)
    finally:
        c.configure("MaxJobCount=10000")


@test
def a_deadline_that_cannot_be_met(c):
    job = c.submit("--hold", "--deadline=now+2", "-t", "1", script="true")
    c.await_state(job, "DEADLINE")


@test
def a_warning_signal_comes_in_time(c):
    c.await_state(jobs["warned"], "COMPLETED", 40)
    check("warned" in c.read("warned.txt"), "no USR1")


@test
def the_limit_holds_while_the_controller_is_away(c):
    c.kill("ctld")
    pids = c.shepherds()
    check(len(pids) >= 4, f"shepherds: {pids}")
    await_true(lambda: not c.shepherds(), "the end of all limited jobs without a controller", 80)
    c.up()
    done = c.await_state(jobs["stood"], "TIMEOUT", 20)
    check(58 <= done["run_time_s"] <= 75 and done["suspended_s"] >= 5, f"it ran {done['run_time_s']} s and stood {done['suspended_s']} s")
    for name in ("polite", "stubborn", "away"):
        done = c.await_state(jobs[name], "TIMEOUT", 20)
        check(58 <= done["ended_at"] - done["started_at"] <= 75, f"{name} ran {done['ended_at'] - done['started_at']} s")
    check("told" in c.read("polite.txt"), "the script was not asked to end")


if __name__ == "__main__":
    sys.exit(run_tests(Cluster(nodes=2, cpus=4), settings=("KillWait=2",)))

#!/usr/bin/env python3
"""What the scheduler learned survives a controller that is killed: how long whose jobs run, and how its estimates turned out."""
import json
import sys

from bai import Cluster, await_true, check, equal, run_tests, test

RARELY, OFTEN = "--time=5", "--time=6"  # jobs of which limit take 3 s, and which none
jobs = {}


def emulate(c, seconds, *words):
    return c.submit(f"--comment=emulate:{seconds}", "-n", "4", *words, script="true\n")


def why(c, job):
    """What is said of a job that waits for a planned start, or behind one."""
    return await_true(lambda: (lambda e: e and (e["planned"] or e["ahead"]) and e)(
        json.loads(c.run("bai-why", "--json", str(job)).stdout)["explanation"]), f"word of job {job}")


def restart(c):
    c.kill("ctld")
    c.up()
    c.await_state(jobs["running"], "RUNNING")


@test
def users_jobs_teach_how_long_they_run(c):
    for limit, seconds in ((RARELY, 3), (OFTEN, 0)):
        for job in [emulate(c, seconds, limit) for _ in range(4)]:
            c.await_state(job, "COMPLETED")
    jobs["running"] = emulate(c, 900, "--time=20")
    c.await_state(jobs["running"], "RUNNING")
    jobs["long"], jobs["short"] = emulate(c, 0, RARELY), emulate(c, 0, OFTEN)
    equal(why(c, jobs["long"])["first_ahead"], [jobs["short"]], "in front of the one that came first: the one that is predicted to be shorter")


@test
def predictions_survive(c):
    restart(c)
    equal(why(c, jobs["long"])["first_ahead"], [jobs["short"]], "in front of the job that waited")
    jobs["long2"], jobs["short2"] = emulate(c, 0, RARELY), emulate(c, 0, OFTEN)
    equal(set(why(c, jobs["long2"])["first_ahead"]), {jobs["short"], jobs["long"], jobs["short2"]}, "in front of one that came since")


@test
def how_estimates_turned_out_survives(c):
    c.run("bai-cancel", str(jobs["running"]))
    for name in ("short", "short2", "long", "long2"):
        c.await_state(jobs[name], "COMPLETED")
    jobs["running"] = emulate(c, 900, "--time=20")
    c.await_state(jobs["running"], "RUNNING")
    last = emulate(c, 0, RARELY)
    before = why(c, last)["estimates"]
    check(before["count"] >= 1 and before["low_late_s"] < 0, f"nothing started earlier than it was told: {before}")
    restart(c)
    equal(why(c, last)["estimates"], before, "what bai-why says after a restart")


if __name__ == "__main__":
    sys.exit(run_tests(Cluster(nodes=1, cpus=4, memory="2G", emulate=True)))

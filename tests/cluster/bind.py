#!/usr/bin/env python3
"""Which processors jobs, steps and tasks run on: those that were given to them, bound as --cpu-bind says."""
import os
import re
import sys

from bai import Cluster, Skip, await_true, check, equal, run_tests, test

SHOW = "grep Cpus_allowed_list /proc/self/status | tr -dc '0-9,-'"


def allowed():
    with open("/proc/self/status", encoding="utf-8") as f:
        return next(line.split()[1] for line in f if line.startswith("Cpus_allowed_list"))


def need_two():
    if (os.cpu_count() or 1) < 2 or allowed() != f"0-{os.cpu_count() - 1}":
        raise Skip(f"this machine gives us processors {allowed()}")


def tasks(c, *words, job_words=("-n2",)):
    """What each task of a step is allowed, by rank."""
    done = c.run("bai-run", *job_words, *words, "-l", "sh", "-c", SHOW + "; echo")
    return [line.split(": ")[1] for line in sorted(done.stdout.splitlines()) if ": " in line]


@test
def two_jobs_get_different_processors(c):
    need_two()
    jobs = [c.submit("-n1", "-o", f"one{i}.txt", script=SHOW + "; echo; while [ ! -e go ]; do sleep 0.05; done") for i in range(2)]
    for i in range(2):
        c.await_text(f"one{i}.txt", "\n")
    equal(sorted(c.read(f"one{i}.txt").strip() for i in range(2)), ["0", "1"], "processors")
    with open(c.path("go"), "w", encoding="utf-8"):
        pass
    for job in jobs:
        c.await_state(job, "COMPLETED")


@test
def tasks_are_bound_as_asked(c):
    need_two()
    equal(tasks(c), ["0", "1"], "two tasks on two processors")
    equal(tasks(c, "--cpu-bind=none"), ["0-1", "0-1"], "none")
    equal(tasks(c, "--cpu-bind=map_cpu:1,0"), ["1", "0"], "map_cpu")
    equal(tasks(c, "--cpu-bind=mask_cpu:0x2"), ["1", "1"], "mask_cpu")


@test
def verbose_tasks_say_where_they_are_bound(c):
    need_two()
    said = sorted(c.run("bai-run", "-n2", "--cpu-bind=verbose,cores", "true").stderr.splitlines())
    check(re.fullmatch(r"cpu-bind=MASK - n1, task  0  0 \[[0-9]+\]: mask 0x1 set", said[0]), said)
    check(re.fullmatch(r"cpu-bind=MASK - n1, task  1  1 \[[0-9]+\]: mask 0x2 set", said[1]), said)
    said = c.run("bai-run", "-n1", "--cpu-bind=v,none", "true").stderr
    check(re.fullmatch(r"cpu-bind=NONE - n1, task  0  0 \[[0-9]+\]: mask 0x3\n", said), said)


@test
def a_wish_that_is_none_is_refused(c):
    done = c.run("bai-run", "-n1", "--cpu-bind=corse", "true", ok=False)
    check("corse" in done.stderr, done.stderr)


@test
def steps_side_by_side_get_different_processors(c):
    need_two()
    job = c.submit("-n2", "-o", "steps.txt", script=f"""
for i in 1 2; do bai-run -n1 --exact sh -c "echo \\$({SHOW}); touch up$i; while [ ! -e up1 -o ! -e up2 ]; do sleep 0.05; done" & done; wait""")
    c.await_state(job, "COMPLETED", 40)
    equal(sorted(c.read("steps.txt").split()), ["0", "1"], "processors")


@test
def processors_come_free_again(c):
    need_two()
    await_true(lambda: not c.queue(states="RUNNING,COMPLETING"), "an idle node")
    for _ in range(3):
        equal(tasks(c, job_words=("-n1",)), ["0"], "the first")


if __name__ == "__main__":
    sys.exit(run_tests(Cluster(nodes=1, cpus=2, memory="2G")))

#!/usr/bin/env python3
"""bai-why, bai-submit --test-only and --sweep, bai-control drain --plan: what is said about jobs that wait, and that it is true."""
import json
import sys

from bai import Cluster, await_true, check, equal, run_tests, test

jobs = {}


def why(c, job):
    return json.loads(c.run("bai-why", "--json", str(job)).stdout)["explanation"]


def refused(c, status, *words):
    equal(c.run(*words, ok=False).returncode, status, f"status of {' '.join(words)}")


def change(explanation, start):
    return next((w for w in explanation["what_if"] if w["change"].startswith(start)), None)


@test
def two_nodes_are_filled(c):
    # By limits, not by what the user's jobs ran before: what is said shall be exact.
    with open(c.conf, encoding="utf-8") as f:
        text = f.read()
    with open(c.conf, "w", encoding="utf-8") as f:
        f.write(text.replace("PartitionName=main ", "PartitionName=main SchedulingPolicy=easy "))
    c.run("bai-control", "reconfigure")
    for name, minutes in (("first", 10), ("second", 20)):
        jobs[name] = c.submit("-N", "1", "-n", "4", "-t", str(minutes), script="sleep 1000")
        c.await_state(jobs[name], "RUNNING")


@test
def the_head_of_the_queue_waits_for_what_runs(c):
    jobs["head"] = c.submit("-N", "2", "-n", "8", "-t", "60", script="sleep 1000")
    explanation = await_true(lambda: (lambda e: e and e["planned"] and e)(why(c, jobs["head"])), "a planned start")
    equal(explanation["reason"], "Resources", "reason")
    equal(sorted(b["job_id"] for b in explanation["blockers"]), [jobs["first"], jobs["second"]], "jobs that must end")
    equal(explanation["ahead"], 0, "jobs in front")
    equal(explanation["places"][0]["busy"], 2, "busy nodes")
    shown = c.job(jobs["head"])
    equal(shown["reason"], "Resources", "the queue's reason")
    text = c.run("bai-why", str(jobs["head"])).stdout
    for words in ("waits: Resources", "Asks for", f"{jobs['second']} on n", "Start      planned for"):
        check(words in text, f"{words!r} is missing:\n{text}")


@test
def a_job_behind_it_learns_what_would_start_it_now(c):
    c.run("bai-cancel", str(jobs["first"]))
    c.await_state(jobs["first"], "CANCELLED")
    jobs["behind"] = c.submit("-n", "4", "-t", "120", script="sleep 1000")
    explanation = await_true(lambda: (lambda e: e and change(e, "--time=") and e)(why(c, jobs["behind"])), "a shorter limit that helps")
    equal(explanation["first_ahead"], [jobs["head"]], "jobs in front")
    shorter = change(explanation, "--time=")
    check(shorter["now"], f"not now: {shorter}")
    # And so it is.
    option = shorter["change"]
    started = c.submit("-n", "4", option, script="true")
    c.await_state(started, "COMPLETED")
    equal(c.job(jobs["behind"])["state"], "PENDING", "the job that asks for longer")


@test
def sweep_agrees_with_it(c):
    done = c.run("bai-submit", "--json", "-n", "4", "--sweep", "time=5..120,115", "--wrap", "true")
    rows = json.loads(done.stdout)["values"]
    equal([r["value"] for r in rows], ["00:05:00", "02:00:00"], "values")
    now = json.loads(c.run("bai-why", "--json", str(jobs["behind"])).stdout)["now_at"]
    check(rows[0]["start_at"] <= now + 2, f"the short one waits: {rows}, it is {now}")
    check(rows[1]["start_at"] > now + 60, f"the long one starts: {rows}, it is {now}")
    table = c.run("bai-submit", "--sweep", "nodes=1..3", "--wrap", "true").stdout.splitlines()
    equal(len(table), 4, "lines")
    check("never" in table[3], table[3])
    equal(len([q for q in c.queue() if q["state"] == "PENDING"]), 2, "nothing was queued")
    refused(c, 2, "bai-submit", "--sweep", "nodes=3..1", "--wrap", "true")


@test
def draining_would_delay_the_head(c):
    plan = json.loads(c.run("bai-control", "--json", "drain", "n2", "--plan").stdout)
    equal([d["job_id"] for d in plan["delays"]], [jobs["head"]], "delayed jobs")
    equal(plan["delays"][0]["start_without_at"], None, "it can never start on one node")
    both = c.run("bai-control", "drain", "n[1-2]", "--plan").stdout
    check(str(jobs["second"]) in both, both)
    states = json.loads(c.run("bai-info", "--json", "-N").stdout)
    check("DRAIN" not in json.dumps(states), "it was drained")
    refused(c, 1, "bai-control", "drain", "nosuch", "--plan")


@test
def held_and_dependent_jobs_say_who_and_what(c):
    held = c.submit("-H", script="true")
    await_true(lambda: why(c, held), "the scheduler to know it")
    text = c.run("bai-why", str(held)).stdout
    check("Held by    its owner" in text and f"release {held}" in text, text)
    after = c.submit("-d", f"afterok:{held}", script="true")
    await_true(lambda: why(c, after), "the scheduler to know it")
    text = c.run("bai-why", str(after)).stdout
    check(f"Depends on afterok:{held}" in text, text)
    c.run("bai-cancel", str(held), str(after))


@test
def jobs_that_do_not_wait_and_those_that_never_were(c):
    text = c.run("bai-why", str(jobs["second"])).stdout
    check("does not wait: it is RUNNING on n" in text, text)
    refused(c, 1, "bai-why", "999999")
    for words in ([], ["x"], ["1", "2"], ["--nosuch", "1"]):
        refused(c, 2, "bai-why", *words)


if __name__ == "__main__":
    cluster = Cluster(nodes=2, cpus=4, memory="2G")
    sys.exit(run_tests(cluster))

#!/usr/bin/env python3
"""Ways to submit: many at once, the same request twice, Slurm's names; what is typed wrong changes nothing."""
import json
import os
import re
import subprocess
import sys

from bai import BIN, Cluster, Skip, await_true, check, equal, run_tests, test


def bulk(c, lines, *words):
    done = c.run("bai-submit", "--bulk", "-", *words, stdin="".join(json.dumps(line) + "\n" if isinstance(line, dict) else line + "\n" for line in lines), ok=None)
    return done.returncode, done.stdout.splitlines(), done.stderr


@test
def many_at_once(c):
    jobs = [{"name": f"b{i}", "hold": True, "script": "#!/bin/sh\ntrue\n", "output": "/dev/null"} for i in range(2000)]
    status, lines, errors = bulk(c, jobs)
    equal((status, len(lines)), (0, 2000), errors)
    ids = [int(line) for line in lines]
    equal(ids, sorted(set(ids)), "ids are in order and each is there once")
    names = {job["job_id"]: job["name"] for job in c.queue()}
    check(all(names[job] == f"b{i}" for i, job in enumerate(ids)), "a line got another's id")
    c.run("bai-cancel", "--state=PENDING")
    await_true(lambda: not c.queue(states="PENDING"), "an empty queue")


@test
def bad_lines_are_told_and_others_taken(c):
    good = {"script": "#!/bin/sh\ntrue\n", "output": "/dev/null", "hold": True}
    status, lines, _ = bulk(c, [good, dict(good, nonsense=1), "{broken", dict(good, partition="nowhere"), good])
    equal((status, len(lines)), (1, 5), "exit status and lines")
    for line, wanted in zip(lines, (r"\d+$", "error: 2: .*nonsense", "error: 3: ", "error: 4: .*nowhere", r"\d+$")):
        check(re.match(wanted, line), f"{line!r} is not {wanted!r}")
    status, lines, _ = bulk(c, [good, dict(good, nonsense=1)], "--json")
    first, second = (json.loads(line) for line in lines)
    equal((first["line"], second["line"], "job_id" in first, "error" in second), (1, 2, True, True), "JSON")
    c.run("bai-cancel", "--state=PENDING")


@test
def many_at_once_while_the_controller_dies(c):
    jobs = "".join(json.dumps({"name": f"k{i}", "hold": True, "script": "#!/bin/sh\ntrue\n"}) + "\n" for i in range(20000))
    with open(c.path("jobs.jsonl"), "w", encoding="utf-8") as f:
        f.write(jobs)
    with open(c.path("ids"), "w", encoding="utf-8") as out:
        process = subprocess.Popen([BIN + "/bai-submit", "--bulk", c.path("jobs.jsonl")], env=c.env, cwd=c.work, stdout=out, stderr=subprocess.PIPE, text=True)
    await_true(lambda: c.read("ids") or process.poll() is not None, "the first ids", pause=0.002)
    c.kill("ctld")
    c.up()
    errors = process.communicate(timeout=100)[1]
    lines = c.read("ids").splitlines()
    equal(len(lines), 20000, f"answers ({errors})")
    ids = [int(line) for line in lines if line.isdigit()]
    check(ids, errors)
    equal(len(ids), len(set(ids)), "ids without repeats")
    there = {job["job_id"]: job["name"] for job in c.queue(states="PENDING")}
    lost = [job for job in ids if job not in there]
    check(not lost, f"{len(lost)} of {len(ids)} acknowledged jobs are lost: {lost[:5]}, of {ids[0]} to {ids[-1]}; {[c.job(i) for i in lost[:2]]}")
    names = [name for name in there.values() if name.startswith("k")]
    equal(len(names), len(set(names)), "jobs that were submitted twice")
    c.run("bai-cancel", "--state=PENDING")
    await_true(lambda: not c.queue(states="PENDING"), "an empty queue", 60)


@test
def a_request_id_settles_it(c):
    request = "0123456789abcdef" * 2
    first = c.run("bai-submit", "--parsable", "--hold", f"--request-id={request}", "--wrap", "true").stdout
    again = c.run("bai-submit", "--parsable", "--hold", f"--request-id={request}", "--wrap", "true").stdout
    equal(again, first, "the second answer")
    c.kill("ctld")
    c.up()
    equal(c.run("bai-submit", "--parsable", "--hold", f"--request-id={request}", "--wrap", "true").stdout, first, "the answer after a restart")
    c.run("bai-cancel", first.strip())


@test
def a_controller_that_is_away_is_said_so(c):
    c.kill("ctld")
    done = c.run("bai-queue", ok=False)
    check("127.0.0.1:" in done.stderr, done.stderr)
    process = subprocess.Popen([BIN + "/bai-submit", "--parsable", "-o", "/dev/null", "--wrap", "true"], env=c.env, cwd=c.work, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = process.stderr.readline()
    check("127.0.0.1:" in line, line)
    c.up()  # it goes on trying
    out, errors = process.communicate(timeout=60)
    equal(process.returncode, 0, errors)
    c.await_state(int(out), "COMPLETED")


@test
def what_is_typed_wrong_changes_nothing(c):
    before = len(c.queue())
    for words in (["--mem=lots"], ["-N", "0"], ["-c", "-1"], ["--array=1-"], ["--array=5-1"], ["-d", "afterwards:3"], ["-d", "afterok:999999"], ["-p", "nowhere"],
                  ["-w", "n[1-"], ["-w", "n99"], ["--begin=yesterday-ish"], ["-t", "1:2:3:4:5"], ["--signal=NOPE"], ["--open-mode=sideways"], ["-o", "a\nb"]):
        done = c.run("bai-submit", *words, "--wrap", "true", ok=None)
        check(done.returncode in (1, 2) and done.stderr.strip(), f"{words}: exit status {done.returncode}, {done.stderr!r}")
        as_json = c.run("bai-submit", "--json", *words, "--wrap", "true", ok=None)
        error = json.loads(as_json.stderr)["error"]
        check(error["code"] and error["message"], f"{words}: {error}")
    equal(len(c.queue()), before, "jobs in the queue")


@test
def slurms_names(c):
    folder = os.path.join(os.path.dirname(BIN), "slurm/bin")
    if not os.path.exists(folder + "/sbatch"):
        raise Skip("there is no slurm/bin beside bin")
    slurm = {"PATH": folder + ":" + c.env["PATH"]}
    done = c.run("sbatch", "--wrap", "hostname", env=slurm)
    check(re.match(r"Submitted batch job \d+\n$", done.stdout), done.stdout)
    job = done.stdout.split()[-1]
    c.await_state(int(job), "COMPLETED")
    check(os.path.exists(c.path(f"slurm-{job}.out")), "no slurm-%j.out")
    equal(c.run("sbatch", "--version", env=slurm).stdout, "slurm-wlm 22.05.8\n", "version")
    check(c.run("scontrol", "ping", env=slurm).stdout.startswith("Slurmctld(primary) at "), "scontrol ping")
    check(c.run("sacct", "-n", "-P", "-X", "-j", job, "--format=JobID,State,ExitCode", env=slurm).stdout == f"{job}|COMPLETED|0:0\n", "sacct")
    equal(c.run("squeue", "-h", "-j", job, env=slurm, ok=None).stdout, "", "squeue")
    check("n[1-2]" in c.run("sinfo", "-h", env=slurm).stdout, "sinfo")


if __name__ == "__main__":
    sys.exit(run_tests(Cluster(nodes=2, cpus=4), settings=("KillWait=2",)))

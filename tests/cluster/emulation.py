#!/usr/bin/env python3
"""Virtual nodes: 200 of them in one process, whose jobs take their time and run nothing. The controller, the protocol and the
commands are the real ones, so what holds for real nodes holds here."""
import collections
import json
import os
import subprocess
import sys

from bai import BIN, Cluster, alive, await_true, check, equal, run_tests, test

NODES = 200
AGENTD = os.path.join(BIN, "bai-agentd")


def emulate(c, seconds, *words, **more):
    return c.submit(f"--comment=emulate:{seconds}", *words, script="false\n", **more)


def bulk(c, n, seconds, **fields):
    """Ids of n jobs that were submitted at once."""
    lines = "".join(json.dumps({"script": "#!/bin/sh\nfalse\n", "comment": f"emulate:{seconds}", "output": "/dev/null", **fields}) + "\n"
                    for _ in range(n))
    out = c.run("bai-submit", "--bulk", "-", stdin=lines).stdout
    return [int(line.split()[-1]) for line in out.splitlines()]


def await_all_ended(c, ids, timeout=60):
    """{job: state} of all, once none of them waits or runs."""
    wanted = set(ids)

    def probe():
        jobs = {job["job_id"]: job["state"] for job in c.queue() if job["job_id"] in wanted}
        done = all(state not in ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING") for state in jobs.values())
        return jobs if done and set(jobs) == wanted else None
    return await_true(probe, f"{len(wanted)} jobs to end", timeout)


def attempts(c, ids):
    """How often each was started, as accounting has it."""
    rows = json.loads(c.run("bai-acct", "--allusers", "--allocations", "--duplicates", "--starttime=now-1days", "--json").stdout)["jobs"]
    count = collections.Counter(row["job_id"] for row in rows)
    return {job: count[job] for job in ids}


@test
def all_nodes_are_one_process(c):
    state = json.loads(c.run("bai-cluster", "status", "--json", "--dir", c.dir).stdout)
    equal([p["name"] for p in state["processes"]], ["munged", "ctld", "emulator"], "processes")
    equal((state["nodes"], state["nodes_ready"], state["up"]), (NODES, NODES, True), "nodes")
    equal(c.run("bai-info", "-h", "-o", "%D %t %N").stdout.strip(), f"{NODES} idle n[001-200]", "bai-info")
    equal(c.run("bai-info", "-h", "-o", "%c %m").stdout.strip(), "8 16384", "what each has")
    check("already" in c.up(), "up again does not say that it runs")
    for words, why in (["--nodes", str(NODES)], f"{NODES} emulated nodes"), (["--nodes", "2", "--emulate", "2"], "real or virtual"):
        check(why in c.run("bai-cluster", "up", "--dir", c.dir, *words, ok=False).stderr, f"{words} is not refused")


@test
def jobs_take_their_time_and_run_nothing(c):
    short, long, none = emulate(c, 0.3), emulate(c, 2), emulate(c, 0)
    c.await_state(none, "COMPLETED")
    c.await_state(short, "COMPLETED")
    equal(c.job(long)["state"], "RUNNING", "the long one")
    ended = c.await_state(long, "COMPLETED")
    check(ended["ended_at"] - ended["started_at"] in (2, 3), f"took {ended}")
    equal((ended["exit_code"], ended["signal"]), (0, 0), "exit")  # its script says false


limited = {}  # jobs with a minute's limit: it passes while other tests run


@test
def wrong_words_and_jobs_with_limits(c):
    limited.update(TIMEOUT=emulate(c, 70, "--time=1"), COMPLETED=emulate(c, 60, "--time=1"))
    limited["silent"] = c.submit("--time=1", script="true\n")
    limited["DEADLINE"] = emulate(c, 600, "--time=2", "--deadline=now+62")
    wrong = emulate(c, "soon")
    check("emulate:soon" in str(c.await_state(wrong, "FAILED")["detail"]), "does not say what is wrong")


@test
def cancelled_and_signalled(c):
    ids = [emulate(c, 600) for _ in range(3)]
    c.await_state(ids[0], "RUNNING")
    c.await_state(ids[1], "RUNNING")
    c.run("bai-cancel", str(ids[0]))
    c.run("bai-cancel", "--signal=USR1", str(ids[1]))
    equal(c.await_state(ids[0], "CANCELLED")["signal"], 15, "signal of a cancelled job")
    equal(c.await_state(ids[1], "FAILED")["signal"], 10, "signal of a signalled job")
    equal(c.await_state(ids[2], "RUNNING")["state"], "RUNNING", "the third")
    c.run("bai-cancel", str(ids[2]))


@test
def arrays_wide_jobs_and_dependencies(c):
    array = emulate(c, 0.1, "--array=1-2000")
    after = emulate(c, 0, f"--dependency=afterok:{array}")
    wide = emulate(c, 0.5, "-N", "150", "--exclusive")
    c.await_state(after, "COMPLETED", 60)
    equal(c.await_state(wide, "COMPLETED")["nodes"], 150, "nodes")
    tasks = [row for rows in c.accounting().values() for row in rows if str(row.get("display_id", "")).startswith(f"{array}_")]
    equal({row["state"] for row in tasks}, {"COMPLETED"}, "tasks")
    equal(len(tasks), 2000, "tasks")


@test
def drained_and_down(c):
    there = emulate(c, 1, "-w", "n007")
    c.await_state(there, "RUNNING")
    c.run("bai-control", "update", "NodeName=n007", "State=DRAIN", "Reason=test")
    other = emulate(c, 0, "-w", "n007")
    c.await_state(there, "COMPLETED")
    equal(c.job(other)["state"], "PENDING", "a job for a drained node")
    c.run("bai-control", "update", "NodeName=n007", "State=RESUME")
    c.await_state(other, "COMPLETED")
    doomed = emulate(c, 600, "-w", "n008", "--no-requeue")
    c.await_state(doomed, "RUNNING")
    c.run("bai-control", "update", "NodeName=n008", "State=DOWN", "Reason=test")
    c.await_state(doomed, "NODE_FAIL")
    c.run("bai-control", "update", "NodeName=n008", "State=RESUME")
    c.await_state(emulate(c, 0, "-w", "n008"), "COMPLETED")


@test
def suspended_and_resumed(c):
    job = emulate(c, 2)
    c.await_state(job, "RUNNING")
    c.run("bai-control", "suspend", str(job))
    await_true(lambda: c.job(job).get("suspended_s", 0) >= 3, "longer than it would have run")
    equal(c.job(job)["state"], "SUSPENDED", "state")
    c.run("bai-control", "resume", str(job))
    done = c.await_state(job, "COMPLETED")
    check(done["run_time_s"] <= 3, f"it ran {done['run_time_s']} s")


@test
def steps_take_their_time(c):
    """What a step's own comment says, else its job's; no program runs and no stream comes."""
    alone = c.run("bai-run", "-N2", "-n4", "--comment=emulate:0.2", "/no/such/program")
    equal((alone.stdout, alone.returncode), ("", 0), "a job that is one step")
    job = emulate(c, 600, "--no-requeue")
    c.await_state(job, "RUNNING")
    c.run("bai-run", f"--jobid={job}", "--comment=emulate:0.2", "true")
    steps = json.loads(c.run("bai-acct", "--json", f"--jobs={job}").stdout)["jobs"][0]["steps"]
    equal([s["state"] for s in steps if s["step_id"] == "0"], ["COMPLETED"], "the step")
    c.run("bai-cancel", str(job))


@test
def controller_killed_under_load(c):
    """Jobs run on meanwhile, and each runs once."""
    ids = bulk(c, 3000, 0.4)
    for _ in range(3):
        await_true(lambda: any(j["state"] == "RUNNING" for j in c.queue(states="RUNNING")), "a running job")
        c.kill("ctld")
        c.up()
    states = await_all_ended(c, ids)
    equal(set(states.values()), {"COMPLETED"}, "states")
    equal(set(attempts(c, ids).values()), {1}, "attempts")


@test
def limits_are_kept(c):
    """Also over restarts of the controller."""
    for wanted, job in limited.items():
        ended = c.await_state(job, "TIMEOUT" if wanted == "silent" else wanted, 80)
        check(60 <= ended["ended_at"] - ended["started_at"] <= 62, f"{wanted} took {ended['ended_at'] - ended['started_at']} s")


@test
def emulator_killed_under_load(c):
    """For the controller its nodes have lost their disks: what ran there fails or runs again, and nothing is stuck."""
    stay, again = emulate(c, 600, "--no-requeue"), emulate(c, 3, "--requeue")
    ids = bulk(c, 2000, 0.5)
    c.await_state(stay, "RUNNING")
    c.await_state(again, "RUNNING")
    pid = c.kill("emulator")
    c.up()
    check(c.pid("emulator") not in (0, pid), "there is no new emulator")
    c.await_state(stay, "NODE_FAIL")
    c.await_state(again, "COMPLETED")
    equal(set(await_all_ended(c, ids).values()), {"COMPLETED"}, "states")
    equal(attempts(c, [again])[again], 2, "attempts of the job that ran again")
    free = c.run("bai-info", "-h", "-o", "%C").stdout.strip()
    equal(free, f"0/{NODES * 8}/0/{NODES * 8}", "CPUs")


@test
def told_to_leave(c):
    job = emulate(c, 600, "--no-requeue")
    c.await_state(job, "RUNNING")
    pid = c.pid("emulator")
    os.kill(pid, 15)
    await_true(lambda: not alive(pid), "the emulator's end")
    check("jobs are gone" in c.log("emulator"), "does not say what it takes along")
    c.up()
    c.await_state(job, "NODE_FAIL")


@test
def says_its_lines_and_its_mistakes(c):
    def agentd(*words):
        return subprocess.run([AGENTD, *words], text=True, capture_output=True, check=False, env=c.env, timeout=60)
    done = agentd("-C", "--emulate", "1000:sockets=2,corespersocket=32,memory=256G", "--conf", "/nowhere")
    equal(done.stdout, "NodeName=n[0001-1000] CPUs=64 Sockets=2 CoresPerSocket=32 ThreadsPerCore=1 RealMemory=262144\n", "the line")
    equal(agentd("-C", "--emulate", "2").stdout.split()[:2], ["NodeName=n[1-2]", agentd("-C").stdout.split()[1]], "as the machine")
    for words in (["--emulate", "0"], ["--emulate", "4:size=big"], ["--emulate", "4", "--node", "n[1-3]"], ["--emulate", "4", "--cpus", "1", "--memory", "1G"]):
        done = agentd(*words)
        equal(done.returncode, 2, " ".join(words))
        check("emulate" in done.stderr or "node" in done.stderr, done.stderr)
    unknown = subprocess.Popen([AGENTD, "--emulate", "2:cpus=4,memory=8G", "--node", "x[1-2]"], env=c.env, stderr=subprocess.PIPE, text=True)
    try:
        check("no NodeName line names x" in unknown.stderr.readline() + unknown.stderr.readline(), "an unknown node")
    finally:
        unknown.kill()
        unknown.communicate()


@test
def nodes_with_gpus(c):
    """Gres in SPEC: jobs are given whole GPUs and shares of them."""
    words = [AGENTD, "--emulate", "2:cpus=8,memory=16G,gres=gpu:a100:4,net:10"]
    line = c.run(*words, "-C", "--node", "g[1-2]").stdout.strip()
    check(line.startswith("NodeName=g[1-2] CPUs=8 ") and line.endswith("RealMemory=16384 Gres=gpu:a100:4,net:10"), line)
    c.configure(line, "PartitionName=gpu Nodes=g[1-2]")
    agent = subprocess.Popen([*words, "--node", "g[1-2]"], env=c.env, stderr=subprocess.DEVNULL)
    try:
        state = lambda node: json.loads(c.run("bai-control", "show", "node", node, "--json").stdout)["nodes"][0]
        await_true(lambda: all("IDLE" == state(node)["state"] for node in ("g1", "g2")), "two nodes to be idle")
        equal(c.run("bai-info", "-h", "-p", "gpu", "-o", "%G").stdout.strip(), "gpu:a100:4,net:10", "what they have")
        wide = [emulate(c, 600, "-p", "gpu", "--gpus=a100:3", "--no-requeue") for _ in range(3)]
        for job in wide[:2]:
            c.await_state(job, "RUNNING")
        half = [emulate(c, 600, "-p", "gpu", "--gpus=0.5", "--no-requeue") for _ in range(5)]
        for job in half[:4]:
            c.await_state(job, "RUNNING")
        equal([c.job(job)["state"] for job in (wide[2], half[4])], ["PENDING"] * 2, "more than there is")
        c.run("bai-cancel", str(wide[0]))
        c.await_state(wide[2], "RUNNING")
        c.run("bai-cancel", *map(str, wide[1:] + half))
        for job in wide + half:
            c.await_state(job, "CANCELLED")
    finally:
        agent.terminate()
        agent.wait()


if __name__ == "__main__":
    sys.exit(run_tests(Cluster(nodes=NODES, cpus=8, memory="16G", emulate=True)))

#!/usr/bin/env python3
"""Steps as users run them: bai-run in a job and alone, its streams, exit statuses, layouts, waiting, and what is left of a step when
something of it is killed."""
import json
import os
import re
import signal
import subprocess
import sys
import time

from bai import SLOW, Cluster, alive, await_true, check, equal, processes, run_tests, test


class Run:
    """A bai-run in the background."""

    def __init__(self, c, *words, env=None, stdin=subprocess.DEVNULL):
        self.process = subprocess.Popen(["bai-run", *words], env=dict(c.env, **(env or {})), cwd=c.work, stdin=stdin, text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def end(self, timeout=30):
        try:
            out, err = self.process.communicate(timeout=timeout * SLOW)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise
        return self.process.returncode, out, err

    def kill(self, signum=signal.SIGKILL):
        self.process.send_signal(signum)


def lines(text):
    return sorted(text.splitlines())


def steps_of(c, job):
    """What accounting knows of the job's steps: {step id: record}."""
    rows = json.loads(c.run("bai-acct", "--json", f"--jobs={job}").stdout)["jobs"]
    return {step["step_id"]: step for row in rows for step in row["steps"]}


def await_step(c, job, step, state):
    def probe():
        found = steps_of(c, job).get(step)
        return found if found and found["state"] == state else None
    return await_true(probe, f"step {job}.{step} to be {state}")


def allocate(c, *words):
    """A job that only holds its nodes: what steps run in. Its script ends when the file `end-JOB` appears."""
    job = c.submit("-o", "/dev/null", *words, script='while ! [ -e "end-$BAI_JOB_ID" ]; do sleep 0.05; done')
    c.await_state(job, "RUNNING")
    return job


def release(c, job):
    with open(c.path(f"end-{job}"), "w", encoding="utf-8"):
        pass
    return c.await_end_of(job)


def inside(job):
    return {"BAI_JOB_ID": str(job)}


# --- what runs where ---

@test
def alone_it_makes_a_job_and_gives_it_back(c):
    done = c.run("bai-run", "-J", "alone", "echo", "hello")
    equal(done.stdout, "hello\n", "output")
    job = max(j["job_id"] for j in c.queue())
    row = c.await_state(job, "COMPLETED")
    equal((row["name"], row.get("allocation")), ("alone", True), "the job")
    steps = steps_of(c, job)
    equal(sorted(steps), ["0"], "its steps: there is no batch script")
    equal((steps["0"]["state"], steps["0"]["name"], steps["0"]["tasks"]), ("COMPLETED", "alone", 1), "the step")


@test
def tasks_and_nodes(c):
    done = c.run("bai-run", "-N2", "-n4", "-l", "sh", "-c", "echo $SLURM_NODEID $SLURM_PROCID $SLURM_LOCALID $SLURM_NTASKS $BAI_STEP_ID $SLURMD_NODENAME")
    equal(lines(done.stdout), ["0: 0 0 0 4 0 n1", "1: 0 1 1 4 0 n1", "2: 0 2 2 4 0 n1", "3: 1 3 0 4 0 n2"], "block fills nodes")
    done = c.run("bai-run", "-N2", "-n4", "--ntasks-per-node=2", "-l", "-m", "cyclic", "sh", "-c", "echo $SLURM_NODEID $SLURM_LOCALID")
    equal(lines(done.stdout), ["0: 0 0", "1: 1 0", "2: 0 1", "3: 1 1"], "cyclic")
    done = c.run("bai-run", "-N2", "-n6", "-l", "-m", "plane=2", "sh", "-c", "echo $SLURM_NODEID")
    equal(lines(done.stdout), ["0: 0", "1: 0", "2: 1", "3: 1", "4: 0", "5: 0"], "planes of two")
    with open(c.path("hosts"), "w", encoding="utf-8") as f:
        f.write("n2\nn1\nn2\n")
    done = c.run("bai-run", "-N2", "-n3", "-l", "-m", "arbitrary", "sh", "-c", "echo $SLURMD_NODENAME", env={"SLURM_HOSTFILE": "hosts"})
    equal(lines(done.stdout), ["0: n2", "1: n1", "2: n2"], "arbitrary")


@test
def in_a_job_it_makes_steps(c):
    job = c.submit("-n2", "-o", "injob.txt", script="""
        bai-run -J first -n2 -l sh -c 'echo $BAI_JOB_ID $BAI_STEP_ID $SLURM_STEP_NUM_TASKS'
        bai-run -J second -n1 false; echo status $?
        bai-run -J third true""")
    c.await_state(job, "COMPLETED")
    text = c.read("injob.txt")
    for line in (f"0: {job} 0 2", f"1: {job} 0 2", "status 1"):
        check(line in text.splitlines(), f"{line!r} is not in {text!r}")
    steps = steps_of(c, job)
    equal([(i, s["name"], s["state"], s["exit_code"], s["tasks"]) for i, s in steps.items()],
          [("batch", "batch", "COMPLETED", 0, 1), ("0", "first", "COMPLETED", 0, 2), ("1", "second", "FAILED", 1, 1),
           ("2", "third", "COMPLETED", 0, 2)], "steps")


@test
def views_show_steps(c):
    job = allocate(c, "-N2", "-n4", "-J", "viewed")
    run = Run(c, "-J", "long", "-n4", "sleep", "60", env=inside(job))
    await_step(c, job, "0", "RUNNING")
    shown = c.run("bai-queue", "--steps", "-h", "-o", "%i %j %A %N %P").stdout
    equal(shown, f"{job}.0 long 4 n[1-2] main\n{job}.batch batch 1 n1 main\n", "bai-queue --steps")
    equal(c.run("bai-queue", f"--steps={job}.0", "-h", "-o", "%i").stdout, f"{job}.0\n", "one named")
    equal([s["display_id"] for s in json.loads(c.run("bai-queue", "-s", "--json").stdout)["steps"]], [f"{job}.0", f"{job}.batch"], "json")
    text = c.run("bai-control", "show", "step", f"{job}.0").stdout
    for word in (f"StepId={job}.0 ", "State=RUNNING", "NodeList=n[1-2]", "Nodes=2 CPUs=4 Tasks=4 Name=long", "Dist=Block"):
        check(word in text, f"{word!r} is not in {text!r}")
    rows = c.run("bai-acct", "-n", "-P", "-j", f"{job}", "-o", "jobid,jobname,state,ntasks,alloccpus,end").stdout.splitlines()
    equal(rows, [f"{job}|viewed|RUNNING||4|Unknown", f"{job}.batch|batch|RUNNING|1|2|Unknown", f"{job}.0|long|RUNNING|4|4|Unknown"], "bai-acct")
    equal(c.run("bai-acct", "-n", "-P", "-X", "-j", str(job), "-o", "jobid").stdout, f"{job}\n", "without steps")
    equal(c.run("bai-acct", "-n", "-P", "-j", f"{job}.0", "-o", "jobid,jobname").stdout, f"{job}.0|long\n", "one step")
    c.run("bai-cancel", f"{job}.0")
    run.end()
    await_true(lambda: c.run("bai-queue", "-s", "-h", "-o", "%i").stdout == f"{job}.batch\n", "the step's end in the queue")
    release(c, job)
    equal(c.run("bai-queue", "-s", "-h", "-o", "%i").stdout, "", "after the job's end")


# --- streams and exits ---

@test
def exit_statuses(c):
    equal(c.run("bai-run", "sh", "-c", "exit 7", ok=None).returncode, 7, "an exit status")
    equal(c.run("bai-run", "-n3", "sh", "-c", "exit $((SLURM_PROCID * 2))", ok=None).returncode, 4, "the highest of three")
    done = c.run("bai-run", "sh", "-c", "kill -USR1 $$", ok=None)
    equal(done.returncode, 128 + signal.SIGUSR1, "a signal")
    check("User defined signal 1" in done.stderr, done.stderr)
    done = c.run("bai-run", "no-such-program-here", ok=None)
    equal(done.returncode, 2, "a program that is not there")
    check("No such file or directory" in done.stderr, done.stderr)
    equal(c.run("bai-run", "-N99", "true", ok=None).returncode, 1, "more nodes than there are")
    equal(c.run("bai-run", "--no-such-option", "true", ok=None).returncode, 2, "a wrong option")
    job = max(j["job_id"] for j in c.queue())
    check(job > 0)


@test
def a_failing_task_ends_the_others_when_asked(c):
    done = c.run("bai-run", "-K", "-n2", "sh", "-c", "if [ $SLURM_PROCID = 0 ]; then exit 3; fi; sleep 100", ok=None)
    check(done.returncode != 0, "it failed")
    done = c.run("bai-run", "-W1", "-n2", "sh", "-c", "if [ $SLURM_PROCID = 0 ]; then exit 0; fi; sleep 100", ok=None)
    check(done.returncode != 0, "the other was ended")


@test
def standard_input_goes_to_all_or_one(c):
    equal(c.run("bai-run", "-N2", "-n4", "sh", "-c", "cat; echo", stdin="word").stdout.split(), ["word"] * 4, "to all")
    done = c.run("bai-run", "-N2", "-n4", "-l", "-i", "2", "cat", stdin="line\n")
    equal(done.stdout, "2: line\n", "to one")
    done = c.run("bai-run", "-n2", "-i", "none", "cat", stdin="line\n")
    equal(done.stdout, "", "to none")
    with open(c.path("in.txt"), "w", encoding="utf-8") as f:
        f.write("from a file\n")
    equal(c.run("bai-run", "-n2", "-i", "in.txt", "cat").stdout, "from a file\n" * 2, "a file")


@test
def output_files(c):
    c.run("bai-run", "-N2", "-n4", "-o", "out-%t.txt", "-e", "err-%t.txt", "sh", "-c", "echo out $SLURM_PROCID; echo err $SLURM_PROCID >&2")
    for task in range(4):
        equal((c.read(f"out-{task}.txt"), c.read(f"err-{task}.txt")), (f"out {task}\n", f"err {task}\n"), f"task {task}")
    c.run("bai-run", "-N2", "-n4", "-o", "node-%N.txt", "sh", "-c", "echo $SLURM_PROCID")
    equal((lines(c.read("node-n1.txt")), lines(c.read("node-n2.txt"))), (["0", "1", "2"], ["3"]), "a file for each node")
    c.run("bai-run", "-n4", "-o", "together.txt", "sh", "-c", "echo $SLURM_PROCID")
    equal(lines(c.read("together.txt")), ["0", "1", "2", "3"], "one file")
    job = allocate(c)
    c.run("bai-run", "-o", "%j-%s-%3t.txt", "echo", "x", env=inside(job))
    equal(c.read(f"{job}-0-000.txt"), "x\n", "job, step and a padded task")
    equal(c.run("bai-run", "-o", "none", "echo", "x").stdout, "", "none")
    release(c, job)


@test
def much_output_arrives_whole(c):
    done = c.run("bai-run", "-N2", "-n4", "-l", "seq", "20000", timeout=120)
    got = {}
    for line in done.stdout.splitlines():
        task, _, text = line.partition(": ")
        got.setdefault(task, []).append(text)
    wanted = [str(n) for n in range(1, 20001)]
    for task in "0123":
        check(got.get(task) == wanted, f"the lines of task {task} are not those that it wrote")


@test
def multi_prog(c):
    with open(c.path("roles"), "w", encoding="utf-8") as f:
        f.write("# roles\n0 echo leader\n1-2 echo worker %t %o\n* sh -c 'echo rest $SLURM_PROCID'\n")
    done = c.run("bai-run", "-n4", "-l", "--multi-prog", "roles")
    equal(lines(done.stdout), ["0: leader", "1: worker 1 0", "2: worker 2 1", "3: rest 3"], "what ran")
    with open(c.path("roles"), "w", encoding="utf-8") as f:
        f.write("0 echo leader\n")
    check(c.run("bai-run", "-n2", "--multi-prog", "roles", ok=None).returncode != 0, "a task without a program")


@test
def environment_and_directory(c):
    os.mkdir(c.path("there"))
    done = c.run("bai-run", "-D", "there", "--export=ALL,GIVEN=1", "sh", "-c", 'echo "$PWD $GIVEN $TAKEN"', env={"TAKEN": "along"})
    equal(done.stdout, f"{c.path('there')} 1 along\n", "ALL and one more")
    done = c.run("bai-run", "--export=GIVEN=1", "sh", "-c", 'echo "$GIVEN $TAKEN"', env={"TAKEN": "along"})
    equal(done.stdout, "1 \n", "only what was named")


@test
def a_terminal(c):
    import pty
    leader, follower = pty.openpty()
    run = subprocess.Popen(["bai-run", "--pty", "sh", "-c", "test -t 0 && test -t 1 && tty && stty size"], env=c.env, cwd=c.work,
                           stdin=follower, stdout=follower, stderr=follower, start_new_session=True)
    os.close(follower)
    text = b""
    while True:
        try:
            part = os.read(leader, 4096)
        except OSError:
            break
        if not part:
            break
        text += part
    os.close(leader)
    equal(run.wait(timeout=30 * SLOW), 0, "exit status")
    check(b"/dev/pts/" in text, f"no terminal: {text!r}")


# --- sharing a job ---

@test
def thirty_steps_share_what_the_job_has(c):
    job = c.submit("-n2", "-o", "thirty.txt", script="""
        for i in $(seq 30); do
          bai-run -Q --exact -n1 sh -c "mkdir running.$i; ls -d running.* | wc -l >> busy; sleep 0.05; rmdir running.$i; echo done $i" &
        done; wait""")
    c.await_state(job, "COMPLETED", timeout=120)
    equal(sorted(l for l in c.read("thirty.txt").splitlines() if l.startswith("done")), sorted(f"done {i}" for i in range(1, 31)), "what ran")
    check(max(int(n) for n in c.read("busy").split()) <= 2, "more steps ran at once than there are processors")
    steps = steps_of(c, job)
    equal([steps[str(i)]["state"] for i in range(30)], ["COMPLETED"] * 30, "their states")


@test
def an_argument_may_have_several_lines(c):
    words = ("printf", "%s|", "one\ntwo", "\ttab")
    equal(c.run("bai-run", "-n1", *words).stdout, "one\ntwo|\ttab|", "alone")
    with open(c.path("lines.sh"), "w", encoding="utf-8") as script:
        script.write('#!/bin/sh\nbai-run printf "%s|" "$@"\n')
    job = c.submit("-n1", "-o", "said", "lines.sh", *words[2:])
    c.await_end_of(job)
    equal(c.read("said"), "one\ntwo|\ttab|", "in a job, as the script's own")


@test
def a_step_waits_for_its_turn(c):
    job = allocate(c, "-n1")
    first = Run(c, "sh", "-c", "echo up; while ! [ -e go ]; do sleep 0.02; done", env=inside(job))
    await_step(c, job, "0", "RUNNING")
    equal(c.run("bai-run", "-I", "true", ok=None, env=inside(job)).returncode, 1, "at once or not at all")
    second = Run(c, "echo", "second", env=inside(job))
    overlapping = c.run("bai-run", "--overlap", "echo", "beside", env=inside(job))
    equal(overlapping.stdout, "beside\n", "one that shares does not wait")
    check(second.process.poll() is None, "the second one did not wait")
    with open(c.path("go"), "w", encoding="utf-8"):
        pass
    equal(first.end()[0], 0, "the first one's end")
    status, out, err = second.end()
    equal((status, out), (0, "second\n"), "the second one's turn")
    release(c, job)


@test
def what_a_job_does_not_have_is_refused(c):
    job = allocate(c, "-n1")
    for words in (("-n9", "true"), ("-N9", "true"), ("-w", "n9", "true"), ("-r", "7", "true")):
        done = c.run("bai-run", *words, ok=None, env=inside(job))
        equal(done.returncode, 1, " ".join(words))
        check(done.stderr.strip(), "it says nothing")
    release(c, job)
    done = c.run("bai-run", "true", ok=None, env=inside(job))
    equal(done.returncode, 1, "a job that has ended")


# --- ends ---

@test
def a_step_is_cancelled(c):
    job = allocate(c, "-n2")
    run = Run(c, "-n2", "sleep", "100", env=inside(job))
    await_step(c, job, "0", "RUNNING")
    c.run("bai-cancel", f"{job}.0")
    status, _, _ = run.end()
    check(status != 0, "bai-run says so")
    step = await_step(c, job, "0", "CANCELLED")
    equal(step.get("ended_by_uid"), os.geteuid(), "by whom")
    equal(c.job(job)["state"], "RUNNING", "the job")
    done = c.run("bai-cancel", f"{job}.7", ok=None)
    equal(done.returncode, 1, "a step that is not there")
    equal(release(c, job)["state"], "COMPLETED", "the job's end")


@test
def a_signal_reaches_the_tasks(c):
    job = allocate(c, "-n2")
    run = Run(c, "-n2", "sh", "-c", "trap 'echo caught; exit 5' USR2; echo ready; while :; do sleep 0.02; done", env=inside(job))
    for _ in range(2):
        equal(run.process.stdout.readline(), "ready\n", "both run")
    c.run("bai-cancel", "-s", "USR2", f"{job}.0")
    status, out, _ = run.end()
    equal((status, out), (5, "caught\ncaught\n"), "what the tasks did")
    release(c, job)


@test
def signals_of_the_command_are_passed_on(c):
    run = Run(c, "sh", "-c", "trap 'echo term; exit 4' TERM; echo ready; while :; do sleep 0.02; done")
    equal(run.process.stdout.readline(), "ready\n", "it runs")
    run.kill(signal.SIGTERM)
    status, out, err = run.end()
    check("term" in out or status != 0, f"{status} {out!r} {err!r}")
    await_true(lambda: not c.queue(states="RUNNING,PENDING"), "no job is left")


@test
def the_batch_step_is_cancelled(c):
    job = allocate(c, "-n1")
    c.run("bai-cancel", f"{job}.batch")
    row = c.await_end_of(job)
    equal((row["state"], row["signal"]), ("FAILED", 9), "the job")
    done = c.run("bai-cancel", f"{job}.batch", ok=None)
    equal(done.returncode, 1, "when it has ended")


@test
def the_end_of_a_job_ends_its_steps(c):
    job = allocate(c, "-N2", "-n2")
    run = Run(c, "sleep", "4321", env=inside(job))
    await_step(c, job, "0", "RUNNING")
    c.run("bai-cancel", str(job))
    status, _, _ = run.end()
    check(status != 0, "bai-run says so")
    equal(c.await_end_of(job)["state"], "CANCELLED", "the job")
    equal(await_step(c, job, "0", "CANCELLED").get("ended_by_uid"), os.geteuid(), "by whom")
    check(not processes("sleep 4321"), "tasks are left")
    # A script that leaves a step behind it.
    job = c.submit("-n1", "-o", "left.txt", script="bai-run sleep 4322 & sleep 0.5; bai-queue -s -h -o %i -j $BAI_JOB_ID")
    equal(c.await_end_of(job)["state"], "COMPLETED", "the job of a script that left a step")
    check(f"{job}.0" in c.read("left.txt"), "the step did not run")
    check(not processes("sleep 4322"), "tasks are left")
    check(steps_of(c, job)["0"]["state"] in ("CANCELLED", "FAILED"), "the step's end")


@test
def a_time_limit_ends_a_step(c):
    job = allocate(c, "-n1")
    # Limits are whole minutes: what a test can wait for is the job's end that comes with its own.
    step = c.run("bai-run", "-t", "1", "true", env=inside(job))
    equal(step.returncode, 0, "a step within its limit")
    equal(steps_of(c, job)["0"]["time_limit_s"], 60, "its limit")
    release(c, job)


@test
def a_killed_bai_run_ends_its_step(c):
    job = allocate(c, "-n1")
    run = Run(c, "sleep", "4323", env=inside(job))
    await_step(c, job, "0", "RUNNING")
    await_true(lambda: processes("sleep 4323"), "its task")
    run.kill()
    run.end()
    await_true(lambda: not [p for p, line in processes("sleep 4323").items() if line.startswith("sleep")], "the end of its task", 60)
    await_true(lambda: steps_of(c, job)["0"]["state"] != "RUNNING", "the end of the step")
    equal(c.job(job)["state"], "RUNNING", "the job goes on")
    release(c, job)


@test
def a_killed_bai_run_that_made_its_job_ends_it(c):
    run = Run(c, "-J", "orphan", "sleep", "4324")
    await_true(lambda: [p for p, line in processes("sleep 4324").items() if line.startswith("sleep")], "its task")
    job = max(j["job_id"] for j in c.queue() if j["name"] == "orphan")
    run.kill()
    run.end()
    c.await_end_of(job, 60)
    check(not [p for p, line in processes("sleep 4324").items() if line.startswith("sleep")], "its task is left")


@test
def a_detached_step_outlives_its_client(c):
    job = allocate(c, "-n1")
    run = Run(c, "--detach", "-o", "detached.txt", "sh", "-c", "while ! [ -e attached ]; do sleep 0.02; done; echo over > detached.out", env=inside(job))
    await_step(c, job, "0", "RUNNING")
    await_true(lambda: [p for p, line in processes("while ! [ -e attached ]").items() if line.startswith("sh")], "its task")
    run.kill()
    run.end()
    with open(c.path("attached"), "w", encoding="utf-8"):
        pass
    await_step(c, job, "0", "COMPLETED")
    equal(c.read("detached.out"), "over\n", "what it did")
    release(c, job)


# --- files ---

@test
def a_file_goes_to_every_node(c):
    job = allocate(c, "-N2")
    nodes = c.run("bai-control", "show", "hostnames", c.queue(f"--jobs={job}")[0]["node_list"]).stdout.split()
    equal(len(nodes), 2, "nodes of the job")
    data = os.urandom(1_500_000) + bytes(1_500_000) + b"end"
    with open(c.path("cast.in"), "wb") as f:
        f.write(data)
    os.chmod(c.path("cast.in"), 0o750)
    os.utime(c.path("cast.in"), (1_000_000_000, 1_100_000_000.5))
    for words in (["--fanout=1", "-C", "-p"], ["--force"]):
        c.run("bai-cast", *words, f"--jobid={job}", "cast.in", "cast.out.%N")
        for node in nodes:
            with open(c.path(f"cast.out.{node}"), "rb") as f:
                check(f.read() == data, f"{node} has another file")
            look = os.stat(c.path(f"cast.out.{node}"))
            equal(look.st_mode & 0o7777, 0o750, "its mode")
            equal(look.st_mtime == 1_100_000_000.5, "-p" in words, "its time is kept")
    again = c.run("bai-cast", "cast.in", "cast.out.%N", env=inside(job), ok=None)
    check(again.returncode != 0, "a file that was there was replaced")
    check("File exists" in again.stderr and "--force" in again.stderr, again.stderr)
    equal([n for n in os.listdir(c.work) if n.startswith(".bai-cast")], [], "what is left behind")
    release(c, job)


@test
def a_file_that_is_not_there_goes_nowhere(c):
    missing = c.run("bai-cast", "--jobid=1", "nosuch", "/tmp/x", ok=None)
    equal(missing.returncode, 1, "its status")
    check("No such file" in missing.stderr, missing.stderr)
    outside = c.run("bai-cast", "/etc/hostname", "/tmp/x", ok=None)
    equal(outside.returncode, 2, "its status outside of a job")
    check("--jobid" in outside.stderr, outside.stderr)


@test
def a_program_is_brought_to_its_nodes(c):
    with open(c.path("brought"), "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\necho $0 $1\n")
    os.chmod(c.path("brought"), 0o755)
    run = Run(c, "-N2", "-n2", "--bcast=brought.copy", "./brought", "word")
    status, out, err = run.end(60)
    equal((status, lines(out)), (0, [c.path("brought.copy") + " word"] * 2), f"what it said ({err.strip()})")


# --- killed daemons ---

def held_step(c, job, name):
    """A step that writes to its client before and after the file `name` appears."""
    run = Run(c, "-n2", "-N2", "-l", "sh", "-c", f"echo before; while ! [ -e {name} ]; do sleep 0.02; done; echo after", env=inside(job))
    equal(sorted(run.process.stdout.readline() for _ in range(2)), ["0: before\n", "1: before\n"], "what came first")
    return run


def finish(c, job, run, name):
    with open(c.path(name), "w", encoding="utf-8"):
        pass
    status, out, err = run.end(60)
    equal((status, lines(out)), (0, ["0: after", "1: after"]), f"the end of the step ({err.strip()})")
    step = await_step(c, job, "0", "COMPLETED")
    equal((step["tasks"], step["exit_code"]), (2, 0), "in accounting")


@test
def a_killed_controller_does_not_end_a_step(c):
    job = allocate(c, "-N2", "-n2")
    run = held_step(c, job, "ctld-killed")
    c.kill("ctld")
    c.up()
    finish(c, job, run, "ctld-killed")
    equal(release(c, job)["state"], "COMPLETED", "the job")


@test
def a_bai_run_that_waits_for_nodes_does_so_through_a_restart(c):
    holders = [allocate(c, "--exclusive", "-N1") for _ in c.nodes]
    run = Run(c, "-n1", "-J", "waits", "echo", "here")
    await_true(lambda: [j for j in c.queue(states="PENDING") if j["name"] == "waits"], "it to wait")
    c.kill("ctld")
    c.up()
    for job in holders:
        release(c, job)
    status, out, err = run.end()
    equal((status, out), (0, "here\n"), err)


@test
def a_step_may_end_while_the_controller_is_away(c):
    job = allocate(c, "-N2", "-n2")
    run = held_step(c, job, "ctld-away")
    c.kill("ctld")
    with open(c.path("ctld-away"), "w", encoding="utf-8"):
        pass
    equal(sorted(run.process.stdout.readline() for _ in range(2)), ["0: after\n", "1: after\n"], "output needs no controller")
    c.up()
    equal(run.end(60)[0], 0, "its exit status")
    await_step(c, job, "0", "COMPLETED")
    equal(release(c, job)["state"], "COMPLETED", "the job")


@test
def a_killed_agent_does_not_end_a_step(c):
    job = allocate(c, "-N2", "-n2")
    run = held_step(c, job, "agent-killed")
    for node in ("n1", "n2"):
        c.kill(node)
    c.up()
    finish(c, job, run, "agent-killed")
    equal(c.run("bai-run", "-N2", "-n2", "echo", "again", env=inside(job)).stdout, "again\n" * 2, "the next step")
    equal(release(c, job)["state"], "COMPLETED", "the job")


@test
def a_killed_shepherd_ends_its_step(c):
    job = allocate(c, "-n1")
    run = Run(c, "sh", "-c", "echo up; exec sleep 4325", env=inside(job))
    equal(run.process.stdout.readline(), "up\n", "it runs")
    node = c.job(job)["node_list"]
    check(node in c.nodes)
    mine = [pid for pid, line in c.shepherds(job).items() if re.search(rf"[/.-]{job}[.-].*0\b", line) and "batch" not in line]
    if len(c.shepherds(job)) == 2:
        mine = sorted(c.shepherds(job))[-1:]
    check(mine, f"no shepherd among {c.shepherds()}")
    os.kill(mine[0], signal.SIGKILL)
    status, _, _ = run.end(60)
    check(status != 0, "bai-run says so")
    await_true(lambda: not [p for p, line in processes("sleep 4325").items() if line.startswith("sleep")], "the end of its task", 60)
    step = await_true(lambda: next((s for s in steps_of(c, job).values() if s["step_id"] == "0" and s["state"] not in ("RUNNING",)), None), "its end")
    equal(step["state"], "FAILED", "the step")
    equal(c.job(job)["state"], "RUNNING", "the job goes on")
    release(c, job)


if __name__ == "__main__":
    sys.exit(run_tests(Cluster(nodes=2, cpus=4), settings=("InactiveLimit=20",)))

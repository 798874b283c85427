#!/usr/bin/env python3
"""Jobs that are interrupted: suspended and resumed, warned and requeued with time for a checkpoint; and steps that a killed controller had not sent."""
import json
import os
import signal
import subprocess
import sys
import time

from bai import SLOW, Cluster, IS_ROOT, alive, await_true, check, equal, processes, run_tests, test
from bai_slurm import slurm

NOBODY = (65534, 65534)
TICKS = 'echo here; i=0; while :; do i=$((i+1)); echo $i > ticks.$BAI_JOB_ID; sleep 0.02; done'


def ticks(c, job):
    try:
        return int(c.read(f"ticks.{job}") or 0)
    except (OSError, ValueError):  # just being written
        return None


def ticking(c, job):
    c.await_state(job, "RUNNING")
    before = await_true(lambda: ticks(c, job), f"job {job} to tick")
    await_true(lambda: (ticks(c, job) or 0) > before, f"job {job} to go on")


def frozen(pid):
    """Whether its cgroup is frozen."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8") as f:
            groups = [line.strip().split(":", 2) for line in f]
    except OSError:
        return False
    for _, kinds, path in groups:
        for top, name, value in (("/sys/fs/cgroup" + path, "cgroup.freeze", "1"), ("/sys/fs/cgroup/unified" + path, "cgroup.freeze", "1"),
                                 ("/sys/fs/cgroup/freezer" + path, "freezer.state", "FROZEN")):
            if name == "freezer.state" and kinds != "freezer":
                continue
            while len(top) > len("/sys/fs/cgroup"):
                try:
                    with open(os.path.join(top, name), encoding="utf-8") as f:
                        if f.read().strip() == value:
                            return True
                except OSError:
                    pass
                top = os.path.dirname(top)
    return False


def stands(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            return f.read().rpartition(")")[2].split()[0] in "TZ" or frozen(pid)
    except OSError:
        return True


def below(pids):
    """Those and their descendants."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as f:
                    parents[int(entry)] = int(f.read().rpartition(")")[2].split()[1])
            except OSError:
                pass
    found = set(pids)
    while True:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        if not more:
            return found
        found |= more


def programs(c, job):
    """The processes of a job and its steps, without their shepherds."""
    shepherds = set(c.shepherds(job))
    return below(shepherds) - shepherds


def await_standstill(c, job):
    await_true(lambda: (pids := programs(c, job)) and all(stands(pid) for pid in pids), f"all processes of job {job} to stand still")


def stands_still(c, job):
    """It does, while another job does its work beside it."""
    await_standstill(c, job)
    before = c.read(f"ticks.{job}")
    other = c.submit("-w", "n2", "-o", "/dev/null", script="for i in 1 2 3 4 5; do sleep 0.1; done")
    c.await_state(other, "COMPLETED")
    equal(c.read(f"ticks.{job}"), before, "ticks of a suspended job")


def shown(c, job):
    text = c.run("bai-control", "show", "job", str(job)).stdout
    return dict(word.split("=", 1) for word in text.split() if "=" in word)


def end(c, *jobs):
    c.run("bai-cancel", *map(str, jobs))
    for job in jobs:
        c.await_state(job, "CANCELLED")


@test
def a_job_stands_still_and_goes_on(c):
    job = c.submit("-w", "n1", "-c", "2", "-t", "10", "-o", "/dev/null", script=TICKS)
    ticking(c, job)
    c.run("bai-control", "suspend", str(job))
    equal(c.run("bai-queue", "-h", "-j", str(job), "-o", "%t %T %N").stdout.split(), ["S", "SUSPENDED", "n1"], "in the queue")
    stands_still(c, job)
    fields = shown(c, job)
    equal(fields["JobState"], "SUSPENDED", "JobState")
    check(fields["SuspendTime"].startswith("20"), fields["SuspendTime"])
    check(int(fields["SecsPreSuspend"]) <= 60, fields["SecsPreSuspend"])
    equal(c.run("bai-info", "-h", "-n", "n1", "-o", "%C").stdout.strip(), "2/2/0/4", "what it holds it keeps")
    # Long enough to be seen in whole seconds.
    await_true(lambda: c.job(job).get("suspended_s", 0) >= 2, "two seconds of standstill")
    ran = c.job(job)["run_time_s"]
    c.run("bai-control", "resume", str(job))
    ticking(c, job)
    equal(c.job(job)["attempt"], 1, "attempt")
    minutes, seconds = c.run("bai-queue", "-h", "-j", str(job), "-o", "%L").stdout.strip().split(":")
    check(abs(int(minutes) * 60 + int(seconds) + c.job(job)["run_time_s"] - 600) <= 2 * SLOW, f"time left: {minutes}:{seconds}, ran {ran} s")
    end(c, job)
    row = [r for r in c.accounting()[job] if r["state"] == "CANCELLED"][0]
    check(row["suspended_s"] >= 2, f"suspended {row['suspended_s']} s")
    check(abs(row["ended_at"] - row["started_at"] - row["suspended_s"] - row["run_time_s"]) <= 1, f"times: {row}")
    said = c.run("bai-acct", "-n", "-P", "-X", "-j", str(job), "-o", "Suspended,ElapsedRaw").stdout.strip().split("|")
    check(said[0] >= "00:00:02", said)
    equal(int(said[1]), row["run_time_s"], "Elapsed")
    moves = [(e["from"], e["to"]) for e in json.loads(c.run("bai-control", "show", "job", str(job), "--history", "--json").stdout)["events"]]
    check(("RUNNING", "SUSPENDED") in moves and ("SUSPENDED", "RUNNING") in moves, moves)


@test
def it_survives_the_death_of_its_daemons(c):
    job = c.submit("-w", "n1", "-o", "/dev/null", script=TICKS)
    ticking(c, job)
    c.run("bai-control", "suspend", str(job))
    await_standstill(c, job)
    c.kill("ctld")
    c.kill("n1")
    c.up()
    await_true(lambda: c.run("bai-info", "-h", "-n", "n1", "-o", "%t").stdout.strip() == "mix", "n1 to be back")
    equal(c.job(job)["state"], "SUSPENDED", "state")
    stands_still(c, job)
    # A resume that its agent does not hear, and a controller that dies before it does.
    c.kill("n1")
    c.run("bai-control", "resume", str(job))
    equal(c.job(job)["state"], "RUNNING", "state")
    c.kill("ctld")
    check(all(stands(pid) for pid in programs(c, job)), "it goes on by itself")
    c.up()
    ticking(c, job)
    # The same of a suspend.
    c.kill("n1")
    c.run("bai-control", "suspend", str(job))
    c.kill("ctld")
    c.up()
    stands_still(c, job)
    equal(c.job(job)["state"], "SUSPENDED", "state")
    c.run("bai-control", "resume", str(job))
    ticking(c, job)
    equal(c.job(job)["attempt"], 1, "attempt")
    end(c, job)


@test
def an_agent_dies_between_its_journal_and_the_shepherd(c):
    job = c.submit("-w", "n1", "-o", "/dev/null", script=TICKS)
    ticking(c, job)
    c.kill("n1")
    c.up(crash="agent.suspend_recorded")
    await_true(lambda: c.run("bai-info", "-h", "-n", "n1", "-o", "%t").stdout.strip() == "mix", "n1 to be back")
    pid = c.pid("n1")
    c.run("bai-control", "suspend", str(job))
    c.await_end(pid)
    c.up()
    stands_still(c, job)
    c.run("bai-control", "resume", str(job))
    ticking(c, job)
    end(c, job)


@test
def steps_on_all_nodes_stand_still(c):
    job = c.submit("-N", "2", "-n", "2", "-c", "2", "-o", "/dev/null", script='while ! [ -e "end-$BAI_JOB_ID" ]; do sleep 0.05; done')
    c.await_state(job, "RUNNING")
    env = dict(c.env, BAI_JOB_ID=str(job))
    step = subprocess.Popen(["bai-run", "-n2", "sh", "-c", 'trap "exit 0" USR1; i=0; while :; do i=$((i+1)); echo $i > step.$BAI_PROCID; sleep 0.02; done'],
                            env=env, cwd=c.work, stdin=subprocess.DEVNULL)
    later = None
    try:
        for rank in (0, 1):
            c.await_text(f"step.{rank}", "1")
        c.run("bai-control", "suspend", str(job))
        await_standstill(c, job)
        equal(len({line.split("/agents/")[1].split("/")[0] for line in c.shepherds(job).values()}), 2, "nodes with shepherds")
        before = [c.read(f"step.{rank}") for rank in (0, 1)]
        step_row = [s for s in json.loads(c.run("bai-queue", "--steps", "--json", "-j", str(job)).stdout)["steps"] if s["step_id"] == "0"][0]
        equal(step_row["state"], "SUSPENDED", "the step's state")
        # A new one waits until the job goes on.
        later = subprocess.Popen(["bai-run", "--overlap", "-n1", "sh", "-c", "echo ran > later"], env=env, cwd=c.work, stdin=subprocess.DEVNULL)
        other = c.submit("-w", "n2", "-o", "/dev/null", script="sleep 1.2")
        c.await_state(other, "COMPLETED")
        equal([c.read(f"step.{rank}") for rank in (0, 1)], before, "the tasks' ticks")
        check(later.poll() is None and not os.path.exists(c.path("later")), "a step began in a suspended job")
        # Also for another controller.
        c.kill("ctld")
        c.up()
        await_true(lambda: c.run("bai-info", "-h", "-n", "n1,n2", "-o", "%t").stdout.split() == ["mix"], "the nodes to be back")
        check(step.poll() is None and later.poll() is None, "a step's client did not wait")
        c.run("bai-control", "resume", str(job))
        equal(later.wait(timeout=30 * SLOW), 0, "the later step's exit status")
        for rank in (0, 1):
            await_true(lambda r=rank: c.read(f"step.{r}") not in ("", before[r]), f"task {rank} to go on")
        c.run("bai-cancel", "-s", "USR1", f"{job}.0")
        equal(step.wait(timeout=30 * SLOW), 0, "the step's exit status")
        rows = json.loads(c.run("bai-acct", "--json", f"--jobs={job}").stdout)["jobs"][0]["steps"]
        first = [r for r in rows if str(r["step_id"]) == "0"][0]
        check(first["suspended_s"] >= 1, f"the step's suspended time: {first}")
    finally:
        for process in (step, later):
            if process and process.poll() is None:
                process.kill()
                process.wait()
    with open(c.path(f"end-{job}"), "w", encoding="utf-8"):
        pass
    c.await_state(job, "COMPLETED")


@test
def handlers_are_told_before(c):
    job = c.submit("-o", "told.txt", script="trap 'echo stop' TSTP; trap 'echo go' CONT; echo ready; while :; do sleep 0.05; done")
    c.await_text("told.txt", "ready")
    c.await_state(job, "RUNNING")
    c.run("bai-control", "suspend", str(job))
    c.await_text("told.txt", "stop")
    await_standstill(c, job)
    c.run("bai-control", "resume", str(job))
    c.await_text("told.txt", "go")
    end(c, job)


@test
def a_suspended_job_ends(c):
    """By a cancel, by a signal that nothing withstands, by its deadline; its shepherd may die."""
    jobs = [c.submit("-o", "/dev/null", script=TICKS) for _ in range(4)]
    due = c.submit("-o", "/dev/null", "--deadline=now+5", "-t", "1", script=TICKS)
    for job in jobs:
        ticking(c, job)
        c.run("bai-control", "suspend", str(job))
    c.await_state(due, "RUNNING")
    c.run("bai-control", "suspend", str(due))
    for job in jobs:
        await_standstill(c, job)
    pids = [programs(c, job) for job in jobs]
    c.run("bai-cancel", str(jobs[0]))
    c.await_state(jobs[0], "CANCELLED")
    c.run("bai-cancel", "-s", "KILL", str(jobs[1]))
    c.await_state(jobs[1], "CANCELLED")
    os.kill(next(iter(c.shepherds(jobs[2]))), signal.SIGKILL)
    c.await_state(jobs[2], "FAILED")
    c.run("bai-control", "requeue", str(jobs[3]))
    held = c.await_state(jobs[3], "PENDING")
    check(held["hold"] != "none" and held["restarts"] == 1, f"a requeued suspended job is held: {held}")
    c.await_state(due, "DEADLINE")
    for pid in set().union(*pids):
        await_true(lambda p=pid: not alive(p), f"the end of process {pid}")
    end(c, jobs[3])


@test
def only_operators_may(c):
    job = c.submit("-o", "/dev/null", script="echo; sleep 60")
    held = c.submit("--hold", "-o", "/dev/null", script="true")
    c.await_state(job, "RUNNING")
    slurm(c, "scontrol suspend", status=1, err="too few arguments for keyword:suspend\n")
    slurm(c, "scontrol suspend 99999", status=1, err="Invalid job id specified for job 99999\n")
    slurm(c, "scontrol suspend abc", status=1, err="Invalid job id specified for job abc\n")
    slurm(c, f"scontrol suspend {held}", status=1, err=f"Job is pending execution for job {held}\n")
    slurm(c, f"scontrol resume {job}", status=1, err=f"Job is not suspended for job {job}\n")
    slurm(c, f"scontrol suspend {job}")
    slurm(c, f"scontrol suspend {job}", status=1, err=f"Job is not running for job {job}\n")
    slurm(c, f"scontrol resume jobid={job}")
    done = c.run("bai-control", "resume", str(job), ok=False)
    check("Job is not suspended" in done.stderr, done.stderr)
    if IS_ROOT:
        slurm(c, f"scontrol suspend {job}", status=1, user=NOBODY, err=f"Access/permission denied for job {job}\n")
        done = c.run("bai-control", "suspend", str(job), ok=False, user=NOBODY)
        check("operator" in done.stderr, done.stderr)
    end(c, job, held)
    slurm(c, f"scontrol suspend {job}", status=1, err=f"Job/step already completing or completed for job {job}\n")


CHECKPOINT = """
trap 'echo saved $(cat progress.$BAI_JOB_ID) >> checkpoint.$BAI_JOB_ID; exit 0' USR1
echo "run ${BAI_RESTART_COUNT:-none} ${SLURM_RESTART_COUNT:-none}"
if [ -s checkpoint.$BAI_JOB_ID ]; then echo "continues from $(tail -n 1 checkpoint.$BAI_JOB_ID)"; exit 0; fi
echo 41 > progress.$BAI_JOB_ID
echo ready; while :; do sleep 0.05; done"""


@test
def a_requeued_job_saves_a_checkpoint(c):
    job = c.submit("-p", "grace", "--signal=B:USR1@60", "-t", "10", "--open-mode=append", "-o", "saving.txt", script=CHECKPOINT)
    c.await_text("saving.txt", "ready")
    c.run("bai-control", "requeue", str(job))
    done = c.await_state(job, "COMPLETED")
    equal(done["restarts"], 1, "restarts")
    equal(c.read("saving.txt").splitlines(), ["run none none", "ready", "run 1 1", "continues from saved 41"], "what it wrote")
    equal(c.read(f"checkpoint.{job}"), "saved 41\n", "checkpoints")
    rows = json.loads(c.run("bai-acct", "-D", "-X", "--json", "-j", str(job)).stdout)["jobs"]
    equal(sorted(r["state"] for r in rows), ["COMPLETED", "REQUEUED"], "accounting")


@test
def the_grace_survives_the_controller(c):
    """Warned once; new steps are still possible; the rest comes when the grace is over."""
    job = c.submit("-p", "short", "--signal=USR1", "-t", "10", "--open-mode=append", "-o", "slow.txt",
                   script="[ -n \"$BAI_RESTART_COUNT\" ] && exit 0\n(trap 'echo warned' USR1; trap 'echo term' TERM; echo ready; while :; do sleep 0.05; done) &\nwait; wait; wait")
    c.await_text("slow.txt", "ready")
    c.run("bai-control", "requeue", str(job))
    c.await_text("slow.txt", "warned")
    c.await_state(job, "RUNNING")
    check(shown(c, job)["PreemptTime"].startswith("20"), "PreemptTime")
    c.kill("ctld")
    c.up()
    c.run("bai-run", "--overlap", f"--jobid={job}", "sh", "-c", "echo step ran >> slow.txt")
    done = c.await_state(job, "COMPLETED")
    equal(done["restarts"], 1, "restarts")
    text = c.read("slow.txt")
    equal((text.count("warned"), text.count("step ran")), (1, 1), text)


@test
def without_a_signal_programs_get_sigterm(c):
    job = c.submit("-p", "short", "-t", "10", "--open-mode=append", "-o", "plain.txt",
                   script="[ -n \"$BAI_RESTART_COUNT\" ] && exit 0\ntrap 'echo script term' TERM\n(trap 'echo program term; exit' TERM; echo ready; while :; do sleep 0.05; done) &\nwait $!\necho alone; while :; do sleep 0.05; done")
    c.await_text("plain.txt", "ready")
    c.run("bai-control", "requeuehold", str(job))
    c.await_text("plain.txt", "alone")
    held = c.await_state(job, "PENDING")
    check(held["hold"] != "none", "it is held")
    wrote = [line for line in c.read("plain.txt").splitlines() if line != "Terminated"]  # what the shell says of its own children
    equal(wrote, ["ready", "program term", "alone", "script term"], "what it wrote")
    c.run("bai-cancel", str(job))


@test
def a_warning_comes_once(c):
    """Of a job without B: to the tasks of its steps, and to what the script runs itself; whoever of us dies meanwhile."""
    script = """trap 'echo script warned' USR1
(trap 'echo child warned' USR1; while :; do sleep 0.05; done) &
bai-run -n1 sh -c 'trap "echo task warned" USR1; echo ready; while :; do sleep 0.05; done' &
wait; wait; wait"""
    job = c.submit("-w", "n1", "-t", "1", "--signal=USR1@52", "-o", "once.txt", script=script)
    alone = c.submit("-w", "n2", "-t", "1", "--signal=R:12@52", "-o", "alone.txt", script="echo; exec bai-run -n1 sh -c 'trap \"echo twelve\" USR2; while :; do sleep 0.05; done'")
    c.await_text("once.txt", "ready")
    for name in ("ctld", "n1"):
        c.kill(name)
    c.up()
    c.await_text("once.txt", "task warned")
    c.await_text("once.txt", "child warned")
    c.await_text("alone.txt", "twelve")
    for name in ("n1", "ctld"):
        c.kill(name)
    c.up()
    await_true(lambda: c.run("bai-info", "-h", "-n", "n1", "-o", "%t").stdout.strip() in ("mix", "alloc"), "n1 to be back")
    for text in ("task warned", "child warned"):
        equal(c.read("once.txt").count(text), 1, text)
    check("script warned" not in c.read("once.txt"), "the script was signalled")
    equal(c.read("alone.txt").count("twelve"), 1, "warnings by number")
    end(c, job, alone)


@test
def what_a_script_leaves_is_ended(c):
    """Children in the background, in sessions of their own, without their environment."""
    mark = f"99{os.getpid()}"
    job = c.submit("-o", "left.txt", script=f"sleep {mark} & setsid sleep {mark} & env -i setsid sleep {mark} & (setsid sh -c 'trap \"\" TERM; sleep {mark}; sleep {mark}' &)\nsleep 0.3; echo over")
    c.await_state(job, "COMPLETED")
    equal(processes(f"sleep {mark}"), {}, "what is left")
    check("over" in c.read("left.txt"), "the script")


@test
def a_step_that_was_not_sent_is_sent_again(c):
    """The controller dies between the answer and the launch: the client asks again, and the step runs once."""
    job = c.submit("-w", "n1", "-o", "/dev/null", script='while ! [ -e "end-$BAI_JOB_ID" ]; do sleep 0.05; done')
    c.await_state(job, "RUNNING")
    c.kill("ctld")
    c.up(crash="ctld.before_launch_sent")
    await_true(lambda: c.run("bai-info", "-h", "-n", "n1", "-o", "%t").stdout.strip() == "mix", "n1 to be back")
    pid = c.pid("ctld")
    step = subprocess.Popen(["bai-run", "-n1", "sh", "-c", "echo ran >> once-step"], env=dict(c.env, BAI_JOB_ID=str(job)), cwd=c.work, stdin=subprocess.DEVNULL)
    try:
        c.await_end(pid)
        check(not os.path.exists(c.path("once-step")), "it ran")
        c.up()
        equal(step.wait(timeout=60 * SLOW), 0, "exit status")
        equal(c.read("once-step"), "ran\n", "runs")
    finally:
        if step.poll() is None:
            step.kill()
            step.wait()
    with open(c.path(f"end-{job}"), "w", encoding="utf-8"):
        pass
    c.await_state(job, "COMPLETED")


if __name__ == "__main__":
    sys.exit(run_tests(Cluster(nodes=2, cpus=4),
                       settings=("KillWait=2", "PartitionName=grace Nodes=ALL GraceTime=60", "PartitionName=short Nodes=ALL GraceTime=6")))

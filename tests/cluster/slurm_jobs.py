#!/usr/bin/env python3
"""What jobs get and what is said of them under Slurm's names, against what Slurm 22.05.8 was seen to give and say on two nodes of 64 CPUs."""
import os
import sys

from bai import Cluster, await_true, check, equal, run_tests, test
from bai_slurm import NAMES, slurm

# Options, and what the job's environment tells of them; it is silent about what was not asked for.
ENVIRONMENTS = (
    ("", "TASKS_PER_NODE=1 JOB_CPUS_PER_NODE=1 MEM_PER_NODE=10 JOB_NUM_NODES=1"),
    ("-n1", "NTASKS=1 NPROCS=1 TASKS_PER_NODE=1 JOB_CPUS_PER_NODE=1 MEM_PER_NODE=10 JOB_NUM_NODES=1"),
    ("-c1", "CPUS_PER_TASK=1 TASKS_PER_NODE=1 JOB_CPUS_PER_NODE=1 MEM_PER_NODE=10 JOB_NUM_NODES=1"),
    ("-c2", "CPUS_PER_TASK=2 TASKS_PER_NODE=1 JOB_CPUS_PER_NODE=2 MEM_PER_NODE=10 JOB_NUM_NODES=1"),
    ("-N1", "TASKS_PER_NODE=1 JOB_CPUS_PER_NODE=1 MEM_PER_NODE=10 JOB_NUM_NODES=1"),
    ("-N2", "TASKS_PER_NODE=1(x2) JOB_CPUS_PER_NODE=1(x2) MEM_PER_NODE=10 JOB_NUM_NODES=2"),
    ("-n4 -c2", "NTASKS=4 NPROCS=4 CPUS_PER_TASK=2 TASKS_PER_NODE=4 JOB_CPUS_PER_NODE=8 MEM_PER_NODE=10 JOB_NUM_NODES=1"),
    ("-N2 --ntasks-per-node=2", "NTASKS=4 NPROCS=4 NTASKS_PER_NODE=2 TASKS_PER_NODE=2(x2) JOB_CPUS_PER_NODE=2(x2) MEM_PER_NODE=10 JOB_NUM_NODES=2"),
    ("--ntasks-per-node=1", "NTASKS=1 NPROCS=1 NTASKS_PER_NODE=1 TASKS_PER_NODE=1 JOB_CPUS_PER_NODE=1 MEM_PER_NODE=10 JOB_NUM_NODES=1"),
    ("-n4 --ntasks-per-node=2", "NTASKS=4 NPROCS=4 NTASKS_PER_NODE=2 TASKS_PER_NODE=2(x2) JOB_CPUS_PER_NODE=2(x2) MEM_PER_NODE=10 JOB_NUM_NODES=2"),
    ("--exclusive", "TASKS_PER_NODE=64 JOB_CPUS_PER_NODE=64 MEM_PER_NODE=10 JOB_NUM_NODES=1"),
    ("--exclusive -n2", "NTASKS=2 NPROCS=2 TASKS_PER_NODE=2 JOB_CPUS_PER_NODE=64 MEM_PER_NODE=10 JOB_NUM_NODES=1"),
    ("--exclusive -c3", "CPUS_PER_TASK=3 TASKS_PER_NODE=21 JOB_CPUS_PER_NODE=64 MEM_PER_NODE=10 JOB_NUM_NODES=1"),
    ("--mem-per-cpu=5", "TASKS_PER_NODE=1 JOB_CPUS_PER_NODE=1 MEM_PER_CPU=5 JOB_NUM_NODES=1"),
    ("--mem=0", "TASKS_PER_NODE=1 JOB_CPUS_PER_NODE=1 JOB_NUM_NODES=1"),
    ("-N2 -c3", "CPUS_PER_TASK=3 TASKS_PER_NODE=1(x2) JOB_CPUS_PER_NODE=3(x2) MEM_PER_NODE=10 JOB_NUM_NODES=2"),
    ("-n1 -N2", "NTASKS=1 NPROCS=1 TASKS_PER_NODE=1 JOB_CPUS_PER_NODE=1 MEM_PER_NODE=10 JOB_NUM_NODES=1"),
    ("-w n1,n2", "TASKS_PER_NODE=1(x2) JOB_CPUS_PER_NODE=1(x2) MEM_PER_NODE=10 JOB_NUM_NODES=2"),
)
TOLD = "NTASKS NPROCS NTASKS_PER_NODE CPUS_PER_TASK TASKS_PER_NODE JOB_CPUS_PER_NODE MEM_PER_NODE MEM_PER_CPU JOB_NUM_NODES".split()


def sbatch(c, *words):
    return int(c.run(os.path.join(NAMES, "sbatch"), "--parsable", *words).stdout)


def show(c, job):
    out = c.run(os.path.join(NAMES, "scontrol"), "show", "job", "-o", str(job)).stdout
    return dict(word.partition("=")[::2] for word in out.split())


@test
def the_environment_tells_what_was_asked_for(c):
    jobs = []
    for i, (options, _) in enumerate(ENVIRONMENTS):
        mem = [] if "--mem" in options else ["--mem=10"]
        jobs.append(sbatch(c, *mem, *options.split(), "-o", f"env{i}", "--wrap", "env"))
    for i, (options, wanted) in enumerate(ENVIRONMENTS):
        c.await_state(jobs[i], "COMPLETED")
        env = dict(line.partition("=")[::2] for line in c.read(f"env{i}").splitlines())
        equal(" ".join(f"{name}={env['SLURM_' + name]}" for name in TOLD if "SLURM_" + name in env), wanted, f"sbatch {options}")
        for name in TOLD:
            equal(env.get("BAI_" + name), env.get("SLURM_" + name), f"BAI_{name} of {options}")


@test
def the_environment_of_the_caller_is_kept(c):
    job = sbatch(c, "-o", "inherited", "--export=ALL,SLURM_NTASKS=7", "--wrap", 'echo "$SLURM_NTASKS"')
    c.await_state(job, "COMPLETED")
    equal(c.read("inherited"), "7\n", "what was in the caller's environment, where the job says nothing")


@test
def sbatch_refuses_what_can_never_run(c):
    failed = "sbatch: error: Batch job submission failed: "
    config = failed + "Requested node configuration is not available\n"
    for options, err in (("--mem=30000", "sbatch: error: Memory specification can not be satisfied\n" + config),
                         ("--mem-per-cpu=30000", "sbatch: error: Memory specification can not be satisfied\n" + config),
                         ("-c 65", "sbatch: error: CPU count per node can not be satisfied\n" + config),
                         ("-N1 -n65", config), ("-p other -w n1", config), ("-x n1,n2", config), ("--mem-per-cpu=1000 -n 100", config),
                         ("-p main,other -n 200", config), ("-C nofeat", failed + "Invalid feature specification\n"),
                         ("-w n1 -x n1", failed + "Invalid node name specified\n"), ("-w n1,n2 -N1", "sbatch: error: invalid number of nodes (-N 2-1)\n")):
        slurm(c, ["sbatch", *options.split(), "--wrap", "true"], err=err, status=1)
    slurm(c, "sbatch --test-only -n 200 --wrap true", err="allocation failure: Requested node configuration is not available\n", status=1)


@test
def sbatch_makes_nodes_and_tasks_agree(c):
    slurm(c, "sbatch -H -Q -n2 -N3-4 --wrap true")
    slurm(c, "sbatch -H -n2 -N3-4 --parsable --wrap true", f"{sbatch(c, '-H', '--wrap', 'true') + 1}\n",
          err="sbatch: Warning: can't run 2 processes on 3 nodes, setting nnodes to 2\n")
    for options, keys in (("-n2 -N2-4", "NumNodes=2-2 NumTasks=2"), ("-n1 -N1-2", "NumNodes=1-1 NumTasks=1"), ("-w n2,n1", "ReqNodeList=n[1-2] NumNodes=2 NumTasks=2"),
                          ("-n4 --ntasks-per-node=2", "NumNodes=2 NumTasks=4"), ("-N1", "NumNodes=1-1 NumTasks=1"), ("", "NumNodes=1 NumTasks=1")):
        shown = show(c, sbatch(c, "-H", *options.split(), "--wrap", "true"))
        equal(" ".join(f"{key}={shown[key]}" for key in (k.partition("=")[0] for k in keys.split())), keys, f"sbatch {options}")


@test
def a_dependency_on_a_job_that_never_was_holds(c):
    c.await_state(sbatch(c, "-d", "afterok:99999", "-o", "/dev/null", "--wrap", "true"), "COMPLETED")
    done = c.run("bai-submit", "-d", "afterok:99999", "--wrap", "true", ok=None)
    equal((done.returncode, done.stderr), (1, "bai-submit: --dependency: Job dependency problem: there is no job 99999 (see bai-queue for the jobs there are)\n"),
          "bai-submit")


@test
def where_from_and_with_which_arguments(c):
    with open(c.path("args.sh"), "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\ntrue\n")
    job = sbatch(c, "-H", "./args.sh", "one", "two words")
    out = c.run(os.path.join(NAMES, "scontrol"), "show", "job", str(job)).stdout
    check("   Command=./args.sh one two words\n" in out, out)
    check(f" AllocNode:Sid={os.uname().nodename}:{os.getsid(0)}\n" in out, out)
    slurm(c, ["squeue", "-h", "-j", str(job), "-o", "%o|"], "./args.sh one two words|\n")
    slurm(c, ["squeue", "-h", "-j", str(job), "-O", "allocnodes:40,allocsid:10"], f"{os.uname().nodename:40}{os.getsid(0):<10}\n")


@test
def a_cancelled_job_keeps_its_reason(c):
    held, later = sbatch(c, "-H", "--wrap", "true"), sbatch(c, "--begin=now+1hour", "--wrap", "true")
    await_true(lambda: c.job(later)["reason"] == "BeginTime", "the reason")
    slurm(c, f"scancel {held} {later}")
    slurm(c, ["squeue", "-h", "-t", "CA", "-j", f"{held},{later}", "-S", "i", "-o", "%r|%R|%t"], "JobHeldUser||CA\nBeginTime||CA\n")


@test
def users_that_nobody_is(c):
    title = "             JOBID PARTITION     NAME     USER ST       TIME  NODES NODELIST(REASON)\n"
    slurm(c, "squeue -u nosuchuser", title, err="squeue: error: Invalid user: nosuchuser\n\n")
    slurm(c, "squeue -h -u 99999", err="squeue: error: Invalid user: 99999\n\n")
    slurm(c, "scancel -u nosuchuser", err="scancel: error: Invalid user name: nosuchuser\n", status=1)
    done = c.run("bai-queue", "-h", "-u", "nosuchuser", ok=None)
    equal((done.returncode, done.stdout, done.stderr), (0, "", "bai-queue: there is no user 'nosuchuser'\n"), "bai-queue")


@test
def accounting_tells_who_sent_an_attempt_back(c):
    job = sbatch(c, "--requeue", "-o", "/dev/null", "--wrap", '[ "${SLURM_RESTART_COUNT:-0}" -gt 0 ] || sleep 60')
    c.await_state(job, "RUNNING")
    slurm(c, f"scontrol requeue {job}")
    c.await_state(job, "COMPLETED")
    slurm(c, ["sacct", "-n", "-X", "-P", "-j", str(job), "-o", "JobID,State"], f"{job}|COMPLETED\n")
    slurm(c, ["sacct", "-n", "-X", "-P", "-D", "-j", str(job), "-o", "JobID,State"], f"{job}|REQUEUED\n{job}|COMPLETED\n")
    slurm(c, ["sacct", "-n", "-X", "-P", "-D", "-a", "-s", "RQ", "-S", "now-1hours", "-o", "JobID,State"], f"{job}|REQUEUED\n")


@test
def last_busy_is_when_the_last_job_left(c):
    def last_busy():
        done = c.run(os.path.join(NAMES, "scontrol"), "show", "node", "-o", "n2").stdout
        return dict(word.partition("=")[::2] for word in done.split())["LastBusyTime"]
    before = last_busy()
    job = sbatch(c, "-w", "n2", "-o", "/dev/null", "--wrap", "sleep 1.1")
    c.await_state(job, "RUNNING")
    equal(last_busy(), before, "while it runs")
    c.await_state(job, "COMPLETED")
    check(last_busy() > before, f"{last_busy()} after the job, {before} before")


if __name__ == "__main__":
    sys.exit(run_tests(Cluster(nodes=2, cpus=64, memory="20000"), settings=("PartitionName=other Nodes=n2 MaxTime=60 State=UP", "KillWait=2")))

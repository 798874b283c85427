#!/usr/bin/env python3
"""Workflow engines that know Slurm and nothing of bai run real workflows through contrib/slurm/bin: Debian's snakemake and toil, which
are installed when they are not there."""
import os
import shutil
import signal
import subprocess
import sys

from bai import IS_ROOT, SLOW, Cluster, Skip, await_true, check, equal, run_tests, test
from bai_slurm import NAMES

INSTALL_S = 240

SNAKEFILE = """
rule all:
    input: "total.txt"

rule count:
    output: "count.{i}"
    shell: "echo {wildcards.i} > {output}"

# A job that submits an array and waits for it.
rule array:
    output: "array.txt"
    shell: "sbatch --wait --array=1-3 -o array.%a --wrap 'echo task $SLURM_ARRAY_TASK_ID' && cat array.1 array.2 array.3 > {output}"

rule total:
    input: expand("count.{i}", i=range(2)), "array.txt"
    output: "total.txt"
    shell: "cat {input} > {output}"

rule fails:
    output: "never.txt"
    shell: "exit 3"

rule sleeps:
    output: "late.txt"
    shell: "touch asleep; sleep 600; touch {output}"
"""

TOIL = """
import os
import subprocess
import sys
from toil.common import Toil
from toil.job import Job

WORK = os.getcwd()


def count(job, i):
    with open(os.path.join(WORK, "toil.%d" % i), "w") as f:
        f.write("%d\\n" % i)
    return i


def array(job):
    subprocess.run(["sbatch", "--wait", "--array=1-3", "-D", WORK, "-o", "toil-array.%a", "--wrap", "echo task $SLURM_ARRAY_TASK_ID"],
                   check=True, stdout=subprocess.DEVNULL)
    return sum(1 for a in (1, 2, 3) if os.path.exists(os.path.join(WORK, "toil-array.%d" % a)))


def fails(job):
    raise RuntimeError("as planned")


def sleeps(job):
    import time
    open(os.path.join(WORK, "toil.asleep"), "w").close()
    time.sleep(600)


def total(job, parts):
    with open(os.path.join(WORK, "toil.total"), "w") as f:
        f.write("%d\\n" % sum(parts))


def flow(job):
    parts = [job.addChildJobFn(count, i).rv() for i in (1, 2)] + [job.addChildJobFn(array).rv()]
    job.addFollowOnJobFn(total, parts)


if __name__ == "__main__":
    parser = Job.Runner.getDefaultArgumentParser()
    parser.add_argument("what")
    options = parser.parse_args()
    with Toil(options) as toil:
        toil.start(Job.wrapJobFn(globals()[options.what]))
"""


def install(package):
    """The client, from Debian where it is not there yet."""
    if os.path.exists(f"/usr/bin/{package}"):
        return
    if not IS_ROOT or not shutil.which("apt-get"):
        raise Skip(f"{package} is not installed")
    words = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=60", "install", "--no-install-recommends", package]
    try:
        done = subprocess.run(words, env=dict(os.environ, DEBIAN_FRONTEND="noninteractive"), capture_output=True, text=True,
                              timeout=INSTALL_S, check=False)
    except subprocess.TimeoutExpired:
        raise Skip(f"{package} could not be installed in {INSTALL_S} s") from None
    if done.returncode:
        raise Skip(f"{package} cannot be installed: {done.stderr.strip().splitlines()[-1:]}")


def environment(c):
    return {"PATH": NAMES + ":" + c.env["PATH"], "HOME": c.work, "USER": "somebody", "XDG_CACHE_HOME": c.path("cache")}


def states(c, name):
    """The states of jobs whose name holds the word."""
    return [rows[-1]["state"] for rows in c.accounting().values() if name in rows[-1]["name"]]


# --- snakemake ---

def snakemake(c, *words):
    install("snakemake")
    folder = c.path("snake")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "Snakefile"), "w", encoding="utf-8") as f:
        f.write(SNAKEFILE)
    return subprocess.Popen(["/usr/bin/snakemake", "--slurm", "--jobs", "4", "--max-status-checks-per-second", "5", "--latency-wait", "20",
                             "--default-resources", "mem_mb=300", "disk_mb=10", "runtime=5", "--", *words], env=dict(c.env, **environment(c)),
                            cwd=folder, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def ends(client, timeout=240):
    try:
        out, _ = client.communicate(timeout=timeout * SLOW)
    except subprocess.TimeoutExpired:
        client.kill()
        out, _ = client.communicate()
        raise AssertionError(f"it did not end: {out[-1500:]}") from None
    return client.returncode, out


@test
def snakemake_runs_a_workflow(c):
    status, out = ends(snakemake(c, "all"))
    equal(status, 0, f"snakemake all: {out[-1500:]}")
    equal(c.read("snake/total.txt"), "0\n1\ntask 1\ntask 2\ntask 3\n", "what it made")
    equal(sorted(states(c, "snakejob_")), ["COMPLETED"] * 4, "its jobs")


@test
def snakemake_learns_of_a_failure(c):
    status, out = ends(snakemake(c, "fails"))
    equal(status, 1, "snakemake fails")
    check("SLURM status is: 'FAILED'" in out, out[-1500:])


@test
def snakemake_cancels_its_jobs(c):
    client = snakemake(c, "sleeps")
    await_true(lambda: os.path.exists(c.path("snake/asleep")) or client.poll() is not None, "its job", 120)
    client.send_signal(signal.SIGINT)
    status, out = ends(client)
    check(status != 0, out[-1500:])
    await_true(lambda: "CANCELLED" in states(c, "snakejob_sleeps"), f"the end of its job: {out[-1500:]}")


# --- toil ---

def toil(c, what, store):
    install("toil")
    with open(c.path("flow.py"), "w", encoding="utf-8") as f:
        f.write(TOIL)
    return subprocess.Popen(["/usr/bin/python3", "flow.py", f"file:{c.path(store)}", what, "--batchSystem", "slurm", "--statePollingWait", "1",
                             "--retryCount", "0", "--defaultMemory", "400M", "--defaultDisk", "10M", "--defaultCores", "1", "--disableCaching",
                             "--workDir", c.work, "--logInfo"], env=dict(c.env, **environment(c)), cwd=c.work, text=True, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@test
def toil_runs_a_workflow(c):
    status, out = ends(toil(c, "flow", "store1"))
    equal(status, 0, f"toil flow: {out[-1500:]}")
    equal((c.read("toil.1"), c.read("toil.2"), c.read("toil.total")), ("1\n", "2\n", "6\n"), "what it made")
    found = states(c, "toil_job_")
    check(found and set(found) == {"COMPLETED"}, f"its jobs: {found}")


@test
def toil_learns_of_a_failure(c):
    status, out = ends(toil(c, "fails", "store2"))
    check(status != 0, "it succeeded")
    check("as planned" in out, out[-1500:])


@test
def toil_learns_of_a_cancelled_job(c):
    client = toil(c, "sleeps", "store3")
    await_true(lambda: os.path.exists(c.path("toil.asleep")) or client.poll() is not None, "its job", 120)
    name = "toil_job_"
    running = [job["job_id"] for job in c.queue(states="RUNNING") if name in job["name"]]
    equal(len(running), 1, "running jobs")
    c.run(os.path.join(NAMES, "scancel"), str(running[0]))
    status, out = ends(client)
    check(status != 0, out[-1500:])
    equal(c.await_end_of(running[0])["state"], "CANCELLED", "the job")


@test
def toil_asks_how_long_to_wait(c):
    install("toil")
    code = "from toil.batchSystems.slurm import SlurmBatchSystem; print(SlurmBatchSystem.getWaitDuration())"
    equal(c.run("/usr/bin/python3", "-c", code, env=environment(c)).stdout, "36\n", "out of scontrol show config")


if __name__ == "__main__":
    sys.exit(run_tests(Cluster(nodes=2, cpus=4)))

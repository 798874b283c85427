#!/usr/bin/env python3
"""MPI programs, as Debian's MPICH and OpenMPI build them: they start natively or by their own mpirun, on one node and on several, and every
rank reaches every other."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys

from bai import BIN, IS_ROOT, Cluster, Skip, await_true, check, equal, processes, run_tests, test

WORLD = r"""
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char** argv) {
  int rank, size;
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  int* out = malloc(size * sizeof *out);
  int* in = calloc(size, sizeof *in);
  for (int i = 0; i < size; ++i) out[i] = 1000 * rank + i;
  MPI_Alltoall(out, 1, MPI_INT, in, 1, MPI_INT, MPI_COMM_WORLD);
  int right = 0;
  for (int i = 0; i < size; ++i) right += in[i] == 1000 * i + rank;
  const char* node = getenv("SLURMD_NODENAME");
  printf("rank %d of %d on %s: %d right\n", rank, size, node ? node : "?", right);
  MPI_Finalize();
  return 0;
}
"""
ABORT = r"""
#include <mpi.h>
#include <unistd.h>
int main(int argc, char** argv) {
  int rank;
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  if (rank == 1) MPI_Abort(MPI_COMM_WORLD, 3);
  for (;;) pause();
}
"""
# One rank goes the way that is asked for while the others wait for it.
DIE = r"""
#include <mpi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char** argv) {
  int rank;
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Barrier(MPI_COMM_WORLD);
  if (rank == 0) puts("met");
  fflush(stdout);
  if (rank == 2 && strcmp(argv[1], "kill") == 0) kill(getpid(), SIGKILL);
  if (rank == 2 && argv[1][0] != '-') _exit(atoi(argv[1]));
  for (;;) pause();
}
"""


def compiler(name, *packages):
    """Path of an MPI compiler; installs its packages if that can be done."""
    if not shutil.which(name):
        if not IS_ROOT or not shutil.which("apt-get"):
            raise Skip(f"there is no {name}, and only root can install {' '.join(packages)} (apt-get)")
        done = subprocess.run(["apt-get", "-o", "DPkg::Lock::Timeout=300", "install", "-qq", "--no-install-recommends", *packages], check=False, capture_output=True,
                              text=True, env=dict(os.environ, DEBIAN_FRONTEND="noninteractive"), timeout=600)
        if done.returncode or not shutil.which(name):
            raise Skip(f"there is no {name}, and apt-get install {' '.join(packages)} failed: {done.stderr.strip()[-200:]}")
    return name


def build(c, compile_with, name, source):
    """Path of the program; built once."""
    path = c.path(f"{name}.{compile_with}")
    if not os.path.exists(path):
        c.run(compile_with, "-x", "c", "-o", path, "-", stdin=source)
    return path


def mpich(c, name="world", source=WORLD):
    return build(c, compiler("mpicc.mpich", "mpich", "libmpich-dev", "gcc", "libc6-dev"), name, source)


def openmpi(c, name="world", source=WORLD):
    return build(c, compiler("mpicc.openmpi", "openmpi-bin", "libopenmpi-dev", "gcc", "libc6-dev"), name, source)


def are_over(c, program):
    """Nothing of the program runs any more."""
    await_true(lambda: not processes(program), f"the end of {program}")


def last_step(c):
    """The record of the newest job's step 0."""
    rows = json.loads(c.run("bai-acct", "--json").stdout)["jobs"]
    row = max(rows, key=lambda row: row["job_id"])
    return {step["step_id"]: step for step in row["steps"]}["0"]


def detached(c, kind, program, env=None):
    """The ranks start MPI when their client is dead; what they say then."""
    gate = c.path(f"gate.{kind}")
    script = f"while ! [ -e {gate} ]; do sleep 0.02; done; {program} > {gate}.$SLURM_PROCID"
    job = c.submit("-N3", "-n6", "-o", "/dev/null", script="while ! [ -e over ]; do sleep 0.05; done")
    c.await_state(job, "RUNNING")
    client = subprocess.Popen(["bai-run", "--detach", f"--mpi={kind}", "-N3", "-n6", "sh", "-c", script], cwd=c.work, stdin=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, env=dict(c.env, BAI_JOB_ID=str(job), **(env or {})))
    await_true(lambda: len([p for p, line in processes(f"while ! [ -e {gate} ]").items() if line.startswith("sh")]) == 6, "the tasks")
    client.kill()
    client.wait()
    with open(gate, "w", encoding="utf-8"):
        pass
    step = await_true(lambda: (lambda s: s if s["state"] not in ("RUNNING", "CONFIGURING") else None)(last_step(c)), "the step's end", timeout=60)
    equal(step["state"], "COMPLETED", "the step")
    c.run("bai-cancel", str(job))
    c.await_end_of(job)
    return "".join(c.read(f"gate.{kind}.{rank}") for rank in range(6))


def pmix(c, *program):
    """An OpenMPI program that starts natively."""
    if "without" in c.run(os.path.join(BIN, "bai-pmixd"), "--version").stdout:
        raise Skip("bai was built without libpmix")
    return openmpi(c, *program)


# The nodes of a private cluster are one machine. OpenMPI names its shared memory by gethostname() and the rank on the node, so ranks of several
# nodes would take each other's.
ONE_MACHINE = {"OMPI_MCA_btl": "tcp,self", "OMPI_MCA_btl_tcp_if_include": "lo", "OMPI_MCA_oob_tcp_if_include": "lo",
               "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


def with_slurm_names(c, **more):
    return dict(more, PATH=os.path.join(os.path.dirname(BIN), "slurm/bin") + ":" + c.env["PATH"])


def world(text):
    """{rank: node} of a world in which every rank got from every other what that had for it."""
    ranks, lines = {}, text.splitlines()
    for line in lines:
        said = re.fullmatch(r"rank (\d+) of (\d+) on (\S+): (\d+) right", line)
        check(said, f"a rank says {line!r}")
        rank, size, node, right = said.groups()
        equal((int(size), int(right)), (len(lines), len(lines)), f"size of the world and what rank {rank} got")
        ranks[int(rank)] = node
    equal(sorted(ranks), list(range(len(lines))), "ranks")
    return ranks


@test
def mpich_starts_on_one_node(c):
    program = mpich(c)
    ranks = world(c.run("bai-run", "--mpi=pmi1", "-N1", "-n4", program).stdout)
    equal((len(ranks), len(set(ranks.values()))), (4, 1), "ranks and nodes")


@test
def mpich_starts_on_several_nodes(c):
    program = mpich(c)
    ranks = world(c.run("bai-run", "--mpi=pmi1", "-N3", "-n12", program).stdout)
    equal((len(ranks), sorted(set(ranks.values()))), (12, c.nodes), "ranks and nodes")
    ranks = world(c.run("bai-run", "--mpi=pmi1", "-N3", "-n6", "--ntasks-per-node=2", "-m", "cyclic", program).stdout)
    equal([ranks[rank] for rank in range(6)], c.nodes * 2, "nodes of the ranks")


@test
def mpich_starts_in_a_batch_job(c):
    program = mpich(c)
    job = c.submit("-N2", "-n4", "-o", "batch.out", "-e", "batch.err", script=f"bai-run --mpi=pmi1 {program} && SLURM_MPI_TYPE=pmi1 bai-run -n2 -N2 {program} > second.out\n")
    equal(c.await_end_of(job)["state"], "COMPLETED", "state")
    equal(len(world(c.read("batch.out"))), 4, "ranks")
    equal(sorted(world(c.read("second.out")).values()), c.nodes[:2], "nodes")


@test
def without_mpi_each_is_a_world_of_its_own(c):
    out = c.run("bai-run", "--mpi=none", "-n2", "-N1", mpich(c)).stdout
    equal(out.count("rank 0 of 1 "), 2, "worlds of one")


def aborts(c, kind, program, **env):
    """MPI_Abort(comm, 3) is the step's end, and its exit code, wherever its ranks are."""
    for layout in (["-N1", "-n2"], ["-N3", "-n6"]):
        done = c.run("bai-run", f"--mpi={kind}", *layout, program, ok=False, env=env)
        equal(done.returncode, 3, f"exit code with {layout}: {done.stderr}")
        check("task 1 called MPI_Abort(3)" in done.stderr, done.stderr)
        are_over(c, program)
        await_true(lambda: last_step(c)["state"] != "RUNNING", "the step's end in accounting")
        step = last_step(c)
        equal((step["state"], step["exit_code"], step["signal"]), ("FAILED", 3, 0), "the step")


def dies(c, kind, program, **env):
    """A rank that goes without MPI_Finalize takes the step with it."""
    for how, code in (("kill", 128 + signal.SIGTERM), ("5", 128 + signal.SIGTERM)):
        for layout in (["-N1", "-n4"], ["-N3", "-n6"]):
            done = c.run("bai-run", f"--mpi={kind}", *layout, program, how, ok=False, env=env)
            equal(done.returncode, code, f"exit code with {layout}: {done.stderr}")
            check("task 2 ended without MPI_Finalize" in done.stderr, done.stderr)
            are_over(c, program)


@test
def mpi_abort_ends_all_nodes(c):
    aborts(c, "pmi1", mpich(c, "abort", ABORT))


@test
def a_rank_that_dies_ends_all_nodes(c):
    dies(c, "pmi1", mpich(c, "die", DIE))


@test
def a_shepherd_that_dies_ends_the_step_on_the_other_nodes(c):
    program = mpich(c, "die", DIE)
    client = subprocess.Popen(["bai-run", "--mpi=pmi1", "-N3", "-n3", program, "-"], cwd=c.work, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, env=c.env)
    try:
        equal(client.stdout.readline(), "met\n", "ranks that have met")
        (shepherd,) = processes(os.path.join(c.dir, "agents/n1/attempts"))
        os.kill(shepherd, signal.SIGKILL)
        _, said = client.communicate(timeout=60)
    finally:
        client.kill()
        client.wait()
    check(client.returncode != 0 and "the shepherd of the step on node n1 is gone" in said, said)
    are_over(c, program)


@test
def ranks_find_each_other_without_their_client(c):
    equal(sorted(set(world(detached(c, "pmi1", mpich(c))).values())), c.nodes, "nodes")


@test
def openmpi_starts_on_one_node(c):
    program = pmix(c)
    ranks = world(c.run("bai-run", "--mpi=pmix", "-N1", "-n4", program).stdout)
    equal((len(ranks), len(set(ranks.values()))), (4, 1), "ranks and nodes")
    equal(len(world(c.run("bai-run", "--mpi=pmix", "-n1", program).stdout)), 1, "a world of one")


@test
def openmpi_starts_on_several_nodes(c):
    program = pmix(c)
    ranks = world(c.run("bai-run", "--mpi=pmix", "-N3", "-n12", program, env=ONE_MACHINE).stdout)
    equal((len(ranks), sorted(set(ranks.values()))), (12, c.nodes), "ranks and nodes")
    ranks = world(c.run("bai-run", "--mpi=pmix_v4", "-N3", "-n6", "--ntasks-per-node=2", "-m", "cyclic", program, env=ONE_MACHINE).stdout)
    equal([ranks[rank] for rank in range(6)], c.nodes * 2, "nodes of the ranks")
    # The ranks say nothing of themselves at the fence: each asks for what it needs (direct modex).
    lazy = dict(ONE_MACHINE, OMPI_MCA_pmix_base_collect_data="0")
    equal(len(world(c.run("bai-run", "--mpi=pmix", "-N3", "-n9", program, env=lazy).stdout)), 9, "ranks")


@test
def openmpi_starts_in_a_batch_job(c):
    job = c.submit("-N2", "-n4", "-o", "pmix.out", script=f"SLURM_MPI_TYPE=pmix bai-run {pmix(c)}\n", env=dict(ONE_MACHINE))
    equal(c.await_end_of(job)["state"], "COMPLETED", "state")
    equal(sorted(world(c.read("pmix.out")).values()), ["n1", "n1", "n1", "n2"], "nodes")


@test
def openmpis_abort_ends_all_nodes(c):
    aborts(c, "pmix", pmix(c, "abort", ABORT), **ONE_MACHINE)


@test
def a_rank_of_openmpi_that_dies_ends_all_nodes(c):
    dies(c, "pmix", pmix(c, "die", DIE), **ONE_MACHINE)


@test
def a_pmix_server_that_dies_ends_the_step(c):
    program = pmix(c, "die", DIE)
    before = set(processes("bai-pmixd"))
    client = subprocess.Popen(["bai-run", "--mpi=pmix", "-N3", "-n3", program, "-"], cwd=c.work, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, env=dict(c.env, **ONE_MACHINE))
    try:
        equal(client.stdout.readline(), "met\n", "ranks that have met")
        servers = await_true(lambda: (lambda found: found if len(found) == 3 else None)(sorted(set(processes("bai-pmixd")) - before)), "three servers")
        os.kill(servers[1], signal.SIGKILL)
        _, said = client.communicate(timeout=60)
    finally:
        client.kill()
        client.wait()
    check(client.returncode != 0 and "the PMIx server (bai-pmixd) failed" in said, said)
    are_over(c, program)
    await_true(lambda: not set(processes("bai-pmixd")) - before, "the end of the servers")


@test
def openmpi_starts_without_its_client(c):
    equal(sorted(set(world(detached(c, "pmix", pmix(c), ONE_MACHINE)).values())), c.nodes, "nodes")


@test
def mpichs_own_mpiexec_starts_in_an_allocation(c):
    program = mpich(c)
    env = with_slurm_names(c, HYDRA_IFACE="lo")  # the machine's name need not have an address
    ranks = world(c.run("bai-alloc", "-N3", "-n6", "mpiexec.hydra", program, env=env).stdout)
    equal((len(ranks), sorted(set(ranks.values()))), (6, c.nodes), "ranks and nodes")
    # Hydra gives the ranks its own environment, and with it the name of the node that the script runs on.
    job = c.submit("-N2", "--ntasks-per-node=2", "-o", "hydra.out", script=f"env -u SLURMD_NODENAME mpiexec.hydra {program}\n", env=env)
    equal(c.await_end_of(job)["state"], "COMPLETED", "state")
    equal(sorted(world(c.read("hydra.out")).values()), ["n1", "n1", "n2", "n2"], "nodes")


@test
def openmpis_own_mpirun_starts_in_an_allocation(c):
    program = openmpi(c)
    env = with_slurm_names(c, **ONE_MACHINE)
    ranks = world(c.run("bai-alloc", "-N3", "-n6", "mpirun.openmpi", program, env=env).stdout)
    equal((len(ranks), sorted(set(ranks.values()))), (6, c.nodes), "ranks and nodes")
    job = c.submit("-N2", "--ntasks-per-node=2", "-o", "orte.out", script=f"mpirun.openmpi {program}\n", env=env)
    equal(c.await_end_of(job)["state"], "COMPLETED", "state")
    equal(len(world(c.read("orte.out"))), 4, "ranks")


@test
def the_kinds_are_listed(c):
    equal(c.run("bai-run", "--mpi=list").stderr, "MPI plugin types are...\n\tnone\n\tpmi1\n\tpmix\n", "list")
    for kind, why in (("lam", "lam"), ("pmi2", "PMI-2 is not spoken here")):
        done = c.run("bai-run", f"--mpi={kind}", "true", ok=False)
        check(done.returncode == 2 and why in done.stderr, done.stderr)
        done = c.run("bai-run", "true", ok=False, env={"SLURM_MPI_TYPE": kind})
        check(done.returncode == 2 and why in done.stderr, done.stderr)


if __name__ == "__main__":
    sys.exit(run_tests(Cluster(nodes=3, cpus=4)))

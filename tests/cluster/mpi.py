#!/usr/bin/env python3
"""MPI programs, as Debian's MPICH and OpenMPI build them: they start natively or by their own mpirun, on one node and on several, and every
rank reaches every other."""
import os
import re
import shutil
import subprocess
import sys

from bai import BIN, IS_ROOT, Cluster, Skip, check, equal, run_tests, test

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


def compiler(name, *packages):
    """Path of an MPI compiler; installs its packages if that can be done."""
    if not shutil.which(name):
        if not IS_ROOT or not shutil.which("apt-get"):
            raise Skip(f"there is no {name}, and only root can install {' '.join(packages)} (apt-get)")
        done = subprocess.run(["apt-get", "install", "-qq", "--no-install-recommends", *packages], check=False, capture_output=True,
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


# The nodes of a private cluster are one machine: without these OpenMPI's nodes meet in one another's shared memory.
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
    job = c.submit("-N2", "-n4", "-o", "batch.out", script=f"bai-run --mpi=pmi1 {program} && SLURM_MPI_TYPE=pmi1 bai-run -n2 -N2 {program} > second.out\n")
    equal(c.await_end_of(job)["state"], "COMPLETED", "state")
    equal(len(world(c.read("batch.out"))), 4, "ranks")
    equal(sorted(world(c.read("second.out")).values()), c.nodes[:2], "nodes")


@test
def without_mpi_each_is_a_world_of_its_own(c):
    out = c.run("bai-run", "--mpi=none", "-n2", "-N1", mpich(c)).stdout
    equal(out.count("rank 0 of 1 "), 2, "worlds of one")


@test
def mpi_abort_ends_all_nodes(c):
    done = c.run("bai-run", "--mpi=pmi1", "-N3", "-n6", mpich(c, "abort", ABORT), ok=False)
    check("MPI_Abort(MPI_COMM_WORLD, 3)" in done.stderr, done.stderr)


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
    equal(c.run("bai-run", "--mpi=list").stderr, "MPI plugin types are...\n\tnone\n\tpmi1\n", "list")
    equal(c.run("bai-run", "--mpi=pmix", "true", ok=False).returncode, 2, "pmix is refused")
    done = c.run("bai-run", "--mpi=lam", "true", ok=False)
    check(done.returncode == 2 and "lam" in done.stderr, done.stderr)


if __name__ == "__main__":
    sys.exit(run_tests(Cluster(nodes=3, cpus=4)))

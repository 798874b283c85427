#!/usr/bin/env python3
"""A plain slurm.conf and no bai.conf: daemons and commands, under Slurm's names, read what SLURM_CONF names."""
import os
import pwd
import signal
import socket
import subprocess
import sys

from bai import BIN, IS_ROOT, Cluster, Skip, await_true, check, equal, program, run_tests, test
from bai_slurm import NAMES

CONF = """# slurm.conf of a small site
ClusterName=plain
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmdPort=6818
SlurmUser={user}
AuthType=auth/munge
AuthInfo=socket={munge}
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=1
SlurmctldPidFile={top}/slurmctld.pid
SlurmdPidFile={top}/slurmd.%n.pid
SlurmdSpoolDir={top}/slurmd.%n
StateSaveLocation={top}/state
SlurmctldDebug=info
SlurmctldTimeout=120
SlurmdTimeout=300
KillWait=5
MinJobAge=300
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
NodeName=s[1-2] NodeHostname={host} NodeAddr=127.0.0.1 Port=[7001-7002] CPUs=2 RealMemory=10 State=UNKNOWN
PartitionName=debug Nodes=s[1-2] Default=YES MaxTime=INFINITE State=UP
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Site:
    """Daemons that know SLURM_CONF and nothing else. The munged is that of the cluster beside it."""

    def __init__(self, c):
        self.c = c
        self.top = c.path("site")
        os.mkdir(self.top)
        os.chmod(self.top, 0o755)
        self.conf = os.path.join(self.top, "slurm.conf")
        with open(self.conf, "w", encoding="utf-8") as f:
            f.write(CONF.format(host=socket.gethostname().split(".")[0], port=free_port(), user=pwd.getpwuid(os.geteuid()).pw_name,
                                munge=os.path.join(c.dir, "run/munge.socket"), top=self.top))
        self.env = {k: v for k, v in c.env.items() if k != "BAI_CONF"}
        self.env.update(SLURM_CONF=self.conf, PATH=NAMES + ":" + c.env["PATH"])
        self.daemons = []

    def start(self, *words):
        with open(os.path.join(self.top, "log"), "a", encoding="utf-8") as log:
            self.daemons.append(subprocess.Popen(words, env=self.env, cwd=self.top, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def stop(self):
        for daemon in reversed(self.daemons):
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(timeout=30)

    def run(self, *words, ok=True, user=None):
        if user:
            words = ("setpriv", f"--reuid={user[0]}", f"--regid={user[1]}", "--clear-groups", "--", *words)
        done = subprocess.run(words, env=self.env, cwd=self.c.work, text=True, capture_output=True, timeout=60, check=False,
                              stdin=subprocess.DEVNULL)
        if ok is not None:
            equal(done.returncode == 0, ok, f"{' '.join(words)}: {done.stderr.strip()}")
        return done


def submitter():
    """Root's jobs are refused unless bai.conf allows them, which a slurm.conf cannot say."""
    if not IS_ROOT:
        return None
    users = [(p.pw_uid, p.pw_gid) for p in pwd.getpwall() if 0 < p.pw_uid < 65535]
    if not users:
        raise Skip("there is no user beside root")
    return max(users)


@test
def a_plain_slurm_conf_is_enough(c):
    user = submitter()
    site = Site(c)
    try:
        site.start(program("bai-ctld"))
        for node in ("s1", "s2"):
            site.start(program("bai-agentd"), "-N", node, "--cpus=2", "--memory=10")
        await_true(lambda: site.run("sinfo", "-h", "-o", "%P %D %t %N", ok=None).stdout == "debug* 2 idle s[1-2]\n", "both nodes")
        done = site.run("scontrol", "show", "config").stdout
        check("ClusterName             = plain\n" in done, done)
        check(f"StateSaveLocation       = {site.top}/state\n" in done, done)
        job = site.run("sbatch", "--parsable", "-N2", "-o", "%x.txt", "-J", "plain", "--wrap", 'echo "$SLURM_CLUSTER_NAME $SLURM_JOB_NODELIST"; srun -l hostname',
                       user=user).stdout.strip()
        await_true(lambda: site.run("sacct", "-n", "-P", "-X", "-j", job, "-o", "state").stdout == "COMPLETED\n", "the job's end")
        host = os.uname().nodename
        equal(sorted(c.read("plain.txt").splitlines()), sorted(["plain s[1-2]", f"0: {host}", f"1: {host}"]), "what it wrote")
        # BAI_CONF counts more.
        equal(subprocess.run([os.path.join(BIN, "bai-info"), "-h", "-o", "%N"], env=dict(site.env, BAI_CONF=c.conf), text=True,
                             capture_output=True, timeout=60, check=True).stdout, "n1\n", "with BAI_CONF as well")
    finally:
        site.stop()


@test
def debians_own_examples_are_good(c):
    found = [f"/usr/share/doc/slurmctld/examples/slurm.conf.{kind}.gz" for kind in ("simple", "cgroup")]
    found = [path for path in found if os.path.exists(path)]
    if not found:
        raise Skip("Debian's slurmctld is not installed")
    for path in found:
        text = subprocess.run(["zcat", path], capture_output=True, check=True).stdout.replace(b"SlurmUser=slurm", b"SlurmUser=0")
        with open(c.path("example.conf"), "wb") as f:
            f.write(text)
        done = c.run("bai-control", "check-config", env={"SLURM_CONF": c.path("example.conf"), "BAI_CONF": ""})
        check("good (1 node, 1 partition)" in done.stdout + done.stderr, done.stdout + done.stderr)


if __name__ == "__main__":
    sys.exit(run_tests(Cluster(nodes=1)))

#!/usr/bin/env python3
"""What a job may use of its node as its user: groups, resource limits of /etc/security and those brought along, and nothing of ours that leaks in.
The daemons see an /etc/security of the test's own."""
import grp
import os
import pwd
import subprocess
import sys
import tempfile

from bai import BIN, SLOW, Cluster, Failed, Skip, check, equal, need_root, run_tests, test

NOBODY = (65534, 65534)


def somebody():
    """A user beside root with a group that is not his own, if there is one."""
    users = [p for p in pwd.getpwall() if 0 < p.pw_uid < 65534]
    in_groups = [p for p in users if any(p.pw_name in g.gr_mem and g.gr_gid != p.pw_gid for g in grp.getgrall())]
    if not users:
        raise Skip("there is no user beside root")
    return (in_groups or users)[0]


def own_security(c, text):
    """Brings the cluster up where /etc/security is a directory with these limits."""
    need_root()
    folder = tempfile.mkdtemp(dir=c.top)
    os.mkdir(os.path.join(folder, "limits.d"))
    with open(os.path.join(folder, "limits.conf"), "w", encoding="utf-8") as f:
        f.write("* soft nofile 111\n* hard nofile 222\n")
    with open(os.path.join(folder, "limits.d", "90-test.conf"), "w", encoding="utf-8") as f:
        f.write(text)
    up = [os.path.join(BIN, "bai-cluster"), "up", "--dir", c.dir, *c.options]
    done = subprocess.run(["unshare", "-m", "sh", "-c", f'mount --bind "{folder}" /etc/security && exec "$@"', "sh", *up], env=c.env, text=True,
                          capture_output=True, timeout=60 * SLOW, check=False)
    if done.returncode and ("unshare" in done.stderr or "mount" in done.stderr):
        raise Skip("no mount namespace can be made here: " + done.stderr.strip())
    if done.returncode:
        raise Failed(done.stderr.strip())


def said(c, user, script, *words):
    job = c.submit("-o", "said-%j", *words, script=script, user=user)
    c.await_state(job, "COMPLETED")
    return c.read(f"said-{job}").split("\n")[:-1]


LIMITS = "ulimit -S -n; ulimit -H -n; ulimit -S -c; ulimit -H -u; nice"


@test
def a_job_has_its_users_limits(c):
    name = pwd.getpwuid(NOBODY[0]).pw_name
    own_security(c, f"{name} hard nofile 333\n{name} - nproc 4321\n65000:65535 soft core 0\n{name} - priority 5\n")
    soft, hard, core, processes, nice = said(c, NOBODY, "#!/bin/bash\n" + LIMITS, "--propagate=NONE")
    equal((soft, hard, core, processes, nice), ("111", "333", "0", "4321", "5"), "limits")
    step = c.run("bai-run", "--propagate=NONE", "bash", "-c", LIMITS, user=NOBODY).stdout.split()
    equal(step, ["111", "333", "0", "4321", "5"], "a step's limits")


@test
def what_is_brought_along_goes_before_the_soft_ones_up_to_the_hard_ones(c):
    need_root()
    for brought, given in (("55", "55"), ("4000", "333")):
        done = c.run("sh", "-c", f"ulimit -S -n {brought}; bai-submit -o brought --wait --wrap 'ulimit -S -n'", user=NOBODY)
        check(done.returncode == 0)
        equal(c.read("brought"), given + "\n", "limit of files")
        os.unlink(c.path("brought"))


@test
def root_is_not_meant_by_everybody(c):
    need_root()
    check(said(c, None, "ulimit -H -n", "--propagate=NONE") != ["222"], "root has the limit of *")


@test
def a_job_has_its_users_groups(c):
    need_root()
    user = somebody()
    wanted = sorted(os.getgrouplist(user.pw_name, user.pw_gid))
    ids = said(c, (user.pw_uid, user.pw_gid), "id -G; id -u; id -g")
    equal((sorted(map(int, ids[0].split())), ids[1], ids[2]), (wanted, str(user.pw_uid), str(user.pw_gid)), "ids")


@test
def nothing_of_ours_is_open_in_a_job(c):
    look = "ls -l /proc/self/fd | sed -n 's/.*[0-9] -> //p' | grep -v /proc/"
    user = NOBODY if os.geteuid() == 0 else None
    equal([f for f in said(c, user, look) if not f.startswith(("/dev/null", c.work)) and not f.startswith("pipe:")], [], "the script's open files")
    fds = c.run("bai-run", "sh", "-c", "ls /proc/self/fd", user=user).stdout.split()
    equal(fds, ["0", "1", "2", "3"], "a task's descriptors, and the one of ls")


if __name__ == "__main__":
    cluster = Cluster(nodes=1)
    if os.geteuid() == 0:  # the first test brings it up
        cluster_up = cluster.up
        cluster.up = lambda settings=(): cluster_up(settings=settings) if os.path.exists(cluster.conf) else ""
    sys.exit(run_tests(cluster))

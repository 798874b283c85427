#!/usr/bin/env python3
"""Several users on one cluster of root's: a job is its owner's, in what it runs as and in who may see and touch it."""
import json
import os
import pwd
import sys

from bai import Cluster, Skip, check, equal, need_root, run_tests, test

def two_users():
    """(uid, gid) of two users of this machine beside root."""
    users = [(p.pw_uid, p.pw_gid) for p in pwd.getpwall() if p.pw_uid > 0 and p.pw_uid < 65535]
    if len(users) < 2:
        raise Skip("there are no two users beside root")
    return sorted(users)[-1], sorted(users)[-2]


def refused(c, words, user, message):
    """The command is refused, with these words and no others."""
    done = c.run(*words, user=user, ok=None)
    equal((done.returncode, done.stdout, done.stderr), (1, "", message + "\n"), " ".join(words))


@test
def a_job_runs_as_its_user(c):
    need_root()
    user, _ = two_users()
    job = c.submit("-o", "%u.txt", script="id -u; id -g; touch made-by-$(id -u); umask", user=user)
    done = c.await_state(job, "COMPLETED")
    equal(done["uid"], user[0], "uid")
    name = pwd.getpwuid(user[0]).pw_name
    equal(c.read(f"{name}.txt").splitlines()[:2], [str(user[0]), str(user[1])], "ids in the job")
    equal(os.stat(c.path(f"made-by-{user[0]}")).st_uid, user[0], "owner of its file")
    equal(os.stat(c.path(f"{name}.txt")).st_uid, user[0], "owner of its output")


@test
def another_may_not_touch_it(c):
    need_root()
    one, two = two_users()
    job = c.submit("--hold", "-o", "/dev/null", script="true", user=one)
    before = c.job(job)
    owner = pwd.getpwuid(one[0]).pw_name
    denied = f"Access/permission denied (only its owner {owner} or an operator may do that)"
    for verb in ("hold", "release", "requeue", "requeuehold"):
        refused(c, ["bai-control", verb, str(job)], two, f"bai-control: job {job}: {denied}")
    for value in ("priority=7", "timelimit=1", "name=mine", "comment=mine"):
        refused(c, ["bai-control", "update", "job", str(job), value], two,
                f"bai-control: job {job}: Access/permission denied (only its owner or an operator may)")
    for words in ([str(job)], ["--signal=USR1", str(job)], [f"--user={one[0]}"], [f"--user={owner}"], ["--state=PENDING"]):
        refused(c, ["bai-cancel", *words], two, f"bai-cancel: Kill job error on job id {job}: {denied}")
    equal(c.job(job), before, "the job")
    c.run("bai-cancel", str(job), user=one)
    c.await_state(job, "CANCELLED")


@test
def an_administrator_may(c):
    need_root()
    one, _ = two_users()
    job = c.submit("--hold", "-o", "/dev/null", script="true", user=one)
    c.run("bai-cancel", str(job))
    equal(c.await_state(job, "CANCELLED")["ended_by_uid"], 0, "who cancelled")


@test
def an_ordinary_user_may_not_administer(c):
    need_root()
    one, _ = two_users()
    pids = c.pid("ctld"), c.pid("n1")
    before = c.run("bai-info", "-h", "-o", "%P %a %t %N %E").stdout
    for what, words in (("update nodes and partitions", "update node n1 state=drain reason=mine"), ("update nodes and partitions", "drain n1 because"),
                        ("update nodes and partitions", "resume n1"), ("update nodes and partitions", "update partition main state=down"),
                        ("reconfigure", "reconfigure"), ("shut the controller down", "shutdown"), ("change the log level", "setdebug debug")):
        refused(c, ["bai-control", *words.split()], one, f"bai-control: only an operator may {what} (ask root or BaiUser)")
    equal(c.run("bai-info", "-h", "-o", "%P %a %t %N %E").stdout, before, "partitions and nodes")
    equal((c.pid("ctld"), c.pid("n1")), pids, "daemons")


@test
def me_shows_ones_own(c):
    need_root()
    one, two = two_users()
    jobs = {user: c.submit("--hold", "-o", "/dev/null", script="true", user=user) for user in (one, two)}
    for user in (one, two):
        mine = json.loads(c.run("bai-queue", "--me", "--json", user=user).stdout)["jobs"]
        equal([job["job_id"] for job in mine], [jobs[user]], f"what {user} sees with --me")
    for user in (one, two):
        c.run("bai-cancel", "--me", user=user)


@test
def an_output_file_is_opened_as_the_user(c):
    need_root()
    user, _ = two_users()
    secret = os.path.join(c.top, "secret")
    os.makedirs(secret, mode=0o700, exist_ok=True)
    job = c.submit("-o", secret + "/out", script="true", user=user)
    done = c.await_state(job, "FAILED")
    check("denied" in done.get("detail", "").lower() or "permission" in done.get("detail", "").lower(), f"the reason is {done.get('detail')!r}")
    equal(os.listdir(secret), [], "files in root's directory")
    link = c.path("link")
    os.symlink("/etc/bai-must-not-exist", link)
    c.await_state(c.submit("-o", "link", script="echo x", user=user), "FAILED")
    check(not os.path.exists("/etc/bai-must-not-exist"), "root wrote through a link")


@test
def a_script_is_not_readable_by_others(c):
    need_root()
    one, two = two_users()
    job = c.submit("-w", "n1", "-o", "secret.txt", script="# the secret word\necho ready; while [ ! -e go ]; do sleep 0.05; done", user=one)
    c.await_text("secret.txt", "ready")
    found = c.run("grep", "-rl", "the secret word", c.dir, user=two, ok=None)
    equal(found.stdout, "", "files with the script that another user can read")
    environ = c.run("sh", "-c", f"grep -rl 'BAI_STEP_MARK' {c.dir} 2>/dev/null", user=two, ok=None)
    equal(environ.stdout, "", "files with the environment that another user can read")
    c.run("bai-cancel", str(job))


@test
def daemons_files_are_closed_to_users(c):
    need_root()
    one, _ = two_users()
    for path in ("ctld/bai.db", "munge/key"):
        refused(c, ["cat", os.path.join(c.dir, path)], one, f"cat: {os.path.join(c.dir, path)}: Permission denied")


if __name__ == "__main__":
    if os.geteuid() != 0:
        for function in (a_job_runs_as_its_user, another_may_not_touch_it):
            print(f"skip {function.__name__}: needs root")
        sys.exit(0)
    sys.exit(run_tests(Cluster(nodes=1, cpus=4)))

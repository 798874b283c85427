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
    for words in (["bai-cancel", str(job)], ["bai-control", "release", str(job)], ["bai-control", "update", "job", str(job), "priority=7"],
                  ["bai-control", "requeue", str(job)]):
        done = c.run(*words, user=two, ok=None)
        check(done.returncode != 0, f"{words} succeeded for another user")
    equal(c.job(job)["state"], "PENDING", "state")
    equal(c.job(job)["hold"], "user", "hold")
    c.run("bai-cancel", "--user=" + str(one[0]), user=two, ok=None)
    equal(c.job(job)["state"], "PENDING", "state after cancelling by user")
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
    for words in (["bai-control", "update", "node", "n1", "state=drain", "reason=mine"], ["bai-control", "reconfigure"], ["bai-control", "shutdown"],
                  ["bai-control", "drain", "n1", "because"]):
        done = c.run(*words, user=one, ok=None)
        check(done.returncode != 0, f"{words} succeeded for a user")
    c.run("bai-control", "ping", user=one)
    check(c.pid("ctld") and c.pid("n1"), "a daemon ended")


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
        done = c.run("cat", os.path.join(c.dir, path), user=one, ok=None)
        check(done.returncode != 0, f"a user can read {path}")


if __name__ == "__main__":
    if os.geteuid() != 0:
        for function in (a_job_runs_as_its_user, another_may_not_touch_it):
            print(f"skip {function.__name__}: needs root")
        sys.exit(0)
    sys.exit(run_tests(Cluster(nodes=1, cpus=4)))

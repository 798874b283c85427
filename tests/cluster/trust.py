#!/usr/bin/env python3
"""Who may do what, and who says so: other users' jobs, agents that are none, altered jobs, and munged on a bad day."""
import os
import pwd
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile

import bai_wire as wire
from bai import BIN, SLOW, Cluster, Skip, alive, await_true, check, equal, need_root, program, run_tests, test
from bai_wire import Hello, Peer, message

NOBODY = (65534, 65534)
DAEMON = (1, 1)
CHANGES = (
    ("bai-cancel", "{}"),
    ("bai-cancel", "--signal=USR1", "{}"),
    ("bai-control", "hold", "{}"),
    ("bai-control", "release", "{}"),
    ("bai-control", "requeue", "{}"),
    ("bai-control", "requeuehold", "{}"),
    ("bai-control", "update", "JobId={}", "Comment=mine"),
    ("bai-control", "update", "JobId={}", "Nice=5"),
    ("bai-control", "update", "JobId={}", "TimeLimit=1"),
    ("bai-control", "update", "JobId={}", "Priority=1"),
    ("bai-control", "update", "JobId={}", "Dependency=singleton"),
)


def need_users():
    need_root()
    for uid, _ in (NOBODY, DAEMON):
        try:
            pwd.getpwuid(uid)
        except KeyError:
            raise Skip(f"there is no user {uid}") from None


def fingerprint(c, job):
    return {k: v for k, v in c.job(job).items() if k not in ("run_time_s", "expected_start_at")}


@test
def nobody_changes_the_job_of_another(c):
    need_users()
    held = c.submit("--hold", "-o", "/dev/null", script="true", user=NOBODY)
    running = c.submit("-o", "running.txt", script="echo ready; while [ ! -e go ]; do sleep 0.05; done", user=NOBODY)
    c.await_text("running.txt", "ready")
    c.await_state(running, "RUNNING")
    array = c.submit("--hold", "--array=1-3", "-o", "/dev/null", script="true", user=NOBODY)
    before = [fingerprint(c, job) for job in (held, running, array)]
    for job in (held, running, array):
        for words in CHANGES:
            done = c.run(*(w.format(job) for w in words), user=DAEMON, ok=False)
            equal(done.returncode, 1, f"exit status of {words}: {done.stderr}")
            check("permission" in done.stderr.lower() or "denied" in done.stderr, f"{words}: {done.stderr}")
    for words in (("bai-cancel", "--user=nobody"), ("bai-cancel", "--state=PENDING"), ("bai-cancel", "--partition=main"), ("bai-cancel", f"{array}_2"), ("bai-cancel", "--me")):
        c.run(*words, user=DAEMON, ok=None)
    for job, old in zip((held, running, array), before):
        new = fingerprint(c, job)
        equal({k: (old.get(k), v) for k, v in new.items() if old.get(k) != v}, {}, f"what changed of job {job}")
    c.run("bai-control", "hold", str(held))  # an administrator's hold is not the owner's to end
    done = c.run("bai-control", "release", str(held), user=NOBODY, ok=False)
    check("operator" in done.stderr or "ermission" in done.stderr, done.stderr)
    equal(c.job(held)["state"], "PENDING", "state")
    for job in (held, running, array):
        c.run("bai-cancel", str(job), user=NOBODY)
        c.await_end_of(job)


@test
def what_only_operators_may(c):
    need_users()
    job = c.submit("--hold", "--time=5", "-o", "/dev/null", script="true", user=NOBODY)
    nodes = c.run("bai-control", "show", "node", "n1", "--oneliner").stdout
    state = nodes.split("State=")[1].split()[0]
    for words in (["bai-submit", "--priority=4294000000", "--hold", "--wrap", "true"], ["bai-submit", "--nice=-5", "--hold", "--wrap", "true"],
                  ["bai-control", "update", f"JobId={job}", "Priority=4294000000"], ["bai-control", "update", f"JobId={job}", "Nice=-5"],
                  ["bai-control", "update", f"JobId={job}", "TimeLimit=UNLIMITED"], ["bai-control", "update", f"JobId={job}", "AdminComment=x"],
                  ["bai-control", "update", "NodeName=n1", "State=DRAIN", "Reason=mine"], ["bai-control", "update", "PartitionName=main", "State=DOWN"],
                  ["bai-control", "drain", "n1", "because"], ["bai-control", "resume", "n1"], ["bai-control", "reconfigure"], ["bai-control", "shutdown"],
                  ["bai-control", "loglevel", "trace"]):
        done = c.run(*words, user=NOBODY, ok=False)
        equal(done.returncode, 1 if words[1] != "loglevel" else done.returncode, f"exit status of {words}: {done.stderr}")
    equal(len(c.queue()), len({j["job_id"] for j in c.queue()}), "jobs")
    after = c.run("bai-control", "show", "node", "n1", "--oneliner").stdout
    equal(after.split("State=")[1].split()[0], state, "node's state")
    equal(c.job(job)["nice"], 0, "nice")
    check(c.pid("ctld") and c.pid("n1"), "a daemon ended")
    c.run("bai-cancel", str(job))
    plain = c.submit("--hold", "-o", "/dev/null", script="true", user=NOBODY)
    c.run("bai-control", "release", str(plain), user=NOBODY)
    limit = c.job(plain)["priority"]
    check(limit > 0, "the priority of a plain job")
    both = c.submit("--begin=now+1hour", f"--priority={limit}", "--nice=1000", "-o", "/dev/null", script="true", user=NOBODY)
    c.run("bai-control", "update", f"JobId={both}", "Nice=0", user=NOBODY)
    check(c.job(both)["priority"] <= limit, f"a user got priority {c.job(both)['priority']}, {limit} is a plain job's")
    c.run("bai-cancel", str(both))


@test
def scripts_and_environments_are_seen_by_no_other(c):
    need_users()
    job = c.submit("-o", "/dev/null", "--export=ALL,TOKEN=hunter2", script="# the password is swordfish\ntrue", user=NOBODY)
    c.await_state(job, "COMPLETED")
    held = c.submit("--hold", "-o", "/dev/null", "--export=ALL,TOKEN=hunter2", script="# the password is swordfish\ntrue", user=NOBODY)
    for words in (["bai-queue", "--json", "-t", "all"], ["bai-queue", "-h", "-t", "all", "-o", "%all"], ["bai-control", "show", "job", str(held)],
                  ["bai-control", "show", "job", str(held), "--json"], ["bai-control", "show", "job", str(held), "--history"], ["bai-control", "show", "job", str(job), "--history"],
                  ["bai-acct", "--json", "-j", str(job)], ["bai-control", "show", "config"], ["bai-diag"], ["bai-info", "--json"]):
        done = c.run(*words, user=DAEMON, ok=None)
        check("swordfish" not in done.stdout and "hunter2" not in done.stdout, f"{words} shows them")
    for name in ("ctld", "n1", "n2"):
        check("swordfish" not in c.log(name) and "hunter2" not in c.log(name), f"{name}'s log shows them")
    c.run("bai-cancel", str(held))


@test
def a_user_is_no_agent(c):
    need_users()
    with Peer(c) as peer:
        got = peer.say_hello(Hello(c, role=wire.AGENT, name="n1", uid=NOBODY[0]))
        if isinstance(got[0], bytes):  # known to the wire; the controller judges its first message
            peer.send(message(got[1].seal(b"\0" * 40)))
            said = peer.receive()
            check(said is None or b"not_permitted" in got[2].open(said[0]), "a user's agent was not refused")
            peer.await_end()
    check("an agent of an ordinary user was refused" in c.log("ctld"), "it is not logged")
    spool = tempfile.mkdtemp(prefix="s", dir=c.work)
    os.chown(spool, *NOBODY)
    conf = c.path("agent.conf")
    with open(c.conf, encoding="utf-8") as f, open(conf, "w", encoding="utf-8") as out:
        out.write(f.read().replace(c.dir + "/agents", spool).replace(c.dir + "/run/%n", spool + "/%n"))
    os.chmod(conf, 0o644)
    words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--", os.path.join(BIN, "bai-agentd"), "--conf", conf, "-N", "n2"]
    with open(c.path("agent.log"), "w+", encoding="utf-8") as log:
        agent = subprocess.Popen(words, env=c.env, stdout=log, stderr=log)
        try:
            await_true(lambda: agent.poll() is not None or "runs as root" in c.read("agent.log"), "the refusal of a user's agent")
        finally:
            if agent.poll() is None:
                agent.terminate()
            agent.wait(20)
    job = c.submit("-w", "n2", "-o", "/dev/null", script="true")
    c.await_state(job, "COMPLETED")


@test
def jobs_of_root_need_its_leave(c):
    need_users()
    with open(c.conf, encoding="utf-8") as f:
        text = f.read()
    check("AllowRootJobs=yes" in text, "bai-cluster of root lets root try")
    try:
        with open(c.conf, "w", encoding="utf-8") as f:
            f.write(text.replace("AllowRootJobs=yes", "AllowRootJobs=no"))
        for name in ("n1", "n2"):
            c.kill(name, signal.SIGTERM)
        c.up()
        job = c.submit("-o", "/dev/null", script="touch ran-as-root")
        done = c.await_state(job, "FAILED")
        check("root" in done.get("detail", "") and "AllowRootJobs" in c.log("n1") + c.log("n2") + done["detail"], f"the reason: {done}")
        check(not os.path.exists(c.path("ran-as-root")), "it ran")
        c.await_state(c.submit("-o", "/dev/null", script="true", user=NOBODY), "COMPLETED")
    finally:
        with open(c.conf, "w", encoding="utf-8") as f:
            f.write(text)
        for name in ("n1", "n2"):
            c.kill(name, signal.SIGTERM)
        c.up()


def altered(c, job, table, change):
    """Lets a controller that was broken into rewrite a record of its database."""
    c.kill("ctld")
    db = sqlite3.connect(c.dir + "/ctld/bai.db")
    key = {"jobs": "id", "launches": "job"}.get(table)
    rows = db.execute(f"SELECT rowid, {'record' if key else 'bytes'} FROM {table}" + (f" WHERE {key} = {job}" if key else "")).fetchall()
    count = 0
    for rowid, blob in rows:
        fresh = change(bytes(blob))
        if fresh != blob:
            db.execute(f"UPDATE {table} SET {'record' if key else 'bytes'} = ? WHERE rowid = ?", (fresh, rowid))
            count += 1
    equal(count, 1, f"altered rows of {table}")
    db.commit()
    db.close()
    c.up()


def with_root(record):
    """A job's record in which uid and gid are 0: its spec is preceded by its length."""
    size = int.from_bytes(record[1:5], "little")
    spec = record[5:5 + size].replace(wire.varint(NOBODY[0]) + wire.varint(NOBODY[1]), b"\0\0")
    check(len(spec) == size - 4, f"the ids are not where they were expected ({size} to {len(spec)} bytes)")
    return record[:1] + len(spec).to_bytes(4, "little") + spec + record[5 + size:]


@test
def a_job_that_its_user_did_not_sign(c):
    """The agent's judgement, whatever the controller says."""
    need_users()
    if "sqlite" not in " ".join(c.options):
        raise Skip("alters an SQLite database")
    os.mkdir(c.path("here"), 0o755)
    os.mkdir(c.path("hers"), 0o777)
    os.chmod(c.path("here"), 0o777)
    cases = (
        ("script", "contents", lambda b: b.replace(b"WORD=honest1", b"WORD=changed"), "the script is not the one that was signed"),
        ("arguments", "launches", lambda b: b.replace(b"honest-argument", b"changed-argumen"), "signature is for another job"),
        ("environment", "contents", lambda b: b.replace(b"COLOUR=honest3", b"COLOUR=changed"), "the environment is not the one that was signed"),
        ("directory", "jobs", lambda b: b.replace(b"/w/here", b"/w/hers"), "signature is for another job"),
        ("user", "jobs", with_root, "signed by uid 65534"),
    )
    for number, (what, table, change, reason) in enumerate(cases):
        marker = f"{what}-ran"
        script = c.path(f"signed-{what}.sh")
        with open(script, "w", encoding="utf-8") as f:
            f.write(f"#!/bin/sh\nWORD=honest1 # {number}\ntouch {c.path(marker)}\n")
        job = c.submit("--hold", "-w", "n1", "-o", "/dev/null", f"--export=ALL,COLOUR=honest3,NR={number}", script, "honest-argument", user=NOBODY, cwd=c.path("here"))
        if what in ("script", "environment"):
            needle = f"# {number}\n".encode() if what == "script" else f"NR={number}".encode()
            inner = change
            change = lambda b, inner=inner, needle=needle: inner(b) if needle in b else b
        altered(c, job, table, change)
        c.run("bai-control", "release", str(job))
        done = c.await_state(job, "FAILED")
        check(reason in done.get("detail", ""), f"{what}: the reason is {done['reason']} {done.get('detail')!r}")
        check(not os.path.exists(c.path(marker)), f"{what}: it ran")
        check(reason in c.log("n1"), f"{what}: the agent did not log it")
        check(reason in c.run("bai-queue", "-h", "-t", "all", "-j", str(job), "-o", "%R").stdout, f"{what}: bai-queue does not tell")
    script = c.path("signed-script.sh")
    honest = c.submit("-w", "n1", "-o", "/dev/null", script, "honest-argument", user=NOBODY)
    c.await_state(honest, "COMPLETED")
    check(os.path.exists(c.path("script-ran")), "what is as it was signed does not run")


def other_munged(c, name, key=None, preload=None):
    """Another munged; (its process, a bai.conf that names its socket)."""
    folder = os.path.join(c.top, name)
    os.mkdir(folder, 0o755)
    if key is None:
        with open(folder + "/key", "wb") as f:
            f.write(os.urandom(128))
    else:
        shutil.copy(key, folder + "/key")
    os.chmod(folder + "/key", 0o600)
    env = dict(c.env, LD_PRELOAD=preload) if preload else c.env
    process = subprocess.Popen(["munged", "--foreground", "--force", "--key-file", folder + "/key", "--socket", folder + "/socket", "--pid-file", folder + "/pid",
                                "--seed-file", folder + "/seed", "--log-file", folder + "/log"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    await_true(lambda: os.path.exists(folder + "/socket") or process.poll() is not None, "another munged")
    conf = folder + "/bai.conf"
    with open(c.conf, encoding="utf-8") as f, open(conf, "w", encoding="utf-8") as out:
        out.write(f.read().replace(c.dir + "/run/munge.socket", folder + "/socket"))
    return process, conf


@test
def a_munged_with_another_key(c):
    before = len(c.queue())
    process, conf = other_munged(c, "otherkey")
    try:
        for words in (["bai-queue"], ["bai-submit", "--wrap", "true"]):
            done = c.run(*words, env={"BAI_CONF": conf}, ok=False)
            equal(done.returncode, 1, "exit status")
            check("munge.key must be the same" in done.stderr, f"without the remedy: {done.stderr}")
    finally:
        process.terminate()
        process.wait(20)
    equal(len(c.queue()), before, "jobs")


SKEW = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>
time_t time(time_t *out) { struct timespec t; clock_gettime(CLOCK_REALTIME, &t); if (out) *out = t.tv_sec; return t.tv_sec; }
int clock_gettime(clockid_t id, struct timespec *t) {
  int (*real)(clockid_t, struct timespec *) = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  int r = real(id, t); if (!r && id == CLOCK_REALTIME) t->tv_sec += SKEW; return r; }
int gettimeofday(struct timeval *restrict v, void *restrict z) { struct timespec t; (void)z; clock_gettime(CLOCK_REALTIME, &t); v->tv_sec = t.tv_sec; v->tv_usec = t.tv_nsec / 1000; return 0; }
"""


@test
def clocks_that_differ(c):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        raise Skip("no C compiler for a skewed clock")
    before = len(c.queue())
    for name, skew in (("behind", -7200), ("ahead", 7200)):
        shim = os.path.join(c.top, name + ".so")
        done = subprocess.run([compiler, "-shared", "-fPIC", f"-DSKEW={skew}", "-x", "c", "-", "-o", shim, "-ldl"], input=SKEW, text=True, capture_output=True, check=False)
        if done.returncode:
            raise Skip(f"cannot compile a skewed clock: {done.stderr}")
        process, conf = other_munged(c, name, c.dir + "/munge/key", shim)
        try:
            done = c.run("bai-submit", "--wrap", "true", env={"BAI_CONF": conf}, ok=False)
            equal(done.returncode, 1, "exit status")
            check(("too old" if skew < 0 else "from the future") in done.stderr, f"{name}: {done.stderr}")
            check("synchronise the clocks" in done.stderr, f"without the remedy: {done.stderr}")
        finally:
            process.terminate()
            process.wait(20)
    equal(len(c.queue()), before, "jobs")


@test
def munged_stops(c):
    """Commands say so with the remedy; what runs goes on, and the controller knows callers again as soon as munged is back."""
    running = c.submit("-o", "while.txt", script="echo ready; while [ ! -e go2 ]; do sleep 0.05; done")
    c.await_text("while.txt", "ready")
    process, conf = other_munged(c, "second", c.dir + "/munge/key")
    try:
        pid = c.kill("munged")
        check(not alive(pid))
        done = c.run("bai-queue", ok=False)
        equal(done.returncode, 1, "exit status")
        check("munged is not answering" in done.stderr and "start munged" in done.stderr, done.stderr)
        done = c.run("bai-queue", env={"BAI_CONF": conf}, ok=False)  # the caller's munged is well, the controller's is not
        check("munged is not answering" in done.stderr, done.stderr)
        with open(c.path("go2"), "w", encoding="utf-8"):
            pass
        await_true(lambda: not c.shepherds(running), "the end of the job")
        c.up()
        c.await_state(running, "COMPLETED")
    finally:
        process.terminate()
        process.wait(20)


def attempts(c, node, job):
    """What the node still keeps of a job: nothing, once the controller has committed its end."""
    return [name for name in os.listdir(f"{c.dir}/agents/{node}/attempts") if name.startswith(f"{job}.")]


def connections(c):
    """How many have connected to the controller: to its port, or to its socket for this machine (state 03: connected)."""
    with open(c.conf, encoding="utf-8") as f:
        port = next(int(line.split("=")[1]) for line in f if line.startswith("CtldPort="))
    with open("/proc/net/tcp", encoding="ascii") as f:
        far = sum(fields[2].endswith(f":{port:04X}") and fields[3] == "01" for fields in (line.split() for line in f))
    with open("/proc/net/unix", encoding="utf-8", errors="replace") as f:
        return far + sum(fields[5] == "03" and fields[-1] == f"@bai/127.0.0.1:{port}" for fields in (line.split() for line in f))


@test
def munged_hangs_on_a_node(c):
    """A node whose munged is stopped (SIGSTOP) can start nothing, and says so; all else goes on there: ends, cancellations, heartbeats."""
    process, conf = other_munged(c, "hung", c.dir + "/munge/key")
    agent = None
    try:
        c.kill("n1", signal.SIGTERM)
        with open(c.path("n1.log"), "w", encoding="utf-8") as log:
            agent = subprocess.Popen([program("bai-agentd"), "--conf", conf, "-N", "n1", "--cpus", "4", "--memory", "2048"], env=c.env, stdout=log, stderr=log)
        await_true(lambda: "registered" in c.read("n1.log"), "the agent with a munged of its own")
        running = c.submit("-w", "n1", "-o", "/dev/null", script="while [ ! -e hung-go ]; do sleep 0.05; done")
        c.await_state(running, "RUNNING")
        os.kill(process.pid, signal.SIGSTOP)
        # MUNGE's own patience is 10 s for each: one after the other they outlast every wait here.
        array = c.submit("-w", "n1", "--array=0-2", "-o", "/dev/null", script="true")
        for task in range(3):
            c.await_state(f"{array}_{task}", "CONFIGURING")
        with open(c.path("hung-go"), "w", encoding="utf-8"):
            pass
        c.await_state(running, "COMPLETED")
        c.run("bai-cancel", f"{array}_2")
        c.await_state(f"{array}_2", "CANCELLED")
        other = c.submit("-w", "n2", "-o", "/dev/null", script="true")
        c.await_state(other, "COMPLETED")
        await_true(lambda: "munged" in c.job(f"{array}_0").get("detail", ""), "the reason why a job is not launched", 40)
        equal(c.job(f"{array}_0")["state"], "CONFIGURING", "the job that cannot be launched now")
        equal(c.read("n1.log").count("registered"), 1, "sessions of the agent")
        os.kill(process.pid, signal.SIGCONT)
        for task in range(2):
            c.await_state(f"{array}_{task}", "COMPLETED", 40)
            equal(c.job(f"{array}_{task}").get("detail", ""), "", "what is said of a job that ran")
    finally:
        os.kill(process.pid, signal.SIGCONT)
        if agent:
            agent.terminate()
            agent.wait(20)
        process.terminate()
        process.wait(20)
        c.up()


@test
def munged_hangs_under_the_controller(c):
    """Callers wait whom the controller cannot know; agents that it knows are heard, also when more callers wait than there are workers."""
    running = c.submit("-w", "n1", "-o", "/dev/null", script="while [ ! -e hung-go2 ]; do sleep 0.05; done")
    c.await_state(running, "RUNNING")
    before = {name: c.log(name).count("registered") for name in c.nodes}
    process, conf = other_munged(c, "callers", c.dir + "/munge/key")
    with open(conf, "a", encoding="utf-8") as f:
        f.write("MessageTimeout=100\n")
    munged, asking, connected = c.pid("munged"), [], connections(c)
    try:
        os.kill(munged, signal.SIGSTOP)
        for _ in range(8):
            asking.append(subprocess.Popen([program("bai-queue"), "-h"], env=dict(c.env, BAI_CONF=conf), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        await_true(lambda: connections(c) == connected + len(asking), "callers that wait")
        with open(c.path("hung-go2"), "w", encoding="utf-8"):
            pass
        await_true(lambda: not attempts(c, "n1", running), "the commit of the job's end")
        os.kill(munged, signal.SIGCONT)
        for one in asking:
            _, said = one.communicate(timeout=100 * SLOW)
            equal(one.returncode, 0, f"a caller that waited ({said.strip()})")
        c.await_state(running, "COMPLETED")
        after = c.submit("-o", "/dev/null", script="true")
        c.await_state(after, "COMPLETED")
        equal({name: c.log(name).count("registered") for name in c.nodes}, before, "sessions of the agents")
    finally:
        os.kill(munged, signal.SIGCONT)
        for one in asking:
            one.kill()
            one.wait()
        process.terminate()
        process.wait(20)


if __name__ == "__main__":
    sys.exit(run_tests(Cluster(nodes=2, cpus=4), settings=("KillWait=2",)))

#!/usr/bin/env python3
"""A database that is not what it should be: taken, newer, damaged, put back from a backup. The controller says so and takes no work."""
import os
import shutil
import signal
import sqlite3
import subprocess
import sys

from bai import BIN, Cluster, Skip, await_true, check, equal, run_tests, test


def start_controller(c, *words, conf=None, limit=30):
    """Another bai-ctld that is expected to refuse; its exit status and what it says."""
    done = subprocess.run([os.path.join(BIN, "bai-ctld"), "--conf", conf or c.conf, "--foreground", *words], env=c.env, text=True, capture_output=True,
                          timeout=limit, check=False)
    return done.returncode, done.stdout + done.stderr


def a_second_controller_is_refused(c):
    conf = c.path("second.conf")
    with open(c.conf, encoding="utf-8") as f, open(conf, "w", encoding="utf-8") as out:
        text = f.read()
        port = next(line for line in text.splitlines() if line.startswith("CtldPort="))
        out.write(text.replace(port, "CtldPort=" + str(int(port[9:]) + 12000)).replace("run/ctld.pid", "run/second.pid"))
    pid = c.pid("ctld")
    before = c.run("bai-control", "ping", "--json").stdout
    status, said = start_controller(c, conf=conf)
    check(status not in (0, -signal.SIGKILL), f"a second controller ended with {status}")
    check("another" in said or "locked" in said or "holds" in said or str(pid) in said, f"not clear: {said}")
    equal(c.pid("ctld"), pid, "the first controller")
    job = c.submit("-o", "/dev/null", script="true")
    c.await_state(job, "COMPLETED")
    check('"epoch"' not in before or before.split('"epoch"')[1][:4] == c.run("bai-control", "ping", "--json").stdout.split('"epoch"')[1][:4], "the epoch was raised")


@test
def two_controllers_on_one_sqlite_database(c):
    a_second_controller_is_refused(c)


@test
def two_controllers_on_one_postgresql_database(_):
    if not os.path.isdir("/usr/lib/postgresql"):
        raise Skip("no PostgreSQL server")
    c = Cluster(nodes=1, store="postgresql")
    try:
        c.up()
        a_second_controller_is_refused(c)
    finally:
        c.down()
        c.remove()


@test
def a_database_of_a_newer_version(c):
    c.kill("ctld")
    db = sqlite3.connect(c.dir + "/ctld/bai.db")
    (version,) = db.execute("SELECT schema_version FROM meta").fetchone()
    db.execute("UPDATE meta SET schema_version = 99")
    db.commit()
    try:
        status, said = start_controller(c)
        check(status not in (0, -signal.SIGKILL), f"it ended with {status}")
        check("newer" in said and "99" in said, f"not clear: {said}")
    finally:
        db.execute("UPDATE meta SET schema_version = ?", (version,))
        db.commit()
        db.close()
    c.up()
    c.run("bai-queue")


@test
def a_damaged_database(c):
    job = c.submit("--hold", "-o", "/dev/null", script="true")
    c.kill("ctld", signal.SIGTERM)
    folder = c.dir + "/ctld"
    saved = c.path("saved")
    shutil.copytree(folder, saved)
    for what, damage in (("text", lambda b: b"this is no database" + b[19:]), ("cut", lambda b: b[:len(b) // 2 + 100]), ("noise", lambda b: b[:4096] + b"\xa5" * (len(b) - 4096))):
        with open(folder + "/bai.db", "r+b") as f:
            whole = f.read()
            f.seek(0)
            f.write(damage(whole))
            f.truncate()
        status, said = start_controller(c)
        check(status > 0, f"{what}: it ended with {status}: {said}")
        check("bai.db" in said and ("malformed" in said or "not a database" in said or "damaged" in said or "corrupt" in said), f"{what}: not clear: {said}")
        with open(folder + "/bai.db", "wb") as f:
            f.write(whole)
    shutil.rmtree(folder)
    shutil.copytree(saved, folder)
    c.up()
    equal(c.job(job)["state"], "PENDING", "the job after the file was put back")
    c.run("bai-cancel", str(job))


@test
def an_old_backup_put_back(c):
    """Agents have seen more than the database knows: no new work until an operator accepts the loss, and no id is given twice."""
    old = c.submit("-o", "/dev/null", script="true")
    c.await_state(old, "COMPLETED")
    backup = sqlite3.connect(c.path("backup.db"))
    c.kill("ctld", signal.SIGTERM)
    source = sqlite3.connect(c.dir + "/ctld/bai.db")
    source.backup(backup)
    source.close()
    backup.close()
    c.up()
    later = [c.submit("-o", "later.txt", "--open-mode=append", script="echo $BAI_JOB_ID") for _ in range(3)]
    for job in later:
        c.await_state(job, "COMPLETED")
    for _ in range(3):  # the agents serve some more controllers that the backup does not know of
        c.kill("ctld")
        c.up()
    c.kill("ctld")
    for name in ("bai.db", "bai.db-wal", "bai.db-shm"):
        if os.path.exists(f"{c.dir}/ctld/{name}"):
            os.unlink(f"{c.dir}/ctld/{name}")
    shutil.copy(c.path("backup.db"), c.dir + "/ctld/bai.db")
    env = dict(c.env)
    with open(c.path("old.log"), "w", encoding="utf-8") as log:
        ctld = subprocess.Popen([os.path.join(BIN, "bai-ctld"), "--conf", c.conf, "--foreground"], env=env, stdout=log, stderr=log)
    try:
        ping = await_true(lambda: next((done.stdout for done in [c.run("bai-control", "ping", ok=None)] if "accept-loss" in done.stdout + done.stderr), None),
                          "bai-control ping to say that the database is behind")
        check(ping, "no word")
        done = c.run("bai-submit", "-o", "again.txt", "--wrap", "echo again", ok=None)
        if done.returncode == 0:
            equal(c.job(int(done.stdout.split()[-1]))["state"], "PENDING", "a job on an old database")
        else:
            check("accept-loss" in done.stderr and "backup" in done.stderr, f"not clear: {done.stderr}")
        check(not os.path.exists(c.path("again.txt")), "a job was started")
    finally:
        ctld.terminate()
        ctld.wait(20)
    with open(c.path("new.log"), "w", encoding="utf-8") as log:
        ctld = subprocess.Popen([os.path.join(BIN, "bai-ctld"), "--conf", c.conf, "--foreground", "--accept-loss"], env=env, stdout=log, stderr=log)
    try:
        await_true(lambda: c.run("bai-control", "ping", ok=None).returncode == 0, "the controller")
        fresh = c.submit("-o", "/dev/null", script="true")
        check(fresh > max(later), f"job id {fresh} was given before: {later}")
        c.await_state(fresh, "COMPLETED")
    finally:
        ctld.terminate()
        ctld.wait(20)
    c.up()


@test
def a_controller_that_was_replaced(c):
    """Another controller opens the store of one that is idle: the first one ends by itself, and what is asked of it meanwhile is done once, by another."""
    job = c.submit("-o", "/dev/null", "-w", "n1", script="while [ ! -e go ]; do sleep 0.1; done")
    c.await_state(job, "RUNNING")
    old = c.pid("ctld")
    os.unlink(c.dir + "/ctld/bai.db.lock")  # as when a connection to PostgreSQL, and with it the lock, was lost
    with open(c.path("second.log"), "w", encoding="utf-8") as log:
        second = subprocess.Popen([os.path.join(BIN, "bai-ctld"), "--conf", c.conf, "--foreground", "--bind", "127.0.0.1:0"], env=c.env, stdout=log, stderr=log)
    try:
        await_true(lambda: "ready" in c.read("second.log"), "the second controller")
        c.await_end(old, 30)
        check("another controller has taken over" in c.log("ctld"), "it does not say why it ended")
    finally:
        second.kill()
        second.wait()
    c.up()
    # The same under a submission.
    old = c.pid("ctld")
    os.unlink(c.dir + "/ctld/bai.db.lock")
    with open(c.path("second.log"), "w", encoding="utf-8") as log:
        second = subprocess.Popen([os.path.join(BIN, "bai-ctld"), "--conf", c.conf, "--foreground", "--bind", "127.0.0.1:0"], env=c.env, stdout=log, stderr=log)
    try:
        await_true(lambda: "ready" in c.read("second.log"), "the second controller")
        asks = subprocess.Popen([os.path.join(BIN, "bai-submit"), "--parsable", "-o", "/dev/null", "--wrap", "echo once >> once"], env=c.env, cwd=c.work,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        c.await_end(old, 30)
    finally:
        second.kill()
        second.wait()
    c.up()
    out, errors = asks.communicate(timeout=60)
    equal(asks.returncode, 0, f"bai-submit's exit status ({errors.strip()})")
    c.await_state(int(out), "COMPLETED")
    equal(c.read("once"), "once\n", "what the job wrote")
    open(c.path("go"), "w", encoding="utf-8").close()
    c.await_state(job, "COMPLETED")


if __name__ == "__main__":
    sys.exit(run_tests(Cluster(nodes=2)))

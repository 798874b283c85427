#!/usr/bin/env python3
"""Bad days: a full disk and a database that stops. Refusals are clear, running jobs go on, and service resumes by itself."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

from bai import SLOW, Cluster, Skip, await_true, check, equal, need_root, run_tests, test
from bai_stream import Stream, balance

RUNNING = 'echo ready; while [ ! -e {0} ]; do sleep 0.05; done; echo "$BAI_JOB_ID $BAI_JOB_ATTEMPT" >> ran; echo done'


class Tmpfs:
    """A small file system that can be filled."""

    def __init__(self, size):
        need_root()
        self.path = tempfile.mkdtemp(prefix="t")
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "bai-test", self.path], capture_output=True, text=True, check=False)
        if done.returncode:
            os.rmdir(self.path)
            raise Skip(f"cannot mount a tmpfs: {done.stderr.strip()}")

    def take(self, c, part):
        """Brings the cluster up with this part of its directory, and no other, on the small disk."""
        c.up()
        c.run("bai-cluster", "down", "--keep", "--dir", c.dir)
        here, there = os.path.join(c.dir, part), os.path.join(self.path, os.path.basename(part))
        shutil.move(here, there)
        os.symlink(there, here)
        c.up()

    def fill(self):
        with open(self.path + "/filler", "ab", buffering=0) as f:
            block = b"x" * 65536
            while block:
                try:
                    f.write(block)
                except OSError:
                    block = block[:len(block) // 2]

    def is_full(self):
        try:
            with open(self.path + "/probe", "wb", buffering=0) as f:
                return f.write(b"x" * 4096) < 4096
        except OSError:
            return True
        finally:
            if os.path.exists(self.path + "/probe"):
                os.unlink(self.path + "/probe")

    def free(self):
        os.unlink(self.path + "/filler")

    def close(self):
        subprocess.run(["umount", "-l", self.path], check=False)
        os.rmdir(self.path)


@test
def a_full_disk_of_the_controller(_):
    disk = Tmpfs("24m")
    c = Cluster(nodes=1)
    try:
        disk.take(c, "ctld")
        running = c.submit("-o", "running.txt", script=RUNNING.format("go"))
        c.await_text("running.txt", "ready")
        before = [c.submit("--hold", "-o", "/dev/null", script="true") for _ in range(3)]
        disk.fill()
        refusal = ""
        accepted = []
        for _ in range(400):  # the database may have some room of its own left
            done = c.run("bai-submit", "--parsable", "--hold", "-o", "/dev/null", "--wrap", "true #" + "x" * 20000, ok=None)
            if done.returncode:
                refusal = done.stderr
                break
            accepted.append(int(done.stdout))
        check(refusal, "a full disk refuses nothing")
        check("space" in refusal or "full" in refusal or "disk" in refusal, f"the refusal is not clear: {refusal}")
        check(c.job(running)["state"] == "RUNNING", "the queue cannot be read any more")
        check(c.pid("ctld"), "the controller ended")
        # A job may end on a full disk.
        with open(c.path("go"), "w", encoding="utf-8"):
            pass
        c.await_text("running.txt", "done")
        disk.free()
        again = await_true(lambda: c.run("bai-submit", "--parsable", "-o", "/dev/null", "--wrap", "true", ok=None).stdout.strip(), "service again", 40, 0.3)
        c.await_state(running, "COMPLETED")
        c.await_state(int(again), "COMPLETED")
        for job in before + accepted:
            equal(c.job(job)["state"], "PENDING", f"job {job}")
    finally:
        if os.path.exists(disk.path + "/filler"):
            disk.free()
        try:
            c.down()
        finally:
            disk.close()
            c.remove()


@test
def a_full_disk_of_a_node(_):
    disk = Tmpfs("8m")
    c = Cluster(nodes=2)
    try:
        disk.take(c, "agents/n1")
        # Its end comes while the disk is full: nothing that the node must remember of it may be lost.
        running = c.submit("-w", "n1", "-o", "noderun.txt", script=RUNNING.format("go2") + "; exit 3")
        c.await_text("noderun.txt", "ready")
        shepherds = set(c.shepherds(running))
        equal(len(shepherds), 1, "shepherds")
        disk.fill()
        check(disk.is_full(), "the disk has room")
        there = c.submit("-w", "n1", "-o", "/dev/null", script="echo there >> ran-there")
        elsewhere = c.submit("-w", "n2", "-o", "/dev/null", script="true")
        c.await_state(elsewhere, "COMPLETED")
        equal(c.job(running)["state"], "RUNNING", "the job that ran before")
        equal(set(c.shepherds(running)), shepherds, "its shepherd")
        with open(c.path("go2"), "w", encoding="utf-8"):
            pass
        c.await_text("noderun.txt", "done")
        check(disk.is_full(), "the disk has room")
        disk.free()
        record = c.await_state(running, "FAILED", 40)
        equal((record["exit_code"], record["reason"], record["attempt"]), (3, "NonZeroExitCode", 1), "its end")
        equal(c.read("ran"), f"{running} 1\n", "its runs")
        done = c.await_end_of(there, 40)
        if done["state"] == "COMPLETED":
            equal(c.read("ran-there"), "there\n", "runs of the job that came while the disk was full")
        else:
            equal((done["state"], os.path.exists(c.path("ran-there"))), ("FAILED", False), "the job that came while the disk was full")
            check("space" in done["detail"], f"the reason is {done['detail']!r}")
    finally:
        if os.path.exists(disk.path + "/filler"):
            disk.free()
        try:
            c.down()
        finally:
            disk.close()
            c.remove()


def postgres_cluster():
    if not os.path.isdir("/usr/lib/postgresql"):
        raise Skip("no PostgreSQL server")
    c = Cluster(nodes=2, store="postgresql")
    c.up()
    return c


@test
def postgresql_stops_in_mid_flight(_):
    c = postgres_cluster()
    try:
        running = c.submit("-o", "running.txt", script=RUNNING.format("go"))
        c.await_text("running.txt", "ready")
        stream = Stream(c)
        stream.await_more(10)
        c.kill("postgres", signal.SIGQUIT)  # immediate shutdown: no good-bye
        refused = c.run("bai-submit", "--wrap", "true", ok=False, timeout=60)
        check("database" in refused.stderr.lower() or "postgres" in refused.stderr.lower() or "store" in refused.stderr.lower(), f"the refusal is not clear: {refused.stderr}")
        check(c.job(running)["state"] == "RUNNING", "the running job was disturbed")
        c.up()
        stream.await_more(10, 40)
        with open(c.path("go"), "w", encoding="utf-8"):
            pass
        ids = stream.stop()
        c.await_state(running, "COMPLETED")
        balance(c, ids)
    finally:
        c.down()
        c.remove()


@test
def postgresql_and_controller_are_killed_together(_):
    c = postgres_cluster()
    try:
        stream = Stream(c)
        for _ in range(2):
            stream.await_more(8, 40)
            c.kill("ctld")
            c.kill("postgres")
            c.up()
        stream.await_more(5, 40)
        balance(c, stream.stop())
    finally:
        c.down()
        c.remove()


@test
def postgresql_connections_are_cut(_):
    c = postgres_cluster()
    try:
        psql = [os.path.join("/usr/lib/postgresql", sorted(os.listdir("/usr/lib/postgresql"))[-1], "bin/psql"), "-h", c.dir + "/run/postgres",
                "-U", "bai", "-d", "postgres", "-Atc", "select count(pg_terminate_backend(pid)) from pg_stat_activity where pid <> pg_backend_pid() and backend_type = 'client backend'"]
        stream = Stream(c)
        for _ in range(5):
            stream.await_more(4, 40)
            done = c.run(*psql, cwd="/")
            check(int(done.stdout) > 0, "the controller had no connection")
        stream.await_more(5, 40)
        balance(c, stream.stop())
    finally:
        c.down()
        c.remove()


def family(pid):
    """A process and its children."""
    found = [pid]
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as f:
                    if int(f.read().rpartition(")")[2].split()[1]) == pid:
                        found.append(int(entry))
            except OSError:
                pass
    return found


def metrics(c):
    """{"group.name": value} of bai-diag."""
    return {f"{m['group']}.{m['name']}": m["value"] for m in json.loads(c.run("bai-diag", "--json").stdout)["metrics"]}


@test
def a_store_that_stands_still_under_large_scripts(_):
    """What waits for it is bounded by bytes: the rest is told to come again, does, and nothing is lost or done twice."""
    c = postgres_cluster()
    bound, each, many = 128 << 20, 3 << 20, 60
    try:
        c.configure(f"MessageTimeout={60 * SLOW}")
        stopped = family(c.pid("postgres"))
        results = []

        def submit(i):
            script = f"#!/bin/sh\n# {i} " + "x" * each
            results.append(c.run("bai-submit", "--parsable", "--hold", "-o", "/dev/null", stdin=script, timeout=100, ok=None))
        def too_slow():  # the store has given the standing PostgreSQL up before enough came in
            return any("did not answer in time" in done.stderr for done in results)

        def small():
            results.append(c.run("bai-submit", "--parsable", "--hold", "--wrap", "true", timeout=100, ok=None))
        threads = [threading.Thread(target=submit, args=[i]) for i in range(many)]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            for thread in threads:
                thread.start()
            await_true(lambda: too_slow() or metrics(c).get("counts.busy", 0) >= 3, "submissions that are told to come again", 40, 0.2)
            waiting = metrics(c)["queues.waiting"]
            check(too_slow() or bound - each * 1.1 < waiting <= bound, f"{waiting} bytes wait")
            threads.append(threading.Thread(target=small))
            threads[-1].start()
            await_true(lambda: too_slow() or metrics(c)["queues.waiting"] > waiting, "a small request to be let in all the same")
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
        for thread in threads:
            thread.join()
        if too_slow():
            raise Skip("this machine takes in 128 MiB of scripts slower than the 45 s that PostgreSQL has to answer")
        equal({done.stderr for done in results if done.returncode}, set(), "refusals")
        equal(len({int(done.stdout) for done in results}), many + 1, "jobs")
        equal(len(c.queue()), many + 1, "jobs in the queue")
        await_true(lambda: metrics(c)["queues.waiting"] == 0, "all of it to be given back")
    finally:
        c.down()
        c.remove()


if __name__ == "__main__":
    sys.exit(run_tests())

#!/usr/bin/env python3
"""Every named crash point of the daemons: the process kills itself there under a stream of submissions, is started again, and the
accounts balance: nothing acknowledged is lost, no script writes twice in one attempt, no job is stuck."""
import signal
import subprocess
import sys

from bai import Cluster, await_true, check, processes, program, run_tests
from bai_stream import SCRIPT, Stream, balance, settle

# The nth passing at which it dies: some points are passed by the pings that a start waits for.
NTH = {"ctld.request_received": 12, "ctld.before_reply": 12, "ctld.before_commit": 6, "ctld.after_commit": 6}


def restart_with(c, name, crash):
    """Ends the daemon in order and starts it so that it will crash."""
    c.kill(name, signal.SIGTERM)
    try:
        c.up(crash=crash)
    except AssertionError as failed:
        # It may reach the point before its start is complete; then it is down already.
        check(not c.pid(name), str(failed))


def daemon_crashes(c, point):
    name = "ctld" if point.startswith("ctld.") else "n1"
    for nth in (NTH.get(point, 1), NTH.get(point, 1) + 3):
        restart_with(c, name, f"{point}:{nth}")
        stream = Stream(c)
        try:
            await_true(lambda: not c.pid(name), f"{name} to reach {point}", 15)
        finally:
            stream.ended.set()
            c.up()
            ids = stream.stop()
        balance(c, ids)


def step_crashes(c, point):
    """Here every shepherd dies, so every job fails: for a reason that is told, with nothing left, and its script at most once."""
    c.kill("n1", signal.SIGTERM)
    c.up(crash=point)
    ids = [c.submit("-w", "n1", "-o", "/dev/null", script=SCRIPT) for _ in range(3)]
    records = settle(c, ids)
    for job, record in records.items():
        check(record["state"] in ("FAILED", "COMPLETED"), f"job {job} is {record['state']} ({record['reason']} {record.get('detail', '')})")
        check(record["state"] == "COMPLETED" or record.get("detail"), f"job {job} failed without a reason")
    balance(c, ids, allow=("FAILED", "COMPLETED"))
    c.kill("n1", signal.SIGTERM)
    c.up()
    check(not c.shepherds(), "shepherds are left")
    check(not processes(c.dir + "/agents/"), "processes are left")


def tests():
    listed = subprocess.run([program("bai-ctld"), "--crash-points"], text=True, capture_output=True, check=True).stdout.split()
    for point in listed:
        if point.startswith("cluster.") or point == "agent.suspend_recorded":
            continue  # bai-cluster's: private_clusters.py; only a suspended job passes the other: suspend.py
        def one(c, point=point):
            (step_crashes if point.startswith("step.") else daemon_crashes)(c, point)
        one.__name__ = point
        yield one


if __name__ == "__main__":
    sys.exit(run_tests(Cluster(nodes=2, cpus=4), settings=("KillWait=2",), only=list(tests())))

#!/usr/bin/env python3
"""A controller records what its scheduler is told and decides; bai-sim replay comes to the same decisions."""
import json
import os
import subprocess
import sys

from bai import Cluster, check, equal, program, run_tests, test


def replay(path):
    done = subprocess.run([program("bai-sim"), "replay", path, "--json"], text=True, capture_output=True, timeout=120, check=False)
    equal(done.returncode, 0, f"exit status ({done.stdout} {done.stderr})")
    return json.loads(done.stdout)


def emulated(cluster, seconds, *words):
    return cluster.submit(f"--comment=emulate:{seconds}", "--time=10", *words, script="true\n")


def some_life(cluster):
    """Jobs of many kinds come, wait, start, are held, cancelled, and end. Returns how many starts that is at least."""
    running = emulated(cluster, 600, "--nodes=4", "--exclusive", "--job-name=secret-name")
    cluster.await_state(running, "RUNNING")
    waiting = [emulated(cluster, 0, f"--ntasks={n}", f"--time={n}") for n in (1, 3, 9, 16)]
    array = emulated(cluster, 0, "--array=0-4%2")
    after = emulated(cluster, 0, f"--dependency=afterok:{waiting[0]}")
    held = emulated(cluster, 0, "--hold")
    gone = emulated(cluster, 0)
    cluster.run("bai-cancel", str(gone))
    cluster.run("bai-control", "update", f"JobId={waiting[2]}", "Priority=7")
    cluster.run("bai-control", "update", "NodeName=n2", "State=DRAIN", "Reason=test")
    cluster.run("bai-control", "update", "NodeName=n2", "State=RESUME")
    cluster.run("bai-cancel", str(running))
    for job in [*waiting, after]:
        equal(cluster.await_end_of(job)["state"], "COMPLETED", f"job {job}")
    for task in range(5):
        cluster.await_end_of(f"{array}_{task}")
    cluster.run("bai-control", "release", str(held))
    cluster.await_end_of(held)
    return 1 + len(waiting) + 1 + 5 + 1


@test
def a_recording_repeats(cluster):
    path = os.path.join(cluster.work, "recording")
    cluster.configure(f"SchedulerRecording={path}")
    check(not os.path.exists(path), "a recording begins with the controller")
    cluster.kill("ctld")
    cluster.up()
    starts = some_life(cluster)
    cluster.kill("ctld")
    got = replay(path)
    equal((got["starts"], got["different"], got["cut_off"]), (starts, 0, False), str(got))
    check(got["program"].startswith("bai-ctld ") and got["changes"] > got["decisions"] / 10 > 0, str(got))
    with open(path, "rb") as f:
        check(b"secret-name" not in f.read(), "a job's name is in it")
    equal(os.stat(path).st_mode & 0o777, 0o600, "mode")
    # The next life begins a new one, and knows what runs and waits from the life before.
    cluster.up()
    equal(some_life(cluster), starts, "starts")
    cluster.kill("ctld")
    equal(replay(path + ".1")["starts"], starts, "starts of the life before")
    equal((replay(path)["starts"], replay(path)["different"]), (starts, 0), "starts of this life")
    cluster.up()


@test
def one_that_cannot_be_made_is_told(cluster):
    cluster.kill("ctld")
    with open(cluster.conf, encoding="utf-8") as f:
        lines = [line for line in f if not line.startswith("SchedulerRecording=")]
    with open(cluster.conf, "w", encoding="utf-8") as f:
        f.write("".join(lines) + f"SchedulerRecording={cluster.work}/no/such/folder/x\n")
    cluster.up()
    check("the scheduler is not recorded" in cluster.log("ctld"), "it is not told")
    some_life(cluster)


if __name__ == "__main__":
    sys.exit(run_tests(Cluster(nodes=4, cpus=4, emulate=True)))

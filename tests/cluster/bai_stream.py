"""A stream of submissions against a cluster whose daemons are being killed, and the accounts that must balance afterwards."""
import subprocess
import threading

from bai import ENDED, Failed, await_true, check

SCRIPT = '#!/bin/sh\necho "$BAI_JOB_ID $BAI_JOB_ATTEMPT" >> ran\n'


class Stream:
    """Threads that submit one job after another until stop(); `ids` are those that were acknowledged, `unknown` counts the others."""

    def __init__(self, cluster, threads=2, most=100000, script=SCRIPT, options=()):
        self.cluster, self.script, self.options = cluster, script, list(options)
        self.ids, self.errors, self.most = [], [], most
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self.work, daemon=True) for _ in range(threads)]
        cluster.streams.append(self)
        for thread in self.threads:
            thread.start()

    def work(self):
        while not self.ended.is_set() and len(self.ids) < self.most:
            try:
                done = self.cluster.run("bai-submit", "--parsable", "-o", "/dev/null", *self.options, stdin=self.script, ok=None)
            except subprocess.TimeoutExpired:
                continue
            with self.lock:
                if done.returncode == 0:
                    self.ids.append(int(done.stdout))
                else:
                    self.errors.append(done.stderr.strip())

    def await_more(self, count, timeout=20):
        """Waits until so many more were acknowledged."""
        wanted = len(self.ids) + count
        await_true(lambda: len(self.ids) >= wanted or not any(t.is_alive() for t in self.threads), f"{count} more submissions", timeout)

    def stop(self):
        self.ended.set()
        for thread in self.threads:
            thread.join(90)
        return list(self.ids)


def ran(cluster):
    """{(job, attempt): times that the script wrote}"""
    counts = {}
    try:
        lines = cluster.read("ran").splitlines()
    except OSError:
        return counts
    for line in lines:
        job, attempt = line.split()
        key = (int(job), int(attempt))
        counts[key] = counts.get(key, 0) + 1
    return counts


def settle(cluster, ids, timeout=40):
    """Waits until all these jobs have ended; then each must be in accounting exactly once. {id: its record there}"""
    def probe():
        known = {job["job_id"]: job for job in cluster.queue("--array")}
        missing = [i for i in ids if i not in known]
        if missing:
            raise Failed(f"acknowledged jobs are lost: {missing[:10]}")
        open_ = [known[i] for i in ids if known[i]["state"] not in ENDED]
        left[:] = [(job["job_id"], job["state"], job["reason"]) for job in open_]
        return not open_
    left = []
    try:
        await_true(probe, "the end of all jobs", timeout, 0.1)
    except Failed as failed:
        raise Failed(f"{failed}; left: {left[:5]}") from None

    def recorded():
        known.clear()
        known.update(cluster.accounting())
        return all(i in known and known[i][0]["state"] in ENDED for i in ids)
    known = {}
    try:
        await_true(recorded, "all jobs to be in accounting", 10, 0.1)
    except Failed as failed:
        raise Failed(f"{failed}; not there: {[i for i in ids if i not in known][:10]}") from None
    twice = [i for i in ids if len(known[i]) != 1]
    if twice:
        raise Failed(f"in accounting more than once: {twice[:10]}")
    return {i: known[i][0] for i in ids}


def balance(cluster, ids, allow=("COMPLETED",)):
    """The accounts: every acknowledged job ended well (or as allowed), its script wrote once for each attempt at most, and exactly once
    for the attempt that completed."""
    check(len(ids) == len(set(ids)), f"an id was given twice: {sorted(i for i in ids if ids.count(i) > 1)[:10]}")
    records = settle(cluster, ids)
    wrote = ran(cluster)
    doubles = {key: n for key, n in wrote.items() if n > 1}
    check(not doubles, f"scripts that ran twice in one attempt: {doubles}")
    for job, record in records.items():
        check(record["state"] in allow, f"job {job} is {record['state']} ({record['reason']} {record.get('detail', '')})")
        if record["state"] == "COMPLETED":
            check(wrote.get((job, record["attempt"])) == 1, f"job {job} completed, but its attempt {record['attempt']} wrote {wrote.get((job, record['attempt']), 0)} times")
    return records

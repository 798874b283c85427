#!/usr/bin/env python3
"""The wire misbehaving between agents, commands and controller: what is acknowledged runs exactly once, and nothing gets stuck."""
import os
import sys
import time

from bai import ENDED, Cluster, Failed, alive, await_true, check, equal, run_tests, test
from bai_chaos import HELLO, Wire
from bai_stream import Stream, balance, ran

SEED = int(os.environ.get("BAI_WIRE_SEED", "1"))
SCRIPT = '#!/bin/sh\necho "$BAI_JOB_ID $BAI_JOB_ATTEMPT" >> ran\n'
ENDING = ("drop", "double", "reorder", "cut")  # what a sealed session does not survive
HARMLESS = ("delay", "trickle")


class NamedStream(Stream):
    """Each submission has a name of its own, so that none may become two jobs."""

    names = set()

    def work(self):
        while not self.ended.is_set() and len(self.ids) < self.most:
            with self.lock:
                self.count = getattr(self, "count", 0) + 1
                name = f"s{self.count}"
                self.names.add(name)
            done = self.cluster.run("bai-submit", "--parsable", "-J", name, "-o", "/dev/null", *self.options, stdin=self.script, ok=None, timeout=120)
            with self.lock:
                if done.returncode == 0:
                    self.ids.append(int(done.stdout))
                else:
                    self.errors.append((name, done.stderr.strip()))


def all_well(c, wire):
    equal([name for name in ("munged", *c.nodes) if not c.pid(name)], [], "daemons that ended")
    equal(wire.ctld.poll(), None, "the controller's exit status")
    await_true(lambda: "idle" in c.run("bai-info", "-h", "-o", "%T").stdout.split(), "idle nodes")
    check(not c.shepherds(), f"shepherds are left: {c.shepherds()}")


def registrations(c):
    return sum(c.log(name).count("info: registered") for name in c.nodes)


def ready(c, wire):
    """Both agents have sessions that stay, and the nodes are idle."""
    await_true(lambda: len(wire.sessions()) == len(c.nodes), "the agents' sessions", 30)
    await_true(lambda: c.run("bai-info", "-h", "-N", "-o", "%T").stdout.split() == ["idle"] * len(c.nodes), "idle nodes", 30)


@test
def each_fault_alone_ends_the_session_and_nothing_else(c):
    """A frame that is lost, doubled, out of its order or cut in the middle is refused and logged once; the session begins anew, no effect doubles."""
    ids = []
    with Wire(c, SEED) as wire:
        for kind in (*ENDING, *HARMLESS):
            for outward in (True, False):
                ready(c, wire)
                before = registrations(c)
                sessions = wire.sessions()
                for session in sessions:
                    session.armed[outward] = kind
                jobs = [c.submit("-o", "/dev/null", "-w", name, script=SCRIPT) for name in c.nodes for _ in range(2)]
                for job in jobs:
                    try:
                        c.await_state(job, "COMPLETED", 30)
                    except Failed as failed:
                        raise Failed(f"{kind}, outward {outward}: {failed}") from None
                await_true(lambda sessions=sessions: all(s.hit for s in sessions), f"the fault {kind}, outward {outward}", 30)
                if kind in ENDING:
                    await_true(lambda sessions=sessions: not any(s.open for s in sessions), f"the end of the sessions after {kind}, outward {outward}", 30)
                    await_true(lambda before=before: registrations(c) == before + len(c.nodes), f"new sessions after {kind}, outward {outward}", 30)
                else:
                    check(all(s.open for s in sessions), f"a session ended by {kind}")
                ids += jobs
        seal = [line for line in wire.controller_log().splitlines() if "code=seal" in line]
        check(1 <= len(seal) <= 2, f"the controller logged {len(seal)} lines: {seal[:4]}")
        for name in c.nodes:
            said = [line for line in c.log(name).splitlines() if "no session with the controller" in line]
            check(len(said) <= 2 * len(ENDING) * 2, f"{name} logged {len(said)} lines: {said[:4]}")
        records = balance(c, ids)
        check(all(record["attempt"] == 1 for record in records.values()), f"jobs were started again: {records}")
        all_well(c, wire)


@test
def a_direction_that_falls_silent_is_noticed(c):
    """The connection stays, and one end hears nothing more: an agent notices by its heartbeat, a command by its patience."""
    for name in c.nodes:
        c.kill(name, 15)
    c.up()  # with the heartbeat of the settings
    with Wire(c, SEED) as wire:
        for outward in (True, False):
            ready(c, wire)
            sessions = wire.sessions()
            for session in sessions:
                session.armed[outward] = "long silence"
            jobs = [c.submit("-o", "/dev/null", "-w", name, script=SCRIPT) for name in c.nodes]
            for job in jobs:
                c.await_state(job, "COMPLETED", 40)
            check(all(s.hit for s in sessions), "nothing was silenced")
            balance(c, jobs)
        ready(c, wire)
        silent = iter([{True: {}, False: {0: "long silence"}}])  # the answer to one submission
        wire.plan = lambda _: next(silent, {True: {}, False: {}})
        job = c.submit("-J", "silent", "-o", "/dev/null", script=SCRIPT)
        balance(c, [job])
        equal(len(c.queue("--name=silent")), 1, "jobs of one submission")
        all_well(c, wire)


@test
def a_submission_that_arrives_twice_is_done_once(c):
    """The network repeats a whole connection, and the copy arrives first: munged refuses the original, the command asks again and gets the answer."""
    with Wire(c, SEED) as wire:
        ready(c, wire)
        twice = iter([{True: {2: "twice"}, False: {}}])  # when the last part of the hello passes, with its early request
        wire.plan = lambda _: next(twice, {True: {}, False: {}})
        job = c.submit("-J", "twice", "-o", "/dev/null", script=SCRIPT)
        check(any(hit == ("twice", True) for s in wire.connections for hit in s.hit), "nothing was doubled")
        wire.plan = None
        balance(c, [job])
        equal(len(c.queue("--name=twice")), 1, "jobs of one submission")
        all_well(c, wire)


def chaos(rng):
    """Most connections suffer something, somewhere; agents' and commands' alike."""
    plan = {True: {}, False: {}}
    for outward in plan:
        for _ in range(rng.choice((0, 0, 1, 1, 2))):
            kind = rng.choice(("drop", "double", "reorder", "cut", "delay", "delay", "trickle", "silence", "twice" if outward else "cut"))
            plan[outward][rng.choice((rng.randrange(HELLO[outward]), rng.randrange(3, 30)))] = kind
    return plan


@test
def everything_at_once_under_a_stream(c):
    with Wire(c, SEED) as wire:
        ready(c, wire)
        wire.plan = chaos
        for session in wire.sessions():
            session.end()
        stream = NamedStream(c, threads=4)
        began = time.monotonic()
        while time.monotonic() - began < 12 or len(stream.ids) < 60:
            time.sleep(0.5)
            for session in wire.sessions():  # sessions that have outlived their plan
                if wire.random.random() < 0.1:
                    session.armed[wire.random.random() < 0.5] = wire.random.choice(ENDING)
            check(time.monotonic() - began < 120, f"only {len(stream.ids)} submissions; {stream.errors[-2:]}")
        ids = stream.stop()
        hits = [kind for s in wire.connections for kind, _ in s.hit]
        wire.plan = None
        for session in wire.sessions():
            session.armed = {True: None, False: None}
            session.plan = {True: {}, False: {}}
        if os.environ.get("BAI_TEST_TIMES"):
            for name, said in stream.errors:
                print(f"    {name}: {said}")
        print(f"    {len(ids)} acknowledged, {len(stream.errors)} not; faults: {({kind: hits.count(kind) for kind in sorted(set(hits))})}", flush=True)
        check(len(set(hits)) >= 7, "too few kinds of faults")
        check(len(stream.errors) <= len(ids), f"too few were taken: {stream.errors[:3]}")
        ready(c, wire)
        balance(c, ids)
        names = [job["name"] for job in c.queue("--array") if job["name"] in stream.names]
        lied = [(name, said) for name, said in stream.errors if "--request-id" not in said and name in names]
        check(not lied, f"commands that said that nothing was done: {lied[:3]}")
        check(len(names) == len(set(names)), f"submissions that became two jobs: {sorted(n for n in set(names) if names.count(n) > 1)[:5]}")
        open_ = [job["job_id"] for job in c.queue("--array") if job["state"] not in ENDED]
        equal(open_, [], "jobs that are left")
        equal({key: n for key, n in ran(c).items() if n > 1}, {}, "scripts that ran twice in one attempt")
        check(all(attempt == 1 for _, attempt in ran(c)), "jobs were started again")
        all_well(c, wire)
        check(alive(wire.ctld.pid))


if __name__ == "__main__":
    sys.exit(run_tests(Cluster(nodes=2), settings=("AgentdHeartbeat=1",)))

#!/usr/bin/env python3
"""The port among enemies: whatever strangers and broken peers send is refused and logged once, and nobody else notices."""
import json
import os
import random
import resource
import socket
import sys

import bai_wire as wire
from bai import Cluster, Failed, await_true, check, equal, run_tests, test
from bai_wire import GREETING, Hello, Peer, Proxy, frame, message, ready

OPENING = GREETING + ready()


def resident_kib(c):
    with open(f"/proc/{c.pid('ctld')}/statm", encoding="utf-8") as f:
        return int(f.read().split()[1]) * resource.getpagesize() // 1024


def grown_less(before_kib, now_kib, mib):
    """Sanitizers keep what was freed for a while, or something about every byte."""
    most = mib * {"address,undefined": 3, "thread": 8}.get(os.environ.get("BAI_SANITIZE"), 1)
    check(now_kib < before_kib + (most << 10), f"{before_kib} KiB became {now_kib} KiB")


def counted(c):
    out = c.run("bai-diag", "--json").stdout
    return {(m["group"], m["name"]): m["value"] for m in json.loads(out)["metrics"]}


def warnings(c, *words):
    return [line for line in c.log("ctld").splitlines() if " warning: " in line and all(word in line for word in words)]


def unmoved(c, pid):
    equal(c.pid("ctld"), pid, "the controller's process")
    c.run("bai-queue")


@test
def what_is_no_protocol_is_refused(c):
    pid = c.pid("ctld")
    seed = random.Random(7)
    cases = {
        "text": b"GET / HTTP/1.1\r\nHost: bai\r\n\r\n",
        "noise": seed.randbytes(5000),
        "zeros": bytes(200),
        "TLS": bytes.fromhex("16030100c8010000c40303") + seed.randbytes(200),
        "ZMTP 2": b"\xff" + bytes(8) + b"\x7f\x01\x05\0\0",
        "mechanism": GREETING[:12] + b"CURVE" + bytes(47),
        "flags": OPENING + b"\xf8\x01x",
        "message first": GREETING + message(b"BAI\1\1", b"x"),
        "READY twice": OPENING + ready(),
        "bad READY": GREETING + b"\x04\x0b\x05READY\x0bSock",
        "long command": OPENING + b"\x06" + (1 << 40).to_bytes(8, "big"),
        "huge part": OPENING + b"\x02" + ((1 << 63) - 1).to_bytes(8, "big"),
        "2 GiB": OPENING + b"\x03" + (1 << 31).to_bytes(8, "big"),
        "ERROR": OPENING + frame(b"\x05ERROR\x03bad", flags=4),
        "four parts": OPENING + message(b"BAI\1\1", b"x", b"y", b"z"),
    }
    before = counted(c)["wire", "broken"]
    for name, data in cases.items():
        for _ in range(5):
            with Peer(c) as peer:
                peer.send(data)
                try:
                    said = peer.await_end()
                except Failed as failed:
                    raise Failed(f"{name}: {failed}") from None
                check(b"BAI-ERR" not in said or b"bad_hello" in said, f"{name}: answered with {said!r}")
    check(counted(c)["wire", "broken"] - before >= 5 * (len(cases) - 1), "not all of them were counted")
    check(1 <= len(warnings(c, "code=zmtp")) <= 3, f"{len(warnings(c, 'code=zmtp'))} lines in the log for {5 * len(cases)} tries")
    unmoved(c, pid)


@test
def endless_parts_and_endless_pings_take_no_memory(c):
    pid = c.pid("ctld")
    before = resident_kib(c)
    for unit in (frame(b"p" * 100, more=True), frame(b"", more=True), frame(b"\x04PING\0\x0a" + b"c" * 16, flags=4), frame(b"\x03ODD" + b"x" * 200, flags=4)):
        with Peer(c) as peer:
            peer.socket.setblocking(False)
            peer.send(OPENING)
            sent, block = 0, unit * (1 + (1 << 18) // len(unit))
            peer.socket.settimeout(10)
            while sent < 200 << 20 and peer.send(block):
                sent += len(block)
            check(sent < 200 << 20, f"200 MiB of {unit[:10]!r} were taken")
    grown_less(before, resident_kib(c), 48)
    unmoved(c, pid)


@test
def half_a_hello_then_silence(c):
    """Connections that were cut short at every point, some of them closed at once."""
    pid = c.pid("ctld")
    whole = OPENING + message(*Hello(c, early=wire.request(wire.PING)).parts)
    for cut in (1, 10, 12, 63, 64, 70, len(OPENING), len(OPENING) + 5, len(whole) - 1):
        with Peer(c) as peer:
            peer.send(whole[:cut])
        with Peer(c) as peer:
            peer.send(whole[:cut])
            peer.socket.shutdown(socket.SHUT_WR)
            peer.await_end()
    unmoved(c, pid)
    with Peer(c) as peer:  # byte by byte is slow, but right
        hello = Hello(c, early=wire.request(wire.PING))
        peer.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in OPENING + message(*hello.parts[:1]):
            peer.send(bytes([i]))
        check(peer.send(b""), "it was dropped")


@test
def thousands_of_silent_connections_keep_nobody_out(c):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    count = min(hard, 8192) - 200
    pid = c.pid("ctld")
    sizes = []
    try:
        for _ in range(2):
            peers = []
            try:
                for i in range(min(count, 2500)):
                    peers.append(Peer(c, timeout=60))
                    if i % 500 == 250:
                        c.run("bai-submit", "--hold", "--wrap", "true")
                unmoved(c, pid)
                equal(counted(c)["wire", "handshakes"] <= 1024, True, "handshakes are bounded")
                sizes.append(resident_kib(c))
            finally:
                for peer in peers:
                    peer.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    grown_less(sizes[0], sizes[1], 24)
    c.run("bai-cancel", "--state=PENDING")
    check(len(warnings(c, "code=busy")) <= 2, "not logged once")


@test
def hellos_that_are_not_right(c):
    pid = c.pid("ctld")
    early = wire.request(wire.PING)
    other = Cluster(nodes=1)  # its munged has another key
    other.up()
    try:
        cases = (
            ("credential_invalid", Hello(c, early=early, munge_socket=other.dir + "/run/munge.socket")),
            ("credential_unauthorized", Hello(c, early=early, only=12345)),
            ("bad_hello", Hello(c, early=early, only=None)),
            ("bad_hello", Hello(c, early=early, cipher="none")),
            ("bad_hello", Hello(c, early=early, purpose="bai launch 1")),
            ("bad_hello", Hello(c, early=early, inner=(1, 2))),
            ("version", Hello(c, early=early, versions=(2, 9))),
            ("bad_hello", Hello(c, early=early, versions=(9, 2))),
            ("wrong_daemon", Hello(c, early=early, daemon_role=wire.AGENT)),
            ("wrong_cluster", Hello(c, early=early, uuid="00" * 16)),
        )
        for code, hello in cases:
            for _ in range(2):
                with Peer(c) as peer:
                    got = peer.say_hello(hello)
                    check(got and got[0] in (code, "credential_replayed"), f"{code}: got {got}")
            check(1 <= len(warnings(c, f"code={code}")) <= 4, f"{code} is not logged, or too often")
    finally:
        other.down()
        other.remove()
    for part, change in ((0, lambda p: b"BAD\1\1"), (0, lambda p: b""), (1, lambda p: b""), (1, lambda p: b"MUNGE:" + b"A" * 200 + b":"),
                         (1, lambda p: p[:40] + (b"B" if p[40:41] == b"A" else b"A") + p[41:]), (1, lambda p: p + b"\0"), (1, lambda p: b"M" * 5000),
                         (2, lambda p: p[:-1] + bytes([p[-1] ^ 1])), (2, lambda p: p[:30]), (2, lambda p: b"")):
        hello = Hello(c, early=early)
        hello.parts[part] = change(hello.parts[part])
        with Peer(c) as peer:
            got = peer.say_hello(hello)
            check(got is None or isinstance(got[0], str), f"part {part} was altered and it was taken: {got}")
    unmoved(c, pid)


@test
def a_recorded_submission_is_not_done_again(c):
    before = len(c.queue())
    with Proxy(c) as proxy:
        job = c.submit("--hold", script="true", env={"BAI_CONF": proxy.conf})
        recorded = b"".join(data for outward, data in proxy.seen if outward)
    with Peer(c) as peer:
        peer.send(recorded)
        answer = peer.receive()
        equal(answer[:2], [b"BAI-ERR", b"credential_replayed"], "the answer to a replay")
    c.kill("munged")  # and forgets what it has seen
    c.up()
    with Peer(c) as peer:
        peer.send(recorded)
        answer = peer.receive()
        equal(answer and answer[0], b"BAI\1", "the first answer again, sealed")
    equal(len(c.queue()), before + 1, "jobs after the replays")
    c.run("bai-cancel", str(job))


@test
def who_sits_in_between_is_found_out(c):
    env = {}

    def flipped(data):
        return data[:-1] + bytes([data[-1] ^ 1])

    before = len(c.queue())
    with Proxy(c, lambda outward, data, _: flipped(data) if outward else data) as proxy:  # the request
        env["BAI_CONF"] = proxy.conf
        done = c.run("bai-submit", "--hold", "--wrap", "true", env=env, ok=False)
        check(done.returncode == 1 and "seal" in done.stderr or "altered" in done.stderr, done.stderr)
        equal(len(c.queue()), before, "jobs")
    with Proxy(c, lambda outward, data, _: data if outward else flipped(data)) as proxy:  # the answer
        env["BAI_CONF"] = proxy.conf
        done = c.run("bai-queue", env=env, ok=False)
        equal((done.returncode, done.stdout), (1, ""), "bai-queue with an altered answer")
        check("cannot have read the credential" in done.stderr or "altered" in done.stderr, done.stderr)
        done = c.run("bai-submit", "--hold", "--wrap", "true", env=env, ok=False)
        check("Submitted" not in done.stdout and "--request-id" in done.stderr, f"it does not say how to settle what happened: {done.stderr}")
    with Proxy(c, lambda outward, data, _: data if outward else OPENING + message(b"BAI-ERR", b"bad\x1b[31m", b"type \x1b]0;rm -rf /\x07 \n now")) as proxy:
        env["BAI_CONF"] = proxy.conf
        done = c.run("bai-queue", env=env, ok=False)
        check("\x1b" not in done.stderr and "\x07" not in done.stderr, repr(done.stderr))
        check("unproven" in done.stderr, done.stderr)
    unsure = [job["job_id"] for job in c.queue() if job["state"] == "PENDING"]
    check(len(unsure) <= 1, f"jobs: {unsure}")
    c.run("bai-cancel", "--state=PENDING")


@test
def frames_are_bound_to_their_session(c):
    pid = c.pid("ctld")
    ping = wire.request(wire.PING)

    def session():
        peer = Peer(c)
        _, out, incoming = peer.say_hello(Hello(c, early=ping))
        return peer, out, incoming

    peer, out, incoming = session()
    peer.send(message(out.seal(ping)))
    answer = peer.receive()
    check(incoming.open(answer[0]), "an honest second request is not answered")
    first = out.seal(ping)
    peer.send(message(first) + message(first))  # repeated: one answer at most
    answer = peer.receive()
    check(answer is None or incoming.open(answer[0]) and peer.receive() is None, "a repeated frame was taken")

    def flipped(data):
        return data[:-1] + bytes([data[-1] ^ 1])

    for name, make in (("reflected", lambda out, answer: answer), ("altered", lambda out, _: flipped(out.seal(ping))),
                       ("out of order", lambda out, _: (out.seal(ping), out.seal(ping))[1]), ("cut", lambda out, _: out.seal(ping)[:20]),
                       ("empty", lambda *_: b""), ("of another session", lambda *_: first)):
        peer, out, incoming = session()
        peer.send(message(out.seal(ping)))
        answer = peer.receive()[0]
        peer.send(message(make(out, answer)))
        check(peer.receive() is None, f"a frame was taken although it is {name}")
        peer.close()
    check(1 <= len(warnings(c, "code=seal")) <= 3, "not logged once")
    peer, out, _ = session()
    peer.send(frame(out.seal(ping), more=True) + frame(b"x"))
    check(peer.receive() is None, "a frame of two parts was taken")
    unmoved(c, pid)


@test
def known_callers_who_talk_nonsense(c):
    """Random bytes, truncated and lengthened requests, counts that promise too much, text with control characters."""
    pid = c.pid("ctld")
    before = resident_kib(c)
    seed = random.Random(11)
    huge = wire.varint((1 << 63) - 1)
    bodies = [seed.randbytes(seed.randrange(1, 300)) for _ in range(60)]
    bodies += [b"", b"\0" * 17, wire.request(99), wire.request(wire.PING) + b"more", wire.request(wire.QUEUE, huge), wire.request(wire.SUBMIT, huge),
               wire.request(wire.SUBMIT, b"\1" + huge), wire.request(wire.ACTION, b"\xff\xff\3"), wire.request(wire.UPDATE, b"\0\0" + huge),
               wire.request(wire.LOG_LEVEL, wire.text("de\x1bbug")), wire.request(wire.WAIT, b"\x80" * 11)]
    for body in bodies:
        with Peer(c) as peer:
            got = peer.say_hello(Hello(c, early=body))
            check(got is not None and (isinstance(got[0], str) or b"bad_message" in got[0]), f"{body[:30]!r}: {got and got[0]}")
    peers = []
    for body in bodies:
        peer = Peer(c)
        _, out, _ = peer.say_hello(Hello(c, role=wire.AGENT, name="n1"))
        peer.send(message(out.seal(body)))
        peers.append(peer)
    for peer in peers:
        peer.await_end()
        peer.close()
    equal(len([n for n in json.loads(c.run("bai-info", "--json").stdout)["nodes"] if n["name"] == "n1"]), 1, "n1")
    check(len(warnings(c, "could not be read")) <= 5, f"{len(warnings(c, 'could not be read'))} lines in the log")
    grown_less(before, resident_kib(c), 48)
    unmoved(c, pid)


@test
def watchers_who_do_not_read(c):
    """A hundred that read, some that never do and some that vanish: the readers get every change."""
    pid = c.pid("ctld")
    readers, deaf = [], []
    for i in range(100):
        peer = Peer(c)
        _, _, incoming = peer.say_hello(Hello(c, early=wire.request(wire.WATCH, wire.EVERYTHING)))
        readers.append((peer, incoming))
        if i % 10 == 0:
            silent = Peer(c)
            silent.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            silent.send(OPENING + message(*Hello(c, early=wire.request(wire.WATCH, wire.EVERYTHING)).parts))
            deaf.append(silent)
        if i % 10 == 5:
            with Peer(c) as gone:
                gone.send(OPENING + message(*Hello(c, early=wire.request(wire.WATCH, wire.EVERYTHING)).parts))
    job = c.submit("--hold", "--job-name", "watched", script="true")
    for k in range(3):
        c.run("bai-control", "update", f"JobId={job}", f"Comment=word{k}")
    for peer, incoming in readers:
        seen = b""
        while b"word2" not in seen:
            got = peer.receive()
            check(got is not None, "a watcher that reads was dropped")
            seen += incoming.open(got[0])
        peer.close()
    c.run("bai-cancel", str(job))
    for peer in deaf:
        peer.close()
    await_true(lambda: counted(c)["wire", "connections"] <= 4, "the end of the watchers' connections")
    unmoved(c, pid)


@test
def who_asks_for_much_and_reads_nothing(c):
    """One caller asks again and again for a long queue: it is dropped at a bound, or when it leaves; nobody else waits for it."""
    pid = c.pid("ctld")
    jobs = "\n".join(json.dumps({"script": "#!/bin/sh\n", "hold": True, "comment": "c" * 500, "name": f"j{i}"}) for i in range(3000))
    c.run("bai-submit", "--bulk", "-", stdin=jobs)
    before = resident_kib(c)
    for _ in range(2):
        with Peer(c) as peer:
            _, out, _ = peer.say_hello(Hello(c, early=wire.request(wire.PING)))
            sent = 0
            while sent < 1500 and peer.send(message(out.seal(wire.request(wire.QUEUE, wire.EVERYTHING + b"\1")))):
                sent += 1
                if sent % 500 == 0:
                    c.run("bai-queue", "--jobs=1", ok=None)
            grown_less(before, resident_kib(c), 450)
    await_true(lambda: counted(c)["wire", "connections"] <= 4, "the end of its connections")
    c.run("bai-cancel", "--state=PENDING")
    unmoved(c, pid)


if __name__ == "__main__":
    sys.exit(run_tests(Cluster(nodes=2), settings=("MaxJobCount=20000",)))

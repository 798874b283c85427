#!/usr/bin/env python3
"""bai-queue --watch: a picture on a terminal, lines into a pipe, and a reader that stops reading for a while."""
import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

from bai import BIN, SLOW, Cluster, Failed, await_true, check, equal, run_tests, test

WATCH = os.path.join(BIN, "bai-queue")


class Terminal:
    """A program on a terminal of its own, and what is to be seen there. Knows the few sequences that we use, and no other."""
    SEQUENCE = re.compile(rb"\x1b\[(\??)([0-9;]*)([A-Za-z])")

    def __init__(self, words, env, height, width, term="xterm"):
        self.screen = {}
        self.row = self.column = 0
        self.modes = set()
        self.rest = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe(words[0], words, dict(env, TERM=term))
        self.resize(height, width)
        self.status = None

    def resize(self, height, width):
        self.height, self.width = height, width
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))  # the kernel tells the program

    def lines(self):
        return ["".join(self.screen.get((r, c), " ") for c in range(self.width)).rstrip() for r in range(self.height)]

    def await_screen(self, good, what):
        """Reads until good(lines) holds."""
        deadline = time.monotonic() + 20 * SLOW
        while not good(self.lines()):
            ready, _, _ = select.select([self.fd], [], [], max(0, deadline - time.monotonic()))
            if not ready or not self.read():
                raise Failed(f"{what}: " + "\n".join(self.lines()))
        return self.lines()

    def read(self):
        try:
            got = os.read(self.fd, 65536)
        except OSError:
            got = b""
        self.feed(got)
        return bool(got)

    def type(self, keys):
        os.write(self.fd, keys)

    def await_end(self):
        while self.read():
            pass
        _, self.status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return self.status

    def erase(self, wanted):
        self.screen = {at: c for at, c in self.screen.items() if not wanted(*at)}

    def feed(self, data):
        data = self.rest + data
        self.rest = b""
        at = 0
        while at < len(data):
            byte = data[at:at + 1]
            if byte == b"\x1b":
                match = self.SEQUENCE.match(data, at)
                if not match:
                    check(len(data) - at < 12, f"an unknown sequence: {data[at:at + 12]}")
                    self.rest = data[at:]
                    return
                self.sequence(match.group(1) + match.group(3), match.group(2).decode())
                at = match.end()
                continue
            if byte == b"\r":
                self.column = 0
            elif byte == b"\n":
                self.row += 1
                if self.row == self.height:
                    self.row -= 1
                    self.screen = {(r - 1, c): ch for (r, c), ch in self.screen.items() if r}
            else:
                if self.column == self.width:  # a full line wraps with the next character
                    self.column = 0
                    self.feed(b"\n")
                self.screen[self.row, self.column] = byte.decode("latin-1")
                self.column += 1
            at += 1

    def sequence(self, kind, numbers):
        column = min(self.column, self.width - 1)
        if kind == b"H":
            row, column = ([int(n) for n in numbers.split(";")] if numbers else [1, 1])
            self.row, self.column = row - 1, column - 1
        elif kind == b"K":
            self.erase(lambda r, c: r == self.row and c >= column)
        elif kind == b"J":
            self.erase(lambda r, c: r > self.row or (r == self.row and c >= column))
        elif kind in (b"?h", b"?l"):
            (self.modes.add if kind == b"?h" else self.modes.discard)(int(numbers))
            if numbers == "1049":
                self.erase(lambda r, c: True)
        else:
            raise Failed(f"an unknown sequence: {kind} {numbers}")


def hold(c, name, *more):
    return c.submit("--hold", "-J", name, "-o", "/dev/null", *more, script="true")


@test
def a_terminal_is_drawn_anew(c):
    jobs = [hold(c, f"picture{i}") for i in range(3)]
    terminal = Terminal([WATCH, "--watch", "-o", "%i %T %j", "-S", "i"], c.env, 8, 40)
    lines = terminal.await_screen(lambda lines: lines[-1].startswith("3 jobs"), "the first picture")
    equal(lines[:7], ["JOBID STATE NAME", *[f"{job} PENDING picture{i}" for i, job in enumerate(jobs)], "", "", ""], "picture")
    check(re.fullmatch(r"3 jobs: 3 pending +\d\d:\d\d:\d\d", lines[-1]) and len(lines[-1]) == 40, lines[-1])
    equal(terminal.modes, {1049, 25} - {25}, "modes: the other page, no cursor")
    c.run("bai-control", "update", f"JobId={jobs[1]}", "JobName=x")
    terminal.await_screen(lambda lines: lines[2] == f"{jobs[1]} PENDING x", "a shorter line in place of a longer one")
    c.run("bai-cancel", str(jobs[0]))
    lines = terminal.await_screen(lambda lines: lines[-1].startswith("2 jobs"), "one less")
    equal(lines[:5], ["JOBID STATE NAME", f"{jobs[1]} PENDING x", f"{jobs[2]} PENDING picture2", "", ""], "picture")
    # More than fits, and other sizes.
    more = c.submit("--hold", "-J", "many", "-a", "1-20", "-o", "/dev/null", script="true")
    lines = terminal.await_screen(lambda lines: lines[-1].startswith("22 jobs"), "an array")
    equal(lines[3], f"{more}_[1-20] PENDING many", "the array")
    terminal.resize(3, 20)
    lines = terminal.await_screen(lambda lines: lines[2].startswith("22 jobs"), "a small screen")
    equal(lines, ["JOBID STATE NAME", f"{jobs[1]} PENDING x", "22 jobs: 22 pending;"], "small picture")
    terminal.resize(30, 10)
    lines = terminal.await_screen(lambda lines: lines[-1].startswith("22 jobs"), "a narrow screen")
    equal(lines[:5], ["JOBID STAT", f"{jobs[1]} PENDING"[:10], f"{jobs[2]} PENDING"[:10], f"{more}_[1-20] PENDING"[:10].rstrip(), ""], "narrow picture")
    terminal.type(b"\x03")
    equal(os.WTERMSIG(terminal.await_end()), signal.SIGINT, "how it ended")
    equal(terminal.modes - {25}, set(), "the other page is left")
    c.run("bai-cancel", *map(str, [*jobs[1:], more]))


@test
def a_terminal_sees_running_jobs_first_and_their_time_pass(c):
    job = c.submit("-o", "/dev/null", "-J", "runs", script="sleep 300")
    waits = hold(c, "waits")
    c.await_state(job, "RUNNING")
    terminal = Terminal([WATCH, "--watch", "-h", "-o", "%i %M"], c.env, 5, 60)
    lines = terminal.await_screen(lambda lines: lines[-1].startswith("2 jobs: 1 pending, 1 running"), "both")
    equal([lines[0].split()[0], lines[1].split()[0]], [str(job), str(waits)], "order")
    before = lines[0]
    terminal.await_screen(lambda lines: lines[0] != before, "its time to go on without any change")
    c.run("bai-cancel", str(job), str(waits))
    terminal.await_screen(lambda lines: lines[-1].startswith("0 jobs"), "an empty queue")
    os.kill(terminal.pid, signal.SIGTERM)
    equal(os.WTERMSIG(terminal.await_end()), signal.SIGTERM, "how it ended")
    equal(terminal.modes - {25}, set(), "the other page is left")


@test
def a_controller_that_goes_and_comes_back_on_a_terminal(c):
    job = hold(c, "stays")
    terminal = Terminal([WATCH, "--watch", "-h", "-o", "%i %T"], c.env, 6, 70)
    terminal.await_screen(lambda lines: lines[0] == f"{job} PENDING", "the picture")
    c.kill("ctld")
    terminal.await_screen(lambda lines: any("lost" in line for line in lines), "a word about it")
    c.up()
    terminal.await_screen(lambda lines: lines[0] == f"{job} PENDING" and lines[-1].startswith("1 job:") and lines[1:5] == [""] * 4, "the picture anew")
    c.run("bai-control", "release", str(job))
    terminal.await_screen(lambda lines: lines[-1].startswith("0 jobs"), "its end")
    terminal.type(b"\x03")
    terminal.await_end()


@test
def a_dumb_terminal_gets_lines(c):
    job = hold(c, "dumb")
    terminal = Terminal([WATCH, "--watch", "-h", "-o", "%i %T"], c.env, 5, 60, term="dumb")
    terminal.await_screen(lambda lines: lines[0] == f"{job} PENDING", "the job")
    c.run("bai-cancel", str(job))
    terminal.await_screen(lambda lines: lines[1] == f"{job} CANCELLED", "its end")
    equal(terminal.modes, set(), "modes")
    terminal.type(b"\x03")
    terminal.await_end()


@contextlib.contextmanager
def piped(c, *words):
    watch = subprocess.Popen([WATCH, "--watch", *words], env=dict(c.env, TERM="xterm"), cwd=c.work, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield watch
    finally:
        watch.kill()
        watch.communicate()


def until(watch, wanted):
    """Lines up to the wanted one."""
    lines = []
    while wanted not in lines:
        line = watch.stdout.readline()
        check(line, f"the watch ended after {lines}")
        lines.append(line.rstrip("\n"))
    return lines


@test
def a_pipe_gets_a_line_for_each_change(c):
    with piped(c, "-o", "%i %T") as watch:
        equal(until(watch, "JOBID STATE"), ["JOBID STATE"], "title")
        job = hold(c, "lines")
        c.run("bai-control", "release", str(job))
        lines = until(watch, f"{job} COMPLETED")
        check("\x1b" not in "".join(lines), "escape sequences in a pipe")
        equal(lines[0], f"{job} PENDING", "first line")
        watch.send_signal(signal.SIGINT)
        equal(watch.wait(20 * SLOW), -signal.SIGINT, "how it ended")
    with piped(c, "--json") as watch:
        job = c.submit("-o", "/dev/null", script="true")
        while True:
            one = json.loads(watch.stdout.readline())
            if (one["job_id"], one["state"]) == (job, "COMPLETED"):
                break


@test
def filters_and_arrays_are_as_without_watch(c):
    array = c.submit("--hold", "-a", "1-4", "-o", "/dev/null", script="true")
    for words in (["-r"], ["-j", f"{array}_[2-3]"], ["-j", f"{array}"], ["-t", "PD", "-r", "-n", "nobody"], ["--start", "-r"]):
        once = sorted(c.run("bai-queue", "-h", "-o", "%i %T", *words).stdout.splitlines())
        with piped(c, "-h", "-o", "%i %T", *words) as watch:
            seen = []
            while len(seen) < len(once):
                seen.append(watch.stdout.readline().strip())
            equal(sorted(seen), once, f"{words}")
            watch.terminate()
            equal(watch.stdout.read(), "", f"more of {words}")
    c.run("bai-cancel", str(array))


@test
def who_reads_no_more_is_not_waited_for(c):
    """bai-queue --watch | head -n 1"""
    with piped(c) as watch:
        watch.stdout.readline()
        watch.stdout.close()
        equal(watch.wait(20 * SLOW), 1, "exit status, though nothing changes")


def metrics(c):
    return {f"{m['group']}.{m['name']}": m["value"] for m in json.loads(c.run("bai-diag", "--json").stdout)["metrics"]}


@test
def a_reader_that_stops_is_told_to_begin_anew(c):
    """Thousands of changes wait for nobody: the controller's memory stays as it is, and the picture is right in the end."""
    count, bound = 1000, 16 << 20  # the bound of changes, the snapshot, and what libzmq takes
    lines = "".join(json.dumps({"script": "#!/bin/sh\ntrue\n", "hold": True, "name": "slow", "comment": f"{i} " + "c" * 1000}) + "\n" for i in range(count))
    ids = c.run("bai-submit", "--bulk", "-", stdin=lines).stdout.split()
    with piped(c, "-h", "-o", "%i %T %j", "-n", "slow") as watch:
        seen = {}
        while len(seen) < count:
            seen[watch.stdout.readline().split()[0]] = 1
        os.kill(watch.pid, signal.SIGSTOP)
        most, rounds, unread = 0, 0, []
        while len(unread) < 6 or max(unread[-6:]) > unread[-6]:  # until it does not grow any more
            c.run("bai-control", "update", "JobId=" + ",".join(ids), f"Nice={rounds % 2 + 1}", timeout=100)
            rounds += 1
            unread.append(metrics(c)["wire.unread"])
            most = max(most, unread[-1])
            check(rounds < 200, f"it grows on: {unread}")
        check(0 < most < bound, f"{most} bytes wait after {rounds} rounds")
        gone, renamed = ids[: count // 2], ids[count // 2]
        c.run("bai-cancel", *gone)
        c.run("bai-control", "update", f"JobId={renamed}", "JobName=other")
        last = c.submit("--hold", "-J", "slow", "-o", "/dev/null", script="true")
        os.kill(watch.pid, signal.SIGCONT)
        state = {}
        while True:
            job, said, _ = watch.stdout.readline().split()
            state[job] = said
            if job == str(last):
                break
        equal({job for job in gone if state.get(job) != "CANCELLED"}, set(), "ends that were not told")
        await_true(lambda: metrics(c)["wire.unread"] == 0, "all to be read")
        check(metrics(c)["counts.watch_resyncs"] == 1, "resyncs")
        c.run("bai-cancel", ids[-1])
        until(watch, f"{ids[-1]} CANCELLED slow")
        equal(watch.poll(), None, "the watch goes on")
        watch.kill()
        equal(watch.stderr.read(), "", "what it said")
    c.run("bai-cancel", "--state=PENDING")


if __name__ == "__main__":
    sys.exit(run_tests(Cluster(nodes=1), settings=("MaxJobCount=20000",)))

"""A wire that misbehaves: sits before the controller's port and drops, doubles, delays, reorders, cuts and silences what goes through."""
import os
import random
import socket
import struct
import subprocess
import threading
import time

from bai import BIN, await_true

HELLO = {True: 2, False: 3}  # parts of an agent's hello and of its welcome: what follows is sealed
PATIENCE = 3.0  # seconds that a silent direction stays open


class Cut(Exception):
    """The connection ends here."""


class Units:
    """A byte stream as its units: the greeting, then ZMTP frames."""

    def __init__(self):
        self.data, self.greeting, self.messages = b"", 64, 0

    def take(self, data):
        """[(number, unit)] that are complete now; the number counts message frames, and is None for the greeting and for commands."""
        out = []
        if self.greeting:  # goes on as it comes: libzmq says it bit by bit
            out.append((None, data[:self.greeting]))
            data, self.greeting = data[self.greeting:], max(0, self.greeting - len(data))
        self.data += data
        while True:
            if len(self.data) < 2:
                return out
            elif self.data[0] & 2:
                size = 9 + int.from_bytes(self.data[1:9], "big") if len(self.data) >= 9 else 9
            else:
                size = 2 + self.data[1]
            if len(self.data) < size:
                return out
            unit, self.data = self.data[:size], self.data[size:]
            number = None
            if not unit[0] & 4:
                number = self.messages
                self.messages += 1
            out.append((number, unit))


class Connection:
    """One caller's, from accept to end. `plan`: {outward: {unit's number: kind of fault}}; more may be armed later."""

    def __init__(self, wire, near, plan):
        self.wire, self.near, self.plan = wire, near, plan
        self.far = socket.create_connection(("127.0.0.1", wire.port))
        for end in (self.near, self.far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.open, self.units = True, {True: Units(), False: Units()}
        self.armed = {True: None, False: None}
        self.hit = []  # faults that happened: (kind, outward)
        self.said = b""  # by the caller
        for outward in (True, False):
            threading.Thread(target=self._pump, args=(outward,), daemon=True).start()

    def _fault(self, outward, number):
        if number is None:
            return None
        kind = self.plan[outward].pop(number, None)
        if kind is None and number >= HELLO[outward]:
            kind, self.armed[outward] = self.armed[outward], None
        if kind:
            self.hit.append((kind, outward))
        return kind

    def _pump(self, outward):
        source, target = (self.near, self.far) if outward else (self.far, self.near)
        units, held = self.units[outward], b""
        try:
            while data := source.recv(1 << 16):
                if outward:
                    self.said += data
                for number, unit in units.take(data):
                    kind = self._fault(outward, number)
                    if kind == "reorder" and not held:
                        held = unit
                        continue
                    held = self._pass(kind, unit, target, source) + held
                    target.sendall(held)
                    held = b""
        except (OSError, Cut):
            pass
        self.end()

    def _pass(self, kind, unit, target, source):
        """What goes on instead of the unit."""
        if kind == "drop":
            return b""
        if kind == "double":
            return unit * 2
        if kind == "delay":
            time.sleep(self.wire.random.uniform(0.02, 0.8))
        if kind == "trickle":
            for i in range(min(len(unit) - 1, 40)):
                target.sendall(unit[i:i + 1])
                time.sleep(0.001)
            return unit[min(len(unit) - 1, 40):]
        if kind == "cut":
            target.sendall(unit[:len(unit) // 2])
            raise Cut
        if kind in ("silence", "long silence"):
            deadline = time.monotonic() + (PATIENCE if kind == "silence" else 60)
            source.settimeout(0.1)
            while time.monotonic() < deadline and self.open:
                try:
                    if not source.recv(1 << 16):
                        break
                except TimeoutError:
                    pass
            raise Cut
        if kind == "twice":  # the whole connection so far, on another one, which arrives first
            with socket.create_connection(("127.0.0.1", self.wire.port)) as copy:
                copy.sendall(self.said)
                copy.settimeout(5)
                try:
                    copy.recv(1 << 16)
                except OSError:
                    pass
        return unit

    def end(self):
        self.open = False
        for end in (self.near, self.far):
            try:
                if self.wire.random.random() < 0.5:  # a reset
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Wire:
    """Moves the controller to another port and takes its place, for agents and commands alike. plan(random) makes the faults of each
    new connection, as Connection has them; None: none."""

    def __init__(self, cluster, seed):
        self.cluster, self.random, self.plan = cluster, random.Random(seed), None
        with open(cluster.conf, encoding="utf-8") as f:
            own = next(int(line.split("=")[1]) for line in f if line.startswith("CtldPort="))
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        cluster.kill("ctld", 15)
        self.log = cluster.path("ctld.log")
        with open(self.log, "ab") as log:
            self.ctld = subprocess.Popen([os.path.join(BIN, "bai-ctld"), "--conf", cluster.conf, "--foreground", "--bind", f"127.0.0.1:{self.port}"],
                                         env=cluster.env, stdout=log, stderr=log)
        self.connections = []
        self.listener = await_true(lambda: self._listen(own), "the controller's port")
        threading.Thread(target=self._accept, daemon=True).start()

    @staticmethod
    def _listen(port):
        try:
            return socket.create_server(("127.0.0.1", port), backlog=200)
        except OSError:
            return None

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            plan = self.plan(self.random) if self.plan else {True: {}, False: {}}
            try:
                self.connections.append(Connection(self, near, plan))
            except OSError:
                near.close()

    def sessions(self):
        """Connections that stay: the agents'."""
        return [c for c in self.connections if c.open and c.units[False].messages > HELLO[False]]

    def controller_log(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.plan = None
        self.listener.close()
        for connection in self.connections:
            connection.end()
        self.ctld.terminate()
        self.ctld.wait(30)
        self.cluster.up()

"""A caller of bai-ctld made by hand: ZMTP frames, hello and sealing as doc/wire.md says, so that tests can say what no command says."""
import ctypes
import hashlib
import os
import socket
import subprocess
import threading

from bai import Failed, Skip, check

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL" + bytes(48)
COMMAND, AGENT, CONTROLLER = 1, 2, 3
PING, SUBMIT, QUEUE, WATCH, WAIT, HISTORY, ACCOUNTING, CLUSTER, CONFIG, DIAG, ACTION, UPDATE, RECONFIGURE, SHUTDOWN, LOG_LEVEL = range(15)
EVERYTHING = bytes(8)  # a JobFilter that names nothing


def ready(kind=b"DEALER"):
    body = b"\x05READY\x0bSocket-Type" + len(kind).to_bytes(4, "big") + kind
    return b"\x04" + bytes([len(body)]) + body


def frame(body, more=False, flags=0):
    flags |= 1 if more else 0
    if len(body) > 255:
        return bytes([flags | 2]) + len(body).to_bytes(8, "big") + body
    return bytes([flags, len(body)]) + body


def message(*parts):
    return b"".join(frame(part, i + 1 < len(parts)) for i, part in enumerate(parts))


def varint(value):
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7f | 0x80])
        value >>= 7
    return out + bytes([value])


def text(value):
    value = value.encode() if isinstance(value, str) else value
    return varint(len(value)) + value


def request(kind, body=b"", request_id=None, repeat=False):
    return (request_id or os.urandom(16)) + bytes([repeat]) + varint(kind) + body


class Stream:
    """libsodium's crypto_secretstream, one direction."""
    lib = None

    def __init__(self, key, sending):
        if Stream.lib is None:
            try:
                Stream.lib = ctypes.CDLL("libsodium.so.23")
            except OSError as error:
                raise Skip(f"no libsodium: {error}") from None
            Stream.lib.sodium_init()
        self.key, self.sending, self.begun = key, sending, False
        self.state = ctypes.create_string_buffer(64)

    def seal(self, plain):
        header = b""
        if not self.begun:
            self.begun = True
            out = ctypes.create_string_buffer(24)
            self.lib.crypto_secretstream_xchacha20poly1305_init_push(self.state, out, self.key)
            header = out.raw
        out = ctypes.create_string_buffer(len(plain) + 17)
        self.lib.crypto_secretstream_xchacha20poly1305_push(self.state, out, None, plain, ctypes.c_ulonglong(len(plain)), None,
                                                            ctypes.c_ulonglong(0), ctypes.c_ubyte(0))
        return header + out.raw

    def open(self, sealed):
        if not self.begun:
            self.begun = True
            check(self.lib.crypto_secretstream_xchacha20poly1305_init_pull(self.state, sealed[:24], self.key) == 0, "no stream's header")
            sealed = sealed[24:]
        out = ctypes.create_string_buffer(max(1, len(sealed) - 17))
        bad = self.lib.crypto_secretstream_xchacha20poly1305_pull(self.state, out, None, None, sealed, ctypes.c_ulonglong(len(sealed)), None,
                                                                  ctypes.c_ulonglong(0))
        check(bad == 0, "a frame does not open")
        return out.raw[:len(sealed) - 17]


def transcript(*parts):
    return hashlib.blake2b(b"".join(len(p).to_bytes(8, "little") + p for p in parts), digest_size=32).digest()


def derive(key, label, *parts):
    return hashlib.blake2b(label + transcript(*parts), digest_size=32, key=key).digest()


def credential(cluster, payload, uid=None, only="root", munge_socket=None, cipher="aes128"):
    """A MUNGE credential of this user or of `uid`, readable by `only` (None: by all)."""
    words = ["munge", "-S", munge_socket or cluster.dir + "/run/munge.socket", "-c", cipher, "-t", "300"]
    words += ["-u", str(only)] if only is not None else []
    if uid is not None:
        words = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--", *words]
    done = subprocess.run(words, input=payload, capture_output=True, check=False)
    if done.returncode:
        raise Failed(f"munge: {done.stderr.decode()}")
    return done.stdout.strip()


class Hello:
    """What a caller opens with; its parts may be altered before they are sent."""

    def __init__(self, cluster, role=COMMAND, name="", early=None, uid=None, versions=(1, 1), inner=None, purpose="bai hello",
                 uuid="", daemon_role=CONTROLLER, daemon="", **munge):
        self.key = os.urandom(32)
        low, high = inner or versions
        payload = (text(purpose) + varint(low) + varint(high) + text(uuid) + varint(role) + text(name) + varint(daemon_role) + text(daemon) + self.key)
        self.parts = [b"BAI" + bytes(versions), credential(cluster, payload, uid, **{"only": os.geteuid(), **munge})]
        if early is not None:
            self.parts.append(Stream(derive(self.key, b"bai early request", *self.parts), True).seal(early))


class Peer:
    """A TCP connection to the port of the cluster's controller."""

    def __init__(self, cluster, timeout=30):
        port = next(line.split("=")[1] for line in open(cluster.conf, encoding="utf-8") if line.startswith("CtldPort="))
        self.socket = socket.create_connection(("127.0.0.1", int(port)), timeout)
        self.data = b""
        self.greeted = False

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        """False when the other end is gone."""
        try:
            self.socket.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def _more(self):
        try:
            got = self.socket.recv(1 << 16)
        except ConnectionResetError:
            got = b""
        self.data += got
        return bool(got)

    def _take(self, count):
        while len(self.data) < count:
            if not self._more():
                return None
        out, self.data = self.data[:count], self.data[count:]
        return out

    def await_end(self):
        """Reads until the other end closes; whatever it said."""
        try:
            while self._more():
                pass
        except TimeoutError:
            raise Failed("the connection stays open") from None
        return self.data

    def receive(self):
        """The next message's parts; None when the connection has ended."""
        if not self.greeted:
            if self._take(64) is None:
                return None
            self.greeted = True
        parts = []
        while True:
            head = self._take(2)
            if head is None:
                return None
            flags, size = head[0], head[1]
            if flags & 2:
                rest = self._take(7)
                if rest is None:
                    return None
                size = int.from_bytes(head[1:] + rest, "big")
            body = self._take(size)
            if body is None:
                return None
            if flags & 4:
                continue
            parts.append(body)
            if not flags & 1:
                return parts

    def say_hello(self, hello):
        """Sends it and takes the welcome: (what it answers, sender, receiver), or the refusal's (code, text)."""
        self.send(GREETING + ready() + message(*hello.parts))
        answer = self.receive()
        if answer is None:
            return None
        if answer[0] == b"BAI-ERR":
            return answer[1].decode(), answer[2].decode()
        seen = [*hello.parts, *answer[:2]]
        incoming = Stream(derive(hello.key, b"bai daemon to caller", *seen), False)
        outgoing = Stream(derive(hello.key, b"bai caller to daemon", *seen), True)
        return incoming.open(answer[2]), outgoing, incoming


class Proxy:
    """Sits between callers and the controller. change(from_caller, data, count) returns what goes on instead of data: bytes, or None to cut."""

    def __init__(self, cluster, change=lambda _, data, __: data):
        self.change, self.seen = change, []
        self.port = next(int(line.split("=")[1]) for line in open(cluster.conf, encoding="utf-8") if line.startswith("CtldPort="))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.conf = cluster.path(f"proxy-{self.listener.getsockname()[1]}.conf")
        with open(cluster.conf, encoding="utf-8") as f, open(self.conf, "w", encoding="utf-8") as out:
            out.write(f.read().replace(f"CtldPort={self.port}", f"CtldPort={self.listener.getsockname()[1]}"))
        os.chmod(self.conf, 0o644)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.port))
            for source, target, outward in ((near, far, True), (far, near, False)):
                threading.Thread(target=self._pump, args=(source, target, outward), daemon=True).start()

    def _pump(self, source, target, outward):
        count = 0
        try:
            while data := source.recv(1 << 16):
                self.seen.append((outward, data))
                data = self.change(outward, data, count)
                count += 1
                if data is None:
                    break
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()

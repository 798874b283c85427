"""What the cluster tests share: private clusters with real daemons, commands, and waiting for what should come.

A test file makes one Cluster and decorates functions with @test; run_tests(cluster) runs them in order and reports
`ok NAME`, `not ok NAME: why` or `skip NAME: why`, as tests/run reads it. Standard library only.
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

BIN = os.environ.get("BAI_BIN", os.path.join(os.path.dirname(__file__), "../../build/bin"))
BIN = os.path.abspath(BIN)
SLOW = 5 if os.environ.get("BAI_SANITIZE") else 1
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "OUT_OF_MEMORY", "DEADLINE", "BOOT_FAIL")
IS_ROOT = os.geteuid() == 0

# What a shell starts in the background or under nohup ignores these, and whatever is started here would, too.
signal.signal(signal.SIGINT, signal.default_int_handler)
for ignored in (signal.SIGQUIT, signal.SIGHUP):
    signal.signal(ignored, signal.SIG_DFL)


class Skip(Exception):
    """This test cannot run here; says why."""


class Failed(AssertionError):
    """What was expected did not happen."""


def check(condition, why=""):
    if not condition:
        raise Failed(why or "check failed")


def equal(got, wanted, what="value"):
    if got != wanted:
        raise Failed(f"{what}: got {got!r}, wanted {wanted!r}")


def need_root():
    if not IS_ROOT:
        raise Skip("needs root")


def program(name):
    """Path of one of our programs; skips the test while there is none."""
    path = os.path.join(BIN, name)
    if not os.access(path, os.X_OK):
        raise Skip(f"there is no {name}")
    return path


def await_true(probe, what, timeout=20.0, pause=0.02):
    """Asks probe() until it gives something true, and returns that."""
    deadline = time.monotonic() + timeout * SLOW
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failed(f"waited {timeout * SLOW:.0f} s for {what}")
        time.sleep(pause)


def alive(pid):
    """Whether the process runs (a zombie does not)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            return f.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def processes(word):
    """{pid: command line} of running processes whose command line holds the word."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as f:
                    line = f.read().replace(b"\0", b" ").decode(errors="replace").strip()
            except OSError:
                continue
            if word in line and alive(entry):
                found[int(entry)] = line
    return found


class Cluster:
    """One private cluster below TMPDIR, and a work directory that is writable for everybody."""

    def __init__(self, nodes=2, cpus=4, memory="2G", store="sqlite", options=(), emulate=False):
        self.top = tempfile.mkdtemp(prefix="c")
        os.chmod(self.top, 0o755)
        self.dir = os.path.join(self.top, "d")
        self.work = os.path.join(self.top, "w")
        os.mkdir(self.work)
        os.chmod(self.work, 0o1777)
        self.conf = os.path.join(self.dir, "bai.conf")
        self.options = ["--emulate" if emulate else "--nodes", str(nodes), "--cpus", str(cpus), "--memory", memory, "--store", store, *options]
        self.streams = []  # of submissions; they end before the cluster does
        self.nodes = [f"n{i:0{len(str(nodes)) if emulate else 1}}" for i in range(1, nodes + 1)]
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("BAI_", "SLURM_", "SBATCH_", "SQUEUE_"))}
        self.env.update(PATH=BIN + ":" + os.environ["PATH"], BAI_CONF=self.conf)

    # --- the daemons ---

    def up(self, crash=None, settings=()):
        """Starts the cluster, or whatever of it is not running. `crash`: BAI_CRASH_POINT for what is started now."""
        env = dict(self.env)
        if crash:
            env["BAI_CRASH_POINT"] = crash
        done = subprocess.run([os.path.join(BIN, "bai-cluster"), "up", "--dir", self.dir, *self.options], env=env, text=True,
                              capture_output=True, timeout=60 * SLOW, check=False)
        if done.returncode:
            raise Failed(f"bai-cluster up: {done.stderr.strip()}")
        if settings:
            self.configure(*settings)
        return done.stdout

    def configure(self, *lines):
        with open(self.conf, "a", encoding="utf-8") as f:
            f.write("".join(line + "\n" for line in lines))
        self.run("bai-control", "reconfigure")

    def down(self):
        for stream in self.streams:
            stream.stop()
        if os.path.exists(os.path.join(self.dir, "settings")):
            done = subprocess.run([os.path.join(BIN, "bai-cluster"), "down", "--dir", self.dir], env=self.env, text=True,
                                  capture_output=True, timeout=60 * SLOW, check=False)
            if done.returncode:
                raise Failed(f"bai-cluster down: {done.stderr.strip()}")

    def remove(self):
        shutil.rmtree(self.top, ignore_errors=True)

    def pid(self, name):
        """Of "ctld", "n1", "munged", "postgres"; 0 if it does not run."""
        try:
            with open(os.path.join(self.dir, "run", name + ".pid"), encoding="utf-8") as f:
                pid = int(f.read())
        except (OSError, ValueError):
            return 0
        return pid if alive(pid) else 0

    def kill(self, name, signum=signal.SIGKILL):
        pid = self.pid(name)
        check(pid, f"{name} does not run")
        os.kill(pid, signum)
        self.await_end(pid)
        return pid

    @staticmethod
    def await_end(pid, timeout=20.0):
        await_true(lambda: not alive(pid), f"the end of process {pid}", timeout, 0.005)

    def shepherds(self, job=None):
        """{pid: command line} of bai-stepd of this cluster, or of one job."""
        found = {pid: line for pid, line in processes("bai-stepd").items() if self.dir + "/agents/" in line}
        if job is None:
            return found
        return {pid: line for pid, line in found.items() if f"/{job}." in line or f"/{job}-" in line or f"/{job}/" in line}

    def log(self, name):
        try:
            with open(os.path.join(self.dir, "log", name + ".log"), encoding="utf-8", errors="replace") as f:
                return f.read()
        except OSError:
            return ""

    # --- commands ---

    def run(self, *words, ok=True, stdin="", cwd=None, env=None, user=None, timeout=60):
        """A command; `ok`: it must succeed (None: whatever). `user`: (uid, gid) to run it as, by setpriv."""
        words = list(words)
        if user:
            words = ["setpriv", f"--reuid={user[0]}", f"--regid={user[1]}", "--clear-groups", "--", *words]
        done = subprocess.run(words, env=dict(self.env, **(env or {})), cwd=cwd or self.work, input=stdin, text=True,
                              capture_output=True, timeout=timeout * SLOW, check=False)
        if ok is not None and (done.returncode == 0) != ok:
            raise Failed(f"{' '.join(words)}: exit status {done.returncode}: {(done.stderr or done.stdout).strip()}")
        return done

    def submit(self, *words, script=None, **more):
        """bai-submit; the job's id. `script`: text given on stdin."""
        if script is not None and not script.startswith("#!"):
            script = "#!/bin/sh\n" + script
        return int(self.run("bai-submit", "--parsable", *words, stdin=script or "", **more).stdout)

    def queue(self, *words, states="all"):
        """bai-queue's jobs, finished ones too."""
        out = self.run("bai-queue", "--json", f"--states={states}", *words).stdout
        return json.loads(out)["jobs"]

    def job(self, ref):
        """One job ("7", "7_2"); None when it is not in the queue."""
        done = self.run("bai-queue", "--json", "--states=all", f"--jobs={ref}", ok=None)
        if done.returncode:
            if "no_such_job" in done.stderr:
                return None
            raise Failed(f"bai-queue: {done.stderr.strip()}")
        for job in json.loads(done.stdout)["jobs"]:
            if job["display_id"] == str(ref) or str(job["job_id"]) == str(ref):
                return job
        return None

    def await_state(self, ref, states, timeout=20.0):
        """Waits until the job is in one of the states; fails at once when it has ended otherwise."""
        states = (states,) if isinstance(states, str) else tuple(states)
        last = None

        def probe():
            nonlocal last
            last = self.job(ref)
            if not last:
                return None
            if last["state"] in states:
                return last
            if last["state"] in ENDED:
                raise Failed(f"job {ref} is {last['state']} ({last['reason']} {last.get('detail', '')}), wanted {'/'.join(states)}")
            return None

        try:
            return await_true(probe, f"job {ref} to be {'/'.join(states)}", timeout, 0.03)
        except Failed as failed:
            if last and "waited" in str(failed):
                raise Failed(f"{failed}; it is {last['state']} ({last['reason']} {last.get('detail', '')})") from None
            raise

    def await_end_of(self, ref, timeout=30.0):
        return self.await_state(ref, ENDED, timeout)

    def path(self, name):
        return os.path.join(self.work, name)

    def read(self, name):
        with open(self.path(name), encoding="utf-8", errors="replace") as f:
            return f.read()

    def await_text(self, name, text, timeout=20.0):
        """Waits until a file of the work directory holds the text: a job says so that it is somewhere."""
        def probe():
            try:
                return text in self.read(name)
            except OSError:
                return False
        await_true(probe, f"{text!r} in {name}", timeout)

    def accounting(self):
        """{job id: [records]} of everything that the store knows: what runs and what ended."""
        rows = json.loads(self.run("bai-acct", "--allusers", "--allocations", "--starttime=now-1days", "--json").stdout)["jobs"]
        out = {}
        for row in rows:
            out.setdefault(row["job_id"], []).append(row)
        return out


TESTS = []


def test(function):
    """Registers a test: function(cluster)."""
    TESTS.append(function)
    return function


def report(kind, name, why=""):
    why = " ".join(str(why).split())
    print(f"{kind} {name}" + (f": {why[:600]}" if why else ""), flush=True)


def show_logs(cluster):
    folder = os.path.join(cluster.dir, "log")
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as f:
            print(f"--- {name}", *f.read().splitlines()[-8:], sep="\n", flush=True)


def heal(cluster):
    """After a failure: all daemons run and no job is left, so that one failure does not make more of them."""
    try:
        cluster.up()
        cluster.run("bai-cancel", "--state=PENDING", ok=None)
        for state in ("RUNNING", "SUSPENDED"):
            cluster.run("bai-cancel", f"--state={state}", ok=None)
        await_true(lambda: not cluster.queue(states="PENDING,RUNNING,SUSPENDED,COMPLETING"), "an empty queue")
    except (Failed, subprocess.SubprocessError) as error:
        print(f"    not healed: {error}", flush=True)


def run_tests(cluster=None, settings=(), only=None):
    """Runs what @test has registered, or those named on the command line, in one cluster that is brought up first and taken down at the end."""
    failed = 0
    wanted = sys.argv[1:]
    try:
        if cluster is not None:
            try:
                cluster.up(settings=settings)
            except Skip as skip:
                report("skip", "all", skip)
                return 0
            except (Failed, subprocess.SubprocessError) as error:
                report("not ok", "start", error)
                show_logs(cluster)
                return 1
        for function in only or TESTS:
            name = function.__name__
            if wanted and not any(word in name for word in wanted):
                continue
            began = time.monotonic()
            try:
                function(cluster)
                report("ok", name)
            except Skip as skip:
                report("skip", name, skip)
            except Exception as error:  # pylint: disable=broad-except
                failed += 1
                report("not ok", name, f"{type(error).__name__}: {error}")
                if not isinstance(error, Failed):
                    traceback.print_exc(file=sys.stdout)
                if cluster is not None:
                    show_logs(cluster)
                    heal(cluster)
            if os.environ.get("BAI_TEST_TIMES"):
                print(f"    {name}: {time.monotonic() - began:.1f} s", flush=True)
    finally:
        if cluster is not None:
            try:
                cluster.down()
            except Exception as error:  # pylint: disable=broad-except
                failed += 1
                report("not ok", "end", error)
                show_logs(cluster)
            cluster.remove()
    return 1 if failed else 0

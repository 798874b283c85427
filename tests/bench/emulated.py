"""What the controller bears with ten thousand virtual nodes (bai-agentd --emulate): jobs of no time at all, so all that is measured is what
bai itself does for a job, from its submission in bulk to its end. The emulator runs on the same machine and takes its part of it."""
import json
import os
import random
import statistics
import subprocess
import time

HZ = os.sysconf("SC_CLK_TCK")
LINE = json.dumps({"script": "#!/bin/sh\n", "output": "/dev/null", "mem": "100M", "comment": "emulate:0"}) + "\n"


def cpu_s(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / HZ


def rss_mib(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) / 1024


class Emulated:
    """A private cluster of virtual nodes."""

    def __init__(self, bin_dir, work, nodes, *settings):
        self.dir = os.path.join(work, "emulated")
        self.cluster = os.path.join(bin_dir, "bai-cluster")
        self.env = dict(os.environ, BAI_CONF=self.dir + "/bai.conf", PATH=bin_dir + ":" + os.environ["PATH"])
        begun = time.perf_counter()
        self.run(self.cluster, "up", "--emulate", str(nodes), "--cpus", "64", "--memory", "256G", "--dir", self.dir)
        self.up_s = time.perf_counter() - begun
        if settings:
            with open(self.dir + "/bai.conf", "a") as f:
                f.write("".join(line + "\n" for line in settings))
            self.run("bai-control", "reconfigure")
        time.sleep(2)  # its first heartbeats

    def run(self, *words, stdin=None):
        return subprocess.run(words, env=self.env, input=stdin, check=True, text=True, stdout=subprocess.PIPE).stdout

    def down(self):
        self.run(self.cluster, "down", "--dir", self.dir)

    def pid(self, name):
        with open(f"{self.dir}/run/{name}.pid") as f:
            return int(f.read())

    def jobs(self, n):
        """Submits n jobs at once; seconds until the last of them has ended."""
        begun = time.perf_counter()
        taken = self.run("bai-submit", "--bulk", "-", stdin=LINE * n).count("\n")
        assert taken == n, taken
        while self.run("bai-queue", "-h", "-t", "pending,configuring,running,completing", "-o", "%i"):
            time.sleep(0.05)
        return time.perf_counter() - begun


def throughput(bin_dir, work, report, nodes=10_000, n=60_000):
    cluster = Emulated(bin_dir, work, nodes)
    try:
        report(f"{nodes:,} virtual nodes, made and registered", cluster.up_s, "s")
        cluster.jobs(2_000)
        ctld, emulator = cluster.pid("ctld"), cluster.pid("emulator")
        before = cpu_s(ctld), cpu_s(emulator)
        took = cluster.jobs(n)
        report(f"{n:,} jobs of 0 s on them, bulk, first submission to last end", n / took, "/s", target="3,750")
        report("  the controller's CPU each", (cpu_s(ctld) - before[0]) / n * 1e6, "us")
        report("  the emulator's", (cpu_s(emulator) - before[1]) / n * 1e6, "us")
        time.sleep(3)
        before = cpu_s(ctld)
        time.sleep(10)
        report("the controller's CPU when idle", (cpu_s(ctld) - before) * 10, "%")
    finally:
        cluster.down()


def life(bin_dir, work, report, nodes=10_000, total=1_000_000, wave=20_000):
    """One controller's life: the rate of the last waves of jobs against the first, and its memory. Ended jobs leave after 10 s."""
    cluster = Emulated(bin_dir, work, nodes, "MinJobAge=10")
    rates, memory = [], []
    try:
        ctld = cluster.pid("ctld")
        for done in range(0, total, wave):
            rates.append(wave / cluster.jobs(wave))
            memory.append(rss_mib(ctld))
            print(f"    {done + wave:>9,} jobs: {rates[-1]:>7,.0f}/s, controller {memory[-1]:,.0f} MiB", flush=True)
        few = max(1, min(5, len(rates) // 3))
        first, last = statistics.median(rates[:few]), statistics.median(rates[-few:])
        report(f"rate after {total:,} jobs against the first {few * wave:,}", last / first * 100, "%", target="95")
        report(f"  controller's memory after the first {total // 2:,}", memory[len(memory) // 2 - 1], "MiB")
        report("  and at the end", memory[-1], "MiB", target="flat")
    finally:
        cluster.down()


def full(cluster, running, waiting, shapes):
    """Jobs that hold most of all nodes, of 2 to 30 minutes, and others of many shapes that wait."""
    rng = random.Random(7)
    line = lambda **fields: json.dumps({"script": "#!/bin/sh\n", "output": "/dev/null", "mem": "100M", **fields}) + "\n"
    cluster.run("bai-submit", "--bulk", "-", stdin="".join(
        line(cpus_per_task=10, time=rng.randrange(40, 600), comment=f"emulate:{rng.randrange(120, 1800)}") for _ in range(running)))
    kinds = [line(cpus_per_task=rng.randrange(5, 65), time=rng.randrange(10, 2000), comment="emulate:600") if i % 4 else
             line(nodes=2 ** rng.randrange(1, 8), cpus_per_task=rng.randrange(5, 65), time=rng.randrange(10, 2000), comment="emulate:600")
             for i in range(shapes)]
    taken = cluster.run("bai-submit", "--bulk", "-", stdin="".join(rng.choice(kinds) for _ in range(waiting)))
    assert taken.count("\n") == waiting, taken[-300:]


def busy(bin_dir, work, report, nodes=10_000, running=60_000, waiting=100_000, shapes=2_000):
    """Questions and submissions while a full queue is planned anew each second, 100 starts of it."""
    cluster = Emulated(bin_dir, work, nodes, "BackfillInterval=1", "PlannedStarts=100")
    try:
        full(cluster, running, waiting, shapes)
        time.sleep(10)
        cluster.run("bai-diag", "--reset")
        rng = random.Random(8)

        def milliseconds(*words):
            begun = time.perf_counter()
            cluster.run(*words)
            return (time.perf_counter() - begun) * 1e3

        pending = [int(i) for i in cluster.run("bai-queue", "-h", "-t", "pending", "-o", "%i").split()]
        assert len(pending) > waiting * 0.9, len(pending)
        asked = sorted(milliseconds("bai-why", str(rng.choice(pending))) for _ in range(100))
        report(f"bai-why, {waiting:,} waiting on {nodes:,} nodes, median", asked[len(asked) // 2], "ms")
        report("  longest of 100", asked[-1], "ms", target="100")
        script = os.path.join(work, "one.sh")
        with open(script, "w") as f:
            f.write("#!/bin/sh\n")
        taken = sorted(milliseconds("bai-submit", "-Q", "-o", "/dev/null", "--comment=emulate:600", "-c", str(rng.randrange(5, 65)), script)
                       for _ in range(1000))
        report("a submission while full passes run, median", taken[len(taken) // 2], "ms")
        report("  p99", taken[len(taken) * 99 // 100], "ms", target="20")
        metrics = {m["name"]: m["value"] for m in json.loads(cluster.run("bai-diag", "--json"))["metrics"] if m["group"] == "scheduler"}
        report("  the longest pass of the scheduler", metrics["pass_max"] / 1e3, "ms")
    finally:
        cluster.down()

"""Steps: how long they take to start, how fast their output comes, what their shepherds cost; beside srun's where a Slurm is there."""
import os
import socket
import statistics
import subprocess
import threading
import time

GIB = 1 << 30
SAMPLED = 500  # steps that run at once
WATCH_S = 60   # four and more looks at each


def command_ms(c, words, n):
    """Median milliseconds of one command, started without a shell."""
    times = []
    for i in range(n + 1):
        begun = time.perf_counter()
        subprocess.run(words, env=c.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        if i:  # the first warms up
            times.append((time.perf_counter() - begun) * 1e3)
    return statistics.median(times)


def starts(bai, slurm, report):
    for name, words, n in (("`bai-run true`, idle, median", ["true"], 30),
                           ("`bai-run -N4 -n64 hostname`, median", ["-N4", "-n64", "hostname"], 15)):
        mine, theirs = [], []
        for _ in range(3):  # in turns
            mine.append(command_ms(bai, ["bai-run", *words], n))
            if slurm:
                theirs.append(command_ms(slurm, ["srun", *words], n))
        a, b = statistics.median(mine), statistics.median(theirs) if theirs else None
        report(name, a, "ms", b, b / a if b else None, "ratio 3")


def many_rate(c, run, alloc, count):
    """Steps a second of one allocation, eight clients at a time."""
    inner = (f"begun=$EPOCHREALTIME; seq {count} | xargs -P8 -I@ {run} -N1 -n1 --exact true || exit 1; "
             "echo $begun $EPOCHREALTIME")
    done = subprocess.run([*alloc, "-N1", "-n8", "bash", "-c", inner], env=c.env, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=True)
    begun, ended = (float(word) for word in done.stdout.split()[-2:])
    return count / (ended - begun)


def many(bai, slurm, report):
    mine, theirs = [], []
    for _ in range(3):
        mine.append(many_rate(bai, "bai-run", ["bai-alloc", "-Q"], 1000))
        if slurm:
            theirs.append(many_rate(slurm, "srun", ["salloc", "-Q"], 1000))
    a, b = statistics.median(mine), statistics.median(theirs) if theirs else None
    report("1,000 steps of `true` in one allocation, 8 at a time", a, "/s", b, a / b if b else None, "ratio 5")


def cat_s(source, target):
    """`cat` through a pipe and a socket into a file."""
    with socket.create_server(("127.0.0.1", 0)) as server, open(target, "wb", buffering=0) as out:
        port = server.getsockname()[1]

        def receive():
            conn, _ = server.accept()
            space = memoryview(bytearray(1 << 20))
            while n := conn.recv_into(space):
                out.write(space[:n])

        begun = time.perf_counter()
        receiver = threading.Thread(target=receive)
        receiver.start()
        subprocess.run(["bash", "-c", f"cat {source} | cat >/dev/tcp/127.0.0.1/{port}"], check=True)
        receiver.join()
        return time.perf_counter() - begun


def output(bai, work, report):
    source, target = os.path.join(work, "gib"), os.path.join(work, "gib.out")
    with open(source, "wb") as f:
        for _ in range(1024):
            f.write(os.urandom(1 << 20))
    mine, theirs = [], []
    for _ in range(5):  # into a new file each: to empty an old one takes its own time
        with open(target, "wb") as out:
            begun = time.perf_counter()
            subprocess.run(["bai-run", "cat", source], env=bai.env, stdout=out, check=True)
            mine.append(time.perf_counter() - begun)
        assert os.path.getsize(target) == GIB
        os.unlink(target)
        theirs.append(cat_s(source, target))
        assert os.path.getsize(target) == GIB
        os.unlink(target)
    with open(target, "wb") as out:
        subprocess.run(["bai-run", "cat", source], env=bai.env, stdout=out, check=True)
    assert subprocess.run(["cmp", source, target], check=False).returncode == 0
    os.unlink(source)
    os.unlink(target)
    a, b = statistics.median(mine), statistics.median(theirs)
    report("1 GiB of a step's output to a file by the client", a, "s", b, a / b, "1.5 times `cat` (the other column)")


def shepherd_pids(directory):
    """The shepherds of the steps of one cluster; they are named `bai-stepd DIR`."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as f:
                    words = f.read().split(b"\0")
            except OSError:
                continue
            if words[0].endswith(b"bai-stepd") and len(words) > 1 and b"/attempts/" in words[1] and words[1].startswith(directory.encode()):
                found.append(int(entry))
    return found


def memory_kib(pid, key):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(key + ":"))


def cpu_s(pids):
    """To the nanosecond: what a shepherd spends in a minute is less than a tick."""
    total = 0
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as f:
                total += int(f.read().split()[0])
    return total / 1e9


def shepherds(bai, report):
    """What the shepherds of many long steps and the agents cost: memory of each, processor of all."""
    conf = os.path.join(bai.dir, "bai.conf")
    with open(conf, "a", encoding="utf-8") as f:
        f.write("JobAcctGatherFrequency=10\n")
    subprocess.run(["bai-control", "reconfigure"], env=bai.env, check=True, stdout=subprocess.DEVNULL)
    inner = f"for i in $(seq {SAMPLED}); do bai-run -N1 -n1 --overlap --overcommit sleep 1000 & done; wait"
    holder = subprocess.Popen(["bai-alloc", "-Q", "-w", "n1", "-N1", "-n64", "bash", "-c", inner], env=bai.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while len(steps := shepherd_pids(bai.dir)) < SAMPLED:
            assert holder.poll() is None, "the allocation ended"
            time.sleep(0.5)
        report("memory of one bai-stepd, resident, median", statistics.median(memory_kib(p, "Rss") for p in steps) / 1024, "MiB", target="4")
        report("  its share (what is shared divided)", statistics.median(memory_kib(p, "Pss") for p in steps) / 1024, "MiB")
        with open(f"{bai.dir}/run/n1.pid", encoding="ascii") as f:
            agent = [int(f.read())]
        time.sleep(30)  # the first looks come sooner than the later ones
        before = cpu_s(agent), cpu_s(steps)
        time.sleep(WATCH_S)
        after = cpu_s(agent), cpu_s(steps)
        report(f"agent with {SAMPLED} steps sampled each 10 s", (after[0] - before[0]) / WATCH_S * 100, "% core", target="2")
        report("  and their shepherds", (after[1] - before[1]) / WATCH_S * 100, "% core")
    finally:
        holder.terminate()
        holder.wait()

#!/usr/bin/env python3
"""bai-sim: small traces with known results, broken ones, and the published figures where the traces are at hand (../shared/traces)."""
import gzip
import json
import os
import subprocess
import sys
import tempfile
import xml.dom.minidom

from bai import Skip, check, equal, program, run_tests, test

SRC = os.environ.get("BAI_SRC") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DATA = os.path.join(SRC, "tests/data/traces")
SHARED = os.path.join(SRC, "../shared/traces")
SMALL = os.path.join(DATA, "small.swf")
ODD_FIELD = "1 0 -1 abc 1 -1 -1 1 10 -1 1 1 1 -1 -1 -1 -1 -1\n"
CONF = """ClusterName=sim
CtldHost=localhost
BaiUser=0
NodeName=n[1-{nodes}] CPUs=2
PartitionName=all Nodes=ALL Default=YES
"""


def sim(*words, status=0):
    done = subprocess.run([program("bai-sim"), *words], text=True, capture_output=True, timeout=280, check=False)
    equal(done.returncode, status, f"exit status of {words} ({done.stderr.strip()[:300]})")
    return done


def figures(*words):
    return json.loads(sim(*words, "--json").stdout)


def shared(name):
    path = os.path.join(SHARED, name)
    if not os.path.exists(path):
        raise Skip(f"there is no ../shared/traces/{name}")
    return path


def scratch(name, text):
    path = os.path.join(tempfile.mkdtemp(), name)
    with open(path, "wb") as f:
        f.write(text if isinstance(text, bytes) else text.encode())
    return path


@test
def policies_differ_as_worked_out_by_hand(_):
    for policy, mean, longest in [("fcfs", 78.5, 108), ("easy", 51.5, 107), ("easy-exact", 37.0, 99)]:
        got = figures("run", SMALL, "--procs", "4", "--policy", policy)
        equal((got["jobs"], got["mean_wait_s"], got["max_wait_s"]), (4, mean, longest), policy)
    for key in ["jobs", "avebsld", "mean_wait_s", "p95_wait_s", "max_wait_s", "utilization", "makespan_s", "passes", "seconds"]:
        check(key in got, f"no {key}")


@test
def the_header_says_how_large_the_machine_is(_):
    equal(figures("run", SMALL, "--policy", "easy")["cpus"], 4, "cpus")
    with open(SMALL, encoding="utf-8") as f:
        unsaid = scratch("t.swf", f.read().replace("MaxProcs", "MaxProce"))
    check("--procs" in sim("run", unsaid, status=2).stderr)


@test
def the_table_says_the_same(_):
    table = [line.split() for line in sim("run", SMALL, "--policy", "easy").stdout.splitlines()]
    for line in [["jobs", "4"], ["wait,", "mean", "51.5", "s"], ["wait,", "longest", "107", "s", "1:47"]]:
        check(line in table, f"no {line} in {table}")


@test
def gzip_makes_no_difference(_):
    with open(SMALL, "rb") as f:
        packed = scratch("small.swf.gz", gzip.compress(f.read()))
    equal(figures("run", packed)["mean_wait_s"], figures("run", SMALL)["mean_wait_s"], "mean wait")
    with open(packed, "rb") as f:
        cut = scratch("cut.swf.gz", f.read()[:-20])
    check("cut.swf.gz" in sim("run", cut, status=1).stderr)


@test
def a_configuration_is_a_cluster(_):
    conf = scratch("bai.conf", CONF.format(nodes=2))
    got = figures("run", SMALL, "--conf", conf, "--policy", "easy")
    equal((got["cpus"], got["mean_wait_s"]), (4, 51.5), "figures")
    small = scratch("small.conf", CONF.format(nodes=1))
    done = sim("run", SMALL, "--conf", small)
    check("2 jobs can never run there" in done.stderr, done.stderr)


@test
def a_change_is_compared_before_it_is_made(_):
    a, b = scratch("a.conf", CONF.format(nodes=2)), scratch("b.conf", CONF.format(nodes=4))
    got = figures("compare", a, b, SMALL)
    equal((got["a"]["cpus"], got["b"]["cpus"], got["jobs_sooner"], got["jobs_later"]), (4, 8, 2, 0), "comparison")
    table = sim("compare", a, b, SMALL).stdout
    check("a.conf" in table and "b.conf" in table and "2 jobs start sooner" in table, table)


@test
def broken_lines_are_named(_):
    with open(SMALL, encoding="utf-8") as f:
        path = scratch("broken.swf", ODD_FIELD + f.read() + "5 3 -1 30\n")
    done = sim("run", path, "--json")
    check(f"{path}:1: 'abc' is no number for field 4; left out" in done.stderr, done.stderr)
    check(f"{path}:11: it has 4 fields, not 18; left out" in done.stderr, done.stderr)
    got = json.loads(done.stdout)
    equal((got["jobs"], got["broken_lines"]), (4, 2), "figures")
    strict = sim("run", path, "--strict", "--json", status=1)
    equal(json.loads(strict.stderr)["error"]["place"], f"{path}:1", "place")


@test
def what_is_typed_wrong_is_told(_):
    for words, what in [(["run"], "which trace"), (["rum", SMALL], "'rum'"), ([], "what shall it do"),
                        (["run", SMALL, "--policy", "easi"], "'easi'"), (["run", SMALL, "--procs", "0"], "--procs"),
                        (["run", SMALL, "--placement", "x"], "'x'"), (["run", SMALL, "--seeds", "3"], "--seeds"),
                        (["run", SMALL, "--procs", "4", "--conf", "x"], "one cluster"), (["fill"], "table of nodes"),
                        (["compare", SMALL], "two configurations")]:
        check(what in sim(*words, status=2).stderr, f"{words}")
    for words in [["run", "/no/such/file"], ["run", "/dev/null"], ["run", "/"], ["replay", SMALL], ["replay", "/no/such/file"],
                  ["run", SMALL, "--conf", "/no/such/file"]]:
        sim(*words, status=1)


@test
def a_picture_is_sound(_):
    path = scratch("p.svg", "")
    sim("run", SMALL, "--plot", path)
    picture = xml.dom.minidom.parse(path)
    words = [t.firstChild.data for t in picture.getElementsByTagName("text") if t.firstChild]
    for wanted in ["small.swf", "default", "CPUs in use", "Jobs waiting", "100%"]:
        check(wanted in words, f"no {wanted!r} among {words}")
    check(len(picture.getElementsByTagName("path")) >= 3, "no curves")
    a, b = scratch("a.conf", CONF.format(nodes=2)), scratch("b<&.conf", CONF.format(nodes=4))
    sim("compare", a, b, SMALL, "--plot", path)
    check("b<&.conf" in [t.firstChild.data for t in xml.dom.minidom.parse(path).getElementsByTagName("text")])


@test
def pods_fill_gpus(_):
    words = ["fill", "--nodes", f"{DATA}/openb_nodes.csv", "--pods", f"{DATA}/openb_pods.csv", "--placement", "concentrated"]
    got = figures(*words, "--seeds", "3")
    equal((got["gpus"], got["seeds"], got["percent"]), (10, 3, got["allocated_at_130"]), "figures")
    check(0 < got["allocated_at_100"] <= got["allocated_at_130"] <= 100, f"{got}")
    again = figures(*words, "--seeds", "3")
    equal(again["allocated_at_130"], got["allocated_at_130"], "again")
    check("GPUs" in sim(*words, "--seeds", "1").stdout)


@test
def pods_run_as_a_trace(_):
    got = figures("run", f"{DATA}/openb_pods.csv", "--nodes", f"{DATA}/openb_nodes.csv")
    equal((got["jobs"], got["max_wait_s"], got["makespan_s"]), (5, 0, 4000), "figures")
    check(0 < got["gpu_utilization"] < 1)


@test
def kth_sp2_is_as_published(_):
    trace = shared("KTH-SP2.swf.gz")
    for policy, avebsld, mean in [("easy", 92.58, 6837), ("easy-exact", 71.72, 6328), ("easy-sjbf", 69.41, None), ("conservative", 89.00, 7311), ("fcfs", 6814.97, 353776)]:
        got = figures("run", trace, "--procs", "100", "--policy", policy)
        equal((got["jobs"], round(got["avebsld"], 2)), (28481, avebsld), policy)
        if mean:
            equal(round(got["mean_wait_s"]), mean, policy)


@test
def the_default_policy_is_better_than_the_published_ones(_):
    got = figures("run", shared("KTH-SP2.swf.gz"), "--procs", "100")
    equal((got["jobs"], round(got["avebsld"], 2), got["max_wait_s"]), (28481, 44.74, 241261), "default")


@test
def gpus_are_filled_better_than_published(_):
    nodes, pods = shared("openb_nodes_gpu.csv.gz"), shared("openb_pods_default.csv.gz")
    got = figures("fill", "--nodes", nodes, "--pods", pods, "--seeds", "1")
    equal((round(got["allocated_at_100"], 2), round(got["allocated_at_130"], 2)), (95.82, 95.90), "shares of the first order")


if __name__ == "__main__":
    sys.exit(run_tests())

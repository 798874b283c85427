#!/usr/bin/env python3
"""HealthCheckProgram on real agents: it runs before a node registers and again and again; it drains the node itself, or by its failure."""
import os
import sys

from bai import Cluster, await_true, check, equal, run_tests, test


def program(c, text):
    """Replaces the site's program; each agent's next run has it."""
    fresh = c.path("health.new")
    with open(fresh, "w", encoding="utf-8") as f:
        f.write(f'#!/bin/sh\n{text}\necho run >> "{c.work}/health-$BAI_NODE_NAME"\n')
    os.chmod(fresh, 0o755)
    os.rename(fresh, c.path("health"))


def runs(c, node):
    try:
        return c.read("health-" + node).count("run\n")
    except OSError:
        return 0


@test
def runs_before_the_node_registers_and_again(c):
    program(c, "")
    c.up(settings=(f"HealthCheckProgram={c.path('health')}", "HealthCheckInterval=1"))
    c.run("bai-cluster", "down", "--keep", "--dir", c.dir)
    program(c, f'first="{c.work}/first-$BAI_NODE_NAME"; [ -e "$first" ] || bai-info -h -N -n "$BAI_NODE_NAME" -o "%T" > "$first"')
    c.up()
    for node in c.nodes:
        await_true(lambda n=node: runs(c, n) > 2, f"more runs on {node}")
        check(c.read("first-" + node).strip().rstrip("*") == "unknown", f"{node} was {c.read('first-' + node)!r} at its first run")


@test
def drains_the_node_itself(c):
    program(c, '[ "$SLURMD_NODENAME" != n1 ] || [ -e "$0.drained" ] || { bai-control drain "$BAI_NODE_NAME" "no /scratch" && : > "$0.drained"; }')
    await_true(lambda: "no /scratch" in c.run("bai-info", "-h", "-R").stdout, "the drain")
    equal(c.run("bai-info", "-h", "-N", "-o", "%N %t").stdout, "n1 drain\nn2 idle\n", "nodes")
    c.run("bai-control", "resume", "n1")


def reason(c, node):
    return c.run("bai-control", "show", "node", node).stdout.partition("Reason=")[2].partition("[")[0].strip()


def resume(c):
    """With a program that is content: it began after those that were not had ended."""
    program(c, "")
    before = [runs(c, node) for node in c.nodes]
    await_true(lambda: all(runs(c, n) > b + 1 for n, b in zip(c.nodes, before)), "two content runs")
    for node in c.nodes:
        c.run("bai-control", "resume", node, ok=None)


@test
def its_failure_drains_the_node_for_what_it_said_last(c):
    program(c, "echo looking; echo the disk is odd; exit 3")
    await_true(lambda: c.run("bai-info", "-h", "-N", "-o", "%t").stdout == "drain\ndrain\n", "the drain")
    equal([reason(c, node) for node in c.nodes], ["the disk is odd"] * 2, "reasons")
    line = [line for line in c.log("n1").splitlines() if "HealthCheckProgram failed" in line][-1]
    check("exit status 3" in line and "the disk is odd" in line, line)
    program(c, "")
    before = runs(c, "n1")
    await_true(lambda: runs(c, "n1") > before + 1, "content runs")
    equal(c.run("bai-info", "-h", "-N", "-o", "%t").stdout, "drain\ndrain\n", "nodes that nobody has resumed")
    resume(c)
    equal(c.run("bai-info", "-h", "-N", "-o", "%t").stdout, "idle\nidle\n", "nodes")
    c.await_state(c.submit("-N", "2", "-o", "/dev/null", script="true"), "COMPLETED")


@test
def a_reason_of_its_own_stays(c):
    program(c, '[ "$BAI_NODE_NAME" != n2 ] || { bai-control drain n2 "no /scratch"; echo odd; exit 1; }')
    await_true(lambda: "HealthCheckProgram failed" in c.log("n2"), "the failure")
    await_true(lambda: reason(c, "n2"), "the drain")
    equal(reason(c, "n2"), "no /scratch", "reason")
    resume(c)


@test
def one_that_never_ends_stops_nothing(c):
    program(c, f'echo began >> "{c.work}/began-$BAI_NODE_NAME"; exec sleep 600')
    for node in c.nodes:
        c.await_text("began-" + node, "began")
    c.await_state(c.submit("-N", "2", "-o", "/dev/null", script="sleep 1.2"), "COMPLETED")
    equal(c.run("bai-info", "-h", "-N", "-o", "%t").stdout, "idle\nidle\n", "nodes")
    equal([c.read("began-" + node) for node in c.nodes], ["began\n"] * 2, "none began while one ran")


if __name__ == "__main__":
    sys.exit(run_tests(Cluster(nodes=2)))

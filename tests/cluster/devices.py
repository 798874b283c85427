#!/usr/bin/env python3
"""Devices and the network: GPUs and shares of them, other counted things, switches, constraints with counts, how queues are worked off."""
import re
import sys

from bai import Cluster, check, equal, run_tests, test


def rewrite(c, change):
    with open(c.conf, encoding="utf-8") as f:
        text = change(f.read())
    with open(c.conf, "w", encoding="utf-8") as f:
        f.write(text)
    c.run("bai-control", "reconfigure")
    return c.log("ctld")


@test
def a_reconfigure_gives_nodes_devices(c):
    said = rewrite(c, lambda text: re.sub(r"(?m)^(NodeName=\S+)", r"\1 Gres=gpu:a100:2,net:10 Features=f", text) +
                   "SwitchName=s1 Nodes=n[1-2]\nSwitchName=s2 Nodes=n[3-4]\nSwitchName=top Switches=s[1-2]\n")
    check("Gres (null) -> gpu:a100:2,net:10" in said, said)
    check("switches" in said, said)
    check("Gres=gpu:a100:2,net:10" in c.run("bai-control", "show", "node", "n1").stdout)
    check("gpu:a100:2,net:10" in c.run("bai-info", "-h", "-o", "%G").stdout)


@test
def a_job_finds_its_gpus(c):
    job = c.submit("-G", "a100:2", "-o", "gpus.txt", script="echo $CUDA_VISIBLE_DEVICES $SLURM_JOB_GPUS $BAI_GPUS_ON_NODE")
    c.await_state(job, "COMPLETED")
    equal(c.read("gpus.txt").split(), ["0,1", "0,1", "2"])
    show = c.run("bai-control", "show", "job", str(job)).stdout
    check("TresPerJob=gres:gpu:a100:2" in show and "gres/gpu=2" in show, show)
    plain = c.submit("-o", "plain.txt", script="echo gpus:$CUDA_VISIBLE_DEVICES")
    c.await_state(plain, "COMPLETED")
    equal(c.read("plain.txt").strip(), "gpus:")


@test
def gpus_are_given_once_and_shares_of_one_to_many(c):
    wait = "while [ ! -e go ]; do sleep 0.05; done"
    half = [c.submit("-w", "n1", "--gpus=0.5", "-o", f"half{i}.txt", script=f"echo $CUDA_VISIBLE_DEVICES; {wait}") for i in range(2)]
    whole = c.submit("-w", "n1", "--gpus=1", "-o", "whole.txt", script=f"echo $CUDA_VISIBLE_DEVICES; {wait}")
    for job in half + [whole]:
        c.await_state(job, "RUNNING")
    more = c.submit("-w", "n1", "--gres=gpu:1", script="true")
    c.await_text("whole.txt", "1")
    equal([c.read(f"half{i}.txt").strip() for i in range(2)], ["0", "0"], "one GPU for both")
    equal(c.job(more)["state"], "PENDING")
    with open(c.path("go"), "w", encoding="utf-8"):
        pass
    c.await_state(more, "COMPLETED")


@test
def alternatives_are_tried_in_order(c):
    """The first that can start; its environment is that of what it was given. One that can never start is no harm."""
    script = "echo $SLURM_NNODES $SLURM_NTASKS ${SLURM_CPUS_PER_TASK:-none} ${CUDA_VISIBLE_DEVICES:-none}; while [ ! -e alternatives ]; do sleep 0.05; done"
    words = ["-N", "1", "-n", "2", "--gpus-per-node=2", "-C", "f", "--alternative=-N 4 -n 4 -c 9", "--alternative=-N2 -n 6"]
    jobs = [c.submit("-w", f"n{i}", "--gpus=2", script="while [ ! -e alternatives ]; do sleep 0.05; done") for i in (2, 3, 4)]
    for job in jobs:
        c.await_state(job, "RUNNING")
    first, second = (c.submit(*words, "-o", f"alternative{i}.txt", script=script) for i in (1, 2))
    c.await_text("alternative1.txt", "1 2 none 0,1")
    c.await_text("alternative2.txt", "2 6 none none")
    with open(c.path("alternatives"), "w", encoding="utf-8"):
        pass
    for job in [first, second, *jobs]:
        c.await_state(job, "COMPLETED")
    never = c.run("bai-submit", "-n", "99", "--alternative=-c 99", "--wrap", "true", ok=False).stderr
    check("99 CPUs are wanted" in never, never)
    check("no node has" in c.run("bai-submit", "--alternative=--gres=fpga:1", "--wrap", "true", ok=False).stderr, "a device that nobody has")


@test
def what_cannot_be_is_refused(c):
    for words, why in ((("-G", "9"), "gpu"), (("--gpus-per-node=3",), "no node has 3 of gpu"), (("--gres=fpga:1",), "no node has"),
                       (("--gpus=1.5",), "ask for less than one"), (("-C", "f&"), "feature"), (("-C", "f*9"), ""),
                       (("--switches=0",), "switches"), (("--mem-per-gpu=1G", "--mem=1G"), "exclude")):
        done = c.run("bai-submit", *words, "--wrap", "true", ok=False)
        check(why in done.stderr, f"{words}: {done.stderr}")


@test
def few_switches_and_counts(c):
    job = c.submit("-N2", "--switches=1", "--exclusive", script="true")
    nodes = c.await_state(job, "COMPLETED")["node_list"]
    check(nodes in ("n[1-2]", "n[3-4]"), nodes)
    job = c.submit("-N3", "-C", "f*3", script="true")
    c.await_state(job, "COMPLETED")
    job = c.submit("-N4", "--spread-job", "-n4", "--gres=net:10", script="true")
    equal(c.await_state(job, "COMPLETED")["node_list"], "n[1-4]")


@test
def a_partitions_queue_is_worked_off_as_configured(c):
    name = c.run("bai-info", "-h", "-o", "%R").stdout.split()[0]
    said = rewrite(c, lambda text: re.sub(rf"(?m)^(PartitionName={name}\b)", r"\1 SchedulingPolicy=fcfs Placement=dispersed", text))
    check("SchedulingPolicy default -> fcfs" in said and "Placement concentrated -> dispersed" in said, said)
    blocker = c.submit("-w", "n1", "--exclusive", script="sleep 600")
    c.await_state(blocker, "RUNNING")
    head = c.submit("-w", "n1", script="true")
    behind = c.submit("-t", "1", script="true")
    c.await_state(head, "PENDING")
    equal(c.job(behind)["state"], "PENDING", "nobody passes")
    c.run("bai-cancel", str(blocker))
    for job in (head, behind):
        c.await_state(job, "COMPLETED")


if __name__ == "__main__":
    sys.exit(run_tests(Cluster(nodes=4, cpus=4)))

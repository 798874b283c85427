#!/usr/bin/env python3
"""A placement plugin: loaded, followed, repeated by bai-sim; bad ones are refused with the reason and nothing changes."""
import json
import os
import shutil
import subprocess
import sys

from bai import BIN, Cluster, check, equal, program, run_tests, test

PLUGINS = os.path.join(os.path.dirname(BIN), "plugins")
# Each is refused for what is behind it.
BAD = {
    "version": ('{99, "version", cost}', "it is for version 99"),
    "name": ('{1, "other", cost}', "it calls itself 'other'"),
    "cost": ('{1, "cost", 0}', "no function"),
    "symbol": (None, "it has no bai_placement_plugin"),
}


def with_placement(c, name):
    """bai.conf with that placement; the text that was there."""
    with open(c.conf, encoding="utf-8") as f:
        before = f.read()
    lines = [line + f" Placement={name}" if line.startswith("PartitionName=") else line for line in before.splitlines() if "PluginDir" not in line]
    with open(c.conf, "w", encoding="utf-8") as f:
        f.write("\n".join(lines) + f"\nPluginDir={c.work}:{PLUGINS}\n")
    return before


def restore(c, text):
    with open(c.conf, "w", encoding="utf-8") as f:
        f.write(text)


def place(c):
    """On which node one CPU goes, where n1 has the fewest CPUs free and n2 the least memory."""
    filler = [c.submit("-w", "n1", "-n", "3", "--mem=100M", "--comment=emulate:600", script="true"),
              c.submit("-w", "n2", "-n", "1", "--mem=1500M", "--comment=emulate:600", script="true")]
    for job in filler:
        c.await_state(job, "RUNNING")
    job = c.submit("-n", "1", "--mem=100M", "--comment=emulate:600", script="true")
    node = c.await_state(job, "RUNNING")["node_list"]
    c.run("bai-cancel", *map(str, filler), str(job))
    for each in [*filler, job]:
        c.await_state(each, "CANCELLED")
    return node


@test
def bad_ones_are_refused(c):
    for name, (definition, why) in BAD.items():
        source = c.path(name + ".c")
        with open(source, "w", encoding="utf-8") as f:
            f.write('#include "placement_plugin.h"\nint64_t cost(const struct bai_placement_node* n, const struct bai_placement_share* s) '
                    "{ return n->cpus + s->cpus; }\n" + (f"const struct bai_placement bai_placement_plugin = {definition};\n" if definition else ""))
        header = os.path.join(os.environ.get("BAI_SRC") or os.path.join(os.path.dirname(__file__), "../.."), "src/sokovan")
        subprocess.run(["g++", "-x", "c", "-shared", "-fPIC", "-I", header, source, "-o", c.path(f"placement_{name}.so")], check=True)
    with open(c.path("placement_text.so"), "w", encoding="utf-8") as f:
        f.write("text")
    for name, why in [(n, w) for n, (_, w) in BAD.items()] + [("text", "placement_text.so"), ("nosuch", "there is no placement_nosuch.so")]:
        before = with_placement(c, "plugin:" + name)
        for words in (["bai-control", "check-config", c.conf], ["bai-control", "reconfigure"], [program("bai-ctld"), "--conf", c.conf]):
            said = c.run(*words, ok=False).stderr
            check(why in said and f"placement_{name}.so" in said, f"{words}, {name}: {said}")
        restore(c, before)
    before = with_placement(c, "plugin:../x")
    check("is no placement" in c.run("bai-control", "check-config", c.conf, ok=False).stderr, "a path is no name")
    restore(c, before)
    equal(place(c), "n1", "concentrated as before")


@test
def a_good_one_is_followed(c):
    with_placement(c, "plugin:memory")
    check("good" in c.run("bai-control", "check-config", c.conf).stdout, "check-config")
    c.run("bai-control", "reconfigure")
    equal(place(c), "n2", "where the plugin says")
    check("Placement=plugin:memory" in open(c.conf, encoding="utf-8").read(), "configuration")
    recording = c.path("recording")
    with open(c.conf, "a", encoding="utf-8") as f:
        f.write(f"SchedulerRecording={recording}\n")
    c.kill("ctld")
    c.up()
    equal(place(c), "n2", "after a restart")
    c.kill("ctld", 15)
    said = json.loads(c.run("bai-sim", "replay", recording, "--plugin-dir", PLUGINS, "--json").stdout)
    equal((said["different"], said["starts"] >= 3), (0, True), f"{said}")
    check("there is no placement_memory.so" in c.run("bai-sim", "replay", recording, "--plugin-dir", c.work, ok=False).stderr, "without it")
    shutil.rmtree(c.path("recording"), ignore_errors=True)


if __name__ == "__main__":
    sys.exit(run_tests(Cluster(nodes=2, cpus=4, memory="2G", emulate=True)))

#!/usr/bin/env python3
"""The site's programs around jobs, steps and tasks with real daemons: on nodes and beside the controller, well, failing, hanging, and with daemons killed
in the middle of them."""
import os
import signal
import sys

from bai import Cluster, await_true, check, equal, run_tests, test

HOOKS = ("prolog", "epilog", "prolog_ctld", "epilog_ctld", "task_prolog", "task_epilog", "srun_prolog", "srun_epilog")


def program(c, name, text=""):
    """Replaces one of the site's programs: a line of its own in its trace, then the text."""
    fresh = c.path(name + ".new")
    with open(fresh, "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\n")
        f.write(f'echo "$SLURM_JOB_ID $BAI_NODE_NAME $SLURM_SCRIPT_CONTEXT $SLURM_JOB_EXIT_CODE2" >> "{c.work}/{name}.trace"\n' if "task" not in name else "")
        f.write(text + "\n")
    os.chmod(fresh, 0o755)
    os.rename(fresh, c.path(name))


def trace(c, name, job=None):
    """What a program wrote, a list of words for each run; of one job only."""
    try:
        lines = [line.split() for line in c.read(name + ".trace").splitlines()]
    except OSError:
        return []
    return [words for words in lines if job is None or words[0] == str(job)]


def plain(c):
    """All programs content, all nodes well."""
    for name in HOOKS:
        program(c, name)
    for node in c.nodes:
        c.run("bai-control", "resume", node, ok=None)


def reread(c, *lines):
    """The nodes' own keys, too."""
    c.configure(*lines)
    for node in c.nodes:
        before = c.log(node).count("own keys were read")
        os.kill(c.pid(node), signal.SIGHUP)
        await_true(lambda n=node, b=before: c.log(n).count("own keys were read") > b, f"{node} to read its keys")


def reason(c, node):
    return c.run("bai-control", "show", "node", node).stdout.partition("Reason=")[2].partition("[")[0].strip()


def until(c, name):
    """Words that wait until somebody makes the file, and say before that they do."""
    return f'echo $$ >> "{c.work}/{name}.waits"; while [ ! -e "{c.work}/{name}" ]; do sleep 0.05; done'


def let_go(c, name):
    with open(c.path(name), "w", encoding="utf-8"):
        pass


def ran(c, job):
    return c.await_state(job, "COMPLETED", 40)


@test
def they_run_around_a_job(c):
    plain(c)
    program(c, "prolog", f'echo "$SLURM_JOB_USER $SLURM_JOB_UID $SLURM_JOB_PARTITION $SLURM_JOB_NODELIST $SLURMD_NODENAME" > "{c.work}/told-$BAI_JOB_ID"')
    job = c.submit("-N", "2", "-o", "/dev/null", script=f'cat "{c.work}/told-$SLURM_JOB_ID" > "{c.work}/seen"; exit 3')
    c.await_state(job, "FAILED", 40)
    words = c.read("seen").split()
    equal((words[1], words[3:]), (str(os.geteuid()), ["n[1-2]", "n1"]), "what the prolog was told")
    equal(trace(c, "prolog", job), [[str(job), "n1", "prolog_slurmd"]], "prologs")
    equal(sorted(trace(c, "epilog", job)), [[str(job), n, "epilog_slurmd", "3:0"] for n in ("n1", "n2")], "epilogs")
    equal(trace(c, "prolog_ctld", job), [[str(job), "prolog_slurmctld"]], "the controller's prolog")
    equal(trace(c, "epilog_ctld", job), [[str(job), "epilog_slurmctld", "3:0"]], "the controller's epilog")


@test
def a_step_brings_the_prolog_to_its_node_once(c):
    plain(c)
    out = c.run("bai-alloc", "-Q", "-N", "2", "sh", "-c", "bai-run -N1 -w n2 true && bai-run -N2 printenv SLURM_JOB_ID").stdout.split()
    job = out[0]
    equal(out, [job, job], "output")
    equal(sorted(words[1] for words in trace(c, "prolog", job)), ["n1", "n2"], "prologs")
    await_true(lambda: len(trace(c, "epilog", job)) == 2, "both epilogs")


@test
def with_alloc_they_run_everywhere_first(c):
    plain(c)
    c.configure("PrologFlags=Alloc")
    try:
        program(c, "prolog", '[ "$BAI_NODE_NAME" = n1 ] || ' + "{ " + until(c, "alloc") + "; }")
        job = c.submit("-N", "2", "-o", "out-%j", script=f'cat "{c.work}/prolog.trace"')
        c.await_text("alloc.waits", "")
        equal(c.job(job)["state"], "CONFIGURING", "state")
        let_go(c, "alloc")
        ran(c, job)
        equal(sorted(line.split()[1] for line in c.read(f"out-{job}").splitlines() if line.startswith(f"{job} ")), ["n1", "n2"], "prologs before the script")
    finally:
        c.configure("PrologFlags=none")


@test
def several_run_in_reverse_order(c):
    plain(c)
    os.mkdir(c.path("prolog.d"))
    for name in ("10", "20"):
        program(c, "prolog.d/" + name, f'echo {name} >> "{c.work}/order"')
    reread(c, f"Prolog={c.path('prolog.d')}/*")
    ran(c, c.submit("-o", "/dev/null", script="true"))
    equal(c.read("order").split(), ["20", "10"], "order")
    program(c, "prolog.d/20", "echo no >&2; exit 1")
    job = c.submit("-w", "n1", "-o", "/dev/null", script="true")
    c.await_state(job, "PENDING")
    await_true(lambda: c.job(job)["reason"] == "JobHeldAdmin", "the hold")
    equal(c.read("order").split(), ["20", "10"], "none after the one that failed")
    c.run("bai-cancel", str(job))
    reread(c, "Prolog=none", f"Prolog={c.path('prolog')}")


@test
def a_failing_prolog_drains_its_node_and_holds_the_job(c):
    plain(c)
    program(c, "prolog", "echo looking; echo no /scratch; exit 3")
    job = c.submit("-w", "n1", "-o", "/dev/null", script=f'echo ran >> "{c.work}/ran"')
    await_true(lambda: c.job(job)["reason"] == "JobHeldAdmin", "the hold", 40)
    equal(c.job(job)["state"], "PENDING", "state")
    equal(c.job(job)["detail"], "the prolog failed on n1: exit status 3: no /scratch", "why")
    equal(reason(c, "n1"), "Prolog error: exit status 3: no /scratch", "the node's reason")
    equal(c.run("bai-info", "-h", "-N", "-o", "%N %t").stdout, "n1 drain\nn2 idle\n", "nodes")
    equal(len(trace(c, "epilog", job)), 1, "epilogs")
    plain(c)
    c.run("bai-control", "release", str(job))
    ran(c, job)
    equal(c.read("ran"), "ran\n", "runs")


@test
def one_that_hangs_is_ended(c):
    plain(c)
    program(c, "prolog", "sleep 600")
    reread(c, "PrologEpilogTimeout=1", "KillWait=1")
    try:
        done = c.run("bai-run", "-w", "n2", "true", ok=False)
        check("the prolog failed on n2" in done.stderr, done.stderr)
        await_true(lambda: reason(c, "n2") == "Prolog error: it took too long and was ended", "the drain")
    finally:
        reread(c, "PrologEpilogTimeout=600", "KillWait=30")


@test
def a_failing_epilog_drains_its_node(c):
    plain(c)
    program(c, "epilog", "echo scratch is full; exit 9")
    job = c.submit("-w", "n2", "-o", "/dev/null", script="true")
    ran(c, job)
    equal(reason(c, "n2"), "Epilog error: exit status 9: scratch is full", "the node's reason")


@test
def an_epilog_comes_after_the_last_process(c):
    plain(c)
    program(c, "epilog", f'pgrep -f "{c.work}/left" > "{c.work}/still"; true')
    with open(c.path("left"), "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1; done\n")
    os.chmod(c.path("left"), 0o755)
    ran(c, c.submit("-o", "/dev/null", script=f'setsid "{c.work}/left" > /dev/null 2>&1 & sleep 0.2'))
    equal(c.read("still"), "", "processes in the epilog")


@test
def a_killed_agent_finds_its_prolog_again(c):
    plain(c)
    program(c, "prolog", until(c, "prolog.go"))
    job = c.submit("-w", "n1", "-o", "/dev/null", script=f'echo ran >> "{c.work}/ran-{os.getpid()}"')
    c.await_text("prolog.go.waits", "")
    c.kill("n1")
    c.up()
    let_go(c, "prolog.go")
    ran(c, job)
    equal(c.read(f"ran-{os.getpid()}"), "ran\n", "runs")
    equal(len(trace(c, "prolog", job)), 1, "prologs")
    equal(len(trace(c, "epilog", job)), 1, "epilogs")


@test
def a_killed_agent_finds_its_epilog_again(c):
    plain(c)
    program(c, "epilog", until(c, "epilog.go"))
    job = c.submit("-w", "n2", "-o", "/dev/null", script="exit 4")
    c.await_text("epilog.go.waits", "")
    c.kill("n2")
    c.kill("ctld")
    let_go(c, "epilog.go")
    c.up()
    c.await_state(job, "FAILED", 40)
    equal(c.job(job)["exit_code"], 4, "exit code")
    equal(len(trace(c, "epilog", job)), 1, "epilogs")


@test
def a_killed_controller_begins_its_prolog_anew(c):
    plain(c)
    program(c, "prolog_ctld", until(c, "ctld.go"))
    job = c.submit("-o", "/dev/null", script=f'echo ran >> "{c.work}/ran-ctld"')
    c.await_text("ctld.go.waits", "")
    equal(c.job(job)["state"], "CONFIGURING", "state")
    c.kill("ctld")
    c.up()
    await_true(lambda: len(c.read("ctld.go.waits").split()) == 2, "its second run")
    let_go(c, "ctld.go")
    ran(c, job)
    equal(c.read("ran-ctld"), "ran\n", "runs")


@test
def the_controllers_prolog_may_say_no(c):
    plain(c)
    program(c, "prolog_ctld", "echo no licence; exit 2")
    job = c.submit("-o", "/dev/null", script="true")
    await_true(lambda: c.job(job)["reason"] == "JobHeldAdmin", "the hold", 40)
    equal(c.job(job)["detail"], "the controller's prolog failed: exit status 2: no licence", "why")
    done = c.run("bai-run", "true", ok=False)
    check("revoked" in done.stderr, done.stderr)
    equal(trace(c, "prolog", job), [], "prologs on nodes")
    c.run("bai-cancel", str(job))


@test
def a_task_prolog_shapes_the_environment(c):
    plain(c)
    program(c, "task_prolog", 'echo "export SITE=$SLURM_SCRIPT_CONTEXT"; echo "print welcome"; echo "unset GONE"; echo "nothing=of it"')
    script = 'echo "$SITE ${GONE-unset}"'
    job = c.submit("-o", "batch-out", script=script, env={"GONE": "here"})
    ran(c, job)
    equal(c.read("batch-out"), "welcome\nprolog_task unset\n", "the script")
    program(c, "own", 'echo "export SITE=$SITE-$SLURM_PROCID"')
    out = c.run("bai-run", "-n2", "-l", "--task-prolog", "own", "sh", "-c", script, env={"GONE": "here"}).stdout
    equal(sorted(out.splitlines()), ["0: prolog_task-0 unset", "0: welcome", "1: prolog_task-1 unset", "1: welcome"], "tasks")


@test
def a_failing_task_prolog_ends_its_task(c):
    plain(c)
    program(c, "own", 'echo "print not here"; [ "$SLURM_PROCID" = 0 ] || exit 7')
    done = c.run("bai-run", "-n2", "--task-prolog", c.path("own"), "echo", "ran", ok=False)
    equal((done.returncode, done.stdout), (7, "not here\nran\n"), "the step")
    check("TaskProlog failed status=7" in done.stderr, done.stderr)
    program(c, "task_prolog", "exit 9")
    job = c.submit("-o", "/dev/null", script="true")
    done = c.await_state(job, "FAILED")
    check("the task prolog failed with exit status 9" in done["detail"], done["detail"])


@test
def a_task_epilog_runs_before_the_task_counts_as_ended(c):
    plain(c)
    program(c, "task_epilog", f'echo "$SLURM_PROCID $SLURM_SCRIPT_CONTEXT" >> "{c.work}/epilogs"')
    program(c, "own", f'echo "own $SLURM_PROCID" >> "{c.work}/epilogs"')
    done = c.run("bai-run", "-n2", "--task-epilog", "own", "sh", "-c", "exit $SLURM_PROCID", ok=False)
    equal(done.returncode, 1, "exit status")
    lines = c.read("epilogs").splitlines()
    equal(sorted(lines), ["0 epilog_task", "1 epilog_task", "own 0", "own 1"], "epilogs")
    for rank in "01":
        check(lines.index("own " + rank) < lines.index(rank + " epilog_task"), f"order: {lines}")
    ran(c, c.submit("-o", "/dev/null", script=f'rm "{c.work}/epilogs"'))
    equal(c.read("epilogs"), "0 epilog_task\n", "the script's")


@test
def bai_run_has_its_own_beside_it(c):
    plain(c)
    program(c, "srun_prolog", "echo site before")
    program(c, "srun_epilog", "echo site after $SLURM_STEP_ID; exit 1")
    out = c.run("bai-run", "echo", "step").stdout
    equal(out, "site before\nstep\nsite after 0\n", "output")
    check(trace(c, "srun_prolog")[-1][0].isdigit(), "the prolog was not told the job")
    program(c, "own", 'echo "own $SLURM_SCRIPT_CONTEXT"')
    equal(c.run("bai-run", "--prolog", c.path("own"), "--epilog=none", "echo", "step").stdout, "own prolog_srun\nstep\n", "output")


@test
def limits_are_taken_along(c):
    plain(c)
    c.run("sh", "-c", "ulimit -S -n 77; bai-submit -o limit-all --wait --wrap 'ulimit -S -n'; bai-submit -o limit-none --propagate=NONE --wait --wrap 'ulimit -S -n; env | grep RLIMIT'", ok=None)
    equal(c.read("limit-all"), "77\n", "with all")
    check(c.read("limit-none") != "77\n" and "RLIMIT" not in c.read("limit-none"), c.read("limit-none"))
    out = c.run("sh", "-c", "ulimit -S -n 78; bai-run sh -c 'ulimit -S -n'; bai-run --propagate=CORE sh -c 'ulimit -S -n'").stdout.split()
    check(out[0] == "78" and out[1] != "78", out)
    done = c.run("bai-run", "--propagate=FILES", "true", ok=False)
    check("FILES" in done.stderr and "NOFILE" in done.stderr, done.stderr)


if __name__ == "__main__":
    cluster = Cluster(nodes=2)
    for each in HOOKS:
        program(cluster, each)
    keys = dict(zip(HOOKS, ("Prolog", "Epilog", "PrologSlurmctld", "EpilogCtld", "TaskProlog", "TaskEpilog", "SrunProlog", "SrunEpilog")))
    lines = [f"{key}={cluster.path(name)}" for name, key in keys.items()]

    def start(c):
        """The nodes' own keys count when they start."""
        c.up(settings=lines)
        c.run("bai-cluster", "down", "--keep", "--dir", c.dir)
        c.up()

    cluster_up, started = cluster.up, []

    def up(settings=(), **more):
        if started:
            return cluster_up(settings=settings, **more)
        started.append(True)
        return start(cluster)

    cluster.up = up
    sys.exit(run_tests(cluster))

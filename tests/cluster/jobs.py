#!/usr/bin/env python3
"""Jobs as users submit them: they run, wait for each other, are cancelled, held, requeued, limited, and say why they failed."""
import os
import re
import sys

from bai import Cluster, Skip, await_true, check, equal, need_root, processes, run_tests, test


@test
def a_script_runs_where_it_was_submitted(c):
    job = c.submit("-J", "hello", script="echo hello from $BAI_JOB_ID; pwd; echo oops >&2")
    done = c.await_state(job, "COMPLETED")
    equal(c.read(f"bai-{job}.out"), f"hello from {job}\n{c.work}\noops\n", "output")
    equal((done["name"], done["exit_code"], done["signal"]), ("hello", 0, 0), "record")
    check(done["node_list"] in c.nodes, f"ran on {done['node_list']}")
    check(done["submitted_at"] <= done["started_at"] <= done["ended_at"], "times are out of order")


@test
def arguments_reach_the_script(c):
    with open(c.path("args.sh"), "w", encoding="utf-8") as f:
        f.write('#!/bin/sh\nfor a; do echo "[$a]"; done\n')
    job = c.submit("-o", "args.txt", "args.sh", "one", "two words", "--three", "")
    c.await_state(job, "COMPLETED")
    equal(c.read("args.txt"), "[one]\n[two words]\n[--three]\n[]\n", "arguments")


@test
def output_patterns_and_separate_errors(c):
    job = c.submit("-J", "pat", "-o", "%x-%j-%N-%u.%%", "-e", "%4j.err", script="echo out; echo err >&2")
    done = c.await_state(job, "COMPLETED")
    user = done["user"]
    equal(c.read(f"pat-{job}-{done['node_list']}-{user}.%"), "out\n", "output")
    equal(c.read(f"{job:04d}.err"), "err\n", "errors")


@test
def open_mode(c):
    for mode, wanted in (("append", "old\nnew\n"), ("truncate", "new\n")):
        with open(c.path("mode.txt"), "w", encoding="utf-8") as f:
            f.write("old\n")
        job = c.submit("-o", "mode.txt", f"--open-mode={mode}", script="echo new")
        c.await_state(job, "COMPLETED")
        equal(c.read("mode.txt"), wanted, mode)


@test
def standard_input_from_a_file(c):
    with open(c.path("input"), "w", encoding="utf-8") as f:
        f.write("from a file\n")
    c.await_state(c.submit("-i", "input", "-o", "input.out", script="cat"), "COMPLETED")
    equal(c.read("input.out"), "from a file\n", "output")
    c.await_state(c.submit("-o", "noinput.out", script="cat; echo end"), "COMPLETED")
    equal(c.read("noinput.out"), "end\n", "without input")


@test
def an_array_runs_every_task_once(c):
    job = c.submit("--array=1-9:2,20", "-o", "array-%A-%a.txt",
                   script="echo $BAI_ARRAY_JOB_ID $SLURM_ARRAY_TASK_ID $BAI_ARRAY_TASK_COUNT "
                          "$BAI_ARRAY_TASK_MIN $BAI_ARRAY_TASK_MAX >> tasks")
    tasks = (1, 3, 5, 7, 9, 20)
    for task in tasks:
        c.await_state(f"{job}_{task}", "COMPLETED")
    equal(sorted(c.read("tasks").splitlines()), sorted(f"{job} {t} 6 1 20" for t in tasks), "what the tasks wrote")
    for task in tasks:
        check(os.path.exists(c.path(f"array-{job}-{task}.txt")), f"task {task} has no output file")


@test
def an_array_keeps_its_limit(c):
    job = c.submit("--array=1-6%2", "-o", "/dev/null", script="""
        mkdir run.$BAI_ARRAY_TASK_ID; ls -d run.* | wc -l >> together; sleep 0.15; rmdir run.$BAI_ARRAY_TASK_ID""")
    for task in range(1, 7):
        c.await_state(f"{job}_{task}", "COMPLETED")
    check(max(int(n) for n in c.read("together").split()) <= 2, "more than two tasks ran at once")


@test
def dependencies(c):
    good = c.submit("-o", "/dev/null", script="sleep 0.3; echo good >> order")
    bad = c.submit("-o", "/dev/null", script="exit 3")
    ok = c.submit("-d", f"afterok:{good}", "-o", "/dev/null", script="echo ok >> order")
    notok = c.submit("-d", f"afternotok:{bad}", "-o", "/dev/null", script="echo notok > notok")
    any_ = c.submit("-d", f"afterany:{good}:{bad}", "-o", "/dev/null", script="echo any > any")
    either = c.submit("-d", f"afterok:{bad}?afterok:{good}", "-o", "/dev/null", script="echo either > either")
    for job in (ok, notok, any_, either):
        c.await_state(job, "COMPLETED")
    equal(c.read("order"), "good\nok\n", "order")
    never = c.submit("-d", f"afterok:{bad}", script="echo never")
    await_true(lambda: c.job(never)["reason"] == "DependencyNeverSatisfied", "the reason of a dependency that cannot come true")
    c.run("bai-cancel", str(never))
    c.await_state(never, "CANCELLED")


@test
def aftercorr_follows_task_by_task(c):
    first = c.submit("--array=1-3", "-o", "/dev/null", script="sleep 0.1; touch corr.$BAI_ARRAY_TASK_ID")
    second = c.submit("--array=1-3", "-d", f"aftercorr:{first}", "-o", "/dev/null", script="ls corr.$BAI_ARRAY_TASK_ID")
    for task in (1, 2, 3):
        c.await_state(f"{second}_{task}", "COMPLETED")


@test
def singleton(c):
    jobs = [c.submit("-J", "only", "-d", "singleton", "-o", "/dev/null", script="mkdir single && sleep 0.1 && rmdir single") for _ in range(3)]
    for job in jobs:
        c.await_state(job, "COMPLETED")


@test
def wait_returns_the_jobs_exit_status(c):
    equal(c.run("bai-submit", "--wait", "--wrap", "exit 7", ok=None).returncode, 7, "exit status")
    equal(c.run("bai-submit", "--wait", "--wrap", "true", ok=None).returncode, 0, "exit status")
    equal(c.run("bai-submit", "--wait", "--wrap", "kill -9 $$", ok=None).returncode, 128 + 9, "exit status after a signal")
    equal(c.run("bai-submit", "--wait", "--array=1-3", "--wrap", "exit $(( BAI_ARRAY_TASK_ID * 2 ))", ok=None).returncode, 6, "the worst of an array")


@test
def cancel_a_pending_job(c):
    job = c.submit("--begin=now+1hour", script="touch never-ran")
    c.await_state(job, "PENDING")
    c.run("bai-cancel", str(job))
    done = c.await_state(job, "CANCELLED")
    check(not done["started_at"], "it has a start time")
    check(not os.path.exists(c.path("never-ran")), "it ran")


@test
def cancel_a_running_job_with_all_its_processes(c):
    job = c.submit("-o", "cancel.txt", script=f"""
        trap 'echo term' TERM
        setsid sleep 987{os.getpid()} &
        (sleep 988{os.getpid()} &) ; echo ready; wait; sleep 0.1; exit 0""")
    c.await_text("cancel.txt", "ready")
    c.run("bai-cancel", str(job))
    c.await_state(job, "CANCELLED")
    await_true(lambda: not processes(f"987{os.getpid()}") and not processes(f"988{os.getpid()}"), "the end of what the job left")
    check("term" in c.read("cancel.txt"), "the script was not asked to end")


@test
def cancel_a_job_that_ignores_it(c):
    job = c.submit("-o", "stubborn.txt", script="trap '' TERM; echo ready; while :; do sleep 0.1; done")
    c.await_text("stubborn.txt", "ready")
    c.run("bai-cancel", str(job))
    c.await_state(job, "COMPLETING", 5)
    c.await_state(job, "CANCELLED")  # after KillWait


@test
def cancel_part_of_an_array(c):
    job = c.submit("--array=1-4", "-H", "-o", "/dev/null", script="true")
    c.run("bai-cancel", f"{job}_[2-3]")
    c.await_state(f"{job}_2", "CANCELLED")
    c.await_state(f"{job}_3", "CANCELLED")
    c.run("bai-control", "release", str(job))
    c.await_state(f"{job}_1", "COMPLETED")
    c.await_state(f"{job}_4", "COMPLETED")


@test
def a_signal_reaches_the_job(c):
    job = c.submit("-o", "signal.txt", script="trap 'echo got it; exit 0' USR1; echo ready; while :; do sleep 0.05; done")
    c.await_text("signal.txt", "ready")
    c.run("bai-cancel", "--signal=USR1", "--batch", str(job))
    c.await_state(job, "COMPLETED")
    check("got it" in c.read("signal.txt"), "no signal came")


@test
def hold_and_release(c):
    job = c.submit("--hold", script="true")
    equal(c.job(job)["reason"], "JobHeldUser", "reason")
    c.run("bai-control", "release", str(job))
    c.await_state(job, "COMPLETED")
    later = c.submit("--begin=now+1hour", script="true")
    c.run("bai-control", "hold", str(later))
    check(c.job(later)["hold"] != "none", "it is not held")
    c.run("bai-cancel", str(later))


@test
def requeue_runs_it_again(c):
    job = c.submit("--requeue", "-o", "/dev/null", script="""
        echo "run ${BAI_RESTART_COUNT:-0}" >> requeue
        [ "${SLURM_RESTART_COUNT:-0}" -gt 0 ] || sleep 60""")
    c.await_text("requeue", "run 0")
    c.run("bai-control", "requeue", str(job))
    done = c.await_state(job, "COMPLETED")
    equal(c.read("requeue"), "run 0\nrun 1\n", "runs")
    equal((done["restarts"], done["attempt"]), (1, 2), "restarts and attempt")
    refused = c.submit("--no-requeue", "-o", "norequeue.txt", script="echo ready; sleep 60")
    c.await_text("norequeue.txt", "ready")
    c.run("bai-control", "requeue", str(refused), ok=False)
    c.run("bai-cancel", str(refused))


@test
def the_environment_of_a_job(c):
    job = c.submit("-o", "env.txt", "-c", "2", "-J", "envjob", script="env", env={"MINE": "with spaces"})
    c.await_state(job, "COMPLETED")
    env = dict(line.partition("=")[::2] for line in c.read("env.txt").splitlines())
    for name, value in {"BAI_JOB_ID": str(job), "SLURM_JOB_ID": str(job), "SLURM_JOBID": str(job), "SLURM_JOB_NAME": "envjob",
                        "SLURM_CPUS_PER_TASK": "2", "SLURM_SUBMIT_DIR": c.work, "SLURM_JOB_NUM_NODES": "1", "SLURM_NTASKS": None,
                        "SLURM_JOB_PARTITION": "main", "MINE": "with spaces"}.items():
        if value is not None:
            equal(env.get(name), value, name)
    check(env.get("SLURM_JOB_NODELIST") in c.nodes, f"SLURM_JOB_NODELIST={env.get('SLURM_JOB_NODELIST')}")
    equal(env.get("BAI_JOB_NODELIST"), env.get("SLURM_JOB_NODELIST"), "BAI_JOB_NODELIST")
    check("BAI_CRASH_POINT" not in env and "MUNGE_SOCKET" not in env, "a daemon's environment leaked")


@test
def export_of_one_variable(c):
    job = c.submit("-o", "one.txt", "--export=ONE=1", script='echo "${MINE-unset} $ONE $BAI_JOB_ID"', env={"MINE": "mine"})
    c.await_state(job, "COMPLETED")
    equal(c.read("one.txt"), f"unset 1 {job}\n", "environment")


@test
def two_nodes_for_one_job(c):
    if len(c.nodes) < 2:
        raise Skip("one node")
    job = c.submit("-N", "2", "-n", "2", "-o", "two.txt", script="echo $SLURM_JOB_NODELIST $SLURM_JOB_NUM_NODES $SLURM_NTASKS")
    c.await_state(job, "COMPLETED")
    equal(c.read("two.txt"), "n[1-2] 2 2\n", "what the script saw")


@test
def nodes_are_not_overcommitted(c):
    jobs = [c.submit("-c", "3", "-o", "/dev/null", script="""
        mkdir cpu.$SLURMD_NODENAME || echo twice on $SLURMD_NODENAME > overcommitted
        sleep 0.1; rmdir cpu.$SLURMD_NODENAME""") for _ in range(6)]
    for job in jobs:
        c.await_state(job, "COMPLETED")
    check(not os.path.exists(c.path("overcommitted")), "two jobs of 3 CPUs ran on a node of 4")


@test
def what_can_never_run_is_refused_with_the_nearest_that_could(c):
    for words, why in (("-c 5", "no node has 5 CPUs; the largest has 4 (the most that could run: --cpus-per-task=4)"),
                       ("-N 3", "3 nodes are wanted; there are 2 (the most that could run: --nodes=2)"),
                       ("--mem 3G", "no node has 3G of memory; the largest has 2G (the most that could run: --mem=2G)"),
                       ("-n 9", "9 CPUs are wanted; all nodes together have 8 (the most that could run: --ntasks=8)"),
                       ("-C fast", "--constraint: no node of partition main has the features 'fast' that may be used (see bai-info -o \"%N %f\")")):
        done = c.run("bai-submit", *words.split(), "--wrap", "true", ok=None)
        equal((done.returncode, done.stdout, done.stderr), (1, "", f"bai-submit: {why}\n"), words)
    job = c.submit("--hold", "--wrap", "true")
    done = c.run("bai-control", "update", "job", str(job), "numtasks=9", ok=None)
    equal((done.returncode, done.stderr), (1, f"bai-control: job {job}: 9 CPUs are wanted; all nodes together have 8 (the most that could run: --ntasks=8)\n"),
          "an update")
    equal(c.job(job)["tasks"], 1, "tasks")
    c.run("bai-cancel", str(job))


@test
def what_only_a_drained_node_keeps_waiting_says_so(c):
    c.run("bai-control", "drain", "n[1-2]", "a test")
    job = c.submit("-N", "2", "-o", "/dev/null", script="true")
    record = await_true(lambda: c.job(job)["reason"] == "ReqNodeNotAvail" and c.job(job), "the reason")
    check("down or drained" in record["detail"], f"the reason is {record['detail']!r}")
    c.run("bai-control", "resume", "n[1-2]")
    c.await_state(job, "COMPLETED")


def fails_to_launch(c, job, why):
    """It ends FAILED, and whoever looks anywhere is told this sentence."""
    record = c.await_state(job, "FAILED")
    equal((record["reason"], record["detail"]), ("JobLaunchFailure", why), "reason in the queue")
    check((record["exit_code"], record["signal"]) != (0, 0), "an exit code of 0")
    equal(c.run("bai-queue", "-h", "-t", "all", "-j", str(job), "-o", "%T %r").stdout, f"FAILED {why}\n", "bai-queue")
    check(f"JobState=FAILED Reason={why.replace(' ', '_')} " in c.run("bai-control", "show", "job", str(job)).stdout, "bai-control show job")
    row, = c.accounting()[job]
    equal((row["state"], row["detail"]), ("FAILED", why), "accounting")
    equal(c.run("bai-acct", "-n", "-X", "-P", "-j", str(job), "--format=State,Reason").stdout, f"FAILED|{why}\n", "bai-acct")


@test
def an_unreadable_script(c):
    need_root()
    with open(c.path("secret.sh"), "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\ntrue\n")
    os.chmod(c.path("secret.sh"), 0o600)
    done = c.run("bai-submit", "secret.sh", user=(65534, 65534), ok=None)
    equal((done.returncode, done.stdout), (2, ""), "status and output")
    equal(done.stderr, f"bai-submit: Unable to open file {c.path('secret.sh')} (cannot open: Permission denied)\n", "message")


@test
def a_missing_working_directory(c):
    fails_to_launch(c, c.submit("-D", "/nonexistent/place", script="true"), "working directory /nonexistent/place does not exist")


@test
def a_vanished_working_directory(c):
    os.mkdir(c.path("gone"))
    job = c.submit("--hold", "-D", c.path("gone"), script="true")
    os.rmdir(c.path("gone"))
    c.run("bai-control", "release", str(job))
    fails_to_launch(c, job, f"working directory {c.path('gone')} does not exist")


@test
def a_missing_output_directory(c):
    fails_to_launch(c, c.submit("-o", "no/such/dir/out", script="true"), 
                    f"cannot open output file {c.path('no/such/dir/out')}: directory {c.path('no/such/dir')} does not exist")


@test
def a_shell_that_does_not_exist(c):
    fails_to_launch(c, c.submit(script="#!/no/such/shell\ntrue\n"), "interpreter /no/such/shell of the script does not exist")


@test
def a_user_whom_the_node_does_not_know(c):
    need_root()
    job = c.submit("--wrap", "true", user=(54321, 54321))
    node = c.await_state(job, "FAILED")["batch_host"]
    fails_to_launch(c, job, f"node {node} does not know uid 54321 (54321) (make the user known there)")


@test
def a_failing_script(c):
    done = c.await_state(c.submit("-o", "/dev/null", script="exit 42"), "FAILED")
    equal((done["exit_code"], done["signal"], done["reason"]), (42, 0, "NonZeroExitCode"), "record")
    killed = c.await_state(c.submit("-o", "/dev/null", script="kill -SEGV $$"), "FAILED")
    equal(killed["signal"], 11, "signal")


@test
def a_script_that_is_none_is_refused(c):
    for words, stdin in ((["/nonexistent.sh"], ""), ([], ""), ([], "echo no shebang\n"), (["--no-such-option"], ""), (["-t", "soon", "--wrap", "true"], "")):
        done = c.run("bai-submit", *words, stdin=stdin, ok=False)
        check(done.returncode in (1, 2) and done.stderr.strip(), f"{words}: {done.returncode} {done.stderr!r}")


@test
def the_queue_in_plain_text(c):
    job = c.submit("--hold", "-J", "plain", script="true")
    lines = c.run("bai-queue", "-j", str(job)).stdout.splitlines()
    equal(lines[0].split(), ["JOBID", "PARTITION", "NAME", "USER", "ST", "TIME", "NODES", "NODELIST(REASON)"], "header")
    check(re.match(rf"\s+{job}\s+main\s+plain\s+\S+\s+PD\s+0:00\s+1 \(JobHeldUser\)$", lines[1]), lines[1])
    equal(c.run("bai-queue", "-h", "-j", str(job), "-o", "%i|%j|%T").stdout, f"{job}|plain|PENDING\n", "own format")
    c.run("bai-cancel", str(job))


if __name__ == "__main__":
    sys.exit(run_tests(Cluster(nodes=2, cpus=4), settings=("KillWait=2",)))

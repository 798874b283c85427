#!/usr/bin/env python3
"""The commands under Slurm's names, against what Slurm 22.05.8 was seen to print with nodes, partitions and jobs of the same shape."""
import json
import os
import subprocess
import sys

from bai import Cluster, await_true, check, equal, need_root, run_tests, test
from bai_slurm import NAMES, masked, slurm

PATH = {"PATH": NAMES + ":" + os.environ["PATH"]}


@test
def sbatch_says_so(c):
    slurm(c, "sbatch -H -J held --mem=10 --wrap true", "Submitted batch job 1\n")
    slurm(c, "sbatch --parsable -H -a 1-4%2 -J arr --mem=10 --wrap true", "2\n")
    slurm(c, "sbatch -Q -H -t 1:00:00 -J quiet --mem=10 --wrap true")
    slurm(c, "sbatch -d afterok:1 -J dep --mem=10 --wrap true", "Submitted batch job 4\n")
    slurm(c, "sbatch -J runs -w n1 -n 2 -c 4 --mem=100 -o /dev/null --wrap", status=255,
          err="sbatch: option '--wrap' requires an argument\nTry \"sbatch --help\" for more information\n")
    slurm(c, ["sbatch", "-J", "runs", "-w", "n1", "-n", "2", "-c", "4", "--mem=100", "-o", "/dev/null", "--wrap", "sleep 600"],
          "Submitted batch job 5\n")
    slurm(c, ["sbatch", "-J", "excl", "-w", "n2", "-N", "1", "--exclusive", "--mem=10", "-o", "/dev/null", "--wrap", "sleep 600"],
          "Submitted batch job 6\n")
    slurm(c, ["sbatch", "-J", "all", "-H", "--mem=0", "--comment", "a b", "--wrap", "true"], "Submitted batch job 7\n")
    slurm(c, "sbatch -J toolong -p other -t 10:00:00 --mem=10 --wrap true", "Submitted batch job 8\n")
    c.await_state(5, "RUNNING")
    c.await_state(6, "RUNNING")


@test
def sbatch_refuses(c):
    slurm(c, "sbatch -p nope --wrap true", status=1,
          err="sbatch: error: invalid partition specified: nope\nsbatch: error: Batch job submission failed: Invalid partition name specified\n")
    slurm(c, "sbatch -w n9 --wrap true", status=1, err="sbatch: error: Batch job submission failed: Invalid node name specified\n")
    slurm(c, "sbatch -L nolic --wrap true", status=1, err="sbatch: error: Batch job submission failed: Invalid license specification\n")
    slurm(c, "sbatch -t abc --wrap true", status=255, err="sbatch: error: Invalid --time specification\n")


@test
def squeue_shows(c):
    title = "             JOBID PARTITION     NAME     USER ST       TIME  NODES NODELIST(REASON)\n"
    user = c.job(1)["user"].rjust(8)[:8]
    slurm(c, "squeue", title +
          f"                 4      main      dep {user} PD       0:xx      1 (Dependency)\n"
          f"                 7      main      all {user} PD       0:xx      1 (JobHeldUser)\n"
          f"                 3      main    quiet {user} PD       0:xx      1 (JobHeldUser)\n"
          f"         2_[1-4%2]      main      arr {user} PD       0:xx      1 (JobHeldUser)\n"
          f"                 1      main     held {user} PD       0:xx      1 (JobHeldUser)\n"
          f"                 5      main     runs {user}  R       0:xx      1 n1\n"
          f"                 6      main     excl {user}  R       0:xx      1 n2\n"
          f"                 8     other  toolong {user} PD       0:xx      1 (PartitionTimeLimit)\n")
    slurm(c, "squeue -h -j 2_1", f"               2_1      main      arr {user} PD       0:xx      1 (JobHeldUser)\n")
    slurm(c, "squeue -h -r -o %i -n arr,held", "2_1\n2_2\n2_3\n2_4\n1\n")
    slurm(c, "squeue -h -S -i -o %i|%c|%m|%e|%r -n runs,all,quiet",
          "7|1|0|N/A|JobHeldUser\n5|4|100M|NONE|None\n3|1|10M|N/A|JobHeldUser\n")
    slurm(c, "squeue -j 99999", status=1, err="slurm_load_jobs error: Invalid job id specified\n")
    slurm(c, "squeue -w n9", status=1, err="squeue: error: Invalid node name n9\n")
    slurm(c, "squeue -h -j 1 -o %i|%!|", "1|%!|\n", err="squeue: error: Invalid job format specification: !\n")


@test
def sinfo_shows(c):
    slurm(c, "sinfo", "PARTITION AVAIL  TIMELIMIT  NODES  STATE NODELIST\n"
          "main*        up   infinite      1    mix n1\n"
          "main*        up   infinite      1  alloc n2\n"
          "other        up    1:00:00      1  alloc n2\n")
    slurm(c, "sinfo -N -n n1", "NODELIST   NODES PARTITION STATE \nn1             1     main* mix   \n")
    slurm(c, "sinfo -s", "PARTITION AVAIL  TIMELIMIT   NODES(A/I/O/T) NODELIST\n"
          "main*        up   infinite          2/0/0/2 n[1-2]\n"
          "other        up    1:00:00          1/0/0/1 n2\n")
    slurm(c, "sinfo -S -P,N -o", status=1, err="sinfo: option requires an argument -- 'o'\nTry \"sinfo --help\" for more information\n")
    slurm(c, ["sinfo", "-S", "-P,N", "-o", "%P %N"], "PARTITION NODELIST\nother n2\nmain* n[1-2]\n")
    slurm(c, ["sinfo", "-S", "t", "-h", "-o", "%t %N"], "alloc n2\nmix n1\n")
    slurm(c, "sinfo -T", "No reservations in the system\n")


@test
def scontrol_shows(c):
    done = c.run(os.path.join(NAMES, "scontrol"), "show", "job", "7")
    lines = masked(done.stdout).split("\n")
    for line in ("JobId=7 JobName=all", "   JobState=PENDING Reason=JobHeldUser Dependency=(null)",
                 "   SubmitTime=@ EligibleTime=Unknown", "   AccrueTime=Unknown", "   StartTime=Unknown EndTime=Unknown Deadline=N/A",
                 "   NumNodes=1 NumCPUs=1 NumTasks=1 CPUs/Task=1 ReqB:S:C:T=0:0:*:*", "   MinCPUsNode=1 MinMemoryNode=0 MinTmpDiskNode=0",
                 "   Comment=a b ", "   Power="):
        check(line in lines, f"{line!r} is not in {done.stdout}")
    equal(lines[-4:], ["   Power=", "   ", "", ""], "the end")
    done = c.run(os.path.join(NAMES, "scontrol"), "show", "partition", "other")
    check(done.stdout.endswith("   TRES=cpu=64,mem=20000M,node=1,billing=64\n\n"), done.stdout)
    done = c.run(os.path.join(NAMES, "scontrol"), "show", "config")
    for key in ("SlurmctldHost[0]", "SlurmctldPort", "SlurmUser", "SlurmdTimeout", "SLURM_VERSION", "StateSaveLocation", "MaxArraySize"):
        check(f"\n{key.ljust(23)} = " in done.stdout, f"{key} is not shown")
    slurm(c, "scontrol show node n9", "Node n9 not found\n", status=1)
    slurm(c, "scontrol show job 99999", err="slurm_load_jobs error: Invalid job id specified\n", status=1)


@test
def scontrol_refuses(c):
    for words, err in (
            ("hold 99999", "Invalid job id specified for job 99999\nslurm_suspend error: Invalid job id specified\n"),
            ("requeue 1", "Job is pending execution for job 1\n"),
            ("update JobId=99999 TimeLimit=5", "Invalid job id specified for job 99999\n"),
            ("update JobId=1 TimeLimit=abc", "scontrol: error: Invalid TimeLimit value\n"),
            ("update JobId=1 Bogus=3", "Update of this parameter is not supported: Bogus=3\nRequest aborted\n"),
            ("update JobId=1 Partition=nope", "Invalid partition name specified for job 1\n"),
            ("update NodeName=n9 State=DRAIN Reason=x", "slurm_update error: Invalid node name specified\n"),
            ("update NodeName=n1 State=DRAIN", "You must specify a reason when DOWNING or DRAINING a node. Request denied\n"),
            ("update PartitionName=nope State=DOWN", "slurm_update error: Invalid partition name specified\n"),
            ("update", "too few arguments for update keyword\n")):
        slurm(c, "scontrol " + words, err=err, status=1)
    slurm(c, "scontrol hold 5")  # a running job: not a word


@test
def scancel_says_so(c):
    slurm(c, "scancel 99999")
    slurm(c, "scancel -v 99999", err="scancel: Terminating job 99999\nscancel: error: Kill job error on job id 99999: Invalid job id specified\n")
    slurm(c, "scancel -s USR1 1", err="scancel: error: Kill job error on job id 1: Invalid job id specified\n", status=1)
    slurm(c, "scancel -i 1", "Cancel job_id=1 name=held partition=main [y/n]? ", stdin="n\n")
    slurm(c, "scancel 2_1")
    slurm(c, ["squeue", "-h", "-j", "2", "-o", "%i %t"], "2_[2-4%2] PD\n")
    slurm(c, "scancel 1 3 5 6")
    slurm(c, "scancel 1")


@test
def another_user_is_refused(c):
    need_root()
    nobody = (65534, 65534)
    slurm(c, "scancel 7", status=210, user=nobody, err="scancel: error: Kill job error on job id 7: Access/permission denied\n")
    slurm(c, "scontrol hold 7", status=1, user=nobody, err="Invalid user id for job 7\nslurm_suspend error: Invalid user id\n")
    slurm(c, "scontrol update NodeName=n1 State=DRAIN Reason=x", status=1, user=nobody, err="slurm_update error: Invalid user id\n")
    slurm(c, "scontrol reconfigure", status=1, user=nobody, err="slurm_reconfigure error: Invalid user id\n")
    slurm(c, "sbatch -H --nice=-5 --wrap true", status=1, user=nobody,
          err="sbatch: error: Batch job submission failed: Invalid --nice value\n")


@test
def what_slurm_has_and_a_cluster_alone_has_not(c):
    slurm(c, "scontrol show licenses", "LicenseName=lic2\n    Total=10 Used=0 Free=10 Reserved=0 Remote=no\n"
          "LicenseName=mat\n    Total=4 Used=0 Free=4 Reserved=0 Remote=no\n")
    slurm(c, "scontrol -o show lic mat", "LicenseName=mat Total=4 Used=0 Free=4 Reserved=0 Remote=no\n")
    for words in ("show burstbuffer", "show federation", "show license nope", "completing", "details", "oneliner", "exit"):
        slurm(c, "scontrol " + words)
    slurm(c, "scontrol show frontend", "No nodes in the system\n")
    slurm(c, "scontrol show topology", err="scontrol: error: No topology information available\n")
    slurm(c, "scontrol show reservation foo", "Reservation foo not found\n", status=1)
    slurm(c, "scontrol -M elsewhere show job", status=1, err="scontrol: error: Problem talking to database\n"
          "scontrol: error: 'elsewhere' can't be reached now, or it is an invalid entry for --cluster.  "
          "Use 'sacctmgr list clusters' to see available clusters.\n")
    own = c.run("squeue", "-h", "-M", "private", env=PATH).stdout
    equal(own, c.run("squeue", "-h", "--local", "--noconvert", "--hide", "--array-unique", env=PATH).stdout, "this cluster's own name")
    slurm(c, "sbatch -H --reservation=foo --wrap true", status=1,
          err="sbatch: error: Batch job submission failed: Requested reservation is invalid\n")
    for words in ("scancel -R foo", "scancel --wckey=foo", "scancel -q nope"):
        slurm(c, words)


@test
def scontrol_reads_a_prompt(c):
    slurm(c, "scontrol", "scontrol: LicenseName=mat Total=4 Used=0 Free=4 Reserved=0 Remote=no\nscontrol: ", stdin="-o show lic mat\nquit\n")
    slurm(c, "scontrol", "scontrol: scontrol: LicenseName=mat Total=4 Used=0 Free=4 Reserved=0 Remote=no\n"
          "scontrol: LicenseName=mat Total=4 Used=0 Free=4 Reserved=0 Remote=no\nscontrol: \n", stdin="oneliner\nshow lic mat\n!!\n")


@test
def partitions_are_made_and_unmade(c):
    slurm(c, "scontrol create partitionname=main", err="Error creating the partition: Invalid partition name specified\n", status=1)
    slurm(c, "scontrol create partitionname=night nodes=n9", err="Error creating the partition: Invalid node name specified\n", status=1)
    slurm(c, "scontrol create partitionname=night foo=1", status=1,
          err="scontrol: error: Update of this parameter is not supported: foo=1\n\nscontrol: error: Request aborted\n")
    slurm(c, "scontrol create foo=1", status=1, err="scontrol: error: Invalid creation entity: foo=1\n")
    slurm(c, "scontrol create partitionname=night nodes=n2 maxtime=10")
    slurm(c, ["sinfo", "-h", "-p", "night", "-o", "%P %l %N"], "night 10:00 n2\n")
    job = c.submit("-H", "-p", "night", script="true")
    c.kill("ctld")
    c.up()
    slurm(c, ["sinfo", "-h", "-p", "night", "-o", "%P %l %N"], "night 10:00 n2\n")
    c.run("bai-control", "reconfigure")
    slurm(c, "scontrol update partitionname=night nodes=n[1-2] defaulttime=5")
    slurm(c, ["sinfo", "-h", "-p", "night", "-o", "%P %L %N"], "night 5:00 n[1-2]\n")
    slurm(c, "scontrol delete partitionname=night", err="delete_partition partitionname=night: Partition is in use\n", status=1)
    c.run("bai-cancel", str(job))
    c.await_state(job, "CANCELLED")
    slurm(c, "scontrol delete partitionname=night")
    slurm(c, "scontrol delete partitionname=night", err="delete_partition partitionname=night: Invalid partition name specified\n", status=1)
    slurm(c, "scontrol delete partitionname=main", err="delete_partition partitionname=main: Partition is in use\n", status=1)
    c.kill("ctld")
    c.up()
    check("night" not in c.run("bai-info").stdout, "it is gone for good")


@test
def jobs_are_looked_at_and_changed(c):
    script = "#!/bin/sh\n# two lines\necho $1\n"
    job = c.submit("-H", "-J", "theirs", "--mem=10", script=script)
    slurm(c, f"scontrol write batch_script {job} -", script)
    slurm(c, f"scontrol write batch_script {job}", f"batch script for job {job} written to slurm-{job}.sh\n")
    equal(c.read(f"slurm-{job}.sh"), script, "the file")
    slurm(c, "scontrol write batch_script 99999 -", status=1, err="job script retrieval failed: Invalid job id specified\n")
    done = c.run(os.path.join(NAMES, "sacct"), "-B", "-j", str(job))
    equal(done.stdout, f"Batch Script for {job}\n" + 80 * "-" + "\n" + script, "sacct -B")
    other = c.submit("-H", "--mem=10", script="true")
    slurm(c, f"scontrol update JobId={job} Dependency=afterany:{other}")
    equal(c.run("squeue", "-h", "-j", str(job), "-o", "%E", env=PATH).stdout.split("(")[0], f"afterany:{other}", "its dependency")
    slurm(c, f"scontrol update JobId={job} Dependency=")
    slurm(c, f"scontrol update JobId={job} TimeLimit=10")
    slurm(c, f"scontrol update JobId={job} TimeLimit+=5")
    slurm(c, ["squeue", "-h", "-j", str(job), "-o", "%l"], "15:00\n")
    slurm(c, "scontrol release jobname=theirs")
    c.await_state(job, "COMPLETED")
    slurm(c, f"scontrol wait_job {job}", status=1, err=f"scontrol: Problem running job {job}\n")
    need_root()
    slurm(c, f"scontrol write batch_script {job} -", status=1, user=(65534, 65534), err="job script retrieval failed: Access/permission denied\n")


@test
def a_steps_time_limit_changes(c):
    job = c.submit("-n1", "--mem=10", "-o", "/dev/null", script="bai-run sleep 600")
    await_true(lambda: c.run("squeue", "-h", "-s", "-j", str(job), "-o", "%i", env=PATH).stdout.count(f"{job}.0"), "the step")
    slurm(c, f"scontrol wait_job {job}", err=f"scontrol: Nodes are ready for job {job}\n")
    pids = c.run(os.path.join(NAMES, "scontrol"), "listpids", f"{job}.0").stdout.splitlines()
    equal((pids[0], len(pids), pids[1].split()[1:3]), ("PID      JOBID    STEPID   LOCALID GLOBALID", 2, [str(job), "0"]), "its processes")
    slurm(c, f"scontrol update StepId={job}.0 Foo=1", err="Update of this parameter is not supported: Foo=1\nRequest aborted\n", status=1)
    slurm(c, f"scontrol update StepId={job}.0 TimeLimit=5")
    slurm(c, f"scontrol update StepId={job}.0 TimeLimit+=2")
    steps = json.loads(c.run("bai-acct", "--json", "-j", str(job)).stdout)["jobs"][0]["steps"]
    equal([s["time_limit_s"] for s in steps if s["step_id"] == "0"], [420], "the step's limit")
    c.run("bai-cancel", str(job))
    c.await_end_of(job)


@test
def a_job_is_awaited_until_it_has_its_nodes(c):
    job = c.submit("-H", "--mem=10", "-o", "/dev/null", script="sleep 600")
    waiting = subprocess.Popen([os.path.join(NAMES, "scontrol"), "wait_job", str(job)], env=c.env, text=True, stderr=subprocess.PIPE)
    status = f"/proc/{waiting.pid}/status"
    await_true(lambda: "(sleeping)" in open(status, encoding="utf-8").read(), "it to wait")
    c.run("bai-control", "release", str(job))
    equal(waiting.communicate(timeout=60)[1], f"scontrol: Nodes are ready for job {job}\n", "what it says")
    equal(waiting.returncode, 0, "its exit status")
    c.run("bai-cancel", str(job))
    c.await_end_of(job)


@test
def scripts_with_options_of_other_clusters_run(c):
    script = """#!/bin/bash
#SBATCH --hint=nomultithread --acctg-freq=30 --profile=none -s -k
#SBATCH --mem-bind=local --cpu-freq=high --time-min=1 --wckey=x --propagate=NONE
#SBATCH -m cyclic -O -B 1:1:1
echo $SLURM_DISTRIBUTION $SLURM_OVERCOMMIT
"""
    with open(c.path("others.sh"), "w", encoding="utf-8") as f:
        f.write(script)
    with open(c.path("nodes"), "w", encoding="utf-8") as f:
        f.write("n2\n")
    job = int(c.run(os.path.join(NAMES, "sbatch"), "--parsable", "--mem=10", "-o", "others.out", "-F", "nodes", "others.sh").stdout)
    equal(c.await_state(job, "COMPLETED")["node_list"], "n2", "-F")
    equal(c.read("others.out"), "cyclic 1\n", "what its steps would hear")


@test
def versions(c):
    for name in ("sbatch", "squeue", "sinfo", "scancel", "scontrol", "sacct"):
        slurm(c, name + " --version", "slurm-wlm 22.05.8\n")


if __name__ == "__main__":
    sys.exit(run_tests(Cluster(nodes=2, cpus=64, memory="20000"), settings=("PartitionName=other Nodes=n2 MaxTime=60 State=UP", "KillWait=2", "Licenses=mat:4,lic2:10")))

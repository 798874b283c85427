#!/usr/bin/env python3
"""What is typed wrong: exit status 2, what and where, and nothing changed."""
import os
import sys

from bai import BIN, Cluster, check, equal, run_tests, test

SUBMIT = ("--time=soon", "--time=-5", "--time=1:2:3:4", "--mem=lots", "--mem=-1", "--mem=5Q", "--mem=99999999999999999999G", "--mem-per-cpu=1.5.2G", "--nodes=0",
          "--nodes=4-2", "--nodes=x", "--nodes=", "--ntasks=0", "--ntasks=-3", "--ntasks=99999999999999999999", "--cpus-per-task=none", "--array=", "--array=5-1",
          "--array=1-", "--array=a", "--array=1-9:0", "--array=1-9%", "--array=-1", "--dependency=afterok", "--dependency=before:1", "--dependency=afterok:x",
          "--dependency=after:1+x", "--begin=yesterdayish", "--begin=25:99", "--deadline=never", "--signal=NOSUCH", "--signal=B:", "--signal=USR1@x", "--open-mode=rewrite",
          "--nice=much", "--priority=-1", "--priority=x", "--mail-type=SOMETIMES", "--nodelist=n[1-", "--nodelist=n[2-1]", "--nodelist=n]", "--exclude=n[1-999999999999]",
          "--job-name=a\nb", "--comment=\x1b[31m", "--nosuchoption", "--tim=5=5", "-Z", "--request-id=xyz", "--exclusive=maybe", "--chdir=relative\x07")
OTHERS = (("bai-queue", "--states=SLEEPING"), ("bai-queue", "--jobs=x"), ("bai-queue", "--nosuch"), ("bai-queue", "--sort=&"), ("bai-cancel", "abc"), ("bai-cancel", "1_x"),
          ("bai-cancel", "--signal=NOSUCH", "1"), ("bai-cancel", "1_[3-1]"), ("bai-cancel", "-1"), ("bai-cancel",), ("bai-cancel", "99999999999999999999"),
          ("bai-info", "--states=fast"), ("bai-info", "--nodes=n[1-"), ("bai-acct", "--starttime=whenever"), ("bai-acct", "--format=nosuchfield"),
          ("bai-acct", "--state=XX"), ("bai-control",), ("bai-control", "frobnicate"), ("bai-control", "show"), ("bai-control", "show", "wheel"),
          ("bai-control", "update"), ("bai-control", "update", "JobId=1"), ("bai-control", "update", "JobId=x", "Comment=y"), ("bai-control", "update", "Comment=y"),
          ("bai-control", "hold", "x"), ("bai-control", "hold"), ("bai-diag", "--nosuch"), ("bai-diag", "extra"), ("bai-ctld", "--log-level=loud"), ("bai-ctld", "--nosuch"),
          ("bai-agentd", "--nosuch"))
CONFIG = ("CtldPort=99999", "CtldPort=x", "KillWait=-3", "KillWait=soon", "NodeName=n[1- CPUs=4", "NodeName=n9 CPUs=many", "NodeName=n9 CPUs=0", "NodeName=n9 Speed=9",
          "PartitionName=p Nodes=nosuch[1-2]", "PartitionName=p MaxTime=later", "PartitionName=p Sate=UP", "NoSuchKey=1", "CtldPrt=1", "just words", "=", "Include /no/such/file",
          "MaxArraySize=-1", "MaxJobCount=lots", "StoreType=oracle", "AllowRootJobs=perhaps", "BaiUser=no_such_user_here", "Key\x07=1")


def refused(c, words, what=None, **more):
    done = c.run(*words, ok=None, **more)
    equal(done.returncode, 2, f"exit status of {words}: {done.stdout.strip()} {done.stderr.strip()}")
    check(done.stderr.strip(), f"{words}: no word")
    check("\x1b" not in done.stderr and "\x07" not in done.stderr, f"{words}: control characters come back")
    if what:
        check(what in done.stderr, f"{words}: {done.stderr.strip()!r} does not say {what!r}")


def each(cases, attempt):
    """All that fail, not the first only."""
    bad = []
    for case in cases:
        try:
            attempt(case)
        except AssertionError as error:
            bad.append(str(error))
    check(not bad, f"{len(bad)} of {len(cases)}: " + "; ".join(bad))


@test
def options_of_bai_submit(c):
    each(SUBMIT, lambda option: refused(c, ["bai-submit", option, "--wrap", "true"], option.split("=")[0].lstrip("-") if "=" in option else None))
    equal(c.queue(), [], "jobs")


@test
def directives(c):
    def attempt(option):
        if "\n" in option or "=" not in option:
            return
        done = c.run("bai-submit", ok=None, stdin=f"#!/bin/sh\n# words\n#BAI {option}\ntrue\n")
        equal(done.returncode, 2, f"exit status of #BAI {option}: {done.stderr.strip()}")
        check("3" in done.stderr, f"#BAI {option}: without its line: {done.stderr.strip()}")

    each([o for o in SUBMIT if not o.startswith(("--request-id", "--chdir", "--tim="))], attempt)
    equal(c.queue(), [], "jobs")


@test
def the_other_commands(c):
    each(OTHERS, lambda words: refused(c, words))
    equal(c.queue(), [], "jobs")


@test
def lines_of_bai_conf(c):
    with open(c.conf, encoding="utf-8") as f:
        text = f.read()
    before = c.run("bai-control", "show", "config").stdout.split("\n", 1)[1]
    broken = c.path("broken.conf")
    line = text.count("\n") + 1

    def attempt(bad):
        with open(broken, "w", encoding="utf-8") as f:
            f.write(text + bad + "\n")
        done = c.run("bai-control", "check-config", broken, ok=None)
        check(done.returncode in (1, 2), f"{bad!r} is taken")
        check(f"{broken}:{line}" in done.stderr, f"{bad!r}: without its place: {done.stderr.strip()}")
        done = c.run(os.path.join(BIN, "bai-ctld"), "--conf", broken, ok=None)
        equal(done.returncode, 2, f"bai-ctld with {bad!r}: {done.stderr.strip()}")

    each(CONFIG, attempt)
    with open(c.conf, "a", encoding="utf-8") as f:
        f.write("NoSuchKey=1\n")
    done = c.run("bai-control", "reconfigure", ok=False)
    check(f"{c.conf}:{line}" in done.stderr, done.stderr)
    with open(c.conf, "w", encoding="utf-8") as f:
        f.write(text)
    equal(c.run("bai-control", "show", "config").stdout.split("\n", 1)[1], before, "the configuration in force")


if __name__ == "__main__":
    sys.exit(run_tests(Cluster(nodes=1)))

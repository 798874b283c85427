#!/usr/bin/env python3
"""Holds the manual pages to what the programs say: every option of --help is in its page with the same form of value, and
every option in the page is an option; bash completion offers each of them; pages are sound mdoc."""
import glob
import os
import re
import shutil
import subprocess
import sys

SRC = os.environ.get("BAI_SRC") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("BAI_BIN") or os.path.join(SRC, "build/bin")
SECTIONS = {
    "1": ["NAME", "SYNOPSIS", "DESCRIPTION", "ENVIRONMENT", "FILES", "EXIT STATUS", "EXAMPLES", "SEE ALSO"],
    "8": ["NAME", "SYNOPSIS", "DESCRIPTION", "ENVIRONMENT", "FILES", "EXIT STATUS", "EXAMPLES", "SEE ALSO"],
    "5": ["NAME", "DESCRIPTION", "FILES", "EXAMPLES", "SEE ALSO"],
    "7": ["NAME", "DESCRIPTION", "EXAMPLES", "SEE ALSO"],
}
failed = False


def report(name, problems):
    global failed
    if problems:
        failed = True
        print(f"not ok {name}: {'; '.join(problems)}", flush=True)
    else:
        print(f"ok {name}", flush=True)


def run(*words):
    env = {k: v for k, v in os.environ.items() if k != "BAI_CONF"}
    return subprocess.run(words, env=env, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=60, check=False)


def help_options(text):
    """{long name: (letter, form of value)}: "none", "required" or "optional"."""
    found = {}
    for line in text.splitlines():
        match = re.match(r"  (?:-(.), |    )--([A-Za-z][\w-]*)(\[=|=)?", line)
        if match:
            form = {None: "none", "=": "required", "[=": "optional"}[match[3]]
            found[match[2]] = (match[1] or "", form)
    return found


def help_commands(text):
    """The words below "Commands:", as bai-control has them."""
    _, _, below = text.partition("\nCommands:\n")
    return re.findall(r"^  ([a-z_-]+)", below, re.M)


def page_options(text):
    found = {}
    for line in text.splitlines():
        match = re.match(r"\.It (?:Fl (\S) , )?Fl Fl ([A-Za-z][\w-]*)( Ns = Ns Ar| Ns Oo = Ns Ar|$)", line)
        if match:
            form = {"": "none", " Ns = Ns Ar": "required", " Ns Oo = Ns Ar": "optional"}[match[3]]
            found[match[2]] = (match[1] or "", form)
    return found


def shown(name, option):
    return (f"-{option[0]}, " if option[0] else "") + f"--{name} (value {option[1]})"


def check_options(program, page):
    answer = run(os.path.join(BIN, program), "--help")
    problems = []
    if answer.returncode != 0:
        problems.append(f"--help exits with {answer.returncode}")
    said = help_options(answer.stdout)
    with open(page, encoding="utf-8") as f:
        text = f.read()
    written = page_options(text)
    for name, option in said.items():
        if name not in written:
            problems.append(f"the page lacks {shown(name, option)}")
        elif written[name] != option:
            problems.append(f"the page has {shown(name, written[name])}, the program {shown(name, option)}")
    problems += [f"the page has {shown(n, o)}, the program does not" for n, o in written.items() if n not in said]
    if not said:
        problems.append("--help lists no option")
    for command in help_commands(answer.stdout):
        if not re.search(rf"^\.(It Ic {command}( |$)|Ic {command}$)", text, re.M):
            problems.append(f"the page lacks the command {command}")
    report(f"{program}: options", problems)
    return said


def check_page(page):
    name = os.path.basename(page)
    with open(page, encoding="utf-8") as f:
        text = f.read()
    problems = []
    title, section = name.rsplit(".", 1)
    if f".Dt {title.upper()} {section}\n" not in text:
        problems.append(f"no .Dt {title.upper()} {section}")
    here = re.findall(r"^\.Sh (.*)$", text, re.M)
    wanted = SECTIONS[section]
    problems += [f"no section {s}" for s in wanted if s not in here]
    for other, number in re.findall(r"^\.Xr (bai[\w.-]*) (\d)", text, re.M):
        if not os.path.exists(os.path.join(SRC, "man", f"{other}.{number}")):
            problems.append(f"refers to {other}({number}), which is not there")
    if shutil.which("mandoc"):
        lint = run("mandoc", "-T", "lint", "-W", "warning", page)
        problems += [line.split(":", 2)[-1].strip() for line in lint.stdout.splitlines()]
    report(f"{name}: page", problems)


def check_completion(program, options):
    """What bash offers after `PROGRAM --`."""
    script = os.path.join(SRC, "etc/completion/bai-submit")
    code = ('source "$1"; COMP_WORDS=("$2" --) COMP_CWORD=1 COMP_LINE="$2 --" COMP_POINT=${#COMP_LINE}; '
            '_bai "$2" -- "$2"; printf "%s\\n" "${COMPREPLY[@]}"')
    answer = run("bash", "--norc", "-c", code, "bash", script, os.path.join(BIN, program))
    offered = {word.rstrip("= ") for word in answer.stdout.split("\n")}
    problems = [f"--{name} is not offered" for name in options if f"--{name}" not in offered]
    link = os.path.join(SRC, "etc/completion", program)
    if not os.path.exists(link):
        problems.append(f"etc/completion/{program} is missing")
    report(f"{program}: completion", problems)


def main():
    programs = sorted(os.path.basename(p) for p in glob.glob(os.path.join(BIN, "bai-*")) if os.access(p, os.X_OK))
    if not programs:
        print(f"skip man: no programs in {BIN}")
        return 0
    for program in programs:
        pages = [p for p in glob.glob(os.path.join(SRC, "man", program + ".[18]"))]
        if not pages:
            report(f"{program}: options", [f"there is no page man/{program}.1 or .8"])
            continue
        options = check_options(program, pages[0])
        if pages[0].endswith(".1"):
            check_completion(program, options)
    for page in sorted(glob.glob(os.path.join(SRC, "man", "*.[1578]"))):
        check_page(page)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

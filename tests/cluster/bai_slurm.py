"""Commands under Slurm's names, held to the bytes that Slurm 22.05.8 was seen to print."""
import os
import re

from bai import BIN, equal

NAMES = os.path.join(os.path.dirname(BIN), "slurm", "bin")


def masked(text):
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", "@", text)
    text = re.sub(r"[A-Z][a-z]{2} [A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d \d{4}", "@", text)
    return re.sub(r"\b0:\d\d\b", "0:xx", text)


def slurm(c, words, out="", err="", status=0, **more):
    """Runs a command by Slurm's name and holds it to the bytes."""
    words = words.split() if isinstance(words, str) else words
    done = c.run(os.path.join(NAMES, words[0]), *words[1:], ok=None, **more)
    what = " ".join(words)
    equal(masked(done.stdout), out, what + ": output")
    equal(masked(done.stderr), err, what + ": messages")
    equal(done.returncode, status, what + ": exit status")
    return done

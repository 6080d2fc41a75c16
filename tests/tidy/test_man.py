#!/usr/bin/env python3
"""Every command is explained in the man page, and every option of --help stands there.

Usage: test_man.py SOURCE_FOLDER BUILD_FOLDER
"""
import os
import re
import subprocess
import sys


def commands(source):
    with open(os.path.join(source, "client/commands.def"), encoding="utf-8") as file:
        return re.findall(r'^COMMAND\("([^"]+)"', file.read(), re.M)


def sections(source):
    """The man page's text under each `## tern ...`."""
    with open(os.path.join(source, "docs/man/tern.1.scd"), encoding="utf-8") as file:
        parts = re.split(r"^(#+ .*)$", file.read(), flags=re.M)
    return {head[len("## tern "):].strip(): text for head, text in zip(parts[1::2], parts[2::2])
            if head.startswith("## tern ")}


def options(build, words):
    run = subprocess.run([os.path.join(build, "tern"), *words.split(), "--help"], capture_output=True, text=True,
                         check=True)
    return set(re.findall(r"^  (--[\w-]+)", run.stdout, re.M))


def main():
    source, build = sys.argv[1:3]
    explained = sections(source)
    wrong = []
    names = commands(source)
    for words in names:
        if words not in explained:
            wrong.append(f"docs/man/tern.1.scd: no section '## tern {words}'")
            continue
        for option in sorted(options(build, words)):
            if f"*{option}*" not in explained[words]:
                wrong.append(f"docs/man/tern.1.scd: '## tern {words}' doesn't explain *{option}*")
    for words in explained:
        if words not in names:
            wrong.append(f"docs/man/tern.1.scd: '## tern {words}' is no command")
    print("\n".join(wrong) or f"{len(names)} commands explained")
    return 1 if wrong or not names else 0


if __name__ == "__main__":
    sys.exit(main())

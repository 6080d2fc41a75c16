#!/usr/bin/env python3
"""Each rule of tidy.py finds a breach of it: test_tidy.py SOURCE_FOLDER"""
import os
import subprocess
import sys
import tempfile

LICENCE = "/* SPDX-License-Identifier: Apache-2.0 */\n"
LIMITS = "<!-- limits: begin (scripts/limits) -->\n<!-- limits: end -->\n"

# rule: files that break it.
BREACHES = {
    "layers": {"hnsw/a.c": LICENCE + '#include "net/port.h"\n'},
    "meson_layers": {"config/meson.build": "config_dep = declare_dependency(dependencies: [hnsw_dep])\n"},
    "headers": {"base/a.h": LICENCE + "#pragma once\n/* Threads: any. */\nint a(struct unknown_to_all x, size_t n);\n"},
    "licence": {"base/a.c": "int a;\n"},
    "banned": {"base/a.c": LICENCE + "int f(char *a) { return atoi(a); }\n"},
    "unfinished": {"base/a.c": LICENCE + "/* TODO: all of it */\n"},
    "comments": {"base/a.c": LICENCE + "int a; // a\n"},
    "prefixes": {"base/a.c": LICENCE + "int rdma_open(void)\n{\n}\n"},
    "blobs": {"base/a.bin": "x" * 200000},
    "links": {"docs/a.md": "[b](b.md)\n"},
    "messages": {"proto/messages.def": LICENCE + "MESSAGE(21, A, A, S_S, GRAPH, 0)\n"},
    "limits": {"base/a.h": LICENCE + "#define A_THING_MAX 3\n"},
    "packages": {"scripts/a": "apt-get install -y gcc\n"},
}


def run_rule(source, rule, files):
    with tempfile.TemporaryDirectory() as folder:
        files = {"ARCHITECTURE.md": LIMITS, **files}
        for name, text in files.items():
            path = os.path.join(folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        os.makedirs(os.path.join(folder, "scripts"), exist_ok=True)
        os.symlink(os.path.join(source, "scripts/limits"), os.path.join(folder, "scripts/limits"))
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
        subprocess.run(["git", "add", *files], cwd=folder, check=True)
        return subprocess.run([sys.executable, os.path.join(source, "tests/tidy/tidy.py"), folder, rule],
                              capture_output=True, text=True, check=False)


def main():
    source = os.path.abspath(sys.argv[1])
    failed = 0
    for rule, files in BREACHES.items():
        result = run_rule(source, rule, files)
        name = next(iter(files))
        if result.returncode != 1 or (name + ":" not in result.stdout and rule != "limits"):
            print(f"{rule} doesn't find its breach: {result.stdout}{result.stderr}")
            failed += 1
    print(f"{len(BREACHES)} rules, {failed} blind")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())

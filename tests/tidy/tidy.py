#!/usr/bin/env python3
"""The house rules that a machine can hold.

Usage: tidy.py SOURCE_FOLDER RULE

One rule a run, so that each is a test with a name of its own. Every breach is a line `file:line: what`;
the exit status is 1 when there is one.
"""
import os
import re
import subprocess
import sys

# Which folders a folder's files may include: DESIGN's arrows.
ARROWS = {
    "base": set(),
    "proto": {"base"},
    "config": {"base"},
    "hnsw": {"base"},
    "engine": {"base"},
    "rdma": {"base", "proto"},
    "net": {"base", "proto"},
    "cluster": {"base", "proto", "hnsw", "engine", "rdma"},
    "dataplane": {"base", "proto", "config", "hnsw", "engine", "rdma", "net", "cluster"},
    "client": {"base", "proto", "config", "hnsw", "engine", "rdma", "net", "cluster"},
}
FREE = {"tests", "perf"}  # may include anything

# Functions nobody calls: what to use instead.
BANNED = {
    "strcpy": "memcpy with a checked size, or snprintf",
    "strcat": "snprintf",
    "sprintf": "snprintf",
    "strtok": "strcspn or strsep",
    "atoi": "strtoull with its end checked",
    "atol": "strtoull with its end checked",
    "gets": "fgets",
    "rand": "base/rand.h",
    "random": "base/rand.h",
    "srand": "base/rand.h",
    "alloca": "memory taken at start",
}

# Prefixes that belong to libraries; a function of ours never begins with one.
TAKEN = ("rte_", "ibv_", "verbs_", "mlx5dv_", "hwloc_", "numa_", "io_uring_", "cyaml_", "yaml_", "json_",
         "crc32_", "crc64_", "sd_", "rcu_", "cds_", "XXH", "rdma_")

BLOB_MAX = 100 * 1024

errors = []


def breach(path, line, text):
    errors.append(f"{path}:{line}: {text}")


def tracked(*suffixes):
    listing = subprocess.run(["git", "ls-files", "-z"], check=True, capture_output=True).stdout
    for name in listing.decode().split("\0"):
        if name and os.path.isfile(name) and (not suffixes or name.endswith(suffixes)):
            yield name


def lines_of(path):
    with open(path, encoding="utf-8") as file:
        return file.read().split("\n")


def without_comments(text):
    """The same number of lines, comments and strings blanked."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r'/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def rule_layers():
    for path in tracked(".c", ".h", ".inc"):
        folder = path.split("/")[0]
        if folder in FREE:
            continue
        for number, line in enumerate(lines_of(path), 1):
            match = re.match(r'#include "([^"]+)"', line)
            if not match:
                continue
            target = match.group(1).split("/")[0]
            if "/" not in match.group(1):
                breach(path, number, f'"{match.group(1)}" has no folder: write the path from the root')
            elif target != folder and target not in ARROWS[folder]:
                breach(path, number, f"{folder}/ must not include {target}/")


def rule_meson_layers():
    """A folder's library is given only the dependencies of its row."""
    for folder, allowed in ARROWS.items():
        path = f"{folder}/meson.build"
        if not os.path.exists(path):
            continue
        for number, line in enumerate(lines_of(path), 1):
            for name in re.findall(r"\b(\w+?)_(?:dep|lib)\b", line.split("#")[0]):
                name = name.split("_")[0]
                if name in ARROWS and name != folder and name not in allowed:
                    breach(path, number, f"{folder}/ must not link {name}/")


def rule_headers():
    """Every header stands alone, begins with its licence and says who may call it."""
    compilers = [["gcc", "-std=gnu11", "-x", "c"]]
    flags = subprocess.run(["pkg-config", "--cflags", "libdpdk", "hwloc", "jansson"], capture_output=True,
                           check=True, text=True).stdout.split()
    for path in tracked(".h"):
        lines = lines_of(path)
        if "#pragma once" not in lines[:3]:
            breach(path, 2, "no #pragma once")
        folder = path.split("/")[0]
        if folder not in FREE and "Threads:" not in "\n".join(lines):
            breach(path, 1, 'no "Threads:" line')
        runs = compilers + ([["g++", "-std=c++17", "-x", "c++"]] if "client/include" in path else [])
        for compiler in runs:
            result = subprocess.run(
                compiler + ["-D_GNU_SOURCE", "-I.", "-fsyntax-only", "-Wall", "-Werror", *flags, "-"],
                input=f'#include "{path}"\n', text=True, capture_output=True, check=False)
            if result.returncode:
                breach(path, 1, f"does not stand alone ({compiler[0]}): {result.stderr.strip().splitlines()[0]}")


def rule_licence():
    for path in tracked(".c", ".h", ".inc", ".cpp", ".hpp", ".def"):
        if lines_of(path)[0] != "/* SPDX-License-Identifier: Apache-2.0 */":
            breach(path, 1, "the first line is not the licence line")


def rule_banned():
    call = re.compile(r"\b(" + "|".join(BANNED) + r")\s*\(")
    heap = re.compile(r"(?<![\w>.])(?:malloc|calloc|realloc)\s*\(")
    for path in tracked(".c", ".h", ".inc"):
        text = without_comments("\n".join(lines_of(path)))
        for number, line in enumerate(text.split("\n"), 1):
            match = call.search(line)
            if match:
                breach(path, number, f"{match.group(1)}(): use {BANNED[match.group(1)]}")
            if heap.search(line) and path.startswith("proto/") and not re.search(r"session|endpoint", path):
                breach(path, number, "proto/ allocates nothing outside endpoint_new()")


def rule_unfinished():
    word = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|#if 0")
    for path in tracked(".c", ".h", ".inc", ".def", ".py", ".sh", ".build", ".md", ".yaml"):
        if path.startswith("tests/tidy/"):
            continue
        for number, line in enumerate(lines_of(path), 1):
            match = word.search(line)
            if match:
                breach(path, number, f"'{match.group(0)}' has no place on main")


def rule_comments():
    for path in tracked(".c", ".h", ".inc", ".cpp", ".hpp"):
        text = without_comments("\n".join(lines_of(path)))
        for number, line in enumerate(text.split("\n"), 1):
            if re.search(r"(^|\s)//", line):
                breach(path, number, "comments are /* */")


def rule_prefixes():
    definition = re.compile(r"^(?:static |inline |const |struct |unsigned |NOINLINE |_Noreturn )*\w[\w ]*[ *](\w+)\([^;]*$")
    for path in tracked(".c", ".h", ".inc"):
        text = without_comments("\n".join(lines_of(path)))
        for number, line in enumerate(text.split("\n"), 1):
            match = definition.match(line)
            if not match:
                continue
            name = match.group(1)
            if name.startswith(TAKEN):
                breach(path, number, f"the prefix of {name}() belongs to a library")
            if name.startswith("_"):
                breach(path, number, f"{name}() begins with an underscore")
            if name.startswith("tern_") and not path.startswith(("client/", "tests/", "perf/")):
                breach(path, number, f"{name}(): tern_ is for the public API")


def rule_blobs():
    for path in tracked():
        if not path.startswith("tests/data/") and os.path.getsize(path) > BLOB_MAX:
            breach(path, 1, f"{os.path.getsize(path)} bytes; only tests/data holds more than {BLOB_MAX}")


def rule_links():
    for path in tracked(".md"):
        folder = os.path.dirname(path)
        for number, line in enumerate(lines_of(path), 1):
            for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", line):
                if "://" not in target and not os.path.exists(os.path.join(folder, target)):
                    breach(path, number, f"links to {target}, which is not there")


def rule_messages():
    numbers = []
    for number, line in enumerate(lines_of("proto/messages.def"), 1):
        match = re.match(r"MESSAGE\((\d+),", line)
        if match:
            numbers.append(int(match.group(1)))
            if numbers[-1] == 21:
                breach("proto/messages.def", number, "21 is retired")
    if sorted(set(numbers)) != numbers or len(numbers) != 46:
        breach("proto/messages.def", 1, "numbers are not 46, ascending and unique")


def rule_limits():
    """Every *_MAX of a header stands in ARCHITECTURE.md's table of limits."""
    result = subprocess.run(["scripts/limits", "--check"], capture_output=True, text=True, check=False)
    errors.extend(result.stdout.split("\n")[:-1])
    if result.returncode and not errors:
        errors.append("scripts/limits:1: " + result.stderr.strip())


def rule_packages():
    """Packages are named in one list: nobody else installs."""
    for path in tracked():
        if path.startswith(("scripts/setup", "tests/tidy/")) or path.endswith(".md"):
            continue
        try:
            lines = lines_of(path)
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(lines, 1):
            if re.search(r"apt-get (-\S+ )*install", line) and "scripts/packages.txt" not in line:
                if not path.startswith(("client/", "net/", "dataplane/", "docs/man")):  # texts that tell users
                    breach(path, number, "installs by itself: scripts/packages.txt is the list")


def main():
    os.chdir(sys.argv[1])
    globals()["rule_" + sys.argv[2]]()
    for line in errors:
        print(line)
    print(f"{sys.argv[2]}: {len(errors)} breaches")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())

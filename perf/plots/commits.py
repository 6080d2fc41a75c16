#!/usr/bin/env python3
"""Prints a row for each number of writers, "writers rate rate ...", from the JSON lines of bench_commit.

Usage: commits.py FILE STORE ...    the stores' columns, in that order

A store that the file doesn't have is an error.
"""
import json
import re
import sys


def read(path):
    """By number of writers: the stores' commits a second."""
    rows = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            value = json.loads(line)
            match = re.fullmatch(r"(\d+) writers, tern beside (\w+)", value["name"])
            if match:
                row = rows.setdefault(int(match[1]), {})
                row[match[2]] = value["raw"]
                row["tern"] = value["ours"]
    return rows


def main():
    path, stores = sys.argv[1], sys.argv[2:]
    rows = read(path)
    if not rows:
        sys.exit(f"{path}: has no line of bench_commit; give it the output of 'bench_commit --json'")
    for writers, row in sorted(rows.items()):
        missing = [store for store in stores if store not in row]
        if missing:
            sys.exit(f"{path}: has no {' and no '.join(missing)} with {writers} writers")
        name = f"{writers} writer" + ("s" if writers > 1 else "")
        print(f'"{name}"', *(f"{row[store]:.0f}" for store in stores))


if __name__ == "__main__":
    main()

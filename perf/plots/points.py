#!/usr/bin/env python3
"""Prints "recall qps label" for each search in JSON lines of `tern bench ann --json`, best points only.

Usage: points.py FILE

A point that another one beats in both recall and queries a second is left out (the Pareto front). Lines of
other events are passed over; a file without any search is an error.
"""
import json
import sys


def points(path):
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                value = json.loads(line)
            except ValueError as error:
                sys.exit(f"{path}:{number}: no JSON: {error}")
            if isinstance(value, dict) and value.get("event") == "search":
                yield float(value["recall"]), float(value["qps"]), value["ef"]


def front(all_points):
    best = 0.0
    for recall, qps, ef in sorted(all_points, key=lambda point: (-point[0], -point[1])):
        if qps > best:
            best = qps
            yield recall, qps, ef


def main():
    found = sorted(front(list(points(sys.argv[1]))))
    if not found:
        sys.exit(f"{sys.argv[1]}: has no line with event \"search\"; give it the output of 'tern bench ann --json'")
    for recall, qps, ef in found:
        print(f"{recall:.6f} {qps:.1f} {ef}")


if __name__ == "__main__":
    main()

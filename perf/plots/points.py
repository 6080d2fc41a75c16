#!/usr/bin/env python3
"""Prints "recall qps label" for each search in JSON lines of `tern bench ann --json`, best points only.

Usage: points.py FILE [PEER]      the points, of that peer where the file is of perf/peers
       points.py --peers FILE     the peers in the file; '-' for one of `tern bench ann`

A point that another one beats in both recall and queries a second is left out (the Pareto front). Of a point that was
measured in several repetitions the median counts. Lines of other events are passed over; a file without any search is
an error, and so is one of several sets.
"""
import json
import statistics
import sys


def searches(path):
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                value = json.loads(line)
            except ValueError as error:
                sys.exit(f"{path}:{number}: no JSON: {error}")
            if isinstance(value, dict) and value.get("event") == "search":
                yield value


def read(path):
    """By peer and ef: the recalls and the queries a second of the repetitions."""
    peers, sets = {}, set()
    for value in searches(path):
        sets.add(value.get("set"))
        recalls, speeds = peers.setdefault(value.get("peer", "-"), {}).setdefault(value["ef"], ([], []))
        recalls.append(float(value["recall"]))
        speeds.append(float(value["qps"]))
    if not peers:
        sys.exit(f"{path}: has no line with event \"search\"; give it the output of 'tern bench ann --json'")
    if len(sets) > 1:
        sys.exit(f"{path}: has the sets {', '.join(sorted(map(str, sets)))}; give one a file (perf/peers/run --sets)")
    return peers


def front(all_points):
    best = 0.0
    for recall, qps, ef in sorted(all_points, key=lambda point: (-point[0], -point[1])):
        if qps > best:
            best = qps
            yield recall, qps, ef


def main():
    if sys.argv[1] == "--peers":
        print(" ".join(read(sys.argv[2])))
        return
    path, peer = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "-"
    peers = read(path)
    if peer not in peers:
        sys.exit(f"{path}: has no peer {peer}, only {', '.join(peers)}")
    points = [(statistics.median(recalls), statistics.median(speeds), ef)
              for ef, (recalls, speeds) in peers[peer].items()]
    for recall, qps, ef in sorted(front(points)):
        print(f"{recall:.6f} {qps:.1f} {ef}")


if __name__ == "__main__":
    main()

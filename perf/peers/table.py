#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tables of what `peers` printed: queries a second at a recall, and Tern against each peer.

Usage: table.py [--markdown] FILE...

Within a repetition each peer's points (recall, queries a second) make a curve of those that no other beats in both;
what it does at a recall is read off that curve, straight between its points on log(1 - recall) and log(queries a
second). A ratio is that of two peers in the same repetition. Printed are the median over the repetitions, in brackets
the quartiles, then the least and the greatest.

A curve that begins above the recall counts with its fastest point, marked with '+': it may be faster still there. One
that ends below has no figure but its greatest recall.
"""
import argparse
import collections
import json
import math
import statistics
import sys

RECALLS = (0.90, 0.95, 0.99)
NAMES = {"tern": "Tern", "hnswlib": "hnswlib", "faiss": "FAISS HNSW", "faiss-sq8": "FAISS HNSW SQ8"}


def title(peer):
    return NAMES.get(peer) or f"Tern, {peer.removeprefix('tern-x')} in flight"


def read(paths):
    """The lines of all files by set: [(set event, build events by peer, points by peer and repetition)]."""
    sets = {}
    for path in paths:
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                try:
                    value = json.loads(line)
                except ValueError as error:
                    sys.exit(f"{path}:{number}: no JSON: {error}")
                one = sets.setdefault(value["set"], (value, {}, collections.defaultdict(dict)))
                if value["event"] == "build":
                    one[1][value["peer"]] = value
                elif value["event"] == "search":
                    points = one[2][value["peer"]].setdefault(value["rep"], [])
                    points.append((value["recall"], value["qps"]))
    return sets


def front(points):
    """The points that none beats in both, by growing recall."""
    best, kept = 0.0, []
    for recall, qps in sorted(points, key=lambda point: (-point[0], -point[1])):
        if qps > best:
            best = qps
            kept.append((recall, qps))
    return kept[::-1]


def speed_at(points, recall):
    """Queries a second at that recall, and whether it is only a lower bound; None when it isn't reached."""
    curve = front(points)
    if curve[-1][0] < recall:
        return None
    if curve[0][0] >= recall:
        return curve[0][1], curve[0][0] > recall
    after = next(i for i, point in enumerate(curve) if point[0] >= recall)
    (r0, q0), (r1, q1) = curve[after - 1], curve[after]
    # A recall of 1 would be infinitely far away; half a miss in a million is as good.
    x0, x1, x = (math.log(max(1 - r, 5e-7)) for r in (r0, r1, recall))
    share = (x - x0) / (x1 - x0)
    return math.exp(math.log(q0) + share * (math.log(q1) - math.log(q0))), False


def speeds(points, recall):
    """By repetition; empty when one of them doesn't reach the recall."""
    found = {rep: speed_at(those, recall) for rep, those in points.items()}
    return found if all(found.values()) else {}


def speed_cell(points, recall):
    found = speeds(points, recall)
    if not found:
        best = max(recall for those in points.values() for recall, _ in those)
        return f"- (at most {best:.3f})"
    bound = any(is_bound for _, is_bound in found.values())
    return f"{statistics.median(qps for qps, _ in found.values()):,.0f}" + ("+" if bound else "")


def ratio_cell(ours, theirs, recall):
    mine, other = speeds(ours, recall), speeds(theirs, recall)
    if not mine or not other:
        return "-"
    ratios = sorted(mine[rep][0] / other[rep][0] for rep in mine if rep in other)
    bound = any(value[1] for value in [*mine.values(), *other.values()])
    text = f"{statistics.median(ratios):.2f}" + ("+" if bound else "")
    if len(ratios) < 2:
        return text
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return f"{text} ({low:.2f} to {high:.2f}; {ratios[0]:.2f} to {ratios[-1]:.2f})"


def speed_rows(event, builds, points):
    yield ["", *(f"queries/s at {recall:.2f}" for recall in RECALLS), "build s", "bytes a vector", "image alone"]
    for peer, those in points.items():
        build = builds.get(peer)
        made = ["", "", ""]
        if build:
            made = [f"{build['seconds']:.1f}", f"{build['resident_bytes'] / event['vectors']:,.0f}",
                    f"{build['index_bytes'] / event['vectors']:,.0f}" if build["index_bytes"] else ""]
        yield [title(peer), *(speed_cell(those, recall) for recall in RECALLS), *made]


def ratio_rows(points):
    yield ["ratio", *(f"at {recall:.2f}" for recall in RECALLS)]
    for ours in [peer for peer in points if peer.startswith("tern")]:
        for theirs in points:
            if theirs == ours or theirs.startswith("tern-"):
                continue
            yield [f"{title(ours)} / {title(theirs)}",
                   *(ratio_cell(points[ours], points[theirs], recall) for recall in RECALLS)]


def print_rows(rows, markdown):
    rows = list(rows)
    if markdown:
        rows.insert(1, ["---"] * len(rows[0]))
        for row in rows:
            print("| " + " | ".join(row) + " |")
    else:
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        for row in rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--markdown", action="store_true", help="Markdown instead of columns")
    parser.add_argument("files", nargs="+", metavar="FILE", help="JSON lines of `peers`")
    options = parser.parse_args()
    for name, (event, builds, points) in read(options.files).items():
        if not points:
            sys.exit(f"{name}: has no line with event \"search\"")
        count = max(len(those) for those in points.values())
        text = (f"{event['vectors']:,} x {event['dim']}, {event['metric']}, {event['queries']:,} queries, "
                f"recall@{event['k']}, {count} repetitions")
        print(f"**{name}**: {text}\n" if options.markdown else f"{name}: {text}\n")
        print_rows(speed_rows(event, builds, points), options.markdown)
        print_rows(ratio_rows(points), options.markdown)


if __name__ == "__main__":
    main()

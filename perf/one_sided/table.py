#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Markdown tables and a plot of the JSON lines of perf/one_sided/run.

Usage: table.py FILE.jsonl            tables
       table.py FILE.jsonl OUT.svg    the plot
"""
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
PLOT = os.path.join(os.path.dirname(HERE), "plots", "crossing.gp")
WAYS = ("rpc", "one-sided")


def rows(file, head, body):
    print("| " + " | ".join(head) + " |", file=file)
    print("|" + "---|" * len(head), file=file)
    for row in body:
        print("| " + " | ".join(map(str, row)) + " |", file=file)
    print(file=file)


def spread(line, key, digits):
    return f"{line[key]:,.{digits}f} ({line[key + '_p10']:,.{digits}f} to {line[key + '_p90']:,.{digits}f})"


def reads(lines, file):
    """READs of a reader that knows nothing; how many it takes of one that does is its memory's question."""
    cold = [line for line in lines if line["event"] == "one_sided" and line["reader"] == "cold"]
    if not cold:
        return
    first = cold[0]
    print(f"Model: round trip {first['model_rtt_us']:.1f} us, {first['model_read_ns']:.0f} ns a READ, "
          f"{first['model_gbit']:.1f} Gbit/s ({'measured' if first['fetch'] == 'verbs' else 'assumed'}).\n", file=file)
    head = ["layout, ef, recall@10", "breadth", "round trips", "READs", "KiB", "READs a hop", "a node remembered",
            "a node compared", "model, queries/s"]
    measured = "model_over_measured" in first
    body = []
    for line in cold:
        row = [f"{line['layout']}, {line['ef']}, {line['recall']:.3f}", line["breadth"], f"{line['rounds']:.1f}",
               f"{line['reads']:.1f}", f"{line['bytes'] / 1024:.0f}", f"{line['reads_per_hop']:.2f}",
               f"{line['reads_per_met']:.2f}", f"{line['reads_per_estimated']:.3f}", f"{line['model_qps_1']:,.0f}"]
        if measured:
            row += [f"{line['qps']:,.0f}", spread(line, "model_over_measured", 2)]
        body.append(row)
    rows(file, head + (["measured", "model's time / measured"] if measured else []), body)


def cells(lines):
    """By port and questions under way: by load, the two ways."""
    found = {}
    for line in lines:
        if line["event"] == "crossing":
            by_load = found.setdefault((line["port"], line["under_way"]), {})
            by_load.setdefault(line["load"], {})[line["way"]] = line
    return found


def wins_from(by_load, key, more_is_better):
    """The least load from which on reading wins at every higher one, or None."""
    best = None
    for load in sorted(by_load, reverse=True):
        rpc, one = (by_load[load][way][key] for way in WAYS)
        if not (one > rpc if more_is_better else one < rpc):
            break
        best = load
    return best


def crossing(lines, file):
    for (port, under_way), by_load in cells(lines).items():
        any_line = by_load[0]["one-sided"]
        print(f"RPC over {port} against reading by {any_line['transport']}, {under_way} under way; 100 % of load are "
              f"{any_line['saturation']:,.0f} queries/s of others.\n", file=file)
        head = ["load", "RPC queries/s", "one-sided", "RPC p50 us", "one-sided", "RPC p99 us", "one-sided",
                "READs", "others' queries/s, RPC", "one-sided"]
        body = []
        for load, ways in sorted(by_load.items()):
            pair = [ways[way] for way in WAYS]
            body.append([f"{load} %"] + [spread(line, key, digits) for key, digits in
                                         (("qps", 0), ("p50_us", 1), ("p99_us", 0)) for line in pair] +
                        [f"{pair[1]['reads']:.1f}"] + [f"{line['background_qps']:,.0f}" for line in pair])
        rows(file, head, body)
        for key, name, more in (("qps", "queries/s", True), ("p50_us", "p50", False), ("p99_us", "p99", False)):
            load = wins_from(by_load, key, more)
            print(f"- {name}: one-sided wins " + ("nowhere" if load is None else f"from {load} % on"), file=file)
        idle = by_load[0]
        print(f"- owner's time at no load: poll core {idle['rpc']['owner_core']:.1%} by RPC, "
              f"{idle['one-sided']['owner_core']:.1%} one-sided; export's thread "
              f"{idle['one-sided']['owner_export']:.3%}\n", file=file)


def owner(lines, file):
    body = [[line["port"], f"{line['queries']:,}", f"{line['qps']:,.0f}", line["requests"], line["region_requests"],
             line["searches"], line["export_wakeups"], f"{line['export_ns'] / 1e6:.2f} ms",
             f"{line['core_ns'] / 1e9 / line['seconds']:.1%}", f"{line['idle_share']:.1%}"]
            for line in lines if line["event"] == "owner_counters"]
    if body:
        rows(file, ["port", "queries read", "queries/s", "owner's requests", "of them for regions", "searches",
                    "export's wake-ups", "export's time", "poll core", "with nobody there"], body)


def write(lines, file):
    for part in (reads, crossing, owner):
        part(lines, file)


def plot(lines, out):
    """Latency and rate by load, one column a port."""
    with tempfile.TemporaryDirectory() as folder:
        names = []
        for port, under_way in cells(lines):
            by_load = cells(lines)[port, under_way]
            for way in WAYS:
                with open(os.path.join(folder, f"{port}-{under_way}-{way}"), "w", encoding="ascii") as file:
                    for load, ways in sorted(by_load.items()):
                        line = ways[way]
                        print(load, line["qps"], line["p50_us"], line["p99_us"], file=file)
            if port not in names:
                names.append(port)
        if not names:
            sys.exit("table: no line with event \"crossing\" to plot")
        transport = next(line["transport"] for line in lines if line["event"] == "crossing")
        subprocess.run(["gnuplot", "-c", PLOT, out, folder, transport, *names], check=True)


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as file:
        lines = [json.loads(line) for line in file if line.startswith("{")]
    if len(sys.argv) == 3:
        plot(lines, sys.argv[2])
    else:
        write(lines, sys.stdout)


if __name__ == "__main__":
    main()

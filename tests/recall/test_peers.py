#!/usr/bin/env python3
"""perf/peers on the small sets that ship: every peer finds what it should, and its lines make a table.

Skipped (77) where the driver isn't built, because the peers' packages aren't installed.
"""
import json
import os
import subprocess
import sys
import tempfile

SOURCE, BUILD = os.environ["TERN_SOURCE"], os.environ["TERN_BUILD"]
RUN = os.path.join(SOURCE, "perf", "peers", "run")
DATA = os.path.join(SOURCE, "tests", "data")
PEERS = {"tern", "tern-x8", "hnswlib", "faiss", "faiss-sq8"}
SETS = {"words100", "mnist784"}
REPETITIONS, EF = 2, (20, 100)
# A byte a value has a ceiling on these word vectors.
FLOOR = {("words100", "faiss-sq8"): 0.85}


def run(*words):
    done = subprocess.run([RUN, "--build", BUILD, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          check=False)
    return done.returncode, done.stdout, done.stderr


def check(what, holds):
    if not holds:
        sys.exit(f"test_peers: {what}")


def every_peer_is_built_and_asked(lines):
    built = {(line["set"], line["peer"]) for line in lines if line["event"] == "build"}
    asked = [(line["set"], line["peer"], line["rep"], line["ef"]) for line in lines if line["event"] == "search"]
    check("a build is missing", built == {(one, peer) for one in SETS for peer in PEERS - {"tern-x8"}})
    check("a point is missing or stands twice", sorted(asked) == sorted(
        (one, peer, rep, ef) for one in SETS for peer in PEERS for rep in range(REPETITIONS) for ef in EF))


def every_peer_reaches_a_recall(lines):
    for line in lines:
        if line["event"] == "search" and line["ef"] == max(EF):
            floor = FLOOR.get((line["set"], line["peer"]), 0.9)
            check(f"{line['set']}: {line['peer']} has a recall of {line['recall']}", line["recall"] > floor)
            check("no time went by", line["qps"] > 0)


def interleaving_changes_no_answer(lines):
    found = {(line["set"], line["rep"], line["ef"], line["peer"]): line["recall"]
             for line in lines if line["event"] == "search"}
    for (one, rep, ef, peer), recall in found.items():
        if peer == "tern-x8":
            check(f"{one}: tern-x8 finds something else", recall == found[one, rep, ef, "tern"])


def the_table_has_every_peer(text):
    for name in ("| Tern |", "| Tern, 8 in flight |", "| hnswlib |", "| FAISS HNSW |", "| FAISS HNSW SQ8 |",
                 "| Tern / hnswlib |"):
        check(f"the table has no {name}", text.count(name) == len(SETS))


def wrong_usage_is_refused():
    check("no --data is taken", run()[0] == 2)
    status, _, error = run("--data", DATA, "--sets", "nothing")
    check("a set that isn't there is taken", status == 1 and "nothing" in error)
    status, _, error = run("--data", DATA, "--ef", "0")
    check("an ef of 0 is taken", status == 2 and "--ef" in error)


def main():
    if not os.path.exists(os.path.join(BUILD, "perf", "peers", "peers")):
        print("perf/peers isn't built: libhnswlib-dev and libfaiss-dev are not installed")
        sys.exit(77)
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as out:
        status, text, error = run("--data", DATA, "--rep", str(REPETITIONS), "--ef", ",".join(map(str, EF)),
                                  "--queries", "100", "--threads", "1", "--table", "--out", out.name)
        lines = [json.loads(line) for line in out] if status == 0 else sys.exit(f"test_peers: fails: {error}")
    every_peer_is_built_and_asked(lines)
    every_peer_reaches_a_recall(lines)
    interleaving_changes_no_answer(lines)
    the_table_has_every_peer(text)
    wrong_usage_is_refused()


if __name__ == "__main__":
    main()

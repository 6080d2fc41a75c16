#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The commands on a store as a user runs them: put, get, del, scan, load, search, edges, verify.

Usage: test_store.py SOURCE_FOLDER BUILD_FOLDER
"""
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

SOURCE, BUILD = sys.argv[1:3]
TERN = os.path.join(BUILD, "tern")
DATA = os.path.join(SOURCE, "tests/data")
TIMEOUT_S = 120

KEY_MAX = 4096
VALUE_MAX = 983040


def tern(*words, **options):
    return subprocess.run([TERN, *map(str, words)], capture_output=True, timeout=TIMEOUT_S, check=False, **options)


class Store(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="test_store.")
        self.addCleanup(shutil.rmtree, self.folder)
        self.store = self.path("store")

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, data):
        with open(self.path(name), "wb") as file:
            file.write(data)
        return self.path(name)

    def done(self, command, *words, **options):
        """Standard output of a command on the store that succeeds."""
        run = tern(command, self.store, *words, **options)
        self.assertEqual(run.returncode, 0, run.stderr)
        return run.stdout

    def lines(self, command, *words, **options):
        return [json.loads(line) for line in self.done(command, *words, "--json", **options).splitlines()]

    def refused(self, status, says, command, *words, store=None, **options):
        """A line on stderr, with the exit status, and nothing on stdout."""
        run = tern(command, store or self.store, *words, **options)
        self.assertEqual(run.returncode, status, run.stderr)
        self.assertEqual(run.stdout, b"")
        self.assertRegex(run.stderr, rb"\Atern: [^\n]+\n")
        self.assertIn(says.encode(), run.stderr)
        return run.stderr

    def pairs(self, pairs):
        return self.write("pairs", b"".join(key + b"\t" + value + b"\n" for key, value in pairs))

    def keys(self, *words):
        return [line.split(b"\t")[0].decode("latin-1") for line in self.done("scan", *words).splitlines()]

    def whole(self):
        event, = self.lines("verify")
        self.assertEqual((event["event"], event["faults"]), ("verify", 0))


class KeysAndValues(Store):
    def test_a_key_without_a_value_does_not_end_a_scan(self):
        maker = os.path.join(BUILD, "tests", "feed_store")
        subprocess.run([maker, self.store, "put", "a", "1", "count", "b", "bad", "put", "c", "3"], check=True,
                       timeout=TIMEOUT_S)
        for words, lines in ((), [b"a\t1", b"c\t3"]), (("--reverse",), [b"c\t3", b"a\t1"]):
            run = tern("scan", self.store, *words)
            self.assertEqual(run.returncode, 1)
            self.assertEqual(run.stdout.splitlines(), lines)
            self.assertRegex(run.stderr, rb"\Atern: [^\n]*: key b: merge operator 1 counter: [^\n]+\n\Z")
        self.refused(1, "merge operator 1 counter", "get", "b")
        self.done("put", "b", "2")
        self.assertEqual(self.keys(), ["a", "b", "c"])

    def test_what_is_put_is_got(self):
        self.assertRegex(self.done("put", "key", "a value"), rb"\Achange \d+\n\Z")
        self.assertEqual(self.done("get", "key"), b"a value")
        put, = self.lines("put", "key", "another", "--type", 7)
        self.assertEqual(put["event"], "put")
        got, = self.lines("get", "key")
        self.assertEqual(got, {"key": "key", "value": "another", "type": 7, "lsn": got["lsn"]})
        self.assertLessEqual(got["lsn"], put["lsn"])
        self.done("put", "key", "")
        self.assertEqual(self.done("get", "key"), b"")
        self.whole()

    def test_hex_stands_for_any_bytes(self):
        self.done("put", "--hex", "ff00", "00FFab")
        self.assertEqual(self.done("get", "--hex", "ff00"), b"\x00\xff\xab")
        got, = self.lines("get", "--hex", "ff00")
        self.assertEqual((got["key_hex"], got["value_hex"]), ("ff00", "00ffab"))
        self.assertEqual(self.done("scan"), b"\\xff\\x00\t\\x00\\xff\\xab\n")
        self.done("del", "--hex", "ff00")
        self.refused(1, "no such key", "get", "--hex", "ff00")
        # Characters stay; what a terminal would obey doesn't.
        self.done("put", "äß", "\u00a0\u009b\x1b\\")
        self.assertEqual(self.done("scan").decode(), "äß\t\u00a0\\xc2\\x9b\\x1b\\x5c\n")

    def test_bad_hex_is_a_usage_error(self):
        self.done("put", "a", "b")
        for text in ("0", "0g", "00 1", "-1"):
            self.refused(2, "hex", "put", "--hex", "--", text, "00")
            self.refused(2, "hex", "get", "--hex", "--", text)
            self.refused(2, "hex", "del", "--hex", "--", text)
        self.refused(2, "hex", "scan", "--hex", "--from", "xy")

    def test_what_is_deleted_is_gone(self):
        for key in "abcde":
            self.done("put", key, key)
        self.assertRegex(self.done("del", "a"), rb"\Achange \d+\n\Z")
        self.refused(1, "no such key", "get", "a")
        gone, = self.lines("del", "b", "--end", "d")
        self.assertEqual(gone["event"], "del")
        self.assertEqual(self.keys(), ["d", "e"])
        # What isn't there can be deleted.
        self.done("del", "zzz")
        self.refused(1, "--end must lie behind KEY", "del", "d", "--end", "d")
        self.refused(1, "--end must lie behind KEY", "del", "e", "--end", "d")
        self.refused(1, "key", "del", "")
        self.whole()

    def test_a_value_with_a_time_to_live_goes(self):
        self.done("put", "stays", "1", "--ttl", 100000)
        got, = self.lines("get", "stays")
        self.assertGreater(got["expires"], time.time() + 90000)
        self.done("put", "goes", "1", "--ttl", 1)
        for _ in range(100):
            if tern("get", self.store, "goes").returncode == 1:
                break
            time.sleep(0.1)
        self.assertEqual(self.keys(), ["stays"])

    def test_sizes_have_limits(self):
        long = "k" * KEY_MAX
        self.done("put", long, "v")
        self.assertEqual(self.done("get", long), b"v")
        for key in ("", long + "k"):
            self.refused(1, "a key has 1 to 4096 bytes", "put", key, "v")
        self.refused(1, "a key has", "put", "--hex", "0041", "00")
        huge = random.Random(1).randbytes(VALUE_MAX).replace(b"\n", b" ")
        self.done("load", "--pairs", self.pairs([(b"huge", huge)]))
        self.assertEqual(self.done("get", "huge"), huge)
        self.refused(1, "a value up to", "load", "--pairs", self.pairs([(b"huger", huge + b"1")]))
        self.refused(1, "no such key", "get", "huger")
        self.refused(2, "type", "put", "k", "v", "--type", 128)
        self.refused(2, "ttl", "put", "k", "v", "--ttl", 0)
        self.whole()

    def test_what_is_missing_is_said(self):
        commands = (["get", "k"], ["del", "k"], ["scan"], ["verify"], ["edges", "1"],
                    ["search", "--collection", "c", "--query", os.path.join(DATA, "words100_query.fbin")])
        for command, *words in commands:
            self.refused(1, "no such folder", command, *words)
            self.assertFalse(os.path.exists(self.store))
            self.refused(1, "no store", command, *words, store=self.folder)
            self.assertEqual(os.listdir(self.folder), [], command)
        self.refused(1, "", "put", "k", "v", store="/dev/null")
        for command in ("put", "get", "del", "scan", "load", "search", "edges", "verify"):
            run = tern(command)
            self.assertEqual((run.returncode, run.stdout), (2, b""))
            run = tern(command, self.store, "--no-such-option")
            self.assertEqual((run.returncode, run.stdout), (2, b""))
            self.assertEqual(tern(command, "--help").returncode, 0)

    def wait_for_lock(self):
        inode = f":{os.stat(self.store).st_ino} "
        for _ in range(1000):
            with open("/proc/locks", encoding="ascii") as file:
                if inode in file.read():
                    return
            time.sleep(0.02)
        self.fail("the store isn't locked")

    def test_a_store_belongs_to_one_process(self):
        self.done("put", "k", "v")
        with subprocess.Popen([TERN, "load", self.store, "--pairs", "-"], stdin=subprocess.PIPE,
                              stdout=subprocess.DEVNULL) as holder:
            self.wait_for_lock()
            for command, *words in (["put", "k", "w"], ["get", "k"], ["scan"], ["verify"]):
                self.refused(1, "another process", command, *words)
            holder.stdin.write(b"k\tfrom the holder\n")
            holder.stdin.close()
            self.assertEqual(holder.wait(timeout=TIMEOUT_S), 0)
        self.assertEqual(self.done("get", "k"), b"from the holder")


class Scans(Store):
    def setUp(self):
        super().setUp()
        self.done("load", "--pairs", self.pairs([(b"%03d" % i, b"v%d" % i) for i in range(50)]))
        self.done("load", "--edges", self.write("edges", b"1 2\n2 3\n-1 5\n"))
        self.all = [f"{i:03}" for i in range(50)]

    def test_keys_come_in_order_both_ways(self):
        self.assertEqual(self.keys(), self.all)
        self.assertEqual(self.keys("--reverse"), self.all[::-1])
        first, *_ = self.lines("scan")
        self.assertEqual((first["key"], first["value"], first["type"]), ("000", "v0", 0))

    def test_bounds_are_the_same_both_ways(self):
        for low in (None, "010", "0101", "9", "\x01"):
            for high in (None, "", "020", "0201", "000"):
                words = (["--from", low] if low is not None else []) + (["--to", high] if high is not None else [])
                expected = [key for key in self.all if (not low or key >= low) and (not high or key < high)]
                self.assertEqual(self.keys(*words), expected, words)
                self.assertEqual(self.keys(*words, "--reverse"), expected[::-1], words)

    def test_a_limit_counts_what_is_printed(self):
        self.assertEqual(self.keys("--limit", 3), self.all[:3])
        self.assertEqual(self.keys("--limit", 3, "--reverse"), self.all[:-4:-1])
        self.assertEqual(self.keys("--limit", 2, "--reverse", "--to", "010"), ["009", "008"])
        internal = self.keys("--internal")
        self.assertEqual(len(internal), 53)
        self.assertEqual(internal[3:], self.all)
        self.assertTrue(all(key.startswith("\\x00e") for key in internal[:3]))
        self.assertEqual(self.keys("--internal", "--limit", 4), internal[:4])
        self.assertEqual(self.keys("--internal", "--reverse", "--limit", 51), internal[:1:-1])
        self.assertEqual(self.keys("--internal", "--reverse"), internal[::-1])
        self.refused(2, "limit", "scan", "--limit", 0)

    def test_keys_of_the_highest_bytes_are_there(self):
        high = ["ff", "ff00", "ffff", "ff" * 20, "ff" * KEY_MAX]
        for key in high:
            self.done("put", "--hex", key, "31")
        def found(*words):
            return [line.get("key_hex") or line["key"].encode().hex() for line in self.lines("scan", *words)]
        expected = [key.encode().hex() for key in self.all] + high
        self.assertEqual(found(), expected)
        self.assertEqual(found("--reverse"), expected[::-1])
        self.assertEqual(found("--hex", "--from", "ff"), high)
        self.assertEqual(found("--hex", "--from", "ff00", "--reverse"), high[:0:-1])
        self.assertEqual(found("--hex", "--to", "ffff", "--reverse", "--limit", 2), ["ff00", "ff"])
        self.assertEqual(found("--hex", "--from", "ffff" * 20, "--to", "ff" * KEY_MAX), [])


class Loads(Store):
    def test_lines_are_loaded_from_a_file_or_standard_input(self):
        event, = self.lines("load", "--pairs", self.pairs([(b"a", b"1"), (b"b", b"x\ty"), (b"a", b"2")]))
        self.assertEqual((event["event"], event["count"], event["passed_over"]), ("load", 3, 0))
        self.assertEqual(self.done("scan"), b"a\t2\nb\tx\\x09y\n")
        self.assertIn(b"1 loaded", self.done("load", "--pairs", "-", input=b"c\tno newline behind"))
        self.assertEqual(self.done("get", "c"), b"no newline behind")
        self.assertIn(b"0 loaded", self.done("load", "--pairs", "-", input=b""))

    def test_a_malformed_line_ends_the_load_and_is_named(self):
        says = self.refused(1, "line 6", "load", "--pairs", "-", "--batch", 2, input=b"".join(
            b"k%d\tv\n" % i for i in range(5)) + b"no tab\nk9\tv\n")
        self.assertIn(b"4 changes before that are loaded", says)
        self.assertEqual(self.keys(), ["k0", "k1", "k2", "k3"])
        self.refused(1, "line 2", "load", "--pairs", "-", input=b"x\ty\n\tempty key\n")
        for bad in (b"1", b"1 x", b"x 1", b"1 2 3", b"", b"1,2", b"1 2\0", b"9223372036854775808 1", b"1 2\r"):
            self.refused(1, "line 2", "load", "--edges", "-", input=b"7 8\n" + bad + b"\n")
        self.assertEqual(self.done("edges", 7), b"")
        self.whole()

    def test_load_takes_one_kind_of_file(self):
        self.refused(2, "one of", "load")
        self.refused(2, "one of", "load", "--pairs", "a", "--edges", "b")
        self.refused(2, "--collection", "load", "--base", os.path.join(DATA, "words100_base.fbin"))
        self.refused(1, "nothing.here", "load", "--pairs", self.path("nothing.here"))
        self.refused(1, "nothing.here", "load", "--edges", self.path("nothing.here"))
        self.refused(1, "nothing.here", "load", "--base", self.path("nothing.here"), "--collection", "c")

    def test_edges_come_in_the_order_of_adding(self):
        event, = self.lines("load", "--edges", "-", "--batch", 2, input=b"1 5\n1 -3\n1\t4\n2 5\n1 5\n1 5\n9 1\n")
        self.assertEqual((event["count"], event["passed_over"]), (5, 2))
        self.assertEqual(self.done("edges", 1), b"5\n-3\n4\n")
        self.assertEqual(self.lines("edges", 5, "--incoming"), [{"node": 1}, {"node": 2}])
        self.assertEqual(self.done("edges", "--incoming", "--", -3), b"1\n")
        self.assertEqual(self.done("edges", 77), b"")
        for bad in ("x", "", "1x", "9223372036854775808"):
            self.refused(2, "whole number", "edges", bad)
        self.whole()

    def test_a_graph_that_touches_very_many_pages_loads(self):
        source = random.Random(5)
        graph = {}
        while len(graph) < 120000:
            graph[source.getrandbits(63), source.getrandbits(63)] = None
        hub = [(0, i) for i in range(3000)]
        edges = list(graph) + hub
        text = "".join(f"{one} {two}\n" for one, two in edges).encode()
        event, = self.lines("load", "--edges", self.write("edges", text), "--batch", 16384)
        self.assertEqual((event["count"], event["passed_over"]), (len(edges), 0))
        self.assertEqual(self.done("edges", 0).split(), [b"%d" % i for i in range(3000)])
        one, two = edges[1234]
        self.assertIn(b"%d\n" % two, self.done("edges", one))
        self.assertIn(b"%d\n" % one, self.done("edges", two, "--incoming"))
        event, = self.lines("load", "--edges", self.path("edges"))
        self.assertEqual((event["count"], event["passed_over"]), (0, len(edges)))
        self.whole()


class Kills(Store):
    def test_what_was_acknowledged_outlives_a_kill(self):
        """A load is killed again and again: whole batches are there, in order, and all that ended is."""
        source = random.Random(3)
        batch = 50
        acknowledged = {}
        for turn in range(5):
            self.done("put", f"put{turn}", f"value {turn}")
            acknowledged[f"put{turn}"] = f"value {turn}".encode()
            with subprocess.Popen([TERN, "load", self.store, "--pairs", "-", "--batch", str(batch)],
                                  stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL) as load:
                try:
                    for i in range(source.randrange(100, 20000)):
                        load.stdin.write(b"load%d:%06d\t%s\n" % (turn, i, b"x" * (i % 300)))
                except BrokenPipeError:
                    pass
                load.send_signal(signal.SIGKILL)
                try:
                    load.stdin.close()
                except BrokenPipeError:
                    pass
                self.assertEqual(load.wait(timeout=TIMEOUT_S), -signal.SIGKILL)
            self.whole()
            loaded = self.keys("--from", f"load{turn}:", "--to", f"load{turn};")
            self.assertEqual(len(loaded) % batch, 0)
            self.assertEqual(loaded, [f"load{turn}:{i:06}" for i in range(len(loaded))])
            for key, value in acknowledged.items():
                self.assertEqual(self.done("get", key), value)

    def test_a_load_that_waits_for_lines_keeps_what_it_promised(self):
        """A change reaches the log while the load sleeps on its input, which it then doesn't outlive."""
        for durability in ("sync", "group"):
            with subprocess.Popen([TERN, "load", self.store, "--pairs", "-", "--batch", "1", "--durability",
                                   durability, "--group-ms", "5"], stdin=subprocess.PIPE) as load:
                load.stdin.write(f"key\tby {durability}\n".encode())
                load.stdin.flush()
                until = time.monotonic() + TIMEOUT_S
                while f"by {durability}".encode().hex().encode() not in tern("dump", "wal", self.store, "--json").stdout:
                    self.assertLess(time.monotonic(), until, f"{durability}: the change isn't in the log")
                    time.sleep(0.05)
                load.send_signal(signal.SIGKILL)
            self.assertEqual(self.done("get", "key"), f"by {durability}".encode())
        self.refused(2, "sync, group or none", "load", "--pairs", "-", "--durability", "some")

    def test_a_load_of_vectors_and_edges_outlives_a_kill(self):
        edges = self.write("edges", b"".join(b"%d %d\n" % (i % 97, i) for i in range(30000)))
        loads = (["--edges", edges, "--batch", "100"],
                 ["--base", os.path.join(DATA, "mnist784_base.u8bin"), "--collection", "d", "--batch", "10"])
        for delay in (0.05, 0.1, 0.3):
            for words in loads:
                with subprocess.Popen([TERN, "load", self.store, *words], stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL) as load:
                    time.sleep(delay)
                    load.send_signal(signal.SIGKILL)
                    load.wait(timeout=TIMEOUT_S)
                if os.path.exists(self.store) and b"no store" not in tern("verify", self.store).stderr:
                    self.whole()
        for words in loads:
            self.done("load", *words)
        self.whole()
        self.assertEqual(self.done("edges", 5).split(), [b"%d" % i for i in range(5, 30000, 97)])


class Searches(Store):
    def files(self, name, ending):
        return [os.path.join(DATA, f"{name}_{part}") for part in ("base." + ending, "query." + ending, "truth.ivecs")]

    def truth(self, path):
        rows = []
        with open(path, "rb") as file:
            data = file.read()
        at = 0
        while at < len(data):
            count, = struct.unpack_from("<i", data, at)
            rows.append(struct.unpack_from(f"<{count}i", data, at + 4))
            at += 4 + 4 * count
        return rows

    def search(self, collection, query, *words):
        return [line["hits"] for line in self.lines("search", "--collection", collection, "--query", query, *words)]

    def recall(self, found, truth, k=10):
        right = sum(len({hit["id"] for hit in hits} & set(row[:k])) for hits, row in zip(found, truth, strict=True))
        return right / (k * len(truth))

    def test_neighbours_are_found_and_an_index_is_saved(self):
        for name, ending, metric in (("mnist784", "u8bin", "l2"), ("words100", "fbin", "cosine")):
            base, query, truth = self.files(name, ending)
            self.done("load", "--base", base, "--collection", name, "--metric", metric)
            found = self.search(name, query)
            self.assertGreater(self.recall(found, self.truth(truth)), 0.95, name)
            for hits in found:
                self.assertEqual([hit["distance"] for hit in hits], sorted(hit["distance"] for hit in hits))
            self.search(name, query, "--save")
            saved = [file for file in os.listdir(self.store) if file.startswith("index-")]
            again = self.search(name, query)
            self.assertGreater(self.recall(again, self.truth(truth)), 0.95, name)
            self.assertEqual(saved, [file for file in os.listdir(self.store) if file in saved])
        # Each vector of the base is its own neighbour, at the labels behind an offset too.
        base, query, _ = self.files("words100", "fbin")
        self.done("load", "--base", query, "--collection", "words100", "--first", 1000000)
        found = self.search("words100", query, "--k", 1)
        self.assertGreater(sum(hits[0]["distance"] < 1e-5 for hits in found) / len(found), 0.99)
        self.assertGreater(sum(hits[0]["id"] >= 1000000 for hits in found) / len(found), 0.95)
        self.whole()

    def test_what_does_not_fit_is_said(self):
        mnist, mnist_query, _ = self.files("mnist784", "u8bin")
        words, words_query, _ = self.files("words100", "fbin")
        self.done("load", "--base", words, "--collection", "w", "--metric", "cosine")
        self.refused(1, "another dimension", "load", "--base", mnist, "--collection", "w")
        self.refused(1, "another dimension", "load", "--base", words, "--collection", "w", "--metric", "l2")
        self.refused(1, "no such collection", "search", "--collection", "x", "--query", words_query)
        self.refused(1, "784", "search", "--collection", "w", "--query", mnist_query)
        self.refused(1, "nothing.here", "search", "--collection", "w", "--query", self.path("nothing.here"))
        self.refused(2, "", "search", "--collection", "w", "--query", words_query, "--k", 0)
        self.refused(2, "", "load", "--base", words, "--collection", "w", "--metric", "nearness")
        self.refused(2, "", "load", "--base", words, "--collection", "n" * 256)
        self.refused(2, "32 bits", "load", "--base", words, "--collection", "w", "--first", 2 ** 32 - 2)
        self.whole()


    def test_payloads_go_with_vectors_and_both_go(self):
        base, _, _ = self.files("words100", "fbin")
        with open(base, "rb") as file:
            count, dim = struct.unpack("<II", file.read(8))
            rows = [file.read(4 * dim) for _ in range(20)]
        self.assertGreaterEqual(count, 20)
        vectors = self.write("base.fbin", struct.pack("<II", 20, dim) + b"".join(rows))
        payloads = self.write("payloads", b"".join(b"word %d \xff\n" % i if i == 3 else b"word %d\n" % i for i in range(20)))
        load = ("load", "--base", vectors, "--collection", "w", "--payloads")
        self.done(*load, payloads)
        found = self.search("w", vectors, "--k", "1", "--payloads")
        self.assertEqual([hits[0].get("payload") for hits in found],
                         [None if i == 3 else f"word {i}" for i in range(20)])
        self.assertEqual(found[3][0]["payload_hex"], b"word 3 \xff".hex())
        self.assertIn(b"  word 19\n", self.done("search", "--collection", "w", "--query", vectors, "--payloads"))
        self.assertNotIn("payload", self.search("w", vectors)[0][0])
        self.done("del", "--collection", "w", "--label", "7")
        self.assertNotEqual(self.search("w", vectors, "--k", "1")[7][0]["id"], 7)
        self.refused(1, "no collection x", "del", "--collection", "x", "--label", "7")
        for words in (["--collection", "w"], ["--label", "7"], ["k", "--collection", "w", "--label", "7"], []):
            self.refused(2, "del takes", "del", *words)
        self.refused(1, "has 19 lines", *load, self.write("short", b"x\n" * 19))
        self.refused(1, "more than 65536", *load, self.write("long", b"x" * 65537))
        self.refused(1, "nothing.here", *load, self.path("nothing.here"))
        self.refused(2, "--payloads goes with", "load", "--pairs", "-", "--payloads", payloads)
        self.whole()

    def test_an_edge_is_deleted(self):
        self.done("load", "--edges", "-", input=b"1 2\n1 -3\n4 -3\n")
        self.done("del", "--edge", "1 -3")
        self.assertEqual(self.done("edges", "1").split(), [b"2"])
        self.assertEqual(self.done("edges", "--incoming", "--", "-3").split(), [b"4"])
        self.refused(1, "no edge from 1 to -3", "del", "--edge", "1 -3")
        self.refused(2, "two whole numbers", "del", "--edge", "1")
        self.whole()


class Readers(Store):
    def files(self):
        """Names, times and bytes of the store's files."""
        found = {}
        for name in os.listdir(self.store):
            path = os.path.join(self.store, name)
            with open(path, "rb") as file:
                found[name] = (os.stat(path).st_mtime_ns, file.read())
        return found

    def test_who_reads_changes_no_file(self):
        self.done("load", "--pairs", self.pairs([(b"%03d" % i, b"v%d" % i) for i in range(500)]))
        self.done("load", "--edges", self.write("edges", b"1 2\n2 3\n"))
        base = os.path.join(DATA, "words100_base.fbin")
        self.done("load", "--base", base, "--collection", "c")
        before = self.files()
        self.done("get", "007")
        self.done("scan", "--internal")
        self.done("edges", "1")
        self.done("search", "--collection", "c", "--query", os.path.join(DATA, "words100_query.fbin"))
        self.whole()
        self.done("feed", "--json")
        self.assertEqual(tern("dump", "feed", self.store).returncode, 0)
        self.assertEqual(self.files(), before)

    def test_a_store_is_read_where_nothing_can_be_written(self):
        self.done("load", "--pairs", self.pairs([(b"%03d" % i, b"v%d" % i) for i in range(500)]))
        run = subprocess.run(["unshare", "--mount", "sh", "-c",
                              'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && '
                              '! touch "$1/x" 2>/dev/null && "$0" get "$1" 007 && "$0" verify "$1" >&2',
                              TERN, self.store], capture_output=True, timeout=TIMEOUT_S, check=False)
        if run.returncode != 0 and (b"unshare" in run.stderr or b"mount:" in run.stderr):
            self.skipTest(run.stderr.decode().strip())
        self.assertEqual((run.returncode, run.stdout), (0, b"v7"), run.stderr)

    def test_followers_let_a_store_rest_and_writers_in(self):
        self.done("put", "first", "1")
        followers = []
        for name in ("one", "two"):
            path = self.path(name)
            with open(path, "wb") as out:
                follower = subprocess.Popen([TERN, "feed", self.store, "--follow", "--reader", name], stdout=out)
            self.addCleanup(follower.wait)
            self.addCleanup(follower.kill)
            followers.append(path)

        def wait_for(what):
            until = time.monotonic() + TIMEOUT_S
            for path in followers:
                while True:
                    with open(path, "rb") as file:
                        if what in file.read():
                            break
                    self.assertLess(time.monotonic(), until, what)
                    time.sleep(0.05)

        wait_for(b'"first"')
        # Readers are moved, and then nobody writes.
        until = time.monotonic() + TIMEOUT_S
        before = None
        while before != (before := self.files()):
            self.assertLess(time.monotonic(), until, "the store isn't left alone")
            time.sleep(2)
        for i in range(10):
            self.done("put", f"key{i}", "v")
        wait_for(b'"key9"')
        self.whole()


class Damage(Store):
    def make(self):
        """A store that has everything: tables, a blob file, pages, a log, a saved index."""
        random_bytes = random.Random(9)
        pairs = [(b"%04d" % i, random_bytes.randbytes(6000 if i % 50 == 0 else 40).hex().encode()) for i in range(300)]
        self.done("load", "--pairs", self.pairs(pairs))
        self.done("load", "--edges", self.write("edges", b"".join(b"%d %d\n" % (i % 7, i) for i in range(500))))
        rows = [[random_bytes.random() for _ in range(16)] for _ in range(200)]
        data = struct.pack("<II", 200, 16) + b"".join(struct.pack("<16f", *row) for row in rows)
        self.write("base.fbin", data)
        self.done("load", "--base", self.path("base.fbin"), "--collection", "c")
        self.done("search", "--collection", "c", "--query", self.path("base.fbin"), "--save")
        # From some segments on opening makes a checkpoint, so that tables and pages are there.
        for i in range(12):
            self.done("put", f"more{i}", "x" * i)

    def test_a_damaged_index_is_said_and_made_anew(self):
        self.make()
        ask = ("search", "--collection", "c", "--query", self.path("base.fbin"), "--k", "1", "--json")
        right = self.done(*ask)
        name, = [name for name in os.listdir(self.store) if name.startswith("index-")]
        with open(os.path.join(self.store, name), "rb") as file:
            data = file.read()
        flipped = bytearray(data)
        flipped[len(data) // 2] ^= 4
        for damage in (bytes(flipped), b"", data[:-1], None):
            os.remove(os.path.join(self.store, name))
            if damage is not None:
                self.write(os.path.join("store", name), damage)
            run = tern("verify", self.store, "--json")
            self.assertEqual(run.returncode, 1)
            lines = [json.loads(line) for line in run.stdout.splitlines()]
            self.assertIn("collection c: ", lines[0]["what"])
            self.assertIn(name, lines[0]["what"])
            self.assertEqual((len(lines), lines[1]["faults"]), (2, 1))
            run = tern(ask[0], self.store, *ask[1:])
            self.assertEqual((run.returncode, run.stdout), (0, right))
            self.assertIn(name.encode(), run.stderr)
            self.assertIn(b"built anew", run.stderr)
            self.done(*ask, "--save")
            self.whole()
            name, = [name for name in os.listdir(self.store) if name.startswith("index-")]
            with open(os.path.join(self.store, name), "rb") as file:
                data = file.read()
            flipped = bytearray(data)
            flipped[len(data) // 2] ^= 4

    def state(self):
        """All that the commands say is in the store, or None when one of them refuses. Never raises."""
        said = b""
        for command, *words in (["scan", "--internal", "--json"], ["edges", "3"], ["edges", "3", "--incoming"],
                                ["search", "--collection", "c", "--query", self.path("base.fbin"), "--ef", "1000",
                                 "--json"]):
            run = tern(command, self.store, *words)
            self.assertIn(run.returncode, (0, 1), (command, run.returncode, run.stderr))
            if run.returncode == 1:
                return None
            said += run.stdout
        return said

    def test_a_flipped_bit_is_said_or_changes_nothing(self):
        self.make()
        right = self.state()
        self.assertIsNotNone(right)
        saved = self.path("saved")
        # Sparse, so that the copies cost what is in the files and not their size.
        copy = ["cp", "-r", "--sparse=always"]
        subprocess.run([*copy, self.store, saved], check=True, timeout=TIMEOUT_S)
        shutil.rmtree(self.store)
        source = random.Random(21)
        found = {}
        for name in sorted(os.listdir(saved)):
            with open(os.path.join(saved, name), "rb") as file:
                data = file.read()
            places = [i for i in range(min(len(data), 1 << 20)) if data[i] != 0]
            for place in source.sample(places, min(len(places), 3)):
                subprocess.run([*copy, saved, self.store], check=True, timeout=TIMEOUT_S)
                with open(os.path.join(self.store, name), "r+b") as file:
                    file.seek(place)
                    file.write(bytes([data[place] ^ 1 << source.randrange(8)]))
                run = tern("verify", self.store)
                self.assertIn(run.returncode, (0, 1), (name, place, run.stderr))
                said = run.returncode == 1 or b"torn" in run.stderr
                if not said:
                    self.assertEqual(self.state(), right, (name, place))
                found.setdefault(name, []).append(said)
                shutil.rmtree(self.store)
        # What has the data now has no byte without a meaning; of the log and of an index some are old.
        for kind in ("table-", "blob-", "pages"):
            self.assertTrue(any(name.startswith(kind) for name in found), kind)
        for name, said in found.items():
            if name.startswith(("table-", "blob-", "pages")):
                self.assertTrue(all(said), name)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The online commands against a ternd over the loopback: answers, figures, metrics, and every kind of bad input."""
import json
import os
import struct
import sys
import tempfile
import unittest
import unittest.mock

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import openmetrics  # noqa: E402
import ternd  # noqa: E402

BASE = os.path.join(ternd.DATA, "words100_base.fbin")
QUERY = os.path.join(ternd.DATA, "words100_query.fbin")
TRUTH = os.path.join(ternd.DATA, "words100_truth.ivecs")


def read_truth():
    rows = []
    with open(TRUTH, "rb") as file:
        while head := file.read(4):
            width, = struct.unpack("<i", head)
            rows.append(struct.unpack(f"<{width}i", file.read(4 * width)))
    return rows


def roaring(ids):
    """A Roaring bitmap of numbers below 65,536, in its portable form: one array container."""
    ids = sorted(ids)
    assert 0 < len(ids) <= 4096 and ids[-1] < 65536
    return struct.pack("<IIHHI", 12346, 1, 0, len(ids) - 1, 16) + struct.pack(f"<{len(ids)}H", *ids)


class Online(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.folder = folder.name
        cls.addClassCleanup(folder.cleanup)
        cls.data = ternd.build_collection(folder.name)
        cls.node = ternd.Ternd(cls.data)
        cls.node.__enter__()
        cls.addClassCleanup(cls.node.__exit__)
        cls.truth = read_truth()

    def run_ok(self, *args):
        result = ternd.run_tern(*args)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def query(self, *args):
        return self.run_ok("query", "--server", self.node.server, "--collection", "words", "--query", QUERY, *args)

    def bench(self, *args):
        out = self.run_ok("bench", "net", "--server", self.node.server, "--collection", "words", "--query", QUERY,
                          "--truth", TRUTH, "--base", BASE, "--json", *args)
        self.assertEqual(out.count("\n"), 1)
        return json.loads(out)

    def test_memif_gives_the_same_answers_as_the_socket_and_leaves_nothing_behind(self):
        # Where the client's DPDK would put its run-time files.
        left = os.path.join(self.folder, "client")
        os.mkdir(left)
        with ternd.Ternd(self.data, memif=True) as node, \
                unittest.mock.patch.dict(os.environ, RUNTIME_DIRECTORY=left):
            lines = [self.run_ok("query", "--server", server, "--collection", "words", "--query", QUERY, "--json", *more)
                     for server, more in ((self.node.server, ()),
                                          (node.server, ("--port", "dpdk", "--device", node.device + "client",
                                                         "--address", "10.77.0.2/24")))]
        socket, memif = ([json.loads(line)["hits"] for line in text.splitlines()] for text in lines)
        self.assertEqual(len(socket), len(self.truth))
        self.assertEqual(socket, memif)
        # EAL leaves the folder that all its prefixes share.
        self.assertLessEqual(set(os.listdir(left)), {"dpdk"})
        self.assertEqual(os.listdir(os.path.join(left, "dpdk")), [])

    def test_a_collection_over_two_nodes_answers_in_part_when_one_is_killed(self):
        with ternd.Ternd(self.data, extra="shards: [0, 1]\n") as first, \
                ternd.Ternd(self.data, cores=2, extra="shards: [2, 3]\n") as second:
            def ask(*more):
                return json.loads(self.run_ok("query", "--server", f"{second.server},{first.server}", "--collection",
                                              "words", "--query", QUERY, "--row", 0, "--json", *more))
            whole = ask()
            self.assertEqual((whole["asked"], whole["missing"], whole["certain"]), (4, [], True))
            self.assertEqual(whole["hits"], json.loads(self.query("--row", 0, "--json"))["hits"])
            second.process.kill()
            second.process.wait()
            part = ask()
            self.assertEqual((part["asked"], part["certain"]), (2, False))
            named = ask("--shards", 4, "--timeout-ms", 1500)
            self.assertEqual((named["asked"], len(named["missing"]), named["certain"]), (4, 2, True))
            self.assertEqual(named["hits"], part["hits"])

    def test_every_query_is_answered_and_nearly_all_hits_are_true(self):
        lines = [json.loads(line) for line in self.query("--json", "--ef", 100).splitlines()]
        self.assertEqual([line["query"] for line in lines], list(range(len(self.truth))))
        right = 0
        for line, truth in zip(lines, self.truth):
            self.assertEqual((line["event"], line["status"], line["asked"], line["missing"]), ("result", "ok", 4, []))
            self.assertEqual(len(line["hits"]), 10)
            order = [(hit["distance"], hit["id"]) for hit in line["hits"]]
            self.assertEqual(order, sorted(order))
            right += len({hit["id"] for hit in line["hits"]} & set(truth[:10]))
        self.assertGreaterEqual(right / (10 * len(lines)), 0.95)

    def test_served_bytes_are_compared_in_integers(self):
        """Queries are f32 on the wire; every distance of a collection of u8 is the exact sum, and no hit is missed."""
        base, query = (os.path.join(ternd.DATA, "mnist784_" + name + ".u8bin") for name in ("base", "query"))

        def rows(path):
            with open(path, "rb") as file:
                count, dim = struct.unpack("<II", file.read(8))
                return [file.read(dim) for _ in range(count)]
        data = ternd.build_collection(self.folder, "digits", "mnist784_base.u8bin", "l2", shards=2)
        vectors, queries = rows(base), rows(query)
        with ternd.Ternd(data) as node:
            lines = self.run_ok("query", "--server", node.server, "--collection", "digits", "--query", query, "--json",
                                "--ef", 200).splitlines()
            far = os.path.join(self.folder, "between.fbin")
            with open(far, "wb") as file:
                file.write(struct.pack("<II784f", 1, 784, *(value + 0.5 for value in queries[0])))
            between, = self.run_ok("query", "--server", node.server, "--collection", "digits", "--query", far, "--json",
                                   "--ef", 200, "--k", 1).splitlines()
        self.assertEqual(len(lines), len(queries))
        for line in lines[:40]:
            result = json.loads(line)
            wanted = queries[result["query"]]
            true = sorted((sum((x - y) ** 2 for x, y in zip(wanted, vectors[row])), row)
                          for row in {hit["id"] for hit in result["hits"]})
            self.assertEqual([(struct.unpack("f", struct.pack("f", distance))[0], row) for distance, row in true],
                             [(hit["distance"], hit["id"]) for hit in result["hits"]])
        # A query that no byte can hold is compared as it is.
        hit, = json.loads(between)["hits"]
        exact = sum((x + 0.5 - y) ** 2 for x, y in zip(queries[0], vectors[hit["id"]]))
        self.assertAlmostEqual(hit["distance"] / exact, 1, places=5)

    def test_one_row_in_words(self):
        lines = self.query("--row", 3, "--k", 5).splitlines()
        self.assertEqual(lines[0], "query 3")
        self.assertEqual(len(lines), 6)
        self.assertEqual(int(lines[1].split()[0]), self.truth[3][0])

    def test_a_probe_asks_fewer_shards(self):
        line = json.loads(self.query("--row", 0, "--probe", 2, "--json"))
        self.assertEqual(line["asked"], 2)
        self.assertLessEqual(len({hit["shard"] for hit in line["hits"]}), 2)

    def test_a_filter_keeps_everything_else_out(self):
        allowed = set(range(0, 8000, 7))
        path = os.path.join(self.folder, "filter")
        with open(path, "wb") as file:
            file.write(roaring(allowed))
        line = json.loads(self.query("--row", 1, "--filter", path, "--ef", 200, "--json"))
        self.assertEqual(len(line["hits"]), 10)
        self.assertTrue({hit["id"] for hit in line["hits"]} <= allowed)
        with open(path, "wb") as file:
            file.write(b"no bitmap at all")
        result = ternd.run_tern("query", "--server", self.node.server, "--collection", "words", "--query", QUERY,
                                "--row", 1, "--filter", path)
        self.assertEqual(result.returncode, 1)

    def test_bench_counts_and_measures(self):
        figures = self.bench("--passes", 2, "--in-flight", 8)
        self.assertEqual(figures["event"], "bench_net")
        self.assertEqual((figures["queries"], figures["failed"], figures["partial"]), (2 * len(self.truth), 0, 0))
        self.assertEqual((figures["shards"], figures["vectors"], figures["dim"]), (4, 8000, 100))
        self.assertGreaterEqual(figures["recall"], 0.95)
        self.assertGreater(figures["qps"], 0)
        self.assertTrue(0 < figures["p50_us"] <= figures["p99_us"] <= figures["p999_us"] <= figures["max_us"])

    def test_recall_rises_with_the_shards_asked(self):
        recalls = [self.bench("--probe", probe, "--ef", 64)["recall"] for probe in (1, 2, 3, 0)]
        self.assertEqual(recalls, sorted(recalls))
        self.assertGreater(recalls[0], 0.3)

    def test_an_open_loop_keeps_its_rate_and_counts_from_the_intended_time(self):
        figures = self.bench("--rate", 1000)
        self.assertEqual(figures["rate"], 1000)
        self.assertLess(figures["qps"], 1050)
        self.assertGreaterEqual(figures["p50_us"] + 1, figures["service_p50_us"])

    def test_latencies_are_written_as_a_table(self):
        path = os.path.join(self.folder, "latency.hgrm")
        self.bench("--hgrm", path)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        self.assertIn("Percentile", text)
        self.assertIn("#[Max", text)

    def test_status_and_metrics(self):
        self.query("--row", 0)
        path = os.path.join(self.node.folder, "dpdk", self.node.prefix, "dpdk_telemetry.v2")
        families = openmetrics.check(self.run_ok("status", "--socket", path, "--metrics"))
        self.assertEqual(sum(value for _, _, value in families["tern_shard_vectors"]), 8000)
        self.assertGreater(families["tern_session_requests"][0][2], 0)
        self.assertIn("tern_stage_latency_seconds", families)
        status = json.loads(self.run_ok("status", "--socket", path, "--json"))
        self.assertEqual(status["info"]["shards"], 4)
        self.assertEqual({shard["collection"] for shard in status["shards"]}, {"words"})
        self.assertIn("words", self.run_ok("status", "--socket", path))

    def refused(self, status, *args):
        result = ternd.run_tern(*args)
        self.assertEqual(result.returncode, status, (args, result.stderr))
        self.assertEqual(result.stdout, "")
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertTrue(result.stderr.startswith("tern: "), result.stderr)
        return result.stderr

    def test_bad_input_is_one_line_and_an_exit_status(self):
        cut = os.path.join(self.folder, "cut.fbin")
        with open(QUERY, "rb") as file, open(cut, "wb") as to:
            to.write(file.read(1000))
        empty = os.path.join(self.folder, "empty")
        with open(empty, "wb"):
            pass
        for command in (("query",), ("bench", "net")):
            server = ("--server", self.node.server)
            words = ("--collection", "words")
            query = ("--query", QUERY)
            self.refused(2, *command)
            self.refused(2, *command, *server, *words)
            self.refused(2, *command, *words, *query)
            self.refused(2, *command, *words, *query, "--server", "127.0.0.1:0")
            self.refused(2, *command, *words, *query, "--server", "[::1")
            self.refused(2, *command, *words, *query, "--server", ",")
            self.refused(2, *command, *server, *words, *query, "--k", "0")
            self.refused(2, *command, *server, *words, *query, "--k", "ten")
            self.refused(2, *command, *server, *words, *query, "--port", "serial")
            self.refused(2, *command, *server, *words, *query, "--device", "net_memif0")
            self.refused(2, *command, *server, *words, *query, "--port", "dpdk")
            self.refused(2, *command, *server, *words, *query, "--port", "dpdk", "--device", "net_null0",
                         "--address", "10.0.0.1")
            self.refused(1, *command, *server, *words, "--query", "/nowhere/at/all.fbin")
            self.refused(1, *command, *server, *words, "--query", cut)
            self.refused(1, *command, *server, *words, *query, "--secret", "/nowhere/at/all")
            self.refused(1, *command, *server, *words, *query, "--secret", empty)
        self.refused(1, "query", *server, *words, *query, "--row", "999999")
        self.refused(1, "query", *server, *words, *query, "--filter", empty)
        self.refused(1, "query", *server, *words, *query, "--filter", "/nowhere/at/all")
        self.assertIn("not on this node", self.refused(1, "query", *server, "--collection", "x", *query, "--row", 0))
        self.assertIn("not on this node", self.refused(1, "bench", "net", *server, "--collection", "x", *query))
        self.refused(1, "bench", "net", *server, *words, *query, "--truth", QUERY)
        self.refused(2, "bench", "net", *server, *words, *query, "--base", BASE)
        self.refused(1, "bench", "net", *server, *words, *query, "--hgrm", "/nowhere/at/all")

    def test_a_query_of_another_dimension_is_refused(self):
        path = os.path.join(self.folder, "three.fbin")
        with open(path, "wb") as file:
            file.write(struct.pack("<II3f", 1, 3, 1, 2, 3))
        error = self.refused(1, "query", "--server", self.node.server, "--collection", "words", "--query", path)
        self.assertIn("invalid argument", error)

    def test_a_node_that_is_not_there_is_reported_in_time(self):
        error = self.refused(1, "query", "--server", f"127.0.0.1:{ternd.free_port()}", "--collection", "words",
                             "--query", QUERY, "--row", 0, "--timeout-ms", 300)
        self.assertTrue("deadline" in error or "unreachable" in error, error)


if __name__ == "__main__":
    if not os.path.exists(ternd.TERND):
        print("no ternd in", ternd.BUILD)
        sys.exit(77)
    unittest.main()

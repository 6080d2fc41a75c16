#!/usr/bin/env python3
"""The offline commands on the vectors that ship: build, info, truth, bench ann, and what they refuse.

Usage: test_tools.py SOURCE_FOLDER BUILD_FOLDER
"""
import json
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from crc32c import crc32c  # noqa: E402

SOURCE, BUILD = sys.argv[1:3]
TERN = os.path.join(BUILD, "tern")
DATA = os.path.join(SOURCE, "tests/data")
MNIST = [os.path.join(DATA, "mnist784_" + name) for name in ("base.u8bin", "query.u8bin", "truth.ivecs")]
WORDS = [os.path.join(DATA, "words100_" + name) for name in ("base.fbin", "query.fbin", "truth.ivecs")]
TIMEOUT_S = 120


def tern(*words, **options):
    return subprocess.run([TERN, *map(str, words)], capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
                          **options)


class Tools(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="test_tools.")
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, data):
        with open(self.path(name), "wb") as file:
            file.write(data)
        return self.path(name)

    def done(self, *words):
        run = tern(*words)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(run.stderr, "")
        return run.stdout

    def lines(self, *words):
        return [json.loads(line) for line in self.done(*words, "--json").splitlines()]

    def refused(self, status, says, *words):
        """Exactly one line on stderr, with the exit status, and nothing on stdout."""
        run = tern(*words)
        self.assertEqual(run.returncode, status, run.stderr)
        self.assertEqual(run.stdout, "")
        self.assertRegex(run.stderr, r"\Atern: [^\n]+\n\Z")
        self.assertIn(says, run.stderr)

    def build(self, out, *more, base=MNIST[0]):
        return self.lines("build", "--base", base, "--out", out, "--collection", "digits", "--shards", 3, *more)

    def test_build_writes_what_the_manifest_says(self):
        out = self.path("out")
        events = self.build(out)
        self.assertEqual([event["event"] for event in events], ["memory"] + ["shard"] * 3 + ["build"])
        self.assertEqual(events[-1]["vectors"], 3000)
        with open(os.path.join(out, "manifest.json"), encoding="utf-8") as file:
            manifest = json.load(file)
        self.assertEqual((manifest["count"], manifest["dim"], manifest["metric"]), (3000, 784, "l2"))
        names = {"manifest.json"}
        for shard in manifest["shards"]:
            names |= {shard["segment"], shard["coarse"]}
            self.assertEqual(os.path.getsize(os.path.join(out, shard["segment"])), shard["segment_size"])
            # At most a twentieth more than the share.
            self.assertLessEqual(shard["count"], 1050)
            with open(os.path.join(out, shard["coarse"]), "rb") as file:
                body = file.read()
            self.assertEqual(crc32c(body), shard["coarse_crc"])
            rows, flags = struct.unpack_from("<II", body)
            self.assertEqual((flags, len(body)), (0, 8 + rows * (8 + 4 * 784)))
            members = [struct.unpack_from("<I", body, 8 + i * (8 + 4 * 784))[0] for i in range(rows)]
            self.assertEqual(sum(members), shard["count"])
        self.assertEqual(set(os.listdir(out)), names)

    def test_build_gives_the_same_bytes_with_any_threads(self):
        folders = []
        for threads in (1, 3):
            folders.append(self.path(f"threads{threads}"))
            self.build(folders[-1], "--threads", threads)
        for name in os.listdir(folders[0]):
            with open(os.path.join(folders[0], name), "rb") as one, open(os.path.join(folders[1], name), "rb") as two:
                self.assertEqual(one.read(), two.read(), name)

    def test_build_overwrites_only_when_told(self):
        out = self.path("out")
        self.build(out)
        before = set(os.listdir(out))
        self.refused(1, "--force", "build", "--base", MNIST[0], "--out", out, "--collection", "digits",
                     "--shards", 3)
        self.assertEqual(set(os.listdir(out)), before)
        self.assertEqual(self.build(out, "--force")[-1]["generation"], 2)
        after = set(os.listdir(out))
        self.assertEqual(after & before, {"manifest.json"})
        self.assertEqual(len(after), 7)

    def test_a_build_that_is_killed_leaves_the_old_collection(self):
        out = self.path("out")
        self.build(out)
        with open(os.path.join(out, "manifest.json"), "rb") as file:
            manifest = file.read()
        for delay in (0.0, 0.1, 0.3, 0.8):
            process = subprocess.Popen([TERN, "build", "--base", WORDS[0], "--out", out, "--collection", "words",
                                        "--shards", "4", "--force", "--ef-construction", "8000", "--threads",
                                        "1"],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=TIMEOUT_S)
            self.assertEqual(process.returncode, -signal.SIGKILL)
            with open(os.path.join(out, "manifest.json"), "rb") as file:
                self.assertEqual(file.read(), manifest)
            for shard in json.loads(manifest)["shards"]:
                self.assertEqual(os.path.getsize(os.path.join(out, shard["segment"])), shard["segment_size"])
        self.assertEqual(self.build(out, "--force")[-1]["generation"], 2)

    def test_truth_is_what_ships(self):
        for base, query, truth, metric in (*[MNIST + ["l2"]], *[WORDS + ["cosine"]]):
            out = self.path("truth.ivecs")
            event, = self.lines("truth", "--base", base, "--query", query, "--out", out, "--metric", metric)
            self.assertEqual((event["event"], event["k"]), ("truth", 100))
            with open(out, "rb") as ours, open(truth, "rb") as shipped:
                self.assertEqual(ours.read(), shipped.read())

    def test_bench_ann_prints_the_lines_that_are_promised(self):
        build, *searches = self.lines("bench", "ann", "--base", MNIST[0], "--query", MNIST[1], "--truth", MNIST[2],
                                      "--ef", "16,64")
        self.assertLessEqual({"event", "seconds", "vectors", "dim", "bytes"}, set(build))
        self.assertEqual((build["event"], build["vectors"], build["dim"]), ("build", 3000, 784))
        self.assertEqual([search["ef"] for search in searches], [16, 64])
        for search in searches:
            self.assertLessEqual({"event", "ef", "k", "recall", "qps", "p50_us", "p99_us"}, set(search))
            self.assertEqual((search["event"], search["k"]), ("search", 10))
            self.assertTrue(0.9 < search["recall"] <= 1)
            self.assertTrue(search["qps"] > 0 and 0 < search["p50_us"] <= search["p99_us"])
        self.assertGreater(searches[1]["recall"], 0.99)

    def test_every_type_is_built_served_from_a_folder_and_found_in(self):
        """The bytes fall with the type; the images of a folder are those that bench ann builds."""
        sizes = {}
        for kind, rows in (("f32", "full"), ("f32", "compact"), ("f16", "auto"), ("bf16", "auto"), ("u8", "auto")):
            more = ["--type", kind, "--rows", rows, "--layout", "plain"]
            build, search = self.lines("bench", "ann", "--base", MNIST[0], "--query", MNIST[1], "--truth", MNIST[2],
                                       "--ef", 64, *more)
            self.assertGreater(search["recall"], 0.99, more)
            self.assertEqual((build["type"], build["compact"]), (kind, rows == "compact"))
            sizes[kind, rows] = build["bytes"]
            out = self.path(kind + rows)
            *_, event = self.lines("build", "--base", MNIST[0], "--out", out, "--collection", "d", "--shards", 1, *more)
            self.assertEqual((event["bytes"], event["type"]), (build["bytes"], kind))
            segment, = [name for name in os.listdir(out) if name.endswith(".segment")]
            self.assertEqual(os.path.getsize(os.path.join(out, segment)), build["bytes"])
        self.assertEqual(sizes["f16", "auto"], sizes["bf16", "auto"])
        self.assertTrue(sizes["u8", "auto"] < sizes["f16", "auto"] < sizes["f32", "full"] < sizes["f32", "compact"])

    def test_codes_of_edges_are_built_when_asked_for_or_small_enough(self):
        def bench(*more):
            return self.lines("bench", "ann", "--base", MNIST[0], "--query", MNIST[1], "--truth", MNIST[2], "--ef", 64,
                              *more)
        plain, search = bench("--layout", "plain")
        self.assertEqual(plain["edge_bits"], 0)
        for words, bits in ((["--layout", "edges"], 576), (["--layout", "edges", "--edge-bits", "448"], 448),
                            (["--type", "f32", "--layout", "edges"], 576), (["--type", "f32"], 0)):
            build, search = bench(*words)
            self.assertEqual(build["edge_bits"], bits, words)
            self.assertGreater(search["recall"], 0.99, words)
        self.assertLess(bench()[0]["bytes"], 1.2 * 3000 * (4 * 784 + 272))
        where = ["bench", "ann", "--base", MNIST[0], "--query", MNIST[1], "--truth", MNIST[2]]
        self.refused(2, "--layout takes", *where, "--layout", "dense")
        self.refused(2, "--order takes", *where, "--order", "random")
        self.refused(2, "up to 832 for vectors of 784 values, not 100", *where, "--edge-bits", "100")
        bits = self.write("bits.fvecs", struct.pack("<iff", 2, 1, 0))
        self.refused(2, "doesn't go with --type b1", "bench", "ann", "--base", bits, "--query", bits, "--truth",
                     MNIST[2], "--type", "b1", "--layout", "edges")

    def test_nodes_are_numbered_as_asked(self):
        """Either way the same is found; by graph, the rows of a list are on fewer pages."""
        dumps, recalls = [], []
        for order in "label", "graph":
            more = ["--layout", "plain", "--order", order]
            _, search = self.lines("bench", "ann", "--base", WORDS[0], "--query", WORDS[1], "--truth", WORDS[2],
                                   "--metric", "cosine", "--ef", 32, *more)
            recalls.append(search["recall"])
            out = self.path(order)
            self.lines("build", "--base", WORDS[0], "--out", out, "--collection", "d", "--shards", 1,
                       "--metric", "cosine", *more)
            segment, = [name for name in os.listdir(out) if name.endswith(".segment")]
            dump, = self.lines("dump", "segment", os.path.join(out, segment))
            self.assertEqual(dump["order"], order)
            self.assertIn(f"nodes numbered by {order}", self.done("dump", "segment", os.path.join(out, segment)))
            dumps.append(dump)
        label, graph = dumps
        self.assertEqual(recalls[0], recalls[1])
        self.assertEqual((label["parts"]["sorted"], graph["parts"]["sorted"]), (0, 4 * graph["vectors"]))
        for what in "nodes", "degrees", "levels", "in_degree", "reached", "links":
            self.assertEqual(label["graph"][what], graph["graph"][what])
        self.assertLess(graph["graph"]["link_pages"], 0.9 * label["graph"]["link_pages"])
        self.assertLess(graph["graph"]["link_runs"], label["graph"]["link_runs"])

    @staticmethod
    def degrees_of(path):
        """How many lists of each length the file has, at level 0 and above: see docs/format/segment.md."""
        with open(path, "rb") as file:
            image = file.read()
        count, m = struct.unpack_from("<II", image, 40)
        rows, stride = struct.unpack_from("<QQ", image, 64)
        records, record_stride, record_count = struct.unpack_from("<QQI", image, 112)
        lists = [struct.unpack_from(f"<{2 * m}I", image, rows + i * stride) for i in range(count)]
        # Above level 0 every other word is a neighbour's record.
        above = [struct.unpack_from(f"<{2 * m}I", image, records + i * record_stride)[::2] for i in range(record_count)]

        def lengths(all_lists, longest):
            found = [sum(node != 0xFFFFFFFF for node in nodes) for nodes in all_lists]
            return [found.count(length) for length in range(longest + 1)]
        return lengths(lists, 2 * m), lengths(above, m)

    def test_dump_segment_shows_what_build_wrote(self):
        out = self.path("out")
        self.build(out, "--m", 8, "--ef-construction", 77, "--seed", 5)
        for number in range(3):
            path = os.path.join(out, f"shard-{number:04}.g1.segment")
            dump, = self.lines("dump", "segment", path)
            self.assertEqual((dump["event"], dump["file"], dump["generation"]), ("segment", path, 1))
            self.assertEqual((dump["dim"], dump["type"], dump["metric"]), (784, "u8", "l2"))
            self.assertEqual((dump["m"], dump["ef_construction"], dump["seed"]), (8, 77, 5))
            self.assertEqual(dump["bytes"], os.path.getsize(path))
            self.assertEqual(sum(dump["parts"].values()), dump["bytes"])
            self.assertAlmostEqual(dump["bytes_per_vector"], dump["bytes"] / dump["vectors"], places=4)
            self.assertEqual(list(dump["ef_tuned"]), ["0.90", "0.95", "0.98", "0.99"])
            graph = dump["graph"]
            self.assertEqual(graph["nodes"] + graph["twins"], dump["vectors"])
            for counts in ("levels", "degrees"):
                self.assertEqual(sum(graph[counts]), graph["nodes"])
            degrees, upper = self.degrees_of(path)
            degrees[0] -= graph["twins"]
            self.assertEqual((graph["degrees"], graph["upper_degrees"]), (degrees, upper))
            self.assertEqual(graph["reached"], graph["nodes"])
        text = self.done("dump", "segment", path)
        self.assertIn("padding", text)
        for what, counts in (("nodes by highest level", graph["levels"]),
                             ("nodes by neighbours at level 0", degrees), ("records by neighbours above", upper)):
            line = what + ":" + "".join(f" {i}:{count}" for i, count in enumerate(counts) if count)
            self.assertIn(line + "\n", text)

    def test_dump_segment_says_where_a_file_is_damaged(self):
        out = self.path("out")
        self.build(out)
        path = os.path.join(out, "shard-0000.g1.segment")
        with open(path, "r+b") as file:
            file.seek(36)
            file.write(struct.pack("<I", 0))
        self.refused(1, f"{path}: offset 252: the header's checksum is wrong", "dump", "segment", path)
        self.refused(1, "No such file", "dump", "segment", "/nowhere/at/all")
        self.refused(1, "magic", "dump", "segment", MNIST[0])
        self.refused(2, "FILE is missing", "dump", "segment")
        self.refused(2, "'more' is no option", "dump", "segment", path, "more")
        self.refused(2, "there is no option", "dump", "segment", path, "--nothing")

    def test_a_file_of_bytes_is_stored_as_bytes(self):
        self.assertEqual(self.build(self.path("u8"))[-1]["type"], "u8")
        signed = self.write("base.i8bin", struct.pack("<II", 100, 2) + bytes(i & 0xFF for i in range(200)))
        self.assertEqual(self.build(self.path("i8"), base=signed)[-1]["type"], "i8")
        vecs = self.write("base.bvecs", b"".join(struct.pack("<iBB", 2, i, 3 * i & 0xFF) for i in range(100)))
        self.assertEqual(self.build(self.path("vecs"), base=vecs)[-1]["type"], "u8")
        self.assertEqual(self.build(self.path("f32"), base=WORDS[0])[-1]["type"], "f32")

    def test_a_file_of_bytes_makes_the_collection_that_its_floats_make(self):
        """Taken row by row where it lies, or as f32: the same shards, summaries and segments."""
        with open(MNIST[0], "rb") as file:
            count, dim = struct.unpack("<II", file.read(8))
            values = file.read()
        floats = self.write("base.fbin", struct.pack("<II", count, dim) + struct.pack(f"<{len(values)}f", *values))
        for partition in ("kmeans", "hash"):
            folders = [self.path(partition + name) for name in ("bytes", "floats")]
            self.build(folders[0], "--partition", partition)
            self.build(folders[1], "--partition", partition, "--type", "u8", base=floats)
            for name in os.listdir(folders[0]):
                with open(os.path.join(folders[0], name), "rb") as one, \
                        open(os.path.join(folders[1], name), "rb") as two:
                    self.assertEqual(one.read(), two.read(), name)

    def test_bits_are_compared_by_how_many_differ(self):
        """Vector i has the bits of i: of query q the nearest is q, then those that differ in one bit."""
        base = self.write("base.fvecs", b"".join(struct.pack("<i8f", 8, *(i >> b & 1 for b in range(8)))
                                                 for i in range(256)))
        truth = self.write("truth.ivecs", b"".join(struct.pack("<i9i", 9, q, *(q ^ 1 << b for b in range(8)))
                                                   for q in range(256)))
        build, search = self.lines("bench", "ann", "--base", base, "--query", base, "--truth", truth, "--k", 9,
                                   "--ef", 256, "--type", "b1")
        self.assertEqual((build["type"], search["recall"]), ("b1", 1))

    def test_what_a_type_cannot_hold_is_named(self):
        base = self.write("base.fvecs", struct.pack("<iff", 2, 1, 2) + struct.pack("<iff", 2, 3, 1.5))
        build = ["build", "--base", base, "--out", self.path("x"), "--collection", "c", "--shards", 1]
        bench = ["bench", "ann", "--base", base, "--query", base, "--truth", base]
        for words in (build, bench):
            self.refused(1, "base.fvecs: row 1, value 1: 1.5 is no integer, stored as u8; choose a --type", *words,
                         "--type", "u8")
            self.refused(1, "row 0, value 1: 2 is neither 0 nor 1", *words, "--type", "b1")
            self.refused(2, "--type takes", *words, "--type", "f64")
            self.refused(2, "--rows takes", *words, "--rows", "thin")
            self.refused(2, "goes with --type f32", *words, "--type", "f16", "--rows", "compact")
            self.refused(2, "goes with --metric l2", *words, "--type", "b1", "--metric", "cosine")
        far = self.write("far.fvecs", struct.pack("<iff", 2, 1, 70000))
        build[2] = far
        self.refused(1, "row 0, value 1: 70000 is beyond the type's range, stored as f16; scale", *build,
                     "--type", "f16")
        self.refused(1, "136 is beyond", "build", "--base", MNIST[0], *build[3:], "--type", "i8")
        self.assertFalse(os.path.exists(self.path("x")))

    def test_a_build_keeps_to_the_memory_that_it_states(self):
        with open(TERN, "rb") as file:
            if b"__asan_init" in file.read():
                self.skipTest("a sanitizer's memory would be counted too")
        wide = self.write("wide.u8bin", struct.pack("<II", 24000, 256) + os.urandom(24000 * 256))
        program = 16 << 20
        for more in ([], ["--type", "f32"]):
            words = ["build", "--base", wide, "--out", self.path("x"), "--collection", "c", "--shards", 1, "--force",
                     "--json", "--m", 4, "--ef-construction", 8, "--threads", 1, *more]
            memory = json.loads(self.done(*words).splitlines()[0])
            self.assertEqual(memory["event"], "memory")
            self.assertEqual(memory["bytes"], memory["vectors"] + memory["image"] + memory["scratch"])
            self.assertEqual(memory["vectors"], 0)

            def limited(size):
                return tern(*words, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (size, size)))
            run = limited(program + memory["bytes"])
            self.assertEqual(run.returncode, 0, run.stderr)
            run = limited(memory["bytes"] // 2)
            self.assertEqual(run.returncode, 1)
            self.assertIn("Cannot allocate memory", run.stderr)

    def test_bench_ann_finds_the_smallest_ef_for_a_recall(self):
        out = self.path("out")
        self.lines("build", "--base", WORDS[0], "--out", out, "--collection", "w", "--shards", 1, "--metric", "cosine")
        common = ["bench", "ann", "--base", WORDS[0], "--query", WORDS[1], "--truth", WORDS[2], "--metric", "cosine",
                  "--index", out]
        _, *found = self.lines(*common, "--recall", "0.5,0.95,0.99")
        self.assertEqual([(line["event"], line["target"]) for line in found],
                         [("search", 0.5), ("search", 0.95), ("search", 0.99)])
        self.assertEqual(found[0]["ef"], 10)
        for line in found[1:]:
            _, less, same = self.lines(*common, "--ef", f"{line['ef'] - 1},{line['ef']}")
            self.assertLess(less["recall"], line["target"])
            self.assertGreaterEqual(line["recall"], line["target"])
            self.assertEqual([line[key] for key in ("recall", "hops", "distances")],
                             [same[key] for key in ("recall", "hops", "distances")])
            self.assertNotIn("target", same)
        self.assertIn("for 0.95", self.done(*common, "--recall", "0.95"))
        _, patient = self.lines(*common, "--ef", "200", "--patience", 200)
        _, impatient = self.lines(*common, "--ef", "200", "--patience", 5)
        self.assertLess(2 * impatient["hops"], patient["hops"])
        run = tern(*common, "--recall", "0.5,0.999", "--patience", 3, "--json")
        self.assertEqual(run.returncode, 1)
        self.assertEqual(json.loads(run.stdout.splitlines()[-1])["target"], 0.5)
        self.assertRegex(run.stderr, r"\Atern: recall 0.999 is not reached: ef 8192 finds [^\n]*--patience[^\n]*\n\Z")
        for wrong in ("0", "1.01", "x", "0.9,", "0.99,0.9", "nan", ""):
            self.refused(2, "--recall takes", *common, "--recall", wrong)

    def test_bench_ann_finds_the_same_however_it_runs(self):
        out = self.path("out")
        self.lines("build", "--base", WORDS[0], "--out", out, "--collection", "w", "--shards", 1, "--metric", "cosine")
        common = ["bench", "ann", "--base", WORDS[0], "--query", WORDS[1], "--truth", WORDS[2], "--metric", "cosine",
                  "--ef", "20"]
        recalls = []
        for more in ([], ["--in-flight", 7], ["--search-threads", 2, "--in-flight", 2, "--passes", 3],
                     ["--index", out]):
            event, search = self.lines(*common, *more)
            self.assertEqual(event["event"], "open" if "--index" in more else "build")
            recalls.append(search["recall"])
        self.assertEqual(recalls, [recalls[0]] * 4)

    def test_bench_churn_ends_where_a_fresh_build_is(self):
        churn, *searches = self.lines("bench", "churn", "--base", WORDS[0], "--query", WORDS[1], "--truth", WORDS[2],
                                      "--metric", "cosine", "--ef", "16,64", "--growing", 1000)
        self.assertEqual([churn["event"], churn["vectors"], churn["dim"]], ["churn", 8000, 100])
        self.assertEqual(churn["wrong_searches"], 0)
        self.assertGreater(churn["searches"], 0)
        self.assertGreater(churn["merges"], 0)
        self.assertLessEqual(churn["bytes"], 1.1 * churn["fresh_bytes"])
        self.assertEqual([line["ef"] for line in searches], [16, 64])
        for line in searches:
            self.assertGreaterEqual(line["recall"], line["fresh_recall"] - 0.005)

    def test_bench_ann_searches_all_shards_of_a_folder(self):
        out = self.path("out")
        self.build(out)
        _, search = self.lines("bench", "ann", "--base", MNIST[0], "--query", MNIST[1], "--truth", MNIST[2],
                               "--ef", "64", "--index", out, "--k", 100)
        self.assertGreater(search["recall"], 0.98)

    def test_ties_count_whichever_is_found(self):
        """Each vector stands four times; the truth names the first of each, any of the four is right."""
        rows = b"".join(struct.pack("<iff", 2, i % 50, (i % 50) * 7 % 50) for i in range(200))
        base = self.write("base.fvecs", rows)
        query = self.write("query.fvecs", rows[:50 * 12])
        truth = self.write("truth.ivecs", b"".join(struct.pack("<ii", 1, i) for i in range(50)))
        _, search = self.lines("bench", "ann", "--base", base, "--query", query, "--truth", truth, "--k", 1,
                               "--ef", "50")
        self.assertEqual(search["recall"], 1)

    def test_hits_that_are_farther_than_the_truth_are_wrong(self):
        """The index has the base's rows in reverse, so every label that it finds names a far row of the base."""
        def rows(numbers):
            return b"".join(struct.pack("<if", 1, number) for number in numbers)

        base = self.write("base.fvecs", rows(range(100)))
        out = self.path("out")
        self.build(out, base=self.write("reverse.fvecs", rows(reversed(range(100)))))
        query = self.write("query.fvecs", rows([3, 90]))
        truth = self.write("truth.ivecs", struct.pack("<iiii", 1, 3, 1, 90))
        common = ["bench", "ann", "--base", base, "--query", query, "--truth", truth, "--k", 1, "--ef", 32]
        self.assertEqual(self.lines(*common, "--index", out)[1]["recall"], 0)
        self.assertEqual(self.lines(*common)[1]["recall"], 1)

    def test_info_shows_the_machine(self):
        info, = self.lines("info")
        self.assertEqual(info["event"], "info")
        self.assertEqual(info["cores"]["affine"], len(os.sched_getaffinity(0)))
        self.assertIn(info["isa"]["chosen"], info["isa"]["usable"])
        self.assertEqual({driver["name"] for driver in info["dpdk_drivers"]},
                         {"memif", "af_packet", "af_xdp", "tap", "mlx5", "vfio"})
        self.assertEqual({interface["name"] for interface in info["interfaces"]}, set(os.listdir("/sys/class/net")))
        for finding in info["missing"]:
            self.assertTrue(finding["what"] and finding["why"] and finding["mend"])
        self.assertIn("isa", self.done("info"))

    def test_info_takes_the_instruction_set_it_is_told(self):
        run = tern("info", "--json", env={**os.environ, "TERN_ISA": "scalar"})
        self.assertEqual(json.loads(run.stdout)["isa"]["chosen"], "scalar")

    def test_help_and_version(self):
        self.assertIn("bench ann", self.done("--help"))
        self.assertRegex(self.done("--version"), r"\Atern \d+\.\d+\.\d+\n\Z")
        for words in (["build"], ["truth"], ["bench", "ann"], ["bench", "churn"], ["info"]):
            self.assertIn("usage: tern " + " ".join(words), self.done(*words, "--help"))

        self.assertIn("bench net", self.done("bench", "--help"))

    def test_output_that_goes_nowhere_is_status_1(self):
        for words in (["--help"], ["info"], ["info", "--json"]):
            with open("/dev/full", "wb") as full:
                run = subprocess.run([TERN, *words], stdout=full, stderr=subprocess.PIPE, text=True,
                                     timeout=TIMEOUT_S, check=False)
            self.assertEqual(run.returncode, 1)
            self.assertRegex(run.stderr, r"\Atern: standard output can't be written: No space left[^\n]*\n\Z")

    def test_wrong_usage_is_status_2(self):
        build = ["build", "--base", MNIST[0], "--out", self.path("x"), "--collection", "c", "--shards"]
        self.refused(2, "no command 'nothing'", "nothing")
        self.refused(2, "--base FILE is missing", "build")
        self.refused(2, "there is no option", "build", "--nothing")
        self.refused(2, "value is missing", "build", "--base")
        self.refused(2, "'more' is no option", "info", "more")
        self.refused(2, "1 to 1024", *build, 0)
        self.refused(2, "1 to 1024", *build, 1025)
        self.refused(2, "whole number", *build, "two")
        self.refused(2, "--metric", *build, 2, "--metric", "l3")
        self.refused(2, "--partition", *build, 2, "--partition", "x")
        self.refused(2, "UTF-8", *build[:5], "--collection", "", "--shards", 2)
        self.refused(2, "UTF-8", *build[:5], "--collection", "x" * 256, "--shards", 2)
        self.refused(2, "--ef", "bench", "ann", "--base", MNIST[0], "--query", MNIST[1], "--truth", MNIST[2],
                     "--ef", "16,,32")
        self.assertFalse(os.path.exists(self.path("x")))

    def test_bad_files_are_status_1(self):
        cut = self.write("cut.fbin", struct.pack("<IIf", 2, 1, 0))
        nan = self.write("nan.fvecs", struct.pack("<iff", 2, 1, float("nan")))
        none = self.write("none.fvecs", b"")
        wide = self.write("wide.fvecs", struct.pack("<i4097f", 4097, *[0] * 4097))
        narrow = self.write("narrow.fvecs", struct.pack("<if", 1, 0))
        text = self.write("text.txt", b"hello")
        hdf5 = self.write("no.hdf5", b"hello")
        for base, says in ((cut, "cut off"), (nan, "row 0, value 1"), (none, "no vectors"), (wide, "4096"),
                           (text, "ending"), (hdf5, "HDF5"), ("/nowhere.fvecs", "No such file")):
            self.refused(1, says, "build", "--base", base, "--out", self.path("x"), "--collection", "c",
                         "--shards", 1)
            self.refused(1, says, "truth", "--base", base, "--query", MNIST[1], "--out", self.path("t.ivecs"))
        self.refused(1, "queries for this base", "truth", "--base", MNIST[0], "--query", narrow,
                     "--out", self.path("t.ivecs"))
        self.refused(1, "smaller --k", "truth", "--base", narrow, "--query", narrow, "--out", self.path("t.ivecs"))
        self.refused(1, ".ivecs", "truth", "--base", narrow, "--query", narrow, "--k", 1,
                     "--out", self.path("t.fbin"))
        self.refused(1, "choose fewer", "build", "--base", narrow, "--out", self.path("x"), "--collection", "c",
                     "--shards", 2)
        self.refused(1, "can't be made", "build", "--base", narrow, "--out", "/nowhere/x", "--collection", "c",
                     "--shards", 1)
        self.refused(1, "is no folder", "build", "--base", narrow, "--out", text, "--collection", "c", "--shards", 1)
        self.assertFalse(os.path.exists(self.path("x")))

    def test_bench_ann_refuses_what_does_not_fit(self):
        common = ["bench", "ann", "--base", MNIST[0], "--query", MNIST[1], "--truth"]
        few = self.write("few.ivecs", struct.pack("<ii", 1, 0))
        far = self.write("far.ivecs", struct.pack("<ii", 1, 3000) * 300)
        self.refused(1, "tern truth", *common, few)
        self.refused(1, "names vector 3000", *common, far, "--k", 1)
        self.refused(1, "whole numbers", *common, WORDS[0])
        out = self.path("out")
        self.build(out)
        self.refused(1, "built from", *common, MNIST[2], "--index", out, "--metric", "ip")
        with open(os.path.join(out, "shard-0001.g1.segment"), "r+b") as file:
            file.seek(5000)
            file.write(b"\xff\xff\xff\xff")
        self.refused(1, "shard-0001", *common, MNIST[2], "--index", out)

    def test_a_damaged_manifest_is_not_built_over(self):
        out = self.path("out")
        os.mkdir(out)
        self.write("out/manifest.json", b"{}")
        self.refused(1, "manifest.json", "build", "--base", MNIST[0], "--out", out, "--collection", "c",
                     "--shards", 1, "--force")

    def test_plot_is_drawn_from_json_lines(self):
        if not shutil.which("gnuplot"):
            self.skipTest("gnuplot isn't installed")
        points = self.path("a.jsonl")
        with open(points, "w", encoding="utf-8") as file:
            file.write(self.done("bench", "ann", "--base", MNIST[0], "--query", MNIST[1], "--truth", MNIST[2],
                                 "--ef", "16,64", "--json"))
        script = os.path.join(SOURCE, "perf/plots/recall_qps.gp")
        subprocess.run(["gnuplot", "-c", script, self.path("a.svg"), points], check=True, timeout=TIMEOUT_S)
        with open(self.path("a.svg"), encoding="utf-8") as file:
            self.assertIn("queries a second", file.read())
        empty = self.write("empty.jsonl", b"")
        self.assertEqual(subprocess.run(["gnuplot", "-c", script, self.path("b.svg"), empty], check=False,
                                        capture_output=True, timeout=TIMEOUT_S).returncode, 1)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])

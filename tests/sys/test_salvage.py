#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A store whose log is damaged or lacks a segment, or whose pages are damaged: refused by place, or salvaged, and what is lost is said."""
import collections
import json
import os
import subprocess
import tempfile
import unittest

TERN = os.path.join(os.environ["TERN_BUILD"], "tern")


def tern(*words):
    return subprocess.run([TERN, *words], capture_output=True, text=True, check=False, timeout=60)


class Salvage(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.addCleanup(self.temporary.cleanup)
        self.folder = os.path.join(self.temporary.name, "store")
        for number in range(1, 4):
            self.assertEqual(tern("put", self.folder, f"key{number}", f"value{number}").returncode, 0)
        logs = sorted(name for name in os.listdir(self.folder) if name.startswith("wal-0"))
        self.logs = [os.path.join(self.folder, name) for name in logs]

    def damage(self, path, where):
        with open(path, "r+b") as file:
            offset = file.read().index(where)
            file.seek(offset)
            file.write(bytes([where[0] ^ 1]))

    def assert_salvaged(self, keys):
        run = tern("verify", self.folder, "--salvage")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertRegex(run.stderr, r"\d+ records and \d+ bytes of the log could not be read")
        self.assertEqual(tern("scan", self.folder).stdout, "".join(f"key{key}\tvalue{key}\n" for key in keys))
        self.assertEqual(tern("verify", self.folder).returncode, 0)

    def test_a_segment_that_is_gone_is_named_and_salvage_goes_on_without_it(self):
        for index, said in enumerate((r"wal-00000002 .*begins with LSN \d+, and LSN 1 ",
                                      r"no record of LSN \d+, though wal-00000003 begins with",
                                      r"wal-00000003 is missing")):
            with self.subTest(index=index):
                self.setUp()
                os.remove(self.logs[index])
                run = tern("scan", self.folder)
                self.assertEqual((run.returncode, run.stdout), (1, ""))
                self.assertRegex(run.stderr, said)
                self.assert_salvaged(sorted({1, 2, 3} - {index + 1}))

    def test_a_segment_that_lost_its_end_is_named(self):
        os.truncate(self.logs[-1], 4096)
        run = tern("scan", self.folder)
        self.assertEqual((run.returncode, run.stdout), (1, ""))
        self.assertRegex(run.stderr, r"wal-00000003 has 4096 bytes of \d+")

    def test_what_was_written_last_is_known_to_be_missing(self):
        with open(self.logs[-1], "r+b") as file:
            at = file.read().index(b"value3")
            file.seek(at)
            file.write(bytes(2000))
        run = tern("scan", self.folder)
        self.assertEqual((run.returncode, run.stdout), (1, ""))
        self.assertRegex(run.stderr, r"wal-00000003 .*no record of LSN \d+, and all up to \d+ was durable")
        self.assert_salvaged([1, 2])

    def test_every_command_refuses_it_and_names_the_place(self):
        self.damage(self.logs[1], b"value2")
        for words in ("get", "key1"), ("scan",), ("put", "a", "b"), ("verify",):
            run = tern(words[0], self.folder, *words[1:])
            self.assertEqual(run.returncode, 1, words)
            self.assertRegex(run.stderr, r"wal-00000002 .*offset \d+.*LSN \d+")
            self.assertEqual(run.stdout, "")

    def test_salvage_loses_what_was_damaged_and_says_so(self):
        self.damage(self.logs[1], b"value2")
        run = tern("verify", self.folder, "--salvage")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertRegex(run.stderr, r"[1-9]\d* bytes of the log could not be read")
        self.assertEqual(tern("scan", self.folder).stdout, "key1\tvalue1\nkey3\tvalue3\n")
        self.assertEqual(tern("verify", self.folder).returncode, 0)

    def test_salvage_of_a_sound_store_says_nothing(self):
        folder = os.path.join(self.temporary.name, "sound")
        tern("put", folder, "key", "value")
        run = tern("verify", folder, "--salvage")
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        self.assertRegex(run.stdout, "^whole: 0 faults")


class Transactions(unittest.TestCase):
    """What 'tern load' writes is a transaction a batch."""

    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.addCleanup(self.temporary.cleanup)
        self.folder = os.path.join(self.temporary.name, "store")

    def path(self, name):
        return os.path.join(self.folder, name)

    def load(self, kind, lines, batch):
        path = os.path.join(self.temporary.name, "lines")
        with open(path, "w", encoding="ascii") as file:
            file.writelines(lines)
        self.assertEqual(tern("load", self.folder, kind, path, "--batch", str(batch)).returncode, 0)

    def flip(self, name, offset):
        with open(self.path(name), "r+b") as file:
            file.seek(offset)
            byte = file.read(1)[0]
            file.seek(offset)
            file.write(bytes([byte ^ 1]))

    def salvage(self):
        run = tern("verify", self.folder, "--salvage", "--json")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(tern("verify", self.folder).returncode, 0)
        return run.stderr, json.loads(run.stdout)

    def edges(self):
        return {
            (source, target)
            for source in range(4)
            for target in tern("edges", self.folder, str(source)).stdout.split()
        }

    def test_a_transaction_with_a_hole_is_dropped_whole(self):
        self.load("--pairs", (f"k{i:06d}\tvalue {i}, long enough to be one\n" for i in range(30000)), 100)
        self.flip("wal-00000001", 300000)
        self.assertEqual(tern("verify", self.folder).returncode, 1)
        said, verify = self.salvage()
        self.assertRegex(said, r"1 records and [1-9]\d* bytes of the log could not be read .*holes: 1; .*: 99\)")
        self.assertEqual((verify["faults"], verify["holes"], verify["severed_records"]), (0, 1, 99))
        lines = tern("scan", self.folder).stdout.splitlines()
        batches = collections.Counter(int(line[1:7]) // 100 for line in lines)
        self.assertEqual(set(batches.values()), {100})
        self.assertEqual(len(batches), 299)

    def test_the_graph_agrees_with_the_keys_behind_a_hole(self):
        self.load("--edges", (f"{i % 4}\t{i + 1000}\n" for i in range(3000)), 200)
        self.flip("wal-00000001", 200000)
        said, verify = self.salvage()
        self.assertIn("the graph is made anew, of the 2800 edges", said)
        self.assertEqual(verify["faults"], 0)
        self.assertTrue(verify["graph_made"])
        self.assertEqual(len(self.edges()), 2800)

    def test_pages_that_are_damaged_or_gone_are_made_anew(self):
        self.load("--edges", (f"{i % 4}\t{i + 1000}\n" for i in range(3000)), 200)
        before = self.edges()
        self.assertEqual(len(before), 3000)
        self.assertEqual(tern("verify", self.folder, "--salvage").stderr, "")  # and a checkpoint
        self.flip("pages", 4096 * 3 + 100)
        self.assertEqual(tern("verify", self.folder).returncode, 1)
        self.assertIn("the graph is made anew, of the 3000 edges", self.salvage()[0])
        self.assertEqual(self.edges(), before)
        os.remove(self.path("pages"))
        self.assertEqual(tern("verify", self.folder).returncode, 1)
        self.assertIn("the graph is made anew, of the 3000 edges", self.salvage()[0])
        self.assertEqual(self.edges(), before)


if __name__ == "__main__":
    unittest.main()

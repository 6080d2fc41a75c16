#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A log that is damaged or lacks a segment: refused by LSN and offset, or salvaged, and how much is lost is said."""
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


if __name__ == "__main__":
    unittest.main()

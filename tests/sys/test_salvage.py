#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A log that is damaged in its middle: refused by LSN and offset, or salvaged, and how much is lost is said."""
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
        self.damage(os.path.join(self.folder, logs[1]), b"value2")

    def damage(self, path, where):
        with open(path, "r+b") as file:
            offset = file.read().index(where)
            file.seek(offset)
            file.write(bytes([where[0] ^ 1]))

    def test_every_command_refuses_it_and_names_the_place(self):
        for words in ("get", "key1"), ("scan",), ("put", "a", "b"), ("verify",):
            run = tern(words[0], self.folder, *words[1:])
            self.assertEqual(run.returncode, 1, words)
            self.assertRegex(run.stderr, r"wal-00000002 .*offset \d+.*LSN \d+")
            self.assertEqual(run.stdout, "")

    def test_salvage_loses_what_was_damaged_and_says_so(self):
        run = tern("verify", self.folder, "--salvage")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertRegex(run.stderr, r"[1-9]\d* bytes of the log could not be read")
        self.assertEqual(tern("scan", self.folder).stdout, "key1\tvalue1\nkey3\tvalue3\n")
        self.assertEqual(tern("verify", self.folder).returncode, 0)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tern dump table: shows golden files as they are, and says of damaged ones where.

Usage: test_dump_table.py TERN SOURCE_FOLDER
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

TERN, SOURCE = sys.argv[1], sys.argv.pop(2)


def golden(name):
    """The bytes that tests/conform has for both formats."""
    with open(os.path.join(SOURCE, "tests/conform/golden_tables.h"), encoding="utf-8") as file:
        text = re.search(name + r"\[\] =(.*?);", file.read(), re.S).group(1)
    return bytes.fromhex("".join(re.findall(r'"([0-9a-f]+)"', text)))


class DumpTable(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def write(self, name, data):
        path = os.path.join(self.folder.name, name)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def run_tern(self, *words):
        return subprocess.run([TERN, "dump", "table", *words], capture_output=True, text=True, check=False)

    def dump(self, *words):
        result = self.run_tern(*words)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return result.stdout

    def refused(self, says, *words):
        result = self.run_tern(*words)
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertIn(says, result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1)

    def test_a_table_is_shown(self):
        path = self.write("5.table", golden("golden_table"))
        dump = json.loads(self.dump(path, "--json", "--blocks"))
        self.assertEqual((dump["event"], dump["file"], dump["number"]), ("table", path, 5))
        self.assertEqual(dump["store"], "01020304-0506-0708-090a-0b0c0d0e0f10")
        self.assertEqual((dump["entries"], dump["tombstones"], dump["range_tombstones"]), (7, 3, 2))
        self.assertEqual((dump["seqno_min"], dump["seqno_max"]), (4, 300))
        self.assertEqual((dump["key_first"], dump["key_last"]), ("aa", "date"))
        self.assertEqual(sum(dump["parts"].values()), dump["bytes"])
        self.assertEqual(dump["bytes"], os.path.getsize(path))
        self.assertEqual([(b["seqno_min"], b["seqno_max"], b["separator"]) for b in dump["block_list"]],
                         [(4, 9, "b"), (12, 300, "blackberry")])
        self.assertNotIn("block_list", json.loads(self.dump(path, "--json")))

    def test_a_table_is_told_to_people(self):
        path = self.write("5.table", golden("golden_table"))
        text = self.dump(path, "--blocks")
        for says in ("table 5 of store", "7 entries, 3 of them tombstones (2 of ranges)", "keys aa to date",
                     "points to 5000 bytes", "blackberry"):
            self.assertIn(says, text)
        self.assertNotIn("separator", self.dump(path))

    def test_a_blob_file_is_shown(self):
        path = self.write("3.blob", golden("golden_blob"))
        dump = json.loads(self.dump(path, "--json", "--blocks"))
        self.assertEqual((dump["event"], dump["number"], dump["frames"]), ("blob", 3, 2))
        self.assertEqual(sum(f["bytes"] for f in dump["frame_list"]), dump["frame_bytes"])
        self.assertEqual([f["key"] for f in dump["frame_list"]], ["banana", "k"])
        self.assertIn("2 frames of 88 bytes", self.dump(path))
        self.assertIn("banana", self.dump(path, "--blocks"))

    def test_damage_is_told_by_its_place(self):
        """But where a file says whose it is, nothing is known of it."""
        for name, first, behind in (("golden_table", 0, 96), ("golden_blob", 64, 0)):
            whole = golden(name)
            for at in range(first, len(whole) - behind, 29):
                damaged = bytearray(whole)
                damaged[at] ^= 0x10
                self.refused("offset", self.write(name, bytes(damaged)))

    def test_what_is_none_is_refused(self):
        self.refused("no table", self.write("passwd", b"root:x:0:0" * 50))
        self.refused("no table", self.write("short", b"root"))
        self.refused("No such file", os.path.join(self.folder.name, "nothing"))
        self.refused("no such folder", os.path.join(self.folder.name, "nowhere", "nothing"))


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])

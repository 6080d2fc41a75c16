#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`tern dump wal`, `tern wal export` and `tern wal import` on the golden records.

Usage: test_dump_wal.py TERN
"""
import json
import os
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from crc32c import crc32c  # noqa: E402

TERN = sys.argv.pop(1)

TIME = "00f1536500000000"
HEADER = ("53514c5447460003000000040000000f00000000000000000000000000000000"
          "0000000100000000000000000000000000000000000000000000000000000000"
          "0000000000000000000000000000000000000000000000010000000000000000"
          "00000000000000030000100000000001")
RECORDS = [  # R1 to R14
    "00000000010000000000000007000000000000000" + TIME[1:],
    "0100000002000000000000000700000000000000efbeadde" + TIME,
    "0200000003000000000000000700000000000000100000000300000000000000616263395a5a5a" + TIME,
    "03000000040000000000000007000000000000000800000000000000e80300000000000001" + TIME,
    "04000000050000000000000001000000000000000300000000000000010000000000000000000000"
    "7000000000000000" + HEADER + TIME,
    "0500000009000000000000000600000000000000" + TIME,
    "0600000009000000000000000700000000000000" + TIME,
    "0700000009000000000000000800000000000000" + TIME,
    "08000000090000000000000001000000000000006b0200000000000000763102013c00000000000000" + TIME,
    "080000000a0000000000000001000000000000006b00000000000000000000" + TIME,
    "090000000b0000000000000001000000000000006b" + TIME,
    "0a0000000c0000000000000001000000000000006b010200000000000000763102" + TIME,
    "0a0000000d0000000000000001000000000000006b0000" + TIME,
    "0b0000000e00000000000000fbffffffffffffff0600000000000000000900000000000000" + TIME,
]
EXPECTED = [
    {"type": "PageAllocate", "page_id": 7},
    {"type": "PageFree", "page_id": 7, "checksum": 0xdeadbeef},
    {"type": "PageWrite", "page_id": 7, "offset": 16, "data": "616263", "checksum": 0x5a5a5a39},
    {"type": "BTreeSplit", "original_page_id": 7, "new_page_id": 8, "split_key": 1000, "page_type": 1},
    {"type": "Checkpoint", "root_page_id": 1, "total_pages": 3, "btree_height": 1, "free_page_list_head": 0,
     "header_snapshot": HEADER},
    {"type": "TransactionBegin", "tx_id": 9},
    {"type": "TransactionCommit", "tx_id": 9},
    {"type": "TransactionRollback", "tx_id": 9},
    {"type": "KvSet", "key": "6b", "value_bytes": "7631", "value_type": 2, "ttl_seconds": 60},
    {"type": "KvSet", "key": "6b", "value_bytes": "", "value_type": 0, "ttl_seconds": None},
    {"type": "KvDelete", "key": "6b"},
    {"type": "KvTombstone", "key": "6b", "old_value_bytes": "7631", "old_value_type": 2},
    {"type": "KvTombstone", "key": "6b", "old_value_bytes": None, "old_value_type": 0},
    {"type": "EdgeInsert", "src": -5, "dst": 6, "direction": 0, "page_id": 9},
]


def log(version, records=None):
    head = b"V3WAL\0\0\0" + struct.pack("<IIQQQQQQ", version, 4096, 1700000000, 15, 14, 0, 0, 0)
    body = b""
    for record in records or [bytes.fromhex(text) for text in RECORDS]:
        body += struct.pack("<I", len(record)) + (struct.pack("<I", crc32c(record)) if version == 2 else b"") + record
    return head + body


class Wal(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def path(self, name, content=None):
        path = os.path.join(self.folder.name, name)
        if content is not None:
            with open(path, "wb") as file:
                file.write(content)
        return path

    def run_tern(self, *words):
        return subprocess.run([TERN, *words], capture_output=True, text=True, timeout=60, check=False)

    def dump(self, path, status=0):
        run = self.run_tern("dump", "wal", path, "--json")
        self.assertEqual(run.returncode, status, run.stderr)
        return [json.loads(line) for line in run.stdout.splitlines()], run.stderr

    def test_every_golden_record_is_shown_with_the_tables_names_in_their_order(self):
        for version in (1, 2):
            lines, errors = self.dump(self.path("a log (1).v3wal", log(version)))
            self.assertEqual(errors, "")
            self.assertEqual(len(lines), 14)
            for number, (line, expected) in enumerate(zip(lines, EXPECTED), 1):
                self.assertEqual(list(line), ["lsn", *expected, "timestamp"])
                self.assertEqual(line, {"lsn": number, **expected, "timestamp": 1700000000})

    def test_text_has_one_line_a_record(self):
        run = self.run_tern("dump", "wal", self.path("log", log(1)))
        self.assertEqual(run.returncode, 0)
        self.assertEqual(len(run.stdout.splitlines()), 15)
        self.assertIn("version 1, page size 4096", run.stdout)
        self.assertIn("EdgeInsert src -5 dst 6 direction 0", run.stdout)

    def test_the_largest_numbers_are_not_bent(self):
        record = struct.pack("<IQQQ", 0, 1, 2**64 - 1, 2**63)
        line, = self.dump(self.path("log", log(1, [record])))[0]
        self.assertEqual((line["page_id"], line["timestamp"]), (2**64 - 1, 2**63))

    def test_a_torn_end_is_said_and_no_failure(self):
        lines, errors = self.dump(self.path("log", log(2)[:-5]))
        self.assertEqual(len(lines), 13)
        self.assertIn("the end is torn: LSN 14", errors)
        self.assertEqual(len(errors.splitlines()), 1)

    def test_a_hole_is_said_with_its_place_and_a_failure(self):
        content = bytearray(log(2))
        content[64 + 36 + 20] ^= 1
        path = self.path("log", content)
        lines, errors = self.dump(path, status=1)
        self.assertEqual([line["lsn"] for line in lines], [1, *range(3, 15)])
        self.assertIn(f"{path} at offset 100: the record of LSN 2", errors)

    def test_what_is_no_log_is_refused_in_one_line(self):
        for content in (b"", b"x" * 100, bytes(4096)):
            run = self.run_tern("dump", "wal", self.path("log", content))
            self.assertEqual(run.returncode, 1)
            self.assertEqual(len(run.stderr.splitlines()), 1)
        for path in (self.path("absent"), self.folder.name):
            run = self.run_tern("dump", "wal", path)
            self.assertEqual(run.returncode, 1)
            self.assertEqual(len(run.stderr.splitlines()), 1)

    def test_a_log_goes_to_version_2_and_back_byte_for_byte(self):
        store, back = self.path("store"), self.path("back.v3wal")
        content = log(1)
        self.assertEqual(self.run_tern("wal", "import", self.path("log", content), store).returncode, 0)
        self.assertEqual(os.listdir(store), ["wal-00000001"])
        self.assertEqual([line["lsn"] for line in self.dump(store)[0]], list(range(1, 15)))
        self.assertEqual(self.run_tern("wal", "export", store, back).returncode, 0)
        with open(back, "rb") as file:
            self.assertEqual(file.read(), content)
        self.assertEqual(self.run_tern("wal", "export", store, back).returncode, 1)  # it is there
        self.assertEqual(self.run_tern("wal", "import", back, store).returncode, 1)  # it isn't empty

    def test_tern_s_own_records_are_left_out_of_version_1(self):
        own = struct.pack("<IQQQI", 38, 2, 1, 0, 1700000000)  # Durable
        first = struct.pack("<IQQQ", 0, 1, 7, 1700000000)
        last = struct.pack("<IQQQ", 0, 3, 8, 1700000000)
        path, to = self.path("log", log(2, [first, own, last])), self.path("out.v3wal")
        run = self.run_tern("wal", "export", path, to)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("2 records from LSN 1 on; 1 of Tern's own left out", run.stdout)
        self.assertEqual([line["lsn"] for line in self.dump(to)[0]], [1, 2])

    def test_a_damaged_log_is_not_exported(self):
        content = bytearray(log(2))
        content[64 + 36 + 20] ^= 1
        to = self.path("out.v3wal")
        self.assertEqual(self.run_tern("wal", "export", self.path("log", content), to).returncode, 1)
        self.assertFalse(os.path.exists(to))


if __name__ == "__main__":
    unittest.main()

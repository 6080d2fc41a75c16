#!/usr/bin/env python3
"""tern dump pages on files that are made here, byte by byte, as docs/format/page.md says.

Usage: test_dump_pages.py BUILD_FOLDER
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

TERN = os.path.join(sys.argv[1], "tern")
PAGE = 4096
FREE, LEAF, INTERNAL, FILE = range(4)


def page(number, kind, lsn=0, count=0, level=0, link=0, body=b""):
    head = struct.pack("<QQ", number, lsn)
    rest = (struct.pack("<HBBQ", count, kind, level, link) + body).ljust(PAGE - 20, b"\0")
    return head + struct.pack("<I", crc32c(head + rest)) + rest


def tree(number, kind, entries, **fields):
    return page(number, kind, count=len(entries), body=b"".join(struct.pack("<QQ", *entry) for entry in entries),
                **fields)


def first(store=bytes(range(16)), version=1):
    return page(0, FILE, body=b"TERNPAG\n" + struct.pack("<II", version, PAGE) + store)


class DumpPages(unittest.TestCase):
    def run_on(self, data, *words):
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            return subprocess.run([TERN, "dump", "pages", file.name, *words], capture_output=True, text=True,
                                  timeout=60, check=False)

    def lines(self, data, status=0):
        run = self.run_on(data, "--json")
        self.assertEqual((run.returncode, run.stderr), (status, ""))
        return [json.loads(line) for line in run.stdout.splitlines()]

    def test_every_page_is_shown_with_what_it_holds(self):
        top = 2 ** 64 - 1
        data = first() + tree(1, INTERNAL, [(0, 2), (50, 3)], lsn=9, level=1, link=3)
        data += tree(2, LEAF, [(5, 500), (6, 600)], lsn=8, link=3) + tree(3, LEAF, [(top, 1)], lsn=10)
        data += page(4, LEAF, lsn=11) + page(5, FREE, lsn=12, link=7) + page(6, FREE, lsn=13, link=5)
        data += page(7, FREE, lsn=2) + bytes(3 * PAGE)
        file, *pages, chain, end = self.lines(data)
        self.assertEqual((file["event"], file["version"], file["page_size"]), ("pages", 1, PAGE))
        self.assertEqual(file["store"], bytes(range(16)).hex())
        self.assertEqual([line["number"] for line in pages], list(range(1, 8)))
        self.assertEqual([line["kind"] for line in pages],
                         ["internal", "leaf", "leaf", "leaf", "free", "free", "free"])
        self.assertEqual([line["lsn"] for line in pages], [9, 8, 10, 11, 12, 13, 2])
        self.assertEqual(pages[0]["entries"], [[0, 2], [50, 3]])
        self.assertEqual((pages[0]["level"], pages[0]["count"], pages[0]["link"]), (1, 2, 3))
        self.assertEqual(pages[2]["entries"], [[str(top), 1]])
        self.assertEqual((pages[3]["count"], pages[3]["entries"]), (0, []))
        self.assertNotIn("entries", pages[4])
        self.assertEqual(chain, {"event": "free", "chain": [6, 5, 7]})
        self.assertEqual(end, {"event": "end", "pages": 7, "free": 3, "unwritten": 3, "bad": 0})
        text = self.run_on(data).stdout
        self.assertIn("page 2: leaf, lsn 8, level 0, 2 entries, link 3, keys 5 to 6\n", text)
        self.assertIn("free: 6 5 7\n", text)
        self.assertIn("7 pages, 3 free, 0 bad; 3 never written\n", text)

    def test_a_bad_page_is_said_and_the_others_are_shown(self):
        leaf = bytearray(tree(2, LEAF, [(5, 500)]))
        leaf[2000] ^= 4
        data = first() + tree(1, LEAF, []) + bytes(leaf) + tree(9, LEAF, []) + tree(4, LEAF, [(1, 1)])
        lines = self.lines(data, status=1)
        bad = {line["number"]: line["error"] for line in lines if line["event"] == "bad_page"}
        self.assertEqual([line["number"] for line in lines if line["event"] == "page"], [1, 4])
        self.assertIn("page 2: crc", bad[2])
        self.assertEqual(bad[3], "page 3: number: expected 3, found 9")
        self.assertEqual(lines[-1]["bad"], 2)

    def test_a_page_that_the_file_cuts_is_bad(self):
        lines = self.lines(first() + tree(1, LEAF, [(1, 1)])[:3000], status=1)
        self.assertEqual(lines[1], {"event": "bad_page", "number": 1, "error": "page 1: the file ends within it"})

    def test_a_chain_that_goes_round_ends(self):
        lines = self.lines(first() + page(1, FREE, link=2) + page(2, FREE, link=1), status=1)
        self.assertEqual([line["error"] for line in lines if line["event"] == "bad_page"],
                         [f"page {number}: the chain of free pages goes round" for number in (1, 2)])

    def test_what_is_no_file_of_pages_is_refused(self):
        for data, what in ((b"", "ends within its first page"), (bytes(PAGE), "no file of pages"),
                           (first(version=2), "version: expected 1, found 2"),
                           (first()[:-1] + b"\1", "page 0: crc")):
            run = self.run_on(data)
            self.assertEqual((run.returncode, run.stdout), (1, ""))
            self.assertIn(what, run.stderr)
        run = subprocess.run([TERN, "dump", "pages", "/nonexistent"], capture_output=True, text=True, check=False,
                             timeout=60)
        self.assertEqual(run.returncode, 1)
        self.assertIn("No such file", run.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])

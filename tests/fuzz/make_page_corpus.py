#!/usr/bin/env python3
"""Writes tests/fuzz/corpus/page: pages as docs/format/page.md has them, and what may be wrong with them.

Usage: make_page_corpus.py FOLDER
"""
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from crc32c import crc32c  # noqa: E402

FREE, LEAF, INTERNAL = range(3)
PAGE = 4096


def page(number, kind, entries=(), level=0, link=0, count=None):
    head = struct.pack("<QQ", number, number)
    body = b"".join(struct.pack("<QQ", key, value) for key, value in entries)
    rest = struct.pack("<HBBQ", len(entries) if count is None else count, kind, level, link) + body
    rest = rest.ljust(PAGE - 20, b"\0")
    return head + struct.pack("<I", crc32c(head + rest)) + rest


def leaf(number, first, count, link=0, step=1):
    return page(number, LEAF, [(first + step * i, i) for i in range(count)], link=link)


def tree(*leaves, link=None):
    """A root with these leaves, (first, count) each."""
    entries = [(first if i else 0, i + 2) for i, (first, _) in enumerate(leaves)]
    pages = [page(1, INTERNAL, entries, level=1, link=sum(count for _, count in leaves) if link is None else link)]
    for i, (first, count) in enumerate(leaves):
        pages.append(leaf(i + 2, first, count, link=i + 3 if i + 1 < len(leaves) else 0))
    return b"".join(pages)


def trim(data):
    return data.rstrip(b"\0") or b"\0"


CASES = {
    "empty": page(1, LEAF),
    "one_entry": leaf(1, 5, 1, link=1),
    "golden": page(7, LEAF, [(5, 1000), (6, 2000)], link=8),
    "full_root": leaf(1, 1, 254, link=254),
    "two_leaves": tree((0, 100), (100, 100)),
    "full_leaves": tree((0, 254), (254, 254), (508, 254)),
    "thin_leaves": tree((0, 84), (84, 84), (168, 1)),
    "free_chain": tree((0, 100), (100, 100)) + page(4, FREE, link=5) + page(5, FREE),
    "free_round": tree((0, 100), (100, 100)) + page(4, FREE, link=5) + page(5, FREE, link=4),
    "free_leads_out": tree((0, 100), (100, 100)) + page(4, FREE, link=400),
    "same_child_twice": page(1, INTERNAL, [(0, 2), (50, 2)], level=1, link=100) + leaf(2, 0, 100),
    "child_is_root": page(1, INTERNAL, [(0, 1), (50, 1)], level=1),
    "child_leads_out": page(1, INTERNAL, [(0, 9), (50, 0)], level=1),
    "no_children": page(1, INTERNAL, [], level=1),
    "one_child": page(1, INTERNAL, [(0, 2)], level=1, link=85) + leaf(2, 0, 85),
    "empty_child": page(1, INTERNAL, [(0, 2), (50, 3)], level=1) + page(2, LEAF) + leaf(3, 50, 100),
    "falling_keys": leaf(1, 2000, 254, link=254, step=-7),
    "equal_keys": leaf(1, 37, 254, link=254, step=0),
    "disordered_root": page(1, INTERNAL, [(900 - i * 3, 2) for i in range(254)], level=1) + leaf(2, 0, 254),
    "full_internal": page(1, INTERNAL, [(i * 254, 2 + i % 3) for i in range(254)], level=1) + leaf(2, 0, 254)
                     + leaf(3, 254, 254) + leaf(4, 508, 254),
    "three_levels": page(1, INTERNAL, [(0, 2), (200, 3)], level=2, link=400)
                    + page(2, INTERNAL, [(0, 4), (100, 5)], level=1, link=3)
                    + page(3, INTERNAL, [(200, 6), (300, 7)], level=1)
                    + leaf(4, 0, 100, link=5) + leaf(5, 100, 100, link=6) + leaf(6, 200, 100, link=7)
                    + leaf(7, 300, 100),
    "level_too_high": page(1, INTERNAL, [(0, 2)], level=12) + leaf(2, 0, 100),
    "level_of_leaf": page(1, LEAF, [(0, 2)], level=3),
    "count_too_high": page(1, LEAF, [(1, 1)], count=255),
    "free_with_count": page(1, LEAF) + page(2, FREE, count=3),
    "file_kind": page(1, 3),
    "no_kind": page(1, 200),
    "short": b"\1",
}


def main():
    os.makedirs(sys.argv[1], exist_ok=True)
    for name, data in CASES.items():
        with open(os.path.join(sys.argv[1], name), "wb") as file:
            file.write(trim(data))


if __name__ == "__main__":
    main()

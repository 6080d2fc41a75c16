#!/usr/bin/env python3
"""Writes tests/fuzz/corpus/filter: make_filter_corpus.py FOLDER

Roaring bitmaps in the portable form, whole and damaged, from the format's description.
"""
import os
import struct
import sys


def plain(containers):
    """containers: (key, cardinality, body); a body is bytes."""
    head = struct.pack("<II", 12346, len(containers))
    head += b"".join(struct.pack("<HH", key, count - 1) for key, count, _ in containers)
    at = len(head) + 4 * len(containers)
    for _, _, body in containers:
        head += struct.pack("<I", at)
        at += len(body)
    return head + b"".join(body for _, _, body in containers)


def runs(containers):
    """Every container is a list of runs: (key, [(first, last), ...])."""
    head = struct.pack("<HH", 12347, len(containers) - 1)
    head += ((1 << len(containers)) - 1).to_bytes((len(containers) + 7) // 8, "little")
    head += b"".join(struct.pack("<HH", key, sum(b - a + 1 for a, b in pairs) - 1) for key, pairs in containers)
    bodies = [struct.pack("<H", len(pairs)) + b"".join(struct.pack("<HH", a, b - a) for a, b in pairs)
              for _, pairs in containers]
    if len(containers) >= 4:
        at = len(head) + 4 * len(containers)
        for body in bodies:
            head += struct.pack("<I", at)
            at += len(body)
    return head + b"".join(bodies)


def array(*members):
    return struct.pack(f"<{len(members)}H", *members)


def bitset(members):
    bits = bytearray(8192)
    for member in members:
        bits[member // 8] |= 1 << member % 8
    return bytes(bits)


EVEN = range(0, 10000, 2)
files = {
    "good_empty": plain([]),
    "good_array": plain([(0, 4, array(1, 5, 100, 65535))]),
    "good_two_arrays": plain([(0, 1, array(7)), (1, 2, array(0, 40000))]),
    "good_bitset": plain([(0, 5000, bitset(EVEN))]),
    "good_bitset_past_the_limit": plain([(1, 5000, bitset(range(60000, 65000)))]),
    "good_run": runs([(0, [(10, 20), (30, 65535)])]),
    "good_full": runs([(0, [(0, 65535)]), (1, [(0, 65535)])]),
    "good_five_runs": runs([(key, [(key % 1000, key % 1000 + 100)]) for key in (0, 1, 2, 9, 65535)]),
    "bad_empty_file": b"",
    "bad_cookie": struct.pack("<II", 12345, 0),
    "bad_count": struct.pack("<II", 12346, 65537),
    "bad_left_over": plain([]) + b"\0",
    "bad_keys": plain([(1, 1, array(1)), (0, 1, array(1))]),
    "bad_array_order": plain([(0, 3, array(1, 3, 2))]),
    "bad_array_short": plain([(0, 3, array(1, 2))]),
    "bad_offset": plain([(0, 1, array(1))])[:12] + struct.pack("<I", 3) + array(1),
    "bad_bitset_count": plain([(0, 5001, bitset(EVEN))]),
    "bad_bitset_short": plain([(0, 5000, bitset(EVEN)[:-1])]),
    "bad_run_overlap": runs([(0, [(10, 20), (20, 30)])]),
    "bad_run_past_the_end": runs([(0, [(10, 20)])])[:-2] + b"\xff\xff",
    "bad_run_count": runs([(0, [(10, 20)])])[:9] + b"\x02\x00" + runs([(0, [(10, 20)])])[11:],
}
for name, content in files.items():
    with open(os.path.join(sys.argv[1], name), "wb") as file:
        file.write(content)

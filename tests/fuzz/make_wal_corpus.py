#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/fuzz/corpus/record and tests/fuzz/corpus/wal: golden records and logs, whole and damaged.

Usage: make_wal_corpus.py SOURCE_FOLDER
"""
import os
import re
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from crc32c import crc32c  # noqa: E402


def goldens(source):
    """The records of tests/conform/golden_records.h by name, and both headers."""
    with open(os.path.join(source, "tests/conform/golden_records.h"), encoding="utf-8") as file:
        text = file.read()
    headers = {name: "".join(re.findall(r'"([0-9a-f]*)"', body))
               for name, body in re.findall(r"#define GOLDEN_(H\d)((?:\s*\\?\s*\"[0-9a-f]*\"\s*\\?)+)", text)}
    records = {}
    for name, body in re.findall(r'\{"([RT]\d+)",\s*\d+,\s*((?:"[0-9a-f]*"|GOLDEN_H1|\s)+),', text):
        parts = re.findall(r'"([0-9a-f]*)"|(GOLDEN_H1)', body)
        records[name] = bytes.fromhex("".join(hexes or headers["H1"] for hexes, _ in parts))
    return records, {name: bytes.fromhex(value) for name, value in headers.items()}


def frames(version, records):
    return b"".join(struct.pack("<I", len(r)) + (struct.pack("<I", crc32c(r)) if version == 2 else b"") + r
                    for r in records)


def header(version, current, number=0, salt=0, store=0):
    head = b"V3WAL\0\0\0" + struct.pack("<IIQQQQ", version, 4096, 1700000000, current, current - 1, 0)
    if not number:
        return head + bytes(16)
    head += struct.pack("<III", number, salt, store)
    return head + struct.pack("<I", crc32c(head))


def page_allocate(lsn):
    return struct.pack("<IQQQ", 0, lsn, 7, 1)


def durable(lsn, up_to, salt):
    return struct.pack("<IQQIQ", 38, lsn, up_to, salt, 1)


def flip(content, offset):
    return content[:offset] + bytes([content[offset] ^ 4]) + content[offset + 1:]


def logs(records):
    golden = [records[f"R{i}"] for i in range(1, 15)]
    own = [records[f"T{i}"] for i in range(1, 9)]
    segment = header(2, 1, 1, 9)
    chain = [page_allocate(1), page_allocate(2), durable(3, 2, 9), page_allocate(4)]
    forged = struct.pack("<IQQ", 8, 2, 0) + struct.pack("<Q", 50) + frames(2, [durable(3, 2, 0)]).ljust(50, b"x")
    forged += b"\0\0" + struct.pack("<Q", 1)
    return {
        "v1_golden": header(1, 15) + frames(1, golden),
        "v1_zeros_behind": header(1, 15) + frames(1, golden) + bytes(60),
        "v1_torn": (header(1, 15) + frames(1, golden))[:-9],
        "v1_hole": flip(header(1, 15) + frames(1, golden), 64 + 32 + 3),
        "v1_jump": header(1, 15) + frames(1, [golden[0], golden[6]]),
        "v1_back": header(1, 15) + frames(1, [golden[6], golden[0]]),
        "v2_plain": header(2, 15) + frames(2, golden + own),
        "v2_plain_hole": flip(header(2, 15) + frames(2, golden), 64 + 50),
        "v2_segment": segment + frames(2, chain) + bytes(8),
        "v2_no_end": segment + frames(2, chain),
        "v2_torn": segment + frames(2, chain)[:-3] + bytes(3),
        "v2_hole": flip(segment + frames(2, chain) + bytes(8), 64 + 36 + 20),
        "v2_torn_last": flip(segment + frames(2, chain) + bytes(8), 64 + 2 * 36 + 40 + 20),
        "v2_other_salt": flip(segment + frames(2, chain[:2] + [durable(3, 2, 8)]) + bytes(8), 64 + 36 + 20),
        "v2_stale_behind": segment + frames(2, chain) + bytes(8) + frames(2, [page_allocate(2), durable(3, 2, 9)]),
        "v2_forged": flip(segment + frames(2, [page_allocate(1), forged]) + bytes(8), 64 + 36 + 12),
        "v2_huge_size": segment + frames(2, chain[:1]) + struct.pack("<II", 0xffffffff, 0) + bytes(40),
        "v2_size_past_end": segment + frames(2, chain[:1]) + struct.pack("<II", 1 << 20, 0) + bytes(40),
        "v2_size_zero_with_sum": segment + struct.pack("<II", 0, 1) + bytes(40),
        "v2_header_only": segment,
        "v2_header_flipped": flip(segment, 30) + frames(2, chain),
        "v2_number_of_another": header(2, 1, 7, 9) + frames(2, chain),
        "v3": header(3, 1) + frames(2, chain),
        "zeros": bytes(256),
        "empty": b"",
        "text": b"no log at all, but long enough for a header of one, and even for a record behind it",
    }


def write(folder, files):
    os.makedirs(folder, exist_ok=True)
    for name, content in files.items():
        with open(os.path.join(folder, name), "wb") as file:
            file.write(content)


def main():
    source = sys.argv[1]
    records, headers = goldens(source)
    assert len(records) == 22 and len(headers) == 2, (records.keys(), headers.keys())
    hostile = {
        "empty": b"",
        "variant_12": struct.pack("<I", 12) + records["R1"][4:],
        "variant_max": b"\xff" * 28,
        "lsn_0": records["R1"][:4] + bytes(8) + records["R1"][12:],
        "length_past_end": records["R3"][:24] + b"\xff" * 8 + records["R3"][32:],
        "option_2": records["R10"][:-9] + b"\2" + records["R10"][-8:],
        "more_behind": records["R9"] + b"\0",
        "database_flags": headers["H1"][:15] + b"\x1f" + headers["H1"][16:],
        "database_descending": headers["H1"][:56] + struct.pack(">QQ", 9000, 200) + headers["H1"][72:],
        "wal_header_committed": headers["H2"][:32] + struct.pack("<Q", 16) + headers["H2"][40:],
    }
    write(os.path.join(source, "tests/fuzz/corpus/record"), {**records, **headers, **hostile})
    write(os.path.join(source, "tests/fuzz/corpus/wal"), logs(records))


if __name__ == "__main__":
    main()

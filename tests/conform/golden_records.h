/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Golden records - one of each, as bytes and as what they mean
 *
 * R1 to R14, H1 and H2 are those that other programs of the V3 log are held to; T1 to T8 are
 * Tern's own (docs/format/wal.md).
 *
 * Threads: any.
 */

#include "engine/record.h"

#define GOLDEN_TIME 1700000000

#define GOLDEN_H1                                                                                  \
	"53514c5447460003000000040000000f00000000000000000000000000000000"                         \
	"0000000100000000000000000000000000000000000000000000000000000000"                         \
	"0000000000000000000000000000000000000000000000010000000000000000"                         \
	"00000000000000030000100000000001"

#define GOLDEN_H2                                                                                  \
	"563357414c000000010000000010000000f15365000000000f00000000000000"                         \
	"0e00000000000000000000000000000000000000000000000000000000000000"

struct golden_record {
	const char *name;
	size_t size;
	const char *hex;
	struct record record;
};

#define GOLDEN_BYTES(text)                                                                         \
	{                                                                                          \
		(const uint8_t *)(text), sizeof(text) - 1                                          \
	}

/* The snapshot of R5 is H1; tests put it in. */
static const struct golden_record golden_records[] = {
	{"R1",
	 28,
	 "000000000100000000000000070000000000000000f1536500000000",
	 {.type = RECORD_PAGE_ALLOCATE, .lsn = 1, .timestamp = GOLDEN_TIME, .page = {.page = 7}}},
	{"R2",
	 32,
	 "0100000002000000000000000700000000000000efbeadde00f1536500000000",
	 {.type = RECORD_PAGE_FREE,
	  .lsn = 2,
	  .timestamp = GOLDEN_TIME,
	  .page = {.page = 7, .checksum = 0xdeadbeef}}},
	{"R3",
	 47,
	 "0200000003000000000000000700000000000000100000000300000000000000616263395a5a5a00f1536500"
	 "000000",
	 {.type = RECORD_PAGE_WRITE,
	  .lsn = 3,
	  .timestamp = GOLDEN_TIME,
	  .page = {.page = 7, .offset = 16, .checksum = 0x5a5a5a39, .data = GOLDEN_BYTES("abc")}}},
	{"R4",
	 45,
	 "03000000040000000000000007000000000000000800000000000000e8030000000000000100f1536500"
	 "000000",
	 {.type = RECORD_BTREE_SPLIT,
	  .lsn = 4,
	  .timestamp = GOLDEN_TIME,
	  .split = {.original = 7, .created = 8, .key = 1000, .leaf = true}}},
	{"R5",
	 168,
	 "0400000005000000000000000100000000000000030000000000000001000000000000000000000070000000"
	 "00000000" GOLDEN_H1 "00f1536500000000",
	 {.type = RECORD_CHECKPOINT,
	  .lsn = 5,
	  .timestamp = GOLDEN_TIME,
	  .checkpoint = {.root = 1, .page_count = 3, .height = 1}}},
	{"R6",
	 28,
	 "050000000900000000000000060000000000000000f1536500000000",
	 {.type = RECORD_TRANSACTION_BEGIN,
	  .lsn = 6,
	  .timestamp = GOLDEN_TIME,
	  .transaction = {.tx = 9}}},
	{"R7",
	 28,
	 "060000000900000000000000070000000000000000f1536500000000",
	 {.type = RECORD_TRANSACTION_COMMIT,
	  .lsn = 7,
	  .timestamp = GOLDEN_TIME,
	  .transaction = {.tx = 9}}},
	{"R8",
	 28,
	 "070000000900000000000000080000000000000000f1536500000000",
	 {.type = RECORD_TRANSACTION_ROLLBACK,
	  .lsn = 8,
	  .timestamp = GOLDEN_TIME,
	  .transaction = {.tx = 9}}},
	{"R9",
	 49,
	 "08000000090000000000000001000000000000006b0200000000000000763102013c0000000000000000f153"
	 "6500000000",
	 {.type = RECORD_KV_SET,
	  .lsn = 9,
	  .timestamp = GOLDEN_TIME,
	  .kv = {.key = GOLDEN_BYTES("k"),
		 .value = GOLDEN_BYTES("v1"),
		 .value_type = 2,
		 .has_ttl = true,
		 .ttl_seconds = 60}}},
	{"R10",
	 39,
	 "080000000a0000000000000001000000000000006b0000000000000000000000f1536500000000",
	 {.type = RECORD_KV_SET,
	  .lsn = 10,
	  .timestamp = GOLDEN_TIME,
	  .kv = {.key = GOLDEN_BYTES("k"), .value = GOLDEN_BYTES("")}}},
	{"R11",
	 29,
	 "090000000b0000000000000001000000000000006b00f1536500000000",
	 {.type = RECORD_KV_DELETE,
	  .lsn = 11,
	  .timestamp = GOLDEN_TIME,
	  .kv = {.key = GOLDEN_BYTES("k")}}},
	{"R12",
	 41,
	 "0a0000000c0000000000000001000000000000006b01020000000000000076310200f1536500000000",
	 {.type = RECORD_KV_TOMBSTONE,
	  .lsn = 12,
	  .timestamp = GOLDEN_TIME,
	  .kv = {.key = GOLDEN_BYTES("k"),
		 .value = GOLDEN_BYTES("v1"),
		 .has_value = true,
		 .value_type = 2}}},
	{"R13",
	 31,
	 "0a0000000d0000000000000001000000000000006b000000f1536500000000",
	 {.type = RECORD_KV_TOMBSTONE,
	  .lsn = 13,
	  .timestamp = GOLDEN_TIME,
	  .kv = {.key = GOLDEN_BYTES("k")}}},
	{"R14",
	 45,
	 "0b0000000e00000000000000fbffffffffffffff060000000000000000090000000000000000f1536500"
	 "000000",
	 {.type = RECORD_EDGE_INSERT,
	  .lsn = 14,
	  .timestamp = GOLDEN_TIME,
	  .edge = {.source = -5, .target = 6, .page = 9}}},
	{"T1",
	 41,
	 "1f0000000f0000000000000001000000000000006b030000000000000061646402"
	 "00f1536500000000",
	 {.type = RECORD_KV_MERGE,
	  .lsn = 15,
	  .timestamp = GOLDEN_TIME,
	  .kv = {.key = GOLDEN_BYTES("k"), .value = GOLDEN_BYTES("add"), .value_type = 2}}},
	{"T2",
	 39,
	 "2000000010000000000000000100000000000000610200000000000000627a"
	 "00f1536500000000",
	 {.type = RECORD_KV_RANGE_DELETE,
	  .lsn = 16,
	  .timestamp = GOLDEN_TIME,
	  .kv = {.key = GOLDEN_BYTES("a"), .end = GOLDEN_BYTES("bz")}}},
	{"T3",
	 29,
	 "21000000110000000000000001000000000000006b00f1536500000000",
	 {.type = RECORD_KV_WEAK_DELETE,
	  .lsn = 17,
	  .timestamp = GOLDEN_TIME,
	  .kv = {.key = GOLDEN_BYTES("k")}}},
	{"T4",
	 45,
	 "220000001200000000000000fbffffffffffffff060000000000000001090000000000000000f1536500"
	 "000000",
	 {.type = RECORD_EDGE_DELETE,
	  .lsn = 18,
	  .timestamp = GOLDEN_TIME,
	  .edge = {.source = -5, .target = 6, .incoming = true, .page = 9}}},
	{"T5",
	 60,
	 "23000000130000000000000001000000000000006307000000000000000104000000000000000000803f"
	 "0200000000000000703100f1536500000000",
	 {.type = RECORD_VECTOR_SET,
	  .lsn = 19,
	  .timestamp = GOLDEN_TIME,
	  .vector = {.collection = GOLDEN_BYTES("c"),
		     .label = 7,
		     .element_type = 1,
		     .vector = GOLDEN_BYTES("\x00\x00\x80\x3f"),
		     .payload = GOLDEN_BYTES("p1")}}},
	{"T6",
	 37,
	 "240000001400000000000000010000000000000063070000000000000000f1536500000000",
	 {.type = RECORD_VECTOR_DELETE,
	  .lsn = 20,
	  .timestamp = GOLDEN_TIME,
	  .vector = {.collection = GOLDEN_BYTES("c"), .label = 7}}},
	{"T7",
	 36,
	 "2500000015000000000000000c00000000000000e80300000000000000f1536500000000",
	 {.type = RECORD_TABLE_INGEST,
	  .lsn = 21,
	  .timestamp = GOLDEN_TIME,
	  .ingest = {.table = 12, .entries = 1000}}},
	{"T8",
	 32,
	 "260000001600000000000000150000000000000078563412"
	 "00f1536500000000",
	 {.type = RECORD_DURABLE,
	  .lsn = 22,
	  .timestamp = GOLDEN_TIME,
	  .durable = {.durable = 21, .salt = 0x12345678}}},
};

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Record - what stands in the log, byte for byte
 *
 * Types 1 to 12 are those of the V3 log; their encoding is the one of its files.
 * Types from 32 on are Tern's own. docs/format/wal.md has the tables.
 *
 * An encoded record begins with its variant, type - 1, as u32. All integers are
 * little-endian and of fixed width, byte strings have a u64 length, an optional
 * field is led by a byte 0 or 1. There is no padding, and nothing may follow.
 *
 * Byte strings of a decoded record borrow from the bytes it was decoded from.
 *
 * Threads: any.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of an encoded record. */
#define RECORD_SIZE_MAX (UINT32_C(1) << 20)

enum record_type {
	RECORD_PAGE_ALLOCATE = 1,
	RECORD_PAGE_FREE = 2,
	RECORD_PAGE_WRITE = 3,
	RECORD_BTREE_SPLIT = 4,
	RECORD_CHECKPOINT = 5,
	RECORD_TRANSACTION_BEGIN = 6,
	RECORD_TRANSACTION_COMMIT = 7,
	RECORD_TRANSACTION_ROLLBACK = 8,
	RECORD_KV_SET = 9,
	RECORD_KV_DELETE = 10,
	RECORD_KV_TOMBSTONE = 11,
	RECORD_EDGE_INSERT = 12,
	RECORD_KV_MERGE = 32,        /* an operand for the key's merge operator */
	RECORD_KV_RANGE_DELETE = 33, /* keys in [key, end) */
	RECORD_KV_WEAK_DELETE = 34,  /* takes back exactly one KvSet of the key */
	RECORD_EDGE_DELETE = 35,
	RECORD_VECTOR_SET = 36,
	RECORD_VECTOR_DELETE = 37,
	RECORD_TABLE_INGEST = 38, /* a table built elsewhere became part of the key space */
	RECORD_DURABLE = 39,      /* all up to 'durable' was synced before this was written */
};

enum {
	RECORD_E_INVALID = 1, /* not a record: an unknown variant, a length past the end, bytes left
				 over, lsn 0 */
	RECORD_E_SIZE,        /* larger than RECORD_SIZE_MAX */
};

struct record_bytes {
	const uint8_t *bytes;
	uint32_t size;
};

/* Which fields mean something is the type's; others are zero. */
struct record {
	enum record_type type;
	uint64_t lsn;       /* neither 0 nor UINT64_MAX */
	uint64_t timestamp; /* Unix seconds */
	union {
		struct {
			uint64_t page;
			uint32_t offset;   /* PageWrite: within the page */
			uint32_t checksum; /* PageWrite, PageFree: low half of record_checksum() */
			struct record_bytes data; /* PageWrite */
		} page;
		struct {
			uint64_t original;
			uint64_t created;
			uint64_t key;
			bool leaf;
		} split;
		struct {
			uint64_t root;
			uint64_t page_count;
			uint32_t height;
			uint64_t free_head;
			struct record_bytes snapshot;
		} checkpoint;
		struct {
			uint64_t tx;
		} transaction;
		struct {
			struct record_bytes key;
			struct record_bytes end; /* KvRangeDelete */
			struct record_bytes
				value; /* KvSet; KvTombstone: the old one; KvMerge: the operand */
			uint8_t value_type;   /* KvSet, KvTombstone; KvMerge: the operator */
			bool has_value;       /* KvTombstone */
			bool has_ttl;         /* KvSet */
			uint64_t ttl_seconds; /* from 'timestamp' */
		} kv;
		struct {
			int64_t source;
			int64_t target;
			bool incoming;
			uint64_t page;
		} edge;
		struct {
			struct record_bytes collection;
			uint64_t label;
			uint8_t element_type;        /* VectorSet: enum vector_type */
			struct record_bytes vector;  /* VectorSet */
			struct record_bytes payload; /* VectorSet: keys that filters know it by */
		} vector;
		struct {
			uint64_t table; /* number of its file */
			uint64_t entries;
		} ingest;
		struct {
			uint64_t durable; /* an LSN */
			uint32_t salt;    /* of the segment that it stands in */
		} durable;
	};
};

/* How a field stands in the bytes, and in struct record. */
enum record_field_kind {
	RECORD_FIELD_U8,
	RECORD_FIELD_BOOL, /* u8, 0 or 1 */
	RECORD_FIELD_U32,
	RECORD_FIELD_U64,
	RECORD_FIELD_I64,
	RECORD_FIELD_BYTES,
	RECORD_FIELD_U64_OPTIONAL,
	RECORD_FIELD_BYTES_OPTIONAL,
};

struct record_field {
	const char *name; /* as in the tables */
	uint16_t offset;  /* of the value in struct record */
	uint16_t present; /* optional ones: of the bool that says whether there is one */
	enum record_field_kind kind;
};

/* Fields of one record. */
#define RECORD_FIELD_MAX 8

/* Name of a type as in the tables, or NULL. */
const char *record_name(unsigned type);

/* A type's fields in the order of the bytes. Returns their number, 0 for no type. */
unsigned record_fields(unsigned type, const struct record_field **ret_fields);

/* Bytes that record_encode() writes. */
size_t record_size(const struct record *record);

/* Returns 0 or RECORD_E_SIZE (nothing is written). 'bytes' has room for record_size(). */
int record_encode(const struct record *record, uint8_t *bytes);

/* Checks everything. Returns 0, RECORD_E_INVALID or RECORD_E_SIZE. */
int record_decode(const uint8_t *bytes, size_t size, struct record *ret_record);

/* The V3 log's weak checksum: kept right for other programs, never relied on. */
uint64_t record_checksum(const void *bytes, size_t size);

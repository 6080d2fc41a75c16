/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Entry - one version of a key: what memtables and tables hold
 *
 * Threads: any.
 */

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Bytes of a key. */
#define ENTRY_KEY_MAX 4096

/* Bytes of a value or operand that a log record still holds. */
#define ENTRY_VALUE_MAX (UINT32_C(960) << 10)

enum entry_kind {
	ENTRY_VALUE = 1, /* the value stands here */
	ENTRY_BLOB,      /* it stands in a blob file: the bytes are a struct blob_place, encoded */
	ENTRY_TOMBSTONE, /* deletes every older version of the key */
	ENTRY_WEAK_TOMBSTONE,  /* takes back exactly one value */
	ENTRY_MERGE,           /* an operand; 'type' is the operator's number */
	ENTRY_RANGE_TOMBSTONE, /* deletes [key, value) that is older: value has the end */
};

struct entry_bytes {
	const uint8_t *bytes;
	uint32_t size;
};

/* One version of a key. Bytes borrow from where it came from. */
struct entry {
	struct entry_bytes key;
	struct entry_bytes value;
	uint64_t seqno;
	uint64_t expires; /* Unix seconds from which on it is gone; 0: never */
	enum entry_kind kind;
	uint8_t type; /* the application's value_type; a merge's operator */
};

/* Order of keys: negative, 0 or positive. */
int key_compare(struct entry_bytes a, struct entry_bytes b);

static inline bool key_equal(struct entry_bytes a, struct entry_bytes b)
{
	return a.size == b.size && (a.size == 0 || memcmp(a.bytes, b.bytes, a.size) == 0);
}

/* Order of entries: by key, the youngest first. */
int entry_compare(const struct entry *a, const struct entry *b);

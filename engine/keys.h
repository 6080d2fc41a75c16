/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Keys - where edges and vectors lie in the key space, and what a record means there
 *
 * A key that begins with a zero byte is Tern's own; applications can't use one. Behind
 * the zero a letter says whose it is (docs/format/keys.md):
 *
 *      00 'e'  source i64  target i64                an edge: big-endian, sign bit flipped
 *      00 'c'  collection                            its schema (cluster/vectors.h)
 *      00 'v'  size u8  collection  label u64 BE     a vector
 *
 * so that keys sort by source, and by collection and label. The value of an edge is empty. That of
 * a vector is: element type u8, size of the vector u32 LE, the vector, the payload.
 *
 * Threads: any.
 */

#include "engine/entry.h"
#include "engine/record.h"

#include <stdbool.h>
#include <stdint.h>

#define KEYS_EDGE_SIZE UINT32_C(18)

/* Characters of a collection's name. */
#define KEYS_COLLECTION_MAX UINT32_C(255)
#define KEYS_VECTOR_MAX     (3 + KEYS_COLLECTION_MAX + 8)

/* Value types that Tern gives; those below 128 are the application's. */
enum {
	VALUE_TYPE_EDGE = 128,
	VALUE_TYPE_VECTOR = 129,
	VALUE_TYPE_COLLECTION = 130,
};

struct edge_key {
	int64_t source;
	int64_t target;
};

struct vector_key {
	struct entry_bytes collection; /* borrows from the key */
	uint64_t label;
};

/* A vector's value, taken apart. Borrows from it. */
struct vector_value {
	uint8_t element_type; /* enum vector_type */
	struct entry_bytes vector;
	struct entry_bytes payload;
};

/* Whether an application may use the key. */
bool keys_are_free(struct entry_bytes key);

void keys_edge(struct edge_key edge, uint8_t key[KEYS_EDGE_SIZE]);

/* Returns the size. The collection has 1 to KEYS_COLLECTION_MAX characters. */
uint32_t keys_vector(struct vector_key vector, uint8_t key[KEYS_VECTOR_MAX]);

/* Where a collection's schema is. Returns the size. */
uint32_t keys_schema(struct entry_bytes collection, uint8_t key[KEYS_VECTOR_MAX]);

/* What comes before all schemas. */
#define KEYS_SCHEMAS ((struct entry_bytes){(const uint8_t *)"\0c", 2})

/* What comes before all vectors of a collection: the key without its label. Returns the size. */
uint32_t keys_collection(struct entry_bytes collection, uint8_t key[KEYS_VECTOR_MAX]);

/* False: another kind of key. */
bool keys_edge_read(struct entry_bytes key, struct edge_key *ret_edge);
bool keys_schema_read(struct entry_bytes key, struct entry_bytes *ret_collection);
bool keys_vector_read(struct entry_bytes key, struct vector_key *ret_vector);
bool keys_vector_value_read(struct entry_bytes value, struct vector_value *ret_value);

/* Bytes that keys_entry() can need. */
#define KEYS_SCRATCH_SIZE (KEYS_VECTOR_MAX + 5 + RECORD_SIZE_MAX)

/*
 * The entry that a committed record makes in the key space; its bytes borrow from the record, or
 * lie in 'scratch' (KEYS_SCRATCH_SIZE). False: the record makes none (pages, edges, transactions,
 * checkpoints, ingested tables).
 */
bool keys_entry(const struct record *record, uint8_t *scratch, struct entry *ret_entry);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Tables - entries made from a seed, and tables of them
 *
 * A set of entries is the model: a sorted array, which a test walks beside a cursor.
 */

#include "base/rand.h"
#include "engine/table.h"

#define TABLES_STORE "\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17\20"

struct tables_set {
	struct entry *entries; /* sorted, without range tombstones */
	uint32_t count;
	struct entry *ranges; /* sorted */
	uint32_t range_count;
};

struct tables_shape {
	uint32_t entries;
	uint32_t keys; /* about as many; fewer than entries: several versions */
	uint32_t ranges;
	uint32_t value_max; /* bytes */
	uint64_t seqno_max;
	bool ingested; /* one version a key, all numbered 0 */
};

/* The caller frees it. */
struct tables_set *tables_make(struct rand *rand, const struct tables_shape *shape);
void tables_free(struct tables_set *set);

/* A key as the sets have them. Writes up to ENTRY_KEY_MAX bytes. */
struct entry_bytes tables_key(struct rand *rand, uint32_t keys, uint8_t *bytes);

/* Writes the set; fails the test if it can't. */
void tables_write(struct io *io, const char *name, const struct tables_set *set,
		  const struct table_writer_options *options, struct table_summary *ret_summary);

/* Options with the tests' store and a number. */
struct table_writer_options tables_writer_options(uint64_t number);
struct table_options tables_options(uint64_t number);

/* Opens it; fails the test if it can't. */
struct table *tables_open(struct io *io, const char *name, const struct table_options *options);

/* Fails the test unless both are the same, 'global' added to b's number. */
void tables_assert_same(const struct entry *a, const struct entry *b, uint64_t global);

/* Index of the first at or behind (key, seqno). */
uint32_t tables_find(const struct tables_set *set, struct entry_bytes key, uint64_t seqno);

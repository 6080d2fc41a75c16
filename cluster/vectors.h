/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Vectors - one collection's vectors in a store, searched while they change
 *
 * The key space has the vectors; the index is derived from it by the change feed and by nothing
 * else, so that the two can't come to differ:
 *
 *      vectors_put --> store: log, key space --> feed --vectors_follow--> live index --> searches
 *
 * Opening takes a saved index, if there is one that the feed can still bring up to date, else it
 * reads the collection from the key space. A saved index is one sealed segment, index-<hash of the
 * name>-<number>.segment, exact as of that number; the feed's history from there on is
 * pinned under the same name. Writing an index anew is what an index costs: vectors_save() is for a
 * moment of quiet.
 *
 * A search that begins after vectors_follow() said it caught up sees every change that was
 * acknowledged before.
 *
 * Threads: the store's owner, except live_build() by way of vectors_job(), and searches
 * (hnsw/live_search.h).
 */

#include "base/vector_type.h"
#include "engine/store.h"
#include "hnsw/live.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of a payload. */
#define VECTORS_PAYLOAD_MAX UINT32_C(65536)

/* Values of a vector. */
#define VECTORS_DIM_MAX UINT32_C(65536)

enum {
	VECTORS_E_ABSENT = 1, /* the store has no such collection */
	VECTORS_E_EXISTS,     /* it has one, with another schema */
	VECTORS_E_INVALID,    /* dimension, type, label or value: the text says which */
	VECTORS_E_CORRUPT,    /* the store holds what can't be a vector of the collection; the text
				 says */
	VECTORS_E_FULL,       /* vector_max vectors live */
	VECTORS_E_BUSY,       /* vectors_job() first; from a put: the store is busy */
	VECTORS_E_STOPPED,    /* the store's log failed */
	VECTORS_E_IDLE,
};

/* What a collection's vectors are. Kept in the store. */
struct vectors_schema {
	uint32_t dim;
	enum metric metric;
	enum vector_type type; /* of what is kept and compared */
};

struct vectors_options {
	struct entry_bytes name; /* of the collection; borrowed for the call */
	const char *folder;  /* where saved indexes lie: the store's; NULL: none is read or saved */
	uint32_t vector_max; /* 0: 2^24 */
	uint32_t growing_max; /* vectors of one growing index; 0: 2^16 */
	uint32_t threads;     /* of vectors_job(); 0: 1 */
	struct io *scratch;   /* borrowed: as feed_options.scratch */
};

struct vectors;

/* Makes the collection, durably. One that is there with the same schema is fine. Returns 0,
 * VECTORS_E_EXISTS, VECTORS_E_INVALID, VECTORS_E_STOPPED or a negative errno. */
int vectors_create(struct store *store, struct entry_bytes name,
		   const struct vectors_schema *schema);

/* Reads what vectors_create() wrote. Returns 0, VECTORS_E_ABSENT, VECTORS_E_CORRUPT or a negative
 * errno. */
int vectors_schema_get(struct store *store, struct entry_bytes name,
		       struct vectors_schema *ret_schema);

/*
 * Borrows the store. The index is as of the moment when it returns; 'progress' is called now and
 * then and may be NULL. Returns 0, VECTORS_E_ABSENT, VECTORS_E_CORRUPT, VECTORS_E_FULL ('error' has
 * a line) or a negative errno.
 */
int vectors_open(struct store *store, const struct vectors_options *options,
		 void (*progress)(void *context, uint64_t done), void *context,
		 struct vectors **ret_vectors, char *error, size_t error_size);

/* No search is left, and no vectors_job() runs. NULL is fine. */
void vectors_close(struct vectors *vectors);

/* Stages the change in the store, which commits it. 'values' are dim floats that the type holds. */
int vectors_put(struct vectors *vectors, uint32_t label, const float *values,
		struct entry_bytes payload);
int vectors_delete(struct vectors *vectors, uint32_t label);

/*
 * Takes up to 'events_max' events of the feed into the index, and one slice of its work.
 * '*ret_caught_up' says that none were left. Doesn't block where the store's owner polls. Returns
 * 0, VECTORS_E_BUSY, VECTORS_E_CORRUPT, VECTORS_E_FULL or a negative errno.
 */
int vectors_follow(struct vectors *vectors, uint32_t events_max, bool *ret_caught_up,
		   enum live_need *ret_need);

/* What live_need asks for, on any one thread. Returns 0 or VECTORS_E_IDLE. */
int vectors_job(struct vectors *vectors);

/* Follows and does its jobs until it caught up and nothing is left to do; blocks. */
int vectors_settle(struct vectors *vectors);

/* Settles into one segment, and saves that in the folder. Blocks for a build. */
int vectors_save(struct vectors *vectors);

/* All changes up to this number are in the index. */
uint64_t vectors_position(const struct vectors *vectors);

/* How it came by its index: false, it was read from the key space. */
bool vectors_was_saved(const struct vectors *vectors);

/* Why a saved index that was there is of no use, as a line; empty: there is none, or it serves. */
const char *vectors_unused(const struct vectors *vectors);

struct live *vectors_live(struct vectors *vectors);
const struct vectors_schema *vectors_schema(const struct vectors *vectors);
const char *vectors_error(const struct vectors *vectors);

/* Whether index and key space have the same labels; 'report' gets a line for each that one lacks.
 * Blocks. After vectors_settle(). */
int vectors_check(struct vectors *vectors, kv_report_fn report, void *context,
		  uint64_t *ret_faults);

/* Checks each saved index in 'folder', the store's: its bytes, and that with what the feed has
 * behind it, it has the labels that the key space has. Adds to '*faults'. Blocks. Returns 0, or a
 * negative errno or VECTORS_E_CORRUPT that stopped it. */
int vectors_verify(struct store *store, const char *folder, kv_report_fn report, void *context,
		   uint64_t *faults);

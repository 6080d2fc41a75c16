/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Store model - random transactions on a store, and what it should hold after each
 *
 * Every transaction also sets the key "commit" to its number. So the state that a recovered store
 * has can be looked up by what it says there, and is compared as a whole: no part of another
 * transaction may be in it, in key space, edges or vectors.
 *
 * Equal seeds make equal transactions. Time is the model's own, and passes with its transactions.
 *
 * With 'disk' the store's owner is a poll core (store_options.polls): around all calls but those
 * that are said to block the disk aborts what blocks (faulty_polls()), and what isn't there yet is
 * asked for again.
 *
 * Threads: one.
 */

#include "base/rand.h"
#include "engine/store.h"
#include "tests/lib/faulty.h"
#include "tests/lib/store_census.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODEL_KEY_MAX      48
#define MODEL_WEAK_MAX     16
#define MODEL_NODE_MAX     8
#define MODEL_VECTOR_MAX   16
#define MODEL_VALUE_MAX    9000
#define MODEL_SNAPSHOT_MAX 3

/* Tries of one commit while the store says busy; once it said that there is no room. */
#define MODEL_TRIES_MAX 2000
#define MODEL_FULL_MAX  100

enum {
	MODEL_E_WRONG = 1, /* the store holds what it shouldn't, or nothing moves any more */
	MODEL_E_CORRUPT,   /* the store says that it is damaged */
};

/* A value by its size and the number that fills it; size UINT32_MAX: there is none. */
struct model_value {
	uint32_t size;
	uint32_t fill;
	uint64_t expires; /* Unix seconds; 0: never */
};

struct model_state {
	struct model_value keys[MODEL_KEY_MAX];
	struct model_value weak[MODEL_WEAK_MAX]; /* keys that are put once, and taken back weakly */
	int64_t counters[MODEL_KEY_MAX];         /* keys of merges; 0 with 'counted' false: none */
	bool counted[MODEL_KEY_MAX];
	uint32_t edges[MODEL_NODE_MAX][MODEL_NODE_MAX]; /* order in which it was added, 0: none */
	struct model_value vectors[MODEL_VECTOR_MAX];
	struct model_value schema;
};

struct store_model {
	struct rand rand;
	struct faulty *disk;        /* NULL: the owner may block */
	struct model_state *states; /* the last ones, by commit; 0 is the empty store */
	uint32_t state_max;
	uint64_t seed;
	uint32_t commits;      /* issued */
	uint32_t acknowledged; /* of those, durable for certain */
	uint64_t lsn;          /* of the last one */
	uint32_t next_edge;
	bool row;       /* what the n-th transaction does, the seed says alone */
	bool wide;      /* also values that expire, weak deletes, schemas, what is rolled back; but
			   for a row snapshots */
	uint64_t clock; /* Unix seconds */
	uint64_t now_ns;
	uint64_t snapshots[MODEL_SNAPSHOT_MAX]; /* 0: not held */
	struct store_census census;
};

/* 'state_max': states that are kept, from the empty one on, or from the one last acknowledged. */
void store_model_init(struct store_model *model, uint64_t seed, uint32_t state_max);
void store_model_deinit(struct store_model *model);

/* For kv_options.clock; the context is the model. */
uint64_t store_model_clock(void *context);

/*
 * Makes one transaction and commits it, polling and working where the store is busy or has no room.
 * With a NULL store only the model makes it: for rows, to come to where a store is.
 * Returns 0; what the store said, as a negative errno (-EIO for STORE_E_STOPPED; then the commit
 * may have happened or not and counts as issued, else it didn't and doesn't); MODEL_E_WRONG or
 * MODEL_E_CORRUPT with 'error'.
 */
int store_model_step(struct store_model *model, struct store *store, char *error,
		     size_t error_size);

/*
 * A table that was written elsewhere becomes part of the store: a transaction by itself. Blocks
 * until all before it is in tables. Returns as store_model_step(); -EIO: the record of it may be
 * in the log, and nothing goes on but by opening the store again.
 */
int store_model_ingest(struct store_model *model, struct store *store, struct io *io, char *error,
		       size_t error_size);

/* A slice of the store's work, with what it takes from a job. Returns as store_model_step(). */
int store_model_work(struct store_model *model, struct store *store, char *error,
		     size_t error_size);

/* Works until all that was issued is durable, without blocking. Returns as store_model_step(). */
int store_model_wait(struct store_model *model, struct store *store, char *error,
		     size_t error_size);

/* Around calls that don't block, true before and false behind. */
void store_model_polls(const struct store_model *model, bool polls);

/* What a store_ function returned, in the model's words. */
int store_model_result(struct store *store, int result, char *error, size_t error_size);

/* Notes that all that was issued is durable. */
void store_model_acknowledge(struct store_model *model);

/* Lets go the snapshots that steps of a wide model took. */
void store_model_release(struct store_model *model, struct store *store);

/*
 * Whether the store holds one of the states from the last acknowledged one to the last issued one:
 * '*ret_number'. Returns 0, MODEL_E_WRONG or MODEL_E_CORRUPT with 'error', or a negative errno.
 */
int store_model_check(const struct store_model *model, struct store *store, uint32_t *ret_number,
		      char *error, size_t error_size);

/* The same of the key space alone, while changes are under way: it shows what is acknowledged, the
 * pages show what is committed. */
int store_model_check_keys(const struct store_model *model, struct store *store, char *error,
			   size_t error_size);

/* The model goes on from a state that the store was found in. */
void store_model_go_on(struct store_model *model, uint32_t number);

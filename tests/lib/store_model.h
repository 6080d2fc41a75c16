/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Store model - random transactions on a store, and what it should hold after each
 *
 * Every transaction also sets the key "commit" to its number. So the state that a recovered store
 * has can be looked up by what it says there, and is compared as a whole: no part of another
 * transaction may be in it, in key space, edges or vectors.
 *
 * Equal seeds make equal transactions.
 */

#include "base/rand.h"
#include "engine/store.h"

#include <stdbool.h>
#include <stdint.h>

#define MODEL_KEY_MAX    48
#define MODEL_NODE_MAX   8
#define MODEL_VECTOR_MAX 16
#define MODEL_VALUE_MAX  9000

/* A value by its size and the number that fills it; size UINT32_MAX: there is none. */
struct model_value {
	uint32_t size;
	uint32_t fill;
};

struct model_state {
	struct model_value keys[MODEL_KEY_MAX];
	int64_t counters[MODEL_KEY_MAX]; /* keys of merges; 0 with 'counted' false: none */
	bool counted[MODEL_KEY_MAX];
	uint32_t edges[MODEL_NODE_MAX][MODEL_NODE_MAX]; /* order in which it was added, 0: none */
	struct model_value vectors[MODEL_VECTOR_MAX];
};

struct store_model {
	struct rand rand;
	struct model_state *states; /* by commit; 0 is the empty store */
	uint32_t state_max;
	uint32_t commits;      /* issued */
	uint32_t acknowledged; /* of those, durable for certain */
	uint64_t lsn;          /* of the last one */
	uint32_t next_edge;
};

void store_model_init(struct store_model *model, uint64_t seed, uint32_t commit_max);
void store_model_deinit(struct store_model *model);

/*
 * Makes one transaction and commits it, polling and working where the store is busy. Returns 0, or
 * what the store said; then the commit may have happened or not, and counts as issued.
 */
int store_model_step(struct store_model *model, struct store *store);

/* Notes that all that was issued is durable. */
void store_model_acknowledge(struct store_model *model);

/*
 * Fails unless the store holds one of the states from the last acknowledged one on. The model goes
 * on from that. Returns its commit's number.
 */
uint32_t store_model_compare(struct store_model *model, struct store *store);

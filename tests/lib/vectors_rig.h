/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Vectors rig - what a collection should hold, and whether its index finds just that
 *
 * A vector is made from a number, its fill: 0 is none. Every transaction may set some.
 *
 * Threads: one.
 */

#include "cluster/vectors.h"

#include <stdint.h>

#define VECTORS_RIG_LABELS 200
#define VECTORS_RIG_DIM    8

/* By label. */
struct vectors_state {
	uint32_t fills[VECTORS_RIG_LABELS];
};

/* The values that a fill makes; any type can have them. No two fills make the same. */
void vectors_rig_values(enum vector_type type, uint32_t fill, float values[VECTORS_RIG_DIM]);

/* Commits, working while the store is busy. Returns 0 or what the store said. */
int vectors_rig_commit(struct store *store, enum store_durability durability);

/* Follows and does jobs until it caught up and nothing is to do. Fails the test where it fails. */
void vectors_rig_catch_up(struct vectors *vectors);

/*
 * Fails unless the index has exactly these vectors: vectors_check() finds no fault, each is found
 * at distance 0, and no other label is among all hits.
 */
void vectors_rig_compare(struct vectors *vectors, const struct vectors_state *state);

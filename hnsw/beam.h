/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Beam - the nearest nodes seen, in order
 *
 * An entry is one 64-bit key: the distance's bits, made to sort like integers,
 * above the node's number. So one comparison orders by (distance, node), which
 * is (distance, label) where nodes are numbered in label order. The lowest bit
 * says that the node has been expanded, which changes no order as a node is in a
 * beam once.
 *
 *       63          32 31        1   0
 *      | distance bits |   node   | expanded |
 *
 * The keys are a sorted array: at the sizes searches use (16 to 256) shifting a
 * few cache lines beats a heap, and the nearest unexpanded node is found by
 * walking on from the last.
 *
 * Threads: a beam belongs to one thread.
 */

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define BEAM_EXPANDED UINT64_C(1)

struct beam {
	uint64_t *keys; /* borrows: 'capacity' of them */
	uint32_t count;
	uint32_t capacity;
	uint32_t next; /* every key before it is expanded */
};

/* A NaN, which only vectors near the end of f32's range can give, counts as farthest. */
static inline uint64_t beam_key(float distance, uint32_t node)
{
	uint32_t bits;

	if (distance != distance)
		distance = INFINITY;
	memcpy(&bits, &distance, sizeof(bits));
	bits ^= (0 - (bits >> 31)) | UINT32_C(1) << 31;
	return (uint64_t)bits << 32 | (uint64_t)node << 1;
}

static inline float beam_key_distance(uint64_t key)
{
	uint32_t bits = (uint32_t)(key >> 32);
	float distance;

	bits ^= bits >> 31 ? UINT32_C(1) << 31 : UINT32_MAX;
	memcpy(&distance, &bits, sizeof(distance));
	return distance;
}

static inline uint32_t beam_key_node(uint64_t key)
{
	return (uint32_t)key >> 1;
}

static inline void beam_reset(struct beam *beam, uint32_t capacity)
{
	beam->count = 0;
	beam->next = 0;
	beam->capacity = capacity;
}

/* Keys from here on are not kept. */
static inline uint64_t beam_bound(const struct beam *beam)
{
	return beam->count < beam->capacity ? UINT64_MAX : beam->keys[beam->count - 1];
}

/* Would a node of this key be kept? */
static inline bool beam_wants(const struct beam *beam, uint64_t key)
{
	return key < beam_bound(beam);
}

/*
 * How many keys are less. Quarters without branches, which couldn't be foreseen,
 * and with three loads at a time, as each step waits for its loads.
 */
static inline uint32_t beam_rank(const struct beam *beam, uint64_t key)
{
	const uint64_t *keys = beam->keys;
	uint32_t left = beam->count, low = 0;

	while (left > 3) {
		uint32_t quarter = left / 4;
		uint32_t less = (keys[low + quarter - 1] < key) +
				(keys[low + 2 * quarter - 1] < key) +
				(keys[low + 3 * quarter - 1] < key);

		low += less * quarter;
		left = less == 3 ? left - 3 * quarter : quarter - 1;
	}
	for (uint32_t i = 0; i < left; i++)
		low += keys[low] < key;
	return low;
}

/* Keeps the key, which beam_wants() has approved; the farthest falls off a full beam. */
static inline void beam_insert(struct beam *beam, uint64_t key)
{
	uint32_t rank = beam_rank(beam, key);

	if (beam->count < beam->capacity)
		beam->count++;
	memmove(&beam->keys[rank + 1], &beam->keys[rank],
		(beam->count - 1 - rank) * sizeof(beam->keys[0]));
	beam->keys[rank] = key;
	if (rank < beam->next)
		beam->next = rank;
}

/* The nearest unexpanded node. Returns false when there is none. */
static inline bool beam_peek(struct beam *beam, uint32_t *ret_node)
{
	while (beam->next < beam->count && (beam->keys[beam->next] & BEAM_EXPANDED))
		beam->next++;
	if (beam->next == beam->count)
		return false;
	*ret_node = beam_key_node(beam->keys[beam->next]);
	return true;
}

/* Marks it as expanded. Returns false when there is none. */
static inline bool beam_expand(struct beam *beam, uint32_t *ret_node)
{
	if (!beam_peek(beam, ret_node))
		return false;
	beam->keys[beam->next++] |= BEAM_EXPANDED;
	return true;
}

/* Sorts keys that are nearly in order. */
static inline void beam_sort(uint64_t *keys, uint32_t count)
{
	for (uint32_t i = 1; i < count; i++) {
		uint64_t key = keys[i];
		uint32_t j = i;

		for (; j > 0 && keys[j - 1] > key; j--)
			keys[j] = keys[j - 1];
		keys[j] = key;
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Range set - range tombstones, asked which of them cover a key
 *
 * They lie sorted by their start, as a tree without pointers: the middle of a piece is its root,
 * and knows the largest end and number below it (an augmented interval tree; Cormen et al.). So an
 * answer takes the logarithm of their count, plus those that really cover the key and are younger
 * than the best so far.
 *
 * Those that were added since the last sort lie behind, unsorted; they are sorted in when they are
 * RANGE_SET_TAIL_MAX, or a sixteenth of all.
 *
 * Threads: one changes it; many may ask when nobody changes.
 */

#include "engine/entry.h"

#include <stdbool.h>

/* Tombstones that lie unsorted in a small set. */
#define RANGE_SET_TAIL_MAX 32

struct range_node;

/* All zeros: empty. */
struct range_set {
	struct range_node *nodes;
	uint32_t sorted;
	uint32_t count;
	uint32_t capacity;
};

/* Makes the next range_set_add() sure to succeed. Returns 0 or -ENOMEM. */
int range_set_reserve(struct range_set *set);

/* The bytes are borrowed as long as the set lives. Returns 0 or -ENOMEM. */
int range_set_add(struct range_set *set, const struct entry *tombstone);
void range_set_deinit(struct range_set *set);

/* The largest number, up to 'seqno', of a tombstone that covers the key; 0: none does. */
uint64_t range_set_cover(const struct range_set *set, struct entry_bytes key, uint64_t seqno);

/* The index-th, in no order. */
struct entry range_set_at(const struct range_set *set, uint32_t index);

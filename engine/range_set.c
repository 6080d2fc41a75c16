/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/range_set.h"

#include "base/defs.h"

#include <errno.h>
#include <stdlib.h>

struct range_node {
	struct entry_bytes start;
	struct entry_bytes end; /* not covered itself */
	uint64_t seqno;
	/* Of the subtree that has this as its root. */
	struct entry_bytes end_max;
	uint64_t seqno_max;
};

static int node_order(const void *a, const void *b)
{
	const struct range_node *first = a, *second = b;

	return key_compare(first->start, second->start);
}

/* Fills in what the root of [from, to) says about all of it. */
static void augment(struct range_node *nodes, uint32_t from, uint32_t to)
{
	if (from >= to)
		return;
	uint32_t middle = from + (to - from) / 2;
	struct range_node *root = &nodes[middle];

	augment(nodes, from, middle);
	augment(nodes, middle + 1, to);
	root->end_max = root->end;
	root->seqno_max = root->seqno;
	for (unsigned side = 0; side < 2; side++) {
		uint32_t first = side == 0 ? from : middle + 1, last = side == 0 ? middle : to;

		if (first >= last)
			continue;
		const struct range_node *child = &nodes[first + (last - first) / 2];
		if (key_compare(child->end_max, root->end_max) > 0)
			root->end_max = child->end_max;
		root->seqno_max = MAX(root->seqno_max, child->seqno_max);
	}
}

int range_set_reserve(struct range_set *set)
{
	if (set->count < set->capacity)
		return 0;
	uint32_t capacity = MAX(2 * set->capacity, 4U);
	struct range_node *grown = realloc(set->nodes, capacity * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	set->nodes = grown;
	set->capacity = capacity;
	return 0;
}

int range_set_add(struct range_set *set, const struct entry *tombstone)
{
	int error = range_set_reserve(set);

	if (error)
		return error;
	set->nodes[set->count++] = (struct range_node){
		.start = tombstone->key, .end = tombstone->value, .seqno = tombstone->seqno};
	/* The tail grows with the set, so that sorting stays a constant per tombstone. */
	if (set->count - set->sorted >= MAX(RANGE_SET_TAIL_MAX, set->sorted / 16)) {
		qsort(set->nodes, set->count, sizeof(*set->nodes), node_order);
		set->sorted = set->count;
		augment(set->nodes, 0, set->count);
	}
	return 0;
}

void range_set_deinit(struct range_set *set)
{
	free(set->nodes);
	*set = (struct range_set){0};
}

static bool covers(const struct range_node *node, struct entry_bytes key)
{
	return key_compare(node->start, key) <= 0 && key_compare(key, node->end) < 0;
}

/* The best of [from, to) and 'best'. */
static uint64_t cover_sorted(const struct range_node *nodes, uint32_t from, uint32_t to,
			     struct entry_bytes key, uint64_t seqno, uint64_t best)
{
	while (from < to) {
		uint32_t middle = from + (to - from) / 2;
		const struct range_node *root = &nodes[middle];

		if (root->seqno_max <= best || key_compare(root->end_max, key) <= 0)
			break;
		best = cover_sorted(nodes, from, middle, key, seqno, best);
		if (key_compare(root->start, key) > 0)
			break;
		if (root->seqno <= seqno && root->seqno > best && covers(root, key))
			best = root->seqno;
		from = middle + 1;
	}
	return best;
}

uint64_t range_set_cover(const struct range_set *set, struct entry_bytes key, uint64_t seqno)
{
	uint64_t best = 0;

	for (uint32_t i = set->sorted; i < set->count; i++) {
		const struct range_node *node = &set->nodes[i];

		if (node->seqno > best && node->seqno <= seqno && covers(node, key))
			best = node->seqno;
	}
	return cover_sorted(set->nodes, 0, set->sorted, key, seqno, best);
}

struct entry range_set_at(const struct range_set *set, uint32_t index)
{
	const struct range_node *node = &set->nodes[index];

	return (struct entry){.key = node->start,
			      .value = node->end,
			      .seqno = node->seqno,
			      .kind = ENTRY_RANGE_TOMBSTONE};
}

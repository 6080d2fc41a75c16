/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Edge check - nodes, clusters and pairs against each other, an entry at a time
 */

#include "engine/btree_cursor.h"
#include "engine/edge_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct edge_walk {
	struct pager *pager;
	edge_report_fn report;
	void *context;
	uint64_t faults;
	uint64_t clusters[2]; /* entries of clusters: outgoing, incoming */
	uint64_t pairs;
	uint64_t head_key; /* of the cluster under way */
	struct edge_halves head;
	uint32_t seen; /* of its entries */
};

static void fault(struct edge_walk *walk, const char *what, uint64_t key)
{
	char line[128];

	snprintf(line, sizeof(line), "edges: key %016llx: %s", (unsigned long long)key, what);
	walk->report(walk->context, line);
	walk->faults++;
}

static void end_cluster(struct edge_walk *walk)
{
	if (walk->seen != walk->head.low)
		fault(walk, "the degree isn't the number of edges", walk->head_key);
	walk->seen = 0;
	walk->head = (struct edge_halves){0};
}

/* Whether the pair that a cluster's entry belongs to says that the edge stands there. */
static int check_pair(struct edge_walk *walk, const struct btree_entry *entry)
{
	struct btree tree = edge_edges(walk->pager);
	uint64_t self = entry->key >> EDGE_KEY_NODE_SHIFT;
	bool incoming = (entry->key & EDGE_KEY_INCOMING) != 0;
	uint64_t other;
	uint64_t value;
	int r = edge_find_node(walk->pager, (int64_t)entry->value, &other);
	if (r == 0)
		r = edge_of_tree(btree_get(
			&tree, incoming ? edge_pair_key(other, self) : edge_pair_key(self, other),
			&value));
	if (r == EDGE_E_ABSENT) {
		fault(walk, "the edge isn't known by its ends", entry->key);
		return 0;
	}
	if (r != 0)
		return r;

	struct edge_halves place = halves_part(value);
	if ((incoming ? place.low : place.high) != (uint32_t)entry->key)
		fault(walk, "the edge is said to stand elsewhere", entry->key);
	return 0;
}

static int check_entry(struct edge_walk *walk, const struct btree_entry *entry)
{
	if ((entry->key & EDGE_KEY_PAIR) != 0) {
		walk->pairs++;
		return 0;
	}
	if ((uint32_t)entry->key == 0) {
		end_cluster(walk);
		walk->head_key = entry->key;
		walk->head = halves_part(entry->value);
		return 0;
	}
	if (entry->key >> 32 != walk->head_key >> 32 || (uint32_t)entry->key > walk->head.high)
		fault(walk, "an edge outside its cluster", entry->key);
	walk->seen++;
	walk->clusters[(entry->key & EDGE_KEY_INCOMING) != 0]++;
	return check_pair(walk, entry);
}

/* Numbers go from 1 to the count of nodes, each to one node. 'given' is a bit for each. */
static int check_numbers(struct edge_walk *walk, uint8_t *given)
{
	struct btree tree = edge_nodes(walk->pager);
	uint64_t nodes = pager_state(walk->pager)->node_count;
	struct btree_cursor cursor;
	uint64_t count = 0;
	int r;

	btree_cursor_open(&tree, &cursor);
	for (r = btree_cursor_seek(&cursor, 0); r == 0; r = btree_cursor_next(&cursor)) {
		uint64_t number = cursor.entry.value;
		uint8_t bit = (uint8_t)(1 << number % 8);
		count++;
		if (number == 0 || number > nodes) {
			fault(walk, "a node's number that wasn't given", cursor.entry.key);
			continue;
		}
		if ((given[number / 8] & bit) != 0)
			fault(walk, "a number of two nodes", cursor.entry.key);
		given[number / 8] |= bit;
	}
	btree_cursor_close(&cursor);
	if (r != BTREE_E_ABSENT)
		return edge_of_tree(r);
	if (count != nodes)
		fault(walk, "the nodes and their count don't agree", 0);
	return 0;
}

static int check_nodes(struct edge_walk *walk)
{
	uint8_t *given = calloc(pager_state(walk->pager)->node_count / 8 + 1, 1);
	if (given == NULL)
		return -ENOMEM;

	int r = check_numbers(walk, given);
	free(given);
	return r;
}

static int check_clusters(struct edge_walk *walk)
{
	struct btree tree = edge_edges(walk->pager);
	struct btree_cursor cursor;
	int r;

	btree_cursor_open(&tree, &cursor);
	for (r = btree_cursor_seek(&cursor, 0); r == 0; r = btree_cursor_next(&cursor)) {
		struct btree_entry entry = cursor.entry;
		r = check_entry(walk, &entry);
		if (r != 0)
			break;
	}
	btree_cursor_close(&cursor);
	if (r != BTREE_E_ABSENT)
		return edge_of_tree(r);

	end_cluster(walk);
	uint64_t edges = pager_state(walk->pager)->edge_count;
	if (walk->clusters[0] != edges || walk->clusters[1] != edges || walk->pairs != edges)
		fault(walk, "the two directions and the count don't agree", 0);
	return 0;
}

int edge_check(struct pager *pager, edge_report_fn report, void *context, uint64_t *ret_faults)
{
	struct edge_walk walk = {.pager = pager, .report = report, .context = context};
	int r = check_nodes(&walk);
	if (r == 0)
		r = check_clusters(&walk);
	if (r == 0)
		*ret_faults = walk.faults;
	return r;
}

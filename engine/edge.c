/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/edge.h"

#include "base/check.h"
#include "base/defs.h"
#include "engine/btree.h"
#include "engine/btree_cursor.h"
#include "engine/pager_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Where the parts of a key of the edge tree stand. */
#define KEY_PAIR       (UINT64_C(1) << 63)
#define KEY_NODE_SHIFT 33
#define KEY_INCOMING   (UINT64_C(1) << 32)

static_assert(EDGE_NUMBER_BITS + KEY_NODE_SHIFT == 63, "a cluster's key fills its bits");

/* Pages that a change of an edge changes, unless trees grow or shrink at many places at once. */
#define CHANGED_PAGES 12

/* Makes numbers below zero sort before the others. */
#define SIGN_BIT (UINT64_C(1) << 63)

static int of_tree(int r)
{
	switch (r) {
	case BTREE_E_CORRUPT:
		return EDGE_E_CORRUPT;
	case BTREE_E_BUSY:
		return EDGE_E_BUSY;
	case BTREE_E_FULL:
		return EDGE_E_FULL;
	case BTREE_E_WAIT:
		return EDGE_E_WAIT;
	case BTREE_E_ABSENT:
		return EDGE_E_ABSENT;
	case BTREE_E_EXISTS:
		return EDGE_E_EXISTS;
	default:
		return r;
	}
}

/* The graph contradicts itself. */
static int refuse(struct pager *pager, const char *what, uint64_t key)
{
	(void)pager_corrupt(pager, "edges: key %016llx: %s", (unsigned long long)key, what);
	return EDGE_E_CORRUPT;
}

static struct btree node_tree(struct pager *pager)
{
	return (struct btree){.pager = pager, .root = pager_state(pager)->node_root};
}

static struct btree edge_tree(struct pager *pager)
{
	return (struct btree){.pager = pager, .root = pager_state(pager)->edge_root};
}

static uint64_t cluster_key(uint64_t number, bool incoming, uint32_t sequence)
{
	return number << KEY_NODE_SHIFT | (incoming ? KEY_INCOMING : 0) | sequence;
}

static uint64_t pair_key(uint64_t source, uint64_t target)
{
	return KEY_PAIR | source << EDGE_NUMBER_BITS | target;
}

/* The head of a cluster, or where a pair's edge stands in the two clusters: two halves of a value.
 */
struct halves {
	uint32_t high;
	uint32_t low;
};

static uint64_t join(struct halves halves)
{
	return (uint64_t)halves.high << 32 | halves.low;
}

static struct halves part(uint64_t value)
{
	return (struct halves){.high = (uint32_t)(value >> 32), .low = (uint32_t)value};
}

int edge_open(struct pager *pager, uint64_t timestamp)
{
	struct pager_state *state = pager_state(pager);

	if (state->page_count == 0) {
		uint64_t nodes;
		uint64_t edges;
		pager_begin(pager);
		int r = btree_create(pager, &nodes);
		if (r == 0)
			r = btree_create(pager, &edges);
		if (r == 0)
			r = pager_commit(pager, timestamp);
		if (r != 0) {
			pager_rollback(pager);
			return of_tree(r);
		}
		CHECK(nodes == EDGE_NODE_ROOT && edges == EDGE_EDGE_ROOT);
	}
	state->node_root = EDGE_NODE_ROOT;
	state->edge_root = EDGE_EDGE_ROOT;
	struct btree tree = node_tree(pager);
	return of_tree(btree_count(&tree, &state->node_count));
}

void edge_redo(struct pager *pager, const struct record *record)
{
	struct pager_state *state = pager_state(pager);
	bool added = record->type == RECORD_EDGE_INSERT;

	/* One of the two that an edge has. */
	if ((!added && record->type != RECORD_EDGE_DELETE) || record->edge.incoming)
		return;
	if (added)
		state->edge_count++;
	else if (state->edge_count > 0)
		state->edge_count--;
}

static int find_node(struct pager *pager, int64_t node, uint64_t *ret_number)
{
	struct btree tree = node_tree(pager);

	return of_tree(btree_get(&tree, (uint64_t)node ^ SIGN_BIT, ret_number));
}

/* The numbers of both; 0: it has none yet, and there is one for it. */
static int find_ends(struct pager *pager, int64_t source, int64_t target, uint64_t *ret_from,
		     uint64_t *ret_to)
{
	uint64_t left = EDGE_NODE_MAX - MIN(pager_state(pager)->node_count, EDGE_NODE_MAX);
	uint64_t from = 0;
	uint64_t to = 0;
	int r = find_node(pager, source, &from);
	if (r == 0 || r == EDGE_E_ABSENT)
		r = find_node(pager, target, &to);
	if (r != 0 && r != EDGE_E_ABSENT)
		return r;
	if ((uint64_t)(from == 0) + (to == 0 && source != target) > left)
		return EDGE_E_FULL;
	*ret_from = from;
	*ret_to = to;
	return 0;
}

/* Gives the node a number unless it has one. */
static int number_node(struct pager *pager, int64_t node, uint64_t *number)
{
	struct pager_state *state = pager_state(pager);
	struct btree tree = node_tree(pager);

	if (*number != 0)
		return 0;
	int r = btree_put(&tree, (uint64_t)node ^ SIGN_BIT, state->node_count + 1);
	if (r != 0)
		return of_tree(r);
	*number = ++state->node_count;
	return 0;
}

static int find_head(struct pager *pager, uint64_t number, bool incoming, struct halves *ret_head)
{
	struct btree tree = edge_tree(pager);
	uint64_t value = 0;
	int r = btree_get(&tree, cluster_key(number, incoming, 0), &value);

	if (r != 0 && r != BTREE_E_ABSENT)
		return of_tree(r);
	*ret_head = part(value);
	return 0;
}

/* Where the next edge of the cluster stands; a node without a number has none. */
static int next_place(struct pager *pager, uint64_t number, bool incoming, struct halves *ret_head)
{
	struct halves head = {0};
	int r = number == 0 ? 0 : find_head(pager, number, incoming, &head);
	if (r != 0)
		return r;
	if (head.high == UINT32_MAX)
		return EDGE_E_FULL;
	*ret_head = (struct halves){.high = head.high + 1, .low = head.low + 1};
	return 0;
}

/* Adds the neighbour at the cluster's end, which then has this head. */
static int append(struct pager *pager, uint64_t number, bool incoming, struct halves head,
		  int64_t neighbour)
{
	struct btree tree = edge_tree(pager);
	int r = btree_put(&tree, cluster_key(number, incoming, head.high), (uint64_t)neighbour);

	if (r == 0)
		r = btree_put(&tree, cluster_key(number, incoming, 0), join(head));
	return of_tree(r);
}

/* The head that a cluster has when an edge is taken out. Sequences are not given again, so it
 * stays, with the last one, when the degree is 0. */
static int head_without(struct pager *pager, uint64_t number, bool incoming,
			struct halves *ret_head)
{
	struct halves head = {0};
	int r = find_head(pager, number, incoming, &head);
	if (r != 0)
		return r;
	if (head.low == 0)
		return refuse(pager, "the degree isn't the number of edges",
			      cluster_key(number, incoming, 0));
	*ret_head = (struct halves){.high = head.high, .low = head.low - 1};
	return 0;
}

static int take_out(struct pager *pager, uint64_t number, bool incoming, uint32_t sequence,
		    struct halves head)
{
	struct btree tree = edge_tree(pager);
	int r = btree_delete(&tree, cluster_key(number, incoming, sequence));

	if (r == BTREE_E_ABSENT)
		return refuse(pager, "an edge that its ends know isn't there",
			      cluster_key(number, incoming, sequence));
	if (r == 0)
		r = btree_put(&tree, cluster_key(number, incoming, 0), join(head));
	return of_tree(r);
}

static int say(struct pager *pager, enum record_type type, int64_t source, int64_t target)
{
	struct record record = {
		.type = type,
		.edge = {.source = source, .target = target, .page = pager_state(pager)->edge_root},
	};
	int r = pager_log(pager, &record);
	if (r != 0)
		return of_tree(r);
	record.edge.incoming = true;
	return of_tree(pager_log(pager, &record));
}

static int insert_pair(struct pager *pager, uint64_t from, uint64_t to, struct halves place)
{
	struct btree tree = edge_tree(pager);

	return of_tree(btree_insert(&tree, pair_key(from, to), join(place)));
}

/* Its nodes have no number yet, or one of them: so the edge isn't there. */
static int number_ends(struct pager *pager, int64_t source, int64_t target, uint64_t *from,
		       uint64_t *to)
{
	int r = number_node(pager, source, from);

	if (r == 0 && source == target)
		*to = *from;
	return r == 0 ? number_node(pager, target, to) : r;
}

/* Up to the pair nothing has changed, unless a node is new. */
int edge_add(struct pager *pager, int64_t source, int64_t target)
{
	struct halves out = {0};
	struct halves in = {0};
	uint64_t from = 0;
	uint64_t to = 0;
	int r = find_ends(pager, source, target, &from, &to);
	if (r == 0)
		r = next_place(pager, from, /* incoming= */ false, &out);
	if (r == 0)
		r = next_place(pager, to, /* incoming= */ true, &in);
	if (r != 0)
		return r;

	bool known = from != 0 && to != 0;
	r = number_ends(pager, source, target, &from, &to);
	if (r == 0)
		r = insert_pair(pager, from, to, (struct halves){.high = out.high, .low = in.high});
	if (r == EDGE_E_EXISTS && known)
		return r;
	if (r == EDGE_E_EXISTS)
		r = refuse(pager, "an edge of a new node", pair_key(from, to));
	if (r == 0)
		r = append(pager, from, /* incoming= */ false, out, target);
	if (r == 0)
		r = append(pager, to, /* incoming= */ true, in, source);
	if (r != 0)
		return change_fail(pager, r);

	pager_state(pager)->edge_count++;
	return say(pager, RECORD_EDGE_INSERT, source, target);
}

/* The numbers of both nodes and where the edge stands. */
static int find(struct pager *pager, int64_t source, int64_t target, uint64_t *ret_from,
		uint64_t *ret_to, struct halves *ret_place)
{
	struct btree tree = edge_tree(pager);
	uint64_t value;
	int r = find_node(pager, source, ret_from);
	if (r == 0)
		r = find_node(pager, target, ret_to);
	if (r == 0)
		r = of_tree(btree_get(&tree, pair_key(*ret_from, *ret_to), &value));
	if (r == 0)
		*ret_place = part(value);
	return r;
}

int edge_remove(struct pager *pager, int64_t source, int64_t target)
{
	uint64_t from;
	uint64_t to;
	struct halves place = {0};
	struct halves out = {0};
	struct halves in = {0};
	int r = find(pager, source, target, &from, &to, &place);
	if (r == 0)
		r = head_without(pager, from, /* incoming= */ false, &out);
	if (r == 0)
		r = head_without(pager, to, /* incoming= */ true, &in);
	if (r != 0)
		return r;

	struct btree tree = edge_tree(pager);
	r = take_out(pager, from, /* incoming= */ false, place.high, out);
	if (r == 0)
		r = take_out(pager, to, /* incoming= */ true, place.low, in);
	if (r == 0)
		r = of_tree(btree_delete(&tree, pair_key(from, to)));
	if (r != 0)
		return change_fail(pager, r);
	pager_state(pager)->edge_count--;
	return say(pager, RECORD_EDGE_DELETE, source, target);
}

/* Of two outcomes the one to tell; waiting is the least. */
static int worse(int a, int b)
{
	return a == 0 || (a == EDGE_E_WAIT && b != 0) ? b : a;
}

static int prepare_key(struct pager *pager, uint64_t key, bool removed)
{
	struct btree tree = edge_tree(pager);

	return of_tree(btree_prepare(&tree, key, removed));
}

/* The node's number, or the one that it may get. */
static int prepare_node(struct pager *pager, int64_t node, uint64_t *ret_number)
{
	struct btree tree = node_tree(pager);
	int r = find_node(pager, node, ret_number);

	if (r != EDGE_E_ABSENT)
		return r;
	*ret_number = pager_state(pager)->node_count + 1;
	return of_tree(btree_prepare(&tree, (uint64_t)node ^ SIGN_BIT, /* removed= */ false));
}

/* Reads that don't depend on each other are under way together. */
static int prepare_add(struct pager *pager, int64_t source, int64_t target)
{
	struct halves out = {0};
	struct halves in = {0};
	uint64_t from = 0;
	uint64_t to = 0;
	int r = prepare_node(pager, source, &from);
	r = worse(r, prepare_node(pager, target, &to));
	if (r != 0)
		return r;
	r = prepare_key(pager, pair_key(from, to), /* removed= */ false);
	r = worse(r, find_head(pager, from, /* incoming= */ false, &out));
	r = worse(r, find_head(pager, to, /* incoming= */ true, &in));
	if (r != 0 || out.high == UINT32_MAX || in.high == UINT32_MAX)
		return r;
	r = prepare_key(pager, cluster_key(from, false, out.high + 1), /* removed= */ false);
	return worse(r, prepare_key(pager, cluster_key(to, true, in.high + 1),
				    /* removed= */ false));
}

static int prepare_remove(struct pager *pager, int64_t source, int64_t target)
{
	struct halves place = {0};
	struct halves head;
	uint64_t from = 0;
	uint64_t to = 0;
	int r = find(pager, source, target, &from, &to, &place);
	if (r != 0)
		return r == EDGE_E_ABSENT ? 0 : r;
	r = prepare_key(pager, pair_key(from, to), /* removed= */ true);
	r = worse(r, find_head(pager, from, /* incoming= */ false, &head));
	r = worse(r, find_head(pager, to, /* incoming= */ true, &head));
	r = worse(r, prepare_key(pager, cluster_key(from, false, place.high),
				 /* removed= */ true));
	return worse(r, prepare_key(pager, cluster_key(to, true, place.low), /* removed= */ true));
}

int edge_prepare(struct pager *pager, int64_t source, int64_t target, bool added)
{
	int r = added ? prepare_add(pager, source, target) : prepare_remove(pager, source, target);

	return r == 0 ? of_tree(pager_reserve(pager, CHANGED_PAGES)) : r;
}

int edge_has(struct pager *pager, int64_t source, int64_t target)
{
	uint64_t from;
	uint64_t to;
	struct halves place = {0};

	return find(pager, source, target, &from, &to, &place);
}

int edge_degree(struct pager *pager, int64_t node, bool incoming, uint32_t *ret_degree)
{
	uint64_t number;
	struct halves head = {0};
	int r = find_node(pager, node, &number);
	if (r == 0)
		r = find_head(pager, number, incoming, &head);
	if (r != 0 && r != EDGE_E_ABSENT)
		return r;
	*ret_degree = head.low;
	return 0;
}

int edge_neighbours(struct pager *pager, int64_t node, bool incoming, uint32_t *position,
		    int64_t *ret_nodes, uint32_t max, uint32_t *ret_count)
{
	struct btree tree = edge_tree(pager);
	struct btree_cursor cursor;
	uint64_t number;
	uint32_t count = 0;
	uint32_t reached = *position;
	int r = find_node(pager, node, &number);
	if (r != 0 && r != EDGE_E_ABSENT)
		return r;
	if (r == EDGE_E_ABSENT || reached == UINT32_MAX) {
		*ret_count = 0;
		return 0;
	}

	uint64_t first = cluster_key(number, incoming, reached + 1);
	uint64_t last = cluster_key(number, incoming, UINT32_MAX);
	btree_cursor_open(&tree, &cursor);
	for (r = btree_cursor_seek(&cursor, first); r == 0 && count < max;
	     r = btree_cursor_next(&cursor)) {
		struct btree_entry entry = cursor.entry;
		if (entry.key > last)
			break;
		ret_nodes[count++] = (int64_t)entry.value;
		reached = (uint32_t)entry.key;
	}
	btree_cursor_close(&cursor);
	if ((r == BTREE_E_WAIT || r == BTREE_E_BUSY) && count > 0)
		r = 0;
	if (r != 0 && r != BTREE_E_ABSENT)
		return of_tree(r);
	*position = reached;
	*ret_count = count;
	return 0;
}

struct edge_walk {
	struct pager *pager;
	edge_report_fn report;
	void *context;
	uint64_t faults;
	uint64_t clusters[2]; /* entries of clusters: outgoing, incoming */
	uint64_t pairs;
	uint64_t head_key; /* of the cluster under way */
	struct halves head;
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
	walk->head = (struct halves){0};
}

/* Whether the pair that a cluster's entry belongs to says that the edge stands there. */
static int check_pair(struct edge_walk *walk, const struct btree_entry *entry)
{
	struct btree tree = edge_tree(walk->pager);
	uint64_t self = entry->key >> KEY_NODE_SHIFT;
	bool incoming = (entry->key & KEY_INCOMING) != 0;
	uint64_t other;
	uint64_t value;
	int r = find_node(walk->pager, (int64_t)entry->value, &other);
	if (r == 0)
		r = of_tree(btree_get(
			&tree, incoming ? pair_key(other, self) : pair_key(self, other), &value));
	if (r == EDGE_E_ABSENT) {
		fault(walk, "the edge isn't known by its ends", entry->key);
		return 0;
	}
	if (r != 0)
		return r;

	struct halves place = part(value);
	if ((incoming ? place.low : place.high) != (uint32_t)entry->key)
		fault(walk, "the edge is said to stand elsewhere", entry->key);
	return 0;
}

static int check_entry(struct edge_walk *walk, const struct btree_entry *entry)
{
	if ((entry->key & KEY_PAIR) != 0) {
		walk->pairs++;
		return 0;
	}
	if ((uint32_t)entry->key == 0) {
		end_cluster(walk);
		walk->head_key = entry->key;
		walk->head = part(entry->value);
		return 0;
	}
	if (entry->key >> 32 != walk->head_key >> 32 || (uint32_t)entry->key > walk->head.high)
		fault(walk, "an edge outside its cluster", entry->key);
	walk->seen++;
	walk->clusters[(entry->key & KEY_INCOMING) != 0]++;
	return check_pair(walk, entry);
}

/* Numbers go from 1 to the count of nodes, each to one node. 'given' is a bit for each. */
static int check_numbers(struct edge_walk *walk, uint8_t *given)
{
	struct btree tree = node_tree(walk->pager);
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
		return of_tree(r);
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
	struct btree tree = edge_tree(walk->pager);
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
		return of_tree(r);

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

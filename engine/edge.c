/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/edge.h"

#include "base/check.h"
#include "base/defs.h"
#include "engine/btree_cursor.h"
#include "engine/edge_internal.h"
#include "engine/pager_internal.h"

int edge_of_tree(int r)
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
			return edge_of_tree(r);
		}
		CHECK(nodes == EDGE_NODE_ROOT && edges == EDGE_EDGE_ROOT);
	}
	state->node_root = EDGE_NODE_ROOT;
	state->edge_root = EDGE_EDGE_ROOT;
	struct btree tree = edge_nodes(pager);
	return edge_of_tree(btree_count(&tree, &state->node_count));
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

int edge_find_node(struct pager *pager, int64_t node, uint64_t *ret_number)
{
	struct btree tree = edge_nodes(pager);

	return edge_of_tree(btree_get(&tree, (uint64_t)node ^ EDGE_SIGN_BIT, ret_number));
}

/* The numbers of both; 0: it has none yet, and there is one for it. */
static int find_ends(struct pager *pager, int64_t source, int64_t target, uint64_t *ret_from,
		     uint64_t *ret_to)
{
	uint64_t left = EDGE_NODE_MAX - MIN(pager_state(pager)->node_count, EDGE_NODE_MAX);
	uint64_t from = 0;
	uint64_t to = 0;
	int r = edge_find_node(pager, source, &from);
	if (r == 0 || r == EDGE_E_ABSENT)
		r = edge_find_node(pager, target, &to);
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
	struct btree tree = edge_nodes(pager);

	if (*number != 0)
		return 0;
	int r = btree_put(&tree, (uint64_t)node ^ EDGE_SIGN_BIT, state->node_count + 1);
	if (r != 0)
		return edge_of_tree(r);
	*number = ++state->node_count;
	return 0;
}

int edge_find_head(struct pager *pager, uint64_t number, bool incoming,
		   struct edge_halves *ret_head)
{
	struct btree tree = edge_edges(pager);
	uint64_t value = 0;
	int r = btree_get(&tree, edge_cluster_key(number, incoming, 0), &value);

	if (r != 0 && r != BTREE_E_ABSENT)
		return edge_of_tree(r);
	*ret_head = halves_part(value);
	return 0;
}

/* Where the next edge of the cluster stands; a node without a number has none. */
static int next_place(struct pager *pager, uint64_t number, bool incoming,
		      struct edge_halves *ret_head)
{
	struct edge_halves head = {0};
	int r = number == 0 ? 0 : edge_find_head(pager, number, incoming, &head);
	if (r != 0)
		return r;
	if (head.high == UINT32_MAX)
		return EDGE_E_FULL;
	*ret_head = (struct edge_halves){.high = head.high + 1, .low = head.low + 1};
	return 0;
}

/* Adds the neighbour at the cluster's end, which then has this head. */
static int append(struct pager *pager, uint64_t number, bool incoming, struct edge_halves head,
		  int64_t neighbour)
{
	struct btree tree = edge_edges(pager);
	int r = btree_put(&tree, edge_cluster_key(number, incoming, head.high),
			  (uint64_t)neighbour);

	if (r == 0)
		r = btree_put(&tree, edge_cluster_key(number, incoming, 0), halves_join(head));
	return edge_of_tree(r);
}

/* The head that a cluster has when an edge is taken out. Sequences are not given again, so it
 * stays, with the last one, when the degree is 0. */
static int head_without(struct pager *pager, uint64_t number, bool incoming,
			struct edge_halves *ret_head)
{
	struct edge_halves head = {0};
	int r = edge_find_head(pager, number, incoming, &head);
	if (r != 0)
		return r;
	if (head.low == 0)
		return refuse(pager, "the degree isn't the number of edges",
			      edge_cluster_key(number, incoming, 0));
	*ret_head = (struct edge_halves){.high = head.high, .low = head.low - 1};
	return 0;
}

static int take_out(struct pager *pager, uint64_t number, bool incoming, uint32_t sequence,
		    struct edge_halves head)
{
	struct btree tree = edge_edges(pager);
	int r = btree_delete(&tree, edge_cluster_key(number, incoming, sequence));

	if (r == BTREE_E_ABSENT)
		return refuse(pager, "an edge that its ends know isn't there",
			      edge_cluster_key(number, incoming, sequence));
	if (r == 0)
		r = btree_put(&tree, edge_cluster_key(number, incoming, 0), halves_join(head));
	return edge_of_tree(r);
}

static int say(struct pager *pager, enum record_type type, int64_t source, int64_t target)
{
	struct record record = {
		.type = type,
		.edge = {.source = source, .target = target, .page = pager_state(pager)->edge_root},
	};
	int r = pager_log(pager, &record);
	if (r != 0)
		return edge_of_tree(r);
	record.edge.incoming = true;
	return edge_of_tree(pager_log(pager, &record));
}

static int insert_pair(struct pager *pager, uint64_t from, uint64_t to, struct edge_halves place)
{
	struct btree tree = edge_edges(pager);

	return edge_of_tree(btree_insert(&tree, edge_pair_key(from, to), halves_join(place)));
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
	struct edge_halves out = {0};
	struct edge_halves in = {0};
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
		r = insert_pair(pager, from, to,
				(struct edge_halves){.high = out.high, .low = in.high});
	if (r == EDGE_E_EXISTS && known)
		return r;
	if (r == EDGE_E_EXISTS)
		r = refuse(pager, "an edge of a new node", edge_pair_key(from, to));
	if (r == 0)
		r = append(pager, from, /* incoming= */ false, out, target);
	if (r == 0)
		r = append(pager, to, /* incoming= */ true, in, source);
	if (r != 0)
		return change_fail(pager, r);

	pager_state(pager)->edge_count++;
	return say(pager, RECORD_EDGE_INSERT, source, target);
}

int edge_find(struct pager *pager, int64_t source, int64_t target, uint64_t *ret_from,
	      uint64_t *ret_to, struct edge_halves *ret_place)
{
	struct btree tree = edge_edges(pager);
	uint64_t value;
	int r = edge_find_node(pager, source, ret_from);
	if (r == 0)
		r = edge_find_node(pager, target, ret_to);
	if (r == 0)
		r = edge_of_tree(btree_get(&tree, edge_pair_key(*ret_from, *ret_to), &value));
	if (r == 0)
		*ret_place = halves_part(value);
	return r;
}

int edge_remove(struct pager *pager, int64_t source, int64_t target)
{
	uint64_t from;
	uint64_t to;
	struct edge_halves place = {0};
	struct edge_halves out = {0};
	struct edge_halves in = {0};
	int r = edge_find(pager, source, target, &from, &to, &place);
	if (r == 0)
		r = head_without(pager, from, /* incoming= */ false, &out);
	if (r == 0)
		r = head_without(pager, to, /* incoming= */ true, &in);
	if (r != 0)
		return r;

	struct btree tree = edge_edges(pager);
	r = take_out(pager, from, /* incoming= */ false, place.high, out);
	if (r == 0)
		r = take_out(pager, to, /* incoming= */ true, place.low, in);
	if (r == 0)
		r = edge_of_tree(btree_delete(&tree, edge_pair_key(from, to)));
	if (r != 0)
		return change_fail(pager, r);
	pager_state(pager)->edge_count--;
	return say(pager, RECORD_EDGE_DELETE, source, target);
}

int edge_has(struct pager *pager, int64_t source, int64_t target)
{
	uint64_t from;
	uint64_t to;
	struct edge_halves place = {0};

	return edge_find(pager, source, target, &from, &to, &place);
}

int edge_degree(struct pager *pager, int64_t node, bool incoming, uint32_t *ret_degree)
{
	uint64_t number;
	struct edge_halves head = {0};
	int r = edge_find_node(pager, node, &number);
	if (r == 0)
		r = edge_find_head(pager, number, incoming, &head);
	if (r != 0 && r != EDGE_E_ABSENT)
		return r;
	*ret_degree = head.low;
	return 0;
}

int edge_neighbours(struct pager *pager, int64_t node, bool incoming, uint32_t *position,
		    int64_t *ret_nodes, uint32_t max, uint32_t *ret_count)
{
	struct btree tree = edge_edges(pager);
	struct btree_cursor cursor;
	uint64_t number;
	uint32_t count = 0;
	uint32_t reached = *position;
	int r = edge_find_node(pager, node, &number);
	if (r != 0 && r != EDGE_E_ABSENT)
		return r;
	if (r == EDGE_E_ABSENT || reached == UINT32_MAX) {
		*ret_count = 0;
		return 0;
	}

	uint64_t first = edge_cluster_key(number, incoming, reached + 1);
	uint64_t last = edge_cluster_key(number, incoming, UINT32_MAX);
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
		return edge_of_tree(r);
	*position = reached;
	*ret_count = count;
	return 0;
}

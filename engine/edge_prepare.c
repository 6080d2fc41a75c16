/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Edge prepare - the pages that a change is going to need
 *
 * Reads that don't depend on each other are under way together.
 */

#include "engine/edge_internal.h"

/* Pages that a change of an edge changes, unless trees grow or shrink at many places at once. */
#define CHANGED_PAGES 12

/* Of two outcomes the one to tell; waiting is the least. */
static int worse(int a, int b)
{
	return a == 0 || (a == EDGE_E_WAIT && b != 0) ? b : a;
}

static int prepare_key(struct pager *pager, uint64_t key, bool removed)
{
	struct btree tree = edge_edges(pager);

	return edge_of_tree(btree_prepare(&tree, key, removed));
}

/* The node's number, or the one that it may get. */
static int prepare_node(struct pager *pager, int64_t node, uint64_t *ret_number)
{
	struct btree tree = edge_nodes(pager);
	int r = edge_find_node(pager, node, ret_number);

	if (r != EDGE_E_ABSENT)
		return r;
	*ret_number = pager_state(pager)->node_count + 1;
	return edge_of_tree(
		btree_prepare(&tree, (uint64_t)node ^ EDGE_SIGN_BIT, /* removed= */ false));
}

static int prepare_add(struct pager *pager, int64_t source, int64_t target)
{
	struct edge_halves out = {0};
	struct edge_halves in = {0};
	uint64_t from = 0;
	uint64_t to = 0;
	int r = prepare_node(pager, source, &from);
	r = worse(r, prepare_node(pager, target, &to));
	if (r != 0)
		return r;
	r = prepare_key(pager, edge_pair_key(from, to), /* removed= */ false);
	r = worse(r, edge_find_head(pager, from, /* incoming= */ false, &out));
	r = worse(r, edge_find_head(pager, to, /* incoming= */ true, &in));
	if (r != 0 || out.high == UINT32_MAX || in.high == UINT32_MAX)
		return r;
	r = prepare_key(pager, edge_cluster_key(from, false, out.high + 1), /* removed= */ false);
	return worse(r, prepare_key(pager, edge_cluster_key(to, true, in.high + 1),
				    /* removed= */ false));
}

static int prepare_remove(struct pager *pager, int64_t source, int64_t target)
{
	struct edge_halves place = {0};
	struct edge_halves head;
	uint64_t from = 0;
	uint64_t to = 0;
	int r = edge_find(pager, source, target, &from, &to, &place);
	if (r != 0)
		return r == EDGE_E_ABSENT ? 0 : r;
	r = prepare_key(pager, edge_pair_key(from, to), /* removed= */ true);
	r = worse(r, edge_find_head(pager, from, /* incoming= */ false, &head));
	r = worse(r, edge_find_head(pager, to, /* incoming= */ true, &head));
	r = worse(r, prepare_key(pager, edge_cluster_key(from, false, place.high),
				 /* removed= */ true));
	return worse(
		r, prepare_key(pager, edge_cluster_key(to, true, place.low), /* removed= */ true));
}

int edge_prepare(struct pager *pager, int64_t source, int64_t target, bool added)
{
	int r = added ? prepare_add(pager, source, target) : prepare_remove(pager, source, target);

	return r == 0 ? edge_of_tree(pager_reserve(pager, CHANGED_PAGES)) : r;
}

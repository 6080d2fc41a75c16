/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Edge internal - what the graph's files share
 *
 *      edge.c          changes and reads
 *      edge_prepare.c  pages that a change is going to need
 *      edge_check.c    whether everything agrees
 *
 * Threads: the pager's owner.
 */

#include "engine/btree.h"
#include "engine/edge.h"

#include <assert.h>

/* Where the parts of a key of the edge tree stand. */
#define EDGE_KEY_PAIR       (UINT64_C(1) << 63)
#define EDGE_KEY_NODE_SHIFT 33
#define EDGE_KEY_INCOMING   (UINT64_C(1) << 32)

static_assert(EDGE_NUMBER_BITS + EDGE_KEY_NODE_SHIFT == 63, "a cluster's key fills its bits");

/* Makes numbers below zero sort before the others. */
#define EDGE_SIGN_BIT (UINT64_C(1) << 63)

static inline struct btree edge_nodes(struct pager *pager)
{
	return (struct btree){.pager = pager, .root = pager_state(pager)->node_root};
}

static inline struct btree edge_edges(struct pager *pager)
{
	return (struct btree){.pager = pager, .root = pager_state(pager)->edge_root};
}

static inline uint64_t edge_cluster_key(uint64_t number, bool incoming, uint32_t sequence)
{
	return number << EDGE_KEY_NODE_SHIFT | (incoming ? EDGE_KEY_INCOMING : 0) | sequence;
}

static inline uint64_t edge_pair_key(uint64_t source, uint64_t target)
{
	return EDGE_KEY_PAIR | source << EDGE_NUMBER_BITS | target;
}

/* The head of a cluster, or where a pair's edge stands in the two clusters: two halves of a value.
 */
struct edge_halves {
	uint32_t high;
	uint32_t low;
};

static inline uint64_t halves_join(struct edge_halves halves)
{
	return (uint64_t)halves.high << 32 | halves.low;
}

static inline struct edge_halves halves_part(uint64_t value)
{
	return (struct edge_halves){.high = (uint32_t)(value >> 32), .low = (uint32_t)value};
}

/* What a tree said, in the graph's words. */
int edge_of_tree(int r);

/* The node's number. Returns as edge_has(). */
int edge_find_node(struct pager *pager, int64_t node, uint64_t *ret_number);

/* A cluster's head; one that was never begun has zeros. Returns as edge_has(), but for
 * EDGE_E_ABSENT. */
int edge_find_head(struct pager *pager, uint64_t number, bool incoming,
		   struct edge_halves *ret_head);

/* The numbers of both nodes and where the edge stands. Returns as edge_has(). */
int edge_find(struct pager *pager, int64_t source, int64_t target, uint64_t *ret_from,
	      uint64_t *ret_to, struct edge_halves *ret_place);

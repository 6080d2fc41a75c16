/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Edge - a directed graph on pages
 *
 * Two trees of the pager hold it. The node tree gives each node that has ever had an edge a number
 * of EDGE_NUMBER_BITS bits. The edge tree has, under the numbers:
 *
 *      0 | node | direction | 0          -> last sequence << 32 | degree     the head of a cluster
 *      0 | node | direction | sequence   -> id of the neighbour
 *      1 | source | target               -> sequence out << 32 | sequence in
 *
 * (1, 30, 1 and 32 bits; 1, 30 and 30 with 3 unused.) So a node's edges of one direction lie side
 * by side, a cluster, in the order in which they were added; its degree is one lookup, and an edge
 * is found by its ends, and removed, in the time of a few lookups however many edges the node has.
 * Clusters of small nodes share pages.
 *
 * There is at most one edge from a node to another. A change is part of the pager's open
 * transaction. What may refuse it (the edge is there, or isn't; no number is left) is looked at
 * first, and nothing has changed then; what fails behind that leaves half an edge, so that the
 * transaction can only be rolled back, which pager_commit() insists on. Besides what the pages need
 * a change logs an EdgeInsert or EdgeDelete for each direction, with the number of the edge tree's
 * root page: to be read by people and other programs.
 *
 * Where the pager's owner polls, all here may say EDGE_E_WAIT or EDGE_E_BUSY: pager_poll(), and
 * again. Asking edge_prepare() until it says 0 before a change makes it rare that a change does.
 *
 * Threads: the pager's owner.
 */

#include "engine/pager.h"

#include <stdbool.h>
#include <stdint.h>

#define EDGE_NUMBER_BITS 30

/* Nodes of one store. */
#define EDGE_NODE_MAX ((UINT64_C(1) << EDGE_NUMBER_BITS) - 1)

/* The trees are made with the file, so their roots are its first pages. */
#define EDGE_NODE_ROOT 1
#define EDGE_EDGE_ROOT 2

enum {
	EDGE_E_EXISTS = 1,
	EDGE_E_ABSENT,
	EDGE_E_CORRUPT, /* pager_error() says */
	EDGE_E_BUSY,    /* as PAGER_E_BUSY */
	EDGE_E_FULL,    /* EDGE_NODE_MAX nodes or 2^32 - 1 edges ever of one node, and nothing has
			   changed; or as PAGER_E_FULL */
	EDGE_E_WAIT,    /* as PAGER_E_WAIT */
};

/* Makes the trees in an empty pages file, in a transaction of its own, or finds them. Returns 0,
 * EDGE_E_CORRUPT or a negative errno. */
int edge_open(struct pager *pager, uint64_t timestamp);

/* Recovery: counts the edge of a committed EdgeInsert or EdgeDelete; pages bring it themselves. */
void edge_redo(struct pager *pager, const struct record *record);

/* Has the pages cached that adding or removing the edge is going to look at, and finds out whether
 * there is room for what it changes, as far as that can be said before. Changes nothing. Returns 0,
 * EDGE_E_WAIT, EDGE_E_BUSY, EDGE_E_CORRUPT or a negative errno. */
int edge_prepare(struct pager *pager, int64_t source, int64_t target, bool added);

int edge_add(struct pager *pager, int64_t source, int64_t target);
int edge_remove(struct pager *pager, int64_t source, int64_t target);

/* Returns 0, EDGE_E_ABSENT, EDGE_E_CORRUPT, EDGE_E_WAIT, EDGE_E_BUSY or a negative errno, as those
 * below. */
int edge_has(struct pager *pager, int64_t source, int64_t target);

/* Edges from the node, or to it. A node without any has 0. */
int edge_degree(struct pager *pager, int64_t node, bool incoming, uint32_t *ret_degree);

/*
 * The node's neighbours in the order in which the edges were added: up to 'max' behind '*position',
 * which is 0 at first and then leads on; none are behind the last. A graph that changes in between
 * gives each edge that stays just once. Where pages have to be waited for there may be fewer than
 * 'max'.
 */
int edge_neighbours(struct pager *pager, int64_t node, bool incoming, uint32_t *position,
		    int64_t *ret_nodes, uint32_t max, uint32_t *ret_count);

/* Whether both directions, degrees and counts agree. 'report' gets a line for each fault. Blocks,
 * as btree_check(): not while the pager polls. */
typedef void (*edge_report_fn)(void *context, const char *line);
int edge_check(struct pager *pager, edge_report_fn report, void *context, uint64_t *ret_faults);

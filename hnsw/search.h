/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Search - k nearest neighbours in a segment, as a resumable machine
 *
 * The machine never touches a node's record without having asked for it: a
 * step names the records it wants and returns; the next step uses them. Who
 * answers is the segment's kind: in a local one search_step() computes addresses
 * and prefetches; of a remote one (hnsw/remote.h) records are asked for, and the
 * machine waits until they have been fetched. So search_burst() runs many
 * queries interleaved on one core, and the miss of one is the work of another.
 *
 * Malkov and Yashunin, algorithms 2 and 5. Equal distances are ordered by label
 * everywhere, so that an answer doesn't depend on how the query was run.
 *
 * Memory: search_new() takes everything for the given limits.
 *
 * Threads: a machine belongs to one thread; segments are shared.
 */

#include "hnsw/filter.h"
#include "hnsw/segment.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEARCH_EF_MAX 8192

struct search;

struct search_limits {
	uint32_t node_max; /* vectors of the largest segment */
	uint32_t dim_max;
	uint32_t ef_max; /* at most SEARCH_EF_MAX, or the largest k if that is more */
};

struct search_hit {
	uint32_t label;
	float distance; /* as base/metric.h has it */
};

/* Is 'a' answered before 'b'? */
static inline bool search_hit_before(const struct search_hit *a, const struct search_hit *b)
{
	return a->distance < b->distance || (a->distance == b->distance && a->label < b->label);
}

struct search_params {
	uint32_t k;
	uint32_t ef;       /* 0: the segment's default; raised to k */
	uint32_t patience; /* ends when the k nearest stay the same for so many hops; 0: never so */
	const struct filter *filter; /* NULL: everything is allowed; borrowed until done */
	/*
	 * When each node died, 0 for the living, and until when: whoever died later
	 * than 'time' is answered. So searches that began at different times are each
	 * right while a writer goes on. NULL: all live; borrowed until done.
	 */
	const uint64_t *died;
	uint64_t time;
	uint32_t dead_count; /* nodes dead at 'time', or fewer */
};

struct search_stats {
	uint64_t hops;      /* nodes expanded */
	uint64_t distances; /* vectors compared */
	uint64_t met;       /* nodes that were near enough to be remembered, up to 16,385 */
};

/* Returns 0, -EINVAL or -ENOMEM. */
int search_new(const struct search_limits *limits, struct search **ret_search);
void search_free(struct search *search);

/* Bytes that search_new() takes. */
uint64_t search_memory(const struct search_limits *limits);

/*
 * Starts over with a query of segment->dim finite floats, which is copied (and
 * normalised under cosine). Borrows the segment until the hits are read. The
 * segment and k must be within the machine's limits; an ef beyond them is
 * lowered to ef_max.
 *
 * With a filter the machine walks the graph or compares with every allowed
 * vector, whichever it expects to cost less, and so never finds fewer than k
 * while k are allowed.
 */
void search_begin(struct search *search, const struct segment *segment, const float *query,
		  const struct search_params *params);

/*
 * Leaves a node out of a search that was just begun, without a filter, as if it were
 * not in the index: neither met nor walked through, unless it is the entry point. So a row can
 * stand for a query that is none.
 */
void search_pass_over(struct search *search, uint32_t node);

/*
 * Runs to the next wanted records and prefetches them, or asks the segment's remote for them.
 * Returns true when done.
 */
bool search_step(struct search *search);

/*
 * Did the last step change nothing, because records of the remote are not here yet? Then it is to
 * be taken again when some have come. An answer doesn't depend on when they come.
 */
bool search_waits(const struct search *search);

/* Ends a search that isn't done, whose remote has failed, say; it has no hits. */
void search_abandon(struct search *search);

/*
 * Asks for what the next steps will want if the 'breadth' best candidates stay the best, so that
 * one round trip serves several hops. Changes nothing but what is fetched.
 */
void search_foresee(struct search *search, unsigned breadth);

/* Up to 'count' hits, nearest first; fewer only when fewer are allowed. Valid after done. */
unsigned search_hits(const struct search *search, struct search_hit *hits, unsigned count);

struct search_stats search_stats(const struct search *search);

/* Runs all of them to their end, interleaved. Not for remote segments. */
void search_burst(struct search *const *searches, unsigned count);

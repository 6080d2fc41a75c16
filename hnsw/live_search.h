/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Live_search - k nearest neighbours among everything that lives, as one machine
 *
 * Runs the search machine through one member after the other and keeps the k
 * best. It returns wherever that machine does, so that its caller can run
 * others meanwhile.
 *
 * A search is of the moment of its beginning, and pins what it searches until it
 * is done, begun anew or freed.
 *
 * Threads: a search belongs to one thread at a time, and any can have some.
 */

#include "hnsw/live.h"
#include "hnsw/search.h"

#include <stdbool.h>
#include <stdint.h>

struct live_search;

/* 'ef_max' also bounds k. Returns 0, -EINVAL, -ENOMEM, or -EAGAIN: LIVE_SEARCH_MAX are there. */
int live_search_new(struct live *live, uint32_t ef_max, struct live_search **ret_search);
void live_search_free(struct live_search *search);

/* As search_begin(); of 'params' k, ef and filter. An ef of 0 is the largest default there is. */
void live_search_begin(struct live_search *search, const float *query,
		       const struct search_params *params);

/* Runs until memory is waited for. Returns true when done. */
bool live_search_step(struct live_search *search);

/* Up to 'count' hits, nearest first; fewer only when fewer live and are allowed. After done. */
unsigned live_search_hits(const struct live_search *search, struct search_hit *hits,
			  unsigned count);

/* The moment of the search: all changes up to this number are in it. */
uint64_t live_search_time(const struct live_search *search);

/* Runs all of them to their end, interleaved. */
void live_search_burst(struct live_search *const *searches, unsigned count);

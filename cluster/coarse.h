/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Coarse - which shards a query should be sent to first
 *
 * A shard's coarse descriptor is a centroid summary (the body of a type 53
 * answer, kind 1): a few centroids, each with the number of its members and the
 * largest distance of one of them. Several centroids a shard, since a shard's
 * vectors are rarely one ball.
 *
 * A shard is as near to a query as its nearest centroid is. Distances are those
 * of base/metric.h; the radius too, so under L2 it is squared.
 *
 * coarse_set() may allocate; coarse_order() doesn't.
 *
 * Threads: a coarse belongs to one thread; encoding has no state.
 */

#include "base/metric.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	COARSE_E_MALFORMED = 1, /* not a centroid summary of that dimension */
};

/* What goes into a body: 'count' centroids of 'dim' floats each, row-major, not padded. */
struct coarse_summary {
	uint32_t dim;
	uint32_t count; /* at most VECTOR_CENTROID_MAX; 0 for a shard without vectors */
	const float *centroids;
	const uint32_t *member_counts;
	const float *radii;
};

/* Bytes of a body. */
size_t coarse_body_size(uint32_t dim, uint32_t count);

/* Returns the bytes written, or 0 when they don't fit. */
size_t coarse_body_encode(const struct coarse_summary *summary, uint8_t *to, size_t capacity);

struct coarse;

/* Knows nothing of its 'shard_count' shards yet. Returns 0, -EINVAL or -ENOMEM. */
int coarse_new(enum metric metric, uint32_t dim, uint32_t shard_count, struct coarse **ret_coarse);
void coarse_free(struct coarse *coarse);

/*
 * Takes in shard 'shard's descriptor, which replaces the one before. The body is
 * checked and copied; on failure what was known stays.
 *
 * Returns 0, COARSE_E_MALFORMED or -ENOMEM.
 */
int coarse_set(struct coarse *coarse, uint32_t shard, const uint8_t *body, size_t size);

/* Is there a descriptor of that shard? */
bool coarse_known(const struct coarse *coarse, uint32_t shard);

/*
 * Writes the numbers of all shards to 'order', the one to probe first in front.
 * Shards of which nothing is known come before all others, since nothing speaks
 * against them; shards without vectors come last; ties go by number.
 *
 * 'query' is 'dim' finite floats, not padded.
 */
void coarse_order(struct coarse *coarse, const float *query, uint32_t *order);

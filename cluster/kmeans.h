/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Kmeans - clusters of vectors, of equal size when asked for
 *
 * Lloyd's iteration from a k-means++ start. With a capacity, a price is put on
 * each cluster that is too full, until everybody's cheapest choice (distance and
 * price) leaves no cluster over it: the borders stay those of a power diagram,
 * instead of a few rows being thrown far away. What prices can't solve (many
 * equal rows) is moved one by one.
 *
 * Euclidean, or spherical: then rows are compared by direction, and centroids
 * have length 1 (a zero row is as far from all of them).
 *
 * The result depends on rows, options and seed alone, not on the workers.
 *
 * Threads: one call at a time with the same workers.
 */

#include "base/vector_source.h"
#include "hnsw/workers.h"

#include <stdbool.h>
#include <stdint.h>

#define KMEANS_CLUSTER_MAX 1024

/* How many clusters a row may choose from when there is a capacity. */
#define KMEANS_CHOICE_MAX 8

/* Rounds of pricing before rows are moved one by one: on real sets a handful of rows is left by
 * then. */
#define KMEANS_PRICE_ROUND_MAX 50

/* Some rows of a matrix. */
struct kmeans_rows {
	struct vector_source source;
	const uint32_t *picks; /* numbers of the rows that count; NULL: 0 to count - 1 */
	uint32_t count;
};

struct kmeans_options {
	uint32_t cluster_count; /* 1 to KMEANS_CLUSTER_MAX */
	uint32_t capacity;      /* rows a cluster can have; 0: as they come */
	uint32_t sample_max;    /* rows to train on, at most; 0: all */
	uint32_t iteration_max;
	uint64_t seed;
	bool spherical;
};

/*
 * Writes the number of its cluster for each of the rows. Clusters may end empty.
 *
 * Returns 0, -EINVAL (no such number of clusters, or capacity too small for the
 * rows) or -ENOMEM.
 */
int kmeans_run(const struct kmeans_rows *rows, const struct kmeans_options *options,
	       struct workers *workers, uint32_t *clusters);

/* Bytes that it takes meanwhile, at most, with that many workers. */
uint64_t kmeans_memory(const struct kmeans_rows *rows, const struct kmeans_options *options,
		       uint32_t threads);

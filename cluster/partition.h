/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Partition - which shard each vector of a collection goes to
 *
 * By k-means, near vectors share a shard and all shards have about the same
 * number (cluster/kmeans.h), so that a query finds most of its neighbours in few
 * shards; by hash, they are spread evenly whatever they are, and a query must ask
 * all shards. A shard's summary says where its vectors lie (cluster/coarse.h).
 *
 * Under L2 clusters are Euclidean, else spherical. The result depends on rows,
 * options and seed alone, not on the number of threads.
 *
 * Threads: one call at a time with the same workers.
 */

#include "base/metric.h"
#include "base/vector_source.h"
#include "cluster/manifest.h"
#include "hnsw/workers.h"

#include <stddef.h>
#include <stdint.h>

/* Under k-means a shard has at most 1/20 more than its share of the vectors. */
#define PARTITION_SLACK 20

/* Rows that clusters are trained on, at most. */
#define PARTITION_SAMPLE_MAX 65536

struct partition_options {
	enum manifest_partition kind;
	enum metric metric;
	uint32_t shard_count;    /* 1 to MANIFEST_SHARD_MAX */
	uint32_t centroid_count; /* centroids of a shard's summary; 0: 16 */
	uint64_t seed;
};

/* The rows of shard i are rows[starts[i]] to rows[starts[i + 1] - 1], ascending. */
struct partition {
	uint32_t shard_count;
	uint32_t *rows;   /* owned */
	uint32_t *starts; /* owned; shard_count + 1 */
};

/*
 * Distributes 'count' vectors.
 *
 * Returns 0, -EINVAL (an option is out of range) or -ENOMEM.
 */
int partition_rows(const struct vector_source *vectors, uint32_t count,
		   const struct partition_options *options, struct workers *workers,
		   struct partition *ret_partition);
void partition_deinit(struct partition *partition);

/*
 * Makes the centroid summary of a shard: the body of a type 53 answer. The
 * caller owns '*ret_body' and frees it.
 *
 * Returns 0, -EINVAL or -ENOMEM.
 */
int partition_summary(const struct vector_source *vectors, const struct partition *partition,
		      uint32_t shard, const struct partition_options *options,
		      struct workers *workers, uint8_t **ret_body, size_t *ret_size);

/* Bytes that either takes, at most, with that many workers; the partition is in it. */
uint64_t partition_memory(const struct vector_source *vectors, uint32_t count,
			  const struct partition_options *options, uint32_t threads);

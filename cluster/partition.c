/* SPDX-License-Identifier: Apache-2.0 */

#include "cluster/partition.h"

#include "base/check.h"
#include "base/hash.h"
#include "cluster/coarse.h"
#include "cluster/kmeans.h"
#include "hnsw/truth.h"
#include "proto/payload_vector.h"

#include <assert.h>
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CENTROIDS_DEFAULT 16
#define ITERATION_MAX     25

static_assert(MANIFEST_SHARD_MAX <= KMEANS_CLUSTER_MAX, "a cluster a shard");
static_assert(VECTOR_CENTROID_MAX <= KMEANS_CLUSTER_MAX, "a cluster a centroid");

/* Fills starts and rows from the shard of each row. */
static int list_rows(const uint32_t *shards, uint32_t count, uint32_t shard_count,
		     struct partition *ret_partition)
{
	uint32_t *starts = calloc((size_t)shard_count + 2, sizeof(*starts));
	uint32_t *rows = calloc((size_t)count + 1, sizeof(*rows));

	if (!starts || !rows) {
		free(starts);
		free(rows);
		return -ENOMEM;
	}
	/* Counted two places on and summed up, starts[s + 1] is where shard s's next row goes. */
	for (uint32_t i = 0; i < count; i++)
		starts[shards[i] + 2]++;
	for (uint32_t s = 0; s < shard_count; s++)
		starts[s + 2] += starts[s + 1];
	for (uint32_t i = 0; i < count; i++)
		rows[starts[shards[i] + 1]++] = i;
	*ret_partition =
		(struct partition){.shard_count = shard_count, .rows = rows, .starts = starts};
	return 0;
}

static struct kmeans_options kmeans_options(uint32_t count, const struct partition_options *options)
{
	uint64_t share = ((uint64_t)count + options->shard_count - 1) / options->shard_count;

	return (struct kmeans_options){
		.cluster_count = options->shard_count,
		.capacity = (uint32_t)(share + share / PARTITION_SLACK),
		.sample_max = PARTITION_SAMPLE_MAX,
		.iteration_max = ITERATION_MAX,
		.seed = options->seed,
		.spherical = options->metric != METRIC_L2,
	};
}

static int cluster_rows(const struct vector_source *vectors, uint32_t count,
			const struct partition_options *options, struct workers *workers,
			uint32_t *shards)
{
	const struct kmeans_rows rows = {.source = *vectors, .count = count};
	const struct kmeans_options kmeans = kmeans_options(count, options);

	return kmeans_run(&rows, &kmeans, workers, shards);
}

int partition_rows(const struct vector_source *vectors, uint32_t count,
		   const struct partition_options *options, struct workers *workers,
		   struct partition *ret_partition)
{
	uint32_t *shards;
	int result = 0;

	if (options->shard_count < 1 || options->shard_count > MANIFEST_SHARD_MAX)
		return -EINVAL;
	shards = calloc((size_t)count + 1, sizeof(*shards));
	if (!shards)
		return -ENOMEM;
	if (options->kind == MANIFEST_PARTITION_HASH)
		for (uint32_t i = 0; i < count; i++)
			shards[i] =
				(uint32_t)(hash_mix64(options->seed + i) % options->shard_count);
	else
		result = cluster_rows(vectors, count, options, workers, shards);
	if (!result)
		result = list_rows(shards, count, options->shard_count, ret_partition);
	free(shards);
	return result;
}

void partition_deinit(struct partition *partition)
{
	free(partition->rows);
	free(partition->starts);
	*partition = (struct partition){0};
}

/* A shard's clusters while its summary is made. */
struct summary {
	const struct vector_source *vectors;
	float *scratch; /* owned: a row */
	uint32_t dim, count, centroid_count;
	enum metric metric;
	const uint32_t *rows; /* of the shard */
	uint32_t *clusters;   /* of each of them */
	float *centroids;
	uint32_t *member_counts;
	float *radii;
};

/* The shard's row 'index', until the next. */
static const float *member(const struct summary *summary, uint32_t index)
{
	return vector_source_row(summary->vectors, summary->rows[index], summary->scratch);
}

/* The mean of the members; their number is known. Cosine compares directions, so there each counts
 * alike. */
static void centroid_sum(struct summary *summary, uint32_t cluster, double *sums)
{
	float *centroid = summary->centroids + (size_t)cluster * summary->dim;

	memset(sums, 0, summary->dim * sizeof(*sums));
	for (uint32_t i = 0; i < summary->count; i++) {
		const float *row = member(summary, i);
		double weight = 1, square = 0;

		if (summary->clusters[i] != cluster)
			continue;
		if (summary->metric == METRIC_COSINE) {
			for (uint32_t d = 0; d < summary->dim; d++)
				square += (double)row[d] * row[d];
			weight = square > 0 ? 1 / sqrt(square) : 0;
		}
		for (uint32_t d = 0; d < summary->dim; d++)
			sums[d] += row[d] * weight;
	}
	for (uint32_t d = 0; d < summary->dim; d++)
		centroid[d] = (float)(sums[d] / summary->member_counts[cluster]);
}

static void measure_radii(struct summary *summary)
{
	for (uint32_t c = 0; c < summary->centroid_count; c++)
		summary->radii[c] = -FLT_MAX;
	for (uint32_t i = 0; i < summary->count; i++) {
		uint32_t c = summary->clusters[i];
		double distance =
			truth_distance(summary->metric, member(summary, i),
				       summary->centroids + (size_t)c * summary->dim, summary->dim);

		/* Rounded up, so that no member is outside. */
		distance = MIN(MAX(distance, -FLT_MAX), FLT_MAX);
		summary->radii[c] = MAX(summary->radii[c], nextafterf((float)distance, FLT_MAX));
	}
}

/* Numbers the clusters anew so that those without members fall out. */
static void drop_empty(struct summary *summary, uint32_t *numbers)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < summary->count; i++)
		summary->member_counts[summary->clusters[i]]++;
	for (uint32_t c = 0; c < summary->centroid_count; c++) {
		numbers[c] = kept;
		if (summary->member_counts[c])
			summary->member_counts[kept++] = summary->member_counts[c];
	}
	for (uint32_t i = 0; i < summary->count; i++)
		summary->clusters[i] = numbers[summary->clusters[i]];
	summary->centroid_count = kept;
}

static int summary_cluster(struct summary *summary, uint64_t seed, struct workers *workers)
{
	const struct kmeans_rows rows = {
		.source = *summary->vectors,
		.picks = summary->rows,
		.count = summary->count,
	};
	const struct kmeans_options options = {
		.cluster_count = summary->centroid_count,
		.sample_max = PARTITION_SAMPLE_MAX,
		.iteration_max = ITERATION_MAX,
		.seed = seed,
		.spherical = summary->metric != METRIC_L2,
	};

	return kmeans_run(&rows, &options, workers, summary->clusters);
}

static int summary_encode(const struct summary *summary, uint8_t **ret_body, size_t *ret_size)
{
	const struct coarse_summary coarse = {
		.dim = summary->dim,
		.count = summary->centroid_count,
		.centroids = summary->centroids,
		.member_counts = summary->member_counts,
		.radii = summary->radii,
	};
	size_t size = coarse_body_size(summary->dim, summary->centroid_count);
	uint8_t *body = malloc(size);

	if (!body)
		return -ENOMEM;
	*ret_size = coarse_body_encode(&coarse, body, size);
	CHECK(*ret_size == size);
	*ret_body = body;
	return 0;
}

int partition_summary(const struct vector_source *vectors, const struct partition *partition,
		      uint32_t shard, const struct partition_options *options,
		      struct workers *workers, uint8_t **ret_body, size_t *ret_size)
{
	const uint32_t dim = vectors->dim;
	uint32_t k = options->centroid_count ? options->centroid_count : CENTROIDS_DEFAULT;
	struct summary summary = {
		.vectors = vectors,
		.dim = dim,
		.metric = options->metric,
		.rows = partition->rows + partition->starts[shard],
		.count = partition->starts[shard + 1] - partition->starts[shard],
	};
	double *sums = calloc(dim, sizeof(*sums));
	uint32_t *numbers;
	int result = -ENOMEM;

	if (k > VECTOR_CENTROID_MAX) {
		free(sums);
		return -EINVAL;
	}
	summary.centroid_count = k;
	summary.scratch = calloc(dim, sizeof(*summary.scratch));
	numbers = calloc(k, sizeof(*numbers));
	summary.clusters = calloc((size_t)summary.count + 1, sizeof(*summary.clusters));
	summary.centroids = calloc((size_t)k * dim, sizeof(*summary.centroids));
	summary.member_counts = calloc(k, sizeof(*summary.member_counts));
	summary.radii = calloc(k, sizeof(*summary.radii));
	if (sums && numbers && summary.scratch && summary.clusters && summary.centroids &&
	    summary.member_counts && summary.radii)
		result = summary_cluster(&summary, options->seed + shard, workers);
	if (!result) {
		drop_empty(&summary, numbers);
		for (uint32_t c = 0; c < summary.centroid_count; c++)
			centroid_sum(&summary, c, sums);
		measure_radii(&summary);
		result = summary_encode(&summary, ret_body, ret_size);
	}
	free(sums);
	free(numbers);
	free(summary.scratch);
	free(summary.clusters);
	free(summary.centroids);
	free(summary.member_counts);
	free(summary.radii);
	return result;
}

/* A summary's clusters are of a shard's rows, so that partitioning all takes more. */
uint64_t partition_memory(const struct vector_source *vectors, uint32_t count,
			  const struct partition_options *options, uint32_t threads)
{
	uint32_t k = options->centroid_count ? options->centroid_count : CENTROIDS_DEFAULT;
	const struct kmeans_rows rows = {.source = *vectors, .count = count};
	struct kmeans_options kmeans = kmeans_options(count, options);
	uint64_t lists = 2 * sizeof(uint32_t) * ((uint64_t)count + 1);

	kmeans.cluster_count = MAX(kmeans.cluster_count, k);
	return lists + kmeans_memory(&rows, &kmeans, threads) + coarse_body_size(vectors->dim, k);
}

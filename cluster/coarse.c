/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Coarse
 *
 * Centroids are kept padded for the distance kernels, and with length 1 under
 * cosine. The query's length scales all cosine distances alike, so it is left out.
 */

#include "cluster/coarse.h"

#include "base/byteorder.h"
#include "base/check.h"
#include "hnsw/dist.h"
#include "proto/payload_vector.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

struct coarse_shard {
	float *centroids; /* owned; padded rows */
	uint32_t count;
	bool known;
	float score; /* of the latest query */
};

struct coarse {
	enum metric metric;
	uint32_t dim;
	uint32_t shard_count;
	size_t padded; /* floats of a padded row */
	struct dist_measure measure;
	float *query; /* owned; padded */
	struct coarse_shard *shards;
};

size_t coarse_body_size(uint32_t dim, uint32_t count)
{
	return CENTROID_BODY_HEAD + (size_t)count * (CENTROID_ROW_HEAD + (size_t)dim * 4);
}

size_t coarse_body_encode(const struct coarse_summary *summary, uint8_t *to, size_t capacity)
{
	size_t size = coarse_body_size(summary->dim, summary->count);

	if (size > capacity)
		return 0;
	store_le32(to, summary->count);
	store_le32(to + 4, 0);
	to += CENTROID_BODY_HEAD;
	for (uint32_t i = 0; i < summary->count; i++) {
		store_le32(to, summary->member_counts[i]);
		store_lef32(to + 4, summary->radii[i]);
		to += CENTROID_ROW_HEAD;
		for (uint32_t d = 0; d < summary->dim; d++, to += 4)
			store_lef32(to, summary->centroids[(size_t)i * summary->dim + d]);
	}
	return size;
}

/* Zeroed floats, aligned for the distance kernels. */
static float *floats_new(size_t count)
{
	size_t size = align_up(count * sizeof(float) + 1, CACHE_LINE);
	float *floats = aligned_alloc(CACHE_LINE, size);

	if (floats)
		memset(floats, 0, size);
	return floats;
}

int coarse_new(enum metric metric, uint32_t dim, uint32_t shard_count, struct coarse **ret_coarse)
{
	struct coarse *coarse;

	if (metric >= METRIC_COUNT || dim < 1 || dim > VECTOR_DIM_MAX || shard_count < 1)
		return -EINVAL;
	coarse = calloc(1, sizeof(*coarse));
	if (!coarse)
		return -ENOMEM;
	*coarse = (struct coarse){
		.metric = metric,
		.dim = dim,
		.shard_count = shard_count,
		.padded = dist_padded(dim),
		.measure = dist_measure(dist_best(), metric),
	};
	coarse->query = floats_new(coarse->padded);
	coarse->shards = calloc(shard_count, sizeof(*coarse->shards));
	if (!coarse->query || !coarse->shards) {
		coarse_free(coarse);
		return -ENOMEM;
	}
	*ret_coarse = coarse;
	return 0;
}

void coarse_free(struct coarse *coarse)
{
	if (!coarse)
		return;
	for (uint32_t i = 0; coarse->shards && i < coarse->shard_count; i++)
		free(coarse->shards[i].centroids);
	free(coarse->shards);
	free(coarse->query);
	free(coarse);
}

static void normalise(float *vector, uint32_t dim)
{
	double sum = 0;

	for (uint32_t i = 0; i < dim; i++)
		sum += (double)vector[i] * vector[i];
	for (uint32_t i = 0; sum > 0 && i < dim; i++)
		vector[i] = (float)(vector[i] / sqrt(sum));
}

int coarse_set(struct coarse *coarse, uint32_t shard, const uint8_t *body, size_t size)
{
	struct coarse_shard *to = &coarse->shards[shard];
	float *centroids;
	uint32_t count;

	DCHECK(shard < coarse->shard_count);
	if (centroid_body_check(body, size, coarse->dim, &count))
		return COARSE_E_MALFORMED;
	centroids = floats_new(count * coarse->padded);
	if (!centroids)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		struct centroid_row row = centroid_body_row(body, coarse->dim, i);
		float *at = centroids + i * coarse->padded;

		for (uint32_t d = 0; d < coarse->dim; d++)
			at[d] = load_lef32(row.floats + 4 * (size_t)d);
		if (coarse->metric == METRIC_COSINE)
			normalise(at, coarse->dim);
	}
	free(to->centroids);
	to->centroids = centroids;
	to->count = count;
	to->known = true;
	return 0;
}

bool coarse_known(const struct coarse *coarse, uint32_t shard)
{
	DCHECK(shard < coarse->shard_count);
	return coarse->shards[shard].known;
}

/* The distance of the nearest centroid, but for what all of them have in common. */
static float score(const struct coarse *coarse, const struct coarse_shard *shard)
{
	float best = INFINITY;

	if (!shard->known)
		return -INFINITY;
	for (uint32_t i = 0; i < shard->count; i++) {
		const float *centroid = shard->centroids + i * coarse->padded;
		float here =
			dist_between(&coarse->measure, coarse->query, centroid, coarse->padded);

		best = MIN(best, here);
	}
	return best;
}

void coarse_order(struct coarse *coarse, const float *query, uint32_t *order)
{
	memcpy(coarse->query, query, coarse->dim * sizeof(*query));
	for (uint32_t i = 0; i < coarse->shard_count; i++) {
		uint32_t at = i;

		coarse->shards[i].score = score(coarse, &coarse->shards[i]);
		/* Insertion: shards are few, and equal scores stay in their order. */
		for (; at > 0 && coarse->shards[order[at - 1]].score > coarse->shards[i].score;
		     at--)
			order[at] = order[at - 1];
		order[at] = i;
	}
}

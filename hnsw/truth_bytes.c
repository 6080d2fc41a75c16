/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/truth_bytes.h"

#include "base/check.h"
#include "hnsw/convert.h"
#include "hnsw/dist_batch.h"
#include "hnsw/truth_hits.h"

#include <errno.h>
#include <float.h>
#include <stdlib.h>
#include <string.h>

/* With fewer queries most of a batch is empty, and copying the vectors costs more than it wins. */
#define TRUTH_QUERIES_MIN 8

/* Batches of an item: rows come from memory once for all of them. Fewer, when threads are idle. */
#define TRUTH_BATCHES_MAX 4

/* Rows multiplied at a time: with their products they stay in the second-level cache. */
#define TRUTH_ROWS 64

/* What f32 may be off in a cosine: three roundings of 2^-24, of a value that is at most 1. */
#define TRUTH_SLACK 1e-6

/* Rows of bytes, padded. */
struct side {
	uint8_t *rows;
	int32_t *squares; /* each row's product with itself */
	uint32_t count;
};

struct truth_bytes {
	enum metric metric;
	enum vector_type type;
	uint32_t dim;
	size_t row_size;
	uint32_t k;
	uint32_t batches; /* of an item */
	struct side base;
	struct side queries;
	float *scales;   /* of rows of the base: one over the norm under cosine, else 1 */
	uint8_t *packed; /* 'batches' for each worker */
};

/* Up to DIST_BATCH_QUERIES queries, and what rows must be below to be among their hits. */
struct group {
	struct dist_batch batch;
	uint32_t first;
	uint32_t count;
	uint32_t adds[DIST_BATCH_QUERIES];
	float limits[DIST_BATCH_QUERIES]; /* beyond 'count': nothing is */
	double norms[DIST_BATCH_QUERIES];
};

/* Fills rows until one doesn't fit. */
static bool fill(const struct truth_bytes *bytes, const float *values, struct side *side)
{
	for (uint32_t i = 0; i < side->count; i++) {
		uint8_t *row = side->rows + i * bytes->row_size;

		if (!convert_bytes(bytes->type, values + (size_t)i * bytes->dim, bytes->dim, row))
			return false;
		side->squares[i] = dist_square(bytes->type, row, bytes->row_size);
	}
	return true;
}

static bool fill_both(struct truth_bytes *bytes, const struct truth_input *input,
		      enum vector_type type)
{
	bytes->type = type;
	return fill(bytes, input->queries, &bytes->queries) &&
	       fill(bytes, input->base, &bytes->base);
}

static int side_init(struct side *side, uint32_t count, size_t row_size)
{
	side->count = count;
	side->rows = aligned_alloc(DIST_ALIGN, MAX(count, 1U) * row_size);
	side->squares = malloc(MAX(count, 1U) * sizeof(*side->squares));
	return side->rows && side->squares ? 0 : -ENOMEM;
}

static void side_deinit(struct side *side)
{
	free(side->rows);
	free(side->squares);
}

static void fill_scales(struct truth_bytes *bytes)
{
	for (uint32_t i = 0; i < bytes->base.count; i++) {
		int32_t square = bytes->base.squares[i];

		bytes->scales[i] = 1;
		if (bytes->metric == METRIC_COSINE)
			bytes->scales[i] = square > 0 ? (float)(1 / sqrt(square)) : 0;
	}
}

static int allocate(struct truth_bytes *bytes, const struct truth_input *input, uint32_t workers)
{
	size_t packed = bytes->batches * dist_batch_size(bytes->row_size);

	if (side_init(&bytes->base, input->base_count, bytes->row_size) ||
	    side_init(&bytes->queries, input->query_count, bytes->row_size))
		return -ENOMEM;
	bytes->scales = malloc(MAX(input->base_count, 1U) * sizeof(*bytes->scales));
	bytes->packed = aligned_alloc(DIST_ALIGN, workers * packed);
	return bytes->scales && bytes->packed ? 0 : -ENOMEM;
}

/* At least two items for each worker, so that none waits long for the last one. */
static uint32_t batches_of(uint32_t query_count, uint32_t workers)
{
	uint32_t batches = query_count / (2 * workers * DIST_BATCH_QUERIES);

	return MAX(1U, MIN(batches, TRUTH_BATCHES_MAX));
}

int truth_bytes_new(const struct truth_input *input, const struct truth_options *options,
		    uint32_t workers, struct truth_bytes **ret_bytes)
{
	struct truth_bytes *bytes;
	int error;

	if (input->query_count < TRUTH_QUERIES_MIN || input->dim > DIST_DIM_MAX)
		return TRUTH_BYTES_E_FLOATS;
	bytes = calloc(1, sizeof(*bytes));
	if (!bytes)
		return -ENOMEM;
	bytes->metric = options->metric;
	bytes->dim = input->dim;
	bytes->row_size = dist_row_size(VECTOR_U8, input->dim);
	bytes->k = options->k;
	bytes->batches = batches_of(input->query_count, workers);
	error = allocate(bytes, input, workers);
	if (!error && !fill_both(bytes, input, VECTOR_U8) && !fill_both(bytes, input, VECTOR_I8))
		error = TRUTH_BYTES_E_FLOATS;
	if (error) {
		truth_bytes_free(bytes);
		return error;
	}
	fill_scales(bytes);
	*ret_bytes = bytes;
	return 0;
}

void truth_bytes_free(struct truth_bytes *bytes)
{
	if (!bytes)
		return;
	side_deinit(&bytes->base);
	side_deinit(&bytes->queries);
	free(bytes->scales);
	free(bytes->packed);
	free(bytes);
}

uint32_t truth_bytes_queries(const struct truth_bytes *bytes)
{
	return bytes->batches * DIST_BATCH_QUERIES;
}

/*
 * A row's score beside a query is (float)(add of both - gain * product) * scale: the
 * distance itself, rounded, or under cosine -<a, b> / |b|. Rounding keeps the order
 * of integers, so whatever is nearer than the k-th hit has a score of at most this.
 */
static float limit_of(const struct truth_bytes *bytes, double distance, double norm)
{
	if (distance > FLT_MAX)
		return INFINITY;
	if (bytes->metric == METRIC_COSINE)
		return (float)((distance - 1 + TRUTH_SLACK) * norm);
	return (float)distance;
}

static void group_init(struct group *group, const struct truth_bytes *bytes, uint8_t *packed,
		       uint32_t first)
{
	const struct side *queries = &bytes->queries;

	dist_batch_init(&group->batch, dist_batch_best(), bytes->type, bytes->row_size, packed);
	group->first = first;
	group->count = MIN(queries->count - first, DIST_BATCH_QUERIES);
	for (uint32_t i = 0; i < DIST_BATCH_QUERIES; i++) {
		group->adds[i] = 0;
		group->limits[i] = -INFINITY;
	}
	for (uint32_t i = 0; i < group->count; i++) {
		int32_t square = queries->squares[first + i];

		dist_batch_set(&group->batch, i, queries->rows + (first + i) * bytes->row_size);
		group->adds[i] = bytes->metric == METRIC_L2 ? (uint32_t)square : 0;
		group->limits[i] = INFINITY;
		group->norms[i] = sqrt(square);
	}
}

/* A row of the base, and what its scores are made of. */
struct candidate {
	uint32_t row;
	uint32_t add;
	unsigned gain_shift;
	float scale;
};

static inline bool is_near(const struct group *group, uint32_t index,
			   const struct candidate *candidate, int32_t product)
{
	uint32_t score =
		candidate->add + group->adds[index] - ((uint32_t)product << candidate->gain_shift);

	return (float)(int32_t)score * candidate->scale <= group->limits[index];
}

/* Is it within any query's limit? Counted without a branch, so that the compiler can do many at
 * once. */
static bool any_near(const struct group *group, const struct candidate *candidate,
		     const int32_t *products)
{
	const struct candidate own = *candidate;
	int any = 0;

	for (uint32_t i = 0; i < DIST_BATCH_QUERIES; i++)
		any |= is_near(group, i, &own, products[i]);
	return any;
}

static double distance_of(const struct truth_bytes *bytes, const struct group *group,
			  uint32_t index, uint32_t row, int32_t product)
{
	int32_t square = bytes->base.squares[row];

	switch (bytes->metric) {
	case METRIC_L2:
		return dist_batch_l2((int32_t)group->adds[index], square, product);
	case METRIC_COSINE:
		return truth_cosine(product, group->norms[index], sqrt(square));
	default:
		return -(double)product;
	}
}

static void offer(const struct truth_bytes *bytes, struct group *group,
		  const struct candidate *candidate, const int32_t *products,
		  struct truth_hit *hits)
{
	const uint32_t k = bytes->k, row = candidate->row;

	for (uint32_t i = 0; i < group->count; i++) {
		struct truth_hit *own = hits + (size_t)(group->first + i) * k;

		if (!is_near(group, i, candidate, products[i]))
			continue;
		truth_hits_offer(
			own, k,
			(struct truth_hit){row, distance_of(bytes, group, i, row, products[i])});
		group->limits[i] = limit_of(bytes, own[k - 1].distance, group->norms[i]);
	}
}

static void offer_rows(const struct truth_bytes *bytes, struct group *group, uint32_t first,
		       uint32_t count, struct truth_hit *hits)
{
	const struct dist_batch_rows rows = {bytes->base.rows + first * bytes->row_size,
					     bytes->row_size, count};
	const bool squared = bytes->metric == METRIC_L2;
	int32_t products[TRUTH_ROWS * DIST_BATCH_QUERIES];

	dist_batch_products(&group->batch, &rows, products);
	for (uint32_t i = 0; i < count; i++) {
		const int32_t *own = products + (size_t)i * DIST_BATCH_QUERIES;
		const struct candidate candidate = {
			.row = first + i,
			.add = squared ? (uint32_t)bytes->base.squares[first + i] : 0,
			.gain_shift = squared,
			.scale = bytes->scales[first + i],
		};

		if (any_near(group, &candidate, own))
			offer(bytes, group, &candidate, own, hits);
	}
}

void truth_bytes_item(const struct truth_bytes *bytes, uint32_t worker, uint32_t item,
		      struct truth_hit *hits)
{
	const uint32_t first = item * truth_bytes_queries(bytes);
	const size_t packed_size = dist_batch_size(bytes->row_size);
	uint8_t *packed = bytes->packed + worker * bytes->batches * packed_size;
	struct group groups[TRUTH_BATCHES_MAX];
	uint32_t count = 0;

	for (uint32_t at = first; count < bytes->batches && at < bytes->queries.count;
	     at += DIST_BATCH_QUERIES, count++) {
		group_init(&groups[count], bytes, packed + count * packed_size, at);
		truth_hits_clear(hits + (size_t)at * bytes->k, groups[count].count * bytes->k);
	}
	for (uint32_t row = 0; row < bytes->base.count; row += TRUTH_ROWS)
		for (uint32_t i = 0; i < count; i++)
			offer_rows(bytes, &groups[i], row, MIN(bytes->base.count - row, TRUTH_ROWS),
				   hits);
}

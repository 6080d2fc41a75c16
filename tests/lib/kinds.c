/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/kinds.h"

#include "base/defs.h"
#include "hnsw/truth.h"
#include "tests/lib/index.h"
#include "tests/lib/test.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* Under each metric. */
#define KINDS_OF(type, rows, layout)                                                               \
	{METRIC_L2, type, rows, layout}, {METRIC_COSINE, type, rows, layout},                      \
	{                                                                                          \
		METRIC_IP, type, rows, layout                                                      \
	}

const struct kind kinds[] = {
	KINDS_OF(VECTOR_F32, BUILD_ROWS_COMPACT, BUILD_LAYOUT_PLAIN),
	KINDS_OF(VECTOR_F32, BUILD_ROWS_FULL, BUILD_LAYOUT_PLAIN),
	KINDS_OF(VECTOR_F32, BUILD_ROWS_COMPACT, BUILD_LAYOUT_EDGES),
	KINDS_OF(VECTOR_F32, BUILD_ROWS_FULL, BUILD_LAYOUT_EDGES),
	KINDS_OF(VECTOR_F16, BUILD_ROWS_FULL, BUILD_LAYOUT_PLAIN),
	KINDS_OF(VECTOR_F16, BUILD_ROWS_FULL, BUILD_LAYOUT_EDGES),
	KINDS_OF(VECTOR_BF16, BUILD_ROWS_FULL, BUILD_LAYOUT_PLAIN),
	KINDS_OF(VECTOR_I8, BUILD_ROWS_FULL, BUILD_LAYOUT_PLAIN),
	KINDS_OF(VECTOR_I8, BUILD_ROWS_FULL, BUILD_LAYOUT_EDGES),
	KINDS_OF(VECTOR_U8, BUILD_ROWS_FULL, BUILD_LAYOUT_PLAIN),
	KINDS_OF(VECTOR_U8, BUILD_ROWS_FULL, BUILD_LAYOUT_EDGES),
	{METRIC_L2, VECTOR_B1, BUILD_ROWS_FULL, BUILD_LAYOUT_PLAIN},
};
const unsigned kinds_count = ARRAY_COUNT(kinds);

void kinds_name(const struct kind *kind, char *name, size_t size)
{
	snprintf(name, size, "%s%s%s, %s", vector_type_name(kind->type),
		 kind->rows == BUILD_ROWS_COMPACT ? " compact" : "",
		 kind->layout == BUILD_LAYOUT_EDGES ? " edges" : "", metric_name(kind->metric));
}

/* 'value' is in [-1, 1). */
static float fit(enum vector_type type, float value)
{
	switch (type) {
	case VECTOR_I8:
		return rintf(value * 127);
	case VECTOR_U8:
		return rintf((value + 1) * 127);
	case VECTOR_B1:
		return value > 0 ? 1 : 0;
	default:
		return value;
	}
}

float *kinds_vectors(enum vector_type type, uint32_t count, uint32_t dim, uint64_t seed)
{
	float *rows = index_rows(count, dim, seed);

	for (size_t i = 0; i < (size_t)count * dim; i++)
		rows[i] = fit(type, rows[i]);
	return rows;
}

void kinds_build(const struct kind *kind, const struct kinds_input *input,
		 struct build_image *ret_image, struct segment *ret_segment)
{
	const struct build_options options = {
		.metric = kind->metric,
		.type = kind->type,
		.rows = kind->rows,
		.layout = kind->layout,
		.order = input->order,
		.threads = input->threads,
		.m = 8,
		.ef_construction = 60,
		.seed = 7,
	};
	char error[200] = "";
	uint64_t bad_row;
	int result;

	assert_int_equal(build_segment(input->rows, NULL, input->count, input->dim, &options,
				       ret_image, &bad_row),
			 0);
	result = segment_attach(ret_image->bytes, ret_image->size, ret_segment, error,
				sizeof(error));
	if (result)
		print_error("%s\n", error);
	assert_int_equal(result, 0);
	assert_int_equal(ret_segment->type, kind->type);
	assert_int_equal(ret_segment->metric, kind->metric);
}

unsigned kinds_ask(struct search *search, const struct segment *segment, const float *query,
		   const struct search_params *params, struct search_hit *hits)
{
	search_begin(search, segment, query, params);
	search_burst(&search, 1);
	return search_hits(search, hits, params->k);
}

static int compare_doubles(const void *a, const void *b)
{
	const double *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

static bool is_float(enum vector_type type)
{
	return type == VECTOR_F32 || type == VECTOR_F16 || type == VECTOR_BF16;
}

/*
 * Distances of every row to a query. Rows of floats are normalised under cosine, as
 * nearly as their type can, and are taken to be.
 */
static void measure_all(const struct segment *segment, const float *query, double *distances)
{
	bool normalised = segment->metric == METRIC_COSINE && is_float(segment->type);
	float *row = calloc(segment->dim, sizeof(*row));
	double square = 0;

	assert_non_null(row);
	for (uint32_t i = 0; i < segment->dim; i++)
		square += (double)query[i] * (double)query[i];
	for (uint32_t node = 0; node < segment->count; node++) {
		segment_vector(segment, node, row);
		distances[node] = truth_distance(normalised ? METRIC_IP : segment->metric, query,
						 row, segment->dim);
		if (normalised)
			distances[node] = 1 + (square > 0 ? distances[node] / sqrt(square) : 0);
	}
	free(row);
}

/* Sums in f32 are right to a few units in the last place of what is summed. */
static double rounding(const struct segment *segment, const float *query, double distance)
{
	double size = fabs(distance);

	if (segment->metric != METRIC_COSINE)
		for (uint32_t i = 0; i < segment->dim; i++)
			size += (double)query[i] * (double)query[i];
	return 2e-6 * (1 + size);
}

double kinds_recall(const struct segment *segment, const float *queries, uint32_t query_count,
		    const struct search_params *params)
{
	double *distances = malloc((segment->count + 1) * sizeof(*distances));
	double *sorted = malloc((segment->count + 1) * sizeof(*sorted));
	struct search_hit *hits = malloc((params->k + 1) * sizeof(*hits));
	uint32_t wanted = MIN(params->k, segment->count);
	struct search *search = index_search(segment);
	uint64_t right = 0;

	assert_true(distances && sorted && hits);
	for (uint32_t i = 0; i < query_count; i++) {
		const float *query = queries + (size_t)i * segment->dim;
		unsigned count = kinds_ask(search, segment, query, params, hits);

		assert_int_equal(count, wanted);
		measure_all(segment, query, distances);
		for (uint32_t node = 0; node < segment->count; node++)
			sorted[node] = distances[node];
		qsort(sorted, segment->count, sizeof(sorted[0]), compare_doubles);
		for (unsigned j = 0; j < count; j++) {
			double distance = distances[hits[j].label];
			double slack = rounding(segment, query, distance);

			assert_true(fabs(distance - (double)hits[j].distance) <= slack);
			right += distance <= sorted[wanted - 1] + slack;
			if (j > 0)
				assert_true(search_hit_before(&hits[j - 1], &hits[j]));
		}
	}
	search_free(search);
	free(distances);
	free(sorted);
	free(hits);
	return wanted && query_count ? (double)right / ((double)wanted * query_count) : 1;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/defs.h"
#include "base/rand.h"
#include "hnsw/truth.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROWS    500
#define QUERIES 300
#define DIM     13
#define K       7

/* Values of few kinds, so that many distances are equal. */
static float *coarse_rows(uint32_t count, uint64_t seed)
{
	float *rows = malloc((size_t)count * DIM * sizeof(*rows));
	struct rand rand;

	assert_non_null(rows);
	rand_init(&rand, seed);
	for (size_t i = 0; i < (size_t)count * DIM; i++)
		rows[i] = (float)rand_below(&rand, 3) - 1;
	return rows;
}

static double plain_distance(enum metric metric, const float *a, const float *b)
{
	double squares = 0, product = 0, aa = 0, bb = 0;

	for (unsigned i = 0; i < DIM; i++) {
		squares += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
		product += (double)a[i] * (double)b[i];
		aa += (double)a[i] * (double)a[i];
		bb += (double)b[i] * (double)b[i];
	}
	if (metric == METRIC_L2)
		return squares;
	if (metric == METRIC_IP)
		return -product;
	return aa > 0 && bb > 0 ? 1 - product / (sqrt(aa) * sqrt(bb)) : 1;
}

/* How many rows come before (distance, row) says the rank it must have. */
static void check_rank(enum metric metric, const float *rows, const float *query,
		       const struct truth_hit *hit, unsigned rank)
{
	unsigned before = 0;

	assert_true(hit->row < ROWS);
	assert_true(hit->distance == plain_distance(metric, query, rows + (size_t)hit->row * DIM));
	for (uint32_t row = 0; row < ROWS; row++) {
		double distance = plain_distance(metric, query, rows + (size_t)row * DIM);

		before += distance < hit->distance || (distance == hit->distance && row < hit->row);
	}
	assert_int_equal(before, rank);
}

static void the_nearest_come_first_and_equal_ones_by_row(void **state)
{
	float *rows = coarse_rows(ROWS, 1), *queries = coarse_rows(QUERIES, 2);
	struct truth_hit *hits = malloc(QUERIES * K * sizeof(*hits));

	assert_non_null(hits);
	for (unsigned metric = 0; metric < METRIC_COUNT; metric++) {
		const struct truth_options options = {.metric = (enum metric)metric, .k = K};

		assert_int_equal(truth_compute(rows, ROWS, queries, 20, DIM, &options, hits), 0);
		for (unsigned i = 0; i < 20 * K; i++)
			check_rank((enum metric)metric, rows, queries + (size_t)(i / K) * DIM,
				   &hits[i], i % K);
	}
	free(rows);
	free(queries);
	free(hits);
}

static void note(void *context, uint64_t done, uint64_t total)
{
	uint64_t *last = context;

	assert_true(done > *last && done <= total);
	*last = done;
}

static void any_number_of_threads_gives_the_same(void **state)
{
	float *rows = coarse_rows(ROWS, 1), *queries = coarse_rows(QUERIES, 2);
	struct truth_hit *one = calloc(QUERIES * K, sizeof(*one));
	struct truth_hit *many = calloc(QUERIES * K, sizeof(*many));
	uint64_t done = 0;
	struct truth_options options = {.metric = METRIC_COSINE, .k = K};

	assert_true(one && many);
	assert_int_equal(truth_compute(rows, ROWS, queries, QUERIES, DIM, &options, one), 0);
	options.threads = 4;
	options.progress = note;
	options.context = &done;
	assert_int_equal(truth_compute(rows, ROWS, queries, QUERIES, DIM, &options, many), 0);
	assert_int_equal(done, QUERIES);
	for (unsigned i = 0; i < QUERIES * K; i++) {
		assert_int_equal(one[i].row, many[i].row);
		assert_true(one[i].distance == many[i].distance);
	}
	free(rows);
	free(queries);
	free(one);
	free(many);
}

static void missing_rows_are_told(void **state)
{
	float *rows = coarse_rows(2, 1);
	const struct truth_options options = {.metric = METRIC_L2, .k = 4};
	struct truth_hit hits[4];

	assert_int_equal(truth_compute(rows, 2, rows, 1, DIM, &options, hits), 0);
	assert_int_equal(hits[0].row, 0);
	assert_int_equal(hits[1].row, 1);
	for (unsigned i = 2; i < 4; i++) {
		assert_int_equal(hits[i].row, UINT32_MAX);
		assert_true(isinf(hits[i].distance));
	}
	free(rows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_nearest_come_first_and_equal_ones_by_row),
		cmocka_unit_test(any_number_of_threads_gives_the_same),
		cmocka_unit_test(missing_rows_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

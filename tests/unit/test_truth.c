/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/defs.h"
#include "base/rand.h"
#include "hnsw/truth.h"
#include "hnsw/truth_bytes.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define ROWS    500
#define QUERIES 300
#define DIM     13
#define K       7

/* Of 'steps' values from 'least' on, of few kinds where many distances are to be equal. */
struct values {
	float least, step;
	unsigned steps;
	bool are_bytes;
};

static const struct values coarse = {-1, 1, 3, true};

static const struct values kinds[] = {
	{-1, 1, 3, true},     {0, 1, 256, true},    {0, 255, 2, true},
	{-128, 1, 256, true}, {-128, 255, 2, true}, {-1, 0.5F, 5, false},
	{0, 1, 257, false},   {-129, 1, 9, false},  {-1, 256, 2, false}, /* of no one signedness */
};

/* Every 50th is zero. */
static float *rows_of(const struct values *values, uint32_t count, uint64_t seed)
{
	float *rows = calloc((size_t)count * DIM, sizeof(*rows));
	struct rand rand;

	assert_non_null(rows);
	rand_init(&rand, seed);
	for (size_t i = 0; i < (size_t)count * DIM; i++)
		if (i / DIM % 50 != 49)
			rows[i] = values->least +
				  values->step * (float)rand_below(&rand, values->steps);
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

static void check_kind(const struct values *values)
{
	float *rows = rows_of(values, ROWS, 1), *queries = rows_of(values, QUERIES, 2);
	struct truth_hit *hits = malloc(QUERIES * K * sizeof(*hits));

	assert_non_null(hits);
	for (unsigned metric = 0; metric < METRIC_COUNT; metric++) {
		const struct truth_options options = {.metric = (enum metric)metric, .k = K};

		assert_int_equal(truth_compute(rows, ROWS, queries, 70, DIM, &options, hits), 0);
		for (unsigned i = 0; i < 70 * K; i++)
			check_rank((enum metric)metric, rows, queries + (size_t)(i / K) * DIM,
				   &hits[i], i % K);
	}
	free(rows);
	free(queries);
	free(hits);
}

static void the_nearest_come_first_and_equal_ones_by_row(void **state)
{
	for (size_t i = 0; i < ARRAY_COUNT(kinds); i++)
		check_kind(&kinds[i]);
}

/* One that isn't a byte is enough, wherever it is. */
static void only_bytes_are_taken_for_bytes(void **state)
{
	const struct truth_options options = {.metric = METRIC_L2, .k = K};

	for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
		float *rows = rows_of(&kinds[i], ROWS, 1), *queries = rows_of(&kinds[i], 40, 2);
		const struct truth_input input = {rows, queries, ROWS, 40, DIM};
		struct truth_bytes *bytes = NULL;
		int result = truth_bytes_new(&input, &options, 2, &bytes);

		assert_int_equal(result, kinds[i].are_bytes ? 0 : TRUTH_BYTES_E_FLOATS);
		truth_bytes_free(bytes);
		rows[ROWS * DIM - 1] = NAN;
		assert_int_equal(truth_bytes_new(&input, &options, 2, &bytes),
				 TRUTH_BYTES_E_FLOATS);
		rows[ROWS * DIM - 1] = 0;
		queries[40 * DIM - 1] = 0.5F;
		assert_int_equal(truth_bytes_new(&input, &options, 2, &bytes),
				 TRUTH_BYTES_E_FLOATS);
		free(rows);
		free(queries);
	}
}

static void note(void *context, uint64_t done, uint64_t total)
{
	uint64_t *last = context;

	assert_true(done > *last && done <= total);
	*last = done;
}

static void any_number_of_threads_gives_the_same(void **state)
{
	float *rows = rows_of(&coarse, ROWS, 1), *queries = rows_of(&coarse, QUERIES, 2);
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
	float *rows = rows_of(&coarse, 2, 1);
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
		cmocka_unit_test(only_bytes_are_taken_for_bytes),
		cmocka_unit_test(any_number_of_threads_gives_the_same),
		cmocka_unit_test(missing_rows_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/defs.h"
#include "base/rand.h"
#include "hnsw/truth.h"
#include "tests/lib/index.h"
#include "tests/lib/kinds.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/*
 * Vectors that rows of some kind could go wrong on: many that are equal or nearly,
 * values at the ends of f32's range, dimensions that say nothing or everything, one
 * vector far from all others, queries that the type can't hold.
 */

#define K     10
#define EF    64
#define WIDE  256
#define COUNT 1000
#define DIM   24
#define ASKED 20

/* COUNT x DIM values around a few centres, then 'change' of each. */
static float *changed(float (*change)(uint32_t row, uint32_t i, float value), uint64_t seed)
{
	float *rows = index_rows(COUNT, DIM, seed);

	for (uint32_t row = 0; row < COUNT; row++)
		for (uint32_t i = 0; i < DIM; i++)
			rows[row * DIM + i] = change(row, i, rows[row * DIM + i]);
	return rows;
}

static void build(const struct kind *kind, const float *rows, uint32_t count, uint32_t dim,
		  struct build_image *ret_image, struct segment *ret_segment)
{
	const struct kinds_input input = {rows, count, dim, .threads = 2};

	kinds_build(kind, &input, ret_image, ret_segment);
}

/* Every query gets K answers, whose distances are numbers. */
static void expect_answers(const struct kind *kind, const float *rows, const float *queries,
			   bool finite)
{
	const struct search_params params = {.k = K, .ef = EF};
	struct build_image image;
	struct segment segment;
	struct search *search;

	build(kind, rows, COUNT, DIM, &image, &segment);
	search = index_search(&segment);
	for (uint32_t i = 0; i < ASKED; i++) {
		struct search_hit hits[K];

		assert_int_equal(kinds_ask(search, &segment, queries + i * DIM, &params, hits), K);
		for (unsigned j = 0; j < K; j++) {
			assert_false(isnan(hits[j].distance));
			assert_true(!finite || isfinite(hits[j].distance));
		}
	}
	search_free(search);
	build_image_free(&image);
}

static float huge(uint32_t row, uint32_t i, float value)
{
	return value * (FLT_MAX / 1.01F);
}

static float tiny(uint32_t row, uint32_t i, float value)
{
	return value * 1e-42F;
}

/* A cosine is finite whatever the values; squares and products beyond f32's range are infinite. */
static void values_at_the_ends_of_the_range_are_answered(void **state)
{
	float *large = changed(huge, 1), *small = changed(tiny, 1);

	for (unsigned i = 0; i < kinds_count && kinds[i].type == VECTOR_F32; i++) {
		expect_answers(&kinds[i], large, large, kinds[i].metric == METRIC_COSINE);
		expect_answers(&kinds[i], small, small, /* finite= */ true);
		expect_answers(&kinds[i], small, large, kinds[i].metric == METRIC_COSINE);
	}
	free(large);
	free(small);
}

static float some_huge(uint32_t row, uint32_t i, float value)
{
	return row % 3 ? value : huge(row, i, value);
}

/* Distances among them are infinite either way, and their difference no number. */
static void errors_that_are_no_numbers_are_the_largest(void **state)
{
	const struct kind kind = {METRIC_L2, VECTOR_F32, BUILD_ROWS_COMPACT, BUILD_LAYOUT_PLAIN};
	float *rows = changed(some_huge, 1);
	struct build_image image;
	struct segment segment;

	build(&kind, rows, COUNT, DIM, &image, &segment);
	assert_true(segment.row_error == FLT_MAX);
	build_image_free(&image);
	free(rows);
}

static double recall_of(const struct kind *kind, const float *rows, const float *queries,
			uint32_t ef, bool *ret_compact)
{
	const struct search_params params = {.k = K, .ef = ef};
	struct truth_hit truth[ASKED * K];
	const struct truth_options options = {.metric = kind->metric, .k = K};
	struct build_image image;
	struct segment segment;
	struct search *search;
	uint32_t right = 0;

	assert_int_equal(truth_compute(rows, COUNT, queries, ASKED, DIM, &options, truth), 0);
	build(kind, rows, COUNT, DIM, &image, &segment);
	search = index_search(&segment);
	for (uint32_t i = 0; i < ASKED; i++) {
		double limit = truth[i * K + K - 1].distance;
		struct search_hit hits[K];

		limit += 1e-6 * (fabs(limit) + (kind->metric == METRIC_COSINE));
		assert_int_equal(kinds_ask(search, &segment, queries + i * DIM, &params, hits), K);
		for (unsigned j = 0; j < K; j++)
			right += truth_distance(kind->metric, queries + i * DIM,
						rows + hits[j].label * DIM, DIM) <= limit;
	}
	if (ret_compact)
		*ret_compact = segment.form.compact;
	search_free(search);
	build_image_free(&image);
	return (double)right / (ASKED * K);
}

/* With the rows that AUTO takes, which have to be compact or full as it should know. */
static void expect_recall(const char *what, const float *rows, const float *queries,
			  enum metric metric, bool compact)
{
	const struct kind kind = {metric, VECTOR_F32, BUILD_ROWS_AUTO, BUILD_LAYOUT_PLAIN};
	bool is_compact;
	double recall = recall_of(&kind, rows, queries, EF, &is_compact);

	if (recall < 0.95 || is_compact != compact)
		print_error("%s, %s: recall %.3f, compact %d\n", what, metric_name(metric), recall,
			    is_compact);
	assert_true(recall >= 0.95);
	assert_int_equal(is_compact, compact);
}

static float half_constant(uint32_t row, uint32_t i, float value)
{
	return i % 2 ? 7000 : value;
}

static void dimensions_that_are_constant_do_no_harm(void **state)
{
	float *rows = changed(half_constant, 1), *queries = changed(half_constant, 2);

	expect_recall("constant dimensions", rows, queries, METRIC_L2, /* compact= */ true);
	free(rows);
	free(queries);
}

static float dominated(uint32_t row, uint32_t i, float value)
{
	return i == 3 ? value * 1e6F : value;
}

static float half_dominated(uint32_t row, uint32_t i, float value)
{
	return i == 3 ? value * 20 : value;
}

/* One dimension decides: its order survives in the factors. Where it does not, rows are full. */
static void a_dimension_that_dominates_is_followed(void **state)
{
	float *rows = changed(dominated, 1), *queries = changed(dominated, 2);
	float *others = changed(half_dominated, 1), *asked = changed(half_dominated, 2);

	expect_recall("one dominant dimension", rows, queries, METRIC_L2, /* compact= */ true);
	expect_recall("one large dimension", others, asked, METRIC_L2, /* compact= */ true);
	free(rows);
	free(queries);
	free(others);
	free(asked);
}

/* A fifth of the values' usual spread from the next, but for a few that widen the range. */
static float in_bunches(uint32_t row, uint32_t i, float value)
{
	struct rand rand;

	rand_init(&rand, row % 10 * DIM + i);
	return (float)rand_unit(&rand) + value * 3e-3F;
}

static void vectors_too_near_for_compact_rows_get_full_ones(void **state)
{
	float *rows = changed(in_bunches, 1), *queries = changed(in_bunches, 2);

	expect_recall("bunches", rows, queries, METRIC_L2, /* compact= */ false);
	expect_recall("bunches", rows, queries, METRIC_COSINE, /* compact= */ false);
	free(rows);
	free(queries);
}

static float one_far_out(uint32_t row, uint32_t i, float value)
{
	return row == 500 ? value * 1e6F : value;
}

/* It takes the mean with it. */
static void one_vector_far_out_does_not_spoil_the_others(void **state)
{
	float *rows = changed(one_far_out, 1), *queries = index_rows(COUNT, DIM, 2);

	expect_recall("one far out", rows, queries, METRIC_L2, /* compact= */ false);
	expect_recall("one far out", rows, queries, METRIC_COSINE, /* compact= */ true);
	free(rows);
	free(queries);
}

/* It makes the codes of all the others coarse, so that much depends on the exact order. */
static float one_large(uint32_t row, uint32_t i, float value)
{
	return i == row % DIM ? 30 : value;
}

static float thousandfold(uint32_t row, uint32_t i, float value)
{
	return one_large(row, i, value) * 1000;
}

/* From a tenth to ten times as long as the others. */
static float of_any_length(uint32_t row, uint32_t i, float value)
{
	return one_large(row, i, value) * powf(10, (float)(row * 2654435761U % 200) / 100 - 1);
}

/* Wide enough that no graph of the two loses its way to vectors that are longer than all others. */
static void expect_as_full(const float *rows, const float *queries)
{
	for (uint32_t metric = 0; metric < METRIC_COUNT; metric++) {
		const struct kind compact = {(enum metric)metric, VECTOR_F32, BUILD_ROWS_COMPACT,
					     BUILD_LAYOUT_PLAIN};
		const struct kind full = {(enum metric)metric, VECTOR_F32, BUILD_ROWS_FULL,
					  BUILD_LAYOUT_PLAIN};

		double recall = recall_of(&compact, rows, queries, WIDE, NULL);
		double wanted = recall_of(&full, rows, queries, WIDE, NULL);

		print_message("%s: recall %.3f by compact rows, %.3f by full ones\n",
			      metric_name((enum metric)metric), recall, wanted);
		assert_true(recall >= wanted - 0.01);
	}
}

/* Compact distances of long vectors and to long queries err as much more. */
static void long_vectors_lose_nothing_by_compact_rows(void **state)
{
	float *rows = changed(one_large, 1), *queries = changed(thousandfold, 2);
	float *others = changed(of_any_length, 1), *asked = changed(of_any_length, 2);

	expect_as_full(rows, queries);
	expect_as_full(others, asked);
	expect_as_full(others, queries);
	free(rows);
	free(queries);
	free(others);
	free(asked);
}

#define COPIES 100000
#define SHORT  4

/* 'copies' of one vector among others, under each kind of rows. */
static void check_copies(const struct kind *kind, uint32_t copies)
{
	float *rows = kinds_vectors(kind->type, COPIES, SHORT, 3);
	const struct search_params params = {.k = K, .ef = EF};
	struct search_hit hits[K];
	struct build_image image;
	struct segment segment;
	struct search *search;

	/* The copies are every other row, or all. */
	for (uint32_t row = 1; row < COPIES; row++)
		if (row % 2 == 0 || copies == COPIES)
			memcpy(rows + row * SHORT, rows, SHORT * sizeof(*rows));
	build(kind, rows, COPIES, SHORT, &image, &segment);
	search = index_search(&segment);
	assert_int_equal(kinds_ask(search, &segment, rows, &params, hits), K);
	for (unsigned i = 0; i < K; i++)
		assert_true(hits[i].distance <= hits[0].distance + 1e-6F);
	for (unsigned i = 1; i < K; i++)
		assert_true(search_hit_before(&hits[i - 1], &hits[i]));
	/* The others are found behind them. */
	assert_int_equal(kinds_ask(search, &segment, rows + SHORT, &params, hits), K);
	if (kind->metric == METRIC_L2)
		assert_true(hits[0].distance <= 1e-4F); /* what bf16 rounds */
	assert_true(search_stats(search).distances < COPIES / 10);
	search_free(search);
	build_image_free(&image);
	free(rows);
}

/* One of each kind of rows. */
static void a_hundred_thousand_copies_dont_break_the_graph(void **state)
{
	static const struct kind some[] = {
		{METRIC_L2, VECTOR_F32, BUILD_ROWS_COMPACT, BUILD_LAYOUT_PLAIN},
		{METRIC_COSINE, VECTOR_F32, BUILD_ROWS_FULL, BUILD_LAYOUT_PLAIN},
		{METRIC_L2, VECTOR_F16, BUILD_ROWS_FULL, BUILD_LAYOUT_EDGES},
		{METRIC_L2, VECTOR_BF16, BUILD_ROWS_FULL, BUILD_LAYOUT_PLAIN},
		{METRIC_IP, VECTOR_I8, BUILD_ROWS_FULL, BUILD_LAYOUT_PLAIN},
		{METRIC_COSINE, VECTOR_U8, BUILD_ROWS_FULL, BUILD_LAYOUT_PLAIN},
		{METRIC_L2, VECTOR_B1, BUILD_ROWS_FULL, BUILD_LAYOUT_PLAIN},
	};

	for (size_t i = 0; i < ARRAY_COUNT(some); i++)
		check_copies(&some[i], COPIES);
}

static void copies_among_others_dont_break_the_graph(void **state)
{
	static const struct kind some[] = {
		{METRIC_L2, VECTOR_F32, BUILD_ROWS_COMPACT, BUILD_LAYOUT_PLAIN},
		{METRIC_L2, VECTOR_F32, BUILD_ROWS_FULL, BUILD_LAYOUT_EDGES},
		{METRIC_L2, VECTOR_B1, BUILD_ROWS_FULL, BUILD_LAYOUT_PLAIN},
	};

	for (size_t i = 0; i < ARRAY_COUNT(some); i++)
		check_copies(&some[i], COPIES / 2);
}

static float zero_rows(uint32_t row, uint32_t i, float value)
{
	return row % 3 == 0 ? 0 : value;
}

/* A zero vector is at distance 1 of everything, and one to everything. */
static void zero_vectors_under_cosine_are_at_distance_one(void **state)
{
	const struct search_params params = {.k = K, .ef = EF};
	static const float zero[DIM];

	for (unsigned i = 0; i < kinds_count; i++) {
		float *rows = kinds_vectors(kinds[i].type, COUNT, DIM, 1);
		struct build_image image;
		struct segment segment;
		struct search *search;
		struct search_hit hits[K];

		if (kinds[i].metric != METRIC_COSINE) {
			free(rows);
			continue;
		}
		for (uint32_t row = 0; row < COUNT; row++)
			for (uint32_t j = 0; j < DIM; j++)
				rows[row * DIM + j] = zero_rows(row, j, rows[row * DIM + j]);
		build(&kinds[i], rows, COUNT, DIM, &image, &segment);
		search = index_search(&segment);
		assert_int_equal(kinds_ask(search, &segment, zero, &params, hits), K);
		for (unsigned j = 0; j < K; j++)
			assert_true(hits[j].distance == 1);
		assert_int_equal(kinds_ask(search, &segment, rows + DIM, &params, hits), K);
		assert_true(hits[0].label == 1 && hits[0].distance < 0.01F);
		search_free(search);
		build_image_free(&image);
		free(rows);
	}
}

/* Fractions, then values beyond every type's range; those for u8 lie about its middle. */
static void queries_that_the_type_cant_hold_are_compared_as_they_are(void **state)
{
	static const float scales[] = {99.3F, 5000};
	const struct search_params params = {.k = K, .ef = EF};
	float *queries = index_rows(ASKED, DIM, 2);

	for (unsigned i = 0; i < kinds_count; i++) {
		float middle = kinds[i].type == VECTOR_U8 ? 127.25F : 0;
		float *rows = kinds_vectors(kinds[i].type, COUNT, DIM, 1);
		struct build_image image;
		struct segment segment;

		build(&kinds[i], rows, COUNT, DIM, &image, &segment);
		for (unsigned j = 0; j < ARRAY_COUNT(scales); j++) {
			float asked[ASKED * DIM];

			for (unsigned at = 0; at < ASKED * DIM; at++)
				asked[at] = (queries[at] + middle / scales[0]) * scales[j];
			if (kinds[i].type != VECTOR_B1)
				assert_true(kinds_recall(&segment, asked, ASKED, &params) >= 0.9);
		}
		build_image_free(&image);
		free(rows);
	}
	free(queries);
}

/* A value above a half is a set bit. */
static void queries_of_bits_are_rounded(void **state)
{
	static const struct kind bits = {METRIC_L2, VECTOR_B1, BUILD_ROWS_FULL, BUILD_LAYOUT_PLAIN};
	const struct search_params params = {.k = K, .ef = EF};
	float *rows = kinds_vectors(VECTOR_B1, COUNT, DIM, 1), asked[DIM];
	struct search_hit exact[K], near[K];
	struct build_image image;
	struct segment segment;
	struct search *search;

	build(&bits, rows, COUNT, DIM, &image, &segment);
	search = index_search(&segment);
	for (uint32_t i = 0; i < DIM; i++)
		asked[i] =
			rows[7 * DIM + i] > 0 ? 0.51F + (float)i * 1e30F : 0.5F - (float)i * 1e30F;
	assert_int_equal(kinds_ask(search, &segment, rows + 7 * DIM, &params, exact), K);
	assert_int_equal(kinds_ask(search, &segment, asked, &params, near), K);
	assert_memory_equal(exact, near, sizeof(near));
	assert_true(exact[0].distance == 0);
	search_free(search);
	build_image_free(&image);
	free(rows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_at_the_ends_of_the_range_are_answered),
		cmocka_unit_test(errors_that_are_no_numbers_are_the_largest),
		cmocka_unit_test(dimensions_that_are_constant_do_no_harm),
		cmocka_unit_test(a_dimension_that_dominates_is_followed),
		cmocka_unit_test(vectors_too_near_for_compact_rows_get_full_ones),
		cmocka_unit_test(one_vector_far_out_does_not_spoil_the_others),
		cmocka_unit_test(long_vectors_lose_nothing_by_compact_rows),
		cmocka_unit_test(a_hundred_thousand_copies_dont_break_the_graph),
		cmocka_unit_test(copies_among_others_dont_break_the_graph),
		cmocka_unit_test(zero_vectors_under_cosine_are_at_distance_one),
		cmocka_unit_test(queries_that_the_type_cant_hold_are_compared_as_they_are),
		cmocka_unit_test(queries_of_bits_are_rounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/byteorder.h"
#include "base/defs.h"
#include "base/rand.h"
#include "hnsw/layout.h"
#include "tests/lib/index.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define ROWS    1500
#define DIM     17
#define QUERIES 40
#define K       10

struct answer {
	unsigned count;
	struct search_hit hits[64];
};

static void ask(struct search *search, const struct segment *segment, const float *query,
		uint32_t k, uint32_t ef, struct answer *answer)
{
	const struct search_params params = {.k = k, .ef = ef};

	search_begin(search, segment, query, &params);
	while (!search_step(search))
		;
	memset(answer, 0, sizeof(*answer));
	answer->count = search_hits(search, answer->hits, ARRAY_COUNT(answer->hits));
}

static void a_query_is_answered_the_same_alone_and_in_any_burst(void **state)
{
	float *rows = index_rows(ROWS, DIM, 1), *queries = index_rows(QUERIES, DIM, 2);
	struct search *searches[QUERIES];
	struct answer expected[QUERIES];
	struct build_image image;
	struct segment segment;

	index_build(rows, NULL, ROWS, DIM, METRIC_COSINE, &image, &segment);
	for (unsigned i = 0; i < QUERIES; i++) {
		searches[i] = index_search(&segment);
		ask(searches[i], &segment, queries + i * DIM, K, 16 + i, &expected[i]);
	}
	for (unsigned width = 1; width <= QUERIES; width += 3) {
		for (unsigned first = 0; first < QUERIES; first += width) {
			unsigned count = MIN(width, QUERIES - first);

			for (unsigned i = first; i < first + count; i++) {
				const struct search_params params = {.k = K, .ef = 16 + i};

				search_begin(searches[i], &segment, queries + i * DIM, &params);
			}
			search_burst(searches + first, count);
		}
		for (unsigned i = 0; i < QUERIES; i++) {
			struct answer answer = {0};

			answer.count =
				search_hits(searches[i], answer.hits, ARRAY_COUNT(answer.hits));
			assert_memory_equal(&answer, &expected[i], sizeof(answer));
		}
	}
	for (unsigned i = 0; i < QUERIES; i++)
		search_free(searches[i]);
	build_image_free(&image);
	free(rows);
	free(queries);
}

static void a_machine_forgets_the_query_before(void **state)
{
	float *rows = index_rows(ROWS, DIM, 1), *queries = index_rows(QUERIES, DIM, 2);
	struct search *used, *fresh;
	struct build_image image;
	struct segment segment;

	index_build(rows, NULL, ROWS, DIM, METRIC_L2, &image, &segment);
	used = index_search(&segment);
	for (unsigned i = 0; i < QUERIES; i++) {
		struct answer a, b;

		fresh = index_search(&segment);
		ask(used, &segment, queries + i * DIM, K, 20, &a);
		ask(fresh, &segment, queries + i * DIM, K, 20, &b);
		assert_memory_equal(&a, &b, sizeof(a));
		search_free(fresh);
	}
	search_free(used);
	build_image_free(&image);
	free(rows);
	free(queries);
}

/* Rows +1 and -1 on an axis each are equally far from the origin. */
static void equal_distances_come_in_label_order(void **state)
{
	float rows[2 * DIM * DIM] = {0};
	uint32_t labels[2 * DIM];
	const float origin[DIM] = {0};
	struct build_image image;
	struct segment segment;
	struct search *search;
	struct answer answer;

	for (uint32_t i = 0; i < 2 * DIM; i++) {
		rows[i * DIM + i / 2] = i % 2 ? 1.0F : -1.0F;
		labels[i] = 1000 - i;
	}
	index_build(rows, labels, 2 * DIM, DIM, METRIC_L2, &image, &segment);
	search = index_search(&segment);
	ask(search, &segment, origin, 2 * DIM, 0, &answer);
	assert_int_equal(answer.count, 2 * DIM);
	for (uint32_t i = 0; i < answer.count; i++) {
		assert_int_equal(answer.hits[i].label, 1000 - 2 * DIM + 1 + i);
		assert_true(answer.hits[i].distance == 1.0F);
	}
	search_free(search);
	build_image_free(&image);
}

static void copies_of_a_row_are_all_answered_lowest_label_first(void **state)
{
	float *rows = index_rows(ROWS, DIM, 1);
	struct build_image image;
	struct segment segment;
	struct search *search;
	struct answer answer;

	for (uint32_t row = 3; row < ROWS; row += 3)
		memcpy(rows + (size_t)row * DIM, rows, DIM * sizeof(float));
	index_build(rows, NULL, ROWS, DIM, METRIC_L2, &image, &segment);
	search = index_search(&segment);
	ask(search, &segment, rows, 50, 0, &answer);
	assert_int_equal(answer.count, 50);
	for (uint32_t i = 0; i < answer.count; i++) {
		assert_int_equal(answer.hits[i].label, 3 * i);
		assert_true(answer.hits[i].distance == 0);
	}
	/* What lies behind the copies is found too. */
	for (uint32_t row = 1; row < ROWS; row += 3) {
		ask(search, &segment, rows + (size_t)row * DIM, 1, 64, &answer);
		assert_int_equal(answer.hits[0].label, row);
	}
	search_free(search);
	build_image_free(&image);
	free(rows);
}

static void more_than_there_are_gives_what_there_is(void **state)
{
	float *rows = index_rows(30, DIM, 1);
	bool seen[30] = {false};
	struct build_image image;
	struct segment segment;
	struct search *search;
	struct answer answer;

	index_build(rows, NULL, 30, DIM, METRIC_IP, &image, &segment);
	search = index_search(&segment);
	ask(search, &segment, rows, 60, 0, &answer);
	assert_int_equal(answer.count, 30);
	for (uint32_t i = 0; i < 30; i++) {
		assert_false(seen[answer.hits[i].label]);
		seen[answer.hits[i].label] = true;
		assert_true(i == 0 || answer.hits[i - 1].distance <= answer.hits[i].distance);
	}
	ask(search, &segment, rows, 0, 10, &answer);
	assert_int_equal(answer.count, 0);
	search_free(search);
	build_image_free(&image);
	free(rows);
}

/* The links of every node taken away, what a search can reach is its entry point. */
static void a_torn_graph_still_answers_k(void **state)
{
	float *rows = index_rows(200, DIM, 1);
	struct build_image image;
	struct segment segment;
	struct search *search;
	struct answer answer;

	index_build(rows, NULL, 200, DIM, METRIC_L2, &image, &segment);
	for (uint32_t node = 0; node < 200; node++)
		memset((uint8_t *)image.bytes + (segment.rows - segment.image) +
			       node * segment.row_stride,
		       0xFF, segment.vector_offset);
	memset((uint8_t *)image.bytes + (segment.upper - segment.image), 0xFF,
	       segment.upper_count * segment.upper_stride);
	search = index_search(&segment);
	for (uint32_t row = 0; row < 200; row++) {
		ask(search, &segment, rows + (size_t)row * DIM, K, 32, &answer);
		assert_int_equal(answer.count, K);
		assert_int_equal(answer.hits[0].label, row);
	}
	search_free(search);
	build_image_free(&image);
	free(rows);
}

static void a_zero_vector_is_at_cosine_distance_one(void **state)
{
	float *rows = index_rows(40, DIM, 1);
	const float zero[DIM] = {0};
	struct build_image image;
	struct segment segment;
	struct search *search;
	struct answer answer;

	memset(rows, 0, DIM * sizeof(float));
	index_build(rows, NULL, 40, DIM, METRIC_COSINE, &image, &segment);
	search = index_search(&segment);
	ask(search, &segment, zero, 40, 0, &answer);
	assert_int_equal(answer.count, 40);
	for (uint32_t i = 0; i < 40; i++) {
		assert_int_equal(answer.hits[i].label, i);
		assert_true(answer.hits[i].distance == 1.0F);
	}
	ask(search, &segment, rows + DIM, 40, 0, &answer);
	for (uint32_t i = 0; i < 40; i++)
		if (answer.hits[i].label == 0)
			assert_true(answer.hits[i].distance == 1.0F);
	search_free(search);
	build_image_free(&image);
	free(rows);
}

/* Sums overflow to infinity, and under the inner product to NaN. */
static void huge_values_end_in_an_answer(void **state)
{
	float *rows = index_rows(100, DIM, 1);
	struct build_image image;
	struct segment segment;
	struct search *search;
	struct answer answer;

	for (size_t i = 0; i < 100 * DIM; i++)
		rows[i] *= 3e38F;
	for (uint32_t metric = 0; metric < METRIC_COUNT; metric++) {
		index_build(rows, NULL, 100, DIM, (enum metric)metric, &image, &segment);
		search = index_search(&segment);
		ask(search, &segment, rows, K, 32, &answer);
		assert_int_equal(answer.count, K);
		search_free(search);
		build_image_free(&image);
	}
	free(rows);
}

static void limits_out_of_range_are_refused(void **state)
{
	static const struct search_limits wrong[] = {
		{.node_max = 10, .dim_max = 0, .ef_max = 10},
		{.node_max = 10, .dim_max = SEGMENT_DIM_MAX + 1, .ef_max = 10},
		{.node_max = 10, .dim_max = 10, .ef_max = 0},
		{.node_max = UINT32_MAX, .dim_max = 10, .ef_max = 10},
	};
	struct search *search = NULL;

	for (size_t i = 0; i < ARRAY_COUNT(wrong); i++)
		assert_int_equal(search_new(&wrong[i], &search), -EINVAL);
	assert_null(search);
	search_free(NULL);
}

static void memory_is_counted_up_to_the_largest_beam(void **state)
{
	const struct search_limits large = {10, 10, SEGMENT_COUNT_MAX - 1};

	/* Two beams and the answer, eight bytes a key. */
	assert_true(search_memory(&large) > 3 * sizeof(uint64_t) * (uint64_t)large.ef_max);
}

static void work_is_counted(void **state)
{
	float *rows = index_rows(ROWS, DIM, 1);
	struct search_stats narrow, wide;
	struct build_image image;
	struct segment segment;
	struct search *search;
	struct answer answer;

	index_build(rows, NULL, ROWS, DIM, METRIC_L2, &image, &segment);
	search = index_search(&segment);
	ask(search, &segment, rows, 1, 8, &answer);
	narrow = search_stats(search);
	ask(search, &segment, rows, 1, 100, &answer);
	wide = search_stats(search);
	assert_true(narrow.hops >= 8 && narrow.distances > narrow.hops);
	assert_true(wide.hops > narrow.hops && wide.distances > narrow.distances);
	assert_true(wide.distances < ROWS);
	search_free(search);
	build_image_free(&image);
	free(rows);
}

static uint64_t hops_with(struct search *search, const struct segment *segment, const float *query,
			  uint32_t patience, struct answer *answer)
{
	const struct search_params params = {.k = K, .ef = 200, .patience = patience};

	search_begin(search, segment, query, &params);
	while (!search_step(search))
		;
	memset(answer, 0, sizeof(*answer));
	answer->count = search_hits(search, answer->hits, ARRAY_COUNT(answer->hits));
	return search_stats(search).hops;
}

/* Plain rows, and rows with codes of their edges. */
static void patience_ends_a_walk_early_with_all_its_hits(void **state)
{
	float *rows = index_rows(ROWS, DIM, 1), *queries = index_rows(QUERIES, DIM, 2);

	for (int edges = 0; edges < 2; edges++) {
		uint64_t whole_hops = 0, short_hops = 0;
		struct build_image image;
		struct segment segment;
		struct search *search;

		if (edges)
			index_build_edges(rows, NULL, ROWS, DIM, METRIC_L2, &image, &segment);
		else
			index_build(rows, NULL, ROWS, DIM, METRIC_L2, &image, &segment);
		search = index_search(&segment);
		for (unsigned i = 0; i < QUERIES; i++) {
			const float *query = queries + i * DIM;
			struct answer whole, endless, impatient;
			uint64_t hops = hops_with(search, &segment, query, 0, &whole);

			assert_int_equal(hops_with(search, &segment, query, 1000000, &endless),
					 hops);
			assert_memory_equal(&endless, &whole, sizeof(whole));
			whole_hops += hops;
			short_hops += hops_with(search, &segment, query, 5, &impatient);
			assert_int_equal(impatient.count, K);
		}
		assert_true(2 * short_hops < whole_hops);
		search_free(search);
		build_image_free(&image);
	}
	free(rows);
	free(queries);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_query_is_answered_the_same_alone_and_in_any_burst),
		cmocka_unit_test(a_machine_forgets_the_query_before),
		cmocka_unit_test(equal_distances_come_in_label_order),
		cmocka_unit_test(copies_of_a_row_are_all_answered_lowest_label_first),
		cmocka_unit_test(more_than_there_are_gives_what_there_is),
		cmocka_unit_test(a_torn_graph_still_answers_k),
		cmocka_unit_test(a_zero_vector_is_at_cosine_distance_one),
		cmocka_unit_test(huge_values_end_in_an_answer),
		cmocka_unit_test(limits_out_of_range_are_refused),
		cmocka_unit_test(memory_is_counted_up_to_the_largest_beam),
		cmocka_unit_test(work_is_counted),
		cmocka_unit_test(patience_ends_a_walk_early_with_all_its_hits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/defs.h"
#include "base/rand.h"
#include "hnsw/growing.h"
#include "hnsw/layout.h"
#include "hnsw/truth.h"
#include "tests/lib/index.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 1500
#define DIM  17
#define K    10

static struct growing *empty(uint32_t capacity, uint32_t dim, enum metric metric)
{
	const struct growing_options options = {.metric = metric,
						.dim = dim,
						.capacity = MAX(capacity, 1),
						.m = 8,
						.ef_construction = 60,
						.seed = 3};
	struct growing *growing;

	assert_int_equal(growing_new(&options, &growing), 0);
	return growing;
}

/* Inserts the next row, labelled with twice its number. */
static void put(struct growing *growing, const float *vector, uint32_t row)
{
	uint32_t node;

	assert_int_equal(growing_insert(growing, 2 * row, vector, row + 1, &node), 0);
	assert_int_equal(node, row);
}

static struct growing *grow(const float *rows, uint32_t count, uint32_t dim, enum metric metric)
{
	struct growing *growing = empty(count, dim, metric);

	for (uint32_t row = 0; row < count; row++)
		put(growing, rows + (size_t)row * dim, row);
	return growing;
}

static struct search *machine(uint32_t node_max, uint32_t dim)
{
	const struct search_limits limits = {.node_max = node_max, .dim_max = dim, .ef_max = 512};
	struct search *search;

	assert_int_equal(search_new(&limits, &search), 0);
	return search;
}

static unsigned ask(struct search *search, const struct segment *view, const float *query,
		    uint32_t k, struct search_hit *hits)
{
	const struct search_params params = {.k = k, .ef = 64};

	search_begin(search, view, query, &params);
	while (!search_step(search))
		;
	return search_hits(search, hits, k);
}

static void every_vector_is_found_from_the_moment_it_is_there(void **state)
{
	const uint32_t count = 300;
	float *rows = index_rows(count, DIM, 1);
	struct growing *growing = empty(count, DIM, METRIC_L2);
	struct search *search = machine(count, DIM);
	struct search_hit hits[K];
	struct segment view;

	for (uint64_t time = 0; time <= count; time++) {
		growing_view(growing, time, &view);
		assert_int_equal(view.count, time);
		for (uint32_t row = 0; row < time; row += 7) {
			assert_int_equal(ask(search, &view, rows + (size_t)row * DIM, K, hits),
					 MIN(K, time));
			assert_int_equal(hits[0].label, 2 * row);
		}
		if (time < count)
			put(growing, rows + time * DIM, (uint32_t)time);
	}
	search_free(search);
	growing_free(growing);
	free(rows);
}

static void it_finds_the_neighbours_under_every_metric(void **state)
{
	float *rows = index_rows(ROWS, DIM, 1), *queries = index_rows(50, DIM, 2);
	struct search *search = machine(ROWS, DIM);
	struct truth_hit truth[50 * K];

	for (uint32_t metric = 0; metric < METRIC_COUNT; metric++) {
		const struct truth_options options = {.metric = (enum metric)metric, .k = K};
		struct growing *growing = grow(rows, ROWS, DIM, (enum metric)metric);
		struct segment view;
		unsigned right = 0;

		assert_int_equal(truth_compute(rows, ROWS, queries, 50, DIM, &options, truth), 0);
		growing_view(growing, ROWS, &view);
		for (uint32_t query = 0; query < 50; query++) {
			struct search_hit hits[K];

			assert_int_equal(ask(search, &view, queries + (size_t)query * DIM, K, hits),
					 K);
			for (unsigned i = 0; i < K; i++)
				for (unsigned j = 0; j < K; j++)
					right += hits[i].label == 2 * truth[query * K + j].row;
		}
		print_message("%s: %u of 500 right\n", metric_name((enum metric)metric), right);
		assert_true(right >= 490);
		growing_free(growing);
	}
	search_free(search);
	free(rows);
	free(queries);
}

static void the_same_vectors_in_the_same_order_give_the_same_bytes(void **state)
{
	float *rows = index_rows(ROWS, DIM, 1);
	struct growing *a = grow(rows, ROWS, DIM, METRIC_COSINE);
	struct growing *b = grow(rows, ROWS, DIM, METRIC_COSINE);
	struct segment left, right;

	growing_view(a, ROWS, &left);
	growing_view(b, ROWS, &right);
	assert_int_equal(left.entry, right.entry);
	assert_memory_equal(left.rows, right.rows, ROWS * left.row_stride);
	assert_memory_equal(left.upper, right.upper, (left.entry_record + 1) * left.upper_stride);
	growing_free(a);
	growing_free(b);
	free(rows);
}

/* Nodes of the view that no list at level 0 names. */
static uint32_t count_lost(const struct segment *view)
{
	uint8_t *is_listed = calloc(view->count, 1);
	uint32_t lost = 0;

	assert_non_null(is_listed);
	for (uint32_t node = 0; node < view->count; node++) {
		const uint32_t *list = layout_row(view, node);

		for (uint32_t i = 0; i < 2 * view->m && list[i] != LAYOUT_NONE; i++)
			is_listed[list[i]] = 1;
	}
	for (uint32_t node = 0; node < view->count; node++)
		lost += !is_listed[node];
	free(is_listed);
	return lost;
}

/* Where lengths differ, few are the neighbours of many: lists are cut all the time, and theirs. */
static void no_vector_is_lost_when_lists_are_cut(void **state)
{
	float *rows = calloc((size_t)ROWS * DIM, sizeof(*rows));
	struct rand rand;

	assert_non_null(rows);
	rand_init(&rand, 1);
	for (uint32_t row = 0; row < ROWS; row++) {
		double length = exp(4 * rand_unit(&rand));

		for (uint32_t i = 0; i < DIM; i++)
			rows[row * DIM + i] = (float)(length * (rand_unit(&rand) - 0.5));
	}
	for (uint32_t metric = 0; metric < METRIC_COUNT; metric++) {
		struct growing *growing = grow(rows, ROWS, DIM, (enum metric)metric);
		struct segment view;

		growing_view(growing, ROWS, &view);
		if (count_lost(&view) > 0)
			fail_msg("%s: %u nodes are in no list", metric_name((enum metric)metric),
				 count_lost(&view));
		growing_free(growing);
	}
	free(rows);
}

/* One of the copies is answered for every other: what lies behind them is found too. */
static void a_hundred_thousand_copies_dont_break_the_graph(void **state)
{
	const uint32_t copies = 100000, others = 200;
	float *rows = index_rows(others, DIM, 1);
	const struct growing_options options = {
		.metric = METRIC_L2, .dim = DIM, .capacity = copies + others, .m = 8};
	struct growing *growing;
	struct search *search = machine(copies + others, DIM);
	struct search_hit hits[K];
	struct segment view;
	uint32_t node;

	assert_int_equal(growing_new(&options, &growing), 0);
	for (uint32_t i = 0; i < copies + others; i++) {
		uint32_t row = i % 500 == 250 ? i / 500 : 0;

		assert_int_equal(growing_insert(growing, i, rows + (size_t)row * DIM, i + 1, &node),
				 0);
	}
	growing_view(growing, copies + others, &view);
	for (uint32_t row = 1; row < others; row++) {
		assert_int_equal(ask(search, &view, rows + (size_t)row * DIM, K, hits), K);
		assert_int_equal(hits[0].label, row * 500 + 250);
	}
	assert_int_equal(ask(search, &view, rows, K, hits), K);
	for (uint32_t i = 0; i < K; i++) {
		assert_true(hits[i].distance == 0);
		assert_int_equal(hits[i].label, i);
	}
	search_free(search);
	growing_free(growing);
	free(rows);
}

static void equal_distances_come_in_label_order(void **state)
{
	const struct growing_options options = {.metric = METRIC_L2, .dim = 1, .capacity = 40};
	struct search *search = machine(40, 1);
	struct growing *growing;
	struct search_hit hits[40];
	struct segment view;
	float value = 1, origin = 0;
	uint32_t node;

	assert_int_equal(growing_new(&options, &growing), 0);
	for (uint32_t i = 0; i < 40; i++) {
		value = -value;
		assert_int_equal(growing_insert(growing, i * 17 % 40, &value, i + 1, &node), 0);
	}
	growing_view(growing, 40, &view);
	assert_int_equal(ask(search, &view, &origin, 40, hits), 40);
	for (uint32_t i = 0; i < 40; i++)
		assert_int_equal(hits[i].label, i);
	search_free(search);
	growing_free(growing);
}

static void a_label_leads_to_its_last_vector(void **state)
{
	const struct growing_options options = {.metric = METRIC_L2, .dim = 1, .capacity = 300};
	struct growing *growing;
	uint32_t node;

	assert_int_equal(growing_new(&options, &growing), 0);
	assert_int_equal(growing_find(growing, 5), UINT32_MAX);
	for (uint32_t i = 0; i < 300; i++) {
		const float value = (float)(i % 10);

		assert_int_equal(growing_insert(growing, i % 100, &value, i + 1, &node), 0);
		assert_int_equal(growing_find(growing, i % 100), i);
	}
	for (uint32_t label = 0; label < 100; label++)
		assert_int_equal(growing_find(growing, label), 200 + label);
	assert_int_equal(growing_find(growing, 100), UINT32_MAX);
	growing_free(growing);
}

static void what_it_cant_hold_is_refused(void **state)
{
	struct growing_options options = {.metric = METRIC_L2, .dim = 2, .capacity = 1};
	const float good[2] = {1, 2}, bad[][2] = {{NAN, 1}, {1, INFINITY}};
	struct growing *growing;
	uint32_t node = 7;

	assert_int_equal(growing_new(&options, &growing), 0);
	for (unsigned i = 0; i < ARRAY_COUNT(bad); i++)
		assert_int_equal(growing_insert(growing, 1, bad[i], 1, &node), GROWING_E_VALUE);
	assert_int_equal(growing_count(growing), 0);
	assert_int_equal(growing_insert(growing, 1, good, 1, &node), 0);
	assert_int_equal(growing_insert(growing, 2, good, 2, &node), GROWING_E_FULL);
	assert_int_equal(growing_count(growing), 1);
	growing_free(growing);
	growing_free(NULL);
	options.dim = 0;
	assert_int_equal(growing_new(&options, &growing), -EINVAL);
	options.dim = SEGMENT_DIM_MAX + 1;
	assert_int_equal(growing_new(&options, &growing), -EINVAL);
	options.dim = 2;
	options.capacity = 0;
	assert_int_equal(growing_new(&options, &growing), -EINVAL);
}

static void dimensions_from_one_to_the_largest_work(void **state)
{
	static const uint32_t dims[] = {1, 2, 15, 16, 33, SEGMENT_DIM_MAX};

	for (unsigned i = 0; i < ARRAY_COUNT(dims); i++) {
		float *rows = index_rows(60, dims[i], 1);
		struct growing *growing = grow(rows, 60, dims[i], METRIC_COSINE);
		struct search *search = machine(60, dims[i]);
		struct search_hit hits[60];
		struct segment view;

		growing_view(growing, 60, &view);
		assert_int_equal(ask(search, &view, rows, 60, hits), 60);
		assert_true(fabsf(hits[0].distance) < 1e-6F);
		search_free(search);
		growing_free(growing);
		free(rows);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_vector_is_found_from_the_moment_it_is_there),
		cmocka_unit_test(it_finds_the_neighbours_under_every_metric),
		cmocka_unit_test(the_same_vectors_in_the_same_order_give_the_same_bytes),
		cmocka_unit_test(no_vector_is_lost_when_lists_are_cut),
		cmocka_unit_test(a_hundred_thousand_copies_dont_break_the_graph),
		cmocka_unit_test(equal_distances_come_in_label_order),
		cmocka_unit_test(a_label_leads_to_its_last_vector),
		cmocka_unit_test(what_it_cant_hold_is_refused),
		cmocka_unit_test(dimensions_from_one_to_the_largest_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

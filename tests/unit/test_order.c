/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/defs.h"
#include "base/rand.h"
#include "hnsw/census.h"
#include "tests/lib/filters.h"
#include "tests/lib/index.h"
#include "tests/lib/kinds.h"

#include <stdlib.h>
#include <string.h>

/*
 * Segments whose nodes are numbered for locality. Their graph, and so every answer, is that of
 * nodes numbered by label.
 */

#define COUNT 1500
#define DIM   24
#define K     10
#define EF    64
#define ASKED 20

/* One index in both orders. */
struct pair {
	float *rows;
	struct build_image images[BUILD_ORDER_COUNT];
	struct segment segments[BUILD_ORDER_COUNT];
	struct search *searches[BUILD_ORDER_COUNT];
};

/* Takes the rows. */
static void pair_build(struct pair *pair, const struct kind *kind, float *rows)
{
	pair->rows = rows;
	for (unsigned i = 0; i < BUILD_ORDER_COUNT; i++) {
		const struct kinds_input input = {pair->rows, COUNT, DIM, .threads = 2,
						  .order = (enum build_order)i};

		kinds_build(kind, &input, &pair->images[i], &pair->segments[i]);
		pair->searches[i] = index_search(&pair->segments[i]);
	}
}

/* A fifth of the rows are copies. */
static void pair_init(struct pair *pair, const struct kind *kind)
{
	float *rows = kinds_vectors(kind->type, COUNT, DIM, 1);
	struct rand rand;

	rand_init(&rand, 2);
	for (uint32_t row = 1; row < COUNT; row++)
		if (rand_below(&rand, 5) == 0)
			memcpy(rows + (size_t)row * DIM, rows + rand_below(&rand, row) * DIM,
			       DIM * sizeof(float));
	pair_build(pair, kind, rows);
}

/* The bits of different numbers below 2^24. */
static float *distinct_bits(void)
{
	float *rows = calloc((size_t)COUNT * DIM, sizeof(*rows));

	assert_non_null(rows);
	for (uint32_t row = 0; row < COUNT; row++)
		for (uint32_t i = 0; i < DIM; i++)
			rows[(size_t)row * DIM + i] = (float)(row * 40503 >> i & 1);
	return rows;
}

static void pair_deinit(struct pair *pair)
{
	for (unsigned i = 0; i < BUILD_ORDER_COUNT; i++) {
		search_free(pair->searches[i]);
		build_image_free(&pair->images[i]);
	}
	free(pair->rows);
}

/* Every 'step'th label. */
static struct filter *filter_every(uint32_t step)
{
	uint32_t labels[COUNT], count = 0;

	for (uint32_t label = 0; label < COUNT; label += step)
		labels[count++] = label;
	return filters_of(labels, count, COUNT - 1);
}

static void expect_same_hits(const struct pair *pair, const struct search_params *params)
{
	float *queries = index_rows(ASKED, DIM, 3);

	for (uint32_t i = 0; i < ASKED; i++) {
		struct search_hit hits[BUILD_ORDER_COUNT][K];

		for (unsigned j = 0; j < BUILD_ORDER_COUNT; j++)
			assert_int_equal(kinds_ask(pair->searches[j], &pair->segments[j],
						   queries + i * DIM, params, hits[j]),
					 K);
		for (unsigned j = 0; j < K; j++) {
			assert_int_equal(hits[0][j].label, hits[1][j].label);
			assert_true(hits[0][j].distance == hits[1][j].distance);
		}
	}
	free(queries);
}

/*
 * All kinds, walks and scans. Of bits so many are equally far that the beam can't hold them, and
 * which it holds is the order's: they have a test of their own.
 */
static void answers_are_those_of_nodes_in_label_order(void **state)
{
	struct filter *filters[] = {NULL, filter_every(2), filter_every(50)};

	for (unsigned i = 0; i < kinds_count; i++) {
		struct pair pair;

		if (kinds[i].type == VECTOR_B1)
			continue;
		pair_init(&pair, &kinds[i]);
		assert_null(pair.segments[BUILD_ORDER_LABEL].sorted);
		assert_non_null(pair.segments[BUILD_ORDER_GRAPH].sorted);
		for (unsigned j = 0; j < ARRAY_COUNT(filters); j++) {
			const struct search_params params = {
				.k = K, .ef = EF, .filter = filters[j]};

			expect_same_hits(&pair, &params);
		}
		pair_deinit(&pair);
	}
	for (unsigned i = 0; i < ARRAY_COUNT(filters); i++)
		filter_free(filters[i]);
}

/* Of a third, by label: each order has them at nodes of its own. */
static void the_dead_are_left_out_in_both_orders(void **state)
{
	const struct kind kind = {METRIC_L2, VECTOR_F32, BUILD_ROWS_COMPACT, BUILD_LAYOUT_PLAIN};
	const uint32_t shares[] = {10, 3};
	struct pair pair;

	pair_init(&pair, &kind);
	for (unsigned i = 0; i < ARRAY_COUNT(shares); i++) {
		float *query = index_rows(1, DIM, 3);
		struct search_hit hits[BUILD_ORDER_COUNT][K];

		for (unsigned j = 0; j < BUILD_ORDER_COUNT; j++) {
			struct search_params params = {.k = K, .ef = EF, .time = 1};
			uint64_t died[COUNT] = {0};

			for (uint32_t label = 0; label < COUNT; label += shares[i])
				died[segment_find(&pair.segments[j], label)] = 1;
			params.died = died;
			params.dead_count = (COUNT + shares[i] - 1) / shares[i];
			assert_int_equal(kinds_ask(pair.searches[j], &pair.segments[j], query,
						   &params, hits[j]),
					 K);
		}
		for (unsigned j = 0; j < K; j++) {
			assert_int_not_equal(hits[0][j].label % shares[i], 0);
			assert_int_equal(hits[0][j].label, hits[1][j].label);
		}
		free(query);
	}
	pair_deinit(&pair);
}

static uint32_t differing(const float *a, const float *b)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < DIM; i++)
		count += a[i] != b[i];
	return count;
}

/* The K nearest of every 'step'th row, equal distances by label. */
static void nearest_bits(const float *rows, const float *query, uint32_t step,
			 struct search_hit hits[K])
{
	uint32_t count = 0;

	for (uint32_t distance = 0; distance <= DIM; distance++)
		for (uint32_t label = 0; label < COUNT && count < K; label += step)
			if (differing(rows + (size_t)label * DIM, query) == distance)
				hits[count++] = (struct search_hit){label, (float)distance};
	assert_int_equal(count, K);
}

/*
 * By a scan, for a filter that allows few, and by a walk that holds everything: which of the many
 * that are equally far are answered, and their order, is the labels' matter alone.
 */
static void expect_by_label(const struct pair *pair)
{
	float *queries = kinds_vectors(VECTOR_B1, ASKED, DIM, 4);
	struct filter *every_third = filter_every(3);
	const struct search_limits limits = {.node_max = COUNT, .dim_max = DIM, .ef_max = COUNT};
	struct search *search;

	assert_int_equal(search_new(&limits, &search), 0);
	for (uint32_t i = 0; i < 2 * ASKED; i++) {
		const struct search_params params = {
			.k = K, .ef = i % 2 ? K : COUNT, .filter = i % 2 ? every_third : NULL};
		const float *query = queries + i / 2 * DIM;
		struct search_hit expected[K], hits[K];

		nearest_bits(pair->rows, query, i % 2 ? 3 : 1, expected);
		for (unsigned j = 0; j < BUILD_ORDER_COUNT; j++) {
			assert_int_equal(
				kinds_ask(search, &pair->segments[j], query, &params, hits), K);
			assert_memory_equal(hits, expected, sizeof(hits));
		}
	}
	search_free(search);
	filter_free(every_third);
	free(queries);
}

/* With copies, which are answered through the first of them, and without. */
static void equal_distances_are_answered_by_label(void **state)
{
	static const struct kind bits = {METRIC_L2, VECTOR_B1, BUILD_ROWS_FULL, BUILD_LAYOUT_PLAIN};
	struct pair pair;

	pair_init(&pair, &bits);
	assert_non_null(pair.segments[0].twins);
	expect_by_label(&pair);
	pair_deinit(&pair);
	pair_build(&pair, &bits, distinct_bits());
	assert_null(pair.segments[0].twins);
	expect_by_label(&pair);
	pair_deinit(&pair);
}

static void any_number_of_threads_makes_the_same_bytes(void **state)
{
	static const struct kind some[] = {
		{METRIC_L2, VECTOR_F32, BUILD_ROWS_COMPACT, BUILD_LAYOUT_PLAIN},
		{METRIC_COSINE, VECTOR_U8, BUILD_ROWS_FULL, BUILD_LAYOUT_EDGES},
	};

	for (size_t i = 0; i < ARRAY_COUNT(some); i++) {
		float *rows = kinds_vectors(some[i].type, COUNT, DIM, 1);
		struct kinds_input input = {rows, COUNT, DIM, .threads = 1,
					    .order = BUILD_ORDER_GRAPH};
		struct build_image one, other;
		struct segment segment;

		kinds_build(&some[i], &input, &one, &segment);
		for (input.threads = 2; input.threads <= 4; input.threads += 2) {
			kinds_build(&some[i], &input, &other, &segment);
			assert_int_equal(one.size, other.size);
			assert_memory_equal(one.bytes, other.bytes, one.size);
			build_image_free(&other);
		}
		build_image_free(&one);
		free(rows);
	}
}

static void the_graph_stays_and_lists_are_on_fewer_pages(void **state)
{
	const struct kind kind = {METRIC_L2, VECTOR_F32, BUILD_ROWS_COMPACT, BUILD_LAYOUT_PLAIN};
	struct census label, graph;
	struct pair pair;

	pair_init(&pair, &kind);
	assert_int_equal(census_take(&pair.segments[BUILD_ORDER_LABEL], &label), 0);
	assert_int_equal(census_take(&pair.segments[BUILD_ORDER_GRAPH], &graph), 0);
	assert_memory_equal(label.degrees, graph.degrees, sizeof(label.degrees));
	assert_memory_equal(label.upper_degrees, graph.upper_degrees, sizeof(label.upper_degrees));
	assert_memory_equal(label.level_counts, graph.level_counts, sizeof(label.level_counts));
	assert_int_equal(label.twin_count, graph.twin_count);
	assert_int_equal(label.reached, graph.reached);
	assert_int_equal(label.links, graph.links);
	print_message("%llu links on %llu pages by label, %llu by graph\n",
		      (unsigned long long)label.links, (unsigned long long)label.link_pages,
		      (unsigned long long)graph.link_pages);
	assert_true((double)graph.link_pages < 0.8 * (double)label.link_pages);
	assert_true(graph.link_runs < label.link_runs);
	pair_deinit(&pair);
}

/* Labels with gaps. */
static void every_label_is_found_and_no_other(void **state)
{
	const struct build_options options = {
		.metric = METRIC_L2, .order = BUILD_ORDER_GRAPH, .m = 4, .seed = 1};
	float *rows = index_rows(COUNT, DIM, 1);
	uint32_t labels[COUNT];
	struct build_image image;
	struct segment segment;

	for (uint32_t row = 0; row < COUNT; row++)
		labels[row] = 3 * (COUNT - row);
	index_build_as(rows, labels, COUNT, DIM, &options, &image, &segment);
	for (uint32_t label = 0; label <= 3 * COUNT + 1; label++) {
		uint32_t node = segment_find(&segment, label);

		if (label % 3 || label == 0) {
			assert_int_equal(node, UINT32_MAX);
			continue;
		}
		assert_true(node < COUNT);
		assert_int_equal(segment.labels[node], label);
	}
	build_image_free(&image);
	free(rows);
}

static void few_vectors_are_numbered_too(void **state)
{
	const struct build_options options = {
		.metric = METRIC_L2, .order = BUILD_ORDER_GRAPH, .m = 4, .seed = 1};
	static const float rows[3 * DIM] = {[DIM] = 1};

	for (uint32_t count = 0; count <= 3; count++) {
		const struct search_params params = {.k = K, .ef = K};
		struct build_image image;
		struct segment segment;
		struct search_hit hits[K];
		struct search *search;

		index_build_as(rows, NULL, count, DIM, &options, &image, &segment);
		search = index_search(&segment);
		assert_int_equal(kinds_ask(search, &segment, rows, &params, hits), count);
		for (uint32_t i = 0; i < count; i++)
			assert_int_equal(hits[i].label, count == 3 && i ? 3 - i : i);
		search_free(search);
		build_image_free(&image);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_those_of_nodes_in_label_order),
		cmocka_unit_test(the_dead_are_left_out_in_both_orders),
		cmocka_unit_test(equal_distances_are_answered_by_label),
		cmocka_unit_test(any_number_of_threads_makes_the_same_bytes),
		cmocka_unit_test(the_graph_stays_and_lists_are_on_fewer_pages),
		cmocka_unit_test(every_label_is_found_and_no_other),
		cmocka_unit_test(few_vectors_are_numbered_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

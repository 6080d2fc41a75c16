/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/byteorder.h"
#include "base/defs.h"
#include "hnsw/layout.h"
#include "hnsw/truth.h"
#include "tests/lib/index.h"
#include "tests/lib/reseal.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Segments with codes of their edges: what they find, and that they can be trusted. */

#define ROWS    1200
#define DIM     48
#define QUERIES 60
#define K       10

struct variant {
	enum metric metric;
	enum vector_type type;
	enum build_rows rows;
};

/* Whole numbers, so that rows of bytes have the same vectors. */
static float *whole_rows(uint32_t count, uint64_t seed, enum vector_type type)
{
	float *rows = index_rows(count, DIM, seed);
	bool bytes = type == VECTOR_I8 || type == VECTOR_U8;

	for (size_t i = 0; bytes && i < (size_t)count * DIM; i++)
		rows[i] = rintf(rows[i] * 60) + (type == VECTOR_U8 ? 100 : 0);
	return rows;
}

static void build_of(const float *rows, const struct variant *variant, enum build_layout layout,
		     uint32_t threads, uint32_t m, struct build_image *ret_image)
{
	const struct build_options options = {.metric = variant->metric,
					      .type = variant->type,
					      .rows = variant->rows,
					      .layout = layout,
					      .m = m,
					      .ef_construction = 60,
					      .threads = threads,
					      .seed = 7};
	uint64_t bad_row;

	assert_int_equal(build_segment(rows, NULL, ROWS, DIM, &options, ret_image, &bad_row), 0);
}

static void build_with(const float *rows, const struct variant *variant, enum build_layout layout,
		       uint32_t threads, struct build_image *ret_image)
{
	build_of(rows, variant, layout, threads, 8, ret_image);
}

static int attach(const uint8_t *image, size_t size, struct segment *ret_segment)
{
	char error[200] = "";

	return segment_attach(image, size, ret_segment, error, sizeof(error));
}

static unsigned ask(const struct segment *segment, const float *query, uint32_t ef,
		    struct search_hit *hits)
{
	const struct search_params params = {.k = K, .ef = ef};
	struct search *search = index_search(segment);
	unsigned count;

	search_begin(search, segment, query, &params);
	search_burst(&search, 1);
	count = search_hits(search, hits, K);
	search_free(search);
	return count;
}

/* The ef that is so large that the plain layout finds everything. */
#define EF_ALL 400

static void check_variant(const struct variant *variant)
{
	float *rows = whole_rows(ROWS, 1, variant->type);
	float *queries = whole_rows(QUERIES, 1, variant->type);
	struct build_image plain_image, edges_image;
	struct segment plain, edges;
	unsigned found = 0;

	build_with(rows, variant, BUILD_LAYOUT_PLAIN, 2, &plain_image);
	build_with(rows, variant, BUILD_LAYOUT_EDGES, 2, &edges_image);
	assert_int_equal(attach(plain_image.bytes, plain_image.size, &plain), 0);
	assert_int_equal(attach(edges_image.bytes, edges_image.size, &edges), 0);
	assert_int_equal(edges.codes.bits, rotate_size(DIM));
	assert_true(edges.landmark_count > 0);
	for (uint32_t i = 0; i < QUERIES; i++) {
		struct search_hit expected[K], hits[K];

		assert_int_equal(ask(&plain, queries + (size_t)i * DIM, EF_ALL, expected), K);
		assert_int_equal(ask(&edges, queries + (size_t)i * DIM, 80, hits), K);
		/* Distances are exact, so each hit is as far as the plain layout says. */
		for (unsigned j = 0; j < K; j++)
			for (unsigned k = 0; k < K; k++)
				if (hits[j].label == expected[k].label)
					assert_true(fabsf(hits[j].distance - expected[k].distance) <
						    1e-4F);
		for (unsigned j = 0; j < K; j++)
			found += hits[j].distance <= expected[K - 1].distance + 1e-5F;
	}
	if (found < QUERIES * K * 97 / 100)
		fail_msg("%s, %s: %u of %u", metric_name(variant->metric),
			 vector_type_name(variant->type), found, QUERIES * K);
	build_image_free(&plain_image);
	build_image_free(&edges_image);
	free(rows);
	free(queries);
}

static void nearly_all_neighbours_are_found_whatever_the_metric_and_type(void **state)
{
	static const struct variant variants[] = {
		{METRIC_L2, VECTOR_F32, BUILD_ROWS_FULL},
		{METRIC_L2, VECTOR_F32, BUILD_ROWS_COMPACT},
		{METRIC_COSINE, VECTOR_F32, BUILD_ROWS_COMPACT},
		{METRIC_IP, VECTOR_F32, BUILD_ROWS_AUTO},
		{METRIC_COSINE, VECTOR_F16, BUILD_ROWS_AUTO},
		{METRIC_L2, VECTOR_BF16, BUILD_ROWS_AUTO},
		{METRIC_L2, VECTOR_U8, BUILD_ROWS_AUTO},
		{METRIC_COSINE, VECTOR_U8, BUILD_ROWS_AUTO},
		{METRIC_IP, VECTOR_I8, BUILD_ROWS_AUTO},
		{METRIC_COSINE, VECTOR_I8, BUILD_ROWS_AUTO},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(variants); i++)
		check_variant(&variants[i]);
}

static void bytes_do_not_depend_on_the_number_of_threads(void **state)
{
	static const struct variant variant = {METRIC_COSINE, VECTOR_F32, BUILD_ROWS_COMPACT};
	float *rows = whole_rows(ROWS, 1, VECTOR_F32);
	struct build_image one, three;

	(void)state;
	build_with(rows, &variant, BUILD_LAYOUT_EDGES, 1, &one);
	build_with(rows, &variant, BUILD_LAYOUT_EDGES, 3, &three);
	assert_int_equal(one.size, three.size);
	assert_memory_equal(one.bytes, three.bytes, one.size);
	build_image_free(&one);
	build_image_free(&three);
	free(rows);
}

static void a_search_alone_is_a_hop_a_row(void **state)
{
	static const struct variant variant = {METRIC_L2, VECTOR_F16, BUILD_ROWS_AUTO};
	const struct search_params params = {.k = K, .ef = 40};
	float *rows = whole_rows(ROWS, 1, VECTOR_F16);
	struct build_image image;
	struct segment segment;
	struct search *search;

	(void)state;
	build_with(rows, &variant, BUILD_LAYOUT_EDGES, 1, &image);
	assert_int_equal(attach(image.bytes, image.size, &segment), 0);
	search = index_search(&segment);
	search_begin(search, &segment, rows, &params);
	search_burst(&search, 1);
	assert_true(search_stats(search).hops >= params.ef);
	assert_true(search_stats(search).hops < 2 * params.ef);
	assert_int_equal(search_stats(search).hops, search_stats(search).distances);
	search_free(search);
	build_image_free(&image);
	free(rows);
}

static void bits_have_no_codes(void **state)
{
	static const struct variant variant = {METRIC_L2, VECTOR_B1, BUILD_ROWS_AUTO};
	float *rows = index_rows(ROWS, DIM, 1);
	struct build_image image;
	struct segment segment;

	(void)state;
	for (size_t i = 0; i < (size_t)ROWS * DIM; i++)
		rows[i] = rows[i] > 0 ? 1 : 0;
	build_with(rows, &variant, BUILD_LAYOUT_EDGES, 1, &image);
	assert_int_equal(attach(image.bytes, image.size, &segment), 0);
	assert_int_equal(segment.codes.bits, 0);
	build_image_free(&image);
	free(rows);
}

static void options_out_of_range_are_refused(void **state)
{
	struct build_options options = {.layout = BUILD_LAYOUT_EDGES, .edge_bits = 63};
	float row[DIM] = {0};
	struct build_image image;
	uint64_t bad_row;

	(void)state;
	assert_int_equal(build_segment(row, NULL, 1, DIM, &options, &image, &bad_row), -EINVAL);
	options.edge_bits = 128; /* more than 48 values have when they are padded */
	assert_int_equal(build_segment(row, NULL, 1, DIM, &options, &image, &bad_row), -EINVAL);
	options.edge_bits = 0;
	options.layout = BUILD_LAYOUT_COUNT;
	assert_int_equal(build_segment(row, NULL, 1, DIM, &options, &image, &bad_row), -EINVAL);
}

static void damage_is_refused_behind_a_right_checksum(void **state)
{
	float *rows = index_rows(ROWS, DIM, 1);
	struct build_image image;
	struct segment segment;

	(void)state;
	index_build_edges(rows, NULL, ROWS, DIM, METRIC_L2, &image, &segment);
	{
		const uint64_t landmarks = load_le64((uint8_t *)image.bytes + LAYOUT_AT_LANDMARKS);
		const struct {
			uint64_t at;
			uint32_t value;
		} words[] = {
			{LAYOUT_AT_EDGE_BITS, 32},        {LAYOUT_AT_EDGE_BITS, 128},
			{LAYOUT_AT_EDGE_BITS, 0},         {LAYOUT_AT_EDGE_BITS, UINT32_MAX},
			{LAYOUT_AT_LANDMARK_COUNT, ROWS}, {LAYOUT_AT_LANDMARK_COUNT, UINT32_MAX},
			{LAYOUT_AT_LANDMARKS, 0},         {LAYOUT_AT_MEAN, 0},
			{LAYOUT_AT_ROW_STRIDE, 64},       {landmarks, ROWS},
		};

		for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
			uint8_t *word = (uint8_t *)image.bytes + words[i].at;
			uint32_t before = load_le32(word);

			store_le32(word, words[i].value);
			reseal(image.bytes, image.size);
			if (attach(image.bytes, image.size, &segment) != SEGMENT_E_CORRUPT)
				fail_msg("word %zu was accepted", i);
			store_le32(word, before);
		}
	}
	reseal(image.bytes, image.size);
	assert_int_equal(attach(image.bytes, image.size, &segment), 0);
	build_image_free(&image);
	free(rows);
}

/* Codes can say anything: places that are not taken, and all the others, are as near as can be. */
static void codes_that_lie_mislead_but_do_no_harm(void **state)
{
	float *rows = index_rows(ROWS, DIM, 1);
	struct build_image image;
	struct segment segment;
	struct search_hit hits[K];

	(void)state;
	index_build_edges(rows, NULL, ROWS, DIM, METRIC_L2, &image, &segment);
	for (uint32_t node = 0; node < ROWS; node++)
		memset((uint8_t *)image.bytes + (segment.rows - segment.image) +
			       node * segment.row_stride + segment.edges_offset,
		       node % 2 ? 0xFE : 0xFF, codes_size(2 * segment.m, segment.codes.bits));
	reseal(image.bytes, image.size);
	assert_int_equal(attach(image.bytes, image.size, &segment), 0);
	for (uint32_t i = 0; i < QUERIES; i++)
		assert_int_equal(ask(&segment, rows + (size_t)i * DIM, 40, hits), K);
	build_image_free(&image);
	free(rows);
}

/* The landmarks and rows of an image, for tests that change what a walk can do. */
static uint32_t *landmarks_of(const struct build_image *image)
{
	return (void *)((uint8_t *)image->bytes +
			load_le64((uint8_t *)image->bytes + LAYOUT_AT_LANDMARKS));
}

static uint32_t *links_of(const struct build_image *image, const struct segment *segment,
			  uint32_t node)
{
	return (void *)((uint8_t *)image->bytes + (segment->rows - segment->image) +
			node * segment->row_stride);
}

/* Leaves codes without what they are of. */
static void cut_links(const struct build_image *image, const struct segment *segment, uint32_t node)
{
	memset(links_of(image, segment, node), 0xFF, 2 * segment->m * sizeof(uint32_t));
}

/* What a walk finds that takes the row that it begins at, and the two that seem nearest there. */
static uint32_t first_found(const struct segment *segment, const float *query)
{
	const struct search_params params = {.k = 1, .ef = 1};
	struct search *search = index_search(segment);
	struct search_hit hit;

	search_begin(search, segment, query, &params);
	search_burst(&search, 1);
	assert_int_equal(search_hits(search, &hit, 1), 1);
	assert_true(search_stats(search).hops <= 3);
	search_free(search);
	return hit.label;
}

/* Without links it ends there too. Codes only estimate, so that now and then another seems nearer.
 */
static void a_walk_begins_at_the_landmark_that_is_nearest(void **state)
{
	float *rows = index_rows(ROWS, DIM, 1);
	struct build_image image;
	struct segment segment;
	uint32_t right = 0;

	(void)state;
	index_build_edges(rows, NULL, ROWS, DIM, METRIC_L2, &image, &segment);
	assert_true(segment.landmark_count > CODES_BLOCK);
	for (uint32_t node = 0; node < ROWS; node++)
		cut_links(&image, &segment, node);
	for (uint32_t i = 0; i < segment.landmark_count; i++) {
		uint32_t landmark = segment.landmarks[i];

		right += first_found(&segment, rows + (size_t)landmark * DIM) == landmark;
	}
	if (right < segment.landmark_count * 9 / 10)
		fail_msg("%u of %u", right, segment.landmark_count);
	build_image_free(&image);
	free(rows);
}

/* Makes every walk begin at the node, whose row alone leads on. */
static void begin_at(const struct build_image *image, const struct segment *segment, uint32_t node,
		     const uint32_t *links)
{
	uint32_t *landmarks = landmarks_of(image);

	for (uint32_t i = 0; i < segment->landmark_count; i++)
		landmarks[i] = node;
	for (uint32_t i = 0; i < segment->count; i++)
		cut_links(image, segment, i);
	memcpy(links_of(image, segment, node), links, 2 * segment->m * sizeof(*links));
}

/* More than 32 neighbours have their codes in a second block. */
static void every_place_of_a_long_list_leads_on(void **state)
{
	static const struct variant variant = {METRIC_L2, VECTOR_F32, BUILD_ROWS_FULL};
	float *rows = index_rows(ROWS, DIM, 1);
	unsigned asked[2] = {0}, right[2] = {0};
	struct build_image whole, image;
	struct segment segment;

	(void)state;
	build_of(rows, &variant, BUILD_LAYOUT_EDGES, 2, 24, &whole);
	build_of(rows, &variant, BUILD_LAYOUT_EDGES, 2, 24, &image);
	assert_int_equal(attach(image.bytes, image.size, &segment), 0);
	for (uint32_t node = 0; node < ROWS; node++) {
		const uint32_t *links = links_of(&whole, &segment, node);

		if (links[CODES_BLOCK] == LAYOUT_NONE)
			continue;
		begin_at(&image, &segment, node, links);
		for (uint32_t place = 0; place < 48 && links[place] != LAYOUT_NONE; place += 5) {
			const float *query = rows + (size_t)links[place] * DIM;

			asked[place / CODES_BLOCK]++;
			right[place / CODES_BLOCK] += first_found(&segment, query) == links[place];
		}
	}
	for (unsigned i = 0; i < 2; i++) {
		if (asked[i] < 50 || right[i] < asked[i] * 3 / 4)
			fail_msg("block %u: %u of %u", i, right[i], asked[i]);
	}
	build_image_free(&whole);
	build_image_free(&image);
	free(rows);
}

/*
 * The first hop finds the query itself, the second step notes it, and each that follows changes
 * nothing. One machine for all, which has to forget the search before.
 */
static void patience_counts_the_hops_that_change_nothing(void **state)
{
	float *rows = index_rows(ROWS, DIM, 1);
	struct build_image image;
	struct segment segment;
	struct search *search;

	(void)state;
	index_build_edges(rows, NULL, ROWS, DIM, METRIC_L2, &image, &segment);
	search = index_search(&segment);
	for (uint32_t patience = 1; patience <= 60; patience++) {
		const struct search_params params = {.k = 1, .ef = 200, .patience = patience};
		uint32_t node = patience / 20 * 10;

		for (uint32_t i = 0; i < segment.landmark_count; i++)
			landmarks_of(&image)[i] = node;
		search_begin(search, &segment, rows + (size_t)node * DIM, &params);
		search_burst(&search, 1);
		assert_int_equal(search_stats(search).hops, patience + 2);
	}
	search_free(search);
	build_image_free(&image);
	free(rows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nearly_all_neighbours_are_found_whatever_the_metric_and_type),
		cmocka_unit_test(bytes_do_not_depend_on_the_number_of_threads),
		cmocka_unit_test(a_search_alone_is_a_hop_a_row),
		cmocka_unit_test(bits_have_no_codes),
		cmocka_unit_test(options_out_of_range_are_refused),
		cmocka_unit_test(damage_is_refused_behind_a_right_checksum),
		cmocka_unit_test(codes_that_lie_mislead_but_do_no_harm),
		cmocka_unit_test(a_walk_begins_at_the_landmark_that_is_nearest),
		cmocka_unit_test(every_place_of_a_long_list_leads_on),
		cmocka_unit_test(patience_counts_the_hops_that_change_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

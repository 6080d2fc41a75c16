/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/defs.h"
#include "base/rand.h"
#include "hnsw/build.h"
#include "hnsw/census.h"
#include "hnsw/layout.h"

#include <string.h>

#define ROWS 600
#define DIM  9

static float rows[ROWS * DIM];

static void make_rows(void)
{
	struct rand rand;

	rand_init(&rand, 11);
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
		rows[i] = (float)rand_below(&rand, 100);
}

static struct build_image build(const struct build_options *options, uint32_t count,
				struct segment *ret_segment)
{
	struct build_image image;
	uint64_t bad_row;
	char error[200];

	assert_int_equal(build_segment(rows, NULL, count, DIM, options, &image, &bad_row), 0);
	assert_int_equal(segment_attach(image.bytes, image.size, ret_segment, error, sizeof(error)),
			 0);
	return image;
}

static uint64_t sum_of(const uint32_t *counts, unsigned count)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < count; i++)
		sum += counts[i];
	return sum;
}

static void every_byte_is_of_one_part(void **state)
{
	static const struct build_options all[] = {
		{.rows = BUILD_ROWS_COMPACT, .layout = BUILD_LAYOUT_PLAIN},
		{.rows = BUILD_ROWS_FULL, .metric = METRIC_COSINE, .layout = BUILD_LAYOUT_PLAIN},
		{.type = VECTOR_F16, .m = 5},
		{.type = VECTOR_I8, .metric = METRIC_COSINE},
		{.type = VECTOR_U8},
		{.rows = BUILD_ROWS_COMPACT, .layout = BUILD_LAYOUT_EDGES},
		{.rows = BUILD_ROWS_FULL, .layout = BUILD_LAYOUT_EDGES, .m = 7},
		{.type = VECTOR_U8, .layout = BUILD_LAYOUT_EDGES},
	};
	struct census_part parts[CENSUS_PART_MAX];
	struct segment segment;

	make_rows();
	for (size_t i = 0; i < ARRAY_COUNT(all); i++) {
		struct build_image image = build(&all[i], ROWS, &segment);
		unsigned count = census_parts(&segment, parts);
		uint64_t sum = 0;

		for (unsigned p = 0; p < count; p++)
			sum += parts[p].size;
		assert_int_equal(sum, image.size);
		assert_string_equal(parts[count - 1].name, "padding");
		/* Less than a cache line for each part of a row, and for each section. */
		assert_true(parts[count - 1].size <
			    (uint64_t)SEGMENT_ALIGN * (5 * ROWS + segment.upper_count + 16));
		build_image_free(&image);
	}
}

static void twins_are_counted_apart_and_all_else_is_reached(void **state)
{
	const struct build_options options = {.m = 4, .type = VECTOR_U8};
	struct segment segment;
	struct build_image image;
	struct census census;

	make_rows();
	for (uint32_t row = 100; row < 130; row++)
		memcpy(rows + (size_t)row * DIM, rows, DIM * sizeof(float));
	image = build(&options, ROWS, &segment);
	assert_int_equal(census_take(&segment, &census), 0);
	assert_int_equal(census.twin_count, 30);
	assert_int_equal(census.graph_count, ROWS - 30);
	assert_int_equal(census.reached, ROWS - 30);
	assert_true(census.reached_below <= census.reached);
	assert_int_equal(sum_of(census.level_counts, SEGMENT_LEVEL_MAX + 1), ROWS - 30);
	assert_int_equal(sum_of(census.degrees, 2 * SEGMENT_M_MAX + 1), ROWS - 30);
	assert_int_equal(sum_of(census.upper_degrees, SEGMENT_M_MAX + 1), segment.upper_count);
	assert_true(census.in_least <= census.in_median && census.in_median <= census.in_most);
	build_image_free(&image);
}

static uint32_t *links_of(const struct build_image *image, const struct segment *segment,
			  uint32_t node)
{
	return (uint32_t *)(void *)((uint8_t *)image->bytes + (segment->rows - segment->image) +
				    node * segment->row_stride);
}

static uint64_t weighted_sum_of(const uint32_t *counts, unsigned count)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < count; i++)
		sum += (uint64_t)i * counts[i];
	return sum;
}

/* Counts the links of level 0, and in how many lists each node is. */
static uint64_t count_links(const struct segment *segment, uint32_t *in)
{
	uint64_t links = 0;

	for (uint32_t node = 0; node < segment->count; node++) {
		const uint32_t *row = layout_row(segment, node);

		for (uint32_t i = 0; i < 2 * segment->m && row[i] != LAYOUT_NONE; i++) {
			in[row[i]]++;
			links++;
		}
	}
	return links;
}

static uint64_t count_upper_links(const struct segment *segment)
{
	uint64_t links = 0;

	for (uint32_t record = 0; record < segment->upper_count; record++) {
		const struct layout_link *list = layout_record(segment, record);

		for (uint32_t i = 0; i < segment->m && list[i].node != LAYOUT_NONE; i++)
			links++;
	}
	return links;
}

static void degrees_add_up_to_the_links(void **state)
{
	const struct build_options options = {.m = 4, .type = VECTOR_U8};
	uint32_t in[ROWS] = {0}, less = 0, more = 0, least = UINT32_MAX, most = 0;
	struct segment segment;
	struct build_image image;
	struct census census;

	make_rows();
	image = build(&options, ROWS, &segment);
	assert_int_equal(census_take(&segment, &census), 0);
	assert_int_equal(weighted_sum_of(census.degrees, 2 * SEGMENT_M_MAX + 1),
			 count_links(&segment, in));
	assert_int_equal(weighted_sum_of(census.upper_degrees, SEGMENT_M_MAX + 1),
			 count_upper_links(&segment));
	for (uint32_t node = 0; node < ROWS; node++) {
		less += in[node] < census.in_median;
		more += in[node] > census.in_median;
		least = MIN(least, in[node]);
		most = MAX(most, in[node]);
	}
	assert_true(less <= ROWS / 2 && more <= ROWS / 2);
	assert_true(census.in_least == least && census.in_most == most);
	build_image_free(&image);
}

/* One that no list above leads to. */
static uint32_t node_of_level_0(const struct segment *segment)
{
	const struct layout_owner *owners =
		(const void *)(segment->image + load_le64(segment->image + LAYOUT_AT_OWNERS));
	uint32_t node = 0;

	/* Owners ascend. */
	for (uint32_t i = 0; i < segment->upper_count; i++)
		node += owners[i].node == node;
	assert_true(node != segment->entry);
	return node;
}

static void a_node_that_nothing_leads_to_is_found(void **state)
{
	const struct build_options options = {.m = 4, .type = VECTOR_U8};
	struct segment segment;
	struct build_image image;
	struct census before, after;
	uint32_t lost, lists = 0;

	make_rows();
	image = build(&options, ROWS, &segment);
	assert_int_equal(census_take(&segment, &before), 0);
	lost = node_of_level_0(&segment);
	for (uint32_t node = 0; node < ROWS; node++) {
		uint32_t *links = links_of(&image, &segment, node), kept = 0;

		for (uint32_t i = 0; i < 2 * segment.m && links[i] != LAYOUT_NONE; i++)
			if (links[i] != lost)
				links[kept++] = links[i];
			else
				lists++;
		for (; kept < 2 * segment.m; kept++)
			links[kept] = LAYOUT_NONE;
	}
	assert_true(lists > 0);
	assert_int_equal(before.in_none, 0);
	assert_int_equal(census_take(&segment, &after), 0);
	assert_int_equal(after.in_none, 1);
	assert_int_equal(after.in_least, 0);
	assert_int_equal(after.reached, ROWS - 1);
	build_image_free(&image);
}

static void an_empty_segment_and_one_of_one_node_are_counted(void **state)
{
	const struct build_options options = {.m = 4};
	struct segment segment;
	struct build_image image;
	struct census census;

	make_rows();
	image = build(&options, 0, &segment);
	assert_int_equal(census_take(&segment, &census), 0);
	assert_int_equal(census.graph_count, 0);
	build_image_free(&image);
	image = build(&options, 1, &segment);
	assert_int_equal(census_take(&segment, &census), 0);
	assert_int_equal(census.graph_count, 1);
	assert_int_equal(census.reached, 1);
	assert_int_equal(census.in_none, 1);
	assert_int_equal(census.degrees[0], 1);
	build_image_free(&image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_byte_is_of_one_part),
		cmocka_unit_test(degrees_add_up_to_the_links),
		cmocka_unit_test(twins_are_counted_apart_and_all_else_is_reached),
		cmocka_unit_test(a_node_that_nothing_leads_to_is_found),
		cmocka_unit_test(an_empty_segment_and_one_of_one_node_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

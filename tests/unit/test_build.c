/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/defs.h"
#include "hnsw/layout.h"
#include "tests/lib/index.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 2000
#define DIM  12

static void any_number_of_threads_builds_the_same_bytes(void **state)
{
	float *rows = index_rows(ROWS, DIM, 3);
	struct build_image first = {0};
	uint64_t bad_row;

	for (uint32_t threads = 1; threads <= 4; threads++) {
		const struct build_options options = {.metric = METRIC_COSINE,
						      .seed = 5,
						      .threads = threads,
						      .ef_construction = 50};
		struct build_image image;

		assert_int_equal(build_segment(rows, NULL, ROWS, DIM, &options, &image, &bad_row),
				 0);
		if (threads == 1) {
			first = image;
			continue;
		}
		assert_int_equal(image.size, first.size);
		assert_memory_equal(image.bytes, first.bytes, first.size);
		build_image_free(&image);
	}
	build_image_free(&first);
	free(rows);
}

static void another_seed_builds_another_graph(void **state)
{
	float *rows = index_rows(200, DIM, 3);
	struct build_options options = {.seed = 1, .m = 4};
	struct build_image a, b;
	uint64_t bad_row;

	assert_int_equal(build_segment(rows, NULL, 200, DIM, &options, &a, &bad_row), 0);
	options.seed = 2;
	assert_int_equal(build_segment(rows, NULL, 200, DIM, &options, &b, &bad_row), 0);
	assert_true(a.size != b.size || memcmp(a.bytes, b.bytes, a.size) != 0);
	build_image_free(&a);
	build_image_free(&b);
	free(rows);
}

static void a_value_that_is_no_number_is_refused_with_its_row(void **state)
{
	static const float values[] = {NAN, INFINITY, -INFINITY};
	float *rows = index_rows(50, DIM, 3);
	const struct build_options options = {.seed = 1};
	struct build_image image;
	uint64_t bad_row;

	for (size_t i = 0; i < ARRAY_COUNT(values); i++) {
		size_t at = (size_t)(10 + i) * DIM + DIM - 1;
		float before = rows[at];

		rows[at] = values[i];
		bad_row = 0;
		assert_int_equal(build_segment(rows, NULL, 50, DIM, &options, &image, &bad_row),
				 BUILD_E_VALUE);
		assert_int_equal(bad_row, 10 + i);
		rows[at] = before;
	}
	free(rows);
}

static void a_value_that_the_type_cant_hold_is_refused_with_its_row(void **state)
{
	static const struct {
		enum vector_type type;
		float good, bad;
	} values[] = {
		{VECTOR_U8, 255, 256}, {VECTOR_U8, 1, 1.5F},  {VECTOR_I8, -128, -129},
		{VECTOR_B1, 1, 2},     {VECTOR_F16, 1, 1e5F},
	};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		const struct build_options options = {.type = values[i].type, .seed = 1};
		float rows[3] = {1, values[i].good, 0};
		struct build_image image;
		uint64_t bad_row = 0;

		assert_int_equal(build_segment(rows, NULL, 3, 1, &options, &image, &bad_row), 0);
		build_image_free(&image);
		rows[1] = values[i].bad;
		assert_int_equal(build_segment(rows, NULL, 3, 1, &options, &image, &bad_row),
				 BUILD_E_TYPE);
		assert_int_equal(bad_row, 1);
	}
}

/* The same sweep gives both: the ef of the target, and those of all recalls. */
static void the_ef_of_a_target_is_the_one_tuned_for_that_recall(void **state)
{
	float *rows = index_rows(ROWS, DIM, 3);

	for (unsigned i = 0; i < SEGMENT_RECALL_COUNT; i++) {
		const struct build_options options = {.m = 3,
						      .ef_construction = 20,
						      .recall_target = segment_recalls[i],
						      .seed = 1};
		struct build_image image;
		struct segment segment;
		char error[200];
		uint64_t bad_row;

		assert_int_equal(build_segment(rows, NULL, ROWS, DIM, &options, &image, &bad_row),
				 0);
		assert_int_equal(
			segment_attach(image.bytes, image.size, &segment, error, sizeof(error)), 0);
		assert_int_equal(segment.ef_default, segment.ef_tuned[i]);
		/* So few neighbours take more, the more is to be found. */
		assert_true(segment.ef_tuned[0] < segment.ef_tuned[SEGMENT_RECALL_COUNT - 1]);
		build_image_free(&image);
	}
	free(rows);
}

static void options_out_of_range_are_refused(void **state)
{
	static const struct build_options wrong[] = {
		{.m = 1},
		{.m = SEGMENT_M_MAX + 1},
		{.ef_construction = SEARCH_EF_MAX + 1},
		{.threads = 100000},
		{.metric = METRIC_COUNT},
		{.recall_target = 1.5F},
	};
	float *rows = index_rows(10, DIM, 3);
	const struct build_options options = {.seed = 1};
	struct build_image image;
	uint64_t bad_row;

	for (size_t i = 0; i < ARRAY_COUNT(wrong); i++)
		assert_int_equal(build_segment(rows, NULL, 10, DIM, &wrong[i], &image, &bad_row),
				 -EINVAL);
	assert_int_equal(build_segment(rows, NULL, 10, 0, &options, &image, &bad_row), -EINVAL);
	assert_int_equal(
		build_segment(rows, NULL, 10, SEGMENT_DIM_MAX + 1, &options, &image, &bad_row),
		-EINVAL);
	free(rows);
}

static void equal_labels_are_refused(void **state)
{
	const uint32_t labels[] = {5, 9, 5};
	float *rows = index_rows(3, DIM, 3);
	const struct build_options options = {.seed = 1};
	struct build_image image;
	uint64_t bad_row;

	assert_int_equal(build_segment(rows, labels, 3, DIM, &options, &image, &bad_row), -EINVAL);
	free(rows);
}

static void rows_are_found_by_label_in_any_order(void **state)
{
	const uint32_t labels[] = {40, 7, UINT32_MAX, 12, 0};
	float *rows = index_rows(ARRAY_COUNT(labels), DIM, 3);
	struct build_image image;
	struct segment segment;
	struct search *search;

	index_build(rows, labels, ARRAY_COUNT(labels), DIM, METRIC_L2, &image, &segment);
	search = index_search(&segment);
	for (size_t i = 0; i < ARRAY_COUNT(labels); i++) {
		const struct search_params params = {.k = 1};
		struct search_hit hit;

		search_begin(search, &segment, rows + i * DIM, &params);
		search_burst(&search, 1);
		assert_int_equal(search_hits(search, &hit, 1), 1);
		assert_int_equal(hit.label, labels[i]);
		assert_true(hit.distance == 0);
	}
	search_free(search);
	build_image_free(&image);
	free(rows);
}

static void cosine_rows_are_normalised_and_zero_stays_zero(void **state)
{
	float *rows = index_rows(20, DIM, 3);
	struct build_image image;
	struct segment segment;

	for (uint32_t i = 0; i < DIM; i++)
		rows[i] = i % 2 ? 0.0F : -0.0F;
	index_build(rows, NULL, 20, DIM, METRIC_COSINE, &image, &segment);
	for (uint32_t node = 0; node < 20; node++) {
		float vector[DIM];
		double sum = 0;

		segment_vector(&segment, node, vector);
		for (uint32_t i = 0; i < DIM; i++)
			sum += (double)vector[i] * (double)vector[i];
		assert_true(fabs(sum - (node ? 1 : 0)) < 1e-6);
	}
	build_image_free(&image);
	free(rows);
}

struct told {
	uint64_t calls;
	uint64_t done;
	uint64_t total;
};

static void note_progress(void *context, uint64_t done, uint64_t total)
{
	struct told *told = context;

	assert_true(done >= told->done);
	told->calls++;
	told->done = done;
	told->total = total;
}

static void progress_reaches_the_total(void **state)
{
	float *rows = index_rows(300, DIM, 3);
	struct told told = {0};
	const struct build_options options = {
		.seed = 1, .progress = note_progress, .context = &told};
	struct build_image image;
	uint64_t bad_row;

	assert_int_equal(build_segment(rows, NULL, 300, DIM, &options, &image, &bad_row), 0);
	assert_true(told.calls > 10);
	assert_int_equal(told.done, 300);
	assert_int_equal(told.total, 300);
	build_image_free(&image);
	free(rows);
}

static void nothing_and_one_row_are_indexes_too(void **state)
{
	float *rows = index_rows(1, DIM, 3);

	for (uint32_t count = 0; count <= 1; count++) {
		const struct search_params params = {.k = 3};
		struct build_image image;
		struct segment segment;
		struct search *search;
		struct search_hit hits[3];

		index_build(rows, NULL, count, DIM, METRIC_IP, &image, &segment);
		search = index_search(&segment);
		search_begin(search, &segment, rows, &params);
		search_burst(&search, 1);
		assert_int_equal(search_hits(search, hits, 3), count);
		search_free(search);
		build_image_free(&image);
	}
	free(rows);
}

/* Marks what can be reached at level 0. */
static uint32_t count_reached(const struct segment *segment, bool *reached)
{
	uint32_t *queue = malloc(segment->count * sizeof(*queue));
	uint32_t count = 0;

	assert_non_null(queue);
	queue[count++] = segment->entry;
	reached[segment->entry] = true;
	for (uint32_t at = 0; at < count; at++) {
		const uint32_t *links = layout_row(segment, queue[at]);

		for (uint32_t i = 0; i < 2 * segment->m && links[i] != LAYOUT_NONE; i++) {
			if (!reached[links[i]])
				queue[count++] = links[i];
			reached[links[i]] = true;
		}
	}
	free(queue);
	return count;
}

static void a_thousand_copies_of_a_row_do_not_cut_the_graph(void **state)
{
	float *rows = index_rows(ROWS, DIM, 3);
	bool *reached = calloc(ROWS, sizeof(*reached));
	struct build_image image;
	struct segment segment;

	assert_non_null(reached);
	for (uint32_t row = 500; row < 1500; row++)
		memcpy(rows + (size_t)row * DIM, rows, DIM * sizeof(float));
	index_build(rows, NULL, ROWS, DIM, METRIC_L2, &image, &segment);
	assert_int_equal(count_reached(&segment, reached), ROWS - 1000);
	for (uint32_t node = 500; node < 1500; node++)
		assert_false(reached[node]);
	build_image_free(&image);
	free(reached);
	free(rows);
}

/* With so few neighbours, cutting lists leaves some nodes in none of them. */
static void every_node_can_be_reached(void **state)
{
	const struct build_options options = {.m = 3, .ef_construction = 20, .seed = 1};
	float *rows = index_rows(ROWS, DIM, 3);
	bool *reached = calloc(ROWS, sizeof(*reached));
	struct build_image image;
	struct segment segment;
	char error[200];
	uint64_t bad_row;

	assert_non_null(reached);
	assert_int_equal(build_segment(rows, NULL, ROWS, DIM, &options, &image, &bad_row), 0);
	assert_int_equal(segment_attach(image.bytes, image.size, &segment, error, sizeof(error)),
			 0);
	assert_int_equal(count_reached(&segment, reached), ROWS);
	build_image_free(&image);
	free(reached);
	free(rows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_number_of_threads_builds_the_same_bytes),
		cmocka_unit_test(another_seed_builds_another_graph),
		cmocka_unit_test(a_value_that_is_no_number_is_refused_with_its_row),
		cmocka_unit_test(a_value_that_the_type_cant_hold_is_refused_with_its_row),
		cmocka_unit_test(the_ef_of_a_target_is_the_one_tuned_for_that_recall),
		cmocka_unit_test(options_out_of_range_are_refused),
		cmocka_unit_test(equal_labels_are_refused),
		cmocka_unit_test(rows_are_found_by_label_in_any_order),
		cmocka_unit_test(cosine_rows_are_normalised_and_zero_stays_zero),
		cmocka_unit_test(progress_reaches_the_total),
		cmocka_unit_test(nothing_and_one_row_are_indexes_too),
		cmocka_unit_test(a_thousand_copies_of_a_row_do_not_cut_the_graph),
		cmocka_unit_test(every_node_can_be_reached),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

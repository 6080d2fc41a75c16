/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/defs.h"
#include "hnsw/rows_batch.h"
#include "tests/lib/kinds.h"

#include <stdlib.h>
#include <string.h>

/* Rows of segments of every kind, many with many, against one by one. */

#define ROWS 75

static struct rows_query query_of(const struct rows_form *form, const struct rows *rows,
				  uint32_t node)
{
	struct rows_query query;

	rows_query_row(form, rows_at(rows, node), rows_factors_at(rows, node), &query);
	return query;
}

/* Some rows from 'first' on beside some queries, of which there need not be many. */
static void compare(const struct rows_form *form, const struct rows *rows, uint32_t first,
		    uint32_t count, uint32_t query_count)
{
	uint8_t *memory = aligned_alloc(DIST_ALIGN, dist_batch_size(rows->size));
	float distances[ROWS_BATCH_ROWS * DIST_BATCH_QUERIES];
	struct rows_query queries[DIST_BATCH_QUERIES];
	struct rows_batch batch;

	assert_non_null(memory);
	for (uint32_t i = 0; i < query_count; i++)
		queries[i] = query_of(form, rows, i * 2);
	rows_batch_init(&batch, form, rows, queries, query_count, memory);
	rows_batch_distances(&batch, rows, first, count, distances);
	for (uint32_t i = 0; i < count; i++) {
		for (uint32_t j = 0; j < query_count; j++) {
			float expected = rows_distance(&queries[j], rows, first + i);

			assert_memory_equal(&distances[i * DIST_BATCH_QUERIES + j], &expected,
					    sizeof(expected));
		}
	}
	free(memory);
}

static uint32_t compare_all(const struct rows_form *form, const struct rows *rows)
{
	if (!rows_batch_can(form))
		return 0;
	compare(form, rows, 0, ROWS_BATCH_ROWS, DIST_BATCH_QUERIES);
	compare(form, rows, ROWS - 11, 11, 7);
	compare(form, rows, 3, 1, 1);
	compare(form, rows, 3, 0, 1);
	return 1;
}

static void batches_are_the_same_as_one_by_one(void **state)
{
	static const uint32_t dims[] = {1, 64, 130};
	uint32_t compared = 0, plain = 0, compact = 0;

	for (size_t i = 0; i < kinds_count * ARRAY_COUNT(dims); i++) {
		const struct kind *kind = &kinds[i / ARRAY_COUNT(dims)];
		struct kinds_input input = {.count = ROWS, .dim = dims[i % ARRAY_COUNT(dims)]};
		float *vectors = kinds_vectors(kind->type, input.count, input.dim, 1);
		struct build_image image;
		struct segment segment;
		struct rows_form form;
		struct rows exact;

		input.rows = vectors;
		kinds_build(kind, &input, &image, &segment);
		segment_exact(&segment, &form, &exact);
		compared += compare_all(&form, &exact);
		if (segment.form.compact)
			compact += compare_all(&segment.form, &segment.compared);
		else
			plain++;
		build_image_free(&image);
		free(vectors);
	}
	assert_true(compared > 0 && plain > 0 && compact > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(batches_are_the_same_as_one_by_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

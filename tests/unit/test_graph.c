/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "hnsw/layout.h"
#include "hnsw/truth.h"
#include "tests/lib/index.h"
#include "tests/lib/kinds.h"

#include <stdlib.h>

/*
 * Whom a graph that is linked on compact rows has as neighbours.
 *
 * One huge value a row makes the codes of all others coarse: algorithm 4 would take for the
 * nearest, and for those that cover another, whoever the rounding has made it.
 */

#define COUNT 2000
#define DIM   64
#define HUGE  100

/* Links to a node that is nearer to an earlier neighbour than to the node itself, per node. */
static double covered_links(const float *rows, enum metric metric, enum build_rows kind)
{
	const struct kind how = {metric, VECTOR_F32, kind, BUILD_LAYOUT_PLAIN};
	const struct kinds_input input = {rows, COUNT, DIM, .threads = 2};
	struct build_image image;
	struct segment segment;
	uint32_t covered = 0;

	kinds_build(&how, &input, &image, &segment);
	for (uint32_t node = 0; node < COUNT; node++) {
		const uint32_t *links = layout_row(&segment, node);
		const float *row = rows + (size_t)node * DIM;

		for (uint32_t i = 1; i < 2 * segment.m && links[i] != LAYOUT_NONE; i++) {
			const float *other = rows + (size_t)links[i] * DIM;
			double distance = truth_distance(metric, row, other, DIM);
			uint32_t j = 0;

			while (j < i && truth_distance(metric, other, rows + (size_t)links[j] * DIM,
						       DIM) >= distance)
				j++;
			covered += j < i;
		}
	}
	build_image_free(&image);
	return (double)covered / COUNT;
}

/* Links back are added as they come until a list is full, so there are some in any graph. */
static void neighbours_are_chosen_by_the_vectors_themselves(void **state)
{
	float *rows = index_rows(COUNT, DIM, 1);

	for (uint32_t row = 0; row < COUNT; row++)
		rows[(size_t)row * DIM + row % DIM] = HUGE;
	for (unsigned metric = METRIC_L2; metric <= METRIC_IP; metric++) {
		double full = covered_links(rows, (enum metric)metric, BUILD_ROWS_FULL);
		double compact = covered_links(rows, (enum metric)metric, BUILD_ROWS_COMPACT);

		print_message("%s: %.2f covered links a node by compact rows, %.2f by full ones\n",
			      metric_name((enum metric)metric), compact, full);
		assert_true(compact < 1.9 * full);
	}
	free(rows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(neighbours_are_chosen_by_the_vectors_themselves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

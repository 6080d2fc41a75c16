/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/rand.h"
#include "cluster/kmeans.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DIM       5
#define ROW_COUNT 3000

static float rows[ROW_COUNT * DIM];
static uint32_t clusters[ROW_COUNT], again[ROW_COUNT];

/* 'groups' heaps of unequal size: heap g has twice the rows of heap g + 1, the last one the rest.
 */
static uint32_t heap_of(uint32_t row, uint32_t groups)
{
	uint32_t group = 0, left = ROW_COUNT;

	while (group + 1 < groups && row >= ROW_COUNT - left / 2) {
		left /= 2;
		group++;
	}
	return group;
}

static void make_heaps(uint32_t groups, double spread)
{
	struct rand rand;

	rand_init(&rand, 7);
	for (uint32_t i = 0; i < ROW_COUNT; i++)
		for (uint32_t d = 0; d < DIM; d++)
			rows[i * DIM + d] = (float)(100.0 * (heap_of(i, groups) == d) +
						    spread * rand_unit(&rand));
}

static int run(const struct kmeans_options *options, uint32_t threads, uint32_t *to)
{
	const struct kmeans_rows input = {.source = vector_source_floats(rows, DIM),
					  .count = ROW_COUNT};
	struct workers *workers;
	int result;

	assert_int_equal(workers_new(threads, &workers), 0);
	result = kmeans_run(&input, options, workers, to);
	workers_free(workers);
	return result;
}

static void count_clusters(const uint32_t *of, uint32_t k, uint32_t *counts)
{
	memset(counts, 0, k * sizeof(*counts));
	for (uint32_t i = 0; i < ROW_COUNT; i++) {
		assert_true(of[i] < k);
		counts[of[i]]++;
	}
}

static void heaps_that_lie_apart_are_found(void **state)
{
	const struct kmeans_options options = {.cluster_count = 4, .iteration_max = 20, .seed = 1};

	make_heaps(4, 1);
	assert_int_equal(run(&options, 1, clusters), 0);
	/* Rows share a cluster when, and only when, they share a heap. */
	for (uint32_t i = 1; i < ROW_COUNT; i++)
		assert_int_equal(clusters[i] == clusters[0], heap_of(i, 4) == heap_of(0, 4));
	for (uint32_t i = 0; i < ROW_COUNT - 1; i++)
		assert_int_equal(clusters[i] == clusters[ROW_COUNT - 1],
				 heap_of(i, 4) == heap_of(ROW_COUNT - 1, 4));
}

static void no_cluster_is_over_its_capacity(void **state)
{
	uint32_t counts[16];

	for (uint32_t k = 1; k <= 16; k += 5)
		for (int spread = 0; spread < 3; spread++) {
			const struct kmeans_options options = {
				.cluster_count = k,
				.capacity = ROW_COUNT / k + 1,
				.iteration_max = 5,
				.seed = 3,
			};

			/* With spread 0 there are but three different rows. */
			make_heaps(3, 50.0 * spread);
			assert_int_equal(run(&options, 2, clusters), 0);
			count_clusters(clusters, k, counts);
			for (uint32_t c = 0; c < k; c++)
				assert_true(counts[c] <= options.capacity);
		}
}

static void the_answer_does_not_depend_on_the_threads(void **state)
{
	struct kmeans_options options = {
		.cluster_count = 7, .capacity = 450, .iteration_max = 10, .seed = 5};

	make_heaps(5, 80);
	for (int spherical = 0; spherical < 2; spherical++) {
		options.spherical = spherical;
		assert_int_equal(run(&options, 1, clusters), 0);
		assert_int_equal(run(&options, 4, again), 0);
		assert_memory_equal(clusters, again, sizeof(clusters));
	}
}

static void the_seed_decides(void **state)
{
	struct kmeans_options options = {.cluster_count = 7, .iteration_max = 1, .seed = 5};

	make_heaps(5, 80);
	assert_int_equal(run(&options, 1, clusters), 0);
	options.seed = 6;
	assert_int_equal(run(&options, 1, again), 0);
	assert_memory_not_equal(clusters, again, sizeof(clusters));
}

static void spherical_clusters_are_directions(void **state)
{
	const struct kmeans_options options = {
		.cluster_count = 2, .iteration_max = 10, .seed = 1, .spherical = true};
	struct rand rand;

	/* Two directions, of lengths from 1 to 1000: Euclidean clusters would split by length. */
	rand_init(&rand, 11);
	for (uint32_t i = 0; i < ROW_COUNT; i++) {
		float length = (float)(1 + 999 * rand_unit(&rand));

		for (uint32_t d = 0; d < DIM; d++)
			rows[i * DIM + d] = length * (d % 2 == i % 2);
	}
	assert_int_equal(run(&options, 1, clusters), 0);
	for (uint32_t i = 0; i < ROW_COUNT; i++)
		assert_int_equal(clusters[i] == clusters[0], i % 2 == 0);
}

static void a_sample_is_enough_to_train_on(void **state)
{
	const struct kmeans_options options = {
		.cluster_count = 4, .sample_max = 500, .iteration_max = 20, .seed = 1};

	make_heaps(4, 1);
	assert_int_equal(run(&options, 2, clusters), 0);
	for (uint32_t i = 1; i < ROW_COUNT; i++)
		assert_int_equal(clusters[i] == clusters[0], heap_of(i, 4) == heap_of(0, 4));
}

static void huge_values_and_zero_rows_do_no_harm(void **state)
{
	struct kmeans_options options = {
		.cluster_count = 6, .capacity = 600, .iteration_max = 5, .seed = 1};
	uint32_t counts[6];

	for (uint32_t i = 0; i < ROW_COUNT * DIM; i++)
		rows[i] = i % 7 == 0 ? FLT_MAX : i % 3 == 0 ? -FLT_MAX : 0;
	for (int spherical = 0; spherical < 2; spherical++) {
		options.spherical = spherical;
		assert_int_equal(run(&options, 1, clusters), 0);
		count_clusters(clusters, 6, counts);
		for (uint32_t c = 0; c < 6; c++)
			assert_true(counts[c] <= 600);
	}
}

static void impossible_options_are_refused(void **state)
{
	struct kmeans_options options = {.cluster_count = 0, .iteration_max = 1};

	assert_int_equal(run(&options, 1, clusters), -EINVAL);
	options.cluster_count = KMEANS_CLUSTER_MAX + 1;
	assert_int_equal(run(&options, 1, clusters), -EINVAL);
	options.cluster_count = 2;
	options.capacity = ROW_COUNT / 2 - 1;
	assert_int_equal(run(&options, 1, clusters), -EINVAL);
}

static void more_clusters_than_rows_are_fine(void **state)
{
	const struct kmeans_rows input = {.source = vector_source_floats(rows, DIM), .count = 3};
	const struct kmeans_options options = {
		.cluster_count = 8, .capacity = 1, .iteration_max = 5, .seed = 1};
	const struct kmeans_rows none = {.source = vector_source_floats(rows, DIM), .count = 0};
	struct workers *workers;

	make_heaps(3, 10);
	assert_int_equal(workers_new(1, &workers), 0);
	assert_int_equal(kmeans_run(&input, &options, workers, clusters), 0);
	assert_true(clusters[0] != clusters[1] && clusters[1] != clusters[2] &&
		    clusters[0] != clusters[2]);
	assert_int_equal(kmeans_run(&none, &options, workers, clusters), 0);
	workers_free(workers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heaps_that_lie_apart_are_found),
		cmocka_unit_test(no_cluster_is_over_its_capacity),
		cmocka_unit_test(the_answer_does_not_depend_on_the_threads),
		cmocka_unit_test(the_seed_decides),
		cmocka_unit_test(spherical_clusters_are_directions),
		cmocka_unit_test(a_sample_is_enough_to_train_on),
		cmocka_unit_test(huge_values_and_zero_rows_do_no_harm),
		cmocka_unit_test(impossible_options_are_refused),
		cmocka_unit_test(more_clusters_than_rows_are_fine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/defs.h"
#include "base/rand.h"
#include "hnsw/truth.h"
#include "tests/lib/filters.h"
#include "tests/lib/index.h"

#include <math.h>
#include <roaring/roaring.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/*
 * Random small indexes of both layouts and orders, queries and filters against comparing with
 * everything: as many hits as are allowed up to k, each allowed, none twice, in order, with the
 * right distance; and nearly all of them the true ones.
 */

#define SEED      UINT64_C(30)
#define ROUNDS    60
#define QUERIES   10
#define ROWS_MAX  800
#define DIM_MAX   40
#define K_MAX     30
#define LABEL_MAX 5000

struct scene {
	uint32_t count;
	uint32_t dim;
	enum metric metric;
	float *rows;
	uint32_t labels[ROWS_MAX];
	uint32_t row_of[LABEL_MAX + 1]; /* UINT32_MAX: nobody's label */
	struct build_image image;
	struct segment segment;
	struct search *search;
	uint64_t found;
	uint64_t expected;
};

static void scene_init(struct scene *scene, struct rand *rand)
{
	struct build_options options;

	scene->count = (uint32_t)rand_below(rand, ROWS_MAX) + 1;
	scene->dim = (uint32_t)rand_below(rand, DIM_MAX) + 1;
	scene->metric = (enum metric)rand_below(rand, METRIC_COUNT);
	scene->rows = index_rows(scene->count, scene->dim, rand_next(rand));
	memset(scene->row_of, 0xFF, sizeof(scene->row_of));
	for (uint32_t row = 0; row < scene->count; row++) {
		uint32_t label;

		do
			label = (uint32_t)rand_below(rand, LABEL_MAX + 1);
		while (scene->row_of[label] != UINT32_MAX);
		scene->labels[row] = label;
		scene->row_of[label] = row;
		/* A fifth of the rows are copies. */
		if (row > 0 && rand_below(rand, 5) == 0)
			memcpy(scene->rows + (size_t)row * scene->dim,
			       scene->rows + rand_below(rand, row) * scene->dim,
			       scene->dim * sizeof(float));
	}
	options = (struct build_options){
		.metric = scene->metric,
		.layout = rand_below(rand, 2) ? BUILD_LAYOUT_PLAIN : BUILD_LAYOUT_EDGES,
		.order = (enum build_order)rand_below(rand, BUILD_ORDER_COUNT),
		.m = 8,
		.ef_construction = 60,
		.seed = 7,
	};
	index_build_as(scene->rows, scene->labels, scene->count, scene->dim, &options,
		       &scene->image, &scene->segment);
	scene->search = index_search(&scene->segment);
}

static void scene_deinit(struct scene *scene)
{
	search_free(scene->search);
	build_image_free(&scene->image);
	free(scene->rows);
}

/* A filter over all labels that lets about 'share' of them through. */
static void fill_filter(struct filter *filter, struct rand *rand, double share)
{
	roaring_bitmap_t *bitmap = roaring_bitmap_create();

	for (uint32_t label = 0; label <= LABEL_MAX; label++)
		if (rand_unit(rand) < share)
			roaring_bitmap_add(bitmap, label);
	filters_read(filter, bitmap);
	roaring_bitmap_free(bitmap);
}

static bool allows(const struct filter *filter, uint32_t label)
{
	return !filter || (filter_words(filter)[label / 64] >> label % 64 & 1);
}

static int compare_doubles(const void *a, const void *b)
{
	const double *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

static void check_query(struct scene *scene, const float *query, const struct filter *filter,
			uint32_t k)
{
	const struct search_params params = {.k = k, .ef = 60, .filter = filter};
	double distances[ROWS_MAX];
	struct search_hit hits[K_MAX];
	uint32_t allowed = 0;
	unsigned count;

	for (uint32_t row = 0; row < scene->count; row++)
		if (allows(filter, scene->labels[row]))
			distances[allowed++] =
				truth_distance(scene->metric, query,
					       scene->rows + (size_t)row * scene->dim, scene->dim);
	qsort(distances, allowed, sizeof(distances[0]), compare_doubles);
	search_begin(scene->search, &scene->segment, query, &params);
	search_burst(&scene->search, 1);
	count = search_hits(scene->search, hits, K_MAX);
	assert_int_equal(count, MIN(k, allowed));
	for (unsigned i = 0; i < count; i++) {
		uint32_t row = scene->row_of[hits[i].label];
		double distance;

		assert_true(row != UINT32_MAX && allows(filter, hits[i].label));
		distance = truth_distance(scene->metric, query,
					  scene->rows + (size_t)row * scene->dim, scene->dim);
		assert_true(fabs(distance - (double)hits[i].distance) < 1e-4);
		if (i > 0)
			assert_true(hits[i - 1].distance < hits[i].distance ||
				    (hits[i - 1].distance == hits[i].distance &&
				     hits[i - 1].label < hits[i].label));
		scene->found += distance <= distances[count - 1] + 1e-5;
		scene->expected++;
	}
}

static void answers_hold_against_comparing_with_everything(void **state)
{
	static const double shares[] = {2, 0.5, 0.1, 0.02, 0.001, 0};
	uint64_t found = 0, expected = 0;
	struct filter *filter;
	struct rand rand;

	rand_init(&rand, SEED);
	assert_int_equal(filter_new(LABEL_MAX, &filter), 0);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct scene *scene = calloc(1, sizeof(*scene));
		float *queries;

		assert_non_null(scene);
		scene_init(scene, &rand);
		queries = index_rows(QUERIES, scene->dim, rand_next(&rand));
		for (unsigned i = 0; i < QUERIES; i++) {
			double share = shares[rand_below(&rand, ARRAY_COUNT(shares))];
			uint32_t k = (uint32_t)rand_below(&rand, K_MAX) + 1;

			fill_filter(filter, &rand, share);
			check_query(scene, queries + (size_t)i * scene->dim,
				    share > 1 ? NULL : filter, k);
		}
		found += scene->found;
		expected += scene->expected;
		scene_deinit(scene);
		free(queries);
		free(scene);
	}
	filter_free(filter);
	assert_true((double)found >= 0.97 * (double)expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_hold_against_comparing_with_everything),
	};

	print_message("seed %llu\n", (unsigned long long)SEED);
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

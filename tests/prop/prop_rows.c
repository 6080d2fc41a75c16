/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/defs.h"
#include "tests/lib/index.h"
#include "tests/lib/kinds.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * Every kind of rows over dimensions and counts at and around the sizes of
 * registers, padding and blocks: the same bytes from any number of threads, the
 * same answers alone, in flight and from the file, exact distances, and nearly all of
 * the true neighbours.
 */

#define K           10
#define EF          60
#define EF_BY_CODES 240
#define QUERIES     10

struct size {
	uint32_t count;
	uint32_t dim;
	double floor; /* of recall */
};

/* Long vectors come in small numbers: what they are for is the kernels' ends. */
static const struct size sizes[] = {
	{0, 3, 1},     {1, 1, 1},      {2, 2, 1},      {10, 3, 1},       {33, 15, 1},
	{200, 1, 1},   {200, 2, 0.97}, {200, 3, 0.97}, {200, 16, 0.97},  {500, 17, 0.97},
	{70, 63, 1},   {70, 64, 1},    {70, 65, 1},    {150, 100, 0.97}, {50, 784, 1},
	{40, 1536, 1}, {34, 4095, 1},  {34, 4096, 1},
};

struct scene {
	const struct kind *kind;
	const struct size *size;
	float *rows;
	float *queries;
	struct build_image image;
	struct segment segment;
};

static void scene_init(struct scene *scene, const struct kind *kind, const struct size *size)
{
	struct kinds_input input = {.count = size->count, .dim = size->dim};

	*scene = (struct scene){.kind = kind, .size = size};
	scene->rows = kinds_vectors(kind->type, size->count, size->dim, 1);
	scene->queries = kinds_vectors(kind->type, QUERIES, size->dim, 2);
	input.rows = scene->rows;
	kinds_build(kind, &input, &scene->image, &scene->segment);
}

static void scene_deinit(struct scene *scene)
{
	build_image_free(&scene->image);
	free(scene->rows);
	free(scene->queries);
}

/* Built by one thread, and by two or three. */
static void check_threads(const struct scene *scene)
{
	const struct kinds_input input = {scene->rows, scene->size->count, scene->size->dim,
					  .threads = 2 + scene->size->dim % 2};
	struct build_image image;
	struct segment segment;

	kinds_build(scene->kind, &input, &image, &segment);
	assert_int_equal(image.size, scene->image.size);
	assert_memory_equal(image.bytes, scene->image.bytes, image.size);
	build_image_free(&image);
}

static void check_recall(const struct scene *scene)
{
	/* Codes of short vectors tell little; what they are for is long ones. */
	const bool by_codes = scene->kind->layout == BUILD_LAYOUT_EDGES;
	const struct search_params params = {.k = K, .ef = by_codes ? EF_BY_CODES : EF};
	double recall = kinds_recall(&scene->segment, scene->queries, QUERIES, &params);
	double floor = scene->size->floor;
	char name[80];

	/* The nearest by inner product are few and far, whatever the query: graphs serve them less
	 * well. */
	if (scene->kind->metric == METRIC_IP)
		floor -= 0.04;
	kinds_name(scene->kind, name, sizeof(name));
	if (recall < floor)
		print_error("%s, %u x %u: recall %.3f\n", name, scene->size->count,
			    scene->size->dim, recall);
	assert_true(recall >= floor);
}

/* QUERIES times K hits; those missing are zero. */
static struct search_hit *hits_new(void)
{
	struct search_hit *hits = calloc((size_t)QUERIES * K, sizeof(*hits));

	assert_non_null(hits);
	return hits;
}

static void ask_alone(const struct segment *segment, const float *queries, struct search_hit *hits)
{
	const struct search_params params = {.k = K, .ef = EF};
	struct search *search = index_search(segment);

	for (uint32_t i = 0; i < QUERIES; i++)
		(void)kinds_ask(search, segment, queries + (size_t)i * segment->dim, &params,
				hits + (size_t)i * K);
	search_free(search);
}

static void ask_in_flight(const struct segment *segment, const float *queries,
			  struct search_hit *hits)
{
	const struct search_params params = {.k = K, .ef = EF};
	struct search *searches[QUERIES];

	for (uint32_t i = 0; i < QUERIES; i++) {
		searches[i] = index_search(segment);
		search_begin(searches[i], segment, queries + (size_t)i * segment->dim, &params);
	}
	search_burst(searches, QUERIES);
	for (uint32_t i = 0; i < QUERIES; i++) {
		(void)search_hits(searches[i], hits + (size_t)i * K, K);
		search_free(searches[i]);
	}
}

static void check_ways_of_asking(const struct scene *scene)
{
	struct search_hit *alone = hits_new(), *other = hits_new();

	ask_alone(&scene->segment, scene->queries, alone);
	ask_in_flight(&scene->segment, scene->queries, other);
	assert_memory_equal(alone, other, QUERIES * K * sizeof(*alone));
	free(alone);
	free(other);
}

static void check_file(const struct scene *scene)
{
	const struct segment_open_options mapped = {.numa_node = -1};
	struct search_hit *built = hits_new(), *opened = hits_new();
	char path[] = "/tmp/prop_rows.XXXXXX", error[200];
	struct segment segment;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(build_image_save(&scene->image, path), 0);
	assert_int_equal(segment_open(path, &mapped, &segment, error, sizeof(error)), 0);
	ask_alone(&scene->segment, scene->queries, built);
	ask_alone(&segment, scene->queries, opened);
	assert_memory_equal(built, opened, QUERIES * K * sizeof(*built));
	segment_close(&segment);
	assert_int_equal(unlink(path), 0);
	free(built);
	free(opened);
}

static void a_file_answers_as_what_was_built(void **state)
{
	static const struct size size = {300, 17, 0};

	for (unsigned i = 0; i < kinds_count; i++) {
		struct scene scene;

		scene_init(&scene, &kinds[i], &size);
		check_file(&scene);
		scene_deinit(&scene);
	}
}

/* With everything in the beam both find all, so that hits can be compared one by one. */
static void check_compact_against_full(const struct scene *scene)
{
	const struct search_params params = {.k = K, .ef = 512};
	struct kind full = *scene->kind;
	struct scene other;
	struct search *searches[2];

	if (scene->kind->rows != BUILD_ROWS_COMPACT || scene->size->count > 512)
		return;
	full.rows = BUILD_ROWS_FULL;
	scene_init(&other, &full, scene->size);
	searches[0] = index_search(&scene->segment);
	searches[1] = index_search(&other.segment);
	for (uint32_t i = 0; i < QUERIES; i++) {
		const float *query = scene->queries + (size_t)i * scene->size->dim;
		struct search_hit compact[K], exact[K];
		unsigned count = kinds_ask(searches[0], &scene->segment, query, &params, compact);

		assert_int_equal(count,
				 kinds_ask(searches[1], &other.segment, query, &params, exact));
		assert_memory_equal(compact, exact, count * sizeof(exact[0]));
	}
	search_free(searches[0]);
	search_free(searches[1]);
	scene_deinit(&other);
}

static void every_kind_of_rows_holds_at_every_size(void **state)
{
	for (unsigned i = 0; i < kinds_count; i++) {
		for (size_t j = 0; j < ARRAY_COUNT(sizes); j++) {
			struct scene scene;

			scene_init(&scene, &kinds[i], &sizes[j]);
			check_recall(&scene);
			check_ways_of_asking(&scene);
			check_threads(&scene);
			check_compact_against_full(&scene);
			scene_deinit(&scene);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_of_rows_holds_at_every_size),
		cmocka_unit_test(a_file_answers_as_what_was_built),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

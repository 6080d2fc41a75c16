/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/defs.h"
#include "base/rand.h"
#include "hnsw/build.h"
#include "hnsw/search.h"
#include "hnsw/truth.h"
#include "tests/lib/dataset.h"
#include "tests/lib/filters.h"

#include <roaring/roaring.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * Filters on the real vectors in tests/data: members at random, near the query and far
 * from it, from a half of the vectors to one in a thousand. Recall holds, k are
 * answered while there are k, and no search compares with much more than the
 * members, which a plain scan would.
 */

#define K       10
#define EF      64
#define QUERIES 25

enum mask { MASK_RANDOM, MASK_NEAR, MASK_FAR, MASK_COUNT };

static const char *const mask_names[] = {"random", "near", "far"};
static const double shares[] = {0.5, 0.2, 0.1, 0.01, 0.001};

struct row {
	double distance;
	uint32_t label;
};

struct fixture {
	struct dataset set;
	struct build_image image;
	struct segment segment;
	struct search *search;
	struct filter *filter;
	struct row *rows; /* nearest to the query first */
};

struct tally {
	uint64_t right;
	uint64_t wanted;
	uint64_t distances;
	uint64_t members;
};

static void fixture_init(struct fixture *fixture, const char *name, enum vector_type type,
			 enum build_rows rows)
{
	struct search_limits limits = {.ef_max = 1024};
	struct build_options options = {.type = type, .rows = rows, .seed = 1, .threads = 2};
	char error[200];
	uint64_t bad_row;

	dataset_load(name, &fixture->set);
	options.metric = fixture->set.metric;
	assert_int_equal(build_segment(fixture->set.base.values, NULL, fixture->set.base.count,
				       fixture->set.base.dim, &options, &fixture->image, &bad_row),
			 0);
	assert_int_equal(segment_attach(fixture->image.bytes, fixture->image.size,
					&fixture->segment, error, sizeof(error)),
			 0);
	limits.node_max = fixture->segment.count;
	limits.dim_max = fixture->segment.dim;
	assert_int_equal(search_new(&limits, &fixture->search), 0);
	assert_int_equal(filter_new(fixture->segment.count - 1, &fixture->filter), 0);
	fixture->rows = malloc(fixture->segment.count * sizeof(fixture->rows[0]));
	assert_non_null(fixture->rows);
}

static void fixture_deinit(struct fixture *fixture)
{
	free(fixture->rows);
	filter_free(fixture->filter);
	search_free(fixture->search);
	build_image_free(&fixture->image);
	dataset_free(&fixture->set);
}

static int compare_rows(const void *a, const void *b)
{
	const struct row *left = a, *right = b;

	return (left->distance > right->distance) - (left->distance < right->distance);
}

static void sort_rows(struct fixture *fixture, const float *query)
{
	const struct dataset_vectors *base = &fixture->set.base;

	for (uint32_t row = 0; row < base->count; row++)
		fixture->rows[row] = (struct row){
			truth_distance(fixture->set.metric, query,
				       base->values + (size_t)row * base->dim, base->dim),
			row,
		};
	qsort(fixture->rows, base->count, sizeof(fixture->rows[0]), compare_rows);
}

/* 'share' of the rows, drawn from all of them or from twice as many at one end. */
static void fill_filter(struct fixture *fixture, enum mask mask, double share, struct rand *rand)
{
	uint32_t count = fixture->segment.count, first = 0, end = count;
	uint32_t some = (uint32_t)(MIN(2 * share, 0.8) * count);
	roaring_bitmap_t *bitmap = roaring_bitmap_create();

	if (mask == MASK_NEAR)
		end = some;
	if (mask == MASK_FAR)
		first = count - some;
	for (uint32_t i = first; i < end; i++)
		if (rand_unit(rand) < share * count / (end - first))
			roaring_bitmap_add(bitmap, fixture->rows[i].label);
	filters_read(fixture->filter, bitmap);
	roaring_bitmap_free(bitmap);
}

static bool is_member(const struct fixture *fixture, uint32_t label)
{
	return filter_words(fixture->filter)[label / 64] >> label % 64 & 1;
}

/* The distance of the k-th member, or the last. */
static double true_limit(const struct fixture *fixture, uint32_t k)
{
	uint32_t found = 0;
	double limit = 0;

	for (uint32_t i = 0; i < fixture->segment.count && found < k; i++) {
		if (!is_member(fixture, fixture->rows[i].label))
			continue;
		limit = fixture->rows[i].distance;
		found++;
	}
	return limit;
}

static void check_query(struct fixture *fixture, const float *query, struct tally *tally)
{
	const struct search_params params = {.k = K, .ef = EF, .filter = fixture->filter};
	uint64_t members = filter_count(fixture->filter);
	double limit = true_limit(fixture, K);
	struct search_hit hits[K];
	unsigned count;

	search_begin(fixture->search, &fixture->segment, query, &params);
	search_burst(&fixture->search, 1);
	count = search_hits(fixture->search, hits, K);
	assert_int_equal(count, MIN(K, members));
	for (unsigned i = 0; i < count; i++) {
		assert_true(is_member(fixture, hits[i].label));
		tally->right += (double)hits[i].distance <= limit + 1e-5 * (1 + limit);
	}
	tally->wanted += count;
	tally->distances += search_stats(fixture->search).distances;
	tally->members += members;
}

/* Compact rows compare some once more; a walk that fails costs what it took to see that. */
static void check_mask(struct fixture *fixture, const char *name, enum mask mask, double share)
{
	struct tally tally = {0};
	struct rand rand;
	double recall;

	rand_init(&rand, 3);
	for (uint32_t i = 0; i < QUERIES; i++) {
		const float *query =
			fixture->set.queries.values + (size_t)i * fixture->set.queries.dim;

		sort_rows(fixture, query);
		fill_filter(fixture, mask, share, &rand);
		check_query(fixture, query, &tally);
	}
	recall = tally.wanted ? (double)tally.right / (double)tally.wanted : 1;
	print_message("%s, %s %.1f%%: recall %.3f, %llu distances, %llu members\n", name,
		      mask_names[mask], share * 100, recall,
		      (unsigned long long)tally.distances / QUERIES,
		      (unsigned long long)tally.members / QUERIES);
	assert_true(recall >= 0.95);
	assert_true((double)tally.distances <=
		    1.1 * (double)tally.members + QUERIES * (2 * K + EF));
}

static void check_set(const char *name, enum vector_type type, enum build_rows rows)
{
	struct fixture fixture = {0};

	fixture_init(&fixture, name, type, rows);
	for (enum mask mask = 0; mask < MASK_COUNT; mask++)
		for (size_t i = 0; i < ARRAY_COUNT(shares); i++)
			check_mask(&fixture, name, mask, shares[i]);
	fixture_deinit(&fixture);
}

static void filters_hold_on_compact_rows(void **state)
{
	check_set("words100", VECTOR_F32, BUILD_ROWS_COMPACT);
}

static void filters_hold_on_full_rows(void **state)
{
	check_set("words100", VECTOR_F32, BUILD_ROWS_FULL);
}

static void filters_hold_on_bytes(void **state)
{
	check_set("mnist784", VECTOR_U8, BUILD_ROWS_AUTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(filters_hold_on_compact_rows),
		cmocka_unit_test(filters_hold_on_full_rows),
		cmocka_unit_test(filters_hold_on_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

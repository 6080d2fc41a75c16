/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/defs.h"
#include "base/rand.h"
#include "hnsw/live_search.h"
#include "hnsw/truth.h"
#include "tests/lib/dataset.h"
#include "tests/lib/filters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * A live index of the real vectors in tests/data: inserted one by one, deleted
 * from, filtered, replaced in random order, merged, saved and opened again. After every vector has
 * been replaced it has to find as much as a fresh build at the same ef, but for half a point, in
 * a tenth more memory at most.
 */

#define K              10
#define LOSS           0.005
#define MEMORY         1.1
#define DELETE_QUERIES 100

/* Changes between two chances to merge; what is left over of 8,000 is too little for one more. */
#define SLICE 2520

static const uint32_t efs[] = {16, 32, 64, 128};

struct fixture {
	struct dataset set;
	enum vector_type type;
	uint32_t *order; /* of rows, shuffled */
	struct live *live, *fresh;
	struct live_search *search, *fresh_search;
	uint32_t *labels; /* K of each query */
};

static struct live_options options_of(const struct fixture *fixture)
{
	return (struct live_options){
		.metric = fixture->set.metric,
		.dim = fixture->set.base.dim,
		.vector_max = fixture->set.base.count,
		.growing_max = fixture->set.base.count,
		.build = {.type = fixture->type, .seed = 1, .threads = 2},
	};
}

static const float *row_of(const struct fixture *fixture, uint32_t row)
{
	return fixture->set.base.values + (size_t)row * fixture->set.base.dim;
}

static void make(const struct fixture *fixture, struct live **ret_live,
		 struct live_search **ret_search)
{
	const struct live_options options = options_of(fixture);

	assert_int_equal(live_new(&options, ret_live), 0);
	assert_int_equal(live_search_new(*ret_live, 512, ret_search), 0);
}

static void shuffle(struct fixture *fixture, uint64_t seed)
{
	struct rand rand;

	rand_init(&rand, seed);
	for (uint32_t left = fixture->set.base.count; left > 1; left--) {
		uint32_t other = (uint32_t)rand_below(&rand, left), row = fixture->order[other];

		fixture->order[other] = fixture->order[left - 1];
		fixture->order[left - 1] = row;
	}
}

/* 'shift': row i gets the label i + shift. */
static void adopt(const struct fixture *fixture, struct live *live, uint32_t shift)
{
	const struct live_options options = options_of(fixture);
	uint32_t count = fixture->set.base.count;
	uint32_t *labels = malloc(count * sizeof(*labels));
	struct build_options build = options.build;
	struct build_image image;
	struct segment segment;
	uint64_t bad_row;
	char error[200];

	assert_non_null(labels);
	for (uint32_t row = 0; row < count; row++)
		labels[row] = (row + shift) % count;
	build.metric = options.metric;
	assert_int_equal(build_segment(fixture->set.base.values, labels, count,
				       fixture->set.base.dim, &build, &image, &bad_row),
			 0);
	assert_int_equal(segment_attach(image.bytes, image.size, &segment, error, sizeof(error)),
			 0);
	assert_int_equal(live_adopt(live, &segment, &image), 0);
	free(labels);
}

static void fixture_init(struct fixture *fixture, const char *name, enum vector_type type)
{
	uint32_t count;

	*fixture = (struct fixture){.type = type};
	dataset_load(name, &fixture->set);
	count = fixture->set.base.count;
	fixture->order = malloc(count * sizeof(fixture->order[0]));
	fixture->labels = malloc(fixture->set.queries.count * K * sizeof(fixture->labels[0]));
	assert_true(fixture->order && fixture->labels);
	for (uint32_t row = 0; row < count; row++)
		fixture->order[row] = row;
	shuffle(fixture, 1);
	make(fixture, &fixture->live, &fixture->search);
	make(fixture, &fixture->fresh, &fixture->fresh_search);
	adopt(fixture, fixture->fresh, 0);
}

static void fixture_deinit(struct fixture *fixture)
{
	live_search_free(fixture->search);
	live_search_free(fixture->fresh_search);
	live_free(fixture->live);
	live_free(fixture->fresh);
	dataset_free(&fixture->set);
	free(fixture->order);
	free(fixture->labels);
}

static void ask_all(const struct fixture *fixture, struct live_search *search, uint32_t ef,
		    const struct filter *filter, uint32_t queries)
{
	const struct search_params params = {.k = K, .ef = ef, .filter = filter};

	for (uint32_t query = 0; query < queries; query++) {
		struct search_hit hits[K];

		live_search_begin(search,
				  fixture->set.queries.values +
					  (size_t)query * fixture->set.queries.dim,
				  &params);
		while (!live_search_step(search))
			;
		assert_int_equal(live_search_hits(search, hits, K), K);
		for (uint32_t i = 0; i < K; i++)
			fixture->labels[(size_t)query * K + i] = hits[i].label;
	}
}

/* Against the truth that ships: every row lives under its own label. */
static double recall(const struct fixture *fixture, struct live_search *search, uint32_t ef)
{
	uint32_t queries = fixture->set.queries.count, right = 0;

	ask_all(fixture, search, ef, NULL, queries);
	for (uint32_t query = 0; query < queries; query++)
		right +=
			dataset_right(&fixture->set, query, fixture->labels + (size_t)query * K, K);
	return (double)right / (queries * K);
}

/* At every ef no more than LOSS below a fresh build. */
static void expect_fresh_recall(const struct fixture *fixture, const char *what)
{
	struct live_stats stats = live_stats(fixture->live);

	print_message("%s: %u sealed, %u growing, %u dead\n", what, stats.sealed, stats.growing,
		      (unsigned)stats.dead);
	for (size_t i = 0; i < ARRAY_COUNT(efs); i++) {
		double live = recall(fixture, fixture->search, efs[i]);
		double fresh = recall(fixture, fixture->fresh_search, efs[i]);

		print_message("  ef %3u: recall@10 %.4f, fresh %.4f\n", efs[i], live, fresh);
		assert_true(live >= fresh - LOSS);
	}
}

static void work(struct live *live)
{
	enum live_need need;

	do {
		assert_int_equal(live_work(live, &need), 0);
		if (need == LIVE_NEED_BUILD)
			assert_int_equal(live_build(live), 0);
	} while (need != LIVE_NEED_NOTHING);
}

static void put_all(const struct fixture *fixture)
{
	for (uint32_t i = 0; i < fixture->set.base.count; i++) {
		uint32_t row = fixture->order[i];

		assert_int_equal(live_put(fixture->live, row, row_of(fixture, row)), 0);
		if (i % SLICE == SLICE - 1)
			work(fixture->live);
	}
}

static void vectors_inserted_one_by_one_are_found_as_well(void **state)
{
	struct fixture fixture;

	fixture_init(&fixture, "words100", VECTOR_F32);
	for (uint32_t i = 0; i < fixture.set.base.count; i++)
		assert_int_equal(live_put(fixture.live, fixture.order[i],
					  row_of(&fixture, fixture.order[i])),
				 0);
	expect_fresh_recall(&fixture, "inserted");
	fixture_deinit(&fixture);
}

static void check_replaced(struct fixture *fixture)
{
	adopt(fixture, fixture->live, fixture->set.base.count / 2);
	put_all(fixture);
	expect_fresh_recall(fixture, "replaced");
	work(fixture->live);
	expect_fresh_recall(fixture, "merged");
	print_message("  memory: %.3f of a fresh build's\n",
		      (double)live_stats(fixture->live).size /
			      (double)live_stats(fixture->fresh).size);
	assert_true((double)live_stats(fixture->live).size <=
		    MEMORY * (double)live_stats(fixture->fresh).size);
	/* And once more, in another order, on what the first time has left. */
	shuffle(fixture, 2);
	put_all(fixture);
	expect_fresh_recall(fixture, "replaced twice");
}

static void after_all_were_replaced_recall_and_memory_are_a_fresh_build_s(void **state)
{
	struct fixture fixture;

	fixture_init(&fixture, "words100", VECTOR_F32);
	check_replaced(&fixture);
	fixture_deinit(&fixture);
	fixture_init(&fixture, "mnist784", VECTOR_U8);
	check_replaced(&fixture);
	fixture_deinit(&fixture);
}

/* Against exact search among 'rows'. */
static double exact_recall(const struct fixture *fixture, const uint32_t *rows, uint32_t count)
{
	const struct truth_options options = {.metric = fixture->set.metric, .k = K, .threads = 2};
	uint32_t dim = fixture->set.base.dim, right = 0;
	float *values = malloc((size_t)count * dim * sizeof(*values));
	struct truth_hit hits[DELETE_QUERIES * K];

	assert_non_null(values);
	for (uint32_t i = 0; i < count; i++)
		memcpy(values + (size_t)i * dim, row_of(fixture, rows[i]), dim * sizeof(*values));
	assert_int_equal(truth_compute(values, count, fixture->set.queries.values, DELETE_QUERIES,
				       dim, &options, hits),
			 0);
	for (uint32_t i = 0; i < DELETE_QUERIES * K; i++)
		right += truth_distance(fixture->set.metric,
					fixture->set.queries.values + (size_t)(i / K) * dim,
					row_of(fixture, fixture->labels[i]),
					dim) <= hits[i / K * K + K - 1].distance + 1e-6;
	free(values);
	return (double)right / (DELETE_QUERIES * K);
}

/* Shares of the dead on both sides of where searches begin to go about it in another way. */
static void what_is_left_after_deletes_is_found(void **state)
{
	static const double shares[] = {0.05, 0.2, 0.4, 0.8, 0.97};
	uint32_t gone = 0, count;
	struct fixture fixture;

	fixture_init(&fixture, "words100", VECTOR_F32);
	count = fixture.set.base.count;
	adopt(&fixture, fixture.live, 0);
	for (size_t i = 0; i < ARRAY_COUNT(shares); i++) {
		const uint32_t *left;
		struct filter *filter;
		uint32_t allowed;
		double plain, filtered;

		for (; gone < (uint32_t)(shares[i] * count); gone++)
			assert_int_equal(live_delete(fixture.live, fixture.order[gone]), 0);
		left = fixture.order + gone;
		ask_all(&fixture, fixture.search, 64, NULL, DELETE_QUERIES);
		plain = exact_recall(&fixture, left, count - gone);
		/* A third of those that are left, and as many of the dead. */
		allowed = (count - gone) / 3;
		filter = filters_of(left - MIN(gone, allowed), allowed + MIN(gone, allowed), count);
		ask_all(&fixture, fixture.search, 64, filter, DELETE_QUERIES);
		filtered = exact_recall(&fixture, left, allowed);
		filter_free(filter);
		print_message("%.0f%% dead: recall@10 %.4f, filtered %.4f\n", 100 * shares[i],
			      plain, filtered);
		assert_true(plain >= 0.985 && filtered >= 0.985);
	}
	work(fixture.live);
	assert_int_equal(live_stats(fixture.live).dead, 0);
	ask_all(&fixture, fixture.search, 64, NULL, DELETE_QUERIES);
	assert_true(exact_recall(&fixture, fixture.order + gone, count - gone) >= 0.985);
	fixture_deinit(&fixture);
}

static void a_merged_segment_is_saved_opened_and_goes_on(void **state)
{
	const struct segment_open_options how = {.numa_node = -1};
	char path[] = "/tmp/recall_live.XXXXXX", error[200];
	struct live_search *search;
	struct fixture fixture;
	struct segment segment;
	struct live *opened;
	struct build_image image;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	close(fd);
	fixture_init(&fixture, "words100", VECTOR_F32);
	adopt(&fixture, fixture.live, 1);
	put_all(&fixture);
	live_settle(fixture.live);
	work(fixture.live);
	image = (struct build_image){(void *)(uintptr_t)live_segment(fixture.live, 0)->image,
				     live_segment(fixture.live, 0)->image_size};
	assert_int_equal(build_image_save(&image, path), 0);
	make(&fixture, &opened, &search);
	assert_int_equal(segment_open(path, &how, &segment, error, sizeof(error)), 0);
	assert_int_equal(live_adopt(opened, &segment, NULL), 0);
	for (size_t i = 0; i < ARRAY_COUNT(efs); i++)
		assert_true(recall(&fixture, search, efs[i]) ==
			    recall(&fixture, fixture.fresh_search, efs[i]));
	for (uint32_t i = 0; i < 500; i++)
		assert_int_equal(live_put(opened, i, row_of(&fixture, i)), 0);
	assert_true(recall(&fixture, search, 64) >=
		    recall(&fixture, fixture.fresh_search, 64) - LOSS);
	live_search_free(search);
	live_free(opened);
	assert_int_equal(unlink(path), 0);
	fixture_deinit(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_inserted_one_by_one_are_found_as_well),
		cmocka_unit_test(after_all_were_replaced_recall_and_memory_are_a_fresh_build_s),
		cmocka_unit_test(what_is_left_after_deletes_is_found),
		cmocka_unit_test(a_merged_segment_is_saved_opened_and_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

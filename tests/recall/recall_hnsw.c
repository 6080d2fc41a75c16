/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/defs.h"
#include "base/rand.h"
#include "hnsw/build.h"
#include "hnsw/search.h"
#include "hnsw/segment.h"
#include "hnsw/truth.h"
#include "tests/lib/dataset.h"
#include "tests/lib/filters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * Recall at 10 on the real vectors in tests/data, for each metric. The floors
 * are a little below what is measured, which is printed; builds are the same on
 * every machine, so a floor that breaks is a change of ours.
 */

#define K          10
#define EF         64
#define EF_CEILING 512
#define BURST      16

/* Queries whose truth is computed here: enough for 0.1%, few enough for a slow build of the test.
 */
#define EXACT_QUERIES 100

struct fixture {
	struct dataset set;
	enum metric metric;
	struct build_image image;
	struct segment segment;
	struct search *searches[BURST];
};

/* Both sets under their own metric, built by two threads; no test changes them. */
struct indexes {
	struct fixture words;
	struct fixture digits;
};

static void build(const struct dataset *set, enum metric metric, uint32_t threads,
		  struct build_image *ret_image)
{
	const struct build_options options = {.metric = metric, .seed = 1, .threads = threads};
	uint64_t bad_row;

	assert_int_equal(build_segment(set->base.values, NULL, set->base.count, set->base.dim,
				       &options, ret_image, &bad_row),
			 0);
}

static void open_searches(struct fixture *fixture)
{
	const struct search_limits limits = {.node_max = fixture->segment.count,
					     .dim_max = fixture->segment.dim,
					     .ef_max = 1024};

	for (unsigned i = 0; i < BURST; i++)
		assert_int_equal(search_new(&limits, &fixture->searches[i]), 0);
}

static void fixture_init(struct fixture *fixture, const char *name, enum metric metric)
{
	char error[200];

	dataset_load(name, &fixture->set);
	fixture->metric = metric;
	build(&fixture->set, metric, 2, &fixture->image);
	assert_int_equal(segment_attach(fixture->image.bytes, fixture->image.size,
					&fixture->segment, error, sizeof(error)),
			 0);
	open_searches(fixture);
}

static void fixture_deinit(struct fixture *fixture)
{
	for (unsigned i = 0; i < BURST; i++)
		search_free(fixture->searches[i]);
	build_image_free(&fixture->image);
	dataset_free(&fixture->set);
}

/* Runs all queries; 'ret_labels' gets K labels each, UINT32_MAX where there are fewer. */
static void ask_all(const struct fixture *fixture, const struct segment *segment, uint32_t ef,
		    const struct filter *filter, uint32_t *ret_labels)
{
	const struct search_params params = {.k = K, .ef = ef, .filter = filter};
	const struct dataset_vectors *queries = &fixture->set.queries;

	for (uint32_t first = 0; first < queries->count; first += BURST) {
		uint32_t count = MIN(BURST, queries->count - first);

		for (uint32_t i = 0; i < count; i++)
			search_begin(fixture->searches[i], segment,
				     queries->values + (size_t)(first + i) * queries->dim, &params);
		search_burst(fixture->searches, count);
		for (uint32_t i = 0; i < count; i++) {
			uint32_t *labels = ret_labels + (size_t)(first + i) * K;
			struct search_hit hits[K];
			unsigned found = search_hits(fixture->searches[i], hits, K);

			for (unsigned j = 0; j < K; j++)
				labels[j] = j < found ? hits[j].label : UINT32_MAX;
		}
	}
}

static uint32_t *labels_new(const struct fixture *fixture)
{
	uint32_t *labels = calloc((size_t)fixture->set.queries.count * K, sizeof(*labels));

	assert_non_null(labels);
	return labels;
}

/* Against the truth that ships, which is the metric's own. */
static double shipped_recall(const struct fixture *fixture, const uint32_t *labels)
{
	uint32_t queries = fixture->set.queries.count, right = 0;

	for (uint32_t query = 0; query < queries; query++)
		right += dataset_right(&fixture->set, query, labels + (size_t)query * K, K);
	return (double)right / (queries * K);
}

/* Against exact search of the allowed rows (NULL: all). Queries with fewer answers than K fail. */
static double exact_recall(const struct fixture *fixture, const uint32_t *allowed,
			   uint32_t allowed_count, const uint32_t *labels)
{
	const struct dataset_vectors *base = &fixture->set.base, *queries = &fixture->set.queries;
	const struct truth_options options = {.metric = fixture->metric, .k = K, .threads = 2};
	size_t row_size = base->dim * sizeof(float);
	float *rows = malloc(allowed_count * row_size);
	struct truth_hit *hits = malloc((size_t)queries->count * K * sizeof(*hits));
	uint32_t right = 0;

	assert_true(rows && hits);
	for (uint32_t i = 0; i < allowed_count; i++)
		memcpy(rows + (size_t)i * base->dim,
		       base->values + (size_t)(allowed ? allowed[i] : i) * base->dim, row_size);
	assert_int_equal(truth_compute(rows, allowed_count, queries->values, queries->count,
				       base->dim, &options, hits),
			 0);
	for (uint32_t i = 0; i < queries->count * K; i++) {
		const float *query = queries->values + (size_t)(i / K) * queries->dim;
		double limit = hits[i / K * K + MIN(K, allowed_count) - 1].distance;

		if (i % K >= allowed_count)
			continue;
		assert_true(labels[i] < base->count);
		right += truth_distance(fixture->metric, query,
					base->values + (size_t)labels[i] * base->dim,
					base->dim) <= limit + 1e-4;
	}
	free(rows);
	free(hits);
	return (double)right / (queries->count * MIN(K, allowed_count));
}

static void expect_recall(const char *what, double recall, double floor)
{
	print_message("%-40s recall@10 %.4f, floor %.3f\n", what, recall, floor);
	assert_true(recall >= floor);
}

static void check_recall(struct fixture *fixture, const char *name, double floor,
			 double default_floor)
{
	uint32_t *labels = labels_new(fixture);
	char what[80];

	for (unsigned i = 0; i < 2; i++) {
		ask_all(fixture, &fixture->segment, i ? 0 : EF, NULL, labels);
		snprintf(what, sizeof(what), "%s, %s, ef %u", name, metric_name(fixture->metric),
			 i ? fixture->segment.ef_default : EF);
		expect_recall(
			what,
			fixture->metric == fixture->set.metric
				? shipped_recall(fixture, labels)
				: exact_recall(fixture, NULL, fixture->set.base.count, labels),
			i ? default_floor : floor);
	}
	free(labels);
}

/* Under a metric that is not the set's own. */
static void check_words(enum metric metric, double floor)
{
	struct fixture fixture = {0};

	fixture_init(&fixture, "words100", metric);
	fixture.set.queries.count = EXACT_QUERIES;
	check_recall(&fixture, "words100", floor, 0.95);
	fixture_deinit(&fixture);
}

/* With the defaults: no kind of rows and no graph stands in the way. */
static void recall_has_no_ceiling(void **state)
{
	struct indexes *indexes = *state;
	struct fixture *fixtures[] = {&indexes->words, &indexes->digits};

	for (size_t i = 0; i < ARRAY_COUNT(fixtures); i++) {
		uint32_t *labels = labels_new(fixtures[i]);

		ask_all(fixtures[i], &fixtures[i]->segment, EF_CEILING, NULL, labels);
		expect_recall(i ? "mnist784, ef 512" : "words100, ef 512",
			      shipped_recall(fixtures[i], labels), 0.999);
		free(labels);
	}
}

/* The efs that the build found on its own rows hold for queries that are none. */
static void every_tuned_ef_reaches_its_recall(void **state)
{
	struct indexes *indexes = *state;
	struct fixture *fixtures[] = {&indexes->words, &indexes->digits};

	for (size_t i = 0; i < ARRAY_COUNT(fixtures); i++) {
		uint32_t *labels = labels_new(fixtures[i]);

		for (unsigned j = 0; j < SEGMENT_RECALL_COUNT; j++) {
			char what[80];

			ask_all(fixtures[i], &fixtures[i]->segment,
				fixtures[i]->segment.ef_tuned[j], NULL, labels);
			snprintf(what, sizeof(what), "%s, tuned ef %u", i ? "mnist784" : "words100",
				 fixtures[i]->segment.ef_tuned[j]);
			expect_recall(what, shipped_recall(fixtures[i], labels),
				      (double)segment_recalls[j]);
		}
		free(labels);
	}
}

static void cosine_finds_the_neighbours(void **state)
{
	struct indexes *indexes = *state;

	check_recall(&indexes->words, "words100", 0.99, 0.95);
}

static void l2_finds_the_neighbours(void **state)
{
	struct indexes *indexes = *state;

	check_recall(&indexes->digits, "mnist784", 0.995, 0.95);
	check_words(METRIC_L2, 0.995);
}

static void the_inner_product_finds_the_neighbours(void **state)
{
	check_words(METRIC_IP, 0.99);
}

/* Allows each row with the given chance. */
static uint32_t choose_rows(uint32_t *allowed, uint32_t count, double share, struct rand *rand)
{
	uint32_t chosen = 0;

	for (uint32_t row = 0; row < count; row++)
		if (rand_unit(rand) < share)
			allowed[chosen++] = row;
	return chosen;
}

static void check_filters(struct fixture *fixture, const char *name, double floor)
{
	static const double shares[] = {0.5, 0.1, 0.01, 0.001};
	uint32_t queries = fixture->set.queries.count;
	uint32_t *labels = labels_new(fixture);
	uint32_t *allowed = malloc(fixture->set.base.count * sizeof(*allowed));
	struct filter *filter;
	struct rand rand;
	char what[80];

	assert_non_null(allowed);
	assert_int_equal(filter_new(fixture->set.base.count - 1, &filter), 0);
	fixture->set.queries.count = EXACT_QUERIES;
	rand_init(&rand, 1);
	for (size_t i = 0; i < ARRAY_COUNT(shares); i++) {
		uint32_t count = choose_rows(allowed, fixture->set.base.count, shares[i], &rand);

		assert_true(count > 0);
		filters_set(filter, allowed, count);
		ask_all(fixture, &fixture->segment, EF, filter, labels);
		snprintf(what, sizeof(what), "%s, filter %.1f%%", name, shares[i] * 100);
		expect_recall(what, exact_recall(fixture, allowed, count, labels), floor);
	}
	fixture->set.queries.count = queries;
	filter_free(filter);
	free(allowed);
	free(labels);
}

static void filters_of_any_share_find_the_allowed_neighbours(void **state)
{
	struct indexes *indexes = *state;

	check_filters(&indexes->words, "words100", 0.99);
	check_filters(&indexes->digits, "mnist784", 0.995);
}

static void a_saved_segment_answers_as_the_built_one(void **state)
{
	const struct segment_open_options options = {.huge = true, .numa_node = -1};
	struct indexes *indexes = *state;
	struct fixture *words = &indexes->words;
	uint32_t *built = labels_new(words), *opened = labels_new(words);
	char path[] = "/tmp/recall_hnsw.XXXXXX", error[200];
	struct segment segment;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(build_image_save(&words->image, path), 0);
	assert_int_equal(segment_open(path, &options, &segment, error, sizeof(error)), 0);
	ask_all(words, &words->segment, EF, NULL, built);
	ask_all(words, &segment, EF, NULL, opened);
	assert_memory_equal(built, opened, (size_t)words->set.queries.count * K * sizeof(*built));
	segment_close(&segment);
	assert_int_equal(unlink(path), 0);
	free(built);
	free(opened);
}

static void one_two_and_four_threads_build_the_same_bytes(void **state)
{
	static const uint32_t threads[] = {1, 4};
	struct indexes *indexes = *state;
	const struct build_image *two = &indexes->words.image;

	for (size_t i = 0; i < ARRAY_COUNT(threads); i++) {
		struct build_image image;

		build(&indexes->words.set, METRIC_COSINE, threads[i], &image);
		assert_int_equal(image.size, two->size);
		assert_memory_equal(image.bytes, two->bytes, two->size);
		build_image_free(&image);
	}
}

static int setup(void **state)
{
	static struct indexes indexes;

	fixture_init(&indexes.words, "words100", METRIC_COSINE);
	fixture_init(&indexes.digits, "mnist784", METRIC_L2);
	*state = &indexes;
	return 0;
}

static int teardown(void **state)
{
	struct indexes *indexes = *state;

	fixture_deinit(&indexes->words);
	fixture_deinit(&indexes->digits);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cosine_finds_the_neighbours),
		cmocka_unit_test(recall_has_no_ceiling),
		cmocka_unit_test(every_tuned_ef_reaches_its_recall),
		cmocka_unit_test(l2_finds_the_neighbours),
		cmocka_unit_test(the_inner_product_finds_the_neighbours),
		cmocka_unit_test(filters_of_any_share_find_the_allowed_neighbours),
		cmocka_unit_test(a_saved_segment_answers_as_the_built_one),
		cmocka_unit_test(one_two_and_four_threads_build_the_same_bytes),
	};

	return cmocka_run_group_tests(tests, setup, teardown) != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/defs.h"
#include "base/rand.h"
#include "hnsw/truth.h"
#include "tests/lib/filters.h"
#include "tests/lib/index.h"

#include <roaring/roaring.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/*
 * Searches of a segment some of whose nodes are dead, against exact search: k
 * hits while k may be answered, none of them dead, and nearly all the right ones.
 */

#define ROWS    1200
#define DIM     12
#define QUERIES 20
#define K       10
#define TIME    1000

struct fixture {
	float *rows, *queries;
	uint32_t labels[ROWS]; /* of each node */
	uint64_t died[ROWS];
	bool allowed[ROWS]; /* by the filter; by node */
	struct filter *filter;
	struct build_image image;
	struct segment segment;
	struct search *search;
	uint32_t dead_count;
};

static void fixture_init(struct fixture *fixture, bool twins)
{
	*fixture = (struct fixture){.rows = index_rows(ROWS, DIM, 1),
				    .queries = index_rows(QUERIES, DIM, 2)};
	for (uint32_t row = 0; twins && row < ROWS; row++)
		if (row % 5)
			memcpy(fixture->rows + (size_t)row * DIM, fixture->rows + row / 5 * 5 * DIM,
			       DIM * sizeof(float));
	index_build(fixture->rows, NULL, ROWS, DIM, METRIC_L2, &fixture->image, &fixture->segment);
	for (uint32_t node = 0; node < ROWS; node++)
		fixture->labels[node] = node;
	fixture->search = index_search(&fixture->segment);
}

static void fixture_deinit(struct fixture *fixture)
{
	search_free(fixture->search);
	build_image_free(&fixture->image);
	filter_free(fixture->filter);
	free(fixture->rows);
	free(fixture->queries);
}

/* Kills each node with the given chance, and as many more after the time that is asked about. */
static void kill_some(struct fixture *fixture, double share, struct rand *rand)
{
	fixture->dead_count = 0;
	for (uint32_t node = 0; node < ROWS; node++) {
		fixture->died[node] = rand_unit(rand) < share ? 1 + rand_below(rand, TIME) : 0;
		fixture->dead_count += fixture->died[node] != 0;
		if (!fixture->died[node] && rand_below(rand, 4) == 0)
			fixture->died[node] = TIME + 1 + rand_below(rand, TIME);
	}
}

static void allow_some(struct fixture *fixture, double share, struct rand *rand)
{
	roaring_bitmap_t *bitmap = roaring_bitmap_create();

	for (uint32_t node = 0; node < ROWS; node++) {
		fixture->allowed[node] = rand_unit(rand) < share;
		if (fixture->allowed[node])
			roaring_bitmap_add(bitmap, fixture->labels[node]);
	}
	if (!fixture->filter)
		assert_int_equal(filter_new(2 * ROWS, &fixture->filter), 0);
	filters_read(fixture->filter, bitmap);
	roaring_bitmap_free(bitmap);
}

static bool may_be_answered(const struct fixture *fixture, uint32_t node, bool filtered)
{
	bool dead = fixture->died[node] && fixture->died[node] <= TIME;

	return !dead && (!filtered || fixture->allowed[node]);
}

static uint32_t node_of(const struct fixture *fixture, uint32_t label)
{
	for (uint32_t node = 0; node < ROWS; node++)
		if (fixture->labels[node] == label)
			return node;
	fail_msg("label %u is no one's", label);
	return 0;
}

static double distance_to(const struct fixture *fixture, const float *query, uint32_t node)
{
	return truth_distance(METRIC_L2, query, fixture->rows + (size_t)node * DIM, DIM);
}

static int compare_distances(const void *a, const void *b)
{
	const double *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

/* Asks one query and checks its answer. Returns how many hits are right. */
static uint32_t check_query(const struct fixture *fixture, const float *query, bool filtered,
			    uint32_t *ret_possible)
{
	const struct search_params params = {.k = K,
					     .ef = 48,
					     .filter = filtered ? fixture->filter : NULL,
					     .died = fixture->died,
					     .time = TIME,
					     .dead_count = fixture->dead_count};
	struct search_hit hits[K];
	double exact[ROWS];
	uint32_t live = 0, right = 0, found;

	for (uint32_t node = 0; node < ROWS; node++)
		if (may_be_answered(fixture, node, filtered))
			exact[live++] = distance_to(fixture, query, node);
	qsort(exact, live, sizeof(exact[0]), compare_distances);
	search_begin(fixture->search, &fixture->segment, query, &params);
	while (!search_step(fixture->search))
		;
	found = search_hits(fixture->search, hits, K);
	assert_int_equal(found, MIN(live, K));
	for (uint32_t i = 0; i < found; i++) {
		uint32_t node = node_of(fixture, hits[i].label);

		assert_true(may_be_answered(fixture, node, filtered));
		assert_true(i == 0 || search_hit_before(&hits[i - 1], &hits[i]));
		right += distance_to(fixture, query, node) <= exact[found - 1] + 1e-6;
	}
	*ret_possible = found;
	return right;
}

static void check_shares(struct fixture *fixture, bool filtered)
{
	static const double shares[] = {0, 0.02, 0.2, 0.3, 0.6, 0.95, 0.995, 1};
	uint32_t right = 0, possible = 0;
	struct rand rand;

	rand_init(&rand, 3);
	for (size_t i = 0; i < ARRAY_COUNT(shares); i++) {
		kill_some(fixture, shares[i], &rand);
		if (filtered)
			allow_some(fixture, i % 2 ? 0.5 : 0.05, &rand);
		for (uint32_t query = 0; query < QUERIES; query++) {
			uint32_t more;

			right += check_query(fixture, fixture->queries + query * DIM, filtered,
					     &more);
			possible += more;
		}
	}
	print_message("%u of %u right\n", right, possible);
	assert_true(right >= possible * 0.98);
}

static void the_dead_are_left_out_whatever_their_share(void **state)
{
	for (unsigned twins = 0; twins < 2; twins++) {
		struct fixture fixture;

		fixture_init(&fixture, twins);
		check_shares(&fixture, /* filtered= */ false);
		check_shares(&fixture, /* filtered= */ true);
		fixture_deinit(&fixture);
	}
}

/* Labels that don't ascend, as in a growing index: ties and filters need another way. */
static void labels_in_any_order_make_no_difference(void **state)
{
	struct fixture fixture;
	struct rand rand;

	fixture_init(&fixture, true);
	rand_init(&rand, 5);
	for (uint32_t left = ROWS; left > 1; left--) {
		uint32_t other = (uint32_t)rand_below(&rand, left), label = fixture.labels[other];

		fixture.labels[other] = fixture.labels[left - 1];
		fixture.labels[left - 1] = label;
	}
	fixture.segment.labels = fixture.labels;
	fixture.segment.growing = true;
	check_shares(&fixture, /* filtered= */ false);
	check_shares(&fixture, /* filtered= */ true);
	fixture_deinit(&fixture);
}

/* Few are dead, but all around the query are: the beam of a plain walk holds nothing else. */
static void a_dead_region_doesnt_cut_the_answer_short(void **state)
{
	struct fixture fixture;

	fixture_init(&fixture, false);
	for (uint32_t query = 0; query < QUERIES; query++) {
		const float *at = fixture.queries + query * DIM;
		double exact[ROWS], limit;
		uint32_t possible;

		for (uint32_t node = 0; node < ROWS; node++)
			exact[node] = distance_to(&fixture, at, node);
		qsort(exact, ROWS, sizeof(exact[0]), compare_distances);
		limit = exact[100];
		fixture.dead_count = 0;
		for (uint32_t node = 0; node < ROWS; node++) {
			fixture.died[node] = distance_to(&fixture, at, node) < limit;
			fixture.dead_count += (uint32_t)fixture.died[node];
		}
		assert_true(check_query(&fixture, at, false, &possible) >= K - 1);
	}
	fixture_deinit(&fixture);
}

/* A search narrow enough that a walk may cost less than a scan. Returns what it compared with. */
static uint64_t ask_narrowly(const struct fixture *fixture, const float *query,
			     struct search_hit *hits)
{
	const struct search_params params = {.k = K,
					     .ef = K,
					     .died = fixture->died,
					     .time = TIME,
					     .dead_count = fixture->dead_count};

	search_begin(fixture->search, &fixture->segment, query, &params);
	while (!search_step(fixture->search))
		;
	assert_int_equal(search_hits(fixture->search, hits, K), K);
	return search_stats(fixture->search).distances;
}

/* So many are dead that the walk is selective, but everywhere are others. */
static void a_walk_that_meets_enough_compares_with_few(void **state)
{
	struct search_hit hits[K];
	struct fixture fixture;
	uint64_t distances = 0;
	struct rand rand;

	fixture_init(&fixture, false);
	rand_init(&rand, 5);
	kill_some(&fixture, 0.3, &rand);
	for (uint32_t query = 0; query < QUERIES; query++)
		distances += ask_narrowly(&fixture, fixture.queries + query * DIM, hits);
	assert_true(distances < (uint64_t)QUERIES * (ROWS - fixture.dead_count) / 2);
	fixture_deinit(&fixture);
}

/* As many are dead, but all of those near the query: only the scan will find what lives. */
static void a_walk_that_meets_only_the_dead_gives_up_soon(void **state)
{
	struct search_hit hits[K];
	struct fixture fixture;
	uint64_t distances = 0, scans = 0;

	fixture_init(&fixture, false);
	for (uint32_t query = 0; query < QUERIES; query++) {
		const float *at = fixture.queries + query * DIM;
		double exact[ROWS], limit;

		for (uint32_t node = 0; node < ROWS; node++)
			exact[node] = distance_to(&fixture, at, node);
		qsort(exact, ROWS, sizeof(exact[0]), compare_distances);
		limit = exact[ROWS * 3 / 10];
		fixture.dead_count = 0;
		for (uint32_t node = 0; node < ROWS; node++) {
			fixture.died[node] = distance_to(&fixture, at, node) < limit;
			fixture.dead_count += (uint32_t)fixture.died[node];
		}
		distances += ask_narrowly(&fixture, at, hits);
		scans += ROWS - fixture.dead_count;
	}
	assert_true(distances >= scans);
	assert_true(distances < scans * 11 / 10);
	fixture_deinit(&fixture);
}

/* Only the first of equal vectors is in the graph, and stands for those that live. */
static void a_dead_node_stands_for_its_twins_that_live(void **state)
{
	struct search_hit hits[K];
	struct fixture fixture;
	struct rand rand;

	fixture_init(&fixture, true);
	rand_init(&rand, 6);
	fixture.dead_count = 0;
	for (uint32_t node = 0; node < ROWS; node++) {
		fixture.died[node] = node % 5 > 2 || (node % 5 == 0 && rand_below(&rand, 8) == 0);
		fixture.dead_count += (uint32_t)fixture.died[node];
	}
	for (uint32_t node = 0; node < ROWS; node += 5) {
		const float *at = fixture.rows + (size_t)node * DIM;

		(void)ask_narrowly(&fixture, at, hits);
		assert_true(hits[0].distance == 0 && hits[1].distance == 0);
	}
	fixture_deinit(&fixture);
}

/* What is named beyond the view's count came after the search began. */
static void what_came_later_is_not_seen(void **state)
{
	struct fixture fixture;
	struct search_params params = {.k = K, .ef = 48};

	fixture_init(&fixture, true);
	fixture.segment.count = ROWS / 2;
	fixture.segment.entry = 0;
	fixture.segment.entry_level = 0;
	for (uint32_t query = 0; query < QUERIES; query++) {
		struct search_hit hits[K];

		search_begin(fixture.search, &fixture.segment, fixture.queries + query * DIM,
			     &params);
		while (!search_step(fixture.search))
			;
		assert_int_equal(search_hits(fixture.search, hits, K), K);
		for (uint32_t i = 0; i < K; i++)
			assert_true(hits[i].label < ROWS / 2);
	}
	fixture_deinit(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_dead_are_left_out_whatever_their_share),
		cmocka_unit_test(labels_in_any_order_make_no_difference),
		cmocka_unit_test(a_dead_region_doesnt_cut_the_answer_short),
		cmocka_unit_test(a_walk_that_meets_enough_compares_with_few),
		cmocka_unit_test(a_walk_that_meets_only_the_dead_gives_up_soon),
		cmocka_unit_test(a_dead_node_stands_for_its_twins_that_live),
		cmocka_unit_test(what_came_later_is_not_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/defs.h"
#include "base/rand.h"
#include "hnsw/live_search.h"
#include "hnsw/live_set.h"
#include "hnsw/workers.h"
#include "tests/lib/index.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define DIM 8

static struct live *live_of(uint32_t vector_max, uint32_t growing_max)
{
	const struct live_options options = {
		.metric = METRIC_L2,
		.dim = DIM,
		.vector_max = vector_max,
		.growing_max = growing_max,
		.build = {.m = 8, .ef_construction = 40, .seed = 1},
	};
	struct live *live;

	assert_int_equal(live_new(&options, &live), 0);
	return live;
}

/* Does all that there is to do. */
static void work(struct live *live)
{
	enum live_need need;

	do {
		assert_int_equal(live_work(live, &need), 0);
		if (need == LIVE_NEED_BUILD)
			assert_int_equal(live_build(live), 0);
	} while (need != LIVE_NEED_NOTHING);
	assert_int_equal(live_build(live), LIVE_E_IDLE);
}

static unsigned ask(struct live_search *search, const float *query, uint32_t k,
		    struct search_hit *hits)
{
	const struct search_params params = {.k = k};

	live_search_begin(search, query, &params);
	while (!live_search_step(search))
		;
	return live_search_hits(search, hits, k);
}

static struct live_search *search_of(struct live *live)
{
	struct live_search *search;

	assert_int_equal(live_search_new(live, 64, &search), 0);
	return search;
}

static void an_empty_index_answers_nothing(void **state)
{
	struct live *live = live_of(10, 10);
	struct live_search *search = search_of(live);
	const float query[DIM] = {0};
	struct search_hit hits[5];

	assert_int_equal(ask(search, query, 5, hits), 0);
	work(live);
	live_settle(live);
	work(live);
	assert_int_equal(ask(search, query, 5, hits), 0);
	assert_null(live_segment(live, 0));
	live_search_free(search);
	live_free(live);
}

static void what_is_put_is_found_replaced_and_gone(void **state)
{
	float *rows = index_rows(4, DIM, 1);
	struct live *live = live_of(10, 10);
	struct live_search *search = search_of(live);
	struct search_hit hits[3];

	assert_int_equal(live_delete(live, 7), LIVE_E_ABSENT);
	assert_int_equal(live_put(live, 7, rows), 0);
	assert_true(live_has(live, 7));
	assert_int_equal(ask(search, rows, 3, hits), 1);
	assert_int_equal(hits[0].label, 7);
	assert_true(hits[0].distance == 0);
	assert_int_equal(live_put(live, 7, rows + DIM), 0);
	assert_int_equal(ask(search, rows, 3, hits), 1);
	assert_true(hits[0].distance > 0);
	assert_int_equal(live_delete(live, 7), 0);
	assert_false(live_has(live, 7));
	assert_int_equal(ask(search, rows, 3, hits), 0);
	assert_int_equal(live_stats(live).vectors, 0);
	assert_int_equal(live_stats(live).dead, 2);
	work(live);
	assert_int_equal(live_stats(live).dead, 0);
	live_search_free(search);
	live_free(live);
	free(rows);
}

static void every_size_from_nothing_is_found_and_settles(void **state)
{
	const uint32_t max = 70;
	float *rows = index_rows(max, DIM, 1);
	struct search_hit hits[64];

	for (uint32_t count = 0; count <= max; count++) {
		struct live *live = live_of(max, 16);
		struct live_search *search = search_of(live);

		for (uint32_t i = 0; i < count; i++)
			assert_int_equal(live_put(live, i, rows + (size_t)i * DIM), 0);
		for (unsigned round = 0; round < 2; round++) {
			assert_int_equal(ask(search, rows, 64, hits), MIN(count, 64));
			for (uint32_t i = 0; i < count; i++) {
				assert_int_equal(ask(search, rows + (size_t)i * DIM, 1, hits), 1);
				assert_int_equal(hits[0].label, i);
			}
			live_settle(live);
			work(live);
			assert_int_equal(live_stats(live).sealed, count > 0);
			assert_int_equal(live_stats(live).growing, 1);
		}
		live_search_free(search);
		live_free(live);
	}
	free(rows);
}

static void its_limits_are_told(void **state)
{
	float *rows = index_rows(200, DIM, 1), bad[DIM] = {NAN};
	struct live *live = live_of(40, 4);
	enum live_need need;
	int result = 0;

	assert_int_equal(live_put(live, 1, bad), LIVE_E_VALUE);
	assert_int_equal(live_stats(live).vectors, 0);
	for (uint32_t i = 0; i < 40; i++)
		assert_int_equal(live_put(live, i, rows + (size_t)i * DIM), 0);
	assert_int_equal(live_put(live, 40, rows), LIVE_E_FULL);
	/* Replacing is possible, until there are as many growing indexes as there can be. */
	for (uint32_t i = 0; i < 200 && !result; i++)
		result = live_put(live, i % 40, rows + (size_t)i * DIM);
	assert_int_equal(result, LIVE_E_BUSY);
	assert_int_equal(live_stats(live).vectors, 40);
	assert_int_equal(live_work(live, &need), 0);
	assert_int_equal(need, LIVE_NEED_BUILD);
	work(live);
	assert_int_equal(live_put(live, 3, rows), 0);
	live_free(live);
	free(rows);
}

static void wrong_options_are_refused(void **state)
{
	const struct live_options good = {
		.metric = METRIC_L2, .dim = 4, .vector_max = 10, .growing_max = 5};
	struct live_options wrong[6];
	struct live *live;

	for (unsigned i = 0; i < ARRAY_COUNT(wrong); i++)
		wrong[i] = good;
	wrong[0].dim = 0;
	wrong[1].vector_max = 0;
	wrong[2].growing_max = 11;
	wrong[3].dead_percent = 101;
	wrong[4].build.m = 1;
	wrong[5].build.threads = WORKERS_MAX + 1;
	for (unsigned i = 0; i < ARRAY_COUNT(wrong); i++)
		assert_int_equal(live_new(&wrong[i], &live), -EINVAL);
	live_free(NULL);
	live_search_free(NULL);
}

static void a_segment_is_adopted_and_lives_on(void **state)
{
	const uint32_t count = 200;
	float *rows = index_rows(count, DIM, 1);
	struct live *live = live_of(count, 50);
	struct live_search *search = search_of(live);
	struct search_hit hits[10];
	struct build_image image;
	struct segment segment;

	index_build(rows, NULL, count, DIM, METRIC_L2, &image, &segment);
	assert_int_equal(live_put(live, 5, rows), 0);
	assert_int_equal(live_adopt(live, &segment, &image), -EINVAL);
	assert_int_equal(live_delete(live, 5), 0);
	assert_int_equal(live_adopt(live, &segment, &image), 0);
	assert_int_equal(live_stats(live).vectors, count);
	assert_int_equal(live_put(live, 17, rows + (size_t)18 * DIM), 0);
	assert_int_equal(live_delete(live, 18), 0);
	assert_int_equal(ask(search, rows + (size_t)18 * DIM, 10, hits), 10);
	assert_int_equal(hits[0].label, 17);
	for (uint32_t i = 0; i < 10; i++)
		assert_true(hits[i].label != 18 && (i == 0 || hits[i].label != 17));
	live_search_free(search);
	live_free(live);
	free(rows);
}

/* A search that is left lying keeps what it searches, and no more. */
static void a_parked_search_doesnt_hold_up_the_writer(void **state)
{
	const uint32_t count = 100;
	float *rows = index_rows(count, DIM, 1);
	struct live *live = live_of(count, 20);
	struct live_search *parked = search_of(live), *other = search_of(live);
	const struct search_params params = {.k = 60};
	struct search_hit hits[60];

	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(live_put(live, i, rows + (size_t)i * DIM), 0);
	live_search_begin(parked, rows, &params);
	assert_int_equal(live_stats(live).searches, 1);
	for (uint32_t i = 1; i < count; i++)
		assert_int_equal(live_delete(live, i), 0);
	live_settle(live);
	work(live);
	assert_int_equal(live_stats(live).dead, 0);
	assert_int_equal(ask(other, rows, 60, hits), 1);
	while (!live_search_step(parked))
		;
	assert_int_equal(live_search_hits(parked, hits, 60), 60);
	assert_int_equal(live_stats(live).searches, 0);
	live_search_free(parked);
	live_search_free(other);
	live_free(live);
	free(rows);
}

static void deaths_during_a_merge_are_carried_over(void **state)
{
	const uint32_t count = 3000;
	float *rows = index_rows(count, DIM, 1);
	struct live *live = live_of(count, count);
	struct live_search *search = search_of(live);
	struct search_hit hits[8];
	enum live_need need;
	unsigned slices = 0;

	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(live_put(live, i, rows + (size_t)i * DIM), 0);
	live_settle(live);
	assert_int_equal(live_work(live, &need), 0);
	assert_int_equal(need, LIVE_NEED_BUILD);
	/* Half before the vectors are copied, half after. */
	for (uint32_t i = 8; i < count; i++) {
		if (i == count / 2)
			assert_int_equal(live_build(live), 0);
		assert_int_equal(live_delete(live, i), 0);
	}
	while (live_stats(live).merges == 0) {
		assert_int_equal(live_work(live, &need), 0);
		slices++;
	}
	assert_true(slices > 2);
	assert_int_equal(live_stats(live).dead, count - 8);
	for (unsigned round = 0; round < 2; round++) {
		assert_int_equal(ask(search, rows + (size_t)9 * DIM, 8, hits), 8);
		for (uint32_t i = 0; i < 8; i++)
			assert_true(hits[i].label < 8);
		work(live);
	}
	assert_int_equal(live_stats(live).dead, 0);
	live_search_free(search);
	live_free(live);
	free(rows);
}

static void a_merge_that_fails_leaves_everything_as_it_was(void **state)
{
	float *rows = index_rows(10, DIM, 1);
	struct live *live = live_of(10, 10);
	struct live_search *search = search_of(live);
	struct search_hit hits[10];
	enum live_need need = LIVE_NEED_NOTHING;

	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(live_put(live, i, rows + (size_t)i * DIM), 0);
	live_settle(live);
	live->options.build.threads = WORKERS_MAX + 1;
	for (unsigned round = 0; round < 2; round++) {
		assert_int_equal(live_work(live, &need), 0);
		assert_int_equal(need, LIVE_NEED_BUILD);
		assert_int_equal(live_delete(live, round), 0);
		assert_int_equal(live_build(live), 0);
		assert_int_equal(live_work(live, &need), -EINVAL);
		assert_int_equal(live_stats(live).merges, 0);
		assert_int_equal(ask(search, rows, 10, hits), 9 - round);
	}
	live->options.build.threads = 1;
	work(live);
	assert_int_equal(live_stats(live).merges, 1);
	assert_int_equal(live_stats(live).dead, 0);
	assert_int_equal(ask(search, rows, 10, hits), 8);
	live_search_free(search);
	live_free(live);
	free(rows);
}

/*
 * Between its first look at the set and its last a search can be held up, and the writer
 * put a vector into a member that the set doesn't have.
 */
static void a_set_that_was_replaced_meanwhile_is_not_searched(void **state)
{
	float *rows = index_rows(4, DIM, 1);
	struct live *live = live_of(10, 2);
	struct live_search *search = search_of(live);
	struct live_set *set;

	assert_int_equal(live_put(live, 1, rows), 0);
	set = live_search_pin(search);
	assert_int_equal(live_put(live, 2, rows), 0);
	assert_true(live_search_take_moment(search, set));
	assert_int_equal(live_search_time(search), 2);
	assert_int_equal(live_put(live, 2, rows + DIM), 0);
	assert_false(live_search_take_moment(search, set));
	/* What it has pinned is there as long as it does. */
	work(live);
	assert_ptr_equal(live->given_up, set);
	assert_int_equal(set->member_count, 1);
	assert_int_equal(live_member_count(set->members[0]), 2);
	assert_ptr_not_equal(live_search_pin(search), set);
	work(live);
	assert_null(live->given_up);
	live_search_free(search);
	live_free(live);
	free(rows);
}

/*
 * One writer, one builder, two searchers. Change number t is known beforehand, so
 * a search of time t has to answer exactly the table of that time: each
 * label in one version, none twice, none missing.
 */

#define LABELS   48
#define CHANGES  3000
#define READERS  2
#define SEARCHES 400

struct history {
	int32_t versions[CHANGES + 1][LABELS]; /* after each change; 0: not there */
};

struct race {
	struct live *live;
	struct history *history;
	_Atomic bool written; /* all changes are made */
	_Atomic uint32_t wrong;
};

/* The version is the vector: under the inner product with (1, 0, ...) the distance tells it. */
static void vector_of_version(int32_t version, float *vector)
{
	struct rand rand;

	rand_init(&rand, (uint64_t)version);
	vector[0] = (float)version;
	for (uint32_t i = 1; i < DIM; i++)
		vector[i] = (float)(CHANGES * rand_unit(&rand));
}

static struct history *make_history(void)
{
	struct history *history = calloc(1, sizeof(*history));
	struct rand rand;

	assert_non_null(history);
	rand_init(&rand, 1);
	for (int32_t change = 1; change <= CHANGES; change++) {
		int32_t *versions = history->versions[change];
		uint32_t label = (uint32_t)rand_below(&rand, LABELS);

		memcpy(versions, history->versions[change - 1], sizeof(history->versions[0]));
		versions[label] = versions[label] && change % 5 == 0 ? 0 : change;
	}
	return history;
}

static void *write_history(void *argument)
{
	struct race *race = argument;

	for (uint32_t change = 1; change <= CHANGES; change++) {
		const int32_t *before = race->history->versions[change - 1];
		const int32_t *after = race->history->versions[change];
		uint32_t label = 0;
		enum live_need need;
		float vector[DIM];
		int result;

		while (before[label] == after[label])
			label++;
		vector_of_version(after[label], vector);
		do {
			if (live_work(race->live, &need))
				atomic_fetch_add(&race->wrong, 1);
			result = after[label] ? live_put(race->live, label, vector)
					      : live_delete(race->live, label);
			if (result == LIVE_E_BUSY)
				sched_yield();
		} while (result == LIVE_E_BUSY);
		if (result)
			atomic_fetch_add(&race->wrong, 1);
	}
	atomic_store(&race->written, true);
	return NULL;
}

static void *build_history(void *argument)
{
	struct race *race = argument;

	while (!atomic_load(&race->written))
		if (live_build(race->live))
			sched_yield();
	return NULL;
}

static bool is_right(const struct race *race, uint64_t time, const struct search_hit *hits,
		     unsigned found)
{
	int32_t left[LABELS];
	unsigned live = 0;

	memcpy(left, race->history->versions[time], sizeof(left));
	for (unsigned i = 0; i < LABELS; i++)
		live += left[i] != 0;
	if (found != live)
		return false;
	for (unsigned i = 0; i < found; i++) {
		if (hits[i].label >= LABELS || left[hits[i].label] == 0 ||
		    (float)left[hits[i].label] != -hits[i].distance)
			return false;
		left[hits[i].label] = 0;
	}
	return true;
}

static void *read_history(void *argument)
{
	const struct search_params params = {.k = LABELS};
	const float query[DIM] = {1};
	struct race *race = argument;
	struct live_search *searches[2];
	struct search_hit hits[LABELS];

	for (unsigned i = 0; i < ARRAY_COUNT(searches); i++)
		if (live_search_new(race->live, LABELS, &searches[i]))
			abort();
	for (unsigned i = 0; i < SEARCHES || !atomic_load(&race->written); i++) {
		for (unsigned j = 0; j < ARRAY_COUNT(searches); j++)
			live_search_begin(searches[j], query, &params);
		live_search_burst(searches, ARRAY_COUNT(searches));
		for (unsigned j = 0; j < ARRAY_COUNT(searches); j++) {
			unsigned found = live_search_hits(searches[j], hits, LABELS);

			if (!is_right(race, live_search_time(searches[j]), hits, found))
				atomic_fetch_add(&race->wrong, 1);
		}
	}
	for (unsigned i = 0; i < ARRAY_COUNT(searches); i++)
		live_search_free(searches[i]);
	return NULL;
}

static void searches_beside_a_writer_each_see_one_moment(void **state)
{
	const struct live_options options = {
		.metric = METRIC_IP,
		.dim = DIM,
		.vector_max = 200,
		.growing_max = 5,
		.build = {.m = 4, .ef_construction = 16, .seed = 1},
	};
	struct race race = {.history = make_history()};
	pthread_t threads[READERS + 2];

	assert_int_equal(live_new(&options, &race.live), 0);
	for (unsigned i = 0; i < ARRAY_COUNT(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL,
						i == 0   ? write_history
						: i == 1 ? build_history
							 : read_history,
						&race),
				 0);
	for (unsigned i = 0; i < ARRAY_COUNT(threads); i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	print_message("%u merges\n", (unsigned)live_stats(race.live).merges);
	assert_true(live_stats(race.live).merges > 0);
	assert_int_equal(race.wrong, 0);
	live_free(race.live);
	free(race.history);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_index_answers_nothing),
		cmocka_unit_test(what_is_put_is_found_replaced_and_gone),
		cmocka_unit_test(every_size_from_nothing_is_found_and_settles),
		cmocka_unit_test(its_limits_are_told),
		cmocka_unit_test(wrong_options_are_refused),
		cmocka_unit_test(a_segment_is_adopted_and_lives_on),
		cmocka_unit_test(a_parked_search_doesnt_hold_up_the_writer),
		cmocka_unit_test(deaths_during_a_merge_are_carried_over),
		cmocka_unit_test(a_merge_that_fails_leaves_everything_as_it_was),
		cmocka_unit_test(a_set_that_was_replaced_meanwhile_is_not_searched),
		cmocka_unit_test(searches_beside_a_writer_each_see_one_moment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

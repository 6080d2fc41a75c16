/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crc.h"
#include "base/defs.h"
#include "base/rand.h"
#include "rdma/fetch_local.h"
#include "rdma/pull.h"
#include "tests/lib/test.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#define REGION_MAX 100000
#define TURN_MAX   100000

static uint8_t region[REGION_MAX];
static uint8_t memory[REGION_MAX + 64];

static void fill(uint64_t seed)
{
	struct rand rand;

	rand_init(&rand, seed);
	for (unsigned i = 0; i < REGION_MAX; i++)
		region[i] = (uint8_t)rand_next(&rand);
	memset(memory, 0, sizeof(memory));
}

static struct fetch *open_fetch(uint64_t size, uint64_t seed, uint64_t fail_batch)
{
	const struct fetch_local_options options = {
		.start = region,
		.size = size,
		.memory = memory,
		.memory_size = sizeof(memory),
		.seed = seed,
		.fail_batch = fail_batch,
	};
	struct fetch *fetch;

	assert_int_equal(fetch_local_open(&options, &fetch), 0);
	return fetch;
}

static struct pull *open_pull(uint64_t size, const struct pull_range *ranges, unsigned range_count)
{
	const struct pull_options options = {
		.memory = memory,
		.size = size,
		.ranges = ranges,
		.range_count = range_count,
		.piece_size = 1000,
		.piece_count = 5,
	};
	struct pull *pull;

	assert_int_equal(pull_new(&options, &pull), 0);
	return pull;
}

/* Turns until there is something else to say than 'more'; what has come never becomes less. */
static int run(struct pull *pull)
{
	uint64_t arrived = pull_arrived(pull);

	for (unsigned i = 0; i < TURN_MAX; i++) {
		int state = pull_turn(pull, 1);

		assert_true(pull_arrived(pull) >= arrived);
		arrived = pull_arrived(pull);
		if (state != PULL_E_MORE)
			return state;
	}
	fail_msg("no end");
	return -1;
}

static void regions_of_all_sizes_come_whole(void **state)
{
	static const uint64_t sizes[] = {1, 999, 1000, 1001, 5000, 63999, 64000, 64001, REGION_MAX};

	for (unsigned i = 0; i < ARRAY_COUNT(sizes); i++) {
		const struct pull_range range = {0, sizes[i], 0};
		struct pull_range right = range;
		struct fetch *fetch = open_fetch(sizes[i], i + 1, 0);
		struct pull *pull;

		fill(i);
		right.crc32c = crc32c(region, sizes[i]);
		pull = open_pull(sizes[i], &right, 1);
		assert_int_equal(pull_attach(pull, fetch), 0);
		assert_int_equal(run(pull), 0);
		assert_int_equal(run(pull), 0);
		assert_int_equal(pull_arrived(pull), sizes[i]);
		assert_memory_equal(memory, region, sizes[i]);
		assert_int_equal(memory[sizes[i]], 0);
		assert_int_equal(fetch->under_way, 0);
		assert_string_equal(pull_error(pull), "");
		pull_free(pull);
		fetch_close(fetch);
	}
}

static void each_piece_is_asked_for_once(void **state)
{
	struct fetch *fetch = open_fetch(50500, 9, 0);
	struct pull *pull = open_pull(50500, NULL, 0);

	fill(1);
	assert_int_equal(pull_attach(pull, fetch), 0);
	assert_int_equal(run(pull), 0);
	assert_int_equal(fetch->stats.batches, 51);
	assert_int_equal(fetch->stats.bytes, 50500);
	pull_free(pull);
	fetch_close(fetch);
}

/* Each fetch ends after some batches; what has come isn't fetched again. */
static void run_interrupted(uint64_t seed)
{
	struct rand rand;
	struct pull_range ranges[2] = {{7, 60000, 0}, {70000, 30000, 0}};
	uint64_t fetched = 0, fetches = 0;
	struct pull *pull;
	int outcome = PULL_E_LOST;

	rand_init(&rand, seed);
	fill(seed);
	for (unsigned i = 0; i < ARRAY_COUNT(ranges); i++)
		ranges[i].crc32c = crc32c(region + ranges[i].offset, ranges[i].size);
	pull = open_pull(REGION_MAX, ranges, ARRAY_COUNT(ranges));
	assert_int_equal(pull_turn(pull, 1), PULL_E_LOST);
	while (outcome == PULL_E_LOST && fetches < 1000) {
		uint64_t before = pull_arrived(pull);
		struct fetch *fetch =
			open_fetch(REGION_MAX, rand_next(&rand) | 1, 1 + rand_below(&rand, 40));

		assert_int_equal(pull_attach(pull, fetch), 0);
		outcome = run(pull);
		assert_int_equal(fetch->under_way, 0);
		fetched += fetch->stats.bytes - (uint64_t)fetch->stats.failures * 1000;
		assert_int_equal(pull_arrived(pull) - before,
				 fetch->stats.bytes - (uint64_t)fetch->stats.failures * 1000);
		fetches++;
		fetch_close(fetch);
	}
	assert_int_equal(outcome, 0);
	assert_true(fetches > 1);
	assert_int_equal(fetched, REGION_MAX);
	assert_memory_equal(memory, region, REGION_MAX);
	assert_non_null(strstr(pull_error(pull), "local fetch ended"));
	pull_free(pull);
}

static void a_pull_goes_on_with_the_next_fetch(void **state)
{
	for (uint64_t seed = 1; seed <= 50; seed++) {
		print_message("seed %lu\n", (unsigned long)seed);
		run_interrupted(seed);
	}
}

static void a_wrong_checksum_is_corrupt_and_stays_so(void **state)
{
	struct pull_range ranges[2] = {{0, 3000, 0}, {3000, 2000, 0}};
	struct fetch *fetch = open_fetch(REGION_MAX, 3, 0);
	struct pull *pull;

	fill(4);
	ranges[0].crc32c = crc32c(region, 3000);
	ranges[1].crc32c = crc32c(region + 3000, 2000) ^ 1;
	pull = open_pull(REGION_MAX, ranges, 2);
	assert_int_equal(pull_attach(pull, fetch), 0);
	assert_int_equal(run(pull), PULL_E_CORRUPT);
	assert_int_equal(run(pull), PULL_E_CORRUPT);
	/* It doesn't go on asking for what it can't use. */
	assert_int_equal(fetch->under_way, 0);
	assert_true(fetch->stats.bytes < REGION_MAX);
	assert_non_null(strstr(pull_error(pull), "2000 bytes at offset 3000"));
	pull_free(pull);
	fetch_close(fetch);
}

static void a_bit_changed_anywhere_in_a_range_is_found(void **state)
{
	for (uint64_t at = 0; at < 3500; at += 499) {
		struct pull_range range = {0, 3500, 0};
		struct fetch *fetch = open_fetch(3500, at + 1, 0);
		struct pull *pull;

		fill(5);
		range.crc32c = crc32c(region, 3500);
		region[at] ^= 0x10;
		pull = open_pull(3500, &range, 1);
		assert_int_equal(pull_attach(pull, fetch), 0);
		assert_int_equal(run(pull), PULL_E_CORRUPT);
		pull_free(pull);
		fetch_close(fetch);
	}
}

static void what_cannot_be_pulled_is_refused(void **state)
{
	static const struct pull_range bad[] = {
		{0, 0, 0}, {0, 1001, 0}, {1000, 1, 0}, {UINT64_MAX, 1, 0}, {1, UINT64_MAX, 0}};
	struct pull_options options = {.memory = memory, .size = 1000};
	struct pull *pull = NULL;

	for (unsigned i = 0; i < ARRAY_COUNT(bad); i++) {
		options.ranges = &bad[i];
		options.range_count = 1;
		assert_int_equal(pull_new(&options, &pull), -EINVAL);
	}
	options = (struct pull_options){.memory = memory};
	assert_int_equal(pull_new(&options, &pull), -EINVAL);
	options = (struct pull_options){
		.memory = memory, .size = PULL_PIECE_MAX + 1, .piece_size = 1};
	assert_int_equal(pull_new(&options, &pull), -EINVAL);
	options = (struct pull_options){
		.memory = memory, .size = 1000, .piece_count = FETCH_BATCH_MAX + 1};
	assert_int_equal(pull_new(&options, &pull), -EINVAL);
	assert_null(pull);
}

static void a_fetch_that_is_too_small_is_not_attached(void **state)
{
	struct fetch *fetch = open_fetch(999, 1, 0);
	struct pull *pull = open_pull(1000, NULL, 0);

	assert_int_equal(pull_attach(pull, fetch), -EINVAL);
	assert_int_equal(pull_turn(pull, 1), PULL_E_LOST);
	pull_free(pull);
	fetch_close(fetch);
}

static void a_lease_that_ends_meanwhile_loses_the_fetch(void **state)
{
	struct fetch *fetch = open_fetch(REGION_MAX, 0, 0);
	struct pull *pull = open_pull(REGION_MAX, NULL, 0);

	fetch->expires_ns = 1000;
	assert_int_equal(pull_attach(pull, fetch), 0);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(pull_turn(pull, 1), PULL_E_MORE);
	assert_int_equal(pull_turn(pull, 999), PULL_E_MORE);
	assert_int_equal(pull_arrived(pull), 5000);
	assert_int_equal(pull_turn(pull, 1000), PULL_E_LOST);
	assert_int_equal(pull_arrived(pull), 5000);
	pull_free(pull);
	fetch_close(fetch);
}

static void corrupt_is_said_when_nothing_writes_to_the_memory_any_more(void **state)
{
	for (uint64_t seed = 1; seed <= 20; seed++) {
		const struct pull_range range = {0, 1000, 1};
		struct fetch *fetch = open_fetch(REGION_MAX, seed, 0);
		struct pull *pull = open_pull(REGION_MAX, &range, 1);

		assert_int_equal(pull_attach(pull, fetch), 0);
		assert_int_equal(run(pull), PULL_E_CORRUPT);
		assert_int_equal(fetch->under_way, 0);
		pull_free(pull);
		fetch_close(fetch);
	}
}

static void memory_beyond_the_fetchs_is_not_attached(void **state)
{
	struct {
		size_t from, size;
		int result;
	} const memories[] = {{0, 1064, 0},        {0, 1063, -EINVAL}, {64, 1000, 0},
			      {65, 2000, -EINVAL}, {64, 999, -EINVAL}, {0, 10, -EINVAL}};

	for (unsigned i = 0; i < ARRAY_COUNT(memories); i++) {
		const struct fetch_local_options options = {
			.start = region,
			.size = 1000,
			.memory = memory + memories[i].from,
			.memory_size = memories[i].size,
		};
		const struct pull_options wanted = {.memory = memory + 64, .size = 1000};
		struct fetch *fetch;
		struct pull *pull;

		assert_int_equal(fetch_local_open(&options, &fetch), 0);
		assert_int_equal(pull_new(&wanted, &pull), 0);
		assert_int_equal(pull_attach(pull, fetch), memories[i].result);
		pull_free(pull);
		fetch_close(fetch);
	}
}

static void *check_apart(void *argument)
{
	struct pull *pull = argument;

	while (pull_check(pull) == PULL_E_MORE)
		(void)sched_yield();
	return NULL;
}

/* Who fetches only brings what who checks looks at; both say the same in the end. */
static void another_thread_can_check(void **state)
{
	for (uint64_t seed = 1; seed <= 10; seed++) {
		bool wrong = seed % 2 == 0;
		struct pull_range ranges[2] = {{0, 30000, 0}, {40500, 59500, 0}};
		const struct pull_options options = {.memory = memory,
						     .size = REGION_MAX,
						     .ranges = ranges,
						     .range_count = ARRAY_COUNT(ranges),
						     .piece_size = 1000,
						     .piece_count = 5,
						     .checked_apart = true};
		struct fetch *fetch = open_fetch(REGION_MAX, seed, 0);
		struct pull *pull;
		pthread_t thread;
		int state_of_turn;

		fill(seed);
		for (unsigned i = 0; i < ARRAY_COUNT(ranges); i++)
			ranges[i].crc32c = crc32c(region + ranges[i].offset, ranges[i].size);
		region[70000] ^= wrong;
		assert_int_equal(pull_new(&options, &pull), 0);
		assert_int_equal(pull_attach(pull, fetch), 0);
		assert_int_equal(pthread_create(&thread, NULL, check_apart, pull), 0);
		do {
			state_of_turn = pull_turn(pull, 1);
			(void)sched_yield();
		} while (state_of_turn == PULL_E_MORE);
		assert_int_equal(state_of_turn, wrong ? PULL_E_CORRUPT : 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_int_equal(pull_check(pull), state_of_turn);
		assert_int_equal(strstr(pull_error(pull), "59500 bytes at offset 40500") != NULL,
				 wrong);
		assert_int_equal(fetch->under_way, 0);
		pull_free(pull);
		fetch_close(fetch);
	}
}

/* All has come, and yet it isn't said to be right before somebody has looked. */
static void what_nobody_checked_is_not_complete(void **state)
{
	const struct pull_range range = {0, 1000, 0};
	const struct pull_options options = {.memory = memory,
					     .size = 1000,
					     .ranges = &range,
					     .range_count = 1,
					     .checked_apart = true};
	struct fetch *fetch = open_fetch(1000, 0, 0);
	struct pull *pull;

	fill(1);
	assert_int_equal(pull_new(&options, &pull), 0);
	assert_int_equal(pull_attach(pull, fetch), 0);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(pull_turn(pull, 1), PULL_E_MORE);
	assert_int_equal(pull_arrived(pull), 1000);
	assert_int_equal(pull_check(pull), PULL_E_CORRUPT);
	assert_int_equal(pull_turn(pull, 1), PULL_E_CORRUPT);
	pull_free(pull);
	fetch_close(fetch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(regions_of_all_sizes_come_whole),
		cmocka_unit_test(each_piece_is_asked_for_once),
		cmocka_unit_test(a_pull_goes_on_with_the_next_fetch),
		cmocka_unit_test(a_wrong_checksum_is_corrupt_and_stays_so),
		cmocka_unit_test(a_bit_changed_anywhere_in_a_range_is_found),
		cmocka_unit_test(what_cannot_be_pulled_is_refused),
		cmocka_unit_test(a_fetch_that_is_too_small_is_not_attached),
		cmocka_unit_test(a_lease_that_ends_meanwhile_loses_the_fetch),
		cmocka_unit_test(corrupt_is_said_when_nothing_writes_to_the_memory_any_more),
		cmocka_unit_test(memory_beyond_the_fetchs_is_not_attached),
		cmocka_unit_test(another_thread_can_check),
		cmocka_unit_test(what_nobody_checked_is_not_complete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

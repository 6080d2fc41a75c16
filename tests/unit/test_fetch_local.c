/* SPDX-License-Identifier: Apache-2.0 */
#include "base/defs.h"
#include "base/rand.h"
#include "rdma/fetch_local.h"
#include "tests/lib/test.h"

#include <stdio.h>
#include <string.h>

#define REGION_SIZE 4096
#define MEMORY_SIZE 8192

static uint8_t region[REGION_SIZE];
static uint8_t memory[MEMORY_SIZE];

static struct fetch *open_with(uint64_t expires_ns, uint64_t seed, uint64_t fail_batch)
{
	const struct fetch_local_options options = {
		.start = region,
		.size = sizeof(region),
		.memory = memory,
		.memory_size = sizeof(memory),
		.expires_ns = expires_ns,
		.seed = seed,
		.fail_batch = fail_batch,
	};
	struct fetch *fetch;

	for (unsigned i = 0; i < sizeof(region); i++)
		region[i] = (uint8_t)(i * 7 + i / 256);
	memset(memory, 0, sizeof(memory));
	assert_int_equal(fetch_local_open(&options, &fetch), 0);
	return fetch;
}

static void pieces_come_at_the_next_poll(void **state)
{
	struct fetch *fetch = open_with(0, 0, 0);
	const struct fetch_piece pieces[] = {{0, 1, memory}, {4000, 96, memory + 100}};
	struct fetch_done done[2];

	assert_int_equal(fetch_poll(fetch, 1, done, 2), 0);
	assert_int_equal(fetch_post(fetch, pieces, 2, 17), 0);
	assert_int_equal(fetch_poll(fetch, 1, done, 2), 1);
	assert_int_equal(done[0].cookie, 17);
	assert_int_equal(done[0].error, 0);
	assert_memory_equal(memory, region, 1);
	assert_memory_equal(memory + 100, region + 4000, 96);
	assert_int_equal(fetch->stats.batches, 1);
	assert_int_equal(fetch->stats.reads, 2);
	assert_int_equal(fetch->stats.bytes, 97);
	fetch_close(fetch);
}

static void pieces_beyond_region_or_memory_are_refused(void **state)
{
	struct fetch *fetch = open_with(0, 0, 0);
	const struct fetch_piece bad[] = {
		{0, 0, memory},
		{REGION_SIZE, 1, memory},
		{REGION_SIZE - 1, 2, memory},
		{UINT64_MAX, 1, memory},
		{UINT64_MAX - 3, 8, memory},
		{0, UINT32_MAX, memory},
		{0, 1, memory + MEMORY_SIZE},
		{0, 2, memory + MEMORY_SIZE - 1},
		{0, 1, memory - 1},
		{0, 1, NULL},
		{0, 8, (void *)(UINTPTR_MAX - 3)},
	};
	struct fetch_piece pieces[2] = {{0, 1, memory}};
	struct fetch_done done;

	for (unsigned i = 0; i < ARRAY_COUNT(bad); i++) {
		pieces[1] = bad[i];
		assert_int_equal(fetch_post(fetch, pieces, 2, i), -EINVAL);
	}
	assert_int_equal(fetch_post(fetch, pieces, 0, 0), -EINVAL);
	assert_int_equal(fetch_post(fetch, pieces, FETCH_PIECE_MAX + 1, 0), -EINVAL);
	assert_int_equal(fetch_poll(fetch, 1, &done, 1), 0);
	assert_int_equal(memory[0], 0);
	fetch_close(fetch);
}

static void a_full_fetch_is_busy_until_it_is_polled(void **state)
{
	struct fetch *fetch = open_with(0, 0, 0);
	const struct fetch_piece piece = {5, 8, memory};
	struct fetch_done done;

	for (unsigned i = 0; i < FETCH_BATCH_MAX; i++)
		assert_int_equal(fetch_post(fetch, &piece, 1, i), 0);
	assert_int_equal(fetch_post(fetch, &piece, 1, 999), FETCH_E_BUSY);
	assert_int_equal(fetch_poll(fetch, 1, &done, 1), 1);
	assert_int_equal(done.cookie, 0);
	assert_int_equal(fetch_post(fetch, &piece, 1, FETCH_BATCH_MAX), 0);
	for (unsigned i = 1; i <= FETCH_BATCH_MAX; i++) {
		assert_int_equal(fetch_poll(fetch, 1, &done, 1), 1);
		assert_int_equal(done.cookie, i);
	}
	fetch_close(fetch);
}

static void what_completes_after_the_lease_is_not_used(void **state)
{
	struct fetch *fetch = open_with(1000, 0, 0);
	const struct fetch_piece piece = {0, 8, memory};
	struct fetch_done done[2];

	assert_int_equal(fetch_post(fetch, &piece, 1, 1), 0);
	assert_int_equal(fetch_poll(fetch, 999, done, 2), 1);
	assert_int_equal(done[0].error, 0);
	assert_int_equal(fetch_post(fetch, &piece, 1, 2), 0);
	assert_int_equal(fetch_poll(fetch, 1000, done, 2), 1);
	assert_int_equal(done[0].cookie, 2);
	assert_int_equal(done[0].error, -ETIMEDOUT);
	assert_int_equal(fetch_post(fetch, &piece, 1, 3), -ETIMEDOUT);
	assert_int_equal(fetch->stats.failures, 1);
	fetch_close(fetch);
}

static void a_chosen_batch_ends_it_and_all_under_way(void **state)
{
	struct fetch *fetch = open_with(0, 0, 3);
	const struct fetch_piece piece = {0, 8, memory};
	struct fetch_done done[4];

	for (unsigned i = 1; i <= 3; i++)
		assert_int_equal(fetch_post(fetch, &piece, 1, i), 0);
	assert_int_equal(fetch_post(fetch, &piece, 1, 4), -EIO);
	assert_int_equal(fetch_poll(fetch, 1, done, 4), 3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(done[i].error, -EIO);
	assert_int_equal(fetch_poll(fetch, 1, done, 4), 0);
	fetch_close(fetch);
}

/* Each batch fills a slot of the memory; what is not told of is poison. */
static void run_shuffled(uint64_t seed)
{
	enum { SLOTS = 64, SLOT_SIZE = MEMORY_SIZE / SLOTS };
	struct fetch *fetch = open_with(0, seed, 0);
	struct fetch_done done[SLOTS];
	bool told[SLOTS] = {false};
	unsigned left = SLOTS, out_of_order = 0, last = 0;

	for (unsigned i = 0; i < SLOTS; i++) {
		const struct fetch_piece piece = {i * 8, SLOT_SIZE, memory + i * SLOT_SIZE};

		assert_int_equal(fetch_post(fetch, &piece, 1, i), 0);
	}
	while (left) {
		unsigned count = fetch_poll(fetch, 1, done, SLOTS);

		for (unsigned i = 0; i < count; i++) {
			assert_int_equal(done[i].error, 0);
			assert_false(told[done[i].cookie]);
			told[done[i].cookie] = true;
			out_of_order += done[i].cookie < last;
			last = (unsigned)done[i].cookie;
			left--;
		}
		for (unsigned i = 0; i < SLOTS; i++) {
			static const uint8_t poison[2] = {FETCH_LOCAL_POISON, FETCH_LOCAL_POISON};

			if (told[i])
				assert_memory_equal(memory + i * SLOT_SIZE, region + i * 8,
						    SLOT_SIZE);
			else
				assert_memory_equal(memory + i * SLOT_SIZE, poison, 2);
		}
	}
	assert_true(out_of_order > 0);
	fetch_close(fetch);
}

static void with_a_seed_batches_come_late_in_any_order_and_once(void **state)
{
	for (uint64_t seed = 1; seed <= 20; seed++) {
		print_message("seed %lu\n", (unsigned long)seed);
		run_shuffled(seed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_come_at_the_next_poll),
		cmocka_unit_test(pieces_beyond_region_or_memory_are_refused),
		cmocka_unit_test(a_full_fetch_is_busy_until_it_is_polled),
		cmocka_unit_test(what_completes_after_the_lease_is_not_used),
		cmocka_unit_test(a_chosen_batch_ends_it_and_all_under_way),
		cmocka_unit_test(with_a_seed_batches_come_late_in_any_order_and_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

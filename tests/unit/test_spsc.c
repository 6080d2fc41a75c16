/* SPDX-License-Identifier: Apache-2.0 */

/* The ring between two threads, and counters read by a thread that doesn't own them. */

#include "base/spsc.h"
#include "base/stat.h"
#include "tests/lib/test.h"

#include <pthread.h>
#include <sched.h>

#define SLOT_COUNT 8

static void a_ring_holds_as_many_as_it_has_slots(void **state)
{
	uint64_t slots[SLOT_COUNT], words[SLOT_COUNT + 1] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
	struct spsc ring;

	spsc_init(&ring, slots, SLOT_COUNT);
	assert_int_equal(spsc_get(&ring, words, 1), 0);
	assert_int_equal(spsc_put(&ring, words, SLOT_COUNT + 1), SLOT_COUNT);
	assert_int_equal(spsc_put(&ring, words, 1), 0);
	assert_int_equal(spsc_get(&ring, words, SLOT_COUNT + 1), SLOT_COUNT);
	for (uint64_t i = 0; i < SLOT_COUNT; i++)
		assert_int_equal(words[i], i);
	assert_int_equal(spsc_get(&ring, words, 1), 0);
}

static void order_survives_the_indexes_wrap(void **state)
{
	uint64_t slots[SLOT_COUNT], next_in = 0, next_out = 0;
	struct spsc ring;

	spsc_init(&ring, slots, SLOT_COUNT);
	/* Just before 2^32, so that the indexes overflow as they would after long. */
	atomic_store(&ring.head, UINT32_MAX - 5);
	atomic_store(&ring.tail, UINT32_MAX - 5);
	ring.tail_seen = ring.head_seen = UINT32_MAX - 5;
	for (unsigned round = 0; round < 50; round++) {
		uint64_t words[3] = {next_in, next_in + 1, next_in + 2};
		uint64_t out[4];
		uint32_t count;

		next_in += spsc_put(&ring, words, 3);
		count = spsc_get(&ring, out, 1 + round % 4);
		for (uint32_t i = 0; i < count; i++)
			assert_int_equal(out[i], next_out++);
	}
	assert_true(next_in > SLOT_COUNT && next_in - next_out <= SLOT_COUNT);
}

static void pointers_go_through(void **state)
{
	uint64_t slots[1];
	struct spsc ring;
	int a, b;

	spsc_init(&ring, slots, 1);
	assert_null(spsc_get_pointer(&ring));
	assert_true(spsc_put_pointer(&ring, &a));
	assert_false(spsc_put_pointer(&ring, &b));
	assert_ptr_equal(spsc_get_pointer(&ring), &a);
	assert_null(spsc_get_pointer(&ring));
}

#define WORD_COUNT UINT64_C(50000)

struct transfer {
	struct spsc ring;
	uint64_t slots[64];
	uint64_t put_count; /* a counter of the producer */
};

static void *produce(void *argument)
{
	struct transfer *transfer = argument;
	uint64_t next = 0;

	while (next < WORD_COUNT) {
		uint64_t words[7];
		uint32_t count = (uint32_t)MIN(ARRAY_COUNT(words), WORD_COUNT - next);

		for (uint32_t i = 0; i < count; i++)
			words[i] = next + i;
		count = spsc_put(&transfer->ring, words, count);
		stat_add(&transfer->put_count, count);
		next += count;
		if (count == 0)
			sched_yield();
	}
	return NULL;
}

static void two_threads_pass_every_word_once_and_in_order(void **state)
{
	static struct transfer transfer;
	uint64_t expected = 0, seen = 0;
	pthread_t thread;

	spsc_init(&transfer.ring, transfer.slots, ARRAY_COUNT(transfer.slots));
	assert_int_equal(pthread_create(&thread, NULL, produce, &transfer), 0);
	while (expected < WORD_COUNT) {
		uint64_t words[11], now = stat_read(&transfer.put_count);
		uint32_t count = spsc_get(&transfer.ring, words, ARRAY_COUNT(words));

		assert_true(now >= seen);
		seen = now;
		for (uint32_t i = 0; i < count; i++)
			assert_int_equal(words[i], expected++);
		if (count == 0)
			sched_yield();
	}
	pthread_join(thread, NULL);
	assert_int_equal(stat_read(&transfer.put_count), WORD_COUNT);
}

#define TEST_STAT_LIST(STAT) STAT(frames) STAT(bytes)

struct test_stats {
	TEST_STAT_LIST(STAT_FIELD)
};

static const char *const test_stat_names[] = {TEST_STAT_LIST(STAT_NAME)};

static void a_list_makes_fields_names_and_sums(void **state)
{
	struct test_stats cores[2] = {{0}}, sum = {0};

	stat_add(&cores[0].frames, 2);
	stat_add(&cores[1].frames, 3);
	stat_set(&cores[1].bytes, 90);
	for (unsigned i = 0; i < 2; i++)
		stat_sum(&sum.frames, &cores[i].frames, sizeof(sum) / sizeof(uint64_t));
	assert_int_equal(ARRAY_COUNT(test_stat_names), 2);
	assert_string_equal(test_stat_names[1], "bytes");
	assert_int_equal(sum.frames, 5);
	assert_int_equal(sum.bytes, 90);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_ring_holds_as_many_as_it_has_slots),
		cmocka_unit_test(order_survives_the_indexes_wrap),
		cmocka_unit_test(pointers_go_through),
		cmocka_unit_test(two_threads_pass_every_word_once_and_in_order),
		cmocka_unit_test(a_list_makes_fields_names_and_sums),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

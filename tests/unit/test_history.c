/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/byteorder.h"
#include "base/crc.h"
#include "engine/history.h"

#include <string.h>

static struct history history;
static const uint8_t store[16] = "a store";

static void without_samples_nothing_is_old(void **state)
{
	(void)state;
	history_init(&history, 100, 100);
	assert_int_equal(history_before(&history, 1000, 0), 0);
	assert_int_equal(history_within(&history, 0), 0);
}

static void a_limit_in_time_takes_what_is_surely_older(void **state)
{
	(void)state;
	history_init(&history, 1024 * 60 - 1, HISTORY_NO_LIMIT);
	assert_true(history_note(&history, 10, 1000, 1));
	assert_false(history_note(&history, 11, 1001, 1));
	assert_false(history_note(&history, 19, 1059, 1));
	assert_true(history_note(&history, 20, 1060, 1));
	assert_true(history_note(&history, 30, 1120, 1));
	assert_int_equal(history_before(&history, 1200, 201), 0);
	assert_int_equal(history_before(&history, 1200, 200), 11);
	/* 11 to 19 were written by then, too, as far as anybody knows at some time after 1000. */
	assert_int_equal(history_before(&history, 1200, 141), 11);
	assert_int_equal(history_before(&history, 1200, 140), 21);
	assert_int_equal(history_before(&history, 1200, 0), 31);
	assert_int_equal(history_before(&history, 50, 100), 0);
}

static void a_limit_in_bytes_keeps_that_many(void **state)
{
	(void)state;
	history_init(&history, HISTORY_NO_LIMIT, 1024 * 100 - 1);
	for (uint64_t seqno = 1; seqno <= 50; seqno++)
		assert_int_equal(history_note(&history, seqno, 1000, 50), seqno % 2 == 0);
	assert_int_equal(history_within(&history, 2500), 0);
	assert_int_equal(history_within(&history, 2401), 0);
	for (uint64_t size = 0; size <= 2400; size += 37) {
		uint64_t since = history_within(&history, size);

		assert_in_range((51 - since) * 50, size, size + 100);
	}
}

static void a_limit_that_is_not_there_has_no_samples(void **state)
{
	(void)state;
	history_init(&history, HISTORY_NO_LIMIT, HISTORY_NO_LIMIT);
	assert_false(history_note(&history, 1, 1000, 1 << 20));
	assert_false(history_note(&history, 2, UINT64_C(1) << 40, 1 << 20));
	assert_int_equal(history_before(&history, UINT64_MAX, 1), 0);
	assert_int_equal(history_within(&history, 1), 0);
}

static void a_clock_that_is_set_back_stands_still(void **state)
{
	(void)state;
	history_init(&history, 1024 * 60 - 1, HISTORY_NO_LIMIT);
	history_note(&history, 1, 5000, 1);
	assert_false(history_note(&history, 2, 100, 1));
	assert_false(history_note(&history, 3, 5059, 1));
	assert_true(history_note(&history, 4, 5060, 1));
	assert_int_equal(history_before(&history, 5060, 60), 2);
}

static void full_rows_still_reach_back_to_the_limits(void **state)
{
	const uint64_t age = 100000, size = 1000000;

	(void)state;
	history_init(&history, age, size);
	for (uint64_t seqno = 1; seqno < 300000; seqno++) {
		history_note(&history, seqno, seqno, 7);
		if (seqno % 777 || seqno < 200000)
			continue;
		assert_in_range(seqno - history_before(&history, seqno, age), age - 1, age + 100);
		assert_in_range((seqno + 1 - history_within(&history, size)) * 7, size,
				size + 1000);
	}
}

static void fill(void)
{
	history_init(&history, 1024 * 60 - 1, 1024 * 100 - 1);
	for (uint64_t i = 1; i <= 7; i++)
		history_note(&history, 10 * i, 1000 + 30 * i, 45);
}

static void it_comes_back_as_it_was(void **state)
{
	static uint8_t bytes[HISTORY_SIZE_MAX], again[HISTORY_SIZE_MAX];
	static struct history read;
	size_t size;

	(void)state;
	fill();
	size = history_encode(&history, store, bytes);
	history_init(&read, 1024 * 60 - 1, 1024 * 100 - 1);
	assert_int_equal(history_decode(&read, store, bytes, size), 0);
	assert_int_equal(history_encode(&read, store, again), size);
	assert_memory_equal(bytes, again, size);
	assert_int_equal(history_within(&read, 100), history_within(&history, 100));
	assert_int_equal(history_before(&read, 2000, 870), history_before(&history, 2000, 870));
}

static void any_flipped_bit_is_refused(void **state)
{
	static uint8_t bytes[HISTORY_SIZE_MAX];
	static struct history read;
	size_t size;

	(void)state;
	fill();
	size = history_encode(&history, store, bytes);
	history_init(&read, 1024 * 60 - 1, 1024 * 100 - 1);
	for (size_t bit = 0; bit < 8 * size; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(history_decode(&read, store, bytes, size), HISTORY_E_INVALID);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t shorter = 0; shorter < size; shorter++)
		assert_int_equal(history_decode(&read, store, bytes, shorter), HISTORY_E_INVALID);
	assert_int_equal(read.by_time.count + read.by_bytes.count, 0);
	assert_int_equal(history_decode(&read, (const uint8_t *)"another store  ", bytes, size),
			 HISTORY_E_STORE);
}

/* Whose checksum is right, and which nobody wrote. */
static void samples_that_fall_are_refused(void **state)
{
	static uint8_t bytes[HISTORY_SIZE_MAX];
	static struct history read;
	size_t size;

	(void)state;
	fill();
	history_init(&read, 1, 1);
	size = history_encode(&history, store, bytes);
	for (unsigned field = 0; field < 3; field++) {
		uint8_t *at = bytes + 48 + 24 + 8 * field;
		uint64_t value = load_le64(at);

		store_le64(at, 0);
		store_le32(bytes + size - 4, crc32c(bytes, size - 4));
		assert_int_equal(history_decode(&read, store, bytes, size), HISTORY_E_INVALID);
		store_le64(at, value);
	}
	store_le64(bytes + 32, 1);
	store_le32(bytes + size - 4, crc32c(bytes, size - 4));
	assert_int_equal(history_decode(&read, store, bytes, size), HISTORY_E_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_samples_nothing_is_old),
		cmocka_unit_test(a_limit_in_time_takes_what_is_surely_older),
		cmocka_unit_test(a_limit_in_bytes_keeps_that_many),
		cmocka_unit_test(a_clock_that_is_set_back_stands_still),
		cmocka_unit_test(a_limit_that_is_not_there_has_no_samples),
		cmocka_unit_test(full_rows_still_reach_back_to_the_limits),
		cmocka_unit_test(it_comes_back_as_it_was),
		cmocka_unit_test(any_flipped_bit_is_refused),
		cmocka_unit_test(samples_that_fall_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

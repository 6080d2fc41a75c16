/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/defs.h"
#include "hnsw/filter.h"

#include <stdlib.h>
#include <string.h>

/* Bitmaps written by hand from the RoaringFormat specification. */

#define LABEL_MAX 200000

static int read_hex(struct filter *filter, const char *hex)
{
	uint8_t bytes[256];
	size_t size = test_unhex(hex, bytes, sizeof(bytes));

	return filter_read(filter, bytes, size);
}

static int has(const struct filter *filter, uint32_t label)
{
	return filter_words(filter)[label / 64] >> label % 64 & 1;
}

static int setup(void **state)
{
	struct filter *filter;

	assert_int_equal(filter_new(LABEL_MAX, &filter), 0);
	*state = filter;
	return 0;
}

static int teardown(void **state)
{
	filter_free(*state);
	return 0;
}

static void an_empty_bitmap_allows_nothing(void **state)
{
	assert_int_equal(read_hex(*state, "3A300000 00000000"), 0);
	assert_int_equal(filter_count(*state), 0);
}

static void an_array_is_read(void **state)
{
	/* One container: key 1, 3 members, at offset 16: 1, 2 and 0x100. */
	assert_int_equal(read_hex(*state, "3A300000 01000000 0100 0200 10000000 0100 0200 0001"),
			 0);
	assert_int_equal(filter_count(*state), 3);
	assert_true(has(*state, 65537) && has(*state, 65538) && has(*state, 65536 + 256));
	assert_false(has(*state, 1) || has(*state, 65539));
}

static void runs_are_read(void **state)
{
	/* One container, flagged as runs, no offsets: [10, 14] and [100, 100]. */
	assert_int_equal(read_hex(*state, "3B300000 01 0000 0500 0200 0A00 0400 6400 0000"), 0);
	assert_int_equal(filter_count(*state), 6);
	assert_true(has(*state, 10) && has(*state, 14) && has(*state, 100));
	assert_false(has(*state, 9) || has(*state, 15) || has(*state, 101));
}

static void a_full_container_is_one_run(void **state)
{
	assert_int_equal(read_hex(*state, "3B300000 01 0000 FFFF 0100 0000 FFFF"), 0);
	assert_int_equal(filter_count(*state), 65536);
	assert_true(has(*state, 0) && has(*state, 65535));
	assert_false(has(*state, 65536));
}

static void members_above_the_limit_are_ignored(void **state)
{
	/* Key 3 begins at 196,608: 3,393 of its labels are within 200,000. */
	assert_int_equal(read_hex(*state, "3B300000 01 0300 FFFF 0100 0000 FFFF"), 0);
	assert_int_equal(filter_count(*state), LABEL_MAX - 196608 + 1);
	assert_true(has(*state, LABEL_MAX));
	/* Key 0xFFFF is beyond altogether. */
	assert_int_equal(read_hex(*state, "3A300000 01000000 FFFF 0000 10000000 FFFF"), 0);
	assert_int_equal(filter_count(*state), 0);
}

static void a_bitset_is_read_and_counted(void **state)
{
	uint8_t bytes[16 + 8192] = {0x3A, 0x30, 0, 0, 1, 0, 0, 0, 2, 0, 0x87, 0x13, 16};

	/* 5,000 members of key 2: the odd ones from 1 on. */
	for (unsigned i = 0; i < 5000; i++)
		bytes[16 + (2 * i + 1) / 8] |= (uint8_t)(1U << (2 * i + 1) % 8);
	assert_int_equal(filter_read(*state, bytes, sizeof(bytes)), 0);
	assert_int_equal(filter_count(*state), 5000);
	assert_true(has(*state, 131073) && has(*state, 131072 + 9999));
	assert_false(has(*state, 131072) || has(*state, 131072 + 10001));
	/* One member more than the header says. */
	bytes[16 + 8191] = 0x80;
	assert_int_equal(filter_read(*state, bytes, sizeof(bytes)), FILTER_E_MALFORMED);
}

static void malformed_bitmaps_are_refused(void **state)
{
	static const char *const malformed[] = {
		"",
		"3A3000",
		"3A300000",
		"39300000 00000000",
		"3A300100 00000000",
		"3A300000 00000000 00",
		"3A300000 01000100",
		"3A300000 FFFFFFFF",
		"3A300000 01000000 0100 0200",
		/* Offset 17, 15, far away. */
		"3A300000 01000000 0100 0200 11000000 0100 0200 0001",
		"3A300000 01000000 0100 0200 0F000000 0100 0200 0001",
		"3A300000 01000000 0100 0200 FFFFFFFF 0100 0200 0001",
		/* Members that stand still, that go back, that are missing, one too many. */
		"3A300000 01000000 0100 0200 10000000 0100 0100 0001",
		"3A300000 01000000 0100 0200 10000000 0200 0100 0001",
		"3A300000 01000000 0100 0200 10000000 0100 0200",
		"3A300000 01000000 0100 0200 10000000 0100 0200 0300 0400",
		/* Keys that stand still, that go back. */
		"3A300000 02000000 0100 0000 0100 0000 18000000 1A000000 0000 0000",
		"3A300000 02000000 0100 0000 0000 0000 18000000 1A000000 0000 0000",
		/* Runs that overlap, that go back, that pass the end, of another number of members.
		 */
		"3B300000 01 0000 0500 0200 0A00 0400 0E00 0000",
		"3B300000 01 0000 0500 0200 0A00 0400 0100 0000",
		"3B300000 01 0000 0500 0100 FEFF 0500",
		"3B300000 01 0000 0500 0100 0A00 0400",
		"3B300000 01 0000 0500 0000",
		"3B300000 01 0000 0500 FFFF 0A00 0400",
		/* A bitset of which nothing is there. */
		"3A300000 01000000 0100 0010 10000000",
	};

	for (size_t i = 0; i < ARRAY_COUNT(malformed); i++) {
		assert_int_equal(read_hex(*state, "3B300000 01 0000 0500 0200 0A00 0400 6400 0000"),
				 0);
		if (read_hex(*state, malformed[i]) != FILTER_E_MALFORMED)
			fail_msg("accepted: %s", malformed[i]);
		assert_int_equal(filter_count(*state), 0);
		assert_false(has(*state, 10));
	}
}

static void a_filter_for_one_label_is_enough(void **state)
{
	struct filter *filter;

	assert_int_equal(filter_new(0, &filter), 0);
	assert_int_equal(filter_label_max(filter), 0);
	assert_int_equal(read_hex(filter, "3B300000 01 0000 FFFF 0100 0000 FFFF"), 0);
	assert_int_equal(filter_count(filter), 1);
	assert_int_equal(filter_words(filter)[0], 1);
	filter_free(filter);
	filter_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_bitmap_allows_nothing),
		cmocka_unit_test(an_array_is_read),
		cmocka_unit_test(runs_are_read),
		cmocka_unit_test(a_full_container_is_one_run),
		cmocka_unit_test(members_above_the_limit_are_ignored),
		cmocka_unit_test(a_bitset_is_read_and_counted),
		cmocka_unit_test(malformed_bitmaps_are_refused),
		cmocka_unit_test(a_filter_for_one_label_is_enough),
	};

	return cmocka_run_group_tests(tests, setup, teardown) != 0;
}

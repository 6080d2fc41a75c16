/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/table_index.h"

#include "base/defs.h"
#include "base/rand.h"
#include "tests/lib/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct entry_bytes text(const char *string)
{
	return (struct entry_bytes){(const uint8_t *)string, (uint32_t)strlen(string)};
}

static void separators_are_short_and_between(void **state)
{
	static const struct {
		const char *last, *next, *wanted;
	} cases[] = {
		{"a", "b", "a"},
		{"abc", "b", "abc"},
		{"abc", "c", "b"},
		{"abc", "bc", "b"},
		{"abcdef", "abcxyz", "abcx"},
		{"abc", "abcd", "abc"},
		{"user/000123/name", "user/000124", "user/000123/name"},
		{"user/000123/name", "user/000130", "user/00013"},
		{"ab\xFF", "ac", "ab\xFF"},
		{"ab\xFF\xFF", "abd", "ab\xFF\xFF"},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct entry_bytes last = text(cases[i].last), next = text(cases[i].next);
		uint8_t bytes[ENTRY_KEY_MAX];
		struct entry_bytes separator = {bytes, 0};

		if (key_compare(last, next) >= 0)
			continue;
		separator.size = table_index_separator(last, next, bytes);
		assert_true(key_compare(last, separator) <= 0 && key_compare(separator, next) < 0);
		assert_int_equal(key_compare(separator, text(cases[i].wanted)), 0);
	}
}

static struct entry_bytes random_key(struct rand *rand, uint8_t *bytes)
{
	uint32_t size = 1 + (uint32_t)rand_below(rand, 12);

	for (uint32_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(rand_below(rand, 3) * 127);
	return (struct entry_bytes){bytes, size};
}

static void any_separator_is_between(void **state)
{
	uint8_t a[16], b[16], bytes[ENTRY_KEY_MAX];
	struct rand rand;

	rand_init(&rand, 3);
	for (unsigned i = 0; i < 100000; i++) {
		struct entry_bytes last = random_key(&rand, a), next = random_key(&rand, b);
		struct entry_bytes separator = {bytes, 0};

		if (key_compare(last, next) >= 0)
			continue;
		separator.size = table_index_separator(last, next, bytes);
		assert_true(separator.size > 0 && separator.size <= last.size);
		assert_true(key_compare(last, separator) <= 0 && key_compare(separator, next) < 0);
	}
}

/* A section of keys, and the index read from it. */
struct made {
	struct table_index_writer writer;
	struct table_index index;
};

static int read_back(struct made *made, uint32_t count, uint64_t blocks_size)
{
	const uint8_t *bytes;
	uint32_t size;

	assert_int_equal(block_writer_finish(&made->writer.block, &bytes, &size), 0);
	return table_index_init(bytes, size, count, blocks_size, &made->index);
}

static void unmake(struct made *made)
{
	table_index_deinit(&made->index);
	block_writer_deinit(&made->writer.block);
}

/* Keys in the order of their numbers: 'group' of them have the same eight bytes at their heads. */
static struct entry_bytes make_key(const char *before, uint32_t group, uint32_t number,
				   char key[64])
{
	snprintf(key, 64, "%s%08u/equal heads/%08u", before, number / group, number);
	return text(key);
}

static void check_finding(const char *before, uint32_t count, uint32_t versions, uint32_t group)
{
	struct made made = {0};
	char key[64];

	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(table_index_add(&made.writer,
						 make_key(before, group, 10 * (i / versions), key),
						 versions - i % versions, 100, 200),
				 0);
	assert_int_equal(read_back(&made, count, (uint64_t)count * 104), 0);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t first = i - i % versions, number = 10 * (i / versions);
		uint64_t seqno = versions - i % versions;
		struct entry_bytes at = make_key(before, group, number, key);

		assert_int_equal(table_index_find(&made.index, at, seqno), i);
		assert_int_equal(table_index_find(&made.index, at, UINT64_MAX), first);
		assert_int_equal(table_index_find(&made.index, at, 0), first + versions);
		at = make_key(before, group, number + 1, key);
		assert_int_equal(table_index_find(&made.index, at, seqno), first + versions);
		assert_int_equal(made.index.slots[i].offset, (uint64_t)i * 104);
	}
	assert_int_equal(table_index_find(&made.index, text("\x01"), 1), 0);
	assert_int_equal(table_index_find(&made.index, text("\xFF"), 1), count);
	unmake(&made);
}

static void finds_what_a_walk_finds(void **state)
{
	static const char *const befores[] = {"", "a long beginning in common/"};

	for (size_t i = 0; i < ARRAY_COUNT(befores); i++) {
		check_finding(befores[i], 1000, 1, 1);
		check_finding(befores[i], 1, 1, 1);
		check_finding(befores[i], 1000, 10, 1);
		check_finding(befores[i], 700, 1, 1000);
		check_finding(befores[i], 700, 7, 1000000);
	}
}

static void a_common_beginning_that_a_key_lacks_decides(void **state)
{
	struct made made = {0};

	assert_int_equal(table_index_add(&made.writer, text("common/a"), 0, 1, 1), 0);
	assert_int_equal(table_index_add(&made.writer, text("common/b"), 0, 1, 1), 0);
	assert_int_equal(read_back(&made, 2, 10), 0);
	assert_int_equal(made.index.common_size, 7);
	assert_int_equal(table_index_find(&made.index, text("com"), 0), 0);
	assert_int_equal(table_index_find(&made.index, text("common/"), 0), 0);
	assert_int_equal(table_index_find(&made.index, text("bommon/z"), 0), 0);
	assert_int_equal(table_index_find(&made.index, text("dommon/a"), 0), 2);
	unmake(&made);
}

static void an_index_that_does_not_fit_the_blocks_is_refused(void **state)
{
	static const struct {
		uint32_t size, raw_size, count;
		uint64_t blocks_size;
	} cases[] = {
		{100, 200, 2, 209},
		{100, 200, 2, 207},
		{100, 200, 1, 208},
		{100, 200, 3, 208},
		{0, 200, 2, 8},
		{201, 200, 2, 410},
		{100, (UINT32_C(1) << 20) + 1, 2, 208},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct made made = {0};

		for (unsigned key = 0; key < 2; key++)
			assert_int_equal(table_index_add(&made.writer, text(key ? "b" : "a"), 0,
							 cases[i].size, cases[i].raw_size),
					 0);
		assert_int_equal(read_back(&made, cases[i].count, cases[i].blocks_size),
				 TABLE_INDEX_E_CORRUPT);
		unmake(&made);
	}
}

static void an_index_out_of_order_is_refused(void **state)
{
	struct made made = {0};

	assert_int_equal(table_index_add(&made.writer, text("b"), 0, 1, 1), 0);
	assert_int_equal(table_index_add(&made.writer, text("b"), 0, 1, 1), 0);
	assert_int_equal(read_back(&made, 2, 10), TABLE_INDEX_E_CORRUPT);
	unmake(&made);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(separators_are_short_and_between),
		cmocka_unit_test(any_separator_is_between),
		cmocka_unit_test(finds_what_a_walk_finds),
		cmocka_unit_test(a_common_beginning_that_a_key_lacks_decides),
		cmocka_unit_test(an_index_that_does_not_fit_the_blocks_is_refused),
		cmocka_unit_test(an_index_out_of_order_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/block.h"
#include "engine/block_format.h"

#include "base/byteorder.h"
#include "base/defs.h"
#include "tests/lib/tables.h"
#include "tests/lib/test.h"

#include <stdlib.h>
#include <string.h>

/* A block of the set's entries, as it would lie in a file. */
static uint8_t *make_block(const struct tables_set *set, uint32_t *ret_size)
{
	struct block_writer writer = {0};
	const uint8_t *bytes;
	uint8_t *copy;

	for (uint32_t i = 0; i < set->count; i++) {
		uint32_t before = block_writer_size(&writer);

		assert_int_equal(block_writer_add(&writer, &set->entries[i]), 0);
		assert_true(block_writer_size(&writer) - before <=
			    block_writer_cost(&set->entries[i]));
	}
	assert_int_equal(block_writer_finish(&writer, &bytes, ret_size), 0);
	copy = malloc(*ret_size);
	assert_non_null(copy);
	memcpy(copy, bytes, *ret_size);
	block_writer_deinit(&writer);
	return copy;
}

static struct tables_set *make_set(uint64_t seed, uint32_t entries)
{
	const struct tables_shape shape = {
		.entries = entries, .keys = entries, .value_max = 40, .seqno_max = 100};
	struct rand rand;

	rand_init(&rand, seed);
	return tables_make(&rand, &shape);
}

static void check_at(const struct block_cursor *cursor, int result, const struct tables_set *set,
		     uint32_t index)
{
	if (index >= set->count) {
		assert_int_equal(result, BLOCK_E_END);
		return;
	}
	assert_int_equal(result, 0);
	tables_assert_same(&cursor->entry, &set->entries[index], 0);
}

static void entries_come_back_both_ways(void **state)
{
	for (uint32_t count = 1; count < 200; count += 1 + count / 7) {
		struct tables_set *set = make_set(count, count);
		struct block_cursor cursor;
		uint32_t size;
		uint8_t *bytes = make_block(set, &size);

		assert_int_equal(block_open(bytes, size, &cursor.block), 0);
		check_at(&cursor, block_first(&cursor), set, 0);
		for (uint32_t i = 1; i <= set->count; i++)
			check_at(&cursor, block_next(&cursor), set, i);
		check_at(&cursor, block_last(&cursor), set, set->count - 1);
		for (uint32_t i = set->count; i > 0; i--)
			check_at(&cursor, block_previous(&cursor), set, i - 2);
		check_at(&cursor, 0, set, 0);
		free(bytes);
		tables_free(set);
	}
}

static void seeks_find_what_a_search_finds(void **state)
{
	struct tables_set *set = make_set(5, 300);
	struct block_cursor cursor;
	struct rand rand;
	uint32_t size;
	uint8_t *bytes = make_block(set, &size), key_bytes[ENTRY_KEY_MAX];

	rand_init(&rand, 6);
	assert_int_equal(block_open(bytes, size, &cursor.block), 0);
	for (unsigned i = 0; i < 5000; i++) {
		struct entry_bytes key = tables_key(&rand, 300, key_bytes);
		uint64_t seqno = rand_below(&rand, 102);

		check_at(&cursor, block_seek(&cursor, key, seqno), set,
			 tables_find(set, key, seqno));
	}
	for (uint32_t i = 0; i < set->count; i++) {
		const struct entry *entry = &set->entries[i];

		check_at(&cursor, block_seek(&cursor, entry->key, entry->seqno), set, i);
		check_at(&cursor, block_next(&cursor), set, i + 1);
	}
	free(bytes);
	tables_free(set);
}

/* What isn't a block is refused by block_open(), or by the step that comes to it. */
static void no_block_is_none(void **state)
{
	static const struct {
		uint8_t bytes[24];
		uint32_t size;
	} cases[] = {
		{{0}, 0},
		{{0, 0, 0}, 3},
		{{0, 0, 0, 0}, 4},
		{{1, 0, 0, 0}, 4},                                  /* a restart that isn't there */
		{{0, 0, 0, 0, 1, 0, 0, 0}, 8},                      /* no entries */
		{{0, 1, 0, 1, 1, 'k', 1, 0, 0, 0, 1, 0, 0, 0}, 14}, /* restart isn't 0 */
		{{0, 1, 0, 1, 1, 'k', 0, 0, 0, 0, 255, 255, 255, 255}, 14},
	};
	struct block block;

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
		assert_int_equal(block_open(cases[i].bytes, cases[i].size, &block),
				 BLOCK_E_CORRUPT);
}

static void entries_that_are_none_are_refused(void **state)
{
	/* shared, rest, value size, flags, number, ... of the first entry. */
	static const struct {
		uint8_t bytes[12];
		uint32_t size;
	} cases[] = {
		{{1, 1, 0, 1, 1, 'k'}, 6},     /* shares with nothing */
		{{0, 0, 0, 1, 1}, 5},          /* no key */
		{{0, 2, 0, 1, 1, 'k'}, 6},     /* a key beyond the end */
		{{0, 1, 1, 1, 1, 'k'}, 6},     /* a value beyond it */
		{{0, 1, 0, 0, 1, 'k'}, 6},     /* no kind */
		{{0, 1, 0, 7, 1, 'k'}, 6},     /* an unknown one */
		{{0, 1, 0, 33, 1, 'k'}, 6},    /* an unknown flag */
		{{0, 1, 0, 9, 1, 0, 'k'}, 7},  /* a type that is 0 */
		{{0, 1, 0, 17, 1, 0, 'k'}, 7}, /* an expiry that is 0 */
		{{0, 1, 0, 9, 1}, 5},          /* a type beyond the end */
		{{0, 0x80, 0, 1, 1, 'k'}, 6},  /* no number */
		{{0, 1, 0, 1}, 4},
		{{0x81, 0x20, 0, 0, 1, 1}, 6}, /* a key too long */
		{{0}, 1},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		uint32_t size = cases[i].size;
		uint8_t bytes[24] = {0};
		struct block_cursor cursor;

		memcpy(bytes, cases[i].bytes, size);
		store_le32(bytes + size + 4, 1);
		assert_int_equal(block_open(bytes, size + 8, &cursor.block), 0);
		assert_int_equal(block_first(&cursor), BLOCK_E_CORRUPT);
		assert_int_equal(block_last(&cursor), BLOCK_E_CORRUPT);
		assert_int_equal(
			block_seek(&cursor, (struct entry_bytes){(const uint8_t *)"k", 1}, 1),
			BLOCK_E_CORRUPT);
	}
}

static void restarts_that_lead_astray_are_refused(void **state)
{
	/* Two entries of 6 bytes, of which the second shares nothing. */
	static const uint8_t entries[] = {0, 1, 0, 1, 1, 'a', 0, 1, 0, 1, 1, 'b'};
	static const uint32_t astray[] = {12, 1000, UINT32_MAX, 5, 7};
	const struct entry_bytes key = {(const uint8_t *)"b", 1};

	for (size_t i = 0; i < ARRAY_COUNT(astray); i++) {
		uint8_t bytes[sizeof(entries) + 12] = {0};
		struct block_cursor cursor;

		memcpy(bytes, entries, sizeof(entries));
		store_le32(bytes + sizeof(entries) + 4, astray[i]);
		store_le32(bytes + sizeof(entries) + 8, 2);
		assert_int_equal(block_open(bytes, sizeof(bytes), &cursor.block), 0);
		assert_int_equal(block_last(&cursor), BLOCK_E_CORRUPT);
		assert_int_equal(block_seek(&cursor, key, 1), BLOCK_E_CORRUPT);
		assert_int_equal(block_first(&cursor), 0);
		assert_int_equal(block_next(&cursor), 0);
	}
}

static void the_longest_key_and_extremes_fit(void **state)
{
	static uint8_t long_key[ENTRY_KEY_MAX];
	struct entry entries[] = {
		{.key = {long_key, ENTRY_KEY_MAX},
		 .seqno = UINT64_MAX,
		 .kind = ENTRY_VALUE,
		 .expires = UINT64_MAX,
		 .type = 255},
		{.key = {long_key, ENTRY_KEY_MAX}, .seqno = 0, .kind = ENTRY_RANGE_TOMBSTONE},
	};
	struct tables_set set = {.entries = entries, .count = 2};
	struct block_cursor cursor;
	uint32_t size;
	uint8_t *bytes = make_block(&set, &size);

	assert_int_equal(block_open(bytes, size, &cursor.block), 0);
	check_at(&cursor, block_first(&cursor), &set, 0);
	check_at(&cursor, block_next(&cursor), &set, 1);
	check_at(&cursor, block_seek(&cursor, entries[0].key, UINT64_MAX - 1), &set, 1);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_come_back_both_ways),
		cmocka_unit_test(seeks_find_what_a_search_finds),
		cmocka_unit_test(no_block_is_none),
		cmocka_unit_test(entries_that_are_none_are_refused),
		cmocka_unit_test(restarts_that_lead_astray_are_refused),
		cmocka_unit_test(the_longest_key_and_extremes_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

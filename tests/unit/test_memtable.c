/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/guard.h"
#include "engine/memtable.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct entry_bytes text(const char *string)
{
	return (struct entry_bytes){(const uint8_t *)string, (uint32_t)strlen(string)};
}

static void add(struct memtable *memtable, const char *key, uint64_t seqno, const char *value)
{
	struct entry entry = {
		.key = text(key), .value = text(value), .seqno = seqno, .kind = ENTRY_VALUE};

	assert_int_equal(memtable_add(memtable, &entry), 0);
}

static void add_range(struct memtable *memtable, const char *start, const char *end, uint64_t seqno)
{
	struct entry entry = {.key = text(start),
			      .value = text(end),
			      .seqno = seqno,
			      .kind = ENTRY_RANGE_TOMBSTONE};

	assert_int_equal(memtable_add(memtable, &entry), 0);
}

static struct memtable *made(uint64_t size_max)
{
	struct memtable *memtable;

	assert_int_equal(memtable_new(size_max, &memtable), 0);
	return memtable;
}

static void assert_node(const struct memtable_node *node, const char *key, uint64_t seqno)
{
	assert_non_null(node);
	const struct entry *entry = memtable_entry(node);

	assert_int_equal(entry->key.size, strlen(key));
	assert_memory_equal(entry->key.bytes, key, entry->key.size);
	assert_int_equal(entry->seqno, seqno);
}

static void an_empty_one_has_nothing(void **state)
{
	struct memtable *memtable = made(4096);

	(void)state;
	assert_null(memtable_seek(memtable, text(""), UINT64_MAX));
	assert_null(memtable_before(memtable, text("z"), 0));
	assert_null(memtable_last(memtable));
	assert_null(memtable_since(memtable, 0));
	assert_int_equal(memtable_count(memtable), 0);
	assert_int_equal(memtable_size(memtable), 0);
	assert_int_equal(memtable_seqno_min(memtable), 0);
	assert_int_equal(memtable_seqno_max(memtable), 0);
	assert_false(memtable_is_full(memtable));
	memtable_free(memtable);
	memtable_free(NULL);
}

static void sizes_that_make_no_sense_are_refused(void **state)
{
	struct memtable *memtable = NULL;

	(void)state;
	assert_int_equal(memtable_new(0, &memtable), -EINVAL);
	assert_int_equal(memtable_new(MEMTABLE_SIZE_MAX + 1, &memtable), -EINVAL);
	assert_null(memtable);
}

static void keys_ascend_and_numbers_of_a_key_descend(void **state)
{
	struct memtable *memtable = made(4096);
	const struct memtable_node *node;

	(void)state;
	add(memtable, "b", 1, "b1");
	add(memtable, "a", 2, "a2");
	add(memtable, "b", 3, "b3");
	add(memtable, "", 4, "empty");
	add(memtable, "a", 5, "a5");
	node = memtable_seek(memtable, text(""), UINT64_MAX);
	assert_node(node, "", 4);
	assert_node(node = memtable_next(node), "a", 5);
	assert_node(node = memtable_next(node), "a", 2);
	assert_node(node = memtable_next(node), "b", 3);
	assert_node(node = memtable_next(node), "b", 1);
	assert_null(memtable_next(node));
	assert_node(memtable_last(memtable), "b", 1);
	memtable_free(memtable);
}

static void a_search_finds_the_version_that_a_number_sees(void **state)
{
	struct memtable *memtable = made(4096);

	(void)state;
	add(memtable, "k", 10, "old");
	add(memtable, "k", 20, "new");
	assert_node(memtable_seek(memtable, text("k"), UINT64_MAX), "k", 20);
	assert_node(memtable_seek(memtable, text("k"), 20), "k", 20);
	assert_node(memtable_seek(memtable, text("k"), 19), "k", 10);
	assert_null(memtable_seek(memtable, text("k"), 9));
	assert_node(memtable_before(memtable, text("k"), 19), "k", 20);
	assert_null(memtable_before(memtable, text("k"), 20));
	memtable_free(memtable);
}

/* Their first eight bytes, padded with zeros, are the same number. */
static void keys_of_one_prefix_are_told_apart(void **state)
{
	static const char keys[][12] = {"\0\0", "\0", "", "abcdefgh", "abcdefg", "abcdefgh1"};
	static const uint32_t sizes[] = {2, 1, 0, 8, 8, 9}; /* the fifth ends in a zero byte */
	static const unsigned order[] = {2, 1, 0, 4, 3, 5};
	struct memtable *memtable = made(4096);
	const struct memtable_node *node;

	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		struct entry entry = {.key = {(const uint8_t *)keys[i], sizes[i]},
				      .seqno = i + 1,
				      .kind = ENTRY_TOMBSTONE};

		assert_int_equal(memtable_add(memtable, &entry), 0);
	}
	node = memtable_seek(memtable, text(""), UINT64_MAX);
	for (unsigned i = 0; i < 6; i++, node = memtable_next(node)) {
		assert_non_null(node);
		assert_int_equal(memtable_entry(node)->seqno, order[i] + 1);
	}
	assert_null(node);
	memtable_free(memtable);
}

static void the_chain_has_range_tombstones_the_list_has_not(void **state)
{
	struct memtable *memtable = made(4096);
	const struct memtable_node *node;

	(void)state;
	add(memtable, "b", 1, "");
	add_range(memtable, "a", "c", 2);
	add(memtable, "a", 3, "");
	assert_node(memtable_seek(memtable, text(""), UINT64_MAX), "a", 3);
	node = memtable_since(memtable, 0);
	assert_node(node, "b", 1);
	assert_node(node = memtable_after(node), "a", 2);
	assert_node(node = memtable_after(node), "a", 3);
	assert_null(memtable_after(node));
	assert_int_equal(memtable_range_count(memtable), 1);
	assert_int_equal(memtable_range(memtable, 0).value.size, 1);
	assert_int_equal(memtable_range(memtable, 0).value.bytes[0], 'c');
	assert_int_equal(memtable_count(memtable), 3);
	memtable_free(memtable);
}

static void the_chain_goes_on_from_where_it_ended(void **state)
{
	struct memtable *memtable = made(4096);
	const struct memtable_node *end;

	(void)state;
	add(memtable, "a", 1, "");
	end = memtable_since(memtable, 1);
	assert_null(memtable_after(end));
	add(memtable, "b", 7, "");
	assert_node(memtable_after(end), "b", 7);
	assert_node(memtable_since(memtable, 2), "b", 7);
	assert_null(memtable_since(memtable, 8));
	memtable_free(memtable);
}

static void one_number_may_have_several_entries(void **state)
{
	struct memtable *memtable = made(1U << 20);
	const struct memtable_node *node;
	unsigned count = 0;
	char key[8];

	(void)state;
	add(memtable, "first", 1, "");
	for (unsigned i = 0; i < 500; i++) {
		snprintf(key, sizeof(key), "%03u", i);
		add(memtable, key, 9, "");
	}
	for (node = memtable_since(memtable, 2); node; node = memtable_after(node), count++) {
		snprintf(key, sizeof(key), "%03u", count);
		assert_node(node, key, 9);
	}
	assert_int_equal(count, 500);
	memtable_free(memtable);
}

static void what_is_added_is_copied(void **state)
{
	struct memtable *memtable = made(4096);
	char key[] = "key", value[] = "value";
	const struct entry *entry;

	(void)state;
	add(memtable, key, 1, value);
	memset(key, 'x', 3);
	memset(value, 'x', 5);
	entry = memtable_entry(memtable_seek(memtable, text("key"), 1));
	assert_memory_equal(entry->key.bytes, "key", 3);
	assert_memory_equal(entry->value.bytes, "value", 5);
	memtable_free(memtable);
}

static void a_full_one_still_takes_the_largest_entries(void **state)
{
	struct memtable *memtable = made(4096);
	uint8_t *value = calloc(1, ENTRY_VALUE_MAX), key[ENTRY_KEY_MAX] = {0};
	struct entry entry = {.key = {key, sizeof(key)}, .value = {value, ENTRY_VALUE_MAX}};

	(void)state;
	assert_non_null(value);
	for (unsigned i = 0; i < 20; i++) {
		key[0] = (uint8_t)(7 * i);
		value[0] = (uint8_t)i;
		entry.seqno = 2 * i + 1;
		entry.kind = ENTRY_VALUE;
		assert_int_equal(memtable_add(memtable, &entry), 0);
		assert_true(memtable_is_full(memtable));
		add(memtable, "small", 2 * i + 2, "");
	}
	for (unsigned i = 0; i < 20; i++) {
		const struct memtable_node *node;

		key[0] = (uint8_t)(7 * i);
		node = memtable_seek(memtable, entry.key, UINT64_MAX);
		assert_non_null(node);
		assert_int_equal(memtable_entry(node)->value.size, ENTRY_VALUE_MAX);
		assert_int_equal(memtable_entry(node)->value.bytes[0], i);
	}
	free(value);
	memtable_free(memtable);
}

static void fill(struct memtable *memtable)
{
	char key[16];

	for (uint64_t i = 1; !memtable_is_full(memtable); i++) {
		snprintf(key, sizeof(key), "%llu", (unsigned long long)(i * 7919 % 10007));
		if (i % 100 == 0)
			add_range(memtable, key, "z", i);
		else
			add(memtable, key, i, "value");
	}
}

static void one_that_is_used_again_leaves_the_heap_alone(void **state)
{
	struct memtable *memtable = made(256U << 10);
	uint64_t count, calls;

	(void)state;
	fill(memtable);
	count = memtable_count(memtable);
	calls = guard_heap_calls();
	memtable_reset(memtable);
	assert_int_equal(memtable_count(memtable), 0);
	assert_null(memtable_seek(memtable, text(""), UINT64_MAX));
	assert_null(memtable_since(memtable, 0));
	assert_int_equal(memtable_range_count(memtable), 0);
	fill(memtable);
	assert_int_equal(guard_heap_calls(), calls);
	assert_int_equal(memtable_count(memtable), count);
	memtable_free(memtable);
}

static void one_that_is_added_late_is_found_when_it_is_linked(void **state)
{
	struct memtable *memtable = made(4096);
	struct entry entry = {.key = text("b"), .seqno = 2, .kind = ENTRY_VALUE};

	(void)state;
	add(memtable, "c", 1, "1");
	assert_int_equal(memtable_add_late(memtable, &entry), 0);
	assert_node(memtable_since(memtable, 2), "b", 2);
	add(memtable, "a", 3, "3");
	memtable_link(memtable);
	assert_node(memtable_seek(memtable, text("b"), 2), "b", 2);
	assert_node(memtable_seek(memtable, text("a"), 3), "a", 3);
	assert_int_equal(memtable_count(memtable), 3);
	memtable_free(memtable);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_one_has_nothing),
		cmocka_unit_test(sizes_that_make_no_sense_are_refused),
		cmocka_unit_test(keys_ascend_and_numbers_of_a_key_descend),
		cmocka_unit_test(a_search_finds_the_version_that_a_number_sees),
		cmocka_unit_test(keys_of_one_prefix_are_told_apart),
		cmocka_unit_test(the_chain_has_range_tombstones_the_list_has_not),
		cmocka_unit_test(the_chain_goes_on_from_where_it_ended),
		cmocka_unit_test(one_number_may_have_several_entries),
		cmocka_unit_test(one_that_is_added_late_is_found_when_it_is_linked),
		cmocka_unit_test(what_is_added_is_copied),
		cmocka_unit_test(a_full_one_still_takes_the_largest_entries),
		cmocka_unit_test(one_that_is_used_again_leaves_the_heap_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

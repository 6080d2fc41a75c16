/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/btree.h"
#include "engine/btree_cursor.h"
#include "tests/lib/pages.h"
#include "tests/lib/test.h"

#include <stdlib.h>
#include <string.h>

/* Entries of a tree of three levels, more or less. */
#define MANY 70000

/* Inserts of one transaction. */
#define BATCH 500

struct fixture {
	struct pages pages;
	struct btree tree;
};

static void begin(struct fixture *fixture)
{
	assert_int_equal(pager_begin(fixture->pages.pager), 0);
}

static void open_tree(struct fixture *fixture, uint32_t cache_pages)
{
	pages_init(&fixture->pages, cache_pages);
	begin(fixture);
	fixture->tree.pager = fixture->pages.pager;
	assert_int_equal(btree_create(fixture->pages.pager, &fixture->tree.root), 0);
	pages_commit(&fixture->pages);
}

static void check(struct fixture *fixture)
{
	pages_check(&fixture->pages, fixture->tree.root, 0);
}

static void recover(struct fixture *fixture)
{
	pages_crash(&fixture->pages, 1);
	assert_int_equal(pages_recover(&fixture->pages, fake_wal_count(fixture->pages.wal)), 0);
	fixture->tree.pager = fixture->pages.pager;
}

static uint64_t count_of(struct fixture *fixture)
{
	uint64_t count;

	assert_int_equal(btree_count(&fixture->tree, &count), 0);
	return count;
}

static uint32_t height_of(struct fixture *fixture)
{
	uint32_t height;

	assert_int_equal(btree_height(&fixture->tree, &height), 0);
	return height;
}

/* Keys first, first + step, ...; a value is the key times 3. */
static void insert_row(struct fixture *fixture, uint64_t first, int64_t step, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		uint64_t key = first + (uint64_t)(step * (int64_t)i);

		if (i % BATCH == 0)
			begin(fixture);
		assert_int_equal(btree_insert(&fixture->tree, key, key * 3), 0);
		if (i % BATCH == BATCH - 1 || i + 1 == count)
			pages_commit(&fixture->pages);
	}
}

static void delete_row(struct fixture *fixture, uint64_t first, int64_t step, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		uint64_t key = first + (uint64_t)(step * (int64_t)i);

		if (i % BATCH == 0)
			begin(fixture);
		assert_int_equal(btree_delete(&fixture->tree, key), 0);
		if (i % BATCH == BATCH - 1 || i + 1 == count)
			pages_commit(&fixture->pages);
	}
}

static void expect_row(struct fixture *fixture, uint64_t first, int64_t step, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		uint64_t key = first + (uint64_t)(step * (int64_t)i), value;

		assert_int_equal(btree_get(&fixture->tree, key, &value), 0);
		assert_int_equal(value, key * 3);
	}
}

static void an_empty_tree_has_nothing(void **state)
{
	struct fixture fixture;
	struct btree_cursor cursor;
	uint64_t value;

	open_tree(&fixture, 0);
	assert_int_equal(btree_get(&fixture.tree, 1, &value), BTREE_E_ABSENT);
	assert_int_equal(count_of(&fixture), 0);
	assert_int_equal(height_of(&fixture), 1);
	btree_cursor_open(&fixture.tree, &cursor);
	assert_int_equal(btree_cursor_next(&cursor), BTREE_E_ABSENT);
	assert_int_equal(btree_cursor_prev(&cursor), BTREE_E_ABSENT);
	btree_cursor_close(&cursor);
	check(&fixture);
	pages_deinit(&fixture.pages);
}

static void insert_put_get_and_delete_one_key(void **state)
{
	struct fixture fixture;
	uint64_t value;

	open_tree(&fixture, 0);
	begin(&fixture);
	assert_int_equal(btree_insert(&fixture.tree, UINT64_MAX, 1), 0);
	assert_int_equal(btree_insert(&fixture.tree, UINT64_MAX, 2), BTREE_E_EXISTS);
	assert_int_equal(btree_get(&fixture.tree, UINT64_MAX, &value), 0);
	assert_int_equal(value, 1);
	assert_int_equal(btree_put(&fixture.tree, UINT64_MAX, 3), 0);
	assert_int_equal(btree_put(&fixture.tree, 0, 4), 0);
	assert_int_equal(btree_get(&fixture.tree, UINT64_MAX, &value), 0);
	assert_int_equal(value, 3);
	assert_int_equal(btree_get(&fixture.tree, 0, &value), 0);
	assert_int_equal(value, 4);
	assert_int_equal(count_of(&fixture), 2);
	assert_int_equal(btree_delete(&fixture.tree, 7), BTREE_E_ABSENT);
	assert_int_equal(btree_delete(&fixture.tree, UINT64_MAX), 0);
	assert_int_equal(btree_get(&fixture.tree, UINT64_MAX, &value), BTREE_E_ABSENT);
	assert_int_equal(count_of(&fixture), 1);
	pages_commit(&fixture.pages);
	check(&fixture);
	pages_deinit(&fixture.pages);
}

static void rising_keys_leave_full_pages_behind(void **state)
{
	struct fixture fixture;

	open_tree(&fixture, 0);
	insert_row(&fixture, 1, 1, MANY);
	check(&fixture);
	expect_row(&fixture, 1, 1, MANY);
	assert_int_equal(count_of(&fixture), MANY);
	assert_int_equal(height_of(&fixture), 3);
	/* 276 leaves of 254, two pages above them, the root. */
	assert_int_equal(pager_state(fixture.pages.pager)->page_count,
			 (MANY + PAGE_ENTRY_MAX - 1) / PAGE_ENTRY_MAX + 3);
	pages_deinit(&fixture.pages);
}

static void falling_keys_are_taken_too(void **state)
{
	struct fixture fixture;

	open_tree(&fixture, 0);
	insert_row(&fixture, MANY, -1, MANY);
	check(&fixture);
	expect_row(&fixture, 1, 1, MANY);
	pages_deinit(&fixture.pages);
}

static void pages_are_joined_as_keys_go(void **state)
{
	static const struct {
		uint64_t first;
		int64_t step;
	} orders[] = {{1, 1}, {MANY, -1}};

	for (unsigned i = 0; i < 2; i++) {
		struct fixture fixture;

		open_tree(&fixture, 0);
		insert_row(&fixture, 1, 1, MANY);
		delete_row(&fixture, orders[i].first, orders[i].step, MANY / 2);
		check(&fixture);
		assert_int_equal(count_of(&fixture), MANY - MANY / 2);
		delete_row(&fixture, orders[i].first + (uint64_t)(orders[i].step * (MANY / 2)),
			   orders[i].step, MANY - MANY / 2);
		check(&fixture);
		assert_int_equal(count_of(&fixture), 0);
		assert_int_equal(height_of(&fixture), 1);
		/* Only the root is left. */
		assert_int_equal(pager_state(fixture.pages.pager)->free_count,
				 pager_state(fixture.pages.pager)->page_count - 1);
		pages_deinit(&fixture.pages);
	}
}

static void every_second_key_can_go_and_come_back(void **state)
{
	struct fixture fixture;

	open_tree(&fixture, 0);
	insert_row(&fixture, 1, 1, MANY);
	delete_row(&fixture, 2, 2, MANY / 2);
	check(&fixture);
	expect_row(&fixture, 1, 2, MANY / 2);
	insert_row(&fixture, 2, 2, MANY / 2);
	check(&fixture);
	expect_row(&fixture, 1, 1, MANY);
	pages_deinit(&fixture.pages);
}

static void a_split_is_logged_as_what_it_is(void **state)
{
	struct fixture fixture;
	unsigned splits = 0;

	open_tree(&fixture, 0);
	insert_row(&fixture, 1, 2, 254);
	assert_int_equal(height_of(&fixture), 1);
	begin(&fixture);
	assert_int_equal(btree_insert(&fixture.tree, 2, 6), 0);
	pages_commit(&fixture.pages);
	for (size_t i = 0; i < fake_wal_count(fixture.pages.wal); i++) {
		struct record record = fake_wal_record(fixture.pages.wal, i);

		if (record.type != RECORD_BTREE_SPLIT)
			continue;
		splits++;
		/* The root's entries moved to page 2, which was split onto page 3. */
		assert_int_equal(record.split.original, 2);
		assert_int_equal(record.split.created, 3);
		assert_int_equal(record.split.key, 1 + 2 * 127);
		assert_true(record.split.leaf);
	}
	assert_int_equal(splits, 1);
	check(&fixture);
	recover(&fixture);
	check(&fixture);
	assert_int_equal(count_of(&fixture), 255);
	pages_deinit(&fixture.pages);
}

static void the_log_makes_the_same_pages_again(void **state)
{
	struct fixture fixture;
	uint64_t pages;
	uint8_t *live;

	open_tree(&fixture, 1024);
	insert_row(&fixture, 1, 1, 20000);
	delete_row(&fixture, 100, 1, 12000);
	insert_row(&fixture, 100, 3, 3000);
	pages = pager_state(fixture.pages.pager)->page_count;
	live = malloc(pages * PAGE_SIZE);
	assert_non_null(live);
	for (unsigned turn = 0; turn < 2; turn++) {
		for (uint64_t i = 0; i < pages; i++) {
			struct page page;
			uint8_t *at = live + i * PAGE_SIZE;

			assert_int_equal(pager_get(fixture.pages.pager, i + 1, &page), 0);
			page_seal(page.bytes);
			if (turn == 0)
				memcpy(at, page.bytes, PAGE_SIZE);
			else
				assert_memory_equal(at, page.bytes, PAGE_SIZE);
			pager_put(fixture.pages.pager, &page);
		}
		if (turn == 0)
			recover(&fixture);
	}
	free(live);
	check(&fixture);
	pages_deinit(&fixture.pages);
}

static void a_small_cache_is_enough(void **state)
{
	struct fixture fixture;

	open_tree(&fixture, PAGER_CACHE_MIN);
	for (uint64_t i = 0; i < 8000; i++) {
		uint64_t key = i * 7919 % 8000 + 1;

		begin(&fixture);
		assert_int_equal(btree_insert(&fixture.tree, key, key * 3), 0);
		pages_commit(&fixture.pages);
		assert_int_equal(wal_sync(fixture.pages.wal), 0);
	}
	check(&fixture);
	expect_row(&fixture, 1, 1, 8000);
	assert_true(pager_stats(fixture.pages.pager).writes > 100);
	pages_deinit(&fixture.pages);
}

static void a_cursor_goes_both_ways(void **state)
{
	struct fixture fixture;
	struct btree_cursor cursor;

	open_tree(&fixture, 0);
	insert_row(&fixture, 10, 10, 5000);
	btree_cursor_open(&fixture.tree, &cursor);
	for (uint64_t i = 1; i <= 5000; i++) {
		assert_int_equal(btree_cursor_next(&cursor), 0);
		assert_int_equal(cursor.entry.key, i * 10);
		assert_int_equal(cursor.entry.value, i * 30);
	}
	assert_int_equal(btree_cursor_next(&cursor), BTREE_E_ABSENT);
	assert_int_equal(cursor.entry.key, 50000);
	for (uint64_t i = 4999; i >= 1; i--) {
		assert_int_equal(btree_cursor_prev(&cursor), 0);
		assert_int_equal(cursor.entry.key, i * 10);
	}
	assert_int_equal(btree_cursor_prev(&cursor), BTREE_E_ABSENT);
	assert_int_equal(btree_cursor_seek(&cursor, 777), 0);
	assert_int_equal(cursor.entry.key, 780);
	assert_int_equal(btree_cursor_seek_back(&cursor, 777), 0);
	assert_int_equal(cursor.entry.key, 770);
	assert_int_equal(btree_cursor_seek(&cursor, 50001), BTREE_E_ABSENT);
	assert_int_equal(btree_cursor_seek_back(&cursor, 9), BTREE_E_ABSENT);
	assert_int_equal(btree_cursor_seek_back(&cursor, UINT64_MAX), 0);
	assert_int_equal(cursor.entry.key, 50000);
	btree_cursor_close(&cursor);
	pages_deinit(&fixture.pages);
}

static void a_cursor_finds_its_place_again_after_changes(void **state)
{
	struct fixture fixture;
	struct btree_cursor cursor;
	uint64_t seen = 0;

	open_tree(&fixture, 0);
	insert_row(&fixture, 1, 1, 3000);
	btree_cursor_open(&fixture.tree, &cursor);
	/* What it stands on goes, and with it pages before it and behind it. */
	while (btree_cursor_next(&cursor) == 0) {
		seen++;
		assert_int_equal(cursor.entry.key, seen);
		begin(&fixture);
		assert_int_equal(btree_delete(&fixture.tree, cursor.entry.key), 0);
		pages_commit(&fixture.pages);
	}
	assert_int_equal(seen, 3000);
	assert_int_equal(count_of(&fixture), 0);
	btree_cursor_close(&cursor);
	check(&fixture);
	pages_deinit(&fixture.pages);
}

static void a_cursor_sees_its_transactions_changes(void **state)
{
	struct fixture fixture;
	struct btree_cursor cursor;

	open_tree(&fixture, 0);
	begin(&fixture);
	assert_int_equal(btree_insert(&fixture.tree, 5, 50), 0);
	btree_cursor_open(&fixture.tree, &cursor);
	assert_int_equal(btree_cursor_next(&cursor), 0);
	assert_int_equal(btree_insert(&fixture.tree, 6, 60), 0);
	assert_int_equal(btree_cursor_next(&cursor), 0);
	assert_int_equal(cursor.entry.key, 6);
	pager_rollback(fixture.pages.pager);
	assert_int_equal(btree_cursor_seek(&cursor, 0), BTREE_E_ABSENT);
	btree_cursor_close(&cursor);
	assert_int_equal(count_of(&fixture), 0);
	pages_deinit(&fixture.pages);
}

static void load(struct fixture *fixture, uint64_t first, size_t count)
{
	struct btree_entry *entries = malloc(count * sizeof(*entries));

	assert_non_null(entries);
	for (size_t i = 0; i < count; i++)
		entries[i] = (struct btree_entry){first + i, (first + i) * 3};
	begin(fixture);
	assert_int_equal(btree_load(&fixture->tree, entries, count), 0);
	pages_commit(&fixture->pages);
	free(entries);
}

static void a_load_fills_pages_and_goes_on_in_pieces(void **state)
{
	struct fixture fixture;

	open_tree(&fixture, 0);
	load(&fixture, 1, 1000);
	load(&fixture, 1001, 1);
	load(&fixture, 1002, MANY - 1001);
	check(&fixture);
	expect_row(&fixture, 1, 1, MANY);
	assert_int_equal(pager_state(fixture.pages.pager)->page_count,
			 (MANY + PAGE_ENTRY_MAX - 1) / PAGE_ENTRY_MAX + 3);
	recover(&fixture);
	check(&fixture);
	expect_row(&fixture, 1, 1, MANY);
	delete_row(&fixture, 1, 1, MANY);
	check(&fixture);
	pages_deinit(&fixture.pages);
}

static void a_load_takes_only_rising_keys_above_what_is_there(void **state)
{
	const struct btree_entry twice[] = {{1, 1}, {1, 2}}, falling[] = {{2, 1}, {1, 2}};
	const struct btree_entry low[] = {{1, 1}}, same[] = {{9, 1}}, fine[] = {{10, 1}, {11, 1}};
	struct fixture fixture;

	open_tree(&fixture, 0);
	insert_row(&fixture, 9, 1, 1);
	begin(&fixture);
	assert_int_equal(btree_load(&fixture.tree, twice, 2), BTREE_E_ORDER);
	assert_int_equal(btree_load(&fixture.tree, falling, 2), BTREE_E_ORDER);
	assert_int_equal(btree_load(&fixture.tree, low, 1), BTREE_E_ORDER);
	assert_int_equal(btree_load(&fixture.tree, same, 1), BTREE_E_ORDER);
	assert_int_equal(btree_load(&fixture.tree, fine, 0), 0);
	assert_int_equal(btree_load(&fixture.tree, fine, 2), 0);
	pages_commit(&fixture.pages);
	assert_int_equal(count_of(&fixture), 3);
	pages_deinit(&fixture.pages);
}

static void too_large_a_transaction_is_said_and_rolled_back(void **state)
{
	struct fixture fixture;
	uint64_t key = 1000;
	int result = 0;

	open_tree(&fixture, 64);
	insert_row(&fixture, 1, 1, 100);
	begin(&fixture);
	while (result == 0)
		result = btree_insert(&fixture.tree, key++, 1);
	assert_true(result == BTREE_E_FULL || result == BTREE_E_BUSY);
	pager_rollback(fixture.pages.pager);
	check(&fixture);
	assert_int_equal(count_of(&fixture), 100);
	expect_row(&fixture, 1, 1, 100);
	pages_deinit(&fixture.pages);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_tree_has_nothing),
		cmocka_unit_test(insert_put_get_and_delete_one_key),
		cmocka_unit_test(rising_keys_leave_full_pages_behind),
		cmocka_unit_test(falling_keys_are_taken_too),
		cmocka_unit_test(pages_are_joined_as_keys_go),
		cmocka_unit_test(every_second_key_can_go_and_come_back),
		cmocka_unit_test(a_split_is_logged_as_what_it_is),
		cmocka_unit_test(the_log_makes_the_same_pages_again),
		cmocka_unit_test(a_small_cache_is_enough),
		cmocka_unit_test(a_cursor_goes_both_ways),
		cmocka_unit_test(a_cursor_finds_its_place_again_after_changes),
		cmocka_unit_test(a_cursor_sees_its_transactions_changes),
		cmocka_unit_test(a_load_fills_pages_and_goes_on_in_pieces),
		cmocka_unit_test(a_load_takes_only_rising_keys_above_what_is_there),
		cmocka_unit_test(too_large_a_transaction_is_said_and_rolled_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/btree.h"
#include "engine/btree_cursor.h"
#include "tests/lib/pages.h"
#include "tests/lib/test.h"

#include <errno.h>

/* A tree of three levels on a cache of a tenth of its pages, whose owner polls. */

#define MANY  70000
#define BATCH 500

/* Polls that no call here takes. */
#define POLLS_MAX 10000

static struct pages pages;
static struct btree tree;
static unsigned polls; /* for the call under way */
static unsigned waits; /* of all calls */

static bool again(int result)
{
	if (result != BTREE_E_WAIT && result != BTREE_E_BUSY) {
		polls = 0;
		return false;
	}
	if (++polls > POLLS_MAX)
		fail_msg("a call that says %d for ever", result);
	waits++;
	pager_poll(pages.pager);
	return true;
}

/* Keys 2, 4, 6 ...; a value is the key times 3. */
static int setup(void **state)
{
	pages_init_queued(&pages, 1024);
	assert_int_equal(pager_begin(pages.pager), 0);
	tree.pager = pages.pager;
	assert_int_equal(btree_create(pages.pager, &tree.root), 0);
	pages_commit(&pages);
	for (uint64_t i = 0; i < MANY; i++) {
		if (i % BATCH == 0)
			assert_int_equal(pager_begin(pages.pager), 0);
		assert_int_equal(btree_insert(&tree, 2 + 2 * i, 6 + 6 * i), 0);
		if (i % BATCH == BATCH - 1)
			pages_commit(&pages);
	}
	pages_checkpoint(&pages);
	pages_crash(&pages, 1);
	pages.cache_pages = PAGER_CACHE_MIN;
	assert_int_equal(pages_recover(&pages, fake_wal_count(pages.wal)), 0);
	tree.pager = pages.pager;
	pager_set_polls(pages.pager, true);
	faulty_polls(pages.disk, true);
	waits = polls = 0;
	return 0;
}

static int teardown(void **state)
{
	faulty_polls(pages.disk, false);
	pager_set_polls(pages.pager, false);
	pages_check(&pages, tree.root, 0);
	pages_deinit(&pages);
	return 0;
}

static void a_key_is_waited_for_on_each_level(void **state)
{
	uint64_t value;
	int result;

	do
		result = btree_get(&tree, 100000, &value);
	while (again(result));
	assert_int_equal(result, 0);
	assert_int_equal(value, 300000);
	assert_int_equal(pager_stats(pages.pager).misses, 3);
	do
		result = btree_get(&tree, 100001, &value);
	while (again(result));
	assert_int_equal(result, BTREE_E_ABSENT);
	assert_int_equal(pager_stats(pages.pager).misses, 3);
}

static void a_cursor_that_waits_passes_over_nothing(void **state)
{
	struct btree_cursor cursor;
	int result;

	btree_cursor_open(&tree, &cursor);
	for (uint64_t i = 0; i <= MANY; i++) {
		do
			result = btree_cursor_next(&cursor);
		while (again(result));
		assert_int_equal(result, i < MANY ? 0 : BTREE_E_ABSENT);
		assert_int_equal(cursor.entry.key, 2 + 2 * (i < MANY ? i : MANY - 1));
	}
	for (uint64_t i = MANY - 1; i > 0; i--) {
		do
			result = btree_cursor_prev(&cursor);
		while (again(result));
		assert_int_equal(result, 0);
		assert_int_equal(cursor.entry.key, 2 * i);
	}
	btree_cursor_close(&cursor);
	assert_true(waits > 2 * MANY / PAGE_ENTRY_MAX);
}

static void a_cursor_that_waits_stays_where_it_was(void **state)
{
	struct btree_cursor cursor;
	int result;

	btree_cursor_open(&tree, &cursor);
	for (uint64_t i = 0; i < 500; i++) {
		uint64_t key = 1 + i * 7919 % (2 * MANY - 2);
		bool back = i % 2 == 1;
		struct btree_cursor before = cursor;

		for (;;) {
			result = back ? btree_cursor_seek_back(&cursor, key)
				      : btree_cursor_seek(&cursor, key);
			if (!again(result))
				break;
			assert_int_equal(cursor.placed, before.placed);
			assert_int_equal(cursor.entry.key, before.entry.key);
		}
		if (back && key == 1) {
			assert_int_equal(result, BTREE_E_ABSENT);
			continue;
		}
		assert_int_equal(result, 0);
		assert_int_equal(cursor.entry.key, back ? key / 2 * 2 : (key + 1) / 2 * 2);
	}
	btree_cursor_close(&cursor);
}

/* Returns what the change says when all that it needs should be there. */
static int change(uint64_t key, bool removed)
{
	int result;

	do {
		result = btree_prepare(&tree, key, removed);
		if (result == 0)
			result = pager_reserve(pages.pager, 12);
	} while (again(result));
	assert_int_equal(result, 0);
	assert_int_equal(pager_begin(pages.pager), 0);
	result = removed ? btree_delete(&tree, key) : btree_put(&tree, key, key * 3);
	if (result == 0)
		pages_commit(&pages);
	else
		pager_rollback(pages.pager);
	assert_int_equal(wal_sync(pages.wal), 0);
	return result;
}

/* But for room in the file, and for frames, neither of which a tree knows of. */
static unsigned change_all(uint64_t first, uint64_t step, unsigned count, bool removed)
{
	unsigned missed = 0;

	for (uint64_t i = 0; i < count; i++) {
		int result = change(first + i * step, removed);

		while (again(result)) {
			missed += result == BTREE_E_WAIT;
			result = change(first + i * step, removed);
		}
		assert_int_equal(result, 0);
	}
	return missed;
}

static void a_change_that_is_prepared_waits_for_no_page(void **state)
{
	uint64_t before = pager_state(pages.pager)->page_count;

	/* Splits, joins, and splits on the pages that became free. */
	assert_int_equal(change_all(1, 2, 3000, /* removed= */ false), 0);
	assert_true(pager_state(pages.pager)->page_count > before);
	assert_int_equal(change_all(2, 2, 3000, /* removed= */ true), 0);
	assert_int_equal(change_all(1, 2, 3000, /* removed= */ true), 0);
	uint64_t freed = pager_state(pages.pager)->free_count;
	assert_true(freed > 10);
	assert_int_equal(change_all(70001, 2, 3000, /* removed= */ false), 0);
	assert_in_range(pager_state(pages.pager)->free_count, 1, freed - 10);
}

/* Whatever the change has come to, it leaves nothing. */
static void a_change_that_waits_is_taken_back_whole(void **state)
{
	unsigned taken_back = 0;

	for (uint64_t i = 0; i < 300; i++) {
		uint64_t key = 2 + 2 * (i * 7919 % MANY);
		int result;

		do {
			assert_int_equal(pager_begin(pages.pager), 0);
			result = btree_delete(&tree, key);
			if (result == 0)
				result = btree_insert(&tree, key + 1, 3 * key + 3);
			if (result == 0) {
				pages_commit(&pages);
				continue;
			}
			assert_int_equal(pager_commit(pages.pager, 1), -ECANCELED);
			pager_rollback(pages.pager);
			taken_back++;
			assert_int_equal(wal_sync(pages.wal), 0);
		} while (again(result));
		assert_int_equal(result, 0);
	}
	assert_true(taken_back > 300);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_key_is_waited_for_on_each_level),
		CASE(a_cursor_that_waits_passes_over_nothing),
		CASE(a_cursor_that_waits_stays_where_it_was),
		CASE(a_change_that_is_prepared_waits_for_no_page),
		CASE(a_change_that_waits_is_taken_back_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

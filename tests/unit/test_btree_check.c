/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/btree_check.h"
#include "engine/btree_cursor.h"
#include "tests/lib/pages.h"
#include "tests/lib/test.h"

#include <stdio.h>
#include <string.h>

/* Each thing that a check is for, done to a tree whose pages are otherwise right: the root is page
 * 1, its leaves are pages 2, 3, 4, ... from left to right, with keys from 1 on. */

#define LEAVES 4
#define KEYS   (LEAVES * PAGE_ENTRY_MAX)

struct fixture {
	struct pages pages;
	struct btree tree;
};

static void open_tree(struct fixture *fixture)
{
	struct btree_entry entries[KEYS];

	for (unsigned i = 0; i < KEYS; i++)
		entries[i] = (struct btree_entry){i + 1, i};
	pages_init(&fixture->pages, 64);
	fixture->tree.pager = fixture->pages.pager;
	assert_int_equal(pager_begin(fixture->pages.pager), 0);
	assert_int_equal(btree_create(fixture->pages.pager, &fixture->tree.root), 0);
	assert_int_equal(btree_load(&fixture->tree, entries, KEYS), 0);
	pages_commit(&fixture->pages);
	pages_check(&fixture->pages, fixture->tree.root, 0);
}

/* Bytes of a page, behind the tree's back. */
static void tamper(struct fixture *fixture, uint64_t number, uint32_t offset, const void *bytes,
		   uint32_t size)
{
	struct page page;

	assert_int_equal(pager_begin(fixture->pages.pager), 0);
	assert_int_equal(pager_get(fixture->pages.pager, number, &page), 0);
	assert_int_equal(pager_edit(fixture->pages.pager, &page), 0);
	memcpy(page.bytes + offset, bytes, size);
	pager_log_bytes(fixture->pages.pager, &page, offset, size);
	pager_put(fixture->pages.pager, &page);
	pages_commit(&fixture->pages);
}

static void tamper_u64(struct fixture *fixture, uint64_t number, uint32_t offset, uint64_t value)
{
	uint8_t bytes[8];

	store_le64(bytes, value);
	tamper(fixture, number, offset, bytes, sizeof(bytes));
}

static int check_all(struct fixture *fixture)
{
	struct pager *pager = fixture->pages.pager;
	struct btree_stats stats;
	struct page_set set;
	int result;

	assert_int_equal(page_set_init(pager_state(pager)->page_count, &set), 0);
	result = btree_check(&fixture->tree, &set, &stats);
	if (result == 0)
		result = btree_check_free(pager, &set);
	if (result == 0)
		result = btree_check_all(pager, &set);
	page_set_deinit(&set);
	return result;
}

static void expect(struct fixture *fixture, const char *error)
{
	assert_int_equal(check_all(fixture), BTREE_E_CORRUPT);
	assert_string_equal(pager_error(fixture->pages.pager), error);
	assert_int_equal(pager_stats(fixture->pages.pager).pinned, 0);
	pages_deinit(&fixture->pages);
}

static uint32_t key_at(unsigned index)
{
	return PAGE_HEADER + 16 * index;
}

static void a_right_tree_is_counted(void **state)
{
	struct fixture fixture;
	struct btree_stats stats;

	open_tree(&fixture);
	assert_int_equal(btree_check(&fixture.tree, NULL, &stats), 0);
	assert_int_equal(stats.entries, KEYS);
	assert_int_equal(stats.leaves, LEAVES);
	assert_int_equal(stats.internals, 1);
	assert_int_equal(stats.height, 2);
	pages_deinit(&fixture.pages);
}

static void keys_that_do_not_rise(void **state)
{
	struct fixture fixture;

	open_tree(&fixture);
	tamper_u64(&fixture, 3, key_at(5), 259);
	expect(&fixture, "page 3: next key: above: expected 259, found 259");
}

static void a_key_below_its_page(void **state)
{
	struct fixture fixture;

	open_tree(&fixture);
	tamper_u64(&fixture, 3, key_at(0), 7);
	expect(&fixture, "page 3: key: at least: expected 255, found 7");
}

static void a_key_that_belongs_into_the_next_page(void **state)
{
	struct fixture fixture;

	open_tree(&fixture);
	tamper_u64(&fixture, 3, key_at(253), 509);
	expect(&fixture, "page 3: key: below: expected 509, found 509");
}

static void a_root_that_does_not_begin_with_0(void **state)
{
	struct fixture fixture;

	open_tree(&fixture);
	tamper_u64(&fixture, 1, key_at(0), 1);
	expect(&fixture, "page 1: first key: expected 0, found 1");
}

static void a_link_to_the_wrong_page(void **state)
{
	struct fixture fixture;

	open_tree(&fixture);
	tamper_u64(&fixture, 3, PAGE_AT_LINK, 2);
	expect(&fixture, "page 3: link: expected 4, found 2");
}

static void a_last_page_with_a_link(void **state)
{
	struct fixture fixture;

	open_tree(&fixture);
	tamper_u64(&fixture, 5, PAGE_AT_LINK, 2);
	expect(&fixture, "page 5: link: expected 0, found 2");
}

static void a_wrong_count_of_entries(void **state)
{
	struct fixture fixture;

	open_tree(&fixture);
	tamper_u64(&fixture, 1, PAGE_AT_LINK, KEYS + 1);
	expect(&fixture, "page 1: entries of the tree: expected 1016, found 1017");
}

static void too_few_entries(void **state)
{
	uint8_t zeros[16 * (PAGE_ENTRY_MAX - 50)] = {0}, count[2] = {50, 0};
	struct fixture fixture;

	open_tree(&fixture);
	tamper(&fixture, 3, PAGE_AT_COUNT, count, sizeof(count));
	tamper(&fixture, 3, key_at(50), zeros, sizeof(zeros));
	expect(&fixture, "page 3: count: at least: expected 84, found 50");
}

static void bytes_behind_the_entries(void **state)
{
	uint8_t count[2] = {253, 0};
	struct fixture fixture;

	open_tree(&fixture);
	tamper(&fixture, 3, PAGE_AT_COUNT, count, sizeof(count));
	expect(&fixture, "page 3: end of its entries: expected 4080, found 4090");
}

static void a_page_of_the_wrong_level(void **state)
{
	uint8_t level = 1;
	struct fixture fixture;

	open_tree(&fixture);
	tamper(&fixture, 3, PAGE_AT_LEVEL, &level, 1);
	expect(&fixture, "page 3: level: expected 0, found 1");
}

static void a_page_of_the_wrong_kind(void **state)
{
	uint8_t kind = PAGE_BTREE_INTERNAL;
	struct fixture fixture;

	open_tree(&fixture);
	tamper(&fixture, 3, PAGE_AT_KIND, &kind, 1);
	expect(&fixture, "page 3: kind: expected leaf, found internal");
}

static void a_page_in_two_places(void **state)
{
	struct fixture fixture;

	open_tree(&fixture);
	tamper_u64(&fixture, 1, key_at(1) + 8, 2);
	expect(&fixture, "page 2: is in more than one place");
}

static void a_page_that_is_nowhere(void **state)
{
	struct fixture fixture;
	struct page page;

	open_tree(&fixture);
	assert_int_equal(pager_begin(fixture.pages.pager), 0);
	assert_int_equal(pager_allocate(fixture.pages.pager, PAGE_BTREE_LEAF, &page), 0);
	pager_put(fixture.pages.pager, &page);
	pages_commit(&fixture.pages);
	expect(&fixture, "page 6: is nowhere, and not free");
}

static void a_tree_that_leads_out_of_the_file(void **state)
{
	struct fixture fixture;
	uint64_t value;

	open_tree(&fixture);
	tamper_u64(&fixture, 1, key_at(1) + 8, 77);
	assert_int_equal(btree_get(&fixture.tree, 300, &value), BTREE_E_CORRUPT);
	assert_int_equal(btree_get(&fixture.tree, 3, &value), 0);
	expect(&fixture, "page 77: number: expected 1 to 5, found 77");
}

static void a_tree_that_leads_to_itself(void **state)
{
	struct fixture fixture;
	struct btree_cursor cursor;
	int result;

	open_tree(&fixture);
	tamper_u64(&fixture, 1, key_at(1) + 8, 1);
	btree_cursor_open(&fixture.tree, &cursor);
	do
		result = btree_cursor_next(&cursor);
	while (result == 0);
	assert_int_equal(result, BTREE_E_CORRUPT);
	assert_int_equal(cursor.entry.key, 254);
	btree_cursor_close(&cursor);
	expect(&fixture, "page 1: kind: expected leaf, found internal");
}

static void a_chain_of_free_pages_that_goes_round(void **state)
{
	struct fixture fixture;

	open_tree(&fixture);
	assert_int_equal(pager_begin(fixture.pages.pager), 0);
	for (unsigned i = 0; i < 2; i++) {
		struct page page;

		assert_int_equal(pager_allocate(fixture.pages.pager, PAGE_BTREE_LEAF, &page), 0);
		pager_put(fixture.pages.pager, &page);
	}
	assert_int_equal(pager_release(fixture.pages.pager, 6), 0);
	assert_int_equal(pager_release(fixture.pages.pager, 7), 0);
	pages_commit(&fixture.pages);
	assert_int_equal(check_all(&fixture), 0);
	tamper_u64(&fixture, 6, PAGE_AT_LINK, 7);
	expect(&fixture, "page 7: is in more than one place");
}

static void a_join_with_itself_is_refused(void **state)
{
	struct fixture fixture;
	int result = 0;

	open_tree(&fixture);
	tamper_u64(&fixture, 1, key_at(1) + 8, 2);
	assert_int_equal(pager_begin(fixture.pages.pager), 0);
	for (uint64_t key = 1; key <= 254 && result == 0; key++)
		result = btree_delete(&fixture.tree, key);
	assert_int_equal(result, BTREE_E_CORRUPT);
	assert_string_equal(pager_error(fixture.pages.pager), "page 2: is in more than one place");
	pager_rollback(fixture.pages.pager);
	pages_deinit(&fixture.pages);
}

/* Every 997th bit of the pages that the tree has, some of which have been given back. */
static void a_flipped_bit_anywhere_is_found(void **state)
{
	struct fixture fixture;

	open_tree(&fixture);
	assert_int_equal(pager_begin(fixture.pages.pager), 0);
	for (uint64_t key = 1; key <= 600; key++)
		assert_int_equal(btree_delete(&fixture.tree, key), 0);
	pages_commit(&fixture.pages);
	pages_checkpoint(&fixture.pages);
	assert_true(pager_state(fixture.pages.pager)->free_count > 0);
	for (uint64_t bit = 5; bit < 6 * PAGE_SIZE * 8; bit += 997) {
		int result;

		faulty_flip(fixture.pages.disk, PAGER_FILE, bit);
		pager_close(fixture.pages.pager);
		fixture.pages.pager = NULL;
		result = pages_recover(&fixture.pages, fake_wal_count(fixture.pages.wal));
		fixture.tree.pager = fixture.pages.pager;
		if (result == 0)
			result = check_all(&fixture);
		assert_int_equal(result, BTREE_E_CORRUPT);
		faulty_flip(fixture.pages.disk, PAGER_FILE, bit);
	}
	pager_close(fixture.pages.pager);
	assert_int_equal(pages_recover(&fixture.pages, fake_wal_count(fixture.pages.wal)), 0);
	fixture.tree.pager = fixture.pages.pager;
	assert_int_equal(check_all(&fixture), 0);
	pages_deinit(&fixture.pages);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_right_tree_is_counted),
		cmocka_unit_test(keys_that_do_not_rise),
		cmocka_unit_test(a_key_below_its_page),
		cmocka_unit_test(a_key_that_belongs_into_the_next_page),
		cmocka_unit_test(a_root_that_does_not_begin_with_0),
		cmocka_unit_test(a_link_to_the_wrong_page),
		cmocka_unit_test(a_last_page_with_a_link),
		cmocka_unit_test(a_wrong_count_of_entries),
		cmocka_unit_test(too_few_entries),
		cmocka_unit_test(bytes_behind_the_entries),
		cmocka_unit_test(a_page_of_the_wrong_level),
		cmocka_unit_test(a_page_of_the_wrong_kind),
		cmocka_unit_test(a_page_in_two_places),
		cmocka_unit_test(a_page_that_is_nowhere),
		cmocka_unit_test(a_tree_that_leads_out_of_the_file),
		cmocka_unit_test(a_tree_that_leads_to_itself),
		cmocka_unit_test(a_chain_of_free_pages_that_goes_round),
		cmocka_unit_test(a_join_with_itself_is_refused),
		cmocka_unit_test(a_flipped_bit_anywhere_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

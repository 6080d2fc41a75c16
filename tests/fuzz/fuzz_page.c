/* SPDX-License-Identifier: Apache-2.0 */
#include "base/defs.h"
#include "engine/btree_check.h"
#include "engine/btree_cursor.h"
#include "engine/page.h"
#include "tests/lib/fake_wal.h"
#include "tests/lib/faulty.h"

#include <stdlib.h>
#include <string.h>

/*
 * Whatever pages a file has, reading them ends, and changing a tree on them does. The input is
 * pages 1, 2, ... of a file, the last one filled up with zeros; a second try has numbers and CRCs
 * put right, since nearly every input would end at them. Page 1 is a tree's root; the first free
 * page is the first of that kind.
 */

#define PAGES_MAX 8
#define STEPS_MAX 3000

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_structure(struct pager *pager, const struct btree *tree)
{
	struct btree_stats stats;
	struct page_set set;
	int result;

	if (page_set_init(pager_state(pager)->page_count, &set))
		abort();
	result = btree_check(tree, &set, &stats);
	if (result == 0 && stats.entries > PAGES_MAX * PAGE_ENTRY_MAX)
		abort();
	(void)btree_check_free(pager, &set);
	(void)btree_check_all(pager, &set);
	page_set_deinit(&set);
}

static void walk(const struct btree *tree)
{
	struct btree_cursor cursor;

	btree_cursor_open(tree, &cursor);
	for (unsigned i = 0; i < STEPS_MAX && btree_cursor_next(&cursor) == 0; i++)
		;
	for (unsigned i = 0; i < STEPS_MAX && btree_cursor_prev(&cursor) == 0; i++)
		;
	btree_cursor_close(&cursor);
}

/* Keys that there are, and such beside them. */
static int change(const struct btree *tree, unsigned round)
{
	uint64_t key = round * UINT64_C(37), value;
	int result = btree_get(tree, key, &value);

	if (result == 0 || (result == BTREE_E_ABSENT && round % 2))
		result = btree_delete(tree, key);
	else if (result == BTREE_E_ABSENT)
		result = btree_put(tree, key, round);
	return result == BTREE_E_ABSENT ? 0 : result;
}

static void change_some(struct pager *pager, const struct btree *tree)
{
	const struct btree_entry last = {UINT64_MAX, 1};

	for (unsigned round = 0; round < 40; round++) {
		int result = pager_begin(pager);

		if (result)
			abort();
		for (unsigned i = 0; i < 4 && result == 0; i++)
			result = change(tree, round * 4 + i);
		if (round == 20 && result == 0)
			result = btree_load(tree, &last, 1);
		if (result == 0)
			result = pager_commit(pager, 1);
		if (result)
			pager_rollback(pager);
	}
}

static void try_file(struct faulty *disk, const struct pager_state *state)
{
	const struct pager_options options = {.cache_pages = PAGER_CACHE_MIN, .state = *state};
	struct wal *wal = fake_wal_new();
	char error[PAGE_ERROR_MAX];
	struct pager *pager;

	if (pager_open(faulty_io(disk), wal, &options, &pager, error) == 0) {
		const struct btree tree = {pager, 1};

		check_structure(pager, &tree);
		walk(&tree);
		change_some(pager, &tree);
		if (pager_stats(pager).pinned)
			abort();
		pager_close(pager);
	}
	fake_wal_free(wal);
}

static void put_right(uint8_t *file, uint64_t count, struct pager_state *state)
{
	for (uint64_t number = 1; number <= count; number++) {
		uint8_t *page = file + number * PAGE_SIZE;

		store_le64(page + PAGE_AT_NUMBER, number);
		page_seal(page);
		if (page_kind(page) == PAGE_FREE) {
			state->free_count++;
			if (!state->free_head)
				state->free_head = number;
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static uint8_t file[(PAGES_MAX + 1) * PAGE_SIZE];
	static const uint8_t store[PAGE_STORE_SIZE];
	uint64_t count = MIN((size + PAGE_SIZE - 1) / PAGE_SIZE, PAGES_MAX);
	struct pager_state state = {.page_count = count};
	struct faulty *disk = faulty_new(1);
	char error[PAGE_ERROR_MAX];

	memset(file, 0, sizeof(file));
	page_init_file(file, store);
	page_seal(file);
	memcpy(file + PAGE_SIZE, bytes, MIN(size, PAGES_MAX * PAGE_SIZE));
	(void)page_check_file(file + PAGE_SIZE, error);
	faulty_file_set(disk, PAGER_FILE, file, (count + 1) * PAGE_SIZE);
	try_file(disk, &state);
	put_right(file, count, &state);
	faulty_file_set(disk, PAGER_FILE, file, (count + 1) * PAGE_SIZE);
	try_file(disk, &state);
	faulty_free(disk);
	return 0;
}

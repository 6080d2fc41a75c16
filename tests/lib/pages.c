/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/pages.h"

#include "engine/btree_check.h"
#include "tests/lib/test.h"

#include <stdio.h>
#include <string.h>

#define TIMESTAMP UINT64_C(1700000000)

static void fail_with(const struct pages *pages, const char *what, int result)
{
	fail_msg("%s: %d (%s)", what, result, pages->pager ? pager_error(pages->pager) : "");
}

static int open_pager(struct pages *pages, bool create, struct wal *wal)
{
	const struct pager_options options = {.cache_pages = pages->cache_pages,
					      .state = pages->state,
					      .create = create,
					      .queued = pages->queued};

	return pager_open(faulty_io(pages->disk), wal, &options, &pages->pager, pages->error);
}

static void init(struct pages *pages, uint32_t cache_pages, bool queued)
{
	memset(pages, 0, sizeof(*pages));
	pages->cache_pages = cache_pages;
	pages->queued = queued;
	pages->disk = faulty_new(1);
	pages->wal = fake_wal_new();
	assert_int_equal(open_pager(pages, true, pages->wal), 0);
}

void pages_init(struct pages *pages, uint32_t cache_pages)
{
	init(pages, cache_pages, /* queued= */ false);
}

void pages_init_queued(struct pages *pages, uint32_t cache_pages)
{
	init(pages, cache_pages, /* queued= */ true);
}

void pages_deinit(struct pages *pages)
{
	if (pages->pager)
		assert_int_equal(pager_stats(pages->pager).pinned, 0);
	pager_close(pages->pager);
	fake_wal_free(pages->wal);
	faulty_free(pages->disk);
}

void pages_crash(struct pages *pages, uint64_t seed)
{
	faulty_restart(pages->disk, seed);
	pager_close(pages->pager);
	pages->pager = NULL;
}

int pages_recover(struct pages *pages, uint64_t last)
{
	int result = open_pager(pages, false, NULL);

	if (result == 0)
		result = fake_wal_redo(pages->wal, pages->pager, pages->state.lsn, last);
	if (result == 0)
		pager_attach(pages->pager, pages->wal);
	return result;
}

void pages_commit(struct pages *pages)
{
	int result = pager_commit(pages->pager, TIMESTAMP);

	if (result)
		fail_with(pages, "commit", result);
}

void pages_checkpoint(struct pages *pages)
{
	bool done = false;
	int result = wal_sync(pages->wal);

	pager_checkpoint_begin(pages->pager);
	do {
		pager_wait(pages->pager);
		if (result == 0)
			result = pager_work(pages->pager, UINT32_MAX);
		if (result == 0)
			result = pager_checkpoint_poll(pages->pager, &done, &pages->state);
	} while (pages->queued && result == 0 && !done);
	if (result || !done)
		fail_with(pages, "checkpoint", result);
	fake_wal_release(pages->wal, pages->state.lsn);
}

static int check_tree(struct pages *pages, uint64_t root, struct page_set *set)
{
	const struct btree tree = {pages->pager, root};
	struct btree_stats stats;

	return root ? btree_check(&tree, set, &stats) : 0;
}

void pages_check(struct pages *pages, uint64_t root, uint64_t other_root)
{
	struct page_set set;
	int result = page_set_init(pager_state(pages->pager)->page_count, &set);

	if (result == 0)
		result = check_tree(pages, root, &set);
	if (result == 0)
		result = check_tree(pages, other_root, &set);
	if (result == 0)
		result = btree_check_free(pages->pager, &set);
	if (result == 0)
		result = btree_check_all(pages->pager, &set);
	page_set_deinit(&set);
	if (result)
		fail_with(pages, "check", result);
	assert_int_equal(pager_stats(pages->pager).pinned, 0);
}

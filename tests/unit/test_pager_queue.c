/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/pager.h"
#include "tests/lib/pages.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGES 20
#define CACHE 64

static struct pages pages;

static int setup(void **state)
{
	pages_init_queued(&pages, CACHE);
	return 0;
}

static int teardown(void **state)
{
	pages_deinit(&pages);
	return 0;
}

/* All bytes behind the header become 'fill'; number 0: of a new page. */
static uint64_t fill_page(uint64_t number, uint8_t fill)
{
	struct page page;

	assert_int_equal(pager_begin(pages.pager), 0);
	if (number == 0) {
		assert_int_equal(pager_allocate(pages.pager, PAGE_BTREE_LEAF, &page), 0);
	} else {
		assert_int_equal(pager_get(pages.pager, number, &page), 0);
		assert_int_equal(pager_edit(pages.pager, &page), 0);
	}
	memset(page.bytes + PAGE_HEADER, fill, PAGE_SIZE - PAGE_HEADER);
	pager_log_bytes(pages.pager, &page, PAGE_HEADER, PAGE_SIZE - PAGE_HEADER);
	number = page.number;
	pager_put(pages.pager, &page);
	pages_commit(&pages);
	assert_int_equal(wal_sync(pages.wal), 0);
	return number;
}

static void assert_page(uint64_t number, uint8_t fill)
{
	struct page page;

	assert_int_equal(pager_get(pages.pager, number, &page), 0);
	assert_int_equal(page.bytes[PAGE_HEADER], fill);
	assert_int_equal(page.bytes[PAGE_SIZE - 1], fill);
	pager_put(pages.pager, &page);
}

/* What the file has, once all is written. */
static void assert_file(uint64_t number, uint8_t fill)
{
	size_t size;
	uint8_t *bytes = faulty_file_bytes(pages.disk, PAGER_FILE, &size);

	assert_true(size >= (number + 1) * PAGE_SIZE);
	assert_int_equal(bytes[number * PAGE_SIZE + PAGE_HEADER], fill);
	assert_int_equal(bytes[(number + 1) * PAGE_SIZE - 1], fill);
	free(bytes);
}

static void write_all(void)
{
	while (pager_stats(pages.pager).dirty > 0) {
		assert_int_equal(pager_work(pages.pager, UINT32_MAX), 0);
		pager_wait(pages.pager);
	}
}

static void work_begins_writes_and_does_nothing_itself(void **state)
{
	for (unsigned i = 0; i < PAGES; i++)
		fill_page(0, (uint8_t)i);
	uint64_t steps = faulty_steps(pages.disk);

	assert_int_equal(pager_work(pages.pager, PAGES), 0);
	assert_int_equal(faulty_steps(pages.disk), steps);
	assert_int_equal(pager_stats(pages.pager).dirty, PAGES);
	write_all();
	assert_int_equal(pager_stats(pages.pager).writes, PAGES);
	for (unsigned i = 0; i < PAGES; i++)
		assert_file(i + 1, (uint8_t)i);
}

static void a_page_that_changed_while_it_was_written_is_written_again(void **state)
{
	for (unsigned round = 0; round < 50; round++) {
		uint64_t number = fill_page(round % 4 == 0 ? 0 : 1, (uint8_t)round);

		assert_int_equal(pager_work(pages.pager, UINT32_MAX), 0);
		fill_page(number, (uint8_t)(round + 1));
		assert_int_equal(pager_work(pages.pager, UINT32_MAX), 0);
		fill_page(number, (uint8_t)(round + 2));
		write_all();
		assert_page(number, (uint8_t)(round + 2));
		assert_file(number, (uint8_t)(round + 2));
	}
}

static void more_pages_than_the_cache_holds_are_written_as_needed(void **state)
{
	for (unsigned i = 0; i < 4 * CACHE; i++) {
		assert_int_equal(fill_page(0, (uint8_t)i), i + 1);
		if (i % 3 == 0)
			assert_int_equal(pager_work(pages.pager, 5), 0);
	}
	for (unsigned i = 0; i < 4 * CACHE; i++)
		assert_page(i + 1, (uint8_t)i);
}

static void a_checkpoint_is_whole_when_its_sync_ended(void **state)
{
	for (unsigned i = 0; i < PAGES; i++)
		fill_page(0, (uint8_t)i);
	pages_checkpoint(&pages);
	for (unsigned i = 0; i < PAGES; i += 2)
		fill_page(i + 1, 0xEE);
	pages_crash(&pages, 7);
	assert_int_equal(pages_recover(&pages, fake_wal_count(pages.wal)), 0);
	for (unsigned i = 0; i < PAGES; i++)
		assert_page(i + 1, i % 2 == 0 ? 0xEE : (uint8_t)i);
}

static void a_checkpoint_given_up_while_it_syncs_is_not_the_next_ones(void **state)
{
	struct pager_state ended;
	bool done = false;

	fill_page(0, 1);
	pager_checkpoint_begin(pages.pager);
	write_all();
	assert_int_equal(pager_checkpoint_poll(pages.pager, &done, &ended), 0);
	assert_false(done);
	fill_page(1, 2);
	pager_checkpoint_begin(pages.pager);
	uint64_t lsn = pager_state(pages.pager)->lsn;
	uint64_t syncs = faulty_syncs(pages.disk);

	while (!done) {
		assert_int_equal(pager_work(pages.pager, UINT32_MAX), 0);
		assert_int_equal(pager_checkpoint_poll(pages.pager, &done, &ended), 0);
	}
	assert_int_equal(ended.lsn, lsn);
	assert_int_equal(faulty_syncs(pages.disk), syncs + 2);
	assert_file(1, 2);
}

static void a_write_that_failed_is_told_and_made_again(void **state)
{
	fill_page(0, 1);
	faulty_fail_at(pages.disk, faulty_calls(pages.disk) + 1, -ENOSPC, 1);
	assert_int_equal(pager_work(pages.pager, UINT32_MAX), 0);
	pager_wait(pages.pager);
	assert_int_equal(pager_work(pages.pager, UINT32_MAX), -ENOSPC);
	assert_int_equal(pager_stats(pages.pager).dirty, 1);
	write_all();
	assert_file(1, 1);
}

static void a_sync_that_failed_is_the_end(void **state)
{
	struct pager_state ended;
	bool done = false;
	int result = 0;

	fill_page(0, 1);
	pager_checkpoint_begin(pages.pager);
	write_all();
	faulty_fail_sync(pages.disk, 1);
	while (result == 0) {
		result = pager_checkpoint_poll(pages.pager, &done, &ended);
		assert_false(done);
	}
	assert_int_equal(result, -EIO);
	assert_int_equal(pager_work(pages.pager, 1), -EIO);
	assert_int_equal(pager_checkpoint_poll(pages.pager, &done, &ended), -EIO);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(work_begins_writes_and_does_nothing_itself),
		CASE(a_page_that_changed_while_it_was_written_is_written_again),
		CASE(more_pages_than_the_cache_holds_are_written_as_needed),
		CASE(a_checkpoint_is_whole_when_its_sync_ended),
		CASE(a_checkpoint_given_up_while_it_syncs_is_not_the_next_ones),
		CASE(a_write_that_failed_is_told_and_made_again),
		CASE(a_sync_that_failed_is_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/pager.h"
#include "tests/lib/pages.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <string.h>

/* An owner that polls: all that it calls here aborts the test where it would block. */

#define CACHE 64

/* Polls that nothing here takes. */
#define POLLS_MAX 10000

static struct pages pages;

static void set_polls(bool polls)
{
	pager_set_polls(pages.pager, polls);
	faulty_polls(pages.disk, polls);
}

static int setup(void **state)
{
	pages_init_queued(&pages, CACHE);
	set_polls(true);
	return 0;
}

static int teardown(void **state)
{
	faulty_polls(pages.disk, false);
	pages_deinit(&pages);
	return 0;
}

/* What the call says when it need not be made again. */
static int get(uint64_t number, struct page *ret_page)
{
	int result;

	for (unsigned i = 0; i < POLLS_MAX; i++) {
		result = pager_get(pages.pager, number, ret_page);
		if (result != PAGER_E_WAIT && result != PAGER_E_BUSY)
			return result;
		pager_poll(pages.pager);
	}
	fail_msg("page %d never comes", (int)number);
	return -EIO;
}

static int try_make(uint8_t fill)
{
	struct page page;
	int result;

	assert_int_equal(pager_begin(pages.pager), 0);
	result = pager_allocate(pages.pager, PAGE_BTREE_LEAF, &page);
	if (result) {
		pager_rollback(pages.pager);
		return result;
	}
	memset(page.bytes + PAGE_HEADER, fill, PAGE_SIZE - PAGE_HEADER);
	pager_log_bytes(pages.pager, &page, PAGE_HEADER, PAGE_SIZE - PAGE_HEADER);
	pager_put(pages.pager, &page);
	pages_commit(&pages);
	assert_int_equal(wal_sync(pages.wal), 0);
	return 0;
}

static int make(uint8_t fill)
{
	for (unsigned i = 0; i < POLLS_MAX; i++) {
		int result = try_make(fill);
		if (result != PAGER_E_BUSY && result != PAGER_E_WAIT)
			return result;
		pager_poll(pages.pager);
	}
	fail_msg("no page is ever made");
	return -EIO;
}

/* Pages 1 to 'count' in the file, each full of its number, and none in the cache. */
static void make_cold(unsigned count)
{
	for (unsigned i = 1; i <= count; i++)
		assert_int_equal(make((uint8_t)i), 0);
	set_polls(false);
	pages_checkpoint(&pages);
	pages_crash(&pages, 1);
	assert_int_equal(pages_recover(&pages, fake_wal_count(pages.wal)), 0);
	set_polls(true);
}

static void assert_page(uint64_t number)
{
	struct page page;

	assert_int_equal(get(number, &page), 0);
	assert_int_equal(page.bytes[PAGE_HEADER], (uint8_t)number);
	assert_int_equal(page.bytes[PAGE_SIZE - 1], (uint8_t)number);
	pager_put(pages.pager, &page);
}

/* Until no read of the page is under way, without asking for it. */
static void poll_often(void)
{
	for (unsigned i = 0; i < 100; i++)
		pager_poll(pages.pager);
}

static void a_page_that_is_not_cached_is_read_once_and_waited_for(void **state)
{
	struct page page;

	make_cold(3);
	uint64_t calls = faulty_calls(pages.disk);

	assert_int_equal(pager_get(pages.pager, 2, &page), PAGER_E_WAIT);
	assert_int_equal(pager_get(pages.pager, 2, &page), PAGER_E_WAIT);
	assert_int_equal(faulty_calls(pages.disk), calls);
	poll_often();
	assert_int_equal(faulty_calls(pages.disk), calls + 1);
	assert_page(2);
	assert_int_equal(pager_stats(pages.pager).misses, 1);
	for (uint64_t number = 1; number <= 3; number++)
		assert_page(number);
	assert_int_equal(faulty_calls(pages.disk), calls + 3);
}

static void more_pages_are_read_than_the_cache_holds(void **state)
{
	make_cold(200);
	for (unsigned turn = 0; turn < 2; turn++) {
		for (uint64_t number = 1; number <= 200; number++) {
			struct page page;

			/* Some are asked for together, and not all of those are asked for again. */
			int result = pager_get(pages.pager, 1 + number * 37 % 200, &page);
			if (result == 0)
				pager_put(pages.pager, &page);
			assert_page(number);
		}
	}
}

static void a_read_that_failed_is_told_and_made_again(void **state)
{
	struct page page;

	make_cold(2);
	faulty_fail_at(pages.disk, faulty_calls(pages.disk) + 1, -EIO, 1);
	assert_int_equal(pager_get(pages.pager, 1, &page), PAGER_E_WAIT);
	poll_often();
	assert_page(2);
	assert_int_equal(pager_get(pages.pager, 1, &page), -EIO);
	assert_page(1);
}

static void a_damaged_page_is_told_each_time_it_is_read(void **state)
{
	struct page page;

	make_cold(2);
	faulty_flip(pages.disk, PAGER_FILE, (PAGE_SIZE + 100) * 8);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(pager_get(pages.pager, 1, &page), PAGER_E_WAIT);
		assert_int_equal(get(1, &page), PAGER_E_CORRUPT);
		assert_non_null(strstr(pager_error(pages.pager), "page 1: "));
	}
	faulty_flip(pages.disk, PAGER_FILE, (PAGE_SIZE + 100) * 8);
	assert_page(1);
	assert_int_equal(get(3, &page), PAGER_E_CORRUPT);
}

static void failures_that_nobody_asks_for_hold_nothing_up(void **state)
{
	const unsigned count = 2 * PAGER_READ_MAX;

	make_cold(count);
	for (uint64_t number = 1; number <= count; number++) {
		struct page page;

		faulty_fail_at(pages.disk, faulty_calls(pages.disk) + 1, -EIO, 1);
		assert_int_equal(pager_get(pages.pager, number, &page), PAGER_E_WAIT);
		poll_often();
	}
	for (uint64_t number = 1; number <= count; number++) {
		struct page page;
		int result = get(number, &page);

		/* The last are still known, but for one that made way for the first read. */
		assert_int_equal(result, number + PAGER_READ_MAX > count + 1 ? -EIO : 0);
		if (result == 0)
			pager_put(pages.pager, &page);
		else
			assert_page(number);
	}
}

static void waiting_for_a_page_spoils_no_transaction(void **state)
{
	struct page page;

	make_cold(3);
	assert_page(1);
	assert_int_equal(pager_begin(pages.pager), 0);
	assert_int_equal(get(1, &page), 0);
	assert_int_equal(pager_edit(pages.pager, &page), 0);
	page.bytes[PAGE_HEADER] = 77;
	pager_log_bytes(pages.pager, &page, PAGE_HEADER, 1);
	pager_put(pages.pager, &page);
	assert_int_equal(pager_get(pages.pager, 2, &page), PAGER_E_WAIT);
	pages_commit(&pages);
	assert_int_equal(get(1, &page), 0);
	assert_int_equal(page.bytes[PAGE_HEADER], 77);
	pager_put(pages.pager, &page);

	/* What a change needed, and didn't get, does. */
	assert_int_equal(pager_begin(pages.pager), 0);
	assert_int_equal(pager_release(pages.pager, 3), PAGER_E_WAIT);
	assert_int_equal(pager_commit(pages.pager, 1), -ECANCELED);
	pager_rollback(pages.pager);
	assert_page(3);
}

static void who_may_block_again_takes_over_what_is_under_way(void **state)
{
	struct page page;

	make_cold(3);
	uint64_t calls = faulty_calls(pages.disk);

	for (uint64_t number = 1; number <= 3; number++)
		assert_int_equal(pager_get(pages.pager, number, &page), PAGER_E_WAIT);
	set_polls(false);
	for (uint64_t number = 1; number <= 3; number++) {
		assert_int_equal(pager_get(pages.pager, number, &page), 0);
		assert_int_equal(page.bytes[PAGE_HEADER], number);
		pager_put(pages.pager, &page);
	}
	assert_int_equal(faulty_calls(pages.disk), calls + 3);
}

static void who_may_block_again_is_told_what_failed(void **state)
{
	struct page page;

	make_cold(1);
	faulty_fail_at(pages.disk, faulty_calls(pages.disk) + 1, -EIO, 1);
	assert_int_equal(pager_get(pages.pager, 1, &page), PAGER_E_WAIT);
	set_polls(false);
	assert_int_equal(pager_get(pages.pager, 1, &page), -EIO);
	assert_int_equal(pager_get(pages.pager, 1, &page), 0);
	pager_put(pages.pager, &page);
}

static void the_file_is_made_longer_before_it_is_needed(void **state)
{
	assert_int_equal(make(1), 0);
	for (unsigned i = 0; i < 1000; i++) {
		assert_int_equal(try_make((uint8_t)i), 0);
		set_polls(false);
		while (pager_stats(pages.pager).dirty > 0) {
			assert_int_equal(pager_work(pages.pager, UINT32_MAX), 0);
			pager_wait(pages.pager);
		}
		set_polls(true);
		poll_often();
	}
}

static void a_page_beyond_the_file_waits_for_its_room(void **state)
{
	unsigned busy = 0;

	/* The first page is beyond the file of a new store. */
	assert_int_equal(try_make(1), PAGER_E_BUSY);
	for (unsigned i = 0; i < 500; i++) {
		int result = try_make((uint8_t)i);

		busy += result == PAGER_E_BUSY;
		if (result == PAGER_E_BUSY)
			pager_poll(pages.pager);
		else
			assert_int_equal(result, 0);
	}
	assert_true(busy > 0);
	assert_true(pager_state(pages.pager)->page_count > 100);
}

static void a_full_disk_is_told_when_it_is_in_the_way(void **state)
{
	int result;
	unsigned count = 0;

	faulty_set_capacity(pages.disk, 100 * PAGE_SIZE);
	while ((result = make((uint8_t)count)) == 0)
		count++;
	assert_int_equal(result, -ENOSPC);
	assert_int_equal(count, 99); /* every page that there is room for */
	assert_int_equal(make(1), -ENOSPC);
	assert_int_equal(pager_state(pages.pager)->page_count, 99);
	faulty_set_capacity(pages.disk, 0);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(make(1), 0);
}

static void a_cache_full_of_changes_is_busy_while_they_are_written(void **state)
{
	struct page page;
	unsigned count = 0;
	int result = 0;

	while (result == 0 || pager_state(pages.pager)->page_count < CACHE - 1) {
		assert_int_equal(pager_begin(pages.pager), 0);
		result = pager_allocate(pages.pager, PAGE_BTREE_LEAF, &page);
		if (result == 0) {
			pager_put(pages.pager, &page);
			pages_commit(&pages);
			count++;
			continue;
		}
		assert_int_equal(result, PAGER_E_BUSY);
		pager_rollback(pages.pager);
		pager_poll(pages.pager);
	}
	assert_int_equal(count, CACHE);
	assert_true(pager_was_short(pages.pager));
	assert_false(pager_was_short(pages.pager));

	/* The log isn't durable: polling doesn't help, neither who reads nor who writes. */
	poll_often();
	assert_int_equal(try_make(1), PAGER_E_BUSY);
	assert_int_equal(pager_stats(pages.pager).writes, 0);
	assert_int_equal(wal_sync(pages.wal), 0);
	assert_int_equal(make(1), 0);
	assert_true(pager_stats(pages.pager).writes > 0);
}

static void a_transaction_leaves_frames_to_others(void **state)
{
	struct page page;
	unsigned count = 0;
	int result;

	make_cold(3);
	/* Room in the file, so that nothing but frames is short. */
	for (unsigned i = 0; i < 60; i++)
		assert_int_equal(make(1), 0);
	set_polls(false);
	pages_checkpoint(&pages);
	set_polls(true);
	assert_int_equal(pager_begin(pages.pager), 0);
	for (uint64_t number = 1; (result = get(number, &page)) == 0; number++) {
		result = pager_edit(pages.pager, &page);
		pager_put(pages.pager, &page);
		if (result)
			break;
		count++;
	}
	assert_int_equal(result, PAGER_E_FULL);
	assert_int_equal(count, CACHE / 2);
	assert_int_equal(get(60, &page), 0);
	pager_put(pages.pager, &page);
	assert_int_equal(pager_commit(pages.pager, 1), -ECANCELED);
	pager_rollback(pages.pager);
}

static void closing_waits_for_what_is_under_way(void **state)
{
	struct page page;

	make_cold(3);
	for (uint64_t number = 1; number <= 3; number++)
		assert_int_equal(pager_get(pages.pager, number, &page), PAGER_E_WAIT);
	faulty_polls(pages.disk, false);
	pager_close(pages.pager);
	pages.pager = NULL;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_page_that_is_not_cached_is_read_once_and_waited_for),
		CASE(more_pages_are_read_than_the_cache_holds),
		CASE(a_read_that_failed_is_told_and_made_again),
		CASE(a_damaged_page_is_told_each_time_it_is_read),
		CASE(failures_that_nobody_asks_for_hold_nothing_up),
		CASE(waiting_for_a_page_spoils_no_transaction),
		CASE(who_may_block_again_takes_over_what_is_under_way),
		CASE(who_may_block_again_is_told_what_failed),
		CASE(the_file_is_made_longer_before_it_is_needed),
		CASE(a_page_beyond_the_file_waits_for_its_room),
		CASE(a_full_disk_is_told_when_it_is_in_the_way),
		CASE(a_cache_full_of_changes_is_busy_while_they_are_written),
		CASE(a_transaction_leaves_frames_to_others),
		CASE(closing_waits_for_what_is_under_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

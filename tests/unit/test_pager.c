/* SPDX-License-Identifier: Apache-2.0 */
#include "base/byteorder.h"
#include "engine/pager.h"
#include "tests/lib/pages.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TIMESTAMP UINT64_C(1700000000)

#define CACHE 256

/* A page with one byte repeated, committed. */
static uint64_t make_page(struct pages *pages, uint8_t fill)
{
	struct page page;
	uint64_t number;

	assert_int_equal(pager_begin(pages->pager), 0);
	assert_int_equal(pager_allocate(pages->pager, PAGE_BTREE_LEAF, &page), 0);
	memset(page.bytes + PAGE_HEADER, fill, PAGE_SIZE - PAGE_HEADER);
	pager_log_bytes(pages->pager, &page, PAGE_HEADER, PAGE_SIZE - PAGE_HEADER);
	number = page.number;
	pager_put(pages->pager, &page);
	pages_commit(pages);
	return number;
}

static void set_byte(struct pages *pages, uint64_t number, uint32_t offset, uint8_t value)
{
	struct page page;

	assert_int_equal(pager_get(pages->pager, number, &page), 0);
	assert_int_equal(pager_edit(pages->pager, &page), 0);
	page.bytes[offset] = value;
	pager_log_bytes(pages->pager, &page, offset, 1);
	pager_put(pages->pager, &page);
}

static void change_byte(struct pages *pages, uint64_t number, uint32_t offset, uint8_t value)
{
	assert_int_equal(pager_begin(pages->pager), 0);
	set_byte(pages, number, offset, value);
	pages_commit(pages);
}

static uint8_t byte_of(struct pages *pages, uint64_t number, uint32_t offset)
{
	struct page page;
	uint8_t byte;

	assert_int_equal(pager_get(pages->pager, number, &page), 0);
	byte = page.bytes[offset];
	pager_put(pages->pager, &page);
	return byte;
}

static void release_page(struct pages *pages, uint64_t number)
{
	assert_int_equal(pager_begin(pages->pager), 0);
	assert_int_equal(pager_release(pages->pager, number), 0);
	pages_commit(pages);
}

static uint64_t end_of(const struct pages *pages)
{
	return fake_wal_count(pages->wal);
}

static void a_page_is_there_after_it_was_written_and_read_again(void **state)
{
	struct pages pages;
	uint64_t number;

	pages_init(&pages, CACHE);
	number = make_page(&pages, 0xAB);
	assert_int_equal(number, 1);
	pages_checkpoint(&pages);
	pages_crash(&pages, 1);
	assert_int_equal(pages_recover(&pages, end_of(&pages)), 0);
	assert_int_equal(byte_of(&pages, number, 4000), 0xAB);
	assert_int_equal(pager_stats(pages.pager).misses, 1);
	pages_deinit(&pages);
}

static void a_commit_is_redone_from_the_log_alone(void **state)
{
	struct pages pages;
	uint64_t number;

	pages_init(&pages, CACHE);
	number = make_page(&pages, 7);
	change_byte(&pages, number, 100, 8);
	pages_crash(&pages, 1);
	assert_int_equal(pages_recover(&pages, end_of(&pages)), 0);
	assert_int_equal(byte_of(&pages, number, 99), 7);
	assert_int_equal(byte_of(&pages, number, 100), 8);
	pages_deinit(&pages);
}

static void a_transaction_without_its_commit_is_not_redone(void **state)
{
	struct pages pages;
	uint64_t number;

	pages_init(&pages, CACHE);
	number = make_page(&pages, 7);
	change_byte(&pages, number, 100, 8);
	pages_crash(&pages, 1);
	assert_int_equal(pages_recover(&pages, end_of(&pages) - 1), 0);
	assert_int_equal(byte_of(&pages, number, 100), 7);
	pages_deinit(&pages);
}

static void a_rollback_leaves_pages_and_counts_as_they_were(void **state)
{
	struct pages pages;
	struct page page;
	uint64_t number;
	size_t records;

	pages_init(&pages, CACHE);
	number = make_page(&pages, 7);
	records = fake_wal_count(pages.wal);
	assert_int_equal(pager_begin(pages.pager), 0);
	set_byte(&pages, number, 50, 9);
	assert_int_equal(byte_of(&pages, number, 50), 9);
	assert_int_equal(pager_allocate(pages.pager, PAGE_BTREE_LEAF, &page), 0);
	pager_put(pages.pager, &page);
	assert_int_equal(pager_release(pages.pager, number), 0);
	pager_state(pages.pager)->edge_count = 5;
	pager_rollback(pages.pager);
	assert_int_equal(byte_of(&pages, number, 50), 7);
	assert_int_equal(pager_state(pages.pager)->page_count, 1);
	assert_int_equal(pager_state(pages.pager)->free_head, 0);
	assert_int_equal(pager_state(pages.pager)->edge_count, 0);
	assert_int_equal(fake_wal_count(pages.wal), records);
	pages_deinit(&pages);
}

static void who_holds_a_page_sees_it_as_it_was(void **state)
{
	struct pages pages;
	struct page before;
	uint64_t number, changes;

	pages_init(&pages, CACHE);
	number = make_page(&pages, 7);
	assert_int_equal(pager_get(pages.pager, number, &before), 0);
	changes = pager_changes(pages.pager);
	change_byte(&pages, number, 50, 9);
	assert_int_equal(before.bytes[50], 7);
	assert_int_equal(byte_of(&pages, number, 50), 9);
	assert_true(pager_changes(pages.pager) > changes);
	pager_put(pages.pager, &before);
	pages_deinit(&pages);
}

static void free_pages_are_used_again_last_first(void **state)
{
	struct pages pages;
	uint64_t first, second;

	pages_init(&pages, CACHE);
	first = make_page(&pages, 1);
	second = make_page(&pages, 2);
	release_page(&pages, first);
	release_page(&pages, second);
	assert_int_equal(pager_state(pages.pager)->free_count, 2);
	assert_int_equal(make_page(&pages, 3), second);
	assert_int_equal(make_page(&pages, 4), first);
	assert_int_equal(make_page(&pages, 5), 3);
	assert_int_equal(pager_state(pages.pager)->free_count, 0);
	pages_deinit(&pages);
}

static void the_chain_of_free_pages_is_redone(void **state)
{
	struct pages pages;

	pages_init(&pages, CACHE);
	for (unsigned i = 0; i < 4; i++)
		make_page(&pages, 1);
	release_page(&pages, 2);
	release_page(&pages, 3);
	pages_checkpoint(&pages);
	/* Both ends of the chain are before the checkpoint; what comes after depends on them. */
	assert_int_equal(make_page(&pages, 8), 3);
	release_page(&pages, 1);
	assert_int_equal(make_page(&pages, 9), 1);
	assert_int_equal(make_page(&pages, 10), 2);
	release_page(&pages, 4);
	for (unsigned seed = 0; seed < 20; seed++) {
		assert_int_equal(wal_sync(pages.wal), 0);
		assert_int_equal(pager_work(pages.pager, seed), 0);
		pages_crash(&pages, seed);
		assert_int_equal(pages_recover(&pages, end_of(&pages)), 0);
		assert_int_equal(byte_of(&pages, 3, 100), 8);
		assert_int_equal(byte_of(&pages, 1, 100), 9);
		assert_int_equal(byte_of(&pages, 2, 100), 10);
		assert_int_equal(pager_state(pages.pager)->free_head, 4);
		assert_int_equal(pager_state(pages.pager)->free_count, 1);
	}
	pages_deinit(&pages);
}

static void a_page_freed_twice_is_an_error(void **state)
{
	struct pages pages;
	struct record record;
	uint64_t number;

	pages_init(&pages, CACHE);
	number = make_page(&pages, 1);
	release_page(&pages, number);
	assert_int_equal(pager_begin(pages.pager), 0);
	assert_int_equal(pager_release(pages.pager, number), PAGER_E_CORRUPT);
	assert_string_equal(pager_error(pages.pager), "page 1: freed, and is free already");
	assert_int_equal(pager_commit(pages.pager, TIMESTAMP), -ECANCELED);
	pager_rollback(pages.pager);

	record = fake_wal_record(pages.wal, end_of(&pages) - 2);
	assert_int_equal(record.type, RECORD_PAGE_FREE);
	pages_crash(&pages, 1);
	assert_int_equal(pages_recover(&pages, end_of(&pages)), 0);
	pager_close(pages.pager);
	pages.pager = NULL;
	{
		const struct pager_options options = {.cache_pages = CACHE};

		assert_int_equal(pager_open(faulty_io(pages.disk), NULL, &options, &pages.pager,
					    pages.error),
				 0);
	}
	assert_int_equal(fake_wal_redo(pages.wal, pages.pager, 1, end_of(&pages)), 0);
	record.lsn = 1000;
	assert_int_equal(pager_redo(pages.pager, &record), PAGER_E_CORRUPT);
	assert_string_equal(pager_error(pages.pager),
			    "page 1: freed at lsn 1000, and is free already");
	pages_deinit(&pages);
}

static void a_freed_page_must_have_the_records_checksum(void **state)
{
	const struct pager_options options = {.cache_pages = CACHE};
	struct pages pages;
	struct record record;
	uint64_t number;

	pages_init(&pages, CACHE);
	number = make_page(&pages, 1);
	release_page(&pages, number);
	pages_crash(&pages, 1);
	assert_int_equal(
		pager_open(faulty_io(pages.disk), NULL, &options, &pages.pager, pages.error), 0);
	assert_int_equal(fake_wal_redo(pages.wal, pages.pager, 1, end_of(&pages) - 2), 0);
	record = fake_wal_record(pages.wal, end_of(&pages) - 2);
	record.page.checksum++;
	assert_int_equal(pager_redo(pages.pager, &record), PAGER_E_CORRUPT);
	record.page.checksum--;
	assert_int_equal(pager_redo(pages.pager, &record), 0);
	pages_deinit(&pages);
}

static void nothing_is_written_before_the_log_is_durable(void **state)
{
	struct pages pages;

	pages_init(&pages, CACHE);
	make_page(&pages, 1);
	assert_int_equal(pager_work(pages.pager, 100), 0);
	assert_int_equal(pager_stats(pages.pager).writes, 0);
	assert_int_equal(wal_sync(pages.wal), 0);
	assert_int_equal(pager_work(pages.pager, 100), 0);
	assert_int_equal(pager_stats(pages.pager).writes, 1);
	assert_int_equal(pager_stats(pages.pager).dirty, 0);
	pages_deinit(&pages);
}

static void a_cache_full_of_undurable_pages_is_busy_until_the_log_is_synced(void **state)
{
	struct pages pages;
	struct page page;
	int result = 0;

	pages_init(&pages, PAGER_CACHE_MIN);
	for (unsigned i = 0; i < PAGER_CACHE_MIN; i++)
		make_page(&pages, (uint8_t)i);
	assert_int_equal(pager_begin(pages.pager), 0);
	result = pager_allocate(pages.pager, PAGE_BTREE_LEAF, &page);
	assert_int_equal(result, PAGER_E_BUSY);
	pager_rollback(pages.pager);
	assert_int_equal(wal_sync(pages.wal), 0);
	for (unsigned i = 0; i < 3 * PAGER_CACHE_MIN; i++) {
		make_page(&pages, (uint8_t)i);
		assert_int_equal(wal_sync(pages.wal), 0);
	}
	for (unsigned i = 0; i < PAGER_CACHE_MIN; i++)
		assert_int_equal(byte_of(&pages, i + 1, 77), i);
	pages_deinit(&pages);
}

static void a_log_without_room_keeps_the_transaction_open(void **state)
{
	struct pages pages;
	uint64_t number;

	pages_init(&pages, CACHE);
	number = make_page(&pages, 1);
	fake_wal_set_room(pages.wal, 4300);
	assert_int_equal(pager_begin(pages.pager), 0);
	set_byte(&pages, number, 60, 5);
	assert_int_equal(pager_commit(pages.pager, TIMESTAMP), PAGER_E_BUSY);
	assert_int_equal(wal_sync(pages.wal), 0);
	pages_commit(&pages);
	assert_int_equal(byte_of(&pages, number, 60), 5);

	/* With nothing in the log, waiting would not help. */
	assert_int_equal(wal_sync(pages.wal), 0);
	fake_wal_set_room(pages.wal, 100);
	assert_int_equal(pager_begin(pages.pager), 0);
	set_byte(&pages, number, 60, 6);
	assert_int_equal(pager_commit(pages.pager, TIMESTAMP), PAGER_E_FULL);
	pager_rollback(pages.pager);
	assert_int_equal(byte_of(&pages, number, 60), 5);
	pages_deinit(&pages);
}

static void a_stopped_log_takes_no_transactions(void **state)
{
	struct pages pages;

	pages_init(&pages, CACHE);
	make_page(&pages, 1);
	assert_int_equal(pager_begin(pages.pager), 0);
	set_byte(&pages, 1, 60, 6);
	fake_wal_stop(pages.wal, -EIO);
	assert_int_equal(pager_commit(pages.pager, TIMESTAMP), -EIO);
	pager_rollback(pages.pager);
	assert_int_equal(byte_of(&pages, 1, 60), 1);
	assert_int_equal(pager_begin(pages.pager), -EIO);
	set_byte(&pages, 1, 60, 6);
	assert_int_equal(pager_commit(pages.pager, TIMESTAMP), -ECANCELED);
	assert_int_equal(pager_append(pages.pager, TIMESTAMP), -ECANCELED);
	pager_rollback(pages.pager);
	assert_int_equal(byte_of(&pages, 1, 60), 1);
	pages_deinit(&pages);
}

static void the_first_change_after_a_checkpoint_is_the_whole_page(void **state)
{
	struct pages pages;
	struct record record;

	pages_init(&pages, CACHE);
	make_page(&pages, 1);
	pages_checkpoint(&pages);
	change_byte(&pages, 1, 60, 6);
	record = fake_wal_record(pages.wal, end_of(&pages) - 2);
	assert_int_equal(record.type, RECORD_PAGE_WRITE);
	assert_int_equal(record.page.offset, 0);
	assert_int_equal(record.page.data.size, PAGE_SIZE);
	change_byte(&pages, 1, 61, 6);
	record = fake_wal_record(pages.wal, end_of(&pages) - 2);
	assert_int_equal(record.page.offset, 61);
	assert_int_equal(record.page.data.size, 1);
	pages_deinit(&pages);
}

static void an_image_leaves_out_the_zeros_at_its_end(void **state)
{
	struct pages pages;
	struct record record;
	struct page page;

	pages_init(&pages, CACHE);
	assert_int_equal(pager_begin(pages.pager), 0);
	assert_int_equal(pager_allocate(pages.pager, PAGE_BTREE_LEAF, &page), 0);
	page.bytes[50] = 3;
	pager_log_bytes(pages.pager, &page, PAGE_HEADER, PAGE_SIZE - PAGE_HEADER);
	pager_put(pages.pager, &page);
	pages_commit(&pages);
	record = fake_wal_record(pages.wal, end_of(&pages) - 2);
	assert_int_equal(record.page.offset, 0);
	assert_int_equal(record.page.data.size, 51);
	pages_crash(&pages, 1);
	assert_int_equal(pages_recover(&pages, end_of(&pages)), 0);
	assert_int_equal(byte_of(&pages, 1, 50), 3);
	pages_deinit(&pages);
}

static void a_torn_page_is_redone_from_its_image(void **state)
{
	for (unsigned seed = 0; seed < 40; seed++) {
		struct pages pages;

		pages_init(&pages, CACHE);
		make_page(&pages, 1);
		pages_checkpoint(&pages);
		for (unsigned i = 0; i < 8; i++)
			change_byte(&pages, 1, 40 + i * 512, (uint8_t)(i + 2));
		assert_int_equal(wal_sync(pages.wal), 0);
		assert_int_equal(pager_work(pages.pager, 1), 0);
		pages_crash(&pages, seed);
		assert_int_equal(pages_recover(&pages, end_of(&pages)), 0);
		for (unsigned i = 0; i < 8; i++)
			assert_int_equal(byte_of(&pages, 1, 40 + i * 512), i + 2);

		/* And again when the recovery is cut while it writes. */
		assert_int_equal(pager_work(pages.pager, 1), 0);
		pages_crash(&pages, seed + 1);
		assert_int_equal(pages_recover(&pages, end_of(&pages) - 3), 0);
		assert_int_equal(byte_of(&pages, 1, 40 + 7 * 512), 1);
		pages_deinit(&pages);
	}
}

static void a_checkpoint_goes_on_while_pages_change(void **state)
{
	struct pages pages;
	struct pager_state found;
	bool done;

	pages_init(&pages, CACHE);
	make_page(&pages, 1);
	make_page(&pages, 2);
	assert_int_equal(wal_sync(pages.wal), 0);
	pager_checkpoint_begin(pages.pager);
	change_byte(&pages, 1, 60, 6);
	assert_int_equal(pager_checkpoint_poll(pages.pager, &done, &found), 0);
	assert_false(done);
	assert_int_equal(pager_work(pages.pager, 10), 0);
	assert_int_equal(pager_checkpoint_poll(pages.pager, &done, &found), 0);
	assert_false(done); /* page 1's image isn't durable */
	assert_int_equal(wal_sync(pages.wal), 0);
	assert_int_equal(pager_checkpoint_poll(pages.pager, &done, &found), 0);
	assert_true(done);
	assert_int_equal(found.lsn, 9); /* two transactions of 4 records */
	assert_int_equal(found.page_count, 2);
	pages.state = found;
	pages_crash(&pages, 3);
	assert_int_equal(pages_recover(&pages, end_of(&pages)), 0);
	assert_int_equal(byte_of(&pages, 1, 60), 6);
	assert_int_equal(byte_of(&pages, 2, 60), 2);
	pages_deinit(&pages);
}

static void a_checkpoint_waits_for_the_open_transaction(void **state)
{
	struct pager_state found;
	struct pages pages;
	struct page page;
	bool done;

	pages_init(&pages, CACHE);
	make_page(&pages, 1);
	assert_int_equal(wal_sync(pages.wal), 0);
	assert_int_equal(pager_begin(pages.pager), 0);
	set_byte(&pages, 1, 60, 6);
	assert_int_equal(pager_allocate(pages.pager, PAGE_BTREE_LEAF, &page), 0);
	pager_put(pages.pager, &page);
	pager_checkpoint_begin(pages.pager);
	assert_int_equal(pager_work(pages.pager, 10), 0);
	assert_int_equal(pager_checkpoint_poll(pages.pager, &done, &found), 0);
	assert_false(done);
	pages_commit(&pages);
	assert_int_equal(wal_sync(pages.wal), 0);
	assert_int_equal(pager_work(pages.pager, 10), 0);
	assert_int_equal(pager_checkpoint_poll(pages.pager, &done, &found), 0);
	assert_true(done);
	assert_int_equal(found.lsn, end_of(&pages) + 1);
	assert_int_equal(found.page_count, 2);

	/* A rollback is an end too. */
	assert_int_equal(pager_begin(pages.pager), 0);
	set_byte(&pages, 1, 60, 7);
	pager_state(pages.pager)->edge_count = 9;
	pager_checkpoint_begin(pages.pager);
	pager_rollback(pages.pager);
	assert_int_equal(pager_checkpoint_poll(pages.pager, &done, &found), 0);
	assert_true(done);
	assert_int_equal(found.edge_count, 0);
	pages_deinit(&pages);
}

static void every_flipped_bit_is_found(void **state)
{
	struct pages pages;

	pages_init(&pages, CACHE);
	make_page(&pages, 1);
	pages_checkpoint(&pages);
	for (uint64_t bit = 0; bit < 2 * PAGE_SIZE * 8; bit += 61) {
		int result;

		faulty_flip(pages.disk, PAGER_FILE, bit);
		pager_close(pages.pager);
		pages.pager = NULL;
		result = pages_recover(&pages, end_of(&pages));
		if (bit < PAGE_SIZE * 8) {
			assert_int_equal(result, PAGER_E_CORRUPT);
		} else {
			struct page page;

			assert_int_equal(result, 0);
			assert_int_equal(pager_get(pages.pager, 1, &page), PAGER_E_CORRUPT);
			assert_non_null(strstr(pager_error(pages.pager), "page 1: "));
		}
		faulty_flip(pages.disk, PAGER_FILE, bit);
	}
	pages_deinit(&pages);
}

static void a_page_in_anothers_place_is_found(void **state)
{
	struct pages pages;
	struct page page;
	uint8_t *bytes;
	size_t size;

	pages_init(&pages, CACHE);
	make_page(&pages, 1);
	make_page(&pages, 2);
	pages_checkpoint(&pages);
	bytes = faulty_file_bytes(pages.disk, PAGER_FILE, &size);
	assert_true(size >= 3 * PAGE_SIZE);
	memcpy(bytes + 2 * PAGE_SIZE, bytes + PAGE_SIZE, PAGE_SIZE);
	pages_crash(&pages, 1);
	faulty_file_set(pages.disk, PAGER_FILE, bytes, 3 * PAGE_SIZE);
	free(bytes);
	assert_int_equal(pages_recover(&pages, end_of(&pages)), 0);
	assert_int_equal(pager_get(pages.pager, 2, &page), PAGER_E_CORRUPT);
	assert_string_equal(pager_error(pages.pager), "page 2: number: expected 2, found 1");
	assert_int_equal(pager_get(pages.pager, 3, &page), PAGER_E_CORRUPT);
	assert_int_equal(pager_get(pages.pager, 0, &page), PAGER_E_CORRUPT);
	pages_deinit(&pages);
}

static void a_file_of_another_store_is_refused(void **state)
{
	uint8_t store[PAGE_STORE_SIZE] = {1};
	const struct pager_options options = {.store = store, .cache_pages = CACHE};
	struct pages pages;

	pages_init(&pages, CACHE);
	pager_close(pages.pager);
	pages.pager = NULL;
	assert_int_equal(
		pager_open(faulty_io(pages.disk), NULL, &options, &pages.pager, pages.error),
		PAGER_E_CORRUPT);
	assert_string_equal(pages.error, "page 0: the file belongs to another store");
	pages_deinit(&pages);
}

static void a_full_disk_is_said_and_the_rollback_leaves_all_as_it_was(void **state)
{
	struct pages pages;
	struct page page;
	uint64_t last = 0;
	int result = 0;

	pages_init(&pages, CACHE);
	faulty_set_capacity(pages.disk, 100 * PAGE_SIZE);
	while (result == 0) {
		assert_int_equal(pager_begin(pages.pager), 0);
		result = pager_allocate(pages.pager, PAGE_BTREE_LEAF, &page);
		if (result)
			break;
		last = page.number;
		pager_put(pages.pager, &page);
		pages_commit(&pages);
	}
	assert_int_equal(result, -ENOSPC);
	assert_int_equal(last, 99); /* every page that there is room for */
	assert_int_equal(pager_commit(pages.pager, TIMESTAMP), -ECANCELED);
	pager_rollback(pages.pager);
	assert_int_equal(pager_state(pages.pager)->page_count, 99);
	change_byte(&pages, 50, 60, 6);
	faulty_set_capacity(pages.disk, 0);
	assert_int_equal(make_page(&pages, 1), 100);
	pages_deinit(&pages);
}

static void a_failed_sync_stops_everything(void **state)
{
	struct pages pages;
	struct pager_state found;
	struct page page;
	bool done;

	pages_init(&pages, CACHE);
	make_page(&pages, 1);
	assert_int_equal(wal_sync(pages.wal), 0);
	pager_checkpoint_begin(pages.pager);
	assert_int_equal(pager_work(pages.pager, 10), 0);
	faulty_fail_sync(pages.disk, 1);
	assert_int_equal(pager_checkpoint_poll(pages.pager, &done, &found), -EIO);
	assert_int_equal(pager_checkpoint_poll(pages.pager, &done, &found), -EIO);
	assert_int_equal(pager_begin(pages.pager), -EIO);
	pager_rollback(pages.pager);
	assert_int_equal(pager_work(pages.pager, 10), -EIO);
	assert_int_equal(pager_get(pages.pager, 1, &page), 0); /* what is cached is right */
	pager_put(pages.pager, &page);
	pages_crash(&pages, 1);
	assert_int_equal(pages_recover(&pages, end_of(&pages)), 0);
	assert_int_equal(byte_of(&pages, 1, 60), 1);
	pages_deinit(&pages);
}

static void a_write_that_failed_is_done_again(void **state)
{
	struct pages pages;

	pages_init(&pages, CACHE);
	make_page(&pages, 1);
	assert_int_equal(wal_sync(pages.wal), 0);
	faulty_fail_at(pages.disk, faulty_calls(pages.disk) + 1, -EIO, 1);
	assert_int_equal(pager_work(pages.pager, 1), -EIO);
	assert_int_equal(pager_stats(pages.pager).dirty, 1);
	assert_int_equal(pager_work(pages.pager, 1), 0);
	assert_int_equal(pager_stats(pages.pager).dirty, 0);
	pages_deinit(&pages);
}

static void others_records_are_carried_in_the_transaction(void **state)
{
	struct record set = {.type = RECORD_KV_SET}, found;
	struct pages pages;

	set.kv.key = (struct record_bytes){(const uint8_t *)"key", 3};
	set.kv.value = (struct record_bytes){(const uint8_t *)"value", 5};
	pages_init(&pages, CACHE);
	assert_int_equal(pager_begin(pages.pager), 0);
	assert_int_equal(pager_log(pages.pager, &set), 0);
	pages_commit(&pages);
	assert_int_equal(fake_wal_count(pages.wal), 3);
	found = fake_wal_record(pages.wal, 1);
	assert_int_equal(found.type, RECORD_KV_SET);
	assert_int_equal(found.lsn, 2);
	assert_int_equal(found.timestamp, TIMESTAMP);
	assert_memory_equal(found.kv.value.bytes, "value", 5);
	pages_deinit(&pages);
}

static void a_transaction_without_changes_logs_nothing(void **state)
{
	struct pages pages;
	struct page page;

	pages_init(&pages, CACHE);
	make_page(&pages, 1);
	{
		size_t records = fake_wal_count(pages.wal);

		assert_int_equal(pager_begin(pages.pager), 0);
		assert_int_equal(pager_get(pages.pager, 1, &page), 0);
		assert_int_equal(pager_edit(pages.pager, &page), 0);
		pager_put(pages.pager, &page);
		pages_commit(&pages);
		assert_int_equal(fake_wal_count(pages.wal), records);
	}
	pages_deinit(&pages);
}

static void the_log_is_told_at_most_what_is_pending(void **state)
{
	struct pages pages;
	struct page page;
	uint64_t bytes, found = 0;
	uint32_t count;

	pages_init(&pages, CACHE);
	make_page(&pages, 1);
	pages_checkpoint(&pages);
	{
		size_t before = fake_wal_count(pages.wal);

		assert_int_equal(pager_begin(pages.pager), 0);
		set_byte(&pages, 1, 60, 5);
		assert_int_equal(pager_allocate(pages.pager, PAGE_BTREE_LEAF, &page), 0);
		pager_put(pages.pager, &page);
		pager_pending(pages.pager, &bytes, &count);
		pages_commit(&pages);
		for (size_t i = before; i < fake_wal_count(pages.wal); i++) {
			struct record record = fake_wal_record(pages.wal, i);

			found += record_size(&record);
		}
		assert_true(found <= bytes);
		assert_true(fake_wal_count(pages.wal) - before <= count);
	}
	pages_deinit(&pages);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_page_is_there_after_it_was_written_and_read_again),
		cmocka_unit_test(a_commit_is_redone_from_the_log_alone),
		cmocka_unit_test(a_transaction_without_its_commit_is_not_redone),
		cmocka_unit_test(a_rollback_leaves_pages_and_counts_as_they_were),
		cmocka_unit_test(who_holds_a_page_sees_it_as_it_was),
		cmocka_unit_test(free_pages_are_used_again_last_first),
		cmocka_unit_test(the_chain_of_free_pages_is_redone),
		cmocka_unit_test(a_page_freed_twice_is_an_error),
		cmocka_unit_test(a_freed_page_must_have_the_records_checksum),
		cmocka_unit_test(nothing_is_written_before_the_log_is_durable),
		cmocka_unit_test(a_cache_full_of_undurable_pages_is_busy_until_the_log_is_synced),
		cmocka_unit_test(a_log_without_room_keeps_the_transaction_open),
		cmocka_unit_test(a_stopped_log_takes_no_transactions),
		cmocka_unit_test(the_first_change_after_a_checkpoint_is_the_whole_page),
		cmocka_unit_test(an_image_leaves_out_the_zeros_at_its_end),
		cmocka_unit_test(a_torn_page_is_redone_from_its_image),
		cmocka_unit_test(a_checkpoint_goes_on_while_pages_change),
		cmocka_unit_test(a_checkpoint_waits_for_the_open_transaction),
		cmocka_unit_test(every_flipped_bit_is_found),
		cmocka_unit_test(a_page_in_anothers_place_is_found),
		cmocka_unit_test(a_file_of_another_store_is_refused),
		cmocka_unit_test(a_full_disk_is_said_and_the_rollback_leaves_all_as_it_was),
		cmocka_unit_test(a_failed_sync_stops_everything),
		cmocka_unit_test(a_write_that_failed_is_done_again),
		cmocka_unit_test(others_records_are_carried_in_the_transaction),
		cmocka_unit_test(a_transaction_without_changes_logs_nothing),
		cmocka_unit_test(the_log_is_told_at_most_what_is_pending),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

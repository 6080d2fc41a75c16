/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/clock.h"
#include "engine/changes.h"
#include "engine/edge.h"
#include "engine/store.h"
#include "engine/wal_folder.h"
#include "engine/wal_reader.h"
#include "tests/lib/faulty.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A store and its log: what has room in it, what it lets go, what is left of it behind a crash. */

#define SEGMENT (UINT32_C(128) << 10)

/* More turns than anything here takes. */
#define TURNS_MAX 10000

static struct faulty *disk;
static struct store *store;
static char error[256];

static int open_as(uint64_t log_size, uint64_t memtable_size, bool salvage)
{
	const struct store_options options = {
		.create = true,
		.salvage = salvage,
		.log_size = log_size,
		.wal = {.segment_size = SEGMENT, .buffer_size = SEGMENT / 2},
		.kv = {.memtable_size = memtable_size},
	};
	int r = store_open(faulty_io(disk), &options, &store, error, sizeof(error));

	if (r != 0) {
		store = NULL;
		io_free(faulty_io(disk));
	}
	return r;
}

static void open_store(void)
{
	assert_int_equal(open_as(0, 1 << 20, /* salvage= */ false), 0);
}

static void close_store(void)
{
	assert_int_equal(store_close(store), 0);
	io_free(faulty_io(disk));
	store = NULL;
}

/* The power goes and comes back. */
static void crash(uint64_t seed)
{
	faulty_restart(disk, seed);
	(void)store_close(store);
	io_free(faulty_io(disk));
	store = NULL;
}

static int set_up(void **state)
{
	(void)state;
	disk = faulty_new(1);
	open_store();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	if (store != NULL)
		close_store();
	faulty_free(disk);
	return 0;
}

static void put(const char *key, uint32_t size)
{
	static const uint8_t value[60000];
	struct store_put change = {.key = {(const uint8_t *)key, (uint32_t)strlen(key)},
				   .value = {value, size}};

	assert_int_equal(store_put(store, &change), 0);
}

static uint64_t commit(void)
{
	uint64_t lsn;

	assert_int_equal(store_commit(store, STORE_SYNC, &lsn), 0);
	assert_int_equal(store_sync(store), 0);
	return lsn;
}

static bool is_there(const char *key)
{
	struct entry_bytes bytes = {(const uint8_t *)key, (uint32_t)strlen(key)};
	struct entry entry;

	return kv_get(store_kv(store), bytes, 0, 0, &entry) == 0;
}

/* ---- room ---- */

static void full_memtables_are_waited_for(void **state)
{
	uint64_t lsn;
	int r;

	(void)state;
	close_store();
	assert_int_equal(open_as(0, 64 << 10, /* salvage= */ false), 0);
	for (unsigned turn = 0; turn < TURNS_MAX; turn++) {
		put("key", 60000);
		r = store_commit(store, STORE_SYNC, &lsn);
		if (r != 0)
			break;
		assert_int_equal(store_sync(store), 0);
	}
	assert_int_equal(r, STORE_E_BUSY);
	assert_int_equal(store_settle(store), 0);
	commit();
}

static void pages_that_the_log_can_not_hold_are_refused(void **state)
{
	uint64_t lsn;
	int64_t i;

	(void)state;
	/* Keys for which there is room, and pages that are too many. */
	for (i = 0; i < 400; i++) {
		struct edge_key edge = {i * 7919, i * 104729};

		assert_int_equal(store_edge_add(store, edge), 0);
	}
	assert_int_equal(store_commit(store, STORE_SYNC, &lsn), STORE_E_SIZE);
	store_rollback(store);
	assert_int_equal(store_edge_add(store, (struct edge_key){1, 2}), 0);
	commit();
	assert_int_equal(pager_state(store_pager(store))->edge_count, 1);
}

static void what_was_cleared_takes_no_room(void **state)
{
	static const uint8_t bytes[60];
	struct record record = {.type = RECORD_KV_SET,
				.kv = {.key = {bytes, 10}, .value = {bytes, 50}}};
	struct changes changes;

	(void)state;
	assert_int_equal(changes_init(4, 100, &changes), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(changes_add(&changes, &record), 0);
		assert_int_equal(changes_add(&changes, &record), CHANGES_E_FULL);
		changes_clear(&changes);
	}
	changes_deinit(&changes);
}

/* ---- what is let go ---- */

static uint32_t segments(void)
{
	struct wal_file *files;
	uint32_t count;

	assert_int_equal(wal_folder_list(faulty_io(disk), &files, &count), 0);
	free(files);
	return count;
}

static void opening_again_and_again_does_not_fill_the_folder(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 40; i++) {
		close_store();
		open_store();
	}
	assert_true(segments() < 20);
}

static void a_checkpoint_lets_go_all_that_is_behind_it(void **state)
{
	uint64_t last = 0;

	(void)state;
	for (unsigned i = 0; i < 12; i++) {
		put("key", 50000);
		last = commit();
	}
	assert_true(wal_position(store_wal(store)).oldest == 1);
	assert_int_equal(store_checkpoint(store), 0);
	/* The segment that is being written stays. */
	assert_true(wal_position(store_wal(store)).oldest + 4 > last);
	close_store();
	open_store();
	assert_true(is_there("key"));
}

/* Memtables are flushed up to behind the checkpoint, whose pages need the log from its begin on. */
static void what_pages_need_of_the_log_is_kept(void **state)
{
	int64_t node = 0;

	(void)state;
	close_store();
	for (uint64_t seed = 1; seed <= 8; seed++) {
		assert_int_equal(open_as(1, 32 << 10, /* salvage= */ false), 0);
		for (int64_t there = 0; there < node; there++)
			assert_int_equal(edge_has(store_pager(store), there, there * 7919), 0);
		for (unsigned round = 0; round < 20 + 3 * seed; round++, node++) {
			struct edge_key edge = {node, node * 7919};
			enum kv_need need;
			uint64_t lsn;
			int r;

			put("key", 30000);
			assert_int_equal(store_edge_add(store, edge), 0);
			while ((r = store_commit(store, STORE_SYNC, &lsn)) == STORE_E_BUSY)
				assert_int_equal(store_settle(store), 0);
			assert_int_equal(r, 0);
			assert_int_equal(store_sync(store), 0);
			assert_int_equal(store_work(store, clock_now_ns(), &need), 0);
			while (need == KV_NEED_JOB && (r = store_job(store)) == 0)
				;
		}
		crash(seed);
	}
	open_store();
}

static void when_what_was_written_is_kept_at_closing(void **state)
{
	size_t before, after;

	(void)state;
	put("key", 100);
	commit();
	close_store();
	uint8_t *bytes = faulty_file_bytes(disk, "history", &before);
	assert_non_null(bytes);
	open_store();
	put("key", 100);
	commit();
	close_store();
	uint8_t *more = faulty_file_bytes(disk, "history", &after);
	assert_non_null(more);
	assert_true(before != after || memcmp(bytes, more, after) != 0);
	free(bytes);
	free(more);
	open_store();
}

/* ---- what is left behind a crash ---- */

/* Whether the log has a Checkpoint record. */
static bool has_checkpoint(struct io *io)
{
	const struct wal_reader_options options = {0};
	struct wal_reader *reader;
	struct record record;
	bool found = false;

	assert_int_equal(wal_reader_open(io, &options, &reader, error, sizeof(error)), 0);
	while (wal_reader_next(reader, &record) == 0)
		found |= record.type == RECORD_CHECKPOINT;
	wal_reader_close(reader);
	return found;
}

static void a_checkpoint_that_is_named_is_in_the_log(void **state)
{
	enum kv_need need;
	unsigned turn = 0;

	(void)state;
	close_store();
	assert_int_equal(open_as(1, 1 << 20, /* salvage= */ false), 0);
	put("key", 100);
	commit();
	/* What memtables have has to be in tables first, which takes a job. */
	for (unsigned i = 0; i < 200; i++) {
		assert_int_equal(store_work(store, clock_now_ns(), &need), 0);
		pager_wait(store_pager(store));
		assert_int_equal(store_sync(store), 0);
	}
	assert_false(has_checkpoint(faulty_io(disk)));
	while (!ledger_state(store_ledger(store))->has_pages) {
		assert_true(turn++ < TURNS_MAX);
		assert_int_equal(store_work(store, clock_now_ns(), &need), 0);
		if (need == KV_NEED_JOB)
			(void)store_job(store);
	}
	struct faulty *copy = faulty_clone(disk, 1);
	faulty_restart(copy, 1);
	assert_true(has_checkpoint(faulty_io(copy)));
	faulty_free(copy);
}

static struct wal_place end_of_log(void)
{
	const struct wal_reader_options options = {0};
	struct wal_reader *reader;
	struct record record;
	int r;

	assert_int_equal(wal_reader_open(faulty_io(disk), &options, &reader, error, sizeof(error)),
			 0);
	do
		r = wal_reader_next(reader, &record);
	while (r == 0);
	assert_int_equal(r, WAL_READER_E_END);
	struct wal_place place = wal_reader_place(reader);
	wal_reader_close(reader);
	return place;
}

static void a_torn_end_is_cut(void **state)
{
	size_t size;

	(void)state;
	put("key", 10);
	commit();
	close_store();
	struct wal_place end = end_of_log();
	faulty_flip(disk, end.file, end.offset * 8 + 1);
	open_store();
	assert_true(store_stats(store).recovery.torn_lsn > 0);
	uint8_t *bytes = faulty_file_bytes(disk, end.file, &size);
	assert_non_null(bytes);
	assert_int_equal(bytes[end.offset], 0);
	free(bytes);
}

/* A hole took the end of the first: it is no part of the second. */
static void a_salvaged_log_joins_no_two_transactions(void **state)
{
	const struct wal_reader_options options = {0};
	struct wal_reader *reader;
	struct record record;
	struct wal_place place = {0};
	bool in_first = false;

	(void)state;
	put("a", 1);
	put("b", 1);
	commit();
	put("c", 1);
	put("d", 1);
	commit();
	crash(1);
	assert_int_equal(wal_reader_open(faulty_io(disk), &options, &reader, error, sizeof(error)),
			 0);
	/* Behind edge_open()'s transaction, which has no keys. */
	while (place.offset == 0 && wal_reader_next(reader, &record) == 0) {
		in_first |= record.type == RECORD_KV_SET;
		if (in_first && record.type == RECORD_TRANSACTION_COMMIT)
			place = wal_reader_place(reader);
	}
	wal_reader_close(reader);
	faulty_flip(disk, place.file, (place.offset + 12) * 8);
	assert_int_equal(open_as(0, 1 << 20, /* salvage= */ false), STORE_E_CORRUPT);
	assert_int_equal(open_as(0, 1 << 20, /* salvage= */ true), 0);
	assert_true(is_there("c"));
	assert_true(is_there("d"));
	assert_false(is_there("a"));
	assert_false(is_there("b"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(full_memtables_are_waited_for),
		CASE(pages_that_the_log_can_not_hold_are_refused),
		CASE(what_was_cleared_takes_no_room),
		CASE(opening_again_and_again_does_not_fill_the_folder),
		CASE(a_checkpoint_lets_go_all_that_is_behind_it),
		CASE(what_pages_need_of_the_log_is_kept),
		CASE(when_what_was_written_is_kept_at_closing),
		CASE(a_checkpoint_that_is_named_is_in_the_log),
		CASE(a_torn_end_is_cut),
		CASE(a_salvaged_log_joins_no_two_transactions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

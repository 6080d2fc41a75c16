/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/clock.h"
#include "engine/changes.h"
#include "engine/edge.h"
#include "engine/store.h"
#include "engine/wal_folder.h"
#include "tests/lib/faulty.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a store may not do: show halves, forget, go on for ever. */

/* More steps than anything here takes. */
#define STEPS_MAX 100000

static struct faulty *disk;
static struct store *store;
static char error[256];

/* What the store takes for the time, Unix seconds. */
static uint64_t seconds = 1000;

static uint64_t seconds_now(void *context)
{
	(void)context;
	return seconds;
}

static int open_with(uint32_t segment_size, bool salvage)
{
	const struct store_options options = {
		.create = true,
		.salvage = salvage,
		.wal = {.segment_size = segment_size, .buffer_size = segment_size / 2},
		.kv = {.memtable_size = 1 << 20, .clock = seconds_now},
	};

	return store_open(faulty_io(disk), &options, &store, error, sizeof(error));
}

static void open_store(void)
{
	assert_int_equal(open_with(1 << 20, /* salvage= */ false), 0);
}

static void close_store(void)
{
	assert_int_equal(store_close(store), 0);
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

static struct entry_bytes text(const char *string)
{
	return (struct entry_bytes){(const uint8_t *)string, (uint32_t)strlen(string)};
}

static void put(const char *key, struct entry_bytes value)
{
	struct store_put change = {.key = text(key), .value = value};

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
	struct entry entry;
	int rc = kv_get(store_kv(store), text(key), 0, 0, &entry);

	assert_true(rc == 0 || rc == KV_E_ABSENT);
	return rc == 0;
}

static void ignore(void *context, const char *line)
{
	(void)context;
	print_message("%s\n", line);
}

static void assert_sound(void)
{
	uint64_t faults;

	assert_int_equal(store_verify(store, ignore, NULL, &faults), 0);
	assert_int_equal(faults, 0);
}

/* The power goes and comes back. */
static void restart(uint64_t seed)
{
	faulty_restart(disk, seed);
	(void)store_close(store);
	io_free(faulty_io(disk));
	store = NULL;
}

static int open_small(void)
{
	const struct store_options options = {
		.create = true,
		.wal = {.segment_size = 1 << 20, .buffer_size = 1 << 19},
		.kv = {.memtable_size = 48 << 10, .clock = seconds_now},
	};

	return store_open(faulty_io(disk), &options, &store, error, sizeof(error));
}

/* Damages the youngest table, and returns its name. */
static const char *damage_table(void)
{
	static char name[IO_NAME_MAX + 1];
	char(*names)[IO_NAME_MAX + 1];
	uint32_t count = faulty_files(disk, &names);

	for (uint32_t i = 0; i < count; i++)
		if (strncmp(names[i], "table-", 6) == 0)
			memcpy(name, names[i], sizeof(name));
	free(names);
	faulty_flip(disk, name, 80);
	return name;
}

/* Changes of the key, until the store takes no more. */
static int put_until_held_up(const char *key)
{
	static const uint8_t bytes[8000];
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < 1000; i++) {
		uint64_t lsn;

		put(key, (struct entry_bytes){bytes, sizeof(bytes)});
		while ((rc = store_commit(store, STORE_SYNC, &lsn)) == STORE_E_BUSY)
			assert_int_equal(store_settle(store), 0);
	}
	return rc;
}

static void a_damaged_table_is_said_and_never_waited_for(void **state)
{
	uint64_t faults;

	(void)state;
	close_store();
	assert_int_equal(open_small(), 0);
	put("key", text("value"));
	commit();
	assert_int_equal(store_checkpoint(store), 0);
	const char *name = damage_table();
	assert_int_equal(put_until_held_up("key"), STORE_E_CORRUPT);
	assert_non_null(strstr(store_error(store), name));
	assert_non_null(strstr(store_error(store), "offset"));
	assert_int_equal(store_stats(store).damaged, 1);
	store_rollback(store);
	assert_int_equal(store_checkpoint(store), 0);
	assert_int_equal(store_verify(store, ignore, NULL, &faults), 0);
	assert_true(faults > 0);
	assert_true(is_there("key"));

	/* What was acknowledged is there again, however many tables wait. */
	restart(1);
	assert_int_equal(open_small(), 0);
	assert_true(is_there("key"));
	assert_int_equal(put_until_held_up("key"), STORE_E_CORRUPT);
	restart(2);
	faulty_flip(disk, name, 80);
	assert_int_equal(open_small(), 0);
	assert_int_equal(store_settle(store), 0);
	put("key", text("value"));
	commit();
	assert_sound();
}

static void a_crash_does_not_lengthen_a_values_life(void **state)
{
	struct store_put change = {.key = text("k"), .value = text("v"), .ttl_seconds = 60};

	(void)state;
	seconds = 1000;
	assert_int_equal(store_put(store, &change), 0);
	commit();
	assert_true(is_there("k"));
	seconds = 1059;
	restart(1);
	open_store();
	assert_true(is_there("k"));
	seconds = 1060;
	assert_false(is_there("k"));
	restart(2);
	open_store();
	assert_false(is_there("k"));
	seconds = 1000;
}

/* Checkpoints go on all the time, one step a change, and the log is let go behind them. */
static void what_changes_while_a_checkpoint_goes_on_is_there_after_a_crash(void **state)
{
	const struct store_options options = {
		.create = true,
		.log_size = 1,
		.wal = {.segment_size = 128 << 10, .buffer_size = 64 << 10, .recycle_max = 1},
		.kv = {.memtable_size = 1 << 20},
	};
	int64_t node = 0;

	(void)state;
	close_store();
	for (uint64_t seed = 1; seed <= 40; seed++) {
		assert_int_equal(
			store_open(faulty_io(disk), &options, &store, error, sizeof(error)), 0);
		for (int64_t there = 0; there < node; there++)
			assert_int_equal(edge_has(store_pager(store), there, there * 7919), 0);
		assert_sound();
		for (unsigned round = 0; round < 20 + seed % 13; round++, node++) {
			struct edge_key edge = {.source = node, .target = node * 7919};
			enum kv_need need;
			int rc;

			assert_int_equal(store_edge_add(store, edge), 0);
			commit();
			assert_int_equal(store_work(store, clock_now_ns(), &need), 0);
			rc = need == KV_NEED_JOB ? store_job(store) : 0;
			assert_true(rc == 0 || rc == STORE_E_IDLE);
		}
		assert_true(store_stats(store).checkpoint > 1);
		restart(seed);
	}
	open_store();
	assert_sound();
}

static void a_transaction_over_two_segments_is_seen_whole_or_not(void **state)
{
	static const uint8_t value[30000];
	unsigned splits = 0;

	(void)state;
	for (unsigned round = 0; round < 12; round++) {
		uint64_t segments = store_stats(store).wal.segments;
		uint64_t lsn;

		for (char key[] = "a"; key[0] < 'i'; key[0]++)
			put(key, (struct entry_bytes){value, sizeof(value)});
		assert_int_equal(store_commit(store, STORE_SYNC, &lsn), 0);
		for (unsigned step = 0; !store_is_done(store, lsn); step++) {
			/* A begin and eight changes come before the commit. */
			assert_true(kv_visible(store_kv(store)) < lsn - 9);
			assert_true(kv_durable(store_kv(store)) < lsn - 9);
			assert_true(step < STEPS_MAX);
			assert_int_equal(store_poll(store, clock_now_ns()), 0);
		}
		assert_int_equal(kv_visible(store_kv(store)), lsn);
		splits += store_stats(store).wal.segments > segments;
	}
	assert_true(splits > 1);
}

static void an_edge_for_whose_key_there_is_no_room_is_not_there(void **state)
{
	const struct edge_key edge = {1, 2};

	(void)state;
	close_store();
	assert_int_equal(open_with(32 << 20, /* salvage= */ false), 0);
	for (unsigned i = 0; i < CHANGES_COUNT_MAX; i++)
		put("key", text("value"));
	assert_int_equal(store_edge_add(store, edge), STORE_E_SIZE);
	commit();
	assert_sound();
	assert_int_equal(store_edge_add(store, edge), 0);
	commit();
	for (unsigned i = 0; i < CHANGES_COUNT_MAX; i++)
		put("key", text("value"));
	assert_int_equal(store_edge_remove(store, edge), STORE_E_SIZE);
	commit();
	assert_sound();
	assert_int_equal(edge_has(store_pager(store), 1, 2), 0);
}

static void a_checkpoint_does_not_wait_for_an_edge_that_is_staged(void **state)
{
	(void)state;
	assert_int_equal(store_edge_add(store, (struct edge_key){1, 2}), 0);
	assert_int_equal(store_checkpoint(store), STORE_E_BUSY);
	commit();
	assert_int_equal(store_checkpoint(store), 0);
	assert_sound();
}

static void a_commit_that_failed_leaves_nothing_in_the_log(void **state)
{
	uint64_t lsn;

	(void)state;
	assert_int_equal(store_edge_add(store, (struct edge_key){1, 2}), 0);
	commit();
	assert_int_equal(store_checkpoint(store), 0);
	close_store();
	faulty_flip(disk, PAGER_FILE, (EDGE_EDGE_ROOT * 4096 + 40) * 8);
	open_store();
	put("key", text("value"));
	assert_int_equal(store_edge_add(store, (struct edge_key){2, 1}), STORE_E_CORRUPT);
	assert_int_equal(store_commit(store, STORE_SYNC, &lsn), -ECANCELED);
	store_rollback(store);
	assert_false(is_there("key"));
	close_store();
	open_store();
	assert_false(is_there("key"));
}

static void remove_log(void)
{
	char(*names)[IO_NAME_MAX + 1];
	uint32_t count = faulty_files(disk, &names);

	for (uint32_t i = 0; i < count; i++)
		if (strncmp(names[i], "wal-", 4) == 0)
			assert_int_equal(io_remove(faulty_io(disk), names[i]), 0);
	free(names);
}

/* Into a table, without a checkpoint. */
static void flush(void)
{
	enum kv_need need = KV_NEED_WORK;

	assert_int_equal(kv_flush(store_kv(store)), 0);
	while (need != KV_NEED_NOTHING) {
		assert_int_equal(store_work(store, clock_now_ns(), &need), 0);
		if (need == KV_NEED_JOB)
			assert_int_equal(store_job(store), 0);
	}
}

static void a_log_that_stopped_takes_no_transaction(void **state)
{
	uint64_t lsn;

	(void)state;
	put("key", text("value"));
	assert_int_equal(store_commit(store, STORE_SYNC, &lsn), 0);
	faulty_fail_sync(disk, 1);
	assert_int_equal(store_sync(store), STORE_E_STOPPED);
	for (unsigned i = 0; i < 2; i++) {
		put("another", text("value"));
		put("third", text("value"));
		if (i == 1)
			assert_int_equal(store_edge_add(store, (struct edge_key){1, 2}), 0);
		assert_int_equal(store_commit(store, STORE_SYNC, &lsn), STORE_E_STOPPED);
		store_rollback(store);
	}
	restart(1);
	open_store();
	assert_false(is_there("another"));
}

static void a_log_that_ends_before_the_tables_is_refused(void **state)
{
	(void)state;
	put("key", text("value"));
	uint64_t lsn = commit();
	flush();
	assert_true(kv_flushed(store_kv(store)) >= lsn);
	close_store();
	remove_log();
	assert_int_equal(open_with(1 << 20, /* salvage= */ false), STORE_E_CORRUPT);
	assert_true(error[0] != '\0');
	io_free(faulty_io(disk));
	assert_int_equal(open_with(1 << 20, /* salvage= */ true), 0);
	assert_true(is_there("key"));
	put("another", text("value"));
	assert_true(commit() > lsn);
	assert_true(is_there("another"));
	close_store();
	open_store();
	assert_true(is_there("another"));
}

static void names_that_no_store_gives_are_not_counted_on(void **state)
{
	(void)state;
	put("key", text("value"));
	commit();
	flush();
	close_store();
	faulty_file_set(disk, "wal-ffffffff", "", 0);
	faulty_file_set(disk, "table-ffffffffffffffff", "", 0);
	open_store();
	put("another", text("value"));
	commit();
	flush();
	close_store();
	open_store();
	assert_true(is_there("key"));
	assert_true(is_there("another"));
	assert_sound();
}

/* In the middle of the log's second segment. */
static void damage_log(void)
{
	size_t size;
	uint8_t *bytes = faulty_file_bytes(disk, "wal-00000002", &size);

	assert_non_null(bytes);
	free(bytes);
	faulty_flip(disk, "wal-00000002", 6000 * 8);
}

static void a_log_is_salvaged_once(void **state)
{
	char key[8];

	(void)state;
	close_store();
	open_store();
	for (unsigned i = 0; i < 100; i++) {
		snprintf(key, sizeof(key), "k%02u", i);
		put(key, text("value"));
		assert_int_equal(store_edge_add(store, (struct edge_key){i, i + 1}), 0);
		commit();
	}
	close_store();
	damage_log();
	assert_int_equal(open_with(1 << 20, /* salvage= */ false), STORE_E_CORRUPT);
	io_free(faulty_io(disk));
	assert_int_equal(open_with(1 << 20, /* salvage= */ true), 0);
	close_store();
	open_store();
	assert_true(is_there("k00"));
}

/* Opens the store, whose segment was removed: refused by its name, and salvaged. */
static void lose_segment(const char *name, const char *said)
{
	assert_int_equal(io_remove(faulty_io(disk), name), 0);
	assert_int_equal(open_with(1 << 20, /* salvage= */ false), STORE_E_CORRUPT);
	io_free(faulty_io(disk));
	if (strstr(error, said) == NULL)
		fail_msg("%s", error);
	assert_int_equal(open_with(1 << 20, /* salvage= */ true), 0);
	struct store_recovery recovery = store_stats(store).recovery;
	assert_true(recovery.missing > 0 || recovery.salvaged_bytes == 1 << 20);
	close_store();
	open_store();
}

static void a_log_without_its_beginning_is_refused_and_salvaged(void **state)
{
	(void)state;
	put("first", text("value"));
	commit();
	close_store();
	open_store();
	put("second", text("value"));
	commit();
	close_store();
	lose_segment("wal-00000001", "wal-00000002 at offset 0: the log begins with LSN");
	assert_false(is_there("first"));
	assert_true(is_there("second"));
	assert_sound();
}

static void a_log_without_its_middle_is_refused_and_salvaged(void **state)
{
	static const char *const keys[] = {"first", "second", "third"};

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		put(keys[i], text("value"));
		commit();
		close_store();
		open_store();
	}
	close_store();
	lose_segment("wal-00000002", "no record of LSN");
	assert_true(is_there("first"));
	assert_false(is_there("second"));
	assert_true(is_there("third"));
	assert_sound();
}

/* The begun segment with the highest number. */
static const char *newest_segment(void)
{
	static char name[IO_NAME_MAX + 1];

	wal_folder_name(wal_position(store_wal(store)).segment, name);
	return name;
}

/* What was acknowledged in it is gone, and the store knows that it was there. */
static void a_log_without_its_end_is_refused_and_salvaged(void **state)
{
	char name[IO_NAME_MAX + 1], said[2 * IO_NAME_MAX];
	uint64_t lsn;

	(void)state;
	put("first", text("value"));
	commit();
	close_store();
	open_store();
	snprintf(name, sizeof(name), "%s", newest_segment());
	put("second", text("value"));
	lsn = commit();
	restart(1);
	snprintf(said, sizeof(said), "%s is missing", name);
	lose_segment(name, said);
	assert_true(is_there("first"));
	assert_false(is_there("second"));
	put("third", text("value"));
	assert_true(commit() > lsn);
	assert_sound();
}

static void a_log_whose_end_is_cut_off_is_refused_and_salvaged(void **state)
{
	char name[IO_NAME_MAX + 1];
	size_t size;

	(void)state;
	put("first", text("value"));
	commit();
	snprintf(name, sizeof(name), "%s", newest_segment());
	uint64_t lsn = commit();
	put("second", text("value"));
	commit();
	restart(1);
	uint8_t *bytes = faulty_file_bytes(disk, name, &size);
	faulty_file_set(disk, name, bytes, 4096);
	free(bytes);
	assert_int_equal(open_with(1 << 20, /* salvage= */ false), STORE_E_CORRUPT);
	io_free(faulty_io(disk));
	assert_non_null(strstr(error, name));
	assert_non_null(strstr(error, "4096 bytes of 1048576"));
	assert_int_equal(open_with(1 << 20, /* salvage= */ true), 0);
	close_store();
	open_store();
	put("third", text("value"));
	assert_true(commit() > lsn);
	assert_sound();
}

/* A segment that was begun while the store ran. */
static void a_segment_that_was_begun_later_is_known_too(void **state)
{
	static const uint8_t value[30000];
	char name[IO_NAME_MAX + 1], said[2 * IO_NAME_MAX];

	(void)state;
	snprintf(name, sizeof(name), "%s", newest_segment());
	while (strcmp(name, newest_segment()) == 0) {
		put("key", (struct entry_bytes){value, sizeof(value)});
		commit();
	}
	assert_int_equal(store_settle(store), 0);
	snprintf(name, sizeof(name), "%s", newest_segment());
	restart(1);
	snprintf(said, sizeof(said), "%s is missing", name);
	lose_segment(name, said);
	assert_sound();
}

/* The ledger knows how far a log went that was closed: its last records are no torn end. */
static void rot_of_what_was_written_last_is_known_once_the_store_is_closed(void **state)
{
	char name[IO_NAME_MAX + 1];
	size_t size;

	(void)state;
	put("first", text("value"));
	commit();
	put("last", text("the last value"));
	commit();
	snprintf(name, sizeof(name), "%s", newest_segment());
	close_store();
	uint8_t *bytes = faulty_file_bytes(disk, name, &size);
	uint8_t *found = memmem(bytes, size, "the last value", 14);
	assert_non_null(found);
	memset(found, 'x', 1000); /* the Durable record behind it, too */
	faulty_file_set(disk, name, bytes, size);
	free(bytes);
	assert_int_equal(open_with(1 << 20, /* salvage= */ false), STORE_E_CORRUPT);
	io_free(faulty_io(disk));
	assert_non_null(strstr(error, "was durable"));
	assert_non_null(strstr(error, name));
	assert_int_equal(open_with(1 << 20, /* salvage= */ true), 0);
	assert_true(is_there("first"));
	assert_false(is_there("last"));
}

static void what_recovery_can_not_do_is_said(void **state)
{
	struct record record = {.type = RECORD_TABLE_INGEST, .ingest = {.table = 99, .entries = 1}};

	(void)state;
	put("key", text("value"));
	commit();
	assert_int_equal(wal_append(store_wal(store), &record), 0);
	put("behind", text("value"));
	commit();
	assert_int_equal(store_close(store), 0);
	store = NULL;
	io_free(faulty_io(disk));
	assert_int_not_equal(open_with(1 << 20, /* salvage= */ false), 0);
	assert_true(error[0] != '\0');
	io_free(faulty_io(disk));
}

/* The machine was reset. */
static void crash(void)
{
	faulty_restart(disk, 1);
	(void)store_close(store);
	open_store();
}

static void what_follows_half_a_transaction_is_not_a_part_of_it(void **state)
{
	static const uint8_t value[30000];
	uint64_t lsn;

	(void)state;
	/* Until one's second segment is begun, behind the first part. */
	do {
		uint64_t segments = store_stats(store).wal.segments;

		for (char key[] = "a"; key[0] < 'i'; key[0]++)
			put(key, (struct entry_bytes){value, sizeof(value)});
		assert_int_equal(store_commit(store, STORE_SYNC, &lsn), 0);
		while (!store_is_done(store, lsn) && store_stats(store).wal.segments == segments)
			assert_int_equal(store_poll(store, clock_now_ns()), 0);
	} while (store_is_done(store, lsn));
	crash();
	assert_true(store_stats(store).recovery.dropped > 0);
	put("behind", text("value"));
	commit();
	crash();
	assert_true(is_there("behind"));
}

static void a_change_is_seen_when_it_is_acknowledged(void **state)
{
	uint64_t lsn;

	(void)state;
	put("key", text("value"));
	commit();
	put("synced", text("value"));
	assert_int_equal(store_commit(store, STORE_SYNC, &lsn), 0);
	assert_false(store_is_done(store, lsn));
	assert_false(is_there("synced"));
	commit();
	assert_true(store_is_done(store, lsn));
	assert_true(is_there("synced"));
	put("later", text("value"));
	assert_int_equal(store_commit(store, STORE_NONE, &lsn), 0);
	assert_true(is_there("later"));
	assert_false(store_is_done(store, lsn));
}

static void closing_makes_durable_what_was_acknowledged(void **state)
{
	uint64_t lsn;

	(void)state;
	put("key", text("value"));
	assert_int_equal(store_commit(store, STORE_NONE, &lsn), 0);
	put("staged", text("value"));
	assert_int_equal(store_close(store), 0);
	io_free(faulty_io(disk));
	faulty_restart(disk, 1);
	open_store();
	assert_true(is_there("key"));
	assert_false(is_there("staged"));
}

static bool poll_until_done(uint64_t lsn, uint64_t now_ns)
{
	for (unsigned step = 0; step < 1000 && !store_is_done(store, lsn); step++)
		assert_int_equal(store_poll(store, now_ns), 0);
	return store_is_done(store, lsn);
}

static void a_group_is_synced_when_its_time_is_over(void **state)
{
	const uint64_t now_ns = 5 * NS_PER_S;
	uint64_t lsn;

	(void)state;
	put("key", text("value"));
	assert_int_equal(store_commit(store, STORE_GROUP, &lsn), 0);
	assert_false(poll_until_done(lsn, now_ns));
	assert_false(poll_until_done(lsn, now_ns + 2 * NS_PER_MS - 1));
	assert_true(poll_until_done(lsn, now_ns + 2 * NS_PER_MS));
}

static void a_full_disk_is_waited_for(void **state)
{
	static const uint8_t value[60000];
	uint64_t lsn;

	(void)state;
	faulty_set_capacity(disk, 4096);
	do {
		put("key", (struct entry_bytes){value, sizeof(value)});
		assert_int_equal(store_commit(store, STORE_SYNC, &lsn), 0);
	} while (poll_until_done(lsn, 1));
	assert_int_equal(store_sync(store), -ENOSPC);
	faulty_set_capacity(disk, 0);
	assert_true(poll_until_done(lsn, 1));
	assert_int_equal(store_sync(store), 0);
}

static void the_log_of_another_store_is_refused(void **state)
{
	size_t size;
	uint8_t *bytes;

	(void)state;
	put("key", text("value"));
	commit();
	close_store();
	bytes = faulty_file_bytes(disk, "wal-00000001", &size);
	assert_non_null(bytes);
	faulty_free(disk);
	disk = faulty_new(2);
	open_store();
	close_store();
	faulty_file_set(disk, "wal-00000001", bytes, size);
	free(bytes);
	assert_int_equal(open_with(1 << 20, /* salvage= */ false), STORE_E_CORRUPT);
	io_free(faulty_io(disk));
}

static void a_store_that_is_open_elsewhere_is_refused(void **state)
{
	(void)state;
	close_store();
	faulty_set_locked(disk, true);
	assert_int_equal(open_with(1 << 20, /* salvage= */ false), STORE_E_LOCKED);
	assert_true(error[0] != '\0');
	io_free(faulty_io(disk));
	faulty_set_locked(disk, false);
	open_store();
}

static void what_is_rolled_back_is_not_there(void **state)
{
	const struct edge_key edge = {1, 2};

	(void)state;
	put("key", text("value"));
	uint64_t lsn = commit();
	assert_int_equal(store_edge_add(store, edge), 0);
	put("another", text("value"));
	store_rollback(store);
	assert_int_equal(edge_has(store_pager(store), 1, 2), EDGE_E_ABSENT);
	assert_int_equal(store_edge_remove(store, edge), STORE_E_ABSENT);
	assert_int_equal(commit(), lsn);
	assert_int_equal(store_edge_add(store, edge), 0);
	lsn = commit();
	assert_int_equal(store_edge_add(store, edge), STORE_E_EXISTS);
	assert_int_equal(commit(), lsn);
	assert_sound();
}

static void keys_and_types_of_tern_are_refused(void **state)
{
	struct store_put own = {.key = {(const uint8_t *)"\0e", 2}};
	struct store_put edge = {.key = text("key"), .type = 128};

	(void)state;
	assert_int_equal(store_put(store, &own), STORE_E_INVALID);
	assert_int_equal(store_put(store, &edge), STORE_E_INVALID);
	assert_int_equal(store_delete(store, own.key), STORE_E_INVALID);
	assert_int_equal(store_delete_range(store, own.key, text("z")), STORE_E_INVALID);
	assert_int_equal(store_delete_range(store, text("z"), text("z")), STORE_E_INVALID);
}

/* All pages that may be; they go to the disk a batch at a time. */
static void write_pages(struct pager *pager)
{
	for (unsigned turn = 0; turn < 10; turn++) {
		assert_int_equal(pager_work(pager, UINT32_MAX), 0);
		pager_wait(pager);
	}
	assert_int_equal(pager_work(pager, UINT32_MAX), 0);
}

static void no_page_is_ahead_of_the_log(void **state)
{
	struct pager *pager = store_pager(store);
	uint64_t lsn;

	(void)state;
	assert_int_equal(store_sync(store), 0);
	write_pages(pager);
	assert_int_equal(pager_stats(pager).dirty, 0);
	assert_int_equal(store_edge_add(store, (struct edge_key){1, 2}), 0);
	assert_int_equal(store_commit(store, STORE_NONE, &lsn), 0);
	uint64_t dirty = pager_stats(pager).dirty;
	assert_true(dirty > 0);
	write_pages(pager);
	assert_int_equal(pager_stats(pager).dirty, dirty);
	assert_int_equal(store_sync(store), 0);
	write_pages(pager);
	assert_int_equal(pager_stats(pager).dirty, 0);
}

static void what_may_wait_is_flushed_when_it_is_in_the_way(void **state)
{
	static const uint8_t value[60000];
	uint64_t lsn;
	int rc;

	(void)state;
	do {
		put("key", (struct entry_bytes){value, sizeof(value)});
		rc = store_commit(store, STORE_NONE, &lsn);
	} while (rc == 0);
	assert_int_equal(rc, STORE_E_BUSY);
	for (unsigned step = 0; rc == STORE_E_BUSY && step < STEPS_MAX; step++) {
		assert_int_equal(store_poll(store, 1), 0);
		rc = store_commit(store, STORE_NONE, &lsn);
	}
	assert_int_equal(rc, 0);
}

/* What a process that ended in the midst of a flush or compaction left. */
static void files_that_nothing_names_go_at_the_opening(void **state)
{
	char table[IO_NAME_MAX + 1], blob[IO_NAME_MAX + 1], kept[IO_NAME_MAX + 1];
	size_t size;

	(void)state;
	put("a", text("1"));
	commit();
	assert_int_equal(store_checkpoint(store), 0);
	assert_int_equal(ledger_state(store_ledger(store))->table_count, 1);
	kv_table_name(ledger_state(store_ledger(store))->tables[0].number, kept);
	kv_table_name(ledger_next_file(store_ledger(store)), table);
	kv_blob_name(ledger_next_file(store_ledger(store)), blob);
	close_store();
	faulty_file_set(disk, table, "left", 4);
	faulty_file_set(disk, blob, "left", 4);
	open_store();
	assert_null(faulty_file_bytes(disk, table, &size));
	assert_null(faulty_file_bytes(disk, blob, &size));
	uint8_t *bytes = faulty_file_bytes(disk, kept, &size);
	assert_non_null(bytes);
	free(bytes);
	assert_true(is_there("a"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_crash_does_not_lengthen_a_values_life),
		CASE(what_changes_while_a_checkpoint_goes_on_is_there_after_a_crash),
		CASE(a_transaction_over_two_segments_is_seen_whole_or_not),
		CASE(an_edge_for_whose_key_there_is_no_room_is_not_there),
		CASE(a_checkpoint_does_not_wait_for_an_edge_that_is_staged),
		CASE(a_commit_that_failed_leaves_nothing_in_the_log),
		CASE(a_log_that_stopped_takes_no_transaction),
		CASE(a_log_that_ends_before_the_tables_is_refused),
		CASE(names_that_no_store_gives_are_not_counted_on),
		CASE(a_log_is_salvaged_once),
		CASE(a_log_without_its_beginning_is_refused_and_salvaged),
		CASE(a_log_without_its_middle_is_refused_and_salvaged),
		CASE(a_log_without_its_end_is_refused_and_salvaged),
		CASE(a_log_whose_end_is_cut_off_is_refused_and_salvaged),
		CASE(a_segment_that_was_begun_later_is_known_too),
		CASE(rot_of_what_was_written_last_is_known_once_the_store_is_closed),
		CASE(what_recovery_can_not_do_is_said),
		CASE(what_follows_half_a_transaction_is_not_a_part_of_it),
		CASE(a_change_is_seen_when_it_is_acknowledged),
		CASE(closing_makes_durable_what_was_acknowledged),
		CASE(a_group_is_synced_when_its_time_is_over),
		CASE(a_full_disk_is_waited_for),
		CASE(the_log_of_another_store_is_refused),
		CASE(a_store_that_is_open_elsewhere_is_refused),
		CASE(a_damaged_table_is_said_and_never_waited_for),
		CASE(what_is_rolled_back_is_not_there),
		CASE(keys_and_types_of_tern_are_refused),
		CASE(no_page_is_ahead_of_the_log),
		CASE(what_may_wait_is_flushed_when_it_is_in_the_way),
		CASE(files_that_nothing_names_go_at_the_opening),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/kv.h"

#include "base/byteorder.h"
#include "engine/merge_op.h"
#include "tests/lib/faulty.h"
#include "tests/lib/kv_rig.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fixture {
	struct faulty *disk;
	struct kv_rig rig;
};

static void open_rig(struct fixture *fixture)
{
	int result = kv_rig_open(&fixture->rig);

	if (result)
		fail_msg("%d: %s", result, fixture->rig.error);
}

static void begin(struct fixture *fixture)
{
	fixture->disk = faulty_new(1);
	kv_rig_init(&fixture->rig, faulty_io(fixture->disk));
	open_rig(fixture);
}

static void end(struct fixture *fixture)
{
	kv_rig_deinit(&fixture->rig);
	faulty_free(fixture->disk);
}

static void reopen(struct fixture *fixture)
{
	kv_rig_close(&fixture->rig);
	open_rig(fixture);
}

static void work(struct fixture *fixture)
{
	assert_int_equal(kv_rig_work(&fixture->rig), 0);
}

static void flush(struct fixture *fixture)
{
	assert_int_equal(kv_flush(fixture->rig.kv), 0);
	work(fixture);
}

static void check(struct fixture *fixture)
{
	int result = kv_rig_check(&fixture->rig, kv_visible(fixture->rig.kv));

	if (result)
		fail_msg("%d: %s", result, fixture->rig.error);
}

/* Changes of the model's key 'index'. */
static void change(struct fixture *fixture, enum record_type type, uint64_t index,
		   const void *value, uint32_t size, uint64_t ttl)
{
	uint8_t key[16];
	const struct kv_change made = {
		.type = type,
		.key = key,
		.key_size = kv_rig_key(index, key),
		.value = (uint8_t *)(uintptr_t)value,
		.value_size = size,
		.value_type = type == RECORD_KV_MERGE ? MERGE_OP_APPEND : 7,
		.timestamp = fixture->rig.now,
		.ttl = ttl,
	};

	assert_int_equal(kv_rig_put(&fixture->rig, &made), 0);
}

static void put(struct fixture *fixture, uint64_t index, const char *value)
{
	change(fixture, RECORD_KV_SET, index, value, (uint32_t)strlen(value), 0);
}

static void merge(struct fixture *fixture, uint64_t index, const char *operand)
{
	change(fixture, RECORD_KV_MERGE, index, operand, (uint32_t)strlen(operand), 0);
}

/* A value that goes to a blob file, and that zstd can't make smaller. */
static void put_large(struct fixture *fixture, uint64_t index, uint64_t seed)
{
	static uint8_t value[8000];
	struct rand rand;

	rand_init(&rand, seed);
	for (size_t i = 0; i < sizeof(value); i++)
		value[i] = (uint8_t)rand_next(&rand);
	change(fixture, RECORD_KV_SET, index, value, sizeof(value), 0);
}

static int get(struct fixture *fixture, uint64_t index, unsigned flags, struct entry *ret_entry)
{
	uint8_t key[16];
	uint32_t size = kv_rig_key(index, key);

	return kv_get(fixture->rig.kv, (struct entry_bytes){.bytes = key, .size = size}, 0, flags,
		      ret_entry);
}

static void assert_value(struct fixture *fixture, uint64_t index, const char *value)
{
	struct entry entry;

	assert_int_equal(get(fixture, index, 0, &entry), 0);
	assert_int_equal(entry.value.size, strlen(value));
	assert_memory_equal(entry.value.bytes, value, entry.value.size);
}

static void assert_absent(struct fixture *fixture, uint64_t index)
{
	struct entry entry;

	assert_int_equal(get(fixture, index, 0, &entry), KV_E_ABSENT);
}

static uint32_t count_files(struct fixture *fixture, const char *prefix)
{
	char(*names)[IO_NAME_MAX + 1];
	uint32_t count = faulty_files(fixture->disk, &names), found = 0;

	for (uint32_t i = 0; i < count; i++)
		found += strncmp(names[i], prefix, strlen(prefix)) == 0;
	free(names);
	return found;
}

/* The number of versions in memtables and tables. */
static uint64_t count_versions(struct fixture *fixture)
{
	struct kv_view *view;
	uint64_t count = 0;

	assert_int_equal(kv_view_open(fixture->rig.kv, &view), 0);
	for (uint32_t i = 0; i < kv_view_count(view); i++) {
		struct kv_source source = kv_view_source(view, i);

		if (source.table)
			count += table_summary(source.table)->entries;
	}
	kv_view_close(view);
	return count;
}

static void forget_history(struct fixture *fixture)
{
	kv_set_floor(fixture->rig.kv, kv_visible(fixture->rig.kv) + 1);
}

static void compact(struct fixture *fixture)
{
	kv_compact(fixture->rig.kv);
	work(fixture);
}

static void keys_and_values_that_are_none_are_refused(void **state)
{
	struct fixture fixture;
	static uint8_t bytes[ENTRY_VALUE_MAX + 1];
	struct record record = {.type = RECORD_KV_SET, .lsn = 1};

	(void)state;
	begin(&fixture);
	assert_int_equal(kv_apply(fixture.rig.kv, &record, false), KV_E_INVALID);
	record.kv.key = (struct record_bytes){.bytes = bytes, .size = ENTRY_KEY_MAX + 1};
	assert_int_equal(kv_apply(fixture.rig.kv, &record, false), KV_E_INVALID);
	record.kv.key.size = 1;
	record.kv.value = (struct record_bytes){.bytes = bytes, .size = ENTRY_VALUE_MAX + 1};
	assert_int_equal(kv_apply(fixture.rig.kv, &record, false), KV_E_INVALID);
	record.type = RECORD_KV_RANGE_DELETE;
	record.kv.end = record.kv.key;
	assert_int_equal(kv_apply(fixture.rig.kv, &record, false), KV_E_INVALID);
	end(&fixture);
}

static void a_snapshot_sees_what_was(void **state)
{
	struct fixture fixture;
	uint64_t snapshot;
	struct entry entry;

	(void)state;
	begin(&fixture);
	put(&fixture, 1, "old");
	assert_int_equal(kv_snapshot(fixture.rig.kv, &snapshot), 0);
	put(&fixture, 1, "new");
	flush(&fixture);
	forget_history(&fixture);
	compact(&fixture);
	assert_value(&fixture, 1, "new");
	uint8_t key[16];
	struct entry_bytes bytes = {.bytes = key, .size = kv_rig_key(1, key)};
	assert_int_equal(kv_get(fixture.rig.kv, bytes, snapshot, 0, &entry), 0);
	assert_memory_equal(entry.value.bytes, "old", 3);
	assert_int_equal(count_versions(&fixture), 2);
	kv_snapshot_release(fixture.rig.kv, snapshot);
	compact(&fixture);
	assert_int_equal(count_versions(&fixture), 1);
	end(&fixture);
}

static void there_are_only_so_many_snapshots(void **state)
{
	struct fixture fixture;
	uint64_t seqno;

	(void)state;
	begin(&fixture);
	for (unsigned i = 0; i < KV_SNAPSHOT_MAX; i++)
		assert_int_equal(kv_snapshot(fixture.rig.kv, &seqno), 0);
	assert_int_equal(kv_snapshot(fixture.rig.kv, &seqno), -ENOSPC);
	kv_snapshot_release(fixture.rig.kv, seqno);
	assert_int_equal(kv_snapshot(fixture.rig.kv, &seqno), 0);
	end(&fixture);
}

/* Nothing that the log may still take back gets into a file. */
static void what_is_not_durable_is_not_flushed(void **state)
{
	struct fixture fixture;
	struct record record = {.type = RECORD_KV_SET, .lsn = 1};
	enum kv_need need;

	(void)state;
	begin(&fixture);
	record.kv.key = (struct record_bytes){.bytes = (const uint8_t *)"k", .size = 1};
	assert_int_equal(kv_apply(fixture.rig.kv, &record, false), 0);
	assert_int_equal(kv_flush(fixture.rig.kv), 0);
	assert_int_equal(kv_work(fixture.rig.kv, &need), 0);
	assert_int_equal(need, KV_NEED_NOTHING);
	assert_int_equal(kv_flushed(fixture.rig.kv), 0);
	kv_set_durable(fixture.rig.kv, 1);
	assert_int_equal(kv_rig_work(&fixture.rig), 0);
	assert_int_equal(kv_flushed(fixture.rig.kv), 1);
	end(&fixture);
}

static void writers_are_held_up_until_there_is_room(void **state)
{
	struct fixture fixture;
	uint8_t value[1000] = {0};
	struct record record = {.type = RECORD_KV_SET, .lsn = 1};
	int result;

	(void)state;
	begin(&fixture);
	record.kv.key = (struct record_bytes){.bytes = (const uint8_t *)"k", .size = 1};
	record.kv.value = (struct record_bytes){.bytes = value, .size = sizeof(value)};
	while (!(result = kv_apply(fixture.rig.kv, &record, false)))
		record.lsn++;
	assert_int_equal(result, KV_E_BUSY);
	assert_int_equal(kv_room(fixture.rig.kv), KV_E_BUSY);
	kv_set_durable(fixture.rig.kv, record.lsn);
	assert_int_equal(kv_rig_work(&fixture.rig), 0);
	assert_int_equal(kv_room(fixture.rig.kv), 0);
	assert_int_equal(kv_apply(fixture.rig.kv, &record, false), 0);
	end(&fixture);
}

static void a_transaction_is_never_cut_by_a_seal(void **state)
{
	struct fixture fixture;
	uint8_t value[4000] = {0};
	struct record record = {.type = RECORD_KV_SET};
	struct kv_view *view;

	(void)state;
	begin(&fixture);
	record.kv.key = (struct record_bytes){.bytes = (const uint8_t *)"k", .size = 1};
	record.kv.value = (struct record_bytes){.bytes = value, .size = sizeof(value)};
	for (record.lsn = 1; record.lsn <= 100; record.lsn++)
		assert_int_equal(kv_apply(fixture.rig.kv, &record, record.lsn < 100), 0);
	assert_int_equal(kv_view_open(fixture.rig.kv, &view), 0);
	assert_int_equal(kv_view_count(view), 1);
	kv_view_close(view);
	end(&fixture);
}

static void records_of_pages_let_the_log_go(void **state)
{
	struct fixture fixture;
	const struct record record = {.type = RECORD_PAGE_ALLOCATE, .lsn = 5};

	(void)state;
	begin(&fixture);
	assert_int_equal(kv_apply(fixture.rig.kv, &record, false), 0);
	assert_int_equal(kv_flushed(fixture.rig.kv), 0);
	kv_set_durable(fixture.rig.kv, 5);
	assert_int_equal(kv_flushed(fixture.rig.kv), 5);
	end(&fixture);
}

static void an_expired_value_is_gone_and_so_are_its_bytes(void **state)
{
	struct fixture fixture;

	(void)state;
	begin(&fixture);
	change(&fixture, RECORD_KV_SET, 1, "x", 1, 10);
	put(&fixture, 3, "stays");
	assert_value(&fixture, 1, "x");
	fixture.rig.now += 10;
	assert_absent(&fixture, 1);
	forget_history(&fixture);
	compact(&fixture);
	assert_int_equal(count_versions(&fixture), 1);
	assert_value(&fixture, 3, "stays");
	end(&fixture);
}

static void operands_are_folded_when_history_lets_them(void **state)
{
	struct fixture fixture;

	(void)state;
	begin(&fixture);
	put(&fixture, 1, "a");
	merge(&fixture, 1, "b");
	flush(&fixture);
	merge(&fixture, 1, "c");
	compact(&fixture);
	assert_value(&fixture, 1, "abc");
	assert_int_equal(count_versions(&fixture), 3);
	assert_int_equal(kv_history(fixture.rig.kv), 1);
	forget_history(&fixture);
	compact(&fixture);
	assert_value(&fixture, 1, "abc");
	assert_int_equal(count_versions(&fixture), 1);
	assert_int_equal(kv_history(fixture.rig.kv), 4);
	reopen(&fixture);
	assert_int_equal(kv_history(fixture.rig.kv), 4);
	assert_value(&fixture, 1, "abc");
	end(&fixture);
}

static void operands_outlive_a_base_that_expires(void **state)
{
	struct fixture fixture;

	(void)state;
	begin(&fixture);
	change(&fixture, RECORD_KV_SET, 1, "a", 1, 10);
	merge(&fixture, 1, "b");
	forget_history(&fixture);
	compact(&fixture);
	assert_value(&fixture, 1, "ab");
	fixture.rig.now += 10;
	assert_value(&fixture, 1, "b");
	compact(&fixture);
	assert_value(&fixture, 1, "b");
	end(&fixture);
}

static void an_operator_that_is_not_there_is_said_and_nothing_is_lost(void **state)
{
	struct fixture fixture;
	struct entry entry;
	const struct kv_change made = {.type = RECORD_KV_MERGE,
				       .key = (uint8_t *)"k01-abcdef",
				       .key_size = 10,
				       .value = (uint8_t *)"z",
				       .value_size = 1,
				       .value_type = 200};

	(void)state;
	begin(&fixture);
	put(&fixture, 1, "a");
	assert_int_equal(kv_rig_put(&fixture.rig, &made), 0);
	forget_history(&fixture);
	compact(&fixture);
	assert_int_equal(get(&fixture, 1, 0, &entry), KV_E_OPERATOR);
	assert_string_equal(kv_error(fixture.rig.kv), "merge operator 200: it isn't registered");
	assert_int_equal(count_versions(&fixture), 2);
	end(&fixture);
}

/* A value that a record doesn't hold lies in a blob file. */
static void operands_may_make_a_value_larger_than_a_record(void **state)
{
	static char operand[400 << 10];
	struct fixture fixture;
	struct entry entry;

	(void)state;
	begin(&fixture);
	memset(operand, 'o', sizeof(operand) - 1);
	put(&fixture, 0, "before");
	for (unsigned i = 0; i < 5; i++)
		merge(&fixture, 1, operand);
	put(&fixture, 59, "behind");
	check(&fixture);
	forget_history(&fixture);
	compact(&fixture);
	assert_int_equal(count_versions(&fixture), 3);
	check(&fixture);
	merge(&fixture, 1, "z");
	compact(&fixture);
	forget_history(&fixture);
	reopen(&fixture);
	check(&fixture);
	assert_int_equal(get(&fixture, 1, 0, &entry), 0);
	assert_int_equal(entry.value.size, 5 * strlen(operand) + 1);
	end(&fixture);
}

static void assert_at(struct kv_cursor *cursor, uint64_t index)
{
	const struct entry *entry = kv_cursor_entry(cursor);
	uint8_t key[16];
	uint32_t size = kv_rig_key(index, key);

	assert_int_equal(entry->key.size, size);
	assert_memory_equal(entry->key.bytes, key, size);
}

/* Operands of a key that give no value, in memtables or in tables. */
static void one_key_without_a_value_does_not_hide_the_others(void **state)
{
	struct fixture fixture;
	struct kv_cursor *cursor;

	(void)state;
	begin(&fixture);
	put(&fixture, 1, "a");
	put(&fixture, 2, "no counter");
	put(&fixture, 3, "c");
	uint8_t key[16];
	const struct kv_change made = {.type = RECORD_KV_MERGE,
				       .key = key,
				       .key_size = kv_rig_key(2, key),
				       .value = (uint8_t *)"z",
				       .value_size = 1,
				       .value_type = MERGE_OP_COUNTER};
	assert_int_equal(kv_rig_put(&fixture.rig, &made), 0);
	for (unsigned turn = 0; turn < 2; turn++) {
		assert_int_equal(kv_cursor_new(fixture.rig.kv, 0, 0, &cursor), 0);
		assert_int_equal(kv_cursor_seek(cursor, (struct entry_bytes){0}), 0);
		assert_at(cursor, 1);
		assert_int_equal(kv_cursor_next(cursor), KV_E_OPERATOR);
		assert_at(cursor, 2);
		assert_non_null(strstr(kv_error(fixture.rig.kv), "1 counter"));
		assert_int_equal(kv_cursor_next(cursor), 0);
		assert_at(cursor, 3);
		assert_int_equal(kv_cursor_next(cursor), KV_E_ABSENT);
		assert_int_equal(kv_cursor_previous(cursor), 0);
		assert_at(cursor, 3);
		assert_int_equal(kv_cursor_previous(cursor), KV_E_OPERATOR);
		assert_at(cursor, 2);
		assert_int_equal(kv_cursor_previous(cursor), 0);
		assert_at(cursor, 1);
		assert_int_equal(kv_cursor_previous(cursor), KV_E_ABSENT);
		assert_int_equal(kv_cursor_seek(cursor, (struct entry_bytes){key, made.key_size}),
				 KV_E_OPERATOR);
		assert_int_equal(kv_cursor_previous(cursor), 0);
		assert_at(cursor, 1);
		assert_int_equal(kv_cursor_next(cursor), KV_E_OPERATOR);
		assert_int_equal(kv_cursor_next(cursor), 0);
		assert_at(cursor, 3);
		kv_cursor_free(cursor);
		forget_history(&fixture);
		compact(&fixture);
	}
	put(&fixture, 2, "healed");
	assert_value(&fixture, 2, "healed");
	end(&fixture);
}

/* A weak tombstone and its value meet above the last level, and both go. */
static void a_weak_tombstone_goes_with_its_value(void **state)
{
	struct fixture fixture;

	(void)state;
	begin(&fixture);
	put(&fixture, 0, "first");
	put(&fixture, 59, "last");
	forget_history(&fixture);
	compact(&fixture);
	for (unsigned i = 0; i < 4; i++) {
		put(&fixture, 30, "short-lived");
		change(&fixture, RECORD_KV_WEAK_DELETE, 30, NULL, 0, 0);
		forget_history(&fixture);
		flush(&fixture);
	}
	assert_absent(&fixture, 30);
	assert_int_equal(count_versions(&fixture), 2);
	end(&fixture);
}

static void a_weak_tombstone_stays_over_what_lies_deeper(void **state)
{
	struct fixture fixture;

	(void)state;
	begin(&fixture);
	put(&fixture, 30, "deep");
	forget_history(&fixture);
	compact(&fixture);
	for (unsigned i = 0; i < 4; i++) {
		put(&fixture, 30, "short-lived");
		change(&fixture, RECORD_KV_WEAK_DELETE, 30, NULL, 0, 0);
		forget_history(&fixture);
		flush(&fixture);
	}
	assert_absent(&fixture, 30);
	assert_true(count_versions(&fixture) > 1);
	compact(&fixture);
	assert_absent(&fixture, 30);
	assert_int_equal(count_versions(&fixture), 0);
	end(&fixture);
}

static void a_blob_file_that_is_mostly_dead_is_given_up(void **state)
{
	struct fixture fixture;

	(void)state;
	begin(&fixture);
	fixture.rig.options.memtable_size = 1 << 20;
	reopen(&fixture);
	for (uint64_t i = 0; i < 20; i++)
		put_large(&fixture, i, i);
	flush(&fixture);
	assert_int_equal(count_files(&fixture, "blob-"), 1);
	for (uint64_t i = 0; i < 15; i++)
		put(&fixture, i, "small");
	forget_history(&fixture);
	compact(&fixture);
	/* Five of twenty values live on, in another file. */
	assert_int_equal(count_files(&fixture, "blob-"), 1);
	check(&fixture);
	size_t size = 0;
	char(*names)[IO_NAME_MAX + 1];
	uint32_t count = faulty_files(fixture.disk, &names);
	for (uint32_t i = 0; i < count; i++)
		if (strncmp(names[i], "blob-", 5) == 0)
			free(faulty_file_bytes(fixture.disk, names[i], &size));
	free(names);
	assert_in_range(size, 5 * 8000, 6 * 8000);
	for (uint64_t i = 15; i < 20; i++)
		put(&fixture, i, "small");
	forget_history(&fixture);
	compact(&fixture);
	assert_int_equal(count_files(&fixture, "blob-"), 0);
	check(&fixture);
	reopen(&fixture);
	check(&fixture);
	end(&fixture);
}

static void files_that_readers_hold_go_when_they_let_go(void **state)
{
	struct fixture fixture;
	struct kv_cursor *cursor;

	(void)state;
	begin(&fixture);
	for (uint64_t i = 0; i < KV_RIG_KEYS; i++)
		put(&fixture, i, "old");
	flush(&fixture);
	assert_int_equal(kv_cursor_new(fixture.rig.kv, 0, 0, &cursor), 0);
	assert_int_equal(kv_cursor_seek(cursor, (struct entry_bytes){0}), 0);
	for (uint64_t i = 0; i < KV_RIG_KEYS; i++)
		put(&fixture, i, "new");
	forget_history(&fixture);
	compact(&fixture);
	unsigned count = 1;
	while (kv_cursor_next(cursor) == 0) {
		assert_memory_equal(kv_cursor_entry(cursor)->value.bytes, "old", 3);
		count++;
	}
	assert_int_equal(count, KV_RIG_KEYS);
	uint32_t files = count_files(&fixture, "table-");
	kv_cursor_free(cursor);
	work(&fixture);
	assert_true(count_files(&fixture, "table-") < files);
	check(&fixture);
	end(&fixture);
}

static void tables_that_do_not_meet_only_move(void **state)
{
	struct fixture fixture;
	uint64_t before;

	(void)state;
	begin(&fixture);
	for (uint64_t i = 0; i < 4; i++) {
		put(&fixture, 10 * i, "v");
		put(&fixture, 10 * i + 5, "v");
		flush(&fixture);
	}
	/* No table was written but the four that were flushed. */
	before = ledger_next_file(fixture.rig.ledger);
	assert_int_equal(count_files(&fixture, "table-"), 4);
	for (uint64_t number = before - 4; number < before; number++) {
		char name[IO_NAME_MAX + 1];
		size_t size;

		kv_table_name(number, name);
		uint8_t *bytes = faulty_file_bytes(fixture.disk, name, &size);
		assert_non_null(bytes);
		free(bytes);
	}
	check(&fixture);
	end(&fixture);
}

/* What only moves is opened by the job, too, as it gets readers of its own. */
static void a_damaged_table_does_not_move(void **state)
{
	struct fixture fixture;
	char name[IO_NAME_MAX + 1];
	size_t size;

	(void)state;
	begin(&fixture);
	kv_table_name(ledger_next_file(fixture.rig.ledger) + 1, name);
	for (uint64_t i = 0; i < 4; i++) {
		put(&fixture, 10 * i, "v");
		if (i == 3) {
			free(faulty_file_bytes(fixture.disk, name, &size));
			faulty_flip(fixture.disk, name, 8 * size - 1);
		}
		flush(&fixture);
	}
	assert_int_equal(kv_damage(fixture.rig.kv)->files, 1);
	assert_non_null(strstr(kv_damage(fixture.rig.kv)->line, name));
	faulty_flip(fixture.disk, name, 8 * size - 1);
	check(&fixture);
	reopen(&fixture);
	check(&fixture);
	end(&fixture);
}

/* As a poll core with a worker: the disk aborts what blocks on the first. */
static void work_polling(struct fixture *fixture)
{
	for (;;) {
		enum kv_need need;

		faulty_polls(fixture->disk, true);
		assert_int_equal(kv_work(fixture->rig.kv, &need), 0);
		faulty_polls(fixture->disk, false);
		if (need == KV_NEED_NOTHING)
			return;
		if (need == KV_NEED_JOB)
			assert_in_set(kv_job(fixture->rig.kv, 4096),
				      ((unsigned long[]){0, KV_E_IDLE}), 2);
	}
}

static int get_polling(struct fixture *fixture, uint64_t index)
{
	struct entry entry;
	int result;

	faulty_polls(fixture->disk, true);
	while ((result = get(fixture, index, KV_WAIT_NEVER, &entry)) == KV_E_WAIT)
		kv_poll(fixture->rig.kv);
	faulty_polls(fixture->disk, false);
	return result;
}

static void the_owner_touches_no_file_when_a_worker_does(void **state)
{
	struct fixture fixture;

	(void)state;
	begin(&fixture);
	for (uint64_t round = 0; round < 6; round++) {
		for (uint64_t i = 0; i < KV_RIG_KEYS; i++) {
			if (i % 9 == 0)
				put_large(&fixture, i, i + round);
			else
				put(&fixture, i, "value");
		}
		assert_int_equal(kv_flush(fixture.rig.kv), 0);
		work_polling(&fixture);
	}
	forget_history(&fixture);
	kv_compact(fixture.rig.kv);
	work_polling(&fixture);
	for (uint64_t i = 0; i < KV_RIG_KEYS; i++)
		assert_int_equal(get_polling(&fixture, i), 0);
	check(&fixture);
	end(&fixture);
}

static void compact_while_being_read(struct fixture *fixture)
{
	struct entry entry;

	for (uint64_t i = 0; i < 5; i++)
		put_large(fixture, i, i);
	put(fixture, 50, "value");
	flush(fixture);
	reopen(fixture);
	assert_int_equal(get_polling(fixture, 0), 0);
	for (uint64_t i = 1; i < 5; i++)
		assert_int_equal(get(fixture, i, KV_WAIT_NEVER, &entry), KV_E_WAIT);
	for (uint64_t i = 0; i < KV_RIG_KEYS; i++)
		put(fixture, i, "small");
	forget_history(fixture);
	kv_compact(fixture->rig.kv);
	work_polling(fixture);
	assert_int_equal(count_files(fixture, "blob-"), 0);
	assert_int_equal(count_files(fixture, "table-"), 1);
	assert_int_equal(get_polling(fixture, 50), 0);
	check(fixture);
}

/* Files go while they are being read from: nobody waits for that, and it comes to an end. Reads may
 * happen to end in time, but not every time. */
static void a_file_that_is_being_read_is_closed_later(void **state)
{
	struct fixture fixture;

	(void)state;
	begin(&fixture);
	for (unsigned round = 0; round < 10; round++)
		compact_while_being_read(&fixture);
	end(&fixture);
}

/* A worker that can't open what it wrote does so later; nothing is written twice. */
static void what_was_written_is_opened_when_it_can_be(void **state)
{
	struct fixture fixture;
	enum kv_need need;
	unsigned failures = 0;
	uint64_t calls;

	(void)state;
	begin(&fixture);
	put_large(&fixture, 1, 1);
	put(&fixture, 2, "value");
	assert_int_equal(kv_flush(fixture.rig.kv), 0);
	assert_int_equal(kv_work(fixture.rig.kv, &need), 0);
	assert_int_equal(need, KV_NEED_JOB);
	/* The call behind the files' folder is the first of opening. */
	for (calls = 1;; calls++) {
		uint64_t number = ledger_next_file(fixture.rig.ledger);

		faulty_fail_at(fixture.disk, faulty_calls(fixture.disk) + calls, -EMFILE, 1);
		if (kv_job(fixture.rig.kv, 1 << 20) == 0)
			break;
		failures++;
		if (count_files(&fixture, "table-") == 1) {
			/* Both are whole: no more numbers are given. */
			assert_int_equal(kv_job(fixture.rig.kv, 1 << 20), 0);
			assert_int_equal(ledger_next_file(fixture.rig.ledger), number + 3);
			break;
		}
	}
	faulty_fail_at(fixture.disk, 0, 0, 0);
	assert_true(failures > 5);
	work_polling(&fixture);
	check(&fixture);
	reopen(&fixture);
	check(&fixture);
	end(&fixture);
}

/* Cold: what isn't in the cache is asked for and comes by polling. */
static void nobody_waits_who_said_so(void **state)
{
	struct fixture fixture;
	struct entry entry;
	struct kv_cursor *cursor;
	unsigned waits = 0;
	int result;

	(void)state;
	begin(&fixture);
	for (uint64_t i = 0; i < KV_RIG_KEYS; i++) {
		put(&fixture, i, "value");
		if (i % 10 == 0) {
			put_large(&fixture, i, i);
			flush(&fixture);
		}
	}
	flush(&fixture);
	reopen(&fixture);
	while ((result = kv_rig_check_key(&fixture.rig, 50, kv_visible(fixture.rig.kv),
					  KV_WAIT_NEVER)) == KV_E_WAIT) {
		kv_poll(fixture.rig.kv);
		waits++;
	}
	assert_int_equal(result, 0);
	assert_true(waits > 0);
	assert_int_equal(get(&fixture, 50, KV_WAIT_NEVER, &entry), 0);

	reopen(&fixture);
	assert_int_equal(kv_cursor_new(fixture.rig.kv, 0, KV_WAIT_NEVER, &cursor), 0);
	for (unsigned way = 0, count = 0; way < 2; way++, count = 0) {
		waits = 0;
		result = way ? kv_cursor_last(cursor)
			     : kv_cursor_seek(cursor, (struct entry_bytes){0});
		while (result == KV_E_WAIT) {
			kv_poll(fixture.rig.kv);
			waits++;
			result = way ? kv_cursor_last(cursor)
				     : kv_cursor_seek(cursor, (struct entry_bytes){0});
		}
		while (result != KV_E_ABSENT) {
			if (result == KV_E_WAIT) {
				kv_poll(fixture.rig.kv);
				waits++;
			} else {
				assert_int_equal(result, 0);
				count++;
			}
			result = way ? kv_cursor_previous(cursor) : kv_cursor_next(cursor);
		}
		assert_int_equal(count, KV_RIG_KEYS);
		if (way == 0)
			assert_true(waits > 0);
	}
	kv_cursor_free(cursor);
	end(&fixture);
}

/* A table that was written elsewhere, with numbers of 0. */
static void write_foreign(struct fixture *fixture, uint64_t number, uint64_t first, uint64_t count)
{
	const struct table_writer_options options = {0};
	struct table_writer *writer;
	struct table_summary summary;
	char name[IO_NAME_MAX + 1];

	kv_table_name(number, name);
	assert_int_equal(table_writer_new(fixture->rig.io, name, &options, &writer), 0);
	for (uint64_t i = first; i < first + count; i++) {
		uint8_t key[16];
		const struct entry entry = {
			.key = {.bytes = key, .size = kv_rig_key(i, key)},
			.value = {.bytes = (const uint8_t *)"foreign", .size = 7},
			.kind = ENTRY_VALUE};

		assert_int_equal(table_writer_add(writer, &entry), 0);
	}
	assert_int_equal(table_writer_finish(writer, &summary), 0);
	assert_int_equal(io_sync_folder(fixture->rig.io), 0);
}

static void a_table_from_elsewhere_is_part_of_the_key_space(void **state)
{
	struct fixture fixture;
	struct record record = {.type = RECORD_TABLE_INGEST, .lsn = 3};

	(void)state;
	begin(&fixture);
	put(&fixture, 1, "mine");
	put(&fixture, 30, "mine");
	record.ingest.table = ledger_next_file(fixture.rig.ledger);
	write_foreign(&fixture, record.ingest.table, 20, 20);
	assert_int_equal(kv_apply(fixture.rig.kv, &record, false), KV_E_INVALID);
	kv_set_durable(fixture.rig.kv, 3);
	/* What is in memory is older and goes first. */
	assert_int_equal(kv_apply(fixture.rig.kv, &record, false), KV_E_BUSY);
	work(&fixture);
	assert_int_equal(kv_apply(fixture.rig.kv, &record, false), 0);
	kv_set_visible(fixture.rig.kv, 3);
	assert_int_equal(kv_flushed(fixture.rig.kv), 3);
	assert_value(&fixture, 1, "mine");
	assert_value(&fixture, 30, "foreign");
	/* Applied again after an opening, it is passed over. The rig's list is all in tables. */
	uint64_t count = fixture.rig.count;
	fixture.rig.count = 0;
	reopen(&fixture);
	fixture.rig.count = count;
	assert_int_equal(kv_apply(fixture.rig.kv, &record, false), 0);
	assert_value(&fixture, 30, "foreign");
	assert_value(&fixture, 39, "foreign");
	kv_set_floor(fixture.rig.kv, 4);
	compact(&fixture);
	assert_value(&fixture, 30, "foreign");
	assert_value(&fixture, 1, "mine");
	assert_int_equal(count_versions(&fixture), 21);
	end(&fixture);
}

/* Each call fails once, or three times; the same key space goes on when it is over. */
static void work_that_failed_is_done_again(void **state)
{
	static uint8_t space[KV_RIG_SPACE];

	(void)state;
	for (uint64_t n = 1;; n += 3) {
		struct fixture fixture;
		struct rand rand;
		unsigned failures = 0;

		begin(&fixture);
		rand_init(&rand, n);
		faulty_fail_at(fixture.disk, faulty_calls(fixture.disk) + n, n % 2 ? -EIO : -ENOSPC,
			       1 + 2 * (n % 2));
		for (unsigned i = 0; i < 150; i++) {
			struct kv_change made;
			uint64_t index = fixture.rig.count;

			kv_rig_random(&fixture.rig, &rand, &made, space);
			kv_rig_note(&fixture.rig, &made);
			while (kv_rig_apply(&fixture.rig, &index))
				assert_true(++failures < 10);
			if (i % 50 == 0) {
				(void)kv_flush(fixture.rig.kv);
				kv_set_floor(fixture.rig.kv, i);
			}
		}
		kv_compact(fixture.rig.kv);
		while (kv_rig_work(&fixture.rig))
			assert_true(++failures < 10);
		int result;
		while ((result = kv_rig_check(&fixture.rig, 150)) < 0)
			assert_true(++failures < 10);
		assert_int_equal(result, 0);
		faulty_fail_at(fixture.disk, 0, 0, 0);
		faulty_restart(fixture.disk, n);
		reopen(&fixture);
		check(&fixture);
		end(&fixture);
		if (failures == 0)
			break;
	}
}

static void a_full_disk_holds_up_and_loses_nothing(void **state)
{
	static uint8_t space[KV_RIG_SPACE];
	struct fixture fixture;
	struct rand rand;
	unsigned full = 0;

	(void)state;
	begin(&fixture);
	fixture.rig.options.without_compression = true;
	reopen(&fixture);
	rand_init(&rand, 1);
	faulty_set_capacity(fixture.disk, 60 << 10);
	for (unsigned i = 0; i < 600; i++) {
		struct kv_change made;
		int result;

		kv_rig_random(&fixture.rig, &rand, &made, space);
		assert_int_equal(kv_rig_put(&fixture.rig, &made), 0);
		if (i % 30 == 0)
			assert_int_equal(kv_flush(fixture.rig.kv), 0);
		while ((result = kv_rig_work(&fixture.rig))) {
			assert_int_equal(result, -ENOSPC);
			check(&fixture);
			faulty_set_capacity(fixture.disk, (90 << 10) + UINT64_C(30000) * full++);
		}
	}
	assert_true(full > 0);
	faulty_set_capacity(fixture.disk, 0);
	work(&fixture);
	check(&fixture);
	reopen(&fixture);
	check(&fixture);
	end(&fixture);
}

static void count_line(void *context, const char *line)
{
	assert_true(strlen(line) > 10);
	++*(unsigned *)context;
}

/* A bit of each file flips, many times: wherever it is, it is said, and no read is wrong. */
static void a_flipped_bit_is_said_and_never_read(void **state)
{
	static uint8_t space[KV_RIG_SPACE];
	struct fixture fixture;
	char(*names)[IO_NAME_MAX + 1];
	struct rand rand;

	(void)state;
	begin(&fixture);
	rand_init(&rand, 3);
	for (unsigned i = 0; i < 200; i++) {
		struct kv_change made;

		kv_rig_random(&fixture.rig, &rand, &made, space);
		assert_int_equal(kv_rig_put(&fixture.rig, &made), 0);
	}
	flush(&fixture);
	kv_rig_close(&fixture.rig);
	uint32_t count = faulty_files(fixture.disk, &names);
	assert_true(count > 4);
	for (unsigned i = 0; i < 400; i++) {
		struct faulty *disk = faulty_clone(fixture.disk, i);
		const char *name = names[i % count];
		uint64_t faults = 0;
		unsigned lines = 0;
		size_t size;

		free(faulty_file_bytes(disk, name, &size));
		faulty_flip(disk, name, rand_below(&rand, 8 * size));
		fixture.rig.io = faulty_io(disk);
		int result = kv_rig_open(&fixture.rig);
		assert_true(result == 0 || result == KV_E_CORRUPT);
		if (!result) {
			result = kv_rig_check(&fixture.rig, fixture.rig.count);
			assert_true(result == 0 || result == KV_E_CORRUPT);
			assert_int_equal(kv_verify(fixture.rig.kv, count_line, &lines, &faults), 0);
			if (faults == 0)
				fail_msg("%s: a flipped bit isn't noticed", name);
			assert_int_equal(lines, faults);
		}
		kv_rig_close(&fixture.rig);
		faulty_free(disk);
	}
	free(names);
	end(&fixture);
}

static void files_that_nobody_names_are_removed(void **state)
{
	struct fixture fixture;

	(void)state;
	begin(&fixture);
	put(&fixture, 1, "a");
	flush(&fixture);
	kv_rig_close(&fixture.rig);
	faulty_file_set(fixture.disk, "table-00000000000000ff", "x", 1);
	faulty_file_set(fixture.disk, "blob-0000000000000100", "x", 1);
	faulty_file_set(fixture.disk, "table-else", "x", 1);
	open_rig(&fixture);
	assert_int_equal(count_files(&fixture, "table-0"), 1);
	assert_int_equal(count_files(&fixture, "blob-"), 0);
	assert_int_equal(count_files(&fixture, "table-else"), 1);
	assert_true(ledger_next_file(fixture.rig.ledger) > 0x100);
	assert_value(&fixture, 1, "a");
	end(&fixture);
}

/* A corrupt table stops compaction, and nothing else. */
static unsigned count_tables(struct fixture *fixture, unsigned level)
{
	const struct ledger_state *state = ledger_state(fixture->rig.ledger);
	unsigned count = 0;

	for (uint32_t i = 0; i < state->table_count; i++)
		count += state->tables[i].level == level;
	return count;
}

/* Makes a table of keys 1 to 5 and damages it. */
static void make_damaged(struct fixture *fixture, char name[IO_NAME_MAX + 1])
{
	put(fixture, 1, "a");
	put(fixture, 5, "e");
	flush(fixture);
	kv_table_name(ledger_next_file(fixture->rig.ledger) - 1, name);
	faulty_flip(fixture->disk, name, 80);
}

/* What overlaps it stays above it; all else is compacted. */
static void a_damaged_table_is_set_aside(void **state)
{
	struct fixture fixture;
	char name[IO_NAME_MAX + 1];
	struct entry entry;

	(void)state;
	begin(&fixture);
	make_damaged(&fixture, name);
	assert_int_equal(kv_damage(fixture.rig.kv)->files, 0);
	for (unsigned i = 0; i < 12; i++) {
		put(&fixture, 30, "f");
		put(&fixture, 40, "g");
		flush(&fixture);
		if (i % 4 == 3) {
			put(&fixture, 3, "younger");
			flush(&fixture);
		}
	}
	assert_int_equal(kv_damage(fixture.rig.kv)->files, 1);
	assert_non_null(strstr(kv_damage(fixture.rig.kv)->line, name));
	assert_true(count_tables(&fixture, 0) < 4 + 4);
	assert_true(count_tables(&fixture, 1) > 0);
	kv_compact(fixture.rig.kv);
	work(&fixture);
	assert_value(&fixture, 3, "younger");
	assert_value(&fixture, 40, "g");
	assert_int_equal(get(&fixture, 1, 0, &entry), KV_E_CORRUPT);
	kv_rig_close(&fixture.rig);

	faulty_flip(fixture.disk, name, 80);
	open_rig(&fixture);
	compact(&fixture);
	check(&fixture);
	assert_int_equal(count_tables(&fixture, 0), 0);
	end(&fixture);
}

/* Nobody waits for room that never comes; what the log has is taken again all the same. */
static void damage_that_holds_up_writers_is_said(void **state)
{
	struct fixture fixture;
	char name[IO_NAME_MAX + 1];
	static uint8_t value[8000];
	uint8_t key[16];
	struct kv_change made = {.type = RECORD_KV_SET,
				 .key = key,
				 .key_size = kv_rig_key(3, key),
				 .value = value,
				 .value_size = sizeof(value)};
	int result = 0;

	(void)state;
	begin(&fixture);
	make_damaged(&fixture, name);
	for (unsigned i = 0; !result && i < 1000; i++) {
		value[0] = (uint8_t)i;
		result = kv_rig_put(&fixture.rig, &made);
	}
	assert_int_equal(result, KV_E_CORRUPT);
	assert_int_equal(kv_room(fixture.rig.kv), KV_E_CORRUPT);
	assert_non_null(strstr(kv_error(fixture.rig.kv), name));
	assert_true(count_tables(&fixture, 0) >= KV_LEVEL_ZERO_MAX);
	assert_int_equal(kv_rig_check_key(&fixture.rig, 4, 0, 0), 0);
	reopen(&fixture);
	assert_int_equal(kv_rig_check_key(&fixture.rig, 3, kv_visible(fixture.rig.kv), 0), 0);
	assert_int_equal(kv_damage(fixture.rig.kv)->files, 1);
	kv_rig_close(&fixture.rig);

	faulty_flip(fixture.disk, name, 80);
	open_rig(&fixture);
	work(&fixture);
	assert_int_equal(kv_room(fixture.rig.kv), 0);
	check(&fixture);
	end(&fixture);
}

/* The blob file of a base and of values that are to be written anew. */
static void a_damaged_blob_file_stops_nothing(void **state)
{
	struct fixture fixture;
	struct entry entry;
	char name[IO_NAME_MAX + 1];

	(void)state;
	begin(&fixture);
	for (unsigned i = 0; i < 5; i++)
		put_large(&fixture, i, i);
	flush(&fixture);
	kv_blob_name(ledger_next_file(fixture.rig.ledger) - 1, name);
	if (count_files(&fixture, name) == 0)
		kv_blob_name(ledger_next_file(fixture.rig.ledger) - 3, name);
	assert_int_equal(count_files(&fixture, name), 1);
	faulty_flip(fixture.disk, name, 8 * 1000);
	merge(&fixture, 0, "operand");
	forget_history(&fixture);
	compact(&fixture);
	assert_int_equal(kv_damage(fixture.rig.kv)->files, 1);
	for (unsigned i = 1; i < 5; i++)
		put(&fixture, i, "small");
	forget_history(&fixture);
	compact(&fixture);
	work(&fixture);
	assert_non_null(strstr(kv_damage(fixture.rig.kv)->line, name));
	assert_value(&fixture, 4, "small");
	assert_int_equal(get(&fixture, 0, 0, &entry), KV_E_CORRUPT);
	kv_rig_close(&fixture.rig);

	faulty_flip(fixture.disk, name, 8 * 1000);
	open_rig(&fixture);
	check(&fixture);
	end(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_and_values_that_are_none_are_refused),
		cmocka_unit_test(a_snapshot_sees_what_was),
		cmocka_unit_test(there_are_only_so_many_snapshots),
		cmocka_unit_test(what_is_not_durable_is_not_flushed),
		cmocka_unit_test(writers_are_held_up_until_there_is_room),
		cmocka_unit_test(a_transaction_is_never_cut_by_a_seal),
		cmocka_unit_test(records_of_pages_let_the_log_go),
		cmocka_unit_test(an_expired_value_is_gone_and_so_are_its_bytes),
		cmocka_unit_test(operands_are_folded_when_history_lets_them),
		cmocka_unit_test(operands_outlive_a_base_that_expires),
		cmocka_unit_test(an_operator_that_is_not_there_is_said_and_nothing_is_lost),
		cmocka_unit_test(operands_may_make_a_value_larger_than_a_record),
		cmocka_unit_test(one_key_without_a_value_does_not_hide_the_others),
		cmocka_unit_test(a_weak_tombstone_goes_with_its_value),
		cmocka_unit_test(a_weak_tombstone_stays_over_what_lies_deeper),
		cmocka_unit_test(a_blob_file_that_is_mostly_dead_is_given_up),
		cmocka_unit_test(files_that_readers_hold_go_when_they_let_go),
		cmocka_unit_test(tables_that_do_not_meet_only_move),
		cmocka_unit_test(a_damaged_table_does_not_move),
		cmocka_unit_test(the_owner_touches_no_file_when_a_worker_does),
		cmocka_unit_test(a_file_that_is_being_read_is_closed_later),
		cmocka_unit_test(what_was_written_is_opened_when_it_can_be),
		cmocka_unit_test(nobody_waits_who_said_so),
		cmocka_unit_test(a_table_from_elsewhere_is_part_of_the_key_space),
		cmocka_unit_test(work_that_failed_is_done_again),
		cmocka_unit_test(a_full_disk_holds_up_and_loses_nothing),
		cmocka_unit_test(a_flipped_bit_is_said_and_never_read),
		cmocka_unit_test(files_that_nobody_names_are_removed),
		cmocka_unit_test(a_damaged_table_is_set_aside),
		cmocka_unit_test(damage_that_holds_up_writers_is_said),
		cmocka_unit_test(a_damaged_blob_file_stops_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

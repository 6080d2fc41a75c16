/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/byteorder.h"
#include "base/defs.h"
#include "base/guard.h"
#include "engine/feed.h"
#include "engine/feed_runs.h"
#include "tests/lib/fake_kv.h"
#include "tests/lib/faulty.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * What a feed promises, case by case, on a key space that does as it is told. An event is written
 * as a line: its number (and index, if not 0), what it does, its key, its value.
 */

#define LINE_SIZE 96
#define LINE_MAX  4096

struct lines {
	char lines[LINE_MAX][LINE_SIZE];
	unsigned count;
	int rc; /* that ended it */
};

static struct kv *kv;
static struct faulty *disk; /* for the feed's own files */
static struct lines seen, others;

static int set_up(void **state)
{
	(void)state;
	kv = fake_kv_new();
	disk = faulty_new(1);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	char(*names)[IO_NAME_MAX + 1];

	fake_kv_free(kv);
	assert_int_equal(faulty_files(disk, &names), 0);
	free(names);
	faulty_free(disk);
	return 0;
}

static struct entry_bytes text(const char *string)
{
	return (struct entry_bytes){(const uint8_t *)string, (uint32_t)strlen(string)};
}

static struct entry made(uint64_t seqno, enum entry_kind kind, const char *key, const char *value)
{
	return (struct entry){.key = text(key), .value = text(value), .seqno = seqno, .kind = kind};
}

static void add(uint64_t seqno, enum entry_kind kind, const char *key, const char *value)
{
	struct entry entry = made(seqno, kind, key, value);

	fake_kv_add(kv, &entry);
}

static void put(uint64_t seqno, const char *key, const char *value)
{
	add(seqno, ENTRY_VALUE, key, value);
}

static void write_line(const struct feed_event *event, char line[LINE_SIZE])
{
	static const char *const names[] = {"put", "merge", "delete", "range"};
	char number[32];

	if (event->index > 0)
		snprintf(number, sizeof(number), "%llu.%u", (unsigned long long)event->seqno,
			 event->index);
	else
		snprintf(number, sizeof(number), "%llu", (unsigned long long)event->seqno);
	snprintf(line, LINE_SIZE, "%s %s %.*s %.*s", number,
		 event->weak ? "weak" : names[event->kind], (int)event->key.size, event->key.bytes,
		 (int)event->value.size, event->value.bytes);
}

/* Up to 'max' events; what waits is asked again. */
static void drain(struct feed *feed, unsigned max, struct lines *lines)
{
	struct feed_event event;

	lines->rc = 0;
	for (lines->count = 0; lines->count < max;) {
		lines->rc = feed_next(feed, &event);
		if (lines->rc == FEED_E_WAIT)
			continue;
		if (lines->rc)
			return;
		assert_true(lines->count < LINE_MAX);
		write_line(&event, lines->lines[lines->count++]);
	}
}

static void read_with(const struct feed_options *options, struct lines *lines)
{
	struct feed *feed;

	assert_int_equal(feed_open(kv, options, &feed), 0);
	drain(feed, UINT32_MAX, lines);
	feed_close(feed);
}

static void read_since(uint64_t seqno)
{
	read_with(&(struct feed_options){.since.seqno = seqno}, &seen);
}

static void assert_lines(const char *const *expected, unsigned count)
{
	for (unsigned i = 0; i < MIN(count, seen.count); i++)
		assert_string_equal(seen.lines[i], expected[i]);
	assert_int_equal(seen.count, count);
	assert_int_equal(seen.rc, FEED_E_END);
}

#define ASSERT_LINES(...)                                                                          \
	do {                                                                                       \
		static const char *const expected_lines[] = {__VA_ARGS__};                         \
		assert_lines(expected_lines, ARRAY_COUNT(expected_lines));                         \
	} while (0)

static void assert_nothing(void)
{
	assert_int_equal(seen.count, 0);
	assert_int_equal(seen.rc, FEED_E_END);
}

static void only_numbers_at_or_after_the_target_come(void **state)
{
	(void)state;
	put(1, "a", "1");
	put(2, "b", "2");
	put(3, "c", "3");
	read_since(2);
	ASSERT_LINES("2 put b 2", "3 put c 3");
	fake_kv_flush(kv);
	read_since(2);
	ASSERT_LINES("2 put b 2", "3 put c 3");
}

static void numbers_rise_although_keys_are_scrambled(void **state)
{
	(void)state;
	put(1, "z", "");
	put(2, "a", "");
	put(3, "m", "");
	fake_kv_flush(kv);
	put(4, "b", "");
	put(5, "y", "");
	fake_kv_flush(kv);
	fake_kv_compact(kv, 0);
	read_since(0);
	ASSERT_LINES("1 put z ", "2 put a ", "3 put m ", "4 put b ", "5 put y ");
}

static void a_write_and_its_delete_are_two_events(void **state)
{
	(void)state;
	put(150, "k", "v");
	add(200, ENTRY_TOMBSTONE, "k", "");
	read_since(1);
	ASSERT_LINES("150 put k v", "200 delete k ");
}

static void superseded_versions_are_there(void **state)
{
	(void)state;
	put(1, "k", "1");
	put(2, "k", "2");
	fake_kv_flush(kv);
	put(3, "k", "3");
	read_since(1);
	ASSERT_LINES("1 put k 1", "2 put k 2", "3 put k 3");
}

static void a_weak_tombstone_is_a_point_tombstone(void **state)
{
	(void)state;
	put(1, "k", "v");
	add(2, ENTRY_WEAK_TOMBSTONE, "k", "");
	read_since(1);
	ASSERT_LINES("1 put k v", "2 weak k ");
}

static void a_merge_operand_comes_raw_with_its_operator(void **state)
{
	struct entry operand = made(2, ENTRY_MERGE, "k", "operand");
	struct feed_event event;
	struct feed *feed;

	(void)state;
	operand.type = 2;
	put(1, "k", "base");
	fake_kv_add(kv, &operand);
	assert_int_equal(feed_open(kv, &(struct feed_options){.since.seqno = 2}, &feed), 0);
	assert_int_equal(feed_next(feed, &event), 0);
	assert_int_equal(event.kind, FEED_MERGE_OPERAND);
	assert_int_equal(event.type, 2);
	assert_int_equal(event.value.size, 7);
	assert_memory_equal(event.value.bytes, "operand", 7);
	feed_close(feed);
}

static void an_insert_has_its_type_and_expiry(void **state)
{
	struct entry entry = made(1, ENTRY_VALUE, "k", "v");
	struct feed_event event;
	struct feed *feed;

	(void)state;
	entry.type = 9;
	entry.expires = 1700000000;
	fake_kv_add(kv, &entry);
	assert_int_equal(feed_open(kv, &(struct feed_options){0}, &feed), 0);
	assert_int_equal(feed_next(feed, &event), 0);
	assert_int_equal(event.kind, FEED_INSERT);
	assert_int_equal(event.type, 9);
	assert_int_equal(event.expires, 1700000000);
	feed_close(feed);
}

static void a_range_tombstone_has_bounds_and_number(void **state)
{
	(void)state;
	put(1, "b", "v");
	add(2, ENTRY_RANGE_TOMBSTONE, "a", "c");
	put(3, "b", "w");
	read_since(0);
	ASSERT_LINES("1 put b v", "2 range a c", "3 put b w");
	fake_kv_flush(kv);
	read_since(2);
	ASSERT_LINES("2 range a c", "3 put b w");
}

static void pieces_of_a_range_tombstone_are_put_together(void **state)
{
	struct entry left[] = {made(5, ENTRY_RANGE_TOMBSTONE, "a", "c"),
			       made(3, ENTRY_RANGE_TOMBSTONE, "x", "y")};
	struct entry right[] = {made(5, ENTRY_RANGE_TOMBSTONE, "c", "f"),
				made(5, ENTRY_RANGE_TOMBSTONE, "f", "k"),
				made(6, ENTRY_RANGE_TOMBSTONE, "k", "l")};

	(void)state;
	fake_kv_table(kv, left, 2, true);
	fake_kv_table(kv, right, 3, true);
	for (uint32_t window = 1; window < 6; window++) {
		read_with(&(struct feed_options){.window = window}, &seen);
		if (window < 3)
			continue; /* too small for one number's pieces: checked below */
		ASSERT_LINES("3 range x y", "5 range a k", "6 range k l");
	}
	read_with(&(struct feed_options){.window = 1}, &seen);
	ASSERT_LINES("3 range x y", "5 range a c", "5.1 range c f", "5.2 range f k", "6 range k l");
	for (uint32_t window = 1; window < 6; window++) {
		read_with(&(struct feed_options){.window = window, .scratch = faulty_io(disk)},
			  &seen);
		ASSERT_LINES("3 range x y", "5 range a k", "6 range k l");
	}
}

static void tables_and_memtables_are_united(void **state)
{
	(void)state;
	put(1, "table", "");
	fake_kv_flush(kv);
	put(2, "sealed", "");
	fake_kv_seal(kv);
	put(3, "sealed too", "");
	fake_kv_seal(kv);
	put(4, "live", "");
	read_since(0);
	ASSERT_LINES("1 put table ", "2 put sealed ", "3 put sealed too ", "4 put live ");
	read_since(3);
	ASSERT_LINES("3 put sealed too ", "4 put live ");
}

/* Forty blocks, each of eight neighbours in number. */
static void add_table_of_many_blocks(bool with_bounds)
{
	static struct entry entries[40 * FAKE_KV_BLOCK];
	static char keys[ARRAY_COUNT(entries)][8];

	for (uint32_t i = 0; i < ARRAY_COUNT(entries); i++) {
		/* Blocks in descending order of their numbers. */
		uint32_t block = i / FAKE_KV_BLOCK;

		snprintf(keys[i], sizeof(keys[i]), "%05u", i);
		entries[i] = made((uint64_t)(39 - block) * FAKE_KV_BLOCK + i % FAKE_KV_BLOCK + 1,
				  ENTRY_VALUE, keys[i], "v");
	}
	fake_kv_table(kv, entries, ARRAY_COUNT(entries), with_bounds);
}

static void blocks_without_anything_wanted_are_not_read(void **state)
{
	struct feed *feed;

	(void)state;
	add_table_of_many_blocks(true);
	assert_int_equal(feed_open(kv, &(struct feed_options){.since.seqno = 301}, &feed), 0);
	drain(feed, UINT32_MAX, &seen);
	assert_int_equal(seen.count, 20);
	assert_string_equal(seen.lines[0], "301 put 00020 v");
	assert_string_equal(seen.lines[19], "320 put 00007 v");
	assert_int_equal(feed_cost(feed).blocks, 3);
	assert_int_equal(feed_cost(feed).bytes, 3 * FAKE_KV_BLOCK);
	feed_close(feed);
}

static void a_table_without_anything_wanted_is_not_opened(void **state)
{
	(void)state;
	add_table_of_many_blocks(false);
	put(400, "new", "");
	read_since(321);
	ASSERT_LINES("400 put new ");
	assert_int_equal(fake_kv_moves(kv), 0);
}

static void tables_with_and_without_bounds_are_exact_together(void **state)
{
	struct entry later[] = {made(322, ENTRY_VALUE, "00001", "w"),
				made(321, ENTRY_TOMBSTONE, "00000", ""),
				made(323, ENTRY_RANGE_TOMBSTONE, "0", "1")};

	(void)state;
	add_table_of_many_blocks(false);
	fake_kv_table(kv, later, 3, true);
	read_since(319);
	ASSERT_LINES("319 put 00006 v", "320 put 00007 v", "321 delete 00000 ", "322 put 00001 w",
		     "323 range 0 1");
}

static void values_out_of_line_are_resolved(void **state)
{
	uint8_t place[4];
	struct entry blob = made(2, ENTRY_BLOB, "large", "");

	(void)state;
	store_le32(place, fake_kv_blob(kv, "a large value", 13));
	blob.value = (struct entry_bytes){place, 4};
	put(1, "small", "inline");
	fake_kv_flush(kv);
	fake_kv_table(kv, &blob, 1, true);
	read_since(0);
	ASSERT_LINES("1 put small inline", "2 put large a large value");
	fake_kv_wait(kv, 2);
	read_with(&(struct feed_options){.wait_never = true}, &seen);
	ASSERT_LINES("1 put small inline", "2 put large a large value");
}

static void an_ingested_table_is_found_by_its_number(void **state)
{
	struct entry ingested[] = {made(5, ENTRY_VALUE, "c", "3"), made(5, ENTRY_VALUE, "a", "1"),
				   made(5, ENTRY_RANGE_TOMBSTONE, "x", "z"),
				   made(5, ENTRY_VALUE, "b", "2")};

	(void)state;
	put(4, "before", "");
	put(6, "after", "");
	fake_kv_table(kv, ingested, 4, false);
	for (uint32_t window = 1; window < 16; window++) {
		read_with(&(struct feed_options){.since.seqno = 5,
						 .window = 1 + window / 2,
						 .scratch = window % 2 ? faulty_io(disk) : NULL},
			  &seen);
		ASSERT_LINES("5 range x z", "5.1 put a 1", "5.2 put b 2", "5.3 put c 3",
			     "6 put after ");
	}
}

static void a_reader_that_is_caught_up_gets_nothing(void **state)
{
	(void)state;
	read_since(0);
	assert_nothing();
	put(7, "k", "v");
	read_since(8);
	assert_nothing();
	read_since(UINT64_MAX);
	assert_nothing();
	fake_kv_flush(kv);
	read_since(8);
	assert_nothing();
	read_since(UINT64_MAX);
	assert_nothing();
	assert_int_equal(fake_kv_blocks(kv), 0);
}

static void later_writes_do_not_leak_in(void **state)
{
	struct feed *feed;

	(void)state;
	put(1, "a", "");
	put(2, "b", "");
	assert_int_equal(feed_open(kv, &(struct feed_options){0}, &feed), 0);
	put(3, "c", "");
	drain(feed, UINT32_MAX, &seen);
	ASSERT_LINES("1 put a ", "2 put b ");
	assert_int_equal(feed_resolved(feed), 3);
	feed_close(feed);
}

static void a_skipping_scan_is_a_full_scan_at_every_target(void **state)
{
	(void)state;
	add_table_of_many_blocks(true);
	put(330, "x", "");
	fake_kv_flush(kv);
	put(331, "y", "");
	for (uint64_t since = 0; since <= 332; since++) {
		read_since(since);
		read_with(&(struct feed_options){.since.seqno = since, .distrust_bounds = true},
			  &others);
		assert_int_equal(seen.count, others.count);
		for (unsigned i = 0; i < seen.count; i++)
			assert_string_equal(seen.lines[i], others.lines[i]);
	}
}

static void damage_is_an_error_and_no_wrong_answer(void **state)
{
	struct feed_event event;
	struct feed *feed;

	(void)state;
	add_table_of_many_blocks(true);
	put(400, "k", "");
	assert_int_equal(feed_open(kv, &(struct feed_options){.since.seqno = 310}, &feed), 0);
	fake_kv_fail(kv, 5, TABLE_E_CORRUPT);
	assert_int_equal(feed_next(feed, &event), FEED_E_CORRUPT);
	assert_string_equal(feed_error(feed), "table 1: damaged");
	assert_int_equal(feed_position(feed).seqno, 310);
	drain(feed, UINT32_MAX, &seen);
	assert_int_equal(seen.count, 12);
	assert_string_equal(seen.lines[0], "310 put 00013 v");
	feed_close(feed);
}

static void a_damaged_value_out_of_line_is_an_error(void **state)
{
	uint8_t place[4];
	struct entry blob = made(1, ENTRY_BLOB, "large", "");
	struct feed_event event;
	struct feed *feed;

	(void)state;
	store_le32(place, fake_kv_blob(kv, "value", 5));
	blob.value = (struct entry_bytes){place, 4};
	fake_kv_table(kv, &blob, 1, true);
	assert_int_equal(feed_open(kv, &(struct feed_options){0}, &feed), 0);
	fake_kv_fail(kv, 0, KV_E_CORRUPT);
	assert_int_equal(feed_next(feed, &event), FEED_E_CORRUPT);
	assert_string_equal(feed_error(feed), "blob 1: damaged");
	drain(feed, UINT32_MAX, &seen);
	ASSERT_LINES("1 put large value");
	feed_close(feed);
}

static void fill_and_compact(uint64_t floor)
{
	for (uint64_t seqno = 1; seqno <= 20; seqno++) {
		put(seqno, seqno % 2 ? "odd" : "even", "v");
		if (seqno % 3 == 0)
			fake_kv_flush(kv);
	}
	fake_kv_compact(kv, floor);
}

static void after_compaction_all_above_the_watermark_is_there(void **state)
{
	(void)state;
	fill_and_compact(16);
	assert_int_equal(kv_history(kv), 14);
	read_since(14);
	ASSERT_LINES("14 put even v", "15 put odd v", "16 put even v", "17 put odd v",
		     "18 put even v", "19 put odd v", "20 put even v");
}

static void the_gap_is_exact(void **state)
{
	struct feed_event event;
	struct feed *feed;

	(void)state;
	fill_and_compact(16);
	for (uint64_t since = 0; since < 14; since++) {
		assert_int_equal(feed_open(kv, &(struct feed_options){.since.seqno = since}, &feed),
				 0);
		assert_int_equal(feed_next(feed, &event), FEED_E_GAP);
		assert_int_equal(feed_next(feed, &event), FEED_E_GAP);
		assert_int_equal(feed_oldest(feed), 14);
		feed_close(feed);
	}
	read_since(14);
	assert_int_equal(seen.rc, FEED_E_END);
}

static void a_reader_behind_a_number_needs_it_no_more(void **state)
{
	struct feed *feed;

	(void)state;
	for (uint64_t seqno = 1; seqno <= 8; seqno++)
		put(seqno, "k", "v");
	fake_kv_flush(kv);
	assert_int_equal(feed_open(kv, &(struct feed_options){.follow = true, .window = 3}, &feed),
			 0);
	drain(feed, 3, &seen);
	assert_int_equal(feed_position(feed).seqno, 4);
	assert_int_equal(feed_position(feed).index, 0);
	fake_kv_compact(kv, 5);
	assert_int_equal(kv_history(kv), 4);
	drain(feed, UINT32_MAX, &seen);
	ASSERT_LINES("4 put k v", "5 put k v", "6 put k v", "7 put k v", "8 put k v");
	feed_close(feed);
}

static void what_was_collected_comes_although_history_went_on(void **state)
{
	struct feed *feed;

	(void)state;
	for (uint64_t seqno = 1; seqno <= 8; seqno++)
		put(seqno, "k", "v");
	fake_kv_flush(kv);
	assert_int_equal(feed_open(kv, &(struct feed_options){.follow = true, .window = 3}, &feed),
			 0);
	drain(feed, 1, &seen);
	fake_kv_compact(kv, 8);
	drain(feed, 2, &seen);
	assert_string_equal(seen.lines[1], "3 put k v");
	drain(feed, 1, &seen);
	assert_int_equal(seen.rc, FEED_E_GAP);
	assert_int_equal(feed_position(feed).seqno, 4);
	feed_close(feed);
}

static void a_follower_goes_on_with_what_comes(void **state)
{
	struct feed *feed;

	(void)state;
	assert_int_equal(feed_open(kv, &(struct feed_options){.follow = true}, &feed), 0);
	drain(feed, UINT32_MAX, &seen);
	assert_nothing();
	for (uint64_t seqno = 1; seqno < 40; seqno++) {
		put(seqno * 2, "k", "v");
		if (seqno % 5 == 0)
			fake_kv_seal(kv);
		if (seqno % 7 == 0)
			fake_kv_flush(kv);
		drain(feed, UINT32_MAX, &seen);
		assert_int_equal(seen.count, 1);
		assert_int_equal(seen.rc, FEED_E_END);
		assert_int_equal(strtoull(seen.lines[0], NULL, 10), seqno * 2);
		assert_int_equal(feed_resolved(feed), seqno * 2 + 1);
	}
	assert_int_equal(fake_kv_blocks(kv), 5); /* what was flushed before it was read */
	feed_close(feed);
}

static void a_slow_follower_goes_on_from_tables(void **state)
{
	struct feed *feed;

	(void)state;
	for (uint64_t seqno = 1; seqno <= 10; seqno++)
		put(seqno, "k", "v");
	assert_int_equal(feed_open(kv, &(struct feed_options){.follow = true, .window = 4}, &feed),
			 0);
	drain(feed, 2, &seen);
	assert_int_equal(fake_kv_views(kv), 0);
	fake_kv_flush(kv);
	put(11, "k", "v");
	fake_kv_compact(kv, 0);
	drain(feed, UINT32_MAX, &seen);
	assert_int_equal(seen.count, 9);
	assert_string_equal(seen.lines[0], "3 put k v");
	assert_string_equal(seen.lines[8], "11 put k v");
	feed_close(feed);
}

static void only_what_is_durable_is_given_out(void **state)
{
	struct feed *feed;

	(void)state;
	put(1, "a", "");
	put(2, "b", "");
	fake_kv_set_durable(kv, 1);
	assert_int_equal(feed_open(kv, &(struct feed_options){.follow = true}, &feed), 0);
	drain(feed, UINT32_MAX, &seen);
	ASSERT_LINES("1 put a ");
	fake_kv_set_durable(kv, 2);
	drain(feed, UINT32_MAX, &seen);
	ASSERT_LINES("2 put b ");
	feed_close(feed);
}

static void a_poll_core_never_waits_and_gets_the_same(void **state)
{
	(void)state;
	add_table_of_many_blocks(true);
	for (uint64_t seqno = 321; seqno < 400; seqno++)
		put(seqno, seqno % 3 ? "a" : "b", "v");
	fake_kv_flush(kv);
	fake_kv_seal(kv);
	put(400, "live", "");
	read_since(0);
	for (uint32_t every = 2; every < 6; every++) {
		fake_kv_wait(kv, every);
		read_with(&(struct feed_options){.wait_never = true, .window = 50}, &others);
		assert_int_equal(others.rc, FEED_E_END);
		assert_int_equal(seen.count, others.count);
		for (unsigned i = 0; i < seen.count; i++)
			assert_string_equal(seen.lines[i], others.lines[i]);
	}
}

/* While it waits in a pass, what it collects from stays as it was. */
static void changes_amid_a_pass_are_neither_lost_nor_doubled(void **state)
{
	struct feed_event event;
	struct feed *feed;
	uint64_t seqno = 320, expected = 1;

	(void)state;
	add_table_of_many_blocks(true);
	fake_kv_wait(kv, 2);
	assert_int_equal(
		feed_open(kv,
			  &(struct feed_options){.follow = true, .wait_never = true, .window = 60},
			  &feed),
		0);
	for (unsigned turn = 0; expected <= 400; turn++) {
		int rc = feed_next(feed, &event);

		if (turn % 20 == 0 && seqno < 400)
			put(++seqno, "k", "v");
		if (turn % 97 == 0)
			fake_kv_flush(kv);
		if (rc == FEED_E_WAIT || rc == FEED_E_END)
			continue;
		assert_int_equal(rc, 0);
		assert_int_equal(event.seqno, expected++);
	}
	feed_close(feed);
}

static void a_token_goes_on_with_exactly_the_rest(void **state)
{
	struct entry ingested[] = {made(4, ENTRY_VALUE, "c", "3"), made(4, ENTRY_VALUE, "a", "1"),
				   made(4, ENTRY_VALUE, "b", "2")};
	static const uint8_t store[16] = "store";
	struct feed_event event;
	struct feed *feed;

	(void)state;
	put(1, "x", "");
	put(2, "x", "");
	fake_kv_flush(kv);
	put(3, "y", "");
	put(6, "z", "");
	fake_kv_table(kv, ingested, 3, true);
	read_since(0);
	assert_int_equal(seen.count, 7);
	assert_int_equal(feed_open(kv, &(struct feed_options){.window = 2}, &feed), 0);
	for (unsigned given = 0; given <= 7; given++) {
		uint8_t token[FEED_TOKEN_SIZE];
		struct feed_options options = {.window = 1 + given % 3,
					       .scratch = given % 2 ? faulty_io(disk) : NULL};

		feed_token_encode(feed_position(feed), store, token);
		assert_int_equal(feed_token_decode(token, store, &options.since), 0);
		read_with(&options, &others);
		assert_int_equal(others.rc, FEED_E_END);
		assert_int_equal(others.count, 7 - given);
		for (unsigned i = 0; i < others.count; i++)
			assert_string_equal(others.lines[i], seen.lines[given + i]);
		assert_int_equal(feed_next(feed, &event), given < 7 ? 0 : FEED_E_END);
	}
	feed_close(feed);
}

static void a_position_behind_a_numbers_events_is_the_next_number(void **state)
{
	(void)state;
	put(1, "a", "");
	put(2, "b", "");
	read_with(&(struct feed_options){.since = {.seqno = 1, .index = 1}}, &seen);
	ASSERT_LINES("2 put b ");
	read_with(&(struct feed_options){.since = {.seqno = 1, .index = 99}}, &seen);
	ASSERT_LINES("2 put b ");
}

static void a_window_is_bounded_by_bytes_too(void **state)
{
	uint8_t *value = calloc(1, ENTRY_VALUE_MAX);
	struct feed_event event;
	struct feed *feed;

	(void)state;
	assert_non_null(value);
	for (uint64_t seqno = 40; seqno > 0; seqno--) {
		struct entry entry = {.key = text("k"),
				      .value = {value, ENTRY_VALUE_MAX},
				      .seqno = seqno,
				      .kind = ENTRY_MERGE};

		value[0] = (uint8_t)seqno;
		fake_kv_table(kv, &entry, 1, true);
	}
	assert_int_equal(feed_open(kv, &(struct feed_options){0}, &feed), 0);
	for (uint64_t seqno = 1; seqno <= 40; seqno++) {
		assert_int_equal(feed_next(feed, &event), 0);
		assert_int_equal(event.seqno, seqno);
		assert_int_equal(event.value.size, ENTRY_VALUE_MAX);
		assert_int_equal(event.value.bytes[0], seqno);
	}
	assert_int_equal(feed_next(feed, &event), FEED_E_END);
	feed_close(feed);
	free(value);
}

/* Eight hundred entries in the order of their keys, whose numbers are all over it. */
static void add_mixed_table_of(const char *value)
{
	static struct entry entries[800];
	static char keys[ARRAY_COUNT(entries)][8];

	for (uint32_t i = 0; i < ARRAY_COUNT(entries); i++) {
		snprintf(keys[i], sizeof(keys[i]), "%05u", i);
		entries[i] = made(1 + i * 303 % ARRAY_COUNT(entries), ENTRY_VALUE, keys[i], value);
	}
	fake_kv_table(kv, entries, ARRAY_COUNT(entries), true);
}

static void add_mixed_table(void)
{
	add_mixed_table_of("v");
}

static struct feed *open_sorting(uint32_t window)
{
	struct feed *feed;

	assert_int_equal(
		feed_open(kv, &(struct feed_options){.window = window, .scratch = faulty_io(disk)},
			  &feed),
		0);
	return feed;
}

/* All of them, in order. */
static void assert_mixed(void)
{
	assert_int_equal(seen.rc, FEED_E_END);
	assert_int_equal(seen.count, 800);
	for (unsigned i = 0; i < seen.count; i++)
		assert_int_equal(strtoull(seen.lines[i], NULL, 10), i + 1);
}

static void mixed_tables_are_read_once_however_small_the_window(void **state)
{
	(void)state;
	add_mixed_table();
	for (uint32_t window = 10; window < 1000; window *= 3) {
		struct feed *feed = open_sorting(window);

		drain(feed, UINT32_MAX, &seen);
		assert_mixed();
		assert_int_equal(feed_cost(feed).blocks, 800 / FAKE_KV_BLOCK);
		assert_int_equal(feed_cost(feed).scratch > 0, window < 800);
		feed_close(feed);
	}
}

static void without_a_file_each_window_is_a_reading(void **state)
{
	struct feed *feed;

	(void)state;
	add_mixed_table();
	assert_int_equal(feed_open(kv, &(struct feed_options){.window = 100}, &feed), 0);
	drain(feed, UINT32_MAX, &seen);
	assert_mixed();
	assert_in_range(feed_cost(feed).blocks, 7 * 800 / FAKE_KV_BLOCK, 8 * 800 / FAKE_KV_BLOCK);
	assert_int_equal(feed_cost(feed).scratch, 0);
	feed_close(feed);
}

/* As memtables are flushed: each is a pass's, and has room. */
static void tables_with_numbers_of_their_own_need_no_file(void **state)
{
	struct feed *feed = open_sorting(50);

	(void)state;
	feed_close(feed);
	for (uint64_t seqno = 1; seqno <= 800; seqno++) {
		put(seqno, seqno % 3 ? "a" : "b", "v");
		if (seqno % 40 == 0)
			fake_kv_flush(kv);
	}
	feed = open_sorting(50);
	drain(feed, UINT32_MAX, &seen);
	assert_mixed();
	assert_int_equal(feed_cost(feed).blocks, 800 / FAKE_KV_BLOCK);
	assert_int_equal(feed_cost(feed).scratch, 0);
	feed_close(feed);
}

static void who_reads_runs_holds_nothing_but_files_of_values(void **state)
{
	uint8_t place[4];
	struct entry blob = made(801, ENTRY_BLOB, "large", "");
	struct feed *feed;

	(void)state;
	add_mixed_table();
	feed = open_sorting(100);
	drain(feed, 1, &seen);
	assert_int_equal(fake_kv_views(kv), 0);
	feed_close(feed);

	store_le32(place, fake_kv_blob(kv, "a large value", 13));
	blob.value = (struct entry_bytes){place, 4};
	fake_kv_table(kv, &blob, 1, true);
	fake_kv_compact(kv, 0);
	feed = open_sorting(100);
	drain(feed, 800, &seen);
	assert_int_equal(fake_kv_views(kv), 1);
	fake_kv_compact(kv, 0);
	drain(feed, UINT32_MAX, &seen);
	ASSERT_LINES("801 put large a large value");
	assert_int_equal(fake_kv_views(kv), 0);
	feed_close(feed);
}

/* What was sorted is given out, whatever compaction drops meanwhile; and what came is behind it. */
static void what_was_sorted_comes_although_history_went_on(void **state)
{
	struct feed *feed;

	(void)state;
	add_mixed_table();
	assert_int_equal(feed_open(kv,
				   &(struct feed_options){.follow = true,
							  .window = 100,
							  .scratch = faulty_io(disk)},
				   &feed),
			 0);
	drain(feed, 300, &seen);
	put(801, "00001", "w");
	fake_kv_flush(kv);
	fake_kv_compact(kv, 802);
	assert_true(kv_history(kv) > 300);
	drain(feed, UINT32_MAX, &seen);
	assert_int_equal(seen.rc, FEED_E_END);
	assert_int_equal(seen.count, 501);
	assert_string_equal(seen.lines[0] + 3, " put 00500 v");
	assert_string_equal(seen.lines[500], "801 put 00001 w");
	feed_close(feed);
}

/* Of files that feeds were kept from removing. */
static void remove_names(void)
{
	char(*names)[IO_NAME_MAX + 1];
	uint32_t count = faulty_files(disk, &names);

	for (uint32_t i = 0; i < count; i++) {
		assert_true(feed_runs_is_name(names[i]));
		assert_int_equal(io_remove(faulty_io(disk), names[i]), 0);
	}
	free(names);
}

/* From no room at all to enough: the same events, after more readings. */
static void with_less_room_it_sorts_less_at_once(void **state)
{
	(void)state;
	add_mixed_table();
	for (uint64_t pages = 1; pages <= 64; pages++) {
		struct feed *feed = open_sorting(50);

		faulty_set_capacity(disk, pages * 4096);
		drain(feed, UINT32_MAX, &seen);
		assert_mixed();
		assert_true(pages < 64 || feed_cost(feed).scratch > 0);
		feed_close(feed);
	}
}

static void where_no_file_can_be_made_it_reads_again(void **state)
{
	static const int errors[] = {-EROFS, -EACCES, -EIO, -EDQUOT};

	(void)state;
	add_mixed_table();
	for (unsigned i = 0; i < ARRAY_COUNT(errors); i++)
		for (uint64_t call = 1; call < 6; call++) {
			struct feed *feed = open_sorting(50);

			/* The second call removes the name, which then stays. */
			faulty_fail_at(disk, faulty_calls(disk) + call, errors[i],
				       call == 2 ? 1 : 1000);
			drain(feed, UINT32_MAX, &seen);
			assert_mixed();
			faulty_fail_at(disk, 0, 0, 0);
			feed_close(feed);
		}
	remove_names();
}

/* After which it begins again where it stands. */
static void a_file_that_cannot_be_read_is_an_error_once(void **state)
{
	static char value[1000];
	struct feed *feed;

	(void)state;
	memset(value, 'v', sizeof(value) - 1);
	add_mixed_table_of(value);
	feed = open_sorting(50);
	drain(feed, 120, &others);
	faulty_fail_at(disk, faulty_calls(disk) + 1, -EIO, 1);
	drain(feed, UINT32_MAX, &seen);
	assert_int_equal(seen.rc, -EIO);
	assert_int_equal(feed_position(feed).seqno, 121 + seen.count);
	others.count += seen.count;
	drain(feed, UINT32_MAX, &seen);
	assert_int_equal(seen.rc, FEED_E_END);
	assert_int_equal(others.count + seen.count, 800);
	assert_int_equal(strtoull(seen.lines[0], NULL, 10), others.count + 1);
	feed_close(feed);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(only_numbers_at_or_after_the_target_come),
		CASE(numbers_rise_although_keys_are_scrambled),
		CASE(a_write_and_its_delete_are_two_events),
		CASE(superseded_versions_are_there),
		CASE(a_weak_tombstone_is_a_point_tombstone),
		CASE(a_merge_operand_comes_raw_with_its_operator),
		CASE(an_insert_has_its_type_and_expiry),
		CASE(a_range_tombstone_has_bounds_and_number),
		CASE(pieces_of_a_range_tombstone_are_put_together),
		CASE(tables_and_memtables_are_united),
		CASE(blocks_without_anything_wanted_are_not_read),
		CASE(a_table_without_anything_wanted_is_not_opened),
		CASE(tables_with_and_without_bounds_are_exact_together),
		CASE(values_out_of_line_are_resolved),
		CASE(an_ingested_table_is_found_by_its_number),
		CASE(a_reader_that_is_caught_up_gets_nothing),
		CASE(later_writes_do_not_leak_in),
		CASE(a_skipping_scan_is_a_full_scan_at_every_target),
		CASE(damage_is_an_error_and_no_wrong_answer),
		CASE(a_damaged_value_out_of_line_is_an_error),
		CASE(after_compaction_all_above_the_watermark_is_there),
		CASE(the_gap_is_exact),
		CASE(a_reader_behind_a_number_needs_it_no_more),
		CASE(what_was_collected_comes_although_history_went_on),
		CASE(a_follower_goes_on_with_what_comes),
		CASE(a_slow_follower_goes_on_from_tables),
		CASE(only_what_is_durable_is_given_out),
		CASE(a_poll_core_never_waits_and_gets_the_same),
		CASE(changes_amid_a_pass_are_neither_lost_nor_doubled),
		CASE(a_token_goes_on_with_exactly_the_rest),
		CASE(a_position_behind_a_numbers_events_is_the_next_number),
		CASE(a_window_is_bounded_by_bytes_too),
		CASE(mixed_tables_are_read_once_however_small_the_window),
		CASE(without_a_file_each_window_is_a_reading),
		CASE(tables_with_numbers_of_their_own_need_no_file),
		CASE(who_reads_runs_holds_nothing_but_files_of_values),
		CASE(what_was_sorted_comes_although_history_went_on),
		CASE(with_less_room_it_sorts_less_at_once),
		CASE(where_no_file_can_be_made_it_reads_again),
		CASE(a_file_that_cannot_be_read_is_an_error_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

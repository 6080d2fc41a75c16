/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Tables of random entries against a sorted array: every cursor, both ways, all windows, with and
 * without bounds, compression, cache, and a number of their own.
 */

#include "base/defs.h"
#include "engine/block_cache.h"
#include "tests/lib/faulty.h"
#include "tests/lib/tables.h"
#include "tests/lib/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 60
#define SEED   UINT64_C(20250)
#define NAME   "1.table"

/* One table, the model of it, and how it is read. */
struct trial {
	struct rand rand;
	struct faulty *disk;
	struct tables_set *set;
	struct tables_shape shape;
	struct table_writer_options writer;
	struct table_options options;
	struct table_summary summary;
	struct block_cache *cache;
	struct table *table;
	uint64_t global;
	bool wait_never;
};

static void make_shape(struct trial *trial)
{
	struct rand *rand = &trial->rand;

	trial->shape = (struct tables_shape){
		.entries = (uint32_t)rand_below(rand, 1 << rand_below(rand, 12)),
		.keys = 2 + (uint32_t)rand_below(rand, 1 << (1 + rand_below(rand, 12))),
		.ranges = rand_below(rand, 2) ? (uint32_t)rand_below(rand, 40) : 0,
		.value_max = (uint32_t)rand_below(rand, 1 << rand_below(rand, 13)),
		.seqno_max = 1 + rand_below(rand, UINT64_C(1) << (1 + rand_below(rand, 50))),
		.ingested = rand_below(rand, 4) == 0,
	};
	if (trial->shape.ranges > 0)
		trial->shape.keys += 10;
	trial->global = trial->shape.ingested ? 1 + rand_below(rand, 1000) : 0;
	trial->wait_never = rand_below(rand, 2);
}

static void open_trial(struct trial *trial, uint64_t seed)
{
	struct rand *rand = &trial->rand;

	rand_init(rand, seed);
	trial->disk = faulty_new(seed);
	make_shape(trial);
	trial->set = tables_make(rand, &trial->shape);
	trial->writer = tables_writer_options(1);
	trial->writer.block_size = rand_below(rand, 2) ? 0 : 64 + (uint32_t)rand_below(rand, 9000);
	trial->writer.compress = rand_below(rand, 2);
	trial->writer.without_bounds = rand_below(rand, 3) == 0;
	trial->writer.filter_bits = (uint32_t)rand_below(rand, 20);
	tables_write(faulty_io(trial->disk), NAME, trial->set, &trial->writer, &trial->summary);
	if (rand_below(rand, 3))
		assert_int_equal(block_cache_new(faulty_io(trial->disk), BLOCK_CACHE_SIZE_MIN,
						 &trial->cache),
				 0);
	trial->options = tables_options(1);
	trial->options.cache = trial->cache;
	trial->options.seqno_global = trial->global;
	trial->table = tables_open(faulty_io(trial->disk), NAME, &trial->options);
}

static void close_trial(struct trial *trial)
{
	table_close(trial->table);
	block_cache_free(trial->cache);
	tables_free(trial->set);
	faulty_free(trial->disk);
}

/* A step of the cursor, as often as it has to wait. */
#define STEP(trial, call)                                                                          \
	({                                                                                         \
		int step_result;                                                                   \
		while ((step_result = (call)) == TABLE_E_WAIT) {                                   \
			assert_true((trial)->wait_never && (trial)->cache);                        \
			(void)block_cache_poll((trial)->cache);                                    \
		}                                                                                  \
		step_result;                                                                       \
	})

static struct table_cursor *make_cursor(struct trial *trial, uint64_t from, uint64_t to,
					bool distrust)
{
	const struct table_cursor_options options = {
		.wait_never = trial->wait_never,
		.seqno_from = from,
		.seqno_to = to,
		.distrust_bounds = distrust,
		.read_ahead = (uint32_t)rand_below(&trial->rand, 3) * 10000,
	};
	struct table_cursor *cursor;

	assert_int_equal(table_cursor_new(trial->table, &options, &cursor), 0);
	return cursor;
}

static void check_at(struct trial *trial, struct table_cursor *cursor, int result, uint32_t index)
{
	if (index >= trial->set->count) {
		assert_int_equal(result, TABLE_E_END);
		return;
	}
	assert_int_equal(result, 0);
	tables_assert_same(table_cursor_entry(cursor), &trial->set->entries[index], trial->global);
}

static void check_forward(struct trial *trial)
{
	struct table_cursor *cursor = make_cursor(trial, 0, 0, false);
	uint64_t blocks, bytes;

	check_at(trial, cursor, STEP(trial, table_cursor_first(cursor)), 0);
	for (uint32_t i = 1; i <= trial->set->count; i++)
		check_at(trial, cursor, STEP(trial, table_cursor_next(cursor)), i);
	table_cursor_cost(cursor, &blocks, &bytes);
	assert_int_equal(blocks, table_block_count(trial->table));
	assert_int_equal(bytes, table_parts(trial->table).blocks);
	table_cursor_free(cursor);
}

static void check_backward(struct trial *trial)
{
	struct table_cursor *cursor = make_cursor(trial, 0, 0, false);
	uint32_t count = trial->set->count;

	check_at(trial, cursor, STEP(trial, table_cursor_last(cursor)), count - 1);
	for (uint32_t i = count; i > 1; i--)
		check_at(trial, cursor, STEP(trial, table_cursor_previous(cursor)), i - 2);
	if (count > 0)
		check_at(trial, cursor, STEP(trial, table_cursor_previous(cursor)), UINT32_MAX);
	table_cursor_free(cursor);
}

/* A (key, number) near what there is; the number is global. */
static struct entry_bytes make_target(struct trial *trial, uint8_t *bytes, uint64_t *ret_seqno)
{
	struct rand *rand = &trial->rand;
	const struct tables_set *set = trial->set;
	uint32_t index = (uint32_t)rand_below(rand, set->count + 1);

	if (index < set->count && rand_below(rand, 3)) {
		const struct entry *entry = &set->entries[index];

		memcpy(bytes, entry->key.bytes, entry->key.size);
		*ret_seqno = entry->seqno + trial->global + rand_below(rand, 3) - 1;
		return (struct entry_bytes){bytes, entry->key.size};
	}
	*ret_seqno = rand_below(rand, 2) ? UINT64_MAX : rand_below(rand, trial->shape.seqno_max);
	return tables_key(rand, trial->shape.keys, bytes);
}

/* Where the model's first at or behind the target is. */
static uint32_t model_seek(const struct trial *trial, struct entry_bytes key, uint64_t seqno)
{
	const struct tables_set *set = trial->set;
	uint32_t index;

	if (seqno == UINT64_MAX)
		return tables_find(set, key, seqno);
	if (seqno >= trial->global)
		return tables_find(set, key, seqno - trial->global);
	index = tables_find(set, key, 0);
	if (index < set->count && set->entries[index].key.size == key.size &&
	    memcmp(set->entries[index].key.bytes, key.bytes, key.size) == 0)
		index++;
	return index;
}

static void check_seeks(struct trial *trial)
{
	struct table_cursor *cursor = make_cursor(trial, 0, 0, false);
	uint8_t bytes[ENTRY_KEY_MAX];

	for (unsigned i = 0; i < 200; i++) {
		uint64_t seqno;
		struct entry_bytes key = make_target(trial, bytes, &seqno);
		uint32_t index = model_seek(trial, key, seqno);

		check_at(trial, cursor, STEP(trial, table_cursor_seek(cursor, key, seqno)), index);
		for (unsigned step = 0; step < 8 && index < trial->set->count; step++) {
			if (rand_below(&trial->rand, 2)) {
				index++;
				check_at(trial, cursor, STEP(trial, table_cursor_next(cursor)),
					 index);
			} else if (index > 0) {
				index--;
				check_at(trial, cursor, STEP(trial, table_cursor_previous(cursor)),
					 index);
			}
		}
	}
	table_cursor_free(cursor);
}

static void check_gets(struct trial *trial)
{
	unsigned flags = trial->wait_never ? TABLE_WAIT_NEVER : 0;
	uint8_t bytes[ENTRY_KEY_MAX];
	struct table_pin pin = {0};

	for (unsigned i = 0; i < 300; i++) {
		uint64_t seqno;
		struct entry_bytes key = make_target(trial, bytes, &seqno);
		uint32_t index = model_seek(trial, key, seqno);
		const struct entry *wanted = &trial->set->entries[index];
		struct entry entry;
		int result = STEP(trial, table_get(trial->table, key, seqno, flags, &pin, &entry));

		if (index < trial->set->count && wanted->key.size == key.size &&
		    memcmp(wanted->key.bytes, key.bytes, key.size) == 0) {
			assert_int_equal(result, 0);
			assert_true(table_may_have(trial->table, key));
			tables_assert_same(&entry, wanted, trial->global);
		} else {
			assert_int_equal(result, TABLE_E_END);
		}
	}
	table_pin_release(&pin);
}

/* What lies in the window is given out, in order; what else is given out is in the table, in
 * order too. */
static void check_window(struct trial *trial, uint64_t from, uint64_t to, bool distrust)
{
	struct table_cursor *cursor = make_cursor(trial, from, to, distrust);
	uint32_t at = 0;
	int result = STEP(trial, table_cursor_first(cursor));

	for (uint32_t i = 0; i < trial->set->count; i++) {
		const struct entry *entry = &trial->set->entries[i];
		uint64_t seqno = entry->seqno + trial->global;
		bool wanted = seqno >= from && seqno <= to;

		if (result == 0) {
			struct entry found = *table_cursor_entry(cursor);

			found.seqno -= trial->global;
			if (entry_compare(&found, entry) == 0) {
				tables_assert_same(table_cursor_entry(cursor), entry,
						   trial->global);
				result = STEP(trial, table_cursor_next(cursor));
				at++;
				continue;
			}
		}
		assert_false(wanted);
	}
	assert_int_equal(result, TABLE_E_END);
	assert_true(at <= trial->set->count);
	table_cursor_free(cursor);
}

/* The same blocks backwards: as many entries as forwards. */
static void check_window_both_ways(struct trial *trial, uint64_t from, uint64_t to)
{
	struct table_cursor *cursor = make_cursor(trial, from, to, false);
	uint32_t forward = 0, backward = 0;
	int result;

	for (result = STEP(trial, table_cursor_first(cursor)); result == 0;
	     result = STEP(trial, table_cursor_next(cursor)))
		forward++;
	assert_int_equal(result, TABLE_E_END);
	for (result = STEP(trial, table_cursor_last(cursor)); result == 0;
	     result = STEP(trial, table_cursor_previous(cursor)))
		backward++;
	assert_int_equal(result, TABLE_E_END);
	assert_int_equal(forward, backward);
	table_cursor_free(cursor);
}

static void check_windows(struct trial *trial)
{
	for (unsigned i = 0; i < 12; i++) {
		uint64_t from = rand_below(&trial->rand, trial->shape.seqno_max + 2);
		uint64_t to = i == 0 ? UINT64_MAX
				     : from + 1 +
					       rand_below(&trial->rand,
							  trial->shape.seqno_max / (i + 1) + 2);

		check_window(trial, from, to, i % 5 == 4);
		check_window_both_ways(trial, from, to);
	}
}

static void check_whole(struct trial *trial)
{
	const struct table_summary *summary = table_summary(trial->table);

	if (table_verify(trial->table))
		fail_msg("%s", table_error(trial->table));
	assert_int_equal(summary->entries, trial->set->count + trial->set->range_count);
	assert_int_equal(summary->entries, trial->summary.entries);
	assert_int_equal(summary->size, trial->summary.size);
	assert_int_equal(summary->crc, trial->summary.crc);
	assert_int_equal(table_range_count(trial->table), trial->set->range_count);
	for (uint32_t i = 0; i < trial->set->range_count; i++) {
		struct entry range = table_range(trial->table, i);

		tables_assert_same(&range, &trial->set->ranges[i], trial->global);
	}
}

static void any_table_is_read_as_it_was_written(void **state)
{
	const char *rounds = getenv("TERN_ROUNDS");
	unsigned count = rounds ? (unsigned)strtoul(rounds, NULL, 10) : ROUNDS;
	const char *seed_text = getenv("TERN_SEED");
	uint64_t seed = seed_text ? strtoull(seed_text, NULL, 10) : SEED;

	for (unsigned i = 0; i < count; i++) {
		struct trial trial = {0};

		print_message("seed %llu\n", (unsigned long long)(seed + i));
		open_trial(&trial, seed + i);
		check_whole(&trial);
		check_forward(&trial);
		check_backward(&trial);
		check_seeks(&trial);
		check_gets(&trial);
		check_windows(&trial);
		close_trial(&trial);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_table_is_read_as_it_was_written),
	};
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/defs.h"
#include "engine/block_cache.h"
#include "engine/table_format.h"
#include "tests/lib/faulty.h"
#include "tests/lib/tables.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME   "7.table"
#define NUMBER 7

static struct faulty *disk;
static struct io *io;
static char error[240];

static int set_up(void **state)
{
	disk = faulty_new(1);
	io = faulty_io(disk);
	error[0] = '\0';
	return 0;
}

static int tear_down(void **state)
{
	faulty_free(disk);
	return 0;
}

static struct entry_bytes text(const char *string)
{
	return (struct entry_bytes){(const uint8_t *)string, (uint32_t)strlen(string)};
}

static struct entry value_of(const char *key, uint64_t seqno, const char *value)
{
	return (struct entry){
		.key = text(key), .value = text(value), .seqno = seqno, .kind = ENTRY_VALUE};
}

static struct entry range_of(const char *key, const char *end, uint64_t seqno)
{
	return (struct entry){.key = text(key),
			      .value = text(end),
			      .seqno = seqno,
			      .kind = ENTRY_RANGE_TOMBSTONE};
}

static struct table_writer *make_writer(void)
{
	struct table_writer_options options = tables_writer_options(NUMBER);
	struct table_writer *writer;

	assert_int_equal(table_writer_new(io, NAME, &options, &writer), 0);
	return writer;
}

static bool has_file(const char *name)
{
	size_t size;
	uint8_t *bytes = faulty_file_bytes(disk, name, &size);

	free(bytes);
	return bytes != NULL;
}

/* Small, and with one of everything. */
static struct tables_set *make_small(struct table_summary *ret_summary)
{
	const struct tables_shape shape = {
		.entries = 24, .keys = 20, .ranges = 3, .value_max = 60, .seqno_max = 500};
	struct table_writer_options options = tables_writer_options(NUMBER);
	struct tables_set *set;
	struct rand rand;

	rand_init(&rand, 4);
	set = tables_make(&rand, &shape);
	options.block_size = 512;
	options.compress = true;
	tables_write(io, NAME, set, &options, ret_summary);
	return set;
}

static void refuse(const struct table_options *options, const char *why)
{
	struct table *table = NULL;

	assert_int_equal(table_open(io, NAME, options, &table, error, sizeof(error)),
			 TABLE_E_CORRUPT);
	assert_null(table);
	if (!strstr(error, why))
		fail_msg("'%s' is not in '%s'", why, error);
}

static void what_is_out_of_order_or_too_long_is_refused(void **state)
{
	static uint8_t bytes[ENTRY_VALUE_MAX + 1];
	const struct entry bad[] = {
		value_of("a", 5, "the same again"),
		value_of("a", 6, "younger behind older"),
		value_of("A", 1, "a smaller key"),
		value_of("", 1, "no key"),
		range_of("m", "m", 3),
		range_of("m", "b", 3),
		range_of("", "b", 3),
		{.key = {bytes, ENTRY_KEY_MAX + 1}, .kind = ENTRY_VALUE},
		{.key = {bytes, 1}, .value = {bytes, ENTRY_VALUE_MAX + 1}, .kind = ENTRY_VALUE},
		{.key = {bytes, 1},
		 .value = {bytes, ENTRY_KEY_MAX + 1},
		 .kind = ENTRY_RANGE_TOMBSTONE},
		{.key = text("b"), .value = text("no place"), .kind = ENTRY_BLOB},
		{.key = text("b"), .kind = 0},
		{.key = text("b"), .kind = ENTRY_RANGE_TOMBSTONE + 1},
	};

	memset(bytes, 'z', sizeof(bytes));
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
		struct table_writer *writer = make_writer();
		struct entry good = value_of("a", 5, "");
		struct entry next = value_of("zz", 5, "");
		struct table_summary summary;

		assert_int_equal(table_writer_add(writer, &good), 0);
		assert_int_equal(table_writer_add(writer, &bad[i]), -EINVAL);
		assert_int_equal(table_writer_add(writer, &next), -EINVAL);
		assert_int_equal(table_writer_finish(writer, &summary), -EINVAL);
		assert_false(has_file(NAME));
	}
}

static void options_beyond_the_limits_are_refused(void **state)
{
	struct table_writer_options options = tables_writer_options(NUMBER);
	struct table_writer *writer;

	options.block_size = TABLE_BLOCK_SIZE_MAX + 1;
	assert_int_equal(table_writer_new(io, NAME, &options, &writer), -EINVAL);
	options.block_size = 0;
	options.filter_bits = TABLE_FILTER_BITS_MAX + 1;
	assert_int_equal(table_writer_new(io, NAME, &options, &writer), -EINVAL);
	assert_false(has_file(NAME));
}

static void an_aborted_writer_leaves_no_file(void **state)
{
	struct table_writer *writer = make_writer();
	struct entry entry = value_of("a", 5, "");

	assert_int_equal(table_writer_add(writer, &entry), 0);
	assert_true(table_writer_size(writer) > 0);
	table_writer_abort(writer);
	table_writer_abort(NULL);
	assert_false(has_file(NAME));
}

static void an_empty_table_is_one(void **state)
{
	struct table_options options = tables_options(NUMBER);
	struct table_cursor_options any = {.seqno_to = 0};
	struct table_summary summary;
	struct table_cursor *cursor;
	struct table_pin pin = {0};
	struct entry entry;
	struct table *table;

	assert_int_equal(table_writer_finish(make_writer(), &summary), 0);
	assert_int_equal(summary.entries, 0);
	assert_int_equal(summary.seqno_min, UINT64_MAX);
	table = tables_open(io, NAME, &options);
	assert_int_equal(table_get(table, text("a"), UINT64_MAX, 0, &pin, &entry), TABLE_E_END);
	assert_int_equal(table_cursor_new(table, &any, &cursor), 0);
	assert_int_equal(table_cursor_first(cursor), TABLE_E_END);
	assert_int_equal(table_cursor_last(cursor), TABLE_E_END);
	assert_int_equal(table_cursor_next(cursor), TABLE_E_END);
	assert_int_equal(table_cursor_seek(cursor, text("a"), 1), TABLE_E_END);
	assert_int_equal(table_verify(table), 0);
	table_cursor_free(cursor);
	table_pin_release(&pin);
	table_close(table);
}

static void assert_key(const uint8_t *bytes, uint16_t size, const char *wanted)
{
	assert_int_equal(size, strlen(wanted));
	assert_memory_equal(bytes, wanted, size);
}

static void range_tombstones_widen_the_keys_and_numbers(void **state)
{
	const struct entry entry = value_of("m", 50, "");
	const struct entry ranges[] = {range_of("x", "z", 70), range_of("b", "c", 20)};
	struct table_options options = tables_options(NUMBER);
	struct table_writer *writer = make_writer();
	struct table_summary summary;
	struct table *table;

	assert_int_equal(table_writer_add(writer, &ranges[0]), 0);
	assert_int_equal(table_writer_add(writer, &entry), 0);
	assert_int_equal(table_writer_add(writer, &ranges[1]), 0);
	assert_int_equal(table_writer_finish(writer, &summary), 0);
	table = tables_open(io, NAME, &options);
	assert_key(summary.key_first, summary.key_first_size, "b");
	assert_key(summary.key_last, summary.key_last_size, "z");
	assert_int_equal(summary.seqno_min, 20);
	assert_int_equal(summary.seqno_max, 70);
	assert_int_equal(summary.entries, 3);
	assert_int_equal(summary.tombstones, 2);
	assert_memory_equal(table_summary(table)->key_first, summary.key_first, 1);
	assert_int_equal(table_range(table, 0).seqno, 20);
	assert_int_equal(table_range(table, 1).seqno, 70);
	assert_int_equal(table_verify(table), 0);
	table_close(table);
}

static void another_store_another_number_and_other_sizes_are_refused(void **state)
{
	struct table_options options = tables_options(NUMBER);
	struct table_summary summary;
	struct table *table = NULL;
	uint8_t *bytes;
	size_t size;

	tables_free(make_small(&summary));
	options.number = 8;
	refuse(&options, "this is table 7, not 8");
	options = tables_options(NUMBER);
	options.store[15] ^= 1;
	refuse(&options, "another store");
	options = tables_options(NUMBER);
	bytes = faulty_file_bytes(disk, NAME, &size);
	for (size_t cut = 0; cut < size; cut++) {
		faulty_file_set(disk, NAME, bytes, cut);
		refuse(&options, NAME);
	}
	bytes = realloc(bytes, size + 1);
	bytes[size] = 0;
	faulty_file_set(disk, NAME, bytes, size + 1);
	refuse(&options, NAME);
	memmove(bytes + 1, bytes, size);
	faulty_file_set(disk, NAME, bytes, size + 1);
	refuse(&options, "another size than its footer says");
	free(bytes);
	assert_int_equal(table_open(io, "8.table", &options, &table, error, sizeof(error)),
			 -ENOENT);
}

/* Walks all there is: what is given out is what was written, until an error is. */
static int read_all(struct table *table, const struct tables_set *set, bool backward)
{
	const struct table_cursor_options options = {.read_ahead = backward ? 0 : 1 << 16};
	struct table_cursor *cursor;
	uint32_t at = 0;
	int result;

	assert_int_equal(table_cursor_new(table, &options, &cursor), 0);
	result = backward ? table_cursor_last(cursor) : table_cursor_first(cursor);
	while (result == 0) {
		uint32_t index = backward ? set->count - 1 - at : at;

		assert_true(at < set->count);
		tables_assert_same(table_cursor_entry(cursor), &set->entries[index], 0);
		at++;
		result = backward ? table_cursor_previous(cursor) : table_cursor_next(cursor);
	}
	if (result == TABLE_E_END)
		assert_int_equal(at, set->count);
	table_cursor_free(cursor);
	return result;
}

static void get_all(struct table *table, const struct tables_set *set, unsigned *wrong)
{
	struct table_pin pin = {0};

	for (uint32_t i = 0; i < set->count; i++) {
		const struct entry *wanted = &set->entries[i];
		struct entry entry;
		int result = table_get(table, wanted->key, wanted->seqno, 0, &pin, &entry);

		if (result == 0)
			tables_assert_same(&entry, wanted, 0);
		else
			++*wrong;
		assert_true(result == 0 || result == TABLE_E_CORRUPT);
	}
	table_pin_release(&pin);
}

/* Each by itself: in the footer and the sections opening sees it, in a block who reads it. */
static void every_flipped_bit_is_found(void **state)
{
	struct table_options options = tables_options(NUMBER);
	struct table_summary summary;
	struct tables_set *set = make_small(&summary);
	unsigned in_blocks = 0;

	for (uint64_t bit = 0; bit < 8 * summary.size; bit++) {
		struct table *table;
		unsigned wrong = 0;
		int result;

		faulty_flip(disk, NAME, bit);
		result = table_open(io, NAME, &options, &table, error, sizeof(error));
		if (result == 0) {
			assert_int_equal(read_all(table, set, false), TABLE_E_CORRUPT);
			assert_non_null(strstr(table_error(table), NAME));
			assert_int_equal(read_all(table, set, true), TABLE_E_CORRUPT);
			assert_int_equal(table_verify(table), TABLE_E_CORRUPT);
			get_all(table, set, &wrong);
			assert_true(wrong > 0);
			table_close(table);
			in_blocks++;
		} else {
			assert_int_equal(result, TABLE_E_CORRUPT);
			assert_non_null(strstr(error, "offset"));
		}
		faulty_flip(disk, NAME, bit);
	}
	assert_true(in_blocks > 1000);
	tables_free(set);
}

/* The same, through the cache, by readers that must not wait. */
static void flipped_bits_of_blocks_are_found_by_the_cache(void **state)
{
	struct table_options options = tables_options(NUMBER);
	struct table_summary summary;
	struct tables_set *set = make_small(&summary);
	struct block_cache *cache;
	struct table *table;

	assert_int_equal(block_cache_new(io, BLOCK_CACHE_SIZE_MIN, &cache), 0);
	options.cache = cache;
	table = tables_open(io, NAME, &options);
	for (uint64_t bit = 0; bit < 8 * table_parts(table).blocks; bit += 7) {
		const struct table_cursor_options never = {.wait_never = true};
		struct table_cursor *cursor;
		int result;

		/* A reader of its own, for which nothing is cached. */
		table_close(table);
		table = tables_open(io, NAME, &options);
		faulty_flip(disk, NAME, bit);
		assert_int_equal(table_cursor_new(table, &never, &cursor), 0);
		while ((result = table_cursor_first(cursor)) == TABLE_E_WAIT)
			(void)block_cache_poll(cache);
		while (result == 0 || result == TABLE_E_WAIT) {
			(void)block_cache_poll(cache);
			result = table_cursor_next(cursor);
		}
		assert_int_equal(result, TABLE_E_CORRUPT);
		table_cursor_free(cursor);
		faulty_flip(disk, NAME, bit);
	}
	table_close(table);
	block_cache_free(cache);
	tables_free(set);
}

static void blocks_in_each_others_places_are_found(void **state)
{
	const struct entry entries[] = {value_of("a", 1, "1"), value_of("b", 1, "1")};
	struct table_writer_options writer_options = tables_writer_options(NUMBER);
	struct table_options options = tables_options(NUMBER);
	struct tables_set set = {.entries = (struct entry *)(uintptr_t)entries, .count = 2};
	struct table_summary summary;
	struct table_block first, second;
	struct table *table;
	uint8_t *bytes, block[64];
	size_t size;

	writer_options.block_size = 1;
	tables_write(io, NAME, &set, &writer_options, &summary);
	table = tables_open(io, NAME, &options);
	assert_int_equal(table_block_count(table), 2);
	first = table_block(table, 0);
	second = table_block(table, 1);
	assert_int_equal(first.size, second.size);
	assert_true(first.size <= sizeof(block));
	bytes = faulty_file_bytes(disk, NAME, &size);
	memcpy(block, bytes, first.size);
	memcpy(bytes, bytes + second.offset, second.size);
	memcpy(bytes + second.offset, block, second.size);
	faulty_file_set(disk, NAME, bytes, size);
	assert_int_equal(read_all(table, &set, false), TABLE_E_CORRUPT);
	free(bytes);
	table_close(table);
}

static void damaged_bounds_are_an_error_or_distrusted(void **state)
{
	struct table_options options = tables_options(NUMBER);
	struct table_summary summary;
	struct tables_set *set = make_small(&summary);
	struct table *table = tables_open(io, NAME, &options);
	struct table_parts parts = table_parts(table);
	uint64_t offset =
		summary.size - parts.footer - parts.properties - parts.index - parts.bounds;

	assert_true(parts.bounds > 0);
	table_close(table);
	faulty_flip(disk, NAME, 8 * offset);
	refuse(&options, "bounds: the checksum is wrong");
	options.distrust_bounds = true;
	table = tables_open(io, NAME, &options);
	assert_false(table_block(table, 0).has_bounds);
	assert_int_equal(read_all(table, set, false), TABLE_E_END);
	table_close(table);
	tables_free(set);
}

/* Many blocks, of which few have numbers in the window. */
static void a_window_reads_few_blocks(void **state)
{
	struct table_options options = tables_options(NUMBER);
	struct table_cursor_options window = {.seqno_from = 5000, .seqno_to = 5009};
	struct table_writer *writer = make_writer();
	struct table_cursor *cursor;
	struct table_summary summary;
	uint64_t blocks, bytes;
	struct table *table;
	unsigned found = 0;
	int result;

	for (unsigned i = 0; i < 10000; i++) {
		char key[16];
		struct entry entry;

		snprintf(key, sizeof(key), "%08u", i);
		entry = value_of(key, i + 1, "a value of some bytes");
		assert_int_equal(table_writer_add(writer, &entry), 0);
	}
	assert_int_equal(table_writer_finish(writer, &summary), 0);
	table = tables_open(io, NAME, &options);
	assert_int_equal(table_cursor_new(table, &window, &cursor), 0);
	for (result = table_cursor_first(cursor); result == 0; result = table_cursor_next(cursor)) {
		uint64_t seqno = table_cursor_entry(cursor)->seqno;

		found += seqno >= 5000 && seqno <= 5009;
	}
	assert_int_equal(result, TABLE_E_END);
	assert_int_equal(found, 10);
	table_cursor_cost(cursor, &blocks, &bytes);
	assert_in_range(blocks, 1, 2);
	assert_true(bytes < 3 * TABLE_BLOCK_SIZE);
	assert_true(table_block_count(table) > 50);
	table_cursor_free(cursor);
	table_close(table);
}

static void a_key_of_many_versions_goes_over_blocks(void **state)
{
	struct table_writer_options writer_options = tables_writer_options(NUMBER);
	struct table_options options = tables_options(NUMBER);
	struct table_summary summary;
	struct table_writer *writer;
	struct table_pin pin = {0};
	struct table *table;

	writer_options.block_size = 100;
	assert_int_equal(table_writer_new(io, NAME, &writer_options, &writer), 0);
	for (uint64_t seqno = 1000; seqno > 0; seqno -= 2) {
		struct entry entry = value_of("the same", seqno, "");

		assert_int_equal(table_writer_add(writer, &entry), 0);
	}
	assert_int_equal(table_writer_finish(writer, &summary), 0);
	table = tables_open(io, NAME, &options);
	assert_true(table_block_count(table) > 20);
	for (uint64_t seqno = 2; seqno < 1003; seqno++) {
		struct entry entry;

		assert_int_equal(table_get(table, text("the same"), seqno, 0, &pin, &entry), 0);
		assert_int_equal(entry.seqno, MIN(seqno & ~UINT64_C(1), UINT64_C(1000)));
	}
	assert_int_equal(table_verify(table), 0);
	table_pin_release(&pin);
	table_close(table);
}

static int write_small(const struct tables_set *set)
{
	struct table_writer_options options = tables_writer_options(NUMBER);
	struct table_summary summary;
	struct table_writer *writer;
	int result = table_writer_new(io, NAME, &options, &writer);

	for (uint32_t i = 0; i < set->count && !result; i++) {
		result = table_writer_add(writer, &set->entries[i]);
		if (result) {
			table_writer_abort(writer);
			return result;
		}
	}
	return result ? result : table_writer_finish(writer, &summary);
}

static struct tables_set *make_large(void)
{
	const struct tables_shape shape = {
		.entries = 2000, .keys = 5000, .value_max = 900, .seqno_max = 5000};
	struct rand rand;

	rand_init(&rand, 9);
	return tables_make(&rand, &shape);
}

static void a_failed_call_fails_the_writer_and_leaves_no_file(void **state)
{
	static const int errors[] = {-EIO, -ENOSPC};
	struct tables_set *set = make_large();

	for (size_t i = 0; i < ARRAY_COUNT(errors); i++) {
		unsigned failures = 0;

		for (uint64_t call = 1;; call++) {
			int result;

			faulty_fail_at(disk, faulty_calls(disk) + call, errors[i], 1);
			result = write_small(set);
			faulty_fail_at(disk, 0, -EIO, 0);
			if (result == 0)
				break;
			assert_int_equal(result, errors[i]);
			assert_false(has_file(NAME));
			failures++;
		}
		assert_true(failures >= 5);
		assert_true(has_file(NAME));
	}
	faulty_fail_sync(disk, 1);
	assert_int_equal(write_small(set), -EIO);
	assert_false(has_file(NAME));
	tables_free(set);
}

/* Opens and reads, with and without a cache. Returns the first error. */
static int open_and_read(const struct tables_set *set, struct block_cache *cache)
{
	struct table_options options = tables_options(NUMBER);
	struct table *table;
	int result;

	options.cache = cache;
	result = table_open(io, NAME, &options, &table, error, sizeof(error));
	if (result)
		return result;
	result = read_all(table, set, false);
	if (result == TABLE_E_END)
		result = read_all(table, set, true);
	if (result == TABLE_E_END)
		result = table_verify(table);
	table_close(table);
	return result;
}

static void a_failed_call_fails_the_reader_once(void **state)
{
	struct tables_set *set = make_large();
	struct block_cache *cache;

	assert_int_equal(write_small(set), 0);
	assert_int_equal(block_cache_new(io, BLOCK_CACHE_SIZE_MIN, &cache), 0);
	for (unsigned cached = 0; cached < 2; cached++) {
		unsigned failures = 0;

		for (uint64_t call = 1;; call += 1 + call / 20) {
			int result;

			faulty_fail_at(disk, faulty_calls(disk) + call, -EIO, 1);
			result = open_and_read(set, cached ? cache : NULL);
			faulty_fail_at(disk, 0, -EIO, 0);
			if (result == 0)
				break;
			assert_int_equal(result, -EIO);
			assert_int_equal(open_and_read(set, cached ? cache : NULL), 0);
			failures++;
		}
		assert_true(failures > 20);
	}
	block_cache_free(cache);
	tables_free(set);
}

static void a_finished_table_survives_a_power_cut(void **state)
{
	struct tables_set *set = make_large();

	assert_int_equal(write_small(set), 0);
	assert_int_equal(io_sync_folder(io), 0);
	faulty_restart(disk, 77);
	assert_int_equal(open_and_read(set, NULL), 0);
	tables_free(set);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_out_of_order_or_too_long_is_refused),
		TEST(options_beyond_the_limits_are_refused),
		TEST(an_aborted_writer_leaves_no_file),
		TEST(an_empty_table_is_one),
		TEST(range_tombstones_widen_the_keys_and_numbers),
		TEST(another_store_another_number_and_other_sizes_are_refused),
		TEST(every_flipped_bit_is_found),
		TEST(flipped_bits_of_blocks_are_found_by_the_cache),
		TEST(blocks_in_each_others_places_are_found),
		TEST(damaged_bounds_are_an_error_or_distrusted),
		TEST(a_window_reads_few_blocks),
		TEST(a_key_of_many_versions_goes_over_blocks),
		TEST(a_failed_call_fails_the_writer_and_leaves_no_file),
		TEST(a_failed_call_fails_the_reader_once),
		TEST(a_finished_table_survives_a_power_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

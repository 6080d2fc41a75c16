/* SPDX-License-Identifier: Apache-2.0 */
#include "base/defs.h"
#include "engine/blob.h"
#include "tests/conform/golden_tables.h"
#include "tests/lib/faulty.h"
#include "tests/lib/tables.h"
#include "tests/lib/test.h"

#include <stdlib.h>
#include <string.h>

static struct faulty *disk;
static struct io *io;

static int set_up(void **state)
{
	disk = faulty_new(1);
	io = faulty_io(disk);
	return 0;
}

static int tear_down(void **state)
{
	faulty_free(disk);
	return 0;
}

#define BYTES(string)                                                                              \
	{                                                                                          \
		(const uint8_t *)(string), sizeof(string) - 1                                      \
	}

/* A frame of 5,000 bytes at 64 in blob file 3, and its CRC. */
#define PLACE "\3\0\0\0\0\0\0\0\x40\0\0\0\0\0\0\0\x88\x13\0\0\x44\x33\x22\x11"

static const struct entry entries[] = {
	{.key = BYTES("apple"), .value = BYTES("red"), .seqno = 9, .kind = ENTRY_VALUE},
	{.key = BYTES("apple"),
	 .value = BYTES("green"),
	 .seqno = 4,
	 .kind = ENTRY_VALUE,
	 .type = 2,
	 .expires = 1700000000},
	{.key = BYTES("apricot"), .value = BYTES(""), .seqno = 7, .kind = ENTRY_TOMBSTONE},
	{.key = BYTES("banana"), .value = BYTES(PLACE), .seqno = 300, .kind = ENTRY_BLOB},
	{.key = BYTES("blackberry"),
	 .value = BYTES("\5"),
	 .seqno = 12,
	 .kind = ENTRY_MERGE,
	 .type = 1},
};

static const struct entry ranges[] = {
	{.key = BYTES("aa"), .value = BYTES("ab"), .seqno = 8, .kind = ENTRY_RANGE_TOMBSTONE},
	{.key = BYTES("cherry"),
	 .value = BYTES("date"),
	 .seqno = 20,
	 .kind = ENTRY_RANGE_TOMBSTONE},
};

static const struct tables_set golden_set = {
	.entries = (struct entry *)(uintptr_t)entries,
	.count = ARRAY_COUNT(entries),
	.ranges = (struct entry *)(uintptr_t)ranges,
	.range_count = ARRAY_COUNT(ranges),
};

static void assert_file(const char *name, const char *hex)
{
	uint8_t wanted[1024];
	size_t wanted_size = test_unhex(hex, wanted, sizeof(wanted)), size;
	uint8_t *bytes = faulty_file_bytes(disk, name, &size);

	assert_non_null(bytes);
	assert_int_equal(size, wanted_size);
	assert_memory_equal(bytes, wanted, size);
	free(bytes);
}

static void put_file(const char *name, const char *hex)
{
	uint8_t bytes[1024];

	faulty_file_set(disk, name, bytes, test_unhex(hex, bytes, sizeof(bytes)));
}

static void a_table_is_written_as_the_format_says(void **state)
{
	struct table_writer_options options = tables_writer_options(5);
	struct table_summary summary;

	options.block_size = 70;
	tables_write(io, "5.table", &golden_set, &options, &summary);
	assert_file("5.table", golden_table);
	assert_int_equal(summary.blob_bytes, 5000);
	assert_int_equal(summary.tombstones, 3);
}

static void a_table_is_read_as_the_format_says(void **state)
{
	struct table_options options = tables_options(5);
	const struct table_cursor_options any = {.seqno_to = 0};
	struct table_cursor *cursor;
	struct table *table;

	put_file("5.table", golden_table);
	table = tables_open(io, "5.table", &options);
	assert_int_equal(table_verify(table), 0);
	assert_int_equal(table_cursor_new(table, &any, &cursor), 0);
	for (size_t i = 0; i < ARRAY_COUNT(entries); i++) {
		assert_int_equal(i ? table_cursor_next(cursor) : table_cursor_first(cursor), 0);
		tables_assert_same(table_cursor_entry(cursor), &entries[i], 0);
		assert_true(table_may_have(table, entries[i].key));
	}
	assert_int_equal(table_cursor_next(cursor), TABLE_E_END);
	for (uint32_t i = 0; i < ARRAY_COUNT(ranges); i++) {
		struct entry range = table_range(table, i);

		tables_assert_same(&range, &ranges[i], 0);
	}
	assert_int_equal(table_block(table, 0).seqno_min, 4);
	assert_int_equal(table_block(table, 0).seqno_max, 9);
	assert_int_equal(table_block(table, 0).separator.size, 1);
	assert_int_equal(table_block(table, 1).seqno_max, 300);
	table_cursor_free(cursor);
	table_close(table);
}

static const struct {
	struct entry_bytes key, value;
	uint64_t seqno;
	struct blob_place place;
} frames[] = {
	{BYTES("banana"),
	 BYTES("a value that is long for a banana"),
	 300,
	 {.file = 3, .offset = 64, .size = 63, .crc = 0x000F05FD}},
	{BYTES("k"), BYTES(""), 301, {.file = 3, .offset = 127, .size = 25, .crc = 0x825528AD}},
};

static struct blob_options blob_options_of(uint64_t number)
{
	struct blob_options options = {.number = number};

	memcpy(options.store, TABLES_STORE, sizeof(options.store));
	return options;
}

static void a_blob_file_is_written_as_the_format_says(void **state)
{
	struct blob_options options = blob_options_of(3);
	struct blob_writer *writer;
	struct blob_summary summary;

	assert_int_equal(blob_writer_new(io, "3.blob", &options, &writer), 0);
	for (size_t i = 0; i < ARRAY_COUNT(frames); i++) {
		struct blob_place place;

		assert_int_equal(blob_writer_add(writer, frames[i].key, frames[i].seqno,
						 frames[i].value, &place),
				 0);
		assert_memory_equal(&place, &frames[i].place, sizeof(place));
	}
	assert_int_equal(blob_writer_finish(writer, &summary), 0);
	assert_int_equal(summary.value_bytes, 33);
	assert_file("3.blob", golden_blob);
}

static void a_blob_file_is_read_as_the_format_says(void **state)
{
	struct blob_options options = blob_options_of(3);
	struct table_pin pin = {0};
	struct blob_frame frame;
	struct blob *blob;
	char error[240];

	put_file("3.blob", golden_blob);
	assert_int_equal(blob_open(io, "3.blob", &options, &blob, error, sizeof(error)), 0);
	blob_walk_begin(blob);
	for (size_t i = 0; i < ARRAY_COUNT(frames); i++) {
		struct entry_bytes value;

		assert_int_equal(blob_walk_next(blob, &frame), 0);
		assert_int_equal(frame.seqno, frames[i].seqno);
		assert_memory_equal(&frame.place, &frames[i].place, sizeof(frame.place));
		assert_int_equal(blob_get(blob, &frames[i].place, frames[i].key, 0, &pin, &value),
				 0);
		assert_int_equal(value.size, frames[i].value.size);
		assert_memory_equal(value.bytes, frames[i].value.bytes, value.size);
	}
	assert_int_equal(blob_walk_next(blob, &frame), BLOB_E_END);
	table_pin_release(&pin);
	blob_close(blob);
}

static void a_place_is_24_bytes(void **state)
{
	const struct blob_place place = {3, 64, 5000, 0x11223344};
	uint8_t bytes[BLOB_PLACE_SIZE];

	blob_place_encode(&place, bytes);
	assert_memory_equal(bytes, PLACE, sizeof(bytes));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_table_is_written_as_the_format_says),
		TEST(a_table_is_read_as_the_format_says),
		TEST(a_blob_file_is_written_as_the_format_says),
		TEST(a_blob_file_is_read_as_the_format_says),
		cmocka_unit_test(a_place_is_24_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

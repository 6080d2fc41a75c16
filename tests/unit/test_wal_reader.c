/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/wal_reader.h"

#include "base/byteorder.h"
#include "base/crc.h"
#include "engine/wal_folder.h"
#include "tests/conform/golden_records.h"
#include "tests/lib/faulty.h"
#include "tests/lib/log_rig.h"
#include "tests/lib/test.h"

#include "base/defs.h"

#include <errno.h>
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

static struct log_rig_result read_with(uint64_t from, bool salvage, bool cut)
{
	const struct wal_reader_options options = {.from = from, .salvage = salvage};

	return log_rig_read(io, &options, cut);
}

/* 'count' records of 300 bytes, each synced by itself, from 'first' on. */
static void write_log(uint64_t first, unsigned count)
{
	struct wal *wal = log_rig_open(io, first);

	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(log_rig_append(wal, 300), 0);
		assert_int_equal(wal_sync(wal), 0);
	}
	wal_close(wal);
}

/* Changes a byte of a segment. */
static void damage(uint32_t number, uint64_t offset)
{
	char name[IO_NAME_MAX + 1];

	wal_folder_name(number, name);
	faulty_flip(disk, name, offset * 8 + 3);
}

static void an_empty_folder_has_no_log(void **state)
{
	assert_int_equal(read_with(0, false, false).end, -ENOENT);
	assert_int_equal(read_with(5, false, false).end, -ENOENT);
}

static void reading_begins_where_it_is_asked_to(void **state)
{
	uint64_t last;

	write_log(1, 200);
	last = read_with(0, false, false).last;
	for (uint64_t from = 1; from <= last; from += 7) {
		struct log_rig_result result = read_with(from, false, false);

		assert_int_equal(result.end, WAL_READER_E_END);
		assert_int_equal(result.first, from);
		assert_int_equal(result.last, last);
	}
	assert_int_equal(read_with(last + 1, false, false).end, WAL_READER_E_END);
	assert_int_equal(read_with(last + 2, false, false).end, WAL_READER_E_CORRUPT);
}

static void what_was_released_is_not_there(void **state)
{
	struct wal *wal = log_rig_open(io, 1);

	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(log_rig_append(wal, 600), 0);
		assert_int_equal(wal_sync(wal), 0);
	}
	assert_int_equal(wal_release(wal, 60), 0);
	wal_close(wal);
	assert_int_equal(read_with(1, false, false).end, WAL_READER_E_CORRUPT);
	assert_int_equal(read_with(60, false, false).end, WAL_READER_E_END);
}

static void a_changed_byte_in_the_middle_is_a_hole_with_its_place(void **state)
{
	struct log_rig_result result;

	write_log(1, 20);
	damage(1, 2000);
	result = read_with(0, false, false);
	assert_int_equal(result.end, WAL_READER_E_CORRUPT);
	assert_string_equal(result.place.file, "wal-00000001");
	assert_in_range(result.place.offset, 1500, 2000);
	assert_int_equal(result.place.lsn, result.last + 1);
	assert_non_null(strstr(result.error, "prove"));
	assert_non_null(strstr(result.error, "wal-00000001 at offset "));
}

static void a_hole_at_the_end_of_a_segment_is_proved_by_the_next_one(void **state)
{
	struct log_rig_result result;

	write_log(1, 100);
	damage(1, 16000);
	result = read_with(0, false, false);
	assert_int_equal(result.end, WAL_READER_E_CORRUPT);
	assert_non_null(strstr(result.error, "wal-00000002 begins with"));
}

static void a_missing_segment_is_a_hole(void **state)
{
	struct log_rig_result whole, result;

	write_log(1, 100);
	whole = read_with(0, false, false);
	assert_int_equal(io_remove(io, "wal-00000002"), 0);
	result = read_with(0, false, false);
	assert_int_equal(result.end, WAL_READER_E_CORRUPT);
	assert_non_null(strstr(result.error, "wal-00000003 begins with"));
	result = read_with(0, true, false);
	assert_int_equal(result.end, WAL_READER_E_END);
	assert_true(result.missing > 0);
	assert_int_equal(result.missing + result.records, whole.records);
}

/* The error says which records are missing; salvage goes on behind them, and counts them. */
static void a_missing_beginning_is_an_error(void **state)
{
	struct log_rig_result whole, result;

	write_log(1, 100);
	whole = read_with(1, false, false);
	assert_int_equal(io_remove(io, "wal-00000001"), 0);
	result = read_with(1, false, false);
	assert_int_equal(result.end, WAL_READER_E_CORRUPT);
	assert_non_null(strstr(result.error, "wal-00000002"));
	assert_non_null(strstr(result.error, "LSN 1 is asked for"));
	result = read_with(1, true, false);
	assert_int_equal(result.end, WAL_READER_E_END);
	assert_int_equal(result.last, whole.last);
	assert_int_equal(result.missing, result.first - 1);
	assert_true(result.first > 1);
	assert_int_equal(read_with(result.first, false, false).end, WAL_READER_E_END);

	/* A header behind it that is damaged, too, doesn't hide it. */
	damage(3, 30);
	assert_int_equal(read_with(1, false, false).end, WAL_READER_E_CORRUPT);
	result = read_with(1, true, false);
	assert_int_equal(result.end, WAL_READER_E_END);
	assert_int_equal(result.missing, result.first - 1);
}

static void a_damaged_header_is_an_error(void **state)
{
	struct log_rig_result result;

	write_log(1, 100);
	damage(2, 30);
	result = read_with(0, false, false);
	assert_int_equal(result.end, WAL_READER_E_CORRUPT);
	assert_non_null(strstr(result.error, "wal-00000002 at offset 0"));
	damage(2, 30);
	damage(1, 2);
	assert_int_equal(read_with(0, false, false).end, WAL_READER_E_CORRUPT);
	assert_int_equal(read_with(1, false, false).end, WAL_READER_E_CORRUPT);
}

static void salvage_goes_on_behind_holes_and_says_how_much_it_left_out(void **state)
{
	struct log_rig_result whole, result;

	write_log(1, 100);
	whole = read_with(0, false, false);
	damage(1, 2000);
	damage(2, 30);
	result = read_with(0, true, false);
	assert_int_equal(result.end, WAL_READER_E_END);
	assert_int_equal(result.last, whole.last);
	assert_in_range(result.sets, 40, whole.sets - 2);
	assert_true(result.skipped > (16 << 10));
}

/* A log whose last record was written but not synced, and whose last bytes are damaged. */
static void write_torn(void)
{
	struct wal *wal = log_rig_open(io, 1);

	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(log_rig_append(wal, 300), 0);
	assert_int_equal(wal_sync(wal), 0);
	assert_int_equal(log_rig_append(wal, 300), 0);
	assert_int_equal(log_rig_append(wal, 300), 0);
	wal_flush(wal, false);
	while (wal_stats(wal).flushes < 2)
		(void)wal_poll(wal);
	wal_close(wal);
	damage(1, WAL_HEADER_SIZE + 10 * 351 + 200);
}

static size_t segment_size(void)
{
	size_t size;
	uint8_t *bytes = faulty_file_bytes(disk, "wal-00000001", &size);

	assert_non_null(bytes);
	free(bytes);
	return size;
}

/* Who knows that the record was durable is told of a hole, in front of which nothing is cut. */
static void a_torn_end_before_what_is_known_is_a_hole(void **state)
{
	struct wal_reader_options options = {.durable = 11};
	struct log_rig_result result;

	write_torn();
	assert_int_equal(log_rig_read(io, &options, false).end, WAL_READER_E_TORN);
	options.durable = 12;
	result = log_rig_read(io, &options, false);
	assert_int_equal(result.end, WAL_READER_E_CORRUPT);
	assert_non_null(strstr(result.error, "no record of LSN 12"));
	options.salvage = true;
	result = log_rig_read(io, &options, false);
	assert_int_equal(result.missing, 1);
	assert_int_equal(result.last, 13);
}

static void a_torn_end_is_no_hole_and_is_cut(void **state)
{
	struct log_rig_result result;
	struct wal *wal;

	write_torn();
	result = read_with(0, false, true);
	assert_int_equal(result.end, WAL_READER_E_TORN);
	assert_int_equal(result.last, 11); /* ten records and a Durable */
	assert_int_equal(result.place.lsn, 12);
	assert_int_equal(segment_size(), 16 << 10);
	result = read_with(0, false, false);
	assert_int_equal(result.end, WAL_READER_E_END);
	assert_int_equal(result.last, 11);
	wal = log_rig_open(io, 12);
	assert_int_equal(log_rig_append(wal, 5), 0);
	assert_int_equal(wal_sync(wal), 0);
	wal_close(wal);
	assert_int_equal(read_with(0, false, false).last, 13);
}

static void golden_file(uint32_t version, uint8_t file[4096], size_t *ret_size)
{
	struct wal_header header = {.version = version,
				    .page_size = 4096,
				    .created_at = GOLDEN_TIME,
				    .current_lsn = 15,
				    .committed_lsn = 14};
	size_t at = WAL_HEADER_SIZE;

	memset(file, 0, 4096);
	wal_header_encode(&header, file);
	for (unsigned i = 0; i < ARRAY_COUNT(golden_records) && i < 14; i++) {
		size_t head = version == 1 ? 4 : 8;
		size_t size = test_unhex(golden_records[i].hex, file + at + head, 512);

		store_le32(file + at, (uint32_t)size);
		if (version == 2)
			store_le32(file + at + 4, crc32c(file + at + head, size));
		at += head + size;
	}
	*ret_size = at;
}

static struct log_rig_result read_file(const char *name, bool salvage)
{
	const struct wal_reader_options options = {.file = name, .salvage = salvage};

	return log_rig_read(io, &options, false);
}

/* Reads the records of a file without what the rig knows of its own records. */
static int read_types(const char *name, enum record_type types[32], unsigned *ret_count)
{
	const struct wal_reader_options options = {.file = name};
	struct wal_reader *reader;
	struct record record;
	char error[128];
	unsigned count = 0;
	int result;

	assert_int_equal(wal_reader_open(io, &options, &reader, error, sizeof(error)), 0);
	while ((result = wal_reader_next(reader, &record)) == 0)
		types[count++] = record.type;
	*ret_count = count;
	wal_reader_close(reader);
	return result;
}

static void files_of_others_are_read_in_both_versions(void **state)
{
	enum record_type types[32];
	uint8_t file[4096];
	unsigned count;
	size_t size;

	for (uint32_t version = 1; version <= 2; version++) {
		golden_file(version, file, &size);
		faulty_file_set(disk, "db.v3wal", file, size);
		assert_int_equal(read_types("db.v3wal", types, &count), WAL_READER_E_END);
		assert_int_equal(count, 14);
		assert_int_equal(types[0], RECORD_PAGE_ALLOCATE);
		assert_int_equal(types[13], RECORD_EDGE_INSERT);
		faulty_file_set(disk, "db.v3wal", file, size + 100); /* zeros behind */
		assert_int_equal(read_types("db.v3wal", types, &count), WAL_READER_E_END);
		assert_int_equal(count, 14);
		faulty_file_set(disk, "db.v3wal", file, size - 3);
		assert_int_equal(read_types("db.v3wal", types, &count), WAL_READER_E_TORN);
		assert_int_equal(count, 13);
	}
}

static void a_size_that_can_not_be_is_a_hole_only_if_records_follow(void **state)
{
	enum record_type types[32];
	uint8_t file[4096];
	unsigned count;
	size_t size;

	golden_file(1, file, &size);
	store_le32(file + WAL_HEADER_SIZE + 32, 2 << 20); /* of the second record */
	faulty_file_set(disk, "db.v3wal", file, size);
	assert_int_equal(read_types("db.v3wal", types, &count), WAL_READER_E_CORRUPT);
	assert_int_equal(count, 1);
	faulty_file_set(disk, "db.v3wal", file, WAL_HEADER_SIZE + 32 + 36);
	assert_int_equal(read_types("db.v3wal", types, &count), WAL_READER_E_TORN);
	assert_int_equal(count, 1);
}

/* Behind it there would be none, and numbers would begin anew. */
static void the_last_number_there_is_belongs_to_no_record(void **state)
{
	enum record_type types[32];
	uint8_t file[4096];
	unsigned count;
	size_t size;

	golden_file(1, file, &size);
	store_le64(file + WAL_HEADER_SIZE + 8, UINT64_MAX);
	faulty_file_set(disk, "db.v3wal", file, WAL_HEADER_SIZE + 32);
	assert_int_equal(read_types("db.v3wal", types, &count), WAL_READER_E_TORN);
	assert_int_equal(count, 0);
}

static void what_is_no_log_is_refused(void **state)
{
	uint8_t file[4096] = {0};

	assert_int_equal(read_file("absent", false).end, -ENOENT);
	faulty_file_set(disk, "zeros", file, sizeof(file));
	assert_int_equal(read_file("zeros", false).end, WAL_READER_E_CORRUPT);
	faulty_file_set(disk, "short", file, 10);
	assert_int_equal(read_file("short", false).end, WAL_READER_E_CORRUPT);
	memset(file, 'x', sizeof(file));
	faulty_file_set(disk, "text", file, sizeof(file));
	assert_int_equal(read_file("text", false).end, WAL_READER_E_CORRUPT);
}

static void the_log_of_another_store_is_refused(void **state)
{
	struct wal_options options = log_rig_options(1);
	struct wal_reader_options reading = {.store = 7};
	struct wal *wal;

	options.store = 7;
	assert_int_equal(wal_open(io, &options, &wal), 0);
	wal_close(wal);
	assert_int_equal(log_rig_read(io, &reading, false).end, WAL_READER_E_END);
	reading.store = 8;
	assert_int_equal(log_rig_read(io, &reading, false).end, WAL_READER_E_CORRUPT);
}

/* A torn record whose value holds a whole frame that says it were durable. */
/* Leftovers of an earlier use that look like records at every other byte, and have their cost. */
static void what_looks_like_records_is_no_reason_to_refuse_a_log(void **state)
{
	struct log_rig_result before;
	size_t size;
	char name[IO_NAME_MAX + 1];

	write_log(1, 5);
	before = read_with(0, false, false);
	wal_folder_name(1, name);
	uint8_t *file = faulty_file_bytes(disk, name, &size);
	assert_non_null(file);
	for (size_t at = 4096; at + 4200 <= size; at += 20) {
		store_le32(file + at, 1 << 12);
		store_le32(file + at + 8, RECORD_KV_SET - 1);
		store_le64(file + at + 12, before.last + 40);
	}
	faulty_file_set(disk, name, file, size);
	free(file);

	/* Who can't tell what lies there takes the end for a torn one, and cuts it. */
	struct log_rig_result after = read_with(0, false, false);
	assert_int_equal(before.end, WAL_READER_E_END);
	assert_int_equal(after.end, WAL_READER_E_TORN);
	assert_int_equal(after.last, before.last);

	/* A hole in front of them is still one. */
	damage(1, WAL_HEADER_SIZE + 100);
	assert_int_equal(read_with(0, false, false).end, WAL_READER_E_CORRUPT);
	damage(1, WAL_HEADER_SIZE + 100);

	assert_int_equal(read_with(0, false, /* cut= */ true).last, before.last);
	assert_int_equal(read_with(0, false, false).end, WAL_READER_E_END);
}

/*
 * The proof of a hole is found whatever lies in front of it: here a whole frame, as of an earlier
 * use, from within the damaged record to behind the size of the Durable record's frame.
 */
static void what_is_in_a_value_can_not_hide_the_proof_of_a_hole(void **state)
{
	const struct wal_options options = log_rig_options(1000);
	const struct record set = log_rig_record(1000, 400);
	struct record forged;
	size_t size, end = WAL_HEADER_SIZE + wal_frame_size(&set) + 4;
	struct wal *wal;

	assert_int_equal(wal_open(io, &options, &wal), 0);
	assert_int_equal(log_rig_append(wal, 400), 0);
	assert_int_equal(wal_sync(wal), 0);
	wal_close(wal);
	assert_int_equal(read_with(1000, false, false).last, 1001);

	uint8_t *file = faulty_file_bytes(disk, "wal-00000001", &size);
	assert_non_null(file);
	forged = log_rig_record(2, 100);
	forged.lsn = 1;
	forged.timestamp = load_le64(file + end - 8);
	assert_int_equal(wal_frame_encode(&forged, file + end - wal_frame_size(&forged)), 0);
	faulty_file_set(disk, "wal-00000001", file, size);
	free(file);
	assert_int_equal(read_with(1000, false, false).end, WAL_READER_E_CORRUPT);
}

static void a_value_can_not_forge_proof_of_a_hole(void **state)
{
	struct record forged = {.type = RECORD_DURABLE,
				.lsn = 3,
				.timestamp = 1,
				.durable = {.durable = 3, .salt = 0}};
	struct record set = {.type = RECORD_KV_SET, .timestamp = 1, .kv = {.value_type = 1}};
	struct wal *wal = log_rig_open(io, 1);
	uint8_t value[400] = {0};

	assert_int_equal(wal_frame_encode(&forged, value + 100), 0);
	set.kv.key = (struct record_bytes){value, 1};
	set.kv.value = (struct record_bytes){value, sizeof(value)};
	assert_int_equal(wal_append(wal, &set), 0);
	wal_flush(wal, false);
	while (wal_stats(wal).flushes < 1)
		(void)wal_poll(wal);
	wal_close(wal);
	damage(1, WAL_HEADER_SIZE + 30);
	assert_int_equal(read_with(0, false, false).end, WAL_READER_E_TORN);
}

/* Size, CRC, variant and LSN, again and again: of records that could be there. */
static void fill_with_heads(uint8_t *bytes, size_t size, uint64_t lsn)
{
	for (size_t at = 0; at + 20 <= size; at += 20) {
		store_le32(bytes + at, 20000);
		store_le32(bytes + at + 4, 1);
		store_le32(bytes + at + 8, RECORD_KV_SET - 1);
		store_le64(bytes + at + 12, lsn);
	}
}

/* The first block of the file, as it is when it is used again, and what it held behind that. */
static void begin_anew(const char *name, uint64_t lsn)
{
	struct wal_header header;
	size_t size;
	uint8_t *bytes = faulty_file_bytes(disk, name, &size);

	assert_non_null(bytes);
	assert_int_equal(wal_header_decode(bytes, &header), 0);
	header.current_lsn = lsn;
	header.committed_lsn = lsn - 1;
	memset(bytes, 0, IO_ALIGN);
	wal_header_encode(&header, bytes);
	faulty_file_set(disk, name, bytes, size);
	free(bytes);
}

static void what_an_earlier_use_left_is_no_reason_to_give_up(void **state)
{
	const struct wal_options options = {.segment_size = 1 << 20, .buffer_size = 64 << 10};
	struct record set = {.type = RECORD_KV_SET, .timestamp = 1};
	static uint8_t value[4000];
	struct wal *wal;

	assert_int_equal(wal_open(io, &options, &wal), 0);
	fill_with_heads(value, sizeof(value), 1001);
	set.kv.key = (struct record_bytes){value, 1};
	set.kv.value = (struct record_bytes){value, sizeof(value)};
	for (unsigned i = 0; i < 200; i++) {
		assert_int_equal(wal_append(wal, &set), 0);
		assert_int_equal(wal_sync(wal), 0);
	}
	wal_close(wal);
	begin_anew("wal-00000001", 1000);
	assert_int_equal(read_with(1000, false, false).end, WAL_READER_E_END);
}

static void memory_does_not_grow_with_the_log(void **state)
{
	const struct wal_reader_options options = {0};
	struct wal_reader *reader;
	struct record record;
	char error[128];
	uint64_t memory;

	write_log(1, 300);
	assert_int_equal(wal_reader_open(io, &options, &reader, error, sizeof(error)), 0);
	memory = wal_reader_stats(reader).memory;
	assert_in_range(memory, 1, 4 << 20);
	while (wal_reader_next(reader, &record) == 0)
		assert_int_equal(wal_reader_stats(reader).memory, memory);
	wal_reader_close(reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		CASE(an_empty_folder_has_no_log),
		CASE(reading_begins_where_it_is_asked_to),
		CASE(what_was_released_is_not_there),
		CASE(a_changed_byte_in_the_middle_is_a_hole_with_its_place),
		CASE(a_hole_at_the_end_of_a_segment_is_proved_by_the_next_one),
		CASE(a_missing_segment_is_a_hole),
		CASE(a_missing_beginning_is_an_error),
		CASE(a_damaged_header_is_an_error),
		CASE(salvage_goes_on_behind_holes_and_says_how_much_it_left_out),
		CASE(a_torn_end_before_what_is_known_is_a_hole),
		CASE(a_torn_end_is_no_hole_and_is_cut),
		CASE(files_of_others_are_read_in_both_versions),
		CASE(a_size_that_can_not_be_is_a_hole_only_if_records_follow),
		CASE(the_last_number_there_is_belongs_to_no_record),
		CASE(what_is_no_log_is_refused),
		CASE(the_log_of_another_store_is_refused),
		CASE(what_looks_like_records_is_no_reason_to_refuse_a_log),
		CASE(what_is_in_a_value_can_not_hide_the_proof_of_a_hole),
		CASE(a_value_can_not_forge_proof_of_a_hole),
		CASE(what_an_earlier_use_left_is_no_reason_to_give_up),
		CASE(memory_does_not_grow_with_the_log),
#undef CASE
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

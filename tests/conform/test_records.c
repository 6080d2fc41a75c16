/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/conform/golden_records.h"

#include "base/defs.h"
#include "engine/wal_format.h"
#include "tests/lib/records.h"
#include "tests/lib/test.h"

#include <string.h>

static struct record expected_of(const struct golden_record *golden,
				 uint8_t snapshot[WAL_DATABASE_SIZE])
{
	struct record record = golden->record;

	if (record.type == RECORD_CHECKPOINT) {
		test_unhex(GOLDEN_H1, snapshot, WAL_DATABASE_SIZE);
		record.checkpoint.snapshot = (struct record_bytes){snapshot, WAL_DATABASE_SIZE};
	}
	return record;
}

static void every_golden_record_is_encoded_as_its_bytes(void **state)
{
	for (unsigned i = 0; i < ARRAY_COUNT(golden_records); i++) {
		uint8_t golden[256], bytes[256], snapshot[WAL_DATABASE_SIZE];
		struct record record = expected_of(&golden_records[i], snapshot);

		assert_int_equal(test_unhex(golden_records[i].hex, golden, sizeof(golden)),
				 golden_records[i].size);
		assert_int_equal(record_size(&record), golden_records[i].size);
		assert_int_equal(record_encode(&record, bytes), 0);
		assert_memory_equal(bytes, golden, golden_records[i].size);
	}
}

static void every_golden_record_is_decoded_to_its_meaning(void **state)
{
	for (unsigned i = 0; i < ARRAY_COUNT(golden_records); i++) {
		uint8_t golden[256], snapshot[WAL_DATABASE_SIZE];
		size_t size = test_unhex(golden_records[i].hex, golden, sizeof(golden));
		struct record record, expected = expected_of(&golden_records[i], snapshot);

		assert_int_equal(record_decode(golden, size, &record), 0);
		assert_true(records_equal(&record, &expected));
	}
}

static void every_type_has_a_golden_record(void **state)
{
	for (unsigned type = 0; type < 300; type++) {
		bool found = false;

		for (unsigned i = 0; i < ARRAY_COUNT(golden_records); i++)
			found |= golden_records[i].record.type == type;
		assert_int_equal(found, record_name(type) != NULL);
	}
}

static void no_golden_record_is_accepted_shortened_or_lengthened(void **state)
{
	for (unsigned i = 0; i < ARRAY_COUNT(golden_records); i++) {
		uint8_t golden[256] = {0};
		size_t size = test_unhex(golden_records[i].hex, golden, sizeof(golden));
		struct record record;

		for (size_t cut = 0; cut < size; cut++)
			assert_int_equal(record_decode(golden, cut, &record), RECORD_E_INVALID);
		assert_int_equal(record_decode(golden, size + 1, &record), RECORD_E_INVALID);
	}
}

static void no_flipped_bit_of_a_golden_frame_is_accepted(void **state)
{
	for (unsigned i = 0; i < ARRAY_COUNT(golden_records); i++) {
		uint8_t frame[256] = {0}, snapshot[WAL_DATABASE_SIZE];
		struct record record = expected_of(&golden_records[i], snapshot);
		size_t size = wal_frame_size(&record), read_size;

		assert_int_equal(wal_frame_encode(&record, frame), 0);
		for (size_t bit = 0; bit < size * 8; bit++) {
			frame[bit / 8] ^= (uint8_t)(1U << bit % 8);
			assert_int_not_equal(
				wal_frame_decode(2, frame, sizeof(frame), &record, &read_size), 0);
			frame[bit / 8] ^= (uint8_t)(1U << bit % 8);
		}
	}
}

static void the_weak_checksum_gives_the_golden_sums(void **state)
{
	assert_int_equal(record_checksum("", 0), UINT64_C(0x5a5a5a5a5a5a5a5a));
	assert_int_equal(record_checksum("abc", 3), UINT64_C(0x5a5a5a5a5a5a5a39));
	assert_int_equal(record_checksum("Hello, V3!", 10), UINT64_C(0x5a5a5a5a5a5a5a51));
}

/* As the format's table says it. */
static uint64_t sum_by_bytes(const uint8_t *bytes, size_t size)
{
	uint64_t sum = UINT64_C(0x5a5a5a5a5a5a5a5a);

	for (size_t i = 0; i < size; i++)
		sum ^= bytes[i] ^ (uint64_t)i;
	return sum;
}

static void the_weak_checksum_of_any_size_is_that_by_bytes(void **state)
{
	uint8_t bytes[300];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * i + 7 * i);
	for (size_t from = 0; from < 9; from++)
		for (size_t size = 0; from + size <= sizeof(bytes); size++)
			assert_int_equal(record_checksum(bytes + from, size),
					 sum_by_bytes(bytes + from, size));
}

static void the_golden_log_header_goes_both_ways(void **state)
{
	uint8_t golden[WAL_HEADER_SIZE], bytes[WAL_HEADER_SIZE];
	struct wal_header header;

	assert_int_equal(test_unhex(GOLDEN_H2, golden, sizeof(golden)), WAL_HEADER_SIZE);
	assert_int_equal(wal_header_decode(golden, &header), 0);
	assert_int_equal(header.version, 1);
	assert_int_equal(header.page_size, 4096);
	assert_int_equal(header.created_at, GOLDEN_TIME);
	assert_int_equal(header.current_lsn, 15);
	assert_int_equal(header.committed_lsn, 14);
	assert_int_equal(header.checkpointed_lsn, 0);
	wal_header_encode(&header, bytes);
	assert_memory_equal(bytes, golden, WAL_HEADER_SIZE);
}

static void the_golden_database_header_goes_both_ways(void **state)
{
	uint8_t golden[WAL_DATABASE_SIZE], bytes[WAL_DATABASE_SIZE];
	struct wal_database database;

	assert_int_equal(test_unhex(GOLDEN_H1, golden, sizeof(golden)), WAL_DATABASE_SIZE);
	assert_int_equal(wal_database_decode(golden, sizeof(golden), &database), 0);
	assert_int_equal(database.flags, 15);
	assert_int_equal(database.index_root, 1);
	assert_int_equal(database.page_count, 3);
	assert_int_equal(database.page_size, 4096);
	assert_int_equal(database.height, 1);
	assert_int_equal(database.node_count + database.edge_count + database.node_root +
				 database.edge_root + database.free_head,
			 0);
	wal_database_encode(&database, bytes);
	assert_memory_equal(bytes, golden, WAL_DATABASE_SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_golden_record_is_encoded_as_its_bytes),
		cmocka_unit_test(every_golden_record_is_decoded_to_its_meaning),
		cmocka_unit_test(every_type_has_a_golden_record),
		cmocka_unit_test(no_golden_record_is_accepted_shortened_or_lengthened),
		cmocka_unit_test(no_flipped_bit_of_a_golden_frame_is_accepted),
		cmocka_unit_test(the_weak_checksum_gives_the_golden_sums),
		cmocka_unit_test(the_weak_checksum_of_any_size_is_that_by_bytes),
		cmocka_unit_test(the_golden_log_header_goes_both_ways),
		cmocka_unit_test(the_golden_database_header_goes_both_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

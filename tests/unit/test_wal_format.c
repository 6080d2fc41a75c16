/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/wal_format.h"

#include "base/byteorder.h"
#include "tests/lib/test.h"

#include <string.h>

static const struct wal_header segment = {
	.version = 2,
	.page_size = 4096,
	.created_at = 1700000000,
	.current_lsn = 100,
	.committed_lsn = 99,
	.checkpointed_lsn = 50,
	.number = 7,
	.salt = 0x12345678,
	.store = 0xcafe,
};

static void a_segments_header_goes_both_ways(void **state)
{
	uint8_t bytes[WAL_HEADER_SIZE];
	struct wal_header header;

	wal_header_encode(&segment, bytes);
	assert_int_equal(wal_header_decode(bytes, &header), 0);
	assert_int_equal(header.current_lsn, 100);
	assert_int_equal(header.committed_lsn, 99);
	assert_int_equal(header.checkpointed_lsn, 50);
	assert_int_equal(header.number, 7);
	assert_int_equal(header.salt, 0x12345678);
	assert_int_equal(header.store, 0xcafe);
}

static void no_flipped_bit_of_a_segments_header_is_accepted(void **state)
{
	uint8_t bytes[WAL_HEADER_SIZE];
	struct wal_header header;

	wal_header_encode(&segment, bytes);
	for (unsigned bit = 0; bit < WAL_HEADER_SIZE * 8; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
		assert_int_equal(wal_header_decode(bytes, &header), WAL_FORMAT_E_INVALID);
		bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
	}
}

static void a_header_of_zeros_is_empty(void **state)
{
	const uint8_t bytes[WAL_HEADER_SIZE] = {0};
	struct wal_header header;

	assert_int_equal(wal_header_decode(bytes, &header), WAL_FORMAT_E_EMPTY);
}

static void a_header_of_others_needs_no_checksum(void **state)
{
	struct wal_header header, plain = segment;
	uint8_t bytes[WAL_HEADER_SIZE];

	plain.number = plain.salt = plain.store = 0;
	wal_header_encode(&plain, bytes);
	assert_int_equal(load_le64(bytes + 56), 0);
	assert_int_equal(wal_header_decode(bytes, &header), 0);
	assert_true(wal_header_is_plain(&header));
}

static void headers_that_contradict_themselves_are_refused(void **state)
{
	static const struct {
		size_t at;
		uint32_t value;
	} changes[] = {
		{0, 0x33},  {8, 0},      {8, 3},  {12, 0},
		{12, 4097}, {12, 32768}, {24, 0}, {32, 16}, /* committed above current */
		{40, 15},                                   /* checkpointed above committed */
		{48, 1},    {56, 1},
	};
	const struct wal_header good = {
		.version = 1, .page_size = 8192, .current_lsn = 15, .committed_lsn = 14};
	struct wal_header header;
	uint8_t bytes[WAL_HEADER_SIZE];

	for (unsigned i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		wal_header_encode(&good, bytes);
		assert_int_equal(wal_header_decode(bytes, &header), 0);
		store_le32(bytes + changes[i].at, changes[i].value);
		assert_int_equal(wal_header_decode(bytes, &header), WAL_FORMAT_E_INVALID);
	}
}

static void a_frame_says_how_many_bytes_it_takes(void **state)
{
	const struct record record = {.type = RECORD_PAGE_ALLOCATE, .lsn = 1, .page = {.page = 2}};
	struct record decoded;
	uint8_t bytes[64] = {0};
	size_t size = 0;

	assert_int_equal(wal_frame_size(&record), 36);
	assert_int_equal(wal_frame_encode(&record, bytes), 0);
	assert_int_equal(wal_frame_decode(2, bytes, 5, &decoded, &size), WAL_FORMAT_E_SHORT);
	assert_int_equal(size, 8);
	assert_int_equal(wal_frame_decode(2, bytes, 35, &decoded, &size), WAL_FORMAT_E_SHORT);
	assert_int_equal(size, 36);
	size = 0;
	assert_int_equal(wal_frame_decode(2, bytes, 64, &decoded, &size), 0);
	assert_int_equal(size, 36);
	assert_int_equal(decoded.page.page, 2);
}

static void a_frame_of_version_1_has_no_checksum(void **state)
{
	const struct record record = {.type = RECORD_PAGE_ALLOCATE, .lsn = 1, .page = {.page = 2}};
	struct record decoded;
	uint8_t bytes[64] = {28};
	size_t size;

	assert_int_equal(record_encode(&record, bytes + 4), 0);
	assert_int_equal(wal_frame_decode(1, bytes, 64, &decoded, &size), 0);
	assert_int_equal(size, 32);
	assert_int_equal(decoded.lsn, 1);
}

static void sizes_that_no_record_has_are_refused(void **state)
{
	static const uint32_t sizes[] = {1, 27, RECORD_SIZE_MAX + 1, UINT32_MAX};
	struct record decoded;
	uint8_t bytes[64] = {0};
	size_t size;

	assert_int_equal(wal_frame_decode(1, bytes, 64, &decoded, &size), WAL_FORMAT_E_EMPTY);
	assert_int_equal(wal_frame_decode(2, bytes, 64, &decoded, &size), WAL_FORMAT_E_EMPTY);
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		store_le32(bytes, sizes[i]);
		assert_int_equal(wal_frame_decode(1, bytes, 64, &decoded, &size),
				 WAL_FORMAT_E_INVALID);
		assert_int_equal(wal_frame_decode(2, bytes, 64, &decoded, &size),
				 WAL_FORMAT_E_INVALID);
	}
	store_le32(bytes, 0);
	bytes[4] = 1; /* a checksum of nothing */
	assert_int_equal(wal_frame_decode(2, bytes, 64, &decoded, &size), WAL_FORMAT_E_INVALID);
}

static void database_headers_that_contradict_themselves_are_refused(void **state)
{
	static const struct {
		size_t at;
		uint32_t value;
	} changes[] = {
		{0, 0},     {4, 0},    {8, 3},   {12, 3},    {12, 31},
		{32, 2},    {36, 1},   {44, 10}, /* node root behind the last page */
		{52, 10},   {60, 111},           /* an offset in the header */
		{68, 4095},                      /* descending */
		{84, 10},   {92, 10},  {104, 0}, {104, 512}, {108, 17},
	};
	const struct wal_database good = {
		.flags = 15,
		.node_root = 1,
		.edge_root = 2,
		.outgoing_offset = 4096,
		.incoming_offset = 8192,
		.index_root = 3,
		.free_head = 9,
		.page_count = 9,
		.page_size = 4096,
		.height = 2,
	};
	struct wal_database database;
	uint8_t bytes[WAL_DATABASE_SIZE];

	wal_database_encode(&good, bytes);
	assert_int_equal(wal_database_decode(bytes, sizeof(bytes), &database), 0);
	assert_int_equal(database.node_root, 1);
	assert_int_equal(database.incoming_offset, 8192);
	assert_int_equal(database.free_head, 9);
	assert_int_equal(wal_database_decode(bytes, sizeof(bytes) - 1, &database),
			 WAL_FORMAT_E_INVALID);
	for (unsigned i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		wal_database_encode(&good, bytes);
		store_be32(bytes + changes[i].at, changes[i].value);
		assert_int_equal(wal_database_decode(bytes, sizeof(bytes), &database),
				 WAL_FORMAT_E_INVALID);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_segments_header_goes_both_ways),
		cmocka_unit_test(no_flipped_bit_of_a_segments_header_is_accepted),
		cmocka_unit_test(a_header_of_zeros_is_empty),
		cmocka_unit_test(a_header_of_others_needs_no_checksum),
		cmocka_unit_test(headers_that_contradict_themselves_are_refused),
		cmocka_unit_test(a_frame_says_how_many_bytes_it_takes),
		cmocka_unit_test(a_frame_of_version_1_has_no_checksum),
		cmocka_unit_test(sizes_that_no_record_has_are_refused),
		cmocka_unit_test(database_headers_that_contradict_themselves_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Rot_wal - no flipped bit of a log that was durable comes back as data
 *
 * A log of three segments is written, synced and closed. Then one bit is flipped, everything is
 * read, and the bit is flipped back. What is read has to be the first records as they were; if
 * any is missing, the reader has to say so: a hole, or a torn end, which only the last Durable
 * record itself can be. One bit in 37 is tried; with TERN_LONG=1 in the environment every one.
 */

#include "base/crc.h"
#include "engine/wal.h"
#include "engine/wal_folder.h"
#include "engine/wal_reader.h"
#include "tests/lib/faulty.h"
#include "tests/lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#define LSN_MAX     2048
#define SEGMENT     (16 << 10)
#define SAMPLE_STEP 37

static uint32_t digests[LSN_MAX];
static uint64_t last_lsn;
static uint64_t torn;

static uint32_t digest_of(const struct record *record)
{
	uint8_t bytes[512];

	assert_true(record_size(record) <= sizeof(bytes));
	assert_int_equal(record_encode(record, bytes), 0);
	return crc32c(bytes, record_size(record));
}

static void write_log(struct io *io)
{
	const struct wal_options options = {
		.segment_size = SEGMENT, .buffer_size = 8 << 10, .salt = 99};
	uint8_t value[300];
	struct wal *wal;

	for (unsigned i = 0; i < sizeof(value); i++)
		value[i] = (uint8_t)(i * 11);
	assert_int_equal(wal_open(io, &options, &wal), 0);
	while (wal_stats(wal).segments < 3) {
		struct record record = {
			.type = RECORD_KV_SET,
			.timestamp = wal_position(wal).next,
			.kv = {.key = {value, 9},
			       .value = {value, (uint32_t)(wal_position(wal).next % 300)}}};

		assert_int_equal(wal_append(wal, &record), 0);
		assert_int_equal(wal_sync(wal), 0);
	}
	wal_close(wal);
}

/* Returns how reading ended. Records before that are checked, or noted at the first time. */
static int read_log(struct io *io, bool note, uint64_t *ret_last)
{
	const struct wal_reader_options options = {0};
	struct wal_reader *reader;
	struct record record;
	char error[256];
	uint64_t last = 0;
	int result = wal_reader_open(io, &options, &reader, error, sizeof(error));

	*ret_last = 0;
	if (result)
		return result;
	while ((result = wal_reader_next(reader, &record)) == 0) {
		assert_int_equal(record.lsn, last + 1);
		assert_true(record.lsn < LSN_MAX);
		last = record.lsn;
		if (note)
			digests[last] = digest_of(&record);
		else
			assert_int_equal(digest_of(&record), digests[last]);
	}
	wal_reader_close(reader);
	*ret_last = last;
	return result;
}

static void try_bit(struct faulty *disk, const char *name, uint64_t bit)
{
	uint64_t last;
	int result;

	faulty_flip(disk, name, bit);
	result = read_log(faulty_io(disk), /* note= */ false, &last);
	if (last < last_lsn && result != WAL_READER_E_CORRUPT) {
		if (result != WAL_READER_E_TORN || last != last_lsn - 1)
			fail_msg("bit %llu of %s: LSNs behind %llu are gone, and the end is %d",
				 (unsigned long long)bit, name, (unsigned long long)last, result);
		torn++;
	}
	faulty_flip(disk, name, bit);
}

static void no_flipped_bit_goes_unseen(void **state)
{
	uint64_t step = getenv("TERN_LONG") ? 1 : SAMPLE_STEP;
	struct faulty *disk = faulty_new(1);
	struct wal_file *files;
	uint32_t count;

	write_log(faulty_io(disk));
	assert_int_equal(read_log(faulty_io(disk), /* note= */ true, &last_lsn), WAL_READER_E_END);
	assert_int_equal(wal_folder_list(faulty_io(disk), &files, &count), 0);
	for (uint32_t i = 0; i < count; i++) {
		char name[IO_NAME_MAX + 1];

		if (files[i].state != WAL_FILE_BEGUN)
			continue;
		wal_folder_name(files[i].number, name);
		for (uint64_t bit = 0; bit < WAL_HEADER_SIZE * 8; bit++)
			try_bit(disk, name, bit);
		for (uint64_t bit = i; bit < files[i].size * 8; bit += step)
			try_bit(disk, name, bit);
	}
	print_message("%llu flips made the end torn\n", (unsigned long long)torn);
	free(files);
	faulty_free(disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_flipped_bit_goes_unseen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/lib/log_rig.h"

#include "tests/lib/test.h"

#include <stdio.h>
#include <string.h>

#define VALUE_MAX 16384

struct wal_options log_rig_options(uint64_t next_lsn)
{
	return (struct wal_options){.segment_size = 16 << 10,
				    .buffer_size = 8 << 10,
				    .recycle_max = 2,
				    .next_lsn = next_lsn,
				    .salt = 0x5a17};
}

struct wal *log_rig_open(struct io *io, uint64_t next_lsn)
{
	struct wal_options options = log_rig_options(next_lsn);
	struct wal *wal;

	assert_int_equal(wal_open(io, &options, &wal), 0);
	return wal;
}

static void fill(uint64_t seed, uint32_t size, uint8_t *value)
{
	for (uint32_t i = 0; i < size; i++)
		value[i] = (uint8_t)(seed * 31 + i * 7 + (seed >> 8));
}

struct record log_rig_record(uint64_t seed, uint32_t size)
{
	static uint8_t value[VALUE_MAX];

	assert_true(size <= sizeof(value));
	fill(seed, size, value);
	return (struct record){.type = RECORD_KV_SET,
			       .timestamp = 1700000000 + seed,
			       .kv = {.key = {(const uint8_t *)"key", 3},
				      .value = {value, size},
				      .value_type = (uint8_t)seed}};
}

int log_rig_append(struct wal *wal, uint32_t size)
{
	uint64_t guess = wal_position(wal).next;
	struct record record = log_rig_record(guess, size);
	int result = wal_append(wal, &record);

	/* A Durable record came first: this one's seed is one too small, which the check allows. */
	if (!result)
		assert_in_range(record.lsn, guess, guess + 1);
	return result;
}

bool log_rig_holds(const struct record *record)
{
	uint8_t value[VALUE_MAX];
	uint64_t seed = record->timestamp - 1700000000;

	if (record->type != RECORD_KV_SET)
		return true;
	fill(seed, record->kv.value.size, value);
	return (seed == record->lsn || seed + 1 == record->lsn) &&
	       record->kv.value_type == (uint8_t)seed &&
	       memcmp(value, record->kv.value.bytes, record->kv.value.size) == 0;
}

static void take(struct log_rig_result *result, const struct record *record)
{
	if (!log_rig_holds(record))
		fail_msg("record %llu isn't what was appended", (unsigned long long)record->lsn);
	if (result->first == 0)
		result->first = record->lsn;
	result->last = record->lsn;
	result->sets += record->type == RECORD_KV_SET;
	if (record->type == RECORD_TRANSACTION_BEGIN)
		result->open_tx = true;
	if (record->type == RECORD_TRANSACTION_COMMIT ||
	    record->type == RECORD_TRANSACTION_ROLLBACK)
		result->open_tx = false;
}

struct log_rig_result log_rig_read(struct io *io, const struct wal_reader_options *options,
				   bool cut)
{
	struct log_rig_result result = {0};
	struct wal_reader *reader;
	struct record record;

	result.end = wal_reader_open(io, options, &reader, result.error, sizeof(result.error));
	if (result.end)
		return result;
	while ((result.end = wal_reader_next(reader, &record)) == 0)
		take(&result, &record);
	result.place = wal_reader_place(reader);
	result.skipped = wal_reader_stats(reader).skipped;
	result.missing = wal_reader_stats(reader).missing;
	result.records = wal_reader_stats(reader).records;
	snprintf(result.error, sizeof(result.error), "%s", wal_reader_error(reader));
	if (cut && result.end == WAL_READER_E_TORN)
		assert_int_equal(wal_reader_cut(reader), 0);
	wal_reader_close(reader);
	return result;
}

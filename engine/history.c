/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/history.h"

#include "base/byteorder.h"
#include "base/crc.h"
#include "base/defs.h"

#include <string.h>

#define VERSION     UINT32_C(1)
#define SAMPLE_SIZE 24
#define CRC_SIZE    4

/* docs/format/history.md */
enum {
	AT_MAGIC = 0,
	AT_VERSION = 8,
	AT_COUNT_TIME = 12,
	AT_STORE = 16,
	AT_BYTES = 32,
	AT_COUNT_BYTES = 40,
	AT_RESERVED = 44,
	AT_SAMPLES = 48,
};

_Static_assert(HISTORY_SIZE_MAX == AT_SAMPLES + 2 * HISTORY_ROW_MAX * SAMPLE_SIZE + CRC_SIZE,
	       "full rows fit");

static const char magic[8] = "TERNHIST";

static void row_init(struct history_row *row, uint64_t limit)
{
	row->count = 0;
	row->distance = limit;
	if (limit != HISTORY_NO_LIMIT)
		row->distance = limit / (HISTORY_ROW_MAX / 2) + 1;
}

void history_init(struct history *history, uint64_t age_max, uint64_t size_max)
{
	row_init(&history->by_time, age_max);
	row_init(&history->by_bytes, size_max);
	history->newest = (struct history_sample){0};
}

static void row_add(struct history_row *row, const struct history_sample *sample)
{
	if (row->count == HISTORY_ROW_MAX) {
		row->count = HISTORY_ROW_MAX / 2;
		memmove(row->samples, row->samples + HISTORY_ROW_MAX - row->count,
			row->count * sizeof(row->samples[0]));
	}
	row->samples[row->count++] = *sample;
}

static struct history_sample row_last(const struct history_row *row)
{
	return row->count > 0 ? row->samples[row->count - 1] : (struct history_sample){0};
}

/* A clock that was set back stands still until it has caught up. */
bool history_note(struct history *history, uint64_t seqno, uint64_t now, uint64_t bytes)
{
	struct history_sample *newest = &history->newest;
	bool timely, large;

	newest->seqno = MAX(newest->seqno, seqno);
	newest->seconds = MAX(newest->seconds, now);
	newest->bytes += bytes;
	timely = newest->seconds - row_last(&history->by_time).seconds >= history->by_time.distance;
	large = newest->bytes - row_last(&history->by_bytes).bytes >= history->by_bytes.distance;
	if (timely)
		row_add(&history->by_time, newest);
	if (large)
		row_add(&history->by_bytes, newest);
	return timely || large;
}

uint64_t history_before(const struct history *history, uint64_t now, uint64_t age)
{
	const struct history_sample *samples = history->by_time.samples;
	uint32_t low = 0, high = history->by_time.count;

	if (now < age)
		return 0;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (samples[middle].seconds <= now - age)
			low = middle + 1;
		else
			high = middle;
	}
	return low > 0 ? samples[low - 1].seqno + 1 : 0;
}

uint64_t history_within(const struct history *history, uint64_t size)
{
	const struct history_sample *samples = history->by_bytes.samples;
	uint32_t low = 0, high = history->by_bytes.count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (history->newest.bytes - samples[middle].bytes >= size)
			low = middle + 1;
		else
			high = middle;
	}
	return low > 0 ? samples[low - 1].seqno + 1 : 0;
}

static size_t row_encode(const struct history_row *row, uint8_t *bytes)
{
	for (uint32_t i = 0; i < row->count; i++, bytes += SAMPLE_SIZE) {
		store_le64(bytes, row->samples[i].seqno);
		store_le64(bytes + 8, row->samples[i].seconds);
		store_le64(bytes + 16, row->samples[i].bytes);
	}
	return (size_t)row->count * SAMPLE_SIZE;
}

size_t history_encode(const struct history *history, const uint8_t store[16], uint8_t *bytes)
{
	size_t size = AT_SAMPLES;

	memcpy(bytes + AT_MAGIC, magic, sizeof(magic));
	store_le32(bytes + AT_VERSION, VERSION);
	store_le32(bytes + AT_COUNT_TIME, history->by_time.count);
	memcpy(bytes + AT_STORE, store, 16);
	store_le64(bytes + AT_BYTES, history->newest.bytes);
	store_le32(bytes + AT_COUNT_BYTES, history->by_bytes.count);
	store_le32(bytes + AT_RESERVED, 0);
	size += row_encode(&history->by_time, bytes + size);
	size += row_encode(&history->by_bytes, bytes + size);
	store_le32(bytes + size, crc32c(bytes, size));
	return size + CRC_SIZE;
}

static bool is_whole(const uint8_t *bytes, size_t size)
{
	size_t by_time, by_bytes;

	if (size < AT_SAMPLES + CRC_SIZE || memcmp(bytes + AT_MAGIC, magic, sizeof(magic)) != 0 ||
	    load_le32(bytes + AT_VERSION) != VERSION || load_le32(bytes + AT_RESERVED) != 0)
		return false;
	by_time = load_le32(bytes + AT_COUNT_TIME);
	by_bytes = load_le32(bytes + AT_COUNT_BYTES);
	return by_time <= HISTORY_ROW_MAX && by_bytes <= HISTORY_ROW_MAX &&
	       size == AT_SAMPLES + (by_time + by_bytes) * SAMPLE_SIZE + CRC_SIZE &&
	       load_le32(bytes + size - CRC_SIZE) == crc32c(bytes, size - CRC_SIZE);
}

static struct history_sample sample_at(const uint8_t *bytes, uint32_t index)
{
	const uint8_t *at = bytes + (size_t)index * SAMPLE_SIZE;

	return (struct history_sample){load_le64(at), load_le64(at + 8), load_le64(at + 16)};
}

static bool rises(struct history_sample before, struct history_sample sample)
{
	return before.seqno <= sample.seqno && sample.seqno < UINT64_MAX &&
	       before.seconds <= sample.seconds && before.bytes <= sample.bytes;
}

/* Its last sample, if none falls and there were no more bytes than 'bytes_max' then. */
static bool row_check(const uint8_t *bytes, uint32_t count, uint64_t bytes_max,
		      struct history_sample *ret_last)
{
	struct history_sample sample = {0};

	for (uint32_t i = 0; i < count; i++) {
		struct history_sample before = sample;

		sample = sample_at(bytes, i);
		if (!rises(before, sample))
			return false;
	}
	*ret_last = sample;
	return sample.bytes <= bytes_max;
}

static void row_decode(struct history_row *row, const uint8_t *bytes, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		row->samples[i] = sample_at(bytes, i);
	row->count = count;
}

int history_decode(struct history *history, const uint8_t store[16], const uint8_t *bytes,
		   size_t size)
{
	struct history_sample last_time, last_bytes;
	uint32_t time_count, bytes_count;
	uint64_t written;
	const uint8_t *at;

	if (!is_whole(bytes, size))
		return HISTORY_E_INVALID;
	if (memcmp(bytes + AT_STORE, store, 16) != 0)
		return HISTORY_E_STORE;
	time_count = load_le32(bytes + AT_COUNT_TIME);
	bytes_count = load_le32(bytes + AT_COUNT_BYTES);
	written = load_le64(bytes + AT_BYTES);
	at = bytes + AT_SAMPLES + (size_t)time_count * SAMPLE_SIZE;
	if (!row_check(bytes + AT_SAMPLES, time_count, written, &last_time) ||
	    !row_check(at, bytes_count, written, &last_bytes))
		return HISTORY_E_INVALID;
	row_decode(&history->by_time, bytes + AT_SAMPLES, time_count);
	row_decode(&history->by_bytes, at, bytes_count);
	history->newest = (struct history_sample){
		.seqno = MAX(last_time.seqno, last_bytes.seqno),
		.seconds = MAX(last_time.seconds, last_bytes.seconds),
		.bytes = written,
	};
	return 0;
}

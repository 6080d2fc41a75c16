/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/wal_batch.h"

#include "base/check.h"
#include "base/defs.h"

#include <string.h>

uint64_t wal_batch_end(const struct wal_batch *batch)
{
	return batch->has_second ? batch->used - batch->second : batch->base + batch->used;
}

void wal_batch_follow(struct wal_batch *batch, const struct wal_batch *before)
{
	uint64_t end = wal_batch_end(before);
	size_t tail = (size_t)(end % IO_ALIGN);

	*batch = (struct wal_batch){
		.bytes = batch->bytes, .base = end - tail, .from = tail, .used = tail};
	memcpy(batch->bytes, before->bytes + before->used - tail, tail);
}

bool wal_batch_fits(const struct wal_batch *batch, size_t size, uint64_t segment_size)
{
	return wal_batch_end(batch) + size + WAL_END_SIZE <= segment_size;
}

void wal_batch_split(struct wal_batch *batch, const struct wal_header *header)
{
	CHECK(!batch->has_second);
	batch->has_second = true;
	batch->split = batch->used;
	batch->second = align_up(batch->used + WAL_END_SIZE, IO_ALIGN);
	batch->header = *header;
	batch->used = batch->second + WAL_HEADER_SIZE;
}

void wal_batch_number(struct wal_batch *batch, uint32_t number)
{
	batch->header.number = number;
	wal_header_encode(&batch->header, batch->bytes + batch->second);
}

void wal_batch_add(struct wal_batch *batch, const struct record *record)
{
	int result = wal_frame_encode(record, batch->bytes + batch->used);

	CHECK(result == 0);
	batch->used += wal_frame_size(record);
	batch->size += wal_frame_size(record);
	batch->last_lsn = record->lsn;
}

void wal_batch_add_frame(struct wal_batch *batch, const uint8_t *frame, size_t size, uint64_t lsn)
{
	memcpy(batch->bytes + batch->used, frame, size);
	batch->used += size;
	batch->size += size;
	batch->last_lsn = lsn;
}

void wal_batch_add_durable(struct wal_batch *batch, const struct record *record)
{
	CHECK(!batch->has_durable);
	batch->has_durable = true;
	batch->durable_at = batch->used;
	batch->durable = *record;
	wal_batch_add(batch, record);
	batch->size -= wal_frame_size(record);
}

void wal_batch_settle(struct wal_batch *batch, uint64_t durable)
{
	int result;

	if (!batch->has_durable)
		return;
	batch->durable.durable.durable = durable;
	result = wal_frame_encode(&batch->durable, batch->bytes + batch->durable_at);
	CHECK(result == 0);
}

/* Blocks from 'from' to the end of the frames at 'end' and the zeros behind them. */
static struct wal_part part_of(struct wal_batch *batch, size_t from, size_t end, uint64_t offset)
{
	size_t whole = align_up(end + WAL_END_SIZE, IO_ALIGN);

	memset(batch->bytes + end, 0, whole - end);
	return (struct wal_part){batch->bytes + from, whole - from, offset};
}

struct wal_part wal_batch_first(struct wal_batch *batch)
{
	size_t end = batch->has_second ? batch->split : batch->used;

	if (end == batch->from)
		return (struct wal_part){0};
	return part_of(batch, 0, end, batch->base);
}

struct wal_part wal_batch_second(struct wal_batch *batch)
{
	return part_of(batch, batch->second, batch->used, 0);
}

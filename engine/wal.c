/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/wal.h"

#include "base/check.h"
#include "base/defs.h"
#include "engine/wal_internal.h"

#include <errno.h>
#include <time.h>

void wal_stop(struct wal *wal, int error)
{
	if (!wal->failed)
		wal->failed = error == -ENOSPC ? -EIO : error;
	wal->step = STEP_NONE;
	wal->next = WISH_NONE;
}

struct wal_header wal_make_header(const struct wal *wal, uint64_t first)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (struct wal_header){
		.version = 2,
		.page_size = 4096,
		.created_at = (uint64_t)now.tv_sec,
		.current_lsn = first,
		.committed_lsn = first - 1,
		.checkpointed_lsn = MIN(wal->segments.released, first - 1),
		.salt = wal->salt,
		.store = wal->store,
	};
}

/* A Durable record says something that none said yet, at the latest when its batch is written. */
static bool wants_durable(const struct wal *wal)
{
	return !wal->filling->has_durable && !wal->in_tx &&
	       (wal->durable > wal->noted || (wal->step != STEP_NONE && wal->now == WISH_SYNC));
}

void wal_split_if_full(struct wal *wal, size_t size)
{
	struct wal_header header;

	if (wal_batch_fits(wal->filling, size, wal->segments.segment_size))
		return;
	header = wal_make_header(wal, wal->next_lsn);
	wal_batch_split(wal->filling, &header);
}

bool wal_note_durable(struct wal *wal)
{
	const struct record record = {
		.type = RECORD_DURABLE,
		.lsn = wal->next_lsn,
		.timestamp = wal->timestamp,
		.durable = {.durable = wal->durable, .salt = wal->salt},
	};

	if (!wants_durable(wal))
		return false;
	wal_split_if_full(wal, wal_frame_size(&record));
	wal_batch_add_durable(wal->filling, &record);
	wal->next_lsn++;
	return true;
}

/* Bytes of an open transaction that frames take. */
static uint64_t tx_bytes(const struct wal *wal)
{
	return wal->in_tx ? wal->filling->size - wal->tx_mark.size : 0;
}

static int check_room(const struct wal *wal, size_t frame)
{
	if (wal->failed)
		return WAL_E_STOPPED;
	if (frame > RECORD_SIZE_MAX + WAL_FRAME_HEAD || tx_bytes(wal) + frame > wal->buffer_size)
		return WAL_E_SIZE;
	return wal->filling->size + frame > wal->buffer_size ? WAL_E_BUSY : 0;
}

int wal_append(struct wal *wal, struct record *record)
{
	size_t frame = wal_frame_size(record);
	int result = check_room(wal, frame);

	if (result)
		return result;
	(void)wal_note_durable(wal);
	wal_split_if_full(wal, frame);
	record->lsn = wal->next_lsn++;
	wal_batch_add(wal->filling, record);
	wal->timestamp = record->timestamp;
	wal->stats.records++;
	wal->stats.bytes += frame;
	return 0;
}

static int append_mark(struct wal *wal, enum record_type type, uint64_t timestamp,
		       uint64_t *ret_lsn)
{
	struct record record = {
		.type = type, .timestamp = timestamp, .transaction = {.tx = wal->tx}};
	int result = wal_append(wal, &record);

	if (!result)
		*ret_lsn = record.lsn;
	return result;
}

int wal_begin(struct wal *wal, uint64_t tx, uint64_t timestamp)
{
	uint64_t lsn;
	int result;

	CHECK(!wal->in_tx);
	result = check_room(wal, WAL_FRAME_HEAD + WAL_RECORD_SIZE_MIN);
	if (result)
		return result;
	(void)wal_note_durable(wal);
	wal->in_tx = true;
	wal->tx = tx;
	wal->tx_mark = *wal->filling;
	wal->tx_lsn = wal->next_lsn;
	result = append_mark(wal, RECORD_TRANSACTION_BEGIN, timestamp, &lsn);
	CHECK(result == 0);
	return 0;
}

int wal_commit(struct wal *wal, uint64_t timestamp, uint64_t *ret_lsn)
{
	int result;

	CHECK(wal->in_tx);
	result = append_mark(wal, RECORD_TRANSACTION_COMMIT, timestamp, ret_lsn);
	if (!result)
		wal->in_tx = false;
	return result;
}

int wal_rollback(struct wal *wal, uint64_t timestamp)
{
	CHECK(wal->in_tx);
	wal->stats.records -= wal->next_lsn - wal->tx_lsn;
	wal->stats.bytes -= tx_bytes(wal);
	*wal->filling = wal->tx_mark;
	wal->next_lsn = wal->tx_lsn;
	wal->in_tx = false;
	return 0;
}

bool wal_has_room(const struct wal *wal, uint64_t bytes, uint32_t count)
{
	uint64_t frames = (uint64_t)count * WAL_FRAME_HEAD;

	return bytes <= WAL_BUFFER_MAX && wal->filling->size + bytes + frames <= wal->buffer_size;
}

struct wal_position wal_position(const struct wal *wal)
{
	return (struct wal_position){
		.next = wal->next_lsn,
		.durable = wal->durable,
		.oldest = wal->segments.begun[0].first,
		.segment = wal->newest.number,
		.segment_first = wal->newest.first,
		.segment_size = wal->newest.size,
	};
}

struct wal_stats wal_stats(const struct wal *wal)
{
	struct wal_stats stats = wal->stats;

	stats.recycled = wal->segments.recycled;
	return stats;
}

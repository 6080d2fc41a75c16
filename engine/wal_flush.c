/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Wal flush - the steps in which a batch gets to the disk
 *
 * Two batches take turns: one is filled while the other is written. A flush goes through these
 * steps, each of which is one operation of the queue, and only one of which is under way at a time:
 *
 *      FIRST    the batch's first part goes to the segment that is open
 *      HEADER   where there is a second part: the next segment's first block, header alone
 *      SECOND   the second part goes there
 *      SYNC     nothing is to be written, but what was written isn't synced
 *
 * Invariants:
 *  1. A step is begun after the one before it ended well. So what is durable is always a prefix.
 *  2. HEADER is begun after all before it was synced, and is synced itself before frames follow.
 *     So a header proves the segments before it, and a file without one has no frames of this use.
 *  3. Frames that are in the file are written again only with the same bytes, as the head of the
 *     block that goes on behind them.
 *  4. An open transaction lies at the end of the batch that is filled, and moves to the other
 *     batch when that one is written.
 *  5. So a batch ends where a transaction does, and 'durable' rises to ends of batches alone: those
 *     who hear of it take a transaction for durable whole or not at all.
 */

#include "base/byteorder.h"
#include "base/check.h"
#include "base/defs.h"
#include "engine/wal_internal.h"

#include <errno.h>
#include <string.h>

static void take_end(struct wal *wal);

/* For a caller that blocks anyhow: without the way through the kernel's workers and back. */
static int do_now(const struct io_op *op)
{
	int result = op->kind == IO_SYNC ? 0 : io_write(op->file, op->offset, op->bytes, op->size);

	if (result == 0 && op->kind != IO_WRITE)
		/* What a sync lost for want of room is lost all the same. */
		result = io_sync(op->file) < 0 ? -EIO : 0;
	return result;
}

static void submit(struct wal *wal, enum wal_step step, enum io_kind kind, struct wal_part part)
{
	int result;

	wal->step = step;
	wal->under_way = true;
	wal->op = (struct io_op){.file = wal->file,
				 .bytes = part.bytes,
				 .offset = part.offset,
				 .size = (uint32_t)part.size,
				 .kind = kind};
	if (wal->blocks) {
		wal->op.result = do_now(&wal->op);
		take_end(wal);
		return;
	}
	result = io_queue_submit(wal->queue, &wal->op);
	if (!result)
		return;
	wal->under_way = false;
	wal_stop(wal, result < 0 ? result : -EIO);
}

/* Moves the open transaction's frames from the batch that is going to be written. */
static void move_transaction(struct wal *wal, const struct wal_batch *from)
{
	const struct wal_batch *mark = &wal->tx_mark;
	size_t at = mark->used;
	uint64_t lsn = wal->tx_lsn, end = wal->next_lsn;

	for (wal->next_lsn = lsn; wal->next_lsn < end; wal->next_lsn++) {
		size_t size;

		if (from->has_second && !mark->has_second && at == from->split)
			at = from->second + WAL_HEADER_SIZE;
		size = WAL_FRAME_HEAD + load_le32(from->bytes + at);
		wal_split_if_full(wal, size);
		wal_batch_add_frame(wal->filling, from->bytes + at, size, wal->next_lsn);
		at += size;
	}
}

/* What was filled is to be written; what follows goes to the other batch. */
static void turn(struct wal *wal)
{
	struct wal_batch *full = wal->filling;
	const struct wal_batch whole = *full;

	if (wal->in_tx)
		*full = wal->tx_mark;
	wal_batch_settle(full, wal->durable); /* before its last block is copied: invariant 3 */
	wal->filling = wal->writing;
	wal->writing = full;
	wal_batch_follow(wal->filling, full);
	if (wal->in_tx) {
		struct wal_batch mark = *wal->filling;

		move_transaction(wal, &whole);
		wal->tx_mark = mark;
	}
}

/* Whether there is something to write that isn't of an open transaction. */
static bool has_records(const struct wal *wal)
{
	const struct wal_batch *batch = wal->in_tx ? &wal->tx_mark : wal->filling;

	return batch->last_lsn > 0;
}

static void begin_header(struct wal *wal);

static void begin_flush(struct wal *wal)
{
	struct wal_part part;

	wal->now = wal->next;
	wal->next = WISH_NONE;
	if (!has_records(wal)) {
		if (wal->now == WISH_SYNC && wal->unsynced)
			submit(wal, STEP_SYNC, IO_SYNC, (struct wal_part){0});
		return;
	}
	turn(wal);
	part = wal_batch_first(wal->writing);
	if (part.size > 0)
		submit(wal, STEP_FIRST,
		       wal->now == WISH_SYNC || wal->writing->has_second ? IO_WRITE_SYNC : IO_WRITE,
		       part);
	else if (wal->unsynced)
		submit(wal, STEP_FIRST, IO_SYNC, part);
	else
		begin_header(wal);
}

/*
 * All before is synced. Without a spare this waits, and wal_poll() comes again. The batch that
 * follows may go on in the block that the header stands in.
 */
static void begin_header(struct wal *wal)
{
	struct wal_batch *batch = wal->writing;
	uint32_t number;

	wal->step = STEP_HEADER;
	if (!wal_segments_ready(&wal->segments))
		return;
	wal->file =
		wal_segments_begin(&wal->segments, batch->header.current_lsn, wal->file, &number);
	wal->stats.segments++;
	wal_batch_number(batch, number);
	memcpy(wal->header_block, batch->bytes + batch->second, WAL_HEADER_SIZE);
	if (wal->filling->base == 0)
		memcpy(wal->filling->bytes, wal->header_block, WAL_HEADER_SIZE);
	submit(wal, STEP_HEADER, IO_WRITE_SYNC, (struct wal_part){wal->header_block, IO_ALIGN, 0});
}

static void begin_second(struct wal *wal)
{
	submit(wal, STEP_SECOND, wal->now == WISH_SYNC ? IO_WRITE_SYNC : IO_WRITE,
	       wal_batch_second(wal->writing));
}

static void finish_flush(struct wal *wal)
{
	struct wal_batch *batch = wal->writing;

	if (wal->step != STEP_SYNC) {
		wal->stats.flushes++;
		if (batch->has_durable)
			wal->noted = batch->durable.durable.durable;
	}
	wal->step = STEP_NONE;
}

/* The batch's second part is still to be written. */
static bool is_half(const struct wal *wal)
{
	return wal->step == STEP_HEADER || (wal->step == STEP_FIRST && wal->writing->has_second);
}

/* The step's operation ended well. */
static void advance(struct wal *wal)
{
	const struct wal_batch *batch = wal->writing;

	if (wal->step == STEP_FIRST || wal->step == STEP_SECOND)
		wal->written = wal->step == STEP_FIRST && batch->has_second
				       ? batch->header.current_lsn - 1
				       : batch->last_lsn;
	if (wal->step == STEP_HEADER) {
		wal->segments.headed = true;
		wal->newest = wal->segments.begun[wal->segments.begun_count - 1];
	}
	wal->unsynced = wal->op.kind == IO_WRITE;
	/* The first of two parts may end within a transaction: invariant 5. */
	if (!wal->unsynced && !is_half(wal))
		wal->durable = wal->written;
	if (wal->step == STEP_FIRST && batch->has_second)
		begin_header(wal);
	else if (wal->step == STEP_HEADER)
		begin_second(wal);
	else
		finish_flush(wal);
}

/*
 * The operation ended. Missing room can be waited for, as the same bytes will be written again; but
 * a sync that failed may have lost bytes of earlier writes.
 */
static void take_end(struct wal *wal)
{
	int result = wal->op.result;

	wal->under_way = false;
	if (wal->failed)
		return;
	if (result == 0)
		advance(wal);
	else if (result == -ENOSPC && wal->op.kind != IO_SYNC &&
		 !(wal->op.kind == IO_WRITE_SYNC && wal->unsynced))
		wal->waits = true;
	else
		wal_stop(wal, result < 0 ? result : -EIO);
}

/* The step wants a segment and there is none. */
static bool lacks_segment(const struct wal *wal)
{
	return wal->step == STEP_HEADER && !wal->under_way && !wal->waits;
}

/* What waits for room is tried again. */
static void retry(struct wal *wal)
{
	wal_segments_retry(&wal->segments);
	if (wal->waits) {
		wal->waits = false;
		submit(wal, wal->step, wal->op.kind,
		       (struct wal_part){wal->op.bytes, wal->op.size, wal->op.offset});
	}
}

void wal_flush(struct wal *wal, bool sync)
{
	enum wal_wish wish = sync ? WISH_SYNC : WISH_WRITE;

	if (wal->failed)
		return;
	retry(wal);
	wal->next = MAX(wal->next, wish);
	if (wal->step == STEP_NONE && !wal->failed)
		begin_flush(wal);
}

/* A spare is made while the second half of the last segment is filled. */
static void work_on_segments(struct wal *wal)
{
	int result;

	if (lacks_segment(wal) || wal_batch_end(wal->filling) >= wal->segments.segment_size / 2)
		wal_segments_make(&wal->segments);
	result = wal_segments_work(&wal->segments);
	if (result)
		wal_stop(wal, result);
}

static void take_op(struct wal *wal, const struct io_op *op)
{
	int result = 0;

	if (op == &wal->op)
		take_end(wal);
	else
		result = wal_segments_step(&wal->segments);
	if (result)
		wal_stop(wal, result);
}

bool wal_poll(struct wal *wal)
{
	struct io_op *ops[WAL_QUEUE_DEPTH];
	uint32_t count = io_queue_poll(wal->queue, ops, WAL_QUEUE_DEPTH);

	for (uint32_t i = 0; i < count; i++)
		take_op(wal, ops[i]);
	if (wal->failed)
		return count > 0;
	if (lacks_segment(wal))
		begin_header(wal);
	if (wal->step == STEP_NONE && wal->next != WISH_NONE)
		begin_flush(wal);
	work_on_segments(wal);
	return count > 0;
}

static int sync_blocking(struct wal *wal)
{
	uint64_t target = (wal->in_tx ? wal->tx_lsn : wal->next_lsn) - 1;

	wal_flush(wal, /* sync= */ true);
	while (wal->durable < target) {
		int result = wal_failed(wal);

		if (result)
			return result;
		if (wal->step == STEP_NONE)
			wal_flush(wal, /* sync= */ true);
		if (wal->durable >= target)
			break;
		io_queue_wait(wal->queue);
		(void)wal_poll(wal);
	}
	return 0;
}

int wal_sync(struct wal *wal)
{
	wal->blocks = true;
	int result = sync_blocking(wal);
	wal->blocks = false;
	/* The next segment is made meanwhile. */
	(void)wal_poll(wal);
	return result;
}

int wal_release(struct wal *wal, uint64_t lsn)
{
	if (wal->failed)
		return wal->failed;
	wal->segments.released = MAX(wal->segments.released, lsn);
	wal_segments_retry(&wal->segments);
	work_on_segments(wal);
	return wal->failed;
}

int wal_settle(struct wal *wal)
{
	wal_segments_retry(&wal->segments);
	while (!wal->failed && wal_segments_letting_go(&wal->segments) == WAL_SEGMENTS_E_BUSY) {
		io_queue_wait(wal->queue);
		(void)wal_poll(wal);
	}
	return wal->failed ? wal->failed : wal_segments_letting_go(&wal->segments);
}

int wal_failed(const struct wal *wal)
{
	if (wal->failed)
		return wal->failed;
	if (wal->waits || (lacks_segment(wal) && wal_segments_stuck(&wal->segments)))
		return -ENOSPC;
	return 0;
}

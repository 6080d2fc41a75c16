/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Wal - appending, and the states of a flush
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
 */

#include "engine/wal.h"

#include "base/byteorder.h"
#include "base/check.h"
#include "base/defs.h"
#include "base/rand.h"
#include "engine/wal_batch.h"
#include "engine/wal_segments.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SEGMENT_SIZE_DEFAULT (UINT64_C(64) << 20)
#define SEGMENT_SIZE_MIN     (UINT64_C(16) << 10)
#define BUFFER_SIZE_DEFAULT  (UINT32_C(4) << 20)
#define RECYCLE_DEFAULT      4
#define QUEUE_DEPTH          4

enum step {
	STEP_NONE,
	STEP_FIRST,
	STEP_HEADER,
	STEP_SECOND,
	STEP_SYNC,
};

/* What a flush is asked for. */
enum wish {
	WISH_NONE,
	WISH_WRITE,
	WISH_SYNC,
};

struct wal {
	struct io_queue *queue;
	struct io_file *file; /* the last segment */
	struct wal_segments segments;
	uint32_t buffer_size;
	uint32_t store;
	uint32_t salt;
	uint8_t *memory;       /* both batches' bytes, header block, zeros */
	uint8_t *header_block; /* IO_ALIGN, in it */

	struct wal_batch batches[2];
	struct wal_batch *filling;
	struct wal_batch *writing;
	bool in_tx;
	uint64_t tx;
	struct wal_batch tx_mark; /* 'filling' before the transaction */
	uint64_t tx_lsn;          /* the next LSN then */

	enum step step;
	bool under_way; /* 'op' */
	bool waits;     /* 'op' failed for want of room */
	bool blocks;    /* wal_sync() is under way: operations are done at once */
	struct io_op op;
	enum wish now;  /* of the flush under way */
	enum wish next; /* of the one that follows it */
	bool unsynced;  /* something was written and not synced since */

	uint64_t next_lsn;
	uint64_t written;
	uint64_t durable;
	uint64_t noted; /* what the last Durable record written says */
	uint64_t released;
	uint64_t timestamp; /* of the last record */
	int failed;
	struct wal_stats stats;
};

static void stop(struct wal *wal, int error)
{
	if (!wal->failed)
		wal->failed = error == -ENOSPC ? -EIO : error;
	wal->step = STEP_NONE;
	wal->next = WISH_NONE;
}

/* ---- open, close ---- */

static bool sizes_hold(const struct wal_options *options)
{
	return options->segment_size >= SEGMENT_SIZE_MIN && options->segment_size % IO_ALIGN == 0 &&
	       options->buffer_size > 0 && options->buffer_size <= WAL_BUFFER_MAX &&
	       options->buffer_size <= options->segment_size / 2 &&
	       options->recycle_max <= WAL_SPARE_MAX;
}

static struct wal_options with_defaults(const struct wal_options *options)
{
	struct wal_options full = *options;

	if (!full.segment_size)
		full.segment_size = SEGMENT_SIZE_DEFAULT;
	if (!full.buffer_size)
		full.buffer_size =
			(uint32_t)MIN(full.segment_size / 8, (uint64_t)BUFFER_SIZE_DEFAULT);
	if (!full.recycle_max)
		full.recycle_max = RECYCLE_DEFAULT;
	if (!full.next_lsn)
		full.next_lsn = 1;
	return full;
}

static int take_memory(struct wal *wal)
{
	size_t batch = align_up(wal->buffer_size, IO_ALIGN) + WAL_BATCH_EXTRA;
	uint32_t zeros = (uint32_t)MIN(wal->segments.segment_size, (uint64_t)WAL_ZERO_SIZE);
	size_t size = 2 * batch + IO_ALIGN + zeros;

	if (posix_memalign((void **)&wal->memory, IO_ALIGN, size))
		return -ENOMEM;
	memset(wal->memory, 0, size);
	wal->batches[0].bytes = wal->memory;
	wal->batches[1].bytes = wal->memory + batch;
	wal->header_block = wal->memory + 2 * batch;
	wal->segments.zeros = wal->header_block + IO_ALIGN;
	wal->segments.zeros_size = zeros;
	/* Pinned memory is a help where the limits allow it, and no more. */
	(void)io_queue_register(wal->queue, wal->memory, size);
	return 0;
}

static struct wal_header header_of(const struct wal *wal, uint64_t first)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (struct wal_header){
		.version = 2,
		.page_size = 4096,
		.created_at = (uint64_t)now.tv_sec,
		.current_lsn = first,
		.committed_lsn = first - 1,
		.checkpointed_lsn = MIN(wal->released, first - 1),
		.salt = wal->salt,
		.store = wal->store,
	};
}

/* Makes a spare, and waits for it. Returns 0, -ENOSPC or another negative errno. */
static int make_first(struct wal *wal)
{
	int result = wal_segments_make(&wal->segments);

	while (!result && wal->segments.under_way) {
		struct io_op *op;

		io_queue_wait(wal->queue);
		if (io_queue_poll(wal->queue, &op, 1) == 1)
			result = wal_segments_step(&wal->segments);
	}
	return result ? result : wal->segments.waits;
}

static int begin_first(struct wal *wal)
{
	struct wal_header header;
	int result = wal->segments.spare_count > 0 ? 0 : make_first(wal);

	if (result)
		return result;
	header = header_of(wal, wal->next_lsn);
	result = wal_segments_begin(&wal->segments, wal->next_lsn, &wal->file, &header.number);
	if (result)
		return result;
	wal_header_encode(&header, wal->header_block);
	result = io_write(wal->file, 0, wal->header_block, IO_ALIGN);
	return result ? result : io_sync(wal->file);
}

static int open_all(struct wal *wal, struct io *io)
{
	int result = io_queue_new(io, QUEUE_DEPTH, &wal->queue);

	if (result)
		return result;
	wal->segments.queue = wal->queue;
	result = take_memory(wal);
	if (!result && wal->salt == 0)
		result = rand_secret(&wal->salt, sizeof(wal->salt));
	if (!result)
		result = wal_segments_open(&wal->segments, wal->next_lsn);
	return result ? result : begin_first(wal);
}

static void free_all(struct wal *wal)
{
	struct io_op *op;

	if (wal->queue) {
		while (io_queue_count(wal->queue) > 0) {
			io_queue_wait(wal->queue);
			(void)io_queue_poll(wal->queue, &op, 1);
		}
	}
	io_close(wal->file);
	wal_segments_close(&wal->segments);
	io_queue_free(wal->queue);
	free(wal->memory);
	free(wal);
}

/* What lies in the open segment is its header. */
static void begin_batches(struct wal *wal)
{
	wal->filling = &wal->batches[0];
	wal->writing = &wal->batches[1];
	memcpy(wal->filling->bytes, wal->header_block, WAL_HEADER_SIZE);
	wal->filling->from = wal->filling->used = WAL_HEADER_SIZE;
	wal->written = wal->durable = wal->noted = wal->next_lsn - 1;
	wal->stats.segments = 1;
}

int wal_open(struct io *io, const struct wal_options *options, struct wal **ret_wal)
{
	struct wal_options full = with_defaults(options);
	struct wal *wal;
	int result;

	if (!sizes_hold(&full))
		return -EINVAL;
	wal = calloc(1, sizeof(*wal));
	if (!wal)
		return -ENOMEM;
	wal->buffer_size = full.buffer_size;
	wal->next_lsn = full.next_lsn;
	wal->store = full.store;
	wal->salt = full.salt;
	wal->segments = (struct wal_segments){
		.io = io, .segment_size = full.segment_size, .spare_max = full.recycle_max};
	result = open_all(wal, io);
	if (result) {
		free_all(wal);
		return result;
	}
	begin_batches(wal);
	*ret_wal = wal;
	return 0;
}

/* ---- append ---- */

/* A Durable record says something that none said yet, at the latest when its batch is written. */
static bool wants_durable(const struct wal *wal)
{
	return !wal->filling->has_durable && !wal->in_tx &&
	       (wal->durable > wal->noted || (wal->step != STEP_NONE && wal->now == WISH_SYNC));
}

static void split_if_full(struct wal *wal, size_t size)
{
	struct wal_header header;

	if (wal_batch_fits(wal->filling, size, wal->segments.segment_size))
		return;
	header = header_of(wal, wal->next_lsn);
	wal_batch_split(wal->filling, &header);
}

static void add_durable(struct wal *wal)
{
	const struct record record = {
		.type = RECORD_DURABLE,
		.lsn = wal->next_lsn,
		.timestamp = wal->timestamp,
		.durable = {.durable = wal->durable, .salt = wal->salt},
	};

	split_if_full(wal, wal_frame_size(&record));
	wal_batch_add_durable(wal->filling, &record);
	wal->next_lsn++;
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
	if (wants_durable(wal))
		add_durable(wal);
	split_if_full(wal, frame);
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
	if (wants_durable(wal))
		add_durable(wal);
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

bool wal_in_transaction(const struct wal *wal)
{
	return wal->in_tx;
}

bool wal_has_room(const struct wal *wal, uint64_t bytes, uint32_t count)
{
	uint64_t frames = (uint64_t)count * WAL_FRAME_HEAD;

	return bytes <= WAL_BUFFER_MAX && wal->filling->size + bytes + frames <= wal->buffer_size;
}

/* ---- flush ---- */

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

static void submit(struct wal *wal, enum step step, enum io_kind kind, struct wal_part part)
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
	stop(wal, result < 0 ? result : -EIO);
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
		split_if_full(wal, size);
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
	struct io_file *file;
	uint32_t number;
	int result;

	wal->step = STEP_HEADER;
	result = wal_segments_begin(&wal->segments, batch->header.current_lsn, &file, &number);
	if (result == -ENOSPC)
		return;
	if (result) {
		stop(wal, result);
		return;
	}
	io_close(wal->file);
	wal->file = file;
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

/* The step's operation ended well. */
static void advance(struct wal *wal)
{
	const struct wal_batch *batch = wal->writing;

	if (wal->step == STEP_FIRST || wal->step == STEP_SECOND)
		wal->written = wal->step == STEP_FIRST && batch->has_second
				       ? batch->header.current_lsn - 1
				       : batch->last_lsn;
	wal->unsynced = wal->op.kind == IO_WRITE;
	if (!wal->unsynced)
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
		stop(wal, result < 0 ? result : -EIO);
}

/* The step wants a segment and there is none. */
static bool lacks_segment(const struct wal *wal)
{
	return wal->step == STEP_HEADER && !wal->under_way && !wal->waits;
}

/* What waits for room is tried again. */
static void retry(struct wal *wal)
{
	int result;

	if (wal->segments.waits) {
		result = wal_segments_make(&wal->segments);
		if (result) {
			stop(wal, result);
			return;
		}
	}
	if (wal->waits) {
		wal->waits = false;
		submit(wal, wal->step, wal->op.kind,
		       (struct wal_part){wal->op.bytes, wal->op.size, wal->op.offset});
	}
}

void wal_flush(struct wal *wal, bool sync)
{
	enum wish wish = sync ? WISH_SYNC : WISH_WRITE;

	if (wal->failed)
		return;
	retry(wal);
	wal->next = MAX(wal->next, wish);
	if (wal->step == STEP_NONE && !wal->failed)
		begin_flush(wal);
}

/* A spare is made while the second half of the last segment is filled. */
static void make_ahead(struct wal *wal)
{
	const struct wal_segments *segments = &wal->segments;
	int result;

	if (segments->spare_count > 0 || segments->making || segments->waits ||
	    wal_batch_end(wal->filling) < segments->segment_size / 2)
		return;
	result = wal_segments_make(&wal->segments);
	if (result)
		stop(wal, result);
}

static void take_op(struct wal *wal, const struct io_op *op)
{
	int result = 0;

	if (op == &wal->op)
		take_end(wal);
	else
		result = wal_segments_step(&wal->segments);
	if (result)
		stop(wal, result);
}

bool wal_poll(struct wal *wal)
{
	struct io_op *ops[QUEUE_DEPTH];
	uint32_t count = io_queue_poll(wal->queue, ops, QUEUE_DEPTH);

	for (uint32_t i = 0; i < count; i++)
		take_op(wal, ops[i]);
	if (wal->failed)
		return count > 0;
	if (lacks_segment(wal) && wal_segments_ready(&wal->segments))
		begin_header(wal);
	if (wal->step == STEP_NONE && wal->next != WISH_NONE)
		begin_flush(wal);
	make_ahead(wal);
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

int wal_failed(const struct wal *wal)
{
	if (wal->failed)
		return wal->failed;
	if (wal->waits || (lacks_segment(wal) && wal_segments_stuck(&wal->segments)))
		return -ENOSPC;
	return 0;
}

int wal_release(struct wal *wal, uint64_t lsn)
{
	int result;

	if (wal->failed)
		return wal->failed;
	wal->released = MAX(wal->released, lsn);
	result = wal_segments_release(&wal->segments, lsn);
	if (result && result != -ENOSPC)
		stop(wal, result);
	return result;
}

/* The log's end is proved by one more record. What comes of it is nobody's concern: all that was
 * acknowledged is durable already. */
static void write_last(struct wal *wal)
{
	if (wal->failed || wal->in_tx || wal->durable != wal->next_lsn - 1 || !wants_durable(wal))
		return;
	add_durable(wal);
	(void)wal_sync(wal);
}

void wal_close(struct wal *wal)
{
	if (!wal)
		return;
	while (wal->under_way || (wal->step != STEP_NONE && !wal_failed(wal))) {
		io_queue_wait(wal->queue);
		(void)wal_poll(wal);
	}
	write_last(wal);
	free_all(wal);
}

struct wal_position wal_position(const struct wal *wal)
{
	return (struct wal_position){
		.next = wal->next_lsn,
		.durable = wal->durable,
		.oldest = wal->segments.begun[0].first,
	};
}

struct wal_stats wal_stats(const struct wal *wal)
{
	struct wal_stats stats = wal->stats;

	stats.recycled = wal->segments.recycled;
	return stats;
}

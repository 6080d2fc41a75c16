/* SPDX-License-Identifier: Apache-2.0 */

#include "base/check.h"
#include "base/defs.h"
#include "base/rand.h"
#include "engine/wal_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SEGMENT_SIZE_DEFAULT (UINT64_C(64) << 20)
#define SEGMENT_SIZE_MIN     (UINT64_C(16) << 10)
#define BUFFER_SIZE_DEFAULT  (UINT32_C(4) << 20)
#define RECYCLE_DEFAULT      4

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

/* Waits for a spare. Returns 0, -ENOSPC or another negative errno. */
static int make_first(struct wal_segments *segments)
{
	int result = 0;

	wal_segments_make(segments);
	while (!result && !wal_segments_ready(segments)) {
		struct io_op *op;

		if (wal_segments_stuck(segments))
			return -ENOSPC;
		result = wal_segments_work(segments);
		io_queue_wait(segments->queue);
		if (io_queue_poll(segments->queue, &op, 1) == 1)
			result = wal_segments_step(segments);
	}
	return result;
}

static int begin_first(struct wal *wal)
{
	struct wal_header header;
	int result = make_first(&wal->segments);

	if (result)
		return result;
	header = wal_make_header(wal, wal->next_lsn);
	wal->file = wal_segments_begin(&wal->segments, wal->next_lsn, NULL, &header.number);
	wal_header_encode(&header, wal->header_block);
	result = io_write(wal->file, 0, wal->header_block, IO_ALIGN);
	if (!result)
		result = io_sync(wal->file);
	wal->segments.headed = result == 0;
	return result;
}

static int open_all(struct wal *wal, struct io *io)
{
	int result = io_queue_new(io, WAL_QUEUE_DEPTH, &wal->queue);

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

	while (wal->queue && io_queue_count(wal->queue) > 0) {
		io_queue_wait(wal->queue);
		if (io_queue_poll(wal->queue, &op, 1) == 1 && op == &wal->segments.op)
			(void)wal_segments_step(&wal->segments); /* may have opened a file */
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
	wal->newest = wal->segments.begun[wal->segments.begun_count - 1];
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

/* The log's end is proved by one more record. What comes of it is nobody's concern: all that was
 * acknowledged is durable already. */
static void write_last(struct wal *wal)
{
	if (wal->failed || wal->in_tx || wal->durable != wal->next_lsn - 1)
		return;
	if (wal_note_durable(wal))
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
	(void)wal_settle(wal); /* what can't go yet goes another time */
	write_last(wal);
	free_all(wal);
}

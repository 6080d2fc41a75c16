/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/wal_window.h"

#include "base/check.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Bytes of a frame, at most. */
#define FRAME_MAX (RECORD_SIZE_MAX + WAL_FRAME_HEAD)

static_assert(WAL_WINDOW_PIECE % IO_ALIGN == 0, "pieces are whole blocks");
static_assert(WAL_WINDOW_PIECE >= FRAME_MAX, "a frame fits in front of a piece");

/* Where the kernel has no huge pages it is slower, not wrong. */
static uint8_t *take_rooms(bool ahead)
{
	uint8_t *memory;

	/* Malloc keeps what is freed of it; for aligned_alloc() the kernel is asked each time. */
	if (!ahead)
		return malloc(WAL_WINDOW_PIECE);
	memory = aligned_alloc(WAL_WINDOW_PIECE, 2 * WAL_WINDOW_SIZE);
	if (memory)
		(void)madvise(memory, 2 * WAL_WINDOW_SIZE, MADV_HUGEPAGE);
	return memory;
}

int wal_window_init(struct io *io, bool ahead, struct wal_window *ret_window)
{
	struct wal_window window = {.io = io};
	int result = 0;

	window.memory = window.room = take_rooms(ahead);
	if (!window.memory)
		return -ENOMEM;
	if (ahead) {
		window.next_room = window.room + WAL_WINDOW_SIZE;
		result = io_queue_new(io, 1, &window.queue);
	}
	if (result) {
		wal_window_deinit(&window);
		return result;
	}
	*ret_window = window;
	return 0;
}

void wal_window_deinit(struct wal_window *window)
{
	wal_window_close(window);
	io_queue_free(window->queue);
	free(window->memory);
	*window = (struct wal_window){0};
}

uint64_t wal_window_memory(const struct wal_window *window)
{
	return window->queue ? 2 * WAL_WINDOW_SIZE : WAL_WINDOW_PIECE;
}

static uint64_t whole_blocks(uint64_t size)
{
	return size - size % IO_ALIGN;
}

static uint64_t end_of(const struct wal_window *window)
{
	return window->offset + window->size;
}

/* Begins to read the piece behind what is seen, but for a last block that isn't whole. */
static int ask(struct wal_window *window)
{
	uint64_t from = whole_blocks(end_of(window));
	uint64_t rest = whole_blocks(window->file_size - from);
	int result;

	if (!window->direct || rest == 0)
		return 0;
	window->next = (struct io_op){
		.kind = IO_READ,
		.file = window->direct,
		.offset = from,
		.bytes = window->next_room + WAL_WINDOW_PIECE,
		.size = (uint32_t)MIN(rest, (uint64_t)WAL_WINDOW_PIECE),
	};
	result = io_queue_submit(window->queue, &window->next);
	CHECK(result <= 0);
	window->asked = result == 0;
	return result;
}

/* Until nothing is under way. */
static void wait(struct wal_window *window)
{
	struct io_op *op;

	while (window->asked && io_queue_poll(window->queue, &op, 1) == 0)
		io_queue_wait(window->queue);
	window->asked = false;
}

static int open_files(struct wal_window *window, const char *name, bool ahead)
{
	int result = io_open(window->io, name, IO_READ_ONLY, &window->file);

	if (!result && ahead)
		result = io_open(window->io, name, IO_READ_ONLY | IO_DIRECT, &window->direct);
	return result > 0 ? -ENOENT : result;
}

int wal_window_open(struct wal_window *window, const char *name, bool ahead)
{
	int result;

	CHECK(!ahead || window->queue);
	result = open_files(window, name, ahead);
	window->offset = 0;
	window->size = 0;
	window->bytes = window->room;
	if (!result)
		result = io_size(window->file, &window->file_size);
	return result ? result : ask(window);
}

void wal_window_close(struct wal_window *window)
{
	wait(window);
	io_close(window->direct);
	io_close(window->file);
	window->file = window->direct = NULL;
}

/* Moves to 'offset' by what was read ahead: it is within what is seen, or right behind. */
static int step(struct wal_window *window, uint64_t offset)
{
	uint64_t end = end_of(window), from = window->next.offset;
	uint64_t keep = from - MIN(from, offset);
	uint8_t *piece = window->next.bytes, *room = window->room;

	wait(window);
	if (window->next.result)
		return window->next.result < 0 ? window->next.result : -EIO;
	CHECK(keep <= WAL_WINDOW_PIECE);
	memcpy(piece - keep, window->bytes + (offset - window->offset), keep);
	window->room = window->next_room;
	window->next_room = room;
	window->bytes = piece - keep + (offset - MIN(from, offset));
	window->offset = offset;
	window->size = from + window->next.size - offset;
	window->read += end_of(window) - end;
	return ask(window);
}

/* Moves to 'offset', keeps what it has from there on, and fills up. */
static int fill(struct wal_window *window, uint64_t offset)
{
	uint64_t end = end_of(window);
	size_t keep = offset >= window->offset && offset < end ? (size_t)(end - offset) : 0;
	size_t size = (size_t)MIN(window->file_size - offset, (uint64_t)WAL_WINDOW_PIECE);
	int result;

	memmove(window->room, window->bytes + window->size - keep, keep);
	window->bytes = window->room;
	window->offset = offset;
	window->size = keep;
	if (size == keep)
		return 0;
	result = io_read(window->file, offset + keep, window->bytes + keep, size - keep);
	if (result)
		return result < 0 ? result : -EIO;
	window->read += size - keep;
	window->size = size;
	return 0;
}

static int move(struct wal_window *window, uint64_t offset)
{
	int result;

	if (window->asked && offset >= window->offset && offset <= end_of(window))
		return step(window, offset);
	wait(window);
	result = fill(window, offset);
	return result ? result : ask(window);
}

int wal_window_at(struct wal_window *window, uint64_t offset, size_t size,
		  const uint8_t **ret_bytes, size_t *ret_size)
{
	uint64_t rest = window->file_size - MIN(offset, window->file_size);
	int result = 0;

	CHECK(size <= FRAME_MAX);
	if (rest == 0) {
		*ret_size = 0;
		return 0;
	}
	size = (size_t)MIN(size, rest);
	while (!result && (offset < window->offset || offset + size > end_of(window)))
		result = move(window, offset);
	if (result)
		return result;
	*ret_bytes = window->bytes + (offset - window->offset);
	*ret_size = (size_t)(end_of(window) - offset);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/io.h"

#include "base/check.h"
#include "engine/io_ops.h"

#include <errno.h>
#include <string.h>

/* Offsets are signed to the kernel. */
#define OFFSET_MAX ((uint64_t)INT64_MAX)

bool io_name_check(const char *name)
{
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	size_t length = strnlen(name, IO_NAME_MAX + 1);

	return length > 0 && length <= IO_NAME_MAX && name[0] != '.' &&
	       strspn(name, allowed) == length;
}

/* Whether bytes of that place may be read or written at once. */
static int check_range(const struct io_file *file, uint64_t offset, const void *bytes, size_t size)
{
	if (size > OFFSET_MAX || offset > OFFSET_MAX - size)
		return -EFBIG;
	if ((file->flags & IO_DIRECT) && (offset | size | (uintptr_t)bytes) % IO_ALIGN != 0)
		return -EINVAL;
	return 0;
}

static int check_writable(const struct io_file *file)
{
	return file->flags & IO_READ_ONLY ? -EBADF : 0;
}

void io_free(struct io *io)
{
	if (io)
		io->ops->free(io);
}

int io_lock(struct io *io)
{
	return io->ops->lock(io);
}

int io_open(struct io *io, const char *name, unsigned flags, struct io_file **ret_file)
{
	struct io_file *file;
	int error;

	if (!io_name_check(name) || ((flags & IO_EXCLUSIVE) && !(flags & IO_CREATE)) ||
	    ((flags & IO_READ_ONLY) && (flags & IO_CREATE)))
		return -EINVAL;
	error = io->ops->open(io, name, flags, &file);
	if (error)
		return error;
	file->ops = io->ops;
	file->flags = flags;
	*ret_file = file;
	return 0;
}

void io_close(struct io_file *file)
{
	if (file)
		file->ops->close(file);
}

int io_read(struct io_file *file, uint64_t offset, void *bytes, size_t size)
{
	int error = check_range(file, offset, bytes, size);

	return error || size == 0 ? error : file->ops->read(file, offset, bytes, size);
}

int io_write(struct io_file *file, uint64_t offset, const void *bytes, size_t size)
{
	int error = check_range(file, offset, bytes, size);

	if (!error)
		error = check_writable(file);
	return error || size == 0 ? error : file->ops->write(file, offset, bytes, size);
}

int io_sync(struct io_file *file)
{
	return file->ops->sync(file);
}

int io_size(struct io_file *file, uint64_t *ret_size)
{
	return file->ops->size(file, ret_size);
}

int io_truncate(struct io_file *file, uint64_t size)
{
	int error = size > OFFSET_MAX ? -EFBIG : check_writable(file);

	return error ? error : file->ops->truncate(file, size);
}

int io_allocate(struct io_file *file, uint64_t size)
{
	int error = size > OFFSET_MAX ? -EFBIG : check_writable(file);

	return error || size == 0 ? error : file->ops->allocate(file, size);
}

int io_rename(struct io *io, const char *from, const char *to)
{
	if (!io_name_check(from) || !io_name_check(to))
		return -EINVAL;
	return io->ops->rename(io, from, to);
}

int io_remove(struct io *io, const char *name)
{
	return io_name_check(name) ? io->ops->remove(io, name) : -EINVAL;
}

int io_sync_folder(struct io *io)
{
	return io->ops->sync_folder(io);
}

int io_list(struct io *io, int (*visit)(void *context, const char *name), void *context)
{
	return io->ops->list(io, visit, context);
}

int io_queue_new(struct io *io, uint32_t depth, struct io_queue **ret_queue)
{
	struct io_queue *queue;
	int error;

	if (depth == 0 || depth > IO_QUEUE_MAX)
		return -EINVAL;
	error = io->ops->queue_new(io, depth, &queue);
	if (error)
		return error;
	queue->depth = depth;
	queue->count = 0;
	*ret_queue = queue;
	return 0;
}

void io_queue_free(struct io_queue *queue)
{
	if (!queue)
		return;
	CHECK(queue->count == 0);
	queue->ops->free(queue);
}

int io_queue_register(struct io_queue *queue, void *bytes, size_t size)
{
	return queue->ops->register_bytes(queue, bytes, size);
}

int io_queue_submit(struct io_queue *queue, struct io_op *op)
{
	bool writes = op->kind == IO_WRITE || op->kind == IO_WRITE_SYNC;
	int error = 0;

	if (queue->count == queue->depth)
		return IO_E_FULL;
	if (op->kind != IO_SYNC)
		error = op->size > 0 ? check_range(op->file, op->offset, op->bytes, op->size)
				     : -EINVAL;
	if (!error && writes)
		error = check_writable(op->file);
	if (error)
		return error;
	queue->count++;
	queue->ops->submit(queue, op);
	return 0;
}

uint32_t io_queue_poll(struct io_queue *queue, struct io_op **ret_ops, uint32_t max)
{
	uint32_t count = queue->count > 0 ? queue->ops->poll(queue, ret_ops, max) : 0;

	DCHECK(count <= queue->count);
	queue->count -= count;
	return count;
}

void io_queue_wait(struct io_queue *queue)
{
	if (queue->count > 0)
		queue->ops->wait(queue);
}

uint32_t io_queue_count(const struct io_queue *queue)
{
	return queue->count;
}

void io_op_run(struct io_op *op)
{
	switch (op->kind) {
	case IO_READ:
		op->result = io_read(op->file, op->offset, op->bytes, op->size);
		return;
	case IO_WRITE:
		op->result = io_write(op->file, op->offset, op->bytes, op->size);
		return;
	case IO_WRITE_SYNC:
		op->result = io_write(op->file, op->offset, op->bytes, op->size);
		if (op->result == 0)
			op->result = io_sync(op->file);
		return;
	case IO_SYNC:
		op->result = io_sync(op->file);
		return;
	}
	/* An operation of no kind. */
	CHECK(false);
}

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
	return io->ops->lock(io, /* shared= */ false);
}

int io_lock_shared(struct io *io)
{
	return io->ops->lock(io, /* shared= */ true);
}

static int check_open(const char *name, unsigned flags)
{
	if (!io_name_check(name) || ((flags & IO_EXCLUSIVE) && !(flags & IO_CREATE)) ||
	    ((flags & IO_READ_ONLY) && (flags & IO_CREATE)))
		return -EINVAL;
	return 0;
}

int io_open(struct io *io, const char *name, unsigned flags, struct io_file **ret_file)
{
	struct io_file *file;
	int error = check_open(name, flags);

	if (!error)
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

static int check_size(const struct io_file *file, uint64_t size)
{
	return size > OFFSET_MAX ? -EFBIG : check_writable(file);
}

int io_truncate(struct io_file *file, uint64_t size)
{
	int error = check_size(file, size);

	return error ? error : file->ops->truncate(file, size);
}

int io_allocate(struct io_file *file, uint64_t size)
{
	int error = check_size(file, size);

	return error || size == 0 ? error : file->ops->allocate(file, size);
}

int io_rename(struct io *io, const char *from, const char *to)
{
	return io_name_check(from) && io_name_check(to) ? io->ops->rename(io, from, to) : -EINVAL;
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
	queue->io = io;
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

static int check_move(const struct io_op *op)
{
	int error = op->size > 0 ? check_range(op->file, op->offset, op->bytes, op->size) : -EINVAL;

	return error || op->kind == IO_READ ? error : check_writable(op->file);
}

static int check_op(const struct io_op *op)
{
	switch (op->kind) {
	case IO_READ:
	case IO_WRITE:
	case IO_WRITE_SYNC:
		return check_move(op);
	case IO_ALLOCATE:
		return op->offset > 0 ? check_size(op->file, op->offset) : -EINVAL;
	case IO_OPEN:
		return check_open(op->name, op->flags);
	case IO_RENAME:
		return io_name_check(op->name) && io_name_check(op->to) ? 0 : -EINVAL;
	case IO_REMOVE:
		return io_name_check(op->name) ? 0 : -EINVAL;
	case IO_SYNC:
	case IO_CLOSE:
	case IO_SYNC_FOLDER:
		return 0;
	}
	/* An operation of no kind. */
	CHECK(false);
}

int io_queue_submit(struct io_queue *queue, struct io_op *op)
{
	int error;

	if (queue->count == queue->depth)
		return IO_E_FULL;
	error = check_op(op);
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

static int run(struct io *io, struct io_op *op)
{
	int error;

	switch (op->kind) {
	case IO_READ:
		return io_read(op->file, op->offset, op->bytes, op->size);
	case IO_WRITE:
		return io_write(op->file, op->offset, op->bytes, op->size);
	case IO_WRITE_SYNC:
		error = io_write(op->file, op->offset, op->bytes, op->size);
		return error ? error : io_sync(op->file);
	case IO_SYNC:
		return io_sync(op->file);
	case IO_ALLOCATE:
		return io_allocate(op->file, op->offset);
	case IO_OPEN:
		return io_open(io, op->name, op->flags, &op->file);
	case IO_CLOSE:
		io_close(op->file);
		return 0;
	case IO_RENAME:
		return io_rename(io, op->name, op->to);
	case IO_REMOVE:
		return io_remove(io, op->name);
	case IO_SYNC_FOLDER:
		return io_sync_folder(io);
	}
	CHECK(false);
}

void io_op_run(struct io *io, struct io_op *op)
{
	op->result = run(io, op);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/io.h"

#include "base/check.h"
#include "engine/io_plain.h"

#include <errno.h>
#include <liburing.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * Calls by name are those of io_plain.c; only queues differ. An operation has a slot until it
 * ended, and one or two requests of the kernel under way:
 *
 *      IO_READ, IO_WRITE   [main]             again from where it stopped, if it was short
 *      IO_WRITE_SYNC       [main]-->[sync]    linked: a failed or short write cancels the sync,
 *                                             and both are done again for the rest
 *      all others          [main]
 *
 * A write with RWF_DSYNC would be one request, and a sixth quicker for a thread that waits; but its
 * end goes through a worker that the kernel binds to the core on which the disk's interrupt
 * arrives, and where that core polls, the worker runs at the next tick of the clock: 4 ms instead
 * of 0.1.
 */

/* Pieces of memory that one queue can have pinned; more are used as they come. */
#define AREA_MAX 16

/* What the kernel takes as one piece. */
#define AREA_SIZE_MAX ((size_t)1 << 30)

/* A request that the kernel gives back undone (EAGAIN, EINTR) is asked for again so many times. */
#define RETRY_MAX 64

struct ring_area {
	uintptr_t begin;
	size_t size;
};

struct ring_slot {
	struct io_op *op;
	uint32_t done;     /* bytes */
	uint32_t requests; /* under way */
	uint32_t retries;  /* in a row */
	int32_t said;      /* by the kernel: bytes, a descriptor or an error */
	int32_t synced;    /* of a write's sync */
};

struct ring_queue {
	struct io_queue queue;
	struct io_uring ring;
	struct ring_slot slots[IO_QUEUE_MAX];
	uint16_t free_slots[IO_QUEUE_MAX];
	uint32_t free_count;
	struct ring_area areas[AREA_MAX];
	uint32_t area_count;
	uint32_t area_max; /* 0: the kernel has no table of them */
};

enum request {
	REQUEST_MAIN,
	REQUEST_SYNC,
	REQUEST_COUNT,
};

static struct ring_queue *ring_queue(struct io_queue *queue)
{
	return CONTAINER_OF(queue, struct ring_queue, queue);
}

/* Ends of operations interrupt nobody: they come when the owner polls. Older kernels can't. */
static int init_ring(uint32_t entries, struct io_uring *ring)
{
	int error = io_uring_queue_init(entries, ring,
					IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG);

	return error == -EINVAL ? io_uring_queue_init(entries, ring, 0) : error;
}

/*
 * The kernel's threads that write for us stay away from a core that polls: there they would wait
 * for the poller's time slice to end. A thread that may run on several cores is no such. What can't
 * be had is done without.
 */
static void keep_workers_off(struct io_uring *ring)
{
	cpu_set_t own, others;
	long online = sysconf(_SC_NPROCESSORS_ONLN);

	if (sched_getaffinity(0, sizeof(own), &own) != 0 || CPU_COUNT(&own) != 1 || online < 2)
		return;
	CPU_ZERO(&others);
	for (int cpu = 0; cpu < CPU_SETSIZE && cpu < online; cpu++)
		if (!CPU_ISSET(cpu, &own))
			CPU_SET(cpu, &others);
	(void)io_uring_register_iowq_aff(ring, sizeof(others), &others);
}

static void ring_queue_free(struct io_queue *queue)
{
	io_uring_queue_exit(&ring_queue(queue)->ring);
	free(ring_queue(queue));
}

static int register_area(struct ring_queue *queue, uint8_t *bytes, size_t size)
{
	struct iovec area = {.iov_base = bytes, .iov_len = size};
	__u64 tag = 0;
	int count;

	if (queue->area_count == queue->area_max)
		return -ENOSPC;
	count = io_uring_register_buffers_update_tag(&queue->ring, queue->area_count, &area, &tag,
						     1);
	if (count < 0)
		return count;
	queue->areas[queue->area_count++] = (struct ring_area){(uintptr_t)bytes, size};
	return 0;
}

static int ring_queue_register(struct io_queue *queue, void *bytes, size_t size)
{
	uint8_t *from = bytes;
	int error = 0;

	while (!error && size > 0) {
		size_t piece = MIN(size, AREA_SIZE_MAX);

		error = register_area(ring_queue(queue), from, piece);
		from += piece;
		size -= piece;
	}
	return error;
}

/* The pinned area in which all of the bytes lie, or -1. */
static int area_of(const struct ring_queue *queue, const void *bytes, uint32_t size)
{
	for (uint32_t i = 0; i < queue->area_count; i++) {
		uintptr_t offset = (uintptr_t)bytes - queue->areas[i].begin;

		if (offset < queue->areas[i].size && size <= queue->areas[i].size - offset)
			return (int)i;
	}
	return -1;
}

static struct io_plain_file *file_of(const struct io_op *op)
{
	return CONTAINER_OF(op->file, struct io_plain_file, file);
}

static bool is_move(const struct io_op *op)
{
	return op->kind == IO_READ || op->kind == IO_WRITE || op->kind == IO_WRITE_SYNC;
}

static int folder_of(const struct ring_queue *queue)
{
	return CONTAINER_OF(queue->queue.io, struct io_plain, io)->folder;
}

/* There is always one: the ring has REQUEST_COUNT an operation. */
static struct io_uring_sqe *next_request(struct ring_queue *queue, struct ring_slot *slot)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&queue->ring);

	CHECK(sqe);
	slot->requests++;
	return sqe;
}

static void name_request(const struct ring_queue *queue, const struct ring_slot *slot,
			 enum request request, struct io_uring_sqe *sqe)
{
	io_uring_sqe_set_data64(sqe, (uint64_t)(slot - queue->slots) * REQUEST_COUNT + request);
}

static void ask_move(struct ring_queue *queue, struct ring_slot *slot)
{
	struct io_uring_sqe *sqe = next_request(queue, slot);
	const struct io_op *op = slot->op;
	uint8_t *bytes = (uint8_t *)op->bytes + slot->done;
	uint32_t size = op->size - slot->done;
	uint64_t offset = op->offset + slot->done;
	int area = area_of(queue, bytes, size), fd = file_of(op)->fd;

	if (op->kind == IO_READ && area >= 0)
		io_uring_prep_read_fixed(sqe, fd, bytes, size, offset, area);
	else if (op->kind == IO_READ)
		io_uring_prep_read(sqe, fd, bytes, size, offset);
	else if (area >= 0)
		io_uring_prep_write_fixed(sqe, fd, bytes, size, offset, area);
	else
		io_uring_prep_write(sqe, fd, bytes, size, offset);
	if (op->kind == IO_WRITE_SYNC)
		sqe->flags |= IOSQE_IO_LINK;
	name_request(queue, slot, REQUEST_MAIN, sqe);
}

static void ask_sync(struct ring_queue *queue, struct ring_slot *slot)
{
	struct io_uring_sqe *sqe = next_request(queue, slot);

	io_uring_prep_fsync(sqe, file_of(slot->op)->fd, IORING_FSYNC_DATASYNC);
	name_request(queue, slot, REQUEST_SYNC, sqe);
}

static void ask_call(struct ring_queue *queue, struct ring_slot *slot)
{
	struct io_uring_sqe *sqe = next_request(queue, slot);
	const struct io_op *op = slot->op;
	int folder = folder_of(queue);

	switch (op->kind) {
	case IO_SYNC:
		io_uring_prep_fsync(sqe, file_of(op)->fd, IORING_FSYNC_DATASYNC);
		break;
	case IO_ALLOCATE:
		io_uring_prep_fallocate(sqe, file_of(op)->fd, 0, 0, (off_t)op->offset);
		break;
	case IO_OPEN:
		io_uring_prep_openat(sqe, folder, op->name, io_plain_how(op->flags), IO_PLAIN_MODE);
		break;
	case IO_CLOSE:
		io_uring_prep_close(sqe, file_of(op)->fd);
		break;
	case IO_RENAME:
		io_uring_prep_renameat(sqe, folder, op->name, folder, op->to, 0);
		break;
	case IO_REMOVE:
		io_uring_prep_unlinkat(sqe, folder, op->name, 0);
		break;
	case IO_SYNC_FOLDER:
		io_uring_prep_fsync(sqe, folder, 0);
		break;
	default:
		CHECK(false); /* a move */
	}
	name_request(queue, slot, REQUEST_MAIN, sqe);
}

static void ask(struct ring_queue *queue, struct ring_slot *slot)
{
	if (!is_move(slot->op)) {
		ask_call(queue, slot);
		return;
	}
	ask_move(queue, slot);
	if (slot->op->kind == IO_WRITE_SYNC)
		ask_sync(queue, slot);
}

/* What the kernel doesn't take for the moment stays in the ring until the next time. */
static void send_requests(struct ring_queue *queue)
{
	int count = io_uring_submit(&queue->ring);

	CHECK(count >= 0 || count == -EAGAIN || count == -EBUSY || count == -EINTR ||
	      count == -ENOMEM);
}

static void ring_queue_submit(struct io_queue *queue, struct io_op *op)
{
	struct ring_queue *ring = ring_queue(queue);
	struct ring_slot *slot;

	CHECK(ring->free_count > 0);
	slot = &ring->slots[ring->free_slots[--ring->free_count]];
	*slot = (struct ring_slot){.op = op};
	ask(ring, slot);
	send_requests(ring);
}

/* Whether the kernel gave it back undone, and it is to be asked for again. */
static bool is_undone(struct ring_slot *slot)
{
	return (slot->said == -EAGAIN || slot->said == -EINTR) && ++slot->retries <= RETRY_MAX;
}

/* Counts what was moved. Returns 0 if all was or the rest is to be asked for, else what the
 * operation ends with. */
static int count_move(struct ring_slot *slot)
{
	const struct io_op *op = slot->op;
	uint32_t count = slot->said > 0 ? (uint32_t)slot->said : 0;

	if (is_undone(slot))
		return 0;
	if (slot->said < 0)
		return slot->said;
	/* Direct and short: a read met the end; a write goes on from a whole block. */
	if (file_of(op)->direct && slot->done + count < op->size) {
		if (op->kind == IO_READ && count % IO_ALIGN != 0)
			return IO_E_END;
		count -= count % IO_ALIGN;
	}
	if (count == 0)
		return op->kind == IO_READ ? IO_E_END : -EIO;
	slot->retries = 0;
	slot->done += count;
	return 0;
}

/* Returns whether the operation ended, with its result set, or is to be asked for (again). So do
 * take_call() and take(). */
static bool take_move(struct ring_slot *slot)
{
	struct io_op *op = slot->op;
	int result = count_move(slot);

	if (result == 0 && slot->done < op->size)
		return false;
	if (result == 0 && op->kind == IO_WRITE_SYNC)
		result = slot->synced;
	op->result = result;
	return true;
}

/* What the kernel said about a call, in the words of io.h. */
static int outcome(const struct ring_slot *slot)
{
	struct io_op *op = slot->op;

	switch (op->kind) {
	case IO_OPEN:
		if (slot->said >= 0)
			return io_plain_take(slot->said, op->flags, &op->file);
		return io_plain_outcome(slot->said);
	case IO_RENAME:
	case IO_REMOVE:
		return io_plain_outcome(slot->said);
	case IO_CLOSE: /* whatever it said, the descriptor is gone */
		free(file_of(op));
		return 0;
	case IO_ALLOCATE:
		if (slot->said == -EOPNOTSUPP)
			return io_plain_allocate_by_writing(file_of(op), op->offset);
		return slot->said;
	default:
		return slot->said;
	}
}

/* Neither a sync nor a close is ever asked for again. */
static bool take_call(struct ring_slot *slot)
{
	struct io_op *op = slot->op;
	bool once = op->kind == IO_SYNC || op->kind == IO_SYNC_FOLDER || op->kind == IO_CLOSE;

	if (!once && is_undone(slot))
		return false;
	op->result = outcome(slot);
	return true;
}

/* All requests of the slot came back. */
static bool take(struct ring_queue *queue, struct ring_slot *slot)
{
	if (is_move(slot->op) ? !take_move(slot) : !take_call(slot)) {
		ask(queue, slot);
		return false;
	}
	queue->free_slots[queue->free_count++] = (uint16_t)(slot - queue->slots);
	return true;
}

static struct ring_slot *take_request(struct ring_queue *queue, const struct io_uring_cqe *cqe)
{
	struct ring_slot *slot = &queue->slots[cqe->user_data / REQUEST_COUNT];

	if (cqe->user_data % REQUEST_COUNT == REQUEST_SYNC)
		slot->synced = cqe->res;
	else
		slot->said = cqe->res;
	slot->requests--;
	return slot;
}

static uint32_t ring_queue_poll(struct io_queue *queue, struct io_op **ret_ops, uint32_t max)
{
	struct ring_queue *ring = ring_queue(queue);
	struct io_uring_cqe *cqe;
	uint32_t count = 0;

	while (count < max && io_uring_peek_cqe(&ring->ring, &cqe) == 0) {
		struct ring_slot *slot = take_request(ring, cqe);

		io_uring_cqe_seen(&ring->ring, cqe);
		if (slot->requests == 0 && take(ring, slot))
			ret_ops[count++] = slot->op;
	}
	if (io_uring_sq_ready(&ring->ring) > 0)
		send_requests(ring);
	return count;
}

static void ring_queue_wait(struct io_queue *queue)
{
	int count = io_uring_submit_and_wait(&ring_queue(queue)->ring, 1);

	CHECK(count >= 0 || count == -EAGAIN || count == -EBUSY || count == -EINTR ||
	      count == -ENOMEM);
}

static const struct io_queue_ops ring_queue_ops = {
	.free = ring_queue_free,
	.register_bytes = ring_queue_register,
	.submit = ring_queue_submit,
	.poll = ring_queue_poll,
	.wait = ring_queue_wait,
};

static int ring_queue_new(struct io *io, uint32_t depth, struct io_queue **ret_queue)
{
	struct ring_queue *queue = calloc(1, sizeof(*queue));
	int error;

	if (!queue)
		return -ENOMEM;
	error = init_ring(REQUEST_COUNT * depth, &queue->ring);
	if (error) {
		free(queue);
		return error;
	}
	keep_workers_off(&queue->ring);
	if (io_uring_register_buffers_sparse(&queue->ring, AREA_MAX) == 0)
		queue->area_max = AREA_MAX;
	for (uint32_t i = 0; i < depth; i++)
		queue->free_slots[queue->free_count++] = (uint16_t)i;
	queue->queue.ops = &ring_queue_ops;
	*ret_queue = &queue->queue;
	return 0;
}

/* Returns 0, -ENOSYS or -ENOMEM. */
static int check_requests(struct io_uring *ring)
{
	static const int needed[] = {
		IORING_OP_READ,     IORING_OP_READ_FIXED, IORING_OP_WRITE,  IORING_OP_WRITE_FIXED,
		IORING_OP_FSYNC,    IORING_OP_FALLOCATE,  IORING_OP_OPENAT, IORING_OP_CLOSE,
		IORING_OP_RENAMEAT, IORING_OP_UNLINKAT,
	};
	struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
	int error = probe ? 0 : -ENOMEM;

	for (size_t i = 0; probe && i < ARRAY_COUNT(needed); i++)
		if (!io_uring_opcode_supported(probe, needed[i]))
			error = -ENOSYS;
	io_uring_free_probe(probe);
	return error;
}

/* Whether the kernel lets us, and knows how, is asked here, and not when the first queue is made.
 */
int io_ring_new(const char *path, bool create, struct io **ret_io)
{
	struct io_uring ring;
	int error = init_ring(REQUEST_COUNT, &ring);

	if (error)
		return error;
	error = check_requests(&ring);
	io_uring_queue_exit(&ring);
	return error ? error : io_plain_new_with(ring_queue_new, path, create, ret_io);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/faulty_internal.h"

#include "base/check.h"

#include <errno.h>
#include <stdlib.h>

/*
 * Operations wait until somebody polls; each poll does some of them, in an order by the
 * disk's seed. So a write may end before one that was submitted earlier, and a sync
 * covers only what ended before it was submitted.
 */
struct faulty_queue {
	struct io_queue queue;
	struct faulty *faulty;
	uint32_t life; /* in which it was made */
	struct io_op *waiting[IO_QUEUE_MAX];
	struct io_op *ended[IO_QUEUE_MAX];
	uint32_t waiting_count;
	uint32_t ended_count;
};

static struct faulty_queue *faulty_queue(struct io_queue *queue)
{
	return CONTAINER_OF(queue, struct faulty_queue, queue);
}

static void free_queue(struct io_queue *queue)
{
	free(faulty_queue(queue));
}

static int register_bytes(struct io_queue *queue, void *bytes, size_t size)
{
	return 0;
}

static void submit(struct io_queue *queue, struct io_op *op)
{
	struct faulty_queue *faulty = faulty_queue(queue);

	faulty->waiting[faulty->waiting_count++] = op;
}

/* Of files io_op_run() knows it, as their handles do. */
static bool is_dead(const struct faulty_queue *queue, const struct io_op *op)
{
	return queue->life != queue->faulty->life &&
	       (op->kind == IO_OPEN || op->kind == IO_RENAME || op->kind == IO_REMOVE ||
		op->kind == IO_SYNC_FOLDER);
}

static void do_any(struct faulty_queue *queue)
{
	uint32_t index = (uint32_t)rand_below(&queue->faulty->rand, queue->waiting_count);
	struct io_op *op = queue->waiting[index];

	queue->waiting[index] = queue->waiting[--queue->waiting_count];
	queue->faulty->in_queue = true;
	if (is_dead(queue, op))
		op->result = -EIO;
	else
		io_op_run(&queue->faulty->io, op);
	queue->faulty->in_queue = false;
	queue->ended[queue->ended_count++] = op;
}

static uint32_t poll(struct io_queue *queue, struct io_op **ret_ops, uint32_t max)
{
	struct faulty_queue *faulty = faulty_queue(queue);
	uint64_t todo = rand_below(&faulty->faulty->rand, faulty->waiting_count + UINT64_C(1));
	uint32_t count = 0;

	while (todo-- > 0)
		do_any(faulty);
	while (count < max && faulty->ended_count > 0)
		ret_ops[count++] = faulty->ended[--faulty->ended_count];
	return count;
}

static void wait_for_any(struct io_queue *queue)
{
	faulty_blocks(faulty_queue(queue)->faulty, "wait for", "a queue", 0, 0);
	if (faulty_queue(queue)->ended_count == 0)
		do_any(faulty_queue(queue));
}

static const struct io_queue_ops queue_ops = {
	.free = free_queue,
	.register_bytes = register_bytes,
	.submit = submit,
	.poll = poll,
	.wait = wait_for_any,
};

int faulty_queue_new(struct io *io, uint32_t depth, struct io_queue **ret_queue)
{
	struct faulty_queue *queue = calloc(1, sizeof(*queue));

	CHECK(queue);
	queue->faulty = CONTAINER_OF(io, struct faulty, io);
	queue->life = queue->faulty->life;
	faulty_blocks(queue->faulty, "make", "a queue", 0, 0);
	queue->queue.ops = &queue_ops;
	*ret_queue = &queue->queue;
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/io_plain.h"

#include "base/check.h"
#include "base/spsc.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/*
 * The owner puts an operation into one ring, the helper does it, and puts it into the
 * other. Each ring has a semaphore that counts its words: the helper sleeps on the
 * first, io_queue_wait() on the second. Posting wakes a sleeper and never blocks.
 * A count without a word tells the helper to end.
 */
struct plain_queue {
	struct io_queue queue;
	struct spsc asked;
	struct spsc done;
	uint64_t asked_slots[IO_QUEUE_MAX];
	uint64_t done_slots[IO_QUEUE_MAX];
	sem_t asked_count;
	sem_t done_count;
	pthread_t helper;
};

_Static_assert((IO_QUEUE_MAX & (IO_QUEUE_MAX - 1)) == 0, "the rings' size is a power of two");

static struct plain_queue *plain_queue(struct io_queue *queue)
{
	return CONTAINER_OF(queue, struct plain_queue, queue);
}

static void sleep_on(sem_t *count)
{
	while (sem_wait(count) < 0)
		CHECK(errno == EINTR);
}

static void *help(void *context)
{
	struct plain_queue *plain = context;

	for (;;) {
		struct io_op *op;

		sleep_on(&plain->asked_count);
		op = spsc_get_pointer(&plain->asked);
		if (!op)
			return NULL;
		io_op_run(plain->queue.io, op);
		CHECK(spsc_put_pointer(&plain->done, op));
		sem_post(&plain->done_count);
	}
}

/* The helper takes no signals, and isn't bound to its maker's processor, which may be a poll
 * core's. */
static int start_helper(struct plain_queue *plain)
{
	sigset_t all, before;
	pthread_attr_t attributes;
	cpu_set_t anywhere;
	int error = pthread_attr_init(&attributes);

	if (error)
		return -error;
	memset(&anywhere, 0xff, sizeof(anywhere));
	error = pthread_attr_setaffinity_np(&attributes, sizeof(anywhere), &anywhere);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (!error)
		error = pthread_create(&plain->helper, &attributes, help, plain);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return -error;
}

static void plain_queue_free(struct io_queue *queue)
{
	struct plain_queue *plain = plain_queue(queue);

	sem_post(&plain->asked_count);
	pthread_join(plain->helper, NULL);
	sem_destroy(&plain->asked_count);
	sem_destroy(&plain->done_count);
	free(plain);
}

/* Nothing is pinned, so there is nothing to do. */
static int plain_queue_register(struct io_queue *queue, void *bytes, size_t size)
{
	return 0;
}

static void plain_queue_submit(struct io_queue *queue, struct io_op *op)
{
	struct plain_queue *plain = plain_queue(queue);

	CHECK(spsc_put_pointer(&plain->asked, op));
	sem_post(&plain->asked_count);
}

static uint32_t plain_queue_poll(struct io_queue *queue, struct io_op **ret_ops, uint32_t max)
{
	struct plain_queue *plain = plain_queue(queue);
	uint32_t count = 0;

	while (count < max && sem_trywait(&plain->done_count) == 0) {
		ret_ops[count] = spsc_get_pointer(&plain->done);
		CHECK(ret_ops[count]);
		count++;
	}
	return count;
}

/* Looks, and leaves the count to the poll. */
static void plain_queue_wait(struct io_queue *queue)
{
	struct plain_queue *plain = plain_queue(queue);

	sleep_on(&plain->done_count);
	sem_post(&plain->done_count);
}

static const struct io_queue_ops plain_queue_ops = {
	.free = plain_queue_free,
	.register_bytes = plain_queue_register,
	.submit = plain_queue_submit,
	.poll = plain_queue_poll,
	.wait = plain_queue_wait,
};

int io_plain_queue_new(struct io *io, uint32_t depth, struct io_queue **ret_queue)
{
	struct plain_queue *plain = aligned_alloc(CACHE_LINE, align_up(sizeof(*plain), CACHE_LINE));
	int error;

	if (!plain)
		return -ENOMEM;
	spsc_init(&plain->asked, plain->asked_slots, IO_QUEUE_MAX);
	spsc_init(&plain->done, plain->done_slots, IO_QUEUE_MAX);
	sem_init(&plain->asked_count, 0, 0);
	sem_init(&plain->done_count, 0, 0);
	error = start_helper(plain);
	if (error) {
		free(plain);
		return error;
	}
	plain->queue.ops = &plain_queue_ops;
	*ret_queue = &plain->queue;
	return 0;
}

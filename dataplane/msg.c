/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/msg.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* How often a sender looks whether its message is done. */
#define WAIT_NS 50000

int msg_box_init(struct msg_box *box)
{
	spsc_init(&box->ring, box->slots, MSG_BOX_MAX);
	box->closed = false;
	box->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (box->wake_fd < 0)
		return -errno;
	pthread_mutex_init(&box->lock, NULL);
	return 0;
}

void msg_box_deinit(struct msg_box *box)
{
	close(box->wake_fd);
	pthread_mutex_destroy(&box->lock);
}

int msg_post(struct msg_box *box, struct msg *msg)
{
	int r = 0;

	atomic_init(&msg->done, false);
	pthread_mutex_lock(&box->lock);
	if (box->closed)
		r = -ESHUTDOWN;
	else if (!spsc_put_pointer(&box->ring, msg))
		r = -EAGAIN;
	pthread_mutex_unlock(&box->lock);
	if (r)
		return r;
	/* It fails only when the counter is full of wake-ups, and then the core wakes up. */
	(void)!write(box->wake_fd, &(uint64_t){1}, sizeof(uint64_t));
	return 0;
}

bool msg_wait(struct msg *msg)
{
	struct timespec pause = {.tv_nsec = WAIT_NS};

	/* Acquire: what the core wrote for us is there. Pairs with msg_done(). */
	while (!atomic_load_explicit(&msg->done, memory_order_acquire))
		nanosleep(&pause, NULL);
	return msg->handled;
}

void msg_done(struct msg *msg, bool handled)
{
	msg->handled = handled;
	/* Release: the sender sees all that was done; its memory is its own again. Pairs with
	 * msg_wait(). */
	atomic_store_explicit(&msg->done, true, memory_order_release);
}

void msg_box_rest(struct msg_box *box)
{
	uint64_t count;

	/* Nothing to read is as good as something read. */
	(void)!read(box->wake_fd, &count, sizeof(count));
}

void msg_box_close(struct msg_box *box)
{
	struct msg *msg;

	pthread_mutex_lock(&box->lock);
	box->closed = true;
	while ((msg = msg_take(box)))
		msg_done(msg, /* handled= */ false);
	pthread_mutex_unlock(&box->lock);
}

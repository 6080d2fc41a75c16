/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Msg - what the other threads ask of a poll core
 *
 * A core shares nothing with other threads but its box. Whoever wants something
 * of it posts a message; the core looks into its box between bursts, does what is
 * asked, and marks the message done. Posting also wakes a core that sleeps.
 *
 *      main, telemetry --msg_post()--> box --msg_take()--> core --msg_done()--> sender
 *
 * Every message that was posted gets done, by the core or by msg_box_close() after
 * the core has ended; so a sender may wait for it without a limit.
 *
 * Threads: any thread posts and waits, senders take turns by a lock; the core
 * takes, without one. Nobody waits on the core's side.
 */

#include "base/spsc.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Messages that can wait in one box: more than the threads that send any. */
#define MSG_BOX_MAX 64

enum msg_kind {
	MSG_SNAPSHOT, /* copy the counters to 'argument', a struct core_snapshot */
	MSG_DRAIN,    /* finish what is under way, then end */
	MSG_STOP,     /* end now */
};

struct msg {
	enum msg_kind kind;
	void *argument;    /* borrowed by the core until the message is done */
	bool handled;      /* false: the core had ended */
	_Atomic bool done; /* written last */
};

struct msg_box {
	struct spsc ring;
	uint64_t slots[MSG_BOX_MAX];
	int wake_fd; /* an eventfd, readable when something was posted */
	bool closed; /* under 'lock' */
	pthread_mutex_t lock;
};

/* Returns 0 or a negative errno. */
int msg_box_init(struct msg_box *box);
void msg_box_deinit(struct msg_box *box);

/*
 * Posts 'msg', which the box borrows until it is done.
 *
 * Returns 0, or -ESHUTDOWN or -EAGAIN (the box is full): then it isn't borrowed.
 */
int msg_post(struct msg_box *box, struct msg *msg);

/* Waits until 'msg', which was posted, is done. Was it handled? */
bool msg_wait(struct msg *msg);

/* The next message, or NULL. The core's side. */
static inline struct msg *msg_take(struct msg_box *box)
{
	return spsc_get_pointer(&box->ring);
}

/* Gives the message back to its sender. */
void msg_done(struct msg *msg, bool handled);

/* Makes wake_fd unreadable again; called before msg_take(), so that nothing is slept through. */
void msg_box_rest(struct msg_box *box);

/* Refuses what waits and what comes. After the core has ended. */
void msg_box_close(struct msg_box *box);

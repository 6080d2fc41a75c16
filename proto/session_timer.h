/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Session timer - which session is due first
 *
 * A binary heap of session indexes by time. Sessions are lazy about it: a
 * timer that turns out to be early is set again, so that a busy session moves
 * in the heap once a retransmission time and not once a request.
 *
 * Threads: belongs to its endpoint's core.
 */

#include <stdint.h>

struct session_timer {
	uint64_t *due_ns;   /* by session */
	uint32_t *heap;     /* sessions, the earliest first */
	uint32_t *position; /* by session: its place in the heap plus 1, or 0 */
	uint32_t count;
};

/* Returns 0 or -ENOMEM; the timer can be deinitialised in both cases. */
int session_timer_init(struct session_timer *timer, uint32_t session_count);
void session_timer_deinit(struct session_timer *timer);

/* Sets or moves the session's time. */
void session_timer_set(struct session_timer *timer, uint32_t session, uint64_t due_ns);

/* The session has no time any more; fine when it had none. */
void session_timer_clear(struct session_timer *timer, uint32_t session);

/* The earliest time, or UINT64_MAX. */
static inline uint64_t session_timer_due_ns(const struct session_timer *timer)
{
	return timer->count ? timer->due_ns[timer->heap[0]] : UINT64_MAX;
}

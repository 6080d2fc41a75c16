/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/session_timer.h"

#include <errno.h>
#include <stdlib.h>

int session_timer_init(struct session_timer *timer, uint32_t session_count)
{
	*timer = (struct session_timer){
		.due_ns = calloc(session_count, sizeof(*timer->due_ns)),
		.heap = calloc(session_count, sizeof(*timer->heap)),
		.position = calloc(session_count, sizeof(*timer->position)),
	};
	return timer->due_ns && timer->heap && timer->position ? 0 : -ENOMEM;
}

void session_timer_deinit(struct session_timer *timer)
{
	free(timer->due_ns);
	free(timer->heap);
	free(timer->position);
	*timer = (struct session_timer){0};
}

static void timer_place(struct session_timer *timer, uint32_t at, uint32_t session)
{
	timer->heap[at] = session;
	timer->position[session] = at + 1;
}

static void timer_rise(struct session_timer *timer, uint32_t at, uint32_t session)
{
	while (at > 0) {
		uint32_t parent = (at - 1) / 2;

		if (timer->due_ns[timer->heap[parent]] <= timer->due_ns[session])
			break;
		timer_place(timer, at, timer->heap[parent]);
		at = parent;
	}
	timer_place(timer, at, session);
}

static void timer_sink(struct session_timer *timer, uint32_t at, uint32_t session)
{
	for (;;) {
		uint32_t child = 2 * at + 1;

		if (child >= timer->count)
			break;
		if (child + 1 < timer->count &&
		    timer->due_ns[timer->heap[child + 1]] < timer->due_ns[timer->heap[child]])
			child++;
		if (timer->due_ns[session] <= timer->due_ns[timer->heap[child]])
			break;
		timer_place(timer, at, timer->heap[child]);
		at = child;
	}
	timer_place(timer, at, session);
}

void session_timer_set(struct session_timer *timer, uint32_t session, uint64_t due_ns)
{
	uint32_t position = timer->position[session];
	uint64_t before_ns = timer->due_ns[session];

	timer->due_ns[session] = due_ns;
	if (!position)
		timer_rise(timer, timer->count++, session);
	else if (due_ns < before_ns)
		timer_rise(timer, position - 1, session);
	else
		timer_sink(timer, position - 1, session);
}

void session_timer_clear(struct session_timer *timer, uint32_t session)
{
	uint32_t position = timer->position[session];
	uint32_t last;

	if (!position)
		return;
	timer->position[session] = 0;
	last = timer->heap[--timer->count];
	if (last == session)
		return;
	/* The last one takes the hole, and moves whichever way its time says. */
	timer_rise(timer, position - 1, last);
	timer_sink(timer, timer->position[last] - 1, last);
}

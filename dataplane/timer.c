/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/timer.h"

#include "base/check.h"
#include "base/defs.h"

#include <string.h>

_Static_assert((TIMER_SLOT_COUNT & (TIMER_SLOT_COUNT - 1)) == 0, "a tick is masked to its slot");

/* The tick in which a timer fires: the one after its due time, so that it is never early. */
static uint64_t tick_of(uint64_t due_ns)
{
	return due_ns / TIMER_TICK_NS + 1;
}

static void slot_put(struct timer **slot, struct timer *timer)
{
	timer->next = *slot;
	timer->link = slot;
	if (timer->next)
		timer->next->link = &timer->next;
	*slot = timer;
}

static void slot_remove(struct timer *timer)
{
	*timer->link = timer->next;
	if (timer->next)
		timer->next->link = timer->link;
	timer->next = NULL;
	timer->link = NULL;
}

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ns)
{
	memset(wheel, 0, sizeof(*wheel));
	wheel->tick = now_ns / TIMER_TICK_NS + 1;
}

void timer_start(struct timer_wheel *wheel, struct timer *timer, uint64_t due_ns, timer_fn fire)
{
	/* What is overdue hangs in the next slot that will run: the ones behind it are gone. */
	uint64_t tick = MAX(tick_of(MIN(due_ns, UINT64_MAX - TIMER_TICK_NS)), wheel->tick);

	timer_stop(wheel, timer);
	timer->due_ns = due_ns;
	timer->fire = fire;
	slot_put(&wheel->slots[tick & (TIMER_SLOT_COUNT - 1)], timer);
	wheel->count++;
}

void timer_stop(struct timer_wheel *wheel, struct timer *timer)
{
	if (!timer->link)
		return;
	slot_remove(timer);
	DCHECK(wheel->count);
	wheel->count--;
}

bool timer_running(const struct timer *timer)
{
	return timer->link != NULL;
}

/*
 * Fires one slot. What is due is first moved to a list of its own, so that a
 * function may start and stop any timer: a stopped one leaves whichever list it
 * is in, and one that is started again can't be met twice.
 */
static void slot_run(struct timer_wheel *wheel, struct timer **slot, uint64_t now_ns)
{
	struct timer *due = NULL;
	struct timer *timer;
	struct timer *next;

	for (timer = *slot; timer; timer = next) {
		next = timer->next;
		if (timer->due_ns > now_ns)
			continue; /* of a later turn */
		slot_remove(timer);
		slot_put(&due, timer);
	}
	while ((timer = due)) {
		timer_stop(wheel, timer);
		timer->fire(timer, now_ns);
	}
}

void timer_wheel_run(struct timer_wheel *wheel, uint64_t now_ns)
{
	uint64_t last = now_ns / TIMER_TICK_NS;

	if (likely(last < wheel->tick))
		return;
	/* After a long sleep one turn meets every slot, and each slot fires all that is due. */
	if (last - wheel->tick >= TIMER_SLOT_COUNT)
		wheel->tick = last - TIMER_SLOT_COUNT + 1;
	while (wheel->tick <= last && wheel->count) {
		struct timer **slot = &wheel->slots[wheel->tick & (TIMER_SLOT_COUNT - 1)];

		/* Moved on first: what a function starts for now hangs in a slot to come. */
		wheel->tick++;
		slot_run(wheel, slot, now_ns);
	}
	wheel->tick = last + 1;
}

uint64_t timer_wheel_due_ns(const struct timer_wheel *wheel)
{
	uint64_t due_ns = UINT64_MAX;

	if (!wheel->count)
		return due_ns;
	for (unsigned i = 0; i < TIMER_SLOT_COUNT; i++)
		for (const struct timer *timer = wheel->slots[i]; timer; timer = timer->next)
			due_ns = MIN(due_ns, timer->due_ns);
	if (due_ns > UINT64_MAX - TIMER_TICK_NS)
		return UINT64_MAX;
	/* The begin of the tick in which it fires. */
	return MAX(tick_of(due_ns), wheel->tick) * TIMER_TICK_NS;
}

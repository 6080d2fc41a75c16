/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Timer - things that are due on a poll core, by a wheel
 *
 * A hashed wheel (Varghese and Lauck, 1987, scheme 6): TIMER_SLOT_COUNT slots of
 * TIMER_TICK_NS each; a timer hangs in the slot of its tick, and one that is
 * further away than a turn of the wheel is passed over until its turn comes.
 * Starting and stopping cost the same whatever the number of timers, and a loop
 * that finds no tick gone by pays one comparison.
 *
 * A timer fires at the first timer_wheel_run() of a later tick than its due time,
 * so up to TIMER_TICK_NS late and never early. It is stopped when its function
 * runs, which may start it again or start and stop others.
 *
 * Threads: a wheel and its timers belong to one core.
 */

#include <stdbool.h>
#include <stdint.h>

#define TIMER_TICK_NS    UINT64_C(1000000)
#define TIMER_SLOT_COUNT 256 /* a power of two: a turn is a quarter of a second */

struct timer;

typedef void (*timer_fn)(struct timer *timer, uint64_t now_ns);

/* Embedded in what it is for; zeroed when it isn't running. */
struct timer {
	struct timer *next;
	struct timer **link; /* what points at this timer; NULL when it isn't running */
	uint64_t due_ns;
	timer_fn fire;
};

struct timer_wheel {
	uint64_t tick; /* the first that has not run */
	uint32_t count;
	struct timer *slots[TIMER_SLOT_COUNT];
};

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ns);

/*
 * Starts 'timer', or starts it over when it runs. The wheel borrows it until it
 * fired or was stopped.
 */
void timer_start(struct timer_wheel *wheel, struct timer *timer, uint64_t due_ns, timer_fn fire);

/* Stops it; fine when it doesn't run. */
void timer_stop(struct timer_wheel *wheel, struct timer *timer);

bool timer_running(const struct timer *timer);

/* Fires what is due. */
void timer_wheel_run(struct timer_wheel *wheel, uint64_t now_ns);

/*
 * When timer_wheel_run() has to run next; UINT64_MAX when no timer runs. Looks
 * at every timer: for a core that is about to sleep.
 */
uint64_t timer_wheel_due_ns(const struct timer_wheel *wheel);

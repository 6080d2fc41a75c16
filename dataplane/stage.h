/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Stage - where the time of a burst goes
 *
 * One lap a stage a burst: the time since the lap before goes into the stage's
 * histogram. Every request of a burst waits for the whole burst, so a burst's time
 * in a stage is what each of its requests sees of it. A lap costs one read of the
 * time stamp counter and one addition, a few nanoseconds; loops without any
 * request take none.
 *
 *      stages_begin() -receive- lap -decode- lap -search- lap -encode- lap -send- lap
 *
 * Threads: stages belong to one core. stage_clock_init() once, before any.
 */

#include "base/clock.h"
#include "base/defs.h"
#include "base/hist.h"

#include <stdint.h>

/* STAGE(NAME, name, what it covers) */
#define STAGE_LIST(STAGE)                                                                          \
	STAGE(RECEIVE, receive, "port burst, reassembly, dispatch")                                \
	STAGE(DECODE, decode, "payload, filter, start of the search")                              \
	STAGE(SEARCH, search, "the burst of searches")                                             \
	STAGE(ENCODE, encode, "hits to payload, session, frames")                                  \
	STAGE(SEND, send, "handing the frames to the wire")

enum stage {
#define STAGE_ENUM(NAME, name, text) STAGE_##NAME,
	STAGE_LIST(STAGE_ENUM)
#undef STAGE_ENUM
		STAGE_COUNT
};

struct stages {
	uint64_t mark; /* ticks at the lap before */
	struct hist hists[STAGE_COUNT];
};

extern const char *const stage_names[STAGE_COUNT];

/* Nanoseconds a tick, as a binary fraction of 32 digits. */
extern uint64_t stage_ns_per_tick;

/* Measures the time stamp counter against the clock, for some milliseconds. */
void stage_clock_init(void);

void stages_init(struct stages *stages);

static inline uint64_t stage_ticks(void)
{
#ifdef __x86_64__
	return __builtin_ia32_rdtsc();
#else
	return clock_now_ns();
#endif
}

/* Anything above 4 G ticks, a second or more, counts as that. */
static inline uint64_t stage_ticks_to_ns(uint64_t ticks)
{
	return MIN(ticks, UINT32_MAX) * stage_ns_per_tick >> 32;
}

static inline void stages_begin(struct stages *stages, uint64_t ticks)
{
	stages->mark = ticks;
}

/* Ends 'stage'; returns the nanoseconds it took. */
static inline uint64_t stages_lap(struct stages *stages, enum stage stage)
{
	uint64_t now = stage_ticks();
	uint64_t ns = stage_ticks_to_ns(now - stages->mark);

	hist_add(&stages->hists[stage], ns);
	stages->mark = now;
	return ns;
}

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Session window - which frames of a message have arrived
 *
 * Selective repeat in 24 bytes: all frames below 'base' are confirmed, and bit
 * i of 'got' stands for frame base + i. Frames from 'next' on are out of reach.
 * Both ends of a message use it: its sender for what was confirmed, its
 * receiver for what came.
 *
 * Invariants: base <= next <= count; next - base <= SESSION_WINDOW_MAX; no bit
 * of 'got' at or above next - base; bit 0 of 'got' is clear.
 *
 * Threads: belongs to its session's core.
 */

#include "base/check.h"

#include <stdbool.h>
#include <stdint.h>

/* One below the width of 'got', so that a shift is always shorter than the width. */
#define SESSION_WINDOW_MAX 63

struct session_window {
	uint64_t got;
	uint64_t repeated; /* frames that were sent again without a timer, once each */
	uint16_t base;
	uint16_t next;
	uint16_t count; /* frames of the message */
};

static inline struct session_window session_window_open(uint16_t base, uint16_t count)
{
	return (struct session_window){.base = base, .next = base, .count = count};
}

/* Frames below 'next' that are not confirmed. */
static inline unsigned session_window_missing(const struct session_window *window)
{
	return (unsigned)(window->next - window->base) -
	       (unsigned)__builtin_popcountll(window->got);
}

static inline bool session_window_lacks(const struct session_window *window, uint16_t index)
{
	return index >= window->base && index < window->next &&
	       !(window->got >> (index - window->base) & 1);
}

/* May frame 'next' be asked for or sent? */
static inline bool session_window_can_grow(const struct session_window *window)
{
	return window->next < window->count && window->next - window->base < SESSION_WINDOW_MAX;
}

/* Confirms frame 'index'; false when it was confirmed before or is out of reach. */
static inline bool session_window_confirm(struct session_window *window, uint16_t index)
{
	int shift;

	if (!session_window_lacks(window, index))
		return false;
	window->got |= UINT64_C(1) << (index - window->base);
	shift = __builtin_ctzll(~window->got);
	window->base = (uint16_t)(window->base + shift);
	window->got >>= shift;
	window->repeated >>= shift;
	DCHECK(window->base <= window->next);
	return true;
}

/* Receiver: everything that the sender may send from here. */
static inline void session_window_reach(struct session_window *window)
{
	while (session_window_can_grow(window))
		window->next++;
}

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Spsc - a bounded ring from one thread to one other
 *
 * Carries 64-bit words: numbers, or pointers by spsc_put_pointer(), whose
 * ownership goes with them. A full ring refuses; nothing ever waits.
 *
 *      producer --put--> [ tail ... head ) --get--> consumer
 *
 * Both indexes only grow and are taken modulo the size. Each side keeps a copy
 * of the other's index and looks at the real one only when the copy says "full"
 * or "empty", so that the two cache lines rarely travel.
 *
 * Threads: one producer puts, one consumer gets. spsc_init() before either.
 */

#include "base/check.h"
#include "base/defs.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct spsc {
	uint64_t *slots; /* borrows from the caller of spsc_init() */
	uint32_t mask;   /* slots - 1 */

	alignas(CACHE_LINE) _Atomic uint32_t head; /* written by the producer */
	uint32_t tail_seen;                        /* the producer's copy of tail */

	alignas(CACHE_LINE) _Atomic uint32_t tail; /* written by the consumer */
	uint32_t head_seen;                        /* the consumer's copy of head */
};

/* Borrows 'slots' as long as the ring is used; 'slot_count' is a power of two. */
static inline void spsc_init(struct spsc *ring, uint64_t *slots, uint32_t slot_count)
{
	CHECK(slot_count > 0 && (slot_count & (slot_count - 1)) == 0);
	ring->slots = slots;
	ring->mask = slot_count - 1;
	ring->tail_seen = 0;
	ring->head_seen = 0;
	atomic_init(&ring->head, 0);
	atomic_init(&ring->tail, 0);
}

/* Puts up to 'count' words; returns how many fitted, the first ones. */
static inline uint32_t spsc_put(struct spsc *ring, const uint64_t *words, uint32_t count)
{
	uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed); /* own index */
	uint32_t room = ring->mask + 1 - (head - ring->tail_seen);

	if (room < count) {
		/* Acquire: slots are overwritten only after they were read. Pairs with spsc_get().
		 */
		ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
		room = ring->mask + 1 - (head - ring->tail_seen);
		count = MIN(room, count);
	}
	for (uint32_t i = 0; i < count; i++)
		ring->slots[(head + i) & ring->mask] = words[i];
	/* Release: the words are there before the index says so. Pairs with spsc_get(). */
	atomic_store_explicit(&ring->head, head + count, memory_order_release);
	return count;
}

/* Gets up to 'count' words; returns how many there were. */
static inline uint32_t spsc_get(struct spsc *ring, uint64_t *words, uint32_t count)
{
	uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed); /* own index */
	uint32_t there = ring->head_seen - tail;

	if (there < count) {
		/* Acquire: the words are read after the index. Pairs with spsc_put(). */
		ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
		there = ring->head_seen - tail;
		count = MIN(there, count);
	}
	for (uint32_t i = 0; i < count; i++)
		words[i] = ring->slots[(tail + i) & ring->mask];
	/* Release: the slots were read before they are given back. Pairs with spsc_put(). */
	atomic_store_explicit(&ring->tail, tail + count, memory_order_release);
	return count;
}

/* Puts one pointer; what it points to is the consumer's from then on. False when full. */
static inline bool spsc_put_pointer(struct spsc *ring, void *pointer)
{
	uint64_t word = (uintptr_t)pointer;

	return spsc_put(ring, &word, 1) == 1;
}

/* NULL when there is none. */
static inline void *spsc_get_pointer(struct spsc *ring)
{
	uint64_t word;

	return spsc_get(ring, &word, 1) ? (void *)(uintptr_t)word : NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Heap - keys of which the smallest comes first
 *
 * The candidates of a filtered search: nodes still to be expanded, whether they
 * may be answered or not. A plain binary heap in borrowed memory.
 *
 * Threads: a heap belongs to one thread.
 */

#include <stdint.h>

struct heap {
	uint64_t *keys; /* borrows: 'capacity' of them */
	uint32_t count;
	uint32_t capacity;
};

/* The heap must not be full. */
static inline void heap_push(struct heap *heap, uint64_t key)
{
	uint32_t at = heap->count++;

	for (; at > 0 && key < heap->keys[(at - 1) / 2]; at = (at - 1) / 2)
		heap->keys[at] = heap->keys[(at - 1) / 2];
	heap->keys[at] = key;
}

/* The heap must not be empty. */
static inline uint64_t heap_pop(struct heap *heap)
{
	uint64_t top = heap->keys[0];
	uint64_t last = heap->keys[--heap->count];
	uint32_t at = 0, child;

	while ((child = 2 * at + 1) < heap->count) {
		if (child + 1 < heap->count && heap->keys[child + 1] < heap->keys[child])
			child++;
		if (last <= heap->keys[child])
			break;
		heap->keys[at] = heap->keys[child];
		at = child;
	}
	heap->keys[at] = last;
	return top;
}

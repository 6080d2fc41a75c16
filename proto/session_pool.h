/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Session pool - the buffers of messages that are not in one frame
 *
 * Size classes, each with a fixed number of equal buffers and a stack of the
 * free ones: the first holds one frame's body, the others grow eightfold from
 * 16 KiB to the largest message. A class that is empty borrows from the next.
 * Pages that no buffer has used yet cost no memory.
 *
 * Threads: a pool belongs to its endpoint's core.
 */

#include <stddef.h>
#include <stdint.h>

/* One frame, 16 KiB, 128 KiB, 1 MiB, 8 MiB. */
#define SESSION_POOL_CLASS_MAX 5

struct session_pool_class {
	uint8_t *base;   /* borrows from the arena */
	uint8_t **stack; /* free buffers; the pool owns it */
	uint32_t size;   /* of a buffer, a multiple of CACHE_LINE */
	uint32_t count;
	uint32_t free_count;
};

struct session_pool {
	struct session_pool_class classes[SESSION_POOL_CLASS_MAX];
	uint32_t class_count;
	uint8_t *arena;
};

/*
 * Takes the memory: 'large_count' buffers of 16 KiB, half as many of each
 * larger class (two at least), eight times as many of one frame. None when
 * 'large_count' is 0.
 *
 * Returns 0 or -ENOMEM; the pool can be deinitialised in both cases.
 */
int session_pool_init(struct session_pool *pool, uint32_t frame_body_size,
		      uint32_t message_size_max, uint32_t large_count);
void session_pool_deinit(struct session_pool *pool);

/* A buffer of at least 'size' bytes, or NULL when none is free. */
uint8_t *session_pool_get(struct session_pool *pool, uint32_t size);

/* Takes back what session_pool_get() gave; NULL is fine. */
void session_pool_put(struct session_pool *pool, uint8_t *buffer);

/* Buffers that are out. */
uint32_t session_pool_used(const struct session_pool *pool);

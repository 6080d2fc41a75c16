/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Twins - equal vectors, found before the graph is built
 *
 * Threads: any.
 */

#include <stddef.h>
#include <stdint.h>

/*
 * Finds vectors with equal bytes among 'count' of 'size' bytes, a multiple of 8, 'stride'
 * apart. Writes each one's next twin, of a higher number, or UINT32_MAX, to
 * 'twins', and sets the level of every vector that has an earlier twin to 0.
 *
 * Returns 0 and how many have an earlier twin, or -ENOMEM.
 */
int twins_find(const uint8_t *vectors, size_t stride, size_t size, uint32_t count, uint32_t *twins,
	       uint8_t *levels, uint32_t *ret_twin_count);

/* Bytes that it takes meanwhile, at most. */
uint64_t twins_memory(uint32_t count);

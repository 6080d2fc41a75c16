/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Defs - the few words every file may use
 *
 * Small helpers without state: sizes, alignment, minimum and maximum, branch
 * hints for the slow side of hot code.
 *
 * Threads: any.
 */

#include <stddef.h>

#define CACHE_LINE 64

#define ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#define likely(condition)   __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

/* For inner loops that are given their operations as functions. */
#define ALWAYS_INLINE inline __attribute__((always_inline))

/* For slow branches out of hot functions. */
#define NOINLINE __attribute__((noinline, cold))

#define PRINTF_LIKE(format_index, first_index)                                                     \
	__attribute__((format(printf, format_index, first_index)))

#define CONTAINER_OF(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

/* Rounds 'size' up to a multiple of 'align', a power of two. */
static inline size_t align_up(size_t size, size_t align)
{
	return (size + align - 1) & ~(align - 1);
}

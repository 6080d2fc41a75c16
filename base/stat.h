/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Stat - counters with one writer
 *
 * A module lists its counters once, as an X-macro, and makes of it the struct,
 * the names and the sum over cores:
 *
 *      #define CORE_STAT_LIST(STAT) STAT(bursts) STAT(requests)
 *      struct core_stats { CORE_STAT_LIST(STAT_FIELD) };
 *      static const char *const core_stat_names[] = { CORE_STAT_LIST(STAT_NAME) };
 *
 * Threads: the owner adds by stat_add(), any thread reads by stat_read(). A
 * counter is read whole but two counters need not be of the same moment, so no
 * ordering is asked for and an addition costs what a plain one does.
 */

#include <stddef.h>
#include <stdint.h>

#define STAT_FIELD(name) uint64_t name;
#define STAT_NAME(name)  #name,

/*
 * The counters are plain words, so that the one owner may also read them
 * plainly; hence the compiler's atomics on objects rather than C11's on types.
 * Relaxed: a load and a store of one word each, no bus lock. Pairs with stat_read().
 */
static inline void stat_add(uint64_t *counter, uint64_t count)
{
	__atomic_store_n(counter, *counter + count, __ATOMIC_RELAXED);
}

/* For gauges, such as "open sessions". Owner only. */
static inline void stat_set(uint64_t *counter, uint64_t value)
{
	__atomic_store_n(counter, value, __ATOMIC_RELAXED);
}

/* Pairs with stat_add() and stat_set(). */
static inline uint64_t stat_read(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* Adds the 'count' counters of one core's struct to those of a sum that the caller owns. */
static inline void stat_sum(uint64_t *sum, const uint64_t *counters, size_t count)
{
	for (size_t i = 0; i < count; i++)
		sum[i] += stat_read(&counters[i]);
}

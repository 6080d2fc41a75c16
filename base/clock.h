/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Clock - monotonic nanoseconds
 *
 * State machines never ask for the time; it is handed to them. Only loops and
 * tools read this clock.
 *
 * Threads: any.
 */

#include <stdint.h>
#include <time.h>

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S  UINT64_C(1000000000)

static inline uint64_t clock_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Hist - a histogram of fixed memory and fixed relative error
 *
 * Values are counted in buckets as in HdrHistogram: exact below 256, then 128
 * equal buckets for each power of two, so that a value is known to within 1/128
 * of itself. What is recorded are nanoseconds as a rule, up to HIST_VALUE_MAX;
 * larger values count as that and are marked as saturated.
 *
 *      0 ..... 255 | 256 ....... 511 | 512 ....... 1023 | ...
 *      256 of 1    | 128 of 2        | 128 of 4         | ...
 *
 * Threads: one owner adds. Another thread may at the same time merge it into a
 * histogram of its own, and reads that: every counter is whole, but counters may
 * be of different moments, so the merge recounts the total from the buckets.
 */

#include "base/stat.h"

#include <stdint.h>
#include <stdio.h>

#define HIST_SUB_BITS 7

/* About 69 seconds of nanoseconds. */
#define HIST_VALUE_MAX ((UINT64_C(1) << 36) - 1)

#define HIST_BUCKET_COUNT ((36 - HIST_SUB_BITS + 1) << HIST_SUB_BITS)

struct hist {
	uint64_t total;
	uint64_t sum;       /* of the values as recorded, for the mean */
	uint64_t min;       /* UINT64_MAX while the histogram is empty */
	uint64_t max;       /* 0 while it is empty */
	uint64_t saturated; /* values above HIST_VALUE_MAX */
	uint64_t counts[HIST_BUCKET_COUNT];
};

/* Makes it empty; all-zero memory is not an empty histogram. */
void hist_init(struct hist *hist);

/* The bucket of a value that is at most HIST_VALUE_MAX. */
static inline uint32_t hist_index(uint64_t value)
{
	uint32_t shift = 63 - HIST_SUB_BITS -
			 (uint32_t)__builtin_clzll(value | (UINT64_C(1) << HIST_SUB_BITS));

	return (shift << HIST_SUB_BITS) + (uint32_t)(value >> shift);
}

/* The largest value that shares the bucket. */
static inline uint64_t hist_bucket_last(uint32_t index)
{
	uint32_t shift = index >> (HIST_SUB_BITS + 1) ? (index >> HIST_SUB_BITS) - 1 : 0;
	uint64_t sub = index - (shift << HIST_SUB_BITS);

	return ((sub + 1) << shift) - 1;
}

/* Counts 'value' once. Never allocates. */
static inline void hist_add(struct hist *hist, uint64_t value)
{
	if (value > HIST_VALUE_MAX) {
		value = HIST_VALUE_MAX;
		stat_add(&hist->saturated, 1);
	}
	stat_add(&hist->counts[hist_index(value)], 1);
	stat_add(&hist->total, 1);
	stat_add(&hist->sum, value);
	if (value < hist->min)
		stat_set(&hist->min, value);
	if (value > hist->max)
		stat_set(&hist->max, value);
}

/* Adds everything that 'from' counted to 'to'. */
void hist_merge(struct hist *to, const struct hist *from);

/*
 * The smallest bucket's last value that at least 'percentile' percent (0 to 100)
 * of all values don't exceed; never more than the maximum. 0 when it is empty.
 */
uint64_t hist_percentile(const struct hist *hist, double percentile);

/* 0 when it is empty. */
double hist_mean(const struct hist *hist);

/*
 * Writes HdrHistogram's percentile table (.hgrm), which the usual plotters read.
 * Values are divided by 'unit': 1000 makes microseconds of nanoseconds.
 *
 * Returns 0, or -EIO when the file could not be written.
 */
int hist_print_hgrm(const struct hist *hist, double unit, FILE *file);

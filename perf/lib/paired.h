/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Paired - two ways of doing the same thing, measured in turns
 *
 * Machines are noisy, so a claim is a ratio: both ways run in every
 * repetition, one right after the other, and what counts is the median of the
 * ratios with its spread.
 *
 *	struct paired rate = { .name = "echo", .unit = "requests/s" };
 *	for (unsigned i = 0; i < PAIRED_REPEAT; i++)
 *		paired_add(&rate, raw_echo(), tern_echo());
 *	paired_print(&rate, json);
 *
 * Threads: one.
 */

#include <stdbool.h>

#define PAIRED_REPEAT_MAX 64

/* Repetitions of a benchmark that doesn't say otherwise. */
#define PAIRED_REPEAT 11

struct paired {
	const char *name;
	const char *unit; /* of both values */
	unsigned count;
	double raw[PAIRED_REPEAT_MAX];
	double ours[PAIRED_REPEAT_MAX];
};

/* One repetition: the raw thing's value, and ours. Both are above 0. */
void paired_add(struct paired *paired, double raw, double ours);

/* The median of ours / raw; 0 without repetitions. */
double paired_ratio(const struct paired *paired);

/* The median of ours - raw, in the unit. */
double paired_difference(const struct paired *paired);

/* One line: medians, ratio with its 10th and 90th percentile, difference; JSON when 'json'. */
void paired_print(const struct paired *paired, bool json);

/* The value below which 'share' (0 to 1) of the values lie. Sorts 'values'. */
double paired_quantile(double *values, unsigned count, double share);

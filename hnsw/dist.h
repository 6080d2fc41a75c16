/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Dist - distance kernels, chosen at run time
 *
 * One table an instruction set; dist_best() gives the best that this processor
 * has, or the one that the environment variable TERN_ISA names (scalar, avx2,
 * avx512), so that tests can force one.
 *
 * Every table adds the same numbers in the same order (see dist_order.h), so all
 * of them give the same bits and an index doesn't depend on the processor that
 * built it. Sums are kept in f32 lanes.
 *
 * Kernels work on rows padded with zeros to a multiple of DIST_PAD floats: a
 * zero adds nothing to any of the sums. They are fastest on rows aligned to 64
 * bytes and right on any.
 *
 * Threads: any.
 */

#include "base/metric.h"

#include <stddef.h>

/* Rows are padded to a multiple of so many floats: one AVX-512 register. */
#define DIST_PAD 16

typedef float (*dist_fn)(const float *a, const float *b, size_t padded_dim);

/* The same in f64, for rows of any length: what truth is computed with. */
typedef double (*dist_exact_fn)(const float *a, const float *b, size_t dim);

struct dist_table {
	const char *isa;
	dist_fn l2; /* sum of squared differences */
	dist_fn ip; /* dot product, not negated */
	dist_exact_fn exact_l2;
	dist_exact_fn exact_ip;
};

/* Never NULL. Says on stderr, once, when TERN_ISA names what is not here. */
const struct dist_table *dist_best(void);

/* The table of that name if this processor can run it, else NULL. */
const struct dist_table *dist_find(const char *isa);

static inline size_t dist_padded(size_t dim)
{
	return (dim + DIST_PAD - 1) & ~(size_t)(DIST_PAD - 1);
}

/*
 * A metric as one expression without a branch: offset + sign * kernel(a, b).
 * Adding the offset turns a negative zero into a positive one.
 */
struct dist_measure {
	dist_fn kernel;
	float offset;
	float sign;
};

struct dist_measure dist_measure(const struct dist_table *table, enum metric metric);

static inline float dist_between(const struct dist_measure *measure, const float *a, const float *b,
				 size_t padded_dim)
{
	return measure->offset + measure->sign * measure->kernel(a, b, padded_dim);
}

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Dist - distance kernels, chosen at run time
 *
 * One table an instruction set; dist_best() gives the best that this processor
 * has, or the one that the environment variable TERN_ISA names (scalar, avx2,
 * avx512), so that tests can force one. Sums are kept in f32 lanes; results of
 * different tables differ by rounding only.
 *
 * Kernels work on rows padded with zeros to a multiple of DIST_PAD floats and
 * aligned to 64 bytes: a zero adds nothing to any of the sums.
 *
 * Threads: any.
 */

#include "base/metric.h"

#include <stddef.h>

/* Rows are padded to a multiple of so many floats: one AVX-512 register. */
#define DIST_PAD 16

typedef float (*dist_fn)(const float *a, const float *b, size_t padded_dim);

struct dist_table {
	const char *isa;
	dist_fn l2; /* sum of squared differences */
	dist_fn ip; /* dot product, not negated */
};

/* Never NULL. Says on stderr, once, when TERN_ISA names what is not here. */
const struct dist_table *dist_best(void);

/* The table of that name if this processor can run it, else NULL. */
const struct dist_table *dist_find(const char *isa);

static inline size_t dist_padded(size_t dim)
{
	return (dim + DIST_PAD - 1) & ~(size_t)(DIST_PAD - 1);
}

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Codes order - what every kernel of codes computes, to the bit
 *
 *   1. sum = the sum of the table's bytes that a neighbour's signs choose, in integers.
 *   2. S = (float)(sum - CODES_OFFSET * bits / 4) * step.
 *   3. score = (from + A) - B * S, each operation rounded.
 *
 * Vector registers sum in 16 bits: a table's entry is at most 2 * CODES_OFFSET, so
 * 1,024 values, which are 256 entries, fit.
 *
 * Threads: any.
 */

#include "hnsw/codes.h"

#include <assert.h>

/* Bits after which sums of 16 bits are taken to 32. */
#define CODES_RUN 1024

static_assert(CODES_RUN / 4 * 2 * CODES_OFFSET <= UINT16_MAX, "a run fits 16 bits");

extern const struct codes_kernels codes_scalar;
#if defined(__x86_64__)
extern const struct codes_kernels codes_avx2;
/* Without the kernel of the one below. */
extern const struct codes_kernels codes_avx512;

/* Scoring by AVX512_VBMI and AVX512_VNNI, in place of that of 'kernels'. */
void codes_vbmi_use(struct codes_kernels *kernels);
#endif

/* Where the codes of a block begin: behind A and B. */
#define CODES_AT (2 * CODES_BLOCK * sizeof(uint16_t))

/* What the sum of all offsets is. */
static inline int32_t codes_offset(uint32_t bits)
{
	return (int32_t)(CODES_OFFSET * (bits / 4));
}

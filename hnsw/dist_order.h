/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Dist order - the one order in which every kernel adds
 *
 * Floating-point addition is not associative, so tables agree to the bit only
 * when they add the same numbers in the same order:
 *
 *   1. The row is cut into blocks of 16 values, which are made f32. Block b goes to
 *      accumulator b % 4, lane by lane: a product is rounded, then added (no fused
 *      multiply-add, which rounds once; these files are compiled with
 *      -ffp-contract=off).
 *   2. (accumulator 0 + 1) + (accumulator 2 + 3), lane by lane: 16 lanes.
 *   3. Lanes fold in halves: i + (i + 8), then 4, 2, 1.
 *
 * Four accumulators hide the four cycles of an addition. The separate
 * multiplication costs nothing that shows: beyond the second-level cache a
 * vector's bytes take ten times as long as its arithmetic.
 *
 * AVX512_BF16's dot product is not used: it takes subnormals for zeros, and adds
 * pairs before they reach their lane.
 *
 * Sums of integers are exact, so their kernels add in any order.
 *
 * Threads: any.
 */

#include "hnsw/dist.h"

/* many_KERNEL() from a kernel of one row, which is inlined in it. */
#define DIST_MANY(kernel)                                                                          \
	static void many_##kernel(const void *a, const struct dist_places *places,                 \
				  size_t row_size, float *ret_values)                              \
	{                                                                                          \
		for (uint32_t i = 0; i < places->count; i++)                                       \
			ret_values[i] = kernel(                                                    \
				a, places->first + places->nodes[i] * places->stride, row_size);   \
	}

extern const struct dist_table dist_scalar;
#if defined(__x86_64__)
extern const struct dist_table dist_avx2;
/* Without the kernels of the two below. */
extern const struct dist_table dist_avx512;

/* Kernels of i8 and u8 by AVX512_VNNI, in place of those of 'table'. */
void dist_vnni_use(struct dist_table *table);

/* The kernel of b1 by AVX512_VPOPCNTDQ, in place of that of 'table'. */
void dist_popcnt_use(struct dist_table *table);
#endif

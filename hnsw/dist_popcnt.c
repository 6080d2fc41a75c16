/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/dist_order.h"

#include <immintrin.h>
#include <stdint.h>

/* AVX512_BITALG counts the bits of smaller parts, which then take more additions. */
static float pair_l2_b1(const void *a, const void *b, size_t row_size)
{
	__m512i sum = _mm512_setzero_si512();

	for (size_t i = 0; i < row_size; i += DIST_ALIGN) {
		__m512i differing = _mm512_xor_si512(_mm512_loadu_si512((const uint8_t *)a + i),
						     _mm512_loadu_si512((const uint8_t *)b + i));

		sum = _mm512_add_epi64(sum, _mm512_popcnt_epi64(differing));
	}
	return (float)_mm512_reduce_add_epi64(sum);
}

DIST_MANY(pair_l2_b1)

void dist_popcnt_use(struct dist_table *table)
{
	table->kernels[VECTOR_B1].pair_l2 = pair_l2_b1;
	table->kernels[VECTOR_B1].many_pair_l2 = many_pair_l2_b1;
}

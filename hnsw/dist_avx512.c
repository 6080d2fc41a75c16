/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/dist_exact.h"
#include "hnsw/dist_order.h"

#include <immintrin.h>

static inline __m512 squares(const float *a, const float *b)
{
	__m512 difference = _mm512_sub_ps(_mm512_loadu_ps(a), _mm512_loadu_ps(b));

	return _mm512_mul_ps(difference, difference);
}

static inline __m512 products(const float *a, const float *b)
{
	return _mm512_mul_ps(_mm512_loadu_ps(a), _mm512_loadu_ps(b));
}

static inline float fold(__m512 sum0, __m512 sum1, __m512 sum2, __m512 sum3)
{
	__m512 sum = _mm512_add_ps(_mm512_add_ps(sum0, sum1), _mm512_add_ps(sum2, sum3));
	__m256 high = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(sum), 1));
	__m256 half = _mm256_add_ps(_mm512_castps512_ps256(sum), high);
	__m128 quarter = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
	__m128 pair = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));

	return _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)));
}

/*
 * A macro, since the two kernels differ in one function of the inner loop, and a
 * function pointer there would cost more than the arithmetic.
 */
#define KERNEL(name, term)                                                                         \
	static float name(const float *a, const float *b, size_t padded_dim)                       \
	{                                                                                          \
		__m512 sum0 = _mm512_setzero_ps(), sum1 = sum0, sum2 = sum0, sum3 = sum0;          \
		const size_t pad = DIST_PAD;                                                       \
		size_t i = 0;                                                                      \
                                                                                                   \
		for (; i + 4 * pad <= padded_dim; i += 4 * pad) {                                  \
			sum0 = _mm512_add_ps(sum0, term(a + i, b + i));                            \
			sum1 = _mm512_add_ps(sum1, term(a + i + pad, b + i + pad));                \
			sum2 = _mm512_add_ps(sum2, term(a + i + 2 * pad, b + i + 2 * pad));        \
			sum3 = _mm512_add_ps(sum3, term(a + i + 3 * pad, b + i + 3 * pad));        \
		}                                                                                  \
		if (i < padded_dim)                                                                \
			sum0 = _mm512_add_ps(sum0, term(a + i, b + i));                            \
		if (i + pad < padded_dim)                                                          \
			sum1 = _mm512_add_ps(sum1, term(a + i + pad, b + i + pad));                \
		if (i + 2 * pad < padded_dim)                                                      \
			sum2 = _mm512_add_ps(sum2, term(a + i + 2 * pad, b + i + 2 * pad));        \
		return fold(sum0, sum1, sum2, sum3);                                               \
	}

KERNEL(l2, squares)
KERNEL(ip, products)

const struct dist_table dist_avx512 = {
	.isa = "avx512",
	.l2 = l2,
	.ip = ip,
	.exact_l2 = exact_l2,
	.exact_ip = exact_ip,
};

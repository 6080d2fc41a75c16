/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/dist_exact.h"
#include "hnsw/dist_order.h"

#include <immintrin.h>

/* The 16 lanes of one accumulator, in two registers. */
struct lanes {
	__m256 low;
	__m256 high;
};

static inline __m256 squares(const float *a, const float *b)
{
	__m256 difference = _mm256_sub_ps(_mm256_loadu_ps(a), _mm256_loadu_ps(b));

	return _mm256_mul_ps(difference, difference);
}

static inline __m256 products(const float *a, const float *b)
{
	return _mm256_mul_ps(_mm256_loadu_ps(a), _mm256_loadu_ps(b));
}

static inline float fold(const struct lanes *sum)
{
	__m256 low = _mm256_add_ps(_mm256_add_ps(sum[0].low, sum[1].low),
				   _mm256_add_ps(sum[2].low, sum[3].low));
	__m256 high = _mm256_add_ps(_mm256_add_ps(sum[0].high, sum[1].high),
				    _mm256_add_ps(sum[2].high, sum[3].high));
	__m256 half = _mm256_add_ps(low, high);
	__m128 quarter = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
	__m128 pair = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));

	return _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)));
}

/* A macro for the reason given in dist_avx512.c. */
#define ADD_BLOCK(sum, term, a, b)                                                                 \
	do {                                                                                       \
		(sum).low = _mm256_add_ps((sum).low, term((a), (b)));                              \
		(sum).high = _mm256_add_ps((sum).high, term((a) + 8, (b) + 8));                    \
	} while (0)

#define KERNEL(name, term)                                                                         \
	static float name(const float *a, const float *b, size_t padded_dim)                       \
	{                                                                                          \
		struct lanes sum[DIST_ACCUMULATORS] = {0};                                         \
		const size_t pad = DIST_PAD;                                                       \
		size_t i = 0;                                                                      \
                                                                                                   \
		for (; i + 4 * pad <= padded_dim; i += 4 * pad) {                                  \
			ADD_BLOCK(sum[0], term, a + i, b + i);                                     \
			ADD_BLOCK(sum[1], term, a + i + pad, b + i + pad);                         \
			ADD_BLOCK(sum[2], term, a + i + 2 * pad, b + i + 2 * pad);                 \
			ADD_BLOCK(sum[3], term, a + i + 3 * pad, b + i + 3 * pad);                 \
		}                                                                                  \
		if (i < padded_dim)                                                                \
			ADD_BLOCK(sum[0], term, a + i, b + i);                                     \
		if (i + pad < padded_dim)                                                          \
			ADD_BLOCK(sum[1], term, a + i + pad, b + i + pad);                         \
		if (i + 2 * pad < padded_dim)                                                      \
			ADD_BLOCK(sum[2], term, a + i + 2 * pad, b + i + 2 * pad);                 \
		return fold(sum);                                                                  \
	}

KERNEL(l2, squares)
KERNEL(ip, products)

const struct dist_table dist_avx2 = {
	.isa = "avx2",
	.l2 = l2,
	.ip = ip,
	.exact_l2 = exact_l2,
	.exact_ip = exact_ip,
};

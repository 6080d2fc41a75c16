/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/dist_order.h"

#include <immintrin.h>
#include <stdint.h>

/* 16 floats in two registers. */
struct lanes {
	__m256 low;
	__m256 high;
};

static inline struct lanes lanes_zero(void)
{
	return (struct lanes){_mm256_setzero_ps(), _mm256_setzero_ps()};
}

static inline struct lanes lanes_add(struct lanes a, struct lanes b)
{
	return (struct lanes){_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
}

static inline struct lanes lanes_sub(struct lanes a, struct lanes b)
{
	return (struct lanes){_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
}

static inline struct lanes lanes_mul(struct lanes a, struct lanes b)
{
	return (struct lanes){_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
}

static inline float lanes_fold(struct lanes sum)
{
	__m256 half = _mm256_add_ps(sum.low, sum.high);
	__m128 quarter = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
	__m128 pair = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));

	return _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)));
}

static inline struct lanes load_f32(const void *row, size_t i)
{
	const float *values = (const float *)row + i;

	return (struct lanes){_mm256_loadu_ps(values), _mm256_loadu_ps(values + 8)};
}

static inline __m128i load_words(const void *row, size_t i)
{
	return _mm_loadu_si128((const void *)((const uint16_t *)row + i));
}

static inline struct lanes load_f16(const void *row, size_t i)
{
	return (struct lanes){_mm256_cvtph_ps(load_words(row, i)),
			      _mm256_cvtph_ps(load_words(row, i + 8))};
}

static inline __m256 float_of_bf16(__m128i words)
{
	return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(words), 16));
}

static inline struct lanes load_bf16(const void *row, size_t i)
{
	return (struct lanes){float_of_bf16(load_words(row, i)),
			      float_of_bf16(load_words(row, i + 8))};
}

static inline __m128i load_bytes(const void *row, size_t i)
{
	return _mm_loadl_epi64((const void *)((const uint8_t *)row + i));
}

static inline struct lanes load_i8(const void *row, size_t i)
{
	__m256i low = _mm256_cvtepi8_epi32(load_bytes(row, i));
	__m256i high = _mm256_cvtepi8_epi32(load_bytes(row, i + 8));

	return (struct lanes){_mm256_cvtepi32_ps(low), _mm256_cvtepi32_ps(high)};
}

static inline struct lanes load_u8(const void *row, size_t i)
{
	__m256i low = _mm256_cvtepu8_epi32(load_bytes(row, i));
	__m256i high = _mm256_cvtepu8_epi32(load_bytes(row, i + 8));

	return (struct lanes){_mm256_cvtepi32_ps(low), _mm256_cvtepi32_ps(high)};
}

/*
 * Two rows of bytes: in 16 bits, where neither a difference nor, once two are
 * added in 32 bits, a product is too large.
 */
typedef __m256i (*widen_fn)(__m128i bytes);

static inline __m256i widen_i8(__m128i bytes)
{
	return _mm256_cvtepi8_epi16(bytes);
}

static inline __m256i widen_u8(__m128i bytes)
{
	return _mm256_cvtepu8_epi16(bytes);
}

static inline __m256i load_line(const void *row, size_t i)
{
	return _mm256_loadu_si256((const void *)((const uint8_t *)row + i));
}

static inline __m256i widen(const void *row, size_t i, widen_fn widen_bytes)
{
	return widen_bytes(_mm_loadu_si128((const void *)((const uint8_t *)row + i)));
}

/* Rounded in its register: a detour over the processor's integers costs a nanosecond. */
static inline float fold_i32(__m256i sum)
{
	__m128i half = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
	__m128i quarter = _mm_add_epi32(half, _mm_unpackhi_epi64(half, half));

	__m128i pair = _mm_add_epi32(quarter, _mm_shuffle_epi32(quarter, 1));

	return _mm_cvtss_f32(_mm_cvtepi32_ps(pair));
}

static ALWAYS_INLINE float add_squares(const void *a, const void *b, size_t row_size,
				       widen_fn widen_bytes)
{
	__m256i sum0 = _mm256_setzero_si256(), sum1 = sum0;

	for (size_t i = 0; i < row_size; i += 32) {
		__m256i low = _mm256_sub_epi16(widen(a, i, widen_bytes), widen(b, i, widen_bytes));
		__m256i high = _mm256_sub_epi16(widen(a, i + 16, widen_bytes),
						widen(b, i + 16, widen_bytes));

		sum0 = _mm256_add_epi32(sum0, _mm256_madd_epi16(low, low));
		sum1 = _mm256_add_epi32(sum1, _mm256_madd_epi16(high, high));
	}
	return fold_i32(_mm256_add_epi32(sum0, sum1));
}

static ALWAYS_INLINE float add_products(const void *a, const void *b, size_t row_size,
					widen_fn widen_bytes)
{
	__m256i sum0 = _mm256_setzero_si256(), sum1 = sum0;

	for (size_t i = 0; i < row_size; i += 32) {
		__m256i low = _mm256_madd_epi16(widen(a, i, widen_bytes), widen(b, i, widen_bytes));
		__m256i high = _mm256_madd_epi16(widen(a, i + 16, widen_bytes),
						 widen(b, i + 16, widen_bytes));

		sum0 = _mm256_add_epi32(sum0, low);
		sum1 = _mm256_add_epi32(sum1, high);
	}
	return fold_i32(_mm256_add_epi32(sum0, sum1));
}

static float pair_l2_i8(const void *a, const void *b, size_t row_size)
{
	return add_squares(a, b, row_size, widen_i8);
}

static float pair_ip_i8(const void *a, const void *b, size_t row_size)
{
	return add_products(a, b, row_size, widen_i8);
}

static float pair_l2_u8(const void *a, const void *b, size_t row_size)
{
	return add_squares(a, b, row_size, widen_u8);
}

static float pair_ip_u8(const void *a, const void *b, size_t row_size)
{
	return add_products(a, b, row_size, widen_u8);
}

/* Bits of each half of a byte, looked up; the processor's popcnt takes twice as long. */
static float pair_l2_b1(const void *a, const void *b, size_t row_size)
{
	const __m256i low = _mm256_set1_epi8(15);
	const __m256i counts = _mm256_broadcastsi128_si256(
		_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
	__m256i sum = _mm256_setzero_si256();

	for (size_t i = 0; i < row_size; i += 32) {
		__m256i bits = _mm256_xor_si256(load_line(a, i), load_line(b, i));
		__m256i lower = _mm256_shuffle_epi8(counts, _mm256_and_si256(bits, low));
		__m256i upper = _mm256_shuffle_epi8(
			counts, _mm256_and_si256(_mm256_srli_epi16(bits, 4), low));
		__m256i both = _mm256_add_epi8(lower, upper);

		/* Sums of eight bytes each. */
		sum = _mm256_add_epi32(sum, _mm256_sad_epu8(both, _mm256_setzero_si256()));
	}
	return fold_i32(sum);
}

#include "hnsw/dist_float.inc"

const struct dist_table dist_avx2 = DIST_TABLE("avx2");

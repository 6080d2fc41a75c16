/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/dist_order.h"

#include <immintrin.h>
#include <stdint.h>

struct lanes {
	__m512 all;
};

static inline struct lanes lanes_zero(void)
{
	return (struct lanes){_mm512_setzero_ps()};
}

static inline struct lanes lanes_add(struct lanes a, struct lanes b)
{
	return (struct lanes){_mm512_add_ps(a.all, b.all)};
}

static inline struct lanes lanes_sub(struct lanes a, struct lanes b)
{
	return (struct lanes){_mm512_sub_ps(a.all, b.all)};
}

static inline struct lanes lanes_mul(struct lanes a, struct lanes b)
{
	return (struct lanes){_mm512_mul_ps(a.all, b.all)};
}

static inline float lanes_fold(struct lanes sum)
{
	__m256 high = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(sum.all), 1));
	__m256 half = _mm256_add_ps(_mm512_castps512_ps256(sum.all), high);
	__m128 quarter = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
	__m128 pair = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));

	return _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)));
}

static inline struct lanes load_f32(const void *row, size_t i)
{
	return (struct lanes){_mm512_loadu_ps((const float *)row + i)};
}

static inline __m256i load_words(const void *row, size_t i)
{
	return _mm256_loadu_si256((const void *)((const uint16_t *)row + i));
}

static inline struct lanes load_f16(const void *row, size_t i)
{
	return (struct lanes){_mm512_cvtph_ps(load_words(row, i))};
}

static inline struct lanes load_bf16(const void *row, size_t i)
{
	__m512i words = _mm512_cvtepu16_epi32(load_words(row, i));

	return (struct lanes){_mm512_castsi512_ps(_mm512_slli_epi32(words, 16))};
}

static inline __m128i load_bytes(const void *row, size_t i)
{
	return _mm_loadu_si128((const void *)((const uint8_t *)row + i));
}

static inline struct lanes load_i8(const void *row, size_t i)
{
	return (struct lanes){_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(load_bytes(row, i)))};
}

static inline struct lanes load_u8(const void *row, size_t i)
{
	return (struct lanes){_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(load_bytes(row, i)))};
}

/*
 * Two rows of bytes, without AVX512_VNNI: in 16 bits, where neither a difference
 * nor, once two are added in 32 bits, a product is too large.
 */
typedef __m512i (*widen_fn)(__m256i bytes);

static inline __m512i widen_i8(__m256i bytes)
{
	return _mm512_cvtepi8_epi16(bytes);
}

static inline __m512i widen_u8(__m256i bytes)
{
	return _mm512_cvtepu8_epi16(bytes);
}

static inline __m512i load_line(const void *row, size_t i)
{
	return _mm512_loadu_si512((const uint8_t *)row + i);
}

static inline __m512i widen(const void *row, size_t i, widen_fn widen_bytes)
{
	return widen_bytes(_mm256_loadu_si256((const void *)((const uint8_t *)row + i)));
}

/* Rounded in its register: a detour over the processor's integers costs a nanosecond. */
static inline float fold_i32(__m512i sum)
{
	__m256i half =
		_mm256_add_epi32(_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64(sum, 1));
	__m128i quarter =
		_mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
	__m128i eighth = _mm_add_epi32(quarter, _mm_unpackhi_epi64(quarter, quarter));
	__m128i pair = _mm_add_epi32(eighth, _mm_shuffle_epi32(eighth, 1));

	return _mm_cvtss_f32(_mm_cvtepi32_ps(pair));
}

static ALWAYS_INLINE float add_squares(const void *a, const void *b, size_t row_size,
				       widen_fn widen_bytes)
{
	__m512i sum0 = _mm512_setzero_si512(), sum1 = sum0;

	for (size_t i = 0; i < row_size; i += 64) {
		__m512i low = _mm512_sub_epi16(widen(a, i, widen_bytes), widen(b, i, widen_bytes));
		__m512i high = _mm512_sub_epi16(widen(a, i + 32, widen_bytes),
						widen(b, i + 32, widen_bytes));

		sum0 = _mm512_add_epi32(sum0, _mm512_madd_epi16(low, low));
		sum1 = _mm512_add_epi32(sum1, _mm512_madd_epi16(high, high));
	}
	return fold_i32(_mm512_add_epi32(sum0, sum1));
}

static ALWAYS_INLINE float add_products(const void *a, const void *b, size_t row_size,
					widen_fn widen_bytes)
{
	__m512i sum0 = _mm512_setzero_si512(), sum1 = sum0;

	for (size_t i = 0; i < row_size; i += 64) {
		__m512i low = _mm512_madd_epi16(widen(a, i, widen_bytes), widen(b, i, widen_bytes));
		__m512i high = _mm512_madd_epi16(widen(a, i + 32, widen_bytes),
						 widen(b, i + 32, widen_bytes));

		sum0 = _mm512_add_epi32(sum0, low);
		sum1 = _mm512_add_epi32(sum1, high);
	}
	return fold_i32(_mm512_add_epi32(sum0, sum1));
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
	const __m512i low = _mm512_set1_epi8(15);
	const __m512i counts = _mm512_broadcast_i32x4(
		_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
	__m512i sum = _mm512_setzero_si512();

	for (size_t i = 0; i < row_size; i += DIST_ALIGN) {
		__m512i bits = _mm512_xor_si512(load_line(a, i), load_line(b, i));
		__m512i lower = _mm512_shuffle_epi8(counts, _mm512_and_si512(bits, low));
		__m512i upper = _mm512_shuffle_epi8(
			counts, _mm512_and_si512(_mm512_srli_epi16(bits, 4), low));
		__m512i both = _mm512_add_epi8(lower, upper);

		/* Sums of eight bytes each. */
		sum = _mm512_add_epi32(sum, _mm512_sad_epu8(both, _mm512_setzero_si512()));
	}
	return fold_i32(sum);
}

#include "hnsw/dist_float.inc"

const struct dist_table dist_avx512 = DIST_TABLE("avx512");

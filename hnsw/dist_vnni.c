/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/dist_order.h"

#include <immintrin.h>
#include <stdint.h>

/*
 * AVX512_VNNI multiplies 64 unsigned bytes by 64 signed ones and adds each four
 * products to a sum in i32, without saturating. Two rows of one signedness come to
 * that by an offset of 128, whose share of the result is summed beside it and
 * taken off at the end. Sums stay in i32 on the way: nothing here is larger than
 * 255 * 255 a value.
 */

static inline __m512i load(const void *row, size_t i)
{
	return _mm512_loadu_si512((const uint8_t *)row + i);
}

/* For a line that is used twice: gcc would rather load it twice, from the second-level cache. */
static inline __m512i load_once(const void *row, size_t i)
{
	__m512i line = load(row, i);

	__asm__("" : "+v"(line));
	return line;
}

/* Flips the sign bit: 128 more or 128 less, whichever the other signedness can hold. */
static inline __m512i shift128(__m512i bytes)
{
	return _mm512_xor_si512(bytes, _mm512_set1_epi8(-128));
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

typedef __m512i (*bytes_fn)(__m512i a, __m512i b);

/* |a - b| of each byte, unsigned. */
static inline __m512i distance_i8(__m512i a, __m512i b)
{
	return _mm512_sub_epi8(_mm512_max_epi8(a, b), _mm512_min_epi8(a, b));
}

static inline __m512i distance_u8(__m512i a, __m512i b)
{
	return _mm512_sub_epi8(_mm512_max_epu8(a, b), _mm512_min_epu8(a, b));
}

/* d * d = d * (d - 128) + 128 * d */
static ALWAYS_INLINE float add_squares(const void *a, const void *b, size_t row_size,
				       bytes_fn distance)
{
	const __m512i ones = _mm512_set1_epi8(1);
	__m512i squares = _mm512_setzero_si512(), sums = squares;

	for (size_t i = 0; i < row_size; i += DIST_ALIGN) {
		__m512i d = distance(load(a, i), load_once(b, i));

		squares = _mm512_dpbusd_epi32(squares, d, shift128(d));
		sums = _mm512_dpbusd_epi32(sums, d, ones);
	}
	return fold_i32(_mm512_add_epi32(squares, _mm512_slli_epi32(sums, 7)));
}

static float pair_l2_i8(const void *a, const void *b, size_t row_size)
{
	return add_squares(a, b, row_size, distance_i8);
}

static float pair_l2_u8(const void *a, const void *b, size_t row_size)
{
	return add_squares(a, b, row_size, distance_u8);
}

/* a * b = (a + 128) * b - 128 * b */
static float pair_ip_i8(const void *a, const void *b, size_t row_size)
{
	const __m512i offset = _mm512_set1_epi8(-128); /* 128, unsigned */
	__m512i products = _mm512_setzero_si512(), sums = products;

	for (size_t i = 0; i < row_size; i += DIST_ALIGN) {
		__m512i right = load(b, i);

		products = _mm512_dpbusd_epi32(products, shift128(load(a, i)), right);
		sums = _mm512_dpbusd_epi32(sums, offset, right);
	}
	return fold_i32(_mm512_sub_epi32(products, sums));
}

/* a * b = a * (b - 128) + 128 * a */
static float pair_ip_u8(const void *a, const void *b, size_t row_size)
{
	const __m512i ones = _mm512_set1_epi8(1);
	__m512i products = _mm512_setzero_si512(), sums = products;

	for (size_t i = 0; i < row_size; i += DIST_ALIGN) {
		__m512i left = load(a, i);

		products = _mm512_dpbusd_epi32(products, left, shift128(load(b, i)));
		sums = _mm512_dpbusd_epi32(sums, left, ones);
	}
	return fold_i32(_mm512_add_epi32(products, _mm512_slli_epi32(sums, 7)));
}

void dist_vnni_use(struct dist_table *table)
{
	struct dist_kernels *i8 = &table->kernels[VECTOR_I8];
	struct dist_kernels *u8 = &table->kernels[VECTOR_U8];

	i8->pair_l2 = pair_l2_i8;
	i8->pair_ip = pair_ip_i8;
	u8->pair_l2 = pair_l2_u8;
	u8->pair_ip = pair_ip_u8;
}

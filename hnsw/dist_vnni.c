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
static ALWAYS_INLINE __m512i squares(const void *a, const void *b, size_t row_size,
				     bytes_fn distance)
{
	const __m512i ones = _mm512_set1_epi8(1);
	__m512i products = _mm512_setzero_si512(), sums = products;

	for (size_t i = 0; i < row_size; i += DIST_ALIGN) {
		__m512i d = distance(load(a, i), load(b, i));

		products = _mm512_dpbusd_epi32(products, d, shift128(d));
		sums = _mm512_dpbusd_epi32(sums, d, ones);
	}
	return _mm512_add_epi32(products, _mm512_slli_epi32(sums, 7));
}

static ALWAYS_INLINE __m512i squares_i8(const void *a, const void *b, size_t row_size)
{
	return squares(a, b, row_size, distance_i8);
}

static ALWAYS_INLINE __m512i squares_u8(const void *a, const void *b, size_t row_size)
{
	return squares(a, b, row_size, distance_u8);
}

/* a * (b + 128), which is 128 * a too much. */
static ALWAYS_INLINE __m512i shifted_i8(const void *a, const void *b, size_t row_size)
{
	__m512i products = _mm512_setzero_si512();

	for (size_t i = 0; i < row_size; i += DIST_ALIGN)
		products = _mm512_dpbusd_epi32(products, shift128(load_once(b, i)), load(a, i));
	return products;
}

/* a * (b - 128), which is 128 * a too little. */
static ALWAYS_INLINE __m512i shifted_u8(const void *a, const void *b, size_t row_size)
{
	__m512i products = _mm512_setzero_si512();

	for (size_t i = 0; i < row_size; i += DIST_ALIGN)
		products = _mm512_dpbusd_epi32(products, load(a, i), shift128(load_once(b, i)));
	return products;
}

/* 128 * a, or -128 * a: what makes up for the shift. */
static ALWAYS_INLINE __m512i excess_i8(const void *a, size_t row_size)
{
	__m512i sums = _mm512_setzero_si512();

	for (size_t i = 0; i < row_size; i += DIST_ALIGN)
		sums = _mm512_dpbusd_epi32(sums, _mm512_set1_epi8(-128), load(a, i));
	return _mm512_sub_epi32(_mm512_setzero_si512(), sums);
}

static ALWAYS_INLINE __m512i excess_u8(const void *a, size_t row_size)
{
	__m512i sums = _mm512_setzero_si512();

	for (size_t i = 0; i < row_size; i += DIST_ALIGN)
		sums = _mm512_dpbusd_epi32(sums, load(a, i), _mm512_set1_epi8(1));
	return _mm512_slli_epi32(sums, 7);
}

static ALWAYS_INLINE __m512i no_excess(const void *a, size_t row_size)
{
	return _mm512_setzero_si512();
}

typedef __m512i (*sums_fn)(const void *a, const void *b, size_t row_size);
typedef __m512i (*excess_fn)(const void *a, size_t row_size);

static inline __m128i fold_to_four(__m512i sum)
{
	__m256i half =
		_mm256_add_epi32(_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64(sum, 1));

	return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

/* Four rows at a time, as folding four sums together takes half of what each alone does. */
static ALWAYS_INLINE void many(const void *a, const struct dist_places *places, size_t row_size,
			       float *ret_values, sums_fn sums, excess_fn excess)
{
	const __m512i more = excess(a, row_size);
	uint32_t i = 0;

	for (; i + 4 <= places->count; i += 4) {
		__m128i parts[4];

		for (uint32_t j = 0; j < 4; j++) {
			const uint8_t *row = places->first + places->nodes[i + j] * places->stride;

			parts[j] = fold_to_four(_mm512_add_epi32(sums(a, row, row_size), more));
		}
		_mm_storeu_ps(ret_values + i,
			      _mm_cvtepi32_ps(_mm_hadd_epi32(_mm_hadd_epi32(parts[0], parts[1]),
							     _mm_hadd_epi32(parts[2], parts[3]))));
	}
	for (; i < places->count; i++) {
		const uint8_t *row = places->first + places->nodes[i] * places->stride;

		ret_values[i] = fold_i32(_mm512_add_epi32(sums(a, row, row_size), more));
	}
}

#define KERNELS(name, sums, excess)                                                                \
	static float pair_##name(const void *a, const void *b, size_t row_size)                    \
	{                                                                                          \
		return fold_i32(_mm512_add_epi32(sums(a, b, row_size), excess(a, row_size)));      \
	}                                                                                          \
                                                                                                   \
	static void many_pair_##name(const void *a, const struct dist_places *places,              \
				     size_t row_size, float *ret_values)                           \
	{                                                                                          \
		many(a, places, row_size, ret_values, sums, excess);                               \
	}

KERNELS(l2_i8, squares_i8, no_excess)
KERNELS(l2_u8, squares_u8, no_excess)
KERNELS(ip_i8, shifted_i8, excess_i8)
KERNELS(ip_u8, shifted_u8, excess_u8)

void dist_vnni_use(struct dist_table *table)
{
	struct dist_kernels *i8 = &table->kernels[VECTOR_I8];
	struct dist_kernels *u8 = &table->kernels[VECTOR_U8];

	i8->pair_l2 = pair_l2_i8;
	i8->many_pair_l2 = many_pair_l2_i8;
	i8->pair_ip = pair_ip_i8;
	i8->many_pair_ip = many_pair_ip_i8;
	u8->pair_l2 = pair_l2_u8;
	u8->many_pair_l2 = many_pair_l2_u8;
	u8->pair_ip = pair_ip_u8;
	u8->many_pair_ip = many_pair_ip_u8;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/dist_batch_pack.h"

#include <immintrin.h>

/* Rows whose sums are in registers together: 16 of the 32, for two parts of 16 queries. */
#define ROWS 8

static void pack(enum vector_type type, const uint8_t *row, size_t row_size, uint32_t index,
		 uint8_t *queries)
{
	dist_batch_pack_pairs(type, row, row_size, index, queries);
}

typedef __m512i (*widen_fn)(__m256i bytes);

static inline __m512i widen_i8(__m256i bytes)
{
	return _mm512_cvtepi8_epi16(bytes);
}

static inline __m512i widen_u8(__m256i bytes)
{
	return _mm512_cvtepu8_epi16(bytes);
}

/* Two values of a row, repeated and widened. */
static ALWAYS_INLINE __m512i spread(const uint8_t *row, widen_fn widen)
{
	int16_t pair;

	memcpy(&pair, row, sizeof(pair));
	return widen(_mm256_set1_epi16(pair));
}

/* 'count' is a constant, so that sums stay in registers. */
static ALWAYS_INLINE void block(const uint8_t *queries, const uint8_t *row, uint64_t stride,
				const uint32_t count, size_t row_size, widen_fn widen,
				int32_t *ret_products)
{
	__m512i low[ROWS], high[ROWS];

	for (uint32_t i = 0; i < count; i++)
		low[i] = high[i] = _mm512_setzero_si512();
	for (size_t k = 0; k < row_size; k += 2, queries += DIST_BATCH_LINE) {
		__m512i first = _mm512_load_si512(queries);
		__m512i second = _mm512_load_si512(queries + 64);

		for (uint32_t i = 0; i < count; i++) {
			__m512i values = spread(row + i * stride + k, widen);

			low[i] = _mm512_add_epi32(low[i], _mm512_madd_epi16(values, first));
			high[i] = _mm512_add_epi32(high[i], _mm512_madd_epi16(values, second));
		}
	}
	for (uint32_t i = 0; i < count; i++) {
		_mm512_storeu_si512(ret_products + i * DIST_BATCH_QUERIES, low[i]);
		_mm512_storeu_si512(ret_products + i * DIST_BATCH_QUERIES + 16, high[i]);
	}
}

static ALWAYS_INLINE void products(const uint8_t *queries, const struct dist_batch_rows *rows,
				   size_t row_size, widen_fn widen, int32_t *ret_products)
{
	uint32_t i = 0;

	for (; i + ROWS <= rows->count; i += ROWS)
		block(queries, rows->first + i * rows->stride, rows->stride, ROWS, row_size, widen,
		      ret_products + (size_t)i * DIST_BATCH_QUERIES);
	for (; i < rows->count; i++)
		block(queries, rows->first + i * rows->stride, rows->stride, 1, row_size, widen,
		      ret_products + (size_t)i * DIST_BATCH_QUERIES);
}

static void products_i8(const uint8_t *queries, const struct dist_batch_rows *rows, size_t row_size,
			int32_t *ret_products)
{
	products(queries, rows, row_size, widen_i8, ret_products);
}

static void products_u8(const uint8_t *queries, const struct dist_batch_rows *rows, size_t row_size,
			int32_t *ret_products)
{
	products(queries, rows, row_size, widen_u8, ret_products);
}

const struct dist_batch_kernels dist_batch_avx512 = {
	.pack = pack, .products_i8 = products_i8, .products_u8 = products_u8};

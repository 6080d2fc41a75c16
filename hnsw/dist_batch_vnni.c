/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/dist_batch_pack.h"

#include <immintrin.h>

/*
 * As in dist_vnni.c one side of the product is unsigned and the other signed, which two
 * of one signedness come to by an offset of 128. Here it is the queries that are
 * shifted, once, when they are packed; what that adds or takes away is 128 times
 * the sum of the row's values, with which its sums begin.
 */

/* Rows whose sums are in registers together: 16 of the 32, for two parts of 16 queries. */
#define ROWS 8

static void pack(enum vector_type type, const uint8_t *row, size_t row_size, uint32_t index,
		 uint8_t *queries)
{
	dist_batch_pack_fours(row, row_size, index, 0x80808080, queries);
}

typedef __m512i (*dot_fn)(__m512i sum, __m512i queries, __m512i row);

/* Queries are q + 128, unsigned. */
static inline __m512i dot_i8(__m512i sum, __m512i queries, __m512i row)
{
	return _mm512_dpbusd_epi32(sum, queries, row);
}

/* Queries are q - 128, signed. */
static inline __m512i dot_u8(__m512i sum, __m512i queries, __m512i row)
{
	return _mm512_dpbusd_epi32(sum, row, queries);
}

/* The sum of a row's values times that of 'each'; never beyond 128 * 255 a value. */
static ALWAYS_INLINE int32_t sum_row(const uint8_t *row, size_t row_size, dot_fn dot, __m512i each)
{
	__m512i sum = _mm512_setzero_si512();

	for (size_t i = 0; i < row_size; i += DIST_ALIGN)
		sum = dot(sum, each, _mm512_loadu_si512(row + i));
	return _mm512_reduce_add_epi32(sum);
}

static inline int32_t excess_i8(const uint8_t *row, size_t row_size)
{
	return -sum_row(row, row_size, dot_i8, _mm512_set1_epi8(-128));
}

static inline int32_t excess_u8(const uint8_t *row, size_t row_size)
{
	return -sum_row(row, row_size, dot_u8, _mm512_set1_epi8(-128));
}

typedef int32_t (*excess_fn)(const uint8_t *row, size_t row_size);

static inline __m512i spread(const uint8_t *row)
{
	int32_t four;

	memcpy(&four, row, sizeof(four));
	return _mm512_set1_epi32(four);
}

/* 'count' is a constant, so that sums stay in registers. */
static ALWAYS_INLINE void block(const uint8_t *queries, const uint8_t *row, uint64_t stride,
				const uint32_t count, size_t row_size, dot_fn dot, excess_fn excess,
				int32_t *ret_products)
{
	__m512i low[ROWS], high[ROWS];

	for (uint32_t i = 0; i < count; i++)
		low[i] = high[i] = _mm512_set1_epi32(excess(row + i * stride, row_size));
	for (size_t k = 0; k < row_size; k += 4, queries += DIST_BATCH_LINE) {
		__m512i first = _mm512_load_si512(queries);
		__m512i second = _mm512_load_si512(queries + 64);

		for (uint32_t i = 0; i < count; i++) {
			__m512i values = spread(row + i * stride + k);

			low[i] = dot(low[i], first, values);
			high[i] = dot(high[i], second, values);
		}
	}
	for (uint32_t i = 0; i < count; i++) {
		_mm512_storeu_si512(ret_products + i * DIST_BATCH_QUERIES, low[i]);
		_mm512_storeu_si512(ret_products + i * DIST_BATCH_QUERIES + 16, high[i]);
	}
}

static ALWAYS_INLINE void products(const uint8_t *queries, const struct dist_batch_rows *rows,
				   size_t row_size, dot_fn dot, excess_fn excess,
				   int32_t *ret_products)
{
	uint32_t i = 0;

	for (; i + ROWS <= rows->count; i += ROWS)
		block(queries, rows->first + i * rows->stride, rows->stride, ROWS, row_size, dot,
		      excess, ret_products + (size_t)i * DIST_BATCH_QUERIES);
	for (; i < rows->count; i++)
		block(queries, rows->first + i * rows->stride, rows->stride, 1, row_size, dot,
		      excess, ret_products + (size_t)i * DIST_BATCH_QUERIES);
}

static void products_i8(const uint8_t *queries, const struct dist_batch_rows *rows, size_t row_size,
			int32_t *ret_products)
{
	products(queries, rows, row_size, dot_i8, excess_i8, ret_products);
}

static void products_u8(const uint8_t *queries, const struct dist_batch_rows *rows, size_t row_size,
			int32_t *ret_products)
{
	products(queries, rows, row_size, dot_u8, excess_u8, ret_products);
}

const struct dist_batch_kernels dist_batch_vnni = {
	.pack = pack, .products_i8 = products_i8, .products_u8 = products_u8};

/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/dist_batch_pack.h"

#include <immintrin.h>

/* Eight queries a register; 4 of these and 2 rows leave some of the 16 registers to multiply in. */
#define PARTS 4
#define ROWS  2

static void pack(enum vector_type type, const uint8_t *row, size_t row_size, uint32_t index,
		 uint8_t *queries)
{
	dist_batch_pack_pairs(type, row, row_size, index, queries);
}

typedef __m256i (*widen_fn)(__m128i bytes);

static inline __m256i widen_i8(__m128i bytes)
{
	return _mm256_cvtepi8_epi16(bytes);
}

static inline __m256i widen_u8(__m128i bytes)
{
	return _mm256_cvtepu8_epi16(bytes);
}

/* Two values of a row, repeated and widened. */
static ALWAYS_INLINE __m256i spread(const uint8_t *row, widen_fn widen)
{
	int16_t pair;

	memcpy(&pair, row, sizeof(pair));
	return widen(_mm_set1_epi16(pair));
}

/* 'count' is a constant, so that sums stay in registers. */
static ALWAYS_INLINE void block(const uint8_t *queries, const uint8_t *row, uint64_t stride,
				const uint32_t count, size_t row_size, widen_fn widen,
				int32_t *ret_products)
{
	__m256i sums[ROWS][PARTS];

	for (uint32_t i = 0; i < count; i++)
		for (uint32_t j = 0; j < PARTS; j++)
			sums[i][j] = _mm256_setzero_si256();
	for (size_t k = 0; k < row_size; k += 2, queries += DIST_BATCH_LINE) {
		for (uint32_t i = 0; i < count; i++) {
			__m256i values = spread(row + i * stride + k, widen);

			for (uint32_t j = 0; j < PARTS; j++) {
				__m256i part = _mm256_load_si256((const void *)(queries + 32 * j));

				sums[i][j] = _mm256_add_epi32(sums[i][j],
							      _mm256_madd_epi16(values, part));
			}
		}
	}
	for (uint32_t i = 0; i < count; i++)
		for (uint32_t j = 0; j < PARTS; j++)
			_mm256_storeu_si256((void *)(ret_products + i * DIST_BATCH_QUERIES + 8 * j),
					    sums[i][j]);
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

const struct dist_batch_kernels dist_batch_avx2 = {
	.pack = pack, .products_i8 = products_i8, .products_u8 = products_u8};

/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/dist_batch_pack.h"

/* Queries stay rows; a row is compared with all of them while it is in the first-level cache. */
static void pack(enum vector_type type, const uint8_t *row, size_t row_size, uint32_t index,
		 uint8_t *queries)
{
	memcpy(queries + index * row_size, row, row_size);
}

static void products_i8(const uint8_t *queries, const struct dist_batch_rows *rows, size_t row_size,
			int32_t *ret_products)
{
	for (uint32_t i = 0; i < rows->count; i++) {
		const int8_t *row = (const int8_t *)rows->first + i * rows->stride;

		for (uint32_t j = 0; j < DIST_BATCH_QUERIES; j++) {
			const int8_t *query = (const int8_t *)queries + j * row_size;
			int32_t sum = 0;

			for (size_t k = 0; k < row_size; k++)
				sum += query[k] * row[k];
			*ret_products++ = sum;
		}
	}
}

static void products_u8(const uint8_t *queries, const struct dist_batch_rows *rows, size_t row_size,
			int32_t *ret_products)
{
	for (uint32_t i = 0; i < rows->count; i++) {
		const uint8_t *row = rows->first + i * rows->stride;

		for (uint32_t j = 0; j < DIST_BATCH_QUERIES; j++) {
			const uint8_t *query = queries + j * row_size;
			int32_t sum = 0;

			for (size_t k = 0; k < row_size; k++)
				sum += query[k] * row[k];
			*ret_products++ = sum;
		}
	}
}

const struct dist_batch_kernels dist_batch_scalar = {
	.pack = pack, .products_i8 = products_i8, .products_u8 = products_u8};

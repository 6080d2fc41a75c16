/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Dist batch pack - how kernels of batches have their queries
 *
 * A register holds 16 queries (AVX2: 8), the same few values of each, and is multiplied by those
 * values of one row, repeated. So queries are packed by values, not by queries: a
 * line of 128 bytes has four values of each of 32 queries, or two where values are
 * widened to 16 bits:
 *
 *      | query 0: values 0 to 3 | query 1: values 0 to 3 | ... | query 31 |
 *      | query 0: values 4 to 7 | ...
 *
 * The tiles of AMX want the second matrix in the first of these orders.
 *
 * Threads: any.
 */

#include "hnsw/dist_batch.h"

#include <stdint.h>
#include <string.h>

#define DIST_BATCH_LINE (DIST_BATCH_QUERIES * sizeof(uint32_t))

extern const struct dist_batch_kernels dist_batch_scalar;
#if defined(__x86_64__)
extern const struct dist_batch_kernels dist_batch_avx2;
extern const struct dist_batch_kernels dist_batch_avx512; /* its first instructions only */
extern const struct dist_batch_kernels dist_batch_vnni;
extern const struct dist_batch_kernels dist_batch_amx;
#endif

/* Four values a line, of which those bits are flipped that 'flip' has. */
static inline void dist_batch_pack_fours(const uint8_t *row, size_t row_size, uint32_t index,
					 uint32_t flip, uint8_t *queries)
{
	uint8_t *to = queries + index * sizeof(uint32_t);

	for (size_t i = 0; i < row_size; i += sizeof(uint32_t), to += DIST_BATCH_LINE) {
		uint32_t values;

		memcpy(&values, row + i, sizeof(values));
		values ^= flip;
		memcpy(to, &values, sizeof(values));
	}
}

/* Two values a line, widened. */
static inline void dist_batch_pack_pairs(enum vector_type type, const uint8_t *row, size_t row_size,
					 uint32_t index, uint8_t *queries)
{
	uint8_t *to = queries + index * sizeof(uint32_t);

	for (size_t i = 0; i < row_size; i += 2, to += DIST_BATCH_LINE) {
		int16_t values[2] = {row[i], row[i + 1]};

		if (type == VECTOR_I8) {
			values[0] = (int8_t)row[i];
			values[1] = (int8_t)row[i + 1];
		}
		memcpy(to, values, sizeof(values));
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/codes_order.h"
#include "hnsw/half.h"

#include <string.h>

static void hadamard_16(float *values, uint32_t size)
{
	for (uint32_t apart = 1; apart < 16; apart *= 2) {
		for (uint32_t i = 0; i < size; i++) {
			float a = values[i], b;

			if (i & apart)
				continue;
			b = values[i + apart];
			values[i] = a + b;
			values[i + apart] = a - b;
		}
	}
}

#include "hnsw/rotate.inc"

static void fill_table(const int8_t *steps, uint32_t bits, uint8_t *table)
{
	for (uint32_t i = 0; i < bits; i += 4) {
		for (unsigned signs = 0; signs < 16; signs++) {
			int sum = CODES_OFFSET;

			for (unsigned j = 0; j < 4; j++)
				sum += signs >> j & 1 ? steps[i + j] : -steps[i + j];
			*table++ = (uint8_t)sum;
		}
	}
}

static void sum_codes(const struct codes_query *query, const uint8_t *codes, const uint8_t *ahead,
		      uint32_t *sums)
{
	for (uint32_t i = 0; i < query->bits / 4 * 16; i += 16) {
		const uint8_t *table = query->table + i;

		if (i % CACHE_LINE == 0)
			__builtin_prefetch(ahead + i);
		for (uint32_t j = 0; j < 16; j++) {
			sums[j] += table[codes[i + j] & 15];
			sums[j + 16] += table[codes[i + j] >> 4];
		}
	}
}

static uint32_t score(const struct codes_query *query, const uint8_t *block, float from,
		      float bound, const uint8_t *ahead, float *ret_scores)
{
	uint32_t sums[CODES_BLOCK] = {0}, below = 0;
	uint16_t adds[CODES_BLOCK], gains[CODES_BLOCK];

	memcpy(adds, block, sizeof(adds));
	memcpy(gains, block + sizeof(adds), sizeof(gains));
	sum_codes(query, block + CODES_AT, ahead, sums);
	for (uint32_t i = 0; i < CODES_BLOCK; i++) {
		float sum = (float)((int32_t)sums[i] - codes_offset(query->bits)) * query->step;

		ret_scores[i] = (from + half_from_bf16(adds[i])) - half_from_bf16(gains[i]) * sum;
		below |= (uint32_t)(ret_scores[i] < bound) << i;
	}
	return below;
}

const struct codes_kernels codes_scalar = {
	.rotate = rotate_values, .fill_table = fill_table, .score = score};

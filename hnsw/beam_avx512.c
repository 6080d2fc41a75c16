/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/beam_insert.h"

#include <immintrin.h>

#define LANES 8

/* Keys that are looked at eight at a time; of more, halves are left out first. */
#define WINDOW 64

/* The first of these 'count' that is not less, or 'count'. */
static inline uint32_t count_less(const uint64_t *keys, uint32_t count, __m512i key)
{
	uint32_t less = 0;

	for (uint32_t i = 0; i < count; i += LANES) {
		uint32_t left = count - i;
		__mmask8 there = (__mmask8)(left < LANES ? (1U << left) - 1 : 0xFF);
		__m512i some = _mm512_maskz_loadu_epi64(there, keys + i);

		less += (uint32_t)__builtin_popcount(
			_mm512_mask_cmplt_epu64_mask(there, some, key));
	}
	return less;
}

/* Moves keys[from, to) on by one, from their end on. */
static inline void shift(uint64_t *keys, uint32_t from, uint32_t to)
{
	__mmask8 rest;

	for (; to - from >= LANES; to -= LANES)
		_mm512_storeu_si512(keys + to - LANES + 1, _mm512_loadu_si512(keys + to - LANES));
	rest = (__mmask8)((1U << (to - from)) - 1);
	_mm512_mask_storeu_epi64(keys + from + 1, rest,
				 _mm512_maskz_loadu_epi64(rest, keys + from));
}

void beam_insert_avx512(struct beam *beam, uint64_t key)
{
	uint32_t count = beam->count, low = 0, left, rank;

	for (left = count; left > WINDOW;) {
		uint32_t half = left / 2;

		low += beam->keys[low + half - 1] < key ? half : 0;
		left -= half;
	}
	rank = low + count_less(beam->keys + low, left, _mm512_set1_epi64((long long)key));
	if (count < beam->capacity)
		beam->count = count + 1;
	else
		count--;
	shift(beam->keys, rank, count);
	beam->keys[rank] = key;
	if (rank < beam->next)
		beam->next = rank;
}

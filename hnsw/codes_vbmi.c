/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/codes_order.h"

#include <immintrin.h>

/*
 * AVX512_VBMI looks up bytes in all 64 of a register. So what a line's look-ups find needn't stay
 * in the lane of its group: the codes are transposed first, once for both of their
 * halves, and then four groups' bytes of one neighbour are side by side, where VNNI
 * adds them to its sum in 32 bits. That takes 8 operations a line beside the loads,
 * where shuffles within lanes and sums in 16 bits take 11, and no sum overflows.
 */

#include "hnsw/codes_score.inc"

/* Where each byte comes from: byte 4 * j + g is that of neighbour j in group g. */
static inline __m512i transposed(void)
{
	return _mm512_setr_epi32(0x30201000, 0x31211101, 0x32221202, 0x33231303, 0x34241404,
				 0x35251505, 0x36261606, 0x37271707, 0x38281808, 0x39291909,
				 0x3a2a1a0a, 0x3b2b1b0b, 0x3c2c1c0c, 0x3d2d1d0d, 0x3e2e1e0e,
				 0x3f2f1f0f);
}

/* The lower half of each code, and its group's place in the line of the table. */
static ALWAYS_INLINE __m512i look_up(__m512i sums, __m512i codes, __m512i entries)
{
	const __m512i nibble = _mm512_set1_epi8(15), groups = _mm512_set1_epi32(0x30201000);
	__m512i index = _mm512_ternarylogic_epi32(codes, nibble, groups, /* a & b | c */ 0xea);

	return _mm512_dpbusd_epi32(sums, _mm512_permutexvar_epi8(index, entries),
				   _mm512_set1_epi8(1));
}

/* 16 neighbours each. Two of these take turns, as an addition has to wait for the one before. */
struct sums {
	__m512i first;
	__m512i second;
};

static_assert(CODES_BITS_ALIGN % 32 == 0, "lines come in pairs");

static ALWAYS_INLINE void add_line(struct sums *sums, const uint8_t *codes, const uint8_t *table)
{
	__m512i code = _mm512_permutexvar_epi8(transposed(), _mm512_loadu_si512(codes));
	__m512i entries = _mm512_loadu_si512(table);

	sums->first = look_up(sums->first, code, entries);
	sums->second = look_up(sums->second, _mm512_srli_epi16(code, 4), entries);
}

static uint32_t score(const struct codes_query *query, const uint8_t *block, float from,
		      float bound, const uint8_t *ahead, float *ret_scores)
{
	const uint32_t bytes = 4 * query->bits;
	const uint8_t *codes = block + CODES_AT;
	const __m512i zero = _mm512_setzero_si512();
	struct sums even = {zero, zero}, odd = {zero, zero};
	uint32_t below;

	for (uint32_t i = 0; i < bytes; i += 128) {
		__builtin_prefetch(ahead + i);
		add_line(&even, codes + i, query->table + i);
		__builtin_prefetch(ahead + i + 64);
		add_line(&odd, codes + i + 64, query->table + i + 64);
	}
	below = score_16(query, block, _mm512_add_epi32(even.first, odd.first), from, bound,
			 ret_scores);
	return below | score_16(query, block + 16 * sizeof(uint16_t),
				_mm512_add_epi32(even.second, odd.second), from, bound,
				ret_scores + 16)
			       << 16;
}

void codes_vbmi_use(struct codes_kernels *kernels)
{
	kernels->score = score;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/codes_order.h"

#include <immintrin.h>
#include <string.h>

/* Adds or takes away the partner: the upper of each pair is the one that is taken from. */
static inline __m512 pair(__m512 values, __m512 partners, __mmask16 uppers)
{
	return _mm512_mask_sub_ps(_mm512_add_ps(values, partners), uppers, partners, values);
}

static void hadamard_16(float *values, uint32_t size)
{
	for (uint32_t i = 0; i < size; i += 16) {
		__m512 v = _mm512_loadu_ps(values + i);

		v = pair(v, _mm512_permute_ps(v, 0xb1), 0xaaaa);
		v = pair(v, _mm512_permute_ps(v, 0x4e), 0xcccc);
		v = pair(v, _mm512_shuffle_f32x4(v, v, 0xb1), 0xf0f0);
		v = pair(v, _mm512_shuffle_f32x4(v, v, 0x4e), 0xff00);
		_mm512_storeu_ps(values + i, v);
	}
}

#include "hnsw/rotate.inc"

/* Adds step 'index' of each four where the pattern of signs has its bit, else takes it away. */
static ALWAYS_INLINE __m512i add_step(__m512i sums, __m512i steps, char index, __mmask64 minus)
{
	__m512i step = _mm512_shuffle_epi8(steps, _mm512_set1_epi8(index));

	return _mm512_mask_sub_epi8(_mm512_add_epi8(sums, step), minus, sums, step);
}

/* Four groups of four steps, which fill a line of the table, at a time. */
static void fill_table(const int8_t *steps, uint32_t bits, uint8_t *table)
{
	const __m512i spread = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);

	for (uint32_t i = 0; i < bits; i += 16) {
		__m128i loaded = _mm_loadu_si128((const void *)(steps + i));
		__m512i each = _mm512_permutexvar_epi32(spread, _mm512_castsi128_si512(loaded));
		__m512i sums = _mm512_set1_epi8(CODES_OFFSET);

		sums = add_step(sums, each, 0, 0x5555555555555555);
		sums = add_step(sums, each, 1, 0x3333333333333333);
		sums = add_step(sums, each, 2, 0x0f0f0f0f0f0f0f0f);
		sums = add_step(sums, each, 3, 0x00ff00ff00ff00ff);
		_mm512_storeu_si512(table + (size_t)4 * i, sums);
	}
}

/*
 * Bytes are summed two in a word: 'words' sums whole words, 'odd' their upper
 * bytes; what is left of the one without the other is the lower bytes' sum.
 */
struct sums {
	__m512i words;
	__m512i odd;
};

static inline void add_bytes(struct sums *sums, __m512i bytes)
{
	sums->words = _mm512_add_epi16(sums->words, bytes);
	sums->odd = _mm512_add_epi16(sums->odd, _mm512_srli_epi16(bytes, 8));
}

static inline __m128i fold_lanes(__m512i words)
{
	__m256i half = _mm256_add_epi16(_mm512_castsi512_si256(words),
					_mm512_extracti64x4_epi64(words, 1));

	return _mm_add_epi16(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

/* 16 sums of a run, in order. */
static inline __m512i finish_run(const struct sums *sums)
{
	__m512i even = _mm512_sub_epi16(sums->words, _mm512_slli_epi16(sums->odd, 8));
	__m128i low = fold_lanes(even), high = fold_lanes(sums->odd);

	return _mm512_cvtepu16_epi32(
		_mm256_set_m128i(_mm_unpackhi_epi16(low, high), _mm_unpacklo_epi16(low, high)));
}

static inline void sum_run(const uint8_t *table, const uint8_t *codes, const uint8_t *ahead,
			   uint32_t bytes, __m512i *first, __m512i *second)
{
	const __m512i nibble = _mm512_set1_epi8(15), zero = _mm512_setzero_si512();
	struct sums low = {zero, zero}, high = {zero, zero};

	for (uint32_t i = 0; i < bytes; i += 64) {
		__m512i code = _mm512_loadu_si512(codes + i);
		__m512i entries = _mm512_loadu_si512(table + i);

		__builtin_prefetch(ahead + i);
		add_bytes(&low, _mm512_shuffle_epi8(entries, _mm512_and_si512(code, nibble)));
		code = _mm512_and_si512(_mm512_srli_epi16(code, 4), nibble);
		add_bytes(&high, _mm512_shuffle_epi8(entries, code));
	}
	*first = _mm512_add_epi32(*first, finish_run(&low));
	*second = _mm512_add_epi32(*second, finish_run(&high));
}

#include "hnsw/codes_score.inc"

static uint32_t score(const struct codes_query *query, const uint8_t *block, float from,
		      float bound, const uint8_t *ahead, float *ret_scores)
{
	const uint32_t bytes = 4 * query->bits, run = 4 * CODES_RUN;
	__m512i first = _mm512_setzero_si512(), second = first;
	uint32_t below;

	for (uint32_t at = 0; at < bytes; at += run)
		sum_run(query->table + at, block + CODES_AT + at, ahead + at, MIN(run, bytes - at),
			&first, &second);
	below = score_16(query, block, first, from, bound, ret_scores);
	return below |
	       score_16(query, block + 16 * sizeof(uint16_t), second, from, bound, ret_scores + 16)
		       << 16;
}

const struct codes_kernels codes_avx512 = {
	.rotate = rotate_values, .fill_table = fill_table, .score = score};

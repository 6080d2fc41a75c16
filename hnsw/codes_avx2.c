/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/codes_order.h"

#include <immintrin.h>
#include <string.h>

/* Adds or takes away the partner: the upper of each pair is the one that is taken from. */
#define PAIR(values, partners, uppers)                                                             \
	_mm256_blend_ps(_mm256_add_ps(values, partners), _mm256_sub_ps(partners, values), uppers)

static inline __m256 hadamard_8(__m256 v)
{
	__m256 partners = _mm256_permute_ps(v, 0xb1);

	v = PAIR(v, partners, 0xaa);
	partners = _mm256_permute_ps(v, 0x4e);
	v = PAIR(v, partners, 0xcc);
	partners = _mm256_permute2f128_ps(v, v, 0x01);
	return PAIR(v, partners, 0xf0);
}

static void hadamard_16(float *values, uint32_t size)
{
	for (uint32_t i = 0; i < size; i += 16) {
		__m256 low = hadamard_8(_mm256_loadu_ps(values + i));
		__m256 high = hadamard_8(_mm256_loadu_ps(values + i + 8));

		_mm256_storeu_ps(values + i, _mm256_add_ps(low, high));
		_mm256_storeu_ps(values + i + 8, _mm256_sub_ps(low, high));
	}
}

#include "hnsw/rotate.inc"

/* Step 'index' of the four in each half, times the sign that each pattern has for it. */
static ALWAYS_INLINE __m256i signed_step(__m256i steps, char index, __m128i signs)
{
	__m256i step = _mm256_shuffle_epi8(steps, _mm256_set1_epi8(index));

	return _mm256_sign_epi8(step, _mm256_broadcastsi128_si256(signs));
}

/* Two groups of four steps at a time: 32 bytes of the table. */
static void fill_table(const int8_t *steps, uint32_t bits, uint8_t *table)
{
	const __m128i signs0 = _mm_set1_epi16(0x01ff);
	const __m128i signs1 = _mm_set1_epi32(0x0101ffff);
	const __m128i signs2 = _mm_set1_epi64x(0x01010101ffffffff);
	const __m128i signs3 = _mm_set_epi64x(0x0101010101010101, -1);

	for (uint32_t i = 0; i < bits; i += 8) {
		__m256i loaded =
			_mm256_broadcastsi128_si256(_mm_loadl_epi64((const void *)(steps + i)));
		__m256i each = _mm256_permutevar8x32_epi32(
			loaded, _mm256_set_epi32(1, 1, 1, 1, 0, 0, 0, 0));
		__m256i sums = _mm256_set1_epi8(CODES_OFFSET);

		sums = _mm256_add_epi8(sums, signed_step(each, 0, signs0));
		sums = _mm256_add_epi8(sums, signed_step(each, 1, signs1));
		sums = _mm256_add_epi8(sums, signed_step(each, 2, signs2));
		sums = _mm256_add_epi8(sums, signed_step(each, 3, signs3));
		_mm256_storeu_si256((void *)(table + (size_t)4 * i), sums);
	}
}

/*
 * Bytes are summed two in a word: 'words' sums whole words, 'odd' their upper
 * bytes; what is left of the one without the other is the lower bytes' sum.
 */
struct sums {
	__m256i words;
	__m256i odd;
};

static inline void add_bytes(struct sums *sums, __m256i bytes)
{
	sums->words = _mm256_add_epi16(sums->words, bytes);
	sums->odd = _mm256_add_epi16(sums->odd, _mm256_srli_epi16(bytes, 8));
}

static inline __m128i fold_lanes(__m256i words)
{
	return _mm_add_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}

/* Adds 16 sums of a run, in order. */
static inline void finish_run(const struct sums *sums, __m256i *totals)
{
	__m256i even = _mm256_sub_epi16(sums->words, _mm256_slli_epi16(sums->odd, 8));
	__m128i low = fold_lanes(even), high = fold_lanes(sums->odd);

	totals[0] =
		_mm256_add_epi32(totals[0], _mm256_cvtepu16_epi32(_mm_unpacklo_epi16(low, high)));
	totals[1] =
		_mm256_add_epi32(totals[1], _mm256_cvtepu16_epi32(_mm_unpackhi_epi16(low, high)));
}

static inline void sum_run(const uint8_t *table, const uint8_t *codes, const uint8_t *ahead,
			   uint32_t bytes, __m256i *totals)
{
	const __m256i nibble = _mm256_set1_epi8(15), zero = _mm256_setzero_si256();
	struct sums low = {zero, zero}, high = {zero, zero};

	for (uint32_t i = 0; i < bytes; i += 32) {
		__m256i code = _mm256_loadu_si256((const void *)(codes + i));
		__m256i entries = _mm256_loadu_si256((const void *)(table + i));

		if (i % CACHE_LINE == 0)
			__builtin_prefetch(ahead + i);
		add_bytes(&low, _mm256_shuffle_epi8(entries, _mm256_and_si256(code, nibble)));
		code = _mm256_and_si256(_mm256_srli_epi16(code, 4), nibble);
		add_bytes(&high, _mm256_shuffle_epi8(entries, code));
	}
	finish_run(&low, totals);
	finish_run(&high, totals + 2);
}

static inline __m256 load_bf16(const uint8_t *from)
{
	__m128i halves = _mm_loadu_si128((const void *)from);

	return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}

static inline uint32_t score_8(const struct codes_query *query, const uint8_t *block, __m256i sums,
			       float from, float bound, float *ret_scores)
{
	__m256i exact = _mm256_sub_epi32(sums, _mm256_set1_epi32(codes_offset(query->bits)));
	__m256 sum = _mm256_mul_ps(_mm256_cvtepi32_ps(exact), _mm256_set1_ps(query->step));
	__m256 base = _mm256_add_ps(_mm256_set1_ps(from), load_bf16(block));
	__m256 gain = load_bf16(block + CODES_BLOCK * sizeof(uint16_t));
	__m256 scores = _mm256_sub_ps(base, _mm256_mul_ps(gain, sum));

	_mm256_storeu_ps(ret_scores, scores);
	return (uint32_t)_mm256_movemask_ps(
		_mm256_cmp_ps(scores, _mm256_set1_ps(bound), _CMP_LT_OQ));
}

static uint32_t score(const struct codes_query *query, const uint8_t *block, float from,
		      float bound, const uint8_t *ahead, float *ret_scores)
{
	const uint32_t bytes = 4 * query->bits, run = 4 * CODES_RUN;
	const __m256i zero = _mm256_setzero_si256();
	__m256i totals[4] = {zero, zero, zero, zero};
	uint32_t below = 0;

	for (uint32_t at = 0; at < bytes; at += run)
		sum_run(query->table + at, block + CODES_AT + at, ahead + at, MIN(run, bytes - at),
			totals);
	for (uint32_t i = 0; i < 4; i++)
		below |= score_8(query, block + 8 * i * sizeof(uint16_t), totals[i], from, bound,
				 ret_scores + (size_t)8 * i)
			 << 8 * i;
	return below;
}

const struct codes_kernels codes_avx2 = {
	.rotate = rotate_values, .fill_table = fill_table, .score = score};

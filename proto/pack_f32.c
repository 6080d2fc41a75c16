/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/pack_f32.h"

#include "base/byteorder.h"
#include "base/defs.h"

#include <immintrin.h>
#include <stdatomic.h>
#include <stdlib.h>

#define MARKER 0xca

static bool decode_scalar(const uint8_t *from, float *to, size_t count)
{
	uint8_t difference = 0;

	for (size_t i = 0; i < count; i++, from += PACK_F32_SIZE) {
		difference |= from[0] ^ MARKER;
		to[i] = load_bef32(from + 1);
	}
	return !difference;
}

static void encode_scalar(const float *from, uint8_t *to, size_t count)
{
	for (size_t i = 0; i < count; i++, to += PACK_F32_SIZE) {
		to[0] = MARKER;
		store_bef32(to + 1, from[i]);
	}
}

/*
 * AVX2: eight elements are 40 bytes, 20 a lane. A lane's 20 bytes are loaded
 * as two overlapping halves, bytes 0 to 15 (all four markers, elements 0 to 2)
 * and bytes 4 to 19 (element 3 in its last four), so nothing is read or written
 * outside of the 40.
 *
 *      lane bytes   0 1  4 5 6  9 10 11 14 15 16 19
 *                   M [e0 ] M [e1 ] M  [e2 ] M [e3 ]
 */
#define AVX2_STEP 8

#define TARGET_AVX2 __attribute__((target("avx2")))

TARGET_AVX2 static __m256i load_lanes(const uint8_t *low, const uint8_t *high)
{
	return _mm256_inserti128_si256(
		_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)low)),
		_mm_loadu_si128((const __m128i *)(const void *)high), 1);
}

TARGET_AVX2 static bool decode_avx2(const uint8_t *from, float *to, size_t count)
{
	const __m256i first = _mm256_broadcastsi128_si256(
		_mm_setr_epi8(4, 3, 2, 1, 9, 8, 7, 6, 14, 13, 12, 11, -1, -1, -1, -1));
	const __m256i last = _mm256_broadcastsi128_si256(
		_mm_setr_epi8(-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 15, 14, 13, 12));
	const __m256i marker = _mm256_set1_epi8((char)MARKER);
	unsigned found = UINT32_MAX;
	size_t i;

	for (i = 0; i + AVX2_STEP <= count; i += AVX2_STEP, from += AVX2_STEP * PACK_F32_SIZE) {
		__m256i head = load_lanes(from, from + 20);
		__m256i tail = load_lanes(from + 4, from + 24);

		found &= (unsigned)_mm256_movemask_epi8(_mm256_cmpeq_epi8(head, marker));
		_mm256_storeu_si256((__m256i *)(void *)(to + i),
				    _mm256_or_si256(_mm256_shuffle_epi8(head, first),
						    _mm256_shuffle_epi8(tail, last)));
	}
	/* Markers stand at bytes 0, 5, 10 and 15 of each lane's head. */
	return decode_scalar(from, to + i, count - i) && (found & 0x84218421) == 0x84218421;
}

TARGET_AVX2 static void store_lanes(uint8_t *low, uint8_t *high, __m256i value)
{
	_mm_storeu_si128((__m128i *)(void *)low, _mm256_castsi256_si128(value));
	_mm_storeu_si128((__m128i *)(void *)high, _mm256_extracti128_si256(value, 1));
}

TARGET_AVX2 static void encode_avx2(const float *from, uint8_t *to, size_t count)
{
	const char m = (char)MARKER;
	const __m256i head = _mm256_broadcastsi128_si256(
		_mm_setr_epi8(-1, 3, 2, 1, 0, -1, 7, 6, 5, 4, -1, 11, 10, 9, 8, -1));
	const __m256i head_markers = _mm256_broadcastsi128_si256(
		_mm_setr_epi8(m, 0, 0, 0, 0, m, 0, 0, 0, 0, m, 0, 0, 0, 0, m));
	const __m256i tail = _mm256_broadcastsi128_si256(
		_mm_setr_epi8(0, -1, 7, 6, 5, 4, -1, 11, 10, 9, 8, -1, 15, 14, 13, 12));
	const __m256i tail_markers = _mm256_broadcastsi128_si256(
		_mm_setr_epi8(0, m, 0, 0, 0, 0, m, 0, 0, 0, 0, m, 0, 0, 0, 0));
	size_t i;

	for (i = 0; i + AVX2_STEP <= count; i += AVX2_STEP, to += AVX2_STEP * PACK_F32_SIZE) {
		__m256i floats = _mm256_loadu_si256((const __m256i *)(const void *)(from + i));

		store_lanes(to, to + 20,
			    _mm256_or_si256(_mm256_shuffle_epi8(floats, head), head_markers));
		store_lanes(to + 4, to + 24,
			    _mm256_or_si256(_mm256_shuffle_epi8(floats, tail), tail_markers));
	}
	encode_scalar(from + i, to, count - i);
}

/*
 * AVX-512 with VBMI, whose byte permutation crosses lanes: sixteen elements are
 * 80 bytes. For decoding they are loaded as bytes 0 to 63 and 16 to 79, and one
 * permutation picks from both.
 */
#define AVX512_STEP 16

#define TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512vbmi")))

/* Bytes 0, 5 .. 60 of the first load, and 65, 70, 75 in the second, which begins at 16. */
#define AVX512_MARKERS_LOW  UINT64_C(0x1084210842108421)
#define AVX512_MARKERS_HIGH (UINT64_C(1) << 49 | UINT64_C(1) << 54 | UINT64_C(1) << 59)

/*
 * Where byte i of the result comes from. Decoding: below 64 from the first
 * load, above from the second. Encoding: from the floats; of marker bytes it
 * does not matter.
 */
static const uint8_t decode_order[64] __attribute__((aligned(64))) = {
#define BYTE(at)    ((at) < 64 ? (at) : 64 + (at)-16)
#define ELEMENT(i)  BYTE(5 * (i) + 4), BYTE(5 * (i) + 3), BYTE(5 * (i) + 2), BYTE(5 * (i) + 1)
#define ELEMENTS(i) ELEMENT(i), ELEMENT(i + 1), ELEMENT(i + 2), ELEMENT(i + 3)
	ELEMENTS(0), ELEMENTS(4), ELEMENTS(8), ELEMENTS(12)
#undef ELEMENTS
#undef ELEMENT
#undef BYTE
};

static const uint8_t encode_order[128] __attribute__((aligned(64))) = {
#define ELEMENT(i)  0, 4 * (i) + 3, 4 * (i) + 2, 4 * (i) + 1, 4 * (i)
#define ELEMENTS(i) ELEMENT(i), ELEMENT(i + 1), ELEMENT(i + 2), ELEMENT(i + 3)
	ELEMENTS(0), ELEMENTS(4), ELEMENTS(8), ELEMENTS(12)
#undef ELEMENTS
#undef ELEMENT
};

TARGET_AVX512 static bool decode_avx512(const uint8_t *from, float *to, size_t count)
{
	const __m512i order = _mm512_load_si512(decode_order);
	const __m512i marker = _mm512_set1_epi8((char)MARKER);
	__mmask64 wrong = 0;
	size_t i;

	for (i = 0; i + AVX512_STEP <= count;
	     i += AVX512_STEP, from += AVX512_STEP * PACK_F32_SIZE) {
		__m512i low = _mm512_loadu_si512(from);
		__m512i high = _mm512_loadu_si512(from + 16);

		wrong |= _mm512_mask_cmpneq_epi8_mask(AVX512_MARKERS_LOW, low, marker);
		wrong |= _mm512_mask_cmpneq_epi8_mask(AVX512_MARKERS_HIGH, high, marker);
		_mm512_storeu_si512(to + i, _mm512_permutex2var_epi8(low, order, high));
	}
	return decode_scalar(from, to + i, count - i) && !wrong;
}

TARGET_AVX512 static void encode_avx512(const float *from, uint8_t *to, size_t count)
{
	const __m512i low_order = _mm512_load_si512(encode_order);
	const __m512i high_order = _mm512_load_si512(encode_order + 64);
	const __m512i marker = _mm512_set1_epi8((char)MARKER);
	size_t i;

	for (i = 0; i + AVX512_STEP <= count; i += AVX512_STEP, to += AVX512_STEP * PACK_F32_SIZE) {
		__m512i floats = _mm512_loadu_si512(from + i);
		__m512i low = _mm512_mask_permutexvar_epi8(marker, ~AVX512_MARKERS_LOW, low_order,
							   floats);
		/* Bytes 64 to 79: markers at 65, 70 and 75. */
		__m512i high = _mm512_mask_permutexvar_epi8(
			marker, ~(UINT64_C(1) << 1 | UINT64_C(1) << 6 | UINT64_C(1) << 11),
			high_order, floats);

		_mm512_storeu_si512(to, low);
		_mm_storeu_si128((__m128i *)(void *)(to + 64), _mm512_castsi512_si128(high));
	}
	encode_scalar(from + i, to, count - i);
}

static const struct pack_f32_table tables[] = {
	{.isa = "avx512", .decode = decode_avx512, .encode = encode_avx512},
	{.isa = "avx2", .decode = decode_avx2, .encode = encode_avx2},
	{.isa = "scalar", .decode = decode_scalar, .encode = encode_scalar},
};

static bool cpu_has(const char *isa)
{
	if (!strcmp(isa, "avx512"))
		return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vbmi");
	if (!strcmp(isa, "avx2"))
		return __builtin_cpu_supports("avx2");
	return true;
}

const struct pack_f32_table *pack_f32_find(const char *isa)
{
	for (size_t i = 0; i < ARRAY_COUNT(tables); i++)
		if (!strcmp(tables[i].isa, isa) && cpu_has(isa))
			return &tables[i];
	return NULL;
}

/* What TERN_ISA names and the processor has, else the first of the list that it has. */
static NOINLINE const struct pack_f32_table *choose(void)
{
	const char *isa = getenv("TERN_ISA");
	const struct pack_f32_table *table = isa ? pack_f32_find(isa) : NULL;

	for (size_t i = 0; !table && i < ARRAY_COUNT(tables); i++)
		table = pack_f32_find(tables[i].isa);
	return table;
}

/*
 * Two threads may both choose at the first use; they choose the same, and the
 * tables are constant, so relaxed order is enough.
 */
const struct pack_f32_table *pack_f32_table(void)
{
	static _Atomic(const struct pack_f32_table *) chosen;
	const struct pack_f32_table *table = atomic_load_explicit(&chosen, memory_order_relaxed);

	if (unlikely(!table)) {
		table = choose();
		atomic_store_explicit(&chosen, table, memory_order_relaxed);
	}
	return table;
}

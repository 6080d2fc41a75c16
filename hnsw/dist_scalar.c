/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/dist_order.h"
#include "hnsw/half.h"

#include <stdint.h>
#include <string.h>

/*
 * Plain C for any processor. The floats are in the compiler's own vectors of four,
 * which it maps to what every processor of the family has (SSE2 on x86-64).
 */

typedef float quad __attribute__((vector_size(16)));
typedef int32_t words __attribute__((vector_size(16)));
typedef uint16_t halves __attribute__((vector_size(16)));

struct lanes {
	quad of[4];
};

static inline struct lanes lanes_zero(void)
{
	return (struct lanes){0};
}

static inline struct lanes lanes_add(struct lanes a, struct lanes b)
{
	return (struct lanes){
		{a.of[0] + b.of[0], a.of[1] + b.of[1], a.of[2] + b.of[2], a.of[3] + b.of[3]}};
}

static inline struct lanes lanes_sub(struct lanes a, struct lanes b)
{
	return (struct lanes){
		{a.of[0] - b.of[0], a.of[1] - b.of[1], a.of[2] - b.of[2], a.of[3] - b.of[3]}};
}

static inline struct lanes lanes_mul(struct lanes a, struct lanes b)
{
	return (struct lanes){
		{a.of[0] * b.of[0], a.of[1] * b.of[1], a.of[2] * b.of[2], a.of[3] * b.of[3]}};
}

static inline float lanes_fold(struct lanes sum)
{
	quad quarter = (sum.of[0] + sum.of[2]) + (sum.of[1] + sum.of[3]);

	return (quarter[0] + quarter[2]) + (quarter[1] + quarter[3]);
}

static inline struct lanes load_f32(const void *row, size_t i)
{
	struct lanes lanes;

	memcpy(&lanes, (const uint8_t *)row + i * sizeof(float), sizeof(lanes));
	return lanes;
}

/* half_from_f16() of four at once: left to itself the compiler takes one after the other. */
static inline quad quad_from_f16(words half)
{
	words magnitude = half & 0x7fff;
	words tiny = (words)((quad)(magnitude | 0x3f000000) - 0.5F);
	words special = (magnitude >= HALF_F16_INF) & 112 << 23;
	words quiet = (magnitude > HALF_F16_INF) & 1 << 22;
	words normal = ((magnitude << 13) + (112 << 23) + special) | quiet;
	words is_tiny = magnitude < 0x0400;

	return (quad)((half << 16 & INT32_MIN) | (is_tiny & tiny) | (~is_tiny & normal));
}

/* 16 halves, each in the lower half of a word. */
struct block {
	words of[4];
};

static inline struct block load_halves(const void *row, size_t i)
{
	const halves zero = {0};
	halves low, high;

	memcpy(&low, (const uint16_t *)row + i, sizeof(low));
	memcpy(&high, (const uint16_t *)row + i + 8, sizeof(high));
	return (struct block){{
		(words)__builtin_shufflevector(low, zero, 0, 8, 1, 9, 2, 10, 3, 11),
		(words)__builtin_shufflevector(low, zero, 4, 12, 5, 13, 6, 14, 7, 15),
		(words)__builtin_shufflevector(high, zero, 0, 8, 1, 9, 2, 10, 3, 11),
		(words)__builtin_shufflevector(high, zero, 4, 12, 5, 13, 6, 14, 7, 15),
	}};
}

static inline struct lanes load_f16(const void *row, size_t i)
{
	struct block block = load_halves(row, i);
	struct lanes lanes;

	for (unsigned j = 0; j < ARRAY_COUNT(lanes.of); j++)
		lanes.of[j] = quad_from_f16(block.of[j]);
	return lanes;
}

static inline struct lanes load_bf16(const void *row, size_t i)
{
	struct block block = load_halves(row, i);
	struct lanes lanes;

	for (unsigned j = 0; j < ARRAY_COUNT(lanes.of); j++)
		lanes.of[j] = (quad)(block.of[j] << 16);
	return lanes;
}

static inline struct lanes load_i8(const void *row, size_t i)
{
	const int8_t *bytes = (const int8_t *)row + i;
	float values[DIST_PAD];

	for (unsigned j = 0; j < DIST_PAD; j++)
		values[j] = (float)bytes[j];
	return load_f32(values, 0);
}

static inline struct lanes load_u8(const void *row, size_t i)
{
	const uint8_t *bytes = (const uint8_t *)row + i;
	float values[DIST_PAD];

	for (unsigned j = 0; j < DIST_PAD; j++)
		values[j] = (float)bytes[j];
	return load_f32(values, 0);
}

static float pair_l2_i8(const void *a, const void *b, size_t row_size)
{
	const int8_t *left = a, *right = b;
	int32_t sum = 0;

	for (size_t i = 0; i < row_size; i++)
		sum += (left[i] - right[i]) * (left[i] - right[i]);
	return (float)sum;
}

static float pair_ip_i8(const void *a, const void *b, size_t row_size)
{
	const int8_t *left = a, *right = b;
	int32_t sum = 0;

	for (size_t i = 0; i < row_size; i++)
		sum += left[i] * right[i];
	return (float)sum;
}

static float pair_l2_u8(const void *a, const void *b, size_t row_size)
{
	const uint8_t *left = a, *right = b;
	int32_t sum = 0;

	for (size_t i = 0; i < row_size; i++)
		sum += (left[i] - right[i]) * (left[i] - right[i]);
	return (float)sum;
}

static float pair_ip_u8(const void *a, const void *b, size_t row_size)
{
	const uint8_t *left = a, *right = b;
	int32_t sum = 0;

	for (size_t i = 0; i < row_size; i++)
		sum += left[i] * right[i];
	return (float)sum;
}

/* Bits of pairs, then of fours and of bytes, counted in all parts of a word at once. */
static inline uint64_t count_bits(uint64_t bits)
{
	bits -= bits >> 1 & UINT64_C(0x5555555555555555);
	bits = (bits & UINT64_C(0x3333333333333333)) + (bits >> 2 & UINT64_C(0x3333333333333333));
	bits = (bits + (bits >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
	return bits * UINT64_C(0x0101010101010101) >> 56;
}

static float pair_l2_b1(const void *a, const void *b, size_t row_size)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < row_size; i += sizeof(uint64_t)) {
		uint64_t left, right;

		memcpy(&left, (const uint8_t *)a + i, sizeof(left));
		memcpy(&right, (const uint8_t *)b + i, sizeof(right));
		sum += count_bits(left ^ right);
	}
	return (float)sum;
}

#include "hnsw/dist_float.inc"

const struct dist_table dist_scalar = DIST_TABLE("scalar");

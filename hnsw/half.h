/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Half - the two floats of 16 bits, by plain code
 *
 * f16 is IEEE 754 binary16: 5 bits of exponent, 10 of fraction, up to 65504. bf16
 * is the upper half of an f32. To f32 both are exact; from f32 they round to
 * nearest, ties to even. Subnormals are kept, infinities and NaNs stay what they
 * are, and f16's results are those of the processor's own instructions (VCVTPH2PS,
 * VCVTPS2PH) to the bit: these make a signalling NaN quiet.
 *
 * Nothing here branches in a way that keeps a compiler from doing many at once.
 *
 * Threads: any.
 */

#include <stdint.h>
#include <string.h>

#define HALF_F16_INF  UINT16_C(0x7c00)
#define HALF_BF16_INF UINT16_C(0x7f80)

/* The least magnitude that an f16 rounds to infinity: halfway from 65504 to 65536. */
#define HALF_F16_OVERFLOW 65520.0F

/* The same for bf16: halfway from its greatest to 2^128. */
#define HALF_BF16_OVERFLOW 0x1.ffp127F

static inline uint32_t half_bits(float value)
{
	uint32_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

static inline float half_float(uint32_t bits)
{
	float value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

/*
 * A subnormal f16 counts units of 2^-24, which is what the last bit of an f32
 * next to 0.5 is worth: put there and with 0.5 taken away, it is right.
 */
static inline float half_from_f16(uint16_t half)
{
	uint32_t magnitude = half & 0x7fff;
	uint32_t tiny = half_bits(half_float(0x3f000000 | magnitude) - 0.5F);
	uint32_t normal = (magnitude << 13) + (UINT32_C(112) << 23);
	uint32_t special = magnitude >= HALF_F16_INF ? UINT32_C(112) << 23 : 0;
	uint32_t quiet = magnitude > HALF_F16_INF ? UINT32_C(1) << 22 : 0;
	uint32_t bits = magnitude < 0x0400 ? tiny : (normal + special) | quiet;

	return half_float((uint32_t)(half & 0x8000) << 16 | bits);
}

static inline uint16_t half_to_f16(float value)
{
	uint32_t bits = half_bits(value);
	uint32_t magnitude = bits & 0x7fffffff;
	uint32_t tiny = half_bits(half_float(magnitude) + 0.5F) - 0x3f000000;
	uint32_t odd = magnitude >> 13 & 1;
	uint32_t half = (magnitude - (UINT32_C(112) << 23) + 0x0fff + odd) >> 13;

	half = magnitude < 0x38800000 ? tiny : half; /* 2^-14: below are f16's subnormals */
	half = magnitude >= half_bits(HALF_F16_OVERFLOW) ? HALF_F16_INF : half;
	half = magnitude > 0x7f800000 ? 0x7e00 | (magnitude >> 13 & 0x03ff) : half;
	return (uint16_t)(bits >> 16 & 0x8000) | (uint16_t)half;
}

static inline float half_from_bf16(uint16_t half)
{
	return half_float((uint32_t)half << 16);
}

static inline uint16_t half_to_bf16(float value)
{
	uint32_t bits = half_bits(value);

	uint32_t half = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;

	return (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? bits >> 16 | 0x0040 : half);
}

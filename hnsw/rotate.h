/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Rotate - a random rotation that costs as little as reading the vector
 *
 * Codes of one bit a value (hnsw/codes.h) want vectors whose length is spread evenly
 * over their values. A rotation drawn at random does that to any vector, and
 * changes no distance. This one is made of steps that are additions:
 *
 *   signs     each value keeps or changes its sign
 *   Hadamard  (a, b) becomes (a + b, a - b), for pairs 1, 2, 4 .. apart, over a power of two
 *   fold      (a, b) becomes (a + b, a - b) / sqrt 2, for the halves of the vector
 *
 * A vector is padded with zeros to 'size' values. If that is a power of two, two
 * rounds of signs and Hadamard do. Otherwise four rounds of signs and Hadamard
 * go over as many values as the largest power of two below, the first ones
 * and the last ones in turn, and every second round ends with a fold.
 *
 * The signs come from one fixed seed: the rotation is a part of the segment's
 * format. Each value is the same sum, whatever the instructions, so every kernel gives the same
 * bits.
 *
 * Threads: any.
 */

#include "base/defs.h"

#include <stdint.h>

/* Sizes are multiples of this. */
#define ROTATE_ALIGN 64

/* The longest vector, which is a multiple of ROTATE_ALIGN itself. */
#define ROTATE_SIZE_MAX 4096

#define ROTATE_ROUNDS 4

/* Values of a rotated vector of 'dim'. */
static inline uint32_t rotate_size(uint32_t dim)
{
	return (uint32_t)align_up(dim, ROTATE_ALIGN);
}

/* What the rotation of one size is made of. */
struct rotate {
	uint32_t size;
	uint32_t part; /* values of a Hadamard step: a power of two, at most 'size' */
	uint32_t rounds;
	float scale;           /* one over the square root of 'part' */
	const uint32_t *signs; /* ROTATE_SIZE_MAX a round: 0, or the sign bit of a float */
};

/* 'size' is a multiple of ROTATE_ALIGN up to ROTATE_SIZE_MAX. */
struct rotate rotate_of(uint32_t size);

/* Rotates 'rotate->size' values in place; they lie at a multiple of 64 bytes. */
typedef void (*rotate_fn)(const struct rotate *rotate, float *values);

/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/rotate.h"

#include "base/check.h"
#include "base/rand.h"
#include "hnsw/segment.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>

/* A part of the format: another seed is another rotation. */
#define ROTATE_SEED UINT64_C(0x7465726e)

#define SIGN_BIT (UINT32_C(1) << 31)

static_assert(SEGMENT_DIM_MAX <= ROTATE_SIZE_MAX, "every vector can be rotated");

static uint32_t signs[ROTATE_ROUNDS][ROTATE_SIZE_MAX];
static pthread_once_t drawn_once = PTHREAD_ONCE_INIT;

/* Bit i % 64 of the generator's number i / 64 says the sign of value i, round after round. */
static void draw_signs(void)
{
	struct rand rand;

	rand_init(&rand, ROTATE_SEED);
	for (uint32_t round = 0; round < ROTATE_ROUNDS; round++) {
		for (uint32_t i = 0; i < ROTATE_SIZE_MAX; i += 64) {
			uint64_t bits = rand_next(&rand);

			for (uint32_t j = 0; j < 64; j++)
				signs[round][i + j] = bits >> j & 1 ? SIGN_BIT : 0;
		}
	}
}

struct rotate rotate_of(uint32_t size)
{
	uint32_t part = ROTATE_ALIGN;

	CHECK(size >= ROTATE_ALIGN && size <= ROTATE_SIZE_MAX && size % ROTATE_ALIGN == 0);
	pthread_once(&drawn_once, draw_signs);
	while (2 * part <= size)
		part *= 2;
	return (struct rotate){
		.size = size,
		.part = part,
		.rounds = part == size ? 2 : ROTATE_ROUNDS,
		.scale = 1 / sqrtf((float)part),
		.signs = signs[0],
	};
}

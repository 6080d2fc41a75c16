/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/codes.h"

#include "base/check.h"
#include "hnsw/codes_order.h"
#include "hnsw/dist.h"
#include "hnsw/half.h"

#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

/* 1.5 * 2^23: adding it rounds to the nearest integer, ties to even, taking it away leaves that. */
#define ROUND_MAGIC 12582912.0F

static const struct {
	const char *isa;
	const struct codes_kernels *kernels;
} tables[] = {
#if defined(__x86_64__)
	{"amx", &codes_avx512},
	{"avx512", &codes_avx512},
	{"avx2", &codes_avx2},
#endif
	{"scalar", &codes_scalar},
};

#if defined(__x86_64__)
static struct codes_kernels widest_kernels;
static pthread_once_t widest_once = PTHREAD_ONCE_INIT;

static void widest_init(void)
{
	widest_kernels = codes_avx512;
	if (__builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni"))
		codes_vbmi_use(&widest_kernels);
}
#endif

/* AVX-512 is many instruction sets; this has the best kernels of those that are here. */
static const struct codes_kernels *widest(const struct codes_kernels *kernels)
{
#if defined(__x86_64__)
	if (kernels == &codes_avx512) {
		pthread_once(&widest_once, widest_init);
		return &widest_kernels;
	}
#endif
	return kernels;
}

const struct codes_kernels *codes_find(const char *isa)
{
	for (size_t i = 0; i < ARRAY_COUNT(tables); i++)
		if (strcmp(tables[i].isa, isa) == 0)
			return dist_find(isa) ? widest(tables[i].kernels) : NULL;
	return NULL;
}

static const struct codes_kernels *chosen;
static pthread_once_t chosen_once = PTHREAD_ONCE_INIT;

/* Once, as asking the processor leaves a virtual machine, which takes longer than a search. */
static void choose(void)
{
	chosen = codes_find(dist_best()->isa);
	CHECK(chosen);
}

const struct codes_kernels *codes_best(void)
{
	pthread_once(&chosen_once, choose);
	return chosen;
}

struct codes_space codes_space(enum metric metric, uint32_t dim, uint32_t bits, const float *mean)
{
	uint32_t size = rotate_size(dim);

	CHECK(bits > 0 && bits % CODES_BITS_ALIGN == 0 && bits <= size);
	return (struct codes_space){
		.metric = metric,
		.dim = dim,
		.bits = bits,
		.mean = mean,
		.rotate = rotate_of(size),
	};
}

/* The rotated difference of two vectors. */
static void rotate_difference(const struct codes_space *space, const float *a, const float *b,
			      float *ret_rotated)
{
	for (uint32_t i = 0; i < space->dim; i++)
		ret_rotated[i] = a[i] - b[i];
	for (uint32_t i = space->dim; i < space->rotate.size; i++)
		ret_rotated[i] = 0;
	codes_best()->rotate(&space->rotate, ret_rotated);
}

void codes_rotate(const struct codes_space *space, const float *vector, float *ret_rotated)
{
	rotate_difference(space, vector, space->mean, ret_rotated);
}

/* In lanes, of which a compiler does many at once; 'count' is a multiple of their number. */
static float largest_magnitude(const float *values, uint32_t count)
{
	float lanes[16] = {0}, largest = 0;

	for (uint32_t i = 0; i < count; i += 16) {
		for (uint32_t j = 0; j < 16; j++) {
			float magnitude = fabsf(values[i + j]);

			lanes[j] = magnitude > lanes[j] ? magnitude : lanes[j];
		}
	}
	for (uint32_t j = 0; j < 16; j++)
		largest = lanes[j] > largest ? lanes[j] : largest;
	return largest;
}

/* Steps beyond the largest can only come from a rotation that left f32's range. */
static void round_steps(const float *restrict values, uint32_t count, float scale,
			int8_t *restrict steps)
{
	for (uint32_t i = 0; i < count; i++) {
		float step = (values[i] * scale + ROUND_MAGIC) - ROUND_MAGIC;

		step = step <= CODES_STEP_MAX ? step : 0;
		step = step >= -CODES_STEP_MAX ? step : 0;
		steps[i] = (int8_t)step;
	}
}

void codes_query(const struct codes_space *space, const float *vector, float *scratch,
		 uint8_t *table, struct codes_query *ret_query)
{
	int8_t steps[ROTATE_SIZE_MAX];
	float largest;

	codes_rotate(space, vector, scratch);
	largest = largest_magnitude(scratch, space->bits);
	round_steps(scratch, space->bits, largest > 0 ? CODES_STEP_MAX / largest : 0, steps);
	codes_best()->fill_table(steps, space->bits, table);
	*ret_query = (struct codes_query){
		.table = table, .bits = space->bits, .step = largest / CODES_STEP_MAX};
}

static uint8_t *block_of(const struct codes_space *space, uint8_t *blocks, uint32_t index)
{
	return blocks + (size_t)(index / CODES_BLOCK) * codes_block_size(space->bits);
}

/*
 * A NaN, which only vectors near the end of f32's range can give, has a sign that
 * depends on the instructions: such a place is one that is not taken.
 */
static void put_factors(uint8_t *block, uint32_t place, float add, float gain)
{
	bool known = !isnan(add) && !isnan(gain);
	uint16_t halves[2] = {half_to_bf16(known ? add : INFINITY), half_to_bf16(known ? gain : 0)};

	memcpy(block + place * sizeof(uint16_t), &halves[0], sizeof(uint16_t));
	memcpy(block + (CODES_BLOCK + place) * sizeof(uint16_t), &halves[1], sizeof(uint16_t));
}

void codes_clear(const struct codes_space *space, uint32_t count, uint8_t *blocks)
{
	memset(blocks, 0, codes_size(count, space->bits));
	for (uint32_t i = 0; i < align_up(count, CODES_BLOCK); i++)
		put_factors(block_of(space, blocks, i), i % CODES_BLOCK, INFINITY, 0);
}

static void put_signs(const float *rotated, uint32_t bits, uint32_t place, uint8_t *codes)
{
	uint32_t shift = place / 16 * 4;

	codes += place % 16;
	for (uint32_t i = 0; i < bits; i += 4, codes += 16) {
		unsigned signs = 0;

		for (uint32_t j = 0; j < 4; j++)
			signs |= (rotated[i + j] > 0 ? 1U : 0U) << j;
		*codes = (uint8_t)(*codes | signs << shift);
	}
}

/* Sums of 'values' with the signs of 'rotated'; in the order of the exact kernels. */
static double signed_sum(const float *rotated, const float *values, uint32_t bits)
{
	float signs[ROTATE_SIZE_MAX];

	for (uint32_t i = 0; i < bits; i++)
		signs[i] = rotated[i] > 0 ? 1.0F : -1.0F;
	return dist_best()->exact_ip(signs, values, bits);
}

void codes_encode(const struct codes_space *space, const float *from, const float *from_rotated,
		  const float *vector, float *scratch, uint8_t *blocks, uint32_t index)
{
	uint8_t *block = block_of(space, blocks, index);
	uint32_t place = index % CODES_BLOCK;
	double square = dist_best()->exact_l2(vector, from, space->dim);
	double length, share, from_sum;

	rotate_difference(space, vector, from, scratch);
	length = signed_sum(scratch, scratch, space->bits);
	from_sum = signed_sum(scratch, from_rotated, space->bits);
	share = length > 0 ? square / length : 0;
	put_signs(scratch, space->bits, place, block + 2 * CODES_BLOCK * sizeof(uint16_t));
	if (space->metric == METRIC_L2) {
		put_factors(block, place, (float)(square + 2 * share * from_sum),
			    (float)(2 * share));
	} else {
		double product = dist_best()->exact_ip(vector, from, space->dim) -
				 dist_best()->exact_ip(from, from, space->dim);

		put_factors(block, place, (float)(share * from_sum - product), (float)share);
	}
}

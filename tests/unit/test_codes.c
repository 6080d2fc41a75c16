/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/defs.h"
#include "base/rand.h"
#include "hnsw/codes_order.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/*
 * Codes and the rotation before them: every kernel against the scalar one, to the
 * bit; the estimates against exact distances.
 */

#define DIM_MAX ROTATE_SIZE_MAX

static const char *const names[] = {"scalar", "avx2", "avx512", "amx"};

/* Those of each name, and what processors with AVX-512 get that don't have VBMI. */
#define KERNELS_COUNT (ARRAY_COUNT(names) + 1)

/* NULL: not on this processor. */
static const struct codes_kernels *kernels_at(size_t index)
{
	if (index < ARRAY_COUNT(names))
		return codes_find(names[index]);
#if defined(__x86_64__)
	return codes_find("avx512") ? &codes_avx512 : NULL;
#else
	return NULL;
#endif
}

static const float nasty[] = {0.0F,   -0.0F, 1.0F,   -1.0F,  1e-45F,   -1e-45F,   1e38F,
			      -1e38F, 3e38F, -3e38F, 1e-20F, INFINITY, -INFINITY, NAN};

struct buffers {
	_Alignas(64) float rotated[DIM_MAX];
	_Alignas(64) float scratch[DIM_MAX];
	_Alignas(64) uint8_t table[4 * DIM_MAX];
	_Alignas(64) uint8_t block[2 * CODES_BLOCK * sizeof(uint16_t) + 4 * DIM_MAX];
	float mean[DIM_MAX];
	float from[DIM_MAX];
	float to[DIM_MAX];
	float query[DIM_MAX];
};

static struct buffers *buffers_new(void)
{
	struct buffers *buffers = aligned_alloc(64, align_up(sizeof(*buffers), 64));

	assert_non_null(buffers);
	memset(buffers, 0, sizeof(*buffers));
	return buffers;
}

/* Two uniform numbers make one that is bell-shaped enough. */
static float draw(struct rand *rand)
{
	return (float)(rand_unit(rand) + rand_unit(rand) - 1);
}

static double square(const float *values, uint32_t count)
{
	double sum = 0;

	for (uint32_t i = 0; i < count; i++)
		sum += (double)values[i] * (double)values[i];
	return sum;
}

static void a_rotation_keeps_lengths_at_every_size(void **state)
{
	struct buffers *buffers = buffers_new();
	struct rand rand;

	(void)state;
	rand_init(&rand, 1);
	for (uint32_t size = ROTATE_ALIGN; size <= ROTATE_SIZE_MAX; size += ROTATE_ALIGN) {
		struct rotate rotate = rotate_of(size);
		double before, after;

		for (uint32_t i = 0; i < size; i++)
			buffers->rotated[i] = draw(&rand);
		before = square(buffers->rotated, size);
		codes_best()->rotate(&rotate, buffers->rotated);
		after = square(buffers->rotated, size);
		assert_true(fabs(after / before - 1) < 1e-5);
	}
	free(buffers);
}

static void a_rotation_spreads_a_vector_that_lies_on_an_axis(void **state)
{
	struct buffers *buffers = buffers_new();

	(void)state;
	for (uint32_t size = ROTATE_ALIGN; size <= ROTATE_SIZE_MAX; size += ROTATE_ALIGN) {
		struct rotate rotate = rotate_of(size);
		uint32_t axis = size * 7 % 61 * (size / 64) % size;
		float largest = 0;

		memset(buffers->rotated, 0, size * sizeof(float));
		buffers->rotated[axis] = 1;
		codes_best()->rotate(&rotate, buffers->rotated);
		for (uint32_t i = 0; i < size; i++)
			largest = fmaxf(largest, fabsf(buffers->rotated[i]));
		assert_true(largest < 6 / sqrtf((float)size));
	}
	free(buffers);
}

static void assert_same_floats(const float *expected, const float *found, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (isnan(expected[i]))
			assert_true(isnan(found[i]));
		else
			assert_memory_equal(&expected[i], &found[i], sizeof(float));
	}
}

static void fill_nasty(struct rand *rand, float *values, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		values[i] = rand_below(rand, 8) ? draw(rand)
						: nasty[rand_below(rand, ARRAY_COUNT(nasty))];
}

static void kernels_rotate_to_the_same_bits(void **state)
{
	struct buffers *buffers = buffers_new();
	struct rand rand;

	(void)state;
	rand_init(&rand, 2);
	for (uint32_t size = ROTATE_ALIGN; size <= ROTATE_SIZE_MAX; size += ROTATE_ALIGN) {
		struct rotate rotate = rotate_of(size);

		fill_nasty(&rand, buffers->from, size);
		memcpy(buffers->rotated, buffers->from, size * sizeof(float));
		codes_find("scalar")->rotate(&rotate, buffers->rotated);
		for (size_t i = 0; i < KERNELS_COUNT; i++) {
			if (!kernels_at(i))
				continue;
			memcpy(buffers->scratch, buffers->from, size * sizeof(float));
			kernels_at(i)->rotate(&rotate, buffers->scratch);
			assert_same_floats(buffers->rotated, buffers->scratch, size);
		}
	}
	free(buffers);
}

static void kernels_fill_the_same_table(void **state)
{
	struct buffers *buffers = buffers_new();
	uint8_t expected[4 * DIM_MAX];
	int8_t steps[DIM_MAX];
	struct rand rand;

	(void)state;
	rand_init(&rand, 3);
	for (uint32_t bits = CODES_BITS_ALIGN; bits <= DIM_MAX; bits *= 2) {
		for (uint32_t i = 0; i < bits; i++)
			steps[i] = (int8_t)(rand_below(&rand, 3) == 0
						    ? (rand_below(&rand, 2) ? 31 : -31)
						    : (int)rand_below(&rand, 63) - 31);
		codes_find("scalar")->fill_table(steps, bits, expected);
		for (size_t i = 0; i < KERNELS_COUNT; i++) {
			if (!kernels_at(i))
				continue;
			kernels_at(i)->fill_table(steps, bits, buffers->table);
			assert_memory_equal(expected, buffers->table, codes_table_size(bits));
		}
	}
	free(buffers);
}

/* Bytes of any value, the largest entries everywhere, or codes that are all one. */
static void fill_adversarial(struct rand *rand, struct buffers *buffers, uint32_t bits, int kind)
{
	size_t size = codes_block_size(bits);

	for (size_t i = 0; i < size; i++)
		buffers->block[i] = (uint8_t)(kind == 2 ? 0xff : rand_next(rand));
	for (size_t i = 0; i < codes_table_size(bits); i++)
		buffers->table[i] = (uint8_t)(kind == 0 ? rand_below(rand, 249) : 248);
}

static void compare_scores(struct rand *rand, struct buffers *buffers, uint32_t bits)
{
	struct codes_query query = {.table = buffers->table, .bits = bits};
	float from = rand_below(rand, 4) ? draw(rand) : nasty[rand_below(rand, ARRAY_COUNT(nasty))];
	float bound = rand_below(rand, 4) ? draw(rand) : INFINITY;
	float expected[CODES_BLOCK], found[CODES_BLOCK];
	uint32_t below;

	query.step = fabsf(draw(rand));
	below = codes_find("scalar")->score(&query, buffers->block, from, bound, buffers->block,
					    expected);
	for (size_t i = 0; i < KERNELS_COUNT; i++) {
		const struct codes_kernels *kernels = kernels_at(i);

		if (!kernels)
			continue;
		assert_int_equal(below, kernels->score(&query, buffers->block, from, bound,
						       buffers->block, found));
		assert_same_floats(expected, found, CODES_BLOCK);
	}
}

static void kernels_give_the_same_scores_at_every_size(void **state)
{
	struct buffers *buffers = buffers_new();
	struct rand rand;

	(void)state;
	rand_init(&rand, 4);
	for (uint32_t bits = CODES_BITS_ALIGN; bits <= DIM_MAX; bits += CODES_BITS_ALIGN) {
		for (int kind = 0; kind < 3; kind++) {
			fill_adversarial(&rand, buffers, bits, kind);
			compare_scores(&rand, buffers, bits);
		}
	}
	free(buffers);
}

static double exact_distance(enum metric metric, const float *a, const float *b, uint32_t dim)
{
	double sum = 0;

	for (uint32_t i = 0; i < dim; i++)
		sum += metric == METRIC_L2 ? pow((double)a[i] - (double)b[i], 2)
					   : (double)a[i] * (double)b[i];
	return metric == METRIC_L2 ? sum : (metric == METRIC_COSINE) - sum;
}

/* Neighbours lie about a node as far as the query does, all of them far from zero. */
static void draw_vectors(struct rand *rand, struct buffers *buffers, uint32_t dim)
{
	for (uint32_t i = 0; i < dim; i++) {
		buffers->mean[i] = 3;
		buffers->from[i] = 3 + draw(rand);
		buffers->query[i] = buffers->from[i] + draw(rand) / 2;
	}
}

struct errors {
	double sum;
	double sum_of_squares;
	double largest;
};

/* Estimates of 32 neighbours, their errors in units of |x - c| |q - c| / sqrt(bits). */
static void note_errors(struct rand *rand, struct buffers *buffers, const struct codes_space *space,
			struct errors *errors)
{
	const uint32_t dim = space->dim;
	float from, scores[CODES_BLOCK];
	double exact[CODES_BLOCK], unit[CODES_BLOCK];
	struct codes_query query;

	draw_vectors(rand, buffers, dim);
	codes_rotate(space, buffers->from, buffers->rotated);
	codes_clear(space, CODES_BLOCK, buffers->block);
	for (uint32_t i = 0; i < CODES_BLOCK; i++) {
		for (uint32_t j = 0; j < dim; j++)
			buffers->to[j] = buffers->from[j] + draw(rand) / 2;
		codes_encode(space, buffers->from, buffers->rotated, buffers->to, buffers->scratch,
			     buffers->block, i);
		exact[i] = exact_distance(space->metric, buffers->to, buffers->query, dim);
		unit[i] = sqrt(exact_distance(METRIC_L2, buffers->to, buffers->from, dim) *
			       exact_distance(METRIC_L2, buffers->query, buffers->from, dim) /
			       space->bits);
	}
	codes_query(space, buffers->query, buffers->scratch, buffers->table, &query);
	from = (float)exact_distance(space->metric, buffers->from, buffers->query, dim);
	(void)codes_best()->score(&query, buffers->block, from, INFINITY, buffers->block, scores);
	for (uint32_t i = 0; i < CODES_BLOCK; i++) {
		double error = ((double)scores[i] - exact[i]) / unit[i];

		errors->sum += error;
		errors->sum_of_squares += error * error;
		errors->largest = fmax(errors->largest, fabs(error));
	}
}

/* An inner product counts once, a squared distance twice; the bounds are those of L2. */
static void check_errors(enum metric metric, uint32_t dim, uint32_t bits)
{
	const uint32_t rounds = 12, count = rounds * CODES_BLOCK;
	struct buffers *buffers = buffers_new();
	struct codes_space space = codes_space(metric, dim, bits, buffers->mean);
	struct errors errors = {0};
	struct rand rand;
	double mean, deviation;

	rand_init(&rand, dim);
	for (uint32_t i = 0; i < rounds; i++)
		note_errors(&rand, buffers, &space, &errors);
	mean = errors.sum / count;
	deviation = sqrt(errors.sum_of_squares / count);
	assert_true(deviation > 0 && deviation < 3.2);
	assert_true(errors.largest < 14);
	assert_true(fabs(mean) < 0.5);
	free(buffers);
}

static void estimates_are_unbiased_and_err_within_their_bound(void **state)
{
	static const struct {
		uint32_t dim, bits;
	} sizes[] = {{64, 64},   {100, 128}, {128, 128},  {384, 384},
		     {784, 512}, {784, 832}, {1536, 1024}};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(sizes); i++)
		for (uint32_t metric = 0; metric < METRIC_COUNT; metric++)
			check_errors((enum metric)metric, sizes[i].dim, sizes[i].bits);
}

static void estimates_are_numbers_at_every_dimension(void **state)
{
	static const uint32_t dims[] = {1, 2, 3, 7, 15, 16, 17, 63, 64, 65, 127, 200, 1000, 4096};
	struct buffers *buffers = buffers_new();
	struct rand rand;

	(void)state;
	rand_init(&rand, 5);
	for (size_t i = 0; i < ARRAY_COUNT(dims); i++) {
		struct codes_space space =
			codes_space(METRIC_L2, dims[i], rotate_size(dims[i]), buffers->mean);
		struct errors errors = {0};

		note_errors(&rand, buffers, &space, &errors);
		assert_true(isfinite(errors.sum));
	}
	free(buffers);
}

static void a_copy_of_the_node_is_as_far_as_the_node(void **state)
{
	struct buffers *buffers = buffers_new();
	struct codes_space space = codes_space(METRIC_L2, 100, 128, buffers->mean);
	float scores[CODES_BLOCK];
	struct codes_query query;
	struct rand rand;

	(void)state;
	rand_init(&rand, 6);
	draw_vectors(&rand, buffers, 100);
	codes_rotate(&space, buffers->from, buffers->rotated);
	codes_clear(&space, 2, buffers->block);
	codes_encode(&space, buffers->from, buffers->rotated, buffers->from, buffers->scratch,
		     buffers->block, 1);
	codes_query(&space, buffers->query, buffers->scratch, buffers->table, &query);
	assert_int_equal(
		codes_best()->score(&query, buffers->block, 7, INFINITY, buffers->block, scores),
		1U << 1);
	assert_true(scores[1] == 7);
	free(buffers);
}

static void places_that_are_not_taken_are_never_near(void **state)
{
	struct buffers *buffers = buffers_new();
	struct codes_space space = codes_space(METRIC_IP, 64, 64, buffers->mean);
	float scores[CODES_BLOCK];
	struct codes_query query;

	(void)state;
	codes_clear(&space, 1, buffers->block);
	codes_query(&space, buffers->query, buffers->scratch, buffers->table, &query);
	assert_int_equal(0, codes_best()->score(&query, buffers->block, -1, INFINITY,
						buffers->block, scores));
	free(buffers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rotation_keeps_lengths_at_every_size),
		cmocka_unit_test(a_rotation_spreads_a_vector_that_lies_on_an_axis),
		cmocka_unit_test(kernels_rotate_to_the_same_bits),
		cmocka_unit_test(kernels_fill_the_same_table),
		cmocka_unit_test(kernels_give_the_same_scores_at_every_size),
		cmocka_unit_test(estimates_are_unbiased_and_err_within_their_bound),
		cmocka_unit_test(estimates_are_numbers_at_every_dimension),
		cmocka_unit_test(a_copy_of_the_node_is_as_far_as_the_node),
		cmocka_unit_test(places_that_are_not_taken_are_never_near),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

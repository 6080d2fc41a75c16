/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/defs.h"
#include "base/rand.h"
#include "hnsw/convert.h"
#include "hnsw/dist_order.h"
#include "hnsw/half.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

/*
 * The kernels of rows of every type, in every table: against the scalar table to
 * the bit, and against sums in f64 and i64. Rows end right before a page that
 * can't be read, or begin right behind one.
 */

#define DIM_MAX    4096
#define ARENA_SIZE ((size_t)5 * 4096) /* a row of DIM_MAX floats, and room to move it */

enum place { AT_END, AT_START, UNALIGNED, PLACE_COUNT };

/* Readable bytes between two pages that are not. */
struct arena {
	uint8_t *bytes;
};

static struct arena left, right, query;
static const struct dist_table *tables[5];
static size_t table_count;

static int arena_init(struct arena *arena)
{
	uint8_t *map = mmap(NULL, ARENA_SIZE + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (map == MAP_FAILED || mprotect(map + 4096, ARENA_SIZE, PROT_READ | PROT_WRITE))
		return -1;
	arena->bytes = map + 4096;
	return 0;
}

static int group_setup(void **state)
{
	static const char *const names[] = {"scalar", "avx2", "avx512", "amx"};

	for (size_t i = 0; i < ARRAY_COUNT(names); i++)
		if (dist_find(names[i]))
			tables[table_count++] = dist_find(names[i]);
#if defined(__x86_64__)
	/* What processors with the older half of AVX-512 get. */
	if (dist_find("avx512"))
		tables[table_count++] = &dist_avx512;
#endif
	return arena_init(&left) || arena_init(&right) || arena_init(&query);
}

static int group_teardown(void **state)
{
	return munmap(left.bytes - 4096, ARENA_SIZE + 8192) ||
	       munmap(right.bytes - 4096, ARENA_SIZE + 8192) ||
	       munmap(query.bytes - 4096, ARENA_SIZE + 8192);
}

static void *row_in(const struct arena *arena, enum place place, size_t size)
{
	switch (place) {
	case AT_END:
		return arena->bytes + ARENA_SIZE - size;
	case AT_START:
		return arena->bytes;
	default:
		return arena->bytes + ARENA_SIZE - size - 1;
	}
}

/* Two rows and a query for the right one, as bytes and as what they mean. */
struct rows {
	enum vector_type type;
	size_t dim;
	size_t size; /* of a padded row */
	void *a;
	void *b;
	float *query; /* holds the values of a */
	double a_values[DIM_MAX];
	double b_values[DIM_MAX];
};

static struct rows rows;

static void rows_init(enum vector_type type, size_t dim, enum place place)
{
	size_t query_size = dist_row_values(type, dim) * sizeof(float);

	/* No query for bits: its floats would not fit, and there is no kernel for it. */
	if (type == VECTOR_B1)
		query_size = 0;
	rows.type = type;
	rows.dim = dim;
	rows.size = dist_row_size(type, dim);
	rows.a = row_in(&left, place, rows.size);
	rows.b = row_in(&right, place, rows.size);
	rows.query = row_in(&query, place == UNALIGNED ? AT_END : place, query_size);
	memset(rows.a, 0, rows.size);
	memset(rows.b, 0, rows.size);
	memset(rows.query, 0, query_size);
	memset(rows.a_values, 0, dim * sizeof(rows.a_values[0]));
	memset(rows.b_values, 0, dim * sizeof(rows.b_values[0]));
}

static double value_of_half(uint16_t half, unsigned fraction_bits)
{
	unsigned exponent = (half & 0x7fffU) >> fraction_bits;
	unsigned greatest = 0x7fffU >> fraction_bits;
	unsigned fraction = half & ((1U << fraction_bits) - 1);
	int shift = (int)MAX(exponent, 1U) - (int)(greatest / 2) - (int)fraction_bits;
	double sign = half & 0x8000 ? -1 : 1;

	if (exponent == greatest)
		return fraction ? NAN : sign * INFINITY;
	return sign * ldexp(fraction + (exponent ? 1U << fraction_bits : 0), shift);
}

/* Puts the bits of one value into a row, and says what they mean. */
static double set_value(void *row, size_t i, uint32_t bits)
{
	uint8_t *bytes = row;
	uint16_t half = (uint16_t)bits;

	switch (rows.type) {
	case VECTOR_F16:
		memcpy(bytes + 2 * i, &half, 2);
		return value_of_half(half, 10);
	case VECTOR_BF16:
		memcpy(bytes + 2 * i, &half, 2);
		return value_of_half(half, 7);
	case VECTOR_I8:
		bytes[i] = (uint8_t)bits;
		return (int8_t)bits;
	case VECTOR_U8:
		bytes[i] = (uint8_t)bits;
		return (uint8_t)bits;
	case VECTOR_B1:
		bytes[i / 8] = (uint8_t)(bytes[i / 8] | (bits & 1) << i % 8);
		return bits & 1;
	default:
		memcpy(bytes + 4 * i, &bits, 4);
		return (double)half_float(bits);
	}
}

static void set_values(size_t i, uint32_t a_bits, uint32_t b_bits)
{
	rows.a_values[i] = set_value(rows.a, i, a_bits);
	rows.b_values[i] = set_value(rows.b, i, b_bits);
	if (rows.type != VECTOR_B1)
		rows.query[i] = (float)rows.a_values[i];
}

/* What only has to agree about a NaN is that it is one. */
static void assert_same_bits(float expected, float found)
{
	if (isnan(expected))
		assert_true(isnan(found));
	else
		assert_int_equal(half_bits(expected), half_bits(found));
}

struct distances {
	float pair_l2, pair_ip, mixed_l2, mixed_ip;
};

static struct distances measure(const struct dist_table *table)
{
	const struct dist_kernels *kernels = &table->kernels[rows.type];
	struct distances found = {.pair_l2 = kernels->pair_l2(rows.a, rows.b, rows.size)};

	if (rows.type == VECTOR_B1) {
		assert_null(kernels->pair_ip);
		assert_null(kernels->mixed_l2);
		assert_null(kernels->mixed_ip);
		return found;
	}
	found.pair_ip = kernels->pair_ip(rows.a, rows.b, rows.size);
	found.mixed_l2 = kernels->mixed_l2(rows.query, rows.b, rows.size);
	found.mixed_ip = kernels->mixed_ip(rows.query, rows.b, rows.size);
	return found;
}

/* All tables give the same; returned. */
static struct distances compare_tables(void)
{
	struct distances expected = measure(tables[0]);

	for (size_t i = 1; i < table_count; i++) {
		struct distances found = measure(tables[i]);

		assert_same_bits(expected.pair_l2, found.pair_l2);
		assert_same_bits(expected.pair_ip, found.pair_ip);
		assert_same_bits(expected.mixed_l2, found.mixed_l2);
		assert_same_bits(expected.mixed_ip, found.mixed_ip);
	}
	return expected;
}

/*
 * In f64, each term's rounding and each of the additions above it may be off by
 * half a bit of f32: one for the difference twice, one for the product, one a
 * block of the accumulator, two to join four of those, four to fold 16 lanes.
 */
static void assert_near(double expected, double magnitude, float found)
{
	double steps = 3 + 1 + (double)rows.dim / 64 + 2 + 4;

	assert_true(fabs((double)found - expected) <= magnitude * steps * 0x1p-24);
}

/* Integers and bits are to be exact, once rounded to the float that is returned. */
static void compare_with_truth(const struct distances *found)
{
	bool exact = rows.type == VECTOR_I8 || rows.type == VECTOR_U8 || rows.type == VECTOR_B1;
	double l2 = 0, ip = 0, magnitude = 0;
	int64_t exact_l2 = 0, exact_ip = 0;

	for (size_t i = 0; i < rows.dim; i++) {
		double difference = rows.a_values[i] - rows.b_values[i];

		l2 += difference * difference;
		ip += rows.a_values[i] * rows.b_values[i];
		magnitude += fabs(rows.a_values[i] * rows.b_values[i]);
		if (exact) {
			exact_l2 += (int64_t)(difference * difference);
			exact_ip += (int64_t)(rows.a_values[i] * rows.b_values[i]);
		}
	}
	if (exact)
		assert_true(found->pair_l2 == (float)exact_l2);
	else
		assert_near(l2, l2, found->pair_l2);
	if (rows.type == VECTOR_B1)
		return;
	if (exact)
		assert_true(found->pair_ip == (float)exact_ip);
	else
		assert_near(ip, magnitude, found->pair_ip);
	assert_near(l2, l2, found->mixed_l2);
	assert_near(ip, magnitude, found->mixed_ip);
}

static uint32_t random_bits(struct rand *rand)
{
	return (uint32_t)rand_below(rand, UINT64_C(1) << 32);
}

/* Bits of a value of about -1 to 1, or of any integer. */
static uint32_t tame_bits(struct rand *rand)
{
	float value = (float)(rand_unit(rand) * 2 - 1);

	switch (rows.type) {
	case VECTOR_F32:
		return half_bits(value);
	case VECTOR_F16:
		return half_to_f16(value);
	case VECTOR_BF16:
		return half_to_bf16(value);
	default:
		return random_bits(rand);
	}
}

/* Every length to 300, then every 37th: all paddings, and all counts of the last blocks. */
static void tables_agree_on_every_length_and_place(void **state)
{
	struct rand rand;

	rand_init(&rand, 1);
	for (unsigned type = 0; type < VECTOR_TYPE_COUNT; type++) {
		for (size_t dim = 1; dim <= DIM_MAX; dim += dim < 300 || dim > 4090 ? 1 : 37) {
			struct distances found;

			rows_init(type, dim, dim % PLACE_COUNT);
			for (size_t i = 0; i < dim; i++)
				set_values(i, tame_bits(&rand), tame_bits(&rand));
			found = compare_tables();
			compare_with_truth(&found);
		}
	}
}

/* The extremes that integer sums can reach, at the greatest length. */
static void integers_are_exact_at_their_extremes(void **state)
{
	static const uint8_t bytes[] = {0x00, 0x01, 0x7f, 0x80, 0x81, 0xfe, 0xff};

	for (unsigned type = VECTOR_I8; type <= VECTOR_B1; type++) {
		for (size_t pattern = 0; pattern < ARRAY_COUNT(bytes) * ARRAY_COUNT(bytes) * 3;
		     pattern++) {
			uint8_t a = bytes[pattern / 3 % ARRAY_COUNT(bytes)];
			uint8_t b = bytes[pattern / 3 / ARRAY_COUNT(bytes)];
			struct distances found;

			rows_init(type, DIM_MAX - pattern % 2, AT_END);
			/* All alike, in turns, or both rows in step. */
			for (size_t i = 0; i < rows.dim; i++) {
				bool turn = pattern % 3 && i % 2;

				set_values(i, turn ? b : a, turn && pattern % 3 == 1 ? a : b);
			}
			found = compare_tables();
			compare_with_truth(&found);
		}
	}
}

/* The same for the longest row there can be: its sums are the greatest that i32 holds. */
static void integers_are_exact_at_the_limit_of_their_sums(void **state)
{
	static uint8_t a[DIST_DIM_MAX], b[DIST_DIM_MAX];
	static const struct {
		enum vector_type type;
		uint8_t a, b;
		float l2, ip; /* of one value */
	} cases[] = {
		{VECTOR_U8, 255, 255, 0, 65025},        {VECTOR_U8, 255, 0, 65025, 0},
		{VECTOR_I8, 0x80, 0x80, 0, 16384},      {VECTOR_I8, 0x80, 0x7f, 65025, -16256},
		{VECTOR_I8, 0x7f, 0x80, 65025, -16256},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases) * table_count; i++) {
		const struct dist_table *table = tables[i % table_count];
		size_t at = i / table_count;
		const struct dist_kernels *kernels = &table->kernels[cases[at].type];

		memset(a, cases[at].a, sizeof(a));
		memset(b, cases[at].b, sizeof(b));
		assert_true(kernels->pair_l2(a, b, sizeof(a)) == cases[at].l2 * DIST_DIM_MAX);
		assert_true(kernels->pair_ip(a, b, sizeof(a)) == cases[at].ip * DIST_DIM_MAX);
	}
}

/* Each bit pattern of a half in each lane of a block comes to the right value in every table. */
static void every_half_counts_as_what_it_means(void **state)
{
	for (unsigned type = VECTOR_F16; type <= VECTOR_BF16; type++) {
		for (uint32_t half = 0; half <= UINT16_MAX; half++) {
			struct distances found;
			double value;

			rows_init(type, 32, AT_END);
			set_values(half % 32, type == VECTOR_F16 ? 0x3c00 : 0x3f80, half);
			value = rows.b_values[half % 32];
			found = compare_tables();
			if (isnan(value)) {
				assert_true(isnan(found.pair_ip) && isnan(found.mixed_ip));
				assert_true(isnan(found.pair_l2) && isnan(found.mixed_l2));
				continue;
			}
			assert_true((double)found.pair_ip == value);
			assert_true((double)found.mixed_ip == value);
			assert_true((isinf(found.pair_l2) != 0) == !(fabs(value) < 0x1p64));
		}
	}
}

/* Random bits are everything: subnormals, infinities, NaNs, sums that overflow or cancel. */
static void tables_agree_on_any_bits(void **state)
{
	struct rand rand;

	rand_init(&rand, 2);
	for (unsigned round = 0; round < 6000; round++) {
		rows_init(round % VECTOR_TYPE_COUNT, 1 + rand_below(&rand, 200),
			  round % PLACE_COUNT);
		for (size_t i = 0; i < rows.dim; i++)
			set_values(i, random_bits(&rand), random_bits(&rand));
		compare_tables();
	}
}

/* Without infinities and NaNs, which drown everything else. */
static void tables_agree_on_nasty_values(void **state)
{
	static const float nasty[] = {
		0.0F,   -0.0F,  1.0F,  -1.0F,   6e-8F,   -6e-8F, 6.1e-5F, 65504, -65504,
		1e-45F, 1e-38F, -0.1F, 1.0009F, 2048.5F, 3e-5F,  -3e-5F,  127,   -128,
	};
	struct rand rand;

	rand_init(&rand, 3);
	for (unsigned round = 0; round < 6000; round++) {
		enum vector_type type = round % (VECTOR_BF16 + 1);

		rows_init(type, 1 + rand_below(&rand, 200), round % PLACE_COUNT);
		for (size_t i = 0; i < rows.dim; i++) {
			float a = nasty[rand_below(&rand, ARRAY_COUNT(nasty))];
			float b = nasty[rand_below(&rand, ARRAY_COUNT(nasty))];

			if (type == VECTOR_F16)
				set_values(i, half_to_f16(a), half_to_f16(b));
			else if (type == VECTOR_BF16)
				set_values(i, half_to_bf16(a), half_to_bf16(b));
			else
				set_values(i, half_bits(a), half_bits(b));
		}
		compare_tables();
	}
}

static void every_element_counts_once(void **state)
{
	for (unsigned type = VECTOR_I8; type <= VECTOR_B1; type++) {
		for (size_t i = 0; i < 700; i++) {
			struct distances found;

			rows_init(type, 700, AT_START);
			set_values(i, 1, 0);
			found = compare_tables();
			assert_true(found.pair_l2 == 1);
			compare_with_truth(&found);
		}
	}
}

static void rows_of_f32_are_measured_like_vectors(void **state)
{
	struct rand rand;

	rand_init(&rand, 4);
	for (size_t dim = 1; dim < 200; dim++) {
		size_t padded = dist_padded(dim);
		struct distances found;

		rows_init(VECTOR_F32, dim, AT_END);
		for (size_t i = 0; i < dim; i++)
			set_values(i, tame_bits(&rand), tame_bits(&rand));
		found = compare_tables();
		assert_same_bits(tables[0]->l2(rows.a, rows.b, padded), found.pair_l2);
		assert_same_bits(tables[0]->ip(rows.a, rows.b, padded), found.pair_ip);
		assert_same_bits(tables[0]->l2(rows.a, rows.b, padded), found.mixed_l2);
	}
}

static void a_row_is_padded_to_the_alignment(void **state)
{
	assert_int_equal(dist_row_size(VECTOR_F32, 17), 128);
	assert_int_equal(dist_row_values(VECTOR_F32, 17), dist_padded(17));
	assert_int_equal(dist_row_size(VECTOR_F16, 32), 64);
	assert_int_equal(dist_row_values(VECTOR_F16, 33), 64);
	assert_int_equal(dist_row_size(VECTOR_U8, 65), 128);
	assert_int_equal(dist_row_values(VECTOR_U8, 1), 64);
	assert_int_equal(dist_row_size(VECTOR_B1, 513), 128);
	assert_int_equal(dist_row_size(VECTOR_B1, 0), 0);
}

static void cosine_of_integers_is_scaled_by_both_norms(void **state)
{
	const struct dist_table *table = dist_best();

	for (unsigned type = VECTOR_I8; type <= VECTOR_U8; type++) {
		const struct dist_row_measure cosine = dist_row_measure(table, type, METRIC_COSINE);
		float scale;

		rows_init(type, 70, AT_END);
		set_values(0, 3, 40);
		set_values(69, 4, 30);
		assert_true(cosine.scaled);
		assert_true(dist_inverse_norm(type, rows.a, rows.size) == 0.2F);
		assert_true(dist_inverse_norm(type, rows.b, rows.size) == 0.02F);
		scale = 0.2F * 0.02F;
		assert_true(fabs((double)dist_row_distance(
					 &cosine, cosine.pair(rows.a, rows.b, rows.size), scale) -
				 0.04) < 1e-6);
		memset(rows.a, 0, rows.size);
		assert_true(dist_inverse_norm(type, rows.a, rows.size) == 0);
		assert_true(dist_row_distance(&cosine, cosine.pair(rows.a, rows.b, rows.size), 0) ==
			    1);
	}
}

static void norms_are_right_at_the_extremes(void **state)
{
	rows_init(VECTOR_U8, DIM_MAX, AT_END);
	memset(rows.a, 0xff, rows.size);
	assert_true(dist_inverse_norm(VECTOR_U8, rows.a, rows.size) == (float)(1 / (255.0 * 64)));
	memset(rows.a, 0x80, rows.size);
	assert_true(dist_inverse_norm(VECTOR_I8, rows.a, rows.size) == (float)(1 / (128.0 * 64)));
}

static void a_row_measure_is_the_metric(void **state)
{
	const struct dist_table *table = dist_best();
	const struct dist_row_measure bits = dist_row_measure(table, VECTOR_B1, METRIC_L2);

	for (unsigned type = 0; type < VECTOR_B1; type++) {
		const struct dist_kernels *kernels = &table->kernels[type];
		struct dist_row_measure l2 = dist_row_measure(table, type, METRIC_L2);
		struct dist_row_measure ip = dist_row_measure(table, type, METRIC_IP);
		struct dist_row_measure cosine = dist_row_measure(table, type, METRIC_COSINE);

		assert_ptr_equal(l2.pair, kernels->pair_l2);
		assert_ptr_equal(l2.mixed, kernels->mixed_l2);
		assert_ptr_equal(ip.pair, kernels->pair_ip);
		assert_ptr_equal(cosine.mixed, kernels->mixed_ip);
		assert_true(dist_row_distance(&l2, 5, 1) == 5);
		assert_true(dist_row_distance(&ip, 5, 1) == -5);
		assert_false(signbit(dist_row_distance(&ip, 0, 1)));
		assert_true(dist_row_distance(&cosine, 0.25F, 1) == 0.75F);
		assert_false(l2.scaled || ip.scaled);
		assert_int_equal(cosine.scaled, type == VECTOR_I8 || type == VECTOR_U8);
	}
	assert_non_null(bits.pair);
	assert_null(bits.mixed);
	assert_null(dist_row_measure(table, VECTOR_B1, METRIC_IP).pair);
	assert_null(dist_row_measure(table, VECTOR_B1, METRIC_COSINE).pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables_agree_on_every_length_and_place),
		cmocka_unit_test(integers_are_exact_at_their_extremes),
		cmocka_unit_test(integers_are_exact_at_the_limit_of_their_sums),
		cmocka_unit_test(every_half_counts_as_what_it_means),
		cmocka_unit_test(tables_agree_on_any_bits),
		cmocka_unit_test(tables_agree_on_nasty_values),
		cmocka_unit_test(every_element_counts_once),
		cmocka_unit_test(rows_of_f32_are_measured_like_vectors),
		cmocka_unit_test(a_row_is_padded_to_the_alignment),
		cmocka_unit_test(cosine_of_integers_is_scaled_by_both_norms),
		cmocka_unit_test(norms_are_right_at_the_extremes),
		cmocka_unit_test(a_row_measure_is_the_metric),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown) != 0;
}

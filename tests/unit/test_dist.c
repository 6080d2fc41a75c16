/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/defs.h"
#include "base/rand.h"
#include "hnsw/dist.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

/*
 * Every table that this processor has, against the scalar one, to the bit. What
 * only has to agree about a NaN is that it is one.
 */

#define FLOATS_MAX 160

static const char *const names[] = {"scalar", "avx2", "avx512", "amx"};

static const float nasty[] = {
	0.0F,   -0.0F,   1.0F,  -1.0F,  1e-45F,         -1e-45F,   1.17549435e-38F,
	1e38F,  -1e38F,  3e38F, -3e38F, 1.0F + 1.2e-7F, 16777216,  -16777215,
	1e-20F, -1e-20F, 65504, 0.1F,   INFINITY,       -INFINITY, NAN,
};

/* One float off, so that rows are not aligned either. */
struct rows {
	float a_memory[FLOATS_MAX + 1];
	float b_memory[FLOATS_MAX + 1];
	float *a;
	float *b;
};

static void rows_init(struct rows *rows, bool aligned)
{
	memset(rows, 0, sizeof(*rows));
	rows->a = rows->a_memory + !aligned;
	rows->b = rows->b_memory + !aligned;
}

static void assert_same_bits(float expected, float found)
{
	if (isnan(expected))
		assert_true(isnan(found));
	else
		assert_memory_equal(&expected, &found, sizeof(expected));
}

static void assert_same_exact(double expected, double found)
{
	if (isnan(expected))
		assert_true(isnan(found));
	else
		assert_memory_equal(&expected, &found, sizeof(expected));
}

static void compare_tables(const struct rows *rows, size_t dim)
{
	size_t padded_dim = dist_padded(dim);
	const struct dist_table *scalar = dist_find("scalar");

	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		const struct dist_table *table = dist_find(names[i]);

		if (!table)
			continue;
		assert_same_bits(scalar->l2(rows->a, rows->b, padded_dim),
				 table->l2(rows->a, rows->b, padded_dim));
		assert_same_bits(scalar->ip(rows->a, rows->b, padded_dim),
				 table->ip(rows->a, rows->b, padded_dim));
		assert_same_exact(scalar->exact_l2(rows->a, rows->b, dim),
				  table->exact_l2(rows->a, rows->b, dim));
		assert_same_exact(scalar->exact_ip(rows->a, rows->b, dim),
				  table->exact_ip(rows->a, rows->b, dim));
	}
}

static void tables_agree_on_random_rows_of_every_length(void **state)
{
	struct rand rand;
	struct rows rows;

	rand_init(&rand, 1);
	for (size_t dim = 0; dim <= 130; dim++) {
		rows_init(&rows, dim % 2);
		for (size_t i = 0; i < dim; i++) {
			rows.a[i] = (float)(rand_unit(&rand) * 2 - 1);
			rows.b[i] = (float)(rand_unit(&rand) * 2 - 1);
		}
		compare_tables(&rows, dim);
	}
}

static void tables_agree_on_nasty_values(void **state)
{
	struct rand rand;
	struct rows rows;

	rand_init(&rand, 2);
	for (unsigned round = 0; round < 5000; round++) {
		size_t dim = rand_below(&rand, 131);

		/* Most rounds without infinities and NaNs, which drown everything else. */
		size_t choices = ARRAY_COUNT(nasty) - (round % 4 ? 3 : 0);

		rows_init(&rows, round % 2);
		for (size_t i = 0; i < dim; i++) {
			rows.a[i] = nasty[rand_below(&rand, choices)];
			rows.b[i] = nasty[rand_below(&rand, choices)];
		}
		compare_tables(&rows, dim);
	}
}

/* Sums of small integers are exact whatever the order, so this tells whether an element is lost. */
static void every_element_counts_once(void **state)
{
	struct rows rows;

	for (size_t i = 0; i < 130; i++) {
		rows_init(&rows, true);
		rows.a[i] = 3;
		rows.b[i] = 2;
		for (size_t j = 0; j < ARRAY_COUNT(names); j++) {
			const struct dist_table *table = dist_find(names[j]);

			if (!table)
				continue;
			assert_true(table->l2(rows.a, rows.b, dist_padded(130)) == 1.0F);
			assert_true(table->ip(rows.a, rows.b, dist_padded(130)) == 6.0F);
			assert_true(table->exact_l2(rows.a, rows.b, 130) == 1.0);
			assert_true(table->exact_ip(rows.a, rows.b, 130) == 6.0);
		}
	}
}

static void kernels_agree_with_a_plain_sum(void **state)
{
	const struct dist_table *scalar = dist_find("scalar");
	struct rand rand;
	struct rows rows;
	double l2 = 0, ip = 0;

	rand_init(&rand, 3);
	rows_init(&rows, true);
	for (size_t i = 0; i < 100; i++) {
		rows.a[i] = (float)(rand_unit(&rand) * 2 - 1);
		rows.b[i] = (float)(rand_unit(&rand) * 2 - 1);
		l2 += ((double)rows.a[i] - (double)rows.b[i]) *
		      ((double)rows.a[i] - (double)rows.b[i]);
		ip += (double)rows.a[i] * (double)rows.b[i];
	}
	assert_true(fabs((double)scalar->l2(rows.a, rows.b, dist_padded(100)) - l2) < 1e-4);
	assert_true(fabs((double)scalar->ip(rows.a, rows.b, dist_padded(100)) - ip) < 1e-4);
	assert_true(fabs(scalar->exact_l2(rows.a, rows.b, 100) - l2) < 1e-12);
	assert_true(fabs(scalar->exact_ip(rows.a, rows.b, 100) - ip) < 1e-12);
}

static void a_measure_is_the_metric(void **state)
{
	const struct dist_table *table = dist_best();
	const struct dist_measure l2 = dist_measure(table, METRIC_L2);
	const struct dist_measure cosine = dist_measure(table, METRIC_COSINE);
	const struct dist_measure ip = dist_measure(table, METRIC_IP);
	struct rows rows;

	rows_init(&rows, true);
	rows.a[0] = 1;
	rows.b[0] = 0.5F;
	assert_true(dist_between(&l2, rows.a, rows.b, DIST_PAD) == 0.25F);
	assert_true(dist_between(&cosine, rows.a, rows.b, DIST_PAD) == 0.5F);
	assert_true(dist_between(&ip, rows.a, rows.b, DIST_PAD) == -0.5F);
	rows.a[0] = 0;
	assert_false(signbit(dist_between(&ip, rows.a, rows.b, DIST_PAD)));
}

static void unknown_tables_are_not_found(void **state)
{
	assert_null(dist_find("sse9"));
	assert_null(dist_find(""));
	assert_non_null(dist_find("scalar"));
	assert_non_null(dist_find(dist_best()->isa));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables_agree_on_random_rows_of_every_length),
		cmocka_unit_test(tables_agree_on_nasty_values),
		cmocka_unit_test(every_element_counts_once),
		cmocka_unit_test(kernels_agree_with_a_plain_sum),
		cmocka_unit_test(a_measure_is_the_metric),
		cmocka_unit_test(unknown_tables_are_not_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

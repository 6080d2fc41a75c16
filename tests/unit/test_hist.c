/* SPDX-License-Identifier: Apache-2.0 */
#include "base/defs.h"
#include "base/hist.h"
#include "base/rand.h"
#include "tests/lib/test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct hist hist, other;

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void buckets_cover_every_value_once(void **state)
{
	uint64_t first = 0;

	for (uint32_t i = 0; i < HIST_BUCKET_COUNT; i++) {
		uint64_t last = hist_bucket_last(i);

		assert_int_equal(hist_index(first), i);
		assert_int_equal(hist_index(last), i);
		assert_true((double)(last - first) <= (double)first / 128);
		first = last + 1;
	}
	assert_true(first == HIST_VALUE_MAX + 1);
}

static void an_empty_histogram_is_all_zero(void **state)
{
	hist_init(&hist);
	assert_int_equal(hist_percentile(&hist, 50), 0);
	assert_int_equal(hist.max, 0);
	assert_true(hist_mean(&hist) == 0);
}

static void small_values_are_exact(void **state)
{
	hist_init(&hist);
	for (uint64_t i = 1; i <= 200; i++)
		hist_add(&hist, i);
	assert_int_equal(hist_percentile(&hist, 0), 1);
	assert_int_equal(hist_percentile(&hist, 50), 100);
	assert_int_equal(hist_percentile(&hist, 99.5), 199);
	assert_int_equal(hist_percentile(&hist, 100), 200);
	assert_int_equal(hist.min, 1);
	assert_true(hist_mean(&hist) == 100.5);
}

/* 99.9 / 100 * 1000 is a little more than 999 in binary. */
static void a_rank_is_not_rounded_up_past_itself(void **state)
{
	hist_init(&hist);
	for (unsigned i = 0; i < 999; i++)
		hist_add(&hist, 1);
	hist_add(&hist, 100);
	assert_int_equal(hist_percentile(&hist, 99.9), 1);
	assert_int_equal(hist_percentile(&hist, 99.91), 100);
}

static void percentiles_agree_with_a_sorted_list(void **state)
{
	static const double percentiles[] = {0.1, 1, 25, 50, 90, 99, 99.9, 99.99, 100};
	enum { COUNT = 20000 };
	static uint64_t values[COUNT];
	struct rand rand;

	rand_init(&rand, 1);
	hist_init(&hist);
	for (unsigned i = 0; i < COUNT; i++) {
		values[i] = (uint64_t)exp2(rand_unit(&rand) * 35);
		hist_add(&hist, values[i]);
	}
	qsort(values, COUNT, sizeof(values[0]), compare);
	for (size_t i = 0; i < ARRAY_COUNT(percentiles); i++) {
		uint64_t exact = values[(size_t)ceil(percentiles[i] * COUNT / 100 - 1e-6) - 1];
		uint64_t got = hist_percentile(&hist, percentiles[i]);

		assert_true(got >= exact);
		assert_true(got - exact <= exact / 128);
	}
}

static void values_above_the_limit_saturate(void **state)
{
	hist_init(&hist);
	hist_add(&hist, HIST_VALUE_MAX);
	hist_add(&hist, HIST_VALUE_MAX + 1);
	hist_add(&hist, UINT64_MAX);
	assert_int_equal(hist.saturated, 2);
	assert_int_equal(hist.total, 3);
	assert_true(hist.max == HIST_VALUE_MAX);
	assert_true(hist_percentile(&hist, 1) == HIST_VALUE_MAX);
}

static void merging_is_adding_all_values_to_one(void **state)
{
	static struct hist both;
	struct rand rand;

	rand_init(&rand, 2);
	hist_init(&hist);
	hist_init(&other);
	hist_init(&both);
	for (unsigned i = 0; i < 1000; i++) {
		uint64_t value = rand_below(&rand, HIST_VALUE_MAX * 2);

		hist_add(i % 3 ? &hist : &other, value);
		hist_add(&both, value);
	}
	hist_merge(&hist, &other);
	assert_memory_equal(&hist, &both, sizeof(hist));
}

static void merging_an_empty_one_changes_nothing(void **state)
{
	hist_init(&hist);
	hist_init(&other);
	hist_add(&hist, 7);
	hist_merge(&hist, &other);
	assert_int_equal(hist.min, 7);
	assert_int_equal(hist.max, 7);
	assert_int_equal(hist.total, 1);
}

/* The rows and the foot as HdrHistogram prints them, with microseconds of nanoseconds. */
static void the_table_is_the_plotters(void **state)
{
	static const char *const lines[] = {
		"       Value     Percentile TotalCount 1/(1-Percentile)\n",
		"\n",
		"       0.001 0.000000000000          1           1.00\n",
		"       0.001 0.100000000000          1           1.11\n",
		"       0.002 0.200000000000          2           1.25\n",
		"       0.003 0.300000000000          3           1.43\n",
		"       0.004 0.400000000000          4           1.67\n",
		"       0.005 0.500000000000          5           2.00\n",
		"       0.006 0.550000000000          6           2.22\n",
		"       0.006 0.600000000000          6           2.50\n",
		"       0.007 0.650000000000          7           2.86\n",
		"       0.007 0.700000000000          7           3.33\n",
		"       0.008 0.750000000000          8           4.00\n",
		"       0.008 0.775000000000          8           4.44\n",
		"       0.008 0.800000000000          8           5.00\n",
		"       0.009 0.825000000000          9           5.71\n",
		"       0.009 0.850000000000          9           6.67\n",
		"       0.009 0.875000000000          9           8.00\n",
		"       0.009 0.887500000000          9           8.89\n",
		"       0.009 0.900000000000          9          10.00\n",
		"       0.010 1.000000000000         10\n",
		"#[Mean    =        0.005, StdDeviation   =        0.003]\n",
		"#[Max     =        0.010, Total count    =           10]\n",
		"#[Buckets =           30, SubBuckets     =          128]\n"};
	FILE *file = tmpfile();
	char line[128];

	assert_non_null(file);
	hist_init(&hist);
	for (uint64_t i = 1; i <= 10; i++)
		hist_add(&hist, i);
	assert_int_equal(hist_print_hgrm(&hist, 1000, file), 0);
	rewind(file);
	for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
		assert_non_null(fgets(line, sizeof(line), file));
		assert_string_equal(line, lines[i]);
	}
	assert_null(fgets(line, sizeof(line), file));
	fclose(file);
}

static void a_table_that_cannot_be_written_is_an_error(void **state)
{
	FILE *file = fopen("/dev/full", "w");

	if (!file)
		skip();
	hist_init(&hist);
	assert_true(hist_print_hgrm(&hist, 1, file) < 0);
	fclose(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buckets_cover_every_value_once),
		cmocka_unit_test(an_empty_histogram_is_all_zero),
		cmocka_unit_test(small_values_are_exact),
		cmocka_unit_test(a_rank_is_not_rounded_up_past_itself),
		cmocka_unit_test(percentiles_agree_with_a_sorted_list),
		cmocka_unit_test(values_above_the_limit_saturate),
		cmocka_unit_test(merging_is_adding_all_values_to_one),
		cmocka_unit_test(merging_an_empty_one_changes_nothing),
		cmocka_unit_test(the_table_is_the_plotters),
		cmocka_unit_test(a_table_that_cannot_be_written_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

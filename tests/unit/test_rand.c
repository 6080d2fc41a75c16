/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rand.h"
#include "tests/lib/test.h"

static void equal_seeds_give_equal_sequences(void **state)
{
	struct rand a, b, c;
	unsigned equal = 0;

	rand_init(&a, 7);
	rand_init(&b, 7);
	rand_init(&c, 8);
	for (unsigned i = 0; i < 100; i++) {
		uint64_t value = rand_next(&a);

		assert_int_equal(value, rand_next(&b));
		equal += value == rand_next(&c);
	}
	assert_int_equal(equal, 0);
}

static void bounded_numbers_stay_below_and_reach_every_value(void **state)
{
	unsigned counts[7] = {0};
	struct rand rand;

	rand_init(&rand, 1);
	for (unsigned i = 0; i < 7000; i++)
		counts[rand_below(&rand, 7)]++;
	for (unsigned i = 0; i < 7; i++)
		assert_in_range(counts[i], 800, 1200);
}

static void units_lie_in_the_half_open_interval(void **state)
{
	struct rand rand;
	double sum = 0;

	rand_init(&rand, 2);
	for (unsigned i = 0; i < 10000; i++) {
		double unit = rand_unit(&rand);

		assert_true(unit >= 0 && unit < 1);
		sum += unit;
	}
	assert_true(sum > 4800 && sum < 5200);
}

static void secrets_differ(void **state)
{
	uint8_t a[32] = {0}, b[32] = {0};

	assert_int_equal(rand_secret(a, sizeof(a)), 0);
	assert_int_equal(rand_secret(b, sizeof(b)), 0);
	assert_memory_not_equal(a, b, sizeof(a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_seeds_give_equal_sequences),
		cmocka_unit_test(bounded_numbers_stay_below_and_reach_every_value),
		cmocka_unit_test(units_lie_in_the_half_open_interval),
		cmocka_unit_test(secrets_differ),
	};
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

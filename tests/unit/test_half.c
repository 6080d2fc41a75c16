/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/half.h"
#include "base/rand.h"
#include "tests/lib/test.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Against what the formats say, by arithmetic in f64 that shares nothing with the
 * code under test, and against the processor where it can do the same.
 */

/* 'exponent_bits' and 'fraction_bits' of a float of 16 bits; NaN for all NaNs. */
static double value_of(uint16_t half, unsigned exponent_bits, unsigned fraction_bits)
{
	unsigned greatest = (1U << exponent_bits) - 1;
	unsigned exponent = (unsigned)half >> fraction_bits & greatest;
	unsigned fraction = half & ((1U << fraction_bits) - 1);
	int bias = (int)greatest / 2;
	double sign = half & 0x8000 ? -1 : 1;

	if (exponent == greatest)
		return fraction ? NAN : sign * INFINITY;
	if (exponent == 0)
		return sign * ldexp(fraction, 1 - bias - (int)fraction_bits);
	return sign *
	       ldexp(fraction + (1U << fraction_bits), (int)exponent - bias - (int)fraction_bits);
}

static void assert_same_value(double expected, float found)
{
	if (isnan(expected)) {
		assert_true(isnan(found));
		return;
	}
	assert_true((double)found == expected);
	assert_int_equal(signbit(found) != 0, signbit(expected) != 0);
}

static void every_f16_becomes_its_value_and_itself_again(void **state)
{
	for (uint32_t i = 0; i <= UINT16_MAX; i++) {
		uint16_t half = (uint16_t)i;
		uint16_t quiet = isnan(value_of(half, 5, 10)) ? 0x0200 : 0;

		assert_same_value(value_of(half, 5, 10), half_from_f16(half));
		assert_int_equal(half_to_f16(half_from_f16(half)), half | quiet);
	}
}

static void every_bf16_becomes_its_value_and_itself_again(void **state)
{
	for (uint32_t i = 0; i <= UINT16_MAX; i++) {
		uint16_t half = (uint16_t)i;
		uint16_t quiet = isnan(value_of(half, 8, 7)) ? 0x0040 : 0;

		assert_same_value(value_of(half, 8, 7), half_from_bf16(half));
		assert_int_equal(half_to_bf16(half_from_bf16(half)), half | quiet);
	}
}

typedef uint16_t (*to_half_fn)(float value);

/*
 * Around the middle of each two neighbours, exact in f32: below it the lower is
 * nearer, above it the upper, and the middle itself goes to the even one.
 */
static void assert_nearest(to_half_fn to_half, unsigned exponent_bits, unsigned fraction_bits)
{
	uint16_t infinity = (uint16_t)(((1U << exponent_bits) - 1) << fraction_bits);

	for (uint16_t lower = 0; lower < infinity - 1; lower++) {
		double from = value_of(lower, exponent_bits, fraction_bits);
		double to = value_of(lower + 1, exponent_bits, fraction_bits);
		float middle = (float)((from + to) / 2);
		uint16_t even = lower + (lower & 1);

		assert_true((double)middle == (from + to) / 2);
		assert_int_equal(to_half(middle), even);
		assert_int_equal(to_half(-middle), even | 0x8000);
		assert_int_equal(to_half(nextafterf(middle, 0)), lower);
		assert_int_equal(to_half(nextafterf(middle, INFINITY)), lower + 1);
	}
}

static void rounding_is_to_the_nearest_and_to_even(void **state)
{
	assert_nearest(half_to_f16, 5, 10);
	assert_nearest(half_to_bf16, 8, 7);
}

static void what_is_too_large_becomes_infinite_from_the_overflow_on(void **state)
{
	assert_int_equal(half_to_f16(HALF_F16_OVERFLOW), HALF_F16_INF);
	assert_int_equal(half_to_f16(-HALF_F16_OVERFLOW), HALF_F16_INF | 0x8000);
	assert_int_equal(half_to_f16(nextafterf(HALF_F16_OVERFLOW, 0)), HALF_F16_INF - 1);
	assert_int_equal(half_to_f16(3e38F), HALF_F16_INF);
	assert_int_equal(half_to_f16(INFINITY), HALF_F16_INF);
	assert_int_equal(half_to_bf16(HALF_BF16_OVERFLOW), HALF_BF16_INF);
	assert_int_equal(half_to_bf16(nextafterf(HALF_BF16_OVERFLOW, 0)), HALF_BF16_INF - 1);
	assert_int_equal(half_to_bf16(-INFINITY), HALF_BF16_INF | 0x8000);
}

static void a_nan_of_any_payload_stays_one(void **state)
{
	const uint32_t nans[] = {0x7f800001, 0x7fc00000, 0xffffffff, 0xff800001, 0x7f802000};

	for (unsigned i = 0; i < sizeof(nans) / sizeof(nans[0]); i++) {
		float nan = half_float(nans[i]);

		assert_true(isnan(half_from_f16(half_to_f16(nan))));
		assert_true(isnan(half_from_bf16(half_to_bf16(nan))));
	}
}

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

__attribute__((target("f16c"))) static uint16_t processor_to_f16(float value)
{
	return _cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT);
}

__attribute__((target("f16c"))) static float processor_from_f16(uint16_t half)
{
	return _cvtsh_ss(half);
}

static bool has_f16c(void)
{
	unsigned a, b, c, d;

	return __builtin_cpu_supports("avx") && __get_cpuid(1, &a, &b, &c, &d) && c & bit_F16C;
}

static void the_processor_makes_the_same_bits(void **state)
{
	struct rand rand;

	if (!has_f16c())
		skip();
	for (uint32_t i = 0; i <= UINT16_MAX; i++)
		assert_int_equal(half_bits(processor_from_f16((uint16_t)i)),
				 half_bits(half_from_f16((uint16_t)i)));
	rand_init(&rand, 1);
	for (unsigned i = 0; i < 2000000; i++) {
		float value = half_float((uint32_t)rand_below(&rand, UINT64_C(1) << 32));

		assert_int_equal(processor_to_f16(value), half_to_f16(value));
	}
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_f16_becomes_its_value_and_itself_again),
		cmocka_unit_test(every_bf16_becomes_its_value_and_itself_again),
		cmocka_unit_test(rounding_is_to_the_nearest_and_to_even),
		cmocka_unit_test(what_is_too_large_becomes_infinite_from_the_overflow_on),
		cmocka_unit_test(a_nan_of_any_payload_stays_one),
#if defined(__x86_64__)
		cmocka_unit_test(the_processor_makes_the_same_bits),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

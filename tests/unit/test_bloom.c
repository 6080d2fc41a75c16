/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/bloom.h"

#include "base/byteorder.h"
#include "base/defs.h"
#include "base/hash.h"
#include "tests/lib/test.h"

#include <stdlib.h>

#define KEYS 20000

static uint64_t hash_of(uint64_t number)
{
	uint8_t key[8];

	store_be64(key, number);
	return bloom_hash(key, sizeof(key));
}

/* Of what wasn't added, the share that passes. */
static double mistakes(uint32_t bits)
{
	uint64_t lines = bloom_lines(KEYS, bits);
	uint32_t probes = bloom_probes(bits);
	uint8_t *filter = calloc(lines, BLOOM_LINE);
	unsigned passed = 0;

	assert_non_null(filter);
	for (uint64_t i = 0; i < KEYS; i++)
		bloom_add(filter, lines, probes, hash_of(i));
	for (uint64_t i = 0; i < KEYS; i++)
		assert_true(bloom_may_have(filter, lines, probes, hash_of(i)));
	for (uint64_t i = KEYS; i < 6 * KEYS; i++)
		passed += bloom_may_have(filter, lines, probes, hash_of(i));
	free(filter);
	return passed / (5.0 * KEYS);
}

static void what_was_added_passes_and_little_else(void **state)
{
	static const struct {
		uint32_t bits;
		double most;
	} cases[] = {{1, 0.70}, {5, 0.12}, {8, 0.03}, {10, 0.013}, {16, 0.0017}, {24, 0.0003}};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		double share = mistakes(cases[i].bits);

		print_message("%u bits: %.5f\n", cases[i].bits, share);
		assert_true(share < cases[i].most);
	}
}

/* Known bytes: a filter that is written on one machine is read on another. */
static void the_bits_are_the_formats(void **state)
{
	uint8_t filter[2 * BLOOM_LINE] = {0};
	unsigned bits = 0;
	uint64_t hash = bloom_hash("tern", 4);

	assert_int_equal(bloom_hash("", 0), UINT64_C(0x2D06800538D394C2));
	bloom_add(filter, 2, 6, hash);
	for (size_t i = 0; i < sizeof(filter); i++) {
		bits += (unsigned)__builtin_popcount(filter[i]);
		assert_true(filter[i] == 0 || i / BLOOM_LINE == hash >> 63);
	}
	assert_in_range(bits, 4, 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_added_passes_and_little_else),
		cmocka_unit_test(the_bits_are_the_formats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

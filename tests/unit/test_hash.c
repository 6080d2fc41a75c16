/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"
#include "tests/lib/test.h"

#include <string.h>

static uint32_t collection(uint64_t database, const char *name)
{
	return hash_collection(database, name, strlen(name));
}

static void homes_are_the_protocols_golden_values(void **state)
{
	assert_int_equal(collection(0, "users"), 520);
	assert_int_equal(collection(0, "orders"), 741);
	assert_int_equal(collection(0, "embeddings"), 1020);
	assert_int_equal(collection(1024, "users"), 12);
	assert_int_equal(hash_key("user:alice", 10), 829);
	assert_int_equal(hash_key("doc_42", 6), 625);
	assert_int_equal(hash_array("prices", 6), 74);
}

static void bytes_above_127_count_as_unsigned(void **state)
{
	assert_int_equal(hash_array("\xff", 1), 255);
	assert_int_equal(hash_key("\xff", 1), 255);
}

static void nothing_has_a_home_too(void **state)
{
	assert_int_equal(hash_key("", 0), 0);
	assert_int_equal(hash_array("", 0), 0);
	assert_int_equal(collection(0, ""), 0);
}

/* Published with splitmix64: the first outputs for seed 0. */
static void the_mixer_is_splitmix64s(void **state)
{
	assert_true(hash_mix64(UINT64_C(0x9E3779B97F4A7C15)) == UINT64_C(0xE220A8397B1DCDAF));
	assert_true(hash_mix64(2 * UINT64_C(0x9E3779B97F4A7C15)) == UINT64_C(0x6E789E6AA1B965F4));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(homes_are_the_protocols_golden_values),
		cmocka_unit_test(bytes_above_127_count_as_unsigned),
		cmocka_unit_test(nothing_has_a_home_too),
		cmocka_unit_test(the_mixer_is_splitmix64s),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

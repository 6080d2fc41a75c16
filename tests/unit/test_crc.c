/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crc.h"
#include "tests/lib/test.h"

static void the_check_value_is_castagnolis(void **state)
{
	assert_int_equal(crc32c("123456789", 9), 0xE3069283);
}

static void pieces_give_the_crc_of_the_whole(void **state)
{
	const char text[] = "the quick brown fox jumps over the lazy dog";

	for (size_t cut = 0; cut < sizeof(text); cut++) {
		uint32_t crc = crc32c_extend(crc32c(text, cut), text + cut, sizeof(text) - cut);

		assert_int_equal(crc, crc32c(text, sizeof(text)));
	}
}

/* Short and long inputs go different ways: both have to be the polynomial's. */
static void every_size_agrees_with_the_polynomial(void **state)
{
	uint8_t bytes[600];
	uint32_t crc = UINT32_MAX;

	for (size_t size = 0; size < sizeof(bytes); size++) {
		assert_int_equal(crc32c(bytes, size), ~crc);
		bytes[size] = (uint8_t)(size * 167 + 13);
		crc ^= bytes[size];
		for (unsigned bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ UINT32_C(0x82F63B78) : crc >> 1;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_check_value_is_castagnolis),
		cmocka_unit_test(pieces_give_the_crc_of_the_whole),
		cmocka_unit_test(every_size_agrees_with_the_polynomial),
	};
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

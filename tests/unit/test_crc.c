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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_check_value_is_castagnolis),
		cmocka_unit_test(pieces_give_the_crc_of_the_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

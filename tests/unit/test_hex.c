/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hex.h"
#include "tests/lib/test.h"

#include <string.h>

static void every_byte_comes_back(void **state)
{
	uint8_t bytes[256], back[256];
	char text[512];

	for (unsigned i = 0; i < 256; i++)
		bytes[i] = (uint8_t)i;
	hex_write(bytes, sizeof(bytes), text);
	assert_memory_equal(text, "000102", 6);
	assert_memory_equal(text + 506, "fdfeff", 6);
	assert_true(hex_read(text, sizeof(back), back));
	assert_memory_equal(back, bytes, sizeof(bytes));
}

static void both_cases_are_read_and_nothing_else(void **state)
{
	const char digits[] = "0123456789abcdefABCDEF";
	uint8_t byte;

	assert_true(hex_read("aF", 1, &byte));
	assert_int_equal(byte, 0xAF);
	for (int c = 0; c < 256; c++) {
		char high[2] = {(char)c, '0'}, low[2] = {'0', (char)c};
		bool is_digit = c != 0 && strchr(digits, c);

		assert_int_equal(hex_read(high, 1, &byte), is_digit);
		assert_int_equal(hex_read(low, 1, &byte), is_digit);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_byte_comes_back),
		cmocka_unit_test(both_cases_are_read_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

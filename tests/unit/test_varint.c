/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/varint.h"

#include "base/defs.h"
#include "base/rand.h"
#include "tests/lib/test.h"

static void every_length_comes_back(void **state)
{
	struct rand rand;

	rand_init(&rand, 1);
	for (unsigned bits = 0; bits <= 64; bits++) {
		for (unsigned i = 0; i < 50; i++) {
			uint64_t value = bits == 0 ? 0 : rand_next(&rand) >> (64 - bits), back = 1;
			uint8_t bytes[VARINT_SIZE_MAX];
			const uint8_t *end = varint_put(bytes, value);

			assert_int_equal(end - bytes, varint_size(value));
			assert_ptr_equal(varint_get(bytes, end, &back), end);
			assert_int_equal(back, value);
			for (const uint8_t *cut = bytes; cut < end; cut++)
				assert_null(varint_get(bytes, cut, &back));
		}
	}
}

static void the_largest_has_ten_bytes(void **state)
{
	static const uint8_t wanted[] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1};
	uint8_t bytes[VARINT_SIZE_MAX];

	assert_ptr_equal(varint_put(bytes, UINT64_MAX), bytes + sizeof(wanted));
	assert_memory_equal(bytes, wanted, sizeof(wanted));
}

static void longer_forms_and_larger_numbers_are_refused(void **state)
{
	static const uint8_t cases[][11] = {
		{0x80, 0},
		{0x81, 0x80, 0},
		{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2},
		{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x81, 1},
		{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		uint64_t value = 77;

		assert_null(varint_get(cases[i], cases[i] + sizeof(cases[i]), &value));
		assert_int_equal(value, 77);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_length_comes_back),
		cmocka_unit_test(the_largest_has_ten_bytes),
		cmocka_unit_test(longer_forms_and_larger_numbers_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

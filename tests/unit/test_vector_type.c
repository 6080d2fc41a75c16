/* SPDX-License-Identifier: Apache-2.0 */
#include "base/vector_type.h"
#include "tests/lib/test.h"

#include <errno.h>

static void a_type_survives_its_name(void **state)
{
	for (uint32_t i = 0; i < VECTOR_TYPE_COUNT; i++) {
		enum vector_type type;

		assert_int_equal(vector_type_parse(vector_type_name(i), &type), 0);
		assert_int_equal(type, i);
	}
}

static void the_numbers_are_the_files(void **state)
{
	assert_string_equal(vector_type_name(0), "f32");
	assert_string_equal(vector_type_name(1), "f16");
	assert_string_equal(vector_type_name(2), "bf16");
	assert_string_equal(vector_type_name(3), "i8");
	assert_string_equal(vector_type_name(4), "u8");
	assert_string_equal(vector_type_name(5), "b1");
}

static void what_is_no_type_is_refused(void **state)
{
	enum vector_type type = VECTOR_U8;

	assert_null(vector_type_name(VECTOR_TYPE_COUNT));
	assert_null(vector_type_name(UINT32_MAX));
	assert_int_equal(vector_type_parse("", &type), -EINVAL);
	assert_int_equal(vector_type_parse("F32", &type), -EINVAL);
	assert_int_equal(vector_type_parse("f64", &type), -EINVAL);
	assert_int_equal(type, VECTOR_U8);
}

static void a_row_has_whole_bytes(void **state)
{
	assert_int_equal(vector_type_size(VECTOR_F32, 3), 12);
	assert_int_equal(vector_type_size(VECTOR_F16, 3), 6);
	assert_int_equal(vector_type_size(VECTOR_BF16, 3), 6);
	assert_int_equal(vector_type_size(VECTOR_I8, 3), 3);
	assert_int_equal(vector_type_size(VECTOR_U8, 3), 3);
	assert_int_equal(vector_type_size(VECTOR_B1, 0), 0);
	assert_int_equal(vector_type_size(VECTOR_B1, 1), 1);
	assert_int_equal(vector_type_size(VECTOR_B1, 8), 1);
	assert_int_equal(vector_type_size(VECTOR_B1, 9), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_type_survives_its_name),
		cmocka_unit_test(the_numbers_are_the_files),
		cmocka_unit_test(what_is_no_type_is_refused),
		cmocka_unit_test(a_row_has_whole_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

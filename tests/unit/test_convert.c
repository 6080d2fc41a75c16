/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/convert.h"
#include "base/defs.h"
#include "hnsw/dist.h"
#include "tests/lib/test.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#define ROW_MAX 512

static int check_one(enum vector_type type, float value)
{
	const float values[] = {0, value, 1};
	size_t index = 77;
	int code = convert_check(type, values, ARRAY_COUNT(values), &index);

	assert_int_equal(index, code ? 1 : 77);
	return code;
}

static void infinities_and_nans_are_refused_by_every_type(void **state)
{
	for (unsigned type = 0; type < VECTOR_TYPE_COUNT; type++) {
		assert_int_equal(check_one(type, NAN), CONVERT_E_FINITE);
		assert_int_equal(check_one(type, INFINITY), CONVERT_E_FINITE);
		assert_int_equal(check_one(type, -INFINITY), CONVERT_E_FINITE);
		assert_int_equal(check_one(type, -0.0F), 0);
	}
}

static void a_float_that_would_become_infinite_is_refused(void **state)
{
	assert_int_equal(check_one(VECTOR_F16, 65504), 0);
	assert_int_equal(check_one(VECTOR_F16, 65519.9F), 0);
	assert_int_equal(check_one(VECTOR_F16, 65520), CONVERT_E_RANGE);
	assert_int_equal(check_one(VECTOR_F16, -65520), CONVERT_E_RANGE);
	assert_int_equal(check_one(VECTOR_F16, -3e38F), CONVERT_E_RANGE);
	assert_int_equal(check_one(VECTOR_BF16, 0x1.fep127F), 0);
	assert_int_equal(check_one(VECTOR_BF16, 0x1.ffp127F), CONVERT_E_RANGE);
	assert_int_equal(check_one(VECTOR_F32, 0x1.fffffep127F), 0);
}

static void integers_take_only_what_they_hold_exactly(void **state)
{
	assert_int_equal(check_one(VECTOR_I8, -128), 0);
	assert_int_equal(check_one(VECTOR_I8, 127), 0);
	assert_int_equal(check_one(VECTOR_I8, 128), CONVERT_E_RANGE);
	assert_int_equal(check_one(VECTOR_I8, -128.5F), CONVERT_E_RANGE);
	assert_int_equal(check_one(VECTOR_I8, 0.5F), CONVERT_E_INTEGER);
	assert_int_equal(check_one(VECTOR_I8, 1e-45F), CONVERT_E_INTEGER);
	assert_int_equal(check_one(VECTOR_U8, 255), 0);
	assert_int_equal(check_one(VECTOR_U8, 256), CONVERT_E_RANGE);
	assert_int_equal(check_one(VECTOR_U8, -1), CONVERT_E_RANGE);
	assert_int_equal(check_one(VECTOR_U8, 254.99F), CONVERT_E_INTEGER);
	assert_int_equal(check_one(VECTOR_B1, 1), 0);
	assert_int_equal(check_one(VECTOR_B1, 2), CONVERT_E_BIT);
	assert_int_equal(check_one(VECTOR_B1, -1), CONVERT_E_BIT);
	assert_int_equal(check_one(VECTOR_B1, 0.5F), CONVERT_E_BIT);
}

static void each_refusal_has_words_of_its_own(void **state)
{
	for (int code = CONVERT_E_FINITE; code <= CONVERT_E_BIT; code++)
		for (int other = CONVERT_E_FINITE; other < code; other++)
			assert_string_not_equal(convert_refusal(code), convert_refusal(other));
}

/* Every value that every type holds, in every length, with filth where the padding goes. */
static void a_row_survives_the_way_there_and_back(void **state)
{
	for (unsigned type = 0; type < VECTOR_TYPE_COUNT; type++) {
		for (size_t dim = 1; dim <= 100; dim++) {
			uint8_t row[ROW_MAX];
			float values[100], back[100];
			size_t size = dist_row_size(type, dim);

			memset(row, 0xa5, sizeof(row));
			for (size_t i = 0; i < dim; i++)
				values[i] = (float)(i * i % 7 % 2);
			convert_row(type, values, dim, row);
			convert_back(type, row, dim, back);
			assert_memory_equal(values, back, dim * sizeof(values[0]));
			for (size_t i = vector_type_size(type, dim); i < size; i++)
				assert_int_equal(row[i], 0);
			assert_int_equal(row[size], 0xa5);
		}
	}
}

static void every_integer_survives(void **state)
{
	float values[256], back[256];
	uint8_t row[ROW_MAX];

	for (int i = 0; i < 256; i++)
		values[i] = (float)(i - 128);
	convert_row(VECTOR_I8, values, 256, row);
	convert_back(VECTOR_I8, row, 256, back);
	assert_memory_equal(values, back, sizeof(values));
	for (int i = 0; i < 256; i++)
		values[i] = (float)i;
	convert_row(VECTOR_U8, values, 256, row);
	convert_back(VECTOR_U8, row, 256, back);
	assert_memory_equal(values, back, sizeof(values));
}

static void equal_vectors_have_equal_bytes(void **state)
{
	const float negative[] = {-0.0F, -1e-45F, 1};
	const float positive[] = {0, 0, 1};

	for (unsigned type = 0; type < VECTOR_TYPE_COUNT; type++) {
		/* A f32 holds the subnormal; for the others it rounds to zero. */
		size_t skipped = type == VECTOR_F16 || type == VECTOR_BF16 ? 0 : 2;
		float mixed[] = {-0.0F, -0.0F, 1};
		uint8_t a[DIST_ALIGN], b[DIST_ALIGN];

		convert_row(type, skipped ? mixed : negative, 3, a);
		convert_row(type, positive, 3, b);
		assert_memory_equal(a, b, sizeof(a));
	}
}

static void bits_are_packed_from_the_lowest(void **state)
{
	const float values[] = {1, 0, 0, 0, 0, 0, 0, 1, 0, 1};
	uint8_t row[DIST_ALIGN];

	convert_row(VECTOR_B1, values, ARRAY_COUNT(values), row);
	assert_int_equal(row[0], 0x81);
	assert_int_equal(row[1], 0x02);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(infinities_and_nans_are_refused_by_every_type),
		cmocka_unit_test(a_float_that_would_become_infinite_is_refused),
		cmocka_unit_test(integers_take_only_what_they_hold_exactly),
		cmocka_unit_test(each_refusal_has_words_of_its_own),
		cmocka_unit_test(a_row_survives_the_way_there_and_back),
		cmocka_unit_test(every_integer_survives),
		cmocka_unit_test(equal_vectors_have_equal_bytes),
		cmocka_unit_test(bits_are_packed_from_the_lowest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include <stdio.h>

/* The model that stands for AMX in test_dist_amx.c, against what the manual says, by hand. */

#if !defined(__x86_64__)
int main(void)
{
	printf("tiles are x86-64's\n");
	return TEST_SKIP;
}
#else
#include "tests/lib/amx_model.h"

#include "base/defs.h"

#include <stdbool.h>
#include <string.h>

/* An operand of LDTILECFG with tiles 0 (2 lines of 12 bytes), 1 (2 of 8) and 2 (2 of 12). */
static void good_operand(uint8_t *operand)
{
	memset(operand, 0, 64);
	operand[0] = 1;
	operand[16] = 12;
	operand[18] = 8;
	operand[20] = 12;
	memset(operand + 48, 2, 3);
}

static void configure(void)
{
	uint8_t operand[64];

	good_operand(operand);
	amx_model_reset();
	_tile_loadconfig(operand);
	assert_int_equal(amx_model.faults, 0);
}

static int setup(void **state)
{
	configure();
	return 0;
}

/* One byte of a good operand changed is a fault, and leaves tiles as they were. */
static void assert_refused(unsigned at, uint8_t byte)
{
	uint8_t operand[64];
	unsigned faults = amx_model.faults;

	good_operand(operand);
	operand[at] = byte;
	amx_model.data[0][0][0] = 9;
	_tile_loadconfig(operand);
	assert_int_equal(amx_model.faults, faults + 1);
	assert_int_equal(amx_model.data[0][0][0], 9);
}

static void bad_configurations_fault(void **state)
{
	assert_refused(0, 2);
	for (unsigned at = 2; at < 16; at++)
		assert_refused(at, 1);
	for (unsigned at = 32; at < 48; at++)
		assert_refused(at, 1);
	for (unsigned at = 56; at < 64; at++)
		assert_refused(at, 1);
	assert_refused(16, 65);
	assert_refused(17, 1);
	assert_refused(48, 17);
	assert_refused(16, 0);
	assert_refused(48, 0);
	assert_refused(22, 4);
	assert_refused(51, 4);
}

static void configuring_zeroes_tiles_and_palette_0_releases(void **state)
{
	uint8_t operand[64];

	good_operand(operand);
	memset(amx_model.data, 7, sizeof(amx_model.data));
	_tile_loadconfig(operand);
	assert_int_equal(amx_model.data[1][1][1], 0);
	assert_int_equal(amx_model.line_bytes[2], 12);
	memset(operand, 0, sizeof(operand));
	_tile_loadconfig(operand);
	assert_int_equal(amx_model.palette, 0);
	assert_int_equal(amx_model.lines[0], 0);
	assert_int_equal(amx_model.faults, 0);
	_tile_zero(0);
	assert_int_equal(amx_model.faults, 1);
}

static void a_load_reads_its_lines_and_zeroes_the_rest(void **state)
{
	uint8_t memory[2 * 20];

	for (unsigned i = 0; i < sizeof(memory); i++)
		memory[i] = (uint8_t)(i + 1);
	memset(amx_model.data[0], 7, sizeof(amx_model.data[0]));
	_tile_loadd(0, memory, 20);
	assert_memory_equal(amx_model.data[0][0], memory, 12);
	assert_memory_equal(amx_model.data[0][1], memory + 20, 12);
	for (unsigned line = 0; line < AMX_MODEL_LINES; line++)
		for (unsigned i = line < 2 ? 12 : 0; i < AMX_MODEL_BYTES; i++)
			assert_int_equal(amx_model.data[0][line][i], 0);
}

static void an_interrupted_load_goes_on_where_it_was(void **state)
{
	const uint8_t memory[24] = {1, [12] = 2};

	memset(amx_model.data[0], 7, sizeof(amx_model.data[0]));
	amx_model.start_row = 1;
	_tile_loadd(0, memory, 12);
	assert_int_equal(amx_model.data[0][0][0], 7);
	assert_int_equal(amx_model.data[0][1][0], 2);
	assert_int_equal(amx_model.start_row, 0);
}

static void a_store_writes_its_bytes_only(void **state)
{
	uint8_t memory[3 * 16];

	memset(memory, 9, sizeof(memory));
	memset(amx_model.data[0], 7, sizeof(amx_model.data[0]));
	_tile_stored(0, memory, 16);
	for (unsigned i = 0; i < sizeof(memory); i++)
		assert_int_equal(memory[i], i < 32 && i % 16 < 12 ? 7 : 9);
	_tile_zero(0);
	_tile_stored(0, memory, 16);
	assert_int_equal(memory[0], 0);
}

/* 2 x 8 times 8 x 3, with a row of 255 (or -1) and a column of 128 (or -128). */
static void load_factors(void)
{
	static const uint8_t a[2][8] = {{1, 2, 3, 4, 5, 6, 7, 8}, {255, 0, 0, 0, 0, 0, 0, 255}};
	static const uint8_t b[2][12] = {{1, 1, 1, 1, 1, 0, 0, 0, 128, 0, 0, 0},
					 {1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 0, 128}};

	_tile_loadd(1, a, 8);
	_tile_loadd(2, b, 12);
}

static void assert_products(int32_t a00, int32_t a01, int32_t a02, int32_t a10, int32_t a11,
			    int32_t a12)
{
	const int32_t expected[6] = {a00, a01, a02, a10, a11, a12};
	int32_t found[6];

	_tile_stored(0, found, 12);
	assert_memory_equal(found, expected, sizeof(found));
	assert_int_equal(amx_model.faults, 0);
}

static void products_are_those_of_matrices_in_either_signedness(void **state)
{
	load_factors();
	_tile_zero(0);
	_tile_dpbuud(0, 1, 2);
	assert_products(36, 9, 9 * 128, 510, 510, 510 * 128);
	_tile_zero(0);
	_tile_dpbssd(0, 1, 2);
	assert_products(36, 9, -9 * 128, -2, -2, 2 * 128);
	_tile_zero(0);
	_tile_dpbsud(0, 1, 2);
	assert_products(36, 9, 9 * 128, -2, -2, -2 * 128);
	_tile_zero(0);
	_tile_dpbusd(0, 1, 2);
	assert_products(36, 9, -9 * 128, 510, 510, -510 * 128);
}

static void products_are_added_and_wrap_around(void **state)
{
	const int32_t before[6] = {1, 0, 0, INT32_MAX, INT32_MIN, 0};

	load_factors();
	_tile_loadd(0, before, 12);
	memset(&amx_model.data[0][0][12], 7, 4);
	_tile_dpbuud(0, 1, 2);
	assert_products(37, 9, 1152, INT32_MIN + 509, INT32_MIN + 510, 65280);
	assert_int_equal(amx_model.data[0][0][12], 0);
}

static void shapes_that_do_not_match_fault(void **state)
{
	static const struct {
		uint8_t at, byte;
	} changes[] = {
		{48, 3},  /* the sum has more lines than a */
		{50, 3},  /* b has more lines than a has values */
		{20, 8},  /* b has fewer columns than the sum */
		{18, 12}, /* a has more values than b has lines */
		{18, 6},  /* and no whole number of four */
	};
	uint8_t operand[64];

	for (unsigned i = 0; i < ARRAY_COUNT(changes); i++) {
		amx_model_reset();
		good_operand(operand);
		operand[changes[i].at] = changes[i].byte;
		_tile_loadconfig(operand);
		assert_int_equal(amx_model.faults, 0);
		_tile_dpbssd(0, 1, 2);
		assert_int_equal(amx_model.faults, 1);
	}
}

static void one_tile_twice_or_not_configured_faults(void **state)
{
	_tile_dpbssd(0, 0, 2);
	_tile_dpbssd(0, 1, 0);
	_tile_dpbssd(0, 1, 1);
	assert_int_equal(amx_model.faults, 3);
	_tile_zero(3);
	_tile_loadd(3, NULL, 0);
	_tile_stored(3, NULL, 0);
	assert_int_equal(amx_model.faults, 6);
	_tile_release();
	_tile_dpbssd(0, 1, 2);
	assert_int_equal(amx_model.faults, 7);
	assert_int_equal(amx_model.products, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(bad_configurations_fault, setup),
		cmocka_unit_test_setup(configuring_zeroes_tiles_and_palette_0_releases, setup),
		cmocka_unit_test_setup(a_load_reads_its_lines_and_zeroes_the_rest, setup),
		cmocka_unit_test_setup(an_interrupted_load_goes_on_where_it_was, setup),
		cmocka_unit_test_setup(a_store_writes_its_bytes_only, setup),
		cmocka_unit_test_setup(products_are_those_of_matrices_in_either_signedness, setup),
		cmocka_unit_test_setup(products_are_added_and_wrap_around, setup),
		cmocka_unit_test_setup(shapes_that_do_not_match_fault, setup),
		cmocka_unit_test_setup(one_tile_twice_or_not_configured_faults, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
#endif

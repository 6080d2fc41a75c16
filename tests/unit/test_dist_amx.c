/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "hnsw/dist_amx.h"
#include "tests/lib/batch_check.h"

#include <stdio.h>

/*
 * The kernel of AMX, compiled against a model of its instructions, so that its logic is checked on
 * processors that don't have them; and what decides whether they are there.
 */

#if defined(__x86_64__)
#include "tests/lib/amx_model.h"

/* Its table by another name beside the library's. */
#define dist_batch_amx dist_batch_modelled
#include "hnsw/dist_batch_amx.c" /* NOLINT(bugprone-suspicious-include) */

/* Nothing faulted, tiles were released, and the model did work. */
static void look(void)
{
	if (amx_model.fault)
		print_message("%s\n", amx_model.fault);
	assert_int_equal(amx_model.faults, 0);
	assert_int_equal(amx_model.palette, 0);
}

static void modelled_products_are_exact(void **state)
{
	amx_model_reset();
	batch_check(&dist_batch_modelled, look);
	assert_true(amx_model.configured > 0 && amx_model.products > 0);
}

/* Rows beyond the last aren't multiplied: 40 rows are two tiles and a part of one. */
static void tiles_are_configured_for_the_rows_that_are_left(void **state)
{
	static uint8_t rows[40 * DIST_ALIGN];
	static uint8_t packed[2 * DIST_BATCH_QUERIES * DIST_ALIGN] __attribute__((aligned(64)));
	static int32_t products[40 * DIST_BATCH_QUERIES];
	const struct dist_batch_rows all = {rows, DIST_ALIGN, 40}, none = {rows, DIST_ALIGN, 0};
	struct dist_batch batch;

	amx_model_reset();
	dist_batch_init(&batch, &dist_batch_modelled, VECTOR_U8, DIST_ALIGN, packed);
	dist_batch_products(&batch, &none, products);
	assert_int_equal(amx_model.configured, 0);
	dist_batch_products(&batch, &all, products);
	assert_int_equal(amx_model.configured, 2);
	assert_int_equal(amx_model.products, 4 + 2);
	look();
}
#endif

/* What a Sapphire Rapids says. */
static const struct dist_amx_facts enough = {
	.leaf1_ecx = UINT32_C(1) << 27,
	.leaf7_edx = UINT32_C(7) << 22 | UINT32_C(1) << 25,
	.xcr0 = 0x602e7,
	.palette_eax = 1024 << 16 | 8192,
	.palette_ebx = 8 << 16 | 64,
	.palette_ecx = 16,
};

static void tiles_are_used_where_everything_is_there(void **state)
{
	assert_true(dist_amx_suffices(&enough));
}

static void tiles_are_not_used_where_anything_is_missing(void **state)
{
	struct dist_amx_facts facts = enough;

	facts.leaf1_ecx = 0;
	assert_false(dist_amx_suffices(&facts));
	for (unsigned bit = 24; bit <= 25; bit++) {
		facts = enough;
		facts.leaf7_edx &= ~(UINT32_C(1) << bit);
		assert_false(dist_amx_suffices(&facts));
	}
	for (unsigned bit = 17; bit <= 18; bit++) {
		facts = enough;
		facts.xcr0 &= ~(UINT64_C(1) << bit);
		assert_false(dist_amx_suffices(&facts));
	}
	facts = enough;
	facts.palette_ebx = 4 << 16 | 64;
	assert_false(dist_amx_suffices(&facts));
	facts.palette_ebx = 8 << 16 | 32;
	assert_false(dist_amx_suffices(&facts));
	facts = enough;
	facts.palette_ecx = 8;
	assert_false(dist_amx_suffices(&facts));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#if defined(__x86_64__)
		cmocka_unit_test(modelled_products_are_exact),
		cmocka_unit_test(tiles_are_configured_for_the_rows_that_are_left),
#endif
		cmocka_unit_test(tiles_are_used_where_everything_is_there),
		cmocka_unit_test(tiles_are_not_used_where_anything_is_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

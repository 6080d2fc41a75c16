/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/defs.h"
#include "base/rand.h"
#include "hnsw/dist_batch_pack.h"
#include "tests/lib/batch_check.h"

#include <string.h>

/* Kernels of batches as this processor runs them; those of AMX are also in test_dist_amx.c. */

static void scalar_products_are_exact(void **state)
{
	batch_check(&dist_batch_scalar, NULL);
}

#if defined(__x86_64__)
/* Skips the rest of the test, with a reason, where the processor doesn't have it. */
static void need(bool here, const char *isa)
{
	if (here)
		return;
	print_message("%s: not on this processor\n", isa);
	skip();
}

static void avx2_products_are_exact(void **state)
{
	need(dist_find("avx2"), "avx2");
	batch_check(&dist_batch_avx2, NULL);
}

static void avx512_products_are_exact_without_vnni(void **state)
{
	need(dist_find("avx512"), "avx512");
	batch_check(&dist_batch_avx512, NULL);
}

static void vnni_products_are_exact(void **state)
{
	need(dist_batch_find("avx512") == &dist_batch_vnni, "avx512 with vnni");
	batch_check(&dist_batch_vnni, NULL);
}

static void amx_products_are_exact(void **state)
{
	need(dist_find("amx"), "amx");
	batch_check(&dist_batch_amx, NULL);
}
#endif

static void kernels_go_with_the_table_of_their_name(void **state)
{
	static const char *const names[] = {"scalar", "avx2", "avx512", "amx", "sse9", ""};

	for (size_t i = 0; i < ARRAY_COUNT(names); i++)
		assert_int_equal(!dist_batch_find(names[i]), !dist_find(names[i]));
	assert_ptr_equal(dist_batch_best(), dist_batch_find(dist_best()->isa));
}

/* From products of i32 to squared differences, also where the two squares together leave i32. */
static void squared_differences_come_of_products(void **state)
{
	const int32_t most = 255 * 255 * DIST_DIM_MAX;

	assert_int_equal(dist_batch_l2(25, 4, 10), 9);
	assert_int_equal(dist_batch_l2(most, most, most), 0);
	assert_int_equal(dist_batch_l2(most, 0, 0), most);
	assert_int_equal(dist_batch_l2(128 * 128 * DIST_DIM_MAX, 127 * 127 * DIST_DIM_MAX,
				       -128 * 127 * DIST_DIM_MAX),
			 most);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scalar_products_are_exact),
#if defined(__x86_64__)
		cmocka_unit_test(avx2_products_are_exact),
		cmocka_unit_test(avx512_products_are_exact_without_vnni),
		cmocka_unit_test(vnni_products_are_exact),
		cmocka_unit_test(amx_products_are_exact),
#endif
		cmocka_unit_test(kernels_go_with_the_table_of_their_name),
		cmocka_unit_test(squared_differences_come_of_products),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

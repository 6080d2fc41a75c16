/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/byteorder.h"
#include "cluster/coarse.h"
#include "proto/payload_vector.h"

#include <errno.h>
#include <math.h>
#include <string.h>

/* A body of up to four centroids of two floats, each with one member and radius 0. */
static size_t make_body(uint32_t count, const float *centroids, uint8_t body[128])
{
	const struct coarse_summary summary = {
		.dim = 2,
		.count = count,
		.centroids = centroids,
		.member_counts = (uint32_t[]){1, 1, 1, 1},
		.radii = (float[]){0, 0, 0, 0},
	};

	return coarse_body_encode(&summary, body, 128);
}

static void set(struct coarse *coarse, uint32_t shard, uint32_t count, const float *centroids)
{
	uint8_t body[128];
	size_t size = make_body(count, centroids, body);

	assert_int_equal(coarse_set(coarse, shard, body, size), 0);
}

static void expect_order(struct coarse *coarse, float x, float y, const uint32_t *expected,
			 uint32_t count)
{
	uint32_t order[8];

	coarse_order(coarse, (float[]){x, y}, order);
	assert_memory_equal(order, expected, count * sizeof(*order));
}

static void the_body_has_the_protocols_bytes(void **state)
{
	const struct coarse_summary summary = {
		.dim = 2,
		.count = 1,
		.centroids = (float[]){1, -2},
		.member_counts = (uint32_t[]){0x01020304},
		.radii = (float[]){0.5f},
	};
	uint8_t expected[24], body[24];

	test_unhex("01000000 00000000 04030201 0000003f 0000803f 000000c0", expected, 24);
	assert_int_equal(coarse_body_size(2, 1), 24);
	assert_int_equal(coarse_body_encode(&summary, body, 24), 24);
	assert_memory_equal(body, expected, 24);
	assert_int_equal(coarse_body_encode(&summary, body, 23), 0);
}

static void under_l2_the_nearest_centroid_counts(void **state)
{
	struct coarse *coarse;

	assert_int_equal(coarse_new(METRIC_L2, 2, 3, &coarse), 0);
	set(coarse, 0, 1, (float[]){0, 0});
	set(coarse, 1, 2, (float[]){100, 100, 3, 0});
	set(coarse, 2, 1, (float[]){0, 5});
	expect_order(coarse, 0, 0, (uint32_t[]){0, 1, 2}, 3);
	expect_order(coarse, 90, 90, (uint32_t[]){1, 2, 0}, 3);
	expect_order(coarse, 0, 4, (uint32_t[]){2, 0, 1}, 3);
	coarse_free(coarse);
}

static void under_cosine_directions_count(void **state)
{
	struct coarse *coarse;

	assert_int_equal(coarse_new(METRIC_COSINE, 2, 2, &coarse), 0);
	set(coarse, 0, 1, (float[]){1000, 1000});
	set(coarse, 1, 1, (float[]){0.001f, 0});
	expect_order(coarse, 5, 0.1f, (uint32_t[]){1, 0}, 2);
	expect_order(coarse, 5, 4, (uint32_t[]){0, 1}, 2);
	coarse_free(coarse);
}

static void under_the_inner_product_length_counts(void **state)
{
	struct coarse *coarse;

	assert_int_equal(coarse_new(METRIC_IP, 2, 2, &coarse), 0);
	set(coarse, 0, 1, (float[]){1000, 1000});
	set(coarse, 1, 1, (float[]){1, 0});
	expect_order(coarse, 5, 0.1f, (uint32_t[]){0, 1}, 2);
	expect_order(coarse, -5, 0.1f, (uint32_t[]){1, 0}, 2);
	coarse_free(coarse);
}

static void unknown_shards_come_first_and_empty_ones_last(void **state)
{
	struct coarse *coarse;

	assert_int_equal(coarse_new(METRIC_L2, 2, 4, &coarse), 0);
	assert_false(coarse_known(coarse, 1));
	expect_order(coarse, 0, 0, (uint32_t[]){0, 1, 2, 3}, 4);
	set(coarse, 0, 0, NULL);
	set(coarse, 1, 1, (float[]){1, 1});
	set(coarse, 3, 1, (float[]){1, 1});
	assert_true(coarse_known(coarse, 0));
	expect_order(coarse, 0, 0, (uint32_t[]){2, 1, 3, 0}, 4);
	coarse_free(coarse);
}

static void a_newer_descriptor_replaces_and_a_bad_one_does_not(void **state)
{
	struct coarse *coarse;
	uint8_t body[128];
	size_t size;

	assert_int_equal(coarse_new(METRIC_L2, 2, 2, &coarse), 0);
	set(coarse, 0, 1, (float[]){0, 0});
	set(coarse, 1, 1, (float[]){1, 0});
	set(coarse, 0, 2, (float[]){9, 9, 8, 8});
	expect_order(coarse, 0, 0, (uint32_t[]){1, 0}, 2);

	size = make_body(1, (float[]){0, 0}, body);
	assert_int_equal(coarse_set(coarse, 0, body, size - 1), COARSE_E_MALFORMED);
	store_lef32(body + size - 4, NAN);
	assert_int_equal(coarse_set(coarse, 0, body, size), COARSE_E_MALFORMED);
	expect_order(coarse, 0, 0, (uint32_t[]){1, 0}, 2);
	coarse_free(coarse);
}

static void shapes_out_of_range_are_refused(void **state)
{
	struct coarse *coarse;

	assert_int_equal(coarse_new(METRIC_COUNT, 2, 2, &coarse), -EINVAL);
	assert_int_equal(coarse_new(METRIC_L2, 0, 2, &coarse), -EINVAL);
	assert_int_equal(coarse_new(METRIC_L2, VECTOR_DIM_MAX + 1, 2, &coarse), -EINVAL);
	assert_int_equal(coarse_new(METRIC_L2, 2, 0, &coarse), -EINVAL);
	coarse_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_body_has_the_protocols_bytes),
		cmocka_unit_test(under_l2_the_nearest_centroid_counts),
		cmocka_unit_test(under_cosine_directions_count),
		cmocka_unit_test(under_the_inner_product_length_counts),
		cmocka_unit_test(unknown_shards_come_first_and_empty_ones_last),
		cmocka_unit_test(a_newer_descriptor_replaces_and_a_bad_one_does_not),
		cmocka_unit_test(shapes_out_of_range_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

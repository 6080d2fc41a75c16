/* SPDX-License-Identifier: Apache-2.0 */
#include "base/metric.h"
#include "tests/lib/test.h"

#include <errno.h>

static void a_metric_survives_its_name(void **state)
{
	for (uint32_t i = 0; i < METRIC_COUNT; i++) {
		enum metric metric;

		assert_int_equal(metric_parse(metric_name(i), &metric), 0);
		assert_int_equal(metric, i);
	}
}

static void the_numbers_are_the_protocols(void **state)
{
	assert_string_equal(metric_name(0), "l2");
	assert_string_equal(metric_name(1), "cosine");
	assert_string_equal(metric_name(2), "ip");
}

static void what_is_no_metric_is_refused(void **state)
{
	enum metric metric = METRIC_IP;

	assert_null(metric_name(METRIC_COUNT));
	assert_null(metric_name(UINT32_MAX));
	assert_int_equal(metric_parse("", &metric), -EINVAL);
	assert_int_equal(metric_parse("L2", &metric), -EINVAL);
	assert_int_equal(metric, METRIC_IP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_metric_survives_its_name),
		cmocka_unit_test(the_numbers_are_the_protocols),
		cmocka_unit_test(what_is_no_metric_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/defs.h"
#include "proto/status.h"
#include "tests/lib/test.h"

#include <string.h>

static void every_status_has_its_text_and_retry_rule(void **state)
{
	static const struct {
		uint16_t number;
		bool retry;
		const char *text;
	} rows[] = {
#define ROW(number, name, retry, text) {number, retry, text},
		STATUS_LIST(ROW)
#undef ROW
	};

	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		assert_string_equal(status_text(rows[i].number), rows[i].text);
		assert_int_equal(status_retry(rows[i].number), rows[i].retry);
		/* Ascending, so unique; and the hundreds say what is in trouble. */
		assert_true(!i || rows[i - 1].number < rows[i].number);
		assert_true(rows[i].number < 500);
	}
}

static void unknown_numbers_are_not_repeated(void **state)
{
	assert_string_equal(status_text(99), "unknown status");
	assert_string_equal(status_text(UINT16_MAX), "unknown status");
	assert_false(status_retry(99));
	assert_false(status_retry(UINT16_MAX));
}

static void what_may_have_been_executed_is_never_repeated(void **state)
{
	assert_false(status_retry(STATUS_OK));
	assert_false(status_retry(STATUS_SESSION_LOST));
	assert_true(status_retry(STATUS_OVERLOADED));
	assert_true(status_retry(STATUS_UNREACHABLE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_status_has_its_text_and_retry_rule),
		cmocka_unit_test(unknown_numbers_are_not_repeated),
		cmocka_unit_test(what_may_have_been_executed_is_never_repeated),
	};
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

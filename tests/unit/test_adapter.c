/* SPDX-License-Identifier: Apache-2.0 */
#include "client/adapter.h"

#include "tests/lib/fake_verbs.h"
#include "tests/lib/test.h"

#include <string.h>

#define DEVICES 3

static void devices_are_shown_with_what_they_can_or_why_they_cannot(void **state)
{
	const struct verbs_ops *ops =
		fake_verbs_new(&(struct fake_verbs_config){.devices = DEVICES, .port_down = true});
	struct adapter devices[DEVICES + 1];

	(void)state;
	assert_int_equal(adapter_look(ops, devices, DEVICES + 1), DEVICES);
	assert_string_equal(devices[0].name, "fake0");
	assert_false(devices[0].opens);
	assert_non_null(strstr(devices[0].why_not, "is down"));
	assert_true(devices[1].opens);
	assert_string_equal(devices[1].why_not, "");
	assert_true(devices[1].info.read_out_max > 0 && devices[1].gid_count > 0);
	assert_int_equal(adapter_look(ops, devices, 1), 1);
	assert_int_equal(fake_verbs_live(), 0);
}

static void a_machine_without_devices_has_none(void **state)
{
	const struct verbs_ops *ops = fake_verbs_new(&(struct fake_verbs_config){.devices = 0});
	struct adapter device;

	(void)state;
	assert_int_equal(adapter_look(ops, &device, 1), 0);
}

static void gids_are_shown_as_the_addresses_that_they_are(void **state)
{
	const uint8_t four[16] = {[10] = 0xFF, 0xFF, 10, 77, 0, 1};
	const uint8_t six[16] = {0xFD, 0x77, [15] = 1};
	char text[ADAPTER_GID_TEXT_MAX];

	(void)state;
	assert_string_equal(adapter_gid_text(four, text), "10.77.0.1");
	assert_string_equal(adapter_gid_text(six, text), "fd77::1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(devices_are_shown_with_what_they_can_or_why_they_cannot),
		cmocka_unit_test(a_machine_without_devices_has_none),
		cmocka_unit_test(gids_are_shown_as_the_addresses_that_they_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

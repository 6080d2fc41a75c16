/* SPDX-License-Identifier: Apache-2.0 */
#include "base/defs.h"
#include "rdma/device.h"
#include "tests/lib/fake_verbs.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>

static const struct device_options any = {.gid_index = -1};
static char error[DEVICE_ERROR_MAX];

static void the_best_gid_is_rocev2_over_ipv4(void **state)
{
	const struct verbs_ops *ops = fake_verbs_new(&(struct fake_verbs_config){.devices = 1});
	struct device *device;
	struct addr addr;
	char text[ADDR_TEXT_MAX];

	(void)state;
	assert_int_equal(device_open(ops, &any, &device, error, sizeof(error)), 0);
	assert_string_equal(device_info(device)->name, "fake0");
	assert_int_equal(device_info(device)->gid_index, 3);
	assert_int_equal(device_info(device)->transport, DEVICE_ROCE_V2);
	assert_int_equal(device_info(device)->mtu, 4096);
	assert_true(device_info(device)->has_windows);
	assert_true(device_addr(device, 7, &addr));
	assert_string_equal(addr_format(&addr, text), "10.77.0.1:7");
	device_close(device);
	assert_int_equal(fake_verbs_live(), 0);
}

static void options_name_device_port_and_gid(void **state)
{
	const struct verbs_ops *ops = fake_verbs_new(&(struct fake_verbs_config){.devices = 2});
	const struct device_options options = {.name = "fake1", .port = 1, .gid_index = 2};
	struct device *device;

	(void)state;
	assert_int_equal(device_open(ops, &options, &device, error, sizeof(error)), 0);
	assert_string_equal(device_info(device)->name, "fake1");
	assert_int_equal(device_info(device)->transport, DEVICE_ROCE_V1);
	device_close(device);
	assert_int_equal(fake_verbs_live(), 0);
}

static void each_refusal_says_what_to_do(void **state)
{
	static const struct {
		struct fake_verbs_config config;
		struct device_options options;
		int status;
		const char *words;
	} cases[] = {
		{{.devices = 0}, {.gid_index = -1}, -ENODEV, "rdma link add"},
		{{.devices = 1}, {.name = "mlx5_0", .gid_index = -1}, -ENODEV, "mlx5_0"},
		{{.devices = 1}, {.gid_index = 4}, -ENODEV, "no GID 4"},
		{{.devices = 1}, {.port = 2, .gid_index = -1}, -ENODEV, "no port 2"},
		{{.devices = 1, .port_down = true}, {.gid_index = -1}, -ENETDOWN, "down"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct device *device = NULL;
		const struct verbs_ops *ops = fake_verbs_new(&cases[i].config);

		assert_int_equal(device_open(ops, &cases[i].options, &device, error, sizeof(error)),
				 cases[i].status);
		assert_null(device);
		assert_non_null(strstr(error, cases[i].words));
		assert_int_equal(fake_verbs_live(), 0);
	}
}

static void a_device_that_is_up_is_preferred(void **state)
{
	const struct verbs_ops *ops =
		fake_verbs_new(&(struct fake_verbs_config){.devices = 3, .port_down = true});
	struct device *device;

	(void)state;
	assert_int_equal(device_open(ops, &any, &device, error, sizeof(error)), 0);
	assert_string_equal(device_info(device)->name, "fake1");
	device_close(device);
	assert_int_equal(fake_verbs_live(), 0);
}

static void a_failure_of_any_call_leaves_nothing_behind(void **state)
{
	unsigned n = 1;
	int status;

	(void)state;
	do {
		const struct verbs_ops *ops =
			fake_verbs_new(&(struct fake_verbs_config){.devices = 1});
		struct device *device = NULL;

		fake_verbs_fail_at(n);
		status = device_open(ops, &any, &device, error, sizeof(error));
		if (status == 0)
			device_close(device);
		else
			assert_true(error[0] != '\0');
		assert_int_equal(fake_verbs_live(), 0);
	} while (status < 0 && ++n < 100);
	assert_in_range(n, 4, 99);
}

static void a_registration_refused_names_the_limit(void **state)
{
	const struct verbs_ops *ops = fake_verbs_new(&(struct fake_verbs_config){.devices = 1});
	struct rlimit old, low;
	struct device *device;
	static char memory[4096];
	struct ibv_mr *mr;

	(void)state;
	assert_int_equal(device_open(ops, &any, &device, error, sizeof(error)), 0);
	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &old), 0);
	low = old;
	low.rlim_cur = 65536;
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &low), 0);
	fake_verbs_fail_at(1);
	assert_int_equal(
		device_register(device, memory, sizeof(memory), 0, &mr, error, sizeof(error)),
		-ENOMEM);
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &old), 0);
	assert_non_null(strstr(error, "RLIMIT_MEMLOCK is 65536"));
	assert_non_null(strstr(error, "ulimit -l"));
	assert_non_null(strstr(error, "LimitMEMLOCK"));
	assert_int_equal(
		device_register(device, memory, sizeof(memory), 0, &mr, error, sizeof(error)), 0);
	assert_int_equal(ops->dereg_mr(mr), 0);
	device_close(device);
	assert_int_equal(fake_verbs_live(), 0);
}

static void events_tell_of_ports_and_removal(void **state)
{
	const struct verbs_ops *ops = fake_verbs_new(&(struct fake_verbs_config){.devices = 1});
	struct device *device;
	struct pollfd fd = {.events = POLLIN};

	(void)state;
	assert_int_equal(device_open(ops, &any, &device, error, sizeof(error)), 0);
	fd.fd = device_event_fd(device);
	assert_int_equal(poll(&fd, 1, 0), 0);
	assert_int_equal(device_event(device), DEVICE_EVENT_NONE);
	fake_verbs_event("fake0", IBV_EVENT_PORT_ERR);
	fake_verbs_event("fake0", IBV_EVENT_QP_ACCESS_ERR);
	fake_verbs_event("fake0", IBV_EVENT_SM_CHANGE);
	assert_int_equal(poll(&fd, 1, 0), 1);
	assert_int_equal(device_event(device), DEVICE_EVENT_PORT);
	assert_int_equal(device_event(device), DEVICE_EVENT_OTHER);
	assert_int_equal(*device_alarms(device), 1);
	assert_int_equal(device_event(device), DEVICE_EVENT_OTHER);
	assert_int_equal(device_event(device), DEVICE_EVENT_NONE);
	assert_false(device_is_removed(device));
	fake_verbs_remove("fake0");
	assert_int_equal(device_event(device), DEVICE_EVENT_REMOVED);
	assert_true(device_is_removed(device));
	device_close(device);
	assert_int_equal(fake_verbs_live(), 0);
}

static void the_list_has_all_devices(void **state)
{
	const struct verbs_ops *ops =
		fake_verbs_new(&(struct fake_verbs_config){.devices = 3, .port_down = true});
	struct device_info infos[DEVICE_LIST_MAX];

	(void)state;
	assert_int_equal(device_list(ops, infos, 2), 2);
	assert_int_equal(device_list(ops, infos, DEVICE_LIST_MAX), 3);
	assert_string_equal(infos[2].name, "fake2");
	assert_false(infos[0].active);
	assert_true(infos[1].active);
	assert_int_equal(fake_verbs_live(), 0);
}

static void all_gids_of_the_port_are_told_and_the_best_is_among_them(void **state)
{
	const struct verbs_ops *ops = fake_verbs_new(&(struct fake_verbs_config){.devices = 1});
	const struct device_options options = {.gid_index = -1};
	struct device_gid gids[8];
	struct device *device;
	unsigned count, best = 0;

	(void)state;
	assert_int_equal(device_open(ops, &options, &device, error, sizeof(error)), 0);
	count = device_gids(device, gids, ARRAY_COUNT(gids));
	assert_in_range(count, 1, ARRAY_COUNT(gids) - 1);
	for (unsigned i = 0; i < count; i++)
		if (gids[i].index == device_info(device)->gid_index) {
			assert_memory_equal(gids[i].gid, device_info(device)->gid, 16);
			assert_int_equal(gids[i].transport, device_info(device)->transport);
			best++;
		}
	assert_int_equal(best, 1);
	assert_int_equal(device_gids(device, gids, 1), 1);
	device_close(device);
	assert_int_equal(fake_verbs_live(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_best_gid_is_rocev2_over_ipv4),
		cmocka_unit_test(options_name_device_port_and_gid),
		cmocka_unit_test(each_refusal_says_what_to_do),
		cmocka_unit_test(a_device_that_is_up_is_preferred),
		cmocka_unit_test(a_failure_of_any_call_leaves_nothing_behind),
		cmocka_unit_test(a_registration_refused_names_the_limit),
		cmocka_unit_test(events_tell_of_ports_and_removal),
		cmocka_unit_test(the_list_has_all_devices),
		cmocka_unit_test(all_gids_of_the_port_are_told_and_the_best_is_among_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/idle.h"

#include "base/clock.h"
#include "tests/lib/test.h"

#include <sys/eventfd.h>
#include <unistd.h>

/* Times are made up but where a test really sleeps; what counts is which way it waits. */
#define BASE UINT64_C(1000000000000)

static void waiting_goes_from_polling_to_pausing_to_sleeping_and_back(void **state)
{
	struct idle_config config = {
		.busy_ns = 1000, .relax_ns = 1000, .port_fd = -1, .wake_fd = -1};
	struct idle idle;

	assert_int_equal(idle_init(&idle, &config, BASE), 0);
	assert_false(idle_wait(&idle, BASE + 999, UINT64_MAX));
	assert_int_equal(idle.stats.idle_polls, 1);
	assert_false(idle_wait(&idle, BASE + 1000, UINT64_MAX));
	assert_int_equal(idle.stats.idle_pauses, 1);
	assert_true(idle_wait(&idle, BASE + 2000, UINT64_MAX));
	assert_int_equal(idle.stats.idle_sleeps, 1);
	idle_reset(&idle, BASE + 5000);
	assert_false(idle_wait(&idle, BASE + 5001, UINT64_MAX));
	assert_int_equal(idle.stats.idle_polls, 2);
	idle_deinit(&idle);
}

static void blind_sleeps_grow_to_their_limit_and_start_over_after_work(void **state)
{
	struct idle_config config = {.port_fd = -1, .wake_fd = -1};
	struct idle idle;

	assert_int_equal(idle_init(&idle, &config, BASE), 0);
	for (unsigned i = 0; i < 8; i++)
		assert_true(idle_wait(&idle, BASE + 1, UINT64_MAX));
	assert_int_equal(idle.sleep_ns, IDLE_SLEEP_NS_MAX);
	idle_reset(&idle, BASE + 1);
	assert_int_equal(idle.sleep_ns, IDLE_SLEEP_NS_MIN);
	idle_deinit(&idle);
}

static void what_is_due_is_not_slept_through(void **state)
{
	struct idle_config config = {.port_fd = -1, .wake_fd = -1};
	struct idle idle;

	assert_int_equal(idle_init(&idle, &config, BASE), 0);
	assert_false(idle_wait(&idle, BASE + 1, BASE));
	assert_false(idle_wait(&idle, BASE + 1, BASE + 1));
	assert_int_equal(idle.stats.idle_sleeps, 0);
	idle_deinit(&idle);
}

/* With a day to sleep, only the descriptor can end it before the test's time is up. */
static void a_readable_descriptor_ends_the_sleep(void **state)
{
	int port_fd = eventfd(0, EFD_NONBLOCK);
	int wake_fd = eventfd(0, EFD_NONBLOCK);
	struct idle_config config = {.port_fd = port_fd, .wake_fd = wake_fd};
	struct idle idle;
	uint64_t one = 1;

	assert_int_equal(idle_init(&idle, &config, BASE), 0);
	assert_int_equal(write(port_fd, &one, sizeof(one)), sizeof(one));
	assert_true(idle_wait(&idle, BASE + 1, BASE + 86400 * NS_PER_S));
	assert_int_equal(read(port_fd, &one, sizeof(one)), sizeof(one));
	assert_int_equal(write(wake_fd, &one, sizeof(one)), sizeof(one));
	assert_true(idle_wait(&idle, BASE + 1, BASE + 86400 * NS_PER_S));
	idle_deinit(&idle);
	close(port_fd);
	close(wake_fd);
}

static void a_descriptor_that_is_none_is_refused(void **state)
{
	struct idle_config config = {.port_fd = 1000000, .wake_fd = -1};
	struct idle idle;

	assert_true(idle_init(&idle, &config, BASE) < 0);
	assert_int_equal(idle.epoll_fd, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waiting_goes_from_polling_to_pausing_to_sleeping_and_back),
		cmocka_unit_test(blind_sleeps_grow_to_their_limit_and_start_over_after_work),
		cmocka_unit_test(what_is_due_is_not_slept_through),
		cmocka_unit_test(a_readable_descriptor_ends_the_sleep),
		cmocka_unit_test(a_descriptor_that_is_none_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

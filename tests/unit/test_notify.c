/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/notify.h"

#include "tests/lib/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A service manager's socket under an abstract name of this process. */
static int manager_socket(char *text, size_t size)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int length = snprintf(text, size, "@tern-test-notify-%d", (int)getpid());
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	memcpy(name.sun_path + 1, text + 1, (size_t)length - 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&name,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)length)),
			 0);
	return fd;
}

static void nobody_is_told_when_nobody_asked(void **state)
{
	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(notify_send("READY=1\n"), 0);
}

static void the_lines_arrive_as_they_were_sent(void **state)
{
	char bytes[64] = "";
	char name[64];
	int fd = manager_socket(name, sizeof(name));

	setenv("NOTIFY_SOCKET", name, 1);
	assert_int_equal(notify_send("READY=1\nSTATUS=serving\n"), 0);
	assert_int_equal(recv(fd, bytes, sizeof(bytes), 0), strlen("READY=1\nSTATUS=serving\n"));
	assert_string_equal(bytes, "READY=1\nSTATUS=serving\n");
	close(fd);
	/* Nobody is there any more: said, and nothing worse. */
	assert_true(notify_send("STOPPING=1\n") < 0);
}

static void a_name_that_is_none_is_refused(void **state)
{
	char long_name[200];

	setenv("NOTIFY_SOCKET", "relative/path", 1);
	assert_int_equal(notify_send("READY=1\n"), -EINVAL);
	memset(long_name, 'x', sizeof(long_name));
	long_name[0] = '/';
	long_name[sizeof(long_name) - 1] = '\0';
	setenv("NOTIFY_SOCKET", long_name, 1);
	assert_int_equal(notify_send("READY=1\n"), -EINVAL);
}

static void the_watchdog_is_fed_twice_as_often_as_asked(void **state)
{
	unsetenv("WATCHDOG_USEC");
	assert_int_equal(notify_watchdog_ns(), 0);
	setenv("WATCHDOG_USEC", "30000000", 1);
	assert_int_equal(notify_watchdog_ns(), UINT64_C(15000000000));
	setenv("WATCHDOG_USEC", "3e7", 1);
	assert_int_equal(notify_watchdog_ns(), 0);
	setenv("WATCHDOG_USEC", "99999999999999999999999", 1);
	assert_int_equal(notify_watchdog_ns(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_is_told_when_nobody_asked),
		cmocka_unit_test(the_lines_arrive_as_they_were_sent),
		cmocka_unit_test(a_name_that_is_none_is_refused),
		cmocka_unit_test(the_watchdog_is_fed_twice_as_often_as_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

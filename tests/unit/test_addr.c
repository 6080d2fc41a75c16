/* SPDX-License-Identifier: Apache-2.0 */
#include "base/addr.h"
#include "base/defs.h"
#include "tests/lib/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

static void an_address_survives_parse_and_format(void **state)
{
	static const char *const texts[] = {"192.0.2.1:7400",     "0.0.0.0:0", "127.0.0.1:65535",
					    "[2001:db8::1]:7400", "[::1]:1",   "[::]:80"};

	for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
		char text[ADDR_TEXT_MAX];
		struct addr addr;

		assert_int_equal(addr_parse(texts[i], 9, &addr), 0);
		assert_string_equal(addr_format(&addr, text), texts[i]);
	}
}

static void the_longest_address_fits_its_text(void **state)
{
	struct addr addr;
	char text[ADDR_TEXT_MAX];

	assert_int_equal(addr_parse("[1111:2222:3333:4444:5555:6666:7777:8888]:65535", 0, &addr),
			 0);
	assert_string_equal(addr_format(&addr, text),
			    "[1111:2222:3333:4444:5555:6666:7777:8888]:65535");
}

static void a_missing_port_is_the_default(void **state)
{
	struct addr addr;

	assert_int_equal(addr_parse("10.0.0.1", 7400, &addr), 0);
	assert_int_equal(addr.port, 7400);
	assert_int_equal(addr_parse("[fe80::2]", 7401, &addr), 0);
	assert_int_equal(addr.port, 7401);
	assert_int_equal(addr_parse("fe80::2", 7402, &addr), 0);
	assert_int_equal(addr.port, 7402);
}

static void what_is_no_address_is_refused_and_leaves_the_result(void **state)
{
	static const char *const texts[] = {
		"",
		"host:1",
		"1.2.3",
		"1.2.3.4:",
		"1.2.3.4:65536",
		"1.2.3.4:-1",
		"1.2.3.4:+1",
		"1.2.3.4: 1",
		"1.2.3.4:000001",
		"[::1",
		"[::1]7400",
		"[1.2.3.4]:1",
		"[::1]:x",
		"1.2.3.4 ",
		"[]:1",
		"1.2.3.4:1:2x",
		"[11111111111111111111111111111111111111111111111111]:1"};
	struct addr before = {.ip = {1, 2, 3}, .port = 4};

	for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
		struct addr addr = before;

		assert_int_equal(addr_parse(texts[i], 7400, &addr), -EINVAL);
		assert_memory_equal(&addr, &before, sizeof(addr));
	}
}

static void both_writings_of_an_ipv4_address_are_equal(void **state)
{
	struct addr plain, mapped, other;

	assert_int_equal(addr_parse("192.0.2.1:7400", 0, &plain), 0);
	assert_int_equal(addr_parse("[::ffff:192.0.2.1]:7400", 0, &mapped), 0);
	assert_int_equal(addr_parse("192.0.2.1:7401", 0, &other), 0);
	assert_true(addr_equal(&plain, &mapped));
	assert_false(addr_equal(&plain, &other));
	assert_true(addr_is_ipv4(&mapped));
}

static void loopback_is_127_and_one(void **state)
{
	static const struct {
		const char *text;
		bool loopback, ipv4;
	} rows[] = {
		{"127.0.0.1", true, true},  {"127.9.9.9", true, true}, {"[::1]", true, false},
		{"128.0.0.1", false, true}, {"0.0.0.0", false, true},  {"[::]", false, false},
		{"[::2]", false, false},
	};

	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		struct addr addr;

		assert_int_equal(addr_parse(rows[i].text, 1, &addr), 0);
		assert_int_equal(addr_is_loopback(&addr), rows[i].loopback);
		assert_int_equal(addr_is_ipv4(&addr), rows[i].ipv4);
	}
}

static void a_socket_address_is_one_of_ipv4_or_ipv6_or_none(void **state)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(7400)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(65535)};
	struct sockaddr other = {.sa_family = AF_UNIX};
	struct addr addr = {.port = 9}, expected;

	assert_false(addr_from_sockaddr(&other, &addr));
	assert_int_equal(addr.port, 9);
	assert_int_equal(inet_pton(AF_INET, "192.0.2.1", &v4.sin_addr), 1);
	assert_true(addr_from_sockaddr((const struct sockaddr *)&v4, &addr));
	assert_int_equal(addr_parse("192.0.2.1:7400", 0, &expected), 0);
	assert_true(addr_equal(&addr, &expected));
	assert_int_equal(inet_pton(AF_INET6, "2001:db8::1", &v6.sin6_addr), 1);
	assert_true(addr_from_sockaddr((const struct sockaddr *)&v6, &addr));
	assert_int_equal(addr_parse("[2001:db8::1]:65535", 0, &expected), 0);
	assert_true(addr_equal(&addr, &expected));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_survives_parse_and_format),
		cmocka_unit_test(the_longest_address_fits_its_text),
		cmocka_unit_test(a_missing_port_is_the_default),
		cmocka_unit_test(what_is_no_address_is_refused_and_leaves_the_result),
		cmocka_unit_test(both_writings_of_an_ipv4_address_are_equal),
		cmocka_unit_test(loopback_is_127_and_one),
		cmocka_unit_test(a_socket_address_is_one_of_ipv4_or_ipv6_or_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

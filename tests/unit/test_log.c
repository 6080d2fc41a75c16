/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int pipe_fds[2];

/* What was logged since the last call. */
static const char *logged(void)
{
	static char text[64 * 1024];
	ssize_t size;

	assert_int_equal(write(pipe_fds[1], "$", 1), 1);
	size = read(pipe_fds[0], text, sizeof(text) - 1);
	assert_true(size > 0 && text[size - 1] == '$');
	text[size - 1] = '\0';
	return text;
}

static bool matches(const char *text, const char *pattern)
{
	regex_t regex;
	bool found;

	assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
	found = regexec(&regex, text, 0, NULL, 0) == 0;
	regfree(&regex);
	return found;
}

static unsigned count_lines(const char *text)
{
	unsigned count = 0;

	for (; (text = strchr(text, '\n')); text++)
		count++;
	return count;
}

static void a_line_has_both_clocks_and_the_level(void **state)
{
	log_init(LOG_LEVEL_INFO, pipe_fds[1]);
	log_warning("port busy, address %s", "127.0.0.1:7400");
	assert_true(matches(logged(), "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\."
				      "[0-9]{6}Z [0-9]+\\.[0-9]{6} warning port busy, address "
				      "127\\.0\\.0\\.1:7400\n$"));
}

static void levels_above_the_set_one_are_silent(void **state)
{
	log_init(LOG_LEVEL_WARNING, pipe_fds[1]);
	log_info("not this");
	log_debug("nor this");
	assert_string_equal(logged(), "");
	assert_false(log_enabled(LOG_LEVEL_INFO));
	log_set_level(LOG_LEVEL_DEBUG);
	log_debug("this");
	assert_non_null(strstr(logged(), " debug this\n"));
}

static void foreign_bytes_cannot_forge_a_line(void **state)
{
	log_init(LOG_LEVEL_INFO, pipe_fds[1]);
	log_error("peer said %s", "x\n<3>broken\r\x1b[31m");
	assert_true(matches(logged(), " error peer said x <3>broken  \\[31m\n$"));
}

static void a_text_that_is_too_long_is_cut(void **state)
{
	char text[2 * LOG_LINE_MAX];
	const char *line;

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	log_init(LOG_LEVEL_INFO, pipe_fds[1]);
	log_error("%s", text);
	line = logged();
	assert_int_equal(strlen(line), LOG_LINE_MAX);
	assert_int_equal(line[LOG_LINE_MAX - 1], '\n');
}

static void the_journal_gets_its_priorities(void **state)
{
	struct stat status;
	char stream[64];

	assert_int_equal(fstat(pipe_fds[1], &status), 0);
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)status.st_dev,
		 (uintmax_t)status.st_ino);
	assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);
	log_init(LOG_LEVEL_DEBUG, pipe_fds[1]);
	log_error("a");
	log_warning("b");
	log_info("c");
	log_debug("d");
	assert_string_equal(logged(), "<3>a\n<4>b\n<6>c\n<7>d\n");
	assert_int_equal(setenv("JOURNAL_STREAM", "1:1", 1), 0);
	log_init(LOG_LEVEL_DEBUG, pipe_fds[1]);
	log_error("e");
	assert_true(matches(logged(), "^[0-9]{4}-.* error e\n$"));
	assert_int_equal(unsetenv("JOURNAL_STREAM"), 0);
}

static void one_place_is_limited_and_others_are_not(void **state)
{
	const char *text;

	log_init(LOG_LEVEL_INFO, pipe_fds[1]);
	for (unsigned i = 0; i < 5 * LOG_LIMIT_BURST_MAX; i++)
		LOG_LIMITED(LOG_LEVEL_ERROR, "flood %u", i);
	LOG_LIMITED(LOG_LEVEL_ERROR, "elsewhere");
	text = logged();
	assert_int_equal(count_lines(text), LOG_LIMIT_BURST_MAX + 1);
	assert_non_null(strstr(text, "elsewhere"));
}

static void a_window_begins_with_the_count_of_what_was_left_out(void **state)
{
	struct log_limit limit = {0};
	uint32_t suppressed;
	unsigned passed = 0;

	for (unsigned i = 0; i < LOG_LIMIT_BURST_MAX + 3; i++) {
		passed += log_limit_pass(&limit, 100 + i, &suppressed);
		assert_int_equal(suppressed, 0);
	}
	assert_int_equal(passed, LOG_LIMIT_BURST_MAX);
	assert_true(log_limit_pass(&limit, 100 + LOG_LIMIT_WINDOW_NS, &suppressed));
	assert_int_equal(suppressed, 3);
	assert_true(log_limit_pass(&limit, 101 + LOG_LIMIT_WINDOW_NS, &suppressed));
	assert_int_equal(suppressed, 0);
}

static void a_level_survives_its_name(void **state)
{
	enum log_level level = LOG_LEVEL_INFO;

	for (unsigned i = 0; i < LOG_LEVEL_COUNT; i++) {
		assert_int_equal(log_level_parse(log_level_name((enum log_level)i), &level), 0);
		assert_int_equal(level, i);
	}
	assert_int_equal(log_level_parse("loud", &level), -EINVAL);
	assert_int_equal(level, LOG_LEVEL_DEBUG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_has_both_clocks_and_the_level),
		cmocka_unit_test(levels_above_the_set_one_are_silent),
		cmocka_unit_test(foreign_bytes_cannot_forge_a_line),
		cmocka_unit_test(a_text_that_is_too_long_is_cut),
		cmocka_unit_test(the_journal_gets_its_priorities),
		cmocka_unit_test(one_place_is_limited_and_others_are_not),
		cmocka_unit_test(a_window_begins_with_the_count_of_what_was_left_out),
		cmocka_unit_test(a_level_survives_its_name),
	};

	if (pipe(pipe_fds))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

/* Cmd - options by table, errors in one line, progress on a terminal. */

#include "client/cmd.h"

#include "base/check.h"
#include "base/clock.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* getopt_long() values of our options; far from any character. */
#define OPTION_FIRST 256
#define OPTION_HELP  (OPTION_FIRST + CMD_OPTION_MAX)

/* Bytes of an error line: a path and what is to be done about it. */
#define LINE_SIZE 8192

/* At once, so that lines of several processes don't mix. */
PRINTF_LIKE(1, 0)
static void fail_line(const char *format, va_list args, const char *end)
{
	char line[LINE_SIZE];

	vsnprintf(line, sizeof(line), format, args);
	fprintf(stderr, "tern: %s%s\n", line, end);
}

int cmd_fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fail_line(format, args, "");
	va_end(args);
	return CMD_FAILED;
}

int cmd_usage(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fail_line(format, args, "; --help explains");
	va_end(args);
	return CMD_USAGE;
}

bool cmd_number(const char *option, const char *text, uint64_t min, uint64_t max,
		uint64_t *ret_value)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || value < min || value > max) {
		(void)cmd_usage("%s takes a whole number from %" PRIu64 " to %" PRIu64 ", not '%s'",
				option, min, max, text);
		return false;
	}
	*ret_value = value;
	return true;
}

static void help(const char *words, const char *about, const struct cmd_option *options,
		 size_t option_count)
{
	printf("usage: tern %s", words);
	for (size_t i = 0; i < option_count; i++)
		if (options[i].positional)
			printf(" %s", options[i].name);
		else if (options[i].required)
			printf(" --%s %s", options[i].name, options[i].argument);
	printf(" [OPTION ...]\n\n%s\n", about);
	for (size_t i = 0; i < option_count; i++) {
		const struct cmd_option *option = &options[i];
		int width = printf(option->positional ? "  %s%s%s" : "  --%s%s%s", option->name,
				   option->argument ? " " : "",
				   option->argument ? option->argument : "");

		printf("%*s %s\n", width < 26 ? 26 - width : 0, "", option->help);
	}
}

static bool option_set(const struct cmd_option *option, const char *value)
{
	char name[64];

	if (option->flag)
		*option->flag = true;
	else if (option->text)
		*option->text = value;
	else {
		snprintf(name, sizeof(name), "--%s", option->name);
		return cmd_number(name, value, option->min, option->max, option->number);
	}
	return true;
}

/* Did the command line give a value to this required option? */
static bool option_given(const struct cmd_option *option, uint32_t given, size_t index)
{
	return !option->required || (given >> index & 1);
}

bool cmd_options(const char *words, const char *about, const struct cmd_option *options,
		 size_t option_count, int argc, char **argv, int *ret_status)
{
	struct option table[CMD_OPTION_MAX + 2] = {0};
	uint32_t given = 0;
	size_t named = 0;
	int value;

	CHECK(option_count <= CMD_OPTION_MAX);
	table[named++] = (struct option){"help", no_argument, NULL, OPTION_HELP};
	for (size_t i = 0; i < option_count; i++)
		if (!options[i].positional)
			table[named++] = (struct option){
				options[i].name, options[i].flag ? no_argument : required_argument,
				NULL, OPTION_FIRST + (int)i};

	*ret_status = CMD_USAGE;
	optind = 1;
	opterr = 0;
	while ((value = getopt_long(argc, argv, ":", table, NULL)) != -1) {
		if (value == OPTION_HELP) {
			help(words, about, options, option_count);
			*ret_status = CMD_DONE;
			return false;
		}
		if (value == '?' || value == ':') {
			(void)cmd_usage("%s: %s '%s'", words,
					value == '?' ? "there is no option"
						     : "a value is missing after",
					argv[optind - 1]);
			return false;
		}
		if (!option_set(&options[value - OPTION_FIRST], optarg))
			return false;
		given |= UINT32_C(1) << (value - OPTION_FIRST);
	}
	for (size_t i = 0; i < option_count; i++)
		if (options[i].positional && optind < argc) {
			(void)option_set(&options[i], argv[optind++]);
			given |= UINT32_C(1) << i;
		}
	if (optind < argc) {
		(void)cmd_usage("%s: '%s' is no option", words, argv[optind]);
		return false;
	}
	for (size_t i = 0; i < option_count; i++)
		if (!option_given(&options[i], given, i)) {
			const struct cmd_option *option = &options[i];

			(void)cmd_usage("%s: %s%s%s%s is missing", words,
					option->positional ? "" : "--", option->name,
					option->argument ? " " : "",
					option->argument ? option->argument : "");
			return false;
		}
	return true;
}

void cmd_progress(const char *what, uint64_t done, uint64_t total)
{
	static uint64_t start_ns, last_ns, start_done;
	uint64_t now = clock_now_ns();
	double seconds, rate;

	if (!isatty(STDERR_FILENO))
		return;
	if (!start_ns) {
		start_ns = now;
		start_done = done;
	}
	if (done != total && now - last_ns < NS_PER_S / 10)
		return;
	last_ns = now;
	seconds = (double)(now - start_ns) * 1e-9;
	rate = seconds > 0 ? (double)(done - start_done) / seconds : 0;
	fprintf(stderr, "\r%s: %3.0f %%, %.0f/s, %.0f s left \033[K", what,
		total ? 100.0 * (double)done / (double)total : 100.0, rate,
		rate > 0 ? (double)(total - done) / rate : 0.0);
	if (done == total) {
		fputc('\n', stderr);
		start_ns = 0;
		last_ns = 0;
	}
}

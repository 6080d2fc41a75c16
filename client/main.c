/* SPDX-License-Identifier: Apache-2.0 */

/* Main - finds the subcommand whose words the command line begins with. */

#include "base/clock.h"
#include "client/cmd.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct command {
	const char *words;
	int (*run)(int argc, char **argv);
	const char *summary;
};

static const struct command commands[] = {
#define COMMAND(words, function, summary) {words, function, summary},
#include "client/commands.def"
#undef COMMAND
};

static void fail_line(const char *format, va_list args)
{
	fputs("tern: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
}

int cmd_fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fail_line(format, args);
	va_end(args);
	return CMD_FAILED;
}

int cmd_usage(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fail_line(format, args);
	va_end(args);
	fputs("try 'tern COMMAND --help'\n", stderr);
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
		(void)cmd_fail("%s takes a whole number from %" PRIu64 " to %" PRIu64 ", not '%s'",
			       option, min, max, text);
		return false;
	}
	*ret_value = value;
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

static int usage(FILE *to)
{
	fputs("usage: tern COMMAND [OPTION ...]\n\n", to);
	for (size_t i = 0; i < ARRAY_COUNT(commands); i++)
		fprintf(to, "  %-12s %s\n", commands[i].words, commands[i].summary);
	fputs("\n'tern COMMAND --help' explains one.\n"
	      "Exit status: 0 done, 1 failed, 2 wrong usage.\n",
	      to);
	return to == stdout ? CMD_DONE : CMD_USAGE;
}

/* How many words of the arguments are those of 'command': all of them, or 0. */
static int match(const struct command *command, int argc, char **argv)
{
	const char *at = command->words;
	int words = 0;

	while (*at) {
		size_t length = strcspn(at, " ");

		if (1 + words >= argc || strlen(argv[1 + words]) != length ||
		    memcmp(argv[1 + words], at, length) != 0)
			return 0;
		words++;
		at += length;
		at += *at == ' ';
	}
	return words;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return usage(stderr);
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)
		return usage(stdout);
	if (strcmp(argv[1], "--version") == 0) {
		puts("tern " TERN_VERSION);
		return CMD_DONE;
	}
	for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
		int words = match(&commands[i], argc, argv);

		if (words)
			return commands[i].run(argc - words, argv + words);
	}
	return cmd_usage("no command '%s%s%s'", argv[1], argc > 2 ? " " : "",
			 argc > 2 ? argv[2] : "");
}

/* SPDX-License-Identifier: Apache-2.0 */

/* Main - finds the subcommand whose words the command line begins with. */

#include "client/cmd.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct command {
	const char *words;
	int (*run)(int argc, char **argv);
	const char *summary;
};

static const struct command commands[] = {
#define COMMAND(words, function, summary) {words, function, summary},
#include "client/commands.def"
#undef COMMAND
	{NULL, NULL, NULL},
};

static int usage(FILE *to)
{
	fputs("usage: tern COMMAND [OPTION ...]\n\n", to);
	for (const struct command *command = commands; command->words; command++)
		fprintf(to, "  %-12s %s\n", command->words, command->summary);
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

static bool is_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "help") == 0;
}

static int run(int argc, char **argv)
{
	if (argc < 2)
		return usage(stderr);
	if (is_help(argv[1]))
		return usage(stdout);
	if (strcmp(argv[1], "--version") == 0) {
		puts("tern " TERN_VERSION);
		return CMD_DONE;
	}
	for (const struct command *command = commands; command->words; command++) {
		int words = match(command, argc, argv);

		if (words)
			return command->run(argc - words, argv + words);
	}
	/* 'tern bench --help': the list has what may follow. */
	if (argc > 2 && is_help(argv[2]))
		return usage(stdout);
	return cmd_usage("there is no command '%s%s%s'", argv[1], argc > 2 ? " " : "",
			 argc > 2 ? argv[2] : "");
}

/* A result that didn't get out, say onto a full disk, is none. */
int main(int argc, char **argv)
{
	int status = run(argc, argv);

	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	return cmd_fail("standard output can't be written: %s", strerror(errno ? errno : EIO));
}

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Cmd - the tern command's subcommands and their manners
 *
 * Every subcommand is one file cmd_<name>.c with one function, listed in
 * commands.def. People's text goes to stdout, JSON with --json; progress and
 * errors go to stderr. Every error is one line: what, where, what to do.
 *
 * A subcommand describes its options in a table, from which both --help and the
 * reading of the command line come:
 *
 *      const struct cmd_option options[] = {
 *              {"base", "FILE", "the vectors", .text = &base, .required = true},
 *              {"k", "N", "neighbours a query", .number = &k, .min = 1, .max = 100},
 *              {"json", NULL, "one JSON object a line", .flag = &json},
 *      };
 *      if (!cmd_options("truth", about, options, ARRAY_COUNT(options), argc, argv, &status))
 *              return status;
 *
 * Threads: the main thread.
 */

#include "base/defs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum cmd_exit {
	CMD_DONE = 0,
	CMD_FAILED = 1,
	CMD_USAGE = 2,
};

/* Options of one subcommand; --help comes on top. */
#define CMD_OPTION_MAX 32

/* One of flag, text and number says what kind of option it is, and where its value goes. */
struct cmd_option {
	const char *name;     /* without the dashes */
	const char *argument; /* what --help calls its value; NULL for a flag */
	const char *help;     /* one line; says the default */
	bool *flag;
	const char **text; /* borrows from argv */
	uint64_t *number;
	uint64_t min, max; /* of the number */
	bool positional;   /* a text without an option before it; in the table's order */
	bool required;
};

/* COMMAND(words, function, summary) */
#define COMMAND(words, function, summary) int function(int argc, char **argv);
#include "client/commands.def"
#undef COMMAND

/*
 * Reads the command line of the subcommand 'words'; what isn't on it keeps the
 * value that it had. 'about' is --help's text, whole lines.
 *
 * Returns true, and the subcommand goes on; or false when it is over (--help was
 * asked for, or the line is wrong and an error printed), with its exit status.
 */
bool cmd_options(const char *words, const char *about, const struct cmd_option *options,
		 size_t option_count, int argc, char **argv, int *ret_status);

/* Prints "tern: ..." as one line on stderr; returns CMD_FAILED. */
int cmd_fail(const char *format, ...) PRINTF_LIKE(1, 2);

/* The same, and ends the line with where the usage is explained; returns CMD_USAGE. */
int cmd_usage(const char *format, ...) PRINTF_LIKE(1, 2);

/* Reads a whole number from 'min' to 'max'; false, and a line on stderr, when 'text' is none. */
bool cmd_number(const char *option, const char *text, uint64_t min, uint64_t max,
		uint64_t *ret_value);

/*
 * A progress line on stderr when it is a terminal: what, percent, rate and time
 * left, at most ten times a second. 'done' == 'total' ends it.
 */
void cmd_progress(const char *what, uint64_t done, uint64_t total);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Cmd - the tern command's subcommands and their manners
 *
 * Every subcommand is one file cmd_<name>.c with one function, listed in
 * commands.def. People's text goes to stdout, JSON with --json; progress and
 * errors go to stderr. Every error is one line: what, where, what to do.
 *
 * Threads: the main thread.
 */

#include "base/defs.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum cmd_exit {
	CMD_DONE = 0,
	CMD_FAILED = 1,
	CMD_USAGE = 2,
};

/* COMMAND(words, function, summary) */
#define COMMAND(words, function, summary) int function(int argc, char **argv);
#include "client/commands.def"
#undef COMMAND

/* Prints "tern: ..." as one line on stderr; returns CMD_FAILED. */
int cmd_fail(const char *format, ...) PRINTF_LIKE(1, 2);

/* The same, and where to find the usage; returns CMD_USAGE. */
int cmd_usage(const char *format, ...) PRINTF_LIKE(1, 2);

/* Reads a whole number from 'min' to 'max'; false, and a line on stderr, when 'text' is none. */
bool cmd_number(const char *option, const char *text, uint64_t min, uint64_t max,
		uint64_t *ret_value);

/*
 * A progress line on stderr when it is a terminal: what, percent, rate and time
 * left, at most ten times a second. 'done' == 'total' ends it.
 */
void cmd_progress(const char *what, uint64_t done, uint64_t total);

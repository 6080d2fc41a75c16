/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Refusal - the one line that says why a file is not taken
 *
 * "file:line:column: what; what to do". Foreign bytes in it are made printable,
 * so that a hostile file can't play with the terminal.
 *
 * Threads: a refusal belongs to one thread.
 */

#include "base/defs.h"
#include "config/schema.h"

#include <stddef.h>

/* A place in the file, counted from 1; all zero where a key was not given. */
struct refusal_mark {
	size_t line;
	size_t column;
};

struct refusal {
	const char *file; /* borrows: the file's name */
	char *text;       /* borrows: where the line goes */
	size_t size;
	struct refusal_mark marks[SCHEMA_ROW_MAX]; /* of each key's value, by row */
};

/* Writes the line; a mark that is all zero stands for the file's begin. Returns -EINVAL. */
int refusal_at(struct refusal *refusal, struct refusal_mark mark, const char *format, ...)
	PRINTF_LIKE(3, 4);

/* The place of a key's value; of the file's begin when the key was not given. */
struct refusal_mark refusal_mark_of(const struct refusal *refusal, const char *key);

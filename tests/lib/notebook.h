/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Notebook - the smallest durable thing, for the tests of the crash tests
 *
 * A file 'notes' of numbered lines, and a file 'title' that is replaced whole: written as
 * 'title.new', synced, renamed, the folder synced. Each line says how many were durable before it:
 * so a bad line before a good one that knows it as durable is corrupt (-EBADMSG), any other the
 * end. It can be told to do without one of those, and then a crash test has to find out.
 *
 * Threads: one.
 */

#include "engine/io.h"

#include <stdbool.h>
#include <stdint.h>

enum notebook_bug {
	NOTEBOOK_UNSYNCED = 1,       /* says 'durable' without a sync */
	NOTEBOOK_NAME_UNSYNCED = 2,  /* doesn't sync the folder */
	NOTEBOOK_TITLE_UNSYNCED = 4, /* doesn't sync the new title before it is renamed */
	NOTEBOOK_SYNC_AGAIN = 8,     /* tries a failed sync again */
	NOTEBOOK_DEAF = 16,          /* doesn't look at what a write returns */
	NOTEBOOK_BLIND = 32,         /* takes every bad line for the end */
};

struct notebook {
	struct io *io;
	struct io_file *notes;
	uint64_t seed;
	uint64_t count;   /* lines */
	uint64_t durable; /* of them */
	uint64_t title;   /* 0: none */
	unsigned bugs;
};

/* Reads what is there and cuts off what was not finished. Returns 0 or a negative errno. */
int notebook_open(struct io *io, uint64_t seed, unsigned bugs, struct notebook *ret_notebook);
void notebook_close(struct notebook *notebook);

/* The next line; durable after notebook_sync(). */
int notebook_add(struct notebook *notebook);
int notebook_sync(struct notebook *notebook);

/* Durable when it returns 0. */
int notebook_set_title(struct notebook *notebook, uint64_t title);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One file - an io that has one file, read-only, wherever it lies and whatever it is called
 *
 * An io of the engine is a folder of its own with names of its own. A log of another program
 * has neither.
 *
 * Threads: one.
 */

#include "engine/io_ops.h"

/* What the file is called in it. */
#define ONE_FILE_NAME "log"

struct one_file {
	struct io io;
	struct io_file file;
	int handle; /* -1: closed */
};

/* Opens it; 'one' stays where it is until one_file_close(). Returns 0 or a negative errno. */
int one_file_open(const char *path, struct one_file *one);

/* Its readers are closed. Fine for one that didn't open. */
void one_file_close(struct one_file *one);

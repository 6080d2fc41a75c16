/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Dump_file - what the commands that show one file of a store share
 *
 * Threads: the main thread.
 */

#include "engine/entry.h"
#include "engine/io.h"

/* Text of a store's UUID, and of a key's beginning, final zero included. */
#define DUMP_FILE_STORE_SIZE 37
#define DUMP_FILE_KEY_SIZE   160

/*
 * The file's folder as an io, and its name in it, which borrows from 'path'. Returns true; or false
 * when a line on stderr says why not, with the exit status.
 */
bool dump_file_open(const char *path, struct io **ret_io, const char **ret_name, int *ret_status);

/* A line on stderr: 'text' of the engine's for a damaged file (result is positive), else what the
 * errno means. Returns the exit status. */
int dump_file_failed(const char *path, int result, const char *text);

void dump_file_store(const uint8_t store[16], char text[DUMP_FILE_STORE_SIZE]);

/* Printable characters as they are, others as \xHH; what is too long ends in "...". */
void dump_file_key(struct entry_bytes key, char text[DUMP_FILE_KEY_SIZE]);

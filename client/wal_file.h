/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Wal file - a log on the command line: one file of any name, or a folder with segments
 *
 * Threads: one.
 */

#include "client/one_file.h"
#include "engine/wal_reader.h"

struct wal_file_source {
	const char *path; /* borrowed */
	struct io *io;
	struct wal_reader *reader;
	bool is_folder;
	struct one_file file; /* unless it is a folder */
};

/* Opens a reader that goes on behind holes; 'source' stays where it is. Returns whether it could;
 * else an error was printed. */
bool wal_file_open(const char *path, struct wal_file_source *source);

void wal_file_close(struct wal_file_source *source);

/*
 * Says on stderr how the log ended, by what wal_reader_next() returned last: a torn end, or an
 * error. Returns the exit status: CMD_FAILED if there was an error or a hole.
 */
int wal_file_end(const struct wal_file_source *source, int result);

/* Says a hole on stderr, if there was one since '*holes' were counted. */
void wal_file_holes(const struct wal_file_source *source, uint64_t *holes);

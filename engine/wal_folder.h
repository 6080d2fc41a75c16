/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Wal folder - which segment files there are, and what state each is in
 *
 * A segment is called wal-<number, 8 hex digits>. Numbers rise, with gaps, and are never given
 * twice. A file whose header bears the number in its name was begun: it is part of the log. One
 * without a header, or with the header of an earlier use under a smaller number, is a spare that
 * waits to be used.
 *
 * Threads: any.
 */

#include "engine/io.h"
#include "engine/wal_format.h"

/* Segment files of one log; one that has them all waits as if the disk were full. */
#define WAL_SEGMENT_MAX 4096

enum wal_file_state {
	WAL_FILE_BEGUN,
	WAL_FILE_SPARE,
	WAL_FILE_BAD, /* its header is damaged, or not one of Tern's */
};

struct wal_file {
	uint32_t number;
	enum wal_file_state state;
	uint64_t size;
	struct wal_header header; /* of a begun one */
};

void wal_folder_name(uint32_t number, char name[IO_NAME_MAX + 1]);

/* The number in a segment's name; 0: it is no segment's. */
uint32_t wal_folder_number(const char *name);

/*
 * All segment files by rising number. '*ret_files' is the caller's to free().
 *
 * Returns 0 or a negative errno (-EMFILE: more than WAL_SEGMENT_MAX).
 */
int wal_folder_list(struct io *io, struct wal_file **ret_files, uint32_t *ret_count);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Faulty, from inside: the io over the disk, and when it fails
 *
 * Threads: as faulty.h says.
 */

#include "engine/io_ops.h"
#include "tests/lib/faulty.h"
#include "tests/lib/faulty_disk.h"

struct faulty_step {
	const char *what;
	char name[IO_NAME_MAX + 1];
	uint64_t offset;
	uint64_t size;
};

struct faulty {
	struct io io;
	struct faulty_disk disk;
	struct rand rand;
	uint32_t life; /* counts restarts: handles of another one are dead */
	bool off;
	bool locked;
	bool polls;    /* faulty_polls() */
	bool in_queue; /* a queue's operation is being done */
	struct faulty_step *steps;
	uint64_t step_count;
	uint64_t call_count;
	uint64_t sync_count;
	uint64_t cut_at; /* 0: never */
	uint64_t fail_at;
	uint64_t fail_times;
	int fail_error;
	uint64_t sync_fails_in; /* 0: none */
	uint32_t piece_max;     /* sectors; 0: all at once */
};

/* Aborts where a poll core makes a call that blocks; the words are those of a step. */
void faulty_blocks(const struct faulty *faulty, const char *what, const char *name, uint64_t offset,
		   uint64_t size);

int faulty_queue_new(struct io *io, uint32_t depth, struct io_queue **ret_queue);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Memory - where segments and arenas lie, and what processes of one host share
 *
 * One anonymous file (memfd), mapped: in 2 MiB pages if that is asked for and they
 * can be had, on one NUMA node, all of its pages there before it is handed out, so
 * that no touch fails later. What can't be had is done without, and the note says why
 * and what would mend it.
 *
 * memory_seal() makes it read-only for everybody and for good. Then the descriptor may be
 * passed to processes of the same host, who see that it neither shrinks nor changes: see
 * rdma/fetch_shm.h.
 *
 * Threads: made, sealed and unmapped by one; its bytes are its users' affair.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEMORY_PAGE_SIZE ((size_t)2 << 20)

/* Bytes of a memory's note, final zero included. */
#define MEMORY_NOTE_MAX 192

struct memory_options {
	const char *name; /* for people who look into /proc */
	size_t size;      /* bytes wanted; rounded up to MEMORY_PAGE_SIZE */
	bool huge;        /* try 2 MiB pages */
	int numa_node;    /* -1: wherever the kernel likes */
};

struct memory {
	uint8_t *start;             /* at a multiple of MEMORY_PAGE_SIZE */
	size_t size;                /* bytes mapped */
	int fd;                     /* owned; read-only once sealed; -1: none */
	bool huge;                  /* in 2 MiB pages */
	bool bound;                 /* to the node that was asked for */
	char note[MEMORY_NOTE_MAX]; /* "" when everything asked for was had */
};

/*
 * Takes the memory, which is zero. The caller owns '*ret_memory'.
 *
 * Returns 0, -EINVAL (no size), -ENOMEM or another negative errno.
 */
int memory_init(const struct memory_options *options, struct memory *ret_memory);

/* Read-only from now on. Returns 0 or a negative errno. */
int memory_seal(struct memory *memory);

/* Unmaps it and closes the descriptor. A zeroed one is fine. */
void memory_deinit(struct memory *memory);

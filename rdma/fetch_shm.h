/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Fetch shm - a region of a process on this host, by mapping its memory
 *
 * The owner passes a memfd (rdma/shm_link.h), which is mapped here read-only; a
 * post copies out of it. What is mapped could be made shorter, or given holes,
 * by whoever has the memfd, and then reading it ends in SIGBUS; so only one that
 * is sealed against both is taken, and has none. That it doesn't change either is the owner's
 * promise, as with READs.
 *
 * Memory that is mapped stays there, whatever becomes of the owner. A lease
 * matters here too: after it the owner may use the memory for another segment.
 *
 * Threads: as fetch.h says.
 */

#include "rdma/fetch.h"

enum {
	FETCH_SHM_E_SEALS = 1, /* no memfd, or not sealed against shrinking and writing */
	FETCH_SHM_E_SHORT,     /* the region reaches beyond its end */
	FETCH_SHM_E_HOLES,     /* not all of its pages are there */
};

struct fetch_shm_options {
	int memory_fd;   /* borrowed for the call */
	uint64_t offset; /* of the region in it */
	uint64_t size;
	void *memory; /* where pieces go to; borrowed until fetch_close() */
	size_t memory_size;
	uint64_t expires_ns; /* 0: never */
};

/* Returns 0, FETCH_SHM_E_*, or a negative errno. */
int fetch_shm_open(const struct fetch_shm_options *options, struct fetch **ret_fetch);

/*
 * Is this memory that [offset, offset + size) may be lent of, or borrowed? It has to have the seals
 * F_SEAL_SHRINK, and F_SEAL_FUTURE_WRITE or F_SEAL_WRITE. An owner that still writes through a
 * mapping it has sets F_SEAL_FUTURE_WRITE.
 *
 * Returns 0, FETCH_SHM_E_*, or a negative errno.
 */
int fetch_shm_check(int memory_fd, uint64_t offset, uint64_t size);

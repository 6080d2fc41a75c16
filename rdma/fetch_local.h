/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Fetch local - ranges of memory that this process can read itself
 *
 * The plainest fetch: post copies, and the next poll tells that the batch is
 * done. It is what the shared-memory kind is made of, and what readers are
 * tested and compared with.
 *
 * With a seed it behaves like a fabric instead: batches complete late and in
 * any order, and bytes arrive no earlier than the batch is told of; until
 * then the memory holds FETCH_LOCAL_POISON. And it can end at a chosen batch.
 *
 * Threads: as fetch.h says.
 */

#include "base/rand.h"
#include "rdma/fetch.h"

#include <stdbool.h>

/* What memory of a batch that is not done holds, when there is a seed. */
#define FETCH_LOCAL_POISON 0xA5

struct fetch_local_options {
	const void *start; /* of the region; borrowed until fetch_close() */
	uint64_t size;
	void *memory; /* where pieces go to; borrowed until fetch_close() */
	size_t memory_size;
	uint64_t expires_ns; /* 0: never */
	uint64_t seed;       /* 0: in order, and at the next poll */
	uint64_t fail_batch; /* the batch, from 1 on, that ends it with -EIO; 0: none */
};

/* Returns 0 or -ENOMEM. */
int fetch_local_open(const struct fetch_local_options *options, struct fetch **ret_fetch);

/* --- for kinds that are made of it --- */

struct fetch_local_batch {
	uint64_t cookie;
	struct fetch_piece *pieces; /* room for FETCH_PIECE_MAX with a seed, else NULL */
	unsigned count;
};

struct fetch_local {
	struct fetch fetch;
	const uint8_t *start;
	uint64_t fail_batch;
	struct rand rand;
	struct fetch_piece *pieces; /* owned: of all batches; NULL without a seed */
	unsigned first, count;      /* of the ring of batches under way */
	struct fetch_local_batch batches[FETCH_BATCH_MAX];
};

/* As fetch_local_open(), in the caller's memory. Its close() only gives back what init took. */
int fetch_local_init(struct fetch_local *local, const struct fetch_local_options *options);
void fetch_local_deinit(struct fetch_local *local);

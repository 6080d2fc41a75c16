/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Handle_vector - requests of types 50 and 52, answered with 51 and 53
 *
 * Scatter requests (50) wait in a queue until handle_vector_run() searches a
 * burst of them interleaved. While the core keeps up, the queue holds what one
 * receive burst brought and is emptied before its frames go back to the port, so
 * that nothing is copied. When it doesn't, handle_vector_keep() makes what waits
 * outlive its frames, and a request that finds the queue full is answered
 * OVERLOADED at once, with the time that the queue is going to take as the hint.
 *
 *      dispatch -> handle_vector_scatter() -> queue -> handle_vector_run()
 *                        | full                             | decode, search, encode
 *                        v                                  v
 *                    OVERLOADED                        51, or a status
 *
 * A request that fails is answered with the status that says why, and, when it
 * was a scatter request of this shard, with a type 51 whose error text says it in
 * words. Coarse requests (52) cost no search and are answered at once.
 *
 * Memory: handle_vector_new() takes everything, for the shards that the core
 * owns and the limits of the configuration.
 *
 * Threads: a handler belongs to its core; the shard table is shared and constant.
 */

#include "dataplane/dispatch.h"
#include "dataplane/shard.h"
#include "dataplane/stage.h"

#include <stdint.h>

/* Searches interleaved in one burst. */
#define HANDLE_VECTOR_BURST_MAX 64

/* Requests that can wait for their search. */
#define HANDLE_VECTOR_QUEUE_MAX 65536

struct coordinator;
struct handle_vector;

struct handle_vector_config {
	const struct shard_table *shards; /* borrowed until handle_vector_free() */
	struct stages *stages;            /* borrowed; times decode, search and encode */
	struct coordinator *coordinator;  /* borrowed; takes what goes to all shards; may be NULL */
	uint32_t core;                    /* whose shards are ours */
	uint32_t burst;                   /* 1 to HANDLE_VECTOR_BURST_MAX */
	uint32_t queue_max;               /* 1 to HANDLE_VECTOR_QUEUE_MAX */
	struct shard_ef ef;
	uint32_t message_size_max; /* bytes of an answer */
};

#define HANDLE_VECTOR_STAT_LIST(HANDLE_VECTOR_STAT)                                                \
	HANDLE_VECTOR_STAT(searches)                                                               \
	HANDLE_VECTOR_STAT(searches_filtered)                                                      \
	HANDLE_VECTOR_STAT(search_bursts)                                                          \
	HANDLE_VECTOR_STAT(search_hops)                                                            \
	HANDLE_VECTOR_STAT(search_distances)                                                       \
	HANDLE_VECTOR_STAT(coarse_answers)                                                         \
	HANDLE_VECTOR_STAT(coarse_unchanged)                                                       \
	HANDLE_VECTOR_STAT(refused_malformed)                                                      \
	HANDLE_VECTOR_STAT(refused_invalid) /* dimension, a value that isn't finite, the filter */ \
	HANDLE_VECTOR_STAT(refused_deadline)  /* it passed while the request waited */             \
	HANDLE_VECTOR_STAT(refused_elsewhere) /* another core's shard */                           \
	HANDLE_VECTOR_STAT(refused_not_here)                                                       \
	HANDLE_VECTOR_STAT(refused_overloaded) /* queue full, or no buffer */                      \
	HANDLE_VECTOR_STAT(refused_too_large)  /* the answer is over the limit of a message */

struct handle_vector_stats {
#define HANDLE_VECTOR_STAT_FIELD(name) uint64_t name;
	HANDLE_VECTOR_STAT_LIST(HANDLE_VECTOR_STAT_FIELD)
#undef HANDLE_VECTOR_STAT_FIELD
};

/* Returns 0, -EINVAL (a limit is out of range) or -ENOMEM. */
int handle_vector_new(const struct handle_vector_config *config,
		      struct handle_vector **ret_handler);
void handle_vector_free(struct handle_vector *handler);

/* Puts types 50 and 52 into the table, which borrows the handler. */
void handle_vector_register(struct handle_vector *handler, struct dispatch *dispatch);

/* Searches up to a burst of what waits, and answers it. Returns the requests answered. */
unsigned handle_vector_run(struct handle_vector *handler, uint64_t now_ns);

/* Requests that wait. */
uint32_t handle_vector_waiting(const struct handle_vector *handler);

/*
 * Makes all that waits outlive the frames it came in; what finds no buffer is
 * answered OVERLOADED. To be called before frames go back to the port while
 * requests wait.
 */
void handle_vector_keep(struct handle_vector *handler, uint64_t now_ns);

const struct handle_vector_stats *handle_vector_stats(const struct handle_vector *handler);

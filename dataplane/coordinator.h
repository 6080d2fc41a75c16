/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Coordinator - a question to all shards of a collection, asked by a node
 *
 * A type 50 request for vShard COORDINATOR_VSHARD goes to every shard of its
 * collection, wherever it is: this core sends the same payload to their owners
 * over sessions of its own endpoint, merges what comes back (cluster/gather.h),
 * and answers with one type 51 for vShard COORDINATOR_VSHARD, in which each hit
 * names its shard.
 *
 *      request -> coordinator_begin() -> gather -> sessions -> owners
 *      answer <- coordinator_turn() <- gather <- sessions <-+
 *
 * A partial answer, of which some shards are missing, is a success whose error
 * text names them. The collections are those of the node's manifests; their
 * shards that are not the node's own are looked for at the configured peers.
 *
 * Memory: coordinator_new() takes everything.
 *
 * Threads: a coordinator belongs to one core.
 */

#include "base/addr.h"
#include "dataplane/dispatch.h"
#include "dataplane/shard.h"
#include "proto/session.h"

#include <stdbool.h>
#include <stdint.h>

struct coordinator;

/* The vShard that stands for all. */
#define COORDINATOR_VSHARD UINT32_MAX

/* Questions under way on one core. */
#define COORDINATOR_QUESTION_MAX 16

/* Hits that one question can ask for: each shard may answer with as many. */
#define COORDINATOR_TOP_K_MAX 1000

struct coordinator_config {
	const struct shard_table *shards; /* borrowed until coordinator_free() */
	const struct addr *cores;         /* of this node, by index; read by coordinator_new() */
	uint32_t core;                    /* which of them we are */
	const struct addr *peers;         /* other nodes' first cores; read by coordinator_new() */
	uint32_t peer_count;
	uint64_t node;
	uint64_t epoch;
	uint32_t message_size_max; /* bytes of a request or an answer */
};

/* A question without a deadline gets this one, so that a dead node costs no more. */
#define COORDINATOR_DEADLINE_NS UINT64_C(2000000000)

#define COORDINATOR_STAT_LIST(COORDINATOR_STAT)                                                    \
	COORDINATOR_STAT(questions)                                                                \
	COORDINATOR_STAT(questions_partial) /* answered, with shards missing */                    \
	COORDINATOR_STAT(questions_failed)  /* no shard answered */                                \
	COORDINATOR_STAT(questions_refused) /* malformed, unknown, too much, or overloaded */      \
	COORDINATOR_STAT(questions_retries) /* requests to shards that were sent again */

struct coordinator_stats {
#define COORDINATOR_STAT_FIELD(name) uint64_t name;
	COORDINATOR_STAT_LIST(COORDINATOR_STAT_FIELD)
#undef COORDINATOR_STAT_FIELD
};

/* Borrows 'endpoint' until coordinator_free(). Returns 0, -EINVAL or -ENOMEM. */
int coordinator_new(const struct coordinator_config *config, struct endpoint *endpoint,
		    struct coordinator **ret_coordinator);

/* Before its endpoint is freed; NULL is fine. */
void coordinator_free(struct coordinator *coordinator);

/* Takes a request of type 50 for COORDINATOR_VSHARD. */
void coordinator_begin(struct coordinator *coordinator, const struct dispatch_item *item,
		       uint64_t now_ns);

/* Takes answers, sends what is ready, answers what is done. Returns whether there was any. */
bool coordinator_turn(struct coordinator *coordinator, uint64_t now_ns);

/* When coordinator_turn() is due at the latest. */
uint64_t coordinator_due_ns(const struct coordinator *coordinator);

const struct coordinator_stats *coordinator_stats(const struct coordinator *coordinator);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Core pair - a core and a client, joined in memory and turned by hand
 *
 * All of a core but its thread, with made-up time, for tests of handlers. Its shards
 * are those of one collection, "things": as many as asked for, each with a small segment of its
 * own in memory that can be shared; shard i has vShard CORE_PAIR_VSHARD + i, and is the
 * core's but for the last, which is core 1's.
 *
 * Threads: one.
 */

#include "dataplane/core.h"
#include "tests/lib/port_memory.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CORE_PAIR_CALL_MAX   128
#define CORE_PAIR_BYTES      2048 /* of a request, and of an answer */
#define CORE_PAIR_VSHARD     10
#define CORE_PAIR_STEP_NS    10000
#define CORE_PAIR_GENERATION 3
#define CORE_PAIR_CLIENT     99 /* node */
#define CORE_PAIR_SERVER     1
#define CORE_PAIR_COLLECTION "things"

struct core_pair_call {
	uint8_t request[CORE_PAIR_BYTES];
	uint8_t answer[CORE_PAIR_BYTES];
	uint32_t answer_size;
	unsigned answered; /* how often */
	uint16_t status;
	uint32_t hint;
};

struct core_pair {
	struct port_memory client_port;
	struct port_memory core_port;
	struct endpoint *client;
	struct session *sessions[CORE_PAIR_CALL_MAX / SESSION_SLOT_COUNT];
	struct core *core;
	uint64_t now_ns;
	unsigned call_count;
	struct core_pair_call calls[CORE_PAIR_CALL_MAX];
};

/* The shards. Fails the test, as all below do, when it can't be done. */
struct shard_table *core_pair_shards(unsigned count);

/* Borrows the table and the desk, which may be NULL. */
void core_pair_init(struct core_pair *pair, const struct shard_table *shards,
		    struct export_desk *desk);
void core_pair_deinit(struct core_pair *pair);

/* Sends an envelope. */
struct core_pair_call *core_pair_call(struct core_pair *pair, uint16_t type, uint32_t vshard,
				      const void *payload, size_t size);

/* Turns both once. */
void core_pair_turn(struct core_pair *pair);

/* What the core counts: another thread asks, while the core is turned here. */
void core_pair_snapshot(struct core_pair *pair, struct core_snapshot *ret_snapshot);

/* Are all calls answered? */
bool core_pair_done(const struct core_pair *pair);

/*
 * Turns both, and calls 'between' (which may be NULL) in between, until all calls are answered;
 * then a little longer, to see none answered twice. The calls stay valid until the next one is
 * made.
 */
void core_pair_finish(struct core_pair *pair, void (*between)(void *context, uint64_t now_ns),
		      void *context);

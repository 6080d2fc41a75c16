/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Core - the loop of one poll core, from a received burst to its answers
 *
 * Everything a request needs happens in one turn of one thread:
 *
 *      port_receive -> endpoint_input -> endpoint_take_requests -> dispatch
 *        -> handle_vector_run (decode, search_burst, encode, request_answer), handle_region_run
 *        -> coordinator_turn -> endpoint_tick -> port_flush -> box, timers -> idle_wait when empty
 *
 * A turn takes CORE_ROUND_MAX receive bursts at most before it searches, as long
 * as they come full: what came in but can't be searched in this turn waits in
 * the handler's queue, where it is counted and, when it is too much, refused,
 * instead of in a buffer of the card or the kernel, where it would be lost.
 * README.md in this folder says who owns a frame when.
 *
 *      running --MSG_DRAIN--> draining --nothing under way--> lingering --> ended
 *         |                       |  CORE_DRAIN_NS over           ^
 *         +------ MSG_STOP -------+-------------------------------+ (at once)
 *
 * A draining core refuses new requests; a lingering one has answered everything
 * and stays for CORE_LINGER_NS, because an answer of many frames is fetched by
 * its peer, and one that was lost is asked for again.
 *
 * Threads: core_new(), core_start() and core_join() by the main thread; the core
 * itself runs on its own, where it takes its memory, so that it lies on the
 * core's NUMA node. Others reach it through its box (msg.h).
 */

#include "base/addr.h"
#include "dataplane/coordinator.h"
#include "dataplane/handle_region.h"
#include "dataplane/handle_vector.h"
#include "dataplane/idle.h"
#include "dataplane/loop.h"
#include "dataplane/msg.h"
#include "dataplane/shard.h"
#include "dataplane/stage.h"
#include "proto/port.h"
#include "proto/session.h"

#include <stdbool.h>
#include <stdint.h>

struct core;

/* Receive bursts of one turn. */
#define CORE_ROUND_MAX 8

/* How long a drain may take. */
#define CORE_DRAIN_NS UINT64_C(10000000000)

/* How long a drained core stays to repeat answers. */
#define CORE_LINGER_NS UINT64_C(300000000)

struct core_config {
	uint32_t index;
	int cpu;                            /* -1: not pinned */
	struct port_queue *queue;           /* borrowed until core_free() */
	struct endpoint_config endpoint;    /* 'secret' is borrowed until the core has started */
	struct handle_vector_config vector; /* shards, core and stages are set by the core */
	const struct shard_table *shards;   /* borrowed until core_free() */
	struct export_desk *desk; /* borrowed until core_free(); NULL: nothing is exported */
	struct loop *loop;        /* borrowed until core_free(); NULL: no coordinator */
	const struct addr *cores; /* the node's, by index; read by the core's start */
	const struct addr *peers; /* other nodes; read by the core's start */
	uint32_t peer_count;
	uint64_t idle_busy_ns;
	uint64_t idle_relax_ns;
	bool eal; /* the environment layer runs: the thread makes itself known to it */
};

#define CORE_STAT_LIST(CORE_STAT)                                                                  \
	CORE_STAT(turns)                                                                           \
	CORE_STAT(receive_bursts) /* that brought at least one frame */                            \
	CORE_STAT(requests)       /* taken from the session layer */                               \
	CORE_STAT(messages)       /* from other threads */

struct core_stats {
#define CORE_STAT_FIELD(name) uint64_t name;
	CORE_STAT_LIST(CORE_STAT_FIELD)
#undef CORE_STAT_FIELD
};

/* All that a core counts, beside times. */
struct core_counts {
	struct core_stats core;
	struct idle_stats idle;
	struct session_stats session;
	struct port_stats port;
	struct handle_vector_stats vector;
	struct handle_region_stats region;
	struct coordinator_stats coordinator;
	uint64_t refused_malformed;
	uint64_t refused_version;
	uint64_t refused_type;
	uint64_t refused_unsupported;
	uint64_t refused_epoch;
	uint32_t waiting;       /* requests in the queue */
	uint32_t busy;          /* endpoint_busy_count() */
	uint64_t heap_breaches; /* allocations since the core has run; always 0 */
	bool draining;
};

/* A copy of it, made by the core itself between two turns. */
struct core_snapshot {
	struct core_counts counts;
	struct stages stages;
};

/* Only the frame of it; the rest is taken by core_start(). Returns 0 or a negative errno. */
int core_new(const struct core_config *config, struct core **ret_core);
void core_free(struct core *core);

/*
 * Starts the thread and waits until it has all its memory and is about to run.
 *
 * Returns 0 or a negative errno; -EINVAL when its processor is not there.
 */
int core_start(struct core *core);

/* Posts a drain, or a stop; fine when the core has ended. Doesn't wait. */
void core_drain(struct core *core);
void core_stop(struct core *core);

/* Has it ended? Any thread. */
bool core_ended(const struct core *core);

/* Waits for the end of a core that was started. */
void core_join(struct core *core);

/* Fills '*ret_snapshot'. Returns false when the core has ended. Any thread but the core's. */
bool core_snapshot(struct core *core, struct core_snapshot *ret_snapshot);

/* --- for tests: the loop by hand, on the calling thread --- */

/* What core_start() does on the core's thread, pinning aside. Returns 0 or a negative errno. */
int core_prepare(struct core *core, uint64_t now_ns);

/* One turn. Returns whether there was work. */
bool core_turn(struct core *core, uint64_t now_ns);

/* Has it more turns to go? */
bool core_running(const struct core *core);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Export - the sealed segments of this node, for peers to read by themselves
 *
 * A thread of its own, which is no poll core: it owns the verbs device, the
 * links of peers, the regions and their leases, and the server of shared memory. Poll cores
 * pass it the requests of type 56 and get back what type 57 says:
 *
 *      handle_region --export_ask()--> desk --> export's thread --> region, link, shm
 *            ^                          |
 *            +------ export_take() -----+
 *
 * It falls back by itself: without a verbs device peers on this host still get
 * shared memory; where a segment lies in no memory that can be shared either, they are told
 * "unsupported". What there is, is logged at start.
 *
 * It waits in epoll and never spins: while peers read, nothing here runs.
 *
 * Lifetime: opened when the shards are, closed before they are and after the
 * cores' threads have ended. The end takes back all keys before memory is unmapped:
 * links are closed first, whose keys die with them, so it needs no grace.
 *
 * Threads: opening, starting, withdrawing and closing by the main thread. A desk belongs to one
 * core. Counters are read by any.
 */

#include "base/addr.h"
#include "base/spsc.h"
#include "dataplane/shard.h"
#include "proto/payload_region.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Requests of one core that are under way. */
#define EXPORT_ASK_MAX 64

/* Bytes of an error line, final zero included. */
#define EXPORT_ERROR_MAX 512

struct export;
struct verbs_ops;

struct export_config {
	const struct shard_table *shards; /* borrowed until export_close() */
	uint32_t core_count;
	uint64_t node;
	const uint8_t *secret; /* 32 bytes, copied; NULL: nobody has to prove anything */
	struct addr listen;    /* the node's base address */
	uint32_t link_max;
	uint32_t lease_max; /* of all regions together */
	uint32_t lease_ms_max;
	struct shard_ef ef;          /* that readers are told, so that they search as this node */
	const char *device;          /* NULL: the first that is up */
	uint8_t device_port;         /* 0: the first that is up */
	int gid_index;               /* -1: the best */
	uint64_t seed;               /* of nonces; 0: random */
	const struct verbs_ops *ops; /* of verbs; borrowed; NULL: no verbs */
};

/* A request on its way. Its memory is the asker's, and export's from export_ask() to export_take().
 */
struct export_ask {
	struct export_desk *desk; /* set by export_ask() */
	const struct shard *shard;
	struct region_name name;
	uint32_t lease_ms; /* wanted */
	enum region_transport transport;
	uint32_t proof_size;
	uint8_t proof[REGION_PROOF_MAX];
	struct region_answer answer; /* valid after export_take(); its text is constant */
};

/* One core's end: two rings. */
struct export_desk {
	struct spsc asks;
	struct spsc answers;
	uint64_t ask_slots[EXPORT_ASK_MAX];
	uint64_t answer_slots[EXPORT_ASK_MAX];
	int export_fd; /* an eventfd that wakes export's thread */
	int core_fd;   /* one that wakes the core; -1: nobody sleeps */
};

/* The shortest lease. */
#define EXPORT_LEASE_MS_MIN 100

#define EXPORT_COUNTER_LIST(EXPORT_COUNTER)                                                        \
	EXPORT_COUNTER(asks)                                                                       \
	EXPORT_COUNTER(grants)                                                                     \
	EXPORT_COUNTER(refusals)                                                                   \
	EXPORT_COUNTER(leases_granted)                                                             \
	EXPORT_COUNTER(leases_expired)                                                             \
	EXPORT_COUNTER(leases_returned)                                                            \
	EXPORT_COUNTER(leases_revoked)                                                             \
	EXPORT_COUNTER(leases_failed)                                                              \
	EXPORT_COUNTER(links_opened)                                                               \
	EXPORT_COUNTER(links_ended)                                                                \
	EXPORT_COUNTER(proofs_refused)                                                             \
	EXPORT_COUNTER(wakeups) /* of its thread */

/* What goes up and down. */
#define EXPORT_GAUGE_LIST(EXPORT_GAUGE)                                                            \
	EXPORT_GAUGE(regions)          /* that can be granted, by verbs */                         \
	EXPORT_GAUGE(regions_shared)   /* that can be granted, by shared memory */                 \
	EXPORT_GAUGE(bytes_registered) /* with the device */                                       \
	EXPORT_GAUGE(bytes_shared)                                                                 \
	EXPORT_GAUGE(leases)                                                                       \
	EXPORT_GAUGE(links)

struct export_stats {
#define EXPORT_STAT_FIELD(name) uint64_t name;
	EXPORT_COUNTER_LIST(EXPORT_STAT_FIELD)
	EXPORT_GAUGE_LIST(EXPORT_STAT_FIELD)
#undef EXPORT_STAT_FIELD
};

/*
 * Opens the device, listens, and registers the shards' segments: what can be had of
 * it. Log lines say what that is, and what to do about the rest.
 *
 * Returns 0 or a negative errno, and a line in 'error'.
 */
int export_open(const struct export_config *config, struct export **ret_export, char *error,
		size_t error_size);

/* Starts the thread. Returns 0 or a negative errno. */
int export_start(struct export *export);

/* Ends the thread, takes back all leases, closes all links, and gives everything back. NULL is
 * fine. */
void export_close(struct export *export);

/*
 * Takes back everything of a shard, whose segment is to be replaced or unmapped: nothing of it is
 * granted any more ("shard moved"), and every key of it ends before its time. Doesn't wait.
 */
void export_withdraw(struct export *export, const struct shard *shard);

/* Is it over? Then the segment's memory is nobody's but the shard's. */
bool export_withdrawn(const struct export *export, const struct shard *shard);

/* Core 'core' asks and takes there. */
struct export_desk *export_desk(struct export *export, uint32_t core);

/* What is offered, and by what: for people. */
struct export_info {
	bool verbs;
	bool shm;
	char device[64]; /* "" without verbs */
	char netdev[64];
	char gid[48]; /* in text */
	uint32_t gid_index;
	char why_not[EXPORT_ERROR_MAX]; /* of verbs; "" when there are */
};

/* Constant after export_open(). */
const struct export_info *export_info(const struct export *export);

/* Any thread. Each counter is whole, but two need not be of the same moment. */
struct export_stats export_stats(const struct export *export);

/* --- the core's side of a desk --- */

/* A desk of nobody's, whose asks wake 'export_fd'. Export's own are made by export_open(). */
void export_desk_init(struct export_desk *desk, int export_fd);

/* Passes 'ask' on. False when EXPORT_ASK_MAX are under way. Doesn't block. */
bool export_ask(struct export_desk *desk, struct export_ask *ask);

/* An ask that was answered, or NULL. They come in any order. */
static inline struct export_ask *export_take(struct export_desk *desk)
{
	return spsc_get_pointer(&desk->answers);
}

/* --- the ways' side: export_verbs.h, export_shm.h --- */

/* Called when an ask has its answer. */
typedef void (*export_answered_fn)(void *context, struct export_ask *ask);

/* --- for tests: the thread's work by hand --- */

/* One turn. */
void export_turn(struct export *export, uint64_t now_ns);

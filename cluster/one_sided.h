/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One_sided - the shards that are searched by reading their owners' memory
 *
 * For each shard: a tether to its owner, leases of its segment, and a reader. All
 * of it comes about by itself and renews itself; what can't be had is said, and
 * asked for again after a while. Who asks a shard that isn't READY, or gets an
 * error for an answer, asks its owner instead (type 50).
 *
 *    WAITING --> CONNECTING --> ASKING directory --> READING it --> ASKING segment --> OPENING
 *       ^             |              |                   |               |               |
 *       +-------------+--------------+-------------------+---------------+---------------+
 *       |   why not: one_sided_reason()                                                  v
 *       +---------------------------- lease over, owner gone, bytes bad ------------- READY
 *                                                                          half of the lease
 *                                                                       over: asks for another
 *
 * Verbs are tried first where there is a device, then shared memory on this host.
 *
 * Requests of type 56 go out by leg_ops, as gather's and survey's do, and answers come back by
 * one_sided_take().
 *
 * Memory: a shard's is taken when it is first wanted.
 *
 * Threads: all of it belongs to one thread, that of its route and its hub.
 */

#include "cluster/leg.h"
#include "cluster/reader.h"
#include "cluster/route.h"
#include "proto/payload_region.h"

#include <stdbool.h>
#include <stdint.h>

/* Shards at a time. */
#define ONE_SIDED_SHARD_MAX 256

/* The lease that is asked for, and the pauses after a failure. */
#define ONE_SIDED_LEASE_MS     60000
#define ONE_SIDED_PAUSE_MIN_NS UINT64_C(500000000)
#define ONE_SIDED_PAUSE_MAX_NS UINT64_C(30000000000)

/* How long connecting, and each request, may take. */
#define ONE_SIDED_STEP_NS UINT64_C(3000000000)

/* Bytes of one_sided_reason(), final zero included. */
#define ONE_SIDED_REASON_MAX 400

struct link_hub;
struct one_sided;

struct one_sided_config {
	uint64_t node;         /* ours; 0 for a client */
	const uint8_t *secret; /* 32 bytes, or NULL; borrowed */
	struct link_hub
		*hub; /* borrowed until one_sided_free(); its turns are ours; NULL: no verbs */
	bool shm;     /* try shared memory */
	bool huge;    /* readers' memory in huge pages */
	uint64_t memory_size;        /* bytes of each reader's memory */
	uint32_t shard_max;          /* 1 to ONE_SIDED_SHARD_MAX */
	uint32_t lease_ms;           /* 0: ONE_SIDED_LEASE_MS */
	struct reader_config reader; /* generation, header_crc and ef are set here */
};

/* What one shard's reading came to. */
struct one_sided_info {
	bool is_ready;
	const char *transport; /* "verbs" or "shm"; NULL: none yet */
	struct fetch_stats fetch;
	struct reader_stats reader;
	uint32_t opened; /* how often it became ready */
	uint32_t failed; /* how often it couldn't, or stopped */
};

/* Returns 0, -EINVAL or -ENOMEM. */
int one_sided_new(const struct one_sided_config *config, struct one_sided **ret_one_sided);

/* It must be idle: the session borrows its buffers until then. */
void one_sided_free(struct one_sided *one_sided);

/* The number by which a shard is asked, from now on wanted; UINT32_MAX when there is no room. */
uint32_t one_sided_shard(struct one_sided *one_sided, uint32_t collection, uint32_t vshard);

/* Can it be asked? */
bool one_sided_is_ready(const struct one_sided *one_sided, uint32_t shard);

/* Might it be soon? Otherwise it failed, and is tried again after a pause. */
bool one_sided_is_coming(const struct one_sided *one_sided, uint32_t shard);

/* Why it isn't ready: one line; "" when nothing has failed yet. */
const char *one_sided_reason(const struct one_sided *one_sided, uint32_t shard);

/* As reader_ask(), of a shard that is ready. */
int one_sided_ask(struct one_sided *one_sided, uint32_t shard, const float *query, uint32_t k,
		  uint32_t ef, uint64_t tag);

/* As reader_abandon(). */
void one_sided_abandon(struct one_sided *one_sided, uint32_t shard, uint64_t tag);

/*
 * Goes on with everything, calls with 'tag_base' + shard included. Never blocks. To be called
 * again at once while questions are under way: completions don't wake anybody.
 */
void one_sided_run(struct one_sided *one_sided, struct route *route, const struct leg_ops *ops,
		   void *context, uint64_t tag_base, uint64_t now_ns);

/* The answer to a call of it, which was made for 'shard'. */
void one_sided_take(struct one_sided *one_sided, struct route *route, uint32_t shard,
		    const struct session_answer *answer, uint64_t now_ns);

/*
 * Hands out up to 'count' answers of a shard; valid until the next one_sided_run(), before which
 * all have to be taken: a reader that fails goes with it.
 */
unsigned one_sided_answers(struct one_sided *one_sided, uint32_t shard,
			   struct reader_answer *answers, unsigned count);

/* When one_sided_run() is due at the latest: at once while something is under way. */
uint64_t one_sided_due_ns(const struct one_sided *one_sided, uint64_t now_ns);

/* Is no call under way? */
bool one_sided_is_idle(const struct one_sided *one_sided);

struct one_sided_info one_sided_info(const struct one_sided *one_sided, uint32_t shard);

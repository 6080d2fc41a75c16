/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Gather - one k-NN question, many shards, one answer
 *
 * The coordinator, a state machine without I/O: it sends the same payload (type
 * 50) to each of the shards it is given, follows each until its owner has
 * answered (cluster/leg.h), and merges the answers (type 51) as they come.
 *
 *   gather_begin() -> gather_run() -> [ gather_take() -> gather_run() ] ...
 *                                          until gather_is_done()
 *
 * The answer is the k nearest of all hits that arrived, by distance, then
 * vector id, then shard: it doesn't depend on the order of arrival.
 *
 * What did not answer is named: gather_missing() lists each such shard and why.
 * Such an answer is partial. A strict question fails instead, at the first shard
 * that fails; and so does any question that no shard has answered. Deviation
 * from the original (protocol section 7.3), which counts failed shards as answered.
 *
 * Answers are hostile: type, vShard, hit count, order and NaN are checked, and a
 * shard that breaks them counts as failed, MALFORMED.
 *
 * Memory: gather_new() takes everything for its limits.
 *
 * Threads: a gather and its route table belong to one thread.
 */

#include "cluster/leg.h"
#include "cluster/route.h"
#include "proto/payload_vector.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gather;

/* Shards that one question can go to. */
#define GATHER_SHARD_MAX ROUTE_VSHARD_MAX

/* How often a shard is asked again, pauses between (see leg.h), before it counts as missing. */
#define GATHER_RETRY_MAX 20

enum {
	GATHER_E_LIMIT = 1, /* more shards, bytes or hits than the gather was made for */
};

struct gather_limits {
	uint32_t shard_max;
	uint32_t request_size_max; /* bytes of a type 50 message, envelope included */
	uint32_t hit_max;          /* the largest top_k */
	uint32_t doc_id_size_max;  /* bytes of a document id that answers may carry with each hit */
};

struct gather_question {
	const struct vector_scatter *scatter; /* read by gather_begin() only */
	uint32_t collection;                  /* the route table's number */
	const uint32_t *vshards;              /* read by gather_begin() only */
	uint32_t vshard_count;
	uint64_t source_node; /* for the envelopes; 0 for a client */
	uint64_t deadline_ns; /* absolute; UINT64_MAX for none */
	uint64_t tag;         /* calls carry tag + index of the leg */
	bool strict;
};

struct gather_hit {
	float distance;
	uint32_t vector_id;
	uint32_t vshard;
};

/* Is 'a' answered before 'b'? */
static inline bool gather_hit_before(const struct gather_hit *a, const struct gather_hit *b)
{
	if (a->distance != b->distance)
		return a->distance < b->distance;
	if (a->vector_id != b->vector_id)
		return a->vector_id < b->vector_id;
	return a->vshard < b->vshard;
}

struct gather_missing {
	uint32_t vshard;
	uint16_t status; /* why: enum status */
};

/* The bytes of the message that carries 'scatter', for gather_limits. */
size_t gather_request_size(const struct vector_scatter *scatter);

/* Returns 0, -EINVAL (a limit is 0 or out of range) or -ENOMEM. */
int gather_new(const struct gather_limits *limits, struct gather **ret_gather);

/* It must be idle: the session borrows its buffers until then. */
void gather_free(struct gather *gather);

/*
 * Takes up a question; the gather must be idle. Nothing is sent yet.
 *
 * Returns 0, -EINVAL (no shard, or top_k 0) or GATHER_E_LIMIT.
 */
int gather_begin(struct gather *gather, const struct route *route,
		 const struct gather_question *question);

/* Sends what is ready and fails what is late. Call it after answers, and when gather_due_ns() says.
 */
void gather_run(struct gather *gather, struct route *route, const struct leg_ops *ops,
		void *context, uint64_t now_ns);

/* The answer to the call whose tag was the question's + 'leg'. Every call comes back here once. */
void gather_take(struct gather *gather, struct route *route, uint32_t leg,
		 const struct session_answer *answer, uint64_t now_ns);

/* When gather_run() is due at the latest, if no answer comes before. */
uint64_t gather_due_ns(const struct gather *gather);

/* Is the answer complete? Calls may still be under way. */
bool gather_is_done(const struct gather *gather);

/* Does a request of it wait for a free slot of its session? */
bool gather_is_crowded(const struct gather *gather);

/* Is no call under way? Only then may it be begun again or freed. */
bool gather_is_idle(const struct gather *gather);

/* --- the answer, once done --- */

/* OK (perhaps partial), or why there is none. */
uint16_t gather_status(const struct gather *gather);

/* Nearest first; borrows until the next gather_begin(). None when the status isn't OK. */
const struct gather_hit *gather_hits(const struct gather *gather, uint32_t *ret_count);

/* Writes up to 'count' of the shards that did not answer, and why; returns how many there are. */
uint32_t gather_missing(const struct gather *gather, struct gather_missing *missing,
			uint32_t count);

/* Requests sent again for whatever reason, and hints followed, since gather_begin(). */
uint32_t gather_retry_count(const struct gather *gather);

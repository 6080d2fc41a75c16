/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Leg - one request on its way to the owner of one shard
 *
 * A state machine without I/O. It begins where the route table says, or at one
 * of the servers, and follows what comes back until the owner has answered, or
 * nobody is left to ask:
 *
 *        leg_begin()
 *            |
 *          READY --leg_send()--> ASKED --answer OK--> ANSWERED
 *            ^  ^                  |
 *            |  +-- other address -+-- nobody left, or no use --> FAILED
 *            |                     |
 *            +-- due -- PAUSED <---+ the peer is busy, or lost
 *
 *   SHARD_ELSEWHERE      the same host, the UDP port of the hint
 *   SHARD_NOT_HERE       the next server; FAILED when all have said so
 *   OVERLOADED           the same address, after the hint's microseconds and more
 *   other retriable      the next server; after the last one a pause, then again
 *   SESSION_LOST         as these: a leg carries questions, which do no harm twice
 *   DEADLINE             as these, when only the attempt's time is over
 *   anything else        FAILED
 *
 * Every loop ends: hints are followed LEG_HINT_MAX times, and a leg is sent at
 * most 1 + 'retry_max' times beyond its way through the servers.
 *
 * Memory: none of its own; the buffers are its owner's and stay lent to the
 * session while the leg is ASKED.
 *
 * Threads: a leg belongs to one thread.
 */

#include "cluster/route.h"
#include "proto/session.h"

#include <stdbool.h>
#include <stdint.h>

/* Hints followed in a row without an answer: two nodes could point at each other. */
#define LEG_HINT_MAX 4

/* The first pause and the longest; each is twice the one before. */
#define LEG_PAUSE_MIN_NS UINT64_C(200000)
#define LEG_PAUSE_MAX_NS UINT64_C(200000000)

/* How a leg's message leaves. Returns what session_call() returns. */
struct leg_ops {
	int (*ask)(void *context, const struct addr *to, const struct session_call *call,
		   uint64_t now_ns);
};

enum leg_state {
	LEG_READY,
	LEG_ASKED,
	LEG_PAUSED,
	LEG_ANSWERED,
	LEG_FAILED,
};

struct leg {
	enum leg_state state;
	uint16_t status;     /* of the last answer but SHARD_NOT_HERE, when there was one */
	uint32_t collection; /* the route table's number */
	uint32_t vshard;
	uint32_t retry_max;
	uint32_t retry_count;
	uint32_t hint_count;
	uint32_t server_count; /* servers asked in this round */
	uint32_t server;       /* the one to ask next */
	uint64_t due_ns;       /* when PAUSED ends */
	uint64_t attempt_ns;   /* how long a server is waited for; 0: until the deadline */
	uint64_t deadline_ns;  /* of the whole */
	uint64_t epoch;        /* of the answer */
	struct addr at;        /* where it was sent last, or will be sent next */
	uint8_t *request;
	uint32_t request_size;
	uint8_t *answer;
	uint32_t answer_capacity;
	uint32_t answer_size;
};

/*
 * How long a leg that doesn't know its shard's place waits for one of several
 * servers: one that is down shall not keep it from asking the next.
 */
#define LEG_ATTEMPT_NS UINT64_C(200000000)

/*
 * Starts over for a shard; the buffer members are the caller's to set and stay.
 * 'spread' says which server is asked first when the table knows no place.
 */
void leg_begin(struct leg *leg, const struct route *route, uint32_t collection, uint32_t vshard,
	       uint32_t spread, uint32_t retry_max);

/* Sends it when it is READY, or its pause is over. A session without a free slot leaves it READY.
 */
void leg_send(struct leg *leg, struct route *route, const struct leg_ops *ops, void *context,
	      uint64_t tag, uint64_t deadline_ns, uint64_t now_ns);

/* The answer to an ASKED leg; teaches the table. */
void leg_take(struct leg *leg, struct route *route, const struct session_answer *answer,
	      uint64_t now_ns);

/* The answer came, but its message is of no use: FAILED with 'status'. */
void leg_refuse(struct leg *leg, uint16_t status);

/* Will it change no more? */
bool leg_is_over(const struct leg *leg);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Session - reliable request and answer over datagrams
 *
 * A state machine without I/O: frames and the time come in, frames and events
 * go out. One endpoint a core holds all the sessions of that core, in both
 * roles. The same code runs on a DPDK port, on a socket, and in a simulation.
 *
 *        requester                                   executor
 *   session_call() --REQUEST frames, within credits-->  endpoint_take_requests()
 *                  <--CREDIT for all but the last----
 *                  <--ANSWER frame 0-----------------  request_answer()
 *                  --PULL n (for frames 1..)-------->
 *   take_answers() <--ANSWER frame n-----------------
 *
 * The requester drives everything: it alone keeps timers and sends again; the
 * executor only reacts. A session has SESSION_SLOT_COUNT slots, each with at
 * most one request under way; a slot remembers its last request's number and
 * answer until the requester uses the slot again, so that a repeated frame is
 * answered and never executed twice (at most once). docs/format/frame.md has the
 * bytes, proto/README.md what differs from eRPC (Kalia, Kaminsky, Andersen,
 * NSDI 2019) and why.
 *
 * Memory: endpoint_new() takes everything; nothing is allocated later. Messages
 * of more than one frame live in buffers of a pool with a fixed number of
 * buffers a size class; when it is empty, requests are answered OVERLOADED,
 * unless a session has left one of them unused for too long, which it then loses.
 * Pages that were never used cost nothing until they are.
 *
 * Threads: an endpoint and its sessions belong to one core.
 */

#include "base/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct endpoint;
struct session;
struct request;

/* A message, envelope included, is never larger. Configurable below. */
#define SESSION_MESSAGE_SIZE_MAX (UINT32_C(8) << 20)

/* Requests that one session can have under way at a time. */
#define SESSION_SLOT_COUNT 32

/* The smallest frame every port must carry, UDP payload: IPv6's minimum MTU less headers. */
#define SESSION_FRAME_SIZE_MIN 1232

/* The largest: a jumbo frame less headers. */
#define SESSION_FRAME_SIZE_MAX 8952

#define SESSION_SECRET_SIZE 32

enum {
	SESSION_E_BUSY = 1, /* no free slot, session or buffer now: try again later */
	SESSION_E_LARGE,    /* the message is larger than the configured limit */
	SESSION_E_CLOSED,   /* the session is lost: connect again */
};

/* How frames leave. 'head' and 'body' are borrowed for the call; body_size may be 0. */
struct session_ops {
	void (*send)(void *context, const struct addr *to, const void *head, size_t head_size,
		     const void *body, size_t body_size);
};

struct endpoint_config {
	uint64_t node;             /* our node id; 0 for a client */
	uint64_t epoch;            /* cluster epoch stamped on what we send */
	uint32_t session_count;    /* sessions at a time, both roles together */
	uint32_t frame_size;       /* largest UDP payload our port carries */
	uint32_t message_size_max; /* at most SESSION_MESSAGE_SIZE_MAX */
	uint32_t large_count;      /* buffers of 16 KiB; half as many of each larger class */
	const uint8_t *secret;     /* SESSION_SECRET_SIZE bytes, or NULL: no proof asked or given */
	bool accept;               /* may peers open sessions with us? */
	uint64_t seed;             /* of tokens and nonces, another one each start; 0: random */
	uint64_t rto_min_ns;       /* 0: default */
	uint64_t keepalive_ns;     /* idle time before a ping; 0: default */
	uint64_t lost_ns; /* silence that ends a session, two keep-alives or more; 0: default */
};

/*
 * Takes all memory that the endpoint will ever use. Borrows 'ops' and
 * 'context'; copies the rest.
 *
 * Returns 0, -EINVAL (a limit is out of range) or -ENOMEM.
 */
int endpoint_new(const struct endpoint_config *config, const struct session_ops *ops, void *context,
		 struct endpoint **ret_endpoint);
void endpoint_free(struct endpoint *endpoint);

/*
 * One received frame. Whatever it holds, nothing worse than a counted drop
 * happens. Requests that borrow 'bytes' (see struct request_view) do so until
 * they are answered or kept.
 */
void endpoint_input(struct endpoint *endpoint, const struct addr *from, const uint8_t *bytes,
		    size_t size, uint64_t now_ns);

/* Runs what is due: repeats, pings, losses. */
void endpoint_tick(struct endpoint *endpoint, uint64_t now_ns);

/* When endpoint_tick() has to run next at the latest; UINT64_MAX when nothing is due. */
uint64_t endpoint_due_ns(const struct endpoint *endpoint);

/* Refuses new requests with DRAINING; what is under way goes on. */
void endpoint_drain(struct endpoint *endpoint);

/* Requests that are whole and not answered, plus calls whose completion wasn't taken. */
uint32_t endpoint_busy_count(const struct endpoint *endpoint);

/* --- executing --- */

struct request_view {
	const uint8_t *bytes; /* the message; borrows from the received frame, or from the pool */
	uint32_t size;
	uint64_t deadline_ns; /* on our clock; UINT64_MAX when there is none */
	uint64_t epoch;       /* the requester's */
	uint64_t peer_node;
};

/*
 * Hands out up to 'count' requests that are whole and not expired; expired ones
 * were answered DEADLINE. Each has to be answered by request_answer() once.
 *
 * Requests that aren't taken borrow from their frames too: take all of them
 * before frames are released.
 */
unsigned endpoint_take_requests(struct endpoint *endpoint, struct request **requests,
				unsigned count);

struct request_view request_view(const struct request *request);

/*
 * Makes a request's bytes outlive the frame they came in, by copying them when
 * they borrow from it. Call it for requests that stay unanswered past the burst.
 *
 * Returns 0, or SESSION_E_BUSY when no buffer is free: answer it OVERLOADED.
 */
int request_keep(struct request *request);

/*
 * Room for an answer of up to 'size' bytes, or NULL when no buffer is free
 * (answer OVERLOADED then) or size is over the limit. Valid until
 * request_answer().
 */
uint8_t *request_answer_buffer(struct request *request, uint32_t size);

/*
 * Sends the answer: 'size' bytes of the answer buffer, which may be 0. 'hint'
 * is what 'status' says about it. The request is gone afterwards.
 */
void request_answer(struct request *request, uint16_t status, uint32_t hint, uint32_t size,
		    uint64_t now_ns);

/* --- requesting --- */

/*
 * Begins a session with the endpoint at 'to'. Calls may be submitted at once;
 * they wait for the handshake.
 *
 * Returns 0, or SESSION_E_BUSY when all sessions are in use.
 */
int endpoint_connect(struct endpoint *endpoint, const struct addr *to, uint64_t now_ns,
		     struct session **ret_session);

/* Is it still of use? Not after a loss: then close it and connect anew. */
bool session_is_open(const struct session *session);

/* Is nothing of it under way, and every completion taken? */
bool session_is_idle(const struct session *session);

/*
 * Ends it; calls under way complete with SESSION_LOST. Tells the peer once. The
 * session is the endpoint's again; its completions can still be taken.
 */
void session_close(struct session *session, uint64_t now_ns);

struct session_call {
	const void *bytes; /* borrowed until the call completes */
	uint32_t size;
	void *answer; /* where the answer goes; borrowed until the call completes */
	uint32_t answer_capacity;
	uint64_t deadline_ns; /* absolute, on our clock; UINT64_MAX for none */
	uint64_t tag;         /* comes back with the answer */
};

/*
 * Returns 0, SESSION_E_BUSY (all slots in use), SESSION_E_LARGE or
 * SESSION_E_CLOSED. The latter too when nothing was heard for so long, because
 * nobody ran endpoint_tick(), that the peer may have dropped the session.
 */
int session_call(struct session *session, const struct session_call *call, uint64_t now_ns);

struct session_answer {
	uint64_t tag;
	uint64_t epoch; /* the executor's */
	uint32_t size;  /* bytes in the call's 'answer' */
	uint32_t hint;
	uint16_t status; /* enum status */
};

/*
 * Hands out up to 'count' completed calls. Every call that session_call()
 * accepted completes exactly once: with the peer's answer, DEADLINE,
 * SESSION_LOST, TOO_LARGE (the answer doesn't fit), or with what the session
 * was refused for: UNREACHABLE, AUTH, VERSION, OVERLOADED, DRAINING.
 */
unsigned endpoint_take_answers(struct endpoint *endpoint, struct session_answer *answers,
			       unsigned count);

/* --- looking --- */

/* SESSION_STAT(name): counters since endpoint_new(). */
#define SESSION_STAT_LIST(SESSION_STAT)                                                            \
	SESSION_STAT(frames_received)                                                              \
	SESSION_STAT(frames_sent)                                                                  \
	SESSION_STAT(frames_resent)                                                                \
	SESSION_STAT(frames_bad)   /* too short, wrong magic or version, bad checksum or field */  \
	SESSION_STAT(frames_stale) /* of a session or request that is gone */                      \
	SESSION_STAT(frames_repeated)                                                              \
	SESSION_STAT(requests_received)                                                            \
	SESSION_STAT(requests_shed) /* answered OVERLOADED for want of a buffer */                 \
	SESSION_STAT(requests_expired)                                                             \
	SESSION_STAT(calls)                                                                        \
	SESSION_STAT(calls_failed)                                                                 \
	SESSION_STAT(sessions_opened)                                                              \
	SESSION_STAT(sessions_closed)                                                              \
	SESSION_STAT(sessions_lost)                                                                \
	SESSION_STAT(sessions_refused) /* no proof of membership, no common version, or no room */

struct session_stats {
#define SESSION_STAT_FIELD(name) uint64_t name;
	SESSION_STAT_LIST(SESSION_STAT_FIELD)
#undef SESSION_STAT_FIELD
	uint64_t sessions; /* open at this time */
};

const struct session_stats *endpoint_stats(const struct endpoint *endpoint);

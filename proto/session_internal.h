/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Session internals - what the session's source files share
 *
 *   session.c            the endpoint: memory, dispatch of frames, timers
 *   session_handshake.c  HELLO to ACCEPT, both sides
 *   session_call.c       the requester's side of a request
 *   session_request.c    the executor's side
 *
 * A session is one-sided: the end that connected asks, the end that accepted
 * answers. Each end chooses the token by which it is addressed; its low bits
 * are the session's index, so that a frame finds its session by one load and
 * one compare.
 *
 * Invariants:
 *  1. credits + the frames missing in the windows of all calls == SESSION_CREDIT_COUNT.
 *  2. A call's bit is in 'waiting' exactly when its state is not idle; in 'free'
 *     exactly when it is idle and its completion was taken.
 *  3. A pool buffer is held by exactly one request: as its bytes or its answer.
 *  4. The timer of a session never stands later than what it is for.
 *  5. A request is in 'held' exactly when it has a pool buffer and the next step
 *     is the peer's: it is RECEIVING, or ANSWERED with a large answer.
 *
 * Threads: an endpoint belongs to one core.
 */

#include "base/addr.h"
#include "base/clock.h"
#include "proto/frame.h"
#include "proto/session.h"
#include "proto/session_pool.h"
#include "proto/session_proof.h"
#include "proto/session_rtt.h"
#include "proto/session_timer.h"
#include "proto/session_window.h"

/* Frames a requester may have under way in one session. */
#define SESSION_CREDIT_COUNT 32

/*
 * A request that stands still for so many times the silence that ends a session,
 * although its peer is alive, loses it the session when its buffer is needed.
 */
#define SESSION_STILL_FACTOR 2

/* A token's low bits; so many sessions an endpoint has at most. */
#define SESSION_INDEX_BITS 16
#define SESSION_COUNT_MAX  (UINT32_C(1) << SESSION_INDEX_BITS)

/* Large enough for any machine; it keeps the pool's sum within bounds. */
#define SESSION_LARGE_COUNT_MAX 4096

/*
 * Answers up to this size are remembered in the slot; it is what the smallest
 * frame carries. A larger one takes a pool buffer, which the requester
 * releases when it has the answer.
 */
#define SESSION_ANSWER_INLINE_MAX (SESSION_FRAME_SIZE_MIN - FRAME_SIZE_HEAD)

enum session_state {
	SESSION_STATE_FREE,
	SESSION_STATE_HELLO,  /* requester: HELLO sent */
	SESSION_STATE_PROVE,  /* requester: PROVE sent */
	SESSION_STATE_OPEN,   /* both */
	SESSION_STATE_LOST,   /* requester: until session_close() */
	SESSION_STATE_CLOSED, /* until completions are taken, or requests answered */
};

enum call_state {
	CALL_IDLE,
	CALL_WAITING,   /* the session isn't open yet; nothing was sent */
	CALL_SENDING,   /* 'window' is over the request's frames */
	CALL_PULLING,   /* 'window' is over the answer's frames */
	CALL_RELEASING, /* completed; the executor may forget it */
};

/* One request of ours. */
struct call {
	struct session_window window;
	uint64_t number;
	uint64_t due_ns;    /* next repeat or the deadline */
	uint64_t sample_ns; /* when frame 'sample_index' was sent; 0: no sample */
	uint64_t deadline_ns;
	const uint8_t *bytes; /* borrowed from the caller */
	uint8_t *answer;      /* borrowed from the caller */
	uint64_t tag;
	uint64_t epoch; /* of the answer */
	uint32_t size;
	uint32_t answer_capacity;
	uint32_t answer_size;
	uint32_t hint;
	uint16_t status;
	uint16_t sample_index;
	uint8_t state;   /* enum call_state */
	uint8_t backoff; /* repeats since the last progress */
	uint8_t slot;
	bool completed; /* waits in the endpoint's list to be taken */
	struct session *session;
	struct call *next; /* in that list */
};

enum request_state {
	REQUEST_NONE,      /* nothing to remember, or forgotten */
	REQUEST_RECEIVING, /* 'window' is over its frames */
	REQUEST_READY,     /* whole, in the endpoint's list */
	REQUEST_TAKEN,     /* the application has it */
	REQUEST_ANSWERED,  /* the answer is remembered */
};

/* One request of a peer's. */
struct request {
	struct session_window window;
	uint64_t number; /* the last one this slot knows of; 0: none */
	uint64_t deadline_ns;
	uint64_t epoch;
	const uint8_t *bytes; /* the frame, the pool buffer or nothing */
	uint8_t *buffer;      /* pool buffer behind 'bytes', or NULL */
	uint8_t *answer;      /* the slot's own room or 'answer_buffer' */
	uint8_t *answer_buffer;
	uint32_t size;
	uint32_t answer_size;
	uint32_t answer_capacity;
	uint32_t hint;
	uint16_t status;
	uint8_t state;  /* enum request_state */
	bool abandoned; /* released while the application has it */
	struct session *session;
	struct request *next, *previous; /* in one of the endpoint's lists */
	uint64_t moved_ns;               /* in 'held': when the peer last did something about it */
};

struct request_list {
	struct request *first, *last;
};

struct session {
	uint64_t token;      /* by which frames find us; 0: by none */
	uint64_t peer_token; /* what we write into frames */
	struct endpoint *endpoint;
	uint32_t index;
	uint32_t body_size; /* of a full frame */
	uint8_t state;      /* enum session_state */
	bool requester;
	uint8_t credits;
	uint8_t backoff; /* of the handshake and of pings */
	uint32_t free;   /* a bit a slot */
	uint32_t waiting;
	uint32_t starved; /* calls that could send if there were credits */
	uint32_t taken;   /* executor: requests that the application has */
	uint64_t heard_ns;
	uint64_t asked_ns;  /* when the peer began to owe us a frame; 0: it doesn't */
	uint64_t repeat_ns; /* next HELLO, PROVE or PING */
	uint64_t timer_ns;  /* what the endpoint's timer holds */
	uint64_t ping_ns;   /* when the last ping went out; its number too */
	struct session_rtt rtt;
	struct addr peer;
	uint16_t lost_status; /* enum status: what became of the session */
	uint64_t peer_node;
	uint8_t hello[FRAME_HELLO_SIZE];         /* requester: what we said */
	uint8_t challenge[FRAME_CHALLENGE_SIZE]; /* requester: what was answered */
	struct session *next_free;
	union {
		struct call calls[SESSION_SLOT_COUNT];
		struct request requests[SESSION_SLOT_COUNT];
	};
};

struct endpoint {
	struct endpoint_config config;
	const struct session_ops *ops;
	void *context;
	uint64_t now_ns; /* the latest that we were told */
	struct session *sessions;
	struct session *free_sessions;
	uint64_t *peer_tokens;     /* by session; 0 for all but accepted ones */
	uint8_t *inline_answers;   /* SESSION_ANSWER_INLINE_MAX a slot; NULL: accepts nobody */
	struct request_list ready; /* whole, for the application; the oldest first */
	struct request_list held;  /* wait for the peer with a pool buffer; the stillest first */
	struct call *completed_first, *completed_last;
	uint32_t busy_count;
	bool draining;
	bool has_secret;
	struct session_timer timer;
	struct session_pool pool;
	struct session_key secret; /* the cluster's */
	struct session_key own;    /* ours alone: cookies, tokens and nonces */
	uint64_t own_counter;
	struct session_stats stats;
};

/* --- session.c --- */

/* Sends a frame whose token is set. Stamps the epoch. */
void endpoint_send(struct endpoint *endpoint, const struct addr *to, struct frame *frame);

/* 32 bytes that nobody can foretell, from our own key. */
void endpoint_random(struct endpoint *endpoint, uint8_t ret_bytes[SESSION_PROOF_SIZE]);

/* A session with a new token and all slots free; NULL when all are in use. */
struct session *session_new(struct endpoint *endpoint, const struct addr *peer, bool requester);
void session_free(struct session *session);

static inline void session_send(struct session *session, struct frame *frame)
{
	frame->token = session->peer_token;
	endpoint_send(session->endpoint, &session->peer, frame);
}

/* Makes sure that session_timeout() runs at 'due_ns' at the latest. */
static inline void session_arm(struct session *session, uint64_t due_ns)
{
	if (due_ns < session->timer_ns) {
		session->timer_ns = due_ns;
		session_timer_set(&session->endpoint->timer, session->index, due_ns);
	}
}

/* The peer is gone or refused: everything under way ends with 'status'. */
void session_lose(struct session *session, uint16_t status);

/* --- session_handshake.c --- */

void handshake_begin(struct session *session);

/* What is due before the session is open: sends again. */
void handshake_repeat(struct session *session);

void handshake_take_hello(struct endpoint *endpoint, const struct addr *from,
			  const struct frame *frame);
void handshake_take_prove(struct endpoint *endpoint, const struct addr *from,
			  const struct frame *frame);
void handshake_take_challenge(struct session *session, const struct frame *frame);
void handshake_take_accept(struct session *session, const struct frame *frame);
void handshake_take_refuse(struct session *session, const struct frame *frame);

/* --- session_call.c --- */

void call_init(struct session *session);

/* The session is open: calls that waited for it go out. */
void call_start_all(struct session *session);

/* Everything of the session's completes with 'status'. */
void call_fail_all(struct session *session, uint16_t status);

/* Runs the calls that are due; returns when the next one is. */
uint64_t call_timeout(struct session *session);

void call_take_credit(struct session *session, const struct frame *frame);
void call_take_answer(struct session *session, const struct frame *frame);
void call_take_released(struct session *session, const struct frame *frame);

/* --- session_request.c --- */

void request_init(struct session *session);

/* The session is gone: forgets all but what the application has. */
void request_forget_all(struct session *session);

void request_take_request(struct session *session, const struct frame *frame);
void request_take_pull(struct session *session, const struct frame *frame);
void request_take_release(struct session *session, const struct frame *frame);

/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/session.h"

#include "base/byteorder.h"
#include "base/check.h"
#include "base/rand.h"
#include "proto/session_internal.h"
#include "proto/status.h"

#include <errno.h>
#include <stdlib.h>

#define KEEPALIVE_DEFAULT_NS NS_PER_S
#define LOST_DEFAULT_NS      (5 * NS_PER_S)

static bool config_is_valid(const struct endpoint_config *config)
{
	return config->session_count >= 1 && config->session_count <= SESSION_COUNT_MAX &&
	       config->frame_size >= SESSION_FRAME_SIZE_MIN &&
	       config->frame_size <= SESSION_FRAME_SIZE_MAX && config->message_size_max >= 1 &&
	       config->message_size_max <= SESSION_MESSAGE_SIZE_MAX &&
	       config->large_count <= SESSION_LARGE_COUNT_MAX &&
	       config->rto_min_ns <= SESSION_RTO_NS_MAX &&
	       config->lost_ns / 2 >= config->keepalive_ns;
}

/* Our own key: from the kernel, or from the seed so that a simulation replays. */
static int own_key_init(struct endpoint *endpoint)
{
	uint64_t bytes[SESSION_PROOF_SIZE / sizeof(uint64_t)];
	struct rand rand;
	int error;

	if (endpoint->config.seed) {
		rand_init(&rand, endpoint->config.seed);
		for (unsigned i = 0; i < ARRAY_COUNT(bytes); i++)
			bytes[i] = rand_next(&rand);
	} else {
		error = rand_secret(bytes, sizeof(bytes));
		if (error)
			return error;
	}
	session_key_init(&endpoint->own, (const uint8_t *)bytes, sizeof(bytes));
	return 0;
}

static int endpoint_take_memory(struct endpoint *endpoint)
{
	const struct endpoint_config *config = &endpoint->config;
	uint32_t count = config->session_count;
	int error = 0;

	endpoint->sessions = calloc(count, sizeof(*endpoint->sessions));
	endpoint->peer_tokens = calloc(count, sizeof(*endpoint->peer_tokens));
	if (!endpoint->sessions || !endpoint->peer_tokens)
		return -ENOMEM;
	if (config->accept) {
		endpoint->inline_answers =
			calloc((size_t)count * SESSION_SLOT_COUNT, SESSION_ANSWER_INLINE_MAX);
		if (!endpoint->inline_answers)
			return -ENOMEM;
	}
	error = session_timer_init(&endpoint->timer, count);
	if (!error)
		error = session_pool_init(&endpoint->pool, config->frame_size - FRAME_SIZE_HEAD,
					  config->message_size_max, config->large_count);
	return error;
}

int endpoint_new(const struct endpoint_config *config, const struct session_ops *ops, void *context,
		 struct endpoint **ret_endpoint)
{
	struct endpoint *endpoint = calloc(1, sizeof(*endpoint));
	int error;

	if (!endpoint)
		return -ENOMEM;
	endpoint->config = *config;
	endpoint->config.secret = NULL;
	endpoint->ops = ops;
	endpoint->context = context;
	if (!config->rto_min_ns)
		endpoint->config.rto_min_ns = SESSION_RTO_NS_MIN;
	if (!config->keepalive_ns)
		endpoint->config.keepalive_ns = KEEPALIVE_DEFAULT_NS;
	if (!config->lost_ns)
		endpoint->config.lost_ns = LOST_DEFAULT_NS;
	endpoint->has_secret = config->secret;
	if (config->secret)
		session_key_init(&endpoint->secret, config->secret, SESSION_SECRET_SIZE);

	error = config_is_valid(&endpoint->config) ? own_key_init(endpoint) : -EINVAL;
	if (!error)
		error = endpoint_take_memory(endpoint);
	if (error) {
		endpoint_free(endpoint);
		return error;
	}
	/* The lowest index first, so that few sessions touch little memory. */
	for (uint32_t i = endpoint->config.session_count; i-- > 0;) {
		endpoint->sessions[i].endpoint = endpoint;
		endpoint->sessions[i].index = i;
		endpoint->sessions[i].next_free = endpoint->free_sessions;
		endpoint->free_sessions = &endpoint->sessions[i];
	}
	*ret_endpoint = endpoint;
	return 0;
}

void endpoint_free(struct endpoint *endpoint)
{
	if (!endpoint)
		return;
	session_pool_deinit(&endpoint->pool);
	session_timer_deinit(&endpoint->timer);
	free(endpoint->inline_answers);
	free(endpoint->peer_tokens);
	free(endpoint->sessions);
	free(endpoint);
}

void endpoint_send(struct endpoint *endpoint, const struct addr *to, struct frame *frame)
{
	uint8_t head[FRAME_SIZE_HEAD];

	frame->epoch = endpoint->config.epoch;
	frame_encode(frame, head);
	endpoint->stats.frames_sent++;
	endpoint->ops->send(endpoint->context, to, head, sizeof(head), frame->body,
			    frame->body_size);
}

void endpoint_random(struct endpoint *endpoint, uint8_t ret_bytes[SESSION_PROOF_SIZE])
{
	static const char label[] = "tern random";
	struct session_mac mac;

	endpoint->own_counter++;
	session_mac_begin(&mac, &endpoint->own);
	session_mac_add(&mac, label, sizeof(label));
	session_mac_add(&mac, &endpoint->own_counter, sizeof(endpoint->own_counter));
	session_mac_end(&mac, ret_bytes);
}

/* --- sessions --- */

static uint64_t token_new(struct endpoint *endpoint, uint32_t index)
{
	uint8_t bytes[SESSION_PROOF_SIZE];
	uint64_t token;

	do {
		endpoint_random(endpoint, bytes);
		token = load_le64(bytes) << SESSION_INDEX_BITS;
	} while (!token); /* one in 2^48; 0 means no session */
	return token | index;
}

struct session *session_new(struct endpoint *endpoint, const struct addr *peer, bool requester)
{
	struct session *session = endpoint->free_sessions;
	uint32_t index;

	if (!session)
		return NULL;
	endpoint->free_sessions = session->next_free;
	index = session->index;
	*session = (struct session){
		.endpoint = endpoint,
		.index = index,
		.token = token_new(endpoint, index),
		.requester = requester,
		.credits = SESSION_CREDIT_COUNT,
		.free = UINT32_MAX,
		.heard_ns = endpoint->now_ns,
		.timer_ns = UINT64_MAX,
		.repeat_ns = UINT64_MAX,
		.rtt.rto_ns = MAX(SESSION_RTO_FIRST_NS, endpoint->config.rto_min_ns),
		.peer = *peer,
		.body_size = SESSION_FRAME_SIZE_MIN - FRAME_SIZE_HEAD,
	};
	if (requester)
		call_init(session);
	else
		request_init(session);
	endpoint->stats.sessions++;
	return session;
}

void session_free(struct session *session)
{
	struct endpoint *endpoint = session->endpoint;

	DCHECK(session->state != SESSION_STATE_FREE && !session->token && !session->taken);
	session->state = SESSION_STATE_FREE;
	session->next_free = endpoint->free_sessions;
	endpoint->free_sessions = session;
}

/* No frame finds the session from here on, and no timer. */
static void session_detach(struct session *session)
{
	struct endpoint *endpoint = session->endpoint;

	if (!session->token)
		return;
	session->token = 0;
	session->timer_ns = UINT64_MAX;
	session_timer_clear(&endpoint->timer, session->index);
	endpoint->peer_tokens[session->index] = 0;
	endpoint->stats.sessions--;
}

void session_lose(struct session *session, uint16_t status)
{
	session->endpoint->stats.sessions_lost++;
	session_detach(session);
	if (session->requester) {
		session->lost_status = status;
		session->state = SESSION_STATE_LOST;
		call_fail_all(session, status);
		return;
	}
	session->state = SESSION_STATE_CLOSED;
	request_forget_all(session);
}

int endpoint_connect(struct endpoint *endpoint, const struct addr *to, uint64_t now_ns,
		     struct session **ret_session)
{
	struct session *session;

	endpoint->now_ns = now_ns;
	session = session_new(endpoint, to, /* requester= */ true);
	if (!session)
		return SESSION_E_BUSY;
	handshake_begin(session);
	*ret_session = session;
	return 0;
}

bool session_is_open(const struct session *session)
{
	return session->state < SESSION_STATE_LOST;
}

bool session_is_idle(const struct session *session)
{
	return session->free == UINT32_MAX;
}

void session_close(struct session *session, uint64_t now_ns)
{
	CHECK(session->requester && session->state != SESSION_STATE_FREE &&
	      session->state != SESSION_STATE_CLOSED);
	session->endpoint->now_ns = now_ns;
	if (session->state == SESSION_STATE_OPEN)
		session_send(session, &(struct frame){.kind = FRAME_CLOSE, .hint = session->index});
	if (session->state != SESSION_STATE_LOST)
		session->endpoint->stats.sessions_closed++;
	session_detach(session);
	session->state = SESSION_STATE_CLOSED;
	call_fail_all(session, STATUS_SESSION_LOST);
	/* Completions that wait to be taken keep the session. */
	if (session->free == UINT32_MAX)
		session_free(session);
}

/* --- time --- */

static bool session_is_silent(const struct session *session)
{
	const struct endpoint *endpoint = session->endpoint;
	uint64_t since_ns = session->requester ? session->asked_ns : session->heard_ns;

	return since_ns && endpoint->now_ns - since_ns >= endpoint->config.lost_ns;
}

/* An open requester's pings: the first after idle time, then as repeats. */
static void session_ping(struct session *session)
{
	uint64_t now_ns = session->endpoint->now_ns;
	uint64_t idle_due_ns = session->heard_ns + session->endpoint->config.keepalive_ns;

	if (session->waiting) /* calls ask by themselves */
		idle_due_ns = now_ns + session->endpoint->config.keepalive_ns;
	if (now_ns < idle_due_ns) {
		session->backoff = 0;
		session->repeat_ns = idle_due_ns;
		return;
	}
	if (!session->asked_ns)
		session->asked_ns = now_ns;
	session->ping_ns = now_ns;
	session->repeat_ns = now_ns + session_rtt_wait_ns(&session->rtt, session->backoff++);
	session_send(session,
		     &(struct frame){.kind = FRAME_PING, .number = now_ns, .hint = session->index});
}

/* Runs what the session's timer is for; returns when the next thing is due. */
static uint64_t requester_timeout(struct session *session)
{
	uint64_t due_ns = call_timeout(session);

	if (session->repeat_ns <= session->endpoint->now_ns) {
		if (session->state == SESSION_STATE_OPEN)
			session_ping(session);
		else
			handshake_repeat(session);
	}
	return MIN(due_ns, session->repeat_ns);
}

static void session_timeout(struct session *session)
{
	struct endpoint *endpoint = session->endpoint;
	uint64_t due_ns;

	if (session_is_silent(session)) {
		session_lose(session, session->state == SESSION_STATE_OPEN ? STATUS_SESSION_LOST
									   : STATUS_UNREACHABLE);
		if (!session->requester && !session->taken)
			session_free(session);
		return;
	}
	due_ns = session->requester ? requester_timeout(session)
				    : session->heard_ns + endpoint->config.lost_ns;
	/* Always later than now: endpoint_tick() ends. */
	session->timer_ns = MAX(due_ns, endpoint->now_ns + 1);
	session_timer_set(&endpoint->timer, session->index, session->timer_ns);
}

void endpoint_tick(struct endpoint *endpoint, uint64_t now_ns)
{
	endpoint->now_ns = now_ns;
	while (session_timer_due_ns(&endpoint->timer) <= now_ns)
		session_timeout(&endpoint->sessions[endpoint->timer.heap[0]]);
}

uint64_t endpoint_due_ns(const struct endpoint *endpoint)
{
	return session_timer_due_ns(&endpoint->timer);
}

/* --- frames --- */

/*
 * A frame of a session that we don't know, most likely from before we were
 * started: the requester is told, by the token it used, so that it need not
 * wait. Only frames that a requester sends are answered, so that two endpoints
 * can't keep each other busy.
 */
static NOINLINE void endpoint_take_stale(struct endpoint *endpoint, const struct addr *from,
					 const struct frame *frame)
{
	endpoint->stats.frames_stale++;
	if (frame->kind != FRAME_REQUEST && frame->kind != FRAME_PULL &&
	    frame->kind != FRAME_RELEASE && frame->kind != FRAME_PING)
		return;
	endpoint_send(
		endpoint, from,
		&(struct frame){.kind = FRAME_RESET, .token = frame->token, .hint = frame->hint});
}

/* The peer doesn't know the token that we write: who can name it was sent it. */
static NOINLINE void endpoint_take_reset(struct endpoint *endpoint, const struct frame *frame)
{
	struct session *session;

	if (frame->hint < endpoint->config.session_count) {
		session = &endpoint->sessions[frame->hint];
		if (session->token && session->requester && session->state == SESSION_STATE_OPEN &&
		    session->peer_token == frame->token) {
			session_lose(session, STATUS_SESSION_LOST);
			return;
		}
	}
	endpoint->stats.frames_stale++;
}

static void executor_closed(struct session *session)
{
	session->endpoint->stats.sessions_closed++;
	session_detach(session);
	session->state = SESSION_STATE_CLOSED;
	request_forget_all(session);
	if (!session->taken)
		session_free(session);
}

static void executor_input(struct session *session, const struct frame *frame)
{
	session->heard_ns = session->endpoint->now_ns;
	switch (frame->kind) {
	case FRAME_REQUEST:
		request_take_request(session, frame);
		break;
	case FRAME_PULL:
		request_take_pull(session, frame);
		break;
	case FRAME_RELEASE:
		request_take_release(session, frame);
		break;
	case FRAME_PING:
		session_send(session, &(struct frame){.kind = FRAME_PONG, .number = frame->number});
		break;
	case FRAME_CLOSE:
		executor_closed(session);
		break;
	default:
		session->endpoint->stats.frames_bad++;
	}
}

static void session_take_pong(struct session *session, const struct frame *frame)
{
	struct endpoint *endpoint = session->endpoint;

	/* The number is the time of the ping that it answers: an old one is no sample. */
	if (frame->number != session->ping_ns || session->backoff != 1)
		return;
	session->backoff = 0;
	session_rtt_sample(&session->rtt, endpoint->now_ns - session->ping_ns,
			   endpoint->config.rto_min_ns);
}

static void requester_input(struct session *session, const struct frame *frame)
{
	if (session->state != SESSION_STATE_OPEN) {
		switch (frame->kind) {
		case FRAME_CHALLENGE:
			handshake_take_challenge(session, frame);
			break;
		case FRAME_ACCEPT:
			handshake_take_accept(session, frame);
			break;
		case FRAME_REFUSE:
			handshake_take_refuse(session, frame);
			break;
		default:
			session->endpoint->stats.frames_stale++;
		}
		return;
	}
	session->heard_ns = session->endpoint->now_ns;
	session->asked_ns = 0;
	switch (frame->kind) {
	case FRAME_ANSWER:
		call_take_answer(session, frame);
		break;
	case FRAME_CREDIT:
		call_take_credit(session, frame);
		break;
	case FRAME_RELEASED:
		call_take_released(session, frame);
		break;
	case FRAME_PONG:
		session_take_pong(session, frame);
		break;
	default: /* of a handshake that is over, or nothing for a requester */
		session->endpoint->stats.frames_repeated++;
	}
}

static struct session *session_find(struct endpoint *endpoint, uint64_t token)
{
	uint32_t index = (uint32_t)(token & (SESSION_COUNT_MAX - 1));

	if (unlikely(!token || index >= endpoint->config.session_count ||
		     endpoint->sessions[index].token != token))
		return NULL;
	return &endpoint->sessions[index];
}

void endpoint_input(struct endpoint *endpoint, const struct addr *from, const uint8_t *bytes,
		    size_t size, uint64_t now_ns)
{
	struct session *session;
	struct frame frame;

	endpoint->now_ns = now_ns;
	endpoint->stats.frames_received++;
	if (unlikely(frame_decode(bytes, size, &frame))) {
		endpoint->stats.frames_bad++;
		return;
	}
	if (unlikely(frame.kind == FRAME_HELLO)) {
		handshake_take_hello(endpoint, from, &frame);
		return;
	}
	if (unlikely(frame.kind == FRAME_PROVE)) {
		handshake_take_prove(endpoint, from, &frame);
		return;
	}
	if (unlikely(frame.kind == FRAME_RESET)) {
		endpoint_take_reset(endpoint, &frame);
		return;
	}
	session = session_find(endpoint, frame.token);
	if (unlikely(!session))
		endpoint_take_stale(endpoint, from, &frame);
	else if (session->requester)
		requester_input(session, &frame);
	else
		executor_input(session, &frame);
}

/* --- looking --- */

void endpoint_drain(struct endpoint *endpoint)
{
	endpoint->draining = true;
}

uint32_t endpoint_busy_count(const struct endpoint *endpoint)
{
	return endpoint->busy_count;
}

const struct session_stats *endpoint_stats(const struct endpoint *endpoint)
{
	return &endpoint->stats;
}

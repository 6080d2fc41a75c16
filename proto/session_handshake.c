/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Handshake - how a session begins
 *
 *   requester                           executor
 *      | HELLO      who, nonce             |
 *      |---------------------------------->|  remembers nothing
 *      |      time, cookie       CHALLENGE |
 *      |<----------------------------------|
 *      | PROVE      HELLO, time, cookie,   |
 *      |            proof                  |
 *      |---------------------------------->|  takes a session
 *      |      token, proof          ACCEPT |
 *      |<----------------------------------|
 *
 * The cookie is a MAC by the executor's own key over the sender's address, the
 * HELLO and the time: whoever returns it was reached at that address within
 * COOKIE_NS, and a flood of HELLOs leaves nothing behind. Time and cookie are
 * the executor's nonce. Proofs are MACs by the cluster's secret over a label
 * of the role, the HELLO and the CHALLENGE, and in ACCEPT over what it grants:
 * neither can be reflected or moved to another session, and a forged version
 * range shows. Without a secret proofs are zeros.
 *
 * The requester alone repeats. A CHALLENGE for a PROVE (whose cookie was too
 * old, or of before the executor's restart) waits for the timer, so that two
 * ends which never agree don't send at the speed of the wire.
 */

#include "base/byteorder.h"
#include "base/check.h"
#include "proto/session_internal.h"
#include "proto/status.h"

#include <string.h>

/* How long a cookie is good; longer than any honest requester's first repeats. */
#define COOKIE_NS (5 * NS_PER_S)

/* Offsets in a HELLO. */
enum {
	HELLO_TOKEN = 0,
	HELLO_NODE = 8,
	HELLO_VERSION_MIN = 16,
	HELLO_VERSION_MAX = 18,
	HELLO_FRAME_SIZE = 20,
	HELLO_NONCE = 24,
};
_Static_assert(HELLO_NONCE + SESSION_PROOF_SIZE == FRAME_HELLO_SIZE, "docs/format/frame.md");

/* Offsets in a CHALLENGE. */
enum {
	CHALLENGE_NODE = 0,
	CHALLENGE_VERSION_MIN = 8,
	CHALLENGE_VERSION_MAX = 10,
	CHALLENGE_FRAME_SIZE = 12,
	CHALLENGE_TIME = 16,
	CHALLENGE_COOKIE = 24,
	CHALLENGE_NONCE_SIZE = 40, /* time and cookie */
};
_Static_assert(CHALLENGE_TIME + CHALLENGE_NONCE_SIZE == FRAME_CHALLENGE_SIZE,
	       "docs/format/frame.md");

/* Offsets in a PROVE. */
enum {
	PROVE_HELLO = 0,
	PROVE_TIME = PROVE_HELLO + FRAME_HELLO_SIZE,
	PROVE_PROOF = PROVE_TIME + CHALLENGE_NONCE_SIZE,
};
_Static_assert(PROVE_PROOF + SESSION_PROOF_SIZE == FRAME_PROVE_SIZE, "docs/format/frame.md");

/* Offsets in an ACCEPT. */
enum {
	ACCEPT_TOKEN = 0,
	ACCEPT_NODE = 8,
	ACCEPT_VERSION = 16,
	ACCEPT_FRAME_SIZE = 20,
	ACCEPT_TIME = 24,
	ACCEPT_PROOF = ACCEPT_TIME + CHALLENGE_NONCE_SIZE,
};
_Static_assert(ACCEPT_PROOF + SESSION_PROOF_SIZE == FRAME_ACCEPT_SIZE, "docs/format/frame.md");

/* No amplification. */
_Static_assert(FRAME_CHALLENGE_SIZE <= FRAME_HELLO_SIZE && FRAME_ACCEPT_SIZE <= FRAME_PROVE_SIZE &&
		       FRAME_CHALLENGE_SIZE <= FRAME_PROVE_SIZE,
	       "an answer is not larger than what it answers");

/* Both of one length, so that no role's transcript is another's. */
static const char requester_label[16] = "tern requester";
static const char executor_label[16] = "tern executor";
static const char cookie_label[16] = "tern cookie";

static bool frame_size_is_valid(uint32_t frame_size)
{
	return frame_size >= SESSION_FRAME_SIZE_MIN && frame_size <= SESSION_FRAME_SIZE_MAX;
}

/* The highest version that two ranges share; 0 when there is none. */
static uint16_t version_choose(const uint8_t *range)
{
	uint16_t min = load_le16(range), max = load_le16(range + 2);

	return min <= FRAME_VERSION && max >= FRAME_VERSION ? FRAME_VERSION : 0;
}

static void version_store(uint8_t *range)
{
	store_le16(range, FRAME_VERSION);
	store_le16(range + 2, FRAME_VERSION);
}

static void refuse(struct endpoint *endpoint, const struct addr *to, const uint8_t *hello,
		   enum status status)
{
	endpoint->stats.sessions_refused++;
	endpoint_send(endpoint, to,
		      &(struct frame){.kind = FRAME_REFUSE,
				      .token = load_le64(hello + HELLO_TOKEN),
				      .status = (uint16_t)status});
}

/* The proof of one role; 'grant' is ACCEPT's front, empty for the requester's. */
static void proof_make(const struct endpoint *endpoint, const char *label, const uint8_t *hello,
		       const uint8_t *challenge, const uint8_t *grant, size_t grant_size,
		       uint8_t ret_proof[SESSION_PROOF_SIZE])
{
	struct session_mac mac;

	if (!endpoint->has_secret) {
		memset(ret_proof, 0, SESSION_PROOF_SIZE);
		return;
	}
	session_mac_begin(&mac, &endpoint->secret);
	session_mac_add(&mac, label, sizeof(requester_label));
	session_mac_add(&mac, hello, FRAME_HELLO_SIZE);
	session_mac_add(&mac, challenge, FRAME_CHALLENGE_SIZE);
	session_mac_add(&mac, grant, grant_size);
	session_mac_end(&mac, ret_proof);
}

/* --- executor --- */

static void cookie_make(const struct endpoint *endpoint, const struct addr *from,
			const uint8_t *hello, uint64_t time_ns,
			uint8_t ret_cookie[SESSION_PROOF_SIZE])
{
	struct session_mac mac;

	session_mac_begin(&mac, &endpoint->own);
	session_mac_add(&mac, cookie_label, sizeof(cookie_label));
	session_mac_add(&mac, from->ip, sizeof(from->ip));
	session_mac_add(&mac, &from->port, sizeof(from->port));
	session_mac_add(&mac, hello, FRAME_HELLO_SIZE);
	session_mac_add(&mac, &time_ns, sizeof(time_ns));
	session_mac_end(&mac, ret_cookie);
}

static void challenge_make(const struct endpoint *endpoint, const uint8_t *nonce,
			   uint8_t ret_challenge[FRAME_CHALLENGE_SIZE])
{
	store_le64(ret_challenge + CHALLENGE_NODE, endpoint->config.node);
	version_store(ret_challenge + CHALLENGE_VERSION_MIN);
	store_le32(ret_challenge + CHALLENGE_FRAME_SIZE, endpoint->config.frame_size);
	memcpy(ret_challenge + CHALLENGE_TIME, nonce, CHALLENGE_NONCE_SIZE);
}

static void challenge_send(struct endpoint *endpoint, const struct addr *to, const uint8_t *hello)
{
	uint8_t nonce[CHALLENGE_NONCE_SIZE], challenge[FRAME_CHALLENGE_SIZE];

	store_le64(nonce, endpoint->now_ns);
	cookie_make(endpoint, to, hello, endpoint->now_ns, nonce + sizeof(uint64_t));
	challenge_make(endpoint, nonce, challenge);
	endpoint_send(endpoint, to,
		      &(struct frame){.kind = FRAME_CHALLENGE,
				      .token = load_le64(hello + HELLO_TOKEN),
				      .body = challenge,
				      .body_size = sizeof(challenge)});
}

/* Is there anything against a session with whoever sent this? Then it is refused. */
static bool hello_is_welcome(struct endpoint *endpoint, const struct addr *from,
			     const uint8_t *hello)
{
	if (!load_le64(hello + HELLO_TOKEN) ||
	    !frame_size_is_valid(load_le32(hello + HELLO_FRAME_SIZE))) {
		endpoint->stats.frames_bad++;
		return false;
	}
	if (!endpoint->config.accept) {
		refuse(endpoint, from, hello, STATUS_UNREACHABLE);
		return false;
	}
	if (!version_choose(hello + HELLO_VERSION_MIN)) {
		refuse(endpoint, from, hello, STATUS_VERSION);
		return false;
	}
	return true;
}

void handshake_take_hello(struct endpoint *endpoint, const struct addr *from,
			  const struct frame *frame)
{
	if (!hello_is_welcome(endpoint, from, frame->body))
		return;
	if (endpoint->draining) {
		refuse(endpoint, from, frame->body, STATUS_DRAINING);
		return;
	}
	challenge_send(endpoint, from, frame->body);
}

static bool cookie_is_valid(const struct endpoint *endpoint, const struct addr *from,
			    const uint8_t *prove)
{
	uint64_t time_ns = load_le64(prove + PROVE_TIME);
	uint8_t cookie[SESSION_PROOF_SIZE];

	if (time_ns > endpoint->now_ns || endpoint->now_ns - time_ns > COOKIE_NS)
		return false;
	cookie_make(endpoint, from, prove + PROVE_HELLO, time_ns, cookie);
	return session_proof_equal(cookie, prove + PROVE_TIME + sizeof(uint64_t));
}

/* The session that an earlier copy of this PROVE opened. */
static struct session *session_find_accepted(struct endpoint *endpoint, const struct addr *from,
					     uint64_t peer_token)
{
	for (uint32_t i = 0; i < endpoint->config.session_count; i++) {
		struct session *session = &endpoint->sessions[i];

		if (endpoint->peer_tokens[i] == peer_token &&
		    !memcmp(session->peer.ip, from->ip, sizeof(from->ip)) &&
		    session->peer.port == from->port)
			return session;
	}
	return NULL;
}

static void accept_send(struct session *session, const uint8_t *prove, const uint8_t *challenge)
{
	uint8_t accept[FRAME_ACCEPT_SIZE] = {0};

	store_le64(accept + ACCEPT_TOKEN, session->token);
	store_le64(accept + ACCEPT_NODE, session->endpoint->config.node);
	store_le16(accept + ACCEPT_VERSION, FRAME_VERSION);
	store_le32(accept + ACCEPT_FRAME_SIZE, session->body_size + FRAME_SIZE_HEAD);
	memcpy(accept + ACCEPT_TIME, prove + PROVE_TIME, CHALLENGE_NONCE_SIZE);
	proof_make(session->endpoint, executor_label, prove + PROVE_HELLO, challenge, accept,
		   ACCEPT_PROOF, accept + ACCEPT_PROOF);
	session_send(
		session,
		&(struct frame){.kind = FRAME_ACCEPT, .body = accept, .body_size = sizeof(accept)});
}

static struct session *session_accept(struct endpoint *endpoint, const struct addr *from,
				      const uint8_t *hello)
{
	struct session *session = session_new(endpoint, from, /* requester= */ false);

	if (!session)
		return NULL;
	session->state = SESSION_STATE_OPEN;
	session->peer_token = load_le64(hello + HELLO_TOKEN);
	session->peer_node = load_le64(hello + HELLO_NODE);
	session->body_size = MIN(endpoint->config.frame_size, load_le32(hello + HELLO_FRAME_SIZE)) -
			     FRAME_SIZE_HEAD;
	endpoint->peer_tokens[session->index] = session->peer_token;
	endpoint->stats.sessions_opened++;
	session_arm(session, endpoint->now_ns + endpoint->config.lost_ns);
	return session;
}

void handshake_take_prove(struct endpoint *endpoint, const struct addr *from,
			  const struct frame *frame)
{
	const uint8_t *prove = frame->body, *hello = prove + PROVE_HELLO;
	uint8_t challenge[FRAME_CHALLENGE_SIZE], proof[SESSION_PROOF_SIZE];
	struct session *session;

	if (!hello_is_welcome(endpoint, from, hello))
		return;
	if (!cookie_is_valid(endpoint, from, prove)) {
		challenge_send(endpoint, from, hello);
		return;
	}
	challenge_make(endpoint, prove + PROVE_TIME, challenge);
	proof_make(endpoint, requester_label, hello, challenge, NULL, 0, proof);
	if (endpoint->has_secret && !session_proof_equal(proof, prove + PROVE_PROOF)) {
		refuse(endpoint, from, hello, STATUS_AUTH);
		return;
	}
	session = session_find_accepted(endpoint, from, load_le64(hello + HELLO_TOKEN));
	if (session) {
		endpoint->stats.frames_repeated++;
	} else if (endpoint->draining) {
		refuse(endpoint, from, hello, STATUS_DRAINING);
		return;
	} else {
		session = session_accept(endpoint, from, hello);
	}
	if (session)
		accept_send(session, prove, challenge);
	else
		refuse(endpoint, from, hello, STATUS_OVERLOADED);
}

/* --- requester --- */

static void hello_send(struct session *session)
{
	/* Nobody chose a token for us yet. */
	endpoint_send(session->endpoint, &session->peer,
		      &(struct frame){.kind = FRAME_HELLO,
				      .body = session->hello,
				      .body_size = sizeof(session->hello)});
}

static void prove_send(struct session *session)
{
	uint8_t prove[FRAME_PROVE_SIZE];

	memcpy(prove + PROVE_HELLO, session->hello, FRAME_HELLO_SIZE);
	memcpy(prove + PROVE_TIME, session->challenge + CHALLENGE_TIME, CHALLENGE_NONCE_SIZE);
	proof_make(session->endpoint, requester_label, session->hello, session->challenge, NULL, 0,
		   prove + PROVE_PROOF);
	endpoint_send(
		session->endpoint, &session->peer,
		&(struct frame){.kind = FRAME_PROVE, .body = prove, .body_size = sizeof(prove)});
}

static void handshake_wait(struct session *session)
{
	session->repeat_ns =
		session->endpoint->now_ns + session_rtt_wait_ns(&session->rtt, session->backoff++);
	session_arm(session, session->repeat_ns);
}

void handshake_begin(struct session *session)
{
	struct endpoint *endpoint = session->endpoint;

	session->state = SESSION_STATE_HELLO;
	session->asked_ns = MAX(endpoint->now_ns, 1);
	store_le64(session->hello + HELLO_TOKEN, session->token);
	store_le64(session->hello + HELLO_NODE, endpoint->config.node);
	version_store(session->hello + HELLO_VERSION_MIN);
	store_le32(session->hello + HELLO_FRAME_SIZE, endpoint->config.frame_size);
	endpoint_random(endpoint, session->hello + HELLO_NONCE);
	hello_send(session);
	handshake_wait(session);
}

void handshake_repeat(struct session *session)
{
	session->endpoint->stats.frames_resent++;
	if (session->state == SESSION_STATE_HELLO)
		hello_send(session);
	else
		prove_send(session);
	handshake_wait(session);
}

void handshake_take_challenge(struct session *session, const struct frame *frame)
{
	struct endpoint *endpoint = session->endpoint;

	if (!frame_size_is_valid(load_le32(frame->body + CHALLENGE_FRAME_SIZE))) {
		endpoint->stats.frames_bad++;
		return;
	}
	if (!version_choose(frame->body + CHALLENGE_VERSION_MIN)) {
		endpoint->stats.sessions_refused++;
		session_lose(session, STATUS_VERSION);
		return;
	}
	memcpy(session->challenge, frame->body, sizeof(session->challenge));
	if (session->state == SESSION_STATE_PROVE) {
		endpoint->stats.frames_repeated++;
		return;
	}
	if (session->backoff == 1)
		session_rtt_sample(&session->rtt, endpoint->now_ns - session->asked_ns,
				   endpoint->config.rto_min_ns);
	session->state = SESSION_STATE_PROVE;
	session->backoff = 0;
	prove_send(session);
	handshake_wait(session);
}

void handshake_take_accept(struct session *session, const struct frame *frame)
{
	struct endpoint *endpoint = session->endpoint;
	const uint8_t *accept = frame->body;
	uint32_t frame_size = load_le32(accept + ACCEPT_FRAME_SIZE);
	uint8_t proof[SESSION_PROOF_SIZE];

	if (session->state != SESSION_STATE_PROVE ||
	    memcmp(accept + ACCEPT_TIME, session->challenge + CHALLENGE_TIME,
		   CHALLENGE_NONCE_SIZE) != 0) {
		endpoint->stats.frames_stale++;
		return;
	}
	proof_make(endpoint, executor_label, session->hello, session->challenge, accept,
		   ACCEPT_PROOF, proof);
	if (endpoint->has_secret && !session_proof_equal(proof, accept + ACCEPT_PROOF)) {
		endpoint->stats.sessions_refused++;
		session_lose(session, STATUS_AUTH);
		return;
	}
	if (!load_le64(accept + ACCEPT_TOKEN) || !frame_size_is_valid(frame_size) ||
	    frame_size > endpoint->config.frame_size ||
	    load_le16(accept + ACCEPT_VERSION) != FRAME_VERSION) {
		endpoint->stats.frames_bad++;
		return;
	}
	session->peer_token = load_le64(accept + ACCEPT_TOKEN);
	session->peer_node = load_le64(accept + ACCEPT_NODE);
	session->body_size = frame_size - FRAME_SIZE_HEAD;
	session->state = SESSION_STATE_OPEN;
	session->backoff = 0;
	session->asked_ns = 0;
	session->heard_ns = endpoint->now_ns;
	session->repeat_ns = endpoint->now_ns + endpoint->config.keepalive_ns;
	session_arm(session, session->repeat_ns);
	endpoint->stats.sessions_opened++;
	call_start_all(session);
}

/* Refusals come from anybody who saw our token; the proof of the opposite comes with ACCEPT. */
void handshake_take_refuse(struct session *session, const struct frame *frame)
{
	uint16_t status = frame->status;

	if (status != STATUS_AUTH && status != STATUS_VERSION && status != STATUS_OVERLOADED &&
	    status != STATUS_DRAINING)
		status = STATUS_UNREACHABLE;
	session->endpoint->stats.sessions_refused++;
	session_lose(session, status);
}

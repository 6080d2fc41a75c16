/* SPDX-License-Identifier: Apache-2.0 */
#include "base/byteorder.h"
#include "base/clock.h"
#include "base/defs.h"
#include "base/rand.h"
#include "proto/frame.h"
#include "proto/session.h"
#include "proto/session_internal.h"
#include "proto/status.h"
#include "tests/lib/sim_net.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * Two endpoints, 10 us apart. What the executor does with a request is a
 * switch of the test's: echo at once, refuse, or put it into 'held'.
 */
enum manner { ECHO, REFUSE, HOLD };

struct rig;

struct end {
	struct rig *rig;
	struct endpoint *endpoint;
	struct addr addr;
};

struct rig {
	struct sim_net net;
	struct end client, server;
	enum manner manner;
	struct request *held[SESSION_SLOT_COUNT * 4];
	unsigned held_count;
	unsigned executed;
	unsigned ticks;
	struct session_answer answers[SESSION_SLOT_COUNT * 4];
	unsigned answer_count;
	unsigned seen[FRAME_KIND_COUNT]; /* frames by kind, counted as they are sent */
	unsigned drop[FRAME_KIND_COUNT]; /* so many of a kind are still to be lost */
	size_t largest_sent[FRAME_KIND_COUNT];
	struct frame last[FRAME_KIND_COUNT];
	uint8_t last_bytes[FRAME_KIND_COUNT][SESSION_FRAME_SIZE_MAX];
	size_t last_size[FRAME_KIND_COUNT];
};

static const uint8_t secret[SESSION_SECRET_SIZE] = "the secret of the test's cluster";

static void rig_send(void *context, const struct addr *to, const void *head, size_t head_size,
		     const void *body, size_t body_size)
{
	struct end *end = context;

	sim_net_send(&end->rig->net, &end->addr, to, head, head_size, body, body_size);
}

static const struct session_ops rig_ops = {.send = rig_send};

static bool rig_filter(void *context, const struct addr *to, const uint8_t *bytes, size_t size)
{
	struct rig *rig = context;
	struct frame frame;

	assert_int_equal(frame_decode(bytes, size, &frame), 0);
	rig->seen[frame.kind]++;
	rig->largest_sent[frame.kind] = MAX(rig->largest_sent[frame.kind], size);
	rig->last[frame.kind] = frame;
	memcpy(rig->last_bytes[frame.kind], bytes, size);
	rig->last_size[frame.kind] = size;
	if (rig->drop[frame.kind]) {
		rig->drop[frame.kind]--;
		return false;
	}
	return true;
}

static void rig_echo(struct rig *rig, struct request *request)
{
	struct request_view view = request_view(request);
	uint8_t *to = request_answer_buffer(request, view.size);

	assert_non_null(to);
	memcpy(to, view.bytes, view.size);
	request_answer(request, STATUS_OK, 7, view.size, rig->net.now_ns);
}

static void rig_execute(struct rig *rig, struct request *request)
{
	rig->executed++;
	switch (rig->manner) {
	case ECHO:
		rig_echo(rig, request);
		break;
	case REFUSE:
		request_answer(request, STATUS_SHARD_NOT_HERE, 3, 0, rig->net.now_ns);
		break;
	case HOLD:
		assert_int_equal(request_keep(request), 0);
		rig->held[rig->held_count++] = request;
		break;
	}
}

static void rig_deliver(void *context, const struct addr *from, const uint8_t *bytes, size_t size)
{
	struct end *end = context;
	struct rig *rig = end->rig;
	struct request *requests[8];
	unsigned count;

	endpoint_input(end->endpoint, from, bytes, size, rig->net.now_ns);
	while ((count = endpoint_take_requests(end->endpoint, requests, ARRAY_COUNT(requests))))
		for (unsigned i = 0; i < count; i++)
			rig_execute(rig, requests[i]);
	rig->answer_count += endpoint_take_answers(end->endpoint, rig->answers + rig->answer_count,
						   ARRAY_COUNT(rig->answers) - rig->answer_count);
}

static struct endpoint_config client_config(void)
{
	return (struct endpoint_config){.session_count = 4,
					.epoch = 11,
					.frame_size = SESSION_FRAME_SIZE_MIN,
					.message_size_max = 1 << 20,
					.secret = secret,
					.seed = 1};
}

static struct endpoint_config server_config(void)
{
	return (struct endpoint_config){.node = 5,
					.epoch = 12,
					.session_count = 4,
					.frame_size = 4096,
					.message_size_max = 1 << 20,
					.large_count = 4,
					.secret = secret,
					.accept = true,
					.seed = 2};
}

static void end_open(struct rig *rig, struct end *end, uint16_t port,
		     const struct endpoint_config *config)
{
	end->rig = rig;
	end->addr = (struct addr){.ip = {[15] = 1}, .port = port};
	assert_int_equal(endpoint_new(config, &rig_ops, end, &end->endpoint), 0);
	sim_net_attach(&rig->net, &end->addr, rig_deliver, end);
}

static struct rig *rig_new(struct endpoint_config client, struct endpoint_config server)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	sim_net_init(&rig->net, 1, &(struct sim_link){.delay_ns = 10000});
	rig->net.filter = rig_filter;
	rig->net.filter_context = rig;
	end_open(rig, &rig->client, 1000, &client);
	end_open(rig, &rig->server, 2000, &server);
	return rig;
}

/* All buffers have come home by the end of every test. */
static void rig_free(struct rig *rig)
{
	assert_int_equal(session_pool_used(&rig->client.endpoint->pool), 0);
	assert_int_equal(session_pool_used(&rig->server.endpoint->pool), 0);
	assert_int_equal(endpoint_busy_count(rig->client.endpoint), 0);
	assert_int_equal(endpoint_busy_count(rig->server.endpoint), 0);
	endpoint_free(rig->client.endpoint);
	endpoint_free(rig->server.endpoint);
	sim_net_deinit(&rig->net);
	free(rig);
}

static void rig_tick(struct rig *rig)
{
	endpoint_tick(rig->client.endpoint, rig->net.now_ns);
	endpoint_tick(rig->server.endpoint, rig->net.now_ns);
	rig->answer_count +=
		endpoint_take_answers(rig->client.endpoint, rig->answers + rig->answer_count,
				      ARRAY_COUNT(rig->answers) - rig->answer_count);
}

/* Lets frames arrive and timers run until 'until_ns'. */
static void rig_run(struct rig *rig, uint64_t until_ns)
{
	for (;;) {
		uint64_t tick_ns = MIN(endpoint_due_ns(rig->client.endpoint),
				       endpoint_due_ns(rig->server.endpoint));
		uint64_t net_ns = sim_net_due_ns(&rig->net);

		if (MIN(tick_ns, net_ns) > until_ns)
			break;
		if (net_ns <= tick_ns) {
			sim_net_step(&rig->net);
			continue;
		}
		rig->ticks++;
		rig->net.now_ns = MAX(rig->net.now_ns, tick_ns);
		rig_tick(rig);
	}
	rig->net.now_ns = MAX(rig->net.now_ns, until_ns);
}

static void rig_run_for(struct rig *rig, uint64_t duration_ns)
{
	rig_run(rig, rig->net.now_ns + duration_ns);
}

static struct session *rig_connect(struct rig *rig)
{
	struct session *session;

	assert_int_equal(endpoint_connect(rig->client.endpoint, &rig->server.addr, rig->net.now_ns,
					  &session),
			 0);
	return session;
}

static struct session *rig_open(struct rig *rig)
{
	struct session *session = rig_connect(rig);

	rig_run_for(rig, NS_PER_MS);
	assert_int_equal(session->state, SESSION_STATE_OPEN);
	return session;
}

/* Ends the session and lets the peer hear of it. */
static void rig_close(struct rig *rig, struct session *session)
{
	session_close(session, rig->net.now_ns);
	rig_run_for(rig, NS_PER_MS);
}

static int rig_call(struct rig *rig, struct session *session, const void *bytes, uint32_t size,
		    void *answer, uint64_t deadline_ns)
{
	return session_call(session,
			    &(struct session_call){.bytes = bytes,
						   .size = size,
						   .answer = answer,
						   .answer_capacity = size,
						   .deadline_ns = deadline_ns,
						   .tag = 99},
			    rig->net.now_ns);
}

static uint8_t *pattern(uint32_t size)
{
	uint8_t *bytes = malloc(size);
	struct rand rand;

	rand_init(&rand, size);
	for (uint32_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)rand_next(&rand);
	return bytes;
}

static void assert_one_answer(const struct rig *rig, uint16_t status)
{
	assert_int_equal(rig->answer_count, 1);
	assert_int_equal(rig->answers[0].status, status);
	assert_int_equal(rig->answers[0].tag, 99);
}

/* --- asking and answering --- */

static void a_request_is_answered(void **state)
{
	struct rig *rig = rig_new(client_config(), server_config());
	struct session *session = rig_open(rig);
	char answer[5];

	assert_int_equal(rig_call(rig, session, "hello", 5, answer, UINT64_MAX), 0);
	assert_int_equal(endpoint_busy_count(rig->client.endpoint), 1);
	rig_run_for(rig, NS_PER_MS);
	assert_one_answer(rig, STATUS_OK);
	assert_int_equal(rig->answers[0].size, 5);
	assert_int_equal(rig->answers[0].hint, 7);
	assert_int_equal(rig->answers[0].epoch, 12);
	assert_memory_equal(answer, "hello", 5);
	assert_int_equal(rig->seen[FRAME_REQUEST], 1);
	assert_int_equal(rig->seen[FRAME_ANSWER], 1);
	assert_int_equal(rig->seen[FRAME_CREDIT], 0);
	rig_close(rig, session);
	rig_free(rig);
}

static void calls_wait_for_the_handshake(void **state)
{
	struct rig *rig = rig_new(client_config(), server_config());
	struct session *session = rig_connect(rig);
	char answer[2];

	assert_int_equal(rig_call(rig, session, "hi", 2, answer, UINT64_MAX), 0);
	assert_int_equal(rig->seen[FRAME_REQUEST], 0);
	rig_run_for(rig, NS_PER_MS);
	assert_one_answer(rig, STATUS_OK);
	rig_close(rig, session);
	rig_free(rig);
}

static void large_messages_go_both_ways(void **state)
{
	struct rig *rig = rig_new(client_config(), server_config());
	struct session *session = rig_open(rig);
	uint32_t size = 1 << 20;
	uint8_t *bytes = pattern(size), *answer = malloc(size);

	assert_int_equal(rig_call(rig, session, bytes, size, answer, UINT64_MAX), 0);
	rig_run_for(rig, 100 * NS_PER_MS);
	assert_one_answer(rig, STATUS_OK);
	assert_int_equal(rig->answers[0].size, size);
	assert_memory_equal(bytes, answer, size);
	assert_int_equal(rig->executed, 1);
	/* The executor has let go of the answer without the slot being used again. */
	assert_int_equal(rig->seen[FRAME_RELEASED], 1);
	assert_int_equal(session_pool_used(&rig->server.endpoint->pool), 0);
	free(bytes);
	free(answer);
	rig_close(rig, session);
	rig_free(rig);
}

static void the_largest_message_survives_a_lossy_network(void **state)
{
	struct endpoint_config client = client_config(), server = server_config();
	uint32_t size = SESSION_MESSAGE_SIZE_MAX;
	uint8_t *bytes = pattern(size), *answer = malloc(size);
	struct rig *rig;
	struct session *session;

	client.message_size_max = server.message_size_max = size;
	rig = rig_new(client, server);
	session = rig_open(rig);
	assert_int_equal(rig_call(rig, session, bytes, size + 1, answer, UINT64_MAX),
			 SESSION_E_LARGE);
	rig->net.link.loss = 20;
	assert_int_equal(rig_call(rig, session, bytes, size, answer, UINT64_MAX), 0);
	rig_run_for(rig, 10 * NS_PER_S);
	rig->net.link.loss = 0;
	assert_one_answer(rig, STATUS_OK);
	assert_memory_equal(bytes, answer, size);
	assert_int_equal(rig->executed, 1);
	/* Of 14,000 frames one in fifty is lost, each way: selective repeat sends little more. */
	assert_true(endpoint_stats(rig->client.endpoint)->frames_resent < 1500);
	free(bytes);
	free(answer);
	rig_close(rig, session);
	rig_free(rig);
}

static void the_requests_buffer_comes_back_with_the_answer(void **state)
{
	struct rig *rig = rig_new(client_config(), server_config());
	struct session *session = rig_open(rig);
	uint8_t *bytes = pattern(5000);

	rig->manner = REFUSE;
	assert_int_equal(rig_call(rig, session, bytes, 5000, NULL, UINT64_MAX), 0);
	rig_run_for(rig, NS_PER_MS);
	assert_one_answer(rig, STATUS_SHARD_NOT_HERE);
	assert_int_equal(session_pool_used(&rig->server.endpoint->pool), 0);
	free(bytes);
	rig_close(rig, session);
	rig_free(rig);
}

static void a_requester_stays_within_its_credits(void **state)
{
	struct rig *rig = rig_new(client_config(), server_config());
	struct session *session = rig_open(rig);
	uint32_t size = 100000;
	uint8_t *bytes = pattern(size), *answer = malloc(size);

	assert_int_equal(rig_call(rig, session, bytes, size, answer, UINT64_MAX), 0);
	assert_int_equal(rig->seen[FRAME_REQUEST], SESSION_CREDIT_COUNT);
	assert_int_equal(session->credits, 0);
	/* A second call starves until credits come back, and then goes on. */
	assert_int_equal(rig_call(rig, session, bytes, 5, answer, UINT64_MAX), 0);
	assert_int_equal(rig->seen[FRAME_REQUEST], SESSION_CREDIT_COUNT);
	rig_run_for(rig, 10 * NS_PER_MS);
	assert_int_equal(rig->answer_count, 2);
	assert_int_equal(session->credits, SESSION_CREDIT_COUNT);
	assert_int_equal(endpoint_stats(rig->client.endpoint)->frames_resent, 0);
	free(bytes);
	free(answer);
	rig_close(rig, session);
	rig_free(rig);
}

static void empty_requests_and_answers_are_fine(void **state)
{
	struct rig *rig = rig_new(client_config(), server_config());
	struct session *session = rig_open(rig);

	assert_int_equal(rig_call(rig, session, NULL, 0, NULL, UINT64_MAX), 0);
	rig_run_for(rig, NS_PER_MS);
	assert_one_answer(rig, STATUS_OK);
	rig_close(rig, session);
	rig_free(rig);
}

static void a_status_and_its_hint_come_through(void **state)
{
	struct rig *rig = rig_new(client_config(), server_config());
	struct session *session = rig_open(rig);

	rig->manner = REFUSE;
	assert_int_equal(rig_call(rig, session, "x", 1, NULL, UINT64_MAX), 0);
	rig_run_for(rig, NS_PER_MS);
	assert_one_answer(rig, STATUS_SHARD_NOT_HERE);
	assert_int_equal(rig->answers[0].hint, 3);
	rig_close(rig, session);
	rig_free(rig);
}

static void a_session_has_so_many_slots_and_no_more(void **state)
{
	struct rig *rig = rig_new(client_config(), server_config());
	struct session *session = rig_open(rig);
	char answer[1];

	for (unsigned i = 0; i < SESSION_SLOT_COUNT; i++)
		assert_int_equal(rig_call(rig, session, "x", 1, answer, UINT64_MAX), 0);
	assert_int_equal(rig_call(rig, session, "x", 1, answer, UINT64_MAX), SESSION_E_BUSY);
	rig_run_for(rig, NS_PER_MS);
	assert_int_equal(rig->answer_count, SESSION_SLOT_COUNT);
	assert_int_equal(rig_call(rig, session, "x", 1, answer, UINT64_MAX), 0);
	rig_run_for(rig, NS_PER_MS);
	rig_close(rig, session);
	rig_free(rig);
}

/* --- size --- */

static void a_request_over_our_own_limit_is_not_taken(void **state)
{
	struct rig *rig = rig_new(client_config(), server_config());
	struct session *session = rig_open(rig);

	assert_int_equal(rig_call(rig, session, "", (1 << 20) + 1, NULL, UINT64_MAX),
			 SESSION_E_LARGE);
	rig_close(rig, session);
	rig_free(rig);
}

static void a_request_over_the_peers_limit_is_answered_too_large(void **state)
{
	struct endpoint_config server = server_config();
	struct rig *rig;
	struct session *session;
	uint8_t *bytes = pattern(5000);

	server.message_size_max = 4000;
	rig = rig_new(client_config(), server);
	session = rig_open(rig);
	assert_int_equal(rig_call(rig, session, bytes, 5000, NULL, UINT64_MAX), 0);
	rig_run_for(rig, NS_PER_MS);
	assert_one_answer(rig, STATUS_TOO_LARGE);
	assert_int_equal(rig->executed, 0);
	free(bytes);
	rig_close(rig, session);
	rig_free(rig);
}

static void an_answer_that_does_not_fit_is_too_large(void **state)
{
	struct rig *rig = rig_new(client_config(), server_config());
	struct session *session = rig_open(rig);
	uint8_t *bytes = pattern(9000), answer[16];
	struct session_call call = {.bytes = bytes,
				    .size = 9000,
				    .answer = answer,
				    .answer_capacity = sizeof(answer),
				    .deadline_ns = UINT64_MAX,
				    .tag = 99};

	assert_int_equal(session_call(session, &call, rig->net.now_ns), 0);
	rig_run_for(rig, NS_PER_MS);
	assert_one_answer(rig, STATUS_TOO_LARGE);
	assert_int_equal(rig->answers[0].size, 0);
	free(bytes);
	rig_close(rig, session);
	rig_free(rig);
}

static void no_answer_buffer_is_larger_than_the_limit(void **state)
{
	struct rig *rig = rig_new(client_config(), server_config());
	struct session *session = rig_open(rig);

	rig->manner = HOLD;
	assert_int_equal(rig_call(rig, session, "x", 1, NULL, UINT64_MAX), 0);
	rig_run_for(rig, NS_PER_MS);
	assert_int_equal(rig->held_count, 1);
	assert_null(request_answer_buffer(rig->held[0], (1 << 20) + 1));
	assert_non_null(request_answer_buffer(rig->held[0], 1 << 20));
	request_answer(rig->held[0], STATUS_OK, 0, 0, rig->net.now_ns);
	rig_run_for(rig, NS_PER_MS);
	rig_close(rig, session);
	rig_free(rig);
}

/* --- overload --- */

static void a_request_without_a_buffer_is_answered_overloaded(void **state)
{
	struct endpoint_config server = server_config();
	struct rig *rig;
	struct session *session;
	uint8_t *bytes = pattern(5000);

	server.large_count = 0;
	rig = rig_new(client_config(), server);
	session = rig_open(rig);
	assert_int_equal(rig_call(rig, session, bytes, 5000, NULL, UINT64_MAX), 0);
	rig_run_for(rig, NS_PER_MS);
	assert_one_answer(rig, STATUS_OVERLOADED);
	assert_int_equal(endpoint_stats(rig->server.endpoint)->requests_shed, 1);
	free(bytes);
	rig_close(rig, session);
	rig_free(rig);
}

/* Frames 'first' to 'end' of a request of 5000 bytes in this slot, as no honest requester leaves
 * it. */
static void send_part(struct rig *rig, const struct session *session, unsigned slot, unsigned first,
		      unsigned end)
{
	uint8_t bytes[FRAME_SIZE_HEAD + 1184] = {0};

	for (unsigned i = first; i < end; i++) {
		struct frame frame = {.kind = FRAME_REQUEST,
				      .token = session->peer_token,
				      .number = SESSION_SLOT_COUNT + slot,
				      .message_size = 5000,
				      .index = (uint16_t)i,
				      .hint = session->index,
				      .body = bytes + FRAME_SIZE_HEAD,
				      .body_size = MIN(5000 - i * 1184, 1184)};

		frame_encode(&frame, bytes);
		rig_deliver(&rig->server, &rig->client.addr, bytes,
			    FRAME_SIZE_HEAD + frame.body_size);
	}
}

/* Seven answers that are never fetched and half a request are all that the pool has for 5000. */
static void who_holds_buffers_without_a_step_loses_them_to_others(void **state)
{
	struct rig *rig = rig_new(client_config(), server_config());
	struct session *greedy = rig_open(rig), *other = rig_open(rig);
	uint8_t *bytes = pattern(5000), *answer = malloc(5000);
	uint64_t still_ns = SESSION_STILL_FACTOR * UINT64_C(5) * NS_PER_S;

	for (unsigned slot = 0; slot < 7; slot++)
		send_part(rig, greedy, slot, 0, 5);
	send_part(rig, greedy, 7, 0, 1);
	assert_int_equal(rig->executed, 7);
	assert_int_equal(session_pool_used(&rig->server.endpoint->pool), 8);
	rig_run_for(rig, still_ns - NS_PER_S);
	assert_int_equal(rig_call(rig, other, bytes, 5000, answer, UINT64_MAX), 0);
	rig_run_for(rig, NS_PER_S / 2);
	assert_one_answer(rig, STATUS_OVERLOADED);

	/* What moves keeps its buffer: then the answers go, and the session with them. */
	send_part(rig, greedy, 7, 1, 2);
	rig_run_for(rig, NS_PER_S);
	assert_int_equal(rig_call(rig, other, bytes, 5000, answer, UINT64_MAX), 0);
	rig_run_for(rig, NS_PER_S / 2);
	assert_int_equal(rig->answer_count, 2);
	assert_int_equal(rig->answers[1].status, STATUS_OK);
	assert_memory_equal(answer, bytes, 5000);
	assert_int_equal(session_pool_used(&rig->server.endpoint->pool), 0);
	assert_int_equal(endpoint_stats(rig->server.endpoint)->sessions_lost, 1);
	assert_int_equal(rig_call(rig, greedy, "x", 1, NULL, UINT64_MAX), SESSION_E_CLOSED);
	free(answer);
	free(bytes);
	session_close(greedy, rig->net.now_ns);
	rig_close(rig, other);
	rig_free(rig);
}

static void send_pull(struct rig *rig, const struct session *session, unsigned slot, unsigned index)
{
	uint8_t head[FRAME_SIZE_HEAD];

	frame_encode(&(struct frame){.kind = FRAME_PULL,
				     .token = session->peer_token,
				     .number = SESSION_SLOT_COUNT + slot,
				     .index = (uint16_t)index},
		     head);
	rig_deliver(&rig->server, &rig->client.addr, head, sizeof(head));
}

/* A requester that goes on, however slowly, is not taken for one that has stopped. */
static void a_slow_requester_keeps_its_buffers(void **state)
{
	struct rig *rig = rig_new(client_config(), server_config());
	struct session *slow = rig_open(rig), *other = rig_open(rig);
	uint8_t *bytes = pattern(5000), *answer = malloc(5000);

	for (unsigned slot = 0; slot < 7; slot++)
		send_part(rig, slow, slot, 0, 5);
	for (unsigned i = 0; i < 4; i++) {
		send_part(rig, slow, 7, i, i + 1);
		for (unsigned slot = 0; slot < 7; slot++)
			send_pull(rig, slow, slot, i + 1);
		rig_run_for(rig, 9 * NS_PER_S);
	}
	assert_int_equal(rig_call(rig, other, bytes, 5000, answer, UINT64_MAX), 0);
	rig_run_for(rig, NS_PER_S / 2);
	assert_one_answer(rig, STATUS_OVERLOADED);
	assert_int_equal(endpoint_stats(rig->server.endpoint)->sessions_lost, 0);
	free(answer);
	free(bytes);
	rig_close(rig, slow);
	assert_int_equal(session_pool_used(&rig->server.endpoint->pool), 0);
	rig_close(rig, other);
	rig_free(rig);
}

static void keeping_without_a_buffer_is_busy(void **state)
{
	struct endpoint_config server = server_config();
	struct request request = {.size = 1, .bytes = secret, .state = REQUEST_TAKEN};
	struct session session = {0};
	struct endpoint *endpoint;

	server.large_count = 0;
	assert_int_equal(endpoint_new(&server, &rig_ops, NULL, &endpoint), 0);
	session.endpoint = endpoint;
	request.session = &session;
	assert_int_equal(request_keep(&request), SESSION_E_BUSY);
	endpoint_free(endpoint);
}

static void a_full_session_table_refuses_with_overloaded(void **state)
{
	struct endpoint_config server = server_config();
	struct rig *rig;
	struct session *first, *second;

	server.session_count = 1;
	rig = rig_new(client_config(), server);
	first = rig_open(rig);
	second = rig_connect(rig);
	assert_int_equal(rig_call(rig, second, "x", 1, NULL, UINT64_MAX), 0);
	rig_run_for(rig, NS_PER_MS);
	assert_one_answer(rig, STATUS_OVERLOADED);
	assert_false(session_is_open(second));
	assert_true(session_is_open(first));
	rig_close(rig, second);
	rig_close(rig, first);
	/* Room again. */
	first = rig_open(rig);
	rig_close(rig, first);
	rig_free(rig);
}

static void sessions_of_the_requester_run_out_too(void **state)
{
	struct endpoint_config client = client_config();
	struct rig *rig;
	struct session *session, *other = NULL;

	client.session_count = 1;
	rig = rig_new(client, server_config());
	session = rig_open(rig);
	assert_int_equal(endpoint_connect(rig->client.endpoint, &rig->server.addr, 1, &other),
			 SESSION_E_BUSY);
	assert_null(other);
	rig_close(rig, session);
	rig_free(rig);
}

/* --- at most once --- */

static void lost_frames_are_repeated_and_nothing_is_executed_twice(void **state)
{
	const enum frame_kind kinds[] = {FRAME_HELLO,   FRAME_CHALLENGE, FRAME_PROVE,  FRAME_ACCEPT,
					 FRAME_REQUEST, FRAME_ANSWER,    FRAME_CREDIT, FRAME_PULL,
					 FRAME_RELEASE, FRAME_RELEASED};

	for (unsigned i = 0; i < ARRAY_COUNT(kinds); i++) {
		struct rig *rig = rig_new(client_config(), server_config());
		struct session *session;
		uint8_t *bytes = pattern(20000), *answer = malloc(20000);

		rig->drop[kinds[i]] = 1;
		session = rig_connect(rig);
		assert_int_equal(rig_call(rig, session, bytes, 20000, answer, UINT64_MAX), 0);
		rig_run_for(rig, NS_PER_S);
		assert_int_equal(rig->drop[kinds[i]], 0);
		assert_one_answer(rig, STATUS_OK);
		assert_memory_equal(bytes, answer, 20000);
		assert_int_equal(rig->executed, 1);
		assert_int_equal(session->credits, SESSION_CREDIT_COUNT);
		assert_int_equal(session->free, UINT32_MAX);
		free(bytes);
		free(answer);
		rig_close(rig, session);
		rig_free(rig);
	}
}

static void a_repeated_request_gets_the_remembered_answer(void **state)
{
	struct rig *rig = rig_new(client_config(), server_config());
	struct session *session = rig_open(rig);
	char answer[3];

	assert_int_equal(rig_call(rig, session, "abc", 3, answer, UINT64_MAX), 0);
	rig_run_for(rig, NS_PER_MS);
	for (unsigned i = 0; i < 3; i++)
		endpoint_input(rig->server.endpoint, &rig->client.addr,
			       rig->last_bytes[FRAME_REQUEST], rig->last_size[FRAME_REQUEST],
			       rig->net.now_ns);
	assert_int_equal(rig->seen[FRAME_ANSWER], 4);
	assert_int_equal(rig->executed, 1);
	assert_int_equal(endpoint_stats(rig->server.endpoint)->frames_repeated, 3);
	rig_run_for(rig, NS_PER_MS);
	assert_int_equal(rig->answer_count, 1);
	rig_close(rig, session);
	rig_free(rig);
}

static void an_old_request_is_stale(void **state)
{
	struct rig *rig = rig_new(client_config(), server_config());
	struct session *session = rig_open(rig);
	uint8_t old[128];
	size_t old_size;
	char answer[3];

	assert_int_equal(rig_call(rig, session, "abc", 3, answer, UINT64_MAX), 0);
	old_size = rig->last_size[FRAME_REQUEST];
	memcpy(old, rig->last_bytes[FRAME_REQUEST], old_size);
	rig_run_for(rig, NS_PER_MS);
	assert_int_equal(rig_call(rig, session, "def", 3, answer, UINT64_MAX), 0);
	rig_run_for(rig, NS_PER_MS);
	rig_deliver(&rig->server, &rig->client.addr, old, old_size);
	assert_int_equal(rig->executed, 2);
	assert_int_equal(endpoint_stats(rig->server.endpoint)->frames_stale, 1);
	rig_close(rig, session);
	rig_free(rig);
}

static void long_work_is_polled_and_not_repeated(void **state)
{
	struct rig *rig = rig_new(client_config(), server_config());
	struct session *session = rig_open(rig);
	uint8_t *bytes = pattern(5000), *answer = malloc(5000);

	rig->manner = HOLD;
	assert_int_equal(rig_call(rig, session, bytes, 5000, answer, UINT64_MAX), 0);
	rig_run_for(rig, 20 * NS_PER_S);
	assert_int_equal(rig->executed, 1);
	assert_int_equal(rig->answer_count, 0);
	/* Half a second apart in the end; and nobody's timer runs hot. */
	assert_in_range(rig->seen[FRAME_PULL], 35, 60);
	assert_true(rig->ticks < 150);
	rig_echo(rig, rig->held[0]);
	rig_run_for(rig, NS_PER_MS);
	assert_one_answer(rig, STATUS_OK);
	assert_memory_equal(bytes, answer, 5000);
	free(bytes);
	free(answer);
	rig_close(rig, session);
	rig_free(rig);
}

/* --- deadlines --- */

static void a_call_fails_at_its_deadline(void **state)
{
	struct rig *rig = rig_new(client_config(), server_config());
	struct session *session = rig_open(rig);
	uint64_t begin_ns = rig->net.now_ns;

	rig->manner = HOLD;
	assert_int_equal(rig_call(rig, session, "x", 1, NULL, begin_ns + 3 * NS_PER_MS), 0);
	rig_run(rig, begin_ns + 3 * NS_PER_MS - 1);
	assert_int_equal(rig->answer_count, 0);
	rig_run(rig, begin_ns + 3 * NS_PER_MS);
	assert_one_answer(rig, STATUS_DEADLINE);
	/* Its slot comes back once the executor is done with it. */
	rig_run_for(rig, NS_PER_S);
	assert_int_not_equal(session->free, UINT32_MAX);
	request_answer(rig->held[0], STATUS_OK, 0, 0, rig->net.now_ns);
	rig_run_for(rig, NS_PER_MS);
	assert_int_equal(session->free, UINT32_MAX);
	assert_int_equal(rig->answer_count, 1);
	rig_close(rig, session);
	rig_free(rig);
}

static void a_deadline_counts_during_the_handshake(void **state)
{
	struct rig *rig = rig_new(client_config(), server_config());
	struct session *session;

	rig->drop[FRAME_HELLO] = 1000;
	session = rig_connect(rig);
	assert_int_equal(rig_call(rig, session, "x", 1, NULL, rig->net.now_ns + NS_PER_MS), 0);
	rig_run_for(rig, NS_PER_MS);
	assert_one_answer(rig, STATUS_DEADLINE);
	rig_close(rig, session);
	rig_free(rig);
}

static void the_executor_sees_the_time_that_is_left(void **state)
{
	struct rig *rig = rig_new(client_config(), server_config());
	struct session *session = rig_open(rig);
	uint64_t now_ns = rig->net.now_ns;
	struct request_view view;

	rig->manner = HOLD;
	assert_int_equal(rig_call(rig, session, "x", 1, NULL, now_ns + 5 * NS_PER_MS), 0);
	assert_int_equal(rig->last[FRAME_REQUEST].deadline_us, 5000);
	rig_run_for(rig, NS_PER_MS);
	view = request_view(rig->held[0]);
	assert_int_equal(view.deadline_ns, now_ns + 5 * NS_PER_MS + 10000);
	assert_int_equal(view.epoch, 11);
	assert_int_equal(view.peer_node, 0);
	assert_int_equal(view.size, 1);
	request_answer(rig->held[0], STATUS_OK, 0, 0, rig->net.now_ns);
	rig_run_for(rig, NS_PER_MS);
	rig_close(rig, session);
	rig_free(rig);
}

static void an_expired_request_is_answered_and_not_handed_out(void **state)
{
	struct rig *rig = rig_new(client_config(), server_config());
	struct session *session = rig_open(rig);
	uint64_t now_ns = rig->net.now_ns;
	struct request *request;
	struct frame frame;

	assert_int_equal(rig_call(rig, session, "x", 1, NULL, now_ns + NS_PER_MS), 0);
	assert_int_equal(
		frame_decode(rig->last_bytes[FRAME_REQUEST], rig->last_size[FRAME_REQUEST], &frame),
		0);
	endpoint_input(rig->server.endpoint, &rig->client.addr, rig->last_bytes[FRAME_REQUEST],
		       rig->last_size[FRAME_REQUEST], now_ns);
	endpoint_tick(rig->server.endpoint, now_ns + NS_PER_MS);
	assert_int_equal(endpoint_take_requests(rig->server.endpoint, &request, 1), 0);
	assert_int_equal(rig->last[FRAME_ANSWER].status, STATUS_DEADLINE);
	assert_int_equal(endpoint_stats(rig->server.endpoint)->requests_expired, 1);
	rig_run_for(rig, 2 * NS_PER_MS);
	assert_one_answer(rig, STATUS_DEADLINE);
	assert_int_equal(rig->executed, 0);
	rig_close(rig, session);
	rig_free(rig);
}

static void a_request_given_up_before_it_came_is_not_executed(void **state)
{
	struct rig *rig = rig_new(client_config(), server_config());
	struct session *session = rig_open(rig);

	rig->drop[FRAME_REQUEST] = UINT32_MAX;
	assert_int_equal(rig_call(rig, session, "x", 1, NULL, rig->net.now_ns + NS_PER_MS), 0);
	rig_run_for(rig, 2 * NS_PER_MS);
	assert_one_answer(rig, STATUS_DEADLINE);
	assert_int_equal(session->free, UINT32_MAX);
	/* It was only late. */
	rig_deliver(&rig->server, &rig->client.addr, rig->last_bytes[FRAME_REQUEST],
		    rig->last_size[FRAME_REQUEST]);
	assert_int_equal(rig->executed, 0);
	rig_close(rig, session);
	rig_free(rig);
}

static void giving_up_frees_what_came_so_far(void **state)
{
	struct rig *rig = rig_new(client_config(), server_config());
	struct session *session = rig_open(rig);
	uint8_t *bytes = pattern(3000);

	rig->drop[FRAME_REQUEST] = 1;
	assert_int_equal(rig_call(rig, session, bytes, 3000, NULL, rig->net.now_ns + NS_PER_MS), 0);
	rig_run_for(rig, NS_PER_MS / 2);
	assert_int_equal(session_pool_used(&rig->server.endpoint->pool), 1);
	rig->drop[FRAME_REQUEST] = UINT32_MAX;
	rig_run_for(rig, 2 * NS_PER_MS);
	assert_int_equal(session_pool_used(&rig->server.endpoint->pool), 0);
	assert_one_answer(rig, STATUS_DEADLINE);
	free(bytes);
	rig_close(rig, session);
	rig_free(rig);
}

/* --- who may speak --- */

static void check_refused(struct endpoint_config client, struct endpoint_config server,
			  uint16_t status)
{
	struct rig *rig = rig_new(client, server);
	struct session *session = rig_connect(rig);

	assert_int_equal(rig_call(rig, session, "x", 1, NULL, UINT64_MAX), 0);
	rig_run_for(rig, NS_PER_MS);
	assert_one_answer(rig, status);
	assert_int_equal(rig->executed, 0);
	assert_false(session_is_open(session));
	assert_int_equal(rig_call(rig, session, "x", 1, NULL, UINT64_MAX), SESSION_E_CLOSED);
	rig_close(rig, session);
	rig_free(rig);
}

static void a_requester_without_the_secret_is_refused(void **state)
{
	static const uint8_t wrong[SESSION_SECRET_SIZE] = "another secret";
	struct endpoint_config client = client_config();

	client.secret = NULL;
	check_refused(client, server_config(), STATUS_AUTH);
	client.secret = wrong;
	check_refused(client, server_config(), STATUS_AUTH);
}

static void an_executor_without_the_secret_is_not_believed(void **state)
{
	struct endpoint_config server = server_config();

	server.secret = NULL;
	check_refused(client_config(), server, STATUS_AUTH);
}

static void an_endpoint_that_accepts_nobody_is_unreachable(void **state)
{
	struct endpoint_config server = server_config();

	server.accept = false;
	check_refused(client_config(), server, STATUS_UNREACHABLE);
}

static void without_a_secret_on_either_side_nothing_is_proved(void **state)
{
	struct endpoint_config client = client_config(), server = server_config();
	struct rig *rig;

	client.secret = server.secret = NULL;
	rig = rig_new(client, server);
	rig_close(rig, rig_open(rig));
	rig_free(rig);
}

static void hellos_leave_nothing_behind(void **state)
{
	struct rig *rig = rig_new(client_config(), server_config());
	struct session *session = rig_connect(rig);

	for (unsigned i = 0; i < 1000; i++)
		endpoint_input(rig->server.endpoint, &rig->client.addr,
			       rig->last_bytes[FRAME_HELLO], rig->last_size[FRAME_HELLO], 1000 + i);
	assert_int_equal(endpoint_stats(rig->server.endpoint)->sessions, 0);
	assert_int_equal(endpoint_due_ns(rig->server.endpoint), UINT64_MAX);
	assert_int_equal(rig->seen[FRAME_CHALLENGE], 1000);
	rig_run_for(rig, 10 * NS_PER_MS);
	assert_true(session_is_open(session));
	rig_close(rig, session);
	rig_free(rig);
}

static void answers_of_the_handshake_are_no_larger_than_what_they_answer(void **state)
{
	struct rig *rig = rig_new(client_config(), server_config());
	struct session *session = rig_open(rig);

	assert_true(rig->largest_sent[FRAME_CHALLENGE] <= rig->largest_sent[FRAME_HELLO]);
	assert_true(rig->largest_sent[FRAME_ACCEPT] <= rig->largest_sent[FRAME_PROVE]);
	rig_close(rig, session);
	rig_free(rig);
}

/* Sends 'kind' as it was sent, with one byte of its body changed. */
static void send_changed(struct rig *rig, enum frame_kind kind, size_t offset,
			 const struct addr *from, uint64_t now_ns)
{
	uint8_t bytes[512], body[FRAME_PROVE_SIZE];
	struct frame frame;

	assert_int_equal(frame_decode(rig->last_bytes[kind], rig->last_size[kind], &frame), 0);
	memcpy(body, frame.body, frame.body_size);
	if (offset < frame.body_size)
		body[offset] ^= 1;
	frame.body = body;
	frame_encode(&frame, bytes);
	memcpy(bytes + FRAME_SIZE_HEAD, body, frame.body_size);
	endpoint_input(rig->server.endpoint, from, bytes, FRAME_SIZE_HEAD + frame.body_size,
		       now_ns);
}

static void a_proof_holds_for_its_bytes_address_and_time_only(void **state)
{
	struct rig *rig = rig_new(client_config(), server_config());
	const struct session_stats *stats = endpoint_stats(rig->server.endpoint);
	struct addr elsewhere = rig->client.addr;
	struct session *session;

	rig->drop[FRAME_PROVE] = 1;
	session = rig_connect(rig);
	rig_run_for(rig, NS_PER_MS);
	assert_int_equal(rig->seen[FRAME_PROVE], 1);
	for (size_t offset = 0; offset < FRAME_PROVE_SIZE; offset++)
		send_changed(rig, FRAME_PROVE, offset, &rig->client.addr, rig->net.now_ns);
	elsewhere.port++;
	send_changed(rig, FRAME_PROVE, SIZE_MAX, &elsewhere, rig->net.now_ns);
	elsewhere = rig->client.addr;
	elsewhere.ip[15] ^= 1;
	send_changed(rig, FRAME_PROVE, SIZE_MAX, &elsewhere, rig->net.now_ns);
	send_changed(rig, FRAME_PROVE, SIZE_MAX, &rig->client.addr, rig->net.now_ns + 6 * NS_PER_S);
	assert_int_equal(stats->sessions_opened, 0);
	send_changed(rig, FRAME_PROVE, SIZE_MAX, &rig->client.addr, rig->net.now_ns);
	assert_int_equal(stats->sessions_opened, 1);
	/* The same one again opens no second session. */
	send_changed(rig, FRAME_PROVE, SIZE_MAX, &rig->client.addr, rig->net.now_ns);
	assert_int_equal(stats->sessions_opened, 1);
	assert_int_equal(stats->sessions, 1);
	rig_run_for(rig, NS_PER_S);
	rig_close(rig, session);
	rig_free(rig);
}

/* What an executor may grant; proofs aside, since here there are none. */
static void an_accept_out_of_range_is_bad(void **state)
{
	static const struct {
		size_t at, size;
		uint64_t value;
	} wrong[] = {
		{0, 8, 0},                  /* token */
		{16, 2, FRAME_VERSION + 1}, /* version */
		{16, 2, 0},
		{20, 4, SESSION_FRAME_SIZE_MIN - 1}, /* frame size */
		{20, 4, SESSION_FRAME_SIZE_MIN + 1}, /* more than the requester takes */
		{20, 4, SESSION_FRAME_SIZE_MAX + 1},
		{20, 4, UINT32_MAX},
	};
	struct endpoint_config client = client_config(), server = server_config();
	uint8_t bytes[FRAME_SIZE_HEAD + FRAME_ACCEPT_SIZE];
	struct session *session;
	struct frame frame;
	struct rig *rig;

	client.secret = NULL;
	server.secret = NULL;
	rig = rig_new(client, server);
	rig->drop[FRAME_ACCEPT] = 1;
	session = rig_connect(rig);
	rig_run_for(rig, NS_PER_MS);
	assert_int_equal(rig->seen[FRAME_ACCEPT], 1);
	for (unsigned i = 0; i < ARRAY_COUNT(wrong); i++) {
		memcpy(bytes, rig->last_bytes[FRAME_ACCEPT], sizeof(bytes));
		assert_int_equal(frame_decode(bytes, sizeof(bytes), &frame), 0);
		for (size_t j = 0; j < wrong[i].size; j++)
			bytes[FRAME_SIZE_HEAD + wrong[i].at + j] =
				(uint8_t)(wrong[i].value >> 8 * j);
		frame_encode(&frame, bytes);
		rig_deliver(&rig->client, &rig->server.addr, bytes, sizeof(bytes));
		assert_int_equal(endpoint_stats(rig->client.endpoint)->frames_bad, i + 1);
		assert_int_equal(session->state, SESSION_STATE_PROVE);
	}
	rig_deliver(&rig->client, &rig->server.addr, rig->last_bytes[FRAME_ACCEPT], sizeof(bytes));
	assert_int_equal(session->state, SESSION_STATE_OPEN);
	rig_close(rig, session);
	rig_free(rig);
}

static void a_proof_is_not_good_as_the_other_sides(void **state)
{
	struct rig *rig = rig_new(client_config(), server_config());
	struct session *session;

	/* The executor's proof is the requester's own, sent back to it. */
	rig->drop[FRAME_ACCEPT] = 1;
	session = rig_connect(rig);
	rig_run_for(rig, NS_PER_MS);
	{
		uint8_t bytes[512], body[FRAME_ACCEPT_SIZE];
		struct frame frame;

		assert_int_equal(frame_decode(rig->last_bytes[FRAME_ACCEPT],
					      rig->last_size[FRAME_ACCEPT], &frame),
				 0);
		memcpy(body, frame.body, sizeof(body));
		memcpy(body + 64, rig->last_bytes[FRAME_PROVE] + FRAME_SIZE_HEAD + 96, 32);
		frame.body = body;
		frame_encode(&frame, bytes);
		memcpy(bytes + FRAME_SIZE_HEAD, body, sizeof(body));
		endpoint_input(rig->client.endpoint, &rig->server.addr, bytes,
			       FRAME_SIZE_HEAD + sizeof(body), rig->net.now_ns);
	}
	assert_false(session_is_open(session));
	assert_int_equal(session->lost_status, STATUS_AUTH);
	rig_close(rig, session);
	rig_run_for(rig, 10 * NS_PER_S);
	rig_free(rig);
}

static void no_common_version_is_refused(void **state)
{
	struct rig *rig = rig_new(client_config(), server_config());
	struct session *session;
	uint8_t bytes[512], body[FRAME_HELLO_SIZE];
	struct frame frame;

	rig->drop[FRAME_HELLO] = 1;
	session = rig_connect(rig);
	assert_int_equal(rig_call(rig, session, "x", 1, NULL, UINT64_MAX), 0);
	assert_int_equal(
		frame_decode(rig->last_bytes[FRAME_HELLO], rig->last_size[FRAME_HELLO], &frame), 0);
	memcpy(body, frame.body, sizeof(body));
	store_le16(body + 16, 2);
	store_le16(body + 18, 9);
	frame.body = body;
	frame_encode(&frame, bytes);
	memcpy(bytes + FRAME_SIZE_HEAD, body, sizeof(body));
	rig_deliver(&rig->server, &rig->client.addr, bytes, FRAME_SIZE_HEAD + sizeof(body));
	rig_run_for(rig, NS_PER_MS);
	assert_one_answer(rig, STATUS_VERSION);
	rig_close(rig, session);
	rig_free(rig);
}

/* --- comings and goings --- */

static void nobody_there_is_unreachable(void **state)
{
	struct rig *rig = rig_new(client_config(), server_config());
	struct session *session;

	rig->drop[FRAME_HELLO] = UINT32_MAX;
	session = rig_connect(rig);
	assert_int_equal(rig_call(rig, session, "x", 1, NULL, UINT64_MAX), 0);
	rig_run_for(rig, 6 * NS_PER_S);
	assert_one_answer(rig, STATUS_UNREACHABLE);
	assert_true(rig->seen[FRAME_HELLO] < 30);
	rig_close(rig, session);
	rig_free(rig);
}

static void a_silent_peer_is_lost(void **state)
{
	struct rig *rig = rig_new(client_config(), server_config());
	struct session *session = rig_open(rig);

	rig->drop[FRAME_REQUEST] = UINT32_MAX;
	assert_int_equal(rig_call(rig, session, "x", 1, NULL, UINT64_MAX), 0);
	rig_run_for(rig, 6 * NS_PER_S);
	assert_one_answer(rig, STATUS_SESSION_LOST);
	assert_false(session_is_open(session));
	assert_int_equal(endpoint_stats(rig->client.endpoint)->sessions_lost, 1);
	/* The executor has dropped it as well. */
	assert_int_equal(endpoint_stats(rig->server.endpoint)->sessions, 0);
	rig_close(rig, session);
	rig_free(rig);
}

static void an_idle_session_is_kept_alive(void **state)
{
	struct rig *rig = rig_new(client_config(), server_config());
	struct session *session = rig_open(rig);

	rig_run_for(rig, 60 * NS_PER_S);
	assert_true(session_is_open(session));
	assert_int_equal(endpoint_stats(rig->server.endpoint)->sessions, 1);
	assert_in_range(rig->seen[FRAME_PING], 50, 61);
	assert_int_equal(rig->seen[FRAME_PONG], rig->seen[FRAME_PING]);
	rig_close(rig, session);
	rig_free(rig);
}

static void an_idle_session_notices_that_the_peer_is_gone(void **state)
{
	struct rig *rig = rig_new(client_config(), server_config());
	struct session *session = rig_open(rig);

	rig->drop[FRAME_PONG] = UINT32_MAX;
	rig_run_for(rig, 10 * NS_PER_S);
	assert_false(session_is_open(session));
	rig_close(rig, session);
	rig_free(rig);
}

static void a_restarted_executor_resets_the_session(void **state)
{
	struct rig *rig = rig_new(client_config(), server_config());
	struct endpoint_config server = server_config();
	struct session *session = rig_open(rig);

	endpoint_free(rig->server.endpoint);
	server.seed = 3;
	assert_int_equal(endpoint_new(&server, &rig_ops, &rig->server, &rig->server.endpoint), 0);
	assert_int_equal(rig_call(rig, session, "x", 1, NULL, UINT64_MAX), 0);
	rig_run_for(rig, NS_PER_MS);
	assert_int_equal(rig->seen[FRAME_RESET], 1);
	assert_one_answer(rig, STATUS_SESSION_LOST);
	rig_close(rig, session);
	session = rig_open(rig);
	rig_close(rig, session);
	rig_free(rig);
}

static void a_reset_needs_the_sessions_token(void **state)
{
	struct rig *rig = rig_new(client_config(), server_config());
	struct session *session = rig_open(rig);
	struct frame frame = {.kind = FRAME_RESET, .hint = session->index};
	uint8_t head[FRAME_SIZE_HEAD];

	for (unsigned bit = 0; bit < 64; bit++) {
		frame.token = session->peer_token ^ UINT64_C(1) << bit;
		frame_encode(&frame, head);
		rig_deliver(&rig->client, &rig->server.addr, head, sizeof(head));
	}
	frame.token = session->peer_token;
	frame.hint = 1000000;
	frame_encode(&frame, head);
	rig_deliver(&rig->client, &rig->server.addr, head, sizeof(head));
	assert_true(session_is_open(session));
	rig_close(rig, session);
	rig_free(rig);
}

static void closing_completes_calls_and_tells_the_peer(void **state)
{
	struct rig *rig = rig_new(client_config(), server_config());
	struct session *session = rig_open(rig);

	rig->manner = HOLD;
	assert_int_equal(rig_call(rig, session, "x", 1, NULL, UINT64_MAX), 0);
	rig_run_for(rig, NS_PER_MS);
	session_close(session, rig->net.now_ns);
	rig_run_for(rig, NS_PER_MS);
	rig_tick(rig);
	assert_one_answer(rig, STATUS_SESSION_LOST);
	assert_int_equal(rig->seen[FRAME_CLOSE], 1);
	assert_int_equal(endpoint_stats(rig->server.endpoint)->sessions, 0);
	/* The application still has the request; answering it is safe. */
	assert_non_null(request_answer_buffer(rig->held[0], 5000));
	request_answer(rig->held[0], STATUS_OK, 0, 5000, rig->net.now_ns);
	assert_int_equal(rig->seen[FRAME_ANSWER], 0);
	rig_free(rig);
}

static void a_draining_endpoint_finishes_and_refuses(void **state)
{
	struct rig *rig = rig_new(client_config(), server_config());
	struct session *session = rig_open(rig), *late;
	char answer[1];

	rig->manner = HOLD;
	assert_int_equal(rig_call(rig, session, "x", 1, answer, UINT64_MAX), 0);
	rig_run_for(rig, NS_PER_MS);
	endpoint_drain(rig->server.endpoint);
	assert_int_equal(endpoint_busy_count(rig->server.endpoint), 1);
	assert_int_equal(rig_call(rig, session, "y", 1, NULL, UINT64_MAX), 0);
	late = rig_connect(rig);
	assert_int_equal(rig_call(rig, late, "z", 1, NULL, UINT64_MAX), 0);
	rig_run_for(rig, NS_PER_MS);
	assert_int_equal(rig->answer_count, 2);
	assert_int_equal(rig->answers[0].status, STATUS_DRAINING);
	assert_int_equal(rig->answers[1].status, STATUS_DRAINING);
	rig_echo(rig, rig->held[0]);
	rig_run_for(rig, NS_PER_MS);
	assert_int_equal(rig->answer_count, 3);
	assert_int_equal(rig->answers[2].status, STATUS_OK);
	rig_close(rig, late);
	rig_close(rig, session);
	rig_free(rig);
}

static void a_requester_that_slept_too_long_connects_anew(void **state)
{
	struct rig *rig = rig_new(client_config(), server_config());
	struct session *session = rig_open(rig);

	/* Nobody runs the client's timer for a minute. */
	rig->net.now_ns += 60 * NS_PER_S;
	assert_int_equal(rig_call(rig, session, "x", 1, NULL, UINT64_MAX), SESSION_E_CLOSED);
	assert_false(session_is_open(session));
	rig_close(rig, session);
	rig_free(rig);
}

/* --- frames and limits --- */

static void bad_frames_are_counted_and_dropped(void **state)
{
	struct rig *rig = rig_new(client_config(), server_config());
	struct session *session = rig_open(rig);
	const struct session_stats *stats = endpoint_stats(rig->server.endpoint);
	uint64_t bad;
	char answer[3];

	assert_int_equal(rig_call(rig, session, "abc", 3, answer, UINT64_MAX), 0);
	bad = stats->frames_bad;
	for (size_t bit = 0; bit < 8 * rig->last_size[FRAME_REQUEST]; bit++) {
		rig->last_bytes[FRAME_REQUEST][bit / 8] ^= (uint8_t)(1 << bit % 8);
		rig_deliver(&rig->server, &rig->client.addr, rig->last_bytes[FRAME_REQUEST],
			    rig->last_size[FRAME_REQUEST]);
		rig->last_bytes[FRAME_REQUEST][bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(stats->frames_bad - bad, 8 * (FRAME_SIZE_HEAD + 3));
	assert_int_equal(rig->executed, 0);
	rig_run_for(rig, NS_PER_MS);
	assert_one_answer(rig, STATUS_OK);
	rig_close(rig, session);
	rig_free(rig);
}

static void a_request_whose_sizes_contradict_is_bad(void **state)
{
	const struct {
		uint32_t message_size, body_size;
		uint16_t index;
	} cases[] = {
		{10, 9, 0},
		{10, 11, 0},
		{10, 10, 1},
		{0, 1, 0},
		{1185, 1185, 0},
		{1185, 1184, 1},
		{1185, 1, 2},
		{1185, 0, 1},
		{(1 << 20) - 1, 5, 65535},
		{(1 << 20), 1184, 886},
		{2368, 1183, 1},
		{2368, 1184, 2},
	};
	struct rig *rig = rig_new(client_config(), server_config());
	struct session *session = rig_open(rig);
	const struct session_stats *stats = endpoint_stats(rig->server.endpoint);
	uint8_t bytes[2048] = {0};

	for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
		struct frame frame = {.kind = FRAME_REQUEST,
				      .token = session->peer_token,
				      .number = 32,
				      .index = cases[i].index,
				      .message_size = cases[i].message_size,
				      .body = bytes + FRAME_SIZE_HEAD,
				      .body_size = cases[i].body_size};

		frame_encode(&frame, bytes);
		rig_deliver(&rig->server, &rig->client.addr, bytes,
			    FRAME_SIZE_HEAD + cases[i].body_size);
		assert_int_equal(stats->frames_bad, i + 1);
	}
	assert_int_equal(stats->requests_received, 0);
	rig_close(rig, session);
	rig_free(rig);
}

/* Memory behind an answer is nobody's to read: 5000 bytes are 5 frames, 1184 are one. */
static void a_pull_behind_the_answers_end_is_bad(void **state)
{
	struct rig *rig = rig_new(client_config(), server_config());
	struct session *session = rig_open(rig);
	uint8_t small[1184];
	unsigned answers, bad = 0;

	memset(small, 1, sizeof(small));
	send_part(rig, session, 1, 0, 5);
	assert_int_equal(rig_call(rig, session, small, sizeof(small), small, UINT64_MAX), 0);
	rig_run_for(rig, NS_PER_MS);
	assert_int_equal(rig->executed, 2);
	answers = rig->seen[FRAME_ANSWER];
	for (unsigned slot = 0; slot < 2; slot++)
		for (uint32_t index = slot ? 5 : 1; index <= UINT16_MAX; index *= 3) {
			send_pull(rig, session, slot, index);
			assert_int_equal(endpoint_stats(rig->server.endpoint)->frames_bad, ++bad);
		}
	assert_int_equal(rig->seen[FRAME_ANSWER], answers);
	rig_close(rig, session);
	rig_free(rig);
}

static void a_credit_for_what_was_never_sent_is_bad(void **state)
{
	struct rig *rig = rig_new(client_config(), server_config());
	struct session *session = rig_open(rig);
	const struct session_stats *stats = endpoint_stats(rig->client.endpoint);
	uint8_t *bytes = pattern(12000), *answer = malloc(12000), head[FRAME_SIZE_HEAD];
	struct frame frame = {.kind = FRAME_CREDIT, .token = session->token, .hint = 1};

	assert_int_equal(rig_call(rig, session, bytes, 12000, answer, UINT64_MAX), 0);
	frame.number = rig->last[FRAME_REQUEST].number;
	frame.index = 11; /* the message has 11 frames */
	frame_encode(&frame, head);
	rig_deliver(&rig->client, &rig->server.addr, head, sizeof(head));
	frame.index = 0;
	frame.hint = 12;
	frame_encode(&frame, head);
	rig_deliver(&rig->client, &rig->server.addr, head, sizeof(head));
	assert_int_equal(stats->frames_bad, 2);
	rig_run_for(rig, NS_PER_MS);
	assert_one_answer(rig, STATUS_OK);
	free(bytes);
	free(answer);
	rig_close(rig, session);
	rig_free(rig);
}

static void configurations_out_of_range_are_refused(void **state)
{
	struct endpoint *endpoint = NULL;
	struct endpoint_config config;

#define REFUSED(field, value)                                                                      \
	config = server_config();                                                                  \
	config.field = (value);                                                                    \
	assert_int_equal(endpoint_new(&config, &rig_ops, NULL, &endpoint), -EINVAL)
	REFUSED(session_count, 0);
	REFUSED(session_count, SESSION_COUNT_MAX + 1);
	REFUSED(frame_size, SESSION_FRAME_SIZE_MIN - 1);
	REFUSED(frame_size, SESSION_FRAME_SIZE_MAX + 1);
	REFUSED(message_size_max, 0);
	REFUSED(message_size_max, SESSION_MESSAGE_SIZE_MAX + 1);
	REFUSED(large_count, SESSION_LARGE_COUNT_MAX + 1);
	REFUSED(lost_ns, NS_PER_S); /* below two keep-alives */
	REFUSED(rto_min_ns, NS_PER_S);
#undef REFUSED
	assert_null(endpoint);
	endpoint_free(NULL);
}

static void equal_seeds_give_equal_sessions(void **state)
{
	uint64_t tokens[3];

	for (unsigned i = 0; i < 3; i++) {
		struct endpoint_config client = client_config();
		struct rig *rig;
		struct session *session;

		client.seed = i == 2 ? 0 : 77;
		rig = rig_new(client, server_config());
		session = rig_open(rig);
		tokens[i] = session->token;
		rig_close(rig, session);
		rig_free(rig);
	}
	assert_int_equal(tokens[0], tokens[1]);
	assert_int_not_equal(tokens[0], tokens[2]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_is_answered),
		cmocka_unit_test(calls_wait_for_the_handshake),
		cmocka_unit_test(large_messages_go_both_ways),
		cmocka_unit_test(the_largest_message_survives_a_lossy_network),
		cmocka_unit_test(the_requests_buffer_comes_back_with_the_answer),
		cmocka_unit_test(a_requester_stays_within_its_credits),
		cmocka_unit_test(empty_requests_and_answers_are_fine),
		cmocka_unit_test(a_status_and_its_hint_come_through),
		cmocka_unit_test(a_session_has_so_many_slots_and_no_more),
		cmocka_unit_test(a_request_over_our_own_limit_is_not_taken),
		cmocka_unit_test(a_request_over_the_peers_limit_is_answered_too_large),
		cmocka_unit_test(an_answer_that_does_not_fit_is_too_large),
		cmocka_unit_test(no_answer_buffer_is_larger_than_the_limit),
		cmocka_unit_test(a_request_without_a_buffer_is_answered_overloaded),
		cmocka_unit_test(who_holds_buffers_without_a_step_loses_them_to_others),
		cmocka_unit_test(a_slow_requester_keeps_its_buffers),
		cmocka_unit_test(keeping_without_a_buffer_is_busy),
		cmocka_unit_test(a_full_session_table_refuses_with_overloaded),
		cmocka_unit_test(sessions_of_the_requester_run_out_too),
		cmocka_unit_test(lost_frames_are_repeated_and_nothing_is_executed_twice),
		cmocka_unit_test(a_repeated_request_gets_the_remembered_answer),
		cmocka_unit_test(an_old_request_is_stale),
		cmocka_unit_test(long_work_is_polled_and_not_repeated),
		cmocka_unit_test(a_call_fails_at_its_deadline),
		cmocka_unit_test(a_deadline_counts_during_the_handshake),
		cmocka_unit_test(the_executor_sees_the_time_that_is_left),
		cmocka_unit_test(an_expired_request_is_answered_and_not_handed_out),
		cmocka_unit_test(a_request_given_up_before_it_came_is_not_executed),
		cmocka_unit_test(giving_up_frees_what_came_so_far),
		cmocka_unit_test(a_requester_without_the_secret_is_refused),
		cmocka_unit_test(an_executor_without_the_secret_is_not_believed),
		cmocka_unit_test(an_endpoint_that_accepts_nobody_is_unreachable),
		cmocka_unit_test(without_a_secret_on_either_side_nothing_is_proved),
		cmocka_unit_test(hellos_leave_nothing_behind),
		cmocka_unit_test(answers_of_the_handshake_are_no_larger_than_what_they_answer),
		cmocka_unit_test(a_proof_holds_for_its_bytes_address_and_time_only),
		cmocka_unit_test(an_accept_out_of_range_is_bad),
		cmocka_unit_test(a_proof_is_not_good_as_the_other_sides),
		cmocka_unit_test(no_common_version_is_refused),
		cmocka_unit_test(nobody_there_is_unreachable),
		cmocka_unit_test(a_silent_peer_is_lost),
		cmocka_unit_test(an_idle_session_is_kept_alive),
		cmocka_unit_test(an_idle_session_notices_that_the_peer_is_gone),
		cmocka_unit_test(a_restarted_executor_resets_the_session),
		cmocka_unit_test(a_reset_needs_the_sessions_token),
		cmocka_unit_test(closing_completes_calls_and_tells_the_peer),
		cmocka_unit_test(a_draining_endpoint_finishes_and_refuses),
		cmocka_unit_test(a_requester_that_slept_too_long_connects_anew),
		cmocka_unit_test(bad_frames_are_counted_and_dropped),
		cmocka_unit_test(a_request_whose_sizes_contradict_is_bad),
		cmocka_unit_test(a_pull_behind_the_answers_end_is_bad),
		cmocka_unit_test(a_credit_for_what_was_never_sent_is_bad),
		cmocka_unit_test(configurations_out_of_range_are_refused),
		cmocka_unit_test(equal_seeds_give_equal_sessions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

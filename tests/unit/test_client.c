/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/defs.h"
#include "client/client.h"
#include "cluster/dial.h"
#include "proto/status.h"
#include "tests/lib/test.h"

#include <string.h>

/*
 * A client on a port of the test's, in a time of the test's. At 127.0.0.1 some
 * UDP ports are answered, all by one endpoint, which sends everybody who asks on
 * to a port that it has not named before; at the others nobody is.
 */
#define FIRST_PORT 1000
#define LINE_MAX   64

struct line {
	struct addr from;
	uint32_t size;
	uint8_t bytes[SESSION_FRAME_SIZE_MIN];
};

static struct {
	struct port_queue queue; /* the client's */
	struct client *client;
	struct endpoint *server;
	uint16_t last_port; /* of those that are answered */
	uint16_t speaker;   /* the one that the endpoint speaks from at this time */
	uint16_t nowhere;   /* the last one tried at which nobody is */
	uint32_t hint;
	uint32_t asked;
	struct line lines[LINE_MAX]; /* frames on their way to the client */
	unsigned line_count;
	uint64_t now_ns;
} rig;

static struct addr at_port(uint16_t port)
{
	struct addr addr;

	assert_int_equal(addr_parse("127.0.0.1", port, &addr), 0);
	return addr;
}

static void server_send(void *context, const struct addr *to, const void *head, size_t head_size,
			const void *body, size_t body_size)
{
	struct line *line = &rig.lines[rig.line_count++];

	assert_true(rig.line_count <= LINE_MAX);
	line->from = at_port(rig.speaker);
	line->size = (uint32_t)(head_size + body_size);
	memcpy(line->bytes, head, head_size);
	if (body_size)
		memcpy(line->bytes + head_size, body, body_size);
}

static const struct session_ops server_ops = {.send = server_send};

static void client_send(struct port_queue *queue, const struct addr *to, const void *head,
			size_t head_size, const void *body, size_t body_size)
{
	uint8_t bytes[SESSION_FRAME_SIZE_MIN];
	struct addr from = at_port(1);
	struct request *request;

	if (to->port > rig.last_port)
		rig.nowhere = MAX(rig.nowhere, to->port);
	if (to->port < FIRST_PORT || to->port > rig.last_port)
		return;
	memcpy(bytes, head, head_size);
	if (body_size)
		memcpy(bytes + head_size, body, body_size);
	rig.speaker = to->port;
	endpoint_input(rig.server, &from, bytes, head_size + body_size, rig.now_ns);
	while (endpoint_take_requests(rig.server, &request, 1)) {
		rig.asked++;
		request_answer(request, STATUS_SHARD_ELSEWHERE, ++rig.hint, 0, rig.now_ns);
	}
}

static unsigned client_receive(struct port_queue *queue, struct port_frame *frames, unsigned count)
{
	unsigned handed = MIN(count, rig.line_count);

	for (unsigned i = 0; i < handed; i++)
		frames[i] = (struct port_frame){.from = rig.lines[i].from,
						.size = rig.lines[i].size,
						.bytes = rig.lines[i].bytes};
	return handed;
}

static void client_release(struct port_queue *queue, struct port_frame *frames, unsigned count)
{
	rig.line_count -= count;
	memmove(rig.lines, rig.lines + count, rig.line_count * sizeof(rig.lines[0]));
}

static void client_flush(struct port_queue *queue)
{
}

static const struct port_ops client_ops = {
	.receive = client_receive,
	.release = client_release,
	.send = client_send,
	.flush = client_flush,
};

static void set_up(uint16_t last_port)
{
	struct endpoint_config server = {.session_count = 1024,
					 .frame_size = SESSION_FRAME_SIZE_MIN,
					 .message_size_max = 1 << 16,
					 .accept = true,
					 .seed = 1};
	struct addr first = at_port(FIRST_PORT);
	struct client_config config = {.port = &rig.queue,
				       .servers = &first,
				       .server_count = 1,
				       .in_flight_max = 4,
				       .session_count = 8,
				       .shard_count = 1};

	memset(&rig, 0, sizeof(rig));
	rig.now_ns = NS_PER_S;
	rig.hint = FIRST_PORT;
	rig.last_port = last_port;
	rig.queue.ops = &client_ops;
	rig.queue.frame_size = SESSION_FRAME_SIZE_MIN;
	assert_int_equal(endpoint_new(&server, &server_ops, NULL, &rig.server), 0);
	assert_int_equal(client_new(&config, &rig.client), 0);
}

static void tear_down(void)
{
	client_free(rig.client, rig.now_ns);
	endpoint_free(rig.server);
}

/* Asks, and waits in the test's own time. Returns the status. */
static uint16_t ask(void)
{
	static const float vector[2] = {1, 2};
	struct client_question question = {.collection = "rows",
					   .vector = vector,
					   .dim = 2,
					   .k = 1,
					   .deadline_ns = rig.now_ns + 20 * NS_PER_S};
	struct client_result result;

	assert_int_equal(client_submit(rig.client, &question, rig.now_ns), 0);
	while (!client_poll(rig.client, &result, 1, rig.now_ns)) {
		uint64_t due_ns = client_due_ns(rig.client);

		endpoint_tick(rig.server, rig.now_ns);
		rig.now_ns += NS_PER_US;
		if (!rig.line_count)
			rig.now_ns = MAX(due_ns, rig.now_ns);
		assert_true(rig.now_ns <= question.deadline_ns + NS_PER_S);
	}
	return result.status;
}

/* However many hints led to where nobody is, the next one is followed too. */
static void hints_to_nowhere_use_nothing_up(void **state)
{
	set_up(FIRST_PORT);
	for (unsigned i = 0; i < 40; i++) {
		uint32_t asked = rig.asked;
		uint16_t nowhere = rig.nowhere;

		assert_int_not_equal(ask(), STATUS_OK);
		assert_true(rig.asked > asked);
		assert_true(rig.nowhere > nowhere);
		rig.now_ns += 10 * NS_PER_S;
	}
	tear_down();
}

/* More live peers than sessions, and than places for peers: each is asked all the same. */
static void peers_take_turns_when_they_are_too_many(void **state)
{
	set_up(UINT16_MAX);
	while (rig.hint - FIRST_PORT < 2 * DIAL_PEER_MAX) {
		uint32_t before = rig.asked;

		assert_int_not_equal(ask(), STATUS_OK);
		assert_true(rig.asked > before + LEG_HINT_MAX);
		assert_true(client_stats(rig.client).session.sessions <= 8);
	}
	tear_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hints_to_nowhere_use_nothing_up),
		cmocka_unit_test(peers_take_turns_when_they_are_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

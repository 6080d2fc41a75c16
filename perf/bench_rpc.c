/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bench_rpc - small requests and answers against a bare echo on the same device
 *
 * Bare moves packet buffers and reads no header. Ours is the whole transport at
 * both ends: port, session, a request executed once, its answer remembered. The
 * answer is a copy of the request; frames are of the same size on the wire.
 */

#include "base/check.h"
#include "base/clock.h"
#include "perf/lib/echo_bench.h"
#include "proto/frame.h"
#include "proto/session.h"
#include "proto/status.h"

#include <stdlib.h>
#include <string.h>

#define BYTES_MAX 1024

/* --- both ends --- */

static void send_frame(void *context, const struct addr *to, const void *head, size_t head_size,
		       const void *body, size_t body_size)
{
	port_send(context, to, head, head_size, body, body_size);
}

static const struct session_ops session_ops = {.send = send_frame};

static struct endpoint *open_endpoint(struct port_queue *queue, bool accept)
{
	struct endpoint_config config = {
		.node = accept,
		.session_count = 8,
		.frame_size = MIN(queue->frame_size, (uint32_t)SESSION_FRAME_SIZE_MAX),
		.message_size_max = SESSION_MESSAGE_SIZE_MAX,
		.accept = accept};
	struct endpoint *endpoint;

	CHECK(endpoint_new(&config, &session_ops, queue, &endpoint) == 0);
	return endpoint;
}

/* Empty polls between two looks at the clock. */
#define CLOCK_EVERY 64

struct end {
	struct port_queue *queue;
	struct endpoint *endpoint;
	uint64_t now_ns;
	unsigned polls;
	unsigned count;
	struct port_frame frames[PORT_BURST_MAX];
};

static void receive(struct end *end)
{
	end->count = port_receive(end->queue, end->frames, PORT_BURST_MAX);
	if (end->count > 0 || ++end->polls % CLOCK_EVERY == 0)
		end->now_ns = clock_now_ns();
	for (unsigned i = 0; i < end->count; i++) {
		const struct port_frame *frame = &end->frames[i];

		endpoint_input(end->endpoint, &frame->from, frame->bytes, frame->size, end->now_ns);
	}
}

static void finish(struct end *end)
{
	port_release(end->queue, end->frames, end->count);
	if (endpoint_due_ns(end->endpoint) <= end->now_ns)
		endpoint_tick(end->endpoint, end->now_ns);
	port_flush(end->queue);
}

/* --- the server --- */

static void answer_all(struct endpoint *endpoint, uint64_t now_ns)
{
	struct request *requests[PORT_BURST_MAX];
	unsigned count;

	while ((count = endpoint_take_requests(endpoint, requests, PORT_BURST_MAX)) > 0) {
		for (unsigned i = 0; i < count; i++) {
			struct request_view view = request_view(requests[i]);
			uint8_t *answer = request_answer_buffer(requests[i], view.size);

			memcpy(answer, view.bytes, view.size);
			request_answer(requests[i], STATUS_OK, 0, view.size, now_ns);
		}
	}
}

static void rpc_serve(struct port_queue *queue, const atomic_bool *stop)
{
	struct end end = {.queue = queue, .endpoint = open_endpoint(queue, /* accept= */ true)};

	while (!atomic_load_explicit(stop, memory_order_relaxed)) {
		receive(&end);
		answer_all(end.endpoint, end.now_ns);
		finish(&end);
	}
	endpoint_free(end.endpoint);
}

/* --- the client --- */

struct client {
	struct end end;
	struct session *session;
	uint32_t size;
	uint8_t request[BYTES_MAX];
	uint8_t answers[SESSION_SLOT_COUNT][BYTES_MAX];
	uint8_t *free[SESSION_SLOT_COUNT];
	unsigned free_count;
};

static void *rpc_open(struct port_queue *queue, const struct addr *to, uint32_t size)
{
	struct client *client = calloc(1, sizeof(*client));

	CHECK(client && size <= BYTES_MAX);
	client->size = size;
	client->end.queue = queue;
	client->end.endpoint = open_endpoint(queue, /* accept= */ false);
	client->end.now_ns = clock_now_ns();
	CHECK(endpoint_connect(client->end.endpoint, to, client->end.now_ns, &client->session) ==
	      0);
	for (unsigned i = 0; i < SESSION_SLOT_COUNT; i++)
		client->free[client->free_count++] = client->answers[i];
	return client;
}

static void rpc_close(void *context)
{
	struct client *client = context;

	endpoint_free(client->end.endpoint);
	free(client);
}

static unsigned rpc_send(void *context, unsigned count)
{
	struct client *client = context;
	unsigned sent = 0;

	while (sent < count && client->free_count > 0) {
		uint8_t *answer = client->free[client->free_count - 1];
		struct session_call call = {.bytes = client->request,
					    .size = client->size,
					    .answer = answer,
					    .answer_capacity = BYTES_MAX,
					    .deadline_ns = UINT64_MAX,
					    .tag = (uintptr_t)answer};

		if (session_call(client->session, &call, client->end.now_ns) != 0)
			break;
		client->free_count--;
		sent++;
	}
	port_flush(client->end.queue);
	return sent;
}

static unsigned rpc_poll(void *context)
{
	struct client *client = context;
	struct session_answer answers[SESSION_SLOT_COUNT];
	unsigned count;

	receive(&client->end);
	finish(&client->end);
	count = endpoint_take_answers(client->end.endpoint, answers, SESSION_SLOT_COUNT);
	for (unsigned i = 0; i < count; i++) {
		CHECK(answers[i].status == STATUS_OK && answers[i].size == client->size);
		client->free[client->free_count++] = (uint8_t *)(uintptr_t)answers[i].tag;
	}
	return count;
}

static const struct echo_load_ops rpc_ops = {.send = rpc_send, .poll = rpc_poll};

static const uint32_t sizes[] = {32, 256, 1024, 0};

static const struct echo_way way = {.name = "request",
				    .unit = "requests/s",
				    .sizes = sizes,
				    .overhead = FRAME_SIZE_HEAD,
				    .serve = rpc_serve,
				    .open = rpc_open,
				    .ops = &rpc_ops,
				    .close = rpc_close};

int main(int argc, char **argv)
{
	return echo_bench_main(argc, argv, &way);
}

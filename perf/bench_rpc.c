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

static unsigned take_frames(struct endpoint *endpoint, struct port_queue *queue,
			    struct port_frame *frames, uint64_t now_ns)
{
	unsigned count = port_receive(queue, frames, PORT_BURST_MAX);

	for (unsigned i = 0; i < count; i++)
		endpoint_input(endpoint, &frames[i].from, frames[i].bytes, frames[i].size, now_ns);
	return count;
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
	struct endpoint *endpoint = open_endpoint(queue, /* accept= */ true);
	struct port_frame frames[PORT_BURST_MAX];

	while (!atomic_load_explicit(stop, memory_order_relaxed)) {
		uint64_t now_ns = clock_now_ns();
		unsigned count = take_frames(endpoint, queue, frames, now_ns);

		answer_all(endpoint, now_ns);
		port_release(queue, frames, count);
		if (endpoint_due_ns(endpoint) <= now_ns)
			endpoint_tick(endpoint, now_ns);
		port_flush(queue);
	}
	endpoint_free(endpoint);
}

/* --- the client --- */

struct client {
	struct port_queue *queue;
	struct endpoint *endpoint;
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
	client->queue = queue;
	client->size = size;
	client->endpoint = open_endpoint(queue, /* accept= */ false);
	CHECK(endpoint_connect(client->endpoint, to, clock_now_ns(), &client->session) == 0);
	for (unsigned i = 0; i < SESSION_SLOT_COUNT; i++)
		client->free[client->free_count++] = client->answers[i];
	return client;
}

static void rpc_close(void *context)
{
	struct client *client = context;

	endpoint_free(client->endpoint);
	free(client);
}

static unsigned rpc_send(void *context, unsigned count)
{
	struct client *client = context;
	uint64_t now_ns = clock_now_ns();
	unsigned sent = 0;

	while (sent < count && client->free_count > 0) {
		uint8_t *answer = client->free[client->free_count - 1];
		struct session_call call = {.bytes = client->request,
					    .size = client->size,
					    .answer = answer,
					    .answer_capacity = BYTES_MAX,
					    .deadline_ns = UINT64_MAX,
					    .tag = (uintptr_t)answer};

		if (session_call(client->session, &call, now_ns) != 0)
			break;
		client->free_count--;
		sent++;
	}
	port_flush(client->queue);
	return sent;
}

static unsigned rpc_poll(void *context)
{
	struct client *client = context;
	struct session_answer answers[SESSION_SLOT_COUNT];
	struct port_frame frames[PORT_BURST_MAX];
	uint64_t now_ns = clock_now_ns();
	unsigned count = take_frames(client->endpoint, client->queue, frames, now_ns);

	port_release(client->queue, frames, count);
	if (endpoint_due_ns(client->endpoint) <= now_ns) {
		endpoint_tick(client->endpoint, now_ns);
		port_flush(client->queue);
	}
	count = endpoint_take_answers(client->endpoint, answers, SESSION_SLOT_COUNT);
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

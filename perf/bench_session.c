/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a session costs: requests echoed between two endpoints in memory, in
 * bursts as a poll core handles them, against the same frames only copied and
 * summed (a CRC when they are sent, a copy as a port makes it, a CRC when they
 * arrive). The difference is the session: slots, windows, timers, memory.
 */

#include "base/check.h"
#include "base/clock.h"
#include "base/crc.h"
#include "perf/lib/paired.h"
#include "proto/frame.h"
#include "proto/session.h"
#include "proto/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BENCH_BURST     32
#define BENCH_RING      1024 /* frames under way, a power of 2 */
#define BENCH_SLOT      2048
#define BENCH_LARGE     65536
#define BENCH_ROUNDS_NS (20 * NS_PER_MS)

/* What one end sent and the other hasn't seen. */
struct ring {
	uint8_t frames[BENCH_RING][BENCH_SLOT];
	uint32_t sizes[BENCH_RING];
	unsigned head, tail;
};

struct bench {
	struct ring to_server, to_client;
	struct endpoint *client, *server;
	struct session *session;
	uint64_t now_ns;
	uint32_t size;
	unsigned calls; /* of a burst */
	uint8_t request[BENCH_LARGE];
	uint8_t answers[BENCH_BURST][BENCH_LARGE];
};

static const struct addr client_addr = {.ip = {[15] = 1}, .port = 1};
static const struct addr server_addr = {.ip = {[15] = 1}, .port = 2};

static void ring_push(struct ring *ring, const void *head, size_t head_size, const void *body,
		      size_t body_size)
{
	unsigned at = ring->head++ % BENCH_RING;

	CHECK(ring->head - ring->tail <= BENCH_RING && head_size + body_size <= BENCH_SLOT);
	memcpy(ring->frames[at], head, head_size);
	if (body_size)
		memcpy(ring->frames[at] + head_size, body, body_size);
	ring->sizes[at] = (uint32_t)(head_size + body_size);
}

static void ring_send(void *context, const struct addr *to, const void *head, size_t head_size,
		      const void *body, size_t body_size)
{
	(void)to;
	ring_push(context, head, head_size, body, body_size);
}

static const struct session_ops ops = {.send = ring_send};

static void serve(struct bench *bench)
{
	struct request *requests[BENCH_BURST];
	unsigned count;

	while ((count = endpoint_take_requests(bench->server, requests, BENCH_BURST))) {
		for (unsigned i = 0; i < count; i++) {
			struct request_view view = request_view(requests[i]);
			uint8_t *answer = request_answer_buffer(requests[i], view.size);

			CHECK(answer);
			memcpy(answer, view.bytes, view.size);
			request_answer(requests[i], STATUS_OK, 0, view.size, bench->now_ns);
		}
	}
}

static void deliver(struct bench *bench, struct ring *ring, struct endpoint *to,
		    const struct addr *from)
{
	for (unsigned end = ring->head; ring->tail != end; ring->tail++) {
		unsigned at = ring->tail % BENCH_RING;

		endpoint_input(to, from, ring->frames[at], ring->sizes[at], bench->now_ns);
	}
}

/* One burst of calls until all are answered. */
static void echo_burst(struct bench *bench)
{
	struct session_answer answers[BENCH_BURST];
	unsigned done = 0;

	for (unsigned i = 0; i < bench->calls; i++) {
		struct session_call call = {.bytes = bench->request,
					    .size = bench->size,
					    .answer = bench->answers[i],
					    .answer_capacity = BENCH_LARGE,
					    .deadline_ns = UINT64_MAX};

		CHECK(session_call(bench->session, &call, bench->now_ns) == 0);
	}
	while (done < bench->calls) {
		deliver(bench, &bench->to_server, bench->server, &client_addr);
		serve(bench);
		deliver(bench, &bench->to_client, bench->client, &server_addr);
		endpoint_tick(bench->client, bench->now_ns);
		endpoint_tick(bench->server, bench->now_ns);
		for (unsigned count;
		     (count = endpoint_take_answers(bench->client, answers, BENCH_BURST));)
			for (done += count; count; count--)
				CHECK(answers[count - 1].status == STATUS_OK);
		bench->now_ns += 10 * NS_PER_US;
	}
	/* Releases of large answers. */
	deliver(bench, &bench->to_server, bench->server, &client_addr);
	deliver(bench, &bench->to_client, bench->client, &server_addr);
}

/* The same bytes in as many frames, without a session: sum, copy, sum, twice. */
static void bare_burst(struct bench *bench)
{
	static volatile uint32_t sink;
	uint8_t head[FRAME_SIZE_HEAD] = {0};
	uint32_t body_max = SESSION_FRAME_SIZE_MIN - FRAME_SIZE_HEAD;

	for (unsigned i = 0; i < 2 * bench->calls; i++) {
		uint32_t offset = 0;

		do {
			uint32_t body = MIN(bench->size - offset, body_max);
			unsigned at = bench->to_server.head % BENCH_RING;
			const uint8_t *from = bench->request + offset;

			head[0] = (uint8_t)crc32c_extend(crc32c(head + 4, sizeof(head) - 4), from,
							 body);
			ring_push(&bench->to_server, head, sizeof(head), from, body);
			sink = crc32c(bench->to_server.frames[at] + 4,
				      bench->to_server.sizes[at] - 4);
			bench->to_server.tail++;
			memcpy(bench->answers[i / 2] + offset,
			       bench->to_server.frames[at] + sizeof(head), body);
			offset += body;
		} while (offset < bench->size);
	}
	(void)sink;
}

/* Nanoseconds that one request and its answer take. */
static double measure(struct bench *bench, void (*burst)(struct bench *))
{
	uint64_t begin_ns = clock_now_ns(), end_ns, bursts = 0;

	do {
		burst(bench);
		bursts++;
		end_ns = clock_now_ns();
	} while (end_ns - begin_ns < BENCH_ROUNDS_NS);
	return (double)(end_ns - begin_ns) / (double)(bursts * bench->calls);
}

static void bench_open(struct bench *bench)
{
	struct endpoint_config config = {.session_count = 4,
					 .frame_size = SESSION_FRAME_SIZE_MIN,
					 .message_size_max = 1 << 20,
					 .large_count = 64,
					 .accept = true};

	bench->now_ns = 1000;
	CHECK(endpoint_new(&config, &ops, &bench->to_client, &bench->server) == 0);
	config.accept = false;
	CHECK(endpoint_new(&config, &ops, &bench->to_server, &bench->client) == 0);
	CHECK(endpoint_connect(bench->client, &server_addr, bench->now_ns, &bench->session) == 0);
	for (unsigned i = 0; i < 3; i++) {
		deliver(bench, &bench->to_server, bench->server, &client_addr);
		deliver(bench, &bench->to_client, bench->client, &server_addr);
	}
	CHECK(session_is_open(bench->session));
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		uint32_t size;
		unsigned calls;
	} cases[] = {
		{"session echo of 32 bytes", 32, BENCH_BURST},
		{"session echo of 512 bytes", 512, BENCH_BURST},
		{"session echo of one full frame", SESSION_FRAME_SIZE_MIN - FRAME_SIZE_HEAD,
		 BENCH_BURST},
		{"session echo of 64 KiB", BENCH_LARGE, 1},
	};
	struct bench *bench = calloc(1, sizeof(*bench));
	bool json = argc > 1 && !strcmp(argv[1], "--json");

	CHECK(bench);
	bench_open(bench);
	for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
		struct paired paired = {.name = cases[i].name, .unit = "ns"};

		bench->size = cases[i].size;
		bench->calls = cases[i].calls;
		for (unsigned j = 0; j < PAIRED_REPEAT; j++) {
			double bare_ns = measure(bench, bare_burst);

			paired_add(&paired, bare_ns, measure(bench, echo_burst));
		}
		paired_print(&paired, json);
	}
	endpoint_free(bench->client);
	endpoint_free(bench->server);
	free(bench);
	return 0;
}

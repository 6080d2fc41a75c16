/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fuzz frames: datagrams of anybody's making, at both ends of a session
 *
 * An input is a list of records: an operation, a size and so many bytes.
 *
 *      0  u8   operation: low 3 bits what, the others how
 *      1  u8   size of the bytes behind
 *      2  u8   parameter
 *      3       bytes
 *
 *   0  the bytes are a datagram, as they are
 *   1  the bytes are a header from offset 6 (version, kind, token, ...) on, and
 *      'parameter' times 8 bytes of body follow; CRC and magic are made right.
 *      With bit 3 the token is the session's own, with bit 4 the number is one
 *      under way
 *   2  the oldest frame that the other end sent is delivered, with the bytes
 *      xored onto its header and its CRC made right
 *   3  it is lost
 *   4  it comes twice
 *   5  time passes: 2^(parameter mod 40) ns
 *   6  the client calls: 'parameter' times 64 bytes
 *   7  the server answers what it holds, with 'parameter' times 64 bytes
 *
 * Bit 7 chooses the end that receives: 0 the server, 1 the client.
 */

#include "base/byteorder.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/crc.h"
#include "proto/frame.h"
#include "proto/session.h"
#include "proto/session_internal.h"
#include "proto/status.h"

#include <stdlib.h>

#define FUZZ_QUEUE_MAX 64
#define FUZZ_HELD_MAX  SESSION_SLOT_COUNT
#define FUZZ_CALL_MAX  64
#define FUZZ_ANSWER    4096

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

struct datagram {
	uint8_t *bytes;
	size_t size;
};

struct end {
	struct endpoint *endpoint;
	struct addr addr;
	struct datagram sent[FUZZ_QUEUE_MAX]; /* oldest first */
	unsigned sent_count;
	unsigned burst; /* frames since the last input */
	size_t burst_size;
};

struct world {
	uint64_t now_ns;
	struct end client, server;
	struct session *session;
	struct request *held[FUZZ_HELD_MAX];
	unsigned held_count;
	unsigned calls, completed;
	uint8_t *answers[FUZZ_CALL_MAX];
	uint8_t message[255 * 64];
};

static void end_send(void *context, const struct addr *to, const void *head, size_t head_size,
		     const void *body, size_t body_size)
{
	struct end *end = context;
	struct datagram *datagram;

	CHECK(head_size + body_size <= SESSION_FRAME_SIZE_MAX);
	end->burst++;
	end->burst_size += head_size + body_size;
	if (end->sent_count == FUZZ_QUEUE_MAX)
		return;
	datagram = &end->sent[end->sent_count++];
	datagram->size = head_size + body_size;
	datagram->bytes = malloc(datagram->size);
	memcpy(datagram->bytes, head, head_size);
	if (body_size)
		memcpy(datagram->bytes + head_size, body, body_size);
}

static const struct session_ops ops = {.send = end_send};

static void end_open(struct end *end, bool accept, uint16_t port)
{
	static const uint8_t secret[SESSION_SECRET_SIZE] = "of the fuzzer";
	const struct endpoint_config config = {.session_count = 2,
					       .frame_size = SESSION_FRAME_SIZE_MIN,
					       .message_size_max = 65536,
					       .large_count = 2,
					       .secret = secret,
					       .accept = accept,
					       .seed = port};

	end->addr = (struct addr){.ip = {[15] = 1}, .port = port};
	CHECK(endpoint_new(&config, &ops, end, &end->endpoint) == 0);
}

static bool end_shift(struct end *end, struct datagram *ret_datagram)
{
	if (!end->sent_count)
		return false;
	*ret_datagram = end->sent[0];
	memmove(end->sent, end->sent + 1, --end->sent_count * sizeof(*end->sent));
	return true;
}

static void collect(struct world *world)
{
	struct session_answer answer;
	struct request *request;

	while (endpoint_take_requests(world->server.endpoint, &request, 1)) {
		CHECK(request_view(request).size <= 65536);
		if (world->held_count == FUZZ_HELD_MAX || request_keep(request))
			request_answer(request, STATUS_OVERLOADED, 0, 0, world->now_ns);
		else
			world->held[world->held_count++] = request;
	}
	while (endpoint_take_answers(world->client.endpoint, &answer, 1)) {
		CHECK(answer.tag < world->calls && world->answers[answer.tag]);
		CHECK(answer.size <= FUZZ_ANSWER);
		free(world->answers[answer.tag]);
		world->answers[answer.tag] = NULL;
		world->completed++;
	}
}

/*
 * One datagram for one end, from an allocation of its size. An executor never
 * answers with more than it was sent, or than one frame; a requester sends no
 * more than its credits and repeats.
 */
static void input(struct world *world, bool to_client, const uint8_t *bytes, size_t size)
{
	struct end *to = to_client ? &world->client : &world->server;
	struct end *from = to_client ? &world->server : &world->client;
	uint64_t sessions = endpoint_stats(world->server.endpoint)->sessions;
	uint8_t *copy = malloc(size ? size : 1);

	if (size)
		memcpy(copy, bytes, size);
	to->burst = 0;
	to->burst_size = 0;
	endpoint_input(to->endpoint, &from->addr, copy, size, world->now_ns);
	CHECK(to->burst <= (to_client ? 3 * SESSION_CREDIT_COUNT : 1));
	CHECK(to_client || sessions || to->burst_size <= size);
	collect(world);
	free(copy);
}

static void input_made(struct world *world, uint8_t how, uint8_t parameter, const uint8_t *bytes,
		       size_t size)
{
	uint8_t made[FRAME_SIZE_HEAD + 255 * 8] = {0};
	struct session *session = how & 0x80 ? world->session : world->server.endpoint->sessions;
	size_t made_size = FRAME_SIZE_HEAD + (size_t)parameter * 8;

	memcpy(made + 6, bytes, MIN(size, sizeof(made) - 6));
	store_le16(made + 4, FRAME_MAGIC);
	if (how & 0x08)
		store_le64(made + 8, session->token);
	if (how & 0x10)
		store_le64(made + 16, world->session->calls[made[16] % SESSION_SLOT_COUNT].number);
	store_le32(made, crc32c(made + 4, made_size - 4));
	input(world, how & 0x80, made, made_size);
}

static void input_sent(struct world *world, uint8_t how, const uint8_t *bytes, size_t size)
{
	struct datagram datagram;

	if (!end_shift(how & 0x80 ? &world->server : &world->client, &datagram))
		return;
	if ((how & 7) != 3) {
		for (size_t i = 0; i < size && i + 6 < datagram.size; i++)
			datagram.bytes[i + 6] ^= bytes[i];
		store_le32(datagram.bytes, crc32c(datagram.bytes + 4, datagram.size - 4));
		input(world, how & 0x80, datagram.bytes, datagram.size);
	}
	if ((how & 7) == 4)
		input(world, how & 0x80, datagram.bytes, datagram.size);
	free(datagram.bytes);
}

static void pass_time(struct world *world, uint8_t parameter)
{
	world->now_ns += UINT64_C(1) << parameter % 40;
	endpoint_tick(world->client.endpoint, world->now_ns);
	endpoint_tick(world->server.endpoint, world->now_ns);
	CHECK(endpoint_due_ns(world->client.endpoint) > world->now_ns);
	CHECK(endpoint_due_ns(world->server.endpoint) > world->now_ns);
	collect(world);
}

static void call(struct world *world, uint8_t parameter)
{
	struct session_call call = {.bytes = world->message,
				    .size = parameter * 64,
				    .answer_capacity = FUZZ_ANSWER,
				    .deadline_ns =
					    parameter % 3 ? UINT64_MAX : world->now_ns + NS_PER_MS,
				    .tag = world->calls};

	if (world->calls == FUZZ_CALL_MAX)
		return;
	call.answer = world->answers[world->calls] = malloc(FUZZ_ANSWER);
	if (session_call(world->session, &call, world->now_ns) == 0) {
		world->calls++;
		return;
	}
	free(world->answers[world->calls]);
	world->answers[world->calls] = NULL;
}

static void answer(struct world *world, uint8_t parameter)
{
	for (unsigned i = 0; i < world->held_count; i++) {
		uint8_t *bytes = request_answer_buffer(world->held[i], parameter * 64);

		if (bytes)
			memset(bytes, 1, parameter * 64);
		request_answer(world->held[i], bytes ? STATUS_OK : STATUS_OVERLOADED, 0,
			       bytes ? parameter * 64 : 0, world->now_ns);
	}
	world->held_count = 0;
}

static void end_close(struct end *end)
{
	struct datagram datagram;

	CHECK(endpoint_busy_count(end->endpoint) == 0);
	CHECK(endpoint_stats(end->endpoint)->sessions == 0);
	CHECK(session_pool_used(&end->endpoint->pool) == 0);
	while (end_shift(end, &datagram))
		free(datagram.bytes);
	endpoint_free(end->endpoint);
}

/* Whatever came: every call completes once, and everything comes home. */
static void finish(struct world *world)
{
	answer(world, 1);
	session_close(world->session, world->now_ns);
	world->now_ns += 60 * NS_PER_S;
	endpoint_tick(world->server.endpoint, world->now_ns);
	answer(world, 1);
	collect(world);
	CHECK(world->completed == world->calls);
	end_close(&world->client);
	end_close(&world->server);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct world world;
	struct frame frame;

	world = (struct world){.now_ns = 1000};
	(void)frame_decode(bytes, size, &frame);
	end_open(&world.client, false, 1);
	end_open(&world.server, true, 2);
	CHECK(endpoint_connect(world.client.endpoint, &world.server.addr, world.now_ns,
			       &world.session) == 0);
	while (size >= 3) {
		uint8_t how = bytes[0], parameter = bytes[2];
		size_t taken = MIN(size - 3, bytes[1]);

		if ((how & 7) == 0)
			input(&world, how & 0x80, bytes + 3, taken);
		else if ((how & 7) == 1)
			input_made(&world, how, parameter, bytes + 3, taken);
		else if ((how & 7) <= 4)
			input_sent(&world, how, bytes + 3, taken);
		else if ((how & 7) == 5)
			pass_time(&world, parameter);
		else if ((how & 7) == 6)
			call(&world, parameter);
		else
			answer(&world, parameter);
		bytes += 3 + taken;
		size -= 3 + taken;
	}
	finish(&world);
	return 0;
}

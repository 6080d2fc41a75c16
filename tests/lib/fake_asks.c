/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/fake_asks.h"

#include "tests/lib/test.h"

#include "base/byteorder.h"
#include "base/metric.h"
#include "proto/envelope.h"
#include "proto/message.h"
#include "proto/status.h"

#include <string.h>

static int ask(void *context, const struct addr *to, const struct session_call *call,
	       uint64_t now_ns)
{
	struct fake_asks *asks = context;
	struct envelope envelope;

	if (asks->result)
		return asks->result;
	assert_true(asks->count < FAKE_ASKS_MAX);
	assert_int_equal(envelope_decode(call->bytes, call->size, &envelope), 0);
	asks->list[asks->count++] = (struct fake_ask){
		.call = *call,
		.to = *to,
		.vshard = envelope.vshard,
		.type = envelope.type,
	};
	asks->total++;
	return 0;
}

const struct leg_ops fake_asks_ops = {.ask = ask};

struct fake_ask fake_asks_take(struct fake_asks *asks, uint32_t index)
{
	struct fake_ask taken = asks->list[index];

	assert_true(index < asks->count);
	asks->count--;
	memmove(&asks->list[index], &asks->list[index + 1],
		(asks->count - index) * sizeof(asks->list[0]));
	return taken;
}

struct session_answer fake_asks_status(const struct fake_ask *ask, uint16_t status, uint32_t hint)
{
	return (struct session_answer){.tag = ask->call.tag, .status = status, .hint = hint};
}

/* Puts the header before a payload that stands behind its place already. */
static struct session_answer finish(const struct fake_ask *ask, uint16_t type, uint32_t vshard,
				    size_t size)
{
	struct envelope envelope = {
		.type = type,
		.vshard = vshard,
		.payload_size = (uint32_t)size,
	};
	struct session_answer done = fake_asks_status(ask, STATUS_OK, 0);

	assert_true(size > 0);
	envelope_encode_header(&envelope, ask->call.answer);
	done.size = (uint32_t)(ENVELOPE_SIZE + size);
	return done;
}

struct session_answer fake_asks_message(const struct fake_ask *ask,
					const struct vector_answer *answer, uint16_t type,
					uint32_t vshard)
{
	uint8_t *to = (uint8_t *)ask->call.answer + ENVELOPE_SIZE;

	return finish(ask, type, vshard,
		      vector_answer_encode(answer, to, ask->call.answer_capacity - ENVELOPE_SIZE));
}

struct session_answer fake_asks_hits(const struct fake_ask *ask, const struct vector_hit *hits,
				     uint32_t count)
{
	struct vector_answer answer = {
		.shard_id = ask->vshard,
		.hits = hits,
		.hit_count = count,
		.success = true,
	};

	return fake_asks_message(ask, &answer, MESSAGE_VECTOR_SCATTER_RESPONSE, ask->vshard);
}

struct session_answer fake_asks_centroid(const struct fake_ask *ask, const float *centroid,
					 uint32_t dim)
{
	uint8_t body[CENTROID_BODY_HEAD + CENTROID_ROW_HEAD + 64 * 4] = {0};
	uint8_t *to = (uint8_t *)ask->call.answer + ENVELOPE_SIZE;
	struct coarse_answer answer = {
		.shard_id = ask->vshard,
		.generation = 1,
		.kind = COARSE_CENTROIDS,
		.metric = METRIC_L2,
		.dim = dim,
		.vector_count = 10,
		.body = body,
		.body_size = CENTROID_BODY_HEAD + CENTROID_ROW_HEAD + dim * 4,
	};

	assert_true(dim <= 64);
	store_le32(body, 1);
	store_le32(body + 8, 10);
	for (uint32_t i = 0; i < dim; i++)
		store_lef32(body + 16 + i * 4, centroid[i]);
	return finish(ask, MESSAGE_VECTOR_COARSE_ROUTE_RESPONSE, ask->vshard,
		      coarse_answer_encode(&answer, to, ask->call.answer_capacity - ENVELOPE_SIZE));
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/reply.h"

#include "base/check.h"
#include "proto/message.h"
#include "proto/status.h"

#include <string.h>

void reply_status(const struct dispatch_item *item, uint16_t status, uint32_t hint, uint64_t now_ns)
{
	request_answer(item->request, status, hint, 0, now_ns);
}

uint8_t *reply_payload(const struct dispatch_item *item, size_t capacity)
{
	uint8_t *bytes;

	bytes = request_answer_buffer(item->request, (uint32_t)(ENVELOPE_SIZE + capacity));
	return bytes ? bytes + ENVELOPE_SIZE : NULL;
}

void reply_send_hint(const struct dispatch_item *item, uint16_t type, uint16_t status,
		     uint32_t hint, uint8_t *payload, size_t size, uint64_t now_ns)
{
	struct envelope answer = envelope_answer(&item->envelope, type);

	answer.payload_size = (uint32_t)size;
	envelope_encode_header(&answer, payload - ENVELOPE_SIZE);
	request_answer(item->request, status, hint, (uint32_t)(ENVELOPE_SIZE + size), now_ns);
}

void reply_send(const struct dispatch_item *item, uint16_t type, uint16_t status, uint8_t *payload,
		size_t size, uint64_t now_ns)
{
	reply_send_hint(item, type, status, 0, payload, size, now_ns);
}

NOINLINE void reply_words(const struct dispatch_item *item, uint16_t status, const char *text,
			  uint64_t now_ns)
{
	struct vector_answer answer = {
		.shard_id = item->envelope.vshard,
		.has_error = true,
		.error = {text, (uint32_t)strlen(text)},
	};
	size_t size = vector_answer_size(&answer);
	uint8_t *payload = reply_payload(item, size);

	if (!payload) {
		reply_status(item, status, 0, now_ns);
		return;
	}
	CHECK(vector_answer_encode(&answer, payload, size) == size);
	reply_send(item, MESSAGE_VECTOR_SCATTER_RESPONSE, status, payload, size, now_ns);
}

uint16_t reply_hits(const struct dispatch_item *item, const struct vector_answer *answer,
		    uint32_t message_size_max, uint64_t now_ns)
{
	size_t size = vector_answer_size(answer);
	uint8_t *payload;

	if (unlikely(ENVELOPE_SIZE + size > message_size_max))
		return STATUS_TOO_LARGE;
	payload = reply_payload(item, size);
	if (unlikely(!payload))
		return STATUS_OVERLOADED;
	CHECK(vector_answer_encode(answer, payload, size) == size);
	reply_send(item, MESSAGE_VECTOR_SCATTER_RESPONSE, STATUS_OK, payload, size, now_ns);
	return STATUS_OK;
}

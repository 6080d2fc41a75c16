/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/envelope.h"

#include "base/byteorder.h"
#include "base/check.h"
#include "proto/message.h"

void envelope_encode_header(const struct envelope *envelope, uint8_t to[ENVELOPE_SIZE])
{
	DCHECK(message_find(envelope->type));
	store_le16(to, ENVELOPE_VERSION);
	store_le16(to + 2, envelope->type);
	store_le64(to + 4, envelope->source_node);
	store_le64(to + 12, envelope->target_node);
	store_le32(to + 20, envelope->vshard);
	store_le32(to + 24, envelope->payload_size);
}

size_t envelope_encode(const struct envelope *envelope, uint8_t *to, size_t capacity)
{
	if (capacity < ENVELOPE_SIZE || capacity - ENVELOPE_SIZE < envelope->payload_size)
		return 0;
	envelope_encode_header(envelope, to);
	if (envelope->payload_size)
		memcpy(to + ENVELOPE_SIZE, envelope->payload, envelope->payload_size);
	return ENVELOPE_SIZE + (size_t)envelope->payload_size;
}

int envelope_decode(const uint8_t *bytes, size_t size, struct envelope *ret_envelope)
{
	uint32_t payload_size;
	uint16_t type;

	if (size < ENVELOPE_SIZE)
		return ENVELOPE_E_SHORT;
	if (load_le16(bytes) != ENVELOPE_VERSION)
		return ENVELOPE_E_VERSION;
	type = load_le16(bytes + 2);
	if (!message_find(type))
		return ENVELOPE_E_TYPE;
	payload_size = load_le32(bytes + 24);
	if (payload_size > ENVELOPE_PAYLOAD_MAX)
		return ENVELOPE_E_LARGE;
	if (size - ENVELOPE_SIZE < payload_size)
		return ENVELOPE_E_SHORT;
	*ret_envelope = (struct envelope){
		.type = type,
		.source_node = load_le64(bytes + 4),
		.target_node = load_le64(bytes + 12),
		.vshard = load_le32(bytes + 20),
		.payload_size = payload_size,
		.payload = bytes + ENVELOPE_SIZE,
	};
	return 0;
}

const char *envelope_error(int error)
{
	switch (error) {
	case ENVELOPE_E_SHORT:
		return "envelope is cut short";
	case ENVELOPE_E_VERSION:
		return "envelope version is not 2";
	case ENVELOPE_E_TYPE:
		return "unknown message type";
	case ENVELOPE_E_LARGE:
		return "payload is larger than 64 MiB";
	default:
		return "no envelope error";
	}
}

struct envelope envelope_answer(const struct envelope *request, uint16_t type)
{
	return (struct envelope){
		.type = type,
		.source_node = request->target_node,
		.target_node = request->source_node,
		.vshard = request->vshard,
	};
}

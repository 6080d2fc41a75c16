/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/rpc_frame.h"

#include "base/byteorder.h"
#include "base/crc.h"

size_t rpc_frame_encode(const struct rpc_frame *frame, uint8_t *to, size_t capacity)
{
	if (frame->payload_size > RPC_FRAME_PAYLOAD_MAX || capacity < RPC_FRAME_SIZE ||
	    capacity - RPC_FRAME_SIZE < frame->payload_size)
		return 0;
	to[0] = RPC_FRAME_VERSION;
	to[1] = frame->type;
	store_le32(to + 2, frame->payload_size);
	store_le32(to + 6, crc32c(frame->payload, frame->payload_size));
	store_le64(to + 10, frame->epoch);
	if (frame->payload_size)
		memcpy(to + RPC_FRAME_SIZE, frame->payload, frame->payload_size);
	return RPC_FRAME_SIZE + (size_t)frame->payload_size;
}

/* The order of the checks is the protocol's: the version before the length. */
int rpc_frame_decode(const uint8_t *bytes, size_t size, struct rpc_frame *ret_frame)
{
	uint32_t payload_size;

	if (size == 0)
		return RPC_FRAME_E_SHORT;
	if (bytes[0] != RPC_FRAME_VERSION)
		return RPC_FRAME_E_VERSION;
	if (size < RPC_FRAME_SIZE)
		return RPC_FRAME_E_SHORT;
	payload_size = load_le32(bytes + 2);
	if (payload_size > RPC_FRAME_PAYLOAD_MAX)
		return RPC_FRAME_E_LARGE;
	if (size - RPC_FRAME_SIZE < payload_size)
		return RPC_FRAME_E_SHORT;
	if (crc32c(bytes + RPC_FRAME_SIZE, payload_size) != load_le32(bytes + 6))
		return RPC_FRAME_E_CHECKSUM;
	*ret_frame = (struct rpc_frame){
		.type = bytes[1],
		.epoch = load_le64(bytes + 10),
		.payload_size = payload_size,
		.payload = bytes + RPC_FRAME_SIZE,
	};
	return 0;
}

const char *rpc_frame_error(int error)
{
	switch (error) {
	case RPC_FRAME_E_SHORT:
		return "RPC frame is cut short";
	case RPC_FRAME_E_VERSION:
		return "RPC frame version is not 3";
	case RPC_FRAME_E_LARGE:
		return "RPC frame's payload is larger than 64 MiB";
	case RPC_FRAME_E_CHECKSUM:
		return "RPC frame's checksum is wrong";
	default:
		return "no RPC frame error";
	}
}

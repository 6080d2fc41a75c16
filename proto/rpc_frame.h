/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Rpc_frame - how peers of the original frame an envelope
 *
 * 18 bytes, little endian, then the payload (protocol section 3.2,
 * docs/format/rpc_frame.md). Tern's own transport has a frame of its own; this
 * one is for talking to others, inside an auth_envelope.
 *
 *      0  u8   frame version, 3
 *      1  u8   RPC type, 15 for a vShard envelope
 *      2  u32  payload size
 *      6  u32  CRC-32C of the payload
 *     10  u64  cluster epoch of the sender, 0 when it knows none
 *     18       payload
 *
 * Threads: any; nothing here has state.
 */

#include <stddef.h>
#include <stdint.h>

#define RPC_FRAME_VERSION 3
#define RPC_FRAME_SIZE    18

/* Bytes behind the header (protocol section 2.1). */
#define RPC_FRAME_PAYLOAD_MAX (UINT32_C(64) << 20)

/* The types that a vShard service meets; the bodies of all others are another format. */
enum rpc_frame_type {
	RPC_FRAME_PING = 9,
	RPC_FRAME_PONG = 10,
	RPC_FRAME_VSHARD = 15, /* a vShard envelope, request or answer */
};

enum {
	RPC_FRAME_E_SHORT = 1, /* fewer bytes than a header, or than the header promises */
	RPC_FRAME_E_VERSION,   /* the version is not 3 */
	RPC_FRAME_E_LARGE,     /* the payload is larger than RPC_FRAME_PAYLOAD_MAX */
	RPC_FRAME_E_CHECKSUM,  /* the payload is not what was sent */
};

struct rpc_frame {
	uint8_t type; /* any; enum rpc_frame_type names some */
	uint64_t epoch;
	uint32_t payload_size;
	const uint8_t *payload; /* borrows from the buffer that was decoded */
};

/*
 * Writes header and payload. Returns the bytes written, or 0 when they don't
 * fit into 'capacity' or the payload is over the limit.
 */
size_t rpc_frame_encode(const struct rpc_frame *frame, uint8_t *to, size_t capacity);

/*
 * Reads the frame at the front of 'bytes'; bytes behind it are ignored. The
 * payload borrows from 'bytes'.
 *
 * Returns 0 or one of RPC_FRAME_E_*, and then '*ret_frame' is as it was.
 */
int rpc_frame_decode(const uint8_t *bytes, size_t size, struct rpc_frame *ret_frame);

/* What an RPC_FRAME_E_* means, in words. */
const char *rpc_frame_error(int error);

/* The epoch to know after a frame with 'seen' arrived: epochs only grow, and 0 says nothing. */
static inline uint64_t rpc_frame_epoch(uint64_t known, uint64_t seen)
{
	return seen > known ? seen : known;
}

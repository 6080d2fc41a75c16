/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Envelope - what every vShard message is carried in
 *
 * 28 bytes, little endian, then the payload; the same bytes on every transport
 * (protocol section 3.1, docs/format/envelope.md).
 *
 *      0  u16  version, 2
 *      2  u16  message type
 *      4  u64  source node
 *     12  u64  target node, 0 when the routing table decides
 *     20  u32  vShard
 *     24  u32  payload size
 *     28       payload
 *
 * Deviation from the original, which accepts any: a version other than 2 is
 * refused. Bytes behind the payload are ignored, as there.
 *
 * Threads: any; nothing here has state.
 */

#include <stddef.h>
#include <stdint.h>

#define ENVELOPE_VERSION 2
#define ENVELOPE_SIZE    28

/* So that an envelope in an RPC frame stays below 64 MiB (protocol section 2.1). */
#define ENVELOPE_PAYLOAD_MAX ((UINT32_C(64) << 20) - 18 - ENVELOPE_SIZE)

enum {
	ENVELOPE_E_SHORT = 1, /* fewer bytes than a header, or than the header promises */
	ENVELOPE_E_VERSION,   /* the version is not 2 */
	ENVELOPE_E_TYPE,      /* no such message type */
	ENVELOPE_E_LARGE,     /* the payload is larger than ENVELOPE_PAYLOAD_MAX */
};

struct envelope {
	uint16_t type; /* one of enum message_type */
	uint64_t source_node;
	uint64_t target_node;
	uint32_t vshard;
	uint32_t payload_size;  /* bytes */
	const uint8_t *payload; /* borrows from the buffer that was decoded */
};

/* Writes the 28 bytes of the header; the payload is the caller's to place behind. */
void envelope_encode_header(const struct envelope *envelope, uint8_t to[ENVELOPE_SIZE]);

/*
 * Writes header and payload. Returns the bytes written, or 0 when they don't
 * fit into 'capacity'.
 */
size_t envelope_encode(const struct envelope *envelope, uint8_t *to, size_t capacity);

/*
 * Reads the envelope at the front of 'bytes'. The payload borrows from 'bytes'.
 *
 * Returns 0 or one of ENVELOPE_E_*, and then '*ret_envelope' is as it was.
 */
int envelope_decode(const uint8_t *bytes, size_t size, struct envelope *ret_envelope);

/* What an ENVELOPE_E_* means, in words. */
const char *envelope_error(int error);

/* The header that answers 'request': nodes swapped, same vShard, the answering type. */
struct envelope envelope_answer(const struct envelope *request, uint16_t type);

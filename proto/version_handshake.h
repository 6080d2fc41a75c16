/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Version_handshake - which envelope version two peers of the original speak
 *
 * The first thing on a connection, in each direction: a u32 size, big endian,
 * and a MessagePack body (protocol section 4, docs/format/rpc_frame.md).
 *
 *      asker     [[min u16, max u16], capabilities u64]
 *      answerer  [agreed u16, capabilities u64]
 *
 * The highest version that both speak is agreed on. The original still offers
 * version 1, which no code of its own can read any more; Tern offers 2 alone.
 *
 * Threads: any; nothing here has state.
 */

#include <stddef.h>
#include <stdint.h>

/* What Tern offers. */
#define VERSION_HANDSHAKE_LOWEST  2
#define VERSION_HANDSHAKE_HIGHEST 2

/* The u32 in front of the body. */
#define VERSION_HANDSHAKE_HEAD 4

/* Bytes of a body. */
#define VERSION_HANDSHAKE_BODY_MAX 4096

enum {
	VERSION_HANDSHAKE_E_SHORT = 1, /* fewer bytes than the head promises */
	VERSION_HANDSHAKE_E_LARGE,     /* the body is over VERSION_HANDSHAKE_BODY_MAX */
	VERSION_HANDSHAKE_E_MALFORMED, /* not the body that the format asks for */
	VERSION_HANDSHAKE_E_DISJOINT,  /* no version that both speak */
};

struct version_offer {
	uint16_t lowest;
	uint16_t highest;
	uint64_t capabilities; /* bits, none of them given a meaning */
};

struct version_answer {
	uint16_t agreed;
	uint64_t capabilities;
};

/* Encoders return the bytes written, or 0 when they don't fit. */
size_t version_offer_encode(const struct version_offer *offer, uint8_t *to, size_t capacity);
size_t version_answer_encode(const struct version_answer *answer, uint8_t *to, size_t capacity);

/*
 * Read head and body; bytes behind are ignored. Return 0 or
 * VERSION_HANDSHAKE_E_SHORT to _MALFORMED; an offer whose lowest is above its
 * highest version is malformed.
 */
int version_offer_decode(const uint8_t *bytes, size_t size, struct version_offer *ret_offer);
int version_answer_decode(const uint8_t *bytes, size_t size, struct version_answer *ret_answer);

/*
 * The highest version that both speak. An asker checks an answer with it too,
 * as an offer of nothing but the agreed version.
 *
 * Returns 0 or VERSION_HANDSHAKE_E_DISJOINT: the connection is closed then.
 */
int version_handshake_agree(const struct version_offer *ours, const struct version_offer *theirs,
			    uint16_t *ret_agreed);

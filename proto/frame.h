/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Frame - what one datagram of a session holds
 *
 * 48 bytes, little endian, then the body; docs/format/frame.md is normative.
 *
 *      0  u32  CRC-32C of everything behind it
 *      4  u16  magic
 *      6  u8   version
 *      7  u8   kind
 *      8  u64  token of the session, as its receiver chose it
 *     16  u64  request number; its low 5 bits are the slot
 *     24  u32  message size
 *     28  u32  time left to the deadline in microseconds, 0 when there is none
 *     32  u32  hint
 *     36  u16  index of the frame in its message
 *     38  u16  status
 *     40  u64  cluster epoch
 *     48       body
 *
 * The fields stand in their natural alignment, and what every frame needs to
 * find its session lies in the first 24 bytes.
 *
 * Threads: any; nothing here has state.
 */

#include <stddef.h>
#include <stdint.h>

#define FRAME_SIZE_HEAD 48
#define FRAME_MAGIC     0x6E54 /* "Tn" */

/* The only version there is. Handshake frames carry this number in every version. */
#define FRAME_VERSION 1

/* What HELLO, CHALLENGE, PROVE and ACCEPT carry: see proto/session_handshake.h. */
#define FRAME_HELLO_SIZE     56
#define FRAME_CHALLENGE_SIZE 56
#define FRAME_PROVE_SIZE     128
#define FRAME_ACCEPT_SIZE    96

/* The body of a kind that carries part of a message: any size up to the frame's end. */
#define FRAME_BODY_ANY UINT32_MAX

/*
 * FRAME_KIND(number, NAME, body size)
 *
 * An answer of the handshake is never larger than what it answers, so that a
 * forged sender address gains an attacker nothing.
 */
#define FRAME_KIND_LIST(FRAME_KIND)                                                                \
	FRAME_KIND(1, HELLO, FRAME_HELLO_SIZE)                                                     \
	FRAME_KIND(2, CHALLENGE, FRAME_CHALLENGE_SIZE)                                             \
	FRAME_KIND(3, PROVE, FRAME_PROVE_SIZE)                                                     \
	FRAME_KIND(4, ACCEPT, FRAME_ACCEPT_SIZE)                                                   \
	FRAME_KIND(5, REFUSE, 0)                                                                   \
	FRAME_KIND(6, REQUEST, FRAME_BODY_ANY)                                                     \
	FRAME_KIND(7, CREDIT, 0)                                                                   \
	FRAME_KIND(8, PULL, 0)                                                                     \
	FRAME_KIND(9, ANSWER, FRAME_BODY_ANY)                                                      \
	FRAME_KIND(10, RELEASE, 0)                                                                 \
	FRAME_KIND(11, RELEASED, 0)                                                                \
	FRAME_KIND(12, PING, 0)                                                                    \
	FRAME_KIND(13, PONG, 0)                                                                    \
	FRAME_KIND(14, CLOSE, 0)                                                                   \
	FRAME_KIND(15, RESET, 0)

enum frame_kind {
#define FRAME_KIND_ENUM(number, name, body_size) FRAME_##name = (number),
	FRAME_KIND_LIST(FRAME_KIND_ENUM)
#undef FRAME_KIND_ENUM
};

#define FRAME_KIND_COUNT 16 /* 0 is no kind */

enum {
	FRAME_E_SHORT = 1, /* fewer bytes than a header */
	FRAME_E_MAGIC,     /* not one of ours */
	FRAME_E_VERSION,   /* a version that we don't speak */
	FRAME_E_CHECKSUM,  /* the CRC doesn't fit the bytes */
	FRAME_E_KIND,      /* no such kind */
	FRAME_E_BODY,      /* the body's size is wrong for the kind */
};

struct frame {
	uint8_t kind; /* enum frame_kind */
	uint16_t index;
	uint16_t status;
	uint32_t message_size;
	uint32_t deadline_us;
	uint32_t hint;
	uint64_t token;
	uint64_t number;
	uint64_t epoch;
	uint32_t body_size;
	const uint8_t *body; /* borrows from what was decoded, or is to be sent */
};

/* Writes the header of a frame, with the CRC over it and over its body. */
void frame_encode(const struct frame *frame, uint8_t head[FRAME_SIZE_HEAD]);

/*
 * Reads a datagram. The body borrows from 'bytes'.
 *
 * Returns 0 or one of FRAME_E_*, and then '*ret_frame' is as it was.
 */
int frame_decode(const uint8_t *bytes, size_t size, struct frame *ret_frame);

/* The kind's name as in the list; "unknown" for a number that isn't one. */
const char *frame_kind_name(uint8_t kind);

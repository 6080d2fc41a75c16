/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Auth_envelope - proof of membership around every RPC frame
 *
 * For peers of the original (protocol section 3.3, docs/format/rpc_frame.md).
 * Little endian:
 *
 *      0  u8   envelope version, 1
 *      1  u64  sending node
 *      9  u64  sequence number, never 0
 *     17  u32  inner size
 *     21       inner: an RPC frame
 *      .  32   HMAC-SHA256 under the cluster's secret of all before
 *
 * No field means anything before the MAC was checked: auth_envelope_decode()
 * gives none away. The size in the head is needed earlier, to read a stream;
 * auth_envelope_size() bounds it.
 *
 * A sender's sequence numbers grow over its restarts: start from a clock in
 * microseconds, since peers remember the highest number they saw.
 *
 * Threads: any; a replay window belongs to one. The MAC is libcrypto's, which
 * allocates: not for poll cores.
 */

#include <stddef.h>
#include <stdint.h>

#define AUTH_ENVELOPE_VERSION  1
#define AUTH_ENVELOPE_HEAD     21
#define AUTH_ENVELOPE_MAC      32
#define AUTH_ENVELOPE_OVERHEAD (AUTH_ENVELOPE_HEAD + AUTH_ENVELOPE_MAC)
#define AUTH_ENVELOPE_KEY_SIZE 32

/* Bytes of the inner frame, its header included (protocol section 2.1). */
#define AUTH_ENVELOPE_INNER_MAX (UINT32_C(64) << 20)

enum {
	AUTH_ENVELOPE_E_SHORT = 1, /* fewer bytes than the head promises */
	AUTH_ENVELOPE_E_VERSION,   /* the version is not 1 */
	AUTH_ENVELOPE_E_LARGE,     /* the inner size is over AUTH_ENVELOPE_INNER_MAX */
	AUTH_ENVELOPE_E_LONG,      /* bytes behind the MAC */
	AUTH_ENVELOPE_E_MAC,       /* not made with this key */
	AUTH_ENVELOPE_E_SEQUENCE,  /* the sequence number is 0 */
	AUTH_ENVELOPE_E_REPEATED,  /* this sequence number was seen before */
	AUTH_ENVELOPE_E_STALE,     /* too far below the highest seen to tell */
};

struct auth_envelope {
	uint64_t from_node;
	uint64_t sequence;
	uint32_t inner_size;
	const uint8_t *inner; /* borrows from the buffer that was decoded */
};

/*
 * Writes head, inner frame and MAC. 'key' is AUTH_ENVELOPE_KEY_SIZE bytes; the
 * original's insecure mode is a key of zeros.
 *
 * Returns the bytes written, or 0 when they don't fit into 'capacity', the
 * inner frame is over the limit, or the sequence number is 0.
 */
size_t auth_envelope_encode(const struct auth_envelope *envelope, const uint8_t *key, uint8_t *to,
			    size_t capacity);

/*
 * What the whole envelope has to measure, from its first AUTH_ENVELOPE_HEAD
 * bytes: for readers of a stream. Not yet authenticated, so only good for
 * knowing how much more to read.
 *
 * Returns 0, or AUTH_ENVELOPE_E_SHORT, _VERSION or _LARGE.
 */
int auth_envelope_size(const uint8_t *head, size_t size, size_t *ret_size);

/*
 * Reads an envelope of exactly 'size' bytes and checks its MAC, in constant
 * time. The inner frame borrows from 'bytes'. Whether the sequence number is
 * fresh, replay_window_take() says.
 *
 * Returns 0 or AUTH_ENVELOPE_E_SHORT to _MAC, and then '*ret_envelope' is as it
 * was.
 */
int auth_envelope_decode(const uint8_t *bytes, size_t size, const uint8_t *key,
			 struct auth_envelope *ret_envelope);

/* What an AUTH_ENVELOPE_E_* means, in words. */
const char *auth_envelope_error(int error);

/* Sequence numbers below the highest one that are told apart, itself included. */
#define REPLAY_WINDOW_SIZE 64

/* What was seen of one sender, by its node id. All zero at the start. */
struct replay_window {
	uint64_t highest; /* 0: nothing yet */
	uint64_t seen;    /* bit i: highest - i was seen */
};

/*
 * Takes a sequence number whose MAC was checked.
 *
 * Returns 0, and the number is taken; or AUTH_ENVELOPE_E_SEQUENCE, _REPEATED or
 * _STALE, and the window is as it was.
 */
int replay_window_take(struct replay_window *window, uint64_t sequence);

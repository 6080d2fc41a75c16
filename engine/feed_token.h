/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Feed token - a position in a feed, to be kept by its reader
 *
 * Opaque to readers: it names the store and has a checksum, so one that was damaged, made up or
 * given by another store is refused. docs/format/feed.md has the bytes.
 *
 * Threads: any.
 */

#include <stdint.h>

/* Bytes of a token. */
#define FEED_TOKEN_SIZE 48

/* Characters of a token as text (hex), final zero not counted. */
#define FEED_TOKEN_LENGTH (2 * FEED_TOKEN_SIZE)

enum {
	FEED_TOKEN_E_INVALID = 1, /* no token: another size, damaged, of another version */
	FEED_TOKEN_E_STORE,       /* of another store */
};

/* Before the index-th event of a number (there may be no such: then it is behind that number). */
struct feed_position {
	uint64_t seqno;
	uint32_t index;
};

void feed_token_encode(struct feed_position position, const uint8_t store[16],
		       uint8_t token[FEED_TOKEN_SIZE]);

/* Returns 0, FEED_TOKEN_E_INVALID or FEED_TOKEN_E_STORE. */
int feed_token_decode(const uint8_t token[FEED_TOKEN_SIZE], const uint8_t store[16],
		      struct feed_position *ret_position);

/* The same as text, with a final zero. */
void feed_token_print(struct feed_position position, const uint8_t store[16],
		      char text[FEED_TOKEN_LENGTH + 1]);
int feed_token_parse(const char *text, const uint8_t store[16], struct feed_position *ret_position);

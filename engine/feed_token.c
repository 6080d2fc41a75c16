/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/feed_token.h"

#include "base/byteorder.h"
#include "base/crc.h"
#include "base/hex.h"

#include <string.h>

#define VERSION UINT32_C(1)

/* docs/format/feed.md */
enum {
	AT_MAGIC = 0,
	AT_VERSION = 8,
	AT_INDEX = 12,
	AT_STORE = 16,
	AT_SEQNO = 32,
	AT_RESERVED = 40,
	AT_CRC = 44,
};

static const char magic[8] = "TERNFEED";

void feed_token_encode(struct feed_position position, const uint8_t store[16],
		       uint8_t token[FEED_TOKEN_SIZE])
{
	memcpy(token + AT_MAGIC, magic, sizeof(magic));
	store_le32(token + AT_VERSION, VERSION);
	store_le32(token + AT_INDEX, position.index);
	memcpy(token + AT_STORE, store, 16);
	store_le64(token + AT_SEQNO, position.seqno);
	store_le32(token + AT_RESERVED, 0);
	store_le32(token + AT_CRC, crc32c(token, AT_CRC));
}

int feed_token_decode(const uint8_t token[FEED_TOKEN_SIZE], const uint8_t store[16],
		      struct feed_position *ret_position)
{
	if (memcmp(token + AT_MAGIC, magic, sizeof(magic)) != 0 ||
	    load_le32(token + AT_CRC) != crc32c(token, AT_CRC) ||
	    load_le32(token + AT_VERSION) != VERSION || load_le32(token + AT_RESERVED) != 0)
		return FEED_TOKEN_E_INVALID;
	if (memcmp(token + AT_STORE, store, 16) != 0)
		return FEED_TOKEN_E_STORE;
	ret_position->seqno = load_le64(token + AT_SEQNO);
	ret_position->index = load_le32(token + AT_INDEX);
	return 0;
}

void feed_token_print(struct feed_position position, const uint8_t store[16],
		      char text[FEED_TOKEN_LENGTH + 1])
{
	uint8_t token[FEED_TOKEN_SIZE];

	feed_token_encode(position, store, token);
	hex_write(token, sizeof(token), text);
	text[FEED_TOKEN_LENGTH] = 0;
}

/* Only what feed_token_print() writes: one position has one text. */
int feed_token_parse(const char *text, const uint8_t store[16], struct feed_position *ret_position)
{
	uint8_t token[FEED_TOKEN_SIZE];
	char written[FEED_TOKEN_LENGTH];

	if (strlen(text) != FEED_TOKEN_LENGTH || !hex_read(text, sizeof(token), token))
		return FEED_TOKEN_E_INVALID;
	hex_write(token, sizeof(token), written);
	if (memcmp(text, written, sizeof(written)) != 0)
		return FEED_TOKEN_E_INVALID;
	return feed_token_decode(token, store, ret_position);
}

/* SPDX-License-Identifier: Apache-2.0 */

/* Any bytes as a token, and as the text of one: what is taken is what would be written. */

#include "base/check.h"
#include "engine/feed_token.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const uint8_t store[16] = "a store";

static void try_text(const uint8_t *bytes, size_t size)
{
	char *text = malloc(size + 1), again[FEED_TOKEN_LENGTH + 1];
	struct feed_position position;

	CHECK(text);
	if (size > 0)
		memcpy(text, bytes, size);
	text[size] = 0;
	if (feed_token_parse(text, store, &position) == 0) {
		feed_token_print(position, store, again);
		CHECK(strcmp(text, again) == 0);
	}
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	uint8_t again[FEED_TOKEN_SIZE];
	struct feed_position position;

	try_text(bytes, size);
	if (size < FEED_TOKEN_SIZE || feed_token_decode(bytes, store, &position) != 0)
		return 0;
	feed_token_encode(position, store, again);
	CHECK(memcmp(bytes, again, FEED_TOKEN_SIZE) == 0);
	return 0;
}

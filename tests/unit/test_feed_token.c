/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/crc.h"
#include "base/byteorder.h"
#include "engine/feed_token.h"

#include <string.h>

static const uint8_t store[16] = {0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17,
				  0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f};
static const struct feed_position position = {.seqno = 0x0102030405060708, .index = 0x090a0b0c};

/* As in docs/format/feed.md. */
static const char golden[] = "5445524e46454544010000000c0b0a09"
			     "101112131415161718191a1b1c1d1e1f"
			     "0807060504030201000000007bf25289";

static void it_is_the_bytes_of_its_format(void **state)
{
	uint8_t token[FEED_TOKEN_SIZE], expected[FEED_TOKEN_SIZE];
	char text[FEED_TOKEN_LENGTH + 1];

	(void)state;
	feed_token_encode(position, store, token);
	assert_int_equal(test_unhex(golden, expected, sizeof(expected)), FEED_TOKEN_SIZE);
	feed_token_print(position, store, text);
	assert_string_equal(text, golden);
	assert_memory_equal(token, expected, FEED_TOKEN_SIZE);
}

static void it_comes_back_as_it_was(void **state)
{
	uint8_t token[FEED_TOKEN_SIZE];
	struct feed_position read = {0};

	(void)state;
	feed_token_encode(position, store, token);
	assert_int_equal(feed_token_decode(token, store, &read), 0);
	assert_int_equal(read.seqno, position.seqno);
	assert_int_equal(read.index, position.index);
	read = (struct feed_position){0};
	assert_int_equal(feed_token_parse(golden, store, &read), 0);
	assert_int_equal(read.seqno, position.seqno);
	assert_int_equal(read.index, position.index);
}

static void any_flipped_bit_is_refused(void **state)
{
	uint8_t token[FEED_TOKEN_SIZE];
	struct feed_position read = {.seqno = 5};

	(void)state;
	feed_token_encode(position, store, token);
	for (unsigned bit = 0; bit < 8 * FEED_TOKEN_SIZE; bit++) {
		token[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(feed_token_decode(token, store, &read), FEED_TOKEN_E_INVALID);
		token[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(read.seqno, 5);
}

static void a_token_of_another_store_is_told_apart(void **state)
{
	static const uint8_t other[16] = {1};
	uint8_t token[FEED_TOKEN_SIZE];
	struct feed_position read;

	(void)state;
	feed_token_encode(position, other, token);
	assert_int_equal(feed_token_decode(token, store, &read), FEED_TOKEN_E_STORE);
}

static void another_version_is_refused_although_its_checksum_is_right(void **state)
{
	uint8_t token[FEED_TOKEN_SIZE];
	struct feed_position read;

	(void)state;
	feed_token_encode(position, store, token);
	token[8] = 2;
	store_le32(token + 44, crc32c(token, 44));
	assert_int_equal(feed_token_decode(token, store, &read), FEED_TOKEN_E_INVALID);
	token[8] = 1;
	token[40] = 1;
	store_le32(token + 44, crc32c(token, 44));
	assert_int_equal(feed_token_decode(token, store, &read), FEED_TOKEN_E_INVALID);
}

static void text_that_is_no_token_is_refused(void **state)
{
	char text[FEED_TOKEN_LENGTH + 2];
	struct feed_position read;

	(void)state;
	assert_int_equal(feed_token_parse("", store, &read), FEED_TOKEN_E_INVALID);
	memcpy(text, golden, sizeof(golden));
	text[0] = 'g';
	assert_int_equal(feed_token_parse(text, store, &read), FEED_TOKEN_E_INVALID);
	text[0] = '5';
	text[8] = 'E'; /* a capital */
	assert_int_equal(feed_token_parse(text, store, &read), FEED_TOKEN_E_INVALID);
	memcpy(text, golden, sizeof(golden));
	text[FEED_TOKEN_LENGTH - 1] = 0;
	assert_int_equal(feed_token_parse(text, store, &read), FEED_TOKEN_E_INVALID);
	memcpy(text, golden, sizeof(golden));
	text[FEED_TOKEN_LENGTH] = '0';
	text[FEED_TOKEN_LENGTH + 1] = 0;
	assert_int_equal(feed_token_parse(text, store, &read), FEED_TOKEN_E_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_the_bytes_of_its_format),
		cmocka_unit_test(it_comes_back_as_it_was),
		cmocka_unit_test(any_flipped_bit_is_refused),
		cmocka_unit_test(a_token_of_another_store_is_told_apart),
		cmocka_unit_test(another_version_is_refused_although_its_checksum_is_right),
		cmocka_unit_test(text_that_is_no_token_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/byteorder.h"
#include "proto/version_handshake.h"
#include "tests/lib/test.h"

#include <string.h>

/* Protocol section 20.3. */
#define G7 "000000059292010200"
#define G8 "00000003920200"

static void offers_and_answers_have_their_golden_bytes_both_ways(void **state)
{
	uint8_t golden[16], bytes[16];
	struct version_offer offer;
	struct version_answer answer;
	size_t size = test_unhex(G7, golden, sizeof(golden));

	assert_int_equal(version_offer_decode(golden, size, &offer), 0);
	assert_int_equal(offer.lowest, 1);
	assert_int_equal(offer.highest, 2);
	assert_int_equal(offer.capabilities, 0);
	assert_int_equal(version_offer_encode(&offer, bytes, sizeof(bytes)), size);
	assert_memory_equal(bytes, golden, size);
	for (size_t cut = 0; cut < size; cut++) {
		assert_int_equal(version_offer_decode(golden, cut, &offer),
				 VERSION_HANDSHAKE_E_SHORT);
		assert_int_equal(version_offer_encode(&offer, bytes, cut), 0);
	}

	size = test_unhex(G8, golden, sizeof(golden));
	assert_int_equal(version_answer_decode(golden, size, &answer), 0);
	assert_int_equal(answer.agreed, 2);
	assert_int_equal(answer.capabilities, 0);
	assert_int_equal(version_answer_encode(&answer, bytes, sizeof(bytes)), size);
	assert_memory_equal(bytes, golden, size);
	for (size_t cut = 0; cut < size; cut++) {
		assert_int_equal(version_answer_decode(golden, cut, &answer),
				 VERSION_HANDSHAKE_E_SHORT);
		assert_int_equal(version_answer_encode(&answer, bytes, cut), 0);
	}
}

static int decode_offer(const char *hex)
{
	uint8_t bytes[64];
	struct version_offer offer;

	return version_offer_decode(bytes, test_unhex(hex, bytes, sizeof(bytes)), &offer);
}

static void bad_handshakes_are_refused(void **state)
{
	uint8_t bytes[4 + 4097] = {0};
	struct version_offer offer;

	/* Bodies of 4,097 and of 4,096 bytes; the second is only not an offer. */
	store_be32(bytes, VERSION_HANDSHAKE_BODY_MAX + 1);
	assert_int_equal(version_offer_decode(bytes, sizeof(bytes), &offer),
			 VERSION_HANDSHAKE_E_LARGE);
	store_be32(bytes, VERSION_HANDSHAKE_BODY_MAX);
	assert_int_equal(version_offer_decode(bytes, sizeof(bytes), &offer),
			 VERSION_HANDSHAKE_E_MALFORMED);
	/* A range of one; a u32 version; lowest above highest; a signed capability; no body. */
	assert_int_equal(decode_offer("00000004"
				      "92910200"),
			 VERSION_HANDSHAKE_E_MALFORMED);
	assert_int_equal(decode_offer("00000009"
				      "9292ce000000010200"),
			 VERSION_HANDSHAKE_E_MALFORMED);
	assert_int_equal(decode_offer("00000005"
				      "9292020100"),
			 VERSION_HANDSHAKE_E_MALFORMED);
	assert_int_equal(decode_offer("00000006"
				      "92920102d000"),
			 VERSION_HANDSHAKE_E_MALFORMED);
	assert_int_equal(decode_offer("00000000"), VERSION_HANDSHAKE_E_MALFORMED);
	/* The body ends where its size says, whatever follows. */
	assert_int_equal(decode_offer("00000004"
				      "9292010200"),
			 VERSION_HANDSHAKE_E_MALFORMED);
}

static int agree(uint16_t lowest_a, uint16_t highest_a, uint16_t lowest_b, uint16_t highest_b)
{
	uint16_t agreed = 0;
	int error = version_handshake_agree(
		&(struct version_offer){.lowest = lowest_a, .highest = highest_a},
		&(struct version_offer){.lowest = lowest_b, .highest = highest_b}, &agreed);

	return error ? -error : agreed;
}

static void the_highest_common_version_is_agreed_on(void **state)
{
	assert_int_equal(agree(1, 2, 1, 2), 2);
	assert_int_equal(agree(VERSION_HANDSHAKE_LOWEST, VERSION_HANDSHAKE_HIGHEST, 1, 2), 2);
	assert_int_equal(agree(1, 5, 3, 9), 5);
	assert_int_equal(agree(3, 9, 1, 5), 5);
	assert_int_equal(agree(1, 2, 3, 4), -VERSION_HANDSHAKE_E_DISJOINT);
	assert_int_equal(agree(3, 4, 1, 2), -VERSION_HANDSHAKE_E_DISJOINT);
	/* An asker checks an answer. */
	assert_int_equal(agree(2, 2, 2, 2), 2);
	assert_int_equal(agree(2, 2, 1, 1), -VERSION_HANDSHAKE_E_DISJOINT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(offers_and_answers_have_their_golden_bytes_both_ways),
		cmocka_unit_test(bad_handshakes_are_refused),
		cmocka_unit_test(the_highest_common_version_is_agreed_on),
	};
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

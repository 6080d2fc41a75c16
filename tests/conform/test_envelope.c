/* SPDX-License-Identifier: Apache-2.0 */
#include "base/defs.h"
#include "proto/envelope.h"
#include "proto/message.h"
#include "tests/conform/golden_envelopes.h"
#include "tests/lib/test.h"

#include <string.h>

static void every_type_has_its_golden_bytes_both_ways(void **state)
{
	assert_int_equal(ARRAY_COUNT(golden_envelopes), MESSAGE_COUNT);
	for (unsigned i = 0; i < MESSAGE_COUNT; i++) {
		uint8_t golden[ENVELOPE_SIZE], bytes[ENVELOPE_SIZE];
		struct envelope envelope;

		assert_int_equal(test_unhex(golden_envelopes[i].hex, golden, sizeof(golden)),
				 ENVELOPE_SIZE);
		assert_int_equal(envelope_decode(golden, sizeof(golden), &envelope), 0);
		assert_int_equal(envelope.type, golden_envelopes[i].number);
		assert_string_equal(message_find(envelope.type)->name, golden_envelopes[i].name);
		assert_int_equal(envelope.source_node, 1);
		assert_int_equal(envelope.target_node, 2);
		assert_int_equal(envelope.vshard, 3);
		assert_int_equal(envelope.payload_size, 0);
		assert_int_equal(envelope_encode(&envelope, bytes, sizeof(bytes)), ENVELOPE_SIZE);
		assert_memory_equal(bytes, golden, ENVELOPE_SIZE);
	}
}

static void check_golden(const char *hex, const struct envelope *expected)
{
	uint8_t golden[128], bytes[128];
	size_t size = test_unhex(hex, golden, sizeof(golden));
	struct envelope envelope;

	assert_int_equal(envelope_decode(golden, size, &envelope), 0);
	assert_int_equal(envelope.type, expected->type);
	assert_int_equal(envelope.source_node, expected->source_node);
	assert_int_equal(envelope.target_node, expected->target_node);
	assert_int_equal(envelope.vshard, expected->vshard);
	assert_int_equal(envelope.payload_size, expected->payload_size);
	assert_memory_equal(envelope.payload, expected->payload, expected->payload_size);
	assert_int_equal(envelope_encode(expected, bytes, sizeof(bytes)), size);
	assert_memory_equal(bytes, golden, size);
}

static void payloads_and_wide_vshards_survive(void **state)
{
	check_golden(
		"02000100010000000000000002000000000000002a0000000c0000007365676d656e742064617461",
		&(struct envelope){.type = MESSAGE_SEGMENT_CHUNK,
				   .source_node = 1,
				   .target_node = 2,
				   .vshard = 42,
				   .payload_size = 12,
				   .payload = (const uint8_t *)"segment data"});
	check_golden("0200050005000000000000000600000000000000e703000000000000",
		     &(struct envelope){.type = MESSAGE_ROUTING_ACK,
					.source_node = 5,
					.target_node = 6,
					.vshard = 999,
					.payload = (const uint8_t *)""});
	check_golden("020003000a000000000000001400000000000000ffff0100070000007061796c6f6164",
		     &(struct envelope){.type = MESSAGE_WAL_TAIL,
					.source_node = 10,
					.target_node = 20,
					.vshard = 0x1FFFF,
					.payload_size = 7,
					.payload = (const uint8_t *)"payload"});
}

static int decode_hex(const char *hex)
{
	uint8_t bytes[128];
	size_t size = test_unhex(hex, bytes, sizeof(bytes));
	struct envelope envelope;

	return envelope_decode(bytes, size, &envelope);
}

static void bad_envelopes_are_refused_by_reason(void **state)
{
	assert_int_equal(decode_hex("020001000100000000000000020000000000000003000000000000"),
			 ENVELOPE_E_SHORT);
	assert_int_equal(decode_hex("02001500010000000000000002000000000000000300000000000000"),
			 ENVELOPE_E_TYPE);
	assert_int_equal(decode_hex("0200ffff010000000000000002000000000000000300000000000000"),
			 ENVELOPE_E_TYPE);
	assert_int_equal(
		decode_hex("0200010001000000000000000200000000000000030000000500000061626364"),
		ENVELOPE_E_SHORT);
	assert_int_equal(decode_hex("07000100010000000000000002000000000000000300000000000000"),
			 ENVELOPE_E_VERSION);
	assert_int_equal(decode_hex("020001000100000000000000020000000000000003000000ffffffff"),
			 ENVELOPE_E_LARGE);
}

static void every_truncation_is_refused_and_trailing_bytes_are_ignored(void **state)
{
	uint8_t bytes[64];
	struct envelope envelope = {
		.type = MESSAGE_WAL_TAIL, .payload_size = 7, .payload = (const uint8_t *)"payload"};
	size_t size = envelope_encode(&envelope, bytes, sizeof(bytes));

	for (size_t cut = 0; cut < size; cut++)
		assert_int_equal(envelope_decode(bytes, cut, &envelope), ENVELOPE_E_SHORT);
	assert_int_equal(envelope_decode(bytes, sizeof(bytes), &envelope), 0);
	assert_int_equal(envelope.payload_size, 7);
}

static void an_envelope_that_does_not_fit_is_not_written(void **state)
{
	uint8_t bytes[64];
	struct envelope envelope = {
		.type = MESSAGE_WAL_TAIL, .payload_size = 7, .payload = (const uint8_t *)"payload"};

	for (size_t capacity = 0; capacity < ENVELOPE_SIZE + 7; capacity++)
		assert_int_equal(envelope_encode(&envelope, bytes, capacity), 0);
	assert_int_equal(envelope_encode(&envelope, bytes, ENVELOPE_SIZE + 7), ENVELOPE_SIZE + 7);
}

static void answers_swap_the_nodes(void **state)
{
	struct envelope request = {.type = MESSAGE_VECTOR_SCATTER_REQUEST,
				   .source_node = 3,
				   .target_node = 4,
				   .vshard = 5};
	struct envelope answer = envelope_answer(&request, message_find(request.type)->answer);

	assert_int_equal(answer.type, MESSAGE_VECTOR_SCATTER_RESPONSE);
	assert_int_equal(answer.source_node, 4);
	assert_int_equal(answer.target_node, 3);
	assert_int_equal(answer.vshard, 5);
}

static void answering_types_exist(void **state)
{
	for (unsigned i = 0; i < MESSAGE_COUNT; i++)
		if (message_infos[i].answer)
			assert_non_null(message_find(message_infos[i].answer));
	assert_null(message_find(0));
	assert_null(message_find(21));
	assert_null(message_find(90));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_has_its_golden_bytes_both_ways),
		cmocka_unit_test(payloads_and_wide_vshards_survive),
		cmocka_unit_test(bad_envelopes_are_refused_by_reason),
		cmocka_unit_test(every_truncation_is_refused_and_trailing_bytes_are_ignored),
		cmocka_unit_test(an_envelope_that_does_not_fit_is_not_written),
		cmocka_unit_test(answers_swap_the_nodes),
		cmocka_unit_test(answering_types_exist),
	};
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

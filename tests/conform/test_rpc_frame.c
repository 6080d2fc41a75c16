/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/envelope.h"
#include "proto/message.h"
#include "proto/rpc_frame.h"
#include "tests/lib/test.h"

#include <string.h>

/* Protocol section 20.3: a SegmentChunk envelope, and its frame at epochs 0 and 7. */
#define G1 "02000100010000000000000002000000000000002a0000000c0000007365676d656e742064617461"
#define G4 "030f2800000098db275f0000000000000000" G1
#define G5 "030f2800000098db275f0700000000000000" G1

static void check_golden(const char *hex, uint64_t epoch)
{
	uint8_t golden[64], bytes[64];
	size_t size = test_unhex(hex, golden, sizeof(golden));
	struct envelope envelope;
	struct rpc_frame frame;

	assert_int_equal(size, 58);
	assert_int_equal(rpc_frame_decode(golden, size, &frame), 0);
	assert_int_equal(frame.type, RPC_FRAME_VSHARD);
	assert_int_equal(frame.epoch, epoch);
	assert_int_equal(frame.payload_size, 40);
	assert_int_equal(envelope_decode(frame.payload, frame.payload_size, &envelope), 0);
	assert_int_equal(envelope.type, MESSAGE_SEGMENT_CHUNK);
	assert_int_equal(rpc_frame_encode(&frame, bytes, sizeof(bytes)), size);
	assert_memory_equal(bytes, golden, size);
}

static void frames_have_their_golden_bytes_both_ways(void **state)
{
	check_golden(G4, 0);
	check_golden(G5, 7);
}

static void other_versions_are_refused_even_when_cut_short(void **state)
{
	uint8_t bytes[64];
	size_t size = test_unhex(G4, bytes, sizeof(bytes));
	struct rpc_frame frame;

	for (unsigned version = 0; version < 256; version++) {
		bytes[0] = (uint8_t)version;
		assert_int_equal(rpc_frame_decode(bytes, size, &frame),
				 version == RPC_FRAME_VERSION ? 0 : RPC_FRAME_E_VERSION);
		assert_int_equal(rpc_frame_decode(bytes, 1, &frame), version == RPC_FRAME_VERSION
									     ? RPC_FRAME_E_SHORT
									     : RPC_FRAME_E_VERSION);
	}
}

static void every_truncation_is_refused_and_trailing_bytes_are_ignored(void **state)
{
	uint8_t bytes[64] = {0};
	size_t size = test_unhex(G4, bytes, sizeof(bytes));
	struct rpc_frame frame;

	for (size_t cut = 0; cut < size; cut++)
		assert_int_equal(rpc_frame_decode(bytes, cut, &frame), RPC_FRAME_E_SHORT);
	assert_int_equal(rpc_frame_decode(bytes, sizeof(bytes), &frame), 0);
	assert_int_equal(frame.payload_size, 40);
}

static void every_flipped_bit_of_payload_or_checksum_is_seen(void **state)
{
	uint8_t bytes[64];
	size_t size = test_unhex(G4, bytes, sizeof(bytes));
	struct rpc_frame frame;

	for (size_t bit = 8 * 6; bit < 8 * size; bit++) {
		if (bit >= (size_t)8 * 10 && bit < (size_t)8 * RPC_FRAME_SIZE)
			continue; /* the epoch, which the checksum does not cover */
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(rpc_frame_decode(bytes, size, &frame), RPC_FRAME_E_CHECKSUM);
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

static void oversize_payloads_are_refused_before_they_are_waited_for(void **state)
{
	uint8_t bytes[RPC_FRAME_SIZE] = {RPC_FRAME_VERSION, RPC_FRAME_VSHARD};
	struct rpc_frame frame = {.payload_size = RPC_FRAME_PAYLOAD_MAX + 1};

	memcpy(bytes + 2, "\x00\x00\x00\x04", 4); /* 64 MiB */
	assert_int_equal(rpc_frame_decode(bytes, sizeof(bytes), &frame), RPC_FRAME_E_SHORT);
	memcpy(bytes + 2, "\x01\x00\x00\x04", 4);
	assert_int_equal(rpc_frame_decode(bytes, sizeof(bytes), &frame), RPC_FRAME_E_LARGE);
	assert_int_equal(rpc_frame_encode(&frame, bytes, SIZE_MAX), 0);
}

static void an_empty_frame_is_a_header(void **state)
{
	uint8_t bytes[RPC_FRAME_SIZE];
	struct rpc_frame frame = {.type = RPC_FRAME_PING, .epoch = UINT64_MAX}, back;

	assert_int_equal(rpc_frame_encode(&frame, bytes, sizeof(bytes) - 1), 0);
	assert_int_equal(rpc_frame_encode(&frame, bytes, sizeof(bytes)), RPC_FRAME_SIZE);
	assert_int_equal(rpc_frame_decode(bytes, sizeof(bytes), &back), 0);
	assert_int_equal(back.type, RPC_FRAME_PING);
	assert_true(back.epoch == UINT64_MAX);
	assert_int_equal(back.payload_size, 0);
}

static void epochs_only_grow_and_zero_says_nothing(void **state)
{
	assert_int_equal(rpc_frame_epoch(5, 0), 5);
	assert_int_equal(rpc_frame_epoch(5, 4), 5);
	assert_int_equal(rpc_frame_epoch(5, 9), 9);
	assert_int_equal(rpc_frame_epoch(0, 0), 0);
}

static void every_error_has_its_words(void **state)
{
	for (int error = RPC_FRAME_E_SHORT; error <= RPC_FRAME_E_CHECKSUM; error++)
		assert_string_not_equal(rpc_frame_error(error), rpc_frame_error(0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_have_their_golden_bytes_both_ways),
		cmocka_unit_test(other_versions_are_refused_even_when_cut_short),
		cmocka_unit_test(every_truncation_is_refused_and_trailing_bytes_are_ignored),
		cmocka_unit_test(every_flipped_bit_of_payload_or_checksum_is_seen),
		cmocka_unit_test(oversize_payloads_are_refused_before_they_are_waited_for),
		cmocka_unit_test(an_empty_frame_is_a_header),
		cmocka_unit_test(epochs_only_grow_and_zero_says_nothing),
		cmocka_unit_test(every_error_has_its_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

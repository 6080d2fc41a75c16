/* SPDX-License-Identifier: Apache-2.0 */
#include "base/byteorder.h"
#include "base/defs.h"
#include "base/rand.h"
#include "proto/auth_envelope.h"
#include "proto/rpc_frame.h"
#include "tests/lib/test.h"

#include <stdbool.h>
#include <string.h>

/* Protocol section 20.3: the frame G4 from node 7, sequence 12345, key 32 times 03. */
#define G6                                                                                         \
	"01070000000000000039300000000000003a000000030f2800000098db275f00000000000000000200010001" \
	"00"                                                                                       \
	"00000000000002000000000000002a0000000c0000007365676d656e742064617461cd2d3cc834a5457d2e48" \
	"c2"                                                                                       \
	"f5d1a1ea8c4ea1fb03c2c10747327bd869b3bad024"

static const uint8_t key[AUTH_ENVELOPE_KEY_SIZE] = {3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3,
						    3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3};

static void envelopes_have_their_golden_bytes_both_ways(void **state)
{
	uint8_t golden[128], bytes[128];
	size_t size = test_unhex(G6, golden, sizeof(golden));
	struct auth_envelope envelope;
	struct rpc_frame frame;

	assert_int_equal(size, 111);
	assert_int_equal(auth_envelope_decode(golden, size, key, &envelope), 0);
	assert_int_equal(envelope.from_node, 7);
	assert_int_equal(envelope.sequence, 12345);
	assert_int_equal(envelope.inner_size, 58);
	assert_int_equal(rpc_frame_decode(envelope.inner, envelope.inner_size, &frame), 0);
	assert_int_equal(frame.type, RPC_FRAME_VSHARD);
	assert_int_equal(auth_envelope_encode(&envelope, key, bytes, sizeof(bytes)), size);
	assert_memory_equal(bytes, golden, size);
}

static void every_flipped_bit_is_refused(void **state)
{
	uint8_t bytes[128];
	size_t size = test_unhex(G6, bytes, sizeof(bytes));
	struct auth_envelope envelope = {.from_node = 99};

	for (size_t bit = 0; bit < 8 * size; bit++) {
		int error;

		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		error = auth_envelope_decode(bytes, size, key, &envelope);
		if (bit < 8)
			assert_int_equal(error, AUTH_ENVELOPE_E_VERSION);
		else if (bit < (size_t)8 * 17 || bit >= (size_t)8 * AUTH_ENVELOPE_HEAD)
			assert_int_equal(error, AUTH_ENVELOPE_E_MAC);
		else
			assert_int_not_equal(error, 0); /* the size: short, long or large */
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_int_equal(envelope.from_node, 99);
}

static void another_key_is_refused(void **state)
{
	uint8_t bytes[128], other[AUTH_ENVELOPE_KEY_SIZE];
	size_t size = test_unhex(G6, bytes, sizeof(bytes));
	struct auth_envelope envelope;

	for (size_t i = 0; i < sizeof(other); i++) {
		memcpy(other, key, sizeof(other));
		other[i] ^= 0x80;
		assert_int_equal(auth_envelope_decode(bytes, size, other, &envelope),
				 AUTH_ENVELOPE_E_MAC);
	}
}

static void every_truncation_and_an_extra_byte_are_refused(void **state)
{
	uint8_t bytes[128] = {0};
	size_t size = test_unhex(G6, bytes, sizeof(bytes));
	struct auth_envelope envelope;

	for (size_t cut = 0; cut < size; cut++)
		assert_int_equal(auth_envelope_decode(bytes, cut, key, &envelope),
				 AUTH_ENVELOPE_E_SHORT);
	assert_int_equal(auth_envelope_decode(bytes, size + 1, key, &envelope),
			 AUTH_ENVELOPE_E_LONG);
}

static void a_stream_reader_learns_the_size_from_the_head(void **state)
{
	uint8_t head[AUTH_ENVELOPE_HEAD] = {AUTH_ENVELOPE_VERSION};
	size_t size = 77;

	for (size_t cut = 0; cut < AUTH_ENVELOPE_HEAD; cut++)
		assert_int_equal(auth_envelope_size(head, cut, &size), AUTH_ENVELOPE_E_SHORT);
	store_le32(head + 17, AUTH_ENVELOPE_INNER_MAX + 1);
	assert_int_equal(auth_envelope_size(head, sizeof(head), &size), AUTH_ENVELOPE_E_LARGE);
	assert_int_equal(size, 77);
	store_le32(head + 17, AUTH_ENVELOPE_INNER_MAX);
	assert_int_equal(auth_envelope_size(head, sizeof(head), &size), 0);
	assert_int_equal(size, AUTH_ENVELOPE_INNER_MAX + 53);
	head[0] = 99;
	assert_int_equal(auth_envelope_size(head, sizeof(head), &size), AUTH_ENVELOPE_E_VERSION);
}

static void what_is_out_of_range_is_not_written(void **state)
{
	uint8_t bytes[64];
	struct auth_envelope envelope = {.sequence = 1, .inner_size = 1, .inner = key};

	for (size_t capacity = 0; capacity < AUTH_ENVELOPE_OVERHEAD + 1; capacity++)
		assert_int_equal(auth_envelope_encode(&envelope, key, bytes, capacity), 0);
	assert_int_equal(auth_envelope_encode(&envelope, key, bytes, sizeof(bytes)), 54);
	envelope.sequence = 0;
	assert_int_equal(auth_envelope_encode(&envelope, key, bytes, sizeof(bytes)), 0);
	envelope = (struct auth_envelope){.sequence = 1, .inner_size = AUTH_ENVELOPE_INNER_MAX + 1};
	assert_int_equal(auth_envelope_encode(&envelope, key, bytes, SIZE_MAX), 0);
}

static void sequence_numbers_in_order_are_taken_once(void **state)
{
	struct replay_window window = {0};

	assert_int_equal(replay_window_take(&window, 0), AUTH_ENVELOPE_E_SEQUENCE);
	for (uint64_t sequence = 1; sequence <= 200; sequence++) {
		assert_int_equal(replay_window_take(&window, sequence), 0);
		assert_int_equal(replay_window_take(&window, sequence), AUTH_ENVELOPE_E_REPEATED);
	}
}

static void late_sequence_numbers_are_taken_within_the_window(void **state)
{
	struct replay_window window = {0};

	assert_int_equal(replay_window_take(&window, 100), 0);
	assert_int_equal(replay_window_take(&window, 36), AUTH_ENVELOPE_E_STALE);
	assert_int_equal(replay_window_take(&window, 37), 0);
	assert_int_equal(replay_window_take(&window, 37), AUTH_ENVELOPE_E_REPEATED);
	assert_int_equal(replay_window_take(&window, 99), 0);
	/* A jump of the whole window and more forgets all that was seen. */
	assert_int_equal(replay_window_take(&window, 164), 0);
	assert_int_equal(replay_window_take(&window, 100), AUTH_ENVELOPE_E_STALE);
	assert_int_equal(replay_window_take(&window, 101), 0);
	assert_int_equal(replay_window_take(&window, UINT64_MAX), 0);
	assert_int_equal(replay_window_take(&window, UINT64_MAX - 63), 0);
	assert_int_equal(replay_window_take(&window, UINT64_MAX - 64), AUTH_ENVELOPE_E_STALE);
	assert_int_equal(replay_window_take(&window, UINT64_MAX), AUTH_ENVELOPE_E_REPEATED);
}

/* Against the plain rule: a list of everything ever taken. */
static void the_window_agrees_with_a_list(void **state)
{
	struct replay_window window = {0};
	bool taken[4096] = {0};
	uint64_t highest = 0;
	struct rand rand;

	rand_init(&rand, 7);
	for (unsigned i = 0; i < 20000; i++) {
		uint64_t middle = MIN(highest, sizeof(taken) - 100);
		uint64_t sequence = middle - MIN(middle, 80) + rand_below(&rand, 90);
		int expected = 0;

		if (!sequence)
			expected = AUTH_ENVELOPE_E_SEQUENCE;
		else if (sequence + 63 < highest)
			expected = AUTH_ENVELOPE_E_STALE;
		else if (taken[sequence])
			expected = AUTH_ENVELOPE_E_REPEATED;
		assert_int_equal(replay_window_take(&window, sequence), expected);
		if (!expected) {
			taken[sequence] = true;
			highest = MAX(highest, sequence);
		}
	}
	assert_true(highest > 1000);
}

static void every_error_has_its_words(void **state)
{
	for (int error = AUTH_ENVELOPE_E_SHORT; error <= AUTH_ENVELOPE_E_STALE; error++)
		assert_string_not_equal(auth_envelope_error(error), auth_envelope_error(0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(envelopes_have_their_golden_bytes_both_ways),
		cmocka_unit_test(every_flipped_bit_is_refused),
		cmocka_unit_test(another_key_is_refused),
		cmocka_unit_test(every_truncation_and_an_extra_byte_are_refused),
		cmocka_unit_test(a_stream_reader_learns_the_size_from_the_head),
		cmocka_unit_test(what_is_out_of_range_is_not_written),
		cmocka_unit_test(sequence_numbers_in_order_are_taken_once),
		cmocka_unit_test(late_sequence_numbers_are_taken_within_the_window),
		cmocka_unit_test(the_window_agrees_with_a_list),
		cmocka_unit_test(every_error_has_its_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

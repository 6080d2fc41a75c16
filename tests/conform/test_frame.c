/* SPDX-License-Identifier: Apache-2.0 */
#include "base/byteorder.h"
#include "base/crc.h"
#include "base/defs.h"
#include "tests/conform/golden_frames.h"
#include "tests/lib/test.h"

#include <string.h>

static void every_kind_has_its_golden_bytes_both_ways(void **state)
{
	assert_int_equal(ARRAY_COUNT(golden_frames), FRAME_KIND_COUNT - 1);
	for (unsigned i = 0; i < ARRAY_COUNT(golden_frames); i++) {
		const struct frame *golden = &golden_frames[i].frame;
		uint8_t bytes[256], head[FRAME_SIZE_HEAD];
		size_t size = test_unhex(golden_frames[i].hex, bytes, sizeof(bytes));
		struct frame frame;

		assert_int_equal(frame_decode(bytes, size, &frame), 0);
		assert_int_equal(frame.kind, i + 1);
		assert_int_equal(frame.kind, golden->kind);
		assert_int_equal(frame.token, golden->token);
		assert_int_equal(frame.number, golden->number);
		assert_int_equal(frame.message_size, golden->message_size);
		assert_int_equal(frame.deadline_us, golden->deadline_us);
		assert_int_equal(frame.hint, golden->hint);
		assert_int_equal(frame.index, golden->index);
		assert_int_equal(frame.status, golden->status);
		assert_int_equal(frame.epoch, golden->epoch);
		assert_int_equal(frame.body_size, golden->body_size);
		assert_ptr_equal(frame.body, bytes + FRAME_SIZE_HEAD);

		frame = *golden;
		frame.body = bytes + FRAME_SIZE_HEAD;
		frame_encode(&frame, head);
		assert_memory_equal(head, bytes, sizeof(head));
	}
}

static void every_single_bit_error_is_found(void **state)
{
	for (unsigned i = 0; i < ARRAY_COUNT(golden_frames); i++) {
		uint8_t bytes[256];
		size_t size = test_unhex(golden_frames[i].hex, bytes, sizeof(bytes));
		struct frame frame;

		for (size_t bit = 0; bit < 8 * size; bit++) {
			bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_int_not_equal(frame_decode(bytes, size, &frame), 0);
			bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	}
}

static void every_truncation_and_any_surplus_is_refused(void **state)
{
	for (unsigned i = 0; i < ARRAY_COUNT(golden_frames); i++) {
		uint8_t bytes[256];
		size_t size = test_unhex(golden_frames[i].hex, bytes, sizeof(bytes));
		struct frame frame;

		for (size_t cut = 0; cut < size; cut++)
			assert_int_equal(frame_decode(bytes, cut, &frame),
					 cut < FRAME_SIZE_HEAD ? FRAME_E_SHORT : FRAME_E_CHECKSUM);
		bytes[size] = 0;
		assert_int_equal(frame_decode(bytes, size + 1, &frame), FRAME_E_CHECKSUM);
	}
}

/* Decodes what 'frame' encodes, after 'change' to one byte and with the CRC set right. */
static int decode_changed(const struct frame *frame, size_t offset, uint8_t value)
{
	uint8_t bytes[256] = {0};
	size_t size = FRAME_SIZE_HEAD + frame->body_size;
	struct frame decoded;

	frame_encode(frame, bytes);
	bytes[offset] = value;
	store_le32(bytes, crc32c(bytes + 4, size - 4));
	return frame_decode(bytes, size, &decoded);
}

static void what_is_wrong_is_said(void **state)
{
	static const uint8_t body[256];
	const struct frame ping = {.kind = FRAME_PING};

	assert_int_equal(decode_changed(&ping, 7, FRAME_PING), 0);
	assert_int_equal(decode_changed(&ping, 4, 'N'), FRAME_E_MAGIC);
	assert_int_equal(decode_changed(&ping, 6, FRAME_VERSION + 1), FRAME_E_VERSION);
	assert_int_equal(decode_changed(&ping, 7, 0), FRAME_E_KIND);
	assert_int_equal(decode_changed(&ping, 7, FRAME_KIND_COUNT), FRAME_E_KIND);
	assert_int_equal(decode_changed(&ping, 7, 255), FRAME_E_KIND);
	/* A body where none belongs, and none where one does. */
	assert_int_equal(decode_changed(&ping, 7, FRAME_HELLO), FRAME_E_BODY);
	assert_int_equal(
		decode_changed(&(struct frame){.kind = FRAME_REQUEST, .body = body, .body_size = 1},
			       7, FRAME_PING),
		FRAME_E_BODY);
}

static void a_frame_that_no_datagram_holds_is_refused(void **state)
{
	static uint8_t bytes[UINT16_MAX + 1];
	struct frame frame = {.kind = FRAME_REQUEST,
			      .body = bytes + FRAME_SIZE_HEAD,
			      .body_size = sizeof(bytes) - FRAME_SIZE_HEAD};

	frame_encode(&frame, bytes);
	assert_int_not_equal(frame_decode(bytes, sizeof(bytes), &frame), 0);
}

static void kinds_have_names(void **state)
{
	assert_string_equal(frame_kind_name(FRAME_HELLO), "HELLO");
	assert_string_equal(frame_kind_name(FRAME_RESET), "RESET");
	assert_string_equal(frame_kind_name(0), "unknown");
	assert_string_equal(frame_kind_name(255), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_has_its_golden_bytes_both_ways),
		cmocka_unit_test(every_single_bit_error_is_found),
		cmocka_unit_test(every_truncation_and_any_surplus_is_refused),
		cmocka_unit_test(what_is_wrong_is_said),
		cmocka_unit_test(a_frame_that_no_datagram_holds_is_refused),
		cmocka_unit_test(kinds_have_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

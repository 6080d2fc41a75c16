/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Every message type, whatever its payload: the envelope is decoded and the
 * bytes behind it are carried untouched. And docs/format/messages.md says of
 * each what messages.def says.
 */

#include "base/rand.h"
#include "proto/envelope.h"
#include "proto/message.h"
#include "proto/rpc_frame.h"
#include "tests/lib/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAYLOAD_SIZE 300

static void every_type_carries_any_payload_untouched(void **state)
{
	uint8_t payload[PAYLOAD_SIZE], bytes[ENVELOPE_SIZE + PAYLOAD_SIZE];
	struct rand rand;

	rand_init(&rand, 46);
	for (unsigned i = 0; i < MESSAGE_COUNT; i++) {
		struct envelope sent = {.type = message_infos[i].number,
					.source_node = rand_next(&rand),
					.target_node = rand_next(&rand),
					.vshard = (uint32_t)rand_next(&rand),
					.payload = payload},
				got;

		for (size_t at = 0; at < PAYLOAD_SIZE; at++)
			payload[at] = (uint8_t)rand_next(&rand);
		for (sent.payload_size = 0; sent.payload_size <= PAYLOAD_SIZE;
		     sent.payload_size += 100) {
			size_t size = envelope_encode(&sent, bytes, sizeof(bytes));

			assert_int_equal(size, ENVELOPE_SIZE + sent.payload_size);
			assert_int_equal(envelope_decode(bytes, size, &got), 0);
			assert_int_equal(got.type, sent.type);
			assert_true(got.source_node == sent.source_node);
			assert_true(got.target_node == sent.target_node);
			assert_int_equal(got.vshard, sent.vshard);
			assert_int_equal(got.payload_size, sent.payload_size);
			assert_ptr_equal(got.payload, bytes + ENVELOPE_SIZE);
			assert_memory_equal(got.payload, payload, sent.payload_size);
		}
	}
}

static void every_type_travels_in_an_rpc_frame(void **state)
{
	uint8_t inner[ENVELOPE_SIZE + 8], bytes[RPC_FRAME_SIZE + sizeof(inner)];

	for (unsigned i = 0; i < MESSAGE_COUNT; i++) {
		struct envelope envelope = {.type = message_infos[i].number,
					    .payload_size = 8,
					    .payload = (const uint8_t *)"\0\xff\x91\xcaopaq"};
		struct rpc_frame frame = {.type = RPC_FRAME_VSHARD, .payload = inner};
		size_t size;

		frame.payload_size = (uint32_t)envelope_encode(&envelope, inner, sizeof(inner));
		size = rpc_frame_encode(&frame, bytes, sizeof(bytes));
		assert_int_equal(rpc_frame_decode(bytes, size, &frame), 0);
		assert_int_equal(envelope_decode(frame.payload, frame.payload_size, &envelope), 0);
		assert_int_equal(envelope.type, message_infos[i].number);
		assert_memory_equal(envelope.payload, "\0\xff\x91\xcaopaq", 8);
	}
}

static void only_the_46_numbers_are_types(void **state)
{
	uint8_t bytes[ENVELOPE_SIZE] = {ENVELOPE_VERSION};
	unsigned known = 0;

	for (unsigned number = 0; number <= UINT16_MAX; number++) {
		struct envelope envelope;

		bytes[2] = (uint8_t)number;
		bytes[3] = (uint8_t)(number >> 8);
		if (!envelope_decode(bytes, sizeof(bytes), &envelope)) {
			assert_int_equal(message_infos[known].number, number);
			known++;
		}
	}
	assert_int_equal(known, MESSAGE_COUNT);
}

static void the_document_lists_what_the_code_knows(void **state)
{
	const char *source = getenv("TERN_SOURCE");
	char path[4096], line[512];
	unsigned rows = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/docs/format/messages.md", source ? source : ".");
	file = fopen(path, "r");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		const struct message_info *info;
		char name[64], direction[64], answer[64], expected[64];
		unsigned number;

		if (sscanf(line, "| %u | %63s | %63s | %*s | %63s |", &number, name, direction,
			   answer) != 4)
			continue;
		assert_true(rows < MESSAGE_COUNT);
		info = &message_infos[rows++];
		assert_int_equal(number, info->number);
		assert_string_equal(name, info->name);
		assert_string_equal(direction, info->direction);
		snprintf(expected, sizeof(expected), "%u", info->answer);
		if (!info->answer)
			snprintf(expected, sizeof(expected), "-");
		assert_string_equal(answer, expected);
	}
	fclose(file);
	assert_int_equal(rows, MESSAGE_COUNT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_carries_any_payload_untouched),
		cmocka_unit_test(every_type_travels_in_an_rpc_frame),
		cmocka_unit_test(only_the_46_numbers_are_types),
		cmocka_unit_test(the_document_lists_what_the_code_knows),
	};
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Random payloads of types 56 and 57: what was encoded is what is decoded, a
 * cut one is refused, and they are the bytes that msgpack-c writes, as somebody
 * else's node would.
 *
 * A seed as the argument replays a run.
 */

#include "base/rand.h"
#include "proto/payload_region.h"
#include "proto/payload_vector.h"
#include "tests/lib/test.h"

#include <inttypes.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#define ROUND_COUNT 3000

static uint64_t seed = 5657;
static struct rand rand_state;
static uint8_t bytes[REGION_PAYLOAD_MAX], proof[REGION_PROOF_MAX];
static char letters[REGION_REASON_MAX];

static uint32_t below(uint64_t bound)
{
	return (uint32_t)rand_below(&rand_state, bound);
}

/* All widths equally often. */
static uint64_t random_u64(void)
{
	return rand_next(&rand_state) >> rand_below(&rand_state, 64);
}

static uint32_t random_u32(void)
{
	return (uint32_t)rand_next(&rand_state) >> rand_below(&rand_state, 32);
}

static void assert_bytes(const msgpack_sbuffer *buffer, size_t size)
{
	assert_int_equal(size, buffer->size);
	assert_memory_equal(bytes, buffer->data, size);
}

static void pack_text(msgpack_packer *packer, struct text_view text)
{
	msgpack_pack_str_with_body(packer, text.text, text.length);
}

static struct region_request random_request(void)
{
	return (struct region_request){
		.collection = {.text = letters, .length = below(VECTOR_COLLECTION_MAX + 1)},
		.region = {.text = letters, .length = below(REGION_NAME_MAX)},
		.lease_ms = random_u32(),
		.transport = below(2) ? REGION_TRANSPORT_VERBS : REGION_TRANSPORT_SHM,
		.proof = {.bytes = proof, .size = below(REGION_PROOF_MAX + 1)},
	};
}

static void pack_request(msgpack_packer *packer, const struct region_request *request)
{
	msgpack_pack_array(packer, 6);
	msgpack_pack_uint8(packer, 1);
	pack_text(packer, request->collection);
	pack_text(packer, request->region);
	msgpack_pack_uint32(packer, request->lease_ms);
	msgpack_pack_uint8(packer, (uint8_t)request->transport);
	msgpack_pack_bin_with_body(packer, request->proof.bytes, request->proof.size);
}

static void requests_survive_and_are_the_bytes_of_msgpack_c(void **state)
{
	for (unsigned i = 0; i < ROUND_COUNT; i++) {
		struct region_request again, request = random_request();
		size_t size = region_request_encode(&request, bytes, sizeof(bytes));
		msgpack_sbuffer buffer;
		msgpack_packer packer;

		msgpack_sbuffer_init(&buffer);
		msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
		pack_request(&packer, &request);
		assert_bytes(&buffer, size);
		msgpack_sbuffer_destroy(&buffer);
		assert_int_equal(region_request_decode(bytes, size, &again), 0);
		assert_int_equal(again.collection.length, request.collection.length);
		assert_int_equal(again.region.length, request.region.length);
		assert_int_equal(again.lease_ms, request.lease_ms);
		assert_int_equal(again.transport, request.transport);
		assert_int_equal(again.proof.size, request.proof.size);
		assert_memory_equal(again.proof.bytes, proof, again.proof.size);
		assert_int_equal(region_request_decode(bytes, below(size), &again),
				 PAYLOAD_E_MALFORMED);
	}
}

static struct region_answer random_answer(void)
{
	struct region_answer answer = {.available = below(4)};

	if (!answer.available) {
		answer.reason =
			(struct text_view){.text = letters, .length = 1 + below(REGION_REASON_MAX)};
		return answer;
	}
	answer.reason.text = letters;
	answer.length = 1 + random_u64() / 2;
	answer.remote_addr = random_u64() / 2;
	answer.rkey = random_u32();
	answer.generation = random_u64();
	answer.lease_id = 1 + random_u64() / 2;
	answer.lease_ms = 1 + random_u32() / 2;
	answer.crc = random_u32();
	return answer;
}

static void pack_answer(msgpack_packer *packer, const struct region_answer *answer)
{
	msgpack_pack_array(packer, 10);
	msgpack_pack_uint8(packer, 1);
	(void)(answer->available ? msgpack_pack_true(packer) : msgpack_pack_false(packer));
	msgpack_pack_uint64(packer, answer->remote_addr);
	msgpack_pack_uint32(packer, answer->rkey);
	msgpack_pack_uint64(packer, answer->length);
	msgpack_pack_uint64(packer, answer->generation);
	msgpack_pack_uint64(packer, answer->lease_id);
	msgpack_pack_uint32(packer, answer->lease_ms);
	msgpack_pack_uint32(packer, answer->crc);
	pack_text(packer, answer->reason);
}

static void assert_same_answer(const struct region_answer *a, const struct region_answer *b)
{
	assert_int_equal(a->available, b->available);
	assert_true(a->remote_addr == b->remote_addr);
	assert_int_equal(a->rkey, b->rkey);
	assert_true(a->length == b->length);
	assert_true(a->generation == b->generation);
	assert_true(a->lease_id == b->lease_id);
	assert_int_equal(a->lease_ms, b->lease_ms);
	assert_int_equal(a->crc, b->crc);
	assert_int_equal(a->reason.length, b->reason.length);
}

static void answers_survive_and_are_the_bytes_of_msgpack_c(void **state)
{
	for (unsigned i = 0; i < ROUND_COUNT; i++) {
		struct region_answer again, answer = random_answer();
		size_t size = region_answer_encode(&answer, bytes, sizeof(bytes));
		msgpack_sbuffer buffer;
		msgpack_packer packer;

		msgpack_sbuffer_init(&buffer);
		msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
		pack_answer(&packer, &answer);
		assert_bytes(&buffer, size);
		msgpack_sbuffer_destroy(&buffer);
		assert_int_equal(region_answer_decode(bytes, size, &again), 0);
		assert_same_answer(&again, &answer);
		assert_int_equal(region_answer_decode(bytes, below(size), &again),
				 PAYLOAD_E_MALFORMED);
	}
}

static void names_survive(void **state)
{
	for (unsigned i = 0; i < ROUND_COUNT; i++) {
		struct region_name again, name = {.kind = (enum region_kind)below(3)};
		char text[REGION_NAME_MAX];
		uint32_t length;

		if (name.kind != REGION_KIND_DIRECTORY)
			name.segment = random_u64() | 1;
		length = region_name_format(&name, text);
		assert_int_equal(
			region_name_parse((struct text_view){.text = text, .length = length},
					  &again),
			0);
		assert_int_equal(again.kind, name.kind);
		assert_true(again.segment == name.segment);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_survive_and_are_the_bytes_of_msgpack_c),
		cmocka_unit_test(answers_survive_and_are_the_bytes_of_msgpack_c),
		cmocka_unit_test(names_survive),
	};

	if (argc > 1)
		seed = strtoull(argv[1], NULL, 0);
	print_message("seed %" PRIu64 "\n", seed);
	rand_init(&rand_state, seed);
	memset(letters, 'r', sizeof(letters));
	for (size_t i = 0; i < sizeof(proof); i++)
		proof[i] = (uint8_t)rand_next(&rand_state);
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

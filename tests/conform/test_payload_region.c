/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/envelope.h"
#include "proto/message.h"
#include "proto/payload_region.h"
#include "proto/payload_vector.h"
#include "tests/lib/test.h"

#include <string.h>

/*
 * 96                    array of 6
 *   01                  v 1
 *   a3 636f6c           collection "col"
 *   a9 ...2f31          region "segment/1"
 *   cd 7530             lease_ms 30000
 *   01                  transport verbs
 *   c4 20 000102..1f    proof
 */
#define PROOF   "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define REQUEST "9601a3636f6ca97365676d656e742f31cd753001c420" PROOF

/* Collection "", region "directory", lease_ms 0, shared memory, no proof. */
#define REQUEST_BARE "9601a0a96469726563746f72790002c400"

/*
 * 9a                    array of 10
 *   01 c3               v 1, available
 *   cf 00007f1234560000 remote_addr
 *   ce deadbeef         rkey
 *   ce 00400000         length 4 MiB
 *   07                  generation 7
 *   cd 012c             lease_id 300
 *   cd 7530             lease_ms 30000
 *   ce 12345678         crc
 *   a0                  no reason
 */
#define ANSWER "9a01c3cf00007f1234560000cedeadbeefce0040000007cd012ccd7530ce12345678a0"

/* Not available, seven zeros, "unknown region". */
#define REFUSAL "9a01c200000000000000ae756e6b6e6f776e20726567696f6e"

/* REQUEST_BARE from node 1 to node 2 for shard 3. */
#define ENVELOPE "02003800010000000000000002000000000000000300000011000000" REQUEST_BARE

static struct text_view text(const char *from)
{
	return (struct text_view){.text = from, .length = (uint32_t)strlen(from)};
}

static void assert_text(struct text_view found, const char *expected)
{
	assert_int_equal(found.length, strlen(expected));
	assert_memory_equal(found.text, expected, found.length);
}

static void check_request(const char *hex, const char *collection, const char *region,
			  uint32_t lease_ms, enum region_transport transport, uint32_t proof_size)
{
	uint8_t golden[128], bytes[128];
	size_t size = test_unhex(hex, golden, sizeof(golden));
	struct region_request request;

	assert_int_equal(region_request_decode(golden, size, &request), 0);
	assert_text(request.collection, collection);
	assert_text(request.region, region);
	assert_int_equal(request.lease_ms, lease_ms);
	assert_int_equal(request.transport, transport);
	assert_int_equal(request.proof.size, proof_size);
	for (uint32_t i = 0; i < proof_size; i++)
		assert_int_equal(request.proof.bytes[i], i);
	assert_int_equal(region_request_encode(&request, bytes, sizeof(bytes)), size);
	assert_memory_equal(bytes, golden, size);
	for (size_t capacity = 0; capacity < size; capacity++) {
		assert_int_equal(region_request_encode(&request, bytes, capacity), 0);
		assert_int_equal(region_request_decode(golden, capacity, &request),
				 PAYLOAD_E_MALFORMED);
	}
}

static void requests_have_their_golden_bytes_both_ways(void **state)
{
	check_request(REQUEST, "col", "segment/1", 30000, REGION_TRANSPORT_VERBS, 32);
	check_request(REQUEST_BARE, "", "directory", 0, REGION_TRANSPORT_SHM, 0);
}

static void a_request_travels_in_its_golden_envelope(void **state)
{
	uint8_t golden[64], bytes[64], payload[32];
	size_t size = test_unhex(ENVELOPE, golden, sizeof(golden));
	struct region_request request;
	struct envelope envelope;

	assert_int_equal(envelope_decode(golden, size, &envelope), 0);
	assert_int_equal(envelope.type, MESSAGE_VECTOR_MEM_REGION_REQUEST);
	assert_int_equal(region_request_decode(envelope.payload, envelope.payload_size, &request),
			 0);
	envelope.payload_size = (uint32_t)region_request_encode(&request, payload, sizeof(payload));
	envelope.payload = payload;
	assert_int_equal(envelope_encode(&envelope, bytes, sizeof(bytes)), size);
	assert_memory_equal(bytes, golden, size);
}

static void check_answer(const char *hex, const struct region_answer *expected)
{
	uint8_t golden[128], bytes[128];
	size_t size = test_unhex(hex, golden, sizeof(golden));
	struct region_answer answer;

	assert_int_equal(region_answer_decode(golden, size, &answer), 0);
	assert_int_equal(answer.available, expected->available);
	assert_true(answer.remote_addr == expected->remote_addr);
	assert_int_equal(answer.rkey, expected->rkey);
	assert_true(answer.length == expected->length);
	assert_true(answer.generation == expected->generation);
	assert_true(answer.lease_id == expected->lease_id);
	assert_int_equal(answer.lease_ms, expected->lease_ms);
	assert_int_equal(answer.crc, expected->crc);
	assert_int_equal(answer.reason.length, expected->reason.length);
	assert_memory_equal(answer.reason.text, expected->reason.text, answer.reason.length);
	assert_int_equal(region_answer_encode(expected, bytes, sizeof(bytes)), size);
	assert_memory_equal(bytes, golden, size);
	for (size_t capacity = 0; capacity < size; capacity++) {
		assert_int_equal(region_answer_encode(expected, bytes, capacity), 0);
		assert_int_equal(region_answer_decode(golden, capacity, &answer),
				 PAYLOAD_E_MALFORMED);
	}
}

static const struct region_answer granted = {.available = true,
					     .remote_addr = 0x7f1234560000,
					     .rkey = 0xdeadbeef,
					     .length = 4u << 20,
					     .generation = 7,
					     .lease_id = 300,
					     .lease_ms = 30000,
					     .crc = 0x12345678,
					     .reason = {.text = ""}};

static void answers_have_their_golden_bytes_both_ways(void **state)
{
	check_answer(ANSWER, &granted);
	check_answer(REFUSAL, &(struct region_answer){.reason = text(REGION_UNKNOWN)});
}

static void a_refusal_gives_no_key_away(void **state)
{
	uint8_t golden[64], bytes[128];
	size_t size = test_unhex(REFUSAL, golden, sizeof(golden));
	struct region_answer answer = granted;

	answer.available = false;
	answer.reason = text(REGION_UNKNOWN);
	assert_int_equal(region_answer_encode(&answer, bytes, sizeof(bytes)), size);
	assert_memory_equal(bytes, golden, size);
}

static int decode_request(const char *hex)
{
	uint8_t bytes[512];
	struct region_request request;

	return region_request_decode(bytes, test_unhex(hex, bytes, sizeof(bytes)), &request);
}

static void bad_requests_are_refused(void **state)
{
	/* Five and seven elements, a map, and no array at all. */
	assert_int_equal(decode_request("9501a0a96469726563746f727900c400"), PAYLOAD_E_MALFORMED);
	assert_int_equal(decode_request("9701a0a96469726563746f72790002c40000"),
			 PAYLOAD_E_MALFORMED);
	assert_int_equal(decode_request("8601a0a96469726563746f72790002c400"), PAYLOAD_E_MALFORMED);
	assert_int_equal(decode_request("c0"), PAYLOAD_E_MALFORMED);
	/* A region of bytes, one that is not UTF-8, a signed lease, one of 64 bits, a proof of
	 * text. */
	assert_int_equal(decode_request("9601a0c401640002c400"), PAYLOAD_E_MALFORMED);
	assert_int_equal(decode_request("9601a0a1c00002c400"), PAYLOAD_E_MALFORMED);
	assert_int_equal(decode_request("9601a0a164d1753002c400"), PAYLOAD_E_MALFORMED);
	assert_int_equal(decode_request("9601a0a164cf000000000000000002c400"), PAYLOAD_E_MALFORMED);
	assert_int_equal(decode_request("9601a0a1640002a0"), PAYLOAD_E_MALFORMED);
	/* A proof that promises 2^32 - 1 bytes. */
	assert_int_equal(decode_request("9601a0a1640002c6ffffffff00"), PAYLOAD_E_MALFORMED);
	/* Versions 0 and 2, which may have any number of elements. */
	assert_int_equal(decode_request("9600a0a1640002c400"), PAYLOAD_E_VERSION);
	assert_int_equal(decode_request("9102"), PAYLOAD_E_VERSION);
}

static void limits_of_requests_hold(void **state)
{
	/* Transports 0, 1, 2 and 3. */
	assert_int_equal(decode_request("9601a0a1640000c400"), PAYLOAD_E_LIMIT);
	assert_int_equal(decode_request("9601a0a1640001c400"), 0);
	assert_int_equal(decode_request("9601a0a1640002c400"), 0);
	assert_int_equal(decode_request("9601a0a1640003c400"), PAYLOAD_E_LIMIT);
}

static void lengths_of_requests_are_limited(void **state)
{
	static const char letters[VECTOR_COLLECTION_MAX + 1];
	static const struct {
		uint32_t collection, region, proof;
		int expected;
	} cases[] = {
		{VECTOR_COLLECTION_MAX, REGION_NAME_MAX - 1, REGION_PROOF_MAX, 0},
		{VECTOR_COLLECTION_MAX + 1, 1, 0, PAYLOAD_E_LIMIT},
		{1, REGION_NAME_MAX, 0, PAYLOAD_E_LIMIT},
		{1, 1, REGION_PROOF_MAX + 1, PAYLOAD_E_LIMIT},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct region_request again,
			request = {
				.collection = {.text = letters, .length = cases[i].collection},
				.region = {.text = letters, .length = cases[i].region},
				.transport = REGION_TRANSPORT_VERBS,
				.proof = {.bytes = (const uint8_t *)letters,
					  .size = cases[i].proof},
			};
		uint8_t bytes[REGION_PAYLOAD_MAX];
		size_t size = region_request_encode(&request, bytes, sizeof(bytes));

		assert_true(size > 0);
		assert_int_equal(region_request_decode(bytes, size, &again), cases[i].expected);
	}
}

static int decode_answer(const char *hex)
{
	uint8_t bytes[512];
	struct region_answer answer;

	return region_answer_decode(bytes, test_unhex(hex, bytes, sizeof(bytes)), &answer);
}

static void answers_that_contradict_themselves_are_refused(void **state)
{
	assert_int_equal(decode_answer("9a01c301020304050607a0"), 0);
	/* Available with a reason; without a length, a lease, its time. */
	assert_int_equal(decode_answer("9a01c301020304050607a178"), PAYLOAD_E_MALFORMED);
	assert_int_equal(decode_answer("9a01c301020004050607a0"), PAYLOAD_E_MALFORMED);
	assert_int_equal(decode_answer("9a01c301020304000607a0"), PAYLOAD_E_MALFORMED);
	assert_int_equal(decode_answer("9a01c301020304050007a0"), PAYLOAD_E_MALFORMED);
	/* Memory that runs past the end of the address space. */
	assert_int_equal(decode_answer("9a01c3cfffffffffffffffff020304050607a0"),
			 PAYLOAD_E_MALFORMED);
	/* Not available without a reason, or with any number. */
	assert_int_equal(decode_answer("9a01c200000000000000a0"), PAYLOAD_E_MALFORMED);
	assert_int_equal(decode_answer("9a01c200000000000000a178"), 0);
	for (unsigned i = 0; i < 7; i++) {
		char hex[] = "9a01c200000000000000a178";

		hex[6 + 2 * i + 1] = '1';
		assert_int_equal(decode_answer(hex), PAYLOAD_E_MALFORMED);
	}
}

static void bad_answers_are_refused(void **state)
{
	/* Nine elements; an rkey, a lease and a checksum of 64 bits; a signed address. */
	assert_int_equal(decode_answer("9901c3010203040506a0"), PAYLOAD_E_MALFORMED);
	assert_int_equal(decode_answer("9a01c301cf00000000000000020304050607a0"),
			 PAYLOAD_E_MALFORMED);
	assert_int_equal(decode_answer("9a01c30102030405cf000000000000000607a0"),
			 PAYLOAD_E_MALFORMED);
	assert_int_equal(decode_answer("9a01c3010203040506cf0000000000000007a0"),
			 PAYLOAD_E_MALFORMED);
	assert_int_equal(decode_answer("9a01c3d001020304050607a0"), PAYLOAD_E_MALFORMED);
	/* `available` as a number; a reason that is nil. */
	assert_int_equal(decode_answer("9a010101020304050607a0"), PAYLOAD_E_MALFORMED);
	assert_int_equal(decode_answer("9a01c301020304050607c0"), PAYLOAD_E_MALFORMED);
	assert_int_equal(decode_answer("9102"), PAYLOAD_E_VERSION);
}

static void check_name(const char *written, enum region_kind kind, uint64_t segment)
{
	struct region_name name;
	char again[REGION_NAME_MAX];

	assert_int_equal(region_name_parse(text(written), &name), 0);
	assert_int_equal(name.kind, kind);
	assert_true(name.segment == segment);
	assert_int_equal(region_name_format(&name, again), strlen(written));
	assert_string_equal(again, written);
}

static void names_of_regions_go_both_ways(void **state)
{
	check_name("segment/1", REGION_KIND_SEGMENT, 1);
	check_name("segment/1/upper", REGION_KIND_UPPER, 1);
	check_name("segment/18446744073709551615", REGION_KIND_SEGMENT, UINT64_MAX);
	check_name("segment/18446744073709551615/upper", REGION_KIND_UPPER, UINT64_MAX);
	check_name("directory", REGION_KIND_DIRECTORY, 0);
}

static void names_of_no_region_are_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"segment",
		"segment/",
		"segment/0",
		"segment/01",
		"segment/+1",
		"segment/-1",
		"segment/ 1",
		"segment/1 ",
		"segment/0x1",
		"segment/1/",
		"segment/1/uppe",
		"segment/1/upper/",
		"segment//upper",
		"segment/18446744073709551616",
		"segment/99999999999999999999999999",
		"Segment/1",
		"directory/",
		"directory1",
		"director",
	};
	struct region_name name;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(region_name_parse(text(bad[i]), &name), PAYLOAD_E_LIMIT);
	/* A zero byte within. */
	assert_int_equal(
		region_name_parse((struct text_view){.text = "directory", .length = 10}, &name),
		PAYLOAD_E_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_have_their_golden_bytes_both_ways),
		cmocka_unit_test(a_request_travels_in_its_golden_envelope),
		cmocka_unit_test(answers_have_their_golden_bytes_both_ways),
		cmocka_unit_test(a_refusal_gives_no_key_away),
		cmocka_unit_test(bad_requests_are_refused),
		cmocka_unit_test(limits_of_requests_hold),
		cmocka_unit_test(lengths_of_requests_are_limited),
		cmocka_unit_test(answers_that_contradict_themselves_are_refused),
		cmocka_unit_test(bad_answers_are_refused),
		cmocka_unit_test(names_of_regions_go_both_ways),
		cmocka_unit_test(names_of_no_region_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

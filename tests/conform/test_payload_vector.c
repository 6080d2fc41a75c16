/* SPDX-License-Identifier: Apache-2.0 */
#include "base/byteorder.h"
#include "base/defs.h"
#include "proto/envelope.h"
#include "proto/message.h"
#include "proto/pack_f32.h"
#include "proto/payload_vector.h"
#include "tests/lib/test.h"

#include <math.h>
#include <string.h>

/* Protocol section 20.3: without a filter, with one, and inside an envelope. */
#define G9  "95aa656d62656464696e677393ca3f000000cabf800000ca400000000a64c2"
#define G10 "95a3636f6c92ca3f800000ca000000000532c304000000deadbeef"
#define G11 "0200320001000000000000000000000000000000020000001f000000" G9

/*
 * 94                    array of 4
 *   03                  shard_id 3
 *   92                  2 hits
 *     94                array of 4
 *       07              vector_id 7
 *       ca 3f000000     distance 0.5
 *       03              shard_id 3
 *       c0              no doc_id
 *     94
 *       cd 012c         vector_id 300
 *       ca 3f800000     distance 1.0
 *       03
 *       a3 646f63       doc_id "doc"
 *   c3                  success
 *   c0                  no error
 */
#define ANSWER_OK                                                                                  \
	"940392"                                                                                   \
	"9407ca3f00000003c0"                                                                       \
	"94cd012cca3f80000003a3646f63"                                                             \
	"c3c0"

/* Shard 9 failed: no hits, success false, error "shard moved". */
#define ANSWER_FAILED                                                                              \
	"940990"                                                                                   \
	"c2"                                                                                       \
	"ab7368617264206d6f766564"

/*
 * 93                    array of 3
 *   01                  v 1
 *   a3 636f6c           collection "col"
 *   cf 0000000100000000 known_generation 2^32
 */
#define COARSE_REQUEST "9301a3636f6ccf0000000100000000"

/*
 * 98                    array of 8
 *   01 02 07            v 1, shard_id 2, generation 7
 *   01 00 02            kind 1 (centroids), metric 0 (L2), dim 2
 *   cd 03e8             1000 vectors
 *   c4 18               body of 24 bytes, little endian:
 *     01000000 00000000   1 row, flags 0
 *     e8030000 0000c03f   1000 members, radius 1.5
 *     0000803f 000080bf   centroid (1, -1)
 */
#define COARSE_BODY                                                                                \
	"0100000000000000"                                                                         \
	"e80300000000c03f"                                                                         \
	"0000803f000080bf"
#define COARSE_ANSWER                                                                              \
	"98"                                                                                       \
	"010207"                                                                                   \
	"010002"                                                                                   \
	"cd03e8"                                                                                   \
	"c418" COARSE_BODY

/* v 1, shard 2, generation 7, kind 0, metric 1 (cosine), dim 0, 0 vectors, empty body. */
#define COARSE_UNCHANGED_ANSWER                                                                    \
	"98"                                                                                       \
	"010207"                                                                                   \
	"000100"                                                                                   \
	"00"                                                                                       \
	"c400"

static bool text_is(struct text_view view, const char *text)
{
	return view.length == strlen(text) && !memcmp(view.text, text, view.length);
}

static struct text_view text(const char *from)
{
	return (struct text_view){.text = from, .length = (uint32_t)strlen(from)};
}

static void check_scatter(const char *hex, const struct vector_scatter *expected)
{
	uint8_t golden[64], bytes[64];
	size_t size = test_unhex(hex, golden, sizeof(golden));
	struct vector_scatter scatter;
	float vector[4];

	assert_int_equal(vector_scatter_decode(golden, size, vector, 4, &scatter), 0);
	assert_int_equal(scatter.collection.length, expected->collection.length);
	assert_memory_equal(scatter.collection.text, expected->collection.text,
			    expected->collection.length);
	assert_int_equal(scatter.dim, expected->dim);
	assert_ptr_equal(scatter.vector, vector);
	assert_memory_equal(vector, expected->vector, expected->dim * sizeof(float));
	assert_int_equal(scatter.top_k, expected->top_k);
	assert_int_equal(scatter.ef_search, expected->ef_search);
	assert_int_equal(scatter.has_filter, expected->has_filter);
	assert_int_equal(scatter.filter_size, expected->filter_size);
	if (scatter.has_filter)
		assert_memory_equal(scatter.filter, expected->filter, expected->filter_size);
	assert_int_equal(vector_scatter_size(expected), size);
	assert_int_equal(vector_scatter_encode(expected, bytes, sizeof(bytes)), size);
	assert_memory_equal(bytes, golden, size);
	for (size_t capacity = 0; capacity < size; capacity++)
		assert_int_equal(vector_scatter_encode(expected, bytes, capacity), 0);
}

static void scatter_requests_have_their_golden_bytes_both_ways(void **state)
{
	const float three[] = {0.5f, -1.0f, 2.0f}, two[] = {1.0f, 0.0f};

	check_scatter(G9, &(struct vector_scatter){.collection = text("embeddings"),
						   .vector = three,
						   .dim = 3,
						   .top_k = 10,
						   .ef_search = 100});
	check_scatter(G10, &(struct vector_scatter){.collection = text("col"),
						    .vector = two,
						    .dim = 2,
						    .top_k = 5,
						    .ef_search = 50,
						    .has_filter = true,
						    .filter = (const uint8_t *)"\xde\xad\xbe\xef",
						    .filter_size = 4});
}

static void a_scatter_request_travels_in_its_golden_envelope(void **state)
{
	uint8_t golden[64], bytes[64], payload[64];
	size_t size = test_unhex(G11, golden, sizeof(golden));
	struct vector_scatter scatter;
	struct envelope envelope;
	float vector[4];

	assert_int_equal(envelope_decode(golden, size, &envelope), 0);
	assert_int_equal(envelope.type, MESSAGE_VECTOR_SCATTER_REQUEST);
	assert_int_equal(
		vector_scatter_decode(envelope.payload, envelope.payload_size, vector, 4, &scatter),
		0);
	envelope.payload_size = (uint32_t)vector_scatter_encode(&scatter, payload, sizeof(payload));
	envelope.payload = payload;
	assert_int_equal(envelope_encode(&envelope, bytes, sizeof(bytes)), size);
	assert_memory_equal(bytes, golden, size);
}

static int decode_scatter(const char *hex)
{
	uint8_t bytes[128];
	size_t size = test_unhex(hex, bytes, sizeof(bytes));
	struct vector_scatter scatter;
	float vector[3];

	return vector_scatter_decode(bytes, size, vector, 3, &scatter);
}

static void bad_scatter_requests_are_refused(void **state)
{
	/* N5, N6 and N8 of protocol section 20.5. */
	assert_int_equal(decode_scatter("95a3636f6c91010564c2"), PAYLOAD_E_MALFORMED);
	assert_int_equal(decode_scatter("95a3636f6c91ca3f800000d100c864c2"), PAYLOAD_E_MALFORMED);
	assert_int_equal(decode_scatter("94a3636f6c91ca3f8000000564"), PAYLOAD_E_MALFORMED);
	/* An f64 element, a u64 top_k, text that is not UTF-8, a collection that is bin. */
	assert_int_equal(decode_scatter("95a3636f6c91cb3ff00000000000000564c2"),
			 PAYLOAD_E_MALFORMED);
	assert_int_equal(decode_scatter("95a3636f6c91ca3f800000cf000000000000000564c2"),
			 PAYLOAD_E_MALFORMED);
	assert_int_equal(decode_scatter("95a363c06c91ca3f8000000564c2"), PAYLOAD_E_MALFORMED);
	assert_int_equal(decode_scatter("95c403636f6c91ca3f8000000564c2"), PAYLOAD_E_MALFORMED);
	/* An array that promises 2^32 - 1 elements, and a filter that promises as many bytes. */
	assert_int_equal(decode_scatter("95a3636f6cddffffffffca3f8000000564c2"),
			 PAYLOAD_E_MALFORMED);
	assert_int_equal(decode_scatter("95a3636f6c91ca3f8000000564c3ffffffff00"),
			 PAYLOAD_E_MALFORMED);
	/* Map instead of array. */
	assert_int_equal(decode_scatter("85a3636f6c91ca3f8000000564c2"), PAYLOAD_E_MALFORMED);
}

static void limits_of_scatter_requests_hold(void **state)
{
	/* Four elements where the caller has room for three; none at all. */
	assert_int_equal(decode_scatter("95a3636f6c94ca3f800000ca3f800000ca3f800000ca3f8000000564"
					"c2"),
			 PAYLOAD_E_LIMIT);
	assert_int_equal(decode_scatter("95a3636f6c900564c2"), PAYLOAD_E_LIMIT);
	/* top_k 0, 10000, 10001; ef_search 8192, 8193. */
	assert_int_equal(decode_scatter("95a3636f6c91ca3f8000000064c2"), PAYLOAD_E_LIMIT);
	assert_int_equal(decode_scatter("95a3636f6c91ca3f800000cd271064c2"), 0);
	assert_int_equal(decode_scatter("95a3636f6c91ca3f800000cd271164c2"), PAYLOAD_E_LIMIT);
	assert_int_equal(decode_scatter("95a3636f6c91ca3f80000005cd2000c2"), 0);
	assert_int_equal(decode_scatter("95a3636f6c91ca3f80000005cd2001c2"), PAYLOAD_E_LIMIT);
}

static void long_collection_names_are_refused(void **state)
{
	uint8_t bytes[512];
	char name[VECTOR_COLLECTION_MAX + 1];
	const float one = 1;
	float vector[1];
	struct vector_scatter scatter = {
		.vector = &one, .dim = 1, .top_k = 1, .collection.text = name};

	memset(name, 'n', sizeof(name));
	for (uint32_t length = VECTOR_COLLECTION_MAX; length <= VECTOR_COLLECTION_MAX + 1;
	     length++) {
		struct vector_scatter back;
		size_t size;

		scatter.collection.length = length;
		size = vector_scatter_encode(&scatter, bytes, sizeof(bytes));
		assert_int_equal(vector_scatter_decode(bytes, size, vector, 1, &back),
				 length > VECTOR_COLLECTION_MAX ? PAYLOAD_E_LIMIT : 0);
	}
}

static void non_minimal_headers_and_trailing_bytes_are_accepted(void **state)
{
	/* dc0005 for 95, d903 for a3, dd00000001 for 91, cc05 for 05, ce00000064 for 64. */
	assert_int_equal(decode_scatter("dc0005d903636f6cdd00000001ca3f800000cc05ce00000064c2"), 0);
	assert_int_equal(decode_scatter(G9 "ffff"), 0);
}

static void every_truncation_of_a_scatter_request_is_refused(void **state)
{
	uint8_t golden[64];
	struct vector_scatter scatter;
	float vector[4];
	static const char *const goldens[] = {G9, G10};

	for (size_t i = 0; i < ARRAY_COUNT(goldens); i++) {
		size_t size = test_unhex(goldens[i], golden, sizeof(golden));

		for (size_t cut = 0; cut < size; cut++)
			assert_int_equal(vector_scatter_decode(golden, cut, vector, 4, &scatter),
					 PAYLOAD_E_MALFORMED);
	}
}

static void answers_have_their_golden_bytes_both_ways(void **state)
{
	uint8_t golden[64], bytes[64];
	struct vector_answer answer;
	struct vector_hit hits[2];
	size_t size = test_unhex(ANSWER_OK, golden, sizeof(golden));

	assert_int_equal(vector_answer_decode(golden, size, hits, 2, &answer), 0);
	assert_int_equal(answer.shard_id, 3);
	assert_int_equal(answer.hit_count, 2);
	assert_ptr_equal(answer.hits, hits);
	assert_true(answer.success);
	assert_false(answer.has_error);
	assert_int_equal(hits[0].vector_id, 7);
	assert_true(hits[0].distance == 0.5f);
	assert_int_equal(hits[0].shard_id, 3);
	assert_false(hits[0].has_doc_id);
	assert_int_equal(hits[1].vector_id, 300);
	assert_true(hits[1].distance == 1.0f);
	assert_true(hits[1].has_doc_id && text_is(hits[1].doc_id, "doc"));
	assert_int_equal(vector_answer_size(&answer), size);
	assert_int_equal(vector_answer_encode(&answer, bytes, sizeof(bytes)), size);
	assert_memory_equal(bytes, golden, size);
	for (size_t capacity = 0; capacity < size; capacity++)
		assert_int_equal(vector_answer_encode(&answer, bytes, capacity), 0);
	for (size_t cut = 0; cut < size; cut++)
		assert_int_equal(vector_answer_decode(golden, cut, hits, 2, &answer),
				 PAYLOAD_E_MALFORMED);
}

static void a_failed_shard_says_why(void **state)
{
	uint8_t golden[64], bytes[64];
	struct vector_answer answer;
	size_t size = test_unhex(ANSWER_FAILED, golden, sizeof(golden));

	assert_int_equal(vector_answer_decode(golden, size, NULL, 0, &answer), 0);
	assert_int_equal(answer.shard_id, 9);
	assert_int_equal(answer.hit_count, 0);
	assert_false(answer.success);
	assert_true(answer.has_error && text_is(answer.error, "shard moved"));
	assert_int_equal(vector_answer_encode(&answer, bytes, sizeof(bytes)), size);
	assert_memory_equal(bytes, golden, size);
}

static int decode_answer(const char *hex, uint32_t hit_max)
{
	uint8_t bytes[128];
	size_t size = test_unhex(hex, bytes, sizeof(bytes));
	struct vector_answer answer;
	struct vector_hit hits[4];

	return vector_answer_decode(bytes, size, hits, hit_max, &answer);
}

static void bad_answers_are_refused(void **state)
{
	assert_int_equal(decode_answer(ANSWER_OK, 1), PAYLOAD_E_LIMIT);
	/* More hits promised than bytes there; a hit of three; a signed id; an f64 distance. */
	assert_int_equal(decode_answer("9403dd7fffffffc3c0", 4), PAYLOAD_E_MALFORMED);
	assert_int_equal(decode_answer("9403919307ca3f00000003c3c0", 4), PAYLOAD_E_MALFORMED);
	assert_int_equal(decode_answer("94039194ffca3f00000003c0c3c0", 4), PAYLOAD_E_MALFORMED);
	assert_int_equal(decode_answer("9403919407cb3fe000000000000003c0c3c0", 4),
			 PAYLOAD_E_MALFORMED);
	/* success as an integer; an error that is not text; an array of five. */
	assert_int_equal(decode_answer("94039001c0", 4), PAYLOAD_E_MALFORMED);
	assert_int_equal(decode_answer("940390c2c40161", 4), PAYLOAD_E_MALFORMED);
	assert_int_equal(decode_answer("950390c3c0c0", 4), PAYLOAD_E_MALFORMED);
}

static void long_texts_in_answers_are_refused(void **state)
{
	uint8_t bytes[2048];
	char name[VECTOR_DOC_ID_MAX + 1];
	struct vector_hit hit = {.has_doc_id = true, .doc_id = {name, VECTOR_DOC_ID_MAX + 1}}, back;
	struct vector_answer answer = {.hits = &hit, .hit_count = 1, .success = true}, ret;
	size_t size;

	memset(name, 'n', sizeof(name));
	size = vector_answer_encode(&answer, bytes, sizeof(bytes));
	assert_int_equal(vector_answer_decode(bytes, size, &back, 1, &ret), PAYLOAD_E_LIMIT);
	hit.doc_id.length = VECTOR_DOC_ID_MAX;
	size = vector_answer_encode(&answer, bytes, sizeof(bytes));
	assert_int_equal(vector_answer_decode(bytes, size, &back, 1, &ret), 0);
	answer.has_error = true;
	answer.error = (struct text_view){name, VECTOR_ERROR_MAX + 1};
	size = vector_answer_encode(&answer, bytes, sizeof(bytes));
	assert_int_equal(vector_answer_decode(bytes, size, &back, 1, &ret), PAYLOAD_E_LIMIT);
}

static void coarse_requests_have_their_golden_bytes_both_ways(void **state)
{
	uint8_t golden[64], bytes[64];
	struct coarse_request request;
	size_t size = test_unhex(COARSE_REQUEST, golden, sizeof(golden));

	assert_int_equal(coarse_request_decode(golden, size, &request), 0);
	assert_true(text_is(request.collection, "col"));
	assert_true(request.known_generation == UINT64_C(1) << 32);
	assert_int_equal(coarse_request_encode(&request, bytes, sizeof(bytes)), size);
	assert_memory_equal(bytes, golden, size);
	for (size_t cut = 0; cut < size; cut++) {
		assert_int_equal(coarse_request_decode(golden, cut, &request), PAYLOAD_E_MALFORMED);
		assert_int_equal(coarse_request_encode(&request, bytes, cut), 0);
	}
}

static void coarse_answers_have_their_golden_bytes_both_ways(void **state)
{
	static const char *const goldens[] = {COARSE_ANSWER, COARSE_UNCHANGED_ANSWER};
	uint8_t golden[64], bytes[64];
	struct coarse_answer answer;

	for (size_t i = 0; i < ARRAY_COUNT(goldens); i++) {
		size_t size = test_unhex(goldens[i], golden, sizeof(golden));

		assert_int_equal(coarse_answer_decode(golden, size, &answer), 0);
		assert_int_equal(answer.shard_id, 2);
		assert_int_equal(answer.generation, 7);
		assert_int_equal(answer.kind, i ? COARSE_UNCHANGED : COARSE_CENTROIDS);
		assert_int_equal(answer.metric, i);
		assert_int_equal(answer.dim, i ? 0 : 2);
		assert_int_equal(answer.vector_count, i ? 0 : 1000);
		assert_int_equal(answer.body_size, i ? 0 : 24);
		assert_int_equal(coarse_answer_encode(&answer, bytes, sizeof(bytes)), size);
		assert_memory_equal(bytes, golden, size);
		for (size_t cut = 0; cut < size; cut++)
			assert_int_equal(coarse_answer_decode(golden, cut, &answer),
					 PAYLOAD_E_MALFORMED);
	}
}

static int decode_coarse_request(const char *hex)
{
	uint8_t bytes[64];
	struct coarse_request request;

	return coarse_request_decode(bytes, test_unhex(hex, bytes, sizeof(bytes)), &request);
}

static int decode_coarse_answer(const char *hex)
{
	uint8_t bytes[64];
	struct coarse_answer answer;

	return coarse_answer_decode(bytes, test_unhex(hex, bytes, sizeof(bytes)), &answer);
}

static void another_version_is_refused_by_name(void **state)
{
	assert_int_equal(decode_coarse_request("9302a3636f6c00"), PAYLOAD_E_VERSION);
	assert_int_equal(decode_coarse_request("9402a3636f6c0000"), PAYLOAD_E_VERSION);
	assert_int_equal(decode_coarse_request("9401a3636f6c0000"), PAYLOAD_E_MALFORMED);
	assert_int_equal(decode_coarse_request("90"), PAYLOAD_E_MALFORMED);
	assert_int_equal(decode_coarse_answer("98"
					      "000207"
					      "000100"
					      "00"
					      "c400"),
			 PAYLOAD_E_VERSION);
	assert_int_equal(decode_coarse_answer("9103"), PAYLOAD_E_VERSION);
}

static void bad_coarse_answers_are_refused(void **state)
{
	/* kind 2; kind 0 with a body; metric 3; dim 4097; body as a string. */
	assert_int_equal(decode_coarse_answer("98"
					      "010207"
					      "020100"
					      "00"
					      "c400"),
			 PAYLOAD_E_MALFORMED);
	assert_int_equal(decode_coarse_answer("98"
					      "010207"
					      "000100"
					      "00"
					      "c40100"),
			 PAYLOAD_E_MALFORMED);
	assert_int_equal(decode_coarse_answer("98"
					      "010207"
					      "000300"
					      "00"
					      "c400"),
			 PAYLOAD_E_LIMIT);
	assert_int_equal(decode_coarse_answer("98"
					      "010207"
					      "0001cd1001"
					      "00"
					      "c400"),
			 PAYLOAD_E_LIMIT);
	assert_int_equal(decode_coarse_answer("98"
					      "010207"
					      "000100"
					      "00"
					      "a0"),
			 PAYLOAD_E_MALFORMED);
}

static void centroid_rows_are_found_where_they_stand(void **state)
{
	uint8_t body[64];
	size_t size = test_unhex(COARSE_BODY, body, sizeof(body));
	struct centroid_row row;
	uint32_t count;

	assert_int_equal(centroid_body_check(body, size, 2, &count), 0);
	assert_int_equal(count, 1);
	row = centroid_body_row(body, 2, 0);
	assert_int_equal(row.member_count, 1000);
	assert_true(row.radius == 1.5f);
	assert_true(load_lef32(row.floats) == 1.0f && load_lef32(row.floats + 4) == -1.0f);
}

static void bad_centroid_bodies_are_refused(void **state)
{
	uint8_t body[64];
	size_t size = test_unhex(COARSE_BODY, body, sizeof(body));
	uint32_t count = 77;

	for (size_t cut = 0; cut < size; cut++)
		assert_int_equal(centroid_body_check(body, cut, 2, &count), PAYLOAD_E_MALFORMED);
	assert_int_equal(centroid_body_check(body, size + 1, 2, &count), PAYLOAD_E_MALFORMED);
	assert_int_equal(centroid_body_check(body, size, 3, &count), PAYLOAD_E_MALFORMED);
	assert_int_equal(centroid_body_check(body, size, VECTOR_DIM_MAX + 1, &count),
			 PAYLOAD_E_LIMIT);
	/* Radius and centroid have to be finite, flags 0, the count in its limit. */
	for (size_t at = 12; at < size; at += 4) {
		static const float infinite[] = {NAN, INFINITY, -INFINITY};

		for (size_t i = 0; i < ARRAY_COUNT(infinite); i++) {
			uint8_t bad[64];

			memcpy(bad, body, size);
			store_lef32(bad + at, infinite[i]);
			assert_int_equal(centroid_body_check(bad, size, 2, &count),
					 PAYLOAD_E_MALFORMED);
		}
	}
	body[4] = 1;
	assert_int_equal(centroid_body_check(body, size, 2, &count), PAYLOAD_E_MALFORMED);
	body[4] = 0;
	store_le32(body, VECTOR_CENTROID_MAX + 1);
	assert_int_equal(centroid_body_check(body, size, 2, &count), PAYLOAD_E_LIMIT);
	store_le32(body, UINT32_MAX);
	assert_int_equal(centroid_body_check(body, size, 2, &count), PAYLOAD_E_LIMIT);
	assert_int_equal(count, 77);
}

static void float_bits_survive_a_request(void **state)
{
	/* Quiet and signalling NaN with payload, infinities, -0, the smallest denormal. */
	static const uint32_t bits[] = {0x7fc12345, 0x7f812345, 0xffbfffff, 0x7f800000,
					0xff800000, 0x80000000, 1,          0xcacacaca};
	uint8_t bytes[128];
	float vector[ARRAY_COUNT(bits)], back[ARRAY_COUNT(bits)];
	struct vector_scatter scatter = {
		.vector = vector, .dim = ARRAY_COUNT(bits), .top_k = 1, .collection = text("c")};
	struct vector_scatter ret;
	size_t size;

	memcpy(vector, bits, sizeof(bits));
	size = vector_scatter_encode(&scatter, bytes, sizeof(bytes));
	assert_int_equal(vector_scatter_decode(bytes, size, back, ARRAY_COUNT(back), &ret), 0);
	assert_memory_equal(back, bits, sizeof(bits));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scatter_requests_have_their_golden_bytes_both_ways),
		cmocka_unit_test(a_scatter_request_travels_in_its_golden_envelope),
		cmocka_unit_test(bad_scatter_requests_are_refused),
		cmocka_unit_test(limits_of_scatter_requests_hold),
		cmocka_unit_test(long_collection_names_are_refused),
		cmocka_unit_test(non_minimal_headers_and_trailing_bytes_are_accepted),
		cmocka_unit_test(every_truncation_of_a_scatter_request_is_refused),
		cmocka_unit_test(answers_have_their_golden_bytes_both_ways),
		cmocka_unit_test(a_failed_shard_says_why),
		cmocka_unit_test(bad_answers_are_refused),
		cmocka_unit_test(long_texts_in_answers_are_refused),
		cmocka_unit_test(coarse_requests_have_their_golden_bytes_both_ways),
		cmocka_unit_test(coarse_answers_have_their_golden_bytes_both_ways),
		cmocka_unit_test(another_version_is_refused_by_name),
		cmocka_unit_test(bad_coarse_answers_are_refused),
		cmocka_unit_test(centroid_rows_are_found_where_they_stand),
		cmocka_unit_test(bad_centroid_bodies_are_refused),
		cmocka_unit_test(float_bits_survive_a_request),
	};
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

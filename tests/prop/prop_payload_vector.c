/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Random payloads of types 50 to 53: what was encoded is what is decoded, at
 * every size; a cut one is refused; one with a flipped bit is refused or
 * decoded within the limits. Types 50 and 51 are also written by msgpack-c, as
 * somebody else's node would.
 *
 * A seed as the argument replays a run.
 */

#include "base/defs.h"
#include "base/metric.h"
#include "base/rand.h"
#include "proto/payload_vector.h"
#include "tests/lib/test.h"

#include <inttypes.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#define ROUND_COUNT 3000
#define HIT_MAX     200
#define BUFFER_SIZE (256 * 1024)

static uint64_t seed = 50515253;
static struct rand rand_state;
static uint8_t bytes[BUFFER_SIZE], damaged[BUFFER_SIZE], blob[4096];
static char letters[VECTOR_DOC_ID_MAX + 1];
static float vector[VECTOR_DIM_MAX], vector_again[VECTOR_DIM_MAX];
static struct vector_hit hits[HIT_MAX], hits_again[HIT_MAX];

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

static float random_float(void)
{
	uint32_t bits = (uint32_t)rand_next(&rand_state);
	float value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

static struct text_view random_text(uint32_t length_max)
{
	return (struct text_view){.text = letters, .length = below(length_max + 1)};
}

static void assert_same_text(struct text_view a, struct text_view b)
{
	assert_int_equal(a.length, b.length);
	assert_true(!a.length || !memcmp(a.text, b.text, a.length));
}

static void flip_a_bit(size_t size)
{
	size_t bit = rand_below(&rand_state, 8 * size);

	memcpy(damaged, bytes, size);
	damaged[bit / 8] ^= (uint8_t)(1u << bit % 8);
}

static void random_scatter(struct vector_scatter *ret_scatter)
{
	*ret_scatter = (struct vector_scatter){
		.collection = random_text(VECTOR_COLLECTION_MAX),
		.vector = vector,
		.dim = 1 + below(below(10) ? 200 : VECTOR_DIM_MAX),
		.top_k = 1 + below(VECTOR_TOP_K_MAX),
		.ef_search = below(VECTOR_EF_MAX + 1),
		.has_filter = below(2),
	};
	if (ret_scatter->has_filter) {
		ret_scatter->filter = blob;
		ret_scatter->filter_size = below(sizeof(blob) + 1);
	}
	for (uint32_t i = 0; i < ret_scatter->dim; i++)
		vector[i] = random_float();
}

static void assert_same_scatter(const struct vector_scatter *a, const struct vector_scatter *b)
{
	assert_same_text(a->collection, b->collection);
	assert_int_equal(a->dim, b->dim);
	assert_memory_equal(a->vector, b->vector, a->dim * sizeof(float));
	assert_int_equal(a->top_k, b->top_k);
	assert_int_equal(a->ef_search, b->ef_search);
	assert_int_equal(a->has_filter, b->has_filter);
	assert_int_equal(a->filter_size, b->filter_size);
	assert_true(!a->filter_size || !memcmp(a->filter, b->filter, a->filter_size));
}

static void scatter_requests_survive(void **state)
{
	for (unsigned i = 0; i < ROUND_COUNT; i++) {
		struct vector_scatter scatter, again;
		size_t size;

		random_scatter(&scatter);
		size = vector_scatter_encode(&scatter, bytes, sizeof(bytes));
		assert_int_equal(size, vector_scatter_size(&scatter));
		assert_int_equal(
			vector_scatter_decode(bytes, size, vector_again, scatter.dim, &again), 0);
		assert_same_scatter(&scatter, &again);
		assert_int_equal(vector_scatter_decode(bytes, below(size), vector_again,
						       VECTOR_DIM_MAX, &again),
				 PAYLOAD_E_MALFORMED);
		if (scatter.dim > 1)
			assert_int_equal(vector_scatter_decode(bytes, size, vector_again,
							       scatter.dim - 1, &again),
					 PAYLOAD_E_LIMIT);
		flip_a_bit(size);
		if (!vector_scatter_decode(damaged, size, vector_again, VECTOR_DIM_MAX, &again)) {
			assert_in_range(again.dim, 1, VECTOR_DIM_MAX);
			assert_in_range(again.top_k, 1, VECTOR_TOP_K_MAX);
			assert_in_range(again.ef_search, 0, VECTOR_EF_MAX);
		}
	}
}

static void random_answer(struct vector_answer *ret_answer)
{
	*ret_answer = (struct vector_answer){
		.shard_id = random_u32(),
		.hits = hits,
		.hit_count = below(HIT_MAX + 1),
		.success = below(2),
		.has_error = below(2),
	};
	if (ret_answer->has_error)
		ret_answer->error = random_text(VECTOR_ERROR_MAX);
	for (uint32_t i = 0; i < ret_answer->hit_count; i++) {
		hits[i] = (struct vector_hit){.vector_id = random_u32(),
					      .distance = random_float(),
					      .shard_id = random_u32(),
					      .has_doc_id = below(2)};
		if (hits[i].has_doc_id)
			hits[i].doc_id = random_text(VECTOR_DOC_ID_MAX);
	}
}

static void assert_same_answer(const struct vector_answer *a, const struct vector_answer *b)
{
	assert_int_equal(a->shard_id, b->shard_id);
	assert_int_equal(a->hit_count, b->hit_count);
	assert_int_equal(a->success, b->success);
	assert_int_equal(a->has_error, b->has_error);
	assert_same_text(a->error, b->error);
	for (uint32_t i = 0; i < a->hit_count; i++) {
		assert_int_equal(a->hits[i].vector_id, b->hits[i].vector_id);
		assert_memory_equal(&a->hits[i].distance, &b->hits[i].distance, sizeof(float));
		assert_int_equal(a->hits[i].shard_id, b->hits[i].shard_id);
		assert_int_equal(a->hits[i].has_doc_id, b->hits[i].has_doc_id);
		assert_same_text(a->hits[i].doc_id, b->hits[i].doc_id);
	}
}

static void answers_survive(void **state)
{
	for (unsigned i = 0; i < ROUND_COUNT; i++) {
		struct vector_answer answer, again;
		size_t size;

		random_answer(&answer);
		size = vector_answer_encode(&answer, bytes, sizeof(bytes));
		assert_int_equal(size, vector_answer_size(&answer));
		assert_int_equal(
			vector_answer_decode(bytes, size, hits_again, answer.hit_count, &again), 0);
		assert_same_answer(&answer, &again);
		assert_int_equal(
			vector_answer_decode(bytes, below(size), hits_again, HIT_MAX, &again),
			PAYLOAD_E_MALFORMED);
		if (answer.hit_count)
			assert_int_equal(vector_answer_decode(bytes, size, hits_again,
							      answer.hit_count - 1, &again),
					 PAYLOAD_E_LIMIT);
		flip_a_bit(size);
		if (!vector_answer_decode(damaged, size, hits_again, HIT_MAX, &again))
			assert_in_range(again.hit_count, 0, HIT_MAX);
	}
}

static void coarse_requests_survive(void **state)
{
	for (unsigned i = 0; i < ROUND_COUNT; i++) {
		struct coarse_request request = {.collection = random_text(VECTOR_COLLECTION_MAX),
						 .known_generation = random_u64()};
		struct coarse_request again;
		size_t size = coarse_request_encode(&request, bytes, sizeof(bytes));

		assert_int_equal(coarse_request_decode(bytes, size, &again), 0);
		assert_same_text(request.collection, again.collection);
		assert_true(request.known_generation == again.known_generation);
		assert_int_equal(coarse_request_decode(bytes, below(size), &again),
				 PAYLOAD_E_MALFORMED);
	}
}

static void coarse_answers_survive(void **state)
{
	for (unsigned i = 0; i < ROUND_COUNT; i++) {
		struct coarse_answer answer = {.shard_id = random_u32(),
					       .generation = random_u64(),
					       .kind = below(2) ? COARSE_CENTROIDS
								: COARSE_UNCHANGED,
					       .metric = below(METRIC_COUNT),
					       .dim = below(VECTOR_DIM_MAX + 1),
					       .vector_count = random_u64()};
		struct coarse_answer again;
		size_t size;

		if (answer.kind == COARSE_CENTROIDS) {
			answer.body = blob;
			answer.body_size = below(sizeof(blob) + 1);
		}
		size = coarse_answer_encode(&answer, bytes, sizeof(bytes));
		assert_int_equal(coarse_answer_decode(bytes, size, &again), 0);
		assert_int_equal(answer.shard_id, again.shard_id);
		assert_true(answer.generation == again.generation);
		assert_int_equal(answer.kind, again.kind);
		assert_int_equal(answer.metric, again.metric);
		assert_int_equal(answer.dim, again.dim);
		assert_true(answer.vector_count == again.vector_count);
		assert_int_equal(answer.body_size, again.body_size);
		assert_true(!answer.body_size ||
			    !memcmp(answer.body, again.body, answer.body_size));
		assert_int_equal(coarse_answer_decode(bytes, below(size), &again),
				 PAYLOAD_E_MALFORMED);
	}
}

static void pack_text(msgpack_packer *packer, bool present, struct text_view text)
{
	if (present)
		msgpack_pack_str_with_body(packer, text.text, text.length);
	else
		msgpack_pack_nil(packer);
}

static void pack_bool(msgpack_packer *packer, bool value)
{
	(void)(value ? msgpack_pack_true(packer) : msgpack_pack_false(packer));
}

static void requests_by_msgpack_c_are_the_same_bytes(void **state)
{
	for (unsigned i = 0; i < ROUND_COUNT / 10; i++) {
		struct vector_scatter scatter;
		msgpack_sbuffer buffer;
		msgpack_packer packer;

		random_scatter(&scatter);
		scatter.has_filter = false; /* it is not MessagePack */
		msgpack_sbuffer_init(&buffer);
		msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
		msgpack_pack_array(&packer, 5);
		pack_text(&packer, true, scatter.collection);
		msgpack_pack_array(&packer, scatter.dim);
		for (uint32_t at = 0; at < scatter.dim; at++)
			msgpack_pack_float(&packer, vector[at]);
		msgpack_pack_uint32(&packer, scatter.top_k);
		msgpack_pack_uint32(&packer, scatter.ef_search);
		pack_bool(&packer, false);
		assert_int_equal(vector_scatter_encode(&scatter, bytes, sizeof(bytes)),
				 buffer.size);
		assert_memory_equal(bytes, buffer.data, buffer.size);
		msgpack_sbuffer_destroy(&buffer);
	}
}

static void answers_by_msgpack_c_are_the_same_bytes(void **state)
{
	for (unsigned i = 0; i < ROUND_COUNT / 10; i++) {
		struct vector_answer answer;
		msgpack_sbuffer buffer;
		msgpack_packer packer;

		random_answer(&answer);
		msgpack_sbuffer_init(&buffer);
		msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
		msgpack_pack_array(&packer, 4);
		msgpack_pack_uint32(&packer, answer.shard_id);
		msgpack_pack_array(&packer, answer.hit_count);
		for (uint32_t at = 0; at < answer.hit_count; at++) {
			msgpack_pack_array(&packer, 4);
			msgpack_pack_uint32(&packer, hits[at].vector_id);
			msgpack_pack_float(&packer, hits[at].distance);
			msgpack_pack_uint32(&packer, hits[at].shard_id);
			pack_text(&packer, hits[at].has_doc_id, hits[at].doc_id);
		}
		pack_bool(&packer, answer.success);
		pack_text(&packer, answer.has_error, answer.error);
		assert_int_equal(vector_answer_encode(&answer, bytes, sizeof(bytes)), buffer.size);
		assert_memory_equal(bytes, buffer.data, buffer.size);
		msgpack_sbuffer_destroy(&buffer);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scatter_requests_survive),
		cmocka_unit_test(answers_survive),
		cmocka_unit_test(coarse_requests_survive),
		cmocka_unit_test(coarse_answers_survive),
		cmocka_unit_test(requests_by_msgpack_c_are_the_same_bytes),
		cmocka_unit_test(answers_by_msgpack_c_are_the_same_bytes),
	};

	if (argc > 1)
		seed = strtoull(argv[1], NULL, 0);
	print_message("seed %" PRIu64 "\n", seed);
	rand_init(&rand_state, seed);
	memset(letters, 'v', sizeof(letters));
	for (size_t i = 0; i < sizeof(blob); i++)
		blob[i] = (uint8_t)rand_next(&rand_state);
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

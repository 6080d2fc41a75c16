/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Types 50 to 53: each input goes to every decoder. What is decoded encodes to
 * bytes that decode and encode to themselves. Every instruction set reads the
 * same floats.
 */

#include "base/byteorder.h"
#include "base/check.h"
#include "base/defs.h"
#include "proto/pack_f32.h"
#include "proto/payload_vector.h"

#include <math.h>
#include <stdlib.h>

#define HIT_MAX 64

/* Inputs of libFuzzer are small; what is larger than this is not encoded again. */
#define BUFFER_SIZE (64 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static uint8_t once[BUFFER_SIZE], twice[BUFFER_SIZE];

static void check_same(size_t once_size, size_t twice_size)
{
	CHECK(once_size == twice_size);
	CHECK(!memcmp(once, twice, once_size));
}

static void check_scatter(const uint8_t *bytes, size_t size)
{
	static float vector[VECTOR_DIM_MAX], vector_again[VECTOR_DIM_MAX];
	struct vector_scatter scatter, again;
	size_t once_size;

	if (vector_scatter_decode(bytes, size, vector, VECTOR_DIM_MAX, &scatter))
		return;
	CHECK(scatter.dim >= 1 && scatter.dim <= VECTOR_DIM_MAX);
	CHECK(scatter.top_k >= 1 && scatter.top_k <= VECTOR_TOP_K_MAX);
	CHECK(vector_scatter_size(&scatter) <= size);
	once_size = vector_scatter_encode(&scatter, once, sizeof(once));
	CHECK(once_size);
	CHECK(!vector_scatter_decode(once, once_size, vector_again, VECTOR_DIM_MAX, &again));
	CHECK(!memcmp(vector, vector_again, scatter.dim * sizeof(float)));
	check_same(once_size, vector_scatter_encode(&again, twice, sizeof(twice)));
}

static void check_answer(const uint8_t *bytes, size_t size)
{
	struct vector_hit hits[HIT_MAX], hits_again[HIT_MAX];
	struct vector_answer answer, again;
	size_t once_size;

	if (vector_answer_decode(bytes, size, hits, HIT_MAX, &answer))
		return;
	CHECK(answer.hit_count <= HIT_MAX);
	CHECK(vector_answer_size(&answer) <= size);
	once_size = vector_answer_encode(&answer, once, sizeof(once));
	CHECK(once_size);
	CHECK(!vector_answer_decode(once, once_size, hits_again, HIT_MAX, &again));
	check_same(once_size, vector_answer_encode(&again, twice, sizeof(twice)));
}

static void check_coarse_request(const uint8_t *bytes, size_t size)
{
	struct coarse_request request, again;
	size_t once_size;

	if (coarse_request_decode(bytes, size, &request))
		return;
	once_size = coarse_request_encode(&request, once, sizeof(once));
	CHECK(once_size && once_size <= size);
	CHECK(!coarse_request_decode(once, once_size, &again));
	check_same(once_size, coarse_request_encode(&again, twice, sizeof(twice)));
}

static void check_body(const struct coarse_answer *answer)
{
	uint32_t count;

	if (centroid_body_check(answer->body, answer->body_size, answer->dim, &count))
		return;
	for (uint32_t i = 0; i < count; i++) {
		struct centroid_row row = centroid_body_row(answer->body, answer->dim, i);

		CHECK(isfinite(row.radius));
		for (uint32_t at = 0; at < answer->dim; at++)
			CHECK(isfinite(load_lef32(row.floats + at * sizeof(float))));
	}
}

static void check_coarse_answer(const uint8_t *bytes, size_t size)
{
	struct coarse_answer answer, again;
	size_t once_size;

	if (coarse_answer_decode(bytes, size, &answer))
		return;
	check_body(&answer);
	once_size = coarse_answer_encode(&answer, once, sizeof(once));
	CHECK(once_size && once_size <= size);
	CHECK(!coarse_answer_decode(once, once_size, &again));
	check_same(once_size, coarse_answer_encode(&again, twice, sizeof(twice)));
}

/* The whole input as elements: all tables agree on whether they are, and on their values. */
static void check_floats(const uint8_t *bytes, size_t size)
{
	static const char *const isas[] = {"avx2", "avx512"};
	static float expected[VECTOR_DIM_MAX], found[VECTOR_DIM_MAX];
	size_t count = MIN(size / PACK_F32_SIZE, VECTOR_DIM_MAX);
	bool is_good = pack_f32_find("scalar")->decode(bytes, expected, count);

	for (size_t i = 0; i < ARRAY_COUNT(isas); i++) {
		const struct pack_f32_table *table = pack_f32_find(isas[i]);

		if (!table)
			continue;
		CHECK(table->decode(bytes, found, count) == is_good);
		CHECK(!memcmp(found, expected, count * sizeof(float)));
		table->encode(found, once, count);
		CHECK(!is_good || !memcmp(once, bytes, count * PACK_F32_SIZE));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	if (size > BUFFER_SIZE / 2)
		return 0;
	check_scatter(bytes, size);
	check_answer(bytes, size);
	check_coarse_request(bytes, size);
	check_coarse_answer(bytes, size);
	check_floats(bytes, size);
	return 0;
}

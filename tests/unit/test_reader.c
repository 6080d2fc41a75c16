/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/byteorder.h"
#include "base/defs.h"
#include "cluster/reader.h"
#include "hnsw/layout.h"
#include "rdma/fetch_local.h"
#include "tests/lib/index.h"
#include "tests/lib/kinds.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define COUNT     1500
#define DIM       20
#define QUERIES   24
#define IN_FLIGHT 4
#define MEMORY    ((size_t)16 << 20)

static const struct kind kind = {METRIC_L2, VECTOR_F32, BUILD_ROWS_COMPACT, BUILD_LAYOUT_EDGES};

struct fixture {
	struct build_image image;
	struct segment local;
	float *rows;
	float *queries;
	uint8_t *memory;
	struct fetch *fetch;
	struct reader *reader;
	struct reader_config config;
};

static void setup(struct fixture *fixture)
{
	struct kinds_input input = {.count = COUNT, .dim = DIM};

	*fixture = (struct fixture){0};
	fixture->rows = kinds_vectors(kind.type, COUNT, DIM, 1);
	fixture->queries = kinds_vectors(kind.type, QUERIES, DIM, 2);
	fixture->memory = aligned_alloc(64, MEMORY);
	assert_non_null(fixture->memory);
	input.rows = fixture->rows;
	kinds_build(&kind, &input, &fixture->image, &fixture->local);
	fixture->config = (struct reader_config){
		.in_flight = IN_FLIGHT,
		.ef_max = 256,
		.k_max = 10,
		.breadth = 4,
		.generation = fixture->local.generation,
		.header_crc = load_le32((uint8_t *)fixture->image.bytes + LAYOUT_AT_HEADER_CRC),
	};
}

static void teardown(struct fixture *fixture)
{
	fetch_close(fixture->fetch);
	reader_free(fixture->reader);
	build_image_free(&fixture->image);
	free(fixture->rows);
	free(fixture->queries);
	free(fixture->memory);
}

static void begin(struct fixture *fixture, uint64_t seed, uint64_t fail_batch, size_t memory_size)
{
	const struct fetch_local_options options = {
		.start = fixture->image.bytes,
		.size = fixture->image.size,
		.memory = fixture->memory,
		.memory_size = MEMORY,
		.seed = seed,
		.fail_batch = fail_batch,
	};

	assert_int_equal(fetch_local_open(&options, &fixture->fetch), 0);
	assert_int_equal(reader_new(fixture->fetch, fixture->memory, memory_size, &fixture->config,
				    &fixture->reader),
			 0);
}

static enum reader_state open_it(struct fixture *fixture)
{
	while (reader_state(fixture->reader) == READER_OPENING)
		(void)reader_turn(fixture->reader, 0);
	return reader_state(fixture->reader);
}

static void assert_owners_answer(struct fixture *fixture, const struct reader_answer *answer,
				 uint32_t k, uint32_t ef)
{
	struct search *search = index_search(&fixture->local);
	const struct search_params params = {.k = k, .ef = ef};
	struct search_hit hits[16];
	unsigned count = kinds_ask(search, &fixture->local, fixture->queries + answer->tag * DIM,
				   &params, hits);

	assert_int_equal(answer->error, 0);
	assert_int_equal(answer->hit_count, count);
	assert_memory_equal(answer->hits, hits, count * sizeof(hits[0]));
	assert_true(answer->hops > 0);
	search_free(search);
}

/* All questions, as many under way as go. */
static unsigned ask_all(struct fixture *fixture, uint32_t k, uint32_t ef)
{
	struct reader_answer answers[IN_FLIGHT];
	unsigned asked = 0, answered = 0, failed = 0;

	while (answered + failed < QUERIES) {
		unsigned count;

		while (asked < QUERIES && reader_state(fixture->reader) == READER_READY &&
		       reader_ask(fixture->reader, fixture->queries + (size_t)asked * DIM, k, ef,
				  asked) == 0)
			asked++;
		(void)reader_turn(fixture->reader, 0);
		count = reader_take(fixture->reader, answers, IN_FLIGHT);
		for (unsigned i = 0; i < count; i++) {
			if (answers[i].error)
				failed++;
			else
				assert_owners_answer(fixture, &answers[i], k, ef);
			answered += !answers[i].error;
		}
		if (reader_state(fixture->reader) == READER_FAILED && asked == answered + failed)
			break;
	}
	return answered;
}

static void answers_are_the_owners_in_any_order_of_arrival(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 4; seed++) {
		struct fixture fixture;

		setup(&fixture);
		begin(&fixture, seed, 0, MEMORY);
		assert_int_equal(open_it(&fixture), READER_READY);
		assert_int_equal(ask_all(&fixture, 10, 48), QUERIES);
		assert_int_equal(ask_all(&fixture, 1, 0), QUERIES);
		assert_int_equal(reader_stats(fixture.reader).answers, 2 * QUERIES);
		assert_true(reader_stats(fixture.reader).rounds > 0);
		teardown(&fixture);
	}
}

static void little_memory_gives_the_same_answers(void **state)
{
	struct fixture fixture;
	size_t least = 0;

	(void)state;
	setup(&fixture);
	for (size_t size = 1 << 20; size < MEMORY; size += 1 << 18) {
		begin(&fixture, 3, 0, size);
		if (open_it(&fixture) == READER_READY) {
			least = size;
			assert_int_equal(ask_all(&fixture, 10, 48), QUERIES);
			break;
		}
		assert_non_null(strstr(reader_error(fixture.reader), "it takes"));
		fetch_close(fixture.fetch);
		reader_free(fixture.reader);
	}
	assert_true(least > 0);
	teardown(&fixture);
}

/* The header, the outline, a search: whichever batch it is. */
static void a_fetch_that_fails_answers_everything_with_the_error(void **state)
{
	unsigned opened = 0;

	(void)state;
	for (uint64_t batch = 1; batch < 12; batch++) {
		struct fixture fixture;

		setup(&fixture);
		begin(&fixture, 5, batch, MEMORY);
		if (open_it(&fixture) == READER_READY) {
			opened++;
			assert_true(ask_all(&fixture, 10, 48) < QUERIES);
		}
		assert_int_equal(reader_state(fixture.reader), READER_FAILED);
		assert_non_null(strstr(reader_error(fixture.reader), strerror(EIO)));
		assert_int_equal(reader_stats(fixture.reader).failures, 1);
		teardown(&fixture);
	}
	assert_true(opened > 0 && opened < 11);
}

static void another_segment_is_not_taken_for_the_granted(void **state)
{
	struct fixture fixture;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		setup(&fixture);
		*(i ? &(uint32_t){0} : &fixture.config.header_crc) += 1;
		fixture.config.generation += i;
		begin(&fixture, 0, 0, MEMORY);
		assert_int_equal(open_it(&fixture), READER_FAILED);
		assert_non_null(strstr(reader_error(fixture.reader), "granted"));
		teardown(&fixture);
	}
}

static void damage_is_told(void **state)
{
	struct fixture fixture;

	(void)state;
	setup(&fixture);
	((uint8_t *)fixture.image.bytes)[fixture.image.size - 100] ^= 1;
	begin(&fixture, 0, 0, MEMORY);
	assert_int_equal(open_it(&fixture), READER_FAILED);
	assert_non_null(strstr(reader_error(fixture.reader), "checksum"));
	teardown(&fixture);
}

static void questions_have_limits(void **state)
{
	struct fixture fixture;
	struct reader_answer answers[IN_FLIGHT];
	float bad[DIM] = {0};

	(void)state;
	setup(&fixture);
	begin(&fixture, 0, 0, MEMORY);
	assert_int_equal(open_it(&fixture), READER_READY);
	bad[3] = (float)(1e308 * 10);
	assert_int_equal(reader_ask(fixture.reader, bad, 1, 0, 0), READER_E_LIMIT);
	assert_int_equal(reader_ask(fixture.reader, fixture.queries, 11, 0, 0), READER_E_LIMIT);
	for (unsigned i = 0; i < IN_FLIGHT; i++)
		assert_int_equal(reader_ask(fixture.reader, fixture.queries, 10, 0, i), 0);
	assert_int_equal(reader_ask(fixture.reader, fixture.queries, 10, 0, 9), READER_E_BUSY);
	reader_abandon(fixture.reader, 1);
	assert_int_equal(reader_ask(fixture.reader, fixture.queries, 10, 0, 9), 0);
	for (unsigned left = IN_FLIGHT; left > 0;) {
		(void)reader_turn(fixture.reader, 0);
		left -= reader_take(fixture.reader, answers, IN_FLIGHT);
		assert_true(answers[0].tag != 1);
	}
	teardown(&fixture);
}

static void configurations_are_checked(void **state)
{
	struct fixture fixture;

	(void)state;
	setup(&fixture);
	fixture.config.in_flight = READER_IN_FLIGHT_MAX + 1;
	assert_int_equal(reader_new(NULL, fixture.memory, MEMORY, &fixture.config, &fixture.reader),
			 -EINVAL);
	fixture.config.in_flight = 1;
	assert_int_equal(
		reader_new(NULL, fixture.memory + 1, MEMORY, &fixture.config, &fixture.reader),
		-EINVAL);
	teardown(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_the_owners_in_any_order_of_arrival),
		cmocka_unit_test(little_memory_gives_the_same_answers),
		cmocka_unit_test(a_fetch_that_fails_answers_everything_with_the_error),
		cmocka_unit_test(another_segment_is_not_taken_for_the_granted),
		cmocka_unit_test(damage_is_told),
		cmocka_unit_test(questions_have_limits),
		cmocka_unit_test(configurations_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/byteorder.h"
#include "base/defs.h"
#include "cluster/reader.h"
#include "hnsw/layout.h"
#include "hnsw/remote.h"
#include "rdma/fetch_local.h"
#include "tests/lib/index.h"
#include "tests/lib/kinds.h"
#include "tests/lib/reseal.h"

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

/* Turns until a question has its answer. */
static struct reader_answer wait_answer(struct fixture *fixture)
{
	struct reader_answer answer;

	while (reader_take(fixture->reader, &answer, 1) == 0)
		(void)reader_turn(fixture->reader, 0);
	return answer;
}

static void an_error_has_no_hits_and_leaves_nothing_running(void **state)
{
	struct fixture fixture;
	struct reader_answer answer;

	(void)state;
	setup(&fixture);
	begin(&fixture, 0, 0, MEMORY);
	assert_int_equal(open_it(&fixture), READER_READY);
	assert_int_equal(reader_ask(fixture.reader, fixture.queries, 10, 0, 1), 0);
	assert_int_equal(wait_answer(&fixture).hit_count, 10);
	assert_int_equal(reader_ask(fixture.reader, fixture.queries, 10, 0, 2), 0);
	assert_int_equal(reader_running(fixture.reader), 1);
	reader_fail(fixture.reader, -ENOTCONN, "the test says so");
	assert_int_equal(reader_running(fixture.reader), 0);
	assert_int_equal(reader_take(fixture.reader, &answer, 1), 1);
	assert_int_equal(answer.tag, 2);
	assert_int_equal(answer.error, -ENOTCONN);
	assert_int_equal(answer.hit_count, 0);
	teardown(&fixture);
}

static void reading_ends_with_the_lease_even_when_nothing_is_asked(void **state)
{
	struct fixture fixture;

	(void)state;
	setup(&fixture);
	begin(&fixture, 0, 0, MEMORY);
	fixture.fetch->expires_ns = 1000;
	assert_int_equal(open_it(&fixture), READER_READY);
	(void)reader_turn(fixture.reader, 999);
	assert_int_equal(reader_state(fixture.reader), READER_READY);
	(void)reader_turn(fixture.reader, 1000);
	assert_int_equal(reader_state(fixture.reader), READER_FAILED);
	assert_non_null(strstr(reader_error(fixture.reader), "lease"));
	teardown(&fixture);
}

static void an_abandoned_question_holds_on_to_nothing(void **state)
{
	struct fixture fixture;

	(void)state;
	setup(&fixture);
	begin(&fixture, 0, 0, MEMORY);
	assert_int_equal(open_it(&fixture), READER_READY);
	for (unsigned i = 0; i < QUERIES; i++) {
		const float *query = fixture.queries + (size_t)i * DIM;

		assert_int_equal(reader_ask(fixture.reader, query, 10, 48, 100), 0);
		(void)reader_turn(fixture.reader, 0);
		reader_abandon(fixture.reader, 100);
		assert_int_equal(reader_running(fixture.reader), 0);
	}
	assert_int_equal(ask_all(&fixture, 10, 48), QUERIES);
	teardown(&fixture);
}

/* Nothing more is asked of the one before, and what was is waited for. */
static void the_next_fetch_takes_over_when_the_last_is_quiet(void **state)
{
	unsigned several = 0; /* times that one of some batches may come before the others */

	(void)state;
	for (uint64_t seed = 9; seed < 13; seed++) {
		struct fixture fixture;
		struct fetch *first;
		uint64_t batches;

		setup(&fixture);
		begin(&fixture, seed, 0, MEMORY);
		first = fixture.fetch;
		assert_int_equal(open_it(&fixture), READER_READY);
		for (unsigned i = 0; i < IN_FLIGHT; i++) {
			assert_int_equal(reader_ask(fixture.reader,
						    fixture.queries + (size_t)i * DIM, 10, 48, i),
					 0);
			(void)reader_turn(fixture.reader, 0);
		}
		several += first->under_way > 1;
		batches = first->stats.batches;
		{
			const struct fetch_local_options options = {
				.start = fixture.image.bytes,
				.size = fixture.image.size,
				.memory = fixture.memory,
				.memory_size = MEMORY,
				.seed = seed,
			};

			assert_int_equal(fetch_local_open(&options, &fixture.fetch), 0);
		}
		reader_use(fixture.reader, fixture.fetch);
		while (reader_fetch(fixture.reader) == first)
			(void)reader_turn(fixture.reader, 0);
		assert_int_equal(first->under_way, 0);
		assert_int_equal(first->stats.batches, batches);
		fetch_close(first);
		for (unsigned i = 0; i < IN_FLIGHT; i++) {
			struct reader_answer answer = wait_answer(&fixture);

			assert_owners_answer(&fixture, &answer, 10, 48);
		}
		teardown(&fixture);
	}
	assert_true(several > 0);
}

/* What comes for others meanwhile is no round trip of one's own. */
static void a_round_trip_is_counted_once_however_long_it_takes(void **state)
{
	uint32_t rounds = 0;

	(void)state;
	for (uint64_t seed = 0; seed < 6; seed++) {
		struct fixture fixture;
		struct reader_answer answer;

		setup(&fixture);
		fixture.config.breadth = 0;
		begin(&fixture, seed, 0, MEMORY);
		assert_int_equal(open_it(&fixture), READER_READY);
		assert_int_equal(reader_ask(fixture.reader, fixture.queries, 10, 200, 0), 0);
		(void)reader_turn(fixture.reader, 0);
		/* The same once more, which brings nothing that the first doesn't wait for. */
		assert_int_equal(reader_ask(fixture.reader, fixture.queries, 10, 200, 1), 0);
		for (unsigned left = 2; left > 0; left--) {
			answer = wait_answer(&fixture);
			if (answer.tag != 0)
				continue;
			if (seed == 0)
				rounds = answer.rounds;
			assert_int_equal(answer.rounds, rounds);
		}
		teardown(&fixture);
	}
	assert_true(rounds > 1);
}

/* The memory without which it doesn't open, as the refusal of less has it. */
static uint64_t least_memory(uint32_t in_flight)
{
	struct fixture fixture;
	const char *text;
	uint64_t least;

	setup(&fixture);
	fixture.config.in_flight = in_flight;
	begin(&fixture, 0, 0, 1 << 20);
	assert_int_equal(open_it(&fixture), READER_FAILED);
	text = strstr(reader_error(fixture.reader), "it takes ");
	assert_non_null(text);
	least = strtoull(text + strlen("it takes "), NULL, 10);
	assert_true(least < MEMORY);
	for (unsigned i = 0; i < 2; i++) {
		fetch_close(fixture.fetch);
		reader_free(fixture.reader);
		begin(&fixture, 0, 0, least - i);
		assert_int_equal(open_it(&fixture), i ? READER_FAILED : READER_READY);
	}
	teardown(&fixture);
	return least;
}

static void memory_is_for_all_questions_at_once(void **state)
{
	(void)state;
	assert_true(least_memory(8) >= least_memory(6) + 2 * UINT64_C(2) * SEGMENT_M_MAX * DIM);
}

/* A fetch that has no room every other time. */
struct busy_fetch {
	struct fetch fetch;
	struct fetch *inner;
	unsigned posts;
};

static int busy_post(struct fetch *fetch, const struct fetch_piece *pieces, unsigned count,
		     uint64_t cookie)
{
	struct busy_fetch *busy = CONTAINER_OF(fetch, struct busy_fetch, fetch);

	if (busy->posts++ % 2 == 0)
		return FETCH_E_BUSY;
	return fetch_post(busy->inner, pieces, count, cookie);
}

static unsigned busy_poll(struct fetch *fetch, uint64_t now_ns, struct fetch_done *done,
			  unsigned count)
{
	return fetch_poll(CONTAINER_OF(fetch, struct busy_fetch, fetch)->inner, now_ns, done,
			  count);
}

static void what_a_fetch_has_no_room_for_is_asked_again(void **state)
{
	static const struct fetch_ops ops = {.post = busy_post, .poll = busy_poll};
	struct busy_fetch busy = {.posts = 0};
	struct fixture fixture;

	(void)state;
	setup(&fixture);
	begin(&fixture, 3, 0, MEMORY);
	reader_free(fixture.reader);
	busy.inner = fixture.fetch;
	busy.fetch = *fixture.fetch;
	busy.fetch.ops = &ops;
	assert_int_equal(
		reader_new(&busy.fetch, fixture.memory, MEMORY, &fixture.config, &fixture.reader),
		0);
	assert_int_equal(open_it(&fixture), READER_READY);
	assert_int_equal(ask_all(&fixture, 10, 48), QUERIES);
	teardown(&fixture);
}

static void what_opening_took_is_told(void **state)
{
	struct fixture fixture;

	(void)state;
	setup(&fixture);
	begin(&fixture, 0, 0, MEMORY);
	assert_int_equal(open_it(&fixture), READER_READY);
	assert_int_equal(reader_stats(fixture.reader).opening_reads, fixture.fetch->stats.reads);
	assert_int_equal(reader_stats(fixture.reader).opening_bytes, fixture.fetch->stats.bytes);
	assert_true(fixture.fetch->stats.bytes > REMOTE_HEADER_SIZE);
	teardown(&fixture);
}

static uint32_t hops_with(uint32_t owners_ef, uint32_t ef)
{
	struct fixture fixture;
	uint32_t hops;

	setup(&fixture);
	fixture.config.ef = owners_ef;
	begin(&fixture, 0, 0, MEMORY);
	assert_int_equal(open_it(&fixture), READER_READY);
	assert_int_equal(reader_ask(fixture.reader, fixture.queries, 10, ef, 0), 0);
	hops = wait_answer(&fixture).hops;
	teardown(&fixture);
	return hops;
}

static void a_question_that_leaves_it_open_gets_the_owners_ef(void **state)
{
	uint32_t narrow = hops_with(0, 12), wide = hops_with(0, 200);

	(void)state;
	assert_true(narrow < wide);
	assert_int_equal(hops_with(12, 0), narrow);
	assert_int_equal(hops_with(200, 0), wide);
	assert_int_equal(hops_with(200, 12), narrow);
	/* An owner may say anything: the reader's limit stays. */
	assert_int_equal(hops_with(UINT32_MAX, 0), hops_with(0, UINT32_MAX));
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
		cmocka_unit_test(an_error_has_no_hits_and_leaves_nothing_running),
		cmocka_unit_test(reading_ends_with_the_lease_even_when_nothing_is_asked),
		cmocka_unit_test(an_abandoned_question_holds_on_to_nothing),
		cmocka_unit_test(the_next_fetch_takes_over_when_the_last_is_quiet),
		cmocka_unit_test(a_round_trip_is_counted_once_however_long_it_takes),
		cmocka_unit_test(memory_is_for_all_questions_at_once),
		cmocka_unit_test(what_a_fetch_has_no_room_for_is_asked_again),
		cmocka_unit_test(what_opening_took_is_told),
		cmocka_unit_test(a_question_that_leaves_it_open_gets_the_owners_ef),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

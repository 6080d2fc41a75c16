/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/fake_asks.h"
#include "tests/lib/test.h"

#include "cluster/gather.h"
#include "proto/message.h"
#include "proto/status.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define SHARDS   3
#define K        4
#define DEADLINE 1000000000

#define HIT(id, at, shard)                                                                         \
	{                                                                                          \
		.vector_id = (id), .distance = (at), .shard_id = (shard)                           \
	}

/* A gather over three shards, with its question begun and sent. */
struct rig {
	struct route *route;
	struct gather *gather;
	struct fake_asks asks;
	uint64_t now_ns;
};

static const float query[2] = {1, 2};
static const uint32_t vshards[SHARDS] = {7, 8, 9};

static struct vector_scatter scatter_of(uint32_t top_k)
{
	return (struct vector_scatter){
		.collection = {.text = "words", .length = 5},
		.vector = query,
		.dim = 2,
		.top_k = top_k,
	};
}

static void begin(struct rig *rig, bool strict)
{
	struct vector_scatter scatter = scatter_of(K);
	struct gather_question question = {
		.scatter = &scatter,
		.vshards = vshards,
		.vshard_count = SHARDS,
		.deadline_ns = rig->now_ns + DEADLINE,
		.tag = 100,
		.strict = strict,
	};

	assert_int_equal(gather_begin(rig->gather, rig->route, &question), 0);
	gather_run(rig->gather, rig->route, &fake_asks_ops, &rig->asks, rig->now_ns);
}

static int set_up(void **state)
{
	static struct rig rig;
	struct addr servers[2] = {{{0}, 7400}, {{1}, 7400}};
	struct vector_scatter scatter = scatter_of(K);
	struct gather_limits limits = {
		.shard_max = SHARDS,
		.request_size_max = (uint32_t)gather_request_size(&scatter),
		.hit_max = K,
	};
	uint32_t id;

	memset(&rig, 0, sizeof(rig));
	assert_int_equal(route_new(servers, 2, 1, &rig.route), 0);
	assert_int_equal(route_collection(rig.route, "words", 5, &id), 0);
	assert_int_equal(gather_new(&limits, &rig.gather), 0);
	*state = &rig;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *rig = *state;

	gather_free(rig->gather);
	route_free(rig->route);
	return 0;
}

static void take(struct rig *rig, const struct session_answer *answer)
{
	gather_take(rig->gather, rig->route, (uint32_t)(answer->tag - 100), answer, rig->now_ns);
	gather_run(rig->gather, rig->route, &fake_asks_ops, &rig->asks, rig->now_ns);
}

/* Answers the oldest call with these hits. */
static void take_hits(struct rig *rig, const struct vector_hit *hits, uint32_t count)
{
	struct fake_ask ask = fake_asks_take(&rig->asks, 0);
	struct session_answer answer = fake_asks_hits(&ask, hits, count);

	take(rig, &answer);
}

static void take_status(struct rig *rig, uint16_t status, uint32_t hint)
{
	struct fake_ask ask = fake_asks_take(&rig->asks, 0);
	struct session_answer answer = fake_asks_status(&ask, status, hint);

	take(rig, &answer);
}

static void the_same_payload_goes_to_every_shard(void **state)
{
	struct rig *rig = *state;

	begin(rig, false);
	assert_int_equal(rig->asks.count, SHARDS);
	for (uint32_t i = 0; i < SHARDS; i++) {
		const struct fake_ask *ask = &rig->asks.list[i];

		assert_int_equal(ask->type, MESSAGE_VECTOR_SCATTER_REQUEST);
		assert_int_equal(ask->vshard, vshards[i]);
		assert_int_equal(ask->call.tag, 100 + i);
		/* Nobody knows the places yet, so each of the two servers gets its time. */
		assert_int_equal(ask->call.deadline_ns, LEG_ATTEMPT_NS);
		assert_memory_equal((const uint8_t *)ask->call.bytes + 28,
				    (const uint8_t *)rig->asks.list[0].call.bytes + 28,
				    ask->call.size - 28);
	}
	while (rig->asks.count)
		take_hits(rig, NULL, 0);
	assert_true(gather_is_done(rig->gather));
}

static void the_nearest_of_all_shards_come_first_and_ties_go_by_id(void **state)
{
	static const struct vector_hit a[] = {HIT(5, 1.0f, 7), HIT(9, 2.0f, 7), HIT(1, 3.0f, 7)};
	static const struct vector_hit b[] = {HIT(4, 1.0f, 8), HIT(8, 2.0f, 8)};
	static const struct vector_hit c[] = {HIT(3, 0.5f, 9), HIT(2, 9.0f, 9)};
	static const uint32_t ids[K] = {3, 4, 5, 8};
	const struct gather_hit *hits;
	struct rig *rig = *state;
	uint32_t count;

	begin(rig, false);
	take_hits(rig, a, 3);
	take_hits(rig, b, 2);
	assert_false(gather_is_done(rig->gather));
	take_hits(rig, c, 2);
	assert_true(gather_is_done(rig->gather));
	assert_true(gather_is_idle(rig->gather));
	assert_int_equal(gather_status(rig->gather), STATUS_OK);
	hits = gather_hits(rig->gather, &count);
	assert_int_equal(count, K);
	for (uint32_t i = 0; i < K; i++)
		assert_int_equal(hits[i].vector_id, ids[i]);
	assert_int_equal(hits[0].vshard, 9);
	assert_int_equal(gather_missing(rig->gather, NULL, 0), 0);
}

static void a_deadline_leaves_a_partial_answer_that_names_who_is_missing(void **state)
{
	static const struct vector_hit a[] = {HIT(5, 1.0f, 7)};
	struct gather_missing missing[SHARDS];
	struct rig *rig = *state;
	uint32_t count;

	begin(rig, false);
	take_hits(rig, a, 1);
	take_status(rig, STATUS_OVERLOADED, 300);
	assert_true(gather_due_ns(rig->gather) < DEADLINE);
	rig->now_ns = DEADLINE;
	gather_run(rig->gather, rig->route, &fake_asks_ops, &rig->asks, rig->now_ns);
	assert_true(gather_is_done(rig->gather));
	assert_false(gather_is_idle(rig->gather));
	assert_int_equal(gather_due_ns(rig->gather), UINT64_MAX);
	assert_int_equal(gather_status(rig->gather), STATUS_OK);
	(void)gather_hits(rig->gather, &count);
	assert_int_equal(count, 1);
	assert_int_equal(gather_missing(rig->gather, missing, SHARDS), 2);
	assert_int_equal(missing[0].vshard, 8);
	assert_int_equal(missing[0].status, STATUS_OVERLOADED);
	assert_int_equal(missing[1].vshard, 9);
	assert_int_equal(missing[1].status, STATUS_DEADLINE);

	/* The late answer changes nothing, and gives the buffers back. */
	take_hits(rig, a, 1);
	assert_true(gather_is_idle(rig->gather));
	assert_int_equal(gather_missing(rig->gather, missing, 1), 2);
	(void)gather_hits(rig->gather, &count);
	assert_int_equal(count, 1);
}

static void no_answer_at_all_is_an_error(void **state)
{
	struct rig *rig = *state;
	uint32_t count = 9;

	begin(rig, false);
	for (uint32_t i = 0; i < SHARDS; i++)
		take_status(rig, STATUS_AUTH, 0);
	assert_true(gather_is_done(rig->gather));
	assert_int_equal(gather_status(rig->gather), STATUS_AUTH);
	(void)gather_hits(rig->gather, &count);
	assert_int_equal(count, 0);
}

static void a_strict_question_fails_with_the_first_shard(void **state)
{
	static const struct vector_hit a[] = {HIT(5, 1.0f, 7)};
	struct gather_missing missing[SHARDS];
	struct rig *rig = *state;
	uint32_t count;

	begin(rig, true);
	take_hits(rig, a, 1);
	take_status(rig, STATUS_INTERNAL, 0);
	assert_true(gather_is_done(rig->gather));
	assert_int_equal(gather_status(rig->gather), STATUS_INTERNAL);
	(void)gather_hits(rig->gather, &count);
	assert_int_equal(count, 0);
	assert_int_equal(gather_missing(rig->gather, missing, SHARDS), 1);
	assert_int_equal(missing[0].vshard, 8);
	take_hits(rig, a, 1);
	assert_true(gather_is_idle(rig->gather));
	assert_int_equal(gather_status(rig->gather), STATUS_INTERNAL);
}

static void an_overloaded_shard_is_asked_again_after_its_hint(void **state)
{
	static const struct vector_hit a[] = {HIT(5, 1.0f, 7)};
	struct rig *rig = *state;

	begin(rig, false);
	take_status(rig, STATUS_OVERLOADED, 700);
	assert_int_equal(rig->asks.count, 2);
	assert_true(gather_due_ns(rig->gather) >= 700000);
	rig->now_ns = gather_due_ns(rig->gather);
	gather_run(rig->gather, rig->route, &fake_asks_ops, &rig->asks, rig->now_ns);
	assert_int_equal(rig->asks.count, 3);
	assert_int_equal(gather_retry_count(rig->gather), 1);
	while (rig->asks.count)
		take_hits(rig, a, 1);
	assert_int_equal(gather_missing(rig->gather, NULL, 0), 0);
}

static void a_shard_that_moved_is_followed(void **state)
{
	static const struct vector_hit a[] = {HIT(5, 1.0f, 7)};
	struct rig *rig = *state;

	begin(rig, false);
	take_status(rig, STATUS_SHARD_ELSEWHERE, 7405);
	assert_int_equal(rig->asks.list[2].to.port, 7405);
	while (rig->asks.count)
		take_hits(rig, a, 1);
	assert_int_equal(route_find(rig->route, 0, 7)->at.port, 7405);
	assert_int_equal(gather_status(rig->gather), STATUS_OK);
	assert_int_equal(gather_missing(rig->gather, NULL, 0), 0);
}

/* Answers the first shard with 'answer' as it stands, the others well; expects the first missing.
 */
static void refused(struct rig *rig, const struct session_answer *answer, uint16_t status)
{
	static const struct vector_hit good[] = {HIT(1, 1.0f, 8)};
	struct gather_missing missing[1];

	take(rig, answer);
	take_hits(rig, good, 1);
	take_hits(rig, good, 1);
	assert_int_equal(gather_status(rig->gather), STATUS_OK);
	assert_int_equal(gather_missing(rig->gather, missing, 1), 1);
	assert_int_equal(missing[0].vshard, 7);
	assert_int_equal(missing[0].status, status);
}

static void hits_that_cannot_be_right_are_refused(void **state)
{
	static const struct vector_hit hostile[][2] = {
		{HIT(1, 2.0f, 7), HIT(2, 1.0f, 7)}, /* not nearest first */
		{HIT(2, 1.0f, 7), HIT(1, 1.0f, 7)}, /* a tie in the wrong order */
		{HIT(1, 1.0f, 7), HIT(1, 1.0f, 7)}, /* the same twice */
		{HIT(1, NAN, 7), HIT(2, 1.0f, 7)},  /* not comparable */
		{HIT(1, 1.0f, 7), HIT(2, NAN, 7)},
	};
	struct rig *rig = *state;

	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		struct session_answer answer;
		struct fake_ask ask;

		begin(rig, false);
		ask = fake_asks_take(&rig->asks, 0);
		answer = fake_asks_hits(&ask, hostile[i], 2);
		refused(rig, &answer, STATUS_MALFORMED);
	}
}

static void messages_that_answer_something_else_are_refused(void **state)
{
	static const struct vector_hit hits[K + 1] = {HIT(1, 1.0f, 7), HIT(2, 1.0f, 7),
						      HIT(3, 1.0f, 7), HIT(4, 1.0f, 7),
						      HIT(5, 1.0f, 7)};
	struct vector_answer answer = {
		.shard_id = 7, .hits = hits, .hit_count = 1, .success = true};
	struct session_answer session;
	struct rig *rig = *state;
	struct fake_ask ask;

	begin(rig, false);
	ask = fake_asks_take(&rig->asks, 0);
	session = fake_asks_message(&ask, &answer, MESSAGE_VECTOR_COARSE_ROUTE_RESPONSE, 7);
	refused(rig, &session, STATUS_MALFORMED);

	begin(rig, false);
	ask = fake_asks_take(&rig->asks, 0);
	session = fake_asks_message(&ask, &answer, MESSAGE_VECTOR_SCATTER_RESPONSE, 8);
	refused(rig, &session, STATUS_MALFORMED);

	begin(rig, false);
	ask = fake_asks_take(&rig->asks, 0);
	session = fake_asks_message(&ask, &answer, MESSAGE_VECTOR_SCATTER_RESPONSE, 7);
	session.size--;
	refused(rig, &session, STATUS_MALFORMED);

	begin(rig, false);
	ask = fake_asks_take(&rig->asks, 0);
	answer.hit_count = K + 1;
	session = fake_asks_message(&ask, &answer, MESSAGE_VECTOR_SCATTER_RESPONSE, 7);
	refused(rig, &session, STATUS_MALFORMED);

	begin(rig, false);
	ask = fake_asks_take(&rig->asks, 0);
	answer = (struct vector_answer){.shard_id = 7, .has_error = true};
	answer.error = (struct text_view){.text = "broken", .length = 6};
	session = fake_asks_message(&ask, &answer, MESSAGE_VECTOR_SCATTER_RESPONSE, 7);
	refused(rig, &session, STATUS_INTERNAL);
}

static void what_is_over_a_limit_is_refused(void **state)
{
	struct vector_scatter scatter = scatter_of(K);
	struct gather_question question = {
		.scatter = &scatter,
		.vshards = vshards,
		.vshard_count = SHARDS,
		.deadline_ns = DEADLINE,
	};
	struct gather_limits limits = {.shard_max = 0, .request_size_max = 100, .hit_max = 1};
	struct gather *gather = NULL;
	struct rig *rig = *state;

	question.vshard_count = SHARDS + 1;
	assert_int_equal(gather_begin(rig->gather, rig->route, &question), GATHER_E_LIMIT);
	question.vshard_count = 0;
	assert_int_equal(gather_begin(rig->gather, rig->route, &question), -EINVAL);
	question.vshard_count = SHARDS;
	scatter.top_k = K + 1;
	assert_int_equal(gather_begin(rig->gather, rig->route, &question), GATHER_E_LIMIT);
	scatter.top_k = K;
	scatter.collection.text = "words that are longer";
	scatter.collection.length = 21;
	assert_int_equal(gather_begin(rig->gather, rig->route, &question), GATHER_E_LIMIT);

	assert_int_equal(gather_new(&limits, &gather), -EINVAL);
	limits.shard_max = GATHER_SHARD_MAX + 1;
	assert_int_equal(gather_new(&limits, &gather), -EINVAL);
	limits.shard_max = 1;
	limits.hit_max = VECTOR_TOP_K_MAX + 1;
	assert_int_equal(gather_new(&limits, &gather), -EINVAL);
	assert_null(gather);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_same_payload_goes_to_every_shard, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(
			the_nearest_of_all_shards_come_first_and_ties_go_by_id, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_deadline_leaves_a_partial_answer_that_names_who_is_missing, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(no_answer_at_all_is_an_error, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_strict_question_fails_with_the_first_shard,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_overloaded_shard_is_asked_again_after_its_hint,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_shard_that_moved_is_followed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(hits_that_cannot_be_right_are_refused, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(messages_that_answer_something_else_are_refused,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_over_a_limit_is_refused, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/fake_asks.h"
#include "tests/lib/test.h"

#include "base/defs.h"
#include "cluster/manifest.h"
#include "cluster/survey.h"
#include "proto/envelope.h"
#include "proto/message.h"
#include "proto/status.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DEADLINE UINT64_C(1000000000)

struct rig {
	struct route *route;
	struct survey *survey;
	struct fake_asks asks;
	uint64_t now_ns;
	unsigned found; /* one bit a shard */
	uint16_t found_status;
};

static uint16_t found(void *context, uint32_t index, const struct coarse_answer *answer)
{
	struct rig *rig = context;

	assert_int_equal(answer->shard_id, manifest_vshard("words", index));
	rig->found |= 1u << index;
	return rig->found_status;
}

static const struct survey_ops ops = {.found = found};

static int set_up(void **state)
{
	static struct rig rig;
	struct addr servers[2] = {{{0}, 7400}, {{1}, 7400}};
	uint32_t id;

	memset(&rig, 0, sizeof(rig));
	assert_int_equal(route_new(servers, 2, 1, &rig.route), 0);
	assert_int_equal(route_collection(rig.route, "words", 5, &id), 0);
	assert_int_equal(survey_new(4096, &rig.survey), 0);
	*state = &rig;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *rig = *state;

	survey_free(rig->survey);
	route_free(rig->route);
	return 0;
}

static void begin(struct rig *rig, uint32_t shard_count)
{
	struct survey_task task = {
		.shard_count = shard_count,
		.deadline_ns = rig->now_ns + DEADLINE,
		.tag = 500,
	};

	survey_begin(rig->survey, &task, &ops, rig, rig->now_ns);
}

/* A shard's index from its vShard. */
static uint32_t index_of(uint32_t vshard)
{
	return (vshard + ROUTE_VSHARD_MAX - manifest_vshard("words", 0)) % ROUTE_VSHARD_MAX;
}

typedef uint16_t (*node_fn)(uint32_t server, uint32_t index);

/* Answers everything as 'node' says until the survey is done. */
static void run(struct rig *rig, node_fn node)
{
	static const float centroid[2] = {1, 2};

	for (unsigned step = 0; !survey_is_done(rig->survey); step++) {
		assert_true(step < 10000);
		survey_run(rig->survey, rig->route, &fake_asks_ops, &rig->asks, rig->now_ns);
		if (rig->asks.count == 0 && !survey_is_done(rig->survey))
			rig->now_ns = survey_due_ns(rig->survey);
		while (rig->asks.count) {
			struct fake_ask ask = fake_asks_take(&rig->asks, rig->asks.count - 1);
			uint16_t status = node(ask.to.ip[0], index_of(ask.vshard));
			struct session_answer answer = fake_asks_status(&ask, status, 0);

			assert_int_equal(ask.type, MESSAGE_VECTOR_COARSE_ROUTE_REQUEST);
			if (status == STATUS_OK)
				answer = fake_asks_centroid(&ask, centroid, 2);
			survey_take(rig->survey, rig->route, (uint32_t)(answer.tag - 500), &answer,
				    rig->now_ns);
		}
	}
	assert_true(survey_is_idle(rig->survey));
}

/* Shards 0 to 10: the even ones on server 0, the odd ones on server 1. */
static uint16_t both_up(uint32_t server, uint32_t index)
{
	return index < 11 && index % 2 == server ? STATUS_OK : STATUS_SHARD_NOT_HERE;
}

static uint16_t second_down(uint32_t server, uint32_t index)
{
	return server == 1 ? STATUS_UNREACHABLE : both_up(server, index);
}

static uint16_t both_down(uint32_t server, uint32_t index)
{
	return STATUS_UNREACHABLE;
}

static uint16_t nothing_here(uint32_t server, uint32_t index)
{
	return STATUS_SHARD_NOT_HERE;
}

static void all_shards_of_all_servers_are_found(void **state)
{
	struct rig *rig = *state;

	begin(rig, 0);
	run(rig, both_up);
	assert_int_equal(survey_shard_count(rig->survey), 11);
	assert_true(survey_is_certain(rig->survey));
	assert_int_equal(survey_status(rig->survey), STATUS_OK);
	assert_int_equal(rig->found, (1 << 11) - 1);
	assert_int_equal(route_find(rig->route, 0, manifest_vshard("words", 4))->at.ip[0], 0);
	assert_int_equal(route_find(rig->route, 0, manifest_vshard("words", 5))->at.ip[0], 1);
}

static void a_server_that_is_down_leaves_gaps_and_doubt(void **state)
{
	struct rig *rig = *state;

	begin(rig, 0);
	run(rig, second_down);
	assert_int_equal(survey_shard_count(rig->survey), 11);
	assert_false(survey_is_certain(rig->survey));
	assert_int_equal(survey_status(rig->survey), STATUS_UNREACHABLE);
	assert_int_equal(rig->found, 0x555);
}

static void a_number_of_shards_that_is_given_leaves_no_doubt(void **state)
{
	struct rig *rig = *state;

	begin(rig, 12);
	run(rig, second_down);
	assert_int_equal(survey_shard_count(rig->survey), 12);
	assert_true(survey_is_certain(rig->survey));
	assert_int_equal(survey_status(rig->survey), STATUS_UNREACHABLE);
}

static void an_unknown_collection_is_told_from_servers_that_are_down(void **state)
{
	struct rig *rig = *state;

	begin(rig, 0);
	run(rig, nothing_here);
	assert_int_equal(survey_shard_count(rig->survey), 0);
	assert_int_equal(survey_status(rig->survey), STATUS_SHARD_NOT_HERE);
	begin(rig, 0);
	run(rig, both_down);
	assert_int_equal(survey_shard_count(rig->survey), 0);
	assert_int_equal(survey_status(rig->survey), STATUS_UNREACHABLE);
}

static void the_deadline_ends_it(void **state)
{
	struct session_answer late;
	struct rig *rig = *state;
	struct fake_ask ask;

	begin(rig, 0);
	survey_run(rig->survey, rig->route, &fake_asks_ops, &rig->asks, 0);
	assert_int_equal(rig->asks.count, SURVEY_LEG_MAX);
	survey_run(rig->survey, rig->route, &fake_asks_ops, &rig->asks, DEADLINE);
	assert_true(survey_is_done(rig->survey));
	assert_false(survey_is_idle(rig->survey));
	assert_false(survey_is_certain(rig->survey));
	assert_int_equal(survey_shard_count(rig->survey), 0);
	assert_int_equal(survey_status(rig->survey), STATUS_DEADLINE);
	while (rig->asks.count) {
		ask = fake_asks_take(&rig->asks, 0);
		late = fake_asks_status(&ask, STATUS_DEADLINE, 0);
		survey_take(rig->survey, rig->route, (uint32_t)(late.tag - 500), &late, DEADLINE);
	}
	assert_true(survey_is_idle(rig->survey));
	assert_int_equal(rig->found, 0);
}

/* Answers all calls to server 0, and leaves those to server 1 alone. */
static void a_silent_server_does_not_hold_up_the_others(void **state)
{
	static const float centroid[2] = {1, 2};
	struct rig *rig = *state;

	begin(rig, 0);
	for (unsigned step = 0; step < 100; step++) {
		survey_run(rig->survey, rig->route, &fake_asks_ops, &rig->asks, 0);
		for (uint32_t i = 0; i < rig->asks.count; i++) {
			uint32_t index = index_of(rig->asks.list[i].vshard);
			struct session_answer answer;
			struct fake_ask ask;

			if (rig->asks.list[i].to.ip[0] != 0)
				continue;
			ask = fake_asks_take(&rig->asks, i);
			answer = fake_asks_status(&ask, STATUS_SHARD_NOT_HERE, 0);
			if (both_up(0, index) == STATUS_OK)
				answer = fake_asks_centroid(&ask, centroid, 2);
			survey_take(rig->survey, rig->route, (uint32_t)(answer.tag - 500), &answer,
				    0);
			break;
		}
	}
	assert_false(survey_is_done(rig->survey));
	assert_int_equal(survey_due_ns(rig->survey), SURVEY_STALL_NS);
	survey_run(rig->survey, rig->route, &fake_asks_ops, &rig->asks, SURVEY_STALL_NS);
	assert_true(survey_is_done(rig->survey));
	assert_false(survey_is_certain(rig->survey));
	assert_int_equal(survey_status(rig->survey), STATUS_DEADLINE);
	assert_true(survey_shard_count(rig->survey) > 1);
	while (rig->asks.count) {
		struct fake_ask ask = fake_asks_take(&rig->asks, 0);
		struct session_answer late = fake_asks_status(&ask, STATUS_UNREACHABLE, 0);

		survey_take(rig->survey, rig->route, (uint32_t)(late.tag - 500), &late, DEADLINE);
	}
	assert_true(survey_is_idle(rig->survey));
}

static void a_descriptor_that_is_refused_is_a_missing_shard(void **state)
{
	struct rig *rig = *state;

	rig->found_status = STATUS_MALFORMED;
	begin(rig, 2);
	run(rig, both_up);
	assert_int_equal(survey_shard_count(rig->survey), 0);
	assert_int_equal(survey_status(rig->survey), STATUS_MALFORMED);
}

/* Bytes to turn over: from the message's begin, or, below 0, from its end. */
static void a_mangled_descriptor_is_not_handed_on(void **state)
{
	static const struct {
		int at;
		uint8_t with;
	} wrong[] = {
		{-1, 0x40},             /* the centroid's last number, 1, becomes infinite */
		{2, 1},                 /* the envelope's type */
		{20, 1},                /* its vShard */
		{ENVELOPE_SIZE + 1, 2}, /* the payload's version */
		{ENVELOPE_SIZE + 4, 1}, /* the shard's id, as the payload says it */
		{ENVELOPE_SIZE + 6, 1}, /* kind: unchanged, though nobody said what we know */
		{ENVELOPE_SIZE + 8, 1}, /* dim: another one than the body's */
	};
	static const float centroid[2] = {2, 1};
	struct rig *rig = *state;

	for (unsigned i = 0; i < ARRAY_COUNT(wrong); i++) {
		struct session_answer answer;
		struct fake_ask ask;
		uint8_t *bytes;

		begin(rig, 1);
		survey_run(rig->survey, rig->route, &fake_asks_ops, &rig->asks, rig->now_ns);
		assert_int_equal(rig->asks.count, 1);
		ask = fake_asks_take(&rig->asks, 0);
		answer = fake_asks_centroid(&ask, centroid, 2);
		bytes = ask.call.answer;
		bytes += wrong[i].at < 0 ? (int)answer.size + wrong[i].at : wrong[i].at;
		*bytes ^= wrong[i].with;
		survey_take(rig->survey, rig->route, 0, &answer, rig->now_ns);
		survey_run(rig->survey, rig->route, &fake_asks_ops, &rig->asks, rig->now_ns);
		assert_true(survey_is_done(rig->survey));
		assert_int_equal(rig->found, 0);
		assert_int_equal(survey_status(rig->survey), STATUS_MALFORMED);
	}
}

static void limits_are_kept(void **state)
{
	struct survey *survey = NULL;

	assert_int_equal(survey_new(0, &survey), -EINVAL);
	assert_int_equal(survey_new(SESSION_MESSAGE_SIZE_MAX + 1, &survey), -EINVAL);
	assert_null(survey);
	survey_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_shards_of_all_servers_are_found, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_server_that_is_down_leaves_gaps_and_doubt, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_number_of_shards_that_is_given_leaves_no_doubt,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			an_unknown_collection_is_told_from_servers_that_are_down, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(the_deadline_ends_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_silent_server_does_not_hold_up_the_others, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_descriptor_that_is_refused_is_a_missing_shard,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_mangled_descriptor_is_not_handed_on, set_up,
						tear_down),
		cmocka_unit_test(limits_are_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

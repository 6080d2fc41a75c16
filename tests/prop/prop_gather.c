/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Prop_gather - whatever arrives in whatever order, the answer is its merge
 *
 * Random questions over random shards; each call is answered, overloaded, sent
 * elsewhere, mangled or lost, at a random time, on both sides of the deadline.
 * The result has to equal a sort of all hits that arrived in time, and every
 * other shard has to be named as missing. A seed as the argument replays one.
 */

#include "tests/lib/fake_asks.h"
#include "tests/lib/test.h"

#include "base/rand.h"
#include "cluster/gather.h"
#include "proto/message.h"
#include "proto/status.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEED_COUNT   3000
#define SHARD_MAX    9
#define HIT_MAX      20
#define DEADLINE_NS  UINT64_C(10000000)
#define VSHARD_FIRST 1020 /* wraps round at 1024 */

static uint64_t only_seed;
static uint64_t running_seed;

struct world {
	struct rand rand;
	struct route *route;
	struct gather *gather;
	struct fake_asks asks;
	struct gather_hit model[SHARD_MAX * HIT_MAX]; /* what arrived in time */
	uint32_t model_count;
	bool answered[SHARD_MAX];
	uint32_t vshards[SHARD_MAX];
	uint32_t shard_count;
	uint32_t top_k;
	uint64_t now_ns;
};

static int by_nearness(const void *left, const void *right)
{
	const struct gather_hit *a = left, *b = right;

	if (a->distance != b->distance)
		return a->distance < b->distance ? -1 : 1;
	if (a->vector_id != b->vector_id)
		return a->vector_id < b->vector_id ? -1 : 1;
	return (a->vshard > b->vshard) - (a->vshard < b->vshard);
}

static void begin(struct world *world)
{
	static const float query[3] = {1, 2, 3};
	uint64_t top_k = 1 + rand_below(&world->rand, HIT_MAX);
	struct vector_scatter scatter = {
		.collection = {.text = "c", .length = 1},
		.vector = query,
		.dim = 3,
		.top_k = (uint32_t)top_k,
	};
	struct gather_question question = {
		.scatter = &scatter,
		.vshards = world->vshards,
		.deadline_ns = world->now_ns + DEADLINE_NS,
	};

	world->top_k = (uint32_t)top_k;
	world->shard_count = 1 + (uint32_t)rand_below(&world->rand, SHARD_MAX);
	question.vshard_count = world->shard_count;
	for (uint32_t i = 0; i < world->shard_count; i++) {
		world->vshards[i] = (VSHARD_FIRST + i) % ROUTE_VSHARD_MAX;
		world->answered[i] = false;
	}
	world->model_count = 0;
	assert_int_equal(gather_begin(world->gather, world->route, &question), 0);
}

/* Random hits in order; distances repeat often, so that ties are common. */
static struct session_answer good_answer(struct world *world, const struct fake_ask *ask)
{
	struct gather_hit hits[HIT_MAX];
	struct vector_hit sent[HIT_MAX];
	uint32_t count = (uint32_t)rand_below(&world->rand, world->top_k + 1);
	uint32_t leg = (uint32_t)ask->call.tag;

	for (uint32_t i = 0; i < count; i++)
		hits[i] = (struct gather_hit){
			.distance = (float)rand_below(&world->rand, 5),
			/* No id twice in one shard; between shards they may meet. */
			.vector_id = i * 8 + (uint32_t)rand_below(&world->rand, 8),
			.vshard = ask->vshard,
		};
	qsort(hits, count, sizeof(hits[0]), by_nearness);
	for (uint32_t i = 0; i < count; i++) {
		sent[i] = (struct vector_hit){
			.vector_id = hits[i].vector_id,
			.distance = hits[i].distance,
			.shard_id = ask->vshard,
		};
		world->model[world->model_count++] = hits[i];
	}
	world->answered[leg] = true;
	return fake_asks_hits(ask, sent, count);
}

static struct session_answer bad_answer(struct world *world, const struct fake_ask *ask)
{
	static const uint16_t statuses[] = {
		STATUS_OVERLOADED,      STATUS_OVERLOADED,   STATUS_DRAINING,
		STATUS_UNREACHABLE,     STATUS_SESSION_LOST, STATUS_SHARD_NOT_HERE,
		STATUS_SHARD_ELSEWHERE, STATUS_STALE_EPOCH,  STATUS_DEADLINE,
		STATUS_INTERNAL,
	};
	struct session_answer answer;

	if (rand_below(&world->rand, 8) == 0) { /* an OK whose message was cut off */
		answer = fake_asks_hits(ask, NULL, 0);
		answer.size = (uint32_t)rand_below(&world->rand, answer.size);
		return answer;
	}
	return fake_asks_status(ask, statuses[rand_below(&world->rand, 10)],
				(uint32_t)rand_below(&world->rand, 9000));
}

static void answer_one(struct world *world)
{
	struct fake_ask ask =
		fake_asks_take(&world->asks, (uint32_t)rand_below(&world->rand, world->asks.count));
	struct session_answer answer =
		rand_below(&world->rand, 10) < 6 && !gather_is_done(world->gather)
			? good_answer(world, &ask)
			: bad_answer(world, &ask);

	gather_take(world->gather, world->route, (uint32_t)ask.call.tag, &answer, world->now_ns);
}

static void check(struct world *world)
{
	struct gather_missing missing[SHARD_MAX];
	const struct gather_hit *hits;
	uint32_t count, answered = 0, missing_count;

	qsort(world->model, world->model_count, sizeof(world->model[0]), by_nearness);
	hits = gather_hits(world->gather, &count);
	for (uint32_t i = 0; i < world->shard_count; i++)
		answered += world->answered[i];
	missing_count = gather_missing(world->gather, missing, SHARD_MAX);
	assert_int_equal(missing_count, world->shard_count - answered);
	for (uint32_t i = 0, m = 0; i < world->shard_count; i++) {
		if (world->answered[i])
			continue;
		assert_int_equal(missing[m].vshard, world->vshards[i]);
		assert_int_not_equal(missing[m++].status, STATUS_OK);
	}
	if (answered == 0) {
		assert_int_not_equal(gather_status(world->gather), STATUS_OK);
		assert_int_equal(count, 0);
		return;
	}
	assert_int_equal(gather_status(world->gather), STATUS_OK);
	assert_int_equal(count,
			 world->model_count < world->top_k ? world->model_count : world->top_k);
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(by_nearness(&hits[i], &world->model[i]), 0);
}

/* One question to its end, then the late answers until nobody borrows its buffers. */
static void ask_once(struct world *world)
{
	unsigned steps = 0;

	begin(world);
	while (!gather_is_done(world->gather)) {
		assert_true(steps++ < 100000);
		world->asks.result = rand_below(&world->rand, 10) == 0 ? SESSION_E_BUSY : 0;
		gather_run(world->gather, world->route, &fake_asks_ops, &world->asks,
			   world->now_ns);
		if (world->asks.count && rand_below(&world->rand, 2))
			answer_one(world);
		world->now_ns += rand_below(&world->rand, 300000);
	}
	check(world);
	while (!gather_is_idle(world->gather))
		answer_one(world);
	assert_int_equal(world->asks.count, 0);
	check(world);
}

static void run_seed(uint64_t seed)
{
	static struct world world;
	struct addr servers[3] = {{{1}, 7400}, {{2}, 7400}, {{3}, 7400}};
	struct gather_limits limits = {
		.shard_max = SHARD_MAX,
		.request_size_max = 200,
		.hit_max = HIT_MAX,
	};
	uint32_t id;

	memset(&world, 0, sizeof(world));
	rand_init(&world.rand, seed);
	assert_int_equal(
		route_new(servers, 1 + (uint32_t)rand_below(&world.rand, 3), 1, &world.route), 0);
	assert_int_equal(route_collection(world.route, "c", 1, &id), 0);
	assert_int_equal(gather_new(&limits, &world.gather), 0);
	for (unsigned i = 0; i < 4; i++)
		ask_once(&world);
	gather_free(world.gather);
	route_free(world.route);
}

static void the_answer_is_the_merge_of_what_arrived(void **state)
{
	for (uint64_t seed = 1; seed <= SEED_COUNT; seed++) {
		running_seed = only_seed ? only_seed : seed;
		run_seed(running_seed);
		if (only_seed)
			break;
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_answer_is_the_merge_of_what_arrived),
	};

	if (argc > 1)
		only_seed = strtoull(argv[1], NULL, 0);
	if (cmocka_run_group_tests(tests, NULL, NULL) == 0)
		return 0;
	fprintf(stderr, "failed at seed %" PRIu64 ": give it as the argument to replay it\n",
		running_seed);
	return 1;
}

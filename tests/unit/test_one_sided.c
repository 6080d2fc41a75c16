/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/defs.h"
#include "cluster/one_sided.h"
#include "cluster/tether.h"
#include "proto/directory.h"
#include "proto/envelope.h"
#include "proto/message.h"
#include "proto/payload_region.h"
#include "proto/status.h"
#include "rdma/fetch_verbs.h"
#include "tests/lib/fake_asks.h"
#include "tests/lib/fake_owner.h"
#include "tests/lib/fake_verbs.h"
#include "tests/lib/index.h"
#include "tests/lib/kinds.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT   800
#define DIM     16
#define QUERIES 12
#define VSHARD  7
#define MS      UINT64_C(1000000)

static const struct kind kind = {METRIC_L2, VECTOR_F32, BUILD_ROWS_COMPACT, BUILD_LAYOUT_EDGES};

struct fixture {
	struct fake_owner owner;
	struct fake_door door;
	bool silent; /* the owner, to requests */
	struct addr at;
	struct build_image image;
	struct segment local;
	float *rows;
	float *queries;
	struct route *route;
	uint32_t collection;
	struct fake_asks asks;
	struct one_sided *one_sided;
	uint32_t shard;
	uint64_t now_ns;
};

/* --- the owner --- */

/* Answers the oldest request, as session and node would. */
static void owner_answer(struct fixture *fixture)
{
	struct fake_ask ask = fake_asks_take(&fixture->asks, 0);
	struct session_answer answer = {.tag = ask.call.tag, .epoch = 1, .status = STATUS_OK};
	struct envelope envelope;

	assert_int_equal(envelope_decode(ask.call.bytes, ask.call.size, &envelope), 0);
	answer.size = (uint32_t)fake_owner_answer(&fixture->owner, &fixture->door, &envelope,
						  ask.call.answer, ask.call.answer_capacity);
	one_sided_take(fixture->one_sided, fixture->route, (uint32_t)ask.call.tag, &answer,
		       fixture->now_ns);
}

/* --- the reader's side --- */

static void setup(struct fixture *fixture)
{
	struct kinds_input input = {.count = COUNT, .dim = DIM};
	struct one_sided_config config = {
		.shm = true,
		.memory_size = 16 << 20,
		.shard_max = 2,
		.reader = {.in_flight = 4, .ef_max = 128, .k_max = 10, .breadth = 4},
	};

	*fixture = (struct fixture){.now_ns = 1000 * MS};
	fixture->rows = kinds_vectors(kind.type, COUNT, DIM, 1);
	fixture->queries = kinds_vectors(kind.type, QUERIES, DIM, 2);
	input.rows = fixture->rows;
	kinds_build(&kind, &input, &fixture->image, &fixture->local);
	fake_owner_init(&fixture->owner, &fixture->local, VSHARD);
	assert_int_equal(addr_parse("127.0.0.1:1", 0, &fixture->at), 0);
	fixture->at.port = (uint16_t)(20000 + getpid() % 40000);
	fake_door_open(&fixture->door, &fixture->at, NULL);
	assert_int_equal(route_new(&fixture->at, 1, 4, &fixture->route), 0);
	assert_int_equal(route_collection(fixture->route, "c", 1, &fixture->collection), 0);
	assert_int_equal(one_sided_new(&config, &fixture->one_sided), 0);
	fixture->shard = one_sided_shard(fixture->one_sided, fixture->collection, VSHARD);
	assert_int_equal(fixture->shard, 0);
}

static void teardown(struct fixture *fixture)
{
	while (fixture->asks.count > 0)
		owner_answer(fixture);
	one_sided_free(fixture->one_sided);
	fake_door_close(&fixture->door);
	fake_owner_deinit(&fixture->owner);
	route_free(fixture->route);
	build_image_free(&fixture->image);
	free(fixture->rows);
	free(fixture->queries);
}

static void learn_place(struct fixture *fixture)
{
	struct addr core = fixture->at;

	core.port++; /* the second core's; memory is lent by the first one's address */
	assert_int_equal(route_learn(fixture->route, fixture->collection, VSHARD, &core, 1), 0);
}

static void turn(struct fixture *fixture)
{
	one_sided_run(fixture->one_sided, fixture->route, &fake_asks_ops, &fixture->asks, 0,
		      fixture->now_ns);
	fake_door_turn(&fixture->door, fixture->now_ns);
	while (fixture->asks.count > 0 && !fixture->silent)
		owner_answer(fixture);
}

static bool wait_ready(struct fixture *fixture)
{
	for (unsigned i = 0; i < 200 && !one_sided_is_ready(fixture->one_sided, fixture->shard);
	     i++)
		turn(fixture);
	return one_sided_is_ready(fixture->one_sided, fixture->shard);
}

/* Asks all queries. Returns how many were answered rightly; the others had an error. */
static unsigned ask_all(struct fixture *fixture)
{
	struct search *search = index_search(&fixture->local);
	const struct search_params params = {.k = 10, .ef = 40};
	unsigned right = 0;

	for (uint64_t i = 0; i < QUERIES; i++) {
		const float *query = fixture->queries + i * DIM;
		struct reader_answer answer;
		struct search_hit hits[10];
		unsigned count = 0;

		if (!one_sided_is_ready(fixture->one_sided, fixture->shard))
			break;
		assert_int_equal(
			one_sided_ask(fixture->one_sided, fixture->shard, query, 10, 40, i), 0);
		while (count == 0) {
			turn(fixture);
			count = one_sided_answers(fixture->one_sided, fixture->shard, &answer, 1);
		}
		assert_int_equal(answer.tag, i);
		if (answer.error)
			continue;
		count = kinds_ask(search, &fixture->local, query, &params, hits);
		assert_int_equal(answer.hit_count, count);
		assert_memory_equal(answer.hits, hits, count * sizeof(hits[0]));
		right++;
	}
	search_free(search);
	return right;
}

static uint32_t hops_with(struct fixture *fixture, uint32_t ef)
{
	struct reader_answer answer;

	assert_int_equal(
		one_sided_ask(fixture->one_sided, fixture->shard, fixture->queries, 10, ef, 1), 0);
	do
		turn(fixture);
	while (!one_sided_answers(fixture->one_sided, fixture->shard, &answer, 1));
	assert_int_equal(answer.error, 0);
	return answer.hops;
}

static void a_question_that_leaves_it_open_is_searched_as_its_owner_would(void **state)
{
	struct fixture fixture;

	(void)state;
	setup(&fixture);
	assert_int_not_equal(fixture.local.ef_default, FAKE_OWNER_EF);
	learn_place(&fixture);
	assert_true(wait_ready(&fixture));
	assert_int_equal(hops_with(&fixture, 0), hops_with(&fixture, FAKE_OWNER_EF));
	assert_int_not_equal(hops_with(&fixture, 0), hops_with(&fixture, fixture.local.ef_default));
	teardown(&fixture);
}

static void a_shard_opens_itself_and_answers_as_its_owner(void **state)
{
	struct fixture fixture;
	struct one_sided_info info;

	(void)state;
	setup(&fixture);
	assert_false(wait_ready(&fixture)); /* nobody knows where it is */
	assert_int_equal(fixture.owner.asked, 0);
	learn_place(&fixture);
	assert_true(wait_ready(&fixture));
	assert_int_equal(fixture.owner.asked, 2);
	assert_int_equal(ask_all(&fixture), QUERIES);
	info = one_sided_info(fixture.one_sided, fixture.shard);
	assert_string_equal(info.transport, "shm");
	assert_int_equal(info.opened, 1);
	assert_int_equal(info.failed, 0);
	assert_int_equal(info.reader.answers, QUERIES);
	assert_true(info.fetch.reads > 0);
	teardown(&fixture);
}

static void a_lease_is_renewed_at_half_its_time(void **state)
{
	struct fixture fixture;

	(void)state;
	setup(&fixture);
	learn_place(&fixture);
	assert_true(wait_ready(&fixture));
	for (unsigned i = 0; i < 10; i++) {
		fixture.now_ns += 4000 * MS; /* of 10,000 */
		assert_int_equal(ask_all(&fixture), QUERIES);
	}
	assert_true(fixture.owner.asked >= 5);
	assert_int_equal(one_sided_info(fixture.one_sided, fixture.shard).opened, 1);
	teardown(&fixture);
}

static void without_a_new_lease_reading_ends_with_the_old(void **state)
{
	struct fixture fixture;

	(void)state;
	setup(&fixture);
	learn_place(&fixture);
	assert_true(wait_ready(&fixture));
	fixture.owner.refusal = REGION_MANY_LEASES;
	fixture.now_ns += 6000 * MS;
	assert_int_equal(ask_all(&fixture), QUERIES);
	assert_non_null(
		strstr(one_sided_reason(fixture.one_sided, fixture.shard), REGION_MANY_LEASES));
	fixture.now_ns += 5000 * MS;
	assert_int_equal(ask_all(&fixture), 0);
	turn(&fixture);
	assert_false(one_sided_is_ready(fixture.one_sided, fixture.shard));
	assert_non_null(strstr(one_sided_reason(fixture.one_sided, fixture.shard), "lease"));
	fixture.owner.refusal = NULL;
	fixture.now_ns += 60000 * MS;
	assert_true(wait_ready(&fixture));
	assert_int_equal(ask_all(&fixture), QUERIES);
	teardown(&fixture);
}

static void refusals_are_told_and_tried_again(void **state)
{
	struct fixture fixture;
	unsigned asked;

	(void)state;
	setup(&fixture);
	learn_place(&fixture);
	fixture.owner.refusal = REGION_UNSUPPORTED;
	assert_false(wait_ready(&fixture));
	assert_non_null(
		strstr(one_sided_reason(fixture.one_sided, fixture.shard), REGION_UNSUPPORTED));
	assert_false(one_sided_is_coming(fixture.one_sided, fixture.shard));
	asked = fixture.owner.asked;
	assert_int_equal(asked, 1); /* not over and over */
	fixture.owner.refusal = NULL;
	fixture.now_ns = one_sided_due_ns(fixture.one_sided, fixture.now_ns);
	assert_true(wait_ready(&fixture));
	assert_string_equal(one_sided_reason(fixture.one_sided, fixture.shard), "");
	teardown(&fixture);
}

static void an_owner_that_vanishes_answers_with_an_error(void **state)
{
	struct fixture fixture;
	struct reader_answer answer;
	unsigned count = 0;

	(void)state;
	setup(&fixture);
	learn_place(&fixture);
	assert_true(wait_ready(&fixture));
	assert_int_equal(
		one_sided_ask(fixture.one_sided, fixture.shard, fixture.queries, 10, 40, 5), 0);
	fake_door_slam(&fixture.door);
	while (count == 0) {
		one_sided_run(fixture.one_sided, fixture.route, &fake_asks_ops, &fixture.asks, 0,
			      fixture.now_ns);
		count = one_sided_answers(fixture.one_sided, fixture.shard, &answer, 1);
	}
	assert_int_equal(answer.tag, 5);
	assert_true(answer.error < 0);
	one_sided_run(fixture.one_sided, fixture.route, &fake_asks_ops, &fixture.asks, 0,
		      fixture.now_ns);
	assert_false(one_sided_is_ready(fixture.one_sided, fixture.shard));
	assert_true(strlen(one_sided_reason(fixture.one_sided, fixture.shard)) > 0);
	teardown(&fixture);
}

static void an_owner_that_says_nothing_is_given_up(void **state)
{
	struct fixture fixture;

	(void)state;
	setup(&fixture);
	learn_place(&fixture);
	fixture.silent = true;
	assert_false(wait_ready(&fixture));
	fixture.now_ns += ONE_SIDED_STEP_NS;
	turn(&fixture);
	assert_false(one_sided_is_coming(fixture.one_sided, fixture.shard));
	assert_non_null(strstr(one_sided_reason(fixture.one_sided, fixture.shard), "too long"));
	/* Its answer comes after all, and is nobody's. */
	fixture.silent = false;
	while (fixture.asks.count > 0)
		owner_answer(&fixture);
	assert_true(one_sided_is_idle(fixture.one_sided));
	fixture.now_ns += 60000 * MS;
	assert_true(wait_ready(&fixture));
	teardown(&fixture);
}

static void a_node_that_lends_nothing_is_asked_instead(void **state)
{
	struct fixture fixture;

	(void)state;
	setup(&fixture);
	learn_place(&fixture);
	close(fixture.door.listen_fd);
	assert_false(wait_ready(&fixture));
	assert_false(one_sided_is_coming(fixture.one_sided, fixture.shard));
	assert_true(strlen(one_sided_reason(fixture.one_sided, fixture.shard)) > 0);
	fixture.door.listen_fd = dup(STDERR_FILENO);
	teardown(&fixture);
}

static void another_segment_under_the_same_name_ends_it(void **state)
{
	struct fixture fixture;

	(void)state;
	setup(&fixture);
	learn_place(&fixture);
	assert_true(wait_ready(&fixture));
	fixture.owner.generation++;
	fixture.now_ns += 6000 * MS;
	turn(&fixture);
	turn(&fixture);
	turn(&fixture);
	assert_false(one_sided_is_ready(fixture.one_sided, fixture.shard));
	assert_non_null(strstr(one_sided_reason(fixture.one_sided, fixture.shard), "another"));
	teardown(&fixture);
}

static unsigned open_descriptors(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* Opens it with an owner that misbehaves; the reason must speak of 'what'. */
static void assert_refused(struct fixture *fixture, const char *what)
{
	learn_place(fixture);
	assert_false(wait_ready(fixture));
	assert_non_null(strstr(one_sided_reason(fixture->one_sided, fixture->shard), what));
	teardown(fixture);
}

static void memory_that_was_not_granted_is_passed_over_and_closed(void **state)
{
	const unsigned strays[] = {TETHER_LENT_MAX - 1, TETHER_LENT_MAX + 2};
	const unsigned before = open_descriptors();

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(strays); i++) {
		struct fixture fixture;

		setup(&fixture);
		learn_place(&fixture);
		fixture.owner.strays = strays[i];
		assert_true(wait_ready(&fixture));
		for (unsigned renewal = 0; renewal < 4; renewal++) {
			fixture.now_ns += 6000 * MS;
			assert_int_equal(ask_all(&fixture), QUERIES);
		}
		teardown(&fixture);
		assert_int_equal(open_descriptors(), before);
	}
}

static void memory_shorter_than_its_grant_is_refused(void **state)
{
	struct fixture fixture;

	(void)state;
	setup(&fixture);
	fixture.owner.short_lent = 64;
	assert_refused(&fixture, "too short");
}

static void a_grant_shorter_than_the_directory_says_is_refused(void **state)
{
	struct fixture fixture;

	(void)state;
	setup(&fixture);
	fixture.owner.short_grant = 64;
	assert_refused(&fixture, "the directory");
}

static void a_new_lease_of_another_size_ends_it(void **state)
{
	struct fixture fixture;

	(void)state;
	setup(&fixture);
	learn_place(&fixture);
	assert_true(wait_ready(&fixture));
	fixture.owner.short_grant = 64;
	fixture.now_ns += 6000 * MS;
	for (unsigned i = 0; i < 3; i++)
		turn(&fixture);
	assert_false(one_sided_is_ready(fixture.one_sided, fixture.shard));
	assert_non_null(strstr(one_sided_reason(fixture.one_sided, fixture.shard), "another"));
	teardown(&fixture);
}

static void answers_to_something_else_are_malformed(void **state)
{
	struct fixture fixture;

	(void)state;
	setup(&fixture);
	fixture.owner.answer_type = MESSAGE_VECTOR_MEM_REGION_REQUEST;
	assert_refused(&fixture, "malformed");
	setup(&fixture);
	fixture.owner.answer_shard = 1;
	assert_refused(&fixture, "malformed");
}

static void directories_of_other_shards_and_empty_ones_are_refused(void **state)
{
	struct fixture fixture;

	(void)state;
	setup(&fixture);
	fake_owner_list(&fixture.owner, &fixture.local, VSHARD + 1, 1);
	assert_refused(&fixture, "directory");
	setup(&fixture);
	fake_owner_list(&fixture.owner, &fixture.local, VSHARD, 0);
	assert_refused(&fixture, "directory");
}

static void memory_that_is_withdrawn_is_read_no_more(void **state)
{
	struct fixture fixture;

	(void)state;
	setup(&fixture);
	learn_place(&fixture);
	assert_true(wait_ready(&fixture));
	assert_int_equal(shm_link_withdraw(fixture.door.links[0], fixture.owner.lease), 0);
	turn(&fixture);
	assert_false(one_sided_is_ready(fixture.one_sided, fixture.shard));
	turn(&fixture);
	assert_non_null(strstr(one_sided_reason(fixture.one_sided, fixture.shard),
			       "taken its memory back"));
	teardown(&fixture);
}

/* Among servers below and above it, and those of other hosts at ports that are nearer. */
static void memory_is_lent_at_the_owners_first_core(void **state)
{
	static const struct {
		const char *ip;
		int port;
	} others[] = {
		{"127.0.0.1:1", -5}, {"127.0.0.1:1", 10}, {"127.0.0.2:1", 2}, {"127.0.0.1:1", -9}};
	struct addr servers[1 + ARRAY_COUNT(others)];
	struct fixture fixture;
	struct addr core;

	(void)state;
	setup(&fixture);
	for (unsigned i = 0; i < ARRAY_COUNT(others); i++) {
		assert_int_equal(addr_parse(others[i].ip, 0, &servers[i]), 0);
		servers[i].port = (uint16_t)(fixture.at.port + others[i].port);
	}
	servers[ARRAY_COUNT(others)] = fixture.at;
	route_free(fixture.route);
	assert_int_equal(route_new(servers, ARRAY_COUNT(servers), 4, &fixture.route), 0);
	assert_int_equal(route_collection(fixture.route, "c", 1, &fixture.collection), 0);
	core = fixture.at;
	core.port = (uint16_t)(core.port + 3);
	assert_int_equal(route_learn(fixture.route, fixture.collection, VSHARD, &core, 1), 0);
	assert_true(wait_ready(&fixture));
	teardown(&fixture);
}

/* Fails once more. Returns how long it pauses then. */
static uint64_t pause_after_failure(struct fixture *fixture)
{
	fixture->now_ns = one_sided_due_ns(fixture->one_sided, fixture->now_ns);
	assert_false(wait_ready(fixture));
	return one_sided_due_ns(fixture->one_sided, fixture->now_ns) - fixture->now_ns;
}

static void pauses_grow_to_their_limit_and_begin_anew_after_success(void **state)
{
	struct fixture fixture;
	uint64_t expected = ONE_SIDED_PAUSE_MIN_NS;

	(void)state;
	setup(&fixture);
	learn_place(&fixture);
	fixture.owner.refusal = REGION_UNSUPPORTED;
	for (unsigned i = 0; i < 9; i++) {
		assert_int_equal(pause_after_failure(&fixture), expected);
		assert_int_equal(fixture.owner.asked, i + 1);
		expected = MIN(2 * expected, ONE_SIDED_PAUSE_MAX_NS);
	}
	assert_int_equal(expected, ONE_SIDED_PAUSE_MAX_NS);
	fixture.owner.refusal = NULL;
	fixture.now_ns = one_sided_due_ns(fixture.one_sided, fixture.now_ns);
	assert_true(wait_ready(&fixture));
	fixture.owner.refusal = REGION_UNSUPPORTED;
	assert_int_equal(shm_link_withdraw(fixture.door.links[0], fixture.owner.lease), 0);
	turn(&fixture);
	turn(&fixture);
	assert_int_equal(one_sided_due_ns(fixture.one_sided, fixture.now_ns) - fixture.now_ns,
			 ONE_SIDED_PAUSE_MIN_NS);
	assert_int_equal(one_sided_info(fixture.one_sided, fixture.shard).failed, 10);
	teardown(&fixture);
}

static void the_next_lease_is_asked_for_at_half_of_this_one_and_not_over_and_over(void **state)
{
	struct fixture fixture;
	uint64_t half_ns;

	(void)state;
	setup(&fixture);
	learn_place(&fixture);
	assert_true(wait_ready(&fixture));
	half_ns = fixture.now_ns + fixture.owner.lease_ms * MS / 2;
	assert_int_equal(one_sided_due_ns(fixture.one_sided, fixture.now_ns), half_ns);
	fixture.owner.refusal = REGION_MANY_LEASES;
	fixture.now_ns = half_ns - 1;
	turn(&fixture);
	assert_int_equal(fixture.owner.asked, 2);
	for (unsigned i = 0; i < 3; i++) {
		fixture.now_ns = half_ns + i * ONE_SIDED_PAUSE_MIN_NS;
		for (unsigned j = 0; j < 4; j++)
			turn(&fixture);
		assert_int_equal(fixture.owner.asked, 3 + i);
	}
	assert_true(one_sided_is_ready(fixture.one_sided, fixture.shard));
	teardown(&fixture);
}

/* It still borrows the buffers that the next one would. */
static void a_request_that_was_given_up_is_not_repeated_before_its_answer(void **state)
{
	struct fixture fixture;

	(void)state;
	setup(&fixture);
	learn_place(&fixture);
	fixture.silent = true;
	assert_false(wait_ready(&fixture));
	fixture.now_ns += ONE_SIDED_STEP_NS;
	for (unsigned i = 0; i < 10; i++) {
		turn(&fixture);
		fixture.now_ns += ONE_SIDED_PAUSE_MAX_NS;
	}
	assert_int_equal(fixture.asks.count, 1);
	assert_int_equal(one_sided_info(fixture.one_sided, fixture.shard).failed, 1);
	fixture.silent = false;
	assert_true(wait_ready(&fixture));
	teardown(&fixture);
}

static void directories_that_are_too_large_are_not_read(void **state)
{
	struct fixture fixture;

	(void)state;
	setup(&fixture);
	fixture.owner.directory_size = directory_size(DIRECTORY_SEGMENT_MAX) + 1;
	assert_true(fixture.owner.directory_size <= fixture.owner.directory.size);
	assert_refused(&fixture, "a directory of");
}

/* --- by verbs --- */

struct end {
	struct device *device;
	struct link_hub *hub;
	uint32_t named; /* the owner's: the vShard that it was asked for last */
	bool has_none;
};

static void link_changed(void *context, struct link *link)
{
	(void)context;
	if (link_is_accepted(link) && link_state(link) == LINK_ENDED)
		link_close(link);
}

static bool has_shard(void *context, uint32_t vshard)
{
	struct end *owner = context;

	owner->named = vshard;
	return !owner->has_none;
}

static void end_open(struct end *end, const struct verbs_ops *ops)
{
	const struct device_options any = {.gid_index = -1};
	const struct link_hub_config config = {.link_max = 4,
					       .send_depth = FETCH_VERBS_DEPTH_MIN,
					       .seed = 1,
					       .changed = link_changed,
					       .has_shard = has_shard,
					       .context = end};
	char error[DEVICE_ERROR_MAX];

	*end = (struct end){.named = UINT32_MAX};
	assert_int_equal(device_open(ops, &any, &end->device, error, sizeof(error)), 0);
	assert_int_equal(link_hub_new(end->device, &config, &end->hub, error, sizeof(error)), 0);
}

static void end_close(struct end *end)
{
	link_hub_free(end->hub);
	device_close(end->device);
}

/* A fixture whose reader has verbs, and whose owner is a hub that grants nothing. */
static void setup_verbs(struct fixture *fixture, struct end ends[2])
{
	const struct verbs_ops *ops =
		fake_verbs_new(&(struct fake_verbs_config){.devices = 1, .seed = 1});
	struct one_sided_config config = {
		.memory_size = 16 << 20,
		.shard_max = 1,
		.reader = {.in_flight = 4, .ef_max = 128, .k_max = 10, .breadth = 4},
	};
	struct addr bound;
	char error[DEVICE_ERROR_MAX];

	*fixture = (struct fixture){.now_ns = 1000 * MS};
	for (unsigned i = 0; i < 2; i++)
		end_open(&ends[i], ops);
	assert_int_equal(addr_parse("10.77.0.1:0", 0, &fixture->at), 0);
	assert_int_equal(link_listen(ends[0].hub, &fixture->at, &bound, error, sizeof(error)), 0);
	config.hub = ends[1].hub;
	assert_int_equal(route_new(&bound, 1, 4, &fixture->route), 0);
	assert_int_equal(route_collection(fixture->route, "c", 1, &fixture->collection), 0);
	assert_int_equal(route_learn(fixture->route, fixture->collection, VSHARD, &bound, 1), 0);
	assert_int_equal(one_sided_new(&config, &fixture->one_sided), 0);
	fixture->shard = one_sided_shard(fixture->one_sided, fixture->collection, VSHARD);
}

static void teardown_verbs(struct fixture *fixture, struct end ends[2])
{
	one_sided_free(fixture->one_sided);
	for (unsigned i = 0; i < 2; i++)
		end_close(&ends[i]);
	assert_int_equal(fake_verbs_live(), 0);
	route_free(fixture->route);
}

static void turn_verbs(struct fixture *fixture, struct end ends[2])
{
	for (unsigned i = 0; i < 20; i++) {
		fixture->now_ns += MS;
		one_sided_run(fixture->one_sided, fixture->route, &fake_asks_ops, &fixture->asks, 0,
			      fixture->now_ns);
		(void)link_hub_turn(ends[0].hub, fixture->now_ns);
	}
}

/* With the link ready, type 56 goes out. */
static void a_link_names_the_shard_that_it_is_for(void **state)
{
	struct session_answer answer;
	struct fixture fixture;
	struct fake_ask ask;
	struct end ends[2];

	(void)state;
	setup_verbs(&fixture, ends);
	turn_verbs(&fixture, ends);
	assert_int_equal(ends[0].named, VSHARD);
	assert_int_equal(fixture.asks.count, 1);
	ask = fake_asks_take(&fixture.asks, 0);
	answer = fake_asks_status(&ask, STATUS_OVERLOADED, 0);
	one_sided_take(fixture.one_sided, fixture.route, 0, &answer, fixture.now_ns);
	teardown_verbs(&fixture, ends);
}

static void an_owner_without_the_shard_says_so(void **state)
{
	struct fixture fixture;
	struct end ends[2];

	(void)state;
	setup_verbs(&fixture, ends);
	ends[0].has_none = true;
	turn_verbs(&fixture, ends);
	assert_false(one_sided_is_coming(fixture.one_sided, fixture.shard));
	assert_non_null(strstr(one_sided_reason(fixture.one_sided, fixture.shard),
			       "doesn't have that shard"));
	assert_int_equal(fixture.asks.count, 0);
	teardown_verbs(&fixture, ends);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_shard_opens_itself_and_answers_as_its_owner),
		cmocka_unit_test(a_question_that_leaves_it_open_is_searched_as_its_owner_would),
		cmocka_unit_test(a_lease_is_renewed_at_half_its_time),
		cmocka_unit_test(without_a_new_lease_reading_ends_with_the_old),
		cmocka_unit_test(refusals_are_told_and_tried_again),
		cmocka_unit_test(an_owner_that_vanishes_answers_with_an_error),
		cmocka_unit_test(an_owner_that_says_nothing_is_given_up),
		cmocka_unit_test(a_node_that_lends_nothing_is_asked_instead),
		cmocka_unit_test(another_segment_under_the_same_name_ends_it),
		cmocka_unit_test(memory_that_was_not_granted_is_passed_over_and_closed),
		cmocka_unit_test(memory_shorter_than_its_grant_is_refused),
		cmocka_unit_test(a_grant_shorter_than_the_directory_says_is_refused),
		cmocka_unit_test(a_new_lease_of_another_size_ends_it),
		cmocka_unit_test(answers_to_something_else_are_malformed),
		cmocka_unit_test(directories_of_other_shards_and_empty_ones_are_refused),
		cmocka_unit_test(memory_that_is_withdrawn_is_read_no_more),
		cmocka_unit_test(memory_is_lent_at_the_owners_first_core),
		cmocka_unit_test(pauses_grow_to_their_limit_and_begin_anew_after_success),
		cmocka_unit_test(
			the_next_lease_is_asked_for_at_half_of_this_one_and_not_over_and_over),
		cmocka_unit_test(a_request_that_was_given_up_is_not_repeated_before_its_answer),
		cmocka_unit_test(directories_that_are_too_large_are_not_read),
		cmocka_unit_test(a_link_names_the_shard_that_it_is_for),
		cmocka_unit_test(an_owner_without_the_shard_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

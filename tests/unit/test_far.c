/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/clock.h"
#include "base/defs.h"
#include "client/client.h"
#include "client/far.h"
#include "net/port_socket.h"
#include "proto/status.h"
#include "rdma/shm_link.h"
#include "tests/lib/fake_asks.h"
#include "tests/lib/fake_node.h"
#include "tests/lib/index.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define DIM    2
#define K      4
#define ROWS   30
#define SHARDS 3

static const float vector[DIM] = {3, 4};
static const uint8_t secret[SESSION_SECRET_SIZE] = "a secret of all the members";

/* Neither verbs nor shared memory: no shard is ever read. */
static struct far *far_without_transports(void)
{
	const struct far_config config = {.shm = false};
	struct far *far;

	assert_int_equal(far_new(&config, &far), 0);
	return far;
}

/* As if one_sided had taken them all. */
static void begin_asked(struct far *far, struct far_question *question, const uint32_t *vshards,
			uint32_t count)
{
	assert_int_equal(far_begin(far, question, 0, vshards, count, vector, DIM, K, 0, 5), 0);
	for (uint32_t i = 0; i < count; i++)
		question->places[i] = FAR_ASKED;
}

static void answer(struct far_question *question, uint32_t place, int error,
		   const struct search_hit *hits, uint32_t count)
{
	const struct reader_answer answer = {
		.tag = 5 << 12 | place, .error = error, .hits = hits, .hit_count = count};

	far_answer(question, question->shards[place], &answer);
}

static void assert_hits(const struct far_question *question, const struct gather_hit *expected,
			uint32_t count)
{
	assert_int_equal(question->hit_count, count);
	for (uint32_t i = 0; i < count; i++) {
		assert_true(question->hits[i].distance == expected[i].distance);
		assert_int_equal(question->hits[i].vector_id, expected[i].vector_id);
		assert_int_equal(question->hits[i].vshard, expected[i].vshard);
	}
}

static void hits_are_merged_by_distance_then_label_then_shard(void **state)
{
	static const uint32_t vshards[] = {9, 4, 7};
	static const struct search_hit first[] = {{10, 1}, {12, 1}, {13, 2}, {14, 8}};
	static const struct search_hit second[] = {{11, 1}, {10, 1}, {9, 2}};
	static const struct search_hit third[] = {{50, 0.5F}};
	static const struct gather_hit expected[] = {
		{1, 10, 4}, {1, 10, 9}, {1, 11, 4}, {1, 12, 9}};
	static const struct gather_hit with_third[] = {
		{0.5F, 50, 7}, {1, 10, 4}, {1, 10, 9}, {1, 11, 4}};
	static const struct gather_hit others[] = {
		{1, 10, 2}, {1, 10, 5}, {7, 1, 1}, {8, 1, 1}, {0, 1, 1}};
	static const struct gather_hit with_others[] = {
		{0.5F, 50, 7}, {1, 10, 2}, {1, 10, 4}, {1, 10, 5}};
	struct far *far = far_without_transports();
	struct far_question question = {0};

	(void)state;
	begin_asked(far, &question, vshards, 3);
	answer(&question, 0, 0, first, 4);
	answer(&question, 1, 0, second, 3);
	assert_hits(&question, expected, K);
	assert_false(far_is_done(&question));
	answer(&question, 2, 0, third, 1);
	assert_hits(&question, with_third, K);
	assert_true(far_is_done(&question));
	assert_int_equal(question.answered, 3);
	/* No more than k of another's hits count, which are in their order: the last is not one. */
	assert_int_equal(far_merge(&question, others, 5), K);
	assert_hits(&question, with_others, K);
	far_question_deinit(&question);
	far_free(far);
}

static void a_shard_that_fails_is_left_to_its_owner_and_the_others_hits_stay(void **state)
{
	static const uint32_t vshards[] = {9, 4, 7};
	static const struct search_hit hits[] = {{10, 1}, {12, 1}};
	static const struct gather_hit expected[] = {{1, 10, 4}, {1, 12, 4}};
	struct far *far = far_without_transports();
	struct far_question question = {0};
	uint32_t rest[3];

	(void)state;
	begin_asked(far, &question, vshards, 3);
	answer(&question, 2, -EACCES, hits, 2);
	answer(&question, 1, 0, hits, 2);
	assert_false(far_is_done(&question));
	assert_int_equal(far_rest(&question, rest), 1);
	assert_int_equal(rest[0], 7);
	answer(&question, 0, -ETIMEDOUT, NULL, 0);
	assert_true(far_is_done(&question));
	assert_int_equal(far_rest(&question, rest), 2);
	assert_int_equal(rest[0], 9);
	assert_int_equal(rest[1], 7);
	assert_int_equal(question.answered, 1);
	assert_hits(&question, expected, 2);
	/* What the next question is asked begins with nothing. */
	begin_asked(far, &question, vshards, 2);
	assert_int_equal(question.hit_count, 0);
	assert_int_equal(question.answered, 0);
	assert_int_equal(far_rest(&question, rest), 0);
	far_question_deinit(&question);
	far_free(far);
}

static void who_gives_up_waits_for_no_shard(void **state)
{
	static const uint32_t vshards[] = {9, 4, 7};
	static const struct search_hit hits[] = {{10, 1}};
	struct far *far = far_without_transports();
	struct far_question question = {0};
	uint32_t rest[3];

	(void)state;
	begin_asked(far, &question, vshards, 3);
	question.places[0] = FAR_WANTED;
	answer(&question, 1, 0, hits, 1);
	far_abandon(far, &question);
	assert_true(far_is_done(&question));
	assert_int_equal(far_rest(&question, rest), 2);
	assert_int_equal(rest[0], 9);
	assert_int_equal(rest[1], 7);
	far_question_deinit(&question);
	far_free(far);
}

static void more_shards_than_can_be_read_are_left_at_once(void **state)
{
	static uint32_t vshards[ONE_SIDED_SHARD_MAX + 2], rest[ONE_SIDED_SHARD_MAX + 2];
	struct far *far = far_without_transports();
	struct far_question question = {0};

	(void)state;
	for (uint32_t i = 0; i < ARRAY_COUNT(vshards); i++)
		vshards[i] = 1000 + i;
	assert_int_equal(
		far_begin(far, &question, 0, vshards, ARRAY_COUNT(vshards), vector, DIM, K, 0, 1),
		0);
	assert_int_equal(question.open_count, ONE_SIDED_SHARD_MAX);
	assert_int_equal(far_rest(&question, rest), 2);
	assert_int_equal(rest[0], 1000 + ONE_SIDED_SHARD_MAX);
	assert_int_equal(far_stats(far).shards, ONE_SIDED_SHARD_MAX);
	far_question_deinit(&question);
	far_free(far);
}

static void unexpected(void *context, uint64_t tag, uint32_t shard,
		       const struct reader_answer *answer)
{
	fail();
}

static void a_shard_that_cannot_be_read_is_waited_for_once(void **state)
{
	static const uint32_t vshards[] = {9};
	struct far *far = far_without_transports();
	struct far_question question = {0};
	struct fake_asks asks = {0};
	struct route *route;
	struct addr at;
	uint32_t collection;

	(void)state;
	assert_int_equal(addr_parse("127.0.0.1:9", 0, &at), 0);
	assert_int_equal(route_new(&at, 1, 4, &route), 0);
	assert_int_equal(route_collection(route, "c", 1, &collection), 0);
	assert_int_equal(route_learn(route, collection, 9, &at, 1), 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(
			far_begin(far, &question, collection, vshards, 1, vector, DIM, K, 0, 1), 0);
		far_advance(far, &question);
		assert_int_equal(far_is_done(&question), i);
		far_run(far, route, &fake_asks_ops, &asks, 0, unexpected, NULL, NS_PER_S);
		far_advance(far, &question);
		assert_true(far_is_done(&question));
		assert_int_equal(question.answered, 0);
	}
	assert_int_equal(far_stats(far).failed, 1);
	assert_int_equal(far_stats(far).ready, 0);
	assert_true(strlen(far_stats(far).reason) > 0);
	assert_null(far_stats(far).transport);
	far_question_deinit(&question);
	route_free(route);
	far_free(far);
}

/* --- a client and its owner --- */

enum lends {
	NOBODY_LISTENS,
	NOTHING, /* it listens, and says nothing */
	SHARDS_OF_ITS,
};

struct rig {
	float rows[ROWS * DIM];
	struct fake_node *node;
	struct addr at;
	struct port *port;
	struct client *client;
	int listen_fd; /* of shared memory where nothing is lent; -1: none */
	struct build_image images[SHARDS];
	struct segment segments[SHARDS];
};

/* Row r is in shard r mod SHARDS. */
static void build_shards(struct rig *rig)
{
	for (uint32_t shard = 0; shard < SHARDS; shard++) {
		float rows[ROWS * DIM];
		uint32_t labels[ROWS];
		uint32_t count = 0;

		for (uint32_t row = shard; row < ROWS; row += SHARDS) {
			memcpy(rows + count * DIM, rig->rows + row * DIM, DIM * sizeof(rows[0]));
			labels[count++] = row;
		}
		index_build(rows, labels, count, DIM, METRIC_L2, &rig->images[shard],
			    &rig->segments[shard]);
	}
}

static void set_up(struct rig *rig, enum lends lends)
{
	struct fake_node_config node = {.rows = rig->rows,
					.row_count = ROWS,
					.dim = DIM,
					.shard_count = SHARDS,
					.shards = 7,
					.secret = secret};
	struct port_socket_config socket = {.queue_count = 1};
	const struct far_config far = {.shm = true, .memory_size = 16 << 20, .secret = secret};
	struct client_config config = {.server_count = 1,
				       .in_flight_max = 4,
				       .session_count = 8,
				       .shard_count = SHARDS,
				       .secret = secret,
				       .far = &far};
	char error[PORT_ERROR_TEXT_MAX];

	*rig = (struct rig){.listen_fd = -1};
	for (uint32_t i = 0; i < ROWS; i++)
		rig->rows[i * DIM] = (float)i;
	if (lends == SHARDS_OF_ITS) {
		build_shards(rig);
		node.segments = rig->segments;
	}
	rig->node = fake_node_start(&node);
	rig->at = fake_node_addr(rig->node);
	if (lends == NOTHING)
		assert_int_equal(shm_link_listen(&rig->at, &rig->listen_fd, error, sizeof(error)),
				 0);
	assert_int_equal(addr_parse("127.0.0.1", 0, &socket.local), 0);
	assert_int_equal(port_socket_open(&socket, &rig->port, error, sizeof(error)), 0);
	config.port = port_queue(rig->port, 0);
	config.servers = &rig->at;
	assert_int_equal(client_new(&config, &rig->client), 0);
}

static void tear_down(struct rig *rig)
{
	client_free(rig->client, clock_now_ns());
	port_close(rig->port);
	if (rig->listen_fd >= 0)
		close(rig->listen_fd);
	fake_node_stop(rig->node);
	for (unsigned i = 0; i < SHARDS; i++)
		build_image_free(&rig->images[i]);
}

static void assert_ids(const struct client_result *result, const uint32_t ids[K])
{
	assert_int_equal(result->status, STATUS_OK);
	assert_int_equal(result->hit_count, K);
	for (unsigned i = 0; i < K; i++)
		assert_int_equal(result->hits[i].vector_id, ids[i]);
}

/* The nearest of all rows; and of those that aren't shard 1's. */
static const uint32_t nearest[K] = {3, 2, 4, 1};
static const uint32_t nearest_without_1[K] = {3, 2, 5, 0};

static struct client_result ask(struct rig *rig, struct client_question question, uint64_t time_ns)
{
	struct client_result result;
	struct pollfd readable = {.fd = port_wait_fd(port_queue(rig->port, 0)), .events = POLLIN};

	question.collection = FAKE_NODE_COLLECTION;
	question.vector = vector;
	question.dim = DIM;
	question.deadline_ns = clock_now_ns() + time_ns;
	assert_int_equal(client_submit(rig->client, &question, clock_now_ns()), 0);
	while (!client_poll(rig->client, &result, 1, clock_now_ns()))
		(void)poll(&readable, 1, 1);
	return result;
}

static void owners_that_lend_nothing_are_asked(void **state)
{
	struct rig rig;
	struct client_result result;
	struct far_stats stats;

	(void)state;
	set_up(&rig, NOBODY_LISTENS);
	for (unsigned i = 0; i < 3; i++) {
		result = ask(&rig, (struct client_question){.k = K, .strict = i == 2},
			     10 * NS_PER_S);
		assert_int_equal(result.status, STATUS_OK);
		assert_int_equal(result.hit_count, K);
		assert_int_equal(result.hits[0].vector_id, 3);
		assert_int_equal(result.far_count, 0);
		assert_int_equal(result.missing_count, 0);
	}
	assert_true(client_far(rig.client, &stats));
	assert_int_equal(stats.shards, SHARDS);
	assert_true(stats.failed >= SHARDS); /* they are tried again after a while */
	assert_int_equal(stats.searches, 0);
	tear_down(&rig);
}

/* The owner listens and says nothing, neither there nor as a node. */
static void a_question_is_not_waited_for_beyond_its_deadline(void **state)
{
	struct rig rig;
	struct client_result result;

	(void)state;
	set_up(&rig, NOTHING);
	fake_node_mute(rig.node, 7);
	result = ask(&rig, (struct client_question){.k = K}, 100 * NS_PER_MS);
	assert_int_equal(result.status, STATUS_DEADLINE);
	assert_int_equal(result.hit_count, 0);
	assert_int_equal(result.far_count, 0);
	tear_down(&rig);
}

/* Whoever sleeps until it is due must not sleep while a shard is being opened. */
static void a_client_is_due_at_once_while_shards_are_being_opened(void **state)
{
	struct client_question question = {.collection = FAKE_NODE_COLLECTION,
					   .vector = vector,
					   .dim = DIM,
					   .k = K,
					   .deadline_ns = clock_now_ns() + 20 * NS_PER_S};
	struct client_result result;
	struct far_stats stats;
	struct rig rig;

	(void)state;
	set_up(&rig, NOTHING);
	assert_int_equal(client_submit(rig.client, &question, clock_now_ns()), 0);
	do {
		assert_int_equal(client_poll(rig.client, &result, 1, clock_now_ns()), 0);
		assert_true(client_far(rig.client, &stats));
	} while (stats.shards < SHARDS);
	/* Also when all the rest has come to an end. */
	for (unsigned i = 0; i < 30; i++) {
		assert_true(client_due_ns(rig.client) <= clock_now_ns());
		(void)poll(NULL, 0, 1);
		assert_int_equal(client_poll(rig.client, &result, 1, clock_now_ns()), 0);
	}
	tear_down(&rig);
}

static void what_cannot_be_searched_from_here_is_asked_at_once(void **state)
{
	static const uint8_t all[] = {0x3A, 0x30, 0,  0, 1, 0, 0, 0, 0, 0,
				      1,    0,    16, 0, 0, 0, 3, 0, 6, 0};
	struct rig rig;
	struct client_result result;
	struct far_stats stats;

	(void)state;
	set_up(&rig, NOTHING);
	result = ask(&rig,
		     (struct client_question){.k = K, .filter = all, .filter_size = sizeof(all)},
		     20 * NS_PER_S);
	assert_int_equal(result.status, STATUS_OK);
	assert_int_equal(fake_node_filter_size(rig.node), sizeof(all));
	result = ask(&rig, (struct client_question){.k = READER_K_MAX + 1}, 20 * NS_PER_S);
	assert_int_equal(result.status, STATUS_OK);
	assert_int_equal(result.hit_count, ROWS);
	result = ask(&rig, (struct client_question){.k = K, .by_owners = true}, 20 * NS_PER_S);
	assert_int_equal(result.status, STATUS_OK);
	assert_int_equal(result.hit_count, K);
	assert_true(client_far(rig.client, &stats));
	assert_int_equal(stats.shards, 0);
	tear_down(&rig);
}

static void shards_that_are_lent_are_searched_here(void **state)
{
	struct rig rig;
	struct client_result result;
	struct far_stats stats;

	(void)state;
	set_up(&rig, SHARDS_OF_ITS);
	for (unsigned i = 0; i < 3; i++) {
		result = ask(&rig, (struct client_question){.k = K, .strict = i == 2},
			     20 * NS_PER_S);
		assert_ids(&result, nearest);
		assert_int_equal(result.far_count, SHARDS);
		assert_int_equal(result.missing_count, 0);
		assert_true(result.certain);
	}
	assert_int_equal(fake_node_answered(rig.node), 0);
	assert_true(client_far(rig.client, &stats));
	assert_int_equal(stats.shards, SHARDS);
	assert_int_equal(stats.ready, SHARDS);
	assert_int_equal(stats.opened, SHARDS);
	assert_int_equal(stats.failed, 0);
	assert_int_equal(stats.searches, 3 * SHARDS);
	assert_true(stats.rounds >= SHARDS);
	assert_true(stats.opening_reads >= SHARDS);
	assert_true(stats.opening_bytes > 0);
	assert_true(stats.reads > 0);
	assert_true(stats.bytes > 0);
	assert_int_equal(stats.failures, 0);
	assert_string_equal(stats.transport, "shm");
	assert_string_equal(stats.reason, "");
	/* Whoever wants the owners' own answer gets it. */
	result = ask(&rig, (struct client_question){.k = K, .by_owners = true}, 20 * NS_PER_S);
	assert_ids(&result, nearest);
	assert_int_equal(result.far_count, 0);
	assert_int_equal(fake_node_answered(rig.node), SHARDS);
	tear_down(&rig);
}

/* At 'start_ns', which is now; comes back when the other shards have been searched. */
static void begin_with_one_shard_kept(struct rig *rig, bool strict, uint64_t start_ns,
				      uint64_t deadline_ns)
{
	struct client_question question = {.collection = FAKE_NODE_COLLECTION,
					   .vector = vector,
					   .dim = DIM,
					   .k = K,
					   .strict = strict,
					   .deadline_ns = deadline_ns};
	struct far_stats stats;

	set_up(rig, SHARDS_OF_ITS);
	fake_node_keep(rig->node, 1 << 1);
	fake_node_mute(rig->node, 1 << 1);
	assert_int_equal(client_submit(rig->client, &question, start_ns), 0);
	do {
		assert_int_equal(client_poll(rig->client, NULL, 0, start_ns), 0);
		assert_true(client_far(rig->client, &stats));
	} while (stats.searches < SHARDS - 1);
}

/* A clock that stands still, and jumps to half of the question's time. */
static void what_is_not_lent_in_half_the_time_is_asked_and_merged(void **state)
{
	const uint64_t start_ns = clock_now_ns() / 2 * 2, until_ns = start_ns + 2 * NS_PER_S;
	struct rig rig;
	struct client_result result;

	(void)state;
	begin_with_one_shard_kept(&rig, false, start_ns, start_ns + 4 * NS_PER_S);
	fake_node_mute(rig.node, 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(client_poll(rig.client, &result, 1, until_ns - 1), 0);
	assert_true(client_due_ns(rig.client) <= until_ns);
	while (!client_poll(rig.client, &result, 1, until_ns))
		assert_true(clock_now_ns() < start_ns + 20 * NS_PER_S);
	assert_ids(&result, nearest);
	assert_int_equal(result.far_count, SHARDS - 1);
	assert_int_equal(result.missing_count, 0);
	assert_int_equal(fake_node_answered(rig.node), 1);
	tear_down(&rig);
}

/* Whether polls come often, or one comes when it is too late. */
static void hits_of_a_question_that_ran_out_of_time_are_handed_out(void **state)
{
	(void)state;
	for (unsigned often = 0; often < 2; often++) {
		uint64_t now_ns = clock_now_ns(), deadline_ns = now_ns + 20 * NS_PER_S;
		struct rig rig;
		struct client_result result;

		begin_with_one_shard_kept(&rig, false, now_ns, deadline_ns);
		for (now_ns = often ? now_ns : deadline_ns;
		     !client_poll(rig.client, &result, 1, now_ns); now_ns += NS_PER_S / 4)
			assert_true(now_ns < deadline_ns);
		assert_ids(&result, nearest_without_1);
		assert_int_equal(result.far_count, SHARDS - 1);
		assert_int_equal(result.missing_count, 1);
		assert_int_equal(result.done_ns, now_ns);
		tear_down(&rig);
	}
}

static void who_wants_all_or_nothing_gets_nothing_when_time_runs_out(void **state)
{
	uint64_t start_ns = clock_now_ns(), deadline_ns = start_ns + 20 * NS_PER_S;
	struct rig rig;
	struct client_result result;

	(void)state;
	begin_with_one_shard_kept(&rig, true, start_ns, deadline_ns);
	assert_int_equal(client_poll(rig.client, &result, 1, deadline_ns), 1);
	assert_int_equal(result.status, STATUS_DEADLINE);
	assert_int_equal(result.hit_count, 0);
	assert_int_equal(result.far_count, 0);
	tear_down(&rig);
}

static void a_question_whose_time_was_over_before_it_came_has_no_hits(void **state)
{
	struct client_question question = {.collection = FAKE_NODE_COLLECTION,
					   .vector = vector,
					   .dim = DIM,
					   .k = K,
					   .deadline_ns = 1};
	struct rig rig;
	struct client_result result;

	(void)state;
	set_up(&rig, SHARDS_OF_ITS);
	result = ask(&rig, (struct client_question){.k = K}, 20 * NS_PER_S);
	assert_ids(&result, nearest);
	assert_int_equal(client_submit(rig.client, &question, clock_now_ns()), 0);
	while (!client_poll(rig.client, &result, 1, clock_now_ns()))
		;
	assert_int_equal(result.status, STATUS_DEADLINE);
	assert_int_equal(result.hit_count, 0);
	/* What it had begun was given up, and disturbs nobody. */
	result = ask(&rig, (struct client_question){.k = K}, 20 * NS_PER_S);
	assert_ids(&result, nearest);
	assert_int_equal(result.far_count, SHARDS);
	tear_down(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hits_are_merged_by_distance_then_label_then_shard),
		cmocka_unit_test(a_shard_that_fails_is_left_to_its_owner_and_the_others_hits_stay),
		cmocka_unit_test(who_gives_up_waits_for_no_shard),
		cmocka_unit_test(more_shards_than_can_be_read_are_left_at_once),
		cmocka_unit_test(a_shard_that_cannot_be_read_is_waited_for_once),
		cmocka_unit_test(owners_that_lend_nothing_are_asked),
		cmocka_unit_test(a_question_is_not_waited_for_beyond_its_deadline),
		cmocka_unit_test(a_client_is_due_at_once_while_shards_are_being_opened),
		cmocka_unit_test(what_cannot_be_searched_from_here_is_asked_at_once),
		cmocka_unit_test(shards_that_are_lent_are_searched_here),
		cmocka_unit_test(what_is_not_lent_in_half_the_time_is_asked_and_merged),
		cmocka_unit_test(hits_of_a_question_that_ran_out_of_time_are_handed_out),
		cmocka_unit_test(who_wants_all_or_nothing_gets_nothing_when_time_runs_out),
		cmocka_unit_test(a_question_whose_time_was_over_before_it_came_has_no_hits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

/* Libtern through its public header only, against nodes that this test plays. */

#include "tests/lib/fake_node.h"
#include "tests/lib/test.h"

#include "client/include/tern.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DIM    2
#define ROWS   60
#define SHARDS 3
#define K      5

/* Row r is in shard r % 3, which lies around x = 100 * shard. */
static float rows[ROWS * DIM];

static void make_rows(void)
{
	for (uint32_t r = 0; r < ROWS; r++) {
		rows[r * DIM] = (float)(100 * (r % SHARDS)) + (float)(r / SHARDS);
		rows[r * DIM + 1] = (float)(r % 7);
	}
}

static struct fake_node_config node_config(uint32_t shards)
{
	return (struct fake_node_config){
		.rows = rows,
		.row_count = ROWS,
		.dim = DIM,
		.shard_count = SHARDS,
		.shards = shards,
	};
}

/* A client of up to two nodes. */
static struct tern_client *open_client(const struct fake_node *first,
				       const struct fake_node *second, struct tern_options options)
{
	struct tern_client *client;
	char servers[2 * ADDR_TEXT_MAX], text[ADDR_TEXT_MAX];
	struct addr at = fake_node_addr(first);

	snprintf(servers, sizeof(servers), "%s", addr_format(&at, text));
	if (second) {
		at = fake_node_addr(second);
		snprintf(servers + strlen(servers), ADDR_TEXT_MAX, ",%s", addr_format(&at, text));
	}
	options.servers = servers;
	assert_int_equal(tern_open(&options, &client), TERN_OK);
	return client;
}

static struct tern_query query_for(const float *vector)
{
	struct tern_query query = TERN_QUERY_INIT;

	query.collection = FAKE_NODE_COLLECTION;
	query.vector = vector;
	query.dim = DIM;
	query.k = K;
	return query;
}

/* The k nearest rows by comparing with all of them, except those of shards not in 'shards'. */
static void expect(const float *vector, uint32_t shards, const struct tern_hit *hits,
		   uint32_t count)
{
	bool taken[ROWS] = {false};

	assert_int_equal(count, K);
	for (uint32_t n = 0; n < K; n++) {
		uint32_t best = ROWS;
		float best_distance = INFINITY;

		for (uint32_t r = 0; r < ROWS; r++) {
			float x = rows[r * DIM] - vector[0], y = rows[r * DIM + 1] - vector[1];

			if (taken[r] || !(shards >> r % SHARDS & 1) ||
			    x * x + y * y >= best_distance)
				continue;
			best = r;
			best_distance = x * x + y * y;
		}
		taken[best] = true;
		assert_int_equal(hits[n].id, best);
		assert_true(hits[n].distance == best_distance);
	}
}

static const float middle[DIM] = {60, 3};

static void a_search_finds_the_nearest_of_all_shards(void **state)
{
	struct fake_node_config config = node_config(7);
	struct fake_node *node = fake_node_start(&config);
	struct tern_client *client =
		open_client(node, NULL, (struct tern_options)TERN_OPTIONS_INIT);
	struct tern_query query = query_for(middle);
	struct tern_result result;
	struct tern_hit hits[K];

	query.tag = 99;
	assert_int_equal(tern_search(client, &query, hits, &result), TERN_OK);
	expect(middle, 7, hits, result.hit_count);
	assert_int_equal(result.tag, 99);
	assert_ptr_equal(result.hits, hits);
	assert_int_equal(result.asked_count, SHARDS);
	assert_int_equal(result.missing_count, 0);
	assert_true(result.latency_ns > 0);
	tern_close(client);
	fake_node_stop(node);
}

static void shards_of_two_nodes_make_one_answer(void **state)
{
	struct fake_node_config first = node_config(1), second = node_config(6);
	struct fake_node *nodes[2] = {fake_node_start(&first), fake_node_start(&second)};
	struct tern_client *client =
		open_client(nodes[0], nodes[1], (struct tern_options)TERN_OPTIONS_INIT);
	struct tern_query query = query_for(middle);
	struct tern_result result;
	struct tern_hit hits[K];

	assert_int_equal(tern_search(client, &query, hits, &result), TERN_OK);
	expect(middle, 7, hits, result.hit_count);
	assert_int_equal(fake_node_answered(nodes[0]), 1);
	assert_int_equal(fake_node_answered(nodes[1]), 2);
	tern_close(client);
	fake_node_stop(nodes[0]);
	fake_node_stop(nodes[1]);
}

static void a_hint_leads_to_another_port_of_the_host(void **state)
{
	struct fake_node_config owner_config = node_config(7), front_config = node_config(7);
	struct fake_node *owner = fake_node_start(&owner_config), *front;
	struct tern_query query = query_for(middle);
	struct tern_client *client;
	struct tern_result result;
	struct tern_hit hits[K];

	front_config.shard_port = fake_node_addr(owner).port;
	front = fake_node_start(&front_config);
	client = open_client(front, NULL, (struct tern_options)TERN_OPTIONS_INIT);
	assert_int_equal(tern_search(client, &query, hits, &result), TERN_OK);
	expect(middle, 7, hits, result.hit_count);
	assert_int_equal(fake_node_answered(front), 0);
	tern_close(client);
	fake_node_stop(front);
	fake_node_stop(owner);
}

static void a_probe_asks_the_nearest_shards_only(void **state)
{
	struct fake_node_config config = node_config(7);
	struct fake_node *node = fake_node_start(&config);
	struct tern_client *client =
		open_client(node, NULL, (struct tern_options)TERN_OPTIONS_INIT);
	const float third[DIM] = {205, 1};
	struct tern_query query = query_for(third);
	struct tern_result result;
	struct tern_hit hits[K];

	query.probe = 1;
	assert_int_equal(tern_search(client, &query, hits, &result), TERN_OK);
	assert_int_equal(result.asked_count, 1);
	expect(third, 4, hits, result.hit_count);
	assert_int_equal(fake_node_answered(node), 1);
	query.vector = middle;
	query.probe = 2;
	assert_int_equal(tern_search(client, &query, hits, &result), TERN_OK);
	expect(middle, 3, hits, result.hit_count);
	assert_int_equal(fake_node_answered(node), 3);
	tern_close(client);
	fake_node_stop(node);
}

static void a_silent_shard_makes_the_answer_partial_and_fails_a_strict_one(void **state)
{
	struct fake_node_config config = node_config(7);
	struct fake_node *node = fake_node_start(&config);
	struct tern_client *client =
		open_client(node, NULL, (struct tern_options)TERN_OPTIONS_INIT);
	struct tern_query query = query_for(middle);
	struct tern_stats stats = TERN_STATS_INIT;
	struct tern_result result;
	struct tern_hit hits[K];

	assert_int_equal(tern_search(client, &query, hits, &result), TERN_OK);
	fake_node_mute(node, 2);
	query.timeout_ms = 100;
	assert_int_equal(tern_search(client, &query, hits, &result), TERN_OK);
	expect(middle, 5, hits, result.hit_count);
	assert_int_equal(result.asked_count, SHARDS);
	assert_int_equal(result.missing_count, 1);
	assert_int_equal(result.missing[0].error, TERN_E_TIMEOUT);
	query.strict = 1;
	assert_int_equal(tern_search(client, &query, hits, &result), TERN_E_TIMEOUT);
	assert_int_equal(result.hit_count, 0);
	assert_non_null(strstr(tern_last_error(), "deadline"));
	tern_stats(client, &stats);
	assert_int_equal(stats.queries, 3);
	assert_int_equal(stats.queries_partial, 1);
	assert_int_equal(stats.queries_failed, 1);
	tern_close(client);
	fake_node_stop(node);
}

static void an_overloaded_node_is_asked_again(void **state)
{
	struct fake_node_config config = node_config(7);
	struct fake_node *node = fake_node_start(&config);
	struct tern_client *client =
		open_client(node, NULL, (struct tern_options)TERN_OPTIONS_INIT);
	struct tern_query query = query_for(middle);
	struct tern_stats stats = TERN_STATS_INIT;
	struct tern_result result;
	struct tern_hit hits[K];

	fake_node_overload(node, 7);
	assert_int_equal(tern_search(client, &query, hits, &result), TERN_OK);
	expect(middle, 7, hits, result.hit_count);
	tern_stats(client, &stats);
	assert_int_equal(stats.retries, 7);
	tern_close(client);
	fake_node_stop(node);
}

static void many_queries_can_be_under_way(void **state)
{
	enum { COUNT = 200 };
	struct fake_node_config config = node_config(7);
	struct fake_node *node = fake_node_start(&config);
	struct tern_options options = TERN_OPTIONS_INIT;
	static struct tern_hit hits[COUNT][K];
	static float vectors[COUNT][DIM];
	struct tern_result results[8];
	struct tern_client *client;
	bool seen[COUNT] = {false};
	unsigned sent = 0, got = 0;

	options.in_flight_max = 100; /* three calls each: more than a node's sessions have slots */
	client = open_client(node, NULL, options);
	while (got < COUNT) {
		int count;

		for (; sent < COUNT; sent++) {
			struct tern_query query = query_for(vectors[sent]);
			int error;

			vectors[sent][0] = (float)sent;
			query.tag = sent;
			error = tern_submit(client, &query, hits[sent]);
			if (error == TERN_E_BUSY)
				break;
			assert_int_equal(error, TERN_OK);
		}
		count = tern_poll(client, results, 8, -1);
		assert_true(count >= 0 && count <= 8);
		for (int i = 0; i < count; i++, got++) {
			assert_int_equal(results[i].error, TERN_OK);
			assert_false(seen[results[i].tag]);
			seen[results[i].tag] = true;
			assert_ptr_equal(results[i].hits, hits[results[i].tag]);
			expect(vectors[results[i].tag], 7, results[i].hits, results[i].hit_count);
		}
	}
	assert_int_equal(tern_poll(client, results, 8, -1), 0);
	tern_close(client);
	fake_node_stop(node);
}

static void a_poll_without_room_for_results_keeps_them(void **state)
{
	struct fake_node_config config = node_config(7);
	struct fake_node *node = fake_node_start(&config);
	struct tern_client *client =
		open_client(node, NULL, (struct tern_options)TERN_OPTIONS_INIT);
	struct tern_query query = query_for(middle);
	struct tern_result result;
	struct tern_hit hits[K];

	assert_int_equal(tern_submit(client, &query, hits), TERN_OK);
	while (fake_node_answered(node) < SHARDS)
		assert_int_equal(tern_poll(client, NULL, 0, -1), 0);
	assert_int_equal(tern_poll(client, &result, 1, -1), 1);
	expect(middle, 7, hits, result.hit_count);
	tern_close(client);
	fake_node_stop(node);
}

static void one_place_is_enough_for_one_query_after_the_other(void **state)
{
	struct fake_node_config config = node_config(7);
	struct fake_node *node = fake_node_start(&config);
	struct tern_options options = TERN_OPTIONS_INIT;
	struct tern_query query = query_for(middle);
	struct tern_client *client;
	struct tern_result result;
	struct tern_hit hits[K];

	options.in_flight_max = 1;
	client = open_client(node, NULL, options);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(tern_search(client, &query, hits, &result), TERN_OK);
		expect(middle, 7, hits, result.hit_count);
		if (i % 2) /* an idle client gives its places back */
			assert_int_equal(tern_poll(client, &result, 1, 0), 0);
	}
	assert_int_equal(tern_submit(client, &query, hits), TERN_OK);
	assert_int_equal(tern_submit(client, &query, hits), TERN_E_BUSY);
	tern_close(client);
	fake_node_stop(node);
}

static void a_query_that_waits_for_the_shards_needs_its_vector_no_longer(void **state)
{
	struct fake_node_config config = node_config(7);
	struct fake_node *node = fake_node_start(&config);
	struct tern_client *client =
		open_client(node, NULL, (struct tern_options)TERN_OPTIONS_INIT);
	float vector[DIM] = {60, 3};
	uint8_t filter[9] = "a filter";
	struct tern_query query = query_for(vector);
	struct tern_result result;
	struct tern_hit hits[K];

	query.filter = filter;
	query.filter_size = sizeof(filter);
	assert_int_equal(tern_submit(client, &query, hits), TERN_OK);
	vector[0] = -1000;
	memset(filter, 0, sizeof(filter));
	while (tern_poll(client, &result, 1, 100) == 0)
		;
	assert_int_equal(result.error, TERN_OK);
	expect(middle, 7, hits, result.hit_count);
	assert_int_equal(fake_node_filter_size(node), 9);
	tern_close(client);
	fake_node_stop(node);
}

static void an_unknown_collection_is_not_found(void **state)
{
	struct fake_node_config config = node_config(7);
	struct fake_node *node = fake_node_start(&config);
	struct tern_client *client =
		open_client(node, NULL, (struct tern_options)TERN_OPTIONS_INIT);
	struct tern_query query = query_for(middle);
	struct tern_result result;
	struct tern_hit hits[K];

	query.collection = "no such thing";
	assert_int_equal(tern_search(client, &query, hits, &result), TERN_E_NOT_FOUND);
	query.collection = FAKE_NODE_COLLECTION;
	assert_int_equal(tern_search(client, &query, hits, &result), TERN_OK);
	query.dim = 1;
	assert_int_equal(tern_search(client, &query, hits, &result), TERN_E_INVALID);
	tern_close(client);
	fake_node_stop(node);
}

static void nobody_there_ends_with_the_timeout_at_the_latest(void **state)
{
	struct fake_node_config config = node_config(7);
	struct fake_node *node = fake_node_start(&config);
	struct tern_client *client =
		open_client(node, NULL, (struct tern_options)TERN_OPTIONS_INIT);
	struct tern_query query = query_for(middle);
	struct tern_result result;
	struct tern_hit hits[K];
	int error;

	fake_node_stop(node);
	query.timeout_ms = 50;
	error = tern_search(client, &query, hits, &result);
	assert_true(error == TERN_E_TIMEOUT || error == TERN_E_UNREACHABLE);
	assert_int_equal(result.error, error);
	tern_close(client);
}

static void a_node_that_is_down_from_the_start_leaves_a_partial_answer(void **state)
{
	struct fake_node_config first = node_config(6), second = node_config(1);
	struct fake_node *nodes[2] = {fake_node_start(&first), fake_node_start(&second)};
	struct tern_client *client =
		open_client(nodes[0], nodes[1], (struct tern_options)TERN_OPTIONS_INIT);
	struct tern_query query = query_for(middle);
	struct tern_result result;
	struct tern_hit hits[K];

	fake_node_stop(nodes[1]);
	query.timeout_ms = 1500;
	assert_int_equal(tern_search(client, &query, hits, &result), TERN_OK);
	expect(middle, 6, hits, result.hit_count);
	assert_int_equal(result.asked_count, SHARDS);
	assert_int_equal(result.missing_count, 1);
	assert_int_not_equal(result.uncertain, 0);
	query.strict = 1;
	assert_int_equal(tern_search(client, &query, hits, &result), TERN_E_UNREACHABLE);
	tern_close(client);
	fake_node_stop(nodes[0]);
}

static void a_node_that_starts_again_is_found_again(void **state)
{
	struct fake_node_config config = node_config(7);
	struct fake_node *node = fake_node_start(&config);
	struct tern_client *client =
		open_client(node, NULL, (struct tern_options)TERN_OPTIONS_INIT);
	struct tern_query query = query_for(middle);
	struct tern_result result;
	struct tern_hit hits[K];

	assert_int_equal(tern_search(client, &query, hits, &result), TERN_OK);
	config.port = fake_node_addr(node).port;
	fake_node_stop(node);
	node = fake_node_start(&config);
	query.timeout_ms = 10000;
	query.strict = 1;
	assert_int_equal(tern_search(client, &query, hits, &result), TERN_OK);
	expect(middle, 7, hits, result.hit_count);
	tern_close(client);
	fake_node_stop(node);
}

static void shards_that_cannot_be_read_are_asked_of_their_owners(void **state)
{
	struct fake_node_config config = node_config(7);
	struct fake_node *node = fake_node_start(&config);
	struct tern_options options = TERN_OPTIONS_INIT;
	struct tern_query query = query_for(middle);
	struct tern_stats stats = TERN_STATS_INIT;
	struct tern_client *client;
	struct tern_result result;
	struct tern_hit hits[K];

	options.one_sided = 1;
	options.one_sided_mib = 4;
	options.verbs = "none";
	client = open_client(node, NULL, options);
	assert_int_equal(tern_search(client, &query, hits, &result), TERN_OK);
	expect(middle, 7, hits, result.hit_count);
	assert_int_equal(result.asked_count, SHARDS);
	assert_int_equal(result.one_sided_count, 0);
	tern_stats(client, &stats);
	assert_true(stats.one_sided_failures >= SHARDS);
	assert_int_equal(stats.one_sided_shards, 0);
	assert_int_equal(stats.one_sided_searches, 0);
	assert_string_equal(stats.one_sided_transport, "");
	assert_non_null(strstr(stats.one_sided_reason, "lends memory"));
	tern_close(client);
	fake_node_stop(node);
}

/* Of a program that was built when there were no one-sided searches. */
static void older_structures_are_read_and_written_as_far_as_they_go(void **state)
{
	struct fake_node_config config = node_config(7);
	struct fake_node *node = fake_node_start(&config);
	struct tern_options options = TERN_OPTIONS_INIT;
	struct tern_stats stats = TERN_STATS_INIT;
	struct tern_client *client;

	options.size = offsetof(struct tern_options, one_sided);
	options.one_sided = 1; /* whatever lies behind it */
	options.verbs = (const char *)1;
	client = open_client(node, NULL, options);
	stats.size = offsetof(struct tern_stats, one_sided_shards);
	stats.frames_bad = stats.one_sided_shards = 99;
	tern_stats(client, &stats);
	assert_int_equal(stats.size, offsetof(struct tern_stats, one_sided_shards));
	assert_int_equal(stats.frames_bad, 0);
	assert_int_equal(stats.one_sided_shards, 99);
	tern_close(client);
	fake_node_stop(node);
}

/* Writes 32 bytes of 'fill' to a file that only we can read. */
static void write_secret(char *path, size_t size, int fill)
{
	uint8_t secret[32];
	int fd;

	snprintf(path, size, "/tmp/test_tern_XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	memset(secret, fill, sizeof(secret));
	assert_int_equal(write(fd, secret, sizeof(secret)), sizeof(secret));
	close(fd);
}

static void only_who_knows_the_secret_is_answered(void **state)
{
	uint8_t secret[32];
	struct fake_node_config config = node_config(7);
	struct tern_options options = TERN_OPTIONS_INIT;
	struct tern_query query = query_for(middle);
	struct fake_node *node;
	struct tern_client *client;
	struct tern_result result;
	struct tern_hit hits[K];
	char path[64];

	memset(secret, 7, sizeof(secret));
	config.secret = secret;
	node = fake_node_start(&config);
	query.timeout_ms = 2000;
	write_secret(path, sizeof(path), 7);
	options.secret_file = path;
	client = open_client(node, NULL, options);
	assert_int_equal(tern_search(client, &query, hits, &result), TERN_OK);
	tern_close(client);
	unlink(path);

	write_secret(path, sizeof(path), 8);
	client = open_client(node, NULL, options);
	assert_int_equal(tern_search(client, &query, hits, &result), TERN_E_AUTH);
	tern_close(client);
	unlink(path);

	options.secret_file = NULL;
	client = open_client(node, NULL, options);
	assert_int_equal(tern_search(client, &query, hits, &result), TERN_E_AUTH);
	tern_close(client);
	fake_node_stop(node);
}

static void options_that_cannot_be_meant_are_refused(void **state)
{
	static const char *const servers[] = {
		"",           ",",           "host:0",
		"host:65536", "[::1",        "[::1]7400",
		":7400",      "127.0.0.1:x", "no.such.name.invalid:7400"};
	struct tern_options options = TERN_OPTIONS_INIT;
	struct tern_client *client = NULL;

	assert_int_equal(tern_open(NULL, &client), TERN_E_INVALID);
	assert_int_equal(tern_open(&options, &client), TERN_E_INVALID);
	for (size_t i = 0; i < sizeof(servers) / sizeof(servers[0]); i++) {
		options.servers = servers[i];
		assert_int_equal(tern_open(&options, &client), TERN_E_INVALID);
		assert_true(strlen(tern_last_error()) > 0);
	}
	options.servers = "127.0.0.1";
	options.size = 0;
	assert_int_equal(tern_open(&options, &client), TERN_E_INVALID);
	options.size = sizeof(options) + 8;
	assert_int_equal(tern_open(&options, &client), TERN_E_INVALID);
	options.size = sizeof(options);
	options.verbs = "none";
	assert_int_equal(tern_open(&options, &client), TERN_E_INVALID);
	assert_non_null(strstr(tern_last_error(), "one_sided"));
	options.verbs = NULL;
	options.secret_file = "/nowhere/at/all";
	assert_int_equal(tern_open(&options, &client), TERN_E_INVALID);
	options.secret_file = NULL;
	options.in_flight_max = 1u << 30;
	assert_int_equal(tern_open(&options, &client), TERN_E_INVALID);
	options.in_flight_max = 0;
	options.port = "pigeons";
	assert_int_equal(tern_open(&options, &client), TERN_E_INVALID);
	assert_non_null(strstr(tern_last_error(), "pigeons"));
	options.port = "rdma";
	options.device = "no such device";
	assert_int_equal(tern_open(&options, &client), TERN_E_SYSTEM);
	options.port = NULL;
	options.shard_count = 1025;
	assert_int_equal(tern_open(&options, &client), TERN_E_INVALID);
	assert_null(client);
	tern_close(NULL);
}

static void queries_that_cannot_be_meant_are_refused(void **state)
{
	struct tern_options options = TERN_OPTIONS_INIT;
	float vector[DIM] = {NAN, 1};
	struct tern_query query = query_for(vector);
	struct tern_client *client;
	struct tern_result result;
	struct tern_hit hits[K];

	options.servers = "127.0.0.1:9";
	assert_int_equal(tern_open(&options, &client), TERN_OK);
	assert_int_equal(tern_search(client, &query, hits, &result), TERN_E_INVALID);
	vector[0] = 1;
	query.k = 0;
	assert_int_equal(tern_submit(client, &query, hits), TERN_E_INVALID);
	query.k = TERN_K_MAX + 1;
	assert_int_equal(tern_submit(client, &query, hits), TERN_E_INVALID);
	query.k = K;
	query.dim = 0;
	assert_int_equal(tern_submit(client, &query, hits), TERN_E_INVALID);
	query.dim = 1u << 20;
	assert_int_equal(tern_submit(client, &query, hits), TERN_E_INVALID);
	query.dim = DIM;
	query.ef = 1u << 20;
	assert_int_equal(tern_submit(client, &query, hits), TERN_E_INVALID);
	query.ef = 0;
	query.filter_size = 5;
	assert_int_equal(tern_submit(client, &query, hits), TERN_E_INVALID);
	query.filter = vector;
	query.filter_size = 100u << 20;
	assert_int_equal(tern_submit(client, &query, hits), TERN_E_LARGE);
	query.filter_size = 0;
	query.collection = "";
	assert_int_equal(tern_submit(client, &query, hits), TERN_E_INVALID);
	query.collection = NULL;
	assert_int_equal(tern_submit(client, &query, hits), TERN_E_INVALID);
	query.collection = "c";
	assert_int_equal(tern_submit(client, &query, NULL), TERN_E_INVALID);
	assert_int_equal(tern_submit(NULL, &query, hits), TERN_E_INVALID);
	assert_int_equal(tern_submit(client, &query, hits), TERN_OK);
	assert_int_equal(tern_search(client, &query, hits, &result), TERN_E_BUSY);
	tern_close(client); /* with a query under way */
}

static void every_error_has_its_words(void **state)
{
	for (int error = TERN_OK; error <= TERN_E_SYSTEM; error++)
		assert_string_not_equal(tern_error_text(error), "unknown error");
	assert_string_equal(tern_error_text(-1), "unknown error");
	assert_string_equal(tern_error_text(TERN_E_SYSTEM + 1), "unknown error");
	assert_non_null(strchr(tern_version(), '.'));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_search_finds_the_nearest_of_all_shards),
		cmocka_unit_test(shards_of_two_nodes_make_one_answer),
		cmocka_unit_test(a_hint_leads_to_another_port_of_the_host),
		cmocka_unit_test(a_probe_asks_the_nearest_shards_only),
		cmocka_unit_test(a_silent_shard_makes_the_answer_partial_and_fails_a_strict_one),
		cmocka_unit_test(an_overloaded_node_is_asked_again),
		cmocka_unit_test(many_queries_can_be_under_way),
		cmocka_unit_test(a_poll_without_room_for_results_keeps_them),
		cmocka_unit_test(one_place_is_enough_for_one_query_after_the_other),
		cmocka_unit_test(a_query_that_waits_for_the_shards_needs_its_vector_no_longer),
		cmocka_unit_test(an_unknown_collection_is_not_found),
		cmocka_unit_test(nobody_there_ends_with_the_timeout_at_the_latest),
		cmocka_unit_test(a_node_that_is_down_from_the_start_leaves_a_partial_answer),
		cmocka_unit_test(a_node_that_starts_again_is_found_again),
		cmocka_unit_test(shards_that_cannot_be_read_are_asked_of_their_owners),
		cmocka_unit_test(older_structures_are_read_and_written_as_far_as_they_go),
		cmocka_unit_test(only_who_knows_the_secret_is_answered),
		cmocka_unit_test(options_that_cannot_be_meant_are_refused),
		cmocka_unit_test(queries_that_cannot_be_meant_are_refused),
		cmocka_unit_test(every_error_has_its_words),
	};

	make_rows();
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

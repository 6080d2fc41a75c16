/* SPDX-License-Identifier: Apache-2.0 */

/*
 * one_sided SERVERS COLLECTION DIM read|asked: searches for each vector of standard input, by
 * libtern as it is installed. Prints a line of ids and distances for each, and one of counters.
 */

#include <tern.h>

#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define K       10
#define DIM_MAX 4096

/* The caller's own loop: while a query is under way it polls without waiting. */
static int ask(struct tern_client *client, const struct tern_query *query, struct tern_hit *hits,
	       struct tern_result *ret_result)
{
	int error = tern_submit(client, query, hits);

	while (error == TERN_OK && tern_poll(client, ret_result, 1, 0) == 0) {
		struct pollfd frames = {.fd = tern_fd(client), .events = POLLIN};

		(void)poll(&frames, 1, 0);
	}
	return error == TERN_OK ? ret_result->error : error;
}

static bool read_vector(float *vector, uint32_t dim)
{
	for (uint32_t i = 0; i < dim; i++)
		if (scanf("%f", &vector[i]) != 1)
			return false;
	return true;
}

static int fail(void)
{
	fprintf(stderr, "%s\n", tern_last_error());
	return 1;
}

int main(int argc, char **argv)
{
	struct tern_options options = TERN_OPTIONS_INIT;
	struct tern_query query = TERN_QUERY_INIT;
	struct tern_stats stats = TERN_STATS_INIT;
	static float vector[DIM_MAX];
	struct tern_client *client;
	struct tern_result result;
	struct tern_hit hits[K];
	uint64_t one_sided = 0;

	if (argc != 5 || strtoul(argv[3], NULL, 10) > DIM_MAX)
		return 2;
	options.servers = argv[1];
	options.timeout_ms = 20000;
	options.one_sided = strcmp(argv[4], "read") == 0;
	if (tern_open(&options, &client) != TERN_OK)
		return fail();
	query.collection = argv[2];
	query.dim = (uint32_t)strtoul(argv[3], NULL, 10);
	query.vector = vector;
	query.k = K;
	while (read_vector(vector, query.dim)) {
		if (ask(client, &query, hits, &result) != TERN_OK)
			return fail();
		for (uint32_t i = 0; i < result.hit_count; i++)
			printf("%" PRIu32 " %a ", hits[i].id, (double)hits[i].distance);
		printf("\n");
		one_sided += result.one_sided_count;
	}
	tern_stats(client, &stats);
	printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
	       " %s\n",
	       one_sided, stats.one_sided_shards, stats.one_sided_searches,
	       stats.one_sided_round_trips, stats.one_sided_reads, stats.one_sided_bytes,
	       stats.one_sided_failures,
	       *stats.one_sided_transport ? stats.one_sided_transport : "-");
	tern_close(client);
	return 0;
}

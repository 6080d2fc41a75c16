/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Search - asks for the nearest neighbours of one vector
 *
 *   cc search.c $(pkg-config --cflags --libs tern) -o search
 *   echo "0.1 0.2 0.3" | ./search 127.0.0.1:7400 words
 */

#include <stdio.h>
#include <tern.h>

#define DIM_MAX 4096
#define K       10

int main(int argc, char **argv)
{
	struct tern_options options = TERN_OPTIONS_INIT;
	struct tern_query query = TERN_QUERY_INIT;
	struct tern_client *client;
	struct tern_result result;
	struct tern_hit hits[K];
	float vector[DIM_MAX];

	if (argc < 3 || argc > 4) {
		fprintf(stderr, "usage: %s SERVERS COLLECTION [SECRET-FILE] < vector\n", argv[0]);
		return 2;
	}
	while (query.dim < DIM_MAX && scanf("%f", &vector[query.dim]) == 1)
		query.dim++;
	options.servers = argv[1];
	options.secret_file = argv[3];
	if (tern_open(&options, &client) != TERN_OK) {
		fprintf(stderr, "%s\n", tern_last_error());
		return 1;
	}
	query.collection = argv[2];
	query.vector = vector;
	query.k = K;
	if (tern_search(client, &query, hits, &result) != TERN_OK) {
		fprintf(stderr, "%s\n", tern_last_error());
		tern_close(client);
		return 1;
	}
	for (uint32_t i = 0; i < result.hit_count; i++)
		printf("%u %f\n", hits[i].id, (double)hits[i].distance);
	for (uint32_t i = 0; i < result.missing_count && i < TERN_MISSING_MAX; i++)
		fprintf(stderr, "shard %u is missing: %s\n", result.missing[i].shard,
			tern_error_text(result.missing[i].error));
	tern_close(client);
	return 0;
}

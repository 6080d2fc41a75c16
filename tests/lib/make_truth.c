/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Make truth - exact neighbours of a file of queries, for scripts/make-test-data
 */

#include "base/byteorder.h"
#include "base/metric.h"
#include "hnsw/truth.h"
#include "tests/lib/dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void read_or_exit(const char *path, struct dataset_vectors *vectors)
{
	int error = dataset_read(path, vectors);

	if (!error)
		return;
	fprintf(stderr, "%s: %s\n", path, strerror(-error));
	exit(1);
}

/* Returns whether everything was written. */
static int write_ivecs(const char *path, const struct truth_hit *hits, uint32_t queries, uint32_t k)
{
	FILE *file = fopen(path, "wb");
	uint8_t word[4];
	int written = file != NULL;

	for (uint32_t query = 0; written && query < queries; query++) {
		store_le32(word, k);
		written = fwrite(word, sizeof(word), 1, file) == 1;
		for (uint32_t i = 0; written && i < k; i++) {
			store_le32(word, hits[(size_t)query * k + i].row);
			written = fwrite(word, sizeof(word), 1, file) == 1;
		}
	}
	return file && !fclose(file) && written;
}

int main(int argc, char **argv)
{
	struct dataset_vectors base, queries;
	struct truth_options options = {.threads = 2};
	struct truth_hit *hits;

	if (argc != 6 || metric_parse(argv[3], &options.metric) ||
	    sscanf(argv[4], "%u", &options.k) != 1) {
		fprintf(stderr, "usage: make_truth BASE QUERIES l2|ip|cosine K TO.ivecs\n");
		return 2;
	}
	read_or_exit(argv[1], &base);
	read_or_exit(argv[2], &queries);
	hits = malloc((size_t)queries.count * options.k * sizeof(*hits));
	if (base.dim != queries.dim || !hits ||
	    truth_compute(base.values, base.count, queries.values, queries.count, base.dim,
			  &options, hits) ||
	    !write_ivecs(argv[5], hits, queries.count, options.k)) {
		fprintf(stderr, "make_truth: failed\n");
		return 1;
	}
	return 0;
}

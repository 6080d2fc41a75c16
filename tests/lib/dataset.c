/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/dataset.h"

#include "base/byteorder.h"
#include "hnsw/truth.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_SIZE 4096

/* Nothing here is larger; a file that says so is none of ours. */
#define VALUES_MAX (UINT64_C(1) << 32)

static const struct {
	const char *name;
	const char *ending;
	enum metric metric;
} sets[] = {
	{"words100", "fbin", METRIC_COSINE},
	{"mnist784", "u8bin", METRIC_L2},
};

/* The whole file, or NULL and errno. */
static uint8_t *read_file(const char *path, size_t *ret_size)
{
	FILE *file = fopen(path, "rb");
	uint8_t *bytes = NULL;
	long end;

	if (!file)
		return NULL;
	if (!fseek(file, 0, SEEK_END) && (end = ftell(file)) >= 0 && !fseek(file, 0, SEEK_SET)) {
		*ret_size = (size_t)end;
		bytes = malloc(*ret_size + 1);
		if (bytes && fread(bytes, 1, *ret_size, file) != *ret_size) {
			free(bytes);
			bytes = NULL;
			errno = EIO;
		}
	}
	fclose(file);
	return bytes;
}

static void convert(const uint8_t *from, size_t value_size, float *to, size_t count)
{
	for (size_t i = 0; i < count; i++)
		to[i] = value_size == 1 ? (float)from[i] : load_lef32(from + i * sizeof(float));
}

int dataset_read(const char *path, struct dataset_vectors *ret_vectors)
{
	size_t value_size = strstr(path, ".u8bin") ? 1 : sizeof(float);
	size_t size = 0;
	uint8_t *bytes = read_file(path, &size);
	struct dataset_vectors vectors;
	uint64_t values;
	int error = 0;

	if (!bytes)
		return -errno;
	if (size < 8) {
		free(bytes);
		return -EBADMSG;
	}
	vectors.count = load_le32(bytes);
	vectors.dim = load_le32(bytes + 4);
	values = (uint64_t)vectors.count * vectors.dim;
	if (values > VALUES_MAX || size != 8 + values * value_size) {
		free(bytes);
		return -EBADMSG;
	}
	vectors.values = malloc(values * sizeof(float) + 1);
	if (vectors.values) {
		convert(bytes + 8, value_size, vectors.values, values);
		*ret_vectors = vectors;
	} else {
		error = -ENOMEM;
	}
	free(bytes);
	return error;
}

/* .ivecs: for each query an i32 k and k rows. */
static int read_truth(const char *path, struct dataset *dataset)
{
	size_t size = 0;
	uint8_t *bytes = read_file(path, &size);
	uint32_t queries = dataset->queries.count, k;

	if (!bytes)
		return -errno;
	k = size >= 4 ? load_le32(bytes) : 0;
	if (k == 0 || size != (size_t)queries * (k + 1) * 4) {
		free(bytes);
		return -EBADMSG;
	}
	dataset->truth_k = k;
	dataset->truth = malloc((size_t)queries * k * sizeof(dataset->truth[0]));
	for (uint32_t query = 0; dataset->truth && query < queries; query++)
		for (uint32_t i = 0; i < k; i++)
			dataset->truth[(size_t)query * k + i] =
				load_le32(bytes + ((size_t)query * (k + 1) + 1 + i) * 4);
	free(bytes);
	return dataset->truth ? 0 : -ENOMEM;
}

static void must(const char *path, int error)
{
	if (!error)
		return;
	fprintf(stderr, "%s: %s\n", path, strerror(-error));
	exit(1);
}

static void path_of(char *path, const char *name, const char *part, const char *ending)
{
	const char *source = getenv("TERN_SOURCE");

	snprintf(path, PATH_SIZE, "%s/tests/data/%s_%s.%s", source ? source : ".", name, part,
		 ending);
}

void dataset_load(const char *name, struct dataset *ret_dataset)
{
	struct dataset dataset = {0};
	char path[PATH_SIZE];
	size_t set = 0;

	while (strcmp(sets[set].name, name) != 0)
		set++;
	dataset.metric = sets[set].metric;
	path_of(path, name, "base", sets[set].ending);
	must(path, dataset_read(path, &dataset.base));
	path_of(path, name, "query", sets[set].ending);
	must(path, dataset_read(path, &dataset.queries));
	path_of(path, name, "truth", "ivecs");
	must(path, read_truth(path, &dataset));
	*ret_dataset = dataset;
}

void dataset_free(struct dataset *dataset)
{
	free(dataset->base.values);
	free(dataset->queries.values);
	free(dataset->truth);
	*dataset = (struct dataset){0};
}

static double distance_to(const struct dataset *dataset, uint32_t query, uint32_t row)
{
	uint32_t dim = dataset->base.dim;

	return truth_distance(dataset->metric, dataset->queries.values + (size_t)query * dim,
			      dataset->base.values + (size_t)row * dim, dim);
}

uint32_t dataset_right(const struct dataset *dataset, uint32_t query, const uint32_t *labels,
		       uint32_t k)
{
	uint32_t last = dataset->truth[(size_t)query * dataset->truth_k + k - 1];
	double limit = distance_to(dataset, query, last);
	uint32_t right = 0;

	limit += 1e-6 * (1 + fabs(limit));
	for (uint32_t i = 0; i < k; i++)
		right += labels[i] < dataset->base.count &&
			 distance_to(dataset, query, labels[i]) <= limit;
	return right;
}

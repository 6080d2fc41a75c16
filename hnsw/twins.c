/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/twins.h"

#include "base/byteorder.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct twins {
	const uint8_t *vectors;
	size_t stride;
	size_t size; /* bytes of one vector */
};

struct hashed {
	uint64_t hash;
	uint32_t node;
};

/* Only to bring candidates together; equality is decided by the bytes. */
static uint64_t hash_of(const uint8_t *vector, size_t size)
{
	uint64_t hash = UINT64_C(0x9E3779B97F4A7C15);

	for (size_t i = 0; i < size; i += sizeof(hash)) {
		hash = (hash ^ load_le64(vector + i)) * UINT64_C(0xBF58476D1CE4E5B9);
		hash ^= hash >> 29;
	}
	return hash;
}

static int compare_vectors(const struct twins *twins, uint32_t a, uint32_t b)
{
	return memcmp(twins->vectors + a * twins->stride, twins->vectors + b * twins->stride,
		      twins->size);
}

/* By hash, then by the vectors' bytes, then by number: equal vectors end up side by side. */
static int compare_hashed(const void *a, const void *b, void *context)
{
	const struct hashed *left = a, *right = b;
	int order;

	if (left->hash != right->hash)
		return left->hash > right->hash ? 1 : -1;
	order = compare_vectors(context, left->node, right->node);
	return order ? order : (left->node > right->node) - (left->node < right->node);
}

int twins_find(const uint8_t *vectors, size_t stride, size_t size, uint32_t count, uint32_t *next,
	       uint8_t *levels, uint32_t *ret_twin_count)
{
	struct twins twins = {vectors, stride, size};
	struct hashed *hashed = malloc(((size_t)count + 1) * sizeof(*hashed));
	uint32_t found = 0;

	if (!hashed)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		hashed[i] = (struct hashed){hash_of(vectors + i * stride, size), i};
		next[i] = UINT32_MAX;
	}
	qsort_r(hashed, count, sizeof(*hashed), compare_hashed, &twins);
	for (uint32_t i = 1; i < count; i++) {
		const struct hashed *before = &hashed[i - 1];

		if (before->hash != hashed[i].hash ||
		    compare_vectors(&twins, before->node, hashed[i].node) != 0)
			continue;
		next[before->node] = hashed[i].node;
		levels[hashed[i].node] = 0;
		found++;
	}
	free(hashed);
	*ret_twin_count = found;
	return 0;
}

/* glibc sorts by merging, beside the array. */
uint64_t twins_memory(uint32_t count)
{
	return 2 * sizeof(struct hashed) * ((uint64_t)count + 1);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/dist_batch.h"

#include "base/check.h"
#include "hnsw/dist_batch_pack.h"

#include <pthread.h>
#include <string.h>

static const struct {
	const char *isa;
	const struct dist_batch_kernels *kernels;
} tables[] = {
#if defined(__x86_64__)
	{"amx", &dist_batch_amx},
	{"avx512", &dist_batch_avx512},
	{"avx2", &dist_batch_avx2},
#endif
	{"scalar", &dist_batch_scalar},
};

/* AVX-512 is many instruction sets; this takes the best kernels of those that are here. */
static const struct dist_batch_kernels *widest(const struct dist_batch_kernels *kernels)
{
#if defined(__x86_64__)
	if (kernels == &dist_batch_avx512 && __builtin_cpu_supports("avx512vnni"))
		return &dist_batch_vnni;
#endif
	return kernels;
}

const struct dist_batch_kernels *dist_batch_find(const char *isa)
{
	for (size_t i = 0; i < ARRAY_COUNT(tables); i++)
		if (strcmp(tables[i].isa, isa) == 0)
			return dist_find(isa) ? widest(tables[i].kernels) : NULL;
	return NULL;
}

static const struct dist_batch_kernels *chosen;
static pthread_once_t chosen_once = PTHREAD_ONCE_INIT;

static void choose(void)
{
	chosen = dist_batch_find(dist_best()->isa);
	CHECK(chosen);
}

const struct dist_batch_kernels *dist_batch_best(void)
{
	pthread_once(&chosen_once, choose);
	return chosen;
}

void dist_batch_init(struct dist_batch *batch, const struct dist_batch_kernels *kernels,
		     enum vector_type type, size_t row_size, void *memory)
{
	CHECK(dist_batch_can(type));
	CHECK(row_size % DIST_ALIGN == 0 && row_size <= DIST_DIM_MAX);
	*batch = (struct dist_batch){
		.kernels = kernels, .type = type, .row_size = row_size, .queries = memory};
	memset(memory, 0, dist_batch_size(row_size));
}

void dist_batch_set(struct dist_batch *batch, uint32_t index, const void *row)
{
	CHECK(index < DIST_BATCH_QUERIES);
	batch->kernels->pack(batch->type, row, batch->row_size, index, batch->queries);
}

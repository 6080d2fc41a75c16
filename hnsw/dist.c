/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/dist.h"

#include "base/check.h"
#include "hnsw/dist_amx.h"
#include "hnsw/dist_order.h"
#include "hnsw/segment.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

static_assert(SEGMENT_DIM_MAX <= DIST_DIM_MAX, "sums of integers stay in i32");

static const struct dist_table *find_scalar(void)
{
	return &dist_scalar;
}

#if defined(__x86_64__)
static struct dist_table widest;
static pthread_once_t widest_once = PTHREAD_ONCE_INIT;

/* clang has no word for this one. */
static bool has_f16c(void)
{
	unsigned a, b, c, d;

	return __get_cpuid(1, &a, &b, &c, &d) && c & bit_F16C;
}

/* The compiler's own test asks the kernel too whether it saves these registers. */
static const struct dist_table *find_avx2(void)
{
	bool runs =
		__builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt") && has_f16c();

	return runs ? &dist_avx2 : NULL;
}

/* AVX-512 is many instruction sets; the table has the best kernels of those that are here. */
static void widest_init(void)
{
	widest = dist_avx512;
	if (__builtin_cpu_supports("avx512vnni"))
		dist_vnni_use(&widest);
	if (__builtin_cpu_supports("avx512vpopcntdq"))
		dist_popcnt_use(&widest);
}

static const struct dist_table *find_avx512(void)
{
	if (!find_avx2() || !__builtin_cpu_supports("avx512f") ||
	    !__builtin_cpu_supports("avx512bw"))
		return NULL;
	pthread_once(&widest_once, widest_init);
	return &widest;
}

static struct dist_table tiled;
static pthread_once_t tiled_once = PTHREAD_ONCE_INIT;
static bool has_tiles;

/* Tiles are for batches (dist_batch.h); one pair at a time is AVX-512's. */
static void tiled_init(void)
{
	has_tiles = find_avx512() && dist_amx_ask();
	if (!has_tiles)
		return;
	tiled = widest;
	tiled.isa = "amx";
}

static const struct dist_table *find_amx(void)
{
	pthread_once(&tiled_once, tiled_init);
	return has_tiles ? &tiled : NULL;
}
#endif

/* The best first. Each finds its table if this processor can run it, else NULL. */
static const struct {
	const char *isa;
	const struct dist_table *(*find)(void);
} candidates[] = {
#if defined(__x86_64__)
	{"amx", find_amx},
	{"avx512", find_avx512},
	{"avx2", find_avx2},
#endif
	{"scalar", find_scalar},
};

static pthread_once_t chosen_once = PTHREAD_ONCE_INIT;
static const struct dist_table *chosen;

const struct dist_table *dist_find(const char *isa)
{
	for (size_t i = 0; i < ARRAY_COUNT(candidates); i++)
		if (strcmp(candidates[i].isa, isa) == 0)
			return candidates[i].find();
	return NULL;
}

static const struct dist_table *dist_first(void)
{
	const struct dist_table *table = NULL;

	for (size_t i = 0; !table; i++)
		table = candidates[i].find();
	return table;
}

static void dist_choose(void)
{
	const char *isa = getenv("TERN_ISA");

	chosen = isa && *isa ? dist_find(isa) : dist_first();
	if (!chosen) {
		chosen = dist_first();
		fprintf(stderr,
			"TERN_ISA: '%s' is not here; taking %s (known: scalar, avx2, avx512, "
			"amx)\n",
			isa, chosen->isa);
	}
}

const struct dist_table *dist_best(void)
{
	pthread_once(&chosen_once, dist_choose);
	return chosen;
}

struct dist_measure dist_measure(const struct dist_table *table, enum metric metric)
{
	switch (metric) {
	case METRIC_L2:
		return (struct dist_measure){.kernel = table->l2, .offset = 0, .sign = 1};
	case METRIC_COSINE:
		return (struct dist_measure){.kernel = table->ip, .offset = 1, .sign = -1};
	default:
		return (struct dist_measure){.kernel = table->ip, .offset = 0, .sign = -1};
	}
}

struct dist_row_measure dist_row_measure(const struct dist_table *table, enum vector_type type,
					 enum metric metric)
{
	const struct dist_kernels *kernels = &table->kernels[type];
	bool integers = type == VECTOR_I8 || type == VECTOR_U8;

	if (metric == METRIC_L2)
		return (struct dist_row_measure){.pair = kernels->pair_l2,
						 .mixed = kernels->mixed_l2,
						 .many_pair = kernels->many_pair_l2,
						 .many_mixed = kernels->many_mixed_l2,
						 .sign = 1};
	return (struct dist_row_measure){
		.pair = kernels->pair_ip,
		.mixed = kernels->mixed_ip,
		.many_pair = kernels->many_pair_ip,
		.many_mixed = kernels->many_mixed_ip,
		.offset = metric == METRIC_COSINE,
		.sign = -1,
		.scaled = metric == METRIC_COSINE && integers,
	};
}

static int32_t square_i8(const int8_t *row, size_t row_size)
{
	int32_t sum = 0;

	for (size_t i = 0; i < row_size; i++)
		sum += row[i] * row[i];
	return sum;
}

static int32_t square_u8(const uint8_t *row, size_t row_size)
{
	int32_t sum = 0;

	for (size_t i = 0; i < row_size; i++)
		sum += row[i] * row[i];
	return sum;
}

int32_t dist_square(enum vector_type type, const void *row, size_t row_size)
{
	CHECK(type == VECTOR_I8 || type == VECTOR_U8);
	return type == VECTOR_I8 ? square_i8(row, row_size) : square_u8(row, row_size);
}

float dist_inverse_norm(enum vector_type type, const void *row, size_t row_size)
{
	int32_t sum = dist_square(type, row, row_size);

	return sum > 0 ? (float)(1 / sqrt(sum)) : 0;
}

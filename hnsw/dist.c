/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/dist.h"

#include "base/defs.h"
#include "hnsw/dist_order.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool always(void)
{
	return true;
}

#if defined(__x86_64__)
/* The compiler's own test asks the kernel too whether it saves these registers. */
static bool has_avx2(void)
{
	return __builtin_cpu_supports("avx2");
}

static bool has_avx512(void)
{
	return __builtin_cpu_supports("avx512f");
}
#endif

/* The best first. */
static const struct {
	const struct dist_table *table;
	bool (*runs)(void);
} candidates[] = {
#if defined(__x86_64__)
	{&dist_avx512, has_avx512},
	{&dist_avx2, has_avx2},
#endif
	{&dist_scalar, always},
};

static pthread_once_t chosen_once = PTHREAD_ONCE_INIT;
static const struct dist_table *chosen;

const struct dist_table *dist_find(const char *isa)
{
	for (size_t i = 0; i < ARRAY_COUNT(candidates); i++)
		if (strcmp(candidates[i].table->isa, isa) == 0 && candidates[i].runs())
			return candidates[i].table;
	return NULL;
}

static const struct dist_table *dist_first(void)
{
	size_t i = 0;

	while (!candidates[i].runs())
		i++;
	return candidates[i].table;
}

static void dist_choose(void)
{
	const char *isa = getenv("TERN_ISA");

	chosen = isa && *isa ? dist_find(isa) : dist_first();
	if (!chosen) {
		chosen = dist_first();
		fprintf(stderr,
			"TERN_ISA: '%s' is not here; taking %s (known: scalar, avx2, avx512)\n",
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

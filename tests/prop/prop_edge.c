/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The graph against a model, through transactions that are committed or taken back, checkpoints and
 * small caches; and a node of very many edges, whose cost is counted in pages looked at: a million
 * with TERN_LONG=1, else a tenth of that.
 */

#include "engine/edge.h"
#include "tests/lib/edge_model.h"
#include "tests/lib/pages.h"
#include "tests/lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#define NOW          UINT64_C(1700000000)
#define TRANSACTIONS 400
#define CHANGES      40

#define EDGES      UINT32_C(100000)
#define EDGES_LONG UINT32_C(1000000)
#define BATCH      1000

static int change(struct edge_model *model, struct pager *pager)
{
	struct edge_key edge;

	return edge_model_change(model, &edge) ? edge_add(pager, edge.source, edge.target)
					       : edge_remove(pager, edge.source, edge.target);
}

static void report(void *context, const char *line)
{
	fprintf(stderr, "%s\n", line);
}

static void check(struct pages *pages)
{
	uint64_t faults = 0;

	assert_int_equal(edge_check(pages->pager, report, NULL, &faults), 0);
	assert_int_equal(faults, 0);
	pages_check(pages, EDGE_NODE_ROOT, EDGE_EDGE_ROOT);
}

static void run(uint64_t seed)
{
	struct edge_model model;
	struct pages pages;

	printf("seed %llu\n", (unsigned long long)seed);
	edge_model_init(&model, seed);
	pages_init(&pages, (4 * PAGER_CACHE_MIN) << seed % 3);
	assert_int_equal(edge_open(pages.pager, NOW), 0);
	for (unsigned i = 0; i < TRANSACTIONS; i++) {
		struct edge_model before = model;
		assert_int_equal(pager_begin(pages.pager), 0);
		for (uint64_t left = 1 + rand_below(&model.rand, CHANGES); left > 0; left--)
			assert_int_equal(change(&model, pages.pager), 0);
		if (rand_below(&model.rand, 4) == 0) {
			/* Its random numbers go on, or it would do the same again. */
			before.rand = model.rand;
			model = before;
			pager_rollback(pages.pager);
		} else {
			pages_commit(&pages);
		}
		/* A cache that is full of changes takes no more. */
		if (rand_below(&model.rand, 16) == 0 ||
		    pager_stats(pages.pager).dirty > PAGER_CACHE_MIN)
			pages_checkpoint(&pages);
		if (i % 40 == 0 || i + 1 == TRANSACTIONS) {
			edge_model_compare(&model, pages.pager);
			check(&pages);
		}
	}
	pages_deinit(&pages);
}

static void the_graph_is_what_the_model_says(void **state)
{
	for (uint64_t seed = 1; seed <= 6; seed++)
		run(seed);
}

static uint64_t looks(struct pager *pager)
{
	struct pager_stats stats = pager_stats(pager);

	return stats.hits + stats.misses;
}

/* The most pages looked at for one edge of the batch. */
static uint64_t run_batch(struct pages *pages, uint32_t first,
			  int (*change_one)(struct pager *pager, int64_t source, int64_t target))
{
	uint64_t most = 0;

	assert_int_equal(pager_begin(pages->pager), 0);
	for (uint32_t i = first; i < first + BATCH; i++) {
		uint64_t before = looks(pages->pager);
		/* Every other one leads to the node, so that both directions grow. */
		int r = i % 2 == 0 ? change_one(pages->pager, 7, 1000 + i)
				   : change_one(pages->pager, 1000 + i, 7);
		assert_int_equal(r, 0);
		uint64_t took = looks(pages->pager) - before;
		most = took > most ? took : most;
	}
	pages_commit(pages);
	if (first / BATCH % 16 == 0)
		pages_checkpoint(pages);
	return most;
}

static uint64_t looks_of_degree(struct pager *pager, uint32_t expected)
{
	uint64_t before = looks(pager);
	uint32_t degree;

	assert_int_equal(edge_degree(pager, 7, /* incoming= */ true, &degree), 0);
	assert_int_equal(degree, expected);
	return looks(pager) - before;
}

static void edges_of_a_node_with_very_many_cost_no_more_than_the_first(void **state)
{
	uint32_t edges = getenv("TERN_LONG") != NULL ? EDGES_LONG : EDGES;
	struct pages pages;

	pages_init(&pages, 32768);
	assert_int_equal(edge_open(pages.pager, NOW), 0);
	uint64_t few = run_batch(&pages, 0, edge_add);
	for (uint32_t i = BATCH; i < edges - BATCH; i += BATCH)
		run_batch(&pages, i, edge_add);
	uint64_t many = run_batch(&pages, edges - BATCH, edge_add);
	uint64_t degree = looks_of_degree(pages.pager, edges / 2);
	/* From the middle, where the first ones lie farthest from the ends. */
	uint64_t removed = run_batch(&pages, edges / 2, edge_remove);
	printf("pages looked at for an edge: %llu of the first %u, %llu of the last, %llu when "
	       "removed; for the degree %llu\n",
	       (unsigned long long)few, BATCH, (unsigned long long)many,
	       (unsigned long long)removed, (unsigned long long)degree);
	/* Trees of three or four levels in place of two; a split looks at a few more. */
	assert_true(many <= 3 * few);
	assert_true(removed <= 3 * few);
	assert_true(degree <= 8);
	pages_deinit(&pages);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_graph_is_what_the_model_says),
		cmocka_unit_test(edges_of_a_node_with_very_many_cost_no_more_than_the_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

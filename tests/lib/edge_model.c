/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/lib/edge_model.h"

#include "base/hash.h"
#include "engine/edge.h"
#include "tests/lib/test.h"

#include <stdlib.h>
#include <string.h>

/* Nodes from 0 on that have a lot of edges. */
#define HUBS 2

void edge_model_init(struct edge_model *model, uint64_t seed)
{
	memset(model, 0, sizeof(*model));
	rand_init(&model->rand, seed);
}

int64_t edge_model_id(uint32_t node)
{
	static const int64_t special[] = {0, INT64_MIN,     INT64_MAX, -1,
					  1, INT64_MIN + 1, -2,        INT64_MAX - 1};

	return node < sizeof(special) / sizeof(special[0]) ? special[node]
							   : (int64_t)hash_mix64(node);
}

static uint32_t random_node(struct edge_model *model)
{
	uint64_t bound = rand_below(&model->rand, 3) == 0 ? HUBS : EDGE_MODEL_NODES;

	return (uint32_t)rand_below(&model->rand, bound);
}

bool edge_model_change(struct edge_model *model, struct edge_key *ret_edge)
{
	bool add = model->count == 0 || rand_below(&model->rand, 3) != 0;
	uint32_t source;
	uint32_t target;

	if (model->count > EDGE_MODEL_NODES * EDGE_MODEL_NODES / 2)
		add = false;
	do {
		/* Whole rows may be full or empty, so that the favourites alone don't do. */
		bool any = rand_below(&model->rand, 4) == 0;
		source = any ? (uint32_t)rand_below(&model->rand, EDGE_MODEL_NODES)
			     : random_node(model);
		target = any ? (uint32_t)rand_below(&model->rand, EDGE_MODEL_NODES)
			     : random_node(model);
	} while ((model->order[source][target] != 0) == add);

	model->order[source][target] = add ? ++model->next : 0;
	model->count += add ? 1 : UINT32_MAX;
	*ret_edge =
		(struct edge_key){.source = edge_model_id(source), .target = edge_model_id(target)};
	return add;
}

struct neighbour {
	uint32_t order;
	int64_t node;
};

static int compare_orders(const void *a, const void *b)
{
	const struct neighbour *one = a;
	const struct neighbour *two = b;

	return (one->order > two->order) - (one->order < two->order);
}

static uint32_t expected_of(const struct edge_model *model, uint32_t node, bool incoming,
			    struct neighbour *ret_row)
{
	uint32_t count = 0;

	for (uint32_t other = 0; other < EDGE_MODEL_NODES; other++) {
		uint32_t order = incoming ? model->order[other][node] : model->order[node][other];
		if (order != 0)
			ret_row[count++] = (struct neighbour){order, edge_model_id(other)};
	}
	qsort(ret_row, count, sizeof(*ret_row), compare_orders);
	return count;
}

/* Whether it is to be asked again, after a poll. */
static bool again(struct pager *pager, int r)
{
	if (r != EDGE_E_WAIT && r != EDGE_E_BUSY)
		return false;
	pager_poll(pager);
	return true;
}

static int has(struct pager *pager, uint32_t source, uint32_t target)
{
	int r;

	do
		r = edge_has(pager, edge_model_id(source), edge_model_id(target));
	while (again(pager, r));
	return r;
}

static uint32_t degree_of(struct pager *pager, uint32_t node, bool incoming)
{
	uint32_t degree = UINT32_MAX;
	int r;

	do
		r = edge_degree(pager, edge_model_id(node), incoming, &degree);
	while (again(pager, r));
	assert_int_equal(r, 0);
	return degree;
}

static uint32_t next_of(struct pager *pager, uint32_t node, bool incoming, uint32_t *position,
			int64_t *ret_nodes, uint32_t max)
{
	uint32_t count = 0;
	int r;

	do
		r = edge_neighbours(pager, edge_model_id(node), incoming, position, ret_nodes, max,
				    &count);
	while (again(pager, r));
	assert_int_equal(r, 0);
	return count;
}

static void compare_row(struct edge_model *model, struct pager *pager, uint32_t node, bool incoming)
{
	struct neighbour expected[EDGE_MODEL_NODES];
	int64_t found[EDGE_MODEL_NODES];
	uint32_t count = expected_of(model, node, incoming, expected);
	uint32_t position = 0;
	uint32_t done = 0;
	uint32_t got;

	assert_int_equal(degree_of(pager, node, incoming), count);
	do {
		uint32_t max = 1 + (uint32_t)rand_below(&model->rand, EDGE_MODEL_NODES);
		got = next_of(pager, node, incoming, &position, found, max);
		assert_true(got <= max && done + got <= count);
		for (uint32_t i = 0; i < got; i++)
			assert_int_equal(found[i], expected[done + i].node);
		done += got;
	} while (got > 0);
	assert_int_equal(done, count);
}

void edge_model_compare(struct edge_model *model, struct pager *pager)
{
	assert_int_equal(pager_state(pager)->edge_count, model->count + model->others);
	for (uint32_t node = 0; node < EDGE_MODEL_NODES; node++) {
		compare_row(model, pager, node, /* incoming= */ false);
		compare_row(model, pager, node, /* incoming= */ true);
		for (uint32_t other = 0; other < EDGE_MODEL_NODES; other++)
			assert_int_equal(has(pager, node, other),
					 model->order[node][other] != 0 ? 0 : EDGE_E_ABSENT);
	}
}

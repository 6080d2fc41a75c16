/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/edge.h"

#include "engine/btree.h"
#include "tests/lib/pages.h"
#include "tests/lib/test.h"

#include <stdio.h>
#include <string.h>

#define NOW UINT64_C(1700000000)

/* The edge tree's keys, as engine/edge.h has them. */
#define PAIR(source, target) (UINT64_C(1) << 63 | UINT64_C(source) << 30 | UINT64_C(target))
#define OUT(node, sequence)  (UINT64_C(node) << 33 | UINT64_C(sequence))
#define IN(node, sequence)   (UINT64_C(node) << 33 | UINT64_C(1) << 32 | UINT64_C(sequence))
#define JOIN(high, low)      (UINT64_C(high) << 32 | UINT64_C(low))

struct fixture {
	struct pages pages;
	struct pager *pager;
};

static int set_up(void **state)
{
	static struct fixture fixture;

	pages_init(&fixture.pages, 256);
	fixture.pager = fixture.pages.pager;
	assert_int_equal(edge_open(fixture.pager, NOW), 0);
	*state = &fixture;
	return 0;
}

static void ignore(void *context, const char *line)
{
}

static uint64_t faults_of(struct fixture *fixture)
{
	uint64_t faults = UINT64_MAX;

	assert_int_equal(edge_check(fixture->pager, ignore, NULL, &faults), 0);
	return faults;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	pages_deinit(&fixture->pages);
	return 0;
}

static void check(struct fixture *fixture)
{
	assert_int_equal(faults_of(fixture), 0);
	pages_check(&fixture->pages, EDGE_NODE_ROOT, EDGE_EDGE_ROOT);
}

static void add(struct fixture *fixture, int64_t source, int64_t target)
{
	assert_int_equal(pager_begin(fixture->pager), 0);
	assert_int_equal(edge_add(fixture->pager, source, target), 0);
	pages_commit(&fixture->pages);
}

static void take(struct fixture *fixture, int64_t source, int64_t target)
{
	assert_int_equal(pager_begin(fixture->pager), 0);
	assert_int_equal(edge_remove(fixture->pager, source, target), 0);
	pages_commit(&fixture->pages);
}

/* The node's neighbours are those 'count', in that order. */
static void assert_row(struct fixture *fixture, int64_t node, bool incoming,
		       const int64_t *expected, uint32_t count)
{
	int64_t found[16];
	uint32_t position = 0;
	uint32_t got;
	uint32_t degree;

	assert_int_equal(
		edge_neighbours(fixture->pager, node, incoming, &position, found, 16, &got), 0);
	assert_int_equal(got, count);
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(found[i], expected[i]);
	assert_int_equal(edge_degree(fixture->pager, node, incoming, &degree), 0);
	assert_int_equal(degree, count);
}

static void neighbours_come_in_the_order_of_adding(void **state)
{
	struct fixture *fixture = *state;

	add(fixture, 5, 9);
	add(fixture, 5, -7);
	add(fixture, 5, 8);
	add(fixture, 4, 9);
	add(fixture, 1, 9);
	assert_row(fixture, 5, false, (int64_t[]){9, -7, 8}, 3);
	assert_row(fixture, 9, true, (int64_t[]){5, 4, 1}, 3);
	assert_row(fixture, 9, false, NULL, 0);
	assert_row(fixture, 5, true, NULL, 0);
	assert_int_equal(pager_state(fixture->pager)->edge_count, 5);
	assert_int_equal(pager_state(fixture->pager)->node_count, 6);
	check(fixture);
}

static void a_node_without_edges_has_none(void **state)
{
	struct fixture *fixture = *state;

	assert_row(fixture, 77, false, NULL, 0);
	assert_row(fixture, 77, true, NULL, 0);
	assert_int_equal(edge_has(fixture->pager, 77, 78), EDGE_E_ABSENT);
	check(fixture);
}

static void an_edge_is_there_once(void **state)
{
	struct fixture *fixture = *state;

	add(fixture, 1, 2);
	assert_int_equal(pager_begin(fixture->pager), 0);
	assert_int_equal(edge_add(fixture->pager, 1, 2), EDGE_E_EXISTS);
	/* The other way round is another edge. */
	assert_int_equal(edge_remove(fixture->pager, 2, 1), EDGE_E_ABSENT);
	assert_int_equal(edge_remove(fixture->pager, 3, 1), EDGE_E_ABSENT);
	assert_int_equal(edge_add(fixture->pager, 2, 1), 0);
	pages_commit(&fixture->pages);
	assert_row(fixture, 1, false, (int64_t[]){2}, 1);
	assert_row(fixture, 1, true, (int64_t[]){2}, 1);
	check(fixture);
}

static void a_node_may_be_its_own_neighbour(void **state)
{
	struct fixture *fixture = *state;

	add(fixture, 3, 3);
	add(fixture, 3, 4);
	assert_row(fixture, 3, false, (int64_t[]){3, 4}, 2);
	assert_row(fixture, 3, true, (int64_t[]){3}, 1);
	check(fixture);
	take(fixture, 3, 3);
	assert_row(fixture, 3, false, (int64_t[]){4}, 1);
	assert_row(fixture, 3, true, NULL, 0);
	check(fixture);
}

static void an_edge_that_is_added_again_comes_last(void **state)
{
	struct fixture *fixture = *state;

	add(fixture, 1, 10);
	add(fixture, 1, 11);
	add(fixture, 1, 12);
	take(fixture, 1, 10);
	assert_row(fixture, 1, false, (int64_t[]){11, 12}, 2);
	add(fixture, 1, 10);
	assert_row(fixture, 1, false, (int64_t[]){11, 12, 10}, 3);
	check(fixture);
}

/* Sequences aren't given again, or a walk would pass over an edge that came after all had gone. */
static void a_walk_goes_on_while_edges_come_and_go(void **state)
{
	struct fixture *fixture = *state;
	uint32_t position = 0;
	uint32_t got;
	int64_t found[4];

	for (int64_t i = 0; i < 6; i++)
		add(fixture, 1, 10 + i);
	assert_int_equal(edge_neighbours(fixture->pager, 1, false, &position, found, 3, &got), 0);
	assert_int_equal(got, 3);
	for (int64_t i = 0; i < 6; i++)
		take(fixture, 1, 10 + i);
	add(fixture, 1, 20);
	assert_int_equal(edge_neighbours(fixture->pager, 1, false, &position, found, 4, &got), 0);
	assert_int_equal(got, 1);
	assert_int_equal(found[0], 20);
	assert_int_equal(edge_neighbours(fixture->pager, 1, false, &position, found, 4, &got), 0);
	assert_int_equal(got, 0);
	check(fixture);
}

static void ids_are_any_number_of_64_bits(void **state)
{
	static const int64_t ids[] = {INT64_MIN, INT64_MIN + 1, -1, 0, 1, INT64_MAX};
	struct fixture *fixture = *state;

	for (unsigned i = 0; i < 6; i++)
		for (unsigned j = 0; j < 6; j++)
			add(fixture, ids[i], ids[j]);
	for (unsigned i = 0; i < 6; i++) {
		assert_row(fixture, ids[i], false, ids, 6);
		assert_row(fixture, ids[i], true, ids, 6);
	}
	check(fixture);
}

static void a_rollback_takes_all_back(void **state)
{
	struct fixture *fixture = *state;

	add(fixture, 1, 2);
	add(fixture, 1, 3);
	assert_int_equal(pager_begin(fixture->pager), 0);
	assert_int_equal(edge_add(fixture->pager, 1, 4), 0);
	assert_int_equal(edge_remove(fixture->pager, 1, 2), 0);
	assert_row(fixture, 1, false, (int64_t[]){3, 4}, 2);
	pager_rollback(fixture->pager);

	assert_row(fixture, 1, false, (int64_t[]){2, 3}, 2);
	assert_row(fixture, 4, true, NULL, 0);
	assert_int_equal(pager_state(fixture->pager)->node_count, 3);
	assert_int_equal(pager_state(fixture->pager)->edge_count, 2);
	check(fixture);
	/* The node that was taken back gets its number anew. */
	add(fixture, 1, 5);
	add(fixture, 1, 4);
	assert_row(fixture, 1, false, (int64_t[]){2, 3, 5, 4}, 4);
	check(fixture);
}

static void opening_again_finds_the_graph(void **state)
{
	struct fixture *fixture = *state;

	add(fixture, 1, 2);
	add(fixture, 3, 2);
	pages_checkpoint(&fixture->pages);
	pages_crash(&fixture->pages, 1);
	assert_int_equal(pages_recover(&fixture->pages, fake_wal_count(fixture->pages.wal)), 0);
	fixture->pager = fixture->pages.pager;
	assert_int_equal(edge_open(fixture->pager, NOW), 0);
	assert_row(fixture, 2, true, (int64_t[]){1, 3}, 2);
	assert_int_equal(pager_state(fixture->pager)->node_count, 3);
	check(fixture);
}

/* What people and other programs read in the log: each direction once, and the tree's root. */
static void each_change_is_said_in_the_log(void **state)
{
	struct fixture *fixture = *state;
	unsigned seen[2][2] = {{0}};

	add(fixture, 6, -7);
	take(fixture, 6, -7);
	for (uint64_t i = 0; i < fake_wal_count(fixture->pages.wal); i++) {
		struct record record = fake_wal_record(fixture->pages.wal, i);
		if (record.type != RECORD_EDGE_INSERT && record.type != RECORD_EDGE_DELETE)
			continue;
		assert_int_equal(record.edge.source, 6);
		assert_int_equal(record.edge.target, -7);
		assert_int_equal(record.edge.page, EDGE_EDGE_ROOT);
		seen[record.type == RECORD_EDGE_DELETE][record.edge.incoming]++;
	}
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(seen[i / 2][i % 2], 1);
}

struct plant {
	const char *what;
	uint64_t root, key, value;
	bool gone;
};

/* Edges 1 to 2 and 1 to 3: nodes have the numbers 1, 2 and 3. */
static const struct plant plants[] = {
	{"a degree", EDGE_EDGE_ROOT, OUT(1, 0), JOIN(2, 1), false},
	{"a last sequence", EDGE_EDGE_ROOT, OUT(1, 0), JOIN(1, 2), false},
	{"no head", EDGE_EDGE_ROOT, OUT(1, 0), 0, true},
	{"no head of one that comes later", EDGE_EDGE_ROOT, IN(2, 0), 0, true},
	{"a degree without edges", EDGE_EDGE_ROOT, OUT(3, 0), JOIN(1, 1), false},
	{"no outgoing entry", EDGE_EDGE_ROOT, OUT(1, 1), 0, true},
	{"no incoming entry", EDGE_EDGE_ROOT, IN(2, 1), 0, true},
	{"another neighbour", EDGE_EDGE_ROOT, OUT(1, 2), 2, false},
	{"a neighbour that no node is", EDGE_EDGE_ROOT, OUT(1, 2), 99, false},
	{"another source", EDGE_EDGE_ROOT, IN(3, 1), 2, false},
	{"no pair", EDGE_EDGE_ROOT, PAIR(1, 2), 0, true},
	{"one pair more", EDGE_EDGE_ROOT, PAIR(3, 1), JOIN(1, 1), false},
	{"a place among the outgoing", EDGE_EDGE_ROOT, PAIR(1, 2), JOIN(2, 1), false},
	{"a place among the incoming", EDGE_EDGE_ROOT, PAIR(1, 2), JOIN(1, 2), false},
	{"an entry more", EDGE_EDGE_ROOT, OUT(2, 1), 1, false},
	{"a node's number", EDGE_NODE_ROOT, UINT64_C(1) << 63 | 2, 3, false},
	{"a number of two nodes", EDGE_NODE_ROOT, UINT64_C(1) << 63 | 40, 3, false},
	{"a number that wasn't given", EDGE_NODE_ROOT, UINT64_C(1) << 63 | 40, 4, false},
	{"the number 0", EDGE_NODE_ROOT, UINT64_C(1) << 63 | 40, 0, false},
};

static void every_planted_fault_is_found(void **state)
{
	struct fixture *fixture = *state;

	add(fixture, 1, 2);
	add(fixture, 1, 3);
	check(fixture);
	for (unsigned i = 0; i < sizeof(plants) / sizeof(plants[0]); i++) {
		const struct plant *plant = &plants[i];
		struct btree tree = {.pager = fixture->pager, .root = plant->root};
		assert_int_equal(pager_begin(fixture->pager), 0);
		assert_int_equal(plant->gone ? btree_delete(&tree, plant->key)
					     : btree_put(&tree, plant->key, plant->value),
				 0);
		if (faults_of(fixture) == 0)
			fail_msg("%s isn't found", plant->what);
		pager_rollback(fixture->pager);
		check(fixture);
	}
	pager_state(fixture->pager)->edge_count++;
	assert_true(faults_of(fixture) > 0);
	pager_state(fixture->pager)->edge_count--;
}

/* Half an edge can't be removed: the transaction is refused, and says why. */
static void removing_what_is_half_there_is_refused(void **state)
{
	struct fixture *fixture = *state;
	struct btree tree = {.pager = fixture->pager, .root = EDGE_EDGE_ROOT};

	add(fixture, 1, 2);
	assert_int_equal(pager_begin(fixture->pager), 0);
	assert_int_equal(btree_delete(&tree, IN(2, 1)), 0);
	pages_commit(&fixture->pages);
	assert_int_equal(pager_begin(fixture->pager), 0);
	assert_int_equal(edge_remove(fixture->pager, 1, 2), EDGE_E_CORRUPT);
	assert_true(strstr(pager_error(fixture->pager), "edge") != NULL);
	pager_rollback(fixture->pager);
	assert_int_equal(edge_has(fixture->pager, 1, 2), 0);
}

/* The edge is refused, and the transaction goes on without it. */
static void assert_full(struct fixture *fixture, int64_t source, int64_t target)
{
	struct pager_state before;

	assert_int_equal(pager_begin(fixture->pager), 0);
	assert_int_equal(edge_add(fixture->pager, 8, 9), 0);
	before = *pager_state(fixture->pager);
	assert_int_equal(edge_add(fixture->pager, source, target), EDGE_E_FULL);
	assert_memory_equal(pager_state(fixture->pager), &before, sizeof(before));
	assert_int_equal(edge_has(fixture->pager, source, target), EDGE_E_ABSENT);
	pages_commit(&fixture->pages);
	take(fixture, 8, 9);
	check(fixture);
}

static void set_head(struct fixture *fixture, uint64_t key, uint64_t head)
{
	struct btree tree = {.pager = fixture->pager, .root = EDGE_EDGE_ROOT};

	assert_int_equal(pager_begin(fixture->pager), 0);
	assert_int_equal(btree_put(&tree, key, head), 0);
	pages_commit(&fixture->pages);
}

/* As if it had had all the edges that it can, and but one were gone. */
static void a_node_that_had_all_its_edges_takes_no_half_of_another(void **state)
{
	struct fixture *fixture = *state;

	add(fixture, 8, 9);
	take(fixture, 8, 9);
	add(fixture, 1, 2);
	set_head(fixture, OUT(3, 0), JOIN(4294967295, 1));
	assert_full(fixture, 1, 5);
	assert_full(fixture, 1, 1);
	set_head(fixture, IN(4, 0), JOIN(4294967295, 1));
	assert_full(fixture, 5, 2);
	assert_full(fixture, 9, 2);
	/* One that is there is told so by others. */
	assert_int_equal(edge_has(fixture->pager, 1, 2), 0);
	add(fixture, 2, 1);
	check(fixture);
}

static void nodes_that_have_no_number_left_are_not_numbered(void **state)
{
	struct fixture *fixture = *state;

	add(fixture, 8, 9);
	take(fixture, 8, 9);
	pager_state(fixture->pager)->node_count = EDGE_NODE_MAX - 1;
	assert_int_equal(pager_begin(fixture->pager), 0);
	assert_int_equal(edge_add(fixture->pager, 1, 2), EDGE_E_FULL);
	assert_int_equal(pager_state(fixture->pager)->node_count, EDGE_NODE_MAX - 1);
	assert_int_equal(edge_add(fixture->pager, 1, 1), 0);
	assert_int_equal(pager_state(fixture->pager)->node_count, EDGE_NODE_MAX);
	assert_int_equal(edge_add(fixture->pager, 2, 2), EDGE_E_FULL);
	assert_int_equal(edge_add(fixture->pager, 1, 2), EDGE_E_FULL);
	assert_int_equal(edge_add(fixture->pager, 1, 9), 0);
	pages_commit(&fixture->pages);
	assert_row(fixture, 1, false, (int64_t[]){1, 9}, 2);
	assert_row(fixture, 1, true, (int64_t[]){1}, 1);
}

#define OF(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		OF(neighbours_come_in_the_order_of_adding),
		OF(a_node_without_edges_has_none),
		OF(an_edge_is_there_once),
		OF(a_node_may_be_its_own_neighbour),
		OF(an_edge_that_is_added_again_comes_last),
		OF(a_walk_goes_on_while_edges_come_and_go),
		OF(ids_are_any_number_of_64_bits),
		OF(a_rollback_takes_all_back),
		OF(opening_again_finds_the_graph),
		OF(each_change_is_said_in_the_log),
		OF(every_planted_fault_is_found),
		OF(removing_what_is_half_there_is_refused),
		OF(a_node_that_had_all_its_edges_takes_no_half_of_another),
		OF(nodes_that_have_no_number_left_are_not_numbered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

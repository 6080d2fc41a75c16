/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/rand.h"
#include "hnsw/visited.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* The set of nodes met, against one byte a node, below and beyond what is listed. */

#define NODES    400000
#define LIST_MAX 48

/* A list of nodes: some not in the index, some met before, and after 'count' the end. */
static void draw_list(struct rand *rand, uint32_t count, uint32_t *list)
{
	for (uint32_t i = 0; i < LIST_MAX; i++)
		list[i] = (uint32_t)rand_below(rand, i % 4 ? NODES + NODES / 16 : 500);
	if (count < LIST_MAX)
		list[count] = UINT32_MAX;
}

static uint32_t meet_plainly(bool *met, const uint32_t *list, uint32_t count, uint32_t end,
			     uint32_t *ret_met)
{
	uint32_t found = 0;

	for (uint32_t i = 0; i < count; i++) {
		if (list[i] >= end || met[list[i]])
			continue;
		met[list[i]] = true;
		ret_met[found++] = list[i];
	}
	return found;
}

/* Meets that many lists, and when they are odd a node alone after each, and forgets them. */
static void meet_lists(struct visited *visited, struct rand *rand, uint32_t lists)
{
	bool *met = calloc(NODES, sizeof(*met));

	assert_non_null(met);
	for (uint32_t i = 0; i < lists; i++) {
		uint32_t list[LIST_MAX], expected[LIST_MAX], found[LIST_MAX], count = i % 50;

		draw_list(rand, count, list);
		count = count < LIST_MAX ? count : LIST_MAX;
		count = meet_plainly(met, list, count, NODES, expected);
		assert_int_equal(visited_meet(visited, list, LIST_MAX, NODES, found), count);
		assert_memory_equal(found, expected, count * sizeof(found[0]));
		assert_true(visited->listed_count <= VISITED_LISTED_MAX + 1);
		if (lists % 2 == 0)
			continue;
		assert_int_equal(visited_add(visited, i), !met[i]);
		met[i] = true;
	}
	for (uint32_t node = 0; node < NODES; node++)
		assert_int_equal(visited_has(visited, node), met[node]);
	visited_clear(visited);
	for (uint32_t node = 0; node < NODES; node++)
		assert_false(visited_has(visited, node));
	free(met);
}

static void what_is_met_is_met_once_and_then_forgotten(void **state)
{
	static const uint32_t lists[] = {1, 49, 500, 900, 50, 901, 51, 3000, 50, 3001, 3};
	struct visited visited;
	struct rand rand;

	rand_init(&rand, 1);
	assert_int_equal(visited_init(&visited, NODES), 0);
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		meet_lists(&visited, &rand, lists[i]);
	visited_deinit(&visited);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_met_is_met_once_and_then_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

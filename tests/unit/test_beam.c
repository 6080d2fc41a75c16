/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/rand.h"
#include "hnsw/beam_insert.h"
#include "hnsw/dist.h"

#include <stdlib.h>

/* Every way to insert, against the plainest one: put it at the end and let it sink. */

#define CAPACITY_MAX 300

struct plain {
	uint64_t keys[CAPACITY_MAX + 1];
	uint32_t count;
};

/* Returns where it came to lie. */
static uint32_t sink(struct plain *plain, uint32_t capacity, uint64_t key)
{
	uint32_t at = plain->count++;

	for (; at > 0 && plain->keys[at - 1] > key; at--)
		plain->keys[at] = plain->keys[at - 1];
	plain->keys[at] = key;
	if (plain->count > capacity)
		plain->count = capacity;
	return at;
}

static void fill(beam_insert_fn insert, uint32_t capacity, uint64_t range)
{
	uint64_t *keys = malloc((capacity + 1) * sizeof(*keys));
	struct beam beam = {.keys = keys};
	struct plain plain = {0};
	struct rand rand;

	assert_non_null(keys);
	rand_init(&rand, capacity + range);
	beam_reset(&beam, capacity);
	keys[capacity] = 4711; /* not the beam's */
	for (uint32_t i = 0; i < 4 * capacity; i++) {
		uint64_t key = range ? rand_below(&rand, range) : rand_next(&rand);
		uint32_t next = beam.next = beam.count / 2, at;

		if (!beam_wants(&beam, key))
			continue;
		insert(&beam, key);
		at = sink(&plain, capacity, key);
		assert_int_equal(beam.count, plain.count);
		assert_memory_equal(beam.keys, plain.keys, beam.count * sizeof(*keys));
		/* Of equal keys any may be the new one. */
		assert_true(range || beam.next == (at < next ? at : next));
		assert_true(beam.next <= next);
		assert_true(beam.next == next || beam.keys[beam.next] == key);
	}
	assert_int_equal(keys[capacity], 4711);
	free(keys);
}

static void fill_all(beam_insert_fn insert)
{
	static const uint32_t capacities[] = {1, 2, 3, 7, 8, 9, 15, 16, 63, 64, 65, 66, 130, 300};

	for (size_t i = 0; i < sizeof(capacities) / sizeof(capacities[0]); i++) {
		fill(insert, capacities[i], 0);
		fill(insert, capacities[i], 50); /* many equal ones */
	}
}

static void a_beam_keeps_the_least_in_order(void **state)
{
	fill_all(beam_insert);
}

static void so_it_does_by_the_best_instructions(void **state)
{
	fill_all(beam_insert_best());
}

static void a_full_beam_has_room_only_for_what_is_nearer(void **state)
{
	uint64_t keys[3];
	struct beam beam = {.keys = keys};
	uint32_t node;

	beam_reset(&beam, 2);
	assert_true(beam_wants(&beam, UINT64_MAX - 1));
	assert_false(beam_peek(&beam, &node));
	beam_insert(&beam, beam_key(2, 7));
	beam_insert(&beam, beam_key(1, 9));
	assert_false(beam_wants(&beam, beam_key(3, 1)));
	assert_true(beam_wants(&beam, beam_key(2, 6)));
	assert_true(beam_peek(&beam, &node));
	assert_int_equal(node, 9);
	assert_true(beam_expand(&beam, &node));
	assert_int_equal(node, 9);
	assert_true(beam_expand(&beam, &node));
	assert_int_equal(node, 7);
	assert_false(beam_expand(&beam, &node));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_beam_keeps_the_least_in_order),
		cmocka_unit_test(so_it_does_by_the_best_instructions),
		cmocka_unit_test(a_full_beam_has_room_only_for_what_is_nearer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

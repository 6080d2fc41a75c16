/* SPDX-License-Identifier: Apache-2.0 */

/* Arenas and the pools that lie in them. */

#include "base/arena.h"
#include "base/pool.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <string.h>

static struct arena new_arena(size_t size)
{
	struct memory_options options = {.name = "test", .size = size, .numa_node = -1};
	struct arena arena;

	assert_int_equal(arena_init(&options, &arena), 0);
	assert_string_equal(arena.memory.note, "");
	return arena;
}

static void an_arena_hands_out_zeroed_aligned_bytes(void **state)
{
	struct arena arena = new_arena(100);
	uint8_t *first = arena_take(&arena, 3, 1);
	uint8_t *second = arena_take(&arena, 64, 64);

	assert_true(arena.memory.size >= 100);
	assert_int_equal((uintptr_t)second % 64, 0);
	assert_true(second >= first + 3);
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(second[i], 0);
	arena_deinit(&arena);
}

static void a_used_up_arena_says_so_and_keeps_working(void **state)
{
	struct arena arena = new_arena(1);

	assert_null(arena_take(&arena, arena.memory.size + 1, 1));
	assert_null(arena_take(&arena, SIZE_MAX, 64));
	assert_non_null(arena_take(&arena, arena.memory.size - 1, 1));
	assert_null(arena_take(&arena, 1, 64));
	assert_non_null(arena_take(&arena, 1, 1));
	assert_null(arena_take(&arena, 1, 1));
	assert_int_equal(arena_room(&arena), 0);
	arena_deinit(&arena);
}

static void deinit_accepts_a_zeroed_arena(void **state)
{
	struct arena arena = {0};

	arena_deinit(&arena);
	arena_deinit(&arena);
}

static void a_pool_hands_out_every_object_once(void **state)
{
	enum { COUNT = 100 };
	struct arena arena = new_arena(pool_size(24, 16, COUNT));
	bool seen[COUNT] = {false};
	void *objects[COUNT];
	struct pool pool;

	assert_int_equal(pool_init(&pool, &arena, 24, 16, COUNT), 0);
	for (uint32_t i = 0; i < COUNT; i++) {
		objects[i] = pool_get(&pool);
		assert_non_null(objects[i]);
		assert_int_equal((uintptr_t)objects[i] % 16, 0);
		assert_false(seen[pool_index(&pool, objects[i])]);
		seen[pool_index(&pool, objects[i])] = true;
		assert_ptr_equal(pool_at(&pool, pool_index(&pool, objects[i])), objects[i]);
		memset(objects[i], (int)i, 24);
	}
	assert_null(pool_get(&pool));
	for (uint32_t i = 0; i < COUNT; i++) {
		assert_int_equal(((uint8_t *)objects[i])[23], i);
		pool_put(&pool, objects[i]);
	}
	assert_int_equal(pool_free_count(&pool), COUNT);
	arena_deinit(&arena);
}

static void what_was_put_last_is_got_first(void **state)
{
	struct arena arena = new_arena(4096);
	struct pool pool;
	void *a, *b;

	assert_int_equal(pool_init(&pool, &arena, 8, 8, 4), 0);
	a = pool_get(&pool);
	b = pool_get(&pool);
	assert_int_equal(pool_index(&pool, a), 0);
	pool_put(&pool, a);
	pool_put(&pool, b);
	assert_ptr_equal(pool_get(&pool), b);
	arena_deinit(&arena);
}

static void a_pool_needs_no_more_than_it_says(void **state)
{
	static const uint32_t counts[] = {1, 7, 1000, 4097};

	for (unsigned i = 0; i < 4; i++) {
		struct arena arena = new_arena(1 << 20);
		struct pool pool;

		assert_non_null(arena_take(&arena, 1, 1));
		assert_int_equal(pool_init(&pool, &arena, 33, 64, counts[i]), 0);
		assert_true(arena.used - 1 <= pool_size(33, 64, counts[i]));
		arena_deinit(&arena);
	}
}

static void a_pool_larger_than_its_arena_is_refused(void **state)
{
	struct arena arena = new_arena(4096);
	struct pool pool;

	assert_int_equal(pool_init(&pool, &arena, arena.memory.size, 8, 2), -ENOMEM);
	assert_int_equal(pool_init(&pool, &arena, SIZE_MAX / 2, 8, UINT32_MAX), -ENOMEM);
	arena_deinit(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_arena_hands_out_zeroed_aligned_bytes),
		cmocka_unit_test(a_used_up_arena_says_so_and_keeps_working),
		cmocka_unit_test(deinit_accepts_a_zeroed_arena),
		cmocka_unit_test(a_pool_hands_out_every_object_once),
		cmocka_unit_test(what_was_put_last_is_got_first),
		cmocka_unit_test(a_pool_needs_no_more_than_it_says),
		cmocka_unit_test(a_pool_larger_than_its_arena_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

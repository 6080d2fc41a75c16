/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A store whose disk is full says so, answers reads as before, loses nothing, and goes on where it
 * was when there is room again; as often as that happens.
 */

#include "tests/lib/faulty.h"
#include "tests/lib/store_model.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <stdio.h>

#define COMMITS 700

/* Bytes that the disk has at first, and gets each time that it is full. */
#define CAPACITY (UINT64_C(640) << 10)
#define MORE     (UINT64_C(48) << 10)

/* Slices of work after which a store that lacks room is taken to be stuck. */
#define SLICES 40

static char error[256];

static struct store_options options_of(struct store_model *model)
{
	return (struct store_options){
		.create = true,
		.log_size = 64 << 10,
		.cache_pages = 64,
		.wal = {.segment_size = 128 << 10, .buffer_size = 64 << 10, .salt = 1},
		.kv = {.memtable_size = 16 << 10,
		       .cache_size = 1 << 20,
		       .table_size = 32 << 10,
		       .level_size = 64 << 10,
		       .clock = store_model_clock,
		       .clock_context = model},
	};
}

static struct store *open_store(struct faulty *disk, struct store_model *model)
{
	struct store_options options = options_of(model);
	struct store *store = NULL;
	int r = store_open(faulty_io(disk), &options, &store, error, sizeof(error));

	if (r != 0)
		print_error("opening: %d %s\n", r, error);
	assert_int_equal(r, 0);
	return store;
}

static void compare(struct store_model *model, struct store *store)
{
	uint32_t number;
	int r = store_model_check(model, store, &number, error, sizeof(error));

	if (r != 0)
		print_error("%d %s\n", r, error);
	assert_int_equal(r, 0);
}

/* What isn't durable for want of room isn't seen yet. */
static void compare_keys(struct store_model *model, struct store *store)
{
	int r = store_model_check_keys(model, store, error, sizeof(error));

	if (r != 0)
		print_error("%d %s\n", r, error);
	assert_int_equal(r, 0);
}

/* One transaction, or what is in its way. */
static int try_step(struct store_model *model, struct store *store)
{
	int r = store_model_step(model, store, error, sizeof(error));

	if (r == 0)
		r = store_model_work(model, store, error, sizeof(error));
	if (r != 0 && r != -ENOSPC)
		print_error("%d %s\n", r, error);
	assert_true(r == 0 || r == -ENOSPC);
	return r;
}

static uint32_t live_on_little(struct faulty *disk, struct store_model *model, struct store *store)
{
	uint64_t capacity = CAPACITY;
	uint32_t filled = 0;

	while (model->commits < COMMITS) {
		if (try_step(model, store) == 0)
			continue;
		/* It is full: reads go on, and nothing is lost. */
		filled++;
		compare_keys(model, store);
		for (uint32_t i = 0; i < SLICES; i++) {
			int r = store_model_work(model, store, error, sizeof(error));

			assert_true(r == 0 || r == -ENOSPC);
		}
		compare_keys(model, store);
		capacity += MORE;
		faulty_set_capacity(disk, capacity);
	}
	faulty_set_capacity(disk, 0);
	assert_int_equal(store_settle(store), 0);
	store_model_acknowledge(model);
	compare(model, store);
	return filled;
}

static void a_full_disk_is_waited_for(void **state)
{
	for (uint64_t seed = 1; seed <= 2; seed++) {
		struct faulty *disk = faulty_new(seed);
		struct store_model model;
		uint32_t filled;

		print_message("seed %llu\n", (unsigned long long)seed);
		faulty_set_capacity(disk, CAPACITY);
		store_model_init(&model, seed, COMMITS + 1);
		struct store *store = open_store(disk, &model);
		filled = live_on_little(disk, &model, store);
		print_message("it was full %u times\n", filled);
		assert_true(filled > 0);
		assert_int_equal(store_close(store), 0);
		faulty_restart(disk, seed);
		store = open_store(disk, &model);
		compare(&model, store);
		assert_int_equal(store_close(store), 0);
		store_model_deinit(&model);
		faulty_free(disk);
	}
}

/* The power is cut while the disk is full. */
static void a_full_disk_that_loses_power_has_what_was_durable(void **state)
{
	for (uint64_t seed = 1; seed <= 4; seed++) {
		struct faulty *disk = faulty_new(seed);
		struct store_model model;

		print_message("seed %llu\n", (unsigned long long)seed);
		faulty_set_capacity(disk, CAPACITY + seed * MORE);
		store_model_init(&model, seed, COMMITS + 1);
		struct store *store = open_store(disk, &model);
		while (model.commits < COMMITS && try_step(&model, store) == 0) {
			if (store_is_done(store, model.lsn))
				store_model_acknowledge(&model);
		}
		faulty_cut_at(disk, faulty_steps(disk) + 1);
		(void)store_close(store);
		faulty_restart(disk, seed);
		faulty_set_capacity(disk, 0);
		store = open_store(disk, &model);
		compare(&model, store);
		assert_int_equal(store_settle(store), 0);
		compare(&model, store);
		assert_int_equal(store_close(store), 0);
		store_model_deinit(&model);
		faulty_free(disk);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_disk_is_waited_for),
		cmocka_unit_test(a_full_disk_that_loses_power_has_what_was_durable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

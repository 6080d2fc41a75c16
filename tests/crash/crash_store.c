/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The power is cut at each step of a store's life: transactions of every kind, group commit,
 * rotation of the log, flushes, compactions, checkpoints. What is there afterwards is one of the
 * states from the last acknowledged one on, whole; and the store goes on from it.
 *
 * TERN_LONG=1 cuts at every step, else at some CRASH_STEPS of them. TERN_STEP and TERN_SEED replay
 * one.
 */

#include "base/clock.h"
#include "tests/lib/faulty.h"
#include "tests/lib/store_model.h"
#include "tests/lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#define CRASH_STEPS 150
#define COMMITS     500
#define MORE        12

static uint64_t clock_stands(void *context)
{
	return 1700000000;
}

static const struct store_options small = {
	.create = true,
	.log_size = 96 << 10,
	.cache_pages = 64,
	.wal = {.segment_size = 512 << 10, .buffer_size = 256 << 10},
	.kv = {.memtable_size = 24 << 10,
	       .cache_size = 1 << 20,
	       .table_size = 32 << 10,
	       .level_size = 64 << 10,
	       .clock = clock_stands},
};

/* Transactions until they are done or the power is gone. */
static int live(struct store_model *model, struct store *store, uint32_t commits)
{
	for (uint32_t i = 0; i < commits; i++) {
		enum kv_need need;
		int r = store_model_step(model, store);
		if (r != 0)
			return r;
		if (rand_below(&model->rand, 3) == 0) {
			r = store_sync(store);
			if (r != 0)
				return r;
			store_model_acknowledge(model);
		}
		r = store_work(store, clock_now_ns(), &need);
		if (r == 0 && need == KV_NEED_JOB)
			r = store_job(store);
		if (r != 0 && r != STORE_E_IDLE)
			return r;
		if (store_is_done(store, model->lsn))
			store_model_acknowledge(model);
	}
	int r = store_settle(store);
	if (r == 0)
		store_model_acknowledge(model);
	return r;
}

static struct store *open_store(struct faulty *disk)
{
	struct store *store = NULL;
	char error[256];
	int r = store_open(faulty_io(disk), &small, &store, error, sizeof(error));

	if (r != 0)
		fprintf(stderr, "opening: %d %s\n", r, error);
	return store;
}

/* One life, cut at 'step' (0: not at all). Returns the steps it took. */
static uint64_t life(uint64_t seed, uint64_t step)
{
	struct faulty *disk = faulty_new(seed);
	struct store_model model;
	struct store *store;
	char error[256];

	store_model_init(&model, seed, COMMITS + MORE + MORE);
	faulty_cut_at(disk, step);
	if (store_open(faulty_io(disk), &small, &store, error, sizeof(error)) == 0) {
		int r = live(&model, store, COMMITS);
		assert_true(r == 0 || faulty_is_off(disk));
		(void)store_close(store);
	} else {
		assert_true(faulty_is_off(disk));
	}
	uint64_t steps = faulty_steps(disk);

	for (unsigned again = 0; again < 2; again++) {
		faulty_restart(disk, seed * 31 + step + again);
		if (getenv("TERN_SAVE")) { char p[64]; snprintf(p, sizeof(p), "/tmp/disk%u", again); (void)!system("rm -rf /tmp/disk0 /tmp/disk1; mkdir -p /tmp/disk0 /tmp/disk1"); faulty_save(disk, p); fprintf(stderr, "again %u\n", again); }
		store = open_store(disk);
		assert_non_null(store);
		store_model_compare(&model, store);
		assert_int_equal(live(&model, store, MORE), 0);
		assert_int_equal(store_close(store), 0);
	}
	store_model_deinit(&model);
	faulty_free(disk);
	return steps;
}

/* The step under way: a failed one can be run by itself. */
static uint64_t replay_step;

static int say_replay(void **state)
{
	if (replay_step > 0)
		fprintf(stderr, "replay: TERN_STEP=%llu\n", (unsigned long long)replay_step);
	return 0;
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void no_cut_loses_or_halves_a_transaction(void **state)
{
	uint64_t seed = number_of("TERN_SEED", 1);
	uint64_t one = number_of("TERN_STEP", 0);
	uint64_t steps = life(seed, 0);
	uint64_t stride = getenv("TERN_LONG") ? 1 : steps / CRASH_STEPS + 1;

	printf("seed %llu: %llu steps, every %llu-th\n", (unsigned long long)seed,
	       (unsigned long long)steps, (unsigned long long)stride);
	for (uint64_t step = one ? one : 1; step <= (one ? one : steps); step += stride) {
		replay_step = step;
		life(seed, step);
		replay_step = 0;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(no_cut_loses_or_halves_a_transaction, say_replay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

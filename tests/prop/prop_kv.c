/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/kv.h"

#include "tests/lib/faulty.h"
#include "tests/lib/kv_rig.h"
#include "tests/lib/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The key space against its model: changes, flushes, compactions, snapshots and openings at random.
 * TERN_SEED replays one run, TERN_LONG makes many more.
 */

#define STEPS     2000
#define SEEDS     20
#define SEEDS_ALL 2000

struct run {
	struct kv_rig rig;
	struct rand rand;
	uint64_t snapshots[8];
	unsigned snapshot_count;
	uint64_t floor;
};

static uint64_t below(struct run *run, uint64_t bound)
{
	return rand_below(&run->rand, bound);
}

static void change(struct run *run)
{
	static uint8_t space[KV_RIG_SPACE];
	uint64_t count = below(run, 10) == 0 ? 1 + below(run, 5) : 1;
	uint64_t index = run->rig.count;

	for (uint64_t i = 0; i < count; i++) {
		struct kv_change made;

		kv_rig_random(&run->rig, &run->rand, &made, space);
		made.more = i + 1 < count;
		kv_rig_note(&run->rig, &made);
	}
	assert_int_equal(kv_rig_apply(&run->rig, &index), 0);
}

static void take_snapshot(struct run *run)
{
	if (run->snapshot_count < 8) {
		assert_int_equal(kv_snapshot(run->rig.kv, &run->snapshots[run->snapshot_count]), 0);
		run->snapshot_count++;
	} else {
		unsigned index = (unsigned)below(run, 8);

		kv_snapshot_release(run->rig.kv, run->snapshots[index]);
		run->snapshots[index] = run->snapshots[--run->snapshot_count];
	}
}

static void reopen(struct run *run)
{
	kv_rig_close(&run->rig);
	run->snapshot_count = 0;
	assert_int_equal(kv_rig_open(&run->rig), 0);
	kv_set_floor(run->rig.kv, run->floor);
}

static void work_a_bit(struct run *run)
{
	enum kv_need need;

	assert_int_equal(kv_work(run->rig.kv, &need), 0);
	if (need == KV_NEED_JOB) {
		int result = kv_job(run->rig.kv, 1 + below(run, 20000));

		assert_true(result == 0 || result == KV_E_IDLE);
	}
}

static void check(struct run *run, uint64_t seqno)
{
	int result = kv_rig_check(&run->rig, seqno);

	if (!result)
		result = kv_rig_check_history(&run->rig);
	if (result)
		fail_msg("%d: %s", result,
			 result == KV_E_CORRUPT ? kv_error(run->rig.kv) : run->rig.error);
}

/* The past that is promised: snapshots, and all from the floor on. */
static void check_somewhere(struct run *run)
{
	uint64_t visible = kv_visible(run->rig.kv);
	uint64_t from = run->floor > 0 ? run->floor - 1 : 0;

	assert_true(kv_history(run->rig.kv) <= run->floor + 1);
	if (visible == 0)
		return;
	uint64_t seqno = visible;
	if (run->snapshot_count > 0 && below(run, 2) == 0)
		seqno = run->snapshots[below(run, run->snapshot_count)];
	else if (below(run, 2) == 0 && from < visible)
		seqno = from + below(run, visible - from + 1);
	if (seqno > 0)
		check(run, seqno);
}

static void step(struct run *run)
{
	uint64_t what = below(run, 1000);
	struct kv *kv = run->rig.kv;

	if (what < 800)
		change(run);
	else if (what < 920)
		work_a_bit(run);
	else if (what < 935)
		take_snapshot(run);
	else if (what < 950)
		run->rig.now += below(run, 5);
	else if (what < 960)
		check_somewhere(run);
	else if (what < 970)
		(void)kv_flush(kv);
	else if (what < 980)
		assert_int_equal(kv_rig_work(&run->rig), 0);
	else if (what < 985)
		kv_compact(kv);
	else if (what < 995)
		kv_set_floor(kv, run->floor += below(run, run->rig.count - run->floor + 1));
	else
		reopen(run);
}

static void report(void *context, const char *line)
{
	(void)context;
	print_message("%s\n", line);
}

static void run_seed(uint64_t seed)
{
	struct faulty *disk = faulty_new(seed);
	struct run run = {0};
	uint64_t faults;

	print_message("seed %llu\n", (unsigned long long)seed);
	rand_init(&run.rand, seed);
	kv_rig_init(&run.rig, faulty_io(disk));
	assert_int_equal(kv_rig_open(&run.rig), 0);
	for (unsigned i = 0; i < STEPS; i++)
		step(&run);
	assert_int_equal(kv_rig_work(&run.rig), 0);
	check_somewhere(&run);
	kv_compact(run.rig.kv);
	assert_int_equal(kv_rig_work(&run.rig), 0);
	check(&run, kv_visible(run.rig.kv));
	assert_int_equal(kv_verify(run.rig.kv, report, NULL, &faults), 0);
	assert_int_equal(faults, 0);
	reopen(&run);
	check(&run, kv_visible(run.rig.kv));
	kv_rig_deinit(&run.rig);
	faulty_free(disk);
}

/* Flips a bit of a table or blob file. Returns false: there is none. */
static bool flip(struct run *run, struct faulty *disk, char name[IO_NAME_MAX + 1],
		 uint64_t *ret_bit)
{
	char(*names)[IO_NAME_MAX + 1];
	uint32_t count = faulty_files(disk, &names), found = 0;
	size_t size;

	for (uint32_t i = 0; i < count; i++)
		if (strncmp(names[i], "table-", 6) == 0 || strncmp(names[i], "blob-", 5) == 0)
			memmove(names[found++], names[i], sizeof(names[0]));
	if (found > 0) {
		/* The youngest table, which lies in level 0, every other time. */
		memcpy(name, names[below(run, 2) ? found - 1 : below(run, found)], IO_NAME_MAX + 1);
		free(faulty_file_bytes(disk, name, &size));
		*ret_bit = below(run, 8 * size);
		faulty_flip(disk, name, *ret_bit);
	}
	free(names);
	return found > 0;
}

/* Every key is right, or it is said that it can't be read. */
static void check_damaged(struct run *run)
{
	uint64_t visible = kv_visible(run->rig.kv);

	for (uint64_t i = 0; i < KV_RIG_KEYS; i++) {
		int result = kv_rig_check_key(&run->rig, i, visible, 0);

		if (result && result != KV_E_CORRUPT)
			fail_msg("%d: %s", result, run->rig.error);
	}
}

static void step_damaged(struct run *run)
{
	uint64_t what = below(run, 1000);

	if (what < 850)
		change(run);
	else if (what < 960)
		work_a_bit(run);
	else if (what < 970)
		check_damaged(run);
	else if (what < 975)
		assert_int_equal(kv_rig_work(&run->rig), 0);
	else if (what < 990)
		(void)kv_flush(run->rig.kv);
	else if (what < 993)
		kv_compact(run->rig.kv);
	else
		kv_set_floor(run->rig.kv,
			     run->floor += below(run, run->rig.count - run->floor + 1));
}

/* Whatever compaction does around a damaged file: once that is as it was, all is as the model has
 * it. */
static void run_damaged(uint64_t seed)
{
	struct faulty *disk = faulty_new(seed);
	struct run run = {0};
	char name[IO_NAME_MAX + 1] = "";
	uint64_t bit = 0;
	size_t size;

	print_message("damaged seed %llu\n", (unsigned long long)seed);
	rand_init(&run.rand, seed);
	kv_rig_init(&run.rig, faulty_io(disk));
	assert_int_equal(kv_rig_open(&run.rig), 0);
	for (unsigned i = 0; i < STEPS / 4; i++)
		step(&run);
	assert_int_equal(kv_rig_work(&run.rig), 0);
	if (flip(&run, disk, name, &bit))
		for (unsigned i = 0; i < STEPS / 2 && kv_room(run.rig.kv) != KV_E_CORRUPT; i++)
			step_damaged(&run);
	check_damaged(&run);
	kv_rig_close(&run.rig);

	uint8_t *bytes = faulty_file_bytes(disk, name, &size);
	if (bytes)
		faulty_flip(disk, name, bit);
	free(bytes);
	assert_int_equal(kv_rig_open(&run.rig), 0);
	check(&run, kv_visible(run.rig.kv));
	kv_compact(run.rig.kv);
	assert_int_equal(kv_rig_work(&run.rig), 0);
	check(&run, kv_visible(run.rig.kv));
	kv_rig_deinit(&run.rig);
	faulty_free(disk);
}

static void what_is_compacted_around_damage_is_right(void **state)
{
	const char *seed = getenv("TERN_SEED");
	uint64_t seeds = getenv("TERN_LONG") ? SEEDS_ALL : SEEDS;

	(void)state;
	if (seed) {
		run_damaged(strtoull(seed, NULL, 0));
		return;
	}
	for (uint64_t i = 1; i <= seeds; i++)
		run_damaged(i);
}

static void the_key_space_is_what_its_model_is(void **state)
{
	const char *seed = getenv("TERN_SEED");
	uint64_t seeds = getenv("TERN_LONG") ? SEEDS_ALL : SEEDS;

	(void)state;
	if (seed) {
		run_seed(strtoull(seed, NULL, 0));
		return;
	}
	for (uint64_t i = 1; i <= seeds; i++)
		run_seed(i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_key_space_is_what_its_model_is),
		cmocka_unit_test(what_is_compacted_around_damage_is_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

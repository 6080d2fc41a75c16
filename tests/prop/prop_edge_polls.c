/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A graph in a store whose owner polls, with the smallest cache that there is or a little more,
 * against a model. All calls about edges, reads and commits included, are made on a disk that
 * aborts when something blocks. Transactions are committed or rolled back, some too large for the
 * cache; checkpoints come in between, and at times the power goes.
 */

#include "base/clock.h"
#include "base/hash.h"
#include "engine/edge.h"
#include "engine/store.h"
#include "tests/lib/edge_model.h"
#include "tests/lib/faulty.h"
#include "tests/lib/test.h"

#include <stdio.h>

#define SEEDS        8
#define TRANSACTIONS 300
#define CHANGES      24

/* Turns of one call, more than any takes. */
#define TURNS_MAX 20000

static const struct store_options small = {
	.create = true,
	.polls = true,
	.log_size = 160 << 10,
	.cache_pages = PAGER_CACHE_MIN,
	.wal = {.segment_size = 4 << 20, .buffer_size = 512 << 10},
	.kv = {.memtable_size = 64 << 10, .cache_size = 1 << 20, .table_size = 64 << 10},
};

struct rig {
	uint64_t seed;
	uint64_t now_ns;
	struct faulty *disk;
	struct store *store;
	struct edge_model model;  /* with what is staged */
	struct edge_model before; /* committed */
	unsigned turns;           /* of the call under way */
};

/* How often a call had to be made again, and edges were one too many. */
static uint64_t waits, busies, refused, most_turns;

static void open_store(struct rig *rig)
{
	char error[256];
	struct store_options options = small;

	options.cache_pages <<= rig->seed % 3;
	int r = store_open(faulty_io(rig->disk), &options, &rig->store, error, sizeof(error));

	if (r != 0)
		fail_msg("opening: %d %s", r, error);
	faulty_polls(rig->disk, true);
}

static void close_store(struct rig *rig)
{
	faulty_polls(rig->disk, false);
	assert_int_equal(store_close(rig->store), 0);
	io_free(faulty_io(rig->disk));
}

static void work(struct rig *rig)
{
	enum kv_need need;

	assert_int_equal(store_work(rig->store, rig->now_ns += NS_PER_MS, &need), 0);
	if (need != KV_NEED_JOB)
		return;
	/* Another thread's. */
	faulty_polls(rig->disk, false);
	int r = store_job(rig->store);
	assert_true(r == 0 || r == STORE_E_IDLE);
	faulty_polls(rig->disk, true);
}

/* Whether the call is to be made again, which a turn of the owner's loop comes before. */
static bool again(struct rig *rig, int r)
{
	if (r != STORE_E_WAIT && r != STORE_E_BUSY) {
		rig->turns = 0;
		return false;
	}
	waits += r == STORE_E_WAIT;
	busies += r == STORE_E_BUSY;
	rig->turns++;
	most_turns = rig->turns > most_turns ? rig->turns : most_turns;
	if (rig->turns > TURNS_MAX)
		fail_msg("a call that says %d for ever", r);
	work(rig);
	return true;
}

static int add(struct rig *rig, struct edge_key edge)
{
	int r;

	do
		r = store_edge_add(rig->store, edge);
	while (again(rig, r));
	return r;
}

static int take(struct rig *rig, struct edge_key edge)
{
	int r;

	do
		r = store_edge_remove(rig->store, edge);
	while (again(rig, r));
	return r;
}

static int commit(struct rig *rig)
{
	uint64_t lsn;
	int r;

	do
		r = store_commit(rig->store, STORE_GROUP, &lsn);
	while (again(rig, r));
	return r;
}

/* Edges each of two nodes of its own, so that those of the model lie on many pages. */
static struct edge_key other_edge(uint32_t index)
{
	return (struct edge_key){.source = (int64_t)hash_mix64(1000000 + 2 * index),
				 .target = (int64_t)hash_mix64(1000001 + 2 * index)};
}

static bool add_other(struct rig *rig)
{
	int r = add(rig, other_edge(rig->model.others));

	rig->model.others += r == 0;
	refused += r == STORE_E_SIZE;
	assert_true(r == 0 || r == STORE_E_SIZE);
	return r == 0;
}

/* What doesn't fit is left out; then the transaction ends. */
static bool change(struct rig *rig)
{
	struct edge_model next = rig->model;
	struct edge_key edge;
	bool added = edge_model_change(&next, &edge);
	int r;

	/* The opposite is refused, and changes nothing. */
	if (rand_below(&next.rand, 4) == 0)
		assert_int_equal(added ? take(rig, edge) : add(rig, edge),
				 added ? STORE_E_ABSENT : STORE_E_EXISTS);
	r = added ? add(rig, edge) : take(rig, edge);
	if (r == 0) {
		rig->model = next;
		return true;
	}
	assert_int_equal(r, STORE_E_SIZE);
	refused++;
	rig->model.rand = next.rand;
	return false;
}

static void transact(struct rig *rig)
{
	bool fits = true;

	for (uint64_t left = 1 + rand_below(&rig->model.rand, CHANGES); left > 0 && fits; left--)
		fits = add_other(rig) && change(rig);
	if (rand_below(&rig->model.rand, 4) > 0) {
		assert_int_equal(commit(rig), 0);
		rig->before = rig->model;
		return;
	}
	store_rollback(rig->store);
	rig->before.rand = rig->model.rand;
	rig->model = rig->before;
}

/* What was written is read, so that there are frames to be had. */
static void compare(struct rig *rig)
{
	faulty_polls(rig->disk, false);
	assert_int_equal(store_sync(rig->store), 0);
	faulty_polls(rig->disk, true);
	edge_model_compare(&rig->model, store_pager(rig->store));
	for (uint32_t i = 0; i < rig->model.others; i++) {
		struct edge_key edge = other_edge(i);
		struct pager *pager = store_pager(rig->store);
		int r;

		while ((r = edge_has(pager, edge.source, edge.target)) == EDGE_E_WAIT ||
		       r == EDGE_E_BUSY)
			pager_poll(pager);
		assert_int_equal(r, 0);
	}
}

static void report(void *context, const char *line)
{
	fprintf(stderr, "%s\n", line);
}

static void verify(struct rig *rig)
{
	uint64_t faults = UINT64_MAX;

	faulty_polls(rig->disk, false);
	assert_int_equal(store_verify(rig->store, report, NULL, &faults), 0);
	assert_int_equal(faults, 0);
	faulty_polls(rig->disk, true);
}

static void lose_power(struct rig *rig, uint64_t seed)
{
	compare(rig);
	faulty_polls(rig->disk, false);
	faulty_restart(rig->disk, seed);
	(void)store_close(rig->store);
	io_free(faulty_io(rig->disk));
	open_store(rig);
}

static void run(uint64_t seed)
{
	struct rig rig = {.seed = seed, .disk = faulty_new(seed)};

	printf("seed %llu\n", (unsigned long long)seed);
	edge_model_init(&rig.model, seed);
	rig.before = rig.model;
	open_store(&rig);
	for (unsigned i = 0; i < TRANSACTIONS; i++) {
		transact(&rig);
		if (i % 10 == 0)
			compare(&rig);
		if (i % 40 == 39)
			verify(&rig);
		if (i % 60 == 59)
			lose_power(&rig, seed + i);
	}
	compare(&rig);
	verify(&rig);
	close_store(&rig);
	faulty_free(rig.disk);
}

static void a_graph_that_is_polled_for_is_what_the_model_says(void **state)
{
	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		run(seed);
	printf("%llu waits, %llu times busy, %llu edges too many; %llu turns at most\n",
	       (unsigned long long)waits, (unsigned long long)busies, (unsigned long long)refused,
	       (unsigned long long)most_turns);
	assert_true(waits > 0 && busies > 0 && refused > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_graph_that_is_polled_for_is_what_the_model_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The power is cut at steps of a graph's life: commits of some dozens of edges each, checkpoints,
 * splits and joins of pages. Afterwards the store has the graph of one of its commits, from the
 * last acknowledged one on, both directions agree, and so do graph and key space.
 *
 * tests/lib/cuts.h says how one step alone is taken.
 */

#include "base/byteorder.h"
#include "base/clock.h"
#include "base/defs.h"
#include "engine/btree_check.h"
#include "engine/edge.h"
#include "engine/store.h"
#include "tests/lib/cuts.h"
#include "tests/lib/edge_model.h"
#include "tests/lib/faulty.h"
#include "tests/lib/test.h"

#include <stdio.h>

#define COMMITS 90
#define PARTS   3
#define MORE    4
#define CHANGES 60

/* In the second half of a life one commit in so many clears so many nodes. */
#define CLEAR   2
#define CLEARED 6

static struct store_options small = {
	.create = true,
	.log_size = 160 << 10,
	.cache_pages = 64,
	.wal = {.segment_size = 1 << 20, .buffer_size = 512 << 10},
	.kv = {.memtable_size = 64 << 10, .cache_size = 1 << 20, .table_size = 64 << 10},
};

/* The states after each commit. */
struct past {
	struct edge_model states[COMMITS + 2 * MORE + 1];
	uint32_t commits;
	uint32_t acknowledged;
	uint64_t freed; /* pages at a time, at most */
};

static struct past past;

/* Of the owner's loop, for a call that has to be made again. */
static int turn(struct store *store)
{
	enum kv_need need;
	int r = store_work(store, clock_now_ns(), &need);

	if (r == 0 && need == KV_NEED_JOB)
		r = store_job(store);
	return r == STORE_E_IDLE ? 0 : r;
}

static int change(struct store *store, bool added, struct edge_key edge)
{
	for (;;) {
		int r = added ? store_edge_add(store, edge) : store_edge_remove(store, edge);
		if (r != STORE_E_WAIT && (r != STORE_E_BUSY || !small.polls))
			return r;
		r = turn(store);
		if (r != 0)
			return r;
	}
}

static int commit(struct store *store)
{
	enum kv_need need;
	uint64_t lsn;
	int r;

	while ((r = store_commit(store, STORE_SYNC, &lsn)) == STORE_E_BUSY || r == STORE_E_WAIT) {
		r = r == STORE_E_BUSY && !small.polls ? store_settle(store) : turn(store);
		if (r != 0)
			return r;
	}
	if (r == 0)
		r = store_work(store, clock_now_ns(), &need);
	return r == 0 ? store_sync(store) : r;
}

static const struct entry_bytes mark = {.bytes = (const uint8_t *)"commit", .size = 6};

/* Some nodes lose the edges that go out from them, so that pages are joined and given back. */
static int clear_nodes(struct store *store, struct edge_model *model)
{
	uint32_t first = (uint32_t)rand_below(&model->rand, EDGE_MODEL_NODES - CLEARED);
	int r = 0;

	for (uint32_t from = first; from < first + CLEARED; from++) {
		for (uint32_t to = 0; to < EDGE_MODEL_NODES && r == 0; to++) {
			struct edge_key edge = {edge_model_id(from), edge_model_id(to)};

			if (model->order[from][to] == 0)
				continue;
			model->order[from][to] = 0;
			model->count--;
			r = change(store, /* added= */ false, edge);
		}
	}
	return r;
}

static int change_some(struct store *store, struct edge_model *model)
{
	int r = 0;

	for (unsigned i = 0; i < CHANGES && r == 0; i++) {
		struct edge_key edge;
		bool added = edge_model_change(model, &edge);

		r = change(store, added, edge);
	}
	return r;
}

static int step(struct store *store)
{
	struct edge_model *model = &past.states[past.commits + 1];
	uint8_t text[4];
	struct store_put put = {.key = mark, .value = {text, 4}};

	*model = past.states[past.commits];
	store_le32(text, past.commits + 1);
	int r = store_put(store, &put);
	bool clears = past.commits >= COMMITS / 2 && rand_below(&model->rand, CLEAR) == 0;
	if (r == 0)
		r = clears ? clear_nodes(store, model) : change_some(store, model);
	if (r == 0) {
		past.commits++;
		r = commit(store);
	}
	if (r == 0)
		past.acknowledged = past.commits;
	past.freed = MAX(past.freed, pager_state(store_pager(store))->free_count);
	return r;
}

static int live(struct store *store, unsigned commits)
{
	for (unsigned i = 0; i < commits; i++) {
		int r = step(store);
		if (r != 0)
			return r;
		if (rand_below(&past.states[past.commits].rand, 4) != 0)
			continue;
		r = store_settle(store);
		if (r != 0)
			return r;
	}
	return 0;
}

static void report(void *context, const char *line)
{
	fprintf(stderr, "%s\n", line);
}

static void compare(struct store *store)
{
	struct entry entry;
	uint64_t faults = UINT64_MAX;
	uint32_t number = 0;
	int r = kv_get(store_kv(store), mark, 0, 0, &entry);

	assert_true(r == 0 || r == KV_E_ABSENT);
	if (r == 0)
		number = load_le32(entry.value.bytes);
	assert_true(number >= past.acknowledged && number <= past.commits);
	edge_model_compare(&past.states[number], store_pager(store));
	assert_int_equal(store_verify(store, report, NULL, &faults), 0);
	assert_int_equal(faults, 0);
	past.commits = past.acknowledged = number;
}

/* A life that nothing disturbs has what it is to be cut in. */
static void assert_life(struct store *store)
{
	struct btree tree = {.pager = store_pager(store), .root = EDGE_EDGE_ROOT};
	struct btree_stats stats;

	assert_int_equal(btree_check(&tree, NULL, &stats), 0);
	print_message("%llu leaves, %llu pages were free\n", (unsigned long long)stats.leaves,
		      (unsigned long long)past.freed);
	assert_true(stats.leaves > 1); /* splits */
	assert_true(past.freed > 0);   /* joins, and clusters that went */
	assert_true(past.states[past.commits].next > past.states[past.commits].count);
	assert_true(store_stats(store).checkpoint > 1);
}

/* Returns the steps it took. */
static uint64_t life(uint64_t cut)
{
	struct faulty *disk = faulty_new(5);
	struct store *store;
	char error[256];

	edge_model_init(&past.states[0], 11);
	past.commits = past.acknowledged = 0;
	past.freed = 0;
	faulty_cut_at(disk, cut);
	/* Opened anew, its pages have to be read. */
	for (unsigned part = 0; part < PARTS; part++) {
		if (store_open(faulty_io(disk), &small, &store, error, sizeof(error)) != 0)
			break;
		int r = live(store, COMMITS / PARTS);
		if (r != 0 && !faulty_is_off(disk))
			fail_msg("living: %d", r);
		if (cut == 0 && part + 1 == PARTS)
			assert_life(store);
		(void)store_close(store);
		io_free(faulty_io(disk));
	}
	uint64_t steps = faulty_steps(disk);

	for (unsigned again = 0; again < 2; again++) {
		faulty_restart(disk, cut * 2 + again);
		if (store_open(faulty_io(disk), &small, &store, error, sizeof(error)) != 0)
			fail_msg("opening: %s", error);
		compare(store);
		assert_int_equal(live(store, MORE), 0);
		assert_int_equal(store_close(store), 0);
	}
	faulty_free(disk);
	return steps;
}

static void no_cut_leaves_half_an_edge(void **state)
{
	small.polls = false;
	cuts_sweep(life);
}

static void nor_does_one_where_the_owner_polls(void **state)
{
	small.polls = true;
	small.cache_pages = 96;
	cuts_sweep(life);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(no_cut_leaves_half_an_edge, cuts_say_replay),
		cmocka_unit_test_teardown(nor_does_one_where_the_owner_polls, cuts_say_replay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

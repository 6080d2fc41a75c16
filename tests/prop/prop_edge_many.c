/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One node with very many edges: each is added, found and removed by a few looks at pages,
 * however many there are, and its neighbours come in order. With TERN_LONG=1 in the environment it
 * has a million.
 */

#include "base/clock.h"
#include "engine/edge.h"
#include "engine/store.h"
#include "tests/lib/faulty.h"
#include "tests/lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#define EDGES      20000
#define EDGES_LONG 1000000

/* Edges of one commit. */
#define BATCH 200

/* One edge in so many is removed. */
#define REMOVED 7

/* Neighbours that are asked for at once. */
#define ROW 1000

/* What adding an edge to a full node may cost, in times of what it costs at first. */
#define TIMES_MAX 3

#define NODE INT64_C(-7)

static const struct store_options options = {
	.create = true,
	.log_size = 8 << 20,
	.cache_pages = 4096,
	.wal = {.segment_size = 16 << 20, .buffer_size = 4 << 20},
	.kv = {.memtable_size = 8 << 20, .cache_size = 8 << 20},
};

static struct faulty *disk;
static struct store *store;
static uint64_t began_ns;

static uint32_t edges_wanted(void)
{
	return getenv("TERN_LONG") ? EDGES_LONG : EDGES;
}

static void say(const char *what, uint64_t count)
{
	uint64_t now = clock_now_ns();

	print_message("%s: %llu in %llu ms\n", what, (unsigned long long)count,
		      (unsigned long long)((now - began_ns) / NS_PER_MS));
	began_ns = now;
}

static void open_store(void)
{
	char error[256];

	if (store_open(faulty_io(disk), &options, &store, error, sizeof(error)) != 0)
		fail_msg("opening: %s", error);
}

static void commit(void)
{
	enum kv_need need;
	uint64_t lsn;
	int r;

	while ((r = store_commit(store, STORE_NONE, &lsn)) == STORE_E_BUSY)
		assert_int_equal(store_settle(store), 0);
	assert_int_equal(r, 0);
	assert_int_equal(store_work(store, clock_now_ns(), &need), 0);
}

static uint64_t looks(void)
{
	struct pager_stats stats = pager_stats(store_pager(store));

	return stats.hits + stats.misses;
}

/* The i-th edge's other end. */
static int64_t target_of(uint32_t i)
{
	return (int64_t)(i * UINT64_C(0x9E3779B97F4A7C15));
}

static bool is_removed(uint32_t i)
{
	return i % REMOVED == REMOVED - 1;
}

/* Returns the pages that were looked at. */
static uint64_t add(uint32_t from, uint32_t to)
{
	uint64_t before = looks();

	for (uint32_t i = from; i < to; i++) {
		assert_int_equal(store_edge_add(store, (struct edge_key){NODE, target_of(i)}), 0);
		if (i % BATCH == BATCH - 1)
			commit();
	}
	commit();
	return looks() - before;
}

static void remove_some(uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (!is_removed(i))
			continue;
		struct edge_key edge = {NODE, target_of(i)};
		assert_int_equal(store_edge_remove(store, edge), 0);
		if (i % (REMOVED * BATCH) == REMOVED - 1)
			commit();
	}
	commit();
}

static void compare_row(uint32_t count, bool removed)
{
	static int64_t nodes[ROW];
	uint32_t position = 0, got, next = 0, degree;

	assert_int_equal(edge_degree(store_pager(store), NODE, false, &degree), 0);
	assert_int_equal(degree, removed ? count - count / REMOVED : count);
	do {
		assert_int_equal(edge_neighbours(store_pager(store), NODE, false, &position, nodes,
						 ROW, &got),
				 0);
		for (uint32_t i = 0; i < got; i++) {
			while (removed && is_removed(next))
				next++;
			assert_true(next < count);
			assert_int_equal(nodes[i], target_of(next));
			next++;
		}
	} while (got > 0);
	while (removed && next < count && is_removed(next))
		next++;
	assert_int_equal(next, count);
}

static void report(void *context, const char *line)
{
	print_message("%s\n", line);
}

static void an_edge_of_many_costs_as_much_as_one_of_few(void **state)
{
	uint32_t count = edges_wanted(), few = count / 100;
	uint64_t faults;

	disk = faulty_new(1);
	open_store();
	began_ns = clock_now_ns();
	uint64_t first = add(0, few);
	say("added", few);
	(void)add(few, count - few);
	say("added", count - 2 * few);
	uint64_t last = add(count - few, count);
	say("added", few);
	print_message("pages looked at: %llu for the first %u, %llu for the last\n",
		      (unsigned long long)first, few, (unsigned long long)last);
	assert_true(last <= TIMES_MAX * first);
	compare_row(count, /* removed= */ false);
	say("neighbours", count);
	remove_some(count);
	say("removed", count / REMOVED);
	compare_row(count, /* removed= */ true);
	say("neighbours", count - count / REMOVED);
	assert_int_equal(store_close(store), 0);
	faulty_restart(disk, 1);
	open_store();
	say("opened", 1);
	compare_row(count, /* removed= */ true);
	assert_int_equal(store_verify(store, report, NULL, &faults), 0);
	assert_int_equal(faults, 0);
	say("verified", 1);
	assert_int_equal(store_close(store), 0);
	faulty_free(disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_edge_of_many_costs_as_much_as_one_of_few),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

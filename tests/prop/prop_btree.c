/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rand.h"
#include "engine/btree.h"
#include "engine/btree_cursor.h"
#include "tests/lib/pages.h"
#include "tests/lib/test.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Random transactions on a tree, against an array and against SQLite: inserts, replacements,
 * deletions, loads, walks both ways, commits and rollbacks, pages written behind, checkpoints,
 * power cuts with recovery. The mix drifts, so that trees grow, shrink to nothing and grow again.
 *
 * TERN_SEED replays one seed; TERN_LONG makes millions of operations on more of them.
 */

#define SEED       UINT64_C(7)
#define SEEDS      2
#define SEEDS_LONG 16
#define OPS        UINT64_C(40000)
#define OPS_LONG   UINT64_C(1000000)

/* Keys are SLOT_KEY(slot): they rise with the slots, and are not near each other. */
#define SLOTS          40000
#define SLOT_KEY(slot) (((uint64_t)(slot) << 40) + (slot))

struct undo {
	uint32_t slot;
	bool there;
	uint64_t value;
};

struct run {
	struct rand rand;
	struct pages pages;
	struct btree tree;
	sqlite3 *peer;
	sqlite3_stmt *put, *delete, *all;
	bool there[SLOTS];
	uint64_t values[SLOTS];
	uint64_t count;
	struct undo undo[2000];
	unsigned undo_count;
	unsigned grows; /* of 100 operations, those that put */
};

static void sql(struct run *run, const char *text)
{
	if (sqlite3_exec(run->peer, text, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s: %s", text, sqlite3_errmsg(run->peer));
}

static sqlite3_stmt *prepare(struct run *run, const char *text)
{
	sqlite3_stmt *statement;

	if (sqlite3_prepare_v2(run->peer, text, -1, &statement, NULL) != SQLITE_OK)
		fail_msg("%s: %s", text, sqlite3_errmsg(run->peer));
	return statement;
}

static void step(sqlite3_stmt *statement)
{
	assert_int_equal(sqlite3_step(statement), SQLITE_DONE);
	sqlite3_reset(statement);
}

static void set_up(struct run *run, uint64_t seed)
{
	memset(run, 0, sizeof(*run));
	rand_init(&run->rand, seed);
	pages_init(&run->pages, 64 + (uint32_t)rand_below(&run->rand, 400));
	assert_int_equal(pager_begin(run->pages.pager), 0);
	assert_int_equal(btree_create(run->pages.pager, &run->tree.root), 0);
	pages_commit(&run->pages);
	run->tree.pager = run->pages.pager;
	assert_int_equal(sqlite3_open(":memory:", &run->peer), SQLITE_OK);
	sql(run, "create table t (k integer primary key, v integer) without rowid");
	run->put = prepare(run, "insert or replace into t values (?, ?)");
	run->delete = prepare(run, "delete from t where k = ?");
	run->all = prepare(run, "select k, v from t order by k");
}

static void tear_down(struct run *run)
{
	sqlite3_finalize(run->put);
	sqlite3_finalize(run->delete);
	sqlite3_finalize(run->all);
	sqlite3_close(run->peer);
	pages_deinit(&run->pages);
}

/* What the array and the peer have from now on. */
static void set(struct run *run, uint32_t slot, bool there, uint64_t value)
{
	run->undo[run->undo_count++] = (struct undo){slot, run->there[slot], run->values[slot]};
	run->count += there;
	run->count -= run->there[slot];
	run->there[slot] = there;
	run->values[slot] = value;
	if (there) {
		sqlite3_bind_int64(run->put, 1, (sqlite3_int64)SLOT_KEY(slot));
		sqlite3_bind_int64(run->put, 2, (sqlite3_int64)value);
		step(run->put);
	} else {
		sqlite3_bind_int64(run->delete, 1, (sqlite3_int64)SLOT_KEY(slot));
		step(run->delete);
	}
}

static void take_back(struct run *run)
{
	while (run->undo_count) {
		const struct undo *undo = &run->undo[--run->undo_count];

		run->count += undo->there;
		run->count -= run->there[undo->slot];
		run->there[undo->slot] = undo->there;
		run->values[undo->slot] = undo->value;
	}
}

static void put_one(struct run *run, uint32_t slot)
{
	uint64_t value = rand_next(&run->rand);
	int expected = run->there[slot] ? BTREE_E_EXISTS : 0;

	if (rand_below(&run->rand, 2)) {
		assert_int_equal(btree_put(&run->tree, SLOT_KEY(slot), value), 0);
		set(run, slot, true, value);
		return;
	}
	assert_int_equal(btree_insert(&run->tree, SLOT_KEY(slot), value), expected);
	if (expected == 0)
		set(run, slot, true, value);
}

static void delete_one(struct run *run, uint32_t slot)
{
	assert_int_equal(btree_delete(&run->tree, SLOT_KEY(slot)),
			 run->there[slot] ? 0 : BTREE_E_ABSENT);
	if (run->there[slot])
		set(run, slot, false, 0);
}

static void get_one(struct run *run, uint32_t slot)
{
	uint64_t value = 0;

	assert_int_equal(btree_get(&run->tree, SLOT_KEY(slot), &value),
			 run->there[slot] ? 0 : BTREE_E_ABSENT);
	if (run->there[slot])
		assert_int_equal(value, run->values[slot]);
}

/* The first slot from 'slot' on, or the last up to it, that is there; -1: none. */
static int64_t near_slot(const struct run *run, int64_t slot, int direction)
{
	while (slot >= 0 && slot < SLOTS && !run->there[slot])
		slot += direction;
	return slot >= 0 && slot < SLOTS ? slot : -1;
}

static void expect_at(const struct run *run, const struct btree_cursor *cursor, int result,
		      int64_t slot)
{
	assert_int_equal(result, slot < 0 ? BTREE_E_ABSENT : 0);
	if (slot >= 0) {
		assert_int_equal(cursor->entry.key, SLOT_KEY(slot));
		assert_int_equal(cursor->entry.value, run->values[slot]);
	}
}

/* A walk that turns, and that changes what it walks over. */
static void walk(struct run *run, uint32_t from)
{
	int direction = rand_below(&run->rand, 2) ? 1 : -1;
	unsigned steps = (unsigned)rand_below(&run->rand, 600);
	int64_t slot = near_slot(run, from, direction);
	struct btree_cursor cursor;
	int result;

	btree_cursor_open(&run->tree, &cursor);
	result = direction > 0 ? btree_cursor_seek(&cursor, SLOT_KEY(from))
			       : btree_cursor_seek_back(&cursor, SLOT_KEY(from));
	expect_at(run, &cursor, result, slot);
	for (unsigned i = 0; i < steps && slot >= 0; i++) {
		int64_t next;

		if (rand_below(&run->rand, 50) == 0)
			direction = -direction;
		if (rand_below(&run->rand, 100) == 0 && run->undo_count < 1500)
			delete_one(run, (uint32_t)slot);
		next = near_slot(run, slot + direction, direction);
		result = direction > 0 ? btree_cursor_next(&cursor) : btree_cursor_prev(&cursor);
		expect_at(run, &cursor, result, next);
		slot = next;
	}
	btree_cursor_close(&cursor);
}

/* A row of slots from the last one that is there on. */
static void load_some(struct run *run)
{
	int64_t last = near_slot(run, SLOTS - 1, -1);
	unsigned count = (unsigned)rand_below(&run->rand, 700);
	static struct btree_entry entries[700];
	unsigned filled = 0;

	for (int64_t slot = last + 1; slot < SLOTS && filled < count; slot++)
		entries[filled++] = (struct btree_entry){SLOT_KEY(slot), rand_next(&run->rand)};
	assert_int_equal(btree_load(&run->tree, entries, filled), 0);
	for (unsigned i = 0; i < filled; i++)
		set(run, (uint32_t)(last + 1 + i), true, entries[i].value);
}

/* Slots near each other now and then, so that pages empty and fill one after the other. */
static uint32_t random_slot(struct run *run)
{
	static uint32_t near;

	if (rand_below(&run->rand, 60) == 0)
		near = (uint32_t)rand_below(&run->rand, SLOTS);
	if (rand_below(&run->rand, 3) == 0)
		return (uint32_t)rand_below(&run->rand, SLOTS);
	return near = (near + 1) % SLOTS;
}

static void operate(struct run *run)
{
	uint64_t choice = rand_below(&run->rand, 1000);
	uint32_t slot = random_slot(run);

	if (choice == 0 && run->undo_count < 1000)
		load_some(run);
	else if (choice < 5)
		walk(run, slot);
	else if (choice < 200)
		get_one(run, slot);
	else if (choice % 100 < run->grows)
		put_one(run, slot);
	else
		delete_one(run, slot);
}

static void transact(struct run *run, unsigned operations)
{
	assert_int_equal(pager_begin(run->pages.pager), 0);
	sql(run, "begin");
	run->undo_count = 0;
	for (unsigned i = 0; i < operations; i++)
		operate(run);
	if (rand_below(&run->rand, 6) == 0) {
		pager_rollback(run->pages.pager);
		sql(run, "rollback");
		take_back(run);
	} else {
		pages_commit(&run->pages);
		sql(run, "commit");
	}
	assert_int_equal(wal_sync(run->pages.wal), 0);
}

static void compare(struct run *run)
{
	struct btree_cursor cursor;
	uint64_t count;

	pages_check(&run->pages, run->tree.root, 0);
	assert_int_equal(btree_count(&run->tree, &count), 0);
	assert_int_equal(count, run->count);
	btree_cursor_open(&run->tree, &cursor);
	while (sqlite3_step(run->all) == SQLITE_ROW) {
		assert_int_equal(btree_cursor_next(&cursor), 0);
		assert_int_equal(cursor.entry.key, (uint64_t)sqlite3_column_int64(run->all, 0));
		assert_int_equal(cursor.entry.value, (uint64_t)sqlite3_column_int64(run->all, 1));
	}
	sqlite3_reset(run->all);
	assert_int_equal(btree_cursor_next(&cursor), BTREE_E_ABSENT);
	btree_cursor_close(&cursor);
}

static void recover(struct run *run)
{
	int result;

	pages_crash(&run->pages, rand_next(&run->rand));
	result = pages_recover(&run->pages, fake_wal_count(run->pages.wal));
	if (result)
		fail_msg("recovery: %d %s %s", result, run->pages.error,
			 run->pages.pager ? pager_error(run->pages.pager) : "");
	run->tree.pager = run->pages.pager;
}

static void do_something_else(struct run *run)
{
	uint64_t choice = rand_below(&run->rand, 100);

	if (choice < 50)
		assert_int_equal(pager_work(run->pages.pager, (uint32_t)rand_below(&run->rand, 50)),
				 0);
	else if (choice < 55)
		pages_checkpoint(&run->pages);
	else if (choice < 60)
		recover(run);
	else if (choice < 64)
		run->grows = 20 + (unsigned)rand_below(&run->rand, 70);
	else if (choice < 66)
		compare(run);
}

static void run_seed(uint64_t seed, uint64_t operations)
{
	struct run *run = malloc(sizeof(*run));
	uint64_t done = 0;

	assert_non_null(run);
	print_message("seed %llu, %llu operations\n", (unsigned long long)seed,
		      (unsigned long long)operations);
	set_up(run, seed);
	run->grows = 80;
	while (done < operations) {
		unsigned count = 1 + (unsigned)rand_below(&run->rand, 60);

		transact(run, count);
		do_something_else(run);
		done += count;
	}
	recover(run);
	compare(run);
	tear_down(run);
	free(run);
}

static void a_tree_does_what_an_array_and_sqlite_do(void **state)
{
	const char *seed = getenv("TERN_SEED");
	bool is_long = getenv("TERN_LONG") != NULL;
	uint64_t operations = is_long ? OPS_LONG : OPS;

	if (seed) {
		run_seed(strtoull(seed, NULL, 10), operations);
		return;
	}
	for (uint64_t i = 0; i < (is_long ? SEEDS_LONG : SEEDS); i++)
		run_seed(SEED + i, operations);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tree_does_what_an_array_and_sqlite_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

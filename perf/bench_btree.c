/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bench_btree - the B+tree against SQLite and LMDB
 *
 *	bench_btree [--json] [--repeat N] [--folder F] [--count N]
 *
 * Each makes a table of N keys of 8 bytes with values of 8 bytes: random inserts in transactions of
 * BATCH that are durable when their commit returns, up to the moment when all pages are in their
 * file too (a checkpoint); the same with rising keys (ours by its bulk load); random gets
 * in one reading transaction; a scan of everything in order. SQLite: a WITHOUT ROWID table, WAL,
 * synchronous=FULL, prepared statements; LMDB: MDB_INTEGERKEY, synced commits. The caches
 * hold everything. In turns, in the same folder.
 */

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "engine/btree_cursor.h"
#include "perf/lib/bench.h"
#include "perf/lib/paged.h"
#include "perf/lib/sql.h"
#include "perf/store/place.h"

#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH       1000
#define CACHE_PAGES 32768
#define MAP_SIZE    (UINT64_C(1) << 30)

enum measure { INSERT, LOAD, GET, SCAN, MEASURE_COUNT };
enum engine { OURS, SQLITE, LMDB, ENGINE_COUNT };

static const char *const measure_names[] = {"insert", "load", "get", "scan"};
static const char *const engine_names[] = {"tern", "sqlite", "lmdb"};

struct options {
	struct bench_options bench;
	uint64_t count;
};

/* Things a second, of one engine in one turn. */
struct rates {
	double values[MEASURE_COUNT];
};

/* What an engine does with a fresh folder; each aborts where something fails. */
struct engine_ops {
	void *(*open)(const char *folder);
	/* Keys from first to first + count - 1, in one durable transaction; rising or spread. */
	void (*insert)(void *engine, uint64_t first, uint64_t count, bool rising);
	void (*checkpoint)(void *engine);
	uint64_t (*get)(void *engine, uint64_t count); /* all keys; a sum */
	uint64_t (*scan)(void *engine);                /* a sum */
	void (*close)(void *engine);
};

static uint64_t key_of(uint64_t index, bool rising)
{
	return rising ? (UINT64_C(1) << 63) + index : hash_mix64(index) >> 1;
}

/* ---- ours ---- */

struct ours {
	struct paged pages;
	struct btree tree;
};

static void *ours_open(const char *folder)
{
	const struct wal_options wal_options = {.next_lsn = 1, .buffer_size = 8 << 20};
	struct ours *ours = calloc(1, sizeof(*ours));

	CHECK(ours);
	paged_open(folder, CACHE_PAGES, &wal_options, &ours->pages);
	ours->tree.pager = ours->pages.pager;
	CHECK(pager_begin(ours->pages.pager) == 0);
	CHECK(btree_create(ours->pages.pager, &ours->tree.root) == 0);
	CHECK(pager_commit(ours->pages.pager, 1) == 0);
	return ours;
}

static void ours_insert(void *engine, uint64_t first, uint64_t count, bool rising)
{
	struct ours *ours = engine;
	struct btree_entry entries[BATCH];

	CHECK(pager_begin(ours->pages.pager) == 0);
	for (uint64_t i = 0; i < count; i++) {
		entries[i] = (struct btree_entry){key_of(first + i, rising), first + i};
		if (!rising)
			CHECK(btree_insert(&ours->tree, entries[i].key, entries[i].value) == 0);
	}
	if (rising)
		CHECK(btree_load(&ours->tree, entries, count) == 0);
	paged_commit(&ours->pages);
}

static void ours_checkpoint(void *engine)
{
	struct ours *ours = engine;

	paged_checkpoint(&ours->pages);
}

static uint64_t ours_get(void *engine, uint64_t count)
{
	struct ours *ours = engine;
	uint64_t sum = 0, value;

	for (uint64_t i = 0; i < count; i++) {
		CHECK(btree_get(&ours->tree, key_of(i, false), &value) == 0);
		sum += value;
	}
	return sum;
}

static uint64_t ours_scan(void *engine)
{
	struct ours *ours = engine;
	struct btree_cursor cursor;
	uint64_t sum = 0;

	btree_cursor_open(&ours->tree, &cursor);
	while (btree_cursor_next(&cursor) == 0)
		sum += cursor.entry.value;
	btree_cursor_close(&cursor);
	return sum;
}

static void ours_close(void *engine)
{
	struct ours *ours = engine;

	paged_close(&ours->pages);
	free(ours);
}

/* ---- SQLite ---- */

struct lite {
	sqlite3 *base;
	sqlite3_stmt *insert, *get, *scan;
};

static void *lite_open(const char *folder)
{
	struct lite *lite = calloc(1, sizeof(*lite));

	CHECK(lite);
	lite->base = sql_open(folder, 131072);
	sql_do(lite->base, "create table t (k integer primary key, v integer) without rowid");
	lite->insert = sql_prepare(lite->base, "insert into t values (?, ?)");
	lite->get = sql_prepare(lite->base, "select v from t where k = ?");
	lite->scan = sql_prepare(lite->base, "select k, v from t order by k");
	return lite;
}

static void lite_insert(void *engine, uint64_t first, uint64_t count, bool rising)
{
	struct lite *lite = engine;

	sql_do(lite->base, "begin");
	for (uint64_t i = 0; i < count; i++) {
		/* Its keys are signed: below 0 for those with the highest bit, which rise too. */
		sqlite3_bind_int64(lite->insert, 1, (sqlite3_int64)key_of(first + i, rising));
		sqlite3_bind_int64(lite->insert, 2, (sqlite3_int64)(first + i));
		CHECK(sqlite3_step(lite->insert) == SQLITE_DONE);
		sqlite3_reset(lite->insert);
	}
	sql_do(lite->base, "commit");
}

static void lite_checkpoint(void *engine)
{
	struct lite *lite = engine;

	sql_do(lite->base, "pragma wal_checkpoint(truncate)");
}

static uint64_t lite_get(void *engine, uint64_t count)
{
	struct lite *lite = engine;
	uint64_t sum = 0;

	sql_do(lite->base, "begin");
	for (uint64_t i = 0; i < count; i++) {
		sqlite3_bind_int64(lite->get, 1, (sqlite3_int64)key_of(i, false));
		CHECK(sqlite3_step(lite->get) == SQLITE_ROW);
		sum += (uint64_t)sqlite3_column_int64(lite->get, 0);
		sqlite3_reset(lite->get);
	}
	sql_do(lite->base, "commit");
	return sum;
}

static uint64_t lite_scan(void *engine)
{
	struct lite *lite = engine;
	uint64_t sum = 0;

	while (sqlite3_step(lite->scan) == SQLITE_ROW)
		sum += (uint64_t)sqlite3_column_int64(lite->scan, 1);
	sqlite3_reset(lite->scan);
	return sum;
}

static void lite_close(void *engine)
{
	struct lite *lite = engine;

	sqlite3_finalize(lite->insert);
	sqlite3_finalize(lite->get);
	sqlite3_finalize(lite->scan);
	CHECK(sqlite3_close(lite->base) == SQLITE_OK);
	free(lite);
}

/* ---- LMDB ---- */

struct map {
	MDB_env *env;
	MDB_dbi base;
};

static void *map_open(const char *folder)
{
	struct map *map = calloc(1, sizeof(*map));
	MDB_txn *txn;

	CHECK(map && mdb_env_create(&map->env) == 0);
	CHECK(mdb_env_set_mapsize(map->env, MAP_SIZE) == 0);
	CHECK(mdb_env_open(map->env, folder, 0, 0600) == 0);
	CHECK(mdb_txn_begin(map->env, NULL, 0, &txn) == 0);
	CHECK(mdb_dbi_open(txn, NULL, MDB_INTEGERKEY | MDB_CREATE, &map->base) == 0);
	CHECK(mdb_txn_commit(txn) == 0);
	return map;
}

static void map_insert(void *engine, uint64_t first, uint64_t count, bool rising)
{
	struct map *map = engine;
	MDB_txn *txn;

	CHECK(mdb_txn_begin(map->env, NULL, 0, &txn) == 0);
	for (uint64_t i = 0; i < count; i++) {
		uint64_t number = key_of(first + i, rising), content = first + i;
		MDB_val key = {sizeof(number), &number}, value = {sizeof(content), &content};

		CHECK(mdb_put(txn, map->base, &key, &value,
			      rising ? MDB_APPEND : MDB_NOOVERWRITE) == 0);
	}
	CHECK(mdb_txn_commit(txn) == 0);
}

static void map_checkpoint(void *engine)
{
	/* Each commit wrote and synced its pages. */
}

static uint64_t map_get(void *engine, uint64_t count)
{
	struct map *map = engine;
	uint64_t sum = 0;
	MDB_txn *txn;

	CHECK(mdb_txn_begin(map->env, NULL, MDB_RDONLY, &txn) == 0);
	for (uint64_t i = 0; i < count; i++) {
		uint64_t number = key_of(i, false), content;
		MDB_val key = {sizeof(number), &number}, value;

		CHECK(mdb_get(txn, map->base, &key, &value) == 0);
		memcpy(&content, value.mv_data, sizeof(content));
		sum += content;
	}
	mdb_txn_abort(txn);
	return sum;
}

static uint64_t map_scan(void *engine)
{
	struct map *map = engine;
	MDB_cursor *cursor;
	MDB_val key, value;
	uint64_t sum = 0;
	MDB_txn *txn;

	CHECK(mdb_txn_begin(map->env, NULL, MDB_RDONLY, &txn) == 0);
	CHECK(mdb_cursor_open(txn, map->base, &cursor) == 0);
	while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
		uint64_t content;

		memcpy(&content, value.mv_data, sizeof(content));
		sum += content;
	}
	mdb_cursor_close(cursor);
	mdb_txn_abort(txn);
	return sum;
}

static void map_close(void *engine)
{
	struct map *map = engine;

	mdb_env_close(map->env);
	free(map);
}

/* ---- turns ---- */

static const struct engine_ops engines[ENGINE_COUNT] = {
	[OURS] = {ours_open, ours_insert, ours_checkpoint, ours_get, ours_scan, ours_close},
	[SQLITE] = {lite_open, lite_insert, lite_checkpoint, lite_get, lite_scan, lite_close},
	[LMDB] = {map_open, map_insert, map_checkpoint, map_get, map_scan, map_close},
};

static double rate(uint64_t count, uint64_t since)
{
	return (double)count * 1e9 / (double)(clock_now_ns() - since);
}

static double fill(const struct engine_ops *ops, void *engine, uint64_t count, bool rising)
{
	uint64_t start = clock_now_ns();

	for (uint64_t at = 0; at < count; at += BATCH)
		ops->insert(engine, at, BATCH, rising);
	ops->checkpoint(engine);
	return rate(count, start);
}

static struct rates measure(enum engine which, const struct options *options)
{
	const struct engine_ops *ops = &engines[which];
	uint64_t count = options->count, start, sum = count * (count - 1) / 2;
	struct rates rates;
	struct place place;
	void *engine;

	place_make(options->bench.folder, &place);
	engine = ops->open(place.path);
	rates.values[INSERT] = fill(ops, engine, count, false);
	start = clock_now_ns();
	CHECK(ops->get(engine, count) == sum);
	rates.values[GET] = rate(count, start);
	start = clock_now_ns();
	CHECK(ops->scan(engine) == sum);
	rates.values[SCAN] = rate(count, start);
	ops->close(engine);
	place_remove(&place);

	place_make(options->bench.folder, &place);
	engine = ops->open(place.path);
	rates.values[LOAD] = fill(ops, engine, count, true);
	CHECK(ops->scan(engine) == sum);
	ops->close(engine);
	place_remove(&place);
	return rates;
}

static bool parse(int argc, char **argv, struct options *options, int *ret_status)
{
	const struct cmd_option known[] = {
		BENCH_OPTIONS(options->bench),
		{"count", "N", "keys (200000)", .number = &options->count, .min = BATCH,
		 .max = UINT32_MAX},
	};

	*options = (struct options){.bench = {.folder = "/var/tmp", .repeat = 5}, .count = 200000};
	if (!cmd_options(
		    "bench_btree",
		    "Fills trees of 64-bit keys, reads and scans them, beside SQLite and LMDB.\n",
		    known, ARRAY_COUNT(known), argc, argv, ret_status))
		return false;
	options->count -= options->count % (BATCH);
	return true;
}

int main(int argc, char **argv)
{
	static struct paired paireds[ENGINE_COUNT][MEASURE_COUNT];
	static char names[ENGINE_COUNT][MEASURE_COUNT][40];
	struct options options;
	int status;

	if (!parse(argc, argv, &options, &status))
		return status;
	for (unsigned turn = 0; turn < options.bench.repeat; turn++) {
		struct rates ours = measure(OURS, &options);

		for (unsigned peer = SQLITE; peer < ENGINE_COUNT; peer++) {
			struct rates theirs = measure(peer, &options);

			for (unsigned i = 0; i < MEASURE_COUNT; i++)
				paired_add(&paireds[peer][i], theirs.values[i], ours.values[i]);
		}
	}
	for (unsigned peer = SQLITE; peer < ENGINE_COUNT; peer++)
		for (unsigned i = 0; i < MEASURE_COUNT; i++) {
			snprintf(names[peer][i], sizeof(names[peer][i]), "btree %s, %s as raw",
				 measure_names[i], engine_names[peer]);
			paireds[peer][i].name = names[peer][i];
			paireds[peer][i].unit = "keys/s";
			paired_print(&paireds[peer][i], options.bench.json);
		}
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bench_edges - a graph on pages against SQLite
 *
 *	bench_edges [--json] [--repeat N] [--folder F] [--count N]
 *
 * Each adds N edges of N / 16 nodes, a quarter of them from one node, in transactions of BATCH that
 * are durable when their commit returns, up to the moment when all pages are in their file too (a
 * checkpoint); reads the neighbours of nodes in the order of adding, of all the small ones, and of
 * the large one; and asks for degrees. Tern: engine/edge.c, both directions. SQLite: a table
 * edge(src, seq, dst) WITHOUT ROWID with the key (src, seq), and an index (dst, src) that is
 *unique: what the incoming direction, and an edge's being there once, take. WAL, synchronous=FULL,
 *prepared statements. The caches hold everything. In turns, in the same folder.
 */

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "engine/edge.h"
#include "perf/lib/bench.h"
#include "perf/lib/paged.h"
#include "perf/lib/sql.h"
#include "perf/store/place.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH       500
#define CACHE_PAGES 65536

/* The node that a quarter of the edges come from. */
#define HUB 1

/* Neighbours that one call of edge_neighbours() gives. */
#define PIECE 256

enum measure { ADD, SCAN, SCAN_HUB, DEGREE, MEASURE_COUNT };

static const char *const measure_names[] = {"add", "neighbour scans", "neighbours of one node",
					    "degree"};
static const char *const measure_units[] = {"edges/s", "nodes/s", "edges/s", "nodes/s"};

struct options {
	struct bench_options bench;
	uint64_t count;
};

/* Things a second, of one engine in one turn; and sums, which have to be the same. */
struct rates {
	double values[MEASURE_COUNT];
	uint64_t scanned;
	uint64_t degrees;
};

/* What an engine does with a fresh folder; each aborts where something fails. */
struct engine_ops {
	void *(*open)(const char *folder);
	/* Edges from first to first + count - 1, in one durable transaction. */
	void (*add)(void *engine, uint64_t first, uint64_t count, uint64_t nodes);
	void (*checkpoint)(void *engine);
	uint64_t (*scan)(void *engine, int64_t node); /* a sum that tells the order */
	uint64_t (*degree)(void *engine, int64_t node);
	void (*close)(void *engine);
};

/* No edge comes twice: targets differ. */
static int64_t source_of(uint64_t index, uint64_t nodes)
{
	return index % 4 == 0 ? HUB : (int64_t)(2 + hash_mix64(index) % nodes);
}

static int64_t target_of(uint64_t index)
{
	return (int64_t)(hash_mix64(index ^ UINT64_C(1) << 40) >> 1);
}

static uint64_t add_up(uint64_t sum, int64_t node)
{
	return sum * 31 + (uint64_t)node;
}

/* ---- ours ---- */

static void *ours_open(const char *folder)
{
	const struct wal_options wal_options = {
		.next_lsn = 1, .segment_size = 128 << 20, .buffer_size = 32 << 20};
	struct paged *ours = calloc(1, sizeof(*ours));

	CHECK(ours);
	paged_open(folder, CACHE_PAGES, &wal_options, ours);
	CHECK(edge_open(ours->pager, 1) == 0);
	return ours;
}

static void ours_add(void *engine, uint64_t first, uint64_t count, uint64_t nodes)
{
	struct paged *ours = engine;

	CHECK(pager_begin(ours->pager) == 0);
	for (uint64_t i = first; i < first + count; i++)
		CHECK(edge_add(ours->pager, source_of(i, nodes), target_of(i)) == 0);
	paged_commit(ours);
}

static void ours_checkpoint(void *engine)
{
	paged_checkpoint(engine);
}

static uint64_t ours_scan(void *engine, int64_t node)
{
	struct paged *ours = engine;
	int64_t found[PIECE];
	uint32_t position = 0;
	uint64_t sum = 0;
	uint32_t count;

	do {
		CHECK(edge_neighbours(ours->pager, node, /* incoming= */ false, &position, found,
				      PIECE, &count) == 0);
		for (uint32_t i = 0; i < count; i++)
			sum = add_up(sum, found[i]);
	} while (count == PIECE);
	return sum;
}

static uint64_t ours_degree(void *engine, int64_t node)
{
	struct paged *ours = engine;
	uint32_t degree;

	CHECK(edge_degree(ours->pager, node, /* incoming= */ false, &degree) == 0);
	return degree;
}

static void ours_close(void *engine)
{
	struct paged *ours = engine;

	paged_close(ours);
	free(ours);
}

/* ---- SQLite ---- */

struct lite {
	sqlite3 *base;
	sqlite3_stmt *add, *scan, *degree;
};

static void *lite_open(const char *folder)
{
	struct lite *lite = calloc(1, sizeof(*lite));

	CHECK(lite);
	lite->base = sql_open(folder, 262144);
	sql_do(lite->base, "create table edge (src integer, seq integer, dst integer, "
			   "primary key (src, seq)) without rowid");
	sql_do(lite->base, "create unique index incoming on edge (dst, src)");
	lite->add = sql_prepare(lite->base, "insert into edge values (?, ?, ?)");
	lite->scan = sql_prepare(lite->base, "select dst from edge where src = ? order by seq");
	lite->degree = sql_prepare(lite->base, "select count(*) from edge where src = ?");
	return lite;
}

static void lite_add(void *engine, uint64_t first, uint64_t count, uint64_t nodes)
{
	struct lite *lite = engine;

	sql_do(lite->base, "begin");
	for (uint64_t i = first; i < first + count; i++) {
		sqlite3_bind_int64(lite->add, 1, source_of(i, nodes));
		/* It rises, as a sequence would. */
		sqlite3_bind_int64(lite->add, 2, (sqlite3_int64)i);
		sqlite3_bind_int64(lite->add, 3, target_of(i));
		CHECK(sqlite3_step(lite->add) == SQLITE_DONE);
		sqlite3_reset(lite->add);
	}
	sql_do(lite->base, "commit");
}

static void lite_checkpoint(void *engine)
{
	struct lite *lite = engine;

	sql_do(lite->base, "pragma wal_checkpoint(truncate)");
}

static uint64_t lite_scan(void *engine, int64_t node)
{
	struct lite *lite = engine;
	uint64_t sum = 0;

	sqlite3_bind_int64(lite->scan, 1, node);
	while (sqlite3_step(lite->scan) == SQLITE_ROW)
		sum = add_up(sum, sqlite3_column_int64(lite->scan, 0));
	sqlite3_reset(lite->scan);
	return sum;
}

static uint64_t lite_degree(void *engine, int64_t node)
{
	struct lite *lite = engine;

	sqlite3_bind_int64(lite->degree, 1, node);
	CHECK(sqlite3_step(lite->degree) == SQLITE_ROW);
	uint64_t degree = (uint64_t)sqlite3_column_int64(lite->degree, 0);
	sqlite3_reset(lite->degree);
	return degree;
}

static void lite_close(void *engine)
{
	struct lite *lite = engine;

	sqlite3_finalize(lite->add);
	sqlite3_finalize(lite->scan);
	sqlite3_finalize(lite->degree);
	CHECK(sqlite3_close(lite->base) == SQLITE_OK);
	free(lite);
}

/* ---- turns ---- */

static const struct engine_ops ours_ops = {ours_open, ours_add,    ours_checkpoint,
					   ours_scan, ours_degree, ours_close};
static const struct engine_ops lite_ops = {lite_open, lite_add,    lite_checkpoint,
					   lite_scan, lite_degree, lite_close};

static double rate(uint64_t count, uint64_t since)
{
	return (double)count * 1e9 / (double)(clock_now_ns() - since);
}

static void read_all(const struct engine_ops *ops, void *engine, uint64_t count, uint64_t nodes,
		     struct rates *rates)
{
	uint64_t start = clock_now_ns();

	for (uint64_t i = 0; i < nodes; i++)
		rates->scanned += ops->scan(engine, (int64_t)(2 + hash_mix64(i) % nodes));
	rates->values[SCAN] = rate(nodes, start);
	start = clock_now_ns();
	rates->scanned += ops->scan(engine, HUB);
	rates->values[SCAN_HUB] = rate(count / 4, start);
	start = clock_now_ns();
	for (uint64_t i = 0; i < nodes; i++)
		rates->degrees += ops->degree(engine, (int64_t)(2 + hash_mix64(i) % nodes));
	rates->values[DEGREE] = rate(nodes, start);
	CHECK(ops->degree(engine, HUB) == count / 4);
}

static struct rates measure(const struct engine_ops *ops, const struct options *options)
{
	uint64_t nodes = options->count / 16;
	struct rates rates = {0};
	struct place place;

	place_make(options->bench.folder, &place);
	void *engine = ops->open(place.path);
	uint64_t start = clock_now_ns();
	for (uint64_t at = 0; at < options->count; at += BATCH)
		ops->add(engine, at, BATCH, nodes);
	ops->checkpoint(engine);
	rates.values[ADD] = rate(options->count, start);
	read_all(ops, engine, options->count, nodes, &rates);
	ops->close(engine);
	place_remove(&place);
	return rates;
}

static bool parse(int argc, char **argv, struct options *options, int *ret_status)
{
	const struct cmd_option known[] = {
		BENCH_OPTIONS(options->bench),
		{"count", "N", "edges (100000)", .number = &options->count, .min = 4 * BATCH,
		 .max = UINT32_MAX},
	};

	*options = (struct options){.bench = {.folder = "/var/tmp", .repeat = 5}, .count = 100000};
	if (!cmd_options("bench_edges",
			 "Adds edges of a graph durably, and reads them, beside SQLite.\n", known,
			 ARRAY_COUNT(known), argc, argv, ret_status))
		return false;
	options->count -= options->count % (4 * BATCH);
	return true;
}

int main(int argc, char **argv)
{
	static struct paired paireds[MEASURE_COUNT];
	static char names[MEASURE_COUNT][60];
	struct options options;
	int status;

	if (!parse(argc, argv, &options, &status))
		return status;
	for (unsigned turn = 0; turn < options.bench.repeat; turn++) {
		struct rates ours = measure(&ours_ops, &options);
		struct rates theirs = measure(&lite_ops, &options);

		CHECK(ours.scanned == theirs.scanned && ours.degrees == theirs.degrees);
		for (unsigned i = 0; i < MEASURE_COUNT; i++)
			paired_add(&paireds[i], theirs.values[i], ours.values[i]);
	}
	for (unsigned i = 0; i < MEASURE_COUNT; i++) {
		snprintf(names[i], sizeof(names[i]), "edges %s, sqlite as raw", measure_names[i]);
		paireds[i].name = names[i];
		paireds[i].unit = measure_units[i];
		paired_print(&paireds[i], options.bench.json);
	}
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bench_feed - what a reader of changes reads, and how fast they come
 *
 *      bench_feed [--json] [--keys N] [FOLDER]
 *
 * 300,000 keys of 16 bytes with values of 200 are written and compacted into one run. Then 1% of
 * them change, and the feed is read from there:
 *
 *      flushed     the changed ones lie in tables of their own, as they come from memtables
 *      scattered   compacted into the run, all over it: nearly every block has one of them
 *      neighbours  compacted into the run, keys in a row
 *      memory      not flushed
 *      everything  all changes since the first
 *
 * The raw thing is the scan that doesn't skip: every block of every table, once, in the order of
 * keys. Then the same with N keys (800,000), which are more than twice the cache of blocks:
 *
 *      larger      all changes since the first, sorted through a file
 *      windows     the same without a file, as a poll core reads them
 *
 * Then a store takes TAIL_COMMITS durable commits one after the other, with a reader at its live
 * end: the time from the call of store_commit() until the change is durable (raw), until the
 * reader has it on the owner's loop, and until another thread has it, handed over by a ring, as
 * the owner is the only one to read a feed.
 */

#include "base/check.h"
#include "base/clock.h"
#include "base/defs.h"
#include "base/rand.h"
#include "base/spsc.h"
#include "engine/feed.h"
#include "engine/io.h"
#include "engine/ledger.h"
#include "engine/store.h"
#include "perf/lib/paired.h"
#include "perf/store/place.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_COUNT    UINT64_C(300000)
#define CHANGED      (KEY_COUNT / 100)
#define KEY_SIZE     16
#define VALUE_SIZE   200
#define TAIL_COMMITS 2000
#define LARGER_COUNT UINT64_C(800000)

struct bench {
	struct io *io;
	struct ledger *ledger;
	struct kv *kv;
	uint64_t lsn;
	struct rand rand;
	bool json;
};

static void check(const struct bench *bench, int rc, const char *what)
{
	if (rc == 0)
		return;
	fprintf(stderr, "bench_feed: %s: %d %s\n", what, rc, bench->kv ? kv_error(bench->kv) : "");
	exit(1);
}

static void open_kv(struct bench *bench)
{
	const struct ledger_options ledger_options = {.create = true};
	const struct kv_options options = {.memtable_size = 8 << 20, .table_size = 4 << 20};
	char error[256];

	check(bench, ledger_open(bench->io, &ledger_options, &bench->ledger, error, sizeof(error)),
	      "ledger_open");
	check(bench, kv_open(bench->io, bench->ledger, &options, &bench->kv, error, sizeof(error)),
	      "kv_open");
	kv_set_visible(bench->kv, bench->lsn);
	kv_set_durable(bench->kv, bench->lsn);
}

static void close_kv(struct bench *bench)
{
	kv_close(bench->kv);
	ledger_close(bench->ledger);
}

static void settle(struct bench *bench)
{
	for (;;) {
		enum kv_need need;
		int rc;

		check(bench, kv_work(bench->kv, &need), "kv_work");
		if (need == KV_NEED_NOTHING)
			return;
		if (need == KV_NEED_WORK)
			continue;
		rc = kv_job(bench->kv, 1 << 20);
		check(bench, rc == KV_E_IDLE ? 0 : rc, "kv_job");
	}
}

static void flush(struct bench *bench)
{
	settle(bench);
	check(bench, kv_flush(bench->kv), "kv_flush");
	settle(bench);
}

static void compact(struct bench *bench)
{
	kv_compact(bench->kv);
	settle(bench);
}

static void put(struct bench *bench, uint64_t number)
{
	uint8_t key[KEY_SIZE + 1], value[VALUE_SIZE];
	struct record record = {.type = RECORD_KV_SET, .lsn = ++bench->lsn, .timestamp = 1};
	int rc;

	snprintf((char *)key, sizeof(key), "%016llu", (unsigned long long)number);
	for (unsigned i = 0; i < VALUE_SIZE; i += 8)
		memcpy(value + i, &(uint64_t){rand_next(&bench->rand)}, 8);
	record.kv.key = (struct record_bytes){key, KEY_SIZE};
	record.kv.value = (struct record_bytes){value, VALUE_SIZE};
	while ((rc = kv_apply(bench->kv, &record, false)) == KV_E_BUSY)
		settle(bench);
	check(bench, rc, "kv_apply");
	kv_set_visible(bench->kv, bench->lsn);
	kv_set_durable(bench->kv, bench->lsn);
}

struct cost {
	uint64_t events;
	uint64_t bytes;   /* of tables */
	uint64_t scratch; /* of the feed's own file */
	double seconds;
};

static void scan_table(const struct bench *bench, struct table *table, uint64_t since,
		       struct cost *cost)
{
	const struct table_cursor_options options = {0};
	struct table_cursor *cursor;
	uint64_t blocks, bytes;
	int rc;

	check(bench, table_cursor_new(table, &options, &cursor), "table_cursor_new");
	for (rc = table_cursor_first(cursor); !rc; rc = table_cursor_next(cursor))
		cost->events += table_cursor_entry(cursor)->seqno >= since;
	check(bench, rc == TABLE_E_END ? 0 : rc, table_error(table));
	table_cursor_cost(cursor, &blocks, &bytes);
	cost->bytes += bytes;
	table_cursor_free(cursor);
}

/* Every block of every table, once. */
static struct cost scan(const struct bench *bench, uint64_t since)
{
	uint64_t begun = clock_now_ns();
	struct cost cost = {0};
	struct kv_view *view;

	check(bench, kv_view_open(bench->kv, &view), "kv_view_open");
	for (uint32_t i = 0; i < kv_view_count(view); i++) {
		struct table *table = kv_view_source(view, i).table;

		if (table)
			scan_table(bench, table, since, &cost);
	}
	kv_view_close(view);
	cost.seconds = (double)(clock_now_ns() - begun) / 1e9;
	return cost;
}

static struct cost read_since(struct bench *bench, uint64_t seqno, bool with_file)
{
	const struct feed_options options = {
		.since.seqno = seqno,
		.scratch = with_file ? bench->io : NULL,
	};
	struct feed_event event;
	struct cost cost = {0};
	uint64_t begun = clock_now_ns();
	struct feed *feed;
	int rc;

	check(bench, feed_open(bench->kv, &options, &feed), "feed_open");
	while (!(rc = feed_next(feed, &event)))
		cost.events++;
	check(bench, rc == FEED_E_END ? 0 : rc, feed_error(feed));
	cost.bytes = feed_cost(feed).bytes;
	cost.scratch = feed_cost(feed).scratch;
	feed_close(feed);
	cost.seconds = (double)(clock_now_ns() - begun) / 1e9;
	return cost;
}

static void print(const struct bench *bench, const char *name, struct cost ours, struct cost full)
{
	double share = full.bytes ? (double)ours.bytes / (double)full.bytes : 0;
	double rate = (double)ours.events / ours.seconds;

	CHECK(ours.events == full.events);
	printf(bench->json ? "{\"event\":\"feed\",\"name\":\"%s\",\"events\":%llu,\"bytes\":%llu,"
			     "\"scan_bytes\":%llu,\"share\":%.4f,\"scratch_bytes\":%llu,"
			     "\"events_per_s\":%.0f,\"scan_s\":%.3f}\n"
			   : "%-12s %8llu events  %10llu bytes; a scan %10llu: %6.3f times; "
			     "own file %10llu; %9.0f events/s; a scan %.3f s\n",
	       name, (unsigned long long)ours.events, (unsigned long long)ours.bytes,
	       (unsigned long long)full.bytes, share, (unsigned long long)ours.scratch, rate,
	       full.seconds);
}

/* With an empty cache each, so that bytes are those of files. */
static void measure(struct bench *bench, const char *name, uint64_t since, bool with_file)
{
	struct cost full, ours;

	close_kv(bench);
	open_kv(bench);
	full = scan(bench, since);
	close_kv(bench);
	open_kv(bench);
	ours = read_since(bench, since, with_file);
	print(bench, name, ours, full);
}

static void put_all(struct bench *bench, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		put(bench, i * UINT64_C(7919) % count);
	flush(bench);
	compact(bench);
}

static uint64_t change_scattered(struct bench *bench)
{
	uint64_t since = bench->lsn + 1;

	for (uint64_t i = 0; i < CHANGED; i++)
		put(bench, rand_below(&bench->rand, KEY_COUNT));
	return since;
}

static uint64_t change_neighbours(struct bench *bench)
{
	uint64_t since = bench->lsn + 1;

	for (uint64_t i = 0; i < CHANGED; i++)
		put(bench, KEY_COUNT / 3 + i);
	return since;
}

static void run(struct bench *bench)
{
	uint64_t since;
	struct cost cost;

	put_all(bench, KEY_COUNT);
	since = change_scattered(bench);
	cost = read_since(bench, since, true);
	print(bench, "memory", cost, cost);
	flush(bench);
	measure(bench, "flushed", since, true);
	compact(bench);
	measure(bench, "scattered", since, true);
	since = change_neighbours(bench);
	flush(bench);
	compact(bench);
	measure(bench, "neighbours", since, true);
	measure(bench, "everything", 1, true);
}

static void run_larger(struct bench *bench, uint64_t count)
{
	put_all(bench, count);
	measure(bench, "larger", 1, true);
	measure(bench, "windows", 1, false);
}

/* One run in a folder of its own. */
static void run_in(struct bench *bench, const struct place *place, uint64_t larger)
{
	char path[PATH_MAX];

	place_of(place, larger ? "larger" : "kv", path);
	rand_init(&bench->rand, 1);
	bench->lsn = 0;
	check(bench, io_plain_new(path, true, &bench->io), "io_plain_new");
	open_kv(bench);
	if (larger)
		run_larger(bench, larger);
	else
		run(bench);
	close_kv(bench);
	io_free(bench->io);
	bench->kv = NULL;
}

static double since_us(uint64_t begun)
{
	return (double)(clock_now_ns() - begun) / 1e3;
}

/* A thread that takes events from the owner: the ring has their numbers, and back go the times. */
struct other {
	pthread_t thread;
	struct spsc events, times;
	uint64_t event_slots[2], time_slots[2];
};

static void *take_events(void *argument)
{
	struct other *other = argument;
	uint64_t seqno, now;

	for (unsigned taken = 0; taken < TAIL_COMMITS; taken++) {
		while (spsc_get(&other->events, &seqno, 1) == 0)
			;
		now = clock_now_ns();
		CHECK(spsc_put(&other->times, &now, 1) == 1);
	}
	return NULL;
}

struct times {
	double durable; /* from the commit's call, us */
	double seen;
	double other;
};

/* One commit, seen by the reader, and by the other thread. */
static struct times tail_one(const struct bench *bench, struct store *store, struct feed *feed,
			     struct other *other)
{
	static uint8_t value[VALUE_SIZE];
	const struct store_put put = {.key = {(const uint8_t *)"a key of 16 byte", KEY_SIZE},
				      .value = {value, VALUE_SIZE}};
	struct feed_event event;
	struct times times;
	uint64_t lsn, begun, then;

	check(bench, store_put(store, &put), "store_put");
	begun = clock_now_ns();
	check(bench, store_commit(store, STORE_SYNC, &lsn), "store_commit");
	while (!store_is_done(store, lsn))
		check(bench, store_poll(store, clock_now_ns()), "store_poll");
	times.durable = since_us(begun);
	check(bench, feed_next(feed, &event), "feed_next");
	times.seen = since_us(begun);
	CHECK(event.seqno == lsn);
	CHECK(spsc_put(&other->events, &event.seqno, 1) == 1);
	while (spsc_get(&other->times, &then, 1) == 0)
		;
	times.other = (double)(then - begun) / 1e3;
	return times;
}

static void print_times(const struct bench *bench, const char *name, double *times)
{
	double half = paired_quantile(times, TAIL_COMMITS, 0.5);
	double most = paired_quantile(times, TAIL_COMMITS, 0.99);

	printf(bench->json
		       ? "{\"event\":\"tail\",\"name\":\"%s\",\"p50_us\":%.1f,\"p99_us\":%.1f}\n"
		       : "%-24s p50 %8.1f us   p99 %8.1f us\n",
	       name, half, most);
}

static void tail(const struct bench *bench, const char *path)
{
	static double durable[TAIL_COMMITS], seen[TAIL_COMMITS], after[TAIL_COMMITS];
	static double others[TAIL_COMMITS];
	static struct other other;
	const struct store_options options = {.create = true};
	char error[256] = "";
	struct store *store;
	struct feed *feed;
	struct io *io;

	if (io_ring_new(path, true, &io))
		check(bench, io_plain_new(path, true, &io), "io_plain_new");
	check(bench, store_open(io, &options, &store, error, sizeof(error)), "store_open");
	check(bench, feed_open(store_kv(store), &(struct feed_options){.follow = true}, &feed),
	      "feed_open");
	spsc_init(&other.events, other.event_slots, ARRAY_COUNT(other.event_slots));
	spsc_init(&other.times, other.time_slots, ARRAY_COUNT(other.time_slots));
	check(bench, -pthread_create(&other.thread, NULL, take_events, &other), "pthread_create");
	for (unsigned i = 0; i < TAIL_COMMITS; i++) {
		struct times times = tail_one(bench, store, feed, &other);

		durable[i] = times.durable;
		seen[i] = times.seen;
		after[i] = times.seen - times.durable;
		others[i] = times.other;
	}
	pthread_join(other.thread, NULL);
	print_times(bench, "commit to durable", durable);
	print_times(bench, "commit to reader", seen);
	print_times(bench, "durable to reader", after);
	print_times(bench, "commit to another core", others);
	feed_close(feed);
	check(bench, store_close(store), "store_close");
	io_free(io);
}

int main(int argc, char **argv)
{
	const char *folder = "/tmp";
	uint64_t larger = LARGER_COUNT;
	char tail_path[PATH_MAX];
	struct bench bench = {0};
	struct place place;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			bench.json = true;
		else if (strcmp(argv[i], "--keys") == 0 && i + 1 < argc)
			larger = MAX(strtoull(argv[++i], NULL, 10), 1);
		else
			folder = argv[i];
	}
	place_make(folder, &place);
	run_in(&bench, &place, 0);
	run_in(&bench, &place, larger);
	place_of(&place, "tail", tail_path);
	tail(&bench, tail_path);
	place_remove(&place);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bench_table - one table: point gets and a scan, beside RocksDB's
 *
 * Both have the same keys and values, block size, filter bits, compression and cache. "cached"
 * is a cache that has every block; "uncached" one that has few of them, so that blocks are read
 * from the file, which the kernel has in memory. "absent" asks for keys that are not there, which
 * the filter denies. RocksDB is asked through its database, of this one file, opened to be read:
 * it has no get for a file by itself. Both run in turns; where librocksdb-dev isn't installed
 * ours runs alone.
 *
 * Values are half noise, so that compression has something to do and not too much.
 */

#include "base/check.h"
#include "base/clock.h"
#include "base/defs.h"
#include "base/rand.h"
#include "engine/block_cache.h"
#include "engine/table.h"
#include "client/cmd.h"
#include "perf/lib/paired.h"
#include "perf/store/place.h"
#ifdef PERF_ROCKS
#include "perf/lib/rocks.h"
#endif

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME        "1.table"
#define GETS        20000 /* of one measurement */
#define KEY_SIZE    16
#define VALUE_LIMIT 65536

static struct {
	uint64_t keys;
	uint64_t value_size;
	uint64_t block_size;
	bool compress;
	bool json;
} wish = {.keys = 500000, .value_size = 100, .block_size = 4096};

static char rocks_folder[PATH_MAX];
static uint8_t value[VALUE_LIMIT];
static struct io *io;
static struct block_cache *cache;
static struct table *table;
#ifdef PERF_ROCKS
static struct rocks *rocks;
#endif

/* Every second number is a key's. */
static void make_key(uint64_t number, char key[KEY_SIZE + 1])
{
	snprintf(key, KEY_SIZE + 1, "user%012" PRIu64, number);
}

static void make_value(struct rand *rand)
{
	for (uint64_t i = 0; i < wish.value_size; i++)
		value[i] = i % 2 ? (uint8_t)rand_next(rand) : (uint8_t)'v';
}

static void write_both(void)
{
	struct table_writer_options options = {
		.block_size = (uint32_t)wish.block_size, .compress = wish.compress, .number = 1};
	struct table_summary summary;
	struct table_writer *writer;
	struct rand rand;
	char key[KEY_SIZE + 1];
#ifdef PERF_ROCKS
	const struct rocks_options how = {rocks_folder, (uint32_t)wish.block_size, 1 << 20,
					  wish.compress};

	rocks_write_begin(&how, &rocks);
#endif
	rand_init(&rand, 1);
	CHECK(table_writer_new(io, NAME, &options, &writer) == 0);
	for (uint64_t i = 0; i < wish.keys; i++) {
		struct entry entry = {.seqno = i + 1, .kind = ENTRY_VALUE};

		make_key(2 * i, key);
		make_value(&rand);
		entry.key = (struct entry_bytes){(const uint8_t *)key, KEY_SIZE};
		entry.value = (struct entry_bytes){value, (uint32_t)wish.value_size};
		CHECK(table_writer_add(writer, &entry) == 0);
#ifdef PERF_ROCKS
		rocks_write(rocks, key, KEY_SIZE, value, wish.value_size);
#endif
	}
	CHECK(table_writer_finish(writer, &summary) == 0);
#ifdef PERF_ROCKS
	rocks_write_end(rocks);
#endif
	fprintf(stderr, "%" PRIu64 " keys of %d bytes, values of %" PRIu64 ": %" PRIu64 " bytes\n",
		wish.keys, KEY_SIZE, wish.value_size, summary.size);
}

static void open_both(uint64_t cache_size)
{
	struct table_options options = {.number = 1};
	char error[256];
#ifdef PERF_ROCKS
	const struct rocks_options how = {rocks_folder, (uint32_t)wish.block_size, cache_size,
					  wish.compress};

	rocks = rocks_open(&how);
#endif
	CHECK(block_cache_new(io, cache_size, &cache) == 0);
	options.cache = cache;
	CHECK(table_open(io, NAME, &options, &table, error, sizeof(error)) == 0);
}

static void close_both(void)
{
	table_close(table);
	block_cache_free(cache);
#ifdef PERF_ROCKS
	rocks_close(rocks);
#endif
}

/* Gets of random keys that are there, or next to one that is. Returns gets a second. */
static double get_ours(struct rand *rand, bool absent)
{
	struct table_pin pin = {0};
	uint64_t start = clock_now_ns();
	char key[KEY_SIZE + 1];

	for (unsigned i = 0; i < GETS; i++) {
		struct entry_bytes bytes = {(const uint8_t *)key, KEY_SIZE};
		struct entry entry;
		int result;

		make_key(2 * rand_below(rand, wish.keys) + absent, key);
		result = table_get(table, bytes, UINT64_MAX, 0, &pin, &entry);
		CHECK(absent ? result == TABLE_E_END
			     : result == 0 && entry.value.size == wish.value_size);
	}
	table_pin_release(&pin);
	return GETS * 1e9 / (double)(clock_now_ns() - start);
}

static double scan_ours(struct rand *rand, bool absent)
{
	const struct table_cursor_options options = {.seqno_to = 0};
	uint64_t start = clock_now_ns(), count = 0;
	struct table_cursor *cursor;
	int result;

	CHECK(table_cursor_new(table, &options, &cursor) == 0);
	for (result = table_cursor_first(cursor); result == 0; result = table_cursor_next(cursor))
		count += table_cursor_entry(cursor)->value.size == wish.value_size;
	CHECK(result == TABLE_E_END && count == wish.keys);
	table_cursor_free(cursor);
	return (double)count * 1e9 / (double)(clock_now_ns() - start);
}

/* Past the cache, as a compaction reads. */
static double scan_ahead(struct rand *rand, bool absent)
{
	const struct table_cursor_options options = {.read_ahead = 256U << 10};
	const struct table_options how = {.number = 1};
	uint64_t start = clock_now_ns(), count = 0;
	struct table_cursor *cursor;
	struct table *own;
	char error[256];
	int result;

	CHECK(table_open(io, NAME, &how, &own, error, sizeof(error)) == 0);
	CHECK(table_cursor_new(own, &options, &cursor) == 0);
	for (result = table_cursor_first(cursor); result == 0; result = table_cursor_next(cursor))
		count += table_cursor_entry(cursor)->value.size == wish.value_size;
	CHECK(result == TABLE_E_END && count == wish.keys);
	table_cursor_free(cursor);
	table_close(own);
	return (double)count * 1e9 / (double)(clock_now_ns() - start);
}

#ifdef PERF_ROCKS
static double get_rocks(struct rand *rand, bool absent)
{
	uint64_t start = clock_now_ns();
	char key[KEY_SIZE + 1];

	for (unsigned i = 0; i < GETS; i++) {
		make_key(2 * rand_below(rand, wish.keys) + absent, key);
		CHECK(rocks_get(rocks, key, KEY_SIZE) == (absent ? 0 : wish.value_size));
	}
	return GETS * 1e9 / (double)(clock_now_ns() - start);
}

static double scan_rocks(struct rand *rand, bool absent)
{
	uint64_t start = clock_now_ns();

	CHECK(rocks_scan(rocks) == wish.keys);
	return (double)wish.keys * 1e9 / (double)(clock_now_ns() - start);
}
#endif

typedef double (*measure_fn)(struct rand *rand, bool absent);

#ifdef PERF_ROCKS
static void compare(const char *name, measure_fn peer, measure_fn ours, bool absent)
{
	struct paired paired = {.name = name, .unit = "/s"};
	struct rand rand;

	rand_init(&rand, 2);
	(void)peer(&rand, absent);
	(void)ours(&rand, absent);
	for (unsigned i = 0; i < PAIRED_REPEAT; i++) {
		double raw = peer(&rand, absent);

		paired_add(&paired, raw, ours(&rand, absent));
	}
	paired_print(&paired, wish.json);
}
#else
/* There is nothing to compare with. */
#define get_rocks  NULL
#define scan_rocks NULL

static void compare(const char *name, measure_fn peer, measure_fn ours, bool absent)
{
	double rates[PAIRED_REPEAT];
	struct rand rand;

	rand_init(&rand, 2);
	(void)ours(&rand, absent);
	for (unsigned i = 0; i < PAIRED_REPEAT; i++)
		rates[i] = ours(&rand, absent);
	printf(wish.json ? "{\"name\":\"%s\",\"unit\":\"/s\",\"ours\":%g}\n" : "%-24s %g /s\n",
	       name, paired_quantile(rates, PAIRED_REPEAT, 0.5));
}
#endif

static void measure(void)
{
	uint64_t all = wish.keys * (wish.value_size + 64) * 2;

	open_both(MAX(all, BLOCK_CACHE_SIZE_MIN));
	compare("scan, cached", scan_rocks, scan_ours, false);
	compare("get, cached", get_rocks, get_ours, false);
	compare("get, absent", get_rocks, get_ours, true);
	close_both();
	open_both(BLOCK_CACHE_SIZE_MIN);
	compare("get, uncached", get_rocks, get_ours, false);
	compare("scan, uncached", scan_rocks, scan_ours, false);
	compare("scan, read ahead", scan_rocks, scan_ahead, false);
	close_both();
}

int main(int argc, char **argv)
{
	struct place place;

	const struct cmd_option options[] = {
		{"keys", "N", "keys (500000)", .number = &wish.keys, .min = 1000, .max = 100000000},
		{"value", "BYTES", "of a value (100)", .number = &wish.value_size, .min = 1,
		 .max = VALUE_LIMIT},
		{"block-size", "BYTES", "of a block (4096)", .number = &wish.block_size, .min = 64,
		 .max = TABLE_BLOCK_SIZE_MAX},
		{"zstd", NULL, "compress blocks", .flag = &wish.compress},
		{"json", NULL, "print one JSON object a line", .flag = &wish.json},
	};
	int status;

	if (!cmd_options("bench_table", "Writes one table and reads it, beside RocksDB.\n", options,
			 ARRAY_COUNT(options), argc, argv, &status))
		return status;
	place_make("/tmp", &place);
	place_of(&place, "rocks", rocks_folder);
	CHECK(io_plain_new(place.path, false, &io) == 0);
	write_both();
	measure();
	io_free(io);
	place_remove(&place);
	return 0;
}

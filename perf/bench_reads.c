/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bench_reads - point reads and range scans of a store that was loaded, beside SQLite, LMDB and
 * RocksDB
 *
 * Keys of 16 bytes in random order, values of 100, all of it in tables and caches as each keeps
 * them. Gets are of keys that are there; scans begin at random keys and read 100 entries.
 */

#include "base/clock.h"
#include "base/rand.h"
#include "perf/lib/bench.h"
#include "perf/store/peer.h"
#include "perf/store/place.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_SIZE 100
#define SCAN_COUNT 100

static void key_of(uint64_t number, uint8_t key[PEER_KEY_SIZE])
{
	struct rand rand;
	uint64_t bits;

	rand_init(&rand, number);
	for (unsigned i = 0; i < PEER_KEY_SIZE; i += 8) {
		bits = rand_next(&rand);
		memcpy(key + i, &bits, 8);
	}
	key[0] |= 1; /* not one of Tern's own */
}

static void next_change(void *context, uint32_t number, uint8_t key[PEER_KEY_SIZE], uint8_t *value)
{
	key_of(number, key);
	memset(value, (int)(number & 0xff), VALUE_SIZE);
}

static const struct peer_ops *const peers[] = {
	&peer_tern,
#include "perf/store/others.def"
};

#define PEER_COUNT (sizeof(peers) / sizeof(peers[0]))

static double get_some(const struct peer_ops *peer, void *session, uint32_t count, uint32_t reads,
		       uint64_t seed)
{
	uint8_t key[PEER_KEY_SIZE];
	uint8_t value[VALUE_SIZE];
	struct rand rand;

	rand_init(&rand, seed);
	uint64_t began_ns = clock_now_ns();
	for (uint32_t i = 0; i < reads; i++) {
		uint64_t number = rand_below(&rand, count);
		key_of(number, key);
		if (peer->get(session, key, value, sizeof(value)) != VALUE_SIZE ||
		    value[0] != (uint8_t)number)
			peer_die(peer->name, "a key that was loaded isn't there");
	}
	return (double)reads * 1e9 / (double)(clock_now_ns() - began_ns);
}

static double scan_some(const struct peer_ops *peer, void *session, uint32_t count, uint32_t reads,
			uint64_t seed)
{
	uint8_t key[PEER_KEY_SIZE];
	uint64_t entries = 0;
	uint64_t bytes;
	struct rand rand;

	rand_init(&rand, seed);
	uint64_t began_ns = clock_now_ns();
	for (uint32_t i = 0; i < reads / SCAN_COUNT; i++) {
		key_of(rand_below(&rand, count), key);
		entries += peer->scan(session, key, SCAN_COUNT, &bytes);
	}
	return (double)entries * 1e9 / (double)(clock_now_ns() - began_ns);
}

typedef double (*measure_fn)(const struct peer_ops *peer, void *session, uint32_t count,
			     uint32_t reads, uint64_t seed);

static void measure(const char *what, measure_fn fn, void *const *sessions, uint32_t count,
		    uint32_t reads, const struct bench_options *bench)
{
	struct paired pairs[PEER_COUNT] = {0};
	char names[PEER_COUNT][64];

	for (unsigned i = 0; i < bench->repeat; i++) {
		double rates[PEER_COUNT];
		for (unsigned p = 0; p < PEER_COUNT; p++)
			rates[p] = fn(peers[p], sessions[p], count, reads, i);
		for (unsigned p = 1; p < PEER_COUNT; p++)
			paired_add(&pairs[p], rates[p], rates[0]);
	}
	for (unsigned p = 1; p < PEER_COUNT; p++) {
		snprintf(names[p], sizeof(names[p]), "%s, tern beside %s", what, peers[p]->name);
		pairs[p].name = names[p];
		pairs[p].unit = "entries/s";
		paired_print(&pairs[p], bench->json);
	}
}

int main(int argc, char **argv)
{
	struct bench_options bench = BENCH_OPTIONS_INIT;
	uint64_t count = 500000;
	const struct cmd_option options[] = {
		BENCH_OPTIONS(bench),
		{"count", "N", "keys (500000)", .number = &count, .min = 1, .max = UINT32_MAX},
	};
	void *databases[PEER_COUNT];
	void *sessions[PEER_COUNT];
	struct place place;
	int status;

	if (!cmd_options("bench_reads", "Reads keys and ranges, beside SQLite, LMDB and RocksDB.\n",
			 options, ARRAY_COUNT(options), argc, argv, &status))
		return status;

	place_make(bench.folder, &place);
	for (unsigned p = 0; p < PEER_COUNT; p++) {
		char path[PATH_MAX];
		place_of(&place, peers[p]->name, path);
		databases[p] = peers[p]->open(path);
		sessions[p] = peers[p]->session_new(databases[p]);
		peers[p]->load(sessions[p], next_change, NULL, (uint32_t)count, VALUE_SIZE);
	}
	measure("point reads", get_some, sessions, (uint32_t)count, 200000, &bench);
	measure("range scans", scan_some, sessions, (uint32_t)count, 1000000, &bench);
	for (unsigned p = 0; p < PEER_COUNT; p++) {
		peers[p]->session_free(sessions[p]);
		peers[p]->close(databases[p]);
	}
	place_remove(&place);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bench_commit - durable commits a second, beside SQLite, LMDB and RocksDB
 *
 * One writer, then 64 at once, each with one change under way: a random key of 16 bytes, a value of
 * 100. All on one disk, in one run, in turns; a commit counts when it survives a power cut. With 64
 * writers the others have a thread each, Tern one owner that has 64 changes under way, as a poll
 * core has. One writer stands beside the device, too: the same bytes appended to a file that was
 * prepared, by pwrite and fdatasync with O_DIRECT (perf/lib/raw_log.h).
 */

#include "base/rand.h"
#include "perf/lib/bench.h"
#include "perf/store/peer.h"
#include "perf/store/place.h"
#include "perf/store/threads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_SIZE  100
#define WRITERS_MAX 64

struct load {
	struct rand rand[WRITERS_MAX];
};

static void next_change(void *context, uint32_t writer, uint8_t key[PEER_KEY_SIZE], uint8_t *value)
{
	struct rand *rand = &((struct load *)context)->rand[writer % WRITERS_MAX];

	for (unsigned i = 0; i < PEER_KEY_SIZE; i += 8) {
		uint64_t bits = rand_next(rand);
		memcpy(key + i, &bits, 8);
	}
	key[0] |= 1; /* not one of Tern's own */
	memset(value, (int)(rand_next(rand) & 0xff), VALUE_SIZE);
}

static const struct peer_ops *const peers[] = {
	&peer_tern,
	&peer_raw,
#include "perf/store/others.def"
};

#define PEER_COUNT (sizeof(peers) / sizeof(peers[0]))

static bool takes_part(const struct peer_ops *peer, uint32_t writers)
{
	return peer != &peer_raw || writers == 1;
}

/* Commits a second of one turn. */
static double turn(const struct peer_ops *peer, void *database, struct load *load, uint32_t writers,
		   uint64_t turn_ms)
{
	double rate = threads_write(peer, database, writers, (double)turn_ms / 1e3, next_change,
				    load, VALUE_SIZE);

	if (rate <= 0)
		peer_die(peer->name, "not one commit in a turn: give it longer ones (--turn-ms)");
	return rate;
}

static void measure(void *const *databases, struct load *load, uint32_t writers, uint64_t turn_ms,
		    const struct bench_options *bench)
{
	struct paired pairs[PEER_COUNT] = {0};
	char names[PEER_COUNT][64];

	for (unsigned i = 0; i < bench->repeat; i++) {
		double rates[PEER_COUNT];
		for (unsigned p = 0; p < PEER_COUNT; p++)
			if (takes_part(peers[p], writers))
				rates[p] = turn(peers[p], databases[p], load, writers, turn_ms);
		for (unsigned p = 1; p < PEER_COUNT; p++)
			if (takes_part(peers[p], writers))
				paired_add(&pairs[p], rates[p], rates[0]);
	}
	for (unsigned p = 1; p < PEER_COUNT; p++) {
		if (!takes_part(peers[p], writers))
			continue;
		snprintf(names[p], sizeof(names[p]), "%u writers, tern beside %s", writers,
			 peers[p]->name);
		pairs[p].name = names[p];
		pairs[p].unit = "commits/s";
		paired_print(&pairs[p], bench->json);
	}
}

int main(int argc, char **argv)
{
	struct bench_options bench = BENCH_OPTIONS_INIT;
	uint64_t turn_ms = 500;
	uint64_t writers = 0; /* both ways */
	const struct cmd_option options[] = {
		BENCH_OPTIONS(bench),
		{"writers", "N", "at once (1, then 64)", .number = &writers, .min = 1,
		 .max = WRITERS_MAX},
		{"turn-ms", "MS", "a store's turn takes (500)", .number = &turn_ms, .min = 1,
		 .max = 600000},
	};
	void *databases[PEER_COUNT];
	struct place place;
	struct load load;
	int status;

	if (!cmd_options("bench_commit", "Commits durably, beside SQLite, LMDB and RocksDB.\n",
			 options, ARRAY_COUNT(options), argc, argv, &status))
		return status;

	for (unsigned i = 0; i < WRITERS_MAX; i++)
		rand_init(&load.rand[i], i);
	place_make(bench.folder, &place);
	for (unsigned p = 0; p < PEER_COUNT; p++) {
		char path[PATH_MAX];
		place_of(&place, peers[p]->name, path);
		databases[p] = peers[p]->open(path);
	}
	if (writers != 0) {
		measure(databases, &load, (uint32_t)writers, turn_ms, &bench);
	} else {
		measure(databases, &load, 1, turn_ms, &bench);
		measure(databases, &load, WRITERS_MAX, turn_ms, &bench);
	}
	for (unsigned p = 0; p < PEER_COUNT; p++)
		peers[p]->close(databases[p]);
	place_remove(&place);
	return 0;
}

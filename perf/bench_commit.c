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
#include "perf/lib/paired.h"
#include "perf/store/peer.h"
#include "perf/store/place.h"
#include "perf/store/threads.h"

#include <getopt.h>
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
		   double seconds)
{
	double rate =
		threads_write(peer, database, writers, seconds, next_change, load, VALUE_SIZE);

	if (rate <= 0)
		peer_die(peer->name, "not one commit in a turn: give it longer ones (--seconds)");
	return rate;
}

static void measure(void *const *databases, struct load *load, uint32_t writers, double seconds,
		    unsigned repeat, bool json)
{
	struct paired pairs[PEER_COUNT] = {0};
	char names[PEER_COUNT][64];

	for (unsigned i = 0; i < repeat; i++) {
		double rates[PEER_COUNT];
		for (unsigned p = 0; p < PEER_COUNT; p++)
			if (takes_part(peers[p], writers))
				rates[p] = turn(peers[p], databases[p], load, writers, seconds);
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
		paired_print(&pairs[p], json);
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'},
						{"folder", required_argument, NULL, 'f'},
						{"writers", required_argument, NULL, 'w'},
						{"seconds", required_argument, NULL, 's'},
						{"repeat", required_argument, NULL, 'r'},
						{0}};
	void *databases[PEER_COUNT];
	const char *folder = NULL;
	double seconds = 0.5;
	uint32_t writers = 0; /* both ways */
	unsigned repeat = PAIRED_REPEAT;
	bool json = false;
	struct place place;
	struct load load;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'j')
			json = true;
		else if (option == 'f')
			folder = optarg;
		else if (option == 's')
			seconds = strtod(optarg, NULL);
		else if (option == 'w')
			writers = (uint32_t)strtoul(optarg, NULL, 10);
		else if (option == 'r')
			repeat = (unsigned)strtoul(optarg, NULL, 10);
		else
			return 2;
	}
	if (repeat == 0 || repeat > PAIRED_REPEAT_MAX || seconds <= 0 || writers > WRITERS_MAX)
		return 2;

	for (unsigned i = 0; i < WRITERS_MAX; i++)
		rand_init(&load.rand[i], i);
	place_make(folder, &place);
	for (unsigned p = 0; p < PEER_COUNT; p++) {
		char path[PATH_MAX];
		place_of(&place, peers[p]->name, path);
		databases[p] = peers[p]->open(path);
	}
	if (writers != 0) {
		measure(databases, &load, writers, seconds, repeat, json);
	} else {
		measure(databases, &load, 1, seconds, repeat, json);
		measure(databases, &load, WRITERS_MAX, seconds, repeat, json);
	}
	for (unsigned p = 0; p < PEER_COUNT; p++)
		peers[p]->close(databases[p]);
	place_remove(&place);
	return 0;
}

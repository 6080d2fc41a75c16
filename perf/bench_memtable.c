/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bench_memtable - adds and gets a second
 *
 *      bench_memtable [--json]
 *
 * A memtable of 32 MiB, as a shard has, is filled with keys of 16 bytes and values of 100, in
 * random order, and each key is looked for once; then the same with rising keys. The raw thing is
 * copying what an add copies to the end of a buffer, and reading a key of it at random: what
 * memory alone costs.
 */

#include "base/check.h"
#include "base/clock.h"
#include "base/rand.h"
#include "engine/memtable.h"
#include "perf/lib/paired.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMTABLE_SIZE (UINT64_C(32) << 20)
#define KEY_SIZE      16
#define VALUE_SIZE    100
#define COUNT_MAX     200000

static uint8_t keys[COUNT_MAX][KEY_SIZE];
static uint32_t order[COUNT_MAX];
static uint8_t *buffer;

static void make_keys(bool rising)
{
	struct rand rand;

	rand_init(&rand, 7);
	for (uint32_t i = 0; i < COUNT_MAX; i++) {
		uint64_t number = rising ? i : rand_next(&rand);

		snprintf((char *)keys[i], KEY_SIZE, "%015llx",
			 (unsigned long long)(number & 0xFFFFFFFFFFFFFFF));
		order[i] = i;
	}
	for (uint32_t i = COUNT_MAX - 1; i > 0; i--) {
		uint32_t other = (uint32_t)rand_below(&rand, i + 1), swapped = order[i];

		order[i] = order[other];
		order[other] = swapped;
	}
}

static double rate(uint32_t count, uint64_t begun)
{
	return (double)count * 1e9 / (double)(clock_now_ns() - begun);
}

static uint32_t fill(struct memtable *memtable)
{
	static uint8_t value[VALUE_SIZE];
	uint32_t count = 0;

	for (; count < COUNT_MAX && !memtable_is_full(memtable); count++) {
		struct entry entry = {.key = {keys[count], KEY_SIZE},
				      .value = {value, VALUE_SIZE},
				      .seqno = count + 1,
				      .kind = ENTRY_VALUE};

		CHECK(memtable_add(memtable, &entry) == 0);
	}
	return count;
}

static void get_all(const struct memtable *memtable, uint32_t count)
{
	for (uint32_t i = 0; i < COUNT_MAX; i++) {
		const struct memtable_node *node;

		if (order[i] >= count)
			continue;
		node = memtable_seek(memtable, (struct entry_bytes){keys[order[i]], KEY_SIZE},
				     UINT64_MAX);
		CHECK(node && memtable_entry(node)->seqno == order[i] + 1);
	}
}

static double copy_all(uint32_t count)
{
	static uint8_t value[VALUE_SIZE];
	uint64_t begun = clock_now_ns();

	for (uint32_t i = 0; i < count; i++) {
		uint8_t *to = buffer + (size_t)i * (KEY_SIZE + VALUE_SIZE);

		memcpy(to, keys[i], KEY_SIZE);
		memcpy(to + KEY_SIZE, value, VALUE_SIZE);
		__asm__ volatile("" : : "r"(to) : "memory");
	}
	return rate(count, begun);
}

static double look_at_all(uint32_t count)
{
	uint64_t begun = clock_now_ns();

	for (uint32_t i = 0; i < COUNT_MAX; i++)
		if (order[i] < count)
			CHECK(memcmp(buffer + (size_t)order[i] * (KEY_SIZE + VALUE_SIZE),
				     keys[order[i]], KEY_SIZE) == 0);
	return rate(count, begun);
}

static void measure(bool rising, bool json)
{
	struct paired adds = {.name = rising ? "add, rising keys" : "add, random keys",
			      .unit = "entries/s"};
	struct paired gets = {.name = rising ? "get, rising keys" : "get, random keys",
			      .unit = "entries/s"};
	struct memtable *memtable;

	make_keys(rising);
	CHECK(memtable_new(MEMTABLE_SIZE, &memtable) == 0);
	get_all(memtable, fill(memtable)); /* touches all pages */
	for (unsigned i = 0; i < PAIRED_REPEAT; i++) {
		uint64_t begun;
		uint32_t count;
		double raw, ours;

		memtable_reset(memtable);
		begun = clock_now_ns();
		count = fill(memtable);
		ours = rate(count, begun);
		raw = copy_all(count);
		paired_add(&adds, raw, ours);
		begun = clock_now_ns();
		get_all(memtable, count);
		ours = rate(count, begun);
		raw = look_at_all(count);
		paired_add(&gets, raw, ours);
	}
	paired_print(&adds, json);
	paired_print(&gets, json);
	memtable_free(memtable);
}

int main(int argc, char **argv)
{
	bool json = argc > 1 && strcmp(argv[1], "--json") == 0;

	buffer = malloc((size_t)COUNT_MAX * (KEY_SIZE + VALUE_SIZE));
	CHECK(buffer);
	memset(buffer, 1, (size_t)COUNT_MAX * (KEY_SIZE + VALUE_SIZE));
	measure(false, json);
	measure(true, json);
	free(buffer);
	return 0;
}

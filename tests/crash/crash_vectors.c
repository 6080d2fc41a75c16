/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The power is cut at steps of a collection's life, while its index follows. Afterwards the store
 * has the vectors of one of its commits, from the last acknowledged one on, and the index has
 * exactly those: each is found at distance 0, and nothing else.
 *
 * tests/lib/cuts.h says how one step alone is taken.
 */

#include "base/byteorder.h"
#include "base/rand.h"
#include "tests/lib/cuts.h"
#include "tests/lib/faulty.h"
#include "tests/lib/test.h"
#include "tests/lib/vectors_rig.h"

#include <string.h>

#define COMMITS 100
#define MORE    6
#define CHANGES 12

static const struct store_options small = {
	.create = true,
	.log_size = 48 << 10,
	.cache_pages = 64,
	.wal = {.segment_size = 512 << 10, .buffer_size = 256 << 10},
	.kv = {.memtable_size = 12 << 10,
	       .cache_size = 1 << 20,
	       .table_size = 16 << 10,
	       .level_size = 32 << 10},
};

static const struct entry_bytes name = {.bytes = (const uint8_t *)"v", .size = 1};
static const struct entry_bytes mark = {.bytes = (const uint8_t *)"commit", .size = 6};

/* What there is after each commit. */
struct past {
	struct vectors_state states[COMMITS + 2 * MORE + 1];
	uint32_t commits;
	uint32_t acknowledged;
	uint32_t next_fill;
	struct rand rand;
};

static struct past past;

static int change(struct vectors *vectors, struct vectors_state *state)
{
	uint32_t label = (uint32_t)rand_below(&past.rand, VECTORS_RIG_LABELS);
	float values[VECTORS_RIG_DIM];

	if (rand_below(&past.rand, 4) == 0) {
		state->fills[label] = 0;
		return vectors_delete(vectors, label);
	}
	state->fills[label] = ++past.next_fill;
	vectors_rig_values(VECTOR_F32, past.next_fill, values);
	return vectors_put(vectors, label, values, (struct entry_bytes){(const uint8_t *)"p", 1});
}

/* Returns 0 or what the store said. */
static int step(struct store *store, struct vectors *vectors)
{
	struct vectors_state *state = &past.states[past.commits + 1];
	enum store_durability durability = rand_below(&past.rand, 3) ? STORE_NONE : STORE_SYNC;
	uint8_t text[4];
	struct store_put put = {.key = mark, .value = {text, 4}};
	bool caught_up;
	enum live_need need;

	*state = past.states[past.commits];
	store_le32(text, ++past.commits);
	int r = store_put(store, &put);
	for (uint64_t left = 1 + rand_below(&past.rand, CHANGES); left > 0 && r == 0; left--)
		r = change(vectors, state);
	if (r == 0)
		r = vectors_rig_commit(store, durability);
	if (r == 0 && durability == STORE_SYNC)
		past.acknowledged = past.commits;
	if (r == 0)
		r = vectors_follow(vectors, 20, &caught_up, &need);
	if ((r == 0 || r == VECTORS_E_BUSY) && need == LIVE_NEED_BUILD)
		r = vectors_job(vectors);
	return r == VECTORS_E_BUSY || r == VECTORS_E_IDLE ? 0 : r;
}

static int live(struct store *store, struct vectors *vectors, unsigned commits)
{
	for (unsigned i = 0; i < commits; i++) {
		int r = step(store, vectors);
		if (r != 0)
			return r;
		if (rand_below(&past.rand, 8) != 0)
			continue;
		r = store_settle(store);
		if (r != 0)
			return r;
		past.acknowledged = past.commits;
	}
	return 0;
}

static int open_all(struct faulty *disk, struct store **ret_store, struct vectors **ret_vectors,
		    char error[256])
{
	const struct vectors_options options = {.name = name, .growing_max = 64};
	const struct vectors_schema schema = {.dim = VECTORS_RIG_DIM};
	int r = store_open(faulty_io(disk), &small, ret_store, error, 256);
	if (r != 0)
		return r;

	r = vectors_create(*ret_store, name, &schema);
	if (r == 0)
		r = vectors_open(*ret_store, &options, NULL, NULL, ret_vectors, error, 256);
	if (r != 0)
		(void)store_close(*ret_store);
	return r;
}

static void compare(struct store *store, struct vectors *vectors)
{
	struct entry entry;
	uint32_t number = 0;
	int r = kv_get(store_kv(store), mark, 0, 0, &entry);

	assert_true(r == 0 || r == KV_E_ABSENT);
	if (r == 0)
		number = load_le32(entry.value.bytes);
	assert_true(number >= past.acknowledged && number <= past.commits);
	past.commits = past.acknowledged = number;
	vectors_rig_catch_up(vectors);
	vectors_rig_compare(vectors, &past.states[number]);
}

/* Returns the steps it took. */
static uint64_t life(uint64_t cut)
{
	struct faulty *disk = faulty_new(5);
	struct vectors *vectors;
	struct store *store;
	char error[256];

	memset(&past, 0, sizeof(past));
	rand_init(&past.rand, 3);
	faulty_cut_at(disk, cut);
	if (open_all(disk, &store, &vectors, error) == 0) {
		int r = live(store, vectors, COMMITS);
		assert_true(r == 0 || faulty_is_off(disk));
		if (r == 0 && !faulty_is_off(disk)) {
			vectors_rig_catch_up(vectors);
			vectors_rig_compare(vectors, &past.states[past.commits]);
		}
		if (cut == 0) {
			struct live_stats stats = live_stats(vectors_live(vectors));

			print_message("%u sealed, %llu merges\n", stats.sealed,
				      (unsigned long long)stats.merges);
			assert_true(stats.sealed > 0);
			assert_true(stats.merges > 0);
			assert_true(store_stats(store).checkpoint > 1);
		}
		vectors_close(vectors);
		(void)store_close(store);
	} else {
		assert_true(faulty_is_off(disk));
	}
	uint64_t steps = faulty_steps(disk);

	for (unsigned again = 0; again < 2; again++) {
		faulty_restart(disk, cut * 2 + again);
		if (open_all(disk, &store, &vectors, error) != 0)
			fail_msg("opening: %s", error);
		compare(store, vectors);
		assert_int_equal(live(store, vectors, MORE), 0);
		vectors_close(vectors);
		assert_int_equal(store_close(store), 0);
		past.acknowledged = past.commits;
	}
	faulty_free(disk);
	return steps;
}

static void no_cut_makes_index_and_key_space_differ(void **state)
{
	cuts_sweep(life);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(no_cut_makes_index_and_key_space_differ, cuts_say_replay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

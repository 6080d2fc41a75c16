/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/clock.h"
#include "engine/edge.h"
#include "engine/store.h"
#include "tests/lib/faulty.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A store whose owner polls: edges, what doesn't go well above all (prop/prop_edge_polls.c has the
 * rest), and the log's segments. */

#define NODES 3000

/* Turns that no call here takes. */
#define TURNS_MAX 10000

static struct faulty *disk;
static struct store *store;
static uint64_t now_ns;

static void open_store(void)
{
	const struct store_options options = {
		.create = true,
		.polls = true,
		.cache_pages = PAGER_CACHE_MIN,
		.wal = {.segment_size = 16 << 20, .buffer_size = 4 << 20},
		.kv = {.memtable_size = 1 << 20},
	};
	char error[256];

	if (store_open(faulty_io(disk), &options, &store, error, sizeof(error)) != 0)
		fail_msg("%s", error);
}

static void close_store(void)
{
	faulty_polls(disk, false);
	assert_int_equal(store_close(store), 0);
	io_free(faulty_io(disk));
}

/* A turn of the owner's loop. */
static void turn(void)
{
	enum kv_need need;

	assert_int_equal(store_work(store, now_ns += NS_PER_MS, &need), 0);
}

static bool is_later(int r)
{
	return r == STORE_E_WAIT || r == STORE_E_BUSY;
}

static int change(int (*fn)(struct store *store, struct edge_key edge), int64_t source,
		  int64_t target)
{
	int r = STORE_E_WAIT;

	faulty_polls(disk, true);
	for (unsigned i = 0; i < TURNS_MAX && is_later(r); i++) {
		r = fn(store, (struct edge_key){.source = source, .target = target});
		if (is_later(r))
			turn();
	}
	faulty_polls(disk, false);
	return r;
}

static int commit(void)
{
	uint64_t lsn;
	int r = STORE_E_WAIT;

	faulty_polls(disk, true);
	for (unsigned i = 0; i < TURNS_MAX && is_later(r); i++) {
		r = store_commit(store, STORE_SYNC, &lsn);
		if (is_later(r))
			turn();
	}
	faulty_polls(disk, false);
	assert_int_equal(store_sync(store), 0);
	return r;
}

static int has(int64_t source, int64_t target)
{
	int r = EDGE_E_WAIT;

	faulty_polls(disk, true);
	for (unsigned i = 0; i < TURNS_MAX && (r == EDGE_E_WAIT || r == EDGE_E_BUSY); i++) {
		r = edge_has(store_pager(store), source, target);
		pager_poll(store_pager(store));
	}
	faulty_polls(disk, false);
	return r;
}

static void put(const char *key)
{
	struct entry_bytes text = {(const uint8_t *)key, (uint32_t)strlen(key)};

	assert_int_equal(store_put(store, &(struct store_put){.key = text, .value = text}), 0);
}

static bool is_there(const char *key)
{
	struct entry entry;
	struct entry_bytes text = {(const uint8_t *)key, (uint32_t)strlen(key)};

	return kv_get(store_kv(store), text, 0, 0, &entry) == 0;
}

static void report(void *context, const char *line)
{
	print_message("%s\n", line);
}

static void assert_sound(void)
{
	uint64_t faults;

	assert_int_equal(store_verify(store, report, NULL, &faults), 0);
	assert_int_equal(faults, 0);
}

/* Node n has an edge to n * 7919, on many more pages than the cache has, none of which it does. */
static int set_up(void **state)
{
	disk = faulty_new(1);
	open_store();
	for (int64_t node = 1; node <= NODES; node++) {
		assert_int_equal(change(store_edge_add, node, node * 7919), 0);
		if (node % 10 == 0)
			assert_int_equal(commit(), 0);
	}
	assert_int_equal(store_checkpoint(store), 0);
	close_store();
	open_store();
	return 0;
}

static int tear_down(void **state)
{
	close_store();
	faulty_free(disk);
	return 0;
}

static void edges_are_waited_for(void **state)
{
	uint64_t lsn;
	struct edge_key edge = {5, 1000};

	assert_int_equal(edge_has(store_pager(store), 5, 5 * 7919), EDGE_E_WAIT);
	assert_int_equal(store_edge_add(store, edge), STORE_E_WAIT);
	/* It isn't staged: there is nothing to be committed. */
	uint64_t before = store_stats(store).lsn;
	assert_int_equal(store_commit(store, STORE_SYNC, &lsn), 0);
	assert_int_equal(lsn, before);
	assert_int_equal(change(store_edge_add, 5, 1000), 0);
	assert_int_equal(change(store_edge_add, 5, 1000), STORE_E_EXISTS);
	assert_int_equal(change(store_edge_remove, 5, 1001), STORE_E_ABSENT);
	assert_int_equal(change(store_edge_remove, 2500, 2500 * 7919), 0);
	assert_int_equal(commit(), 0);
	assert_int_equal(has(5, 1000), 0);
	assert_int_equal(has(2500, 2500 * 7919), EDGE_E_ABSENT);
	assert_sound();
}

/* Of edges far apart each changes pages of its own, until the cache has no more for changes. */
static void an_edge_too_many_leaves_those_before(void **state)
{
	int64_t count = 0;
	int r;

	put("before");
	do {
		r = change(store_edge_add, 1 + count * 211 % NODES, 1);
		count += r == 0;
	} while (r == 0);
	assert_int_equal(r, STORE_E_SIZE);
	assert_in_range(count, 2, NODES - 1);
	put("behind");
	assert_int_equal(commit(), 0);
	for (int64_t i = 0; i <= count; i++)
		assert_int_equal(has(1 + i * 211 % NODES, 1), i < count ? 0 : EDGE_E_ABSENT);
	assert_true(is_there("before") && is_there("behind"));
	assert_int_equal(change(store_edge_add, 1 + count * 211 % NODES, 1), 0);
	assert_int_equal(commit(), 0);
	assert_sound();
}

static void a_read_that_failed_cancels_the_transaction(void **state)
{
	put("key");
	assert_int_equal(change(store_edge_add, 1, 2), 0);
	faulty_fail_at(disk, faulty_calls(disk) + 1, -EIO, 1);
	assert_int_equal(change(store_edge_add, NODES - 1, 2), -EIO);
	assert_int_equal(change(store_edge_add, 1, 3), -ECANCELED);
	assert_int_equal(commit(), -ECANCELED);
	store_rollback(store);
	assert_int_equal(has(1, 2), EDGE_E_ABSENT);
	assert_int_equal(change(store_edge_add, NODES - 1, 2), 0);
	assert_int_equal(commit(), 0);
	assert_int_equal(has(NODES - 1, 2), 0);
	assert_false(is_there("key"));
	assert_sound();
}

static void a_damaged_page_is_said(void **state)
{
	uint64_t bit = (EDGE_EDGE_ROOT * PAGE_SIZE + 40) * 8;

	faulty_flip(disk, PAGER_FILE, bit);
	assert_int_equal(change(store_edge_add, 7, 8), STORE_E_CORRUPT);
	assert_string_equal(store_error(store), pager_error(store_pager(store)));
	assert_non_null(strstr(store_error(store), "page 2: "));
	store_rollback(store);
	assert_int_equal(has(7, 7 * 7919), EDGE_E_CORRUPT);
	faulty_flip(disk, PAGER_FILE, bit);
	assert_int_equal(change(store_edge_add, 7, 8), 0);
	assert_int_equal(commit(), 0);
	assert_sound();
}

/* Neither is that an end of the row. */
static void a_row_is_given_as_far_as_it_is_read(void **state)
{
	struct pager *pager = store_pager(store);
	int64_t found[NODES];
	uint32_t position = 0;
	uint32_t total = 0;
	unsigned pieces = 0;

	for (int64_t node = 1; node <= 1000; node++) {
		assert_int_equal(change(store_edge_add, 1, node), 0);
		if (node % 10 == 0)
			assert_int_equal(commit(), 0);
	}
	assert_int_equal(store_checkpoint(store), 0);
	close_store();
	open_store();
	faulty_polls(disk, true);
	pager = store_pager(store);
	for (unsigned i = 0; i < TURNS_MAX; i++) {
		uint32_t count = 0;
		int r = edge_neighbours(pager, 1, /* incoming= */ false, &position, found, NODES,
					&count);

		pager_poll(pager);
		if (r == EDGE_E_WAIT)
			continue;
		assert_int_equal(r, 0);
		if (count == 0)
			break;
		for (uint32_t k = 0; k < count; k++, total++)
			assert_int_equal(found[k], total == 0 ? 7919 : total);
		pieces++;
	}
	assert_int_equal(total, 1001);
	assert_true(pieces > 1);
}

/* A log of small segments, and checkpoints that let them go. */
static int set_up_small(void **state)
{
	const struct store_options options = {
		.create = true,
		.polls = true,
		.log_size = 256 << 10,
		.cache_pages = PAGER_CACHE_MIN,
		.wal = {.segment_size = 64 << 10, .buffer_size = 16 << 10},
		.kv = {.memtable_size = 1 << 20},
	};
	char error[256];

	disk = faulty_new(2);
	assert_int_equal(store_open(faulty_io(disk), &options, &store, error, sizeof(error)), 0);
	return 0;
}

/* What a poll core calls, until the change is durable; jobs are a worker's. */
static void commit_by_turns(void)
{
	uint64_t lsn = 0;
	int r = STORE_E_BUSY;

	for (unsigned i = 0; i < TURNS_MAX; i++) {
		enum kv_need need;

		if (is_later(r))
			r = store_commit(store, STORE_SYNC, &lsn);
		assert_true(r == 0 || is_later(r));
		assert_int_equal(store_work(store, now_ns += NS_PER_MS, &need), 0);
		if (need == KV_NEED_JOB) {
			faulty_polls(disk, false);
			assert_int_equal(store_job(store), 0);
			faulty_polls(disk, true);
		}
		if (r == 0 && store_is_done(store, lsn))
			return;
	}
	fail_msg("the commit doesn't end");
}

static void a_log_grows_and_is_let_go_by_turns(void **state)
{
	struct store_stats stats;

	faulty_polls(disk, true);
	for (unsigned i = 0; i < 3000; i++) {
		uint8_t value[600] = {0};
		char key[16];
		struct store_put change = {.value = {value, sizeof(value)}};

		snprintf(key, sizeof(key), "key %05u", i);
		change.key = (struct entry_bytes){(const uint8_t *)key, (uint32_t)strlen(key)};
		assert_int_equal(store_put(store, &change), 0);
		commit_by_turns();
	}
	faulty_polls(disk, false);
	stats = store_stats(store);
	assert_true(stats.wal.segments > 20);
	assert_true(stats.wal.recycled > 10);
	assert_true(is_there("key 00000"));
	assert_sound();
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(edges_are_waited_for),
		CASE(an_edge_too_many_leaves_those_before),
		CASE(a_read_that_failed_cancels_the_transaction),
		CASE(a_damaged_page_is_said),
		CASE(a_row_is_given_as_far_as_it_is_read),
		cmocka_unit_test_setup_teardown(a_log_grows_and_is_let_go_by_turns, set_up_small,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

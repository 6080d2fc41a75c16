/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/clock.h"
#include "engine/feed.h"
#include "engine/store.h"
#include "tests/lib/faulty.h"

#include <stdio.h>
#include <string.h>

/* History ends where a store's options and its readers say. */

static uint64_t now;
static struct faulty *disk;
static struct store *store;

static uint64_t the_clock(void *context)
{
	(void)context;
	return now;
}

static void open_store(void)
{
	const struct store_options options = {
		.create = true,
		.wal = {.segment_size = 4 << 20, .buffer_size = 2 << 20},
		.kv = {.memtable_size = 64 << 10, .clock = the_clock},
		.history = {.age = 1000, .pin_age = 10000},
	};
	char error[256];

	assert_int_equal(store_open(faulty_io(disk), &options, &store, error, sizeof(error)), 0);
}

static void close_store(void)
{
	assert_int_equal(store_close(store), 0);
	io_free(faulty_io(disk));
}

static int set_up(void **state)
{
	(void)state;
	now = 1000000;
	disk = faulty_new(1);
	open_store();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	close_store();
	faulty_free(disk);
	return 0;
}

/* The same few keys again and again, one change in ten seconds. */
static uint64_t change(unsigned count)
{
	uint64_t lsn = 0;

	for (unsigned i = 0; i < count; i++) {
		char key[8];
		struct store_put put = {.key = {(const uint8_t *)key, 3},
					.value = {(const uint8_t *)"value", 5}};

		snprintf(key, sizeof(key), "k%02u", i % 10);
		assert_int_equal(store_put(store, &put), 0);
		assert_int_equal(store_commit(store, STORE_NONE, &lsn), 0);
		now += 10;
	}
	assert_int_equal(store_sync(store), 0);
	return lsn;
}

static void compact(void)
{
	assert_int_equal(store_checkpoint(store), 0);
	kv_compact(store_kv(store));
	assert_int_equal(store_settle(store), 0);
}

/* Events that can still be had; as many as numbers, where no page changed. */
static unsigned count_changes(void)
{
	const struct feed_options options = {.since.seqno = kv_history(store_kv(store))};
	struct feed_event event;
	unsigned count = 0;
	struct feed *feed;
	int rc;

	assert_int_equal(feed_open(store_kv(store), &options, &feed), 0);
	while (!(rc = feed_next(feed, &event)))
		count++;
	assert_int_equal(rc, FEED_E_END);
	feed_close(feed);
	return count;
}

static void what_is_older_than_the_age_goes(void **state)
{
	(void)state;
	change(500);
	compact();
	/* A hundred changes are a thousand seconds; some more by the samples' distance, and what
	 * the ten keys were just before. */
	assert_in_range(count_changes(), 95, 125);
	assert_true(kv_history(store_kv(store)) > 1);
}

static void a_reader_keeps_what_it_has_not_read(void **state)
{
	uint64_t lsn;

	(void)state;
	lsn = change(50);
	assert_int_equal(retention_pin(store_retention(store), "reader",
				       (struct feed_position){.seqno = lsn + 1}, now),
			 0);
	change(450);
	compact();
	assert_in_range(count_changes(), 450, 460);
	assert_int_equal(retention_unpin(store_retention(store), "reader"), 0);
	assert_int_equal(store_settle(store), 0);
	assert_true(retention_is_saved(store_retention(store), "reader"));
	now += 10; /* the floor is looked at now and then */
	compact();
	assert_in_range(count_changes(), 95, 125);
}

static void a_pin_and_the_samples_outlast_the_process(void **state)
{
	uint64_t lsn;

	(void)state;
	lsn = change(50);
	assert_int_equal(retention_pin(store_retention(store), "reader",
				       (struct feed_position){.seqno = lsn + 1}, now),
			 0);
	close_store();
	open_store();
	change(450);
	compact();
	assert_in_range(count_changes(), 450, 460);
	assert_int_equal(retention_unpin(store_retention(store), "reader"), 0);
	close_store();
	open_store();
	now += 10;
	compact();
	assert_in_range(count_changes(), 95, 130);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(what_is_older_than_the_age_goes),
		CASE(a_reader_keeps_what_it_has_not_read),
		CASE(a_pin_and_the_samples_outlast_the_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

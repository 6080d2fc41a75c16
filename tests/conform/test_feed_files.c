/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "engine/feed.h"
#include "engine/ledger.h"
#include "engine/table.h"
#include "tests/lib/faulty.h"
#include "tests/lib/kv_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The cases that need real files: damage of any kind, ingested tables, large values. */

#define SEED    UINT64_C(54)
#define CHANGES 400

/* Bits between two that are flipped: prime, so that all places in a byte come. */
#define STRIDE 251

static struct faulty *disk;
static struct kv_rig rig;
static uint8_t space[KV_RIG_SPACE];

static int set_up(void **state)
{
	(void)state;
	disk = faulty_new(SEED);
	kv_rig_init(&rig, faulty_io(disk));
	assert_int_equal(kv_rig_open(&rig), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	kv_rig_deinit(&rig);
	faulty_free(disk);
	return 0;
}

static void fill(void)
{
	struct rand rand;

	rand_init(&rand, SEED);
	for (unsigned i = 0; i < CHANGES; i++) {
		struct kv_change change;

		kv_rig_random(&rig, &rand, &change, space);
		assert_int_equal(kv_rig_put(&rig, &change), 0);
		if (i % 100 == 99) {
			assert_int_equal(kv_flush(rig.kv), 0);
			assert_int_equal(kv_rig_work(&rig), 0);
		}
	}
	kv_compact(rig.kv);
	assert_int_equal(kv_rig_work(&rig), 0);
}

static void assert_event(const struct feed_event *event, uint64_t seqno)
{
	const struct kv_change *change = &rig.changes[seqno - 1];

	assert_int_equal(event->seqno, seqno);
	assert_int_equal(event->key.size, change->key_size);
	assert_memory_equal(event->key.bytes, change->key, change->key_size);
	if (event->kind == FEED_POINT_TOMBSTONE)
		return;
	assert_int_equal(event->value.size, change->value_size);
	if (change->value_size > 0)
		assert_memory_equal(event->value.bytes, change->value, change->value_size);
}

/* Returns what ended it; until then all was right. */
static int read_all(bool distrust, uint64_t *ret_count)
{
	const struct feed_options options = {.distrust_bounds = distrust};
	struct feed_event event;
	struct feed *feed;
	int rc;

	*ret_count = 0;
	assert_int_equal(feed_open(rig.kv, &options, &feed), 0);
	while (!(rc = feed_next(feed, &event)))
		assert_event(&event, ++*ret_count);
	if (rc == FEED_E_CORRUPT)
		assert_true(strlen(feed_error(feed)) > 0);
	feed_close(feed);
	return rc;
}

/* Opening, or reading, says so; or the bit says nothing about what is read. */
static bool is_found(bool distrust)
{
	uint64_t count;
	int rc = kv_rig_open(&rig);

	if (rc) {
		assert_int_equal(rc, KV_E_CORRUPT);
		return true;
	}
	rc = read_all(distrust, &count);
	kv_rig_close(&rig);
	if (rc == FEED_E_CORRUPT)
		return true;
	assert_int_equal(rc, FEED_E_END);
	assert_int_equal(count, CHANGES);
	return false;
}

static bool is_data(const char *name)
{
	return strncmp(name, "table", 5) == 0 || strncmp(name, "blob", 4) == 0;
}

static void a_flipped_bit_is_an_error_and_no_wrong_answer(void **state)
{
	char(*names)[IO_NAME_MAX + 1];
	uint32_t count;
	unsigned flipped = 0, found = 0;

	(void)state;
	fill();
	kv_rig_close(&rig);
	count = faulty_files(disk, &names);
	for (uint32_t i = 0; i < count; i++) {
		size_t size;

		if (!is_data(names[i]))
			continue;
		free(faulty_file_bytes(disk, names[i], &size));
		for (uint64_t bit = i; bit < 8 * size; bit += STRIDE) {
			faulty_flip(disk, names[i], bit);
			found += is_found(flipped % 2);
			flipped++;
			faulty_flip(disk, names[i], bit);
		}
	}
	free(names);
	print_message("%u of %u flipped bits were found\n", found, flipped);
	assert_true(flipped > 100);
	/* What filters and such say isn't read by a feed, but checked when a table is opened. */
	assert_int_equal(found, flipped);
	assert_int_equal(kv_rig_open(&rig), 0);
}

static struct entry_bytes text(const char *string)
{
	return (struct entry_bytes){(const uint8_t *)string, (uint32_t)strlen(string)};
}

static uint64_t write_table(void)
{
	const struct table_writer_options options = {.compress = true};
	struct io *io = faulty_io(disk);
	uint64_t number = ledger_next_file(rig.ledger);
	struct table_summary *summary = malloc(sizeof(*summary));
	struct table_writer *writer;
	char name[IO_NAME_MAX + 1], key[8];

	assert_non_null(summary);
	kv_table_name(number, name);
	assert_int_equal(table_writer_new(io, name, &options, &writer), 0);
	for (unsigned i = 0; i < 500; i++) {
		struct entry entry = {.value = text("value"), .kind = ENTRY_VALUE};

		snprintf(key, sizeof(key), "i%03u", i);
		entry.key = text(key);
		assert_int_equal(table_writer_add(writer, &entry), 0);
	}
	assert_int_equal(table_writer_finish(writer, summary), 0);
	assert_int_equal(io_sync_folder(io), 0);
	free(summary);
	return number;
}

/* All have the number at which the table came, and follow by key, whatever the window. */
static void check_ingested(uint64_t lsn, uint32_t window)
{
	const struct feed_options options = {.since.seqno = lsn, .window = window};
	struct feed_event event;
	struct feed *feed;
	char key[8];

	assert_int_equal(feed_open(rig.kv, &options, &feed), 0);
	for (unsigned i = 0; i < 500; i++) {
		snprintf(key, sizeof(key), "i%03u", i);
		assert_int_equal(feed_next(feed, &event), 0);
		assert_int_equal(event.kind, FEED_INSERT);
		assert_int_equal(event.seqno, lsn);
		assert_int_equal(event.index, i);
		assert_memory_equal(event.key.bytes, key, 4);
	}
	assert_int_equal(feed_next(feed, &event), FEED_E_END);
	feed_close(feed);
}

static void an_ingested_table_comes_at_its_number(void **state)
{
	struct record record = {.type = RECORD_TABLE_INGEST, .timestamp = 1};

	(void)state;
	fill();
	record.lsn = rig.count + 1;
	record.ingest.table = write_table();
	record.ingest.entries = 500;
	kv_set_durable(rig.kv, record.lsn);
	assert_int_equal(kv_apply(rig.kv, &record, false), 0);
	kv_set_visible(rig.kv, record.lsn);
	check_ingested(record.lsn, 0);
	check_ingested(record.lsn, 7);
	kv_compact(rig.kv);
	assert_int_equal(kv_rig_work(&rig), 0);
	check_ingested(record.lsn, 100);
}

static void a_large_value_comes_whole_from_wherever_it_lies(void **state)
{
	uint8_t *value = malloc(100000);
	struct kv_change change = {.type = RECORD_KV_SET,
				   .key = (uint8_t *)(uintptr_t) "large",
				   .key_size = 5,
				   .value = value,
				   .value_size = 100000};
	uint64_t count;

	(void)state;
	assert_non_null(value);
	for (unsigned i = 0; i < 8; i++) {
		memset(value, 'a' + (int)i, change.value_size);
		change.value_size = i % 2 ? 100000 : KV_BLOB_MIN - 1;
		assert_int_equal(kv_rig_put(&rig, &change), 0);
	}
	assert_int_equal(read_all(false, &count), FEED_E_END);
	assert_int_equal(kv_flush(rig.kv), 0);
	assert_int_equal(kv_rig_work(&rig), 0);
	assert_int_equal(read_all(false, &count), FEED_E_END);
	assert_int_equal(count, 8);
	kv_compact(rig.kv);
	assert_int_equal(kv_rig_work(&rig), 0);
	kv_rig_close(&rig);
	assert_int_equal(kv_rig_open(&rig), 0);
	assert_int_equal(read_all(true, &count), FEED_E_END);
	assert_int_equal(count, 8);
	free(value);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(a_flipped_bit_is_an_error_and_no_wrong_answer),
		CASE(an_ingested_table_comes_at_its_number),
		CASE(a_large_value_comes_whole_from_wherever_it_lies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/defs.h"
#include "base/rand.h"
#include "engine/feed_runs.h"
#include "engine/feed_window.h"
#include "engine/io_ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SEED      UINT64_C(61)
#define ENTRY_MAX 1500
#define DISK_SIZE (64U << 20)

/* A folder with one file, which has a name until it is removed. */
struct disk {
	struct io io;
	struct io_file file;
	uint8_t *bytes;
	uint64_t size_max; /* a write that ends behind it has no room */
	bool is_open;
	bool has_name;
};

static struct disk disk;

static int disk_open(struct io *io, const char *name, unsigned flags, struct io_file **ret_file)
{
	(void)io;
	(void)name;
	assert_int_equal(flags, IO_CREATE | IO_EXCLUSIVE);
	assert_false(disk.is_open);
	disk.is_open = disk.has_name = true;
	*ret_file = &disk.file;
	return 0;
}

static int disk_remove(struct io *io, const char *name)
{
	(void)io;
	(void)name;
	assert_true(disk.has_name);
	disk.has_name = false;
	return 0;
}

static void disk_close(struct io_file *file)
{
	(void)file;
	assert_true(disk.is_open);
	disk.is_open = false;
}

static int disk_read(struct io_file *file, uint64_t offset, void *bytes, size_t size)
{
	(void)file;
	memcpy(bytes, disk.bytes + offset, size);
	return 0;
}

static int disk_write(struct io_file *file, uint64_t offset, const void *bytes, size_t size)
{
	(void)file;
	if (offset + size > disk.size_max)
		return -ENOSPC;
	memcpy(disk.bytes + offset, bytes, size);
	return 0;
}

static const struct io_ops disk_ops = {
	.open = disk_open,
	.remove = disk_remove,
	.close = disk_close,
	.read = disk_read,
	.write = disk_write,
};

static int set_up(void **state)
{
	(void)state;
	disk = (struct disk){
		.io.ops = &disk_ops,
		.bytes = malloc(DISK_SIZE),
		.size_max = DISK_SIZE,
	};
	return disk.bytes ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	assert_false(disk.is_open);
	assert_false(disk.has_name);
	free(disk.bytes);
	return 0;
}

static struct entry entries[ENTRY_MAX];
static uint32_t entry_count;

static struct entry_bytes random_bytes(struct rand *rand, uint32_t size_min, uint32_t size_max)
{
	uint32_t size = size_min + (uint32_t)rand_below(rand, size_max - size_min + 1);
	uint8_t *bytes = malloc(size + 1);

	assert_non_null(bytes);
	for (uint32_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)rand_next(rand);
	return (struct entry_bytes){bytes, size};
}

/* Most are short; some keys are as long as they may be, some values reach over many chunks. */
static void make_entries(struct rand *rand, uint32_t count)
{
	entry_count = count;
	for (uint32_t i = 0; i < count; i++) {
		bool long_key = rand_below(rand, 20) == 0, long_value = rand_below(rand, 20) == 0;
		bool is_range = rand_below(rand, 10) == 0;

		entries[i] = (struct entry){
			.key = random_bytes(rand, long_key ? ENTRY_KEY_MAX - 2 : 8,
					    long_key ? ENTRY_KEY_MAX : 20),
			.value = random_bytes(rand, 0, long_value && !is_range ? 100000 : 200),
			.seqno = rand_below(rand, 500),
			.expires = rand_below(rand, 3) ? 0 : rand_next(rand),
			.kind = is_range ? ENTRY_RANGE_TOMBSTONE
					 : (enum entry_kind)(1 + rand_below(rand, 5)),
			.type = (uint8_t)rand_next(rand),
		};
	}
}

static void free_entries(void)
{
	for (uint32_t i = 0; i < entry_count; i++) {
		free((void *)(uintptr_t)entries[i].key.bytes);
		free((void *)(uintptr_t)entries[i].value.bytes);
	}
}

static int by_order(const void *a, const void *b)
{
	return feed_window_compare(a, b);
}

/* In runs of 'size' entries, each sorted. */
static int write_runs(struct feed_runs *runs, uint32_t size)
{
	int rc = 0;

	for (uint32_t at = 0; !rc && at < entry_count; at += size) {
		uint32_t count = MIN(size, entry_count - at);

		qsort(entries + at, count, sizeof(entries[0]), by_order);
		rc = feed_runs_add(runs, entries + at, count);
	}
	return rc;
}

static void assert_same(const struct entry *a, const struct entry *b)
{
	assert_int_equal(a->seqno, b->seqno);
	assert_int_equal(a->expires, b->expires);
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->type, b->type);
	assert_true(key_equal(a->key, b->key));
	assert_true(key_equal(a->value, b->value));
}

static void runs_are_merged_into_one_row(void **state)
{
	struct feed_runs *runs;
	struct rand rand;

	(void)state;
	rand_init(&rand, SEED);
	for (unsigned round = 0; round < 20; round++) {
		make_entries(&rand, 1 + (uint32_t)rand_below(&rand, ENTRY_MAX));
		assert_int_equal(feed_runs_new(&disk.io, ENTRY_MAX, &runs), 0);
		assert_false(disk.has_name);
		assert_int_equal(write_runs(runs, 1 + (uint32_t)rand_below(&rand, 300)), 0);
		assert_int_equal(feed_runs_begin(runs), 0);
		qsort(entries, entry_count, sizeof(entries[0]), by_order);
		for (uint32_t i = 0; i < entry_count; i++) {
			assert_non_null(feed_runs_entry(runs));
			assert_same(feed_runs_entry(runs), &entries[i]);
			assert_int_equal(feed_runs_next(runs), 0);
		}
		assert_null(feed_runs_entry(runs));
		assert_true(feed_runs_bytes(runs) > 0);
		feed_runs_free(runs);
		free_entries();
	}
}

/* What a flipped bit of a chunk comes to: the entries before it, then the error. */
static void a_flipped_bit_is_found(void **state)
{
	struct feed_runs *runs;
	struct rand rand;

	(void)state;
	rand_init(&rand, SEED + 1);
	make_entries(&rand, 400);
	for (unsigned round = 0; round < 40; round++) {
		uint64_t bit;
		uint32_t given = 0;
		int rc;

		assert_int_equal(feed_runs_new(&disk.io, 8, &runs), 0);
		assert_int_equal(write_runs(runs, 100), 0);
		bit = rand_below(&rand, feed_runs_bytes(runs) * 8);
		disk.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
		qsort(entries, entry_count, sizeof(entries[0]), by_order);
		rc = feed_runs_begin(runs);
		for (; !rc; rc = feed_runs_next(runs)) {
			assert_non_null(feed_runs_entry(runs));
			assert_same(feed_runs_entry(runs), &entries[given++]);
		}
		assert_int_equal(rc, FEED_RUNS_E_CORRUPT);
		feed_runs_free(runs);
	}
	free_entries();
}

static void a_chunk_from_elsewhere_is_refused(void **state)
{
	struct feed_runs *runs;
	struct rand rand;

	(void)state;
	rand_init(&rand, SEED + 2);
	make_entries(&rand, 10);
	assert_int_equal(feed_runs_new(&disk.io, 8, &runs), 0);
	assert_int_equal(write_runs(runs, 5), 0);
	memcpy(disk.bytes, disk.bytes + FEED_RUNS_CHUNK, FEED_RUNS_CHUNK);
	assert_int_equal(feed_runs_begin(runs), FEED_RUNS_E_CORRUPT);
	feed_runs_free(runs);
	free_entries();
}

static void more_runs_than_can_be_read_are_refused(void **state)
{
	struct feed_runs *runs;
	struct rand rand;

	(void)state;
	rand_init(&rand, SEED + 3);
	make_entries(&rand, 100);
	assert_int_equal(feed_runs_new(&disk.io, 9, &runs), 0);
	assert_int_equal(write_runs(runs, 10), FEED_RUNS_E_FULL);
	feed_runs_free(runs);
	free_entries();
}

static void missing_room_is_said(void **state)
{
	struct feed_runs *runs;
	struct rand rand;

	(void)state;
	rand_init(&rand, SEED + 4);
	make_entries(&rand, 300);
	disk.size_max = 3 * FEED_RUNS_CHUNK;
	assert_int_equal(feed_runs_new(&disk.io, 9, &runs), 0);
	assert_int_equal(write_runs(runs, 300), -ENOSPC);
	feed_runs_free(runs);
	free_entries();
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(runs_are_merged_into_one_row),
		CASE(a_flipped_bit_is_found),
		CASE(a_chunk_from_elsewhere_is_refused),
		CASE(more_runs_than_can_be_read_are_refused),
		CASE(missing_room_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

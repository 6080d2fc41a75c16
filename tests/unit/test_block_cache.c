/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/block_cache.h"

#include "base/byteorder.h"
#include "base/defs.h"
#include "base/rand.h"
#include "tests/lib/faulty.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define NAME      "pieces"
#define PIECE_MAX 3000

/* A file of pieces; every second one is compressed. */
struct rig {
	struct faulty *disk;
	struct block_cache *cache;
	struct block_cache_file file;
	struct piece_place places[PIECE_MAX];
	unsigned count;
};

static uint8_t byte_of(unsigned piece, uint32_t i)
{
	return (uint8_t)(piece * 31 + i / 64);
}

static void put_piece(struct rig *rig, struct io_file *file, uint32_t raw_size, uint64_t *offset)
{
	uint8_t *raw = malloc(raw_size), *bytes = malloc(ZSTD_compressBound(raw_size) + 4);
	struct piece_place place = {.offset = *offset, .size = raw_size, .raw_size = raw_size};

	assert_true(raw && bytes);
	for (uint32_t i = 0; i < raw_size; i++)
		raw[i] = byte_of(rig->count, i);
	memcpy(bytes, raw, raw_size);
	if (rig->count % 2)
		place.size = (uint32_t)ZSTD_compress(bytes, ZSTD_compressBound(raw_size), raw,
						     raw_size, 1);
	store_le32(bytes + place.size, piece_crc(rig->file.seed, *offset, bytes, place.size));
	assert_int_equal(io_write(file, *offset, bytes, place.size + PIECE_CRC_SIZE), 0);
	*offset += place.size + PIECE_CRC_SIZE;
	rig->places[rig->count++] = place;
	free(raw);
	free(bytes);
}

/* 'count' pieces of about 'size' bytes each. */
static void rig_init(struct rig *rig, unsigned count, uint32_t size)
{
	uint64_t offset = 0;
	struct io *io;

	*rig = (struct rig){.disk = faulty_new(1)};
	io = faulty_io(rig->disk);
	assert_int_equal(io_open(io, NAME, IO_CREATE, &rig->file.file), 0);
	rig->file.seed = piece_seed((const uint8_t *)"sixteen bytes...", 1);
	while (rig->count < count)
		put_piece(rig, rig->file.file, size - rig->count % 100, &offset);
	assert_int_equal(block_cache_new(io, BLOCK_CACHE_SIZE_MIN, &rig->cache), 0);
	rig->file.id = block_cache_id(rig->cache);
}

static void rig_deinit(struct rig *rig)
{
	block_cache_leave(rig->cache, rig->file.id);
	io_close(rig->file.file);
	block_cache_free(rig->cache);
	faulty_free(rig->disk);
}

static int get(struct rig *rig, unsigned piece, bool wait_never, bool *ret_missed,
	       struct block_cached **ret_block)
{
	return block_cache_get(rig->cache, &rig->file, rig->places[piece], wait_never, ret_missed,
			       ret_block);
}

static void check_bytes(const struct rig *rig, unsigned piece, const struct block_cached *block)
{
	assert_int_equal(block->size, rig->places[piece].raw_size);
	for (uint32_t i = 0; i < block->size; i += 61)
		assert_int_equal(block->bytes[i], byte_of(piece, i));
}

/* Gets and puts it. Returns whether it was read. */
static bool touch(struct rig *rig, unsigned piece)
{
	struct block_cached *block;
	bool missed;

	assert_int_equal(get(rig, piece, false, &missed, &block), 0);
	check_bytes(rig, piece, block);
	block_cache_put(rig->cache, block);
	return missed;
}

static void a_block_is_read_once(void **state)
{
	struct rig rig;

	rig_init(&rig, 100, 4096);
	for (unsigned i = 0; i < 300; i++)
		assert_int_equal(touch(&rig, i % 100), i < 100);
	assert_int_equal(block_cache_stats(rig.cache).hits, 200);
	assert_int_equal(block_cache_stats(rig.cache).misses, 100);
	assert_int_equal(block_cache_stats(rig.cache).evicted, 0);
	rig_deinit(&rig);
}

/* The working set is used between the blocks of a scan that is larger than the cache. */
static void what_is_used_stays_while_a_scan_goes_by(void **state)
{
	struct rig rig;
	unsigned read_again = 0;

	rig_init(&rig, 3000, 4096);
	for (unsigned i = 0; i < 300; i++)
		touch(&rig, i);
	for (unsigned i = 300; i < 3000; i++) {
		touch(&rig, i);
		for (unsigned k = 0; k < 4; k++)
			read_again += touch(&rig, (4 * i + k) % 300);
	}
	print_message("%u of 10800 read again\n", read_again);
	assert_true(block_cache_stats(rig.cache).evicted > 1500);
	assert_true(read_again < 300);
	rig_deinit(&rig);
}

static void pinned_blocks_stay_where_they_are(void **state)
{
	struct block_cached *pins[200];
	struct rig rig;
	bool missed;

	rig_init(&rig, 3000, 4096);
	for (unsigned i = 0; i < ARRAY_COUNT(pins); i++)
		assert_int_equal(get(&rig, 3 * i, false, &missed, &pins[i]), 0);
	for (unsigned i = 0; i < 3000; i++)
		touch(&rig, i);
	assert_int_equal(block_cache_stats(rig.cache).pinned, ARRAY_COUNT(pins));
	for (unsigned i = 0; i < ARRAY_COUNT(pins); i++) {
		struct block_cached *same;

		check_bytes(&rig, 3 * i, pins[i]);
		assert_int_equal(get(&rig, 3 * i, false, &missed, &same), 0);
		assert_ptr_equal(same, pins[i]);
		block_cache_put(rig.cache, same);
		block_cache_put(rig.cache, pins[i]);
	}
	assert_int_equal(block_cache_stats(rig.cache).pinned, 0);
	rig_deinit(&rig);
}

/* For one who must not wait: polls until it is here. */
static struct block_cached *get_by_polling(struct rig *rig, unsigned piece)
{
	struct block_cached *block;
	bool missed;
	int result;

	faulty_polls(rig->disk, true);
	while ((result = get(rig, piece, true, &missed, &block)) == BLOCK_CACHE_E_WAIT)
		(void)block_cache_poll(rig->cache);
	faulty_polls(rig->disk, false);
	assert_int_equal(result, 0);
	check_bytes(rig, piece, block);
	return block;
}

static void when_all_is_pinned_it_says_so(void **state)
{
	struct block_cached *pins[PIECE_MAX];
	unsigned count = 0;
	struct rig rig;
	bool missed;
	int result;

	rig_init(&rig, 100, 100000);
	while ((result = get(&rig, count, false, &missed, &pins[count])) == 0)
		count++;
	assert_int_equal(result, BLOCK_CACHE_E_FULL);
	assert_in_range(count, 38, 42);
	assert_int_equal(block_cache_stats(rig.cache).full, 1);
	assert_int_equal(block_cache_stats(rig.cache).outside, 0);
	block_cache_put(rig.cache, pins[1]);
	assert_true(touch(&rig, count));
	for (unsigned i = 0; i < count; i++)
		if (i != 1)
			block_cache_put(rig.cache, pins[i]);
	rig_deinit(&rig);
}

static void a_block_that_fills_half_of_the_cache_is_not_for_it(void **state)
{
	struct block_cached *block;
	struct rig rig;
	bool missed;

	rig_init(&rig, 2, (UINT32_C(2) << 20) + 1000);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(get(&rig, i, false, &missed, &block), BLOCK_CACHE_E_FULL);
		block = get_by_polling(&rig, i);
		/* Who may wait has it, too, as long as it is there. */
		assert_false(touch(&rig, i));
		block_cache_put(rig.cache, block);
	}
	assert_int_equal(block_cache_stats(rig.cache).evicted, 0);
	rig_deinit(&rig);
}

/* One that must not wait has its block where there is no room for it, too. */
static void when_all_is_pinned_a_poll_core_goes_on(void **state)
{
	struct block_cached *pins[PIECE_MAX], *block;
	unsigned count = 0, here = 0;
	bool had[PIECE_MAX] = {false}, missed;
	struct rig rig;

	rig_init(&rig, 180, 100000);
	while (get(&rig, count, false, &missed, &pins[count]) == 0)
		count++;
	/* More of them wait than reads may be under way, and come round one after the other. */
	faulty_polls(rig.disk, true);
	for (unsigned i = count; here < 180 - count; i = i + 1 < 180 ? i + 1 : count) {
		(void)block_cache_poll(rig.cache);
		if (had[i] || get(&rig, i, true, &missed, &block) != 0)
			continue;
		check_bytes(&rig, i, block);
		block_cache_put(rig.cache, block);
		had[i] = true;
		here++;
	}
	assert_true(block_cache_stats(rig.cache).outside > 0);
	for (unsigned i = 0; i < count; i++) {
		check_bytes(&rig, i, pins[i]);
		block_cache_put(rig.cache, pins[i]);
	}
	faulty_polls(rig.disk, false);
	rig_deinit(&rig);
}

/* A search begins anew behind each wait, and needs all of them. */
static void a_read_of_several_long_blocks_ends(void **state)
{
	struct block_cached *block = NULL, *next;
	unsigned at = 0, tries = 0;
	struct rig rig;
	bool missed;

	rig_init(&rig, 4, (UINT32_C(3) << 20));
	while (at < 4) {
		assert_true(++tries < 1000);
		if (get(&rig, at, true, &missed, &next) != 0) {
			(void)block_cache_poll(rig.cache);
			at = 0;
			continue;
		}
		check_bytes(&rig, at++, next);
		if (block)
			block_cache_put(rig.cache, block);
		block = next;
	}
	block_cache_put(rig.cache, block);
	rig_deinit(&rig);
}

static void long_blocks_do_not_stay_for_ever(void **state)
{
	struct rig rig;

	rig_init(&rig, 30, UINT32_C(5) << 20);
	for (unsigned i = 0; i < 30; i++)
		block_cache_put(rig.cache, get_by_polling(&rig, i));
	assert_in_range(block_cache_stats(rig.cache).outside, UINT32_C(56) << 20,
			UINT32_C(64) << 20);
	/* The oldest went. */
	assert_int_equal(block_cache_stats(rig.cache).misses, 30);
	block_cache_put(rig.cache, get_by_polling(&rig, 29));
	assert_int_equal(block_cache_stats(rig.cache).misses, 30);
	block_cache_put(rig.cache, get_by_polling(&rig, 0));
	assert_int_equal(block_cache_stats(rig.cache).misses, 31);
	rig_deinit(&rig);
}

/* Who asked and never comes again doesn't hold up others for ever. */
static void long_blocks_that_nobody_comes_for_are_given_up(void **state)
{
	struct block_cached *block;
	struct rig rig;
	bool missed;

	rig_init(&rig, 1, UINT32_C(3) << 20);
	for (uint64_t i = 0; i < BLOCK_CACHE_READ_MAX; i++) {
		/* Each as a file of its own. */
		rig.file.id = block_cache_id(rig.cache);
		assert_int_equal(get(&rig, 0, true, &missed, &block), BLOCK_CACHE_E_WAIT);
		while (!block_cache_poll(rig.cache))
			;
	}
	rig.file.id = block_cache_id(rig.cache);
	block_cache_put(rig.cache, get_by_polling(&rig, 0));
	assert_in_range(block_cache_stats(rig.cache).outside, 1, UINT32_C(4) << 20);
	rig_deinit(&rig);
}

static void a_long_block_that_fails_is_told_once(void **state)
{
	struct block_cached *block;
	struct rig rig;
	bool missed;
	int result;

	rig_init(&rig, 1, UINT32_C(3) << 20);
	faulty_flip(rig.disk, NAME, 12345);
	while ((result = get(&rig, 0, true, &missed, &block)) == BLOCK_CACHE_E_WAIT)
		(void)block_cache_poll(rig.cache);
	assert_int_equal(result, BLOCK_CACHE_E_CORRUPT);
	assert_int_equal(block_cache_stats(rig.cache).outside, 0);
	faulty_flip(rig.disk, NAME, 12345);
	block_cache_put(rig.cache, get_by_polling(&rig, 0));
	rig_deinit(&rig);
}

static void who_must_not_wait_comes_again(void **state)
{
	struct block_cached *block;
	struct rig rig;
	bool missed;

	rig_init(&rig, 200, 4096);
	assert_int_equal(get(&rig, 5, true, &missed, &block), BLOCK_CACHE_E_WAIT);
	assert_true(missed);
	assert_int_equal(get(&rig, 5, true, &missed, &block), BLOCK_CACHE_E_WAIT);
	assert_false(missed);
	assert_int_equal(block_cache_stats(rig.cache).reads, 1);
	while (!block_cache_poll(rig.cache))
		;
	assert_int_equal(get(&rig, 5, true, &missed, &block), 0);
	check_bytes(&rig, 5, block);
	block_cache_put(rig.cache, block);
	assert_false(block_cache_poll(rig.cache));
	rig_deinit(&rig);
}

static void more_reads_than_there_may_be_wait_too(void **state)
{
	struct block_cached *block;
	unsigned here = 0;
	struct rig rig;
	bool missed;

	rig_init(&rig, 200, 4096);
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(get(&rig, i, true, &missed, &block), BLOCK_CACHE_E_WAIT);
	assert_int_equal(block_cache_stats(rig.cache).reads, BLOCK_CACHE_READ_MAX);
	while (here < 200) {
		(void)block_cache_poll(rig.cache);
		for (unsigned i = here; i < 200; i++) {
			if (get(&rig, i, true, &missed, &block) != 0)
				break;
			check_bytes(&rig, i, block);
			block_cache_put(rig.cache, block);
			here++;
		}
	}
	rig_deinit(&rig);
}

static void who_may_wait_takes_what_another_asked_for(void **state)
{
	struct block_cached *block;
	struct rig rig;
	bool missed;

	rig_init(&rig, 10, 20000);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(get(&rig, i, true, &missed, &block), BLOCK_CACHE_E_WAIT);
	for (unsigned i = 0; i < 10; i++)
		assert_false(touch(&rig, i));
	assert_int_equal(block_cache_stats(rig.cache).misses, 10);
	rig_deinit(&rig);
}

static void reads_under_way_end_before_their_file_is_closed(void **state)
{
	struct block_cached *block;
	struct rig rig;
	bool missed;

	rig_init(&rig, 10, 4096);
	assert_int_equal(get(&rig, 3, true, &missed, &block), BLOCK_CACHE_E_WAIT);
	block_cache_leave(rig.cache, rig.file.id + 1);
	block_cache_leave(rig.cache, rig.file.id);
	assert_int_equal(block_cache_stats(rig.cache).reads, 0);
	rig_deinit(&rig);
}

static void two_files_do_not_see_each_others_blocks(void **state)
{
	struct block_cached *block, *other;
	struct rig rig;
	bool missed;
	uint64_t id;

	rig_init(&rig, 10, 4096);
	assert_int_equal(get(&rig, 0, false, &missed, &block), 0);
	id = rig.file.id;
	rig.file.id = block_cache_id(rig.cache);
	assert_int_not_equal(rig.file.id, id);
	assert_int_equal(get(&rig, 0, false, &missed, &other), 0);
	assert_true(missed);
	assert_ptr_not_equal(block, other);
	block_cache_put(rig.cache, block);
	block_cache_put(rig.cache, other);
	rig_deinit(&rig);
}

/* Gets it in one of both ways, until it is there or an error is. */
static int get_somehow(struct rig *rig, unsigned piece, bool wait_never,
		       struct block_cached **ret_block)
{
	bool missed;
	int result;

	while ((result = get(rig, piece, wait_never, &missed, ret_block)) == BLOCK_CACHE_E_WAIT)
		(void)block_cache_poll(rig->cache);
	return result;
}

static void a_failure_is_told_once_and_then_it_is_read_again(void **state)
{
	struct block_cached *block;
	struct rig rig;

	rig_init(&rig, 10, 40000);
	for (unsigned i = 0; i < 10; i++) {
		bool wait_never = i & 2;

		faulty_fail_at(rig.disk, faulty_calls(rig.disk) + 1, -EIO, 1);
		assert_int_equal(get_somehow(&rig, i, wait_never, &block), -EIO);
		faulty_flip(rig.disk, NAME, 8 * rig.places[i].offset + 77);
		assert_int_equal(get_somehow(&rig, i, wait_never, &block), BLOCK_CACHE_E_CORRUPT);
		faulty_flip(rig.disk, NAME, 8 * rig.places[i].offset + 77);
		assert_int_equal(get_somehow(&rig, i, wait_never, &block), 0);
		check_bytes(&rig, i, block);
		block_cache_put(rig.cache, block);
	}
	rig.places[9].offset += 100;
	assert_int_equal(get_somehow(&rig, 9, false, &block), BLOCK_CACHE_E_END);
	assert_int_equal(get_somehow(&rig, 9, true, &block), BLOCK_CACHE_E_END);
	rig_deinit(&rig);
}

/* Blocks of many sizes, some pinned for a while, asked for in all ways: what comes is right. */
static void any_order_of_calls_gives_the_right_bytes(void **state)
{
	struct block_cached *pins[32] = {NULL};
	unsigned pinned[32] = {0};
	struct rand rand;
	struct rig rig;
	uint64_t offset;

	rig_init(&rig, 1, 4096);
	rand_init(&rand, 8);
	offset = rig.places[0].size + PIECE_CRC_SIZE;
	while (rig.count < 600)
		put_piece(&rig, rig.file.file,
			  1000 + (uint32_t)rand_below(&rand, 1 << (8 + rand_below(&rand, 9))),
			  &offset);
	for (unsigned i = 0; i < 20000; i++) {
		unsigned slot = (unsigned)rand_below(&rand, ARRAY_COUNT(pins));
		unsigned piece = (unsigned)rand_below(&rand, rig.count);

		if (pins[slot]) {
			check_bytes(&rig, pinned[slot], pins[slot]);
			block_cache_put(rig.cache, pins[slot]);
			pins[slot] = NULL;
		}
		if (get_somehow(&rig, piece, rand_below(&rand, 2), &pins[slot]) == 0) {
			pinned[slot] = piece;
			check_bytes(&rig, piece, pins[slot]);
		}
	}
	for (unsigned slot = 0; slot < ARRAY_COUNT(pins); slot++)
		if (pins[slot])
			block_cache_put(rig.cache, pins[slot]);
	assert_int_equal(block_cache_stats(rig.cache).full, 0);
	rig_deinit(&rig);
}

static void too_little_memory_is_refused(void **state)
{
	struct faulty *disk = faulty_new(1);
	struct block_cache *cache = NULL;

	assert_int_equal(block_cache_new(faulty_io(disk), BLOCK_CACHE_SIZE_MIN - 1, &cache),
			 -EINVAL);
	assert_null(cache);
	block_cache_free(NULL);
	faulty_free(disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_block_is_read_once),
		cmocka_unit_test(what_is_used_stays_while_a_scan_goes_by),
		cmocka_unit_test(pinned_blocks_stay_where_they_are),
		cmocka_unit_test(when_all_is_pinned_it_says_so),
		cmocka_unit_test(a_block_that_fills_half_of_the_cache_is_not_for_it),
		cmocka_unit_test(when_all_is_pinned_a_poll_core_goes_on),
		cmocka_unit_test(a_read_of_several_long_blocks_ends),
		cmocka_unit_test(long_blocks_do_not_stay_for_ever),
		cmocka_unit_test(a_long_block_that_fails_is_told_once),
		cmocka_unit_test(long_blocks_that_nobody_comes_for_are_given_up),
		cmocka_unit_test(who_must_not_wait_comes_again),
		cmocka_unit_test(more_reads_than_there_may_be_wait_too),
		cmocka_unit_test(who_may_wait_takes_what_another_asked_for),
		cmocka_unit_test(reads_under_way_end_before_their_file_is_closed),
		cmocka_unit_test(two_files_do_not_see_each_others_blocks),
		cmocka_unit_test(a_failure_is_told_once_and_then_it_is_read_again),
		cmocka_unit_test(any_order_of_calls_gives_the_right_bytes),
		cmocka_unit_test(too_little_memory_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/defs.h"
#include "base/rand.h"
#include "engine/feed_window.h"

#include <stdlib.h>
#include <string.h>

#define SEED      UINT64_C(52)
#define ENTRY_MAX 400

static struct entry_bytes random_bytes(struct rand *rand, uint8_t *bytes, uint32_t size_max)
{
	uint32_t size = (uint32_t)rand_below(rand, size_max + 1);

	for (uint32_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)rand_below(rand, 256);
	return (struct entry_bytes){bytes, size};
}

static int by_order(const void *a, const void *b)
{
	return feed_window_compare(a, b);
}

static uint32_t size_of(const struct entry *entry)
{
	return entry->key.size + entry->value.size;
}

/* Against sorting all of them: what is in the window is their beginning, whole, and fits; and the
 * limit is where it ends. */
static void check_window(const struct feed_window *window, const struct entry *sorted,
			 uint32_t count)
{
	uint32_t size = 0;

	assert_true(window->count <= window->count_max);
	for (uint32_t i = 0; i < window->count; i++) {
		const struct entry *entry = &window->entries[i];

		assert_int_equal(feed_window_compare(entry, &sorted[i]), 0);
		assert_int_equal(entry->value.size, sorted[i].value.size);
		assert_memory_equal(entry->value.bytes, sorted[i].value.bytes, entry->value.size);
		size += size_of(entry);
	}
	assert_true(size <= window->size_max);
	assert_int_equal(window->limit.set, window->count < count);
	if (window->limit.set) {
		assert_int_equal(feed_window_compare(&window->limit.entry, &sorted[window->count]),
				 0);
		assert_true(window->count > 0);
	}
}

static void it_keeps_the_first_of_what_is_offered(void **state)
{
	static uint8_t keys[ENTRY_MAX][8], values[ENTRY_MAX][64];
	static struct entry entries[ENTRY_MAX];
	struct feed_window window;
	struct rand rand;

	(void)state;
	rand_init(&rand, SEED);
	for (unsigned round = 0; round < 300; round++) {
		uint32_t count = (uint32_t)rand_below(&rand, ENTRY_MAX) + 1;
		uint32_t count_max = (uint32_t)rand_below(&rand, ENTRY_MAX) + 1;
		uint32_t size_max = 80 + (uint32_t)rand_below(&rand, 8000);
		bool in_order = rand_below(&rand, 3) == 0;

		assert_int_equal(feed_window_init(&window, count_max, size_max), 0);
		for (uint32_t i = 0; i < count; i++)
			entries[i] = (struct entry){
				.key = random_bytes(&rand, keys[i], 8),
				.value = random_bytes(&rand, values[i], 64),
				.seqno = in_order ? i : rand_below(&rand, 1U << 30),
				.kind = ENTRY_VALUE,
			};
		for (uint32_t i = 0; i < count; i++)
			feed_window_add(&window, &entries[i]);
		feed_window_seal(&window);
		qsort(entries, count, sizeof(entries[0]), by_order);
		check_window(&window, entries, count);
		feed_window_deinit(&window);
	}
}

static struct entry_bytes text(const char *string)
{
	return (struct entry_bytes){(const uint8_t *)string, (uint32_t)strlen(string)};
}

static void add(struct feed_window *window, uint64_t seqno, enum entry_kind kind, const char *key,
		const char *value)
{
	struct entry entry = {.key = text(key), .value = text(value), .seqno = seqno, .kind = kind};

	feed_window_add(window, &entry);
}

static void ranges_stand_before_points_of_their_number(void **state)
{
	struct feed_window window;

	(void)state;
	assert_int_equal(feed_window_init(&window, 8, 100), 0);
	add(&window, 2, ENTRY_VALUE, "a", "");
	add(&window, 2, ENTRY_RANGE_TOMBSTONE, "x", "y");
	add(&window, 1, ENTRY_VALUE, "z", "");
	feed_window_seal(&window);
	assert_int_equal(window.count, 3);
	assert_int_equal(window.entries[0].seqno, 1);
	assert_int_equal(window.entries[1].kind, ENTRY_RANGE_TOMBSTONE);
	assert_int_equal(window.entries[2].kind, ENTRY_VALUE);
	feed_window_deinit(&window);
}

/* Pieces that overlap, too; but not those with a gap between them, or of another number. */
static void pieces_become_whole(void **state)
{
	struct feed_window window;

	(void)state;
	assert_int_equal(feed_window_init(&window, 16, 100), 0);
	add(&window, 1, ENTRY_RANGE_TOMBSTONE, "c", "e");
	add(&window, 1, ENTRY_RANGE_TOMBSTONE, "a", "d");
	add(&window, 1, ENTRY_RANGE_TOMBSTONE, "b", "c");
	add(&window, 1, ENTRY_RANGE_TOMBSTONE, "f", "g");
	add(&window, 2, ENTRY_RANGE_TOMBSTONE, "g", "h");
	feed_window_seal(&window);
	assert_int_equal(window.count, 3);
	assert_memory_equal(window.entries[0].key.bytes, "a", 1);
	assert_memory_equal(window.entries[0].value.bytes, "e", 1);
	assert_memory_equal(window.entries[1].value.bytes, "g", 1);
	assert_int_equal(window.entries[2].seqno, 2);
	assert_int_equal(window.last.entry.seqno, 2);
	feed_window_deinit(&window);
}

static void a_number_whose_pieces_do_not_fit_is_left_to_the_next(void **state)
{
	struct feed_window window;

	(void)state;
	assert_int_equal(feed_window_init(&window, 3, 100), 0);
	add(&window, 1, ENTRY_VALUE, "k", "");
	add(&window, 2, ENTRY_RANGE_TOMBSTONE, "a", "b");
	add(&window, 2, ENTRY_RANGE_TOMBSTONE, "b", "c");
	add(&window, 2, ENTRY_RANGE_TOMBSTONE, "c", "d");
	feed_window_seal(&window);
	assert_int_equal(window.count, 1);
	assert_int_equal(window.last.entry.seqno, 1);
	feed_window_deinit(&window);
}

static void a_cleared_one_is_empty(void **state)
{
	struct feed_window window;

	(void)state;
	assert_int_equal(feed_window_init(&window, 1, 100), 0);
	add(&window, 2, ENTRY_BLOB, "a", "");
	add(&window, 1, ENTRY_BLOB, "b", "");
	assert_true(window.limit.set);
	assert_true(window.has_blobs);
	feed_window_clear(&window);
	assert_false(window.limit.set);
	assert_false(window.has_blobs);
	feed_window_seal(&window);
	assert_int_equal(window.count, 0);
	assert_false(window.last.set);
	feed_window_deinit(&window);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_keeps_the_first_of_what_is_offered),
		cmocka_unit_test(ranges_stand_before_points_of_their_number),
		cmocka_unit_test(pieces_become_whole),
		cmocka_unit_test(a_number_whose_pieces_do_not_fit_is_left_to_the_next),
		cmocka_unit_test(a_cleared_one_is_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/defs.h"
#include "base/rand.h"
#include "hnsw/filter.h"

#include <roaring/roaring.h>
#include <stdlib.h>
#include <string.h>

/* Bitmaps that CRoaring writes, read by us; then the same with bytes changed. */

#define LABEL_MAX 1000000
#define ROUNDS    300
#define SEED      UINT64_C(20)

static roaring_bitmap_t *random_bitmap(struct rand *rand)
{
	roaring_bitmap_t *bitmap = roaring_bitmap_create();
	unsigned pieces = (unsigned)rand_below(rand, 8);

	for (unsigned i = 0; i < pieces; i++) {
		uint64_t first = rand_below(rand, LABEL_MAX + 100000);
		uint64_t length = rand_below(rand, 1U << rand_below(rand, 18)) + 1;
		uint64_t step = rand_below(rand, 4) ? rand_below(rand, 40) + 1 : 1;

		for (uint64_t j = 0; j < length; j += step)
			roaring_bitmap_add(bitmap, (uint32_t)(first + j));
	}
	if (rand_below(rand, 2))
		roaring_bitmap_run_optimize(bitmap);
	return bitmap;
}

static char *serialize(const roaring_bitmap_t *bitmap, size_t *ret_size)
{
	size_t size = roaring_bitmap_portable_size_in_bytes(bitmap);
	char *bytes = malloc(size);

	assert_non_null(bytes);
	assert_int_equal(roaring_bitmap_portable_serialize(bitmap, bytes), size);
	*ret_size = size;
	return bytes;
}

static void assert_same_members(const roaring_bitmap_t *bitmap, const struct filter *filter)
{
	roaring_uint32_iterator_t *iterator = roaring_create_iterator(bitmap);
	uint64_t count = 0;

	for (; iterator->has_value && iterator->current_value <= LABEL_MAX; count++) {
		uint32_t label = iterator->current_value;

		assert_true(filter_words(filter)[label / 64] >> label % 64 & 1);
		roaring_advance_uint32_iterator(iterator);
	}
	assert_int_equal(filter_count(filter), count);
	roaring_free_uint32_iterator(iterator);
}

static uint64_t count_bits(const struct filter *filter)
{
	uint64_t count = 0;

	for (size_t i = 0; i <= LABEL_MAX / 64; i++)
		count += (uint64_t)__builtin_popcountll(filter_words(filter)[i]);
	return count;
}

static void what_croaring_writes_is_read(void **state)
{
	struct filter *filter;
	struct rand rand;

	rand_init(&rand, SEED);
	assert_int_equal(filter_new(LABEL_MAX, &filter), 0);
	for (unsigned round = 0; round < ROUNDS; round++) {
		roaring_bitmap_t *bitmap = random_bitmap(&rand);
		size_t size;
		char *bytes = serialize(bitmap, &size);

		assert_int_equal(filter_read(filter, (const uint8_t *)bytes, size), 0);
		assert_same_members(bitmap, filter);
		assert_int_equal(count_bits(filter), filter_count(filter));
		free(bytes);
		roaring_bitmap_free(bitmap);
	}
	filter_free(filter);
}

/* Every truncation is refused; a changed byte is refused or read as some other set, fully counted.
 */
static void damaged_bitmaps_are_refused_or_counted_right(void **state)
{
	unsigned refused = 0;
	struct filter *filter;
	struct rand rand;

	rand_init(&rand, SEED + 1);
	assert_int_equal(filter_new(LABEL_MAX, &filter), 0);
	for (unsigned round = 0; round < ROUNDS; round++) {
		roaring_bitmap_t *bitmap = random_bitmap(&rand);
		size_t size, piece;
		char *bytes = serialize(bitmap, &size);
		char *exact;

		bytes[rand_below(&rand, MIN(size, 60))] ^= (char)(1U << rand_below(&rand, 8));
		refused += filter_read(filter, (const uint8_t *)bytes, size) != 0;
		assert_int_equal(count_bits(filter), filter_count(filter));
		/* Exactly as large as its bytes, so that a sanitizer sees an overread. */
		piece = rand_below(&rand, size);
		exact = malloc(piece ? piece : 1);
		assert_non_null(exact);
		memcpy(exact, bytes, piece);
		assert_int_equal(filter_read(filter, (const uint8_t *)exact, piece),
				 FILTER_E_MALFORMED);
		free(exact);
		free(bytes);
		roaring_bitmap_free(bitmap);
	}
	assert_true(refused > ROUNDS / 3);
	filter_free(filter);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_croaring_writes_is_read),
		cmocka_unit_test(damaged_bitmaps_are_refused_or_counted_right),
	};

	print_message("seed %llu\n", (unsigned long long)SEED);
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

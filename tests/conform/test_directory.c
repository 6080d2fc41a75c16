/* SPDX-License-Identifier: Apache-2.0 */
#include "base/byteorder.h"
#include "base/crc.h"
#include "base/rand.h"
#include "proto/directory.h"
#include "tests/lib/test.h"

#include <string.h>

/* Shard 3, generation 5, two segments; its checksum is of another program's CRC-32C. */
#define HEAD                                                                                       \
	"5445524e4449520a 01000000 02000000 0500000000000000 03000000"                             \
	"00000000 0000000000000000 0000000000000000 0000000000000000 00000000 cdd08b54"
#define SEGMENT_1                                                                                  \
	"0100000000000000 0700000000000000 0000100000000000 00000f0000000000"                      \
	"e8030000 44332211 88776655 00000000 0000000000000000 0000000000000000"
#define SEGMENT_2                                                                                  \
	"0000000001000000 0800000000000000 4001000000000000 0001000000000000"                      \
	"00000000 ddccbbaa 00000000 00000000 0000000000000000 0000000000000000"
#define DIRECTORY HEAD SEGMENT_1 SEGMENT_2

/* Shard 9, generation 1, one segment, whose owner tells its ef. */
#define WITH_EF                                                                                    \
	"5445524e4449520a 01000000 01000000 0100000000000000 09000000"                             \
	"00000000 0000000000000000 0000000000000000 0000000000000000 00000000 a648e819"            \
	"0100000000000000 0700000000000000 0000100000000000 00000f0000000000"                      \
	"e8030000 44332211 88776655 78000000 0000000000000000 0000000000000000"

/* Shard 9, generation 1, nothing in it. */
#define EMPTY                                                                                      \
	"5445524e4449520a 01000000 00000000 0100000000000000 09000000"                             \
	"00000000 0000000000000000 0000000000000000 0000000000000000 00000000 249bb78b"

#define SIZE_MAX_OF_TESTS 192

static const struct directory_segment two[] = {
	{.id = 1,
	 .generation = 7,
	 .image_size = 1 << 20,
	 .upper_offset = 0xf0000,
	 .count = 1000,
	 .header_crc = 0x11223344,
	 .body_crc = 0x55667788},
	{.id = UINT64_C(1) << 32,
	 .generation = 8,
	 .image_size = 320,
	 .upper_offset = 256,
	 .header_crc = 0xaabbccdd},
};

static const struct directory_segment one_with_ef = {
	.id = 1,
	.generation = 7,
	.image_size = 1 << 20,
	.upper_offset = 0xf0000,
	.count = 1000,
	.header_crc = 0x11223344,
	.body_crc = 0x55667788,
	.ef = 120,
};

static void check(const char *hex, const struct directory *expected)
{
	uint8_t golden[SIZE_MAX_OF_TESTS], bytes[SIZE_MAX_OF_TESTS];
	size_t size = test_unhex(hex, golden, sizeof(golden));
	struct directory_segment segments[2];
	struct directory found;

	assert_int_equal(directory_size(expected->count), size);
	assert_int_equal(directory_encode(expected, bytes, sizeof(bytes)), size);
	assert_memory_equal(bytes, golden, size);
	assert_int_equal(directory_decode(golden, size, segments, 2, &found), 0);
	assert_true(found.generation == expected->generation);
	assert_int_equal(found.shard, expected->shard);
	assert_int_equal(found.count, expected->count);
	assert_ptr_equal(found.segments, segments);
	for (uint32_t i = 0; i < found.count; i++) {
		assert_true(segments[i].id == expected->segments[i].id);
		assert_true(segments[i].generation == expected->segments[i].generation);
		assert_true(segments[i].image_size == expected->segments[i].image_size);
		assert_true(segments[i].upper_offset == expected->segments[i].upper_offset);
		assert_int_equal(segments[i].count, expected->segments[i].count);
		assert_int_equal(segments[i].header_crc, expected->segments[i].header_crc);
		assert_int_equal(segments[i].body_crc, expected->segments[i].body_crc);
		assert_int_equal(segments[i].ef, expected->segments[i].ef);
	}
}

static void directories_have_their_golden_bytes_both_ways(void **state)
{
	check(DIRECTORY,
	      &(struct directory){.generation = 5, .shard = 3, .count = 2, .segments = two});
	check(EMPTY, &(struct directory){.generation = 1, .shard = 9});
	check(WITH_EF, &(struct directory){
			       .generation = 1, .shard = 9, .count = 1, .segments = &one_with_ef});
}

static void what_does_not_fit_is_not_written(void **state)
{
	const struct directory directory = {.count = 2, .segments = two};
	uint8_t bytes[SIZE_MAX_OF_TESTS];

	for (size_t capacity = 0; capacity < directory_size(2); capacity++)
		assert_int_equal(directory_encode(&directory, bytes, capacity), 0);
}

static int decode(const uint8_t *bytes, size_t size, uint32_t segment_max)
{
	struct directory_segment segments[2];
	struct directory directory;

	return directory_decode(bytes, size, segments, segment_max, &directory);
}

static void every_flipped_bit_is_found(void **state)
{
	uint8_t bytes[SIZE_MAX_OF_TESTS];
	size_t size = test_unhex(DIRECTORY, bytes, sizeof(bytes));

	for (size_t bit = 0; bit < 8 * size; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_not_equal(decode(bytes, size, 2), 0);
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_int_equal(decode(bytes, size, 2), 0);
}

static void a_cut_directory_and_a_longer_one_are_refused(void **state)
{
	uint8_t bytes[SIZE_MAX_OF_TESTS + 1] = {0};
	size_t size = test_unhex(DIRECTORY, bytes, SIZE_MAX_OF_TESTS);

	for (size_t cut = 0; cut < size; cut++)
		assert_int_equal(decode(bytes, cut, 2), DIRECTORY_E_CORRUPT);
	assert_int_equal(decode(bytes, size + 1, 2), DIRECTORY_E_CORRUPT);
}

static void more_segments_than_room_are_said_so(void **state)
{
	uint8_t bytes[SIZE_MAX_OF_TESTS];
	size_t size = test_unhex(DIRECTORY, bytes, sizeof(bytes));

	assert_int_equal(decode(bytes, size, 1), DIRECTORY_E_FULL);
}

/* Puts 'value' (of 4 or 8 bytes) into the golden directory, whose checksum an attacker mends. */
static int decode_with(size_t offset, size_t width, uint64_t value)
{
	uint8_t bytes[SIZE_MAX_OF_TESTS];
	size_t size = test_unhex(DIRECTORY, bytes, sizeof(bytes));

	if (width == 8)
		store_le64(bytes + offset, value);
	else
		store_le32(bytes + offset, (uint32_t)value);
	store_le32(bytes + 60, crc32c_extend(crc32c(bytes, 60), bytes + 64, size - 64));
	return decode(bytes, size, 2);
}

static void lies_with_a_good_checksum_are_refused(void **state)
{
	enum { FIRST = 64, SECOND = 128 };

	assert_int_equal(decode_with(FIRST + 8, 8, 9), 0);
	/* Version, counts, reserved bytes. */
	assert_int_equal(decode_with(8, 4, 0), DIRECTORY_E_VERSION);
	assert_int_equal(decode_with(8, 4, 2), DIRECTORY_E_VERSION);
	assert_int_equal(decode_with(12, 4, 1), DIRECTORY_E_CORRUPT);
	assert_int_equal(decode_with(12, 4, 3), DIRECTORY_E_CORRUPT);
	assert_int_equal(decode_with(12, 4, UINT32_MAX), DIRECTORY_E_CORRUPT);
	assert_int_equal(decode_with(28, 4, 1), DIRECTORY_E_CORRUPT);
	assert_int_equal(decode_with(56, 4, 1), DIRECTORY_E_CORRUPT);
	assert_int_equal(decode_with(FIRST + 48, 4, 1), DIRECTORY_E_CORRUPT);
	assert_int_equal(decode_with(SECOND + 60, 4, 1), DIRECTORY_E_CORRUPT);
	/* Ids: none, the same twice, descending. */
	assert_int_equal(decode_with(FIRST, 8, 0), DIRECTORY_E_CORRUPT);
	assert_int_equal(decode_with(SECOND, 8, 1), DIRECTORY_E_CORRUPT);
	assert_int_equal(decode_with(FIRST, 8, UINT64_MAX), DIRECTORY_E_CORRUPT);
	/* An image smaller than its header, or than its upper part's start. */
	assert_int_equal(decode_with(FIRST + 16, 8, 255), DIRECTORY_E_CORRUPT);
	assert_int_equal(decode_with(FIRST + 16, 8, 0xf0000 - 1), DIRECTORY_E_CORRUPT);
	assert_int_equal(decode_with(FIRST + 16, 8, 0xf0000), 0);
	/* An upper part that begins in the header, beyond the image, or between two lines. */
	assert_int_equal(decode_with(FIRST + 24, 8, 192), DIRECTORY_E_CORRUPT);
	assert_int_equal(decode_with(FIRST + 24, 8, UINT64_MAX - 63), DIRECTORY_E_CORRUPT);
	assert_int_equal(decode_with(FIRST + 24, 8, 0xf0001), DIRECTORY_E_CORRUPT);
}

static void a_full_directory_goes_both_ways(void **state)
{
	static struct directory_segment segments[DIRECTORY_SEGMENT_MAX];
	static struct directory_segment again[DIRECTORY_SEGMENT_MAX];
	static uint8_t bytes[DIRECTORY_HEAD_SIZE + DIRECTORY_SEGMENT_MAX * DIRECTORY_ENTRY_SIZE];
	struct directory found, directory = {.count = DIRECTORY_SEGMENT_MAX, .segments = segments};
	struct rand rand;

	rand_init(&rand, 5657);
	for (uint32_t i = 0; i < DIRECTORY_SEGMENT_MAX; i++) {
		segments[i].id = i ? segments[i - 1].id + 1 + rand_below(&rand, 1000) : 1;
		segments[i].upper_offset = 256 + 64 * rand_below(&rand, UINT64_C(1) << 40);
		segments[i].image_size = segments[i].upper_offset + rand_below(&rand, 1 << 30);
		segments[i].count = (uint32_t)rand_next(&rand);
		segments[i].header_crc = (uint32_t)rand_next(&rand);
		segments[i].ef = (uint32_t)rand_next(&rand);
	}
	assert_int_equal(directory_encode(&directory, bytes, sizeof(bytes)), sizeof(bytes));
	assert_int_equal(
		directory_decode(bytes, sizeof(bytes), again, DIRECTORY_SEGMENT_MAX, &found), 0);
	assert_memory_equal(again, segments, sizeof(segments));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(directories_have_their_golden_bytes_both_ways),
		cmocka_unit_test(what_does_not_fit_is_not_written),
		cmocka_unit_test(every_flipped_bit_is_found),
		cmocka_unit_test(a_cut_directory_and_a_longer_one_are_refused),
		cmocka_unit_test(more_segments_than_room_are_said_so),
		cmocka_unit_test(lies_with_a_good_checksum_are_refused),
		cmocka_unit_test(a_full_directory_goes_both_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

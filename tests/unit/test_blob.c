/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/blob.h"

#include "base/defs.h"
#include "base/rand.h"
#include "engine/block_cache.h"
#include "tests/lib/faulty.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME      "9.blob"
#define VALUE_MAX 40

static struct faulty *disk;
static struct io *io;
static struct block_cache *cache;
static char error[240];

/* What was written. */
static struct {
	char key[16];
	uint8_t *value;
	uint32_t size;
	struct blob_place place;
} values[VALUE_MAX];
static unsigned value_count;
static struct blob_summary summary;

static struct blob_options options_of(uint64_t number)
{
	return (struct blob_options){.store = "sixteen bytes..", .number = number};
}

static struct entry_bytes text(const char *string)
{
	return (struct entry_bytes){(const uint8_t *)string, (uint32_t)strlen(string)};
}

static int set_up(void **state)
{
	disk = faulty_new(1);
	io = faulty_io(disk);
	error[0] = '\0';
	value_count = 0;
	return block_cache_new(io, BLOCK_CACHE_SIZE_MIN, &cache);
}

static int tear_down(void **state)
{
	for (unsigned i = 0; i < value_count; i++)
		free(values[i].value);
	block_cache_free(cache);
	faulty_free(disk);
	return 0;
}

/* Values that zstd can and can't make smaller, an empty one first. */
static void make_values(unsigned count, uint32_t size_max)
{
	struct rand rand;

	rand_init(&rand, 5);
	for (value_count = 0; value_count < count; value_count++) {
		uint32_t size = value_count ? (uint32_t)rand_below(&rand, size_max) : 0;
		uint8_t *value = malloc(size + 1);

		assert_non_null(value);
		for (uint32_t i = 0; i < size; i++)
			value[i] = value_count % 2 ? (uint8_t)rand_next(&rand)
						   : (uint8_t)(value_count + i / 100);
		snprintf(values[value_count].key, sizeof(values[0].key), "key %u", value_count);
		values[value_count].value = value;
		values[value_count].size = size;
	}
}

static int write_values(bool compress)
{
	struct blob_options options = options_of(9);
	struct blob_writer *writer;
	int result;

	options.compress = compress;
	result = blob_writer_new(io, NAME, &options, &writer);
	if (result)
		return result;
	for (unsigned i = 0; i < value_count; i++) {
		result = blob_writer_add(writer, text(values[i].key), 100 + i,
					 (struct entry_bytes){values[i].value, values[i].size},
					 &values[i].place);
		if (result) {
			blob_writer_abort(writer);
			return result;
		}
	}
	return blob_writer_finish(writer, &summary);
}

static struct blob *open_blob(struct block_cache *with)
{
	struct blob_options options = options_of(9);
	struct blob *blob;

	options.cache = with;
	if (blob_open(io, NAME, &options, &blob, error, sizeof(error)))
		fail_msg("%s", error);
	return blob;
}

static int get(struct blob *blob, unsigned index, unsigned flags, struct table_pin *pin,
	       struct entry_bytes *ret_value)
{
	int result;

	while ((result = blob_get(blob, &values[index].place, text(values[index].key), flags, pin,
				  ret_value)) == BLOB_E_WAIT) {
		assert_int_equal(flags, TABLE_WAIT_NEVER);
		(void)block_cache_poll(cache);
	}
	return result;
}

static void check_value(unsigned index, struct entry_bytes value)
{
	assert_int_equal(value.size, values[index].size);
	assert_memory_equal(value.bytes, values[index].value, value.size);
}

static void values_come_back_in_every_way(void **state)
{
	static const struct {
		bool compress, cached;
		unsigned flags;
	} ways[] = {{0, 0, 0},
		    {1, 0, 0},
		    {0, 1, 0},
		    {1, 1, 0},
		    {0, 1, TABLE_WAIT_NEVER},
		    {1, 1, TABLE_WAIT_NEVER}};

	make_values(VALUE_MAX, 200000);
	for (size_t way = 0; way < ARRAY_COUNT(ways); way++) {
		struct table_pin pin = {0};
		struct blob *blob;

		assert_int_equal(write_values(ways[way].compress), 0);
		blob = open_blob(ways[way].cached ? cache : NULL);
		for (unsigned i = 0; i < 2 * value_count; i++) {
			unsigned index = i % value_count;
			struct entry_bytes value;

			assert_int_equal(get(blob, index, ways[way].flags, &pin, &value), 0);
			check_value(index, value);
		}
		table_pin_release(&pin);
		blob_close(blob);
	}
}

static void compression_is_kept_where_it_pays(void **state)
{
	uint64_t raw;

	make_values(VALUE_MAX, 20000);
	assert_int_equal(write_values(false), 0);
	raw = summary.size;
	assert_int_equal(summary.frames, VALUE_MAX);
	assert_int_equal(summary.size, 64 + summary.frame_bytes + 48);
	assert_int_equal(write_values(true), 0);
	assert_true(summary.size < raw * 2 / 3 && summary.size > raw / 3);
}

/* Walks all; what is given out is what was written. Returns how it ends. */
static int walk(struct blob *blob)
{
	struct blob_frame frame;
	unsigned at = 0;
	int result;

	blob_walk_begin(blob);
	while ((result = blob_walk_next(blob, &frame)) == 0) {
		assert_true(at < value_count);
		assert_memory_equal(&frame.place, &values[at].place, sizeof(frame.place));
		assert_int_equal(frame.seqno, 100 + at);
		assert_int_equal(frame.key.size, strlen(values[at].key));
		assert_memory_equal(frame.key.bytes, values[at].key, frame.key.size);
		check_value(at, frame.value);
		at++;
	}
	if (result == BLOB_E_END)
		assert_int_equal(at, value_count);
	return result;
}

static void a_walk_sees_every_frame(void **state)
{
	make_values(VALUE_MAX, 5000);
	for (unsigned compress = 0; compress < 2; compress++) {
		struct blob *blob;

		assert_int_equal(write_values(compress), 0);
		blob = open_blob(NULL);
		assert_int_equal(walk(blob), BLOB_E_END);
		assert_int_equal(walk(blob), BLOB_E_END);
		blob_close(blob);
	}
}

static void an_empty_file_is_one(void **state)
{
	struct blob *blob;

	assert_int_equal(write_values(false), 0);
	blob = open_blob(NULL);
	assert_int_equal(blob_summary(blob)->frames, 0);
	assert_int_equal(walk(blob), BLOB_E_END);
	blob_close(blob);
}

static void a_place_comes_back(void **state)
{
	const struct blob_place place = {
		.file = UINT64_MAX, .offset = 77777, .size = 9999, .crc = 0xDEADBEEF};
	uint8_t bytes[BLOB_PLACE_SIZE];
	struct blob_place back;

	blob_place_encode(&place, bytes);
	assert_int_equal(blob_place_decode((struct entry_bytes){bytes, sizeof(bytes)}, &back), 0);
	assert_memory_equal(&back, &place, sizeof(place));
	assert_int_equal(blob_place_decode((struct entry_bytes){bytes, sizeof(bytes) - 1}, &back),
			 BLOB_E_CORRUPT);
	memset(bytes + 16, 0xFF, 4);
	assert_int_equal(blob_place_decode((struct entry_bytes){bytes, sizeof(bytes)}, &back),
			 BLOB_E_CORRUPT);
	memset(bytes + 8, 0, 8);
	assert_int_equal(blob_place_decode((struct entry_bytes){bytes, sizeof(bytes)}, &back),
			 BLOB_E_CORRUPT);
}

static void a_pointer_to_something_else_is_refused(void **state)
{
	struct table_pin pin = {0};
	struct entry_bytes value;
	struct blob *blob;

	make_values(3, 500);
	assert_int_equal(write_values(false), 0);
	blob = open_blob(cache);
	for (unsigned bit = 0; bit < 8 * sizeof(struct blob_place); bit++) {
		struct blob_place place = values[1].place;

		((uint8_t *)&place)[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(blob_get(blob, &place, text("key 1"), 0, &pin, &value),
				 BLOB_E_CORRUPT);
		assert_non_null(strstr(blob_error(blob), NAME));
	}
	assert_int_equal(blob_get(blob, &values[1].place, text("key 2"), 0, &pin, &value),
			 BLOB_E_CORRUPT);
	assert_int_equal(blob_get(blob, &values[1].place, text("key 1"), 0, &pin, &value), 0);
	table_pin_release(&pin);
	blob_close(blob);
}

/* Whether anything that may be asked of the file says that it is damaged. */
static bool damage_is_found(void)
{
	struct blob_options options = options_of(9);
	struct table_pin pin = {0};
	struct blob *blob;
	bool found;

	if (blob_open(io, NAME, &options, &blob, error, sizeof(error)))
		return *error != '\0';
	found = walk(blob) == BLOB_E_CORRUPT;
	for (unsigned i = 0; i < value_count; i++) {
		struct entry_bytes value;
		int result = get(blob, i, 0, &pin, &value);

		if (result == 0)
			check_value(i, value);
		else
			assert_int_equal(result, BLOB_E_CORRUPT);
	}
	table_pin_release(&pin);
	blob_close(blob);
	return found;
}

static void every_flipped_bit_is_found(void **state)
{
	make_values(6, 200);
	assert_int_equal(write_values(true), 0);
	assert_false(damage_is_found());
	for (uint64_t bit = 0; bit < 8 * summary.size; bit++) {
		faulty_flip(disk, NAME, bit);
		assert_true(damage_is_found());
		faulty_flip(disk, NAME, bit);
	}
}

static void other_sizes_stores_and_numbers_are_refused(void **state)
{
	struct blob_options options = options_of(8);
	struct blob *blob;
	uint8_t *bytes;
	size_t size;

	make_values(3, 300);
	assert_int_equal(write_values(false), 0);
	assert_int_equal(blob_open(io, NAME, &options, &blob, error, sizeof(error)),
			 BLOB_E_CORRUPT);
	assert_non_null(strstr(error, "another number"));
	options = options_of(9);
	options.store[0] ^= 1;
	assert_int_equal(blob_open(io, NAME, &options, &blob, error, sizeof(error)),
			 BLOB_E_CORRUPT);
	assert_non_null(strstr(error, "another store"));
	assert_int_equal(blob_open(io, "8.blob", &options, &blob, error, sizeof(error)), -ENOENT);
	bytes = faulty_file_bytes(disk, NAME, &size);
	options = options_of(9);
	for (size_t cut = 0; cut < size; cut++) {
		faulty_file_set(disk, NAME, bytes, cut);
		assert_int_equal(blob_open(io, NAME, &options, &blob, error, sizeof(error)),
				 BLOB_E_CORRUPT);
	}
	free(bytes);
}

static void what_is_too_long_is_refused(void **state)
{
	static uint8_t bytes[ENTRY_KEY_MAX + 1];
	const struct entry_bytes keys[] = {{bytes, 0}, {bytes, sizeof(bytes)}, {bytes, 1}};

	for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
		struct blob_options options = options_of(9);
		struct entry_bytes value = {bytes, i == 2 ? BLOB_VALUE_MAX + 1 : 1};
		struct blob_writer *writer;
		struct blob_place place;

		assert_int_equal(blob_writer_new(io, NAME, &options, &writer), 0);
		assert_int_equal(blob_writer_add(writer, keys[i], 1, value, &place), -EINVAL);
		assert_int_equal(blob_writer_add(writer, text("good"), 1, text("value"), &place),
				 -EINVAL);
		assert_int_equal(blob_writer_finish(writer, &summary), -EINVAL);
	}
}

static void a_failed_call_fails_the_writer_and_leaves_no_file(void **state)
{
	unsigned failures = 0;

	make_values(20, 60000);
	for (uint64_t call = 1;; call++) {
		size_t size;
		int result;

		faulty_fail_at(disk, faulty_calls(disk) + call, -ENOSPC, 1);
		result = write_values(true);
		faulty_fail_at(disk, 0, -EIO, 0);
		if (result == 0)
			break;
		assert_int_equal(result, -ENOSPC);
		assert_null(faulty_file_bytes(disk, NAME, &size));
		failures++;
	}
	assert_true(failures > 4);
}

static void a_failed_call_fails_the_reader_once(void **state)
{
	make_values(10, 3000);
	assert_int_equal(write_values(true), 0);
	for (uint64_t call = 1; call < 40; call++) {
		struct blob_options options = options_of(9);
		struct blob *blob = NULL;
		int result;

		faulty_fail_at(disk, faulty_calls(disk) + call, -EIO, 1);
		result = blob_open(io, NAME, &options, &blob, error, sizeof(error));
		if (result == 0)
			result = walk(blob);
		assert_int_equal(result, call <= 4 + 20 ? -EIO : BLOB_E_END);
		faulty_fail_at(disk, 0, -EIO, 0);
		if (blob)
			assert_int_equal(walk(blob), BLOB_E_END);
		blob_close(blob);
	}
}

static void a_value_beyond_the_cache_is_read_past_it(void **state)
{
	struct table_pin pin = {0};
	struct entry_bytes value;
	struct blob *blob;

	make_values(4, 10);
	free(values[2].value);
	values[2].size = UINT32_C(5) << 20;
	values[2].value = calloc(1, values[2].size);
	assert_non_null(values[2].value);
	for (unsigned compress = 0; compress < 2; compress++) {
		assert_int_equal(write_values(compress), 0);
		blob = open_blob(cache);
		assert_int_equal(get(blob, 2, TABLE_WAIT_NEVER, &pin, &value), 0);
		check_value(2, value);
		table_pin_release(&pin);
		blob_close(blob);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(values_come_back_in_every_way),
		TEST(compression_is_kept_where_it_pays),
		TEST(a_walk_sees_every_frame),
		TEST(an_empty_file_is_one),
		TEST(a_place_comes_back),
		TEST(a_pointer_to_something_else_is_refused),
		TEST(every_flipped_bit_is_found),
		TEST(other_sizes_stores_and_numbers_are_refused),
		TEST(what_is_too_long_is_refused),
		TEST(a_failed_call_fails_the_writer_and_leaves_no_file),
		TEST(a_failed_call_fails_the_reader_once),
		TEST(a_value_beyond_the_cache_is_read_past_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/file_writer.h"

#include "tests/lib/faulty.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NAME "a.file"

static uint8_t pattern[700000];

static int set_up(void **state)
{
	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = (uint8_t)(i * 7 + i / 1000);
	*state = faulty_new(1);
	return 0;
}

static int tear_down(void **state)
{
	faulty_free(*state);
	return 0;
}

/* Puts the pattern in parts of that size. */
static int write_pattern(struct faulty *disk, size_t part)
{
	struct file_writer writer;
	int result = file_writer_init(&writer, faulty_io(disk), NAME);

	for (size_t at = 0; at < sizeof(pattern) && !result; at += part) {
		size_t left = sizeof(pattern) - at;

		assert_int_equal(file_writer_size(&writer), at);
		result = file_writer_put(&writer, pattern + at, part < left ? part : left);
		if (result)
			file_writer_abort(&writer);
	}
	return result ? result : file_writer_finish(&writer);
}

static void check_file(struct faulty *disk)
{
	size_t size;
	uint8_t *bytes = faulty_file_bytes(disk, NAME, &size);

	assert_non_null(bytes);
	assert_int_equal(size, sizeof(pattern));
	assert_memory_equal(bytes, pattern, size);
	free(bytes);
}

static void what_is_put_is_there_whatever_its_parts(void **state)
{
	static const size_t parts[] = {1000, 4096, 262144, 262145, 300000, 700000};

	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		faulty_file_set(*state, NAME, "what was there before", 21);
		assert_int_equal(write_pattern(*state, parts[i]), 0);
		check_file(*state);
	}
}

static void it_is_there_after_a_power_cut(void **state)
{
	for (uint64_t seed = 0; seed < 5; seed++) {
		assert_int_equal(write_pattern(*state, 50000), 0);
		assert_int_equal(io_sync_folder(faulty_io(*state)), 0);
		faulty_restart(*state, seed);
		check_file(*state);
	}
}

static void when_a_call_fails_no_file_is_left(void **state)
{
	struct faulty *disk = *state;
	unsigned failures = 0;

	for (uint64_t call = 1;; call++) {
		size_t size;
		int result;

		faulty_fail_at(disk, faulty_calls(disk) + call, -EIO, 1);
		result = write_pattern(disk, 100000);
		faulty_fail_at(disk, 0, -EIO, 0);
		if (result == 0)
			break;
		assert_int_equal(result, -EIO);
		assert_null(faulty_file_bytes(disk, NAME, &size));
		failures++;
	}
	assert_true(failures >= 5);
	check_file(disk);
}

static void nothing_is_aborted_twice(void **state)
{
	struct file_writer writer = {0};
	uint8_t *bytes;
	size_t size;

	file_writer_abort(&writer);
	assert_int_equal(file_writer_init(&writer, faulty_io(*state), NAME), 0);
	file_writer_abort(&writer);
	faulty_file_set(*state, NAME, "another's", 9);
	file_writer_abort(&writer);
	bytes = faulty_file_bytes(*state, NAME, &size);
	assert_non_null(bytes);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_put_is_there_whatever_its_parts, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(it_is_there_after_a_power_cut, set_up, tear_down),
		cmocka_unit_test_setup_teardown(when_a_call_fails_no_file_is_left, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(nothing_is_aborted_twice, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

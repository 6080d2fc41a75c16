/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/wal_window.h"

#include "base/rand.h"
#include "tests/lib/faulty.h"
#include "tests/lib/test.h"

#include "base/defs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SEED      UINT64_C(23)
#define FRAME_MAX (RECORD_SIZE_MAX + WAL_FRAME_HEAD)
#define FILE_MAX  (UINT32_C(11) << 20)
#define ROUNDS    12
#define STEPS     100

static struct faulty *disk;
static struct io *io;
static uint8_t *bytes; /* of the file: FILE_MAX */

static int set_up(void **state)
{
	struct rand rand;

	disk = faulty_new(SEED);
	io = faulty_io(disk);
	rand_init(&rand, SEED);
	bytes = malloc(FILE_MAX);
	for (uint32_t i = 0; bytes && i < FILE_MAX; i++)
		bytes[i] = (uint8_t)rand_next(&rand);
	return bytes ? 0 : -1;
}

static int tear_down(void **state)
{
	free(bytes);
	faulty_free(disk);
	return 0;
}

static bool is_file(const uint8_t *lent, uint64_t offset, size_t size)
{
	return memcmp(lent, bytes + offset, size) == 0;
}

/* Looks at the place and checks what was asked for, and the end of what is lent. */
static void look(struct wal_window *window, uint64_t file_size, uint64_t offset, size_t size)
{
	uint64_t rest = file_size - MIN(offset, file_size);
	const uint8_t *lent;
	size_t lent_size;

	assert_int_equal(wal_window_at(window, offset, size, &lent, &lent_size), 0);
	assert_true(lent_size >= MIN(size, rest));
	assert_true(lent_size <= rest);
	if (lent_size > 0) {
		assert_true(is_file(lent, offset, MIN(size, lent_size)));
		assert_true(is_file(lent + lent_size - 1, offset + lent_size - 1, 1));
	}
}

/* As a reader does: heads, then whole frames, on and on; now and then anywhere. */
static void walk(struct wal_window *window, uint64_t file_size, struct rand *rand)
{
	uint64_t offset = 0;

	for (unsigned i = 0; i < STEPS; i++) {
		size_t size =
			(size_t)rand_below(rand, rand_below(rand, 4) ? 100000 : FRAME_MAX) + 1;

		if (rand_below(rand, 20) == 0)
			offset = rand_below(rand, file_size + 100);
		look(window, file_size, offset, MIN(size, (size_t)WAL_FRAME_HEAD));
		look(window, file_size, offset, size);
		offset = offset >= file_size ? 0 : offset + size;
	}
}

static void it_shows_what_the_file_has(void **state)
{
	struct rand rand;

	rand_init(&rand, SEED);
	for (unsigned round = 0; round < ROUNDS; round++) {
		static const uint32_t sizes[] = {
			0,       1, IO_ALIGN - 1, IO_ALIGN, WAL_WINDOW_PIECE, WAL_WINDOW_PIECE + 1,
			FILE_MAX};
		uint64_t size = round < 7 ? sizes[round] : rand_below(&rand, FILE_MAX);
		struct wal_window window;

		print_message("seed %d round %u size %llu\n", (int)SEED, round,
			      (unsigned long long)size);
		faulty_file_set(disk, "file", bytes, size);
		for (unsigned ahead = 0; ahead < 2; ahead++) {
			assert_int_equal(wal_window_init(io, ahead, &window), 0);
			assert_int_equal(wal_window_open(&window, "file", ahead), 0);
			walk(&window, size, &rand);
			wal_window_close(&window);
			wal_window_deinit(&window);
		}
	}
}

/* Nothing is read twice, but for what a block has in common with the one before. */
static void a_file_that_is_read_in_order_is_read_once(void **state)
{
	for (unsigned ahead = 0; ahead < 2; ahead++) {
		struct wal_window window;

		faulty_file_set(disk, "file", bytes, FILE_MAX - 100);
		assert_int_equal(wal_window_init(io, ahead, &window), 0);
		assert_int_equal(wal_window_open(&window, "file", ahead), 0);
		for (uint64_t offset = 0; offset < FILE_MAX; offset += 1000)
			look(&window, FILE_MAX - 100, offset, 1000);
		assert_int_equal(window.read, FILE_MAX - 100);
		wal_window_deinit(&window);
	}
}

static void one_shows_file_after_file(void **state)
{
	struct wal_window window;

	faulty_file_set(disk, "file", bytes, FILE_MAX);
	faulty_file_set(disk, "other", bytes, IO_ALIGN + 5);
	assert_int_equal(wal_window_init(io, /* ahead= */ true, &window), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(wal_window_open(&window, "file", /* ahead= */ true), 0);
		look(&window, FILE_MAX, 0, FRAME_MAX);
		wal_window_close(&window);
		assert_int_equal(wal_window_open(&window, "other", i % 2), 0);
		look(&window, IO_ALIGN + 5, 3, FRAME_MAX);
		wal_window_close(&window);
	}
	assert_int_equal(wal_window_open(&window, "absent", /* ahead= */ true), -ENOENT);
	wal_window_deinit(&window);
}

static void a_read_that_fails_is_said_when_it_is_needed(void **state)
{
	for (unsigned ahead = 0; ahead < 2; ahead++) {
		struct wal_window window;
		const uint8_t *lent;
		uint64_t offset = 0;
		size_t size;
		int result = 0;

		faulty_file_set(disk, "file", bytes, FILE_MAX);
		assert_int_equal(wal_window_init(io, ahead, &window), 0);
		assert_int_equal(wal_window_open(&window, "file", ahead), 0);
		look(&window, FILE_MAX, 0, FRAME_MAX);
		faulty_fail_at(disk, faulty_calls(disk) + 1, -EIO, UINT64_MAX);
		for (; result == 0 && offset < FILE_MAX; offset += 1000)
			result = wal_window_at(&window, offset, 1000, &lent, &size);
		assert_int_equal(result, -EIO);
		assert_true(offset > FRAME_MAX);
		faulty_fail_at(disk, 0, 0, 0);
		wal_window_deinit(&window);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(it_shows_what_the_file_has, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_file_that_is_read_in_order_is_read_once, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(one_shows_file_after_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_read_that_fails_is_said_when_it_is_needed, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

/* What test_io.c doesn't ask of an overlay: that the folder below stays as it is, and who shares.
 */

#include "engine/io_overlay.h"

#include "base/rand.h"
#include "tests/lib/faulty.h"
#include "tests/lib/folder.h"
#include "tests/lib/test.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	FILE_COUNT = 5,
	SIZE_MAX_HERE = 40000, /* ten blocks, the last one in part */
	STEPS = 4000,
	SEEDS = 5,
};

static const char *const names[FILE_COUNT] = {"a", "b", "c", "d", "e"};

static uint8_t bytes[SIZE_MAX_HERE], theirs[SIZE_MAX_HERE], ours[SIZE_MAX_HERE];

static void fill(struct rand *rand, size_t size)
{
	uint8_t byte = rand_below(rand, 3) ? (uint8_t)rand_next(rand) : 0;

	memset(bytes, byte, size);
}

static void assert_same_file(struct io *disk, struct io *overlay, const char *name)
{
	struct io_file *a, *b;
	uint64_t size_a, size_b;
	int result = io_open(disk, name, IO_READ_ONLY, &a);

	assert_int_equal(io_open(overlay, name, IO_READ_ONLY, &b), result);
	if (result)
		return;
	assert_int_equal(io_size(a, &size_a), 0);
	assert_int_equal(io_size(b, &size_b), 0);
	assert_int_equal(size_a, size_b);
	assert_int_equal(io_read(a, 0, theirs, size_a), 0);
	assert_int_equal(io_read(b, 0, ours, size_a), 0);
	assert_memory_equal(theirs, ours, size_a);
	io_close(a);
	io_close(b);
}

static int write_some(struct io *io, const char *name, uint64_t offset, size_t size)
{
	struct io_file *file;
	int result = io_open(io, name, IO_CREATE, &file);

	if (!result) {
		result = io_write(file, offset, bytes, size);
		io_close(file);
	}
	return result;
}

static int resize(struct io *io, const char *name, uint64_t size, bool grow)
{
	struct io_file *file;
	int result = io_open(io, name, 0, &file);

	if (!result) {
		result = grow ? io_allocate(file, size) : io_truncate(file, size);
		io_close(file);
	}
	return result;
}

/* The same change of both. */
static void step(struct rand *rand, struct io *disk, struct io *overlay)
{
	const char *name = names[rand_below(rand, FILE_COUNT)];
	const char *other = names[rand_below(rand, FILE_COUNT)];
	uint64_t offset = rand_below(rand, SIZE_MAX_HERE);
	size_t size = rand_below(rand, SIZE_MAX_HERE - offset) % 9000;
	bool grow = rand_below(rand, 2);

	switch (rand_below(rand, 8)) {
	case 0:
		assert_int_equal(io_remove(disk, name), io_remove(overlay, name));
		break;
	case 1:
		assert_int_equal(io_rename(disk, name, other), io_rename(overlay, name, other));
		break;
	case 2:
		assert_int_equal(resize(disk, name, offset, grow),
				 resize(overlay, name, offset, grow));
		break;
	default:
		fill(rand, size);
		assert_int_equal(write_some(disk, name, offset, size), 0);
		assert_int_equal(write_some(overlay, name, offset, size), 0);
	}
	assert_same_file(disk, overlay, name);
}

static struct faulty *make_disk(struct rand *rand)
{
	struct faulty *disk = faulty_new(1);

	for (unsigned i = 0; i < FILE_COUNT - 1; i++) {
		fill(rand, SIZE_MAX_HERE);
		faulty_file_set(disk, names[i], bytes, rand_below(rand, SIZE_MAX_HERE));
	}
	return disk;
}

static void it_is_as_a_disk_and_the_disk_below_stays(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct rand rand;
		rand_init(&rand, seed);
		struct faulty *below = make_disk(&rand);
		struct faulty *before = faulty_clone(below, 1);
		struct faulty *disk = faulty_clone(below, 1);
		struct io *overlay;
		uint64_t steps = faulty_steps(below);

		print_message("seed %llu\n", (unsigned long long)seed);
		assert_int_equal(io_overlay_new(faulty_io(below), &overlay), 0);
		for (unsigned i = 0; i < STEPS; i++)
			step(&rand, faulty_io(disk), overlay);
		for (unsigned i = 0; i < FILE_COUNT; i++)
			assert_same_file(faulty_io(disk), overlay, names[i]);
		io_free(overlay);
		assert_int_equal(faulty_steps(below), steps);
		for (unsigned i = 0; i < FILE_COUNT; i++)
			assert_same_file(faulty_io(before), faulty_io(below), names[i]);
		faulty_free(disk);
		faulty_free(before);
		faulty_free(below);
	}
}

static struct io *overlay_on(const char *path)
{
	struct io *base, *overlay;

	assert_int_equal(io_plain_new(path, false, &base), 0);
	assert_int_equal(io_overlay_new(base, &overlay), 0);
	return overlay;
}

static void those_who_read_share_and_keep_a_writer_away(void **state)
{
	char path[] = "/tmp/test_io_overlay.XXXXXX";
	struct io *writer, *first, *second;
	struct io_file *file;

	(void)state;
	assert_non_null(mkdtemp(path));
	assert_int_equal(io_plain_new(path, false, &writer), 0);
	first = overlay_on(path);
	second = overlay_on(path);
	assert_int_equal(io_lock(writer), 0);
	assert_int_equal(io_lock(first), IO_E_LOCKED);
	/* What came before the lock is there, though the overlay was made earlier. */
	assert_int_equal(io_open(writer, "late", IO_CREATE, &file), 0);
	io_close(file);
	io_free(writer);

	assert_int_equal(io_lock(first), 0);
	assert_int_equal(io_lock(second), 0);
	assert_int_equal(io_open(first, "late", 0, &file), 0);
	io_close(file);
	assert_int_equal(io_plain_new(path, false, &writer), 0);
	assert_int_equal(io_lock(writer), IO_E_LOCKED);
	io_free(first);
	assert_int_equal(io_lock(writer), IO_E_LOCKED);
	io_free(second);
	assert_int_equal(io_lock(writer), 0);
	io_free(writer);
	folder_remove(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_as_a_disk_and_the_disk_below_stays),
		cmocka_unit_test(those_who_read_share_and_keep_a_writer_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/faulty.h"

#include "base/defs.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEEDS 200

static struct io_file *open_file(struct faulty *disk, const char *name)
{
	struct io_file *file;

	assert_int_equal(io_open(faulty_io(disk), name, IO_CREATE, &file), 0);
	return file;
}

/* A file that is there for certain, of 'size' bytes of 'fill', and stays open. */
static struct io_file *make_synced(struct faulty *disk, const char *name, uint8_t fill, size_t size)
{
	struct io_file *file = open_file(disk, name);
	uint8_t *bytes = malloc(size);

	assert_non_null(bytes);
	memset(bytes, fill, size);
	assert_int_equal(io_write(file, 0, bytes, size), 0);
	assert_int_equal(io_sync(file), 0);
	assert_int_equal(io_sync_folder(faulty_io(disk)), 0);
	free(bytes);
	return file;
}

static void write_fill(struct io_file *file, uint64_t offset, uint8_t fill, size_t size)
{
	uint8_t *bytes = malloc(size);

	assert_non_null(bytes);
	memset(bytes, fill, size);
	assert_int_equal(io_write(file, offset, bytes, size), 0);
	free(bytes);
}

static size_t size_of(const struct faulty *disk, const char *name)
{
	size_t size = 0;
	uint8_t *bytes = faulty_file_bytes(disk, name, &size);

	free(bytes);
	return size;
}

static bool has_file(const struct faulty *disk, const char *name)
{
	size_t size;
	uint8_t *bytes = faulty_file_bytes(disk, name, &size);

	free(bytes);
	return bytes != NULL;
}

/* What each of 'size' / 512 sectors is filled with, as letters; fails on a sector of two kinds. */
static void read_sectors(const struct faulty *disk, const char *name, char *text)
{
	size_t size;
	uint8_t *bytes = faulty_file_bytes(disk, name, &size);

	assert_non_null(bytes);
	assert_int_equal(size % IO_SECTOR, 0);
	for (size_t i = 0; i < size; i++)
		assert_int_equal(bytes[i], bytes[i - i % IO_SECTOR]);
	for (size_t i = 0; i < size / IO_SECTOR; i++)
		text[i] = bytes[i * IO_SECTOR] ? (char)bytes[i * IO_SECTOR] : '0';
	text[size / IO_SECTOR] = '\0';
	free(bytes);
}

static void what_was_synced_survives_and_the_rest_is_torn(void **state)
{
	struct faulty *disk = faulty_new(1);
	struct io_file *file = make_synced(disk, "a", 'o', 8192);
	unsigned old = 0, new = 0, torn = 0;
	char text[17];

	write_fill(file, 2048, 'n', 4096);
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct faulty *copy = faulty_clone(disk, 1);

		faulty_restart(copy, seed);
		read_sectors(copy, "a", text);
		assert_memory_equal(text, "oooo", 4);
		assert_string_equal(text + 12, "oooo");
		if (strspn(text + 4, "o") == 12)
			old++;
		else if (strspn(text + 4, "n") == 8)
			new ++;
		else if (strspn(text + 4, "on") == 12)
			torn++;
		faulty_free(copy);
	}
	assert_int_equal(old + new + torn, SEEDS);
	assert_true(old > SEEDS / 20 && new > SEEDS / 20 && torn > SEEDS / 20);
	assert_int_equal(io_sync(file), 0);
	faulty_restart(disk, 1);
	read_sectors(disk, "a", text);
	assert_string_equal(text, "oooonnnnnnnnoooo");
	io_close(file);
	faulty_free(disk);
}

static void a_sector_written_twice_may_have_what_was_between(void **state)
{
	unsigned count[128] = {0};

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct faulty *disk = faulty_new(seed);
		struct io_file *file = make_synced(disk, "a", '1', 512);
		char text[2];

		write_fill(file, 0, '2', 512);
		write_fill(file, 0, '3', 512);
		faulty_restart(disk, seed);
		read_sectors(disk, "a", text);
		count[(unsigned)text[0]]++;
		io_close(file);
		faulty_free(disk);
	}
	assert_true(count['1'] > 0 && count['2'] > 0 && count['3'] > 0);
	assert_int_equal(count['1'] + count['2'] + count['3'], SEEDS);
}

static void equal_seeds_tear_alike(void **state)
{
	struct faulty *disk = faulty_new(1);
	struct io_file *file = make_synced(disk, "a", 'o', 65536);
	char first[129], second[129];

	write_fill(file, 0, 'n', 65536);
	for (uint64_t seed = 0; seed < 20; seed++) {
		struct faulty *a = faulty_clone(disk, 1), *b = faulty_clone(disk, 2);

		faulty_restart(a, seed);
		faulty_restart(b, seed);
		read_sectors(a, "a", first);
		read_sectors(b, "a", second);
		assert_string_equal(first, second);
		faulty_free(a);
		faulty_free(b);
	}
	io_close(file);
	faulty_free(disk);
}

static void an_unsynced_size_may_be_lost_and_never_shows_what_was_cut(void **state)
{
	struct faulty *disk = faulty_new(1);
	struct io_file *file = make_synced(disk, "a", 'o', 1024);
	unsigned kept = 0, grown = 0;

	write_fill(file, 1024, 'n', 1024);
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct faulty *copy = faulty_clone(disk, 1);
		struct io_file *again;
		uint8_t bytes[4096];
		size_t size;

		faulty_restart(copy, seed);
		size = size_of(copy, "a");
		assert_in_range(size, 1024, 2048);
		kept += size == 1024;
		grown += size == 2048;
		/* Grown again, what lay behind the end is zeros. */
		again = open_file(copy, "a");
		assert_int_equal(io_truncate(again, 4096), 0);
		assert_int_equal(io_read(again, 0, bytes, sizeof(bytes)), 0);
		for (size_t i = size; i < sizeof(bytes); i++)
			assert_int_equal(bytes[i], 0);
		io_close(again);
		faulty_free(copy);
	}
	assert_true(kept > 0 && grown > 0);
	io_close(file);
	faulty_free(disk);
}

static void names_last_only_after_a_sync_of_the_folder(void **state)
{
	struct faulty *disk = faulty_new(1);
	struct io *io = faulty_io(disk);
	unsigned there = 0, moved = 0, removed = 0;

	io_close(make_synced(disk, "old", 'o', 512));
	io_close(make_synced(disk, "gone", 'g', 512));
	io_close(open_file(disk, "new"));
	assert_int_equal(io_rename(io, "old", "moved"), 0);
	assert_int_equal(io_remove(io, "gone"), 0);
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct faulty *copy = faulty_clone(disk, 1);

		faulty_restart(copy, seed);
		there += has_file(copy, "new");
		moved += has_file(copy, "moved");
		removed += !has_file(copy, "gone");
		assert_true(has_file(copy, "old") != has_file(copy, "moved"));
		faulty_free(copy);
	}
	assert_true(there > 0 && there < SEEDS);
	assert_true(moved > 0 && moved < SEEDS);
	assert_true(removed > 0 && removed < SEEDS);
	assert_int_equal(io_sync_folder(io), 0);
	faulty_restart(disk, 1);
	assert_true(has_file(disk, "new") && has_file(disk, "moved") && !has_file(disk, "gone"));
	faulty_free(disk);
}

static void the_power_goes_at_its_step_and_stays_away(void **state)
{
	struct faulty *disk = faulty_new(1);
	struct io_file *file = make_synced(disk, "a", 'o', 512);
	uint64_t step = faulty_steps(disk);
	char text[80], byte;

	assert_int_equal(step, 4);
	faulty_cut_at(disk, 6);
	write_fill(file, 0, 'n', 512);
	assert_false(faulty_is_off(disk));
	assert_int_equal(io_sync(file), -EIO);
	assert_true(faulty_is_off(disk));
	assert_int_equal(faulty_steps(disk), 6);
	faulty_describe(disk, 5, text, sizeof(text));
	assert_string_equal(text, "write a, 512 bytes at 0");
	faulty_describe(disk, 6, text, sizeof(text));
	assert_string_equal(text, "sync a");
	faulty_describe(disk, 7, text, sizeof(text));
	assert_string_equal(text, "");
	assert_int_equal(io_read(file, 0, &byte, 1), -EIO);
	assert_int_equal(io_remove(faulty_io(disk), "a"), -EIO);
	assert_int_equal(faulty_steps(disk), 6);
	faulty_restart(disk, 3);
	assert_int_equal(io_read(file, 0, &byte, 1), -EIO); /* a handle of before */
	io_close(file);
	file = open_file(disk, "a");
	assert_int_equal(io_read(file, 0, &byte, 1), 0);
	io_close(file);
	faulty_free(disk);
}

static void every_kind_of_step_can_be_the_last(void **state)
{
	for (uint64_t step = 1;; step++) {
		struct faulty *disk = faulty_new(1);
		struct io *io = faulty_io(disk);
		struct io_file *file = NULL;
		bool cut;

		faulty_cut_at(disk, step);
		cut = io_open(io, "a", IO_CREATE, &file) || io_allocate(file, 8192) ||
		      io_write(file, 0, "x", 1) || io_truncate(file, 4096) || io_sync(file) ||
		      io_rename(io, "a", "b") || io_sync_folder(io) || io_remove(io, "b");
		assert_true(cut == faulty_is_off(disk));
		io_close(file);
		if (!cut) {
			assert_int_equal(step, 9);
			faulty_free(disk);
			return;
		}
		assert_int_equal(faulty_steps(disk), step);
		faulty_restart(disk, step);
		faulty_free(disk);
	}
}

static void a_process_that_dies_loses_its_handles_only(void **state)
{
	struct faulty *disk = faulty_new(1);
	struct io_file *file = open_file(disk, "a");
	char text[2];

	write_fill(file, 0, 'n', 512);
	assert_int_equal(io_lock(faulty_io(disk)), 0);
	faulty_restart_process(disk);
	assert_int_equal(io_sync(file), -EIO);
	io_close(file);
	read_sectors(disk, "a", text);
	assert_string_equal(text, "n");
	assert_int_equal(io_lock(faulty_io(disk)), 0);
	faulty_set_locked(disk, true);
	assert_int_equal(io_lock(faulty_io(disk)), IO_E_LOCKED);
	faulty_free(disk);
}

static void the_nth_call_fails_and_the_next_does_not(void **state)
{
	struct faulty *disk = faulty_new(1);
	struct io_file *file = make_synced(disk, "a", 'o', 512);
	uint64_t size, call = faulty_calls(disk);

	faulty_fail_at(disk, call + 2, -EIO, 1);
	assert_int_equal(io_size(file, &size), 0);
	assert_int_equal(io_size(file, &size), -EIO);
	assert_int_equal(io_size(file, &size), 0);
	assert_int_equal(faulty_calls(disk), call + 3);
	faulty_fail_at(disk, 1, -ENOSPC, UINT64_MAX);
	assert_int_equal(io_write(file, 0, &size, 8), -ENOSPC);
	assert_int_equal(io_remove(faulty_io(disk), "a"), -ENOSPC);
	faulty_fail_at(disk, 0, 0, 0);
	assert_int_equal(io_remove(faulty_io(disk), "a"), 0);
	io_close(file);
	faulty_free(disk);
}

static void a_failing_write_may_have_written_a_part(void **state)
{
	unsigned parts = 0, nothing = 0;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct faulty *disk = faulty_new(seed);
		struct io_file *file = make_synced(disk, "a", 'o', 2048);
		char bytes[2048], text[5];

		memset(bytes, 'n', sizeof(bytes));
		faulty_fail_at(disk, 1, -EIO, 1);
		assert_int_equal(io_write(file, 0, bytes, sizeof(bytes)), -EIO);
		read_sectors(disk, "a", text);
		assert_int_equal(
			strspn(text, "n") + strlen(strchr(text, 'o') ? strchr(text, 'o') : ""), 4);
		nothing += text[0] == 'o';
		parts += text[0] == 'n';
		io_close(file);
		faulty_free(disk);
	}
	assert_true(parts > 0 && nothing > 0);
}

static void a_write_in_pieces_is_as_many_steps(void **state)
{
	struct faulty *disk = faulty_new(1);
	struct io_file *file = open_file(disk, "a");
	uint64_t steps = faulty_steps(disk);
	char text[65];

	faulty_set_piece(disk, 4);
	write_fill(file, 0, 'n', 32768);
	assert_in_range(faulty_steps(disk) - steps, 16, 64);
	read_sectors(disk, "a", text);
	assert_int_equal(strspn(text, "n"), 64);
	io_close(file);
	faulty_free(disk);
}

/* fsyncgate: after a failed sync the next one says 0, and what was written is not there. */
static void a_failed_sync_loses_what_it_was_to_write(void **state)
{
	unsigned lost = 0, seen = 0;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct faulty *disk = faulty_new(seed);
		struct io_file *file = make_synced(disk, "a", 'o', 4096);
		char before[9], after[9];

		write_fill(file, 0, 'n', 4096);
		faulty_fail_sync(disk, 1);
		assert_int_equal(io_sync(file), -EIO);
		assert_int_equal(io_sync(file), 0);
		read_sectors(disk, "a", before);
		faulty_restart(disk, seed);
		read_sectors(disk, "a", after);
		lost += after[0] == 'o';
		seen += before[0] == 'n' && after[0] == 'o';
		io_close(file);
		faulty_free(disk);
	}
	assert_in_range(lost, SEEDS / 4, SEEDS - 1);
	assert_true(seen > 0);
}

static void the_disk_fills_up_and_has_room_again(void **state)
{
	struct faulty *disk = faulty_new(1);
	struct io_file *file = open_file(disk, "a"), *other = open_file(disk, "b");
	uint8_t bytes[16384] = {1};
	uint64_t size;

	faulty_set_capacity(disk, 12288);
	assert_int_equal(io_allocate(file, 8192), 0);
	assert_int_equal(io_allocate(other, 8192), -ENOSPC);
	assert_int_equal(io_truncate(other, 0), 0); /* gives back what it got */
	assert_int_equal(io_write(file, 0, bytes, sizeof(bytes)), -ENOSPC);
	assert_int_equal(io_size(file, &size), 0);
	assert_int_equal(size, 12288);
	assert_int_equal(io_write(file, 0, bytes, 12288), 0); /* has its room already */
	assert_int_equal(io_write(other, 0, bytes, 1), -ENOSPC);
	faulty_set_capacity(disk, 16384);
	assert_int_equal(io_write(other, 0, bytes, 1), 0);
	assert_int_equal(io_truncate(file, 4096), 0);
	assert_int_equal(io_write(other, 4096, bytes, 8192), 0);
	assert_int_equal(io_write(other, 12288, bytes, 1), -ENOSPC);
	assert_int_equal(io_remove(faulty_io(disk), "a"), 0);
	assert_int_equal(io_write(other, 12288, bytes, 1), -ENOSPC); /* it is still open */
	io_close(file);
	assert_int_equal(io_write(other, 12288, bytes, 1), 0);
	io_close(other);
	faulty_free(disk);
}

static void a_bit_rots_where_it_is_told_to(void **state)
{
	struct faulty *disk = faulty_new(1);
	struct io_file *file = make_synced(disk, "a", 0, 5000);
	uint8_t byte;

	faulty_flip(disk, "a", 4999 * 8 + 3);
	assert_int_equal(io_read(file, 4999, &byte, 1), 0);
	assert_int_equal(byte, 8);
	faulty_restart(disk, 1);
	io_close(file);
	file = open_file(disk, "a");
	assert_int_equal(io_read(file, 4999, &byte, 1), 0);
	assert_int_equal(byte, 8);
	io_close(file);
	faulty_free(disk);
}

static void clones_go_their_own_ways(void **state)
{
	struct faulty *disk = faulty_new(1), *clone;
	struct io_file *file = make_synced(disk, "a", 'o', 8192);
	char text[17];

	write_fill(file, 0, 'n', 512);
	clone = faulty_clone(disk, 2);
	write_fill(file, 512, 'm', 512);
	faulty_file_set(clone, "b", "bb", 2);
	assert_int_equal(io_remove(faulty_io(clone), "a"), 0);
	read_sectors(disk, "a", text);
	assert_string_equal(text, "nmoooooooooooooo");
	assert_false(has_file(disk, "b"));
	assert_false(has_file(clone, "a"));
	assert_int_equal(faulty_steps(clone), 1);
	io_close(file);
	faulty_free(disk);
	assert_int_equal(size_of(clone, "b"), 2);
	faulty_free(clone);
}

static void a_queue_ends_operations_out_of_order(void **state)
{
	struct faulty *disk = faulty_new(1);
	struct io_file *file = open_file(disk, "a");
	struct io_queue *queue;
	struct io_op ops[16], *ended[16];
	char bytes[16];
	unsigned count = 0, inversions = 0, last = 0;

	assert_int_equal(io_queue_new(faulty_io(disk), 16, &queue), 0);
	for (unsigned i = 0; i < 16; i++) {
		ops[i] = (struct io_op){
			.file = file, .bytes = bytes + i, .size = 1, .offset = i, .kind = IO_WRITE};
		assert_int_equal(io_queue_submit(queue, &ops[i]), 0);
	}
	while (count < 16) {
		uint32_t more = io_queue_poll(queue, ended, 16);

		for (uint32_t i = 0; i < more; i++) {
			inversions += (unsigned)(ended[i] - ops) < last;
			last = (unsigned)(ended[i] - ops);
		}
		count += more;
	}
	assert_true(inversions > 2);
	io_queue_free(queue);
	io_close(file);
	faulty_free(disk);
}

static void a_queue_of_a_disk_without_power_ends_all_with_eio(void **state)
{
	struct faulty *disk = faulty_new(1);
	struct io_file *file = open_file(disk, "a");
	struct io_queue *queue;
	struct io_op ops[3], *ended[3];
	char bytes[3] = "abc";
	uint32_t count = 0;
	unsigned failed = 0;

	assert_int_equal(io_queue_new(faulty_io(disk), 3, &queue), 0);
	faulty_cut_at(disk, faulty_steps(disk) + 2);
	for (unsigned i = 0; i < 3; i++) {
		ops[i] = (struct io_op){
			.file = file, .bytes = bytes + i, .size = 1, .offset = i, .kind = IO_WRITE};
		assert_int_equal(io_queue_submit(queue, &ops[i]), 0);
	}
	while (count < 3) {
		io_queue_wait(queue);
		count += io_queue_poll(queue, ended, 3);
	}
	for (unsigned i = 0; i < 3; i++)
		failed += ops[i].result == -EIO;
	assert_int_equal(failed, 2);
	/* A handle of before the restart is dead on a queue as well. */
	faulty_restart(disk, 1);
	assert_int_equal(io_queue_submit(queue, &ops[0]), 0);
	while (io_queue_poll(queue, ended, 1) == 0)
		io_queue_wait(queue);
	assert_int_equal(ops[0].result, -EIO);
	io_queue_free(queue);
	io_close(file);
	faulty_free(disk);
}

static void do_on_queue(struct io_queue *queue, struct io_op *op)
{
	struct io_op *ended;

	assert_int_equal(io_queue_submit(queue, op), 0);
	while (io_queue_poll(queue, &ended, 1) == 0)
		io_queue_wait(queue);
	assert_ptr_equal(ended, op);
}

/* Each operation of names and room is the calls and steps of the call of its name. */
static void a_queue_s_names_are_steps_that_can_be_the_last(void **state)
{
	static const struct {
		struct io_op op;
		const char *step; /* "": none */
	} cases[] = {
		{{.kind = IO_OPEN, .name = "b", .flags = IO_CREATE}, "create b"},
		{{.kind = IO_OPEN, .name = "a"}, ""},
		{{.kind = IO_RENAME, .name = "a", .to = "c"}, "rename a"},
		{{.kind = IO_REMOVE, .name = "a"}, "remove a"},
		{{.kind = IO_ALLOCATE, .offset = 8192}, "allocate a, 8192 bytes at 0"},
		{{.kind = IO_SYNC_FOLDER}, "sync the folder"},
	};

	for (unsigned i = 0; i < 3 * ARRAY_COUNT(cases); i++) {
		struct faulty *disk = faulty_new(i);
		struct io_file *file = open_file(disk, "a");
		struct io_op op = cases[i / 3].op, first;
		struct io_queue *queue;
		uint64_t steps = faulty_steps(disk), calls = faulty_calls(disk);
		char text[80];

		op.file = file;
		first = op;
		assert_int_equal(io_queue_new(faulty_io(disk), 1, &queue), 0);
		if (i % 3 == 1)
			faulty_cut_at(disk, steps + 1);
		if (i % 3 == 2)
			faulty_fail_at(disk, calls + 1, -ENOSPC, 1);
		do_on_queue(queue, &op);
		if (i % 3 == 1 && cases[i / 3].step[0] != '\0')
			assert_int_equal(op.result, -EIO);
		else
			assert_int_equal(op.result, i % 3 == 2 ? -ENOSPC : 0);
		assert_int_equal(faulty_calls(disk), calls + 1);
		if (i % 3 < 2) {
			faulty_describe(disk, steps + 1, text, sizeof(text));
			assert_string_equal(text, cases[i / 3].step);
		} else {
			assert_int_equal(faulty_steps(disk), steps);
		}
		if (op.kind == IO_OPEN && op.result == 0)
			io_close(op.file);
		/* The queue dies with its process, and still closes. */
		faulty_restart_process(disk);
		do_on_queue(queue, &first);
		assert_int_equal(first.result, -EIO);
		op = (struct io_op){.kind = IO_CLOSE, .file = file};
		do_on_queue(queue, &op);
		assert_int_equal(op.result, 0);
		io_queue_free(queue);
		faulty_free(disk);
	}
}

static void zeros_take_room_on_the_disk(void **state)
{
	struct faulty *disk = faulty_new(1);
	struct io_file *file = open_file(disk, "a");
	uint8_t zeros[8192] = {0};

	faulty_set_capacity(disk, 8192);
	assert_int_equal(io_write(file, 0, zeros, sizeof(zeros)), 0);
	assert_int_equal(io_write(file, 8192, zeros, 1), -ENOSPC);
	assert_int_equal(size_of(disk, "a"), 8192);
	/* And zeros over something are written. */
	write_fill(file, 0, 'n', 4096);
	assert_int_equal(io_write(file, 0, zeros, 4096), 0);
	assert_int_equal(io_read(file, 0, zeros, 4096), 0);
	assert_int_equal(zeros[0] | zeros[4095], 0);
	io_close(file);
	faulty_free(disk);
}

static void a_disk_is_saved_to_a_folder_and_loaded_from_it(void **state)
{
	char path[] = "/tmp/test_faulty.XXXXXX", command[80];
	struct faulty *disk = faulty_new(1), *other = faulty_new(2);
	char(*names)[IO_NAME_MAX + 1], text[11];

	assert_non_null(mkdtemp(path));
	faulty_file_set(disk, "wal-2", "twotwo", 6);
	io_close(make_synced(disk, "wal-1", 'o', 5120));
	assert_int_equal(faulty_save(disk, path), 0);
	faulty_file_set(other, "rest", "rest", 4);
	assert_int_equal(faulty_load(other, path), 0);
	assert_int_equal(faulty_files(other, &names), 2);
	assert_string_equal(names[0], "wal-1");
	assert_string_equal(names[1], "wal-2");
	read_sectors(other, "wal-1", text);
	assert_string_equal(text, "oooooooooo");
	faulty_restart(other, 1);
	assert_int_equal(size_of(other, "wal-2"), 6);
	assert_int_equal(faulty_save(disk, "/tmp/test_faulty.none"), -ENOENT);
	assert_int_equal(faulty_load(disk, "/tmp/test_faulty.none"), -ENOENT);
	for (unsigned i = 0; i < 2; i++) {
		snprintf(command, sizeof(command), "%s/%s", path, names[i]);
		unlink(command);
	}
	rmdir(path);
	free(names);
	faulty_free(disk);
	faulty_free(other);
}

struct polled {
	struct faulty *disk;
	struct io_file *file;
	struct io_queue *queue;
};

static int visit_none(void *context, const char *name)
{
	return 0;
}

/* What a poll core must not do. */
static void do_blocking(const struct polled *on, unsigned call)
{
	struct io *io = faulty_io(on->disk);
	struct io_queue *queue;
	struct io_file *file;
	uint64_t size;
	char bytes[8] = "";

	switch (call) {
	case 0:
		(void)io_open(io, "a", 0, &file);
		return;
	case 1:
		(void)io_read(on->file, 8, bytes, sizeof(bytes));
		return;
	case 2:
		(void)io_write(on->file, 8, bytes, sizeof(bytes));
		return;
	case 3:
		(void)io_sync(on->file);
		return;
	case 4:
		(void)io_size(on->file, &size);
		return;
	case 5:
		(void)io_truncate(on->file, 8);
		return;
	case 6:
		(void)io_allocate(on->file, 8);
		return;
	case 7:
		(void)io_rename(io, "a", "b");
		return;
	case 8:
		(void)io_remove(io, "a");
		return;
	case 9:
		(void)io_sync_folder(io);
		return;
	case 10:
		(void)io_list(io, visit_none, NULL);
		return;
	case 11:
		(void)io_lock(io);
		return;
	case 12:
		(void)io_queue_new(io, 1, &queue);
		return;
	default:
		io_queue_wait(on->queue);
	}
}

/* What a process that does the call prints before it aborts. */
static void abort_of(const struct polled *on, unsigned call, char *text, size_t text_size)
{
	int ends[2], status;
	ssize_t size;
	pid_t child;

	assert_int_equal(pipe(ends), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		dup2(ends[1], STDERR_FILENO);
		signal(SIGABRT, SIG_DFL);
		do_blocking(on, call);
		_exit(0);
	}
	close(ends[1]);
	size = read(ends[0], text, text_size - 1);
	text[size > 0 ? size : 0] = '\0';
	close(ends[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
		fail_msg("call %u didn't abort", call);
}

static void a_poll_core_that_would_block_aborts_and_says_where(void **state)
{
	static const char *const words[] = {
		"open a",
		"read a, 8 bytes at 8",
		"write a, 8 bytes at 8",
		"sync a",
		"size of a",
		"truncate a, 8 bytes at 0",
		"allocate a, 8 bytes at 0",
		"rename a",
		"remove a",
		"sync the folder",
		"list the folder",
		"lock the folder",
		"make a queue",
		"wait for a queue",
	};
	struct faulty *disk = faulty_new(1);
	struct polled on = {.disk = disk, .file = make_synced(disk, "a", 'a', 512)};
	struct io_op sync = {.file = on.file, .kind = IO_SYNC}, *ended;
	char text[200], expected[200];

	assert_int_equal(io_queue_new(faulty_io(disk), 1, &on.queue), 0);
	assert_int_equal(io_queue_submit(on.queue, &sync), 0);
	faulty_polls(disk, true);
	for (unsigned i = 0; i < ARRAY_COUNT(words); i++) {
		abort_of(&on, i, text, sizeof(text));
		snprintf(expected, sizeof(expected), "faulty: a poll core would block: %s\n",
			 words[i]);
		assert_string_equal(text, expected);
	}
	/* A restart takes the power back, not the caller's mind. */
	faulty_restart(disk, 1);
	abort_of(&on, 9, text, sizeof(text));
	while (io_queue_poll(on.queue, &ended, 1) == 0)
		;
	io_close(on.file);
	io_queue_free(on.queue);
	faulty_polls(disk, false);
	assert_int_equal(io_sync_folder(faulty_io(disk)), 0);
	faulty_free(disk);
}

static void a_poll_core_may_use_queues_and_close(void **state)
{
	struct faulty *disk = faulty_new(1);
	struct io_file *file = make_synced(disk, "a", 'a', 512);
	char bytes[8] = "";
	struct io_op ops[] = {
		{.file = file, .kind = IO_READ, .bytes = bytes, .size = sizeof(bytes)},
		{.file = file, .kind = IO_WRITE_SYNC, .bytes = bytes, .size = sizeof(bytes)},
		{.file = file, .kind = IO_SYNC},
	};
	struct io_op *ended;
	struct io_queue *queue;

	assert_int_equal(io_queue_new(faulty_io(disk), 4, &queue), 0);
	faulty_polls(disk, true);
	for (unsigned i = 0; i < ARRAY_COUNT(ops); i++) {
		assert_int_equal(io_queue_submit(queue, &ops[i]), 0);
		while (io_queue_poll(queue, &ended, 1) == 0)
			;
		assert_ptr_equal(ended, &ops[i]);
		assert_int_equal(ended->result, 0);
	}
	io_close(file);
	io_queue_free(queue);
	/* What tests themselves look at is no call. */
	assert_int_equal(size_of(disk, "a"), 512);
	assert_int_equal(bytes[0], 'a');
	faulty_free(disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_synced_survives_and_the_rest_is_torn),
		cmocka_unit_test(a_sector_written_twice_may_have_what_was_between),
		cmocka_unit_test(equal_seeds_tear_alike),
		cmocka_unit_test(an_unsynced_size_may_be_lost_and_never_shows_what_was_cut),
		cmocka_unit_test(names_last_only_after_a_sync_of_the_folder),
		cmocka_unit_test(the_power_goes_at_its_step_and_stays_away),
		cmocka_unit_test(every_kind_of_step_can_be_the_last),
		cmocka_unit_test(a_process_that_dies_loses_its_handles_only),
		cmocka_unit_test(the_nth_call_fails_and_the_next_does_not),
		cmocka_unit_test(a_failing_write_may_have_written_a_part),
		cmocka_unit_test(a_write_in_pieces_is_as_many_steps),
		cmocka_unit_test(a_failed_sync_loses_what_it_was_to_write),
		cmocka_unit_test(the_disk_fills_up_and_has_room_again),
		cmocka_unit_test(a_bit_rots_where_it_is_told_to),
		cmocka_unit_test(clones_go_their_own_ways),
		cmocka_unit_test(a_queue_ends_operations_out_of_order),
		cmocka_unit_test(a_queue_of_a_disk_without_power_ends_all_with_eio),
		cmocka_unit_test(a_queue_s_names_are_steps_that_can_be_the_last),
		cmocka_unit_test(zeros_take_room_on_the_disk),
		cmocka_unit_test(a_poll_core_that_would_block_aborts_and_says_where),
		cmocka_unit_test(a_poll_core_may_use_queues_and_close),
		cmocka_unit_test(a_disk_is_saved_to_a_folder_and_loaded_from_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

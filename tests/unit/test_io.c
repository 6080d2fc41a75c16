/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/io.h"

#include "engine/io_overlay.h"
#include "tests/lib/faulty.h"
#include "tests/lib/test.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The same cases over each maker of an io. */

struct maker {
	const char *name;
	int (*make)(const char *path, bool create, struct io **ret_io);
	bool overlays; /* its lock is shared, and names are of when it was made */
};

/* A folder of one test. */
struct place {
	const struct maker *maker;
	char path[64];
	struct faulty *faulty; /* of a maker without 'make' */
	struct io *io;
};

static const struct maker *maker; /* of the group that runs */

static int set_up(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	assert_non_null(place);
	place->maker = maker;
	snprintf(place->path, sizeof(place->path), "/tmp/test_io.XXXXXX");
	assert_non_null(mkdtemp(place->path));
	if (maker->make) {
		assert_int_equal(maker->make(place->path, false, &place->io), 0);
	} else {
		place->faulty = faulty_new(1);
		place->io = faulty_io(place->faulty);
	}
	*state = place;
	return 0;
}

static int tear_down(void **state)
{
	struct place *place = *state;
	char path[512];
	DIR *folder;
	struct dirent *entry;

	io_free(place->io);
	faulty_free(place->faulty);
	folder = opendir(place->path);
	while ((entry = readdir(folder))) {
		snprintf(path, sizeof(path), "%s/%s", place->path, entry->d_name);
		unlink(path);
	}
	closedir(folder);
	rmdir(place->path);
	free(place);
	return 0;
}

static struct io *io_of(void **state)
{
	return ((struct place *)*state)->io;
}

static struct io_file *open_new(struct io *io, const char *name, unsigned flags)
{
	struct io_file *file;

	assert_int_equal(io_open(io, name, IO_CREATE | flags, &file), 0);
	return file;
}

static uint8_t *aligned(size_t size, uint8_t fill)
{
	uint8_t *bytes = aligned_alloc(IO_ALIGN, size);

	assert_non_null(bytes);
	memset(bytes, fill, size);
	return bytes;
}

static void what_was_written_is_read(void **state)
{
	struct io_file *file = open_new(io_of(state), "a", 0);
	char text[12];
	uint64_t size;

	assert_int_equal(io_write(file, 5, "there", 5), 0);
	assert_int_equal(io_write(file, 0, "over ", 5), 0);
	assert_int_equal(io_sync(file), 0);
	assert_int_equal(io_read(file, 0, text, 10), 0);
	assert_memory_equal(text, "over there", 10);
	assert_int_equal(io_size(file, &size), 0);
	assert_int_equal(size, 10);
	io_close(file);
	assert_int_equal(io_open(io_of(state), "a", IO_READ_ONLY, &file), 0);
	assert_int_equal(io_read(file, 5, text, 5), 0);
	assert_memory_equal(text, "there", 5);
	assert_int_equal(io_write(file, 0, "x", 1), -EBADF);
	assert_int_equal(io_truncate(file, 0), -EBADF);
	assert_int_equal(io_allocate(file, 4096), -EBADF);
	io_close(file);
}

static void a_read_past_the_end_gives_what_there_is_and_says_so(void **state)
{
	struct io_file *file = open_new(io_of(state), "a", 0);
	char text[8] = "-------";

	assert_int_equal(io_write(file, 0, "abc", 3), 0);
	assert_int_equal(io_read(file, 1, text, 4), IO_E_END);
	assert_memory_equal(text, "bc-----", 7);
	assert_int_equal(io_read(file, 3, text, 1), IO_E_END);
	assert_int_equal(io_read(file, 1000, text, 1), IO_E_END);
	assert_int_equal(io_read(file, 1000, text, 0), 0);
	io_close(file);
}

static void truncation_cuts_and_a_hole_reads_as_zeros(void **state)
{
	struct io_file *file = open_new(io_of(state), "a", 0);
	static const uint8_t zeros[6000];
	uint8_t bytes[6000];
	uint64_t size;

	memset(bytes, 7, sizeof(bytes));
	assert_int_equal(io_write(file, 0, bytes, sizeof(bytes)), 0);
	assert_int_equal(io_truncate(file, 10), 0);
	assert_int_equal(io_truncate(file, 6000), 0);
	assert_int_equal(io_read(file, 0, bytes, sizeof(bytes)), 0);
	assert_int_equal(bytes[9], 7);
	assert_memory_equal(bytes + 10, zeros, 5990);
	assert_int_equal(io_size(file, &size), 0);
	assert_int_equal(size, 6000);
	io_close(file);
}

static void allocation_grows_and_never_shrinks(void **state)
{
	struct io_file *file = open_new(io_of(state), "a", 0);
	char text[4];
	uint64_t size;

	assert_int_equal(io_write(file, 0, "abc", 3), 0);
	assert_int_equal(io_allocate(file, 9000), 0);
	assert_int_equal(io_size(file, &size), 0);
	assert_int_equal(size, 9000);
	assert_int_equal(io_allocate(file, 10), 0);
	assert_int_equal(io_size(file, &size), 0);
	assert_int_equal(size, 9000);
	assert_int_equal(io_read(file, 0, text, 4), 0);
	assert_memory_equal(text, "abc", 4);
	io_close(file);
}

static void direct_files_take_only_aligned_bytes(void **state)
{
	struct io_file *file = open_new(io_of(state), "a", IO_DIRECT);
	uint8_t *bytes = aligned(2 * IO_ALIGN, 9), *back = aligned(2 * IO_ALIGN, 0);

	assert_int_equal(io_write(file, IO_ALIGN, bytes, 2 * IO_ALIGN), 0);
	assert_int_equal(io_sync(file), 0);
	assert_int_equal(io_read(file, 2 * IO_ALIGN, back, IO_ALIGN), 0);
	assert_memory_equal(bytes, back, IO_ALIGN);
	assert_int_equal(io_write(file, 512, bytes, IO_ALIGN), -EINVAL);
	assert_int_equal(io_write(file, 0, bytes, 512), -EINVAL);
	assert_int_equal(io_write(file, 0, bytes + 8, IO_ALIGN), -EINVAL);
	assert_int_equal(io_read(file, 0, back + 1, IO_ALIGN), -EINVAL);
	free(bytes);
	free(back);
	io_close(file);
}

static void a_direct_read_of_an_unaligned_end_says_end(void **state)
{
	struct io_file *file = open_new(io_of(state), "a", 0);
	uint8_t *bytes = aligned(2 * IO_ALIGN, 1);

	assert_int_equal(io_write(file, 0, bytes, IO_ALIGN + 100), 0);
	io_close(file);
	assert_int_equal(io_open(io_of(state), "a", IO_READ_ONLY | IO_DIRECT, &file), 0);
	memset(bytes, 0, 2 * IO_ALIGN);
	assert_int_equal(io_read(file, 0, bytes, 2 * IO_ALIGN), IO_E_END);
	assert_int_equal(bytes[IO_ALIGN + 99], 1);
	io_close(file);
	free(bytes);
}

static void names_are_made_moved_and_removed(void **state)
{
	struct io *io = io_of(state);
	struct io_file *file;
	char text[4];

	assert_int_equal(io_open(io, "a", 0, &file), IO_E_ABSENT);
	file = open_new(io, "a", IO_EXCLUSIVE);
	assert_int_equal(io_write(file, 0, "aaaa", 4), 0);
	io_close(file);
	assert_int_equal(io_open(io, "a", IO_CREATE | IO_EXCLUSIVE, &file), IO_E_EXISTS);
	io_close(open_new(io, "b", 0));
	assert_int_equal(io_rename(io, "a", "b"), 0);
	assert_int_equal(io_rename(io, "a", "b"), IO_E_ABSENT);
	assert_int_equal(io_open(io, "b", 0, &file), 0);
	assert_int_equal(io_read(file, 0, text, 4), 0);
	assert_memory_equal(text, "aaaa", 4);
	assert_int_equal(io_sync_folder(io), 0);
	assert_int_equal(io_remove(io, "b"), 0);
	assert_int_equal(io_remove(io, "b"), IO_E_ABSENT);
	assert_int_equal(io_read(file, 0, text, 4), 0); /* an open file outlives its name */
	io_close(file);
}

static void names_that_no_store_has_are_refused(void **state)
{
	static const char *const names[] = {
		"",
		".",
		"..",
		".hidden",
		"a/b",
		"../a",
		"a b",
		"a\n",
		"a\xc3\xa4",
		"a:b",
		"0123456789012345678901234567890123456789012345678901234"
		"567890123",
	};
	struct io_file *file;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_int_equal(io_open(io_of(state), names[i], IO_CREATE, &file), -EINVAL);
		assert_int_equal(io_remove(io_of(state), names[i]), -EINVAL);
		assert_int_equal(io_rename(io_of(state), names[i], "a"), -EINVAL);
		assert_int_equal(io_rename(io_of(state), "a", names[i]), -EINVAL);
	}
	file = open_new(io_of(state),
			"012345678901234567890123456789012345678901234567890123456789012", 0);
	io_close(file);
}

static void offsets_past_what_a_file_can_have_are_refused(void **state)
{
	struct io_file *file = open_new(io_of(state), "a", 0);
	char byte = 0;

	assert_int_equal(io_write(file, UINT64_MAX, &byte, 1), -EFBIG);
	assert_int_equal(io_read(file, (uint64_t)INT64_MAX, &byte, 1), -EFBIG);
	assert_int_equal(io_truncate(file, UINT64_MAX), -EFBIG);
	assert_int_equal(io_allocate(file, UINT64_MAX), -EFBIG);
	io_close(file);
}

struct seen {
	unsigned count;
	unsigned sum; /* of the names' first letters */
	int answer;
};

static int see(void *context, const char *name)
{
	struct seen *seen = context;

	seen->count++;
	seen->sum += (unsigned char)name[0];
	return seen->answer;
}

static void a_list_has_every_file_and_stops_when_told(void **state)
{
	struct seen seen = {0};

	for (const char *name = "abc"; *name; name++) {
		char text[2] = {*name};
		io_close(open_new(io_of(state), text, 0));
	}
	assert_int_equal(io_list(io_of(state), see, &seen), 0);
	assert_int_equal(seen.count, 3);
	assert_int_equal(seen.sum, 'a' + 'b' + 'c');
	seen = (struct seen){.answer = -ECANCELED};
	assert_int_equal(io_list(io_of(state), see, &seen), -ECANCELED);
	assert_int_equal(seen.count, 1);
}

/* Until all have ended; each op's context counts its ends. */
static void drain(struct io_queue *queue)
{
	struct io_op *ended[3];

	while (io_queue_count(queue) > 0) {
		uint32_t count;

		io_queue_wait(queue);
		count = io_queue_poll(queue, ended, 3);
		for (uint32_t i = 0; i < count; i++)
			ended[i]->context = (void *)((uintptr_t)ended[i]->context + 1);
	}
}

static void do_one(struct io_queue *queue, struct io_op *op)
{
	op->context = NULL;
	op->result = -1;
	assert_int_equal(io_queue_submit(queue, op), 0);
	drain(queue);
	assert_int_equal((uintptr_t)op->context, 1);
}

static void a_queue_writes_syncs_and_reads(void **state)
{
	struct io_file *file = open_new(io_of(state), "a", IO_DIRECT);
	uint8_t *bytes = aligned(4 * IO_ALIGN, 3);
	struct io_queue *queue;
	struct io_op op = {.file = file, .bytes = bytes, .size = 2 * IO_ALIGN, .kind = IO_WRITE};

	assert_int_equal(io_queue_new(io_of(state), 4, &queue), 0);
	do_one(queue, &op);
	assert_int_equal(op.result, 0);
	op = (struct io_op){.file = file, .kind = IO_SYNC};
	do_one(queue, &op);
	assert_int_equal(op.result, 0);
	op = (struct io_op){.file = file,
			    .bytes = bytes,
			    .offset = 2 * IO_ALIGN,
			    .size = 2 * IO_ALIGN,
			    .kind = IO_WRITE_SYNC};
	do_one(queue, &op);
	assert_int_equal(op.result, 0);
	memset(bytes, 0, 4 * IO_ALIGN);
	op = (struct io_op){.file = file, .bytes = bytes, .size = 4 * IO_ALIGN, .kind = IO_READ};
	do_one(queue, &op);
	assert_int_equal(op.result, 0);
	for (size_t i = 0; i < 4 * IO_ALIGN; i++)
		assert_int_equal(bytes[i], 3);
	io_queue_free(queue);
	io_close(file);
	free(bytes);
}

static void a_queue_reads_up_to_the_end_and_says_so(void **state)
{
	struct io_file *file = open_new(io_of(state), "a", 0);
	char text[8] = "-------";
	struct io_queue *queue;
	struct io_op op = {.file = file, .bytes = text, .size = 6, .kind = IO_READ};

	assert_int_equal(io_write(file, 0, "abcd", 4), 0);
	assert_int_equal(io_queue_new(io_of(state), 1, &queue), 0);
	do_one(queue, &op);
	assert_int_equal(op.result, IO_E_END);
	assert_memory_equal(text, "abcd--", 6);
	op.offset = 4;
	do_one(queue, &op);
	assert_int_equal(op.result, IO_E_END);
	io_queue_free(queue);
	io_close(file);
}

static void a_queue_refuses_what_it_has_no_room_for_and_what_is_wrong(void **state)
{
	struct io_file *file = open_new(io_of(state), "a", IO_DIRECT);
	struct io_file *reader;
	uint8_t *bytes = aligned(IO_ALIGN, 1);
	struct io_queue *queue;
	struct io_op a = {.file = file, .bytes = bytes, .size = IO_ALIGN, .kind = IO_WRITE};
	struct io_op b = a, c = a;

	assert_int_equal(io_queue_new(io_of(state), 0, &queue), -EINVAL);
	assert_int_equal(io_queue_new(io_of(state), IO_QUEUE_MAX + 1, &queue), -EINVAL);
	assert_int_equal(io_queue_new(io_of(state), 2, &queue), 0);
	assert_int_equal(io_queue_submit(queue, &a), 0);
	c.size = 100;
	assert_int_equal(io_queue_submit(queue, &c), -EINVAL);
	c.size = 0;
	assert_int_equal(io_queue_submit(queue, &c), -EINVAL);
	assert_int_equal(io_queue_submit(queue, &b), 0);
	assert_int_equal(io_queue_count(queue), 2);
	c.size = IO_ALIGN;
	assert_int_equal(io_queue_submit(queue, &c), IO_E_FULL);
	drain(queue);
	assert_int_equal(io_open(io_of(state), "a", IO_READ_ONLY, &reader), 0);
	c.file = reader;
	assert_int_equal(io_queue_submit(queue, &c), -EBADF);
	io_close(reader);
	io_queue_free(queue);
	io_close(file);
	free(bytes);
}

/* Does 'op' and returns what it ended with. */
static int outcome_of(struct io_queue *queue, struct io_op op)
{
	do_one(queue, &op);
	return op.result;
}

static void a_queue_makes_moves_and_removes_names(void **state)
{
	struct io *io = io_of(state);
	struct io_queue *queue;
	struct io_op open = {.kind = IO_OPEN, .name = "a"};
	char text[4];

	assert_int_equal(io_queue_new(io, 2, &queue), 0);
	do_one(queue, &open);
	assert_int_equal(open.result, IO_E_ABSENT);
	open.flags = IO_CREATE | IO_EXCLUSIVE;
	do_one(queue, &open);
	assert_int_equal(open.result, 0);
	assert_int_equal(io_write(open.file, 0, "aaaa", 4), 0);
	assert_int_equal(
		outcome_of(queue,
			   (struct io_op){.kind = IO_OPEN, .name = "a", .flags = open.flags}),
		IO_E_EXISTS);
	io_close(open_new(io, "b", 0));
	for (int again = 0; again < 2; again++)
		assert_int_equal(
			outcome_of(queue,
				   (struct io_op){.kind = IO_RENAME, .name = "a", .to = "b"}),
			again ? IO_E_ABSENT : 0);
	assert_int_equal(outcome_of(queue, (struct io_op){.kind = IO_SYNC_FOLDER}), 0);
	for (int again = 0; again < 2; again++)
		assert_int_equal(outcome_of(queue, (struct io_op){.kind = IO_REMOVE, .name = "b"}),
				 again ? IO_E_ABSENT : 0);
	assert_int_equal(io_read(open.file, 0, text, 4), 0);
	assert_memory_equal(text, "aaaa", 4);
	assert_int_equal(outcome_of(queue, (struct io_op){.kind = IO_CLOSE, .file = open.file}), 0);
	io_queue_free(queue);
}

static void a_file_that_a_queue_opened_is_as_its_flags_say(void **state)
{
	struct io *io = io_of(state);
	struct io_queue *queue;
	struct io_op open = {.kind = IO_OPEN, .name = "a", .flags = IO_CREATE | IO_DIRECT};
	struct io_op write = {.kind = IO_WRITE_SYNC, .size = IO_ALIGN};
	uint8_t *bytes = aligned(2 * IO_ALIGN, 5);

	assert_int_equal(io_queue_new(io, 2, &queue), 0);
	do_one(queue, &open);
	assert_int_equal(open.result, 0);
	write.file = open.file;
	write.bytes = bytes + 8;
	assert_int_equal(io_queue_submit(queue, &write), -EINVAL); /* direct */
	write.bytes = bytes;
	do_one(queue, &write);
	assert_int_equal(write.result, 0);
	io_close(open.file);
	open.flags = IO_READ_ONLY;
	do_one(queue, &open);
	assert_int_equal(open.result, 0);
	memset(bytes, 0, IO_ALIGN);
	assert_int_equal(io_read(open.file, 8, bytes, 8), 0);
	assert_memory_equal(bytes, bytes + IO_ALIGN, 8);
	assert_int_equal(io_write(open.file, 0, bytes, 8), -EBADF);
	io_close(open.file);
	io_queue_free(queue);
	free(bytes);
}

static void a_queue_allocates_and_never_shrinks(void **state)
{
	struct io_file *file = open_new(io_of(state), "a", IO_DIRECT);
	struct io_op op = {.file = file, .kind = IO_ALLOCATE, .offset = 5 * IO_ALIGN};
	struct io_queue *queue;
	uint64_t size;

	assert_int_equal(io_queue_new(io_of(state), 1, &queue), 0);
	for (unsigned i = 0; i < 2; i++) {
		do_one(queue, &op);
		assert_int_equal(op.result, 0);
		assert_int_equal(io_size(file, &size), 0);
		assert_int_equal(size, 5 * IO_ALIGN);
		op.offset = IO_ALIGN;
	}
	io_queue_free(queue);
	io_close(file);
}

static void a_queue_refuses_names_flags_and_sizes_that_the_calls_refuse(void **state)
{
	struct io_file *file = open_new(io_of(state), "a", 0), *reader;
	struct io_queue *queue;

	assert_int_equal(io_open(io_of(state), "a", IO_READ_ONLY, &reader), 0);
	assert_int_equal(io_queue_new(io_of(state), 1, &queue), 0);
	const struct {
		struct io_op op;
		int error;
	} cases[] = {
		{{.kind = IO_OPEN, .name = "../a"}, -EINVAL},
		{{.kind = IO_OPEN, .name = "a", .flags = IO_EXCLUSIVE}, -EINVAL},
		{{.kind = IO_OPEN, .name = "a", .flags = IO_READ_ONLY | IO_CREATE}, -EINVAL},
		{{.kind = IO_RENAME, .name = "a", .to = ".b"}, -EINVAL},
		{{.kind = IO_RENAME, .name = "", .to = "b"}, -EINVAL},
		{{.kind = IO_REMOVE, .name = "a/b"}, -EINVAL},
		{{.kind = IO_ALLOCATE, .file = file}, -EINVAL},
		{{.kind = IO_ALLOCATE, .file = file, .offset = UINT64_MAX}, -EFBIG},
		{{.kind = IO_ALLOCATE, .file = reader, .offset = 4096}, -EBADF},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct io_op op = cases[i].op;

		assert_int_equal(io_queue_submit(queue, &op), cases[i].error);
		assert_int_equal(io_queue_count(queue), 0);
	}
	io_queue_free(queue);
	io_close(file);
	io_close(reader);
}

#define MIXED 64

/* Of files, names and bytes, each eight times, all under way at once. */
static void operations_of_all_kinds_go_side_by_side(void **state)
{
	struct io *io = io_of(state);
	struct io_op ops[MIXED] = {{0}};
	struct io_file *file = open_new(io, "bytes", 0);
	struct io_queue *queue;
	static const uint8_t wanted[8] = {9, 9, 9, 9, 9, 9, 9, 9};
	uint8_t written[8], read[8][8] = {{0}};
	char names[MIXED][8], to[MIXED][8];
	struct seen seen = {0};

	memset(written, 9, sizeof(written));
	assert_int_equal(io_write(file, 0, written, sizeof(written)), 0);
	for (unsigned i = 0; i < MIXED; i++) {
		snprintf(names[i], sizeof(names[i]), "n%u", i);
		snprintf(to[i], sizeof(to[i]), "t%u", i);
		ops[i] = (struct io_op){.name = names[i], .to = to[i], .file = file};
		ops[i].kind =
			(enum io_kind[]){IO_OPEN, IO_RENAME,     IO_REMOVE,   IO_SYNC_FOLDER,
					 IO_READ, IO_WRITE_SYNC, IO_ALLOCATE, IO_CLOSE}[i % 8];
		if (ops[i].kind == IO_OPEN)
			ops[i].flags = IO_CREATE | IO_EXCLUSIVE;
		if (ops[i].kind == IO_RENAME || ops[i].kind == IO_REMOVE)
			io_close(open_new(io, names[i], 0));
		if (ops[i].kind == IO_CLOSE)
			ops[i].file = open_new(io, "closed", 0);
		if (ops[i].kind == IO_ALLOCATE)
			ops[i].offset = 100 + i;
		ops[i].bytes = ops[i].kind == IO_READ ? read[i / 8] : written;
		ops[i].size = sizeof(written);
	}
	assert_int_equal(io_queue_new(io, MIXED, &queue), 0);
	for (unsigned i = 0; i < MIXED; i++)
		assert_int_equal(io_queue_submit(queue, &ops[i]), 0);
	drain(queue);
	for (unsigned i = 0; i < MIXED; i++) {
		assert_int_equal(ops[i].result, 0);
		assert_int_equal((uintptr_t)ops[i].context, 1);
		if (ops[i].kind == IO_OPEN)
			io_close(ops[i].file);
	}
	for (unsigned i = 0; i < 8; i++)
		assert_memory_equal(read[i], wanted, sizeof(wanted));
	/* "bytes", "closed", eight that were opened and eight that were moved. */
	assert_int_equal(io_list(io, see, &seen), 0);
	assert_int_equal(seen.count, 18);
	assert_int_equal(seen.sum, 'b' + 'c' + 8 * 'n' + 8 * 't');
	io_queue_free(queue);
	io_close(file);
}

static void a_full_queue_loses_nothing(void **state)
{
	struct io_file *file = open_new(io_of(state), "a", IO_DIRECT);
	uint8_t *bytes = aligned(IO_QUEUE_MAX * IO_ALIGN, 0), *back = aligned(IO_ALIGN, 0);
	struct io_op ops[IO_QUEUE_MAX];
	struct io_queue *queue;

	assert_int_equal(io_queue_new(io_of(state), IO_QUEUE_MAX, &queue), 0);
	assert_int_equal(io_queue_register(queue, bytes, IO_QUEUE_MAX / 2 * IO_ALIGN), 0);
	for (uint32_t i = 0; i < IO_QUEUE_MAX; i++) {
		memset(bytes + i * IO_ALIGN, (int)i, IO_ALIGN);
		ops[i] = (struct io_op){.file = file,
					.bytes = bytes + i * IO_ALIGN,
					.offset = i * IO_ALIGN,
					.size = IO_ALIGN,
					.kind = i % 8 == 7 ? IO_WRITE_SYNC : IO_WRITE};
		assert_int_equal(io_queue_submit(queue, &ops[i]), 0);
	}
	drain(queue);
	for (uint32_t i = 0; i < IO_QUEUE_MAX; i++) {
		assert_int_equal(ops[i].result, 0);
		assert_int_equal((uintptr_t)ops[i].context, 1);
		assert_int_equal(io_read(file, i * IO_ALIGN, back, IO_ALIGN), 0);
		assert_memory_equal(bytes + i * IO_ALIGN, back, IO_ALIGN);
	}
	io_queue_free(queue);
	io_close(file);
	free(bytes);
	free(back);
}

static void a_queue_with_nothing_under_way_neither_waits_nor_ends_anything(void **state)
{
	struct io_queue *queue;
	struct io_op *ended[1];

	assert_int_equal(io_queue_new(io_of(state), 1, &queue), 0);
	io_queue_wait(queue);
	assert_int_equal(io_queue_poll(queue, ended, 1), 0);
	io_queue_free(queue);
	io_queue_free(NULL);
	io_close(NULL);
	io_free(NULL);
}

static void a_folder_has_one_owner(void **state)
{
	struct place *place = *state;
	struct io *other;

	if (place->maker->overlays)
		return;
	assert_int_equal(io_lock(place->io), 0);
	if (!place->maker->make) {
		assert_int_equal(io_lock(place->io), IO_E_LOCKED);
		return;
	}
	assert_int_equal(place->maker->make(place->path, false, &other), 0);
	assert_int_equal(io_lock(other), IO_E_LOCKED);
	io_free(place->io);
	assert_int_equal(io_lock(other), 0);
	place->io = other;
}

static void a_folder_is_made_when_asked_for(void **state)
{
	struct place *place = *state;
	char path[80];
	struct stat stat_of;
	struct io *io;

	if (!place->maker->make)
		return;
	snprintf(path, sizeof(path), "%s/new", place->path);
	assert_int_equal(place->maker->make(path, false, &io), IO_E_ABSENT);
	assert_int_equal(place->maker->make(path, true, &io), 0);
	assert_int_equal(stat(path, &stat_of), 0);
	assert_int_equal(stat_of.st_mode & 0777, 0700);
	io_close(open_new(io, "a", 0));
	assert_int_equal(io_remove(io, "a"), 0);
	io_free(io);
	rmdir(path);
	snprintf(path, sizeof(path), "%s/no/where", place->path);
	assert_int_equal(place->maker->make(path, true, &io), -ENOENT);
}

static void what_is_no_file_of_a_store_is_not_listed_nor_followed(void **state)
{
	struct place *place = *state;
	char path[80];
	struct seen seen = {0};
	struct io_file *file;

	if (!place->maker->make || place->maker->overlays)
		return;
	snprintf(path, sizeof(path), "%s/link", place->path);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	snprintf(path, sizeof(path), "%s/.dot", place->path);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	snprintf(path, sizeof(path), "%s/folder", place->path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(io_list(place->io, see, &seen), 0);
	assert_int_equal(seen.count, 0);
	assert_int_equal(io_open(place->io, "link", IO_READ_ONLY, &file), -ELOOP);
	rmdir(path);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

static int run_over(const struct maker *with)
{
	const struct CMUnitTest tests[] = {
		CASE(what_was_written_is_read),
		CASE(a_read_past_the_end_gives_what_there_is_and_says_so),
		CASE(truncation_cuts_and_a_hole_reads_as_zeros),
		CASE(allocation_grows_and_never_shrinks),
		CASE(direct_files_take_only_aligned_bytes),
		CASE(a_direct_read_of_an_unaligned_end_says_end),
		CASE(names_are_made_moved_and_removed),
		CASE(names_that_no_store_has_are_refused),
		CASE(offsets_past_what_a_file_can_have_are_refused),
		CASE(a_list_has_every_file_and_stops_when_told),
		CASE(a_queue_writes_syncs_and_reads),
		CASE(a_queue_reads_up_to_the_end_and_says_so),
		CASE(a_queue_refuses_what_it_has_no_room_for_and_what_is_wrong),
		CASE(a_queue_makes_moves_and_removes_names),
		CASE(a_file_that_a_queue_opened_is_as_its_flags_say),
		CASE(a_queue_allocates_and_never_shrinks),
		CASE(a_queue_refuses_names_flags_and_sizes_that_the_calls_refuse),
		CASE(operations_of_all_kinds_go_side_by_side),
		CASE(a_full_queue_loses_nothing),
		CASE(a_queue_with_nothing_under_way_neither_waits_nor_ends_anything),
		CASE(a_folder_has_one_owner),
		CASE(a_folder_is_made_when_asked_for),
		CASE(what_is_no_file_of_a_store_is_not_listed_nor_followed),
	};

	maker = with;
	printf("over %s\n", maker->name);
	return cmocka_run_group_tests_name(maker->name, tests, NULL, NULL);
}

/* Containers often forbid io_uring; the other makers are tested nevertheless. */
static bool has_ring(void)
{
	struct io *io;
	int error = io_ring_new("/tmp", false, &io);

	if (error)
		printf("ring skipped: the kernel says %s\n", strerror(-error));
	else
		io_free(io);
	return error == 0;
}

static int make_overlay(const char *path, bool create, struct io **ret_io)
{
	struct io *base;
	int result = io_plain_new(path, create, &base);

	return result ? result : io_overlay_new(base, ret_io);
}

int main(void)
{
	static const struct maker makers[] = {
		{"plain", io_plain_new, false},
		{"ring", io_ring_new, false},
		{"faulty", NULL, false},
		{"overlay", make_overlay, true},
	};
	int failed = 0;

	for (size_t i = 0; i < sizeof(makers) / sizeof(makers[0]); i++) {
		if (makers[i].make == io_ring_new && !has_ring())
			continue;
		failed += run_over(&makers[i]);
	}
	return failed != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/io.h"

#include "tests/lib/test.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/*
 * What only a kernel's queue does: short writes, which break the link to their sync. The limit on
 * the size of files makes them: a write across it is short, one behind it fails with EFBIG.
 */

#define PAGES 8

struct rig {
	char path[40];
	struct io *io;
	struct io_file *file;
	struct io_queue *queue;
	uint8_t *bytes;
	struct io_op op;
};

static void limit_files(rlim_t size)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = size;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void rig_open(struct rig *rig, unsigned flags, enum io_kind kind)
{
	*rig = (struct rig){.path = "/tmp/test_io_ring.XXXXXX"};
	assert_non_null(mkdtemp(rig->path));
	assert_int_equal(io_ring_new(rig->path, false, &rig->io), 0);
	assert_int_equal(io_open(rig->io, "a", IO_CREATE | flags, &rig->file), 0);
	assert_int_equal(io_queue_new(rig->io, 4, &rig->queue), 0);
	rig->bytes = aligned_alloc(IO_ALIGN, PAGES * IO_ALIGN);
	assert_non_null(rig->bytes);
	memset(rig->bytes, 7, PAGES * IO_ALIGN);
	rig->op = (struct io_op){.file = rig->file,
				 .bytes = rig->bytes,
				 .size = PAGES * IO_ALIGN,
				 .kind = kind,
				 .result = 1};
}

static void rig_close(struct rig *rig)
{
	io_queue_free(rig->queue);
	io_close(rig->file);
	assert_int_equal(io_remove(rig->io, "a"), 0);
	io_free(rig->io);
	rmdir(rig->path);
	free(rig->bytes);
}

/* Until the operation ended. */
static void finish(struct rig *rig)
{
	struct io_op *ended;

	do
		io_queue_wait(rig->queue);
	while (io_queue_poll(rig->queue, &ended, 1) == 0);
	assert_ptr_equal(ended, &rig->op);
	assert_int_equal(io_queue_count(rig->queue), 0);
}

static void check_written(struct rig *rig)
{
	memset(rig->bytes, 0, PAGES * IO_ALIGN);
	assert_int_equal(io_read(rig->file, 0, rig->bytes, PAGES * IO_ALIGN), 0);
	for (size_t i = 0; i < PAGES * IO_ALIGN; i++)
		assert_int_equal(rig->bytes[i], 7);
}

/*
 * Short at first, and whole when it is gone on with: the limit is lifted between. A sync before
 * makes no difference, though nothing else of the file waits for one then.
 */
static void goes_on(unsigned flags, enum io_kind kind, bool after_sync)
{
	struct rig rig;
	uint64_t size;

	rig_open(&rig, flags, kind);
	if (after_sync)
		assert_int_equal(io_sync(rig.file), 0);
	limit_files(3 * IO_ALIGN);
	assert_int_equal(io_queue_submit(rig.queue, &rig.op), 0);
	io_queue_wait(rig.queue);
	assert_int_equal(io_size(rig.file, &size), 0);
	assert_int_equal(size, 3 * IO_ALIGN);
	limit_files(RLIM_INFINITY);
	finish(&rig);
	assert_int_equal(rig.op.result, 0);
	check_written(&rig);
	rig_close(&rig);
}

static void a_short_write_is_gone_on_with(void **state)
{
	goes_on(0, IO_WRITE, false);
	goes_on(IO_DIRECT, IO_WRITE, false);
}

static void a_short_write_with_its_sync_is_gone_on_with(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		goes_on(0, IO_WRITE_SYNC, /* after_sync= */ i == 1);
		goes_on(IO_DIRECT, IO_WRITE_SYNC, /* after_sync= */ i == 1);
	}
}

static void a_write_that_fails_says_why_and_not_that_its_sync_was_cancelled(void **state)
{
	struct rig rig;

	for (unsigned i = 0; i < 4; i++) {
		rig_open(&rig, i & 1 ? IO_DIRECT : 0, IO_WRITE_SYNC);
		if (i & 2)
			assert_int_equal(io_sync(rig.file), 0);
		limit_files(3 * IO_ALIGN);
		assert_int_equal(io_queue_submit(rig.queue, &rig.op), 0);
		finish(&rig);
		limit_files(RLIM_INFINITY);
		assert_int_equal(rig.op.result, -EFBIG);
		/* The queue is as good as before. */
		assert_int_equal(io_queue_submit(rig.queue, &rig.op), 0);
		finish(&rig);
		assert_int_equal(rig.op.result, 0);
		check_written(&rig);
		rig_close(&rig);
	}
}

static void bytes_in_and_out_of_registered_memory_are_the_same(void **state)
{
	struct rig rig;

	rig_open(&rig, IO_DIRECT, IO_WRITE_SYNC);
	/* The middle only: the operation's bytes begin before it and end behind it. */
	assert_int_equal(io_queue_register(rig.queue, rig.bytes + 2 * IO_ALIGN, 2 * IO_ALIGN), 0);
	for (unsigned first = 0; first < 4; first++) {
		rig.op.bytes = rig.bytes + first * IO_ALIGN;
		rig.op.offset = first * IO_ALIGN;
		rig.op.size = (PAGES - 2 * first) * IO_ALIGN;
		rig.op.kind = IO_WRITE_SYNC;
		memset(rig.op.bytes, (int)first + 1, rig.op.size);
		assert_int_equal(io_queue_submit(rig.queue, &rig.op), 0);
		finish(&rig);
		assert_int_equal(rig.op.result, 0);
		memset(rig.op.bytes, 0, rig.op.size);
		rig.op.kind = IO_READ;
		assert_int_equal(io_queue_submit(rig.queue, &rig.op), 0);
		finish(&rig);
		assert_int_equal(rig.op.result, 0);
		for (size_t i = 0; i < rig.op.size; i++)
			assert_int_equal(((uint8_t *)rig.op.bytes)[i], first + 1);
	}
	rig_close(&rig);
}

static void more_memory_than_can_be_registered_is_refused_and_still_works(void **state)
{
	struct rig rig;
	int error = 0;

	rig_open(&rig, 0, IO_WRITE);
	for (unsigned i = 0; i < 100 && !error; i++)
		error = io_queue_register(rig.queue, rig.bytes, IO_ALIGN);
	assert_true(error < 0);
	assert_int_equal(io_queue_submit(rig.queue, &rig.op), 0);
	finish(&rig);
	assert_int_equal(rig.op.result, 0);
	check_written(&rig);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_short_write_is_gone_on_with),
		cmocka_unit_test(a_short_write_with_its_sync_is_gone_on_with),
		cmocka_unit_test(a_write_that_fails_says_why_and_not_that_its_sync_was_cancelled),
		cmocka_unit_test(bytes_in_and_out_of_registered_memory_are_the_same),
		cmocka_unit_test(more_memory_than_can_be_registered_is_refused_and_still_works),
	};
	struct io *io;
	int error = io_ring_new("/tmp", false, &io);

	if (error) {
		printf("skipped: the kernel has no io_uring for us: %s\n", strerror(-error));
		return TEST_SKIP;
	}
	io_free(io);
	signal(SIGXFSZ, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

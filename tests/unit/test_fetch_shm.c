/* SPDX-License-Identifier: Apache-2.0 */
#include "base/defs.h"
#include "base/memory.h"
#include "rdma/fetch_shm.h"
#include "tests/lib/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MEMORY_SIZE (64 * 1024)
#define SEALED      (F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE)

static uint8_t memory[MEMORY_SIZE];

static uint8_t byte_at(size_t offset)
{
	return (uint8_t)(offset * 31 + offset / 4096);
}

/* A memfd of pages (huge ones with MFD_HUGETLB) whose bytes are byte_at() of their offset; -1:
 * none. */
static int make_memory(unsigned flags, size_t size, int seals)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING | flags);
	uint8_t *bytes;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (bytes == MAP_FAILED) {
		(void)close(fd);
		return -1;
	}
	for (size_t i = 0; i < size; i++)
		bytes[i] = byte_at(i);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals & ~F_SEAL_WRITE), 0);
	assert_int_equal(munmap(bytes, size), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static int open_region(int fd, uint64_t offset, uint64_t size, struct fetch **ret_fetch)
{
	const struct fetch_shm_options options = {
		.memory_fd = fd,
		.offset = offset,
		.size = size,
		.memory = memory,
		.memory_size = sizeof(memory),
		.expires_ns = 1000,
	};

	return fetch_shm_open(&options, ret_fetch);
}

static void fetch_all(struct fetch *fetch, uint64_t region_offset)
{
	const struct fetch_piece pieces[] = {
		{0, 1, memory},
		{1, 4096, memory + 100},
		{fetch->size - 777, 777, memory + 8192},
	};
	struct fetch_done done;

	memset(memory, 0, sizeof(memory));
	assert_int_equal(fetch_post(fetch, pieces, ARRAY_COUNT(pieces), 5), 0);
	assert_int_equal(fetch_poll(fetch, 999, &done, 1), 1);
	assert_int_equal(done.cookie, 5);
	assert_int_equal(done.error, 0);
	for (unsigned i = 0; i < ARRAY_COUNT(pieces); i++) {
		for (size_t at = 0; at < pieces[i].size; at++)
			assert_int_equal(((uint8_t *)pieces[i].to)[at],
					 byte_at(region_offset + pieces[i].offset + at));
	}
}

static void a_region_anywhere_in_sealed_memory_is_read(void **state)
{
	static const uint64_t offsets[] = {0, 1, 4095, 4096, 12345};

	for (unsigned i = 0; i < ARRAY_COUNT(offsets); i++) {
		int fd = make_memory(0, 65536, SEALED);
		struct fetch *fetch;

		assert_int_equal(open_region(fd, offsets[i], 65536 - offsets[i], &fetch), 0);
		assert_string_equal(fetch->kind, "shm");
		/* The mapping doesn't need the descriptor. */
		assert_int_equal(close(fd), 0);
		fetch_all(fetch, offsets[i]);
		fetch_close(fetch);
	}
}

static void memory_of_huge_pages_is_read_where_there_are_any(void **state)
{
	const size_t size = 2 * 1024 * 1024;
	int fd = make_memory(MFD_HUGETLB | (21u << MAP_HUGE_SHIFT), size, SEALED);
	struct fetch *fetch;

	if (fd < 0) {
		print_message("no huge pages here\n");
		skip();
	}
	assert_int_equal(open_region(fd, 70000, size - 70000, &fetch), 0);
	fetch_all(fetch, 70000);
	fetch_close(fetch);
	assert_int_equal(close(fd), 0);
}

static void memory_that_could_shrink_or_get_holes_is_refused(void **state)
{
	static const int missing[] = {0, F_SEAL_SHRINK, F_SEAL_FUTURE_WRITE, F_SEAL_WRITE,
				      F_SEAL_SHRINK | F_SEAL_GROW};
	struct fetch *fetch = NULL;

	for (unsigned i = 0; i < ARRAY_COUNT(missing); i++) {
		int fd = make_memory(0, 4096, missing[i]);

		assert_int_equal(open_region(fd, 0, 4096, &fetch), FETCH_SHM_E_SEALS);
		assert_int_equal(close(fd), 0);
	}
	assert_null(fetch);
}

static void what_is_taken_can_neither_shrink_nor_get_holes(void **state)
{
	static const int sealed[] = {SEALED, F_SEAL_SHRINK | F_SEAL_WRITE};

	for (unsigned i = 0; i < ARRAY_COUNT(sealed); i++) {
		int fd = make_memory(0, 8192, sealed[i]);
		struct fetch *fetch;

		assert_int_equal(open_region(fd, 0, 8192, &fetch), 0);
		assert_int_equal(ftruncate(fd, 0), -1);
		assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096),
				 -1);
		fetch_all(fetch, 0);
		fetch_close(fetch);
		assert_int_equal(close(fd), 0);
	}
}

/* What nodes lend their segments from; the reader's mapping stays when the owner's is gone. */
static void memory_that_a_node_sealed_is_read(void **state)
{
	for (int huge = 0; huge < 2; huge++) {
		const struct memory_options options = {.name = "test",
						       .size = MEMORY_PAGE_SIZE + 1,
						       .huge = huge,
						       .numa_node = -1};
		struct memory owner;
		struct fetch *fetch;

		assert_int_equal(memory_init(&options, &owner), 0);
		assert_int_equal(open_region(owner.fd, 0, owner.size, &fetch), FETCH_SHM_E_SEALS);
		for (size_t i = 0; i < owner.size; i++)
			owner.start[i] = byte_at(i);
		assert_int_equal(memory_seal(&owner), 0);
		assert_int_equal(open_region(owner.fd, 0, owner.size + 1, &fetch),
				 FETCH_SHM_E_SHORT);
		assert_int_equal(open_region(owner.fd, 100, owner.size - 100, &fetch), 0);
		memory_deinit(&owner);
		fetch_all(fetch, 100);
		fetch_close(fetch);
	}
}

/* A hole would be filled by whoever touches it, and end a reader who can't. */
static void memory_with_holes_is_refused(void **state)
{
	static const off_t holes[] = {0, 4096, 61440};
	struct fetch *fetch = NULL;

	for (unsigned i = 0; i < ARRAY_COUNT(holes); i++) {
		int fd = make_memory(0, 65536, 0);

		assert_int_equal(
			fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, holes[i], 4096),
			0);
		assert_int_equal(fcntl(fd, F_ADD_SEALS, SEALED), 0);
		assert_int_equal(open_region(fd, 0, 65536, &fetch), FETCH_SHM_E_HOLES);
		assert_int_equal(close(fd), 0);
	}
	assert_null(fetch);
}

/* Pages behind the end make up for those that are missing, as far as blocks are counted. */
static void holes_that_do_not_show_are_filled_before_anybody_reads(void **state)
{
	int fd = make_memory(0, 65536, 0);
	struct fetch *fetch;

	assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8192, 4096), 0);
	assert_int_equal(fallocate(fd, FALLOC_FL_KEEP_SIZE, 65536, 4096), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, SEALED), 0);
	assert_int_equal(open_region(fd, 0, 65536, &fetch), 0);
	assert_int_equal(lseek(fd, 0, SEEK_HOLE), 65536);
	fetch_close(fetch);
	assert_int_equal(close(fd), 0);
}

static void files_pipes_and_nothing_are_refused(void **state)
{
	struct fetch *fetch = NULL;
	FILE *file = tmpfile();
	int pipes[2];

	assert_non_null(file);
	assert_int_equal(ftruncate(fileno(file), 8192), 0);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(open_region(fileno(file), 0, 8192, &fetch), FETCH_SHM_E_SEALS);
	assert_int_equal(open_region(pipes[0], 0, 8192, &fetch), FETCH_SHM_E_SEALS);
	assert_int_equal(open_region(-1, 0, 8192, &fetch), FETCH_SHM_E_SEALS);
	assert_null(fetch);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(close(pipes[0]), 0);
	assert_int_equal(close(pipes[1]), 0);
}

static void regions_beyond_the_memorys_end_are_refused(void **state)
{
	static const uint64_t cases[][2] = {
		{0, 0},
		{0, 8193},
		{1, 8192},
		{8192, 1},
		{8193, 1},
		{UINT64_MAX, 1},
		{1, UINT64_MAX},
		{INT64_MAX, INT64_MAX},
		{4096, UINT64_MAX - 4095},
	};
	int fd = make_memory(0, 8192, SEALED);
	struct fetch *fetch = NULL;

	for (unsigned i = 0; i < ARRAY_COUNT(cases); i++)
		assert_int_equal(open_region(fd, cases[i][0], cases[i][1], &fetch),
				 FETCH_SHM_E_SHORT);
	assert_null(fetch);
	assert_int_equal(close(fd), 0);
}

static void after_the_lease_nothing_is_used(void **state)
{
	int fd = make_memory(0, 8192, SEALED);
	const struct fetch_piece piece = {0, 8, memory};
	struct fetch *fetch;
	struct fetch_done done;

	assert_int_equal(open_region(fd, 0, 8192, &fetch), 0);
	assert_int_equal(fetch_post(fetch, &piece, 1, 1), 0);
	assert_int_equal(fetch_poll(fetch, 1000, &done, 1), 1);
	assert_int_equal(done.error, -ETIMEDOUT);
	fetch_close(fetch);
	assert_int_equal(close(fd), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_region_anywhere_in_sealed_memory_is_read),
		cmocka_unit_test(memory_of_huge_pages_is_read_where_there_are_any),
		cmocka_unit_test(memory_that_could_shrink_or_get_holes_is_refused),
		cmocka_unit_test(what_is_taken_can_neither_shrink_nor_get_holes),
		cmocka_unit_test(memory_that_a_node_sealed_is_read),
		cmocka_unit_test(memory_with_holes_is_refused),
		cmocka_unit_test(holes_that_do_not_show_are_filled_before_anybody_reads),
		cmocka_unit_test(files_pipes_and_nothing_are_refused),
		cmocka_unit_test(regions_beyond_the_memorys_end_are_refused),
		cmocka_unit_test(after_the_lease_nothing_is_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

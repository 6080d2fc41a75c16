/* SPDX-License-Identifier: Apache-2.0 */
#include "base/defs.h"
#include "base/memory.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static struct memory take(size_t size, bool huge)
{
	const struct memory_options options = {
		.name = "test", .size = size, .huge = huge, .numa_node = -1};
	struct memory memory;

	assert_int_equal(memory_init(&options, &memory), 0);
	return memory;
}

static unsigned descriptor_count(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void memory_is_whole_zeroed_and_aligned(void **state)
{
	struct memory memory = take(MEMORY_PAGE_SIZE + 1, false);

	assert_int_equal(memory.size, 2 * MEMORY_PAGE_SIZE);
	assert_int_equal((uintptr_t)memory.start % MEMORY_PAGE_SIZE, 0);
	assert_string_equal(memory.note, "");
	for (size_t i = 0; i < memory.size; i++)
		assert_int_equal(memory.start[i], 0);
	memset(memory.start, 1, memory.size);
	memory_deinit(&memory);
	assert_null(memory.start);
}

static void every_page_is_there_from_the_start(void **state)
{
	for (int huge = 0; huge < 2; huge++) {
		struct memory memory = take(3 * MEMORY_PAGE_SIZE, huge);
		unsigned char there[3 * MEMORY_PAGE_SIZE / 4096];

		assert_int_equal(mincore(memory.start, memory.size, there), 0);
		for (size_t i = 0; i < ARRAY_COUNT(there); i++)
			assert_true(there[i] & 1);
		memory_deinit(&memory);
	}
}

/* Whether this machine has huge pages or not: either they are there, or the note names the cure. */
static void huge_pages_are_had_or_done_without_with_a_note(void **state)
{
	struct memory memory = take(1, true);

	if (memory.huge)
		assert_string_equal(memory.note, "");
	else
		assert_non_null(strstr(memory.note, "vm.nr_hugepages"));
	memset(memory.start, 1, memory.size);
	memory_deinit(&memory);
}

static void impossible_sizes_are_refused_and_leave_nothing_behind(void **state)
{
	static const size_t sizes[] = {0, SIZE_MAX, INT64_MAX};
	struct memory memory = {.size = 7};
	struct memory_options options = {.name = "test", .numa_node = -1};
	unsigned before = descriptor_count();

	for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
		options.size = sizes[i];
		assert_int_equal(memory_init(&options, &memory), -EINVAL);
	}
	/* More than the address space has room for. */
	options.size = (size_t)1 << 62;
	assert_true(memory_init(&options, &memory) < 0);
	options.huge = true;
	assert_true(memory_init(&options, &memory) < 0);
	assert_int_equal(memory.size, 7);
	assert_int_equal(descriptor_count(), before);
}

static void a_node_that_is_not_there_is_noted(void **state)
{
	static const int nodes[] = {1000, 1024, 1 << 20};

	for (size_t i = 0; i < ARRAY_COUNT(nodes); i++) {
		const struct memory_options options = {
			.name = "test", .size = 1, .numa_node = nodes[i]};
		struct memory memory;

		assert_int_equal(memory_init(&options, &memory), 0);
		assert_false(memory.bound);
		assert_non_null(strstr(memory.note, "not bound"));
		/* No kernel has as many: that is not asked of it. */
		assert_int_equal(strstr(memory.note, "no such") != NULL, nodes[i] >= 1024);
		memory_deinit(&memory);
	}
}

static void deinit_accepts_a_zeroed_memory_and_closes_the_descriptor(void **state)
{
	unsigned before = descriptor_count();
	struct memory memory = {0};

	memory_deinit(&memory);
	memory = take(1, false);
	assert_int_equal(descriptor_count(), before + 1);
	memory_deinit(&memory);
	memory_deinit(&memory);
	assert_int_equal(descriptor_count(), before);
}

/* In a process of its own, since it dies of what is asked for. */
static int status_of_write(uint8_t *at)
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		(void)signal(SIGSEGV, SIG_DFL);
		*(volatile uint8_t *)at = 1;
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void nobody_writes_to_what_is_sealed(void **state)
{
	struct memory memory = take(1, false);
	unsigned before = descriptor_count();
	char path[64];
	int status, fd;

	memory.start[0] = 5;
	assert_int_equal(memory_seal(&memory), 0);
	assert_int_equal(descriptor_count(), before);
	assert_int_equal(fcntl(memory.fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_true(fcntl(memory.fd, F_GET_SEALS) & F_SEAL_SEAL);
	status = status_of_write(memory.start);
	assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	/* Neither through the descriptor, nor through one that was opened for writing. */
	assert_int_equal(pwrite(memory.fd, "x", 1, 0), -1);
	assert_ptr_equal(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, memory.fd, 0), MAP_FAILED);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", memory.fd);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_ptr_equal(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(ftruncate(fd, (off_t)(2 * MEMORY_PAGE_SIZE)), -1);
	assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), -1);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	close(fd);
	assert_int_equal(memory.start[0], 5);
	memory_deinit(&memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_whole_zeroed_and_aligned),
		cmocka_unit_test(every_page_is_there_from_the_start),
		cmocka_unit_test(huge_pages_are_had_or_done_without_with_a_note),
		cmocka_unit_test(impossible_sizes_are_refused_and_leave_nothing_behind),
		cmocka_unit_test(a_node_that_is_not_there_is_noted),
		cmocka_unit_test(deinit_accepts_a_zeroed_memory_and_closes_the_descriptor),
		cmocka_unit_test(nobody_writes_to_what_is_sealed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Recovery takes no more memory for a log that is eight times as long, but for what open tables
 * take: their indexes, as long as the store lives. Each store is written by one process, which
 * dies, and recovered by another one. What that has allocated then is compared; its peak, which
 * the allocator's holes are in, stays below the log's size by far.
 */

#include "engine/store.h"
#include "tests/lib/folder.h"
#include "tests/lib/test.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define VALUE_SIZE 1000
#define BATCH      8

/* Bytes of values in the shorter log, and how many times as long the other one is. */
#define LOG_SIZE (UINT32_C(6) << 20)
#define TIMES    8

/* Bytes of log for one of a table's index, which stays in memory. */
#define INDEX_SHARE 24

/* What is wrong in a child is its exit status. */
#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition))                                                                  \
			_exit(__LINE__ % 255 + 1);                                                 \
	} while (0)

static struct store *open_store(const char *folder, uint64_t memtable_size)
{
	const struct store_options options = {
		.create = true,
		.log_size = UINT64_C(1) << 40,
		.cache_pages = 64,
		.wal = {.segment_size = 1 << 20, .buffer_size = 256 << 10},
		.kv = {.memtable_size = memtable_size,
		       .cache_size = 1 << 20,
		       .table_size = 1 << 20,
		       .level_size = 4 << 20},
	};
	char error[256] = "";
	struct store *store;
	struct io *io;

	REQUIRE(io_plain_new(folder, /* create= */ true, &io) == 0);
	int r = store_open(io, &options, &store, error, sizeof(error));
	if (r != 0)
		fprintf(stderr, "opening: %d %s\n", r, error);
	REQUIRE(r == 0);
	return store;
}

/* Keys come again, in another order; every batch also adds edges. */
static void write_log(const char *folder, uint32_t count, int tell)
{
	static uint8_t value[VALUE_SIZE];
	struct store *store = open_store(folder, UINT64_C(1) << 30);
	uint64_t lsn;

	for (uint32_t i = 0; i < count; i++) {
		char key[32];
		int size = snprintf(key, sizeof(key), "key%07u", i * 7919 % 4001);
		struct store_put put = {.key = {(const uint8_t *)key, (uint32_t)size},
					.value = {value, sizeof(value)}};

		for (uint32_t k = 0; k < VALUE_SIZE; k++)
			value[k] = (uint8_t)(i * 31 + k * k * 7 + (i >> 8));
		REQUIRE(store_put(store, &put) == 0);
		if ((i + 1) % BATCH != 0)
			continue;
		struct edge_key edge = {.source = i % 64, .target = i};
		REQUIRE(store_edge_add(store, edge) == 0);
		while (store_commit(store, STORE_NONE, &lsn) == STORE_E_BUSY)
			REQUIRE(store_sync(store) == 0);
	}
	REQUIRE(store_sync(store) == 0);
	_exit(0);
}

static void recover_log(const char *folder, uint32_t count, int tell)
{
	struct mallinfo2 before = mallinfo2();
	struct store *store = open_store(folder, UINT64_C(256) << 10);

	REQUIRE(store_stats(store).recovery.applied >= count);
	REQUIRE(store_stats(store).recovery.bytes >= (uint64_t)count * VALUE_SIZE);
	struct mallinfo2 after = mallinfo2();
	size_t taken = after.uordblks + after.hblkhd - before.uordblks - before.hblkhd;
	REQUIRE(write(tell, &taken, sizeof(taken)) == sizeof(taken));
	_exit(0);
}

typedef void (*child_fn)(const char *folder, uint32_t count, int tell);

struct memory {
	size_t taken; /* bytes, when it is open */
	size_t peak;  /* bytes, of the process */
};

static struct memory run_child(child_fn work, const char *folder, uint32_t count)
{
	struct memory memory = {0};
	struct rusage usage;
	int ends[2];
	int status;

	assert_int_equal(pipe(ends), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0)
		work(folder, count, ends[1]);
	close(ends[1]);
	(void)!read(ends[0], &memory.taken, sizeof(memory.taken)); /* nothing, when it writes */
	close(ends[0]);
	assert_int_equal(wait4(child, &status, 0, &usage), child);
	if (status != 0)
		print_error("the child's status is %d\n", status);
	assert_int_equal(status, 0);
	memory.peak = (size_t)usage.ru_maxrss << 10;
	return memory;
}

static struct memory memory_of(uint32_t log_size)
{
	char folder[] = "recover.XXXXXX";
	uint32_t count = log_size / VALUE_SIZE;

	assert_non_null(mkdtemp(folder));
	run_child(write_log, folder, count);
	struct memory memory = run_child(recover_log, folder, count);
	folder_remove(folder);
	print_message("a log of %u bytes: %zu taken, %zu at the peak\n", log_size, memory.taken,
		      memory.peak);
	return memory;
}

static void recovery_of_a_longer_log_takes_no_more_memory(void **state)
{
	struct memory less = memory_of(LOG_SIZE);
	struct memory more = memory_of(TIMES * LOG_SIZE);

	assert_true(less.taken > 0);
	assert_true(more.taken < less.taken + (TIMES - 1) * LOG_SIZE / INDEX_SHARE);
	assert_true(more.peak < TIMES * LOG_SIZE / 3 * 2);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

int main(void)
{
	if (SANITIZED) {
		printf("skipped: a sanitizer's own memory grows with the work\n");
		return 77;
	}
	/* Memory that is allocated and not used doesn't count. */
	mallopt(M_PERTURB, 0);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recovery_of_a_longer_log_takes_no_more_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/defs.h"
#include "base/guard.h"
#include "tests/lib/test.h"

#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the compiler can't follow, it can't leave out. */
static void *volatile sink;

static void by_malloc(void)
{
	sink = malloc(10);
}

static void by_calloc(void)
{
	sink = calloc(2, 5);
}

static void by_realloc(void)
{
	sink = realloc(NULL, 10);
}

static void by_reallocarray(void)
{
	sink = reallocarray(NULL, 2, 5);
}

#ifndef __SANITIZE_THREAD__
static void by_aligned_alloc(void)
{
	sink = aligned_alloc(64, 64);
}

static void by_memalign(void)
{
	sink = memalign(64, 64);
}

static void by_posix_memalign(void)
{
	void *pointer;

	sink = posix_memalign(&pointer, 64, 64) == 0 ? pointer : NULL;
}
#endif

/* An allocation that libc makes for us. */
static void by_strdup(void)
{
	const char *volatile text = "a text";

	sink = strdup(text);
}

static void (*const allocations[])(void) = {
	by_malloc,        by_calloc,   by_realloc,        by_reallocarray, by_strdup,
#ifndef __SANITIZE_THREAD__
	by_aligned_alloc, by_memalign, by_posix_memalign,
#endif
};

static void every_way_to_allocate_is_counted_once(void **state)
{
	for (size_t i = 0; i < ARRAY_COUNT(allocations); i++) {
		uint64_t before = guard_heap_calls();

		allocations[i]();
		assert_non_null(sink);
		assert_int_equal(guard_heap_calls() - before, 1);
		free(sink);
		assert_int_equal(guard_heap_calls() - before, 2);
	}
}

static void freeing_nothing_is_no_heap_call(void **state)
{
	uint64_t before = guard_heap_calls();

	sink = NULL;
	free(sink);
	assert_int_equal(guard_heap_calls(), before);
}

static void what_is_allocated_is_whole(void **state)
{
	void *volatile bytes = calloc(1, 100);

	memset(bytes, 3, 100);
	bytes = realloc(bytes, 100000);
	assert_int_equal(((char *)bytes)[99], 3);
	free(bytes);
	bytes = aligned_alloc(4096, 8192);
	assert_int_equal((uintptr_t)bytes % 4096, 0);
	free(bytes);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	{
		volatile size_t count = SIZE_MAX / 2;

		assert_null(reallocarray(NULL, count, 4));
	}
#endif
}

static void *count_in_thread(void *argument)
{
	uint64_t *ret_count = argument;
	uint64_t before = guard_heap_calls();

	by_malloc();
	free(sink);
	*ret_count = guard_heap_calls() - before;
	assert_false(guard_is_frozen());
	return NULL;
}

static void each_thread_has_its_own_count_and_promise(void **state)
{
	uint64_t own, other = 0;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, count_in_thread, &other), 0);
	own = guard_heap_calls();
	pthread_join(thread, NULL);
	assert_int_equal(other, 2);
	assert_true(guard_heap_calls() - own <= 1); /* joining may free the thread's memory */
}

/* In a child, since a debug build dies of it: returns its wait status. */
static int run_frozen(void (*allocate)(void))
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		struct rlimit no_core = {0};

		signal(SIGABRT, SIG_DFL);
		(void)setrlimit(RLIMIT_CORE, &no_core);
		(void)!dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
		guard_freeze();
		if (allocate)
			allocate();
		guard_thaw();
		_exit((int)guard_breaches());
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void a_frozen_thread_that_allocates_is_found(void **state)
{
	for (size_t i = 0; i < ARRAY_COUNT(allocations); i++) {
		int status = run_frozen(allocations[i]);

#ifdef TERN_DEBUG
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGABRT);
#else
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 1);
#endif
	}
}

static void free_sink(void)
{
	free(sink);
}

static void a_frozen_thread_may_free_and_do_without(void **state)
{
	sink = malloc(10);
	assert_int_equal(run_frozen(free_sink), 0);
	assert_int_equal(run_frozen(NULL), 0);
	free(sink);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_way_to_allocate_is_counted_once),
		cmocka_unit_test(freeing_nothing_is_no_heap_call),
		cmocka_unit_test(what_is_allocated_is_whole),
		cmocka_unit_test(each_thread_has_its_own_count_and_promise),
		cmocka_unit_test(a_frozen_thread_that_allocates_is_found),
		cmocka_unit_test(a_frozen_thread_may_free_and_do_without),
	};

	if (!guard_is_counting()) {
		printf("heap calls can't be counted here (valgrind?)\n");
		return TEST_SKIP;
	}
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

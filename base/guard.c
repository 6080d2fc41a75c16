/* SPDX-License-Identifier: Apache-2.0 */
#include "base/guard.h"

#include "base/check.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

/*
 * This file defines malloc() and its kin, so that the dynamic linker binds every
 * caller of the process to them, and passes on to the next definition, which is
 * libc's or that of a preloaded allocator. A sanitizer has to keep its own
 * malloc(); it offers hooks instead.
 *
 * The counters are initial-exec: reaching other thread-local storage may itself
 * allocate. They are volatile, because the compiler takes for granted that
 * malloc() changes no variable of ours.
 */
#define THREAD_LOCAL static __thread __attribute__((tls_model("initial-exec")))

THREAD_LOCAL volatile uint64_t heap_calls;
THREAD_LOCAL volatile uint64_t breaches;
THREAD_LOCAL volatile bool frozen;

void guard_freeze(void)
{
	frozen = true;
}

void guard_thaw(void)
{
	frozen = false;
}

bool guard_is_frozen(void)
{
	return frozen;
}

uint64_t guard_heap_calls(void)
{
	return heap_calls;
}

uint64_t guard_breaches(void)
{
	return breaches;
}

bool guard_is_counting(void)
{
	uint64_t before = heap_calls;
	void *volatile probe = malloc(1);

	free(probe);
	return heap_calls != before;
}

/* Thaws before it complains: printing a backtrace allocates. */
static NOINLINE void breach(void)
{
	breaches++;
#ifdef TERN_DEBUG
	bool allocated_while_frozen = true;

	guard_thaw();
	CHECK(!allocated_while_frozen);
#endif
}

static inline void count_allocation(void)
{
	heap_calls++;
	if (unlikely(frozen))
		breach();
}

static inline void count_free(const void *pointer)
{
	heap_calls += pointer != NULL;
}

#ifdef SANITIZED

/* What <sanitizer/allocator_interface.h> declares; gcc 12 does not ship that header. */
int install_hooks(
	void (*malloc_hook)(const volatile void *, size_t),
	void (*free_hook)(
		const volatile void *)) __asm__("__sanitizer_install_malloc_and_free_hooks");

static void on_malloc(const volatile void *pointer, size_t size)
{
	(void)pointer;
	(void)size;
	count_allocation();
}

static void on_free(const volatile void *pointer)
{
	count_free((const void *)(uintptr_t)pointer);
}

__attribute__((constructor)) static void install(void)
{
	CHECK(install_hooks(on_malloc, on_free) > 0);
}

#else

#define EXPORTED __attribute__((visibility("default")))

/*
 * The next definition of 'name', looked up once. Threads may race to it and
 * store the same. dlsym() allocates only to report a failure; should it, it is
 * told that there is no memory, instead of going in circles.
 */
#define NEXT(name)                                                                                 \
	({                                                                                         \
		static __typeof__(&name) next_##name;                                              \
		__typeof__(&name) found = __atomic_load_n(&next_##name, __ATOMIC_RELAXED);         \
		if (unlikely(!found)) {                                                            \
			found = (__typeof__(&name))(uintptr_t)find_next(#name);                    \
			__atomic_store_n(&next_##name, found, __ATOMIC_RELAXED);                   \
		}                                                                                  \
		found;                                                                             \
	})

THREAD_LOCAL bool finding;

static NOINLINE void *find_next(const char *name)
{
	void *next;

	if (finding)
		return NULL;
	finding = true;
	next = dlsym(RTLD_NEXT, name);
	finding = false;
	CHECK(next);
	return next;
}

EXPORTED void *malloc(size_t size)
{
	__typeof__(&malloc) next = NEXT(malloc);

	count_allocation();
	return next ? next(size) : NULL;
}

EXPORTED void *calloc(size_t count, size_t size)
{
	__typeof__(&calloc) next = NEXT(calloc);

	count_allocation();
	return next ? next(count, size) : NULL;
}

EXPORTED void *realloc(void *pointer, size_t size)
{
	__typeof__(&realloc) next = NEXT(realloc);

	count_allocation();
	return next ? next(pointer, size) : NULL;
}

/* By realloc(), which counts; libc's own would pass by the counter or count twice. */
EXPORTED void *reallocarray(void *pointer, size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(pointer, bytes);
}

EXPORTED void *aligned_alloc(size_t align, size_t size)
{
	__typeof__(&aligned_alloc) next = NEXT(aligned_alloc);

	count_allocation();
	return next ? next(align, size) : NULL;
}

EXPORTED void *memalign(size_t align, size_t size)
{
	__typeof__(&memalign) next = NEXT(memalign);

	count_allocation();
	return next ? next(align, size) : NULL;
}

EXPORTED int posix_memalign(void **ret_pointer, size_t align, size_t size)
{
	__typeof__(&posix_memalign) next = NEXT(posix_memalign);

	count_allocation();
	return next ? next(ret_pointer, align, size) : ENOMEM;
}

EXPORTED void free(void *pointer)
{
	__typeof__(&free) next = NEXT(free);

	count_free(pointer);
	if (next)
		next(pointer);
}

#endif

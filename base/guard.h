/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Guard - proves that a thread leaves the heap alone
 *
 * A program that calls anything here gets its malloc family counted, calls out
 * of shared libraries included: each call adds one to a counter of its thread
 * and goes on to the allocator that would have served it. After guard_freeze() a
 * thread has promised to allocate nothing more: in a debug build (TERN_DEBUG) an
 * allocation is then a failed check that names it, in a release build it is
 * counted as a breach.
 *
 * Freeing is counted but is no breach: a message from another thread may end here.
 *
 * Threads: each function is about the thread that calls it.
 */

#include <stdbool.h>
#include <stdint.h>

/*
 * Does counting work here? Not under valgrind, which puts its own functions in
 * place of ours; and gcc's ThreadSanitizer hides aligned allocations. Allocates.
 */
bool guard_is_counting(void);

/* Promises that this thread allocates nothing more. */
void guard_freeze(void);

/* Takes the promise back, for the way down. */
void guard_thaw(void);

bool guard_is_frozen(void);

/* Calls of the malloc family by this thread so far, free() included. */
uint64_t guard_heap_calls(void);

/* Allocations by this thread while it was frozen; release builds only live to tell. */
uint64_t guard_breaches(void);

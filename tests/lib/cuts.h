/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Cuts - one life on a faulty disk, again and again, with the power cut at another step each time
 *
 * It is the small frame for a life that asserts what it finds; tests/lib/crash.h is the one that
 * tears disks with several seeds, fails calls and syncs, and flips bits.
 *
 * Threads: one.
 */

#include <stdint.h>

/* Lives once with the power cut at that step, 0: never; returns the steps that it took. */
typedef uint64_t (*cuts_life_fn)(uint64_t cut);

/* Cuts at each of the life's steps; with TERN_STEP in the environment at that one, with
 * TERN_SAMPLE=n at one in n. */
void cuts_sweep(cuts_life_fn life);

/* A test's teardown: says how to replay the cut at which it failed. */
int cuts_say_replay(void **state);

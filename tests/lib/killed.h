/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Killed - what was acknowledged survives kill -9, on real files
 *
 * A workload is an endless row of operations that its seed fixes, numbered from 1. A child works
 * on a folder and tells, through a pipe, up to which number all is durable. The parent kills it at
 * a random time, opens the folder, and compares: what is there is the effect of the first n
 * operations, for an n that is not below what was told. The next child goes on from n.
 *
 * Threads: one. The parent has none other when it calls: it forks.
 */

#include <stddef.h>
#include <stdint.h>

/* Children that are killed, unless TERN_LONG=1: then fifty times as many. */
#define KILLED_ROUNDS 20

/* The longest that a child lives, milliseconds. */
#define KILLED_LIFE_MS_MAX 40

struct killed_workload {
	const char *name;

	/*
	 * In the child: opens the folder, which holds the first 'done' operations (0: empty), and
	 * works until it is killed. Returns only when something failed: a negative errno.
	 */
	int (*run)(const char *folder, uint64_t seed, uint64_t done, int tell);

	/* In the parent: opens the folder, compares it with the first n operations, and
	 * closes it. Returns 0, or 1 with the text of what is wrong. */
	int (*check)(const char *folder, uint64_t seed, uint64_t *ret_done, char *error,
		     size_t error_size);
};

/* In the child: all up to 'done' is durable. Doesn't return when the parent is gone. */
void killed_tell(int tell, uint64_t done);

/*
 * Rounds on a new folder below the working directory's (a real disk), which is removed if all went
 * well. Prints what it did, the seed and, after a failure, where the folder is. Returns 0 or 1.
 */
int killed_loop(const struct killed_workload *workload, uint64_t seed);

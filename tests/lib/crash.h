/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Crash - what was acknowledged survives, wherever the disk fails
 *
 * A workload runs on a faulty disk (tests/lib/faulty.h) once to count its steps; then again for
 * every one of them, with the power cut there. From each cut several disks come, one a seed
 * of tearing; each is opened again and compared with what the run was told is durable. Then
 * once more, with the power cut in the middle of that recovery. And once a place it is the process
 * alone that ends there: what it wrote and didn't sync is seen by the recovery, and may still be
 * lost with the power behind it.
 *
 * The same with other faults: the n-th call fails (EIO, ENOSPC; once, as a disk that has room
 * again), or the n-th sync fails and loses what it was to write. And, where the workload says so,
 * a bit of what an undisturbed run left is flipped: that is found out, or does no harm.
 *
 * A failure prints how to replay it: `crash_wal --workload pages --mode cut --seed 1 --at 17
 * --tear 3`. Every place is taken, unless the workload samples them; bits are always sampled. With
 * TERN_LONG=1 in the environment nothing but bits is, and there are more seeds; with TERN_SAMPLE=n,
 * for sanitizers, one place in n is taken.
 *
 * Threads: one.
 */

#include "engine/io.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Seeds; with TERN_LONG=1. */
#define CRASH_SEEDS      2
#define CRASH_SEEDS_LONG 8

/* Bits of one seed that are flipped; with TERN_LONG=1. */
#define CRASH_BITS     40
#define CRASH_BITS_MAX 20000

/* Seeds of tearing at each cut; one at a fault, behind which the power goes at some time later.
 * TERN_LONG=1: four times as many. */
#define CRASH_TEARS 3

/* Failures after which a sweep stops. */
#define CRASH_FAILURE_MAX 5

enum {
	CRASH_E_WRONG = 1, /* not what was promised: 'error' says what */
	CRASH_E_DETECTED,  /* of check(): refused as corrupt; right only when a bit was flipped */
};

enum crash_mode {
	CRASH_CUT,    /* the power goes at a step */
	CRASH_EIO,    /* a call fails with EIO */
	CRASH_ENOSPC, /* a call fails with ENOSPC */
	CRASH_SYNC,   /* a sync fails and loses what it was to write */
	CRASH_ROT,    /* a bit flips, in a sector that isn't all zeros */
	CRASH_MODE_COUNT,
};

struct crash_workload {
	const char *name;

	/* What the run will do, by its seed, and what it was told. The frame owns it until end().
	 */
	void *(*begin)(uint64_t seed);

	/* Works on an empty folder and notes in the model what was begun and what is durable.
	 * Gives up when the io fails. Returns 0, the negative errno of the io, or CRASH_E_WRONG. */
	int (*run)(void *model, struct io *io, char *error, size_t error_size);

	/* Opens what the run left, and compares: all that was durable is there, nothing is that was
	 * not begun. May write, and leaves it as durable as it was. Returns as run(), or
	 * CRASH_E_DETECTED. */
	int (*check)(const void *model, struct io *io, char *error, size_t error_size);

	void (*end)(void *model);

	/* Whether a run of seed 1 that nothing disturbed did all that it is for. Returns 0 or
	 * CRASH_E_WRONG. NULL: nobody asks. */
	int (*complete)(const void *model, char *error, size_t error_size);

	bool rots; /* is run with flipped bits, too: the end of the run leaves nothing that looks
		      torn when a bit of it is flipped, but what was not durable */
	uint32_t piece_max; /* faulty_set_piece() */
	uint64_t capacity;  /* faulty_set_capacity(); above 0 the run may end for want of room */
	uint32_t at_max;    /* places that are tried, evenly; 0: every one */
	uint32_t seeds;     /* 0: CRASH_SEEDS */
};

/* One try: what fails, where. */
struct crash_point {
	enum crash_mode mode;
	uint64_t seed; /* of the workload and the disk */
	uint64_t at;   /* step, call, sync or bit, from 1 */
	uint64_t tear; /* seed of the restart */
};

struct crash_result {
	uint64_t steps;           /* of an undisturbed run: steps, calls, syncs or bits */
	uint64_t tries;           /* disks that were opened again */
	uint64_t failures;        /* of them */
	struct crash_point first; /* failure */
	char error[256];          /* its text */
};

const char *crash_mode_name(enum crash_mode mode);

/* One try. Returns 0, or CRASH_E_WRONG with its text. 'save': a folder to save the torn disk in
 * before it is opened, or NULL. */
int crash_try(const struct crash_workload *workload, const struct crash_point *point,
	      const char *save, char *error, size_t error_size);

/* All of a mode and seed, sampled or not; prints nothing. */
struct crash_result crash_sweep(const struct crash_workload *workload, enum crash_mode mode,
				uint64_t seed);

/*
 * The whole program: every workload in every mode, or what its arguments name:
 * [--workload NAME] [--mode cut|eio|enospc|sync|rot] [--seed N] [--at N --tear N [--save FOLDER]].
 * Returns its exit status.
 */
int crash_main(int argc, char **argv, const struct crash_workload *workloads, size_t count);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Rand - reproducible random numbers
 *
 * xoshiro256** (Blackman and Vigna, 2018) seeded by splitmix64. Equal seeds
 * give equal sequences on every machine, so that a test or a build replays.
 * Not for secrets: those come from rand_secret().
 *
 * Threads: a generator belongs to one thread.
 */

#include <stddef.h>
#include <stdint.h>

struct rand {
	uint64_t state[4];
};

void rand_init(struct rand *rand, uint64_t seed);

uint64_t rand_next(struct rand *rand);

/* A number in [0, bound); 'bound' is at least 1. */
uint64_t rand_below(struct rand *rand, uint64_t bound);

/* A number in [0, 1). */
double rand_unit(struct rand *rand);

/* Fills 'bytes' from the kernel's generator. Returns 0 or a negative errno. */
int rand_secret(void *bytes, size_t size);

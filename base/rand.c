/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rand.h"

#include "base/check.h"

#include <errno.h>
#include <sys/random.h>

static uint64_t splitmix64(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

void rand_init(struct rand *rand, uint64_t seed)
{
	for (unsigned i = 0; i < 4; i++)
		rand->state[i] = splitmix64(&seed);
}

static uint64_t rotate_left(uint64_t value, unsigned count)
{
	return (value << count) | (value >> (64 - count));
}

uint64_t rand_next(struct rand *rand)
{
	uint64_t *s = rand->state;
	uint64_t result = rotate_left(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate_left(s[3], 45);
	return result;
}

/* Lemire's multiply-and-shift; its bias is below 2^-32 for the bounds used here. */
uint64_t rand_below(struct rand *rand, uint64_t bound)
{
	CHECK(bound > 0);
	return (uint64_t)(((unsigned __int128)rand_next(rand) * bound) >> 64);
}

double rand_unit(struct rand *rand)
{
	return (double)(rand_next(rand) >> 11) * 0x1p-53;
}

int rand_secret(void *bytes, size_t size)
{
	unsigned char *at = bytes;

	while (size > 0) {
		ssize_t got = getrandom(at, size, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		at += got;
		size -= (size_t)got;
	}
	return 0;
}

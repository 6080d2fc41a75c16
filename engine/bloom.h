/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Bloom - a filter that says of most absent keys that they are absent
 *
 * A blocked Bloom filter (Putze, Sanders and Singler, 2007): the hash of a key names one line of
 * 64 bytes, and a few bits in it, so a question costs one cache miss. The hash is XXH3 of 64 bits
 * with seed 0. The bytes are the same on every machine (docs/format/table.md).
 *
 * Threads: any; a filter that is being made belongs to one.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Bytes of a line. */
#define BLOOM_LINE 64

/* Bits that one key sets. */
#define BLOOM_PROBES_MAX 16

static inline uint64_t bloom_hash(const void *key, size_t size)
{
	return XXH3_64bits(key, size);
}

/* Lines for that many keys with that many bits each: at least one. */
static inline uint64_t bloom_lines(uint64_t keys, uint32_t bits)
{
	uint64_t lines = (keys * bits + 8 * BLOOM_LINE - 1) / (8 * BLOOM_LINE);

	return lines > 0 ? lines : 1;
}

/* What makes the fewest mistakes: bits * ln 2. */
static inline uint32_t bloom_probes(uint32_t bits)
{
	uint32_t probes = bits * 69 / 100;

	if (probes < 1)
		return 1;
	return probes < BLOOM_PROBES_MAX ? probes : BLOOM_PROBES_MAX;
}

/* Where the key's line begins. */
static inline size_t bloom_line(uint64_t lines, uint64_t hash)
{
	return (size_t)(((hash >> 32) * lines) >> 32) * BLOOM_LINE;
}

/* The next bit: the top nine of the hash times the golden ratio, over and over. */
static inline unsigned bloom_bit(uint64_t *state)
{
	*state *= UINT64_C(0x9E3779B97F4A7C15);
	return (unsigned)(*state >> 55);
}

/* 'lines' is below 2^32. */
static inline void bloom_add(uint8_t *filter, uint64_t lines, uint32_t probes, uint64_t hash)
{
	uint8_t *line = filter + bloom_line(lines, hash);
	uint64_t state = hash;

	for (uint32_t i = 0; i < probes; i++) {
		unsigned bit = bloom_bit(&state);

		line[bit / 8] |= (uint8_t)(1U << bit % 8);
	}
}

/* False: certainly not added. */
static inline bool bloom_may_have(const uint8_t *filter, uint64_t lines, uint32_t probes,
				  uint64_t hash)
{
	const uint8_t *line = filter + bloom_line(lines, hash);
	uint64_t state = hash;

	for (uint32_t i = 0; i < probes; i++) {
		unsigned bit = bloom_bit(&state);

		if (!(line[bit / 8] & 1U << bit % 8))
			return false;
	}
	return true;
}

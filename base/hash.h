/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Hash - where the protocol says that something lives
 *
 * The functions of protocol section 16.2, which every peer computes alike: a
 * name or a key to its home among HASH_VSHARD_COUNT vShards. They are weak by
 * design (multiply and add) and fixed for ever. hash_mix64() is for our own
 * tables, whose bytes nobody else sees.
 *
 * Threads: any; nothing here has state.
 */

#include <stddef.h>
#include <stdint.h>

#define HASH_VSHARD_COUNT 1024

/* Home vShard of a collection; database 0 is the default one. */
uint32_t hash_collection(uint64_t database, const char *name, size_t length);

/* vShard of a key. */
uint32_t hash_key(const void *bytes, size_t size);

/* vShard of an array by its name alone. */
uint32_t hash_array(const char *name, size_t length);

/* Spreads a 64-bit value over all 64 bits, one to one (the finaliser of splitmix64). */
static inline uint64_t hash_mix64(uint64_t value)
{
	value = (value ^ (value >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	value = (value ^ (value >> 27)) * UINT64_C(0x94D049BB133111EB);
	return value ^ (value >> 31);
}

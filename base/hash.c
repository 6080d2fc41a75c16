/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"

#include "base/byteorder.h"

static uint32_t hash31_extend(uint32_t hash, const void *bytes, size_t size)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i < size; i++)
		hash = hash * 31 + at[i];
	return hash;
}

/* The zero byte parts the database from the name. */
uint32_t hash_collection(uint64_t database, const char *name, size_t length)
{
	uint8_t prefix[9] = {0};

	store_le64(prefix, database);
	return hash31_extend(hash31_extend(0, prefix, sizeof(prefix)), name, length) %
	       HASH_VSHARD_COUNT;
}

/* FNV's 64-bit prime, but with an addition where FNV has an exclusive or. */
uint32_t hash_key(const void *bytes, size_t size)
{
	const uint8_t *at = bytes;
	uint64_t hash = 0;

	for (size_t i = 0; i < size; i++)
		hash = hash * UINT64_C(0x100000001B3) + at[i];
	return (uint32_t)(hash % HASH_VSHARD_COUNT);
}

uint32_t hash_array(const char *name, size_t length)
{
	return hash31_extend(0, name, length) % HASH_VSHARD_COUNT;
}

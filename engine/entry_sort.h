/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Entry sort - many entries ordered by key at once
 *
 * Eight bytes of the key stand beside the pointer, so that most of the work is done without a look
 * at the entries, which are anywhere in memory: a pass reads and writes in streams where a
 * search for each entry's place waits for memory at every step.
 *
 * Threads: any.
 */

#include "base/byteorder.h"
#include "engine/entry.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Bytes of the key that a ref has at hand. */
#define ENTRY_CHUNK_SIZE 8

struct entry_ref {
	uint64_t chunk;            /* the key's first bytes, as entry_chunk() gives them */
	const struct entry *entry; /* borrowed */
};

/* The key's bytes from 'depth' on, which it has at least, the first one most significant; zeros
 * behind its end. */
static inline uint64_t entry_chunk(struct entry_bytes key, uint32_t depth)
{
	uint32_t rest = key.size - depth;
	uint8_t padded[ENTRY_CHUNK_SIZE] = {0};

	if (rest >= ENTRY_CHUNK_SIZE)
		return load_be64(key.bytes + depth);
	if (rest > 0)
		memcpy(padded, key.bytes + depth, rest);
	return load_be64(padded);
}

/* Orders them by key, ascending. Equal keys stay in the order in which they are. 'spare' has room
 * for as many. */
void entry_sort(struct entry_ref *refs, struct entry_ref *spare, size_t count);

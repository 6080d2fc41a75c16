/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Table index - which block of a table has a key
 *
 * Each block has a separator, a (key, number) at or behind its last entry and before the next
 * block's first. In memory the bytes that all separators begin with are left out, and the eight
 * behind them stand as one big-endian integer in a row of their own: a search halves there,
 * and looks at whole keys only where those integers are equal.
 *
 * Threads: one makes it; then any.
 */

#include "engine/block.h"
#include "engine/piece.h"

/* A block, and its separator. */
struct table_slot {
	uint64_t offset;
	uint64_t seqno; /* of the separator */
	uint32_t size;  /* in the file, without the CRC */
	uint32_t raw_size;
	uint32_t key_offset; /* in 'keys' */
	uint32_t key_size;
};

struct table_index {
	uint32_t count;
	uint32_t common_size;     /* bytes that all separators begin with */
	uint64_t *heads;          /* owned: of each separator, behind the common bytes */
	struct table_slot *slots; /* owned */
	uint8_t *keys;            /* owned */
};

enum {
	TABLE_INDEX_E_CORRUPT = 1,
};

/*
 * Reads the index section (a block): 'count' blocks of 'blocks_size' bytes in all. Returns 0,
 * TABLE_INDEX_E_CORRUPT or -ENOMEM; unless 0 there is nothing to deinit.
 */
int table_index_init(const uint8_t *bytes, uint32_t size, uint32_t count, uint64_t blocks_size,
		     struct table_index *ret_index);

/* Zeros are fine. */
void table_index_deinit(struct table_index *index);

/* The first block whose separator is at or behind (key, seqno): the only one where that can be.
 * index->count: all lies before. */
uint32_t table_index_find(const struct table_index *index, struct entry_bytes key, uint64_t seqno);

static inline struct entry_bytes table_index_key(const struct table_index *index, uint32_t slot)
{
	return (struct entry_bytes){index->keys + index->slots[slot].key_offset,
				    index->slots[slot].key_size};
}

static inline struct piece_place table_index_place(const struct table_index *index, uint32_t slot)
{
	return (struct piece_place){index->slots[slot].offset, index->slots[slot].size,
				    index->slots[slot].raw_size};
}

/* Makes the section. */
struct table_index_writer {
	struct block_writer block;
};

/* The next block's. Returns 0 or -ENOMEM. */
int table_index_add(struct table_index_writer *writer, struct entry_bytes separator, uint64_t seqno,
		    uint32_t size, uint32_t raw_size);

/* The shortest key from 'last' on and before 'next' that is found quickly; at most last.size
 * bytes, to 'ret_key'. 'last' is before 'next'. */
uint32_t table_index_separator(struct entry_bytes last, struct entry_bytes next,
			       uint8_t ret_key[ENTRY_KEY_MAX]);

/* SPDX-License-Identifier: Apache-2.0 */

/* A block from hostile bytes: steps stay inside of it and come to an end, and both ways see the
 * same entries. */

#include "base/byteorder.h"
#include "engine/block.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(int condition)
{
	if (!condition)
		abort();
}

/* Every byte of an entry can be read. */
static unsigned sum(const struct entry *entry)
{
	unsigned total = 0;

	check(entry->key.size > 0 && entry->key.size <= ENTRY_KEY_MAX);
	for (uint32_t i = 0; i < entry->key.size; i++)
		total += entry->key.bytes[i];
	for (uint32_t i = 0; i < entry->value.size; i++)
		total += entry->value.bytes[i];
	return total;
}

/* Adds up what the steps in one direction see. Returns how they ended. */
static int walk(struct block_cursor *cursor, int (*begin)(struct block_cursor *),
		int (*step)(struct block_cursor *), unsigned *ret_total, unsigned *ret_count)
{
	int result;

	*ret_total = 0;
	*ret_count = 0;
	for (result = begin(cursor); result == 0; result = step(cursor)) {
		*ret_total += sum(&cursor->entry);
		++*ret_count;
	}
	return result;
}

/* Whether every restart is where an entry is: then both ways see the same. */
static int restarts_fit(struct block_cursor *cursor)
{
	uint32_t index = 0, count = cursor->block.restart_count;

	for (int result = block_first(cursor); result == 0 && index < count;
	     result = block_next(cursor))
		index += load_le32(cursor->block.restarts + (size_t)4 * index) == cursor->offset;
	return index == count;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	unsigned forward, backward, count, count_back;
	static struct block_cursor cursor;
	struct entry_bytes key;

	if (size > UINT32_MAX || block_open(bytes, (uint32_t)size, &cursor.block))
		return 0;
	if (walk(&cursor, block_first, block_next, &forward, &count) == BLOCK_E_END &&
	    walk(&cursor, block_last, block_previous, &backward, &count_back) == BLOCK_E_END &&
	    restarts_fit(&cursor))
		check(forward == backward && count == count_back && count > 0);
	key = (struct entry_bytes){bytes, size < 20 ? (uint32_t)size : 20};
	for (; key.size > 0; key.size--, key.bytes++)
		if (block_seek(&cursor, key, bytes[size - 1]) == 0)
			check(sum(&cursor.entry) < UINT32_MAX);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/table_index.h"

#include "base/byteorder.h"
#include "base/check.h"
#include "base/defs.h"
#include "engine/table.h"
#include "engine/varint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void table_index_deinit(struct table_index *index)
{
	free(index->heads);
	free(index->slots);
	free(index->keys);
	*index = (struct table_index){0};
}

/* Sizes of a block: those of a block that can be, and that lies where the one before ends. */
static bool read_slot(const struct entry *entry, uint64_t offset, struct table_slot *ret_slot)
{
	const uint8_t *from = entry->value.bytes, *end = from + entry->value.size;
	uint64_t size, raw_size;

	if (entry->kind != ENTRY_VALUE || !(from = varint_get(from, end, &size)) ||
	    !(from = varint_get(from, end, &raw_size)) || from != end)
		return false;
	if (size == 0 || size > raw_size || raw_size > TABLE_BLOCK_SIZE_MAX)
		return false;
	*ret_slot = (struct table_slot){
		.offset = offset,
		.seqno = entry->seqno,
		.size = (uint32_t)size,
		.raw_size = (uint32_t)raw_size,
		.key_size = entry->key.size,
	};
	return true;
}

static bool comes_before(const struct entry *entry, const struct table_slot *slot,
			 const uint8_t *keys)
{
	const struct entry before = {.key = {keys + slot->key_offset, slot->key_size},
				     .seqno = slot->seqno};

	return entry_compare(&before, entry) < 0;
}

/* Bytes of all keys; 0 when the entries aren't 'count'. */
static uint64_t measure_keys(struct block_cursor *cursor, uint32_t count)
{
	uint64_t size = 0;
	uint32_t found = 0;
	int result;

	for (result = block_first(cursor); result == 0; result = block_next(cursor)) {
		size += cursor->entry.key.size;
		found++;
	}
	return result == BLOCK_E_END && found == count ? size : 0;
}

static int read_slots(struct block_cursor *cursor, uint64_t blocks_size, struct table_index *index)
{
	uint64_t offset = 0;
	uint32_t key_offset = 0;

	for (uint32_t i = 0; i < index->count; i++) {
		struct table_slot *slot = &index->slots[i];
		int result = i == 0 ? block_first(cursor) : block_next(cursor);

		if (result || !read_slot(&cursor->entry, offset, slot) ||
		    (i > 0 && !comes_before(&cursor->entry, slot - 1, index->keys)))
			return TABLE_INDEX_E_CORRUPT;
		slot->key_offset = key_offset;
		memcpy(index->keys + key_offset, cursor->entry.key.bytes, slot->key_size);
		key_offset += slot->key_size;
		offset += (uint64_t)slot->size + PIECE_CRC_SIZE;
	}
	return offset == blocks_size ? 0 : TABLE_INDEX_E_CORRUPT;
}

/* Keys are in order, so what the first and the last begin with all begin with. */
static uint32_t common_size(const struct table_index *index)
{
	struct entry_bytes first = table_index_key(index, 0);
	struct entry_bytes last = table_index_key(index, index->count - 1);
	uint32_t size = MIN(first.size, last.size), i = 0;

	while (i < size && first.bytes[i] == last.bytes[i])
		i++;
	return i;
}

/* The eight bytes from 'skip' on, zeros behind the key's end: in the order of the keys, as far as
 * eight bytes go. */
static uint64_t head_of(struct entry_bytes key, uint32_t skip)
{
	uint8_t bytes[8] = {0};

	if (key.size >= skip + sizeof(bytes))
		return load_be64(key.bytes + skip);
	memcpy(bytes, key.bytes + skip, key.size - skip);
	return load_be64(bytes);
}

static int read_index(struct block_cursor *cursor, uint64_t blocks_size, struct table_index *index)
{
	int result = read_slots(cursor, blocks_size, index);

	if (result)
		return result;
	index->common_size = common_size(index);
	for (uint32_t i = 0; i < index->count; i++)
		index->heads[i] = head_of(table_index_key(index, i), index->common_size);
	return 0;
}

int table_index_init(const uint8_t *bytes, uint32_t size, uint32_t count, uint64_t blocks_size,
		     struct table_index *ret_index)
{
	struct table_index index = {.count = count};
	struct block_cursor cursor;
	uint64_t keys_size;
	int result = -ENOMEM;

	if (block_open(bytes, size, &cursor.block))
		return TABLE_INDEX_E_CORRUPT;
	keys_size = measure_keys(&cursor, count);
	if (keys_size == 0 || keys_size > UINT32_MAX)
		return TABLE_INDEX_E_CORRUPT;
	index.heads = calloc(count, sizeof(*index.heads));
	index.slots = calloc(count, sizeof(*index.slots));
	index.keys = malloc(keys_size);
	if (index.heads && index.slots && index.keys)
		result = read_index(&cursor, blocks_size, &index);
	if (result)
		table_index_deinit(&index);
	else
		*ret_index = index;
	return result;
}

/* Whether the separator is before (key, seqno). */
static bool slot_is_before(const struct table_index *index, uint32_t slot, struct entry_bytes key,
			   uint64_t seqno)
{
	const struct entry a = {.key = table_index_key(index, slot),
				.seqno = index->slots[slot].seqno};
	const struct entry b = {.key = key, .seqno = seqno};

	return entry_compare(&a, &b) < 0;
}

/* The same among separators whose heads are that of 'low'. */
static uint32_t find_among_equals(const struct table_index *index, uint32_t low,
				  struct entry_bytes key, uint64_t seqno)
{
	uint32_t high = low + 1, step = 1;

	while (high < index->count && index->heads[high] == index->heads[low] &&
	       slot_is_before(index, high - 1, key, seqno)) {
		low = high;
		high = MIN(index->count, high + step);
		step *= 2;
	}
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (slot_is_before(index, middle, key, seqno))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

uint32_t table_index_find(const struct table_index *index, struct entry_bytes key, uint64_t seqno)
{
	uint32_t low = 0, count = index->count;
	uint64_t head;
	int order;

	if (count == 0)
		return 0;
	order = memcmp(index->keys, key.bytes, MIN(index->common_size, key.size));
	if (order != 0)
		return order < 0 ? count : 0;
	if (key.size < index->common_size)
		return 0;
	head = head_of(key, index->common_size);
	/* The first head that isn't below the key's: a search without jumps. */
	for (uint32_t half; count > 1; count -= half) {
		half = count / 2;
		low = index->heads[low + half - 1] < head ? low + half : low;
	}
	low += index->heads[low] < head;
	if (low < index->count && index->heads[low] == head)
		return find_among_equals(index, low, key, seqno);
	return low;
}

int table_index_add(struct table_index_writer *writer, struct entry_bytes separator, uint64_t seqno,
		    uint32_t size, uint32_t raw_size)
{
	uint8_t value[2 * VARINT_SIZE_MAX];
	uint8_t *end = varint_put(varint_put(value, size), raw_size);
	const struct entry entry = {
		.key = separator,
		.value = {value, (uint32_t)(end - value)},
		.seqno = seqno,
		.kind = ENTRY_VALUE,
	};

	return block_writer_add(&writer->block, &entry);
}

uint32_t table_index_separator(struct entry_bytes last, struct entry_bytes next,
			       uint8_t ret_key[ENTRY_KEY_MAX])
{
	uint32_t size = MIN(last.size, next.size), i = 0;

	while (i < size && last.bytes[i] == next.bytes[i])
		i++;
	memcpy(ret_key, last.bytes, last.size);
	/* 'last' is all of what 'next' begins with, or has nothing to cut off. */
	if (i >= last.size || i + 1 >= last.size)
		return last.size;
	if (next.size > i + 1) {
		ret_key[i] = next.bytes[i];
		return i + 1;
	}
	if (last.bytes[i] + 1 < next.bytes[i]) {
		ret_key[i] = (uint8_t)(last.bytes[i] + 1);
		return i + 1;
	}
	return last.size;
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Table load - a table's block into a pin
 *
 * Through the cache, which pins it there; or, without one, into the pin's own memory.
 */

#include "engine/table_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <zstd.h>

int table_pin_own(struct table_pin *pin, uint64_t size)
{
	uint8_t *own;

	if (size <= pin->own_capacity)
		return 0;
	if (size > UINT32_MAX)
		return -ENOMEM;
	own = realloc(pin->own, size);
	if (!own)
		return -ENOMEM;
	pin->own = own;
	pin->own_capacity = (uint32_t)size;
	return 0;
}

/* Lets go what is in the cache. */
static void unpin(struct table_pin *pin)
{
	if (pin->cached)
		block_cache_put(pin->cache, pin->cached);
	pin->cached = NULL;
	pin->bytes = NULL;
	pin->size = 0;
}

void table_pin_release(struct table_pin *pin)
{
	unpin(pin);
	free(pin->own);
	*pin = (struct table_pin){0};
}

void table_pin_hold(struct table_pin *pin, struct block_cache *cache, struct block_cached *cached)
{
	unpin(pin);
	pin->cache = cache;
	pin->cached = cached;
	pin->bytes = cached->bytes;
	pin->size = cached->size;
}

void table_pin_show(struct table_pin *pin, const uint8_t *bytes, uint32_t size)
{
	unpin(pin);
	pin->bytes = bytes;
	pin->size = size;
}

void *table_inflater(struct table *table)
{
	if (table->options.cache)
		return block_cache_inflater(table->options.cache);
	if (!table->inflater)
		table->inflater = ZSTD_createDCtx();
	return table->inflater;
}

static int wrong_checksum(struct table *table, struct piece_place place)
{
	return table_corrupt(table, place.offset, "a block's checksum is wrong");
}

int table_load_bytes(struct table *table, uint32_t index, const uint8_t *bytes,
		     struct table_pin *pin)
{
	struct piece_place place = table_index_place(&table->index, index);
	void *inflater;

	unpin(pin);
	if (!piece_is_good(table->file.seed, place, bytes))
		return wrong_checksum(table, place);
	if (!piece_is_compressed(place)) {
		table_pin_show(pin, bytes, place.size);
		return 0;
	}
	inflater = table_inflater(table);
	if (!inflater || table_pin_own(pin, piece_room(place)))
		return -ENOMEM;
	if (piece_inflate(place, inflater, bytes, pin->own))
		return table_corrupt(table, place.offset, "a block can't be uncompressed");
	table_pin_show(pin, pin->own, place.raw_size);
	return 0;
}

int table_load_past_cache(struct table *table, uint32_t index, struct table_pin *pin)
{
	struct piece_place place = table_index_place(&table->index, index);
	int result;

	unpin(pin);
	result = table_pin_own(pin, piece_room(place));
	if (!result)
		result = io_read(table->file.file, place.offset, piece_target(place, pin->own),
				 place.size + PIECE_CRC_SIZE);
	if (result == IO_E_END)
		return table_corrupt(table, place.offset, "the file ends in a block");
	return result ? result : table_load_bytes(table, index, piece_target(place, pin->own), pin);
}

static int load_cached(struct table *table, uint32_t index, bool wait_never, struct table_pin *pin,
		       bool *ret_missed)
{
	struct piece_place place = table_index_place(&table->index, index);
	struct block_cached *cached;
	int result = block_cache_get(table->options.cache, &table->file, place, wait_never,
				     ret_missed, &cached);

	switch (result) {
	case 0:
		table_pin_hold(pin, table->options.cache, cached);
		return 0;
	case BLOCK_CACHE_E_WAIT:
		return TABLE_E_WAIT;
	case BLOCK_CACHE_E_FULL:
		*ret_missed = true;
		return table_load_past_cache(table, index, pin);
	case BLOCK_CACHE_E_CORRUPT:
		return wrong_checksum(table, place);
	case BLOCK_CACHE_E_END:
		return table_corrupt(table, place.offset, "the file ends in a block");
	default:
		return result;
	}
}

int table_load(struct table *table, uint32_t index, bool wait_never, struct table_pin *pin,
	       bool *ret_missed)
{
	if (table->options.cache)
		return load_cached(table, index, wait_never, pin, ret_missed);
	*ret_missed = true;
	return table_load_past_cache(table, index, pin);
}

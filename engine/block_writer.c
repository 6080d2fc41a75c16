/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/block.h"
#include "engine/block_format.h"

#include "base/byteorder.h"
#include "base/check.h"
#include "base/defs.h"
#include "engine/varint.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

void block_writer_deinit(struct block_writer *writer)
{
	free(writer->bytes);
	free(writer->restarts);
	*writer = (struct block_writer){0};
}

static int take_room(struct block_writer *writer, uint64_t more)
{
	uint64_t capacity = MAX(writer->capacity, UINT64_C(4096));
	uint8_t *bytes;

	if (writer->size + more <= writer->capacity)
		return 0;
	while (capacity < writer->size + more)
		capacity *= 2;
	if (capacity > UINT32_MAX)
		return -ENOMEM;
	bytes = realloc(writer->bytes, capacity);
	if (!bytes)
		return -ENOMEM;
	writer->bytes = bytes;
	writer->capacity = (uint32_t)capacity;
	return 0;
}

static int add_restart(struct block_writer *writer)
{
	if (writer->restart_count == writer->restart_capacity) {
		uint32_t capacity = MAX(2 * writer->restart_capacity, 64U);
		uint32_t *restarts = reallocarray(writer->restarts, capacity, sizeof(*restarts));

		if (!restarts)
			return -ENOMEM;
		writer->restarts = restarts;
		writer->restart_capacity = capacity;
	}
	writer->restarts[writer->restart_count++] = writer->size;
	return 0;
}

static uint32_t shared_size(const struct block_writer *writer, struct entry_bytes key)
{
	uint32_t size = MIN(writer->key_size, key.size), i = 0;

	while (i < size && writer->key[i] == key.bytes[i])
		i++;
	return i;
}

static uint8_t *put_head(uint8_t *to, const struct entry *entry, uint32_t shared)
{
	unsigned flags = entry->kind;

	if (entry->type != 0)
		flags |= BLOCK_HAS_TYPE;
	if (entry->expires != 0)
		flags |= BLOCK_HAS_EXPIRY;
	to = varint_put(to, shared);
	to = varint_put(to, entry->key.size - shared);
	to = varint_put(to, entry->value.size);
	*to++ = (uint8_t)flags;
	to = varint_put(to, entry->seqno);
	if (entry->type != 0)
		*to++ = entry->type;
	if (entry->expires != 0)
		to = varint_put(to, entry->expires);
	return to;
}

/* memcpy for which there may be nothing, at nowhere. */
static uint8_t *put_bytes(uint8_t *to, const uint8_t *bytes, uint32_t size)
{
	if (size > 0)
		memcpy(to, bytes, size);
	return to + size;
}

int block_writer_add(struct block_writer *writer, const struct entry *entry)
{
	bool whole = writer->count % BLOCK_RESTART == 0;
	uint32_t shared = whole ? 0 : shared_size(writer, entry->key);
	uint8_t *to;
	int result;

	CHECK(entry->key.size > 0 && entry->key.size <= ENTRY_KEY_MAX);
	result = take_room(writer, block_writer_cost(entry));
	if (!result && whole)
		result = add_restart(writer);
	if (result)
		return result;
	to = put_head(writer->bytes + writer->size, entry, shared);
	to = put_bytes(to, entry->key.bytes + shared, entry->key.size - shared);
	to = put_bytes(to, entry->value.bytes, entry->value.size);
	writer->size = (uint32_t)(to - writer->bytes);
	memcpy(writer->key + shared, entry->key.bytes + shared, entry->key.size - shared);
	writer->key_size = entry->key.size;
	writer->count++;
	return 0;
}

uint32_t block_writer_size(const struct block_writer *writer)
{
	return writer->size + (writer->restart_count + 1) * BLOCK_RESTART_SIZE;
}

uint32_t block_writer_cost(const struct entry *entry)
{
	return 2 * varint_size(entry->key.size) + varint_size(entry->value.size) + 2 +
	       varint_size(entry->seqno) + varint_size(entry->expires) + entry->key.size +
	       entry->value.size + BLOCK_RESTART_SIZE;
}

int block_writer_finish(struct block_writer *writer, const uint8_t **ret_bytes, uint32_t *ret_size)
{
	uint32_t size = block_writer_size(writer);
	uint8_t *to;
	int result = take_room(writer, size - writer->size);

	if (result)
		return result;
	to = writer->bytes + writer->size;
	for (uint32_t i = 0; i < writer->restart_count; i++, to += BLOCK_RESTART_SIZE)
		store_le32(to, writer->restarts[i]);
	store_le32(to, writer->restart_count);
	*ret_bytes = writer->bytes;
	*ret_size = size;
	return 0;
}

void block_writer_reset(struct block_writer *writer)
{
	writer->size = 0;
	writer->restart_count = 0;
	writer->count = 0;
}

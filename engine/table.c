/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/table_internal.h"

#include "base/byteorder.h"
#include "base/check.h"
#include "engine/bloom.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <zstd.h>

int table_corrupt(struct table *table, uint64_t offset, const char *what)
{
	snprintf(table->error, sizeof(table->error), "%s: offset %" PRIu64 ": %s", table->name,
		 offset, what);
	return TABLE_E_CORRUPT;
}

static int read_footer(struct table *table)
{
	uint8_t bytes[TABLE_FOOTER_SIZE];
	char what[TABLE_ERROR_SIZE / 2];
	uint64_t size;
	int result = io_size(table->file.file, &size);

	if (result)
		return result;
	if (size < TABLE_FOOTER_SIZE)
		return table_corrupt(table, 0, "too short for a table");
	result = io_read(table->file.file, size - TABLE_FOOTER_SIZE, bytes, sizeof(bytes));
	if (result == IO_E_END)
		return table_corrupt(table, size, "the file became shorter");
	if (result)
		return result;
	if (table_footer_decode(bytes, size, table->options.store, table->options.number,
				&table->footer, what, sizeof(what))) {
		snprintf(table->error, sizeof(table->error), "%s: %s", table->name, what);
		return TABLE_E_CORRUPT;
	}
	table->summary.size = size;
	table->summary.crc = load_le32(bytes + TABLE_FOOTER_SIZE - 4);
	return 0;
}

static int open_file(struct io *io, struct table *table)
{
	int result = io_open(io, table->name, IO_READ_ONLY, &table->file.file);

	if (result == IO_E_ABSENT)
		return -ENOENT;
	if (result)
		return result;
	table->file.seed = piece_seed(table->options.store, table->options.number);
	if (table->options.cache)
		table->file.id = block_cache_id(table->options.cache);
	result = read_footer(table);
	return result ? result : table_load_sections(table);
}

int table_open(struct io *io, const char *name, const struct table_options *options,
	       struct table **ret_table, char *error, size_t error_size)
{
	struct table *table = calloc(1, sizeof(*table));
	int result;

	if (!table)
		return -ENOMEM;
	table->options = *options;
	snprintf(table->name, sizeof(table->name), "%s", name);
	result = open_file(io, table);
	if (result) {
		if (result == TABLE_E_CORRUPT && error_size > 0)
			snprintf(error, error_size, "%s", table->error);
		table_close(table);
		return result;
	}
	*ret_table = table;
	return 0;
}

static int identify(struct io_file *file, struct table_options *options)
{
	uint8_t bytes[TABLE_FOOTER_SIZE];
	uint64_t size;
	int result = io_size(file, &size);

	if (result)
		return result;
	if (size < sizeof(bytes))
		return TABLE_E_CORRUPT;
	result = io_read(file, size - sizeof(bytes), bytes, sizeof(bytes));
	if (result)
		return result > 0 ? TABLE_E_CORRUPT : result;
	return table_footer_identify(bytes, options->store, &options->number);
}

int table_identify(struct io *io, const char *name, struct table_options *options)
{
	struct io_file *file;
	int result = io_open(io, name, IO_READ_ONLY, &file);

	if (result)
		return result == IO_E_ABSENT ? -ENOENT : result;
	result = identify(file, options);
	io_close(file);
	return result;
}

void table_set_cache(struct table *table, struct block_cache *cache)
{
	CHECK(!table->options.cache || table->options.cache == cache);
	if (table->options.cache)
		return;
	table->options.cache = cache;
	table->file.id = block_cache_id(cache);
}

bool table_is_read(const struct table *table)
{
	return table->options.cache && block_cache_is_read(table->options.cache, table->file.id);
}

void table_close(struct table *table)
{
	if (!table)
		return;
	if (table->options.cache)
		block_cache_leave(table->options.cache, table->file.id);
	io_close(table->file.file);
	ZSTD_freeDCtx(table->inflater);
	table_index_deinit(&table->index);
	free(table->bounds);
	free(table->filter);
	free(table->ranges);
	free(table->ranges_bytes);
	free(table);
}

const struct table_summary *table_summary(const struct table *table)
{
	return &table->summary;
}

const char *table_error(const struct table *table)
{
	return table->error;
}

bool table_may_have(const struct table *table, struct entry_bytes key)
{
	return table->index.count > 0 &&
	       bloom_may_have(table->filter, table->filter_lines, table->filter_probes,
			      bloom_hash(key.bytes, key.size));
}

uint32_t table_range_count(const struct table *table)
{
	return table->range_count;
}

struct entry table_range(const struct table *table, uint32_t index)
{
	struct entry entry = table->ranges[index];

	entry.seqno += table->options.seqno_global;
	return entry;
}

/* In a block where the key's version is, if it is anywhere. */
static int get_in_block(struct table *table, uint32_t index, struct entry_bytes key, uint64_t local,
			const struct table_pin *pin, struct entry *ret_entry)
{
	struct block_cursor cursor;
	int result = block_open(pin->bytes, pin->size, &cursor.block);

	if (!result)
		result = block_seek(&cursor, key, local);
	if (result == BLOCK_E_END)
		return TABLE_E_END;
	if (result)
		return table_corrupt(table, table->index.slots[index].offset, "no entries");
	if (!key_equal(cursor.entry.key, key))
		return TABLE_E_END;
	*ret_entry = cursor.entry;
	ret_entry->key = key;
	ret_entry->seqno += table->options.seqno_global;
	return 0;
}

/*
 * One block is enough: where versions of a key go on in the next block, the separator between the
 * two has the number of the last one here.
 */
int table_get(struct table *table, struct entry_bytes key, uint64_t seqno, unsigned flags,
	      struct table_pin *pin, struct entry *ret_entry)
{
	bool missed;
	uint64_t local;
	uint32_t index;
	int result;

	if (!table_local_seqno(table, seqno, &local) || !table_may_have(table, key))
		return TABLE_E_END;
	index = table_index_find(&table->index, key, local);
	if (index == table->index.count)
		return TABLE_E_END;
	result = table_load(table, index, flags & TABLE_WAIT_NEVER, pin, &missed);
	return result ? result : get_in_block(table, index, key, local, pin, ret_entry);
}

uint32_t table_block_count(const struct table *table)
{
	return table->index.count;
}

struct table_block table_block(const struct table *table, uint32_t index)
{
	const struct table_slot *slot = &table->index.slots[index];
	struct table_block block = {
		.offset = slot->offset,
		.size = slot->size + PIECE_CRC_SIZE,
		.raw_size = slot->raw_size,
		.compressed = slot->size != slot->raw_size,
		.has_bounds = table->bounds != NULL,
		.separator = table_index_key(&table->index, index),
	};

	if (table->bounds) {
		block.seqno_min = table->bounds[index].seqno_min + table->options.seqno_global;
		block.seqno_max = table->bounds[index].seqno_max + table->options.seqno_global;
	}
	return block;
}

/* Bytes of a section in the file. */
static uint32_t section_size(const struct table_footer *footer, enum table_section section)
{
	uint32_t size = footer->sections[section];

	return size > 0 ? size + PIECE_CRC_SIZE : 0;
}

struct table_parts table_parts(const struct table *table)
{
	const struct table_footer *footer = &table->footer;

	return (struct table_parts){
		.blocks = footer->blocks_size,
		.raw = table->raw_size,
		.block_size = footer->block_size,
		.ranges = section_size(footer, TABLE_RANGES),
		.filter = section_size(footer, TABLE_FILTER),
		.bounds = section_size(footer, TABLE_BOUNDS),
		.index = section_size(footer, TABLE_INDEX),
		.properties = section_size(footer, TABLE_PROPERTIES),
		.footer = TABLE_FOOTER_SIZE,
		.filter_probes = table->filter_probes,
	};
}

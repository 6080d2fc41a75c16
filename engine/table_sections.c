/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Table sections - what stands behind a table's blocks, read and checked when it is opened
 */

#include "engine/table_internal.h"

#include "engine/bloom.h"
#include "engine/varint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A section's bytes; their size is the footer's. */
struct section {
	enum table_section kind;
	const uint8_t *bytes;
	uint32_t size;
};

static int section_corrupt(struct table *table, enum table_section kind, const char *what)
{
	char text[80];

	snprintf(text, sizeof(text), "%s: %s", table_section_name(kind), what);
	return table_corrupt(table, table_section_offset(&table->footer, kind), text);
}

static int load_properties(struct table *table, const struct section *section)
{
	struct table_summary *summary = &table->summary;

	if (table_properties_decode(section->bytes, section->size, summary, &table->raw_size))
		return section_corrupt(table, TABLE_PROPERTIES, "contradict themselves");
	if (summary->seqno_min != UINT64_MAX) {
		summary->seqno_min += table->options.seqno_global;
		summary->seqno_max += table->options.seqno_global;
	}
	return 0;
}

static int load_index(struct table *table, const struct section *section)
{
	int result = table_index_init(section->bytes, section->size, table->footer.block_count,
				      table->footer.blocks_size, &table->index);

	if (result > 0)
		return section_corrupt(table, TABLE_INDEX, "doesn't fit the blocks");
	return result;
}

/* Lines, and behind them one byte: the probes. */
static int load_filter(struct table *table, const struct section *section)
{
	uint32_t size = section->size - 1;

	table->filter_probes = section->bytes[size];
	table->filter_lines = size / BLOOM_LINE;
	if (size == 0 || size % BLOOM_LINE != 0 || table->filter_probes == 0 ||
	    table->filter_probes > BLOOM_PROBES_MAX)
		return section_corrupt(table, TABLE_FILTER, "no filter");
	table->filter = aligned_alloc(BLOOM_LINE, size);
	if (!table->filter)
		return -ENOMEM;
	memcpy(table->filter, section->bytes, size);
	return 0;
}

static int load_bounds(struct table *table, const struct section *section)
{
	const uint8_t *from = section->bytes, *end = from + section->size;
	uint32_t count = table->footer.block_count;
	uint64_t more;

	table->bounds = calloc(count, sizeof(*table->bounds));
	if (!table->bounds)
		return -ENOMEM;
	for (uint32_t i = 0; i < count && from; i++) {
		struct table_bounds *bounds = &table->bounds[i];

		from = varint_get(from, end, &bounds->seqno_min);
		if (from)
			from = varint_get(from, end, &more);
		if (from && __builtin_add_overflow(bounds->seqno_min, more, &bounds->seqno_max))
			from = NULL;
	}
	return from == end ? 0 : section_corrupt(table, TABLE_BOUNDS, "don't fit the blocks");
}

static uint8_t *copy_bytes(uint8_t *to, struct entry_bytes *bytes)
{
	memcpy(to, bytes->bytes, bytes->size);
	bytes->bytes = to;
	return to + bytes->size;
}

static bool range_is_good(const struct entry *range, const struct entry *before)
{
	return range->kind == ENTRY_RANGE_TOMBSTONE && range->value.size <= ENTRY_KEY_MAX &&
	       key_compare(range->key, range->value) < 0 &&
	       (!before || entry_compare(before, range) <= 0);
}

/* Counts the entries, and the bytes of their keys and ends. */
static int measure_ranges(struct block_cursor *cursor, uint32_t *ret_count, uint64_t *ret_size)
{
	int result;

	*ret_count = 0;
	*ret_size = 0;
	for (result = block_first(cursor); result == 0; result = block_next(cursor)) {
		++*ret_count;
		*ret_size += (uint64_t)cursor->entry.key.size + cursor->entry.value.size;
	}
	return result;
}

static int copy_ranges(struct table *table, struct block_cursor *cursor)
{
	uint8_t *to = table->ranges_bytes;

	for (uint32_t i = 0; i < table->range_count; i++) {
		int result = i == 0 ? block_first(cursor) : block_next(cursor);
		struct entry *range = &table->ranges[i];

		if (result)
			return section_corrupt(table, TABLE_RANGES, "no entries");
		*range = cursor->entry;
		to = copy_bytes(to, &range->key);
		to = copy_bytes(to, &range->value);
		if (!range_is_good(range, i > 0 ? range - 1 : NULL))
			return section_corrupt(table, TABLE_RANGES, "one is none, or out of order");
	}
	return 0;
}

static int load_ranges(struct table *table, const struct section *section)
{
	struct block_cursor cursor;
	uint64_t size;

	if (block_open(section->bytes, section->size, &cursor.block) ||
	    measure_ranges(&cursor, &table->range_count, &size) != BLOCK_E_END ||
	    table->range_count == 0)
		return section_corrupt(table, TABLE_RANGES, "no entries");
	table->ranges = calloc(table->range_count, sizeof(*table->ranges));
	table->ranges_bytes = malloc(size);
	if (!table->ranges || !table->ranges_bytes)
		return -ENOMEM;
	return copy_ranges(table, &cursor);
}

static int (*const loaders[TABLE_SECTION_COUNT])(struct table *table,
						 const struct section *section) = {
	[TABLE_RANGES] = load_ranges,         [TABLE_FILTER] = load_filter,
	[TABLE_BOUNDS] = load_bounds,         [TABLE_INDEX] = load_index,
	[TABLE_PROPERTIES] = load_properties,
};

/* 'bytes' is what lies from the end of the blocks on. */
static int load_section(struct table *table, enum table_section kind, const uint8_t *bytes)
{
	uint64_t offset = table_section_offset(&table->footer, kind);
	const struct section section = {
		.kind = kind,
		.bytes = bytes + (offset - table->footer.blocks_size),
		.size = table->footer.sections[kind],
	};
	const struct piece_place place = {offset, section.size, section.size};

	if (section.size == 0 || (kind == TABLE_BOUNDS && table->options.distrust_bounds))
		return 0;
	if (!piece_is_good(table->file.seed, place, section.bytes))
		return section_corrupt(table, kind, "the checksum is wrong");
	return loaders[kind](table, &section);
}

int table_load_sections(struct table *table)
{
	const struct table_footer *footer = &table->footer;
	uint64_t size = table_section_offset(footer, TABLE_SECTION_COUNT) - footer->blocks_size;
	uint8_t *bytes = malloc(size);
	int result;

	if (!bytes)
		return -ENOMEM;
	result = io_read(table->file.file, footer->blocks_size, bytes, size);
	if (result == IO_E_END)
		result = table_corrupt(table, footer->blocks_size, "the file became shorter");
	for (unsigned kind = 0; kind < TABLE_SECTION_COUNT && !result; kind++)
		result = load_section(table, (enum table_section)kind, bytes);
	free(bytes);
	return result;
}

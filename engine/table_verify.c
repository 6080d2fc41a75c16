/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Table verify - everything that can be held against a table
 *
 * What the file says of itself is computed anew from its entries, and has to be the same.
 */

#include "engine/table_internal.h"

#include "base/byteorder.h"
#include "base/crc.h"
#include "engine/blob.h"

#include <string.h>

struct check {
	struct table *table;
	struct table_pin pin;
	struct block_cursor cursor;
	uint32_t index; /* of the block */
	uint32_t blocks_crc;
	uint64_t raw_size;
	uint64_t seqno_min, seqno_max; /* of the block, local */
	struct table_summary found;    /* local */
	struct entry before;           /* its key lies in 'key'; size 0: none */
	uint8_t key[ENTRY_KEY_MAX];
};

static int fault(const struct check *check, const char *what)
{
	return table_corrupt(check->table, check->table->index.slots[check->index].offset, what);
}

static int summary_fault(const struct check *check, const char *what)
{
	const struct table_footer *footer = &check->table->footer;

	return table_corrupt(check->table, table_section_offset(footer, TABLE_PROPERTIES), what);
}

static void remember(struct check *check, const struct entry *entry)
{
	memcpy(check->key, entry->key.bytes, entry->key.size);
	check->before = (struct entry){.key = {check->key, entry->key.size}, .seqno = entry->seqno};
}

/* Blob places are counted, range tombstones have a section of their own. */
static int check_kind(struct check *check, const struct entry *entry)
{
	struct blob_place place;

	if (entry->kind == ENTRY_RANGE_TOMBSTONE)
		return fault(check, "a range tombstone among the entries");
	if (entry->kind == ENTRY_TOMBSTONE || entry->kind == ENTRY_WEAK_TOMBSTONE)
		check->found.tombstones++;
	if (entry->kind != ENTRY_BLOB)
		return 0;
	if (blob_place_decode(entry->value, &place))
		return fault(check, "a blob's place is none");
	check->found.blob_bytes += place.size;
	return 0;
}

static int check_entry(struct check *check, const struct entry *entry)
{
	const struct table_slot *slot = &check->table->index.slots[check->index];
	const struct entry separator = {.key = table_index_key(&check->table->index, check->index),
					.seqno = slot->seqno};

	if (check->before.key.size > 0 && entry_compare(&check->before, entry) >= 0)
		return fault(check, "entries out of order");
	if (entry_compare(entry, &separator) > 0)
		return fault(check, "an entry behind its block's separator");
	if (!table_may_have(check->table, entry->key))
		return fault(check, "the filter denies a key");
	if (check->found.entries == 0) {
		check->found.key_first_size = (uint16_t)entry->key.size;
		memcpy(check->found.key_first, entry->key.bytes, entry->key.size);
	}
	check->found.entries++;
	check->seqno_min = MIN(check->seqno_min, entry->seqno);
	check->seqno_max = MAX(check->seqno_max, entry->seqno);
	remember(check, entry);
	return check_kind(check, entry);
}

/* The first entry lies behind the separator before. */
static int check_start(struct check *check)
{
	const struct table_index *index = &check->table->index;
	struct entry separator;

	if (check->index == 0)
		return 0;
	separator = (struct entry){.key = table_index_key(index, check->index - 1),
				   .seqno = index->slots[check->index - 1].seqno};
	if (entry_compare(&separator, &check->cursor.entry) >= 0)
		return fault(check, "an entry before its block");
	return 0;
}

static int check_bounds(struct check *check)
{
	const struct table_bounds *bounds = check->table->bounds;

	if (bounds && (bounds[check->index].seqno_min != check->seqno_min ||
		       bounds[check->index].seqno_max != check->seqno_max))
		return fault(check, "bounds that aren't the block's");
	check->found.seqno_min = MIN(check->found.seqno_min, check->seqno_min);
	check->found.seqno_max = MAX(check->found.seqno_max, check->seqno_max);
	return 0;
}

static int check_entries(struct check *check)
{
	int result = block_open(check->pin.bytes, check->pin.size, &check->cursor.block);

	if (!result)
		result = block_first(&check->cursor);
	if (result)
		return fault(check, "no entries");
	result = check_start(check);
	if (result)
		return result;
	check->seqno_min = UINT64_MAX;
	check->seqno_max = 0;
	do {
		result = check_entry(check, &check->cursor.entry);
		if (result)
			return result;
		result = block_next(&check->cursor);
	} while (result == 0);
	return result == BLOCK_E_END ? check_bounds(check) : fault(check, "no entries");
}

static int check_block(struct check *check)
{
	struct piece_place place = table_index_place(&check->table->index, check->index);
	int result = table_load_past_cache(check->table, check->index, &check->pin);
	const uint8_t *crc;

	if (result)
		return result;
	crc = piece_target(place, check->pin.own) + place.size;
	check->blocks_crc = crc32c_extend(check->blocks_crc, crc, PIECE_CRC_SIZE);
	check->raw_size += place.raw_size;
	return check_entries(check);
}

static void take_ranges(struct check *check)
{
	const struct table *table = check->table;
	struct table_summary *found = &check->found;

	if (check->before.key.size > 0) {
		found->key_last_size = (uint16_t)check->before.key.size;
		memcpy(found->key_last, check->key, check->before.key.size);
	}
	for (uint32_t i = 0; i < table->range_count; i++)
		table_summary_add_range(found, &table->ranges[i]);
}

static bool is_key(const uint8_t *a, uint16_t a_size, const uint8_t *b, uint16_t b_size)
{
	return a_size == b_size && memcmp(a, b, a_size) == 0;
}

static int check_summary(struct check *check)
{
	const struct table *table = check->table;
	const struct table_summary *said = &table->summary;
	struct table_summary *found = &check->found;
	uint64_t global = found->entries > 0 ? table->options.seqno_global : 0;

	if (table->footer.blocks_crc != check->blocks_crc)
		return summary_fault(check, "not the blocks that were written");
	if (said->entries != found->entries || said->tombstones != found->tombstones ||
	    said->seqno_min != found->seqno_min + global ||
	    said->seqno_max != found->seqno_max + global || said->blob_bytes != found->blob_bytes ||
	    table->raw_size != check->raw_size)
		return summary_fault(check, "properties that aren't the entries'");
	if (!is_key(said->key_first, said->key_first_size, found->key_first,
		    found->key_first_size) ||
	    !is_key(said->key_last, said->key_last_size, found->key_last, found->key_last_size))
		return summary_fault(check, "first and last key that aren't the entries'");
	return 0;
}

int table_verify(struct table *table)
{
	struct check check = {.table = table, .found.seqno_min = UINT64_MAX};
	int result = 0;

	for (; check.index < table->index.count && !result; check.index++)
		result = check_block(&check);
	if (!result) {
		take_ranges(&check);
		result = check_summary(&check);
	}
	table_pin_release(&check.pin);
	return result;
}

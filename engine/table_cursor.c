/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Table cursor - entries in order, both ways
 *
 * The cursor pins the block it stands in. It lets go of it only when the next one is there, so that
 * a call that had to say TABLE_E_WAIT has changed nothing and can be made again.
 *
 * A cursor past the cache that only goes forward reads a span of blocks at once, as many as follow
 * each other and are wanted.
 */

#include "engine/table_internal.h"

#include <errno.h>
#include <stdlib.h>

/* A run of blocks as they lie in the file. */
struct span {
	uint8_t *bytes; /* owned */
	uint64_t offset;
	uint64_t size; /* 0: nothing is read */
};

struct table_cursor {
	struct table *table;
	struct table_cursor_options options;
	bool windowed; /* blocks are skipped by their bounds: from 'from' to 'to', local */
	bool nothing;  /* no number of the table's lies in the window */
	uint64_t from, to;

	bool placed; /* 'block' and 'entry' are those of the index-th block */
	uint32_t index;
	struct table_pin pin;
	struct block_cursor block;
	struct entry entry; /* as it goes out */

	struct span span;
	uint64_t blocks_read, bytes_read;
};

static void set_window(struct table_cursor *cursor)
{
	const struct table_cursor_options *options = &cursor->options;
	uint64_t global = cursor->table->options.seqno_global;

	if (options->seqno_to == 0)
		return;
	cursor->from = options->seqno_from > global ? options->seqno_from - global : 0;
	if (!table_local_seqno(cursor->table, options->seqno_to, &cursor->to))
		cursor->nothing = true;
	cursor->windowed = cursor->table->bounds && !options->distrust_bounds;
}

int table_cursor_new(struct table *table, const struct table_cursor_options *options,
		     struct table_cursor **ret_cursor)
{
	struct table_cursor *cursor = calloc(1, sizeof(*cursor));

	if (!cursor)
		return -ENOMEM;
	cursor->table = table;
	cursor->options = *options;
	set_window(cursor);
	if (options->read_ahead > 0 && !table->options.cache) {
		cursor->span.bytes = malloc(options->read_ahead);
		if (!cursor->span.bytes) {
			free(cursor);
			return -ENOMEM;
		}
	}
	*ret_cursor = cursor;
	return 0;
}

void table_cursor_free(struct table_cursor *cursor)
{
	if (!cursor)
		return;
	table_pin_release(&cursor->pin);
	free(cursor->span.bytes);
	free(cursor);
}

static bool is_wanted(const struct table_cursor *cursor, uint32_t index)
{
	const struct table_bounds *bounds;

	if (!cursor->windowed)
		return true;
	bounds = &cursor->table->bounds[index];
	return bounds->seqno_max >= cursor->from && bounds->seqno_min <= cursor->to;
}

/* Bytes of a block in the file. */
static uint64_t stored_size(const struct table_cursor *cursor, uint32_t index)
{
	return (uint64_t)cursor->table->index.slots[index].size + PIECE_CRC_SIZE;
}

/* Reads the index-th block and wanted ones right behind it, as many as the span holds. */
static int read_span(struct table_cursor *cursor, uint32_t index)
{
	const struct table_index *blocks = &cursor->table->index;
	struct span *span = &cursor->span;
	uint64_t size = 0;
	uint32_t i;
	int result;

	for (i = index; i < blocks->count && is_wanted(cursor, i); i++) {
		uint64_t more = stored_size(cursor, i);

		if (size + more > cursor->options.read_ahead)
			break;
		size += more;
	}
	span->size = 0;
	span->offset = blocks->slots[index].offset;
	result = io_read(cursor->table->file.file, span->offset, span->bytes, size);
	if (result == IO_E_END)
		return table_corrupt(cursor->table, span->offset, "the file ends in a block");
	if (result)
		return result;
	span->size = size;
	cursor->blocks_read += i - index;
	cursor->bytes_read += size;
	return 0;
}

static bool span_has(const struct table_cursor *cursor, uint32_t index)
{
	const struct span *span = &cursor->span;
	uint64_t offset = cursor->table->index.slots[index].offset;

	return offset >= span->offset &&
	       offset + stored_size(cursor, index) <= span->offset + span->size;
}

static int load_from_span(struct table_cursor *cursor, uint32_t index)
{
	int result = span_has(cursor, index) ? 0 : read_span(cursor, index);
	uint64_t offset = cursor->table->index.slots[index].offset;

	if (result)
		return result;
	return table_load_bytes(cursor->table, index,
				cursor->span.bytes + (offset - cursor->span.offset), &cursor->pin);
}

static int load(struct table_cursor *cursor, uint32_t index, bool ahead)
{
	bool missed = false;
	int result;

	if (ahead && cursor->span.bytes && stored_size(cursor, index) <= cursor->options.read_ahead)
		return load_from_span(cursor, index);
	result =
		table_load(cursor->table, index, cursor->options.wait_never, &cursor->pin, &missed);
	if (missed) {
		cursor->blocks_read++;
		cursor->bytes_read += stored_size(cursor, index);
	}
	return result;
}

/* Has the cursor stand in the index-th block, at none of its entries. */
static int enter(struct table_cursor *cursor, uint32_t index, bool ahead)
{
	int result = load(cursor, index, ahead);

	if (result == TABLE_E_WAIT)
		return result;
	cursor->placed = false;
	if (result)
		return result;
	cursor->index = index;
	if (block_open(cursor->pin.bytes, cursor->pin.size, &cursor->block.block))
		return table_corrupt(cursor->table, cursor->table->index.slots[index].offset,
				     "no entries");
	return 0;
}

/* The end of every move: takes the entry at which the block's cursor stands, if it does. */
static int settle(struct table_cursor *cursor, int result)
{
	if (result) {
		cursor->placed = false;
		return table_corrupt(cursor->table,
				     cursor->table->index.slots[cursor->index].offset,
				     "no entries");
	}
	cursor->placed = true;
	cursor->entry = cursor->block.entry;
	cursor->entry.seqno += cursor->table->options.seqno_global;
	return 0;
}

/* To the first entry of the first wanted block from the index-th on. */
static int first_from(struct table_cursor *cursor, uint32_t index, bool ahead)
{
	int result;

	while (index < cursor->table->index.count && !is_wanted(cursor, index))
		index++;
	if (index == cursor->table->index.count || cursor->nothing)
		return TABLE_E_END;
	result = enter(cursor, index, ahead);
	return result ? result : settle(cursor, block_first(&cursor->block));
}

/* To the last entry of the last wanted block before the index-th. */
static int last_before(struct table_cursor *cursor, uint32_t index)
{
	int result;

	while (index > 0 && !is_wanted(cursor, index - 1))
		index--;
	if (index == 0 || cursor->nothing)
		return TABLE_E_END;
	result = enter(cursor, index - 1, /* ahead= */ false);
	return result ? result : settle(cursor, block_last(&cursor->block));
}

int table_cursor_first(struct table_cursor *cursor)
{
	return first_from(cursor, 0, /* ahead= */ true);
}

int table_cursor_last(struct table_cursor *cursor)
{
	return last_before(cursor, cursor->table->index.count);
}

/* To the first entry at or behind (key, local). */
static int seek(struct table_cursor *cursor, struct entry_bytes key, uint64_t local)
{
	uint32_t index = table_index_find(&cursor->table->index, key, local);
	int result;

	if (index == cursor->table->index.count || cursor->nothing)
		return TABLE_E_END;
	if (!is_wanted(cursor, index))
		return first_from(cursor, index, /* ahead= */ false);
	result = enter(cursor, index, /* ahead= */ false);
	if (result)
		return result;
	result = block_seek(&cursor->block, key, local);
	if (result == BLOCK_E_END)
		return first_from(cursor, index + 1, /* ahead= */ false);
	return settle(cursor, result);
}

/* When all numbers of the table are above 'seqno', what comes behind it is the next key. */
int table_cursor_seek(struct table_cursor *cursor, struct entry_bytes key, uint64_t seqno)
{
	uint64_t local;
	int result;

	if (table_local_seqno(cursor->table, seqno, &local))
		return seek(cursor, key, local);
	result = seek(cursor, key, 0);
	return !result && key_equal(cursor->entry.key, key) ? table_cursor_next(cursor) : result;
}

int table_cursor_next(struct table_cursor *cursor)
{
	int result;

	if (!cursor->placed)
		return TABLE_E_END;
	result = block_next(&cursor->block);
	if (result == BLOCK_E_END)
		return first_from(cursor, cursor->index + 1, /* ahead= */ true);
	return settle(cursor, result);
}

int table_cursor_previous(struct table_cursor *cursor)
{
	int result;

	if (!cursor->placed)
		return TABLE_E_END;
	result = block_previous(&cursor->block);
	if (result == BLOCK_E_END)
		return last_before(cursor, cursor->index);
	return settle(cursor, result);
}

const struct entry *table_cursor_entry(const struct table_cursor *cursor)
{
	return &cursor->entry;
}

void table_cursor_cost(const struct table_cursor *cursor, uint64_t *ret_blocks, uint64_t *ret_bytes)
{
	*ret_blocks = cursor->blocks_read;
	*ret_bytes = cursor->bytes_read;
}

/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/source.h"

#include "base/check.h"

#include <errno.h>

void source_init_memtable(const struct memtable *memtable, struct source *ret_source)
{
	*ret_source = (struct source){.memtable = memtable};
}

void source_init_tables(struct table *const *tables, const struct entry_bytes *firsts,
			const struct entry_bytes *lasts, uint32_t count,
			const struct table_cursor_options *options, struct source *ret_source)
{
	*ret_source = (struct source){
		.tables = tables,
		.firsts = firsts,
		.lasts = lasts,
		.table_count = count,
		.index = count,
		.options = *options,
	};
}

void source_deinit(struct source *source)
{
	table_cursor_free(source->cursor);
	*source = (struct source){0};
}

/* A table's answer as a source's. Its end is left to the caller. */
static int convert(int result)
{
	switch (result) {
	case TABLE_E_WAIT:
		return SOURCE_E_WAIT;
	case TABLE_E_CORRUPT:
		return SOURCE_E_CORRUPT;
	default:
		return result;
	}
}

static void stand(struct source *source, const struct memtable_node *node)
{
	source->node = node;
	source->entry = node ? memtable_entry(node) : NULL;
}

/* Puts the cursor into the index-th table. */
static int enter(struct source *source, uint32_t index)
{
	if (source->cursor && source->index == index)
		return 0;
	table_cursor_free(source->cursor);
	source->cursor = NULL;
	source->index = index;
	return table_cursor_new(source->tables[index], &source->options, &source->cursor);
}

/* What the cursor's call returned, at an end of the table: true. */
static bool settle(struct source *source, int result, int *ret_result)
{
	*ret_result = 0;
	if (result == TABLE_E_END)
		return true;
	if (result)
		*ret_result = convert(result);
	else
		source->entry = table_cursor_entry(source->cursor);
	return false;
}

/* The first entry of the index-th table or of one behind it. */
static int first_from(struct source *source, uint32_t index)
{
	for (; index < source->table_count; index++) {
		int result = enter(source, index);

		if (result)
			return result;
		if (!settle(source, table_cursor_first(source->cursor), &result))
			return result;
	}
	return 0;
}

/* The last entry of the tables before 'end'. */
static int last_before(struct source *source, uint32_t end)
{
	while (end-- > 0) {
		int result = enter(source, end);

		if (result)
			return result;
		if (!settle(source, table_cursor_last(source->cursor), &result))
			return result;
	}
	return 0;
}

/* The first table that ends at or behind the key. */
static uint32_t table_at(const struct source *source, struct entry_bytes key)
{
	uint32_t from = 0, to = source->lasts ? source->table_count : 0;

	while (from < to) {
		uint32_t middle = from + (to - from) / 2;

		if (key_compare(source->lasts[middle], key) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

int source_seek(struct source *source, struct entry_bytes key, uint64_t seqno)
{
	int result;

	source->entry = NULL;
	if (source->memtable) {
		stand(source, memtable_seek(source->memtable, key, seqno));
		return 0;
	}
	if (key.size == 0)
		return first_from(source, 0);
	uint32_t index = table_at(source, key);
	if (index >= source->table_count)
		return 0;
	result = enter(source, index);
	if (result)
		return result;
	if (!settle(source, table_cursor_seek(source->cursor, key, seqno), &result))
		return result;
	/* The table ends with a range tombstone at the key: entries of the key are in the next. */
	if (index + 1 >= source->table_count || key_compare(source->firsts[index + 1], key) > 0)
		return first_from(source, index + 1);
	result = enter(source, index + 1);
	if (result)
		return result;
	if (!settle(source, table_cursor_seek(source->cursor, key, seqno), &result))
		return result;
	return first_from(source, index + 2);
}

/* The last entry of smaller keys in a table, where its cursor is. */
static int table_before(struct source *source, struct entry_bytes key)
{
	int result = table_cursor_seek(source->cursor, key, UINT64_MAX);

	if (result == TABLE_E_END)
		return table_cursor_last(source->cursor);
	return result ? result : table_cursor_previous(source->cursor);
}

int source_seek_before(struct source *source, struct entry_bytes key)
{
	int result;

	source->entry = NULL;
	if (source->memtable) {
		stand(source, memtable_before(source->memtable, key, UINT64_MAX));
		return 0;
	}
	uint32_t index = table_at(source, key);
	if (index >= source->table_count)
		return last_before(source, source->table_count);
	/* The next table may begin with this very key, but not before it. */
	result = enter(source, index);
	if (result)
		return result;
	if (!settle(source, table_before(source, key), &result))
		return result;
	return last_before(source, index);
}

int source_seek_last(struct source *source)
{
	source->entry = NULL;
	if (source->memtable) {
		stand(source, memtable_last(source->memtable));
		return 0;
	}
	return last_before(source, source->table_count);
}

int source_next(struct source *source)
{
	int result;

	DCHECK(source->entry);
	source->entry = NULL;
	if (source->memtable) {
		stand(source, memtable_next(source->node));
		return 0;
	}
	if (!settle(source, table_cursor_next(source->cursor), &result))
		return result;
	return first_from(source, source->index + 1);
}

const char *source_error(const struct source *source)
{
	return source->index < source->table_count ? table_error(source->tables[source->index])
						   : "";
}

/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/compact.h"

#include "base/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of a table that are read at once. */
#define READ_AHEAD (UINT32_C(256) << 10)

/* A reader of the job's own, past the cache, which is the owner's. */
static int open_table(struct compact *compact, const struct table_file *file,
		      struct table **ret_table)
{
	struct table_options options = {.seqno_global = file->info.seqno_global};
	char name[IO_NAME_MAX + 1];

	version_table_name(file->info.number, name);
	if (!file->info.foreign) {
		memcpy(options.store, ledger_store(compact->plan.ledger), sizeof(options.store));
		options.number = file->info.number;
	}
	int result = table_open(compact->plan.io, name, &options, ret_table, compact->error,
				sizeof(compact->error));
	return result == TABLE_E_CORRUPT ? COMPACT_E_CORRUPT : result;
}

static int open_inputs(struct compact *compact)
{
	const struct compact_plan *plan = &compact->plan;

	for (uint32_t i = 0; i < plan->input_count; i++) {
		struct compact_reader *reader = &compact->readers[i];

		reader->file = plan->inputs[i];
		int result = open_table(compact, reader->file, &reader->table);
		if (result == COMPACT_E_CORRUPT)
			compact->bad_table = reader->file;
		if (result)
			return result;
		compact->tables[i] = reader->table;
		compact->firsts[i] = reader->file->info.first;
		compact->lasts[i] = reader->file->info.last;
		for (uint32_t j = 0; j < table_range_count(reader->table); j++) {
			struct entry range = table_range(reader->table, j);

			result = range_set_add(&compact->ranges, &range);
			if (result)
				return result;
		}
	}
	return 0;
}

/* A source for each table of level 0, and for each other level a run of its tables. */
static void make_sources(struct compact *compact)
{
	const struct compact_plan *plan = &compact->plan;
	const struct table_cursor_options options = {.read_ahead = READ_AHEAD};
	uint32_t from = 0;

	if (plan->memtable)
		source_init_memtable(plan->memtable, &compact->sources[compact->source_count++]);
	while (from < plan->input_count) {
		unsigned level = plan->inputs[from]->info.level;
		uint32_t to = from + 1;

		while (level > 0 && to < plan->input_count && plan->inputs[to]->info.level == level)
			to++;
		source_init_tables(compact->tables + from, compact->firsts + from,
				   compact->lasts + from, to - from, &options,
				   &compact->sources[compact->source_count++]);
		from = to;
	}
}

static int add_memtable_ranges(struct compact *compact)
{
	const struct memtable *memtable = compact->plan.memtable;

	for (uint32_t i = 0; i < memtable_range_count(memtable); i++) {
		struct entry range = memtable_range(memtable, i);
		int error = range_set_add(&compact->ranges, &range);

		if (error)
			return error;
	}
	return 0;
}

static int allocate(struct compact *compact)
{
	size_t count = compact->plan.input_count + 1;

	compact->readers = calloc(count, sizeof(*compact->readers));
	compact->tables = calloc(count, sizeof(struct table *));
	compact->firsts = calloc(count, sizeof(*compact->firsts));
	compact->lasts = calloc(count, sizeof(*compact->lasts));
	compact->sources = calloc(count, sizeof(*compact->sources));
	return compact->readers && compact->tables && compact->firsts && compact->lasts &&
			       compact->sources
		       ? 0
		       : -ENOMEM;
}

int compact_input_open(struct compact *compact)
{
	int error = allocate(compact);

	if (!error)
		error = open_inputs(compact);
	if (!error && compact->plan.memtable)
		error = add_memtable_ranges(compact);
	if (error)
		return error;
	compact->range_kept = calloc(compact->ranges.count + 1, sizeof(*compact->range_kept));
	if (!compact->range_kept)
		return -ENOMEM;
	make_sources(compact);
	error = merger_init(compact->sources, compact->source_count, &compact->merger);
	if (error)
		return error;
	error = merger_seek(&compact->merger, (struct entry_bytes){0}, UINT64_MAX);
	return error == SOURCE_E_CORRUPT ? compact_input_failed(compact) : error;
}

int compact_input_failed(struct compact *compact)
{
	const struct table *table = merger_failed_table(&compact->merger);

	for (uint32_t i = 0; i < compact->plan.input_count; i++)
		if (compact->readers[i].table == table)
			compact->bad_table = compact->readers[i].file;
	snprintf(compact->error, sizeof(compact->error), "%s", merger_error(&compact->merger));
	return COMPACT_E_CORRUPT;
}

static void close_readers(struct compact_reader *readers, uint32_t count)
{
	for (uint32_t i = 0; readers && i < count; i++)
		table_close(readers[i].table);
	free(readers);
}

void compact_input_close(struct compact *compact)
{
	merger_deinit(&compact->merger);
	for (uint32_t i = 0; i < compact->source_count; i++)
		source_deinit(&compact->sources[i]);
	close_readers(compact->readers, compact->plan.input_count);
	close_readers(compact->below, compact->below_count);
	table_pin_release(&compact->pin);
	for (uint32_t i = 0; i < compact->blob_count; i++)
		blob_close(compact->blobs[i].blob);
	free(compact->tables);
	free(compact->firsts);
	free(compact->lasts);
	free(compact->sources);
	free(compact->blobs);
	free(compact->range_kept);
	range_set_deinit(&compact->ranges);
	compact->readers = compact->below = NULL;
	compact->tables = NULL;
	compact->firsts = compact->lasts = NULL;
	compact->sources = NULL;
	compact->blobs = NULL;
	compact->range_kept = NULL;
	compact->source_count = compact->below_count = compact->blob_count = 0;
}

static int open_blob(struct compact *compact, uint64_t number, struct blob **ret_blob)
{
	struct blob_options options = {.number = number};
	struct compact_blob *grown =
		realloc(compact->blobs, (compact->blob_count + 1) * sizeof(*grown));
	char name[IO_NAME_MAX + 1];

	if (!grown)
		return -ENOMEM;
	compact->blobs = grown;
	version_blob_name(number, name);
	memcpy(options.store, ledger_store(compact->plan.ledger), sizeof(options.store));
	int result = blob_open(compact->plan.io, name, &options, ret_blob, compact->error,
			       sizeof(compact->error));
	if (result)
		return result == BLOB_E_CORRUPT ? COMPACT_E_CORRUPT : result;
	grown[compact->blob_count++] = (struct compact_blob){.number = number, .blob = *ret_blob};
	return 0;
}

static int find_blob(struct compact *compact, uint64_t number, struct blob **ret_blob)
{
	for (uint32_t i = 0; i < compact->blob_count; i++)
		if (compact->blobs[i].number == number) {
			*ret_blob = compact->blobs[i].blob;
			return 0;
		}
	return open_blob(compact, number, ret_blob);
}

int compact_blob_value(struct compact *compact, const struct entry *entry,
		       struct entry_bytes *ret_value)
{
	struct blob_place place;
	struct blob *blob;

	if (blob_place_decode(entry->value, &place)) {
		snprintf(compact->error, sizeof(compact->error),
			 "an entry's place in a blob file is none");
		return COMPACT_E_CORRUPT;
	}
	int result = find_blob(compact, place.file, &blob);
	if (result == COMPACT_E_CORRUPT)
		compact->bad_blob = place.file;
	if (result)
		return result;
	result = blob_get(blob, &place, entry->key, 0, &compact->pin, ret_value);
	if (result == BLOB_E_CORRUPT) {
		compact->bad_blob = place.file;
		snprintf(compact->error, sizeof(compact->error), "%s", blob_error(blob));
		return COMPACT_E_CORRUPT;
	}
	compact->bytes += ret_value->size;
	return result;
}

/* Of a flush nothing is known of what lies below. */
bool compact_is_bottom(const struct compact *compact, struct entry_bytes first,
		       struct entry_bytes last)
{
	return compact->plan.version &&
	       !version_has_below(compact->plan.version, compact->plan.level, first, last);
}

/* The job's own reader of a table further down, or NULL if it can't be had. */
static struct table *reader_below(struct compact *compact, const struct table_file *file)
{
	struct table *table;

	for (uint32_t i = 0; i < compact->below_count; i++)
		if (compact->below[i].file == file)
			return compact->below[i].table;
	struct compact_reader *grown =
		realloc(compact->below, (compact->below_count + 1) * sizeof(*grown));
	if (!grown)
		return NULL;
	compact->below = grown;
	if (open_table(compact, file, &table))
		return NULL;
	grown[compact->below_count++] = (struct compact_reader){.file = file, .table = table};
	return table;
}

/* A table that can't be asked may have the key: then a tombstone stays that could have gone. */
bool compact_is_below(struct compact *compact, struct entry_bytes key)
{
	const struct version *version = compact->plan.version;

	for (unsigned level = compact->plan.level + 1; level < VERSION_LEVEL_MAX; level++)
		for (uint32_t i = version_find(version, level, key); i < version->counts[level];
		     i++) {
			const struct table_file *file = version->levels[level][i];

			if (key_compare(file->info.first, key) > 0)
				break;
			const struct table *table = reader_below(compact, file);
			if (!table || table_may_have(table, key))
				return true;
		}
	return false;
}

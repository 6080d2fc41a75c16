/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/compact.h"

#include "base/check.h"
#include "engine/kv.h"
#include "engine/ledger_book.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int open_table(struct compact *compact)
{
	struct compact_output *output = &compact->output;
	struct table_writer_options options = {.compress = compact->plan.compress};
	char name[IO_NAME_MAX + 1];

	if (output->writer)
		return 0;
	options.number = ledger_next_file(compact->plan.ledger);
	memcpy(options.store, ledger_store(compact->plan.ledger), sizeof(options.store));
	version_table_name(options.number, name);
	output->number = options.number;
	output->reference_count = 0;
	return table_writer_new(compact->plan.io, name, &options, &output->writer);
}

static int open_blob(struct compact *compact)
{
	struct compact_output *output = &compact->output;
	struct blob_options options = {.compress = compact->plan.compress};
	char name[IO_NAME_MAX + 1];

	if (output->blob_writer)
		return 0;
	options.number = ledger_next_file(compact->plan.ledger);
	memcpy(options.store, ledger_store(compact->plan.ledger), sizeof(options.store));
	version_blob_name(options.number, name);
	output->blob_number = options.number;
	return blob_writer_new(compact->plan.io, name, &options, &output->blob_writer);
}

/* Where the number is among the references, or would be. */
static uint32_t reference_index(const struct compact_output *output, uint64_t number)
{
	uint32_t from = 0, to = output->reference_count;

	while (from < to) {
		uint32_t middle = from + (to - from) / 2;

		if (output->references[middle].blob < number)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

static int add_reference(struct compact_output *output, uint64_t number, uint64_t bytes)
{
	uint32_t index = reference_index(output, number);

	if (index < output->reference_count && output->references[index].blob == number) {
		output->references[index].bytes += bytes;
		return 0;
	}
	if (output->reference_count == output->reference_capacity) {
		uint32_t capacity = MAX(2 * output->reference_capacity, 8U);
		struct ledger_reference *grown =
			realloc(output->references, capacity * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		output->references = grown;
		output->reference_capacity = capacity;
	}
	memmove(&output->references[index + 1], &output->references[index],
		(output->reference_count++ - index) * sizeof(*output->references));
	output->references[index] = (struct ledger_reference){.blob = number, .bytes = bytes};
	return 0;
}

int compact_output_add(struct compact *compact, const struct entry *entry)
{
	int error = open_table(compact);

	if (!error && entry->kind == ENTRY_BLOB) {
		struct blob_place place;

		/* What the table's reader gave out was checked when it was written. */
		if (blob_place_decode(entry->value, &place))
			return -EBADMSG;
		error = add_reference(&compact->output, place.file, place.size);
	}
	return error ? error : table_writer_add(compact->output.writer, entry);
}

int compact_output_put(struct compact *compact, const struct entry *entry)
{
	struct compact_output *output = &compact->output;
	uint8_t bytes[BLOB_PLACE_SIZE];
	struct entry pointer = *entry;
	struct blob_place place;

	if (entry->kind != ENTRY_VALUE || entry->value.size < KV_BLOB_MIN)
		return compact_output_add(compact, entry);
	int error = open_blob(compact);
	if (!error)
		error = blob_writer_add(output->blob_writer, entry->key, entry->seqno, entry->value,
					&place);
	if (error)
		return error;
	blob_place_encode(&place, bytes);
	pointer.kind = ENTRY_BLOB;
	pointer.value = (struct entry_bytes){.bytes = bytes, .size = sizeof(bytes)};
	return compact_output_add(compact, &pointer);
}

bool compact_output_is_full(const struct compact *compact)
{
	const struct compact_output *output = &compact->output;

	return output->writer && compact->plan.table_size > 0 &&
	       (table_writer_size(output->writer) >= compact->plan.table_size ||
		output->reference_count >= LEDGER_REFERENCE_MAX / 2);
}

/* Writes the part of a range tombstone that lies in [compact->from, end). */
static int add_range(struct compact *compact, struct entry range, const struct entry_bytes *end)
{
	const struct entry_bytes from = {.bytes = compact->from, .size = compact->from_size};

	if (compact->from_size > 0 && key_compare(range.key, from) < 0)
		range.key = from;
	if (end && key_compare(range.value, *end) > 0)
		range.value = *end;
	if (key_compare(range.key, range.value) >= 0)
		return 0;
	int error = open_table(compact);
	return error ? error : table_writer_add(compact->output.writer, &range);
}

static struct ledger_table describe(const struct compact *compact,
				    const struct table_summary *summary)
{
	const struct compact_output *output = &compact->output;

	return (struct ledger_table){
		.number = output->number,
		.size = summary->size,
		.entries = summary->entries,
		.tombstones = summary->tombstones,
		.seqno_min = summary->seqno_min,
		.seqno_max = summary->seqno_max,
		.crc = summary->crc,
		.first = {.bytes = summary->key_first, .size = summary->key_first_size},
		.last = {.bytes = summary->key_last, .size = summary->key_last_size},
		.references = output->references,
		.reference_count = output->reference_count,
		.level = (uint8_t)compact->plan.level,
	};
}

/* Room for one more comes first, so that a table that was written is never forgotten. */
static int finish_table(struct compact *compact)
{
	struct compact_output *output = &compact->output;
	struct table_summary summary;

	if (!output->writer)
		return 0;
	struct ledger_table *grown =
		realloc(output->tables, (output->table_count + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	output->tables = grown;
	int error = table_writer_finish(output->writer, &summary);
	output->writer = NULL;
	if (error)
		return error;
	struct ledger_table table = describe(compact, &summary);
	grown[output->table_count] = table;
	error = ledger_table_copy(&table, &grown[output->table_count]);
	if (error) {
		char name[IO_NAME_MAX + 1];

		version_table_name(table.number, name);
		(void)io_remove(compact->plan.io, name); /* else it goes at the next opening */
		return error;
	}
	output->table_count++;
	return 0;
}

int compact_output_cut(struct compact *compact, const struct entry_bytes *key)
{
	for (uint32_t i = 0; i < compact->ranges.count; i++) {
		int error = compact->range_kept[i]
				    ? add_range(compact, range_set_at(&compact->ranges, i), key)
				    : 0;

		if (error)
			return error;
	}
	int error = finish_table(compact);
	if (!error && key) {
		memcpy(compact->from, key->bytes, key->size);
		compact->from_size = key->size;
	}
	return error;
}

int compact_output_finish(struct compact *compact)
{
	struct compact_output *output = &compact->output;

	if (output->blob_writer) {
		struct blob_summary summary;
		int error = blob_writer_finish(output->blob_writer, &summary);

		output->blob_writer = NULL;
		if (error)
			return error;
		output->blob = (struct ledger_blob){.number = output->blob_number,
						    .size = summary.size,
						    .frame_bytes = summary.frame_bytes};
	}
	if (output->table_count == 0)
		return 0;
	int error = io_sync_folder(compact->plan.io);
	output->is_whole = !error;
	return error;
}

/* Files that can't be removed go at the next opening: nobody names them. */
void compact_output_abort(struct compact *compact)
{
	struct compact_output *output = &compact->output;
	char name[IO_NAME_MAX + 1];

	table_writer_abort(output->writer);
	blob_writer_abort(output->blob_writer);
	for (uint32_t i = 0; !compact->plan.move && i < output->table_count; i++) {
		version_table_name(output->tables[i].number, name);
		(void)io_remove(compact->plan.io, name);
	}
	if (output->blob.number != 0) {
		version_blob_name(output->blob.number, name);
		(void)io_remove(compact->plan.io, name);
	}
	compact_output_deinit(output);
}

void compact_output_deinit(struct compact_output *output)
{
	for (uint32_t i = 0; i < output->table_count; i++)
		ledger_table_deinit(&output->tables[i]);
	free(output->tables);
	free(output->references);
	*output = (struct compact_output){0};
}

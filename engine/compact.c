/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/compact.h"

#include "base/check.h"
#include "engine/ledger_book.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void compact_plan_deinit(struct compact_plan *plan)
{
	free(plan->inputs);
	free(plan->snapshots);
	*plan = (struct compact_plan){0};
}

void compact_init(struct compact *compact, const struct compact_plan *plan)
{
	memset(compact, 0, sizeof(*compact));
	compact->plan = *plan;
	compact->fold.ops = plan->ops;
}

/* The line about what is corrupt stays. */
void compact_discard(struct compact *compact)
{
	compact_output_abort(compact);
	compact_input_close(compact);
	fold_deinit(&compact->fold);
	free(compact->held);
	compact->held = NULL;
	compact->held_count = 0;
	compact->dropped = 0;
	compact->has_key = false;
	compact->from_size = 0;
	compact->begun = false;
}

static int begin(struct compact *compact)
{
	compact->held = calloc(compact->plan.snapshot_count + 1, sizeof(*compact->held));
	if (!compact->held)
		return -ENOMEM;
	int error = compact_input_open(compact);
	if (error)
		return error;
	compact_rules_ranges(compact);
	compact->begun = true;
	return 0;
}

static int source_result(struct compact *compact, int result)
{
	return result == SOURCE_E_CORRUPT ? compact_input_failed(compact) : result;
}

/* A table ends only between keys, so that all versions of a key are in one. */
static int begin_key(struct compact *compact, const struct entry *entry)
{
	if (compact_output_is_full(compact)) {
		int error = compact_output_cut(compact, &entry->key);

		if (error)
			return error;
	}
	memcpy(compact->key, entry->key.bytes, entry->key.size);
	compact->key_size = entry->key.size;
	compact->has_key = true;
	compact->piece = UINT32_MAX;
	compact->closed = false;
	compact->took_back = false;
	return 0;
}

static bool is_same_key(const struct compact *compact, const struct entry *entry)
{
	const struct entry_bytes key = {.bytes = compact->key, .size = compact->key_size};

	return compact->has_key && key_equal(entry->key, key);
}

static int end_key(struct compact *compact)
{
	if (!compact->has_key)
		return 0;
	compact->has_key = false;
	return compact_rules_end(compact);
}

static int step(struct compact *compact, const struct entry *entry)
{
	int error = 0;

	if (!is_same_key(compact, entry)) {
		error = end_key(compact);
		if (!error)
			error = begin_key(compact, entry);
	}
	compact->bytes += entry->key.size + entry->value.size;
	if (!error)
		error = compact_rules_entry(compact, entry);
	return error ? error : source_result(compact, merger_next(&compact->merger));
}

static int finish(struct compact *compact)
{
	int error = end_key(compact);

	if (!error)
		error = compact_output_cut(compact, NULL);
	if (!error)
		error = compact_output_finish(compact);
	if (!error)
		compact_input_close(compact);
	return error;
}

static int run(struct compact *compact, uint64_t bytes_max)
{
	const struct entry *entry;
	int error = 0;

	if (!compact->begun)
		error = begin(compact);
	compact->bytes = 0;
	while (!error && (entry = merger_entry(&compact->merger))) {
		if (compact->bytes >= bytes_max)
			return COMPACT_E_MORE;
		error = step(compact, entry);
	}
	return error ? error : finish(compact);
}

/* A move has its outputs at once: the inputs, on another level. */
static int move(struct compact *compact)
{
	const struct compact_plan *plan = &compact->plan;
	struct compact_output *output = &compact->output;

	output->tables = calloc(plan->input_count, sizeof(*output->tables));
	if (!output->tables)
		return -ENOMEM;
	for (uint32_t i = 0; i < plan->input_count; i++) {
		struct ledger_table *table = &output->tables[i];

		if (ledger_table_copy(&plan->inputs[i]->info, table))
			return -ENOMEM;
		table->level = (uint8_t)plan->level;
		output->table_count++;
	}
	return 0;
}

int compact_run(struct compact *compact, uint64_t bytes_max)
{
	int error = compact->plan.move ? move(compact) : run(compact, bytes_max);

	if (error && error != COMPACT_E_MORE)
		compact_discard(compact);
	return error;
}

static bool is_input(const struct compact_plan *plan, const struct table_file *file)
{
	for (uint32_t i = 0; i < plan->input_count; i++)
		if (plan->inputs[i] == file)
			return true;
	return false;
}

static int number_order(const void *a, const void *b)
{
	uint64_t first = *(const uint64_t *)a, second = *(const uint64_t *)b;

	return (first > second) - (first < second);
}

/* Takes the numbers that the table refers to out of the list, where they become 0. */
static void strike(uint64_t *sorted, const uint64_t *numbers, uint32_t count,
		   const struct ledger_table *table)
{
	for (uint32_t i = 0; i < table->reference_count; i++) {
		const uint64_t *found = bsearch(&table->references[i].blob, numbers, count,
						sizeof(*numbers), number_order);

		if (found)
			sorted[found - numbers] = 0;
	}
}

/* The blob files of the inputs, by number, each once. */
static uint32_t list_blobs(const struct compact_plan *plan, uint64_t *numbers)
{
	uint32_t count = 0, unique = 0;

	for (uint32_t i = 0; i < plan->input_count; i++)
		for (uint32_t j = 0; j < plan->inputs[i]->info.reference_count; j++)
			numbers[count++] = plan->inputs[i]->info.references[j].blob;
	qsort(numbers, count, sizeof(*numbers), number_order);
	for (uint32_t i = 0; i < count; i++)
		if (unique == 0 || numbers[i] != numbers[unique - 1])
			numbers[unique++] = numbers[i];
	return unique;
}

/* Blob files that only inputs refer to. Tables that were flushed since the version was taken refer
 * to files of their own. */
static uint32_t dead_blobs(const struct compact *compact, uint64_t *numbers, uint64_t *left)
{
	const struct compact_plan *plan = &compact->plan;
	uint32_t count = list_blobs(plan, numbers), dead = 0;

	memcpy(left, numbers, count * sizeof(*left));
	for (uint32_t i = 0; i < compact->output.table_count; i++)
		strike(left, numbers, count, &compact->output.tables[i]);
	for (unsigned level = 0; level < VERSION_LEVEL_MAX; level++)
		for (uint32_t i = 0; i < plan->version->counts[level]; i++) {
			const struct table_file *file = plan->version->levels[level][i];

			if (!is_input(plan, file))
				strike(left, numbers, count, &file->info);
		}
	for (uint32_t i = 0; i < count; i++)
		if (left[i] != 0)
			numbers[dead++] = left[i];
	return dead;
}

int compact_edit(const struct compact *compact, struct ledger_edit *ret_edit,
		 uint64_t **ret_removes, uint64_t **ret_blob_removes)
{
	const struct compact_plan *plan = &compact->plan;
	size_t references = 0;

	for (uint32_t i = 0; i < plan->input_count; i++)
		references += plan->inputs[i]->info.reference_count;
	uint64_t *removes = calloc(plan->input_count + 1, sizeof(*removes));
	uint64_t *blobs = calloc(references + 1, sizeof(*blobs));
	uint64_t *left = calloc(references + 1, sizeof(*left));
	if (!removes || !blobs || !left) {
		free(removes);
		free(blobs);
		free(left);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < plan->input_count; i++)
		removes[i] = plan->inputs[i]->info.number;
	*ret_edit = (struct ledger_edit){
		.history = compact->dropped > 0 ? compact->dropped + 1 : 0,
		.removes = removes,
		.remove_count = plan->input_count,
		.adds = compact->output.tables,
		.add_count = compact->output.table_count,
		.blob_removes = blobs,
		.blob_remove_count = plan->version ? dead_blobs(compact, blobs, left) : 0,
		.blob_adds = &compact->output.blob,
		.blob_add_count = compact->output.blob.number != 0,
	};
	free(left);
	*ret_removes = removes;
	*ret_blob_removes = blobs;
	return 0;
}

void compact_deinit(struct compact *compact)
{
	compact_input_close(compact);
	compact_output_deinit(&compact->output);
	fold_deinit(&compact->fold);
	free(compact->held);
	compact->held = NULL;
	compact_plan_deinit(&compact->plan);
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Which compaction is due: all that was asked for, then level 0 if it has KV_LEVEL_ZERO_TRIGGER
 * tables, then the level that is largest in proportion to what it may be, then a blob file more
 * than half of which is dead.
 */

#include "engine/kv_internal.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

/* Each level may have this many times the bytes of the one before. */
#define LEVEL_TIMES 10

struct inputs {
	struct table_file **files;
	uint32_t count;
};

static void add(struct inputs *inputs, struct table_file *file)
{
	inputs->files[inputs->count++] = file;
}

/* Tables of the level that have something in [first, last]. */
static void add_overlapping(struct inputs *inputs, const struct version *version, unsigned level,
			    struct entry_bytes first, struct entry_bytes last)
{
	for (uint32_t i = version_find(version, level, first); i < version->counts[level]; i++) {
		struct table_file *file = version->levels[level][i];

		if (key_compare(file->info.first, last) > 0)
			break;
		add(inputs, file);
	}
}

static bool overlap(const struct ledger_table *a, const struct ledger_table *b)
{
	return key_compare(a->first, b->last) <= 0 && key_compare(b->first, a->last) <= 0;
}

/* Tables can move as they are if none of them overlaps another. */
static bool are_apart(const struct inputs *inputs)
{
	for (uint32_t i = 0; i < inputs->count; i++)
		for (uint32_t j = 0; j < i; j++)
			if (overlap(&inputs->files[i]->info, &inputs->files[j]->info))
				return false;
	return true;
}

static void pick_all(const struct version *version, struct inputs *inputs)
{
	for (unsigned level = 0; level < KV_LEVEL_MAX; level++)
		for (uint32_t i = 0; i < version->counts[level]; i++)
			add(inputs, version->levels[level][i]);
}

static void pick_level_zero(const struct version *version, struct inputs *inputs)
{
	struct entry_bytes first = version->levels[0][0]->info.first;
	struct entry_bytes last = version->levels[0][0]->info.last;

	for (uint32_t i = 0; i < version->counts[0]; i++) {
		struct table_file *file = version->levels[0][i];

		add(inputs, file);
		if (key_compare(file->info.first, first) < 0)
			first = file->info.first;
		if (key_compare(file->info.last, last) > 0)
			last = file->info.last;
	}
	add_overlapping(inputs, version, 1, first, last);
}

/* The table behind the one that was compacted last, so that all have their turn. */
static struct table_file *next_in_turn(const struct kv *kv, const struct version *version,
				       unsigned level)
{
	const struct entry_bytes turn = {.bytes = kv->turns[level], .size = kv->turn_sizes[level]};

	for (uint32_t i = 0; turn.size > 0 && i < version->counts[level]; i++)
		if (key_compare(version->levels[level][i]->info.first, turn) >= 0)
			return version->levels[level][i];
	return version->levels[level][0];
}

/* Without memory for it the first table has its turn again. */
static void take_turn(struct kv *kv, unsigned level, struct entry_bytes last)
{
	uint8_t *copy = malloc(last.size);

	free(kv->turns[level]);
	kv->turns[level] = copy;
	kv->turn_sizes[level] = copy ? last.size : 0;
	if (copy)
		memcpy(copy, last.bytes, last.size);
}

static void pick_level(struct kv *kv, const struct version *version, unsigned level,
		       struct inputs *inputs)
{
	struct table_file *file = next_in_turn(kv, version, level);

	take_turn(kv, level, file->info.last);
	add(inputs, file);
	add_overlapping(inputs, version, level + 1, file->info.first, file->info.last);
}

/* The level that is the most above what it may have; 0: none is. */
static unsigned largest_level(const struct kv *kv, const struct version *version)
{
	double most = 1, may = (double)kv->options.level_size;
	unsigned largest = 0;

	for (unsigned level = 1; level + 1 < KV_LEVEL_MAX; level++, may *= LEVEL_TIMES)
		if ((double)version->sizes[level] / may > most) {
			most = (double)version->sizes[level] / may;
			largest = level;
		}
	return largest;
}

static bool refers_to(const struct table_file *file, uint64_t number)
{
	for (uint32_t i = 0; i < file->info.reference_count; i++)
		if (file->info.references[i].blob == number)
			return true;
	return false;
}

/* The first blob file more than half of which is dead and that isn't dead wholly, or NULL. */
static const struct blob_file *wasteful_blob(const struct version *version)
{
	for (uint32_t i = 0; i < version->blob_count; i++) {
		const struct blob_file *blob = version->blobs[i];

		if (blob->live > 0 && blob->live < blob->info.frame_bytes / 2)
			return blob;
	}
	return NULL;
}

/* One table at a time gives up the blob file; with the last the file goes. */
static void pick_blob(const struct version *version, struct inputs *inputs, uint64_t *ret_number)
{
	const struct blob_file *blob = wasteful_blob(version);

	*ret_number = blob->info.number;
	for (unsigned level = 0; level < KV_LEVEL_MAX; level++)
		for (uint32_t i = 0; i < version->counts[level]; i++)
			if (refers_to(version->levels[level][i], blob->info.number)) {
				add(inputs, version->levels[level][i]);
				return;
			}
	CHECK(false);
}

/* Snapshots below 'keep', the youngest first, each once. */
static bool copy_snapshots(const struct kv *kv, struct compact_plan *plan)
{
	plan->snapshots = malloc((kv->snapshot_count + 1) * sizeof(*plan->snapshots));
	if (!plan->snapshots)
		return false;
	for (uint32_t i = kv->snapshot_count; i-- > 0;) {
		uint64_t seqno = kv->snapshots[i];

		if (seqno < plan->keep && (plan->snapshot_count == 0 ||
					   plan->snapshots[plan->snapshot_count - 1] != seqno))
			plan->snapshots[plan->snapshot_count++] = seqno;
	}
	return true;
}

/* What memtables hold is above all in tables, so an empty one is as good as none. */
static bool all_is_in_tables(const struct kv *kv)
{
	return kv->flushed >= kv->compact_target || kv_flushed(kv) >= kv->compact_target;
}

static bool is_due(const struct kv *kv)
{
	const struct version *version = kv->view->version;

	return (kv->compact_all && all_is_in_tables(kv)) ||
	       version->counts[0] >= KV_LEVEL_ZERO_TRIGGER || largest_level(kv, version) > 0 ||
	       wasteful_blob(version);
}

static void pick(struct kv *kv, struct inputs *inputs, struct compact_plan *plan)
{
	const struct version *version = kv->view->version;
	unsigned level = largest_level(kv, version);

	plan->level = 1;
	if (kv->compact_all && all_is_in_tables(kv)) {
		kv->compact_all = false;
		pick_all(version, inputs);
		plan->level = KV_LEVEL_MAX - 1;
	} else if (version->counts[0] >= KV_LEVEL_ZERO_TRIGGER) {
		pick_level_zero(version, inputs);
		plan->move = are_apart(inputs);
	} else if (level > 0) {
		pick_level(kv, version, level, inputs);
		plan->level = level + 1;
		plan->move = inputs->count == 1;
	} else {
		pick_blob(version, inputs, &plan->relocate);
		plan->level = inputs->files[0]->info.level;
		plan->keep_all = true;
	}
}

bool kv_pick(struct kv *kv, struct compact_plan *ret_plan)
{
	const struct version *version = kv->view->version;
	uint64_t below_floor = kv->floor > 0 ? kv->floor - 1 : 0;
	struct compact_plan plan = {
		.keep = MIN(kv->visible, below_floor),
		.table_size = kv->options.table_size,
	};
	struct inputs inputs = {0};
	uint32_t count = 1;

	/* Nothing is taken from the heap as long as nothing is due. */
	if (!is_due(kv))
		return false;
	for (unsigned level = 0; level < KV_LEVEL_MAX; level++)
		count += version->counts[level];
	inputs.files = malloc(count * sizeof(struct table_file *));
	if (!inputs.files)
		return false;
	if (!copy_snapshots(kv, &plan)) {
		free(inputs.files);
		return false;
	}
	pick(kv, &inputs, &plan);
	plan.inputs = inputs.files;
	plan.input_count = inputs.count;
	plan.version = version;
	if (inputs.count == 0) { /* all of nothing was asked for */
		compact_plan_deinit(&plan);
		return false;
	}
	*ret_plan = plan;
	return true;
}

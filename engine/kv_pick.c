/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Which compaction is due: all that was asked for, then level 0 if it has KV_LEVEL_ZERO_TRIGGER
 * tables, then the level that is largest in proportion to what it may be, then a blob file more
 * than half of which is dead.
 *
 * A damaged table is no input, and stays where it is. So nothing younger than it goes below it, and
 * nothing comes into its range of its level: what would is left out, as is what that holds up.
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

static bool has_damage(const struct version *version)
{
	for (unsigned level = 0; level < KV_LEVEL_MAX; level++)
		for (uint32_t i = 0; i < version->counts[level]; i++)
			if (version->levels[level][i]->damaged)
				return true;
	return false;
}

static void pick_all(const struct version *version, struct inputs *inputs)
{
	for (unsigned level = 0; level < KV_LEVEL_MAX; level++)
		for (uint32_t i = 0; i < version->counts[level]; i++)
			add(inputs, version->levels[level][i]);
}

/* Whether a damaged table of the level has something in [first, last]. */
static bool meets_damage(const struct version *version, unsigned level, struct entry_bytes first,
			 struct entry_bytes last)
{
	for (uint32_t i = version_find(version, level, first); i < version->counts[level]; i++) {
		const struct table_file *file = version->levels[level][i];

		if (key_compare(file->info.first, last) > 0)
			break;
		if (file->damaged)
			return true;
	}
	return false;
}

/* The range of keys that tables have together. */
struct span {
	struct entry_bytes first;
	struct entry_bytes last;
};

static struct span joined(const struct span *span, const struct ledger_table *table)
{
	return (struct span){
		.first = key_compare(table->first, span->first) < 0 ? table->first : span->first,
		.last = key_compare(table->last, span->last) > 0 ? table->last : span->last,
	};
}

static bool is_input(const struct inputs *inputs, const struct table_file *file)
{
	for (uint32_t i = 0; i < inputs->count; i++)
		if (inputs->files[i] == file)
			return true;
	return false;
}

/* Whether an older table of level 0 than the index-th overlaps it and isn't compacted with it. */
static bool overlaps_what_stays(const struct version *version, const struct inputs *inputs,
				uint32_t index)
{
	struct table_file *const *files = version->levels[0];

	for (uint32_t i = index + 1; i < version->counts[0]; i++)
		if (overlap(&files[i]->info, &files[index]->info) && !is_input(inputs, files[i]))
			return true;
	return false;
}

/* Inputs are given the youngest first, and chosen the oldest first. */
static void turn_round(struct inputs *inputs)
{
	for (uint32_t i = 0; i < inputs->count / 2; i++) {
		struct table_file *file = inputs->files[i];

		inputs->files[i] = inputs->files[inputs->count - 1 - i];
		inputs->files[inputs->count - 1 - i] = file;
	}
}

static void pick_level_zero(const struct version *version, struct inputs *inputs)
{
	struct span span;

	for (uint32_t i = version->counts[0]; i-- > 0;) {
		struct table_file *file = version->levels[0][i];
		struct span with = {.first = file->info.first, .last = file->info.last};

		if (inputs->count > 0)
			with = joined(&span, &file->info);
		if (file->damaged || overlaps_what_stays(version, inputs, i) ||
		    meets_damage(version, 1, with.first, with.last))
			continue;
		add(inputs, file);
		span = with;
	}
	turn_round(inputs);
	if (inputs->count > 0)
		add_overlapping(inputs, version, 1, span.first, span.last);
}

static bool may_go_down(const struct version *version, const struct table_file *file)
{
	return !file->damaged &&
	       !meets_damage(version, file->info.level + 1U, file->info.first, file->info.last);
}

/* The table behind the one that was compacted last, so that all have their turn; NULL: damage
 * holds up all of them. */
static struct table_file *next_in_turn(const struct kv *kv, const struct version *version,
				       unsigned level)
{
	const struct entry_bytes turn = {.bytes = kv->turns[level], .size = kv->turn_sizes[level]};
	uint32_t count = version->counts[level], from = 0;

	while (from < count && turn.size > 0 &&
	       key_compare(version->levels[level][from]->info.first, turn) < 0)
		from++;
	for (uint32_t i = 0; i < count; i++) {
		struct table_file *file = version->levels[level][(from + i) % count];

		if (may_go_down(version, file))
			return file;
	}
	return NULL;
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

	if (!file)
		return;
	take_turn(kv, level, file->info.last);
	add(inputs, file);
	add_overlapping(inputs, version, level + 1, file->info.first, file->info.last);
}

/* The level that is the most above what it may have, of those that weren't tried (a bit each); 0:
 * none is. */
static unsigned largest_level(const struct kv *kv, const struct version *version, unsigned tried)
{
	double most = 1, may = (double)kv->options.level_size;
	unsigned largest = 0;

	for (unsigned level = 1; level + 1 < KV_LEVEL_MAX; level++, may *= LEVEL_TIMES)
		if (!(tried & 1U << level) && (double)version->sizes[level] / may > most) {
			most = (double)version->sizes[level] / may;
			largest = level;
		}
	return largest;
}

/* Returns the level that it picked from. */
static unsigned pick_largest_level(struct kv *kv, const struct version *version,
				   struct inputs *inputs)
{
	unsigned tried = 0, level = 0;

	while (inputs->count == 0 && (level = largest_level(kv, version, tried)) > 0) {
		pick_level(kv, version, level, inputs);
		tried |= 1U << level;
	}
	return level;
}

static bool refers_to(const struct table_file *file, uint64_t number)
{
	for (uint32_t i = 0; i < file->info.reference_count; i++)
		if (file->info.references[i].blob == number)
			return true;
	return false;
}

/* More than half of it is dead, and not all. */
static bool is_wasteful(const struct blob_file *blob)
{
	return blob->live > 0 && blob->live < blob->info.frame_bytes / 2 && !blob->damaged;
}

static bool has_wasteful_blob(const struct version *version)
{
	for (uint32_t i = 0; i < version->blob_count; i++)
		if (is_wasteful(version->blobs[i]))
			return true;
	return false;
}

/* A table that refers to the blob file, or NULL. */
static struct table_file *referrer(const struct version *version, uint64_t number)
{
	for (unsigned level = 0; level < KV_LEVEL_MAX; level++)
		for (uint32_t i = 0; i < version->counts[level]; i++) {
			struct table_file *file = version->levels[level][i];

			if (!file->damaged && refers_to(file, number))
				return file;
		}
	return NULL;
}

/* One table at a time gives up the blob file; with the last the file goes. */
static void pick_blob(const struct version *version, struct inputs *inputs, uint64_t *ret_number)
{
	for (uint32_t i = 0; i < version->blob_count && inputs->count == 0; i++) {
		struct table_file *file = NULL;

		if (is_wasteful(version->blobs[i]))
			file = referrer(version, version->blobs[i]->info.number);
		if (!file)
			continue;
		add(inputs, file);
		*ret_number = version->blobs[i]->info.number;
	}
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
	       version->counts[0] >= KV_LEVEL_ZERO_TRIGGER ||
	       largest_level(kv, version, /* tried= */ 0) > 0 || has_wasteful_blob(version);
}

/* The first that finds inputs has the plan. */
static void pick(struct kv *kv, struct inputs *inputs, struct compact_plan *plan)
{
	const struct version *version = kv->view->version;

	if (kv->compact_all && all_is_in_tables(kv)) {
		kv->compact_all = false;
		if (kv->damage.files == 0 || !has_damage(version))
			pick_all(version, inputs);
		plan->level = KV_LEVEL_MAX - 1;
	}
	if (inputs->count == 0 && version->counts[0] >= KV_LEVEL_ZERO_TRIGGER) {
		pick_level_zero(version, inputs);
		plan->level = 1;
		plan->move = inputs->count > 0 && are_apart(inputs);
	}
	if (inputs->count == 0) {
		plan->level = pick_largest_level(kv, version, inputs) + 1;
		plan->move = inputs->count == 1;
	}
	if (inputs->count == 0) {
		pick_blob(version, inputs, &plan->relocate);
		plan->level = inputs->count > 0 ? inputs->files[0]->info.level : 0;
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
	if (inputs.count == 0) { /* all of nothing was asked for, or damage holds it up */
		kv->is_held_up = kv->damage.files > 0;
		compact_plan_deinit(&plan);
		return false;
	}
	*ret_plan = plan;
	return true;
}

/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/version.h"

#include "base/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The youngest first on level 0, by key on others. */
static int table_order(const void *a, const void *b)
{
	const struct ledger_table *first = &(*(struct table_file *const *)a)->info;
	const struct ledger_table *second = &(*(struct table_file *const *)b)->info;

	if (first->level == 0)
		return (first->seqno_max < second->seqno_max) -
		       (first->seqno_max > second->seqno_max);
	int order = key_compare(first->first, second->first);
	return order != 0 ? order : key_compare(first->last, second->last);
}

static int blob_order(const void *a, const void *b)
{
	uint64_t first = (*(struct blob_file *const *)a)->info.number;
	uint64_t second = (*(struct blob_file *const *)b)->info.number;

	return (first > second) - (first < second);
}

static bool is_among(uint64_t number, const uint64_t *numbers, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (numbers[i] == number)
			return true;
	return false;
}

/* Room for all that was there and all that comes, which is more than needed. */
static int reserve(struct version *version, const struct version *before,
		   const struct version_change *change)
{
	for (unsigned level = 0; level < VERSION_LEVEL_MAX; level++) {
		uint32_t count = (before ? before->counts[level] : 0) + change->add_count + 1;

		version->levels[level] = calloc(count, sizeof(*version->levels[level]));
		if (!version->levels[level])
			return -ENOMEM;
	}
	uint32_t count = (before ? before->blob_count : 0) + change->blob_add_count + 1;
	version->blobs = calloc(count, sizeof(*version->blobs));
	return version->blobs ? 0 : -ENOMEM;
}

static void add_table(struct version *version, struct table_file *file)
{
	unsigned level = file->info.level;

	file->refs++;
	version->levels[level][version->counts[level]++] = file;
	version->sizes[level] += file->info.size;
	if (file->ranges.count > 0)
		version->has_ranges[level] = true;
}

static void add_blob(struct version *version, struct blob_file *file)
{
	file->refs++;
	version->blobs[version->blob_count++] = file;
}

static void add_those_that_stay(struct version *version, const struct version *before,
				const struct version_change *change)
{
	for (unsigned level = 0; level < VERSION_LEVEL_MAX; level++)
		for (uint32_t i = 0; i < before->counts[level]; i++) {
			struct table_file *file = before->levels[level][i];

			if (!is_among(file->info.number, change->removes, change->remove_count))
				add_table(version, file);
		}
	for (uint32_t i = 0; i < before->blob_count; i++)
		if (!is_among(before->blobs[i]->info.number, change->blob_removes,
			      change->blob_remove_count))
			add_blob(version, before->blobs[i]);
}

static void free_arrays(struct version *version)
{
	for (unsigned level = 0; level < VERSION_LEVEL_MAX; level++)
		free(version->levels[level]);
	free(version->blobs);
	free(version);
}

int version_new(const struct version *before, const struct version_change *change,
		struct version **ret_version)
{
	struct version *version = calloc(1, sizeof(*version));

	if (!version)
		return -ENOMEM;
	if (reserve(version, before, change)) {
		free_arrays(version);
		return -ENOMEM;
	}
	version->refs = 1;
	if (before)
		add_those_that_stay(version, before, change);
	for (uint32_t i = 0; i < change->add_count; i++)
		add_table(version, change->adds[i]);
	for (uint32_t i = 0; i < change->blob_add_count; i++)
		add_blob(version, change->blob_adds[i]);
	for (unsigned level = 0; level < VERSION_LEVEL_MAX; level++)
		qsort(version->levels[level], version->counts[level], sizeof(struct table_file *),
		      table_order);
	qsort(version->blobs, version->blob_count, sizeof(struct blob_file *), blob_order);
	*ret_version = version;
	return 0;
}

void version_get(struct version *version)
{
	version->refs++;
}

void version_put(struct version_files *files, struct version *version)
{
	if (!version || --version->refs > 0)
		return;
	for (unsigned level = 0; level < VERSION_LEVEL_MAX; level++)
		for (uint32_t i = 0; i < version->counts[level]; i++)
			table_file_put(files, version->levels[level][i]);
	for (uint32_t i = 0; i < version->blob_count; i++)
		blob_file_put(files, version->blobs[i]);
	free_arrays(version);
}

struct blob_file *version_blob(const struct version *version, uint64_t number)
{
	uint32_t from = 0, to = version->blob_count;

	while (from < to) {
		uint32_t middle = from + (to - from) / 2;

		if (version->blobs[middle]->info.number < number)
			from = middle + 1;
		else
			to = middle;
	}
	return from < version->blob_count && version->blobs[from]->info.number == number
		       ? version->blobs[from]
		       : NULL;
}

void version_count_live(struct version *version)
{
	for (uint32_t i = 0; i < version->blob_count; i++)
		version->blobs[i]->live = 0;
	for (unsigned level = 0; level < VERSION_LEVEL_MAX; level++)
		for (uint32_t i = 0; i < version->counts[level]; i++) {
			const struct ledger_table *info = &version->levels[level][i]->info;

			for (uint32_t j = 0; j < info->reference_count; j++) {
				struct blob_file *blob =
					version_blob(version, info->references[j].blob);

				CHECK(blob);
				blob->live += info->references[j].bytes;
			}
		}
}

uint32_t version_find(const struct version *version, unsigned level, struct entry_bytes key)
{
	uint32_t from = 0, to = version->counts[level];

	while (from < to) {
		uint32_t middle = from + (to - from) / 2;

		if (key_compare(version->levels[level][middle]->info.last, key) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

bool version_has_below(const struct version *version, unsigned level, struct entry_bytes first,
		       struct entry_bytes last)
{
	while (++level < VERSION_LEVEL_MAX) {
		uint32_t index = version_find(version, level, first);

		if (index < version->counts[level] &&
		    key_compare(version->levels[level][index]->info.first, last) <= 0)
			return true;
	}
	return false;
}

static uint64_t level_cover(const struct version *version, unsigned level, struct entry_bytes key,
			    uint64_t seqno)
{
	uint32_t index = level == 0 ? 0 : version_find(version, level, key);
	uint64_t cover = 0;

	for (; index < version->counts[level]; index++) {
		const struct table_file *file = version->levels[level][index];

		if (level > 0 && key_compare(file->info.first, key) > 0)
			break;
		uint64_t found = range_set_cover(&file->ranges, key, seqno);
		cover = found > cover ? found : cover;
	}
	return cover;
}

uint64_t version_cover(const struct version *version, struct entry_bytes key, uint64_t seqno)
{
	uint64_t cover = 0;

	for (unsigned level = 0; level < VERSION_LEVEL_MAX; level++)
		if (version->has_ranges[level]) {
			uint64_t found = level_cover(version, level, key, seqno);

			cover = found > cover ? found : cover;
		}
	return cover;
}

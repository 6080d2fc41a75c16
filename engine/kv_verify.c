/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Everything is read past the cache, from the files themselves. A fault is a line; what goes on
 * behind it is still looked at.
 */

#include "engine/kv_internal.h"

#include "base/check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of a table that are read at once. */
#define READ_AHEAD (UINT32_C(256) << 10)

struct check {
	struct kv *kv;
	kv_report_fn report;
	void *context;
	uint64_t faults;
	struct blob **blobs; /* readers of the version's, in its order; NULL: unreadable */
	uint64_t *found;     /* bytes that entries of the table at hand have in each */
	struct table_pin pin;
};

static PRINTF_LIKE(2, 3) void fault(struct check *check, const char *format, ...)
{
	char line[KV_ERROR_SIZE];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	check->faults++;
	if (check->report)
		check->report(check->context, line);
}

static uint32_t blob_index(const struct version *version, uint64_t number)
{
	uint32_t index = 0;

	while (index < version->blob_count && version->blobs[index]->info.number != number)
		index++;
	return index;
}

/* An entry's value in a blob file. Returns 0 or a negative errno. */
static int check_blob_entry(struct check *check, const char *name, const struct entry *entry)
{
	const struct version *version = check->kv->view->version;
	struct entry_bytes value;
	struct blob_place place;

	if (blob_place_decode(entry->value, &place)) {
		fault(check, "%s: number %" PRIu64 ": its place in a blob file is none", name,
		      entry->seqno);
		return 0;
	}
	uint32_t index = blob_index(version, place.file);
	if (index == version->blob_count) {
		fault(check, "%s: number %" PRIu64 ": blob file %" PRIu64 " isn't there", name,
		      entry->seqno, place.file);
		return 0;
	}
	check->found[index] += place.size;
	if (!check->blobs[index])
		return 0;
	int result = blob_get(check->blobs[index], &place, entry->key, 0, &check->pin, &value);
	if (result == BLOB_E_CORRUPT) {
		fault(check, "%s", blob_error(check->blobs[index]));
		return 0;
	}
	return result;
}

static int check_entries(struct check *check, const char *name, struct table *table)
{
	const struct table_cursor_options options = {.read_ahead = READ_AHEAD};
	struct table_cursor *cursor;
	int result = table_cursor_new(table, &options, &cursor);

	if (result)
		return result;
	for (result = table_cursor_first(cursor); !result; result = table_cursor_next(cursor)) {
		const struct entry *entry = table_cursor_entry(cursor);

		if (entry->kind != ENTRY_BLOB)
			continue;
		result = check_blob_entry(check, name, entry);
		if (result)
			break;
	}
	table_cursor_free(cursor);
	/* Blocks that are corrupt have been reported with the table. */
	return result == TABLE_E_END || result == TABLE_E_CORRUPT ? 0 : result;
}

/* The ledger knows how many bytes of which blob file the table's entries have. */
static void check_references(struct check *check, const char *name, const struct ledger_table *info)
{
	const struct version *version = check->kv->view->version;

	for (uint32_t i = 0; i < info->reference_count; i++) {
		uint32_t index = blob_index(version, info->references[i].blob);

		if (index == version->blob_count ||
		    check->found[index] != info->references[i].bytes)
			fault(check, "%s: it refers to other bytes of blob file %" PRIu64, name,
			      info->references[i].blob);
		else
			check->found[index] = 0;
	}
	for (uint32_t i = 0; i < version->blob_count; i++)
		if (check->found[i] != 0) {
			fault(check, "%s: the ledger doesn't know of blob file %" PRIu64, name,
			      version->blobs[i]->info.number);
			check->found[i] = 0;
		}
}

static int check_table(struct check *check, const struct table_file *file)
{
	struct table_options options = {.seqno_global = file->info.seqno_global};
	char name[IO_NAME_MAX + 1], error[KV_ERROR_SIZE];
	struct table *table;

	version_table_name(file->info.number, name);
	if (!file->info.foreign) {
		memcpy(options.store, check->kv->files.store, sizeof(options.store));
		options.number = file->info.number;
	}
	int result = table_open(check->kv->io, name, &options, &table, error, sizeof(error));
	if (result == TABLE_E_CORRUPT) {
		fault(check, "%s", error);
		return 0;
	}
	if (result)
		return result;
	result = table_verify(table);
	if (result == TABLE_E_CORRUPT) {
		fault(check, "%s", table_error(table));
		result = 0;
	} else if (!result) {
		result = check_entries(check, name, table);
		if (!result)
			check_references(check, name, &file->info);
	}
	table_close(table);
	return result;
}

static int check_frames(struct check *check, struct blob *blob)
{
	struct blob_frame frame;
	int result;

	blob_walk_begin(blob);
	do
		result = blob_walk_next(blob, &frame);
	while (!result);
	if (result == BLOB_E_CORRUPT)
		fault(check, "%s", blob_error(blob));
	return result < 0 ? result : 0;
}

static int check_blob(struct check *check, uint32_t index)
{
	const struct blob_file *file = check->kv->view->version->blobs[index];
	struct blob_options options = {.number = file->info.number};
	char name[IO_NAME_MAX + 1], error[KV_ERROR_SIZE];

	version_blob_name(file->info.number, name);
	memcpy(options.store, check->kv->files.store, sizeof(options.store));
	int result = blob_open(check->kv->io, name, &options, &check->blobs[index], error,
			       sizeof(error));
	if (result == BLOB_E_CORRUPT) {
		fault(check, "%s", error);
		return 0;
	}
	return result ? result : check_frames(check, check->blobs[index]);
}

/* Tables of a level from 1 on come one behind the other. */
static void check_order(struct check *check, unsigned level)
{
	const struct version *version = check->kv->view->version;

	for (uint32_t i = 1; i < version->counts[level]; i++)
		if (key_compare(version->levels[level][i - 1]->info.last,
				version->levels[level][i]->info.first) > 0)
			fault(check, "level %u: tables %" PRIu64 " and %" PRIu64 " overlap", level,
			      version->levels[level][i - 1]->info.number,
			      version->levels[level][i]->info.number);
}

static int check_all(struct check *check)
{
	const struct version *version = check->kv->view->version;
	int error = 0;

	for (uint32_t i = 0; !error && i < version->blob_count; i++)
		error = check_blob(check, i);
	for (unsigned level = 0; level < KV_LEVEL_MAX; level++) {
		if (level > 0)
			check_order(check, level);
		for (uint32_t i = 0; !error && i < version->counts[level]; i++)
			error = check_table(check, version->levels[level][i]);
	}
	return error;
}

int kv_verify(struct kv *kv, kv_report_fn report, void *context, uint64_t *ret_faults)
{
	const struct version *version = kv->view->version;
	struct check check = {
		.kv = kv,
		.report = report,
		.context = context,
		.blobs = calloc(version->blob_count + 1, sizeof(struct blob *)),
		.found = calloc(version->blob_count + 1, sizeof(uint64_t)),
	};
	int error = check.blobs && check.found ? check_all(&check) : -ENOMEM;

	for (uint32_t i = 0; check.blobs && i < version->blob_count; i++)
		blob_close(check.blobs[i]);
	table_pin_release(&check.pin);
	free(check.blobs);
	free(check.found);
	if (!error)
		*ret_faults = check.faults;
	return error;
}

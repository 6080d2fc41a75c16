/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/version.h"

#include "engine/ledger_book.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void version_table_name(uint64_t number, char name[IO_NAME_MAX + 1])
{
	snprintf(name, IO_NAME_MAX + 1, "table-%016" PRIx64, number);
}

void version_blob_name(uint64_t number, char name[IO_NAME_MAX + 1])
{
	snprintf(name, IO_NAME_MAX + 1, "blob-%016" PRIx64, number);
}

/* A number that no store comes to is of a file that isn't ours; behind the largest one they would
 * begin anew, with those of files that are there. */
#define VERSION_FILE_MAX (UINT64_MAX >> 2)

bool version_number(const char *name, uint64_t *ret_number, bool *ret_blob)
{
	const char *dash = strchr(name, '-');
	char expected[IO_NAME_MAX + 1];

	if (!dash)
		return false;
	uint64_t number = strtoull(dash + 1, NULL, 16);
	bool blob = name[0] == 'b';
	if (blob)
		version_blob_name(number, expected);
	else
		version_table_name(number, expected);
	if (strcmp(name, expected) != 0 || number > VERSION_FILE_MAX)
		return false;
	*ret_number = number;
	*ret_blob = blob;
	return true;
}

/* Notes a file for removal. Without memory it stays until the next opening removes it. */
static void doom(struct version_files *files, uint64_t number, bool blob)
{
	if (files->doomed_count == files->doomed_capacity) {
		uint32_t capacity = files->doomed_capacity ? 2 * files->doomed_capacity : 16;
		uint64_t *grown = realloc(files->doomed, capacity * sizeof(*grown));

		if (!grown)
			return;
		files->doomed = grown;
		files->doomed_capacity = capacity;
	}
	files->doomed[files->doomed_count++] = number << 1 | blob;
}

static void table_file_free(struct table_file *file)
{
	range_set_deinit(&file->ranges);
	table_close(file->table);
	ledger_table_deinit(&file->info);
	free(file);
}

/* What the ledger says has to be what the file says: another table of that name is none. */
static bool is_same(const struct table_summary *summary, const struct ledger_table *info)
{
	const struct entry_bytes first = {.bytes = summary->key_first,
					  .size = summary->key_first_size};
	const struct entry_bytes last = {.bytes = summary->key_last,
					 .size = summary->key_last_size};

	return summary->crc == info->crc && summary->size == info->size &&
	       summary->entries == info->entries && summary->seqno_min == info->seqno_min &&
	       summary->seqno_max == info->seqno_max && key_equal(first, info->first) &&
	       key_equal(last, info->last);
}

static int open_reader(const struct version_files *files, struct table_file *file, char *error,
		       size_t error_size)
{
	struct table_options options = {.seqno_global = file->info.seqno_global};
	char name[IO_NAME_MAX + 1];

	version_table_name(file->info.number, name);
	if (!file->info.foreign) {
		memcpy(options.store, files->store, sizeof(options.store));
		options.number = file->info.number;
	}
	int result = table_open(files->io, name, &options, &file->table, error, error_size);
	if (!result && !is_same(table_summary(file->table), &file->info)) {
		snprintf(error, error_size, "%s: offset 0: it isn't the table of the ledger", name);
		result = TABLE_E_CORRUPT;
	}
	for (uint32_t i = 0; !result && i < table_range_count(file->table); i++) {
		struct entry range = table_range(file->table, i);

		result = range_set_add(&file->ranges, &range);
	}
	return result;
}

int table_file_open(const struct version_files *files, const struct ledger_table *info,
		    struct table_file **ret_file, char *error, size_t error_size)
{
	struct table_file *file = calloc(1, sizeof(*file));

	if (!file)
		return -ENOMEM;
	file->refs = 1;
	int result = ledger_table_copy(info, &file->info);
	if (!result)
		result = open_reader(files, file, error, error_size);
	if (result) {
		table_file_free(file);
		return result;
	}
	*ret_file = file;
	return 0;
}

static void table_file_leave(struct version_files *files, struct table_file *file)
{
	if (file->doomed)
		doom(files, file->info.number, /* blob= */ false);
	table_file_free(file);
}

void table_file_put(struct version_files *files, struct table_file *file)
{
	if (--file->refs > 0)
		return;
	if (!table_is_read(file->table)) {
		table_file_leave(files, file);
		return;
	}
	file->next = files->leaving_tables;
	files->leaving_tables = file;
}

int blob_file_open(const struct version_files *files, const struct ledger_blob *info,
		   struct blob_file **ret_file, char *error, size_t error_size)
{
	struct blob_options options = {.number = info->number};
	struct blob_file *file = calloc(1, sizeof(*file));
	char name[IO_NAME_MAX + 1];

	if (!file)
		return -ENOMEM;
	version_blob_name(info->number, name);
	memcpy(options.store, files->store, sizeof(options.store));
	int result = blob_open(files->io, name, &options, &file->blob, error, error_size);
	if (!result && (blob_summary(file->blob)->size != info->size ||
			blob_summary(file->blob)->frame_bytes != info->frame_bytes)) {
		snprintf(error, error_size, "%s: offset 0: it isn't the file of the ledger", name);
		result = BLOB_E_CORRUPT;
	}
	if (result) {
		blob_close(file->blob);
		free(file);
		return result;
	}
	file->info = *info;
	file->refs = 1;
	*ret_file = file;
	return 0;
}

static void blob_file_leave(struct version_files *files, struct blob_file *file)
{
	if (file->doomed)
		doom(files, file->info.number, /* blob= */ true);
	blob_close(file->blob);
	free(file);
}

void blob_file_put(struct version_files *files, struct blob_file *file)
{
	if (--file->refs > 0)
		return;
	if (!blob_is_read(file->blob)) {
		blob_file_leave(files, file);
		return;
	}
	file->next = files->leaving_blobs;
	files->leaving_blobs = file;
}

void version_files_poll(struct version_files *files)
{
	struct table_file *tables = files->leaving_tables;
	struct blob_file *blobs = files->leaving_blobs;

	files->leaving_tables = NULL;
	files->leaving_blobs = NULL;
	while (tables) {
		struct table_file *file = tables;

		tables = file->next;
		file->refs = 1;
		table_file_put(files, file);
	}
	while (blobs) {
		struct blob_file *file = blobs;

		blobs = file->next;
		file->refs = 1;
		blob_file_put(files, file);
	}
}

bool version_files_are_leaving(const struct version_files *files)
{
	return files->leaving_tables || files->leaving_blobs;
}

void version_files_deinit(struct version_files *files)
{
	while (files->leaving_tables) {
		struct table_file *file = files->leaving_tables;

		files->leaving_tables = file->next;
		table_file_leave(files, file);
	}
	while (files->leaving_blobs) {
		struct blob_file *file = files->leaving_blobs;

		files->leaving_blobs = file->next;
		blob_file_leave(files, file);
	}
	free(files->doomed); /* goes at the next opening */
	files->doomed = NULL;
}

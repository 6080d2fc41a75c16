/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Files that an edit adds are opened past the cache, by whoever may block: the worker those that it
 * wrote, the owner those of the start. They are the owner's, and the cache's, from the version on
 * that has them.
 */

#include "engine/kv_internal.h"

#include <errno.h>
#include <stdlib.h>

static int allocate(const struct ledger_edit *edit, struct kv_files *files)
{
	if (!files->tables)
		files->tables = calloc(edit->add_count + UINT64_C(1), sizeof(struct table_file *));
	if (!files->blobs)
		files->blobs =
			calloc(edit->blob_add_count + UINT64_C(1), sizeof(struct blob_file *));
	return files->tables && files->blobs ? 0 : -ENOMEM;
}

int kv_files_open(const struct kv *kv, const struct ledger_edit *edit, struct kv_files *files,
		  char *error, size_t error_size)
{
	int result = allocate(edit, files);

	while (!result && files->table_count < edit->add_count) {
		result = table_file_open(&kv->files, &edit->adds[files->table_count],
					 &files->tables[files->table_count], error, error_size);
		if (result == TABLE_E_CORRUPT)
			return KV_E_CORRUPT;
		files->table_count += !result;
	}
	while (!result && files->blob_count < edit->blob_add_count) {
		result = blob_file_open(&kv->files, &edit->blob_adds[files->blob_count],
					&files->blobs[files->blob_count], error, error_size);
		if (result == BLOB_E_CORRUPT)
			return KV_E_CORRUPT;
		files->blob_count += !result;
	}
	return result;
}

int kv_files_version(struct kv *kv, const struct version *before, const struct ledger_edit *edit,
		     const struct kv_files *files, struct version **ret_version)
{
	const struct version_change change = {
		.adds = files->tables,
		.removes = edit->removes,
		.blob_adds = files->blobs,
		.blob_removes = edit->blob_removes,
		.add_count = files->table_count,
		.remove_count = edit->remove_count,
		.blob_add_count = files->blob_count,
		.blob_remove_count = edit->blob_remove_count,
	};
	int result = version_new(before, &change, ret_version);

	for (uint32_t i = 0; !result && i < files->table_count; i++)
		table_set_cache(files->tables[i]->table, kv->files.cache);
	for (uint32_t i = 0; !result && i < files->blob_count; i++)
		blob_set_cache(files->blobs[i]->blob, kv->files.cache);
	return result;
}

void kv_files_put(struct kv *kv, struct kv_files *files)
{
	for (uint32_t i = 0; i < files->table_count; i++)
		table_file_put(&kv->files, files->tables[i]);
	for (uint32_t i = 0; i < files->blob_count; i++)
		blob_file_put(&kv->files, files->blobs[i]);
	free(files->tables);
	free(files->blobs);
	*files = (struct kv_files){0};
}

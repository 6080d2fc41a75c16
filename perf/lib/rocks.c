/* SPDX-License-Identifier: Apache-2.0 */
#include "perf/lib/rocks.h"

#include "base/check.h"

#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>

struct rocks {
	rocksdb_options_t *options;
	rocksdb_readoptions_t *read;
	rocksdb_cache_t *cache;
	rocksdb_t *db;
	rocksdb_envoptions_t *env;
	rocksdb_sstfilewriter_t *writer; /* while it is written */
	char file[4200];
};

static void expect(char *error)
{
	if (!error)
		return;
	fprintf(stderr, "rocksdb: %s\n", error);
	exit(1);
}

static void set_options(struct rocks *rocks, const struct rocks_options *options)
{
	rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();

	rocks->cache = rocksdb_cache_create_lru(options->cache_size);
	rocksdb_block_based_options_set_block_size(table, options->block_size);
	rocksdb_block_based_options_set_filter_policy(table,
						      rocksdb_filterpolicy_create_bloom_full(10));
	rocksdb_block_based_options_set_block_cache(table, rocks->cache);
	rocksdb_block_based_options_set_format_version(table, 5);
	rocks->options = rocksdb_options_create();
	rocksdb_options_set_create_if_missing(rocks->options, 1);
	rocksdb_options_set_compression(rocks->options, options->compress ? rocksdb_zstd_compression
									  : rocksdb_no_compression);
	rocksdb_options_set_block_based_table_factory(rocks->options, table);
	rocksdb_block_based_options_destroy(table);
	rocks->read = rocksdb_readoptions_create();
}

void rocks_write_begin(const struct rocks_options *options, struct rocks **ret_rocks)
{
	struct rocks *rocks = calloc(1, sizeof(*rocks));
	char *error = NULL;

	CHECK(rocks != NULL);
	set_options(rocks, options);
	rocks->db = rocksdb_open(rocks->options, options->folder, &error);
	expect(error);
	rocks->env = rocksdb_envoptions_create();
	rocks->writer = rocksdb_sstfilewriter_create(rocks->env, rocks->options);
	snprintf(rocks->file, sizeof(rocks->file), "%s/ingested.sst", options->folder);
	rocksdb_sstfilewriter_open(rocks->writer, rocks->file, &error);
	expect(error);
	*ret_rocks = rocks;
}

void rocks_write(struct rocks *rocks, const void *key, size_t key_size, const void *value,
		 size_t value_size)
{
	char *error = NULL;

	rocksdb_sstfilewriter_put(rocks->writer, key, key_size, value, value_size, &error);
	expect(error);
}

void rocks_write_end(struct rocks *rocks)
{
	rocksdb_ingestexternalfileoptions_t *how = rocksdb_ingestexternalfileoptions_create();
	const char *files[] = {rocks->file};
	char *error = NULL;

	rocksdb_sstfilewriter_finish(rocks->writer, &error);
	expect(error);
	rocksdb_ingestexternalfileoptions_set_move_files(how, 1);
	rocksdb_ingest_external_file(rocks->db, files, 1, how, &error);
	expect(error);
	rocksdb_ingestexternalfileoptions_destroy(how);
	rocksdb_sstfilewriter_destroy(rocks->writer);
	rocksdb_envoptions_destroy(rocks->env);
	rocks_close(rocks);
}

struct rocks *rocks_open(const struct rocks_options *options)
{
	struct rocks *rocks = calloc(1, sizeof(*rocks));
	char *error = NULL;

	CHECK(rocks != NULL);
	set_options(rocks, options);
	rocks->db = rocksdb_open_for_read_only(rocks->options, options->folder, 0, &error);
	expect(error);
	return rocks;
}

void rocks_close(struct rocks *rocks)
{
	rocksdb_close(rocks->db);
	rocksdb_readoptions_destroy(rocks->read);
	rocksdb_options_destroy(rocks->options);
	rocksdb_cache_destroy(rocks->cache);
	free(rocks);
}

size_t rocks_get(struct rocks *rocks, const void *key, size_t key_size)
{
	char *error = NULL;
	rocksdb_pinnableslice_t *pinned =
		rocksdb_get_pinned(rocks->db, rocks->read, key, key_size, &error);
	size_t size = 0;

	expect(error);
	if (pinned) {
		(void)rocksdb_pinnableslice_value(pinned, &size);
		rocksdb_pinnableslice_destroy(pinned);
	}
	return size;
}

uint64_t rocks_scan(struct rocks *rocks)
{
	rocksdb_iterator_t *iterator = rocksdb_create_iterator(rocks->db, rocks->read);
	uint64_t count = 0;

	for (rocksdb_iter_seek_to_first(iterator); rocksdb_iter_valid(iterator);
	     rocksdb_iter_next(iterator)) {
		size_t size;

		(void)rocksdb_iter_key(iterator, &size);
		(void)rocksdb_iter_value(iterator, &size);
		count++;
	}
	rocksdb_iter_destroy(iterator);
	return count;
}

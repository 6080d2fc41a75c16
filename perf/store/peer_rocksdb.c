/* SPDX-License-Identifier: Apache-2.0 */

/* RocksDB with sync writes; a leader writes for the threads that wait, which is its group commit.
 */

#include "perf/store/peer.h"

#include <rocksdb/c.h>
#include <stdlib.h>
#include <string.h>

struct database {
	rocksdb_t *handle;
	rocksdb_options_t *options;
	rocksdb_writeoptions_t *synced;
	rocksdb_writeoptions_t *unsynced;
	rocksdb_readoptions_t *reads;
};

static void need(char *error)
{
	if (error != NULL)
		peer_die("rocksdb", error);
}

static void *rocks_open(const char *folder)
{
	struct database *database = calloc(1, sizeof(*database));
	char *error = NULL;
	if (database == NULL)
		peer_die("rocksdb", "no memory");

	rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
	rocksdb_block_based_options_set_filter_policy(table, rocksdb_filterpolicy_create_bloom(10));
	rocksdb_block_based_options_set_block_cache(table, rocksdb_cache_create_lru(64 << 20));
	database->options = rocksdb_options_create();
	rocksdb_options_set_create_if_missing(database->options, 1);
	rocksdb_options_set_block_based_table_factory(database->options, table);
	rocksdb_options_set_write_buffer_size(database->options, 32 << 20);
	rocksdb_options_set_recycle_log_file_num(database->options, 4);
	database->synced = rocksdb_writeoptions_create();
	rocksdb_writeoptions_set_sync(database->synced, 1);
	database->unsynced = rocksdb_writeoptions_create();
	database->reads = rocksdb_readoptions_create();
	database->handle = rocksdb_open(database->options, folder, &error);
	need(error);
	return database;
}

static void rocks_close(void *context)
{
	struct database *database = context;

	rocksdb_close(database->handle);
	rocksdb_options_destroy(database->options);
	rocksdb_writeoptions_destroy(database->synced);
	rocksdb_writeoptions_destroy(database->unsynced);
	rocksdb_readoptions_destroy(database->reads);
	free(database);
}

static void *rocks_session_new(void *database)
{
	return database;
}

static void rocks_session_free(void *session)
{
}

static void rocks_put(void *context, const uint8_t *key, const uint8_t *value, size_t value_size)
{
	struct database *database = context;
	char *error = NULL;

	rocksdb_put(database->handle, database->synced, (const char *)key, PEER_KEY_SIZE,
		    (const char *)value, value_size, &error);
	need(error);
}

static void rocks_load(void *context, peer_next_fn next, void *next_context, uint32_t count,
		       size_t value_size)
{
	struct database *database = context;
	uint8_t key[PEER_KEY_SIZE];
	uint8_t *value = malloc(value_size);
	rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
	char *error = NULL;
	if (value == NULL)
		peer_die("rocksdb", "no memory");

	for (uint32_t i = 0; i < count; i++) {
		next(next_context, i, key, value);
		rocksdb_writebatch_put(batch, (const char *)key, PEER_KEY_SIZE, (const char *)value,
				       value_size);
		if (i % 1000 == 999 || i + 1 == count) {
			rocksdb_write(database->handle,
				      i + 1 == count ? database->synced : database->unsynced, batch,
				      &error);
			need(error);
			rocksdb_writebatch_clear(batch);
		}
	}
	rocksdb_writebatch_destroy(batch);
	free(value);
	rocksdb_flushoptions_t *flush = rocksdb_flushoptions_create();
	rocksdb_flush(database->handle, flush, &error);
	need(error);
	rocksdb_flushoptions_destroy(flush);
	rocksdb_compact_range(database->handle, NULL, 0, NULL, 0);
}

static size_t rocks_get(void *context, const uint8_t *key, uint8_t *value, size_t value_max)
{
	struct database *database = context;
	char *error = NULL;
	rocksdb_pinnableslice_t *slice = rocksdb_get_pinned(
		database->handle, database->reads, (const char *)key, PEER_KEY_SIZE, &error);
	size_t size = 0;

	need(error);
	if (slice == NULL)
		return 0;
	const char *bytes = rocksdb_pinnableslice_value(slice, &size);
	size = size < value_max ? size : value_max;
	memcpy(value, bytes, size);
	rocksdb_pinnableslice_destroy(slice);
	return size;
}

static uint32_t rocks_scan(void *context, const uint8_t *key, uint32_t max, uint64_t *ret_bytes)
{
	struct database *database = context;
	rocksdb_iterator_t *iterator = rocksdb_create_iterator(database->handle, database->reads);
	uint32_t count = 0;
	uint64_t bytes = 0;
	size_t size;

	rocksdb_iter_seek(iterator, (const char *)key, PEER_KEY_SIZE);
	for (; rocksdb_iter_valid(iterator) && count < max; rocksdb_iter_next(iterator)) {
		(void)rocksdb_iter_key(iterator, &size);
		bytes += size;
		(void)rocksdb_iter_value(iterator, &size);
		bytes += size;
		count++;
	}
	rocksdb_iter_destroy(iterator);
	*ret_bytes = bytes;
	return count;
}

const struct peer_ops peer_rocksdb = {
	.name = "rocksdb",
	.open = rocks_open,
	.close = rocks_close,
	.session_new = rocks_session_new,
	.session_free = rocks_session_free,
	.put = rocks_put,
	.load = rocks_load,
	.get = rocks_get,
	.scan = rocks_scan,
};

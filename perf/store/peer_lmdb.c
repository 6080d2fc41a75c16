/* SPDX-License-Identifier: Apache-2.0 */

/* LMDB as it is: a commit writes the changed pages and syncs. */

#include "perf/store/peer.h"

#include <lmdb.h>
#include <stdlib.h>
#include <string.h>

struct database {
	MDB_env *environment;
	MDB_dbi keys;
};

static void need(int r)
{
	if (r != 0)
		peer_die("lmdb", mdb_strerror(r));
}

static void *lmdb_open(const char *folder)
{
	struct database *database = calloc(1, sizeof(*database));
	MDB_txn *transaction;
	if (database == NULL)
		peer_die("lmdb", "no memory");

	need(mdb_env_create(&database->environment));
	need(mdb_env_set_mapsize(database->environment, (size_t)8 << 30));
	need(mdb_env_open(database->environment, folder, 0, 0600));
	need(mdb_txn_begin(database->environment, NULL, 0, &transaction));
	need(mdb_dbi_open(transaction, NULL, 0, &database->keys));
	need(mdb_txn_commit(transaction));
	return database;
}

static void lmdb_close(void *context)
{
	struct database *database = context;

	mdb_env_close(database->environment);
	free(database);
}

static void *lmdb_session_new(void *database)
{
	return database;
}

static void lmdb_session_free(void *session)
{
}

static void put_in(struct database *database, MDB_txn *transaction, const uint8_t *key,
		   const uint8_t *value, size_t value_size)
{
	MDB_val k = {PEER_KEY_SIZE, (void *)key};
	MDB_val v = {value_size, (void *)value};

	need(mdb_put(transaction, database->keys, &k, &v, 0));
}

static void lmdb_put(void *context, const uint8_t *key, const uint8_t *value, size_t value_size)
{
	struct database *database = context;
	MDB_txn *transaction;

	need(mdb_txn_begin(database->environment, NULL, 0, &transaction));
	put_in(database, transaction, key, value, value_size);
	need(mdb_txn_commit(transaction));
}

static void lmdb_load(void *context, peer_next_fn next, void *next_context, uint32_t count,
		      size_t value_size)
{
	struct database *database = context;
	MDB_txn *transaction = NULL;
	uint8_t key[PEER_KEY_SIZE];
	uint8_t *value = malloc(value_size);
	if (value == NULL)
		peer_die("lmdb", "no memory");

	for (uint32_t i = 0; i < count; i++) {
		if (i % 1000 == 0)
			need(mdb_txn_begin(database->environment, NULL, 0, &transaction));
		next(next_context, i, key, value);
		put_in(database, transaction, key, value, value_size);
		if (i % 1000 == 999 || i + 1 == count)
			need(mdb_txn_commit(transaction));
	}
	free(value);
}

static size_t lmdb_get(void *context, const uint8_t *key, uint8_t *value, size_t value_max)
{
	struct database *database = context;
	MDB_txn *transaction;
	MDB_val k = {PEER_KEY_SIZE, (void *)key};
	MDB_val v = {0};

	need(mdb_txn_begin(database->environment, NULL, MDB_RDONLY, &transaction));
	int r = mdb_get(transaction, database->keys, &k, &v);
	size_t size = v.mv_size < value_max ? v.mv_size : value_max;
	if (r == 0)
		memcpy(value, v.mv_data, size);
	else if (r != MDB_NOTFOUND)
		need(r);
	mdb_txn_abort(transaction);
	return r == 0 ? size : 0;
}

static uint32_t lmdb_scan(void *context, const uint8_t *key, uint32_t max, uint64_t *ret_bytes)
{
	struct database *database = context;
	MDB_txn *transaction;
	MDB_cursor *cursor;
	MDB_val k = {PEER_KEY_SIZE, (void *)key};
	MDB_val v;
	uint32_t count = 0;
	uint64_t bytes = 0;

	need(mdb_txn_begin(database->environment, NULL, MDB_RDONLY, &transaction));
	need(mdb_cursor_open(transaction, database->keys, &cursor));
	int r = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
	for (; r == 0 && count < max; r = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) {
		bytes += k.mv_size + v.mv_size;
		count++;
	}
	if (r != 0 && r != MDB_NOTFOUND)
		need(r);
	mdb_cursor_close(cursor);
	mdb_txn_abort(transaction);
	*ret_bytes = bytes;
	return count;
}

const struct peer_ops peer_lmdb = {
	.name = "lmdb",
	.open = lmdb_open,
	.close = lmdb_close,
	.session_new = lmdb_session_new,
	.session_free = lmdb_session_free,
	.put = lmdb_put,
	.load = lmdb_load,
	.get = lmdb_get,
	.scan = lmdb_scan,
};

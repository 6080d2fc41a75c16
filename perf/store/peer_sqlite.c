/* SPDX-License-Identifier: Apache-2.0 */

/* SQLite with its write-ahead log and synchronous = FULL: a commit returns when it is synced. */

#include "perf/lib/sql.h"
#include "perf/store/peer.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct database {
	char path[PATH_MAX];
};

struct session {
	sqlite3 *handle;
	sqlite3_stmt *put;
	sqlite3_stmt *get;
	sqlite3_stmt *scan;
};

static sqlite3 *connect_to(const char *path)
{
	sqlite3 *handle;

	if (sqlite3_open(path, &handle) != SQLITE_OK)
		peer_die("sqlite", sqlite3_errmsg(handle));
	sqlite3_busy_timeout(handle, 60000);
	sql_do(handle, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = "
		       "-65536; PRAGMA mmap_size = 1073741824;");
	return handle;
}

static void *sqlite_open(const char *folder)
{
	struct database *database = calloc(1, sizeof(*database));
	if (database == NULL)
		peer_die("sqlite", "no memory");

	snprintf(database->path, sizeof(database->path), "%s/db", folder);
	sqlite3 *handle = connect_to(database->path);
	sql_do(handle, "CREATE TABLE IF NOT EXISTS kv (k BLOB PRIMARY KEY, v BLOB) WITHOUT ROWID;");
	sqlite3_close(handle);
	return database;
}

static void *sqlite_session_new(void *context)
{
	struct database *database = context;
	struct session *session = calloc(1, sizeof(*session));
	if (session == NULL)
		peer_die("sqlite", "no memory");

	session->handle = connect_to(database->path);
	session->put = sql_prepare(session->handle, "INSERT OR REPLACE INTO kv VALUES (?1, ?2)");
	session->get = sql_prepare(session->handle, "SELECT v FROM kv WHERE k = ?1");
	session->scan = sql_prepare(session->handle,
				    "SELECT k, v FROM kv WHERE k >= ?1 ORDER BY k LIMIT ?2");
	return session;
}

static void sqlite_session_free(void *context)
{
	struct session *session = context;

	sqlite3_finalize(session->put);
	sqlite3_finalize(session->get);
	sqlite3_finalize(session->scan);
	sqlite3_close(session->handle);
	free(session);
}

static void sqlite_put(void *context, const uint8_t *key, const uint8_t *value, size_t value_size)
{
	struct session *session = context;

	sqlite3_bind_blob(session->put, 1, key, PEER_KEY_SIZE, SQLITE_STATIC);
	sqlite3_bind_blob(session->put, 2, value, (int)value_size, SQLITE_STATIC);
	if (sqlite3_step(session->put) != SQLITE_DONE)
		peer_die("sqlite", sqlite3_errmsg(session->handle));
	sqlite3_reset(session->put);
}

static void sqlite_load(void *context, peer_next_fn next, void *next_context, uint32_t count,
			size_t value_size)
{
	struct session *session = context;
	uint8_t key[PEER_KEY_SIZE];
	uint8_t *value = malloc(value_size);
	if (value == NULL)
		peer_die("sqlite", "no memory");

	for (uint32_t i = 0; i < count; i++) {
		if (i % 1000 == 0)
			sql_do(session->handle, "BEGIN");
		next(next_context, i, key, value);
		sqlite_put(session, key, value, value_size);
		if (i % 1000 == 999 || i + 1 == count)
			sql_do(session->handle, "COMMIT");
	}
	sql_do(session->handle, "PRAGMA wal_checkpoint(TRUNCATE)");
	free(value);
}

static size_t sqlite_get(void *context, const uint8_t *key, uint8_t *value, size_t value_max)
{
	struct session *session = context;
	size_t size = 0;

	sqlite3_bind_blob(session->get, 1, key, PEER_KEY_SIZE, SQLITE_STATIC);
	if (sqlite3_step(session->get) == SQLITE_ROW) {
		size = (size_t)sqlite3_column_bytes(session->get, 0);
		size = size < value_max ? size : value_max;
		memcpy(value, sqlite3_column_blob(session->get, 0), size);
	}
	sqlite3_reset(session->get);
	return size;
}

static uint32_t sqlite_scan(void *context, const uint8_t *key, uint32_t max, uint64_t *ret_bytes)
{
	struct session *session = context;
	uint32_t count = 0;
	uint64_t bytes = 0;

	sqlite3_bind_blob(session->scan, 1, key, PEER_KEY_SIZE, SQLITE_STATIC);
	sqlite3_bind_int64(session->scan, 2, max);
	while (sqlite3_step(session->scan) == SQLITE_ROW) {
		bytes += (uint64_t)sqlite3_column_bytes(session->scan, 0) +
			 (uint64_t)sqlite3_column_bytes(session->scan, 1);
		count++;
	}
	sqlite3_reset(session->scan);
	*ret_bytes = bytes;
	return count;
}

const struct peer_ops peer_sqlite = {
	.name = "sqlite",
	.open = sqlite_open,
	.close = free,
	.session_new = sqlite_session_new,
	.session_free = sqlite_session_free,
	.put = sqlite_put,
	.load = sqlite_load,
	.get = sqlite_get,
	.scan = sqlite_scan,
};

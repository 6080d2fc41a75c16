/* SPDX-License-Identifier: Apache-2.0 */

/* No store: what a log writes for each change, written and synced, and nothing else. */

#include "engine/wal_format.h"
#include "perf/lib/raw_log.h"
#include "perf/store/peer.h"

#include <stdlib.h>
#include <string.h>

#define LOG_SIZE   (UINT64_C(64) << 20)
#define BLOCK_SIZE 4096

struct database {
	struct raw_log *log;
	uint64_t end; /* of what was appended */
};

static void *raw_open(const char *folder)
{
	struct database *database = calloc(1, sizeof(*database));
	if (database == NULL)
		peer_die("raw", "no memory");

	int r = raw_log_open(folder, RAW_LOG_DIRECT, LOG_SIZE, &database->log);
	if (r != 0)
		peer_die("raw", strerror(-r));
	return database;
}

static void raw_close(void *context)
{
	struct database *database = context;

	raw_log_close(database->log);
	free(database);
}

static void *raw_session_new(void *database)
{
	return database;
}

static void raw_session_free(void *session)
{
}

/* The frames of the change and of the log's own record, in whole blocks: the one that was begun is
 * written again. */
static void raw_put(void *context, const uint8_t *key, const uint8_t *value, size_t value_size)
{
	struct database *database = context;
	const struct record set = {
		.type = RECORD_KV_SET,
		.kv = {.key = {key, PEER_KEY_SIZE}, .value = {value, (uint32_t)value_size}},
	};
	const struct record durable = {.type = RECORD_DURABLE};
	uint64_t begin = database->end / BLOCK_SIZE;

	database->end += 2 * WAL_FRAME_HEAD + record_size(&set) + record_size(&durable);
	uint64_t blocks = database->end / BLOCK_SIZE + 1 - begin;
	(void)raw_log_write(database->log, (uint32_t)blocks * BLOCK_SIZE);
}

const struct peer_ops peer_raw = {
	.name = "raw",
	.open = raw_open,
	.close = raw_close,
	.session_new = raw_session_new,
	.session_free = raw_session_free,
	.put = raw_put,
};

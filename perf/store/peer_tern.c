/* SPDX-License-Identifier: Apache-2.0 */

#include "base/clock.h"
#include "engine/io.h"
#include "engine/store.h"
#include "perf/store/peer.h"

#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WRITERS_MAX 256

struct database {
	struct io *io;
	struct store *store;
};

static void need(int r, const char *what)
{
	if (r != 0)
		peer_die(what, r < 0 ? strerror(-r) : "refused");
}

/* The owner polls on a core of its own, as in a node; the others' threads have all cores. */
static void pin(bool on)
{
	long online = sysconf(_SC_NPROCESSORS_ONLN);
	cpu_set_t cores;

	CPU_ZERO(&cores);
	for (long cpu = on ? online - 1 : 0; cpu < online; cpu++)
		CPU_SET(cpu, &cores);
	(void)sched_setaffinity(0, sizeof(cores), &cores);
}

static void *tern_open(const char *folder)
{
	struct database *database = calloc(1, sizeof(*database));
	struct store_options options = {.create = true};
	char error[256];

	if (database == NULL)
		peer_die("tern", "no memory");
	pin(true);
	if (io_ring_new(folder, true, &database->io) != 0)
		need(io_plain_new(folder, true, &database->io), "tern: folder");
	if (store_open(database->io, &options, &database->store, error, sizeof(error)) != 0)
		peer_die("tern", error);
	pin(false);
	return database;
}

static void tern_close(void *context)
{
	struct database *database = context;

	need(store_close(database->store), "tern: close");
	io_free(database->io);
	free(database);
}

static void *tern_session_new(void *database)
{
	return database;
}

static void tern_session_free(void *session)
{
}

static void work(struct database *database)
{
	enum kv_need need_of;

	need(store_work(database->store, clock_now_ns(), &need_of), "tern: work");
	if (need_of == KV_NEED_JOB) {
		int r = store_job(database->store);
		if (r != STORE_E_IDLE)
			need(r, "tern: job");
	}
}

static uint64_t commit(struct database *database, enum store_durability durability)
{
	uint64_t lsn;
	int r;

	while ((r = store_commit(database->store, durability, &lsn)) == STORE_E_BUSY)
		work(database);
	need(r, "tern: commit");
	return lsn;
}

static void stage(struct database *database, const uint8_t *key, const uint8_t *value,
		  size_t value_size)
{
	struct store_put put = {
		.key = {.bytes = key, .size = PEER_KEY_SIZE},
		.value = {.bytes = value, .size = (uint32_t)value_size},
	};

	need(store_put(database->store, &put), "tern: put");
}

static void tern_put(void *session, const uint8_t *key, const uint8_t *value, size_t value_size)
{
	struct database *database = session;

	stage(database, key, value, value_size);
	uint64_t lsn = commit(database, STORE_SYNC);
	need(store_sync(database->store), "tern: sync");
	if (lsn % 64 == 0)
		work(database);
}

static void tern_load(void *session, peer_next_fn next, void *context, uint32_t count,
		      size_t value_size)
{
	struct database *database = session;
	uint8_t key[PEER_KEY_SIZE];
	uint8_t *value = malloc(value_size);
	if (value == NULL)
		peer_die("tern", "no memory");

	for (uint32_t i = 0; i < count; i++) {
		next(context, i, key, value);
		stage(database, key, value, value_size);
		if (i % 1000 == 999 || i + 1 == count) {
			(void)commit(database, STORE_NONE);
			work(database);
		}
	}
	free(value);
	need(store_checkpoint(database->store), "tern: checkpoint");
	kv_compact(store_kv(database->store));
	need(store_settle(database->store), "tern: settle");
}

static size_t tern_get(void *session, const uint8_t *key, uint8_t *value, size_t value_max)
{
	struct database *database = session;
	struct entry entry;
	int r = kv_get(store_kv(database->store), (struct entry_bytes){key, PEER_KEY_SIZE}, 0, 0,
		       &entry);
	if (r == KV_E_ABSENT)
		return 0;

	need(r, "tern: get");
	size_t size = entry.value.size < value_max ? entry.value.size : value_max;
	memcpy(value, entry.value.bytes, size);
	return size;
}

static uint32_t tern_scan(void *session, const uint8_t *key, uint32_t max, uint64_t *ret_bytes)
{
	struct database *database = session;
	struct kv_cursor *cursor;
	uint32_t count = 0;
	uint64_t bytes = 0;

	need(kv_cursor_new(store_kv(database->store), 0, 0, &cursor), "tern: cursor");
	int r = kv_cursor_seek(cursor, (struct entry_bytes){key, PEER_KEY_SIZE});
	for (; r == 0 && count < max; r = kv_cursor_next(cursor)) {
		const struct entry *entry = kv_cursor_entry(cursor);
		bytes += entry->key.size + entry->value.size;
		count++;
	}
	if (r != 0 && r != KV_E_ABSENT)
		need(r, "tern: scan");
	kv_cursor_free(cursor);
	*ret_bytes = bytes;
	return count;
}

/* Each writer has one change under way; those that wait share a sync. */
static uint64_t tern_many(void *context, uint32_t writers, peer_next_fn next, void *next_context,
			  size_t value_size, uint64_t until_ns)
{
	struct database *database = context;
	uint64_t waits[WRITERS_MAX] = {0};
	uint8_t key[PEER_KEY_SIZE];
	uint8_t *value = malloc(value_size);
	uint64_t done = 0;
	uint64_t now_ns;
	if (value == NULL || writers > WRITERS_MAX)
		peer_die("tern", "too many writers");

	pin(true);
	while ((now_ns = clock_now_ns()) < until_ns) {
		for (uint32_t i = 0; i < writers; i++) {
			if (waits[i] != 0 && !store_is_done(database->store, waits[i]))
				continue;
			done += waits[i] != 0;
			next(next_context, i, key, value);
			stage(database, key, value, value_size);
			waits[i] = commit(database, STORE_SYNC);
		}
		need(store_poll(database->store, now_ns), "tern: poll");
		if (done % 4096 < writers)
			work(database);
	}
	need(store_sync(database->store), "tern: sync");
	pin(false);
	free(value);
	return done;
}

const struct peer_ops peer_tern = {
	.name = "tern",
	.open = tern_open,
	.close = tern_close,
	.session_new = tern_session_new,
	.session_free = tern_session_free,
	.put = tern_put,
	.load = tern_load,
	.get = tern_get,
	.scan = tern_scan,
	.many = tern_many,
};

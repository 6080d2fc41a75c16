/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/store.h"

#include "base/byteorder.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/defs.h"
#include "engine/edge.h"
#include "engine/recover.h"
#include "engine/store_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LOG_SIZE_DEFAULT (UINT64_C(256) << 20)
#define GROUP_NS_DEFAULT (2 * NS_PER_MS)

/* Opening begins a segment of the log; from so many on it makes a checkpoint, which lets them go.
 */
#define SEGMENTS_MAX 8

/* The log's buffers hold the largest staged transaction and the pages that it changes. */
#define LOG_BUFFER_DEFAULT (UINT32_C(16) << 20)

uint64_t store_clock(const struct store *store)
{
	const struct kv_options *kv = &store->options.kv;

	return kv->clock != NULL ? kv->clock(kv->clock_context) : (uint64_t)time(NULL);
}

int store_refuse(struct store *store, const char *what)
{
	snprintf(store->error, sizeof(store->error), "%s", what);
	return STORE_E_CORRUPT;
}

const char *store_error(const struct store *store)
{
	return store->error;
}

struct kv *store_kv(struct store *store)
{
	return store->kv;
}

struct pager *store_pager(struct store *store)
{
	return store->pager;
}

struct wal *store_wal(struct store *store)
{
	return store->wal;
}

struct ledger *store_ledger(struct store *store)
{
	return store->ledger;
}

struct retention *store_retention(struct store *store)
{
	return store->retention;
}

const uint8_t *store_uuid(const struct store *store)
{
	return ledger_store(store->ledger);
}

bool store_polls(const struct store *store)
{
	return store->options.polls;
}

static void options_complete(struct store_options *options)
{
	if (options->log_size == 0)
		options->log_size = LOG_SIZE_DEFAULT;
	if (options->group_ns == 0)
		options->group_ns = GROUP_NS_DEFAULT;
	if (options->wal.buffer_size == 0)
		options->wal.buffer_size = LOG_BUFFER_DEFAULT;
}

static int open_ledger(struct store *store, char *error, size_t error_size)
{
	struct ledger_options options = {.create = store->options.create};
	int r = ledger_open(store->io, &options, &store->ledger, error, error_size);

	switch (r) {
	case LEDGER_E_ABSENT:
		snprintf(error, error_size, "there is no store in the folder");
		return STORE_E_ABSENT;
	case LEDGER_E_CORRUPT:
		return STORE_E_CORRUPT;
	default:
		return r;
	}
}

static int open_retention(struct store *store, char *error, size_t error_size)
{
	int r = retention_open(store->io, store->ledger, &store->options.history,
			       &store->retention);

	if (r != RETENTION_E_CORRUPT)
		return r;
	snprintf(error, error_size, "history: damaged; without the file more history is kept");
	return STORE_E_CORRUPT;
}

static int open_kv(struct store *store, char *error, size_t error_size)
{
	int r = kv_open(store->io, store->ledger, &store->options.kv, &store->kv, error,
			error_size);

	return r == KV_E_CORRUPT ? STORE_E_CORRUPT : r;
}

/* Until the first checkpoint recovery makes the pages anew, from the log's first record on. */
static int open_pager(struct store *store, char *error, size_t error_size)
{
	const struct ledger_state *state = ledger_state(store->ledger);
	struct pager_options options = {
		.cache_pages = store->options.cache_pages,
		.state = state->has_pages ? state->pages.state : (struct pager_state){.lsn = 1},
		.store = ledger_store(store->ledger),
		.create = !state->has_pages,
		.queued = true,
	};
	char why[PAGE_ERROR_MAX];

	store->checkpoint_lsn = options.state.lsn;
	if (store_graph_is_lost(store))
		return 0;
	int r = pager_open(store->io, NULL, &options, &store->pager, why);
	if (r == PAGER_E_CORRUPT && store->options.salvage)
		return store_graph_forget(store);
	if (r == PAGER_E_CORRUPT) {
		snprintf(error, error_size, "%s", why);
		return STORE_E_CORRUPT;
	}
	return r;
}

static int forget_pages(void *context)
{
	return store_graph_forget(context);
}

static int recover(struct store *store, struct recover_result *ret_result, char *error,
		   size_t error_size)
{
	uint64_t flushed = kv_flushed(store->kv);
	struct recover_options options = {
		.from = MIN(flushed + 1, store->checkpoint_lsn),
		.pages_from = store->checkpoint_lsn,
		.store = load_le32(ledger_store(store->ledger)),
		.known = MAX(flushed, store->checkpoint_lsn - 1),
		.log = ledger_state(store->ledger)->log,
		.salvage = store->options.salvage,
		.forget_pages = forget_pages,
		.context = store,
	};
	uint64_t began_ns = clock_now_ns();
	int r = recover_run(store->io, &options, store->kv, store->pager, ret_result, error,
			    error_size);
	if (r == RECOVER_E_CORRUPT)
		return STORE_E_CORRUPT;
	if (r != 0)
		return r;

	store->recovery = (struct store_recovery){
		.records = ret_result->records,
		.applied = ret_result->applied,
		.bytes = ret_result->bytes,
		.dropped = ret_result->dropped,
		.severed = ret_result->severed,
		.holes = ret_result->holes,
		.torn_lsn = ret_result->torn_lsn,
		.salvaged_bytes = ret_result->salvaged_bytes,
		.missing = ret_result->missing,
		.memory = ret_result->memory,
		.ns = clock_now_ns() - began_ns,
	};
	return 0;
}

static void close_pager(struct store *store)
{
	pager_close(store->pager);
	store->pager = NULL;
}

/* A rollback, so that nothing that follows is taken for a part of what the log ended in. */
static int end_transaction(struct store *store, uint64_t tx)
{
	struct record record = {
		.type = RECORD_TRANSACTION_ROLLBACK,
		.timestamp = store_clock(store),
		.transaction.tx = tx,
	};
	int r = wal_append(store->wal, &record);

	CHECK(r == 0);
	/* If it were lost, what follows would be too, and the next opening finds the same end: the
	 * sync only keeps it from being lost often. */
	return wal_sync(store->wal);
}

/* The log goes on in a segment of its own. What was read is visible. */
static int continue_log(struct store *store, const struct recover_result *recovered)
{
	struct wal_options options = store->options.wal;

	options.next_lsn = recovered->next_lsn;
	options.store = load_le32(ledger_store(store->ledger));
	int r = wal_open(store->io, &options, &store->wal);
	if (r == 0 && recovered->has_open_tx)
		r = end_transaction(store, recovered->open_tx);
	if (r < 0)
		return r;

	store->tx = recovered->next_lsn;
	store->committed = recovered->next_lsn - 1;
	store->acknowledged = store->committed;
	kv_set_durable(store->kv, store->committed);
	kv_set_visible(store->kv, store->committed);
	return 0;
}

/* The trees that recovery left, or new ones. */
static int open_trees(struct store *store)
{
	pager_attach(store->pager, store->wal);
	int r = edge_open(store->pager, store_clock(store));
	return r == EDGE_E_CORRUPT ? store_refuse(store, pager_error(store->pager)) : r;
}

/* Salvage looks at all of it. Where the key space can't tell, the graph stays as it is. */
static int check_graph(struct store *store)
{
	bool well = false;
	int opened = open_trees(store);
	int r = opened < 0 ? opened : store_graph_check(store, &well);

	if (r < 0 || well)
		return r;
	if (r == STORE_E_CORRUPT)
		return opened;
	close_pager(store);
	return store_graph_forget(store);
}

static int open_graph(struct store *store, char *error, size_t error_size)
{
	int r = 0;

	if (store->pager != NULL)
		r = store->options.salvage ? check_graph(store) : open_trees(store);
	if (r == 0 && store->pager == NULL)
		r = store_graph_make(store);
	if (r > 0)
		snprintf(error, error_size, "%s", store->error);
	if (r == 0)
		store->committed = wal_position(store->wal).next - 1;
	return r;
}

static int open_parts(struct store *store, char *error, size_t error_size)
{
	struct recover_result recovered;
	int r = io_lock(store->io);
	if (r == IO_E_LOCKED) {
		snprintf(error, error_size, "another process has the store open");
		return STORE_E_LOCKED;
	}
	if (r < 0)
		return r;
	r = open_ledger(store, error, error_size);
	if (r != 0)
		return r;
	r = open_retention(store, error, error_size);
	if (r != 0)
		return r;
	r = open_kv(store, error, error_size);
	if (r != 0)
		return r;
	r = open_pager(store, error, error_size);
	if (r != 0)
		return r;
	r = changes_init(CHANGES_COUNT_MAX, CHANGES_SIZE_MAX, &store->changes);
	if (r < 0)
		return r;
	r = recover(store, &recovered, error, error_size);
	if (r != 0)
		return r;
	r = kv_clean(store->kv);
	if (r < 0)
		return r;
	if (recovered.pages_lost)
		close_pager(store);
	r = continue_log(store, &recovered);
	if (r == 0)
		r = store_tell_log(store);
	if (r == 0)
		r = open_graph(store, error, error_size);
	if (r != 0 || (recovered.segments < SEGMENTS_MAX && !recovered.salvaged &&
		       !store->recovery.graph_made))
		return r;
	r = store_checkpoint(store);
	if (r > 0)
		snprintf(error, error_size, "%s", store->error);
	return r;
}

static void free_parts(struct store *store)
{
	wal_close(store->wal);
	pager_close(store->pager);
	kv_close(store->kv);
	retention_close(store->retention);
	ledger_close(store->ledger);
	changes_deinit(&store->changes);
	free(store);
}

int store_open(struct io *io, const struct store_options *options, struct store **ret_store,
	       char *error, size_t error_size)
{
	struct store *store = calloc(1, sizeof(*store));
	if (store == NULL)
		return -ENOMEM;

	store->io = io;
	store->options = *options;
	options_complete(&store->options);
	error[0] = '\0';
	int r = open_parts(store, error, error_size);
	if (r < 0 && error[0] == '\0')
		snprintf(error, error_size, "%s", strerror(-r));
	if (r != 0) {
		free_parts(store);
		return r;
	}
	if (options->polls)
		pager_set_polls(store->pager, true);
	*ret_store = store;
	return 0;
}

int store_close(struct store *store)
{
	if (store == NULL)
		return 0;

	store_rollback(store);
	int r = store_sync(store);
	if (r == 0)
		r = store_tell_log(store);
	int saved = retention_save(store->retention, store_clock(store),
				   wal_position(store->wal).durable);
	free_parts(store);
	return r != 0 ? r : saved;
}

void store_note_durable(struct store *store)
{
	uint64_t durable = wal_position(store->wal).durable;

	kv_set_durable(store->kv, durable);
	kv_set_visible(store->kv, MAX(durable, store->acknowledged));
}

bool store_is_done(const struct store *store, uint64_t lsn)
{
	return wal_position(store->wal).durable >= lsn;
}

/* Whether what was appended is to be synced by now. */
static bool flush_is_due(struct store *store, uint64_t now_ns)
{
	if (store->flush_wanted)
		return true;
	if (!store->flush_later)
		return false;
	if (store->flush_ns == 0)
		store->flush_ns = now_ns + store->later_ns;
	return now_ns >= store->flush_ns;
}

static void forget_flush(struct store *store)
{
	store->flush_wanted = false;
	store->flush_later = false;
	store->flush_ns = 0;
}

/* What stopped the store; a log that waits for room isn't stopped. */
static bool is_stopped(const struct store *store)
{
	int failed = wal_failed(store->wal);

	return store->failed != 0 || (failed != 0 && failed != -ENOSPC);
}

int store_poll(struct store *store, uint64_t now_ns)
{
	if (flush_is_due(store, now_ns) || wal_failed(store->wal) == -ENOSPC) {
		forget_flush(store);
		wal_flush(store->wal, /* sync= */ true);
	}
	if (wal_poll(store->wal))
		store_note_durable(store);
	pager_poll(store->pager);
	/* What is short of frames may wait for a sync of the log. */
	store->flush_wanted |= pager_was_short(store->pager);
	return is_stopped(store) ? STORE_E_STOPPED : 0;
}

int store_sync(struct store *store)
{
	if (store->failed != 0)
		return STORE_E_STOPPED;

	int r = wal_sync(store->wal);
	store_note_durable(store);
	/* One that waits for room is begun again by store_poll() in any case. */
	if (r == 0)
		forget_flush(store);
	return r < 0 && is_stopped(store) ? STORE_E_STOPPED : r;
}

struct store_stats store_stats(const struct store *store)
{
	return (struct store_stats){
		.lsn = store->committed,
		.durable = wal_position(store->wal).durable,
		.visible = kv_visible(store->kv),
		.checkpoint = store->checkpoint_lsn,
		.commits = store->commits,
		.damaged = kv_damage(store->kv)->files,
		.wal = wal_stats(store->wal),
		.recovery = store->recovery,
	};
}

/* SPDX-License-Identifier: Apache-2.0 */

#include "base/clock.h"
#include "base/defs.h"
#include "engine/store_internal.h"
#include "engine/wal_format.h"

#include <errno.h>

/* Pages written, and bytes that a job reads, in one slice. */
#define PAGES_SLICE 64
#define JOB_SLICE   (UINT64_C(8) << 20)

/* How often the floor of history is computed. */
#define HISTORY_LOOK_SECONDS 10

static int step_of(struct store *store)
{
	/* pairs with step_to(), on the other thread */
	return atomic_load_explicit(&store->checkpoint.step, memory_order_acquire);
}

static void step_to(struct store *store, enum checkpoint_step step)
{
	/* what the step needs is written before; pairs with step_of() */
	atomic_store_explicit(&store->checkpoint.step, step, memory_order_release);
}

static bool is_due(const struct store *store)
{
	uint64_t grown = wal_stats(store->wal).bytes - store->checkpoint.log_bytes;

	return store->checkpoint_asked || grown >= store->options.log_size;
}

static void begin(struct store *store)
{
	pager_checkpoint_begin(store->pager);
	store->checkpoint.target = kv_applied(store->kv);
	store->checkpoint.log_bytes = wal_stats(store->wal).bytes;
	store->checkpoint.flush_asked = false;
	store->checkpoint_asked = false;
	store->flush_wanted = true;
	step_to(store, CHECKPOINT_PAGES);
}

void store_describe_pages(struct ledger_pages *pages)
{
	const struct pager_state *state = &pages->state;
	struct wal_database database = {
		.flags = WAL_DATABASE_FLAG_REQUIRED | WAL_DATABASE_FLAG_DYNAMIC,
		.node_count = state->node_count,
		.edge_count = state->edge_count,
		.node_root = state->node_root,
		.edge_root = state->edge_root,
		.index_root = state->node_root,
		.free_head = state->free_head,
		.page_count = state->page_count,
		.page_size = PAGE_SIZE,
		.height = state->height,
	};

	wal_database_encode(&database, pages->header);
}

static int log_checkpoint(struct store *store)
{
	const struct pager_state *state = &store->checkpoint.pages.state;
	struct record record = {
		.type = RECORD_CHECKPOINT,
		.timestamp = store_clock(store),
		.checkpoint = {.root = state->node_root,
			       .page_count = state->page_count,
			       .height = state->height,
			       .free_head = state->free_head,
			       .snapshot = {.bytes = store->checkpoint.pages.header,
					    .size = LEDGER_HEADER_SIZE}},
	};
	int r = wal_append(store->wal, &record);

	if (r == WAL_E_BUSY)
		return 0;
	if (r != 0)
		return r < 0 ? r : -EIO;
	store->checkpoint.record_lsn = record.lsn;
	store->flush_wanted = true;
	step_to(store, CHECKPOINT_LOGGED);
	return 0;
}

/* Pages and memtables of before the checkpoint's begin, some at a time. */
static int write_slice(struct store *store)
{
	struct checkpoint *checkpoint = &store->checkpoint;
	struct pager_state state;
	bool done;

	if (!checkpoint->flush_asked) {
		int r = kv_flush(store->kv);
		if (r < 0)
			return r;
		checkpoint->flush_asked = r == 0;
	}
	int r = pager_work(store->pager, PAGES_SLICE);
	if (r < 0)
		return r;
	if (!checkpoint->flush_asked || kv_flushed(store->kv) < checkpoint->target)
		return 0;
	r = pager_checkpoint_poll(store->pager, &done, &state);
	if (r < 0 || !done)
		return r;

	checkpoint->pages.state = state;
	store_describe_pages(&checkpoint->pages);
	return log_checkpoint(store);
}

static int let_go(struct store *store)
{
	struct checkpoint *checkpoint = &store->checkpoint;

	store->checkpoint_lsn = checkpoint->pages.state.lsn;
	step_to(store, CHECKPOINT_NONE);
	return wal_release(store->wal, MIN(checkpoint->flushed + 1, store->checkpoint_lsn));
}

static int checkpoint_slice(struct store *store)
{
	switch (step_of(store)) {
	case CHECKPOINT_NONE:
		if (is_due(store) && !store->paged)
			begin(store);
		return 0;
	case CHECKPOINT_PAGES:
		return write_slice(store);
	case CHECKPOINT_LOGGED:
		if (wal_position(store->wal).durable >= store->checkpoint.record_lsn) {
			store->checkpoint.flushed = kv_flushed(store->kv);
			step_to(store, CHECKPOINT_NAMING);
		}
		return 0;
	case CHECKPOINT_NAMED:
		return let_go(store);
	default:
		return 0;
	}
}

/* ---- the ledger's note of the log ---- */

static struct ledger_log describe_log(const struct store *store)
{
	struct wal_position position = wal_position(store->wal);

	return (struct ledger_log){
		.number = position.segment,
		.first = position.segment_first,
		.size = position.segment_size,
		.durable = position.durable,
	};
}

static bool log_note_is_asked(struct store *store)
{
	/* pairs with the release in note_segment() and commit_log_note() */
	return atomic_load_explicit(&store->log_note.asked, memory_order_acquire);
}

/* A segment that the ledger doesn't know of is a job's to tell. */
static bool note_segment(struct store *store)
{
	if (log_note_is_asked(store))
		return true;
	if (wal_position(store->wal).segment == store->log_note.log.number)
		return false;
	store->log_note.log = describe_log(store);
	atomic_store_explicit(&store->log_note.asked, true, memory_order_release);
	return true;
}

static int commit_log_note(struct store *store)
{
	const struct ledger_edit edit = {.log = &store->log_note.log};
	int r = ledger_commit(store->ledger, &edit);

	if (r != 0)
		return r < 0 ? r : -EINVAL;
	atomic_store_explicit(&store->log_note.asked, false, memory_order_release);
	return 0;
}

int store_tell_log(struct store *store)
{
	struct ledger_log log = describe_log(store);

	if (log.number == store->log_note.log.number &&
	    log.durable == store->log_note.log.durable && !log_note_is_asked(store))
		return 0;
	store->log_note.log = log;
	return commit_log_note(store);
}

/* ---- work ---- */

/* What compaction may drop from now on. */
static void look_at_history(struct store *store)
{
	uint64_t now = store_clock(store);

	if (now >= store->history_at && now - store->history_at < HISTORY_LOOK_SECONDS)
		return;
	store->history_at = now;
	kv_set_floor(store->kv, retention_floor(store->retention, now));
}

/* store_error() has it until there is something else to say. */
static void note_damage(struct store *store)
{
	const struct kv_damage *damage = kv_damage(store->kv);

	if (damage->files == store->damaged)
		return;
	store->damaged = damage->files;
	(void)store_refuse(store, damage->line);
}

int store_work(struct store *store, uint64_t now_ns, enum kv_need *ret_need)
{
	enum kv_need need;
	int r = store_poll(store, now_ns);
	if (r != 0)
		return r;
	look_at_history(store);
	r = kv_work(store->kv, &need);
	if (r < 0)
		return r;
	note_damage(store);
	r = checkpoint_slice(store);
	if (r < 0)
		return r;
	bool retention_waits = retention_work(store->retention, store_clock(store),
					      wal_position(store->wal).durable);

	int step = step_of(store);
	if (step == CHECKPOINT_NAMING || retention_waits)
		need = KV_NEED_JOB;
	else if (step != CHECKPOINT_NONE && need == KV_NEED_NOTHING)
		need = KV_NEED_WORK;
	if (note_segment(store))
		need = KV_NEED_JOB;
	*ret_need = need;
	return 0;
}

int store_job(struct store *store)
{
	if (log_note_is_asked(store))
		return commit_log_note(store);
	if (step_of(store) == CHECKPOINT_NAMING) {
		struct ledger_edit edit = {
			.flushed = store->checkpoint.flushed,
			.pages = &store->checkpoint.pages,
		};
		int r = ledger_commit(store->ledger, &edit);
		if (r != 0)
			return r < 0 ? r : -EINVAL;
		step_to(store, CHECKPOINT_NAMED);
		return 0;
	}

	int saved = retention_job(store->retention);
	if (saved == 0)
		return 0;
	int r = kv_job(store->kv, JOB_SLICE);
	/* One that fails doesn't hold up the other. */
	if (saved < 0 && r >= 0)
		return saved;
	return r == KV_E_IDLE ? STORE_E_IDLE : r;
}

/* Segments of the log that a checkpoint let go have gone. */
static int settle_log(struct store *store)
{
	int r = wal_settle(store->wal);

	return r == 0 || r == -ENOSPC ? r : STORE_E_STOPPED;
}

int store_settle(struct store *store)
{
	for (;;) {
		enum kv_need need = KV_NEED_NOTHING;
		int r = store_sync(store);
		if (r != 0)
			return r;
		r = store_work(store, clock_now_ns(), &need);
		if (r != 0)
			return r;
		if (need == KV_NEED_NOTHING && step_of(store) == CHECKPOINT_NONE && !is_due(store))
			return settle_log(store);
		/* A checkpoint isn't begun while an edge is staged. */
		if (need == KV_NEED_NOTHING && store->paged)
			return STORE_E_BUSY;
		if (need != KV_NEED_JOB) {
			pager_wait(store->pager);
			continue;
		}
		r = store_job(store);
		if (r != 0 && r != STORE_E_IDLE)
			return r;
	}
}

int store_checkpoint(struct store *store)
{
	store->checkpoint_asked = true;
	return store_settle(store);
}

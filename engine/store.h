/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Store - one shard's durable state: a folder with log, key space and pages
 *
 * The store joins wal, kv, pager and feed. Each change is appended to the log, taken into key space
 * and pages, and becomes visible when it is acknowledged: for STORE_SYNC when
 * it is durable, else at once.
 *
 *      store_put ... store_commit --> log --> key space, pages
 *      store_poll()   durable? --> visible --> store_is_done()
 *      store_work()   a slice on the owner;  store_job() what takes long, on a worker
 *
 * Changes are staged; store_commit() makes what is staged one transaction: all of it or nothing is
 * there after a crash. It reaches the log in one run. A read doesn't see what is staged.
 *
 * Opening recovers: tables and pages are as the manifest says; what the log has behind them is done
 * again, if it is outside transactions or in one that was committed. A torn end is cut off, and
 * said in the stats. Recovery takes the memory of the memtables, the page cache and one
 * transaction, however long the log is.
 *
 * Salvage (store_options.salvage) opens a store whose log has holes, or whose pages are damaged or
 * gone. Each transaction that a hole touches is dropped whole (engine/recover.h). A graph that was
 * damaged, or whose changes a hole may have had, is made anew from the keys of its edges, and a
 * checkpoint lets the log go: so the next opening needs no salvage. One that was interrupted while
 * it made the graph goes on by itself when the store is opened again.
 *
 * History, what the change feed (engine/feed.h) can still give out, goes back as far as
 * store_options.history and named readers (engine/retention.h) say; store_work() lets go of the
 * rest.
 *
 * A checkpoint is begun when the log has grown by store_options.log_size, runs in slices of
 * store_work() while changes go on, and lets the log's oldest segments be used again.
 *
 * What blocks on the owner: waits for the disk, or makes a call that the kernel may answer late.
 * store_open(), store_close(), store_sync(), store_settle(), store_checkpoint() and store_verify()
 * do, and what lies below them and is said to: wal_settle(), pager_wait(), retention_sync(),
 * retention_save(), kv_verify(). Nothing else does for an owner that asks for that where it reads:
 *
 *      store_options.polls      edges, and what reads the graph on store_pager()
 *      KV_WAIT_NEVER            kv_get(), cursors, kv_view_blob()
 *      feed_options.wait_never  feed_next()
 *
 * Otherwise these block for what isn't cached: a read; for edges also writes of up to 16 pages, or
 * a call that makes the file longer. Staging, commits, store_poll(), store_work(), snapshots,
 * views, pins of readers: all that they have the disk do goes through queues, or is store_job()'s.
 * They close files, and take memory in proportion to what a job made. (tests/crash/crash_polls.c
 * has a disk that aborts whatever blocks.)
 *
 * Edges for an owner that polls. What would block says STORE_E_WAIT (a page is being read) or
 * STORE_E_BUSY (pages are being written, or the file made longer), and so does what reads the graph
 * on store_pager(): EDGE_E_WAIT, EDGE_E_BUSY. Then store_poll(), and the same call again; a commit
 * that says so is still staged. Until a transaction is committed, reads may show the edges that it
 * has staged, or not.
 *
 * Threads: one owner; store_job() by any one other thread, or the owner.
 */

#include "engine/io.h"
#include "engine/keys.h"
#include "engine/kv.h"
#include "engine/ledger.h"
#include "engine/pager.h"
#include "engine/retention.h"
#include "engine/wal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum store_durability {
	STORE_SYNC,  /* acknowledged when it survives a power cut */
	STORE_GROUP, /* acknowledged at once; durable within store_options.group_ns */
	STORE_NONE,  /* acknowledged at once; durable when something else is, or a second later */
};

enum {
	STORE_E_BUSY = 1, /* the log or the key space has no room: store_poll(), store_work() and
			     store_job() first */
	STORE_E_ABSENT,   /* no value, no edge; no store in the folder */
	STORE_E_EXISTS,   /* the edge is there */
	STORE_E_INVALID,  /* a key, value or name that is empty, too long or Tern's own */
	STORE_E_SIZE,     /* more than CHANGES_COUNT_MAX changes, or CHANGES_SIZE_MAX bytes */
	STORE_E_CORRUPT,  /* store_error() says file, offset and what */
	STORE_E_STOPPED,  /* the log failed: no changes until the store is opened again */
	STORE_E_LOCKED,   /* another process has it */
	STORE_E_IDLE,     /* store_job(): nothing to do */
	STORE_E_WAIT,     /* polling: a page is being read; store_poll(), and the same call again */
};

struct store_options {
	bool create;       /* when there is none */
	bool salvage;      /* go on behind holes of the log, mend the graph */
	bool polls;        /* the owner is a poll core: see what blocks */
	uint64_t log_size; /* bytes from one checkpoint to the next; 0: 256 MiB */
	uint64_t group_ns; /* 0: 2 ms */
	uint32_t cache_pages;
	struct wal_options wal; /* next_lsn is the store's */
	struct kv_options kv;
	struct retention_options history; /* how far back the feed can be read */
};

struct store;

/* What recovery did. */
struct store_recovery {
	uint64_t records; /* read from the log */
	uint64_t applied;
	uint64_t bytes;
	uint64_t dropped;        /* records of transactions that were not committed */
	uint64_t torn_lsn;       /* first that was cut off; 0: none */
	uint64_t severed;        /* records of transactions that a hole touches, or may touch */
	uint64_t holes;          /* of the log, by salvage */
	uint64_t salvaged_bytes; /* left out */
	uint64_t missing;        /* LSNs that no record was found for, by salvage */
	uint64_t edges;          /* where the graph was made anew */
	bool graph_made;         /* from the key space */
	uint64_t memory;         /* bytes of buffers it took */
	uint64_t ns;
};

struct store_stats {
	uint64_t lsn; /* of the last change */
	uint64_t durable;
	uint64_t visible;
	uint64_t checkpoint; /* LSN that recovery would begin at */
	uint64_t commits;
	uint32_t damaged; /* files that compaction set aside, as kv.h says; store_error() has the
			     last one */
	struct wal_stats wal;
	struct store_recovery recovery;
};

/*
 * Opens the store in the folder of 'io', which is borrowed. On failure 'error' has one line.
 * Returns 0, STORE_E_ABSENT, STORE_E_LOCKED, STORE_E_CORRUPT or a negative errno.
 */
int store_open(struct io *io, const struct store_options *options, struct store **ret_store,
	       char *error, size_t error_size);

/* Makes durable what was acknowledged, when the log still can. No job is under way. Returns 0 or
 * what failed; it is closed anyhow. */
int store_close(struct store *store);

struct store_put {
	struct entry_bytes key;
	struct entry_bytes value;
	uint8_t type;         /* below 128 */
	uint64_t ttl_seconds; /* 0: it stays */
};

/* Each stages one change. Returns 0, STORE_E_INVALID or STORE_E_SIZE. Bytes are copied. */
int store_put(struct store *store, const struct store_put *put);
int store_delete(struct store *store, struct entry_bytes key);
/* Takes back exactly one put of the key: for keys that are put once. */
int store_delete_weak(struct store *store, struct entry_bytes key);
/* Keys in [start, end). */
int store_delete_range(struct store *store, struct entry_bytes start, struct entry_bytes end);
int store_merge(struct store *store, uint8_t operator, struct entry_bytes key,
		struct entry_bytes operand);

struct store_vector {
	struct vector_key key;
	uint8_t element_type; /* enum vector_type */
	struct entry_bytes vector;
	struct entry_bytes payload;
};

/* What a collection's vectors are; the bytes are cluster/vectors' affair. */
int store_schema_put(struct store *store, struct entry_bytes collection, struct entry_bytes schema);

int store_vector_put(struct store *store, const struct store_vector *vector);
int store_vector_delete(struct store *store, struct vector_key key);

/*
 * In both directions' clusters and as a key. Unless 0 the edge isn't staged. Also STORE_E_EXISTS,
 * STORE_E_ABSENT, STORE_E_WAIT, STORE_E_BUSY (the page cache is full of what waits) or STORE_E_SIZE
 * (more pages than one transaction changes, or no more nodes, or edges of one): what was staged
 * before stays staged. Behind STORE_E_CORRUPT or a negative errno store_commit() says -ECANCELED:
 * store_rollback() is what is left.
 */
int store_edge_add(struct store *store, struct edge_key edge);
int store_edge_remove(struct store *store, struct edge_key edge);

/*
 * Commits what was staged. '*ret_lsn' is what store_is_done() and reads of the own session take.
 * Returns 0, STORE_E_BUSY (it stays staged: poll, work, and commit again), STORE_E_STOPPED,
 * STORE_E_SIZE (the log's buffer can't hold it), STORE_E_WAIT (it stays staged: pages that its
 * edges are to change are being read), STORE_E_CORRUPT (a page is damaged; or a damaged table holds
 * up compaction, and there is no more room without it) or a negative errno; unless 0 or
 * STORE_E_STOPPED, nothing of it is in the log.
 */
int store_commit(struct store *store, enum store_durability durability, uint64_t *ret_lsn);
void store_rollback(struct store *store);

/* Unix seconds by the store's clock. */
uint64_t store_clock(const struct store *store);

/* Whether a change committed with STORE_SYNC is acknowledged. */
bool store_is_done(const struct store *store, uint64_t lsn);

/* Starts and ends writes of the log; doesn't wait for them. 'now_ns' is monotonic. Returns 0, or
 * STORE_E_STOPPED. */
int store_poll(struct store *store, uint64_t now_ns);

/* Blocks until all that was committed is durable. Returns 0, STORE_E_STOPPED or a negative errno
 * (-ENOSPC: again when there is room). */
int store_sync(struct store *store);

/* One slice: checkpoints, results of jobs, what named readers keep. '*ret_need' says whether a job
 * waits. Damage that a compaction meets is no error, but is counted (store_stats.damaged). Returns
 * 0, STORE_E_STOPPED or a negative errno. */
int store_work(struct store *store, uint64_t now_ns, enum kv_need *ret_need);
int store_job(struct store *store);

/* Works until nothing is left to do, blocking; for tools and tests. Returns as store_work() and
 * store_job(), or STORE_E_BUSY: a checkpoint is due, and an edge is staged. */
int store_settle(struct store *store);

/* All changes into tables and pages, a checkpoint, and the log let go. As store_settle(). */
int store_checkpoint(struct store *store);

/* Checks everything; 'report' gets a line for each fault. Reads all files. Returns 0, or a negative
 * errno that stopped it. */
int store_verify(struct store *store, kv_report_fn report, void *context, uint64_t *ret_faults);

struct kv *store_kv(struct store *store);
struct pager *store_pager(struct store *store);
struct wal *store_wal(struct store *store);
struct ledger *store_ledger(struct store *store);
struct retention *store_retention(struct store *store);
const uint8_t *store_uuid(const struct store *store);
bool store_polls(const struct store *store); /* store_options.polls */
struct store_stats store_stats(const struct store *store);
const char *store_error(const struct store *store);

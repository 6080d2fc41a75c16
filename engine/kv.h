/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Kv - the key space: a log-structured merge tree whose sequence numbers are the log's
 *
 *      kv_apply(record) --> memtable --full--> sealed memtables --flush--> tables of level 0
 *                                                                             | compaction, a level
 * at a time, v in bounded slices levels 1 to KV_LEVEL_MAX - 1
 *
 * Reads see the state at a sequence number (a snapshot, or all that is visible). Values from
 * KV_BLOB_MIN bytes on go to blob files when a memtable is flushed; a file most of whose bytes are
 * dead is written anew. The manifest (docs/format/manifest_kv.md) says which files there are; a
 * file that it doesn't name is removed at the start.
 *
 * History. Compaction keeps every version from the floor on (kv_set_floor), and those that a
 * snapshot can see; below both it keeps what is visible. What asks for older changes is told of the
 * gap.
 *
 * What takes long is kv_job()'s: it reads sealed memtables and tables and writes new tables;
 * kv_work() on the owner begins it and takes its result in. A tool calls both on one thread.
 *
 * Threads: one owner; kv_job() by any one other thread, or the owner.
 */

#include "engine/io.h"
#include "engine/record.h"
#include "engine/table.h"

#define KV_LEVEL_MAX    7
#define KV_BLOB_MIN     4096
#define KV_SNAPSHOT_MAX 1024

enum {
	KV_E_ABSENT = 1, /* no value */
	KV_E_WAIT,       /* with KV_WAIT_NEVER: a block is being read, ask again after kv_poll() */
	KV_E_CORRUPT,    /* kv_error() says which file, offset, what */
	KV_E_OPERATOR,   /* a merge operator that isn't registered */
	KV_E_BUSY, /* too many sealed memtables or tables of level 0: kv_work() and kv_job() first
		    */
	KV_E_INVALID, /* a key that is empty or too long, a value too long, end not behind start */
	KV_E_IDLE,    /* kv_job(): nothing to do */
};

struct kv;
struct manifest_log;

struct kv_options {
	uint64_t memtable_size;           /* 0: 32 MiB */
	uint64_t cache_size;              /* of blocks; 0: 64 MiB */
	uint64_t table_size;              /* of levels from 1 on; 0: 32 MiB */
	uint64_t level_size;              /* of level 1, each next is ten times that; 0: 256 MiB */
	uint64_t (*clock)(void *context); /* Unix seconds, for TTL; NULL: the system's */
	void *clock_context;
	bool without_compression;
};

/* Merge: folds 'count' operands (oldest first) into 'base' (NULL: none). Appends the result to
 * 'out'. The same for the same input, always. */
struct merge_out; /* engine/merge_op.h */
typedef int (*merge_fn)(const struct entry_bytes *base, const struct entry_bytes *operands,
			uint32_t count, struct merge_out *out);

/* Built in: 1 "counter" (i64 LE, wrapping add), 2 "append", 3 "set_union" (docs/format/merge.md).
 * Others: 16 to 255. */
int kv_register(struct kv *kv, uint8_t number, const char *name, merge_fn merge);

int kv_open(struct io *io, const struct kv_options *options, struct kv **ret_kv, char *error,
	    size_t error_size);
void kv_close(struct kv *kv);

/*
 * Takes a committed record in, live or in recovery: the entry that keys_entry() says it makes, or a
 * table that was ingested; others are ignored. LSNs rise; what is in tables already (kv_flushed())
 * is skipped. The memtable is sealed only between calls that don't belong to one transaction:
 * 'more' says that records of the same transaction follow. Returns 0, KV_E_BUSY (only for the first
 * of a transaction), KV_E_INVALID or a negative errno.
 */
int kv_apply(struct kv *kv, const struct record *record, bool more);

/* Whether kv_apply() takes another transaction, or would say KV_E_BUSY. */
bool kv_has_room(const struct kv *kv);

/* Everything with a number up to this is in tables: recovery needs the log only behind it. */
uint64_t kv_flushed(const struct kv *kv);
/* What reads without a snapshot see: all up to here (the store sets it to what is committed and
 * durable). */
void kv_set_visible(struct kv *kv, uint64_t seqno);
uint64_t kv_visible(const struct kv *kv);
/* All up to here survives a power cut. Memtables are flushed, and a feed gives out, only what is;
 * so no file holds a number that the log may give to another change after a crash. */
void kv_set_durable(struct kv *kv, uint64_t seqno);
uint64_t kv_durable(const struct kv *kv);

/* Pins the state at 'kv_visible'. Returns 0 or -ENOSPC (KV_SNAPSHOT_MAX). */
int kv_snapshot(struct kv *kv, uint64_t *ret_seqno);
void kv_snapshot_release(struct kv *kv, uint64_t seqno);

enum { KV_WAIT_NEVER = 1 };

/* The value at 'seqno' (0: visible), merges folded, expired ones absent. Borrows until the next
 * call of any kv_ function. Returns 0, KV_E_ABSENT, KV_E_WAIT, KV_E_CORRUPT, KV_E_OPERATOR or a
 * negative errno. */
int kv_get(struct kv *kv, struct entry_bytes key, uint64_t seqno, unsigned flags,
	   struct entry *ret_entry);

/* Keys in [start, end) at a moment, both ways. An empty 'end' is no bound. */
struct kv_cursor;
int kv_cursor_new(struct kv *kv, uint64_t seqno, unsigned flags, struct kv_cursor **ret_cursor);
void kv_cursor_free(struct kv_cursor *cursor);
int kv_cursor_seek(struct kv_cursor *cursor,
		   struct entry_bytes key); /* first at or behind; 0 or KV_E_ABSENT... */
int kv_cursor_next(struct kv_cursor *cursor);
int kv_cursor_previous(struct kv_cursor *cursor);
const struct entry *kv_cursor_entry(const struct kv_cursor *cursor);

/* History is kept from this number on. It only rises. */
void kv_set_floor(struct kv *kv, uint64_t seqno);
/* The smallest number from which on every change can still be had (what compaction really dropped).
 */
uint64_t kv_history(const struct kv *kv);

/* Adds a table written elsewhere (local numbers 0), as of 'seqno' (its TableIngest record's LSN).
 */
int kv_ingest(struct kv *kv, const char *name, uint64_t seqno);

enum kv_need { KV_NEED_NOTHING, KV_NEED_WORK, KV_NEED_JOB };
int kv_work(struct kv *kv, enum kv_need *ret_need);
/* One slice of at most 'bytes_max' bytes read. Returns 0 (there may be more), KV_E_IDLE or a
 * negative errno. */
int kv_job(struct kv *kv, uint64_t bytes_max);
/* Seals the memtable so that the next work flushes it. */
int kv_flush(struct kv *kv);
/* Asks for everything to become one run in the last level. */
void kv_compact(struct kv *kv);

void kv_poll(struct kv *kv);
const char *kv_error(const struct kv *kv);

/* Checks every block of every file, order, filters, bounds, references. */
typedef void (*kv_report_fn)(void *context, const char *line);
int kv_verify(struct kv *kv, kv_report_fn report, void *context, uint64_t *ret_faults);

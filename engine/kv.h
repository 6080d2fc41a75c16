/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Kv - the key space: a log-structured merge tree whose sequence numbers are the log's
 *
 *      kv_apply(record) --> memtable --full--> sealed memtables
 *                                                   |  flush
 *                                                   v
 *                                           tables of level 0
 *                                                   |  compaction, a level at a time,
 *                                                   v  in bounded slices
 *                                    levels 1 to KV_LEVEL_MAX - 1
 *
 * Reads see the state at a sequence number (a snapshot, or all that is visible). Values from
 * KV_BLOB_MIN bytes on go to blob files when a memtable is flushed; a file most of whose bytes are
 * dead is given up after what lives in it was written anew. The ledger (engine/ledger.h) says which
 * files there are.
 *
 * A state at a number: of a key's versions up to it, from the youngest on, merge operands are
 * gathered until another kind comes. A value is the base they are folded into; a tombstone, weak or
 * not, an expired value, a range tombstone younger than the version, and the end are no base. A
 * value that was folded has the base's type (0 without one), and expires with it.
 *
 * Operands may give no value (KV_E_OPERATOR): their operator isn't registered, refuses them, or
 * makes more than MERGE_OP_VALUE_MAX bytes of them. They are kept as they are, and reads of that
 * key say so until it is put or deleted; all other keys are as ever, for cursors and compaction
 * too.
 *
 * History. Compaction keeps every version from the floor on (kv_set_floor), and those that a
 * snapshot can see; below both it keeps what is visible. What asks for older changes is told of the
 * gap.
 *
 * Damage. A table or blob file that compaction can't read is set aside (kv_damage()): it is read
 * where it is good, and stays where it is. Compaction leaves out what overlaps it: nothing comes
 * below it that is younger, and nothing into a level where it has that range. All else goes on,
 * writes too, until KV_LEVEL_ZERO_MAX tables wait that can't be compacted; then kv_apply() says
 * KV_E_CORRUPT. Opening the key space again forgets what was set aside, and finds it anew.
 *
 * What takes long is kv_job()'s: it reads sealed memtables and tables and writes new tables;
 * kv_work() on the owner begins it and takes its result in. A tool calls both on one thread.
 *
 * Threads: one owner; kv_job() by any one other thread, or the owner.
 */

#include "engine/io.h"
#include "engine/ledger.h"
#include "engine/record.h"
#include "engine/table.h"

/* Levels of tables. */
#define KV_LEVEL_MAX LEDGER_LEVEL_MAX

/* Values from this size on go to blob files. */
#define KV_BLOB_MIN 4096

/* Snapshots held at once. */
#define KV_SNAPSHOT_MAX 1024

/* Memtables that wait to be flushed, and tables of level 0, before kv_apply() says KV_E_BUSY. */
#define KV_SEALED_MAX     4
#define KV_LEVEL_ZERO_MAX 24

enum {
	KV_E_ABSENT = 1, /* no value */
	KV_E_WAIT,       /* with KV_WAIT_NEVER: a block is being read, ask again after kv_poll() */
	KV_E_CORRUPT,    /* kv_error() says which file, offset, what */
	KV_E_OPERATOR,   /* a key's operands give no value: kv_error() has operator and reason */
	KV_E_BUSY,       /* KV_SEALED_MAX or KV_LEVEL_ZERO_MAX: kv_work() and kv_job() first */
	KV_E_INVALID, /* a key that is empty or too long, a value too long, end not behind start */
	KV_E_IDLE,    /* kv_job(): nothing to do */
};

struct kv;

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
 * Others: 16 to 255, before any kv_job(). Returns 0, -EINVAL or KV_E_OPERATOR (it is taken). */
int kv_register(struct kv *kv, uint8_t number, const char *name, merge_fn merge);

/* The operator's name, or NULL when none has that number. */
const char *kv_operator(const struct kv *kv, uint8_t number);

/*
 * The key space as the ledger has it. Borrows 'io' and 'ledger' until kv_close(). Returns 0,
 * KV_E_CORRUPT ('error') or a negative errno.
 */
int kv_open(struct io *io, struct ledger *ledger, const struct kv_options *options,
	    struct kv **ret_kv, char *error, size_t error_size);

/* What isn't in tables is gone (the log has it). No cursor or view is left and no kv_job() runs.
 * NULL is fine. */
void kv_close(struct kv *kv);

/* Removes tables and blob files that the ledger doesn't name, and what feeds left: after recovery,
 * which may have named some (TableIngest), before there is a feed. Returns 0 or a negative errno.
 */
int kv_clean(struct kv *kv);

/*
 * Takes a committed record in, live or in recovery: the entry that keys_entry() says it makes, or a
 * table that was ingested; others only raise what kv_flushed() can reach. LSNs rise; what is in
 * tables already is skipped. The memtable is sealed only between calls that don't belong to one
 * transaction: 'more' says that records of the same transaction follow.
 *
 * A table that is ingested was written elsewhere (store and numbers all zero). Its file is
 * kv_table_name() of a number from ledger_next_file(), whole and synced before the TableIngest
 * record is durable, which it is before it is applied. That blocks.
 *
 * Returns 0, KV_E_BUSY and KV_E_CORRUPT as kv_room() (only for the first of a transaction),
 * KV_E_INVALID (also: such a table has other numbers, or values out of line), KV_E_CORRUPT or a
 * negative errno; unless 0 nothing has changed.
 */
int kv_apply(struct kv *kv, const struct record *record, bool more);

/* For recovery: kv_apply() is quicker while 'late' is set, but reads may miss what it took in
 * until it is no longer set. What the log has is taken however many tables damage holds up. */
void kv_set_late(struct kv *kv, bool late);

/* Whether kv_apply() takes another transaction: 0, KV_E_BUSY, or KV_E_CORRUPT (damage holds up
 * compaction for good, kv_damage() has the line). */
int kv_room(const struct kv *kv);

/* Everything with a number up to this is in tables: recovery needs the log only behind it. May run
 * ahead of the ledger's 'flushed' when there was nothing to flush: a checkpoint commits it. */
uint64_t kv_flushed(const struct kv *kv);

/* The largest number that kv_apply() was given: where kv_flushed() comes to when all is in tables.
 */
uint64_t kv_applied(const struct kv *kv);
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

/* The value at 'seqno' (0: visible), merges folded, expired ones absent. A number that is more than
 * one below the floor is only good as long as a snapshot holds it. Borrows until the next
 * call of any kv_ function. Returns 0, KV_E_ABSENT, KV_E_WAIT, KV_E_CORRUPT, KV_E_OPERATOR or a
 * negative errno. */
int kv_get(struct kv *kv, struct entry_bytes key, uint64_t seqno, unsigned flags,
	   struct entry *ret_entry);

/*
 * Keys in order, both ways, at a number (0: visible), as of the files there are: it holds them, and
 * needs no snapshot. What a transaction adds below that number behind its back is seen. Calls
 * return 0, KV_E_ABSENT (the cursor stands before the first key or behind the last, and can turn
 * back), KV_E_WAIT (the same call goes on), KV_E_CORRUPT, KV_E_OPERATOR (the cursor stands at the
 * key, and can go on) or a negative errno.
 */
struct kv_cursor;
int kv_cursor_new(struct kv *kv, uint64_t seqno, unsigned flags, struct kv_cursor **ret_cursor);
void kv_cursor_free(struct kv_cursor *cursor);
/* The first at or behind the key; an empty key is before all. */
int kv_cursor_seek(struct kv_cursor *cursor, struct entry_bytes key);
int kv_cursor_last(struct kv_cursor *cursor);
int kv_cursor_next(struct kv_cursor *cursor);
int kv_cursor_previous(struct kv_cursor *cursor);
/* After a call that returned 0; after KV_E_OPERATOR only the key means something. Borrows until the
 * next call on the cursor. */
const struct entry *kv_cursor_entry(const struct kv_cursor *cursor);

/* History is kept from this number on. It only rises. */
void kv_set_floor(struct kv *kv, uint64_t seqno);
/* The smallest number from which on every change can still be had (what compaction really dropped).
 */
uint64_t kv_history(const struct kv *kv);

/* Names of files, of IO_NAME_MAX characters at most. */
void kv_table_name(uint64_t number, char name[IO_NAME_MAX + 1]);
void kv_blob_name(uint64_t number, char name[IO_NAME_MAX + 1]);

/*
 * What the key space consists of at a moment, for those who read it in another way than by keys
 * (the feed): memtables, the live one among them, and tables. All of it stays until
 * kv_view_close(). A range tombstone may stand in several tables in pieces, each with the number of
 * the whole, which they make up without a gap as long as history goes back to it.
 */
struct kv_view;
struct memtable;
struct table_pin;  /* engine/table.h */
struct kv_source { /* one is NULL */
	const struct memtable *memtable;
	struct table *table;
};
int kv_view_open(struct kv *kv, struct kv_view **ret_view);
void kv_view_close(struct kv_view *view);
/* Another view, of the same files without memtables: for kv_view_blob(). Returns 0 or -ENOMEM. */
int kv_view_files(const struct kv_view *view, struct kv_view **ret_view);
/* False: there are other memtables or tables by now. */
bool kv_view_is_current(const struct kv_view *view);
uint32_t kv_view_count(const struct kv_view *view);
/* Memtables first, the live one foremost; then tables. */
struct kv_source kv_view_source(const struct kv_view *view, uint32_t index);
/* The value of an ENTRY_BLOB entry; 'pin' as in table_get(). Returns 0, KV_E_WAIT, KV_E_CORRUPT or
 * a negative errno. */
int kv_view_blob(struct kv_view *view, const struct entry *entry, unsigned flags,
		 struct table_pin *pin, struct entry_bytes *ret_value);

enum kv_need { KV_NEED_NOTHING, KV_NEED_WORK, KV_NEED_JOB };

/* Takes in what kv_job() has ended and begins what is due. Never blocks. KV_NEED_WORK: the next
 * kv_work() has something to do. Damage that a job met is no error here: kv_damage(). Returns 0 or
 * a negative errno. */
int kv_work(struct kv *kv, enum kv_need *ret_need);

/*
 * One slice, of about 'bytes_max' bytes read: flushes first, then compaction. What failed (a
 * negative errno) left everything as it was, and is begun again by the next call.
 *
 * Returns 0 (there may be more), KV_E_IDLE or a negative errno.
 */
int kv_job(struct kv *kv, uint64_t bytes_max);

/* Seals the memtable so that the next work flushes it. Returns 0, KV_E_BUSY or a negative errno. */
int kv_flush(struct kv *kv);
/* Asks for everything to become one run in the last level; nothing comes of it where a table is
 * damaged. */
void kv_compact(struct kv *kv);

/* Files that compaction couldn't read since kv_open(). */
struct kv_damage {
	uint32_t files;
	char line[256]; /* about the last one: file, offset, what */
};
const struct kv_damage *kv_damage(const struct kv *kv);

/* Takes in blocks that reads with KV_WAIT_NEVER asked for. Never blocks. */
void kv_poll(struct kv *kv);
/* One line about the last KV_E_CORRUPT or KV_E_OPERATOR. */
const char *kv_error(const struct kv *kv);

/* Checks every block of every file, order, filters, bounds, references. */
typedef void (*kv_report_fn)(void *context, const char *line);
int kv_verify(struct kv *kv, kv_report_fn report, void *context, uint64_t *ret_faults);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Kv internal - what the files of the key space share
 *
 *      kv.c         opening, closing, settings, snapshots
 *      kv_apply.c   records into memtables; tables that are ingested
 *      kv_view.c    memtables and tables of a moment
 *      kv_read.c    one key
 *      kv_cursor.c  keys in order
 *      kv_files.c   files that an edit adds
 *      kv_work.c    the owner's side of flushes and compactions
 *      kv_job.c     the worker's side
 *      kv_verify.c  checks, and files that nobody needs
 *
 * Threads: as kv.h. A job is the owner's while it is IDLE or ENDED, the worker's while it is READY.
 */

#include "engine/block_cache.h"
#include "engine/compact.h"
#include "engine/fold.h"
#include "engine/kv.h"
#include "engine/memtable.h"
#include "engine/version.h"

#include <stdatomic.h>

#define KV_ERROR_SIZE 256

/* Tables of level 0 from which on they are compacted. */
#define KV_LEVEL_ZERO_TRIGGER 4

/* A memtable and its range tombstones. */
struct kv_mem {
	struct memtable *memtable;
	struct range_set ranges;
	uint64_t applied; /* when it was sealed: all up to here is in it or older */
	uint32_t refs;
};

struct kv_view {
	struct kv *kv;
	struct version *version;
	struct kv_mem *mems[1 + KV_SEALED_MAX]; /* the live one, then sealed ones, youngest first */
	uint32_t mem_count;
	uint32_t refs;
};

/* What a read of one key needs; zeros, but for fold.ops. */
struct kv_reader {
	struct table_pin pin;
	struct table_pin blob_pin;
	struct fold fold;
};

/* Files that an edit adds, in its order. All zeros: none so far. */
struct kv_files {
	struct table_file **tables;
	struct blob_file **blobs;
	uint32_t table_count;
	uint32_t blob_count;
};

enum kv_job_state {
	KV_JOB_IDLE,
	KV_JOB_READY,   /* the worker's */
	KV_JOB_ENDED,   /* committed to the ledger: the owner takes it in */
	KV_JOB_STOPPED, /* its input is corrupt: compact.bad_table or compact.bad_blob */
};

struct kv_job {
	_Atomic int state;       /* enum kv_job_state; a release store by who hands it over pairs
				    with an acquire load by the other */
	struct compact compact;  /* what it does */
	struct kv_mem *mem;      /* a flush: held */
	struct version *version; /* a compaction: held */
	bool written;            /* files are whole, and in the edit */
	bool committing;         /* the ledger may name them */
	struct kv_files files;   /* what was written, opened */
	struct ledger_edit edit;
	uint64_t *removes; /* of the edit */
	uint64_t *blob_removes;
};

/* Files to remove, handed to the worker. */
struct kv_removal {
	_Atomic int state; /* IDLE or READY */
	uint64_t *doomed;  /* as in struct version_files */
	uint32_t count;
};

struct kv {
	struct io *io;
	struct ledger *ledger;
	struct kv_options options; /* zeros replaced */
	struct version_files files;
	struct merge_ops ops;
	struct kv_view *view;   /* the current one */
	struct memtable *spare; /* empty, for the next seal; or NULL */
	struct kv_reader reader;
	uint8_t *scratch; /* KEYS_SCRATCH_SIZE */
	uint64_t applied; /* last LSN that came */
	uint64_t flushed; /* all up to here is in tables, and the ledger says so */
	uint64_t visible;
	uint64_t durable;
	uint64_t floor;
	uint64_t history;
	uint64_t first_file; /* files below this are of an earlier process */
	uint64_t *snapshots; /* KV_SNAPSHOT_MAX, rising */
	uint32_t snapshot_count;
	bool in_transaction;
	bool late;               /* memtable_add_late() */
	uint64_t compact_target; /* kv_compact() waits until this is flushed */
	bool compact_all;        /* it was asked for */
	bool is_held_up;         /* of this version damage leaves nothing to compact */
	struct kv_damage damage;
	struct kv_job flush;
	struct kv_job compaction;
	struct kv_removal removal;
	uint8_t *turns[KV_LEVEL_MAX]; /* last key of the table that was compacted last */
	uint32_t turn_sizes[KV_LEVEL_MAX];
	char error[KV_ERROR_SIZE];
};

/* kv_view.c */

/* Makes 'version' and the memtables the current view; takes the caller's references to them,
 * whatever it returns. Returns 0 or -ENOMEM. */
int kv_view_install(struct kv *kv, struct version *version, struct kv_mem *const *mems,
		    uint32_t mem_count);
/* The same memtables with another version, which it takes. */
int kv_view_install_version(struct kv *kv, struct version *version);
struct kv_mem *kv_mem_new(struct kv *kv);
void kv_mem_put(struct kv *kv, struct kv_mem *mem);

/* Seals the live memtable, which isn't empty. Returns 0, KV_E_BUSY or -ENOMEM. */
int kv_seal(struct kv *kv);

/* kv_read.c */

/* The value of the key at 'seqno'. Borrows from reader and view. Returns as kv_get(). */
int kv_resolve(struct kv_view *view, struct kv_reader *reader, struct entry_bytes key,
	       uint64_t seqno, unsigned flags, struct entry *ret_entry);
void kv_reader_deinit(struct kv_reader *reader);

/* The largest number up to 'seqno' of a range tombstone that covers the key; 0: none. */
uint64_t kv_cover(const struct kv_view *view, struct entry_bytes key, uint64_t seqno);

/* The value that the operands which the reader gathered make with the base that was found (NULL:
 * none). Borrows and returns as kv_resolve(). */
int kv_conclude(struct kv_view *view, struct kv_reader *reader, struct entry_bytes key,
		unsigned flags, const struct entry *found, struct entry *ret_entry);

/* What fold_add() or fold_finish() returned, as kv_resolve() returns it; kv_error() says why. */
int kv_fold_failed(struct kv *kv, const struct kv_reader *reader, int result);

/* Notes what is corrupt. Returns KV_E_CORRUPT. */
int kv_corrupt(struct kv *kv, const char *text);

/* kv_files.c */

/* Opens those that 'files' doesn't have yet: a call that failed is gone on with by the next. By the
 * owner, or by the worker for a job that is its own. Returns 0, KV_E_CORRUPT ('error') or a
 * negative errno. */
int kv_files_open(const struct kv *kv, const struct ledger_edit *edit, struct kv_files *files,
		  char *error, size_t error_size);
/* 'before' (NULL: the empty version) with the edit and its files, which are read through the cache
 * from then on. Returns 0 or -ENOMEM. */
int kv_files_version(struct kv *kv, const struct version *before, const struct ledger_edit *edit,
		     const struct kv_files *files, struct version **ret_version);
/* Lets them go, and leaves zeros. */
void kv_files_put(struct kv *kv, struct kv_files *files);

/* kv_work.c */

/* Takes a version's change in, opens its files and makes it current. Blocks. Returns 0,
 * KV_E_CORRUPT or a negative errno. */
int kv_take_in(struct kv *kv, const struct ledger_edit *edit);

/* kv_pick.c: fills in the compaction that is due. Returns whether one is. */
bool kv_pick(struct kv *kv, struct compact_plan *ret_plan);

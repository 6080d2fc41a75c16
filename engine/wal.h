/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Wal - the write-ahead log of a store
 *
 * Every change is a record, and gets its number (LSN, from 1, rising by 1) when it
 * is appended. Records gather in a buffer; one write with one sync makes all of them
 * durable, while the next ones gather in another buffer. So a burst of changes shares a sync.
 *
 *      wal_append --> buffer --wal_flush--> write + fdatasync --wal_poll--> durable
 *
 * The log is a row of segment files wal-<number, 8 hex digits>. Each has its full size,
 * written with zeros and synced before it is used, so that a sync of the log changes no
 * metadata; what is not needed any more is used again under a new name. A segment is begun
 * after the one before it was synced. docs/format/wal.md has header, frames and the
 * rules by which a torn end, a stale frame and a hole are told apart.
 *
 * The log also writes records of its own, Durable, at the head of what a flush writes: so
 * the next append's LSN can be one more than the last one's plus one.
 *
 * Transactions are contiguous in the log: wal_begin() ... wal_commit(), with nothing of others in
 * between. An open one is not flushed: all of it waits in the buffer until its commit. So
 * only a power cut leaves a part of one, at the log's end; who recovers appends the
 * TransactionRollback that ends it before anything else. One change by itself needs no
 * transaction.
 *
 * A write that fails for want of room (ENOSPC) is tried again by the next wal_flush(). Any other
 * failure, and every failed sync, stops the log: wal_failed() has the errno, nothing
 * more is accepted, and opening the store again shows what was durable.
 *
 * While the last segment is half full and there is no spare, wal_poll() makes one, a slice of zeros
 * at a time. It opens each spare before it is needed, and gives released segments their next names,
 * all by operations of its queue: nothing blocks but the calls that say so.
 *
 * Threads: one owner.
 */

#include "engine/io.h"
#include "engine/record.h"

#include <stdbool.h>
#include <stdint.h>

/* Bytes that can wait in one of the two buffers; the largest transaction. */
#define WAL_BUFFER_MAX (UINT32_C(64) << 20)

/* Segments kept for use again. */
#define WAL_SPARE_MAX 16

enum {
	WAL_E_BUSY = 1, /* no room in the buffer until a flush ended */
	WAL_E_STOPPED,  /* wal_failed() says why */
	WAL_E_SIZE,     /* a record above RECORD_SIZE_MAX, or a transaction that no buffer holds */
};

struct wal_options {
	uint64_t segment_size; /* bytes, a multiple of IO_ALIGN; 0: 64 MiB */
	uint32_t buffer_size;  /* bytes of each of the two buffers, at most half a segment's; 0: 4
				  MiB,  or an eighth of a segment if that is less */
	uint32_t recycle_max;  /* segments kept for use again, up to WAL_SPARE_MAX; 0: 4 */
	uint64_t next_lsn;     /* behind what recovery read; 0: 1 */
	uint32_t store;        /* first bytes of the store's id: whose log it is */
	uint32_t salt;         /* of the segments; 0: random */
};

struct wal;

/* Where the log stands. */
struct wal_position {
	uint64_t next;    /* the next append's, at least */
	uint64_t durable; /* all up to this LSN survives a power cut; never within a transaction */
	uint64_t oldest;  /* first LSN in the oldest segment */

	/* The newest segment whose header is durable. */
	uint32_t segment; /* its number */
	uint64_t segment_first;
	uint64_t segment_size;
};

struct wal_stats {
	uint64_t records;
	uint64_t bytes;    /* of frames */
	uint64_t flushes;  /* that ended: records / flushes is the size of a group */
	uint64_t segments; /* begun */
	uint64_t recycled;
};

/*
 * Begins a segment of its own for 'next_lsn'; what a torn end left was cut off. Borrows 'io' until
 * wal_close(). Blocks. Returns 0, -EINVAL (sizes; or a segment that begins behind 'next_lsn') or a
 * negative errno.
 */
int wal_open(struct io *io, const struct wal_options *options, struct wal **ret_wal);

/*
 * Waits for what is under way, and settles; what was not flushed is gone. A log that ends durable
 * gets a last Durable record, so that damage to its end is known as such later. NULL is fine.
 */
void wal_close(struct wal *wal);

/*
 * Numbers the record (sets record->lsn) and copies it. Returns 0, WAL_E_BUSY, WAL_E_STOPPED or
 * WAL_E_SIZE; unless 0 nothing has changed.
 */
int wal_append(struct wal *wal, struct record *record);

/*
 * What follows is one transaction. wal_rollback() takes back what was appended since, LSNs
 * included: nothing of it was written. One at a time. wal_begin() and wal_commit() return
 * as wal_append(); after a commit that isn't 0 the transaction is still open. wal_rollback()
 * returns 0.
 */
int wal_begin(struct wal *wal, uint64_t tx, uint64_t timestamp);
int wal_commit(struct wal *wal, uint64_t timestamp, uint64_t *ret_lsn);
int wal_rollback(struct wal *wal, uint64_t timestamp);

/* Room for records of that many bytes in all (frames not counted; Begin and Commit are records too,
 * of WAL_RECORD_SIZE_MIN bytes): then 'count' appends don't say WAL_E_BUSY or WAL_E_SIZE. */
bool wal_has_room(const struct wal *wal, uint64_t bytes, uint32_t count);

/*
 * Begins to write what waits, unless a write is under way (it then follows by itself in
 * wal_poll()). Never blocks. 'sync' false leaves the sync to a later flush.
 */
void wal_flush(struct wal *wal, bool sync);

/* Takes the ends of writes. Never blocks. Returns whether anything changed. */
bool wal_poll(struct wal *wal);

/* Blocks until all that was appended, an open transaction aside, is durable. Returns 0, or the
 * errno for which it is not: -ENOSPC may be tried again. */
int wal_sync(struct wal *wal);

struct wal_position wal_position(const struct wal *wal);

/* 0, or the negative errno that stopped the log; -ENOSPC while it waits for room. */
int wal_failed(const struct wal *wal);

/* Segments all of whose records are below 'lsn' may go: wal_poll() uses them again, or removes
 * them. Doesn't block. Returns 0 or the negative errno that stopped the log. */
int wal_release(struct wal *wal, uint64_t lsn);

/* Blocks until what was released has gone. Returns 0, -ENOSPC (it waits for room, and is tried
 * again by the next flush) or the negative errno that stopped the log. */
int wal_settle(struct wal *wal);

struct wal_stats wal_stats(const struct wal *wal);

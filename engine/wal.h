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
 * The log is a row of segment files wal-<first LSN, 16 hex digits>. Each has its full size,
 * written with zeros and synced before it is used, so that a sync of the log changes no
 * metadata; what is not needed any more is used again under a new name. A segment is begun
 * after the one before it was synced. docs/format/wal.md has header, frames and the
 * rules by which a torn end, a stale frame and a hole are told apart.
 *
 * Transactions are contiguous in the log: wal_begin() ... wal_commit(), with nothing of others in
 * between. One change by itself needs none.
 *
 * A write that fails for want of room (ENOSPC) is tried again by the next wal_flush(). Any other
 * failure, and every failed sync, stops the log: wal_failed() has the errno, nothing
 * more is accepted, and opening the store again shows what was durable.
 *
 * Threads: one owner.
 */

#include "engine/io.h"
#include "engine/record.h"

#include <stdbool.h>
#include <stdint.h>

/* Bytes that can wait in one of the two buffers; the largest transaction. */
#define WAL_BUFFER_MAX (UINT32_C(64) << 20)

enum {
	WAL_E_BUSY = 1, /* no room in the buffer until a flush ended */
	WAL_E_STOPPED,  /* wal_failed() says why */
	WAL_E_SIZE,     /* a record above RECORD_SIZE_MAX, or a transaction that no buffer holds */
};

struct wal_options {
	uint64_t segment_size; /* bytes, a multiple of IO_ALIGN; 0: 64 MiB */
	uint32_t buffer_size;  /* bytes of each of the two buffers; 0: 4 MiB */
	uint32_t recycle_max;  /* segments kept for use again; 0: 4 */
	uint64_t next_lsn;     /* that the first append gets: after what recovery read, or 1 */
};

struct wal;

/* Where the log stands. */
struct wal_position {
	uint64_t next;    /* the next append's */
	uint64_t durable; /* all up to this LSN survives a power cut */
	uint64_t oldest;  /* first LSN in the oldest segment */
};

struct wal_stats {
	uint64_t records;
	uint64_t bytes;    /* of frames */
	uint64_t flushes;  /* that ended: records / flushes is the size of a group */
	uint64_t segments; /* begun */
	uint64_t recycled;
};

/* Begins a segment of its own for 'next_lsn'. Blocks. Returns 0 or a negative errno. */
int wal_open(struct io *io, const struct wal_options *options, struct wal **ret_wal);

/* Waits for what is under way; what was not flushed is gone. NULL is fine. */
void wal_close(struct wal *wal);

/*
 * Numbers the record (sets record->lsn) and copies it. Returns 0, WAL_E_BUSY, WAL_E_STOPPED or
 * WAL_E_SIZE; unless 0 nothing has changed.
 */
int wal_append(struct wal *wal, struct record *record);

/*
 * What follows is one transaction. wal_rollback() takes back what was appended since, LSNs
 * included; if part of it was flushed already it ends it by a TransactionRollback instead.
 * One at a time. Returns as wal_append().
 */
int wal_begin(struct wal *wal, uint64_t tx, uint64_t timestamp);
int wal_commit(struct wal *wal, uint64_t timestamp, uint64_t *ret_lsn);
int wal_rollback(struct wal *wal, uint64_t timestamp);

/* Room for records of that many bytes in all (frames not counted): then 'count' appends don't say
 * WAL_E_BUSY. */
bool wal_has_room(const struct wal *wal, uint64_t bytes, uint32_t count);

/*
 * Begins to write what waits, unless a write is under way (it then follows by itself in
 * wal_poll()). Never blocks. 'sync' false leaves the sync to a later flush.
 */
void wal_flush(struct wal *wal, bool sync);

/* Takes the ends of writes. Never blocks. Returns whether anything changed. */
bool wal_poll(struct wal *wal);

/* Blocks until all that was appended is durable. Returns 0, or the errno for which it is not. */
int wal_sync(struct wal *wal);

struct wal_position wal_position(const struct wal *wal);

/* 0, or the negative errno that stopped the log; -ENOSPC while it waits for room. */
int wal_failed(const struct wal *wal);

/* Segments all of whose records are below 'lsn' may go: they are used again, or removed. May block
 * briefly: see wal.c. */
int wal_release(struct wal *wal, uint64_t lsn);

struct wal_stats wal_stats(const struct wal *wal);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Wal reader - the log's records in order, checked
 *
 * Reads the segments of a folder from a given LSN on, or one file by itself. It takes memory for
 * one or two pieces of a file, whatever the size of the log.
 *
 * It ends in one of three ways: at the end; at a torn end, which a power cut leaves and which
 * the caller cuts off (wal_reader_cut()); or at a hole: bytes that were durable once, as records
 * behind them prove, and are not what they were. A hole is an error that names LSN and offset.
 * Salvage goes on at the first whole record behind a hole, and says that there was one: which
 * records belonged together is then the caller's to judge (wal_reader_is_behind_hole()).
 *
 * Records are given out as they stand in the log: those of unfinished transactions, and the log's
 * own (Durable), too. A transaction that is open at the end was not committed, and has to be ended
 * by a TransactionRollback, the first record that is appended.
 *
 * Threads: one.
 */

#include "engine/io.h"
#include "engine/record.h"
#include "engine/wal_format.h"

enum {
	WAL_READER_E_END = 1, /* no more records */
	WAL_READER_E_TORN,    /* the same; and behind the last record lies one that never became
				 durable */
	WAL_READER_E_CORRUPT, /* a hole, or no log: the text says what and where */
};

struct wal_reader;

/* Where a record, or the trouble, is. */
struct wal_place {
	char file[IO_NAME_MAX + 1];
	uint64_t offset;
	uint64_t lsn; /* of the record; of the one that is missing */
};

struct wal_reader_options {
	uint64_t from;    /* first LSN wanted; 0: all there are */
	uint64_t durable; /* all up to here was durable, as the caller knows: no end comes before */
	const char *file; /* read only this one (versions 1 and 2); NULL: the folder's segments */
	uint32_t store;   /* whose log it is; 0: anybody's */
	bool ahead;       /* of all segments but the last a queue reads what comes next */
	bool salvage;     /* skip holes, and say so in the stats and in wal_reader_error() */
};

/* Returns 0, WAL_READER_E_CORRUPT ('error' says; also: the log begins behind 'from') or a negative
 * errno. -ENOENT: there is no log. */
int wal_reader_open(struct io *io, const struct wal_reader_options *options,
		    struct wal_reader **ret_reader, char *error, size_t error_size);
void wal_reader_close(struct wal_reader *reader);

/* The record borrows until the next call. Returns 0, one of the three (then again and again), or a
 * negative errno. A log that ends before 'from' is corrupt. */
int wal_reader_next(struct wal_reader *reader, struct record *ret_record);

/* Whether salvage passed over a hole, or several, right before the record last given out, or the
 * end. */
bool wal_reader_is_behind_hole(const struct wal_reader *reader);

struct wal_place wal_reader_place(const struct wal_reader *reader);

/* What the last WAL_READER_E_CORRUPT, or skipped hole, was: one line. */
const char *wal_reader_error(const struct wal_reader *reader);

/* After WAL_READER_E_TORN: writes zeros over what lies behind the end, and syncs, so that nothing
 * of it comes back. The file keeps its size: a shorter one has lost its end (engine/recover.h). */
int wal_reader_cut(struct wal_reader *reader);

/*
 * At the end, cut or not: writes again, in its place, what of the last segment no sync is known to
 * have covered, and syncs. What was read is durable then, which a sync by itself doesn't make it
 * when one failed before (engine/wal_tail.h). Blocks. Returns 0 or a negative errno.
 */
int wal_reader_rewrite(struct wal_reader *reader);

struct wal_reader_stats {
	uint64_t records;
	uint64_t bytes;   /* of files */
	uint64_t skipped; /* bytes that salvage left out */
	uint64_t missing; /* LSNs of records that it left out, as far as it can tell */
	uint64_t holes;   /* that it went on behind */
	uint64_t memory;  /* bytes taken */
};

struct wal_reader_stats wal_reader_stats(const struct wal_reader *reader);

/* Header of the file that is being read. */
struct wal_header wal_reader_header(const struct wal_reader *reader);

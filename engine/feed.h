/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Feed - every change of a key space, in the order of its number
 *
 * A feed reads from any number on, through tables, sealed memtables and the live one, at whose end
 * it waits. Superseded versions are there, values in blob files are resolved, merge operands come
 * raw. It gives out what is visible and durable, so nothing of a transaction before all of it is.
 *
 *      tables, skipped by bounds --+
 *      sealed memtables -----------+--> window, in memory --------------> feed_next()
 *      live memtable --------------+        |  full        ^  in order
 *                                           +--> runs -----+  (with 'scratch')
 *
 * Memory is bounded: entries of a table aren't in the order of their numbers, so a pass over the
 * sources collects them in a window of feed_options.memory bytes. Tables and blocks whose bounds
 * (smallest and largest number) say that nothing for the window is in them aren't read. What is
 * behind the position and doesn't fit in the window costs:
 *
 *      with 'scratch'      one reading of the tables that have it; what has no room is written to a
 *                          file and read back once, in order (engine/feed_runs.h). Tables with
 *                          numbers of their own, as they are flushed, are taken one after the
 *                          other, so the file has what compaction has mixed, at most. It takes that
 *                          much room, of uncompressed keys and values, until they are given out.
 *                          Where the disk has less, or there are more than 512 windows with 16
 *                          MiB (2,048 with 64), passes sort half as many numbers, and half of
 *                          those; where no file can be made, it is as below.
 *      without, and        a pass for each window: the smallest numbers are kept, the others are
 *      for poll cores      read again by the next. Passes are the bytes of keys and values behind
 *                          the position, by 3/8 of 'memory'; or the entries, of which a window has
 *                          one for each 224 bytes of it; and where compaction has mixed all, each
 *                          reads all of the tables.
 *
 * Between passes a feed holds on to nothing: a reader that is slow keeps no memtable and no table,
 * and goes on from where its position lies by then. (Values out of line keep their files until the
 * window, or all of the runs, is given out.)
 *
 * A reader that asks for what compaction dropped gets FEED_E_GAP and the oldest number that can be
 * had; one with a name (engine/retention.h) keeps its history.
 *
 * A position is (number, index within it), and travels as a token (engine/feed_token.h).
 *
 * Threads: the key space's owner.
 */

#include "engine/feed_token.h"
#include "engine/kv.h"

/* Bytes of the window: a quarter is for entries, the rest for keys and values. */
#define FEED_MEMORY_DEFAULT (UINT64_C(16) << 20)
#define FEED_MEMORY_MIN     (UINT64_C(4) << 20)
#define FEED_MEMORY_MAX     (UINT64_C(4) << 30)

/* Entries that one call looks at with feed_options.wait_never. */
#define FEED_STEP_MAX 4096

/* Bytes of feed_error(), final zero included. */
#define FEED_ERROR_SIZE 256

enum feed_event_kind {
	FEED_INSERT,
	FEED_MERGE_OPERAND,
	FEED_POINT_TOMBSTONE,
	FEED_RANGE_TOMBSTONE,
};

struct feed_event {
	enum feed_event_kind kind;
	uint64_t seqno;
	uint32_t index; /* within the number: range tombstones first, then by key */
	struct entry_bytes key;
	struct entry_bytes value; /* Insert: the value; MergeOperand: the operand; RangeTombstone:
				     the end */
	uint64_t expires;         /* Insert */
	uint8_t type;             /* Insert: value_type; MergeOperand: the operator */
	bool weak;                /* PointTombstone */
};

enum {
	FEED_E_END = 1, /* caught up: nothing more up to the bound, or, when following, for now */
	FEED_E_GAP,     /* what is asked for is gone: feed_oldest() */
	FEED_E_CORRUPT, /* feed_error() */
	FEED_E_WAIT,    /* with wait_never: call again, after kv_poll() */
};

struct feed_options {
	struct feed_position since; /* inclusive; zeros: from the first number on */
	bool follow;  /* no upper bound: go on with what comes. Else what is visible and durable
			 at feed_open() is the bound */
	bool visible; /* gives out what is acknowledged, durable or not: for what is lost with the
			 process as well, such as an index in memory */
	bool wait_never;      /* for poll cores: FEED_E_WAIT instead of blocking or long work */
	bool distrust_bounds; /* reads every table and every block */
	uint64_t memory;    /* bytes of the window, from MIN to MAX, and half as many while it reads
			       runs; 0: FEED_MEMORY_DEFAULT */
	uint32_t window;    /* events in it, at most; 0: as many as fit. A range tombstone of which
			       compaction made more pieces comes in several without 'scratch' */
	struct io *scratch; /* borrowed: the folder that a file may be made in; NULL: none. Not
			       looked at with wait_never */
};

struct feed_cost {
	uint64_t blocks;  /* of tables, read from files */
	uint64_t bytes;   /* of those */
	uint64_t scratch; /* written to and read from the feed's own file */
};

struct feed;

/* Takes the window's memory, of which pages are used as it fills. The key space outlives it.
 * Returns 0 or -ENOMEM. */
int feed_open(struct kv *kv, const struct feed_options *options, struct feed **ret_feed);

/* NULL is fine. */
void feed_close(struct feed *feed);

/*
 * The next event, in the order of numbers. Its bytes borrow until the next call, or kv_close().
 *
 * Returns 0, FEED_E_END, FEED_E_GAP, FEED_E_CORRUPT, FEED_E_WAIT or a negative errno. After
 * any of them it may be called again: it goes on from the same position.
 */
int feed_next(struct feed *feed, struct feed_event *ret_event);

/* The smallest number that can be asked for. */
uint64_t feed_oldest(const struct feed *feed);

/* Where the next event is, or would be: what a reader that has handled all events so far keeps. */
struct feed_position feed_position(const struct feed *feed);

/* Every change below this was given out ("resolved up to"). */
uint64_t feed_resolved(const struct feed *feed);

/* What passes have cost so far, values out of line not counted. */
struct feed_cost feed_cost(const struct feed *feed);

/* What the last FEED_E_CORRUPT was: one line. */
const char *feed_error(const struct feed *feed);

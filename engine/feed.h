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
 *      sealed memtables -----------+--> window: the FEED_WINDOW smallest --> feed_next()
 *      live memtable --------------+         numbers from the position on
 *
 * Memory is bounded: entries of a table aren't in the order of their numbers, so a pass over all
 * sources collects the smallest numbers from the position on, they are given out, and the next
 * pass goes on behind them. Tables and blocks whose bounds (smallest and largest number) say that
 * nothing for the window is in them aren't read. Between passes a feed holds on to nothing: a
 * reader that is slow keeps no memtable and no table, and goes on from where its position lies by
 * then. (A window with values out of line keeps their files until it is given out.)
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

/* Events that one pass collects. */
#define FEED_WINDOW_MAX 16384

/* Bytes of their keys and values. */
#define FEED_WINDOW_SIZE_MAX (UINT32_C(8) << 20)

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
	uint32_t window; /* events a pass, at most; 0: FEED_WINDOW_MAX. A range tombstone of which
			    compaction made more pieces comes in several */
};

struct feed;

/* Takes all its memory. The key space outlives it. Returns 0 or -ENOMEM. */
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

/* What passes have cost so far: table blocks read, and bytes from files, values out of line not
 * counted. */
void feed_cost(const struct feed *feed, uint64_t *ret_blocks, uint64_t *ret_bytes);

/* What the last FEED_E_CORRUPT was: one line. */
const char *feed_error(const struct feed *feed);

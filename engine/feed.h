/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Feed - every change of a key space, in the order of its number
 *
 * A feed reads from any number on: first what lies in tables, whose blocks it skips when their
 * bounds (smallest and largest number) say that nothing wanted is in them; then sealed memtables;
 * then the live one, at whose end it waits. Superseded versions are there, values in blob files are
 * resolved, merge operands come raw. It gives out what is durable, and nothing of a transaction
 * before all of it is.
 *
 * Memory is bounded: entries of a table are not in the order of their numbers, so a pass collects
 * the FEED_WINDOW smallest numbers from the position on, gives them out, and goes on behind them;
 * blocks all of whose numbers are above what the window already holds are skipped too.
 *
 * A reader that asks for what compaction dropped gets FEED_E_GAP and the oldest number that can be
 * had.
 *
 * A position is (number, index within it), and travels as a token that names the store and has a
 * checksum (docs/format/feed.md).
 *
 * Threads: the key space's owner.
 */

#include "engine/kv.h"

/* Events that one pass collects. */
#define FEED_WINDOW 16384

/* Bytes of a token. */
#define FEED_TOKEN_SIZE 48

enum feed_event_kind {
	FEED_INSERT,
	FEED_MERGE_OPERAND,
	FEED_POINT_TOMBSTONE,
	FEED_RANGE_TOMBSTONE,
};

struct feed_event {
	enum feed_event_kind kind;
	uint64_t seqno;
	uint32_t index; /* within the number */
	struct entry_bytes key;
	struct entry_bytes
		value; /* Insert: the value; MergeOperand: the operand; RangeTombstone: the end */
	uint64_t expires; /* Insert */
	uint8_t type;     /* Insert: value_type; MergeOperand: the operator */
	bool weak;        /* PointTombstone */
};

enum {
	FEED_E_END = 1, /* caught up: nothing more up to the bound, or, when following, for now */
	FEED_E_GAP,     /* what is asked for is gone: feed_oldest() */
	FEED_E_CORRUPT, /* feed_error() */
	FEED_E_TOKEN,   /* no token, or one of another store */
};

struct feed_options {
	uint64_t since; /* inclusive */
	uint32_t index; /* skip this many events of number 'since' */
	bool follow;    /* no upper bound: go on with what comes */
	bool distrust_bounds;
};

struct feed;
int feed_open(struct kv *kv, const struct feed_options *options, struct feed **ret_feed);
void feed_close(struct feed *feed);
/* Borrows until the next call. Returns 0, FEED_E_END, FEED_E_GAP, FEED_E_CORRUPT or a negative
 * errno. */
int feed_next(struct feed *feed, struct feed_event *ret_event);
uint64_t feed_oldest(const struct feed *feed);
/* All changes below this were given out ("resolved up to"). */
uint64_t feed_resolved(const struct feed *feed);
const char *feed_error(const struct feed *feed);

void feed_token(const struct feed *feed, uint8_t token[FEED_TOKEN_SIZE]);
int feed_token_read(const struct kv *kv, const uint8_t token[FEED_TOKEN_SIZE],
		    struct feed_options *ret_options);

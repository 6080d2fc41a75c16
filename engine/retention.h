/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Retention - from which number on history is kept
 *
 *      limit(pin_age, pin_size)   limit(age, size)        last change
 *      ----------|----------------------|---------------------->
 *        nobody's     kept as long as a     kept for anybody
 *                  reader's pin is there
 *
 * Changes younger than 'age', the last 'size' bytes of them at most, are kept for whoever comes. A
 * reader with a name has a pin at its position and keeps what lies behind that, but no further back
 * than 'pin_age' and 'pin_size': a reader that died doesn't fill the disk. Its pin has
 * lapsed then, and it gets a gap. The floor (kv_set_floor) is the smaller of the two positions, and
 * never falls.
 *
 * Pins are in the ledger, where others than us put theirs, too. When which number was reached is in
 * the file "history" (docs/format/history.md): if it is lost, more history is kept than asked for,
 * never less. What it says is durable.
 *
 * Both are written by a worker. A pin that is set or taken away counts at once for who asks for it,
 * and is in the ledger when retention_is_saved() says so; a crash before that leaves the one of
 * before. So the floor keeps to both, and what the ledger's pin needs is there.
 *
 *      retention_pin() --> staged --retention_work()--> a job --retention_job()--> the ledger
 *
 * Threads: the key space's owner; retention_job() by any one other thread, or the owner.
 */

#include "engine/feed_token.h"
#include "engine/history.h"
#include "engine/io.h"
#include "engine/ledger.h"

/* Readers with a name, whoever pinned them. */
#define RETENTION_READER_MAX LEDGER_PIN_MAX

/* A limit that there isn't. */
#define RETENTION_FOREVER HISTORY_NO_LIMIT

/* Readers that may be set or taken away before a job has to be done. */
#define RETENTION_STAGED_MAX 64

/* The file of samples is written at most this often. */
#define RETENTION_SAVE_SECONDS 300

enum {
	RETENTION_E_INVALID = 1, /* no name: empty, too long, other than [A-Za-z0-9._-] */
	RETENTION_E_FULL,        /* RETENTION_READER_MAX, and none has lapsed */
	RETENTION_E_ABSENT,      /* no reader of that name */
	RETENTION_E_CORRUPT,     /* the file "history" is damaged or another store's */
	RETENTION_E_BUSY,        /* RETENTION_STAGED_MAX: retention_job() first */
	RETENTION_E_IDLE,        /* retention_job(): nothing to do */
};

struct retention_options {
	uint64_t age;      /* seconds; 0: a day */
	uint64_t size;     /* bytes of keys and values written; 0: 1 GiB */
	uint64_t pin_age;  /* seconds; 0: a week */
	uint64_t pin_size; /* bytes; 0: 8 GiB */
};

struct retention_reader {
	struct feed_position position;
	uint64_t updated; /* Unix seconds */
	bool lapsed;      /* it keeps nothing any more */
};

struct retention;

/* Borrows 'io' and 'ledger'. Returns 0, RETENTION_E_CORRUPT (a caller may remove the file: see
 * above) or a negative errno. */
int retention_open(struct io *io, struct ledger *ledger, const struct retention_options *options,
		   struct retention **ret_retention);

/* NULL is fine. Saves nothing. No job is under way. */
void retention_close(struct retention *retention);

/* 'bytes' of keys and values were written, up to 'seqno', at 'now' (Unix seconds). Once a commit.
 */
void retention_note(struct retention *retention, uint64_t seqno, uint64_t now, uint64_t bytes);

/* What kv_set_floor() is to be given at 'now'. */
uint64_t retention_floor(struct retention *retention, uint64_t now);

/* Takes in what a job has done and begins the next, if something is due. All up to 'durable'
 * survives a power cut. Never blocks. Returns whether a job waits. */
bool retention_work(struct retention *retention, uint64_t now, uint64_t durable);

/* What waits. Blocks. Returns 0, RETENTION_E_IDLE or a negative errno: then it still waits, and
 * what is on the disk is as it was, or as it is to be. */
int retention_job(struct retention *retention);

/* Has all pins in the ledger; and what was noted in the file, if all of it is durable. Both block,
 * and no job is under way elsewhere. Return 0 or a negative errno, as retention_job(). */
int retention_sync(struct retention *retention);
int retention_save(struct retention *retention, uint64_t now, uint64_t durable);

/*
 * Sets a reader's position. When there are too many readers one that has lapsed goes. Never blocks.
 *
 * Returns 0, RETENTION_E_INVALID, RETENTION_E_FULL or RETENTION_E_BUSY.
 */
int retention_pin(struct retention *retention, const char *name, struct feed_position position,
		  uint64_t now);

/* Forgets the reader. Never blocks. Returns 0, RETENTION_E_ABSENT or RETENTION_E_BUSY. */
int retention_unpin(struct retention *retention, const char *name);

/* Whether the last that was done to the reader survives a power cut; known after the
 * retention_work() behind the job. */
bool retention_is_saved(const struct retention *retention, const char *name);

/* Returns 0 or RETENTION_E_ABSENT. */
int retention_find(struct retention *retention, const char *name, uint64_t now,
		   struct retention_reader *ret_reader);

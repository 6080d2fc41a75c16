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
 * never less.
 *
 * Threads: the key space's owner.
 */

#include "engine/feed_token.h"
#include "engine/history.h"
#include "engine/io.h"
#include "engine/ledger.h"

/* Readers with a name, whoever pinned them. */
#define RETENTION_READER_MAX LEDGER_PIN_MAX

/* A limit that there isn't. */
#define RETENTION_FOREVER HISTORY_NO_LIMIT

/* The file of samples is written at most this often. */
#define RETENTION_SAVE_SECONDS 300

enum {
	RETENTION_E_INVALID = 1, /* no name: empty, too long, other than [A-Za-z0-9._-] */
	RETENTION_E_FULL,        /* RETENTION_READER_MAX, and none has lapsed */
	RETENTION_E_ABSENT,      /* no reader of that name */
	RETENTION_E_CORRUPT,     /* the file "history" is damaged or another store's */
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

/* NULL is fine. Saves nothing. */
void retention_close(struct retention *retention);

/* 'bytes' of keys and values were written, up to 'seqno', at 'now' (Unix seconds). Once a commit.
 */
void retention_note(struct retention *retention, uint64_t seqno, uint64_t now, uint64_t bytes);

/* What kv_set_floor() is to be given at 'now'. */
uint64_t retention_floor(struct retention *retention, uint64_t now);

/* Whether retention_save() has something to write that has waited long enough. */
bool retention_is_due(const struct retention *retention, uint64_t now);

/* Writes the file, if anything was noted. Blocks. Returns 0 or a negative errno: then the file is
 * as it was before, or as it is to be. */
int retention_save(struct retention *retention, uint64_t now);

/*
 * Sets a reader's position, for good. Blocks: readers do this now and then, not for each event.
 * When there are too many readers one that has lapsed goes.
 *
 * Returns 0, RETENTION_E_INVALID, RETENTION_E_FULL or a negative errno.
 */
int retention_pin(struct retention *retention, const char *name, struct feed_position position,
		  uint64_t now);

/* Forgets the reader. Blocks. Returns 0, RETENTION_E_ABSENT or a negative errno. */
int retention_unpin(struct retention *retention, const char *name);

/* Returns 0 or RETENTION_E_ABSENT. */
int retention_find(struct retention *retention, const char *name, uint64_t now,
		   struct retention_reader *ret_reader);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Feed runs - entries that don't fit in memory, sorted through a file
 *
 * The way of sorting for what is larger than memory (Knuth, volume 3, 5.4): rows that were sorted
 * in memory are written one behind the other, and then read side by side, the smallest foremost.
 *
 *      feed_runs_add() ... feed_runs_add()   feed_runs_begin()   feed_runs_entry() feed_runs_next()
 *
 * The file has a name for as long as it takes to remove it, is never synced, and is gone when it
 * is closed or the process ends. Each chunk of it has a CRC-32C that also covers its place.
 *
 * Threads: one.
 */

#include "engine/entry.h"
#include "engine/io.h"

/* Bytes that are written and read at once; a run that is read has one in memory. */
#define FEED_RUNS_CHUNK (16 << 10)

enum {
	FEED_RUNS_E_FULL = 1, /* as many runs as can be read side by side */
	FEED_RUNS_E_CORRUPT,  /* what was read isn't what was written */
};

struct feed_runs;

/* Whether a file that a process has left behind is of that kind: one that ended just before it
 * could remove the name. */
bool feed_runs_is_name(const char *name);

/* Of 'run_max' runs at most. Borrows 'io'. Returns 0 or a negative errno. */
int feed_runs_new(struct io *io, uint32_t run_max, struct feed_runs **ret_runs);

/* NULL is fine. */
void feed_runs_free(struct feed_runs *runs);

/* Writes a run: entries in the feed's order (feed_window_compare()), of which there are some.
 * Returns 0, FEED_RUNS_E_FULL or a negative errno: unless 0, nothing can be done but free. */
int feed_runs_add(struct feed_runs *runs, const struct entry *entries, uint32_t count);

/* Stands at the first entry of all; no run comes any more. Returns 0, FEED_RUNS_E_CORRUPT or a
 * negative errno. */
int feed_runs_begin(struct feed_runs *runs);

/* Where it stands; NULL: behind the last. Borrows until the next move. */
const struct entry *feed_runs_entry(const struct feed_runs *runs);

/* To the next. Returns as feed_runs_begin(). */
int feed_runs_next(struct feed_runs *runs);

/* Bytes written to and read from the file so far. */
uint64_t feed_runs_bytes(const struct feed_runs *runs);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Feed window - the first entries, by number, of all that were offered
 *
 * Entries come in any order; the window keeps the smallest that it has room for. Their order is
 * the feed's: by number; within one, range tombstones first, then by key. What was turned away, or
 * had to make room, is at or behind the limit: everything before that is in the window.
 *
 *      feed_window_add() ... feed_window_add()   feed_window_seal()   entries[0 .. count)
 *
 * Or it takes what it has room for and turns away the rest, of a row without order
 * (feed_window_append()) or of one in order (feed_window_extend()).
 *
 * A range tombstone that compaction cut into pieces (of one number, side by side) is put together.
 *
 * Threads: one.
 */

#include "engine/entry.h"

#include <stdbool.h>
#include <stdint.h>

/* A copy of where an entry stands in the order. */
struct feed_mark {
	struct entry entry; /* its key lies in 'key', its value isn't there */
	bool set;
	uint8_t key[ENTRY_KEY_MAX];
};

struct feed_window {
	struct entry *entries; /* owned; in no order until it is sealed */
	uint8_t *bytes;        /* owned: their keys and values */
	uint32_t count;
	uint32_t count_max;
	uint32_t size; /* of what 'entries' point to */
	uint32_t size_max;
	uint32_t used;          /* of 'bytes', which has room for twice size_max */
	bool ascending;         /* they came in order so far */
	bool heap;              /* 'entries' is one, the largest foremost: it was full once */
	bool has_blobs;         /* one was added */
	bool extended;          /* by feed_window_extend() */
	struct feed_mark limit; /* set: there are entries from here on that aren't in it */
	struct feed_mark last;  /* sealed: the last entry, before pieces were put together; the last
				   piece that feed_window_extend() put to one */
};

/* Takes all memory it will need. Returns 0 or -ENOMEM. */
int feed_window_init(struct feed_window *window, uint32_t count_max, uint32_t size_max);
void feed_window_deinit(struct feed_window *window);

void feed_window_clear(struct feed_window *window);

/* Copies the entry, if it is among the first. */
void feed_window_add(struct feed_window *window, const struct entry *entry);

/* Copies the entry, wherever it stands in the order. False: there is no room, and nothing was
 * done. One entry has room in an empty window. */
bool feed_window_append(struct feed_window *window, const struct entry *entry);

/* The same with a row in order, of which pieces of a range tombstone are put together on the way.
 * False: the entry is the limit. */
bool feed_window_extend(struct feed_window *window, const struct entry *entry);

/* Whether the entry, and all behind it, would be turned away. */
bool feed_window_is_beyond(const struct feed_window *window, const struct entry *entry);

/* Puts them in order. */
void feed_window_seal(struct feed_window *window);

/* Puts them in order, and no pieces together. */
void feed_window_sort(struct feed_window *window);

/* The order: negative, 0 or positive. */
int feed_window_compare(const struct entry *a, const struct entry *b);

void feed_mark_set(struct feed_mark *mark, const struct entry *entry);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Merger - sources as one row of entries in order
 *
 * A binary heap of the sources, the next entry on top. A step moves the top source and sinks it;
 * mostly it stays, which takes one or two comparisons. Nothing is allocated by a step.
 *
 * Threads: one at a time.
 */

#include "engine/source.h"

struct merger {
	struct source *sources; /* borrowed */
	uint32_t *heap;         /* indices of sources that stand somewhere */
	uint32_t source_count;
	uint32_t heap_count;
	uint32_t failed; /* the source whose answer was an error */
	bool backward;   /* the largest key on top: only to look at */
};

/* Stands nowhere. Returns 0 or -ENOMEM. */
int merger_init(struct source *sources, uint32_t count, struct merger *ret_merger);
void merger_deinit(struct merger *merger);

/* All sources to the first entry at or behind (key, seqno). Returns as source_seek(). */
int merger_seek(struct merger *merger, struct entry_bytes key, uint64_t seqno);

/* All sources to the last entry of keys before 'key', or of all keys ('last'); the top has the
 * largest key. */
int merger_seek_before(struct merger *merger, struct entry_bytes key, bool last);

/* The entry on top, or NULL. */
const struct entry *merger_entry(const struct merger *merger);

/* Behind the top entry; after merger_seek() only. */
int merger_next(struct merger *merger);

const char *merger_error(const struct merger *merger);

/* The table that the last failure was in, or NULL. */
const struct table *merger_failed_table(const struct merger *merger);

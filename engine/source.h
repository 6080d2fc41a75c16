/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Source - one of the ordered rows of entries that a read or a compaction merges
 *
 * A memtable, a table, or a run: the tables of one level from 1 on, one behind the other. Range
 * tombstones aren't among the entries.
 *
 * Threads: one at a time.
 */

#include "engine/memtable.h"
#include "engine/table.h"

#include <stdbool.h>

enum {
	SOURCE_E_WAIT = 1, /* wait_never: ask again later; the source stands nowhere */
	SOURCE_E_CORRUPT,  /* source_error() */
};

struct source {
	const struct entry *entry; /* where it stands; NULL: nowhere */
	const struct memtable *memtable;
	const struct memtable_node *node;
	struct table *const *tables;      /* borrowed: one, or a run's */
	const struct entry_bytes *firsts; /* of a run: where each table begins and ends */
	const struct entry_bytes *lasts;
	uint32_t table_count;
	uint32_t index; /* of the table that the cursor is in */
	struct table_cursor *cursor;
	struct table_cursor_options options;
};

/* Stands nowhere. Borrows the memtable. */
void source_init_memtable(const struct memtable *memtable, struct source *ret_source);

/* Stands nowhere. Borrows the arrays; 'firsts' and 'lasts' may be NULL for one table. */
void source_init_tables(struct table *const *tables, const struct entry_bytes *firsts,
			const struct entry_bytes *lasts, uint32_t count,
			const struct table_cursor_options *options, struct source *ret_source);
void source_deinit(struct source *source);

/* To the first entry at or behind (key, seqno), or to the last before (key, UINT64_MAX), which is
 * the last of smaller keys. An empty key is before all. Return 0 (also when there is none),
 * SOURCE_E_WAIT, SOURCE_E_CORRUPT or a negative errno. */
int source_seek(struct source *source, struct entry_bytes key, uint64_t seqno);
int source_seek_before(struct source *source, struct entry_bytes key);
int source_seek_last(struct source *source);

/* From where it stands. Return as above. */
int source_next(struct source *source);

/* One line about the last SOURCE_E_CORRUPT. */
const char *source_error(const struct source *source);

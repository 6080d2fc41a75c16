/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Store census - what a store's life came by
 *
 * A life that is cut at every step proves nothing of what it doesn't do. So what it does is
 * counted, and a life that is to touch everything fails when it leaves something out.
 *
 * Threads: one.
 */

#include "engine/store.h"

#include <stdint.h>

enum census_kind {
	/* What is asked of the store: who asks counts. */
	CENSUS_PUT,
	CENSUS_PUT_TTL,
	CENSUS_EXPIRED,
	CENSUS_DELETE,
	CENSUS_DELETE_WEAK,
	CENSUS_DELETE_RANGE,
	CENSUS_MERGE,
	CENSUS_EDGE_ADD,
	CENSUS_EDGE_REMOVE,
	CENSUS_VECTOR_PUT,
	CENSUS_VECTOR_DELETE,
	CENSUS_SCHEMA,
	CENSUS_INGEST,
	CENSUS_SYNC,
	CENSUS_GROUP,
	CENSUS_NONE,
	CENSUS_ROLLBACK,
	CENSUS_SNAPSHOT,
	CENSUS_PIN,
	CENSUS_UNPIN,
	CENSUS_REOPEN,
	/* What it does then: store_census_look() counts. */
	CENSUS_FLUSH,
	CENSUS_COMPACTION,
	CENSUS_BLOB,
	CENSUS_BLOB_REMOVED,
	CENSUS_CHECKPOINT,
	CENSUS_HISTORY_CUT,
	CENSUS_ROTATION,
	CENSUS_SEGMENT_RECYCLED,
	CENSUS_COUNT,
};

struct store_census {
	uint64_t counts[CENSUS_COUNT];
	uint64_t flushed; /* all below: what the last look saw */
	uint64_t table;   /* largest number of one */
	uint64_t blob;
	uint64_t checkpoint;
	uint64_t history;
	uint64_t segments; /* since the opening */
	uint64_t recycled;
	uint32_t blob_count;
};

/* The store was opened again: its own counts begin anew. */
void store_census_reopen(struct store_census *census);

/* After each slice of the store's work. */
void store_census_look(struct store_census *census, struct store *store);

/* The first thing that never happened; NULL: everything did. */
const char *store_census_missing(const struct store_census *census);

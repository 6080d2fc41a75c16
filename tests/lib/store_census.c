/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/lib/store_census.h"

#include "base/defs.h"

static const char *const names[CENSUS_COUNT] = {
	[CENSUS_PUT] = "put",
	[CENSUS_PUT_TTL] = "put with a time to live",
	[CENSUS_EXPIRED] = "value that expired",
	[CENSUS_DELETE] = "delete",
	[CENSUS_DELETE_WEAK] = "weak delete",
	[CENSUS_DELETE_RANGE] = "range delete",
	[CENSUS_MERGE] = "merge",
	[CENSUS_EDGE_ADD] = "edge added",
	[CENSUS_EDGE_REMOVE] = "edge removed",
	[CENSUS_VECTOR_PUT] = "vector put",
	[CENSUS_VECTOR_DELETE] = "vector deleted",
	[CENSUS_SCHEMA] = "schema put",
	[CENSUS_INGEST] = "table ingested",
	[CENSUS_SYNC] = "commit of durability sync",
	[CENSUS_GROUP] = "commit of durability group",
	[CENSUS_NONE] = "commit of durability none",
	[CENSUS_ROLLBACK] = "rollback",
	[CENSUS_SNAPSHOT] = "snapshot",
	[CENSUS_PIN] = "pin",
	[CENSUS_UNPIN] = "unpin",
	[CENSUS_REOPEN] = "reopening",
	[CENSUS_FLUSH] = "flush",
	[CENSUS_COMPACTION] = "compaction",
	[CENSUS_BLOB] = "blob file",
	[CENSUS_BLOB_REMOVED] = "blob file collected",
	[CENSUS_CHECKPOINT] = "checkpoint",
	[CENSUS_HISTORY_CUT] = "history cut",
	[CENSUS_ROTATION] = "rotation of the log",
	[CENSUS_SEGMENT_RECYCLED] = "segment of the log used again",
};

static void look_at_tables(struct store_census *census, const struct ledger_state *state)
{
	uint64_t last = census->table;

	for (uint32_t i = 0; i < state->table_count; i++) {
		const struct ledger_table *table = &state->tables[i];

		census->counts[CENSUS_COMPACTION] +=
			table->number > census->table && table->level > 0;
		last = MAX(last, table->number);
	}
	census->table = last;
}

static void look_at_blobs(struct store_census *census, const struct ledger_state *state)
{
	uint64_t last = census->blob;
	uint32_t fresh = 0;

	for (uint32_t i = 0; i < state->blob_count; i++) {
		fresh += state->blobs[i].number > census->blob;
		last = MAX(last, state->blobs[i].number);
	}
	census->counts[CENSUS_BLOB] += fresh;
	census->counts[CENSUS_BLOB_REMOVED] += census->blob_count + fresh - state->blob_count;
	census->blob_count = state->blob_count;
	census->blob = last;
}

/* The first segment is the opening's. */
static void look_at_log(struct store_census *census, struct wal_stats stats)
{
	census->counts[CENSUS_ROTATION] += stats.segments - MAX(census->segments, 1);
	census->counts[CENSUS_SEGMENT_RECYCLED] += stats.recycled - census->recycled;
	census->segments = stats.segments;
	census->recycled = stats.recycled;
}

static void look_at_number(uint64_t *count, uint64_t *seen, uint64_t number)
{
	*count += number > *seen;
	*seen = number;
}

void store_census_reopen(struct store_census *census)
{
	census->counts[CENSUS_REOPEN]++;
	census->segments = census->recycled = 0;
}

void store_census_look(struct store_census *census, struct store *store)
{
	const struct ledger_state *state = ledger_state(store_ledger(store));
	struct store_stats stats = store_stats(store);

	look_at_number(&census->counts[CENSUS_FLUSH], &census->flushed, state->flushed);
	look_at_number(&census->counts[CENSUS_CHECKPOINT], &census->checkpoint, stats.checkpoint);
	look_at_number(&census->counts[CENSUS_HISTORY_CUT], &census->history,
		       kv_history(store_kv(store)));
	look_at_tables(census, state);
	look_at_blobs(census, state);
	look_at_log(census, stats.wal);
}

const char *store_census_missing(const struct store_census *census)
{
	for (unsigned i = 0; i < CENSUS_COUNT; i++) {
		if (census->counts[i] == 0)
			return names[i];
	}
	return NULL;
}

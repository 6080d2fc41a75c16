/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What is staged lies in 'changes' and in the pager's open transaction. A commit asks for room
 * first, in the log and in the memtable, so that it is taken whole or not at all: between its first
 * record in the log and the last one in the key space nothing can fail but memory. When that does
 * the store stops, since the log has what the key space lacks; opening it again mends that.
 *
 * An edge that has to wait in the midst of its change of pages takes back all that the transaction
 * changed there. What is staged says which edges those were: the next call, or the commit, changes
 * the pages again, from the first edge on. From then on pages are read before they are changed, so
 * that this happens once or twice a transaction.
 */

#include "base/clock.h"
#include "engine/edge.h"
#include "engine/store_internal.h"
#include "engine/wal_format.h"

#include <errno.h>
#include <stdio.h>

/* Begin and commit. */
#define TRANSACTION_RECORDS 2
#define TRANSACTION_BYTES   (2 * WAL_RECORD_SIZE_MIN)

static struct record_bytes record_bytes_of(struct entry_bytes bytes)
{
	return (struct record_bytes){.bytes = bytes.bytes, .size = bytes.size};
}

static int stage(struct store *store, const struct record *record)
{
	switch (changes_add(&store->changes, record)) {
	case 0:
		return 0;
	case CHANGES_E_SIZE:
		return STORE_E_INVALID;
	default:
		return STORE_E_SIZE;
	}
}

static bool is_key(struct entry_bytes key)
{
	return keys_are_free(key) && key.size <= ENTRY_KEY_MAX;
}

int store_put(struct store *store, const struct store_put *put)
{
	struct record record = {
		.type = RECORD_KV_SET,
		.kv = {.key = record_bytes_of(put->key),
		       .value = record_bytes_of(put->value),
		       .value_type = put->type,
		       .has_ttl = put->ttl_seconds > 0,
		       .ttl_seconds = put->ttl_seconds},
	};

	if (!is_key(put->key) || put->value.size > ENTRY_VALUE_MAX || put->type >= VALUE_TYPE_EDGE)
		return STORE_E_INVALID;
	return stage(store, &record);
}

static int stage_key(struct store *store, enum record_type type, struct entry_bytes key)
{
	struct record record = {.type = type, .kv.key = record_bytes_of(key)};

	return is_key(key) ? stage(store, &record) : STORE_E_INVALID;
}

int store_delete(struct store *store, struct entry_bytes key)
{
	return stage_key(store, RECORD_KV_DELETE, key);
}

int store_delete_weak(struct store *store, struct entry_bytes key)
{
	return stage_key(store, RECORD_KV_WEAK_DELETE, key);
}

int store_delete_range(struct store *store, struct entry_bytes start, struct entry_bytes end)
{
	struct record record = {
		.type = RECORD_KV_RANGE_DELETE,
		.kv = {.key = record_bytes_of(start), .end = record_bytes_of(end)},
	};
	struct entry low = {.key = start};
	struct entry high = {.key = end};

	if (!is_key(start) || !is_key(end) || entry_compare(&low, &high) >= 0)
		return STORE_E_INVALID;
	return stage(store, &record);
}

int store_merge(struct store *store, uint8_t operator, struct entry_bytes key,
		struct entry_bytes operand)
{
	struct record record = {.type = RECORD_KV_MERGE,
				.kv =
					{
						.key = record_bytes_of(key),
						.value = record_bytes_of(operand),
						.value_type = operator},
				};

	if (!is_key(key) || operand.size > ENTRY_VALUE_MAX ||
	    kv_operator(store->kv, operator) == NULL)
		return STORE_E_INVALID;
	return stage(store, &record);
}

static bool is_vector_key(struct vector_key key)
{
	return key.collection.size > 0 && key.collection.size <= KEYS_COLLECTION_MAX;
}

int store_schema_put(struct store *store, struct entry_bytes collection, struct entry_bytes schema)
{
	uint8_t key[KEYS_VECTOR_MAX];
	struct record record = {
		.type = RECORD_KV_SET,
		.kv = {.value = record_bytes_of(schema), .value_type = VALUE_TYPE_COLLECTION},
	};

	if (collection.size == 0 || collection.size > KEYS_COLLECTION_MAX)
		return STORE_E_INVALID;
	record.kv.key.bytes = key;
	record.kv.key.size = keys_schema(collection, key);
	return stage(store, &record);
}

int store_vector_put(struct store *store, const struct store_vector *vector)
{
	struct record record = {
		.type = RECORD_VECTOR_SET,
		.vector = {.collection = record_bytes_of(vector->key.collection),
			   .label = vector->key.label,
			   .element_type = vector->element_type,
			   .vector = record_bytes_of(vector->vector),
			   .payload = record_bytes_of(vector->payload)},
	};

	if (!is_vector_key(vector->key) ||
	    (uint64_t)vector->vector.size + vector->payload.size > ENTRY_VALUE_MAX - 5)
		return STORE_E_INVALID;
	return stage(store, &record);
}

int store_vector_delete(struct store *store, struct vector_key key)
{
	struct record record = {
		.type = RECORD_VECTOR_DELETE,
		.vector = {.collection = record_bytes_of(key.collection), .label = key.label},
	};

	return is_vector_key(key) ? stage(store, &record) : STORE_E_INVALID;
}

/* The pages' transaction is begun with the first change of theirs. */
static void begin_pages(struct store *store)
{
	if (!store->paged)
		pager_begin(store->pager);
	store->paged = true;
}

/* What the pages say is the store's to say. */
static int of_edge(struct store *store, int r)
{
	switch (r) {
	case EDGE_E_EXISTS:
		return STORE_E_EXISTS;
	case EDGE_E_ABSENT:
		return STORE_E_ABSENT;
	case EDGE_E_BUSY:
		return STORE_E_BUSY;
	case EDGE_E_FULL:
		return STORE_E_SIZE;
	case EDGE_E_WAIT:
		return STORE_E_WAIT;
	case EDGE_E_CORRUPT:
		return store_refuse(store, pager_error(store->pager));
	default:
		return r;
	}
}

static bool is_edge(const struct record *record, struct edge_key *ret_edge)
{
	struct entry_bytes key;

	if (record->type != RECORD_KV_SET && record->type != RECORD_KV_DELETE)
		return false;
	key = (struct entry_bytes){.bytes = record->kv.key.bytes, .size = record->kv.key.size};
	return keys_edge_read(key, ret_edge);
}

static void take_pages_back(struct store *store)
{
	if (store->paged)
		pager_rollback(store->pager);
	store->paged = false;
	store->paged_to = 0;
}

static int change_pages(struct store *store, struct edge_key edge, bool added)
{
	int r = store->careful ? edge_prepare(store->pager, edge.source, edge.target, added) : 0;
	if (r != 0)
		return r;
	begin_pages(store);
	r = added ? edge_add(store->pager, edge.source, edge.target)
		  : edge_remove(store->pager, edge.source, edge.target);
	if (r == EDGE_E_WAIT || r == EDGE_E_BUSY || r == EDGE_E_FULL) {
		take_pages_back(store);
		store->careful = true;
	}
	return r;
}

/* Brings the pages to where the staged changes are. */
static int catch_up(struct store *store)
{
	while (store->paged_to < store->changes.count) {
		const struct record *record = &store->changes.records[store->paged_to];
		struct edge_key edge;
		int r = 0;

		if (is_edge(record, &edge))
			r = change_pages(store, edge, record->type == RECORD_KV_SET);
		store->cancelled |= r < 0 || r == EDGE_E_CORRUPT;
		if (r != 0)
			return r;
		store->paged_to++;
	}
	return 0;
}

/* The key is staged first, and taken back if the pages don't take the edge. */
static int stage_edge(struct store *store, struct edge_key edge, struct record *record)
{
	uint8_t key[KEYS_EDGE_SIZE];

	if (store->cancelled)
		return -ECANCELED;
	keys_edge(edge, key);
	record->kv.key = (struct record_bytes){.bytes = key, .size = sizeof(key)};
	int r = stage(store, record);
	if (r != 0)
		return r;
	r = catch_up(store);
	if (r == 0)
		store->edge_count++;
	else
		changes_drop_last(&store->changes);
	return of_edge(store, r);
}

int store_edge_add(struct store *store, struct edge_key edge)
{
	struct record record = {.type = RECORD_KV_SET, .kv.value_type = VALUE_TYPE_EDGE};

	return stage_edge(store, edge, &record);
}

int store_edge_remove(struct store *store, struct edge_key edge)
{
	struct record record = {.type = RECORD_KV_DELETE};

	return stage_edge(store, edge, &record);
}

/* Appends all records of the transaction. Unless 0 the log is as it was. */
static int append_all(struct store *store, bool whole, uint64_t *ret_lsn)
{
	uint64_t now = store_clock(store);
	struct changes *changes = &store->changes;
	int r = whole ? wal_begin(store->wal, ++store->tx, now) : 0;

	if (r != 0)
		return r;
	for (uint32_t i = 0; i < changes->count && r == 0; i++) {
		changes->records[i].timestamp = now;
		r = wal_append(store->wal, &changes->records[i]);
		*ret_lsn = changes->records[i].lsn;
	}
	if (r == 0 && store->paged)
		r = pager_append(store->pager, now);
	if (r == 0 && whole)
		r = wal_commit(store->wal, now, ret_lsn);
	if (r != 0 && whole)
		(void)wal_rollback(store->wal, now);
	return r;
}

static void apply_all(struct store *store)
{
	struct changes *changes = &store->changes;

	for (uint32_t i = 0; i < changes->count && store->failed == 0; i++) {
		int r = kv_apply(store->kv, &changes->records[i],
				 /* more= */ i + 1 < changes->count);
		if (r == 0)
			continue;
		store->failed = r < 0 ? r : -EINVAL;
		snprintf(store->error, sizeof(store->error),
			 "the key space took no more of change %llu: open the store again",
			 (unsigned long long)changes->records[i].lsn);
	}
}

static void note_commit(struct store *store, enum store_durability durability, uint64_t lsn)
{
	store->committed = lsn;
	store->commits++;
	if (durability == STORE_SYNC) {
		store->flush_wanted = true;
		return;
	}
	uint64_t later_ns = durability == STORE_GROUP ? store->options.group_ns : NS_PER_S;
	if (!store->flush_later || later_ns < store->later_ns) {
		store->later_ns = later_ns;
		store->flush_ns = 0;
	}
	store->flush_later = true;
	store->acknowledged = lsn;
	store_note_durable(store);
}

/* Pages and key space have it, or dropped it. */
static void forget_staged(struct store *store)
{
	store->paged = false;
	store->paged_to = 0;
	store->edge_count = 0;
	store->cancelled = false;
	store->careful = false;
	changes_clear(&store->changes);
}

int store_commit(struct store *store, enum store_durability durability, uint64_t *ret_lsn)
{
	struct changes *changes = &store->changes;
	uint64_t page_bytes = 0;
	uint32_t page_count = 0;
	uint64_t lsn = store->committed;

	if (store->failed != 0)
		return STORE_E_STOPPED;
	if (store->cancelled)
		return -ECANCELED;
	if (store->edge_count > 0) {
		int r = catch_up(store);
		if (r != 0)
			return of_edge(store, r);
	}
	if (store->paged)
		pager_pending(store->pager, &page_bytes, &page_count);
	uint32_t count = changes->count + page_count;
	uint64_t bytes = changes->record_bytes + page_bytes + TRANSACTION_BYTES;
	if (bytes + (uint64_t)(count + TRANSACTION_RECORDS) * WAL_FRAME_HEAD >
	    store->options.wal.buffer_size)
		return STORE_E_SIZE;
	int room = count > 0 ? kv_room(store->kv) : 0;
	if (room == KV_E_CORRUPT)
		return store_refuse(store, kv_damage(store->kv)->line);
	if (count > 0 &&
	    (room != 0 || !wal_has_room(store->wal, bytes, count + TRANSACTION_RECORDS))) {
		/* What is in the way may be what could have waited for its sync. */
		store->flush_wanted = true;
		return wal_failed(store->wal) != 0 && wal_failed(store->wal) != -ENOSPC
			       ? STORE_E_STOPPED
			       : STORE_E_BUSY;
	}

	if (count > 0) {
		int r = append_all(store, /* whole= */ count > 1 || store->paged, &lsn);
		if (r == WAL_E_STOPPED)
			return STORE_E_STOPPED;
		if (r != 0)
			return r < 0 ? r : STORE_E_BUSY;
		apply_all(store);
		note_commit(store, durability, lsn);
		retention_note(store->retention, lsn, store_clock(store), changes->record_bytes);
	}
	if (store->paged)
		pager_adopt(store->pager, lsn);
	forget_staged(store);
	if (store->failed != 0)
		return STORE_E_STOPPED;
	*ret_lsn = lsn;
	return 0;
}

void store_rollback(struct store *store)
{
	take_pages_back(store);
	forget_staged(store);
}

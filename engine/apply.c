/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/apply.h"

#include "engine/keys.h"

/* What was there already, or wasn't, was applied before. */
static int apply_edge(struct store *store, struct edge_key edge, bool added)
{
	int r = added ? store_edge_add(store, edge) : store_edge_remove(store, edge);

	return r == STORE_E_EXISTS || r == STORE_E_ABSENT ? 0 : r;
}

static int apply_vector(struct store *store, struct vector_key key, struct entry_bytes value)
{
	struct vector_value parts;

	if (!keys_vector_value_read(value, &parts))
		return STORE_E_INVALID;
	return store_vector_put(store, &(struct store_vector){
					       .key = key,
					       .element_type = parts.element_type,
					       .vector = parts.vector,
					       .payload = parts.payload,
				       });
}

/* One whose time is over still hides what was there before. */
static int apply_put(struct store *store, const struct feed_event *event)
{
	struct store_put put = {.key = event->key, .value = event->value, .type = event->type};
	uint64_t now = store_clock(store);

	if (event->expires != 0 && event->expires <= now)
		return store_delete(store, event->key);
	if (event->expires != 0)
		put.ttl_seconds = event->expires - now;
	return store_put(store, &put);
}

static int apply_insert(struct store *store, const struct feed_event *event)
{
	struct entry_bytes collection;
	struct vector_key vector;
	struct edge_key edge;

	if (keys_are_free(event->key))
		return apply_put(store, event);
	if (keys_edge_read(event->key, &edge))
		return apply_edge(store, edge, /* added= */ true);
	if (keys_vector_read(event->key, &vector))
		return apply_vector(store, vector, event->value);
	if (keys_schema_read(event->key, &collection))
		return store_schema_put(store, collection, event->value);
	return STORE_E_INVALID;
}

static int apply_tombstone(struct store *store, const struct feed_event *event)
{
	struct vector_key vector;
	struct edge_key edge;

	if (keys_are_free(event->key))
		return event->weak ? store_delete_weak(store, event->key)
				   : store_delete(store, event->key);
	if (keys_edge_read(event->key, &edge))
		return apply_edge(store, edge, /* added= */ false);
	if (keys_vector_read(event->key, &vector))
		return store_vector_delete(store, vector);
	return STORE_E_INVALID;
}

int store_apply(struct store *store, const struct feed_event *event)
{
	switch (event->kind) {
	case FEED_INSERT:
		return apply_insert(store, event);
	case FEED_MERGE_OPERAND:
		return store_merge(store, event->type, event->key, event->value);
	case FEED_POINT_TOMBSTONE:
		return apply_tombstone(store, event);
	case FEED_RANGE_TOMBSTONE:
		return store_delete_range(store, event->key, event->value);
	}
	return STORE_E_INVALID;
}

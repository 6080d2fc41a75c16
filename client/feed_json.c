/* SPDX-License-Identifier: Apache-2.0 */
#include "client/feed_json.h"

#include "client/bytes_json.h"
#include "engine/keys.h"

static int set_integer(json_t *object, const char *name, uint64_t value)
{
	return json_object_set_new(object, name, json_integer((json_int_t)value));
}

/* What lies under a key of Tern's own. */
static int set_own_key(json_t *object, struct entry_bytes key)
{
	struct edge_key edge;
	struct vector_key vector;
	json_t *parts = NULL;
	const char *name = "edge";
	int rc = 0;

	if (keys_edge_read(key, &edge)) {
		parts = json_pack("{s:I, s:I}", "source", (json_int_t)edge.source, "target",
				  (json_int_t)edge.target);
	} else if (keys_vector_read(key, &vector)) {
		name = "vector";
		parts = json_object();
		rc = bytes_json_set(parts, "collection", vector.collection);
		rc |= set_integer(parts, "label", vector.label);
	} else {
		return 0;
	}
	return rc | json_object_set_new(object, name, parts);
}

static int set_value(json_t *object, const struct feed_event *event)
{
	switch (event->kind) {
	case FEED_INSERT:
		return bytes_json_set(object, "value", event->value) |
		       set_integer(object, "type", event->type) |
		       (event->expires ? set_integer(object, "expires", event->expires) : 0);
	case FEED_MERGE_OPERAND:
		return bytes_json_set(object, "value", event->value) |
		       set_integer(object, "operator", event->type);
	case FEED_POINT_TOMBSTONE:
		return event->weak ? json_object_set_new(object, "weak", json_true()) : 0;
	case FEED_RANGE_TOMBSTONE:
		return bytes_json_set(object, "end", event->value);
	}
	return 0;
}

static int set_token(json_t *object, struct feed_position position, const uint8_t store[16])
{
	char token[FEED_TOKEN_LENGTH + 1];

	feed_token_print(position, store, token);
	return json_object_set_new(object, "token", json_string(token));
}

/* What couldn't be set has left its name out: such an object is none. */
static json_t *whole_or_none(json_t *object, int rc)
{
	if (!rc)
		return object;
	json_decref(object);
	return NULL;
}

json_t *feed_json_event(const struct feed_event *event, struct feed_position after,
			const uint8_t store[16])
{
	static const char *const ops[] = {
		[FEED_INSERT] = "c",
		[FEED_MERGE_OPERAND] = "m",
		[FEED_POINT_TOMBSTONE] = "d",
		[FEED_RANGE_TOMBSTONE] = "dr",
	};
	json_t *object = json_pack("{s:s}", "op", ops[event->kind]);
	json_t *source = json_object();
	int rc = bytes_json_set(object, "key", event->key);

	rc |= set_own_key(object, event->key);
	rc |= set_value(object, event);
	rc |= json_object_set_new(source, "store", bytes_json_hex(store, 16));
	rc |= set_integer(source, "seqno", event->seqno);
	rc |= set_integer(source, "index", event->index);
	rc |= json_object_set_new(object, "source", source);
	rc |= set_token(object, after, store);
	return whole_or_none(object, rc);
}

json_t *feed_json_heartbeat(struct feed_position position, const uint8_t store[16])
{
	json_t *object = json_pack("{s:s}", "op", "heartbeat");
	json_t *source = json_object();
	int rc = set_integer(object, "resolved", position.seqno);

	rc |= json_object_set_new(source, "store", bytes_json_hex(store, 16));
	rc |= json_object_set_new(object, "source", source);
	rc |= set_token(object, position, store);
	return whole_or_none(object, rc);
}

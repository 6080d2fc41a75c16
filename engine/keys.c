/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/keys.h"

#include "base/byteorder.h"
#include "base/check.h"

#include <string.h>

#define SPACE_EDGE   'e'
#define SPACE_VECTOR 'v'
#define SPACE_SCHEMA 'c'

/* Element type and size, in front of a vector's bytes. */
#define VECTOR_HEAD 5

/* Makes numbers below zero sort before the others. */
#define SIGN_BIT (UINT64_C(1) << 63)

bool keys_are_free(struct entry_bytes key)
{
	return key.size > 0 && key.bytes[0] != 0;
}

static bool is_in_space(struct entry_bytes key, uint8_t space)
{
	return key.size >= 2 && key.bytes[0] == 0 && key.bytes[1] == space;
}

void keys_edge(struct edge_key edge, uint8_t key[KEYS_EDGE_SIZE])
{
	key[0] = 0;
	key[1] = SPACE_EDGE;
	store_be64(key + 2, (uint64_t)edge.source ^ SIGN_BIT);
	store_be64(key + 10, (uint64_t)edge.target ^ SIGN_BIT);
}

bool keys_edge_read(struct entry_bytes key, struct edge_key *ret_edge)
{
	if (!is_in_space(key, SPACE_EDGE) || key.size != KEYS_EDGE_SIZE)
		return false;

	*ret_edge = (struct edge_key){
		.source = (int64_t)(load_be64(key.bytes + 2) ^ SIGN_BIT),
		.target = (int64_t)(load_be64(key.bytes + 10) ^ SIGN_BIT),
	};
	return true;
}

uint32_t keys_collection(struct entry_bytes collection, uint8_t key[KEYS_VECTOR_MAX])
{
	CHECK(collection.size > 0 && collection.size <= KEYS_COLLECTION_MAX);

	key[0] = 0;
	key[1] = SPACE_VECTOR;
	key[2] = (uint8_t)collection.size;
	memcpy(key + 3, collection.bytes, collection.size);
	return 3 + collection.size;
}

uint32_t keys_schema(struct entry_bytes collection, uint8_t key[KEYS_VECTOR_MAX])
{
	CHECK(collection.size > 0 && collection.size <= KEYS_COLLECTION_MAX);

	key[0] = 0;
	key[1] = SPACE_SCHEMA;
	memcpy(key + 2, collection.bytes, collection.size);
	return 2 + collection.size;
}

bool keys_schema_read(struct entry_bytes key, struct entry_bytes *ret_collection)
{
	if (key.size <= 2 || key.bytes[0] != 0 || key.bytes[1] != SPACE_SCHEMA)
		return false;
	*ret_collection = (struct entry_bytes){key.bytes + 2, key.size - 2};
	return true;
}

uint32_t keys_vector(struct vector_key vector, uint8_t key[KEYS_VECTOR_MAX])
{
	uint32_t size = keys_collection(vector.collection, key);

	store_be64(key + size, vector.label);
	return size + 8;
}

bool keys_vector_read(struct entry_bytes key, struct vector_key *ret_vector)
{
	if (!is_in_space(key, SPACE_VECTOR) || key.size < 3)
		return false;
	uint32_t size = key.bytes[2];
	if (size == 0 || key.size != 3 + size + 8)
		return false;

	*ret_vector = (struct vector_key){
		.collection = {.bytes = key.bytes + 3, .size = size},
		.label = load_be64(key.bytes + 3 + size),
	};
	return true;
}

bool keys_vector_value_read(struct entry_bytes value, struct vector_value *ret_value)
{
	if (value.size < VECTOR_HEAD)
		return false;
	uint32_t size = load_le32(value.bytes + 1);
	if (size > value.size - VECTOR_HEAD)
		return false;

	*ret_value = (struct vector_value){
		.element_type = value.bytes[0],
		.vector = {.bytes = value.bytes + VECTOR_HEAD, .size = size},
		.payload = {.bytes = value.bytes + VECTOR_HEAD + size,
			    .size = value.size - VECTOR_HEAD - size},
	};
	return true;
}

static struct entry_bytes entry_bytes_of(struct record_bytes bytes)
{
	return (struct entry_bytes){.bytes = bytes.bytes, .size = bytes.size};
}

static void vector_key_of(const struct record *record, uint8_t *scratch, struct entry *entry)
{
	struct vector_key key = {.collection = entry_bytes_of(record->vector.collection),
				 .label = record->vector.label};

	entry->key.bytes = scratch;
	entry->key.size = keys_vector(key, scratch);
}

static void vector_value_of(const struct record *record, uint8_t *scratch, struct entry *entry)
{
	struct record_bytes vector = record->vector.vector;
	struct record_bytes payload = record->vector.payload;
	uint8_t *value = scratch + KEYS_VECTOR_MAX;

	value[0] = record->vector.element_type;
	store_le32(value + 1, vector.size);
	if (vector.size > 0)
		memcpy(value + VECTOR_HEAD, vector.bytes, vector.size);
	if (payload.size > 0)
		memcpy(value + VECTOR_HEAD + vector.size, payload.bytes, payload.size);
	entry->value.bytes = value;
	entry->value.size = VECTOR_HEAD + vector.size + payload.size;
	entry->type = VALUE_TYPE_VECTOR;
}

/* The second at which a value is gone; one that is past all time never is. */
static uint64_t expiry_of(const struct record *record)
{
	if (!record->kv.has_ttl)
		return 0;
	uint64_t expires = record->timestamp + record->kv.ttl_seconds;
	return expires < record->timestamp ? UINT64_MAX : expires;
}

/* A collection without a name, which a log from elsewhere may have, makes no entry. */
static bool makes_entry(const struct record *record)
{
	switch (record->type) {
	case RECORD_KV_SET:
	case RECORD_KV_DELETE:
	case RECORD_KV_TOMBSTONE:
	case RECORD_KV_WEAK_DELETE:
	case RECORD_KV_RANGE_DELETE:
	case RECORD_KV_MERGE:
		return true;
	case RECORD_VECTOR_SET:
	case RECORD_VECTOR_DELETE:
		return record->vector.collection.size > 0 &&
		       record->vector.collection.size <= KEYS_COLLECTION_MAX;
	default:
		return false;
	}
}

/* Written in place, member by member: a copy of what was just written waits for the writes. */
bool keys_entry(const struct record *record, uint8_t *scratch, struct entry *ret_entry)
{
	struct entry *entry = ret_entry;

	if (!makes_entry(record))
		return false;
	*entry = (struct entry){.seqno = record->lsn, .key = entry_bytes_of(record->kv.key)};
	switch (record->type) {
	case RECORD_KV_SET:
		entry->kind = ENTRY_VALUE;
		entry->value = entry_bytes_of(record->kv.value);
		entry->type = record->kv.value_type;
		entry->expires = expiry_of(record);
		break;
	case RECORD_KV_WEAK_DELETE:
		entry->kind = ENTRY_WEAK_TOMBSTONE;
		break;
	case RECORD_KV_RANGE_DELETE:
		entry->kind = ENTRY_RANGE_TOMBSTONE;
		entry->value = entry_bytes_of(record->kv.end);
		break;
	case RECORD_KV_MERGE:
		entry->kind = ENTRY_MERGE;
		entry->value = entry_bytes_of(record->kv.value);
		entry->type = record->kv.value_type;
		break;
	case RECORD_VECTOR_SET:
		entry->kind = ENTRY_VALUE;
		vector_key_of(record, scratch, entry);
		vector_value_of(record, scratch, entry);
		break;
	case RECORD_VECTOR_DELETE:
		vector_key_of(record, scratch, entry);
		entry->kind = ENTRY_TOMBSTONE;
		break;
	default:
		entry->kind = ENTRY_TOMBSTONE;
		break;
	}
	return true;
}

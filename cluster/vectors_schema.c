/* SPDX-License-Identifier: Apache-2.0 */

#include "base/byteorder.h"
#include "cluster/vectors.h"

#include <errno.h>
#include <string.h>

/* docs/format/keys.md. */
#define SCHEMA_VERSION 1
#define SCHEMA_SIZE    8

static bool is_valid(const struct vectors_schema *schema)
{
	return schema->dim > 0 && schema->dim <= VECTORS_DIM_MAX &&
	       schema->type < VECTOR_TYPE_COUNT && schema->metric < METRIC_COUNT &&
	       (schema->type != VECTOR_B1 || schema->metric == METRIC_L2);
}

static bool is_same(const struct vectors_schema *a, const struct vectors_schema *b)
{
	return a->dim == b->dim && a->type == b->type && a->metric == b->metric;
}

int vectors_schema_get(struct store *store, struct entry_bytes name,
		       struct vectors_schema *ret_schema)
{
	uint8_t key[KEYS_VECTOR_MAX];
	struct entry entry;
	if (name.size == 0 || name.size > KEYS_COLLECTION_MAX)
		return VECTORS_E_ABSENT;

	struct entry_bytes where = {.bytes = key, .size = keys_schema(name, key)};
	int r = kv_get(store_kv(store), where, 0, 0, &entry);
	if (r == KV_E_ABSENT)
		return VECTORS_E_ABSENT;
	if (r != 0)
		return r < 0 ? r : VECTORS_E_CORRUPT;

	const uint8_t *bytes = entry.value.bytes;
	if (entry.value.size != SCHEMA_SIZE || bytes[0] != SCHEMA_VERSION || bytes[3] != 0)
		return VECTORS_E_CORRUPT;
	struct vectors_schema schema = {
		.metric = bytes[1],
		.type = bytes[2],
		.dim = load_le32(bytes + 4),
	};
	if (!is_valid(&schema))
		return VECTORS_E_CORRUPT;
	*ret_schema = schema;
	return 0;
}

int vectors_create(struct store *store, struct entry_bytes name,
		   const struct vectors_schema *schema)
{
	uint8_t bytes[SCHEMA_SIZE] = {SCHEMA_VERSION, (uint8_t)schema->metric,
				      (uint8_t)schema->type, 0};
	struct vectors_schema there;
	uint64_t lsn;
	if (!is_valid(schema) || name.size == 0 || name.size > KEYS_COLLECTION_MAX)
		return VECTORS_E_INVALID;

	int r = vectors_schema_get(store, name, &there);
	if (r == 0)
		return is_same(&there, schema) ? 0 : VECTORS_E_EXISTS;
	if (r != VECTORS_E_ABSENT)
		return r;
	store_le32(bytes + 4, schema->dim);
	r = store_schema_put(store, name, (struct entry_bytes){bytes, sizeof(bytes)});
	if (r == 0)
		r = store_commit(store, STORE_SYNC, &lsn);
	if (r == 0)
		r = store_sync(store);
	return r > 0 ? VECTORS_E_STOPPED : r;
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Record - the codec, driven by a table
 *
 * Each type is a row: its name and its fields in the order of the bytes, each with its place in
 * struct record. Size, encoding, decoding and the dump tool walk the same rows, so that a type is
 * said once.
 */

#include "engine/record.h"

#include "base/byteorder.h"
#include "base/check.h"

#include <string.h>

struct row {
	const char *name;
	struct record_field fields[RECORD_FIELD_MAX]; /* up to the first without a name */
};

#define FIELD(label, member, how)                                                                  \
	{                                                                                          \
		.name = label, .offset = offsetof(struct record, member),                          \
		.kind = RECORD_FIELD_##how                                                         \
	}
#define OPTIONAL(label, member, has, how)                                                          \
	{                                                                                          \
		.name = label, .offset = offsetof(struct record, member),                          \
		.present = offsetof(struct record, has), .kind = RECORD_FIELD_##how##_OPTIONAL     \
	}
#define LSN       FIELD("lsn", lsn, U64)
#define TIMESTAMP FIELD("timestamp", timestamp, U64)
#define TX        FIELD("tx_id", transaction.tx, U64)
#define KEY       FIELD("key", kv.key, BYTES)

#define EDGE_FIELDS                                                                                \
	{                                                                                          \
		LSN, FIELD("src", edge.source, I64), FIELD("dst", edge.target, I64),               \
			FIELD("direction", edge.incoming, BOOL), FIELD("page_id", edge.page, U64), \
			TIMESTAMP                                                                  \
	}

static const struct row rows[] = {
	[RECORD_PAGE_ALLOCATE] = {"PageAllocate",
				  {LSN, FIELD("page_id", page.page, U64), TIMESTAMP}},
	[RECORD_PAGE_FREE] = {"PageFree",
			      {LSN, FIELD("page_id", page.page, U64),
			       FIELD("checksum", page.checksum, U32), TIMESTAMP}},
	[RECORD_PAGE_WRITE] = {"PageWrite",
			       {LSN, FIELD("page_id", page.page, U64),
				FIELD("offset", page.offset, U32), FIELD("data", page.data, BYTES),
				FIELD("checksum", page.checksum, U32), TIMESTAMP}},
	[RECORD_BTREE_SPLIT] = {"BTreeSplit",
				{LSN, FIELD("original_page_id", split.original, U64),
				 FIELD("new_page_id", split.created, U64),
				 FIELD("split_key", split.key, U64),
				 FIELD("page_type", split.leaf, BOOL), TIMESTAMP}},
	[RECORD_CHECKPOINT] = {"Checkpoint",
			       {LSN, FIELD("root_page_id", checkpoint.root, U64),
				FIELD("total_pages", checkpoint.page_count, U64),
				FIELD("btree_height", checkpoint.height, U32),
				FIELD("free_page_list_head", checkpoint.free_head, U64),
				FIELD("header_snapshot", checkpoint.snapshot, BYTES), TIMESTAMP}},
	[RECORD_TRANSACTION_BEGIN] = {"TransactionBegin", {TX, LSN, TIMESTAMP}},
	[RECORD_TRANSACTION_COMMIT] = {"TransactionCommit", {TX, LSN, TIMESTAMP}},
	[RECORD_TRANSACTION_ROLLBACK] = {"TransactionRollback", {TX, LSN, TIMESTAMP}},
	[RECORD_KV_SET] = {"KvSet",
			   {LSN, KEY, FIELD("value_bytes", kv.value, BYTES),
			    FIELD("value_type", kv.value_type, U8),
			    OPTIONAL("ttl_seconds", kv.ttl_seconds, kv.has_ttl, U64), TIMESTAMP}},
	[RECORD_KV_DELETE] = {"KvDelete", {LSN, KEY, TIMESTAMP}},
	[RECORD_KV_TOMBSTONE] = {"KvTombstone",
				 {LSN, KEY,
				  OPTIONAL("old_value_bytes", kv.value, kv.has_value, BYTES),
				  FIELD("old_value_type", kv.value_type, U8), TIMESTAMP}},
	[RECORD_EDGE_INSERT] = {"EdgeInsert", EDGE_FIELDS},
	[RECORD_KV_MERGE] = {"KvMerge",
			     {LSN, KEY, FIELD("operand", kv.value, BYTES),
			      FIELD("operator", kv.value_type, U8), TIMESTAMP}},
	[RECORD_KV_RANGE_DELETE] = {"KvRangeDelete",
				    {LSN, FIELD("start_key", kv.key, BYTES),
				     FIELD("end_key", kv.end, BYTES), TIMESTAMP}},
	[RECORD_KV_WEAK_DELETE] = {"KvWeakDelete", {LSN, KEY, TIMESTAMP}},
	[RECORD_EDGE_DELETE] = {"EdgeDelete", EDGE_FIELDS},
	[RECORD_VECTOR_SET] = {"VectorSet",
			       {LSN, FIELD("collection", vector.collection, BYTES),
				FIELD("label", vector.label, U64),
				FIELD("element_type", vector.element_type, U8),
				FIELD("vector", vector.vector, BYTES),
				FIELD("payload", vector.payload, BYTES), TIMESTAMP}},
	[RECORD_VECTOR_DELETE] = {"VectorDelete",
				  {LSN, FIELD("collection", vector.collection, BYTES),
				   FIELD("label", vector.label, U64), TIMESTAMP}},
	[RECORD_TABLE_INGEST] = {"TableIngest",
				 {LSN, FIELD("table", ingest.table, U64),
				  FIELD("entries", ingest.entries, U64), TIMESTAMP}},
	[RECORD_DURABLE] = {"Durable",
			    {LSN, FIELD("durable", durable.durable, U64),
			     FIELD("salt", durable.salt, U32), TIMESTAMP}},
};

static const struct row *row_of(unsigned type)
{
	return type < sizeof(rows) / sizeof(rows[0]) && rows[type].name ? &rows[type] : NULL;
}

const char *record_name(unsigned type)
{
	const struct row *row = row_of(type);

	return row ? row->name : NULL;
}

unsigned record_fields(unsigned type, const struct record_field **ret_fields)
{
	const struct row *row = row_of(type);
	unsigned count = 0;

	if (!row)
		return 0;
	while (count < RECORD_FIELD_MAX && row->fields[count].name)
		count++;
	*ret_fields = row->fields;
	return count;
}

static const void *value_of(const struct record *record, const struct record_field *field)
{
	return (const char *)record + field->offset;
}

static bool is_present(const struct record *record, const struct record_field *field)
{
	return *(const bool *)((const char *)record + field->present);
}

static size_t bytes_size(const struct record *record, const struct record_field *field)
{
	return 8 + (size_t)((const struct record_bytes *)value_of(record, field))->size;
}

static size_t field_size(const struct record *record, const struct record_field *field)
{
	switch (field->kind) {
	case RECORD_FIELD_U8:
	case RECORD_FIELD_BOOL:
		return 1;
	case RECORD_FIELD_U32:
		return 4;
	case RECORD_FIELD_U64:
	case RECORD_FIELD_I64:
		return 8;
	case RECORD_FIELD_BYTES:
		return bytes_size(record, field);
	case RECORD_FIELD_U64_OPTIONAL:
		return is_present(record, field) ? 9 : 1;
	case RECORD_FIELD_BYTES_OPTIONAL:
		return is_present(record, field) ? 1 + bytes_size(record, field) : 1;
	}
	return 0;
}

size_t record_size(const struct record *record)
{
	const struct record_field *fields;
	unsigned count = record_fields(record->type, &fields);
	size_t size = 4;

	CHECK(count > 0);
	for (unsigned i = 0; i < count; i++)
		size += field_size(record, &fields[i]);
	return size;
}

static uint8_t *put_u64(uint8_t *to, uint64_t value)
{
	store_le64(to, value);
	return to + 8;
}

static uint8_t *put_bytes(uint8_t *to, const struct record_bytes *value)
{
	to = put_u64(to, value->size);
	if (value->size > 0)
		memcpy(to, value->bytes, value->size);
	return to + value->size;
}

static uint8_t *put_field(uint8_t *to, const struct record *record,
			  const struct record_field *field)
{
	const void *value = value_of(record, field);

	switch (field->kind) {
	case RECORD_FIELD_U8:
		*to = *(const uint8_t *)value;
		return to + 1;
	case RECORD_FIELD_BOOL:
		*to = *(const bool *)value;
		return to + 1;
	case RECORD_FIELD_U32:
		store_le32(to, *(const uint32_t *)value);
		return to + 4;
	case RECORD_FIELD_U64:
		return put_u64(to, *(const uint64_t *)value);
	case RECORD_FIELD_I64:
		return put_u64(to, (uint64_t) * (const int64_t *)value);
	case RECORD_FIELD_BYTES:
		return put_bytes(to, value);
	case RECORD_FIELD_U64_OPTIONAL:
		*to = is_present(record, field);
		return *to ? put_u64(to + 1, *(const uint64_t *)value) : to + 1;
	case RECORD_FIELD_BYTES_OPTIONAL:
		*to = is_present(record, field);
		return *to ? put_bytes(to + 1, value) : to + 1;
	}
	return to;
}

int record_encode(const struct record *record, uint8_t *bytes)
{
	const struct record_field *fields;
	unsigned count = record_fields(record->type, &fields);

	CHECK(record->lsn > 0);
	if (record_size(record) > RECORD_SIZE_MAX)
		return RECORD_E_SIZE;
	store_le32(bytes, record->type - 1);
	bytes += 4;
	for (unsigned i = 0; i < count; i++)
		bytes = put_field(bytes, record, &fields[i]);
	return 0;
}

/* What is left to decode. */
struct rest {
	const uint8_t *bytes;
	size_t size;
};

/* The next 'size' bytes, or NULL. */
static const uint8_t *take(struct rest *rest, uint64_t size)
{
	const uint8_t *bytes = rest->bytes;

	if (size > rest->size)
		return NULL;
	rest->bytes += size;
	rest->size -= (size_t)size;
	return bytes;
}

static bool get_bool(struct rest *rest, bool *ret_value)
{
	const uint8_t *at = take(rest, 1);

	if (!at || *at > 1)
		return false;
	*ret_value = *at;
	return true;
}

static bool get_u64(struct rest *rest, uint64_t *ret_value)
{
	const uint8_t *at = take(rest, 8);

	if (at)
		*ret_value = load_le64(at);
	return at;
}

static bool get_bytes(struct rest *rest, struct record_bytes *ret_value)
{
	const uint8_t *at;
	uint64_t size;

	if (!get_u64(rest, &size))
		return false;
	at = take(rest, size);
	if (at)
		*ret_value = (struct record_bytes){at, (uint32_t)size};
	return at;
}

static bool get_field(struct rest *rest, struct record *record, const struct record_field *field)
{
	void *value = (char *)record + field->offset;
	bool *present = (bool *)((char *)record + field->present);
	const uint8_t *at;

	switch (field->kind) {
	case RECORD_FIELD_U8:
		at = take(rest, 1);
		if (at)
			*(uint8_t *)value = *at;
		return at;
	case RECORD_FIELD_BOOL:
		return get_bool(rest, value);
	case RECORD_FIELD_U32:
		at = take(rest, 4);
		if (at)
			*(uint32_t *)value = load_le32(at);
		return at;
	case RECORD_FIELD_U64:
	case RECORD_FIELD_I64:
		return get_u64(rest, value);
	case RECORD_FIELD_BYTES:
		return get_bytes(rest, value);
	case RECORD_FIELD_U64_OPTIONAL:
		return get_bool(rest, present) && (!*present || get_u64(rest, value));
	case RECORD_FIELD_BYTES_OPTIONAL:
		return get_bool(rest, present) && (!*present || get_bytes(rest, value));
	}
	return false;
}

int record_decode(const uint8_t *bytes, size_t size, struct record *ret_record)
{
	struct rest rest = {bytes, size};
	const struct record_field *fields;
	struct record record = {0};
	const uint8_t *variant;
	unsigned count;

	if (size > RECORD_SIZE_MAX)
		return RECORD_E_SIZE;
	variant = take(&rest, 4);
	if (!variant || load_le32(variant) >= RECORD_DURABLE)
		return RECORD_E_INVALID;
	record.type = (enum record_type)(load_le32(variant) + 1);
	count = record_fields(record.type, &fields);
	for (unsigned i = 0; i < count; i++)
		if (!get_field(&rest, &record, &fields[i]))
			return RECORD_E_INVALID;
	/* Behind the last number there would be none. */
	if (count == 0 || rest.size > 0 || record.lsn == 0 || record.lsn == UINT64_MAX)
		return RECORD_E_INVALID;
	*ret_record = record;
	return 0;
}

/* 0 ^ 1 ^ ... ^ (count - 1): four in a row, from a multiple of four on, cancel out. */
static uint64_t xor_below(uint64_t count)
{
	uint64_t sum = 0;

	for (uint64_t i = count & ~UINT64_C(3); i < count; i++)
		sum ^= i;
	return sum;
}

/* All is exclusive or, so bytes and their places can be taken apart, and bytes eight at a time. */
uint64_t record_checksum(const void *bytes, size_t size)
{
	const uint8_t *at = bytes;
	uint64_t words = 0, word, sum = UINT64_C(0x5A5A5A5A5A5A5A5A) ^ xor_below(size);
	size_t left = size;

	for (; left >= sizeof(word); left -= sizeof(word), at += sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		words ^= word;
	}
	for (; left > 0; left--)
		sum ^= *at++;
	words ^= words >> 32;
	words ^= words >> 16;
	words ^= words >> 8;
	return sum ^ (words & 0xff);
}

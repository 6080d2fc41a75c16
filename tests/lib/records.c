/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/lib/records.h"

#include "base/defs.h"

#include <string.h>

static void random_bytes(struct rand *rand, uint32_t size_max, const uint8_t *bytes,
			 struct record_bytes *ret_bytes)
{
	uint32_t size = (uint32_t)rand_below(rand, MIN(size_max, RECORDS_BYTES_MAX) + 1);

	ret_bytes->size = size;
	ret_bytes->bytes = bytes + rand_below(rand, RECORDS_BYTES_MAX - size + 1);
}

static void random_field(struct rand *rand, uint32_t size_max, const uint8_t *bytes,
			 struct record *record, const struct record_field *field)
{
	void *value = (char *)record + field->offset;
	bool present = rand_below(rand, 2);

	switch (field->kind) {
	case RECORD_FIELD_U8:
		*(uint8_t *)value = (uint8_t)rand_next(rand);
		break;
	case RECORD_FIELD_BOOL:
		*(bool *)value = present;
		break;
	case RECORD_FIELD_U32:
		*(uint32_t *)value = (uint32_t)rand_next(rand);
		break;
	case RECORD_FIELD_U64:
	case RECORD_FIELD_I64:
		*(uint64_t *)value = rand_next(rand);
		break;
	case RECORD_FIELD_BYTES:
		random_bytes(rand, size_max, bytes, value);
		break;
	case RECORD_FIELD_U64_OPTIONAL:
		*(bool *)((char *)record + field->present) = present;
		*(uint64_t *)value = present ? rand_next(rand) : 0;
		break;
	case RECORD_FIELD_BYTES_OPTIONAL:
		*(bool *)((char *)record + field->present) = present;
		if (present)
			random_bytes(rand, size_max, bytes, value);
		break;
	}
}

void records_random(struct rand *rand, uint64_t lsn, uint32_t size_max,
		    const uint8_t bytes[RECORDS_BYTES_MAX], struct record *ret_record)
{
	const struct record_field *fields;
	struct record record = {0};
	unsigned type, count;

	do {
		type = 1 + (unsigned)rand_below(rand, RECORD_DURABLE - 1);
		count = record_fields(type, &fields);
	} while (!count);
	record.type = (enum record_type)type;
	for (unsigned i = 0; i < count; i++)
		random_field(rand, size_max, bytes, &record, &fields[i]);
	record.lsn = lsn;
	*ret_record = record;
}

void records_fill(struct rand *rand, uint8_t bytes[RECORDS_BYTES_MAX])
{
	for (unsigned i = 0; i < RECORDS_BYTES_MAX; i++)
		bytes[i] = (uint8_t)rand_next(rand);
}

static bool bytes_equal(const struct record_bytes *a, const struct record_bytes *b)
{
	return a->size == b->size && (a->size == 0 || memcmp(a->bytes, b->bytes, a->size) == 0);
}

/* Of optional fields: others have no such place. */
static bool is_present(const struct record *record, const struct record_field *field)
{
	return *(const bool *)((const char *)record + field->present);
}

static bool field_equal(const struct record *a, const struct record *b,
			const struct record_field *field)
{
	const void *x = (const char *)a + field->offset, *y = (const char *)b + field->offset;

	switch (field->kind) {
	case RECORD_FIELD_U8:
	case RECORD_FIELD_BOOL:
		return memcmp(x, y, 1) == 0;
	case RECORD_FIELD_U32:
		return memcmp(x, y, 4) == 0;
	case RECORD_FIELD_U64:
	case RECORD_FIELD_I64:
		return memcmp(x, y, 8) == 0;
	case RECORD_FIELD_BYTES:
		return bytes_equal(x, y);
	case RECORD_FIELD_U64_OPTIONAL:
		return is_present(a, field) == is_present(b, field) &&
		       (!is_present(a, field) || memcmp(x, y, 8) == 0);
	case RECORD_FIELD_BYTES_OPTIONAL:
		return is_present(a, field) == is_present(b, field) &&
		       (!is_present(a, field) || bytes_equal(x, y));
	}
	return false;
}

bool records_equal(const struct record *a, const struct record *b)
{
	const struct record_field *fields;
	unsigned count = record_fields(a->type, &fields);

	if (a->type != b->type || count == 0)
		return false;
	for (unsigned i = 0; i < count; i++)
		if (!field_equal(a, b, &fields[i]))
			return false;
	return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/tables.h"

#include "base/defs.h"
#include "engine/blob.h"
#include "tests/lib/test.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint8_t *copy(const void *bytes, size_t size)
{
	uint8_t *to = malloc(size ? size : 1);

	assert_non_null(to);
	memcpy(to, bytes, size);
	return to;
}

/* Short and long, with much in common and little, some the beginnings of others. */
struct entry_bytes tables_key(struct rand *rand, uint32_t keys, uint8_t *bytes)
{
	uint64_t pick = rand_below(rand, keys);
	int size;

	switch (pick % 8) {
	case 0:
		memset(bytes, (int)(pick % 251), 1 + pick % 600);
		return (struct entry_bytes){bytes, (uint32_t)(1 + pick % 600)};
	case 1:
		size = snprintf((char *)bytes, 64, "%llx", (unsigned long long)pick);
		break;
	case 2:
	case 3:
		size = snprintf((char *)bytes, 64, "user/%06llu/name", (unsigned long long)pick);
		break;
	default:
		size = snprintf((char *)bytes, 64, "user/%06llu", (unsigned long long)pick);
	}
	return (struct entry_bytes){bytes, (uint32_t)size};
}

static struct entry_bytes make_value(struct rand *rand, uint32_t max)
{
	uint32_t size = (uint32_t)rand_below(rand, max + 1);
	uint8_t *bytes = malloc(size + 1);
	uint8_t fill = (uint8_t)rand_next(rand);
	bool noise = rand_below(rand, 2);

	assert_non_null(bytes);
	for (uint32_t i = 0; i < size; i++)
		bytes[i] = noise ? (uint8_t)rand_next(rand) : fill;
	return (struct entry_bytes){bytes, size};
}

static struct entry_bytes make_place(struct rand *rand)
{
	const struct blob_place place = {
		.file = rand_below(rand, 9),
		.offset = 64 + rand_below(rand, 1 << 30),
		.size = 100 + (uint32_t)rand_below(rand, 5000),
		.crc = (uint32_t)rand_next(rand),
	};
	uint8_t bytes[BLOB_PLACE_SIZE];

	blob_place_encode(&place, bytes);
	return (struct entry_bytes){copy(bytes, sizeof(bytes)), sizeof(bytes)};
}

static struct entry make_entry(struct rand *rand, const struct tables_shape *shape)
{
	static const enum entry_kind kinds[] = {ENTRY_VALUE, ENTRY_VALUE,     ENTRY_VALUE,
						ENTRY_BLOB,  ENTRY_TOMBSTONE, ENTRY_WEAK_TOMBSTONE,
						ENTRY_MERGE};
	uint8_t bytes[ENTRY_KEY_MAX];
	struct entry entry = {.key = tables_key(rand, shape->keys, bytes),
			      .kind = kinds[rand_below(rand, ARRAY_COUNT(kinds))]};

	entry.key.bytes = copy(bytes, entry.key.size);
	entry.seqno = shape->ingested ? 0 : 1 + rand_below(rand, shape->seqno_max);
	entry.type = rand_below(rand, 3) == 0 ? (uint8_t)rand_next(rand) : 0;
	entry.expires = rand_below(rand, 4) == 0 ? rand_next(rand) >> rand_below(rand, 64) : 0;
	if (entry.kind == ENTRY_BLOB)
		entry.value = make_place(rand);
	else if (entry.kind == ENTRY_VALUE || entry.kind == ENTRY_MERGE)
		entry.value = make_value(rand, shape->value_max);
	return entry;
}

static struct entry make_range(struct rand *rand, const struct tables_shape *shape)
{
	uint8_t a_bytes[ENTRY_KEY_MAX], b_bytes[ENTRY_KEY_MAX];
	struct entry a = {.seqno = 0}, b = {.seqno = 0};

	do {
		a.key = tables_key(rand, shape->keys, a_bytes);
		b.key = tables_key(rand, shape->keys, b_bytes);
	} while (entry_compare(&a, &b) >= 0);
	return (struct entry){
		.key = {copy(a.key.bytes, a.key.size), a.key.size},
		.value = {copy(b.key.bytes, b.key.size), b.key.size},
		.seqno = shape->ingested ? 0 : 1 + rand_below(rand, shape->seqno_max),
		.kind = ENTRY_RANGE_TOMBSTONE,
	};
}

static int compare(const void *a, const void *b)
{
	return entry_compare(a, b);
}

static void free_entry(struct entry *entry)
{
	free((void *)(uintptr_t)entry->key.bytes);
	free((void *)(uintptr_t)entry->value.bytes);
}

/* Sorts, and leaves one of each (key, number). */
static uint32_t make_unique(struct entry *entries, uint32_t count)
{
	uint32_t kept = 0;

	qsort(entries, count, sizeof(*entries), compare);
	for (uint32_t i = 0; i < count; i++)
		if (kept > 0 && entry_compare(&entries[kept - 1], &entries[i]) == 0)
			free_entry(&entries[i]);
		else
			entries[kept++] = entries[i];
	return kept;
}

struct tables_set *tables_make(struct rand *rand, const struct tables_shape *shape)
{
	struct tables_set *set = calloc(1, sizeof(*set));

	assert_non_null(set);
	set->entries = calloc(shape->entries + 1, sizeof(*set->entries));
	set->ranges = calloc(shape->ranges + 1, sizeof(*set->ranges));
	assert_true(set->entries && set->ranges);
	for (uint32_t i = 0; i < shape->entries; i++)
		set->entries[i] = make_entry(rand, shape);
	for (uint32_t i = 0; i < shape->ranges; i++)
		set->ranges[i] = make_range(rand, shape);
	set->count = make_unique(set->entries, shape->entries);
	set->range_count = make_unique(set->ranges, shape->ranges);
	return set;
}

void tables_free(struct tables_set *set)
{
	for (uint32_t i = 0; i < set->count; i++)
		free_entry(&set->entries[i]);
	for (uint32_t i = 0; i < set->range_count; i++)
		free_entry(&set->ranges[i]);
	free(set->entries);
	free(set->ranges);
	free(set);
}

void tables_write(struct io *io, const char *name, const struct tables_set *set,
		  const struct table_writer_options *options, struct table_summary *ret_summary)
{
	struct table_writer *writer;

	assert_int_equal(table_writer_new(io, name, options, &writer), 0);
	for (uint32_t i = set->range_count; i > 0; i--)
		assert_int_equal(table_writer_add(writer, &set->ranges[i - 1]), 0);
	for (uint32_t i = 0; i < set->count; i++)
		assert_int_equal(table_writer_add(writer, &set->entries[i]), 0);
	assert_int_equal(table_writer_finish(writer, ret_summary), 0);
}

struct table_writer_options tables_writer_options(uint64_t number)
{
	struct table_writer_options options = {.number = number};

	memcpy(options.store, TABLES_STORE, sizeof(options.store));
	return options;
}

struct table_options tables_options(uint64_t number)
{
	struct table_options options = {.number = number};

	memcpy(options.store, TABLES_STORE, sizeof(options.store));
	return options;
}

struct table *tables_open(struct io *io, const char *name, const struct table_options *options)
{
	struct table *table;
	char error[240] = "";

	if (table_open(io, name, options, &table, error, sizeof(error)))
		fail_msg("%s", error);
	return table;
}

static void assert_same_bytes(struct entry_bytes a, struct entry_bytes b)
{
	assert_int_equal(a.size, b.size);
	assert_true(a.size == 0 || memcmp(a.bytes, b.bytes, a.size) == 0);
}

void tables_assert_same(const struct entry *a, const struct entry *b, uint64_t global)
{
	assert_same_bytes(a->key, b->key);
	assert_same_bytes(a->value, b->value);
	assert_int_equal(a->seqno, b->seqno + global);
	assert_int_equal(a->expires, b->expires);
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->type, b->type);
}

uint32_t tables_find(const struct tables_set *set, struct entry_bytes key, uint64_t seqno)
{
	const struct entry target = {.key = key, .seqno = seqno};
	uint32_t low = 0, high = set->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (entry_compare(&set->entries[middle], &target) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

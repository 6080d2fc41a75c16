/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/keys.h"
#include "tests/lib/test.h"

#include <string.h>

static struct entry_bytes text(const char *characters)
{
	return (struct entry_bytes){.bytes = (const uint8_t *)characters,
				    .size = (uint32_t)strlen(characters)};
}

static void edges_sort_by_source_and_then_target(void **state)
{
	static const struct edge_key in_order[] = {
		{INT64_MIN, 0}, {-5, -1}, {-5, 6}, {0, INT64_MIN}, {0, INT64_MAX}, {INT64_MAX, 0},
	};
	uint8_t before[KEYS_EDGE_SIZE];

	for (size_t i = 0; i < sizeof(in_order) / sizeof(in_order[0]); i++) {
		uint8_t key[KEYS_EDGE_SIZE];
		struct edge_key edge;

		keys_edge(in_order[i], key);
		assert_true(keys_edge_read((struct entry_bytes){key, sizeof(key)}, &edge));
		assert_int_equal(edge.source, in_order[i].source);
		assert_int_equal(edge.target, in_order[i].target);
		if (i > 0)
			assert_true(memcmp(before, key, sizeof(key)) < 0);
		memcpy(before, key, sizeof(key));
	}
}

static void the_key_of_a_vector_names_collection_and_label(void **state)
{
	static const uint8_t golden[] = {0, 'v', 2, 'a', 'b', 0, 0, 0, 0, 0, 0, 1, 2};
	uint8_t key[KEYS_VECTOR_MAX];
	struct vector_key vector;
	uint32_t size = keys_vector((struct vector_key){text("ab"), 0x102}, key);

	assert_int_equal(size, sizeof(golden));
	assert_memory_equal(key, golden, sizeof(golden));
	assert_true(keys_vector_read((struct entry_bytes){key, size}, &vector));
	assert_int_equal(vector.label, 0x102);
	assert_int_equal(vector.collection.size, 2);
	assert_memory_equal(vector.collection.bytes, "ab", 2);
	assert_int_equal(keys_collection(text("ab"), key), 5);
	assert_memory_equal(key, golden, 5);
}

static void keys_that_are_cut_or_too_long_are_none(void **state)
{
	uint8_t key[KEYS_VECTOR_MAX + 1] = {0};
	struct edge_key edge;
	struct vector_key vector;
	uint32_t size = keys_vector((struct vector_key){text("ab"), 7}, key);

	for (uint32_t cut = 0; cut < sizeof(key); cut++)
		assert_int_equal(keys_vector_read((struct entry_bytes){key, cut}, &vector),
				 cut == size);
	assert_false(keys_edge_read((struct entry_bytes){key, KEYS_EDGE_SIZE}, &edge));
	keys_edge((struct edge_key){1, 2}, key);
	for (uint32_t cut = 0; cut < sizeof(key); cut++)
		assert_int_equal(keys_edge_read((struct entry_bytes){key, cut}, &edge),
				 cut == KEYS_EDGE_SIZE);
	assert_false(keys_are_free((struct entry_bytes){key, 1}));
	assert_false(keys_are_free(text("")));
	assert_true(keys_are_free(text("k")));
}

static uint8_t scratch[KEYS_SCRATCH_SIZE];

static void a_vectors_record_becomes_key_and_value(void **state)
{
	struct record record = {
		.type = RECORD_VECTOR_SET,
		.lsn = 9,
		.vector = {.collection = {(const uint8_t *)"c", 1},
			   .label = 4,
			   .element_type = 3,
			   .vector = {(const uint8_t *)"\1\2\3", 3},
			   .payload = {(const uint8_t *)"pq", 2}},
	};
	struct entry entry;
	struct vector_value value;
	struct vector_key key;

	assert_true(keys_entry(&record, scratch, &entry));
	assert_int_equal(entry.seqno, 9);
	assert_int_equal(entry.kind, ENTRY_VALUE);
	assert_int_equal(entry.type, VALUE_TYPE_VECTOR);
	assert_true(keys_vector_read(entry.key, &key));
	assert_int_equal(key.label, 4);
	assert_true(keys_vector_value_read(entry.value, &value));
	assert_int_equal(value.element_type, 3);
	assert_int_equal(value.vector.size, 3);
	assert_memory_equal(value.vector.bytes, "\1\2\3", 3);
	assert_int_equal(value.payload.size, 2);
	assert_memory_equal(value.payload.bytes, "pq", 2);

	record.type = RECORD_VECTOR_DELETE;
	assert_true(keys_entry(&record, scratch, &entry));
	assert_int_equal(entry.kind, ENTRY_TOMBSTONE);
	assert_int_equal(entry.value.size, 0);

	record.vector.collection.size = 0;
	assert_false(keys_entry(&record, scratch, &entry));
}

static void a_value_whose_vector_is_longer_than_it_is_refused(void **state)
{
	static const uint8_t value[] = {0, 4, 0, 0, 0, 1, 2, 3};
	struct vector_value out;

	assert_false(keys_vector_value_read((struct entry_bytes){value, sizeof(value)}, &out));
	assert_false(keys_vector_value_read((struct entry_bytes){value, 4}, &out));
}

static void a_value_is_gone_its_ttl_after_it_was_written(void **state)
{
	struct record record = {
		.type = RECORD_KV_SET,
		.lsn = 3,
		.timestamp = 1000,
		.kv = {.key = {(const uint8_t *)"k", 1}, .has_ttl = true, .ttl_seconds = 60},
	};
	struct entry entry;

	assert_true(keys_entry(&record, scratch, &entry));
	assert_int_equal(entry.expires, 1060);
	record.kv.ttl_seconds = UINT64_MAX;
	assert_true(keys_entry(&record, scratch, &entry));
	assert_true(entry.expires == UINT64_MAX);
	record.kv.has_ttl = false;
	assert_true(keys_entry(&record, scratch, &entry));
	assert_int_equal(entry.expires, 0);
}

static void records_of_pages_make_no_entry(void **state)
{
	static const enum record_type types[] = {
		RECORD_PAGE_ALLOCATE,      RECORD_PAGE_FREE,
		RECORD_PAGE_WRITE,         RECORD_BTREE_SPLIT,
		RECORD_CHECKPOINT,         RECORD_TRANSACTION_BEGIN,
		RECORD_TRANSACTION_COMMIT, RECORD_TRANSACTION_ROLLBACK,
		RECORD_EDGE_INSERT,        RECORD_EDGE_DELETE,
		RECORD_TABLE_INGEST,       RECORD_DURABLE,
	};
	struct entry entry;

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct record record = {.type = types[i], .lsn = 1};

		assert_false(keys_entry(&record, scratch, &entry));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(edges_sort_by_source_and_then_target),
		cmocka_unit_test(the_key_of_a_vector_names_collection_and_label),
		cmocka_unit_test(keys_that_are_cut_or_too_long_are_none),
		cmocka_unit_test(a_vectors_record_becomes_key_and_value),
		cmocka_unit_test(a_value_whose_vector_is_longer_than_it_is_refused),
		cmocka_unit_test(a_value_is_gone_its_ttl_after_it_was_written),
		cmocka_unit_test(records_of_pages_make_no_entry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

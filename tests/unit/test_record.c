/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/record.h"

#include "base/byteorder.h"
#include "tests/lib/test.h"

#include <stdlib.h>
#include <string.h>

/* A KvSet of key "k": 'at' of its variant, option byte and lengths below. */
static size_t kv_set(uint8_t bytes[64])
{
	const struct record record = {.type = RECORD_KV_SET,
				      .lsn = 5,
				      .kv = {.key = {(const uint8_t *)"k", 1},
					     .value = {(const uint8_t *)"v", 1},
					     .has_ttl = true,
					     .ttl_seconds = 7}};

	assert_int_equal(record_encode(&record, bytes), 0);
	return record_size(&record);
}

static void unknown_variants_are_refused(void **state)
{
	static const uint32_t variants[] = {12, 13, 30, 39, 40, 255, 256, UINT32_MAX};
	uint8_t bytes[64];
	size_t size = kv_set(bytes);
	struct record record;

	for (unsigned i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
		store_le32(bytes, variants[i]);
		assert_int_equal(record_decode(bytes, size, &record), RECORD_E_INVALID);
	}
}

static void lsns_that_no_record_has_are_refused(void **state)
{
	uint8_t bytes[64];
	size_t size = kv_set(bytes);
	struct record record;

	store_le64(bytes + 4, 0);
	assert_int_equal(record_decode(bytes, size, &record), RECORD_E_INVALID);
	store_le64(bytes + 4, UINT64_MAX);
	assert_int_equal(record_decode(bytes, size, &record), RECORD_E_INVALID);
}

static void a_length_past_the_end_is_refused(void **state)
{
	static const uint64_t lengths[] = {2000, UINT32_MAX, UINT64_MAX, UINT64_MAX - 11,
					   UINT64_C(1) << 32 | 1};
	uint8_t bytes[64];
	size_t size = kv_set(bytes);
	struct record record;

	for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		store_le64(bytes + 12, lengths[i]);
		assert_int_equal(record_decode(bytes, size, &record), RECORD_E_INVALID);
	}
}

static void a_byte_that_is_neither_0_nor_1_is_no_choice(void **state)
{
	const struct record split = {.type = RECORD_BTREE_SPLIT, .lsn = 1};
	const struct record edge = {.type = RECORD_EDGE_INSERT, .lsn = 1};
	uint8_t bytes[64];
	size_t size = kv_set(bytes);
	struct record record;

	bytes[size - 17] = 2; /* whether there is a TTL */
	assert_int_equal(record_decode(bytes, size, &record), RECORD_E_INVALID);
	record_encode(&split, bytes);
	bytes[36] = 2;
	assert_int_equal(record_decode(bytes, 45, &record), RECORD_E_INVALID);
	record_encode(&edge, bytes);
	bytes[28] = 0xff;
	assert_int_equal(record_decode(bytes, 45, &record), RECORD_E_INVALID);
}

static void nothing_is_written_to_the_record_that_is_refused(void **state)
{
	uint8_t bytes[64];
	size_t size = kv_set(bytes);
	struct record record = {.lsn = 77};

	assert_int_equal(record_decode(bytes, size - 1, &record), RECORD_E_INVALID);
	assert_int_equal(record.lsn, 77);
}

static void the_largest_record_fits_and_one_byte_more_does_not(void **state)
{
	uint8_t *value = calloc(1, RECORD_SIZE_MAX);
	uint8_t *bytes = calloc(1, RECORD_SIZE_MAX + 1);
	struct record decoded, record = {.type = RECORD_KV_SET,
					 .lsn = 1,
					 .kv = {.key = {(const uint8_t *)"k", 1},
						.value = {value, RECORD_SIZE_MAX - 39}}};

	assert_int_equal(record_size(&record), RECORD_SIZE_MAX);
	assert_int_equal(record_encode(&record, bytes), 0);
	assert_int_equal(record_decode(bytes, RECORD_SIZE_MAX, &decoded), 0);
	assert_int_equal(record_decode(bytes, RECORD_SIZE_MAX + 1, &decoded), RECORD_E_SIZE);
	record.kv.value.size++;
	memset(bytes, 0xaa, 8);
	assert_int_equal(record_encode(&record, bytes), RECORD_E_SIZE);
	assert_int_equal(bytes[0], 0xaa);
	free(bytes);
	free(value);
}

static void fields_that_a_type_does_not_have_are_zero(void **state)
{
	const struct record rollback = {
		.type = RECORD_TRANSACTION_ROLLBACK, .lsn = 3, .transaction = {.tx = 4}};
	struct record record, expected = {.type = RECORD_TRANSACTION_ROLLBACK, .lsn = 3};
	uint8_t bytes[64];

	memset(&record, 0xff, sizeof(record));
	expected.transaction.tx = 4;
	assert_int_equal(record_encode(&rollback, bytes), 0);
	assert_int_equal(record_decode(bytes, 28, &record), 0);
	assert_int_equal(record.kv.value.size, 0);
	assert_int_equal(record.kv.ttl_seconds, 0);
	assert_false(record.kv.has_value);
	assert_int_equal(record.transaction.tx, expected.transaction.tx);
}

static void names_are_those_of_the_tables(void **state)
{
	assert_string_equal(record_name(RECORD_PAGE_ALLOCATE), "PageAllocate");
	assert_string_equal(record_name(RECORD_KV_TOMBSTONE), "KvTombstone");
	assert_string_equal(record_name(RECORD_DURABLE), "Durable");
	assert_null(record_name(0));
	assert_null(record_name(13));
	assert_null(record_name(31));
	assert_null(record_name(40));
	assert_null(record_name(UINT32_MAX));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unknown_variants_are_refused),
		cmocka_unit_test(lsns_that_no_record_has_are_refused),
		cmocka_unit_test(a_length_past_the_end_is_refused),
		cmocka_unit_test(a_byte_that_is_neither_0_nor_1_is_no_choice),
		cmocka_unit_test(nothing_is_written_to_the_record_that_is_refused),
		cmocka_unit_test(the_largest_record_fits_and_one_byte_more_does_not),
		cmocka_unit_test(fields_that_a_type_does_not_have_are_zero),
		cmocka_unit_test(names_are_those_of_the_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/page.h"
#include "tests/lib/test.h"

#include <string.h>

/* docs/format/page.md shows these bytes. */
static const char leaf_hex[] = "0700000000000000" /* number 7 */
			       "0901000000000000" /* lsn 265 */
			       "9f06bb01"         /* crc */
			       "0200"             /* two entries */
			       "01"               /* a leaf */
			       "00"               /* of level 0 */
			       "0800000000000000" /* page 8 is next */
			       "0500000000000000e803000000000000"
			       "0600000000000000d007000000000000";

static void make_leaf(uint8_t *page)
{
	page_init(page, 7, PAGE_BTREE_LEAF);
	store_le64(page + PAGE_AT_LSN, 265);
	page_set_count(page, 2);
	page_set_link(page, 8);
	store_le64(page + 32, 5);
	store_le64(page + 40, 1000);
	store_le64(page + 48, 6);
	store_le64(page + 56, 2000);
	page_seal(page);
}

static void a_leaf_has_the_documents_bytes(void **state)
{
	uint8_t page[PAGE_SIZE], golden[PAGE_SIZE] = {0};
	char error[PAGE_ERROR_MAX];

	make_leaf(page);
	assert_int_equal(test_unhex(leaf_hex, golden, sizeof(golden)), 64);
	assert_memory_equal(page, golden, sizeof(page));
	assert_true(page_check(golden, 7, error));
	assert_int_equal(page_lsn(golden), 265);
	assert_int_equal(page_count(golden), 2);
	assert_int_equal(page_kind(golden), PAGE_BTREE_LEAF);
	assert_int_equal(page_level(golden), 0);
	assert_int_equal(page_link(golden), 8);
}

static void page_0_has_the_documents_bytes(void **state)
{
	static const char hex[] = "0000000000000000"
				  "0000000000000000"
				  "4359224d"
				  "0000"
				  "03"
				  "00"
				  "0000000000000000"
				  "5445524e5041470a"
				  "01000000"
				  "00100000"
				  "000102030405060708090a0b0c0d0e0f";
	uint8_t page[PAGE_SIZE], golden[PAGE_SIZE] = {0}, store[PAGE_STORE_SIZE];
	char error[PAGE_ERROR_MAX];

	for (unsigned i = 0; i < sizeof(store); i++)
		store[i] = (uint8_t)i;
	page_init_file(page, store);
	page_seal(page);
	assert_int_equal(test_unhex(hex, golden, sizeof(golden)), 64);
	assert_memory_equal(page, golden, sizeof(page));
	assert_true(page_check_file(golden, error));
}

static void every_flipped_bit_is_refused(void **state)
{
	uint8_t page[PAGE_SIZE];
	char error[PAGE_ERROR_MAX];

	make_leaf(page);
	for (unsigned bit = 0; bit < PAGE_SIZE * 8; bit++) {
		page[bit / 8] ^= (uint8_t)(1U << bit % 8);
		assert_false(page_check(page, 7, error));
		page[bit / 8] ^= (uint8_t)(1U << bit % 8);
	}
	page_init_file(page, page);
	page_seal(page);
	for (unsigned bit = 0; bit < PAGE_SIZE * 8; bit++) {
		page[bit / 8] ^= (uint8_t)(1U << bit % 8);
		assert_false(page_check_file(page, error));
		page[bit / 8] ^= (uint8_t)(1U << bit % 8);
	}
}

static void a_refusal_says_page_expected_and_found(void **state)
{
	uint8_t page[PAGE_SIZE];
	char error[PAGE_ERROR_MAX];

	make_leaf(page);
	assert_false(page_check(page, 9, error));
	assert_string_equal(error, "page 9: number: expected 9, found 7");
	page[100] = 1;
	assert_false(page_check(page, 7, error));
	assert_non_null(strstr(error, "page 7: crc of its bytes: expected 0x"));
	page_set_count(page, PAGE_ENTRY_MAX + 1);
	page_seal(page);
	assert_false(page_check(page, 7, error));
	assert_string_equal(error, "page 7: count: expected at most 254, found 255");
	page_set_count(page, 1);
	page[PAGE_AT_KIND] = PAGE_FILE;
	page_seal(page);
	assert_false(page_check(page, 7, error));
	assert_string_equal(error, "page 7: kind: expected below 3, found 3");
}

static void a_page_of_zeros_is_no_page(void **state)
{
	static const uint8_t zeros[PAGE_SIZE];
	char error[PAGE_ERROR_MAX];

	assert_false(page_check(zeros, 0, error));
	assert_false(page_check_file(zeros, error));
}

static void another_version_is_refused(void **state)
{
	uint8_t page[PAGE_SIZE], store[PAGE_STORE_SIZE] = {0};
	char error[PAGE_ERROR_MAX];

	page_init_file(page, store);
	store_le32(page + PAGE_AT_VERSION, 2);
	page_seal(page);
	assert_false(page_check_file(page, error));
	assert_string_equal(error, "page 0: version: expected 1, found 2");
}

static void used_bytes_end_at_the_last_that_is_not_zero(void **state)
{
	uint8_t page[PAGE_SIZE];

	page_init(page, 1, PAGE_BTREE_LEAF);
	assert_int_equal(page_used(page), PAGE_HEADER);
	for (unsigned at = PAGE_HEADER; at < PAGE_SIZE; at++) {
		page[at] = 1;
		assert_int_equal(page_used(page), at + 1);
		page[at] = 0;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_leaf_has_the_documents_bytes),
		cmocka_unit_test(page_0_has_the_documents_bytes),
		cmocka_unit_test(every_flipped_bit_is_refused),
		cmocka_unit_test(a_refusal_says_page_expected_and_found),
		cmocka_unit_test(a_page_of_zeros_is_no_page),
		cmocka_unit_test(another_version_is_refused),
		cmocka_unit_test(used_bytes_end_at_the_last_that_is_not_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

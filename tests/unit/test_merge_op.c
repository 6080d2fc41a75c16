/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/byteorder.h"
#include "base/defs.h"
#include "engine/fold.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct merge_ops ops;

static int set_up(void **state)
{
	(void)state;
	merge_ops_init(&ops);
	return 0;
}

static struct entry_bytes bytes(const char *string, size_t size)
{
	return (struct entry_bytes){(const uint8_t *)string, (uint32_t)size};
}

#define TEXT(literal) bytes(literal, sizeof(literal) - 1)

static void assert_fold(uint8_t number, const struct entry_bytes *base,
			const struct entry_bytes *operands, uint32_t count,
			struct entry_bytes expected)
{
	struct merge_out out = {0};

	assert_int_equal(merge_ops_fold(&ops, number, base, operands, count, &out), 0);
	assert_int_equal(out.size, expected.size);
	if (out.size > 0)
		assert_memory_equal(out.bytes, expected.bytes, out.size);
	merge_out_deinit(&out);
}

static void assert_refused(uint8_t number, const struct entry_bytes *base,
			   const struct entry_bytes *operands, uint32_t count, int code)
{
	struct merge_out out = {0};

	assert_int_equal(merge_out_append(&out, "before", 6), 0);
	assert_int_equal(merge_ops_fold(&ops, number, base, operands, count, &out), code);
	assert_int_equal(out.size, 6);
	merge_out_deinit(&out);
}

static void a_counter_adds_and_wraps(void **state)
{
	uint8_t most[8], one[8], two[8], least_and_one[8];
	const struct entry_bytes base = {most, 8}, operands[] = {{one, 8}, {one, 8}};

	(void)state;
	store_le64(most, INT64_MAX);
	store_le64(one, 1);
	store_le64(two, 2);
	store_le64(least_and_one, (uint64_t)INT64_MIN + 1);
	assert_fold(MERGE_OP_COUNTER, NULL, operands, 2, (struct entry_bytes){two, 8});
	assert_fold(MERGE_OP_COUNTER, &base, operands, 2, (struct entry_bytes){least_and_one, 8});
	assert_fold(MERGE_OP_COUNTER, &base, NULL, 0, base);
}

static void a_counter_of_another_size_is_refused(void **state)
{
	const struct entry_bytes seven = TEXT("1234567"), eight = TEXT("12345678"),
				 nine = TEXT("123456789"), empty = TEXT("");

	(void)state;
	assert_refused(MERGE_OP_COUNTER, &seven, &eight, 1, MERGE_OP_E_INVALID);
	assert_refused(MERGE_OP_COUNTER, &empty, &eight, 1, MERGE_OP_E_INVALID);
	assert_refused(MERGE_OP_COUNTER, &eight, &nine, 1, MERGE_OP_E_INVALID);
	assert_refused(MERGE_OP_COUNTER, NULL, &seven, 1, MERGE_OP_E_INVALID);
}

static void append_keeps_the_order(void **state)
{
	const struct entry_bytes base = TEXT("a"), operands[] = {TEXT("bc"), TEXT(""), TEXT("d")};

	(void)state;
	assert_fold(MERGE_OP_APPEND, &base, operands, 3, TEXT("abcd"));
	assert_fold(MERGE_OP_APPEND, NULL, operands, 3, TEXT("bcd"));
	assert_fold(MERGE_OP_APPEND, NULL, NULL, 0, TEXT(""));
}

#define A  "\1\0\0\0a"
#define AB "\2\0\0\0ab"
#define B  "\1\0\0\0b"
#define E  "\0\0\0\0"

static void a_union_is_sorted_and_has_each_member_once(void **state)
{
	const struct entry_bytes base = TEXT(A B), operands[] = {TEXT(AB), TEXT(E A), TEXT("")};

	(void)state;
	assert_fold(MERGE_OP_SET_UNION, &base, operands, 3, TEXT(E A AB B));
	assert_fold(MERGE_OP_SET_UNION, NULL, operands, 1, TEXT(AB));
	assert_fold(MERGE_OP_SET_UNION, NULL, operands + 2, 1, TEXT(""));
}

static void what_is_no_set_is_refused(void **state)
{
	const struct entry_bytes good = TEXT(A);
	const struct entry_bytes bad[] = {
		TEXT("\1\0\0"), TEXT("\2\0\0\0a"), TEXT(A "\0"), TEXT(B A),
		TEXT(A A),      TEXT(AB A),        TEXT(A E),    TEXT("\377\377\377\377a"),
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(bad); i++) {
		assert_refused(MERGE_OP_SET_UNION, &bad[i], &good, 1, MERGE_OP_E_INVALID);
		assert_refused(MERGE_OP_SET_UNION, &good, &bad[i], 1, MERGE_OP_E_INVALID);
	}
}

static void a_result_that_no_blob_file_holds_is_refused(void **state)
{
	uint8_t *large = calloc(1, MERGE_OP_VALUE_MAX);
	const struct entry_bytes base = {large, MERGE_OP_VALUE_MAX}, one = TEXT("x");
	struct merge_out out = {0};

	(void)state;
	assert_non_null(large);
	assert_fold(MERGE_OP_APPEND, &base, NULL, 0, base);
	assert_int_equal(merge_ops_fold(&ops, MERGE_OP_APPEND, &base, &one, 1, &out),
			 MERGE_OP_E_SIZE);
	assert_int_equal(out.size, 0);
	merge_out_deinit(&out);
	free(large);
}

/* What compaction relies on. */
static void folding_in_two_steps_is_folding_in_one(void **state)
{
	static const uint8_t numbers[] = {MERGE_OP_COUNTER, MERGE_OP_APPEND, MERGE_OP_SET_UNION};
	/* Eight bytes each, a set, and in any order. */
	const struct entry_bytes base = TEXT("\4\0\0\0kkkk"),
				 operands[] = {TEXT("\4\0\0\0zzzz"), TEXT("\4\0\0\0aaaa"),
					       TEXT("\4\0\0\0mmmm")};

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(numbers); i++) {
		struct merge_out once = {0}, first = {0}, second = {0};
		struct entry_bytes folded;

		assert_int_equal(merge_ops_fold(&ops, numbers[i], &base, operands, 3, &once), 0);
		assert_int_equal(merge_ops_fold(&ops, numbers[i], &base, operands, 1, &first), 0);
		folded = (struct entry_bytes){first.bytes, first.size};
		assert_fold(numbers[i], &folded, operands + 1, 2,
			    (struct entry_bytes){once.bytes, once.size});
		assert_int_equal(merge_ops_fold(&ops, numbers[i], NULL, operands, 3, &second), 0);
		folded = (struct entry_bytes){second.bytes, second.size};
		assert_fold(numbers[i], &base, &folded, 1,
			    (struct entry_bytes){once.bytes, once.size});
		merge_out_deinit(&once);
		merge_out_deinit(&first);
		merge_out_deinit(&second);
	}
}

static int last(const struct entry_bytes *base, const struct entry_bytes *operands, uint32_t count,
		struct merge_out *out)
{
	const struct entry_bytes *from = count > 0 ? &operands[count - 1] : base;

	return from ? merge_out_append(out, from->bytes, from->size) : MERGE_OP_E_INVALID;
}

static void others_register_their_own(void **state)
{
	const struct entry_bytes operands[] = {TEXT("a"), TEXT("b")};
	char long_name[MERGE_OP_NAME_MAX + 1];

	(void)state;
	memset(long_name, 'n', sizeof(long_name));
	long_name[MERGE_OP_NAME_MAX] = 0;
	assert_refused(16, NULL, operands, 2, MERGE_OP_E_UNKNOWN);
	assert_null(merge_ops_name(&ops, 16));
	assert_int_equal(merge_ops_register(&ops, 16, "last", last), 0);
	assert_fold(16, NULL, operands, 2, TEXT("b"));
	assert_string_equal(merge_ops_name(&ops, 16), "last");
	assert_int_equal(merge_ops_number(&ops, "last"), 16);
	assert_int_equal(merge_ops_register(&ops, 16, "other", last), MERGE_OP_E_TAKEN);
	assert_int_equal(merge_ops_register(&ops, 17, "last", last), MERGE_OP_E_TAKEN);
	assert_int_equal(merge_ops_register(&ops, 15, "mine", last), MERGE_OP_E_TAKEN);
	assert_int_equal(merge_ops_register(&ops, 17, "", last), -EINVAL);
	assert_int_equal(merge_ops_register(&ops, 17, long_name, last), -EINVAL);
	long_name[MERGE_OP_NAME_MAX - 1] = 0;
	assert_int_equal(merge_ops_register(&ops, 255, long_name, last), 0);
}

/* More operands than are held at once: those that were gathered become one. */
static void a_fold_takes_bounded_memory(void **state)
{
	struct fold fold = {.ops = &ops};
	struct entry one = {.kind = ENTRY_MERGE, .type = MERGE_OP_COUNTER};
	const uint8_t number[8] = {1};
	struct entry_bytes value;

	(void)state;
	one.value = (struct entry_bytes){number, sizeof(number)};
	for (one.seqno = 3 * FOLD_COUNT_MAX; one.seqno > 0; one.seqno--)
		assert_int_equal(fold_add(&fold, &one), 0);
	assert_true(fold.count <= FOLD_COUNT_MAX);
	assert_int_equal(fold_at(&fold, 0).seqno, 3 * FOLD_COUNT_MAX);
	assert_int_equal(fold_finish(&fold, NULL, &value), 0);
	assert_int_equal(load_le64(value.bytes), 3 * FOLD_COUNT_MAX);
	fold_clear(&fold);
	assert_int_equal(fold.room, 0);
	fold_deinit(&fold);
}

/* The same member again and again is a small set; bytes that are put behind don't become fewer. */
static void a_fold_of_many_bytes_is_refused_if_its_value_is_as_large(void **state)
{
	const uint32_t size = ENTRY_VALUE_MAX, enough = FOLD_SIZE_MAX / size + 10;
	struct fold fold = {.ops = &ops};
	uint8_t *member = calloc(1, size);
	struct entry operand = {.kind = ENTRY_MERGE, .value = {member, size}};
	struct entry_bytes value;
	uint32_t taken = 0;

	(void)state;
	assert_non_null(member);
	store_le32(member, size - 4);
	operand.type = MERGE_OP_SET_UNION;
	for (uint32_t i = 0; i < enough; i++)
		assert_int_equal(fold_add(&fold, &operand), 0);
	assert_int_equal(fold_finish(&fold, NULL, &value), 0);
	assert_int_equal(value.size, size);

	fold_clear(&fold);
	operand.type = MERGE_OP_APPEND;
	while (taken < enough && fold_add(&fold, &operand) == 0)
		taken++;
	assert_int_equal(taken, FOLD_SIZE_MAX / size);
	assert_int_equal(fold_add(&fold, &operand), MERGE_OP_E_SIZE);
	assert_true(fold.size <= FOLD_SIZE_MAX);
	fold_deinit(&fold);
	free(member);
}

static void the_built_in_ones_have_their_numbers_and_names(void **state)
{
	(void)state;
	assert_string_equal(merge_ops_name(&ops, 1), "counter");
	assert_string_equal(merge_ops_name(&ops, 2), "append");
	assert_string_equal(merge_ops_name(&ops, 3), "set_union");
	assert_int_equal(merge_ops_number(&ops, "set_union"), 3);
	assert_int_equal(merge_ops_number(&ops, "none"), 0);
	assert_null(merge_ops_name(&ops, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_counter_adds_and_wraps, set_up),
		cmocka_unit_test_setup(a_counter_of_another_size_is_refused, set_up),
		cmocka_unit_test_setup(append_keeps_the_order, set_up),
		cmocka_unit_test_setup(a_union_is_sorted_and_has_each_member_once, set_up),
		cmocka_unit_test_setup(what_is_no_set_is_refused, set_up),
		cmocka_unit_test_setup(a_result_that_no_blob_file_holds_is_refused, set_up),
		cmocka_unit_test_setup(folding_in_two_steps_is_folding_in_one, set_up),
		cmocka_unit_test_setup(others_register_their_own, set_up),
		cmocka_unit_test_setup(a_fold_takes_bounded_memory, set_up),
		cmocka_unit_test_setup(a_fold_of_many_bytes_is_refused_if_its_value_is_as_large,
				       set_up),
		cmocka_unit_test_setup(the_built_in_ones_have_their_numbers_and_names, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/defs.h"
#include "proto/pack.h"
#include "tests/lib/test.h"

#include <stdio.h>
#include <string.h>

#define U16_MAX UINT64_C(0xffff)
#define U32_MAX UINT64_C(0xffffffff)

static void check_uint(uint64_t value, const char *hex)
{
	uint8_t golden[16], bytes[16];
	size_t size = test_unhex(hex, golden, sizeof(golden));
	struct pack_writer writer = pack_writer(bytes, sizeof(bytes));
	struct pack_reader reader = pack_reader(golden, size);

	pack_write_uint(&writer, value);
	assert_int_equal(pack_writer_end(&writer), size);
	assert_memory_equal(bytes, golden, size);
	assert_true(pack_read_u64(&reader) == value);
	assert_int_equal(reader.error, PACK_OK);
	assert_int_equal(pack_reader_left(&reader), 0);
}

static void unsigned_integers_are_minimal(void **state)
{
	check_uint(0, "00");
	check_uint(127, "7f");
	check_uint(128, "cc80");
	check_uint(200, "ccc8"); /* G48 */
	check_uint(255, "ccff");
	check_uint(256, "cd0100");
	check_uint(U16_MAX, "cdffff");
	check_uint(U16_MAX + 1, "ce00010000");
	check_uint(U32_MAX, "ceffffffff");
	check_uint(U32_MAX + 1, "cf0000000100000000");
	check_uint(UINT64_MAX, "cfffffffffffffffff");
}

static void check_int(int64_t value, const char *hex)
{
	uint8_t golden[16], bytes[16];
	size_t size = test_unhex(hex, golden, sizeof(golden));
	struct pack_writer writer = pack_writer(bytes, sizeof(bytes));
	struct pack_reader reader = pack_reader(golden, size);

	pack_write_int(&writer, value);
	assert_int_equal(pack_writer_end(&writer), size);
	assert_memory_equal(bytes, golden, size);
	assert_true(pack_read_int(&reader, 64) == value);
	assert_int_equal(reader.error, PACK_OK);
	assert_int_equal(pack_reader_left(&reader), 0);
}

static void signed_integers_keep_signed_markers(void **state)
{
	check_int(0, "00");
	check_int(127, "7f");
	check_int(128, "d10080");
	check_int(200, "d100c8"); /* G48 */
	check_int(INT16_MAX, "d17fff");
	check_int(INT16_MAX + 1, "d200008000");
	check_int(INT32_MAX, "d27fffffff");
	check_int((int64_t)INT32_MAX + 1, "d30000000080000000");
	check_int(INT64_MAX, "d37fffffffffffffff");
	check_int(-1, "ff");
	check_int(-32, "e0");
	check_int(-33, "d0df");
	check_int(-128, "d080");
	check_int(-129, "d1ff7f");
	check_int(INT16_MIN, "d18000");
	check_int(INT16_MIN - 1, "d2ffff7fff");
	check_int(INT32_MIN, "d280000000");
	check_int((int64_t)INT32_MIN - 1, "d3ffffffff7fffffff");
	check_int(INT64_MIN, "d38000000000000000");
	check_int(1700000000000, "d30000018bcfe56800");
}

/* What reading 'hex' as an unsigned or signed integer of 'bits' ends in. */
static enum pack_error read_uint(const char *hex, unsigned bits)
{
	uint8_t bytes[16];
	struct pack_reader reader = pack_reader(bytes, test_unhex(hex, bytes, sizeof(bytes)));

	(void)pack_read_uint(&reader, bits);
	return reader.error;
}

static enum pack_error read_int(const char *hex, unsigned bits)
{
	uint8_t bytes[16];
	struct pack_reader reader = pack_reader(bytes, test_unhex(hex, bytes, sizeof(bytes)));

	(void)pack_read_int(&reader, bits);
	return reader.error;
}

static void integers_never_change_sign_or_width(void **state)
{
	static const char *const wide[] = {"00", "0000", "00000000", "0000000000000000"};

	for (unsigned shift = 0; shift < 4; shift++) {
		char as_uint[20], as_int[20];

		snprintf(as_uint, sizeof(as_uint), "%02x%s", 0xcc + shift, wide[shift]);
		snprintf(as_int, sizeof(as_int), "%02x%s", 0xd0 + shift, wide[shift]);
		for (unsigned bits = 8; bits <= 64; bits *= 2) {
			enum pack_error expected = 8u << shift <= bits ? PACK_OK : PACK_E_TYPE;

			assert_int_equal(read_uint(as_uint, bits), expected);
			assert_int_equal(read_int(as_int, bits), expected);
			assert_int_equal(read_uint(as_int, bits), PACK_E_TYPE);
			assert_int_equal(read_int(as_uint, bits), PACK_E_TYPE);
		}
	}
	/* N7: a signed reader refuses cd. Negative fixints are not unsigned. */
	assert_int_equal(read_int("cd03e8", 64), PACK_E_TYPE);
	assert_int_equal(read_uint("ff", 64), PACK_E_TYPE);
	assert_int_equal(read_int("ff", 8), PACK_OK);
	assert_int_equal(read_int("7f", 8), PACK_OK);
}

static void headers_are_written_minimal(void **state)
{
	static const struct {
		uint32_t count;
		const char *array, *map, *str, *bin;
	} rows[] = {
		{0, "90", "80", "a0", "c400"},
		{15, "9f", "8f", "af", "c40f"},
		{16, "dc0010", "de0010", "b0", "c410"},
		{31, "dc001f", "de001f", "bf", "c41f"},
		{32, "dc0020", "de0020", "d920", "c420"},
		{255, "dc00ff", "de00ff", "d9ff", "c4ff"},
		{256, "dc0100", "de0100", "da0100", "c50100"},
		{65535, "dcffff", "deffff", "daffff", "c5ffff"},
		{65536, "dd00010000", "df00010000", "db00010000", "c600010000"},
	};
	static uint8_t bytes[65536 + 8], body[65536];

	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		const char *hex[] = {rows[i].array, rows[i].map, rows[i].str, rows[i].bin};

		for (unsigned kind = 0; kind < 4; kind++) {
			struct pack_writer writer = pack_writer(bytes, sizeof(bytes));
			uint8_t head[8];
			size_t size = test_unhex(hex[kind], head, sizeof(head));
			uint32_t count = rows[i].count;

			if (kind == 0)
				pack_write_array(&writer, count);
			else if (kind == 1)
				pack_write_map(&writer, count);
			else if (kind == 2)
				pack_write_str(&writer, (const char *)body, count);
			else
				pack_write_bin(&writer, body, count);
			assert_int_equal(pack_writer_end(&writer), size + (kind < 2 ? 0 : count));
			assert_memory_equal(bytes, head, size);
		}
	}
}

static void wider_headers_than_needed_are_read(void **state)
{
	uint8_t bytes[64];
	struct pack_reader reader = pack_reader(
		bytes, test_unhex("dc0001 dd00000001 de0000 df00000000 d90161 da000161 db0000000161"
				  "c40162 c5000162 c60000000162",
				  bytes, sizeof(bytes)));

	assert_int_equal(pack_read_array(&reader), 1);
	assert_int_equal(pack_read_array(&reader), 1);
	assert_int_equal(pack_read_map(&reader), 0);
	assert_int_equal(pack_read_map(&reader), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(pack_read_str(&reader).text[0], 'a');
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(pack_read_bin(&reader).bytes[0], 'b');
	assert_int_equal(reader.error, PACK_OK);
	assert_int_equal(pack_reader_left(&reader), 0);
}

/* Each first byte is taken by the readers of its kind and by no other. */
static void every_first_byte_has_one_kind(void **state)
{
	for (unsigned first = 0; first < 256; first++) {
		uint8_t bytes[16] = {(uint8_t)first};
		struct pack_reader all = pack_reader(bytes, sizeof(bytes)), reader;
		enum pack_kind kind = pack_read_kind(&all);

#define CHECK_READER(call, is_taker)                                                               \
	do {                                                                                       \
		reader = all;                                                                      \
		(void)(call);                                                                      \
		assert_int_equal(reader.error != PACK_E_TYPE, is_taker);                           \
	} while (0)
		CHECK_READER(pack_read_uint(&reader, 64), kind == PACK_KIND_UINT);
		CHECK_READER(pack_read_int(&reader, 64), kind == PACK_KIND_INT || first < 0x80);
		CHECK_READER(pack_read_f32(&reader), kind == PACK_KIND_F32);
		CHECK_READER(pack_read_f64(&reader), kind == PACK_KIND_F64);
		CHECK_READER(pack_read_bool(&reader), kind == PACK_KIND_BOOL);
		CHECK_READER(pack_read_str(&reader).length, kind == PACK_KIND_STR);
		CHECK_READER(pack_read_bin(&reader).size, kind == PACK_KIND_BIN);
		CHECK_READER(pack_read_array(&reader), kind == PACK_KIND_ARRAY);
		CHECK_READER(pack_read_map(&reader), kind == PACK_KIND_MAP);
		CHECK_READER((pack_read_nil(&reader), 0), kind == PACK_KIND_NIL);
#undef CHECK_READER
		reader = all;
		assert_int_equal(pack_read_absent(&reader), kind == PACK_KIND_NIL);
		assert_int_equal(reader.error, PACK_OK);
		reader = all;
		pack_read_skip(&reader);
		assert_int_equal(reader.error == PACK_E_TYPE, kind == PACK_KIND_FOREIGN);
	}
}

static void counts_are_bounded_by_the_bytes_left(void **state)
{
	static const struct {
		const char *hex;
		bool map;
		enum pack_error error;
	} rows[] = {
		{"920000", false, PACK_OK},
		{"9200", false, PACK_E_SHORT},
		{"ddffffffff00", false, PACK_E_SHORT},
		{"dcffff00", false, PACK_E_SHORT},
		{"8100c0", true, PACK_OK},
		{"8100", true, PACK_E_SHORT},
		{"dfffffffff00", true, PACK_E_SHORT},
		{"dd000000", false, PACK_E_SHORT},
		{"df80000001c0c0", true, PACK_E_SHORT},
	};

	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		uint8_t bytes[16];
		struct pack_reader reader =
			pack_reader(bytes, test_unhex(rows[i].hex, bytes, sizeof(bytes)));

		if (rows[i].map)
			(void)pack_read_map(&reader);
		else
			(void)pack_read_array(&reader);
		assert_int_equal(reader.error, rows[i].error);
	}
}

static void the_first_failure_stays(void **state)
{
	uint8_t bytes[] = {0xc3, 0x01, 0x02};
	struct pack_reader reader = pack_reader(bytes, sizeof(bytes));

	assert_int_equal(pack_read_u32(&reader), 0);
	assert_int_equal(reader.error, PACK_E_TYPE);
	assert_int_equal(pack_read_u32(&reader), 0);
	assert_false(pack_read_bool(&reader));
	assert_int_equal(pack_read_array(&reader), 0);
	assert_null(pack_read_str(&reader).text);
	assert_null(pack_read_bin(&reader).bytes);
	assert_false(pack_read_absent(&reader));
	assert_int_equal(pack_read_kind(&reader), PACK_KIND_END);
	assert_int_equal(reader.error, PACK_E_TYPE);
}

static void floats_keep_their_bits(void **state)
{
	static const uint32_t patterns[] = {0x7fc12345, 0x7f812345, 0xff800000, 0x80000000, 1};

	for (size_t i = 0; i < ARRAY_COUNT(patterns); i++) {
		uint8_t bytes[16];
		struct pack_writer writer = pack_writer(bytes, sizeof(bytes));
		struct pack_reader reader = pack_reader(bytes, sizeof(bytes));
		float value, back;

		memcpy(&value, &patterns[i], sizeof(value));
		pack_write_f32(&writer, value);
		back = pack_read_f32(&reader);
		assert_memory_equal(&back, &value, sizeof(value));
	}
}

static void doubles_are_big_endian(void **state)
{
	uint8_t golden[16], bytes[16];
	size_t size = test_unhex("cb408f400000000000", golden, sizeof(golden));
	struct pack_writer writer = pack_writer(bytes, sizeof(bytes));
	struct pack_reader reader = pack_reader(golden, size);

	pack_write_f64(&writer, 1000.0);
	assert_int_equal(pack_writer_end(&writer), size);
	assert_memory_equal(bytes, golden, size);
	assert_true(pack_read_f64(&reader) == 1000.0);
}

static void nesting_is_followed_to_its_limit(void **state)
{
	uint8_t bytes[PACK_DEPTH_MAX + 2];
	struct pack_reader reader;

	memset(bytes, 0x91, sizeof(bytes));
	bytes[PACK_DEPTH_MAX] = 0xc0;
	reader = pack_reader(bytes, sizeof(bytes));
	pack_read_skip(&reader);
	assert_int_equal(reader.error, PACK_OK);
	assert_int_equal(pack_reader_left(&reader), 1);
	memset(bytes, 0x91, sizeof(bytes));
	bytes[PACK_DEPTH_MAX + 1] = 0xc0;
	reader = pack_reader(bytes, sizeof(bytes));
	pack_read_skip(&reader);
	assert_int_equal(reader.error, PACK_E_DEPTH);
	/* Maps count too, and an empty container at the limit is fine. */
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = 0x91;
	bytes[PACK_DEPTH_MAX - 1] = 0x80;
	reader = pack_reader(bytes, sizeof(bytes));
	pack_read_skip(&reader);
	assert_int_equal(reader.error, PACK_OK);
	assert_int_equal(pack_reader_left(&reader), 2);
}

static void only_utf8_is_text(void **state)
{
	/* Ends of each range of Unicode's table 3-7; then what lies just outside of them. */
	static const char *const good[] = {"",
					   "a",
					   "0123456789abcdef",
					   "\xc2\x80",
					   "\xdf\xbf",
					   "\xe0\xa0\x80",
					   "\xed\x9f\xbf",
					   "\xee\x80\x80",
					   "\xef\xbf\xbf",
					   "\xf0\x90\x80\x80",
					   "\xf4\x8f\xbf\xbf",
					   "01234567\xc3\xa4tail"};
	static const char *const bad[] = {"\x80",
					  "\xbf",
					  "\xc0\x80",
					  "\xc1\xbf",
					  "\xc2",
					  "\xc2\x41",
					  "\xe0\x9f\xbf",
					  "\xe0\xa0",
					  "\xed\xa0\x80",
					  "\xed\xbf\xbf",
					  "\xf0\x8f\xbf\xbf",
					  "\xf4\x90\x80\x80",
					  "\xf5\x80\x80\x80",
					  "\xff",
					  "01234567\x80",
					  "0123456789abcde\xc3",
					  "\xf0\x90\x80\x41",
					  "\xf0\x90\x41\x80"};

	for (size_t i = 0; i < ARRAY_COUNT(good); i++)
		assert_true(pack_is_utf8(good[i], strlen(good[i])));
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
		assert_false(pack_is_utf8(bad[i], strlen(bad[i])));
}

static void bad_text_is_told_from_other_failures(void **state)
{
	uint8_t bytes[] = {0xa1, 0xff};
	struct pack_reader reader = pack_reader(bytes, sizeof(bytes));

	assert_null(pack_read_str(&reader).text);
	assert_int_equal(reader.error, PACK_E_TEXT);
	reader = pack_reader(bytes, 1);
	assert_null(pack_read_str(&reader).text);
	assert_int_equal(reader.error, PACK_E_SHORT);
}

static void a_full_writer_measures_on_and_writes_nothing_beyond(void **state)
{
	uint8_t bytes[4] = {0, 0, 0, 0x55};
	struct pack_writer writer = pack_writer(bytes, 3), measure = pack_writer(NULL, 0);

	for (unsigned i = 0; i < 3; i++) {
		pack_write_uint(&writer, 300);
		pack_write_uint(&measure, 300);
	}
	assert_int_equal(writer.size, 9);
	assert_int_equal(measure.size, 9);
	assert_int_equal(pack_writer_end(&writer), 0);
	assert_int_equal(bytes[3], 0x55);
}

/*
 * The original's byte strings below the first level are arrays of integers
 * (protocol section 5.4): a reader of one refuses the other (N9).
 */
static void byte_strings_and_integer_arrays_are_different(void **state)
{
	uint8_t bytes[] = {0xc4, 0x02, 0x01, 0x02};
	struct pack_reader reader = pack_reader(bytes, sizeof(bytes));

	(void)pack_read_array(&reader);
	assert_int_equal(reader.error, PACK_E_TYPE);
	bytes[0] = 0x92;
	reader = pack_reader(bytes, sizeof(bytes));
	(void)pack_read_bin(&reader);
	assert_int_equal(reader.error, PACK_E_TYPE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unsigned_integers_are_minimal),
		cmocka_unit_test(signed_integers_keep_signed_markers),
		cmocka_unit_test(integers_never_change_sign_or_width),
		cmocka_unit_test(headers_are_written_minimal),
		cmocka_unit_test(wider_headers_than_needed_are_read),
		cmocka_unit_test(every_first_byte_has_one_kind),
		cmocka_unit_test(counts_are_bounded_by_the_bytes_left),
		cmocka_unit_test(the_first_failure_stays),
		cmocka_unit_test(floats_keep_their_bits),
		cmocka_unit_test(doubles_are_big_endian),
		cmocka_unit_test(nesting_is_followed_to_its_limit),
		cmocka_unit_test(only_utf8_is_text),
		cmocka_unit_test(bad_text_is_told_from_other_failures),
		cmocka_unit_test(a_full_writer_measures_on_and_writes_nothing_beyond),
		cmocka_unit_test(byte_strings_and_integer_arrays_are_different),
	};
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

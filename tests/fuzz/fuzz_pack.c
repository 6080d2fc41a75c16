/* SPDX-License-Identifier: Apache-2.0 */

/*
 * MessagePack read by us and by msgpack-c: what both accept is the same value
 * and as long, and what only one accepts is a difference that
 * docs/format/msgpack.md names: extension types and text that is not UTF-8 are
 * refused here, nesting of more than 32 there.
 */

#include "base/check.h"
#include "proto/pack.h"

#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

/* What msgpack-c follows. */
#define ORACLE_DEPTH_MAX 32

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* UTF-8 by the definition of its code points: another way than the one under test. */
static bool is_utf8(const uint8_t *text, size_t size)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};

	for (size_t at = 0, length; at < size; at += length) {
		uint8_t first = text[at];
		uint32_t point;

		length = first < 0x80 ? 1 : first >> 5 == 6 ? 2 : first >> 4 == 14 ? 3 : 4;
		if (length == 1)
			continue;
		if ((length == 4 && first >> 3 != 30) || size - at < length)
			return false;
		point = first & (0xffu >> (length + 1));
		for (size_t i = 1; i < length; i++) {
			if (text[at + i] >> 6 != 2)
				return false;
			point = point << 6 | (text[at + i] & 0x3f);
		}
		if (point < smallest[length] || point > 0x10ffff || point >> 11 == 0x1b)
			return false;
	}
	return true;
}

/* Does the oracle's value hold what we refuse? */
static bool is_foreign(const msgpack_object *object)
{
	switch (object->type) {
	case MSGPACK_OBJECT_EXT:
		return true;
	case MSGPACK_OBJECT_STR:
		return !is_utf8((const uint8_t *)object->via.str.ptr, object->via.str.size);
	case MSGPACK_OBJECT_ARRAY:
		for (uint32_t i = 0; i < object->via.array.size; i++)
			if (is_foreign(&object->via.array.ptr[i]))
				return true;
		return false;
	case MSGPACK_OBJECT_MAP:
		for (uint32_t i = 0; i < object->via.map.size; i++)
			if (is_foreign(&object->via.map.ptr[i].key) ||
			    is_foreign(&object->via.map.ptr[i].val))
				return true;
		return false;
	default:
		return false;
	}
}

static void compare_float(struct pack_reader *reader, double expected)
{
	double found = pack_read_kind(reader) == PACK_KIND_F32 ? (double)pack_read_f32(reader)
							       : pack_read_f64(reader);

	CHECK(found == expected || (found != found && expected != expected));
}

/* Reads by type what the oracle found, and expects the same. */
static void compare(struct pack_reader *reader, const msgpack_object *object)
{
	struct text_view text;
	struct bytes_view view;

	switch (object->type) {
	case MSGPACK_OBJECT_NIL:
		pack_read_nil(reader);
		break;
	case MSGPACK_OBJECT_BOOLEAN:
		CHECK(pack_read_bool(reader) == object->via.boolean);
		break;
	case MSGPACK_OBJECT_POSITIVE_INTEGER:
		if (pack_read_kind(reader) == PACK_KIND_UINT)
			CHECK(pack_read_u64(reader) == object->via.u64);
		else
			CHECK((uint64_t)pack_read_int(reader, 64) == object->via.u64);
		break;
	case MSGPACK_OBJECT_NEGATIVE_INTEGER:
		CHECK(pack_read_int(reader, 64) == object->via.i64);
		break;
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64:
		compare_float(reader, object->via.f64);
		break;
	case MSGPACK_OBJECT_STR:
		text = pack_read_str(reader);
		CHECK(text.length == object->via.str.size);
		CHECK(!text.length || !memcmp(text.text, object->via.str.ptr, text.length));
		CHECK(is_utf8((const uint8_t *)object->via.str.ptr, text.length));
		break;
	case MSGPACK_OBJECT_BIN:
		view = pack_read_bin(reader);
		CHECK(view.size == object->via.bin.size);
		CHECK(!view.size || !memcmp(view.bytes, object->via.bin.ptr, view.size));
		break;
	case MSGPACK_OBJECT_ARRAY:
		CHECK(pack_read_array(reader) == object->via.array.size);
		for (uint32_t i = 0; i < object->via.array.size; i++)
			compare(reader, &object->via.array.ptr[i]);
		break;
	case MSGPACK_OBJECT_MAP:
		CHECK(pack_read_map(reader) == object->via.map.size);
		for (uint32_t i = 0; i < object->via.map.size; i++) {
			compare(reader, &object->via.map.ptr[i].key);
			compare(reader, &object->via.map.ptr[i].val);
		}
		break;
	default:
		CHECK(object->type != MSGPACK_OBJECT_EXT);
	}
	CHECK(!reader->error);
}

static void check_against_oracle(const uint8_t *bytes, size_t size, const struct pack_reader *ours)
{
	msgpack_unpacked theirs;
	size_t offset = 0;
	msgpack_unpack_return result;

	msgpack_unpacked_init(&theirs);
	result = msgpack_unpack_next(&theirs, (const char *)bytes, size, &offset);
	if (!ours->error && result == MSGPACK_UNPACK_SUCCESS) {
		struct pack_reader again = pack_reader(bytes, size);

		CHECK(offset == (size_t)(ours->at - bytes));
		compare(&again, &theirs.data);
		CHECK(again.at == ours->at);
	} else if (result == MSGPACK_UNPACK_SUCCESS) {
		CHECK(ours->error == PACK_E_TYPE || ours->error == PACK_E_TEXT);
		CHECK(is_foreign(&theirs.data));
	} else if (!ours->error) {
		/* Only its own depth limit may have stopped it. */
		CHECK(result == MSGPACK_UNPACK_NOMEM_ERROR || result == MSGPACK_UNPACK_PARSE_ERROR);
		CHECK(size > ORACLE_DEPTH_MAX);
	}
	msgpack_unpacked_destroy(&theirs);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct pack_reader ours = pack_reader(bytes, size);

	if (!size)
		return 0;
	pack_read_skip(&ours);
	/*
	 * The oracle allocates whatever a 32-bit count promises: it is only asked
	 * when we found the counts to be covered, or there can be none.
	 */
	if (!ours.error || (!memchr(bytes, 0xdd, size) && !memchr(bytes, 0xdf, size)))
		check_against_oracle(bytes, size, &ours);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/pack.h"

#include "base/byteorder.h"
#include "base/check.h"

/* Markers (docs/format/msgpack.md). The fix families carry their value in the low bits. */
enum {
	FIXINT_LAST = 0x7f,
	FIXMAP = 0x80,
	FIXARRAY = 0x90,
	FIXSTR = 0xa0,
	NIL = 0xc0,
	UNUSED = 0xc1,
	FALSE_ = 0xc2,
	TRUE_ = 0xc3,
	BIN8 = 0xc4,
	BIN16 = 0xc5,
	BIN32 = 0xc6,
	EXT8 = 0xc7,
	EXT32 = 0xc9,
	F32 = 0xca,
	F64 = 0xcb,
	UINT8 = 0xcc,
	UINT64 = 0xcf,
	INT8 = 0xd0,
	INT64 = 0xd3,
	FIXEXT1 = 0xd4,
	FIXEXT16 = 0xd8,
	STR8 = 0xd9,
	STR32 = 0xdb,
	ARRAY16 = 0xdc,
	ARRAY32 = 0xdd,
	MAP16 = 0xde,
	MAP32 = 0xdf,
	FIXINT_NEGATIVE = 0xe0,
};

static NOINLINE void fail(struct pack_reader *reader, enum pack_error error)
{
	if (!reader->error)
		reader->error = error;
	reader->at = reader->end;
}

/* The next 'size' bytes, or NULL when there are fewer. */
static const uint8_t *take(struct pack_reader *reader, size_t size)
{
	const uint8_t *at = reader->at;

	if (unlikely(pack_reader_left(reader) < size)) {
		fail(reader, PACK_E_SHORT);
		return NULL;
	}
	reader->at += size;
	return at;
}

/* The next marker; UNUSED, which nobody accepts, when there is none. */
static uint8_t take_marker(struct pack_reader *reader)
{
	const uint8_t *at = take(reader, 1);

	return at ? *at : UNUSED;
}

/* A big-endian integer of 1 << 'shift' bytes. */
static uint64_t take_be(struct pack_reader *reader, unsigned shift)
{
	const uint8_t *at = take(reader, (size_t)1 << shift);

	if (!at)
		return 0;
	switch (shift) {
	case 0:
		return *at;
	case 1:
		return load_be16(at);
	case 2:
		return load_be32(at);
	default:
		return load_be64(at);
	}
}

enum pack_kind pack_read_kind(const struct pack_reader *reader)
{
	/* Counted from NIL. */
	static const uint8_t kinds[] = {
		[0] = PACK_KIND_NIL,
		[UNUSED - NIL] = PACK_KIND_FOREIGN,
		[FALSE_ - NIL] = PACK_KIND_BOOL,
		[TRUE_ - NIL] = PACK_KIND_BOOL,
		[BIN8 - NIL] = PACK_KIND_BIN,
		[BIN16 - NIL] = PACK_KIND_BIN,
		[BIN32 - NIL] = PACK_KIND_BIN,
		[EXT8 - NIL... EXT32 - NIL] = PACK_KIND_FOREIGN,
		[F32 - NIL] = PACK_KIND_F32,
		[F64 - NIL] = PACK_KIND_F64,
		[UINT8 - NIL... UINT64 - NIL] = PACK_KIND_UINT,
		[INT8 - NIL... INT64 - NIL] = PACK_KIND_INT,
		[FIXEXT1 - NIL... FIXEXT16 - NIL] = PACK_KIND_FOREIGN,
		[STR8 - NIL... STR32 - NIL] = PACK_KIND_STR,
		[ARRAY16 - NIL] = PACK_KIND_ARRAY,
		[ARRAY32 - NIL] = PACK_KIND_ARRAY,
		[MAP16 - NIL] = PACK_KIND_MAP,
		[MAP32 - NIL] = PACK_KIND_MAP,
	};
	uint8_t marker;

	if (reader->at == reader->end)
		return PACK_KIND_END;
	marker = *reader->at;
	if (marker <= FIXINT_LAST)
		return PACK_KIND_UINT;
	if (marker < FIXARRAY)
		return PACK_KIND_MAP;
	if (marker < FIXSTR)
		return PACK_KIND_ARRAY;
	if (marker < NIL)
		return PACK_KIND_STR;
	if (marker >= FIXINT_NEGATIVE)
		return PACK_KIND_INT;
	return kinds[marker - NIL];
}

/* A container's count; 'fix' is its short family, 'marker16' the first of its two long markers. */
static uint32_t read_count(struct pack_reader *reader, uint8_t fix, uint8_t marker16)
{
	uint8_t marker = take_marker(reader);

	if (marker >= fix && marker < fix + 16)
		return marker & 0x0f;
	if (marker == marker16 || marker == marker16 + 1)
		return (uint32_t)take_be(reader, marker == marker16 ? 1 : 2);
	fail(reader, PACK_E_TYPE);
	return 0;
}

uint32_t pack_read_array(struct pack_reader *reader)
{
	uint32_t count = read_count(reader, FIXARRAY, ARRAY16);

	if (likely(count <= pack_reader_left(reader)))
		return count;
	fail(reader, PACK_E_SHORT);
	return 0;
}

void pack_read_array_of(struct pack_reader *reader, uint32_t count)
{
	if (unlikely(pack_read_array(reader) != count))
		fail(reader, PACK_E_TYPE);
}

uint32_t pack_read_map(struct pack_reader *reader)
{
	uint32_t count = read_count(reader, FIXMAP, MAP16);

	if (likely(count <= pack_reader_left(reader) / 2))
		return count;
	fail(reader, PACK_E_SHORT);
	return 0;
}

/* Does a marker that carries 1 << 'shift' bytes fit into 'bits'? */
static bool width_fits(unsigned shift, unsigned bits)
{
	return (8u << shift) <= bits;
}

uint64_t pack_read_uint(struct pack_reader *reader, unsigned bits)
{
	uint8_t marker = take_marker(reader);

	if (likely(marker <= FIXINT_LAST))
		return marker;
	if (likely(marker >= UINT8 && marker <= UINT64 && width_fits(marker - UINT8, bits)))
		return take_be(reader, marker - UINT8);
	fail(reader, PACK_E_TYPE);
	return 0;
}

int64_t pack_read_int(struct pack_reader *reader, unsigned bits)
{
	uint8_t marker = take_marker(reader);

	if (marker <= FIXINT_LAST || marker >= FIXINT_NEGATIVE)
		return (int8_t)marker;
	if (marker < INT8 || marker > INT64 || !width_fits(marker - INT8, bits)) {
		fail(reader, PACK_E_TYPE);
		return 0;
	}
	switch (marker - INT8) {
	case 0:
		return (int8_t)take_be(reader, 0);
	case 1:
		return (int16_t)take_be(reader, 1);
	case 2:
		return (int32_t)take_be(reader, 2);
	default:
		return (int64_t)take_be(reader, 3);
	}
}

bool pack_read_bool(struct pack_reader *reader)
{
	uint8_t marker = take_marker(reader);

	if (unlikely(marker != FALSE_ && marker != TRUE_))
		fail(reader, PACK_E_TYPE);
	return marker == TRUE_;
}

float pack_read_f32(struct pack_reader *reader)
{
	const uint8_t *at = take(reader, 5);

	if (unlikely(!at || *at != F32)) {
		fail(reader, PACK_E_TYPE);
		return 0;
	}
	return load_bef32(at + 1);
}

double pack_read_f64(struct pack_reader *reader)
{
	const uint8_t *at = take(reader, 9);
	uint64_t bits;
	double value;

	if (unlikely(!at || *at != F64)) {
		fail(reader, PACK_E_TYPE);
		return 0;
	}
	bits = load_be64(at + 1);
	memcpy(&value, &bits, sizeof(value));
	return value;
}

struct text_view pack_read_str(struct pack_reader *reader)
{
	uint8_t marker = take_marker(reader);
	const uint8_t *text;
	uint32_t length;

	if (marker >= FIXSTR && marker < NIL) {
		length = marker & 0x1f;
	} else if (marker >= STR8 && marker <= STR32) {
		length = (uint32_t)take_be(reader, marker - STR8);
	} else {
		fail(reader, PACK_E_TYPE);
		return (struct text_view){0};
	}
	text = take(reader, length);
	if (text && !pack_is_utf8((const char *)text, length))
		fail(reader, PACK_E_TEXT);
	if (reader->error)
		return (struct text_view){0};
	return (struct text_view){.text = (const char *)text, .length = length};
}

struct bytes_view pack_read_bin(struct pack_reader *reader)
{
	uint8_t marker = take_marker(reader);
	const uint8_t *bytes;
	uint32_t size;

	if (marker < BIN8 || marker > BIN32) {
		fail(reader, PACK_E_TYPE);
		return (struct bytes_view){0};
	}
	size = (uint32_t)take_be(reader, marker - BIN8);
	bytes = take(reader, size);
	if (reader->error)
		return (struct bytes_view){0};
	return (struct bytes_view){.bytes = bytes, .size = size};
}

void pack_read_nil(struct pack_reader *reader)
{
	if (take_marker(reader) != NIL)
		fail(reader, PACK_E_TYPE);
}

bool pack_read_absent(struct pack_reader *reader)
{
	if (reader->at == reader->end || *reader->at != NIL)
		return false;
	reader->at++;
	return true;
}

/* Passes over a value that holds no others. */
static void skip_scalar(struct pack_reader *reader, enum pack_kind kind)
{
	switch (kind) {
	case PACK_KIND_NIL:
		pack_read_nil(reader);
		break;
	case PACK_KIND_BOOL:
		(void)pack_read_bool(reader);
		break;
	case PACK_KIND_UINT:
		(void)pack_read_uint(reader, 64);
		break;
	case PACK_KIND_INT:
		(void)pack_read_int(reader, 64);
		break;
	case PACK_KIND_F32:
		(void)pack_read_f32(reader);
		break;
	case PACK_KIND_F64:
		(void)pack_read_f64(reader);
		break;
	case PACK_KIND_STR:
		(void)pack_read_str(reader);
		break;
	case PACK_KIND_BIN:
		(void)pack_read_bin(reader);
		break;
	case PACK_KIND_END:
		fail(reader, PACK_E_SHORT);
		break;
	default:
		fail(reader, PACK_E_TYPE);
	}
}

/*
 * Without recursion: 'left' holds how many values are still to come on each
 * level, so hostile nesting costs 4 kB of stack and no more. Every turn takes a
 * byte or goes up a level, which bounds the loop by the input.
 */
void pack_read_skip(struct pack_reader *reader)
{
	uint64_t left[PACK_DEPTH_MAX + 1];
	unsigned depth = 0;

	left[0] = 1;
	while (!reader->error) {
		enum pack_kind kind;

		if (!left[depth]) {
			if (!depth)
				return;
			depth--;
			continue;
		}
		left[depth]--;
		kind = pack_read_kind(reader);
		if (kind != PACK_KIND_ARRAY && kind != PACK_KIND_MAP) {
			skip_scalar(reader, kind);
			continue;
		}
		if (depth == PACK_DEPTH_MAX) {
			fail(reader, PACK_E_DEPTH);
			return;
		}
		left[++depth] = kind == PACK_KIND_ARRAY ? pack_read_array(reader)
							: 2 * (uint64_t)pack_read_map(reader);
	}
}

/* The bytes of the UTF-8 sequence at 'at', or 0 when it is none (Unicode 15, table 3-7). */
static size_t utf8_sequence(const uint8_t *at, size_t left)
{
	uint8_t first = at[0], second_min = 0x80, second_max = 0xbf;
	size_t size = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

	if (first < 0xc2 || first > 0xf4 || left < size)
		return 0;
	if (first == 0xe0)
		second_min = 0xa0;
	else if (first == 0xed)
		second_max = 0x9f;
	else if (first == 0xf0)
		second_min = 0x90;
	else if (first == 0xf4)
		second_max = 0x8f;
	if (at[1] < second_min || at[1] > second_max)
		return 0;
	for (size_t i = 2; i < size; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	return size;
}

bool pack_is_utf8(const char *text, size_t size)
{
	const uint8_t *at = (const uint8_t *)text, *end = at + size;

	while (at < end) {
		size_t step;

		/* Nearly all text is ASCII: eight bytes at a time. */
		if (end - at >= 8 && !(load_le64(at) & UINT64_C(0x8080808080808080))) {
			at += 8;
			continue;
		}
		step = *at < 0x80 ? 1 : utf8_sequence(at, (size_t)(end - at));
		if (!step)
			return false;
		at += step;
	}
	return true;
}

static void write_byte(struct pack_writer *writer, uint8_t byte)
{
	uint8_t *at = pack_write_room(writer, 1);

	if (likely(at != NULL))
		*at = byte;
}

/* A marker and 1 << 'shift' bytes of 'value', big endian. */
static void write_be(struct pack_writer *writer, unsigned marker, unsigned shift, uint64_t value)
{
	uint8_t *at = pack_write_room(writer, 1 + ((size_t)1 << shift));

	if (unlikely(!at))
		return;
	*at++ = (uint8_t)marker;
	switch (shift) {
	case 0:
		*at = (uint8_t)value;
		break;
	case 1:
		store_be16(at, (uint16_t)value);
		break;
	case 2:
		store_be32(at, (uint32_t)value);
		break;
	default:
		store_be64(at, value);
	}
}

static void write_count(struct pack_writer *writer, uint8_t fix, uint8_t marker16, uint32_t count)
{
	if (count < 16)
		write_byte(writer, (uint8_t)(fix | count));
	else if (count <= UINT16_MAX)
		write_be(writer, marker16, 1, count);
	else
		write_be(writer, marker16 + 1u, 2, count);
}

void pack_write_array(struct pack_writer *writer, uint32_t count)
{
	write_count(writer, FIXARRAY, ARRAY16, count);
}

void pack_write_map(struct pack_writer *writer, uint32_t count)
{
	write_count(writer, FIXMAP, MAP16, count);
}

/* The smallest shift such that 'value' fits into 1 << shift bytes. */
static unsigned uint_shift(uint64_t value)
{
	if (value <= UINT8_MAX)
		return 0;
	if (value <= UINT16_MAX)
		return 1;
	return value <= UINT32_MAX ? 2 : 3;
}

void pack_write_uint(struct pack_writer *writer, uint64_t value)
{
	uint8_t *at = pack_write_room(writer, pack_uint_size(value));

	if (likely(at != NULL))
		(void)pack_store_uint(at, value);
}

void pack_write_int(struct pack_writer *writer, int64_t value)
{
	/* Without its sign a value needs one bit less than its width: 0 to 127 for 8 bits. */
	uint64_t magnitude = value < 0 ? ~(uint64_t)value : (uint64_t)value;
	unsigned shift = uint_shift(magnitude << 1);

	if (value >= -32 && value <= FIXINT_LAST)
		write_byte(writer, (uint8_t)value);
	else
		write_be(writer, INT8 + shift, shift, (uint64_t)value);
}

void pack_write_bool(struct pack_writer *writer, bool value)
{
	write_byte(writer, value ? TRUE_ : FALSE_);
}

void pack_write_nil(struct pack_writer *writer)
{
	write_byte(writer, NIL);
}

void pack_write_f32(struct pack_writer *writer, float value)
{
	uint8_t *at = pack_write_room(writer, 5);

	if (likely(at != NULL))
		(void)pack_store_f32(at, value);
}

void pack_write_f64(struct pack_writer *writer, double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	write_be(writer, F64, 3, bits);
}

static void write_raw(struct pack_writer *writer, const void *bytes, uint32_t size)
{
	uint8_t *at = pack_write_room(writer, size);

	if (likely(at && size))
		memcpy(at, bytes, size);
}

void pack_write_str(struct pack_writer *writer, const char *text, uint32_t length)
{
	unsigned shift = uint_shift(length);

	if (length < 32)
		write_byte(writer, (uint8_t)(FIXSTR | length));
	else
		write_be(writer, STR8 + shift, shift, length);
	write_raw(writer, text, length);
}

void pack_write_bin(struct pack_writer *writer, const uint8_t *bytes, uint32_t size)
{
	unsigned shift = uint_shift(size);

	write_be(writer, BIN8 + shift, shift, size);
	write_raw(writer, bytes, size);
}

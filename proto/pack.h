/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Pack - the vShard payloads' dialect of MessagePack
 *
 * Strict where common libraries are lenient (protocol section 5,
 * docs/format/msgpack.md): whoever reads says which type and width follows, an
 * unsigned integer never stands for a signed one, a float is exactly a float32
 * or float64. Writing is always minimal; a positive signed value of 128 or more
 * is written with a signed marker.
 *
 * A reader and a writer each keep the first failure and do nothing more after
 * it, so that a decoder reads a whole structure and asks once. After a failure
 * every read gives 0, false or nothing.
 *
 * Threads: any; a reader or writer belongs to one.
 */

#include "base/byteorder.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Containers inside each other that pack_read_skip() follows (protocol section 5.1). */
#define PACK_DEPTH_MAX 500

/* A string inside the decoded bytes; not zero-terminated. */
struct text_view {
	const char *text;
	uint32_t length;
};

/* A byte string inside the decoded bytes. */
struct bytes_view {
	const uint8_t *bytes;
	uint32_t size;
};

enum pack_error {
	PACK_OK = 0,
	PACK_E_SHORT, /* the bytes end inside a value, or a count promises more than there is */
	PACK_E_TYPE,  /* another type or width than asked for */
	PACK_E_TEXT,  /* a string is not UTF-8 */
	PACK_E_DEPTH, /* deeper than PACK_DEPTH_MAX */
};

/* What stands next. Fixints from 0 to 127 are UINT, though pack_read_int() takes them too. */
enum pack_kind {
	PACK_KIND_END, /* no byte left, or the reader has failed */
	PACK_KIND_NIL,
	PACK_KIND_BOOL,
	PACK_KIND_UINT,
	PACK_KIND_INT,
	PACK_KIND_F32,
	PACK_KIND_F64,
	PACK_KIND_STR,
	PACK_KIND_BIN,
	PACK_KIND_ARRAY,
	PACK_KIND_MAP,
	PACK_KIND_FOREIGN, /* extension types and 0xc1: never in a vShard payload */
};

struct pack_reader {
	const uint8_t *at; /* the next byte; borrows from the caller's buffer */
	const uint8_t *end;
	enum pack_error error; /* the first failure */
};

static inline struct pack_reader pack_reader(const uint8_t *bytes, size_t size)
{
	return (struct pack_reader){.at = bytes, .end = bytes + size};
}

static inline size_t pack_reader_left(const struct pack_reader *reader)
{
	return (size_t)(reader->end - reader->at);
}

enum pack_kind pack_read_kind(const struct pack_reader *reader);

/*
 * The count of an array's elements, which follow. Never more than there are
 * bytes left, so that a caller's loop is bounded by its input.
 */
uint32_t pack_read_array(struct pack_reader *reader);

/* An array that has to have exactly 'count' elements. */
void pack_read_array_of(struct pack_reader *reader, uint32_t count);

/* The count of a map's pairs; twice as many values follow. Bounded like an array's. */
uint32_t pack_read_map(struct pack_reader *reader);

/* Integers of at most 8, 16, 32 or 64 bits: a wider marker is PACK_E_TYPE, whatever its value. */
uint64_t pack_read_uint(struct pack_reader *reader, unsigned bits);
int64_t pack_read_int(struct pack_reader *reader, unsigned bits);

static inline uint32_t pack_read_u32(struct pack_reader *reader)
{
	return (uint32_t)pack_read_uint(reader, 32);
}

static inline uint64_t pack_read_u64(struct pack_reader *reader)
{
	return pack_read_uint(reader, 64);
}

bool pack_read_bool(struct pack_reader *reader);
float pack_read_f32(struct pack_reader *reader);
double pack_read_f64(struct pack_reader *reader);

/* Views borrow from the bytes read. A string has to be UTF-8. */
struct text_view pack_read_str(struct pack_reader *reader);
struct bytes_view pack_read_bin(struct pack_reader *reader);

void pack_read_nil(struct pack_reader *reader);

/* Passes over a nil and says so; anything else it leaves to be read. */
bool pack_read_absent(struct pack_reader *reader);

/* Passes over one whole value of any type, and checks it on the way. */
void pack_read_skip(struct pack_reader *reader);

/* Is it UTF-8: no surrogates, nothing overlong, nothing above U+10FFFF? */
bool pack_is_utf8(const char *text, size_t size);

/*
 * A writer counts on when its buffer is full, so that a NULL buffer of capacity
 * 0 measures.
 */
struct pack_writer {
	uint8_t *to;
	size_t capacity;
	size_t size; /* bytes that everything written needs */
};

static inline struct pack_writer pack_writer(uint8_t *to, size_t capacity)
{
	return (struct pack_writer){.to = to, .capacity = capacity};
}

/* The bytes written, or 0 when they did not fit. */
static inline size_t pack_writer_end(const struct pack_writer *writer)
{
	return writer->size <= writer->capacity ? writer->size : 0;
}

/* Room for 'size' raw bytes behind what is written, or NULL when they don't fit. */
static inline uint8_t *pack_write_room(struct pack_writer *writer, size_t size)
{
	size_t offset = writer->size;

	writer->size += size;
	return writer->size <= writer->capacity ? writer->to + offset : NULL;
}

/*
 * Room is asked for and checked with every value written. What writes many
 * small values of known types may ask once for all of them and store each:
 * a store returns the byte behind what it wrote, and checks nothing.
 */
static inline size_t pack_uint_size(uint64_t value)
{
	if (value <= 0x7f)
		return 1;
	if (value <= UINT8_MAX)
		return 2;
	if (value <= UINT16_MAX)
		return 3;
	return value <= UINT32_MAX ? 5 : 9;
}

/* The header of an array of at most 15 elements, one byte. */
static inline uint8_t *pack_store_array(uint8_t *to, unsigned count)
{
	to[0] = (uint8_t)(0x90 | count);
	return to + 1;
}

static inline uint8_t *pack_store_f32(uint8_t *to, float value)
{
	to[0] = 0xca;
	store_bef32(to + 1, value);
	return to + 5;
}

static inline uint8_t *pack_store_uint(uint8_t *to, uint64_t value)
{
	size_t size = pack_uint_size(value);

	if (size == 1) {
		to[0] = (uint8_t)value;
	} else if (size == 2) {
		to[0] = 0xcc;
		to[1] = (uint8_t)value;
	} else if (size == 3) {
		to[0] = 0xcd;
		store_be16(to + 1, (uint16_t)value);
	} else if (size == 5) {
		to[0] = 0xce;
		store_be32(to + 1, (uint32_t)value);
	} else {
		to[0] = 0xcf;
		store_be64(to + 1, value);
	}
	return to + size;
}

void pack_write_array(struct pack_writer *writer, uint32_t count);
void pack_write_map(struct pack_writer *writer, uint32_t count);
void pack_write_uint(struct pack_writer *writer, uint64_t value);
void pack_write_int(struct pack_writer *writer, int64_t value);
void pack_write_bool(struct pack_writer *writer, bool value);
void pack_write_nil(struct pack_writer *writer);
void pack_write_f32(struct pack_writer *writer, float value);
void pack_write_f64(struct pack_writer *writer, double value);
void pack_write_str(struct pack_writer *writer, const char *text, uint32_t length);
void pack_write_bin(struct pack_writer *writer, const uint8_t *bytes, uint32_t size);

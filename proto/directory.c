/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/directory.h"

#include "base/byteorder.h"
#include "base/check.h"
#include "base/crc.h"

#include <stdbool.h>
#include <string.h>

/* "TERNDIR\n", little endian. */
#define MAGIC   UINT64_C(0x0a5249444e524554)
#define VERSION 1

/* Of a segment's image (docs/format/segment.md). */
#define IMAGE_HEAD_SIZE 256
#define IMAGE_ALIGN     64

/* Offsets in the head; behind them zeros up to the checksum. */
enum {
	HEAD_MAGIC = 0,
	HEAD_VERSION = 8,
	HEAD_COUNT = 12,
	HEAD_GENERATION = 16,
	HEAD_SHARD = 24,
	HEAD_RESERVED = 28,
	HEAD_CRC = 60, /* of everything else: the head before it, then the entries */
};

/* Offsets in an entry. */
enum {
	ENTRY_ID = 0,
	ENTRY_GENERATION = 8,
	ENTRY_IMAGE_SIZE = 16,
	ENTRY_UPPER = 24,
	ENTRY_COUNT = 32,
	ENTRY_HEADER_CRC = 36,
	ENTRY_BODY_CRC = 40,
	ENTRY_EF = 44,
	ENTRY_RESERVED = 48,
};

static uint32_t checksum(const uint8_t *bytes, size_t size)
{
	uint32_t crc = crc32c(bytes, HEAD_CRC);

	return crc32c_extend(crc, bytes + DIRECTORY_HEAD_SIZE, size - DIRECTORY_HEAD_SIZE);
}

static bool segment_is_sound(const struct directory_segment *segment, uint64_t id_before)
{
	return segment->id > id_before && segment->image_size >= IMAGE_HEAD_SIZE &&
	       segment->upper_offset >= IMAGE_HEAD_SIZE &&
	       segment->upper_offset <= segment->image_size &&
	       segment->upper_offset % IMAGE_ALIGN == 0;
}

static void store_segment(uint8_t *to, const struct directory_segment *segment)
{
	store_le64(to + ENTRY_ID, segment->id);
	store_le64(to + ENTRY_GENERATION, segment->generation);
	store_le64(to + ENTRY_IMAGE_SIZE, segment->image_size);
	store_le64(to + ENTRY_UPPER, segment->upper_offset);
	store_le32(to + ENTRY_COUNT, segment->count);
	store_le32(to + ENTRY_HEADER_CRC, segment->header_crc);
	store_le32(to + ENTRY_BODY_CRC, segment->body_crc);
	store_le32(to + ENTRY_EF, segment->ef);
}

static struct directory_segment load_segment(const uint8_t *from)
{
	return (struct directory_segment){
		.id = load_le64(from + ENTRY_ID),
		.generation = load_le64(from + ENTRY_GENERATION),
		.image_size = load_le64(from + ENTRY_IMAGE_SIZE),
		.upper_offset = load_le64(from + ENTRY_UPPER),
		.count = load_le32(from + ENTRY_COUNT),
		.header_crc = load_le32(from + ENTRY_HEADER_CRC),
		.body_crc = load_le32(from + ENTRY_BODY_CRC),
		.ef = load_le32(from + ENTRY_EF),
	};
}

size_t directory_encode(const struct directory *directory, uint8_t *to, size_t capacity)
{
	size_t size = directory_size(directory->count);
	uint64_t id = 0;

	CHECK(directory->count <= DIRECTORY_SEGMENT_MAX);
	if (capacity < size)
		return 0;
	memset(to, 0, size);
	store_le64(to + HEAD_MAGIC, MAGIC);
	store_le32(to + HEAD_VERSION, VERSION);
	store_le32(to + HEAD_COUNT, directory->count);
	store_le64(to + HEAD_GENERATION, directory->generation);
	store_le32(to + HEAD_SHARD, directory->shard);
	for (uint32_t i = 0; i < directory->count; i++) {
		CHECK(segment_is_sound(&directory->segments[i], id));
		id = directory->segments[i].id;
		store_segment(to + directory_size(i), &directory->segments[i]);
	}
	store_le32(to + HEAD_CRC, checksum(to, size));
	return size;
}

uint32_t directory_crc(const uint8_t *bytes)
{
	return load_le32(bytes + HEAD_CRC);
}

static bool is_zero(const uint8_t *bytes, size_t from, size_t to)
{
	uint8_t all = 0;

	for (size_t i = from; i < to; i++)
		all |= bytes[i];
	return all == 0;
}

/* The size is checked against the count before the count is believed. */
static int check_head(const uint8_t *bytes, size_t size)
{
	uint32_t count;

	if (size < DIRECTORY_HEAD_SIZE || load_le64(bytes + HEAD_MAGIC) != MAGIC)
		return DIRECTORY_E_CORRUPT;
	if (load_le32(bytes + HEAD_VERSION) != VERSION)
		return DIRECTORY_E_VERSION;
	count = load_le32(bytes + HEAD_COUNT);
	if (count > DIRECTORY_SEGMENT_MAX || size != directory_size(count) ||
	    load_le32(bytes + HEAD_CRC) != checksum(bytes, size) ||
	    !is_zero(bytes, HEAD_RESERVED, HEAD_CRC))
		return DIRECTORY_E_CORRUPT;
	return 0;
}

int directory_decode(const uint8_t *bytes, size_t size, struct directory_segment *segments,
		     uint32_t segment_max, struct directory *ret_directory)
{
	int error = check_head(bytes, size);
	uint32_t count;
	uint64_t id = 0;

	if (error)
		return error;
	count = load_le32(bytes + HEAD_COUNT);
	if (count > segment_max)
		return DIRECTORY_E_FULL;
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *entry = bytes + directory_size(i);

		segments[i] = load_segment(entry);
		if (!segment_is_sound(&segments[i], id) ||
		    !is_zero(entry, ENTRY_RESERVED, DIRECTORY_ENTRY_SIZE))
			return DIRECTORY_E_CORRUPT;
		id = segments[i].id;
	}
	*ret_directory = (struct directory){
		.generation = load_le64(bytes + HEAD_GENERATION),
		.shard = load_le32(bytes + HEAD_SHARD),
		.count = count,
		.segments = segments,
	};
	return 0;
}

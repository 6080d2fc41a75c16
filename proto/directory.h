/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Directory - what segments a shard has, as bytes that peers read
 *
 * The content of the region "directory": who searches a shard's segments from
 * afar reads it first, and learns which regions to ask for and what must be in
 * them. Like a segment it never changes while a peer may read it; another list of
 * segments is another directory. docs/format/region.md has the bytes.
 *
 * Threads: any; nothing here has state or allocates.
 */

#include <stddef.h>
#include <stdint.h>

#define DIRECTORY_HEAD_SIZE  64
#define DIRECTORY_ENTRY_SIZE 64

/* Segments of one directory. */
#define DIRECTORY_SEGMENT_MAX 1024

enum {
	DIRECTORY_E_CORRUPT = 1, /* not a directory, or a damaged one */
	DIRECTORY_E_VERSION,     /* of a version that we don't read */
	DIRECTORY_E_FULL,        /* more segments than there is room for */
};

struct directory_segment {
	uint64_t id;         /* not 0; "segment/ID" */
	uint64_t generation; /* of the image's header */
	uint64_t image_size;
	uint64_t upper_offset; /* in the image: where "segment/ID/upper" begins */
	uint32_t count;        /* nodes */
	uint32_t header_crc;   /* the image's own: of its bytes 0 to 251 */
	uint32_t body_crc;     /* the image's own: of its bytes 256 to the end */
	uint32_t ef;           /* of the owner's searches that leave it open; 0: not told */
};

struct directory {
	uint64_t generation; /* greater in each later directory of the shard */
	uint32_t shard;
	uint32_t count;
	const struct directory_segment *segments; /* ascending by id */
};

static inline size_t directory_size(uint32_t count)
{
	return DIRECTORY_HEAD_SIZE + (size_t)count * DIRECTORY_ENTRY_SIZE;
}

/*
 * Writes directory_size() bytes. Of at most DIRECTORY_SEGMENT_MAX segments, which
 * directory_decode() would accept. Returns the bytes written, or 0 when they don't fit.
 */
size_t directory_encode(const struct directory *directory, uint8_t *to, size_t capacity);

/* The checksum in what directory_encode() wrote: a type 57 says it. */
uint32_t directory_crc(const uint8_t *bytes);

/*
 * Checks all of 'bytes', which come from a peer, and writes the segments to 'segments', which has
 * room for 'segment_max'. Returns 0 or DIRECTORY_E_*.
 */
int directory_decode(const uint8_t *bytes, size_t size, struct directory_segment *segments,
		     uint32_t segment_max, struct directory *ret_directory);

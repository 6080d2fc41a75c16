/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Piece - bytes of a file that know where they belong
 *
 * Tables and blob files consist of pieces: bytes, and behind them a CRC-32C of the file's
 * identity (store and number), the piece's offset and the bytes. So what is read is refused when
 * a bit of it changed, when it is of another file, and when it is of another place.
 *
 * A piece may be compressed by zstd; it is when its raw size isn't its size.
 *
 * Threads: any.
 */

#include "engine/io.h"

#include <stdint.h>

/* Bytes of the CRC behind a piece. */
#define PIECE_CRC_SIZE 4

/* Bytes of a piece, compressed or not. */
#define PIECE_SIZE_MAX (UINT32_C(1) << 30)

enum {
	PIECE_E_CORRUPT = 1,
};

/* Where a piece lies. */
struct piece_place {
	uint64_t offset;
	uint32_t size;     /* without its CRC */
	uint32_t raw_size; /* uncompressed */
};

/* With what every checksum of a file begins. */
uint32_t piece_seed(const uint8_t store[16], uint64_t number);

uint32_t piece_crc(uint32_t seed, uint64_t offset, const void *bytes, uint32_t size);

/* Whether the four bytes behind 'bytes' are the right ones. */
bool piece_is_good(uint32_t seed, struct piece_place place, const uint8_t *bytes);

static inline bool piece_is_compressed(struct piece_place place)
{
	return place.size != place.raw_size;
}

/* Bytes that piece_read() needs: the piece as it lies in the file, and, when it is compressed, the
 * raw one before it. */
static inline uint64_t piece_room(struct piece_place place)
{
	uint64_t stored = (uint64_t)place.size + PIECE_CRC_SIZE;

	return piece_is_compressed(place) ? place.raw_size + stored : stored;
}

/* Where in piece_room() bytes the file's are to be read to. */
static inline uint8_t *piece_target(struct piece_place place, uint8_t *room)
{
	return piece_is_compressed(place) ? room + place.raw_size : room;
}

/* Uncompresses raw_size bytes to 'to'. 'inflater' is a ZSTD_DCtx. Returns 0 or PIECE_E_CORRUPT. */
int piece_inflate(struct piece_place place, void *inflater, const uint8_t *bytes, uint8_t *to);

/* Checks what was read to piece_target() and uncompresses it to the start of 'room'. 'inflater' is
 * a ZSTD_DCtx. Returns 0 or PIECE_E_CORRUPT. */
int piece_open(uint32_t seed, struct piece_place place, void *inflater, uint8_t *room);

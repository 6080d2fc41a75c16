/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/piece.h"

#include "base/byteorder.h"
#include "base/crc.h"

#include <zstd.h>

uint32_t piece_seed(const uint8_t store[16], uint64_t number)
{
	uint8_t bytes[24];

	memcpy(bytes, store, 16);
	store_le64(bytes + 16, number);
	return crc32c(bytes, sizeof(bytes));
}

uint32_t piece_crc(uint32_t seed, uint64_t offset, const void *bytes, uint32_t size)
{
	uint8_t place[8];

	store_le64(place, offset);
	return crc32c_extend(crc32c_extend(seed, place, sizeof(place)), bytes, size);
}

bool piece_is_good(uint32_t seed, struct piece_place place, const uint8_t *bytes)
{
	return piece_crc(seed, place.offset, bytes, place.size) == load_le32(bytes + place.size);
}

int piece_inflate(struct piece_place place, void *inflater, const uint8_t *bytes, uint8_t *to)
{
	size_t size = ZSTD_decompressDCtx(inflater, to, place.raw_size, bytes, place.size);

	return size == place.raw_size ? 0 : PIECE_E_CORRUPT;
}

int piece_open(uint32_t seed, struct piece_place place, void *inflater, uint8_t *room)
{
	const uint8_t *stored = piece_target(place, room);

	if (!piece_is_good(seed, place, stored))
		return PIECE_E_CORRUPT;
	return piece_is_compressed(place) ? piece_inflate(place, inflater, stored, room) : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/piece.h"

#include "base/byteorder.h"
#include "base/crc.h"
#include "tests/lib/test.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define RAW 1000

static const uint8_t store[16] = "store of a piece";

/* A piece as it lies in a file, CRC behind it, at piece_target(). */
static uint8_t *make(uint32_t seed, bool compress, struct piece_place *ret_place)
{
	struct piece_place place = {.offset = 4096, .size = RAW, .raw_size = RAW};
	uint8_t raw[RAW], *room, *target;

	for (unsigned i = 0; i < RAW; i++)
		raw[i] = (uint8_t)(i / 50);
	room = calloc(1, 3 * RAW);
	assert_non_null(room);
	if (compress)
		place.size = (uint32_t)ZSTD_compress(room + RAW, RAW, raw, RAW, 1);
	else
		memcpy(room, raw, RAW);
	assert_int_equal(piece_is_compressed(place), compress);
	target = piece_target(place, room);
	store_le32(target + place.size, piece_crc(seed, place.offset, target, place.size));
	assert_true(piece_room(place) <= 3 * RAW);
	*ret_place = place;
	return room;
}

static void a_piece_opens_as_what_it_was(void **state)
{
	uint32_t seed = piece_seed(store, 7);
	ZSTD_DCtx *inflater = ZSTD_createDCtx();

	for (unsigned compress = 0; compress < 2; compress++) {
		struct piece_place place;
		uint8_t *room = make(seed, compress, &place);

		assert_int_equal(piece_open(seed, place, inflater, room), 0);
		for (unsigned i = 0; i < RAW; i++)
			assert_int_equal(room[i], i / 50);
		free(room);
	}
	ZSTD_freeDCtx(inflater);
}

/* Another file, another place, another size, other bytes. */
static void everything_about_it_is_in_its_checksum(void **state)
{
	static const uint8_t other_store[16] = "store of a piecE";
	uint32_t seed = piece_seed(store, 7);
	struct piece_place place;
	uint8_t *room = make(seed, false, &place);

	assert_true(piece_is_good(seed, place, room));
	assert_false(piece_is_good(piece_seed(other_store, 7), place, room));
	assert_false(piece_is_good(piece_seed(store, 8), place, room));
	place.offset++;
	assert_false(piece_is_good(seed, place, room));
	place.offset--;
	place.size--;
	assert_false(piece_is_good(seed, place, room));
	place.size++;
	for (unsigned bit = 0; bit < 8 * (RAW + PIECE_CRC_SIZE); bit++) {
		room[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(piece_is_good(seed, place, room));
		room[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	free(room);
}

static void a_frame_of_another_size_is_refused(void **state)
{
	ZSTD_DCtx *inflater = ZSTD_createDCtx();
	uint8_t raw[RAW] = {0}, frame[RAW], to[2 * RAW];
	struct piece_place place = {.raw_size = RAW - 1};

	place.size = (uint32_t)ZSTD_compress(frame, sizeof(frame), raw, RAW, 1);
	assert_int_equal(piece_inflate(place, inflater, frame, to), PIECE_E_CORRUPT);
	place.raw_size = RAW + 1;
	assert_int_equal(piece_inflate(place, inflater, frame, to), PIECE_E_CORRUPT);
	place.raw_size = RAW;
	assert_int_equal(piece_inflate(place, inflater, frame, to), 0);
	place.size--;
	assert_int_equal(piece_inflate(place, inflater, frame, to), PIECE_E_CORRUPT);
	ZSTD_freeDCtx(inflater);
}

/* The format: store, number, offset, bytes. */
static void the_checksum_is_the_formats(void **state)
{
	uint8_t bytes[16 + 8 + 8 + 3];

	memcpy(bytes, store, 16);
	store_le64(bytes + 16, 7);
	store_le64(bytes + 24, 99);
	memcpy(bytes + 32, "abc", 3);
	assert_int_equal(piece_crc(piece_seed(store, 7), 99, "abc", 3),
			 crc32c(bytes, sizeof(bytes)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_piece_opens_as_what_it_was),
		cmocka_unit_test(everything_about_it_is_in_its_checksum),
		cmocka_unit_test(a_frame_of_another_size_is_refused),
		cmocka_unit_test(the_checksum_is_the_formats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

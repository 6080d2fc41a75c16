/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/blob_format.h"

#include "base/byteorder.h"
#include "base/crc.h"

/* Offsets in the header. */
enum {
	AT_MAGIC = 0,
	AT_VERSION = 8,
	AT_HEADER_SIZE = 12,
	AT_STORE = 16,
	AT_NUMBER = 32,
	AT_ZERO = 40,
	AT_CRC = 60,
};

/* Offsets in the footer, which begins with a magic too. */
enum {
	AT_FILE_SIZE = 8,
	AT_FRAMES = 16,
	AT_FRAME_BYTES = 24,
	AT_VALUE_BYTES = 32,
	AT_FRAMES_CRC = 40,
	AT_FOOTER_CRC = 44,
};

/* Offsets in a frame. */
enum {
	AT_SEQNO = 0,
	AT_RAW_SIZE = 8,
	AT_SIZE = 12,
	AT_KEY_SIZE = 16,
	AT_FRAME_ZERO = 18,
};

/* Offsets in a place. */
enum {
	AT_PLACE_FILE = 0,
	AT_PLACE_OFFSET = 8,
	AT_PLACE_SIZE = 16,
	AT_PLACE_CRC = 20,
};

static const uint8_t header_magic[8] = {'T', 'E', 'R', 'N', 'B', 'L', 'B', '\n'};
static const uint8_t footer_magic[8] = {'T', 'E', 'R', 'N', 'B', 'L', 'E', '\n'};
static const uint8_t zeros[AT_CRC - AT_ZERO];

void blob_header_encode(const uint8_t store[16], uint64_t number, uint8_t bytes[BLOB_HEADER_SIZE])
{
	memset(bytes, 0, BLOB_HEADER_SIZE);
	memcpy(bytes + AT_MAGIC, header_magic, sizeof(header_magic));
	store_le32(bytes + AT_VERSION, BLOB_FORMAT_VERSION);
	store_le32(bytes + AT_HEADER_SIZE, BLOB_HEADER_SIZE);
	memcpy(bytes + AT_STORE, store, 16);
	store_le64(bytes + AT_NUMBER, number);
	store_le32(bytes + AT_CRC, crc32c(bytes, AT_CRC));
}

const char *blob_header_fault(const uint8_t bytes[BLOB_HEADER_SIZE], const uint8_t store[16],
			      uint64_t number)
{
	if (memcmp(bytes + AT_MAGIC, header_magic, sizeof(header_magic)) != 0)
		return "no blob file";
	if (load_le32(bytes + AT_CRC) != crc32c(bytes, AT_CRC))
		return "the header's checksum is wrong";
	if (load_le32(bytes + AT_VERSION) != BLOB_FORMAT_VERSION ||
	    load_le32(bytes + AT_HEADER_SIZE) != BLOB_HEADER_SIZE ||
	    memcmp(bytes + AT_ZERO, zeros, sizeof(zeros)) != 0)
		return "a version of blob files that this program doesn't know";
	if (memcmp(bytes + AT_STORE, store, 16) != 0)
		return "a blob file of another store";
	if (load_le64(bytes + AT_NUMBER) != number)
		return "a blob file of another number";
	return NULL;
}

bool blob_header_identify(const uint8_t bytes[BLOB_HEADER_SIZE], uint8_t ret_store[16],
			  uint64_t *ret_number)
{
	const uint8_t *store = bytes + AT_STORE;
	uint64_t number = load_le64(bytes + AT_NUMBER);

	if (blob_header_fault(bytes, store, number))
		return false;
	memcpy(ret_store, store, 16);
	*ret_number = number;
	return true;
}

void blob_footer_encode(const struct blob_footer *footer, uint32_t seed,
			uint8_t bytes[BLOB_FOOTER_SIZE])
{
	uint64_t offset = footer->summary.size - BLOB_FOOTER_SIZE;

	memcpy(bytes, footer_magic, sizeof(footer_magic));
	store_le64(bytes + AT_FILE_SIZE, footer->summary.size);
	store_le64(bytes + AT_FRAMES, footer->summary.frames);
	store_le64(bytes + AT_FRAME_BYTES, footer->summary.frame_bytes);
	store_le64(bytes + AT_VALUE_BYTES, footer->summary.value_bytes);
	store_le32(bytes + AT_FRAMES_CRC, footer->frames_crc);
	store_le32(bytes + AT_FOOTER_CRC, piece_crc(seed, offset, bytes, AT_FOOTER_CRC));
}

const char *blob_footer_decode(const uint8_t bytes[BLOB_FOOTER_SIZE], uint32_t seed,
			       uint64_t file_size, struct blob_footer *ret_footer)
{
	const struct piece_place place = {file_size - BLOB_FOOTER_SIZE, AT_FOOTER_CRC,
					  AT_FOOTER_CRC};
	uint64_t frame_bytes = load_le64(bytes + AT_FRAME_BYTES);

	if (memcmp(bytes, footer_magic, sizeof(footer_magic)) != 0)
		return "no blob file ends here";
	if (!piece_is_good(seed, place, bytes))
		return "the footer's checksum is wrong";
	if (load_le64(bytes + AT_FILE_SIZE) != file_size ||
	    frame_bytes != file_size - BLOB_FOOTER_SIZE - BLOB_HEADER_SIZE)
		return "the footer contradicts the file's size";
	*ret_footer = (struct blob_footer){
		.summary = {.size = file_size,
			    .frames = load_le64(bytes + AT_FRAMES),
			    .frame_bytes = frame_bytes,
			    .value_bytes = load_le64(bytes + AT_VALUE_BYTES)},
		.frames_crc = load_le32(bytes + AT_FRAMES_CRC),
	};
	return NULL;
}

void blob_head_encode(const struct blob_head *head, uint8_t bytes[BLOB_FRAME_HEAD_SIZE])
{
	store_le64(bytes + AT_SEQNO, head->seqno);
	store_le32(bytes + AT_RAW_SIZE, head->raw_size);
	store_le32(bytes + AT_SIZE, head->size);
	store_le16(bytes + AT_KEY_SIZE, (uint16_t)head->key_size);
	store_le16(bytes + AT_FRAME_ZERO, 0);
}

bool blob_head_decode(const uint8_t bytes[BLOB_FRAME_HEAD_SIZE], struct blob_head *ret_head)
{
	const struct blob_head head = {
		.seqno = load_le64(bytes + AT_SEQNO),
		.raw_size = load_le32(bytes + AT_RAW_SIZE),
		.size = load_le32(bytes + AT_SIZE),
		.key_size = load_le16(bytes + AT_KEY_SIZE),
	};

	if (load_le16(bytes + AT_FRAME_ZERO) != 0 || head.key_size == 0 ||
	    head.key_size > ENTRY_KEY_MAX || head.raw_size > BLOB_VALUE_MAX ||
	    head.size > head.raw_size)
		return false;
	*ret_head = head;
	return true;
}

void blob_place_encode(const struct blob_place *place, uint8_t bytes[BLOB_PLACE_SIZE])
{
	store_le64(bytes + AT_PLACE_FILE, place->file);
	store_le64(bytes + AT_PLACE_OFFSET, place->offset);
	store_le32(bytes + AT_PLACE_SIZE, place->size);
	store_le32(bytes + AT_PLACE_CRC, place->crc);
}

int blob_place_decode(struct entry_bytes bytes, struct blob_place *ret_place)
{
	struct blob_place place;

	if (bytes.size != BLOB_PLACE_SIZE)
		return BLOB_E_CORRUPT;
	place = (struct blob_place){
		.file = load_le64(bytes.bytes + AT_PLACE_FILE),
		.offset = load_le64(bytes.bytes + AT_PLACE_OFFSET),
		.size = load_le32(bytes.bytes + AT_PLACE_SIZE),
		.crc = load_le32(bytes.bytes + AT_PLACE_CRC),
	};
	if (place.offset < BLOB_HEADER_SIZE || place.offset > INT64_MAX ||
	    place.size <= BLOB_FRAME_HEAD_SIZE + PIECE_CRC_SIZE || place.size > BLOB_FRAME_LIMIT)
		return BLOB_E_CORRUPT;
	*ret_place = place;
	return 0;
}

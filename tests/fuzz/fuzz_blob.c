/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A blob file from hostile bytes: refused with a line that says why, or walked to an end, and each
 * frame that was seen can be had by its place. Checksums are put right on a second try.
 */

#include "base/byteorder.h"
#include "base/crc.h"
#include "engine/blob_format.h"
#include "tests/lib/faulty.h"

#include <stdlib.h>
#include <string.h>

#define NAME           "a.blob"
#define SIZE_MAX_TRIED (1U << 20)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(int condition)
{
	if (!condition)
		abort();
}

static void check_frame(struct blob *blob, const struct blob_frame *frame)
{
	struct table_pin pin = {0};
	struct entry_bytes value;

	check(frame->key.size > 0 && frame->key.size <= ENTRY_KEY_MAX);
	check(blob_get(blob, &frame->place, frame->key, 0, &pin, &value) == 0);
	check(value.size == frame->value.size);
	check(memcmp(value.bytes, frame->value.bytes, value.size) == 0);
	table_pin_release(&pin);
}

static void try_file(struct faulty *disk, const uint8_t *bytes, size_t size)
{
	struct blob_options options = {.number = load_le64(bytes + 32)};
	struct blob_frame frame;
	char error[240] = "";
	struct blob *blob;
	int result;

	memcpy(options.store, bytes + 16, sizeof(options.store));
	faulty_file_set(disk, NAME, bytes, size);
	result = blob_open(faulty_io(disk), NAME, &options, &blob, error, sizeof(error));
	if (result) {
		check(result == BLOB_E_CORRUPT && *error && !strchr(error, '\n'));
		return;
	}
	blob_walk_begin(blob);
	while ((result = blob_walk_next(blob, &frame)) == 0)
		check_frame(blob, &frame);
	check(result == BLOB_E_END || result == BLOB_E_CORRUPT);
	blob_close(blob);
}

/* Makes every checksum right, as far as the sizes make sense. */
static void seal(uint8_t *bytes, size_t size)
{
	uint64_t end = size - BLOB_FOOTER_SIZE, offset = BLOB_HEADER_SIZE, frames = 0;
	uint8_t *footer = bytes + end;
	uint32_t seed, crcs = CRC32C_EMPTY;

	memcpy(bytes, "TERNBLB\n\1\0\0\0\x40\0\0\0", 16);
	memset(bytes + 40, 0, 20);
	store_le32(bytes + 60, crc32c(bytes, 60));
	seed = piece_seed(bytes + 16, load_le64(bytes + 32));
	while (end - offset >= BLOB_FRAME_HEAD_SIZE) {
		struct blob_head head;
		uint32_t frame_size;

		if (!blob_head_decode(bytes + offset, &head) ||
		    blob_frame_size(&head) > end - offset)
			break;
		frame_size = blob_frame_size(&head) - PIECE_CRC_SIZE;
		store_le32(bytes + offset + frame_size,
			   piece_crc(seed, offset, bytes + offset, frame_size));
		crcs = crc32c_extend(crcs, bytes + offset + frame_size, PIECE_CRC_SIZE);
		offset += blob_frame_size(&head);
		frames++;
	}
	memcpy(footer, "TERNBLE\n", 8);
	store_le64(footer + 8, size);
	store_le64(footer + 16, frames);
	store_le64(footer + 24, end - BLOB_HEADER_SIZE);
	store_le32(footer + 40, crcs);
	store_le32(footer + 44, piece_crc(seed, end, footer, 44));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct faulty *disk;
	uint8_t *copy;

	if (size < BLOB_HEADER_SIZE + BLOB_FOOTER_SIZE || size > SIZE_MAX_TRIED)
		return 0;
	disk = faulty_new(1);
	try_file(disk, bytes, size);
	copy = malloc(size);
	check(copy != NULL);
	memcpy(copy, bytes, size);
	seal(copy, size);
	try_file(disk, copy, size);
	free(copy);
	faulty_free(disk);
	return 0;
}

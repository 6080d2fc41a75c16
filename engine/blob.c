/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/blob_format.h"
#include "engine/table_pin.h"

#include "base/byteorder.h"
#include "base/check.h"
#include "base/crc.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

struct blob {
	struct blob_options options;
	struct block_cache_file file;
	struct blob_footer footer;
	ZSTD_DCtx *inflater; /* owned, made at the first need where there is no cache */

	/* The walk: what was seen so far, and the frame it stands at. */
	struct blob_footer walked;
	struct table_pin walk;

	char name[IO_NAME_MAX + 1];
	char error[240];
};

static int corrupt(struct blob *blob, uint64_t offset, const char *what)
{
	snprintf(blob->error, sizeof(blob->error), "%s: offset %" PRIu64 ": %s", blob->name, offset,
		 what);
	return BLOB_E_CORRUPT;
}

/* Returns 0, BLOB_E_CORRUPT or a negative errno. */
static int read_at(struct blob *blob, uint64_t offset, void *bytes, size_t size)
{
	int result = io_read(blob->file.file, offset, bytes, size);

	return result == IO_E_END ? corrupt(blob, offset, "the file ends too early") : result;
}

static int check_ends(struct blob *blob, uint64_t size)
{
	uint8_t header[BLOB_HEADER_SIZE], footer[BLOB_FOOTER_SIZE];
	const char *fault;
	int result;

	if (size < sizeof(header) + sizeof(footer))
		return corrupt(blob, 0, "too short for a blob file");
	result = read_at(blob, 0, header, sizeof(header));
	if (!result)
		result = read_at(blob, size - sizeof(footer), footer, sizeof(footer));
	if (result)
		return result;
	fault = blob_header_fault(header, blob->options.store, blob->options.number);
	if (fault)
		return corrupt(blob, 0, fault);
	fault = blob_footer_decode(footer, blob->file.seed, size, &blob->footer);
	return fault ? corrupt(blob, size - sizeof(footer), fault) : 0;
}

static int open_file(struct io *io, struct blob *blob)
{
	uint64_t size;
	int result = io_open(io, blob->name, IO_READ_ONLY, &blob->file.file);

	if (result)
		return result == IO_E_ABSENT ? -ENOENT : result;
	blob->file.seed = piece_seed(blob->options.store, blob->options.number);
	if (blob->options.cache)
		blob->file.id = block_cache_id(blob->options.cache);
	result = io_size(blob->file.file, &size);
	return result ? result : check_ends(blob, size);
}

int blob_open(struct io *io, const char *name, const struct blob_options *options,
	      struct blob **ret_blob, char *error, size_t error_size)
{
	struct blob *blob = calloc(1, sizeof(*blob));
	int result;

	if (!blob)
		return -ENOMEM;
	blob->options = *options;
	snprintf(blob->name, sizeof(blob->name), "%s", name);
	result = open_file(io, blob);
	if (result) {
		if (result == BLOB_E_CORRUPT && error_size > 0)
			snprintf(error, error_size, "%s", blob->error);
		blob_close(blob);
		return result;
	}
	*ret_blob = blob;
	return 0;
}

int blob_identify(struct io *io, const char *name, struct blob_options *options)
{
	uint8_t header[BLOB_HEADER_SIZE];
	struct io_file *file;
	int result = io_open(io, name, IO_READ_ONLY, &file);

	if (result)
		return result == IO_E_ABSENT ? -ENOENT : result;
	result = io_read(file, 0, header, sizeof(header));
	io_close(file);
	if (result)
		return result > 0 ? BLOB_E_CORRUPT : result;
	return blob_header_identify(header, options->store, &options->number) ? 0 : BLOB_E_CORRUPT;
}

void blob_set_cache(struct blob *blob, struct block_cache *cache)
{
	CHECK(!blob->options.cache || blob->options.cache == cache);
	if (blob->options.cache)
		return;
	blob->options.cache = cache;
	blob->file.id = block_cache_id(cache);
}

bool blob_is_read(const struct blob *blob)
{
	return blob->options.cache && block_cache_is_read(blob->options.cache, blob->file.id);
}

void blob_close(struct blob *blob)
{
	if (!blob)
		return;
	if (blob->options.cache)
		block_cache_leave(blob->options.cache, blob->file.id);
	io_close(blob->file.file);
	table_pin_release(&blob->walk);
	ZSTD_freeDCtx(blob->inflater);
	free(blob);
}

const struct blob_summary *blob_summary(const struct blob *blob)
{
	return &blob->footer.summary;
}

const char *blob_error(const struct blob *blob)
{
	return blob->error;
}

/* A frame is a piece that is not compressed, whatever its value is. */
static struct piece_place piece_of(const struct blob_place *place)
{
	uint32_t size = place->size - PIECE_CRC_SIZE;

	return (struct piece_place){place->offset, size, size};
}

/* The whole frame into the pin's own memory. */
static int load_past_cache(struct blob *blob, const struct blob_place *place, struct table_pin *pin)
{
	int result;

	table_pin_show(pin, NULL, 0);
	result = table_pin_own(pin, place->size);
	if (!result)
		result = read_at(blob, place->offset, pin->own, place->size);
	if (result)
		return result;
	if (!piece_is_good(blob->file.seed, piece_of(place), pin->own))
		return corrupt(blob, place->offset, "a frame's checksum is wrong");
	table_pin_show(pin, pin->own, place->size - PIECE_CRC_SIZE);
	return 0;
}

static int load(struct blob *blob, const struct blob_place *place, bool wait_never,
		struct table_pin *pin)
{
	struct block_cached *cached;
	bool missed;
	int result = BLOCK_CACHE_E_FULL;

	if (blob->options.cache)
		result = block_cache_get(blob->options.cache, &blob->file, piece_of(place),
					 wait_never, &missed, &cached);
	switch (result) {
	case 0:
		table_pin_hold(pin, blob->options.cache, cached);
		return 0;
	case BLOCK_CACHE_E_WAIT:
		return BLOB_E_WAIT;
	case BLOCK_CACHE_E_FULL:
		return load_past_cache(blob, place, pin);
	case BLOCK_CACHE_E_CORRUPT:
		return corrupt(blob, place->offset, "a frame's checksum is wrong");
	case BLOCK_CACHE_E_END:
		return corrupt(blob, place->offset, "the file ends in a frame");
	default:
		return result;
	}
}

/* NULL: no memory. */
static void *inflater_of(struct blob *blob)
{
	if (blob->options.cache)
		return block_cache_inflater(blob->options.cache);
	if (!blob->inflater)
		blob->inflater = ZSTD_createDCtx();
	return blob->inflater;
}

/* Uncompresses a value behind what the pin's own memory has to keep. */
static int inflate(struct blob *blob, const struct blob_head *head, struct table_pin *pin,
		   struct entry_bytes *ret_value)
{
	bool owns_frame = pin->cached == NULL;
	uint32_t frame_size = pin->size, kept = owns_frame ? frame_size : 0;
	uint32_t value_at = BLOB_FRAME_HEAD_SIZE + head->key_size;
	const struct piece_place place = {0, head->size, head->raw_size};
	void *inflater = inflater_of(blob);

	if (!inflater || table_pin_own(pin, (uint64_t)kept + head->raw_size))
		return -ENOMEM;
	if (owns_frame)
		table_pin_show(pin, pin->own, frame_size);
	if (piece_inflate(place, inflater, pin->bytes + value_at, pin->own + kept))
		return BLOB_E_CORRUPT;
	*ret_value = (struct entry_bytes){pin->own + kept, head->raw_size};
	return 0;
}

/* Key and value of the frame in the pin, whose checksum is right. */
static int read_frame(struct blob *blob, uint64_t offset, struct table_pin *pin,
		      struct blob_frame *ret_frame)
{
	struct entry_bytes value;
	struct blob_head head;
	int result;

	if (!blob_head_decode(pin->bytes, &head) ||
	    blob_frame_size(&head) != pin->size + PIECE_CRC_SIZE)
		return corrupt(blob, offset, "no frame");
	value = (struct entry_bytes){pin->bytes + BLOB_FRAME_HEAD_SIZE + head.key_size, head.size};
	if (head.size != head.raw_size) {
		result = inflate(blob, &head, pin, &value);
		if (result == BLOB_E_CORRUPT)
			return corrupt(blob, offset, "a value can't be uncompressed");
		if (result)
			return result;
	}
	ret_frame->key = (struct entry_bytes){pin->bytes + BLOB_FRAME_HEAD_SIZE, head.key_size};
	ret_frame->value = value;
	ret_frame->seqno = head.seqno;
	ret_frame->compressed = head.size != head.raw_size;
	return 0;
}

static bool is_inside(const struct blob *blob, const struct blob_place *place)
{
	uint64_t end = BLOB_HEADER_SIZE + blob->footer.summary.frame_bytes;

	return place->file == blob->options.number && place->offset >= BLOB_HEADER_SIZE &&
	       place->size > BLOB_FRAME_HEAD_SIZE + PIECE_CRC_SIZE && place->offset <= end &&
	       place->size <= end - place->offset;
}

int blob_get(struct blob *blob, const struct blob_place *place, struct entry_bytes key,
	     unsigned flags, struct table_pin *pin, struct entry_bytes *ret_value)
{
	struct blob_frame frame;
	int result;

	if (!is_inside(blob, place))
		return corrupt(blob, place->offset, "a pointer to no frame of this file");
	result = load(blob, place, flags & TABLE_WAIT_NEVER, pin);
	if (result)
		return result;
	if (load_le32(pin->bytes + pin->size) != place->crc)
		return corrupt(blob, place->offset, "another frame than the pointer's");
	result = read_frame(blob, place->offset, pin, &frame);
	if (result)
		return result;
	if (!key_equal(frame.key, key))
		return corrupt(blob, place->offset, "a frame of another key");
	*ret_value = frame.value;
	return 0;
}

void blob_walk_begin(struct blob *blob)
{
	blob->walked = (struct blob_footer){0};
}

/* At the end the footer has to say what was seen. */
static int end_walk(struct blob *blob)
{
	const struct blob_summary *seen = &blob->walked.summary, *said = &blob->footer.summary;

	if (seen->frames != said->frames || seen->value_bytes != said->value_bytes ||
	    blob->walked.frames_crc != blob->footer.frames_crc)
		return corrupt(blob, said->size - BLOB_FOOTER_SIZE, "the footer isn't the frames'");
	return BLOB_E_END;
}

static void count_frame(struct blob *blob, const struct blob_frame *frame)
{
	struct blob_footer *walked = &blob->walked;
	uint8_t crc[PIECE_CRC_SIZE];

	store_le32(crc, frame->place.crc);
	walked->frames_crc = crc32c_extend(walked->frames_crc, crc, sizeof(crc));
	walked->summary.frames++;
	walked->summary.frame_bytes += frame->place.size;
	walked->summary.value_bytes += frame->value.size;
}

int blob_walk_next(struct blob *blob, struct blob_frame *ret_frame)
{
	uint64_t done = blob->walked.summary.frame_bytes;
	uint64_t left = blob->footer.summary.frame_bytes - done;
	struct blob_frame frame = {.place = {.file = blob->options.number}};
	uint8_t bytes[BLOB_FRAME_HEAD_SIZE];
	struct blob_head head;
	int result;

	if (left == 0)
		return end_walk(blob);
	frame.place.offset = BLOB_HEADER_SIZE + done;
	result = read_at(blob, frame.place.offset, bytes, sizeof(bytes));
	if (result)
		return result;
	if (!blob_head_decode(bytes, &head) || blob_frame_size(&head) > left)
		return corrupt(blob, frame.place.offset, "no frame");
	frame.place.size = blob_frame_size(&head);
	result = load_past_cache(blob, &frame.place, &blob->walk);
	if (result)
		return result;
	frame.place.crc = load_le32(blob->walk.bytes + blob->walk.size);
	result = read_frame(blob, frame.place.offset, &blob->walk, &frame);
	if (result)
		return result;
	count_frame(blob, &frame);
	*ret_frame = frame;
	return 0;
}

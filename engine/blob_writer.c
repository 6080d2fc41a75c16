/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/blob_format.h"
#include "engine/file_writer.h"

#include "base/byteorder.h"
#include "base/crc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

/* Values are longer than blocks, and written once. */
#define ZSTD_LEVEL 3

struct blob_writer {
	struct blob_options options;
	struct file_writer file;
	uint32_t seed;
	struct blob_footer footer;
	ZSTD_CCtx *deflater; /* owned; NULL: values stay as they are */
	uint8_t *deflated;   /* owned */
	size_t deflated_capacity;
	int failed; /* 0, or what every further call returns */
};

static void free_writer(struct blob_writer *writer)
{
	ZSTD_freeCCtx(writer->deflater);
	free(writer->deflated);
	free(writer);
}

void blob_writer_abort(struct blob_writer *writer)
{
	if (!writer)
		return;
	file_writer_abort(&writer->file);
	free_writer(writer);
}

static int begin_file(struct blob_writer *writer, struct io *io, const char *name)
{
	uint8_t header[BLOB_HEADER_SIZE];
	int result = file_writer_init(&writer->file, io, name);

	if (result)
		return result;
	blob_header_encode(writer->options.store, writer->options.number, header);
	return file_writer_put(&writer->file, header, sizeof(header));
}

int blob_writer_new(struct io *io, const char *name, const struct blob_options *options,
		    struct blob_writer **ret_writer)
{
	struct blob_writer *writer = calloc(1, sizeof(*writer));
	int result;

	if (!writer)
		return -ENOMEM;
	writer->options = *options;
	writer->seed = piece_seed(options->store, options->number);
	if (options->compress)
		writer->deflater = ZSTD_createCCtx();
	result = options->compress && !writer->deflater ? -ENOMEM : begin_file(writer, io, name);
	if (result) {
		blob_writer_abort(writer);
		return result;
	}
	*ret_writer = writer;
	return 0;
}

uint64_t blob_writer_size(const struct blob_writer *writer)
{
	return file_writer_size(&writer->file);
}

/* Has 'value' be the compressed one if that makes it an eighth smaller. Returns 0 or -ENOMEM. */
static int deflate_value(struct blob_writer *writer, struct entry_bytes *value)
{
	size_t bound = ZSTD_compressBound(value->size), deflated;

	if (!writer->deflater)
		return 0;
	if (bound > writer->deflated_capacity) {
		uint8_t *bytes = realloc(writer->deflated, bound);

		if (!bytes)
			return -ENOMEM;
		writer->deflated = bytes;
		writer->deflated_capacity = bound;
	}
	deflated = ZSTD_compressCCtx(writer->deflater, writer->deflated, bound, value->bytes,
				     value->size, ZSTD_LEVEL);
	if (!ZSTD_isError(deflated) && deflated <= value->size - value->size / 8 &&
	    deflated < value->size)
		*value = (struct entry_bytes){writer->deflated, (uint32_t)deflated};
	return 0;
}

/* The CRC of the three parts of a frame that lies at 'offset'. */
static uint32_t frame_crc(uint32_t seed, uint64_t offset, const uint8_t *head,
			  struct entry_bytes key, struct entry_bytes value)
{
	uint32_t crc = piece_crc(seed, offset, head, BLOB_FRAME_HEAD_SIZE);

	return crc32c_extend(crc32c_extend(crc, key.bytes, key.size), value.bytes, value.size);
}

static int put_frame(struct blob_writer *writer, const struct blob_head *head,
		     struct entry_bytes key, struct entry_bytes value, uint32_t *ret_crc)
{
	uint64_t offset = file_writer_size(&writer->file);
	uint8_t bytes[BLOB_FRAME_HEAD_SIZE], crc[PIECE_CRC_SIZE];
	int result;

	blob_head_encode(head, bytes);
	*ret_crc = frame_crc(writer->seed, offset, bytes, key, value);
	store_le32(crc, *ret_crc);
	result = file_writer_put(&writer->file, bytes, sizeof(bytes));
	if (!result)
		result = file_writer_put(&writer->file, key.bytes, key.size);
	if (!result)
		result = file_writer_put(&writer->file, value.bytes, value.size);
	if (!result)
		result = file_writer_put(&writer->file, crc, sizeof(crc));
	if (!result)
		writer->footer.frames_crc =
			crc32c_extend(writer->footer.frames_crc, crc, sizeof(crc));
	return result;
}

static int add(struct blob_writer *writer, struct entry_bytes key, uint64_t seqno,
	       struct entry_bytes value, struct blob_place *ret_place)
{
	struct blob_head head = {.seqno = seqno, .raw_size = value.size, .key_size = key.size};
	struct blob_summary *summary = &writer->footer.summary;
	struct blob_place place = {.file = writer->options.number,
				   .offset = file_writer_size(&writer->file)};
	int result = deflate_value(writer, &value);

	head.size = value.size;
	if (!result)
		result = put_frame(writer, &head, key, value, &place.crc);
	if (result)
		return result;
	place.size = blob_frame_size(&head);
	summary->frames++;
	summary->frame_bytes += place.size;
	summary->value_bytes += head.raw_size;
	*ret_place = place;
	return 0;
}

int blob_writer_add(struct blob_writer *writer, struct entry_bytes key, uint64_t seqno,
		    struct entry_bytes value, struct blob_place *ret_place)
{
	if (writer->failed)
		return writer->failed;
	if (key.size == 0 || key.size > ENTRY_KEY_MAX || value.size > BLOB_VALUE_MAX)
		writer->failed = -EINVAL;
	else
		writer->failed = add(writer, key, seqno, value, ret_place);
	return writer->failed;
}

int blob_writer_finish(struct blob_writer *writer, struct blob_summary *ret_summary)
{
	struct blob_summary *summary = &writer->footer.summary;
	uint8_t footer[BLOB_FOOTER_SIZE];
	int result = writer->failed;

	summary->size = file_writer_size(&writer->file) + sizeof(footer);
	blob_footer_encode(&writer->footer, writer->seed, footer);
	if (!result)
		result = file_writer_put(&writer->file, footer, sizeof(footer));
	if (!result)
		result = file_writer_finish(&writer->file);
	if (!result)
		*ret_summary = *summary;
	blob_writer_abort(writer);
	return result;
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Table writer - a table's file, from front to back
 *
 * A block is finished when the next entry would make it longer than asked for, and only then: the
 * separator between two blocks depends on both. Index, bounds, range tombstones and the hashes of
 * all keys wait in memory for the end.
 */

#include "engine/block.h"
#include "engine/file_writer.h"
#include "engine/piece.h"
#include "engine/table_format.h"
#include "engine/table_index.h"

#include "base/byteorder.h"
#include "base/crc.h"
#include "base/defs.h"
#include "engine/blob.h"
#include "engine/bloom.h"
#include "engine/varint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

/* Bits of the filter a key: of absent keys about one in a hundred passes. */
#define FILTER_BITS 10

/* Higher levels gain little on a few KiB, and cost. */
#define ZSTD_LEVEL 1

/* Elements or bytes that grow. */
struct grown {
	void *bytes; /* owned */
	uint64_t size, capacity;
};

struct table_writer {
	struct table_writer_options options;
	struct file_writer file;
	uint32_t seed;
	struct table_footer footer;
	struct table_summary summary;
	uint64_t raw_size;

	struct block_writer block; /* its last key is the last entry's, of the block before too */
	uint64_t last_seqno;
	uint64_t block_min, block_max; /* numbers in the block */
	struct table_index_writer index;
	struct grown bounds; /* of the section */
	struct grown hashes; /* uint64_t, one a key */
	struct grown ranges; /* struct entry, each with bytes of its own behind key.bytes */

	ZSTD_CCtx *deflater; /* NULL: blocks stay as they are */
	uint8_t *deflated;   /* owned */
	size_t deflated_capacity;
	int failed; /* 0, or what every further call returns */
};

static void *grow(struct grown *grown, uint64_t more)
{
	uint64_t capacity = MAX(grown->capacity, UINT64_C(1024));
	void *bytes;

	while (capacity < grown->size + more)
		capacity *= 2;
	if (capacity > grown->capacity) {
		bytes = realloc(grown->bytes, capacity);
		if (!bytes)
			return NULL;
		grown->bytes = bytes;
		grown->capacity = capacity;
	}
	bytes = (uint8_t *)grown->bytes + grown->size;
	grown->size += more;
	return bytes;
}

static void free_ranges(struct table_writer *writer)
{
	struct entry *ranges = writer->ranges.bytes;
	uint64_t count = writer->ranges.size / sizeof(*ranges);

	for (uint64_t i = 0; i < count; i++)
		free((void *)(uintptr_t)ranges[i].key.bytes);
	free(ranges);
}

static void free_writer(struct table_writer *writer)
{
	block_writer_deinit(&writer->block);
	block_writer_deinit(&writer->index.block);
	free_ranges(writer);
	free(writer->bounds.bytes);
	free(writer->hashes.bytes);
	ZSTD_freeCCtx(writer->deflater);
	free(writer->deflated);
	free(writer);
}

void table_writer_abort(struct table_writer *writer)
{
	if (!writer)
		return;
	file_writer_abort(&writer->file);
	free_writer(writer);
}

static int make_deflater(struct table_writer *writer)
{
	writer->deflated_capacity = ZSTD_compressBound(TABLE_BLOCK_SIZE_MAX);
	writer->deflated = malloc(writer->deflated_capacity);
	writer->deflater = ZSTD_createCCtx();
	return writer->deflated && writer->deflater ? 0 : -ENOMEM;
}

int table_writer_new(struct io *io, const char *name, const struct table_writer_options *options,
		     struct table_writer **ret_writer)
{
	struct table_writer *writer;
	int result = 0;

	if (options->block_size > TABLE_BLOCK_SIZE_MAX ||
	    options->filter_bits > TABLE_FILTER_BITS_MAX)
		return -EINVAL;
	writer = calloc(1, sizeof(*writer));
	if (!writer)
		return -ENOMEM;
	writer->options = *options;
	if (writer->options.block_size == 0)
		writer->options.block_size = TABLE_BLOCK_SIZE;
	if (writer->options.filter_bits == 0)
		writer->options.filter_bits = FILTER_BITS;
	writer->seed = piece_seed(options->store, options->number);
	writer->summary.seqno_min = UINT64_MAX;
	if (options->compress)
		result = make_deflater(writer);
	if (!result)
		result = file_writer_init(&writer->file, io, name);
	if (result) {
		table_writer_abort(writer);
		return result;
	}
	*ret_writer = writer;
	return 0;
}

uint64_t table_writer_size(const struct table_writer *writer)
{
	uint64_t waiting = writer->block.count > 0 ? block_writer_size(&writer->block) : 0;

	return file_writer_size(&writer->file) + waiting;
}

/* Bytes and their CRC, which is given back. */
static int put_piece(struct table_writer *writer, const void *bytes, uint32_t size,
		     uint8_t crc[PIECE_CRC_SIZE])
{
	uint64_t offset = file_writer_size(&writer->file);
	int result;

	store_le32(crc, piece_crc(writer->seed, offset, bytes, size));
	result = file_writer_put(&writer->file, bytes, size);
	return result ? result : file_writer_put(&writer->file, crc, PIECE_CRC_SIZE);
}

/* Has the bytes be the compressed ones if that makes them an eighth smaller. */
static void deflate_block(struct table_writer *writer, const uint8_t **bytes, uint32_t *size)
{
	size_t deflated;

	if (!writer->deflater)
		return;
	deflated = ZSTD_compressCCtx(writer->deflater, writer->deflated, writer->deflated_capacity,
				     *bytes, *size, ZSTD_LEVEL);
	if (ZSTD_isError(deflated) || deflated > *size - *size / 8)
		return;
	*bytes = writer->deflated;
	*size = (uint32_t)deflated;
}

static int add_bounds(struct table_writer *writer)
{
	uint64_t more = writer->block_max - writer->block_min;
	uint8_t *to;

	if (writer->options.without_bounds)
		return 0;
	to = grow(&writer->bounds, varint_size(writer->block_min) + varint_size(more));
	if (!to)
		return -ENOMEM;
	varint_put(varint_put(to, writer->block_min), more);
	return 0;
}

/* 'next' is the entry that will be the next block's first, or NULL. */
static int add_to_index(struct table_writer *writer, const struct entry *next, uint32_t size,
			uint32_t raw_size)
{
	struct entry_bytes last = {writer->block.key, writer->block.key_size};
	uint8_t separator[ENTRY_KEY_MAX];
	uint64_t seqno = 0;

	if (next) {
		if (key_equal(last, next->key)) {
			seqno = writer->last_seqno;
		} else {
			last.size = table_index_separator(last, next->key, separator);
			last.bytes = separator;
		}
	}
	return table_index_add(&writer->index, last, seqno, size, raw_size);
}

static int finish_block(struct table_writer *writer, const struct entry *next)
{
	struct table_footer *footer = &writer->footer;
	uint8_t crc[PIECE_CRC_SIZE];
	const uint8_t *bytes;
	uint32_t size, raw_size;
	int result = block_writer_finish(&writer->block, &bytes, &raw_size);

	if (result)
		return result;
	size = raw_size;
	deflate_block(writer, &bytes, &size);
	result = put_piece(writer, bytes, size, crc);
	if (!result)
		result = add_to_index(writer, next, size, raw_size);
	if (!result)
		result = add_bounds(writer);
	if (result)
		return result;
	footer->blocks_crc = crc32c_extend(footer->blocks_crc, crc, sizeof(crc));
	footer->blocks_size += size + sizeof(crc);
	footer->block_count++;
	writer->raw_size += raw_size;
	block_writer_reset(&writer->block);
	return 0;
}

static bool is_valid(const struct entry *entry)
{
	bool known = entry->kind >= ENTRY_VALUE && entry->kind <= ENTRY_RANGE_TOMBSTONE;

	return known && entry->key.size > 0 && entry->key.size <= ENTRY_KEY_MAX &&
	       entry->value.size <= ENTRY_VALUE_MAX;
}

static int add_range(struct table_writer *writer, const struct entry *entry)
{
	struct entry *range;
	uint8_t *bytes;

	if (entry->value.size > ENTRY_KEY_MAX || key_compare(entry->key, entry->value) >= 0)
		return -EINVAL;
	bytes = malloc((size_t)entry->key.size + entry->value.size);
	if (!bytes)
		return -ENOMEM;
	range = grow(&writer->ranges, sizeof(*range));
	if (!range) {
		free(bytes);
		return -ENOMEM;
	}
	memcpy(bytes, entry->key.bytes, entry->key.size);
	memcpy(bytes + entry->key.size, entry->value.bytes, entry->value.size);
	*range = *entry;
	range->key.bytes = bytes;
	range->value.bytes = bytes + entry->key.size;
	return 0;
}

/* A key is hashed once, whatever its versions. */
static int take_key(struct table_writer *writer, const struct entry *entry)
{
	const struct entry_bytes last = {writer->block.key, writer->block.key_size};
	uint64_t *hash;

	if (writer->summary.entries == 0) {
		writer->summary.key_first_size = (uint16_t)entry->key.size;
		memcpy(writer->summary.key_first, entry->key.bytes, entry->key.size);
	} else if (key_equal(last, entry->key)) {
		return 0;
	}
	hash = grow(&writer->hashes, sizeof(*hash));
	if (!hash)
		return -ENOMEM;
	*hash = bloom_hash(entry->key.bytes, entry->key.size);
	return 0;
}

static int count_kind(struct table_summary *summary, const struct entry *entry)
{
	struct blob_place place;

	if (entry->kind == ENTRY_TOMBSTONE || entry->kind == ENTRY_WEAK_TOMBSTONE)
		summary->tombstones++;
	if (entry->kind != ENTRY_BLOB)
		return 0;
	if (blob_place_decode(entry->value, &place))
		return -EINVAL;
	summary->blob_bytes += place.size;
	return 0;
}

static void count_seqno(struct table_writer *writer, uint64_t seqno)
{
	bool first = writer->block.count == 1;

	writer->block_min = first ? seqno : MIN(writer->block_min, seqno);
	writer->block_max = first ? seqno : MAX(writer->block_max, seqno);
	writer->summary.seqno_min = MIN(writer->summary.seqno_min, seqno);
	writer->summary.seqno_max = MAX(writer->summary.seqno_max, seqno);
	writer->summary.entries++;
	writer->last_seqno = seqno;
}

static int add_entry(struct table_writer *writer, const struct entry *entry)
{
	const struct entry last = {.key = {writer->block.key, writer->block.key_size},
				   .seqno = writer->last_seqno};
	int result;

	if (writer->summary.entries > 0 && entry_compare(&last, entry) >= 0)
		return -EINVAL;
	if (writer->block.count > 0 &&
	    block_writer_size(&writer->block) + block_writer_cost(entry) >
		    writer->options.block_size) {
		result = finish_block(writer, entry);
		if (result)
			return result;
	}
	result = count_kind(&writer->summary, entry);
	if (!result)
		result = take_key(writer, entry);
	if (!result)
		result = block_writer_add(&writer->block, entry);
	if (!result)
		count_seqno(writer, entry->seqno);
	return result;
}

int table_writer_add(struct table_writer *writer, const struct entry *entry)
{
	int result = writer->failed;

	if (result)
		return result;
	if (!is_valid(entry))
		result = -EINVAL;
	else if (entry->kind == ENTRY_RANGE_TOMBSTONE)
		result = add_range(writer, entry);
	else
		result = add_entry(writer, entry);
	writer->failed = result;
	return result;
}

static int put_section(struct table_writer *writer, enum table_section section, const void *bytes,
		       uint64_t size)
{
	uint8_t crc[PIECE_CRC_SIZE];

	if (size == 0)
		return 0;
	if (size > TABLE_SECTION_MAX)
		return -EFBIG;
	writer->footer.sections[section] = (uint32_t)size;
	return put_piece(writer, bytes, (uint32_t)size, crc);
}

/* A block that is a section: range tombstones, the index. */
static int put_block_section(struct table_writer *writer, enum table_section section,
			     struct block_writer *block)
{
	const uint8_t *bytes;
	uint32_t size;
	int result;

	if (block->count == 0)
		return 0;
	result = block_writer_finish(block, &bytes, &size);
	return result ? result : put_section(writer, section, bytes, size);
}

static int compare_ranges(const void *a, const void *b)
{
	return entry_compare(a, b);
}

static int put_ranges(struct table_writer *writer)
{
	struct entry *ranges = writer->ranges.bytes;
	uint64_t count = writer->ranges.size / sizeof(*ranges);
	struct block_writer block = {0};
	int result = 0;

	if (count == 0)
		return 0;
	qsort(ranges, count, sizeof(*ranges), compare_ranges);
	for (uint64_t i = 0; i < count && !result; i++) {
		table_summary_add_range(&writer->summary, &ranges[i]);
		result = block_writer_add(&block, &ranges[i]);
	}
	if (!result)
		result = put_block_section(writer, TABLE_RANGES, &block);
	block_writer_deinit(&block);
	return result;
}

static int put_filter(struct table_writer *writer)
{
	const uint64_t *hashes = writer->hashes.bytes;
	uint64_t count = writer->hashes.size / sizeof(*hashes);
	uint64_t lines = bloom_lines(count, writer->options.filter_bits);
	uint32_t probes = bloom_probes(writer->options.filter_bits);
	uint8_t *filter;
	int result;

	if (count == 0)
		return 0;
	filter = calloc(1, lines * BLOOM_LINE + 1);
	if (!filter)
		return -ENOMEM;
	for (uint64_t i = 0; i < count; i++)
		bloom_add(filter, lines, probes, hashes[i]);
	filter[lines * BLOOM_LINE] = (uint8_t)probes;
	result = put_section(writer, TABLE_FILTER, filter, lines * BLOOM_LINE + 1);
	free(filter);
	return result;
}

static int put_properties(struct table_writer *writer)
{
	uint8_t bytes[TABLE_PROPERTIES_LIMIT];
	uint32_t size = table_properties_encode(&writer->summary, writer->raw_size, bytes);

	return put_section(writer, TABLE_PROPERTIES, bytes, size);
}

static int put_footer(struct table_writer *writer)
{
	struct table_footer *footer = &writer->footer;
	uint8_t bytes[TABLE_FOOTER_SIZE];

	memcpy(footer->store, writer->options.store, sizeof(footer->store));
	footer->number = writer->options.number;
	footer->block_size = writer->options.block_size;
	footer->file_size = file_writer_size(&writer->file) + sizeof(bytes);
	table_footer_encode(footer, bytes);
	writer->summary.size = footer->file_size;
	writer->summary.crc = load_le32(bytes + TABLE_FOOTER_SIZE - 4);
	return file_writer_put(&writer->file, bytes, sizeof(bytes));
}

static void take_last_key(struct table_writer *writer)
{
	writer->summary.key_last_size = (uint16_t)writer->block.key_size;
	memcpy(writer->summary.key_last, writer->block.key, writer->block.key_size);
}

/* In the order in which the sections lie. */
static int put_rest(struct table_writer *writer)
{
	int result = writer->failed;

	if (!result && writer->block.count > 0)
		result = finish_block(writer, NULL);
	take_last_key(writer);
	if (!result)
		result = put_ranges(writer);
	if (!result)
		result = put_filter(writer);
	if (!result)
		result = put_section(writer, TABLE_BOUNDS, writer->bounds.bytes,
				     writer->bounds.size);
	if (!result)
		result = put_block_section(writer, TABLE_INDEX, &writer->index.block);
	if (!result)
		result = put_properties(writer);
	return result ? result : put_footer(writer);
}

int table_writer_finish(struct table_writer *writer, struct table_summary *ret_summary)
{
	int result = put_rest(writer);

	if (!result)
		result = file_writer_finish(&writer->file);
	if (!result)
		*ret_summary = writer->summary;
	table_writer_abort(writer);
	return result;
}

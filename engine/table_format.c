/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/table_format.h"

#include "base/byteorder.h"
#include "base/crc.h"
#include "base/defs.h"
#include "engine/piece.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

/* Offsets in the footer. */
enum {
	AT_MAGIC = 0,
	AT_VERSION = 8,
	AT_FOOTER_SIZE = 12,
	AT_STORE = 16,
	AT_NUMBER = 32,
	AT_FILE_SIZE = 40,
	AT_BLOCKS_SIZE = 48,
	AT_BLOCK_COUNT = 56,
	AT_BLOCKS_CRC = 60,
	AT_BLOCK_SIZE = 64,
	AT_SECTIONS = 68,
	AT_RESERVED = 88,
	AT_CRC = 92,
};
static_assert(AT_SECTIONS + 4 * TABLE_SECTION_COUNT == AT_RESERVED, "sections fill their place");

/* Offsets in the properties. */
enum {
	AT_ENTRIES = 0,
	AT_TOMBSTONES = 8,
	AT_SEQNO_MIN = 16,
	AT_SEQNO_MAX = 24,
	AT_BLOB_BYTES = 32,
	AT_RAW_SIZE = 40,
	AT_KEY_FIRST_SIZE = 48,
	AT_KEY_LAST_SIZE = 50,
	AT_ZERO = 52, /* to the keys */
};

static const uint8_t magic[8] = {'T', 'E', 'R', 'N', 'T', 'B', 'L', '\n'};
static const uint8_t zeros[TABLE_PROPERTIES_SIZE - AT_ZERO];

void table_footer_encode(const struct table_footer *footer, uint8_t bytes[TABLE_FOOTER_SIZE])
{
	memset(bytes, 0, TABLE_FOOTER_SIZE);
	memcpy(bytes + AT_MAGIC, magic, sizeof(magic));
	store_le32(bytes + AT_VERSION, TABLE_FORMAT_VERSION);
	store_le32(bytes + AT_FOOTER_SIZE, TABLE_FOOTER_SIZE);
	memcpy(bytes + AT_STORE, footer->store, sizeof(footer->store));
	store_le64(bytes + AT_NUMBER, footer->number);
	store_le64(bytes + AT_FILE_SIZE, footer->file_size);
	store_le64(bytes + AT_BLOCKS_SIZE, footer->blocks_size);
	store_le32(bytes + AT_BLOCK_COUNT, footer->block_count);
	store_le32(bytes + AT_BLOCKS_CRC, footer->blocks_crc);
	store_le32(bytes + AT_BLOCK_SIZE, footer->block_size);
	for (unsigned i = 0; i < TABLE_SECTION_COUNT; i++)
		store_le32(bytes + AT_SECTIONS + 4 * i, footer->sections[i]);
	store_le32(bytes + AT_CRC, crc32c(bytes, AT_CRC));
}

static void read_fields(const uint8_t *bytes, struct table_footer *footer)
{
	memcpy(footer->store, bytes + AT_STORE, sizeof(footer->store));
	footer->number = load_le64(bytes + AT_NUMBER);
	footer->file_size = load_le64(bytes + AT_FILE_SIZE);
	footer->blocks_size = load_le64(bytes + AT_BLOCKS_SIZE);
	footer->block_count = load_le32(bytes + AT_BLOCK_COUNT);
	footer->blocks_crc = load_le32(bytes + AT_BLOCKS_CRC);
	footer->block_size = load_le32(bytes + AT_BLOCK_SIZE);
	for (unsigned i = 0; i < TABLE_SECTION_COUNT; i++)
		footer->sections[i] = load_le32(bytes + AT_SECTIONS + 4 * i);
}

/* Sections that are there when blocks are, and parts that add up to the file. */
static bool parts_fit(const struct table_footer *footer)
{
	bool has_blocks = footer->block_count > 0;

	for (unsigned i = 0; i < TABLE_SECTION_COUNT; i++)
		if (footer->sections[i] > TABLE_SECTION_MAX)
			return false;
	return footer->blocks_size < INT64_MAX && has_blocks == (footer->blocks_size > 0) &&
	       has_blocks == (footer->sections[TABLE_INDEX] > 0) &&
	       has_blocks == (footer->sections[TABLE_FILTER] > 0) &&
	       (has_blocks || footer->sections[TABLE_BOUNDS] == 0) &&
	       footer->sections[TABLE_PROPERTIES] > 0 &&
	       table_section_offset(footer, TABLE_SECTION_COUNT) + TABLE_FOOTER_SIZE ==
		       footer->file_size;
}

/* NULL, or what is wrong with the bytes themselves. */
static const char *fault_of(const uint8_t *bytes, struct table_footer *footer)
{
	if (memcmp(bytes + AT_MAGIC, magic, sizeof(magic)) != 0)
		return "no table ends here";
	if (load_le32(bytes + AT_CRC) != crc32c(bytes, AT_CRC))
		return "the footer's checksum is wrong";
	if (load_le32(bytes + AT_VERSION) != TABLE_FORMAT_VERSION ||
	    load_le32(bytes + AT_FOOTER_SIZE) != TABLE_FOOTER_SIZE)
		return "a version of tables that this program doesn't know";
	read_fields(bytes, footer);
	if (load_le32(bytes + AT_RESERVED) != 0 || !parts_fit(footer))
		return "the footer contradicts itself";
	return NULL;
}

int table_footer_decode(const uint8_t bytes[TABLE_FOOTER_SIZE], uint64_t file_size,
			const uint8_t store[16], uint64_t number, struct table_footer *ret_footer,
			char *error, size_t error_size)
{
	uint64_t offset = file_size - TABLE_FOOTER_SIZE;
	struct table_footer footer = {0};
	const char *fault = fault_of(bytes, &footer);

	if (!fault && footer.file_size != file_size)
		fault = "the file has another size than its footer says";
	if (!fault && memcmp(footer.store, store, sizeof(footer.store)) != 0)
		fault = "a table of another store";
	if (fault) {
		snprintf(error, error_size, "offset %" PRIu64 ": %s", offset, fault);
		return TABLE_E_CORRUPT;
	}
	if (footer.number != number) {
		snprintf(error, error_size,
			 "offset %" PRIu64 ": this is table %" PRIu64 ", not %" PRIu64, offset,
			 footer.number, number);
		return TABLE_E_CORRUPT;
	}
	*ret_footer = footer;
	return 0;
}

int table_footer_identify(const uint8_t bytes[TABLE_FOOTER_SIZE], uint8_t ret_store[16],
			  uint64_t *ret_number)
{
	struct table_footer footer;

	if (fault_of(bytes, &footer))
		return TABLE_E_CORRUPT;
	memcpy(ret_store, footer.store, sizeof(footer.store));
	*ret_number = footer.number;
	return 0;
}

uint64_t table_section_offset(const struct table_footer *footer, enum table_section section)
{
	uint64_t offset = footer->blocks_size;

	for (unsigned i = 0; i < section; i++)
		if (footer->sections[i] > 0)
			offset += footer->sections[i] + PIECE_CRC_SIZE;
	return offset;
}

const char *table_section_name(enum table_section section)
{
	static const char *const names[] = {"range tombstones", "filter", "bounds", "index",
					    "properties"};

	return names[section];
}

void table_summary_add_range(struct table_summary *summary, const struct entry *range)
{
	struct entry_bytes first = {summary->key_first, summary->key_first_size};
	struct entry_bytes last = {summary->key_last, summary->key_last_size};

	if (summary->entries == 0 || key_compare(range->key, first) < 0) {
		summary->key_first_size = (uint16_t)range->key.size;
		memcpy(summary->key_first, range->key.bytes, range->key.size);
	}
	if (key_compare(last, range->value) < 0) {
		summary->key_last_size = (uint16_t)range->value.size;
		memcpy(summary->key_last, range->value.bytes, range->value.size);
	}
	summary->seqno_min = MIN(summary->seqno_min, range->seqno);
	summary->seqno_max = MAX(summary->seqno_max, range->seqno);
	summary->entries++;
	summary->tombstones++;
}

uint32_t table_properties_encode(const struct table_summary *summary, uint64_t raw_size,
				 uint8_t bytes[TABLE_PROPERTIES_LIMIT])
{
	uint8_t *keys = bytes + TABLE_PROPERTIES_SIZE;

	memset(bytes, 0, TABLE_PROPERTIES_SIZE);
	store_le64(bytes + AT_ENTRIES, summary->entries);
	store_le64(bytes + AT_TOMBSTONES, summary->tombstones);
	store_le64(bytes + AT_SEQNO_MIN, summary->seqno_min);
	store_le64(bytes + AT_SEQNO_MAX, summary->seqno_max);
	store_le64(bytes + AT_BLOB_BYTES, summary->blob_bytes);
	store_le64(bytes + AT_RAW_SIZE, raw_size);
	store_le16(bytes + AT_KEY_FIRST_SIZE, summary->key_first_size);
	store_le16(bytes + AT_KEY_LAST_SIZE, summary->key_last_size);
	memcpy(keys, summary->key_first, summary->key_first_size);
	memcpy(keys + summary->key_first_size, summary->key_last, summary->key_last_size);
	return TABLE_PROPERTIES_SIZE + summary->key_first_size + summary->key_last_size;
}

int table_properties_decode(const uint8_t *bytes, uint32_t size, struct table_summary *summary,
			    uint64_t *ret_raw_size)
{
	uint16_t first, last;

	if (size < TABLE_PROPERTIES_SIZE || memcmp(bytes + AT_ZERO, zeros, sizeof(zeros)) != 0)
		return TABLE_E_CORRUPT;
	first = load_le16(bytes + AT_KEY_FIRST_SIZE);
	last = load_le16(bytes + AT_KEY_LAST_SIZE);
	if (first > ENTRY_KEY_MAX || last > ENTRY_KEY_MAX ||
	    size != TABLE_PROPERTIES_SIZE + (uint32_t)first + last)
		return TABLE_E_CORRUPT;
	summary->entries = load_le64(bytes + AT_ENTRIES);
	summary->tombstones = load_le64(bytes + AT_TOMBSTONES);
	summary->seqno_min = load_le64(bytes + AT_SEQNO_MIN);
	summary->seqno_max = load_le64(bytes + AT_SEQNO_MAX);
	summary->blob_bytes = load_le64(bytes + AT_BLOB_BYTES);
	summary->key_first_size = first;
	summary->key_last_size = last;
	memcpy(summary->key_first, bytes + TABLE_PROPERTIES_SIZE, first);
	memcpy(summary->key_last, bytes + TABLE_PROPERTIES_SIZE + first, last);
	*ret_raw_size = load_le64(bytes + AT_RAW_SIZE);
	return 0;
}

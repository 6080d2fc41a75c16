/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Table format - the fixed parts of a table's file (docs/format/table.md)
 *
 *      blocks | ranges? | filter? | bounds? | index? | properties | footer
 *
 * Everything but the footer is a piece (engine/piece.h), and each begins where the one before ends:
 * there is no byte that belongs to none of them.
 *
 * Threads: any.
 */

#include "engine/table.h"

#define TABLE_FORMAT_VERSION 1

/* In the order in which they lie in the file. */
enum table_section {
	TABLE_RANGES, /* a block of range tombstones */
	TABLE_FILTER,
	TABLE_BOUNDS,
	TABLE_INDEX,
	TABLE_PROPERTIES,
	TABLE_SECTION_COUNT,
};

#define TABLE_FOOTER_SIZE      96
#define TABLE_PROPERTIES_SIZE  64 /* before the two keys */
#define TABLE_PROPERTIES_LIMIT (TABLE_PROPERTIES_SIZE + 2 * ENTRY_KEY_MAX)

struct table_footer {
	uint8_t store[16];
	uint64_t number;
	uint64_t file_size;
	uint64_t blocks_size; /* of all blocks, their CRCs included */
	uint32_t block_count;
	uint32_t blocks_crc;                    /* of the CRCs of all blocks, in order */
	uint32_t block_size;                    /* that the writer was asked for; for people */
	uint32_t sections[TABLE_SECTION_COUNT]; /* bytes without the CRC; 0: there is none */
};

void table_footer_encode(const struct table_footer *footer, uint8_t bytes[TABLE_FOOTER_SIZE]);

/*
 * Checks it against itself, the file's size and whose file it should be. Returns 0 or
 * TABLE_E_CORRUPT ('error').
 */
int table_footer_decode(const uint8_t bytes[TABLE_FOOTER_SIZE], uint64_t file_size,
			const uint8_t store[16], uint64_t number, struct table_footer *ret_footer,
			char *error, size_t error_size);

/* Whose file it says it is. Returns 0 or TABLE_E_CORRUPT: no footer, or not one of this version. */
int table_footer_identify(const uint8_t bytes[TABLE_FOOTER_SIZE], uint8_t ret_store[16],
			  uint64_t *ret_number);

/* Where a section begins. TABLE_SECTION_COUNT: the footer. */
uint64_t table_section_offset(const struct table_footer *footer, enum table_section section);
const char *table_section_name(enum table_section section);

/* Takes a range tombstone into the summary. */
void table_summary_add_range(struct table_summary *summary, const struct entry *range);

/* What of the summary stands in the properties, and the raw bytes of all blocks. */
uint32_t table_properties_encode(const struct table_summary *summary, uint64_t raw_size,
				 uint8_t bytes[TABLE_PROPERTIES_LIMIT]);

/* Returns 0 or TABLE_E_CORRUPT. */
int table_properties_decode(const uint8_t *bytes, uint32_t size, struct table_summary *summary,
			    uint64_t *ret_raw_size);

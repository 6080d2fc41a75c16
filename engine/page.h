/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Page - the 4 KiB of which the pages file is made
 *
 *      0        8     16    20      22     23      24     32
 *      | number | lsn | crc | count | kind | level | link | body, 4064 bytes
 *
 * The CRC covers all other bytes. What LSN, count, level, link and body mean for each kind
 * is said in docs/format/page.md. Page 0 says whose file it is; the others are numbered from 1.
 *
 * A page that was read from a file is looked through by page_check() before anything else is
 * asked of it; it then has the number it should have and no count that leads out of it.
 *
 * Threads: any.
 */

#include "base/byteorder.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SIZE   4096
#define PAGE_HEADER 32

/* Bytes of the store's name for itself, in page 0. */
#define PAGE_STORE_SIZE 16

/* Entries of 16 bytes that fit in a page of a tree. */
#define PAGE_ENTRY_MAX 254

enum page_at {
	PAGE_AT_NUMBER = 0,
	PAGE_AT_LSN = 8,
	PAGE_AT_CRC = 16,
	PAGE_AT_COUNT = 20, /* what is the page owner's to change begins here */
	PAGE_AT_KIND = 22,
	PAGE_AT_LEVEL = 23,
	PAGE_AT_LINK = 24,
	PAGE_AT_MAGIC = 32, /* of page 0, as the following */
	PAGE_AT_VERSION = 40,
	PAGE_AT_PAGE_SIZE = 44,
	PAGE_AT_STORE = 48,
};

enum page_kind {
	PAGE_FREE = 0, /* link: the next one of the chain */
	PAGE_BTREE_LEAF,
	PAGE_BTREE_INTERNAL,
	PAGE_FILE, /* page 0 */
	PAGE_KIND_COUNT,
};

/* Room for what page_check() has to say. */
#define PAGE_ERROR_MAX 160

static inline uint64_t page_number(const uint8_t *page)
{
	return load_le64(page + PAGE_AT_NUMBER);
}

static inline uint64_t page_lsn(const uint8_t *page)
{
	return load_le64(page + PAGE_AT_LSN);
}

static inline unsigned page_count(const uint8_t *page)
{
	return load_le16(page + PAGE_AT_COUNT);
}

static inline enum page_kind page_kind(const uint8_t *page)
{
	return page[PAGE_AT_KIND];
}

static inline unsigned page_level(const uint8_t *page)
{
	return page[PAGE_AT_LEVEL];
}

static inline uint64_t page_link(const uint8_t *page)
{
	return load_le64(page + PAGE_AT_LINK);
}

static inline void page_set_count(uint8_t *page, unsigned count)
{
	store_le16(page + PAGE_AT_COUNT, (uint16_t)count);
}

static inline void page_set_link(uint8_t *page, uint64_t link)
{
	store_le64(page + PAGE_AT_LINK, link);
}

/* Name of a kind, or NULL. */
const char *page_kind_name(unsigned kind);

/* Makes it a page of zeros behind this header. */
void page_init(uint8_t *page, uint64_t number, enum page_kind kind);

/* Makes it a file's page 0. */
void page_init_file(uint8_t *page, const uint8_t store[static PAGE_STORE_SIZE]);

/* Puts the CRC in: the last thing before a page is written. */
void page_seal(uint8_t *page);

/* Bytes up to the last that isn't zero, the header at least. */
uint32_t page_used(const uint8_t *page);

/* The weak checksum that a PageFree bears: of count, kind, level, link and body. */
uint32_t page_checksum(const uint8_t *page);

/* Whether the page is whole and page 'number', of a kind that there is. If not, 'error' says
 * what was expected and what was found. */
bool page_check(const uint8_t *page, uint64_t number, char error[static PAGE_ERROR_MAX]);

/* The same without the CRC, for a page that is being redone. */
bool page_check_shape(const uint8_t *page, uint64_t number, char error[static PAGE_ERROR_MAX]);

/* page_check() for page 0, which must be of this version. */
bool page_check_file(const uint8_t *page, char error[static PAGE_ERROR_MAX]);

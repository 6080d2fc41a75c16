/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/page.h"

#include "base/crc.h"
#include "base/defs.h"
#include "engine/record.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define VERSION 1

static const uint8_t magic[8] = {'T', 'E', 'R', 'N', 'P', 'A', 'G', '\n'};

static const char *const names[PAGE_KIND_COUNT] = {
	[PAGE_FREE] = "free",
	[PAGE_BTREE_LEAF] = "leaf",
	[PAGE_BTREE_INTERNAL] = "internal",
	[PAGE_FILE] = "file",
};

const char *page_kind_name(unsigned kind)
{
	return kind < PAGE_KIND_COUNT ? names[kind] : NULL;
}

void page_init(uint8_t *page, uint64_t number, enum page_kind kind)
{
	memset(page, 0, PAGE_SIZE);
	store_le64(page + PAGE_AT_NUMBER, number);
	page[PAGE_AT_KIND] = (uint8_t)kind;
}

void page_init_file(uint8_t *page, const uint8_t store[static PAGE_STORE_SIZE])
{
	page_init(page, 0, PAGE_FILE);
	memcpy(page + PAGE_AT_MAGIC, magic, sizeof(magic));
	store_le32(page + PAGE_AT_VERSION, VERSION);
	store_le32(page + PAGE_AT_PAGE_SIZE, PAGE_SIZE);
	memcpy(page + PAGE_AT_STORE, store, PAGE_STORE_SIZE);
}

static uint32_t crc(const uint8_t *page)
{
	return crc32c_extend(crc32c(page, PAGE_AT_CRC), page + PAGE_AT_COUNT,
			     PAGE_SIZE - PAGE_AT_COUNT);
}

void page_seal(uint8_t *page)
{
	store_le32(page + PAGE_AT_CRC, crc(page));
}

uint32_t page_used(const uint8_t *page)
{
	uint32_t size = PAGE_SIZE;

	while (size > PAGE_HEADER && load_le64(page + size - 8) == 0)
		size -= 8;
	while (size > PAGE_HEADER && page[size - 1] == 0)
		size--;
	return size;
}

uint32_t page_checksum(const uint8_t *page)
{
	return (uint32_t)record_checksum(page + PAGE_AT_COUNT, PAGE_SIZE - PAGE_AT_COUNT);
}

static unsigned count_max(enum page_kind kind)
{
	return kind == PAGE_FREE ? 0 : PAGE_ENTRY_MAX;
}

static bool refuse(char *error, uint64_t number, const char *what, uint64_t expected,
		   uint64_t found)
{
	snprintf(error, PAGE_ERROR_MAX,
		 "page %" PRIu64 ": %s: expected %" PRIu64 ", found %" PRIu64, number, what,
		 expected, found);
	return false;
}

static bool check_crc(const uint8_t *page, uint64_t number, char *error)
{
	uint32_t expected = load_le32(page + PAGE_AT_CRC), found = crc(page);

	if (found == expected)
		return true;
	snprintf(error, PAGE_ERROR_MAX,
		 "page %" PRIu64 ": crc of its bytes: expected 0x%08" PRIx32 ", found 0x%08" PRIx32,
		 number, expected, found);
	return false;
}

bool page_check(const uint8_t *page, uint64_t number, char error[static PAGE_ERROR_MAX])
{
	return check_crc(page, number, error) && page_check_shape(page, number, error);
}

bool page_check_shape(const uint8_t *page, uint64_t number, char error[static PAGE_ERROR_MAX])
{
	unsigned kind = page_kind(page);

	if (page_number(page) != number)
		return refuse(error, number, "number", number, page_number(page));
	if (kind >= PAGE_FILE) {
		snprintf(error, PAGE_ERROR_MAX,
			 "page %" PRIu64 ": kind: expected below %d, found %u", number, PAGE_FILE,
			 kind);
		return false;
	}
	if (page_count(page) > count_max(kind)) {
		snprintf(error, PAGE_ERROR_MAX,
			 "page %" PRIu64 ": count: expected at most %u, found %u", number,
			 count_max(kind), page_count(page));
		return false;
	}
	return true;
}

bool page_check_file(const uint8_t *page, char error[static PAGE_ERROR_MAX])
{
	if (memcmp(page + PAGE_AT_MAGIC, magic, sizeof(magic)) != 0) {
		snprintf(error, PAGE_ERROR_MAX, "page 0: this is no file of pages");
		return false;
	}
	if (!check_crc(page, 0, error))
		return false;
	if (page_number(page) != 0)
		return refuse(error, 0, "number", 0, page_number(page));
	if (page_kind(page) != PAGE_FILE)
		return refuse(error, 0, "kind", PAGE_FILE, page_kind(page));
	if (load_le32(page + PAGE_AT_VERSION) != VERSION)
		return refuse(error, 0, "version", VERSION, load_le32(page + PAGE_AT_VERSION));
	if (load_le32(page + PAGE_AT_PAGE_SIZE) != PAGE_SIZE)
		return refuse(error, 0, "page size", PAGE_SIZE,
			      load_le32(page + PAGE_AT_PAGE_SIZE));
	return true;
}

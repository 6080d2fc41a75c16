/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/ledger_sector.h"

#include "base/byteorder.h"
#include "base/crc.h"
#include "base/defs.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define VERSION 1

static const uint8_t magic[8] = "TERNLDG\n";

/* What stands at the front of a sector. */
struct sector {
	uint64_t edit;
	uint32_t index;
	uint32_t count;
	uint32_t used;
};

static_assert(LEDGER_SECTOR_SIZE == IO_SECTOR, "a sector is what a power cut leaves whole");

static uint32_t seed_of(const struct ledger_head *head)
{
	uint8_t bytes[24];

	memcpy(bytes, head->store, 16);
	store_le64(bytes + 16, head->number);
	return crc32c(bytes, sizeof(bytes));
}

void ledger_head_encode(const struct ledger_head *head, struct ledger_bytes *to)
{
	uint8_t bytes[LEDGER_SECTOR_SIZE] = {0};

	memcpy(bytes, magic, sizeof(magic));
	store_le32(bytes + 8, VERSION);
	store_le64(bytes + 16, head->number);
	memcpy(bytes + 24, head->store, 16);
	store_le32(bytes + 12, crc32c(bytes, sizeof(bytes)));
	ledger_bytes_add(to, bytes, sizeof(bytes));
}

int ledger_head_decode(const uint8_t *bytes, size_t size, struct ledger_head *ret_head,
		       const char **ret_what)
{
	uint8_t copy[LEDGER_SECTOR_SIZE];

	*ret_what = "the head is not a ledger's";
	if (size < sizeof(copy))
		return LEDGER_E_CORRUPT;
	memcpy(copy, bytes, sizeof(copy));
	store_le32(copy + 12, 0);
	if (crc32c(copy, sizeof(copy)) != load_le32(bytes + 12) ||
	    memcmp(bytes, magic, sizeof(magic)) != 0)
		return LEDGER_E_CORRUPT;
	if (load_le32(bytes + 8) != VERSION) {
		*ret_what = "the ledger's version is another";
		return LEDGER_E_CORRUPT;
	}
	ret_head->number = load_le64(bytes + 16);
	memcpy(ret_head->store, bytes + 24, 16);
	return 0;
}

int ledger_sector_encode(const struct ledger_head *head, uint64_t number, const uint8_t *edit,
			 size_t size, struct ledger_bytes *to)
{
	uint32_t count = (uint32_t)((size + LEDGER_SECTOR_ROOM - 1) / LEDGER_SECTOR_ROOM);
	uint32_t seed = seed_of(head);

	for (uint32_t i = 0; i < count; i++) {
		uint8_t bytes[LEDGER_SECTOR_SIZE] = {0};
		size_t from = (size_t)i * LEDGER_SECTOR_ROOM;
		uint32_t used = (uint32_t)MIN(size - from, (size_t)LEDGER_SECTOR_ROOM);

		store_le32(bytes + 4, used);
		store_le64(bytes + 8, number);
		store_le32(bytes + 16, i);
		store_le32(bytes + 20, count);
		memcpy(bytes + LEDGER_SECTOR_HEAD, edit + from, used);
		store_le32(bytes, crc32c_extend(seed, bytes + 4, sizeof(bytes) - 4));
		ledger_bytes_add(to, bytes, sizeof(bytes));
	}
	return to->failed ? -ENOMEM : 0;
}

/* The file's bytes at 'offset', zeros behind its last whole sector: a power cut may leave its end
 * anywhere, and a sector that is there in part never came to the disk. */
static const uint8_t *sector_at(const struct ledger_reader *reader, size_t offset,
				uint8_t space[LEDGER_SECTOR_SIZE])
{
	if (offset < reader->size && reader->size - offset >= LEDGER_SECTOR_SIZE)
		return reader->bytes + offset;
	memset(space, 0, LEDGER_SECTOR_SIZE);
	return space;
}

static bool is_zeros(const uint8_t *bytes)
{
	return bytes[0] == 0 && memcmp(bytes, bytes + 1, LEDGER_SECTOR_SIZE - 1) == 0;
}

static bool sector_decode(const struct ledger_reader *reader, const uint8_t *bytes,
			  struct sector *ret_sector)
{
	if (load_le32(bytes) !=
	    crc32c_extend(seed_of(&reader->head), bytes + 4, LEDGER_SECTOR_SIZE - 4))
		return false;
	*ret_sector = (struct sector){
		.used = load_le32(bytes + 4),
		.edit = load_le64(bytes + 8),
		.index = load_le32(bytes + 16),
		.count = load_le32(bytes + 20),
	};
	return true;
}

/* Whether the sector is where it belongs, and as full as it has to be. */
static bool sector_fits(const struct ledger_reader *reader, const struct sector *sector,
			size_t index, uint32_t count)
{
	bool last = index + 1 == sector->count;

	return sector->edit == reader->number && sector->index == index && index < sector->count &&
	       (count == 0 || sector->count == count) && sector->used <= LEDGER_SECTOR_ROOM &&
	       sector->used > 0 && (last || sector->used == LEDGER_SECTOR_ROOM);
}

static int damaged(struct ledger_reader *reader, size_t offset, const char *what,
		   const char **ret_what)
{
	reader->offset = offset;
	*ret_what = what;
	return LEDGER_E_CORRUPT;
}

/* Sector 'missing' of the next edit is zeros: what follows may only be more of that edit, and
 * zeros. The first edit was synced before anybody named the file. */
static int check_torn(struct ledger_reader *reader, size_t missing, uint32_t count,
		      const char **ret_what)
{
	uint8_t space[LEDGER_SECTOR_SIZE];
	size_t first = reader->offset;
	struct sector sector;

	if (reader->number == 0)
		return damaged(reader, first, "the first edit isn't whole", ret_what);
	for (size_t i = missing; first + i * LEDGER_SECTOR_SIZE < reader->size; i++) {
		size_t offset = first + i * LEDGER_SECTOR_SIZE;
		const uint8_t *bytes = sector_at(reader, offset, space);

		if (is_zeros(bytes))
			continue;
		if (!sector_decode(reader, bytes, &sector) ||
		    !sector_fits(reader, &sector, i, count))
			return damaged(reader, offset, "an edit before this isn't whole", ret_what);
		count = sector.count;
	}
	return LEDGER_SECTOR_E_END;
}

int ledger_reader_next(struct ledger_reader *reader, struct ledger_bytes *to, const char **ret_what)
{
	uint32_t count = 0;

	for (size_t i = 0; i == 0 || i < count; i++) {
		size_t offset = reader->offset + i * LEDGER_SECTOR_SIZE;
		uint8_t space[LEDGER_SECTOR_SIZE];
		const uint8_t *bytes = sector_at(reader, offset, space);
		struct sector sector;

		if (is_zeros(bytes))
			return check_torn(reader, i, count, ret_what);
		if (!sector_decode(reader, bytes, &sector))
			return damaged(reader, offset, "the checksum is wrong", ret_what);
		if (!sector_fits(reader, &sector, i, count))
			return damaged(reader, offset, "a sector is out of place", ret_what);
		count = sector.count;
		ledger_bytes_add(to, bytes + LEDGER_SECTOR_HEAD, sector.used);
	}
	if (to->failed)
		return -ENOMEM;
	reader->offset += (size_t)count * LEDGER_SECTOR_SIZE;
	reader->number++;
	return 0;
}

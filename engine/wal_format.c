/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/wal_format.h"

#include "base/byteorder.h"
#include "base/crc.h"

#include <string.h>

static const uint8_t wal_magic[8] = {'V', '3', 'W', 'A', 'L', 0, 0, 0};
static const uint8_t database_magic[8] = {'S', 'Q', 'L', 'T', 'G', 'F', 0, 3};

#define DATABASE_VERSION 4
#define DATABASE_SCHEMA  1

/* Where the header's checksum stands, behind all that it covers. */
#define HEADER_AT_CRC (WAL_HEADER_SIZE - 4)

static bool is_zero(const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (bytes[i])
			return false;
	return true;
}

static bool is_page_size(uint32_t size)
{
	return size == 4096 || size == 8192 || size == 16384;
}

void wal_header_encode(const struct wal_header *header, uint8_t bytes[WAL_HEADER_SIZE])
{
	memset(bytes, 0, WAL_HEADER_SIZE);
	memcpy(bytes, wal_magic, sizeof(wal_magic));
	store_le32(bytes + 8, header->version);
	store_le32(bytes + 12, header->page_size);
	store_le64(bytes + 16, header->created_at);
	store_le64(bytes + 24, header->current_lsn);
	store_le64(bytes + 32, header->committed_lsn);
	store_le64(bytes + 40, header->checkpointed_lsn);
	if (header->version == 1 || wal_header_is_plain(header))
		return;
	store_le32(bytes + 48, header->number);
	store_le32(bytes + 52, header->salt);
	store_le32(bytes + 56, header->store);
	store_le32(bytes + HEADER_AT_CRC, crc32c(bytes, HEADER_AT_CRC));
}

/* The last 16 bytes: reserved in version 1, in version 2 Tern's own or a plain header's zeros. */
static bool tail_holds(uint32_t version, const uint8_t bytes[WAL_HEADER_SIZE])
{
	if (is_zero(bytes + 48, WAL_HEADER_SIZE - 48))
		return true;
	return version == 2 && load_le32(bytes + 48) != 0 &&
	       load_le32(bytes + HEADER_AT_CRC) == crc32c(bytes, HEADER_AT_CRC);
}

int wal_header_decode(const uint8_t bytes[WAL_HEADER_SIZE], struct wal_header *ret_header)
{
	struct wal_header header = {
		.version = load_le32(bytes + 8),
		.page_size = load_le32(bytes + 12),
		.created_at = load_le64(bytes + 16),
		.current_lsn = load_le64(bytes + 24),
		.committed_lsn = load_le64(bytes + 32),
		.checkpointed_lsn = load_le64(bytes + 40),
		.number = load_le32(bytes + 48),
		.salt = load_le32(bytes + 52),
		.store = load_le32(bytes + 56),
	};

	if (is_zero(bytes, WAL_HEADER_SIZE))
		return WAL_FORMAT_E_EMPTY;
	if (memcmp(bytes, wal_magic, sizeof(wal_magic)) != 0 ||
	    (header.version != 1 && header.version != 2) || !is_page_size(header.page_size))
		return WAL_FORMAT_E_INVALID;
	if (header.current_lsn == 0 || header.committed_lsn > header.current_lsn ||
	    header.checkpointed_lsn > header.committed_lsn || !tail_holds(header.version, bytes))
		return WAL_FORMAT_E_INVALID;
	*ret_header = header;
	return 0;
}

int wal_frame_encode(const struct record *record, uint8_t *bytes)
{
	size_t size = record_size(record);
	int result = record_encode(record, bytes + WAL_FRAME_HEAD);

	if (result)
		return result;
	store_le32(bytes, (uint32_t)size);
	store_le32(bytes + 4, crc32c(bytes + WAL_FRAME_HEAD, size));
	return 0;
}

int wal_frame_decode(uint32_t version, const uint8_t *bytes, size_t size, struct record *ret_record,
		     size_t *ret_size)
{
	size_t head = version == 1 ? WAL_FRAME_HEAD_V1 : WAL_FRAME_HEAD;
	uint32_t record_bytes;

	if (size < head) {
		*ret_size = head;
		return WAL_FORMAT_E_SHORT;
	}
	if (is_zero(bytes, head))
		return WAL_FORMAT_E_EMPTY;
	record_bytes = load_le32(bytes);
	if (record_bytes < WAL_RECORD_SIZE_MIN || record_bytes > RECORD_SIZE_MAX)
		return WAL_FORMAT_E_INVALID;
	if (record_bytes > size - head) {
		*ret_size = head + record_bytes;
		return WAL_FORMAT_E_SHORT;
	}
	if (version != 1 && load_le32(bytes + 4) != crc32c(bytes + head, record_bytes))
		return WAL_FORMAT_E_INVALID;
	if (record_decode(bytes + head, record_bytes, ret_record))
		return WAL_FORMAT_E_INVALID;
	*ret_size = head + record_bytes;
	return 0;
}

void wal_database_encode(const struct wal_database *database, uint8_t bytes[WAL_DATABASE_SIZE])
{
	memset(bytes, 0, WAL_DATABASE_SIZE);
	memcpy(bytes, database_magic, sizeof(database_magic));
	store_be32(bytes + 8, DATABASE_VERSION);
	store_be32(bytes + 12, database->flags);
	store_be64(bytes + 16, database->node_count);
	store_be64(bytes + 24, database->edge_count);
	store_be32(bytes + 32, DATABASE_SCHEMA);
	store_be64(bytes + 40, database->node_root);
	store_be64(bytes + 48, database->edge_root);
	store_be64(bytes + 56, database->outgoing_offset);
	store_be64(bytes + 64, database->incoming_offset);
	store_be64(bytes + 72, database->free_offset);
	store_be64(bytes + 80, database->index_root);
	store_be64(bytes + 88, database->free_head);
	store_be64(bytes + 96, database->page_count);
	store_be32(bytes + 104, database->page_size);
	store_be32(bytes + 108, database->height);
}

/* Each is 0 or behind the header, and those that aren't 0 don't descend. */
static bool offsets_hold(const struct wal_database *database)
{
	const uint64_t offsets[] = {database->outgoing_offset, database->incoming_offset,
				    database->free_offset};
	uint64_t least = WAL_DATABASE_SIZE;

	for (unsigned i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		if (offsets[i] == 0)
			continue;
		if (offsets[i] < least)
			return false;
		least = offsets[i];
	}
	return true;
}

static bool pages_hold(const struct wal_database *database)
{
	uint64_t count = database->page_count;

	return is_page_size(database->page_size) && database->height <= WAL_DATABASE_HEIGHT_MAX &&
	       database->node_root <= count && database->edge_root <= count &&
	       database->index_root <= count && database->free_head <= count;
}

static bool fixed_fields_hold(const uint8_t bytes[WAL_DATABASE_SIZE])
{
	uint32_t flags = load_be32(bytes + 12);

	return memcmp(bytes, database_magic, sizeof(database_magic)) == 0 &&
	       load_be32(bytes + 8) == DATABASE_VERSION &&
	       load_be32(bytes + 32) == DATABASE_SCHEMA && load_be32(bytes + 36) == 0 &&
	       (flags & WAL_DATABASE_FLAG_REQUIRED) == WAL_DATABASE_FLAG_REQUIRED &&
	       (flags & ~(uint32_t)(WAL_DATABASE_FLAG_REQUIRED | WAL_DATABASE_FLAG_DYNAMIC)) == 0;
}

int wal_database_decode(const uint8_t *bytes, size_t size, struct wal_database *ret_database)
{
	struct wal_database database;

	if (size != WAL_DATABASE_SIZE || !fixed_fields_hold(bytes))
		return WAL_FORMAT_E_INVALID;
	database = (struct wal_database){
		.flags = load_be32(bytes + 12),
		.node_count = load_be64(bytes + 16),
		.edge_count = load_be64(bytes + 24),
		.node_root = load_be64(bytes + 40),
		.edge_root = load_be64(bytes + 48),
		.outgoing_offset = load_be64(bytes + 56),
		.incoming_offset = load_be64(bytes + 64),
		.free_offset = load_be64(bytes + 72),
		.index_root = load_be64(bytes + 80),
		.free_head = load_be64(bytes + 88),
		.page_count = load_be64(bytes + 96),
		.page_size = load_be32(bytes + 104),
		.height = load_be32(bytes + 108),
	};
	if (!offsets_hold(&database) || !pages_hold(&database))
		return WAL_FORMAT_E_INVALID;
	*ret_database = database;
	return 0;
}

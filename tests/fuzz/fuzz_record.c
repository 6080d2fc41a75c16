/* SPDX-License-Identifier: Apache-2.0 */

/* Records and database headers from hostile bytes: what is accepted is encoded to the same bytes.
 */

#include "engine/wal_format.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_record(const uint8_t *bytes, size_t size)
{
	struct record record;
	uint8_t *again;

	if (record_decode(bytes, size, &record))
		return;
	again = malloc(size);
	if (!again || record_size(&record) != size || record_encode(&record, again) ||
	    memcmp(again, bytes, size) != 0 || !record_name(record.type))
		abort();
	free(again);
}

static void check_database(const uint8_t *bytes, size_t size)
{
	uint8_t again[WAL_DATABASE_SIZE];
	struct wal_database database;

	if (wal_database_decode(bytes, size, &database))
		return;
	wal_database_encode(&database, again);
	if (memcmp(again, bytes, size) != 0)
		abort();
}

static void check_header(const uint8_t *bytes, size_t size)
{
	uint8_t again[WAL_HEADER_SIZE];
	struct wal_header header;

	if (size < WAL_HEADER_SIZE || wal_header_decode(bytes, &header))
		return;
	wal_header_encode(&header, again);
	if (memcmp(again, bytes, sizeof(again)) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	check_record(bytes, size);
	check_database(bytes, size);
	check_header(bytes, size);
	return 0;
}

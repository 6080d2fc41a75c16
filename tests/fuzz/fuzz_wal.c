/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A log from hostile bytes, as a file by itself and as a store's first segment: reading ends, LSNs
 * rise, an error has one line of text, salvage gives no less than reading does, and what was cut
 * ends where it was cut.
 */

#include "engine/wal_reader.h"
#include "tests/lib/faulty.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_end(struct wal_reader *reader, int result)
{
	const char *error = wal_reader_error(reader);

	if (result == WAL_READER_E_CORRUPT && (!*error || strchr(error, '\n')))
		abort();
	if (result == WAL_READER_E_TORN && wal_reader_cut(reader))
		abort();
}

/* Returns the count of records; '*ret_result' is how it ended. */
static uint64_t read_all(struct faulty *disk, const char *file, bool salvage, int *ret_result)
{
	const struct wal_reader_options options = {.file = file, .salvage = salvage};
	struct wal_reader *reader;
	struct record record;
	char error[256] = "";
	uint64_t last = 0, count;
	int result = wal_reader_open(faulty_io(disk), &options, &reader, error, sizeof(error));

	*ret_result = result;
	if (result) {
		if (result == WAL_READER_E_CORRUPT && (!*error || strchr(error, '\n')))
			abort();
		return 0;
	}
	while ((result = wal_reader_next(reader, &record)) == 0) {
		if (record.lsn <= last || !record_name(record.type))
			abort();
		last = record.lsn;
	}
	count = wal_reader_stats(reader).records;
	*ret_result = result;
	check_end(reader, result);
	wal_reader_close(reader);
	return count;
}

static void check(const char *name, bool single, const uint8_t *bytes, size_t size)
{
	const char *file = single ? name : NULL;
	struct faulty *disk = faulty_new(1);
	uint64_t count, salvaged;
	int result;

	faulty_file_set(disk, name, bytes, size);
	salvaged = read_all(disk, file, /* salvage= */ true, &result);
	if (result == WAL_READER_E_TORN) /* that cut it */
		faulty_file_set(disk, name, bytes, size);
	count = read_all(disk, file, /* salvage= */ false, &result);
	if (salvaged < count)
		abort();
	if (result == WAL_READER_E_TORN &&
	    (read_all(disk, file, /* salvage= */ false, &result) != count ||
	     result != WAL_READER_E_END))
		abort();
	faulty_free(disk);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	check("wal-00000001", /* single= */ true, bytes, size);
	check("wal-00000001", /* single= */ false, bytes, size);
	return 0;
}

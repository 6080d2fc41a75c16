/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/wal_folder.h"

#include "base/check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX       "wal-"
#define DIGIT_COUNT  8
#define PREFIX_COUNT (sizeof(PREFIX) - 1)

/* No log comes to it; behind the largest number they would begin anew, before those in use. */
#define NUMBER_MAX (UINT32_MAX >> 1)

/* Files that a list has room for at first; it doubles up to WAL_SEGMENT_MAX. */
#define ROOM_FIRST 64

struct listing {
	struct wal_file *files;
	uint32_t count;
	uint32_t room;
};

void wal_folder_name(uint32_t number, char name[IO_NAME_MAX + 1])
{
	snprintf(name, IO_NAME_MAX + 1, PREFIX "%08" PRIx32, number);
}

uint32_t wal_folder_number(const char *name)
{
	char canonical[IO_NAME_MAX + 1];
	uint32_t number;

	if (strncmp(name, PREFIX, PREFIX_COUNT) != 0 || strlen(name) != PREFIX_COUNT + DIGIT_COUNT)
		return 0;
	number = (uint32_t)strtoul(name + PREFIX_COUNT, NULL, 16);
	wal_folder_name(number, canonical);
	return strcmp(name, canonical) == 0 && number <= NUMBER_MAX ? number : 0;
}

static int grow(struct listing *listing)
{
	uint32_t room = listing->room * 2;
	struct wal_file *files;

	if (listing->room == WAL_SEGMENT_MAX)
		return -EMFILE;
	files = realloc(listing->files, room * sizeof(*files));
	if (!files)
		return -ENOMEM;
	listing->files = files;
	listing->room = room;
	return 0;
}

static int take_name(void *context, const char *name)
{
	struct listing *listing = context;
	uint32_t number = wal_folder_number(name);

	if (number == 0)
		return 0;
	if (listing->count == listing->room) {
		int result = grow(listing);

		if (result)
			return result;
	}
	listing->files[listing->count++] = (struct wal_file){.number = number};
	return 0;
}

static int by_number(const void *left, const void *right)
{
	const struct wal_file *a = left, *b = right;

	return (a->number > b->number) - (a->number < b->number);
}

static enum wal_file_state state_of(const struct wal_file *file, int result)
{
	if (result == WAL_FORMAT_E_EMPTY)
		return WAL_FILE_SPARE;
	if (result || file->header.version != 2 || file->header.number > file->number ||
	    wal_header_is_plain(&file->header))
		return WAL_FILE_BAD;
	return file->header.number == file->number ? WAL_FILE_BEGUN : WAL_FILE_SPARE;
}

/* A file that is too short for a header was being made when the power went. */
static int look_into(struct io_file *handle, struct wal_file *file)
{
	uint8_t bytes[WAL_HEADER_SIZE];
	int result = io_size(handle, &file->size);

	if (result)
		return result;
	file->state = WAL_FILE_SPARE;
	if (file->size < WAL_HEADER_SIZE)
		return 0;
	result = io_read(handle, 0, bytes, sizeof(bytes));
	if (result)
		return result < 0 ? result : -EIO;
	file->state = state_of(file, wal_header_decode(bytes, &file->header));
	return 0;
}

static int look(struct io *io, struct wal_file *file)
{
	char name[IO_NAME_MAX + 1];
	struct io_file *handle;
	int result;

	wal_folder_name(file->number, name);
	result = io_open(io, name, IO_READ_ONLY, &handle);
	if (result)
		return result < 0 ? result : -ENOENT;
	result = look_into(handle, file);
	io_close(handle);
	return result;
}

int wal_folder_list(struct io *io, struct wal_file **ret_files, uint32_t *ret_count)
{
	struct listing listing = {.files = calloc(ROOM_FIRST, sizeof(struct wal_file)),
				  .room = ROOM_FIRST};
	int result;

	if (!listing.files)
		return -ENOMEM;
	result = io_list(io, take_name, &listing);
	qsort(listing.files, listing.count, sizeof(struct wal_file), by_number);
	for (uint32_t i = 0; !result && i < listing.count; i++)
		result = look(io, &listing.files[i]);
	if (result) {
		free(listing.files);
		return result;
	}
	*ret_files = listing.files;
	*ret_count = listing.count;
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

#include "client/wal_file.h"

#include "client/cmd.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

static bool fail(const char *path, const char *why)
{
	(void)cmd_fail("%s: %s", path, why);
	return false;
}

static bool is_folder(const char *path)
{
	struct stat about;

	return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

/* The reader's text begins with the file's name in its io. */
static void say(const struct wal_file_source *source, const char *text)
{
	if (source->is_folder)
		(void)cmd_fail("%s/%s", source->path, text);
	else
		(void)cmd_fail("%s%s", source->path, text + strlen(ONE_FILE_NAME));
}

static bool open_io(struct wal_file_source *source)
{
	int result;

	if (source->is_folder) {
		result = io_plain_new(source->path, /* create= */ false, &source->io);
	} else {
		result = one_file_open(source->path, &source->file);
		source->io = &source->file.io;
	}
	if (result)
		return fail(source->path, result < 0 ? strerror(-result) : "no such folder");
	return true;
}

static bool open_reader(struct wal_file_source *source)
{
	const struct wal_reader_options options = {.file = source->is_folder ? NULL : ONE_FILE_NAME,
						   .salvage = true};
	char error[256] = "";
	int result = wal_reader_open(source->io, &options, &source->reader, error, sizeof(error));

	if (result == 0)
		return true;
	if (*error)
		say(source, error);
	else if (result == -ENOENT)
		fail(source->path, "no segments of a log (wal-*) here");
	else
		fail(source->path, strerror(-result));
	return false;
}

bool wal_file_open(const char *path, struct wal_file_source *source)
{
	*source = (struct wal_file_source){
		.path = path, .is_folder = is_folder(path), .file = {.handle = -1}};
	if (open_io(source) && open_reader(source))
		return true;
	wal_file_close(source);
	return false;
}

void wal_file_close(struct wal_file_source *source)
{
	wal_reader_close(source->reader);
	io_free(source->io);
	one_file_close(&source->file);
}

void wal_file_holes(const struct wal_file_source *source, uint64_t *holes)
{
	uint64_t count = wal_reader_stats(source->reader).holes;

	if (count != *holes)
		say(source, wal_reader_error(source->reader));
	*holes = count;
}

int wal_file_end(const struct wal_file_source *source, int result)
{
	struct wal_place place = wal_reader_place(source->reader);
	bool file = !source->is_folder;

	if (result < 0)
		return cmd_fail("%s: %s", source->path, strerror(-result));
	if (result == WAL_READER_E_CORRUPT) {
		say(source, wal_reader_error(source->reader));
		return CMD_FAILED;
	}
	if (result == WAL_READER_E_TORN)
		fprintf(stderr,
			"tern: %s%s%s at offset %" PRIu64 ": the end is torn: LSN %" PRIu64
			" never became durable\n",
			source->path, file ? "" : "/", file ? "" : place.file, place.offset,
			place.lsn);
	return wal_reader_stats(source->reader).holes > 0 ? CMD_FAILED : CMD_DONE;
}

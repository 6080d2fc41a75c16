/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Cmd_wal - logs from and to other programs: version 2 to version 1, and back
 *
 * A version 1 file has no place for Tern's own records. They are left out, and the numbers behind
 * them close up, since they have to rise by 1.
 */

#include "base/byteorder.h"
#include "base/crc.h"
#include "base/rand.h"
#include "client/cmd.h"
#include "client/wal_file.h"
#include "engine/wal_folder.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char about_export[] =
	"Writes the records of a log as a version 1 file. Tern's own records are left out.\n";
static const char about_import[] =
	"Makes a log file of version 1 the first segment of a log of version 2, in an empty "
	"folder.\n";

/* Bytes that are written at once. */
#define PIECE_SIZE (UINT32_C(1) << 20)

/* Room for zeros behind the last frame, and to fill its block. */
#define PIECE_ROOM (PIECE_SIZE + WAL_FRAME_HEAD + RECORD_SIZE_MAX + 2 * IO_ALIGN)

struct exported {
	uint64_t first; /* LSN; 0: no record yet */
	uint64_t next;
	uint64_t left_out;
};

static bool is_own(enum record_type type)
{
	return type >= RECORD_KV_MERGE;
}

static bool write_header(FILE *file, const struct wal_header *from, const struct exported *done)
{
	const struct wal_header header = {
		.version = 1,
		.page_size = from->page_size,
		.created_at = from->created_at,
		.current_lsn = done->next ? done->next : 1,
		.committed_lsn = done->next ? done->next - 1 : 0,
	};
	uint8_t bytes[WAL_HEADER_SIZE];

	wal_header_encode(&header, bytes);
	return fseek(file, 0, SEEK_SET) == 0 && fwrite(bytes, sizeof(bytes), 1, file) == 1;
}

static bool write_record(FILE *file, struct record *record, uint8_t *bytes, struct exported *done)
{
	uint8_t head[WAL_FRAME_HEAD_V1];
	size_t size = record_size(record);

	if (done->first == 0)
		done->first = done->next = record->lsn;
	record->lsn = done->next++;
	(void)record_encode(record, bytes); /* it was decoded, so it has a size that can be */
	store_le32(head, (uint32_t)size);
	return fwrite(head, sizeof(head), 1, file) == 1 && fwrite(bytes, size, 1, file) == 1;
}

static int export_records(const struct wal_file_source *source, FILE *file, uint8_t *bytes,
			  struct exported *done)
{
	struct record record;
	int result;

	while ((result = wal_reader_next(source->reader, &record)) == 0) {
		if (wal_reader_stats(source->reader).holes > 0)
			return cmd_fail("%s: %s", source->path, wal_reader_error(source->reader));
		if (is_own(record.type))
			done->left_out++;
		else if (!write_record(file, &record, bytes, done))
			return cmd_fail("%s", strerror(errno));
	}
	return wal_file_end(source, result);
}

static int export_to(const struct wal_file_source *source, FILE *file, const char *to)
{
	const struct wal_header header = wal_reader_header(source->reader);
	struct exported done = {0};
	uint8_t *bytes = malloc(RECORD_SIZE_MAX);
	int status;

	if (!bytes)
		return cmd_fail("no memory");
	if (write_header(file, &header, &done))
		status = export_records(source, file, bytes, &done);
	else
		status = cmd_fail("%s: %s", to, strerror(errno));
	free(bytes);
	if (status)
		return status;
	if (!write_header(file, &header, &done) || fflush(file) || fsync(fileno(file)))
		return cmd_fail("%s: %s", to, strerror(errno));
	printf("%" PRIu64 " records from LSN %" PRIu64 " on; %" PRIu64 " of Tern's own left out\n",
	       done.next - done.first, done.first, done.left_out);
	return CMD_DONE;
}

int cmd_wal_export(int argc, char **argv)
{
	const char *from = NULL, *to = NULL;
	const struct cmd_option options[] = {
		{"FROM", NULL, "the log: a file, or a folder with segments", .text = &from,
		 .positional = true, .required = true},
		{"TO", NULL, "the file to write, which isn't there", .text = &to,
		 .positional = true, .required = true},
	};
	struct wal_file_source source;
	FILE *file;
	int status;

	if (!cmd_options("wal export", about_export, options, ARRAY_COUNT(options), argc, argv,
			 &status))
		return status;
	if (!wal_file_open(from, &source))
		return CMD_FAILED;
	file = fopen(to, "wbxe");
	if (!file) {
		status = cmd_fail("%s: %s", to, strerror(errno));
	} else {
		status = export_to(&source, file, to);
		if (fclose(file) && !status)
			status = cmd_fail("%s: %s", to, strerror(errno));
		if (status)
			(void)unlink(to);
	}
	wal_file_close(&source);
	return status;
}

/* ---- import ---- */

struct imported {
	struct io_file *file;
	uint8_t *bytes; /* PIECE_ROOM */
	size_t used;
	uint64_t offset; /* of bytes[0] */
	uint64_t count;
};

static int find_any(void *context, const char *name)
{
	return 1;
}

static int write_piece(struct imported *done)
{
	int result = io_write(done->file, done->offset, done->bytes, done->used);

	done->offset += done->used;
	done->used = 0;
	return result;
}

static int import_header(const struct wal_header *from, uint64_t first, uint8_t *bytes)
{
	struct wal_header header = {
		.version = 2,
		.page_size = from->page_size,
		.created_at = from->created_at,
		.current_lsn = first,
		.committed_lsn = first - 1,
		.number = 1,
	};
	int result = rand_secret(&header.salt, sizeof(header.salt));

	if (!result)
		wal_header_encode(&header, bytes);
	return result;
}

/* Zeros follow the last frame, up to whole blocks. */
static int end_segment(struct io *io, struct imported *done)
{
	size_t end = align_up((size_t)(done->offset + done->used) + 8, IO_ALIGN);
	size_t size = end - (size_t)done->offset;
	int result;

	memset(done->bytes + done->used, 0, size - done->used);
	done->used = size;
	result = write_piece(done);
	if (!result)
		result = io_sync(done->file);
	return result ? result : io_sync_folder(io);
}

static int import_records(const struct wal_file_source *source, struct io *io,
			  struct imported *done)
{
	const struct wal_header header = wal_reader_header(source->reader);
	struct record record;
	int result, written = 0;

	while (!written && (result = wal_reader_next(source->reader, &record)) == 0) {
		if (wal_reader_stats(source->reader).holes > 0)
			return cmd_fail("%s: %s", source->path, wal_reader_error(source->reader));
		if (done->count++ == 0) {
			written = import_header(&header, record.lsn, done->bytes);
			done->used = WAL_HEADER_SIZE;
		}
		(void)wal_frame_encode(&record, done->bytes + done->used);
		done->used += wal_frame_size(&record);
		if (!written && done->used >= PIECE_SIZE)
			written = write_piece(done);
	}
	if (!written && result == WAL_READER_E_END && done->count == 0)
		return cmd_fail("%s: no records in it", source->path);
	if (!written && (result == WAL_READER_E_END || result == WAL_READER_E_TORN))
		written = end_segment(io, done);
	return written ? cmd_fail("%s", strerror(-written)) : wal_file_end(source, result);
}

static int import_into(const struct wal_file_source *source, struct io *io, const char *to)
{
	struct imported done = {.bytes = malloc(PIECE_ROOM)};
	char name[IO_NAME_MAX + 1];
	int result, status;

	if (!done.bytes)
		return cmd_fail("no memory");
	wal_folder_name(1, name);
	result = io_list(io, find_any, NULL);
	if (result)
		status = cmd_fail("%s: not empty; import into a folder of its own", to);
	else if ((result = io_open(io, name, IO_CREATE | IO_EXCLUSIVE, &done.file)) != 0)
		status = cmd_fail("%s: %s", to, strerror(result < 0 ? -result : EEXIST));
	else
		status = import_records(source, io, &done);
	io_close(done.file);
	if (status && done.file)
		(void)io_remove(io, name);
	free(done.bytes);
	if (!status)
		printf("%" PRIu64 " records in %s/%s\n", done.count, to, name);
	return status;
}

int cmd_wal_import(int argc, char **argv)
{
	const char *from = NULL, *to = NULL;
	const struct cmd_option options[] = {
		{"FROM", NULL, "the log file", .text = &from, .positional = true, .required = true},
		{"TO", NULL, "the folder; made if it isn't there", .text = &to, .positional = true,
		 .required = true},
	};
	struct wal_file_source source;
	struct io *io;
	int status, result;

	if (!cmd_options("wal import", about_import, options, ARRAY_COUNT(options), argc, argv,
			 &status))
		return status;
	if (!wal_file_open(from, &source))
		return CMD_FAILED;
	result = io_plain_new(to, /* create= */ true, &io);
	if (result) {
		status = cmd_fail("%s: %s", to, strerror(result < 0 ? -result : ENOENT));
	} else {
		status = import_into(&source, io, to);
		io_free(io);
	}
	wal_file_close(&source);
	return status;
}

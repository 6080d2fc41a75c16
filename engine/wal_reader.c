/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Wal reader - follows the records from file to file, and judges where they end
 *
 * Where the next record, LSN e, isn't:
 *
 *   the next segment begins with e            go on there
 *   it begins with more, or its header is bad hole: e was durable before it was begun
 *   there is none; a proof lies behind (wal_scan.h), or
 *   the caller knows e to have been durable   hole
 *   there is none; something lies here, or
 *   a whole frame behind                      torn end
 *   there is none, and nothing lies here      end
 *
 * What an earlier use of the file left has smaller LSNs than e, so it is none of these.
 */

#include "engine/wal_reader.h"

#include "base/check.h"
#include "base/defs.h"
#include "engine/wal_folder.h"
#include "engine/wal_scan.h"
#include "engine/wal_tail.h"
#include "engine/wal_window.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct wal_reader {
	struct io *io; /* borrowed */
	struct wal_reader_options options;
	struct wal_file *files; /* begun and bad ones */
	uint32_t file_count;
	uint32_t file_index; /* of the open one */
	char name[IO_NAME_MAX + 1];
	struct wal_header header;
	struct wal_window window; /* without a file the index-th is still to be opened */
	struct wal_tail tail;
	uint64_t offset; /* of the next frame */
	uint64_t lsn;    /* that it should have; 0: any */
	struct wal_place place;
	struct wal_reader_stats stats;
	uint64_t holes_told; /* of stats.holes */
	bool behind_hole;    /* what was last given out is the first behind one */
	int finished;        /* what wal_reader_next() returns from here on */
	char error[256];
};

/* Logs of others have no Durable records, and their headers say other things. */
static bool is_foreign(const struct wal_header *header)
{
	return header->version == 1 || wal_header_is_plain(header);
}

PRINTF_LIKE(2, 3) static int corrupt(struct wal_reader *reader, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(reader->error, sizeof(reader->error), format, args);
	va_end(args);
	return WAL_READER_E_CORRUPT;
}

static void set_place(struct wal_reader *reader)
{
	memcpy(reader->place.file, reader->name, sizeof(reader->place.file));
	reader->place.offset = reader->offset;
	reader->place.lsn = reader->lsn;
}

/* ---- files ---- */

static int check_store(struct wal_reader *reader)
{
	if (reader->options.store == 0 || reader->header.store == 0 ||
	    is_foreign(&reader->header) || reader->header.store == reader->options.store)
		return 0;
	return corrupt(reader, "%s: of store %08" PRIx32 ", not %08" PRIx32, reader->name,
		       reader->header.store, reader->options.store);
}

static int check_header(struct wal_reader *reader)
{
	const uint8_t *bytes;
	size_t size;
	int result = wal_window_at(&reader->window, 0, WAL_HEADER_SIZE, &bytes, &size);

	if (result)
		return result;
	if (size < WAL_HEADER_SIZE)
		return corrupt(reader, "%s: no log: %zu bytes are no header", reader->name, size);
	result = wal_header_decode(bytes, &reader->header);
	if (result)
		return corrupt(reader, "%s at offset 0: %s", reader->name,
			       result == WAL_FORMAT_E_EMPTY
				       ? "zeros and no header"
				       : "the header is damaged, or it is no log");
	return check_store(reader);
}

static bool has_next(const struct wal_reader *reader)
{
	return reader->files && reader->file_index + 1 < reader->file_count;
}

/* Opens reader->name. The last segment was read before, by wal_reader_rewrite(): it is in memory.
 */
static int open_file(struct wal_reader *reader)
{
	int result = wal_window_open(&reader->window, reader->name,
				     reader->options.ahead && has_next(reader));

	if (result)
		return result;
	reader->tail = (struct wal_tail){0};
	reader->offset = 0;
	result = check_header(reader);
	if (result)
		return result;
	reader->offset = WAL_HEADER_SIZE;
	return 0;
}

static int open_index(struct wal_reader *reader, uint32_t index)
{
	wal_window_close(&reader->window);
	reader->file_index = index;
	wal_folder_name(reader->files[index].number, reader->name);
	reader->offset = 0;
	if (reader->files[index].state == WAL_FILE_BAD)
		return corrupt(reader, "%s at offset 0: the header is damaged (LSN %" PRIu64 ")",
			       reader->name, reader->lsn);
	return open_file(reader);
}

/* The last segment that begins at or before 'from', else the first there is. */
static uint32_t find_first(const struct wal_reader *reader)
{
	uint32_t index = 0;

	for (uint32_t i = 0; i < reader->file_count; i++) {
		const struct wal_file *file = &reader->files[i];

		if (file->state == WAL_FILE_BEGUN &&
		    file->header.current_lsn <= reader->options.from)
			index = i;
	}
	return index;
}

/* The log begins behind what is asked for: there were segments before it. */
static int check_beginning(struct wal_reader *reader)
{
	uint64_t from = reader->options.from;

	if (from == 0 || reader->lsn <= from)
		return 0;
	corrupt(reader,
		"%s at offset 0: the log begins with LSN %" PRIu64 ", and LSN %" PRIu64
		" is asked for: segments before it are missing",
		reader->name, reader->lsn, from);
	if (!reader->options.salvage)
		return WAL_READER_E_CORRUPT;
	reader->stats.holes++;
	reader->stats.missing += reader->lsn - from;
	return 0;
}

static int open_folder(struct wal_reader *reader)
{
	uint32_t index, kept = 0;
	int result = wal_folder_list(reader->io, &reader->files, &reader->file_count);

	if (result)
		return result;
	reader->stats.memory += reader->file_count * sizeof(struct wal_file);
	for (uint32_t i = 0; i < reader->file_count; i++)
		if (reader->files[i].state != WAL_FILE_SPARE)
			reader->files[kept++] = reader->files[i];
	reader->file_count = kept;
	if (kept == 0)
		return -ENOENT;
	index = find_first(reader);
	if (reader->files[index].state == WAL_FILE_BAD && reader->options.salvage) {
		reader->file_index = index;
		reader->lsn = reader->options.from;
		return 0;
	}
	result = open_index(reader, index);
	if (result)
		return result;
	reader->lsn = reader->header.current_lsn;
	return check_beginning(reader);
}

/* A segment's header says the first LSN; those of others are taken as they come. */
static int open_single(struct wal_reader *reader)
{
	int result;

	if (strlen(reader->options.file) > IO_NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(reader->name, reader->options.file, strlen(reader->options.file) + 1);
	result = open_file(reader);
	if (!result && !is_foreign(&reader->header))
		reader->lsn = reader->header.current_lsn;
	return result;
}

int wal_reader_open(struct io *io, const struct wal_reader_options *options,
		    struct wal_reader **ret_reader, char *error, size_t error_size)
{
	struct wal_reader *reader = calloc(1, sizeof(*reader));
	int result;

	if (!reader)
		return -ENOMEM;
	reader->io = io;
	reader->options = *options;
	result = wal_window_init(io, options->ahead, &reader->window);
	reader->stats.memory = sizeof(*reader) + wal_window_memory(&reader->window);
	if (!result)
		result = options->file ? open_single(reader) : open_folder(reader);
	if (result) {
		if (error_size > 0)
			snprintf(error, error_size, "%s", reader->error);
		wal_reader_close(reader);
		return result;
	}
	reader->options.file = NULL;
	set_place(reader);
	*ret_reader = reader;
	return 0;
}

void wal_reader_close(struct wal_reader *reader)
{
	if (!reader)
		return;
	wal_window_deinit(&reader->window);
	free(reader->files);
	free(reader);
}

/* ---- where records end ---- */

static const struct wal_file *next_file(const struct wal_reader *reader)
{
	return &reader->files[reader->file_index + 1];
}

/* The next record is to have that LSN. */
static void expect(struct wal_reader *reader, uint64_t lsn)
{
	if (reader->lsn > 0 && lsn > reader->lsn)
		reader->stats.missing += lsn - reader->lsn;
	reader->lsn = lsn;
}

/* Goes on at 'offset' of the open file, behind a hole. */
static void skip_to(struct wal_reader *reader, uint64_t offset, uint64_t lsn)
{
	reader->stats.skipped += offset - reader->offset;
	reader->offset = offset;
	expect(reader, lsn);
}

/* Goes on in the next file. Returns 0, WAL_READER_E_CORRUPT or a negative errno. */
static int go_on(struct wal_reader *reader)
{
	int result = open_index(reader, reader->file_index + 1);

	if (result)
		return result;
	expect(reader, reader->header.current_lsn);
	return 0;
}

/* What is asked about the rest of the file. */
static struct wal_scan scan_here(const struct wal_reader *reader)
{
	return (struct wal_scan){
		.version = reader->header.version,
		.salt = reader->header.salt,
		.is_foreign = is_foreign(&reader->header),
		.lsn = reader->lsn,
		.offset = reader->offset,
	};
}

/* Behind a hole: the first whole frame in this file, else the next file; else there is nothing
 * left. */
static int salvage(struct wal_reader *reader)
{
	struct wal_scan scan = scan_here(reader);
	int result;

	if (reader->window.file) {
		result = wal_scan_next(&scan, &reader->window);
		if (result)
			return result;
		if (scan.found) {
			skip_to(reader, scan.found_offset, scan.found_lsn);
			return 0;
		}
		skip_to(reader, reader->window.file_size, reader->lsn);
	}
	while (has_next(reader)) {
		if (next_file(reader)->state == WAL_FILE_BEGUN)
			return go_on(reader);
		reader->stats.skipped += next_file(reader)->size;
		reader->file_index++;
	}
	return WAL_READER_E_END;
}

/* There is a segment behind: 0 to go on there. */
static int judge_by_next(struct wal_reader *reader)
{
	const struct wal_file *next = next_file(reader);
	char name[IO_NAME_MAX + 1];

	wal_folder_name(next->number, name);
	if (next->state == WAL_FILE_BAD)
		return corrupt(reader, "%s at offset 0: the header is damaged (LSN %" PRIu64 ")",
			       name, reader->lsn);
	if (next->header.current_lsn == reader->lsn)
		return 0;
	if (next->header.current_lsn > reader->lsn)
		return corrupt(reader,
			       "%s at offset %" PRIu64 ": no record of LSN %" PRIu64
			       ", though %s begins with %" PRIu64,
			       reader->name, reader->offset, reader->lsn, name,
			       next->header.current_lsn);
	return corrupt(reader, "%s begins with LSN %" PRIu64 ", but %s ends with %" PRIu64, name,
		       next->header.current_lsn, reader->name, reader->lsn - 1);
}

/* A log that ends before what the caller knows to be there has lost it. */
static int judge_end(struct wal_reader *reader, int end)
{
	if (reader->lsn >= reader->options.from || reader->lsn == 0)
		return end;
	return corrupt(reader,
		       "%s at offset %" PRIu64 ": the log ends before LSN %" PRIu64 ", and %" PRIu64
		       " was asked for",
		       reader->name, reader->offset, reader->lsn, reader->options.from);
}

static int corrupt_record(struct wal_reader *reader)
{
	return corrupt(reader,
		       "%s at offset %" PRIu64 ": the record of LSN %" PRIu64
		       " is damaged, and others behind it prove that it was durable",
		       reader->name, reader->offset, reader->lsn);
}

/* A log of others: a whole frame behind is all the proof there can be. */
static int judge_foreign(struct wal_reader *reader, bool empty)
{
	struct wal_scan scan = scan_here(reader);
	int result = wal_scan_next(&scan, &reader->window);

	if (result)
		return result;
	if (scan.found)
		return corrupt_record(reader);
	if (scan.gave_up)
		return corrupt(reader,
			       "%s at offset %" PRIu64 ": no record of LSN %" PRIu64
			       ", and too many bytes behind that could be records",
			       reader->name, reader->offset, reader->lsn);
	return empty ? WAL_READER_E_END : WAL_READER_E_TORN;
}

/* There is none: by what lies here ('empty': nothing) and behind. What may lie behind is cut, too.
 */
static int judge_by_rest(struct wal_reader *reader, bool empty)
{
	struct wal_scan scan = scan_here(reader);
	bool proved;
	int result = wal_scan_proof(&scan, &reader->window, &proved);

	if (result)
		return result;
	if (proved)
		return corrupt_record(reader);
	if (reader->lsn <= reader->options.durable)
		return corrupt(reader,
			       "%s at offset %" PRIu64 ": no record of LSN %" PRIu64
			       ", and all up to %" PRIu64 " was durable",
			       reader->name, reader->offset, reader->lsn, reader->options.durable);
	if (empty)
		result = wal_scan_next(&scan, &reader->window);
	if (result)
		return result;
	return judge_end(reader, empty && !scan.found && !scan.gave_up ? WAL_READER_E_END
								       : WAL_READER_E_TORN);
}

/* The next record isn't here. Returns 0 to go on. */
static int judge(struct wal_reader *reader, bool empty)
{
	int result;

	set_place(reader);
	if (has_next(reader))
		result = judge_by_next(reader);
	else if (is_foreign(&reader->header))
		result = judge_foreign(reader, empty);
	else
		result = judge_by_rest(reader, empty);
	if (result == 0)
		return go_on(reader);
	if (result != WAL_READER_E_CORRUPT || !reader->options.salvage)
		return result;
	reader->stats.holes++;
	return salvage(reader);
}

/* ---- records ---- */

/* The file ends in a few zeros. */
static bool is_short_of_zeros(const uint8_t *bytes, size_t size)
{
	static const uint8_t zeros[WAL_FRAME_HEAD];

	return size < WAL_FRAME_HEAD && memcmp(bytes, zeros, size) == 0;
}

/* Returns 0 ('*ret_size'), a WAL_FORMAT_E_* or a negative errno. */
static int read_frame(struct wal_reader *reader, struct record *ret_record, size_t *ret_size)
{
	size_t want = WAL_FRAME_HEAD, available;
	const uint8_t *bytes = NULL;
	int result;

	for (;;) {
		result = wal_window_at(&reader->window, reader->offset, want, &bytes, &available);
		if (result)
			return result;
		if (available == 0 || is_short_of_zeros(bytes, available))
			return WAL_FORMAT_E_EMPTY;
		result = wal_frame_decode(reader->header.version, bytes, available, ret_record,
					  ret_size);
		if (result != WAL_FORMAT_E_SHORT || available < want)
			return result;
		want = *ret_size;
	}
}

/* In logs of others only the order is sure. */
static bool lsn_holds(const struct wal_reader *reader, uint64_t lsn)
{
	return lsn == reader->lsn || reader->lsn == 0;
}

/* Takes one step: '*ret_got' says whether it came upon a record that is wanted. */
static int step(struct wal_reader *reader, struct record *ret_record, bool *ret_got)
{
	struct record record;
	size_t size;
	int result = read_frame(reader, &record, &size);

	*ret_got = false;
	if (result < 0)
		return result;
	if (result || !lsn_holds(reader, record.lsn))
		return judge(reader, result == WAL_FORMAT_E_EMPTY);
	reader->lsn = record.lsn;
	set_place(reader);
	wal_tail_note(&reader->tail, &record, reader->offset);
	reader->offset += size;
	reader->lsn = record.lsn + 1;
	if (record.lsn < reader->options.from)
		return 0;
	reader->options.from = record.lsn + 1;
	reader->stats.records++;
	*ret_record = record;
	*ret_got = true;
	return 0;
}

int wal_reader_next(struct wal_reader *reader, struct record *ret_record)
{
	bool got = false;
	int result = reader->finished;

	while (!result && !got)
		result = step(reader, ret_record, &got);
	if (result > 0)
		reader->finished = result;
	reader->behind_hole = reader->stats.holes > reader->holes_told;
	reader->holes_told = reader->stats.holes;
	return result;
}

bool wal_reader_is_behind_hole(const struct wal_reader *reader)
{
	return reader->behind_hole;
}

struct wal_place wal_reader_place(const struct wal_reader *reader)
{
	return reader->place;
}

const char *wal_reader_error(const struct wal_reader *reader)
{
	return reader->error;
}

/* Zeros from 'offset' to the file's end, with the window's room, which isn't needed any more. */
static int clear(struct io_file *file, uint64_t offset, struct wal_window *window)
{
	int result = 0;

	memset(window->room, 0, WAL_WINDOW_PIECE);
	while (!result && offset < window->file_size) {
		uint64_t rest = window->file_size - offset;
		size_t size = rest < WAL_WINDOW_PIECE ? (size_t)rest : WAL_WINDOW_PIECE;

		result = io_write(file, offset, window->room, size);
		offset += size;
	}
	return result;
}

int wal_reader_cut(struct wal_reader *reader)
{
	struct io_file *file;
	int result;

	CHECK(reader->finished == WAL_READER_E_TORN);
	wal_window_close(&reader->window);
	result = io_open(reader->io, reader->name, 0, &file);
	if (result)
		return result < 0 ? result : -ENOENT;
	result = clear(file, reader->offset, &reader->window);
	if (!result)
		result = io_sync(file);
	io_close(file);
	return result;
}

int wal_reader_rewrite(struct wal_reader *reader)
{
	CHECK(reader->finished == WAL_READER_E_END || reader->finished == WAL_READER_E_TORN);
	wal_window_close(&reader->window);
	return wal_tail_rewrite(reader->io, reader->name, reader->tail.from, reader->offset,
				reader->window.room, WAL_WINDOW_PIECE);
}

struct wal_reader_stats wal_reader_stats(const struct wal_reader *reader)
{
	struct wal_reader_stats stats = reader->stats;

	stats.bytes = reader->window.read;
	return stats;
}

struct wal_header wal_reader_header(const struct wal_reader *reader)
{
	return reader->header;
}

/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/ledger_file.h"

#include "base/crc.h"
#include "base/defs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX      "ledger-"
#define CURRENT_NEW "CURRENT.new"

/* "ledger-" and 16 digits, a blank, 8 digits of CRC-32C, a line feed. */
#define NAME_LENGTH  (sizeof(PREFIX) - 1 + 16)
#define CURRENT_SIZE (NAME_LENGTH + 1 + 8 + 1)

/* Bytes of a ledger's file: more than any edit and its successors make up. */
#define FILE_MAX (UINT64_C(4) * LEDGER_EDIT_MAX)

static PRINTF_LIKE(2, 3) int corrupt(struct ledger_error *error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error->text, error->size, format, arguments);
	va_end(arguments);
	return LEDGER_E_CORRUPT;
}

void ledger_name(uint64_t number, char name[IO_NAME_MAX + 1])
{
	snprintf(name, IO_NAME_MAX + 1, PREFIX "%016" PRIx64, number);
}

static void current_line(uint64_t number, char line[CURRENT_SIZE + 1])
{
	char name[IO_NAME_MAX + 1];

	ledger_name(number, name);
	snprintf(line, CURRENT_SIZE + 1, "%.*s %08" PRIx32 "\n", (int)NAME_LENGTH, name,
		 crc32c(name, NAME_LENGTH));
}

/* One past the end is asked for, so that a longer file is noticed. */
static int current_bytes(struct io *io, char line[CURRENT_SIZE + 1], uint64_t *ret_size)
{
	struct io_file *file;
	int error = io_open(io, LEDGER_CURRENT, IO_READ_ONLY, &file);

	if (error)
		return error == IO_E_ABSENT ? LEDGER_E_ABSENT : error;
	error = io_size(file, ret_size);
	if (!error && *ret_size == CURRENT_SIZE)
		error = io_read(file, 0, line, CURRENT_SIZE);
	io_close(file);
	return error == IO_E_END ? -EIO : error;
}

int ledger_current_read(struct io *io, uint64_t *ret_number, struct ledger_error *error)
{
	char line[CURRENT_SIZE + 1] = {0}, expected[CURRENT_SIZE + 1];
	uint64_t number = 0, size = 0;
	int result = current_bytes(io, line, &size);

	if (result)
		return result;
	if (size == CURRENT_SIZE)
		number = strtoull(line + sizeof(PREFIX) - 1, NULL, 16);
	current_line(number, expected);
	if (size != CURRENT_SIZE || memcmp(line, expected, CURRENT_SIZE) != 0)
		return corrupt(error, LEDGER_CURRENT ": offset 0: it doesn't name a ledger");
	*ret_number = number;
	return 0;
}

int ledger_current_write(struct io *io, uint64_t number)
{
	char line[CURRENT_SIZE + 1];
	struct io_file *file;
	int error = io_open(io, CURRENT_NEW, IO_CREATE, &file);

	if (error)
		return error;
	current_line(number, line);
	error = io_truncate(file, 0);
	if (!error)
		error = io_write(file, 0, line, CURRENT_SIZE);
	if (!error)
		error = io_sync(file);
	io_close(file);
	if (!error)
		error = io_rename(io, CURRENT_NEW, LEDGER_CURRENT);
	if (!error)
		error = io_sync_folder(io);
	return error > 0 ? -EIO : error;
}

static int parse_edits(struct ledger_reader *reader, const char *name, struct ledger_book *book,
		       struct ledger_error *error)
{
	struct ledger_bytes bytes = {0};
	const char *what;
	int result;

	for (;;) {
		struct ledger_edit_read read;
		size_t offset = reader->offset;

		bytes.size = 0;
		result = ledger_reader_next(reader, &bytes, &what);
		if (result == LEDGER_E_CORRUPT)
			offset = reader->offset;
		if (!result)
			result = ledger_edit_decode(bytes.bytes, bytes.size, &read, &what);
		if (!result) {
			result = ledger_book_apply(book, &read.counters, &read.edit, &what);
			ledger_edit_free(&read);
		}
		if (result == LEDGER_E_CORRUPT || result == LEDGER_E_INVALID)
			result = corrupt(error, "%s: offset %zu: %s", name, offset, what);
		if (result)
			break;
	}
	ledger_bytes_free(&bytes);
	return result == LEDGER_SECTOR_E_END ? 0 : result;
}

int ledger_file_parse(const uint8_t *bytes, size_t size, const char *name,
		      struct ledger_book *ret_book, uint64_t *ret_number,
		      struct ledger_error *error)
{
	struct ledger_reader reader = {.bytes = bytes, .size = size, .offset = LEDGER_SECTOR_SIZE};
	struct ledger_book book = {0};
	const char *what;

	if (ledger_head_decode(bytes, size, &reader.head, &what))
		return corrupt(error, "%s: offset 0: %s", name, what);
	memcpy(book.state.store, reader.head.store, sizeof(book.state.store));
	int result = parse_edits(&reader, name, &book, error);
	if (!result) {
		result = ledger_book_check(&book, &what);
		if (result > 0)
			result = corrupt(error, "%s: offset %zu: %s", name, reader.offset, what);
	}
	if (result) {
		ledger_book_deinit(&book);
		return result;
	}
	*ret_book = book;
	*ret_number = reader.head.number;
	return 0;
}

static int file_bytes(struct io *io, const char *name, uint8_t **ret_bytes, uint64_t *ret_size,
		      struct ledger_error *error)
{
	struct io_file *file;
	uint8_t *bytes = NULL;
	uint64_t size;
	int result = io_open(io, name, IO_READ_ONLY, &file);

	if (result == IO_E_ABSENT)
		return corrupt(error, "%s: offset 0: CURRENT names it, and it isn't there", name);
	if (result)
		return result;
	result = io_size(file, &size);
	if (!result && size > FILE_MAX)
		result = corrupt(error, "%s: offset %" PRIu64 ": it is too large", name, FILE_MAX);
	if (!result) {
		bytes = malloc(MAX(size, UINT64_C(1)));
		result = bytes ? io_read(file, 0, bytes, size) : -ENOMEM;
	}
	io_close(file);
	if (result) {
		free(bytes);
		return result == IO_E_END ? -EIO : result;
	}
	*ret_bytes = bytes;
	*ret_size = size;
	return 0;
}

int ledger_file_read(struct io *io, uint64_t number, struct ledger_book *ret_book,
		     struct ledger_error *error)
{
	char name[IO_NAME_MAX + 1];
	uint64_t size = 0, named = 0;
	uint8_t *bytes = NULL;

	ledger_name(number, name);
	int result = file_bytes(io, name, &bytes, &size, error);
	if (result)
		return result;
	result = ledger_file_parse(bytes, size, name, ret_book, &named, error);
	free(bytes);
	if (!result && named != number) {
		ledger_book_deinit(ret_book);
		result = corrupt(error, "%s: offset 16: it is ledger %" PRIu64, name, named);
	}
	return result;
}

static int encode(const struct ledger_head *head, const struct ledger_book *book,
		  struct ledger_bytes *to)
{
	const struct ledger_counters counters = {.next_file = book->state.next_file,
						 .flushed = book->state.flushed,
						 .history = book->state.history};
	const struct ledger_edit edit = ledger_book_edit(book);
	struct ledger_bytes bytes = {0};
	int error = ledger_edit_encode(&counters, &edit, &bytes);

	ledger_head_encode(head, to);
	if (!error)
		error = ledger_sector_encode(head, 0, bytes.bytes, bytes.size, to);
	ledger_bytes_free(&bytes);
	return error;
}

static int write_file(struct io *io, const char *name, const struct ledger_bytes *bytes,
		      struct io_file **ret_file)
{
	struct io_file *file;
	int error = io_open(io, name, IO_CREATE, &file);

	if (error)
		return error;
	error = io_truncate(file, 0);
	if (!error)
		error = io_write(file, 0, bytes->bytes, bytes->size);
	if (!error)
		error = io_sync(file);
	if (!error)
		error = io_sync_folder(io);
	if (error) {
		io_close(file);
		(void)io_remove(io, name); /* gives room back; nobody names it if it stays */
		return error;
	}
	*ret_file = file;
	return 0;
}

int ledger_file_write(struct io *io, const struct ledger_head *head, const struct ledger_book *book,
		      struct io_file **ret_file, uint64_t *ret_size)
{
	struct ledger_bytes bytes = {0};
	char name[IO_NAME_MAX + 1];
	int error = encode(head, book, &bytes);

	ledger_name(head->number, name);
	if (!error)
		error = write_file(io, name, &bytes, ret_file);
	if (!error)
		*ret_size = bytes.size;
	ledger_bytes_free(&bytes);
	return error;
}

struct cleaning {
	struct io *io;
	const char *kept;
	char found[IO_NAME_MAX + 1];
};

static bool begins(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* Stops at the first, since a folder isn't changed while it is listed. */
static int find_old(void *context, const char *name)
{
	struct cleaning *cleaning = context;

	if (!begins(name, PREFIX) || strcmp(name, cleaning->kept) == 0)
		return 0;
	snprintf(cleaning->found, sizeof(cleaning->found), "%s", name);
	return 1;
}

void ledger_file_clean(struct io *io, uint64_t number)
{
	char kept[IO_NAME_MAX + 1];
	struct cleaning cleaning = {.io = io, .kept = kept};

	ledger_name(number, kept);
	while (io_list(io, find_old, &cleaning) == 1)
		if (io_remove(io, cleaning.found))
			return;
}

static int find_orphan(void *context, const char *name)
{
	if (!begins(name, "table-") && !begins(name, "blob-") && !begins(name, "wal-") &&
	    strcmp(name, "pages") != 0)
		return 0;
	snprintf(context, IO_NAME_MAX + 1, "%s", name);
	return 1;
}

int ledger_file_orphans(struct io *io, char name[IO_NAME_MAX + 1], bool *ret_found)
{
	int result = io_list(io, find_orphan, name);

	if (result < 0)
		return result;
	*ret_found = result == 1;
	return 0;
}

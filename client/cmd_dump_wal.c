/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Cmd_dump_wal - shows a log: one record a line
 *
 * The names and the order of fields are the tables' of docs/format/wal.md. JSON is written by hand:
 * numbers go up to 2^64 - 1, and a record's bytes up to 1 MiB.
 */

#include "client/cmd.h"
#include "client/wal_file.h"

#include <inttypes.h>
#include <string.h>

static const char about[] =
	"Prints the records of a log file (version 1 or 2), or of all segments in a folder. A torn "
	"end\nand holes are said on stderr; with holes the exit status is 1.\n";

/* Bytes of a byte string that a line of text shows. */
#define SHOWN_MAX 32

static void print_hex(const struct record_bytes *bytes, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		printf("%02x", bytes->bytes[i]);
}

static void print_bytes(const struct record_bytes *bytes, bool json)
{
	uint32_t shown = json ? bytes->size : MIN(bytes->size, (uint32_t)SHOWN_MAX);

	if (json)
		putchar('"');
	print_hex(bytes, shown);
	if (json)
		putchar('"');
	else if (shown < bytes->size)
		printf("... (%" PRIu32 " bytes)", bytes->size);
	else if (bytes->size == 0)
		printf("-");
}

static void print_value(const struct record *record, const struct record_field *field, bool json)
{
	const void *value = (const char *)record + field->offset;
	bool present = *(const bool *)((const char *)record + field->present);

	switch (field->kind) {
	case RECORD_FIELD_U8:
		printf("%u", *(const uint8_t *)value);
		break;
	case RECORD_FIELD_BOOL:
		printf("%d", *(const bool *)value);
		break;
	case RECORD_FIELD_U32:
		printf("%" PRIu32, *(const uint32_t *)value);
		break;
	case RECORD_FIELD_I64:
		printf("%" PRId64, *(const int64_t *)value);
		break;
	case RECORD_FIELD_U64:
		printf("%" PRIu64, *(const uint64_t *)value);
		break;
	case RECORD_FIELD_BYTES:
		print_bytes(value, json);
		break;
	case RECORD_FIELD_U64_OPTIONAL:
		if (present)
			printf("%" PRIu64, *(const uint64_t *)value);
		else
			printf("%s", json ? "null" : "none");
		break;
	case RECORD_FIELD_BYTES_OPTIONAL:
		if (present)
			print_bytes(value, json);
		else
			printf("%s", json ? "null" : "none");
		break;
	}
}

static void print_record(const struct record *record, bool json)
{
	const struct record_field *fields;
	unsigned count = record_fields(record->type, &fields);
	const char *name = record_name(record->type);

	printf(json ? "{\"lsn\": %" PRIu64 ", \"type\": \"%s\"" : "%8" PRIu64 "  %s", record->lsn,
	       name);
	for (unsigned i = 0; i < count; i++) {
		if (strcmp(fields[i].name, "lsn") == 0)
			continue;
		printf(json ? ", \"%s\": " : " %s ", fields[i].name);
		print_value(record, &fields[i], json);
	}
	printf(json ? "}\n" : "\n");
}

static void print_header(const struct wal_file_source *source)
{
	struct wal_header header = wal_reader_header(source->reader);

	printf("%s: version %" PRIu32 ", page size %" PRIu32 ", created at %" PRIu64
	       ", current LSN %" PRIu64 ", committed %" PRIu64 ", checkpointed %" PRIu64 "\n",
	       source->path, header.version, header.page_size, header.created_at,
	       header.current_lsn, header.committed_lsn, header.checkpointed_lsn);
}

static int dump(const struct wal_file_source *source, bool json)
{
	struct record record;
	uint64_t holes = 0;
	int result;

	if (!json)
		print_header(source);
	while ((result = wal_reader_next(source->reader, &record)) == 0) {
		wal_file_holes(source, &holes);
		print_record(&record, json);
	}
	if (result > 0 && result != WAL_READER_E_CORRUPT)
		wal_file_holes(source, &holes);
	return wal_file_end(source, result);
}

int cmd_dump_wal(int argc, char **argv)
{
	const char *path = NULL;
	bool json = false;
	const struct cmd_option options[] = {
		{"FILE", NULL, "the log: a file, or a folder with segments", .text = &path,
		 .positional = true, .required = true},
		{"json", NULL, "print one JSON object a record", .flag = &json},
	};
	struct wal_file_source source;
	int status;

	if (!cmd_options("dump wal", about, options, ARRAY_COUNT(options), argc, argv, &status))
		return status;
	if (!wal_file_open(path, &source))
		return CMD_FAILED;
	status = dump(&source, json);
	wal_file_close(&source);
	return status;
}

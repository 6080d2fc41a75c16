/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Cmd_dump_table - shows a table or a blob file: what it says of itself, and its bytes by part
 *
 * The whole file is checked first, so a damaged one is told about by the place of the damage and
 * not shown.
 */

#include "client/cmd.h"
#include "client/cmd_vectors.h"
#include "client/dump_file.h"
#include "engine/blob.h"
#include "engine/table.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

static const char about[] =
	"Checks a table or a blob file of a key space, all of it, and prints whose it is, what it "
	"holds\nand its bytes by part.\n";

/* What the command line asks for. */
struct wish {
	const char *path;
	bool json;
	bool blocks;
};

static json_t *key_json(struct entry_bytes key)
{
	char text[DUMP_FILE_KEY_SIZE];

	dump_file_key(key, text);
	return json_string(text);
}

static json_t *block_json(const struct table_block *block)
{
	json_t *object =
		json_pack("{s:I, s:I, s:I, s:b, s:o}", "offset", (json_int_t)block->offset, "bytes",
			  (json_int_t)block->size, "raw", (json_int_t)block->raw_size, "compressed",
			  block->compressed, "separator", key_json(block->separator));

	if (block->has_bounds) {
		json_object_set_new(object, "seqno_min",
				    json_integer((json_int_t)block->seqno_min));
		json_object_set_new(object, "seqno_max",
				    json_integer((json_int_t)block->seqno_max));
	}
	return object;
}

static json_t *blocks_json(const struct table *table)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < table_block_count(table); i++) {
		struct table_block block = table_block(table, i);

		json_array_append_new(array, block_json(&block));
	}
	return array;
}

static json_t *parts_json(const struct table_parts *parts)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "blocks", (json_int_t)parts->blocks,
			 "ranges", (json_int_t)parts->ranges, "filter", (json_int_t)parts->filter,
			 "bounds", (json_int_t)parts->bounds, "index", (json_int_t)parts->index,
			 "properties", (json_int_t)parts->properties, "footer",
			 (json_int_t)parts->footer);
}

static json_t *summary_json(const struct table_summary *summary)
{
	struct entry_bytes first = {summary->key_first, summary->key_first_size};
	struct entry_bytes last = {summary->key_last, summary->key_last_size};

	json_t *object = json_pack(
		"{s:I, s:I, s:I, s:o, s:o}", "entries", (json_int_t)summary->entries, "tombstones",
		(json_int_t)summary->tombstones, "blob_bytes", (json_int_t)summary->blob_bytes,
		"key_first", key_json(first), "key_last", key_json(last));

	if (summary->entries > 0) {
		json_object_set_new(object, "seqno_min",
				    json_integer((json_int_t)summary->seqno_min));
		json_object_set_new(object, "seqno_max",
				    json_integer((json_int_t)summary->seqno_max));
	}
	return object;
}

/* Begins every line: what it is of. */
static json_t *head_json(const char *event, const struct wish *wish, const uint8_t store[16],
			 uint64_t number, uint64_t size)
{
	char uuid[DUMP_FILE_STORE_SIZE];

	dump_file_store(store, uuid);
	return json_pack("{s:s, s:s, s:s, s:I, s:I}", "event", event, "file", wish->path, "store",
			 uuid, "number", (json_int_t)number, "bytes", (json_int_t)size);
}

static void table_json(const struct wish *wish, const struct table_options *options,
		       const struct table *table)
{
	const struct table_summary *summary = table_summary(table);
	struct table_parts parts = table_parts(table);
	json_t *line = head_json("table", wish, options->store, options->number, summary->size);
	json_t *rest = summary_json(summary);

	json_object_update(line, rest);
	json_decref(rest);
	json_object_set_new(line, "range_tombstones",
			    json_integer((json_int_t)table_range_count(table)));
	json_object_set_new(line, "blocks", json_integer((json_int_t)table_block_count(table)));
	json_object_set_new(line, "block_size", json_integer((json_int_t)parts.block_size));
	json_object_set_new(line, "raw", json_integer((json_int_t)parts.raw));
	json_object_set_new(line, "filter_probes", json_integer((json_int_t)parts.filter_probes));
	json_object_set_new(line, "parts", parts_json(&parts));
	if (wish->blocks)
		json_object_set_new(line, "block_list", blocks_json(table));
	cmd_json(line);
}

static void print_head(const char *what, const struct wish *wish, const uint8_t store[16],
		       uint64_t number)
{
	char uuid[DUMP_FILE_STORE_SIZE];

	dump_file_store(store, uuid);
	printf("%s: %s %" PRIu64 " of store %s\n", wish->path, what, number, uuid);
}

static void print_part(const char *name, uint64_t size)
{
	if (size > 0)
		printf("%-16s %14" PRIu64 "\n", name, size);
}

static void print_parts(const struct table_parts *parts, uint64_t size)
{
	printf("\n%-16s %14s\n", "part", "bytes");
	print_part("blocks", parts->blocks);
	print_part("ranges", parts->ranges);
	print_part("filter", parts->filter);
	print_part("bounds", parts->bounds);
	print_part("index", parts->index);
	print_part("properties", parts->properties);
	print_part("footer", parts->footer);
	print_part("all", size);
}

static void print_blocks(const struct table *table)
{
	printf("\n%12s %10s %10s %12s %12s  %s\n", "offset", "bytes", "raw", "seqno_min",
	       "seqno_max", "separator");
	for (uint32_t i = 0; i < table_block_count(table); i++) {
		struct table_block block = table_block(table, i);
		char key[DUMP_FILE_KEY_SIZE];

		dump_file_key(block.separator, key);
		printf("%12" PRIu64 " %10" PRIu32 " %10" PRIu32, block.offset, block.size,
		       block.raw_size);
		if (block.has_bounds)
			printf(" %12" PRIu64 " %12" PRIu64, block.seqno_min, block.seqno_max);
		else
			printf(" %12s %12s", "-", "-");
		printf("  %s\n", key);
	}
}

static void print_keys(const struct table_summary *summary)
{
	char first[DUMP_FILE_KEY_SIZE], last[DUMP_FILE_KEY_SIZE];

	dump_file_key((struct entry_bytes){summary->key_first, summary->key_first_size}, first);
	dump_file_key((struct entry_bytes){summary->key_last, summary->key_last_size}, last);
	printf("numbers %" PRIu64 " to %" PRIu64 "; keys %s to %s\n", summary->seqno_min,
	       summary->seqno_max, first, last);
}

static void table_text(const struct wish *wish, const struct table_options *options,
		       const struct table *table)
{
	const struct table_summary *summary = table_summary(table);
	struct table_parts parts = table_parts(table);

	print_head("table", wish, options->store, options->number);
	printf("%" PRIu64 " entries, %" PRIu64 " of them tombstones (%" PRIu32 " of ranges)\n",
	       summary->entries, summary->tombstones, table_range_count(table));
	if (summary->entries > 0)
		print_keys(summary);
	if (summary->blob_bytes > 0)
		printf("points to %" PRIu64 " bytes in blob files\n", summary->blob_bytes);
	printf("%" PRIu32 " blocks of about %" PRIu32 " bytes; %" PRIu64 " bytes uncompressed\n",
	       table_block_count(table), parts.block_size, parts.raw);
	print_parts(&parts, summary->size);
	if (wish->blocks)
		print_blocks(table);
}

static int dump_table(struct io *io, const char *name, const struct wish *wish)
{
	struct table_options options = {.number = 0};
	struct table *table;
	char error[256] = "";
	int result = table_identify(io, name, &options);

	if (!result)
		result = table_open(io, name, &options, &table, error, sizeof(error));
	if (result)
		return dump_file_failed(wish->path, result, *error ? error : "no table");
	result = table_verify(table);
	if (result)
		result = dump_file_failed(wish->path, result, table_error(table));
	else if (wish->json)
		table_json(wish, &options, table);
	else
		table_text(wish, &options, table);
	table_close(table);
	return result;
}

/* One walk over all frames, which checks them; lists them if that is wished. */
static int walk_blob(struct blob *blob, json_t *list, bool print)
{
	struct blob_frame frame;
	int result;

	if (print)
		printf("\n%12s %10s %10s %12s  %s\n", "offset", "bytes", "value", "seqno", "key");
	blob_walk_begin(blob);
	while ((result = blob_walk_next(blob, &frame)) == 0) {
		char key[DUMP_FILE_KEY_SIZE];

		dump_file_key(frame.key, key);
		if (list)
			json_array_append_new(list,
					      json_pack("{s:I, s:I, s:I, s:b, s:I, s:s}", "offset",
							(json_int_t)frame.place.offset, "bytes",
							(json_int_t)frame.place.size, "value",
							(json_int_t)frame.value.size, "compressed",
							frame.compressed, "seqno",
							(json_int_t)frame.seqno, "key", key));
		if (print)
			printf("%12" PRIu64 " %10" PRIu32 " %10" PRIu32 " %12" PRIu64 "  %s\n",
			       frame.place.offset, frame.place.size, frame.value.size, frame.seqno,
			       key);
	}
	return result == BLOB_E_END ? 0 : result;
}

static void blob_json(const struct wish *wish, const struct blob_options *options,
		      struct blob *blob)
{
	const struct blob_summary *summary = blob_summary(blob);
	json_t *line = head_json("blob", wish, options->store, options->number, summary->size);
	json_t *list = wish->blocks ? json_array() : NULL;

	json_object_set_new(line, "frames", json_integer((json_int_t)summary->frames));
	json_object_set_new(line, "frame_bytes", json_integer((json_int_t)summary->frame_bytes));
	json_object_set_new(line, "value_bytes", json_integer((json_int_t)summary->value_bytes));
	if (list) {
		(void)walk_blob(blob, list, /* print= */ false);
		json_object_set_new(line, "frame_list", list);
	}
	cmd_json(line);
}

static void blob_text(const struct wish *wish, const struct blob_options *options,
		      struct blob *blob)
{
	const struct blob_summary *summary = blob_summary(blob);

	print_head("blob file", wish, options->store, options->number);
	printf("%" PRIu64 " frames of %" PRIu64 " bytes; %" PRIu64 " bytes of values\n",
	       summary->frames, summary->frame_bytes, summary->value_bytes);
	if (wish->blocks)
		(void)walk_blob(blob, NULL, /* print= */ true);
}

static int dump_blob(struct io *io, const char *name, const struct wish *wish)
{
	struct blob_options options = {.number = 0};
	struct blob *blob;
	char error[256] = "";
	int result = blob_identify(io, name, &options);

	if (!result)
		result = blob_open(io, name, &options, &blob, error, sizeof(error));
	if (result)
		return dump_file_failed(wish->path, result, *error ? error : "no blob file");
	result = walk_blob(blob, NULL, /* print= */ false);
	if (result)
		result = dump_file_failed(wish->path, result, blob_error(blob));
	else if (wish->json)
		blob_json(wish, &options, blob);
	else
		blob_text(wish, &options, blob);
	blob_close(blob);
	return result;
}

int cmd_dump_table(int argc, char **argv)
{
	struct wish wish = {.path = NULL};
	const struct cmd_option options[] = {
		{"FILE", NULL, "the table or blob file", .text = &wish.path, .positional = true,
		 .required = true},
		{"blocks", NULL, "list its blocks, or a blob file's frames", .flag = &wish.blocks},
		{"json", NULL, "print one JSON object", .flag = &wish.json},
	};
	struct blob_options probe;
	const char *name;
	struct io *io;
	int status;

	if (!cmd_options("dump table", about, options, ARRAY_COUNT(options), argc, argv, &status))
		return status;
	if (!dump_file_open(wish.path, &io, &name, &status))
		return status;
	status = blob_identify(io, name, &probe) == 0 ? dump_blob(io, name, &wish)
						      : dump_table(io, name, &wish);
	io_free(io);
	return status;
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Make_table_corpus - writes corpus/block, corpus/table and corpus/blob
 *
 *	make_table_corpus CORPUS_FOLDER
 *
 * Files of every shape from fixed seeds, and each damaged in a place that matters; fuzz_table and
 * fuzz_blob put the checksums right.
 */

#include "base/byteorder.h"
#include "base/defs.h"
#include "engine/blob_format.h"
#include "engine/block.h"
#include "engine/table_format.h"
#include "tests/lib/faulty.h"
#include "tests/lib/tables.h"
#include "tests/lib/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *folder;

static void save(const char *kind, const char *name, const uint8_t *bytes, size_t size)
{
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s/%s", folder, kind, name);
	file = fopen(path, "wb");
	if (!file || fwrite(bytes, 1, size, file) != size || fclose(file)) {
		perror(path);
		exit(1);
	}
}

/* Of the file that is kept: 'at' counts from the end when it is negative. */
struct damage {
	const char *name;
	long at;
	uint8_t bytes[8];
	unsigned size;
};

static void save_damaged(const char *kind, const char *name, const uint8_t *bytes, size_t size,
			 const struct damage *damages, size_t count)
{
	uint8_t *copy = malloc(size);

	assert_non_null(copy);
	for (size_t i = 0; i < count; i++) {
		const struct damage *damage = &damages[i];
		size_t at = damage->at < 0 ? size - (size_t)-damage->at : (size_t)damage->at;
		char file[80];

		memcpy(copy, bytes, size);
		memcpy(copy + at, damage->bytes, damage->size);
		snprintf(file, sizeof(file), "%s_%s", name, damage->name);
		save(kind, file, copy, size);
	}
	free(copy);
}

static struct tables_set *make_set(uint64_t seed, uint32_t entries, uint32_t keys, uint32_t ranges)
{
	const struct tables_shape shape = {.entries = entries,
					   .keys = keys,
					   .ranges = ranges,
					   .value_max = 40,
					   .seqno_max = 300};
	struct rand rand;

	rand_init(&rand, seed);
	return tables_make(&rand, &shape);
}

static void save_block(const char *name, uint32_t entries, uint32_t keys)
{
	static const struct damage damages[] = {
		{"restarts_many", -4, {255, 255, 255, 127}, 4},
		{"restarts_none", -4, {0, 0, 0, 0}, 4},
		{"restart_beyond", -8, {255, 255, 0, 0}, 4},
		{"shares_with_nothing", 0, {5}, 1},
		{"no_key", 1, {0}, 1},
		{"long_key", 1, {0xFF, 0x7F}, 2},
		{"long_value", 2, {0xFF, 0xFF, 0xFF, 0xFF, 0x0F}, 5},
		{"no_kind", 3, {0}, 1},
		{"strange_flags", 3, {0xE1}, 1},
		{"endless_number", 4, {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, 8},
	};
	struct tables_set *set = make_set(entries, entries, keys, 0);
	struct block_writer writer = {0};
	const uint8_t *bytes;
	uint32_t size;

	for (uint32_t i = 0; i < set->count; i++)
		assert_int_equal(block_writer_add(&writer, &set->entries[i]), 0);
	assert_int_equal(block_writer_finish(&writer, &bytes, &size), 0);
	save("block", name, bytes, size);
	save_damaged("block", name, bytes, size, damages, ARRAY_COUNT(damages));
	block_writer_deinit(&writer);
	tables_free(set);
}

static void save_table(struct faulty *disk, const char *name, const struct tables_set *set,
		       uint32_t block_size, bool compress, bool without_bounds)
{
	static const struct damage damages[] = {
		{"block_damaged", 3, {7}, 1},
		{"block_count", -40, {200, 0, 0, 0}, 4},
		{"no_blocks", -40, {0, 0, 0, 0}, 4},
		{"blocks_size", -48, {1}, 1},
		{"ranges_size", -28, {255, 255, 255, 63}, 4},
		{"no_filter", -24, {0, 0, 0, 0}, 4},
		{"no_index", -16, {0, 0, 0, 0}, 4},
		{"no_properties", -12, {0, 0, 0, 0}, 4},
	};
	struct table_writer_options options = tables_writer_options(1);
	struct table_summary summary;
	uint8_t *bytes;
	size_t size;

	options.block_size = block_size;
	options.compress = compress;
	options.without_bounds = without_bounds;
	tables_write(faulty_io(disk), name, set, &options, &summary);
	bytes = faulty_file_bytes(disk, name, &size);
	save("table", name, bytes, size);
	save("table", "cut", bytes, size / 2);
	save_damaged("table", name, bytes, size, damages, ARRAY_COUNT(damages));
	free(bytes);
}

static void save_tables(struct faulty *disk)
{
	struct tables_set *small = make_set(1, 12, 12, 2), *versions = make_set(2, 60, 9, 0);
	struct tables_set *ranges = make_set(3, 0, 30, 4), *none = make_set(4, 0, 1, 0);

	save_table(disk, "small", small, 256, false, false);
	save_table(disk, "small_zstd", small, 512, true, true);
	save_table(disk, "versions", versions, 128, true, false);
	save_table(disk, "ranges", ranges, 0, false, false);
	save_table(disk, "none", none, 0, false, false);
	tables_free(small);
	tables_free(versions);
	tables_free(ranges);
	tables_free(none);
}

static void save_blob(struct faulty *disk, const char *name, unsigned frames, bool compress)
{
	static const struct damage damages[] = {
		{"raw_size", BLOB_HEADER_SIZE + 8, {255, 255, 255, 3}, 4},
		{"size", BLOB_HEADER_SIZE + 12, {1, 0, 0, 0}, 4},
		{"key_size", BLOB_HEADER_SIZE + 16, {255, 255}, 2},
		{"value", BLOB_HEADER_SIZE + 30, {1, 2, 3, 4}, 4},
		{"frames", -32, {77}, 1},
	};
	struct blob_options options = {.number = 3, .compress = compress};
	static uint8_t value[300];
	struct blob_summary summary;
	struct blob_writer *writer;
	struct blob_place place;
	uint8_t *bytes;
	size_t size;

	assert_int_equal(blob_writer_new(faulty_io(disk), name, &options, &writer), 0);
	for (unsigned i = 0; i < frames; i++)
		assert_int_equal(blob_writer_add(writer, (struct entry_bytes){value, 1 + i}, i,
						 (struct entry_bytes){value, 100 * i}, &place),
				 0);
	assert_int_equal(blob_writer_finish(writer, &summary), 0);
	bytes = faulty_file_bytes(disk, name, &size);
	save("blob", name, bytes, size);
	save("blob", "cut", bytes, size - 1);
	if (frames > 0)
		save_damaged("blob", name, bytes, size, damages, ARRAY_COUNT(damages));
	free(bytes);
}

int main(int argc, char **argv)
{
	struct faulty *disk = faulty_new(1);

	if (argc != 2) {
		fprintf(stderr, "usage: make_table_corpus CORPUS_FOLDER\n");
		return 2;
	}
	folder = argv[1];
	save_block("one", 1, 100);
	save_block("many", 50, 100);
	save_block("versions", 40, 9);
	save_tables(disk);
	save_blob(disk, "none", 0, false);
	save_blob(disk, "raw", 3, false);
	save_blob(disk, "zstd", 4, true);
	faulty_free(disk);
	return 0;
}

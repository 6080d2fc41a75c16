/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A table from hostile bytes: it is refused with a line that says why, or all that can be asked of
 * it comes to an end without a read outside of anything. Checksums are put right on a second try,
 * since nearly every input would end at them.
 */

#include "base/byteorder.h"
#include "base/crc.h"
#include "engine/block_cache.h"
#include "engine/piece.h"
#include "engine/table_format.h"
#include "engine/table_index.h"
#include "tests/lib/faulty.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NAME           "a.table"
#define SIZE_MAX_TRIED (1U << 20)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(int condition)
{
	if (!condition)
		abort();
}

static unsigned sum(const struct entry *entry)
{
	unsigned total = 0;

	for (uint32_t i = 0; i < entry->key.size; i++)
		total += entry->key.bytes[i];
	for (uint32_t i = 0; i < entry->value.size; i++)
		total += entry->value.bytes[i];
	return total;
}

/* Steps until the end. Returns how many there were; '*ret_result' is how it ended. */
static unsigned walk(struct table_cursor *cursor, int (*begin)(struct table_cursor *),
		     int (*step)(struct table_cursor *), struct block_cache *cache, int *ret_result)
{
	unsigned count = 0;
	int result = begin(cursor);

	while (result == 0 || result == TABLE_E_WAIT) {
		if (result == 0) {
			check(sum(table_cursor_entry(cursor)) < UINT32_MAX);
			count++;
		}
		do {
			(void)block_cache_poll(cache);
			result = count > 0 ? step(cursor) : begin(cursor);
		} while (result == TABLE_E_WAIT);
	}
	*ret_result = result;
	return count;
}

static void walk_window(struct table *table, uint64_t from, uint64_t to, struct block_cache *cache)
{
	const struct table_cursor_options options = {
		.wait_never = true, .seqno_from = from, .seqno_to = to};
	int forward_result, backward_result;
	struct table_cursor *cursor;
	unsigned forward, backward;

	check(table_cursor_new(table, &options, &cursor) == 0);
	forward = walk(cursor, table_cursor_first, table_cursor_next, cache, &forward_result);
	backward = walk(cursor, table_cursor_last, table_cursor_previous, cache, &backward_result);
	check((forward_result == TABLE_E_END || forward_result == TABLE_E_CORRUPT) &&
	      (backward_result == TABLE_E_END || backward_result == TABLE_E_CORRUPT));
	check(forward + backward < UINT32_MAX);
	table_cursor_free(cursor);
}

static void ask(struct table *table, const uint8_t *bytes)
{
	struct table_pin pin = {0};
	struct entry entry;

	for (uint32_t i = 0; i < table_block_count(table); i++) {
		struct table_block block = table_block(table, i);

		(void)table_may_have(table, block.separator);
		if (table_get(table, block.separator, bytes[i % 8], 0, &pin, &entry) == 0)
			check(sum(&entry) < UINT32_MAX);
	}
	for (uint32_t i = 0; i < table_range_count(table); i++) {
		entry = table_range(table, i);
		check(sum(&entry) < UINT32_MAX);
	}
	table_pin_release(&pin);
}

static void try_file(struct faulty *disk, struct block_cache *cache, const uint8_t *bytes,
		     size_t size)
{
	struct table_options options = {.cache = cache};
	struct table *table;
	char error[240] = "";
	int result;

	faulty_file_set(disk, NAME, bytes, size);
	if (size >= TABLE_FOOTER_SIZE) {
		const uint8_t *footer = bytes + size - TABLE_FOOTER_SIZE;

		memcpy(options.store, footer + 16, sizeof(options.store));
		options.number = load_le64(footer + 32);
	}
	result = table_open(faulty_io(disk), NAME, &options, &table, error, sizeof(error));
	if (result == TABLE_E_CORRUPT)
		check(*error && !strchr(error, '\n'));
	if (result)
		return;
	walk_window(table, 0, 0, cache);
	walk_window(table, bytes[0], bytes[0] + 10, cache);
	ask(table, bytes);
	result = table_verify(table);
	check(result == 0 || result == TABLE_E_CORRUPT || result == -ENOMEM);
	table_close(table);
}

static void seal_piece(uint32_t seed, uint8_t *bytes, uint64_t offset, uint32_t size)
{
	store_le32(bytes + offset + size, piece_crc(seed, offset, bytes + offset, size));
}

/* The blocks that the index tells of. */
static void seal_blocks(uint32_t seed, uint8_t *bytes, const struct table_footer *footer)
{
	uint64_t offset = table_section_offset(footer, TABLE_INDEX);
	struct table_index index;

	if (table_index_init(bytes + offset, footer->sections[TABLE_INDEX], footer->block_count,
			     footer->blocks_size, &index))
		return;
	for (uint32_t i = 0; i < index.count; i++)
		seal_piece(seed, bytes, index.slots[i].offset, index.slots[i].size);
	table_index_deinit(&index);
}

/* Makes every checksum right, as far as the sizes make sense. */
static void seal(uint8_t *bytes, size_t size)
{
	uint8_t *end = bytes + size - TABLE_FOOTER_SIZE;
	struct table_footer footer;
	char error[240];
	uint32_t seed;

	memcpy(end, "TERNTBL\n\1\0\0\0\x60\0\0\0", 16);
	store_le64(end + 40, size);
	memset(end + 88, 0, 4);
	store_le32(end + 92, crc32c(end, 92));
	if (table_footer_decode(end, size, end + 16, load_le64(end + 32), &footer, error,
				sizeof(error)))
		return;
	seed = piece_seed(footer.store, footer.number);
	for (unsigned i = 0; i < TABLE_SECTION_COUNT; i++)
		if (footer.sections[i] > 0)
			seal_piece(seed, bytes, table_section_offset(&footer, i),
				   footer.sections[i]);
	if (footer.block_count > 0)
		seal_blocks(seed, bytes, &footer);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct faulty *disk = faulty_new(1);
	struct block_cache *cache;
	uint8_t *copy;

	if (size == 0 || size > SIZE_MAX_TRIED) {
		faulty_free(disk);
		return 0;
	}
	check(block_cache_new(faulty_io(disk), BLOCK_CACHE_SIZE_MIN, &cache) == 0);
	try_file(disk, cache, bytes, size);
	copy = malloc(size);
	check(copy != NULL);
	memcpy(copy, bytes, size);
	if (size >= TABLE_FOOTER_SIZE) {
		seal(copy, size);
		try_file(disk, cache, copy, size);
	}
	free(copy);
	block_cache_free(cache);
	faulty_free(disk);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Table internal - what table.c, table_load.c, table_cursor.c and table_verify.c share
 *
 * Numbers in here are the file's own (local); seqno_global is added to what goes out.
 *
 * Threads: as table.h.
 */

#include "base/defs.h"
#include "engine/block_cache.h"
#include "engine/table_format.h"
#include "engine/table_index.h"
#include "engine/table_pin.h"

#define TABLE_ERROR_SIZE 240

/* Smallest and largest number in a block. */
struct table_bounds {
	uint64_t seqno_min;
	uint64_t seqno_max;
};

struct table {
	struct table_options options;
	struct table_footer footer;
	struct table_summary summary; /* global */
	uint64_t raw_size;
	struct block_cache_file file;
	void *inflater; /* owned ZSTD_DCtx, made at the first need where there is no cache */

	struct table_index index;
	struct table_bounds *bounds; /* owned, one a block; NULL: none, or distrusted */
	uint8_t *filter;             /* owned, at a multiple of BLOOM_LINE */
	uint64_t filter_lines;
	uint32_t filter_probes;
	uint32_t range_count;
	struct entry *ranges;  /* owned */
	uint8_t *ranges_bytes; /* owned, what they point into */

	char name[IO_NAME_MAX + 1];
	char error[TABLE_ERROR_SIZE];
};

/* Writes what is wrong at 'offset' into table->error. Returns TABLE_E_CORRUPT. */
int table_corrupt(struct table *table, uint64_t offset, const char *what);

/* Fills everything that stands behind the blocks from the footer on. Returns as table_open(). */
int table_load_sections(struct table *table);

/*
 * Has the pin hold the index-th block, found by its cache if it has one. Unless it returns 0 the
 * pin holds what it held, except that a failed read past the cache leaves it empty.
 * Returns 0, TABLE_E_WAIT, TABLE_E_CORRUPT or a negative errno.
 */
int table_load(struct table *table, uint32_t index, bool wait_never, struct table_pin *pin,
	       bool *ret_missed);

/* The same, never through the cache. */
int table_load_past_cache(struct table *table, uint32_t index, struct table_pin *pin);

/* The same from bytes that were read, CRC included. Returns 0, TABLE_E_CORRUPT or -ENOMEM. */
int table_load_bytes(struct table *table, uint32_t index, const uint8_t *bytes,
		     struct table_pin *pin);

/* A ZSTD_DCtx, the cache's if there is one; or NULL: no memory. */
void *table_inflater(struct table *table);

/* The number for the file's own order: false when no entry can be numbered so low. */
static inline bool table_local_seqno(const struct table *table, uint64_t seqno, uint64_t *ret_local)
{
	uint64_t global = table->options.seqno_global;

	if (seqno < global)
		return false;
	*ret_local = seqno == UINT64_MAX ? seqno : seqno - global;
	return true;
}

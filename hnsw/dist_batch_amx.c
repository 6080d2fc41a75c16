/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/dist_batch_pack.h"

#include <assert.h>
#include <immintrin.h>

/*
 * A tile is 16 lines of 64 bytes. TDPBSSD and TDPBUUD multiply a tile of 16 rows,
 * 64 values each, by one of 16 queries, and add to 16 times 16 sums in i32:
 *
 *                       queries 0-15   queries 16-31
 *                          tile 6         tile 7
 *      rows 0-15  tile 4   tile 0         tile 1
 *      rows 16-31 tile 5   tile 2         tile 3
 *
 * All eight tiles are used, and each that is loaded is multiplied twice. Where
 * fewer than 32 rows are left, tiles are configured with fewer lines: what is
 * beyond them is neither read nor written.
 *
 * The sums wrap around on the way, if at all, and end within i32 (DIST_DIM_MAX).
 */

/* Lines of a tile, and bytes of each. */
#define LINES 16
#define BYTES 64

/* The operand of LDTILECFG. */
struct shape {
	uint8_t palette;
	uint8_t start_row;
	uint8_t reserved[14];
	uint16_t line_bytes[16];
	uint8_t lines[16];
};
static_assert(sizeof(struct shape) == 64, "read by the processor");

static void pack(enum vector_type type, const uint8_t *row, size_t row_size, uint32_t index,
		 uint8_t *queries)
{
	dist_batch_pack_fours(row, row_size, index, 0, queries);
}

/*
 * gcc's words for these instructions don't say which memory they read. Everything that was written
 * before is there after this.
 */
static inline void settle(void)
{
	__asm__ volatile("" ::: "memory");
}

/* Tiles for 'upper' rows, at least one, and 'lower' more, which may be none. All tiles are zeroed.
 */
static void configure(uint8_t upper, uint8_t lower)
{
	const uint8_t lines[8] = {upper, upper, lower, lower, upper, lower, LINES, LINES};
	struct shape shape = {.palette = 1};

	for (unsigned i = 0; i < ARRAY_COUNT(lines); i++) {
		shape.lines[i] = lines[i];
		shape.line_bytes[i] = lines[i] ? BYTES : 0;
	}
	settle();
	_tile_loadconfig(&shape);
}

/* 'is_signed' is a constant; tiles are named by literals, which the instructions contain. */
static ALWAYS_INLINE void multiply_upper(const bool is_signed)
{
	if (is_signed) {
		_tile_dpbssd(0, 4, 6);
		_tile_dpbssd(1, 4, 7);
	} else {
		_tile_dpbuud(0, 4, 6);
		_tile_dpbuud(1, 4, 7);
	}
}

static ALWAYS_INLINE void multiply_lower(const bool is_signed)
{
	if (is_signed) {
		_tile_dpbssd(2, 5, 6);
		_tile_dpbssd(3, 5, 7);
	} else {
		_tile_dpbuud(2, 5, 6);
		_tile_dpbuud(3, 5, 7);
	}
}

static inline void load_queries(const uint8_t *queries)
{
	_tile_loadd(6, queries, DIST_BATCH_LINE);
	_tile_loadd(7, queries + BYTES, DIST_BATCH_LINE);
}

static inline void store_upper(int32_t *ret_products)
{
	_tile_stored(0, ret_products, DIST_BATCH_LINE);
	_tile_stored(1, ret_products + LINES, DIST_BATCH_LINE);
}

static inline void store_lower(int32_t *ret_products)
{
	_tile_stored(2, ret_products, DIST_BATCH_LINE);
	_tile_stored(3, ret_products + LINES, DIST_BATCH_LINE);
}

/* Up to 32 rows, more than 16. */
static ALWAYS_INLINE void two_tiles(const uint8_t *queries, const uint8_t *row, uint64_t stride,
				    size_t row_size, const bool is_signed, int32_t *ret_products)
{
	_tile_zero(0);
	_tile_zero(1);
	_tile_zero(2);
	_tile_zero(3);
	for (size_t k = 0; k < row_size; k += BYTES, queries += LINES * DIST_BATCH_LINE) {
		load_queries(queries);
		_tile_loadd(4, row + k, stride);
		multiply_upper(is_signed);
		_tile_loadd(5, row + LINES * stride + k, stride);
		multiply_lower(is_signed);
	}
	store_upper(ret_products);
	store_lower(ret_products + LINES * DIST_BATCH_QUERIES);
}

/* Up to 16 rows. */
static ALWAYS_INLINE void one_tile(const uint8_t *queries, const uint8_t *row, uint64_t stride,
				   size_t row_size, const bool is_signed, int32_t *ret_products)
{
	_tile_zero(0);
	_tile_zero(1);
	for (size_t k = 0; k < row_size; k += BYTES, queries += LINES * DIST_BATCH_LINE) {
		load_queries(queries);
		_tile_loadd(4, row + k, stride);
		multiply_upper(is_signed);
	}
	store_upper(ret_products);
}

/* Tiles are released at the end, so that the kernel doesn't save 8 KB whenever it switches. */
static ALWAYS_INLINE void products(const uint8_t *queries, const struct dist_batch_rows *rows,
				   size_t row_size, const bool is_signed, int32_t *ret_products)
{
	const uint64_t stride = rows->stride;
	const uint8_t *row = rows->first;
	uint32_t left = rows->count;

	if (left >= 2 * LINES)
		configure(LINES, LINES);
	for (; left >= 2 * LINES; left -= 2 * LINES) {
		two_tiles(queries, row, stride, row_size, is_signed, ret_products);
		row += 2 * LINES * stride;
		ret_products += 2 * LINES * DIST_BATCH_QUERIES;
	}
	if (left > LINES) {
		configure(LINES, (uint8_t)(left - LINES));
		two_tiles(queries, row, stride, row_size, is_signed, ret_products);
	} else if (left > 0) {
		configure((uint8_t)left, 0);
		one_tile(queries, row, stride, row_size, is_signed, ret_products);
	}
	_tile_release();
}

static void products_i8(const uint8_t *queries, const struct dist_batch_rows *rows, size_t row_size,
			int32_t *ret_products)
{
	products(queries, rows, row_size, /* is_signed= */ true, ret_products);
}

static void products_u8(const uint8_t *queries, const struct dist_batch_rows *rows, size_t row_size,
			int32_t *ret_products)
{
	products(queries, rows, row_size, /* is_signed= */ false, ret_products);
}

const struct dist_batch_kernels dist_batch_amx = {
	.pack = pack, .products_i8 = products_i8, .products_u8 = products_u8};

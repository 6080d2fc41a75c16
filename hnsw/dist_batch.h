/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Dist batch - dot products of many queries with many rows
 *
 * Where everything is compared with everything, a row that was loaded can serve
 * many queries while it is in a register, and the sums of many pairs are made side
 * by side without being folded. That is a product of matrices, and it is several
 * times as fast as one query after the other:
 *
 *      dist_batch_init()      no query is set
 *      dist_batch_set()       packs one, in the kernel's own order
 *      dist_batch_products()  all of them against as many rows as one likes
 *
 * Only for i8 and u8: their products are added in i32, exactly, so any order of
 * additions gives the bits of the kernels of one pair. Floats are added in the
 * order of dist_order.h, which takes 64 sums a pair: there are no registers left to share.
 *
 * Threads: any. One batch may be multiplied by many threads at once.
 */

#include "hnsw/dist.h"

#include <stdint.h>

/* Queries of a batch. */
#define DIST_BATCH_QUERIES 32

/* Rows that follow each other in memory. */
struct dist_batch_rows {
	const uint8_t *first;
	uint64_t stride; /* bytes from one to the next */
	uint32_t count;
};

/* One row after the other, DIST_BATCH_QUERIES products each. */
typedef void (*dist_batch_fn)(const uint8_t *queries, const struct dist_batch_rows *rows,
			      size_t row_size, int32_t *ret_products);

/* One a set of instructions. */
struct dist_batch_kernels {
	/* Puts a query at 'index' of the packed ones. */
	void (*pack)(enum vector_type type, const uint8_t *row, size_t row_size, uint32_t index,
		     uint8_t *queries);
	dist_batch_fn products_i8;
	dist_batch_fn products_u8;
};

struct dist_batch {
	const struct dist_batch_kernels *kernels;
	enum vector_type type;
	size_t row_size;
	uint8_t *queries; /* borrowed */
};

/* Those that go with dist_best(). */
const struct dist_batch_kernels *dist_batch_best(void);

/* Those that go with the dist_table of that name, else NULL. */
const struct dist_batch_kernels *dist_batch_find(const char *isa);

static inline bool dist_batch_can(enum vector_type type)
{
	return type == VECTOR_I8 || type == VECTOR_U8;
}

/* Bytes that a batch's queries take: two a value, as some kernels widen them. */
static inline size_t dist_batch_size(size_t row_size)
{
	return 2 * DIST_BATCH_QUERIES * row_size;
}

/*
 * 'row_size' is dist_row_size() of at most DIST_DIM_MAX values. Borrows 'memory', dist_batch_size()
 * bytes aligned to DIST_ALIGN, while the batch is used.
 */
void dist_batch_init(struct dist_batch *batch, const struct dist_batch_kernels *kernels,
		     enum vector_type type, size_t row_size, void *memory);

/* Copies a padded row to 'index', which is less than DIST_BATCH_QUERIES. */
void dist_batch_set(struct dist_batch *batch, uint32_t index, const void *row);

/*
 * Writes DIST_BATCH_QUERIES products for each row, in the order of queries; those of
 * queries that were not set mean nothing.
 */
static inline void dist_batch_products(const struct dist_batch *batch,
				       const struct dist_batch_rows *rows, int32_t *ret_products)
{
	dist_batch_fn products = batch->type == VECTOR_I8 ? batch->kernels->products_i8
							  : batch->kernels->products_u8;

	products(batch->queries, rows, batch->row_size, ret_products);
}

/* The squared difference of two rows, from the products of each with itself and of both. */
static inline int32_t dist_batch_l2(int32_t aa, int32_t bb, int32_t ab)
{
	/* The sum of the first two may leave i32, the result doesn't. */
	return (int32_t)((uint32_t)aa + (uint32_t)bb - 2 * (uint32_t)ab);
}

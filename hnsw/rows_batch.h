/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Rows batch - some rows compared with many, as a product of matrices
 *
 * Where rows hold bytes, distances among them come of their dot products, and
 * those of many with many are made together (dist_batch.h). The values are those of
 * rows_distance() to the bit.
 *
 * Threads: any; a batch may be used by many at once.
 */

#include "hnsw/dist_batch.h"
#include "hnsw/rows.h"

/* Rows compared at a time, at most. */
#define ROWS_BATCH_ROWS 32

struct rows_batch {
	struct dist_batch batch;
	const struct rows_query *queries; /* borrowed */
	uint32_t count;
	bool squared; /* the kernel's value is a squared difference, not a product */
	int32_t squares[DIST_BATCH_QUERIES];
};

static inline bool rows_batch_can(const struct rows_form *form)
{
	return dist_batch_can(rows_type(form));
}

/*
 * Makes a batch of 'count' queries, at most DIST_BATCH_QUERIES, which rows_query_row() has
 * made of rows of this form. Borrows them, and 'memory': dist_batch_size(rows->size) bytes aligned
 * to DIST_ALIGN.
 */
void rows_batch_init(struct rows_batch *batch, const struct rows_form *form,
		     const struct rows *rows, const struct rows_query *queries, uint32_t count,
		     void *memory);

/*
 * Writes DIST_BATCH_QUERIES distances for each of 'count' rows, at most ROWS_BATCH_ROWS, from
 * node 'first' on. Those beyond the number of queries mean nothing.
 */
void rows_batch_distances(const struct rows_batch *batch, const struct rows *rows, uint32_t first,
			  uint32_t count, float *ret_distances);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Truth bytes - exact search among vectors whose values all fit one byte
 *
 * Their products are integers, which i32 holds, so batches of queries can be
 * multiplied with rows (dist_batch.h). Sums of such integers in f64 are exact too: the hits
 * are those of the plain way to the bit, only sooner.
 *
 * Most rows are farther than the k-th hit of all queries. That is told from products in f32,
 * which never turns away a row that is nearer; what passes is computed in f64.
 *
 * Threads: one makes and frees, workers take items.
 */

#include "hnsw/truth.h"

#include <stddef.h>
#include <stdint.h>

struct truth_bytes;

/* What is searched. All of it is borrowed until truth_bytes_free(). */
struct truth_input {
	const float *base;
	const float *queries;
	uint32_t base_count;
	uint32_t query_count;
	uint32_t dim;
};

enum {
	TRUTH_BYTES_E_FLOATS = 1, /* values that no byte holds, or hardly a query to make a batch */
};

/*
 * Copies the vectors into rows of bytes: u8 when all of them fit, else i8.
 *
 * Returns 0, TRUTH_BYTES_E_FLOATS or -ENOMEM.
 */
int truth_bytes_new(const struct truth_input *input, const struct truth_options *options,
		    uint32_t workers, struct truth_bytes **ret_bytes);
void truth_bytes_free(struct truth_bytes *bytes);

/* Queries of an item. */
uint32_t truth_bytes_queries(const struct truth_bytes *bytes);

/* Finds the hits of an item's queries; 'hits' has k for each query of all items. */
void truth_bytes_item(const struct truth_bytes *bytes, uint32_t worker, uint32_t item,
		      struct truth_hit *hits);

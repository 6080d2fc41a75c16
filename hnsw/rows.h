/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Rows - what a node's row holds of its vector, and how to compare with it
 *
 * A row has the vector itself, in the type that it was given in, or, for f32, a
 * compact copy: one signed byte a value and two factors, which leaves a quarter of
 * the bytes to be fetched. Compact distances are close, not exact: who uses them
 * compares the best once more with the vectors themselves.
 *
 * With mu the mean of all vectors, x' = x - mu is stored as codes c and scale s so that s * c is
 * near x' (each value divided by the largest one's 1/127th and rounded, s fitted to the result by
 * least squares). Then, with e and t those of y,
 *
 *      |x - y|^2  =  |x'|^2 + |y'|^2 - 2 <x', y'>             ~  add_x + add_y - 2 s t <c, e>
 *      - <x, y>   =  add_x + add_y - <x', y'>                 ~  add_x + add_y - s t <c, e>
 *
 * where add_x is |x'|^2 or |mu|^2 / 2 - <x, mu>. Cosine distances of integers have the
 * same form: s is one over the norm and add is zero. So one expression serves
 * all:
 *
 *      offset + ((add_x + add_y) + gain * ((s_x * s_y) * kernel(x, y)))
 *
 * Threads: any.
 */

#include "hnsw/dist.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

/* Largest magnitude of a compact code. */
#define ROWS_CODE_MAX 127

struct rows_factors {
	float scale;
	float add;
};
static_assert(sizeof(struct rows_factors) == 8, "in the image");

/* How vectors are stored. */
struct rows_form {
	enum metric metric;
	enum vector_type type; /* of the vectors */
	uint32_t dim;
	bool compact;       /* rows hold compact copies; only with f32 */
	const float *mean;  /* of compact rows: 'dim' floats; borrowed */
	double mean_square; /* its square */
};

/* Where they are. */
struct rows {
	const uint8_t *first; /* of node 0 */
	uint64_t stride;
	uint32_t size;          /* bytes that are compared: a multiple of DIST_ALIGN */
	const uint8_t *factors; /* of node 0; NULL: there are none */
	uint64_t factors_stride;
};

/* One side of comparisons, ready for many. */
struct rows_query {
	dist_row_fn kernel;
	dist_many_fn many;
	const void *row;
	struct rows_factors factors;
	float offset;
	float gain;
};

static inline const uint8_t *rows_at(const struct rows *rows, uint32_t node)
{
	return rows->first + node * rows->stride;
}

/* NULL when there are none. */
static inline const struct rows_factors *rows_factors_at(const struct rows *rows, uint32_t node)
{
	return rows->factors ? (const void *)(rows->factors + node * rows->factors_stride) : NULL;
}

/* From what the kernel says; 'factors' are the row's, NULL when there are none. */
static inline float rows_finish(const struct rows_query *query, const struct rows_factors *factors,
				float value)
{
	if (!factors)
		return query->offset + query->gain * value;
	return query->offset + ((query->factors.add + factors->add) +
				query->gain * ((query->factors.scale * factors->scale) * value));
}

static inline float rows_distance(const struct rows_query *query, const struct rows *rows,
				  uint32_t node)
{
	return rows_finish(query, rows_factors_at(rows, node),
			   query->kernel(query->row, rows_at(rows, node), rows->size));
}

/* The same of many nodes: the same values, faster. */
static inline void rows_distances(const struct rows_query *query, const struct rows *rows,
				  const uint32_t *nodes, uint32_t count, float *ret_distances)
{
	const struct dist_places places = {rows->first, rows->stride, nodes, count};

	query->many(query->row, &places, rows->size, ret_distances);
	for (uint32_t i = 0; i < count; i++)
		ret_distances[i] =
			rows_finish(query, rows_factors_at(rows, nodes[i]), ret_distances[i]);
}

static inline void rows_prefetch(const struct rows *rows, uint32_t node)
{
	const uint8_t *row = rows_at(rows, node);

	if (rows->factors)
		__builtin_prefetch(rows_factors_at(rows, node));
	for (uint32_t at = 0; at < rows->size; at += CACHE_LINE)
		__builtin_prefetch(row + at);
}

static inline enum vector_type rows_type(const struct rows_form *form)
{
	return form->compact ? VECTOR_I8 : form->type;
}

static inline bool rows_have_factors(const struct rows_form *form)
{
	return form->compact || (form->metric == METRIC_COSINE &&
				 (form->type == VECTOR_I8 || form->type == VECTOR_U8));
}

/* Can vectors of that type be compared so? Bits have the Hamming distance only, which is L2. */
static inline bool rows_can(enum vector_type type, enum metric metric)
{
	return type != VECTOR_B1 || metric == METRIC_L2;
}

/*
 * Fills the row of a vector of 'form->dim' floats that the type can hold, and its
 * factors. Under cosine the vector has norm 1 or is zero, unless the type is of
 * integers.
 */
void rows_encode(const struct rows_form *form, const float *vector, void *row,
		 struct rows_factors *factors);

/*
 * Makes 'vector' (of dist_row_values() floats of the row's type, padded with zeros; as
 * for rows_encode(), but of any values) comparable to rows. 'scratch' takes
 * a row. Borrows both.
 */
void rows_query(const struct rows_form *form, const float *vector, void *scratch,
		struct rows_query *ret_query);

/* The same with a row as it is stored. */
void rows_query_row(const struct rows_form *form, const void *row,
		    const struct rows_factors *factors, struct rows_query *ret_query);

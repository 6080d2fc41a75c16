/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Vector source - vectors as they lie in somebody's memory
 *
 * Whoever works on many vectors takes them one by one as f32, so that a file of
 * bytes needs no copy of four times its size.
 *
 * Threads: any, each with a scratch of its own.
 */

#include "base/vector_type.h"

#include <stddef.h>
#include <stdint.h>

struct vector_source {
	const void *first;     /* of row 0; borrowed; aligned for its values */
	enum vector_type type; /* VECTOR_F32, VECTOR_I8 or VECTOR_U8 */
	uint32_t dim;
	uint64_t stride; /* bytes from a row to the next */
};

/* Rows of f32, one behind the other. */
static inline struct vector_source vector_source_floats(const float *rows, uint32_t dim)
{
	return (struct vector_source){rows, VECTOR_F32, dim, dim * sizeof(*rows)};
}

/* Row 'row' as floats: itself when it is of f32, else put into 'scratch', which has room for it. */
static inline const float *vector_source_row(const struct vector_source *source, size_t row,
					     float *scratch)
{
	const void *from = (const uint8_t *)source->first + row * source->stride;
	const uint8_t *bytes = (const uint8_t *)from;
	const int8_t *signed_bytes = (const int8_t *)from;

	if (source->type == VECTOR_F32)
		return (const float *)from;
	if (source->type == VECTOR_U8)
		for (uint32_t i = 0; i < source->dim; i++)
			scratch[i] = bytes[i];
	else
		for (uint32_t i = 0; i < source->dim; i++)
			scratch[i] = signed_bytes[i];
	return scratch;
}

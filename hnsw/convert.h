/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Convert - vectors of f32 made rows of another type, and back
 *
 * f16 and bf16 round to nearest, ties to even. i8, u8 and b1 take only values that
 * they hold exactly: who wants to scale or to cut knows better how. Back to f32
 * everything is exact.
 *
 *      convert_check()  once for each vector from outside
 *      convert_row()    can't fail after it
 *
 * Threads: any.
 */

#include "base/vector_type.h"

#include <stdbool.h>

enum {
	CONVERT_E_FINITE = 1, /* NaN or infinite */
	CONVERT_E_RANGE,      /* beyond the type's greatest or least */
	CONVERT_E_INTEGER,    /* a fraction, and the type holds integers */
	CONVERT_E_BIT,        /* neither 0 nor 1 */
};

/*
 * Can a row of 'type' hold these values?
 *
 * Returns 0, or why not, with the first such value's index in '*ret_index'.
 */
int convert_check(enum vector_type type, const float *values, size_t dim, size_t *ret_index);

/* What such a code means, to follow "value 1.5 at 7": "is no integer". */
const char *convert_refusal(int code);

/*
 * Fills a row of dist_row_size() bytes, padding included. A negative zero, also one
 * that comes of rounding, becomes a positive one, so that equal vectors have equal
 * bytes.
 */
void convert_row(enum vector_type type, const float *values, size_t dim, void *ret_row);

/*
 * Fills a row of i8 or u8 of any values: what is beyond the type's range is cut to it, fractions
 * are dropped, a NaN is the least. Returns whether the row holds them exactly.
 */
bool convert_bytes(enum vector_type type, const float *values, size_t dim, void *ret_row);

/* The first 'dim' values of a row. */
void convert_back(enum vector_type type, const void *row, size_t dim, float *ret_values);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Dist - distance kernels, chosen at run time
 *
 * One table an instruction set; dist_best() gives the best that this processor
 * has, or the one that the environment variable TERN_ISA names (scalar, avx2,
 * avx512, amx), so that tests can force one. That of amx is AVX-512's by another
 * name: its own kernels are those of dist_batch.h.
 *
 * Every table gives the same bits, so an index doesn't depend on the processor
 * that built it. Floats of 16 bits are made f32 first, which is exact; f32 are
 * added in the same order everywhere (see dist_order.h), in f32 lanes. Integers
 * are added in i32, exactly, and made a float once, at the end.
 *
 * Kernels work on rows padded with zeros to a multiple of DIST_ALIGN bytes: a
 * zero adds nothing to any of the sums. They read no byte beyond the padding, are
 * fastest on rows aligned to as much, and right on any.
 *
 * Threads: any.
 */

#include "base/defs.h"
#include "base/metric.h"
#include "base/vector_type.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Rows are padded to a multiple of so many bytes: one AVX-512 register. */
#define DIST_ALIGN 64

/* The same for rows of f32, in floats. */
#define DIST_PAD 16

/* Values of a row: of more, the sum of 255 * 255 each would leave i32. */
#define DIST_DIM_MAX 32768

typedef float (*dist_fn)(const float *a, const float *b, size_t padded_dim);

/* The same in f64, for rows of any length: what truth is computed with. */
typedef double (*dist_exact_fn)(const float *a, const float *b, size_t dim);

/* For rows of any type: 'row_size' is dist_row_size(), a multiple of DIST_ALIGN. */
typedef float (*dist_row_fn)(const void *a, const void *b, size_t row_size);

/* Rows of one size: those numbered 'nodes', 'stride' bytes apart from 'first' on. */
struct dist_places {
	const uint8_t *first;
	uint64_t stride;
	const uint32_t *nodes;
	uint32_t count;
};

/* One row against many: the same values as one by one, faster. */
typedef void (*dist_many_fn)(const void *a, const struct dist_places *places, size_t row_size,
			     float *ret_values);

/*
 * The kernels of one type. L2 is the sum of squared differences, ip the dot
 * product, not negated. 'row_size' is always that of the row of this type.
 *
 * b1 has pair_l2 only, the others are NULL: the number of bits that differ, which
 * is the Hamming distance and the squared L2 of vectors of zeros and ones.
 */
struct dist_kernels {
	dist_row_fn pair_l2; /* two rows of the type */
	dist_row_fn pair_ip;
	dist_row_fn mixed_l2; /* a: dist_row_values() floats; b: a row of the type */
	dist_row_fn mixed_ip;
	dist_many_fn many_pair_l2; /* the same four against many rows */
	dist_many_fn many_pair_ip;
	dist_many_fn many_mixed_l2;
	dist_many_fn many_mixed_ip;
};

struct dist_table {
	const char *isa;
	dist_fn l2; /* sum of squared differences */
	dist_fn ip; /* dot product, not negated */
	dist_exact_fn exact_l2;
	dist_exact_fn exact_ip;
	struct dist_kernels kernels[VECTOR_TYPE_COUNT];
};

/* Never NULL. Says on stderr, once, when TERN_ISA names what is not here. */
const struct dist_table *dist_best(void);

/* The table of that name if this processor can run it, else NULL. */
const struct dist_table *dist_find(const char *isa);

static inline size_t dist_padded(size_t dim)
{
	return (dim + DIST_PAD - 1) & ~(size_t)(DIST_PAD - 1);
}

/* Bytes of a padded row of 'dim' values. */
static inline size_t dist_row_size(enum vector_type type, size_t dim)
{
	return align_up(vector_type_size(type, dim), DIST_ALIGN);
}

/* Values of a padded row: as many floats has a query for it, the last ones zero. */
static inline size_t dist_row_values(enum vector_type type, size_t dim)
{
	return dist_row_size(type, dim) * 8 / vector_type_bits(type);
}

/*
 * A metric as one expression without a branch: offset + sign * kernel(a, b).
 * Adding the offset turns a negative zero into a positive one.
 */
struct dist_measure {
	dist_fn kernel;
	float offset;
	float sign;
};

struct dist_measure dist_measure(const struct dist_table *table, enum metric metric);

static inline float dist_between(const struct dist_measure *measure, const float *a, const float *b,
				 size_t padded_dim)
{
	return measure->offset + measure->sign * measure->kernel(a, b, padded_dim);
}

/*
 * The same for rows of any type. Rows of floats are normalised under cosine, those
 * of integers keep their integers: 'scaled' says that the dot product has to be
 * multiplied by the rows' inverse norms. The kernels are NULL where the type
 * doesn't have the metric.
 */
struct dist_row_measure {
	dist_row_fn pair;
	dist_row_fn mixed;
	dist_many_fn many_pair;
	dist_many_fn many_mixed;
	float offset;
	float sign;
	bool scaled;
};

struct dist_row_measure dist_row_measure(const struct dist_table *table, enum vector_type type,
					 enum metric metric);

/*
 * The distance, from what a kernel of 'measure' returned. 'scale' is the product
 * of what dist_inverse_norm() says of each side (of a normalised query: 1) where
 * the measure is scaled, and 1 elsewhere, which changes nothing.
 */
static inline float dist_row_distance(const struct dist_row_measure *measure, float value,
				      float scale)
{
	return measure->offset + measure->sign * (value * scale);
}

/* The dot product of a padded row of i8 or u8 with itself. */
int32_t dist_square(enum vector_type type, const void *row, size_t row_size);

/*
 * One over the square root of the sum of squares of a padded row of i8 or u8,
 * rounded once from f64; 0 for a row of zeros, which is then at cosine distance 1
 * of everything.
 */
float dist_inverse_norm(enum vector_type type, const void *row, size_t row_size);

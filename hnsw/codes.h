/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Codes - a bit a value, enough to tell how far a node's neighbours are
 *
 * Codes of a node's neighbours stand in the node's own row: one stretch of memory
 * (or one READ) gives the distance of the node itself and estimates for all its
 * neighbours, where comparing with their vectors would take a jump for each.
 *
 * The estimator is RaBitQ's (Gao and Long, SIGMOD 2024), relative to the node as in NGT-QG
 * and SymphonyQG. Let x be a neighbour of c, r the rotated x - c, b_i = 1 where
 * r_i > 0 and -1 elsewhere, for the first 'bits' values. For a rotation drawn at random
 *
 *      <x - c, y>  ~  |x - c|^2 / sum |r_i|  *  sum b_i y_i          without bias
 *
 * where y is the rotated q - c. Since sum b_i c_i is known when x is encoded, only S = sum b_i q_i
 * is left to the query, with q rotated once for all rows:
 *
 *      distance(x, q)  ~  distance(c, q) + A - B * S
 *
 *      g = |x - c|^2 / sum |r_i|        L2: A = |x - c|^2 + 2 g sum b_i c_i,  B = 2 g
 *      otherwise                            A = g sum b_i c_i - <x - c, c>,   B = g
 *
 * (c_i and q_i are taken less the mean of all vectors, which cancels out, and keeps
 * them small.) Its error is of the order of |x - c| |q - c| / sqrt(bits), so near nodes are
 * told apart best.
 *
 * S is summed in integers: the query's values are rounded to 63 steps, and a table has the
 * sum of each four of them for each of 16 patterns of signs, plus 124 to be
 * positive, so that one byte shuffle looks up four values of 16 neighbours
 * (Andre et al., "Cache locality is not enough", VLDB 2015).
 *
 * Neighbours are encoded in blocks of 32:
 *
 *      | A: 32 x bf16 | B: 32 x bf16 | 16 bytes for each four values |
 *
 * Byte j of those 16 has the four signs of neighbour j in its low half and those of
 * neighbour j + 16 in its high half. A place that is not taken has an infinite A.
 *
 * Integers are exact and floats are made in one order, so every kernel gives the same bits.
 *
 * Threads: any.
 */

#include "base/metric.h"
#include "hnsw/rotate.h"

#include <stddef.h>
#include <stdint.h>

/* Neighbours of a block. */
#define CODES_BLOCK 32

/* Values a code has bits for are a multiple of this, and at most the rotated vector's. */
#define CODES_BITS_ALIGN ROTATE_ALIGN

/* Largest magnitude of a query's step; four of them and the offset fit a byte. */
#define CODES_STEP_MAX 31

/* What makes a sum of four steps positive. */
#define CODES_OFFSET (4 * CODES_STEP_MAX)

/* What codes are made in. */
struct codes_space {
	enum metric metric;
	uint32_t dim;
	uint32_t bits;
	const float *mean; /* 'dim' floats near the mean of all vectors; borrowed */
	struct rotate rotate;
};

/* A query, ready for many blocks. */
struct codes_query {
	const uint8_t *table; /* 4 * bits bytes, aligned to 64; borrowed */
	uint32_t bits;
	float step;
};

/*
 * Scores a block. 'from' is the distance of the query to the block's node; 'ret_scores' gets
 * 32 estimates. Returns a bit for each that is less than 'bound'. Meanwhile the bytes at
 * 'ahead', as many as a block has codes, are asked for: they may be any address.
 */
typedef uint32_t (*codes_score_fn)(const struct codes_query *query, const uint8_t *block,
				   float from, float bound, const uint8_t *ahead,
				   float *ret_scores);

/* One a set of instructions. */
struct codes_kernels {
	rotate_fn rotate;
	/* Fills a query's table from its steps. */
	void (*fill_table)(const int8_t *steps, uint32_t bits, uint8_t *table);
	codes_score_fn score;
};

/* Those that go with dist_best(). */
const struct codes_kernels *codes_best(void);

/* Those that go with the dist_table of that name, else NULL. */
const struct codes_kernels *codes_find(const char *isa);

static inline size_t codes_block_size(uint32_t bits)
{
	return 2 * CODES_BLOCK * sizeof(uint16_t) + (size_t)4 * bits;
}

/* Bytes of the codes of 'count' vectors. */
static inline size_t codes_size(uint32_t count, uint32_t bits)
{
	return (size_t)((count + CODES_BLOCK - 1) / CODES_BLOCK) * codes_block_size(bits);
}

static inline size_t codes_table_size(uint32_t bits)
{
	return (size_t)4 * bits;
}

/* 'bits' is a multiple of CODES_BITS_ALIGN, at most rotate_size(dim). */
struct codes_space codes_space(enum metric metric, uint32_t dim, uint32_t bits, const float *mean);

/*
 * Makes a query of 'vector' (dim floats; normalised under cosine). 'scratch'
 * (rotate_size(dim) floats) and 'table' are aligned to 64; the query borrows 'table'. 'vector' may
 * be 'scratch'.
 */
void codes_query(const struct codes_space *space, const float *vector, float *scratch,
		 uint8_t *table, struct codes_query *ret_query);

/* Rotates a node's vector less the mean into 'ret_rotated', to encode its neighbours. */
void codes_rotate(const struct codes_space *space, const float *vector, float *ret_rotated);

/* Makes every place of the blocks for 'count' vectors one that is not taken. */
void codes_clear(const struct codes_space *space, uint32_t count, uint8_t *blocks);

/*
 * Encodes 'vector' into place 'index' of cleared blocks, as a neighbour of the node at 'from',
 * which codes_rotate() has made 'from_rotated'. 'scratch' as for codes_query().
 */
void codes_encode(const struct codes_space *space, const float *from, const float *from_rotated,
		  const float *vector, float *scratch, uint8_t *blocks, uint32_t index);

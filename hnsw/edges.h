/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Edges - a segment's image made again with codes in its rows
 *
 * The graph, the labels and the vectors stay what they are; every row gets the codes
 * of its neighbours, and the image gets landmarks to begin at. So a segment is
 * linked in the layout that suits building, and gets the one that suits
 * searching when it is sealed.
 *
 * Threads: one call at a time; it uses the workers that it is given.
 */

#include "hnsw/layout.h"
#include "hnsw/segment.h"
#include "hnsw/workers.h"

#include <stdbool.h>
#include <stdint.h>

/* What the codes of all landmarks take at most: they are read for every search. */
#define EDGES_LANDMARKS_SIZE 32768

/* Bits of an edge's code that suit most vectors of 'dim' values. */
uint32_t edges_bits(uint32_t dim);

/* Can edges of such vectors have codes of so many bits? */
bool edges_can(enum vector_type type, uint32_t dim, uint32_t bits);

/* Bytes of the image that edges_make() makes of one of that shape, at most. */
uint64_t edges_size(const struct layout_shape *plain, uint32_t bits, bool compact);

/*
 * Makes the image of 'segment', which has no codes and is numbered by label, with codes of 'bits'
 * bits (as edges_can() wants). 'compact' keeps compact rows, else rows hold the vectors themselves.
 * Everything is filled in but the checksums, ef_default and the rows' error.
 *
 * Returns 0 or -ENOMEM.
 */
int edges_make(const struct segment *segment, uint32_t bits, bool compact, struct workers *workers,
	       struct layout_image *ret_image);

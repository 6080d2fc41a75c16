/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Order - a segment's image made again with its nodes numbered for locality
 *
 * Nodes are numbered by label when a graph is linked, which puts neighbours anywhere. Here each
 * next number goes to the node that most of the last ORDER_WINDOW nodes link to, so that the
 * rows of a list stand on fewer pages. That is the greedy order of Wei, Yu, Lu and Lin,
 * "Speedup graph processing by graph ordering" (SIGMOD 2016), without its count of common
 * neighbours, which takes ten times as long for a twentieth fewer pages.
 *
 * Everything else stays what it is: searches meet the same vectors and answer the same labels.
 *
 * Threads: one call at a time; it uses the workers that it is given.
 */

#include "hnsw/layout.h"
#include "hnsw/segment.h"
#include "hnsw/workers.h"

#include <stdint.h>

/* More nodes than stand on a page are counted for nothing. */
#define ORDER_WINDOW 16

/*
 * Makes the image of 'segment', whose nodes are numbered by label, with nodes numbered for
 * locality. Everything is filled in but the checksums.
 *
 * Returns 0 or -ENOMEM. Depends on the segment alone.
 */
int order_make(const struct segment *segment, struct workers *workers,
	       struct layout_image *ret_image);

/* Bytes that it takes beside the two images, at most. */
uint64_t order_memory(const struct layout_shape *shape);

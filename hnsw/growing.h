/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Growing - an HNSW index that one thread adds to while others search it
 *
 * Malkov and Yashunin's algorithm 1, one node at a time, in memory that is
 * reserved for a fixed number of vectors and takes pages as they come. Searches
 * see it as a segment (growing_view()) and run the same machine as on a sealed
 * one.
 *
 * What a reader may see while the writer works:
 *
 *   1. A node's vector, label and own lists are written before the count that
 *      includes it (release), and a view's count is read before them (acquire).
 *   2. Lists of nodes that are there already change in place, a word at a time.
 *      A reader may meet a list half old and half new: some neighbours twice, some
 *      missing. Every word is a node, or one beyond the view's count, which the
 *      reader passes over; so it walks a graph a little poorer than both, for the
 *      length of one hop.
 *   3. The entry point only changes to a node of a higher level. All entry points
 *      are kept, since a view needs the last one that is below its count.
 *
 * So a reader waits for nobody and a writer for no reader.
 *
 * Every vector is born at a time, a number that the writer counts up. A view is
 * of a time: it has the vectors born until then.
 *
 * Equal vectors are in the graph once, as the first that came; the others hang on
 * it in a chain of twins.
 *
 * The same vectors in the same order give the same index.
 *
 * Threads: one writer; views are made and searched by any thread, until
 * growing_free().
 */

#include "base/metric.h"
#include "base/vector_type.h"
#include "hnsw/segment.h"

#include <stddef.h>
#include <stdint.h>

struct growing;

/* What a search with ef 0 gets. */
#define GROWING_EF_DEFAULT 64

enum {
	GROWING_E_FULL = 1, /* it has 'capacity' vectors */
	GROWING_E_VALUE,    /* a value that is not finite, or that the type can't hold */
};

struct growing_options {
	enum metric metric;
	enum vector_type type; /* what vectors are stored as */
	uint32_t dim;
	uint32_t capacity;        /* vectors */
	uint32_t m;               /* 0: 16 */
	uint32_t ef_construction; /* 0: 200 */
	uint64_t seed;
};

/* Reserves the memory. Returns 0, -EINVAL or -ENOMEM. */
int growing_new(const struct growing_options *options, struct growing **ret_growing);
void growing_free(struct growing *growing);

/*
 * Adds a copy of 'vector' (dim floats) under 'label', born at 'time', which is later than
 * the time before. Returns 0 and the new node's number, or GROWING_E_*.
 */
int growing_insert(struct growing *growing, uint32_t label, const float *vector, uint64_t time,
		   uint32_t *ret_node);

/* The node that got the label last, or UINT32_MAX. For the writer. */
uint32_t growing_find(const struct growing *growing, uint32_t label);

/*
 * The index as of 'time', which was read (with acquire) from where the writer put it (with
 * release) after an insert. Borrows from 'growing'.
 */
void growing_view(const struct growing *growing, uint64_t time, struct segment *ret_view);

/* Vectors in it. For the writer. */
uint32_t growing_count(const struct growing *growing);

/* Bytes written so far, all counted. For the writer. */
size_t growing_size(const struct growing *growing);

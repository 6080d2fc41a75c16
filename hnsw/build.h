/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Build - from vectors, given as f32, to a sealed segment
 *
 * Malkov and Yashunin, "Efficient and robust approximate nearest neighbor
 * search using HNSW graphs" (TPAMI 2020): algorithms 1 (insert), 2 (search
 * layer), 4 (heuristic selection).
 *
 * The result depends on rows, options and seed alone, not on the number of
 * threads.
 *
 * Threads: one call at a time a build; it starts and joins its own workers.
 */

#include "base/metric.h"
#include "base/vector_source.h"
#include "base/vector_type.h"

#include <stddef.h>
#include <stdint.h>

/* What the rows of a segment of f32 hold: see hnsw/rows.h. */
enum build_rows {
	BUILD_ROWS_AUTO = 0, /* compact ones, unless they don't keep near vectors apart */
	BUILD_ROWS_COMPACT,
	BUILD_ROWS_FULL, /* the vectors themselves, as those of other types do */
	BUILD_ROWS_COUNT
};

/* What else they hold: see hnsw/edges.h. */
enum build_layout {
	BUILD_LAYOUT_AUTO = 0, /* whichever is faster, if it isn't much longer */
	BUILD_LAYOUT_PLAIN,
	BUILD_LAYOUT_EDGES, /* codes of each edge; unless the type is b1 */
	BUILD_LAYOUT_COUNT
};

/* How nodes are numbered: see hnsw/order.h. Searches answer the same. */
enum build_order {
	BUILD_ORDER_LABEL = 0,
	BUILD_ORDER_GRAPH, /* neighbours near each other */
	BUILD_ORDER_COUNT
};

struct build_options {
	enum metric metric;
	enum vector_type type; /* what vectors are stored as; bits only under L2 */
	enum build_rows rows;
	enum build_layout layout;
	enum build_order order;
	uint32_t edge_bits;       /* of an edge's code, a multiple of 64; 0: by dim */
	uint32_t m;               /* 0: 16 */
	uint32_t ef_construction; /* 0: 200 */
	uint32_t threads;         /* 0: 1 */
	uint64_t seed;
	uint64_t generation;
	float recall_target; /* what ef_default is tuned for, on a sample of the rows; 0: 0.95 */
	/* Called now and then from the calling thread; may be NULL. */
	void (*progress)(void *context, uint64_t done, uint64_t total);
	void *context;
};

enum {
	BUILD_E_VALUE = 1, /* a NaN or an infinity in row '*ret_bad_row' */
	BUILD_E_TYPE,      /* a value in that row that the type can't hold: see hnsw/convert.h */
};

struct build_image {
	void *bytes; /* owned: build_image_free() */
	size_t size;
};

/* Everything is borrowed until the segment is built. */
struct build_input {
	struct vector_source vectors;
	const uint32_t *picks;  /* rows that are indexed; NULL: 0 to count - 1 */
	const uint32_t *labels; /* the vector id of each, ascending or not, unique; NULL: 0 on */
	uint32_t count;
};

/*
 * Builds and seals an index.
 *
 * Returns 0, BUILD_E_* with the row, not the pick, in '*ret_bad_row', -EINVAL (an option or
 * dim is out of range) or -ENOMEM.
 */
int build_index(const struct build_input *input, const struct build_options *options,
		struct build_image *ret_image, uint64_t *ret_bad_row);

/* The same over 'count' rows of 'dim' floats, row-major, not padded. */
int build_segment(const float *rows, const uint32_t *labels, uint32_t count, uint32_t dim,
		  const struct build_options *options, struct build_image *ret_image,
		  uint64_t *ret_bad_row);
void build_image_free(struct build_image *image);

struct build_memory {
	uint64_t image;   /* bytes, at most: of the index, which stays */
	uint64_t scratch; /* beside it until it is built; the input is not in it */
};

/* What a build of 'count' vectors of 'dim' values takes. Returns 0, or -EINVAL as the build would.
 */
int build_memory(uint32_t count, uint32_t dim, const struct build_options *options,
		 struct build_memory *ret_memory);

/* Writes the image to a temporary beside 'path', syncs, and renames. Returns 0 or a negative errno.
 */
int build_image_save(const struct build_image *image, const char *path);

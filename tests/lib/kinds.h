/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Kinds - every way in which a segment can hold vectors, for tests
 *
 * Threads: any.
 */

#include "hnsw/build.h"
#include "hnsw/search.h"
#include "hnsw/segment.h"

#include <stdint.h>

struct kind {
	enum metric metric;
	enum vector_type type;
	enum build_rows rows;
	enum build_layout layout;
};

/* All that build_segment() takes and does, none left to it. */
extern const struct kind kinds[];
extern const unsigned kinds_count;

/* "f32 compact edges, cosine". */
void kinds_name(const struct kind *kind, char *name, size_t size);

/* index_rows(), as values that the type can hold; free(). */
float *kinds_vectors(enum vector_type type, uint32_t count, uint32_t dim, uint64_t seed);

/* Vectors to build from; labels are their numbers. */
struct kinds_input {
	const float *rows;
	uint32_t count;
	uint32_t dim;
	uint32_t threads; /* 0: 1 */
	enum build_order order;
};

/* Builds with small options and attaches; both succeed or the test fails. */
void kinds_build(const struct kind *kind, const struct kinds_input *input,
		 struct build_image *ret_image, struct segment *ret_segment);

/* One query alone. Returns the number of hits. */
unsigned kinds_ask(struct search *search, const struct segment *segment, const float *query,
		   const struct search_params *params, struct search_hit *hits);

/*
 * The share of k nearest rows that are found, as compared with the segment's own
 * vectors one by one in f64. Each hit's distance is checked on the way.
 */
double kinds_recall(const struct segment *segment, const float *queries, uint32_t query_count,
		    const struct search_params *params);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Index - vectors made from a seed, and a segment over them, for tests
 */

#include "base/metric.h"
#include "hnsw/build.h"
#include "hnsw/search.h"
#include "hnsw/segment.h"

#include <stdint.h>

/* 'count' rows of 'dim' values in [-1, 1) around a few centres; free(). */
float *index_rows(uint32_t count, uint32_t dim, uint64_t seed);

/* Builds with small options and attaches; both succeed or the test fails. */
void index_build(const float *rows, const uint32_t *labels, uint32_t count, uint32_t dim,
		 enum metric metric, struct build_image *ret_image, struct segment *ret_segment);

/* The same with codes of the edges in the rows. */
void index_build_edges(const float *rows, const uint32_t *labels, uint32_t count, uint32_t dim,
		       enum metric metric, struct build_image *ret_image,
		       struct segment *ret_segment);

/* The same with options of one's own. */
void index_build_as(const float *rows, const uint32_t *labels, uint32_t count, uint32_t dim,
		    const struct build_options *options, struct build_image *ret_image,
		    struct segment *ret_segment);

/* A machine large enough for the segment. */
struct search *index_search(const struct segment *segment);

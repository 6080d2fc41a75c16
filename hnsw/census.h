/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Census - what a segment is made of, and whether its graph hangs together
 *
 * Twins are no part of the graph (hnsw/layout.h), so they are counted apart.
 *
 * Threads: any.
 */

#include "hnsw/segment.h"

#include <stdint.h>

/* What the processor translates at a time where no pages are huge. */
#define CENSUS_PAGE 4096

/* Parts that census_parts() can name. */
#define CENSUS_PART_MAX 16

/* Bytes of an image that serve one purpose. */
struct census_part {
	const char *name;
	uint64_t size;
};

struct census {
	uint32_t graph_count;                         /* nodes that are no twin of an earlier one */
	uint32_t twin_count;                          /* the others */
	uint32_t level_counts[SEGMENT_LEVEL_MAX + 1]; /* graph nodes whose highest level it is */
	uint32_t degrees[2 * SEGMENT_M_MAX + 1];      /* nodes with so many neighbours at level 0 */
	uint32_t upper_degrees[SEGMENT_M_MAX + 1];    /* records with so many above */
	uint32_t in_least, in_median, in_most;        /* lists at level 0 that a node is in */
	uint32_t in_none;                             /* nodes in no list */
	/* How near each other the rows of a list of level 0 are; sums over all lists. */
	uint64_t links;
	uint64_t link_runs;     /* of rows that follow each other */
	uint64_t link_pages;    /* of CENSUS_PAGE bytes on which vectors of them begin */
	uint32_t reached_below; /* from the entry, by lists of level 0 alone */
	uint32_t reached;       /* the same from every node that a search may come down at */
};

/* Counts. Returns 0 or -ENOMEM. */
int census_take(const struct segment *segment, struct census *ret_census);

/* All bytes of the image by part, the padding last; returns how many parts there are. */
unsigned census_parts(const struct segment *segment, struct census_part parts[CENSUS_PART_MAX]);

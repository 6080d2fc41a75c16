/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Segment - a sealed HNSW index, as one position-independent image
 *
 * One contiguous, 64-byte-aligned, checksummed arena: the same bytes in a
 * file, in (huge) pages and under RDMA. Inside it only offsets and node
 * numbers. It never changes after the seal; docs/format/segment.md has the bytes.
 *
 * A node has a number (its place) and a label: the collection-wide vector id
 * that filters and answers speak of.
 *
 * Opening checks everything that a search relies on (sizes, offsets, every
 * neighbour and label, checksum), so that a crafted file is refused and the
 * search itself needs no checks.
 *
 * Threads: opening and closing by one; a segment that is open can be read by any.
 */

#include "base/metric.h"
#include "base/vector_type.h"
#include "hnsw/codes.h"
#include "hnsw/rows.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEGMENT_ALIGN 64

/* Levels above 0 that a node can have: with m = 2 a node in 65,536 would ask for more. */
#define SEGMENT_LEVEL_MAX 16

#define SEGMENT_DIM_MAX 4096

/* Neighbours above level 0; twice as many there. */
#define SEGMENT_M_MAX 128

/* Of a tuned ef; more than any search has. */
#define SEGMENT_EF_MAX 8192

/* A node's number must leave one bit of 32 to the search. */
#define SEGMENT_COUNT_MAX (UINT32_C(1) << 31)

/* Recalls for which a segment says what ef it takes, ascending: 0.90, 0.95, 0.98, 0.99. */
#define SEGMENT_RECALL_COUNT 4
extern const float segment_recalls[SEGMENT_RECALL_COUNT];

enum {
	SEGMENT_E_CORRUPT = 1, /* not a segment, or a damaged one; the text says where */
	SEGMENT_E_VERSION,     /* a segment of a version that we don't read */
};

struct remote;

struct segment {
	const uint8_t *image; /* borrows or owns: see segment_attach() and segment_open() */
	uint64_t image_size;
	uint64_t generation;
	enum metric metric;
	enum vector_type type; /* of the vectors */
	uint32_t dim;
	uint32_t count; /* vectors */
	uint32_t entry; /* node number of the entry point; undefined when count is 0 */
	uint32_t entry_level;
	uint32_t m;                              /* neighbours above level 0; twice as many there */
	uint32_t ef_default;                     /* what a search with ef 0 gets */
	uint32_t ef_tuned[SEGMENT_RECALL_COUNT]; /* what each recall takes; 0 in a view of a growing
						    index */
	/* The rest is between segment.c, build.c and search.c: see layout.h. */
	uint32_t entry_record;
	struct rows_form form;
	struct rows compared;     /* what rows have of the vectors: themselves, or compact copies */
	float row_error;          /* of compact distances, seldom more */
	struct codes_space codes; /* of edges; their bits are 0 when there are none */
	uint64_t edges_offset;    /* of the edges' codes in a row */
	const uint32_t *landmarks;     /* where searches by codes begin */
	const uint8_t *landmark_codes; /* relative to the mean */
	uint32_t landmark_count;
	const uint8_t *rows;
	uint64_t row_stride;    /* bytes */
	uint64_t vector_offset; /* of the vector in its row */
	const uint8_t *vectors; /* of node 0, itself */
	uint64_t vector_stride;
	const uint32_t *labels; /* ascending, unless 'growing' or 'sorted' */
	const uint32_t *sorted; /* nodes by ascending label; NULL: they are numbered so */
	const uint32_t *twins;  /* NULL when no two vectors are equal */
	const uint8_t *upper;
	uint64_t upper_stride;
	uint32_t upper_count;
	bool growing;          /* a view of a growing index (hnsw/growing.h), not of an image */
	struct remote *remote; /* rows and vectors are asked for there; NULL: they are here */
	void *mapping;         /* owned when not NULL */
	uint64_t mapping_size;
	int memory_fd; /* of the mapping, which begins with the image: sealed, for peers of this
			  host to map (base/memory.h); -1: none. Owned with the mapping */
};

/*
 * Checks 'image', which lies at a multiple of SEGMENT_ALIGN, and fills '*ret_segment', which
 * borrows it. 'error' (of 'error_size' bytes) gets one line on failure.
 *
 * Returns 0, SEGMENT_E_* or -ENOMEM (for a bit a node while it checks).
 */
int segment_attach(const void *image, size_t size, struct segment *ret_segment, char *error,
		   size_t error_size);

/*
 * Loads the file at 'path' into memory of its own: huge pages when there are
 * any and 'huge' asks for them, of NUMA node 'numa_node' unless it is -1;
 * if neither is asked for it is mapped. 'error' gets one line on failure, which leaves the path to
 * the caller. Returns 0, SEGMENT_E_* or a negative errno.
 */
struct segment_open_options {
	bool huge;
	int numa_node; /* -1: wherever */
};

int segment_open(const char *path, const struct segment_open_options *options,
		 struct segment *ret_segment, char *error, size_t error_size);
void segment_close(struct segment *segment);

/* The node that has the label with 'rank' lower ones. Not of a growing index. */
static inline uint32_t segment_ranked(const struct segment *segment, uint32_t rank)
{
	return segment->sorted ? segment->sorted[rank] : rank;
}

/* The node with that label, or UINT32_MAX. Not of a growing index. */
uint32_t segment_find(const struct segment *segment, uint32_t label);

/*
 * The ef that takes a search to 'recall' at 10, by what was measured at build on a sample of the
 * rows: that of the least of segment_recalls which is no less, or of the greatest. 0:
 * ef_default.
 */
uint32_t segment_ef(const struct segment *segment, float recall);

/* The vectors themselves, to be compared with. */
void segment_exact(const struct segment *segment, struct rows_form *ret_form,
		   struct rows *ret_rows);

/* The vector of node 'node', as 'dim' floats; normalised under cosine unless its type is of
 * integers. */
void segment_vector(const struct segment *segment, uint32_t node, float *ret_values);

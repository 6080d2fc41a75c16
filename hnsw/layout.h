/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Layout - where things are in a segment's image
 *
 * docs/format/segment.md is normative; this is the same in C, shared by the
 * build, which writes an image in place, by segment.c, which checks it, and by
 * the search.
 *
 *      header | mean? | landmarks? | rows | factors? | vectors? | labels | sorted? | twins? |
 *      owners | upper
 *
 *      row     | 2m neighbours at level 0 | vector | factors? | edge codes? |   one a node
 *      upper   | m links { node, record } |               one a node and level >= 1
 *
 * What a row has of the vector is hnsw/rows.h's matter. Where it is a compact
 * copy, the vectors themselves stand in a part of their own that searches seldom touch.
 *
 * A segment has edge codes or not. With them (hnsw/codes.h) a row is all that a hop needs:
 * so factors, if there are any, stand in it too, and searches begin at the nearest of the
 * landmarks, nodes of one upper level whose codes, relative to the mean, are scanned.
 *
 * Nodes are numbered by label, or otherwise (hnsw/order.h); then 'sorted' has them by label.
 *
 * Neighbour lists end at LAYOUT_NONE or when full. A node's records follow each
 * other, level 1 first, so descending a level is the record before. Links above
 * level 0 name the neighbour's record at the same level beside its number, so
 * that nothing has to be looked up on the way.
 *
 * Equal vectors are in the graph once, as the one with the lowest number; the
 * others hang on it in a chain of twins. A thousand copies of one vector would
 * otherwise fill each other's lists and shut off what lies behind them.
 *
 * Every offset is a function of struct layout_shape: the header repeats them for
 * other readers, and they must agree.
 *
 * Threads: any.
 */

#include "base/byteorder.h"
#include "base/defs.h"
#include "hnsw/codes.h"
#include "hnsw/rows.h"
#include "hnsw/segment.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define LAYOUT_MAGIC       "TERNSEG\n"
#define LAYOUT_VERSION     4
#define LAYOUT_HEADER_SIZE 256
#define LAYOUT_NONE        UINT32_MAX

/* The header's fields, at their offsets; all little endian. */
enum {
	LAYOUT_AT_MAGIC = 0,
	LAYOUT_AT_VERSION = 8,
	LAYOUT_AT_HEADER_SIZE = 12,
	LAYOUT_AT_IMAGE_SIZE = 16,
	LAYOUT_AT_GENERATION = 24,
	LAYOUT_AT_METRIC = 32,
	LAYOUT_AT_DIM = 36,
	LAYOUT_AT_COUNT = 40,
	LAYOUT_AT_M = 44,
	LAYOUT_AT_EF_DEFAULT = 48,
	LAYOUT_AT_ENTRY = 52,
	LAYOUT_AT_ENTRY_LEVEL = 56,
	LAYOUT_AT_ENTRY_RECORD = 60,
	LAYOUT_AT_ROWS = 64,
	LAYOUT_AT_ROW_STRIDE = 72,
	LAYOUT_AT_VECTOR_OFFSET = 80,
	LAYOUT_AT_LABELS = 88,
	LAYOUT_AT_TWINS = 96,
	LAYOUT_AT_OWNERS = 104,
	LAYOUT_AT_UPPER = 112,
	LAYOUT_AT_UPPER_STRIDE = 120,
	LAYOUT_AT_UPPER_COUNT = 128,
	LAYOUT_AT_EF_CONSTRUCTION = 132,
	LAYOUT_AT_SEED = 136,
	LAYOUT_AT_TYPE = 144,
	LAYOUT_AT_COMPACT = 148,
	LAYOUT_AT_MEAN = 152,
	LAYOUT_AT_FACTORS = 160,
	LAYOUT_AT_VECTORS = 168,
	LAYOUT_AT_ROW_ERROR = 176,
	LAYOUT_AT_EDGE_BITS = 180,
	LAYOUT_AT_LANDMARKS = 184,
	LAYOUT_AT_LANDMARK_COUNT = 192,
	LAYOUT_AT_ORDER = 196,
	LAYOUT_AT_SORTED = 200,
	LAYOUT_AT_RESERVED = 208,
	LAYOUT_AT_OUTLINE_CRC = 228,
	LAYOUT_AT_EF_TUNED = 232, /* SEGMENT_RECALL_COUNT of them */
	LAYOUT_AT_BODY_CRC = 248,
	LAYOUT_AT_HEADER_CRC = 252,
};

/* How nodes are numbered. */
enum {
	LAYOUT_ORDER_LABEL = 0,
	LAYOUT_ORDER_GRAPH, /* some other way; a section has them by label */
};

/* A link above level 0. */
struct layout_link {
	_Alignas(8) uint32_t node; /* both are read and written at once */
	uint32_t record;
};
static_assert(sizeof(struct layout_link) == 8, "in the image");

/* Whose record it is. Only checks and dumps read it. */
struct layout_owner {
	uint32_t node;
	uint32_t level;
};
static_assert(sizeof(struct layout_owner) == 8, "in the image");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "images are used in place");

/* What an image has to hold. */
struct layout_shape {
	enum metric metric;
	enum vector_type type;
	uint32_t dim;
	uint32_t count;
	uint32_t m;
	uint32_t upper_count;
	bool compact;
	bool has_twins;
	bool by_graph;      /* nodes are not numbered by label */
	uint32_t edge_bits; /* of an edge's code; 0: there are none */
	uint32_t landmark_count;
};

/* Where it holds it: offsets, 0 for what there is not, and strides. */
struct layout {
	uint64_t mean;
	uint64_t landmarks;
	uint64_t rows;
	uint64_t row_stride;
	uint64_t vector_offset; /* in a row; so are the next two */
	uint64_t row_factors;
	uint64_t row_edges;
	uint64_t factors;
	uint64_t vectors;
	uint64_t labels;
	uint64_t sorted;
	uint64_t twins;
	uint64_t owners;
	uint64_t upper;
	uint64_t upper_stride;
	uint64_t size;
};

/* Gives a section its place. */
static inline uint64_t layout_place(uint64_t *end, bool present, uint64_t size)
{
	uint64_t at = *end;

	if (!present)
		return 0;
	*end += align_up(size, SEGMENT_ALIGN);
	return at;
}

/* Where in a row things are, one behind the other. */
static inline void layout_row_parts(const struct layout_shape *shape, bool has_factors,
				    size_t vector_size, struct layout *layout)
{
	uint64_t end = 0;

	(void)layout_place(&end, true, 2 * (uint64_t)shape->m * sizeof(uint32_t));
	layout->vector_offset = layout_place(&end, true, vector_size);
	layout->row_factors =
		layout_place(&end, shape->edge_bits && has_factors, sizeof(struct rows_factors));
	layout->row_edges =
		layout_place(&end, shape->edge_bits, codes_size(2 * shape->m, shape->edge_bits));
	layout->row_stride = end;
}

/* Bytes of the landmarks' numbers, which their codes follow. */
static inline uint64_t layout_landmark_ids(uint32_t landmark_count)
{
	return align_up((uint64_t)landmark_count * sizeof(uint32_t), SEGMENT_ALIGN);
}

/* The shape's numbers are within SEGMENT_*_MAX, so nothing here can overflow 64 bits. */
static inline struct layout layout_of(const struct layout_shape *shape)
{
	const struct rows_form form = {
		.metric = shape->metric, .type = shape->type, .compact = shape->compact};
	const uint64_t count = shape->count, vector_size = dist_row_size(shape->type, shape->dim);
	const uint64_t word = sizeof(uint32_t);
	const bool has_factors = rows_have_factors(&form);
	uint64_t end = LAYOUT_HEADER_SIZE;
	struct layout layout;

	layout_row_parts(shape, has_factors, dist_row_size(rows_type(&form), shape->dim), &layout);
	layout.upper_stride = align_up(shape->m * sizeof(struct layout_link), SEGMENT_ALIGN);
	layout.mean =
		layout_place(&end, shape->compact || shape->edge_bits, shape->dim * sizeof(float));
	layout.landmarks =
		layout_place(&end, shape->landmark_count,
			     layout_landmark_ids(shape->landmark_count) +
				     codes_size(shape->landmark_count, shape->edge_bits));
	layout.rows = layout_place(&end, true, count * layout.row_stride);
	layout.factors = layout_place(&end, has_factors && !shape->edge_bits,
				      count * sizeof(struct rows_factors));
	layout.vectors = layout_place(&end, shape->compact, count * vector_size);
	layout.labels = layout_place(&end, true, count * word);
	layout.sorted = layout_place(&end, shape->by_graph, count * word);
	layout.twins = layout_place(&end, shape->has_twins, count * word);
	layout.owners = layout_place(&end, true, shape->upper_count * sizeof(struct layout_owner));
	layout.upper = layout_place(&end, true, shape->upper_count * layout.upper_stride);
	layout.size = end;
	return layout;
}

/* A run of an image's bytes. */
struct layout_range {
	uint64_t offset;
	uint64_t size;
};

#define LAYOUT_OUTLINE_RANGES 3

/*
 * The outline: everything but the header, rows and vectors. It is small beside them, and all that
 * a remote reader keeps.
 */
static inline void layout_outline(const struct layout *layout,
				  struct layout_range ret_ranges[LAYOUT_OUTLINE_RANGES])
{
	const uint64_t behind_factors = layout->vectors ? layout->vectors : layout->labels;

	ret_ranges[0] =
		(struct layout_range){LAYOUT_HEADER_SIZE, layout->rows - LAYOUT_HEADER_SIZE};
	ret_ranges[1] = (struct layout_range){layout->factors, 0};
	if (layout->factors)
		ret_ranges[1].size = behind_factors - layout->factors;
	ret_ranges[2] = (struct layout_range){layout->labels, layout->size - layout->labels};
}

static inline const uint32_t *layout_row(const struct segment *segment, uint32_t node)
{
	return (const uint32_t *)(const void *)(segment->rows + node * segment->row_stride);
}

/* The vector itself, in the segment's type. */
static inline const void *layout_vector(const struct segment *segment, uint32_t node)
{
	return segment->vectors + node * segment->vector_stride;
}

static inline const struct layout_link *layout_record(const struct segment *segment,
						      uint32_t record)
{
	return (const void *)(segment->upper + record * segment->upper_stride);
}

/* Whose each record above level 0 is. Of an image, not of a growing index. */
static inline const struct layout_owner *layout_owners(const struct segment *segment)
{
	return (const void *)(segment->image + load_le64(segment->image + LAYOUT_AT_OWNERS));
}

/* Neighbours in a list of level 0 that holds up to 'max'. */
static inline uint32_t layout_degree(const uint32_t *links, uint32_t max)
{
	uint32_t degree = 0;

	while (degree < max && links[degree] != LAYOUT_NONE)
		degree++;
	return degree;
}

/* The same above level 0. */
static inline uint32_t layout_upper_degree(const struct layout_link *links, uint32_t max)
{
	uint32_t degree = 0;

	while (degree < max && links[degree].node != LAYOUT_NONE)
		degree++;
	return degree;
}

/* Copies the neighbours of a list of level 0. Returns how many there are. */
static inline uint32_t layout_list(const uint32_t *links, uint32_t max, uint32_t *to)
{
	uint32_t count = 0;

	for (; count < max && links[count] != LAYOUT_NONE; count++)
		to[count] = links[count];
	return count;
}

/* The same above level 0. */
static inline uint32_t layout_upper_list(const struct layout_link *links, uint32_t max,
					 uint32_t *to)
{
	uint32_t count = 0;

	for (; count < max && links[count].node != LAYOUT_NONE; count++)
		to[count] = links[count].node;
	return count;
}

/*
 * Word 'index' of a list of neighbours or of twins. Relaxed: whoever reads a list that changes
 * keeps to nodes below a count that it has acquired, which orders all of their bytes.
 */
static inline uint32_t layout_neighbour(const uint32_t *list, uint32_t index)
{
	return __atomic_load_n(&list[index], __ATOMIC_RELAXED);
}

/* The same above level 0. */
static inline struct layout_link layout_link_at(const struct layout_link *links, uint32_t index)
{
	struct layout_link link;

	__atomic_load(&links[index], &link, __ATOMIC_RELAXED);
	return link;
}

/*
 * How far from one the square of a norm can be that is one but for the rounding
 * of its values: twice the relative error of a value, and a little.
 */
static inline double layout_unit_error(enum vector_type type)
{
	switch (type) {
	case VECTOR_F16:
		return 0x1.1p-10;
	case VECTOR_BF16:
		return 0x1.1p-8;
	default:
		return 0x1p-22;
	}
}

/*
 * Copies a vector as rows and queries hold it: normalised under cosine if it is of
 * floats (zero stays zero, and one that is normalised stays as it is, so that a
 * copy of a copy is the same), padded with zeros to 'values'. Adding zero makes a
 * negative zero positive, so that equal vectors have equal bytes.
 */
static inline void layout_copy_vector(enum metric metric, enum vector_type type, const float *from,
				      uint32_t dim, float *to, size_t values)
{
	bool bytes = type == VECTOR_I8 || type == VECTOR_U8;
	double sum = 0, scale = 1;

	if (metric == METRIC_COSINE && !bytes) {
		sum = dist_best()->exact_ip(from, from, dim);
		scale = sum > 0 ? 1 / sqrt(sum) : 0;
		if (fabs(sum - 1) <= layout_unit_error(type))
			scale = 1;
	}
	if (scale == 1)
		for (uint32_t i = 0; i < dim; i++)
			to[i] = from[i] + 0.0F;
	else
		for (uint32_t i = 0; i < dim; i++)
			to[i] = (float)((double)from[i] * scale) + 0.0F;
	for (size_t i = dim; i < values; i++)
		to[i] = 0;
}

/*
 * Copies a vector, which is as rows hold it, as codes are made of it: integers are
 * normalised under cosine too. It may be copied onto itself.
 */
static inline void layout_code_vector(enum metric metric, enum vector_type type, const float *from,
				      uint32_t dim, float *to)
{
	bool bytes = type == VECTOR_I8 || type == VECTOR_U8;

	if (metric == METRIC_COSINE && bytes)
		layout_copy_vector(metric, VECTOR_F32, from, dim, to, dim);
	else if (from != to)
		memcpy(to, from, dim * sizeof(float));
}

/* Memory of an image that is being made. */
struct layout_image {
	uint8_t *bytes; /* owned: munmap() */
	size_t size;
};

/* Zeroed, and of huge pages where there are any. Returns 0 or -ENOMEM. */
int layout_image_new(size_t size, struct layout_image *ret_image);

/* Fills in a segment from a header whose fields are right. */
void layout_view(const uint8_t *image, struct segment *ret_segment);

/* What an image has to hold, from a header whose fields are right. */
struct layout_shape layout_shape_of(const uint8_t *image);

/* Writes a layout's offsets and strides, and the image's size, into a header. */
void layout_store(const struct layout *layout, uint8_t *image);

/* Writes the checksums of an image whose fields are right and whose other bytes are final. */
void layout_seal(uint8_t *image);

/*
 * What segment_attach() checks, of an image of which only the header, or only header and
 * outline, are there. 'size' is the whole one's. Both return as segment_attach() does.
 */
int layout_check_header(const uint8_t *image, uint64_t size, struct layout *ret_layout, char *error,
			size_t error_size);
int layout_check_outline(const uint8_t *image, uint64_t size, struct segment *ret_segment,
			 char *error, size_t error_size);

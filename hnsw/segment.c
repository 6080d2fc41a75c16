/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/segment.h"

#include "base/crc.h"
#include "hnsw/convert.h"
#include "hnsw/layout.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/*
 * Checks go from the outside in: the header's own checksum, its fields, the
 * body's checksum, then everything that a search follows. What they establish:
 *
 *   1. Every neighbour at level 0, and every landmark, is a node.
 *   2. Every link above level 0 is a node and that node's record at that level,
 *      and the record before a record of level >= 2 is the same node's.
 *   3. Labels ascend, by node or as 'sorted' has the nodes, so no two are equal.
 *   4. A twin has a higher number and label than the one it hangs on, the same vector, and
 *      hangs on no other: chains end and don't meet.
 *   5. The entry point is a node, and its record that of the entry level.
 *   6. Twins are met through their chain alone: no list, record, landmark or entry is one.
 *
 * That the graph is a good one can't be seen here; a search in a bad one ends
 * too, and looks at everything when the graph gives it too little.
 */

const float segment_recalls[SEGMENT_RECALL_COUNT] = {0.90F, 0.95F, 0.98F, 0.99F};

struct check {
	const uint8_t *image;
	struct segment segment;
	struct layout layout;
	bool is_remote; /* rows and vectors are not there */
	char *error;
	size_t error_size;
};

PRINTF_LIKE(2, 3)
static int corrupt(const struct check *check, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(check->error, check->error_size, format, arguments);
	va_end(arguments);
	return SEGMENT_E_CORRUPT;
}

static uint32_t field32(const uint8_t *image, unsigned at)
{
	return load_le32(image + at);
}

static uint64_t field64(const uint8_t *image, unsigned at)
{
	return load_le64(image + at);
}

static const uint8_t *section(const uint8_t *image, unsigned at)
{
	uint64_t offset = field64(image, at);

	return offset ? image + offset : NULL;
}

static struct rows_form form_of(const uint8_t *image)
{
	struct rows_form form = {
		.metric = (enum metric)field32(image, LAYOUT_AT_METRIC),
		.type = (enum vector_type)field32(image, LAYOUT_AT_TYPE),
		.dim = field32(image, LAYOUT_AT_DIM),
		.compact = field32(image, LAYOUT_AT_COMPACT) != 0,
		.mean = (const void *)section(image, LAYOUT_AT_MEAN),
	};

	if (form.compact)
		form.mean_square = dist_best()->exact_ip(form.mean, form.mean, form.dim);
	return form;
}

struct layout_shape layout_shape_of(const uint8_t *image)
{
	return (struct layout_shape){
		.metric = (enum metric)field32(image, LAYOUT_AT_METRIC),
		.type = (enum vector_type)field32(image, LAYOUT_AT_TYPE),
		.dim = field32(image, LAYOUT_AT_DIM),
		.count = field32(image, LAYOUT_AT_COUNT),
		.m = field32(image, LAYOUT_AT_M),
		.upper_count = field32(image, LAYOUT_AT_UPPER_COUNT),
		.compact = field32(image, LAYOUT_AT_COMPACT) != 0,
		.has_twins = field64(image, LAYOUT_AT_TWINS) != 0,
		.by_graph = field32(image, LAYOUT_AT_ORDER) == LAYOUT_ORDER_GRAPH,
		.edge_bits = field32(image, LAYOUT_AT_EDGE_BITS),
		.landmark_count = field32(image, LAYOUT_AT_LANDMARK_COUNT),
	};
}

/* What searches by codes need. */
static void view_codes(const struct layout_shape *shape, const struct layout *layout,
		       const uint8_t *image, struct segment *segment)
{
	const struct rows_form *form = &segment->form;
	const uint8_t *landmarks = image + layout->landmarks;

	if (!shape->edge_bits)
		return;
	segment->codes = codes_space(form->metric, form->dim, shape->edge_bits,
				     (const void *)(image + layout->mean));
	segment->edges_offset = layout->row_edges;
	segment->landmark_count = shape->landmark_count;
	segment->landmarks = (const void *)landmarks;
	segment->landmark_codes = landmarks + layout_landmark_ids(shape->landmark_count);
	if (layout->row_factors) {
		segment->compared.factors = segment->rows + layout->row_factors;
		segment->compared.factors_stride = segment->row_stride;
	}
}

void layout_view(const uint8_t *image, struct segment *ret_segment)
{
	const uint8_t *rows = section(image, LAYOUT_AT_ROWS);
	const uint8_t *vectors = section(image, LAYOUT_AT_VECTORS);
	uint64_t row_stride = field64(image, LAYOUT_AT_ROW_STRIDE);
	uint64_t vector_offset = field64(image, LAYOUT_AT_VECTOR_OFFSET);
	struct rows_form form = form_of(image);
	struct layout_shape shape = layout_shape_of(image);
	struct layout layout = layout_of(&shape);

	*ret_segment = (struct segment){
		.memory_fd = -1,
		.image = image,
		.image_size = field64(image, LAYOUT_AT_IMAGE_SIZE),
		.generation = field64(image, LAYOUT_AT_GENERATION),
		.metric = form.metric,
		.type = form.type,
		.dim = form.dim,
		.count = field32(image, LAYOUT_AT_COUNT),
		.entry = field32(image, LAYOUT_AT_ENTRY),
		.entry_level = field32(image, LAYOUT_AT_ENTRY_LEVEL),
		.m = field32(image, LAYOUT_AT_M),
		.ef_default = field32(image, LAYOUT_AT_EF_DEFAULT),
		.entry_record = field32(image, LAYOUT_AT_ENTRY_RECORD),
		.form = form,
		.compared =
			{
				.first = rows + vector_offset,
				.stride = row_stride,
				.size = (uint32_t)dist_row_size(rows_type(&form), form.dim),
				.factors = section(image, LAYOUT_AT_FACTORS),
				.factors_stride = sizeof(struct rows_factors),
			},
		.rows = rows,
		.row_stride = row_stride,
		.vector_offset = vector_offset,
		.vectors = vectors ? vectors : rows + vector_offset,
		.vector_stride = vectors ? dist_row_size(form.type, form.dim) : row_stride,
		.labels = (const void *)section(image, LAYOUT_AT_LABELS),
		.sorted = (const void *)section(image, LAYOUT_AT_SORTED),
		.twins = (const void *)section(image, LAYOUT_AT_TWINS),
		.upper = section(image, LAYOUT_AT_UPPER),
		.upper_stride = field64(image, LAYOUT_AT_UPPER_STRIDE),
		.upper_count = field32(image, LAYOUT_AT_UPPER_COUNT),
	};
	memcpy(&ret_segment->row_error, image + LAYOUT_AT_ROW_ERROR, sizeof(float));
	view_codes(&shape, &layout, image, ret_segment);
	for (unsigned i = 0; i < SEGMENT_RECALL_COUNT; i++)
		ret_segment->ef_tuned[i] = field32(image, LAYOUT_AT_EF_TUNED + 4 * i);
}

int layout_image_new(size_t size, struct layout_image *ret_image)
{
	void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (bytes == MAP_FAILED)
		return -ENOMEM;
	(void)madvise(bytes, size, MADV_HUGEPAGE);
	*ret_image = (struct layout_image){bytes, size};
	return 0;
}

static uint32_t outline_crc(const uint8_t *image)
{
	const struct layout_shape shape = layout_shape_of(image);
	const struct layout layout = layout_of(&shape);
	struct layout_range ranges[LAYOUT_OUTLINE_RANGES];
	uint32_t crc = CRC32C_EMPTY;

	layout_outline(&layout, ranges);
	for (unsigned i = 0; i < LAYOUT_OUTLINE_RANGES; i++)
		crc = crc32c_extend(crc, image + ranges[i].offset, ranges[i].size);
	return crc;
}

void layout_seal(uint8_t *image)
{
	uint64_t size = field64(image, LAYOUT_AT_IMAGE_SIZE);

	store_le32(image + LAYOUT_AT_OUTLINE_CRC, outline_crc(image));
	store_le32(image + LAYOUT_AT_BODY_CRC,
		   crc32c(image + LAYOUT_HEADER_SIZE, size - LAYOUT_HEADER_SIZE));
	store_le32(image + LAYOUT_AT_HEADER_CRC, crc32c(image, LAYOUT_AT_HEADER_CRC));
}

static int check_start(const struct check *check, size_t size)
{
	const uint8_t *image = check->image;
	uint32_t version;

	if ((uintptr_t)image % SEGMENT_ALIGN)
		return corrupt(check, "the image is not at a multiple of %d bytes", SEGMENT_ALIGN);
	if (size < LAYOUT_HEADER_SIZE)
		return corrupt(check, "%zu bytes are fewer than a header's %d", size,
			       LAYOUT_HEADER_SIZE);
	if (memcmp(image, LAYOUT_MAGIC, strlen(LAYOUT_MAGIC)) != 0)
		return corrupt(check, "offset 0: not the magic of a segment");
	version = field32(image, LAYOUT_AT_VERSION);
	if (version != LAYOUT_VERSION) {
		(void)corrupt(check, "version %u of the format; this program reads %d", version,
			      LAYOUT_VERSION);
		return SEGMENT_E_VERSION;
	}
	if (crc32c(image, LAYOUT_AT_HEADER_CRC) != field32(image, LAYOUT_AT_HEADER_CRC))
		return corrupt(check, "offset %d: the header's checksum is wrong",
			       LAYOUT_AT_HEADER_CRC);
	if (field64(image, LAYOUT_AT_IMAGE_SIZE) != size)
		return corrupt(check, "offset %d: the header says %llu bytes, there are %zu",
			       LAYOUT_AT_IMAGE_SIZE,
			       (unsigned long long)field64(image, LAYOUT_AT_IMAGE_SIZE), size);
	return 0;
}

/* The numbers that everything else is computed from. */
static int check_ranges(const struct check *check)
{
	static const struct {
		const char *name;
		unsigned at;
		uint64_t low, high;
	} ranges[] = {
		{"header size", LAYOUT_AT_HEADER_SIZE, LAYOUT_HEADER_SIZE, LAYOUT_HEADER_SIZE},
		{"metric", LAYOUT_AT_METRIC, 0, METRIC_COUNT - 1},
		{"dim", LAYOUT_AT_DIM, 1, SEGMENT_DIM_MAX},
		{"count", LAYOUT_AT_COUNT, 0, SEGMENT_COUNT_MAX - 1},
		{"m", LAYOUT_AT_M, 2, SEGMENT_M_MAX},
		{"ef_default", LAYOUT_AT_EF_DEFAULT, 1, UINT32_MAX},
		{"entry level", LAYOUT_AT_ENTRY_LEVEL, 0, SEGMENT_LEVEL_MAX},
		{"upper count", LAYOUT_AT_UPPER_COUNT, 0, SEGMENT_COUNT_MAX - 1},
		{"vector type", LAYOUT_AT_TYPE, 0, VECTOR_TYPE_COUNT - 1},
		{"compact", LAYOUT_AT_COMPACT, 0, 1},
		{"order", LAYOUT_AT_ORDER, LAYOUT_ORDER_LABEL, LAYOUT_ORDER_GRAPH},
		{"edge bits", LAYOUT_AT_EDGE_BITS, 0, ROTATE_SIZE_MAX},
		{"landmark count", LAYOUT_AT_LANDMARK_COUNT, 0, SEGMENT_COUNT_MAX - 1},
	};

	for (size_t i = 0; i < ARRAY_COUNT(ranges); i++) {
		uint32_t value = field32(check->image, ranges[i].at);

		if (value < ranges[i].low || value > ranges[i].high)
			return corrupt(check, "offset %u: %s is %u, not in %llu to %llu",
				       ranges[i].at, ranges[i].name, value,
				       (unsigned long long)ranges[i].low,
				       (unsigned long long)ranges[i].high);
	}
	for (unsigned at = LAYOUT_AT_RESERVED; at < LAYOUT_AT_OUTLINE_CRC; at++)
		if (check->image[at])
			return corrupt(check, "offset %u: reserved bytes are not zero", at);
	return 0;
}

/* Each recall takes at least the ef of the one before. */
static int check_tuned(const struct check *check)
{
	uint32_t least = 1;

	for (unsigned at = LAYOUT_AT_EF_TUNED; at < LAYOUT_AT_BODY_CRC; at += 4) {
		uint32_t ef = field32(check->image, at);

		if (ef < least || ef > SEGMENT_EF_MAX)
			return corrupt(check, "offset %u: a tuned ef is %u, not in %u to %d", at,
				       ef, least, SEGMENT_EF_MAX);
		least = ef;
	}
	return 0;
}

/* Which kinds of rows there are. */
static int check_form(const struct check *check)
{
	uint32_t type = field32(check->image, LAYOUT_AT_TYPE);
	uint32_t metric = field32(check->image, LAYOUT_AT_METRIC);
	uint32_t bits = field32(check->image, LAYOUT_AT_EDGE_BITS);
	uint32_t landmarks = field32(check->image, LAYOUT_AT_LANDMARK_COUNT);
	bool compact = field32(check->image, LAYOUT_AT_COMPACT) != 0;
	float error;

	memcpy(&error, check->image + LAYOUT_AT_ROW_ERROR, sizeof(error));
	if (!rows_can((enum vector_type)type, (enum metric)metric))
		return corrupt(check, "offset %d: vectors of %s under %s", LAYOUT_AT_TYPE,
			       vector_type_name(type), metric_name(metric));
	if (compact && type != VECTOR_F32)
		return corrupt(check, "offset %d: compact rows of %s", LAYOUT_AT_COMPACT,
			       vector_type_name(type));
	if (bits && (bits % CODES_BITS_ALIGN || type == VECTOR_B1 ||
		     bits > rotate_size(field32(check->image, LAYOUT_AT_DIM))))
		return corrupt(check, "offset %d: edges of %u bits", LAYOUT_AT_EDGE_BITS, bits);
	if (landmarks > (bits ? field32(check->image, LAYOUT_AT_UPPER_COUNT) : 0))
		return corrupt(check, "offset %d: %u landmarks", LAYOUT_AT_LANDMARK_COUNT,
			       landmarks);
	if (!(error >= 0) || !isfinite(error))
		return corrupt(check, "offset %d: the rows' error is %g", LAYOUT_AT_ROW_ERROR,
			       (double)error);
	return 0;
}

/* A field of the header that follows from the shape. */
struct field {
	unsigned at;
	uint64_t value;
};

#define FIELDS 14

static void layout_fields(const struct layout *layout, struct field ret_fields[FIELDS])
{
	const struct field fields[FIELDS] = {
		{LAYOUT_AT_MEAN, layout->mean},
		{LAYOUT_AT_LANDMARKS, layout->landmarks},
		{LAYOUT_AT_ROWS, layout->rows},
		{LAYOUT_AT_FACTORS, layout->factors},
		{LAYOUT_AT_VECTORS, layout->vectors},
		{LAYOUT_AT_ROW_STRIDE, layout->row_stride},
		{LAYOUT_AT_VECTOR_OFFSET, layout->vector_offset},
		{LAYOUT_AT_LABELS, layout->labels},
		{LAYOUT_AT_SORTED, layout->sorted},
		{LAYOUT_AT_TWINS, layout->twins},
		{LAYOUT_AT_OWNERS, layout->owners},
		{LAYOUT_AT_UPPER, layout->upper},
		{LAYOUT_AT_UPPER_STRIDE, layout->upper_stride},
		{LAYOUT_AT_IMAGE_SIZE, layout->size},
	};

	memcpy(ret_fields, fields, sizeof(fields));
}

void layout_store(const struct layout *layout, uint8_t *image)
{
	struct field fields[FIELDS];

	layout_fields(layout, fields);
	for (size_t i = 0; i < FIELDS; i++)
		store_le64(image + fields[i].at, fields[i].value);
}

static int check_layout(struct check *check)
{
	const uint8_t *image = check->image;
	const struct layout_shape shape = layout_shape_of(image);
	struct field fields[FIELDS];

	check->layout = layout_of(&shape);
	layout_fields(&check->layout, fields);
	for (size_t i = 0; i < FIELDS; i++)
		if (field64(image, fields[i].at) != fields[i].value)
			return corrupt(check, "offset %u: expected %llu, found %llu", fields[i].at,
				       (unsigned long long)fields[i].value,
				       (unsigned long long)field64(image, fields[i].at));
	return 0;
}

static int check_outline_crc(const struct check *check)
{
	if (outline_crc(check->image) != field32(check->image, LAYOUT_AT_OUTLINE_CRC))
		return corrupt(check, "offset %d: the outline's checksum is wrong",
			       LAYOUT_AT_OUTLINE_CRC);
	return 0;
}

static int check_body_crc(const struct check *check)
{
	uint32_t found = crc32c(check->image + LAYOUT_HEADER_SIZE,
				check->segment.image_size - LAYOUT_HEADER_SIZE);

	if (found != field32(check->image, LAYOUT_AT_BODY_CRC))
		return corrupt(check, "offset %d: the body's checksum is wrong",
			       LAYOUT_AT_BODY_CRC);
	return 0;
}

static int check_rows(const struct check *check)
{
	const struct segment *segment = &check->segment;

	for (uint32_t node = 0; node < segment->count; node++) {
		const uint32_t *links = layout_row(segment, node);

		for (uint32_t i = 0; i < 2 * segment->m && links[i] != LAYOUT_NONE; i++)
			if (links[i] >= segment->count)
				return corrupt(check, "node %u: neighbour %u of %u nodes", node,
					       links[i], segment->count);
	}
	return 0;
}

static int check_landmarks(const struct check *check)
{
	const struct segment *segment = &check->segment;

	for (uint32_t i = 0; i < segment->landmark_count; i++)
		if (segment->landmarks[i] >= segment->count)
			return corrupt(check, "landmark %u: node %u of %u", i,
				       segment->landmarks[i], segment->count);
	return 0;
}

/* By label, every node comes once: one that came twice would not ascend. */
static int check_labels(const struct check *check)
{
	const struct segment *segment = &check->segment;

	for (uint32_t rank = 0; segment->sorted && rank < segment->count; rank++)
		if (segment->sorted[rank] >= segment->count)
			return corrupt(check, "rank %u: node %u of %u", rank, segment->sorted[rank],
				       segment->count);
	for (uint32_t rank = 1; rank < segment->count; rank++) {
		uint32_t node = segment_ranked(segment, rank);
		uint32_t before = segment_ranked(segment, rank - 1);

		if (segment->labels[node] <= segment->labels[before])
			return corrupt(check, "node %u: label %u does not ascend", node,
				       segment->labels[node]);
	}
	return 0;
}

static bool is_taken(const uint8_t *taken, uint32_t node)
{
	return taken[node / 8] & 1u << node % 8;
}

static int check_twin(const struct check *check, uint8_t *taken, uint32_t node)
{
	const struct segment *segment = &check->segment;
	uint32_t twin = segment->twins[node];

	if (twin == LAYOUT_NONE)
		return 0;
	if (twin <= node || twin >= segment->count)
		return corrupt(check, "node %u: twin %u of %u nodes", node, twin, segment->count);
	if (segment->labels[twin] <= segment->labels[node])
		return corrupt(check, "node %u: its twin %u has no higher label", node, twin);
	if (is_taken(taken, twin))
		return corrupt(check, "node %u: its twin %u is another's too", node, twin);
	taken[twin / 8] = (uint8_t)(taken[twin / 8] | 1u << twin % 8);
	if (!check->is_remote && memcmp(layout_vector(segment, node), layout_vector(segment, twin),
					dist_row_size(segment->type, segment->dim)) != 0)
		return corrupt(check, "node %u: its twin %u has another vector", node, twin);
	return 0;
}

/* A twin is answered with the first of its chain; one that is met beside it would be twice. */
static int check_unlinked(const struct check *check, const uint8_t *taken)
{
	const struct layout_owner *owners = layout_owners(&check->segment);
	const struct segment *segment = &check->segment;

	for (uint32_t node = 0; !check->is_remote && node < segment->count; node++) {
		const uint32_t *links = layout_row(segment, node);

		for (uint32_t i = 0; i < 2 * segment->m && links[i] != LAYOUT_NONE; i++)
			if (is_taken(taken, links[i]))
				return corrupt(check, "node %u: neighbour %u is a twin", node,
					       links[i]);
	}
	for (uint32_t i = 0; i < segment->upper_count; i++)
		if (is_taken(taken, owners[i].node))
			return corrupt(check, "record %u: node %u is a twin", i, owners[i].node);
	for (uint32_t i = 0; i < segment->landmark_count; i++)
		if (is_taken(taken, segment->landmarks[i]))
			return corrupt(check, "landmark %u: node %u is a twin", i,
				       segment->landmarks[i]);
	if (segment->count && is_taken(taken, segment->entry))
		return corrupt(check, "offset %d: entry %u is a twin", LAYOUT_AT_ENTRY,
			       segment->entry);
	return 0;
}

static int check_twins(const struct check *check)
{
	uint8_t *taken;
	int result = 0;

	if (!check->segment.twins)
		return 0;
	taken = calloc(check->segment.count / 8 + 1, 1);
	if (!taken)
		return -ENOMEM;
	for (uint32_t node = 0; !result && node < check->segment.count; node++)
		result = check_twin(check, taken, node);
	if (!result)
		result = check_unlinked(check, taken);
	free(taken);
	return result;
}

/* Records are in order of (node, level), each node's from level 1 on without a gap. */
static int check_owners(const struct check *check)
{
	const struct layout_owner *owners = layout_owners(&check->segment);
	const struct segment *segment = &check->segment;

	for (uint32_t i = 0; i < segment->upper_count; i++) {
		const struct layout_owner *owner = &owners[i];
		bool first = owner->level == 1 && (i == 0 || owner->node > owners[i - 1].node);
		bool higher = i > 0 && owner->node == owners[i - 1].node &&
			      owner->level == owners[i - 1].level + 1;

		if (owner->node >= segment->count || owner->level > SEGMENT_LEVEL_MAX ||
		    (!first && !higher))
			return corrupt(check, "record %u: node %u, level %u is out of order", i,
				       owner->node, owner->level);
	}
	return 0;
}

static int check_records(const struct check *check)
{
	const struct layout_owner *owners = layout_owners(&check->segment);
	const struct segment *segment = &check->segment;

	for (uint32_t i = 0; i < segment->upper_count; i++) {
		const struct layout_link *links = layout_record(segment, i);

		for (uint32_t j = 0; j < segment->m && links[j].node != LAYOUT_NONE; j++) {
			uint32_t record = links[j].record;

			if (record >= segment->upper_count ||
			    owners[record].node != links[j].node ||
			    owners[record].level != owners[i].level)
				return corrupt(check,
					       "record %u: record %u is not node %u at level %u", i,
					       record, links[j].node, owners[i].level);
		}
	}
	return 0;
}

static int check_entry(const struct check *check)
{
	const struct segment *segment = &check->segment;
	const struct layout_owner *owners = layout_owners(&check->segment);
	uint32_t record = segment->entry_record;

	if (segment->count == 0)
		return 0;
	if (segment->entry >= segment->count)
		return corrupt(check, "offset %d: entry %u of %u nodes", LAYOUT_AT_ENTRY,
			       segment->entry, segment->count);
	if (segment->entry_level > 0 &&
	    (record >= segment->upper_count || owners[record].node != segment->entry ||
	     owners[record].level != segment->entry_level))
		return corrupt(check, "offset %d: record %u is not the entry's at level %u",
			       LAYOUT_AT_ENTRY_RECORD, record, segment->entry_level);
	return 0;
}

static int check_header(struct check *check, uint64_t size)
{
	int result = check_start(check, size);

	if (!result)
		result = check_ranges(check);
	if (!result)
		result = check_form(check);
	if (!result)
		result = check_tuned(check);
	if (!result)
		result = check_layout(check);
	return result;
}

typedef int (*check_fn)(const struct check *);

static int check_parts(struct check *check, const check_fn *steps, size_t count,
		       struct segment *ret_segment)
{
	int result = 0;

	layout_view(check->image, &check->segment);
	for (size_t i = 0; !result && i < count; i++)
		result = steps[i](check);
	if (!result)
		*ret_segment = check->segment;
	return result;
}

int segment_attach(const void *image, size_t size, struct segment *ret_segment, char *error,
		   size_t error_size)
{
	static const check_fn steps[] = {
		check_body_crc, check_outline_crc, check_rows,  check_landmarks, check_labels,
		check_owners,   check_records,     check_entry, check_twins,
	};
	struct check check = {.image = image, .error = error, .error_size = error_size};
	int result = check_header(&check, size);

	return result ? result : check_parts(&check, steps, ARRAY_COUNT(steps), ret_segment);
}

int layout_check_header(const uint8_t *image, uint64_t size, struct layout *ret_layout, char *error,
			size_t error_size)
{
	struct check check = {.image = image, .error = error, .error_size = error_size};
	int result = check_header(&check, size);

	if (!result)
		*ret_layout = check.layout;
	return result;
}

int layout_check_outline(const uint8_t *image, uint64_t size, struct segment *ret_segment,
			 char *error, size_t error_size)
{
	static const check_fn steps[] = {
		check_outline_crc, check_landmarks, check_labels, check_owners,
		check_records,     check_entry,     check_twins,
	};
	struct check check = {
		.image = image, .is_remote = true, .error = error, .error_size = error_size};
	int result = check_header(&check, size);

	return result ? result : check_parts(&check, steps, ARRAY_COUNT(steps), ret_segment);
}

uint32_t segment_ef(const struct segment *segment, float recall)
{
	unsigned i = 0;

	if (recall <= 0 || !segment->ef_tuned[0])
		return segment->ef_default;
	while (i + 1 < SEGMENT_RECALL_COUNT && segment_recalls[i] < recall)
		i++;
	return segment->ef_tuned[i];
}

uint32_t segment_find(const struct segment *segment, uint32_t label)
{
	uint32_t low = 0, high = segment->count, node;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (segment->labels[segment_ranked(segment, middle)] < label)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == segment->count)
		return UINT32_MAX;
	node = segment_ranked(segment, low);
	return segment->labels[node] == label ? node : UINT32_MAX;
}

void segment_vector(const struct segment *segment, uint32_t node, float *ret_values)
{
	convert_back(segment->type, layout_vector(segment, node), segment->dim, ret_values);
}

void segment_exact(const struct segment *segment, struct rows_form *ret_form, struct rows *ret_rows)
{
	*ret_form = segment->form;
	ret_form->compact = false;
	*ret_rows = (struct rows){
		.first = segment->vectors,
		.stride = segment->vector_stride,
		.size = (uint32_t)dist_row_size(segment->type, segment->dim),
		.factors = segment->form.compact ? NULL : segment->compared.factors,
		.factors_stride = segment->compared.factors_stride,
	};
}

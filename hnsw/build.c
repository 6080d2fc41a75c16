/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/build.h"

#include "base/check.h"
#include "base/crc.h"
#include "base/rand.h"
#include "hnsw/convert.h"
#include "hnsw/edges.h"
#include "hnsw/graph.h"
#include "hnsw/order.h"
#include "hnsw/search.h"
#include "hnsw/tune.h"
#include "hnsw/twins.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/*
 * The image is made in place: rows are copied (and normalised) to where they
 * stay, the graph is linked inside the image, the header comes last. Nodes are
 * numbered in label order, until the end if that is asked for; they are inserted in an order
 * shuffled by the seed, since rows are often sorted by something and neighbours would fall into one
 * batch.
 */

#define BUILD_M_DEFAULT      16
#define BUILD_EF_DEFAULT     200
#define BUILD_RECALL_DEFAULT 0.95F

/* Shorter vectors are as quickly fetched as their codes. */
#define BUILD_EDGES_DIM 192

/* Fewer bits than this say too little. */
#define BUILD_EDGES_BITS 128

struct build {
	const struct build_input *input;
	struct layout_shape shape;
	uint32_t dim;
	uint32_t count;
	struct build_options options; /* defaults filled in */
	struct node_source *sources;  /* of each node, ascending by label */
	uint8_t *levels;
	uint32_t *first_records;
	uint32_t *twins;
	uint32_t *order; /* nodes that are in the graph, in the order of insertion */
	uint32_t order_count;
	uint8_t *image;
	size_t image_size;
	struct layout layout;
	struct workers *workers;
};

struct node_source {
	uint32_t label;
	uint32_t row;
};

static bool edge_bits_fit(const struct build *build)
{
	uint32_t bits = build->options.edge_bits;

	return bits == 0 || (bits % CODES_BITS_ALIGN == 0 && bits <= rotate_size(build->dim));
}

static int fill_options(struct build *build, const struct build_options *given)
{
	struct build_options *options = &build->options;

	*options = *given;
	options->m = given->m ? given->m : BUILD_M_DEFAULT;
	options->ef_construction =
		given->ef_construction ? given->ef_construction : BUILD_EF_DEFAULT;
	options->ef_construction = MAX(options->ef_construction, options->m);
	options->threads = given->threads ? given->threads : 1;
	if (!(given->recall_target > 0))
		options->recall_target = BUILD_RECALL_DEFAULT;
	if (build->dim < 1 || build->dim > SEGMENT_DIM_MAX || build->count >= SEGMENT_COUNT_MAX ||
	    options->m < 2 || options->m > SEGMENT_M_MAX ||
	    options->ef_construction > SEARCH_EF_MAX || options->threads > WORKERS_MAX ||
	    options->recall_target > 1 || (uint32_t)options->metric >= METRIC_COUNT ||
	    (uint32_t)options->type >= VECTOR_TYPE_COUNT ||
	    (uint32_t)options->rows >= BUILD_ROWS_COUNT ||
	    (uint32_t)options->layout >= BUILD_LAYOUT_COUNT ||
	    (uint32_t)options->order >= BUILD_ORDER_COUNT || !edge_bits_fit(build) ||
	    !rows_can(options->type, options->metric) ||
	    (options->rows == BUILD_ROWS_COMPACT && options->type != VECTOR_F32))
		return -EINVAL;
	build->shape = (struct layout_shape){
		.metric = options->metric,
		.type = options->type,
		.dim = build->dim,
		.count = build->count,
		.m = options->m,
		.compact = options->type == VECTOR_F32 && options->rows != BUILD_ROWS_FULL,
		.has_twins = true, /* until they have been looked for */
	};
	return 0;
}

/* The row of the caller's that vector 'index' is. */
static uint32_t row_of(const struct build *build, uint32_t index)
{
	return build->input->picks ? build->input->picks[index] : index;
}

static int check_values(const struct build *build, uint64_t *ret_bad_row)
{
	const struct vector_source *source = &build->input->vectors;
	float scratch[SEGMENT_DIM_MAX];

	for (uint32_t i = 0; i < build->count; i++) {
		const float *values = vector_source_row(source, row_of(build, i), scratch);
		size_t index;
		int code = convert_check(build->shape.type, values, build->dim, &index);

		if (code) {
			*ret_bad_row = row_of(build, i);
			return code == CONVERT_E_FINITE ? BUILD_E_VALUE : BUILD_E_TYPE;
		}
	}
	return 0;
}

static int compare_sources(const void *a, const void *b)
{
	const struct node_source *left = a, *right = b;

	return (left->label > right->label) - (left->label < right->label);
}

static int order_nodes(struct build *build)
{
	const uint32_t *labels = build->input->labels;

	for (uint32_t i = 0; i < build->count; i++)
		build->sources[i] =
			(struct node_source){labels ? labels[i] : i, .row = row_of(build, i)};
	if (labels)
		qsort(build->sources, build->count, sizeof(build->sources[0]), compare_sources);
	for (uint32_t i = 1; i < build->count; i++)
		if (build->sources[i].label == build->sources[i - 1].label)
			return -EINVAL;
	return 0;
}

/* The paper's l = floor(-ln(unif(0..1)) * mL) with mL = 1 / ln(m). */
static void draw_levels(struct build *build)
{
	double scale = 1 / log(build->options.m);
	struct rand rand;

	rand_init(&rand, build->options.seed);
	for (uint32_t node = 0; node < build->count; node++) {
		double level = -log(1 - rand_unit(&rand)) * scale;

		build->levels[node] = (uint8_t)MIN(level, SEGMENT_LEVEL_MAX);
	}
}

static uint32_t count_records(const struct build *build)
{
	uint64_t records = 0;

	for (uint32_t node = 0; node < build->count; node++)
		records += build->levels[node];
	CHECK(records < SEGMENT_COUNT_MAX);
	return (uint32_t)records;
}

/* Rows that a worker copies or encodes at a time. */
#define BUILD_SLICE 256

static uint32_t slices(const struct build *build)
{
	return (build->count + BUILD_SLICE - 1) / BUILD_SLICE;
}

static uint8_t *vector_at(const struct build *build, uint32_t node)
{
	const struct layout *layout = &build->layout;

	if (layout->vectors)
		return build->image + layout->vectors +
		       node * dist_row_size(build->shape.type, build->dim);
	return build->image + layout->rows + node * layout->row_stride + layout->vector_offset;
}

static void copy_slice(void *context, uint32_t worker, uint32_t slice)
{
	const struct build *build = context;
	const struct layout_shape *shape = &build->shape;
	uint32_t end = MIN((slice + 1) * BUILD_SLICE, build->count);
	float values[SEGMENT_DIM_MAX], scratch[SEGMENT_DIM_MAX] = {0};

	for (uint32_t node = slice * BUILD_SLICE; node < end; node++) {
		const float *row = vector_source_row(&build->input->vectors,
						     build->sources[node].row, scratch);

		layout_copy_vector(shape->metric, shape->type, row, build->dim, values, build->dim);
		convert_row(shape->type, values, build->dim, vector_at(build, node));
	}
}

/* Takes memory for the largest image there can be and puts the vectors in place. */
static int take_image(struct build *build)
{
	struct layout_image image;
	int error;

	build->shape.upper_count = count_records(build);
	build->layout = layout_of(&build->shape);
	error = layout_image_new(build->layout.size, &image);
	if (error)
		return error;
	build->image = image.bytes;
	build->image_size = image.size;
	workers_run(build->workers, slices(build), copy_slice, build);
	return 0;
}

/*
 * Finds twins, which get no level, and then the layout that the image will have:
 * vectors stay where they are, only what follows them moves.
 */
static int settle_layout(struct build *build)
{
	const size_t page = 4096;
	const struct layout *layout = &build->layout;
	uint32_t twin_count;
	size_t used;
	int error = twins_find(vector_at(build, 0),
			       layout->vectors ? dist_row_size(build->shape.type, build->dim)
					       : layout->row_stride,
			       dist_row_size(build->shape.type, build->dim), build->count,
			       build->twins, build->levels, &twin_count);

	if (error)
		return error;
	build->shape.upper_count = count_records(build);
	build->shape.has_twins = twin_count > 0;
	build->layout = layout_of(&build->shape);
	used = align_up(build->layout.size, page);
	if (used < build->image_size)
		munmap(build->image + used, build->image_size - used);
	build->image_size = build->layout.size;
	return 0;
}

/* Summed in f64 and in node order, whatever the number of threads. */
static int write_mean(struct build *build)
{
	double *sums = calloc(build->dim, sizeof(*sums));
	float *mean = (float *)(void *)(build->image + build->layout.mean);

	if (!sums)
		return -ENOMEM;
	for (uint32_t node = 0; node < build->count; node++) {
		const float *vector = (const float *)(const void *)vector_at(build, node);

		for (uint32_t i = 0; i < build->dim; i++)
			sums[i] += (double)vector[i];
	}
	for (uint32_t i = 0; i < build->dim; i++)
		mean[i] = build->count ? (float)(sums[i] / build->count) : 0;
	free(sums);
	return 0;
}

static void encode_slice(void *context, uint32_t worker, uint32_t slice)
{
	const struct build *build = context;
	const struct layout *layout = &build->layout;
	struct rows_factors *factors = (void *)(build->image + layout->factors);
	uint32_t end = MIN((slice + 1) * BUILD_SLICE, build->count);
	float values[SEGMENT_DIM_MAX];
	struct segment view;

	layout_view(build->image, &view);
	for (uint32_t node = slice * BUILD_SLICE; node < end; node++) {
		segment_vector(&view, node, values);
		rows_encode(&view.form, values,
			    build->image + layout->rows + node * layout->row_stride +
				    layout->vector_offset,
			    &factors[node]);
	}
}

/* Compact rows, and the factors that rows have. */
static int write_rows(struct build *build)
{
	int error = build->shape.compact ? write_mean(build) : 0;

	if (!error && build->layout.factors)
		workers_run(build->workers, slices(build), encode_slice, build);
	return error;
}

static void write_sections(struct build *build)
{
	const struct layout *layout = &build->layout;
	uint8_t *image = build->image;
	uint32_t *labels = (void *)(image + layout->labels);
	struct layout_owner *owners = (void *)(image + layout->owners);
	uint32_t records = 0;

	for (uint32_t node = 0; node < build->count; node++) {
		memset(image + layout->rows + node * layout->row_stride, 0xFF,
		       layout->vector_offset);
		labels[node] = build->sources[node].label;
		build->first_records[node] = build->levels[node] ? records : LAYOUT_NONE;
		for (uint32_t level = 1; level <= build->levels[node]; level++)
			owners[records++] = (struct layout_owner){node, level};
	}
	if (layout->twins)
		memcpy(image + layout->twins, build->twins, build->count * sizeof(uint32_t));
	memset(image + layout->upper, 0xFF, records * layout->upper_stride);
}

static void write_header(const struct build *build)
{
	uint8_t *image = build->image;
	const struct {
		unsigned at;
		uint32_t value;
	} fields32[] = {
		{LAYOUT_AT_VERSION, LAYOUT_VERSION},
		{LAYOUT_AT_HEADER_SIZE, LAYOUT_HEADER_SIZE},
		{LAYOUT_AT_METRIC, build->options.metric},
		{LAYOUT_AT_DIM, build->dim},
		{LAYOUT_AT_COUNT, build->count},
		{LAYOUT_AT_M, build->options.m},
		{LAYOUT_AT_EF_DEFAULT, 1},
		{LAYOUT_AT_ENTRY_RECORD, LAYOUT_NONE},
		{LAYOUT_AT_UPPER_COUNT, build->shape.upper_count},
		{LAYOUT_AT_EF_CONSTRUCTION, build->options.ef_construction},
		{LAYOUT_AT_TYPE, build->shape.type},
		{LAYOUT_AT_COMPACT, build->shape.compact},
	};

	memset(image, 0, LAYOUT_HEADER_SIZE);
	memcpy(image, LAYOUT_MAGIC, strlen(LAYOUT_MAGIC));
	for (size_t i = 0; i < ARRAY_COUNT(fields32); i++)
		store_le32(image + fields32[i].at, fields32[i].value);
	store_le64(image + LAYOUT_AT_GENERATION, build->options.generation);
	store_le64(image + LAYOUT_AT_SEED, build->options.seed);
	layout_store(&build->layout, image);
}

/* The nodes that are no twin of an earlier one, shuffled (Fisher and Yates). */
static void draw_order(struct build *build)
{
	uint64_t seed = ~build->options.seed; /* another sequence than the levels' */
	uint32_t count = 0;
	struct rand rand;

	for (uint32_t node = 0; node < build->count; node++)
		build->order[node] = 0;
	for (uint32_t node = 0; node < build->count; node++)
		if (build->twins[node] != LAYOUT_NONE)
			build->order[build->twins[node]] = 1;
	for (uint32_t node = 0; node < build->count; node++)
		if (!build->order[node])
			build->order[count++] = node;
	rand_init(&rand, seed);
	for (uint32_t left = count; left > 1; left--) {
		uint32_t other = (uint32_t)rand_below(&rand, left);
		uint32_t node = build->order[left - 1];

		build->order[left - 1] = build->order[other];
		build->order[other] = node;
	}
	build->order_count = count;
}

static int link_graph(struct build *build)
{
	const struct build_options *options = &build->options;
	struct graph graph = {
		.ef = options->ef_construction,
		.levels = build->levels,
		.first_records = build->first_records,
		.workers = build->workers,
	};
	int error;

	layout_view(build->image, &graph.view);
	graph.rows = build->image + build->layout.rows;
	graph.upper = build->image + build->layout.upper;
	error = graph_link(&graph, build->order, build->order_count, options->progress,
			   options->context);
	if (error || build->count == 0)
		return error;
	store_le32(build->image + LAYOUT_AT_ENTRY, graph.view.entry);
	store_le32(build->image + LAYOUT_AT_ENTRY_LEVEL, graph.view.entry_level);
	if (graph.view.entry_level)
		store_le32(build->image + LAYOUT_AT_ENTRY_RECORD,
			   build->first_records[graph.view.entry] + graph.view.entry_level - 1);
	return 0;
}

/*
 * What a search costs, in the time that a cache line takes which follows another. A jump
 * to somewhere else costs a few more, and so does a hop, in what is not memory. Counted
 * and not timed, so that the same rows always make the same segment.
 */
#define COST_JUMP 3.0
#define COST_HOP  12.0

static double cost_of_run(uint64_t bytes)
{
	return COST_JUMP + (double)bytes / CACHE_LINE;
}

static double search_cost(const struct segment *segment, const struct tune_result *tuned)
{
	const uint64_t links = 2 * segment->m * sizeof(uint32_t);

	if (segment->codes.bits)
		return tuned->hops * (COST_HOP + cost_of_run(segment->row_stride)) +
		       cost_of_run(codes_size(segment->landmark_count, segment->codes.bits));
	return tuned->hops * (COST_HOP + cost_of_run(links)) +
	       tuned->distances *
		       (cost_of_run(segment->compared.size) + (segment->compared.factors ? 1 : 0));
}

static uint64_t size_with_edges(const struct build *build, uint32_t bits)
{
	return edges_size(&build->shape, bits, build->options.rows == BUILD_ROWS_COMPACT);
}

/* What other libraries take for the f32 and the links of a node, and 15% more. */
static bool fits_budget(const struct build *build, uint64_t size)
{
	uint64_t a_node = build->dim * sizeof(float) + 8 * (uint64_t)build->options.m + 144;

	return size <= build->count * a_node * 23 / 20;
}

/* Of an edge's code, 0 for a layout without: what was asked for, or suits the dimension and fits.
 */
static uint32_t edge_bits(const struct build *build)
{
	const struct build_options *options = &build->options;
	uint32_t bits = options->edge_bits ? options->edge_bits : edges_bits(build->dim);

	if (options->layout == BUILD_LAYOUT_PLAIN ||
	    !edges_can(build->shape.type, build->dim, bits))
		return 0;
	if (options->layout == BUILD_LAYOUT_EDGES)
		return bits;
	if (build->dim < BUILD_EDGES_DIM)
		return 0;
	while (!options->edge_bits && bits > BUILD_EDGES_BITS &&
	       !fits_budget(build, size_with_edges(build, bits)))
		bits -= CODES_BITS_ALIGN;
	return fits_budget(build, size_with_edges(build, bits)) ? bits : 0;
}

static int tune(const struct build *build, uint8_t *image, struct segment *ret_segment,
		struct tune_result *ret_tuned)
{
	layout_view(image, ret_segment);
	return tune_segment(ret_segment, build->options.recall_target, build->options.seed,
			    build->workers, ret_tuned);
}

static void take_new_image(struct build *build, struct layout_image image)
{
	munmap(build->image, build->image_size);
	build->image = image.bytes;
	build->image_size = image.size;
}

/* Puts codes into the rows if that was asked for, or makes searches cheaper. */
static int add_edges(struct build *build, const struct segment *plain, struct tune_result *tuned)
{
	const struct build_options *options = &build->options;
	const bool compact = options->rows == BUILD_ROWS_COMPACT;
	const uint32_t bits = edge_bits(build);
	struct tune_result edges_tuned;
	struct layout_image image;
	struct segment edges;
	int error;

	if (bits == 0)
		return 0;
	error = edges_make(plain, bits, compact, build->workers, &image);
	if (error)
		return error;
	error = tune(build, image.bytes, &edges, &edges_tuned);
	if (error || (options->layout == BUILD_LAYOUT_AUTO &&
		      search_cost(&edges, &edges_tuned) >= search_cost(plain, tuned))) {
		munmap(image.bytes, image.size);
		return error;
	}
	take_new_image(build, image);
	*tuned = edges_tuned;
	return 0;
}

/* Nodes are numbered for locality last of all, so that nothing else depends on it. */
static int number_nodes(struct build *build)
{
	struct layout_image image;
	struct segment segment;
	int error;

	if (build->options.order != BUILD_ORDER_GRAPH)
		return 0;
	layout_view(build->image, &segment);
	error = order_make(&segment, build->workers, &image);
	if (!error)
		take_new_image(build, image);
	return error;
}

static int seal(struct build *build)
{
	struct tune_result tuned;
	struct segment segment;
	int error = tune(build, build->image, &segment, &tuned);

	if (!error)
		error = add_edges(build, &segment, &tuned);
	if (!error)
		error = number_nodes(build);
	if (error)
		return error;
	store_le32(build->image + LAYOUT_AT_EF_DEFAULT, tuned.ef);
	for (unsigned i = 0; i < SEGMENT_RECALL_COUNT; i++)
		store_le32(build->image + LAYOUT_AT_EF_TUNED + 4 * i, tuned.ef_tuned[i]);
	memcpy(build->image + LAYOUT_AT_ROW_ERROR, &tuned.row_error, sizeof(tuned.row_error));
	layout_seal(build->image);
	return 0;
}

/* The image without its graph. */
static int write_image(struct build *build)
{
	int error = take_image(build);

	if (!error)
		error = settle_layout(build);
	if (error)
		return error;
	write_sections(build);
	write_header(build);
	return write_rows(build);
}

static void drop_image(struct build *build)
{
	if (build->image)
		munmap(build->image, build->image_size);
	build->image = NULL;
}

/* Compact rows that don't keep near vectors apart make way for full ones. */
static int choose_rows(struct build *build)
{
	struct segment view;
	bool kept;
	int error;

	if (!build->shape.compact || build->options.rows != BUILD_ROWS_AUTO)
		return 0;
	layout_view(build->image, &view);
	error = tune_order(&view, build->options.seed, build->workers, &kept);
	if (error || kept)
		return error;
	drop_image(build);
	build->shape.compact = false;
	build->shape.has_twins = true;
	return write_image(build);
}

static int run(struct build *build)
{
	int error = order_nodes(build);

	if (error)
		return error;
	draw_levels(build);
	error = workers_new(build->options.threads, &build->workers);
	if (!error)
		error = write_image(build);
	if (!error)
		error = choose_rows(build);
	if (error)
		return error;
	draw_order(build);
	error = link_graph(build);
	if (!error)
		error = seal(build);
	return error;
}

static int take_arrays(struct build *build)
{
	size_t count = (size_t)build->count + 1;

	build->sources = malloc(count * sizeof(build->sources[0]));
	build->levels = malloc(count * sizeof(build->levels[0]));
	build->first_records = malloc(count * sizeof(build->first_records[0]));
	build->twins = malloc(count * sizeof(build->twins[0]));
	build->order = malloc(count * sizeof(build->order[0]));
	if (!build->sources || !build->levels || !build->first_records || !build->twins ||
	    !build->order)
		return -ENOMEM;
	return 0;
}

int build_index(const struct build_input *input, const struct build_options *options,
		struct build_image *ret_image, uint64_t *ret_bad_row)
{
	struct build build = {.input = input, .count = input->count, .dim = input->vectors.dim};
	int result = fill_options(&build, options);

	if (!result)
		result = check_values(&build, ret_bad_row);
	if (result)
		return result;
	result = take_arrays(&build);
	if (!result)
		result = run(&build);
	if (!result)
		*ret_image = (struct build_image){build.image, build.image_size};
	else
		drop_image(&build);
	workers_free(build.workers);
	free(build.sources);
	free(build.levels);
	free(build.first_records);
	free(build.twins);
	free(build.order);
	return result;
}

int build_segment(const float *rows, const uint32_t *labels, uint32_t count, uint32_t dim,
		  const struct build_options *options, struct build_image *ret_image,
		  uint64_t *ret_bad_row)
{
	const struct build_input input = {
		.vectors = vector_source_floats(rows, dim), .labels = labels, .count = count};

	return build_index(&input, options, ret_image, ret_bad_row);
}

/*
 * Records above level 0: their number's mean and deviation are those of a sum of geometric
 * numbers; eight deviations more don't happen.
 */
static uint32_t records_max(const struct build *build)
{
	double mean = (double)build->count / (build->options.m - 1);
	double deviation = sqrt(mean * build->options.m / (build->options.m - 1));

	return (uint32_t)MIN(mean + 8 * deviation + 8, SEGMENT_COUNT_MAX - 1);
}

int build_memory(uint32_t count, uint32_t dim, const struct build_options *options,
		 struct build_memory *ret_memory)
{
	struct build build = {.count = count, .dim = dim};
	uint64_t arrays, finding, tuning, with_edges, other = 0, numbering = 0;
	int error = fill_options(&build, options);

	if (error)
		return error;
	build.shape.upper_count = records_max(&build);
	arrays = sizeof(build.sources[0]) + sizeof(build.levels[0]) +
		 sizeof(build.first_records[0]) + sizeof(build.twins[0]) + sizeof(build.order[0]);
	finding = MAX(twins_memory(count), graph_memory(&build.shape, build.options.ef_construction,
							build.options.threads));
	tuning = tune_memory(count, dim, build.options.threads);
	ret_memory->image = layout_of(&build.shape).size;
	if (edge_bits(&build)) {
		with_edges = size_with_edges(&build, edge_bits(&build));
		other = MIN(ret_memory->image, with_edges);
		ret_memory->image = MAX(ret_memory->image, with_edges);
	}
	if (options->order == BUILD_ORDER_GRAPH) {
		numbering = ret_memory->image + order_memory(&build.shape);
		ret_memory->image += align_up(count * sizeof(uint32_t), SEGMENT_ALIGN);
	}
	ret_memory->scratch =
		((uint64_t)count + 1) * arrays + MAX(finding, MAX(tuning + other, numbering));
	return 0;
}

void build_image_free(struct build_image *image)
{
	if (image && image->bytes)
		munmap(image->bytes, image->size);
	if (image)
		*image = (struct build_image){0};
}

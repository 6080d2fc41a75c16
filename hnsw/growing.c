/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/growing.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/rand.h"
#include "hnsw/convert.h"
#include "hnsw/growing_graph.h"
#include "hnsw/slots.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define GROWING_M_DEFAULT   16
#define GROWING_EFC_DEFAULT 200

/* What the kernel makes huge pages of. */
#define HUGE_PAGE (UINT64_C(2) << 20)

enum part {
	PART_ROWS,
	PART_FACTORS,
	PART_UPPER,
	PART_LABELS,
	PART_TWINS,
	PART_BIRTHS,
	PART_LEVELS,
	PART_FIRST_RECORDS,
	PART_IN_DEGREES,
	PART_LAST_TWINS,
	PART_BY_LABEL,
	PART_BY_VECTOR,
	PART_COUNT,
};

struct part_memory {
	void *base; /* owned; NULL: not there */
	size_t size;
};

struct growing {
	struct growing_options options; /* defaults filled in */
	struct rows_form form;
	float *values; /* owned: of the vector that is added, as it is compared */
	struct growing_graph graph;
	struct part_memory parts[PART_COUNT];
	struct rand rand;

	/* Written before the count that includes the node. */
	struct rows_factors *factors; /* NULL: rows need none */
	uint32_t *labels;
	uint64_t *births;
	uint8_t *levels;
	uint32_t *first_records; /* of nodes that have a level */
	uint32_t *twins; /* written later too: the next of a chain, LAYOUT_NONE at its end */

	/* The writer's. */
	struct slots by_label;
	struct slots by_vector; /* nodes of the graph: each the first of its chain */
	uint32_t *last_twins;   /* of the first of a chain: its last */
	uint32_t record_count;
	uint32_t record_max;

	/*
	 * Released by growing_insert() when everything of the node is written, in this
	 * order; acquired by growing_view() in the other.
	 */
	_Atomic uint32_t count;
	_Atomic uint32_t entry_count;
	uint32_t entries[SEGMENT_LEVEL_MAX + 1]; /* each of a higher level than the one before */
	_Atomic bool has_twins;
};

static int fill_options(const struct growing_options *given, struct growing_options *options)
{
	*options = *given;
	options->m = given->m ? given->m : GROWING_M_DEFAULT;
	options->ef_construction =
		given->ef_construction ? given->ef_construction : GROWING_EFC_DEFAULT;
	options->ef_construction = MAX(options->ef_construction, options->m);
	if ((uint32_t)options->metric >= METRIC_COUNT ||
	    (uint32_t)options->type >= VECTOR_TYPE_COUNT ||
	    !rows_can(options->type, options->metric) || options->dim < 1 ||
	    options->dim > SEGMENT_DIM_MAX || options->m < 2 || options->m > SEGMENT_M_MAX ||
	    options->capacity < 1 || options->capacity >= SEGMENT_COUNT_MAX ||
	    options->ef_construction >= SEGMENT_COUNT_MAX)
		return -EINVAL;
	return 0;
}

/* Address space now, zeroed pages when they are touched. */
static int reserve(struct part_memory *part, size_t size)
{
	void *base = mmap(NULL, size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED)
		return -ENOMEM;
	*part = (struct part_memory){base, size};
	return 0;
}

/*
 * A node has m / (m - 1) levels on average, that is 1 / (m - 1) records. Twice that and some are
 * never used up but by chance in tiny indexes; then levels are lower than drawn.
 */
static uint32_t records_for(const struct growing_options *options)
{
	uint64_t records = 2 * (uint64_t)options->capacity / (options->m - 1) + 64;

	return (uint32_t)MIN(records, SEGMENT_COUNT_MAX - 1);
}

static int reserve_parts(struct growing *growing, const struct layout *layout)
{
	uint64_t capacity = growing->options.capacity;
	uint64_t slots = slots_count(growing->options.capacity);
	const uint64_t sizes[PART_COUNT] = {
		[PART_ROWS] = capacity * layout->row_stride,
		[PART_FACTORS] = rows_have_factors(&growing->form)
					 ? capacity * sizeof(struct rows_factors)
					 : 0,
		[PART_UPPER] = growing->record_max * layout->upper_stride,
		[PART_LABELS] = capacity * sizeof(uint32_t),
		[PART_TWINS] = capacity * sizeof(uint32_t),
		[PART_BIRTHS] = capacity * sizeof(uint64_t),
		[PART_LEVELS] = capacity,
		[PART_FIRST_RECORDS] = capacity * sizeof(uint32_t),
		[PART_IN_DEGREES] = capacity * sizeof(uint32_t),
		[PART_LAST_TWINS] = capacity * sizeof(uint32_t),
		[PART_BY_LABEL] = slots * sizeof(uint32_t),
		[PART_BY_VECTOR] = slots * sizeof(uint32_t),
	};

	for (unsigned i = 0; i < PART_COUNT; i++) {
		int error = sizes[i] ? reserve(&growing->parts[i], sizes[i]) : 0;

		if (error)
			return error;
	}
	/* Only a wish: without huge pages it is slower, not wrong. */
	if (sizes[PART_ROWS] >= HUGE_PAGE)
		(void)madvise(growing->parts[PART_ROWS].base, sizes[PART_ROWS], MADV_HUGEPAGE);
	return 0;
}

static void place_parts(struct growing *growing, const struct layout *layout)
{
	const struct part_memory *parts = growing->parts;
	uint32_t mask = (uint32_t)(slots_count(growing->options.capacity) - 1);

	growing->factors = parts[PART_FACTORS].base;
	growing->labels = parts[PART_LABELS].base;
	growing->births = parts[PART_BIRTHS].base;
	growing->levels = parts[PART_LEVELS].base;
	growing->first_records = parts[PART_FIRST_RECORDS].base;
	growing->twins = parts[PART_TWINS].base;
	growing->last_twins = parts[PART_LAST_TWINS].base;
	growing->by_label = (struct slots){parts[PART_BY_LABEL].base, mask};
	growing->by_vector = (struct slots){parts[PART_BY_VECTOR].base, mask};
	growing->graph = (struct growing_graph){
		.compared =
			{
				.first = (uint8_t *)parts[PART_ROWS].base + layout->vector_offset,
				.stride = layout->row_stride,
				.size = (uint32_t)dist_row_size(growing->form.type,
								growing->form.dim),
				.factors = (const void *)growing->factors,
				.factors_stride = sizeof(struct rows_factors),
			},
		.m = growing->options.m,
		.ef = growing->options.ef_construction,
		.rows = parts[PART_ROWS].base,
		.row_stride = layout->row_stride,
		.vector_offset = layout->vector_offset,
		.upper = parts[PART_UPPER].base,
		.upper_stride = layout->upper_stride,
		.levels = growing->levels,
		.first_records = growing->first_records,
		.in_degrees = parts[PART_IN_DEGREES].base,
	};
	rows_query_row(&growing->form, NULL, NULL, &growing->graph.query);
}

int growing_new(const struct growing_options *options, struct growing **ret_growing)
{
	struct growing_options filled;
	struct growing *growing;
	struct layout layout;
	int error = fill_options(options, &filled);

	if (error)
		return error;
	growing = calloc(1, sizeof(*growing));
	if (!growing)
		return -ENOMEM;
	growing->options = filled;
	growing->form =
		(struct rows_form){.metric = filled.metric, .type = filled.type, .dim = filled.dim};
	growing->record_max = records_for(&filled);
	rand_init(&growing->rand, filled.seed);
	/* Node 0 is the first entry point, whenever it comes. */
	atomic_init(&growing->entry_count, 1);
	layout = layout_of(&(struct layout_shape){
		.metric = filled.metric, .type = filled.type, .dim = filled.dim, .m = filled.m});
	growing->values = malloc(dist_row_values(filled.type, filled.dim) * sizeof(float));
	error = growing->values ? reserve_parts(growing, &layout) : -ENOMEM;
	if (!error) {
		place_parts(growing, &layout);
		error = growing_graph_init(&growing->graph, filled.capacity);
	}
	if (error)
		growing_free(growing);
	else
		*ret_growing = growing;
	return error;
}

void growing_free(struct growing *growing)
{
	if (!growing)
		return;
	growing_graph_deinit(&growing->graph);
	free(growing->values);
	for (unsigned i = 0; i < PART_COUNT; i++)
		if (growing->parts[i].base)
			munmap(growing->parts[i].base, growing->parts[i].size);
	free(growing);
}

static uint32_t *row_of(const struct growing *growing, uint32_t node)
{
	return (uint32_t *)(void *)(growing->graph.rows + node * growing->graph.row_stride);
}

static uint8_t *vector_of(const struct growing *growing, uint32_t node)
{
	return growing->graph.rows + node * growing->graph.row_stride +
	       growing->graph.vector_offset;
}

/* The paper's l = floor(-ln(unif(0..1)) * mL) with mL = 1 / ln(m). */
static uint8_t draw_level(struct growing *growing)
{
	double level = -log(1 - rand_unit(&growing->rand)) / log(growing->options.m);
	uint32_t room = growing->record_max - growing->record_count;

	return (uint8_t)MIN(MIN(level, SEGMENT_LEVEL_MAX), room);
}

/* Only to bring candidates together; equality is decided by the bytes. */
static uint64_t hash_vector(const uint8_t *vector, uint32_t size)
{
	uint64_t hash = UINT64_C(0x9E3779B97F4A7C15);

	for (uint32_t i = 0; i < size; i += sizeof(hash))
		hash = (hash ^ load_le64(vector + i)) * UINT64_C(0xBF58476D1CE4E5B9) + (hash >> 29);
	return hash_mix64(hash);
}

/* Finds the node's equal in the graph, or makes the node the one to be found. */
static bool find_twin(struct growing *growing, uint32_t node, uint32_t *ret_first)
{
	const uint8_t *vector = vector_of(growing, node);
	uint32_t size = growing->graph.compared.size, at, first;

	for (at = slots_first(&growing->by_vector, hash_vector(vector, size));
	     slots_node(&growing->by_vector, at, &first);
	     at = slots_next(&growing->by_vector, at)) {
		if (memcmp(vector_of(growing, first), vector, size) == 0) {
			*ret_first = first;
			return true;
		}
	}
	slots_put(&growing->by_vector, at, node);
	growing->last_twins[node] = node;
	return false;
}

/* Relaxed, as lists are. Chains ascend, which searches rely on. */
static void add_twin(struct growing *growing, uint32_t first, uint32_t node)
{
	__atomic_store_n(&growing->twins[growing->last_twins[first]], node, __ATOMIC_RELAXED);
	growing->last_twins[first] = node;
	/* Relaxed: before the count is released. */
	atomic_store_explicit(&growing->has_twins, true, memory_order_relaxed);
}

static void take_records(struct growing *growing, uint32_t node)
{
	struct growing_graph *graph = &growing->graph;
	uint8_t level = draw_level(growing);

	growing->levels[node] = level;
	growing->first_records[node] = growing->record_count;
	memset(graph->upper + growing->record_count * graph->upper_stride, 0xFF,
	       level * graph->upper_stride);
	growing->record_count += level;
}

/* Relaxed: for the writer, who alone changes it. */
static uint32_t entry_count(const struct growing *growing)
{
	return atomic_load_explicit(&growing->entry_count, memory_order_relaxed);
}

static uint32_t last_entry(const struct growing *growing)
{
	return growing->entries[entry_count(growing) - 1];
}

/* Pairs with growing_view(), like the release of the count. */
static void add_entry(struct growing *growing, uint32_t node)
{
	uint32_t count = entry_count(growing);

	growing->entries[count] = node;
	atomic_store_explicit(&growing->entry_count, count + 1, memory_order_release);
}

static void copy_vector(struct growing *growing, uint32_t node, const float *vector)
{
	const struct rows_form *form = &growing->form;

	layout_copy_vector(form->metric, form->type, vector, form->dim, growing->values,
			   dist_row_values(form->type, form->dim));
	rows_encode(form, growing->values, vector_of(growing, node),
		    growing->factors ? &growing->factors[node] : NULL);
}

static void put_label(struct growing *growing, uint32_t label, uint32_t node)
{
	struct slots *slots = &growing->by_label;
	uint32_t at = slots_first(slots, hash_mix64(label)), other;

	while (slots_node(slots, at, &other) && growing->labels[other] != label)
		at = slots_next(slots, at);
	slots_put(slots, at, node);
}

uint32_t growing_find(const struct growing *growing, uint32_t label)
{
	const struct slots *slots = &growing->by_label;
	uint32_t at = slots_first(slots, hash_mix64(label)), node;

	for (; slots_node(slots, at, &node); at = slots_next(slots, at))
		if (growing->labels[node] == label)
			return node;
	return UINT32_MAX;
}

int growing_insert(struct growing *growing, uint32_t label, const float *vector, uint64_t time,
		   uint32_t *ret_node)
{
	uint32_t node = growing_count(growing), first;
	bool higher = false;
	size_t bad;

	if (node == growing->options.capacity)
		return GROWING_E_FULL;
	if (convert_check(growing->form.type, vector, growing->form.dim, &bad))
		return GROWING_E_VALUE;
	CHECK(node == 0 || time > growing->births[node - 1]);
	copy_vector(growing, node, vector);
	memset(row_of(growing, node), 0xFF, growing->graph.vector_offset);
	growing->labels[node] = label;
	growing->births[node] = time;
	growing->twins[node] = LAYOUT_NONE;
	if (find_twin(growing, node, &first)) {
		add_twin(growing, first, node);
	} else {
		take_records(growing, node);
		higher = growing->levels[node] > growing->levels[last_entry(growing)];
		if (node > 0)
			growing_graph_link(&growing->graph, node, last_entry(growing));
	}
	put_label(growing, label, node);
	atomic_store_explicit(&growing->count, node + 1, memory_order_release);
	if (higher)
		add_entry(growing, node);
	*ret_node = node;
	return 0;
}

void growing_view(const struct growing *growing, uint64_t time, struct segment *ret_view)
{
	const struct growing_graph *graph = &growing->graph;
	uint32_t entry_count = atomic_load_explicit(&growing->entry_count, memory_order_acquire);
	uint32_t count = atomic_load_explicit(&growing->count, memory_order_acquire);
	uint32_t entry, level;

	while (count > 0 && growing->births[count - 1] > time)
		count--;
	while (entry_count > 1 && growing->entries[entry_count - 1] >= count)
		entry_count--;
	entry = growing->entries[entry_count - 1];
	level = count > 0 ? growing->levels[entry] : 0;
	*ret_view = (struct segment){
		.memory_fd = -1,
		.metric = growing->options.metric,
		.type = growing->form.type,
		.dim = growing->form.dim,
		.count = count,
		.entry = entry,
		.entry_level = level,
		.entry_record = level > 0 ? growing->first_records[entry] + level - 1 : LAYOUT_NONE,
		.m = growing->options.m,
		.ef_default = GROWING_EF_DEFAULT,
		.form = growing->form,
		.compared = graph->compared,
		.rows = graph->rows,
		.row_stride = graph->row_stride,
		.vector_offset = graph->vector_offset,
		.vectors = graph->rows + graph->vector_offset,
		.vector_stride = graph->row_stride,
		.labels = growing->labels,
		/* Relaxed: a twin that counts was added before the count was released. */
		.twins = atomic_load_explicit(&growing->has_twins, memory_order_relaxed)
				 ? growing->twins
				 : NULL,
		.upper = graph->upper,
		.upper_stride = graph->upper_stride,
		.growing = true,
	};
}

uint32_t growing_count(const struct growing *growing)
{
	return atomic_load_explicit(&growing->count, memory_order_relaxed);
}

size_t growing_size(const struct growing *growing)
{
	const size_t a_node = 6 * sizeof(uint32_t) + sizeof(uint64_t) + sizeof(uint8_t) +
			      (growing->factors ? sizeof(struct rows_factors) : 0);
	size_t slots = slots_count(growing->options.capacity) * 2 * sizeof(uint32_t);

	return growing_count(growing) * (growing->graph.row_stride + a_node) +
	       growing->record_count * growing->graph.upper_stride + slots;
}

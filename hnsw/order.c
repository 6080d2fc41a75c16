/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/order.h"

#include "base/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Nodes or records that a worker copies at a time. */
#define ORDER_SLICE 256

/*
 * Nodes that have no number yet, in lists by how many of the window link to them. A list is
 * taken from where it was last put to: of equal counts the latest.
 */
struct queue {
	uint32_t *previous; /* owned, as the next two; LAYOUT_NONE ends a list */
	uint32_t *next;
	uint8_t *counts;
	uint32_t firsts[ORDER_WINDOW + 1];
	uint32_t highest; /* no node counts more */
};

/* Counts of nodes that are in no list of the queue: twins, and those that have a number. */
#define COUNT_NONE UINT8_MAX

static_assert(ORDER_WINDOW < COUNT_NONE, "a node counts each of the window once");

struct order {
	const struct segment *from;
	struct layout layout;
	uint8_t *image;
	uint32_t *nodes;   /* owned, as the next three: of each number, what it was */
	uint32_t *numbers; /* of each node of 'from' */
	uint32_t *firsts;  /* the first record of each node of 'from' that has any */
	uint32_t *records; /* of each record of 'from', which it becomes */
	uint32_t count;    /* numbers that are given */
};

static void queue_put(struct queue *queue, uint32_t node, uint32_t count)
{
	uint32_t first = queue->firsts[count];

	queue->counts[node] = (uint8_t)count;
	queue->previous[node] = LAYOUT_NONE;
	queue->next[node] = first;
	if (first != LAYOUT_NONE)
		queue->previous[first] = node;
	queue->firsts[count] = node;
	queue->highest = MAX(queue->highest, count);
}

static void queue_remove(struct queue *queue, uint32_t node)
{
	uint32_t before = queue->previous[node], after = queue->next[node];

	if (before == LAYOUT_NONE)
		queue->firsts[queue->counts[node]] = after;
	else
		queue->next[before] = after;
	if (after != LAYOUT_NONE)
		queue->previous[after] = before;
	queue->counts[node] = COUNT_NONE;
}

static void queue_deinit(struct queue *queue)
{
	free(queue->previous);
	free(queue->next);
	free(queue->counts);
}

/* All nodes but twins of earlier ones; the lowest comes first. Returns 0 or -ENOMEM. */
static int queue_init(struct queue *queue, const struct segment *segment)
{
	const size_t count = (size_t)segment->count + 1;

	queue->previous = malloc(count * sizeof(queue->previous[0]));
	queue->next = malloc(count * sizeof(queue->next[0]));
	queue->counts = calloc(count, sizeof(queue->counts[0]));
	queue->highest = 0;
	if (!queue->previous || !queue->next || !queue->counts) {
		queue_deinit(queue);
		return -ENOMEM;
	}
	memset(queue->firsts, 0xFF, sizeof(queue->firsts));
	for (uint32_t node = 0; segment->twins && node < segment->count; node++)
		if (segment->twins[node] != LAYOUT_NONE)
			queue->counts[segment->twins[node]] = COUNT_NONE;
	for (uint32_t node = segment->count; node-- > 0;)
		if (queue->counts[node] != COUNT_NONE)
			queue_put(queue, node, 0);
	return 0;
}

/* A node has come into the window, or left it. */
static void queue_count(struct queue *queue, const struct segment *segment, uint32_t node,
			int change)
{
	const uint32_t *links = layout_row(segment, node);

	for (uint32_t i = 0; i < 2 * segment->m && links[i] != LAYOUT_NONE; i++) {
		uint32_t count = queue->counts[links[i]];

		if (count == COUNT_NONE)
			continue;
		queue_remove(queue, links[i]);
		queue_put(queue, links[i], (uint32_t)((int)count + change));
	}
}

static bool queue_take(struct queue *queue, uint32_t *ret_node)
{
	while (queue->highest > 0 && queue->firsts[queue->highest] == LAYOUT_NONE)
		queue->highest--;
	*ret_node = queue->firsts[queue->highest];
	return *ret_node != LAYOUT_NONE;
}

/* Twins get the numbers behind the first of them, so that a chain ascends by number and label. */
static void give_number(struct order *order, uint32_t node)
{
	const uint32_t *twins = order->from->twins;

	for (; node != LAYOUT_NONE; node = twins ? twins[node] : LAYOUT_NONE) {
		order->numbers[node] = order->count;
		order->nodes[order->count++] = node;
	}
}

static int number_nodes(struct order *order)
{
	uint32_t window[ORDER_WINDOW], placed = 0, node = order->from->entry;
	struct queue queue;
	int error = queue_init(&queue, order->from);

	if (error)
		return error;
	if (order->from->count == 0)
		node = LAYOUT_NONE;
	for (bool more = node != LAYOUT_NONE; more; more = queue_take(&queue, &node)) {
		queue_remove(&queue, node);
		give_number(order, node);
		if (placed >= ORDER_WINDOW)
			queue_count(&queue, order->from, window[placed % ORDER_WINDOW], -1);
		queue_count(&queue, order->from, node, 1);
		window[placed++ % ORDER_WINDOW] = node;
	}
	queue_deinit(&queue);
	CHECK(order->count == order->from->count);
	return 0;
}

/* Records follow their nodes. */
static void number_records(struct order *order)
{
	const struct segment *from = order->from;
	const struct layout_owner *owners = layout_owners(from);
	struct layout_owner *to = (void *)(order->image + order->layout.owners);
	uint32_t count = 0;

	memset(order->firsts, 0xFF, from->count * sizeof(order->firsts[0]));
	for (uint32_t i = 0; i < from->upper_count; i++)
		if (owners[i].level == 1)
			order->firsts[owners[i].node] = i;
	for (uint32_t number = 0; number < from->count; number++) {
		uint32_t node = order->nodes[number], record = order->firsts[node];

		for (; record < from->upper_count && owners[record].node == node; record++) {
			order->records[record] = count;
			to[count++] = (struct layout_owner){number, owners[record].level};
		}
	}
	CHECK(count == from->upper_count);
}

static uint32_t slices(uint32_t count)
{
	return (count + ORDER_SLICE - 1) / ORDER_SLICE;
}

static void copy_row(const struct order *order, uint32_t number)
{
	const struct segment *from = order->from;
	uint32_t *row = (void *)(order->image + order->layout.rows + number * from->row_stride);

	memcpy(row, layout_row(from, order->nodes[number]), from->row_stride);
	for (uint32_t i = 0; i < 2 * from->m && row[i] != LAYOUT_NONE; i++)
		row[i] = order->numbers[row[i]];
}

/* A node's part of everything that there is one of for each node. */
static void copy_nodes(void *context, uint32_t worker, uint32_t slice)
{
	const struct order *order = context;
	const struct segment *from = order->from;
	const struct layout *layout = &order->layout;
	const uint32_t end = MIN((slice + 1) * ORDER_SLICE, from->count);
	struct rows_factors *factors = (void *)(order->image + layout->factors);
	uint32_t *labels = (void *)(order->image + layout->labels);
	uint32_t *twins = (void *)(order->image + layout->twins);

	for (uint32_t number = slice * ORDER_SLICE; number < end; number++) {
		uint32_t node = order->nodes[number];

		copy_row(order, number);
		labels[number] = from->labels[node];
		if (layout->factors)
			factors[number] = *rows_factors_at(&from->compared, node);
		if (layout->vectors)
			memcpy(order->image + layout->vectors + number * from->vector_stride,
			       layout_vector(from, node), from->vector_stride);
		if (layout->twins)
			twins[number] = from->twins[node] == LAYOUT_NONE
						? LAYOUT_NONE
						: order->numbers[from->twins[node]];
	}
}

static void copy_records(void *context, uint32_t worker, uint32_t slice)
{
	const struct order *order = context;
	const struct segment *from = order->from;
	const uint32_t end = MIN((slice + 1) * ORDER_SLICE, from->upper_count);

	for (uint32_t record = slice * ORDER_SLICE; record < end; record++) {
		struct layout_link *links = (void *)(order->image + order->layout.upper +
						     order->records[record] * from->upper_stride);

		memcpy(links, layout_record(from, record), from->upper_stride);
		for (uint32_t i = 0; i < from->m && links[i].node != LAYOUT_NONE; i++)
			links[i] = (struct layout_link){order->numbers[links[i].node],
							order->records[links[i].record]};
	}
}

/* Landmarks keep their order, in which their codes are packed. */
static void copy_landmarks(const struct order *order)
{
	const struct segment *from = order->from;
	uint32_t *landmarks = (void *)(order->image + order->layout.landmarks);

	if (from->landmark_count == 0)
		return;
	for (uint32_t i = 0; i < from->landmark_count; i++)
		landmarks[i] = order->numbers[from->landmarks[i]];
	memcpy((uint8_t *)landmarks + layout_landmark_ids(from->landmark_count),
	       from->landmark_codes, codes_size(from->landmark_count, from->codes.bits));
}

static void write_header(const struct order *order)
{
	const struct segment *from = order->from;
	const struct layout *layout = &order->layout;
	uint8_t *image = order->image;

	memcpy(image, from->image, LAYOUT_HEADER_SIZE);
	layout_store(layout, image);
	store_le32(image + LAYOUT_AT_ORDER, LAYOUT_ORDER_GRAPH);
	if (from->count == 0)
		return;
	store_le32(image + LAYOUT_AT_ENTRY, order->numbers[from->entry]);
	if (from->entry_level)
		store_le32(image + LAYOUT_AT_ENTRY_RECORD, order->records[from->entry_record]);
}

static struct layout_shape shape_of(const struct segment *segment)
{
	struct layout_shape shape = layout_shape_of(segment->image);

	shape.by_graph = true;
	return shape;
}

uint64_t order_memory(const struct layout_shape *shape)
{
	uint64_t a_node = 5 * sizeof(uint32_t) + sizeof(uint8_t);

	return (shape->count + UINT64_C(1)) * a_node + shape->upper_count * sizeof(uint32_t);
}

static void write_image(struct order *order, struct workers *workers)
{
	const struct segment *from = order->from;
	const struct layout *layout = &order->layout;

	number_records(order);
	write_header(order);
	if (layout->mean)
		memcpy(order->image + layout->mean,
		       from->image + load_le64(from->image + LAYOUT_AT_MEAN),
		       from->dim * sizeof(float));
	copy_landmarks(order);
	/* They were numbered in the order of their labels. */
	memcpy(order->image + layout->sorted, order->numbers, from->count * sizeof(uint32_t));
	workers_run(workers, slices(from->count), copy_nodes, order);
	workers_run(workers, slices(from->upper_count), copy_records, order);
}

static int take_arrays(struct order *order)
{
	const size_t count = (size_t)order->from->count + 1;

	order->nodes = malloc(count * sizeof(order->nodes[0]));
	order->numbers = malloc(count * sizeof(order->numbers[0]));
	order->firsts = malloc(count * sizeof(order->firsts[0]));
	order->records = malloc(((size_t)order->from->upper_count + 1) * sizeof(order->records[0]));
	return order->nodes && order->numbers && order->firsts && order->records ? 0 : -ENOMEM;
}

int order_make(const struct segment *segment, struct workers *workers,
	       struct layout_image *ret_image)
{
	const struct layout_shape shape = shape_of(segment);
	struct order order = {.from = segment, .layout = layout_of(&shape)};
	struct layout_image image = {0};
	int error = take_arrays(&order);

	CHECK(!segment->sorted && !segment->growing);
	if (!error)
		error = number_nodes(&order);
	if (!error)
		error = layout_image_new(order.layout.size, &image);
	if (!error) {
		order.image = image.bytes;
		write_image(&order, workers);
		*ret_image = image;
	}
	free(order.nodes);
	free(order.numbers);
	free(order.firsts);
	free(order.records);
	return error;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/graph.h"

#include "base/check.h"
#include "hnsw/visited.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>

/* A batch is at most this share of the nodes that are linked already. */
#define GRAPH_BATCH_SHARE 32

/* A node's links back are sorted by one thread; larger batches gain nothing. */
#define GRAPH_BATCH_MAX 2048

/* Cache lines asked for before they are compared; more of them push each other out of L1. */
#define GRAPH_PREFETCH_LINES 128

/*
 * Of compact rows' nearest candidates this share of m is made exact in any case. All m of them
 * would cost 5% of the build instead of 3%, as much memory as that is to be fetched.
 */
#define GRAPH_EXACT_SHARE 2

/* Candidates that are made exact at a time. */
#define GRAPH_EXACT_PART 32

/* Nodes that are to be compared. */
struct batch {
	uint32_t count;
	uint32_t nodes[2 * SEGMENT_M_MAX];
};

/* One worker's memory. */
struct scratch {
	struct visited visited;
	struct beam beam;
	uint64_t *keys;   /* ef of them: the beam's */
	uint64_t *merged; /* what a target could keep: its list and the links of a batch */
	uint64_t chosen[2 * SEGMENT_M_MAX];
	uint32_t met[2 * SEGMENT_M_MAX];
	struct batch batches[2];
};

/* A link back: 'source' wants to be in the list of 'target'. */
struct edge {
	uint64_t place; /* level << 32 | target */
	uint32_t source;
};

struct linking {
	struct graph *graph;
	struct scratch *scratch; /* one a worker */
	const uint32_t *batch;
	uint32_t batch_count;
	struct edge *edges;
	uint32_t edge_count;
	uint32_t edge_max;
	uint32_t *groups; /* index of each place's first edge */
	uint32_t group_count;
};

static uint32_t *row_of(const struct graph *graph, uint32_t node)
{
	return (uint32_t *)(void *)(graph->rows + node * graph->view.row_stride);
}

static struct layout_link *record_of(const struct graph *graph, uint32_t node, uint32_t level)
{
	uint64_t record = graph->first_records[node] + level - 1;

	return (struct layout_link *)(void *)(graph->upper + record * graph->view.upper_stride);
}

static uint32_t list_max(const struct graph *graph, uint32_t level)
{
	return level == 0 ? 2 * graph->view.m : graph->view.m;
}

/* Copies a list, whatever its level. Returns how many there are. */
static uint32_t list_read(const struct graph *graph, uint32_t node, uint32_t level, uint32_t *to)
{
	uint32_t max = list_max(graph, level);

	if (level == 0)
		return layout_list(row_of(graph, node), max, to);
	return layout_upper_list(record_of(graph, node, level), max, to);
}

static void list_put(const struct graph *graph, uint32_t node, uint32_t level, uint32_t index,
		     uint32_t neighbour)
{
	if (level == 0)
		row_of(graph, node)[index] = neighbour;
	else if (neighbour == LAYOUT_NONE)
		record_of(graph, node, level)[index] =
			(struct layout_link){LAYOUT_NONE, LAYOUT_NONE};
	else
		record_of(graph, node, level)[index] = (struct layout_link){
			neighbour, graph->first_records[neighbour] + level - 1};
}

static void list_write(const struct graph *graph, uint32_t node, uint32_t level,
		       const uint64_t *keys, uint32_t count)
{
	uint32_t max = list_max(graph, level);

	for (uint32_t i = 0; i < max; i++)
		list_put(graph, node, level, i, i < count ? beam_key_node(keys[i]) : LAYOUT_NONE);
}

static struct graph_space space_of(const struct rows_form *form, const struct rows *rows)
{
	struct graph_space space = {
		.rows = *rows,
		.ahead = MAX(GRAPH_PREFETCH_LINES * CACHE_LINE / rows->size, 1),
	};

	rows_query_row(form, NULL, NULL, &space.query);
	return space;
}

/* A node's own row as a query. */
static struct rows_query query_of(const struct graph_space *space, uint32_t node)
{
	struct rows_query query = space->query;

	query.row = rows_at(&space->rows, node);
	if (space->rows.factors)
		query.factors = *rows_factors_at(&space->rows, node);
	return query;
}

static void prefetch_first(const struct graph_space *space, const uint32_t *nodes, uint32_t count)
{
	for (uint32_t i = 0; i < MIN(count, space->ahead); i++)
		rows_prefetch(&space->rows, nodes[i]);
}

/* Of nodes the first of which have been asked for; the rest is while these are compared. */
static void distances_of(const struct graph_space *space, const struct rows_query *from,
			 const uint32_t *nodes, uint32_t count, float *ret_distances)
{
	const uint32_t ahead = space->ahead;

	for (uint32_t i = 0; i < count; i += ahead) {
		for (uint32_t j = i + ahead; j < MIN(count, i + 2 * ahead); j++)
			rows_prefetch(&space->rows, nodes[j]);
		rows_distances(from, &space->rows, nodes + i, MIN(count - i, ahead),
			       ret_distances + i);
	}
}

/* Notes the neighbours that were not met before and asks for the first vectors. */
static void meet_neighbours(const struct graph *graph, struct scratch *scratch, uint32_t node,
			    uint32_t level, struct batch *batch)
{
	uint32_t *listed = batch->nodes, count = list_max(graph, level);

	if (level == 0)
		listed = row_of(graph, node);
	else
		count = list_read(graph, node, level, listed);
	batch->count =
		visited_meet(&scratch->visited, listed, count, graph->view.count, batch->nodes);
	prefetch_first(&graph->compared, batch->nodes, batch->count);
}

/* Keeps those that are near enough; which these are is found without branches. */
static void compare_batch(const struct graph *graph, struct scratch *scratch,
			  const struct rows_query *from, const struct batch *batch)
{
	const uint64_t bound = beam_bound(&scratch->beam);
	float distances[2 * SEGMENT_M_MAX];
	uint64_t keys[2 * SEGMENT_M_MAX];
	uint32_t near = 0;

	distances_of(&graph->compared, from, batch->nodes, batch->count, distances);
	for (uint32_t i = 0; i < batch->count; i++) {
		keys[near] = beam_key(distances[i], batch->nodes[i]);
		near += keys[near] < bound;
	}
	for (uint32_t i = 0; i < near; i++)
		if (beam_wants(&scratch->beam, keys[i]))
			graph->insert(&scratch->beam, keys[i]);
}

static void prefetch_list(const struct graph *graph, uint32_t node, uint32_t level)
{
	const char *list = level == 0 ? (const char *)row_of(graph, node)
				      : (const char *)record_of(graph, node, level);
	uint64_t size = level == 0 ? graph->view.vector_offset : graph->view.upper_stride;

	for (uint64_t at = 0; at < size; at += CACHE_LINE)
		__builtin_prefetch(list + at);
}

/*
 * Algorithm 2: leaves the 'ef' nodes nearest to 'query' at 'level' in the beam.
 * Its condition to stop, that the nearest candidate is farther than the farthest
 * result, is the beam having no unexpanded node. Like search.c it takes in a list
 * before it compares with the neighbours of the one before, so that the memory
 * is kept busy.
 */
static void search_layer(const struct graph *graph, struct scratch *scratch, uint32_t query,
			 uint32_t level, uint32_t ef, uint32_t entry)
{
	const struct rows_query from = query_of(&graph->compared, query);
	struct beam *beam = &scratch->beam;
	struct batch *batch = &scratch->batches[0], *before = &scratch->batches[1];
	uint32_t node;
	bool goes_on;

	beam_reset(beam, ef);
	visited_clear(&scratch->visited);
	(void)visited_add(&scratch->visited, entry);
	beam_insert(beam, beam_key(rows_distance(&from, &graph->compared.rows, entry), entry));
	before->count = 0;
	do {
		struct batch *swapped = before;

		batch->count = 0;
		goes_on = beam_expand(beam, &node);
		if (goes_on)
			meet_neighbours(graph, scratch, node, level, batch);
		goes_on |= before->count > 0;
		compare_batch(graph, scratch, &from, before);
		before = batch;
		batch = swapped;
		if (beam_peek(beam, &node))
			prefetch_list(graph, node, level);
	} while (goes_on);
}

static bool is_chosen(const struct scratch *scratch, uint32_t count, uint64_t key)
{
	uint32_t i = 0;

	while (i < count && scratch->chosen[i] != key)
		i++;
	return i < count;
}

/* Makes 'count' keys exact. Returns how far off the worst of them was. */
static float make_exact(const struct graph_space *exact, uint32_t node, uint64_t *keys,
			uint32_t count)
{
	const struct rows_query from = query_of(exact, node);
	uint32_t nodes[GRAPH_EXACT_PART];
	float distances[GRAPH_EXACT_PART], worst = 0;

	for (uint32_t first = 0; first < count; first += GRAPH_EXACT_PART) {
		uint32_t part = MIN(count - first, GRAPH_EXACT_PART);

		for (uint32_t i = 0; i < part; i++)
			nodes[i] = beam_key_node(keys[first + i]);
		prefetch_first(exact, nodes, part);
		distances_of(exact, &from, nodes, part, distances);
		for (uint32_t i = 0; i < part; i++) {
			float error = fabsf(distances[i] - beam_key_distance(keys[first + i]));

			/* What is infinitely far either way differs by no number. */
			worst = MAX(worst, error <= FLT_MAX ? error : FLT_MAX);
			keys[first + i] = beam_key(distances[i], nodes[i]);
		}
	}
	return worst;
}

/*
 * Puts the nearest candidates, which algorithm 4 begins with, in order by the vectors
 * themselves: some, and all that may be as near as the last of these for all that
 * compact rows say. Where these say little that is most of the beam. Returns how many.
 */
static uint32_t refine(const struct graph *graph, uint32_t node, uint64_t *keys, uint32_t count)
{
	uint32_t exact = MIN(count, graph->view.m / GRAPH_EXACT_SHARE), first = exact;
	float farthest;

	if (!graph->view.form.compact || count == 0)
		return 0;
	farthest = beam_key_distance(keys[exact - 1]);
	farthest += 2 * make_exact(&graph->exact, node, keys, exact);
	while (exact < count && beam_key_distance(keys[exact]) <= farthest)
		exact++;
	(void)make_exact(&graph->exact, node, keys + first, exact - first);
	beam_sort(keys, exact);
	return exact;
}

/*
 * Algorithm 4: of candidates from near to far it keeps one that is nearer to the
 * node than to every one kept before, so that links point in different
 * directions. Fewer than m / GRAPH_LEAST_PART are filled up with the nearest of the
 * others: a node in the middle of a tight group would have one link, and the group
 * hardly be found from outside. The first candidates, whose distances are exact, are compared
 * with those kept exactly too. Returns how many are in scratch->chosen.
 */
static uint32_t choose(const struct graph *graph, struct scratch *scratch, uint32_t node,
		       uint64_t *keys, uint32_t count, uint32_t max)
{
	uint32_t least = graph->view.m / GRAPH_LEAST_PART, chosen = 0;
	uint32_t exact = refine(graph, node, keys, count);

	for (uint32_t i = 0; i < count && chosen < max; i++) {
		const struct graph_space *space = i < exact ? &graph->exact : &graph->compared;
		const struct rows_query from = query_of(space, beam_key_node(keys[i]));
		float distance = beam_key_distance(keys[i]);
		uint32_t j = 0;

		while (j < chosen && !(rows_distance(&from, &space->rows,
						     beam_key_node(scratch->chosen[j])) < distance))
			j++;
		if (j == chosen)
			scratch->chosen[chosen++] = keys[i];
	}
	for (uint32_t i = 0; i < count && chosen < least; i++)
		if (!is_chosen(scratch, chosen, keys[i]))
			scratch->chosen[chosen++] = keys[i];
	return chosen;
}

/* Algorithm 1 up to the links back: finds and writes a node's own lists. */
static void insert_item(void *context, uint32_t worker, uint32_t item)
{
	const struct linking *linking = context;
	const struct graph *graph = linking->graph;
	struct scratch *scratch = &linking->scratch[worker];
	uint32_t node = linking->batch[item];
	uint32_t level = graph->levels[node], at = graph->view.entry_level;
	uint32_t entry = graph->view.entry;

	for (; at > level; at--) {
		search_layer(graph, scratch, node, at, 1, entry);
		entry = beam_key_node(scratch->beam.keys[0]);
	}
	for (;; at--) {
		uint32_t count;

		search_layer(graph, scratch, node, at, graph->ef, entry);
		entry = beam_key_node(scratch->beam.keys[0]);
		count = choose(graph, scratch, node, scratch->beam.keys, scratch->beam.count,
			       graph->view.m);
		list_write(graph, node, at, scratch->chosen, count);
		if (at == 0)
			break;
	}
}

static int compare_keys(const void *a, const void *b)
{
	const uint64_t *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

static int compare_edges(const void *a, const void *b)
{
	const struct edge *left = a, *right = b;

	if (left->place != right->place)
		return left->place > right->place ? 1 : -1;
	return (left->source > right->source) - (left->source < right->source);
}

/* A list too long for its place: what algorithm 4 keeps of the old and the new. */
static void shrink_list(const struct graph *graph, struct scratch *scratch, uint32_t target,
			uint32_t level, uint32_t listed, const struct edge *edges, uint32_t count)
{
	const struct rows *rows = &graph->compared.rows;
	const struct rows_query from = query_of(&graph->compared, target);
	uint64_t *merged = scratch->merged;
	uint32_t chosen;

	for (uint32_t i = 0; i < listed; i++)
		merged[i] = beam_key(rows_distance(&from, rows, scratch->met[i]), scratch->met[i]);
	for (uint32_t i = 0; i < count; i++)
		merged[listed + i] =
			beam_key(rows_distance(&from, rows, edges[i].source), edges[i].source);
	qsort(merged, listed + count, sizeof(merged[0]), compare_keys);
	chosen = choose(graph, scratch, target, merged, listed + count, list_max(graph, level));
	list_write(graph, target, level, scratch->chosen, chosen);
}

/* Adds the links of one batch back from one target. */
static void link_item(void *context, uint32_t worker, uint32_t item)
{
	const struct linking *linking = context;
	const struct graph *graph = linking->graph;
	struct scratch *scratch = &linking->scratch[worker];
	uint32_t first = linking->groups[item];
	uint32_t end =
		item + 1 < linking->group_count ? linking->groups[item + 1] : linking->edge_count;
	uint32_t target = (uint32_t)linking->edges[first].place;
	uint32_t level = (uint32_t)(linking->edges[first].place >> 32);
	uint32_t listed = list_read(graph, target, level, scratch->met);

	if (listed + (end - first) > list_max(graph, level)) {
		shrink_list(graph, scratch, target, level, listed, &linking->edges[first],
			    end - first);
		return;
	}
	for (uint32_t i = first; i < end; i++)
		list_put(graph, target, level, listed + i - first, linking->edges[i].source);
}

static int take_edges(struct linking *linking, uint32_t needed)
{
	struct edge *edges;
	uint32_t *groups;

	if (needed <= linking->edge_max)
		return 0;
	edges = realloc(linking->edges, needed * sizeof(*edges));
	if (!edges)
		return -ENOMEM;
	linking->edges = edges;
	groups = realloc(linking->groups, needed * sizeof(*groups));
	if (!groups)
		return -ENOMEM;
	linking->groups = groups;
	linking->edge_max = needed;
	return 0;
}

/* Lists the links back of the batch, sorted, and where each target's begin. */
static int collect_edges(struct linking *linking)
{
	const struct graph *graph = linking->graph;
	uint32_t list[2 * SEGMENT_M_MAX];
	uint32_t needed = 0;
	int error;

	for (uint32_t i = 0; i < linking->batch_count; i++)
		needed += (graph->levels[linking->batch[i]] + 1U) * graph->view.m;
	error = take_edges(linking, needed);
	if (error)
		return error;
	linking->edge_count = 0;
	for (uint32_t i = 0; i < linking->batch_count; i++) {
		uint32_t node = linking->batch[i];

		for (uint32_t level = 0; level <= graph->levels[node]; level++) {
			uint32_t count = list_read(graph, node, level, list);

			for (uint32_t j = 0; j < count; j++)
				linking->edges[linking->edge_count++] =
					(struct edge){(uint64_t)level << 32 | list[j], node};
		}
	}
	CHECK(linking->edge_count <= needed);
	qsort(linking->edges, linking->edge_count, sizeof(linking->edges[0]), compare_edges);
	linking->group_count = 0;
	for (uint32_t i = 0; i < linking->edge_count; i++)
		if (i == 0 || linking->edges[i].place != linking->edges[i - 1].place)
			linking->groups[linking->group_count++] = i;
	return 0;
}

/*
 * A batch ends behind a node that is higher than the graph: the next batch
 * starts from it, and two such nodes don't miss each other.
 */
static uint32_t batch_length(const struct graph *graph, const uint32_t *nodes, uint32_t done,
			     uint32_t count)
{
	uint32_t max = MIN(MAX(done / GRAPH_BATCH_SHARE, 1), GRAPH_BATCH_MAX);
	uint32_t length = 1;

	max = MIN(max, count - done);
	while (length < max && graph->levels[nodes[done + length - 1]] <= graph->view.entry_level)
		length++;
	return length;
}

static void raise_entry(struct graph *graph, uint32_t node)
{
	if (graph->levels[node] <= graph->view.entry_level)
		return;
	graph->view.entry = node;
	graph->view.entry_level = graph->levels[node];
}

static int link_all(struct linking *linking, const uint32_t *nodes, uint32_t count,
		    void (*progress)(void *context, uint64_t done, uint64_t total), void *context)
{
	struct graph *graph = linking->graph;
	uint32_t done = 1;

	graph->view.entry = nodes[0];
	graph->view.entry_level = graph->levels[nodes[0]];
	while (done < count) {
		int error;

		linking->batch = nodes + done;
		linking->batch_count = batch_length(graph, nodes, done, count);
		workers_run(graph->workers, linking->batch_count, insert_item, linking);
		error = collect_edges(linking);
		if (error)
			return error;
		workers_run(graph->workers, linking->group_count, link_item, linking);
		done += linking->batch_count;
		raise_entry(graph, nodes[done - 1]);
		if (progress)
			progress(context, done, count);
	}
	return 0;
}

/* What can be reached from the entry at level 0. */
struct reach {
	struct visited reached;
	uint32_t *queue; /* reached, not yet followed */
	uint32_t queue_count;
};

static void reach_node(struct reach *reach, uint32_t node)
{
	if (visited_add(&reach->reached, node))
		reach->queue[reach->queue_count++] = node;
}

static void reach_follow(struct reach *reach, const struct graph *graph)
{
	uint32_t list[2 * SEGMENT_M_MAX];

	while (reach->queue_count > 0) {
		uint32_t node = reach->queue[--reach->queue_count];
		uint32_t count = list_read(graph, node, 0, list);

		for (uint32_t i = 0; i < count; i++)
			reach_node(reach, list[i]);
	}
}

/* Gives the node to the nearest node that has room; all that a search meets are reached. */
static void attach_node(struct linking *linking, uint32_t node)
{
	const struct graph *graph = linking->graph;
	struct scratch *scratch = &linking->scratch[0];
	const struct beam *beam = &scratch->beam;

	search_layer(graph, scratch, node, 0, graph->ef, graph->view.entry);
	for (uint32_t i = 0; i < beam->count; i++) {
		uint32_t target = beam_key_node(beam->keys[i]);
		uint32_t count = list_read(graph, target, 0, scratch->met);

		if (count < list_max(graph, 0)) {
			list_put(graph, target, 0, count, node);
			return;
		}
	}
}

/*
 * Lists that were cut can leave a node in none of them (0.1% of 100,000 word
 * vectors). Such nodes are handed to a near one with room, one after the other.
 */
static int connect_lost(struct linking *linking, const uint32_t *nodes, uint32_t count)
{
	const struct graph *graph = linking->graph;
	struct reach reach = {.queue = malloc(count * sizeof(reach.queue[0]))};
	int error = -ENOMEM;

	if (reach.queue && !visited_init(&reach.reached, graph->view.count)) {
		reach_node(&reach, graph->view.entry);
		reach_follow(&reach, graph);
		for (uint32_t i = 0; i < count; i++) {
			if (visited_has(&reach.reached, nodes[i]))
				continue;
			attach_node(linking, nodes[i]);
			reach_node(&reach, nodes[i]);
			reach_follow(&reach, graph);
		}
		visited_deinit(&reach.reached);
		error = 0;
	}
	free(reach.queue);
	return error;
}

static void scratch_free(struct scratch *scratch, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		visited_deinit(&scratch[i].visited);
		free(scratch[i].keys);
		free(scratch[i].merged);
	}
	free(scratch);
}

static struct scratch *scratch_new(const struct graph *graph, uint32_t count)
{
	struct scratch *scratch = calloc(count, sizeof(*scratch));

	for (uint32_t i = 0; scratch && i < count; i++) {
		scratch[i].keys = malloc(graph->ef * sizeof(scratch[i].keys[0]));
		scratch[i].merged = malloc((2 * SEGMENT_M_MAX + GRAPH_BATCH_MAX) *
					   sizeof(scratch[i].merged[0]));
		scratch[i].beam.keys = scratch[i].keys;
		if (visited_init(&scratch[i].visited, graph->view.count) || !scratch[i].keys ||
		    !scratch[i].merged) {
			scratch_free(scratch, count);
			return NULL;
		}
	}
	return scratch;
}

int graph_link(struct graph *graph, const uint32_t *nodes, uint32_t count,
	       void (*progress)(void *context, uint64_t done, uint64_t total), void *context)
{
	uint32_t threads = workers_count(graph->workers);
	struct linking linking = {.graph = graph};
	struct rows_form form;
	struct rows exact;
	int error = -ENOMEM;

	if (count == 0)
		return 0;
	graph->compared = space_of(&graph->view.form, &graph->view.compared);
	segment_exact(&graph->view, &form, &exact);
	graph->exact = space_of(&form, &exact);
	graph->insert = beam_insert_best();
	linking.scratch = scratch_new(graph, threads);
	if (linking.scratch)
		error = link_all(&linking, nodes, count, progress, context);
	if (!error)
		error = connect_lost(&linking, nodes, count);
	if (linking.scratch)
		scratch_free(linking.scratch, threads);
	free(linking.edges);
	free(linking.groups);
	return error;
}

/* Levels of a batch's nodes, itself counted: 1 + 1 / (m - 1) in the mean. */
#define GRAPH_LEVELS_MAX 3

uint64_t graph_memory(const struct layout_shape *shape, uint32_t ef, uint32_t threads)
{
	uint64_t edges = (uint64_t)GRAPH_BATCH_MAX * GRAPH_LEVELS_MAX * shape->m;
	uint64_t worker = sizeof(struct scratch) + visited_memory(shape->count) +
			  ef * sizeof(uint64_t) +
			  (2 * SEGMENT_M_MAX + GRAPH_BATCH_MAX) * sizeof(uint64_t);
	uint64_t reach = visited_memory(shape->count) + shape->count * sizeof(uint32_t);

	/* Edges are sorted by merging, beside the array. */
	return threads * worker + edges * (2 * sizeof(struct edge) + sizeof(uint32_t)) + reach;
}

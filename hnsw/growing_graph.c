/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/growing_graph.h"

#include "base/defs.h"
#include "hnsw/graph.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * Algorithms 1, 2 and 4 as in graph.c, for one node at a time, and with one thing
 * more: when a list is cut, a node that is in no other list stays in it, and a new
 * node that no list keeps goes to the nearest with room, so that the graph hardly
 * ever loses nodes. (graph.c looks for lost nodes when everything is linked; here
 * there is no such moment.)
 *
 * Stores to lists are relaxed, a word each; growing.h says why that is enough.
 */

/* Cache lines asked for before they are compared; more of them push each other out of L1. */
#define PREFETCH_LINES 128

int growing_graph_init(struct growing_graph *graph, uint32_t capacity)
{
	graph->keys = malloc(graph->ef * sizeof(graph->keys[0]));
	graph->beam.keys = graph->keys;
	if (graph->keys && !visited_init(&graph->visited, capacity))
		return 0;
	return -ENOMEM;
}

void growing_graph_deinit(struct growing_graph *graph)
{
	visited_deinit(&graph->visited);
	free(graph->keys);
}

static uint32_t *row_of(const struct growing_graph *graph, uint32_t node)
{
	return (uint32_t *)(void *)(graph->rows + node * graph->row_stride);
}

static struct layout_link *record_of(const struct growing_graph *graph, uint32_t node,
				     uint32_t level)
{
	uint64_t record = graph->first_records[node] + level - 1;

	return (struct layout_link *)(void *)(graph->upper + record * graph->upper_stride);
}

static uint32_t list_max(const struct growing_graph *graph, uint32_t level)
{
	return level == 0 ? 2 * graph->m : graph->m;
}

/* Copies a list, whatever its level. Returns how many there are. */
static uint32_t list_read(const struct growing_graph *graph, uint32_t node, uint32_t level,
			  uint32_t *to)
{
	uint32_t max = list_max(graph, level);

	if (level == 0)
		return layout_list(row_of(graph, node), max, to);
	return layout_upper_list(record_of(graph, node, level), max, to);
}

static void list_put(struct growing_graph *graph, uint32_t node, uint32_t level, uint32_t index,
		     uint32_t neighbour)
{
	if (level == 0) {
		__atomic_store_n(&row_of(graph, node)[index], neighbour, __ATOMIC_RELAXED);
	} else {
		struct layout_link link = {neighbour, LAYOUT_NONE};

		if (neighbour != LAYOUT_NONE)
			link.record = graph->first_records[neighbour] + level - 1;
		__atomic_store(&record_of(graph, node, level)[index], &link, __ATOMIC_RELAXED);
	}
}

/* A node's own row as a query. */
static struct rows_query query_of(const struct growing_graph *graph, uint32_t node)
{
	const struct rows *rows = &graph->compared;
	struct rows_query query = graph->query;

	query.row = rows_at(rows, node);
	if (rows->factors)
		query.factors = *rows_factors_at(rows, node);
	return query;
}

static uint32_t prefetch_ahead(const struct growing_graph *graph)
{
	return MAX(PREFETCH_LINES * CACHE_LINE / graph->compared.size, 1);
}

static void prefetch_list(const struct growing_graph *graph, uint32_t node, uint32_t level)
{
	const char *list = level == 0 ? (const char *)row_of(graph, node)
				      : (const char *)record_of(graph, node, level);

	for (uint64_t at = 0; at < (level == 0 ? graph->vector_offset : graph->upper_stride);
	     at += CACHE_LINE)
		__builtin_prefetch(list + at);
}

/* Notes the neighbours that were not met before and asks for the first vectors. */
static uint32_t meet_neighbours(struct growing_graph *graph, uint32_t node, uint32_t level)
{
	uint32_t *met = graph->met;
	uint32_t listed = list_read(graph, node, level, met), count = 0;

	for (uint32_t i = 0; i < listed; i++)
		if (visited_add(&graph->visited, met[i]))
			met[count++] = met[i];
	for (uint32_t i = 0; i < MIN(count, prefetch_ahead(graph)); i++)
		rows_prefetch(&graph->compared, met[i]);
	return count;
}

/* Algorithm 2: leaves the 'ef' nodes nearest to 'query' at 'level' in the beam. */
static void search_layer(struct growing_graph *graph, uint32_t query, uint32_t level, uint32_t ef,
			 uint32_t entry)
{
	const struct rows_query from = query_of(graph, query);
	const struct rows *rows = &graph->compared;
	const uint32_t ahead = prefetch_ahead(graph);
	struct beam *beam = &graph->beam;
	uint32_t node;

	beam_reset(beam, ef);
	visited_clear(&graph->visited);
	(void)visited_add(&graph->visited, entry);
	beam_insert(beam, beam_key(rows_distance(&from, rows, entry), entry));
	while (beam_expand(beam, &node)) {
		uint32_t count = meet_neighbours(graph, node, level);

		for (uint32_t i = 0; i < count; i++) {
			uint32_t met = graph->met[i];
			uint64_t key;

			if (i + ahead < count)
				rows_prefetch(&graph->compared, graph->met[i + ahead]);
			key = beam_key(rows_distance(&from, rows, met), met);
			if (beam_wants(beam, key))
				beam_insert(beam, key);
		}
	}
}

/*
 * Algorithm 4: of 'count' candidates from near to far it moves those to 'chosen' that are nearer to
 * the node than to every one chosen before, and the nearest of the others where those are few (see
 * hnsw/graph.c); the others it keeps in their order in 'keys'. Returns how many were chosen.
 */
static uint32_t choose(struct growing_graph *graph, uint64_t *keys, uint32_t count, uint32_t max)
{
	uint32_t least = graph->m / GRAPH_LEAST_PART, chosen = 0, left = 0, filled = 0;
	uint64_t *kept = graph->chosen;

	for (uint32_t i = 0; i < count; i++) {
		const struct rows_query from = query_of(graph, beam_key_node(keys[i]));
		float distance = beam_key_distance(keys[i]);
		uint32_t j = chosen < max ? 0 : UINT32_MAX;

		while (j < chosen &&
		       !(rows_distance(&from, &graph->compared, beam_key_node(kept[j])) < distance))
			j++;
		if (j == chosen)
			kept[chosen++] = keys[i];
		else
			keys[left++] = keys[i];
	}
	while (chosen < least && filled < left)
		kept[chosen++] = keys[filled++];
	memmove(keys, keys + filled, (left - filled) * sizeof(keys[0]));
	return chosen;
}

/*
 * Takes a node that would be lost into the list that was chosen: at its end, or, when it is full,
 * in the place of the farthest that another list has too. Returns false when all would be lost.
 */
static bool save_lost(struct growing_graph *graph, uint64_t key, uint32_t max, uint32_t *chosen)
{
	uint32_t place = *chosen;

	if (*chosen < max) {
		graph->chosen[(*chosen)++] = key;
		return true;
	}
	while (place > 0 && graph->in_degrees[beam_key_node(graph->chosen[place - 1])] == 1)
		place--;
	if (place == 0)
		return false;
	graph->in_degrees[beam_key_node(graph->chosen[place - 1])]--;
	graph->chosen[place - 1] = key;
	return true;
}

/* A full list of 'target', and 'node': writes what algorithm 4 keeps, and who would be lost. */
static void cut_list(struct growing_graph *graph, uint32_t target, uint32_t level, uint64_t key,
		     uint32_t listed)
{
	const struct rows_query from = query_of(graph, target);
	uint32_t max = list_max(graph, level), chosen, others;
	uint64_t *merged = graph->merged;

	for (uint32_t i = 0; i < listed; i++)
		merged[i] = beam_key(rows_distance(&from, &graph->compared, graph->met[i]),
				     graph->met[i]);
	merged[listed] = key;
	beam_sort(merged, listed + 1); /* a few keys, half in order as a rule */
	chosen = choose(graph, merged, listed + 1, max);
	others = listed + 1 - chosen;
	for (uint32_t i = 0; level == 0 && i < others; i++) {
		uint32_t left = beam_key_node(merged[i]);

		if (graph->in_degrees[left] > 1 || left == beam_key_node(key) ||
		    !save_lost(graph, merged[i], max, &chosen))
			graph->in_degrees[left]--;
	}
	for (uint32_t i = 0; i < max; i++)
		list_put(graph, target, level, i,
			 i < chosen ? beam_key_node(graph->chosen[i]) : LAYOUT_NONE);
}

/* Adds the link back from 'target', which is as far from the node as 'key' says. */
static void link_back(struct growing_graph *graph, uint32_t target, uint32_t level, uint64_t key)
{
	uint32_t listed = list_read(graph, target, level, graph->met);

	if (level == 0)
		graph->in_degrees[beam_key_node(key)]++;
	if (listed < list_max(graph, level))
		list_put(graph, target, level, listed, beam_key_node(key));
	else
		cut_list(graph, target, level, key, listed);
}

/* No list has kept the node: that of the nearest target with room has to. */
static void link_lost(struct growing_graph *graph, const uint64_t *targets, uint32_t count,
		      uint32_t node)
{
	for (uint32_t i = 0; i < count && graph->in_degrees[node] == 0; i++) {
		uint32_t target = beam_key_node(targets[i]);
		uint32_t listed = list_read(graph, target, 0, graph->met);

		if (listed == list_max(graph, 0))
			continue;
		list_put(graph, target, 0, listed, node);
		graph->in_degrees[node]++;
	}
}

static void prefetch_neighbours(struct growing_graph *graph, uint32_t node, uint32_t level)
{
	uint32_t listed = list_read(graph, node, level, graph->met);

	for (uint32_t i = 0; listed == list_max(graph, level) && i < listed; i++)
		rows_prefetch(&graph->compared, graph->met[i]);
}

/* Writes the node's own list at one level, then the links back to it. */
static void link_level(struct growing_graph *graph, uint32_t node, uint32_t level)
{
	uint64_t targets[SEGMENT_M_MAX];
	uint32_t count = choose(graph, graph->beam.keys, graph->beam.count, graph->m);

	for (uint32_t i = 0; i < count; i++) {
		targets[i] = graph->chosen[i];
		list_put(graph, node, level, i, beam_key_node(targets[i]));
		prefetch_list(graph, beam_key_node(targets[i]), level);
		if (level == 0)
			graph->in_degrees[beam_key_node(targets[i])]++;
	}
	for (uint32_t i = 0; i < count; i++) {
		uint32_t target = beam_key_node(targets[i]);

		if (i + 1 < count)
			prefetch_neighbours(graph, beam_key_node(targets[i + 1]), level);
		link_back(graph, target, level, beam_key(beam_key_distance(targets[i]), node));
	}
	if (level > 0)
		return;
	link_lost(graph, targets, count, node);
	link_lost(graph, graph->beam.keys, graph->beam.count - count, node);
}

void growing_graph_link(struct growing_graph *graph, uint32_t node, uint32_t entry)
{
	uint32_t level = graph->levels[node], at = graph->levels[entry];

	for (; at > level; at--) {
		search_layer(graph, node, at, 1, entry);
		entry = beam_key_node(graph->beam.keys[0]);
	}
	for (;; at--) {
		search_layer(graph, node, at, graph->ef, entry);
		entry = beam_key_node(graph->beam.keys[0]);
		link_level(graph, node, at);
		if (at == 0)
			break;
	}
}

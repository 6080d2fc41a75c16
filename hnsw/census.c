/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/census.h"

#include "base/check.h"
#include "hnsw/layout.h"
#include "hnsw/visited.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Nodes or records met, in the order in which they were. */
struct walk {
	struct visited met;
	uint32_t *queue;
	uint32_t count;
};

static int walk_init(struct walk *walk, uint32_t max)
{
	*walk = (struct walk){0};
	if (visited_init(&walk->met, max))
		return -ENOMEM;
	walk->queue = malloc(((size_t)max + 1) * sizeof(walk->queue[0]));
	if (walk->queue)
		return 0;
	visited_deinit(&walk->met);
	return -ENOMEM;
}

static void walk_deinit(struct walk *walk)
{
	visited_deinit(&walk->met);
	free(walk->queue);
}

static void walk_meet(struct walk *walk, uint32_t number)
{
	if (visited_add(&walk->met, number))
		walk->queue[walk->count++] = number;
}

static uint32_t degree_of(const struct segment *segment, uint32_t node)
{
	return layout_degree(layout_row(segment, node), 2 * segment->m);
}

static uint32_t upper_degree_of(const struct segment *segment, uint32_t record)
{
	return layout_upper_degree(layout_record(segment, record), segment->m);
}

/* Follows the lists of level 0 from all that has been met. */
static void follow(const struct segment *segment, struct walk *nodes)
{
	for (uint32_t i = 0; i < nodes->count; i++) {
		const uint32_t *links = layout_row(segment, nodes->queue[i]);
		uint32_t degree = degree_of(segment, nodes->queue[i]);

		for (uint32_t j = 0; j < degree; j++)
			walk_meet(nodes, links[j]);
	}
}

/* From a record a search goes to those it links to, and to the same node's a level below. */
static void follow_records(const struct segment *segment, struct walk *records)
{
	const struct layout_owner *owners = layout_owners(segment);

	for (uint32_t i = 0; i < records->count; i++) {
		uint32_t record = records->queue[i], degree = upper_degree_of(segment, record);
		const struct layout_link *links = layout_record(segment, record);

		for (uint32_t j = 0; j < degree; j++)
			walk_meet(records, links[j].record);
		if (owners[record].level > 1)
			walk_meet(records, record - 1);
	}
}

/* Counts those that can be reached by level 0 alone, and as searches do. */
static int count_reached(const struct segment *segment, struct census *census)
{
	const struct layout_owner *owners = layout_owners(segment);
	struct walk nodes, records;

	if (walk_init(&nodes, segment->count))
		return -ENOMEM;
	if (walk_init(&records, segment->upper_count)) {
		walk_deinit(&nodes);
		return -ENOMEM;
	}
	walk_meet(&nodes, segment->entry);
	follow(segment, &nodes);
	census->reached_below = nodes.count;
	if (segment->entry_level)
		walk_meet(&records, segment->entry_record);
	follow_records(segment, &records);
	for (uint32_t i = 0; i < records.count; i++)
		walk_meet(&nodes, owners[records.queue[i]].node);
	for (uint32_t i = 0; i < segment->landmark_count; i++)
		walk_meet(&nodes, segment->landmarks[i]);
	follow(segment, &nodes);
	census->reached = nodes.count;
	walk_deinit(&records);
	walk_deinit(&nodes);
	return 0;
}

static int compare_words(const void *a, const void *b)
{
	const uint32_t *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

/* 'in' has how many lists each node is in; those of twins, which are in none, are left out. */
static void count_in(const struct segment *segment, const uint8_t *is_twin, uint32_t *in,
		     struct census *census)
{
	uint32_t kept = 0;

	for (uint32_t node = 0; node < segment->count; node++)
		if (!is_twin[node])
			in[kept++] = in[node];
	qsort(in, kept, sizeof(in[0]), compare_words);
	census->in_least = in[0];
	census->in_median = in[kept / 2];
	census->in_most = in[kept - 1];
	while (census->in_none < kept && in[census->in_none] == 0)
		census->in_none++;
}

static void count_nodes(const struct segment *segment, const uint8_t *is_twin, uint32_t *in,
			struct census *census)
{
	for (uint32_t node = 0; node < segment->count; node++) {
		const uint32_t *links = layout_row(segment, node);
		uint32_t degree = degree_of(segment, node);

		if (is_twin[node]) {
			census->twin_count++;
			continue;
		}
		census->degrees[degree]++;
		for (uint32_t i = 0; i < degree; i++)
			in[links[i]]++;
	}
	census->graph_count = segment->count - census->twin_count;
}

/* Where in the image the rows of each list are. */
static void count_places(const struct segment *segment, const uint8_t *is_twin,
			 struct census *census)
{
	uint32_t links[2 * SEGMENT_M_MAX];

	for (uint32_t node = 0; node < segment->count; node++) {
		uint32_t degree = is_twin[node] ? 0 : degree_of(segment, node);
		uint64_t page = UINT64_MAX;

		memcpy(links, layout_row(segment, node), degree * sizeof(links[0]));
		qsort(links, degree, sizeof(links[0]), compare_words);
		census->links += degree;
		for (uint32_t i = 0; i < degree; i++) {
			uint64_t begin = (uint64_t)(segment->compared.first - segment->image) +
					 links[i] * segment->compared.stride;

			census->link_runs += i == 0 || links[i] != links[i - 1] + 1;
			census->link_pages += begin / CENSUS_PAGE != page;
			page = begin / CENSUS_PAGE;
		}
	}
}

static void count_levels(const struct segment *segment, struct census *census)
{
	const struct layout_owner *owners = layout_owners(segment);

	census->level_counts[0] = census->graph_count;
	for (uint32_t i = 0; i < segment->upper_count; i++) {
		census->level_counts[owners[i].level]++;
		census->level_counts[owners[i].level - 1]--;
		census->upper_degrees[upper_degree_of(segment, i)]++;
	}
}

int census_take(const struct segment *segment, struct census *ret_census)
{
	uint8_t *is_twin = calloc((size_t)segment->count + 1, 1);
	uint32_t *in = calloc((size_t)segment->count + 1, sizeof(*in));
	struct census census = {0};
	int error = is_twin && in ? 0 : -ENOMEM;

	if (!error && segment->count) {
		for (uint32_t node = 0; segment->twins && node < segment->count; node++)
			if (segment->twins[node] != LAYOUT_NONE)
				is_twin[segment->twins[node]] = 1;
		count_nodes(segment, is_twin, in, &census);
		count_places(segment, is_twin, &census);
		count_levels(segment, &census);
		count_in(segment, is_twin, in, &census);
		error = count_reached(segment, &census);
	}
	free(is_twin);
	free(in);
	if (!error)
		*ret_census = census;
	return error;
}

unsigned census_parts(const struct segment *segment, struct census_part parts[CENSUS_PART_MAX])
{
	const uint64_t count = segment->count, dim = segment->dim;
	const uint32_t bits = segment->codes.bits;
	const bool has_factors = rows_have_factors(&segment->form);
	const struct census_part all[] = {
		{"header", LAYOUT_HEADER_SIZE},
		{"mean", load_le64(segment->image + LAYOUT_AT_MEAN) ? dim * sizeof(float) : 0},
		{"landmarks", segment->landmark_count
				      ? layout_landmark_ids(segment->landmark_count) +
						codes_size(segment->landmark_count, bits)
				      : 0},
		{"row_neighbours", count * 2 * segment->m * sizeof(uint32_t)},
		{"row_vectors", count * vector_type_size(rows_type(&segment->form), segment->dim)},
		{"row_codes", bits ? count * codes_size(2 * segment->m, bits) : 0},
		{"factors", has_factors ? count * sizeof(struct rows_factors) : 0},
		{"vectors",
		 segment->form.compact ? count * vector_type_size(segment->type, segment->dim) : 0},
		{"labels", count * sizeof(uint32_t)},
		{"sorted", segment->sorted ? count * sizeof(uint32_t) : 0},
		{"twins", segment->twins ? count * sizeof(uint32_t) : 0},
		{"owners", segment->upper_count * sizeof(struct layout_owner)},
		{"upper", (uint64_t)segment->upper_count * segment->m * sizeof(struct layout_link)},
	};
	uint64_t named = 0;

	static_assert(ARRAY_COUNT(all) < CENSUS_PART_MAX, "one more for the padding");
	for (unsigned i = 0; i < ARRAY_COUNT(all); i++) {
		parts[i] = all[i];
		named += all[i].size;
	}
	CHECK(named <= segment->image_size);
	parts[ARRAY_COUNT(all)] = (struct census_part){"padding", segment->image_size - named};
	return ARRAY_COUNT(all) + 1;
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Cmd_dump_segment - shows a segment: its header, its bytes by part, its graph
 *
 * Opening checks the whole file first, so a damaged one is told about by the
 * place of the damage and not shown.
 */

#include "base/byteorder.h"
#include "client/cmd.h"
#include "client/cmd_vectors.h"
#include "hnsw/census.h"
#include "hnsw/layout.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static const char about[] =
	"Checks a segment that 'tern build' wrote and prints its header, its bytes by "
	"part, and what\nits graph is like: degrees, levels, and how much of it can be "
	"reached.\n";

static double per_vector(const struct segment *segment, uint64_t size)
{
	return segment->count ? (double)size / segment->count : 0;
}

static json_t *counts_json(const uint32_t *counts, unsigned count)
{
	json_t *array = json_array();

	for (unsigned i = 0; i < count; i++)
		json_array_append_new(array, json_integer(counts[i]));
	return array;
}

static const char *order_name(const struct segment *segment)
{
	return segment->sorted ? "graph" : "label";
}

static json_t *parts_json(const struct segment *segment)
{
	struct census_part parts[CENSUS_PART_MAX];
	unsigned count = census_parts(segment, parts);
	json_t *object = json_object();

	for (unsigned i = 0; i < count; i++)
		json_object_set_new(object, parts[i].name, json_integer((json_int_t)parts[i].size));
	return object;
}

/* Levels from 0 to the entry's. */
static unsigned level_count(const struct segment *segment)
{
	return segment->count ? segment->entry_level + 1 : 0;
}

static json_t *graph_json(const struct segment *segment, const struct census *census)
{
	return json_pack(
		"{s:I, s:I, s:o, s:o, s:o, s:{s:I, s:I, s:I, s:I}, s:I, s:I, s:I, s:I, s:I}",
		"nodes", (json_int_t)census->graph_count, "twins", (json_int_t)census->twin_count,
		"levels", counts_json(census->level_counts, level_count(segment)), "degrees",
		counts_json(census->degrees, 2 * segment->m + 1), "upper_degrees",
		counts_json(census->upper_degrees, segment->m + 1), "in_degree", "min",
		(json_int_t)census->in_least, "median", (json_int_t)census->in_median, "max",
		(json_int_t)census->in_most, "zero", (json_int_t)census->in_none,
		"reached_at_level_0", (json_int_t)census->reached_below, "reached",
		(json_int_t)census->reached, "links", (json_int_t)census->links, "link_runs",
		(json_int_t)census->link_runs, "link_pages", (json_int_t)census->link_pages);
}

static json_t *tuned_json(const struct segment *segment)
{
	json_t *object = json_object();
	char recall[8];

	for (unsigned i = 0; i < SEGMENT_RECALL_COUNT; i++) {
		snprintf(recall, sizeof(recall), "%.2f", (double)segment_recalls[i]);
		json_object_set_new(object, recall, json_integer(segment->ef_tuned[i]));
	}
	return object;
}

static void dump_json(const char *path, const struct segment *segment, const struct census *census)
{
	const uint8_t *image = segment->image;
	json_t *line = json_pack(
		"{s:s, s:s, s:i, s:I, s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
		"event", "segment", "file", path, "version", LAYOUT_VERSION, "generation",
		(json_int_t)segment->generation, "metric", metric_name(segment->metric), "type",
		vector_type_name(segment->type), "compact", segment->form.compact, "edge_bits",
		(json_int_t)segment->codes.bits, "dim", (json_int_t)segment->dim, "vectors",
		(json_int_t)segment->count, "m", (json_int_t)segment->m, "ef_construction",
		(json_int_t)load_le32(image + LAYOUT_AT_EF_CONSTRUCTION), "seed",
		(json_int_t)load_le64(image + LAYOUT_AT_SEED), "entry", (json_int_t)segment->entry,
		"entry_level", (json_int_t)segment->entry_level);

	json_object_set_new(line, "order", json_string(order_name(segment)));
	json_object_set_new(line, "ef_default", json_integer(segment->ef_default));
	json_object_set_new(line, "ef_tuned", tuned_json(segment));
	json_object_set_new(line, "row_error", json_real((double)segment->row_error));
	json_object_set_new(line, "bytes", json_integer((json_int_t)segment->image_size));
	json_object_set_new(line, "bytes_per_vector",
			    json_real(per_vector(segment, segment->image_size)));
	json_object_set_new(line, "parts", parts_json(segment));
	json_object_set_new(line, "graph", graph_json(segment, census));
	cmd_json(line);
}

static void print_parts(const struct segment *segment)
{
	struct census_part parts[CENSUS_PART_MAX];
	unsigned count = census_parts(segment, parts);

	printf("\n%-16s %14s %12s\n", "part", "bytes", "a vector");
	for (unsigned i = 0; i < count; i++)
		if (parts[i].size)
			printf("%-16s %14" PRIu64 " %12.1f\n", parts[i].name, parts[i].size,
			       per_vector(segment, parts[i].size));
	printf("%-16s %14" PRIu64 " %12.1f\n", "all", segment->image_size,
	       per_vector(segment, segment->image_size));
}

static void print_counts(const char *what, const uint32_t *counts, unsigned count)
{
	printf("%s:", what);
	for (unsigned i = 0; i < count; i++)
		if (counts[i])
			printf(" %u:%" PRIu32, i, counts[i]);
	putchar('\n');
}

/* In the mean. */
static double a_list(const struct census *census, uint64_t count)
{
	return (double)count / census->graph_count;
}

static void print_graph(const struct segment *segment, const struct census *census)
{
	printf("\n%" PRIu32 " nodes, %" PRIu32 " twins; entry %" PRIu32 " at level %" PRIu32 "\n",
	       census->graph_count, census->twin_count, segment->entry, segment->entry_level);
	printf("reached from the entry: %" PRIu32 " by level 0 alone, %" PRIu32
	       " as searches go (%" PRIu32 " not)\n",
	       census->reached_below, census->reached, census->graph_count - census->reached);
	printf("in lists of level 0: %" PRIu32 " to %" PRIu32 ", median %" PRIu32 "; %" PRIu32
	       " nodes in none\n",
	       census->in_least, census->in_most, census->in_median, census->in_none);
	if (census->graph_count)
		printf("rows of a list: %.2f, in %.2f runs, on %.2f pages of %d bytes\n",
		       a_list(census, census->links), a_list(census, census->link_runs),
		       a_list(census, census->link_pages), CENSUS_PAGE);
	print_counts("nodes by highest level", census->level_counts, level_count(segment));
	print_counts("nodes by neighbours at level 0", census->degrees, 2 * segment->m + 1);
	print_counts("records by neighbours above", census->upper_degrees, segment->m + 1);
}

static void dump_text(const char *path, const struct segment *segment, const struct census *census)
{
	const uint8_t *image = segment->image;

	printf("%s: version %d, generation %" PRIu64 "\n", path, LAYOUT_VERSION,
	       segment->generation);
	printf("%" PRIu32 " vectors of %" PRIu32 " values (%s), %s%s", segment->count, segment->dim,
	       vector_type_name(segment->type), metric_name(segment->metric),
	       segment->form.compact ? ", compact rows" : "");
	if (segment->codes.bits)
		printf(", edge codes of %" PRIu32 " bits", segment->codes.bits);
	printf("\nm %" PRIu32 ", ef_construction %" PRIu32 ", seed %" PRIu64
	       ", nodes numbered by %s\n",
	       segment->m, load_le32(image + LAYOUT_AT_EF_CONSTRUCTION),
	       load_le64(image + LAYOUT_AT_SEED), order_name(segment));
	printf("ef %" PRIu32 " by default;", segment->ef_default);
	for (unsigned i = 0; i < SEGMENT_RECALL_COUNT; i++)
		printf(" %" PRIu32 " for recall %.2f%s", segment->ef_tuned[i],
		       (double)segment_recalls[i], i + 1 < SEGMENT_RECALL_COUNT ? "," : "\n");
	if (segment->form.compact)
		printf("compact distances are off by up to %g\n", (double)segment->row_error);
	print_parts(segment);
	if (segment->count)
		print_graph(segment, census);
}

static int dump(const char *path, const struct segment *segment, bool json)
{
	struct census census;

	if (census_take(segment, &census))
		return cmd_fail("%s: no memory to count its %" PRIu32 " nodes; free some", path,
				segment->count);
	if (json)
		dump_json(path, segment, &census);
	else
		dump_text(path, segment, &census);
	return CMD_DONE;
}

int cmd_dump_segment(int argc, char **argv)
{
	const struct segment_open_options how = {.numa_node = -1};
	const char *path = NULL;
	bool json = false;
	const struct cmd_option options[] = {
		{"FILE", NULL, "the segment", .text = &path, .positional = true, .required = true},
		{"json", NULL, "print one JSON object", .flag = &json},
	};
	struct segment segment;
	char error[256] = "";
	int status, result;

	if (!cmd_options("dump segment", about, options, ARRAY_COUNT(options), argc, argv, &status))
		return status;
	result = segment_open(path, &how, &segment, error, sizeof(error));
	if (result)
		return cmd_fail("%s: %s; build it again", path, *error ? error : strerror(-result));
	status = dump(path, &segment, json);
	segment_close(&segment);
	return status;
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Make segment corpus - writes tests/fuzz/corpus/segment
 *
 *      make_segment_corpus FOLDER
 *
 * Small whole segments, and segments with one word changed behind checksums that
 * are right, one for each check that opening makes.
 */

#include "base/byteorder.h"
#include "base/defs.h"
#include "base/rand.h"
#include "hnsw/build.h"
#include "hnsw/layout.h"
#include "tests/lib/reseal.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIM  5
#define ROWS 24

static const char *folder;

static void must(bool held, const char *what)
{
	if (held)
		return;
	perror(what);
	exit(1);
}

static void save(const char *name, const void *bytes, size_t size)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "wb");
	must(file && fwrite(bytes, 1, size, file) == size && !fclose(file), path);
}

/* What to build, and under which name to save it. */
struct whole {
	const char *name;
	enum metric metric;
	enum vector_type type;
	enum build_rows rows;
	enum build_layout layout;
	uint32_t count;
	bool twins;
	enum build_order order;
};

/* In [-0.5, 0.5), or what of it the type can hold. */
static float value_for(enum vector_type type, struct rand *rand)
{
	double value = rand_unit(rand) - 0.5;

	switch (type) {
	case VECTOR_I8:
		return rintf((float)value * 254);
	case VECTOR_U8:
		return rintf((float)(value + 0.5) * 255);
	case VECTOR_B1:
		return value > 0 ? 1 : 0;
	default:
		return (float)value;
	}
}

static struct build_image build(const struct whole *whole)
{
	const struct build_options options = {
		.metric = whole->metric,
		.type = whole->type,
		.rows = whole->rows,
		.layout = whole->layout,
		.order = whole->order,
		.m = 2,
		.seed = 3,
	};
	float rows[ROWS * DIM];
	struct build_image image;
	struct rand rand;
	uint64_t bad_row;

	rand_init(&rand, 4);
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
		rows[i] = value_for(whole->type, &rand);
	for (uint32_t row = 10; whole->twins && row < 14; row++)
		memcpy(rows + row * DIM, rows + 2 * DIM, DIM * sizeof(float));
	must(!build_segment(rows, NULL, whole->count, DIM, &options, &image, &bad_row),
	     "build_segment");
	return image;
}

static void save_whole(const struct whole *whole)
{
	struct build_image image = build(whole);

	save(whole->name, image.bytes, image.size);
	build_image_free(&image);
}

/* 'section' is the header field that has the offset of a section, or -1: 'at' is from the start. */
struct change {
	const char *name;
	int section;
	unsigned at;
	uint32_t value;
};

static void save_changed(const struct change *change, const struct whole *whole)
{
	struct build_image image = build(whole);
	uint8_t *bytes = image.bytes;
	uint64_t base = change->section < 0 ? 0 : load_le64(bytes + change->section);

	store_le32(bytes + base + change->at, change->value);
	reseal(bytes, image.size);
	save(change->name, bytes, image.size);
	build_image_free(&image);
}

int main(int argc, char **argv)
{
	static const struct change changes[] = {
		{"bad_metric", -1, LAYOUT_AT_METRIC, 3},
		{"bad_dim", -1, LAYOUT_AT_DIM, 4096},
		{"bad_count", -1, LAYOUT_AT_COUNT, UINT32_MAX},
		{"bad_count_one_more", -1, LAYOUT_AT_COUNT, ROWS + 1},
		{"bad_m", -1, LAYOUT_AT_M, 129},
		{"bad_version", -1, LAYOUT_AT_VERSION, LAYOUT_VERSION + 1},
		{"bad_entry", -1, LAYOUT_AT_ENTRY, ROWS},
		{"bad_entry_level", -1, LAYOUT_AT_ENTRY_LEVEL, 16},
		{"bad_entry_record", -1, LAYOUT_AT_ENTRY_RECORD, 0},
		{"bad_rows_offset", -1, LAYOUT_AT_ROWS, 384},
		{"bad_type", -1, LAYOUT_AT_TYPE, VECTOR_TYPE_COUNT},
		{"bad_type_for_compact", -1, LAYOUT_AT_TYPE, VECTOR_F16},
		{"bad_compact", -1, LAYOUT_AT_COMPACT, 2},
		{"bad_row_error", -1, LAYOUT_AT_ROW_ERROR, 0x7FC00000},
		{"odd_mean", LAYOUT_AT_MEAN, 0, 0x7F800000},
		{"odd_mean_huge", LAYOUT_AT_MEAN, 4, 0x7F7FFFFF},
		{"odd_mean_nan", LAYOUT_AT_MEAN, 8, 0xFFC00000},
		{"odd_factor", LAYOUT_AT_FACTORS, 0, 0x7F800000},
		{"odd_factor_nan", LAYOUT_AT_FACTORS, 8, 0x7FC00000},
		{"odd_factor_negative", LAYOUT_AT_FACTORS, 16, 0xFF7FFFFF},
		{"odd_add_infinite", LAYOUT_AT_FACTORS, 12, 0xFF800000},
		{"odd_row_error_huge", -1, LAYOUT_AT_ROW_ERROR, 0x7F7FFFFF},
		{"odd_row_error_zero", -1, LAYOUT_AT_ROW_ERROR, 0},
		{"bad_row_error_infinite", -1, LAYOUT_AT_ROW_ERROR, 0x7F800000},
		{"bad_row_error_negative", -1, LAYOUT_AT_ROW_ERROR, 0xBF800000},
		{"bad_reserved", -1, LAYOUT_AT_RESERVED, 1},
		{"bad_neighbour", LAYOUT_AT_ROWS, 0, ROWS},
		{"bad_neighbour_twin", LAYOUT_AT_ROWS, 0, 12},
		{"bad_label_order", LAYOUT_AT_LABELS, 8, 0},
		{"bad_twin_before", LAYOUT_AT_TWINS, 40, 2},
		{"bad_twin_vector", LAYOUT_AT_TWINS, 4, 5},
		{"bad_twin_shared", LAYOUT_AT_TWINS, 40, 12},
		{"bad_owner_level", LAYOUT_AT_OWNERS, 4, 2},
		{"bad_owner_node", LAYOUT_AT_OWNERS, 0, ROWS},
		{"bad_link_node", LAYOUT_AT_UPPER, 0, ROWS - 1},
		{"bad_link_record", LAYOUT_AT_UPPER, 4, 1000},
		{"odd_no_neighbours", LAYOUT_AT_ROWS, 0, LAYOUT_NONE},
		{"odd_own_neighbour", LAYOUT_AT_ROWS, 0, 0},
		{"odd_vector_nan", LAYOUT_AT_ROWS, 64, 0x7FC00000},
		{"bad_ef_tuned", -1, LAYOUT_AT_EF_TUNED + 4, 1},
		{"odd_ef_default", -1, LAYOUT_AT_EF_DEFAULT, UINT32_MAX},
	};
	/* The same of a segment with codes of its edges. */
	static const struct change edge_changes[] = {
		{"bad_edge_bits_odd", -1, LAYOUT_AT_EDGE_BITS, 32},
		{"bad_edge_bits_more", -1, LAYOUT_AT_EDGE_BITS, 128},
		{"bad_edge_bits_none", -1, LAYOUT_AT_EDGE_BITS, 0},
		{"bad_landmark_count", -1, LAYOUT_AT_LANDMARK_COUNT, ROWS},
		{"bad_landmark_node", LAYOUT_AT_LANDMARKS, 0, ROWS},
		{"odd_edges_mean_nan", LAYOUT_AT_MEAN, 0, 0x7FC00000},
		{"odd_edges_place_not_taken", LAYOUT_AT_ROWS, 128 + 60, 0xFF80FF80},
		{"odd_edges_all_nearest", LAYOUT_AT_ROWS, 128, 0xFF80FF80},
	};
	/* Of one whose nodes are numbered for locality. */
	static const struct change order_changes[] = {
		{"bad_order", -1, LAYOUT_AT_ORDER, 2},
		{"bad_order_none", -1, LAYOUT_AT_ORDER, 0},
		{"bad_sorted_offset", -1, LAYOUT_AT_SORTED, 64},
		{"bad_sorted_node", LAYOUT_AT_SORTED, 0, ROWS},
		{"bad_sorted_twice", LAYOUT_AT_SORTED, 4, 0},
		{"bad_sorted_label", LAYOUT_AT_LABELS, 0, 1000},
	};
	/* What cosine distances of integers are made with. */
	static const struct change integer_changes[] = {
		{"odd_i8_scale_nan", LAYOUT_AT_FACTORS, 0, 0x7FC00000},
		{"odd_i8_add_infinite", LAYOUT_AT_FACTORS, 4, 0x7F800000},
	};
	static const struct whole wholes[] = {
		{"good_empty", .metric = METRIC_L2, .layout = BUILD_LAYOUT_PLAIN},
		{"good_one", METRIC_COSINE, .layout = BUILD_LAYOUT_PLAIN, .count = 1},
		{"good_l2", METRIC_L2, .layout = BUILD_LAYOUT_PLAIN, .count = ROWS},
		{"good_ip", METRIC_IP, .layout = BUILD_LAYOUT_PLAIN, .count = ROWS},
		{"good_cosine_twins", METRIC_COSINE, .layout = BUILD_LAYOUT_PLAIN, .count = ROWS,
		 .twins = true},
		{"good_edges_empty", METRIC_L2, .layout = BUILD_LAYOUT_EDGES},
		{"good_edges_one", METRIC_COSINE, .layout = BUILD_LAYOUT_EDGES, .count = 1},
		{"good_edges_l2", METRIC_L2, .layout = BUILD_LAYOUT_EDGES, .count = ROWS},
		{"good_edges_ip_twins", METRIC_IP, .layout = BUILD_LAYOUT_EDGES, .count = ROWS,
		 .twins = true},
		{"good_full_ip_twins", METRIC_IP, VECTOR_F32, BUILD_ROWS_FULL, BUILD_LAYOUT_PLAIN,
		 ROWS, true, BUILD_ORDER_LABEL},
		{"good_compact_edges_cosine", METRIC_COSINE, VECTOR_F32, BUILD_ROWS_COMPACT,
		 BUILD_LAYOUT_EDGES, ROWS, false, BUILD_ORDER_LABEL},
		{"good_f16_cosine", METRIC_COSINE, VECTOR_F16, BUILD_ROWS_FULL, BUILD_LAYOUT_PLAIN,
		 ROWS, false, BUILD_ORDER_LABEL},
		{"good_f16_edges_l2_twins", METRIC_L2, VECTOR_F16, BUILD_ROWS_FULL,
		 BUILD_LAYOUT_EDGES, ROWS, true, BUILD_ORDER_LABEL},
		{"good_bf16_ip", METRIC_IP, VECTOR_BF16, BUILD_ROWS_FULL, BUILD_LAYOUT_PLAIN, ROWS,
		 false, BUILD_ORDER_LABEL},
		{"good_i8_l2", METRIC_L2, VECTOR_I8, BUILD_ROWS_FULL, BUILD_LAYOUT_PLAIN, ROWS,
		 false, BUILD_ORDER_LABEL},
		{"good_u8_edges_cosine_twins", METRIC_COSINE, VECTOR_U8, BUILD_ROWS_FULL,
		 BUILD_LAYOUT_EDGES, ROWS, true, BUILD_ORDER_LABEL},
		{"good_b1_l2_twins", METRIC_L2, VECTOR_B1, BUILD_ROWS_FULL, BUILD_LAYOUT_PLAIN,
		 ROWS, true, BUILD_ORDER_LABEL},
		{"good_order_empty", METRIC_L2, .layout = BUILD_LAYOUT_PLAIN,
		 .order = BUILD_ORDER_GRAPH},
		{"good_order_l2_twins", METRIC_L2, .layout = BUILD_LAYOUT_PLAIN, .count = ROWS,
		 .twins = true, .order = BUILD_ORDER_GRAPH},
		{"good_order_b1_l2_twins", METRIC_L2, VECTOR_B1, BUILD_ROWS_FULL,
		 BUILD_LAYOUT_PLAIN, ROWS, true, BUILD_ORDER_GRAPH},
		{"good_order_edges_ip_twins", METRIC_IP, VECTOR_F32, BUILD_ROWS_COMPACT,
		 BUILD_LAYOUT_EDGES, ROWS, true, BUILD_ORDER_GRAPH},
	};
	static const struct whole plain = {
		.metric = METRIC_L2, .layout = BUILD_LAYOUT_PLAIN, .count = ROWS, .twins = true};
	static const struct whole edges = {
		.metric = METRIC_L2, .layout = BUILD_LAYOUT_EDGES, .count = ROWS, .twins = true};
	static const struct whole ordered = {.metric = METRIC_L2,
					     .layout = BUILD_LAYOUT_PLAIN,
					     .count = ROWS,
					     .twins = true,
					     .order = BUILD_ORDER_GRAPH};
	static const struct whole integers = {
		.metric = METRIC_COSINE, .type = VECTOR_I8, .count = ROWS};
	struct build_image image;

	must(argc == 2, "usage: make_segment_corpus FOLDER");
	folder = argv[1];
	for (size_t i = 0; i < ARRAY_COUNT(wholes); i++)
		save_whole(&wholes[i]);
	for (size_t i = 0; i < ARRAY_COUNT(changes); i++)
		save_changed(&changes[i], &plain);
	for (size_t i = 0; i < ARRAY_COUNT(edge_changes); i++)
		save_changed(&edge_changes[i], &edges);
	for (size_t i = 0; i < ARRAY_COUNT(order_changes); i++)
		save_changed(&order_changes[i], &ordered);
	for (size_t i = 0; i < ARRAY_COUNT(integer_changes); i++)
		save_changed(&integer_changes[i], &integers);
	image = build(&plain);
	save("short_header", image.bytes, 200);
	save("short_body", image.bytes, image.size - 64);
	build_image_free(&image);
	return 0;
}

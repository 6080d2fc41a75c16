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
#include "base/crc.h"
#include "base/defs.h"
#include "base/rand.h"
#include "hnsw/build.h"
#include "hnsw/layout.h"

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

static struct build_image build(enum metric metric, uint32_t count, bool twins,
				enum build_layout layout)
{
	const struct build_options options = {
		.metric = metric, .layout = layout, .m = 2, .seed = 3};
	float rows[ROWS * DIM];
	struct build_image image;
	struct rand rand;
	uint64_t bad_row;

	rand_init(&rand, 4);
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
		rows[i] = (float)rand_unit(&rand) - 0.5F;
	for (uint32_t row = 10; twins && row < 14; row++)
		memcpy(rows + row * DIM, rows + 2 * DIM, DIM * sizeof(float));
	must(!build_segment(rows, NULL, count, DIM, &options, &image, &bad_row), "build_segment");
	return image;
}

static void save_whole(const char *name, enum metric metric, uint32_t count, bool twins,
		       enum build_layout layout)
{
	struct build_image image = build(metric, count, twins, layout);

	save(name, image.bytes, image.size);
	build_image_free(&image);
}

/* 'section' is the header field that has the offset of a section, or -1: 'at' is from the start. */
struct change {
	const char *name;
	int section;
	unsigned at;
	uint32_t value;
};

static void save_changed(const struct change *change, enum build_layout layout)
{
	struct build_image image = build(METRIC_L2, ROWS, /* twins= */ true, layout);
	uint8_t *bytes = image.bytes;
	uint64_t base = change->section < 0 ? 0 : load_le64(bytes + change->section);

	store_le32(bytes + base + change->at, change->value);
	store_le32(bytes + LAYOUT_AT_BODY_CRC,
		   crc32c(bytes + LAYOUT_HEADER_SIZE, image.size - LAYOUT_HEADER_SIZE));
	store_le32(bytes + LAYOUT_AT_HEADER_CRC, crc32c(bytes, LAYOUT_AT_HEADER_CRC));
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
		{"bad_version", -1, LAYOUT_AT_VERSION, 3},
		{"bad_entry", -1, LAYOUT_AT_ENTRY, ROWS},
		{"bad_entry_level", -1, LAYOUT_AT_ENTRY_LEVEL, 16},
		{"bad_entry_record", -1, LAYOUT_AT_ENTRY_RECORD, 0},
		{"bad_rows_offset", -1, LAYOUT_AT_ROWS, 320},
		{"bad_type", -1, LAYOUT_AT_TYPE, VECTOR_TYPE_COUNT},
		{"bad_type_for_compact", -1, LAYOUT_AT_TYPE, VECTOR_F16},
		{"bad_compact", -1, LAYOUT_AT_COMPACT, 2},
		{"bad_row_error", -1, LAYOUT_AT_ROW_ERROR, 0x7FC00000},
		{"odd_mean", LAYOUT_AT_MEAN, 0, 0x7F800000},
		{"odd_factor", LAYOUT_AT_FACTORS, 0, 0x7F800000},
		{"bad_reserved", -1, LAYOUT_AT_RESERVED, 1},
		{"bad_neighbour", LAYOUT_AT_ROWS, 0, ROWS},
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
	struct build_image image;

	must(argc == 2, "usage: make_segment_corpus FOLDER");
	folder = argv[1];
	save_whole("good_empty", METRIC_L2, 0, false, BUILD_LAYOUT_PLAIN);
	save_whole("good_one", METRIC_COSINE, 1, false, BUILD_LAYOUT_PLAIN);
	save_whole("good_l2", METRIC_L2, ROWS, false, BUILD_LAYOUT_PLAIN);
	save_whole("good_ip", METRIC_IP, ROWS, false, BUILD_LAYOUT_PLAIN);
	save_whole("good_cosine_twins", METRIC_COSINE, ROWS, true, BUILD_LAYOUT_PLAIN);
	save_whole("good_edges_empty", METRIC_L2, 0, false, BUILD_LAYOUT_EDGES);
	save_whole("good_edges_one", METRIC_COSINE, 1, false, BUILD_LAYOUT_EDGES);
	save_whole("good_edges_l2", METRIC_L2, ROWS, false, BUILD_LAYOUT_EDGES);
	save_whole("good_edges_ip_twins", METRIC_IP, ROWS, true, BUILD_LAYOUT_EDGES);
	for (size_t i = 0; i < ARRAY_COUNT(changes); i++)
		save_changed(&changes[i], BUILD_LAYOUT_PLAIN);
	for (size_t i = 0; i < ARRAY_COUNT(edge_changes); i++)
		save_changed(&edge_changes[i], BUILD_LAYOUT_EDGES);
	image = build(METRIC_L2, ROWS, false, BUILD_LAYOUT_PLAIN);
	save("short_header", image.bytes, 200);
	save("short_body", image.bytes, image.size - 64);
	build_image_free(&image);
	return 0;
}

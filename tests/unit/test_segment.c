/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/byteorder.h"
#include "base/defs.h"
#include "base/memory.h"
#include "hnsw/layout.h"
#include "hnsw/segment.h"
#include "rdma/fetch_shm.h"
#include "tests/lib/index.h"
#include "tests/lib/reseal.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ROWS 300
#define DIM  20

struct fixture {
	float *rows;
	struct build_image image;
	struct segment segment;
};

/* Some rows are equal, so that there are twins. */
static int fixture_setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	fixture->rows = index_rows(ROWS, DIM, 1);
	for (uint32_t row = 200; row < 210; row++)
		memcpy(fixture->rows + (size_t)row * DIM, fixture->rows, DIM * sizeof(float));
	index_build(fixture->rows, NULL, ROWS, DIM, METRIC_L2, &fixture->image, &fixture->segment);
	*state = fixture;
	return 0;
}

static int fixture_teardown(void **state)
{
	struct fixture *fixture = *state;

	build_image_free(&fixture->image);
	free(fixture->rows);
	free(fixture);
	return 0;
}

/* A copy to damage, at an aligned address. */
static uint8_t *copy_of(const struct fixture *fixture)
{
	uint8_t *copy = aligned_alloc(SEGMENT_ALIGN, align_up(fixture->image.size, SEGMENT_ALIGN));

	assert_non_null(copy);
	memcpy(copy, fixture->image.bytes, fixture->image.size);
	return copy;
}

static int attach(const uint8_t *image, size_t size)
{
	struct segment segment;
	char error[200] = "";
	int result = segment_attach(image, size, &segment, error, sizeof(error));

	assert_true((result == 0) == (error[0] == '\0'));
	return result;
}

static void a_built_segment_says_what_it_is(void **state)
{
	const struct fixture *fixture = *state;
	const struct segment *segment = &fixture->segment;

	assert_int_equal(segment->count, ROWS);
	assert_int_equal(segment->dim, DIM);
	assert_int_equal(segment->metric, METRIC_L2);
	assert_int_equal(segment->m, 8);
	assert_true(segment->ef_default >= 16);
	assert_int_equal(segment->image_size, fixture->image.size);
	assert_non_null(segment->twins);
	for (uint32_t node = 0; node < ROWS; node++) {
		float vector[DIM];

		segment_vector(segment, node, vector);
		assert_memory_equal(vector, fixture->rows + (size_t)node * DIM, sizeof(vector));
	}
}

static void the_ef_of_a_recall_is_that_of_the_next_greater_one_tuned(void **state)
{
	const struct fixture *fixture = *state;
	struct segment segment = fixture->segment;

	for (unsigned i = 0; i < SEGMENT_RECALL_COUNT; i++) {
		assert_true(segment.ef_tuned[i] >= (i ? segment.ef_tuned[i - 1] : 1));
		segment.ef_tuned[i] = 10 + i;
	}
	segment.ef_default = 7;
	assert_int_equal(segment_ef(&segment, 0), 7);
	assert_int_equal(segment_ef(&segment, 0.5F), 10);
	for (unsigned i = 0; i < SEGMENT_RECALL_COUNT; i++)
		assert_int_equal(segment_ef(&segment, segment_recalls[i]), 10 + i);
	assert_int_equal(segment_ef(&segment, 0.93F), 11);
	assert_int_equal(segment_ef(&segment, 0.985F), 13);
	assert_int_equal(segment_ef(&segment, 1), 13);
	/* A growing index has none. */
	segment.ef_tuned[0] = 0;
	assert_int_equal(segment_ef(&segment, 0.9F), 7);
}

static void efs_that_fall_are_refused(void **state)
{
	const struct fixture *fixture = *state;
	uint8_t *copy = copy_of(fixture);

	for (unsigned i = 0; i < SEGMENT_RECALL_COUNT; i++) {
		uint8_t *field = copy + LAYOUT_AT_EF_TUNED + 4 * i;
		uint32_t before = load_le32(field);

		store_le32(field, i ? load_le32(field - 4) - 1 : 0);
		reseal(copy, fixture->image.size);
		assert_int_equal(attach(copy, fixture->image.size), SEGMENT_E_CORRUPT);
		store_le32(field, before);
	}
	reseal(copy, fixture->image.size);
	assert_int_equal(attach(copy, fixture->image.size), 0);
	free(copy);
}

static void a_damaged_byte_anywhere_is_noticed(void **state)
{
	const struct fixture *fixture = *state;
	uint8_t *copy = copy_of(fixture);
	size_t size = fixture->image.size;

	assert_int_equal(attach(copy, size), 0);
	/* All of the header, and then some of everything. */
	for (size_t at = 0; at < size; at += at < LAYOUT_HEADER_SIZE ? 1 : 97) {
		copy[at] ^= 0x10;
		assert_int_not_equal(attach(copy, size), 0);
		copy[at] ^= 0x10;
	}
	free(copy);
}

static void a_piece_of_a_segment_is_refused(void **state)
{
	const struct fixture *fixture = *state;

	for (size_t size = 0; size < 300; size++)
		assert_int_equal(attach(fixture->image.bytes, size), SEGMENT_E_CORRUPT);
	assert_int_equal(attach(fixture->image.bytes, fixture->image.size - 1), SEGMENT_E_CORRUPT);
}

static void an_image_out_of_line_is_refused(void **state)
{
	const struct fixture *fixture = *state;
	uint8_t *memory =
		aligned_alloc(SEGMENT_ALIGN, align_up(fixture->image.size + 4, SEGMENT_ALIGN));

	assert_non_null(memory);
	memcpy(memory + 4, fixture->image.bytes, fixture->image.size);
	assert_int_equal(attach(memory + 4, fixture->image.size), SEGMENT_E_CORRUPT);
	free(memory);
}

static void another_version_is_told_apart(void **state)
{
	const struct fixture *fixture = *state;
	uint8_t *copy = copy_of(fixture);

	store_le32(copy + LAYOUT_AT_VERSION, LAYOUT_VERSION + 1);
	reseal(copy, fixture->image.size);
	assert_int_equal(attach(copy, fixture->image.size), SEGMENT_E_VERSION);
	free(copy);
}

static void fields_out_of_range_are_refused_behind_a_right_checksum(void **state)
{
	static const struct {
		unsigned at;
		uint32_t value;
	} fields[] = {
		{LAYOUT_AT_HEADER_SIZE, 128},
		{LAYOUT_AT_METRIC, METRIC_COUNT},
		{LAYOUT_AT_DIM, 0},
		{LAYOUT_AT_DIM, DIM + 16},
		{LAYOUT_AT_DIM, UINT32_MAX},
		{LAYOUT_AT_COUNT, ROWS + 1},
		{LAYOUT_AT_COUNT, UINT32_MAX},
		{LAYOUT_AT_M, 0},
		{LAYOUT_AT_M, 9},
		{LAYOUT_AT_M, UINT32_MAX},
		{LAYOUT_AT_EF_DEFAULT, 0},
		{LAYOUT_AT_ENTRY, ROWS},
		{LAYOUT_AT_ENTRY_LEVEL, 17},
		{LAYOUT_AT_ENTRY_RECORD, UINT32_MAX},
		{LAYOUT_AT_ROWS, 0},
		{LAYOUT_AT_ROW_STRIDE, 64},
		{LAYOUT_AT_LABELS, 1 << 30},
		{LAYOUT_AT_TWINS, 0},
		{LAYOUT_AT_OWNERS, 64},
		{LAYOUT_AT_UPPER, 64},
		{LAYOUT_AT_UPPER_STRIDE, 0},
		{LAYOUT_AT_UPPER_COUNT, UINT32_MAX},
		{LAYOUT_AT_RESERVED, 1},
		{LAYOUT_AT_BODY_CRC - 4, 1 << 31},
	};
	const struct fixture *fixture = *state;

	for (size_t i = 0; i < ARRAY_COUNT(fields); i++) {
		uint8_t *copy = copy_of(fixture);

		store_le32(copy + fields[i].at, fields[i].value);
		reseal(copy, fixture->image.size);
		if (attach(copy, fixture->image.size) != SEGMENT_E_CORRUPT)
			fail_msg("field at %u with value %u was accepted", fields[i].at,
				 fields[i].value);
		free(copy);
	}
}

/* What is refused first is what is told: other fields no longer fit then either. */
static void a_kind_of_rows_that_there_is_not_is_told(void **state)
{
	static const struct {
		const char *says;
		struct {
			unsigned at;
			uint32_t value;
		} fields[2];
	} all[] = {
		{"vector type is", {{LAYOUT_AT_TYPE, VECTOR_TYPE_COUNT}}},
		{"compact is", {{LAYOUT_AT_COMPACT, 2}}},
		{"compact rows of u8", {{LAYOUT_AT_COMPACT, 1}, {LAYOUT_AT_TYPE, VECTOR_U8}}},
		{"b1 under cosine",
		 {{LAYOUT_AT_TYPE, VECTOR_B1}, {LAYOUT_AT_METRIC, METRIC_COSINE}}},
		{"edge bits is", {{LAYOUT_AT_EDGE_BITS, ROTATE_SIZE_MAX + CODES_BITS_ALIGN}}},
		{"edges of 32 bits", {{LAYOUT_AT_EDGE_BITS, 32}}},
		{"edges of 128 bits", {{LAYOUT_AT_EDGE_BITS, 128}}},
		{"edges of 64 bits", {{LAYOUT_AT_EDGE_BITS, 64}, {LAYOUT_AT_TYPE, VECTOR_B1}}},
		{"1 landmarks", {{LAYOUT_AT_LANDMARK_COUNT, 1}}},
		{"300 landmarks", {{LAYOUT_AT_LANDMARK_COUNT, ROWS}, {LAYOUT_AT_EDGE_BITS, 64}}},
		{"rows' error", {{LAYOUT_AT_ROW_ERROR, 0x7FC00000}}}, /* NaN */
		{"rows' error", {{LAYOUT_AT_ROW_ERROR, 0x7F800000}}}, /* infinity */
		{"rows' error", {{LAYOUT_AT_ROW_ERROR, 0xBF800000}}}, /* -1 */
		{"expected", {{LAYOUT_AT_FACTORS, 1 << 20}}},
		{"expected", {{LAYOUT_AT_VECTORS, 1 << 20}}},
		{"expected", {{LAYOUT_AT_VECTOR_OFFSET, 1 << 20}}},
		{"expected", {{LAYOUT_AT_LANDMARKS, 1 << 20}}},
	};
	const struct fixture *fixture = *state;

	for (size_t i = 0; i < ARRAY_COUNT(all); i++) {
		uint8_t *copy = copy_of(fixture);
		struct segment segment;
		char error[200] = "";

		for (unsigned j = 0; j < 2 && all[i].fields[j].at; j++)
			store_le32(copy + all[i].fields[j].at, all[i].fields[j].value);
		if (load_le32(copy + LAYOUT_AT_TYPE) == VECTOR_B1)
			store_le32(copy + LAYOUT_AT_COMPACT, 0);
		reseal(copy, fixture->image.size);
		assert_int_equal(
			segment_attach(copy, fixture->image.size, &segment, error, sizeof(error)),
			SEGMENT_E_CORRUPT);
		if (!strstr(error, all[i].says))
			fail_msg("\"%s\" isn't said by \"%s\"", all[i].says, error);
		free(copy);
	}
}

/* Offsets of one word in each section, and a value that breaks it. */
static void bad_words_in_the_body_are_refused_behind_a_right_checksum(void **state)
{
	const struct fixture *fixture = *state;
	const uint8_t *image = fixture->image.bytes;
	uint64_t rows = load_le64(image + LAYOUT_AT_ROWS);
	uint64_t labels = load_le64(image + LAYOUT_AT_LABELS);
	uint64_t twins = load_le64(image + LAYOUT_AT_TWINS);
	uint64_t owners = load_le64(image + LAYOUT_AT_OWNERS);
	uint64_t upper = load_le64(image + LAYOUT_AT_UPPER);
	uint32_t first_link_node = load_le32(image + upper);
	const struct {
		uint64_t at;
		uint32_t value;
	} words[] = {
		{rows, ROWS},
		{rows, UINT32_MAX - 1},
		{rows, 205}, /* a twin, which would be answered twice */
		{labels + 4, 0},
		{labels, 1000},
		{twins + 4, ROWS},
		{twins + 8, 2},
		{twins + 8, 1},
		{twins + 8, 3},
		{twins + 4, 200},
		{owners, ROWS},
		{owners + 4, 0},
		{owners + 4, 2},
		{owners + 12, 17},
		{upper, ROWS},
		{upper, first_link_node ^ 1},
		{upper + 4, UINT32_MAX - 1},
	};

	for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
		uint8_t *copy = copy_of(fixture);

		store_le32(copy + words[i].at, words[i].value);
		reseal(copy, fixture->image.size);
		if (attach(copy, fixture->image.size) != SEGMENT_E_CORRUPT)
			fail_msg("word %zu at %llu with value %u was accepted", i,
				 (unsigned long long)words[i].at, words[i].value);
		free(copy);
	}
}

/* Numbered for locality: nodes by label are a permutation, and nothing else. */
static void nodes_by_label_that_are_none_are_refused(void **state)
{
	const struct build_options options = {
		.metric = METRIC_L2, .order = BUILD_ORDER_GRAPH, .m = 8, .seed = 7};
	const struct fixture *fixture = *state;
	struct fixture numbered = {0};
	uint64_t sorted, labels, twins;
	uint32_t head = 0;

	index_build_as(fixture->rows, NULL, ROWS, DIM, &options, &numbered.image,
		       &numbered.segment);
	sorted = load_le64((uint8_t *)numbered.image.bytes + LAYOUT_AT_SORTED);
	labels = load_le64((uint8_t *)numbered.image.bytes + LAYOUT_AT_LABELS);
	twins = load_le64((uint8_t *)numbered.image.bytes + LAYOUT_AT_TWINS);
	while (numbered.segment.twins[head] == LAYOUT_NONE)
		head++;
	{
		const uint32_t first = numbered.segment.sorted[0];
		const struct {
			uint64_t at;
			uint32_t value;
		} words[] = {
			{sorted, ROWS},
			{sorted, UINT32_MAX},
			{sorted + 4, first},
			{sorted, numbered.segment.sorted[1]},
			{labels + first * 4, 1},
			{labels + first * 4, 1000},
			{labels + numbered.segment.sorted[ROWS - 1] * 4, 0},
			{twins + head * 4, head},
			{LAYOUT_AT_ORDER, LAYOUT_ORDER_LABEL},
			{LAYOUT_AT_ORDER, LAYOUT_ORDER_GRAPH + 1},
			{LAYOUT_AT_SORTED, 0},
			{LAYOUT_AT_SORTED, (uint32_t)labels},
		};

		for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
			uint8_t *copy = copy_of(&numbered);

			store_le32(copy + words[i].at, words[i].value);
			reseal(copy, numbered.image.size);
			if (attach(copy, numbered.image.size) != SEGMENT_E_CORRUPT)
				fail_msg("word %zu was accepted", i);
			free(copy);
		}
	}
	build_image_free(&numbered.image);
}

/* A chain ascends by label too, or the first of it would be answered before a lower one. */
static void twins_whose_labels_fall_are_refused(void **state)
{
	const struct build_options options = {
		.metric = METRIC_L2, .order = BUILD_ORDER_GRAPH, .m = 8, .seed = 7};
	const struct fixture *fixture = *state;
	struct fixture numbered = {0};
	uint32_t *labels, *sorted, head = 0, twin, label;
	uint8_t *copy;

	index_build_as(fixture->rows, NULL, ROWS, DIM, &options, &numbered.image,
		       &numbered.segment);
	while (numbered.segment.twins[head] == LAYOUT_NONE)
		head++;
	twin = numbered.segment.twins[head];
	copy = copy_of(&numbered);
	labels = (void *)(copy + load_le64(copy + LAYOUT_AT_LABELS));
	sorted = (void *)(copy + load_le64(copy + LAYOUT_AT_SORTED));
	/* They change places, and nothing else is wrong. */
	label = labels[head];
	sorted[labels[twin]] = head;
	sorted[label] = twin;
	labels[head] = labels[twin];
	labels[twin] = label;
	reseal(copy, numbered.image.size);
	assert_int_equal(attach(copy, numbered.image.size), SEGMENT_E_CORRUPT);
	free(copy);
	build_image_free(&numbered.image);
}

/* The records above level 0 of a copy. */
struct records {
	struct layout_owner *owners;
	uint8_t *upper;
	uint64_t stride;
	uint32_t count;
};

static struct records records_of(uint8_t *image)
{
	return (struct records){
		.owners = (void *)(image + load_le64(image + LAYOUT_AT_OWNERS)),
		.upper = image + load_le64(image + LAYOUT_AT_UPPER),
		.stride = load_le64(image + LAYOUT_AT_UPPER_STRIDE),
		.count = load_le32(image + LAYOUT_AT_UPPER_COUNT),
	};
}

static struct layout_link *links_of(const struct records *records, uint32_t record)
{
	return (void *)(records->upper + record * records->stride);
}

/* The first record of that level, the entry's left out. */
static uint32_t record_of_level(const uint8_t *image, const struct records *records, uint32_t level)
{
	uint32_t record = 0;

	while (record < records->count && (records->owners[record].level != level ||
					   record == load_le32(image + LAYOUT_AT_ENTRY_RECORD)))
		record++;
	assert_true(record < records->count);
	return record;
}

/* A search goes a level down by the record before: of another level it is another node's, or none.
 */
static void a_link_to_another_level_is_refused(void **state)
{
	const struct fixture *fixture = *state;

	for (uint32_t level = 1; level <= 2; level++) {
		uint8_t *copy = copy_of(fixture);
		struct records records = records_of(copy);
		uint32_t from = record_of_level(copy, &records, level);
		uint32_t to = record_of_level(copy, &records, 3 - level);

		*links_of(&records, from) =
			(struct layout_link){.node = records.owners[to].node, .record = to};
		reseal(copy, fixture->image.size);
		assert_int_equal(attach(copy, fixture->image.size), SEGMENT_E_CORRUPT);
		free(copy);
	}
}

/* Nothing links to the record, so that nothing but the gap itself is wrong. */
static void a_gap_between_the_levels_of_a_node_is_refused(void **state)
{
	const struct fixture *fixture = *state;
	uint8_t *copy = copy_of(fixture);
	struct records records = records_of(copy);
	uint32_t high = record_of_level(copy, &records, 2);

	for (uint32_t i = 0; i < records.count; i++) {
		struct layout_link *links = links_of(&records, i);

		for (uint32_t j = 0; j < records.stride / sizeof(*links); j++)
			if (i == high || links[j].record == high)
				links[j].node = LAYOUT_NONE;
	}
	reseal(copy, fixture->image.size);
	assert_int_equal(attach(copy, fixture->image.size), 0);
	records.owners[high].level = 3;
	reseal(copy, fixture->image.size);
	assert_int_equal(attach(copy, fixture->image.size), SEGMENT_E_CORRUPT);
	free(copy);
}

struct path {
	char folder[64];
	char file[128];
};

static void path_make(struct path *path)
{
	snprintf(path->folder, sizeof(path->folder), "/tmp/test_segment.XXXXXX");
	assert_non_null(mkdtemp(path->folder));
	snprintf(path->file, sizeof(path->file), "%s/one.seg", path->folder);
}

/* Only the file itself may be there: a temporary left behind fails the rmdir. */
static void path_remove(const struct path *path)
{
	assert_int_equal(unlink(path->file), 0);
	assert_int_equal(rmdir(path->folder), 0);
}

/* Memory of its own can be mapped by a peer, who sees the same image; a mapped file is nobody's. */
static void check_descriptor(const struct segment *segment, bool shared)
{
	const size_t size = align_up(segment->image_size, MEMORY_PAGE_SIZE);
	void *peer;

	if (!shared) {
		assert_int_equal(segment->memory_fd, -1);
		return;
	}
	assert_int_equal(fetch_shm_check(segment->memory_fd, 0, segment->image_size), 0);
	peer = mmap(NULL, size, PROT_READ, MAP_SHARED, segment->memory_fd, 0);
	assert_true(peer != MAP_FAILED);
	assert_memory_equal(peer, segment->image, segment->image_size);
	assert_int_equal(munmap(peer, size), 0);
}

static void a_saved_segment_opens_mapped_and_in_memory(void **state)
{
	static const struct segment_open_options all[] = {
		{.huge = false, .numa_node = -1},
		{.huge = true, .numa_node = -1},
	};
	const struct fixture *fixture = *state;
	struct segment segment;
	struct path path;
	char error[200];

	path_make(&path);
	assert_int_equal(build_image_save(&fixture->image, path.file), 0);
	for (size_t i = 0; i < ARRAY_COUNT(all); i++) {
		assert_int_equal(segment_open(path.file, &all[i], &segment, error, sizeof(error)),
				 0);
		assert_int_equal(segment.image_size, fixture->image.size);
		assert_memory_equal(segment.image, fixture->image.bytes, fixture->image.size);
		check_descriptor(&segment, all[i].huge);
		segment_close(&segment);
		assert_null(segment.image);
	}
	path_remove(&path);
}

static void a_numa_node_that_is_not_there_is_an_error(void **state)
{
	static const int nodes[] = {1000, 1 << 20};
	const struct fixture *fixture = *state;
	struct segment segment;
	struct path path;

	path_make(&path);
	assert_int_equal(build_image_save(&fixture->image, path.file), 0);
	for (size_t i = 0; i < ARRAY_COUNT(nodes); i++) {
		const struct segment_open_options options = {.huge = true, .numa_node = nodes[i]};
		char error[200] = "";

		assert_true(segment_open(path.file, &options, &segment, error, sizeof(error)) < 0);
		assert_non_null(strstr(error, "NUMA"));
	}
	path_remove(&path);
}

static void what_is_no_segment_does_not_open(void **state)
{
	const struct segment_open_options options = {.numa_node = -1};
	struct segment segment;
	struct path path;
	char error[200] = "";
	int fd;

	path_make(&path);
	assert_int_equal(segment_open(path.file, &options, &segment, error, sizeof(error)),
			 -ENOENT);
	/* Who calls names the file. */
	assert_null(strstr(error, path.file));
	assert_non_null(strstr(error, "No such file"));
	fd = open(path.file, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(segment_open(path.file, &options, &segment, error, sizeof(error)),
			 SEGMENT_E_CORRUPT);
	assert_int_equal(write(fd, "hello", 5), 5);
	close(fd);
	assert_int_equal(segment_open(path.file, &options, &segment, error, sizeof(error)),
			 SEGMENT_E_CORRUPT);
	assert_int_equal(segment_open(path.folder, &options, &segment, error, sizeof(error)),
			 SEGMENT_E_CORRUPT);
	path_remove(&path);
}

static void saving_into_no_folder_fails_and_leaves_nothing(void **state)
{
	const struct fixture *fixture = *state;

	assert_int_equal(build_image_save(&fixture->image, "/tmp/no such folder/one.seg"), -ENOENT);
}

/* Though the header's and the body's are right: a reader of the outline alone sees no other. */
static void a_wrong_checksum_of_the_outline_is_refused(void **state)
{
	const struct fixture *fixture = *state;
	uint8_t *copy = copy_of(fixture);

	store_le32(copy + LAYOUT_AT_OUTLINE_CRC, load_le32(copy + LAYOUT_AT_OUTLINE_CRC) + 1);
	store_le32(copy + LAYOUT_AT_HEADER_CRC, crc32c(copy, LAYOUT_AT_HEADER_CRC));
	assert_int_equal(attach(copy, fixture->image.size), SEGMENT_E_CORRUPT);
	free(copy);
}

static void landmarks_that_are_no_nodes_are_refused(void **state)
{
	static const uint32_t values[] = {ROWS, ROWS + 1, UINT32_MAX};
	const struct build_options options = {.metric = METRIC_L2,
					      .rows = BUILD_ROWS_COMPACT,
					      .layout = BUILD_LAYOUT_EDGES,
					      .m = 8,
					      .seed = 7};
	const struct fixture *fixture = *state;
	struct fixture edges = {0};
	uint64_t landmarks;

	index_build_as(fixture->rows, NULL, ROWS, DIM, &options, &edges.image, &edges.segment);
	landmarks = load_le64((uint8_t *)edges.image.bytes + LAYOUT_AT_LANDMARKS);
	assert_true(load_le32((uint8_t *)edges.image.bytes + LAYOUT_AT_LANDMARK_COUNT) > 0);
	for (size_t i = 0; i < ARRAY_COUNT(values); i++) {
		uint8_t *copy = copy_of(&edges);

		store_le32(copy + landmarks, values[i]);
		reseal(copy, edges.image.size);
		assert_int_equal(attach(copy, edges.image.size), SEGMENT_E_CORRUPT);
		free(copy);
	}
	build_image_free(&edges.image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_built_segment_says_what_it_is),
		cmocka_unit_test(the_ef_of_a_recall_is_that_of_the_next_greater_one_tuned),
		cmocka_unit_test(efs_that_fall_are_refused),
		cmocka_unit_test(a_damaged_byte_anywhere_is_noticed),
		cmocka_unit_test(a_piece_of_a_segment_is_refused),
		cmocka_unit_test(an_image_out_of_line_is_refused),
		cmocka_unit_test(another_version_is_told_apart),
		cmocka_unit_test(fields_out_of_range_are_refused_behind_a_right_checksum),
		cmocka_unit_test(a_kind_of_rows_that_there_is_not_is_told),
		cmocka_unit_test(bad_words_in_the_body_are_refused_behind_a_right_checksum),
		cmocka_unit_test(nodes_by_label_that_are_none_are_refused),
		cmocka_unit_test(twins_whose_labels_fall_are_refused),
		cmocka_unit_test(a_link_to_another_level_is_refused),
		cmocka_unit_test(a_gap_between_the_levels_of_a_node_is_refused),
		cmocka_unit_test(a_saved_segment_opens_mapped_and_in_memory),
		cmocka_unit_test(a_numa_node_that_is_not_there_is_an_error),
		cmocka_unit_test(what_is_no_segment_does_not_open),
		cmocka_unit_test(saving_into_no_folder_fails_and_leaves_nothing),
		cmocka_unit_test(a_wrong_checksum_of_the_outline_is_refused),
		cmocka_unit_test(landmarks_that_are_no_nodes_are_refused),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown) != 0;
}

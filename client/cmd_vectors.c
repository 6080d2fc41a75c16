/* SPDX-License-Identifier: Apache-2.0 */

#include "client/cmd_vectors.h"

#include "base/check.h"
#include "client/cmd.h"
#include "hnsw/codes.h"
#include "hnsw/convert.h"
#include "hnsw/rows.h"
#include "hnsw/segment.h"
#include "hnsw/workers.h"

#include <inttypes.h>
#include <sched.h>
#include <string.h>

/* Digits of a real number in JSON: what an f32 can tell apart. */
#define REAL_DIGITS 9

static int open_rows(const char *path, const char *dataset, bool raw,
		     struct cmd_vectors *ret_vectors)
{
	struct cmd_vectors vectors = {0};
	char error[FILES_ERROR_MAX];
	int result;

	if (files_open(path, dataset, &vectors.file, error))
		return cmd_fail("%s", error);
	result = files_source(&vectors.file, &vectors.source, error);
	if (!result && !raw) {
		result = files_floats(&vectors.file, &vectors.rows, error);
		vectors.source = vector_source_floats(vectors.rows, vectors.file.dim);
	}
	if (result) {
		files_close(&vectors.file);
		return cmd_fail("%s", error);
	}
	vectors.count = vectors.file.count;
	vectors.dim = vectors.file.dim;
	*ret_vectors = vectors;
	return CMD_DONE;
}

/* What no command has a use for. */
static int check_shape(const char *path, const struct cmd_vectors *vectors)
{
	if (vectors->count == 0)
		return cmd_fail("%s: has no vectors; give a file that has some", path);
	if (vectors->dim > SEGMENT_DIM_MAX)
		return cmd_fail("%s: vectors of %" PRIu32
				" values, at most %d are searched; make them shorter",
				path, vectors->dim, SEGMENT_DIM_MAX);
	return CMD_DONE;
}

static int open_vectors(const char *path, const char *dataset, bool raw,
			struct cmd_vectors *ret_vectors)
{
	struct cmd_vectors vectors = {0};
	int status = open_rows(path, dataset, raw, &vectors);

	if (status != CMD_DONE)
		return status;
	status = check_shape(path, &vectors);
	if (status != CMD_DONE)
		cmd_vectors_close(&vectors);
	else
		*ret_vectors = vectors;
	return status;
}

int cmd_vectors_open(const char *path, const char *dataset, struct cmd_vectors *ret_vectors)
{
	return open_vectors(path, dataset, /* raw= */ false, ret_vectors);
}

int cmd_vectors_open_raw(const char *path, const char *dataset, struct cmd_vectors *ret_vectors)
{
	return open_vectors(path, dataset, /* raw= */ true, ret_vectors);
}

void cmd_vectors_close(struct cmd_vectors *vectors)
{
	files_close(&vectors->file);
}

bool cmd_vectors_match(const struct cmd_vectors *base, const struct cmd_vectors *queries)
{
	if (base->dim == queries->dim)
		return true;
	(void)cmd_fail("%s: vectors of %" PRIu32 " values, %s has %" PRIu32
		       "; give queries for this base",
		       queries->file.name, queries->dim, base->file.name, base->dim);
	return false;
}

bool cmd_metric(const char *text, enum metric *ret_metric)
{
	if (metric_parse(text, ret_metric) == 0)
		return true;
	(void)cmd_usage("--metric takes l2, ip or cosine, not '%s'", text);
	return false;
}

/* What a refused value is to be done about. */
static const char *remedy(int code)
{
	if (code == CONVERT_E_FINITE)
		return "leave that row out";
	return code == CONVERT_E_RANGE ? "scale the vectors, or choose a --type that holds them"
				       : "choose a --type that holds it";
}

static int check_values(const struct cmd_vectors *vectors, enum vector_type type)
{
	float scratch[SEGMENT_DIM_MAX];

	if (vectors->source.type == type)
		return CMD_DONE;
	for (uint32_t row = 0; row < vectors->count; row++) {
		const float *values = vector_source_row(&vectors->source, row, scratch);
		size_t index;
		int code = convert_check(type, values, vectors->dim, &index);

		if (code)
			return cmd_fail("%s: row %" PRIu32 ", value %zu: %g %s, stored as %s; %s",
					vectors->file.name, row, index, (double)values[index],
					convert_refusal(code), vector_type_name(type),
					remedy(code));
	}
	return CMD_DONE;
}

static enum vector_type type_of(const struct files *file)
{
	switch (file->element) {
	case FILES_U8:
		return VECTOR_U8;
	case FILES_I8:
		return VECTOR_I8;
	default:
		return VECTOR_F32;
	}
}

static bool parse_rows(const char *text, enum build_rows *ret_rows)
{
	static const char *const names[BUILD_ROWS_COUNT] = {
		[BUILD_ROWS_AUTO] = "auto",
		[BUILD_ROWS_COMPACT] = "compact",
		[BUILD_ROWS_FULL] = "full",
	};

	for (unsigned i = 0; i < BUILD_ROWS_COUNT; i++) {
		if (strcmp(text, names[i]) == 0) {
			*ret_rows = (enum build_rows)i;
			return true;
		}
	}
	return false;
}

int cmd_storage(const char *type, const char *rows, enum metric metric,
		const struct cmd_vectors *vectors, struct cmd_storage *ret_storage)
{
	struct cmd_storage storage = {.type = type_of(&vectors->file)};

	if (type && vector_type_parse(type, &storage.type))
		return cmd_usage("--type takes f32, f16, bf16, i8, u8 or b1, not '%s'", type);
	if (!parse_rows(rows, &storage.rows))
		return cmd_usage("--rows takes auto, compact or full, not '%s'", rows);
	if (!rows_can(storage.type, metric))
		return cmd_usage("--type %s goes with --metric l2, not %s",
				 vector_type_name(storage.type), metric_name(metric));
	if (storage.rows == BUILD_ROWS_COMPACT && storage.type != VECTOR_F32)
		return cmd_usage("--rows compact goes with --type f32, and these are stored as %s",
				 vector_type_name(storage.type));
	if (check_values(vectors, storage.type) != CMD_DONE)
		return CMD_FAILED;
	*ret_storage = storage;
	return CMD_DONE;
}

static bool parse_layout(const char *text, enum build_layout *ret_layout)
{
	static const char *const names[BUILD_LAYOUT_COUNT] = {
		[BUILD_LAYOUT_AUTO] = "auto",
		[BUILD_LAYOUT_PLAIN] = "plain",
		[BUILD_LAYOUT_EDGES] = "edges",
	};

	for (unsigned i = 0; i < BUILD_LAYOUT_COUNT; i++) {
		if (strcmp(text, names[i]) == 0) {
			*ret_layout = (enum build_layout)i;
			return true;
		}
	}
	return false;
}

static bool parse_order(const char *text, enum build_order *ret_order)
{
	bool by_graph = strcmp(text, "graph") == 0;

	if (!by_graph && strcmp(text, "label") != 0)
		return false;
	*ret_order = by_graph ? BUILD_ORDER_GRAPH : BUILD_ORDER_LABEL;
	return true;
}

int cmd_layout(const struct cmd_layout *layout, uint32_t dim, struct cmd_storage *storage)
{
	uint32_t bits = (uint32_t)layout->edge_bits;

	if (!parse_order(layout->order, &storage->order))
		return cmd_usage("--order takes label or graph, not '%s'", layout->order);
	if (!parse_layout(layout->name, &storage->layout))
		return cmd_usage("--layout takes auto, plain or edges, not '%s'", layout->name);
	if (storage->layout == BUILD_LAYOUT_EDGES && storage->type == VECTOR_B1)
		return cmd_usage("--layout edges doesn't go with --type b1");
	if (bits % CODES_BITS_ALIGN || bits > rotate_size(dim))
		return cmd_usage("--edge-bits takes a multiple of %d up to %" PRIu32
				 " for vectors of %" PRIu32 " values, not %" PRIu32,
				 CODES_BITS_ALIGN, rotate_size(dim), dim, bits);
	storage->edge_bits = bits;
	return CMD_DONE;
}

uint32_t cmd_cores(void)
{
	cpu_set_t set;
	int count;

	/* More cores than cpu_set_t has room for, or no answer: one thread always works. */
	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 1;
	count = CPU_COUNT(&set);
	return (uint32_t)MIN(MAX(count, 1), WORKERS_MAX);
}

void cmd_json(json_t *object)
{
	CHECK(object);
	json_dumpf(object, stdout, JSON_COMPACT | JSON_REAL_PRECISION(REAL_DIGITS));
	putchar('\n');
	fflush(stdout);
	json_decref(object);
}

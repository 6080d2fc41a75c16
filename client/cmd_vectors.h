/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Cmd_vectors - what the subcommands that work on vectors share
 *
 * Options that name a file, a metric or a number of threads mean the same in all
 * of them; each function here prints its own error.
 *
 * Threads: the main thread.
 */

#include "base/metric.h"
#include "client/files.h"
#include "hnsw/build.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct cmd_vectors {
	struct files file;           /* owned */
	struct vector_source source; /* borrows from file */
	const float *rows;           /* the same; NULL after cmd_vectors_open_raw() */
	uint32_t count;              /* at least 1 */
	uint32_t dim;                /* at most SEGMENT_DIM_MAX */
};

/* Opens a file of vectors. Returns CMD_DONE, or CMD_FAILED and a line is printed. */
int cmd_vectors_open(const char *path, const char *dataset, struct cmd_vectors *ret_vectors);

/* The same, but bytes stay bytes: a file of them is not copied. */
int cmd_vectors_open_raw(const char *path, const char *dataset, struct cmd_vectors *ret_vectors);
void cmd_vectors_close(struct cmd_vectors *vectors);

/* Have both the same dimension? Else a line is printed. */
bool cmd_vectors_match(const struct cmd_vectors *base, const struct cmd_vectors *queries);

/* Reads --metric. False, and a line is printed, when it is none. */
bool cmd_metric(const char *text, enum metric *ret_metric);

/* How --type and --rows have vectors stored. */
struct cmd_storage {
	enum vector_type type;
	enum build_rows rows;
	enum build_layout layout; /* these three by cmd_layout() */
	uint32_t edge_bits;
	enum build_order order;
};

/*
 * Reads --type (NULL: what the file has, f32 when it is neither u8 nor i8) and
 * --rows, and looks whether all vectors are of that type. Returns CMD_DONE, or a line
 * is printed.
 */
int cmd_storage(const char *type, const char *rows, enum metric metric,
		const struct cmd_vectors *vectors, struct cmd_storage *ret_storage);

/* How --layout, --edge-bits and --order have rows laid out. */
struct cmd_layout {
	const char *name;   /* "auto" */
	uint64_t edge_bits; /* 0: the library's choice */
	const char *order;  /* "label" */
};

/* Reads them, for the type that 'storage' has. Returns CMD_DONE, or a line is printed. */
int cmd_layout(const struct cmd_layout *layout, uint32_t dim, struct cmd_storage *storage);

/* Cores that this process may run on, 1 to WORKERS_MAX: the default of --threads. */
uint32_t cmd_cores(void);

/* Prints one object in one line on stdout. Takes it; NULL (out of memory) is a bug. */
void cmd_json(json_t *object);

/* SPDX-License-Identifier: Apache-2.0 */

#include "client/cmd_vectors.h"

#include "base/check.h"
#include "client/cmd.h"
#include "hnsw/segment.h"
#include "hnsw/workers.h"

#include <inttypes.h>
#include <sched.h>

/* Digits of a real number in JSON: what an f32 can tell apart. */
#define REAL_DIGITS 9

int cmd_vectors_open(const char *path, const char *dataset, struct cmd_vectors *ret_vectors)
{
	struct cmd_vectors vectors;
	char error[FILES_ERROR_MAX];

	if (files_open(path, dataset, &vectors.file, error))
		return cmd_fail("%s", error);
	if (files_floats(&vectors.file, &vectors.rows, error)) {
		files_close(&vectors.file);
		return cmd_fail("%s", error);
	}
	vectors.count = vectors.file.count;
	vectors.dim = vectors.file.dim;
	if (vectors.count == 0 || vectors.dim > SEGMENT_DIM_MAX) {
		files_close(&vectors.file);
		return vectors.count == 0
			       ? cmd_fail("%s: has no vectors; give a file that has some", path)
			       : cmd_fail("%s: vectors of %" PRIu32
					  " values, at most %d are searched; make them shorter",
					  path, vectors.dim, SEGMENT_DIM_MAX);
	}
	*ret_vectors = vectors;
	return CMD_DONE;
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

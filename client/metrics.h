/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Metrics - a node's counters as OpenMetrics text
 *
 * OpenMetrics 1.0: each family has its TYPE, UNIT when it has one, and HELP, then
 * all its samples; the text ends with "# EOF". Names are tern_<noun>_<unit>,
 * units are seconds and bytes; counters end in _total.
 *
 * A counter of the node that no row of the table names is printed all the same,
 * under its own name.
 *
 * Threads: any; nothing here has state.
 */

#include <jansson.h>
#include <stdio.h>

/* What `tern status` asked of a node; borrowed for the call. */
struct metrics_source {
	const json_t *info;    /* /tern/info */
	const json_t *cores;   /* an array of /tern/core,N */
	const json_t *shards;  /* an array of /tern/shard,N */
	const json_t *latency; /* /tern/latency */
	const json_t *export;  /* /tern/export */
};

/* Returns 0, or -EIO when 'file' doesn't take it. */
int metrics_print(const struct metrics_source *source, FILE *file);

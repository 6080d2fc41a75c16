/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Churn - every vector of a live index replaced, while it is searched
 *
 * The index begins as one sealed segment in which every label has another row's
 * vector; then each label gets its own row, in random order. So at the end it
 * holds what a fresh build of the rows would, and can be compared with one.
 *
 * Beside the thread that writes, one searches without a pause and one builds what the
 * writer's slices ask for. Every answer is looked at: k hits, no label twice.
 *
 * Threads: churn_run() starts and joins its own.
 */

#include "base/hist.h"
#include "client/cmd_vectors.h"
#include "hnsw/live.h"

#include <stdint.h>

struct churn_options {
	const struct cmd_vectors *base;    /* borrowed */
	const struct cmd_vectors *queries; /* borrowed */
	struct live_options live;
	uint32_t k;
	uint32_t ef; /* of the searches meanwhile */
};

struct churn_result {
	uint64_t ns;         /* until the last vector was replaced */
	uint64_t stalled_ns; /* of it: waiting for a merge, with no room left */
	uint64_t wrong;      /* answers with fewer than k hits, or a label twice */
	uint64_t sleeps;     /* how often the searching thread waited for anything but its turn */
	struct hist puts;    /* nanoseconds of each */
	struct hist searches;
	/* The longest in processor time: what others on the machine take isn't in it. */
	uint64_t put_cpu_max_ns;
	uint64_t search_cpu_max_ns;
	struct hist merging_searches; /* those that began while a merge was under way */
};

/* A live index of the rows, each under another label. Returns CMD_DONE or CMD_FAILED. */
int churn_begin(const struct churn_options *options, struct live **ret_live);

/*
 * Gives every label its own row, then does all the work that is left. Returns CMD_DONE or
 * CMD_FAILED.
 */
int churn_run(const struct churn_options *options, struct live *live, struct churn_result *result);

/* An index of all rows under their labels, built at once. Returns CMD_DONE or CMD_FAILED. */
int churn_fresh(const struct churn_options *options, struct live **ret_live);

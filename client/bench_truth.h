/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Bench_truth - which hits of a benchmark are right
 *
 * A hit is right when it is no farther than the k-th true neighbour: with equal
 * distances any of the equals is as good (that is how ann-benchmarks counts).
 * Distances are computed anew in f64, so that no rounding of the search counts.
 *
 * Threads: reading by one; an open truth can be asked by any.
 */

#include "client/cmd_vectors.h"
#include "hnsw/search.h"

#include <stdint.h>

/* Values of one sweep of ef. */
#define BENCH_EF_MAX 64

struct bench_truth {
	const struct cmd_vectors *base;    /* borrowed */
	const struct cmd_vectors *queries; /* borrowed */
	enum metric metric;
	uint32_t k;
	double *limits; /* owned: the k-th true distance of each query */
};

/*
 * Reads the first k neighbours of every query from 'path'. Returns CMD_DONE, or
 * CMD_FAILED and a line is printed.
 */
int bench_truth_open(const char *path, const struct cmd_vectors *base,
		     const struct cmd_vectors *queries, enum metric metric, uint32_t k,
		     struct bench_truth *ret_truth);
void bench_truth_close(struct bench_truth *truth);

/* How many of a query's hits are right. A row that stands twice counts once. */
uint32_t bench_truth_right(const struct bench_truth *truth, uint32_t query,
			   const struct search_hit *hits, uint32_t count);

/*
 * Reads --ef, "16,32,64", to at most BENCH_EF_MAX numbers. False, and a line is
 * printed, when it is something else.
 */
bool bench_ef_list(const char *text, uint32_t *ret_ef, uint32_t *ret_count);

/* Reads --recall, "0.95,0.99", above 0, at most 1, ascending, in the same way. */
bool bench_recall_list(const char *text, double *ret_recalls, uint32_t *ret_count);

/* SPDX-License-Identifier: Apache-2.0 */

/* Cmd_truth - exact nearest neighbours of every query, for recall to be measured against. */

#include "base/clock.h"
#include "client/cmd.h"
#include "client/cmd_vectors.h"
#include "hnsw/truth.h"
#include "hnsw/workers.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* As many neighbours as an answer can have. */
#define TRUTH_K_MAX 10000

struct truth_request {
	const char *base, *query, *out, *metric_name;
	enum metric metric;
	uint64_t k, threads;
	bool json;
};

static const char about[] =
	"Compares every query with every vector and writes the rows of the nearest ones,\n"
	"nearest first, ties by row.\n";

static void progress(void *context, uint64_t done, uint64_t total)
{
	cmd_progress("truth", done, total);
}

/* Computes and writes; 'rows' and 'hits' have room for k of each query. */
static int compute(const struct truth_request *request, const struct cmd_vectors *base,
		   const struct cmd_vectors *queries, struct truth_hit *hits, int32_t *rows)
{
	const struct truth_options options = {
		.metric = request->metric,
		.k = (uint32_t)request->k,
		.threads = (uint32_t)request->threads,
		.progress = progress,
	};
	size_t count = (size_t)queries->count * request->k;
	char error[FILES_ERROR_MAX];
	int result = truth_compute(base->rows, base->count, queries->rows, queries->count,
				   base->dim, &options, hits);

	if (result)
		return cmd_fail("truth: %s; try fewer --threads", strerror(-result));
	for (size_t i = 0; i < count; i++)
		rows[i] = (int32_t)hits[i].row;
	if (files_write_ints(request->out, rows, queries->count, options.k, error))
		return cmd_fail("%s", error);
	return CMD_DONE;
}

static void report(const struct truth_request *request, const struct cmd_vectors *queries,
		   double seconds)
{
	if (request->json)
		cmd_json(json_pack("{s:s, s:f, s:I, s:I, s:s, s:s}", "event", "truth", "seconds",
				   seconds, "queries", (json_int_t)queries->count, "k",
				   (json_int_t)request->k, "metric", request->metric_name, "out",
				   request->out));
	else
		printf("%s: %" PRIu64 " neighbours of %" PRIu32 " queries, %.1f s\n", request->out,
		       request->k, queries->count, seconds);
}

static int run(const struct truth_request *request, const struct cmd_vectors *base,
	       const struct cmd_vectors *queries)
{
	size_t count = (size_t)queries->count * request->k;
	uint64_t start = clock_now_ns();
	struct truth_hit *hits;
	int32_t *rows;
	int status;

	if (!cmd_vectors_match(base, queries))
		return CMD_FAILED;
	if (request->k > base->count)
		return cmd_fail("%s: has %" PRIu32 " vectors, fewer than --k %" PRIu64
				"; choose a smaller --k",
				request->base, base->count, request->k);
	if (base->count > INT32_MAX)
		return cmd_fail("%s: rows above %d can't be written as i32; split it",
				request->base, INT32_MAX);
	hits = calloc(count, sizeof(*hits));
	rows = calloc(count, sizeof(*rows));
	if (hits && rows)
		status = compute(request, base, queries, hits, rows);
	else
		status = cmd_fail("no memory for %zu neighbours; choose a smaller --k", count);
	free(hits);
	free(rows);
	if (status == CMD_DONE)
		report(request, queries, (double)(clock_now_ns() - start) * 1e-9);
	return status;
}

int cmd_truth(int argc, char **argv)
{
	struct truth_request request = {.metric_name = "l2", .k = 100, .threads = cmd_cores()};
	const struct cmd_option options[] = {
		{"base", "FILE", "the vectors that are searched", .text = &request.base,
		 .required = true},
		{"query", "FILE", "the vectors to search for", .text = &request.query,
		 .required = true},
		{"out", "FILE", "where to: .ivecs or .npy", .text = &request.out, .required = true},
		{"metric", "NAME", "l2, ip or cosine (l2)", .text = &request.metric_name},
		{"k", "N", "neighbours a query (100)", .number = &request.k, .min = 1,
		 .max = TRUTH_K_MAX},
		{"threads", "N", "threads (one a core)", .number = &request.threads, .min = 1,
		 .max = WORKERS_MAX},
		{"json", NULL, "print one JSON object", .flag = &request.json},
	};
	struct cmd_vectors base, queries;
	int status;

	if (!cmd_options("truth", about, options, ARRAY_COUNT(options), argc, argv, &status))
		return status;
	if (!cmd_metric(request.metric_name, &request.metric))
		return CMD_USAGE;
	status = cmd_vectors_open(request.base, "train", &base);
	if (status != CMD_DONE)
		return status;
	status = cmd_vectors_open(request.query, "test", &queries);
	if (status == CMD_DONE) {
		status = run(&request, &base, &queries);
		cmd_vectors_close(&queries);
	}
	cmd_vectors_close(&base);
	return status;
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Cmd_bench_churn - what is left of an index when every vector has been replaced
 *
 * Recall, speed and memory at the end stand beside those of a fresh build of the
 * same rows; latencies of writes and searches meanwhile say who waited for whom.
 */

#include "base/clock.h"
#include "client/bench_truth.h"
#include "client/churn.h"
#include "client/cmd.h"
#include "client/cmd_vectors.h"
#include "hnsw/live_search.h"
#include "hnsw/workers.h"

#include <inttypes.h>
#include <stdlib.h>

#define CHURN_K_MAX 1000

/* A growing index holds so large a part of the vectors, unless --growing says otherwise. */
#define CHURN_GROWING_SHARE 4

struct request {
	const char *base, *query, *truth, *metric_name, *type, *rows, *ef_list;
	enum metric metric;
	uint64_t k, threads, m, ef_construction, seed, growing, dead_percent, search_ef;
	bool json;
};

struct bench {
	const struct request *request;
	struct cmd_vectors base, queries;
	struct cmd_storage storage;
	struct bench_truth truth;
	uint32_t ef[BENCH_EF_MAX];
	uint32_t ef_count;
	struct churn_options options;
	struct churn_result result;
	struct live *live, *fresh;
	double begin_seconds, fresh_seconds;
	struct search_hit *hits; /* k of each query */
	uint32_t *hit_counts;
};

static const char about[] =
	"Indexes the base, replaces every vector in random order while searches run, and\n"
	"compares what is left with a fresh index: recall, queries a second, memory.\n";

static void fill_options(struct bench *bench)
{
	const struct request *request = bench->request;
	uint32_t count = bench->base.count;
	uint64_t growing = request->growing ? request->growing : count / CHURN_GROWING_SHARE + 1;

	bench->options = (struct churn_options){
		.base = &bench->base,
		.queries = &bench->queries,
		.live =
			{
				.metric = request->metric,
				.dim = bench->base.dim,
				.vector_max = count,
				.growing_max = (uint32_t)MIN(growing, count),
				.dead_percent = (uint32_t)request->dead_percent,
				.build =
					{
						.type = bench->storage.type,
						.rows = bench->storage.rows,
						.m = (uint32_t)request->m,
						.ef_construction =
							(uint32_t)request->ef_construction,
						.threads = (uint32_t)request->threads,
						.seed = request->seed,
						.generation = 1,
					},
			},
		.k = (uint32_t)request->k,
		.ef = (uint32_t)request->search_ef,
	};
}

static double us(const struct hist *hist, double percent)
{
	return (double)hist_percentile(hist, percent) / (double)NS_PER_US;
}

static double seconds(uint64_t ns)
{
	return (double)ns / (double)NS_PER_S;
}

static void print_churn_json(const struct bench *bench, double per_second)
{
	const struct churn_result *result = &bench->result;
	struct live_stats stats = live_stats(bench->live);
	json_t *line = json_pack("{s:s, s:I, s:I, s:f, s:f, s:f}", "event", "churn", "vectors",
				 (json_int_t)stats.vectors, "dim", (json_int_t)bench->base.dim,
				 "seconds", seconds(result->ns), "stalled_seconds",
				 seconds(result->stalled_ns), "puts_per_s", per_second);
	const struct {
		const char *name;
		double value;
	} times[] = {
		{"put_p50_us", us(&result->puts, 50)},
		{"put_p99_us", us(&result->puts, 99)},
		{"put_max_us", us(&result->puts, 100)},
		{"put_cpu_max_us", (double)result->put_cpu_max_ns / (double)NS_PER_US},
		{"search_p50_us", us(&result->searches, 50)},
		{"search_p99_us", us(&result->searches, 99)},
		{"search_max_us", us(&result->searches, 100)},
		{"search_cpu_max_us", (double)result->search_cpu_max_ns / (double)NS_PER_US},
		{"merging_search_p50_us", us(&result->merging_searches, 50)},
		{"merging_search_p99_us", us(&result->merging_searches, 99)},
		{"merging_search_max_us", us(&result->merging_searches, 100)},
		{"build_seconds", bench->begin_seconds},
		{"fresh_build_seconds", bench->fresh_seconds},
	};
	const struct {
		const char *name;
		uint64_t value;
	} counts[] = {
		{"searches", result->searches.total},
		{"wrong_searches", result->wrong},
		{"search_sleeps", result->sleeps},
		{"merges", stats.merges},
		{"sealed", stats.sealed},
		{"growing", stats.growing},
		{"dead", stats.dead},
		{"bytes", stats.size},
		{"fresh_bytes", live_stats(bench->fresh).size},
	};

	for (size_t i = 0; i < ARRAY_COUNT(times); i++)
		json_object_set_new(line, times[i].name, json_real(times[i].value));
	for (size_t i = 0; i < ARRAY_COUNT(counts); i++)
		json_object_set_new(line, counts[i].name,
				    json_integer((json_int_t)counts[i].value));
	cmd_json(line);
}

static void print_latency(const char *what, const struct hist *hist)
{
	printf("%-24s  %10" PRIu64 "  %10.1f  %10.1f  %12.1f\n", what, hist->total, us(hist, 50),
	       us(hist, 99), us(hist, 100));
}

static void print_churn_text(const struct bench *bench, double per_second)
{
	const struct churn_result *result = &bench->result;
	struct live_stats stats = live_stats(bench->live);
	uint64_t fresh = live_stats(bench->fresh).size;

	printf("replaced %" PRIu64 " vectors of %" PRIu32 " values in %.1f s: %.0f/s, %.1f s of it "
	       "waiting for room\n",
	       stats.vectors, bench->base.dim, seconds(result->ns), per_second,
	       seconds(result->stalled_ns));
	printf("%" PRIu64 " merges; %" PRIu32 " sealed and %" PRIu32 " growing, %" PRIu64
	       " dead; %" PRIu64 " bytes, %.3f of a fresh build's %" PRIu64 "\n\n",
	       stats.merges, stats.sealed, stats.growing, stats.dead, stats.size,
	       (double)stats.size / (double)fresh, fresh);
	printf("%-24s  %10s  %10s  %10s  %12s\n", "", "count", "p50 us", "p99 us", "longest us");
	print_latency("replacing", &result->puts);
	print_latency("searches meanwhile", &result->searches);
	print_latency("of them during merges", &result->merging_searches);
	printf("longest in processor time: replacing %.1f us, a search %.1f us; the searching "
	       "thread slept %" PRIu64 " times\n",
	       (double)result->put_cpu_max_ns / (double)NS_PER_US,
	       (double)result->search_cpu_max_ns / (double)NS_PER_US, result->sleeps);
	printf("\n%6s  %8s  %8s  %10s  %10s\n", "ef", "recall", "fresh", "queries/s", "fresh");
}

/* Asks all queries; returns recall, and the queries a second in '*ret_qps'. */
static double ask(struct bench *bench, struct live_search *search, uint32_t ef, double *ret_qps)
{
	const struct search_params params = {.k = bench->truth.k, .ef = ef};
	const struct cmd_vectors *queries = &bench->queries;
	uint64_t start = clock_now_ns(), took, right = 0;
	size_t k = bench->truth.k;

	for (uint32_t i = 0; i < queries->count; i++) {
		live_search_begin(search, queries->rows + (size_t)i * queries->dim, &params);
		while (!live_search_step(search))
			;
		bench->hit_counts[i] =
			live_search_hits(search, bench->hits + i * k, bench->truth.k);
	}
	took = clock_now_ns() - start;
	for (uint32_t i = 0; i < queries->count; i++)
		right += bench_truth_right(&bench->truth, i, bench->hits + i * k,
					   bench->hit_counts[i]);
	*ret_qps = (double)queries->count * 1e9 / (double)MAX(took, 1);
	return (double)right / ((double)queries->count * (double)k);
}

static void print_point(const struct bench *bench, uint32_t ef, const double recall[2],
			const double qps[2])
{
	if (bench->request->json)
		cmd_json(json_pack("{s:s, s:I, s:I, s:f, s:f, s:f, s:f}", "event", "search", "ef",
				   (json_int_t)ef, "k", (json_int_t)bench->request->k, "recall",
				   recall[0], "fresh_recall", recall[1], "qps", qps[0], "fresh_qps",
				   qps[1]));
	else
		printf("%6" PRIu32 "  %8.4f  %8.4f  %10.0f  %10.0f\n", ef, recall[0], recall[1],
		       qps[0], qps[1]);
	fflush(stdout);
}

static int compare(struct bench *bench)
{
	struct live *lives[2] = {bench->live, bench->fresh};
	struct live_search *searches[2] = {NULL, NULL};
	uint32_t ef_max = bench->truth.k;
	int status = CMD_DONE;

	for (uint32_t i = 0; i < bench->ef_count; i++)
		ef_max = MAX(ef_max, bench->ef[i]);
	bench->hits = calloc((size_t)bench->queries.count * bench->truth.k, sizeof(*bench->hits));
	bench->hit_counts = calloc(bench->queries.count, sizeof(*bench->hit_counts));
	if (!bench->hits || !bench->hit_counts || live_search_new(lives[0], ef_max, &searches[0]) ||
	    live_search_new(lives[1], ef_max, &searches[1]))
		status = cmd_fail("no memory for %" PRIu32 " queries; give fewer",
				  bench->queries.count);
	for (uint32_t i = 0; i < bench->ef_count && status == CMD_DONE; i++) {
		double recall[2], qps[2];

		for (unsigned j = 0; j < 2; j++)
			recall[j] = ask(bench, searches[j], bench->ef[i], &qps[j]);
		print_point(bench, bench->ef[i], recall, qps);
	}
	for (unsigned j = 0; j < 2; j++)
		live_search_free(searches[j]);
	free(bench->hits);
	free(bench->hit_counts);
	return status;
}

static int measure(struct bench *bench)
{
	const struct churn_result *result = &bench->result;
	uint64_t start = clock_now_ns();
	double per_second;
	int status;

	status = churn_fresh(&bench->options, &bench->fresh);
	bench->fresh_seconds = seconds(clock_now_ns() - start);
	if (status != CMD_DONE)
		return status;
	per_second = (double)result->puts.total / seconds(MAX(result->ns, 1));
	if (bench->request->json)
		print_churn_json(bench, per_second);
	else
		print_churn_text(bench, per_second);
	fflush(stdout);
	if (result->wrong)
		return cmd_fail("%" PRIu64 " searches answered fewer than k, or a label twice",
				result->wrong);
	return compare(bench);
}

static int run_churn(struct bench *bench)
{
	uint64_t start = clock_now_ns();
	int status;

	status = churn_begin(&bench->options, &bench->live);
	bench->begin_seconds = seconds(clock_now_ns() - start);
	if (status == CMD_DONE)
		status = churn_run(&bench->options, bench->live, &bench->result);
	if (status == CMD_DONE)
		status = measure(bench);
	live_free(bench->live);
	live_free(bench->fresh);
	return status;
}

/* Reads the truth, which must fit base and queries, and goes on. */
static int run_queries(struct bench *bench)
{
	const struct request *request = bench->request;
	int status;

	if (!cmd_vectors_match(&bench->base, &bench->queries))
		return CMD_FAILED;
	status = bench_truth_open(request->truth, &bench->base, &bench->queries, request->metric,
				  (uint32_t)request->k, &bench->truth);
	if (status != CMD_DONE)
		return status;
	fill_options(bench);
	status = run_churn(bench);
	bench_truth_close(&bench->truth);
	return status;
}

static int run(struct bench *bench)
{
	const struct request *request = bench->request;
	int status = cmd_vectors_open(request->base, "train", &bench->base);

	if (status != CMD_DONE)
		return status;
	status = cmd_storage(request->type, request->rows, request->metric, &bench->base,
			     &bench->storage);
	if (status == CMD_DONE)
		status = cmd_vectors_open(request->query, "test", &bench->queries);
	if (status == CMD_DONE) {
		status = run_queries(bench);
		cmd_vectors_close(&bench->queries);
	}
	cmd_vectors_close(&bench->base);
	return status;
}

int cmd_bench_churn(int argc, char **argv)
{
	struct request request = {
		.metric_name = "l2",
		.rows = "auto",
		.ef_list = "16,32,64,128,256",
		.k = 10,
		.threads = 1,
		.seed = 1,
		.search_ef = 64,
	};
	const struct cmd_option options[] = {
		{"base", "FILE", "the vectors to index", .text = &request.base, .required = true},
		{"query", "FILE", "the queries", .text = &request.query, .required = true},
		{"truth", "FILE", "rows of their true neighbours, nearest first",
		 .text = &request.truth, .required = true},
		{"metric", "NAME", "l2, ip or cosine (l2)", .text = &request.metric_name},
		{"type", "NAME", "store f32, f16, bf16, i8, u8 or b1 (as the file has them)",
		 .text = &request.type},
		{"rows", "NAME", "what the index keeps of f32: auto, compact or full (auto)",
		 .text = &request.rows},
		{"ef", "N,N,..", "widths of the search to compare at (16,32,64,128,256)",
		 .text = &request.ef_list},
		{"k", "N", "neighbours a query (10)", .number = &request.k, .min = 1,
		 .max = CHURN_K_MAX},
		{"search-ef", "N", "width of the searches meanwhile (64)",
		 .number = &request.search_ef, .min = 1, .max = SEARCH_EF_MAX},
		{"m", "N", "neighbours a node (16)", .number = &request.m, .min = 2,
		 .max = SEGMENT_M_MAX},
		{"ef-construction", "N", "width of the search for them (200)",
		 .number = &request.ef_construction, .min = 1, .max = SEARCH_EF_MAX},
		{"threads", "N", "threads that build and merge (1)", .number = &request.threads,
		 .min = 1, .max = WORKERS_MAX},
		{"growing", "N", "vectors of a growing index (a quarter of the base)",
		 .number = &request.growing, .min = 1, .max = SEGMENT_COUNT_MAX},
		{"dead", "PERCENT", "merge when more are dead (6)", .number = &request.dead_percent,
		 .min = 1, .max = 100},
		{"seed", "N", "of everything random (1)", .number = &request.seed, .min = 0,
		 .max = UINT64_MAX},
		{"json", NULL, "print one JSON object a line", .flag = &request.json},
	};
	struct bench bench = {.request = &request};
	int status;

	if (!cmd_options("bench churn", about, options, ARRAY_COUNT(options), argc, argv, &status))
		return status;
	if (!cmd_metric(request.metric_name, &request.metric) ||
	    !bench_ef_list(request.ef_list, bench.ef, &bench.ef_count))
		return CMD_USAGE;
	return run(&bench);
}

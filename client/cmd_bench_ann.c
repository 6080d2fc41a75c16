/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Cmd_bench_ann - how right and how fast a search is, over a sweep of ef
 *
 * The queries are asked in their order; each thread keeps --in-flight of them
 * running interleaved on its core. A query's latency is from its first step to
 * its last, so what ran in between is in it.
 */

#include "base/check.h"
#include "base/clock.h"
#include "client/bench_index.h"
#include "client/bench_truth.h"
#include "client/cmd.h"
#include "client/cmd_vectors.h"
#include "hnsw/dist.h"
#include "hnsw/workers.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define BENCH_K_MAX         1000 /* neighbours a query */
#define BENCH_IN_FLIGHT_MAX 64   /* queries running at the same time on one core */

/* What is swept over when nothing else is asked for. */
#define EF_LIST_DEFAULT "16,32,64,128,256"

/* Queries before the clock starts: enough to fault the pages in and to wake the clock rate. */
#define WARM_UP 200

struct bench_request {
	const char *base, *query, *truth, *metric_name, *ef_list, *recall_list, *index, *type,
		*rows;
	struct cmd_layout layout;
	enum metric metric;
	uint64_t k, threads, m, ef_construction, seed;
	uint64_t search_threads, in_flight, passes, patience;
	bool json;
};

/* One of the queries in flight on a core. */
struct lane {
	struct bench_lane *search; /* owned */
	uint64_t number;           /* of the query that runs, counted through all passes */
	uint64_t start_ns;
	bool running;
};

struct bench {
	const struct bench_request *request;
	struct cmd_vectors base, queries;
	struct cmd_storage storage;
	struct bench_truth truth;
	uint32_t ef[BENCH_EF_MAX];
	uint32_t ef_count;
	double targets[BENCH_EF_MAX]; /* recalls to be reached; ascending */
	uint32_t target_count;
	struct bench_index index;
	struct workers *workers;
	struct lane *lanes; /* in_flight for each search thread */
	struct search_hit *hits;
	uint32_t *hit_counts;
	uint64_t *latencies; /* of every query of every pass */
	/* Of the sweep's present point. */
	uint32_t ef_now;
	double target_now;      /* 0: none */
	double hops, distances; /* a query */
	uint64_t total;         /* queries to be asked: all passes */
	_Atomic uint64_t next;  /* the one that nobody has taken yet */
};

static const char about[] = "Builds an index over the base (or opens one that 'tern build' made), "
			    "asks all the queries\n"
			    "for each ef, and prints recall, queries a second and latency.\n";

/* Gives the lane the next query, if one is left. */
static void lane_begin(struct bench *bench, struct lane *lane)
{
	lane->number = atomic_fetch_add_explicit(&bench->next, 1, memory_order_relaxed);
	lane->running = lane->number < bench->total;
	if (!lane->running)
		return;
	lane->start_ns = clock_now_ns();
	bench_lane_begin(lane->search,
			 bench->queries.rows +
				 lane->number % bench->queries.count * bench->queries.dim,
			 &(struct search_params){
				 .k = (uint32_t)bench->request->k,
				 .ef = bench->ef_now,
				 .patience = (uint32_t)bench->request->patience,
			 });
}

/* Keeps latency, and of the first pass the hits: all passes find the same. */
static void lane_end(struct bench *bench, struct lane *lane)
{
	bench->latencies[lane->number] = clock_now_ns() - lane->start_ns;
	if (lane->number < bench->queries.count)
		bench->hit_counts[lane->number] = bench_lane_hits(
			lane->search, bench->hits + lane->number * bench->request->k);
}

/* One search thread: runs its lanes in turn until no query is left. */
static void search_thread(void *context, uint32_t worker, uint32_t item)
{
	struct bench *bench = context;
	uint64_t in_flight = bench->request->in_flight, running = 0;
	struct lane *lanes = bench->lanes + item * in_flight;

	for (uint64_t i = 0; i < in_flight; i++) {
		lane_begin(bench, &lanes[i]);
		running += lanes[i].running;
	}
	while (running)
		for (uint64_t i = 0; i < in_flight; i++) {
			if (!lanes[i].running || !bench_lane_step(lanes[i].search))
				continue;
			lane_end(bench, &lanes[i]);
			lane_begin(bench, &lanes[i]);
			running -= !lanes[i].running;
		}
}

/* Asks the first 'total' queries of all passes; returns the nanoseconds that it took. */
static uint64_t ask(struct bench *bench, uint64_t total)
{
	uint64_t start = clock_now_ns();

	bench->total = total;
	atomic_store_explicit(&bench->next, 0, memory_order_relaxed);
	workers_run(bench->workers, (uint32_t)bench->request->search_threads, search_thread, bench);
	return clock_now_ns() - start;
}

static int compare_latency(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* In microseconds; the latencies are sorted. */
static double percentile(const struct bench *bench, uint64_t total, double percent)
{
	uint64_t rank = (uint64_t)ceil((double)total * percent / 100);

	return (double)bench->latencies[MAX(rank, 1) - 1] / (double)NS_PER_US;
}

/* A point that was looked for has its target on top. */
static void print_point(const struct bench *bench, uint64_t total, double recall, double qps)
{
	const struct bench_request *request = bench->request;
	double p50 = percentile(bench, total, 50), p99 = percentile(bench, total, 99);

	if (request->json)
		cmd_json(json_pack(
			"{s:s, s:I, s:I, s:f, s:f, s:f, s:f, s:I, s:I, s:I, s:f, s:f, s:o*}",
			"event", "search", "ef", (json_int_t)bench->ef_now, "k",
			(json_int_t)request->k, "recall", recall, "qps", qps, "p50_us", p50,
			"p99_us", p99, "search_threads", (json_int_t)request->search_threads,
			"in_flight", (json_int_t)request->in_flight, "patience",
			(json_int_t)request->patience, "hops", bench->hops, "distances",
			bench->distances, "target",
			bench->target_now > 0 ? json_real(bench->target_now) : NULL));
	else if (bench->target_now > 0)
		printf("%6" PRIu32 "  %8.4f  %10.0f  %8.1f  %8.1f  for %g\n", bench->ef_now, recall,
		       qps, p50, p99, bench->target_now);
	else
		printf("%6" PRIu32 "  %8.4f  %10.0f  %8.1f  %8.1f\n", bench->ef_now, recall, qps,
		       p50, p99);
	fflush(stdout);
}

/* Of the pass that was asked last. */
static double recall(const struct bench *bench)
{
	uint64_t right = 0;

	for (uint32_t i = 0; i < bench->queries.count; i++)
		right += bench_truth_right(&bench->truth, i, bench->hits + i * bench->request->k,
					   bench->hit_counts[i]);
	return (double)right / ((double)bench->queries.count * (double)bench->request->k);
}

/* Of all lanes since they are there. */
static struct search_stats stats_of(const struct bench *bench)
{
	uint64_t count = bench->request->search_threads * bench->request->in_flight;
	struct search_stats sum = {0};

	for (uint64_t i = 0; i < count; i++) {
		struct search_stats stats = bench_lane_stats(bench->lanes[i].search);

		sum.hops += stats.hops;
		sum.distances += stats.distances;
	}
	return sum;
}

static void measure(struct bench *bench)
{
	struct search_stats before, after;
	uint64_t total = bench->queries.count * bench->request->passes, took;

	(void)ask(bench, MIN(WARM_UP, bench->queries.count));
	before = stats_of(bench);
	took = ask(bench, total);
	after = stats_of(bench);
	bench->hops = (double)(after.hops - before.hops) / (double)total;
	bench->distances = (double)(after.distances - before.distances) / (double)total;
	qsort(bench->latencies, total, sizeof(*bench->latencies), compare_latency);
	print_point(bench, total, recall(bench), (double)total * 1e9 / (double)MAX(took, 1));
}

static double recall_at(struct bench *bench, uint32_t ef)
{
	bench->ef_now = ef;
	(void)ask(bench, bench->queries.count);
	return recall(bench);
}

/*
 * The smallest ef above 'low' that reaches the target: doubled until one does, then halved. 'low'
 * does not reach it. 0, and a line is printed, when even the largest doesn't.
 */
static uint32_t find_ef(struct bench *bench, double target, uint32_t low)
{
	uint32_t high = low + 1;
	double found;

	while ((found = recall_at(bench, high)) < target) {
		if (high == SEARCH_EF_MAX) {
			(void)cmd_fail("recall %g is not reached: ef %d finds %.4f; %s", target,
				       SEARCH_EF_MAX, found,
				       bench->request->patience
					       ? "choose a larger --patience, or none"
					       : "build with a larger --m or --ef-construction");
			return 0;
		}
		low = high;
		high = MIN(2 * high, SEARCH_EF_MAX);
	}
	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (recall_at(bench, middle) < target)
			low = middle;
		else
			high = middle;
	}
	return high;
}

/* Targets ascend, so that each takes at least the ef of the one before. */
static int measure_targets(struct bench *bench)
{
	uint32_t least = (uint32_t)bench->request->k - 1, ef = 0; /* any less is raised to k */

	for (uint32_t i = 0; i < bench->target_count; i++) {
		if (ef == 0 || recall_at(bench, ef) < bench->targets[i])
			ef = find_ef(bench, bench->targets[i], MAX(ef, least));
		if (ef == 0)
			return CMD_FAILED;
		bench->ef_now = ef;
		bench->target_now = bench->targets[i];
		measure(bench);
	}
	return CMD_DONE;
}

static int make_lanes(struct bench *bench)
{
	const struct bench_request *request = bench->request;
	uint64_t count = request->search_threads * request->in_flight;
	uint32_t ef_max = bench->target_count ? SEARCH_EF_MAX : 0;

	for (uint32_t i = 0; i < bench->ef_count; i++)
		ef_max = MAX(ef_max, bench->ef[i]);
	bench->lanes = calloc(count, sizeof(*bench->lanes));
	for (uint64_t i = 0; bench->lanes && i < count; i++)
		if (bench_lane_new(&bench->index, (uint32_t)request->k, ef_max,
				   &bench->lanes[i].search))
			return cmd_fail("no memory for %" PRIu64
					" searches; choose a smaller --in-flight",
					count);
	return bench->lanes ? CMD_DONE : cmd_fail("out of memory");
}

/* All memory that measuring takes, so that none is taken while the clock runs. */
static int make_room(struct bench *bench)
{
	size_t queries = bench->queries.count;
	int result;

	bench->hits = calloc(queries * bench->request->k, sizeof(*bench->hits));
	bench->hit_counts = calloc(queries, sizeof(*bench->hit_counts));
	bench->latencies = calloc(queries * bench->request->passes, sizeof(*bench->latencies));
	if (!bench->hits || !bench->hit_counts || !bench->latencies)
		return cmd_fail("no memory for %zu queries; give fewer", queries);
	result = workers_new((uint32_t)bench->request->search_threads, &bench->workers);
	if (result)
		return cmd_fail("%" PRIu64 " threads can't be started: %s; try fewer "
				"--search-threads",
				bench->request->search_threads, strerror(-result));
	return make_lanes(bench);
}

static void give_back(struct bench *bench)
{
	uint64_t count = bench->request->search_threads * bench->request->in_flight;

	for (uint64_t i = 0; bench->lanes && i < count; i++)
		bench_lane_free(bench->lanes[i].search);
	free(bench->lanes);
	free(bench->hits);
	free(bench->hit_counts);
	free(bench->latencies);
	if (bench->workers)
		workers_free(bench->workers);
}

static void build_progress(void *context, uint64_t done, uint64_t total)
{
	cmd_progress("build", done, total);
}

/* Prints the line about the index. */
static void print_index(const struct bench *bench, double seconds)
{
	const struct bench_request *request = bench->request;

	if (request->json)
		cmd_json(json_pack("{s:s, s:f, s:I, s:I, s:I, s:s, s:b, s:I, s:s, s:s, s:I}",
				   "event", request->index ? "open" : "build", "seconds", seconds,
				   "vectors", (json_int_t)bench->index.vector_count, "dim",
				   (json_int_t)bench->base.dim, "bytes",
				   (json_int_t)bench->index.size, "type",
				   vector_type_name(bench->index.segments[0].type), "compact",
				   bench->index.segments[0].form.compact, "edge_bits",
				   (json_int_t)bench->index.segments[0].codes.bits, "metric",
				   request->metric_name, "isa", dist_best()->isa, "threads",
				   (json_int_t)request->threads));
	else
		printf("%s in %.1f s: %" PRIu64 " vectors of %" PRIu32 " values, %" PRIu64
		       " bytes, %s, %s, %s\n%6s  %8s  %10s  %8s  %8s\n",
		       request->index ? "opened" : "built", seconds, bench->index.vector_count,
		       bench->base.dim, bench->index.size,
		       vector_type_name(bench->index.segments[0].type), request->metric_name,
		       dist_best()->isa, "ef", "recall", "queries/s", "p50 us", "p99 us");
	fflush(stdout);
}

static int make_index(struct bench *bench, struct bench_index *ret_index)
{
	const struct bench_request *request = bench->request;
	const struct build_options options = {
		.metric = request->metric,
		.type = bench->storage.type,
		.rows = bench->storage.rows,
		.layout = bench->storage.layout,
		.order = bench->storage.order,
		.edge_bits = bench->storage.edge_bits,
		.m = (uint32_t)request->m,
		.ef_construction = (uint32_t)request->ef_construction,
		.threads = (uint32_t)request->threads,
		.seed = request->seed,
		.generation = 1,
		.progress = build_progress,
	};

	if (request->index)
		return bench_index_open(request->index, bench->base.count, bench->base.dim,
					request->metric, ret_index);
	return bench_index_build(bench->base.rows, bench->base.count, bench->base.dim, &options,
				 ret_index);
}

static int sweep(struct bench *bench)
{
	uint64_t start = clock_now_ns();
	int status = make_index(bench, &bench->index);

	if (status != CMD_DONE)
		return status;
	print_index(bench, (double)(clock_now_ns() - start) * 1e-9);
	status = make_room(bench);
	for (uint32_t i = 0; i < bench->ef_count && status == CMD_DONE; i++) {
		bench->ef_now = bench->ef[i];
		measure(bench);
	}
	if (status == CMD_DONE)
		status = measure_targets(bench);
	give_back(bench);
	bench_index_close(&bench->index);
	return status;
}

/* Opens queries and truth, which must fit the base, and runs the sweep. */
static int run_queries(struct bench *bench)
{
	const struct bench_request *request = bench->request;
	int status;

	if (!cmd_vectors_match(&bench->base, &bench->queries))
		return CMD_FAILED;
	status = bench_truth_open(request->truth, &bench->base, &bench->queries, request->metric,
				  (uint32_t)request->k, &bench->truth);
	if (status != CMD_DONE)
		return status;
	status = sweep(bench);
	bench_truth_close(&bench->truth);
	return status;
}

static int run(struct bench *bench)
{
	const struct bench_request *request = bench->request;
	int status = cmd_vectors_open(request->base, "train", &bench->base);

	if (status != CMD_DONE)
		return status;
	status = cmd_storage(request->type, request->rows, request->metric, &bench->base,
			     &bench->storage);
	if (status == CMD_DONE)
		status = cmd_layout(&request->layout, bench->base.dim, &bench->storage);
	if (status == CMD_DONE)
		status = cmd_vectors_open(request->query, "test", &bench->queries);
	if (status == CMD_DONE) {
		status = run_queries(bench);
		cmd_vectors_close(&bench->queries);
	}
	cmd_vectors_close(&bench->base);
	return status;
}

int cmd_bench_ann(int argc, char **argv)
{
	struct bench_request request = {
		.metric_name = "l2",
		.rows = "auto",
		.layout = {.name = "auto", .order = "label"},
		.k = 10,
		.threads = cmd_cores(),
		.seed = 1,
		.search_threads = 1,
		.in_flight = 1,
		.passes = 1,
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
		{"layout", "NAME",
		 "rows alone, or with codes of edges: auto, plain or edges (auto)",
		 .text = &request.layout.name},
		{"edge-bits", "N", "bits of an edge's code, a multiple of 64 (by dimension)",
		 .number = &request.layout.edge_bits, .min = 0, .max = SEGMENT_DIM_MAX},
		{"order", "NAME", "number the index's rows by label or by its graph (label)",
		 .text = &request.layout.order},
		{"ef", "N,N,..", "widths of the search (16,32,64,128,256)",
		 .text = &request.ef_list},
		{"recall", "R,R,..", "find the smallest ef that reaches each of them, instead",
		 .text = &request.recall_list},
		{"patience", "N",
		 "end a search when the k nearest stay the same for N hops (0: never so)",
		 .number = &request.patience, .min = 0, .max = SEARCH_EF_MAX},
		{"k", "N", "neighbours a query (10)", .number = &request.k, .min = 1,
		 .max = BENCH_K_MAX},
		{"m", "N", "neighbours a node (16)", .number = &request.m, .min = 2,
		 .max = SEGMENT_M_MAX},
		{"ef-construction", "N", "width of the search for them (200)",
		 .number = &request.ef_construction, .min = 1, .max = SEARCH_EF_MAX},
		{"threads", "N", "threads to build with (one a core)", .number = &request.threads,
		 .min = 1, .max = WORKERS_MAX},
		{"search-threads", "N", "threads to search with (1)",
		 .number = &request.search_threads, .min = 1, .max = WORKERS_MAX},
		{"in-flight", "N", "queries interleaved on each of them (1)",
		 .number = &request.in_flight, .min = 1, .max = BENCH_IN_FLIGHT_MAX},
		{"passes", "N", "times to ask all queries (1)", .number = &request.passes, .min = 1,
		 .max = 1000},
		{"index", "FOLDER", "search what 'tern build' made of the base, don't build",
		 .text = &request.index},
		{"seed", "N", "of everything random (1)", .number = &request.seed, .min = 0,
		 .max = UINT64_MAX},
		{"json", NULL, "print one JSON object a line", .flag = &request.json},
	};
	struct bench bench = {.request = &request};
	int status;

	if (!cmd_options("bench ann", about, options, ARRAY_COUNT(options), argc, argv, &status))
		return status;
	if (!cmd_metric(request.metric_name, &request.metric) ||
	    (request.ef_list && !bench_ef_list(request.ef_list, bench.ef, &bench.ef_count)) ||
	    (request.recall_list &&
	     !bench_recall_list(request.recall_list, bench.targets, &bench.target_count)))
		return CMD_USAGE;
	if (!request.ef_list && !request.recall_list)
		(void)bench_ef_list(EF_LIST_DEFAULT, bench.ef, &bench.ef_count);
	return run(&bench);
}

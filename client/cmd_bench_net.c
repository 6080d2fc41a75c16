/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bench net - how fast and how well a cluster answers
 *
 * Closed loop: --in-flight queries are kept under way; the file is gone through
 * --passes times. Open loop (--rate): query i has its intended time, start + i /
 * rate, and its latency counts from then, whether it could be sent or not, so
 * that a stall of the server is seen by every query that it delayed (no
 * coordinated omission). Service time, from the sending on, is shown beside it.
 *
 * Recall: a hit is right when its distance is at most that of the k-th true
 * neighbour, plus rounding, so that ties count (--base says the distances); or,
 * without --base, when its id is one of the k true ones.
 */

#include "base/check.h"
#include "base/clock.h"
#include "base/defs.h"
#include "base/hist.h"
#include "client/collection.h"
#include "client/online.h"
#include "hnsw/truth.h"
#include "proto/status.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What f32 sums may differ from f64 ones, relative and absolute. */
#define RECALL_SLACK 1e-5

#define RESULT_BURST 64

static const char about[] =
	"Asks for all vectors of a file, --in-flight at a time, or at --rate queries a\n"
	"second, and prints rate, latencies and, with --truth, recall.\n";

struct bench_options {
	struct online_options online;
	const char *truth;
	const char *base;
	const char *hgrm;
	uint64_t in_flight;
	uint64_t passes;
	uint64_t warmup;
	uint64_t rate;
};

struct truth_rows {
	struct files files;
	struct files base_files;
	const int32_t *ids; /* NULL: no recall is asked for */
	const float *base;  /* NULL: by id */
	uint32_t k;         /* ids a row */
};

struct bench {
	const struct bench_options *options;
	struct online *online;
	struct truth_rows truth;
	double *radius; /* owned: the k-th true distance of each row; NULL without a base */
	enum metric metric;
	uint64_t total;
	uint64_t next;
	uint64_t done;
	uint64_t start_ns;
	uint64_t end_ns;
	uint64_t right; /* hits of the first pass */
	uint64_t wanted;
	uint64_t failed;
	uint64_t partial;
	uint16_t status;      /* of the last query that failed */
	FILE *hgrm;           /* owned; NULL: not wanted */
	struct hist response; /* from the intended time */
	struct hist service;  /* from the sending */
};

/* --- truth --- */

static int open_base(const struct bench_options *options, struct truth_rows *truth, char *error)
{
	if (files_open(options->base, "train", &truth->base_files, error) != 0 ||
	    files_floats(&truth->base_files, &truth->base, error) != 0)
		return cmd_fail("%s", error);
	return CMD_DONE;
}

static int open_truth(const struct bench_options *options, const struct online *online,
		      struct truth_rows *truth)
{
	char error[FILES_ERROR_MAX];

	if (!options->truth)
		return options->base ? cmd_usage("--base goes with --truth") : CMD_DONE;
	if (files_open(options->truth, "neighbors", &truth->files, error) != 0 ||
	    files_ints(&truth->files, &truth->ids, error) != 0)
		return cmd_fail("%s", error);
	truth->k = truth->files.dim;
	if (truth->files.count < online->row_count || truth->k < options->online.k)
		return cmd_fail("%s: %u rows of %u ids; %u rows of at least %u are wanted",
				options->truth, truth->files.count, truth->k, online->row_count,
				(unsigned)options->online.k);
	if (!options->base)
		return CMD_DONE;
	if (open_base(options, truth, error) != CMD_DONE)
		return CMD_FAILED;
	if (truth->base_files.dim != online->dim)
		return cmd_fail("%s has %u dimensions, %s has %u", options->base,
				truth->base_files.dim, options->online.query, online->dim);
	return CMD_DONE;
}

/* The true distance of each row's k-th neighbour, once the metric is known. */
static int compute_radii(struct bench *bench)
{
	const struct truth_rows *truth = &bench->truth;
	const struct online *online = bench->online;
	size_t last = bench->options->online.k - 1;

	bench->radius = calloc(online->row_count, sizeof(*bench->radius));
	if (!bench->radius)
		return cmd_fail("out of memory");
	for (uint32_t row = 0; row < online->row_count; row++) {
		int32_t id = truth->ids[(size_t)row * truth->k + last];

		if (id < 0 || (uint32_t)id >= truth->base_files.count)
			return cmd_fail("%s: row %u names vector %d; %s has %u",
					bench->options->truth, row, id, bench->options->base,
					truth->base_files.count);
		bench->radius[row] =
			truth_distance(bench->metric, online->rows + (size_t)row * online->dim,
				       truth->base + (size_t)id * online->dim, online->dim);
	}
	return CMD_DONE;
}

static bool is_right(const struct bench *bench, uint32_t row, const struct gather_hit *hit)
{
	const int32_t *ids = bench->truth.ids + (size_t)row * bench->truth.k;

	if (bench->radius) {
		double radius = bench->radius[row];
		double slack = RECALL_SLACK * (1 + (radius < 0 ? -radius : radius));

		return (double)hit->distance <= radius + slack;
	}
	for (uint64_t i = 0; i < bench->options->online.k; i++)
		if ((uint32_t)ids[i] == hit->vector_id)
			return true;
	return false;
}

/* --- the loop --- */

static uint64_t intended_ns(const struct bench *bench, uint64_t sequence)
{
	if (bench->options->rate == 0)
		return 0;
	return bench->start_ns + (uint64_t)((double)sequence * 1e9 / (double)bench->options->rate);
}

static void take_result(struct bench *bench, const struct client_result *result)
{
	uint32_t row = (uint32_t)(result->tag % bench->online->row_count);
	uint64_t from_ns = MAX(intended_ns(bench, result->tag), UINT64_C(1));

	bench->done++;
	bench->end_ns = result->done_ns;
	if (bench->options->rate == 0)
		from_ns = result->submitted_ns;
	hist_add(&bench->response, result->done_ns - from_ns);
	hist_add(&bench->service, result->done_ns - result->submitted_ns);
	if (result->status != STATUS_OK) {
		bench->failed++;
		bench->status = result->status;
	}
	bench->partial += result->status == STATUS_OK && result->missing_count > 0;
	if (!bench->truth.ids || result->tag >= bench->online->row_count)
		return;
	bench->wanted += bench->options->online.k;
	for (uint32_t i = 0; i < result->hit_count; i++)
		bench->right += is_right(bench, row, &result->hits[i]);
}

/* Sends what is due while there is room. Returns CMD_DONE or CMD_FAILED. */
static int submit_due(struct bench *bench, uint64_t now_ns)
{
	struct online *online = bench->online;

	while (bench->next < bench->total &&
	       client_in_flight(online->client) < bench->options->in_flight &&
	       intended_ns(bench, bench->next) <= now_ns) {
		struct client_question question =
			online_question(&bench->options->online, online,
					(uint32_t)(bench->next % online->row_count), now_ns);
		int refused;

		question.tag = bench->next;
		refused = client_submit(online->client, &question, now_ns);
		if (refused == CLIENT_E_BUSY) /* late answers hold all places */
			return CMD_DONE;
		if (refused)
			return online_refused(&bench->options->online, online, refused);
		bench->next++;
	}
	return CMD_DONE;
}

/* Busy on a machine that has a core for it: waking up would be part of every latency. */
static void idle(struct bench *bench, bool busy)
{
	uint64_t until_ns = UINT64_MAX;

	if (busy)
		return;
	if (bench->next < bench->total &&
	    client_in_flight(bench->online->client) < bench->options->in_flight)
		until_ns = intended_ns(bench, bench->next);
	online_wait(bench->online, until_ns);
}

/* Asks 'total' queries from row 0 on. Returns CMD_DONE or CMD_FAILED. */
static int run(struct bench *bench, uint64_t total)
{
	struct client_result results[RESULT_BURST];
	bool busy = sysconf(_SC_NPROCESSORS_ONLN) > 1;

	bench->total = total;
	bench->next = bench->done = 0;
	bench->failed = bench->partial = 0;
	bench->right = bench->wanted = 0;
	hist_init(&bench->response);
	hist_init(&bench->service);
	bench->start_ns = clock_now_ns();
	while (bench->done < total) {
		uint64_t now_ns = clock_now_ns();
		unsigned count;

		if (submit_due(bench, now_ns) != CMD_DONE)
			return CMD_FAILED;
		count = client_poll(bench->online->client, results, RESULT_BURST, now_ns);
		for (unsigned i = 0; i < count; i++)
			take_result(bench, &results[i]);
		if (count == 0)
			idle(bench, busy);
		cmd_progress("asking", bench->done, total);
	}
	return CMD_DONE;
}

/* --- what came out --- */

static double us(const struct hist *hist, double percentile)
{
	return (double)hist_percentile(hist, percentile) / 1e3;
}

static double recall_of(const struct bench *bench)
{
	return bench->wanted ? (double)bench->right / (double)bench->wanted : 0;
}

static void print_json(const struct bench *bench, double seconds)
{
	const struct bench_options *options = bench->options;
	struct client_stats stats = client_stats(bench->online->client);
	const struct collection *collection =
		client_collection(bench->online->client, options->online.collection);

	printf("{\"event\":\"bench_net\",\"port\":\"%s\",\"shards\":%" PRIu32
	       ",\"vectors\":%" PRIu64 ",\"dim\":%" PRIu32 ",\"k\":%" PRIu64 ",\"ef\":%" PRIu64
	       ",\"probe\":%" PRIu64 ",\"in_flight\":%" PRIu64 ",\"rate\":%" PRIu64
	       ",\"queries\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"partial\":%" PRIu64
	       ",\"retries\":%" PRIu64 ",\"frames_resent\":%" PRIu64
	       ",\"seconds\":%.6f,\"qps\":%.1f",
	       options->online.port, collection->shard_count, collection->vector_count,
	       collection->dim, options->online.k, options->online.ef, options->online.probe,
	       options->in_flight, options->rate, bench->total, bench->failed, bench->partial,
	       stats.retries, stats.session.frames_resent, seconds, (double)bench->total / seconds);
	if (bench->truth.ids)
		printf(",\"recall\":%.5f", recall_of(bench));
	printf(",\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f,"
	       "\"mean_us\":%.1f,\"service_p50_us\":%.1f,\"service_p99_us\":%.1f,"
	       "\"service_p999_us\":%.1f}\n",
	       us(&bench->response, 50), us(&bench->response, 99), us(&bench->response, 99.9),
	       us(&bench->response, 100), hist_mean(&bench->response) / 1e3,
	       us(&bench->service, 50), us(&bench->service, 99), us(&bench->service, 99.9));
}

static void print_latency(const char *what, const struct hist *hist)
{
	printf("%-10s p50 %.1f us, p99 %.1f us, p99.9 %.1f us, max %.1f us, mean %.1f us\n", what,
	       us(hist, 50), us(hist, 99), us(hist, 99.9), us(hist, 100), hist_mean(hist) / 1e3);
}

static void print_text(const struct bench *bench, double seconds)
{
	printf("%" PRIu64 " queries in %.3f s: %.0f a second\n", bench->total, seconds,
	       (double)bench->total / seconds);
	print_latency("response", &bench->response);
	if (bench->options->rate)
		print_latency("service", &bench->service);
	if (bench->truth.ids)
		printf("recall@%" PRIu64 "  %.4f\n", bench->options->online.k, recall_of(bench));
	if (bench->partial)
		printf("%" PRIu64 " answers were partial\n", bench->partial);
}

/* Opened before the run: an hour of load is not lost to a wrong path. */
static int open_hgrm(struct bench *bench)
{
	const char *path = bench->options->hgrm;

	if (!path)
		return CMD_DONE;
	bench->hgrm = fopen(path, "we");
	return bench->hgrm ? CMD_DONE : cmd_fail("%s: %s", path, strerror(errno));
}

static int write_hgrm(struct bench *bench)
{
	int result;

	if (!bench->hgrm)
		return CMD_DONE;
	result = hist_print_hgrm(&bench->response, 1e3, bench->hgrm);
	if (fclose(bench->hgrm) != 0)
		result = -EIO;
	bench->hgrm = NULL;
	return result == 0 ? CMD_DONE : cmd_fail("%s: can't write", bench->options->hgrm);
}

static int report(struct bench *bench)
{
	double seconds = (double)MAX(bench->end_ns - bench->start_ns, UINT64_C(1)) * 1e-9;

	if (bench->options->online.json)
		print_json(bench, seconds);
	else
		print_text(bench, seconds);
	online_report(&bench->options->online, bench->online);
	if (write_hgrm(bench) != CMD_DONE)
		return CMD_FAILED;
	if (bench->failed)
		return cmd_fail("%" PRIu64 " of %" PRIu64 " queries failed, the last: %s%s",
				bench->failed, bench->total, status_text(bench->status),
				online_mend(bench->status));
	return CMD_DONE;
}

static int measure(struct bench *bench)
{
	const struct bench_options *options = bench->options;
	const struct collection *collection;

	if (run(bench, options->warmup) != CMD_DONE)
		return CMD_FAILED;
	if (bench->failed == options->warmup)
		return cmd_fail("no answer from %s: %s%s", options->online.servers,
				status_text(bench->status), online_mend(bench->status));
	/* Somebody has answered, so the collection is known. */
	collection = client_collection(bench->online->client, options->online.collection);
	CHECK(collection);
	bench->metric = collection->metric;
	if (bench->truth.base && compute_radii(bench) != CMD_DONE)
		return CMD_FAILED;
	if (run(bench, options->passes * bench->online->row_count) != CMD_DONE)
		return CMD_FAILED;
	return report(bench);
}

int cmd_bench_net(int argc, char **argv)
{
	struct bench_options o = {
		.online = ONLINE_OPTIONS_INIT,
		.in_flight = 16,
		.passes = 1,
		.warmup = 200,
	};
	const struct cmd_option options[] = {
		ONLINE_OPTIONS(o.online),
		{"truth", "FILE", "true neighbours of the queries, for recall", .text = &o.truth},
		{"base", "FILE", "the vectors, so that ties count as right", .text = &o.base},
		{"in-flight", "N", "queries under way at a time (default 16)",
		 .number = &o.in_flight, .min = 1, .max = CLIENT_IN_FLIGHT_MAX},
		{"passes", "N", "times through the file (default 1)", .number = &o.passes, .min = 1,
		 .max = 1000000},
		{"warmup", "N", "queries that don't count, first (default 200)",
		 .number = &o.warmup, .min = 1, .max = 100000000},
		{"rate", "N", "open loop: queries a second (default 0: closed loop)",
		 .number = &o.rate, .min = 0, .max = 100000000},
		{"hgrm", "FILE", "write the latencies as an HdrHistogram table, in us",
		 .text = &o.hgrm},
	};
	static struct bench bench;
	struct online online;
	int status;

	if (!cmd_options("bench net", about, options, ARRAY_COUNT(options), argc, argv, &status))
		return status;
	status = online_open(&o.online, (uint32_t)o.in_flight, &online);
	if (status != CMD_DONE)
		return status;
	bench.options = &o;
	bench.online = &online;
	status = open_truth(&o, &online, &bench.truth);
	if (status == CMD_DONE)
		status = open_hgrm(&bench);
	if (status == CMD_DONE)
		status = measure(&bench);
	if (bench.hgrm)
		fclose(bench.hgrm);
	free(bench.radius);
	files_close(&bench.truth.files);
	files_close(&bench.truth.base_files);
	if (status != CMD_DONE && online.queue)
		online_tell_why(&online);
	online_close(&online);
	return status;
}

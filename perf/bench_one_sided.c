/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bench one-sided - what searching a segment from afar costs
 *
 *      bench_one_sided [--json] [--verbs] [--layout plain|edges] [--recall R | --ef N]
 *                      [--queries N] [--repeat N] [--rtt US] [--gbit N] [--read-ns N]
 *                      BASE QUERIES TRUTH l2|ip|cosine
 *
 * Round trips, READs and bytes a query for several breadths (candidates whose rows are asked
 * for ahead): cold, with a reader that forgets what it has read before each query; first, when all
 * queries are asked for the first time; and warm, when they were asked before. READs are also set
 * in relation to what they are for: a hop, a node that was near enough to be remembered, and a node
 * that was compared in any way (a hop's neighbours, by their codes where rows have those). The
 * beam is the least that has the recall asked for.
 *
 * And what another fabric would give: a model that replays the READs recorded, whose
 * shape doesn't depend on how fast they come. A batch of n READs takes the device n times a READ's
 * own cost, and its bytes take the wire; a round trip passes besides.
 *
 * Without --verbs the segment is in memory of ours, so READs cost a copy. With it they are READs on
 * a link of the first verbs device to itself, whose three parameters are measured before each
 * breadth in each repetition; the model with these put in is set beside the time measured in it.
 */

#include "base/clock.h"
#include "base/defs.h"
#include "base/memory.h"
#include "base/rand.h"
#include "client/files.h"
#include "cluster/reader.h"
#include "hnsw/build.h"
#include "hnsw/layout.h"
#include "perf/lib/paired.h"
#include "rdma/fetch_local.h"
#include "rdma/fetch_verbs.h"
#include "rdma/region.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define K            10
#define READER_BYTES ((size_t)192 << 20)
#define ROUND_MAX    (UINT32_C(1) << 22)
#define IN_FLIGHT    8
#define REPEAT_MAX   PAIRED_REPEAT_MAX
#define EF_TRIED_MAX 512

/* READs of the batch that is measured against a single one, and the bytes of each. */
#define SMALL_READS 64
#define SMALL_BYTES 64
#define MEASURED    20
#define LARGE_BYTES (UINT32_C(1) << 20)

/* Candidates whose rows are asked for ahead. */
static const unsigned breadths[] = {0, 2, 4, 8, 16, 32};

/* What a reader knows when it is asked. */
enum pass { COLD, FIRST, WARM, PASS_COUNT };

static const char *const pass_names[] = {"cold", "first", "warm"};

/* One round trip of a query: what was computed before it, and what was read. */
struct round {
	uint64_t compute_ns;
	uint64_t waited_ns; /* from the posting to the poll that had it */
	uint32_t reads;
	uint32_t bytes;
	bool is_last; /* of its query; nothing is read then */
};

/* A fetch that another does, with a record of it. */
struct recorder {
	struct fetch fetch;
	struct fetch *inner; /* borrowed */
	struct round *rounds;
	uint32_t count;
	uint64_t since_ns; /* when computing began */
	bool on;
};

struct fabric {
	double rtt_ns;  /* of one small READ */
	double read_ns; /* of the device's time, for each READ of a batch */
	double bytes_per_ns;
};

struct run {
	double seconds;
	double recall;
	double rounds, reads, bytes, hops, met; /* a query */
};

/* What one breadth and pass came to. Counts are the same in all repetitions. */
struct cell {
	struct run run;
	double qps[REPEAT_MAX];
	double ratio[REPEAT_MAX]; /* of the model's time to the time measured */
	double model_one, model_many;
};

struct bench {
	struct files base, queries, truth;
	const float *query_rows;
	const int32_t *truth_rows;
	enum metric metric;
	enum build_layout layout;
	uint32_t ef;      /* 0: by recall */
	double recall;    /* that the owner's own search has at least */
	double estimated; /* nodes that a hop compares with, on average */
	uint32_t query_count;
	unsigned repeat;
	struct build_image image;
	struct segment segment;
	struct memory room;
	struct recorder recorder;
	struct rand rand;
	bool json;
	bool verbs;
	struct fabric fabric; /* the last one measured, or what was asked for */
	struct cell cells[ARRAY_COUNT(breadths)][PASS_COUNT];

	/* With verbs: the device, a link of it to itself, and a lease of the image. */
	struct device *device;
	struct link_hub *hub;
	struct link *here, *there;
	struct region *region;
	struct lease_info lease;
	bool granted;
};

static void fail(const char *what)
{
	fprintf(stderr, "bench_one_sided: %s\n", what);
	exit(1);
}

/* --- recording --- */

static int record_post(struct fetch *fetch, const struct fetch_piece *pieces, unsigned count,
		       uint64_t cookie)
{
	struct recorder *recorder = (struct recorder *)fetch;
	uint64_t now_ns = clock_now_ns();
	int result = fetch_post(recorder->inner, pieces, count, cookie);

	fetch->stats = recorder->inner->stats;
	if (result || !recorder->on)
		return result;
	if (recorder->count == ROUND_MAX)
		fail("too many round trips to be recorded");
	recorder->rounds[recorder->count] =
		(struct round){.compute_ns = now_ns - recorder->since_ns, .reads = count};
	for (unsigned i = 0; i < count; i++)
		recorder->rounds[recorder->count].bytes += pieces[i].size;
	recorder->count++;
	recorder->since_ns = now_ns;
	return 0;
}

static unsigned record_poll(struct fetch *fetch, uint64_t now_ns, struct fetch_done *done,
			    unsigned count)
{
	struct recorder *recorder = (struct recorder *)fetch;
	unsigned found = fetch_poll(recorder->inner, now_ns, done, count);

	if (found) {
		uint64_t came_ns = clock_now_ns();

		if (recorder->on)
			recorder->rounds[recorder->count - 1].waited_ns =
				came_ns - recorder->since_ns;
		recorder->since_ns = came_ns;
	}
	return found;
}

static void record_close(struct fetch *fetch)
{
	(void)fetch;
}

static const struct fetch_ops recorder_ops = {
	.post = record_post, .poll = record_poll, .close = record_close};

/* --- the segment and the way to it --- */

static void build(struct bench *bench)
{
	const struct build_options options = {.metric = bench->metric,
					      .layout = bench->layout,
					      .seed = 1,
					      .threads = 2,
					      .generation = 1};
	char error[256];
	const float *rows;
	uint64_t bad_row;

	if (files_floats(&bench->base, &rows, error))
		fail(error);
	if (build_segment(rows, NULL, bench->base.count, bench->base.dim, &options, &bench->image,
			  &bad_row) ||
	    segment_attach(bench->image.bytes, bench->image.size, &bench->segment, error,
			   sizeof(error)))
		fail("building the segment failed");
}

static void changed(void *context, struct link *link)
{
	struct bench *bench = context;

	if (link_state(link) == LINK_ENDED)
		fail(link_error(link));
	if (link_is_accepted(link))
		bench->there = link;
}

static void granted(void *context, const struct lease *lease, int error)
{
	struct bench *bench = context;

	if (error)
		fail("no lease");
	bench->lease = lease_info(lease);
	bench->granted = true;
}

static void turn_until(struct bench *bench, const bool *done)
{
	uint64_t deadline_ns = clock_now_ns() + UINT64_C(10000000000);

	while (!*done && clock_now_ns() < deadline_ns)
		(void)link_hub_turn(bench->hub, clock_now_ns());
	if (!*done)
		fail("the device takes too long");
}

static void open_verbs(struct bench *bench)
{
	const struct device_options any = {.gid_index = -1};
	const struct link_hub_config config = {.node = 1,
					       .link_max = 4,
					       .send_depth = 2 * FETCH_VERBS_DEPTH_MIN,
					       .changed = changed,
					       .context = bench};
	char error[512] = "";
	struct link_options options = {.use = LINK_READS};
	struct addr at = {{0}, 0};
	bool ready = false;

	if (device_open(real_verbs_ops(), &any, &bench->device, error, sizeof(error)) ||
	    link_hub_new(bench->device, &config, &bench->hub, error, sizeof(error)))
		fail(error);
	memcpy(at.ip, device_info(bench->device)->gid, sizeof(at.ip));
	options.deadline_ns = clock_now_ns() + UINT64_C(5000000000);
	if (link_listen(bench->hub, &at, &options.to, error, sizeof(error)) ||
	    link_connect(bench->hub, &options, clock_now_ns(), &bench->here, error, sizeof(error)))
		fail(error);
	for (uint64_t end = clock_now_ns() + UINT64_C(8000000000);
	     !ready && clock_now_ns() < end;) {
		(void)link_hub_turn(bench->hub, clock_now_ns());
		ready = bench->there && link_state(bench->here) == LINK_READY;
	}
	if (!ready)
		fail("the device doesn't connect to itself");
	if (region_register(bench->device, bench->image.bytes, bench->image.size, &bench->region,
			    error, sizeof(error)))
		fail(error);
	if (region_grant(bench->region, bench->there, 0, bench->image.size, REGION_LEASE_MS_MAX,
			 clock_now_ns(), granted, bench))
		fail("the lease was refused");
	turn_until(bench, &bench->granted);
}

static struct fetch *open_fetch(struct bench *bench)
{
	struct fetch *fetch;

	if (bench->verbs) {
		const struct fetch_verbs_options options = {
			.link = bench->here,
			.remote_addr = bench->lease.remote_addr,
			.size = bench->lease.size,
			.rkey = bench->lease.rkey,
			.depth = FETCH_VERBS_DEPTH_MIN,
			.memory = bench->room.start,
			.memory_size = bench->room.size,
		};

		if (fetch_verbs_open(&options, &fetch))
			fail("no fetch by verbs; is RLIMIT_MEMLOCK large enough?");
	} else {
		const struct fetch_local_options options = {
			.start = bench->image.bytes,
			.size = bench->image.size,
			.memory = bench->room.start,
			.memory_size = bench->room.size,
		};

		if (fetch_local_open(&options, &fetch))
			fail("no fetch");
	}
	return fetch;
}

static void turn(struct bench *bench, struct reader *reader)
{
	if (bench->hub)
		(void)link_hub_turn(bench->hub, clock_now_ns());
	(void)reader_turn(reader, clock_now_ns());
	if (reader_state(reader) == READER_FAILED)
		fail(reader_error(reader));
}

static struct reader *open_reader(struct bench *bench, struct fetch *fetch, unsigned breadth,
				  unsigned in_flight)
{
	const struct reader_config config = {
		.in_flight = in_flight,
		.ef_max = MAX(bench->ef, K),
		.k_max = K,
		.breadth = breadth,
		.generation = bench->segment.generation,
		.header_crc = load_le32((const uint8_t *)bench->image.bytes + LAYOUT_AT_HEADER_CRC),
	};
	struct reader *reader;

	if (reader_new(fetch, bench->room.start, bench->room.size, &config, &reader))
		fail("no reader");
	while (reader_state(reader) == READER_OPENING)
		turn(bench, reader);
	return reader;
}

/* --- asking --- */

static uint32_t right_of(const struct bench *bench, uint64_t query, const struct search_hit *hits,
			 uint32_t count)
{
	const int32_t *truth = bench->truth_rows + query * bench->truth.dim;
	uint32_t right = 0;

	for (uint32_t i = 0; i < count; i++)
		for (uint32_t j = 0; j < K; j++)
			right += (int32_t)hits[i].label == truth[j];
	return right;
}

/* Asks all queries, 'in_flight' at a time; 'forgets' before each of them. */
static struct run ask(struct bench *bench, struct reader *reader, unsigned in_flight, bool forgets)
{
	const uint64_t met = reader_stats(reader).met;
	struct recorder *recorder = &bench->recorder;
	const struct fetch_stats before = recorder->fetch.stats;
	struct run run = {0};
	uint64_t start_ns = clock_now_ns(), right = 0;
	uint32_t asked = 0, answered = 0;

	recorder->since_ns = start_ns;
	while (answered < bench->query_count) {
		struct reader_answer answers[READER_IN_FLIGHT_MAX];
		unsigned count;

		while (asked < bench->query_count && asked - answered < in_flight) {
			const float *query = bench->query_rows + (size_t)asked * bench->queries.dim;

			if (forgets)
				reader_forget(reader);
			if (reader_ask(reader, query, K, bench->ef, asked))
				fail("a question was refused");
			asked++;
		}
		turn(bench, reader);
		count = reader_take(reader, answers, READER_IN_FLIGHT_MAX);
		for (unsigned i = 0; i < count; i++) {
			right += right_of(bench, answers[i].tag, answers[i].hits,
					  answers[i].hit_count);
			run.rounds += answers[i].rounds;
			run.hops += answers[i].hops;
		}
		answered += count;
		if (count && recorder->on) {
			uint64_t now_ns = clock_now_ns();

			if (recorder->count == ROUND_MAX)
				fail("too many round trips to be recorded");
			recorder->rounds[recorder->count++] = (struct round){
				.compute_ns = now_ns - recorder->since_ns, .is_last = true};
			recorder->since_ns = now_ns;
		}
	}
	run.seconds = (double)(clock_now_ns() - start_ns) / 1e9;
	run.recall = (double)right / ((double)bench->query_count * K);
	run.rounds /= bench->query_count;
	run.hops /= bench->query_count;
	run.met = (double)(reader_stats(reader).met - met) / bench->query_count;
	run.reads = (double)(recorder->fetch.stats.reads - before.reads) / bench->query_count;
	run.bytes = (double)(recorder->fetch.stats.bytes - before.bytes) / bench->query_count;
	return run;
}

/* --- the model --- */

/*
 * Replays the recorded rounds with 'in_flight' queries at a time on one core: computing is one at a
 * time, READs and bytes go through the device one after the other, and a round trip passes by
 * itself. A query's events are in order, so it is enough to take the query whose next event is the
 * earliest. What a single small READ costs the device is part of the round trip as measured.
 * Returns queries a second.
 */
static double replay(const struct recorder *recorder, const struct fabric *fabric,
		     unsigned in_flight)
{
	double ready[READER_IN_FLIGHT_MAX] = {0}, core = 0, wire = 0, end = 0;
	uint32_t at[READER_IN_FLIGHT_MAX], next = 0;
	unsigned running = 0, queries = 0;

	while (true) {
		unsigned first = 0;
		const struct round *round;

		/* A query that begins takes the rounds up to its last one. */
		while (running < in_flight && next < recorder->count) {
			at[running] = next;
			ready[running++] = core;
			while (!recorder->rounds[next++].is_last)
				;
		}
		if (running == 0)
			return queries / (end / 1e9);
		for (unsigned i = 1; i < running; i++)
			if (ready[i] < ready[first])
				first = i;
		round = &recorder->rounds[at[first]];
		core = MAX(core, ready[first]) + (double)round->compute_ns;
		if (round->is_last) {
			queries++;
			end = core;
			running--;
			at[first] = at[running];
			ready[first] = ready[running];
			continue;
		}
		wire = MAX(wire, core) + round->reads * fabric->read_ns +
		       round->bytes / fabric->bytes_per_ns;
		ready[first] = wire + MAX(fabric->rtt_ns - fabric->read_ns, 0);
		at[first]++;
	}
}

static double model_round(const struct round *round, const struct fabric *fabric)
{
	if (round->is_last)
		return 0;
	return MAX(fabric->rtt_ns - fabric->read_ns, 0) + round->reads * fabric->read_ns +
	       round->bytes / fabric->bytes_per_ns;
}

/*
 * Of queries asked one at a time: what the model says of one, over what it took. The median
 * query's, since both ends' processor has other work now and then, for longer than a query takes.
 */
static double compare(const struct recorder *recorder, const struct fabric *fabric)
{
	static double ratios[ROUND_MAX];
	double model = 0, measured = 0;
	unsigned queries = 0;

	for (uint32_t i = 0; i < recorder->count; i++) {
		const struct round *round = &recorder->rounds[i];

		model += (double)round->compute_ns + model_round(round, fabric);
		measured += (double)(round->compute_ns + round->waited_ns);
		if (!round->is_last)
			continue;
		ratios[queries++] = model / measured;
		model = measured = 0;
	}
	return paired_quantile(ratios, queries, 0.5);
}

/* A place for 'size' bytes in 'room' bytes. */
static uint64_t somewhere(struct bench *bench, uint64_t room, uint32_t size)
{
	return rand_below(&bench->rand, (room - size) / 64 + 1) * 64;
}

/*
 * Nanoseconds of one batch of 'count' READs of 'size' bytes each. As a search's they are scattered,
 * here and there: caches of addresses count, most of all those of an emulated processor.
 */
static double time_batch(struct bench *bench, struct fetch *fetch, unsigned count, uint32_t size)
{
	struct fetch_piece pieces[SMALL_READS];
	struct fetch_done done;
	uint64_t start_ns;

	for (unsigned i = 0; i < count; i++)
		pieces[i] = (struct fetch_piece){somewhere(bench, fetch->size, size), size,
						 (uint8_t *)bench->room.start +
							 somewhere(bench, fetch->size, size)};
	start_ns = clock_now_ns();
	if (fetch_post(fetch, pieces, count, 0))
		fail("a READ was refused");
	do
		(void)link_hub_turn(bench->hub, clock_now_ns());
	while (fetch_poll(fetch, clock_now_ns(), &done, 1) == 0);
	if (done.error)
		fail("a READ failed");
	return (double)(clock_now_ns() - start_ns);
}

/* Of a verbs device: single small READs, batches of them, and large ones, by turns. */
static struct fabric measure(struct bench *bench)
{
	struct fetch *fetch = open_fetch(bench);
	const uint32_t large = (uint32_t)MIN(fetch->size, LARGE_BYTES);
	double one[MEASURED], many[MEASURED], whole[5], whole_ns;
	struct fabric fabric;

	if (fetch->size > bench->room.size)
		fail("the segment is larger than the reader's memory");
	for (unsigned i = 0; i < MEASURED; i++) {
		one[i] = time_batch(bench, fetch, 1, SMALL_BYTES);
		many[i] = time_batch(bench, fetch, SMALL_READS, SMALL_BYTES);
		if (i < ARRAY_COUNT(whole))
			whole[i] = time_batch(bench, fetch, 1, large);
	}
	fetch_close(fetch);
	whole_ns = paired_quantile(whole, ARRAY_COUNT(whole), 0.5);
	fabric.rtt_ns = paired_quantile(one, MEASURED, 0.5);
	fabric.read_ns = (paired_quantile(many, MEASURED, 0.5) - fabric.rtt_ns) / (SMALL_READS - 1);
	fabric.bytes_per_ns = large / (whole_ns - fabric.rtt_ns);
	return fabric;
}

/* --- the report --- */

static void print_json(struct bench *bench, unsigned breadth, const char *reader, struct cell *cell)
{
	const struct run *run = &cell->run;

	printf("{\"event\":\"one_sided\",\"layout\":\"%s\",\"breadth\":%u,\"reader\":\"%s\","
	       "\"ef\":%u,\"recall\":%.4f,\"rounds\":%.2f,\"reads\":%.2f,\"bytes\":%.0f,"
	       "\"hops\":%.2f,\"met\":%.2f,\"reads_per_hop\":%.3f,\"reads_per_met\":%.3f,"
	       "\"reads_per_estimated\":%.4f,\"repeat\":%u,\"qps\":%.1f,\"model_rtt_us\":%.2f,"
	       "\"model_read_ns\":%.0f,\"model_gbit\":%.2f,\"model_qps_1\":%.0f,"
	       "\"model_qps_%d\":%.0f",
	       bench->layout == BUILD_LAYOUT_EDGES ? "edges" : "plain", breadth, reader, bench->ef,
	       run->recall, run->rounds, run->reads, run->bytes, run->hops, run->met,
	       run->reads / run->hops, run->reads / run->met,
	       run->reads / (run->hops * bench->estimated), bench->repeat,
	       paired_quantile(cell->qps, bench->repeat, 0.5), bench->fabric.rtt_ns / 1e3,
	       bench->fabric.read_ns, bench->fabric.bytes_per_ns * 8, cell->model_one, IN_FLIGHT,
	       cell->model_many);
	if (bench->verbs)
		printf(",\"model_over_measured\":%.3f,\"model_over_measured_p10\":%.3f,"
		       "\"model_over_measured_p90\":%.3f",
		       paired_quantile(cell->ratio, bench->repeat, 0.5),
		       paired_quantile(cell->ratio, bench->repeat, 0.1),
		       paired_quantile(cell->ratio, bench->repeat, 0.9));
	printf("}\n");
}

static void print_text(struct bench *bench, unsigned breadth, const char *reader, struct cell *cell)
{
	const struct run *run = &cell->run;

	printf("%7u  %-6s  %.4f %7.1f %7.1f %8.1f %6.1f %7.1f %7.2f %7.2f %8.3f %8.0f %8.0f %8.0f",
	       breadth, reader, run->recall, run->rounds, run->reads, run->bytes / 1024, run->hops,
	       run->met, run->reads / run->hops, run->reads / run->met,
	       run->reads / (run->hops * bench->estimated),
	       paired_quantile(cell->qps, bench->repeat, 0.5), cell->model_one, cell->model_many);
	if (bench->verbs)
		printf("  %5.2f (%.2f to %.2f)", paired_quantile(cell->ratio, bench->repeat, 0.5),
		       paired_quantile(cell->ratio, bench->repeat, 0.1),
		       paired_quantile(cell->ratio, bench->repeat, 0.9));
	printf("\n");
}

static void print_all(struct bench *bench)
{
	if (!bench->json)
		printf("ef %u, %.1f nodes estimated a hop; model: round trip %.2f us, %.0f ns a "
		       "READ, %.1f Gbit/s\n\n"
		       "breadth  reader  recall  rounds   READs      KiB   hops     met   R/hop   "
		       "R/met    R/est      QPS  model 1  model %d%s\n",
		       bench->ef, bench->estimated, bench->fabric.rtt_ns / 1e3,
		       bench->fabric.read_ns, bench->fabric.bytes_per_ns * 8, IN_FLIGHT,
		       bench->verbs ? "  model's time / measured" : "");
	for (unsigned i = 0; i < ARRAY_COUNT(breadths); i++)
		for (unsigned pass = 0; pass < PASS_COUNT; pass++)
			(bench->json ? print_json : print_text)(
				bench, breadths[i], pass_names[pass], &bench->cells[i][pass]);
}

/* --- the runs --- */

/* An empty reader for the first pass; for the second it has what it kept of the first. */
static void run_breadth(struct bench *bench, unsigned index, unsigned repetition)
{
	struct recorder *recorder = &bench->recorder;
	struct reader *reader;
	struct fetch *inner;

	if (bench->verbs)
		bench->fabric = measure(bench);
	inner = open_fetch(bench);
	recorder->inner = inner;
	recorder->on = false;
	recorder->fetch = (struct fetch){.ops = &recorder_ops,
					 .kind = inner->kind,
					 .size = inner->size,
					 .memory = inner->memory,
					 .memory_size = inner->memory_size,
					 .expires_ns = UINT64_MAX};
	reader = open_reader(bench, &recorder->fetch, breadths[index], 1);
	for (unsigned pass = 0; pass < PASS_COUNT; pass++) {
		struct cell *cell = &bench->cells[index][pass];

		recorder->count = 0;
		recorder->on = true;
		cell->run = ask(bench, reader, 1, /* forgets= */ pass == COLD);
		recorder->on = false;
		cell->model_one = replay(recorder, &bench->fabric, 1);
		cell->model_many = replay(recorder, &bench->fabric, IN_FLIGHT);
		cell->qps[repetition] = bench->query_count / cell->run.seconds;
		cell->ratio[repetition] = compare(recorder, &bench->fabric);
	}
	fetch_close(inner);
	reader_free(reader);
}

static void run_all(struct bench *bench)
{
	for (unsigned repetition = 0; repetition < bench->repeat; repetition++)
		for (unsigned i = 0; i < ARRAY_COUNT(breadths); i++)
			run_breadth(bench, i, repetition);
	print_all(bench);
}

/* Nodes that a hop compares with: links of a row, on average. */
static double mean_degree(const struct segment *segment)
{
	uint64_t links = 0;

	for (uint32_t node = 0; node < segment->count; node++)
		links += layout_degree(layout_row(segment, node), 2 * segment->m);
	return (double)links / segment->count;
}

/* The owner's own search with one beam, on this core. */
static struct run search_here(const struct bench *bench, struct search *search, uint32_t ef)
{
	const struct search_params params = {.k = K, .ef = ef};
	uint64_t start_ns = clock_now_ns(), right = 0;
	struct run run = {0};

	for (uint32_t i = 0; i < bench->query_count; i++) {
		struct search_hit hits[K];
		uint32_t count;

		search_begin(search, &bench->segment,
			     bench->query_rows + (size_t)i * bench->queries.dim, &params);
		while (!search_step(search))
			;
		count = search_hits(search, hits, K);
		right += right_of(bench, i, hits, count);
		run.hops += (double)search_stats(search).hops;
		run.met += (double)search_stats(search).met;
	}
	run.seconds = (double)(clock_now_ns() - start_ns) / 1e9;
	run.recall = (double)right / ((double)bench->query_count * K);
	run.hops /= bench->query_count;
	run.met /= bench->query_count;
	return run;
}

/* Chooses the beam, and says what the owner itself does with it. */
static void run_local(struct bench *bench)
{
	const struct search_limits limits = {.node_max = bench->segment.count,
					     .dim_max = bench->segment.dim,
					     .ef_max = SEARCH_EF_MAX};
	bool is_chosen = bench->ef > 0;
	struct search *search;
	struct run run;

	if (search_new(&limits, &search))
		fail("no memory");
	if (!is_chosen)
		bench->ef = K;
	while (true) {
		run = search_here(bench, search, bench->ef);
		if (is_chosen || run.recall >= bench->recall)
			break;
		if (++bench->ef > EF_TRIED_MAX)
			fail("no beam up to 512 has that recall");
	}
	search_free(search);
	printf(bench->json ? "{\"event\":\"owner\",\"ef\":%u,\"recall\":%.4f,\"qps\":%.0f,"
			     "\"hops\":%.1f,\"met\":%.1f}\n"
			   : "the owner's own search: ef %u, recall %.4f, %.0f queries/s, %.1f "
			     "hops and %.1f nodes met a query\n",
	       bench->ef, run.recall, bench->query_count / run.seconds, run.hops, run.met);
}

static void open_files(struct bench *bench, char **names)
{
	char error[512];

	if (files_open(names[0], "", &bench->base, error) ||
	    files_open(names[1], "", &bench->queries, error) ||
	    files_floats(&bench->queries, &bench->query_rows, error) ||
	    files_open(names[2], "", &bench->truth, error) ||
	    files_ints(&bench->truth, &bench->truth_rows, error))
		fail(error);
	if (metric_parse(names[3], &bench->metric))
		fail("the metric is l2, ip or cosine");
	if (bench->truth.count < bench->queries.count || bench->truth.dim < K ||
	    bench->queries.dim != bench->base.dim)
		fail("the files don't belong together");
	bench->query_count = MIN(bench->query_count, bench->queries.count);
}

/* A whole number of at least 1. */
static uint32_t number(const char *text)
{
	char *end;
	unsigned long long value = strtoull(text, &end, 10);

	if (*end || value < 1 || value > UINT32_MAX)
		fail("a number is wrong");
	return (uint32_t)value;
}

static double decimal(const char *text)
{
	char *end;
	double value = strtod(text, &end);

	if (*end)
		fail("a number is wrong");
	return value;
}

static void usage(void)
{
	fprintf(stderr, "usage: bench_one_sided [--json] [--verbs] [--layout plain|edges] "
			"[--recall R | --ef N]\n                       [--queries N] [--repeat N] "
			"[--rtt US] [--gbit N] [--read-ns N]\n                       BASE QUERIES "
			"TRUTH l2|ip|cosine\n");
	exit(2);
}

static void take_option(struct bench *bench, int option)
{
	switch (option) {
	case 'j':
		bench->json = true;
		break;
	case 'v':
		bench->verbs = true;
		break;
	case 'l':
		if (strcmp(optarg, "plain") == 0)
			bench->layout = BUILD_LAYOUT_PLAIN;
		else if (strcmp(optarg, "edges") != 0)
			usage();
		break;
	case 'c':
		bench->recall = decimal(optarg);
		break;
	case 'e':
		bench->ef = number(optarg);
		break;
	case 'q':
		bench->query_count = number(optarg);
		break;
	case 'n':
		bench->repeat = number(optarg);
		break;
	case 'r':
		bench->fabric.rtt_ns = decimal(optarg) * 1e3;
		break;
	case 'g':
		bench->fabric.bytes_per_ns = decimal(optarg) / 8;
		break;
	case 'd':
		bench->fabric.read_ns = decimal(optarg);
		break;
	default:
		usage();
	}
}

/*
 * The fabric that is asked about unless options say otherwise: a round trip of 2 us and 100 Gbit/s;
 * 50 ns a READ are 20 million a second, about what one queue pair of a current card does.
 */
static const struct fabric usual_fabric = {.rtt_ns = 2000, .read_ns = 50, .bytes_per_ns = 12.5};

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'},
		{"verbs", no_argument, NULL, 'v'},
		{"layout", required_argument, NULL, 'l'},
		{"recall", required_argument, NULL, 'c'},
		{"ef", required_argument, NULL, 'e'},
		{"queries", required_argument, NULL, 'q'},
		{"repeat", required_argument, NULL, 'n'},
		{"rtt", required_argument, NULL, 'r'},
		{"gbit", required_argument, NULL, 'g'},
		{"read-ns", required_argument, NULL, 'd'},
		{0},
	};
	static struct bench bench = {
		.layout = BUILD_LAYOUT_EDGES, .recall = 0.95, .query_count = 1000, .repeat = 1};
	const struct memory_options room = {
		.name = "reader", .size = READER_BYTES, .huge = true, .numa_node = -1};
	int option;

	bench.fabric = usual_fabric;
	rand_init(&bench.rand, 1);
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		take_option(&bench, option);
	if (argc - optind != 4 || bench.ef > SEARCH_EF_MAX || bench.repeat > REPEAT_MAX ||
	    bench.fabric.rtt_ns < 0 || bench.fabric.read_ns < 0 || bench.fabric.bytes_per_ns <= 0)
		usage();
	open_files(&bench, argv + optind);
	bench.recorder.rounds = malloc(ROUND_MAX * sizeof(bench.recorder.rounds[0]));
	if (!bench.recorder.rounds || memory_init(&room, &bench.room))
		fail("no memory");
	build(&bench);
	bench.estimated = mean_degree(&bench.segment);
	run_local(&bench);
	if (bench.verbs)
		open_verbs(&bench);
	run_all(&bench);
	return 0;
}

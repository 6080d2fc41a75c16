/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/tune.h"

#include "base/check.h"
#include "base/rand.h"
#include "hnsw/beam.h"
#include "hnsw/layout.h"
#include "hnsw/rows_batch.h"
#include "hnsw/search.h"

#include <assert.h>
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Recall at 10 is tuned; one more, since a row finds itself. */
#define TUNE_K 11

/* A sample of 256 tells recall to within 0.5%; large segments get fewer, as truth costs count each.
 */
#define TUNE_QUERIES_MAX   256
#define TUNE_QUERIES_MIN   32
#define TUNE_DISTANCES_MAX UINT64_C(50000000)

/* The ef of a segment that has nothing to be tuned on, and the first that is tried. */
#define TUNE_EF_MIN 16

/* Queries, and vectors compared with them, at a time: 32 vectors of 3 KB stay in L2. */
#define TUNE_GROUP 32
#define TUNE_BLOCK 32
static_assert(TUNE_GROUP <= DIST_BATCH_QUERIES && TUNE_BLOCK <= ROWS_BATCH_ROWS, "one batch");

/* Neighbours of each sampled row whose compact distance is compared with the true one. */
#define TUNE_ERRORS 32

/* The share of errors, of TUNE_ERROR_PARTS, that the segment's row error is to cover. */
#define TUNE_ERROR_SHARE 99
#define TUNE_ERROR_PARTS 100

/* Rows whose neighbourhoods are compared in both orders: 320 neighbours tell 1 in 40. */
#define TUNE_ORDER_QUERIES 32
#define TUNE_ORDER_GROUP   16 /* at a time, as TUNE_GROUP */

/* The share of true neighbours that compact rows have to bring near. Sets they suit have all. */
#define TUNE_ORDER_SHARE 0.975

struct tune {
	const struct segment *segment;
	struct rows exact; /* the vectors themselves */
	struct rows_form exact_form;
	struct search **searches; /* one a worker */
	uint8_t *packed;          /* the same: room for a batch of queries */
	uint32_t k;
	uint32_t ef;
	uint32_t query_count;
	uint32_t nodes[TUNE_QUERIES_MAX];
	float limits[TUNE_QUERIES_MAX]; /* the k-th true distance */
	uint32_t found[TUNE_QUERIES_MAX];
	float errors[TUNE_QUERIES_MAX * TUNE_ERRORS]; /* TUNE_ERRORS each */
	struct search_stats stats[TUNE_QUERIES_MAX];
};

/* A query is normalised once more than the row it comes from. */
static float with_rounding(float distance)
{
	return distance + 1e-6F * (1 + fabsf(distance));
}

/* A node as a query among 'rows'. */
static struct rows_query query_of(const struct rows_form *form, const struct rows *rows,
				  uint32_t node)
{
	struct rows_query query;

	rows_query_row(form, rows_at(rows, node), rows_factors_at(rows, node), &query);
	return query;
}

/*
 * How far compact distances to the nearest are from the true ones, in beam->keys. Of vectors near
 * the end of f32's range both are infinite, which counts as the largest error, not as a NaN.
 */
static void note_errors(struct tune *tune, uint32_t item, const struct beam *beam)
{
	const struct segment *segment = tune->segment;
	struct rows_query query = query_of(&segment->form, &segment->compared, tune->nodes[item]);

	for (uint32_t i = 0; i < TUNE_ERRORS; i++) {
		uint64_t key = beam->keys[MIN(i, beam->count - 1)];
		float distance = rows_distance(&query, &segment->compared, beam_key_node(key));
		float error = fabsf(distance - beam_key_distance(key));

		tune->errors[(size_t)item * TUNE_ERRORS + i] = error <= FLT_MAX ? error : FLT_MAX;
	}
}

static void keep(struct beam *beam, float distance, uint32_t node)
{
	uint64_t key = beam_key(distance, node);

	if (beam_wants(beam, key))
		beam_insert(beam, key);
}

/* Compares 'count' nodes with one query and keeps the nearest. */
static void compare_block(const struct rows_query *query, const struct rows *rows,
			  const uint32_t *nodes, uint32_t count, struct beam *beam)
{
	float distances[TUNE_BLOCK];

	rows_distances(query, rows, nodes, count, distances);
	for (uint32_t i = 0; i < count; i++)
		keep(beam, distances[i], nodes[i]);
}

/* Some queries, and all rows that they are compared with. */
struct nearest {
	const struct rows_form *form;
	const struct rows *rows;
	uint32_t row_count;
	const struct rows_query *queries;
	uint32_t query_count;
	uint8_t *packed; /* room for a batch */
};

static void nearest_by_batch(const struct nearest *among, struct beam *beams)
{
	float distances[TUNE_BLOCK * DIST_BATCH_QUERIES];
	struct rows_batch batch;

	rows_batch_init(&batch, among->form, among->rows, among->queries, among->query_count,
			among->packed);
	for (uint32_t node = 0; node < among->row_count; node += TUNE_BLOCK) {
		uint32_t length = MIN(TUNE_BLOCK, among->row_count - node);

		rows_batch_distances(&batch, among->rows, node, length, distances);
		for (uint32_t i = 0; i < length; i++)
			for (uint32_t j = 0; j < among->query_count; j++)
				keep(&beams[j], distances[i * DIST_BATCH_QUERIES + j], node + i);
	}
}

/*
 * The nearest of all rows to up to TUNE_GROUP of them, as many as each beam holds. Some
 * queries at a time, so that a vector is fetched once for all of them.
 */
static void nearest(const struct nearest *among, struct beam *beams)
{
	uint32_t nodes[TUNE_BLOCK];

	if (rows_batch_can(among->form)) {
		nearest_by_batch(among, beams);
		return;
	}
	for (uint32_t node = 0; node < among->row_count; node += TUNE_BLOCK) {
		uint32_t length = MIN(TUNE_BLOCK, among->row_count - node);

		for (uint32_t i = 0; i < length; i++)
			nodes[i] = node + i;
		for (uint32_t i = 0; i < among->query_count; i++)
			compare_block(&among->queries[i], among->rows, nodes, length, &beams[i]);
	}
}

/* Room for a batch of rows of bytes. */
static size_t packed_size(uint32_t dim)
{
	return dist_batch_size(dist_row_size(VECTOR_I8, dim));
}

static uint8_t *packed_new(uint32_t dim, uint32_t workers)
{
	return aligned_alloc(DIST_ALIGN, workers * packed_size(dim));
}

static void truth_item(void *context, uint32_t worker, uint32_t item)
{
	struct tune *tune = context;
	const uint32_t first = item * TUNE_GROUP;
	const uint32_t end = MIN(first + TUNE_GROUP, tune->query_count);
	uint64_t keys[TUNE_GROUP][TUNE_ERRORS];
	struct rows_query queries[TUNE_GROUP] = {{0}};
	struct beam beams[TUNE_GROUP] = {{0}};
	const struct nearest among = {
		.form = &tune->exact_form,
		.rows = &tune->exact,
		.row_count = tune->segment->count,
		.queries = queries,
		.query_count = end - first,
		.packed = tune->packed + worker * packed_size(tune->segment->dim),
	};

	for (uint32_t i = first; i < end; i++) {
		queries[i - first] = query_of(&tune->exact_form, &tune->exact, tune->nodes[i]);
		beams[i - first] = (struct beam){.keys = keys[i - first]};
		beam_reset(&beams[i - first], TUNE_ERRORS);
	}
	CHECK(first < end);
	nearest(&among, beams);
	for (uint32_t i = first; i < end; i++) {
		const struct beam *beam = &beams[i - first];

		CHECK(tune->k > 0 && beam->count > 0);
		tune->limits[i] =
			with_rounding(beam_key_distance(beam->keys[MIN(tune->k, beam->count) - 1]));
		if (tune->segment->form.compact)
			note_errors(tune, i, beam);
	}
}

static bool has_twin(const struct segment *segment, uint32_t node)
{
	return segment->twins && segment->twins[node] != LAYOUT_NONE;
}

/*
 * A row's own links lead to its neighbours, which no query has: so it is passed over, unless
 * others hang on it.
 */
static void search_item(void *context, uint32_t worker, uint32_t item)
{
	struct tune *tune = context;
	const struct search_params params = {.k = tune->k, .ef = tune->ef};
	struct search *search = tune->searches[worker];
	struct search_hit hits[TUNE_K];
	float query[SEGMENT_DIM_MAX];
	bool alone = !has_twin(tune->segment, tune->nodes[item]);
	unsigned count;

	segment_vector(tune->segment, tune->nodes[item], query);
	search_begin(search, tune->segment, query, &params);
	if (alone)
		search_pass_over(search, tune->nodes[item]);
	search_burst(&search, 1);
	count = search_hits(search, hits, tune->k);
	tune->stats[item] = search_stats(search);
	tune->found[item] = alone; /* the row itself is known */
	for (unsigned i = 0; i < count; i++)
		tune->found[item] += hits[i].distance <= tune->limits[item];
}

/* The row itself is always found and proves nothing: it counts on neither side. */
static double recall(const struct tune *tune)
{
	double found = 0;

	for (uint32_t i = 0; i < tune->query_count; i++)
		found += tune->found[i] > 0 ? MIN(tune->found[i], tune->k) - 1 : 0;
	return found / ((double)tune->query_count * (tune->k - 1));
}

static void note_costs(const struct tune *tune, struct tune_result *result)
{
	for (uint32_t i = 0; i < tune->query_count; i++) {
		result->hops += (double)tune->stats[i].hops / tune->query_count;
		result->distances += (double)tune->stats[i].distances / tune->query_count;
	}
}

/* Writes the ef to those of 'count' recalls that 'found' reaches and that have none yet. */
static bool take_ef(uint32_t ef, double found, const float *recalls, uint32_t count, uint32_t *efs)
{
	bool all = true;

	for (uint32_t i = 0; i < count; i++) {
		if (!efs[i] && found >= (double)recalls[i])
			efs[i] = ef;
		all = all && efs[i];
	}
	return all;
}

/* What is not reached gets the largest. Later recalls are greater, and take no less. */
static void sweep(struct tune *tune, float recall_target, struct workers *workers,
		  struct tune_result *result)
{
	static const uint32_t efs[] = {TUNE_EF_MIN, 20,  24,  32,  40,  48,  64,  80,         96,
				       128,         160, 192, 256, 384, 512, 768, TUNE_EF_MAX};
	bool done = false;

	result->ef = 0;
	memset(result->ef_tuned, 0, sizeof(result->ef_tuned));
	for (size_t i = 0; i < ARRAY_COUNT(efs) && !done; i++) {
		double found;

		tune->ef = efs[i];
		workers_run(workers, tune->query_count, search_item, tune);
		found = i + 1 < ARRAY_COUNT(efs) ? recall(tune) : 1;
		if (!result->ef && take_ef(efs[i], found, &recall_target, 1, &result->ef))
			note_costs(tune, result);
		done = take_ef(efs[i], found, segment_recalls, SEGMENT_RECALL_COUNT,
			       result->ef_tuned) &&
		       result->ef;
	}
}

static void sample(struct tune *tune, uint64_t seed)
{
	uint64_t affordable = TUNE_DISTANCES_MAX / tune->segment->count;
	struct rand rand;

	tune->query_count =
		(uint32_t)MAX(MIN(affordable, TUNE_QUERIES_MAX), (uint64_t)TUNE_QUERIES_MIN);
	rand_init(&rand, seed + 1);
	for (uint32_t i = 0; i < tune->query_count; i++)
		tune->nodes[i] = (uint32_t)rand_below(&rand, tune->segment->count);
}

static struct search_limits limits_of(uint32_t count, uint32_t dim)
{
	return (struct search_limits){.node_max = count, .dim_max = dim, .ef_max = TUNE_EF_MAX};
}

uint64_t tune_memory(uint32_t count, uint32_t dim, uint32_t threads)
{
	const struct search_limits limits = limits_of(count, dim);

	return sizeof(struct tune) +
	       threads * (sizeof(struct search *) + search_memory(&limits) + packed_size(dim));
}

/* Sampled rows and how many of their true neighbours compact rows bring near. */
struct order {
	const struct segment *segment;
	struct rows exact;
	struct rows_form exact_form;
	uint8_t *packed; /* room for a batch of queries, one a worker */
	uint32_t nodes[TUNE_ORDER_QUERIES];
	uint32_t found[TUNE_ORDER_QUERIES];
};

/* How many of the k nearest are in the beam? */
static uint32_t count_found(const struct order *order, const struct rows_query *exact, float limit,
			    const struct beam *beam)
{
	uint32_t found = 0;

	for (uint32_t i = 0; i < beam->count; i++) {
		uint32_t node = beam_key_node(beam->keys[i]);
		uint64_t key = beam_key(rows_distance(exact, &order->exact, node), node);

		found += beam_key_distance(key) <= limit;
	}
	return MIN(found, TUNE_K);
}

static void order_item(void *context, uint32_t worker, uint32_t item)
{
	struct order *order = context;
	const struct segment *segment = order->segment;
	const uint32_t *nodes = order->nodes + item * TUNE_ORDER_GROUP;
	uint64_t exact_keys[TUNE_ORDER_GROUP][TUNE_K],
		compact_keys[TUNE_ORDER_GROUP][TUNE_ORDER_NEAR];
	struct rows_query exact[TUNE_ORDER_GROUP], compact[TUNE_ORDER_GROUP];
	struct beam truth[TUNE_ORDER_GROUP], beams[TUNE_ORDER_GROUP];
	const struct nearest among_exact = {
		.form = &order->exact_form,
		.rows = &order->exact,
		.row_count = segment->count,
		.queries = exact,
		.query_count = TUNE_ORDER_GROUP,
		.packed = order->packed + worker * packed_size(segment->dim),
	};
	struct nearest among_compact = among_exact;

	among_compact.form = &segment->form;
	among_compact.rows = &segment->compared;
	among_compact.queries = compact;
	for (uint32_t i = 0; i < TUNE_ORDER_GROUP; i++) {
		exact[i] = query_of(&order->exact_form, &order->exact, nodes[i]);
		compact[i] = query_of(&segment->form, &segment->compared, nodes[i]);
		truth[i].keys = exact_keys[i];
		beams[i].keys = compact_keys[i];
		beam_reset(&truth[i], TUNE_K);
		beam_reset(&beams[i], TUNE_ORDER_NEAR);
	}
	nearest(&among_exact, truth);
	nearest(&among_compact, beams);
	for (uint32_t i = 0; i < TUNE_ORDER_GROUP; i++)
		order->found[item * TUNE_ORDER_GROUP + i] = count_found(
			order, &exact[i], beam_key_distance(truth[i].keys[TUNE_K - 1]), &beams[i]);
}

int tune_order(const struct segment *segment, uint64_t seed, struct workers *workers,
	       bool *ret_kept)
{
	struct order *order;
	uint32_t found = 0;
	struct rand rand;

	*ret_kept = true;
	if (segment->count <= TUNE_ORDER_NEAR)
		return 0;
	order = calloc(1, sizeof(*order));
	if (!order)
		return -ENOMEM;
	order->packed = packed_new(segment->dim, workers_count(workers));
	if (!order->packed) {
		free(order);
		return -ENOMEM;
	}
	order->segment = segment;
	segment_exact(segment, &order->exact_form, &order->exact);
	rand_init(&rand, seed + 2);
	for (uint32_t i = 0; i < TUNE_ORDER_QUERIES; i++)
		order->nodes[i] = (uint32_t)rand_below(&rand, segment->count);
	workers_run(workers, TUNE_ORDER_QUERIES / TUNE_ORDER_GROUP, order_item, order);
	for (uint32_t i = 0; i < TUNE_ORDER_QUERIES; i++)
		found += order->found[i];
	*ret_kept = found >= TUNE_ORDER_SHARE * (TUNE_ORDER_QUERIES * TUNE_K);
	free(order->packed);
	free(order);
	return 0;
}

static struct search **searches_new(const struct segment *segment, uint32_t count)
{
	const struct search_limits limits = limits_of(segment->count, segment->dim);
	struct search **searches = calloc(count, sizeof(*searches));

	for (uint32_t i = 0; searches && i < count; i++) {
		if (search_new(&limits, &searches[i])) {
			while (i-- > 0)
				search_free(searches[i]);
			free(searches);
			return NULL;
		}
	}
	return searches;
}

static int compare_floats(const void *a, const void *b)
{
	const float *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

static float row_error(struct tune *tune)
{
	size_t count = (size_t)tune->query_count * TUNE_ERRORS;

	qsort(tune->errors, count, sizeof(float), compare_floats);
	return tune->errors[count * TUNE_ERROR_SHARE / TUNE_ERROR_PARTS];
}

static void tune_free(struct tune *tune, uint32_t workers)
{
	for (uint32_t i = 0; tune->searches && i < workers; i++)
		search_free(tune->searches[i]);
	free(tune->searches);
	free(tune->packed);
	free(tune);
}

int tune_segment(struct segment *segment, float recall_target, uint64_t seed,
		 struct workers *workers, struct tune_result *ret_result)
{
	struct tune *tune;

	*ret_result = (struct tune_result){.ef = TUNE_EF_MIN};
	for (unsigned i = 0; i < SEGMENT_RECALL_COUNT; i++)
		ret_result->ef_tuned[i] = TUNE_EF_MIN;
	if (segment->count < 2)
		return 0;
	tune = calloc(1, sizeof(*tune));
	if (!tune)
		return -ENOMEM;
	tune->segment = segment;
	tune->k = MIN(TUNE_K, segment->count);
	segment_exact(segment, &tune->exact_form, &tune->exact);
	tune->searches = searches_new(segment, workers_count(workers));
	tune->packed = packed_new(segment->dim, workers_count(workers));
	if (!tune->searches || !tune->packed) {
		tune_free(tune, workers_count(workers));
		return -ENOMEM;
	}
	sample(tune, seed);
	workers_run(workers, (tune->query_count + TUNE_GROUP - 1) / TUNE_GROUP, truth_item, tune);
	if (segment->form.compact)
		segment->row_error = ret_result->row_error = row_error(tune);
	sweep(tune, recall_target, workers, ret_result);
	tune_free(tune, workers_count(workers));
	return 0;
}

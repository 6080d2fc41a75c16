/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/tune.h"

#include "base/check.h"
#include "base/rand.h"
#include "hnsw/beam.h"
#include "hnsw/layout.h"
#include "hnsw/search.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>

/* Recall at 10 is tuned; one more, since a row finds itself. */
#define TUNE_K 11

/* A sample of 256 tells recall to within 0.5%; large segments get fewer, as truth costs count each.
 */
#define TUNE_QUERIES_MAX   256
#define TUNE_QUERIES_MIN   32
#define TUNE_DISTANCES_MAX UINT64_C(50000000)

/* Neighbours of each sampled row whose compact distance is compared with the true one. */
#define TUNE_ERRORS 32

/* The share of errors, of TUNE_ERROR_PARTS, that the segment's row error is to cover. */
#define TUNE_ERROR_SHARE 99
#define TUNE_ERROR_PARTS 100

struct tune {
	const struct segment *segment;
	struct rows exact; /* the vectors themselves */
	struct rows_form exact_form;
	struct search **searches; /* one a worker */
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

/* How far compact distances to the nearest are from the true ones, in beam->keys. */
static void note_errors(struct tune *tune, uint32_t item, const struct beam *beam)
{
	const struct segment *segment = tune->segment;
	struct rows_query query = query_of(&segment->form, &segment->compared, tune->nodes[item]);

	for (uint32_t i = 0; i < TUNE_ERRORS; i++) {
		uint64_t key = beam->keys[MIN(i, beam->count - 1)];
		float distance = rows_distance(&query, &segment->compared, beam_key_node(key));

		tune->errors[(size_t)item * TUNE_ERRORS + i] =
			fabsf(distance - beam_key_distance(key));
	}
}

static void truth_item(void *context, uint32_t worker, uint32_t item)
{
	struct tune *tune = context;
	const struct rows_query query =
		query_of(&tune->exact_form, &tune->exact, tune->nodes[item]);
	uint64_t keys[TUNE_ERRORS];
	struct beam beam = {.keys = keys};

	CHECK(tune->k > 0 && tune->segment->count > 0);
	beam_reset(&beam, TUNE_ERRORS);
	for (uint32_t node = 0; node < tune->segment->count; node++) {
		uint64_t key = beam_key(rows_distance(&query, &tune->exact, node), node);

		if (beam_wants(&beam, key))
			beam_insert(&beam, key);
	}
	tune->limits[item] = with_rounding(beam_key_distance(keys[MIN(tune->k, beam.count) - 1]));
	if (tune->segment->form.compact)
		note_errors(tune, item, &beam);
}

static void search_item(void *context, uint32_t worker, uint32_t item)
{
	struct tune *tune = context;
	const struct search_params params = {.k = tune->k, .ef = tune->ef};
	struct search *search = tune->searches[worker];
	struct search_hit hits[TUNE_K];
	float query[SEGMENT_DIM_MAX];
	unsigned count;

	segment_vector(tune->segment, tune->nodes[item], query);
	search_begin(search, tune->segment, query, &params);
	search_burst(&search, 1);
	count = search_hits(search, hits, tune->k);
	tune->stats[item] = search_stats(search);
	tune->found[item] = 0;
	for (unsigned i = 0; i < count; i++)
		tune->found[item] += hits[i].distance <= tune->limits[item];
}

/* The row itself is always found and proves nothing: it counts on neither side. */
static double recall(const struct tune *tune)
{
	double found = 0;

	for (uint32_t i = 0; i < tune->query_count; i++)
		found += tune->found[i] > 0 ? tune->found[i] - 1 : 0;
	return found / ((double)tune->query_count * (tune->k - 1));
}

static void note_costs(const struct tune *tune, struct tune_result *result)
{
	for (uint32_t i = 0; i < tune->query_count; i++) {
		result->hops += (double)tune->stats[i].hops / tune->query_count;
		result->distances += (double)tune->stats[i].distances / tune->query_count;
	}
}

static uint32_t sweep(struct tune *tune, double target, struct workers *workers)
{
	static const uint32_t efs[] = {16,  20,  24,  32,  40,  48,  64,  80,         96,
				       128, 160, 192, 256, 384, 512, 768, TUNE_EF_MAX};
	size_t i = 0;

	for (;; i++) {
		tune->ef = efs[i];
		workers_run(workers, tune->query_count, search_item, tune);
		if (recall(tune) >= target || i + 1 == ARRAY_COUNT(efs))
			return tune->ef;
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

	return sizeof(struct tune) + threads * (sizeof(struct search *) + search_memory(&limits));
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

/* Infinite errors are of vectors near the end of f32's range: no finite number covers them. */
static float row_error(struct tune *tune)
{
	size_t count = (size_t)tune->query_count * TUNE_ERRORS;
	float error;

	qsort(tune->errors, count, sizeof(float), compare_floats);
	error = tune->errors[count * TUNE_ERROR_SHARE / TUNE_ERROR_PARTS];
	return error <= FLT_MAX ? error : FLT_MAX;
}

int tune_segment(struct segment *segment, float recall_target, uint64_t seed,
		 struct workers *workers, struct tune_result *ret_result)
{
	struct tune *tune;

	*ret_result = (struct tune_result){.ef = 16};
	if (segment->count < 2)
		return 0;
	tune = calloc(1, sizeof(*tune));
	if (!tune)
		return -ENOMEM;
	tune->segment = segment;
	tune->k = MIN(TUNE_K, segment->count);
	segment_exact(segment, &tune->exact_form, &tune->exact);
	tune->searches = searches_new(segment, workers_count(workers));
	if (!tune->searches) {
		free(tune);
		return -ENOMEM;
	}
	sample(tune, seed);
	workers_run(workers, tune->query_count, truth_item, tune);
	if (segment->form.compact)
		segment->row_error = ret_result->row_error = row_error(tune);
	ret_result->ef = sweep(tune, 1 - (1 - (double)recall_target) / 2, workers);
	note_costs(tune, ret_result);
	for (uint32_t i = 0; i < workers_count(workers); i++)
		search_free(tune->searches[i]);
	free(tune->searches);
	free(tune);
	return 0;
}

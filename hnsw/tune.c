/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/tune.h"

#include "base/check.h"
#include "base/rand.h"
#include "hnsw/beam.h"
#include "hnsw/layout.h"
#include "hnsw/search.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

/* Recall at 10 is tuned; one more, since a row finds itself. */
#define TUNE_K 11

/* A sample of 256 tells recall to within 0.5%; large segments get fewer, as truth costs count each.
 */
#define TUNE_QUERIES_MAX   256
#define TUNE_QUERIES_MIN   32
#define TUNE_DISTANCES_MAX UINT64_C(50000000)

struct tune {
	const struct segment *segment;
	struct dist_measure measure;
	struct search **searches; /* one a worker */
	uint32_t k;
	uint32_t ef;
	uint32_t query_count;
	uint32_t nodes[TUNE_QUERIES_MAX];
	float limits[TUNE_QUERIES_MAX]; /* the k-th true distance */
	uint32_t found[TUNE_QUERIES_MAX];
};

/* A query is normalised once more than the row it comes from. */
static float with_rounding(float distance)
{
	return distance + 1e-6F * (1 + fabsf(distance));
}

static void truth_item(void *context, uint32_t worker, uint32_t item)
{
	struct tune *tune = context;
	const struct segment *segment = tune->segment;
	const float *query = layout_vector(segment, tune->nodes[item]);
	uint64_t keys[TUNE_K];
	struct beam beam = {.keys = keys};

	CHECK(tune->k > 0 && segment->count > 0);
	beam_reset(&beam, tune->k);
	for (uint32_t node = 0; node < segment->count; node++) {
		uint64_t key =
			beam_key(dist_between(&tune->measure, query, layout_vector(segment, node),
					      segment->padded_dim),
				 node);

		if (beam_wants(&beam, key))
			beam_insert(&beam, key);
	}
	tune->limits[item] = with_rounding(beam_key_distance(keys[beam.count - 1]));
}

static void search_item(void *context, uint32_t worker, uint32_t item)
{
	struct tune *tune = context;
	const struct search_params params = {.k = tune->k, .ef = tune->ef};
	struct search *search = tune->searches[worker];
	struct search_hit hits[TUNE_K];
	unsigned count;

	search_begin(search, tune->segment, layout_vector(tune->segment, tune->nodes[item]),
		     &params);
	search_burst(&search, 1);
	count = search_hits(search, hits, tune->k);
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

static struct search **searches_new(const struct segment *segment, uint32_t count)
{
	const struct search_limits limits = {
		.node_max = segment->count, .dim_max = segment->dim, .ef_max = TUNE_EF_MAX};
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

int tune_ef(const struct segment *segment, float recall_target, uint64_t seed,
	    struct workers *workers, uint32_t *ret_ef)
{
	struct tune tune = {.segment = segment, .k = MIN(TUNE_K, segment->count)};

	if (segment->count < 2) {
		*ret_ef = 16;
		return 0;
	}
	tune.searches = searches_new(segment, workers_count(workers));
	if (!tune.searches)
		return -ENOMEM;
	tune.measure = dist_measure(dist_best(), segment->metric);
	sample(&tune, seed);
	workers_run(workers, tune.query_count, truth_item, &tune);
	*ret_ef = sweep(&tune, 1 - (1 - (double)recall_target) / 2, workers);
	for (uint32_t i = 0; i < workers_count(workers); i++)
		search_free(tune.searches[i]);
	free(tune.searches);
	return 0;
}

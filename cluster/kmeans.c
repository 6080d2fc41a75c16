/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Kmeans
 *
 * Everything that is summed up is summed in the order of rows, by one worker, so
 * that it doesn't matter which: a row's choices are computed from the row alone,
 * a centroid from its members in their order.
 *
 * Training on a sample and the last assignment of all rows are the same code: a
 * `struct run` over other rows.
 */

#include "cluster/kmeans.h"

#include "base/check.h"
#include "base/rand.h"
#include "hnsw/dist.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Rows that a worker takes at a time: large against the cost of taking. */
#define BLOCK 256

/* Lloyd stops when fewer than one row in so many changes its cluster. */
#define SETTLED 1000

struct choice {
	float distance; /* finite: clamped to FLT_MAX */
	uint32_t cluster;
};

/* A row, and what it costs to send it elsewhere. */
struct by_regret {
	double regret;
	uint32_t row;
};

struct run {
	const struct kmeans_rows *rows;
	const struct kmeans_options *options;
	struct dist_measure measure;
	struct workers *workers;
	size_t padded;            /* floats of a padded row */
	uint32_t choices;         /* kept for each row */
	float *centroids;         /* cluster_count padded rows */
	float *scratch;           /* a padded row for each worker */
	struct choice *near;      /* 'choices' for each row, nearest first */
	uint32_t *clusters;       /* of each row */
	uint32_t *counts;         /* of each cluster */
	uint32_t *members;        /* rows, sorted by cluster */
	uint32_t *starts;         /* of a cluster's rows in members; one more at the end */
	double *prices;           /* of each cluster */
	double *regrets;          /* one for each row */
	struct by_regret *sorted; /* scratch for the rows of one cluster */
	double *sums;             /* dim of them for each worker */
	const float *seed;        /* while seeding: the last centroid chosen */
	float *seed_near;         /* while seeding: distance of the nearest one so far */
};

/* Zeroed floats, aligned for the distance kernels. */
static float *floats_new(size_t count)
{
	size_t size = align_up(count * sizeof(float) + 1, CACHE_LINE);
	float *floats = aligned_alloc(CACHE_LINE, size);

	if (floats)
		memset(floats, 0, size);
	return floats;
}

static void run_deinit(struct run *run)
{
	free(run->centroids);
	free(run->scratch);
	free(run->near);
	free(run->counts);
	free(run->members);
	free(run->starts);
	free(run->prices);
	free(run->regrets);
	free(run->sorted);
	free(run->sums);
	free(run->seed_near);
}

static int run_init(struct run *run, const struct kmeans_rows *rows,
		    const struct kmeans_options *options, struct workers *workers,
		    uint32_t *clusters)
{
	size_t k = options->cluster_count, n = rows->count;

	*run = (struct run){
		.rows = rows,
		.options = options,
		.measure =
			dist_measure(dist_best(), options->spherical ? METRIC_COSINE : METRIC_L2),
		.workers = workers,
		.padded = dist_padded(rows->source.dim),
		.choices = options->capacity ? MIN(options->cluster_count, KMEANS_CHOICE_MAX) : 1,
		.clusters = clusters,
	};
	run->centroids = floats_new(k * run->padded);
	run->scratch = floats_new(workers_count(workers) * run->padded);
	run->near = calloc(n * run->choices + 1, sizeof(*run->near));
	run->counts = calloc(k, sizeof(*run->counts));
	run->members = calloc(n + 1, sizeof(*run->members));
	run->starts = calloc(k + 1, sizeof(*run->starts));
	run->prices = calloc(k, sizeof(*run->prices));
	run->regrets = calloc(n + 1, sizeof(*run->regrets));
	run->sorted = calloc(n + 1, sizeof(*run->sorted));
	run->sums = calloc((size_t)workers_count(workers) * rows->source.dim, sizeof(*run->sums));
	run->seed_near = calloc(n + 1, sizeof(*run->seed_near));
	if (run->centroids && run->scratch && run->near && run->counts && run->members &&
	    run->starts && run->prices && run->regrets && run->sorted && run->sums &&
	    run->seed_near)
		return 0;
	run_deinit(run);
	return -ENOMEM;
}

/* What run_init() takes, and lloyd() beside it. */
static uint64_t run_memory(uint64_t count, uint32_t dim, const struct kmeans_options *options,
			   uint32_t threads)
{
	const struct run *run = NULL;
	uint64_t choices = options->capacity ? MIN(options->cluster_count, KMEANS_CHOICE_MAX) : 1;
	uint64_t row = choices * sizeof(*run->near) + sizeof(*run->members) +
		       sizeof(*run->regrets) + sizeof(*run->sorted) + sizeof(*run->seed_near) +
		       sizeof(uint32_t);
	uint64_t cluster = dist_padded(dim) * sizeof(float) + sizeof(*run->counts) +
			   sizeof(*run->starts) + sizeof(*run->prices);
	uint64_t worker = dist_padded(dim) * sizeof(float) + dim * sizeof(*run->sums);

	return (count + 1) * row + (options->cluster_count + 1) * cluster + threads * worker;
}

static float *centroid(const struct run *run, uint32_t cluster)
{
	return run->centroids + cluster * run->padded;
}

/* Gives 'vector' length 1; a zero vector stays. */
static void normalise(float *vector, uint32_t dim)
{
	double sum = 0;

	for (uint32_t i = 0; i < dim; i++)
		sum += (double)vector[i] * vector[i];
	if (sum == 0)
		return;
	sum = 1 / sqrt(sum);
	for (uint32_t i = 0; i < dim; i++)
		vector[i] = (float)(vector[i] * sum);
}

/* Row 'row' padded, and normalised where directions count, in 'to'. */
static void load_row(const struct run *run, uint32_t row, float *to)
{
	const struct vector_source *source = &run->rows->source;
	uint32_t number = run->rows->picks ? run->rows->picks[row] : row;
	const float *vector = vector_source_row(source, number, to);

	if (vector != to)
		memcpy(to, vector, source->dim * sizeof(*to));
	if (run->options->spherical)
		normalise(to, source->dim);
}

static float distance(const struct run *run, const float *a, const float *b)
{
	float value = dist_between(&run->measure, a, b, run->padded);

	return MIN(MAX(value, 0.0f), FLT_MAX);
}

static void for_blocks(struct run *run, workers_fn fn)
{
	workers_run(run->workers, (run->rows->count + BLOCK - 1) / BLOCK, fn, run);
}

static uint32_t block_end(const struct run *run, uint32_t block)
{
	return MIN((block + 1) * BLOCK, run->rows->count);
}

/* Start: k-means++ (Arthur and Vassilvitskii, 2007): far rows are likelier to be centroids. */

static void seed_block(void *context, uint32_t worker, uint32_t block)
{
	struct run *run = context;
	float *row = run->scratch + worker * run->padded;

	for (uint32_t i = block * BLOCK; i < block_end(run, block); i++) {
		load_row(run, i, row);
		run->seed_near[i] = MIN(run->seed_near[i], distance(run, row, run->seed));
	}
}

/* A row with the probability of its share in the sum of distances. */
static uint32_t pick_row(const struct run *run, struct rand *rand)
{
	uint32_t count = run->rows->count;
	double sum = 0, at;

	for (uint32_t i = 0; i < count; i++)
		sum += run->seed_near[i];
	at = rand_unit(rand) * sum;
	for (uint32_t i = 0; i < count; i++) {
		at -= run->seed_near[i];
		if (at < 0)
			return i;
	}
	/* All rows are centroids already, or rounding ate the end. */
	return (uint32_t)rand_below(rand, count);
}

static void seed_centroids(struct run *run)
{
	struct rand rand;

	rand_init(&rand, run->options->seed);
	for (uint32_t i = 0; i < run->rows->count; i++)
		run->seed_near[i] = FLT_MAX;
	for (uint32_t cluster = 0; cluster < run->options->cluster_count; cluster++) {
		uint32_t row = cluster ? pick_row(run, &rand)
				       : (uint32_t)rand_below(&rand, run->rows->count);

		load_row(run, row, centroid(run, cluster));
		run->seed = centroid(run, cluster);
		for_blocks(run, seed_block);
	}
}

/* Choices: the nearest centroids of each row. */

static void insert_choice(struct choice *near, uint32_t choices, uint32_t held,
			  struct choice choice)
{
	uint32_t at = MIN(held, choices - 1);

	if (held >= choices && near[at].distance <= choice.distance)
		return;
	for (; at > 0 && near[at - 1].distance > choice.distance; at--)
		near[at] = near[at - 1];
	near[at] = choice;
}

static void choose_block(void *context, uint32_t worker, uint32_t block)
{
	struct run *run = context;
	float *row = run->scratch + worker * run->padded;

	for (uint32_t i = block * BLOCK; i < block_end(run, block); i++) {
		struct choice *near = run->near + (size_t)i * run->choices;

		load_row(run, i, row);
		for (uint32_t c = 0; c < run->options->cluster_count; c++)
			insert_choice(near, run->choices, c,
				      (struct choice){distance(run, row, centroid(run, c)), c});
	}
}

/* Balance: prices, and then the rest by hand. */

static double cost(const struct run *run, const struct choice *choice)
{
	return (double)choice->distance + run->prices[choice->cluster];
}

/* The cheapest choice of a row, and through 'ret_regret' what the next one costs more. */
static uint32_t cheapest(const struct run *run, uint32_t row, double *ret_regret)
{
	const struct choice *near = run->near + (size_t)row * run->choices;
	double best = cost(run, &near[0]), second = INFINITY;
	uint32_t cluster = near[0].cluster;

	for (uint32_t i = 1; i < run->choices; i++) {
		double here = cost(run, &near[i]);

		if (here < best) {
			second = best;
			best = here;
			cluster = near[i].cluster;
		} else if (here < second) {
			second = here;
		}
	}
	*ret_regret = second - best;
	return cluster;
}

/* Puts each row where it is cheapest; fills counts, and regrets by row. */
static void assign(struct run *run)
{
	memset(run->counts, 0, run->options->cluster_count * sizeof(*run->counts));
	for (uint32_t i = 0; i < run->rows->count; i++) {
		run->clusters[i] = cheapest(run, i, &run->regrets[i]);
		run->counts[run->clusters[i]]++;
	}
}

/* Sorts the rows by cluster, in each by number. */
static void list_members(struct run *run)
{
	uint32_t k = run->options->cluster_count, at = 0;

	for (uint32_t c = 0; c < k; c++) {
		run->starts[c] = at;
		at += run->counts[c];
	}
	for (uint32_t i = 0; i < run->rows->count; i++)
		run->members[run->starts[run->clusters[i]]++] = i;
	memmove(run->starts + 1, run->starts, k * sizeof(*run->starts));
	run->starts[0] = 0;
}

static int compare_regret(const void *a, const void *b)
{
	const struct by_regret *x = a, *y = b;

	if (x->regret != y->regret)
		return x->regret < y->regret ? -1 : 1;
	return x->row < y->row ? -1 : x->row > y->row;
}

/* Sorts the rows of a cluster, those first that give it up most easily. */
static void sort_members(struct run *run, uint32_t cluster)
{
	uint32_t count = run->counts[cluster];

	for (uint32_t i = 0; i < count; i++) {
		run->sorted[i].row = run->members[run->starts[cluster] + i];
		run->sorted[i].regret = run->regrets[run->sorted[i].row];
	}
	qsort(run->sorted, count, sizeof(*run->sorted), compare_regret);
}

/*
 * Raises the price of a cluster until the rows over its capacity go elsewhere: to
 * the middle between the last that goes and the first that stays, so that neither
 * is a tie. Returns whether that moves somebody.
 */
static bool raise_price(struct run *run, uint32_t cluster)
{
	uint32_t excess = run->counts[cluster] - run->options->capacity;
	double goes, stays;

	sort_members(run, cluster);
	goes = run->sorted[excess - 1].regret;
	stays = run->sorted[excess].regret;
	if (!isfinite(goes))
		return false;
	run->prices[cluster] += isfinite(stays) ? (goes + stays) / 2 : goes * 1.001;
	return goes < stays;
}

/* Raises the prices of what is too full. Returns whether it is worth another round. */
static bool price_round(struct run *run)
{
	bool moved = false;

	list_members(run);
	for (uint32_t c = 0; c < run->options->cluster_count; c++)
		if (run->counts[c] > run->options->capacity && raise_price(run, c))
			moved = true;
	return moved;
}

/* Where a row goes that its cluster has no room for: its nearest choice that has, or the emptiest.
 */
static uint32_t refuge(const struct run *run, uint32_t row)
{
	const struct choice *near = run->near + (size_t)row * run->choices;
	uint32_t best = 0;

	for (uint32_t i = 0; i < run->choices; i++)
		if (run->counts[near[i].cluster] < run->options->capacity)
			return near[i].cluster;
	for (uint32_t c = 1; c < run->options->cluster_count; c++)
		if (run->counts[c] < run->counts[best])
			best = c;
	return best;
}

static void move_excess(struct run *run, uint32_t cluster)
{
	uint32_t excess = run->counts[cluster] - run->options->capacity;

	sort_members(run, cluster);
	for (uint32_t i = 0; i < excess; i++) {
		uint32_t to = refuge(run, run->sorted[i].row);

		run->clusters[run->sorted[i].row] = to;
		run->counts[to]++;
		run->counts[cluster]--;
	}
}

static void balance(struct run *run)
{
	assign(run);
	if (!run->options->capacity)
		return;
	for (unsigned round = 0; round < KMEANS_PRICE_ROUND_MAX && price_round(run); round++)
		assign(run);
	for (uint32_t c = 0; c < run->options->cluster_count; c++)
		if (run->counts[c] > run->options->capacity) {
			/* Anew each time: rows that fled here stand in this cluster's count. */
			list_members(run);
			move_excess(run, c);
		}
}

/* Update: each centroid becomes the mean of its members. */

static void mean_of(void *context, uint32_t worker, uint32_t cluster)
{
	struct run *run = context;
	uint32_t dim = run->rows->source.dim, begin = run->starts[cluster];
	uint32_t count = run->starts[cluster + 1] - begin;
	float *row = run->scratch + worker * run->padded, *to = centroid(run, cluster);
	double *sums = run->sums + (size_t)worker * dim;

	/* A cluster that lost all its rows keeps its centroid. */
	if (!count)
		return;
	memset(sums, 0, dim * sizeof(*sums));
	for (uint32_t i = 0; i < count; i++) {
		load_row(run, run->members[begin + i], row);
		for (uint32_t d = 0; d < dim; d++)
			sums[d] += row[d];
	}
	for (uint32_t d = 0; d < dim; d++)
		to[d] = (float)(sums[d] / count);
	if (run->options->spherical)
		normalise(to, dim);
}

static int lloyd(struct run *run)
{
	uint32_t n = run->rows->count, changed = n;
	uint32_t *before = calloc(n + 1, sizeof(*before));

	if (!before)
		return -ENOMEM;
	seed_centroids(run);
	for (uint32_t i = 0; i < run->options->iteration_max && changed > n / SETTLED; i++) {
		memcpy(before, run->clusters, n * sizeof(*before));
		for_blocks(run, choose_block);
		balance(run);
		list_members(run);
		workers_run(run->workers, run->options->cluster_count, mean_of, run);
		changed = 0;
		for (uint32_t row = 0; row < n; row++)
			changed += before[row] != run->clusters[row];
	}
	free(before);
	return 0;
}

/* 'count' of the rows, chosen by the seed, in their order (Knuth's algorithm S). NULL: no memory.
 */
static uint32_t *pick_sample(const struct kmeans_rows *rows, uint32_t count, uint64_t seed)
{
	uint32_t *picks = calloc(count, sizeof(*picks)), held = 0;
	struct rand rand;

	if (!picks)
		return NULL;
	rand_init(&rand, seed);
	for (uint32_t i = 0; held < count; i++)
		if (rand_below(&rand, rows->count - i) < count - held)
			picks[held++] = rows->picks ? rows->picks[i] : i;
	return picks;
}

/* Trains on the sample; the centroids are left in 'run'. */
static int train_on_sample(struct run *run)
{
	struct kmeans_options options = *run->options;
	struct kmeans_rows sample = *run->rows;
	uint32_t count = options.sample_max;
	uint32_t *picks = pick_sample(run->rows, count, options.seed);
	uint32_t *clusters = calloc(count, sizeof(*clusters));
	struct run training;
	int result = -ENOMEM;

	sample.picks = picks;
	sample.count = count;
	/* As much room in proportion, rounded up. */
	if (options.capacity)
		options.capacity =
			(uint32_t)((uint64_t)options.capacity * count / run->rows->count + 1);
	if (picks && clusters)
		result = run_init(&training, &sample, &options, run->workers, clusters);
	if (!result) {
		result = lloyd(&training);
		memcpy(run->centroids, training.centroids,
		       options.cluster_count * run->padded * sizeof(float));
		memcpy(run->prices, training.prices, options.cluster_count * sizeof(*run->prices));
		run_deinit(&training);
	}
	free(picks);
	free(clusters);
	return result;
}

int kmeans_run(const struct kmeans_rows *rows, const struct kmeans_options *options,
	       struct workers *workers, uint32_t *clusters)
{
	struct run run;
	int result;

	if (options->cluster_count < 1 || options->cluster_count > KMEANS_CLUSTER_MAX ||
	    (options->capacity &&
	     (uint64_t)options->capacity * options->cluster_count < rows->count))
		return -EINVAL;
	if (rows->count == 0)
		return 0;
	result = run_init(&run, rows, options, workers, clusters);
	if (result)
		return result;
	memset(clusters, 0, rows->count * sizeof(*clusters));
	if (options->sample_max && options->sample_max < rows->count) {
		result = train_on_sample(&run);
		if (!result) {
			for_blocks(&run, choose_block);
			balance(&run);
		}
	} else {
		result = lloyd(&run);
	}
	run_deinit(&run);
	return result;
}

/* A sample is trained on beside the run over all rows; it has its picks and clusters too. */
uint64_t kmeans_memory(const struct kmeans_rows *rows, const struct kmeans_options *options,
		       uint32_t threads)
{
	uint64_t size = run_memory(rows->count, rows->source.dim, options, threads);

	if (options->sample_max && options->sample_max < rows->count)
		size += run_memory(options->sample_max, rows->source.dim, options, threads) +
			2 * sizeof(uint32_t) * (uint64_t)options->sample_max;
	return size;
}

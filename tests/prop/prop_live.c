/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "base/defs.h"
#include "base/rand.h"
#include "base/vector_type.h"
#include "hnsw/build.h"
#include "hnsw/live_search.h"
#include "hnsw/truth.h"
#include "tests/lib/filters.h"

#include <inttypes.h>
#include <math.h>
#include <roaring/roaring.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/*
 * Random changes, merges and searches of a live index against a table of vectors.
 * Searches are begun, left while changes go on, and ended later: each must answer the
 * table as it was at its beginning.
 *
 * A seed gives a run; a failing one is printed and replays.
 */

#define LABELS    400
#define DIM       6
#define K_MAX     40
#define PARKED    6
#define STEPS     4000
#define SEEDS     9
#define VALUES    40 /* different vectors of the runs with many copies */
#define LABEL_GAP 3

struct model {
	bool live[LABELS];
	float vectors[LABELS][DIM];
};

/* A search that has begun, and what it must answer. */
struct parked {
	struct live_search *search;
	struct model *model; /* as of its beginning */
	struct filter *filter;
	bool allowed[LABELS];
	bool filtered, running;
	uint32_t k;
	float query[DIM];
};

struct run {
	uint64_t seed;
	enum metric metric;
	enum vector_type type;
	double error; /* of distances, by the type's rounding */
	bool copies;  /* few different vectors */
	struct rand rand;
	struct live *live;
	struct model *model;
	struct parked parked[PARKED];
	uint64_t right, possible;
	uint64_t digest; /* of all answers */
};

/* Every metric, and every type. */
static const struct {
	enum metric metric;
	enum vector_type type;
	double error;
} kinds[] = {
	{METRIC_L2, VECTOR_F32, 1e-5},    {METRIC_COSINE, VECTOR_F32, 1e-5},
	{METRIC_IP, VECTOR_F32, 1e-5},    {METRIC_L2, VECTOR_U8, 1e-3},
	{METRIC_COSINE, VECTOR_I8, 1e-5}, {METRIC_COSINE, VECTOR_F16, 2e-3},
	{METRIC_IP, VECTOR_BF16, 2e-2},   {METRIC_L2, VECTOR_B1, 1e-5},
};

static struct live_options options_of(uint64_t seed)
{
	enum metric metric = kinds[seed % ARRAY_COUNT(kinds)].metric;

	return (struct live_options){
		.metric = metric,
		.dim = DIM,
		.vector_max = LABELS,
		.growing_max = 20 + (uint32_t)(seed * 37 % 120),
		.dead_percent = seed % 2 ? 0 : 30,
		.build = {.type = kinds[seed % ARRAY_COUNT(kinds)].type,
			  .order = seed % 4 < 2 ? BUILD_ORDER_LABEL : BUILD_ORDER_GRAPH,
			  .m = 6,
			  .ef_construction = 40,
			  .seed = seed},
	};
}

static void run_init(struct run *run, uint64_t seed)
{
	const struct live_options options = options_of(seed);

	*run = (struct run){.seed = seed,
			    .metric = options.metric,
			    .type = options.build.type,
			    .error = kinds[seed % ARRAY_COUNT(kinds)].error,
			    .copies = seed % 3 == 2};
	rand_init(&run->rand, seed);
	run->model = calloc(1, sizeof(*run->model));
	assert_non_null(run->model);
	assert_int_equal(live_new(&options, &run->live), 0);
	for (unsigned i = 0; i < PARKED; i++) {
		struct parked *parked = &run->parked[i];

		assert_int_equal(live_search_new(run->live, K_MAX, &parked->search), 0);
		assert_int_equal(filter_new(LABELS * LABEL_GAP, &parked->filter), 0);
		parked->model = malloc(sizeof(*parked->model));
		assert_non_null(parked->model);
	}
}

static void run_deinit(struct run *run)
{
	for (unsigned i = 0; i < PARKED; i++) {
		live_search_free(run->parked[i].search);
		filter_free(run->parked[i].filter);
		free(run->parked[i].model);
	}
	live_free(run->live);
	free(run->model);
}

/* One that the type holds, rounded at most. */
static float draw_value(const struct run *run, struct rand *rand)
{
	switch (run->type) {
	case VECTOR_U8:
		return (float)rand_below(rand, 256);
	case VECTOR_I8:
		return (float)rand_below(rand, 255) - 127;
	case VECTOR_B1:
		return (float)rand_below(rand, 2);
	default:
		return (float)rand_unit(rand) - 0.5F;
	}
}

static void draw_vector(struct run *run, float *vector)
{
	struct rand fixed, *rand = &run->rand;

	if (run->copies) {
		rand_init(&fixed, rand_below(&run->rand, VALUES));
		rand = &fixed;
	}
	for (uint32_t i = 0; i < DIM; i++)
		vector[i] = draw_value(run, rand);
}

static void do_put(struct run *run)
{
	uint32_t label = (uint32_t)rand_below(&run->rand, LABELS);
	float vector[DIM];

	draw_vector(run, vector);
	for (;;) {
		int result = live_put(run->live, label * LABEL_GAP, vector);
		enum live_need need;

		if (!result)
			break;
		/* Merges are rare in this run: room has to be made. */
		assert_int_equal(result, LIVE_E_BUSY);
		assert_int_equal(live_work(run->live, &need), 0);
		(void)live_build(run->live);
	}
	memcpy(run->model->vectors[label], vector, sizeof(vector));
	run->model->live[label] = true;
}

static void do_delete(struct run *run)
{
	uint32_t label = (uint32_t)rand_below(&run->rand, LABELS);

	assert_int_equal(live_delete(run->live, label * LABEL_GAP),
			 run->model->live[label] ? 0 : LIVE_E_ABSENT);
	run->model->live[label] = false;
	assert_false(live_has(run->live, label * LABEL_GAP));
}

/* A whole region or everything goes, so that walks end among the dead. */
static void do_massacre(struct run *run)
{
	bool all = rand_below(&run->rand, 3) == 0;

	for (uint32_t label = 0; label < LABELS; label++) {
		if (!run->model->live[label] || (!all && run->model->vectors[label][0] < 0))
			continue;
		assert_int_equal(live_delete(run->live, label * LABEL_GAP), 0);
		run->model->live[label] = false;
	}
}

static void set_filter(struct run *run, struct parked *parked)
{
	static const double shares[] = {0, 0.02, 0.2, 0.9};
	double share = shares[rand_below(&run->rand, ARRAY_COUNT(shares))];
	roaring_bitmap_t *bitmap = roaring_bitmap_create();

	for (uint32_t label = 0; label < LABELS; label++) {
		parked->allowed[label] = rand_unit(&run->rand) < share;
		if (parked->allowed[label])
			roaring_bitmap_add(bitmap, label * LABEL_GAP);
	}
	filters_read(parked->filter, bitmap);
	roaring_bitmap_free(bitmap);
}

static void do_begin(struct run *run, struct parked *parked)
{
	struct search_params params;

	parked->k = (uint32_t)rand_below(&run->rand, K_MAX + 1);
	parked->filtered = rand_below(&run->rand, 3) == 0;
	*parked->model = *run->model;
	for (uint32_t i = 0; i < DIM; i++)
		parked->query[i] = draw_value(run, &run->rand);
	if (parked->filtered)
		set_filter(run, parked);
	params = (struct search_params){.k = parked->k,
					.ef = (uint32_t)rand_below(&run->rand, K_MAX),
					.filter = parked->filtered ? parked->filter : NULL};
	live_search_begin(parked->search, parked->query, &params);
	parked->running = true;
}

static double distance_to(const struct run *run, const struct parked *parked, uint32_t label)
{
	return truth_distance(run->metric, parked->query, parked->model->vectors[label], DIM);
}

static int compare_distances(const void *a, const void *b)
{
	const double *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

static bool may_be_answered(const struct parked *parked, uint32_t label)
{
	return parked->model->live[label] && (!parked->filtered || parked->allowed[label]);
}

static void check_answer(struct run *run, const struct parked *parked)
{
	struct search_hit hits[K_MAX];
	uint32_t found = live_search_hits(parked->search, hits, K_MAX), count = 0;
	double exact[LABELS];
	bool seen[LABELS] = {false};

	for (uint32_t label = 0; label < LABELS; label++)
		if (may_be_answered(parked, label))
			exact[count++] = distance_to(run, parked, label);
	qsort(exact, count, sizeof(exact[0]), compare_distances);
	assert_int_equal(found, MIN(parked->k, count));
	for (uint32_t i = 0; i < found; i++) {
		uint32_t label = hits[i].label / LABEL_GAP;
		double distance;

		assert_true(hits[i].label % LABEL_GAP == 0 && label < LABELS && !seen[label]);
		seen[label] = true;
		assert_true(may_be_answered(parked, label));
		assert_true(i == 0 || search_hit_before(&hits[i - 1], &hits[i]));
		distance = distance_to(run, parked, label);
		assert_true(fabs(distance - (double)hits[i].distance) <
			    run->error * fmax(1, distance));
		run->right += distance <= exact[found - 1] + run->error;
		run->digest = run->digest * UINT64_C(0x9E3779B97F4A7C15) + hits[i].label;
	}
	run->possible += found;
}

static void do_search(struct run *run)
{
	struct parked *parked = &run->parked[rand_below(&run->rand, PARKED)];
	uint64_t steps = rand_below(&run->rand, 12);

	if (!parked->running)
		do_begin(run, parked);
	while (steps-- > 0) {
		if (live_search_step(parked->search)) {
			parked->running = false;
			check_answer(run, parked);
			return;
		}
	}
}

static void do_step(struct run *run)
{
	uint64_t choice = rand_below(&run->rand, 1000);
	enum live_need need;

	if (choice < 350)
		do_put(run);
	else if (choice < 450)
		do_delete(run);
	else if (choice < 850)
		do_search(run);
	else if (choice < 970)
		assert_int_equal(live_work(run->live, &need), 0);
	else if (choice < 990)
		(void)live_build(run->live);
	else if (choice < 993)
		live_settle(run->live);
	else if (choice < 995)
		do_massacre(run);
}

static void settle(struct run *run)
{
	enum live_need need = LIVE_NEED_WORK;

	/* One merge may be under way, which the wish was not about. */
	for (unsigned i = 0; i < 2; i++) {
		live_settle(run->live);
		do {
			assert_int_equal(live_work(run->live, &need), 0);
			if (need == LIVE_NEED_BUILD)
				(void)live_build(run->live);
		} while (need != LIVE_NEED_NOTHING);
	}
}

/* Returns what the run has answered, as one number. */
static uint64_t play(uint64_t seed)
{
	struct run run;
	uint64_t digest;

	run_init(&run, seed);
	print_message("seed %" PRIu64 ", %s of %s", seed, metric_name(run.metric),
		      vector_type_name(run.type));
	for (unsigned step = 0; step < STEPS; step++)
		do_step(&run);
	for (unsigned i = 0; i < PARKED; i++) {
		if (!run.parked[i].running)
			continue;
		while (!live_search_step(run.parked[i].search))
			;
		check_answer(&run, &run.parked[i]);
	}
	settle(&run);
	for (unsigned i = 0; i < PARKED; i++) {
		do_begin(&run, &run.parked[i]);
		while (!live_search_step(run.parked[i].search))
			;
		check_answer(&run, &run.parked[i]);
	}
	print_message(": %" PRIu64 " of %" PRIu64 " right, %" PRIu64 " merges\n", run.right,
		      run.possible, live_stats(run.live).merges);
	assert_true((double)run.right >= 0.985 * (double)run.possible);
	assert_true(live_stats(run.live).merges > 2);
	digest = run.digest;
	run_deinit(&run);
	return digest;
}

static void searches_answer_the_moment_they_began(void **state)
{
	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		(void)play(seed);
}

static void the_same_calls_give_the_same_answers(void **state)
{
	for (uint64_t seed = 1; seed <= 2; seed++)
		assert_int_equal(play(seed), play(seed));
}

/* After all changes and merges: the very bytes of a build of what lives. */
static void a_settled_index_is_a_fresh_build(void **state)
{
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		float rows[LABELS * DIM];
		uint32_t labels[LABELS], count = 0;
		struct build_options options;
		struct build_image image;
		uint64_t bad_row;
		struct run run;
		const struct segment *segment;

		run_init(&run, seed);
		for (unsigned step = 0; step < STEPS / 2; step++)
			do_step(&run);
		do_put(&run);
		settle(&run);
		segment = live_segment(run.live, 0);
		assert_non_null(segment);
		assert_null(live_segment(run.live, 1));
		for (uint32_t label = 0; label < LABELS; label++) {
			if (!run.model->live[label])
				continue;
			memcpy(rows + (size_t)count * DIM, run.model->vectors[label],
			       DIM * sizeof(float));
			labels[count++] = label * LABEL_GAP;
		}
		options = options_of(seed).build;
		options.metric = run.metric;
		options.generation = segment->generation;
		assert_int_equal(
			build_segment(rows, labels, count, DIM, &options, &image, &bad_row), 0);
		assert_int_equal(image.size, segment->image_size);
		assert_memory_equal(image.bytes, segment->image, image.size);
		build_image_free(&image);
		run_deinit(&run);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(searches_answer_the_moment_they_began),
		cmocka_unit_test(the_same_calls_give_the_same_answers),
		cmocka_unit_test(a_settled_index_is_a_fresh_build),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

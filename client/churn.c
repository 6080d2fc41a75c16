/* SPDX-License-Identifier: Apache-2.0 */

#include "client/churn.h"

#include "base/clock.h"
#include "base/rand.h"
#include "client/cmd.h"
#include "hnsw/live_search.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

/* How long a thread with nothing to do waits before it looks again. */
#define PAUSE_NS (100 * NS_PER_US)

struct churn {
	const struct churn_options *options;
	struct live *live;
	struct live_search *search;
	struct search_hit *hits;
	struct churn_result *result;
	_Atomic bool stop;
	_Atomic bool merging; /* relaxed: only says in which histogram a search is counted */
};

static void pause_a_little(void)
{
	const struct timespec pause = {.tv_nsec = (long)PAUSE_NS};

	(void)nanosleep(&pause, NULL);
}

static void build_progress(void *context, uint64_t done, uint64_t total)
{
	cmd_progress("build", done, total);
}

/* Row i stands under label (i + count / 2) % count. */
static int adopt_rows(const struct churn_options *options, uint32_t shift, struct live *live)
{
	const struct cmd_vectors *base = options->base;
	uint32_t *labels = malloc(base->count * sizeof(*labels));
	struct build_options build = options->live.build;
	struct build_image image = {0};
	struct segment segment;
	uint64_t bad_row;
	char error[256];
	int result;

	if (!labels)
		return cmd_fail("out of memory");
	for (uint32_t row = 0; row < base->count; row++)
		labels[row] = (uint32_t)(((uint64_t)row + shift) % base->count);
	build.metric = options->live.metric;
	build.progress = build_progress;
	result =
		build_segment(base->rows, labels, base->count, base->dim, &build, &image, &bad_row);
	free(labels);
	if (!result)
		result = segment_attach(image.bytes, image.size, &segment, error, sizeof(error));
	if (!result)
		result = live_adopt(live, &segment, &image);
	if (!result)
		return CMD_DONE;
	build_image_free(&image);
	return cmd_fail("no index: %s; give fewer vectors",
			result < 0 ? strerror(-result) : "the rows don't fit it");
}

static int make_live(const struct churn_options *options, uint32_t shift, struct live **ret_live)
{
	struct live *live;
	int result = live_new(&options->live, &live);

	if (result)
		return cmd_fail("no index: %s", strerror(-result));
	result = adopt_rows(options, shift, live);
	if (result != CMD_DONE)
		live_free(live);
	else
		*ret_live = live;
	return result;
}

int churn_begin(const struct churn_options *options, struct live **ret_live)
{
	return make_live(options, options->base->count / 2, ret_live);
}

int churn_fresh(const struct churn_options *options, struct live **ret_live)
{
	return make_live(options, 0, ret_live);
}

static bool is_whole(const struct churn *churn)
{
	uint32_t k = MIN(churn->options->k, churn->options->base->count);
	uint32_t found = live_search_hits(churn->search, churn->hits, k);

	for (uint32_t i = 0; i < found; i++)
		for (uint32_t j = 0; j < i; j++)
			if (churn->hits[i].label == churn->hits[j].label)
				return false;
	return found == k;
}

/* The processor time of this thread. */
static uint64_t cpu_now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* Of this thread, so far: voluntary ones, so what others take of the processor isn't in it. */
static uint64_t count_sleeps(void)
{
	struct rusage usage;

	return getrusage(RUSAGE_THREAD, &usage) ? 0 : (uint64_t)usage.ru_nvcsw;
}

static void *search_all_the_time(void *context)
{
	struct churn *churn = context;
	const struct cmd_vectors *queries = churn->options->queries;
	const struct search_params params = {.k = churn->options->k, .ef = churn->options->ef};
	uint64_t sleeps = count_sleeps();

	for (uint64_t i = 0; !atomic_load_explicit(&churn->stop, memory_order_relaxed); i++) {
		bool merging = atomic_load_explicit(&churn->merging, memory_order_relaxed);
		uint64_t start = clock_now_ns(), cpu = cpu_now_ns(), took;

		live_search_begin(churn->search, queries->rows + i % queries->count * queries->dim,
				  &params);
		while (!live_search_step(churn->search))
			;
		cpu = cpu_now_ns() - cpu;
		took = clock_now_ns() - start;
		churn->result->search_cpu_max_ns = MAX(churn->result->search_cpu_max_ns, cpu);
		hist_add(&churn->result->searches, took);
		if (merging)
			hist_add(&churn->result->merging_searches, took);
		churn->result->wrong += !is_whole(churn);
	}
	churn->result->sleeps = count_sleeps() - sleeps;
	return NULL;
}

static void *build_all_the_time(void *context)
{
	struct churn *churn = context;

	while (!atomic_load_explicit(&churn->stop, memory_order_relaxed))
		if (live_build(churn->live))
			pause_a_little();
	return NULL;
}

/* One slice. Returns 0 or a negative errno. */
static int work(struct churn *churn, enum live_need *ret_need)
{
	int error = live_work(churn->live, ret_need);

	if (!error)
		atomic_store_explicit(&churn->merging, *ret_need == LIVE_NEED_BUILD,
				      memory_order_relaxed);
	return error;
}

/* Replaces one vector; waits for a merge when there is no room. Returns 0 or what failed. */
static int put(struct churn *churn, uint32_t label)
{
	const struct cmd_vectors *base = churn->options->base;

	for (;;) {
		uint64_t start = clock_now_ns(), cpu = cpu_now_ns();
		int result = live_put(churn->live, label, base->rows + (size_t)label * base->dim);
		enum live_need need;

		cpu = cpu_now_ns() - cpu;
		churn->result->put_cpu_max_ns = MAX(churn->result->put_cpu_max_ns, cpu);
		if (!result)
			hist_add(&churn->result->puts, clock_now_ns() - start);
		if (result != LIVE_E_BUSY)
			return result;
		result = work(churn, &need);
		if (result)
			return result;
		pause_a_little();
		churn->result->stalled_ns += clock_now_ns() - start;
	}
}

static int put_all(struct churn *churn, const uint32_t *order)
{
	uint32_t count = churn->options->base->count;
	uint64_t start = clock_now_ns();
	int result = 0;

	for (uint32_t i = 0; i < count && !result; i++) {
		enum live_need need;

		result = put(churn, order[i]);
		if (!result)
			result = work(churn, &need);
		cmd_progress("replace", i + 1, count);
	}
	churn->result->ns = clock_now_ns() - start;
	return result;
}

static int finish_work(struct churn *churn)
{
	enum live_need need;
	int error = work(churn, &need);

	while (!error && need != LIVE_NEED_NOTHING) {
		if (need == LIVE_NEED_BUILD)
			pause_a_little();
		error = work(churn, &need);
	}
	return error;
}

static int write_all(struct churn *churn, const uint32_t *order)
{
	pthread_t searcher, builder;
	int result = pthread_create(&searcher, NULL, search_all_the_time, churn);

	if (result)
		return cmd_fail("no thread: %s", strerror(result));
	result = pthread_create(&builder, NULL, build_all_the_time, churn);
	if (result) {
		atomic_store(&churn->stop, true);
		(void)pthread_join(searcher, NULL);
		return cmd_fail("no thread: %s", strerror(result));
	}
	result = put_all(churn, order);
	if (!result)
		result = finish_work(churn);
	atomic_store(&churn->stop, true);
	(void)pthread_join(searcher, NULL);
	(void)pthread_join(builder, NULL);
	if (result)
		return cmd_fail("a vector isn't replaced: %s",
				result < 0 ? strerror(-result) : "it is refused");
	return CMD_DONE;
}

/* Fisher and Yates. */
static uint32_t *draw_order(uint32_t count, uint64_t seed)
{
	uint32_t *order = calloc(count, sizeof(*order));
	struct rand rand;

	for (uint32_t i = 0; order && i < count; i++)
		order[i] = i;
	rand_init(&rand, seed);
	for (uint32_t left = count; order && left > 1; left--) {
		uint32_t other = (uint32_t)rand_below(&rand, left), label = order[other];

		order[other] = order[left - 1];
		order[left - 1] = label;
	}
	return order;
}

int churn_run(const struct churn_options *options, struct live *live, struct churn_result *result)
{
	struct churn churn = {.options = options, .live = live, .result = result};
	uint32_t *order = draw_order(options->base->count, options->live.build.seed);
	int status = CMD_FAILED;

	*result = (struct churn_result){0};
	hist_init(&result->puts);
	hist_init(&result->searches);
	hist_init(&result->merging_searches);
	churn.hits = malloc(options->k * sizeof(*churn.hits));
	if (order && churn.hits &&
	    !live_search_new(live, MAX(options->k, options->ef), &churn.search))
		status = write_all(&churn, order);
	else
		(void)cmd_fail("out of memory");
	live_search_free(churn.search);
	free(churn.hits);
	free(order);
	return status;
}

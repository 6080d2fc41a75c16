/* SPDX-License-Identifier: Apache-2.0 */
#include "perf/lib/echo_load.h"

#include "base/clock.h"
#include "base/defs.h"
#include "perf/lib/paired.h"

/* Silence after which frames under way are given up. */
#define LOST_NS (50 * NS_PER_MS)

/* Polls between two looks at the clock. */
#define CLOCK_EVERY 64

struct run {
	const struct echo_load_ops *ops;
	void *context;
	unsigned window, under_way;
	uint64_t received, lost;
	uint64_t heard_ns;
};

static void take(struct run *run)
{
	unsigned count = run->ops->poll(run->context);

	/* Frames that were given up may still come. */
	run->under_way -= MIN(count, run->under_way);
	run->received += count;
}

static void give_up(struct run *run, uint64_t now_ns, uint64_t *seen)
{
	if (run->received != *seen) {
		*seen = run->received;
		run->heard_ns = now_ns;
	} else if (now_ns - run->heard_ns > LOST_NS) {
		run->lost += run->under_way;
		run->under_way = 0;
		run->heard_ns = now_ns;
	}
}

static void drain(struct run *run)
{
	uint64_t end_ns = clock_now_ns() + LOST_NS;

	while (run->under_way > 0 && clock_now_ns() < end_ns)
		take(run);
	run->lost += run->under_way;
}

static double keep_window(struct run *run, uint64_t duration_ns)
{
	static _Thread_local double rates[ECHO_LOAD_SLICE_MAX];
	uint64_t begin_ns = clock_now_ns(), now_ns = begin_ns, seen = 0;
	uint64_t slice_ns = begin_ns, slice_received = 0;
	unsigned count = 0;

	run->heard_ns = begin_ns;
	for (unsigned turn = 1; now_ns - begin_ns < duration_ns && count < ECHO_LOAD_SLICE_MAX;
	     turn++) {
		if (run->under_way < run->window)
			run->under_way +=
				run->ops->send(run->context, run->window - run->under_way);
		take(run);
		if (turn % CLOCK_EVERY != 0)
			continue;
		now_ns = clock_now_ns();
		give_up(run, now_ns, &seen);
		if (now_ns - slice_ns < ECHO_LOAD_SLICE_NS)
			continue;
		rates[count++] = (double)(run->received - slice_received) /
				 ((double)(now_ns - slice_ns) / (double)NS_PER_S);
		slice_ns = now_ns;
		slice_received = run->received;
	}
	return count > 0 ? paired_quantile(rates, count, 0.9) : 0;
}

/* One frame at a time, each of them timed. */
static void time_each(struct run *run, uint64_t duration_ns, struct echo_load_result *result)
{
	static _Thread_local double samples[ECHO_LOAD_SAMPLE_MAX];
	uint64_t begin_ns = clock_now_ns(), now_ns = begin_ns;
	unsigned count = 0;

	while (now_ns - begin_ns < duration_ns && count < ECHO_LOAD_SAMPLE_MAX) {
		uint64_t sent_ns = clock_now_ns(), before = run->received;

		run->under_way = run->ops->send(run->context, 1);
		do {
			take(run);
			now_ns = clock_now_ns();
		} while (run->received == before && now_ns - sent_ns < LOST_NS);
		if (run->received == before)
			run->lost++;
		else
			samples[count++] = (double)(now_ns - sent_ns) / (double)NS_PER_US;
	}
	run->under_way = 0;
	if (count == 0)
		return;
	result->rate = (double)count / ((double)(now_ns - begin_ns) / (double)NS_PER_S);
	result->p50_us = paired_quantile(samples, count, 0.5);
	result->p99_us = paired_quantile(samples, count, 0.99);
}

struct echo_load_result echo_load_run(const struct echo_load_ops *ops, void *context,
				      unsigned window, uint64_t duration_ns)
{
	struct run run = {.ops = ops, .context = context, .window = window};
	struct echo_load_result result = {0};

	if (window == 1)
		time_each(&run, duration_ns, &result);
	else
		result.rate = keep_window(&run, duration_ns);
	drain(&run);
	result.lost = run.lost;
	return result;
}

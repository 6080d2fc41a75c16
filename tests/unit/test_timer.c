/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/timer.h"

#include "base/rand.h"
#include "tests/lib/test.h"

#include <stdio.h>

#define TICK TIMER_TICK_NS

/* A timer that remembers when it fired. */
struct probe {
	struct timer timer;
	uint64_t fired_ns;
	unsigned count;
	struct timer_wheel *wheel; /* where it starts itself again, when 'period_ns' isn't 0 */
	uint64_t period_ns;
	struct timer *victim; /* stopped when it fires */
};

static void probe_fire(struct timer *timer, uint64_t now_ns)
{
	struct probe *probe = (struct probe *)timer;

	probe->fired_ns = now_ns;
	probe->count++;
	if (probe->victim)
		timer_stop(probe->wheel, probe->victim);
	if (probe->period_ns)
		timer_start(probe->wheel, timer, now_ns + probe->period_ns, probe_fire);
}

static void a_timer_fires_once_within_a_tick_and_never_early(void **state)
{
	struct timer_wheel wheel;
	struct probe probe = {0};
	uint64_t due = 10 * TICK + 300;

	timer_wheel_init(&wheel, 0);
	timer_start(&wheel, &probe.timer, due, probe_fire);
	assert_true(timer_running(&probe.timer));
	for (uint64_t now = 0; now < 20 * TICK; now += 1000) {
		timer_wheel_run(&wheel, now);
		if (now < due)
			assert_int_equal(probe.count, 0);
	}
	assert_int_equal(probe.count, 1);
	assert_in_range(probe.fired_ns, due, due + TICK);
	assert_false(timer_running(&probe.timer));
}

static void a_stopped_timer_does_not_fire(void **state)
{
	struct timer_wheel wheel;
	struct probe probes[3] = {0};

	timer_wheel_init(&wheel, 0);
	for (unsigned i = 0; i < 3; i++)
		timer_start(&wheel, &probes[i].timer, 5 * TICK, probe_fire);
	timer_stop(&wheel, &probes[1].timer);
	timer_stop(&wheel, &probes[1].timer);
	timer_wheel_run(&wheel, 10 * TICK);
	assert_int_equal(probes[0].count, 1);
	assert_int_equal(probes[1].count, 0);
	assert_int_equal(probes[2].count, 1);
}

static void starting_again_moves_the_due_time(void **state)
{
	struct timer_wheel wheel;
	struct probe probe = {0};

	timer_wheel_init(&wheel, 0);
	timer_start(&wheel, &probe.timer, 5 * TICK, probe_fire);
	timer_start(&wheel, &probe.timer, 50 * TICK, probe_fire);
	timer_wheel_run(&wheel, 40 * TICK);
	assert_int_equal(probe.count, 0);
	timer_wheel_run(&wheel, 52 * TICK);
	assert_int_equal(probe.count, 1);
}

static void a_timer_further_than_a_turn_waits_for_its_turn(void **state)
{
	struct timer_wheel wheel;
	struct probe probe = {0};
	uint64_t due = (3 * TIMER_SLOT_COUNT + 7) * TICK;

	timer_wheel_init(&wheel, 0);
	timer_start(&wheel, &probe.timer, due, probe_fire);
	for (uint64_t now = 0; now < due; now += TICK / 2) {
		timer_wheel_run(&wheel, now);
		assert_int_equal(probe.count, 0);
	}
	timer_wheel_run(&wheel, due + TICK);
	assert_int_equal(probe.count, 1);
}

static void after_a_long_sleep_all_that_is_due_fires_once(void **state)
{
	struct timer_wheel wheel;
	struct probe probes[600] = {0};

	timer_wheel_init(&wheel, 0);
	for (unsigned i = 0; i < 600; i++)
		timer_start(&wheel, &probes[i].timer, i * TICK, probe_fire);
	timer_wheel_run(&wheel, 5000 * TICK);
	for (unsigned i = 0; i < 600; i++)
		assert_int_equal(probes[i].count, 1);
	assert_int_equal(timer_wheel_due_ns(&wheel), UINT64_MAX);
}

static void a_timer_may_start_itself_and_stop_others_of_its_slot(void **state)
{
	struct timer_wheel wheel;
	struct probe first = {0};
	struct probe second = {0};

	timer_wheel_init(&wheel, 0);
	first.wheel = second.wheel = &wheel;
	first.period_ns = 2 * TICK;
	/* Whichever runs first stops the other for good. */
	first.victim = &second.timer;
	second.victim = &first.timer;
	timer_start(&wheel, &first.timer, 3 * TICK, probe_fire);
	timer_start(&wheel, &second.timer, 3 * TICK, probe_fire);
	timer_wheel_run(&wheel, 4 * TICK);
	assert_int_equal(first.count + second.count, 1);
	first.victim = NULL;
	second.count = 0;
	timer_start(&wheel, &first.timer, 5 * TICK, probe_fire);
	first.count = 0;
	for (uint64_t now = 5 * TICK; now < 25 * TICK; now += TICK)
		timer_wheel_run(&wheel, now);
	assert_in_range(first.count, 5, 10);
	assert_int_equal(second.count, 0);
}

static void what_is_overdue_at_its_start_fires_next(void **state)
{
	struct timer_wheel wheel;
	struct probe probe = {0};

	timer_wheel_init(&wheel, 1000 * TICK);
	timer_start(&wheel, &probe.timer, 5, probe_fire);
	timer_wheel_run(&wheel, 1002 * TICK);
	assert_int_equal(probe.count, 1);
}

static void a_due_time_without_end_is_never_reached(void **state)
{
	struct timer_wheel wheel;
	struct probe probe = {0};

	timer_wheel_init(&wheel, 0);
	timer_start(&wheel, &probe.timer, UINT64_MAX, probe_fire);
	timer_wheel_run(&wheel, 100000 * TICK);
	assert_int_equal(probe.count, 0);
	assert_int_equal(timer_wheel_due_ns(&wheel), UINT64_MAX);
	timer_stop(&wheel, &probe.timer);
}

/* Against the plainest model: an array of due times. */
static void any_mix_of_starts_and_stops_fires_as_the_model_says(void **state)
{
	enum { COUNT = 64 };
	struct timer_wheel wheel;
	struct probe probes[COUNT] = {0};
	uint64_t due[COUNT] = {0}; /* 0: not running */
	uint64_t now = 7 * TICK;
	struct rand rand;

	print_message("seed 1\n");
	rand_init(&rand, 1);
	timer_wheel_init(&wheel, now);
	for (unsigned step = 0; step < 20000; step++) {
		unsigned i = (unsigned)rand_below(&rand, COUNT);

		if (rand_below(&rand, 4) == 0) {
			timer_stop(&wheel, &probes[i].timer);
			due[i] = 0;
		} else {
			due[i] = now + rand_below(&rand, 400 * TICK);
			timer_start(&wheel, &probes[i].timer, due[i], probe_fire);
		}
		now += rand_below(&rand, rand_below(&rand, 50) ? TICK / 2 : 600 * TICK);
		/* The wheel's own answer must be enough to not sleep through anything. */
		uint64_t wake = timer_wheel_due_ns(&wheel);

		timer_wheel_run(&wheel, now);
		for (unsigned j = 0; j < COUNT; j++) {
			if (!due[j]) {
				assert_int_equal(probes[j].count, 0);
				continue;
			}
			if (probes[j].count) {
				assert_int_equal(probes[j].count, 1);
				assert_true(due[j] <= now);
				assert_true(wake <= now);
				probes[j].count = 0;
				due[j] = 0;
			} else {
				assert_true(due[j] + TICK > now);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_timer_fires_once_within_a_tick_and_never_early),
		cmocka_unit_test(a_stopped_timer_does_not_fire),
		cmocka_unit_test(starting_again_moves_the_due_time),
		cmocka_unit_test(a_timer_further_than_a_turn_waits_for_its_turn),
		cmocka_unit_test(after_a_long_sleep_all_that_is_due_fires_once),
		cmocka_unit_test(a_timer_may_start_itself_and_stop_others_of_its_slot),
		cmocka_unit_test(what_is_overdue_at_its_start_fires_next),
		cmocka_unit_test(a_due_time_without_end_is_never_reached),
		cmocka_unit_test(any_mix_of_starts_and_stops_fires_as_the_model_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

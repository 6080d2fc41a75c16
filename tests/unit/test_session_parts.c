/* SPDX-License-Identifier: Apache-2.0 */

/* The session's small parts against plain models: timer, pool, window, round trip. */

#include "base/rand.h"
#include "proto/session_pool.h"
#include "proto/session_rtt.h"
#include "proto/session_timer.h"
#include "proto/session_window.h"
#include "tests/lib/test.h"

#include <string.h>

#define TIMER_COUNT 50

static void the_timer_knows_the_earliest_of_all(void **state)
{
	uint64_t model[TIMER_COUNT];
	struct session_timer timer;
	struct rand rand;

	rand_init(&rand, 1);
	memset(model, 0xFF, sizeof(model));
	assert_int_equal(session_timer_init(&timer, TIMER_COUNT), 0);
	for (unsigned step = 0; step < 20000; step++) {
		uint32_t session = (uint32_t)rand_below(&rand, TIMER_COUNT);
		uint64_t earliest = UINT64_MAX;

		if (rand_below(&rand, 3)) {
			model[session] = rand_below(&rand, 1000);
			session_timer_set(&timer, session, model[session]);
		} else {
			model[session] = UINT64_MAX;
			session_timer_clear(&timer, session);
		}
		for (unsigned i = 0; i < TIMER_COUNT; i++)
			earliest = MIN(earliest, model[i]);
		assert_int_equal(session_timer_due_ns(&timer), earliest);
	}
	session_timer_deinit(&timer);
}

static void the_pool_lends_each_buffer_once_and_large_enough(void **state)
{
	struct session_pool pool;
	uint8_t *buffers[64];
	unsigned count = 0;

	assert_int_equal(session_pool_init(&pool, 1184, 1 << 20, 4), 0);
	/* 32 of a frame, 4 of 16 KiB, 2 of 128 KiB, 2 of 1 MiB. */
	while ((buffers[count] = session_pool_get(&pool, 1000))) {
		memset(buffers[count], (int)count, 1000);
		count++;
	}
	assert_int_equal(count, 40);
	assert_int_equal(session_pool_used(&pool), 40);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(buffers[i][999], i);
	assert_null(session_pool_get(&pool, 1));
	for (unsigned i = 0; i < count; i++)
		session_pool_put(&pool, buffers[i]);
	session_pool_put(&pool, NULL);
	assert_int_equal(session_pool_used(&pool), 0);
	for (count = 0; (buffers[count] = session_pool_get(&pool, 1 << 20)); count++)
		memset(buffers[count], 1, 1 << 20);
	assert_int_equal(count, 2);
	assert_null(session_pool_get(&pool, (1 << 20) + 1));
	session_pool_deinit(&pool);
}

static void a_pool_of_nothing_lends_nothing(void **state)
{
	struct session_pool pool;

	assert_int_equal(session_pool_init(&pool, 1184, 1 << 20, 0), 0);
	assert_null(session_pool_get(&pool, 1));
	session_pool_deinit(&pool);
}

static void the_window_agrees_with_a_list_of_flags(void **state)
{
	struct rand rand;

	rand_init(&rand, 2);
	for (unsigned round = 0; round < 200; round++) {
		uint16_t count = (uint16_t)(1 + rand_below(&rand, 300));
		struct session_window window = session_window_open(0, count);
		bool got[512] = {false};
		unsigned base = 0, left = count;

		while (left) {
			uint16_t index;
			unsigned missing = 0;
			bool fresh;

			session_window_reach(&window);
			index = (uint16_t)(window.base + rand_below(&rand, 80));
			fresh = index < count && index < base + SESSION_WINDOW_MAX && !got[index];
			assert_int_equal(session_window_lacks(&window, index), fresh);
			assert_int_equal(session_window_confirm(&window, index), fresh);
			got[index] = got[index] || fresh;
			left -= fresh;
			while (base < count && got[base])
				base++;
			assert_int_equal(window.base, base);
			for (unsigned i = base; i < window.next; i++)
				missing += !got[i];
			assert_int_equal(session_window_missing(&window), missing);
		}
		assert_int_equal(window.base, count);
	}
}

static void the_retransmission_time_follows_the_round_trip(void **state)
{
	struct session_rtt rtt = {.rto_ns = SESSION_RTO_FIRST_NS};

	/* RFC 6298, 2.2: the first sample gives SRTT = R, RTTVAR = R / 2. */
	session_rtt_sample(&rtt, 8000000, 1);
	assert_int_equal(rtt.smoothed_ns, 8000000);
	assert_int_equal(rtt.rto_ns, 8000000 + 4 * 4000000);
	/* 2.3: RTTVAR = 3/4 RTTVAR + 1/4 |SRTT - R|, then SRTT = 7/8 SRTT + 1/8 R. */
	session_rtt_sample(&rtt, 16000000, 1);
	assert_int_equal(rtt.variation_ns, 5000000);
	assert_int_equal(rtt.smoothed_ns, 9000000);
	assert_int_equal(rtt.rto_ns, 29000000);
	for (unsigned i = 0; i < 200; i++)
		session_rtt_sample(&rtt, 10000, SESSION_RTO_NS_MIN);
	assert_int_equal(rtt.rto_ns, SESSION_RTO_NS_MIN);
	session_rtt_sample(&rtt, UINT64_C(60000000000), SESSION_RTO_NS_MIN);
	assert_int_equal(rtt.rto_ns, SESSION_RTO_NS_MAX);
}

static void repeats_back_off_to_a_limit(void **state)
{
	struct session_rtt rtt = {.rto_ns = SESSION_RTO_NS_MIN};

	assert_int_equal(session_rtt_wait_ns(&rtt, 0), SESSION_RTO_NS_MIN);
	assert_int_equal(session_rtt_wait_ns(&rtt, 3), 8 * SESSION_RTO_NS_MIN);
	assert_int_equal(session_rtt_wait_ns(&rtt, 8), SESSION_RTO_NS_MAX);
	assert_int_equal(session_rtt_wait_ns(&rtt, 255), SESSION_RTO_NS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_timer_knows_the_earliest_of_all),
		cmocka_unit_test(the_pool_lends_each_buffer_once_and_large_enough),
		cmocka_unit_test(a_pool_of_nothing_lends_nothing),
		cmocka_unit_test(the_window_agrees_with_a_list_of_flags),
		cmocka_unit_test(the_retransmission_time_follows_the_round_trip),
		cmocka_unit_test(repeats_back_off_to_a_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/loop.h"

#include "tests/lib/test.h"

#include <pthread.h>
#include <string.h>

enum { CORE_COUNT = 3, FRAME_SIZE = 1452, SEND_COUNT = 20000 };

static struct addr cores[CORE_COUNT];

static struct loop *make(bool all)
{
	struct loop *loop;

	for (uint16_t i = 0; i < CORE_COUNT; i++)
		assert_int_equal(addr_parse("10.0.0.1", (uint16_t)(7400 + i), &cores[i]), 0);
	assert_int_equal(loop_new(cores, CORE_COUNT, FRAME_SIZE, all, &loop), 0);
	return loop;
}

static bool send_number(struct loop *loop, uint32_t from, uint32_t to, uint32_t number)
{
	return loop_send(loop, from, &cores[to], "head", 4, &number, sizeof(number));
}

static uint32_t number_of(const struct port_frame *frame)
{
	uint32_t number;

	assert_int_equal(frame->size, 8);
	assert_memory_equal(frame->bytes, "head", 4);
	memcpy(&number, frame->bytes + 4, sizeof(number));
	return number;
}

static void a_frame_to_the_own_core_comes_back_from_it(void **state)
{
	struct loop *loop = make(/* all= */ false);
	struct port_frame frames[PORT_BURST_MAX];

	assert_false(loop_waits(loop, 1));
	assert_true(send_number(loop, 1, 1, 7));
	assert_true(loop_waits(loop, 1));
	assert_int_equal(loop_receive(loop, 0, frames, PORT_BURST_MAX), 0);
	assert_int_equal(loop_receive(loop, 1, frames, PORT_BURST_MAX), 1);
	assert_int_equal(number_of(&frames[0]), 7);
	assert_true(addr_equal(&frames[0].from, &cores[1]));
	loop_release(loop, frames, 1);
	assert_false(loop_waits(loop, 1));
	loop_free(loop);
}

static void what_the_loop_does_not_carry_is_left_to_the_port(void **state)
{
	struct loop *loop = make(/* all= */ false);
	struct addr stranger = cores[0];

	stranger.port = 9999;
	assert_false(send_number(loop, 0, 1, 7));
	assert_false(loop_send(loop, 0, &stranger, "head", 4, NULL, 0));
	loop_free(loop);
}

static void a_full_ring_drops_and_takes_again_once_released(void **state)
{
	struct loop *loop = make(/* all= */ true);
	struct port_frame frames[LOOP_OTHER_MAX + 1];

	for (uint32_t i = 0; i < LOOP_OTHER_MAX + 5; i++)
		assert_true(send_number(loop, 0, 2, i));
	assert_int_equal(loop_receive(loop, 2, frames, LOOP_OTHER_MAX + 1), LOOP_OTHER_MAX);
	for (uint32_t i = 0; i < LOOP_OTHER_MAX; i++)
		assert_int_equal(number_of(&frames[i]), i);
	/* Borrowed frames are not overwritten. */
	assert_true(send_number(loop, 0, 2, 999));
	assert_int_equal(number_of(&frames[0]), 0);
	loop_release(loop, frames, LOOP_OTHER_MAX);
	assert_int_equal(loop_receive(loop, 2, frames, 1), 0);
	assert_true(send_number(loop, 0, 2, 1000));
	assert_int_equal(loop_receive(loop, 2, frames, 1), 1);
	assert_int_equal(number_of(&frames[0]), 1000);
	loop_release(loop, frames, 1);
	loop_free(loop);
}

static _Atomic bool sender_ended;

static void *sender(void *loop)
{
	void *failed = NULL;

	for (uint32_t i = 1; i <= SEND_COUNT && !failed; i++)
		failed = send_number(loop, 0, 1, i) ? NULL : loop;
	sender_ended = true;
	return failed;
}

/* Some are dropped; none comes out of order, twice, or torn. */
static void two_threads_pass_frames_in_order(void **state)
{
	struct loop *loop = make(/* all= */ true);
	struct port_frame frames[PORT_BURST_MAX];
	pthread_t thread;
	uint32_t last = 0;
	void *failed;

	assert_int_equal(pthread_create(&thread, NULL, sender, loop), 0);
	while (last < SEND_COUNT) {
		bool ended = sender_ended; /* before looking: what was sent by then is there */
		unsigned count = loop_receive(loop, 1, frames, PORT_BURST_MAX);

		if (!count && ended)
			break;
		for (unsigned i = 0; i < count; i++) {
			uint32_t number = number_of(&frames[i]);

			assert_true(number > last && number <= SEND_COUNT);
			last = number;
		}
		loop_release(loop, frames, count);
	}
	pthread_join(thread, &failed);
	assert_null(failed);
	assert_true(last > 0);
	loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frame_to_the_own_core_comes_back_from_it),
		cmocka_unit_test(what_the_loop_does_not_carry_is_left_to_the_port),
		cmocka_unit_test(a_full_ring_drops_and_takes_again_once_released),
		cmocka_unit_test(two_threads_pass_frames_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

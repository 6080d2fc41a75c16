/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/msg.h"

#include "tests/lib/test.h"

#include <errno.h>
#include <poll.h>

static bool wake_fd_readable(const struct msg_box *box)
{
	struct pollfd fd = {.fd = box->wake_fd, .events = POLLIN};

	return poll(&fd, 1, 0) == 1;
}

static void a_posted_message_wakes_and_is_done_once_taken(void **state)
{
	struct msg msg = {.kind = MSG_DRAIN};
	struct msg_box box;

	assert_int_equal(msg_box_init(&box), 0);
	assert_false(wake_fd_readable(&box));
	assert_int_equal(msg_post(&box, &msg), 0);
	assert_true(wake_fd_readable(&box));
	msg_box_rest(&box);
	assert_false(wake_fd_readable(&box));
	assert_ptr_equal(msg_take(&box), &msg);
	assert_null(msg_take(&box));
	msg_done(&msg, true);
	assert_true(msg_wait(&msg));
	msg_box_deinit(&box);
}

static void a_full_box_refuses_and_a_closed_one_gives_everything_back(void **state)
{
	struct msg msgs[MSG_BOX_MAX + 1] = {0};
	struct msg_box box;

	assert_int_equal(msg_box_init(&box), 0);
	for (unsigned i = 0; i < MSG_BOX_MAX; i++)
		assert_int_equal(msg_post(&box, &msgs[i]), 0);
	assert_int_equal(msg_post(&box, &msgs[MSG_BOX_MAX]), -EAGAIN);
	msg_box_close(&box);
	for (unsigned i = 0; i < MSG_BOX_MAX; i++)
		assert_false(msg_wait(&msgs[i]));
	assert_int_equal(msg_post(&box, &msgs[0]), -ESHUTDOWN);
	msg_box_deinit(&box);
}

enum { SENDER_COUNT = 4, ROUND_COUNT = 50 };

static void *sender(void *argument)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < ROUND_COUNT; i++) {
		uint64_t value = 0;
		struct msg msg = {.kind = MSG_SNAPSHOT, .argument = &value};

		if (msg_post(argument, &msg) || !msg_wait(&msg))
			return NULL;
		sum += value;
	}
	return (void *)(uintptr_t)sum;
}

static void many_senders_each_get_their_own_answer(void **state)
{
	pthread_t threads[SENDER_COUNT];
	struct msg_box box;
	uint64_t total = 0;

	assert_int_equal(msg_box_init(&box), 0);
	for (unsigned i = 0; i < SENDER_COUNT; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, sender, &box), 0);
	for (uint64_t handled = 0; handled < SENDER_COUNT * ROUND_COUNT;) {
		struct msg *msg = msg_take(&box);

		if (!msg)
			continue;
		*(uint64_t *)msg->argument = ++handled;
		msg_done(msg, true);
	}
	for (unsigned i = 0; i < SENDER_COUNT; i++) {
		void *sum;

		pthread_join(threads[i], &sum);
		assert_non_null(sum);
		total += (uintptr_t)sum;
	}
	assert_int_equal(total, SENDER_COUNT * ROUND_COUNT * (SENDER_COUNT * ROUND_COUNT + 1) / 2);
	msg_box_deinit(&box);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_posted_message_wakes_and_is_done_once_taken),
		cmocka_unit_test(a_full_box_refuses_and_a_closed_one_gives_everything_back),
		cmocka_unit_test(many_senders_each_get_their_own_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"

#include "cluster/leg.h"
#include "cluster/route.h"
#include "proto/status.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static struct addr at(uint8_t host, uint16_t port)
{
	struct addr addr = {.port = port};

	addr.ip[15] = host;
	return addr;
}

static struct route *new_route(uint32_t server_count)
{
	struct addr servers[3] = {at(1, 7400), at(2, 7400), at(3, 7400)};
	struct route *route;
	uint32_t id;

	assert_int_equal(route_new(servers, server_count, 2, &route), 0);
	assert_int_equal(route_collection(route, "words", 5, &id), 0);
	assert_int_equal(id, 0);
	return route;
}

static void limits_are_kept(void **state)
{
	struct addr servers[ROUTE_SERVER_MAX + 1] = {{{0}, 0}};
	char name[300];
	struct route *route = NULL;
	uint32_t id = 77;

	assert_int_equal(route_new(servers, 0, 1, &route), -EINVAL);
	assert_int_equal(route_new(servers, ROUTE_SERVER_MAX + 1, 1, &route), -EINVAL);
	assert_int_equal(route_new(servers, 1, 0, &route), -EINVAL);
	assert_int_equal(route_new(servers, 1, ROUTE_COLLECTION_MAX + 1, &route), -EINVAL);
	assert_null(route);
	route = new_route(1);
	memset(name, 'x', sizeof(name));
	assert_int_equal(route_collection(route, name, 0, &id), -EINVAL);
	assert_int_equal(route_collection(route, name, 256, &id), -EINVAL);
	assert_int_equal(route_collection(route, "a\0b", 3, &id), -EINVAL);
	assert_int_equal(id, 77);
	assert_int_equal(route_collection(route, name, 255, &id), 0);
	assert_int_equal(route_collection(route, "third", 5, &id), ROUTE_E_FULL);
	assert_int_equal(route_collection(route, "words", 5, &id), 0);
	assert_int_equal(id, 0);
	assert_string_equal(route_collection_name(route, 0), "words");
	route_free(route);
	route_free(NULL);
}

static void a_newer_epoch_is_taken_and_an_older_one_refused(void **state)
{
	struct route *route = new_route(1);
	struct addr first = at(1, 7401), second = at(2, 7402), third = at(3, 7403);

	assert_null(route_find(route, 0, 9));
	assert_int_equal(route_learn(route, 0, 9, &first, 5), 0);
	assert_int_equal(route_learn(route, 0, 9, &second, 4), ROUTE_E_STALE);
	assert_true(addr_equal(&route_find(route, 0, 9)->at, &first));
	assert_int_equal(route_learn(route, 0, 9, &second, 5), 0);
	assert_true(addr_equal(&route_find(route, 0, 9)->at, &second));
	assert_int_equal(route_learn(route, 0, 9, &third, 6), 0);
	assert_true(addr_equal(&route_find(route, 0, 9)->at, &third));
	assert_int_equal(route_epoch(route), 6);
	assert_null(route_find(route, 0, 8));
	route_free(route);
}

static void forgetting_keeps_the_epoch_and_other_places(void **state)
{
	struct route *route = new_route(1);
	struct addr first = at(1, 7401), second = at(2, 7402);

	assert_int_equal(route_learn(route, 0, 9, &first, 5), 0);
	route_forget(route, 0, 9, &second);
	assert_non_null(route_find(route, 0, 9));
	route_forget(route, 0, 9, &first);
	assert_null(route_find(route, 0, 9));
	assert_int_equal(route_learn(route, 0, 9, &first, 4), ROUTE_E_STALE);
	assert_int_equal(route_learn(route, 0, 9, &first, 5), 0);
	route_free(route);
}

/* What the fake session was last asked, and what it says to it. */
struct fake {
	struct addr to;
	uint64_t tag;
	uint64_t deadline_ns;
	uint32_t ask_count;
	int result;
};

static int fake_ask(void *context, const struct addr *to, const struct session_call *call,
		    uint64_t now_ns)
{
	struct fake *fake = context;

	fake->to = *to;
	fake->tag = call->tag;
	fake->deadline_ns = call->deadline_ns;
	fake->ask_count++;
	return fake->result;
}

static const struct leg_ops fake_ops = {.ask = fake_ask};

static void ask(struct leg *leg, struct route *route, struct fake *fake, uint64_t now_ns)
{
	leg_send(leg, route, &fake_ops, fake, 42, UINT64_MAX, now_ns);
}

static void answer(struct leg *leg, struct route *route, uint16_t status, uint32_t hint)
{
	struct session_answer got = {.status = status, .hint = hint, .epoch = 3, .size = 10};

	leg_take(leg, route, &got, 0);
}

static void a_leg_follows_the_hint_to_another_port_and_teaches_the_table(void **state)
{
	struct route *route = new_route(1);
	struct leg leg = {0};
	struct fake fake = {.result = 0};
	struct addr there = at(1, 7403);

	leg_begin(&leg, route, 0, 9, 0, 3);
	ask(&leg, route, &fake, 0);
	assert_int_equal(leg.state, LEG_ASKED);
	assert_int_equal(fake.to.port, 7400);
	assert_int_equal(fake.tag, 42);
	answer(&leg, route, STATUS_SHARD_ELSEWHERE, 7403);
	assert_int_equal(leg.state, LEG_READY);
	ask(&leg, route, &fake, 0);
	assert_true(addr_equal(&fake.to, &there));
	answer(&leg, route, STATUS_OK, 0);
	assert_int_equal(leg.state, LEG_ANSWERED);
	assert_int_equal(leg.answer_size, 10);
	assert_true(addr_equal(&route_find(route, 0, 9)->at, &there));

	leg_begin(&leg, route, 0, 9, 0, 3);
	ask(&leg, route, &fake, 0);
	assert_true(addr_equal(&fake.to, &there));
	route_free(route);
}

static void hints_that_go_round_in_circles_end(void **state)
{
	struct route *route = new_route(1);
	struct leg leg = {0};
	struct fake fake = {.result = 0};
	unsigned steps = 0;

	leg_begin(&leg, route, 0, 9, 0, 2);
	while (!leg_is_over(&leg)) {
		ask(&leg, route, &fake, leg.due_ns);
		assert_int_equal(leg.state, LEG_ASKED);
		answer(&leg, route, STATUS_SHARD_ELSEWHERE, 7401 + steps++ % 2);
		assert_true(steps < 100);
	}
	assert_int_equal(leg.status, STATUS_SHARD_ELSEWHERE);
	/* Three rounds, each with the first request and LEG_HINT_MAX hints. */
	assert_int_equal(steps, 3 * (1 + LEG_HINT_MAX));
	route_free(route);
}

static void a_hint_that_is_no_port_is_not_followed(void **state)
{
	static const uint32_t hints[] = {0, 65536, 7400};

	for (size_t i = 0; i < 3; i++) {
		struct route *route = new_route(2);
		struct leg leg = {0};
		struct fake fake = {.result = 0};

		leg_begin(&leg, route, 0, 9, 0, 0);
		ask(&leg, route, &fake, 0);
		answer(&leg, route, STATUS_SHARD_ELSEWHERE, hints[i]);
		ask(&leg, route, &fake, 0);
		assert_int_equal(fake.to.ip[15], 2);
		route_free(route);
	}
}

static void every_server_is_asked_once_before_a_shard_is_nowhere(void **state)
{
	struct route *route = new_route(3);
	struct leg leg = {0};
	struct fake fake = {.result = 0};
	unsigned hosts = 0;

	leg_begin(&leg, route, 0, 9, 1, 5);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(leg.state, LEG_READY);
		ask(&leg, route, &fake, 0);
		hosts |= 1u << fake.to.ip[15];
		answer(&leg, route, STATUS_SHARD_NOT_HERE, 0);
	}
	assert_int_equal(hosts, 2 + 4 + 8);
	assert_int_equal(leg.state, LEG_FAILED);
	assert_int_equal(leg.status, STATUS_SHARD_NOT_HERE);
	route_free(route);
}

static void a_lost_place_is_forgotten_and_the_servers_asked(void **state)
{
	struct route *route = new_route(2);
	struct addr old = at(9, 7409);
	struct leg leg = {0};
	struct fake fake = {.result = 0};

	assert_int_equal(route_learn(route, 0, 9, &old, 1), 0);
	leg_begin(&leg, route, 0, 9, 0, 5);
	ask(&leg, route, &fake, 0);
	assert_true(addr_equal(&fake.to, &old));
	answer(&leg, route, STATUS_SESSION_LOST, 0);
	assert_null(route_find(route, 0, 9));
	ask(&leg, route, &fake, 0);
	assert_int_not_equal(fake.to.ip[15], 9);
	answer(&leg, route, STATUS_SHARD_NOT_HERE, 0);
	ask(&leg, route, &fake, 0);
	answer(&leg, route, STATUS_OK, 0);
	assert_int_equal(leg.state, LEG_ANSWERED);
	route_free(route);
}

static void overload_pauses_at_least_as_long_as_the_hint_and_gives_up(void **state)
{
	struct route *route = new_route(1);
	struct leg leg = {0};
	struct fake fake = {.result = 0};
	unsigned asked = 0;

	leg_begin(&leg, route, 0, 9, 0, 4);
	while (!leg_is_over(&leg)) {
		uint64_t now_ns = leg.due_ns;
		struct session_answer got = {.status = STATUS_OVERLOADED, .hint = 1000};

		ask(&leg, route, &fake, now_ns);
		asked++;
		leg_take(&leg, route, &got, now_ns);
		if (leg.state != LEG_PAUSED)
			continue;
		assert_true(leg.due_ns >= now_ns + 1000000);
		ask(&leg, route, &fake, leg.due_ns - 1);
		assert_int_equal(leg.state, LEG_PAUSED);
	}
	assert_int_equal(asked, 1 + 4);
	assert_int_equal(leg.status, STATUS_OVERLOADED);
	route_free(route);
}

static void pauses_double_up_to_the_longest(void **state)
{
	struct route *route = new_route(1);
	struct leg leg = {0};
	struct fake fake = {.result = 0};
	uint64_t expected_ns = LEG_PAUSE_MIN_NS;

	leg_begin(&leg, route, 0, 9, 0, 14);
	for (unsigned i = 0; i < 14; i++) {
		ask(&leg, route, &fake, leg.due_ns);
		leg.due_ns = 0;
		answer(&leg, route, STATUS_DRAINING, 0);
		assert_int_equal(leg.state, LEG_PAUSED);
		assert_int_equal(leg.due_ns, expected_ns);
		expected_ns =
			expected_ns * 2 < LEG_PAUSE_MAX_NS ? expected_ns * 2 : LEG_PAUSE_MAX_NS;
	}
	assert_int_equal(leg.due_ns, LEG_PAUSE_MAX_NS);
	ask(&leg, route, &fake, leg.due_ns);
	answer(&leg, route, STATUS_DRAINING, 0);
	assert_int_equal(leg.state, LEG_FAILED);
	assert_int_equal(leg.status, STATUS_DRAINING);
	route_free(route);
}

static void what_must_not_be_repeated_fails_at_once(void **state)
{
	struct route *route = new_route(2);
	struct leg leg = {0};
	struct fake fake = {.result = 0};

	leg_begin(&leg, route, 0, 9, 0, 5);
	ask(&leg, route, &fake, 0);
	answer(&leg, route, STATUS_INVALID, 0);
	assert_int_equal(leg.state, LEG_FAILED);
	assert_int_equal(leg.status, STATUS_INVALID);
	assert_int_equal(fake.ask_count, 1);
	route_free(route);
}

static void a_server_that_is_silent_is_left_for_the_next(void **state)
{
	struct session_answer late = {.status = STATUS_DEADLINE};
	struct route *route = new_route(2);
	struct leg leg = {0};
	struct fake fake = {.result = 0};

	leg_begin(&leg, route, 0, 9, 0, 0);
	leg_send(&leg, route, &fake_ops, &fake, 42, 10 * LEG_ATTEMPT_NS, 5);
	assert_int_equal(fake.deadline_ns, LEG_ATTEMPT_NS + 5);
	leg_take(&leg, route, &late, LEG_ATTEMPT_NS + 5);
	assert_int_equal(leg.state, LEG_READY);
	leg_send(&leg, route, &fake_ops, &fake, 42, 10 * LEG_ATTEMPT_NS, LEG_ATTEMPT_NS + 5);
	assert_int_equal(fake.to.ip[15], 2);
	answer(&leg, route, STATUS_OK, 0);
	assert_int_equal(leg.state, LEG_ANSWERED);

	/* A place that is known is waited for until the deadline, which is the end. */
	leg_begin(&leg, route, 0, 9, 0, 0);
	leg_send(&leg, route, &fake_ops, &fake, 42, 10 * LEG_ATTEMPT_NS, 5);
	assert_int_equal(fake.deadline_ns, 10 * LEG_ATTEMPT_NS);
	leg_take(&leg, route, &late, 10 * LEG_ATTEMPT_NS);
	assert_int_equal(leg.state, LEG_FAILED);
	assert_int_equal(leg.status, STATUS_DEADLINE);
	route_free(route);
}

static void a_busy_session_leaves_the_leg_ready(void **state)
{
	struct route *route = new_route(2);
	struct leg leg = {0};
	struct fake fake = {.result = SESSION_E_BUSY};

	leg_begin(&leg, route, 0, 9, 0, 5);
	ask(&leg, route, &fake, 0);
	assert_int_equal(leg.state, LEG_READY);
	fake.result = SESSION_E_LARGE;
	ask(&leg, route, &fake, 0);
	assert_int_equal(leg.state, LEG_FAILED);
	assert_int_equal(leg.status, STATUS_TOO_LARGE);

	leg_begin(&leg, route, 0, 9, 0, 1);
	fake.result = SESSION_E_CLOSED;
	fake.ask_count = 0;
	ask(&leg, route, &fake, 0);
	assert_int_equal(leg.state, LEG_PAUSED);
	assert_int_equal(fake.ask_count, 2);
	ask(&leg, route, &fake, leg.due_ns);
	assert_int_equal(leg.state, LEG_FAILED);
	assert_int_equal(leg.status, STATUS_UNREACHABLE);
	route_free(route);
}

static void an_answer_of_an_older_epoch_is_not_believed(void **state)
{
	struct route *route = new_route(2);
	struct addr newer = at(2, 7400);
	struct leg leg = {0};
	struct fake fake = {.result = 0};

	assert_int_equal(route_learn(route, 0, 9, &newer, 8), 0);
	route_forget(route, 0, 9, &newer);
	leg_begin(&leg, route, 0, 9, 0, 0);
	ask(&leg, route, &fake, 0);
	assert_int_equal(fake.to.ip[15], 1);
	answer(&leg, route, STATUS_OK, 0); /* of epoch 3 */
	assert_int_equal(leg.state, LEG_READY);
	ask(&leg, route, &fake, 0);
	assert_int_equal(fake.to.ip[15], 2);
	route_free(route);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limits_are_kept),
		cmocka_unit_test(a_newer_epoch_is_taken_and_an_older_one_refused),
		cmocka_unit_test(forgetting_keeps_the_epoch_and_other_places),
		cmocka_unit_test(a_leg_follows_the_hint_to_another_port_and_teaches_the_table),
		cmocka_unit_test(hints_that_go_round_in_circles_end),
		cmocka_unit_test(a_hint_that_is_no_port_is_not_followed),
		cmocka_unit_test(every_server_is_asked_once_before_a_shard_is_nowhere),
		cmocka_unit_test(a_lost_place_is_forgotten_and_the_servers_asked),
		cmocka_unit_test(overload_pauses_at_least_as_long_as_the_hint_and_gives_up),
		cmocka_unit_test(pauses_double_up_to_the_longest),
		cmocka_unit_test(what_must_not_be_repeated_fails_at_once),
		cmocka_unit_test(a_server_that_is_silent_is_left_for_the_next),
		cmocka_unit_test(a_busy_session_leaves_the_leg_ready),
		cmocka_unit_test(an_answer_of_an_older_epoch_is_not_believed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

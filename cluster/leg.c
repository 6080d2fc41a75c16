/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/leg.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/defs.h"
#include "proto/status.h"

void leg_begin(struct leg *leg, const struct route *route, uint32_t collection, uint32_t vshard,
	       uint32_t spread, uint32_t retry_max)
{
	const struct route_place *place = route_find(route, collection, vshard);

	CHECK(leg->state != LEG_ASKED);
	leg->state = LEG_READY;
	leg->status = STATUS_OK;
	leg->collection = collection;
	leg->vshard = vshard;
	leg->retry_max = retry_max;
	leg->retry_count = 0;
	leg->hint_count = 0;
	leg->server_count = 0;
	leg->server = spread % route_server_count(route);
	leg->due_ns = 0;
	leg->epoch = 0;
	leg->answer_size = 0;
	leg->attempt_ns = 0;
	if (place) {
		leg->at = place->at;
		return;
	}
	leg->at = *route_server(route, leg->server);
	leg->server_count = 1;
	if (route_server_count(route) > 1)
		leg->attempt_ns = LEG_ATTEMPT_NS;
}

static void fail(struct leg *leg, uint16_t status)
{
	leg->state = LEG_FAILED;
	if (leg->status == STATUS_OK || status != STATUS_SHARD_NOT_HERE)
		leg->status = status;
}

/* A pause that doubles with every retry, and is never shorter than 'least_ns'. */
static void pause_leg(struct leg *leg, uint64_t least_ns, uint64_t now_ns)
{
	uint64_t pause_ns = LEG_PAUSE_MIN_NS << MIN(leg->retry_count, 10u);

	if (leg->retry_count == leg->retry_max) {
		leg->state = LEG_FAILED;
		return;
	}
	leg->retry_count++;
	leg->hint_count = 0;
	leg->state = LEG_PAUSED;
	leg->due_ns = now_ns + MIN(MAX(pause_ns, least_ns), LEG_PAUSE_MAX_NS);
}

/* On to the next server; after the last one FAILED, or a pause when somebody may yet answer. */
static void next_server(struct leg *leg, const struct route *route, uint64_t now_ns)
{
	uint32_t count = route_server_count(route);

	leg->hint_count = 0;
	if (leg->server_count == count) {
		leg->server_count = 0;
		if (leg->status == STATUS_OK)
			fail(leg, STATUS_SHARD_NOT_HERE);
		else
			pause_leg(leg, 0, now_ns);
		if (leg->state == LEG_FAILED)
			return;
	} else {
		leg->state = LEG_READY;
	}
	leg->server = (leg->server + 1) % count;
	leg->at = *route_server(route, leg->server);
	leg->server_count++;
}

static void follow_hint(struct leg *leg, const struct route *route, uint32_t hint, uint64_t now_ns)
{
	if (hint == 0 || hint > UINT16_MAX || hint == leg->at.port ||
	    leg->hint_count == LEG_HINT_MAX) {
		leg->status = STATUS_SHARD_ELSEWHERE;
		next_server(leg, route, now_ns);
		return;
	}
	leg->hint_count++;
	leg->at.port = (uint16_t)hint;
	leg->state = LEG_READY;
}

void leg_send(struct leg *leg, struct route *route, const struct leg_ops *ops, void *context,
	      uint64_t tag, uint64_t deadline_ns, uint64_t now_ns)
{
	struct session_call call = {
		.bytes = leg->request,
		.size = leg->request_size,
		.answer = leg->answer,
		.answer_capacity = leg->answer_capacity,
		.deadline_ns = deadline_ns,
		.tag = tag,
	};

	leg->deadline_ns = deadline_ns;
	if (leg->attempt_ns)
		call.deadline_ns = MIN(deadline_ns, now_ns + leg->attempt_ns);
	if (leg->state == LEG_PAUSED && now_ns >= leg->due_ns)
		leg->state = LEG_READY;
	/* Ends: next_server() fails or pauses the leg after the last server. */
	while (leg->state == LEG_READY) {
		int result = ops->ask(context, &leg->at, &call, now_ns);

		if (result == 0) {
			leg->state = LEG_ASKED;
		} else if (result == SESSION_E_BUSY) {
			return;
		} else if (result == SESSION_E_LARGE) {
			fail(leg, STATUS_TOO_LARGE);
		} else {
			leg->status = STATUS_UNREACHABLE;
			route_forget(route, leg->collection, leg->vshard, &leg->at);
			next_server(leg, route, now_ns);
		}
	}
}

static void take_ok(struct leg *leg, struct route *route, const struct session_answer *answer,
		    uint64_t now_ns)
{
	if (route_learn(route, leg->collection, leg->vshard, &leg->at, answer->epoch) != 0) {
		leg->status = STATUS_STALE_EPOCH;
		next_server(leg, route, now_ns);
		return;
	}
	leg->state = LEG_ANSWERED;
	leg->status = STATUS_OK;
	leg->epoch = answer->epoch;
	leg->answer_size = answer->size;
}

void leg_take(struct leg *leg, struct route *route, const struct session_answer *answer,
	      uint64_t now_ns)
{
	CHECK(leg->state == LEG_ASKED);
	switch (answer->status) {
	case STATUS_OK:
		take_ok(leg, route, answer, now_ns);
		return;
	case STATUS_SHARD_ELSEWHERE:
		follow_hint(leg, route, answer->hint, now_ns);
		return;
	case STATUS_SHARD_NOT_HERE:
		route_forget(route, leg->collection, leg->vshard, &leg->at);
		next_server(leg, route, now_ns);
		return;
	case STATUS_OVERLOADED:
		leg->status = answer->status;
		pause_leg(leg, answer->hint * NS_PER_US, now_ns);
		return;
	}
	if (!status_retry(answer->status) && answer->status != STATUS_SESSION_LOST &&
	    !(answer->status == STATUS_DEADLINE && now_ns < leg->deadline_ns)) {
		fail(leg, answer->status);
		return;
	}
	leg->status = answer->status;
	route_forget(route, leg->collection, leg->vshard, &leg->at);
	next_server(leg, route, now_ns);
}

void leg_refuse(struct leg *leg, uint16_t status)
{
	CHECK(leg->state == LEG_ANSWERED);
	fail(leg, status);
}

bool leg_is_over(const struct leg *leg)
{
	return leg->state == LEG_ANSWERED || leg->state == LEG_FAILED;
}

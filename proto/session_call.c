/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Call - the requester's side of a request
 *
 *              session_call()
 *   IDLE --------------------> WAITING   (the session isn't open)
 *     |  \                        |  open
 *     |   +------------------> SENDING --ANSWER 0, more to come--> PULLING
 *     |                         |   |                                |
 *     |<---ANSWER 0, small------+   | deadline               deadline | all there
 *     |                             v                                v
 *     +<----------RELEASED------- RELEASING <------------------------+
 *
 * A call completes when it leaves SENDING or PULLING. RELEASING tells the
 * executor that a large answer, or a request whose deadline passed, may be
 * forgotten; only then is the slot used again, so that the executor never has
 * two requests of one slot to remember.
 *
 * A frame costs a credit from when it is first sent until it is confirmed: a
 * REQUEST by CREDIT or by the answer, a PULL by its ANSWER.
 */

#include "base/check.h"
#include "proto/session_internal.h"
#include "proto/status.h"

#include <string.h>

/* A frame is taken for lost when one sent so many later was confirmed (as TCP's three). */
#define CALL_REORDER_COUNT 3

static uint32_t call_bit(const struct call *call)
{
	return UINT32_C(1) << call->slot;
}

/* Frames that a message takes; division only for messages of several. */
static uint16_t frame_count(const struct session *session, uint32_t size)
{
	if (likely(size <= session->body_size))
		return 1;
	return (uint16_t)((size + session->body_size - 1) / session->body_size);
}

/* What is left, in whole microseconds but never 0, which means none; too much is none. */
static uint32_t deadline_budget_us(uint64_t deadline_ns, uint64_t now_ns)
{
	uint64_t left_us;

	if (deadline_ns == UINT64_MAX)
		return 0;
	if (deadline_ns <= now_ns)
		return 1;
	left_us = (deadline_ns - now_ns) / NS_PER_US;
	return left_us > UINT32_MAX ? 0 : (uint32_t)MAX(left_us, 1);
}

/* --- sending --- */

static void call_send_request(struct call *call, uint16_t index)
{
	struct session *session = call->session;
	uint32_t offset = index * session->body_size;
	struct frame frame = {
		.kind = FRAME_REQUEST,
		.index = index,
		.number = call->number,
		.message_size = call->size,
		.deadline_us = deadline_budget_us(call->deadline_ns, session->endpoint->now_ns),
		.hint = session->index,
		.body = call->bytes ? call->bytes + offset : NULL,
		.body_size = MIN(call->size - offset, session->body_size),
	};

	session_send(session, &frame);
}

static void call_send_bare(struct call *call, enum frame_kind kind, uint16_t index)
{
	session_send(call->session, &(struct frame){.kind = (uint8_t)kind,
						    .index = index,
						    .number = call->number,
						    .hint = call->session->index});
}

static void call_send(struct call *call, uint16_t index)
{
	if (call->state == CALL_SENDING)
		call_send_request(call, index);
	else
		call_send_bare(call, FRAME_PULL, index);
}

static void call_resend(struct call *call, uint16_t index)
{
	call->session->endpoint->stats.frames_resent++;
	call->sample_ns = 0;
	call_send(call, index);
}

/* Sets when the call is looked at again, unless something moves before. */
static void call_wait(struct call *call)
{
	struct session *session = call->session;
	uint64_t now_ns = session->endpoint->now_ns;

	if (!session->asked_ns)
		session->asked_ns = now_ns;
	call->due_ns = now_ns + session_rtt_wait_ns(&session->rtt, call->backoff);
	if (call->state != CALL_RELEASING)
		call->due_ns = MIN(call->due_ns, call->deadline_ns);
	session_arm(session, call->due_ns);
}

/* Sends what window and credits allow. */
static void call_pump(struct call *call)
{
	struct session *session = call->session;

	while (session->credits && session_window_can_grow(&call->window)) {
		if (!call->sample_ns) {
			call->sample_ns = session->endpoint->now_ns;
			call->sample_index = call->window.next;
		}
		session->credits--;
		call_send(call, call->window.next++);
	}
	if (session_window_can_grow(&call->window))
		session->starved |= call_bit(call);
	else
		session->starved &= ~call_bit(call);
}

/*
 * Credits came back: calls that lack them go on. They begin behind the one
 * that brought the credits, so that none is starved for long.
 */
static void session_share_credits(struct session *session, unsigned slot)
{
	for (unsigned i = 1; i <= SESSION_SLOT_COUNT && session->starved && session->credits; i++) {
		struct call *call = &session->calls[(slot + i) % SESSION_SLOT_COUNT];

		if (!(session->starved & call_bit(call)))
			continue;
		call_pump(call);
		call_wait(call);
	}
}

/* --- ending --- */

static void call_idle(struct call *call)
{
	struct session *session = call->session;

	call->state = CALL_IDLE;
	session->waiting &= ~call_bit(call);
	if (!call->completed)
		session->free |= call_bit(call);
}

static void call_complete(struct call *call, uint16_t status)
{
	struct session *session = call->session;
	struct endpoint *endpoint = session->endpoint;

	DCHECK(!call->completed);
	session->starved &= ~call_bit(call);
	session->credits = (uint8_t)(session->credits + session_window_missing(&call->window));
	call->window = session_window_open(0, 0);
	DCHECK(session->credits <= SESSION_CREDIT_COUNT);
	call->status = status;
	call->completed = true;
	call->next = NULL;
	endpoint->stats.calls_failed += status != STATUS_OK;
	if (endpoint->completed_last)
		endpoint->completed_last->next = call;
	else
		endpoint->completed_first = call;
	endpoint->completed_last = call;
}

static void call_release(struct call *call)
{
	call->state = CALL_RELEASING;
	call->backoff = 0;
	call_send_bare(call, FRAME_RELEASE, 0);
	call_wait(call);
}

/* Nothing came of it; what the executor may still hold is released. */
static void call_fail(struct call *call, uint16_t status)
{
	bool sent = call->state != CALL_WAITING;

	call->answer_size = 0;
	call->hint = 0;
	call_complete(call, status);
	if (sent)
		call_release(call);
	else
		call_idle(call);
	session_share_credits(call->session, call->slot);
}

void call_fail_all(struct session *session, uint16_t status)
{
	for (unsigned i = 0; i < SESSION_SLOT_COUNT; i++) {
		struct call *call = &session->calls[i];

		if (call->state == CALL_IDLE)
			continue;
		if (call->state != CALL_RELEASING) {
			call->answer_size = 0;
			call->hint = 0;
			call_complete(call, status);
		}
		call_idle(call);
	}
}

/* --- time --- */

/* All that is missing goes out again: nothing was heard of any of it for a whole wait. */
static void call_repeat(struct call *call)
{
	struct session_window *window = &call->window;

	if (call->backoff < UINT8_MAX)
		call->backoff++;
	if (call->state == CALL_RELEASING) {
		call->session->endpoint->stats.frames_resent++;
		call_send_bare(call, FRAME_RELEASE, 0);
	} else if (window->base == window->count) {
		/* The executor has it all and is at work: a question costs less than a repeat. */
		call->session->endpoint->stats.frames_resent++;
		call->sample_ns = 0;
		call_send_bare(call, FRAME_PULL, 0);
	} else {
		for (uint16_t i = window->base; i < window->next; i++)
			if (session_window_lacks(window, i))
				call_resend(call, i);
	}
	call_wait(call);
}

static void call_due(struct call *call)
{
	uint64_t now_ns = call->session->endpoint->now_ns;

	if (call->state != CALL_RELEASING && call->deadline_ns <= now_ns)
		call_fail(call, STATUS_DEADLINE);
	else if (call->state == CALL_WAITING)
		call->due_ns = call->deadline_ns;
	else
		call_repeat(call);
}

uint64_t call_timeout(struct session *session)
{
	uint64_t due_ns = UINT64_MAX;

	for (uint32_t bits = session->waiting; bits; bits &= bits - 1) {
		struct call *call = &session->calls[__builtin_ctz(bits)];

		if (call->due_ns <= session->endpoint->now_ns)
			call_due(call);
	}
	for (uint32_t bits = session->waiting; bits; bits &= bits - 1)
		due_ns = MIN(due_ns, session->calls[__builtin_ctz(bits)].due_ns);
	return due_ns;
}

/* --- beginning --- */

void call_init(struct session *session)
{
	for (unsigned i = 0; i < SESSION_SLOT_COUNT; i++) {
		session->calls[i].session = session;
		session->calls[i].slot = (uint8_t)i;
		session->calls[i].number = i; /* the first call adds SESSION_SLOT_COUNT */
	}
}

static void call_start(struct call *call)
{
	call->state = CALL_SENDING;
	call->window = session_window_open(0, frame_count(call->session, call->size));
	call_pump(call);
	call_wait(call);
}

void call_start_all(struct session *session)
{
	for (uint32_t bits = session->waiting; bits; bits &= bits - 1)
		call_start(&session->calls[__builtin_ctz(bits)]);
}

/*
 * A session of which nothing was heard for so long that the peer may have
 * dropped it, because nobody ran our timer: better known before a request goes
 * out than after.
 */
static bool session_is_asleep(const struct session *session)
{
	return session->state == SESSION_STATE_OPEN && !session->waiting &&
	       session->endpoint->now_ns - session->heard_ns >=
		       session->endpoint->config.lost_ns / 2;
}

int session_call(struct session *session, const struct session_call *call_, uint64_t now_ns)
{
	struct endpoint *endpoint = session->endpoint;
	struct call *call;

	endpoint->now_ns = now_ns;
	if (unlikely(!session_is_open(session)))
		return SESSION_E_CLOSED;
	if (unlikely(call_->size > endpoint->config.message_size_max))
		return SESSION_E_LARGE;
	if (unlikely(!session->free))
		return SESSION_E_BUSY;
	if (unlikely(session_is_asleep(session))) {
		session_lose(session, STATUS_SESSION_LOST);
		return SESSION_E_CLOSED;
	}
	call = &session->calls[__builtin_ctz(session->free)];
	session->free &= ~call_bit(call);
	session->waiting |= call_bit(call);
	call->number += SESSION_SLOT_COUNT;
	call->bytes = call_->bytes;
	call->size = call_->size;
	call->answer = call_->answer;
	call->answer_capacity = call_->answer_capacity;
	call->deadline_ns = call_->deadline_ns;
	call->tag = call_->tag;
	call->epoch = 0;
	call->backoff = 0;
	call->sample_ns = 0;
	endpoint->stats.calls++;
	endpoint->busy_count++;
	if (likely(session->state == SESSION_STATE_OPEN)) {
		call_start(call);
		return 0;
	}
	call->state = CALL_WAITING;
	call->due_ns = call->deadline_ns;
	session_arm(session, call->due_ns);
	return 0;
}

/* --- receiving --- */

/* The call that a frame is about; NULL when it has moved on. */
static struct call *call_find(struct session *session, const struct frame *frame)
{
	struct call *call = &session->calls[frame->number % SESSION_SLOT_COUNT];

	if (call->number == frame->number && call->state != CALL_IDLE)
		return call;
	session->endpoint->stats.frames_stale++;
	return NULL;
}

static void call_sample(struct call *call, uint16_t index)
{
	struct endpoint *endpoint = call->session->endpoint;

	if (!call->sample_ns || call->sample_index != index)
		return;
	session_rtt_sample(&call->session->rtt, endpoint->now_ns - call->sample_ns,
			   endpoint->config.rto_min_ns);
	call->sample_ns = 0;
}

/* Frame 'index' got through: those that went out well before it and didn't are sent again once. */
static void call_repeat_gaps(struct call *call, uint16_t index)
{
	struct session_window *window = &call->window;

	for (uint16_t i = window->base; i + CALL_REORDER_COUNT <= index; i++) {
		uint64_t bit = UINT64_C(1) << (i - window->base);

		if (!session_window_lacks(window, i) || window->repeated & bit)
			continue;
		window->repeated |= bit;
		call_resend(call, i);
	}
}

/* Something new was confirmed: the call, and others for its credits, go on. */
static void call_progress(struct call *call, uint16_t index)
{
	call->backoff = 0;
	call_repeat_gaps(call, index);
	call_pump(call);
	call_wait(call);
	session_share_credits(call->session, call->slot);
}

void call_take_credit(struct session *session, const struct frame *frame)
{
	struct call *call = call_find(session, frame);
	unsigned missing;

	if (!call || call->state != CALL_SENDING)
		return;
	if (frame->index >= call->window.next || frame->hint > call->window.next) {
		session->endpoint->stats.frames_bad++; /* confirms what was never sent */
		return;
	}
	missing = session_window_missing(&call->window);
	call_sample(call, frame->index);
	/* 'hint' confirms all frames below it: credits that were lost are made up for. */
	for (uint16_t i = call->window.base; i < frame->hint; i++)
		session_window_confirm(&call->window, i);
	session_window_confirm(&call->window, frame->index);
	missing -= session_window_missing(&call->window);
	session->credits = (uint8_t)(session->credits + missing);
	if (missing)
		call_progress(call, frame->index);
	else
		session->endpoint->stats.frames_repeated++;
}

static void call_finish(struct call *call, uint16_t status)
{
	call_complete(call, status);
	if (unlikely(call->answer_size > SESSION_ANSWER_INLINE_MAX))
		call_release(call);
	else
		call_idle(call);
	session_share_credits(call->session, call->slot);
}

/* Does the frame hold as much of the message as its index says? */
static bool answer_is_consistent(const struct session *session, const struct frame *frame)
{
	uint32_t offset = frame->index * session->body_size;

	return frame->message_size <= SESSION_MESSAGE_SIZE_MAX &&
	       (offset < frame->message_size || frame->index == 0) &&
	       frame->body_size == MIN(frame->message_size - offset, session->body_size);
}

/* The first frame of the answer: all of it, mostly. */
static void call_take_first(struct call *call, const struct frame *frame)
{
	struct session *session = call->session;

	if (frame->index != 0) {
		session->endpoint->stats.frames_stale++;
		return;
	}
	call_sample(call, 0);
	call->answer_size = frame->message_size;
	call->status = frame->status;
	call->hint = frame->hint;
	call->epoch = frame->epoch;
	if (unlikely(frame->message_size > call->answer_capacity)) {
		call_finish(call, STATUS_TOO_LARGE);
		/* Known only once the call is released: nothing was written. */
		call->answer_size = 0;
		return;
	}
	if (frame->body_size)
		memcpy(call->answer, frame->body, frame->body_size);
	if (likely(frame->body_size == frame->message_size)) {
		call_finish(call, frame->status);
		return;
	}
	session->credits = (uint8_t)(session->credits + session_window_missing(&call->window));
	call->state = CALL_PULLING;
	call->window = session_window_open(1, frame_count(session, frame->message_size));
	call->sample_ns = 0;
	call_progress(call, 0);
}

static void call_take_rest(struct call *call, const struct frame *frame)
{
	struct session *session = call->session;

	if (frame->message_size != call->answer_size) {
		session->endpoint->stats.frames_bad++;
		return;
	}
	if (!session_window_confirm(&call->window, frame->index)) {
		session->endpoint->stats.frames_repeated++;
		return;
	}
	session->credits++;
	call_sample(call, frame->index);
	memcpy(call->answer + (size_t)frame->index * session->body_size, frame->body,
	       frame->body_size);
	if (call->window.base == call->window.count)
		call_finish(call, call->status);
	else
		call_progress(call, frame->index);
}

void call_take_answer(struct session *session, const struct frame *frame)
{
	struct call *call = call_find(session, frame);

	if (unlikely(!call))
		return;
	if (unlikely(!answer_is_consistent(session, frame))) {
		session->endpoint->stats.frames_bad++;
		return;
	}
	if (likely(call->state == CALL_SENDING))
		call_take_first(call, frame);
	else if (call->state == CALL_PULLING)
		call_take_rest(call, frame);
	else
		session->endpoint->stats.frames_stale++;
}

void call_take_released(struct session *session, const struct frame *frame)
{
	struct call *call = call_find(session, frame);

	if (call && call->state == CALL_RELEASING)
		call_idle(call);
}

unsigned endpoint_take_answers(struct endpoint *endpoint, struct session_answer *answers,
			       unsigned count)
{
	unsigned taken = 0;

	while (taken < count && endpoint->completed_first) {
		struct call *call = endpoint->completed_first;
		struct session *session = call->session;

		endpoint->completed_first = call->next;
		if (!call->next)
			endpoint->completed_last = NULL;
		endpoint->busy_count--;
		answers[taken++] = (struct session_answer){.tag = call->tag,
							   .epoch = call->epoch,
							   .size = call->answer_size,
							   .hint = call->hint,
							   .status = call->status};
		call->completed = false;
		if (call->state == CALL_IDLE)
			session->free |= call_bit(call);
		if (unlikely(session->state == SESSION_STATE_CLOSED && session->free == UINT32_MAX))
			session_free(session);
	}
	return taken;
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Request - the executor's side of a request
 *
 *            one frame                take              answer
 *   NONE ------------------> READY ----------> TAKEN ----------> ANSWERED
 *    |  \                      ^                                   |
 *    |   +--> RECEIVING -------+                                   |
 *    |     several frames   all there                              |
 *    +<---------------RELEASE, or a newer request------------------+
 *
 * The slot's number only grows. Frames of a smaller one are stale; frames of
 * the same one are a repeat, which is answered with what there is to say and
 * executes nothing; only a greater one is a new request.
 */

#include "base/check.h"
#include "proto/session_internal.h"
#include "proto/status.h"

#include <string.h>

/* What a request without bytes points at. */
static const uint8_t no_bytes[1];

/* --- the endpoint's lists --- */

static void list_append(struct request_list *list, struct request *request)
{
	request->next = NULL;
	request->previous = list->last;
	if (list->last)
		list->last->next = request;
	else
		list->first = request;
	list->last = request;
}

static void list_remove(struct request_list *list, struct request *request)
{
	if (request->next)
		request->next->previous = request->previous;
	else
		list->last = request->previous;
	if (request->previous)
		request->previous->next = request->next;
	else
		list->first = request->next;
}

static void ready_append(struct request *request)
{
	struct endpoint *endpoint = request->session->endpoint;

	request->state = REQUEST_READY;
	list_append(&endpoint->ready, request);
	endpoint->busy_count++;
}

/* Does it keep a buffer of the pool until the peer takes the next step? */
static bool request_is_held(const struct request *request)
{
	return request->state == REQUEST_RECEIVING ||
	       (request->state == REQUEST_ANSWERED && request->answer_buffer);
}

static void held_append(struct request *request)
{
	struct endpoint *endpoint = request->session->endpoint;

	request->moved_ns = endpoint->now_ns;
	list_append(&endpoint->held, request);
}

/* The peer did something about it. */
static void held_move(struct request *request)
{
	list_remove(&request->session->endpoint->held, request);
	held_append(request);
}

/* --- memory --- */

void request_init(struct session *session)
{
	for (unsigned i = 0; i < SESSION_SLOT_COUNT; i++)
		session->requests[i].session = session;
}

static uint8_t *request_inline(const struct request *request)
{
	const struct session *session = request->session;
	size_t slot = (size_t)(request - session->requests);

	return session->endpoint->inline_answers +
	       ((size_t)session->index * SESSION_SLOT_COUNT + slot) * SESSION_ANSWER_INLINE_MAX;
}

static void request_put_buffer(struct request *request)
{
	if (unlikely(request->buffer != NULL)) {
		session_pool_put(&request->session->endpoint->pool, request->buffer);
		request->buffer = NULL;
	}
	request->bytes = NULL;
}

static void request_put_answer(struct request *request)
{
	if (unlikely(request->answer_buffer != NULL)) {
		session_pool_put(&request->session->endpoint->pool, request->answer_buffer);
		request->answer_buffer = NULL;
	}
	request->answer = NULL;
	request->answer_size = 0;
	request->answer_capacity = 0;
}

/* Nothing is held any more; only the number is remembered. */
static void request_forget(struct request *request)
{
	struct endpoint *endpoint = request->session->endpoint;

	DCHECK(request->state != REQUEST_TAKEN);
	if (request->state == REQUEST_READY) {
		list_remove(&endpoint->ready, request);
		endpoint->busy_count--;
	} else if (unlikely(request_is_held(request))) {
		list_remove(&endpoint->held, request);
	}
	request_put_buffer(request);
	request_put_answer(request);
	request->state = REQUEST_NONE;
}

void request_forget_all(struct session *session)
{
	for (unsigned i = 0; i < SESSION_SLOT_COUNT; i++)
		if (session->requests[i].state != REQUEST_TAKEN)
			request_forget(&session->requests[i]);
}

/*
 * Takes the buffers of the session whose request stands still for longest, if
 * that is too long: half a message, or a large answer that nobody fetches, would
 * keep them for as long as the peer sends pings. False when there is none.
 */
static NOINLINE bool reclaim(struct endpoint *endpoint, const struct session *asking)
{
	const struct request *still = endpoint->held.first;
	struct session *session;

	if (!still ||
	    endpoint->now_ns - still->moved_ns < SESSION_STILL_FACTOR * endpoint->config.lost_ns)
		return false;
	session = still->session;
	if (session == asking)
		return false;
	session_lose(session, STATUS_SESSION_LOST);
	if (!session->taken)
		session_free(session);
	return true;
}

static uint8_t *buffer_get(struct session *session, uint32_t size)
{
	struct endpoint *endpoint = session->endpoint;
	uint8_t *buffer;

	do
		buffer = session_pool_get(&endpoint->pool, size);
	while (unlikely(!buffer) && reclaim(endpoint, session));
	return buffer;
}

/* --- sending --- */

static void request_send_answer(const struct request *request, uint16_t index)
{
	struct session *session = request->session;
	uint32_t offset = index * session->body_size;
	struct frame frame = {
		.kind = FRAME_ANSWER,
		.index = index,
		.status = request->status,
		.number = request->number,
		.message_size = request->answer_size,
		.hint = request->hint,
		.body = request->answer ? request->answer + offset : NULL,
		.body_size = MIN(request->answer_size - offset, session->body_size),
	};

	session_send(session, &frame);
}

/* "I have frame 'index', and all below the hint." */
static void request_send_credit(const struct request *request, uint16_t index)
{
	uint16_t below =
		request->state == REQUEST_RECEIVING ? request->window.base : request->window.count;

	session_send(request->session, &(struct frame){.kind = FRAME_CREDIT,
						       .index = index,
						       .number = request->number,
						       .hint = below});
}

static void request_send_released(struct session *session, uint64_t number)
{
	session_send(session, &(struct frame){.kind = FRAME_RELEASED, .number = number});
}

/* Remembers and sends an answer; the bytes of the request aren't needed any more. */
static void request_finish(struct request *request, uint16_t status, uint32_t hint, uint32_t size)
{
	request_put_buffer(request);
	if (!size)
		request_put_answer(request);
	request->answer_size = size;
	request->status = status;
	request->hint = hint;
	request->state = REQUEST_ANSWERED;
	if (unlikely(request_is_held(request)))
		held_append(request);
	request_send_answer(request, 0);
}

/* --- receiving --- */

/* Frames of a message of 'size', or 0 when the frame's own size contradicts it. */
static uint16_t request_frame_count(const struct session *session, const struct frame *frame)
{
	uint32_t full = session->body_size, size = frame->message_size, count, last;

	if (likely(size <= full))
		return frame->index == 0 && frame->body_size == size;
	count = (size + full - 1) / full;
	last = size - (count - 1) * full;
	if (frame->index >= count || frame->body_size != (frame->index == count - 1 ? last : full))
		return 0;
	return (uint16_t)count;
}

static void request_note_deadline(struct request *request, const struct frame *frame)
{
	uint64_t deadline_ns;

	if (!frame->deadline_us)
		return;
	deadline_ns = request->session->endpoint->now_ns + frame->deadline_us * NS_PER_US;
	request->deadline_ns = MIN(request->deadline_ns, deadline_ns);
}

/* A frame of a message of several, when its slot expects them. */
static void request_assemble(struct request *request, const struct frame *frame)
{
	struct session *session = request->session;

	if (frame->message_size != request->size ||
	    request_frame_count(session, frame) != request->window.count) {
		session->endpoint->stats.frames_bad++;
		return;
	}
	if (session_window_confirm(&request->window, frame->index)) {
		memcpy(request->buffer + (size_t)frame->index * session->body_size, frame->body,
		       frame->body_size);
		session_window_reach(&request->window);
		request_note_deadline(request, frame);
		if (request->window.base == request->window.count) {
			list_remove(&session->endpoint->held, request);
			request->bytes = request->buffer;
			ready_append(request);
			return; /* the answer says that it is whole */
		}
		held_move(request);
	} else if (frame->index >= request->window.next) {
		/* Beyond what an honest sender sends: no credit for what isn't kept. */
		session->endpoint->stats.frames_bad++;
		return;
	} else {
		session->endpoint->stats.frames_repeated++;
	}
	request_send_credit(request, frame->index);
}

static void request_begin(struct request *request, const struct frame *frame, uint16_t count)
{
	struct endpoint *endpoint = request->session->endpoint;

	request->window = session_window_open(0, count);
	if (likely(count == 1)) {
		request->bytes = frame->body;
		request_note_deadline(request, frame);
		ready_append(request);
		return;
	}
	request->buffer = buffer_get(request->session, frame->message_size);
	if (!request->buffer) {
		endpoint->stats.requests_shed++;
		request_finish(request, STATUS_OVERLOADED, 0, 0);
		return;
	}
	request->state = REQUEST_RECEIVING;
	held_append(request);
	session_window_reach(&request->window);
	request_assemble(request, frame);
}

static void request_take_new(struct request *request, const struct frame *frame)
{
	struct endpoint *endpoint = request->session->endpoint;
	uint16_t count = 1;

	if (unlikely(request->state == REQUEST_TAKEN)) {
		/* No honest requester: it uses a slot again only when we released it. */
		endpoint->stats.frames_stale++;
		return;
	}
	if (likely(frame->message_size <= endpoint->config.message_size_max)) {
		count = request_frame_count(request->session, frame);
		if (unlikely(!count)) {
			endpoint->stats.frames_bad++;
			return;
		}
	}
	request_forget(request);
	request->number = frame->number;
	request->size = frame->message_size;
	request->epoch = frame->epoch;
	request->deadline_ns = UINT64_MAX;
	request->abandoned = false;
	endpoint->stats.requests_received++;
	if (unlikely(frame->message_size > endpoint->config.message_size_max))
		request_finish(request, STATUS_TOO_LARGE, 0, 0);
	else if (unlikely(endpoint->draining))
		request_finish(request, STATUS_DRAINING, 0, 0);
	else
		request_begin(request, frame, count);
}

/* A frame of the request that the slot has already. */
static void request_take_repeat(struct request *request, const struct frame *frame)
{
	struct endpoint *endpoint = request->session->endpoint;

	switch (request->state) {
	case REQUEST_RECEIVING:
		request_assemble(request, frame);
		return;
	case REQUEST_READY:
	case REQUEST_TAKEN:
		endpoint->stats.frames_repeated++;
		request_send_credit(request, frame->index);
		return;
	case REQUEST_ANSWERED:
		endpoint->stats.frames_repeated++;
		endpoint->stats.frames_resent++;
		request_send_answer(request, 0);
		return;
	default: /* released */
		endpoint->stats.frames_stale++;
	}
}

void request_take_request(struct session *session, const struct frame *frame)
{
	struct request *request = &session->requests[frame->number % SESSION_SLOT_COUNT];

	if (likely(frame->number > request->number))
		request_take_new(request, frame);
	else if (frame->number == request->number)
		request_take_repeat(request, frame);
	else
		session->endpoint->stats.frames_stale++;
}

void request_take_pull(struct session *session, const struct frame *frame)
{
	struct request *request = &session->requests[frame->number % SESSION_SLOT_COUNT];

	if (frame->number != request->number || request->state == REQUEST_NONE) {
		session->endpoint->stats.frames_stale++;
		return;
	}
	if (request->state != REQUEST_ANSWERED) {
		request_send_credit(request, 0);
	} else if (frame->index == 0 ||
		   (uint64_t)frame->index * session->body_size < request->answer_size) {
		if (request->answer_buffer)
			held_move(request);
		request_send_answer(request, frame->index);
	} else {
		session->endpoint->stats.frames_bad++;
	}
}

/*
 * The requester won't ask for this number again. One that we haven't seen was
 * given up before it came: its frames, should they still arrive, are stale.
 */
void request_take_release(struct session *session, const struct frame *frame)
{
	struct request *request = &session->requests[frame->number % SESSION_SLOT_COUNT];

	if (request->state == REQUEST_TAKEN && frame->number >= request->number) {
		if (frame->number == request->number)
			request->abandoned = true;
		request_send_credit(request, 0);
		return;
	}
	if (frame->number >= request->number) {
		request_forget(request);
		request->number = frame->number;
	}
	request_send_released(session, frame->number);
}

/* --- the application's side --- */

unsigned endpoint_take_requests(struct endpoint *endpoint, struct request **requests,
				unsigned count)
{
	unsigned taken = 0;

	while (taken < count && endpoint->ready.first) {
		struct request *request = endpoint->ready.first;

		list_remove(&endpoint->ready, request);
		if (unlikely(request->deadline_ns <= endpoint->now_ns)) {
			endpoint->stats.requests_expired++;
			endpoint->busy_count--;
			request_finish(request, STATUS_DEADLINE, 0, 0);
			continue;
		}
		request->state = REQUEST_TAKEN;
		request->session->taken++;
		requests[taken++] = request;
	}
	return taken;
}

struct request_view request_view(const struct request *request)
{
	return (struct request_view){.bytes = request->bytes,
				     .size = request->size,
				     .deadline_ns = request->deadline_ns,
				     .epoch = request->epoch,
				     .peer_node = request->session->peer_node};
}

int request_keep(struct request *request)
{
	DCHECK(request->state == REQUEST_TAKEN);
	if (request->buffer)
		return 0;
	if (!request->size) {
		request->bytes = no_bytes;
		return 0;
	}
	request->buffer = buffer_get(request->session, request->size);
	if (!request->buffer)
		return SESSION_E_BUSY;
	memcpy(request->buffer, request->bytes, request->size);
	request->bytes = request->buffer;
	return 0;
}

uint8_t *request_answer_buffer(struct request *request, uint32_t size)
{
	struct endpoint *endpoint = request->session->endpoint;

	DCHECK(request->state == REQUEST_TAKEN);
	request_put_answer(request);
	if (likely(size <= SESSION_ANSWER_INLINE_MAX)) {
		request->answer = request_inline(request);
		request->answer_capacity = SESSION_ANSWER_INLINE_MAX;
		return request->answer;
	}
	if (size > endpoint->config.message_size_max)
		return NULL;
	request->answer_buffer = buffer_get(request->session, size);
	request->answer = request->answer_buffer;
	request->answer_capacity = request->answer ? size : 0;
	return request->answer;
}

/* Whoever asked is gone or has given up: nobody is to be told. */
static void request_discard(struct request *request)
{
	struct session *session = request->session;

	request_put_buffer(request);
	request_put_answer(request);
	request->state = REQUEST_NONE;
	if (session->state == SESSION_STATE_OPEN)
		request_send_released(session, request->number);
	else if (!session->taken)
		session_free(session);
}

void request_answer(struct request *request, uint16_t status, uint32_t hint, uint32_t size,
		    uint64_t now_ns)
{
	struct session *session = request->session;
	struct endpoint *endpoint = session->endpoint;

	CHECK(request->state == REQUEST_TAKEN && size <= request->answer_capacity);
	endpoint->now_ns = now_ns;
	endpoint->busy_count--;
	session->taken--;
	if (unlikely(session->state != SESSION_STATE_OPEN || request->abandoned)) {
		request_discard(request);
		return;
	}
	request_finish(request, status, hint, size);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/gather.h"

#include "base/check.h"
#include "base/defs.h"
#include "proto/envelope.h"
#include "proto/message.h"
#include "proto/status.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of an answer without hits, with the longest error text (docs/format/vector.md). */
#define ANSWER_HEAD_SIZE (ENVELOPE_SIZE + 32 + VECTOR_ERROR_MAX)

/* Bytes of a hit without its document id: an array of 4, two u32, an f32, a string's head. */
#define ANSWER_HIT_SIZE (1 + 5 + 5 + 5 + 5)

struct gather {
	struct gather_limits limits;
	struct leg *legs;           /* owned */
	uint8_t *buffers;           /* owned: each leg's request and answer */
	struct vector_hit *scratch; /* owned: one answer decoded */
	struct gather_hit *hits;    /* owned: the nearest so far */
	struct gather_hit *merged;  /* owned: the other half of a merge */
	uint32_t leg_count;
	uint32_t over_count;  /* legs that will change no more */
	uint32_t asked_count; /* calls under way, late ones of a done question too */
	uint32_t answered_count;
	uint32_t hit_count;
	uint32_t top_k;
	uint64_t deadline_ns;
	uint64_t tag;
	uint16_t status; /* why a strict question failed */
	bool strict;
	bool done;
};

size_t gather_request_size(const struct vector_scatter *scatter)
{
	return ENVELOPE_SIZE + vector_scatter_size(scatter);
}

static size_t answer_size(const struct gather_limits *limits)
{
	return ANSWER_HEAD_SIZE +
	       (size_t)limits->hit_max * (ANSWER_HIT_SIZE + limits->doc_id_size_max);
}

static bool limits_hold(const struct gather_limits *limits)
{
	return limits->shard_max > 0 && limits->shard_max <= GATHER_SHARD_MAX &&
	       limits->hit_max > 0 && limits->hit_max <= VECTOR_TOP_K_MAX &&
	       limits->doc_id_size_max <= VECTOR_DOC_ID_MAX &&
	       limits->request_size_max > ENVELOPE_SIZE &&
	       limits->request_size_max <= SESSION_MESSAGE_SIZE_MAX;
}

int gather_new(const struct gather_limits *limits, struct gather **ret_gather)
{
	struct gather *gather;
	size_t capacity, stride;

	if (!limits_hold(limits))
		return -EINVAL;
	gather = calloc(1, sizeof(*gather));
	if (!gather)
		return -ENOMEM;
	capacity = MIN(answer_size(limits), (size_t)SESSION_MESSAGE_SIZE_MAX);
	stride = align_up(limits->request_size_max + capacity, CACHE_LINE);
	gather->limits = *limits;
	gather->legs = calloc(limits->shard_max, sizeof(*gather->legs));
	gather->buffers = malloc(limits->shard_max * stride);
	gather->scratch = calloc(limits->hit_max, sizeof(*gather->scratch));
	gather->hits = calloc(limits->hit_max, sizeof(*gather->hits));
	gather->merged = calloc(limits->hit_max, sizeof(*gather->merged));
	if (!gather->legs || !gather->buffers || !gather->scratch || !gather->hits ||
	    !gather->merged) {
		gather_free(gather);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < limits->shard_max; i++) {
		struct leg *leg = &gather->legs[i];

		leg->state = LEG_FAILED;
		leg->request = gather->buffers + i * stride;
		leg->answer = leg->request + limits->request_size_max;
		leg->answer_capacity = (uint32_t)capacity;
	}
	gather->done = true;
	*ret_gather = gather;
	return 0;
}

void gather_free(struct gather *gather)
{
	if (!gather)
		return;
	CHECK(gather->asked_count == 0);
	free(gather->merged);
	free(gather->hits);
	free(gather->scratch);
	free(gather->buffers);
	free(gather->legs);
	free(gather);
}

/* The payload is the same for all: encoded once, copied behind each leg's own header. */
static void write_request(struct leg *leg, const struct gather_question *question,
			  const uint8_t *payload, uint32_t size)
{
	struct envelope envelope = {
		.type = MESSAGE_VECTOR_SCATTER_REQUEST,
		.source_node = question->source_node,
		.vshard = leg->vshard,
		.payload_size = size,
	};

	envelope_encode_header(&envelope, leg->request);
	if (leg->request + ENVELOPE_SIZE != payload)
		memcpy(leg->request + ENVELOPE_SIZE, payload, size);
	leg->request_size = ENVELOPE_SIZE + size;
}

int gather_begin(struct gather *gather, const struct route *route,
		 const struct gather_question *question)
{
	const struct vector_scatter *scatter = question->scatter;
	uint8_t *payload = gather->legs[0].request + ENVELOPE_SIZE;
	size_t size;

	CHECK(gather->asked_count == 0);
	if (question->vshard_count == 0 || scatter->top_k == 0)
		return -EINVAL;
	if (question->vshard_count > gather->limits.shard_max ||
	    scatter->top_k > gather->limits.hit_max)
		return GATHER_E_LIMIT;
	size = vector_scatter_encode(scatter, payload,
				     gather->limits.request_size_max - ENVELOPE_SIZE);
	if (size == 0)
		return GATHER_E_LIMIT;
	for (uint32_t i = 0; i < question->vshard_count; i++) {
		leg_begin(&gather->legs[i], route, question->collection, question->vshards[i], i,
			  GATHER_RETRY_MAX);
		write_request(&gather->legs[i], question, payload, (uint32_t)size);
	}
	gather->leg_count = question->vshard_count;
	gather->over_count = 0;
	gather->answered_count = 0;
	gather->hit_count = 0;
	gather->top_k = scatter->top_k;
	gather->deadline_ns = question->deadline_ns;
	gather->tag = question->tag;
	gather->status = STATUS_OK;
	gather->strict = question->strict;
	gather->done = false;
	return 0;
}

/* Counts a leg that has just come to its end, and sees whether the question has. */
static void leg_ended(struct gather *gather, const struct leg *leg)
{
	gather->over_count++;
	if (leg->state == LEG_ANSWERED)
		gather->answered_count++;
	else if (gather->strict && gather->status == STATUS_OK)
		gather->status = leg->status;
	if (gather->over_count == gather->leg_count || gather->status != STATUS_OK)
		gather->done = true;
}

/* The deadline: what has not answered by then is missing, for the last reason heard. */
static void expire(struct gather *gather)
{
	for (uint32_t i = 0; i < gather->leg_count && !gather->done; i++) {
		struct leg *leg = &gather->legs[i];

		if (leg_is_over(leg))
			continue;
		if (leg->status == STATUS_OK)
			leg->status = STATUS_DEADLINE;
		if (leg->state != LEG_ASKED)
			leg->state = LEG_FAILED;
		leg_ended(gather, leg);
	}
}

void gather_run(struct gather *gather, struct route *route, const struct leg_ops *ops,
		void *context, uint64_t now_ns)
{
	if (gather->done)
		return;
	if (now_ns >= gather->deadline_ns) {
		expire(gather);
		return;
	}
	for (uint32_t i = 0; i < gather->leg_count && !gather->done; i++) {
		struct leg *leg = &gather->legs[i];

		if (leg->state != LEG_READY && leg->state != LEG_PAUSED)
			continue;
		leg_send(leg, route, ops, context, gather->tag + i, gather->deadline_ns, now_ns);
		if (leg->state == LEG_ASKED)
			gather->asked_count++;
		else if (leg->state == LEG_FAILED)
			leg_ended(gather, leg);
	}
}

/* Keeps the k nearest of what is there and of a leg's hits, both in order. */
static void merge(struct gather *gather, const struct vector_hit *hits, uint32_t count,
		  uint32_t vshard)
{
	struct gather_hit *swap = gather->merged;
	uint32_t a = 0, b = 0, n = 0;

	while (n < gather->top_k && (a < gather->hit_count || b < count)) {
		struct gather_hit hit = {.vshard = vshard};

		if (b < count) {
			hit.distance = hits[b].distance;
			hit.vector_id = hits[b].vector_id;
		}
		if (b == count ||
		    (a < gather->hit_count && gather_hit_before(&gather->hits[a], &hit))) {
			gather->merged[n++] = gather->hits[a++];
		} else {
			gather->merged[n++] = hit;
			b++;
		}
	}
	gather->merged = gather->hits;
	gather->hits = swap;
	gather->hit_count = n;
}

/* Nearest first, ties by id, and nothing that can't be compared. */
static bool in_order(const struct vector_hit *hits, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (isnan(hits[i].distance))
			return false;
		if (i > 0 && (hits[i].distance < hits[i - 1].distance ||
			      (hits[i].distance == hits[i - 1].distance &&
			       hits[i].vector_id <= hits[i - 1].vector_id)))
			return false;
	}
	return true;
}

/* Reads a leg's answer and merges it. Returns OK, or why it is of no use. */
static uint16_t take_hits(struct gather *gather, const struct leg *leg)
{
	struct vector_answer answer;
	struct envelope envelope;

	if (envelope_decode(leg->answer, leg->answer_size, &envelope) != 0 ||
	    envelope.type != MESSAGE_VECTOR_SCATTER_RESPONSE || envelope.vshard != leg->vshard)
		return STATUS_MALFORMED;
	if (vector_answer_decode(envelope.payload, envelope.payload_size, gather->scratch,
				 gather->top_k, &answer) != 0)
		return STATUS_MALFORMED;
	if (!answer.success)
		return STATUS_INTERNAL;
	if (!in_order(answer.hits, answer.hit_count))
		return STATUS_MALFORMED;
	merge(gather, answer.hits, answer.hit_count, leg->vshard);
	return STATUS_OK;
}

void gather_take(struct gather *gather, struct route *route, uint32_t index,
		 const struct session_answer *answer, uint64_t now_ns)
{
	struct leg *leg = &gather->legs[index];

	CHECK(index < gather->leg_count && leg->state == LEG_ASKED && gather->asked_count > 0);
	gather->asked_count--;
	if (gather->done) { /* late: the leg was counted when the question ended */
		leg->state = LEG_FAILED;
		return;
	}
	leg_take(leg, route, answer, now_ns);
	if (leg->state == LEG_ANSWERED) {
		uint16_t status = take_hits(gather, leg);

		if (status != STATUS_OK)
			leg_refuse(leg, status);
	}
	if (leg_is_over(leg))
		leg_ended(gather, leg);
}

uint64_t gather_due_ns(const struct gather *gather)
{
	uint64_t due_ns = gather->deadline_ns;

	if (gather->done)
		return UINT64_MAX;
	for (uint32_t i = 0; i < gather->leg_count; i++)
		if (gather->legs[i].state == LEG_PAUSED)
			due_ns = MIN(due_ns, gather->legs[i].due_ns);
	return due_ns;
}

bool gather_is_done(const struct gather *gather)
{
	return gather->done;
}

bool gather_is_crowded(const struct gather *gather)
{
	for (uint32_t i = 0; i < gather->leg_count && !gather->done; i++)
		if (gather->legs[i].state == LEG_READY)
			return true;
	return false;
}

bool gather_is_idle(const struct gather *gather)
{
	return gather->asked_count == 0;
}

uint16_t gather_status(const struct gather *gather)
{
	DCHECK(gather->done);
	if (gather->status != STATUS_OK || gather->answered_count > 0)
		return gather->status;
	return gather->legs[0].status;
}

const struct gather_hit *gather_hits(const struct gather *gather, uint32_t *ret_count)
{
	*ret_count = gather_status(gather) == STATUS_OK ? gather->hit_count : 0;
	return gather->hits;
}

uint32_t gather_missing(const struct gather *gather, struct gather_missing *missing, uint32_t count)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < gather->leg_count; i++) {
		const struct leg *leg = &gather->legs[i];

		/* A strict question can end while others are still under way, without a reason. */
		if (leg->state == LEG_ANSWERED || leg->status == STATUS_OK)
			continue;
		if (n < count)
			missing[n] = (struct gather_missing){
				.vshard = leg->vshard,
				.status = leg->status,
			};
		n++;
	}
	return n;
}

uint32_t gather_retry_count(const struct gather *gather)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < gather->leg_count; i++)
		n += gather->legs[i].retry_count + gather->legs[i].hint_count;
	return n;
}

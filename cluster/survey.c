/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/survey.h"

#include "base/check.h"
#include "base/defs.h"
#include "cluster/manifest.h"
#include "proto/envelope.h"
#include "proto/message.h"
#include "proto/status.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A type 52 message: an array's head, a number, a string with its head, a u64. */
#define REQUEST_SIZE (ENVELOPE_SIZE + 1 + 5 + 5 + VECTOR_COLLECTION_MAX + 9)

struct survey_leg {
	struct leg leg;
	uint32_t index; /* the shard's */
	bool used;
	uint8_t request[REQUEST_SIZE];
};

struct survey {
	struct survey_task task;
	const struct survey_ops *ops;
	void *context;
	struct survey_leg legs[SURVEY_LEG_MAX];
	uint8_t *answers; /* owned: the legs' answer buffers */
	uint32_t asked_count;
	uint32_t next;        /* the next index to ask for */
	uint32_t end;         /* no shard is at this index or above */
	uint32_t found_end;   /* the last shard found, and 1 */
	uint32_t doubt_begin; /* the first shard that nobody could tell about */
	uint32_t doubt_end;   /* the last one, and 1 */
	uint64_t found_ns;    /* when the last shard was found */
	uint16_t status;
	bool certain; /* 'end' is what servers said, or the caller */
	bool done;
};

int survey_new(uint32_t answer_size_max, struct survey **ret_survey)
{
	struct survey *survey;

	if (answer_size_max < ENVELOPE_SIZE || answer_size_max > SESSION_MESSAGE_SIZE_MAX)
		return -EINVAL;
	survey = calloc(1, sizeof(*survey));
	if (!survey)
		return -ENOMEM;
	survey->answers = malloc((size_t)answer_size_max * SURVEY_LEG_MAX);
	if (!survey->answers) {
		free(survey);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < SURVEY_LEG_MAX; i++) {
		struct survey_leg *leg = &survey->legs[i];

		leg->leg.state = LEG_FAILED;
		leg->leg.request = leg->request;
		leg->leg.answer = survey->answers + (size_t)i * answer_size_max;
		leg->leg.answer_capacity = answer_size_max;
	}
	survey->done = true;
	*ret_survey = survey;
	return 0;
}

void survey_free(struct survey *survey)
{
	if (!survey)
		return;
	CHECK(survey->asked_count == 0);
	free(survey->answers);
	free(survey);
}

void survey_begin(struct survey *survey, const struct survey_task *task,
		  const struct survey_ops *ops, void *context, uint64_t now_ns)
{
	CHECK(survey->asked_count == 0 && task->shard_count <= ROUTE_VSHARD_MAX);
	survey->task = *task;
	survey->ops = ops;
	survey->context = context;
	survey->next = 0;
	survey->end = task->shard_count ? task->shard_count : ROUTE_VSHARD_MAX;
	survey->certain = task->shard_count != 0;
	survey->found_end = 0;
	survey->doubt_begin = UINT32_MAX;
	survey->doubt_end = 0;
	survey->found_ns = now_ns;
	survey->status = STATUS_OK;
	survey->done = false;
	for (uint32_t i = 0; i < SURVEY_LEG_MAX; i++)
		survey->legs[i].used = false;
}

static void begin_leg(struct survey *survey, struct survey_leg *leg, const struct route *route)
{
	const char *name = route_collection_name(route, survey->task.collection);
	struct coarse_request request = {
		.collection = {.text = name, .length = (uint32_t)strlen(name)},
	};
	struct envelope envelope = {
		.type = MESSAGE_VECTOR_COARSE_ROUTE_REQUEST,
		.source_node = survey->task.source_node,
		.vshard = manifest_vshard(name, survey->next),
	};
	size_t size;

	size = coarse_request_encode(&request, leg->request + ENVELOPE_SIZE,
				     sizeof(leg->request) - ENVELOPE_SIZE);
	CHECK(size > 0);
	envelope.payload_size = (uint32_t)size;
	envelope_encode_header(&envelope, leg->request);
	leg_begin(&leg->leg, route, survey->task.collection, envelope.vshard, survey->next,
		  SURVEY_RETRY_MAX);
	leg->leg.request_size = (uint32_t)(ENVELOPE_SIZE + size);
	leg->index = survey->next++;
	leg->used = true;
}

/* What the survey knows after a shard was not found. */
static void note_missing(struct survey *survey, uint32_t index, uint16_t status)
{
	if (status == STATUS_SHARD_NOT_HERE && survey->task.shard_count == 0) {
		survey->end = MIN(survey->end, index);
		survey->certain = true;
		if (index == 0)
			survey->status = status;
		return;
	}
	survey->status = status;
	survey->doubt_begin = MIN(survey->doubt_begin, index);
	survey->doubt_end = MAX(survey->doubt_end, index + 1);
}

/* Have so many in a row behind the last shard found been in doubt that there is no use in more? */
static bool lost_in_doubt(const struct survey *survey)
{
	return !survey->certain && survey->doubt_end >= survey->found_end + SURVEY_GAP_MAX;
}

static void end_leg(struct survey *survey, struct survey_leg *leg)
{
	leg->used = false;
	if (leg->leg.state == LEG_ANSWERED)
		survey->found_end = MAX(survey->found_end, leg->index + 1);
	else
		note_missing(survey, leg->index, leg->leg.status);
}

static void expire(struct survey *survey)
{
	for (uint32_t i = 0; i < SURVEY_LEG_MAX; i++) {
		struct survey_leg *leg = &survey->legs[i];

		if (!leg->used)
			continue;
		if (leg->leg.status == STATUS_OK)
			leg->leg.status = STATUS_DEADLINE;
		if (leg->leg.state != LEG_ASKED)
			leg->leg.state = LEG_FAILED;
		end_leg(survey, leg);
	}
	if (survey->next < survey->end) /* shards that were never asked for are in doubt too */
		note_missing(survey, survey->end - 1, STATUS_DEADLINE);
	survey->done = true;
}

/* When it ends without what has not answered. */
static uint64_t end_ns(const struct survey *survey)
{
	if (survey->found_end == 0)
		return survey->task.deadline_ns;
	return MIN(survey->task.deadline_ns, survey->found_ns + SURVEY_STALL_NS);
}

/* Is every shard below the end accounted for? Legs behind it may still be under way. */
static bool nothing_left(const struct survey *survey)
{
	for (uint32_t i = 0; i < SURVEY_LEG_MAX; i++)
		if (survey->legs[i].used && survey->legs[i].index < survey->end)
			return false;
	return survey->next >= survey->end || lost_in_doubt(survey);
}

void survey_run(struct survey *survey, struct route *route, const struct leg_ops *ops,
		void *context, uint64_t now_ns)
{
	if (survey->done)
		return;
	if (now_ns >= end_ns(survey)) {
		expire(survey);
		return;
	}
	for (uint32_t i = 0; i < SURVEY_LEG_MAX; i++) {
		struct survey_leg *leg = &survey->legs[i];

		/* A leg of an earlier survey may still be under way: its buffer isn't ours yet. */
		if (!leg->used && leg->leg.state != LEG_ASKED && survey->next < survey->end &&
		    !lost_in_doubt(survey))
			begin_leg(survey, leg, route);
		if (!leg->used || leg->leg.state == LEG_ASKED)
			continue;
		leg_send(&leg->leg, route, ops, context, survey->task.tag + i,
			 survey->task.deadline_ns, now_ns);
		if (leg->leg.state == LEG_ASKED)
			survey->asked_count++;
		else if (leg->leg.state == LEG_FAILED)
			end_leg(survey, leg);
	}
	survey->done = nothing_left(survey);
}

/* Reads a descriptor and hands it on. Returns OK, or why the shard counts as missing. */
static uint16_t take_descriptor(struct survey *survey, const struct survey_leg *leg)
{
	struct coarse_answer answer;
	struct envelope envelope;
	uint32_t row_count;

	if (envelope_decode(leg->leg.answer, leg->leg.answer_size, &envelope) != 0 ||
	    envelope.type != MESSAGE_VECTOR_COARSE_ROUTE_RESPONSE ||
	    envelope.vshard != leg->leg.vshard ||
	    coarse_answer_decode(envelope.payload, envelope.payload_size, &answer) != 0 ||
	    answer.shard_id != leg->leg.vshard || answer.kind != COARSE_CENTROIDS ||
	    answer.metric >= METRIC_COUNT || answer.dim == 0 || answer.dim > VECTOR_DIM_MAX ||
	    centroid_body_check(answer.body, answer.body_size, answer.dim, &row_count) != 0)
		return STATUS_MALFORMED;
	return survey->ops->found(survey->context, leg->index, &answer);
}

void survey_take(struct survey *survey, struct route *route, uint32_t index,
		 const struct session_answer *answer, uint64_t now_ns)
{
	struct survey_leg *leg = &survey->legs[index];

	CHECK(index < SURVEY_LEG_MAX && leg->leg.state == LEG_ASKED && survey->asked_count > 0);
	survey->asked_count--;
	if (survey->done) {
		leg->leg.state = LEG_FAILED;
		return;
	}
	leg_take(&leg->leg, route, answer, now_ns);
	if (leg->leg.state == LEG_ANSWERED) {
		uint16_t status = take_descriptor(survey, leg);

		if (status != STATUS_OK)
			leg_refuse(&leg->leg, status);
	}
	if (leg->leg.state == LEG_ANSWERED)
		survey->found_ns = now_ns;
	if (leg_is_over(&leg->leg))
		end_leg(survey, leg);
}

uint64_t survey_due_ns(const struct survey *survey)
{
	uint64_t due_ns = end_ns(survey);

	if (survey->done)
		return UINT64_MAX;
	for (uint32_t i = 0; i < SURVEY_LEG_MAX; i++)
		if (survey->legs[i].used && survey->legs[i].leg.state == LEG_PAUSED)
			due_ns = MIN(due_ns, survey->legs[i].leg.due_ns);
	return due_ns;
}

bool survey_is_done(const struct survey *survey)
{
	return survey->done;
}

bool survey_is_idle(const struct survey *survey)
{
	return survey->asked_count == 0;
}

uint32_t survey_shard_count(const struct survey *survey)
{
	if (survey->found_end == 0)
		return 0;
	return survey->task.shard_count ? survey->task.shard_count : survey->found_end;
}

/*
 * A shard in doubt below the last one found is missing, and that is certain;
 * one behind it may or may not exist, unless an end was named before it.
 */
bool survey_is_certain(const struct survey *survey)
{
	return survey->certain &&
	       (survey->task.shard_count != 0 || survey->doubt_end <= survey->found_end ||
		survey->end <= survey->found_end);
}

uint16_t survey_status(const struct survey *survey)
{
	return survey->doubt_begin < survey->end || survey->end == 0 ? survey->status : STATUS_OK;
}

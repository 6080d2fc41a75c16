/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/coordinator.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/defs.h"
#include "cluster/dial.h"
#include "cluster/gather.h"
#include "cluster/route.h"
#include "dataplane/reply.h"
#include "proto/payload_vector.h"
#include "proto/status.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a peer is told to wait when all questions are under way; chosen: a scatter's time. */
#define OVERLOAD_HINT_US 500

/* Answers of sessions taken at a time. */
#define ANSWER_COUNT 32

/* A call's tag is the question's index above the leg's. */
#define TAG_SHIFT 32

struct question {
	struct gather *gather; /* owned */
	bool open;             /* not answered */
	bool used;             /* calls may still be under way */
	struct dispatch_item item;
};

struct coordinator {
	struct coordinator_config config;
	struct endpoint *endpoint;
	struct route *route; /* owned */
	struct coordinator_stats stats;
	uint32_t ids[SHARD_COLLECTION_MAX]; /* the route's number of each collection */
	uint32_t used_count;
	struct question questions[COORDINATOR_QUESTION_MAX];
	struct dial dial;
	uint32_t vshards[MANIFEST_SHARD_MAX];
	float vector[VECTOR_DIM_MAX];
	struct vector_hit hits[COORDINATOR_TOP_K_MAX];
};

/* --- life --- */

/* Servers to look for unknown shards at: this core first, then the peers. */
static int make_route(struct coordinator *coordinator)
{
	const struct coordinator_config *config = &coordinator->config;
	struct addr servers[ROUTE_SERVER_MAX];
	uint32_t count = 0;

	if (config->peer_count >= ROUTE_SERVER_MAX)
		return -EINVAL;
	servers[count++] = config->cores[config->core];
	for (uint32_t i = 0; i < config->peer_count; i++)
		servers[count++] = config->peers[i];
	return route_new(servers, count, SHARD_COLLECTION_MAX, &coordinator->route);
}

/* What the node knows by itself: its collections, and the cores of its own shards. */
static int teach_route(struct coordinator *coordinator)
{
	const struct shard_table *shards = coordinator->config.shards;
	int r = 0;

	for (uint32_t i = 0; i < shards->collection_count && !r; i++)
		r = route_collection(coordinator->route, shards->collections[i].name,
				     shards->collections[i].name_length, &coordinator->ids[i]);
	for (uint32_t i = 0; i < shards->count && !r; i++) {
		const struct shard *shard = &shards->shards[i];
		struct text_view name = {shard->collection, shard->name_length};
		int collection = shard_table_collection(shards, &name);

		CHECK(collection >= 0);
		r = route_learn(coordinator->route, coordinator->ids[collection], shard->vshard,
				&coordinator->config.cores[shard->core], coordinator->config.epoch);
	}
	return r > 0 ? -EINVAL : r;
}

static int make_gathers(struct coordinator *coordinator)
{
	const struct shard_table *shards = coordinator->config.shards;
	struct gather_limits limits = {
		.shard_max = 1,
		.request_size_max = coordinator->config.message_size_max,
		.hit_max = COORDINATOR_TOP_K_MAX,
	};
	int r = 0;

	for (uint32_t i = 0; i < shards->collection_count; i++)
		limits.shard_max = MAX(limits.shard_max, shards->collections[i].shard_count);
	for (unsigned i = 0; i < COORDINATOR_QUESTION_MAX && !r; i++)
		r = gather_new(&limits, &coordinator->questions[i].gather);
	return r;
}

int coordinator_new(const struct coordinator_config *config, struct endpoint *endpoint,
		    struct coordinator **ret_coordinator)
{
	struct coordinator *coordinator;
	int r;

	coordinator = calloc(1, sizeof(*coordinator));
	if (!coordinator)
		return -ENOMEM;
	coordinator->config = *config;
	coordinator->endpoint = endpoint;
	coordinator->dial.endpoint = endpoint;
	r = make_route(coordinator);
	if (!r)
		r = teach_route(coordinator);
	if (!r)
		r = make_gathers(coordinator);
	if (r) {
		coordinator_free(coordinator);
		return r;
	}
	*ret_coordinator = coordinator;
	return 0;
}

/* Calls under way lend buffers of the gathers to the sessions, so these are closed first. */
void coordinator_free(struct coordinator *coordinator)
{
	struct session_answer answers[ANSWER_COUNT];
	uint64_t now_ns = clock_now_ns();

	if (!coordinator)
		return;
	dial_hang_up(&coordinator->dial, now_ns);
	for (unsigned count = ANSWER_COUNT; coordinator->used_count && count;) {
		count = endpoint_take_answers(coordinator->endpoint, answers, ANSWER_COUNT);
		for (unsigned i = 0; i < count; i++)
			gather_take(coordinator->questions[answers[i].tag >> TAG_SHIFT].gather,
				    coordinator->route, (uint32_t)answers[i].tag, &answers[i],
				    now_ns);
	}
	for (unsigned i = 0; i < COORDINATOR_QUESTION_MAX; i++)
		gather_free(coordinator->questions[i].gather);
	route_free(coordinator->route);
	free(coordinator);
}

/* --- asking --- */

static struct question *question_free(struct coordinator *coordinator)
{
	for (unsigned i = 0; i < COORDINATOR_QUESTION_MAX; i++)
		if (!coordinator->questions[i].used)
			return &coordinator->questions[i];
	return NULL;
}

/* Answers with what is wrong with the request, if anything is. */
static bool refuse_wrong(const struct coordinator *coordinator, const struct dispatch_item *item,
			 const struct vector_scatter *scatter, int collection, uint64_t now_ns)
{
	if (collection < 0) {
		reply_status(item, STATUS_SHARD_NOT_HERE, 0, now_ns);
		return true;
	}
	if (scatter->dim != coordinator->config.shards->collections[collection].dim) {
		reply_words(item, STATUS_INVALID, "the query has another dimension", now_ns);
		return true;
	}
	if (scatter->top_k > COORDINATOR_TOP_K_MAX) {
		reply_words(item, STATUS_INVALID, "top_k is over a coordinator's limit of 1000",
			    now_ns);
		return true;
	}
	return false;
}

static int gather_start(struct coordinator *coordinator, struct question *question,
			const struct vector_scatter *scatter, int collection, uint64_t now_ns)
{
	const struct shard_collection *known = &coordinator->config.shards->collections[collection];
	uint64_t index = (uint64_t)(question - coordinator->questions);
	struct gather_question asked = {
		.scatter = scatter,
		.collection = coordinator->ids[collection],
		.vshards = coordinator->vshards,
		.vshard_count = known->shard_count,
		.source_node = coordinator->config.node,
		.deadline_ns =
			MIN(question->item.view.deadline_ns, now_ns + COORDINATOR_DEADLINE_NS),
		.tag = index << TAG_SHIFT,
	};

	for (uint32_t i = 0; i < known->shard_count; i++)
		coordinator->vshards[i] = manifest_vshard(known->name, i);
	return gather_begin(question->gather, coordinator->route, &asked);
}

void coordinator_begin(struct coordinator *coordinator, const struct dispatch_item *item,
		       uint64_t now_ns)
{
	struct question *question = question_free(coordinator);
	struct vector_scatter scatter;
	int collection;

	coordinator->stats.questions_refused++; /* until it is begun */
	if (vector_scatter_decode(item->envelope.payload, item->envelope.payload_size,
				  coordinator->vector, VECTOR_DIM_MAX, &scatter)) {
		reply_status(item, STATUS_MALFORMED, 0, now_ns);
		return;
	}
	collection = shard_table_collection(coordinator->config.shards, &scatter.collection);
	if (refuse_wrong(coordinator, item, &scatter, collection, now_ns))
		return;
	if (!question) {
		reply_status(item, STATUS_OVERLOADED, OVERLOAD_HINT_US, now_ns);
		return;
	}
	/*
	 * It stays unanswered past the turn, and its frame doesn't. The bytes that were
	 * decoded are there until the turn's end.
	 */
	if (request_keep(item->request)) {
		reply_status(item, STATUS_OVERLOADED, OVERLOAD_HINT_US, now_ns);
		return;
	}
	question->item = *item;
	if (gather_start(coordinator, question, &scatter, collection, now_ns)) {
		reply_status(item, STATUS_TOO_LARGE, 0, now_ns);
		return;
	}
	question->used = true;
	question->open = true;
	coordinator->used_count++;
	coordinator->stats.questions_refused--;
	coordinator->stats.questions++;
}

/* --- answering --- */

/* "2 shards are missing: 17 (deadline passed), 18 (...)", as far as an error text goes. */
static void missing_text(const struct gather *gather, uint32_t count, char *text, size_t size)
{
	struct gather_missing missing[8];
	uint32_t shown = MIN(gather_missing(gather, missing, ARRAY_COUNT(missing)),
			     (uint32_t)ARRAY_COUNT(missing));
	size_t used = (size_t)snprintf(text, size, "%u shards are missing:", count);

	for (uint32_t i = 0; i < shown && used < size; i++)
		used += (size_t)snprintf(text + used, size - used, " %u (%s)%s", missing[i].vshard,
					 status_text(missing[i].status), i + 1 < count ? "," : "");
}

static void question_answer(struct coordinator *coordinator, struct question *question,
			    uint64_t now_ns)
{
	uint16_t status = gather_status(question->gather);
	uint32_t missing = gather_missing(question->gather, NULL, 0);
	char text[VECTOR_ERROR_MAX + 1] = "";
	struct vector_answer answer = {
		.shard_id = COORDINATOR_VSHARD,
		.hits = coordinator->hits,
		.success = true,
		.has_error = missing > 0,
	};
	const struct gather_hit *hits;

	coordinator->stats.questions_retries += gather_retry_count(question->gather);
	if (missing)
		missing_text(question->gather, missing, text, sizeof(text));
	if (status != STATUS_OK) {
		coordinator->stats.questions_failed++;
		reply_words(&question->item, status, text, now_ns);
		return;
	}
	coordinator->stats.questions_partial += missing > 0;
	answer.error = (struct text_view){text, (uint32_t)strlen(text)};
	hits = gather_hits(question->gather, &answer.hit_count);
	for (uint32_t i = 0; i < answer.hit_count; i++)
		coordinator->hits[i] = (struct vector_hit){
			.vector_id = hits[i].vector_id,
			.distance = hits[i].distance,
			.shard_id = hits[i].vshard,
		};
	status = reply_hits(&question->item, &answer, coordinator->config.message_size_max, now_ns);
	if (status != STATUS_OK)
		reply_status(&question->item, status, OVERLOAD_HINT_US, now_ns);
}

static void question_turn(struct coordinator *coordinator, struct question *question,
			  uint64_t now_ns)
{
	gather_run(question->gather, coordinator->route, &dial_leg_ops, &coordinator->dial, now_ns);
	if (question->open && gather_is_done(question->gather)) {
		question->open = false;
		question_answer(coordinator, question, now_ns);
	}
	if (!question->open && gather_is_idle(question->gather)) {
		question->used = false;
		coordinator->used_count--;
	}
}

bool coordinator_turn(struct coordinator *coordinator, uint64_t now_ns)
{
	struct session_answer answers[ANSWER_COUNT];
	bool worked = false;
	unsigned count;

	if (likely(!coordinator->used_count))
		return false;
	do {
		count = endpoint_take_answers(coordinator->endpoint, answers, ANSWER_COUNT);
		for (unsigned i = 0; i < count; i++)
			gather_take(coordinator->questions[answers[i].tag >> TAG_SHIFT].gather,
				    coordinator->route, (uint32_t)answers[i].tag, &answers[i],
				    now_ns);
		worked = worked || count;
	} while (count == ANSWER_COUNT);
	for (unsigned i = 0; i < COORDINATOR_QUESTION_MAX; i++)
		if (coordinator->questions[i].used)
			question_turn(coordinator, &coordinator->questions[i], now_ns);
	return worked;
}

uint64_t coordinator_due_ns(const struct coordinator *coordinator)
{
	uint64_t due_ns = UINT64_MAX;

	for (unsigned i = 0; i < COORDINATOR_QUESTION_MAX && coordinator->used_count; i++)
		if (coordinator->questions[i].used)
			due_ns = MIN(due_ns, gather_due_ns(coordinator->questions[i].gather));
	return due_ns;
}

const struct coordinator_stats *coordinator_stats(const struct coordinator *coordinator)
{
	return &coordinator->stats;
}

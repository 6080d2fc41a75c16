/* SPDX-License-Identifier: Apache-2.0 */
#include "client/far.h"

#include "base/check.h"
#include "base/defs.h"
#include "base/log.h"
#include "rdma/fetch_verbs.h"
#include "rdma/verbs_ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A search's tag: its question's, above its place among the question's shards. */
#define PLACE_BITS 12
static_assert(GATHER_SHARD_MAX <= 1 << PLACE_BITS, "a place is below 2^PLACE_BITS");

/* Answers taken from one shard at a time. */
#define ANSWER_BURST 16

struct far {
	struct device *device;       /* owned; NULL: none */
	struct link_hub *hub;        /* owned */
	struct one_sided *one_sided; /* owned */
	uint32_t shard_count;        /* wanted so far */
	uint8_t secret[LINK_SECRET_SIZE];
};

/* Nothing to do: links are looked at when their shard's turn comes. */
static void link_changed(void *context, struct link *link)
{
	(void)context;
	(void)link;
}

/* No device is no failure, unless it was asked for by its name. */
static void open_verbs(struct far *far, const struct far_config *config)
{
	const struct device_options device = {.name = config->device, .gid_index = -1};
	const struct link_hub_config hub = {
		.secret = config->secret,
		.link_max = ONE_SIDED_SHARD_MAX,
		.send_depth = 2 * FETCH_VERBS_DEPTH_MIN, /* a lease's, and the next one's */
		.changed = link_changed,
	};
	char error[DEVICE_ERROR_MAX] = "";

	if (!config->ops)
		return;
	if (device_open(config->ops, &device, &far->device, error, sizeof(error))) {
		log_info("no verbs: %s", error);
		return;
	}
	if (link_hub_new(far->device, &hub, &far->hub, error, sizeof(error))) {
		log_warning("no verbs: %s", error);
		device_close(far->device);
		far->device = NULL;
	}
}

struct far_config far_config_of(const char *verbs, uint64_t mib, const uint8_t *secret)
{
	bool has_verbs = !verbs || strcmp(verbs, "none") != 0;

	return (struct far_config){
		.ops = has_verbs ? real_verbs_ops() : NULL,
		.device = verbs,
		.shm = true,
		.huge = true,
		.memory_size = mib << 20,
		.secret = secret,
	};
}

int far_new(const struct far_config *config, struct far **ret_far)
{
	struct far *far = calloc(1, sizeof(*far));
	struct one_sided_config one_sided = {
		.shm = config->shm,
		.huge = config->huge,
		.memory_size = config->memory_size ? config->memory_size : FAR_MEMORY,
		.shard_max = ONE_SIDED_SHARD_MAX,
		.reader = {.in_flight = FAR_IN_FLIGHT,
			   .ef_max = SEARCH_EF_MAX,
			   .k_max = READER_K_MAX,
			   .breadth = FAR_BREADTH},
	};
	int result;

	if (!far)
		return -ENOMEM;
	if (config->secret) {
		memcpy(far->secret, config->secret, sizeof(far->secret));
		one_sided.secret = far->secret;
	}
	open_verbs(far, config);
	if (config->ops && config->device && !far->device) {
		far_free(far);
		return -ENODEV;
	}
	one_sided.hub = far->hub;
	result = one_sided_new(&one_sided, &far->one_sided);
	if (result) {
		far_free(far);
		return result;
	}
	*ret_far = far;
	return 0;
}

void far_free(struct far *far)
{
	if (!far)
		return;
	one_sided_free(far->one_sided);
	if (far->hub)
		link_hub_free(far->hub);
	device_close(far->device);
	explicit_bzero(far->secret, sizeof(far->secret));
	free(far);
}

/* --- questions --- */

void far_question_deinit(struct far_question *question)
{
	free(question->shards);
	free(question->vshards);
	free(question->places);
	free(question->vector);
	free(question->hits);
	*question = (struct far_question){0};
}

/* What a question has is kept for the next one, which is mostly as large. */
static bool fit(struct far_question *question, uint32_t count, uint32_t dim, uint32_t k)
{
	if (count > question->capacity || dim > question->dim_capacity ||
	    k > question->k_capacity) {
		far_question_deinit(question);
		question->shards = malloc(count * sizeof(question->shards[0]));
		question->vshards = malloc(count * sizeof(question->vshards[0]));
		question->places = malloc(count * sizeof(question->places[0]));
		question->vector = malloc(dim * sizeof(question->vector[0]));
		question->hits = malloc(2 * (size_t)k * sizeof(question->hits[0]));
		if (!question->shards || !question->vshards || !question->places ||
		    !question->vector || !question->hits) {
			far_question_deinit(question);
			return false;
		}
		question->capacity = count;
		question->dim_capacity = dim;
		question->k_capacity = k;
	}
	return true;
}

int far_begin(struct far *far, struct far_question *question, uint32_t collection,
	      const uint32_t *vshards, uint32_t count, const float *vector, uint32_t dim,
	      uint32_t k, uint32_t ef, uint64_t tag)
{
	if (!fit(question, count, dim, k))
		return -ENOMEM;
	memcpy(question->vector, vector, dim * sizeof(*vector));
	memcpy(question->vshards, vshards, count * sizeof(*vshards));
	question->shard_count = count;
	question->open_count = 0;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t shard = one_sided_shard(far->one_sided, collection, vshards[i]);

		question->shards[i] = shard;
		question->places[i] = shard == UINT32_MAX ? FAR_LEFT : FAR_WANTED;
		question->open_count += shard != UINT32_MAX;
		if (shard != UINT32_MAX)
			far->shard_count = MAX(far->shard_count, shard + 1);
	}
	question->k = k;
	question->ef = ef;
	question->tag = tag;
	question->hit_count = 0;
	question->answered = 0;
	return 0;
}

static void leave(struct far_question *question, uint32_t place)
{
	question->places[place] = FAR_LEFT;
	question->open_count--;
}

/* Is it worth waiting for? Only before the shard was ever ready: else owners are asked meanwhile.
 */
static bool is_promising(const struct far *far, uint32_t shard)
{
	return one_sided_is_coming(far->one_sided, shard) &&
	       one_sided_info(far->one_sided, shard).opened == 0;
}

static void ask(struct far *far, struct far_question *question, uint32_t place)
{
	uint32_t shard = question->shards[place];
	int result;

	if (!one_sided_is_ready(far->one_sided, shard)) {
		if (!is_promising(far, shard))
			leave(question, place);
		return;
	}
	result = one_sided_ask(far->one_sided, shard, question->vector, question->k, question->ef,
			       question->tag << PLACE_BITS | place);
	if (result == 0)
		question->places[place] = FAR_ASKED;
	else if (result != READER_E_BUSY)
		leave(question, place);
}

void far_advance(struct far *far, struct far_question *question)
{
	for (uint32_t i = 0; i < question->shard_count; i++)
		if (question->places[i] == FAR_WANTED)
			ask(far, question, i);
}

void far_abandon(struct far *far, struct far_question *question)
{
	for (uint32_t i = 0; i < question->shard_count; i++) {
		if (question->places[i] == FAR_ASKED)
			one_sided_abandon(far->one_sided, question->shards[i],
					  question->tag << PLACE_BITS | i);
		if (question->places[i] == FAR_ASKED || question->places[i] == FAR_WANTED)
			leave(question, i);
	}
}

uint32_t far_rest(const struct far_question *question, uint32_t *vshards)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < question->shard_count; i++)
		if (question->places[i] == FAR_LEFT)
			vshards[count++] = question->vshards[i];
	return count;
}

static int compare_hits(const void *left, const void *right)
{
	return gather_hit_before(left, right) ? -1 : gather_hit_before(right, left);
}

/* Of the question's hits and 'count' behind them, keeps the k nearest. */
static void keep_nearest(struct far_question *question, uint32_t count)
{
	uint32_t all = question->hit_count + count;

	qsort(question->hits, all, sizeof(question->hits[0]), compare_hits);
	question->hit_count = MIN(all, question->k);
}

uint32_t far_merge(struct far_question *question, const struct gather_hit *hits, uint32_t count)
{
	count = MIN(count, question->k);
	memcpy(question->hits + question->hit_count, hits, count * sizeof(*hits));
	keep_nearest(question, count);
	return question->hit_count;
}

void far_answer(struct far_question *question, uint32_t shard, const struct reader_answer *answer)
{
	uint32_t place = (uint32_t)(answer->tag & ((1 << PLACE_BITS) - 1));
	struct gather_hit *to = question->hits + question->hit_count;
	uint32_t count = MIN(answer->hit_count, question->k);

	CHECK(place < question->shard_count && question->places[place] == FAR_ASKED &&
	      question->shards[place] == shard);
	if (answer->error) {
		leave(question, place);
		return;
	}
	question->places[place] = FAR_DONE;
	question->open_count--;
	question->answered++;
	for (uint32_t i = 0; i < count; i++)
		to[i] = (struct gather_hit){answer->hits[i].distance, answer->hits[i].label,
					    question->vshards[place]};
	keep_nearest(question, count);
}

/* --- all of them --- */

void far_run(struct far *far, struct route *route, const struct leg_ops *ops, void *ops_context,
	     uint64_t tag_base, far_answered_fn answered, void *context, uint64_t now_ns)
{
	one_sided_run(far->one_sided, route, ops, ops_context, tag_base, now_ns);
	for (uint32_t shard = 0; shard < far->shard_count; shard++) {
		struct reader_answer answers[ANSWER_BURST];
		unsigned count;

		do {
			count = one_sided_answers(far->one_sided, shard, answers, ANSWER_BURST);
			for (unsigned i = 0; i < count; i++)
				answered(context, answers[i].tag >> PLACE_BITS, shard, &answers[i]);
		} while (count == ANSWER_BURST);
	}
}

void far_take(struct far *far, struct route *route, uint32_t number,
	      const struct session_answer *answer, uint64_t now_ns)
{
	one_sided_take(far->one_sided, route, number, answer, now_ns);
}

uint64_t far_due_ns(const struct far *far, uint64_t now_ns)
{
	return one_sided_due_ns(far->one_sided, now_ns);
}

struct far_stats far_stats(const struct far *far)
{
	struct far_stats stats = {.shards = far->shard_count, .reason = ""};

	for (uint32_t shard = 0; shard < far->shard_count; shard++) {
		struct one_sided_info info = one_sided_info(far->one_sided, shard);

		stats.ready += info.is_ready;
		stats.opened += info.opened;
		stats.failed += info.failed;
		stats.searches += info.reader.answers;
		stats.rounds += info.reader.rounds;
		stats.reads += info.fetch.reads;
		stats.bytes += info.fetch.bytes;
		stats.failures += info.fetch.failures;
		stats.opening_reads += info.reader.opening_reads;
		stats.opening_bytes += info.reader.opening_bytes;
		if (info.is_ready)
			stats.transport = info.transport;
		else
			stats.reason = one_sided_reason(far->one_sided, shard);
	}
	return stats;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/handle_vector.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/defs.h"
#include "dataplane/coordinator.h"
#include "dataplane/reply.h"
#include "hnsw/search.h"
#include "proto/message.h"
#include "proto/payload_vector.h"
#include "proto/status.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The fields of a type 53 answer beside its body: at most 9 bytes each, and the array. */
#define COARSE_FIELDS_SIZE 80

/* The shortest hint: a peer that comes back sooner finds the same queue. */
#define OVERLOAD_HINT_US_MIN 100

/* A request under search. */
struct slot {
	struct dispatch_item item;
	const struct shard *shard;
	uint32_t k;
	struct filter *filter; /* owned; holds what the request allows */
};

struct handle_vector {
	struct handle_vector_config config;
	struct handle_vector_stats stats;
	uint32_t head; /* the next to be searched: queue[head & queue_mask] */
	uint32_t tail; /* the next free place; head and tail only grow, and wrap */
	uint32_t kept; /* how many from head on are kept: their bytes are in the pool */
	uint32_t queue_mask;
	struct dispatch_item *queue; /* requests that wait */
	uint64_t search_ns;          /* what one search takes, averaged */
	float *vector;               /* the query being decoded; search_begin() copies it */
	struct search_hit *search_hits;
	struct vector_hit *hits;
	struct slot slots[HANDLE_VECTOR_BURST_MAX];
	struct search *searches[HANDLE_VECTOR_BURST_MAX]; /* owned; one a slot */
};

/* What the shards of this core ask for at most. */
struct extent {
	uint32_t node_max;
	uint32_t dim_max;
	uint32_t label_max;
};

static struct extent shards_extent(const struct shard_table *shards, uint32_t core)
{
	struct extent extent = {.node_max = 1, .dim_max = 1};

	for (uint32_t i = 0; i < shards->count; i++) {
		const struct shard *shard = &shards->shards[i];

		if (shard->core != core)
			continue;
		extent.node_max = MAX(extent.node_max, shard->segment.count);
		extent.dim_max = MAX(extent.dim_max, shard->segment.dim);
		extent.label_max = MAX(extent.label_max, shard->label_max);
	}
	return extent;
}

static int slots_new(struct handle_vector *handler)
{
	const struct handle_vector_config *config = &handler->config;
	struct extent extent = shards_extent(config->shards, config->core);
	struct search_limits limits = {
		.node_max = extent.node_max,
		.dim_max = extent.dim_max,
		.ef_max = MAX(config->ef.max, VECTOR_TOP_K_MAX),
	};
	int r;

	for (uint32_t i = 0; i < config->burst; i++) {
		r = search_new(&limits, &handler->searches[i]);
		if (r)
			return r;
		r = filter_new(extent.label_max, &handler->slots[i].filter);
		if (r)
			return r;
	}
	return 0;
}

static bool config_valid(const struct handle_vector_config *config)
{
	return config->burst && config->burst <= HANDLE_VECTOR_BURST_MAX && config->queue_max &&
	       config->queue_max <= HANDLE_VECTOR_QUEUE_MAX && config->ef.max &&
	       config->ef.max <= VECTOR_EF_MAX && config->ef.unasked <= config->ef.max;
}

int handle_vector_new(const struct handle_vector_config *config, struct handle_vector **ret_handler)
{
	struct handle_vector *handler;
	uint32_t places = 1;
	int r = -ENOMEM;

	if (!config_valid(config))
		return -EINVAL;
	handler = calloc(1, sizeof(*handler));
	if (!handler)
		return -ENOMEM;
	while (places < config->queue_max)
		places *= 2;
	handler->config = *config;
	handler->queue_mask = places - 1;
	handler->queue = calloc(places, sizeof(*handler->queue));
	handler->vector = aligned_alloc(CACHE_LINE, VECTOR_DIM_MAX * sizeof(float));
	handler->search_hits = calloc(VECTOR_TOP_K_MAX, sizeof(*handler->search_hits));
	handler->hits = calloc(VECTOR_TOP_K_MAX, sizeof(*handler->hits));
	if (handler->queue && handler->vector && handler->search_hits && handler->hits)
		r = slots_new(handler);
	if (r) {
		handle_vector_free(handler);
		return r;
	}
	*ret_handler = handler;
	return 0;
}

void handle_vector_free(struct handle_vector *handler)
{
	if (!handler)
		return;
	for (uint32_t i = 0; i < handler->config.burst; i++) {
		search_free(handler->searches[i]);
		filter_free(handler->slots[i].filter);
	}
	free(handler->hits);
	free(handler->search_hits);
	free(handler->vector);
	free(handler->queue);
	free(handler);
}

/* --- answers --- */

static uint32_t overload_hint_us(const struct handle_vector *handler)
{
	uint64_t us = handle_vector_waiting(handler) * handler->search_ns / NS_PER_US;

	return (uint32_t)MIN(MAX(us, OVERLOAD_HINT_US_MIN), UINT32_MAX);
}

static NOINLINE void refuse_overloaded(struct handle_vector *handler,
				       const struct dispatch_item *item, uint64_t now_ns)
{
	handler->stats.refused_overloaded++;
	reply_status(item, STATUS_OVERLOADED, overload_hint_us(handler), now_ns);
}

static NOINLINE void refuse_invalid(struct handle_vector *handler, const struct dispatch_item *item,
				    const char *text, uint64_t now_ns)
{
	handler->stats.refused_invalid++;
	reply_words(item, STATUS_INVALID, text, now_ns);
}

/* What a decoder's PAYLOAD_E_* is to the peer. */
static NOINLINE void refuse_payload(struct handle_vector *handler, const struct dispatch_item *item,
				    int error, uint64_t now_ns)
{
	switch (error) {
	case PAYLOAD_E_LIMIT:
		handler->stats.refused_invalid++;
		reply_status(item, STATUS_INVALID, 0, now_ns);
		break;
	case PAYLOAD_E_VERSION:
		handler->stats.refused_malformed++;
		reply_status(item, STATUS_VERSION, 0, now_ns);
		break;
	default:
		handler->stats.refused_malformed++;
		reply_status(item, STATUS_MALFORMED, 0, now_ns);
		break;
	}
}

/* The shard that a request asks for; NULL when it isn't this core's, and the request is answered.
 */
static const struct shard *shard_of(struct handle_vector *handler, const struct dispatch_item *item,
				    const struct text_view *collection, uint64_t now_ns)
{
	const struct shard *shard;

	shard = shard_table_find(handler->config.shards, item->envelope.vshard, collection);
	if (unlikely(!shard)) {
		handler->stats.refused_not_here++;
		reply_status(item, STATUS_SHARD_NOT_HERE, 0, now_ns);
		return NULL;
	}
	if (unlikely(shard->core != handler->config.core)) {
		handler->stats.refused_elsewhere++;
		reply_status(item, STATUS_SHARD_ELSEWHERE, shard->udp_port, now_ns);
		return NULL;
	}
	return shard;
}

/* --- type 50 --- */

static void handle_vector_scatter(void *context, const struct dispatch_item *item, uint64_t now_ns)
{
	struct handle_vector *handler = context;

	if (item->envelope.vshard == COORDINATOR_VSHARD && handler->config.coordinator) {
		coordinator_begin(handler->config.coordinator, item, now_ns);
		return;
	}
	if (unlikely(handle_vector_waiting(handler) >= handler->config.queue_max)) {
		refuse_overloaded(handler, item, now_ns);
		return;
	}
	handler->queue[handler->tail++ & handler->queue_mask] = *item;
}

/* By the bits, which are compared side by side: an exponent of ones is a NaN or an infinity. */
static bool all_finite(const float *vector, uint32_t dim)
{
	uint32_t bad = 0;

	for (uint32_t i = 0; i < dim; i++) {
		uint32_t bits;

		memcpy(&bits, &vector[i], sizeof(bits));
		bad |= (bits & UINT32_C(0x7f800000)) == UINT32_C(0x7f800000);
	}
	return !bad;
}

/* Checks what only the shard can judge. Returns what is wrong, or NULL. */
static const char *scatter_wrong(const struct shard *shard, const struct vector_scatter *scatter,
				 char *text, size_t text_size)
{
	if (unlikely(scatter->dim != shard->segment.dim)) {
		snprintf(text, text_size, "the query has %u dimensions, the collection %u",
			 scatter->dim, shard->segment.dim);
		return text;
	}
	if (unlikely(!all_finite(scatter->vector, scatter->dim)))
		return "the query has a value that is not finite";
	return NULL;
}

/* Decodes a request and starts its search. False when it was answered instead. */
static bool slot_begin(struct handle_vector *handler, unsigned index,
		       const struct dispatch_item *item, uint64_t now_ns)
{
	struct slot *slot = &handler->slots[index];
	struct vector_scatter scatter;
	const struct shard *shard;
	const char *wrong;
	char text[VECTOR_ERROR_MAX + 1];
	int r;

	if (unlikely(item->view.deadline_ns <= now_ns)) {
		handler->stats.refused_deadline++;
		reply_status(item, STATUS_DEADLINE, 0, now_ns);
		return false;
	}
	r = vector_scatter_decode(item->envelope.payload, item->envelope.payload_size,
				  handler->vector, VECTOR_DIM_MAX, &scatter);
	if (unlikely(r)) {
		refuse_payload(handler, item, r, now_ns);
		return false;
	}
	shard = shard_of(handler, item, &scatter.collection, now_ns);
	if (unlikely(!shard))
		return false;
	wrong = scatter_wrong(shard, &scatter, text, sizeof(text));
	if (unlikely(wrong)) {
		refuse_invalid(handler, item, wrong, now_ns);
		return false;
	}
	if (scatter.has_filter) {
		if (filter_read(slot->filter, scatter.filter, scatter.filter_size)) {
			refuse_invalid(handler, item, "the filter is no portable Roaring bitmap",
				       now_ns);
			return false;
		}
		handler->stats.searches_filtered++;
	}
	slot->item = *item;
	slot->shard = shard;
	slot->k = scatter.top_k;
	search_begin(handler->searches[index], &shard->segment, scatter.vector,
		     &(struct search_params){
			     .k = scatter.top_k,
			     .ef = shard_ef(shard, &handler->config.ef, scatter.ef_search),
			     .filter = scatter.has_filter ? slot->filter : NULL,
		     });
	return true;
}

/* Turns what the search found into a type 51. */
static void slot_answer(struct handle_vector *handler, unsigned index, uint64_t now_ns)
{
	const struct slot *slot = &handler->slots[index];
	struct search_stats stats = search_stats(handler->searches[index]);
	struct vector_answer answer = {
		.shard_id = slot->shard->vshard,
		.hits = handler->hits,
		.success = true,
	};
	uint16_t status;

	answer.hit_count = search_hits(handler->searches[index], handler->search_hits, slot->k);
	for (uint32_t i = 0; i < answer.hit_count; i++)
		handler->hits[i] = (struct vector_hit){
			.vector_id = handler->search_hits[i].label,
			.distance = handler->search_hits[i].distance,
			.shard_id = slot->shard->vshard,
		};
	handler->stats.search_hops += stats.hops;
	handler->stats.search_distances += stats.distances;
	status = reply_hits(&slot->item, &answer, handler->config.message_size_max, now_ns);
	if (unlikely(status == STATUS_OVERLOADED)) {
		refuse_overloaded(handler, &slot->item, now_ns);
	} else if (unlikely(status != STATUS_OK)) {
		handler->stats.refused_too_large++;
		reply_status(&slot->item, status, 0, now_ns);
	}
}

unsigned handle_vector_run(struct handle_vector *handler, uint64_t now_ns)
{
	unsigned count = 0;
	unsigned answered = 0;
	uint64_t ns;

	for (; count < handler->config.burst && handler->head != handler->tail; answered++) {
		uint32_t next = handler->head++ & handler->queue_mask;

		count += slot_begin(handler, count, &handler->queue[next], now_ns);
	}
	handler->kept -= MIN(handler->kept, answered);
	if (!answered)
		return 0;
	stages_lap(handler->config.stages, STAGE_DECODE);
	if (!count)
		return answered;
	search_burst(handler->searches, count);
	ns = stages_lap(handler->config.stages, STAGE_SEARCH);
	/* One part in eight a burst: the hint follows the load, not a single search. */
	handler->search_ns = handler->search_ns - handler->search_ns / 8 + ns / count / 8;
	handler->stats.searches += count;
	handler->stats.search_bursts++;
	for (unsigned i = 0; i < count; i++)
		slot_answer(handler, i, now_ns);
	stages_lap(handler->config.stages, STAGE_ENCODE);
	return answered;
}

uint32_t handle_vector_waiting(const struct handle_vector *handler)
{
	return handler->tail - handler->head;
}

/* The request's bytes have moved: what borrows from them is looked up again. */
static bool item_keep(struct dispatch_item *item)
{
	if (request_keep(item->request))
		return false;
	item->view = request_view(item->request);
	CHECK(envelope_decode(item->view.bytes, item->view.size, &item->envelope) == 0);
	return true;
}

void handle_vector_keep(struct handle_vector *handler, uint64_t now_ns)
{
	uint32_t tail = handler->tail;
	uint32_t to = handler->head + handler->kept;

	/* What finds no buffer is answered, and what waits behind it moves up. */
	for (uint32_t from = to; from != tail; from++) {
		struct dispatch_item *item = &handler->queue[from & handler->queue_mask];

		if (item_keep(item))
			handler->queue[to++ & handler->queue_mask] = *item;
		else
			refuse_overloaded(handler, item, now_ns);
	}
	handler->tail = to;
	handler->kept = to - handler->head;
}

/* --- type 52 --- */

static void handle_vector_coarse(void *context, const struct dispatch_item *item, uint64_t now_ns)
{
	struct handle_vector *handler = context;
	struct coarse_request request;
	struct coarse_answer answer;
	const struct shard *shard;
	size_t capacity;
	uint8_t *payload;
	size_t size;
	int r;

	r = coarse_request_decode(item->envelope.payload, item->envelope.payload_size, &request);
	if (r) {
		refuse_payload(handler, item, r, now_ns);
		return;
	}
	shard = shard_of(handler, item, &request.collection, now_ns);
	if (!shard)
		return;
	answer = (struct coarse_answer){
		.shard_id = shard->vshard,
		.generation = shard->generation,
		.kind = COARSE_UNCHANGED,
		.metric = shard->segment.metric,
		.dim = shard->segment.dim,
		.vector_count = shard->segment.count,
	};
	if (request.known_generation != shard->generation) {
		answer.kind = COARSE_CENTROIDS;
		answer.body = shard->coarse;
		answer.body_size = shard->coarse_size;
	}
	capacity = COARSE_FIELDS_SIZE + (size_t)answer.body_size;
	if (ENVELOPE_SIZE + capacity > handler->config.message_size_max) {
		handler->stats.refused_too_large++;
		reply_status(item, STATUS_TOO_LARGE, 0, now_ns);
		return;
	}
	payload = reply_payload(item, capacity);
	if (!payload) {
		refuse_overloaded(handler, item, now_ns);
		return;
	}
	size = coarse_answer_encode(&answer, payload, capacity);
	CHECK(size);
	reply_send(item, MESSAGE_VECTOR_COARSE_ROUTE_RESPONSE, STATUS_OK, payload, size, now_ns);
	handler->stats.coarse_answers++;
	handler->stats.coarse_unchanged += answer.kind == COARSE_UNCHANGED;
}

void handle_vector_register(struct handle_vector *handler, struct dispatch *dispatch)
{
	dispatch_set(dispatch, MESSAGE_VECTOR_SCATTER_REQUEST, handle_vector_scatter, handler);
	dispatch_set(dispatch, MESSAGE_VECTOR_COARSE_ROUTE_REQUEST, handle_vector_coarse, handler);
}

const struct handle_vector_stats *handle_vector_stats(const struct handle_vector *handler)
{
	return &handler->stats;
}

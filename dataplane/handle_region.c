/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/handle_region.h"

#include "base/check.h"
#include "base/defs.h"
#include "dataplane/reply.h"
#include "proto/message.h"
#include "proto/payload_vector.h"
#include "proto/status.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* When who found no place may try again: some grants later. */
#define OVERLOAD_HINT_US 1000

/* A request that export's thread has. */
struct place {
	struct export_ask ask;
	struct dispatch_item item; /* without the payload */
	struct place *next_free;
};

struct handle_region {
	struct handle_region_config config;
	struct handle_region_stats stats;
	struct place *free; /* list */
	uint32_t waiting;
	struct place places[EXPORT_ASK_MAX];
};

int handle_region_new(const struct handle_region_config *config, struct handle_region **ret_handler)
{
	struct handle_region *handler = calloc(1, sizeof(*handler));

	if (!handler)
		return -ENOMEM;
	handler->config = *config;
	for (unsigned i = 0; i < EXPORT_ASK_MAX; i++) {
		handler->places[i].next_free = handler->free;
		handler->free = &handler->places[i];
	}
	*ret_handler = handler;
	return 0;
}

void handle_region_free(struct handle_region *handler)
{
	free(handler);
}

/* --- answers --- */

/* A 57 beside 'status'; the status alone when there is no buffer for more. */
static void answer_send(struct handle_region *handler, const struct dispatch_item *item,
			uint16_t status, uint32_t hint, const struct region_answer *answer,
			uint64_t now_ns)
{
	uint8_t *payload = reply_payload(item, REGION_PAYLOAD_MAX);
	size_t size;

	if (unlikely(!payload)) {
		handler->stats.refused_overloaded += status == STATUS_OK;
		reply_status(item, status == STATUS_OK ? STATUS_OVERLOADED : status,
			     status == STATUS_OK ? OVERLOAD_HINT_US : hint, now_ns);
		return;
	}
	size = region_answer_encode(answer, payload, REGION_PAYLOAD_MAX);
	CHECK(size);
	reply_send_hint(item, MESSAGE_VECTOR_MEM_REGION_RESPONSE, status, hint, payload, size,
			now_ns);
}

static void refuse(struct handle_region *handler, const struct dispatch_item *item, uint16_t status,
		   uint32_t hint, const char *reason, uint64_t now_ns)
{
	struct region_answer answer = region_refusal(reason);

	answer_send(handler, item, status, hint, &answer, now_ns);
}

static void refuse_payload(struct handle_region *handler, const struct dispatch_item *item,
			   int error, uint64_t now_ns)
{
	uint16_t status = error == PAYLOAD_E_LIMIT     ? STATUS_INVALID
			  : error == PAYLOAD_E_VERSION ? STATUS_VERSION
						       : STATUS_MALFORMED;

	handler->stats.refused_malformed += error != PAYLOAD_E_LIMIT;
	handler->stats.refused_invalid += error == PAYLOAD_E_LIMIT;
	reply_status(item, status, 0, now_ns);
}

static void refuse_reason(struct handle_region *handler, const struct dispatch_item *item,
			  const char *reason, uint64_t now_ns)
{
	handler->stats.refused_reason++;
	refuse(handler, item, STATUS_OK, 0, reason, now_ns);
}

static void refuse_overloaded(struct handle_region *handler, const struct dispatch_item *item,
			      uint64_t now_ns)
{
	handler->stats.refused_overloaded++;
	reply_status(item, STATUS_OVERLOADED, OVERLOAD_HINT_US, now_ns);
}

/* --- type 56 --- */

/* NULL when the shard isn't this core's, and the request is answered. */
static const struct shard *shard_of(struct handle_region *handler, const struct dispatch_item *item,
				    const struct text_view *collection, uint64_t now_ns)
{
	const struct shard *shard;

	shard = shard_table_find(handler->config.shards, item->envelope.vshard, collection);
	if (!shard) {
		bool known = shard_table_collection(handler->config.shards, collection) >= 0;

		handler->stats.refused_not_here++;
		refuse(handler, item, STATUS_SHARD_NOT_HERE, 0,
		       known ? REGION_MOVED : REGION_UNKNOWN, now_ns);
		return NULL;
	}
	if (shard->core != handler->config.core) {
		handler->stats.refused_elsewhere++;
		refuse(handler, item, STATUS_SHARD_ELSEWHERE, shard->udp_port, REGION_MOVED,
		       now_ns);
		return NULL;
	}
	return shard;
}

/* Passes the request on, which then outlives its frame. */
static void pass_on(struct handle_region *handler, const struct dispatch_item *item,
		    const struct export_ask *ask, uint64_t now_ns)
{
	struct place *place = handler->free;

	if (!place || request_keep(item->request)) {
		refuse_overloaded(handler, item, now_ns);
		return;
	}
	handler->free = place->next_free;
	place->item = *item;
	/* What the ask needs of the payload is copied, and the bytes have moved. */
	place->item.view = request_view(item->request);
	place->item.envelope.payload = NULL;
	place->item.envelope.payload_size = 0;
	place->ask = *ask;
	handler->waiting++;
	/* There are as many places as the ring has. */
	CHECK(export_ask(handler->config.desk, &place->ask));
}

static void handle_region_request(void *context, const struct dispatch_item *item, uint64_t now_ns)
{
	struct handle_region *handler = context;
	struct region_request request;
	struct export_ask ask = {0};
	int r;

	handler->stats.requests++;
	r = region_request_decode(item->envelope.payload, item->envelope.payload_size, &request);
	if (r) {
		refuse_payload(handler, item, r, now_ns);
		return;
	}
	ask.shard = shard_of(handler, item, &request.collection, now_ns);
	if (!ask.shard)
		return;
	if (region_name_parse(request.region, &ask.name)) {
		refuse_reason(handler, item, REGION_UNKNOWN, now_ns);
		return;
	}
	if (!handler->config.desk) {
		refuse_reason(handler, item, REGION_UNSUPPORTED, now_ns);
		return;
	}
	ask.lease_ms = request.lease_ms;
	ask.transport = request.transport;
	ask.proof_size = request.proof.size;
	memcpy(ask.proof, request.proof.bytes, request.proof.size);
	pass_on(handler, item, &ask, now_ns);
}

unsigned handle_region_run(struct handle_region *handler, uint64_t now_ns)
{
	struct export_ask *ask;
	unsigned count = 0;

	while (handler->waiting && (ask = export_take(handler->config.desk))) {
		struct place *place = CONTAINER_OF(ask, struct place, ask);

		handler->stats.granted += ask->answer.available;
		handler->stats.refused_reason += !ask->answer.available;
		answer_send(handler, &place->item, STATUS_OK, 0, &ask->answer, now_ns);
		place->next_free = handler->free;
		handler->free = place;
		handler->waiting--;
		count++;
	}
	return count;
}

void handle_region_register(struct handle_region *handler, struct dispatch *dispatch)
{
	dispatch_set(dispatch, MESSAGE_VECTOR_MEM_REGION_REQUEST, handle_region_request, handler);
}

const struct handle_region_stats *handle_region_stats(const struct handle_region *handler)
{
	return &handler->stats;
}

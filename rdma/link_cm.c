/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Link_cm - from connection event to connection event
 *
 *      connecting:  ADDR_RESOLVED -> ROUTE_RESOLVED -> CONNECT_RESPONSE -> (WELCOME received)
 *      listening:   CONNECT_REQUEST -> (proof received); ESTABLISHED has nothing to do
 *
 * Whatever else comes ends the link. An event is acknowledged before it is acted upon, because
 * rdma_destroy_id() waits for all of them; so what is needed of it is copied.
 */
#include "rdma/link_internal.h"

#include "base/check.h"
#include "proto/session_proof.h"

#include <errno.h>
#include <string.h>

/* RNR retries and retries of what isn't acknowledged; 7 of the former is for ever. */
#define LINK_RETRY 7

/* 255 has a meaning of its own to librdmacm. */
#define LINK_READS_MAX 254

/* Reasons in a REJ message (InfiniBand specification, volume 1, 12.6.7.2). */
#define REJ_INVALID_SERVICE_ID 8
#define REJ_STALE_CONNECTION   10

/* The part of an event that outlives it. */
struct cm_event {
	enum rdma_cm_event_type type;
	struct rdma_cm_id *id;
	int status;
	uint8_t responder_resources;
	uint8_t initiator_depth;
	size_t size;
	uint8_t bytes[UINT8_MAX]; /* private data */
};

static void refuse(struct link_hub *hub, struct rdma_cm_id *id, enum link_refusal refusal)
{
	uint8_t bytes[LINK_REFUSAL_SIZE];

	link_refusal_encode(refusal, bytes);
	(void)hub->ops->reject(id, bytes, sizeof(bytes));
}

/* Is the connection one of our device? It may lead over any that the kernel has. */
static bool is_ours(const struct link_hub *hub, const struct rdma_cm_id *id)
{
	return id->verbs && strcmp(hub->ops->get_device_name(id->verbs->device),
				   device_info(hub->device)->name) == 0;
}

static struct rdma_conn_param conn_param(const struct link *link, const uint8_t *bytes, size_t size)
{
	const struct device_info *info = device_info(link->hub->device);

	return (struct rdma_conn_param){
		.private_data = bytes,
		.private_data_len = (uint8_t)size,
		.responder_resources = (uint8_t)MIN(info->read_in_max, LINK_READS_MAX),
		.initiator_depth = (uint8_t)MIN(info->read_out_max, LINK_READS_MAX),
		.retry_count = LINK_RETRY,
		.rnr_retry_count = LINK_RETRY,
		.srq = link->use == LINK_FRAMES,
		.qp_num = link->qp->qp_num,
	};
}

static void addr_resolved(struct link *link)
{
	char text[ADDR_TEXT_MAX];
	struct link_hub *hub = link->hub;

	if (!is_ours(hub, link->id)) {
		link_fail(link,
			  "%s is reached over device %s, but device %s is in use: choose the "
			  "other in the configuration, or another address",
			  addr_format(&link->peer, text),
			  link->id->verbs ? hub->ops->get_device_name(link->id->verbs->device)
					  : "none",
			  device_info(hub->device)->name);
		return;
	}
	link->resolved = true;
	/* The deadline is ours to watch; the library's is only not to be earlier. */
	if (hub->ops->resolve_route(link->id, INT32_MAX / 2) != 0)
		link_fail(link, "no route to %s: %s", addr_format(&link->peer, text),
			  strerror(errno));
}

static void route_resolved(struct link *link)
{
	struct link_hub *hub = link->hub;
	struct link_hello hello = {
		.use = link->use, .shard = link->shard, .node = hub->config.node};
	struct rdma_conn_param param;
	int status = link_nonce(hub, hello.nonce);

	if (status == 0)
		status = link_qp_make(link);
	if (status < 0) {
		link_fail(link,
			  "no queue pair: %s; check RLIMIT_MEMLOCK (ulimit -l, LimitMEMLOCK) "
			  "and the device's limits ('tern info')",
			  strerror(-status));
		return;
	}
	link_hello_encode(&hello, link->connecting);
	param = conn_param(link, link->connecting, LINK_HELLO_SIZE);
	if (hub->ops->connect(link->id, &param) != 0)
		link_fail(link, "can't connect: %s", strerror(errno));
}

/* Reads the listener's answer. Returns what is wrong with it. */
static enum link_refusal check_answer(struct link *link, const struct cm_event *event)
{
	struct link_hello hello;
	uint8_t proof[LINK_PROOF_SIZE];
	int status = link_hello_decode(event->bytes, event->size, &hello);

	if (status == LINK_HANDSHAKE_E_VERSION)
		return LINK_REFUSAL_VERSION;
	if (status || event->size < LINK_ACCEPT_SIZE || hello.use != link->use)
		return LINK_REFUSAL_MALFORMED;
	memcpy(link->listening, event->bytes, LINK_HELLO_SIZE);
	link_prove(link->hub->config.secret, LINK_ROLE_LISTENING, link->connecting, link->listening,
		   proof);
	if (!session_proof_equal(proof, event->bytes + LINK_HELLO_SIZE))
		return LINK_REFUSAL_SECRET;
	link->peer_node = hello.node;
	return LINK_REFUSAL_NONE;
}

static void connect_response(struct link *link, const struct cm_event *event)
{
	struct link_hub *hub = link->hub;
	enum link_refusal refusal = check_answer(link, event);
	uint8_t proof[LINK_PROOF_SIZE];
	char text[ADDR_TEXT_MAX];
	int status;

	addr_format(&link->peer, text);
	if (refusal != LINK_REFUSAL_NONE) {
		refuse(hub, link->id, refusal);
		link_fail(link, "%s: %s", text,
			  refusal == LINK_REFUSAL_MALFORMED ? "what answers there isn't Tern"
							    : link_refusal_text(refusal));
		return;
	}
	link_prove(hub->config.secret, LINK_ROLE_CONNECTING, link->connecting, link->listening,
		   proof);
	link_prove(hub->config.secret, LINK_ROLE_REGIONS, link->connecting, link->listening,
		   link->proof);
	status = link_qp_start(link);
	if (status == 0 && hub->ops->establish(link->id) != 0)
		status = -errno;
	if (status == 0) {
		link->connected = true;
		status = link_send_first(link, LINK_FIRST_PROOF, proof);
	}
	if (status < 0)
		link_fail(link, "the queue pair to %s doesn't start: %s", text, strerror(-status));
	else
		link_change(link, LINK_PROVING);
}

/* Answers a request whose hello is fine. Returns 0, or -errno and the link is to be closed. */
static int answer(struct link *link, const struct cm_event *event)
{
	struct link_hub *hub = link->hub;
	struct link_hello ours = {.use = link->use, .node = hub->config.node};
	uint8_t bytes[LINK_ACCEPT_SIZE];
	struct rdma_conn_param param;
	int status = link_nonce(hub, ours.nonce);

	if (status == 0)
		status = link_qp_make(link);
	if (status < 0)
		return status;
	link_hello_encode(&ours, link->listening);
	memcpy(bytes, link->listening, LINK_HELLO_SIZE);
	link_prove(hub->config.secret, LINK_ROLE_LISTENING, link->connecting, link->listening,
		   bytes + LINK_HELLO_SIZE);
	link_prove(hub->config.secret, LINK_ROLE_REGIONS, link->connecting, link->listening,
		   link->proof);
	status = link_qp_start(link);
	if (status < 0)
		return status;
	param = conn_param(link, bytes, sizeof(bytes));
	param.responder_resources = MIN(param.responder_resources, event->responder_resources);
	param.initiator_depth = MIN(param.initiator_depth, event->initiator_depth);
	return hub->ops->accept(link->id, &param) == 0 ? 0 : -errno;
}

static bool has_shard(const struct link_hub *hub, uint16_t shard)
{
	return shard == LINK_NO_SHARD || !hub->config.has_shard ||
	       hub->config.has_shard(hub->config.context, shard - 1U);
}

static enum link_refusal check_request(const struct link_hub *hub, const struct cm_event *event,
				       struct link_hello *ret_hello)
{
	int status = link_hello_decode(event->bytes, event->size, ret_hello);

	if (status == LINK_HANDSHAKE_E_VERSION)
		return LINK_REFUSAL_VERSION;
	if (status)
		return LINK_REFUSAL_MALFORMED;
	if (ret_hello->use == LINK_FRAMES && !hub->config.srq)
		return LINK_REFUSAL_USE;
	if (!is_ours(hub, event->id))
		return LINK_REFUSAL_DEVICE;
	return has_shard(hub, ret_hello->shard) ? LINK_REFUSAL_NONE : LINK_REFUSAL_SHARD;
}

static void count_refusal(struct link_hub *hub, enum link_refusal refusal)
{
	switch (refusal) {
	case LINK_REFUSAL_MALFORMED:
	case LINK_REFUSAL_VERSION:
		hub->stats.refused_malformed++;
		break;
	case LINK_REFUSAL_FULL:
		hub->stats.refused_full++;
		break;
	case LINK_REFUSAL_SECRET:
		hub->stats.refused_secret++;
		break;
	default:
		hub->stats.refused_other++;
		break;
	}
}

static void connect_request(struct link_hub *hub, const struct cm_event *event)
{
	struct link_hello hello;
	enum link_refusal refusal = check_request(hub, event, &hello);
	struct link *link = NULL;

	if (refusal == LINK_REFUSAL_NONE) {
		link = link_take(hub, hello.use, /* accepted= */ true, hub->now_ns + LINK_PROVE_NS);
		if (!link)
			refusal = LINK_REFUSAL_FULL;
	}
	if (refusal != LINK_REFUSAL_NONE) {
		count_refusal(hub, refusal);
		refuse(hub, event->id, refusal);
		CHECK(hub->ops->destroy_id(event->id) == 0);
		return;
	}
	link->id = event->id;
	link->id->context = link;
	link->peer_node = hello.node;
	link->shard = hello.shard;
	/* Of another family it stays empty: it is for people. */
	(void)addr_from_sockaddr(&event->id->route.addr.dst_addr, &link->peer);
	memcpy(link->connecting, event->bytes, LINK_HELLO_SIZE);
	if (answer(link, event) < 0) {
		count_refusal(hub, LINK_REFUSAL_FULL);
		refuse(hub, link->id, LINK_REFUSAL_FULL);
		link_close(link);
		return;
	}
	link->connected = true;
	link_change(link, LINK_PROVING);
}

static void rejected(struct link *link, const struct cm_event *event)
{
	enum link_refusal refusal = link_refusal_decode(event->bytes, event->size);
	char text[ADDR_TEXT_MAX];

	addr_format(&link->peer, text);
	link->connected = false;
	if (link->accepted && refusal == LINK_REFUSAL_SECRET)
		link->hub->stats.refused_secret++;
	else if (link->accepted)
		link->hub->stats.refused_gone++;
	if (refusal != LINK_REFUSAL_NONE)
		link_fail(link, "%s: %s", text, link_refusal_text(refusal));
	else if (event->status == REJ_INVALID_SERVICE_ID)
		link_fail(link, "nobody listens at %s: is ternd running there, with RDMA?", text);
	else if (event->status == REJ_STALE_CONNECTION)
		link_fail(link, "%s still holds an older connection: try again", text);
	else if (link->state >= LINK_PROVING)
		link_fail(link, "%s ended the connection", text);
	else
		link_fail(link, "%s refused, reason %d", text, event->status);
}

static void ended(struct link *link, const struct cm_event *event)
{
	const char *device = device_info(link->hub->device)->name;
	char text[ADDR_TEXT_MAX];

	addr_format(&link->peer, text);
	link_count_gone(link);
	switch (event->type) {
	case RDMA_CM_EVENT_ADDR_ERROR:
		link_fail(link,
			  "%s can't be reached over RDMA: %s; is it up, in a network of device %s?",
			  text, strerror(-event->status), device);
		break;
	case RDMA_CM_EVENT_ROUTE_ERROR:
		link_fail(link, "no route to %s: %s", text, strerror(-event->status));
		break;
	case RDMA_CM_EVENT_UNREACHABLE:
	case RDMA_CM_EVENT_CONNECT_ERROR:
		link_fail(link,
			  "%s doesn't answer: is its device up, and are RoCE's packets (UDP 4791) "
			  "let through?",
			  text);
		break;
	case RDMA_CM_EVENT_DEVICE_REMOVAL:
		link->hub->removed = true;
		link->connected = false;
		link_fail(link, "device %s was removed", device);
		break;
	default:
		link_fail(link, "%s ended the connection%s", text,
			  link->state == LINK_PROVING
				  ? " before it was ready: has it the same secret?"
				  : "");
		break;
	}
}

static void link_event(struct link *link, const struct cm_event *event)
{
	/* An ended link waits for its user to close it, whatever was still under way. */
	if (link->state == LINK_ENDED)
		return;
	switch (event->type) {
	case RDMA_CM_EVENT_ADDR_RESOLVED:
		addr_resolved(link);
		break;
	case RDMA_CM_EVENT_ROUTE_RESOLVED:
		route_resolved(link);
		break;
	case RDMA_CM_EVENT_CONNECT_RESPONSE:
		connect_response(link, event);
		break;
	case RDMA_CM_EVENT_REJECTED:
		rejected(link, event);
		break;
	case RDMA_CM_EVENT_ADDR_ERROR:
		/* Again and again until the deadline: a neighbour may take its time to answer. */
		if (event->status != -ETIMEDOUT || link_resolve(link) < 0)
			ended(link, event);
		break;
	case RDMA_CM_EVENT_ROUTE_ERROR:
	case RDMA_CM_EVENT_UNREACHABLE:
	case RDMA_CM_EVENT_CONNECT_ERROR:
	case RDMA_CM_EVENT_DEVICE_REMOVAL:
	case RDMA_CM_EVENT_DISCONNECTED:
		ended(link, event);
		break;
	default:
		/* ESTABLISHED says what the proof will say; TIMEWAIT_EXIT and ADDR_CHANGE nothing.
		 */
		break;
	}
}

static struct cm_event copy_event(const struct rdma_cm_event *from)
{
	struct cm_event event = {
		.type = from->event,
		.id = from->id,
		.status = from->status,
		.responder_resources = from->param.conn.responder_resources,
		.initiator_depth = from->param.conn.initiator_depth,
	};

	if (from->param.conn.private_data) {
		event.size = from->param.conn.private_data_len;
		memcpy(event.bytes, from->param.conn.private_data, event.size);
	}
	return event;
}

bool link_cm_turn(struct link_hub *hub)
{
	unsigned count = 0;

	/* Any event may make a queue pair: invariant 2. */
	for (; count < LINK_TURN_EVENTS_MAX && hub->stale_left == 0; count++) {
		struct rdma_cm_event *from;
		struct cm_event event;

		if (hub->ops->get_cm_event(hub->channel, &from) != 0)
			break;
		event = copy_event(from);
		(void)hub->ops->ack_cm_event(from);
		if (event.type == RDMA_CM_EVENT_CONNECT_REQUEST)
			connect_request(hub, &event);
		else if (event.id == hub->listener)
			hub->removed |= event.type == RDMA_CM_EVENT_DEVICE_REMOVAL;
		else
			link_event(event.id->context, &event);
	}
	return count > 0;
}

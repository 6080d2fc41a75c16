/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/fake_node.h"

#include "base/byteorder.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/metric.h"
#include "cluster/manifest.h"
#include "net/port_socket.h"
#include "proto/envelope.h"
#include "proto/message.h"
#include "proto/payload_region.h"
#include "proto/payload_vector.h"
#include "proto/session.h"
#include "proto/status.h"
#include "tests/lib/fake_owner.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BURST      16
#define HELD_MAX   64
#define ANSWER_MAX 65536

struct fake_node {
	struct fake_node_config config;
	struct port *port;
	struct port_queue *queue;
	struct endpoint *endpoint;
	struct request *held[HELD_MAX]; /* requests that were left without an answer */
	uint32_t held_count;
	struct fake_door door;     /* where segments are lent */
	struct fake_owner *owners; /* one a shard; NULL: none */
	struct vector_hit *hits;
	float vector[VECTOR_DIM_MAX];
	atomic_uint overload;
	atomic_uint muted;
	atomic_uint kept;
	atomic_uint answered;
	atomic_uint filter_size;
	atomic_bool stop;
	pthread_t thread;
};

static void send_frame(void *context, const struct addr *to, const void *head, size_t head_size,
		       const void *body, size_t body_size)
{
	struct fake_node *node = context;

	port_send(node->queue, to, head, head_size, body, body_size);
}

static const struct session_ops ops = {.send = send_frame};

/* The collection's shard with that vShard, or shard_count when it is none of ours. */
static uint32_t shard_of(const struct fake_node *node, uint32_t vshard)
{
	for (uint32_t i = 0; i < node->config.shard_count; i++)
		if ((node->config.shards >> i & 1) &&
		    manifest_vshard(FAKE_NODE_COLLECTION, i) == vshard)
			return i;
	return node->config.shard_count;
}

static int by_nearness(const void *left, const void *right)
{
	const struct vector_hit *a = left, *b = right;

	if (a->distance != b->distance)
		return a->distance < b->distance ? -1 : 1;
	return (a->vector_id > b->vector_id) - (a->vector_id < b->vector_id);
}

static uint32_t search(struct fake_node *node, uint32_t shard, uint32_t vshard, uint32_t k)
{
	const struct fake_node_config *config = &node->config;
	uint32_t count = 0;

	for (uint32_t row = shard; row < config->row_count; row += config->shard_count) {
		struct vector_hit *hit = &node->hits[count++];

		*hit = (struct vector_hit){.vector_id = row, .shard_id = vshard};
		for (uint32_t i = 0; i < config->dim; i++) {
			float d = config->rows[row * config->dim + i] - node->vector[i];

			hit->distance += d * d;
		}
	}
	qsort(node->hits, count, sizeof(node->hits[0]), by_nearness);
	return count < k ? count : k;
}

static void answer(struct request *request, const struct envelope *envelope, uint16_t type,
		   uint8_t *bytes, size_t size)
{
	struct envelope head = envelope_answer(envelope, type);

	CHECK(size > 0);
	head.payload_size = (uint32_t)size;
	envelope_encode_header(&head, bytes);
	request_answer(request, STATUS_OK, 0, (uint32_t)(ENVELOPE_SIZE + size), clock_now_ns());
}

/* It gets an answer when the node ends. */
static void hold(struct fake_node *node, struct request *request)
{
	CHECK(node->held_count < HELD_MAX && request_keep(request) == 0);
	node->held[node->held_count++] = request;
}

static void handle_scatter(struct fake_node *node, struct request *request,
			   const struct envelope *envelope, uint32_t shard)
{
	struct vector_answer hits = {.shard_id = envelope->vshard, .success = true};
	struct vector_scatter scatter;
	uint8_t *bytes;
	size_t size;

	if (atomic_load(&node->overload) > 0) {
		atomic_fetch_sub(&node->overload, 1);
		request_answer(request, STATUS_OVERLOADED, 200, 0, clock_now_ns());
		return;
	}
	if (atomic_load(&node->muted) >> shard & 1) {
		hold(node, request);
		return;
	}
	if (vector_scatter_decode(envelope->payload, envelope->payload_size, node->vector,
				  VECTOR_DIM_MAX, &scatter) != 0 ||
	    scatter.dim != node->config.dim) {
		request_answer(request, STATUS_INVALID, 0, 0, clock_now_ns());
		return;
	}
	atomic_store(&node->filter_size, scatter.filter_size);
	hits.hit_count = search(node, shard, envelope->vshard, scatter.top_k);
	hits.hits = node->hits;
	size = ENVELOPE_SIZE + vector_answer_size(&hits);
	bytes = request_answer_buffer(request, (uint32_t)size);
	if (!bytes) {
		request_answer(request, STATUS_OVERLOADED, 200, 0, clock_now_ns());
		return;
	}
	answer(request, envelope, MESSAGE_VECTOR_SCATTER_RESPONSE, bytes,
	       vector_answer_encode(&hits, bytes + ENVELOPE_SIZE, size - ENVELOPE_SIZE));
	atomic_fetch_add(&node->answered, 1);
}

/* One centroid, the mean of the shard's rows. */
static void handle_coarse(struct fake_node *node, struct request *request,
			  const struct envelope *envelope, uint32_t shard)
{
	const struct fake_node_config *config = &node->config;
	uint8_t body[CENTROID_BODY_HEAD + CENTROID_ROW_HEAD + 64 * 4] = {0};
	struct coarse_answer coarse = {
		.shard_id = envelope->vshard,
		.generation = 1,
		.kind = COARSE_CENTROIDS,
		.metric = METRIC_L2,
		.dim = config->dim,
		.body = body,
		.body_size = CENTROID_BODY_HEAD + CENTROID_ROW_HEAD + config->dim * 4,
	};
	float mean[64] = {0};
	uint8_t *bytes = request_answer_buffer(request, ANSWER_MAX);

	CHECK(bytes && config->dim <= 64);
	for (uint32_t row = shard; row < config->row_count; row += config->shard_count) {
		for (uint32_t i = 0; i < config->dim; i++)
			mean[i] += config->rows[row * config->dim + i];
		coarse.vector_count++;
	}
	store_le32(body, 1);
	store_le32(body + CENTROID_BODY_HEAD, (uint32_t)coarse.vector_count);
	for (uint32_t i = 0; i < config->dim; i++)
		store_lef32(body + CENTROID_BODY_HEAD + CENTROID_ROW_HEAD + i * 4,
			    mean[i] / (float)coarse.vector_count);
	answer(request, envelope, MESSAGE_VECTOR_COARSE_ROUTE_RESPONSE, bytes,
	       coarse_answer_encode(&coarse, bytes + ENVELOPE_SIZE, ANSWER_MAX - ENVELOPE_SIZE));
}

static void handle_region(struct fake_node *node, struct request *request,
			  const struct envelope *envelope, uint32_t shard)
{
	const uint32_t capacity = ENVELOPE_SIZE + REGION_PAYLOAD_MAX;
	uint8_t *bytes;

	if (!node->owners) {
		request_answer(request, STATUS_UNSUPPORTED, 0, 0, clock_now_ns());
		return;
	}
	if (atomic_load(&node->kept) >> shard & 1) {
		hold(node, request);
		return;
	}
	bytes = request_answer_buffer(request, capacity);
	CHECK(bytes);
	request_answer(request, STATUS_OK, 0,
		       (uint32_t)fake_owner_answer(&node->owners[shard], &node->door, envelope,
						   bytes, capacity),
		       clock_now_ns());
}

static void handle(struct fake_node *node, struct request *request)
{
	struct request_view view = request_view(request);
	struct envelope envelope;
	uint32_t shard;

	if (envelope_decode(view.bytes, view.size, &envelope) != 0) {
		request_answer(request, STATUS_MALFORMED, 0, 0, clock_now_ns());
		return;
	}
	shard = shard_of(node, envelope.vshard);
	if (shard == node->config.shard_count)
		request_answer(request, STATUS_SHARD_NOT_HERE, 0, 0, clock_now_ns());
	else if (node->config.shard_port)
		request_answer(request, STATUS_SHARD_ELSEWHERE, node->config.shard_port, 0,
			       clock_now_ns());
	else if (envelope.type == MESSAGE_VECTOR_SCATTER_REQUEST)
		handle_scatter(node, request, &envelope, shard);
	else if (envelope.type == MESSAGE_VECTOR_COARSE_ROUTE_REQUEST)
		handle_coarse(node, request, &envelope, shard);
	else if (envelope.type == MESSAGE_VECTOR_MEM_REGION_REQUEST)
		handle_region(node, request, &envelope, shard);
	else
		request_answer(request, STATUS_UNSUPPORTED, 0, 0, clock_now_ns());
}

static void poll_once(struct fake_node *node)
{
	struct port_frame frames[BURST];
	struct request *requests[BURST];
	unsigned count = port_receive(node->queue, frames, BURST);
	unsigned taken;

	for (unsigned i = 0; i < count; i++)
		endpoint_input(node->endpoint, &frames[i].from, frames[i].bytes, frames[i].size,
			       clock_now_ns());
	endpoint_tick(node->endpoint, clock_now_ns());
	if (node->owners)
		fake_door_turn(&node->door, clock_now_ns());
	while ((taken = endpoint_take_requests(node->endpoint, requests, BURST)) > 0)
		for (unsigned i = 0; i < taken; i++)
			handle(node, requests[i]);
	port_release(node->queue, frames, count);
	port_flush(node->queue);
}

static void *run(void *context)
{
	struct fake_node *node = context;
	struct pollfd readable = {.fd = port_wait_fd(node->queue), .events = POLLIN};

	while (!atomic_load(&node->stop)) {
		(void)poll(&readable, 1, 1);
		poll_once(node);
	}
	for (uint32_t i = 0; i < node->held_count; i++)
		request_answer(node->held[i], STATUS_DRAINING, 0, 0, clock_now_ns());
	return NULL;
}

static void lend(struct fake_node *node)
{
	const struct fake_node_config *config = &node->config;

	node->owners = calloc(config->shard_count, sizeof(*node->owners));
	CHECK(node->owners);
	for (uint32_t i = 0; i < config->shard_count; i++)
		fake_owner_init(&node->owners[i], &config->segments[i],
				manifest_vshard(FAKE_NODE_COLLECTION, i));
	fake_door_open(&node->door, &node->queue->local, config->secret);
}

struct fake_node *fake_node_start(const struct fake_node_config *config)
{
	struct fake_node *node = calloc(1, sizeof(*node));
	struct port_socket_config socket = {.queue_count = 1};
	struct endpoint_config endpoint = {
		.node = 1,
		.session_count = 64,
		.message_size_max = SESSION_MESSAGE_SIZE_MAX,
		.large_count = 64,
		.secret = config->secret,
		.accept = true,
	};
	char error[PORT_ERROR_TEXT_MAX];

	CHECK(node);
	node->config = *config;
	node->hits = calloc(config->row_count, sizeof(*node->hits));
	CHECK(node->hits);
	CHECK(addr_parse("127.0.0.1", config->port, &socket.local) == 0);
	if (port_socket_open(&socket, &node->port, error, sizeof(error)) != 0) {
		fprintf(stderr, "%s\n", error);
		abort();
	}
	node->queue = port_queue(node->port, 0);
	endpoint.frame_size = node->queue->frame_size;
	CHECK(endpoint_new(&endpoint, &ops, node, &node->endpoint) == 0);
	if (config->segments)
		lend(node);
	CHECK(pthread_create(&node->thread, NULL, run, node) == 0);
	return node;
}

void fake_node_stop(struct fake_node *node)
{
	if (!node)
		return;
	atomic_store(&node->stop, true);
	CHECK(pthread_join(node->thread, NULL) == 0);
	endpoint_free(node->endpoint);
	port_close(node->port);
	for (uint32_t i = 0; node->owners && i < node->config.shard_count; i++)
		fake_owner_deinit(&node->owners[i]);
	if (node->owners)
		fake_door_close(&node->door);
	free(node->owners);
	free(node->hits);
	free(node);
}

struct addr fake_node_addr(const struct fake_node *node)
{
	return node->queue->local;
}

void fake_node_overload(struct fake_node *node, uint32_t count)
{
	atomic_store(&node->overload, count);
}

void fake_node_mute(struct fake_node *node, uint32_t shards)
{
	atomic_store(&node->muted, shards);
}

void fake_node_keep(struct fake_node *node, uint32_t shards)
{
	atomic_store(&node->kept, shards);
}

uint32_t fake_node_answered(const struct fake_node *node)
{
	return atomic_load(&node->answered);
}

uint32_t fake_node_filter_size(const struct fake_node *node)
{
	return atomic_load(&node->filter_size);
}

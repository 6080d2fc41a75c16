/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Fake node - a server with real sessions over real sockets, and no index
 *
 * Answers types 50 and 52 for some shards of one collection "rows", by comparing
 * with everything (L2). Row r is in shard r mod shard_count. It lends its shards'
 * segments too, if it is given any (type 56). It runs on a thread of its own; what
 * it shall do wrong can be changed at any time.
 */

#include "base/addr.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define FAKE_NODE_COLLECTION "rows"

struct segment;

struct fake_node_config {
	const float *rows; /* borrowed */
	uint32_t row_count;
	uint32_t dim;
	uint32_t shard_count;           /* of the whole collection */
	uint32_t shards;                /* one bit for each that this node has */
	const struct segment *segments; /* one a shard, copied; NULL: nothing is lent */
	const uint8_t *secret;
	uint16_t port;       /* 0: a free one */
	uint16_t shard_port; /* not 0: answers SHARD_ELSEWHERE with this port for every shard */
};

struct fake_node;

struct fake_node *fake_node_start(const struct fake_node_config *config);
void fake_node_stop(struct fake_node *node);

/* Where it is reached. */
struct addr fake_node_addr(const struct fake_node *node);

/* The next 'count' scatter requests are answered OVERLOADED. */
void fake_node_overload(struct fake_node *node, uint32_t count);

/* Scatter requests for these shards (bits) get no answer from now on. */
void fake_node_mute(struct fake_node *node, uint32_t shards);

/* Requests for regions of these shards (bits) get no answer from now on. */
void fake_node_keep(struct fake_node *node, uint32_t shards);

/* Scatter requests answered with hits, ever. */
uint32_t fake_node_answered(const struct fake_node *node);

/* Bytes of the last filter that came along. */
uint32_t fake_node_filter_size(const struct fake_node *node);

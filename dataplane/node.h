/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Node - one configuration made into shards, a port and running cores
 *
 *      node_open()   placement, shards opened and checked, port opened
 *      node_start()  export's thread and the cores started: each takes its memory and runs
 *      node_drain()  cores end when they are done with what is under way
 *      node_close()  stops what runs, gives everything back
 *
 * Shards are dealt out to cores in the order of the manifests, one after the
 * other, so that every core has as many as any other; core i is reached at the
 * configured UDP port + i.
 *
 * Every failure is one line that says what, where and what to do.
 *
 * Threads: the main thread; node_snapshot() any.
 */

#include "base/topo.h"
#include "config/config.h"
#include "dataplane/core.h"
#include "dataplane/export.h"
#include "dataplane/shard.h"
#include "proto/port.h"

#include <stddef.h>
#include <stdint.h>

/* Bytes of an error line, final zero included. */
#define NODE_ERROR_MAX 2048

struct node {
	const struct config *config; /* borrowed until node_close() */
	struct topo_plan plan;
	struct shard_table *shards; /* owned */
	struct device *device;      /* of verbs, under a port of kind rdma; owned */
	struct port *port;          /* owned */
	uint32_t core_count;
	struct addr addresses[CONFIG_CORE_MAX]; /* where each core is reached */
	struct addr peers[CONFIG_PEER_MAX];
	struct loop *loop;                   /* owned */
	struct export *export;               /* owned; NULL: nothing is exported */
	struct core *cores[CONFIG_CORE_MAX]; /* owned */
	uint64_t start_ns;
	bool eal; /* the environment layer runs */
};

/* Chooses the poll cores. Returns 0, or a negative errno and a line in 'error'. */
int node_plan(const struct config *config, struct topo_plan *ret_plan, char *error,
	      size_t error_size);

/*
 * Opens the shards that 'config' names into '*ret_table', dealt out to the
 * plan's cores. Returns 0, or a negative errno and a line in 'error'.
 */
int node_open_shards(const struct config *config, const struct topo_plan *plan,
		     struct shard_table **ret_table, char *error, size_t error_size);

/* Returns 0, or a negative errno and a line in 'error'; nothing is left open then. */
int node_open(const struct config *config, struct node *ret_node, char *error, size_t error_size);

/* Returns 0, or a negative errno and a line in 'error': close it then. */
int node_start(struct node *node, char *error, size_t error_size);

/* Asks all cores to end when they are done; node_ended() says when. Doesn't wait. */
void node_drain(struct node *node);
bool node_ended(const struct node *node);

/* NULL or a zeroed node is fine. */
void node_close(struct node *node);

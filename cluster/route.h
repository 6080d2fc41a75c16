/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Route - which node answers for a shard
 *
 * A table (collection, vShard) -> address, and the list of servers to ask when
 * the table doesn't know. Nobody hands the table out: a coordinator learns a
 * place from the answers it gets (cluster/leg.h follows the hints), and forgets
 * it when the node there is lost or says that the shard is gone.
 *
 * Epochs: each place carries the cluster epoch of the answer that taught it. A
 * newer one replaces it, an older one is refused, so that a node that missed a
 * cut-over can't take its shard back. Among equals the later wins: a node's
 * shard may move between its cores.
 *
 * Memory: route_new() takes everything.
 *
 * Threads: a table belongs to one thread.
 */

#include "base/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct route;

/* Servers that one table can begin with. */
#define ROUTE_SERVER_MAX 64

/* Collections that one table can know. */
#define ROUTE_COLLECTION_MAX 256

/* The protocol's number of vShards (section 16.1). */
#define ROUTE_VSHARD_MAX 1024

enum {
	ROUTE_E_FULL = 1, /* no room for another collection */
	ROUTE_E_STALE,    /* an older epoch than the one the place was learned with */
};

struct route_place {
	struct addr at;
	uint64_t epoch; /* the cluster epoch of the answer that taught it */
};

/*
 * Copies the servers; there is at least one. 'collection_count' is how many
 * collections it can know.
 *
 * Returns 0, -EINVAL (a limit is out of range) or -ENOMEM.
 */
int route_new(const struct addr *servers, uint32_t server_count, uint32_t collection_count,
	      struct route **ret_route);
void route_free(struct route *route);

uint32_t route_server_count(const struct route *route);
const struct addr *route_server(const struct route *route, uint32_t index);

/*
 * The table's own number of a collection; a name it hasn't seen gets the next.
 *
 * Returns 0, -EINVAL (an empty or too long name) or ROUTE_E_FULL.
 */
int route_collection(struct route *route, const char *name, size_t length, uint32_t *ret_id);

/* The name, zero-terminated. */
const char *route_collection_name(const struct route *route, uint32_t id);

/* Where the shard is thought to be, or NULL when nobody has said so. */
const struct route_place *route_find(const struct route *route, uint32_t id, uint32_t vshard);

/* Takes a place in. Returns 0 or ROUTE_E_STALE, and then the table is as it was. */
int route_learn(struct route *route, uint32_t id, uint32_t vshard, const struct addr *at,
		uint64_t epoch);

/* The shard isn't at 'at' any more; another place, learned meanwhile, stays. */
void route_forget(struct route *route, uint32_t id, uint32_t vshard, const struct addr *at);

/* The newest epoch that any answer has carried. */
uint64_t route_epoch(const struct route *route);

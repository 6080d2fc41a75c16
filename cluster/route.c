/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/route.h"

#include "base/check.h"
#include "cluster/manifest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(ROUTE_VSHARD_MAX == MANIFEST_SHARD_MAX, "both are the protocol's number");

/* A place whose 'known' is false has no address, but keeps its epoch: what is older stays refused.
 */
struct route_slot {
	struct route_place place;
	bool known;
};

/* A row is a collection: 1024 slots of some 40 bytes are cheaper than any hash table's code. */
struct route_row {
	char name[MANIFEST_COLLECTION_MAX + 1];
	struct route_slot slots[ROUTE_VSHARD_MAX];
};

struct route {
	struct addr servers[ROUTE_SERVER_MAX];
	uint32_t server_count;
	uint32_t row_count;
	uint32_t row_max;
	uint64_t epoch;
	struct route_row *rows; /* owned */
};

int route_new(const struct addr *servers, uint32_t server_count, uint32_t collection_count,
	      struct route **ret_route)
{
	struct route *route;

	if (server_count == 0 || server_count > ROUTE_SERVER_MAX || collection_count == 0 ||
	    collection_count > ROUTE_COLLECTION_MAX)
		return -EINVAL;
	route = calloc(1, sizeof(*route));
	if (!route)
		return -ENOMEM;
	route->rows = calloc(collection_count, sizeof(*route->rows));
	if (!route->rows) {
		free(route);
		return -ENOMEM;
	}
	memcpy(route->servers, servers, server_count * sizeof(*servers));
	route->server_count = server_count;
	route->row_max = collection_count;
	*ret_route = route;
	return 0;
}

void route_free(struct route *route)
{
	if (!route)
		return;
	free(route->rows);
	free(route);
}

uint32_t route_server_count(const struct route *route)
{
	return route->server_count;
}

const struct addr *route_server(const struct route *route, uint32_t index)
{
	CHECK(index < route->server_count);
	return &route->servers[index];
}

int route_collection(struct route *route, const char *name, size_t length, uint32_t *ret_id)
{
	struct route_row *row;

	if (length == 0 || length > MANIFEST_COLLECTION_MAX || memchr(name, 0, length))
		return -EINVAL;
	for (uint32_t id = 0; id < route->row_count; id++) {
		row = &route->rows[id];
		if (strlen(row->name) == length && memcmp(row->name, name, length) == 0) {
			*ret_id = id;
			return 0;
		}
	}
	if (route->row_count == route->row_max)
		return ROUTE_E_FULL;
	row = &route->rows[route->row_count];
	memcpy(row->name, name, length);
	*ret_id = route->row_count++;
	return 0;
}

const char *route_collection_name(const struct route *route, uint32_t id)
{
	CHECK(id < route->row_count);
	return route->rows[id].name;
}

static struct route_slot *slot_of(const struct route *route, uint32_t id, uint32_t vshard)
{
	CHECK(id < route->row_count && vshard < ROUTE_VSHARD_MAX);
	return &route->rows[id].slots[vshard];
}

const struct route_place *route_find(const struct route *route, uint32_t id, uint32_t vshard)
{
	const struct route_slot *slot = slot_of(route, id, vshard);

	return slot->known ? &slot->place : NULL;
}

int route_learn(struct route *route, uint32_t id, uint32_t vshard, const struct addr *at,
		uint64_t epoch)
{
	struct route_slot *slot = slot_of(route, id, vshard);

	if (epoch < slot->place.epoch)
		return ROUTE_E_STALE;
	slot->place = (struct route_place){.at = *at, .epoch = epoch};
	slot->known = true;
	if (epoch > route->epoch)
		route->epoch = epoch;
	return 0;
}

void route_forget(struct route *route, uint32_t id, uint32_t vshard, const struct addr *at)
{
	struct route_slot *slot = slot_of(route, id, vshard);

	if (slot->known && addr_equal(&slot->place.at, at))
		slot->known = false;
}

uint64_t route_epoch(const struct route *route)
{
	return route->epoch;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/export_verbs.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/defs.h"
#include "base/log.h"
#include "rdma/link.h"
#include "rdma/region.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Work requests of ours on a link: windows bound and taken back. With more the region helps itself.
 */
#define SEND_DEPTH 64

/* Looks at the hub in one turn: a flood of completions doesn't starve the rest. */
#define LOOK_MAX 16

_Static_assert(EXPORT_LEASE_MS_MIN >= REGION_LEASE_MS_MIN, "a lease that is asked for is granted");

/* A grant that the device works on; 'ask' is answered when it is done. */
struct pending {
	struct export_verbs *verbs;
	struct export_ask *ask;      /* NULL: the place is free */
	struct region_answer answer; /* what is known before */
	struct pending *next_free;
};

struct export_verbs {
	const struct catalog *catalog;
	const struct shard_table *shards;
	export_answered_fn answered;
	void *context;
	struct device *device;
	struct link_hub *hub;
	struct region **regions; /* one a place; NULL: not registered */
	struct link **links;     /* that are ready, in no order */
	uint32_t link_count;
	struct pending *pendings;
	struct pending *free;
	uint32_t pending_max;
	uint32_t lease_max;
	uint64_t due_ns;
	bool gone;               /* the device was removed, or is broken */
	uint64_t proofs_refused; /* of requests; the hub counts those of links */
	uint64_t region_count;
	uint64_t region_bytes;
	struct export_stats ended; /* the counts of regions that are no more */
};

static uint32_t leases_now(const struct export_verbs *verbs)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < catalog_place_count(verbs->catalog); i++)
		if (verbs->regions[i])
			count += region_stats(verbs->regions[i]).leases;
	return count;
}

/* --- links --- */

/* Its keys first: a queue pair with windows can't be destroyed. */
static void drop_link(struct export_verbs *verbs, struct link *link)
{
	for (uint32_t i = 0; i < catalog_place_count(verbs->catalog); i++)
		if (verbs->regions[i])
			region_link_closed(verbs->regions[i], link);
	for (uint32_t i = 0; i < verbs->link_count; i++)
		if (verbs->links[i] == link)
			verbs->links[i] = verbs->links[--verbs->link_count];
	link_close(link);
}

static void link_changed(void *context, struct link *link)
{
	struct export_verbs *verbs = context;

	if (link_state(link) == LINK_READY) {
		log_debug("link opened, peer node %llu", (unsigned long long)link_peer_node(link));
		verbs->links[verbs->link_count++] = link;
	} else if (link_state(link) == LINK_ENDED) {
		log_debug("link ended, peer node %llu: %s",
			  (unsigned long long)link_peer_node(link), link_error(link));
		drop_link(verbs, link);
	}
}

static bool has_shard(void *context, uint32_t vshard)
{
	const struct export_verbs *verbs = context;

	return shard_table_has(verbs->shards, vshard);
}

/* --- life --- */

static int open_device(struct export_verbs *verbs, const struct export_config *config, char *error,
		       size_t error_size)
{
	struct device_options options = {
		.name = config->device,
		.port = config->device_port,
		.gid_index = config->gid_index,
	};
	struct link_hub_config hub = {
		.node = config->node,
		.secret = config->secret,
		.link_max = config->link_max,
		.send_depth = SEND_DEPTH,
		.seed = config->seed,
		.changed = link_changed,
		.has_shard = has_shard,
		.context = verbs,
	};
	struct addr bound;
	int r;

	r = device_open(config->ops, &options, &verbs->device, error, error_size);
	if (!r)
		r = link_hub_new(verbs->device, &hub, &verbs->hub, error, error_size);
	if (!r)
		r = link_listen(verbs->hub, &config->listen, &bound, error, error_size);
	return r;
}

/* What can't be registered isn't offered; the first failure says what to do about all. */
static void register_places(struct export_verbs *verbs)
{
	uint32_t count = catalog_place_count(verbs->catalog);
	uint32_t failed = 0;
	char error[DEVICE_ERROR_MAX];

	for (uint32_t i = 0; i < count; i++) {
		const struct catalog_place *place = catalog_place(verbs->catalog, i);
		int r = region_register(verbs->device, place->start, place->size,
					&verbs->regions[i], error, sizeof(error));

		if (r && !failed++)
			log_warning("a region of %llu bytes is not exported by verbs: %s",
				    (unsigned long long)place->size, error);
		if (r)
			continue;
		verbs->region_count++;
		verbs->region_bytes += place->size;
	}
	if (failed > 1)
		log_warning("so are %u more of %u", failed - 1, count);
}

static void pendings_init(struct export_verbs *verbs, uint32_t count)
{
	verbs->pending_max = count;
	for (uint32_t i = 0; i < count; i++) {
		verbs->pendings[i] = (struct pending){.verbs = verbs, .next_free = verbs->free};
		verbs->free = &verbs->pendings[i];
	}
}

int export_verbs_open(const struct export_config *config, const struct catalog *catalog,
		      export_answered_fn answered, void *context, struct export_verbs **ret_verbs,
		      char *error, size_t error_size)
{
	uint32_t pending_max = config->core_count * EXPORT_ASK_MAX;
	struct export_verbs *verbs = calloc(1, sizeof(*verbs));
	int r = -ENOMEM;

	snprintf(error, error_size, "no memory");
	if (!verbs)
		return -ENOMEM;
	*verbs = (struct export_verbs){
		.catalog = catalog,
		.shards = config->shards,
		.answered = answered,
		.context = context,
		.lease_max = config->lease_max,
		.regions = calloc(catalog_place_count(catalog), sizeof(struct region *)),
		.links = calloc(config->link_max, sizeof(struct link *)),
		.due_ns = UINT64_MAX,
		.pendings = calloc(pending_max, sizeof(struct pending)),
	};
	if (verbs->regions && verbs->links && verbs->pendings) {
		pendings_init(verbs, pending_max);
		r = open_device(verbs, config, error, error_size);
	}
	if (r) {
		export_verbs_close(verbs);
		return r;
	}
	register_places(verbs);
	*ret_verbs = verbs;
	return 0;
}

/* The ask has its answer; the place is free again. */
static void pending_over(struct pending *pending)
{
	struct export_verbs *verbs = pending->verbs;
	struct export_ask *ask = pending->ask;

	pending->ask = NULL;
	pending->next_free = verbs->free;
	verbs->free = pending;
	verbs->answered(verbs->context, ask);
}

/* Grants that the device never told of. */
static void give_up(struct export_verbs *verbs)
{
	for (uint32_t i = 0; i < verbs->pending_max; i++) {
		if (!verbs->pendings[i].ask)
			continue;
		verbs->pendings[i].ask->answer = region_refusal(REGION_UNSUPPORTED);
		pending_over(&verbs->pendings[i]);
	}
}

void export_verbs_close(struct export_verbs *verbs)
{
	if (!verbs)
		return;
	/* With its links' queue pairs gone nobody reads any more, so there is no grace to wait for.
	 */
	while (verbs->link_count)
		drop_link(verbs, verbs->links[0]);
	link_hub_free(verbs->hub);
	give_up(verbs);
	for (uint32_t i = 0; verbs->regions && i < catalog_place_count(verbs->catalog); i++)
		region_free(verbs->regions[i]);
	device_close(verbs->device);
	free(verbs->pendings);
	free(verbs->links);
	free(verbs->regions);
	free(verbs);
}

void export_verbs_fds(const struct export_verbs *verbs, int ret_fds[EXPORT_VERBS_FD_COUNT])
{
	ret_fds[0] = link_hub_fd(verbs->hub);
	ret_fds[1] = device_event_fd(verbs->device);
}

const struct device_info *export_verbs_device(const struct export_verbs *verbs)
{
	return device_info(verbs->device);
}

/* --- turns --- */

static void take_events(struct export_verbs *verbs)
{
	enum device_event event;

	while ((event = device_event(verbs->device)) != DEVICE_EVENT_NONE) {
		if (event == DEVICE_EVENT_REMOVED) {
			verbs->gone = true;
			return;
		}
		if (event == DEVICE_EVENT_PORT)
			log_warning("device %s: its port is %s", device_info(verbs->device)->name,
				    device_info(verbs->device)->active ? "up again" : "down");
	}
}

/* Ends what has run out, and finds out what is next. */
static void tick_regions(struct export_verbs *verbs, uint64_t now_ns)
{
	verbs->due_ns = link_hub_due_ns(verbs->hub);
	for (uint32_t i = 0; i < catalog_place_count(verbs->catalog); i++) {
		if (!verbs->regions[i])
			continue;
		region_tick(verbs->regions[i], now_ns);
		verbs->due_ns = MIN(verbs->due_ns, region_due_ns(verbs->regions[i]));
	}
}

bool export_verbs_turn(struct export_verbs *verbs, uint64_t now_ns)
{
	bool armed = false;

	take_events(verbs);
	if (verbs->gone)
		return false;
	for (unsigned i = 0; i < LOOK_MAX; i++) {
		bool any = link_hub_turn(verbs->hub, now_ns);

		if (link_hub_is_removed(verbs->hub))
			return false;
		tick_regions(verbs, now_ns);
		/* What completed before arming wakes nobody: hence the next look. */
		if (!any && armed)
			return true;
		armed = !any;
		if (armed && link_hub_arm(verbs->hub))
			break;
	}
	verbs->due_ns = now_ns; /* there is more, or nothing would wake us */
	return true;
}

uint64_t export_verbs_due_ns(const struct export_verbs *verbs)
{
	return verbs->due_ns;
}

/* --- grants --- */

static void refuse(struct export_verbs *verbs, struct export_ask *ask, const char *reason)
{
	ask->answer = region_refusal(reason);
	verbs->answered(verbs->context, ask);
}

static const char *reason_of(int error)
{
	switch (error) {
	case REGION_E_FULL:
		return REGION_MANY_LEASES;
	case REGION_E_ENDING:
		return REGION_MOVED;
	default:
		return REGION_UNSUPPORTED;
	}
}

static void granted(void *context, const struct lease *lease, int error)
{
	struct pending *pending = context;
	struct export_ask *ask = pending->ask;

	if (error) {
		ask->answer = region_refusal(reason_of(error));
	} else {
		struct lease_info info = lease_info(lease);

		ask->answer = pending->answer;
		ask->answer.available = true;
		ask->answer.remote_addr = info.remote_addr;
		ask->answer.rkey = info.rkey;
		ask->answer.length = info.size;
		ask->answer.lease_id = info.id;
		ask->answer.lease_ms = info.lease_ms;
	}
	pending_over(pending);
}

static bool is_for(const struct link *link, const struct shard *shard)
{
	return link_shard(link) == LINK_NO_SHARD ||
	       link_shard(link) == link_shard_name(shard->vshard);
}

/* The link that the proof is of; NULL when there is none, or it is for another shard. */
static struct link *link_of(struct export_verbs *verbs, const struct export_ask *ask)
{
	struct link *link = NULL;

	if (ask->proof_size == LINK_PROOF_SIZE)
		link = link_find(verbs->hub, ask->proof);
	if (link && is_for(link, ask->shard))
		return link;
	verbs->proofs_refused++;
	return NULL;
}

void export_verbs_ask(struct export_verbs *verbs, struct export_ask *ask,
		      const struct catalog_region *region, uint32_t lease_ms, uint64_t now_ns)
{
	struct link *link = link_of(verbs, ask);
	struct pending *pending = verbs->free;
	int r;

	if (!link) {
		refuse(verbs, ask, REGION_NOT_MEMBER);
		return;
	}
	if (!verbs->regions[region->place]) {
		refuse(verbs, ask, REGION_UNSUPPORTED);
		return;
	}
	if (leases_now(verbs) >= verbs->lease_max) {
		refuse(verbs, ask, REGION_MANY_LEASES);
		return;
	}
	CHECK(pending); /* as many as all desks together pass on */
	pending->ask = ask;
	pending->answer = (struct region_answer){
		.generation = region->generation,
		.crc = region->crc,
	};
	r = region_grant(verbs->regions[region->place], link, region->offset, region->size,
			 lease_ms, now_ns, granted, pending);
	if (r) {
		log_debug("no grant: %d", r);
		refuse(verbs, ask, reason_of(r));
		return;
	}
	verbs->free = pending->next_free;
}

/* --- withdrawing, counters --- */

static void keep_counts(struct export_stats *stats, const struct region *of)
{
	struct region_stats region = region_stats(of);

	stats->leases_granted += region.leases_granted;
	stats->leases_expired += region.leases_expired;
	stats->leases_revoked += region.leases_revoked + region.leases_cut;
	stats->leases_failed += region.leases_failed;
}

void export_verbs_withdraw(struct export_verbs *verbs, uint32_t place, uint64_t now_ns)
{
	if (!verbs->regions[place])
		return;
	region_end(verbs->regions[place], now_ns);
	verbs->due_ns = MIN(verbs->due_ns, region_due_ns(verbs->regions[place]));
}

bool export_verbs_withdrawn(struct export_verbs *verbs, uint32_t place)
{
	struct region *region = verbs->regions[place];

	if (!region)
		return true;
	if (region_state(region) != REGION_ENDED)
		return false;
	keep_counts(&verbs->ended, region);
	verbs->region_count--;
	verbs->region_bytes -= catalog_place(verbs->catalog, place)->size;
	region_free(region);
	verbs->regions[place] = NULL;
	return true;
}

void export_verbs_retire(const struct export_verbs *verbs, struct export_stats *stats)
{
	struct link_hub_stats hub = link_hub_stats(verbs->hub);

	stats->links_opened += hub.accepted;
	stats->links_ended += hub.ended;
	stats->proofs_refused += verbs->proofs_refused + hub.refused_malformed +
				 hub.refused_secret + hub.refused_late;
	stats->leases_granted += verbs->ended.leases_granted;
	stats->leases_expired += verbs->ended.leases_expired;
	stats->leases_revoked += verbs->ended.leases_revoked;
	stats->leases_failed += verbs->ended.leases_failed;
	for (uint32_t i = 0; i < catalog_place_count(verbs->catalog); i++)
		if (verbs->regions[i])
			keep_counts(stats, verbs->regions[i]);
}

void export_verbs_stats(const struct export_verbs *verbs, struct export_stats *stats)
{
	export_verbs_retire(verbs, stats);
	stats->links += link_hub_stats(verbs->hub).links;
	stats->regions += verbs->region_count;
	stats->bytes_registered += verbs->region_bytes;
	stats->leases += leases_now(verbs);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/export_shm.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/defs.h"
#include "base/log.h"
#include "dataplane/doors.h"
#include "rdma/fetch_shm.h"
#include "rdma/shm_link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* Events of one epoll_wait(); the others come with the next turn. */
#define EVENT_MAX 64

/* After descriptors or memory ran out: who waits is taken in then. */
#define ACCEPT_AGAIN_NS (100 * NS_PER_MS)

/* The numbers of verbs' leases have this bit clear, so that no two leases of a node have one. */
#define LEASE_BIT (UINT64_C(1) << 63)

/* What epoll says of the listening socket; links are named by their place. */
#define EVENT_LISTEN UINT32_MAX

struct peer {
	struct shm_link *link; /* NULL: the place is free */
	uint64_t prove_by_ns;  /* UINT64_MAX when it has */
};

struct shm_lease {
	uint64_t id;
	uint64_t expires_ns;
	uint32_t peer;
	uint32_t place; /* of the catalog */
};

struct export_shm {
	const struct catalog *catalog;
	export_answered_fn answered;
	void *context;
	struct shm_link_config link_config; /* borrows the secret from export */
	struct doors doors;
	int epoll_fd;
	bool listening;     /* epoll tells of who waits */
	uint64_t listen_ns; /* when it is to do so again */
	uint32_t peer_max;
	uint32_t peer_count;
	uint32_t peer_end; /* all places from here on are free */
	struct peer *peers;
	uint32_t lease_max;
	uint32_t lease_count;
	struct shm_lease *leases; /* in no order */
	uint64_t lease_last;      /* the latest id, without its bit */
	uint64_t due_ns;
	bool due_changed; /* 'due_ns' is to be computed again */
	struct export_stats stats;
};

/* --- leases --- */

static void lease_over(struct export_shm *shm, uint32_t index, uint64_t *counter)
{
	shm->leases[index] = shm->leases[--shm->lease_count];
	shm->due_changed = true;
	++*counter;
}

static void leases_expire(struct export_shm *shm, uint64_t now_ns)
{
	for (uint32_t i = shm->lease_count; i-- > 0;)
		if (shm->leases[i].expires_ns <= now_ns)
			lease_over(shm, i, &shm->stats.leases_expired);
}

static void lease_returned(struct export_shm *shm, uint32_t peer, uint64_t id)
{
	for (uint32_t i = shm->lease_count; i-- > 0;)
		if (shm->leases[i].id == id && shm->leases[i].peer == peer)
			lease_over(shm, i, &shm->stats.leases_returned);
}

/* --- peers --- */

static void listen_again(struct export_shm *shm, bool listening)
{
	struct epoll_event event = {.events = listening ? EPOLLIN : 0, .data.u32 = EVENT_LISTEN};

	if (shm->listening == listening)
		return;
	CHECK(!epoll_ctl(shm->epoll_fd, EPOLL_CTL_MOD, shm->doors.epoll_fd, &event));
	shm->listening = listening;
}

static void peer_over(struct export_shm *shm, uint32_t index)
{
	struct peer *peer = &shm->peers[index];

	for (uint32_t i = shm->lease_count; i-- > 0;)
		if (shm->leases[i].peer == index)
			lease_over(shm, i, &shm->stats.leases_revoked);
	log_debug("shared memory: link ended: %s", shm_link_error(peer->link));
	shm->stats.links_ended += peer->prove_by_ns == UINT64_MAX;
	shm->stats.proofs_refused += peer->prove_by_ns != UINT64_MAX;
	shm_link_close(peer->link); /* which takes it out of epoll */
	peer->link = NULL;
	shm->peer_count--;
	shm->due_changed = true;
	while (shm->peer_end && !shm->peers[shm->peer_end - 1].link)
		shm->peer_end--;
	listen_again(shm, true);
}

static void peer_ready(struct export_shm *shm, struct peer *peer)
{
	peer->prove_by_ns = UINT64_MAX;
	shm->due_changed = true;
	shm->stats.links_opened++;
}

static void peer_turn(struct export_shm *shm, uint32_t index, uint64_t now_ns)
{
	struct peer *peer = &shm->peers[index];
	struct shm_link_news news;

	for (unsigned i = 0; peer->link && i < SHM_LINK_NEWS_MAX; i++) {
		switch (shm_link_next(peer->link, now_ns, &news)) {
		case SHM_LINK_IS_READY:
			peer_ready(shm, peer);
			break;
		case SHM_LINK_RETURNED:
			lease_returned(shm, index, news.lease);
			break;
		case SHM_LINK_IS_OVER:
			peer_over(shm, index);
			break;
		default: /* no news, or what only readers hear of */
			return;
		}
	}
}

static int peer_watch(struct export_shm *shm, uint32_t index)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = index};

	return epoll_ctl(shm->epoll_fd, EPOLL_CTL_ADD, shm_link_fd(shm->peers[index].link), &event)
		       ? -errno
		       : 0;
}

/* Takes in one peer. False when nobody waits, or can be taken in now. */
static bool peer_accept(struct export_shm *shm, uint64_t now_ns)
{
	struct shm_link *link;
	uint32_t index = 0;
	int r;

	if (shm->peer_count == shm->peer_max) {
		shm->listen_ns = UINT64_MAX; /* until one goes */
		listen_again(shm, false);
		return false;
	}
	r = doors_accept(&shm->doors, &shm->link_config, now_ns, &link);
	if (r == SHM_LINK_E_NONE)
		return false;
	while (!r && shm->peers[index].link)
		index++;
	if (!r) {
		shm->peers[index] = (struct peer){link, now_ns + SHM_LINK_PROVE_NS};
		r = peer_watch(shm, index);
		if (r) {
			shm_link_close(link);
			shm->peers[index].link = NULL;
		}
	}
	if (r) {
		LOG_LIMITED(LOG_LEVEL_WARNING, "shared memory: no peer can be taken in: %s",
			    strerror(-r));
		shm->listen_ns = now_ns + ACCEPT_AGAIN_NS;
		shm->due_changed = true;
		listen_again(shm, false);
		return false;
	}
	shm->peer_count++;
	shm->peer_end = MAX(shm->peer_end, index + 1);
	shm->due_changed = true;
	return true;
}

/* --- life --- */

static int start_listening(struct export_shm *shm, const struct export_config *config, char *error,
			   size_t error_size)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = EVENT_LISTEN};
	int r;

	r = doors_open(&config->listen, &shm->doors, error, error_size);
	if (r)
		return r;
	shm->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (shm->epoll_fd < 0 ||
	    epoll_ctl(shm->epoll_fd, EPOLL_CTL_ADD, shm->doors.epoll_fd, &event)) {
		r = -errno;
		snprintf(error, error_size, "epoll: %s", strerror(-r));
		return r;
	}
	shm->listening = true;
	return 0;
}

static void count_places(struct export_shm *shm)
{
	for (uint32_t i = 0; i < catalog_place_count(shm->catalog); i++) {
		const struct catalog_place *place = catalog_place(shm->catalog, i);

		if (place->fd < 0)
			continue;
		shm->stats.regions_shared++;
		shm->stats.bytes_shared += place->size;
	}
}

int export_shm_open(const struct export_config *config, const struct catalog *catalog,
		    export_answered_fn answered, void *context, struct export_shm **ret_shm,
		    char *error, size_t error_size)
{
	struct export_shm *shm = calloc(1, sizeof(*shm));
	int r = -ENOMEM;

	snprintf(error, error_size, "no memory");
	if (!shm)
		return -ENOMEM;
	*shm = (struct export_shm){
		.catalog = catalog,
		.answered = answered,
		.context = context,
		.link_config = {.node = config->node, .secret = config->secret},
		.doors = {.epoll_fd = -1},
		.epoll_fd = -1,
		.peer_max = config->link_max,
		.peers = calloc(config->link_max, sizeof(struct peer)),
		.lease_max = config->lease_max,
		.leases = calloc(config->lease_max, sizeof(struct shm_lease)),
		.due_ns = UINT64_MAX,
	};
	if (shm->peers && shm->leases)
		r = start_listening(shm, config, error, error_size);
	if (r) {
		export_shm_close(shm);
		return r;
	}
	count_places(shm);
	*ret_shm = shm;
	return 0;
}

void export_shm_close(struct export_shm *shm)
{
	if (!shm)
		return;
	for (uint32_t i = 0; i < shm->lease_count; i++)
		(void)shm_link_withdraw(shm->peers[shm->leases[i].peer].link, shm->leases[i].id);
	for (uint32_t i = 0; i < shm->peer_end; i++)
		shm_link_close(shm->peers[i].link);
	if (shm->epoll_fd >= 0)
		close(shm->epoll_fd);
	doors_close(&shm->doors);
	free(shm->leases);
	free(shm->peers);
	free(shm);
}

int export_shm_fd(const struct export_shm *shm)
{
	return shm->epoll_fd;
}

/* --- turns --- */

/* The earliest of what can run out. */
static void find_due(struct export_shm *shm)
{
	uint64_t due_ns = shm->listening ? UINT64_MAX : shm->listen_ns;

	for (uint32_t i = 0; i < shm->peer_end; i++)
		if (shm->peers[i].link)
			due_ns = MIN(due_ns, shm->peers[i].prove_by_ns);
	for (uint32_t i = 0; i < shm->lease_count; i++)
		due_ns = MIN(due_ns, shm->leases[i].expires_ns);
	shm->due_ns = due_ns;
	shm->due_changed = false;
}

static void run_out(struct export_shm *shm, uint64_t now_ns)
{
	leases_expire(shm, now_ns);
	for (uint32_t i = 0; i < shm->peer_end; i++)
		if (shm->peers[i].link && shm->peers[i].prove_by_ns <= now_ns)
			peer_turn(shm, i, now_ns);
	if (shm->listen_ns <= now_ns)
		listen_again(shm, true);
	shm->due_changed = true;
}

void export_shm_turn(struct export_shm *shm, uint64_t now_ns)
{
	struct epoll_event events[EVENT_MAX];
	int count;

	if (now_ns >= shm->due_ns)
		run_out(shm, now_ns);
	count = epoll_wait(shm->epoll_fd, events, EVENT_MAX, 0);
	for (int i = 0; i < count; i++) {
		uint32_t index = events[i].data.u32;

		if (index != EVENT_LISTEN)
			peer_turn(shm, index, now_ns);
		else
			while (peer_accept(shm, now_ns))
				;
	}
	if (shm->due_changed)
		find_due(shm);
}

uint64_t export_shm_due_ns(const struct export_shm *shm)
{
	return shm->due_ns;
}

/* --- grants --- */

static void refuse(struct export_shm *shm, struct export_ask *ask, const char *reason)
{
	ask->answer = region_refusal(reason);
	shm->answered(shm->context, ask);
}

/* Returns 'peer_end' when it is nobody's proof. */
static uint32_t peer_of(const struct export_shm *shm, const struct export_ask *ask)
{
	uint32_t i = 0;

	if (ask->proof_size != SHM_WIRE_PROOF_SIZE)
		return shm->peer_end;
	while (i < shm->peer_end &&
	       !(shm->peers[i].link && shm_link_has_proof(shm->peers[i].link, ask->proof)))
		i++;
	return i;
}

/* Lends the region; returns NULL, or the reason why not. */
static const char *lend(struct export_shm *shm, uint32_t peer, const struct catalog_region *region,
			uint64_t id)
{
	const struct catalog_place *place = catalog_place(shm->catalog, region->place);
	int r;

	if (place->fd < 0)
		return REGION_UNSUPPORTED;
	r = shm_link_pass(shm->peers[peer].link, id, place->fd, region->offset, region->size);
	if (!r)
		return NULL;
	shm->stats.leases_failed++;
	log_debug("shared memory: not passed: %s", r < 0 ? strerror(-r) : "the peer is busy");
	return r == SHM_LINK_E_BUSY ? REGION_MANY_LEASES : REGION_UNSUPPORTED;
}

void export_shm_ask(struct export_shm *shm, struct export_ask *ask,
		    const struct catalog_region *region, uint32_t lease_ms, uint64_t now_ns)
{
	uint32_t peer = peer_of(shm, ask);
	uint64_t id = LEASE_BIT | (shm->lease_last + 1);
	const char *reason;

	if (peer == shm->peer_end) {
		shm->stats.proofs_refused++;
		refuse(shm, ask, REGION_NOT_MEMBER);
		return;
	}
	reason = shm->lease_count == shm->lease_max ? REGION_MANY_LEASES
						    : lend(shm, peer, region, id);
	if (reason) {
		refuse(shm, ask, reason);
		return;
	}
	shm->lease_last++;
	shm->leases[shm->lease_count++] = (struct shm_lease){
		.id = id,
		.expires_ns = now_ns + lease_ms * NS_PER_MS,
		.peer = peer,
		.place = region->place,
	};
	shm->stats.leases_granted++;
	shm->due_changed = true;
	ask->answer = (struct region_answer){
		.available = true,
		.remote_addr = region->offset,
		.length = region->size,
		.generation = region->generation,
		.lease_id = id,
		.lease_ms = lease_ms,
		.crc = region->crc,
	};
	shm->answered(shm->context, ask);
}

void export_shm_withdraw(struct export_shm *shm, uint32_t place)
{
	for (uint32_t i = shm->lease_count; i-- > 0;) {
		struct shm_lease *lease = &shm->leases[i];

		if (lease->place != place)
			continue;
		/* Who doesn't take it in has the lease's time to go by. */
		(void)shm_link_withdraw(shm->peers[lease->peer].link, lease->id);
		lease_over(shm, i, &shm->stats.leases_revoked);
	}
	if (shm->due_changed)
		find_due(shm);
}

void export_shm_stats(const struct export_shm *shm, struct export_stats *stats)
{
#define ADD(name) stats->name += shm->stats.name;
	EXPORT_COUNTER_LIST(ADD)
	EXPORT_GAUGE_LIST(ADD)
#undef ADD
	stats->leases += shm->lease_count;
	stats->links += shm->peer_count;
}

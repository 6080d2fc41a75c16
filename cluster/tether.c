/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/tether.h"

#include "base/check.h"
#include "base/defs.h"
#include "rdma/fetch_shm.h"
#include "rdma/fetch_verbs.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static_assert(LINK_PROOF_SIZE == SHM_WIRE_PROOF_SIZE, "proofs are alike");

PRINTF_LIKE(3, 4)
static int end(struct tether *tether, int error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(tether->error, sizeof(tether->error), format, arguments);
	va_end(arguments);
	tether->state = TETHER_ENDED;
	return error;
}

/* One registration serves all fetches to the room. */
static int register_room(struct tether *tether, struct device *device,
			 const struct tether_room *room)
{
	errno = 0;
	tether->mr = device_ops(device)->reg_mr(device_pd(device), room->memory, room->size,
						IBV_ACCESS_LOCAL_WRITE);
	if (tether->mr)
		return 0;
	return end(tether, errno ? -errno : -ENOMEM,
		   "registering %zu bytes with %s: %s; raise RLIMIT_MEMLOCK (ulimit -l)",
		   room->size, device_info(device)->name, strerror(errno));
}

static int connect_verbs(struct tether *tether, const struct tether_config *config,
			 const struct addr *owner, const struct tether_room *room, uint64_t now_ns,
			 uint64_t deadline_ns)
{
	const struct link_options options = {.to = *owner,
					     .use = LINK_READS,
					     .shard = config->shard,
					     .deadline_ns = deadline_ns};
	int error;

	if (!config->hub)
		return end(tether, -ENODEV, "there is no verbs device here");
	error = link_connect(config->hub, &options, now_ns, &tether->link, tether->error,
			     sizeof(tether->error));
	if (error) {
		tether->state = TETHER_ENDED;
		return error;
	}
	return register_room(tether, link_device(tether->link), room);
}

static int connect_shm(struct tether *tether, const struct tether_config *config,
		       const struct addr *owner, uint64_t now_ns)
{
	const struct shm_link_config link = {.node = config->node, .secret = config->secret};
	int error = shm_link_connect(owner, &link, now_ns, &tether->shm, tether->error,
				     sizeof(tether->error));

	if (error)
		tether->state = TETHER_ENDED;
	return error;
}

int tether_connect(struct tether *tether, const struct tether_config *config,
		   enum region_transport transport, const struct addr *owner,
		   const struct tether_room *room, uint64_t now_ns, uint64_t deadline_ns)
{
	CHECK(tether->state == TETHER_CLOSED);
	*tether = (struct tether){.state = TETHER_CONNECTING, .transport = transport};
	if (transport == REGION_TRANSPORT_VERBS)
		return connect_verbs(tether, config, owner, room, now_ns, deadline_ns);
	return connect_shm(tether, config, owner, now_ns);
}

static void turn_verbs(struct tether *tether)
{
	switch (link_state(tether->link)) {
	case LINK_READY:
		tether->state = TETHER_READY;
		break;
	case LINK_ENDED:
		(void)end(tether, -ENOTCONN, "%s", link_error(tether->link));
		break;
	default:
		break;
	}
}

static void keep_lent(struct tether *tether, const struct shm_link_news *news)
{
	if (tether->lent_count == TETHER_LENT_MAX) { /* of grants that came too late */
		close(tether->lent[0].memory_fd);
		memmove(tether->lent, tether->lent + 1,
			(TETHER_LENT_MAX - 1) * sizeof(tether->lent[0]));
		tether->lent_count--;
	}
	tether->lent[tether->lent_count++] = *news;
}

static void turn_shm(struct tether *tether, uint64_t now_ns)
{
	for (unsigned i = 0; i < SHM_LINK_NEWS_MAX && tether->state != TETHER_ENDED; i++) {
		struct shm_link_news news;

		switch (shm_link_next(tether->shm, now_ns, &news)) {
		case SHM_LINK_NO_NEWS:
			return;
		case SHM_LINK_IS_READY:
			tether->state = TETHER_READY;
			break;
		case SHM_LINK_LENT:
			keep_lent(tether, &news);
			break;
		case SHM_LINK_WITHDRAWN:
			/* Whichever lease it is: there is one, and perhaps the one after it. */
			(void)end(tether, -EACCES, "the owner has taken its memory back");
			break;
		case SHM_LINK_IS_OVER:
			(void)end(tether, -ENOTCONN, "%s", shm_link_error(tether->shm));
			break;
		case SHM_LINK_RETURNED: /* an owner's news */
			break;
		}
	}
}

void tether_turn(struct tether *tether, uint64_t now_ns)
{
	if (tether->state != TETHER_CONNECTING && tether->state != TETHER_READY)
		return;
	if (tether->link)
		turn_verbs(tether);
	else
		turn_shm(tether, now_ns);
}

void tether_proof(const struct tether *tether, uint8_t ret_proof[LINK_PROOF_SIZE])
{
	CHECK(tether->state == TETHER_READY);
	if (tether->link)
		link_proof(tether->link, ret_proof);
	else
		shm_link_proof(tether->shm, ret_proof);
}

static int fetch_by_verbs(struct tether *tether, const struct region_answer *grant,
			  const struct tether_room *room, uint64_t expires_ns,
			  struct fetch **ret_fetch)
{
	const struct fetch_verbs_options options = {
		.link = tether->link,
		.remote_addr = grant->remote_addr,
		.size = grant->length,
		.rkey = grant->rkey,
		.depth = FETCH_VERBS_DEPTH_MIN,
		.memory = room->memory,
		.memory_size = room->size,
		.mr = tether->mr,
		.expires_ns = expires_ns,
	};
	int error = fetch_verbs_open(&options, ret_fetch);

	return error ? end(tether, error, "reading by verbs: %s", strerror(-error)) : 0;
}

static int fetch_by_shm(struct tether *tether, const struct region_answer *grant,
			const struct tether_room *room, uint64_t expires_ns,
			struct fetch **ret_fetch)
{
	unsigned i = 0;
	int error;

	while (i < tether->lent_count && tether->lent[i].lease != grant->lease_id)
		i++;
	if (i == tether->lent_count)
		return -EAGAIN;
	{
		const struct shm_link_news lent = tether->lent[i];
		const struct fetch_shm_options options = {
			.memory_fd = lent.memory_fd,
			.offset = lent.offset,
			.size = lent.size,
			.memory = room->memory,
			.memory_size = room->size,
			.expires_ns = expires_ns,
		};

		tether->lent[i] = tether->lent[--tether->lent_count];
		error = lent.size == grant->length ? fetch_shm_open(&options, ret_fetch)
						   : FETCH_SHM_E_SHORT;
		close(lent.memory_fd);
	}
	if (error > 0)
		return end(tether, -EPROTO,
			   "the owner's memory isn't sealed, has holes, or is too short");
	return error ? end(tether, error, "mapping the owner's memory: %s", strerror(-error)) : 0;
}

int tether_fetch(struct tether *tether, const struct region_answer *grant,
		 const struct tether_room *room, uint64_t expires_ns, struct fetch **ret_fetch)
{
	CHECK(tether->state == TETHER_READY && grant->available);
	if (tether->link)
		return fetch_by_verbs(tether, grant, room, expires_ns, ret_fetch);
	return fetch_by_shm(tether, grant, room, expires_ns, ret_fetch);
}

const char *tether_error(const struct tether *tether)
{
	return tether->error;
}

void tether_close(struct tether *tether, struct fetch **fetches, unsigned count)
{
	struct device *device = tether->link ? link_device(tether->link) : NULL;

	link_close(tether->link);
	shm_link_close(tether->shm);
	for (unsigned i = 0; i < count; i++) {
		if (fetches[i] && tether->link)
			fetch_verbs_link_closed(fetches[i]);
		fetch_close(fetches[i]);
		fetches[i] = NULL;
	}
	if (tether->mr)
		(void)device_ops(device)->dereg_mr(tether->mr);
	for (unsigned i = 0; i < tether->lent_count; i++)
		close(tether->lent[i].memory_fd);
	*tether = (struct tether){0};
}

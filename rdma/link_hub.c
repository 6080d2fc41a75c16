/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "base/rand.h"
#include "proto/session_proof.h"
#include "rdma/link_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* Connection requests that wait for link_hub_turn(). */
#define LINK_BACKLOG 256

/* Pages are registered, not bytes. */
#define LINK_SLOTS_ALIGN 4096

/*
 * Making and freeing
 */

static int set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 ? 0 : -errno;
}

static int watch(struct link_hub *hub, int fd)
{
	struct epoll_event event = {.events = EPOLLIN};

	return epoll_ctl(hub->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

static int make_links(struct link_hub *hub)
{
	uint32_t link_max = hub->config.link_max;
	uint32_t buckets = 1;

	while (buckets < link_max)
		buckets *= 2;
	hub->bucket_mask = buckets - 1;
	hub->links = calloc(link_max, sizeof(*hub->links));
	hub->buckets = calloc(buckets, sizeof(struct link *));
	if (!hub->links || !hub->buckets)
		return -ENOMEM;
	for (uint32_t i = link_max; i > 0; i--) {
		hub->links[i - 1].next = hub->free_links;
		hub->free_links = &hub->links[i - 1];
	}
	return 0;
}

static int make_slots(struct link_hub *hub, char *error, size_t error_size)
{
	size_t size = align_up((size_t)hub->config.link_max * LINK_SLOT_SIZE, LINK_SLOTS_ALIGN);

	hub->slots = aligned_alloc(LINK_SLOTS_ALIGN, size);
	if (!hub->slots)
		return -ENOMEM;
	memset(hub->slots, 0, size);
	return device_register(hub->device, hub->slots, size, IBV_ACCESS_LOCAL_WRITE,
			       &hub->slots_mr, error, error_size);
}

/* One queue for all completions; a smaller one than all links need holds fewer links. */
static int make_queue(struct link_hub *hub)
{
	const struct device_info *info = device_info(hub->device);
	uint64_t wanted = (uint64_t)hub->config.link_max * link_completions(hub);

	if (hub->config.srq)
		wanted += hub->config.srq_depth;
	hub->cqe_count = (uint32_t)MIN(wanted, info->cqe_max);
	if (hub->config.srq)
		hub->cqe_used = hub->config.srq_depth;
	if (hub->cqe_used + link_completions(hub) > hub->cqe_count)
		return -EINVAL;
	hub->comp_channel = hub->ops->create_comp_channel(device_context(hub->device));
	if (!hub->comp_channel)
		return errno ? -errno : -EIO;
	hub->cq = hub->ops->create_cq(device_context(hub->device), (int)hub->cqe_count, hub,
				      hub->comp_channel, 0);
	if (!hub->cq)
		return errno ? -errno : -EIO;
	return set_nonblocking(hub->comp_channel->fd);
}

static int make_channel(struct link_hub *hub)
{
	int status;

	hub->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (hub->epoll_fd < 0)
		return -errno;
	hub->channel = hub->ops->create_event_channel();
	if (!hub->channel)
		return errno ? -errno : -EIO;
	status = set_nonblocking(hub->channel->fd);
	if (status == 0)
		status = watch(hub, hub->channel->fd);
	if (status == 0)
		status = watch(hub, hub->comp_channel->fd);
	return status;
}

static int check_config(const struct device_info *info, const struct link_hub_config *config,
			char *error, size_t error_size)
{
	if (config->link_max == 0 || config->link_max > LINK_MAX) {
		snprintf(error, error_size, "a hub has 1 to %d links, not %u", LINK_MAX,
			 config->link_max);
		return -EINVAL;
	}
	if (config->send_depth == 0 || config->send_depth + LINK_OWN_SENDS > info->wr_max) {
		snprintf(error, error_size, "device %s: a link has 1 to %u requests, not %u",
			 info->name, info->wr_max - LINK_OWN_SENDS, config->send_depth);
		return -EINVAL;
	}
	return 0;
}

int link_hub_new(struct device *device, const struct link_hub_config *config,
		 struct link_hub **ret_hub, char *error, size_t error_size)
{
	struct link_hub *hub;
	int status = check_config(device_info(device), config, error, error_size);

	if (status < 0)
		return status;
	hub = calloc(1, sizeof(*hub));
	if (!hub)
		return -ENOMEM;
	hub->device = device;
	hub->ops = device_ops(device);
	hub->config = *config;
	hub->epoll_fd = -1;
	hub->deadline_next_ns = UINT64_MAX;
	hub->alarms = device_alarms(device);
	hub->alarms_seen = atomic_load_explicit(hub->alarms, memory_order_acquire);
	hub->removed = device_is_removed(device);
	if (config->secret) {
		memcpy(hub->secret, config->secret, LINK_SECRET_SIZE);
		hub->config.secret = hub->secret;
	}
	rand_init(&hub->rand, config->seed);
	error[0] = '\0';
	status = make_links(hub);
	if (status == 0)
		status = make_slots(hub, error, error_size);
	if (status == 0)
		status = make_queue(hub);
	if (status == 0)
		status = make_channel(hub);
	if (status < 0) {
		if (!error[0])
			snprintf(error, error_size,
				 "device %s has no room for %u links of %u requests: %s; fewer of "
				 "them, or check RLIMIT_MEMLOCK (ulimit -l, LimitMEMLOCK)",
				 device_info(device)->name, config->link_max, config->send_depth,
				 strerror(-status));
		link_hub_free(hub);
		return status;
	}
	*ret_hub = hub;
	return 0;
}

void link_hub_free(struct link_hub *hub)
{
	if (!hub)
		return;
	for (uint32_t i = 0; hub->links && i < hub->config.link_max; i++)
		if (hub->links[i].used)
			link_close(&hub->links[i]);
	if (hub->listener)
		device_given_back(hub->device, hub->ops->destroy_id(hub->listener));
	if (hub->channel)
		hub->ops->destroy_event_channel(hub->channel);
	if (hub->cq)
		device_given_back(hub->device, hub->ops->destroy_cq(hub->cq));
	if (hub->comp_channel)
		device_given_back(hub->device, hub->ops->destroy_comp_channel(hub->comp_channel));
	if (hub->slots_mr)
		device_given_back(hub->device, hub->ops->dereg_mr(hub->slots_mr));
	if (hub->epoll_fd >= 0)
		close(hub->epoll_fd);
	free(hub->slots);
	free(hub->buckets);
	free(hub->links);
	explicit_bzero(hub->secret, sizeof(hub->secret));
	free(hub);
}

int link_listen(struct link_hub *hub, const struct addr *addr, struct addr *ret_bound, char *error,
		size_t error_size)
{
	struct sockaddr_storage sockaddr;
	struct rdma_cm_id *id;
	char text[ADDR_TEXT_MAX];
	int status = 0;

	CHECK(!hub->listener);
	if (hub->ops->create_id(hub->channel, &id, NULL, RDMA_PS_TCP) != 0) {
		status = -errno;
		snprintf(error, error_size, "librdmacm makes no listener: %s; is rdma_ucm loaded?",
			 strerror(-status));
		return status;
	}
	link_sockaddr(addr, &sockaddr);
	if (hub->ops->bind_addr(id, (struct sockaddr *)&sockaddr) != 0 ||
	    hub->ops->listen(id, LINK_BACKLOG) != 0) {
		status = -errno;
		snprintf(error, error_size, "can't listen at %s over RDMA: %s%s%s",
			 addr_format(addr, text), strerror(-status),
			 status == -EADDRINUSE ? ""
					       : "; use an address of the interface of device ",
			 status == -EADDRINUSE ? "" : device_info(hub->device)->name);
		(void)hub->ops->destroy_id(id);
		return status;
	}
	hub->listener = id;
	*ret_bound = *addr;
	ret_bound->port = be16toh(hub->ops->get_src_port(id));
	return 0;
}

int link_nonce(struct link_hub *hub, uint8_t ret_nonce[LINK_NONCE_SIZE])
{
	if (hub->config.seed == 0)
		return rand_secret(ret_nonce, LINK_NONCE_SIZE);
	for (size_t i = 0; i < LINK_NONCE_SIZE; i += sizeof(uint64_t)) {
		uint64_t number = rand_next(&hub->rand);

		memcpy(ret_nonce + i, &number, sizeof(number));
	}
	return 0;
}

/*
 * Handshake's end
 */

static void proof_received(struct link *link, const uint8_t *bytes, size_t size)
{
	struct link_hub *hub = link->hub;
	const uint8_t *theirs = link_first_decode(bytes, size, LINK_FIRST_PROOF);
	uint8_t proof[LINK_PROOF_SIZE];
	int status;

	link_prove(hub->config.secret, LINK_ROLE_CONNECTING, link->connecting, link->listening,
		   proof);
	if (!theirs || !session_proof_equal(proof, theirs)) {
		hub->stats.refused_secret++;
		link_fail(link, "the peer's proof is wrong");
		return;
	}
	/* Remote reading first: the peer may read as soon as it sees the welcome. */
	status = link_qp_open(link);
	if (status == 0)
		status = link_send_first(link, LINK_FIRST_WELCOME, NULL);
	if (status == 0 && link->use == LINK_READS)
		status = link_post_guard(link);
	if (status < 0) {
		hub->stats.refused_gone++;
		link_fail(link, "the queue pair doesn't open: %s", strerror(-status));
		return;
	}
	hub->stats.accepted++;
	link_change(link, LINK_READY);
}

static void welcome_received(struct link *link, const uint8_t *bytes, size_t size)
{
	int status = link_first_decode(bytes, size, LINK_FIRST_WELCOME) ? 0 : -EBADMSG;

	if (status == 0)
		status = link_qp_open(link);
	if (status == 0 && link->use == LINK_READS)
		status = link_post_guard(link);
	if (status < 0) {
		link_fail(link, "the welcome can't be taken: %s", strerror(-status));
		return;
	}
	link->hub->stats.connected++;
	link_change(link, LINK_READY);
}

void link_first_received(struct link *link, const uint8_t *bytes, size_t size)
{
	if (link->state != LINK_PROVING)
		link_fail(link, "the peer spoke out of turn");
	else if (link->accepted)
		proof_received(link, bytes, size);
	else
		welcome_received(link, bytes, size);
}

/*
 * Completions
 */

/* A receive of the shared queue: the bytes are the handshake's until the link is ready. */
static void shared_received(struct link_hub *hub, struct link *link,
			    const struct ibv_wc *completion)
{
	if (link && link->state != LINK_READY) {
		if (completion->status == IBV_WC_SUCCESS && link->state != LINK_ENDED)
			link_first_received(
				link, hub->config.srq_bytes(hub->config.context, completion->wr_id),
				completion->byte_len);
		link = NULL;
	}
	hub->config.received(hub->config.context, link, completion);
}

/* Whoever was told of it may have closed the link: it is looked up again. */
static NOINLINE void completion_failed(struct link_hub *hub, const struct ibv_wc *completion)
{
	struct link *link = link_of_qp(hub, completion->qp_num);
	char text[ADDR_TEXT_MAX];

	if (!link || link->state == LINK_ENDED)
		return;
	if (completion->status == IBV_WC_WR_FLUSH_ERR) {
		link->broken = hub->broken = true;
		return;
	}
	addr_format(&link->peer, text);
	link_count_gone(link);
	switch (completion->status) {
	case IBV_WC_RETRY_EXC_ERR:
		link_fail(link, "%s has stopped to answer", text);
		break;
	case IBV_WC_REM_ACCESS_ERR:
		link_fail(link, "%s refused the key: it has ended, or was never ours", text);
		break;
	default:
		link_fail(link, "a request to %s failed: %s (vendor's error 0x%x)", text,
			  ibv_wc_status_str(completion->status), completion->vendor_err);
		break;
	}
}

static void dispatch(struct link_hub *hub, const struct ibv_wc *completion)
{
	struct link *link = link_of_qp(hub, completion->qp_num);

	if (completion->wr_id & LINK_WR_SHARED) {
		shared_received(hub, link, completion);
	} else if (link) {
		struct link_work *work = (struct link_work *)(uintptr_t)completion->wr_id;

		work->done(work, link, completion);
	}
	if (unlikely(completion->status != IBV_WC_SUCCESS))
		completion_failed(hub, completion);
}

static ALWAYS_INLINE bool poll_completions(struct link_hub *hub)
{
	struct ibv_wc completions[LINK_POLL_MAX];
	unsigned total = 0;

	while (total < LINK_TURN_COMPLETIONS_MAX) {
		int count = hub->ops->poll_cq(hub->cq, LINK_POLL_MAX, completions);

		if (unlikely(count < 0)) {
			hub->removed = true;
			break;
		}
		/*
		 * Those that were in the queue when a queue pair went come out before others, so
		 * as many as it can hold, or an end, are proof enough. A callback below may set it
		 * again.
		 */
		hub->stale_left = count < LINK_POLL_MAX
					  ? 0
					  : hub->stale_left - MIN(hub->stale_left, (uint32_t)count);
		for (int i = 0; i < count; i++)
			dispatch(hub, &completions[i]);
		total += (unsigned)count;
		if (count < LINK_POLL_MAX)
			break;
	}
	return total > 0;
}

/*
 * Turns
 */

/* Ends what is not ready in time; finds the next time to look. */
static void end_late(struct link_hub *hub)
{
	hub->deadline_next_ns = UINT64_MAX;
	for (uint32_t i = 0; i < hub->config.link_max; i++) {
		struct link *link = &hub->links[i];
		char text[ADDR_TEXT_MAX];

		if (!link->used || link->state >= LINK_READY)
			continue;
		if (link->deadline_ns > hub->now_ns) {
			hub->deadline_next_ns = MIN(hub->deadline_next_ns, link->deadline_ns);
			continue;
		}
		if (link->accepted)
			hub->stats.refused_late++;
		addr_format(&link->peer, text);
		if (link->resolved || link->accepted)
			link_fail(link,
				  "%s didn't answer in time: is ternd running there, and are "
				  "RoCE's packets (UDP 4791) let through?",
				  text);
		else
			link_fail(link,
				  "%s can't be reached from device %s: is it in a network of it?",
				  text, device_info(hub->device)->name);
	}
}

static void end_all(struct link_hub *hub)
{
	for (uint32_t i = 0; i < hub->config.link_max; i++)
		if (hub->links[i].used) {
			hub->links[i].connected = false;
			link_fail(&hub->links[i], "device %s was removed",
				  device_info(hub->device)->name);
		}
}

static void end_broken(struct link *link)
{
	char text[ADDR_TEXT_MAX];

	link_count_gone(link);
	link_fail(link, "the queue pair to %s broke%s", addr_format(&link->peer, text),
		  link->accepted ? ": its peer asked for what it may not have, or is gone" : "");
}

/* Ends links whose queue pairs flush. */
static void end_flushed(struct link_hub *hub)
{
	hub->broken = false;
	for (uint32_t i = 0; i < hub->config.link_max; i++)
		if (hub->links[i].used && hub->links[i].broken)
			end_broken(&hub->links[i]);
}

/* Events of the device told of broken queue pairs, not of which. */
static void find_broken(struct link_hub *hub)
{
	for (uint32_t i = 0; i < hub->config.link_max; i++) {
		struct link *link = &hub->links[i];
		struct ibv_qp_attr attr = {0};
		struct ibv_qp_init_attr init;

		if (!link->used || !link->qp || link->state == LINK_ENDED)
			continue;
		if (hub->ops->query_qp(link->qp, &attr, IBV_QP_STATE, &init) != 0 ||
		    attr.qp_state == IBV_QPS_ERR)
			end_broken(link);
	}
}

static void drain_wakeups(struct link_hub *hub)
{
	struct ibv_cq *cq;
	void *context;

	while (hub->ops->get_cq_event(hub->comp_channel, &cq, &context) == 0)
		hub->ops->ack_cq_events(cq, 1);
	hub->armed = false;
}

bool link_hub_is_removed(const struct link_hub *hub)
{
	return hub->removed || device_is_removed(hub->device);
}

/* What few turns have to do. Returns whether there were connection events. */
static NOINLINE bool look_around(struct link_hub *hub, uint32_t alarms)
{
	bool any = false;

	/* What made a queue pair flush is asked first: it makes the better message. */
	if (hub->unready > 0 || hub->broken || hub->now_ns >= hub->events_next_ns) {
		hub->events_next_ns = hub->now_ns + LINK_EVENTS_NS;
		any = link_cm_turn(hub);
	}
	if (alarms != hub->alarms_seen) {
		hub->alarms_seen = alarms;
		hub->removed |= device_is_removed(hub->device);
		if (!hub->removed)
			find_broken(hub);
	}
	if (hub->removed)
		end_all(hub);
	if (hub->broken)
		end_flushed(hub);
	if (hub->now_ns >= hub->deadline_next_ns)
		end_late(hub);
	return any;
}

bool link_hub_turn(struct link_hub *hub, uint64_t now_ns)
{
	/* Before completions are taken in: those of a queue pair that broke say more than the
	 * alarm. */
	uint32_t alarms = atomic_load_explicit(hub->alarms, memory_order_acquire);
	bool any;

	hub->now_ns = now_ns;
	if (hub->armed)
		drain_wakeups(hub);
	any = poll_completions(hub);
	if (hub->unready > 0 || hub->broken || hub->removed || alarms != hub->alarms_seen ||
	    now_ns >= hub->events_next_ns || now_ns >= hub->deadline_next_ns)
		any |= look_around(hub, alarms);
	return any;
}

int link_hub_fd(const struct link_hub *hub)
{
	return hub->epoll_fd;
}

uint64_t link_hub_due_ns(const struct link_hub *hub)
{
	return hub->deadline_next_ns;
}

int link_hub_arm(struct link_hub *hub)
{
	int status = -hub->ops->req_notify_cq(hub->cq, 0);

	if (status == 0)
		hub->armed = true;
	return status;
}

struct link_hub_stats link_hub_stats(const struct link_hub *hub)
{
	return hub->stats;
}

struct link *link_find(struct link_hub *hub, const uint8_t proof[LINK_PROOF_SIZE])
{
	for (uint32_t i = 0; i < hub->config.link_max; i++) {
		struct link *link = &hub->links[i];

		if (link->used && link->accepted && link->state == LINK_READY &&
		    session_proof_equal(link->proof, proof))
			return link;
	}
	return NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/link.h"

#include "base/check.h"
#include "rdma/link_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Local ACK timeout, 4.096 us * 2^16 = 268 ms, seven times: a peer that is gone is found in 2 s. */
#define LINK_ACK_TIMEOUT 16

/* The bits of a mask that old kernels set for Ethernet's fields, which no device takes. */
#define LINK_MASK_FOREIGN (~((1 << 21) - 1))

void link_sockaddr(const struct addr *addr, struct sockaddr_storage *ret_sockaddr)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)ret_sockaddr;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret_sockaddr;

	memset(ret_sockaddr, 0, sizeof(*ret_sockaddr));
	if (addr_is_ipv4(addr)) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(addr->port);
		memcpy(&v4->sin_addr, addr->ip + 12, 4);
	} else {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(addr->port);
		memcpy(&v6->sin6_addr, addr->ip, sizeof(addr->ip));
	}
}

/*
 * Queue pair
 */

static void bucket_remove(struct link *link)
{
	struct link **place = link_bucket(link->hub, link->qp->qp_num);

	while (*place != link)
		place = &(*place)->next;
	*place = link->next;
}

static int qp_state(struct link *link, enum ibv_qp_state state, struct ibv_qp_attr *ret_attr,
		    int *ret_mask)
{
	memset(ret_attr, 0, sizeof(*ret_attr));
	ret_attr->qp_state = state;
	if (link->hub->ops->init_qp_attr(link->id, ret_attr, ret_mask) != 0)
		return -errno;
	*ret_mask &= ~LINK_MASK_FOREIGN;
	return 0;
}

/* To INIT, with no right for the peer: librdmacm would have given it some. */
static int qp_init(struct link *link)
{
	struct ibv_qp_attr attr;
	int mask;
	int status = qp_state(link, IBV_QPS_INIT, &attr, &mask);

	if (status < 0)
		return status;
	attr.qp_access_flags = 0;
	return -link->hub->ops->modify_qp(link->qp, &attr, mask | IBV_QP_ACCESS_FLAGS);
}

int link_post_guard(struct link *link)
{
	struct link_hub *hub = link->hub;
	struct ibv_sge sge = {
		.addr = (uintptr_t)link_slot(link) + LINK_SLOT_RECV,
		.length = LINK_SLOT_SIZE - LINK_SLOT_RECV,
		.lkey = hub->slots_mr->lkey,
	};
	struct ibv_recv_wr wr = {
		.wr_id = (uintptr_t)&link->receive_work,
		.sg_list = &sge,
		.num_sge = 1,
	};
	struct ibv_recv_wr *bad;

	return -hub->ops->post_recv(link->qp, &wr, &bad);
}

int link_qp_make(struct link *link)
{
	struct link_hub *hub = link->hub;
	struct ibv_srq *srq = link->use == LINK_FRAMES ? hub->config.srq : NULL;
	struct ibv_qp_init_attr init = {
		.send_cq = hub->cq,
		.recv_cq = hub->cq,
		.srq = srq,
		.cap = {.max_send_wr = hub->config.send_depth + LINK_OWN_SENDS,
			.max_recv_wr = srq ? 0 : LINK_OWN_RECVS,
			.max_send_sge = LINK_SGE_MAX,
			.max_recv_sge = 1},
		.qp_type = IBV_QPT_RC,
	};
	struct link **bucket;
	int status;

	DCHECK(hub->stale_left == 0);
	if (hub->cqe_used + link_completions(hub) > hub->cqe_count)
		return -ENOSPC;
	link->qp = hub->ops->create_qp(device_pd(hub->device), &init);
	if (!link->qp)
		return errno ? -errno : -EIO;
	hub->cqe_used += link_completions(hub);
	bucket = link_bucket(hub, link->qp->qp_num);
	link->next = *bucket;
	*bucket = link;
	status = qp_init(link);
	if (status == 0 && !srq)
		status = link_post_guard(link);
	return status;
}

int link_qp_start(struct link *link)
{
	const struct verbs_ops *ops = link->hub->ops;
	const struct device_info *info = device_info(link->hub->device);
	struct ibv_qp_attr attr;
	int mask;
	int status = qp_state(link, IBV_QPS_RTR, &attr, &mask);

	if (status < 0)
		return status;
	/* What the peer offers isn't bounded by what our device can. */
	attr.max_dest_rd_atomic = (uint8_t)MIN(attr.max_dest_rd_atomic, info->read_in_max);
	status = -ops->modify_qp(link->qp, &attr, mask);
	if (status == 0)
		status = qp_state(link, IBV_QPS_RTS, &attr, &mask);
	if (status < 0)
		return status;
	attr.max_rd_atomic = (uint8_t)MIN(attr.max_rd_atomic, info->read_out_max);
	attr.timeout = LINK_ACK_TIMEOUT;
	link->reads_max = attr.max_rd_atomic;
	return -ops->modify_qp(link->qp, &attr, mask | IBV_QP_TIMEOUT);
}

int link_qp_open(struct link *link)
{
	struct ibv_qp_attr attr = {.qp_access_flags = IBV_ACCESS_REMOTE_READ};

	return -link->hub->ops->modify_qp(link->qp, &attr, IBV_QP_ACCESS_FLAGS);
}

int link_send_first(struct link *link, enum link_first first, const uint8_t *proof)
{
	struct link_hub *hub = link->hub;
	uint8_t *slot = link_slot(link);
	struct ibv_sge sge = {
		.addr = (uintptr_t)slot,
		.length = LINK_FIRST_SIZE,
		.lkey = hub->slots_mr->lkey,
	};
	struct ibv_send_wr wr = {
		.wr_id = (uintptr_t)&link->send_work,
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = IBV_WR_SEND,
		.send_flags = IBV_SEND_SIGNALED,
	};
	struct ibv_send_wr *bad;

	link_first_encode(first, proof, slot);
	return -hub->ops->post_send(link->qp, &wr, &bad);
}

/*
 * Lets the device drop what is posted; the link's own memory and its user's are free after it. It
 * fails for a device that is gone, and while windows are bound to the queue pair: their owner has
 * forgotten to free them.
 */
static void qp_destroy(struct link *link)
{
	struct link_hub *hub = link->hub;

	bucket_remove(link);
	CHECK(hub->ops->destroy_qp(link->qp) == 0 || hub->removed ||
	      device_is_removed(hub->device));
	link->qp = NULL;
	hub->cqe_used -= link_completions(hub);
	hub->stale_left = hub->cqe_count;
}

/*
 * Life
 */

/* The first SEND is out: nothing waits for it, and a failure shows as the link's. */
static void send_done(struct link_work *work, struct link *link, const struct ibv_wc *completion)
{
	(void)work, (void)link, (void)completion;
}

static void receive_done(struct link_work *work, struct link *link, const struct ibv_wc *completion)
{
	uint8_t bytes[LINK_SLOT_SIZE - LINK_SLOT_RECV];

	(void)work;
	if (completion->status != IBV_WC_SUCCESS || link->state == LINK_ENDED)
		return;
	if (link->state == LINK_READY) {
		link_fail(link, "the peer sent what this link isn't for");
		return;
	}
	memcpy(bytes, link_slot(link) + LINK_SLOT_RECV, sizeof(bytes));
	link_first_received(link, bytes, MIN(completion->byte_len, sizeof(bytes)));
}

struct link *link_take(struct link_hub *hub, enum link_use use, bool accepted, uint64_t deadline_ns)
{
	struct link *link = hub->free_links;

	if (!link)
		return NULL;
	hub->free_links = link->next;
	*link = (struct link){
		.receive_work = {.done = receive_done},
		.send_work = {.done = send_done},
		.hub = hub,
		.use = use,
		.used = true,
		.accepted = accepted,
		.shown = !accepted,
		.state = LINK_CONNECTING,
		.deadline_ns = deadline_ns,
	};
	hub->unready++;
	hub->stats.links++;
	hub->deadline_next_ns = MIN(hub->deadline_next_ns, deadline_ns);
	return link;
}

/*
 * Our device's address in the form of 'to', so that the way leads over that device where several
 * are in one network. False: the kernel is to choose, and addr_resolved() looks whether it is ours.
 */
static bool source_for(const struct link_hub *hub, const struct addr *to,
		       struct sockaddr_storage *ret_sockaddr)
{
	struct addr from;
	bool link_local;

	if (!device_addr(hub->device, 0, &from) || addr_is_ipv4(&from) != addr_is_ipv4(to))
		return false;
	/* It would need the number of its interface. */
	link_local = from.ip[0] == 0xFE && (from.ip[1] & 0xC0) == 0x80;
	if (link_local)
		return false;
	link_sockaddr(&from, ret_sockaddr);
	return true;
}

int link_resolve(struct link *link)
{
	struct link_hub *hub = link->hub;
	struct sockaddr_storage from, to;
	bool has_source = source_for(hub, &link->peer, &from);

	link_sockaddr(&link->peer, &to);
	if (hub->ops->resolve_addr(link->id, has_source ? (struct sockaddr *)&from : NULL,
				   (struct sockaddr *)&to, LINK_RESOLVE_MS) != 0)
		return -errno;
	return 0;
}

int link_connect(struct link_hub *hub, const struct link_options *options, uint64_t now_ns,
		 struct link **ret_link, char *error, size_t error_size)
{
	const struct addr *to = &options->to;
	struct link *link;
	char text[ADDR_TEXT_MAX];
	int status;

	if (options->use == LINK_FRAMES && !hub->config.srq) {
		snprintf(error, error_size, "this hub receives no frames");
		return -EINVAL;
	}
	if (options->deadline_ns <= now_ns) {
		snprintf(error, error_size, "no time is left to connect to %s",
			 addr_format(to, text));
		return -ETIMEDOUT;
	}
	link = link_take(hub, options->use, /* accepted= */ false, options->deadline_ns);
	if (!link) {
		snprintf(error, error_size, "all %u links are in use", hub->config.link_max);
		return -ENOSPC;
	}
	link->peer = *to;
	link->shard = options->shard;
	if (hub->ops->create_id(hub->channel, &link->id, link, RDMA_PS_TCP) != 0) {
		status = -errno;
		link->id = NULL;
		snprintf(error, error_size, "librdmacm makes no connection: %s", strerror(-status));
		link_close(link);
		return status;
	}
	status = link_resolve(link);
	if (status < 0) {
		snprintf(error, error_size,
			 "no way to %s by an RDMA device: %s; is it routed over %s?",
			 addr_format(to, text), strerror(-status), device_info(hub->device)->name);
		link_close(link);
		return status;
	}
	*ret_link = link;
	return 0;
}

void link_close(struct link *link)
{
	struct link_hub *hub;

	if (!link)
		return;
	CHECK(link->used);
	hub = link->hub;
	/* The peer is told first; a destroyed queue pair would let it find out by a timeout. */
	if (link->connected)
		(void)hub->ops->disconnect(link->id);
	if (link->qp)
		qp_destroy(link);
	if (link->id)
		CHECK(hub->ops->destroy_id(link->id) == 0);
	if (link->state < LINK_READY)
		hub->unready--;
	hub->stats.links--;
	link->used = false;
	link->next = hub->free_links;
	hub->free_links = link;
}

void link_change(struct link *link, enum link_state state)
{
	struct link_hub *hub = link->hub;

	if (link->state < LINK_READY && state >= LINK_READY) {
		hub->unready--;
		link->deadline_ns = UINT64_MAX;
	}
	link->state = state;
	if (state == LINK_READY)
		link->shown = true;
	if (link->shown)
		hub->config.changed(hub->config.context, link);
	else if (state == LINK_ENDED)
		link_close(link);
}

static void count_end(struct link *link)
{
	struct link_hub_stats *stats = &link->hub->stats;

	if (link->state == LINK_READY)
		stats->ended++;
	else if (!link->accepted)
		stats->failed++;
}

void link_break(struct link *link)
{
	struct ibv_qp_attr attr = {.qp_state = IBV_QPS_ERR};

	/* Fails when the queue pair has ended by itself. */
	(void)link->hub->ops->modify_qp(link->qp, &attr, IBV_QP_STATE);
}

void link_fail(struct link *link, const char *format, ...)
{
	va_list arguments;

	if (link->state == LINK_ENDED)
		return;
	count_end(link);
	va_start(arguments, format);
	vsnprintf(link->error, sizeof(link->error), format, arguments);
	va_end(arguments);
	/* So that who has posted something learns of the end. */
	if (link->qp)
		link_break(link);
	link_change(link, LINK_ENDED);
}

enum link_state link_state(const struct link *link)
{
	return link->state;
}

const char *link_error(const struct link *link)
{
	return link->error;
}

uint64_t link_peer_node(const struct link *link)
{
	return link->peer_node;
}

struct addr link_peer(const struct link *link)
{
	return link->peer;
}

bool link_is_accepted(const struct link *link)
{
	return link->accepted;
}

uint16_t link_shard(const struct link *link)
{
	return link->shard;
}

uint32_t link_reads_max(const struct link *link)
{
	return link->reads_max;
}

struct ibv_qp *link_qp(struct link *link)
{
	return link->qp;
}

struct device *link_device(struct link *link)
{
	return link->hub->device;
}

void link_proof(const struct link *link, uint8_t ret_proof[LINK_PROOF_SIZE])
{
	CHECK(link->state == LINK_READY);
	memcpy(ret_proof, link->proof, LINK_PROOF_SIZE);
}

void link_set_context(struct link *link, void *context)
{
	link->context = context;
}

void *link_context(const struct link *link)
{
	return link->context;
}

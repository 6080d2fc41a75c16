/* SPDX-License-Identifier: Apache-2.0 */
#include "base/defs.h"
#include "tests/lib/fake_verbs_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define QP_NUM_FIRST 17

static bool chance(unsigned thousandths)
{
	return thousandths > 0 && rand_below(&fake_world.rand, 1000) < thousandths;
}

static struct fake_qp *qp_of(struct ibv_qp *base)
{
	return CONTAINER_OF(base, struct fake_qp, base);
}

static struct fake_cq *cq_of(struct ibv_cq *base)
{
	return CONTAINER_OF(base, struct fake_cq, base);
}

static unsigned *context_children(struct ibv_context *base)
{
	return &CONTAINER_OF(base, struct fake_context, base)->children;
}

/*
 * Completion queues
 */

static struct ibv_comp_channel *create_comp_channel(struct ibv_context *context)
{
	struct fake_channel *channel;

	if (fake_fails())
		return NULL;
	channel = fake_make(sizeof(*channel));
	channel->base.context = context;
	channel->base.fd = fake_fd_make();
	(*context_children(context))++;
	return &channel->base;
}

static int destroy_comp_channel(struct ibv_comp_channel *base)
{
	struct fake_channel *channel = CONTAINER_OF(base, struct fake_channel, base);

	if (channel->children > 0)
		return EBUSY;
	close(base->fd);
	(*context_children(base->context))--;
	fake_unmake(channel);
	return 0;
}

static struct ibv_cq *create_cq(struct ibv_context *context, int cqe, void *cq_context,
				struct ibv_comp_channel *channel, int vector)
{
	struct fake_cq *cq;

	(void)vector;
	if (cqe < 1) {
		errno = EINVAL;
		return NULL;
	}
	if (fake_fails())
		return NULL;
	cq = fake_make(sizeof(*cq));
	cq->base.context = context;
	cq->base.channel = channel;
	cq->base.cq_context = cq_context;
	cq->base.cqe = cqe;
	cq->ring = fake_make((size_t)cqe * sizeof(*cq->ring));
	cq->next = fake_world.cqs;
	fake_world.cqs = cq;
	(*context_children(context))++;
	if (channel) {
		struct fake_channel *owner = CONTAINER_OF(channel, struct fake_channel, base);

		FAKE_REQUIRE(!owner->cq);
		owner->cq = &cq->base;
		owner->children++;
	}
	return &cq->base;
}

static int destroy_cq(struct ibv_cq *base)
{
	struct fake_cq *cq = cq_of(base);
	struct fake_cq **place = &fake_world.cqs;

	if (cq->children > 0)
		return EBUSY;
	FAKE_REQUIRE(cq->unacked == 0);
	while (*place != cq)
		place = &(*place)->next;
	*place = cq->next;
	if (base->channel) {
		struct fake_channel *owner = CONTAINER_OF(base->channel, struct fake_channel, base);

		owner->cq = NULL;
		owner->children--;
	}
	(*context_children(base->context))--;
	fake_unmake(cq->ring);
	fake_unmake(cq);
	return 0;
}

static void complete(struct ibv_cq *base, const struct ibv_wc *wc, uint64_t send_number)
{
	struct fake_cq *cq = cq_of(base);

	FAKE_REQUIRE(cq->count < (unsigned)base->cqe);
	cq->ring[(cq->head + cq->count++) % (unsigned)base->cqe] =
		(struct fake_completion){.wc = *wc, .send_number = send_number};
	if (cq->armed && base->channel) {
		struct fake_channel *channel =
			CONTAINER_OF(base->channel, struct fake_channel, base);

		cq->armed = false;
		channel->pending++;
		fake_fd_set(base->channel->fd, true);
	}
}

static int poll_cq(struct ibv_cq *base, int count, struct ibv_wc *completions)
{
	struct fake_cq *cq = cq_of(base);
	int taken = 0;

	fake_run();
	for (; taken < count && cq->count > 0; taken++) {
		const struct fake_completion *completion = &cq->ring[cq->head];
		struct fake_qp *qp = fake_qp_find(completion->wc.qp_num);

		if (qp && completion->send_number > qp->retired &&
		    completion->send_number <= qp->posted)
			qp->retired = completion->send_number;
		completions[taken] = completion->wc;
		cq->head = (cq->head + 1) % (unsigned)base->cqe;
		cq->count--;
	}
	return taken;
}

static int req_notify_cq(struct ibv_cq *base, int solicited_only)
{
	(void)solicited_only;
	cq_of(base)->armed = true;
	fake_run();
	return 0;
}

static int get_cq_event(struct ibv_comp_channel *base, struct ibv_cq **cq, void **cq_context)
{
	struct fake_channel *channel = CONTAINER_OF(base, struct fake_channel, base);

	if (channel->pending == 0) {
		/* A real one would wait for ever. */
		FAKE_REQUIRE(fcntl(base->fd, F_GETFL) & O_NONBLOCK);
		errno = EAGAIN;
		return -1;
	}
	if (--channel->pending == 0)
		fake_fd_set(base->fd, false);
	*cq = channel->cq;
	*cq_context = channel->cq->cq_context;
	cq_of(channel->cq)->unacked++;
	return 0;
}

static void ack_cq_events(struct ibv_cq *base, unsigned count)
{
	FAKE_REQUIRE(count <= cq_of(base)->unacked);
	cq_of(base)->unacked -= count;
}

/*
 * Receives
 */

static void recv_queue_make(struct fake_recv_queue *queue, unsigned max, unsigned sge_max)
{
	queue->ring = fake_make((size_t)MAX(max, 1U) * sizeof(*queue->ring));
	queue->max = max;
	queue->sge_max = sge_max;
}

static int recv_queue_post(struct fake_recv_queue *queue, struct ibv_recv_wr *wr,
			   struct ibv_recv_wr **bad)
{
	for (; wr; wr = wr->next) {
		struct fake_recv *place;

		*bad = wr;
		if ((unsigned)wr->num_sge > queue->sge_max || wr->num_sge > FAKE_SGE_MAX)
			return EINVAL;
		if (queue->count == queue->max)
			return ENOMEM;
		place = &queue->ring[(queue->head + queue->count++) % queue->max];
		place->wr_id = wr->wr_id;
		place->sge_count = (unsigned)wr->num_sge;
		memcpy(place->sges, wr->sg_list, place->sge_count * sizeof(*place->sges));
	}
	return 0;
}

static struct fake_recv recv_queue_take(struct fake_recv_queue *queue)
{
	struct fake_recv *first = &queue->ring[queue->head];

	queue->head = (queue->head + 1) % queue->max;
	queue->count--;
	return *first;
}

static struct ibv_srq *create_srq(struct ibv_pd *pd, struct ibv_srq_init_attr *attr)
{
	struct fake_srq *srq;

	if (fake_fails())
		return NULL;
	srq = fake_make(sizeof(*srq));
	srq->base.context = pd->context;
	srq->base.pd = pd;
	srq->base.srq_context = attr->srq_context;
	recv_queue_make(&srq->queue, attr->attr.max_wr, attr->attr.max_sge);
	CONTAINER_OF(pd, struct fake_pd, base)->children++;
	return &srq->base;
}

static int destroy_srq(struct ibv_srq *base)
{
	struct fake_srq *srq = CONTAINER_OF(base, struct fake_srq, base);

	if (srq->children > 0)
		return EBUSY;
	CONTAINER_OF(base->pd, struct fake_pd, base)->children--;
	fake_unmake(srq->queue.ring);
	fake_unmake(srq);
	return 0;
}

static int post_srq_recv(struct ibv_srq *base, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
	*bad = wr;
	if (fake_fails())
		return ENOMEM;
	return recv_queue_post(&CONTAINER_OF(base, struct fake_srq, base)->queue, wr, bad);
}

static int post_recv(struct ibv_qp *base, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
	struct fake_qp *qp = qp_of(base);

	*bad = wr;
	if (base->srq || qp->state == IBV_QPS_RESET)
		return EINVAL;
	if (fake_fails())
		return ENOMEM;
	if (qp->state == IBV_QPS_ERR) {
		struct ibv_wc wc = {
			.wr_id = wr->wr_id, .status = IBV_WC_WR_FLUSH_ERR, .qp_num = base->qp_num};

		complete(base->recv_cq, &wc, 0);
		return 0;
	}
	return recv_queue_post(&qp->recvs, wr, bad);
}

/*
 * Queue pairs
 */

struct fake_qp *fake_qp_find(uint32_t qp_num)
{
	struct fake_qp *qp = fake_world.qps;

	while (qp && qp->base.qp_num != qp_num)
		qp = qp->next;
	return qp;
}

static struct ibv_qp *create_qp(struct ibv_pd *pd, struct ibv_qp_init_attr *attr)
{
	struct fake_qp *qp;
	uint32_t number = QP_NUM_FIRST;

	if (attr->qp_type != IBV_QPT_RC || attr->cap.max_send_wr > 16384 ||
	    attr->cap.max_send_sge > FAKE_SGE_MAX || attr->cap.max_inline_data > 0) {
		errno = EINVAL;
		return NULL;
	}
	if (fake_fails())
		return NULL;
	while (fake_qp_find(number))
		number++;
	qp = fake_make(sizeof(*qp));
	qp->base = (struct ibv_qp){.context = pd->context,
				   .qp_context = attr->qp_context,
				   .pd = pd,
				   .send_cq = attr->send_cq,
				   .recv_cq = attr->recv_cq,
				   .srq = attr->srq,
				   .qp_num = number,
				   .qp_type = attr->qp_type};
	qp->init = *attr;
	qp->state = IBV_QPS_RESET;
	qp->ring = fake_make((size_t)MAX(attr->cap.max_send_wr, 1U) * sizeof(*qp->ring));
	recv_queue_make(&qp->recvs, attr->cap.max_recv_wr, attr->cap.max_recv_sge);
	qp->next = fake_world.qps;
	fake_world.qps = qp;
	CONTAINER_OF(pd, struct fake_pd, base)->children++;
	cq_of(attr->send_cq)->children++;
	cq_of(attr->recv_cq)->children++;
	if (attr->srq)
		CONTAINER_OF(attr->srq, struct fake_srq, base)->children++;
	return &qp->base;
}

static int destroy_qp(struct ibv_qp *base)
{
	struct fake_qp *qp = qp_of(base);
	struct fake_qp **place = &fake_world.qps;

	if (qp->windows > 0)
		return EBUSY;
	while (*place != qp)
		place = &(*place)->next;
	*place = qp->next;
	CONTAINER_OF(base->pd, struct fake_pd, base)->children--;
	cq_of(base->send_cq)->children--;
	cq_of(base->recv_cq)->children--;
	if (base->srq)
		CONTAINER_OF(base->srq, struct fake_srq, base)->children--;
	fake_unmake(qp->ring);
	fake_unmake(qp->recvs.ring);
	fake_unmake(qp);
	return 0;
}

static bool step_allowed(enum ibv_qp_state from, enum ibv_qp_state to)
{
	if (to == IBV_QPS_ERR || to == IBV_QPS_RESET)
		return true;
	return (from == IBV_QPS_RESET && to == IBV_QPS_INIT) ||
	       (from == IBV_QPS_INIT && (to == IBV_QPS_INIT || to == IBV_QPS_RTR)) ||
	       (from == IBV_QPS_RTR && to == IBV_QPS_RTS) ||
	       (from == IBV_QPS_RTS && to == IBV_QPS_RTS);
}

static int modify_qp(struct ibv_qp *base, struct ibv_qp_attr *attr, int mask)
{
	struct fake_qp *qp = qp_of(base);
	enum ibv_qp_state to = mask & IBV_QP_STATE ? attr->qp_state : qp->state;

	if (!step_allowed(qp->state, to) || (qp->state == IBV_QPS_ERR && mask != IBV_QP_STATE))
		return EINVAL;
	/* What leads to the end can't fail, or nothing could be tidied up. */
	if (to == IBV_QPS_ERR) {
		fake_qp_break(qp);
		return 0;
	}
	if (fake_fails())
		return ENOMEM;
	if (mask & IBV_QP_ACCESS_FLAGS)
		qp->access = attr->qp_access_flags;
	if (mask & IBV_QP_DEST_QPN)
		qp->dest_qp_num = attr->dest_qp_num;
	if (mask & IBV_QP_MAX_DEST_RD_ATOMIC)
		qp->reads_in = attr->max_dest_rd_atomic;
	if (mask & IBV_QP_MAX_QP_RD_ATOMIC)
		qp->reads_out = attr->max_rd_atomic;
	qp->state = to;
	base->state = to;
	return 0;
}

static int query_qp(struct ibv_qp *base, struct ibv_qp_attr *attr, int mask,
		    struct ibv_qp_init_attr *init)
{
	const struct fake_qp *qp = qp_of(base);

	(void)mask;
	if (fake_fails())
		return ENOMEM;
	memset(attr, 0, sizeof(*attr));
	attr->qp_state = qp->state;
	attr->qp_access_flags = qp->access;
	attr->dest_qp_num = qp->dest_qp_num;
	attr->max_rd_atomic = qp->reads_out;
	attr->max_dest_rd_atomic = qp->reads_in;
	*init = qp->init;
	return 0;
}

static enum ibv_wc_opcode wc_opcode(enum ibv_wr_opcode opcode)
{
	switch (opcode) {
	case IBV_WR_RDMA_READ:
		return IBV_WC_RDMA_READ;
	case IBV_WR_BIND_MW:
		return IBV_WC_BIND_MW;
	case IBV_WR_LOCAL_INV:
		return IBV_WC_LOCAL_INV;
	default:
		return IBV_WC_SEND;
	}
}

/* Takes the first request out, and completes it when that was asked for, or when it failed. */
static void complete_send(struct fake_qp *qp, enum ibv_wc_status status)
{
	const struct fake_send *send = &qp->ring[qp->head];
	bool ours = status == IBV_WC_SUCCESS;
	struct ibv_wc wc = {
		.wr_id = send->wr.wr_id,
		.status = status,
		.opcode = wc_opcode(send->wr.opcode),
		.qp_num = qp->base.qp_num,
	};

	qp->head = (qp->head + 1) % qp->init.cap.max_send_wr;
	qp->count--;
	qp->delayed_front = false;
	if (ours && !(send->wr.send_flags & IBV_SEND_SIGNALED) && !qp->init.sq_sig_all)
		return;
	if (ours && chance(fake_world.faults.drop))
		return;
	complete(qp->base.send_cq, &wc, send->number);
	if (ours && chance(fake_world.faults.duplicate) &&
	    cq_of(qp->base.send_cq)->count < (unsigned)qp->base.send_cq->cqe)
		complete(qp->base.send_cq, &wc, send->number);
}

static void event_of_qp(struct fake_qp *qp, enum ibv_event_type type)
{
	fake_async_push(CONTAINER_OF(qp->base.context, struct fake_context, base),
			(struct ibv_async_event){.event_type = type, .element.qp = &qp->base});
}

void fake_qp_break(struct fake_qp *qp)
{
	if (qp->state == IBV_QPS_ERR)
		return;
	qp->state = IBV_QPS_ERR;
	qp->base.state = IBV_QPS_ERR;
	while (qp->count > 0)
		complete_send(qp, IBV_WC_WR_FLUSH_ERR);
	while (qp->recvs.count > 0) {
		struct fake_recv recv = recv_queue_take(&qp->recvs);
		struct ibv_wc wc = {.wr_id = recv.wr_id,
				    .status = IBV_WC_WR_FLUSH_ERR,
				    .qp_num = qp->base.qp_num};

		complete(qp->base.recv_cq, &wc, 0);
	}
}

static int post_one(struct fake_qp *qp, const struct ibv_send_wr *wr)
{
	struct fake_send *place;

	if ((unsigned)wr->num_sge > qp->init.cap.max_send_sge || wr->send_flags & IBV_SEND_INLINE)
		return EINVAL;
	if (qp->posted - qp->retired == qp->init.cap.max_send_wr)
		return ENOMEM;
	qp->posted++;
	place = &qp->ring[(qp->head + qp->count++) % qp->init.cap.max_send_wr];
	place->wr = *wr;
	place->number = qp->posted;
	if (wr->num_sge > 0)
		memcpy(place->sges, wr->sg_list, (unsigned)wr->num_sge * sizeof(*place->sges));
	if (qp->state == IBV_QPS_ERR)
		complete_send(qp, IBV_WC_WR_FLUSH_ERR);
	return 0;
}

static int post_send(struct ibv_qp *base, struct ibv_send_wr *wr, struct ibv_send_wr **bad)
{
	struct fake_qp *qp = qp_of(base);

	*bad = wr;
	if (qp->state != IBV_QPS_RTS && qp->state != IBV_QPS_ERR)
		return EINVAL;
	if (fake_fails())
		return ENOMEM;
	for (; wr; wr = wr->next) {
		int status = post_one(qp, wr);

		*bad = wr;
		if (status)
			return status;
	}
	return 0;
}

/*
 * Carrying out
 */

static uint64_t sges_size(const struct ibv_sge *sges, unsigned count)
{
	uint64_t size = 0;

	for (unsigned i = 0; i < count; i++)
		size += sges[i].length;
	return size;
}

/* Spreads 'size' bytes over pieces; false when a key doesn't allow it. */
static bool scatter(const struct ibv_pd *pd, const struct ibv_sge *sges, unsigned count,
		    const uint8_t *from, uint64_t size)
{
	for (unsigned i = 0; i < count && size > 0; i++) {
		uint8_t *to = fake_local(pd, &sges[i], IBV_ACCESS_LOCAL_WRITE);
		uint64_t part = MIN(size, sges[i].length);

		if (!to)
			return false;
		memcpy(to, from, part);
		from += part;
		size -= part;
	}
	return true;
}

/* The other end, when it can take requests. */
static struct fake_qp *peer_of(const struct fake_qp *qp)
{
	struct fake_qp *peer = fake_qp_find(qp->dest_qp_num);

	if (!peer || peer->dest_qp_num != qp->base.qp_num ||
	    (peer->state != IBV_QPS_RTR && peer->state != IBV_QPS_RTS))
		return NULL;
	return peer;
}

static enum ibv_wc_status run_read(struct fake_qp *qp, const struct fake_send *send)
{
	struct fake_qp *peer = peer_of(qp);
	unsigned count = (unsigned)send->wr.num_sge;
	uint64_t size = sges_size(send->sges, count);
	const uint8_t *from;

	if (!peer)
		return IBV_WC_RETRY_EXC_ERR;
	if (!(peer->access & IBV_ACCESS_REMOTE_READ) || peer->reads_in == 0) {
		event_of_qp(peer, IBV_EVENT_QP_REQ_ERR);
		fake_qp_break(peer);
		return IBV_WC_REM_INV_REQ_ERR;
	}
	from = fake_remote(peer, send->wr.wr.rdma.remote_addr, size, send->wr.wr.rdma.rkey);
	if (!from) {
		event_of_qp(peer, IBV_EVENT_QP_ACCESS_ERR);
		fake_qp_break(peer);
		return IBV_WC_REM_ACCESS_ERR;
	}
	if (!scatter(qp->base.pd, send->sges, count, from, size))
		return IBV_WC_LOC_PROT_ERR;
	return IBV_WC_SUCCESS;
}

/* Brings together what a SEND names; false when a key doesn't allow it. */
static bool gather(const struct ibv_pd *pd, const struct fake_send *send, uint8_t *to)
{
	for (int i = 0; i < send->wr.num_sge; i++) {
		const uint8_t *from = fake_local(pd, &send->sges[i], 0);

		if (!from)
			return false;
		memcpy(to, from, send->sges[i].length);
		to += send->sges[i].length;
	}
	return true;
}

static enum ibv_wc_status deliver(struct fake_qp *peer, const struct fake_send *send,
				  const uint8_t *bytes, uint64_t size)
{
	struct ibv_srq *srq = peer->base.srq;
	struct fake_recv recv = recv_queue_take(
		srq ? &CONTAINER_OF(srq, struct fake_srq, base)->queue : &peer->recvs);
	bool has_imm = send->wr.opcode == IBV_WR_SEND_WITH_IMM;
	struct ibv_wc wc = {
		.wr_id = recv.wr_id,
		.opcode = IBV_WC_RECV,
		.byte_len = (uint32_t)size,
		.qp_num = peer->base.qp_num,
		.src_qp = send->wr.opcode == IBV_WR_SEND ? peer->dest_qp_num : 0,
		.wc_flags = has_imm ? IBV_WC_WITH_IMM : 0,
		.imm_data = has_imm ? send->wr.imm_data : 0,
	};

	if (sges_size(recv.sges, recv.sge_count) < size)
		wc.status = IBV_WC_LOC_LEN_ERR;
	else if (!scatter(peer->base.pd, recv.sges, recv.sge_count, bytes, size))
		wc.status = IBV_WC_LOC_PROT_ERR;
	complete(peer->base.recv_cq, &wc, 0);
	if (wc.status == IBV_WC_SUCCESS)
		return IBV_WC_SUCCESS;
	fake_qp_break(peer);
	return wc.status == IBV_WC_LOC_LEN_ERR ? IBV_WC_REM_INV_REQ_ERR : IBV_WC_REM_OP_ERR;
}

/* Is there a receive for the next SEND? Without one it waits: RNR, retried for ever. */
static bool has_receive(const struct fake_qp *peer)
{
	unsigned count = peer->base.srq
				 ? CONTAINER_OF(peer->base.srq, struct fake_srq, base)->queue.count
				 : peer->recvs.count;

	fake_world.not_ready += count == 0;
	return count > 0;
}

static enum ibv_wc_status run_send(struct fake_qp *qp, const struct fake_send *send)
{
	uint64_t size = sges_size(send->sges, (unsigned)send->wr.num_sge);
	uint8_t *bytes = fake_make(MAX(size, UINT8_MAX));
	struct fake_qp *peer = peer_of(qp);
	enum ibv_wc_status status = IBV_WC_LOC_PROT_ERR;
	fake_verbs_mangle_fn mangle = fake_world.mangle_send;

	if (gather(qp->base.pd, send, bytes)) {
		fake_world.mangle_send = NULL;
		if (mangle && size <= UINT8_MAX)
			size = mangle(fake_world.mangle_send_context, bytes, (uint8_t)size);
		status = deliver(peer, send, bytes, size);
	}
	fake_unmake(bytes);
	return status;
}

/* Does the first request stay where it is at this look? */
static bool waits(struct fake_qp *qp)
{
	const struct fake_verbs_faults *faults = &fake_world.faults;
	enum ibv_wr_opcode opcode = qp->ring[qp->head].wr.opcode;
	bool local = opcode == IBV_WR_BIND_MW || opcode == IBV_WR_LOCAL_INV;
	struct fake_qp *peer = peer_of(qp);

	if (fake_world.cut && !local)
		return true;
	if (!qp->delayed_front && chance(faults->delay)) {
		qp->delay =
			1 + (unsigned)rand_below(&fake_world.rand, MAX(faults->delay_polls, 1U));
		qp->delayed_front = true;
	}
	if (qp->delay > 0) {
		qp->delay--;
		return true;
	}
	return (opcode == IBV_WR_SEND || opcode == IBV_WR_SEND_WITH_IMM) && peer &&
	       !has_receive(peer);
}

static enum ibv_wc_status run_one(struct fake_qp *qp)
{
	const struct fake_send *send = &qp->ring[qp->head];
	enum ibv_wc_status status = fake_world.faults.status;

	if (chance(fake_world.faults.error))
		return status == IBV_WC_SUCCESS ? IBV_WC_RETRY_EXC_ERR : status;
	switch (send->wr.opcode) {
	case IBV_WR_RDMA_READ:
		return run_read(qp, send);
	case IBV_WR_SEND:
	case IBV_WR_SEND_WITH_IMM:
		return peer_of(qp) ? run_send(qp, send) : IBV_WC_RETRY_EXC_ERR;
	case IBV_WR_BIND_MW:
		return fake_bind(qp, &send->wr);
	case IBV_WR_LOCAL_INV:
		return fake_invalidate(qp, send->wr.invalidate_rkey);
	default:
		return IBV_WC_LOC_QP_OP_ERR;
	}
}

void fake_run(void)
{
	for (struct fake_qp *qp = fake_world.qps; qp; qp = qp->next) {
		while (qp->count > 0 && qp->state == IBV_QPS_RTS && !waits(qp)) {
			enum ibv_wc_status status = run_one(qp);

			complete_send(qp, status);
			if (status != IBV_WC_SUCCESS)
				fake_qp_break(qp);
		}
	}
}

void fake_queue_ops(struct verbs_ops *ops)
{
	ops->create_comp_channel = create_comp_channel;
	ops->destroy_comp_channel = destroy_comp_channel;
	ops->create_cq = create_cq;
	ops->destroy_cq = destroy_cq;
	ops->poll_cq = poll_cq;
	ops->req_notify_cq = req_notify_cq;
	ops->get_cq_event = get_cq_event;
	ops->ack_cq_events = ack_cq_events;
	ops->create_srq = create_srq;
	ops->destroy_srq = destroy_srq;
	ops->post_srq_recv = post_srq_recv;
	ops->create_qp = create_qp;
	ops->destroy_qp = destroy_qp;
	ops->modify_qp = modify_qp;
	ops->query_qp = query_qp;
	ops->post_send = post_send;
	ops->post_recv = post_recv;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/verbs_ops.h"

/* What the headers have as macros or inline functions, whose address can't be taken as it is. */

static int real_query_port(struct ibv_context *context, uint8_t port, struct ibv_port_attr *attr)
{
	return ibv_query_port(context, port, attr);
}

static int real_query_gid_ex(struct ibv_context *context, uint32_t port, uint32_t index,
			     struct ibv_gid_entry *entry, uint32_t flags)
{
	return ibv_query_gid_ex(context, port, index, entry, flags);
}

/* The macro looks into 'access' at compile time where it can; it can't here. */
static struct ibv_mr *real_reg_mr(struct ibv_pd *pd, void *start, size_t size, int access)
{
	return ibv_reg_mr(pd, start, size, access);
}

static struct ibv_mw *real_alloc_mw(struct ibv_pd *pd, enum ibv_mw_type type)
{
	return ibv_alloc_mw(pd, type);
}

static int real_dealloc_mw(struct ibv_mw *mw)
{
	return ibv_dealloc_mw(mw);
}

static int real_poll_cq(struct ibv_cq *cq, int count, struct ibv_wc *completions)
{
	return ibv_poll_cq(cq, count, completions);
}

static int real_req_notify_cq(struct ibv_cq *cq, int solicited_only)
{
	return ibv_req_notify_cq(cq, solicited_only);
}

static int real_post_srq_recv(struct ibv_srq *srq, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
	return ibv_post_srq_recv(srq, wr, bad);
}

static int real_post_send(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad)
{
	return ibv_post_send(qp, wr, bad);
}

static int real_post_recv(struct ibv_qp *qp, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
	return ibv_post_recv(qp, wr, bad);
}

const struct verbs_ops *real_verbs_ops(void)
{
	static const struct verbs_ops real = {
		.get_device_list = ibv_get_device_list,
		.free_device_list = ibv_free_device_list,
		.get_device_name = ibv_get_device_name,
		.open_device = ibv_open_device,
		.close_device = ibv_close_device,
		.query_device = ibv_query_device,
		.query_port = real_query_port,
		.query_gid_ex = real_query_gid_ex,
		.get_async_event = ibv_get_async_event,
		.ack_async_event = ibv_ack_async_event,

		.alloc_pd = ibv_alloc_pd,
		.dealloc_pd = ibv_dealloc_pd,
		.reg_mr = real_reg_mr,
		.dereg_mr = ibv_dereg_mr,
		.alloc_mw = real_alloc_mw,
		.dealloc_mw = real_dealloc_mw,

		.create_comp_channel = ibv_create_comp_channel,
		.destroy_comp_channel = ibv_destroy_comp_channel,
		.create_cq = ibv_create_cq,
		.destroy_cq = ibv_destroy_cq,
		.poll_cq = real_poll_cq,
		.req_notify_cq = real_req_notify_cq,
		.get_cq_event = ibv_get_cq_event,
		.ack_cq_events = ibv_ack_cq_events,

		.create_srq = ibv_create_srq,
		.destroy_srq = ibv_destroy_srq,
		.post_srq_recv = real_post_srq_recv,
		.create_qp = ibv_create_qp,
		.destroy_qp = ibv_destroy_qp,
		.modify_qp = ibv_modify_qp,
		.query_qp = ibv_query_qp,
		.post_send = real_post_send,
		.post_recv = real_post_recv,

		.create_event_channel = rdma_create_event_channel,
		.destroy_event_channel = rdma_destroy_event_channel,
		.create_id = rdma_create_id,
		.destroy_id = rdma_destroy_id,
		.bind_addr = rdma_bind_addr,
		.listen = rdma_listen,
		.get_src_port = rdma_get_src_port,
		.resolve_addr = rdma_resolve_addr,
		.resolve_route = rdma_resolve_route,
		.init_qp_attr = rdma_init_qp_attr,
		.connect = rdma_connect,
		.establish = rdma_establish,
		.accept = rdma_accept,
		.reject = rdma_reject,
		.disconnect = rdma_disconnect,
		.get_cm_event = rdma_get_cm_event,
		.ack_cm_event = rdma_ack_cm_event,
	};

	return &real;
}

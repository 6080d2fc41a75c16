/* SPDX-License-Identifier: Apache-2.0 */
#include "base/defs.h"
#include "tests/lib/fake_verbs_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

/* Sizes to which messages pad private data, and the reasons of a REJ message. */
#define REQUEST_DATA_SIZE 56
#define ANSWER_DATA_SIZE  196
#define REJECT_DATA_SIZE  148
#define REJ_NOBODY        8
#define REJ_CONSUMER      28

static struct fake_id *id_of(struct rdma_cm_id *base)
{
	return CONTAINER_OF(base, struct fake_id, base);
}

static struct fake_event_channel *channel_of(struct rdma_event_channel *base)
{
	return CONTAINER_OF(base, struct fake_event_channel, base);
}

static int fails(void)
{
	return fake_fails() ? -1 : 0;
}

static int invalid(void)
{
	errno = EINVAL;
	return -1;
}

/*
 * Events
 */

static struct rdma_event_channel *create_event_channel(void)
{
	struct fake_event_channel *channel;

	if (fake_fails())
		return NULL;
	channel = fake_make(sizeof(*channel));
	channel->base.fd = fake_fd_make();
	return &channel->base;
}

static void destroy_event_channel(struct rdma_event_channel *base)
{
	struct fake_event_channel *channel = channel_of(base);

	FAKE_REQUIRE(channel->ids == 0);
	FAKE_REQUIRE(!channel->events);
	close(base->fd);
	fake_unmake(channel);
}

static struct fake_event *push(struct fake_id *id, enum rdma_cm_event_type type, int status)
{
	struct fake_event_channel *channel = channel_of(id->base.channel);
	struct fake_event *event = fake_make(sizeof(*event));
	struct fake_event **place = &channel->events;

	event->event.id = &id->base;
	event->event.event = type;
	event->event.status = status;
	while (*place)
		place = &(*place)->next;
	*place = event;
	fake_fd_set(channel->base.fd, true);
	return event;
}

/* Padded with zeros, as InfiniBand's messages are. */
static void set_data(struct fake_event *event, const void *bytes, uint8_t size, uint8_t padded)
{
	memcpy(event->bytes, bytes, size);
	if (fake_world.mangle) {
		fake_verbs_mangle_fn mangle = fake_world.mangle;

		fake_world.mangle = NULL;
		padded = mangle(fake_world.mangle_context, event->bytes, size);
	}
	event->event.param.conn.private_data = padded ? event->bytes : NULL;
	event->event.param.conn.private_data_len = padded;
}

static int get_cm_event(struct rdma_event_channel *base, struct rdma_cm_event **event)
{
	struct fake_event_channel *channel = channel_of(base);
	struct fake_event *first = channel->events;

	fake_run();
	if (!first) {
		errno = EAGAIN;
		return -1;
	}
	channel->events = first->next;
	if (!channel->events)
		fake_fd_set(base->fd, false);
	id_of(first->event.listen_id ? first->event.listen_id : first->event.id)->unacked++;
	*event = &first->event;
	return 0;
}

static int ack_cm_event(struct rdma_cm_event *base)
{
	struct fake_event *event = CONTAINER_OF(base, struct fake_event, event);

	id_of(base->listen_id ? base->listen_id : base->id)->unacked--;
	fake_unmake(event);
	return 0;
}

/*
 * Ids
 */

static struct fake_id *new_id(struct rdma_event_channel *channel, void *context,
			      enum rdma_port_space space)
{
	struct fake_id *id = fake_make(sizeof(*id));

	id->base.channel = channel;
	id->base.context = context;
	id->base.ps = space;
	id->base.qp_type = IBV_QPT_RC;
	id->next = fake_world.ids;
	fake_world.ids = id;
	channel_of(channel)->ids++;
	return id;
}

static int create_id(struct rdma_event_channel *channel, struct rdma_cm_id **id, void *context,
		     enum rdma_port_space space)
{
	if (fake_fails())
		return -1;
	*id = &new_id(channel, context, space)->base;
	return 0;
}

/* Tells the other end, in the way that suits how far they had come. */
static void part(struct fake_id *id, const void *bytes, uint8_t size)
{
	struct fake_id *peer = id->peer;

	if (peer && !fake_world.cut) {
		if (peer->state == FAKE_ID_CONNECTED && id->state == FAKE_ID_CONNECTED)
			push(peer, RDMA_CM_EVENT_DISCONNECTED, 0);
		else if (peer->state == FAKE_ID_ASKING || peer->state == FAKE_ID_CONNECTED)
			set_data(push(peer, RDMA_CM_EVENT_REJECTED, REJ_CONSUMER), bytes, size,
				 REJECT_DATA_SIZE);
		peer->state = FAKE_ID_OVER;
	}
	if (peer)
		peer->peer = NULL;
	id->peer = NULL;
	id->state = FAKE_ID_OVER;
}

static void drop_events(struct fake_id *id)
{
	struct fake_event_channel *channel = channel_of(id->base.channel);
	struct fake_event **place = &channel->events;

	while (*place) {
		struct fake_event *event = *place;

		if (event->event.id != &id->base && event->event.listen_id != &id->base) {
			place = &event->next;
			continue;
		}
		*place = event->next;
		/* A request that nobody took: its id is the library's. */
		if (event->event.listen_id == &id->base) {
			struct fake_id *asked = id_of(event->event.id);
			struct fake_id **all = &fake_world.ids;

			part(asked, "", 0);
			while (*all != asked)
				all = &(*all)->next;
			*all = asked->next;
			channel->ids--;
			fake_unmake(asked);
		}
		fake_unmake(event);
	}
	if (!channel->events)
		fake_fd_set(channel->base.fd, false);
}

static int destroy_id(struct rdma_cm_id *base)
{
	struct fake_id *id = id_of(base);
	struct fake_id **place = &fake_world.ids;

	/* The library would wait for the acknowledgement. */
	FAKE_REQUIRE(id->unacked == 0);
	part(id, "", 0);
	drop_events(id);
	while (*place != id)
		place = &(*place)->next;
	*place = id->next;
	channel_of(base->channel)->ids--;
	fake_unmake(id);
	return 0;
}

/*
 * Addresses
 */

static uint32_t ip_of(const struct sockaddr *addr)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)addr;

	return addr->sa_family == AF_INET ? ntohl(v4->sin_addr.s_addr) : 0;
}

static uint16_t port_of(const struct sockaddr *addr)
{
	return ntohs(((const struct sockaddr_in *)addr)->sin_port);
}

/* The device of 10.77.0.x, or NULL. */
static struct fake_context *context_at(uint32_t ip)
{
	uint32_t index = ip - 0x0A4D0001;

	if (index >= fake_world.config.devices || fake_world.removed[index])
		return NULL;
	return &fake_world.cm_contexts[index];
}

static struct fake_id *listener_at(uint32_t ip, uint16_t port)
{
	for (struct fake_id *id = fake_world.ids; id; id = id->next)
		if (id->state == FAKE_ID_LISTENING &&
		    port_of(&id->base.route.addr.src_addr) == port &&
		    (id->bound_any || ip_of(&id->base.route.addr.src_addr) == ip))
			return id;
	return NULL;
}

static int bind_addr(struct rdma_cm_id *base, struct sockaddr *addr)
{
	struct fake_id *id = id_of(base);
	struct fake_context *context = context_at(ip_of(addr));
	struct sockaddr_in *bound = &base->route.addr.src_sin;

	if (fails())
		return -1;
	id->bound_any = addr->sa_family == AF_INET && ip_of(addr) == 0;
	if (!id->bound_any && !context) {
		errno = EADDRNOTAVAIL;
		return -1;
	}
	memcpy(bound, addr, sizeof(*bound));
	if (bound->sin_port == 0)
		bound->sin_port = htons(fake_world.next_port++);
	if (context)
		base->verbs = &context->base;
	return 0;
}

static int cm_listen(struct rdma_cm_id *base, int backlog)
{
	const struct sockaddr *addr = &base->route.addr.src_addr;

	(void)backlog;
	if (fails())
		return -1;
	if (listener_at(ip_of(addr), port_of(addr))) {
		errno = EADDRINUSE;
		return -1;
	}
	id_of(base)->state = FAKE_ID_LISTENING;
	return 0;
}

static uint16_t get_src_port(struct rdma_cm_id *base)
{
	return base->route.addr.src_sin.sin_port;
}

static int resolve_addr(struct rdma_cm_id *base, struct sockaddr *from, struct sockaddr *to,
			int timeout_ms)
{
	struct fake_id *id = id_of(base);
	struct fake_context *context = context_at(ip_of(to));

	(void)timeout_ms;
	if (fails())
		return -1;
	if ((ip_of(to) & 0xFFFFFF00) != 0x0A4D0000) {
		errno = ENETUNREACH;
		return -1;
	}
	memcpy(&base->route.addr.dst_sin, to, sizeof(struct sockaddr_in));
	if (fake_world.slow_addresses > 0) {
		fake_world.slow_addresses--;
		push(id, RDMA_CM_EVENT_ADDR_ERROR, -ETIMEDOUT);
		return 0;
	}
	if (!context) {
		push(id, RDMA_CM_EVENT_ADDR_ERROR, -EHOSTUNREACH);
		return 0;
	}
	/* From where it is asked to, else on the device that is to be reached, as with SoftRoCE. */
	if (from)
		context = context_at(ip_of(from));
	if (!context) {
		errno = EADDRNOTAVAIL;
		return -1;
	}
	base->verbs = &context->base;
	base->port_num = 1;
	memcpy(&base->route.addr.src_sin, from ? from : to, sizeof(struct sockaddr_in));
	base->route.addr.src_sin.sin_port = htons(fake_world.next_port++);
	push(id, RDMA_CM_EVENT_ADDR_RESOLVED, 0);
	return 0;
}

static int resolve_route(struct rdma_cm_id *base, int timeout_ms)
{
	(void)timeout_ms;
	if (fails())
		return -1;
	push(id_of(base), RDMA_CM_EVENT_ROUTE_RESOLVED, 0);
	return 0;
}

/*
 * Connections
 */

/* As the kernel does it: rights for remote writing and reading among them. */
static int init_qp_attr(struct rdma_cm_id *base, struct ibv_qp_attr *attr, int *mask)
{
	const struct fake_id *id = id_of(base);

	if (fails())
		return -1;
	switch (attr->qp_state) {
	case IBV_QPS_INIT:
		attr->qp_access_flags = IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ;
		attr->port_num = 1;
		*mask = IBV_QP_STATE | IBV_QP_ACCESS_FLAGS | IBV_QP_PKEY_INDEX | IBV_QP_PORT;
		return 0;
	case IBV_QPS_RTR:
		attr->dest_qp_num = id->peer_qp_num;
		attr->max_dest_rd_atomic = id->reads_in;
		attr->path_mtu = IBV_MTU_4096;
		*mask = IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN |
			IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER;
		return 0;
	case IBV_QPS_RTS:
		attr->max_rd_atomic = id->reads_out;
		attr->retry_cnt = 7;
		*mask = IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
			IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC;
		return 0;
	default:
		return invalid();
	}
}

static int cm_connect(struct rdma_cm_id *base, struct rdma_conn_param *param)
{
	struct fake_id *id = id_of(base);
	const struct sockaddr *to = &base->route.addr.dst_addr;
	struct fake_id *listener = listener_at(ip_of(to), port_of(to));
	struct fake_event *event;
	struct fake_id *asked;

	if (param->private_data_len > REQUEST_DATA_SIZE || param->responder_resources == 255 ||
	    param->initiator_depth == 255 || base->qp)
		return invalid();
	if (fails())
		return -1;
	id->state = FAKE_ID_ASKING;
	id->qp_num = param->qp_num;
	id->reads_in = param->responder_resources;
	id->reads_out = param->initiator_depth;
	if (fake_world.cut)
		return 0;
	if (!listener) {
		push(id, RDMA_CM_EVENT_REJECTED, REJ_NOBODY);
		return 0;
	}
	asked = new_id(listener->base.channel, listener->base.context, base->ps);
	asked->state = FAKE_ID_ASKED;
	asked->peer = id;
	id->peer = asked;
	asked->base.verbs = &context_at(ip_of(to))->base;
	asked->base.port_num = 1;
	asked->base.route.addr.dst_sin = base->route.addr.src_sin;
	asked->base.route.addr.src_sin = base->route.addr.dst_sin;
	asked->peer_qp_num = param->qp_num;
	asked->reads_in = param->initiator_depth;
	asked->reads_out = param->responder_resources;
	event = push(asked, RDMA_CM_EVENT_CONNECT_REQUEST, 0);
	event->event.listen_id = &listener->base;
	event->event.param.conn.responder_resources = param->initiator_depth;
	event->event.param.conn.initiator_depth = param->responder_resources;
	set_data(event, param->private_data, param->private_data_len, REQUEST_DATA_SIZE);
	return 0;
}

static int cm_accept(struct rdma_cm_id *base, struct rdma_conn_param *param)
{
	struct fake_id *id = id_of(base);
	struct fake_event *event;

	if (id->state != FAKE_ID_ASKED || param->private_data_len > ANSWER_DATA_SIZE)
		return invalid();
	if (fails())
		return -1;
	id->state = FAKE_ID_CONNECTED;
	if (!id->peer || fake_world.cut)
		return 0;
	id->peer->peer_qp_num = param->qp_num;
	id->peer->reads_in = MIN(id->peer->reads_in, param->initiator_depth);
	id->peer->reads_out = MIN(id->peer->reads_out, param->responder_resources);
	event = push(id->peer, RDMA_CM_EVENT_CONNECT_RESPONSE, 0);
	event->event.param.conn.responder_resources = id->peer->reads_in;
	event->event.param.conn.initiator_depth = id->peer->reads_out;
	set_data(event, param->private_data, param->private_data_len, ANSWER_DATA_SIZE);
	return 0;
}

static int cm_establish(struct rdma_cm_id *base)
{
	struct fake_id *id = id_of(base);

	if (id->state != FAKE_ID_ASKING && id->state != FAKE_ID_OVER)
		return invalid();
	if (fails())
		return -1;
	if (id->state == FAKE_ID_OVER)
		return 0;
	id->state = FAKE_ID_CONNECTED;
	if (id->peer && !fake_world.cut)
		push(id->peer, RDMA_CM_EVENT_ESTABLISHED, 0);
	return 0;
}

static int cm_reject(struct rdma_cm_id *base, const void *private_data, uint8_t size)
{
	if (size > REJECT_DATA_SIZE)
		return invalid();
	if (fails())
		return -1;
	part(id_of(base), private_data, size);
	return 0;
}

static int cm_disconnect(struct rdma_cm_id *base)
{
	struct fake_id *id = id_of(base);

	if (id->state != FAKE_ID_CONNECTED && id->state != FAKE_ID_OVER)
		return invalid();
	part(id, "", 0);
	return 0;
}

void fake_cm_remove(unsigned device)
{
	for (struct fake_id *id = fake_world.ids; id; id = id->next)
		if (id->base.verbs && fake_device_index(id->base.verbs->device) == device)
			push(id, RDMA_CM_EVENT_DEVICE_REMOVAL, 0);
}

void fake_cm_ops(struct verbs_ops *ops)
{
	ops->create_event_channel = create_event_channel;
	ops->destroy_event_channel = destroy_event_channel;
	ops->create_id = create_id;
	ops->destroy_id = destroy_id;
	ops->bind_addr = bind_addr;
	ops->listen = cm_listen;
	ops->get_src_port = get_src_port;
	ops->resolve_addr = resolve_addr;
	ops->resolve_route = resolve_route;
	ops->init_qp_attr = init_qp_attr;
	ops->connect = cm_connect;
	ops->establish = cm_establish;
	ops->accept = cm_accept;
	ops->reject = cm_reject;
	ops->disconnect = cm_disconnect;
	ops->get_cm_event = get_cm_event;
	ops->ack_cm_event = ack_cm_event;
}

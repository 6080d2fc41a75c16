/* SPDX-License-Identifier: Apache-2.0 */
#include "net/port_dpdk.h"

#include "base/check.h"
#include "base/rand.h"
#include "net/dpdk_device.h"
#include "net/dpdk_env.h"
#include "net/port_error.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_alarm.h>
#include <rte_mbuf.h>
#include <rte_prefetch.h>
#include <rte_ring.h>

/*
 * Who owns a packet buffer (mbuf):
 *
 *      device --rx burst--> core --own frame--> user --port_release()--> pool
 *                            |--other core's--> ring --> that core --> user
 *                            |--question--> reply in place --> 'out'
 *      pool --port_send()--> 'out' --flush--> device --sent--> pool
 *                             (or ring --> core with a send queue --> its 'out')
 *
 * What the first core has found out about a frame travels in the buffer's
 * private area, so the core that it is handed to reads no header again.
 */

/* Buffers collected for one transmit burst. */
#define OUT_COUNT (2 * PORT_BURST_MAX)

/* Buffers that wait between two cores; a power of two. */
#define RING_COUNT 1024

/* Receives between two looks at the clock, which costs as much as an empty receive. */
#define CLOCK_EVERY 64

#define BUFFER_COUNT_DEFAULT 4096
#define BUFFER_CACHE         256

/* How often a port whose memif server is gone looks for another one. */
#define RECONNECT_US 200000

/* Looks that a link is given to come up after a restart. */
#define RECONNECT_GRACE 5

/*
 * Who may touch the device, when a lost link is mended by DPDK's control thread:
 * nothing is allocated on a core, and none polls a device that is stopped.
 *
 *      IN_USE --control: link is down--> ASKED --core--> RESTED --control: restarted--> IN_USE
 */
enum device_state { DEVICE_IN_USE, DEVICE_ASKED, DEVICE_RESTED };

/* In the private area of a buffer that goes from core to core. */
struct tag {
	struct ether_frame frame;
	bool teaches; /* ARP or neighbour discovery to learn from, instead of a frame */
};

struct dpdk_port;

struct dpdk_queue {
	struct port_queue queue;
	struct dpdk_port *port;
	uint32_t index;
	bool entered;      /* is the core's thread known to DPDK? */
	bool receives;     /* owns the device's receive queue of its index */
	bool sends;        /* owns the device's send queue of its index */
	bool blocked;      /* the device didn't take all of 'out' */
	unsigned restarts; /* of the device, as last seen */
	bool rests;        /* the device is the control thread's at this time */
	unsigned turn;     /* counts receives */
	unsigned offload;
	uint64_t now_ns; /* as of one of the last CLOCK_EVERY receives */
	struct rte_mempool *pool;
	struct rte_mbuf *out[OUT_COUNT];
	unsigned out_count;

	/* From the cores with receive queues; [i] of core i. NULL for itself. */
	struct rte_ring *handed[PORT_QUEUE_MAX];
	/* To the core that sends for this one, or NULL. */
	struct rte_ring *to_send;
	/* From cores that this one sends for. */
	struct rte_ring *from_others[PORT_QUEUE_MAX];
	unsigned from_others_count;

	struct ether ether;
};

struct dpdk_port {
	struct port port;
	struct dpdk_device device;
	/*
	 * Release stores pair with acquire loads at the other side: what one did to the
	 * device is seen by the other before it goes on.
	 */
	_Atomic(enum device_state) state;
	_Atomic unsigned restarts; /* a core that sees a new number forgets its neighbours */
	unsigned grace; /* the control thread's: looks left before the link counts as down */
	struct dpdk_queue *queues[PORT_QUEUE_MAX];
};

static struct dpdk_queue *of(struct port_queue *queue)
{
	return CONTAINER_OF(queue, struct dpdk_queue, queue);
}

static struct tag *tag_of(struct rte_mbuf *mbuf)
{
	return rte_mbuf_to_priv(mbuf);
}

/* Neighbours' ages need no more than the kernel's tick, which is cheap to read. */
static uint64_t coarse_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* --- sending --- */

static void out_free(struct dpdk_queue *q, unsigned done)
{
	q->out_count -= done;
	memmove(q->out, q->out + done, q->out_count * sizeof(q->out[0]));
	q->blocked = q->out_count > 0;
}

static void push_out(struct dpdk_queue *q)
{
	unsigned done;

	if (q->out_count == 0)
		return;
	if (unlikely(q->rests)) {
		q->blocked = true;
		return;
	}
	if (q->sends)
		done = rte_eth_tx_burst(q->port->device.id, (uint16_t)q->index, q->out,
					(uint16_t)q->out_count);
	else
		done = rte_ring_sp_enqueue_burst(q->to_send, (void **)q->out, q->out_count, NULL);
	out_free(q, done);
}

/* Takes over what cores without a send queue want sent, as far as there is room. */
static void send_for_others(struct dpdk_queue *q)
{
	for (unsigned i = 0; i < q->from_others_count; i++) {
		q->out_count +=
			rte_ring_sc_dequeue_burst(q->from_others[i], (void **)&q->out[q->out_count],
						  OUT_COUNT - q->out_count, NULL);
		push_out(q);
	}
}

/* Queues a buffer, which is freed when there is no room. Returns whether there was. */
static bool put_out(struct dpdk_queue *q, struct rte_mbuf *mbuf)
{
	if (unlikely(q->out_count == OUT_COUNT))
		push_out(q);
	if (unlikely(q->out_count == OUT_COUNT)) {
		rte_pktmbuf_free(mbuf);
		return false;
	}
	q->out[q->out_count++] = mbuf;
	return true;
}

static NOINLINE void send_question(struct dpdk_queue *q, const struct ether_route *route)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(q->pool);
	uint8_t *bytes;
	size_t size;

	if (!mbuf)
		return; /* asked again with a later frame */
	bytes = rte_pktmbuf_mtod(mbuf, uint8_t *);
	size = ether_ask(&q->ether, route, bytes);
	mbuf->data_len = (uint16_t)size;
	mbuf->pkt_len = (uint32_t)size;
	(void)put_out(q, mbuf);
}

static void ask_for_checksums(struct rte_mbuf *mbuf, bool ipv4, unsigned offload)
{
	mbuf->l2_len = RTE_ETHER_HDR_LEN;
	mbuf->l3_len = ipv4 ? 20 : 40;
	mbuf->ol_flags |= ipv4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6;
	if (ipv4 && (offload & ETHER_OFFLOAD_IP))
		mbuf->ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
	if (offload & ETHER_OFFLOAD_UDP)
		mbuf->ol_flags |= RTE_MBUF_F_TX_UDP_CKSUM;
}

static bool send_frame(struct dpdk_queue *q, const struct addr *to, const void *head,
		       size_t head_size, const void *body, size_t body_size)
{
	size_t overhead = ether_overhead(to), size = head_size + body_size;
	struct ether_route route;
	struct rte_mbuf *mbuf;
	uint8_t *bytes;
	int r = ether_route(&q->ether, to, q->now_ns, &route);

	if (r != ETHER_E_UNROUTABLE && unlikely(route.ask))
		send_question(q, &route);
	if (unlikely(r != 0))
		return false;
	mbuf = rte_pktmbuf_alloc(q->pool);
	if (unlikely(!mbuf))
		return false;
	bytes = rte_pktmbuf_mtod(mbuf, uint8_t *);
	memcpy(bytes + overhead, head, head_size);
	if (body_size > 0)
		memcpy(bytes + overhead + head_size, body, body_size);
	ether_wrap(&q->ether, &route, to, q->queue.local.port, bytes, size, q->offload);
	mbuf->data_len = (uint16_t)(overhead + size);
	mbuf->pkt_len = (uint32_t)(overhead + size);
	if (q->offload & (ETHER_OFFLOAD_IP | ETHER_OFFLOAD_UDP))
		ask_for_checksums(mbuf, addr_is_ipv4(to), q->offload);
	return put_out(q, mbuf);
}

static void dpdk_send(struct port_queue *queue, const struct addr *to, const void *head,
		      size_t head_size, const void *body, size_t body_size)
{
	if (unlikely(head_size > queue->frame_size || body_size > queue->frame_size - head_size ||
		     !send_frame(of(queue), to, head, head_size, body, body_size))) {
		queue->stats.frames_dropped_send++;
		return;
	}
	queue->stats.frames_sent++;
	queue->stats.bytes_sent += head_size + body_size;
}

static void dpdk_flush(struct port_queue *queue)
{
	push_out(of(queue));
}

/* --- receiving --- */

static void drop(struct dpdk_queue *q, struct rte_mbuf *mbuf)
{
	q->queue.stats.frames_dropped_receive++;
	rte_pktmbuf_free(mbuf);
}

static void hand_out(struct dpdk_queue *q, struct rte_mbuf *mbuf, const struct ether_frame *found,
		     struct port_frame *ret_frame)
{
	ret_frame->from = found->from;
	ret_frame->size = found->size;
	ret_frame->bytes = rte_pktmbuf_mtod(mbuf, const uint8_t *) + found->offset;
	ret_frame->cookie = mbuf;
	q->queue.stats.frames_received++;
	q->queue.stats.bytes_received += found->size;
}

static void hand_over(struct dpdk_queue *q, struct rte_mbuf *mbuf, uint32_t to)
{
	if (rte_ring_sp_enqueue(q->port->queues[to]->handed[q->index], mbuf) != 0) {
		drop(q, mbuf);
		return;
	}
	q->queue.stats.frames_handed_over++;
}

/* Every other core gets a copy to learn from; one that doesn't get it will ask by itself. */
static NOINLINE void teach_others(struct dpdk_queue *q, const struct rte_mbuf *mbuf)
{
	for (uint32_t i = 0; i < q->port->port.queue_count; i++) {
		struct rte_mbuf *copy;

		if (i == q->index)
			continue;
		copy = rte_pktmbuf_copy(mbuf, q->pool, 0, UINT32_MAX);
		if (!copy)
			return;
		tag_of(copy)->teaches = true;
		if (rte_ring_sp_enqueue(q->port->queues[i]->handed[q->index], copy) != 0)
			rte_pktmbuf_free(copy);
	}
}

static unsigned what_device_verified(const struct rte_mbuf *mbuf)
{
	unsigned verified = 0;

	if ((mbuf->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD)
		verified |= ETHER_VERIFIED_IP;
	if ((mbuf->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD)
		verified |= ETHER_VERIFIED_UDP;
	return verified;
}

/* The answer stands in the buffer of the question. */
static void send_back(struct dpdk_queue *q, struct rte_mbuf *mbuf, uint32_t size)
{
	mbuf->data_len = (uint16_t)size;
	mbuf->pkt_len = size;
	mbuf->ol_flags = 0;
	(void)put_out(q, mbuf);
	q->blocked = true; /* nobody may flush: the next receive does */
}

/* One buffer from the device. Returns whether it became a frame of this core. */
static bool take(struct dpdk_queue *q, struct rte_mbuf *mbuf, struct port_frame *ret_frame)
{
	uint8_t *bytes = rte_pktmbuf_mtod(mbuf, uint8_t *);
	uint32_t size = mbuf->data_len;
	struct ether_frame found;

	if (unlikely(mbuf->nb_segs > 1)) {
		drop(q, mbuf); /* larger than any frame of ours */
		return false;
	}
	if (unlikely(q->port->port.queue_count > 1 && ether_teaches(bytes, size)))
		teach_others(q, mbuf);
	switch (ether_input(&q->ether, bytes, size, size + rte_pktmbuf_tailroom(mbuf),
			    what_device_verified(mbuf), q->now_ns, &found)) {
	case ETHER_UDP:
		if (unlikely(found.size > q->queue.frame_size)) {
			drop(q, mbuf);
			return false;
		}
		if (likely(found.queue == q->index)) {
			hand_out(q, mbuf, &found, ret_frame);
			return true;
		}
		*tag_of(mbuf) = (struct tag){.frame = found};
		hand_over(q, mbuf, found.queue);
		return false;
	case ETHER_REPLY:
		send_back(q, mbuf, found.size);
		return false;
	case ETHER_TAKEN:
		rte_pktmbuf_free(mbuf);
		return false;
	case ETHER_DROP:
		break;
	}
	drop(q, mbuf);
	return false;
}

static unsigned receive_from_device(struct dpdk_queue *q, struct port_frame *frames, unsigned count)
{
	struct rte_mbuf *mbufs[PORT_BURST_MAX];
	unsigned received, handed = 0;

	received = rte_eth_rx_burst(q->port->device.id, (uint16_t)q->index, mbufs,
				    (uint16_t)MIN(count, (unsigned)PORT_BURST_MAX));
	for (unsigned i = 0; i < received; i++)
		rte_prefetch0(rte_pktmbuf_mtod(mbufs[i], void *));
	for (unsigned i = 0; i < received; i++)
		handed += take(q, mbufs[i], &frames[handed]);
	return handed;
}

static unsigned receive_handed(struct dpdk_queue *q, struct rte_ring *ring,
			       struct port_frame *frames, unsigned count)
{
	struct rte_mbuf *mbufs[PORT_BURST_MAX];
	unsigned handed = 0;
	unsigned received = rte_ring_sc_dequeue_burst(ring, (void **)mbufs,
						      MIN(count, (unsigned)PORT_BURST_MAX), NULL);

	for (unsigned i = 0; i < received; i++) {
		struct tag *tag = tag_of(mbufs[i]);

		if (unlikely(tag->teaches)) {
			ether_learn(&q->ether, rte_pktmbuf_mtod(mbufs[i], const uint8_t *),
				    mbufs[i]->data_len, q->now_ns);
			rte_pktmbuf_free(mbufs[i]);
			continue;
		}
		hand_out(q, mbufs[i], &tag->frame, &frames[handed++]);
	}
	return handed;
}

static unsigned receive_from_others(struct dpdk_queue *q, struct port_frame *frames, unsigned count)
{
	unsigned handed = 0;

	for (uint32_t i = 0; i < q->port->device.receive_queues && handed < count; i++)
		if (q->handed[i])
			handed += receive_handed(q, q->handed[i], frames + handed, count - handed);
	return handed;
}

static NOINLINE void enter(struct dpdk_queue *q)
{
	q->entered = true;
	(void)dpdk_env_enter(); /* without it buffers come without a cache: slower, no worse */
}

/* Now and then: the time, and whether the control thread wants the device. */
static NOINLINE void look_up(struct dpdk_queue *q)
{
	enum device_state state;
	unsigned restarts;

	q->now_ns = coarse_now_ns();
	if (!q->port->device.reconnects)
		return;
	/* The next server at the socket has another Ethernet address. Pairs with watch_link(). */
	restarts = atomic_load_explicit(&q->port->restarts, memory_order_relaxed);
	if (restarts != q->restarts) {
		q->restarts = restarts;
		neighbours_init(&q->ether.neighbours, q->ether.config.seed);
	}
	if (!q->receives)
		return;
	state = atomic_load_explicit(&q->port->state, memory_order_acquire);
	q->rests = state != DEVICE_IN_USE;
	if (state == DEVICE_ASKED)
		atomic_store_explicit(&q->port->state, DEVICE_RESTED, memory_order_release);
}

/*
 * Other cores' frames first, but with half of the room only when this core has
 * a device queue too, so that neither starves the other.
 */
static unsigned dpdk_receive(struct port_queue *queue, struct port_frame *frames, unsigned count)
{
	struct dpdk_queue *q = of(queue);
	unsigned handed = 0;

	if (unlikely(!q->entered))
		enter(q);
	if (unlikely(q->turn++ % CLOCK_EVERY == 0))
		look_up(q);
	if (unlikely(q->blocked))
		push_out(q);
	if (q->from_others_count > 0)
		send_for_others(q);
	if (q->port->port.queue_count > 1) {
		q->turn ^= 1;
		handed =
			receive_from_others(q, frames, q->receives ? (count + q->turn) / 2 : count);
	}
	if (q->receives && handed < count && !q->rests)
		handed += receive_from_device(q, frames + handed, count - handed);
	return handed;
}

static void dpdk_release(struct port_queue *queue, struct port_frame *frames, unsigned count)
{
	struct rte_mbuf *mbufs[PORT_BURST_MAX];

	for (unsigned at = 0, batch; at < count; at += batch) {
		batch = MIN(count - at, (unsigned)PORT_BURST_MAX);
		for (unsigned i = 0; i < batch; i++)
			mbufs[i] = frames[at + i].cookie;
		rte_pktmbuf_free_bulk(mbufs, batch);
	}
}

static int dpdk_wait_fd(struct port_queue *queue)
{
	return -1;
}

static const struct port_ops dpdk_ops = {
	.receive = dpdk_receive,
	.release = dpdk_release,
	.send = dpdk_send,
	.flush = dpdk_flush,
	.wait_fd = dpdk_wait_fd,
};

/* --- opening --- */

static int check_config(const struct port_dpdk_config *config, char *error, size_t error_size)
{
	if (!dpdk_env_is_open())
		return port_error(error, error_size, -EINVAL, "dpdk_env_open() comes first");
	if (!config->device || strlen(config->device) >= PORT_DPDK_DEVICE_MAX)
		return port_error(error, error_size, -EINVAL,
				  "a device has a name of at most %d letters",
				  PORT_DPDK_DEVICE_MAX - 1);
	if (config->queue_count < 1 || config->queue_count > PORT_QUEUE_MAX)
		return port_error(error, error_size, -EINVAL, "%u queues: 1 to %d can be",
				  config->queue_count, PORT_QUEUE_MAX);
	if (!config->ipv4.present && !config->ipv6.present)
		return port_error(error, error_size, -EINVAL,
				  "%s has no address: give it an IPv4 or IPv6 one", config->device);
	if (config->udp_port == 0)
		return port_error(error, error_size, -EINVAL,
				  "UDP port 0: a device port has a base port of its own");
	if (config->descriptor_count > PORT_DPDK_DESCRIPTORS_MAX ||
	    config->buffer_count > PORT_DPDK_BUFFERS_MAX)
		return port_error(error, error_size, -EINVAL,
				  "%u descriptors and %u buffers: at most %d and %d can be",
				  config->descriptor_count, config->buffer_count,
				  PORT_DPDK_DESCRIPTORS_MAX, PORT_DPDK_BUFFERS_MAX);
	return 0;
}

static int init_ether(struct dpdk_queue *q, const struct port_dpdk_config *config, char *error,
		      size_t error_size)
{
	struct ether_config ether = {
		.ipv4 = config->ipv4,
		.ipv6 = config->ipv6,
		.port_base = config->udp_port,
		.port_count = (uint16_t)config->queue_count,
		.accept_partial = q->port->device.accept_partial,
	};
	int r = rand_secret(&ether.seed, sizeof(ether.seed));

	memcpy(ether.mac, q->port->device.mac, sizeof(ether.mac));
	if (r == 0)
		r = ether_init(&q->ether, &ether);
	if (r != 0)
		return port_error(error, error_size, r,
				  "addresses of %s don't do: check prefixes (to 32 and 128) and "
				  "that UDP ports %u to %u are no larger than 65535",
				  config->device, config->udp_port,
				  config->udp_port + config->queue_count - 1);
	return 0;
}

/*
 * Buffers hold any frame in one piece: 2 KiB, the least that AF_XDP and many
 * cards take, or what a jumbo frame needs and 9 KiB blocks of drivers fit in.
 */
static uint32_t buffer_size(uint32_t frame_size)
{
	uint32_t needed = ETHER_OVERHEAD_MAX + frame_size + ETHER_REPLY_ROOM_MAX;

	return RTE_PKTMBUF_HEADROOM +
	       (uint32_t)align_up(MAX(needed, 2048u), needed > 2048 ? 1024 : CACHE_LINE);
}

static int make_pool(struct dpdk_queue *q, const struct port_dpdk_config *config, char *error,
		     size_t error_size)
{
	uint32_t count = config->buffer_count ? config->buffer_count : BUFFER_COUNT_DEFAULT;
	uint32_t size = buffer_size(q->queue.frame_size);
	char name[RTE_MEMPOOL_NAMESIZE];

	snprintf(name, sizeof(name), "port%u.%u", q->port->device.id, q->index);
	q->pool =
		rte_pktmbuf_pool_create(name, count, MIN(BUFFER_CACHE, count / 4),
					(uint16_t)align_up(sizeof(struct tag), RTE_MBUF_PRIV_ALIGN),
					(uint16_t)size, SOCKET_ID_ANY);
	if (q->pool)
		return 0;
	return port_error(error, error_size, -ENOMEM,
			  "no room for %u buffers of %u bytes: give DPDK %u MiB more, or configure "
			  "fewer or smaller buffers",
			  count, size, (unsigned)(((uint64_t)count * (size + 256)) >> 20) + 1);
}

static struct rte_ring *make_ring(const char *kind, struct dpdk_port *p, uint32_t from, uint32_t to)
{
	char name[RTE_RING_NAMESIZE];

	snprintf(name, sizeof(name), "%s%u.%u.%u", kind, p->device.id, from, to);
	return rte_ring_create(name, RING_COUNT, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
}

/* The rings that feed a core and, without a send queue of its own, the one that drains it. */
static int make_rings(struct dpdk_queue *q)
{
	struct dpdk_port *p = q->port;

	for (uint32_t i = 0; i < p->device.receive_queues; i++) {
		if (i == q->index)
			continue;
		q->handed[i] = make_ring("hand", p, i, q->index);
		if (!q->handed[i])
			return -ENOMEM;
	}
	if (!q->sends) {
		struct dpdk_queue *sender = p->queues[q->index % p->device.send_queues];

		q->to_send = make_ring("send", p, q->index, sender->index);
		if (!q->to_send)
			return -ENOMEM;
		sender->from_others[sender->from_others_count++] = q->to_send;
	}
	return 0;
}

static void queue_init(struct dpdk_queue *q, struct dpdk_port *p, uint32_t index,
		       const struct port_dpdk_config *config)
{
	const struct ether_subnet *subnet = config->ipv4.present ? &config->ipv4 : &config->ipv6;

	q->queue.ops = &dpdk_ops;
	q->queue.frame_size = p->device.frame_size;
	memcpy(q->queue.local.ip, subnet->ip, sizeof(q->queue.local.ip));
	q->queue.local.port = (uint16_t)(config->udp_port + index);
	q->port = p;
	q->index = index;
	q->receives = index < p->device.receive_queues;
	q->sends = index < p->device.send_queues;
	q->now_ns = coarse_now_ns();
	if (p->device.send_offloads & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM)
		q->offload |= ETHER_OFFLOAD_IP;
	if (p->device.send_offloads & RTE_ETH_TX_OFFLOAD_UDP_CKSUM)
		q->offload |= ETHER_OFFLOAD_UDP;
	/* Sessions have a CRC of their own; a sum would halve the rate of large frames. */
	if (p->device.in_memory)
		q->offload |= ETHER_OMIT_UDP;
}

static int make_queues(struct dpdk_port *p, const struct port_dpdk_config *config, char *error,
		       size_t error_size)
{
	for (uint32_t i = 0; i < config->queue_count; i++) {
		struct dpdk_queue *q =
			aligned_alloc(CACHE_LINE, align_up(sizeof(struct dpdk_queue), CACHE_LINE));
		int r;

		if (!q)
			return port_error(error, error_size, -ENOMEM, "no memory for a queue");
		memset(q, 0, sizeof(*q));
		p->queues[i] = q;
		p->port.queues[i] = &q->queue;
		p->port.queue_count = i + 1;
		queue_init(q, p, i, config);
		r = init_ether(q, config, error, error_size);
		if (r == 0)
			r = make_pool(q, config, error, error_size);
		if (r != 0)
			return r;
		if (make_rings(q) != 0)
			return port_error(
				error, error_size, -ENOMEM,
				"no room for rings between %u cores: give DPDK more memory",
				config->queue_count);
	}
	return 0;
}

/* Runs on DPDK's control thread, again and again until the port is closed. */
static void watch_link(void *argument)
{
	struct dpdk_port *p = argument;
	enum device_state state = atomic_load_explicit(&p->state, memory_order_acquire);

	p->grace -= p->grace > 0;
	if (state == DEVICE_IN_USE && p->grace == 0 && !dpdk_device_link_is_up(&p->device)) {
		atomic_store_explicit(&p->state, DEVICE_ASKED, memory_order_release);
	} else if (state == DEVICE_RESTED && dpdk_device_restart(&p->device) == 0) {
		p->grace = RECONNECT_GRACE;
		atomic_fetch_add_explicit(&p->restarts, 1, memory_order_relaxed);
		atomic_store_explicit(&p->state, DEVICE_IN_USE, memory_order_release);
	}
	(void)rte_eal_alarm_set(RECONNECT_US, watch_link, p);
}

static void ring_free(struct rte_ring *ring)
{
	void *mbuf;

	while (ring && rte_ring_dequeue(ring, &mbuf) == 0)
		rte_pktmbuf_free(mbuf);
	rte_ring_free(ring);
}

/* The device is closed first: it may hold buffers of any pool. */
static void dpdk_close(struct port *port)
{
	struct dpdk_port *p = CONTAINER_OF(port, struct dpdk_port, port);

	if (p->device.reconnects)
		(void)rte_eal_alarm_cancel(watch_link, p);
	dpdk_device_close(&p->device);
	for (uint32_t i = 0; i < port->queue_count; i++) {
		struct dpdk_queue *q = p->queues[i];

		rte_pktmbuf_free_bulk(q->out, q->out_count);
		for (unsigned j = 0; j < PORT_QUEUE_MAX; j++)
			ring_free(q->handed[j]);
		ring_free(q->to_send);
	}
	for (uint32_t i = 0; i < port->queue_count; i++) {
		rte_mempool_free(p->queues[i]->pool);
		free(p->queues[i]);
	}
	free(p);
}

static int start_device(struct dpdk_port *p, const struct port_dpdk_config *config, char *error,
			size_t error_size)
{
	struct rte_mempool *pools[PORT_QUEUE_MAX];

	for (uint32_t i = 0; i < p->port.queue_count; i++)
		pools[i] = p->queues[i]->pool;
	return dpdk_device_start(&p->device, config, pools, error, error_size);
}

int port_dpdk_open(const struct port_dpdk_config *config, struct port **ret_port, char *error,
		   size_t error_size)
{
	struct dpdk_port *p;
	int r = check_config(config, error, error_size);

	if (r != 0)
		return r;
	p = calloc(1, sizeof(*p));
	if (!p)
		return port_error(error, error_size, -ENOMEM, "no memory for a port");
	p->port.close = dpdk_close;
	r = dpdk_device_open(config, &p->device, error, error_size);
	if (r != 0) {
		free(p);
		return r;
	}
	r = make_queues(p, config, error, error_size);
	if (r == 0)
		r = start_device(p, config, error, error_size);
	if (r != 0) {
		dpdk_close(&p->port);
		return r;
	}
	if (p->device.reconnects)
		(void)rte_eal_alarm_set(RECONNECT_US, watch_link, p);
	*ret_port = &p->port;
	return 0;
}

/* --- looking --- */

const struct ether_stats *port_dpdk_ether_stats(struct port *port, uint32_t index)
{
	return &of(port_queue(port, index))->ether.stats;
}

struct port_dpdk_info port_dpdk_info(struct port *port)
{
	struct dpdk_port *p = CONTAINER_OF(port, struct dpdk_port, port);
	struct port_dpdk_info info = {
		.driver = p->device.info.driver_name,
		.receive_queues = p->device.receive_queues,
		.send_queues = p->device.send_queues,
		.steered = p->device.steered,
		.checks_offload = p->device.receive_offloads != 0 ||
				  (p->queues[0]->offload & ETHER_OFFLOAD_UDP),
	};
	struct rte_eth_stats stats;
	char name[RTE_ETH_NAME_MAX_LEN];

	memcpy(info.mac, p->device.mac, sizeof(info.mac));
	if (rte_eth_dev_get_name_by_port(p->device.id, name) == 0)
		snprintf(info.device, sizeof(info.device), "%s", name);
	info.link_up = dpdk_device_link_is_up(&p->device);
	if (rte_eth_stats_get(p->device.id, &stats) == 0)
		info.missed = stats.imissed + stats.rx_nombuf;
	return info;
}
